//! Ctrl-C: wakes the proactors, so that they can call everything back and remove what is partial.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;

use proact::proactor::Handle;

use crate::exit::{Exit, Failure};

/// Whether the user wants an end, and who is to be woken then.
#[derive(Default, Debug)]
pub struct Interrupt {
    raised: AtomicBool,
    handles: Mutex<Vec<Handle>>,
    threads: Mutex<Vec<Thread>>,
}

impl Interrupt {
    /// Wakes this proactor when it is raised.
    pub fn wakes(&self, handle: Handle) {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
    }

    /// Unparks this thread when it is raised.
    pub fn unparks(&self, thread: Thread) {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }

    /// Raises it.
    pub fn raise(&self) {
        // Before the wake: who is woken by it sees it.
        self.raised.store(true, Ordering::Release);
        for handle in self.handles.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            handle.wake();
        }
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(Thread::unpark);
    }

    /// Whether it was raised.
    pub fn is_raised(&self) -> bool {
        self.raised.load(Ordering::Acquire)
    }

    /// An interrupt that SIGINT and SIGTERM raise; the second signal ends the process at once.
    ///
    /// SIGXFSZ is taken too, and does nothing: left alone it would end the process at the first write beyond
    /// `ulimit -f`, with partial files behind. The write's own error says it.
    ///
    /// # Errors
    /// The system gives no thread or no pipe for it.
    #[cfg(unix)]
    pub fn on_signals() -> Result<Arc<Interrupt>, Failure> {
        use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
        let interrupt = Arc::new(Interrupt::default());
        let raised = interrupt.clone();
        let failed = |error: std::io::Error| Failure::new(Exit::Failed, format!("signals: {error}"));
        let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGXFSZ]).map_err(failed)?;
        let body = move || {
            for signal in signals.forever() {
                if signal == SIGXFSZ {
                    continue;
                }
                if raised.is_raised() {
                    std::process::exit(Exit::Interrupted.code().into());
                }
                raised.raise();
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(body).map_err(failed)?;
        Ok(interrupt)
    }

    /// An interrupt that nothing raises on this system yet.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn on_signals() -> Result<Arc<Interrupt>, Failure> {
        Ok(Arc::default())
    }
}
