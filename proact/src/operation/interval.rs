//! Periodic timers.

use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::time::Duration;

use super::kind::{Class, Kind, Portable, sealed::Sealed};
use crate::resource::Home;
use crate::status::{Code, Operation, Result, Status};
use crate::time::Time;

/// Fires again and again, at `start`, `start + period`, `start + 2 period`, ...: a multishot operation. Yields how many
/// of these times have come since it last fired, which is more than one when the poll thread was late.
///
/// Every time is reckoned from the start, so that errors do not add up. It ends by a cancel, or after
/// [`Interval::times`].
///
/// ```
/// # use proact::operation::{Complete, Context, Interval, Op, Outcome};
/// # use std::time::Duration;
/// struct Count(u64);
/// impl Complete<Interval> for Count {
///     fn more(&mut self, _: &Interval, outcome: Outcome<Interval>, _: &mut Context<'_>) {
///         self.0 += outcome.result.unwrap();
///     }
///     fn done(op: Box<Op<Interval, Self>>, outcome: Outcome<Interval>, _: &mut Context<'_>) {
///         assert_eq!(op.state.0 + outcome.result.unwrap(), 3);
///     }
/// }
/// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// let interval = Interval::new(proactor.now(), Duration::from_micros(100)).times(3);
/// proactor.submit(Op::new(interval, Count(0))).unwrap();
/// proactor.run().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Interval {
    start: Time,
    period: Duration,
    times: Option<NonZeroU64>,
    state: IntervalState,
}

/// What the engine works on. Hidden.
#[derive(Clone, Debug)]
pub struct IntervalState {
    pub(super) next: Time,
    pub(super) period: Duration,
    /// Expirations until it ends; `u64::MAX`: it does not end by itself.
    pub(super) left: u64,
}

impl IntervalState {
    /// Takes note that `now` is at or after `next`. Answers how many expirations that is, and whether they are the
    /// last.
    pub(super) fn expire(&mut self, now: Time) -> (u64, bool) {
        let late = now.since(self.next).as_nanos();
        let due = u64::try_from(late / self.period.as_nanos()).unwrap_or(u64::MAX - 1) + 1;
        let expired = due.min(self.left).min(i32::MAX as u64);
        // Within 2^31 periods, and a period of more than 292 years saturates at the end of time, which never comes.
        self.next = self.next + self.period.saturating_mul(expired as u32);
        if self.left != u64::MAX {
            self.left -= expired;
        }
        (expired, self.left == 0)
    }
}

impl Interval {
    /// Fires first at `start`, or on the next poll when that is past.
    pub fn new(start: Time, period: Duration) -> Interval {
        Interval { start, period, times: None, state: IntervalState { next: start, period, left: u64::MAX } }
    }

    /// Ends by itself after so many expirations. 0 is the same as not calling this: without end.
    #[must_use]
    pub fn times(mut self, times: u64) -> Interval {
        self.times = NonZeroU64::new(times);
        self
    }
}

impl Sealed for Interval {}

impl Kind for Interval {
    type Output = u64;
    const OPERATION: Operation = Operation::Interval;
    const CLASS: Class = Class::Timer;
    const MULTISHOT: bool = true;

    fn validate(&mut self, _: Home) -> Result<()> {
        if self.period.is_zero() {
            return Err(Status::new(Code::InvalidArgument, Self::OPERATION).with_message("a period of zero"));
        }
        let left = self.times.map_or(u64::MAX, NonZeroU64::get);
        self.state = IntervalState { next: self.start, period: self.period, left };
        Ok(())
    }

    fn portable(&mut self) -> Portable {
        Portable::Interval(NonNull::from(&mut self.state))
    }

    fn settle_more(&self, value: i64, _: Home) -> Result<u64> {
        Ok(value as u64)
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<u64> {
        Ok(value as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(left: u64) -> IntervalState {
        let period = Duration::from_nanos(10);
        IntervalState { next: Time::from_nanoseconds(100), period, left }
    }

    #[test]
    fn missed_expirations_are_counted_and_the_grid_is_kept() {
        let mut interval = state(u64::MAX);
        assert_eq!(interval.expire(Time::from_nanoseconds(100)), (1, false));
        assert_eq!(interval.next, Time::from_nanoseconds(110));
        assert_eq!(interval.expire(Time::from_nanoseconds(139)), (3, false));
        assert_eq!(interval.next, Time::from_nanoseconds(140));
    }

    #[test]
    fn it_never_fires_more_often_than_asked() {
        let mut interval = state(4);
        assert_eq!(interval.expire(Time::from_nanoseconds(105)), (1, false));
        assert_eq!(interval.expire(Time::from_nanoseconds(1_000)), (3, true));
    }

    #[test]
    fn a_long_sleep_with_a_short_period_stays_within_the_count_that_is_told() {
        let mut interval = IntervalState { next: Time::ORIGIN, period: Duration::from_nanos(1), left: u64::MAX };
        let now = Time::from_nanoseconds(1 << 40);
        assert_eq!(interval.expire(now), (i32::MAX as u64, false));
        assert!(interval.next < now, "the rest is told next time");
    }
}
