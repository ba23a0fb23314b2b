//! Operations as futures, under any executor.
//!
//! A kind becomes an [`OperationFuture`]: submitted by its first poll, it yields the kind, and with it the buffer, and
//! its [`Outcome`]. It may be dropped at any time. Before its first poll that does nothing; later it cancels the
//! operation and blocks nobody: storage, buffer and resources stay the engine's until the operation's end, and what it
//! yields then (a connection, an open file, a buffer of a pool) is adopted and dropped. An event that it has reset by
//! then is set again, for others who wait for it.
//!
//! There are two ways to the proactor:
//!
//! - [`Handle::future`](crate::proactor::Handle::future) goes from any thread, so from any executor; such a future is
//!   `Send` when its kind is.
//! - [`OperationFuture::here`] goes straight to the proactor of this thread, through whatever runs it: see [`Here`].
//!   The crate `proact-async` has such an executor.
//!
//! Storage is recycled by the thread that frees it, so that in steady state nothing is allocated.

mod chain;
mod flight;
#[cfg(all(test, loom))]
mod loom_tests;
#[doc(hidden)] // for proact-async, whose tasks come and go as operations do
pub mod storage;
mod stream;
#[cfg(all(test, not(loom)))]
mod tests;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Poll};

use self::flight::{FlightPtr, Look};
use self::sealed::Answer;
use super::batch::{Batch, Ids, OpList, link};
use super::chain::Lowering;
use super::engine::Shared;
use super::identity::OperationId;
use super::kind::Kind;
use super::op::{AnyOp, Header, Marks, Outcome};
use super::scope::Scope;
use crate::status::{Operation, Status};
use crate::time::Time;

pub use self::chain::{OperationChain, Steps, chain};
pub use self::stream::{OperationStream, Streamed};

/// One operation as a future: see [the module](self).
///
/// `P` is the way to its proactor.
///
/// ```
/// use std::future::Future;
/// use std::pin::pin;
/// use std::task::{Context, Poll, Waker};
/// use std::time::Duration;
///
/// use proact::operation::Timer;
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let soon = proactor.now() + Duration::from_millis(1);
/// let mut future = pin!(proactor.handle().future(Timer::new(soon)));
/// let mut cx = Context::from_waker(Waker::noop());
/// let outcome = loop {
///     match future.as_mut().poll(&mut cx) {
///         Poll::Ready((_, outcome)) => break outcome,
///         Poll::Pending => proactor.poll(proact::time::Timeout::Infinite)?,
///     };
/// };
/// assert!(outcome.result.is_ok());
/// # Ok::<(), proact::status::Status>(())
/// ```
#[must_use = "a future does nothing unless it is polled"]
pub struct OperationFuture<K: Kind, P: Port<K> = AnyThread> {
    /// `None` after its end.
    flight: Option<FlightPtr<K>>,
    port: P,
}

/// How a future reaches the proactor that runs on its own thread: what an executor is to implement.
///
/// A future that goes this way stays on its thread.
pub trait Here: 'static {
    /// Hands the operation to the proactor: by [`Proactor::submit`](crate::proactor::Proactor::submit) or
    /// [`Context::submit`](super::Context::submit), whose refusal goes to [`Submission::refuse`]. One that is dropped
    /// instead is submitted by the next poll of its future; then this sees to it that there is one.
    fn submit(&self, submission: Submission<'_>, cx: &mut Context<'_>);

    /// Asks that an operation end early, whose future was dropped: now, or soon if the proactor is at work. Where the
    /// proactor is gone there is nothing to be done.
    fn cancel(&self, id: OperationId);
}

/// An operation on its way from a future to the proactor, or those of a [chain](self::chain()): a [`Batch`].
pub struct Submission<'a> {
    first: &'a Step,
    /// Of a chain: the others.
    rest: Option<&'a Rest<'a>>,
}

/// One operation of a submission, and what has come of it.
struct Step {
    /// Its future's, which lends it to the submission.
    op: NonNull<Header>,
    answer: Cell<Answer>,
}

