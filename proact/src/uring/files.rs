//! The table of registered descriptors (`IORING_REGISTER_FILES2` and `_UPDATE2`; sparse since Linux 5.19).
//!
//! What is in it is a reference of the ring's own: a file stays open in it whatever becomes of the number it came from.

use linux_raw_sys::io_uring as raw;
use linux_raw_sys::io_uring::io_uring_register_op as Register;

use super::ring::Ring;
use super::sys;

impl Ring {
    /// Makes an empty table of `places`. A ring has one at most.
    pub(crate) fn register_file_table(&self, places: u32) -> Result<(), i32> {
        // SAFETY: plain integers, for which zero means nothing.
        let mut register: raw::io_uring_rsrc_register = unsafe { std::mem::zeroed() };
        register.nr = places;
        register.flags = raw::IORING_RSRC_REGISTER_SPARSE;
        let size = size_of_val(&register) as u32;
        // SAFETY: one structure of the size told, as this opcode reads; it points to nothing.
        unsafe { sys::register(self.raw_fd(), Register::IORING_REGISTER_FILES2, (&raw mut register).cast(), size) }?;
        Ok(())
    }

    /// Puts `fd` into the place `index` of the table; -1 empties it.
    pub(crate) fn set_file(&self, index: u32, fd: i32) -> Result<(), i32> {
        let mut fds = [fd];
        // SAFETY: plain integers, for which zero means nothing.
        let mut update: raw::io_uring_rsrc_update2 = unsafe { std::mem::zeroed() };
        update.offset = index;
        update.data = fds.as_mut_ptr() as u64;
        update.nr = 1;
        let size = size_of_val(&update) as u32;
        // SAFETY: one structure of the size told, as this opcode reads; the number that it points to outlives the call.
        unsafe {
            sys::register(self.raw_fd(), Register::IORING_REGISTER_FILES_UPDATE2, (&raw mut update).cast(), size)
        }?;
        Ok(())
    }
}
