//! Readiness of descriptors.

use super::kind::{Class, Kind, sealed::Sealed};
use crate::backend::{Request, WaitRequest, poll_bits};
use crate::resource::{Home, Lane, Pollable, Resource};
use crate::status::{Operation, Result};

bitflags::bitflags! {
    /// What a descriptor was found ready for.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Readiness: u8 {
        /// Reading would not block.
        const READABLE = 1;
        /// Writing would not block.
        const WRITABLE = 2;
        /// It has failed; a read or write would say how.
        const ERROR = 4;
        /// The other end is gone. What it sent before may still be there.
        const HANG_UP = 8;
    }
}

/// Waits until a descriptor is ready, once, without any effect on it. Yields what it is ready for.
///
/// One that is ready already completes at the next poll. An error or a hang-up ends the wait too, and is told, not a
/// failure. Several may wait for one descriptor; each is told. Kernel-native on io_uring (Linux 5.1); elsewhere the
/// readiness that the backend waits for.
///
/// ```
/// # use proact::operation::{Op, PollHandle};
/// # use proact::resource::Pollable;
/// fn fence(fence: Pollable) -> Box<Op<PollHandle, ()>> {
///     Op::new(PollHandle::readable(fence), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct PollHandle {
    handle: Pollable,
    writable: bool,
}

impl PollHandle {
    /// Until reading would not block.
    pub fn readable(handle: Pollable) -> PollHandle {
        PollHandle { handle, writable: false }
    }

    /// Until writing would not block.
    pub fn writable(handle: Pollable) -> PollHandle {
        PollHandle { handle, writable: true }
    }
}

impl Sealed for PollHandle {}

impl Kind for PollHandle {
    type Output = Readiness;
    const OPERATION: Operation = Operation::HandlePoll;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.handle.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.handle.resource())
    }

    fn request(&mut self, _: usize) -> Request {
        let descriptor = self.handle.resource().raw();
        Request::Wait(WaitRequest::Poll { descriptor, writable: self.writable })
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<Readiness> {
        let bits = [
            (poll_bits::READABLE, Readiness::READABLE),
            (poll_bits::WRITABLE, Readiness::WRITABLE),
            (poll_bits::ERROR, Readiness::ERROR),
            (poll_bits::HANG_UP, Readiness::HANG_UP),
        ];
        let found = bits.into_iter().filter(|(bit, _)| value & i64::from(*bit) != 0);
        Ok(found.map(|(_, readiness)| readiness).collect())
    }
}