impl Step {
    fn new(op: NonNull<Header>) -> Step {
        Step { op, answer: Cell::new(Answer::None) }
    }
}

struct Rest<'a> {
    steps: &'a [Step],
    lowering: Lowering,
}

impl Submission<'_> {
    /// Puts the operation into `scope`, unless it is in one already; of a chain each.
    pub fn join(&mut self, scope: &Scope) {
        for step in self.steps() {
            let mut raw = step.op;
            // SAFETY: not in flight, and lent to this submission alone.
            let extras = unsafe { &mut raw.as_mut().extras }.get_or_insert_with(storage::take_extras);
            extras.scope.get_or_insert_with(|| scope.clone());
        }
    }

    /// What it does; of a chain, what its first step does.
    pub fn operation(&self) -> Operation {
        // SAFETY: the operation is its future's until it is submitted, and that has lent it for this value's life.
        unsafe { self.first.op.as_ref() }.table.operation
    }

    /// It was not submitted, and its future ends with this.
    pub fn refuse(self, status: Status) {
        for step in self.rest.iter().flat_map(|rest| rest.steps) {
            step.answer.set(Answer::Refused(status.clone()));
        }
        self.first.answer.set(Answer::Refused(status));
    }

    #[inline]
    fn steps(&self) -> impl Iterator<Item = &Step> {
        std::iter::once(self.first).chain(self.rest.iter().flat_map(|rest| rest.steps))
    }
}

impl fmt::Debug for Submission<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Submission({})", self.operation())
    }
}

// SAFETY: the operations of the steps in, the same ones out, in their order. They are the submission's, which their
// future lends it once.
unsafe impl<'a> Batch for Submission<'a> {
    type Ids = OperationId;
    type Shape = Submission<'a>;

    /// Where its future was made (of a chain, its first step's), not where an executor submits it.
    #[inline]
    fn location(&self) -> &'static Location<'static> {
        // SAFETY: as in `Submission::operation`.
        unsafe { self.first.op.as_ref() }.location
    }

    #[inline]
    fn string(self, list: &mut OpList) -> Self::Shape {
        // SAFETY: the operation is not in flight and was lent to this submission alone.
        unsafe { AnyOp::from_raw(self.first.op) }.string(list);
        if let Some(rest) = self.rest {
            let head = list.tail();
            for step in rest.steps {
                // SAFETY: as above.
                unsafe { AnyOp::from_raw(step.op) }.string(list);
            }
            link(head, rest.lowering);
        }
        self
    }

    fn unstring(shape: Self::Shape, list: &mut OpList) -> Self {
        for step in shape.steps() {
            step.answer.set(Answer::None);
            // The operation is its future's, which has lent it.
            let _ = AnyOp::unstring((), list).into_raw();
        }
        shape
    }

    /// Of a chain, its first step's.
    #[inline]
    fn ids(shape: &Self::Shape, ids: &mut Ids) -> OperationId {
        let first = ids.take();
        shape.first.answer.set(Answer::Submitted(first));
        for step in shape.rest.iter().flat_map(|rest| rest.steps) {
            step.answer.set(Answer::Submitted(ids.take()));
        }
        first
    }
}

/// A way from a future to its proactor: [`AnyThread`], or a way of this thread ([`Here`]).
pub trait Port<K: Kind>: sealed::Port {}

impl<K: Kind + Send> Port<K> for AnyThread where K::Output: Send {}
impl<K: Kind, H: Here> Port<K> for H {}

mod sealed {
    use super::{Context, OperationId, Status, Submission};

    /// What a submission has come to.
    #[derive(Default)]
    pub enum Answer {
        #[default]
        None,
        Submitted(OperationId),
        Refused(Status),
    }

    pub trait Port {
        /// Whether outcomes may come on another thread than the future's.
        const SHARED: bool;
        fn submit(&self, submission: Submission<'_>, cx: &mut Context<'_>);
        fn cancel(&self, id: OperationId);
    }
}

impl<H: Here> sealed::Port for H {
    const SHARED: bool = false;

