//! Invocations that live by themselves: begun, asked, waited for, cancelled through handles.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use proact::status::{Code, Status};
use proact::sync::{Semaphore, SemaphoreFuture, WaitFlags};
use proact::time::Timeout;

use crate::error::{CallId, Error, Result};
use crate::executor::task::{Outcome, Task};
use crate::value::{Object, Ref, Value};
use crate::wait::WaitSource;

/// Where an invocation stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum InvocationStatus {
    /// Its function has not begun: it waits for what its policy says, its turn on its queue, or in its context.
    Pending,
    /// It runs, or may and has not had its turn.
    Running,
    /// Its function waits for something.
    Waiting,
    /// It has returned: its outputs are there.
    Done,
    /// It has failed by itself.
    Failed,
    /// It ended because its [cancellation](Invocation::cancel) was asked for.
    Cancelled,
    /// Its executor was shut down before its end.
    Aborted,
}

impl InvocationStatus {
    /// Whether it is over, for good.
    pub fn is_finished(self) -> bool {
        !matches!(self, InvocationStatus::Pending | InvocationStatus::Running | InvocationStatus::Waiting)
    }

    /// Its name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            InvocationStatus::Pending => "pending",
            InvocationStatus::Running => "running",
            InvocationStatus::Waiting => "waiting",
            InvocationStatus::Done => "done",
            InvocationStatus::Failed => "failed",
            InvocationStatus::Cancelled => "cancelled",
            InvocationStatus::Aborted => "aborted",
        }
    }
}

impl fmt::Display for InvocationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An invocation that an [`Executor`](crate::executor::Executor) runs. A clone is a handle to the same one; any thread
/// may use it, and it is an [`Object`], so that programs may hold it.
///
/// Dropping handles, the last one too, lets the work go on, as it does with threads and tasks elsewhere: what is to end
/// with its handle is a [`CancelOnDrop`].
#[derive(Clone)]
pub struct Invocation(Arc<Task>);

impl Invocation {
    pub(crate) fn new(task: Arc<Task>) -> Invocation {
        Invocation(task)
    }

    pub(crate) fn task(&self) -> &Arc<Task> {
        &self.0
    }

    /// The call's id: its own, or its context's where that is not concurrent.
    pub fn id(&self) -> CallId {
        self.0.id()
    }

    /// The function's name, `module.function`.
    pub fn function(&self) -> &str {
        self.0.name()
    }

    /// Where it stands.
    pub fn status(&self) -> InvocationStatus {
        self.0.status()
    }

    /// The status as a code: `OK` when it is done, `CANCELLED`, `ABORTED`, or its failure's own. `None` while it is not
    /// over.
    pub fn code(&self) -> Option<Code> {
        self.0.outcome().map(|outcome| match &outcome.result {
            Ok(_) => Code::Ok,
            Err(error) => error.code(),
        })
    }

    /// Whether it is over.
    pub fn is_finished(&self) -> bool {
        self.0.outcome().is_some()
    }

    /// Its results, once it is done: valid as long as this handle.
    pub fn outputs(&self) -> Option<&[Value]> {
        self.0.outcome().and_then(|outcome| outcome.result.as_deref().ok())
    }

    /// Why it did not end well, once it has ended: with its call's id, and the frames that stood.
    pub fn error(&self) -> Option<&Error> {
        self.0.outcome().and_then(|outcome| outcome.result.as_ref().err())
    }

    /// The first refusal of what its policy was to signal at its end: a value that the semaphore had reached, or a
    /// semaphore that had failed.
    pub fn refused_signal(&self) -> Option<&Status> {
        self.0.refused()
    }

