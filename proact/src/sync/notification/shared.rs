//! Notifications that processes share, and where their words lie.
//!
//! # Layout, version 1
//!
//! | at | bytes | content |
//! |---|---|---|
//! | 0 | 8 | magic; 0 while it is being made |
//! | 8 | 4 | version |
//! | 12 | 4 | zero |
//! | 16 | 4 | epoch: what is waited for |
//! | 20 | 4 | how many observe |
//! | 24 | 40 | zero |
//!
//! Numbers are in the byte order of the machine that all processes run on. Nothing that is read here is an address, a
//! length or an index: whatever stands in these words, this process touches nothing else by it.

use core::sync::atomic::{AtomicU64, Ordering};
use std::ptr::NonNull;

use super::{Notification, Words};
// The machine's own, also under loom: other processes take no part in a model.
use crate::atomic::KernelWord;
use crate::memory::{Region, Sharing};
use crate::resource::{Slept, futex};
use crate::status::{Code, Operation, Result, Status};
use crate::time::Time;

/// `PROACTNT` in the machine's byte order: a machine of the other order sees something else.
const MAGIC: u64 = u64::from_be_bytes(*b"PROACTNT");
const VERSION: u32 = 1;

const VERSION_AT: usize = 8;
const EPOCH_AT: usize = 16;
#[cfg(not(loom))]
const OBSERVERS_AT: usize = 20;

/// The words of a shared notification, in a region that it holds.
pub(super) struct SharedWords {
    #[allow(dead_code)] // kept for its mapping
    region: Region,
    start: NonNull<u8>,
}

// SAFETY: `start` is into the region's mapping, which any thread may use, and only atomic words of it are touched.
unsafe impl Send for SharedWords {}
// SAFETY: as above.
unsafe impl Sync for SharedWords {}

#[track_caller]
fn refused(code: Code, why: &'static str) -> Status {
    Status::new(code, Operation::NotificationCreate).with_message(why)
}

impl SharedWords {
    fn of(region: Region, offset: usize) -> Result<SharedWords> {
        if region.sharing() == Sharing::Private {
            return Err(refused(Code::FailedPrecondition, "private memory has no peers: see Notification::new"));
        }
        if !region.access().is_all() {
            return Err(refused(Code::FailedPrecondition, "the region was not mapped for reading and writing"));
        }
        if offset.checked_add(Notification::SHARED_SIZE).is_none_or(|end| end > region.len()) {
            return Err(refused(Code::OutOfRange, "the notification is not within the region"));
        }
        let start = region.as_ptr().wrapping_add(offset);
        if start.align_offset(Notification::SHARED_SIZE) != 0 {
            return Err(refused(Code::InvalidArgument, "a notification lies on a boundary of 64 bytes"));
        }
        let start = NonNull::new(start).expect("a mapped region");
        let words = SharedWords { region, start };
        // Some mappings, of devices, are none that the system can wait for. It says so to a wake already.
        futex::probe(words.epoch())?;
        Ok(words)
    }

    fn word(&self, at: usize) -> &KernelWord {
        assert!(at % 4 == 0 && at + 4 <= Notification::SHARED_SIZE);
        // SAFETY: within the mapped region and aligned, both checked by `of`; reached by atomics only, here and in
        // copies, and by other processes, which cannot make this one's accesses anything but atomic; lives as `self`.
        unsafe { self.start.add(at).cast().as_ref() }
    }

    fn magic(&self) -> &AtomicU64 {
        // SAFETY: as in `word`; on a boundary of 64 bytes.
        unsafe { self.start.cast().as_ref() }
    }

    pub(super) fn epoch(&self) -> &KernelWord {
        self.word(EPOCH_AT)
    }

    #[cfg(not(loom))]
    pub(super) fn observers(&self) -> &KernelWord {
        self.word(OBSERVERS_AT)
    }

    pub(super) fn load(&self) -> u32 {
        self.epoch().load(Ordering::Acquire)
    }

