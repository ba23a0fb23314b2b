//! Waiting for an event, once or for as long as it is wanted, and setting one.

use std::panic::Location;

use super::kind::{Class, Kind, sealed::Sealed};
use crate::backend::{Request, WaitRequest};
use crate::resource::{Home, Lane, Resource};
use crate::status::{Operation, Result};
use crate::sync::Event;

/// Completes when the event is set, and resets it. An event set before completes the wait at the next poll.
///
/// Of several waits for one event, one takes the set. A cancelled wait takes nothing: the event stays set. So it does
/// for a future of one that is dropped: a set that was taken for it by then is put back.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native: a read of the event's descriptor (Linux 5.6) |
/// | in a kernel chain | as any step |
/// | epoll, poll | read on the poll thread when the descriptor is readable |
///
/// # Errors
/// At submit `InvalidArgument` for an event of another proactor, `FailedPrecondition` for one that is being closed.
///
/// ```
/// use proact::operation::{EventWait, Op};
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let event = proactor.handle().event()?;
/// proactor.submit(Op::new(EventWait::new(event.clone()), ())).unwrap();
/// std::thread::spawn(move || event.set());
/// proactor.run()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
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

    fn reset(&self) -> Option<&Event> {
        Some(&self.event)
    }
}

/// Tells whenever the event is set, and resets it: a multishot operation. Sets that come before an outcome is told are
/// one.
///
/// It ends by a cancel, also from its own callback, or by a close of the event. Of several waits for one event, of
/// either kind, one takes each set. What a stream of them has taken and not told when it is dropped is put back, as one
/// set.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native: a read of the event's descriptor, asked again in the next enter (Linux 5.6) |
/// | epoll | registered once, for as long as it runs; read on the poll thread |
/// | poll | one of the descriptors of each `ppoll`; read on the poll thread |
///
/// # Errors
/// As for [`EventWait`].
///
/// ```
/// use proact::operation::{Complete, Context, EventWaitMany, Op, Outcome};
///
/// struct Bell(u32);
///
/// impl Complete<EventWaitMany> for Bell {
///     fn more(&mut self, _: &EventWaitMany, _: Outcome<EventWaitMany>, _: &mut Context<'_>) {
///         self.0 += 1;
///     }
///     fn done(op: Box<Op<EventWaitMany, Self>>, outcome: Outcome<EventWaitMany>, _: &mut Context<'_>) {
///         assert!(op.state.0 == 1 && outcome.result.unwrap_err().is_cancelled());
///     }
/// }
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let event = proactor.handle().event()?;
/// let bell = proactor.submit(Op::new(EventWaitMany::new(event.clone()), Bell(0))).unwrap();
/// event.set()?;
/// proactor.poll(proact::time::Timeout::Infinite)?;
/// proactor.cancel(bell)?;
/// proactor.run()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Debug)]
pub struct EventWaitMany {
    /// The event.
    pub event: Event,
}

impl EventWaitMany {
    /// Waits for `event`, again and again.
    pub fn new(event: Event) -> EventWaitMany {
        EventWaitMany { event }
    }
}

impl Sealed for EventWaitMany {}

impl Kind for EventWaitMany {
    type Output = ();
    const OPERATION: Operation = Operation::EventWait;
    const CLASS: Class = Class::Kernel(Lane::Other);
    const MULTISHOT: bool = true;

    fn validate(&mut self, home: Home) -> Result<()> {
        self.event.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.event.resource())
    }

    fn request(&mut self, _: usize) -> Request {
        Request::Wait(WaitRequest::EventWaitMany { event: self.event.resource().raw() })
    }

    fn settle_more(&self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }

    fn reset(&self) -> Option<&Event> {
        Some(&self.event)
    }
}

/// Sets an event when its turn in the chain comes, and not before. The event may be of any proactor.
///
/// | backend | path |
/// |---|---|
/// | all | a write to the event's descriptor, by the poll thread; a chain with this step is run step by step |
///
/// # Errors
/// `FailedPrecondition` for an event that is closed.
///
/// ```
/// use proact::operation::{Chain, EventSet, EventWait, Nop, Op};
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let event = proactor.handle().event()?;
/// let work = Chain::new((Op::new(Nop, ()), Op::new(EventSet::new(event.clone()), ())));
/// proactor.submit((work, Op::new(EventWait::new(event), ()))).unwrap();
/// proactor.run()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Debug)]
pub struct EventSet {
    /// The event.
    pub event: Event,
}

impl EventSet {
    /// Sets `event`.
    pub fn new(event: Event) -> EventSet {
        EventSet { event }
    }
}

impl Sealed for EventSet {}

impl Kind for EventSet {
    type Output = ();
    const OPERATION: Operation = Operation::EventSet;
    const CLASS: Class = Class::Immediate;

    fn perform(&mut self, location: &'static Location<'static>) -> Result<i32> {
        self.event.set().map(|()| 0).map_err(|status| status.located(location))
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}
