//! What a node asks of a transport, and what a transport tells it.

use proact::time::Time;

use super::Node;
use super::coordinator::Coordinator;

mod memory;
mod socket;

pub use memory::{MemoryEndpoint, MemoryNetwork, Sent};
pub use socket::{CONGESTED_BYTES, QUEUE_BYTES_MAX, SocketTransport};

/// Carries messages between machines: in memory, over sockets, over whatever keeps the order of a connection.
pub trait Transport {
    /// Does what a node wants, or begins to. It does not block.
    fn carry_out(&mut self, output: Output);

    /// What has happened and was not told yet. It does not block.
    fn next_input(&mut self) -> Option<Input>;
}

/// Hands over what node and transport have for each other, until neither has anything more for now.
pub fn exchange<C: Coordinator>(now: Time, node: &mut Node<C>, transport: &mut impl Transport) {
    node.advance(now);
    loop {
        while let Some(output) = node.next_output() {
            transport.carry_out(output);
        }
        match transport.next_input() {
            Some(input) => node.handle(now, input),
            None => return,
        }
    }
}

/// A connection between two machines, as one of them names it. Messages on one come in the order in which they were
/// sent, or not at all after one that did not; nothing is said of the order between connections.
///
/// A node sends on connections that it has opened, and answers only the coordinator's messages on those that it has
/// accepted. So there are up to two between two machines.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Link {
    /// The node has asked for it.
    Opened(u32),
    /// Another machine has.
    Accepted(u32),
}

/// What a node wants of its transport.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// A connection. What is sent on it waits until it is there; that it failed is told as [`Input::Closed`].
    Open {
        /// How the node calls it.
        link: Link,
        /// Where to, as the other machine said of itself.
        address: String,
    },
    /// A message.
    Send {
        /// Where.
        link: Link,
        /// The whole message, its head included.
        bytes: Vec<u8>,
    },
    /// The end of a connection, after what was sent on it. Nothing more is told of it.
    Close {
        /// Which.
        link: Link,
    },
}

/// What a transport tells its node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A message has come.
    Received {
        /// On which connection. One of [`Link::Accepted`] need not have been told of before.
        link: Link,
        /// The whole message, its head included.
        bytes: Vec<u8>,
    },
    /// More waits to be sent on a connection than the transport likes; or no longer.
    Congested {
        /// Which.
        link: Link,
        /// Whether it is.
        congested: bool,
    },
    /// A connection has ended, or never came to be. What was sent may have been lost.
    Closed {
        /// Which.
        link: Link,
        /// Why.
        why: String,
    },
}
