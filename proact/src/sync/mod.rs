//! What work waits on: timeline semaphores.

mod event;
mod fence;
mod semaphore;
mod timeline;
mod wait_flags;

pub use event::Event;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use fence::SyncFile;
#[cfg(all(test, not(loom), any(target_os = "linux", target_os = "android")))]
pub(crate) use fence::pretend;
pub(crate) use fence::{Export, Nature};

pub(crate) use semaphore::{Armed, Sink, Waiter};
pub use semaphore::{Semaphore, SemaphoreFuture, SemaphoreLink, SemaphoreOptions};
pub use timeline::{Driver, Primitive, Timeline};
pub use wait_flags::WaitFlags;
