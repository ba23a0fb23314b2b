//! Whose an invocation is just now: one word, and every way that it may change.
//!
//! An invocation is in one of four stages. Who brings it from `QUEUED` to `RUNNING` has it, alone, until that thread
//! brings it elsewhere: so its work needs no other guard. Who brings it to `QUEUED` puts it in its queue: so it is
//! there once. `ENDED` is for good.
//!
//! ```text
//!            wake, cancel           start                    end
//!     IDLE ───────────────> QUEUED ───────> RUNNING ──────────────> ENDED
//!      ^ └──── claim ──┐      ^  └─ claim ──> ^ │ │
//!      │               └──────│───────────────┘ │ └─ park, when it was woken meanwhile; requeue
//!      │                      └─────────────────│─┘
//!      └────────────────── park ────────────────┘
//! ```

use crate::atomic::{AtomicU32, Ordering};

#[cfg(all(test, loom))]
mod loom_tests;

/// It waits for a waker.
const IDLE: u32 = 0;
/// It is in its queue.
const QUEUED: u32 = 1;
/// A thread has it.
const RUNNING: u32 = 2;
/// It is over.
const ENDED: u32 = 3;
const STAGE: u32 = 3;

/// It was woken while a thread had it.
const WOKEN: u32 = 1 << 2;
const CANCELLED: u32 = 1 << 3;
const ABORTED: u32 = 1 << 4;
/// Its function has begun.
const BEGUN: u32 = 1 << 5;

/// See the head of this file.
#[derive(Debug)]
pub(crate) struct Word(AtomicU32);

/// What an invocation does, as its word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Doing {
    Pending,
    Running,
    Waiting,
    Ended,
}

/// What to do with an invocation that is to be aborted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// The caller has it now, as a thread that runs it would.
    Taken,
    /// A thread has it, and hears of it at the next stop.
    Told,
    /// It is over.
    Over,
}

/// What became of an invocation that was to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Park {
    /// It waits, and no one has it.
    Parked,
    /// It was woken meanwhile: the caller puts it in its queue.
    Woken,
    /// It was ended meanwhile, without waiting for who has it.
    Over,
}

impl Word {
    /// Of an invocation that is in its queue.
    pub(crate) fn queued() -> Word {
        Word(AtomicU32::new(QUEUED))
    }

    /// Of one that waits to be woken.
    pub(crate) fn idle() -> Word {
        Word(AtomicU32::new(IDLE))
    }

    /// `true`: the caller puts it in its queue.
    #[must_use]
    pub(crate) fn wake(&self) -> bool {
        self.change(|word| match word & STAGE {
            IDLE => Some(word | QUEUED),
            RUNNING => Some(word | WOKEN),
            // Written as well, though nothing changes: so who starts it sees what the caller did before. A load alone
            // could come before that was seen by anyone.
            QUEUED => Some(word),
            _ => None,
        }) == Some(IDLE)
    }

    /// Asks it to end. `true`: the caller puts it in its queue.
    #[must_use]
    pub(crate) fn cancel(&self) -> bool {
        self.change(|word| match word & STAGE {
            IDLE => Some(word | CANCELLED | QUEUED),
            RUNNING => Some(word | CANCELLED | WOKEN),
            QUEUED => Some(word | CANCELLED),
            _ => None,
        }) == Some(IDLE)
    }

    /// Takes it away from its queue or its wait, or tells who has it.
    pub(crate) fn claim(&self) -> Claim {
        let before = self.change(|word| match word & STAGE {
            IDLE | QUEUED => Some(word & !STAGE | RUNNING | ABORTED),
            RUNNING => Some(word | ABORTED | WOKEN),
            _ => None,
        });
        match before {
            Some(IDLE | QUEUED) => Claim::Taken,
            Some(_) => Claim::Told,
            None => Claim::Over,
        }
    }

    /// As [`Word::claim`], of one that is not told if a thread has it. `true`: the caller has it now.
    #[must_use]
    pub(crate) fn take(&self) -> bool {
        let before = self.change(|word| match word & STAGE {
            IDLE | QUEUED => Some(word & !STAGE | RUNNING | ABORTED),
            _ => None,
        });
        before.is_some()
    }

    /// For who took it from its queue. `false`: someone else has it, or it is over.
    #[must_use]
    pub(crate) fn start(&self) -> bool {
        self.change(|word| (word & STAGE == QUEUED).then_some(word & !(STAGE | WOKEN) | RUNNING)).is_some()
    }

    /// For who has it: it waits.
    pub(crate) fn park(&self) -> Park {
        let mut parked = Park::Over;
        self.change(|word| {
            parked = match (word & STAGE, word & WOKEN != 0) {
                (ENDED, _) => Park::Over,
                (_, true) => Park::Woken,
                (_, false) => Park::Parked,
            };
            let stage = if parked == Park::Woken { QUEUED } else { IDLE };
            (parked != Park::Over).then_some(word & !(STAGE | WOKEN) | stage)
        });
        parked
    }

    /// For who has it. `true`: it is put in its queue; `false`: it was ended meanwhile.
    #[must_use]
    pub(crate) fn requeue(&self) -> bool {
        self.change(|word| (word & STAGE != ENDED).then_some(word & !(STAGE | WOKEN) | QUEUED)).is_some()
    }

    /// For who has it: its function has begun.
    pub(crate) fn begin(&self) {
        self.0.fetch_or(BEGUN, Ordering::Relaxed);
    }

    /// It is over. `false`: no one had it just then. So it is for who says this to give up what it holds: whoever lets
    /// go of it later is told that by [`Word::park`] or [`Word::requeue`], and who has let go before is not.
    pub(crate) fn end(&self) -> bool {
        self.0.fetch_or(ENDED, Ordering::AcqRel) & STAGE == RUNNING
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Acquire) & CANCELLED != 0
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.0.load(Ordering::Acquire) & ABORTED != 0
    }

    pub(crate) fn doing(&self) -> Doing {
        let word = self.0.load(Ordering::Acquire);
        match (word & STAGE, word & BEGUN != 0) {
            (ENDED, _) => Doing::Ended,
            (_, false) => Doing::Pending,
            (IDLE, true) => Doing::Waiting,
            (_, true) => Doing::Running,
        }
    }

    /// Changes the word as `next` says; answers the stage before, or `None` where there was nothing to change.
    fn change(&self, mut next: impl FnMut(u32) -> Option<u32>) -> Option<u32> {
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, &mut next).ok().map(|before| before & STAGE)
    }
}
