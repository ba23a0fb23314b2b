//! Ticks.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::Stream;
use proact::time::Time;

use super::sleep::{Sleep, sleep_until};
use crate::runtime::now;

/// Ticks every `period`, for the first time one period from now.
///
/// Ticks keep to the times that are whole periods after the first: one that is taken late delays none, and those that
/// were missed meanwhile are left out.
///
/// ```
/// use proact_async::time;
/// use std::time::Duration;
///
/// let runtime = proact_async::Runtime::new()?;
/// runtime.block_on(async {
///     let mut ticks = time::interval(Duration::from_millis(1));
///     let (first, second) = (ticks.tick().await, ticks.tick().await);
///     assert!(second - first >= Duration::from_millis(1));
/// });
/// # Ok::<(), proact::status::Status>(())
/// ```
///
/// # Panics
/// Outside of a runtime; with a period of zero.
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    interval_at(now() + period, period)
}

/// As [`interval`], for the first time at `first`.
///
/// # Panics
/// With a period of zero.
#[track_caller]
pub fn interval_at(first: Time, period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval's period is zero");
    Interval { period, sleep: sleep_until(first) }
}

/// Of [`interval`] and [`interval_at`]. As a [`Stream`] it never ends.
pub struct Interval {
    period: Duration,
    sleep: Sleep,
}

impl Interval {
    /// Waits for the next tick. Answers when it was due. Dropping the future loses no tick.
    pub async fn tick(&mut self) -> Time {
        std::future::poll_fn(|cx| self.poll_tick(cx)).await
    }

    /// As [`Interval::tick`], for futures written by hand.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Time> {
        ready!(Pin::new(&mut self.sleep).poll(cx));
        let due = self.sleep.deadline();
        let late = (now() - due).as_nanos();
        let periods = late / self.period.as_nanos() + 1;
        let ahead = u64::try_from(periods * self.period.as_nanos()).unwrap_or(u64::MAX);
        self.sleep.reset(due + Duration::from_nanos(ahead));
        Poll::Ready(due)
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }
}

impl Stream for Interval {
    type Item = Time;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Time>> {
        self.poll_tick(cx).map(Some)
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval").field("period", &self.period).field("next", &self.sleep.deadline()).finish()
    }
}
