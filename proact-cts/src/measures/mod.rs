//! What the library costs, beside the least that the kernel's own interface costs.
//!
//! Each file here brings its measures as `ROWS`, and [`ALL`] is where a file is added. A measure takes any
//! [`Configuration`](crate::config::Configuration), as the conformance cases do: a backend, whole or with capabilities
//! masked. Both sides of a row run in this process, in turn, in slices far shorter than a scheduler's (see `compare`),
//! so that what disturbs one disturbs the other. A floor is the same work on a bare ring, `epoll`, futex, or whatever
//! lies below, by another implementation than proact's own; its file stands beside the measures that it is for.
//!
//! `proact bench` draws the table. How much is repeated is the run's matter: see [`Effort`].

// Where no bare ring can be built, what only its measures use stands idle.
#![cfg_attr(not(all(target_os = "linux", target_pointer_width = "64")), allow(dead_code))]

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod accept;
mod causal;
mod chain;
mod compare;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod descriptor;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod descriptors;
mod effort;
mod failure;
#[cfg(target_os = "linux")]
mod fence;
mod figures;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod file;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod floor;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod futex;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod growth;
mod growth_axes;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod heartbeat;
mod measure;
mod memory;
mod message;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod message_floor;
mod nop;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod notification;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod peer;
mod pooled;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod raw;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod raw_socket;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod relay;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod relay_latency;
mod schedule;
mod semaphore;
mod semaphore_blocking;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod socket;
mod submit;
mod tally;
mod timer;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod timer_late;
mod together;
mod vm;
mod vm_waiting;
mod vm_wasm;

pub use effort::Effort;
pub use failure::Failure;
pub use figures::{Costs, Figures, Floor, Row, Unit};
pub use measure::Measure;
pub use tally::Counter;

/// The measures, in the order in which they are printed.
pub const ALL: &[&[Measure]] = &[
    nop::ROWS,
    submit::ROWS,
    chain::ROWS,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    socket::ROWS,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    accept::ROWS,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    file::ROWS,
    memory::ROWS,
    pooled::ROWS,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    descriptor::ROWS,
    causal::ROWS,
    semaphore::ROWS,
    semaphore_blocking::ROWS,
    schedule::ROWS,
    timer::ROWS,
    #[cfg(target_os = "linux")]
    fence::ROWS,
    message::ROWS,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    notification::ROWS,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    relay::ROWS,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    relay_latency::ROWS,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    futex::ROWS,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    growth::ROWS,
    growth_axes::ROWS,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    heartbeat::ROWS,
    vm::ROWS,
    vm_wasm::ROWS,
    vm_waiting::ROWS,
];

/// Those whose name contains `filter`, in their order.
pub fn selected(filter: Option<&str>) -> impl Iterator<Item = &'static Measure> {
    ALL.iter().copied().flatten().filter(move |measure| filter.is_none_or(|text| measure.name.contains(text)))
}

#[cfg(test)]
mod tests;
