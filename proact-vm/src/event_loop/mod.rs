//! Loops: what runs callbacks when what they wait for has come to pass.
//!
//! # The contract of every loop
//!
//! - A [`Task`] that a loop has taken is told exactly once: [`Task::run`] when its turn has come, or [`Task::abort`]
//!   when the loop has ended before. One that was refused comes back ([`Refused`]) and is told nothing. A panic of one
//!   task keeps no other from being told.
//! - One at a time: no task is told while another one is, also not when the loop is spoken to from within a task. Their
//!   order is roughly that in which they became ready; nothing relies on it. There are no priorities.
//! - A loop has one error scope. The first failure that a task answers, or that [`Loop::abort`] brings, stays. From
//!   then on nothing new is taken, and all that is pending is aborted with `ABORTED`: a task that is aborted is given
//!   no loop, so that it cannot go on with one.
//! - Time-outs become times when a command is given, not when it is looked at.
//! - A task is its own storage: it is moved in and handed back, and what it waits for lies within it. A loop allocates
//!   nothing for a call, and for a wait not more than a place that it keeps.
//!
//! # Which one
//!
//! | loop | who runs the tasks | from other threads |
//! |---|---|---|
//! | [`InlineLoop`] | whoever gives the command, on its own stack, before the command returns | no |
//! | [`ProactorLoop`] | the thread that polls a proactor | yes |
//! | [`DeterministicLoop`] | whoever runs it, in the time and by the chance of a simulated world | no |

mod commands;
mod deterministic;
mod inline;
mod proactor;
mod queue;
mod rope;
mod woken;

use std::any::Any;
use std::fmt;
use std::task::{Context as TaskContext, Poll};

use proact::status::Code;
use proact::time::{Clock, Time, Timeout};

pub use commands::{Commands, Waited};
pub use deterministic::DeterministicLoop;
pub use inline::InlineLoop;
pub use proactor::ProactorLoop;

use crate::error::{Error, Result};

/// When a task is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// When its turn comes: [`Task::poll`] is not asked.
    Call,
    /// When [`Task::poll`] says so.
    Wait,
}

/// What a loop runs, once. It is storage of its own: [`Task::run`] is handed the box, and may give it to the loop
/// again.
///
/// ```
/// use proact_vm::Result;
/// use proact_vm::event_loop::{Command, InlineLoop, Loop, Task};
///
/// /// Goes round so often, in one allocation.
/// struct Rounds(u32);
///
/// impl Task for Rounds {
///     fn run(mut self: Box<Self>, event_loop: &dyn Loop) -> Result {
///         self.0 -= 1;
///         match self.0 {
///             0 => Ok(()),
///             _ => Ok(event_loop.submit(Command::Call, self)?),
///         }
///     }
///
///     fn abort(self: Box<Self>, error: proact_vm::Error) {
///         eprintln!("{} rounds were left: {error}", self.0);
///     }
/// }
///
/// let event_loop = InlineLoop::new();
/// event_loop.submit(Command::Call, Box::new(Rounds(2048)))?;
/// # Ok::<(), proact_vm::Error>(())
/// ```
pub trait Task: IntoAny + Send + 'static {
    /// Whether what the task waits for has come to pass; if not, the waker is called when that may have changed, but
    /// for the passing of time: [`Task::next_time`]. Asked between callbacks, by a loop that took it with
    /// [`Command::Wait`].
    fn poll(&mut self, now: Time, cx: &mut TaskContext<'_>) -> Poll<()> {
        let _ = (now, cx);
        Poll::Ready(())
    }

    /// When to ask again at the latest, on the loop's clock.
    fn next_time(&self) -> Option<Time> {
        None
    }

    /// The task's turn. It must not block. A failure is the loop's: it ends, and all that is pending is aborted.
    fn run(self: Box<Self>, event_loop: &dyn Loop) -> Result;

    /// Told instead of [`Task::run`]: the loop has ended before the task's turn came, with `ABORTED`; or its own
    /// [`Task::poll`] has panicked, with `INTERNAL`, and that panic goes on behind this.
    fn abort(self: Box<Self>, error: Error);
}

/// A box of a type that was forgotten, for whoever remembers it. All types have it.
pub trait IntoAny {
    /// The same box.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}

impl<T: 'static> IntoAny for T {
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// What runs tasks. See the [contract](self) that every loop keeps, and [`Commands`] for closures.
pub trait Loop {
    /// The clock of its times.
    fn clock(&self) -> &Clock;

    /// Whether a command returns when nothing is pending any more, and not before: then a task that waits for what this
    /// thread is to do next would wait for ever.
    fn holds_its_thread(&self) -> bool {
        false
    }

    /// Takes a task.
    ///
    /// # Errors
    /// The task comes back, untold: `RESOURCE_EXHAUSTED` when as many are pending as may be, `ABORTED` when the loop
    /// has ended.
    fn submit(&self, command: Command, task: Box<dyn Task>) -> Result<(), Refused>;

    /// Waits until nothing is pending, also not what tasks submit meanwhile.
    ///
    /// # Errors
    /// `DEADLINE_EXCEEDED` when something still is at the end of `timeout`; it goes on. `FAILED_PRECONDITION` from
    /// within a task: it would wait for itself.
    fn drain(&self, timeout: Timeout) -> Result;

    /// Ends the loop with `error`, unless it has ended before. What is pending is aborted after the task that runs
    /// just then, by whoever runs the loop; an [`InlineLoop`] that does not run does it before this returns.
    fn abort(&self, error: Error);

    /// Why the loop has ended: the first failure.
    fn error(&self) -> Option<Error>;
}

/// A task that a loop did not take, and has not told.
pub struct Refused {
    /// Why.
    pub error: Error,
    /// The task.
    pub task: Box<dyn Task>,
}

impl Refused {
    pub(crate) fn new(error: Error, task: Box<dyn Task>) -> Refused {
        Refused { error, task }
    }
}

impl From<Refused> for Error {
    /// The task is dropped.
    fn from(refused: Refused) -> Error {
        refused.error
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refused({})", self.error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Refused {}

/// What is pending is told so, and whatever comes later.
#[cold]
fn aborted(cause: &Error) -> Error {
    Error::new(Code::Aborted, format!("the loop has ended: {cause}"))
}

#[cold]
fn full(limit: usize) -> Error {
    Error::new(Code::ResourceExhausted, format!("the loop is full: {limit} tasks are pending"))
}

#[cold]
fn within() -> Error {
    Error::precondition("a drain from within a task would wait for itself")
}
