//! Files.

use std::sync::Arc;

use super::{Home, Resource};
use crate::backend::Descriptor;

/// An open file or directory: what an [`Open`](crate::operation::Open) yields.
///
/// A clone is another handle to the same open file. All I/O names its offset; there is no shared position.
#[derive(Clone, Debug)]
pub struct File {
    resource: Arc<Resource>,
}

impl File {
    pub(crate) fn adopt(home: Home, descriptor: Descriptor) -> File {
        File { resource: Arc::new(Resource::adopt(home, descriptor)) }
    }

    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    #[cfg(unix)]
    pub(super) fn into_resource(self) -> Arc<Resource> {
        self.resource
    }

    #[cfg(unix)]
    pub(super) fn from_resource(resource: Arc<Resource>) -> File {
        File { resource }
    }

    /// Runs `f` with the file's descriptor, which cannot be closed meanwhile. Fails with `FailedPrecondition` once the
    /// file is closed. `f` must neither poll nor use the file in another way: a close would wait for it, and it for the
    /// close.
    #[cfg(unix)]
    pub fn try_with_fd<R>(&self, f: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> R) -> crate::status::Result<R> {
        self.resource.with(crate::status::Operation::None, |descriptor| {
            // SAFETY: the resource keeps the descriptor open while its lock is held, which is for the call of `f`.
            Ok(f(unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) }))
        })
    }
}
