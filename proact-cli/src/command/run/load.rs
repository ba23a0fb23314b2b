//! Takes a program in, and gives it up: what it does then may take long, and an interrupt ends that, too.

use std::io;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, Thread};
use std::time::Duration;

use proact_vm::{Context, ContextBuilder, Error};

use super::Uncalled;
use crate::command::Interrupt;
use crate::exit::{Exit, Failure};

/// How long what starts or ends has when an interrupt comes.
const GRACE: Duration = Duration::from_secs(1);

/// Why there is no context.
pub(super) enum NotLoaded {
    Refused(Error),
    Interrupted,
    /// The system gives no thread.
    Thread(io::Error),
}

/// Makes the context.
pub(super) fn context(builder: ContextBuilder, interrupt: &Arc<Interrupt>) -> Result<Context, NotLoaded> {
    match aside("start", interrupt, move || builder.build()) {
        Ok(Some(built)) => built.map_err(NotLoaded::Refused),
        Ok(None) => Err(NotLoaded::Interrupted),
        Err(error) => Err(NotLoaded::Thread(error)),
    }
}

/// Gives the context up, which runs what the program has for its end; `false` when that was interrupted.
pub(super) fn end(context: Context, interrupt: &Arc<Interrupt>) -> bool {
    // Without a thread it is given up with the closure, here.
    aside("end", interrupt, move || drop(context)).map_or(true, |ended| ended.is_some())
}

/// Does something on a thread of its own: this one waits for it, or for the interrupt. Then that thread is left to
/// itself, and ends with the process.
fn aside<T: Send + 'static>(
    name: &str,
    interrupt: &Arc<Interrupt>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    interrupt.unparks(thread::current());
    let (waiting, (tell, told)) = (Unparks(thread::current()), mpsc::channel());
    let body = move || {
        // Dropped behind the sender, also when a function of the program's host panics.
        let _waiting = waiting;
        let tell = tell;
        // Whoever was interrupted does not hear it.
        let _ = tell.send(work());
    };
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body)?;
    loop {
        match told.try_recv() {
            Ok(done) => return Ok(Some(done)),
            Err(mpsc::TryRecvError::Disconnected) => match thread.join() {
                Err(panic) => std::panic::resume_unwind(panic),
                // What was told was heard above.
                Ok(()) => return Ok(None),
            },
            // What is nearly there may come: then the call is what is interrupted.
            Err(mpsc::TryRecvError::Empty) if interrupt.is_raised() => return Ok(told.recv_timeout(GRACE).ok()),
            // An unpark between the look and here makes this return at once.
            Err(mpsc::TryRecvError::Empty) => thread::park(),
        }
    }
}

/// Unparks a thread when it is dropped.
struct Unparks(Thread);

impl Drop for Unparks {
    fn drop(&mut self) {
        self.0.unpark();
    }
}

impl NotLoaded {
    /// What is told of it. A program that was taken in ran, where there is a backtrace: it is not refused, it failed.
    pub(super) fn uncalled(self, subject: &str) -> Uncalled {
        let failure = match self {
            NotLoaded::Refused(error) => {
                let ran = !error.backtrace().is_empty();
                return Uncalled::of(if ran { Exit::Failed } else { Exit::Source }, subject, error);
            }
            NotLoaded::Interrupted => Failure::new(Exit::Interrupted, format!("{subject}: interrupted (CANCELLED)")),
            NotLoaded::Thread(error) => Failure::new(Exit::Failed, format!("{subject}: a thread: {error}")),
        };
        failure.into()
    }
}
