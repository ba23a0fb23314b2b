//! Causal time: who is told of what, as plain data.
//!
//! An [`Axis`] names one line of progress in the system (a queue, a collective channel, a host context); along it,
//! epochs count 1, 2, 3. A [`Frontier`] is a vector clock: for each axis that matters, the epoch that has been reached.
//! [`Knowledge`] is a frontier together with the answer to the question whether anything is missing from it, and a
//! [`Session`] turns it into bytes for other machines, and back.
//!
//! Nothing here knows threads, clocks or an operating system: this module needs no `std`.

mod axis;
mod frontier;
mod knowledge;
mod wire;

pub use axis::{Axis, Domain};
pub use frontier::{Causality, Entry, Frontier, FrontierError};
pub use knowledge::{Completeness, Knowledge};
pub use wire::{Session, WireError};
