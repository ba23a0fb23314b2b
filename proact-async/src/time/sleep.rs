//! Waiting for a time.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use proact::operation::Timer;
use proact::time::Time;

use crate::runtime::{Operation, now, operation};
use crate::scope::outside;

/// Waits for so long. Never ends early, nor with a [scope](mod@crate::scope), whose end drops it: for a timer that
/// does, await `operation(Timer::new(..))`.
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

/// Waits until a time on the runtime's clock. Never ends early.
#[track_caller]
pub fn sleep_until(deadline: Time) -> Sleep {
    Sleep { deadline, timer: operation(Timer::new(deadline)), over: false }
}

/// Of [`sleep`] and [`sleep_until`]. Polled again after its end it is still over.
#[must_use = "a future does nothing unless it is polled"]
pub struct Sleep {
    deadline: Time,
    timer: Operation<Timer>,
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

    /// Waits for another time instead.
    #[track_caller]
    pub fn reset(&mut self, deadline: Time) {
        *self = sleep_until(deadline);
    }
}

impl Future for Sleep {
    type Output = ();

    /// # Panics
    /// Outside of a runtime; and when the proactor refuses one operation more: see its
    /// [limit](proact::proactor::Builder::operations).
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.over {
            return Poll::Ready(());
        }
        // Outside of scopes, whose end it could not tell.
        let first = self.timer.id().is_none();
        let timer = Pin::new(&mut self.timer);
        let (_, outcome) = ready!(if first { outside(|| timer.poll(cx)) } else { timer.poll(cx) });
        self.over = true;
        if let Err(status) = outcome.result {
            panic!("a timer failed: {status}");
        }
        Poll::Ready(())
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").field("deadline", &self.deadline).field("over", &self.over).finish()
    }
}
