//! Making a ring: which flags, in which order, and what to do without.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use linux_raw_sys::io_uring as raw;
use raw::io_uring_register_op as Register;

use super::sys;

/// What a ring is asked to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingOptions {
    /// Submission entries; rounded up to a power of two, cut to what the kernel allows.
    pub(crate) entries: u32,
    /// Register the ring's own descriptor with the thread.
    pub(crate) registered: bool,
    /// Do without the array of submission indices.
    pub(crate) no_array: bool,
}

/// Without these there is no ring: the newest, deferred task running, came with Linux 6.1.
///
/// - `SUBMIT_ALL`: without it one refused entry stops its batch.
/// - `R_DISABLED`: the ring is made whole before it is enabled, and the enabling thread becomes its issuer.
/// - `TASKRUN_FLAG`: says in shared memory when entering would run something, so that an idle pass needs no call.
pub(super) const REQUIRED: u32 = raw::IORING_SETUP_CLAMP
    | raw::IORING_SETUP_CQSIZE
    | raw::IORING_SETUP_R_DISABLED
    | raw::IORING_SETUP_SUBMIT_ALL
    | raw::IORING_SETUP_TASKRUN_FLAG
    | raw::IORING_SETUP_SINGLE_ISSUER
    | raw::IORING_SETUP_DEFER_TASKRUN;

/// Completion entries for each submission entry: operations wait in the kernel long after their entries were reused.
const COMPLETIONS_PER_ENTRY: u32 = 4;

/// A descriptor and what the kernel said about it, before anything is mapped.
pub(super) struct Made {
    pub(super) fd: OwnedFd,
    pub(super) params: raw::io_uring_params,
}

/// Calls setup with `flags`.
pub(super) fn make(entries: u32, flags: u32) -> Result<Made, i32> {
    let entries = entries.clamp(1, 1 << 15);
    // SAFETY: plain integers, for which zero means "not asked for".
    let mut params: raw::io_uring_params = unsafe { std::mem::zeroed() };
    params.flags = flags;
    if flags & raw::IORING_SETUP_CQSIZE != 0 {
        params.cq_entries = entries.next_power_of_two() * COMPLETIONS_PER_ENTRY;
    }
    let fd = sys::setup(entries, &mut params)?;
    Ok(Made { fd, params })
}

/// Makes the ring that `options` ask for, without the submission array where the kernel and the options allow it.
pub(super) fn make_best(options: &RingOptions) -> Result<Made, i32> {
    if options.no_array {
        // NO_SQARRAY is of Linux 6.6; an older kernel answers EINVAL to a flag that it does not know.
        match make(options.entries, REQUIRED | raw::IORING_SETUP_NO_SQARRAY) {
            Err(libc::EINVAL) => {}
            outcome => return outcome,
        }
    }
    make(options.entries, REQUIRED)
}

/// Enables the ring; the calling thread becomes its only issuer.
pub(super) fn enable(fd: &OwnedFd) -> Result<(), i32> {
    // SAFETY: this opcode takes no argument.
    unsafe { sys::register(fd.as_raw_fd(), Register::IORING_REGISTER_ENABLE_RINGS, std::ptr::null_mut(), 0) }?;
    Ok(())
}

/// Registers the ring's descriptor with the calling thread, and returns the index that stands for it. A thread has 16
/// places for these, so that it can fail where everything else works.
pub(super) fn register_descriptor(fd: &OwnedFd) -> Result<u32, i32> {
    let mut update = raw::io_uring_rsrc_update { offset: u32::MAX, resv: 0, data: fd.as_raw_fd() as u64 };
    // SAFETY: one update structure, as this opcode reads and writes.
    let count =
        unsafe { sys::register(fd.as_raw_fd(), Register::IORING_REGISTER_RING_FDS, (&raw mut update).cast(), 1) }?;
    if count == 1 { Ok(update.offset) } else { Err(libc::EBUSY) }
}

/// Gives the index back. The place would otherwise keep the ring alive until the thread ends.
pub(super) fn unregister_descriptor(fd: &OwnedFd, index: u32) {
    let mut update = raw::io_uring_rsrc_update { offset: index, resv: 0, data: 0 };
    // SAFETY: one update structure, as this opcode reads.
    let _ = unsafe {
        sys::register(fd.as_fd().as_raw_fd(), Register::IORING_UNREGISTER_RING_FDS, (&raw mut update).cast(), 1)
    };
}

/// Has the kernel's own threads for the rings of the calling thread run on the processors of `mask`
/// (`IORING_REGISTER_IOWQ_AFF`, Linux 5.14). EINVAL: not all are in the process's cpuset.
///
/// A worker is given the mask of its queue, everything unless this says otherwise (`io_init_new_worker`). Since
/// Linux 6.2 what a thread was pinned to by sched_setaffinity outlasts that in those it starts; before, it does not.
pub(super) fn pin_kernel_threads(fd: &OwnedFd, mask: &mut [libc::c_ulong]) -> Result<(), i32> {
    let length = size_of_val(mask) as u32;
    // SAFETY: as many bytes as this opcode is told to read.
    unsafe { sys::register(fd.as_raw_fd(), Register::IORING_REGISTER_IOWQ_AFF, mask.as_mut_ptr().cast(), length) }?;
    Ok(())
}
