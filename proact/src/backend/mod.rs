//! What moves bytes: the contract that every backend keeps, and the backends.
//!
//! A backend knows nothing of operations, chains, timers or semaphores. It is given [`Request`]s under [`Token`]s and
//! answers each with exactly one terminal [`Completion`]. Portable machinery above it does the rest once, for all.
//!
//! To add a backend, write one folder here that implements [`Backend`], and name it in `Choice`.

mod contract;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod io_uring;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod readiness;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod workers;

pub use contract::*;
