//! Memory that others write to: how it is copied, and where it comes from.

use std::ptr::NonNull;

#[cfg(unix)]
use super::buffer::Access;
#[cfg(unix)]
use crate::status::{Code, Operation, Result, Status};

/// Words of memory that others share: the machine's own atomics, even where `crate::atomic` is loom's, whose are of
/// another size and know nothing of other processes.
pub(super) use core::sync::atomic::{AtomicU8 as SharedU8, AtomicUsize as SharedWord, Ordering as SharedOrdering};

const WORD: usize = size_of::<usize>();

/// Copies `bytes` to memory that others may reach at the same time: word by word, each whole or not at all.
///
/// # Safety
///
/// As many bytes at `to` are mapped for writing, and no reference into them exists.
pub(super) unsafe fn copy_in(to: NonNull<u8>, bytes: &[u8]) {
    let (lead, words) = split(to, bytes.len());
    // SAFETY: all indices are below `bytes.len()`, for which the caller answers; words are aligned by `split`.
    let byte = |index: usize| unsafe { to.add(index).cast::<SharedU8>().as_ref() };
    let store = |range: std::ops::Range<usize>| {
        range.for_each(|index| byte(index).store(bytes[index], SharedOrdering::Relaxed));
    };
    store(0..lead);
    for (index, word) in bytes[lead..lead + words * WORD].chunks_exact(WORD).enumerate() {
        let value = usize::from_ne_bytes(word.try_into().expect("a word of bytes"));
        // SAFETY: as above.
        unsafe { to.add(lead + index * WORD).cast::<SharedWord>().as_ref() }.store(value, SharedOrdering::Relaxed);
    }
    store(lead + words * WORD..bytes.len());
}

/// Copies out of memory that others may reach at the same time.
///
/// # Safety
///
/// As many bytes at `from` are mapped for reading, and no reference into them exists.
pub(super) unsafe fn copy_out(from: NonNull<u8>, bytes: &mut [u8]) {
    let (lead, words) = split(from, bytes.len());
    // SAFETY: all indices are below `bytes.len()`, for which the caller answers; words are aligned by `split`.
    let byte = |index: usize| unsafe { from.add(index).cast::<SharedU8>().as_ref() };
    for (index, target) in bytes[..lead].iter_mut().enumerate() {
        *target = byte(index).load(SharedOrdering::Relaxed);
    }
    let tail = lead + words * WORD;
    for (index, word) in bytes[lead..tail].chunks_exact_mut(WORD).enumerate() {
        // SAFETY: as above.
        let shared = unsafe { from.add(lead + index * WORD).cast::<SharedWord>().as_ref() };
        word.copy_from_slice(&shared.load(SharedOrdering::Relaxed).to_ne_bytes());
    }
    for (index, target) in bytes[tail..].iter_mut().enumerate() {
        *target = byte(tail + index).load(SharedOrdering::Relaxed);
    }
}

/// How many bytes stand before the first word's boundary, and how many words follow.
fn split(at: NonNull<u8>, length: usize) -> (usize, usize) {
    let lead = at.as_ptr().align_offset(WORD).min(length);
    (lead, (length - lead) / WORD)
}

/// A mapped dmabuf, and the descriptor that its device is told by.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) struct Device {
    #[allow(dead_code)] // kept for its drop
    pub(super) mapping: super::mapping::Mapping,
    pub(super) fd: std::os::fd::OwnedFd,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Device {
    /// Runs `copy` while the processor may touch the buffer.
    pub(super) fn synced(&self, access: Access, copy: impl FnOnce()) -> Result {
        use std::os::fd::AsFd;
        let flags = if access.contains(Access::WRITE) { sync::WRITE } else { sync::READ };
        sync::tell(self.fd.as_fd(), flags | sync::START)?;
        copy();
        sync::tell(self.fd.as_fd(), flags | sync::END)
    }
}