    #[inline]
    fn submit(&self, submission: Submission<'_>, cx: &mut Context<'_>) {
        Here::submit(self, submission, cx);
    }

    fn cancel(&self, id: OperationId) {
        Here::cancel(self, id);
    }
}

/// The way to a proactor from any thread: of [`Handle::future`](crate::proactor::Handle::future).
#[derive(Clone)]
pub struct AnyThread(pub(crate) Arc<Shared>);

impl sealed::Port for AnyThread {
    const SHARED: bool = true;

    fn submit(&self, submission: Submission<'_>, _: &mut Context<'_>) {
        if let Err(refused) = self.0.submit(submission) {
            refused.batch.refuse(refused.status);
        }
    }

    fn cancel(&self, id: OperationId) {
        // Not found: it has just ended, and frees itself.
        let _ = self.0.cancel(id);
    }
}

impl fmt::Debug for AnyThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyThread({:?})", self.0.name)
    }
}

impl<K: Kind, H: Here> OperationFuture<K, H> {
    /// A future of `kind` on the proactor of this thread, which `here` reaches.
    #[track_caller]
    pub fn here(kind: K, here: H) -> OperationFuture<K, H> {
        const { assert!(!K::MULTISHOT, "a multishot operation has many outcomes: it is a stream") };
        OperationFuture { flight: Some(FlightPtr::new::<false>(kind)), port: here }
    }
}

impl<K: Kind + Send> OperationFuture<K>
where
    K::Output: Send,
{
    #[track_caller]
    pub(crate) fn any_thread(kind: K, shared: Arc<Shared>) -> OperationFuture<K> {
        const { assert!(!K::MULTISHOT, "a multishot operation has many outcomes: it is a stream") };
        OperationFuture { flight: Some(FlightPtr::new::<true>(kind)), port: AnyThread(shared) }
    }
}

impl<K: Kind, P: Port<K>> OperationFuture<K, P> {
    /// Ends it with `DeadlineExceeded` if it has not ended by itself at `deadline`, on the proactor's clock: see
    /// [`Op::deadline`](super::Op::deadline).
    ///
    /// # Panics
    /// After the first poll.
    #[track_caller]
    pub fn deadline(self, deadline: Time) -> Self {
        // SAFETY: not in flight, and this future's.
        unsafe { self.unsubmitted().extras() }.deadline = Some(deadline);
        self
    }

    /// Puts it into `scope`: see [`Op::within`](super::Op::within).
    ///
    /// # Panics
    /// After the first poll.
    #[track_caller]
    pub fn within(self, scope: &Scope) -> Self {
        // SAFETY: not in flight, and this future's.
        unsafe { self.unsubmitted().extras() }.scope = Some(scope.clone());
        self
    }

    #[track_caller]
    fn unsubmitted(&self) -> FlightPtr<K> {
        match self.flight {
            // SAFETY: this future's, until it is forgotten.
            Some(flight) if !unsafe { flight.is_submitted() } => flight,
            _ => panic!("the operation was submitted already"),
        }
    }

    /// What it is called while it is in flight.
    pub fn id(&self) -> Option<OperationId> {
        // SAFETY: this future's, until it is forgotten.
        unsafe { self.flight?.id() }
    }

    /// The first poll, or the next one after the proactor could not be reached.
    fn submit(&mut self, flight: FlightPtr<K>, cx: &mut Context<'_>) -> Poll<(K, Outcome<K>)> {
        // SAFETY: not in flight, and this future's.
        unsafe { flight.set_waker(cx.waker()) };
        let step = Step::new(flight.header());
        self.port.submit(Submission { first: &step, rest: None }, cx);
        self.answered(flight, step.answer.take())
    }

    /// Takes note of what has come of its submission.
    #[inline]
    fn answered(&mut self, flight: FlightPtr<K>, answer: Answer) -> Poll<(K, Outcome<K>)> {
        match answer {
            // SAFETY: this future's, until it is forgotten.
            Answer::Submitted(id) => unsafe { flight.submitted(id) },
            Answer::None => {}
            Answer::Refused(status) => {
                self.flight = None;
                // SAFETY: refused, so this future's alone and without an outcome; just forgotten.
                let (location, kind) = unsafe { (flight.location(), flight.take_kind()) };
                let result = Err(status.located(location));
                return Poll::Ready((kind, Outcome { result, moved: 0, marks: Marks::empty() }));
            }
        }
        Poll::Pending
    }
}

