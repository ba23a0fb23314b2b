//! Child processes.

use std::sync::{Arc, OnceLock};

use super::{Home, Resource};
use crate::status::{Code, Operation, Result, Status};

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// It ended by itself with this code.
    Code(i32),
    /// A signal of this number ended it.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether the system kept an image of its memory.
        core_dumped: bool,
    },
}

impl Exit {
    /// Whether it ended by itself with code 0.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

/// A child process of this one, held by a pidfd (Linux 5.3): its number cannot come to mean another process.
///
/// Made by [`Handle::process`](crate::proactor::Handle::process). A
/// [`ProcessWait`](crate::operation::ProcessWait) tells its end. Dropping the handle does not end the process.
#[derive(Clone, Debug)]
pub struct Process {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    resource: Resource,
    id: u32,
    /// How it ended, once it was reaped: the system tells that once.
    exit: OnceLock<Exit>,
}

impl Process {
    pub(crate) fn resource(&self) -> &Resource {
        &self.inner.resource
    }

    /// The process's number. After its end has been told the system may give it to another.
    pub fn id(&self) -> u32 {
        self.inner.id
    }

    /// How it ended, if a wait has told that already.
    pub fn exit(&self) -> Option<Exit> {
        self.inner.exit.get().copied()
    }
}

#[cfg(target_os = "linux")]
impl Process {
    pub(crate) fn open(home: Home, id: u32) -> Result<Process> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        use std::os::fd::IntoRawFd;
        super::import::takes_descriptors(home, Operation::ProcessWait)?;
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
        let failed = |why: &'static str| Status::new(Code::InvalidArgument, Operation::ProcessWait).with_message(why);
        let pid = pid.ok_or_else(|| failed("0 is no process"))?;
        let fd = crate::fault::tried(|| pidfd_open(pid, PidfdFlags::empty()))
            .map_err(|errno| Status::from_os_error(Operation::ProcessWait, errno.raw_os_error()))?;
        let descriptor = crate::backend::Descriptor(fd.into_raw_fd().into());
        let resource = Resource::adopt(home, descriptor);
        Ok(Process { inner: Arc::new(Inner { resource, id, exit: OnceLock::new() }) })
    }

    /// Ends the process at once (`SIGKILL`). It never reaches another one that was given its number. A process that has
    /// ended, told or not, is left alone.
    ///
    /// # Errors
    /// `PermissionDenied` for one that has become someone else's, `FailedPrecondition` once the handle is closed.
    pub fn kill(&self) -> Result<()> {
        self.send(rustix::process::Signal::KILL)
    }

    /// Asks the process to end (`SIGTERM`), as [`Process::kill`].
    ///
    /// # Errors
    /// As there.
    pub fn terminate(&self) -> Result<()> {
        self.send(rustix::process::Signal::TERM)
    }

    fn send(&self, signal: rustix::process::Signal) -> Result<()> {
        if self.exit().is_some() {
            return Ok(());
        }
        self.inner.resource.with(Operation::ProcessWait, |descriptor| {
            // SAFETY: the resource keeps the descriptor open while it is used.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
            // No place for a fault: to a child of one's own it cannot fail but by its end.
            match rustix::process::pidfd_send_signal(fd, signal) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
                Err(errno) => Err(Status::from_os_error(Operation::ProcessWait, errno.raw_os_error())),
            }
        })
    }

    /// Takes the end of a process that has ended. Never blocks.
    pub(crate) fn reap(&self) -> Result<Exit> {
        use rustix::process::{WaitId, WaitIdOptions, waitid};
        if let Some(exit) = self.exit() {
            return Ok(exit);
        }
        let waited = self.inner.resource.with(Operation::ProcessWait, |descriptor| {
            // SAFETY: the resource keeps the descriptor open while it is used.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
            crate::fault::retry_on_intr(|| waitid(WaitId::PidFd(fd), WaitIdOptions::EXITED | WaitIdOptions::NOHANG))
                .map_err(|errno| Status::from_os_error(Operation::ProcessWait, errno.raw_os_error()))
        });
        let status = match waited {
            Ok(Some(status)) => status,
            Ok(None) => {
                return Err(Status::new(Code::Internal, Operation::ProcessWait).with_message("told to end, and runs"));
            }
            Err(status) if status.os_error() == Some(rustix::io::Errno::CHILD.raw_os_error()) => {
                return Err(status.with_context("not a child of this process, or reaped by someone else"));
            }
            Err(status) => return Err(status),
        };
        let exit = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, signal) => Exit::Signal { number: signal.unwrap_or(0), core_dumped: status.dumped() },
        };
        Ok(*self.inner.exit.get_or_init(|| exit))
    }
}

#[cfg(not(target_os = "linux"))]
impl Process {
    pub(crate) fn open(_: Home, _: u32) -> Result<Process> {
        Err(unavailable())
    }

    pub(crate) fn reap(&self) -> Result<Exit> {
        Err(unavailable())
    }

    /// Ends the process at once.
    ///
    /// # Errors
    /// `Unavailable`: there are no handles to processes on this system yet.
    pub fn kill(&self) -> Result<()> {
        Err(unavailable())
    }

    /// Asks the process to end.
    ///
    /// # Errors
    /// As for [`Process::kill`].
    pub fn terminate(&self) -> Result<()> {
        Err(unavailable())
    }
}

#[cfg(not(target_os = "linux"))]
fn unavailable() -> Status {
    Status::new(Code::Unavailable, Operation::ProcessWait).with_message("no process waits on this system yet")
}
