//! What work waits on: timeline semaphores.

mod event;
mod event_pool;
mod semaphore;

pub use event::Event;
pub use event_pool::EventPool;

pub use semaphore::Semaphore;
pub(crate) use semaphore::{Armed, Sink, Waiter};
