//! What a call waits for, whole: some sources, and until when.

use std::fmt;
use std::task::{Context, Poll};

use proact::time::Time;

use super::{SourceKind, WaitSource};
use crate::error::{Error, Result};

/// When a wait is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitKind {
    /// At its time.
    Until,
    /// With the first of its sources.
    Any,
    /// With the last of its sources, or the first that fails.
    All,
    /// When the function's waker is called.
    Woken,
}

/// What a wait came to: the index of the source that ended it, for a wait for any, else 0; or why it failed.
/// `DEADLINE_EXCEEDED` when its own deadline, or that of the invocation, came first.
pub type WaitOutcome = Result<usize>;

/// A wait that a function has asked for.
///
/// ```
/// use proact::sync::Semaphore;
/// use proact_vm::wait::{WaitFrame, WaitSource};
///
/// let (one, other) = (Semaphore::new(0), Semaphore::new(0));
/// let wait = WaitFrame::any([WaitSource::semaphore(&one, 1), WaitSource::semaphore(&other, 1)]);
/// assert_eq!(wait.sources().count(), 2);
/// ```
#[derive(Debug)]
pub struct WaitFrame {
    kind: WaitKind,
    /// Most waits have one: no allocation for it.
    first: Option<WaitSource>,
    rest: Vec<WaitSource>,
    deadline: Option<Time>,
    or_woken: bool,
}

impl WaitFrame {
    fn new(kind: WaitKind, sources: impl IntoIterator<Item = WaitSource>) -> WaitFrame {
        let mut sources = sources.into_iter();
        WaitFrame { kind, first: sources.next(), rest: sources.collect(), deadline: None, or_woken: false }
    }

    /// Over at `time`, on the invocation's clock.
    pub fn until(time: Time) -> WaitFrame {
        WaitFrame::new(WaitKind::Until, [WaitSource::deadline(time)])
    }

    /// Over with the first of `sources`. One that failed ends it with its failure; of no sources it is over at once.
    pub fn any(sources: impl IntoIterator<Item = WaitSource>) -> WaitFrame {
        WaitFrame::new(WaitKind::Any, sources)
    }

    /// Over when all of `sources` are, or one has failed.
    pub fn all(sources: impl IntoIterator<Item = WaitSource>) -> WaitFrame {
        WaitFrame::new(WaitKind::All, sources)
    }

    /// Over when the function's waker is called: for futures that it polls by itself.
    pub fn woken() -> WaitFrame {
        WaitFrame { or_woken: true, ..WaitFrame::new(WaitKind::Woken, []) }
    }

    /// Fails with `DEADLINE_EXCEEDED` at `time`. The earliest of those given counts.
    #[must_use]
    pub fn deadline(mut self, time: Time) -> WaitFrame {
        self.deadline = Some(self.deadline.map_or(time, |deadline| deadline.min(time)));
        self
    }

    /// The function is resumed as well when its waker is called, and finds this frame as it stands.
    #[must_use]
    pub fn or_woken(mut self) -> WaitFrame {
        self.or_woken = true;
        self
    }

    /// When it is over.
    pub fn kind(&self) -> WaitKind {
        self.kind
    }

    /// What it is for.
    pub fn sources(&self) -> impl Iterator<Item = &WaitSource> {
        self.first.iter().chain(&self.rest)
    }

    /// When it fails, if nothing comes before.
    pub fn fails_at(&self) -> Option<Time> {
        self.deadline
    }

    /// Whether the function is resumed as well when its waker is called: it waits for something else at once, which is
    /// no source. Who waits by its own means cannot see that, and polls such a wait.
    pub fn is_or_woken(&self) -> bool {
        self.or_woken
    }

    /// The next time at which it may be over by the clock alone: who waits looks again then.
    pub fn next_time(&self) -> Option<Time> {
        let times = self.sources().filter_map(|source| match source.kind() {
            SourceKind::Deadline(time) => Some(time),
            _ => None,
        });
        times.chain(self.deadline).min()
    }

    /// Whether the wait is over; if not, the waker is called when that may have changed, but for the passing of time:
    /// see [`WaitFrame::next_time`]. What has come to pass counts before a deadline that has passed as well.
    pub fn poll(&mut self, now: Time, cx: &mut Context<'_>) -> Poll<WaitOutcome> {
        let (mut pending, mut over) = (0, None);
        for (index, source) in self.first.iter_mut().chain(&mut self.rest).enumerate() {
            match source.poll(now, cx) {
                Poll::Pending => pending += 1,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if self.kind == WaitKind::Any => {
                    over = Some(index);
                    break;
                }
                Poll::Ready(Ok(())) => {}
            }
        }
        if over.is_some() || (pending == 0 && self.kind != WaitKind::Woken) {
            return Poll::Ready(Ok(over.unwrap_or(0)));
        }
        match self.deadline {
            Some(deadline) if now >= deadline => Poll::Ready(Err(Error::deadline_exceeded())),
            _ => Poll::Pending,
        }
    }
}

/// What is waited for, in words.
impl fmt::Display for WaitFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            WaitKind::Woken => f.write_str("to be woken")?,
            WaitKind::Until => {}
            WaitKind::Any => f.write_str("any of ")?,
            WaitKind::All => f.write_str("all of ")?,
        }
        f.debug_list().entries(self.sources()).finish()
    }
}
