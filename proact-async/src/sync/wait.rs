//! Semaphores and frontiers.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use proact::causal::Frontier;
use proact::operation::{FrontierWait, Kind, SemaphoreWait};
use proact::status::Result;
use proact::sync::{Semaphore, Tracker};
use proact::time::Time;

use crate::runtime::{Operation, operation};

/// Waits until `semaphore` reaches `value`. Yields what caused it: see
/// [`Reached::causes`](proact::operation::Reached::causes).
///
/// ```
/// use proact::sync::Semaphore;
/// use proact_async::{spawn, sync};
///
/// let runtime = proact_async::Runtime::new()?;
/// let done: proact::status::Result = runtime.block_on(async {
///     let semaphore = Semaphore::new(0);
///     let other = semaphore.clone();
///     spawn(async move { other.signal(3, None) });
///     let reached = sync::reach(&semaphore, 2).await?;
///     println!("caused by {:?}", reached.causes);
///     Ok(())
/// });
/// # done?; Ok::<(), proact::status::Status>(())
/// ```
///
/// # Errors
/// What is yielded fails as [`SemaphoreWait`] does: with the semaphore's own failure.
pub fn reach(semaphore: &Semaphore, value: u64) -> Wait<SemaphoreWait> {
    Wait { wait: operation(SemaphoreWait::new(semaphore.clone(), value)) }
}

/// Waits until each semaphore has reached its value. None at all have at once.
///
/// # Errors
/// As for [`reach`].
pub fn reach_all(semaphores: Vec<(Semaphore, u64)>) -> Wait<SemaphoreWait> {
    Wait { wait: operation(SemaphoreWait::all(semaphores)) }
}

/// Waits until the first semaphore reaches its value: [`Reached::index`](proact::operation::Reached::index) says which.
///
/// # Errors
/// As for [`reach`]; `InvalidArgument` for no semaphores.
pub fn reach_any(semaphores: Vec<(Semaphore, u64)>) -> Wait<SemaphoreWait> {
    Wait { wait: operation(SemaphoreWait::any(semaphores)) }
}

/// Waits until every axis of `frontier` has come as far, as `tracker` knows it.
///
/// # Errors
/// What is yielded fails as [`FrontierWait`] does: with the failure of an axis.
pub fn reach_frontier(tracker: &Tracker, frontier: Frontier) -> Wait<FrontierWait> {
    Wait { wait: operation(FrontierWait::new(tracker, frontier)) }
}

/// A wait: of [`reach`] and its like. Dropping it takes nothing, and leaves nothing behind.
#[must_use = "a future does nothing unless it is polled"]
pub struct Wait<K: Kind> {
    wait: Operation<K>,
}

impl<K: Kind> Wait<K> {
    /// Fails with `DeadlineExceeded` if what is waited for has not come by then, on the runtime's clock.
    ///
    /// # Panics
    /// After the first poll.
    #[track_caller]
    pub fn deadline(self, deadline: Time) -> Wait<K> {
        Wait { wait: self.wait.deadline(deadline) }
    }
}

impl<K: Kind> Future for Wait<K> {
    type Output = Result<K::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.wait).poll(cx).map(|(_, outcome)| outcome.result)
    }
}

impl<K: Kind> fmt::Debug for Wait<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Wait").field(&self.wait).finish()
    }
}
