//! What work waits on: timeline semaphores, and axes that progress.

mod event;
mod semaphore;
mod timeline;
mod tracker;
mod wait_flags;

pub use event::Event;

pub(crate) use semaphore::{Armed, Sink, Waiter};
pub use semaphore::{Semaphore, SemaphoreFuture, SemaphoreLink, SemaphoreOptions};
pub use timeline::{Driver, Primitive, Timeline};
pub use tracker::{AxisHandle, AxisOptions, FrontierReached, Tracker, TrackerOptions};
pub(crate) use tracker::{Party, Watch};
pub use wait_flags::WaitFlags;
