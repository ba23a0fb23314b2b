//! Several machines in one session: a pipeline is submitted to all of them before any of it has run.

pub mod coordinator;
mod name;
mod node;
mod pipeline;
mod random;
#[cfg(test)]
mod tests;
pub mod transport;
pub mod wire;

pub use name::{MachineId, MachineSet, RemotePoint, SemaphoreName, StageId};
pub use node::{Node, NodeEvent, NodeOptions, NodeStatistics, RemoteWork};
pub use pipeline::{Pipeline, Planned};
pub use transport::{Input, Link, Output, Transport};
pub use wire::{Failure, FailureKind, Join, Member, Message, Welcome};
