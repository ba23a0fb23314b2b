//! A ring of buffers that the kernel takes from when bytes come (`IORING_REGISTER_PBUF_RING`, Linux 5.19).

use std::ptr::NonNull;

use linux_raw_sys::io_uring as raw;
use linux_raw_sys::io_uring::io_uring_register_op as Register;

use super::mapping::Mapping;
use super::ring::Ring;
use super::sys;
use crate::atomic::Ordering;

/// The tail that the kernel reads: in the place of the first entry's last field.
type Tail = core::sync::atomic::AtomicU16;

const TAIL_OFFSET: u32 = 14;

/// The kernel's number of our first group. Before 6.9 (where it was not mended in a stable release), the kernel keeps
/// what it knows of its first 64 groups when their ring is given up: the next ring of such a number begins at the place
/// at which the last one ended, and the kernel takes it for empty, or takes what was never offered. Higher numbers are
/// forgotten whole (`BGID_ARRAY` in io_uring/kbuf.c).
const GROUP_FIRST: u16 = 64;

/// The kernel's number of a group.
pub(super) const fn kernels_group(group: u16) -> u16 {
    GROUP_FIRST + group
}

/// `IOU_PBUF_RING_INC`, a bit of the registration's flags.
const IOU_PBUF_RING_INC: u16 = raw::io_uring_register_pbuf_ring_flags::IOU_PBUF_RING_INC as u16;

// The kernel reads these by offset.
const _: () = {
    assert!(size_of::<raw::io_uring_buf>() == 16);
    assert!(std::mem::offset_of!(raw::io_uring_buf, resv) == TAIL_OFFSET as usize);
    assert!(size_of::<raw::io_uring_buf_reg>() == 40);
    assert!(size_of::<raw::io_uring_buf_status>() == 40);
};

/// The shared ring of one group of buffers. Only the ring's own thread writes it.
pub(crate) struct BufferRing {
    entries: NonNull<raw::io_uring_buf>,
    shared_tail: NonNull<Tail>,
    mask: u16,
    tail: u16,
    group: u16,
    // Unmapped after the kernel was told to forget it: see `unregister`.
    memory: Mapping,
}

impl BufferRing {
    /// The most buffers that one ring holds.
    pub(crate) const MOST: u32 = 1 << 15;
    /// The highest group: the kernel's last number means "no group" to some of its interfaces.
    pub(crate) const GROUP_LAST: u16 = u16::MAX - 1 - GROUP_FIRST;

    /// Registers an empty ring of `count` entries, a power of two up to [`BufferRing::MOST`], as group `group`, at most
    /// [`BufferRing::GROUP_LAST`], which no ring has now.
    /// `incremental`: the kernel fills a buffer in parts, and says of each whether it keeps the rest (Linux 6.12).
    pub(crate) fn register(ring: &Ring, group: u16, count: u32, incremental: bool) -> Result<BufferRing, i32> {
        debug_assert!(count.is_power_of_two() && count <= BufferRing::MOST && group <= BufferRing::GROUP_LAST);
        let memory = Mapping::anonymous(count as usize * size_of::<raw::io_uring_buf>())?;
        // SAFETY: plain integers, for which zero means nothing.
        let mut register: raw::io_uring_buf_reg = unsafe { std::mem::zeroed() };
        register.ring_addr = memory.at::<u8>(0, 1).as_ptr() as u64;
        register.ring_entries = count;
        register.bgid = kernels_group(group);
        register.flags = if incremental { IOU_PBUF_RING_INC } else { 0 };
        // SAFETY: one structure, as this opcode reads; the memory it names is unmapped only after the kernel has
        // forgotten it.
        unsafe { sys::register(ring.raw_fd(), Register::IORING_REGISTER_PBUF_RING, (&raw mut register).cast(), 1) }?;
        Ok(BufferRing {
            entries: memory.at(0, count),
            shared_tail: memory.at(TAIL_OFFSET, 1),
            mask: (count - 1) as u16,
            tail: 0,
            group,
            memory,
        })
    }

    /// Offers a buffer to the kernel, under the number `id`. Seen by it after the next [`BufferRing::publish`].
    ///
    /// # Safety
    ///
    /// The memory stays valid and no one else's until a completion names `id`, or the ring was unregistered; and fewer
    /// buffers are offered at a time than the ring has entries.
    pub(crate) unsafe fn offer(&mut self, pointer: *mut u8, length: u32, id: u16) {
        let index = usize::from(self.tail & self.mask);
        // SAFETY: within the mapping, whose entry the kernel does not read before the tail has passed it. Field by
        // field: the last field of the first entry is the tail.
        unsafe {
            let entry = self.entries.as_ptr().add(index);
            (&raw mut (*entry).addr).write(pointer as u64);
            (&raw mut (*entry).len).write(length);
            (&raw mut (*entry).bid).write(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    /// Lets the kernel see what was offered.
    pub(crate) fn publish(&mut self) {
        // SAFETY: points into the mapping. Release: the entries are written before the tail.
        unsafe { self.shared_tail.as_ref() }.store(self.tail, Ordering::Release);
    }

    /// Takes the last `count` buffers back, as many as are in the ring: no completion has named one of them. The ring
    /// stays, empty. Must come only when no request that names the group is in flight: the kernel reads the tail while
    /// one is.
    pub(crate) fn withdraw(&mut self, ring: &Ring, count: u16) {
        self.tail = self.tail.wrapping_sub(count);
        // Were its head another, it would take what is not the ring's for buffers.
        debug_assert!(self.kernels_head(ring).is_none_or(|head| head == self.tail));
        self.publish();
    }

    /// Where the kernel takes the next buffer. `None` where it does not tell (before Linux 6.8).
    fn kernels_head(&self, ring: &Ring) -> Option<u16> {
        // SAFETY: plain integers, for which zero means nothing.
        let mut status: raw::io_uring_buf_status = unsafe { std::mem::zeroed() };
        status.buf_group = kernels_group(self.group).into();
        // SAFETY: one structure, as this opcode reads and writes.
        unsafe { sys::register(ring.raw_fd(), Register::IORING_REGISTER_PBUF_STATUS, (&raw mut status).cast(), 1) }
            .ok()?;
        Some(status.head as u16)
    }

    /// Takes the ring away from the kernel. Afterwards the buffers in it that no completion has named are the caller's
    /// again. Must come only when no request that names the group is in flight.
    pub(crate) fn unregister(self, ring: &Ring) {
        // SAFETY: plain integers, for which zero means nothing.
        let mut register: raw::io_uring_buf_reg = unsafe { std::mem::zeroed() };
        register.bgid = kernels_group(self.group);
        // SAFETY: one structure, as this opcode reads.
        let done = unsafe {
            sys::register(ring.raw_fd(), Register::IORING_UNREGISTER_PBUF_RING, (&raw mut register).cast(), 1)
        };
        if done.is_err() {
            // The kernel still knows the memory: it stays mapped.
            std::mem::forget(self.memory);
        }
    }
}
