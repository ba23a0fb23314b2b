//! Memory shared with the kernel.

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

use crate::fault;

/// Memory mapped for the ring or its buffers; unmapped on drop.
pub(super) struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    /// Maps `length` bytes at `offset`, one of the ring's magic offsets.
    pub(super) fn new(ring: BorrowedFd<'_>, offset: u64, length: usize) -> Result<Mapping, i32> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        fault::check()?;
        // SAFETY: no address is asked for, so no existing mapping is replaced.
        let start = unsafe { mmap(std::ptr::null_mut(), length, protection, flags, ring, offset) }
            .map_err(|errno| errno.raw_os_error())?;
        let mapping = Mapping { start: NonNull::new(start.cast()).ok_or(libc::ENOMEM)?, length };
        // A child that touched the parent's ring would corrupt it. Best effort: the ring works without.
        // SAFETY: the range is exactly the mapping made above.
        let _ = unsafe { madvise(start, length, Advice::LinuxDontFork) };
        Ok(mapping)
    }

    /// Maps `length` bytes of fresh memory for the kernel to be told of.
    pub(super) fn anonymous(length: usize) -> Result<Mapping, i32> {
        let (protection, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::POPULATE);
        // SAFETY: no address is asked for, so no existing mapping is replaced.
        let start = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), length, protection, flags) }
            .map_err(|errno| errno.raw_os_error())?;
        let mapping = Mapping { start: NonNull::new(start.cast()).ok_or(libc::ENOMEM)?, length };
        // As above.
        // SAFETY: the range is exactly the mapping made above.
        let _ = unsafe { madvise(start, length, Advice::LinuxDontFork) };
        Ok(mapping)
    }

    /// A pointer to the item at `offset` bytes.
    ///
    /// # Panics
    ///
    /// When `count` items do not fit there, or are misaligned: the kernel's own offsets would be wrong.
    pub(super) fn at<T>(&self, offset: u32, count: u32) -> NonNull<T> {
        let offset = offset as usize;
        let end = (count as usize).checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(offset));
        assert!(end.is_some_and(|end| end <= self.length), "ring offset {offset} outside of {} bytes", self.length);
        // SAFETY: `offset` lies within the mapping, checked above.
        let item = unsafe { self.start.add(offset) }.cast::<T>();
        assert!(item.is_aligned(), "ring offset {offset} is misaligned");
        item
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the range is this mapping, and the ring that owns it hands out no reference that outlives it.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.length) };
    }
}
