//! The floor of the io_uring rows: a bare ring, by another implementation than proact's own.
//!
//! It is made with the same promises to the kernel (one issuer, deferred task running, no submission array, registered
//! descriptor), or the comparison would be between kernel modes: no other file here makes one. A round is the least
//! that carries operations out: fill the entries and publish them once, one call that submits all and waits for all,
//! look at every completion.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use io_uring::{EnterFlags, IoUring, Submitter, cqueue, opcode, squeue, types};
use libc::c_long;

/// `IORING_REGISTER_RING_FDS` and `IORING_UNREGISTER_RING_FDS` of `<linux/io_uring.h>`.
const REGISTER: u32 = 20;
const UNREGISTER: u32 = 21;
/// As many entries as proact's own ring has: the same cache lines in turn.
const ENTRIES: u32 = 256;
const COMPLETIONS: u32 = 1024;

/// A bare ring, made for the calling thread.
pub(crate) struct Ring {
    ring: IoUring,
    /// What stands for its descriptor in this thread. The crate keeps that in a `Submitter`, which borrows the ring:
    /// one that is made for a single call forgets it, and the place is taken until the thread ends.
    registered: Option<u32>,
}

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct Update {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// `struct io_uring_getevents_arg`.
#[repr(C)]
struct Argument {
    mask: u64,
    mask_size: u32,
    padding: u32,
    time: u64,
}

fn outcome(answer: c_long) -> io::Result<u32> {
    u32::try_from(answer).map_err(|_| io::Error::last_os_error())
}

impl Ring {
    pub(crate) fn new() -> io::Result<Ring> {
        let ring = match build(true) {
            // Kernels before 6.6 do not know the flag for "no submission array".
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => build(false),
            outcome => outcome,
        }?;
        let mut ring = Ring { ring, registered: None };
        let mut update = Update { offset: u32::MAX, reserved: 0, data: ring.fd() as u64 };
        // It may fail where proact's may not: the places of a thread are few.
        ring.registered = ring.call(REGISTER, &mut update).ok().map(|_| update.offset);
        Ok(ring)
    }

    fn call(&self, operation: u32, update: &mut Update) -> io::Result<u32> {
        // SAFETY: both operations read and write one such structure.
        outcome(unsafe { libc::syscall(libc::SYS_io_uring_register, self.fd(), operation, &raw mut *update, 1) })
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.ring.as_raw_fd()
    }

    /// For what is registered with it.
    pub(crate) fn submitter(&self) -> Submitter<'_> {
        self.ring.submitter()
    }

    /// Fills `entries`, submits them by one call that waits for `wait` completions, and hands over every completion
    /// that there is. A wait that ends early goes on.
    ///
    /// # Safety
    ///
    /// What the entries point to lives, and is nobody else's, until their completions have been handed over.
    #[inline]
    pub(crate) unsafe fn round(
        &mut self,
        entries: impl IntoIterator<Item = squeue::Entry>,
        wait: u32,
        mut told: impl FnMut(cqueue::Entry),
    ) {
        let mut submit = 0;
        // Published when it is dropped, once for all.
        let mut queue = self.ring.submission();
        for entry in entries {
            // SAFETY: the caller's promise, passed on.
            unsafe { queue.push(&entry) }.expect("the queue has room for a round");
            submit += 1;
        }
        drop(queue);
        let flags = if wait > 0 { EnterFlags::GETEVENTS } else { EnterFlags::empty() };
        let mut left = wait;
        loop {
            match self.enter(submit, left, flags.bits(), std::ptr::null(), 0) {
                Ok(taken) => {
                    assert_eq!(taken, submit, "the kernel takes a batch whole");
                    submit = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => panic!("the ring works: {error}"),
            }
            for completed in self.ring.completion() {
                left = left.saturating_sub(1);
                told(completed);
            }
            if left == 0 && submit == 0 {
                return;
            }
        }
    }

    /// Enters without waiting, so that what was put off is done, and hands over what has ended.
    #[inline]
    pub(crate) fn reap(&mut self, told: impl FnMut(cqueue::Entry)) {
        self.enter(0, 0, EnterFlags::GETEVENTS.bits(), std::ptr::null(), 0).expect("the ring works");
        self.ring.completion().for_each(told);
    }

    /// Waits for a completion, at most so long. `ETIME`: none has come.
    pub(crate) fn wait_for(&self, time: &types::Timespec) -> io::Result<()> {
        let argument = Argument { mask: 0, mask_size: 0, padding: 0, time: (&raw const *time) as u64 };
        let flags = (EnterFlags::GETEVENTS | EnterFlags::EXT_ARG).bits();
        self.enter(0, 1, flags, &raw const argument, size_of::<Argument>()).map(drop)
    }

    #[inline]
    fn enter(&self, submit: u32, wait: u32, flags: u32, argument: *const Argument, size: usize) -> io::Result<u32> {
        let (fd, flags) = match self.registered {
            Some(index) => (index as RawFd, flags | EnterFlags::REGISTERED_RING.bits()),
            None => (self.fd(), flags),
        };
        // SAFETY: the argument is none, or one of the size told; entries are answered for where they are filled.
        outcome(unsafe { libc::syscall(libc::SYS_io_uring_enter, fd, submit, wait, flags, argument, size) })
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(offset) = self.registered {
            // The place would keep the ring alive until the thread ends, and a thread has 16.
            let _ = self.call(UNREGISTER, &mut Update { offset, reserved: 0, data: 0 });
        }
    }
}

fn build(no_array: bool) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_defer_taskrun().setup_submit_all();
    if no_array {
        builder.setup_no_sqarray();
    }
    builder.setup_cqsize(COMPLETIONS).build(ENTRIES)
}

