//! Chains of futures: submitted together, each starts when the one before it has succeeded.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::sealed::Answer;
use super::{OperationFuture, Port, Rest, Step, Submission};
use crate::operation::chain::Lowering;
use crate::operation::kind::Kind;
use crate::operation::op::Outcome;

/// Links operations that were not polled yet: one future, which submits all of them at once and yields what each would
/// have.
///
/// It is [`Chain`](crate::operation::Chain) as a future: when a step fails, every later one ends with `Cancelled` and
/// without effect, and where the kernel can carry the whole chain out it does. The future ends when the last step has;
/// none of them is waited for alone. Dropping it cancels what has not ended, as dropping each of its futures would.
///
/// All of them go the way of the first, so to one proactor. A step's own
/// [`deadline`](OperationFuture::deadline) and [scope](OperationFuture::within) stay its own.
///
/// ```
/// # use std::future::Future;
/// # use std::pin::pin;
/// # use std::task::{Context, Poll, Waker};
/// use std::time::Duration;
///
/// use proact::operation::future::chain;
/// use proact::operation::{Nop, Timer};
///
/// # let mut proactor = proact::proactor::Builder::new().build()?;
/// let handle = proactor.handle();
/// let soon = proactor.now() + Duration::from_millis(1);
/// let both = chain((handle.future(Timer::new(soon)), handle.future(Nop)));
/// # let mut both = pin!(both);
/// # let mut cx = Context::from_waker(Waker::noop());
/// # let ((_, timer), (Nop, nop)) = loop {
/// #     match both.as_mut().poll(&mut cx) {
/// #         Poll::Ready(outcomes) => break outcomes,
/// #         Poll::Pending => proactor.poll(proact::time::Timeout::Infinite)?,
/// #     };
/// # };
/// # /*
/// let ((_, timer), (Nop, nop)) = both.await;
/// # */
/// assert!(timer.result.is_ok() && nop.result.is_ok());
/// # Ok::<(), proact::status::Status>(())
/// ```
///
/// # Panics
/// When it is polled with a step that was polled before.
pub fn chain<S: Steps>(steps: S) -> OperationChain<S> {
    OperationChain { steps, done: S::Done::default(), lowering: Lowering::Auto, submitted: false }
}

/// What [`chain`] makes.
///
/// It yields a tuple of what each step yields: the kind, and with it the buffer, and its [`Outcome`]. When the chain is
/// refused each of them is the refusal.
#[must_use = "a future does nothing unless it is polled"]
pub struct OperationChain<S: Steps> {
    steps: S,
    /// Of the steps that have ended.
    done: S::Done,
    lowering: Lowering,
    submitted: bool,
}

impl<S: Steps> OperationChain<S> {
    /// Who takes the step from one operation to the next: see [`Lowering`]. Without effect after the first poll.
    pub fn lowering(mut self, lowering: Lowering) -> Self {
        self.lowering = lowering;
        self
    }
}

impl<S: Steps> Future for OperationChain<S> {
    type Output = S::Outcomes;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<S::Outcomes> {
        let OperationChain { steps, done, lowering, submitted } = &mut *self;
        if !*submitted {
            *submitted = steps.submit(done, *lowering, cx);
        }
        match submitted {
            true => steps.look(done, cx),
            false => Poll::Pending,
        }
    }
}

impl<S: Steps> Drop for OperationChain<S> {
    fn drop(&mut self) {
        if self.submitted {
            self.steps.cancel();
        }
    }
}

// Its futures stay where they are whether it moves or not.
impl<S: Steps> Unpin for OperationChain<S> {}

impl<S: Steps + fmt::Debug> fmt::Debug for OperationChain<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationChain({:?})", self.steps)
    }
}

/// The steps of a chain of futures: a tuple of two to eight [`OperationFuture`]s that go one way.
pub trait Steps: sealed::Steps {}

mod sealed {
    use super::{Context, Lowering, Poll};

    pub trait Steps {
        /// What each of them has come to.
        type Outcomes;
        /// The same, as far as it is known.
        type Done: Default;

