//! Memory that I/O may touch while its owner cannot.
//!
//! - [`StableBytes`], [`StableBytesMut`]: what may move into an operation; vectors, boxes, and what is below.
//! - [`Region`]: a piece of memory with an owner: allocated, wrapped, shared with other processes, or a device's.
//! - [`Span`]: bytes of a region, for many readers. [`Slab`]: a region cut into buffers.
//! - [`BufferPool`] and [`Lease`]: buffers for one holder at a time, taken and given back by any thread.
//! - [`NodePools`]: one pool a NUMA node.
//! - `SharedPool`: buffers that several processes share (Linux).
//! - [`Registrations`]: which proactors know a piece of memory, so that their kernel need not look it up.

mod buffer;
mod buffer_pool;
mod foreign;
mod free_list;
mod lease;
mod lease_future;
mod mapping;
mod numa;
mod region;
mod registration;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod shared;
mod slab;
mod span;
mod waiters;

#[cfg(all(test, not(loom), target_os = "linux"))]
mod tests;

pub use buffer::{Access, Part, StableBytes, StableBytesMut};
pub use buffer_pool::BufferPool;
pub use lease::Lease;
pub use lease_future::LeaseFuture;
pub use mapping::Allocation;
pub use numa::NodePools;
pub use region::{Region, Sharing, Source};
pub use registration::{Fixed, Registrable, Registration, Registrations};
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use shared::{Geometry, SharedLease, SharedPool};
pub use slab::Slab;
pub use span::Span;
#[allow(unused_imports)] // for operations that receive into pools
pub(crate) use waiters::{Starved, WaitKey};
