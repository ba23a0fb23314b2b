//! Descriptors of which only readiness is asked.

use std::sync::Arc;

#[cfg(unix)]
use super::Home;
use super::Resource;
#[cfg(unix)]
use crate::status::Operation;

/// A descriptor of any kind that has readiness: an eventfd, a timerfd, a device fence, a socket of another library.
///
/// Made by [`Handle::import_pollable`](crate::proactor::Handle::import_pollable). Nothing of it is changed, read or
/// written: a [`PollHandle`](crate::operation::PollHandle) only tells what it is ready for. The last handle closes it.
#[derive(Clone, Debug)]
pub struct Pollable {
    resource: Arc<Resource>,
}

impl Pollable {
    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }
}

#[cfg(unix)]
impl Pollable {
    pub(crate) fn import(home: Home, fd: std::os::fd::OwnedFd) -> Pollable {
        use std::os::fd::IntoRawFd;
        let descriptor = crate::backend::Descriptor(fd.into_raw_fd().into());
        Pollable { resource: Arc::new(Resource::adopt_of_system(home, descriptor)) }
    }

    /// Gives the descriptor out: this was the last handle, and nothing is in flight.
    ///
    /// # Errors
    /// Gives the handle back, with `FailedPrecondition`, when other handles are there (operations in flight have one
    /// each), or when it is closed.
    pub fn into_fd(self) -> crate::status::Result<std::os::fd::OwnedFd, super::Returned<Pollable>> {
        super::import::release(self.resource)
            .map_err(|(resource, status)| super::Returned { resource: Pollable { resource }, status })
    }

    /// Runs `f` with the descriptor, which cannot be closed meanwhile. Fails with `FailedPrecondition` once it is
    /// closed. `f` must neither poll the proactor nor use this handle in another way.
    pub fn try_with_fd<R>(&self, f: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> R) -> crate::status::Result<R> {
        self.resource.with(Operation::None, |descriptor| {
            // SAFETY: the resource keeps the descriptor open while it is used, which is for the call of `f`.
            Ok(f(unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) }))
        })
    }
}
