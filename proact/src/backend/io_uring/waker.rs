//! Waking a poll thread that sleeps in its ring.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::event::{EventfdFlags, eventfd};

use crate::backend::{Descriptor, Wake};
use crate::fault::tried;
use crate::status::{Operation, Result, Status};

/// An eventfd that the ring reads. It outlives the ring where others still hold it: a late wake reaches no one.
pub(super) struct EventWaker {
    event: OwnedFd,
}

impl EventWaker {
    pub(super) fn new() -> Result<EventWaker> {
        // Blocking, so that the ring's read of it waits; a write waits only at 2^64 - 2 wakes that no one has read.
        let event = tried(|| eventfd(0, EventfdFlags::CLOEXEC))
            .map_err(|errno| Status::from_os_error(Operation::Build, errno.raw_os_error()))?;
        Ok(EventWaker { event })
    }

    pub(super) fn descriptor(&self) -> Descriptor {
        Descriptor(self.event.as_raw_fd().into())
    }
}

impl Wake for EventWaker {
    fn wake(&self) {
        while rustix::io::write(&self.event, &1u64.to_ne_bytes()) == Err(rustix::io::Errno::INTR) {}
    }
}
