//! Who uses a descriptor, so that no close takes it away under them.
//!
//! A call from another thread counts itself in, uses the descriptor's number, and counts itself out. The close marks
//! the count, after which nobody comes in, and sleeps until the last one has gone. There is no lock that a signal
//! handler could find held by the very thread that it interrupts: a handler comes in and goes out, or is refused,
//! wherever it interrupts, also in the middle of the close.

use super::word::Word;
use crate::atomic::Ordering;
use crate::time::Time;

#[cfg(all(test, loom))]
mod loom_tests;

/// How many use it, and [`CLOSED`].
pub(super) struct Users {
    word: Word,
}

/// Nobody comes in any more. The rest of the word only falls from here on, so that a close ends.
const CLOSED: u32 = 1 << 31;

impl Users {
    pub(super) fn new() -> Users {
        Users { word: Word::new(0) }
    }

    /// Comes in. `false`: it is closed, or being closed. Lock-free, and fit for a signal handler.
    pub(super) fn enter(&self) -> bool {
        let mut users = self.word.atomic().load(Ordering::Relaxed);
        loop {
            if users & CLOSED != 0 {
                return false;
            }
            debug_assert!(users + 1 < CLOSED);
            // Relaxed: a close has only to come after what is done in here, which is `leave`'s to say.
            match self.word.atomic().compare_exchange_weak(users, users + 1, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => users = now,
            }
        }
    }

    /// Goes out: the last one lets a close that waits go on. As fit.
    pub(super) fn leave(&self) {
        // Release: what was done with the descriptor is done before it is closed.
        if self.word.atomic().fetch_sub(1, Ordering::Release) == CLOSED + 1 {
            self.word.wake(1);
        }
    }

    /// Keeps others out, and returns when the last one has gone. `false`: it was closed before.
    pub(super) fn close(&self) -> bool {
        // Relaxed: what users did is acquired below, where they are seen to have gone.
        let before = self.word.atomic().fetch_or(CLOSED, Ordering::Relaxed);
        if before & CLOSED != 0 {
            return false;
        }
        loop {
            let users = self.word.atomic().load(Ordering::Acquire);
            if users == CLOSED {
                return true;
            }
            // As long as another thread's call takes, which none of these waits in.
            if self.word.sleep(users, Time::FAR_FUTURE).is_err() {
                std::thread::yield_now();
            }
        }
    }
}