        /// Hands them over. `false`: the proactor could not be reached, and the next poll is to try again.
        fn submit(&mut self, done: &mut Self::Done, lowering: Lowering, cx: &mut Context<'_>) -> bool;

        /// Looks whether all have ended.
        fn look(&mut self, done: &mut Self::Done, cx: &mut Context<'_>) -> Poll<Self::Outcomes>;

        /// Gives them up, once they were handed over, and cancels what has not ended, by the way that all of them went.
        fn cancel(&mut self);
    }
}

/// A step of which more is to be known.
fn look<K: Kind, P: Port<K>>(
    step: &mut OperationFuture<K, P>,
    done: &mut Option<(K, Outcome<K>)>,
    cx: &mut Context<'_>,
) -> bool {
    if done.is_none() {
        let flight = step.flight.expect("a future is not polled after its end");
        if let Poll::Ready(outcome) = step.look(flight, cx) {
            *done = Some(outcome);
        }
    }
    done.is_some()
}

macro_rules! steps {
    ($first:ident . $zero:tt, $($name:ident . $index:tt),+; $($back:tt),+) => {
        impl<P, $first: Kind, $($name: Kind),+> Steps for
            (OperationFuture<$first, P>, $(OperationFuture<$name, P>,)+)
        where
            P: Port<$first> $(+ Port<$name>)+
        {
        }

        impl<P, $first: Kind, $($name: Kind),+> sealed::Steps for
            (OperationFuture<$first, P>, $(OperationFuture<$name, P>,)+)
        where
            P: Port<$first> $(+ Port<$name>)+
        {
            type Outcomes = (($first, Outcome<$first>), $(($name, Outcome<$name>),)+);
            type Done = (Option<($first, Outcome<$first>)>, $(Option<($name, Outcome<$name>)>,)+);

            fn submit(&mut self, done: &mut Self::Done, lowering: Lowering, cx: &mut Context<'_>) -> bool {
                let first = Step::new(self.$zero.unsubmitted().header());
                let rest = [$(Step::new(self.$index.unsubmitted().header())),+];
                let others = Rest { steps: &rest, lowering };
                let submission = Submission { first: &first, rest: Some(&others) };
                self.$zero.port.submit(submission, cx);
                let mut submitted = true;
                let mut answers = [first].into_iter().chain(rest).map(|step| {
                    let answer = step.answer.into_inner();
                    submitted &= !matches!(answer, Answer::None);
                    answer
                });
                let mut next = || answers.next().expect("as many answers as steps");
                let flight = self.$zero.unsubmitted();
                if let Poll::Ready(refused) = self.$zero.answered(flight, next()) {
                    done.$zero = Some(refused);
                }
                $(
                    let flight = self.$index.unsubmitted();
                    if let Poll::Ready(refused) = self.$index.answered(flight, next()) {
                        done.$index = Some(refused);
                    }
                )+
                submitted
            }

            fn look(&mut self, done: &mut Self::Done, cx: &mut Context<'_>) -> Poll<Self::Outcomes> {
                // From the last on: outcomes come in the chain's order, so that one wake is enough for all of them. It
                // is the only one that is told of until it has ended.
                $(
                    if !look(&mut self.$back, &mut done.$back, cx) {
                        return Poll::Pending;
                    }
                )+
                const ALL: &str = "all were looked at";
                Poll::Ready((done.$zero.take().expect(ALL), $(done.$index.take().expect(ALL),)+))
            }

            fn cancel(&mut self) {
                // One after another: where a waker panics that is dropped, those behind it are left to their own drop.
                if let Some(id) = self.$zero.abandon() {
                    self.$zero.port.cancel(id);
                }
                $(
                    if let Some(id) = self.$index.abandon() {
                        self.$zero.port.cancel(id);
                    }
                )+
            }
        }
    };
}

steps!(A.0, B.1; 1, 0);
steps!(A.0, B.1, C.2; 2, 1, 0);
steps!(A.0, B.1, C.2, D.3; 3, 2, 1, 0);
steps!(A.0, B.1, C.2, D.3, E.4; 4, 3, 2, 1, 0);
steps!(A.0, B.1, C.2, D.3, E.4, F.5; 5, 4, 3, 2, 1, 0);
steps!(A.0, B.1, C.2, D.3, E.4, F.5, G.6; 6, 5, 4, 3, 2, 1, 0);
steps!(A.0, B.1, C.2, D.3, E.4, F.5, G.6, H.7; 7, 6, 5, 4, 3, 2, 1, 0);