/// Runs `with` on a floor's round. Fails where there is no ring.
pub(crate) fn with_ring<T>(batch: u32, with: impl FnOnce(&mut dyn FnMut()) -> T) -> io::Result<T> {
    with_nops(batch, false, with)
}

/// The same, with each entry linked to the next.
pub(crate) fn with_links<T>(steps: u32, with: impl FnOnce(&mut dyn FnMut()) -> T) -> io::Result<T> {
    with_nops(steps, true, with)
}

fn with_nops<T>(batch: u32, linked: bool, with: impl FnOnce(&mut dyn FnMut()) -> T) -> io::Result<T> {
    let mut ring = Ring::new()?;
    let mut round = || {
        let entries = (0..batch).map(|number| {
            let entry = opcode::Nop::new().build().user_data(number.into());
            if linked && number + 1 < batch { entry.flags(squeue::Flags::IO_LINK) } else { entry }
        });
        let (mut seen, mut failed) = (0, 0);
        let told = |completed: cqueue::Entry| {
            seen += 1;
            failed |= completed.result();
            std::hint::black_box(completed.user_data());
        };
        // SAFETY: a NOP points nowhere.
        unsafe { ring.round(entries, batch, told) };
        assert!(seen == batch && failed == 0, "{seen} of {batch} completions, results {failed}");
    };
    Ok(with(&mut round))
}

/// Runs `with` on a time-out that is set and removed before it is due.
pub(crate) fn with_removal<T>(with: impl FnOnce(&mut dyn FnMut()) -> T) -> io::Result<T> {
    let mut ring = Ring::new()?;
    let far = types::Timespec::new().sec(3600);
    let mut round = || {
        let set = opcode::Timeout::new(&far).build().user_data(1);
        let removed = opcode::TimeoutRemove::new(1).build().user_data(2);
        // SAFETY: the time lives longer than the ring's entry, which is over before the round ends.
        unsafe { ring.round([set, removed], 2, drop) };
    };
    Ok(with(&mut round))
}

/// As an entry has it. Its type is the system's or the C library's, of which one has a sign.
pub(crate) const READABLE: u32 = rustix::event::PollFlags::IN.bits() as u32;

/// Runs `with` on a wait for one of these descriptors to become readable, each watched by a poll that goes on.
pub(crate) fn with_polls<T>(
    descriptors: impl Iterator<Item = i32>,
    with: impl FnOnce(&mut dyn FnMut()) -> T,
) -> io::Result<T> {
    let mut ring = Ring::new()?;
    let polls: Vec<_> = descriptors
        .enumerate()
        .map(|(index, fd)| opcode::PollAdd::new(types::Fd(fd), READABLE).multi(true).build().user_data(index as u64))
        .collect();
    for some in polls.chunks(ENTRIES as usize) {
        // SAFETY: a poll points nowhere.
        unsafe { ring.round(some.iter().cloned(), 0, |early| panic!("nothing is readable yet: {early:?}")) };
    }
    let mut wait = || {
        let told = |completed: cqueue::Entry| assert!(completed.result() > 0, "a poll failed: {}", completed.result());
        // SAFETY: nothing is submitted.
        unsafe { ring.round([], 1, told) };
    };
    Ok(with(&mut wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ring, or a word on standard error where this machine has none.
    fn ring() -> Option<Ring> {
        Ring::new().map_err(|error| eprintln!("skipped: no ring here: {error}")).ok()
    }

    #[test]
    fn rounds_carry_a_whole_batch_again_and_again() {
        // A round asserts what comes back.
        if ring().is_some() {
            with_ring(16, |round| (0..100).for_each(|_| round())).unwrap();
            with_links(16, |round| (0..100).for_each(|_| round())).unwrap();
            with_removal(|round| (0..100).for_each(|_| round())).unwrap();
        }
    }

    #[test]
    fn a_ring_that_is_dropped_gives_its_place_in_the_thread_back() {
        if ring().is_none_or(|ring| ring.registered.is_none()) {
            return eprintln!("skipped: no ring here that can be registered");
        }
        // A thread has 16 places: twice as many rings, one after the other, all have one.
        assert!((0..32).all(|_| Ring::new().unwrap().registered.is_some()));
    }

    #[test]
    fn a_wait_that_nothing_ends_is_ended_by_its_time() {
        if let Some(ring) = ring() {
            let waited = ring.wait_for(&types::Timespec::new().nsec(1000));
            assert_eq!(waited.unwrap_err().raw_os_error(), Some(libc::ETIME));
        }
    }
}
