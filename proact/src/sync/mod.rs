//! What work waits on: timeline semaphores.

mod event;
mod fence;
mod semaphore;

pub use event::Event;
pub(crate) use fence::{Export, Nature};

pub use semaphore::Semaphore;
pub(crate) use semaphore::{Armed, Sink, Waiter};
