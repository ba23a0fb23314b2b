//! Events.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use proact::operation::{EventWait, EventWaitMany};
use proact::status::Result;

use crate::runtime::{Operations, operation, stream, with_handle};

/// Something that is set from anywhere, also by another process or a device, and reset by who waits for it.
///
/// ```
/// use proact_async::sync::Event;
///
/// let runtime = proact_async::Runtime::new()?;
/// let done: proact::status::Result = runtime.block_on(async {
///     let event = Event::new()?;
///     let other = event.clone();
///     std::thread::spawn(move || other.set());
///     event.wait().await
/// });
/// # done?; Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    event: proact::sync::Event,
}

impl Event {
    /// Makes one, which is not set.
    ///
    /// # Errors
    /// As for [`Handle::event`](proact::proactor::Handle::event).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn new() -> Result<Event> {
        with_handle(|handle| handle.event()).map(|event| Event { event })
    }

    /// One that is there already, of this runtime's proactor.
    pub fn from_resource(event: proact::sync::Event) -> Event {
        Event { event }
    }

    /// The event, for operations of one's own.
    pub fn resource(&self) -> &proact::sync::Event {
        &self.event
    }

    /// Sets it, from any thread. Sets that nobody has taken yet are one.
    ///
    /// # Errors
    /// `FailedPrecondition` once it is closed.
    pub fn set(&self) -> Result {
        self.event.set()
    }

    /// Waits until it is set, and resets it. Of several who wait one takes the set.
    ///
    /// Dropping the future loses no set: one that it has taken by then is set again, for the others.
    ///
    /// # Errors
    /// As for [`EventWait`].
    pub async fn wait(&self) -> Result {
        operation(EventWait::new(self.event.clone())).await.1.result
    }

    /// Tells whenever it is set, and resets it. Sets that come before they are told may be one. What it has taken and
    /// not told when it is dropped is set again, for the others who wait.
    pub fn sets(&self) -> Sets {
        Sets { sets: stream(EventWaitMany::new(self.event.clone())) }
    }
}

/// Of [`Event::sets`]. After a failure it ends.
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Sets {
    sets: Operations<EventWaitMany>,
}

impl Stream for Sets {
    type Item = Result;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.sets).poll_next(cx).map(|outcome| outcome.map(|outcome| outcome.result))
    }
}
