//! What work waits on: timeline semaphores.

mod semaphore;

pub use semaphore::Semaphore;
pub(crate) use semaphore::{Armed, Sink, Waiter};
