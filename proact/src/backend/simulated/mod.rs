//! The simulated backend: the contract over hosts, links, disks and processes that exist in a [`World`] alone.
//!
//! # How it is made
//!
//! | file | what it holds |
//! |---|---|
//! | `world`, `host`, `explore` | what tests see: time, hosts, links, processes, seeds |
//! | `state` | what a world is made of, under one lock: what is to happen, objects and their descriptors |
//! | `chance`, `log` | whatever is left open, and what came of it |
//! | `link`, `connect`, `connection`, `stream`, `datagram`, `address`, `pipe` | the network |
//! | `disk`, `names`, `files` | what is written, what of it is durable, what a crash leaves |
//! | `backend`, `attempt`, `jobs`, `memory` | a proactor's own side: requests, and the only `unsafe` |
//! | `system` | the calls that no proactor queues |
//!
//! **The seam.** Two things differ from a real backend: who carries requests out, and who makes descriptors. The first
//! is [`Backend`](super::Backend). The second is [`System`](super::System): a resource of a simulated proactor keeps
//! one beside its descriptor, and every call that would be a system call goes there, or is refused. Real resources keep
//! none, and pay a test of that where they make a call. Time is the third: a [`Clock`](crate::time::Clock) whose source
//! is the world's.
//!
//! **Time** stands still while anyone does anything. A poll that may wait, and finds nothing, moves it: to the next
//! thing that is to happen, or to where the poll's own wait ends. A poll that does not wait takes a microsecond, or a
//! program that polls for a timer in this way would never come to it. So nothing depends on how fast the machine is.
//!
//! **Chance** is asked in one place, in an order that follows from what the program does: the same program in a world
//! of the same seed is given the same answers. Nothing else may decide: no address, no hash of one, no real time, no
//! other thread. That is why a world refuses other threads.
//!
//! **No pointers in the world.** A request that waits for a socket stays with its proactor's backend and is tried again
//! when something has changed. One for a disk is turned into a job that owns its bytes, and its result is copied out in
//! the poll that returns its completion. So the world is safe code, and may be asked from anywhere.

mod address;
mod attempt;
mod backend;
mod chance;
mod connect;
mod connection;
mod datagram;
mod disk;
mod errno;
mod explore;
mod files;
mod host;
mod jobs;
mod link;
mod log;
mod memory;
mod names;
mod pipe;
mod state;
mod stream;
mod system;
mod world;

pub(crate) use self::backend::Simulated;
pub use self::disk::Storage;
pub use self::explore::{Exhausted, exhaust, explore};
pub use self::host::{Host, Process};
pub use self::link::Link;
pub use self::world::World;
