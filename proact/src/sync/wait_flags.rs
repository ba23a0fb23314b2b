//! How a thread waits: whether it spins before it blocks.

use std::time::Duration;

use bitflags::bitflags;

use crate::status::{Code, Operation, Result, Status};
use crate::time::{Clock, Time};

bitflags! {
    /// How a blocking wait spends its time. Without a flag it blocks at once.
    ///
    /// ```
    /// use proact::sync::WaitFlags;
    /// assert_eq!((WaitFlags::ACTIVE | WaitFlags::YIELD).effective(), WaitFlags::ACTIVE);
    /// assert_eq!(WaitFlags::from_bits(4), None);
    /// ```
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct WaitFlags: u32 {
        /// Spins until the end, and never blocks: the shortest latency, for a whole CPU. Makes no system call (where
        /// the clock can be read without one). Wins over [`WaitFlags::YIELD`].
        const ACTIVE = 1 << 0;
        /// Spins for [`WaitFlags::YIELD_SPIN`], and then blocks: for what is nearly there.
        const YIELD = 1 << 1;
    }
}

impl WaitFlags {
    /// How long a wait with [`WaitFlags::YIELD`] spins before it blocks, by the clock.
    pub const YIELD_SPIN: Duration = Duration::from_nanos(300);

    /// What these flags come to here. [`WaitFlags::ACTIVE`] alone where both are set. A platform whose threads cannot
    /// block has `ACTIVE` for everything: of those that proact runs on, none.
    pub const fn effective(self) -> WaitFlags {
        if self.contains(WaitFlags::ACTIVE) || !THREADS_BLOCK { WaitFlags::ACTIVE } else { self }
    }

    /// The spinning that these flags ask for.
    #[track_caller]
    pub(crate) fn spin(self, operation: Operation) -> Result<Spin> {
        if !WaitFlags::all().contains(self) {
            let unknown = self.bits() & !WaitFlags::all().bits();
            return Err(
                Status::new(Code::InvalidArgument, operation).with_message(format!("unknown wait flags {unknown:#x}"))
            );
        }
        let flags = self.effective();
        Ok(if flags.contains(WaitFlags::ACTIVE) {
            Spin::Active { turns: 0 }
        } else if flags.contains(WaitFlags::YIELD) {
            Spin::Yield { until: None }
        } else {
            Spin::None
        })
    }
}

/// Browsers' main threads, and machines without an operating system, have nothing to block on.
const THREADS_BLOCK: bool = !cfg!(all(target_family = "wasm", not(target_feature = "atomics")));

/// How often a wait that spins to its end looks at its values before it looks at the clock.
const TURNS_A_CLOCK_READ: u32 = 32;

/// Spinning under way.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spin {
    Active { turns: u32 },
    Yield { until: Option<Time> },
    None,
}

impl Spin {
    /// Whether to look again. Pauses for a moment before it says so.
    pub(crate) fn again(&mut self, clock: &Clock, deadline: Time) -> bool {
        match self {
            Spin::None => return false,
            Spin::Active { turns } => {
                *turns = turns.wrapping_add(1);
                let never = deadline == Time::FAR_FUTURE;
                if !never && *turns % TURNS_A_CLOCK_READ == 0 && clock.now() >= deadline {
                    return false;
                }
            }
            Spin::Yield { until } => {
                let now = clock.now();
                if now >= *until.get_or_insert(now + WaitFlags::YIELD_SPIN) || now >= deadline {
                    return false;
                }
            }
        }
        crate::atomic::spin_loop();
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn active_wins_over_yield_and_the_rest_stays() {
        let both = WaitFlags::ACTIVE | WaitFlags::YIELD;
        assert!(matches!(both.spin(Operation::SemaphoreWait).unwrap(), Spin::Active { .. }));
        assert_eq!(WaitFlags::YIELD.effective(), WaitFlags::YIELD);
        assert_eq!(WaitFlags::empty().effective(), WaitFlags::empty());
    }

    #[test]
    fn unknown_bits_are_refused_however_they_came_in() {
        assert_eq!(WaitFlags::from_bits(1 << 7), None);
        let forced = WaitFlags::from_bits_retain(1 << 7 | 1);
        let refused = forced.spin(Operation::SemaphoreWait).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.message(), Some("unknown wait flags 0x80"));
    }

    #[test]
    fn yield_spins_for_its_time_and_no_longer_than_to_the_deadline() {
        let clock = Clock::monotonic();
        for _ in 0..100 {
            let mut spin = WaitFlags::YIELD.spin(Operation::SemaphoreWait).unwrap();
            let start = clock.now();
            while spin.again(&clock, Time::FAR_FUTURE) {}
            assert!(clock.now().since(start) >= WaitFlags::YIELD_SPIN);
        }
        assert!(
            WaitFlags::YIELD_SPIN >= Duration::from_nanos(200) && WaitFlags::YIELD_SPIN <= Duration::from_nanos(500)
        );
        let mut spin = WaitFlags::YIELD.spin(Operation::SemaphoreWait).unwrap();
        assert!(!spin.again(&clock, clock.now()));
        let mut spin = WaitFlags::ACTIVE.spin(Operation::SemaphoreWait).unwrap();
        let looks = std::iter::from_fn(|| spin.again(&clock, clock.now()).then_some(())).count();
        assert_eq!(looks, TURNS_A_CLOCK_READ as usize - 1, "the clock is read now and then only");
        assert!(!WaitFlags::empty().spin(Operation::SemaphoreWait).unwrap().again(&clock, Time::FAR_FUTURE));
    }
}
