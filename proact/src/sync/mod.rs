//! What work waits on: timeline semaphores.

mod event;
mod semaphore;

pub use event::Event;

pub use semaphore::Semaphore;
pub(crate) use semaphore::{Armed, Sink, Waiter};
