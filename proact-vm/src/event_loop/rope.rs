//! The bell of a proactor's loop.

use proact::sync::Semaphore;

use super::woken::Bell;
use crate::atomic::{AtomicBool, AtomicU64, Ordering};

/// Rings by a semaphore that the loop's operation waits for. It cannot fail, allocates nothing, and any thread may.
pub(super) struct Rope {
    semaphore: Semaphore,
    awaited: AtomicU64,
    /// It was rung for the value that is awaited.
    is_rung: AtomicBool,
}

impl Rope {
    /// `semaphore` is the rope's own, and at 0.
    pub(super) fn new(semaphore: Semaphore) -> Rope {
        Rope { semaphore, awaited: AtomicU64::new(1), is_rung: AtomicBool::new(false) }
    }

    /// Rings count anew from here on: before what they tell of is looked at. For whoever runs the loop, as is
    /// [`Rope::awaited`].
    pub(super) fn rearm(&self) {
        self.awaited.store(self.semaphore.value() + 1, Ordering::SeqCst);
        // An exchange, so that what was told before a ring that did nothing is seen.
        self.is_rung.swap(false, Ordering::SeqCst);
    }

    /// The value that the semaphore has come to, or will, with the first ring since.
    pub(super) fn awaited(&self) -> u64 {
        self.awaited.load(Ordering::SeqCst)
    }
}

impl Bell for Rope {
    fn ring(&self) {
        if !self.is_rung.swap(true, Ordering::SeqCst) {
            // The value rises by one each time, and the semaphore is the loop's own: nothing refuses it.
            let _ = self.semaphore.signal_if_later(self.awaited.load(Ordering::SeqCst), None);
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
