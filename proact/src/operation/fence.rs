//! Fences of devices, other processes and other libraries, taken in.

use std::panic::Location;

use super::kind::{Class, Kind, sealed::Sealed};
use crate::backend::{Request, WaitRequest, poll_bits};
use crate::causal::{Frontier, Knowledge};
use crate::resource::{Home, Lane, Pollable, Resource};
use crate::status::{Code, Operation, Result, Status};
use crate::sync::{Nature, Semaphore};

/// Waits for a fence, and raises a semaphore when it is signalled: when its descriptor becomes readable. One that is
/// readable already raises it at the next poll.
///
/// Whatever has readiness is a fence: a `sync_file` of a device, a dmabuf, an eventfd, a pipe. Nothing of it is read.
/// (A socket is readable, too, when its peer ends.) A semaphore that has reached the value already is left as it is:
/// that is no error.
///
/// The semaphore is never left without an answer. If the fence ends in another way, or this operation does before its
/// fence, the semaphore fails with the same status as the operation, and so does everyone who waits for it:
///
/// - an error or hang-up without anything to read: `DataLoss`;
/// - a `sync_file` whose work ended with an error: that error;
/// - a cancel, a close of the descriptor, or a shutdown: `Cancelled`; a deadline: `DeadlineExceeded`.
///
/// Only as a follower in a chain whose earlier step failed does it nothing at all: it never began.
///
/// The value is raised before a chain goes on, and before the callback. It comes from outside, and so is
/// [tainted](Semaphore::is_tainted). A fence brings no causes; what is known of them can be
/// [given](ImportFence::with_frontier), and is a lower bound.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native: a poll entry (Linux 5.1) |
/// | in a kernel chain | no: the poll thread raises the value |
/// | epoll, poll | the readiness that the backend waits for |
///
/// # Errors
/// As above; the semaphore's own failure, if it has failed. At submit `InvalidArgument` for a descriptor without
/// readiness (a file, a directory), for one of another proactor, and for a value above [`Semaphore::VALUE_MAX`];
/// `FailedPrecondition` for one that is being closed.
///
/// ```
/// use proact::operation::{Chain, ImportFence, Nop, Op};
/// use proact::sync::Semaphore;
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let (device, host) = (Semaphore::new(0), Semaphore::new(0));
/// let fence = proactor.handle().import_pollable(device.export_pollable(1)?);
/// let import = Op::new(ImportFence::new(fence, host.clone(), 1), ());
/// proactor.submit(Chain::new((import, Op::new(Nop, ())))).unwrap();
/// device.signal(1, None)?;
/// proactor.run()?;
/// assert_eq!(host.value(), 1);
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImportFence {
    fence: Pollable,
    semaphore: Semaphore,
    value: u64,
    /// Never all of them: it comes from outside.
    causes: Knowledge,
    /// Found out by the first submit.
    nature: Option<Nature>,
}

impl ImportFence {
    /// Raises `semaphore` to `value` when `fence` is readable.
    pub fn new(fence: Pollable, semaphore: Semaphore, value: u64) -> ImportFence {
        let causes = Knowledge::lower_bound(Frontier::new());
        ImportFence { fence, semaphore, value, causes, nature: None }
    }

    /// Attaches what is known to have happened before the fence is signalled: whoever waits for the value learns it.
    #[must_use]
    pub fn with_frontier(mut self, frontier: Frontier) -> ImportFence {
        self.causes = Knowledge::lower_bound(frontier);
        self
    }

    /// Changes the value that the semaphore is raised to.
    pub fn set_value(&mut self, value: u64) {
        self.value = value;
    }

    /// Gives the fence back.
    pub fn into_fence(self) -> Pollable {
        self.fence
    }

    #[cfg(unix)]
    fn find_nature(&self) -> Result<Nature> {
        self.fence.try_with_fd(Nature::of)?
    }

    #[cfg(not(unix))]
    fn find_nature(&self) -> Result<Nature> {
        Ok(Nature::Plain)
    }

    /// The error that the work behind the readable fence ended with.
    #[cfg(unix)]
    fn error(&self) -> Option<i32> {
        let nature = self.nature?;
        self.fence.try_with_fd(|fd| nature.error(fd)).ok()?
    }

    #[cfg(not(unix))]
    fn error(&self) -> Option<i32> {
        None
    }
}

impl Sealed for ImportFence {}

impl Kind for ImportFence {
    type Output = ();
    const OPERATION: Operation = Operation::FenceImport;
    const CLASS: Class = Class::Kernel(Lane::Other);
    const ADOPTS: bool = true;

    fn validate(&mut self, home: Home) -> Result<()> {
        self.fence.resource().check(home, Self::OPERATION)?;
        if self.value > Semaphore::VALUE_MAX {
            return Err(Status::new(Code::InvalidArgument, Self::OPERATION).with_message(format!(
                "value {} is above the largest value, {}",
                self.value,
                Semaphore::VALUE_MAX
            )));
        }
        if self.nature.is_none() {
            self.nature = Some(self.find_nature()?);
        }
        Ok(())
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.fence.resource())
    }

    fn request(&mut self, _: usize) -> Request {
        let descriptor = self.fence.resource().raw();
        Request::Wait(WaitRequest::Poll { descriptor, writable: false })
    }

    fn adopt(&mut self, value: i32, location: &'static Location<'static>) -> Result<i32> {
        if value & poll_bits::READABLE == 0 {
            let status = Status::at(Code::DataLoss, Self::OPERATION, 0, location);
            let hung_up = value & poll_bits::HANG_UP != 0;
            return Err(status.with_message(match hung_up {
                true => "whoever was to signal the fence is gone",
                false => "the fence's descriptor has failed",
            }));
        }
        if let Some(errno) = self.error() {
            let status = Status::at(Code::from_os_error(errno), Self::OPERATION, errno, location);
            return Err(status.with_context("what the fence stands for has failed"));
        }
        self.semaphore.signal_known_if_later_at(self.value, &self.causes, location)?;
        Ok(0)
    }

    fn abandon(&mut self, status: &Status, begun: bool) {
        if begun {
            self.semaphore.fail(status.clone());
        }
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}