    pub(super) fn advance(&self) {
        self.epoch().fetch_add(1, Ordering::Release);
    }

    pub(super) fn sleep(&self, expected: u32, until: Time) -> Result<Slept> {
        futex::sleep(self.epoch(), expected, until, true)
    }

    /// Wakes every operation, of whatever process, and at most `count` threads.
    pub(super) fn wake(&self, count: u32) {
        if count >= Notification::ALL {
            return futex::wake(self.epoch(), Notification::ALL, futex::ANYONE, true);
        }
        futex::wake(self.epoch(), Notification::ALL, futex::OPERATIONS, true);
        if count > 0 {
            futex::wake(self.epoch(), count, futex::THREADS, true);
        }
    }
}

impl Notification {
    /// Bytes that a shared notification takes, on a boundary of as many.
    pub const SHARED_SIZE: usize = 64;

    /// Makes a notification at byte `offset` (a multiple of 64) of memory that processes share, and forgets what was
    /// there. The others [open](Notification::open_shared) it.
    ///
    /// The memory is the caller's: it stays when the notification goes, and may hold anything else around it.
    ///
    /// # What another process can do
    ///
    /// One that dies costs at most wakes that nobody needs. One that writes there what it likes can wake others for
    /// nothing, and waits check the epoch and go on; it can also keep signals from being seen, by setting the epoch
    /// back, or from waking, by setting the count of observers to 0 under a
    /// [conditional](Notification::signal_if_observed) one. It can make this process touch nothing else.
    ///
    /// # Errors
    /// `FailedPrecondition` for private memory, or such as is not both read and written; `OutOfRange` beyond its end;
    /// `InvalidArgument` for an offset that is no multiple of 64; otherwise what the system says of memory that it
    /// cannot wait for.
    ///
    /// ```
    /// use proact::memory::{Access, Region};
    /// use proact::sync::Notification;
    /// use std::os::fd::AsFd;
    ///
    /// let (region, fd) = Region::create_shared(4096)?;
    /// let notification = Notification::create_shared(region, 0)?;
    /// // The other process is handed the descriptor, and does:
    /// let theirs = Region::map_shared(fd.as_fd(), 0, 4096, Access::all())?;
    /// let theirs = Notification::open_shared(theirs, 0)?;
    ///
    /// let observation = notification.observe();
    /// assert!(theirs.signal_if_observed(1));
    /// assert!(observation.is_signalled());
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    pub fn create_shared(region: Region, offset: usize) -> Result<Notification> {
        let words = SharedWords::of(region, offset)?;
        // Whoever opens it meanwhile finds nothing.
        words.magic().store(0, Ordering::SeqCst);
        for at in (VERSION_AT..Notification::SHARED_SIZE).step_by(4) {
            words.word(at).store(0, Ordering::Relaxed);
        }
        words.word(VERSION_AT).store(VERSION, Ordering::Relaxed);
        words.magic().store(MAGIC, Ordering::Release);
        Ok(Notification::over(Words::Shared(words)))
    }

    /// Opens the notification at byte `offset` of memory that processes share. All that are opened over one place see
    /// each other's signals.
    ///
    /// # Errors
    /// `InvalidArgument` when there is none, or one of another version; otherwise as for
    /// [`Notification::create_shared`].
    pub fn open_shared(region: Region, offset: usize) -> Result<Notification> {
        let words = SharedWords::of(region, offset)?;
        // Acquire: what the maker wrote before the magic is there.
        if words.magic().load(Ordering::Acquire) != MAGIC {
            return Err(refused(Code::InvalidArgument, "there is no notification, or it is not ready yet"));
        }
        if words.word(VERSION_AT).load(Ordering::Relaxed) != VERSION {
            return Err(refused(Code::InvalidArgument, "the notification is of another version"));
        }
        Ok(Notification::over(Words::Shared(words)))
    }
}
