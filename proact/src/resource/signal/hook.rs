//! How a signal handler reaches the proactor that has subscribed: one for the process.
//!
//! The handler may run on any thread, at any time, also while the subscription ends on another. It notes the signal,
//! wakes the owner and leaves. Who releases the hook takes the waker away and waits for handlers that may have seen it.

use std::time::{Duration, Instant};

use std::sync::Arc as StdArc;

use crate::atomic::{AtomicPtr, AtomicU32, Ordering, fence};
use crate::backend::Wake;

/// How long a release waits for handlers that run. They block all signals and make one system call: it waits longer
/// only for a thread that is not scheduled.
const PATIENCE: Duration = Duration::from_secs(1);

/// What handlers write, and how they wake the owner.
pub(super) struct Hook {
    /// A bit for each signal that has come and was not taken.
    pending: AtomicU32,
    /// A box of the owner's waker. Null: no one has subscribed.
    waker: AtomicPtr<WakerBox>,
    /// Handlers that run.
    running: AtomicU32,
}

/// A thin pointer leads to it.
pub(super) type WakerBox = StdArc<dyn Wake>;

impl Hook {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Hook {
        Hook { pending: AtomicU32::new(0), waker: AtomicPtr::new(std::ptr::null_mut()), running: AtomicU32::new(0) }
    }

    #[cfg(loom)]
    pub(super) fn new() -> Hook {
        Hook { pending: AtomicU32::new(0), waker: AtomicPtr::new(std::ptr::null_mut()), running: AtomicU32::new(0) }
    }

    /// From a handler: notes signals and wakes the owner. `false`: there is none any more, and nothing was noted.
    pub(super) fn tell(&self, bits: u32) -> bool {
        self.running.fetch_add(1, Ordering::Relaxed);
        // Here the handler stores, that it runs, and then loads, whom to wake; a release stores, no one, and then
        // loads, who runs. At least one sees the other.
        fence(Ordering::SeqCst);
        let waker = self.waker.load(Ordering::Acquire);
        if !waker.is_null() {
            // Before the wake: who is woken by it sees the signal.
            self.pending.fetch_or(bits, Ordering::Release);
            // SAFETY: it is freed only by a release that has taken the pointer away and then seen no handler run.
            unsafe { &*waker }.wake();
        }
        // Release: all of this is before what a release does that sees it.
        self.running.fetch_sub(1, Ordering::Release);
        !waker.is_null()
    }

    /// Takes what has come.
    #[inline]
    pub(super) fn take(&self) -> u32 {
        // The common answer needs no exchange.
        if self.pending.load(Ordering::Relaxed) == 0 { 0 } else { self.pending.swap(0, Ordering::Acquire) }
    }

    /// From now on handlers wake `waker`. Before the first handler is set.
    pub(super) fn hold(&self, waker: Box<WakerBox>) {
        let before = self.waker.swap(Box::into_raw(waker), Ordering::AcqRel);
        debug_assert!(before.is_null(), "one owner at a time");
    }

    /// From now on handlers wake no one. After all handlers were taken away. What has come until then can still be
    /// [taken](Hook::take). `None`: a handler ran on beyond all patience, and the waker is left to it for good.
    pub(super) fn release(&self) -> Option<Box<WakerBox>> {
        let waker = self.waker.swap(std::ptr::null_mut(), Ordering::AcqRel);
        if waker.is_null() {
            return None;
        }
        fence(Ordering::SeqCst);
        let start = Instant::now();
        // Acquire: see `tell`.
        while self.running.load(Ordering::Acquire) != 0 {
            if start.elapsed() > PATIENCE {
                return None;
            }
            #[cfg(loom)]
            loom::thread::yield_now();
            #[cfg(not(loom))]
            std::thread::yield_now();
        }
        // SAFETY: made by `hold`; whoever loaded the pointer had begun to run before, and has ended.
        Some(unsafe { Box::from_raw(waker) })
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use loom::thread;

    use super::*;
    use crate::atomic::{Arc, AtomicBool};

    /// Says when it is used after it was dropped, and notes that it was used.
    struct Bell {
        gone: AtomicBool,
        rung: Arc<AtomicU32>,
    }

    impl Wake for Bell {
        fn wake(&self) {
            assert!(!self.gone.load(Ordering::Relaxed), "a waker was used after its release");
            self.rung.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Drop for Bell {
        fn drop(&mut self) {
            self.gone.store(true, Ordering::Relaxed);
        }
    }

    #[test]
    fn loom_a_release_waits_for_handlers_and_every_signal_is_noted_or_given_back() {
        loom::model(|| {
            let (hook, rung) = (Arc::new(Hook::new()), Arc::new(AtomicU32::new(0)));
            let bell = Bell { gone: AtomicBool::new(false), rung: rung.clone() };
            let waker: std::sync::Arc<dyn Wake> = std::sync::Arc::new(bell);
            hook.hold(Box::new(waker));
            let handlers: Vec<_> = (0..2)
                .map(|number| {
                    let hook = hook.clone();
                    thread::spawn(move || (1 << number, hook.tell(1 << number)))
                })
                .collect();
            let mut taken = hook.take();
            drop(hook.release().expect("no handler runs for a second"));
            taken |= hook.take();
            for handler in handlers {
                let (bit, noted) = handler.join().unwrap();
                assert_eq!(taken & bit != 0, noted, "noted and not found, or the reverse");
            }
            assert_eq!(rung.load(Ordering::Relaxed), taken.count_ones());
        });
    }
}