    /// Asks it to end; it does nothing to one that is over, and nothing when it is asked again.
    ///
    /// One that has not begun never does. One that yields ends there. One that waits has its wait taken back, whatever
    /// stands in lines or is in flight for it, and hears `CANCELLED` of its wait, so that it may put things in order:
    /// its next stop is its end. A function that returns without another stop has ended as it says: a cancellation is a
    /// hint. It is carried out by the executor, not by this call.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Holds this thread until it is over, and answers its outputs or its failure; `DEADLINE_EXCEEDED` when `timeout`,
    /// on the system's clock, comes first.
    ///
    /// Not for the thread that polls its queue, nor for functions: [`Executor::run_until`] and
    /// [`Invocation::wait_source`] are.
    ///
    /// [`Executor::run_until`]: crate::executor::Executor::run_until
    pub fn wait(&self, timeout: impl Into<Timeout>) -> Result<&[Value]> {
        if self.0.outcome().is_none() {
            let waited = self.completion().wait(1, timeout, WaitFlags::empty());
            if let (Err(status), None) = (waited, self.0.outcome()) {
                return Err(Error::from(status).about(self.to_string()));
            }
        }
        match self.0.outcome() {
            Some(Outcome { result: Ok(outputs), .. }) => Ok(outputs),
            Some(Outcome { result: Err(error), .. }) => Err(error.clone()),
            None => Err(Error::internal("an invocation that is over has no outcome")),
        }
    }

    /// A future that ends with it, for any executor of futures.
    pub fn finished(&self) -> Finished {
        Finished { completion: self.completion().future(1), invocation: self.clone() }
    }

    /// Its end as something to wait for: it fails with the invocation, with its code and words.
    pub fn wait_source(&self) -> WaitSource {
        WaitSource::semaphore(&self.completion(), 1)
    }

    /// Its end as a timeline: it reaches 1, with the causes of all that the invocation waited for, when it is done, and
    /// fails when it does not end well. Other invocations' policies may wait for it, and a scheduler import it. Made
    /// when it is first asked for.
    pub fn completion(&self) -> Semaphore {
        self.0.completion()
    }

    /// This handle as one whose drop cancels.
    pub fn cancel_on_drop(self) -> CancelOnDrop {
        CancelOnDrop(Some(self))
    }
}

impl PartialEq for Invocation {
    /// Whether both are of the same invocation.
    fn eq(&self, other: &Invocation) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Invocation {}

impl Object for Invocation {
    const TYPE_NAME: &'static str = "proact.invocation";
}

impl From<Invocation> for Value {
    fn from(invocation: Invocation) -> Value {
        Value::Ref(Ref::new(invocation))
    }
}

/// What it is, in words: `m.f in call #7, waiting`.
impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in call {}, {}", self.function(), self.id(), self.status())
    }
}

impl fmt::Debug for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Invocation({self})")
    }
}

/// Of [`Invocation::finished`]: yields the outputs, or the failure. It may be dropped at any time; the invocation goes
/// on.
#[must_use = "a future does nothing unless it is polled"]
#[derive(Debug)]
pub struct Finished {
    completion: SemaphoreFuture,
    invocation: Invocation,
}

impl Future for Finished {
    type Output = Result<Vec<Value>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<Vec<Value>>> {
        if self.invocation.0.outcome().is_none() && Pin::new(&mut self.completion).poll(cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(self.invocation.wait(Timeout::Immediate).map(<[Value]>::to_vec))
    }
}

/// A handle whose drop cancels its invocation.
///
/// ```
/// use proact_vm::executor::Executor;
/// use proact_vm::module::native::NativeModule;
/// use proact_vm::{Context, Instance, InvocationStatus, Policy};
///
/// let module = NativeModule::builder("m").function("f", |_: &()| 1).build()?;
/// let context = Context::builder(&Instance::new()).module(module).build()?;
/// let executor = Executor::polled();
/// let invocation = executor.create(&context, &context.lookup("m.f")?, &Policy::new(), &())?;
/// drop(invocation.clone().cancel_on_drop());
/// executor.run_until_idle();
/// assert_eq!(invocation.status(), InvocationStatus::Cancelled);
/// # Ok::<(), proact_vm::Error>(())
/// ```
#[must_use = "dropping it cancels the invocation"]
#[derive(Debug)]
pub struct CancelOnDrop(Option<Invocation>);

impl CancelOnDrop {
    /// The plain handle: its drop lets the work go on.
    pub fn detach(mut self) -> Invocation {
        self.0.take().expect("it is taken here alone")
    }
}

impl Deref for CancelOnDrop {
    type Target = Invocation;

    fn deref(&self) -> &Invocation {
        self.0.as_ref().expect("it is taken by `detach` alone, which uses it up")
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(invocation) = &self.0 {
            invocation.cancel();
        }
    }
}
