//! How much a run repeats: a table wants figures that hold, a test wants to know that nothing is broken.
//!
//! It belongs to the run and not to a measure, so that it is not handed through every function of each. It is of one
//! thread, the one that measures, so that tests beside each other do not disturb each other.

use std::cell::Cell;
use std::time::Duration;

/// How much is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Effort {
    /// As often as figures need, which hold then.
    #[default]
    Full,
    /// A few times: the figures are worth nothing, and everything has run.
    Quick,
}

thread_local! {
    static EFFORT: Cell<Effort> = const { Cell::new(Effort::Full) };
}

impl Effort {
    /// Runs `work`, whose measures repeat that much.
    pub fn scope<T>(self, work: impl FnOnce() -> T) -> T {
        struct Back(Effort);
        impl Drop for Back {
            fn drop(&mut self) {
                EFFORT.set(self.0);
            }
        }
        let _back = Back(EFFORT.replace(self));
        work()
    }
}

/// So many repetitions of something, or three. Both are odd where `full` is, so that a median is one of them.
pub(crate) fn rounds(full: usize) -> usize {
    match EFFORT.get() {
        Effort::Full => full,
        Effort::Quick => full.min(3),
    }
}

/// How long something is repeated at most.
pub(crate) fn budget(full: Duration) -> Duration {
    match EFFORT.get() {
        Effort::Full => full,
        Effort::Quick => full.min(Duration::from_millis(5)),
    }
}

/// How large something is made: what is full, or what is enough to run.
pub(crate) fn size(full: usize, quick: usize) -> usize {
    match EFFORT.get() {
        Effort::Full => full,
        Effort::Quick => quick,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quick_run_repeats_little_and_only_within_its_scope() {
        assert_eq!(Effort::Quick.scope(|| (rounds(1001), rounds(1))), (3, 1));
        assert_eq!(Effort::Quick.scope(|| budget(Duration::from_secs(1))), Duration::from_millis(5));
        assert_eq!((rounds(1001), budget(Duration::from_secs(1))), (1001, Duration::from_secs(1)));
        let panicked = std::panic::catch_unwind(|| Effort::Quick.scope(|| panic!("on purpose")));
        assert!(panicked.is_err() && rounds(1001) == 1001);
    }
}
