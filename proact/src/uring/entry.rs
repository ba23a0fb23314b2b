//! One submission entry.

use linux_raw_sys::io_uring as raw;
pub(crate) use linux_raw_sys::io_uring::io_uring_op as Op;

pub(crate) use linux_raw_sys::io_uring::{
    IORING_ACCEPT_MULTISHOT, IORING_RECV_MULTISHOT, IORING_RECVSEND_BUNDLE, IORING_SEND_ZC_REPORT_USAGE,
};

use super::buffers::kernels_group;
use super::sys::{IOSQE_BUFFER_SELECT, IOSQE_FIXED_FILE, IOSQE_IO_LINK};

// `linux/futex.h`.
const FUTEX2_SIZE_U32: i32 = 2;
const FUTEX2_PRIVATE: i32 = 128;

/// A submission entry, in the kernel's layout.
///
/// Its place in the ring still holds whatever an earlier use left there, so [`Entry::set`] writes every byte.
#[repr(transparent)]
pub(crate) struct Entry(raw::io_uring_sqe);

impl Entry {
    /// Fills the entry: every field that is not named becomes zero. What each means depends on `op`; the order is
    /// that of the structure: descriptor, `off`/`addr2`, `addr`, `len`, the operation's own flags.
    #[inline]
    pub(crate) fn set(&mut self, op: Op, fd: i32, offset: u64, address: u64, length: u32, op_flags: u32) {
        let sqe = &mut self.0;
        sqe.opcode = op as u8;
        sqe.flags = 0;
        sqe.ioprio = 0;
        sqe.fd = fd;
        sqe.__bindgen_anon_1.off = offset;
        sqe.__bindgen_anon_2.addr = address;
        sqe.len = length;
        sqe.__bindgen_anon_3.rw_flags = op_flags;
        sqe.user_data = 0;
        sqe.__bindgen_anon_4.buf_index = 0;
        sqe.personality = 0;
        sqe.__bindgen_anon_5.file_index = 0;
        sqe.__bindgen_anon_6.bindgen_union_field = Default::default();
    }

    /// Fills the entry with a wait for readiness, once.
    pub(crate) fn set_poll(&mut self, fd: i32, events: i16) {
        let events = u32::from(events as u16);
        // The kernel reads the halves of the word swapped on big-endian machines (`poll32_events`, since 5.9).
        let events = if cfg!(target_endian = "big") { events.rotate_left(16) } else { events };
        self.set(Op::IORING_OP_POLL_ADD, fd, 0, 0, 0, events);
    }

    /// Has a poll go on after its first completion (`IORING_POLL_ADD_MULTI`, since 5.13).
    pub(crate) fn poll_on(&mut self) {
        self.0.len = linux_raw_sys::io_uring::IORING_POLL_ADD_MULTI;
    }

    /// Fills the entry with a splice from one descriptor and offset to another.
    pub(crate) fn set_splice(&mut self, from: (i32, u64), to: (i32, u64), length: u32) {
        self.set(Op::IORING_OP_SPLICE, to.0, to.1, from.1, length, 0);
        self.0.__bindgen_anon_5.splice_fd_in = from.0;
    }

    /// Fills the entry with a futex operation on a 32-bit word, for whoever waits whatever its bit set (since 6.7).
    pub(crate) fn set_futex(&mut self, op: Op, word: *const u32, value: u64, shared: bool) {
        let flags = FUTEX2_SIZE_U32 | if shared { 0 } else { FUTEX2_PRIVATE };
        self.set(op, flags, value, word as u64, 0, 0);
        // SAFETY: either form of an entry's last two words is plain numbers, so all bits are of this one.
        let last = unsafe { self.0.__bindgen_anon_6.__bindgen_anon_1.as_mut() };
        // The bit set.
        last.addr3 = u32::MAX.into();
    }

    /// Turns the filled entry into one that does nothing and completes with `-errno` (injected results since 6.10).
    #[cold]
    pub(crate) fn set_failing(&mut self, errno: i32) {
        self.set(Op::IORING_OP_NOP, -1, 0, 0, -errno as u32, raw::IORING_NOP_INJECT_RESULT);
    }

    /// Fills the entry with a cancel of the one request that carries `user_data`.
    pub(crate) fn set_cancel(&mut self, user_data: u64) {
        self.set(Op::IORING_OP_ASYNC_CANCEL, -1, 0, user_data, 0, 0);
    }

    /// Fills the entry with a cancel of every request on the ring (since 5.19).
    pub(crate) fn set_cancel_all(&mut self) {
        let flags = raw::IORING_ASYNC_CANCEL_ALL | raw::IORING_ASYNC_CANCEL_ANY;
        self.set(Op::IORING_OP_ASYNC_CANCEL, -1, 0, 0, 0, flags);
    }

    /// Sets the modifiers of socket operations, which travel in the priority's place.
    #[inline]
    pub(crate) fn set_priority(&mut self, modifiers: u32) {
        self.0.ioprio = modifiers as u16;
    }

    /// Lets the kernel choose the buffer from group `group`, when there are bytes to put into one.
    #[inline]
    pub(crate) fn select_buffer(&mut self, group: u16) {
        self.0.flags |= IOSQE_BUFFER_SELECT;
        self.0.__bindgen_anon_4.buf_group = kernels_group(group);
    }

    /// Names the registered buffer that the memory lies in.
    #[inline]
    pub(crate) fn set_buffer(&mut self, index: u16) {
        self.0.__bindgen_anon_4.buf_index = index;
    }

    /// Names the entry's file by its place in the ring's table instead of its number.
    #[inline]
    pub(crate) fn set_place(&mut self, place: u32) {
        self.0.fd = place as i32;
        self.0.flags |= IOSQE_FIXED_FILE;
    }

    /// What the completion will carry.
    #[inline]
    pub(crate) fn set_user_data(&mut self, user_data: u64) {
        self.0.user_data = user_data;
    }

    /// What the completion will carry.
    pub(crate) fn user_data(&self) -> u64 {
        self.0.user_data
    }

    /// Lets the next entry start only when this one has succeeded in full.
    #[inline]
    pub(crate) fn link(&mut self) {
        self.0.flags |= IOSQE_IO_LINK;
    }

    /// Whether the next entry hangs on this one.
    pub(crate) fn is_linked(&self) -> bool {
        self.0.flags & IOSQE_IO_LINK != 0
    }
}
