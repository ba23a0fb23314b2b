//! Which contexts' turns this thread has: a call that would wait for one of them would wait for itself.

use std::cell::RefCell;

use super::Context;
use crate::error::{Error, Result};

thread_local! {
    /// The contexts that are not concurrent and of which a call runs on this thread, from the outermost on.
    static INSIDE: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Until it is dropped, this thread runs a call that has the context's turn.
pub(crate) struct Inside(());

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.with_borrow_mut(Vec::pop);
    }
}

impl Context {
    /// For who has the turn, while it runs functions. Of a concurrent context there are none.
    #[inline]
    pub(crate) fn inside(&self) -> Option<Inside> {
        if self.is_concurrent() {
            return None;
        }
        INSIDE.with_borrow_mut(|inside| inside.push(self.0.number));
        Some(Inside(()))
    }

    /// For who is about to wait for its turn on this thread.
    #[cold]
    pub(crate) fn check_outside(&self) -> Result {
        if INSIDE.with_borrow(|inside| inside.contains(&self.0.number)) {
            let message = "the context is not concurrent, and this thread holds it: the call would wait for itself";
            return Err(Error::precondition(message));
        }
        Ok(())
    }
}