/// `linux/dma-buf.h`, which no crate here has.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod sync {
    use std::os::fd::{AsRawFd, BorrowedFd};

    use super::*;

    pub(super) const READ: u64 = 1;
    pub(super) const WRITE: u64 = 2;
    pub(super) const START: u64 = 0;
    pub(super) const END: u64 = 4;

    /// `_IOW('b', 0, struct dma_buf_sync)`, of one `u64` of flags; the encoding of most processors. MIPS, PowerPC and
    /// SPARC have their own.
    const DMA_BUF_IOCTL_SYNC: u32 = 1 << 30 | 8 << 16 | (b'b' as u32) << 8;

    /// Tells the buffer's device that the processor begins or ends.
    pub(super) fn tell(fd: BorrowedFd<'_>, flags: u64) -> Result {
        loop {
            // SAFETY: the request reads one `u64`, which outlives the call.
            let done = unsafe { libc::ioctl(fd.as_raw_fd(), DMA_BUF_IOCTL_SYNC as _, &raw const flags) };
            if done == 0 {
                return Ok(());
            }
            match std::io::Error::last_os_error().raw_os_error().unwrap_or(0) {
                libc::EINTR | libc::EAGAIN => {}
                errno => return Err(Status::from_os_error(Operation::RegionCopy, errno)),
            }
        }
    }
}

/// Makes sure that a descriptor is a dmabuf: only such a one knows its protocol.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn dmabuf(fd: std::os::fd::OwnedFd) -> Result<std::os::fd::OwnedFd> {
    use std::os::fd::AsFd;
    let told = sync::tell(fd.as_fd(), sync::READ | sync::START).and_then(|()| {
        // Nothing was touched; only the question counted.
        sync::tell(fd.as_fd(), sync::READ | sync::END)
    });
    match told {
        Ok(()) => Ok(fd),
        Err(status) if matches!(status.os_error(), Some(libc::ENOTTY | libc::EINVAL)) => {
            let why = "the descriptor is no dmabuf";
            Err(Status::new(Code::InvalidArgument, Operation::RegionCreate).with_message(why))
        }
        Err(status) => Err(status.with_operation(Operation::RegionCreate)),
    }
}

/// Checks that an object has the bytes, and that something may be done with them.
#[cfg(unix)]
pub(super) fn check_object(fd: std::os::fd::BorrowedFd<'_>, offset: u64, length: usize, access: Access) -> Result {
    let refused = |code, why| Err(Status::new(code, Operation::RegionCreate).with_message(why));
    if access.is_empty() {
        return refused(Code::InvalidArgument, "neither READ nor WRITE");
    }
    let end = offset.checked_add(length as u64).filter(|end| *end <= i64::MAX as u64);
    let size = object_size(fd).map_err(|errno| Status::from_os_error(Operation::RegionCreate, errno.raw_os_error()))?;
    if end.is_none_or(|end| end > size) {
        return refused(Code::OutOfRange, "past the end of the object");
    }
    Ok(())
}

#[cfg(unix)]
fn object_size(fd: std::os::fd::BorrowedFd<'_>) -> rustix::io::Result<u64> {
    let stat = rustix::fs::fstat(fd)?;
    if rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::RegularFile {
        return Ok(stat.st_size as u64);
    }
    // A dmabuf tells its size to a seek alone, and has no position that this could move.
    rustix::fs::seek(fd, rustix::fs::SeekFrom::End(0))
}

/// Seals a memory object against shrinking.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn seal(fd: std::os::fd::BorrowedFd<'_>) -> Result {
    use rustix::fs::{SealFlags, fcntl_add_seals, fcntl_get_seals};
    let sealed = fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
    if sealed || fcntl_add_seals(fd, SealFlags::SHRINK).is_ok() {
        return Ok(());
    }
    let why = "the object can be cut short by others, and cannot be sealed against it";
    Err(Status::new(Code::FailedPrecondition, Operation::RegionCreate).with_message(why))
}

/// A new memory object of zeros, whose length no one can change.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn memory_object(length: usize) -> Result<std::os::fd::OwnedFd> {
    use crate::fault::tried;
    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
    let failed = |errno: rustix::io::Errno| Status::from_os_error(Operation::RegionCreate, errno.raw_os_error());
    let create = || memfd_create("proact", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING);
    let fd = tried(create).map_err(failed)?;
    tried(|| ftruncate(&fd, length as u64)).map_err(failed)?;
    tried(|| fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW)).map_err(failed)?;
    Ok(fd)
}
