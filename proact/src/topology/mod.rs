//! Where the machine's processors, memory and devices lie, and what this process may use of them.
//!
//! - [`Topology`]: the NUMA nodes, each with its processors, memory and PCIe devices, read from the system.
//! - [`CpuSet`]: numbers of processors.
//! - [`Affinity`]: the processors that a thread shall run on and the node that memory shall come from. A
//!   [`Builder`](crate::proactor::Builder), an [`Allocation`](crate::memory::Allocation) and a
//!   [`ProactorPool`](crate::proactor::ProactorPool) take one.
//!
//! Threads are pinned for certain or not at all: what the system says afterwards is compared with what was asked. Where
//! pages really lie is asked of the kernel ([`Region::pages`](crate::memory::Region::pages)), not assumed.

mod affinity;
mod cpus;
mod nodes;
pub(crate) mod pages;
mod pin;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod sysfs;

#[cfg(all(test, not(loom), target_os = "linux"))]
mod tests;

pub use affinity::Affinity;
pub use cpus::CpuSet;
pub(crate) use nodes::processor;
pub use nodes::{Device, DeviceKind, Node, Topology};
pub use pages::Pages;
