//! Several machines in one session: a pipeline is submitted to all of them before any of it has run.

mod name;
#[cfg(test)]
mod random;
pub mod wire;

pub use name::{MachineId, MachineSet, RemotePoint, SemaphoreName, StageId};
