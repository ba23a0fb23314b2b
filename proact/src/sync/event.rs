//! Events: a flag that any thread sets and one waiter takes.

use std::sync::Arc;

#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::backend::Descriptor;
use crate::resource::{Home, Resource};
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::status::{Code, preserving_errno};
use crate::status::{Operation, Result, Status};

/// A flag that is set from any thread, and reset by the [`EventWait`](crate::operation::EventWait) that it completes.
///
/// Sets coalesce: several before a wait complete one wait. On Linux it is an eventfd.
#[derive(Clone, Debug)]
pub struct Event {
    resource: Arc<Resource>,
}

impl Event {
    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Sets the event. Setting a set event changes nothing.
    ///
    /// Any thread, and signal handlers: it allocates nothing, takes no lock, and leaves `errno` alone. A close of the
    /// event waits until no call is under way, so that none writes to a descriptor that has become another's.
    ///
    /// # Errors
    /// `FailedPrecondition` once it is closed.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[track_caller]
    pub fn set(&self) -> Result<()> {
        match self.resource.using(|descriptor| preserving_errno(|| raise(descriptor))) {
            Some(Ok(())) => Ok(()),
            Some(Err(errno)) => Err(Status::bare(Code::from_os_error(errno), Operation::EventSet, errno)),
            None => Err(Status::bare(Code::FailedPrecondition, Operation::EventSet, 0)),
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn create(home: Home) -> Result<Event> {
        use std::os::fd::IntoRawFd;
        let mut flags = rustix::event::EventfdFlags::CLOEXEC;
        if home.mode == crate::backend::DescriptorMode::NonBlocking {
            flags |= rustix::event::EventfdFlags::NONBLOCK;
        }
        let fd = crate::fault::tried(|| rustix::event::eventfd(0, flags))
            .map_err(|error| Status::from_os_error(Operation::EventCreate, error.raw_os_error()))?;
        let descriptor = Descriptor(fd.into_raw_fd().into());
        Ok(Event { resource: Arc::new(Resource::adopt(home, descriptor)) })
    }
}

/// Adds one to the counter of an eventfd.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn raise(descriptor: Descriptor) -> Result<(), i32> {
    // SAFETY: the resource keeps the descriptor open while it is used.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
    loop {
        match rustix::io::write(fd, &1u64.to_ne_bytes()) {
            // AGAIN: the counter is at its maximum, so it is set.
            Ok(_) | Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.raw_os_error()),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Event {
    /// Sets the event, from any thread. Setting a set event changes nothing.
    ///
    /// # Errors
    /// `FailedPrecondition` once it is closed.
    pub fn set(&self) -> Result<()> {
        Err(unavailable())
    }

    pub(crate) fn create(_: Home) -> Result<Event> {
        Err(unavailable())
    }
}

crate::resource::named!(Event);

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn unavailable() -> Status {
    Status::new(crate::status::Code::Unavailable, Operation::EventCreate).with_message("no events on this system yet")
}
