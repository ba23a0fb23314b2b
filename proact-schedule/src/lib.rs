//! A causal scheduler on proact's frontiers: whole pipelines over queues, devices and machines are submitted before any
//! of their work has run; waits that are already implied are skipped, and memory is reused at the price of one
//! comparison.
//!
//! - [`model`]: what a submission says, as plain data: semaphores and values, barriers, how a wait was resolved.
//! - [`Scheduler`]: the state machine. It has one owner, no threads and no clock: who runs the work tells it what has
//!   ended, and asks it what may begin. So processors, I/O, simulated devices and tests drive the same code.
//! - [`pool`]: memory whose freed blocks remember what must have ended before they are used again.
//! - [`executor`]: who runs the work: threads, proactors, simulated devices.
//! - [`record`]: what happened, as plain data, for whoever wants to look.
//! - [`remote`]: several machines in one session.
//! - [`audit`]: proves of a recorded run that what was left out was implied.
//! - [`Statistics`]: what it counted.
//! - [`scenario`]: pipelines as files, and a simulator that runs them in virtual time.
//!
//! ```
//! use proact::causal::Axis;
//! use proact_schedule::model::{Point, Submission};
//! use proact_schedule::{QueueOptions, Scheduler, SchedulerOptions};
//!
//! let mut scheduler: Scheduler<&str> = Scheduler::new(SchedulerOptions::new());
//! let copy = scheduler.add_queue(QueueOptions::in_order(Axis::queue(1, 0, 0, 0)))?;
//! let compute = scheduler.add_queue(QueueOptions::in_order(Axis::queue(1, 0, 1, 0)))?;
//! let loaded = scheduler.add_semaphore(0);
//!
//! // Both are submitted before either has run; the second even before what it waits for.
//! scheduler.submit(&Submission::new(compute).waits(&[Point::new(loaded, 1)]), "multiply")?;
//! scheduler.submit(&Submission::new(copy).signals(&[Point::new(loaded, 1)]), "load")?;
//!
//! let mut order = Vec::new();
//! while let Some(work) = scheduler.next_work() {
//!     order.push(work.payload);
//!     scheduler.complete(work.place)?;
//! }
//! assert_eq!(order, ["load", "multiply"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod audit;
pub mod executor;
pub mod model;
mod options;
pub mod pool;
mod random;
pub mod record;
pub mod remote;
pub mod scenario;
mod scheduler;
mod statistics;

pub use options::{Handover, Order, Policy, QueueOptions, SchedulerOptions};
pub use scheduler::{Refused, Scheduler, Work};
pub use statistics::{Statistics, Waits};
