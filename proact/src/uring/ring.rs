//! The two queues and the call between them.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::time::Duration;

use linux_raw_sys::io_uring as raw;

use super::entry::{Entry, Op};
use super::mapping::Mapping;
use super::probe::Probe;
use super::setup::{self, RingOptions};
use super::sys::{self, SharedU32};
use crate::atomic::Ordering;
use crate::fault;

/// How often a new ring's first entry is waited for, and for how long each time.
const ROUND_TRIP_TRIES: u32 = 100;
const ROUND_TRIP_WAIT: Duration = Duration::from_millis(10);

/// One completion as the kernel wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Completed {
    /// What the entry carried.
    pub(crate) user_data: u64,
    /// A count, or a negated error number.
    pub(crate) result: i32,
    /// `IORING_CQE_F_*`.
    pub(crate) flags: u32,
}

/// A ring, enabled and owned by the thread that made it.
///
/// The heads and tails that only this side writes are kept in plain fields; shared memory is touched once a batch.
pub(crate) struct Ring {
    // Submission. The kernel has taken the entries below `sq_head`; those up to `sq_tail` are filled and wait.
    sq_head: u32,
    sq_tail: u32,
    sq_entries: u32,
    entries: NonNull<Entry>,
    shared_sq_head: NonNull<SharedU32>,
    shared_sq_tail: NonNull<SharedU32>,
    shared_sq_flags: NonNull<SharedU32>,
    // Completion. Those below `cq_head` were taken.
    cq_head: u32,
    cq_mask: u32,
    completions: NonNull<raw::io_uring_cqe>,
    shared_cq_head: NonNull<SharedU32>,
    shared_cq_tail: NonNull<SharedU32>,
    // What `enter` names: the descriptor, or the index registered for it, and the flag that says which.
    enter_fd: i32,
    enter_flags: u32,
    enters: u64,
    accepted: u64,
    no_array: bool,
    reports_copies: bool,
    fills_buffers_in_parts: bool,
    bundles: bool,
    lets_files_go: bool,
    registered: Option<u32>,
    // Unmapped before the descriptor is closed.
    _queues: Mapping,
    _entries: Mapping,
    fd: OwnedFd,
}

impl Ring {
    /// Makes a ring and enables it for the calling thread. The error is the kernel's error number.
    pub(crate) fn new(options: &RingOptions) -> Result<Ring, i32> {
        let setup::Made { fd, params } = setup::make_best(options)?;
        // Both are of kernels far older than 6.1; without them the memory below would be laid out otherwise.
        let features = raw::IORING_FEAT_SINGLE_MMAP | raw::IORING_FEAT_NODROP | raw::IORING_FEAT_EXT_ARG;
        if params.features & features != features {
            return Err(libc::EINVAL);
        }
        let no_array = params.flags & raw::IORING_SETUP_NO_SQARRAY != 0;
        let (sq, cq) = (&params.sq_off, &params.cq_off);
        let array_end = if no_array { 0 } else { sq.array as usize + params.sq_entries as usize * 4 };
        let cqes_end = cq.cqes as usize + params.cq_entries as usize * size_of::<raw::io_uring_cqe>();
        let queues = Mapping::new(fd.as_fd(), raw::IORING_OFF_SQ_RING.into(), array_end.max(cqes_end))?;
        let entries_length = params.sq_entries as usize * size_of::<Entry>();
        let entries = Mapping::new(fd.as_fd(), raw::IORING_OFF_SQES.into(), entries_length)?;

        if !no_array {
            // Entry N of the queue is always entry N of the array: the indirection is filled once and forgotten.
            let array = queues.at::<u32>(sq.array, params.sq_entries);
            for index in 0..params.sq_entries {
                // SAFETY: `at` checked that `sq_entries` indices fit, and the kernel reads none before it is entered.
                unsafe { array.add(index as usize).write(index) };
            }
        }
        setup::enable(&fd)?;
        let registered = if options.registered { setup::register_descriptor(&fd).ok() } else { None };
        let mut ring = Ring {
            sq_head: 0,
            sq_tail: 0,
            sq_entries: params.sq_entries,
            entries: entries.at(0, params.sq_entries),
            shared_sq_head: queues.at(sq.head, 1),
            shared_sq_tail: queues.at(sq.tail, 1),
            shared_sq_flags: queues.at(sq.flags, 1),
            cq_head: 0,
            cq_mask: params.cq_entries - 1,
            completions: queues.at(cq.cqes, params.cq_entries),
            shared_cq_head: queues.at(cq.head, 1),
            shared_cq_tail: queues.at(cq.tail, 1),
            enter_fd: registered.map_or(fd.as_raw_fd(), |index| index as i32),
            enter_flags: if registered.is_some() { raw::IORING_ENTER_REGISTERED_RING } else { 0 },
            enters: 0,
            accepted: 0,
            no_array,
            reports_copies: params.features & raw::IORING_FEAT_REG_REG_RING != 0,
            fills_buffers_in_parts: params.features & raw::IORING_FEAT_MIN_TIMEOUT != 0,
            bundles: params.features & raw::IORING_FEAT_RECVSEND_BUNDLE != 0,
            lets_files_go: params.features & raw::IORING_FEAT_RW_ATTR != 0,
            registered,
            _queues: queues,
            _entries: entries,
            fd,
        };
        ring.round_trip()?;
        Ok(ring)
    }

