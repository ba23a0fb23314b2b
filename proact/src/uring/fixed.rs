//! The table of registered buffers (`IORING_REGISTER_BUFFERS2` and `_UPDATE`; sparse since Linux 5.19).
//!
//! What is in it is pinned: the kernel holds the pages themselves, so that the table is no danger to memory, whatever
//! becomes of the addresses.

use linux_raw_sys::io_uring as raw;
use linux_raw_sys::io_uring::io_uring_register_op as Register;

use super::ring::Ring;
use super::sys;

// The kernel reads these by offset, and is told their sizes.
const _: () = {
    assert!(size_of::<raw::io_uring_rsrc_register>() == 32);
    assert!(size_of::<raw::io_uring_rsrc_update2>() == 32);
};

/// The most bytes that one place of the table takes.
pub(crate) const PLACE_MAX: usize = 1 << 30;

impl Ring {
    /// Makes an empty table of `places`. A ring has one at most.
    pub(crate) fn register_table(&self, places: u32) -> Result<(), i32> {
        // SAFETY: plain integers, for which zero means nothing.
        let mut register: raw::io_uring_rsrc_register = unsafe { std::mem::zeroed() };
        register.nr = places;
        register.flags = raw::IORING_RSRC_REGISTER_SPARSE;
        let size = size_of_val(&register) as u32;
        // SAFETY: one structure of the size told, as this opcode reads; it points to nothing.
        unsafe { sys::register(self.raw_fd(), Register::IORING_REGISTER_BUFFERS2, (&raw mut register).cast(), size) }?;
        Ok(())
    }

    /// Puts `length` bytes at `start`, at most [`PLACE_MAX`], into the place `index` of the table; a null pointer and
    /// no bytes empty it.
    ///
    /// # Safety
    ///
    /// The memory is mapped, and writable. Requests that name the place reach it: they are then the caller's to answer
    /// for, as for any other memory.
    pub(crate) unsafe fn set_place(&self, index: u16, start: *mut u8, length: usize) -> Result<(), i32> {
        let mut bytes = libc::iovec { iov_base: start.cast(), iov_len: length };
        // SAFETY: plain integers, for which zero means nothing.
        let mut update: raw::io_uring_rsrc_update2 = unsafe { std::mem::zeroed() };
        update.offset = index.into();
        update.data = (&raw mut bytes) as u64;
        update.nr = 1;
        let size = size_of_val(&update) as u32;
        // SAFETY: one structure of the size told, as this opcode reads; the vector that it points to outlives the call,
        // and the caller answers for the memory.
        unsafe {
            sys::register(self.raw_fd(), Register::IORING_REGISTER_BUFFERS_UPDATE, (&raw mut update).cast(), size)
        }?;
        Ok(())
    }
}