impl<K: Kind, H: Here> OperationFuture<K, H> {
    /// Polls it, and answers with what `take` makes of the operation and its outcome: for futures that give out a part
    /// of an operation, without moving all of it. `take` should not panic: what the operation lay in is lost then.
    ///
    /// # Panics
    /// As its `poll`: after its end.
    #[inline]
    pub fn poll_with<R>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        take: impl FnOnce(K, Outcome<K>) -> R,
    ) -> Poll<R> {
        let this = &mut *self;
        let flight = this.flight.expect("a future is not polled after its end");
        // SAFETY: this future's, until it is forgotten; one that goes this way stays on its thread.
        if unsafe { flight.is_submitted() && flight.is_ready_here() } {
            this.flight = None;
            // SAFETY: ended with its outcome there; just forgotten.
            return Poll::Ready(unsafe { flight.take_with(take) });
        }
        self.poll(cx).map(|(kind, outcome)| take(kind, outcome))
    }
}

impl<K: Kind, P: Port<K>> Unpin for OperationFuture<K, P> {}

impl<K: Kind, P: Port<K>> Future for OperationFuture<K, P> {
    type Output = (K, Outcome<K>);

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<(K, Outcome<K>)> {
        let this = &mut *self;
        let flight = this.flight.expect("a future is not polled after its end");
        // SAFETY: this future's, until it is forgotten.
        if !unsafe { flight.is_submitted() } {
            return this.submit(flight, cx);
        }
        this.look(flight, cx)
    }
}

impl<K: Kind, P: Port<K>> OperationFuture<K, P> {
    /// A poll of what was submitted.
    #[inline]
    fn look(&mut self, flight: FlightPtr<K>, cx: &mut Context<'_>) -> Poll<(K, Outcome<K>)> {
        // SAFETY: in flight, or ended with its outcome there, which is forgotten once it is taken.
        let look =
            unsafe { if P::SHARED { flight.look::<true>(cx.waker()) } else { flight.look::<false>(cx.waker()) } };
        match look {
            Look::Pending => Poll::Pending,
            Look::Ending => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Look::Ready(kind, outcome) => {
                self.flight = None;
                Poll::Ready((kind, outcome))
            }
        }
    }
}

impl<K: Kind, P: Port<K>> OperationFuture<K, P> {
    /// Gives up what there is. Answers what is to be cancelled, if that goes on.
    #[inline]
    fn abandon(&mut self) -> Option<OperationId> {
        let flight = self.flight.take()?;
        // SAFETY: just forgotten, and not given up yet.
        let Some(id) = (unsafe { flight.id() }) else {
            // SAFETY: never submitted, so this future's alone and without an outcome; just forgotten.
            drop(unsafe { flight.take_kind() });
            return None;
        };
        // SAFETY: in flight, or ended with its outcome there; just forgotten.
        let goes_on = unsafe { if P::SHARED { flight.abandon::<true>() } else { flight.abandon::<false>() } };
        goes_on.then_some(id)
    }
}

impl<K: Kind, P: Port<K>> Drop for OperationFuture<K, P> {
    fn drop(&mut self) {
        if let Some(id) = self.abandon() {
            self.port.cancel(id);
        }
    }
}

// SAFETY: made for a kind and output that may go to another thread; what is shared with the poll thread, the flight's
// word guards.
unsafe impl<K: Kind + Send> Send for OperationFuture<K> where K::Output: Send {}

// SAFETY: nothing but its identity can be learned from a shared reference.
unsafe impl<K: Kind + Send> Sync for OperationFuture<K> where K::Output: Send {}

impl<K: Kind, P: Port<K>> fmt::Debug for OperationFuture<K, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationFuture({}, {:?})", K::OPERATION, self.id())
    }
}
