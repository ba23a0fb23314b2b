//! The transfer engine: sender and receiver as state machines over operations.
//!
//! Files, directories, sockets, timers and the clock are reached through the proactor alone, computing through
//! [`compute::ComputeQueue`], randomness through [`random::Random`]: given a simulated backend, a queue that calls
//! [`compute::carry_out`] and a seed, a whole transfer runs in virtual time. What happens before (the walk over the
//! sources, the resolution of a name) and after (reports) is not the engine's.
//!
//! [`sender`] and [`receiver`] say how a chunk's pipeline is submitted; [`slab`] is the memory that its operations
//! share, [`machine`] what the state machines have in common.

pub mod compute;
pub mod machine;
mod measure;
mod pool;
pub mod random;
pub mod receiver;
mod secure;
pub mod sender;
#[allow(unsafe_code)] // the one room of this program that has any
pub mod slab;
pub mod tls;
pub mod trace;
