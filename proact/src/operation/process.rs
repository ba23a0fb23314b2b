//! The end of child processes.

use super::kind::{Class, Kind, sealed::Sealed};
use crate::backend::{Request, WaitRequest};
use crate::resource::{Exit, Home, Lane, Process, Resource};
use crate::status::{Operation, Result};

/// Waits until a child process has ended, and takes its end. Yields how it ended.
///
/// The system tells an end once: it is taken by the first wait that is delivered, and every wait on the same
/// [`Process`], before and after, yields the same. A wait that is cancelled takes nothing, and the child can be waited
/// for again. On every backend the readiness of the process's descriptor is awaited (pidfd, Linux 5.3), and the end
/// taken on the poll thread, by a call that never blocks (`waitid` of a pidfd, Linux 5.4).
///
/// # Errors
/// `Unknown` with the system's `ECHILD` when the process is no child of this one, someone else took its end, or the
/// process ignores `SIGCHLD`.
///
/// ```
/// # use proact::operation::{Complete, Context, Op, Outcome, ProcessWait};
/// struct Shown;
/// impl Complete<ProcessWait> for Shown {
///     fn done(_: Box<Op<ProcessWait, Self>>, outcome: Outcome<ProcessWait>, _: &mut Context<'_>) {
///         println!("{:?}", outcome.result);
///     }
/// }
/// # fn example(proactor: &mut proact::proactor::Proactor) -> Result<(), Box<dyn std::error::Error>> {
/// let child = std::process::Command::new("true").spawn()?;
/// let process = proactor.handle().process(&child)?;
/// proactor.submit(Op::new(ProcessWait::new(process), Shown)).map_err(|refused| refused.status)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ProcessWait {
    process: Process,
}

impl ProcessWait {
    /// Waits for `process`.
    pub fn new(process: Process) -> ProcessWait {
        ProcessWait { process }
    }
}

impl Sealed for ProcessWait {}

impl Kind for ProcessWait {
    type Output = Exit;
    const OPERATION: Operation = Operation::ProcessWait;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.process.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.process.resource())
    }

    fn request(&mut self, _: usize) -> Request {
        let descriptor = self.process.resource().raw();
        Request::Wait(WaitRequest::Poll { descriptor, writable: false })
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<Exit> {
        self.process.reap()
    }
}
