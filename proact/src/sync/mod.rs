//! What work waits on: timeline semaphores, axes that progress, events, notifications.

mod event;
mod event_pool;
mod fence;
#[cfg(all(test, not(loom)))]
mod hooked;
#[cfg(all(test, loom))]
mod loom_work;
mod notification;
mod semaphore;
mod timeline;
mod tracker;
mod wait_flags;
#[cfg(all(test, not(loom), target_os = "linux"))]
mod without_calls;

pub use event::Event;
pub use event_pool::EventPool;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use fence::SyncFile;
#[cfg(all(test, not(loom), any(target_os = "linux", target_os = "android")))]
pub(crate) use fence::pretend;
pub(crate) use fence::{Export, Nature};
pub use notification::{Epoch, Notification, Observation};
pub(crate) use notification::{Listener, Subscription};

pub(crate) use semaphore::{Armed, Sink, Waiter};
pub use semaphore::{Semaphore, SemaphoreFuture, SemaphoreLink, SemaphoreOptions};
pub use timeline::{Driver, Primitive, Timeline};
pub use tracker::{AxisHandle, AxisOptions, FrontierReached, Tracker, TrackerOptions};
pub(crate) use tracker::{Party, Watch};
pub use wait_flags::WaitFlags;
