//! One suite for all loops: inline, on proactors of every backend, and in simulated worlds.

#[path = "../support/mod.rs"]
mod support;

#[macro_use]
mod stage;
mod aborts;
mod calls;
mod drains;
mod inline;
mod invocations;
mod of_a_proactor;
mod orders;
mod panics;
mod random;
mod waits;