    /// Has the kernel's own threads for this ring run on the processors of `mask`.
    pub(crate) fn pin_kernel_threads(&self, mask: &mut [libc::c_ulong]) -> Result<(), i32> {
        setup::pin_kernel_threads(&self.fd, mask)
    }

    /// Sends a NOP around: a sandbox may let a ring be made and still refuse to let it be used.
    fn round_trip(&mut self) -> Result<(), i32> {
        const MARK: u64 = 0x0070_726f_6163_7400;
        let entry = self.free().ok_or(libc::EIO)?;
        entry.set(Op::IORING_OP_NOP, -1, 0, 0, 0, 0);
        entry.set_user_data(MARK);
        // SAFETY: the entry was just filled, and a NOP points nowhere.
        unsafe { self.commit() };
        let mut back = None;
        // A signal, or a lack of memory for the moment, ends a wait early: that says nothing of the ring.
        for _ in 0..ROUND_TRIP_TRIES {
            self.enter(1, Some(ROUND_TRIP_WAIT))?;
            self.reap(|completed| back = Some(completed));
            if back.is_some() {
                break;
            }
        }
        (self.enters, self.accepted) = (0, 0);
        if back.is_some_and(|back| (back.user_data, back.result) == (MARK, 0)) { Ok(()) } else { Err(libc::EIO) }
    }

    /// Entries that can still be filled before the next [`Ring::enter`].
    #[inline]
    pub(crate) fn room(&self) -> u32 {
        self.sq_entries - self.pending()
    }

    /// Entries that are filled and not yet taken by the kernel.
    #[inline]
    pub(crate) fn pending(&self) -> u32 {
        self.sq_tail.wrapping_sub(self.sq_head)
    }

    /// The next free entry, to be filled and then [committed](Ring::commit). It holds stale bytes until it is filled.
    #[inline]
    pub(crate) fn free(&mut self) -> Option<&mut Entry> {
        if self.room() == 0 {
            return None;
        }
        Some(self.entry_at(self.sq_tail))
    }

    #[inline]
    fn entry_at(&mut self, position: u32) -> &mut Entry {
        let index = position & (self.sq_entries - 1);
        // SAFETY: the index is below `sq_entries`, which is how many are mapped (a power of two: the kernel rounds).
        // The kernel writes no entry, and reads those from `sq_head` on only within `enter`; no others are written.
        unsafe { self.entries.add(index as usize).as_mut() }
    }

    /// Adds the entry that [`Ring::free`] gave to what the next [`Ring::enter`] hands over.
    ///
    /// # Safety
    ///
    /// `free` returned an entry since the last commit, and it was filled. What it points to stays valid, and untouched
    /// where the kernel writes, until the completion that carries its user data was taken.
    #[inline]
    pub(crate) unsafe fn commit(&mut self) {
        debug_assert!(self.room() > 0);
        self.sq_tail = self.sq_tail.wrapping_add(1);
    }

