//! What the models of this room look at to see whether an order was kept.

use loom::cell::UnsafeCell;

use super::Sink;
use crate::backend::Token;

/// What somebody does before a signal or an advance: loom finds who looks at it and did not have to see it.
#[derive(Default)]
pub(super) struct Work(UnsafeCell<u32>);

// SAFETY: that no two threads meet here is what the models check.
unsafe impl Sync for Work {}
// SAFETY: as above.
unsafe impl Send for Work {}

impl Work {
    /// Does it.
    pub(super) fn perform(&self) {
        // SAFETY: that no two threads meet here is what the models check.
        self.0.with_mut(|work| unsafe { *work = 1 });
    }

    /// Looks at it, after it was done.
    pub(super) fn see(&self) {
        // SAFETY: as above.
        assert_eq!(self.0.with(|work| unsafe { *work }), 1);
    }
}

/// Looks at it when it is told.
impl Sink for Work {
    fn reached(&self, _: Token, _: u32) {
        self.see();
    }

    fn failed(&self, _: Token, _: u32) {}
}
