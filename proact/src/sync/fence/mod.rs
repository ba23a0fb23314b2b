//! Fences: descriptors by which a device, another process or another library tells, or is told, that work is done.
//!
//! A fence comes in as an [`ImportFence`](crate::operation::ImportFence), which advances a semaphore when the
//! descriptor becomes readable. It goes out as [`Semaphore::export_pollable`](crate::sync::Semaphore::export_pollable),
//! an eventfd for whoever polls, or, for a device that takes the kernel's own fences, as
//! [`Semaphore::export_sync_file`](crate::sync::Semaphore::export_sync_file).

mod export;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod ioctl;
#[cfg(all(test, loom, any(target_os = "linux", target_os = "android")))]
mod loom_tests;
mod nature;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod sync_file;

pub(crate) use export::Export;
pub(super) use export::Exports;
pub(crate) use nature::Nature;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use sync_file::SyncFile;

/// Has every descriptor, on this thread, say that it is a `sync_file` with this status.
#[cfg(all(test, any(target_os = "linux", target_os = "android")))]
pub(crate) fn pretend(status: Option<i32>) {
    ioctl::pretended::STATUS.set(status);
}