    /// Hands over what was committed, runs what the kernel deferred, and waits for `wait_for` completions or until
    /// `timeout` has passed. With `wait_for` 0 it does not wait, and a time-out of zero is that too: the kernel would
    /// arm and disarm a timer for it.
    ///
    /// Early returns are not errors: a signal, a lack of memory, or nothing at all. Entries that the kernel did not
    /// take stay [pending](Ring::pending). An error means that the ring is unusable.
    #[inline]
    pub(crate) fn enter(&mut self, wait_for: u32, timeout: Option<Duration>) -> Result<(), i32> {
        self.enter_with(self.pending(), wait_for, timeout)
    }

    #[inline]
    pub(crate) fn enter_with(&mut self, submit: u32, wait_for: u32, timeout: Option<Duration>) -> Result<(), i32> {
        let flags = self.enter_flags | raw::IORING_ENTER_GETEVENTS;
        // SAFETY: points into the mapped queues; see `commit` for what the entries point to.
        unsafe { self.shared_sq_tail.as_ref() }.store(self.sq_tail, Ordering::Release);
        if let Err(errno) = fault::entering() {
            return tolerate(errno);
        }
        let cut = fault::shorten(submit as usize) as u32;
        // The kernel does not wait when it has taken less than it was given.
        let (submit, wait_for) = if cut < submit { (cut, 0) } else { (submit, wait_for) };
        let outcome = match timeout {
            Some(timeout) if wait_for > 0 && !timeout.is_zero() => self.enter_until(submit, wait_for, flags, timeout),
            _ => {
                let wait_for = if timeout.is_some() { 0 } else { wait_for };
                // SAFETY: see `commit` for what the entries point to.
                unsafe { sys::enter_plain(self.enter_fd, submit, wait_for, flags) }
            }
        };
        self.enters += 1;
        // The shared head is the truth even where the call failed after it had taken entries.
        // SAFETY: points into the mapped queues.
        let head = unsafe { self.shared_sq_head.as_ref() }.load(Ordering::Acquire);
        self.accepted += u64::from(head.wrapping_sub(self.sq_head));
        self.sq_head = head;
        match outcome {
            Ok(_) => Ok(()),
            Err(errno) => tolerate(errno),
        }
    }

    fn enter_until(&mut self, submit: u32, wait_for: u32, flags: u32, timeout: Duration) -> Result<u32, i32> {
        let limit = raw::__kernel_timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let argument =
            raw::io_uring_getevents_arg { sigmask: 0, sigmask_sz: 0, min_wait_usec: 0, ts: (&raw const limit) as u64 };
        let flags = flags | raw::IORING_ENTER_EXT_ARG;
        let argument = (&raw const argument).cast();
        let size = size_of::<raw::io_uring_getevents_arg>();
        // SAFETY: EXT_ARG says that the argument is this structure; it and the time it names outlive the call.
        unsafe { sys::enter(self.enter_fd, submit, wait_for, flags, argument, size) }
    }

    /// Whether entering would bring completions that are not in the queue yet: work that was deferred to this thread,
    /// or completions that the queue had no room for.
    #[inline]
    pub(crate) fn has_deferred(&self) -> bool {
        self.shared_flags() & (raw::IORING_SQ_TASKRUN | raw::IORING_SQ_CQ_OVERFLOW) != 0
    }

    /// Whether completions wait in the kernel for room in the queue.
    #[inline]
    pub(crate) fn has_overflowed(&self) -> bool {
        self.shared_flags() & raw::IORING_SQ_CQ_OVERFLOW != 0
    }

    #[inline]
    fn shared_flags(&self) -> u32 {
        // SAFETY: points into the mapped queues.
        unsafe { self.shared_sq_flags.as_ref() }.load(Ordering::Relaxed)
    }

    /// Completions that are there to be taken.
    #[inline]
    pub(crate) fn ready(&self) -> u32 {
        // SAFETY: points into the mapped queues.
        unsafe { self.shared_cq_tail.as_ref() }.load(Ordering::Acquire).wrapping_sub(self.cq_head)
    }

