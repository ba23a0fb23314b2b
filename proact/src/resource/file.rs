//! Files.

use std::sync::Arc;

use super::{Home, Resource};
use crate::backend::{Descriptor, DirectAlignment};
use crate::status::{Code, Operation, Result, Status};

/// An open file or directory: what an [`Open`](crate::operation::Open) yields.
///
/// A clone is another handle to the same open file. All I/O names its offset; there is no shared position.
#[derive(Clone, Debug)]
pub struct File {
    pub(super) resource: Arc<Resource>,
    /// It was opened for direct I/O.
    pub(super) direct: Option<Direct>,
}

/// What is known of a file that was opened for direct I/O.
#[derive(Clone, Copy, Debug)]
pub(super) struct Direct {
    /// `None`: the system does not say.
    alignment: Option<DirectAlignment>,
}

impl File {
    pub(crate) fn adopt(home: Home, descriptor: Descriptor) -> File {
        File { resource: Arc::new(Resource::adopt(home, descriptor)), direct: None }
    }

    /// Adopts a file that was opened for direct I/O, and asks the system what must be aligned how.
    pub(crate) fn adopt_direct(home: Home, descriptor: Descriptor) -> File {
        let file = File::adopt(home, descriptor);
        let alignment = alignment_of(&file.resource);
        File { direct: Some(Direct { alignment }), ..file }
    }

    /// What direct I/O on this file must be aligned to, if it was opened with
    /// [`OpenFlags::DIRECT`](crate::backend::OpenFlags::DIRECT) and the system says (Linux 6.1, on the file systems
    /// that were taught to).
    pub fn direct_alignment(&self) -> Option<DirectAlignment> {
        self.direct?.alignment
    }

    /// Refuses what direct I/O cannot do on this file, where that is known.
    pub(crate) fn check_direct(
        &self,
        operation: Operation,
        offset: u64,
        pieces: impl Iterator<Item = (usize, usize)>,
    ) -> Result<()> {
        let Some(alignment) = self.direct_alignment() else { return Ok(()) };
        let (memory, unit) = (alignment.memory as usize, u64::from(alignment.offset));
        let fits = |(address, length): (usize, usize)| address % memory == 0 && length as u64 % unit == 0;
        if offset % unit == 0 && pieces.into_iter().all(fits) {
            return Ok(());
        }
        Err(misaligned(Status::new(Code::InvalidArgument, operation), alignment))
    }

    /// Whether a transfer that has come this far cannot go on: only the end of the file leaves direct I/O midway
    /// between two units.
    pub(crate) fn is_between_units(&self, progress: usize) -> bool {
        self.direct_alignment().is_some_and(|alignment| progress as u64 % u64::from(alignment.offset) != 0)
    }

    /// Says what direct I/O asks for where the system refused a transfer as misaligned.
    pub(crate) fn explain_direct(&self, status: Status) -> Status {
        match self.direct {
            Some(Direct { alignment: Some(alignment) }) if status.code() == Code::InvalidArgument => {
                misaligned(status, alignment)
            }
            Some(_) if status.code() == Code::InvalidArgument => {
                status.with_context("direct I/O, whose alignment this file system does not tell")
            }
            _ => status,
        }
    }

    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Runs `f` with the file's descriptor, which cannot be closed meanwhile. Fails with `FailedPrecondition` once the
    /// file is closed. `f` must neither poll nor use the file in another way: a close would wait for it, and it for the
    /// close.
    #[cfg(unix)]
    pub fn try_with_fd<R>(&self, f: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> R) -> Result<R> {
        self.resource.with(Operation::None, |descriptor| {
            // SAFETY: the resource keeps the descriptor open while it is used, which is for the call of `f`.
            Ok(f(unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) }))
        })
    }
}

fn misaligned(status: Status, alignment: DirectAlignment) -> Status {
    let DirectAlignment { memory, offset } = alignment;
    status.with_context(format!(
        "direct I/O here takes memory at multiples of {memory} bytes, offsets and lengths at multiples of {offset}"
    ))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn alignment_of(resource: &Resource) -> Option<DirectAlignment> {
    use rustix::fs::{AtFlags, StatxFlags};
    let asked = resource.with(Operation::FileOpen, |descriptor| {
        // SAFETY: the resource keeps the descriptor open while it is used.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
        // What this machine knows already: the poll thread does not wait for a server.
        // By its number: rustix does not name it on Android.
        let flags = AtFlags::EMPTY_PATH | AtFlags::from_bits_retain(linux_raw_sys::general::AT_STATX_DONT_SYNC);
        Ok(rustix::fs::statx(fd, c"", flags, StatxFlags::DIOALIGN).ok())
    });
    let answer = asked.ok()??;
    let (memory, offset) = (answer.stx_dio_mem_align, answer.stx_dio_offset_align);
    (memory > 0 && offset > 0).then_some(DirectAlignment { memory, offset })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn alignment_of(_: &Resource) -> Option<DirectAlignment> {
    None
}
