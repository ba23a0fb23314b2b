//! Completion-based (proactor) I/O with causal scheduling: submit the whole pipeline before any of it has run.
//!
//! A [`Proactor`](proactor::Proactor) runs operations on the best backend that works here. An operation is an
//! [`Op`](operation::Op): a kind, such as [`Read`](operation::Read) or [`Send`](operation::Send), and a state of yours
//! that is told of the outcome by [`Complete`](operation::Complete). Submitting moves it in; its final callback moves
//! it back. [`Chain`](operation::Chain)s and [`Sequence`](operation::Sequence)s order operations, and a
//! [`Semaphore`](sync::Semaphore) lets one wait for what another thread, or a device, has yet to do; a chain whose
//! steps all qualify runs in the kernel by itself.
//!
//! # Rooms
//!
//! - [`proactor`]: who polls, who submits from elsewhere, what is counted.
//! - [`operation`]: what can be submitted.
//! - [`sync`]: timeline semaphores and events.
//! - [`causal`]: axes and frontiers, plain data. The only room that builds without the feature `std`.
//! - [`memory`], [`resource`]: what operations hold: bytes, sockets, files.
//! - [`topology`]: the machine's nodes, and where threads and memory are.
//! - [`backend`]: capabilities; with the feature `unstable-backend` also the contract for backends of your own.
//! - [`status`], [`time`]: failures, and the clock.
//!
//! # Callbacks
//!
//! They run inside [`Proactor::poll`](proactor::Proactor::poll), on the thread that built the proactor, one after
//! another, under no lock. They must not block: while one runs, nothing else on its proactor moves. Hand long work to
//! another thread and let it come back by a [`Handle`](proactor::Handle), or by signalling a semaphore that an
//! operation waits for:
//!
//! ```
//! use proact::operation::{Complete, Context, Op, Outcome, SemaphoreWait, Timer};
//! use proact::sync::Semaphore;
//!
//! struct Start(Semaphore);
//! struct Finished;
//!
//! impl Complete<Timer> for Start {
//!     fn done(op: Box<Op<Timer, Self>>, _: Outcome<Timer>, _: &mut Context<'_>) {
//!         let done = op.state.0.clone();
//!         std::thread::spawn(move || {
//!             let _long = (0..1_000_000u64).sum::<u64>();
//!             done.signal(1, None)
//!         });
//!     }
//! }
//!
//! impl Complete<SemaphoreWait> for Finished {
//!     fn done(_: Box<Op<SemaphoreWait, Self>>, outcome: Outcome<SemaphoreWait>, _: &mut Context<'_>) {
//!         outcome.result.unwrap(); // back on the poll thread
//!     }
//! }
//!
//! let mut proactor = proact::proactor::Builder::new().build().unwrap();
//! let done = Semaphore::new(0);
//! let now = proactor.now();
//! let wait = Op::new(SemaphoreWait::new(done.clone(), 1), Finished);
//! proactor.submit((Op::new(Timer::new(now), Start(done)), wait)).unwrap();
//! proactor.run().unwrap();
//! ```
#![cfg_attr(not(feature = "std"), no_std)]
extern crate alloc;

pub mod causal;

#[cfg(feature = "std")]
mod atomic;
#[cfg(feature = "std")]
pub mod backend;
#[cfg(all(feature = "std", unix, feature = "fault-injection"))]
#[doc(hidden)] // for this project's own tests
pub mod fault;
#[cfg(all(feature = "std", unix, not(feature = "fault-injection")))]
mod fault;
#[cfg(feature = "std")]
mod heap;
#[cfg(feature = "std")]
pub mod memory;
#[cfg(feature = "std")]
mod once_box;
#[cfg(feature = "std")]
pub mod operation;
#[cfg(feature = "std")]
pub mod proactor;
#[cfg(feature = "std")]
pub mod resource;
#[cfg(feature = "simulated")]
pub mod simulated;
#[cfg(feature = "std")]
pub mod status;
#[cfg(feature = "std")]
pub mod sync;
#[cfg(feature = "std")]
pub mod time;
#[cfg(feature = "std")]
pub mod topology;
#[cfg(all(feature = "std", any(target_os = "linux", target_os = "android")))]
mod uring;
#[cfg(feature = "std")]
#[doc(hidden)] // for proact-async, whose models watch the same
pub mod watched;
#[cfg(feature = "std")]
#[doc(hidden)] // for proact-schedule and the program, whose threads take their work from it
pub mod work_queue;

/// The guide's example compiles and runs.
#[cfg(all(doctest, feature = "simulated"))]
#[doc = include_str!("../../docs/simulation.md")]
struct Simulation;
