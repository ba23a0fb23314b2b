//! What moves bytes: the contract that every backend keeps, and the backends.
//!
//! A backend knows nothing of operations, chains, timers or semaphores. It is given requests under tokens and
//! answers each with exactly one terminal completion. Portable machinery above it does the rest once, for all.
//!
//! To add a backend, write one folder here that implements `Backend`, and name it in
//! [`Choice`](crate::proactor::Choice). The contract is public with the feature `unstable-backend`, so that one may
//! also live elsewhere; it may change with any release.

mod by_slot;
mod contract;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod datagram;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod io_uring;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod pooled;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod readiness;
#[cfg(any(target_os = "linux", target_os = "android", feature = "simulated"))]
pub(crate) mod registered;
#[cfg(feature = "simulated")]
pub(crate) mod simulated;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod workers;

pub(crate) use by_slot::{BySlot, fetch};
#[cfg(not(feature = "unstable-backend"))]
pub(crate) use contract::*;
#[cfg(feature = "unstable-backend")]
pub use contract::*;
#[cfg(not(feature = "unstable-backend"))]
pub use contract::{
    Advice, AttributeMode, Capabilities, CapabilityReport, CopyMethod, DirectAlignment, DirectoryEntry, FileKind,
    FileTime, Metadata, OpenFlags, WalkEntry,
};
