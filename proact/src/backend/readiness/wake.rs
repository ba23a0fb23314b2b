//! Ending a wait from another thread.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

use crate::atomic::{AtomicBool, Ordering};
use crate::backend::Wake;
use crate::fault::tried;
use crate::status::{Operation, Status};

/// An event descriptor with a flag before it, so that many wakes before one wait cost one system call.
pub(super) struct EventWake {
    event: OwnedFd,
    /// A wake came since the last [`EventWake::take`].
    pending: AtomicBool,
}

impl EventWake {
    pub(super) fn new() -> Result<EventWake, Status> {
        let event = tried(|| eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK))
            .map_err(|errno| Status::from_os_error(Operation::EventCreate, errno.raw_os_error()))?;
        Ok(EventWake { event, pending: AtomicBool::new(false) })
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }

    /// Whether [`EventWake::take`] would find a wake.
    pub(super) fn is_pending(&self) -> bool {
        self.pending.load(Ordering::Acquire)
    }

    /// Answers all wakes so far. Called by the poll thread before it looks for what it was woken for.
    ///
    /// The event is read first and the flag cleared last. A wake between the two writes nothing and is answered by the
    /// poll that is under way; in the other order its write would be eaten and the flag left standing, and no wake
    /// after it would ever write again.
    pub(super) fn take(&self) {
        // EAGAIN: the flag was raised and its write has not come yet; it will end one wait for nothing.
        let _ = rustix::io::read(&self.event, &mut [0u8; 8]);
        // A swap, not a store: it reads the last wake's flag and so sees everything done before that wake.
        self.pending.swap(false, Ordering::AcqRel);
    }
}

impl Wake for EventWake {
    fn wake(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            // Cannot fail but by EAGAIN at 2^64 - 1, which is readable as well. rustix makes the system call without
            // touching `errno`, so a signal handler may come through here.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }
}
