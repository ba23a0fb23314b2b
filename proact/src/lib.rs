//! Completion-based (proactor) I/O with causal scheduling.
#![cfg_attr(not(feature = "std"), no_std)]
extern crate alloc;

pub mod causal;

#[cfg(feature = "std")]
mod atomic;
#[cfg(feature = "std")]
pub mod backend;
#[cfg(feature = "std")]
mod heap;
#[cfg(feature = "std")]
pub mod memory;
#[cfg(feature = "std")]
pub mod operation;
#[cfg(feature = "std")]
pub mod proactor;
#[cfg(feature = "std")]
pub mod resource;
#[cfg(feature = "std")]
pub mod status;
#[cfg(feature = "std")]
pub mod sync;
#[cfg(feature = "std")]
pub mod time;
#[cfg(all(feature = "std", any(target_os = "linux", target_os = "android")))]
mod uring;
