//! Waiting for an event.

use super::kind::{Class, Kind, sealed::Sealed};
use crate::backend::Request;
use crate::resource::{Home, Lane, Resource};
use crate::status::{Operation, Result};
use crate::sync::Event;

/// Completes when the event is set, and resets it. An event set before completes the wait at the next poll.
///
/// One set of the event ends one wait; which of several is not said. Path: the kernel itself on io_uring (a read of the
/// eventfd, Linux 5.6), a read upon readiness on epoll and poll.
#[derive(Clone, Debug)]
pub struct EventWait {
    /// The event.
    pub event: Event,
}

impl EventWait {
    /// Waits for `event`.
    pub fn new(event: Event) -> EventWait {
        EventWait { event }
    }
}

impl Sealed for EventWait {}

impl Kind for EventWait {
    type Output = ();
    const OPERATION: Operation = Operation::EventWait;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.event.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.event.resource())
    }

    fn request(&mut self, _: usize) -> Request {
        Request::EventWait { event: self.event.resource().raw() }
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}
