//! Multishot operations as streams.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use futures_core::Stream;

use super::flight::give_back;
use super::sealed::Answer;
use super::{AnyThread, Here, Port, Step, Submission};
use crate::operation::context::Context;
use crate::operation::engine::Shared;
use crate::operation::identity::OperationId;
use crate::operation::kind::Kind;
use crate::operation::op::{Complete, Marks, Op, Outcome};
use crate::operation::{
    AcceptMany, EventWaitMany, Interval, PollHandleMany, ReceiveFromPooledMany, ReceivePooledMany, RelayMany, Scope,
    SignalWait,
};
use crate::resource::Signal;
use crate::sync::Event;

/// A multishot kind whose outcomes own all that they tell of, so that they may wait to be taken.
///
/// What receives into one buffer of its own again and again is none: receive from a pool.
///
/// Two tell of what is over by the time that they would be submitted again: [`SignalWait`], in whose pause a signal
/// would end the process, and [`RelayMany`]. Their streams are never paused. When as many outcomes wait as may, one
/// more is left out if one that says the same waits already, and is told by that.
pub trait Streamed: Kind {
    /// Whether it may be ended and submitted again, and misses nothing.
    #[doc(hidden)]
    const PAUSES: bool = true;

    /// Whether both say the same. For those that are never paused: they say few different things.
    #[doc(hidden)]
    fn same(_: &Self::Output, _: &Self::Output) -> bool {
        false
    }
}

impl Streamed for AcceptMany {}
impl Streamed for ReceivePooledMany {}
impl Streamed for ReceiveFromPooledMany {}
impl Streamed for EventWaitMany {}
impl Streamed for PollHandleMany {}
impl Streamed for Interval {}

impl Streamed for SignalWait {
    const PAUSES: bool = false;

    fn same(one: &Signal, other: &Signal) -> bool {
        one == other
    }
}

impl Streamed for RelayMany {
    const PAUSES: bool = false;

    fn same((): &(), (): &()) -> bool {
        true
    }
}

/// A multishot operation as a stream of its outcomes: see [the module](super).
///
/// It is submitted by the first poll. Outcomes that are not taken yet wait in the stream, as many as its
/// [capacity](OperationStream::capacity): then the operation is ended, and submitted again once half of them were
/// taken (but see [`Streamed`]). So a consumer that is slow is felt by the kernel (a full backlog of connections, a
/// full receive window) instead of filling memory; what completes until the end has come is kept as well.
///
/// The last item is the outcome that ended it, or the failure of submitting it. Dropping the stream ends the operation
/// without waiting, and drops what waits in it; an event whose sets nobody was told of is set again.
#[must_use = "a stream does nothing unless it is polled"]
pub struct OperationStream<K: Streamed, P: Port<K> = AnyThread> {
    line: Arc<Line<K>>,
    port: P,
}

/// What the stream and its operation share.
struct Line<K: Kind> {
    state: Mutex<State<K>>,
    /// [`Kind::reset`]: for outcomes that nobody takes.
    reset: Option<Event>,
}

struct State<K: Kind> {
    outcomes: VecDeque<Outcome<K>>,
    capacity: usize,
    phase: Phase<K>,
    waker: Option<Waker>,
}

enum Phase<K: Kind> {
    /// To be submitted.
    Idle(Box<Op<K, Feed<K>>>),
    /// Known by this from the moment that the submission has returned.
    InFlight(Option<OperationId>),
    /// Its end was asked for, for there is no room.
    Pausing,
    /// It has ended by itself: what waits is the last.
    Ended,
    /// The stream was dropped.
    Abandoned,
}

/// The state of the operation.
pub struct Feed<K: Kind> {
    line: Arc<Line<K>>,
}

impl<K: Kind> Line<K> {
    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops an outcome that nobody takes. Not under the lock.
    fn discard(&self, outcome: Outcome<K>) {
        give_back(self.reset.as_ref(), &outcome);
        drop(outcome);
    }
}

impl<K: Streamed> State<K> {
    /// Whether the operation is to be ended until there is room.
    fn is_full(&self) -> bool {
        K::PAUSES && self.outcomes.len() >= self.capacity
    }

    /// Whether an outcome that waits says the same.
    fn says(&self, outcome: &Outcome<K>) -> bool {
        let Ok(told) = &outcome.result else { return false };
        self.outcomes.iter().any(|waits| waits.result.as_ref().is_ok_and(|waits| K::same(waits, told)))
    }
}

