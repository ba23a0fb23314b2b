//! Leases: a buffer, or a part of one, for one holder.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::buffer::{Access, StableBytes, StableBytesMut};
use super::buffer_pool::Shared;
use super::region::Region;
use super::registration::Fixed;

/// A buffer of a [`BufferPool`](super::BufferPool), exclusively: to be read and written as a slice, or moved into an
/// operation.
///
/// Dropping it, on any thread, gives the buffer back. It keeps the pool's memory by itself: it may outlive every handle
/// to the pool.
pub struct Lease {
    pool: NonNull<Shared>,
    start: NonNull<u8>,
    index: u32,
    /// Bytes that it shows.
    length: u32,
    /// Bytes that it has.
    capacity: u32,
    /// Others may hold parts of the same buffer.
    is_part: bool,
}

// SAFETY: the lease owns its bytes alone, and the pool is made for any thread.
unsafe impl Send for Lease {}
// SAFETY: a shared lease gives its bytes to be read and nothing else.
unsafe impl Sync for Lease {}

impl Lease {
    /// # Safety
    ///
    /// The pool is there; `capacity` bytes at `offset` of buffer `index`, which was taken from it, are the caller's, to
    /// be given to the lease with a hold on the buffer; `length` is at most `capacity`.
    #[inline]
    pub(super) unsafe fn new(
        pool: NonNull<Shared>,
        index: u32,
        offset: u32,
        length: u32,
        capacity: u32,
        is_part: bool,
    ) -> Lease {
        // SAFETY: the caller's promise.
        let slab = unsafe { pool.as_ref() }.slab();
        let offset = index as usize * slab.buffer_size() + offset as usize;
        // SAFETY: within the slab, and so within the region.
        let start = unsafe { NonNull::new_unchecked(slab.region().as_ptr().add(offset)) };
        Lease { pool, start, index, length, capacity, is_part }
    }

    /// The number of its buffer in the pool, from 0. A part has its buffer's.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// The memory that the buffer lies in.
    pub fn region(&self) -> &Region {
        // SAFETY: the pool is there while a buffer is out.
        unsafe { self.pool.as_ref() }.slab().region()
    }

    /// Where in the region it begins, in bytes.
    pub fn offset(&self) -> usize {
        self.start.as_ptr() as usize - self.region().as_ptr() as usize
    }

    /// Bytes that it has, whatever it shows.
    pub fn capacity(&self) -> usize {
        self.capacity as usize
    }

    /// Shows the first `length` bytes, as slice and to operations: what was received, or what is to be sent.
    ///
    /// # Panics
    ///
    /// If it has fewer.
    pub fn set_len(&mut self, length: usize) {
        assert!(length <= self.capacity(), "{length} of {} bytes", self.capacity);
        self.length = length as u32;
    }

    /// Leaves out the first `count` bytes from here on: a header that has been read.
    ///
    /// # Panics
    ///
    /// If it shows fewer.
    pub fn advance(&mut self, count: usize) {
        assert!(count <= self.length as usize, "{count} of {} bytes", self.length);
        // SAFETY: within the buffer, checked above.
        self.start = unsafe { self.start.add(count) };
        self.length -= count as u32;
        self.capacity -= count as u32;
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the lease has a hold on its buffer, the only one unless it is a part, and ends.
        unsafe {
            if self.is_part {
                Shared::release_part(self.pool, self.index);
            } else {
                Shared::put(self.pool, self.index);
            }
        }
    }
}

impl Deref for Lease {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: initialised, valid while the lease holds its buffer, and its own alone.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.length as usize) }
    }
}

impl DerefMut for Lease {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and the lease is borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.length as usize) }
    }
}

// SAFETY: a buffer does not move, lives as long as the lease holds it, and no one else writes to it.
unsafe impl StableBytes for Lease {
    fn as_ptr(&self) -> *const u8 {
        self.start.as_ptr()
    }
    fn len(&self) -> usize {
        self.length as usize
    }
    fn registration(&self, proactor: u32) -> Option<Fixed> {
        self.region().registrations().find(proactor)?.fixed
    }
    fn access(&self) -> Access {
        self.region().access()
    }
}

// SAFETY: the lease is the only way to reach its bytes.
unsafe impl StableBytesMut for Lease {
    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.start.as_ptr()
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lease({} of {} bytes of buffer {})", self.length, self.capacity, self.index)
    }
}
