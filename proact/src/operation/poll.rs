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
        Ok(Readiness::of(value))
    }
}

impl Readiness {
    /// What a backend says with [`poll_bits`].
    pub(super) fn of(value: i64) -> Readiness {
        let bits = [
            (poll_bits::READABLE, Readiness::READABLE),
            (poll_bits::WRITABLE, Readiness::WRITABLE),
            (poll_bits::ERROR, Readiness::ERROR),
            (poll_bits::HANG_UP, Readiness::HANG_UP),
        ];
        let found = bits.into_iter().filter(|(bit, _)| value & i64::from(*bit) != 0);
        found.map(|(_, readiness)| readiness).collect()
    }

    /// Whether nothing more will come of the descriptor.
    pub(super) fn is_over(self) -> bool {
        self.intersects(Readiness::ERROR | Readiness::HANG_UP)
    }
}

/// Tells whenever a descriptor is ready, without any effect on it: a multishot operation, one registration for as long
/// as it is wanted. Yields what it is ready for each time.
///
/// It is *level-triggered*: as long as what was there has not been taken, each poll tells of it again, and does not
/// sleep. [`PollHandleMany::edge_triggered`] asks for less.
///
/// An outcome with [`ERROR`](Readiness::ERROR) or [`HANG_UP`](Readiness::HANG_UP) is the last one, and a success: there
/// may still be something to take, and nothing more will come. Without one it ends by a cancel, also from its own
/// callback, or by a close of the handle. Several may watch one descriptor, and each is told.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native, asked again in the next enter (Linux 5.1) |
/// | io_uring, edge-triggered | kernel-native: it goes on by itself (multishot poll, Linux 5.13; `KERNEL_MULTISHOT`) |
/// | epoll | registered once, for as long as it runs |
/// | poll | one of the descriptors of each `ppoll` |
///
/// When the kernel gives a multishot poll up (its queue of completions is full) it is asked again.
///
/// # Errors
/// At submit `InvalidArgument` for a handle of another proactor, `FailedPrecondition` for one that is being closed.
///
/// ```
/// use proact::operation::{Complete, Context, Op, Outcome, PollHandleMany, Readiness};
/// use proact::resource::Pollable;
///
/// struct Device(Pollable);
///
/// impl Complete<PollHandleMany> for Device {
///     fn more(&mut self, _: &PollHandleMany, outcome: Outcome<PollHandleMany>, _: &mut Context<'_>) {
///         assert!(outcome.result.unwrap().contains(Readiness::READABLE));
///         // take what is there from self.0
///     }
///     fn done(_: Box<Op<PollHandleMany, Self>>, _: Outcome<PollHandleMany>, _: &mut Context<'_>) {}
/// }
///
/// fn watch(device: Pollable) -> Box<Op<PollHandleMany, Device>> {
///     Op::new(PollHandleMany::readable(device.clone()), Device(device))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct PollHandleMany {
    handle: Pollable,
    writable: bool,
    edge: bool,
}

impl PollHandleMany {
    /// Whenever reading would not block.
    pub fn readable(handle: Pollable) -> PollHandleMany {
        PollHandleMany { handle, writable: false, edge: false }
    }

    /// Whenever writing would not block.
    pub fn writable(handle: Pollable) -> PollHandleMany {
        PollHandleMany { handle, writable: true, edge: false }
    }

    /// Tells at least once of whatever comes, and need not tell again of what was left: each callback has to take all
    /// that is there, until it would block. It may tell more often than that, also of nothing. On io_uring this is one
    /// entry in all instead of one for each outcome; elsewhere it makes no difference.
    #[must_use]
    pub fn edge_triggered(mut self) -> PollHandleMany {
        self.edge = true;
        self
    }
}

impl Sealed for PollHandleMany {}

impl Kind for PollHandleMany {
    type Output = Readiness;
    const OPERATION: Operation = Operation::HandlePoll;
    const CLASS: Class = Class::Kernel(Lane::Other);
    const MULTISHOT: bool = true;

    fn validate(&mut self, home: Home) -> Result<()> {
        self.handle.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.handle.resource())
    }

    fn request(&mut self, _: usize) -> Request {
        let descriptor = self.handle.resource().raw();
        Request::Wait(WaitRequest::PollMany { descriptor, writable: self.writable, edge: self.edge })
    }

    fn is_last(&self, value: i64) -> bool {
        Readiness::of(value).is_over()
    }

    fn settle_more(&self, value: i64, _: Home) -> Result<Readiness> {
        Ok(Readiness::of(value))
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<Readiness> {
        Ok(Readiness::of(value))
    }
}