impl<K: Streamed> Complete<K> for Feed<K> {
    fn more(&mut self, _: &K, outcome: Outcome<K>, cx: &mut Context<'_>) {
        let mut state = self.line.lock();
        if let Phase::Abandoned = state.phase {
            drop(state);
            return self.line.discard(outcome);
        }
        let repeated = !K::PAUSES && state.outcomes.len() >= state.capacity && state.says(&outcome);
        if repeated {
            drop(state);
            return drop(outcome);
        }
        state.outcomes.push_back(outcome);
        let mut full = None;
        // Not known by its name yet: its submission, about to return, sees that there is no room.
        if let Phase::InFlight(id @ Some(_)) = state.phase {
            if state.is_full() {
                state.phase = Phase::Pausing;
                full = id;
            }
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(id) = full {
            // Not found: its last outcome is on the way already.
            let _ = cx.cancel(id);
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn done(op: Box<Op<K, Feed<K>>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        let line = op.state.line.clone();
        let mut state = line.lock();
        let paused = match state.phase {
            Phase::Abandoned => {
                drop(state);
                drop(op);
                return line.discard(outcome);
            }
            // A deadline or scope that ended it as well says so by what it fails with when it is submitted again.
            Phase::Pausing => outcome.result.as_ref().is_err_and(|status| status.is_cancelled()),
            _ => false,
        };
        if paused {
            state.phase = Phase::Idle(op);
        } else {
            state.outcomes.push_back(outcome);
            // The operation owns the line: kept in it, both would stay for ever.
            state.phase = Phase::Ended;
        }
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Outcomes that wait, unless it is said otherwise.
const CAPACITY: usize = 64;

impl<K: Streamed, H: Here> OperationStream<K, H> {
    /// A stream of `kind` on the proactor of this thread, which `here` reaches.
    #[track_caller]
    pub fn here(kind: K, here: H) -> OperationStream<K, H> {
        OperationStream::new(kind, here)
    }
}

impl<K: Streamed + Send> OperationStream<K>
where
    K::Output: Send,
{
    #[track_caller]
    pub(crate) fn any_thread(kind: K, shared: Arc<Shared>) -> OperationStream<K> {
        OperationStream::new(kind, AnyThread(shared))
    }
}

impl<K: Streamed, P: Port<K>> OperationStream<K, P> {
    #[track_caller]
    fn new(kind: K, port: P) -> OperationStream<K, P> {
        let state = State { outcomes: VecDeque::new(), capacity: CAPACITY, phase: Phase::Ended, waker: None };
        let line = Arc::new(Line { state: Mutex::new(state), reset: kind.reset().cloned() });
        let op = Op::new(kind, Feed { line: line.clone() });
        line.lock().phase = Phase::Idle(op);
        OperationStream { line, port }
    }

    /// How many outcomes may wait before the operation is ended until there is room; 64 if it is not said, at least 1.
    pub fn capacity(self, outcomes: usize) -> Self {
        self.line.lock().capacity = outcomes.max(1);
        self
    }

    /// Puts it into `scope`: see [`Op::within`](crate::operation::Op::within). The scope's end is the stream's: its
    /// last item is `Cancelled`.
    ///
    /// # Panics
    /// After the first poll.
    #[track_caller]
    pub fn within(self, scope: &Scope) -> Self {
        let mut state = self.line.lock();
        match std::mem::replace(&mut state.phase, Phase::Ended) {
            Phase::Idle(op) => state.phase = Phase::Idle(op.within(scope)),
            _ => panic!("the operation was submitted already"),
        }
        drop(state);
        self
    }

    /// How many outcomes wait to be taken.
    pub fn waiting(&self) -> usize {
        self.line.lock().outcomes.len()
    }

    fn submit(&self, op: Box<Op<K, Feed<K>>>, cx: &mut std::task::Context<'_>) {
        let raw = op.into_raw();
        let step = Step::new(raw);
        // Before: its outcomes may come on another thread at once.
        self.line.lock().phase = Phase::InFlight(None);
        self.port.submit(Submission { first: &step, rest: None }, cx);
        let answer = step.answer.take();
        if let Answer::Submitted(id) = answer {
            let mut state = self.line.lock();
            let mut full = false;
            if let Phase::InFlight(known) = &mut state.phase {
                *known = Some(id);
                full = state.is_full();
            }
            if full {
                state.phase = Phase::Pausing;
                drop(state);
                self.port.cancel(id);
            }
            return;
        }
        // SAFETY: not submitted, so this is the only pointer to what was a box of these types.
        let op = unsafe { Op::<K, Feed<K>>::from_raw(raw) };
        let mut state = self.line.lock();
        match answer {
            Answer::Refused(status) => {
                let result = Err(status.located(op.header.location));
                state.outcomes.push_back(Outcome { result, moved: 0, marks: Marks::empty() });
                state.phase = Phase::Ended;
            }
            _ => state.phase = Phase::Idle(op),
        }
    }
}

impl<K: Streamed, P: Port<K>> Unpin for OperationStream<K, P> {}

impl<K: Streamed, P: Port<K>> Stream for OperationStream<K, P> {
    type Item = Outcome<K>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<Option<Outcome<K>>> {
        let mut state = self.line.lock();
        if let Phase::Idle(_) = state.phase {
            if state.outcomes.len() <= state.capacity / 2 {
                let Phase::Idle(op) = std::mem::replace(&mut state.phase, Phase::Ended) else { unreachable!() };
                drop(state);
                self.submit(op, cx);
                state = self.line.lock();
            }
        }
        if let Some(outcome) = state.outcomes.pop_front() {
            return Poll::Ready(Some(outcome));
        }
        if let Phase::Ended = state.phase {
            return Poll::Ready(None);
        }
        let known = state.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        let old = if known { None } else { state.waker.replace(cx.waker().clone()) };
        drop(state);
        // Not under the lock: that may run a user's code.
        drop(old);
        Poll::Pending
    }
}

impl<K: Streamed, P: Port<K>> Drop for OperationStream<K, P> {
    fn drop(&mut self) {
        let mut state = self.line.lock();
        let phase = std::mem::replace(&mut state.phase, Phase::Abandoned);
        let (outcomes, waker) = (std::mem::take(&mut state.outcomes), state.waker.take());
        drop(state);
        if let Phase::InFlight(Some(id)) = phase {
            self.port.cancel(id);
        }
        outcomes.into_iter().for_each(|outcome| self.line.discard(outcome));
        drop((phase, waker));
    }
}

// SAFETY: the kind and its outcomes may go to another thread, and the lock guards what is shared with the poll thread.
unsafe impl<K: Streamed + Send> Send for OperationStream<K> where K::Output: Send {}

impl<K: Streamed, P: Port<K>> fmt::Debug for OperationStream<K, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationStream({}, {} waiting)", K::OPERATION, self.waiting())
    }
}
