//! Futures that may take only so long.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use proact::time::Time;

use super::sleep::{Sleep, sleep, sleep_until};

/// Waits for a future, but only for so long: then it is dropped, which cancels what it was at.
///
/// A single operation has a deadline of its own instead, which needs no second timer and tells what was done until
/// then: [`OperationFuture::deadline`](proact::operation::future::OperationFuture::deadline).
///
/// ```
/// use proact_async::time;
/// use std::time::Duration;
///
/// let runtime = proact_async::Runtime::new()?;
/// let never = time::timeout(Duration::from_millis(1), std::future::pending::<()>());
/// assert!(runtime.block_on(async { never.await }).is_err());
/// # Ok::<(), proact::status::Status>(())
/// ```
///
/// # Panics
/// Outside of a runtime, when it is polled.
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timed<F> {
    Timed { future: Some(future), limit: Limit::After(duration) }
}

/// As [`timeout`], until a time on the runtime's clock.
pub fn timeout_at<F: Future>(deadline: Time, future: F) -> Timed<F> {
    Timed { future: Some(future), limit: Limit::At(deadline) }
}

pin_project_lite::pin_project! {
    /// Of [`timeout`] and [`timeout_at`].
    #[must_use = "a future does nothing unless it is polled"]
    pub struct Timed<F> {
        // `None` after its end.
        #[pin]
        future: Option<F>,
        limit: Limit,
    }
}

enum Limit {
    After(Duration),
    At(Time),
    Running(Sleep),
}

/// The time was over before the future.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over")
    }
}

impl std::error::Error for Elapsed {}

impl<F: Future> Future for Timed<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (mut future, limit) = (this.future, this.limit);
        let running = future.as_mut().as_pin_mut().expect("a future is not polled after its end");
        let output = match running.poll(cx) {
            Poll::Ready(output) => Ok(output),
            Poll::Pending => {
                // The clock counts from the first poll.
                match limit {
                    Limit::After(duration) => *limit = Limit::Running(sleep(*duration)),
                    Limit::At(deadline) => *limit = Limit::Running(sleep_until(*deadline)),
                    Limit::Running(_) => {}
                }
                let Limit::Running(sleep) = limit else { unreachable!("just set") };
                if Pin::new(sleep).poll(cx).is_pending() {
                    return Poll::Pending;
                }
                Err(Elapsed)
            }
        };
        future.set(None);
        Poll::Ready(output)
    }
}

impl<F> fmt::Debug for Timed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timed").field("over", &self.future.is_none()).finish_non_exhaustive()
    }
}
