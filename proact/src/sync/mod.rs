//! What work waits on: timeline semaphores, and axes that progress.

mod event;
mod semaphore;
mod tracker;

pub use event::Event;

pub use semaphore::Semaphore;
pub(crate) use semaphore::{Armed, Sink, Waiter};
pub use tracker::{AxisHandle, AxisOptions, FrontierReached, Tracker, TrackerOptions};
pub(crate) use tracker::{Party, Watch};
