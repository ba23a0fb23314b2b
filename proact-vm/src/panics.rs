//! Panics of code that is run for others: those are told first, then the panic goes on.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The first panic of several pieces of code, each of which has its turn whatever became of those before it.
#[derive(Default)]
#[must_use = "the panic goes on with `resume`"]
pub(crate) struct FirstPanic(Option<Box<dyn Any + Send>>);

impl FirstPanic {
    /// Runs it; `None` when it has panicked.
    #[inline]
    pub(crate) fn catch<R>(&mut self, run: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(answer) => Some(answer),
            Err(panic) => {
                self.0.get_or_insert(panic);
                None
            }
        }
    }

    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The panic goes on. On a thread that unwinds another one does already, and this one has been reported.
    pub(crate) fn resume(self) {
        if let Some(panic) = self.0.filter(|_| !std::thread::panicking()) {
            resume_unwind(panic);
        }
    }
}
