//! The three system calls, and what `linux-raw-sys` lacks.
//!
//! References: io_uring_setup(2), io_uring_enter(2), io_uring_register(2).

use std::io;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
use std::os::fd::BorrowedFd;
use std::os::fd::{FromRawFd, OwnedFd};

use linux_raw_sys::io_uring as raw;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
use rustix::io_uring::{IoringEnterFlags, io_uring_enter};

use crate::fault;

/// Words in memory that the kernel shares. They are the machine's own atomics even where `crate::atomic` is loom's:
/// loom's are wider than four bytes, and the kernel would not take part in the model anyway.
pub(super) use core::sync::atomic::AtomicU32 as SharedU32;

// The kernel reads and writes these by offset: another size would corrupt memory, so it does not build.
const _: () = {
    assert!(size_of::<raw::io_uring_sqe>() == 64);
    assert!(size_of::<raw::io_uring_cqe>() == 16);
    assert!(size_of::<raw::io_uring_params>() == 120);
    assert!(size_of::<raw::io_uring_getevents_arg>() == 24);
    assert!(size_of::<raw::__kernel_timespec>() == 16);
    assert!(size_of::<raw::io_uring_probe>() == 16);
    assert!(size_of::<raw::io_uring_probe_op>() == 8);
    assert!(size_of::<raw::io_uring_rsrc_update>() == 16);
    assert!(size_of::<SharedU32>() == 4);
};

/// The flag that links an entry to the next; `linux-raw-sys` has only its bit number.
pub(super) const IOSQE_IO_LINK: u8 = 1 << (raw::io_uring_sqe_flags_bit::IOSQE_IO_LINK_BIT as u8);

/// The flag that leaves the choice of the buffer to the kernel.
pub(super) const IOSQE_BUFFER_SELECT: u8 = 1 << (raw::io_uring_sqe_flags_bit::IOSQE_BUFFER_SELECT_BIT as u8);

/// The flag that makes the descriptor a place in the ring's table.
pub(super) const IOSQE_FIXED_FILE: u8 = 1 << (raw::io_uring_sqe_flags_bit::IOSQE_FIXED_FILE_BIT as u8);

/// `IO_URING_OP_SUPPORTED` of the probe, which `linux-raw-sys` does not carry.
pub(super) const IO_URING_OP_SUPPORTED: u16 = 1;

/// Makes a ring. The kernel fills in the rest of `params`.
#[cfg_attr(feature = "fault-injection", track_caller)]
pub(super) fn setup(entries: u32, params: &mut raw::io_uring_params) -> Result<OwnedFd, i32> {
    fault::check()?;
    // SAFETY: `params` is exclusively ours, and of the size that the kernel reads and writes (checked above).
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, &raw mut *params) };
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: the kernel just made this descriptor (close-on-exec, as it always does), and no one else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Submits `to_submit` entries and waits for `min_complete` completions.
///
/// # Safety
///
/// `argument` points to what `flags` says it is, `size` bytes of it, for the length of the call; and what the
/// submitted entries point to stays valid until their completions.
#[inline]
pub(super) unsafe fn enter(
    fd: i32,
    to_submit: u32,
    min_complete: u32,
    flags: u32,
    argument: *const u8,
    size: usize,
) -> Result<u32, i32> {
    // SAFETY: the caller answers for `argument` and for the entries.
    let done = unsafe { libc::syscall(libc::SYS_io_uring_enter, fd, to_submit, min_complete, flags, argument, size) };
    if done < 0 { Err(last_errno()) } else { Ok(done as u32) }
}

/// As [`enter`] without an argument: the common case. `rustix` makes the call in place, which saves the way through the
/// C library's variadic `syscall` and its error variable. It does so on the processors that it has assembly for.
///
/// # Safety
///
/// What the submitted entries point to stays valid until their completions.
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64")))]
#[inline]
pub(super) unsafe fn enter_plain(fd: i32, to_submit: u32, min_complete: u32, flags: u32) -> Result<u32, i32> {
    // SAFETY: the ring is open, or `fd` is the index that stands for it; either lives as long as the caller's ring.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let flags = IoringEnterFlags::from_bits_retain(flags);
    // SAFETY: the caller answers for the entries.
    unsafe { io_uring_enter(fd, to_submit, min_complete, flags) }.map_err(|errno| errno.raw_os_error())
}

/// As [`enter`] without an argument.
///
/// # Safety
///
/// What the submitted entries point to stays valid until their completions.
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "riscv64"))))]
#[inline]
pub(super) unsafe fn enter_plain(fd: i32, to_submit: u32, min_complete: u32, flags: u32) -> Result<u32, i32> {
    // SAFETY: no argument is read, and the caller answers for the entries.
    unsafe { enter(fd, to_submit, min_complete, flags, std::ptr::null(), 0) }
}

/// Registers, unregisters or asks something of a ring.
///
/// # Safety
///
/// `argument` points to `count` of the items that `opcode` reads or writes.
#[cfg_attr(feature = "fault-injection", track_caller)]
pub(super) unsafe fn register(
    fd: i32,
    opcode: raw::io_uring_register_op,
    argument: *mut u8,
    count: u32,
) -> Result<u32, i32> {
    fault::check()?;
    // SAFETY: the caller answers for `argument`.
    let done = unsafe { libc::syscall(libc::SYS_io_uring_register, fd, opcode as u32, argument, count) };
    if done < 0 { Err(last_errno()) } else { Ok(done as u32) }
}

#[cold]
fn last_errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
