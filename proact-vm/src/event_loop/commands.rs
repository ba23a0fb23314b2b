//! The commands of a loop, for closures.

use std::fmt;
use std::task::{Context as TaskContext, Poll};

use proact::time::{Time, Timeout};

use super::{Command, Loop, Refused, Task};
use crate::error::{Error, Result};
use crate::invocation::at;
use crate::wait::{WaitFrame, WaitOutcome, WaitSource};

/// Commands whose callbacks are closures: one allocation each. Every loop has them.
///
/// A callback is called exactly once, with `Err` and `ABORTED` if the loop has ended before its turn, or `INTERNAL` if
/// a future that it was to wait for has panicked. What it answers then goes nowhere: the loop has a failure already, or
/// the panic goes on. A callback that was refused is in the [`Refused`], uncalled.
///
/// ```
/// use proact::sync::Semaphore;
/// use proact::time::Timeout;
/// use proact_vm::event_loop::{Commands, InlineLoop};
/// use proact_vm::wait::WaitSource;
///
/// let (left, right) = (Semaphore::new(0), Semaphore::new(7));
/// let sources = [WaitSource::semaphore(&left, 1), WaitSource::semaphore(&right, 7)];
/// InlineLoop::new().wait_any(sources, Timeout::Infinite, |waited| {
///     assert_eq!(waited?.outcome?, 1, "the second one is there");
///     Ok(())
/// })?;
/// # Ok::<(), proact_vm::Error>(())
/// ```
pub trait Commands: Loop {
    /// Calls back when its turn comes.
    fn call<F>(&self, callback: F) -> Result<(), Refused>
    where
        F: FnOnce(Result<&dyn Loop>) -> Result + Send + 'static,
    {
        self.submit(Command::Call, Box::new(Call(callback)))
    }

    /// Calls back at `time`.
    fn wait_until<F>(&self, time: impl Into<Timeout>, callback: F) -> Result<(), Refused>
    where
        F: FnOnce(Result<Waited<'_>>) -> Result + Send + 'static,
    {
        let time = at(time.into(), self.clock()).unwrap_or(Time::FAR_FUTURE);
        submit_wait(self, Command::Wait, WaitFrame::until(time), Timeout::Infinite, callback)
    }

    /// Calls back when `source` is over, or at the end of `timeout`.
    fn wait_one<F>(&self, source: WaitSource, timeout: impl Into<Timeout>, callback: F) -> Result<(), Refused>
    where
        F: FnOnce(Result<Waited<'_>>) -> Result + Send + 'static,
    {
        submit_wait(self, Command::Wait, WaitFrame::all([source]), timeout.into(), callback)
    }

    /// Calls back when the first of `sources` is over, or at the end of `timeout`. Of no sources it is a call, of one
    /// a wait for it.
    fn wait_any<F>(
        &self,
        sources: impl IntoIterator<Item = WaitSource>,
        timeout: impl Into<Timeout>,
        callback: F,
    ) -> Result<(), Refused>
    where
        F: FnOnce(Result<Waited<'_>>) -> Result + Send + 'static,
    {
        let frame = WaitFrame::any(sources);
        submit_wait(self, command_for(&frame), frame, timeout.into(), callback)
    }

    /// Calls back when all of `sources` are over, the first of them has failed, or at the end of `timeout`. Of no
    /// sources it is a call, of one a wait for it.
    fn wait_all<F>(
        &self,
        sources: impl IntoIterator<Item = WaitSource>,
        timeout: impl Into<Timeout>,
        callback: F,
    ) -> Result<(), Refused>
    where
        F: FnOnce(Result<Waited<'_>>) -> Result + Send + 'static,
    {
        let frame = WaitFrame::all(sources);
        submit_wait(self, command_for(&frame), frame, timeout.into(), callback)
    }
}

impl<L: Loop + ?Sized> Commands for L {}

fn command_for(frame: &WaitFrame) -> Command {
    if frame.sources().next().is_none() { Command::Call } else { Command::Wait }
}

fn submit_wait<L, F>(
    event_loop: &L,
    command: Command,
    mut frame: WaitFrame,
    timeout: Timeout,
    callback: F,
) -> Result<(), Refused>
where
    L: Loop + ?Sized,
    F: FnOnce(Result<Waited<'_>>) -> Result + Send + 'static,
{
    if let Some(deadline) = at(timeout, event_loop.clock()) {
        frame = frame.deadline(deadline);
    }
    event_loop.submit(command, Box::new(Wait { frame, outcome: Ok(0), callback }))
}

/// What a wait came to, and what was lent for it.
pub struct Waited<'a> {
    /// The loop, for more commands.
    pub event_loop: &'a dyn Loop,
    /// The index of the source that ended a wait for any, else 0; or the failure: of a source with its words, or
    /// `DEADLINE_EXCEEDED`.
    pub outcome: WaitOutcome,
    /// The wait itself, with its sources, which may be asked.
    pub frame: WaitFrame,
}

impl fmt::Debug for Waited<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waited").field("outcome", &self.outcome).field("frame", &self.frame).finish_non_exhaustive()
    }
}

struct Call<F>(F);

impl<F> Task for Call<F>
where
    F: FnOnce(Result<&dyn Loop>) -> Result + Send + 'static,
{
    fn run(self: Box<Self>, event_loop: &dyn Loop) -> Result {
        (self.0)(Ok(event_loop))
    }

    fn abort(self: Box<Self>, error: Error) {
        // The loop's failure is another one, and the first counts.
        let _ = (self.0)(Err(error));
    }
}

struct Wait<F> {
    frame: WaitFrame,
    outcome: WaitOutcome,
    callback: F,
}

impl<F> Task for Wait<F>
where
    F: FnOnce(Result<Waited<'_>>) -> Result + Send + 'static,
{
    fn poll(&mut self, now: Time, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.frame.poll(now, cx).map(|outcome| self.outcome = outcome)
    }

    fn next_time(&self) -> Option<Time> {
        self.frame.next_time()
    }

    fn run(self: Box<Self>, event_loop: &dyn Loop) -> Result {
        let Wait { frame, outcome, callback } = *self;
        callback(Ok(Waited { event_loop, outcome, frame }))
    }

    fn abort(self: Box<Self>, error: Error) {
        // As for a call.
        let _ = (self.callback)(Err(error));
    }
}
