//! What work waits on: timeline semaphores.

mod event;
mod semaphore;
mod timeline;
mod wait_flags;

pub use event::Event;

pub(crate) use semaphore::{Armed, Sink, Waiter};
pub use semaphore::{Semaphore, SemaphoreFuture, SemaphoreLink, SemaphoreOptions};
pub use timeline::{Driver, Primitive, Timeline};
pub use wait_flags::WaitFlags;
