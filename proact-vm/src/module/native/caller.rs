//! What an `async` function of a module is given.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use proact::status::Code;
use proact::time::{Clock, Time};

use super::NativeInstance;
use super::future::{Ask, Mailbox, Question};
use crate::convention::{Arguments, Results};
use crate::error::{CallId, Error, Result};
use crate::module::{CallFrame, Function, Resumption};
use crate::wait::{WaitFrame, WaitOutcome, WaitSource};

/// What an `async` function has of its module in this context, and what it asks of the driver. It is the state `S` by
/// deref.
///
/// Yields, waits and calls are asked for one after another: of several that a function joins, each has its turn. They
/// work within their own function alone: elsewhere they fail with `FAILED_PRECONDITION`.
pub struct Caller<S> {
    instance: Arc<NativeInstance<S>>,
    mailbox: Arc<Mailbox>,
    frame: u64,
    id: CallId,
    traced: bool,
    clock: Clock,
    deadline: Option<Time>,
}

impl<S> Caller<S> {
    pub(super) fn new(instance: &Arc<NativeInstance<S>>, call: &mut CallFrame<'_>) -> Caller<S> {
        let mailbox = call.mailbox().clone();
        Caller {
            instance: instance.clone(),
            frame: call.next_frame(),
            mailbox,
            id: call.id(),
            traced: call.is_traced(),
            clock: call.clock().clone(),
            deadline: call.deadline(),
        }
    }

    pub(super) fn frame(&self) -> u64 {
        self.frame
    }

    /// The module's state in this context.
    pub fn state(&self) -> &S {
        &self.instance.state
    }

    /// The import that was asked for at `index`. `NOT_FOUND` when it was optional and is missing.
    pub fn import(&self, index: usize) -> Result<&Function> {
        match self.instance.imports.get(index) {
            Some(Some(function)) => Ok(function),
            Some(None) => Err(Error::new(Code::NotFound, format!("the optional import {index} is missing"))),
            None => Err(Error::new(Code::OutOfRange, format!("import {index} of {}", self.instance.imports.len()))),
        }
    }

    /// The call's id.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// Whether the invocation was asked to tell what it does.
    pub fn is_traced(&self) -> bool {
        self.traced
    }

    /// The clock of deadlines and timed waits.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// When the invocation must have ended.
    pub fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    /// Lets others run.
    pub async fn yield_now(&self) -> Result {
        match self.ask(Ask::Yield).await? {
            Resumption::Yielded => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits; the failure of what is waited for, a deadline too, is the caller's to handle.
    pub async fn wait(&self, frame: WaitFrame) -> WaitOutcome {
        match self.ask(Ask::Wait(frame)).await? {
            Resumption::Waited(outcome) => outcome,
            other => Err(unexpected(&other)),
        }
    }

    /// Waits for one source.
    pub async fn wait_for(&self, source: WaitSource) -> Result {
        self.wait(WaitFrame::all([source])).await.map(drop)
    }

    /// Waits until a time on [`Caller::clock`].
    pub async fn sleep_until(&self, time: Time) -> Result {
        self.wait(WaitFrame::until(time)).await.map(drop)
    }

    /// Waits for so long.
    pub async fn sleep(&self, duration: Duration) -> Result {
        self.sleep_until(self.clock.now() + duration).await
    }

    /// Calls a function and waits for its results. Types that are not its convention's are `INVALID_ARGUMENT`; its own
    /// failure is the caller's to handle.
    pub async fn call<A: Arguments, R: Results>(&self, function: &Function, arguments: A) -> Result<R> {
        check::<A, R>(function)?;
        let question =
            Question::new(&self.mailbox, self.frame, Ask::Call(function.clone()), |packed| arguments.put(packed));
        let answered = question.await?;
        match answered.why {
            Resumption::Returned => match answered.results {
                Some(mut results) => R::take(&mut results.reader()),
                None => self.mailbox.with_results(|packed| R::take(&mut packed.reader())),
            },
            Resumption::Failed(error) => Err(error),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&self, ask: Ask) -> Result<Resumption> {
        Question::new(&self.mailbox, self.frame, ask, |_| Ok(())).await.map(|answered| answered.why)
    }
}

/// Whether the letters of the types are the function's. Compared as they are made: no allocation.
fn check<A: Arguments, R: Results>(function: &Function) -> Result {
    let convention = function.convention();
    let is_right = convention.arguments().is_spelled(A::letters) && convention.results().is_spelled(R::letters);
    if is_right { Ok(()) } else { Err(wrong_types::<A, R>(function)) }
}

#[cold]
fn wrong_types<A: Arguments, R: Results>(function: &Function) -> Error {
    let mut called = String::from("0");
    A::letters(&mut |letters| called.push_str(letters));
    called.push('_');
    R::letters(&mut |letters| called.push_str(letters));
    let message = format!("called as {called}, but it is {}", function.convention());
    Error::invalid(message).about(function.name().to_string())
}

#[cold]
fn unexpected(resumption: &Resumption) -> Error {
    Error::internal(format!("a function that asked for something else was resumed with {resumption:?}"))
}

impl<S> Deref for Caller<S> {
    type Target = S;

    fn deref(&self) -> &S {
        self.state()
    }
}

impl<S> fmt::Debug for Caller<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("id", &self.id).finish_non_exhaustive()
    }
}
