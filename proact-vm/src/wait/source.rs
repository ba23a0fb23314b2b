//! One thing to wait for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proact::causal::Frontier;
use proact::sync::{Semaphore, Tracker};
use proact::time::Time;

use crate::error::{Error, Result};

/// Something that comes to pass, once: a time, a value of a semaphore, a frontier, or the end of any future.
///
/// It can be asked ([`WaitSource::query`]) and waited for ([`WaitSource::poll`]); both answer the same for ever once it
/// has come to pass or failed. A failure keeps its words. Dropping it takes it out of every line it stands in.
pub struct WaitSource(Source);

enum Source {
    Immediate,
    Deadline(Time),
    Semaphore { semaphore: Semaphore, value: u64, future: Option<proact::sync::SemaphoreFuture> },
    Frontier { tracker: Tracker, frontier: Frontier, future: Option<Box<proact::sync::FrontierReached>> },
    Future(Pin<Box<dyn Future<Output = Result> + Send>>),
    Over(Result),
}

/// What a [`WaitSource`] is, for a host that waits by its own means.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceKind<'a> {
    /// It is over.
    Over,
    /// A time on the invocation's clock.
    Deadline(Time),
    /// A semaphore's value.
    Semaphore(&'a Semaphore, u64),
    /// A frontier on a tracker.
    Frontier(&'a Tracker, &'a Frontier),
    /// Something else, which can only be polled.
    Other,
}

impl WaitSource {
    /// Over from the beginning.
    pub fn immediate() -> WaitSource {
        WaitSource(Source::Immediate)
    }

    /// Over at `time`, on the invocation's clock.
    pub fn deadline(time: Time) -> WaitSource {
        WaitSource(Source::Deadline(time))
    }

    /// Over when the semaphore has reached `value`; fails with it.
    pub fn semaphore(semaphore: &Semaphore, value: u64) -> WaitSource {
        WaitSource(Source::Semaphore { semaphore: semaphore.clone(), value, future: None })
    }

    /// Over when the tracker has seen all of `frontier`; fails with any of its axes.
    pub fn frontier(tracker: &Tracker, frontier: Frontier) -> WaitSource {
        WaitSource(Source::Frontier { tracker: tracker.clone(), frontier, future: None })
    }

    /// Over when the future is: an operation of proact, the end of another invocation, anything. One allocation.
    pub fn future<F, E>(future: F) -> WaitSource
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<Error>,
    {
        WaitSource(Source::Future(Box::pin(async move { future.await.map_err(Into::into) })))
    }

    /// What it is.
    pub fn kind(&self) -> SourceKind<'_> {
        match &self.0 {
            Source::Immediate | Source::Over(_) => SourceKind::Over,
            Source::Deadline(time) => SourceKind::Deadline(*time),
            Source::Semaphore { semaphore, value, .. } => SourceKind::Semaphore(semaphore, *value),
            Source::Frontier { tracker, frontier, .. } => SourceKind::Frontier(tracker, frontier),
            Source::Future(_) => SourceKind::Other,
        }
    }

    /// Whether it is over, without waiting. `now` is the time on the invocation's clock.
    pub fn query(&mut self, now: Time) -> Poll<Result> {
        self.poll(now, &mut Context::from_waker(Waker::noop()))
    }

    /// Whether it is over; if not, the waker is called when that may have changed. A [`SourceKind::Deadline`] calls no
    /// waker: who polls looks at the clock in time.
    pub fn poll(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<Result> {
        let over = match &mut self.0 {
            Source::Immediate => Ok(()),
            Source::Over(result) => return Poll::Ready(result.clone()),
            Source::Deadline(time) if now >= *time => Ok(()),
            Source::Deadline(_) => return Poll::Pending,
            Source::Semaphore { semaphore, value, future } => {
                // Most waits are for what has come to pass: no entry in any line for them.
                if future.is_none() && semaphore.value() >= *value {
                    Ok(())
                } else {
                    let future = future.get_or_insert_with(|| semaphore.future(*value));
                    match Pin::new(future).poll(cx) {
                        Poll::Ready(reached) => reached.map(drop).map_err(Error::from),
                        Poll::Pending => return Poll::Pending,
                    }
                }
            }
            Source::Frontier { tracker, frontier, future } => {
                let future = future.get_or_insert_with(|| Box::new(tracker.reached(frontier.clone())));
                match Pin::new(&mut **future).poll(cx) {
                    Poll::Ready(reached) => reached.map_err(Error::from),
                    Poll::Pending => return Poll::Pending,
                }
            }
            Source::Future(future) => match future.as_mut().poll(cx) {
                Poll::Ready(result) => result,
                Poll::Pending => return Poll::Pending,
            },
        };
        // What it held is given up, so that it stands in no line any more.
        self.0 = Source::Over(over.clone());
        Poll::Ready(over)
    }
}

impl fmt::Debug for WaitSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::Immediate => f.write_str("immediate"),
            Source::Deadline(time) => write!(f, "until {time:?}"),
            Source::Semaphore { semaphore, value, .. } => match semaphore.name() {
                Some(name) => write!(f, "semaphore {name:?} at {value}"),
                None => write!(f, "semaphore at {value}"),
            },
            Source::Frontier { frontier, .. } => write!(f, "frontier {frontier:?}"),
            Source::Future(_) => f.write_str("future"),
            Source::Over(Ok(())) => f.write_str("over"),
            Source::Over(Err(error)) => write!(f, "failed: {error}"),
        }
    }
}
