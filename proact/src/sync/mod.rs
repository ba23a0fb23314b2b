//! What work waits on: timeline semaphores, events, notifications.

mod event;
mod event_pool;
mod notification;
mod semaphore;

pub use event::Event;
pub use event_pool::EventPool;
pub use notification::{Epoch, Notification, Observation};
pub(crate) use notification::{Listener, Subscription};

pub use semaphore::Semaphore;
pub(crate) use semaphore::{Armed, Sink, Waiter};
