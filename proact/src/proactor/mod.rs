//! The proactor: who polls, who submits from elsewhere, and what can be asked of either.

mod builder;
mod handle;
mod imports;
mod owner;
mod pool;
mod statistics;
mod survey;
mod thread;
#[cfg(all(test, not(loom)))]
mod tick_tests;

pub use crate::operation::engine::{Latencies, Polled};
pub use builder::{BACKEND_VARIABLE, Builder, Choice};
pub use handle::Handle;
pub use owner::Proactor;
pub use pool::{PlaceEnded, ProactorPool};
pub use statistics::Statistics;
pub use survey::{BackendReport, survey};
pub use thread::{Ended, ProactorThread, Runner, ThreadBody, ThreadOptions};
