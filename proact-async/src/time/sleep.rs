//! Waiting for a time.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use proact::time::Time;

use super::timers::Place;
use crate::runtime::{now, with_timers};

/// Waits for so long. Never ends early, nor with a [scope](mod@crate::scope), whose end drops it: for a timer that
/// does, await `operation(Timer::new(..))`.
///
/// It is a timer of the runtime that polls it first, and no operation: their number is limited by memory alone, and to
/// call one off, or to set it to another time, takes some tens of nanoseconds however many there are. What is due wakes
/// in the order of the deadlines. One whose deadline lies in the past gives way to others once.
///
/// ```
/// use proact_async::time;
/// use std::time::Duration;
///
/// let runtime = proact_async::Runtime::new()?;
/// runtime.block_on(async {
///     let before = time::now();
///     time::sleep(Duration::from_millis(1)).await;
///     assert!(time::now() - before >= Duration::from_millis(1));
/// });
/// # Ok::<(), proact::status::Status>(())
/// ```
///
/// # Panics
/// Outside of a runtime, whose clock counts from this call.
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    sleep_until(now() + duration)
}

/// Waits until a time on the runtime's clock. Never ends early; never ends at all at
/// [`Time::FAR_FUTURE`].
pub fn sleep_until(deadline: Time) -> Sleep {
    Sleep { deadline, place: None, over: false }
}

/// Of [`sleep`] and [`sleep_until`]. Polled again after its end it is still over.
#[must_use = "a future does nothing unless it is polled"]
pub struct Sleep {
    deadline: Time,
    /// Among the timers of the runtime that has polled it, until it is over.
    place: Option<Place>,
    over: bool,
}

impl Sleep {
    /// When it ends.
    pub fn deadline(&self) -> Time {
        self.deadline
    }

    /// Whether its end was seen by a poll.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Waits for another time instead. Whom it would have woken it wakes then.
    pub fn reset(&mut self, deadline: Time) {
        (self.deadline, self.over) = (deadline, false);
        if let Some(place) = &self.place {
            place.reset(deadline);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.over {
            return Poll::Ready(());
        }
        let Some(place) = &self.place else {
            let place = with_timers(|timers| Place::new(timers, self.deadline, cx));
            self.place = Some(place);
            return Poll::Pending;
        };
        if place.poll(cx).is_pending() {
            return Poll::Pending;
        }
        (self.place, self.over) = (None, true);
        Poll::Ready(())
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).field("over", &self.over).finish()
    }
}