    /// Takes every completion that is there.
    #[inline]
    pub(crate) fn reap(&mut self, mut take: impl FnMut(Completed)) {
        // SAFETY: points into the mapped queues. Acquire: the completions below the tail were written before it.
        let tail = unsafe { self.shared_cq_tail.as_ref() }.load(Ordering::Acquire);
        let mut head = self.cq_head;
        if head == tail {
            return;
        }
        while head != tail {
            let index = (head & self.cq_mask) as usize;
            // SAFETY: the index is below the number of mapped completions; the kernel wrote this one before the tail
            // and does not touch it again before the head has passed it.
            let completed = unsafe {
                let completion = self.completions.add(index).as_ptr();
                let (result, flags) = ((*completion).res, (*completion).flags);
                Completed { user_data: (*completion).user_data, result, flags }
            };
            head = head.wrapping_add(1);
            take(completed);
        }
        self.cq_head = head;
        // SAFETY: points into the mapped queues. Release: they were read before the kernel may overwrite them.
        unsafe { self.shared_cq_head.as_ref() }.store(head, Ordering::Release);
    }

    /// The ring's own descriptor, for registrations.
    pub(super) fn raw_fd(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// Whether sends without a copy report what the kernel did (Linux 6.2, told by a feature of 6.3).
    pub(crate) fn reports_copies(&self) -> bool {
        self.reports_copies
    }

    /// Whether one completion may tell of several buffers (Linux 6.10).
    pub(crate) fn has_bundles(&self) -> bool {
        self.bundles
    }

    /// Whether it knows incremental buffers (Linux 6.12, told by a feature of the same version).
    pub(crate) fn fills_buffers_in_parts(&self) -> bool {
        self.fills_buffers_in_parts
    }

    /// Whether a file that is taken out of the ring's table is let go of at once (Linux 6.13, told by a feature of
    /// 6.14).
    ///
    /// Before, the kernel kept it until every request that had begun earlier, and worked on anything that is
    /// registered, had ended: a closed socket stayed open, and its peer was not told (axboe/liburing issue 1192).
    pub(crate) fn lets_files_go(&self) -> bool {
        self.lets_files_go
    }

    /// Rewrites the rest of a chain that the kernel took only the beginning of.
    ///
    /// It stops in the middle of a batch when it lacks memory for requests, and then runs what it has as a chain of
    /// its own: handed over later, the rest would start without waiting for it. `rewrite` must turn each entry into
    /// one without effect; the links are taken off.
    pub(crate) fn mend_split_chain(&mut self, mut rewrite: impl FnMut(&mut Entry)) {
        let mut position = self.sq_head;
        // The entry before the head is the last that was taken; its bytes are still there, as nothing was filled since.
        let mut cut =
            position != self.sq_tail && self.accepted > 0 && self.entry_at(position.wrapping_sub(1)).is_linked();
        while cut && position != self.sq_tail {
            let entry = self.entry_at(position);
            cut = entry.is_linked();
            rewrite(entry);
            position = position.wrapping_add(1);
        }
    }

    /// Which operations the kernel supports.
    pub(crate) fn probe(&self) -> Result<Probe, i32> {
        Probe::ask(self.fd.as_fd())
    }

    /// Whether the ring's descriptor is registered with its thread.
    pub(crate) fn is_registered(&self) -> bool {
        self.registered.is_some()
    }

    /// Whether there is no array of submission indices.
    pub(crate) fn is_without_array(&self) -> bool {
        self.no_array
    }

    /// Submission entries that the kernel granted.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> u32 {
        self.sq_entries
    }

    /// How often the kernel was entered.
    pub(crate) fn enters(&self) -> u64 {
        self.enters
    }

    /// How many entries the kernel took.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if let Some(index) = self.registered {
            setup::unregister_descriptor(&self.fd, index);
        }
    }
}

/// Sorts what `enter` fails with into early returns and the end of the ring.
#[cold]
fn tolerate(errno: i32) -> Result<(), i32> {
    match errno {
        // The time is up; or a signal came.
        libc::ETIME | libc::EINTR => Ok(()),
        // No memory for requests now, or completions overflow: taking completions is what helps.
        libc::EAGAIN | libc::EBUSY => Ok(()),
        // EBADR among them: completions were lost, and with them operations that will never end.
        _ => Err(errno),
    }
}
