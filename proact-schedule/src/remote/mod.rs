//! Several machines in one session: a pipeline is submitted to all of them before any of it has run.

pub mod coordinator;
mod name;
#[cfg(test)]
mod random;
mod transport;
pub mod wire;

pub use name::{MachineId, MachineSet, RemotePoint, SemaphoreName, StageId};
pub use transport::{Input, Link, Output};
pub use wire::{Failure, FailureKind, Join, Member, Message, Welcome};
