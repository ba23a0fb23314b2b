//! Several machines in one session: a pipeline is submitted to all of them before any of it has run.
//!
//! - A session has a [coordinator], which assigns each machine an index and tells all of losses.
//! - A [`Node`] is one machine: it takes stages that clients submit to its devices, and submits [`Pipeline`]s itself.
//!   It is a state machine over bytes and time; a [`Bridge`] has the machine's own [`Scheduler`](crate::Scheduler) run
//!   its stages.
//! - [`transport`]: what carries the bytes: [sockets](transport::SocketTransport), or
//!   [memory](transport::MemoryNetwork) under virtual time.
//! - [`wire`]: the messages.
//!
//! # Who numbers what
//!
//! An index is given to one machine and never again. A client's queue on a device has the client's index as its number:
//! so the queue's axis follows from who submits to whom, and the client alone counts its epochs. It can tell every
//! machine, ahead of any work, which epoch of which axis will reach which value, and does: each wait carries that
//! promise. [Names of semaphores](SemaphoreName) say who owns them and who signals them. None of this takes a message.
//!
//! # How a machine decides
//!
//! A wait on another machine's semaphore is over when its owner says so, or when what *anybody* says covers the
//! promised axis and epoch: signals carry what their stage knows to have ended. A client has an owner not even told to
//! speak to a machine where another wait of the same stage will bring the knowledge anyway.
//!
//! # What a loss costs
//!
//! A machine is lost when it is silent for a lease, or a connection of its ends. Within a lease and the time of one
//! message all members know; its semaphores fail where they are not known to have been reached, with the loss as the
//! cause, and so does, from wait to wait, what depends on them. Nothing else does. A lost machine is never let in again
//! as what it was.
//!
//! Members trust each other: what one says is checked for being possible, not for being true.
//!
//! ```
//! use proact::causal::Session;
//! use proact_schedule::remote::coordinator::{Coordinator, EmbeddedCoordinator, FarCoordinator};
//! use proact_schedule::remote::transport::{MemoryNetwork, exchange};
//! use proact_schedule::remote::{Join, MachineId, Node, NodeOptions, Pipeline, RemotePoint};
//! use std::time::Duration;
//!
//! let network = MemoryNetwork::new(1, Duration::from_micros(50));
//! let mut machines: Vec<_> = (0..3)
//!     .map(|index| {
//!         let endpoint = network.endpoint();
//!         let coordinator: Box<dyn Coordinator> = match index {
//!             0 => Box::new(EmbeddedCoordinator::new(Session::new(0x5eed, 1), Duration::from_secs(3))),
//!             _ => Box::new(FarCoordinator::new()),
//!         };
//!         let join = Join { name: format!("m{index}"), address: endpoint.address(), devices: vec!["gpu".into()] };
//!         let mut node = Node::new(NodeOptions::new(), join, coordinator);
//!         node.join(network.now(), (index > 0).then_some("memory:0")).unwrap();
//!         (node, endpoint)
//!     })
//!     .collect();
//!
//! let mut done = None;
//! let mut order = Vec::new();
//! while order.len() < 3 {
//!     for (node, endpoint) in &mut machines {
//!         exchange(network.now(), node, endpoint);
//!         while let Some(work) = node.next_work() {
//!             order.push(String::from_utf8(work.payload).unwrap());
//!             node.complete(network.now(), work.stage).unwrap();
//!         }
//!         exchange(network.now(), node, endpoint);
//!     }
//!     let (client, _) = &mut machines[0];
//!     if done.is_none() && client.members().count() == 2 {
//!         // All are there. The last stage is submitted first, and waits for both others; nothing has run.
//!         let [a, b] = [1, 2].map(|owner| RemotePoint::new(client.name_semaphore(MachineId(owner)).unwrap(), 1));
//!         let mut pipeline = Pipeline::new();
//!         pipeline.stage(MachineId(0), 0, b"sum").wait(a).wait(b);
//!         pipeline.stage(MachineId(2), 0, b"multiply").wait(a).signal(b);
//!         pipeline.stage(MachineId(1), 0, b"load").signal(a);
//!         done = Some(client.submit(network.now(), &pipeline).unwrap());
//!     }
//!     let deadlines = machines.iter().filter_map(|(node, _)| node.deadline());
//!     network.pass_until(deadlines.chain(network.next_arrival()).min().unwrap());
//! }
//! assert_eq!(order, ["load", "multiply", "sum"]);
//! // Machine 2 told the client that machine 1 was done too; machine 1 did not have to.
//! assert_eq!(machines[0].0.statistics().concluded, 1);
//! ```

mod bridge;
pub mod coordinator;
mod name;
mod node;
mod pipeline;
#[cfg(test)]
mod tests;
pub mod transport;
pub mod wire;

pub use bridge::Bridge;
pub use name::{MachineId, MachineSet, RemotePoint, SemaphoreName, StageId};
pub use node::{Node, NodeEvent, NodeOptions, NodeStatistics, RemoteWork};
pub use pipeline::{Pipeline, Planned};
pub use transport::{Input, Link, Output, Transport};
pub use wire::{Failure, FailureKind, Join, Member, Message, Welcome};
