//! Machines as processes, over a proactor's stream sockets.
//!
//! A connection is a stream of messages, one behind the other: each head says how long its message is. What is sent
//! while a send is under way is collected, and goes as one. A peer that takes nothing makes its queue grow: above
//! [`CONGESTED_BYTES`] the node is told, which then takes no more pipelines for it; above [`QUEUE_BYTES_MAX`] the
//! connection ends, as it does when anything about it fails. Nothing is sent twice: a node whose connection has ended
//! tells the coordinator, and one of the two machines is lost.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use proact::operation::{Accept, Close, Complete, Connect, Context, Kind, Op, Outcome, ReceiveMany, Send};
use proact::proactor::{Polled, Proactor};
use proact::resource::{Address, Domain, Socket, SocketOptions};
use proact::status::{Result, Status};
use proact::time::{Time, Timeout};

use super::{Input, Link, Output, Transport};
use crate::remote::wire::{HEAD, Head};

#[cfg(all(test, unix))]
mod tests;

/// Bytes that may wait to be sent to one machine before its pipelines are refused.
pub const CONGESTED_BYTES: usize = 1 << 20;
/// Bytes that may wait to be sent on one connection.
pub const QUEUE_BYTES_MAX: usize = 64 << 20;
/// Bytes that go in one send: what is more waits for the next.
const SEND_MAX: usize = 256 << 10;
/// Bytes that one receive takes at most.
const RECEIVE_MAX: usize = 64 << 10;
/// Connections that others may have opened: two from each of 256 machines.
const ACCEPTED_MAX: usize = 512;
/// How long after a failed accept the next is tried: the system may be short of descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A [`Transport`] over the sockets of a proactor, which it owns.
///
/// ```
/// use proact::proactor::Builder;
/// use proact::status::Result;
/// use proact_schedule::remote::coordinator::FarCoordinator;
/// use proact_schedule::remote::transport::{SocketTransport, exchange};
/// use proact_schedule::remote::{Join, Node, NodeEvent, NodeOptions};
/// use std::time::Duration;
///
/// /// A machine of the session that is hosted at this address, until it is out of it.
/// fn member(host: &str) -> Result {
///     let mut transport = SocketTransport::listen(Builder::new().build()?, &"127.0.0.1:0".parse()?)?;
///     let join = Join { name: "b".into(), address: transport.address().into(), devices: vec!["gpu".into()] };
///     let mut node = Node::new(NodeOptions::new(), join, FarCoordinator::new());
///     node.join(transport.now(), Some(host))?;
///     loop {
///         exchange(transport.now(), &mut node, &mut transport);
///         while let Some(work) = node.next_work() {
///             println!("device {} is told {:?}", work.device, work.payload);
///             node.complete(transport.now(), work.stage)?;
///         }
///         exchange(transport.now(), &mut node, &mut transport);
///         while let Some(event) = node.next_event() {
///             if let NodeEvent::Out { why } = event {
///                 println!("out: {why}");
///                 transport.shutdown(Duration::from_secs(1));
///                 return Ok(());
///             }
///         }
///         let soon = transport.now() + Duration::from_secs(1);
///         transport.wait(node.deadline().unwrap_or(soon))?;
///     }
/// }
/// ```
pub struct SocketTransport {
    proactor: Proactor,
    listener: Socket,
    address: String,
    shared: Rc<RefCell<Shared>>,
}

#[derive(Default)]
struct Shared {
    inputs: VecDeque<Input>,
    connections: BTreeMap<Link, Connection>,
    accepted: u32,
    /// When accepting is to be tried again, if it has failed, and why it did.
    accept_at: Option<Time>,
    accept_failure: Option<Status>,
}

struct Connection {
    socket: Socket,
    connected: bool,
    sending: bool,
    queue: VecDeque<Vec<u8>>,
    /// Bytes in the queue and in the send that is under way.
    bytes: usize,
    congested: bool,
    /// The node wants no more of it: it ends when the queue is empty.
    closing: bool,
    /// What has come of a message that is not whole.
    partial: Vec<u8>,
}

impl Connection {
    fn new(socket: Socket, connected: bool) -> Connection {
        let (queue, partial) = (VecDeque::new(), Vec::new());
        Connection { socket, connected, sending: false, queue, bytes: 0, congested: false, closing: false, partial }
    }

    /// What goes next, as one.
    fn next_batch(&mut self) -> Option<Vec<u8>> {
        if self.sending || !self.connected {
            return None;
        }
        let mut batch = self.queue.pop_front()?;
        while self.queue.front().is_some_and(|next| batch.len() + next.len() <= SEND_MAX) {
            batch.extend_from_slice(&self.queue.pop_front().unwrap_or_default());
        }
        self.sending = true;
        Some(batch)
    }

    /// Takes whole messages off what has come.
    fn take_messages(&mut self, mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
        let mut messages = Vec::new();
        loop {
            let wanted = match self.partial.first_chunk::<HEAD>() {
                None => HEAD,
                Some(head) => HEAD + Head::decode(head).map_err(|error| error.to_string())?.length,
            };
            let missing = wanted - self.partial.len();
            let (part, rest) = bytes.split_at(missing.min(bytes.len()));
            self.partial.extend_from_slice(part);
            bytes = rest;
            if self.partial.len() < wanted {
                return Ok(messages);
            }
            // A head is looked at once more: a message may end with it.
            let head = self.partial.first_chunk::<HEAD>().expect("at least a head was wanted");
            let whole = HEAD + Head::decode(head).map_err(|error| error.to_string())?.length;
            if self.partial.len() == whole {
                messages.push(std::mem::take(&mut self.partial));
            }
        }
    }
}

/// The state of every operation: which connection it is for.
struct Part {
    shared: Rc<RefCell<Shared>>,
    link: Link,
}

/// Who can submit: the proactor, or a callback's context.
trait Submit {
    fn submit<K: Kind>(&mut self, op: Box<Op<K, Part>>) -> Result
    where
        Part: Complete<K>;
}

impl Submit for Proactor {
    fn submit<K: Kind>(&mut self, op: Box<Op<K, Part>>) -> Result
    where
        Part: Complete<K>,
    {
        Proactor::submit(self, op).map(drop).map_err(|refused| refused.status)
    }
}

impl Submit for Context<'_> {
    fn submit<K: Kind>(&mut self, op: Box<Op<K, Part>>) -> Result
    where
        Part: Complete<K>,
    {
        Context::submit(self, op).map(drop).map_err(|refused| refused.status)
    }
}

impl SocketTransport {
    /// Listens at `address` on `proactor`.
    ///
    /// # Errors
    /// Those of [`Handle::listen`](proact::proactor::Handle::listen).
    pub fn listen(mut proactor: Proactor, address: &Address) -> Result<SocketTransport> {
        let options = SocketOptions { reuse_address: true, no_delay: true, ..SocketOptions::default() };
        let listener = proactor.handle().listen(address, &options)?;
        let address = listener.local_address()?.to_string();
        let shared = Rc::new(RefCell::new(Shared::default()));
        let part = Part { shared: shared.clone(), link: Link::Accepted(0) };
        Submit::submit(&mut proactor, Op::new(Accept::new(listener.clone()), part))?;
        Ok(SocketTransport { proactor, listener, address, shared })
    }

    /// Where it listens: what to tell others.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What time it is on the proactor's clock.
    pub fn now(&self) -> Time {
        self.proactor.now()
    }

    /// The proactor, for other operations and timers of the same thread.
    pub fn proactor(&mut self) -> &mut Proactor {
        &mut self.proactor
    }

    /// Why the last accept failed, if it did. It is tried again.
    pub fn accept_failure(&self) -> Option<Status> {
        self.shared.borrow().accept_failure.clone()
    }

    /// Waits until something has happened, but not beyond `until`.
    ///
    /// # Errors
    /// Those of [`Proactor::poll`].
    pub fn wait(&mut self, until: Time) -> Result<Polled> {
        let again = self.shared.borrow().accept_at;
        if again.is_some_and(|at| at <= self.proactor.now()) {
            self.shared.borrow_mut().accept_at = None;
            let part = Part { shared: self.shared.clone(), link: Link::Accepted(0) };
            Submit::submit(&mut self.proactor, Op::new(Accept::new(self.listener.clone()), part))?;
        }
        let waiting = !self.shared.borrow().inputs.is_empty();
        match waiting {
            true => self.proactor.poll(Timeout::Immediate),
            false => self.proactor.poll(Timeout::At(until.min(again.unwrap_or(until)))),
        }
    }

    /// Ends all connections, after what was sent on them, and then the proactor. Answers how many operations it had to
    /// give up after `deadline`: 0, unless a peer takes nothing.
    pub fn shutdown(mut self, deadline: Duration) -> usize {
        let links: Vec<Link> = self.shared.borrow().connections.keys().copied().collect();
        for link in links {
            self.carry_out(Output::Close { link });
        }
        let until = self.proactor.now() + deadline;
        while !self.shared.borrow().connections.is_empty() && self.proactor.now() < until {
            if self.proactor.poll(Timeout::At(until)).is_err() {
                break;
            }
        }
        self.proactor.shutdown(deadline)
    }

    fn open(&mut self, link: Link, address: &str) -> Result {
        let address: Address = address.parse()?;
        let options = SocketOptions { no_delay: true, ..SocketOptions::default() };
        let socket = self.proactor.handle().socket(Domain::of(&address), &options)?;
        self.shared.borrow_mut().connections.insert(link, Connection::new(socket.clone(), false));
        let part = Part { shared: self.shared.clone(), link };
        Submit::submit(&mut self.proactor, Op::new(Connect::new(socket, address), part))
    }
}

impl Transport for SocketTransport {
    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Open { link, address } => {
                if let Err(status) = self.open(link, &address) {
                    end(&self.shared, link, &status.to_string(), &mut self.proactor);
                }
            }
            Output::Send { link, bytes } => {
                let mut shared = self.shared.borrow_mut();
                let Some(connection) = shared.connections.get_mut(&link).filter(|it| !it.closing) else { return };
                connection.bytes += bytes.len();
                connection.queue.push_back(bytes);
                let waiting = connection.bytes;
                if waiting > CONGESTED_BYTES && !std::mem::replace(&mut connection.congested, true) {
                    shared.inputs.push_back(Input::Congested { link, congested: true });
                }
                drop(shared);
                if waiting > QUEUE_BYTES_MAX {
                    let why = format!("the peer does not take the {waiting} bytes that were sent to it");
                    return end(&self.shared, link, &why, &mut self.proactor);
                }
                pump(&self.shared, link, &mut self.proactor);
            }
            Output::Close { link } => {
                if let Some(connection) = self.shared.borrow_mut().connections.get_mut(&link) {
                    connection.closing = true;
                }
                pump(&self.shared, link, &mut self.proactor);
            }
        }
    }

    fn next_input(&mut self) -> Option<Input> {
        self.shared.borrow_mut().inputs.pop_front()
    }
}

/// Sends what waits, or closes what is to be closed and has nothing left.
fn pump(shared: &Rc<RefCell<Shared>>, link: Link, to: &mut impl Submit) {
    let (socket, batch) = {
        let mut shared = shared.borrow_mut();
        let Some(connection) = shared.connections.get_mut(&link) else { return };
        match connection.next_batch() {
            Some(batch) => (connection.socket.clone(), Some(batch)),
            None if connection.closing && connection.bytes == 0 => (connection.socket.clone(), None),
            None => return,
        }
    };
    let part = Part { shared: shared.clone(), link };
    let submitted = match batch {
        Some(batch) => to.submit(Op::new(Send::exact(socket, batch), part)),
        None => {
            shared.borrow_mut().connections.remove(&link);
            to.submit(Op::new(Close::new(socket), part))
        }
    };
    if let Err(status) = submitted {
        end(shared, link, &status.to_string(), to);
    }
}

/// A connection has ended, or has to. The node is told, unless it wanted that.
fn end(shared: &Rc<RefCell<Shared>>, link: Link, why: &str, to: &mut impl Submit) {
    let connection = shared.borrow_mut().connections.remove(&link);
    let wanted = connection.as_ref().is_some_and(|connection| connection.closing);
    if let Some(connection) = connection {
        let part = Part { shared: shared.clone(), link };
        // Refused only when the proactor ends, which closes everything.
        let _ = to.submit(Op::new(Close::new(connection.socket), part));
    } else if matches!(link, Link::Accepted(_)) {
        return; // it was ended before
    }
    if !wanted {
        shared.borrow_mut().inputs.push_back(Input::Closed { link, why: why.into() });
    }
}

/// Begins to receive.
fn receive(shared: &Rc<RefCell<Shared>>, link: Link, socket: Socket, to: &mut impl Submit) {
    let part = Part { shared: shared.clone(), link };
    if let Err(status) = to.submit(Op::new(ReceiveMany::new(socket, vec![0; RECEIVE_MAX]), part)) {
        end(shared, link, &status.to_string(), to);
    }
}

impl Part {
    fn received(&self, bytes: &[u8], cx: &mut Context<'_>) {
        let mut shared = self.shared.borrow_mut();
        let Some(connection) = shared.connections.get_mut(&self.link).filter(|it| !it.closing) else { return };
        match connection.take_messages(bytes) {
            Ok(messages) => {
                let link = self.link;
                shared.inputs.extend(messages.into_iter().map(|bytes| Input::Received { link, bytes }));
            }
            Err(why) => {
                drop(shared);
                end(&self.shared, self.link, &why, cx);
            }
        }
    }
}

impl Complete<Connect> for Part {
    fn done(op: Box<Op<Connect, Part>>, outcome: Outcome<Connect>, cx: &mut Context<'_>) {
        let Part { shared, link } = &op.state;
        if let Err(status) = outcome.result {
            return end(shared, *link, &status.to_string(), cx);
        }
        let socket = shared.borrow_mut().connections.get_mut(link).map(|connection| {
            connection.connected = true;
            connection.socket.clone()
        });
        if let Some(socket) = socket {
            receive(shared, *link, socket, cx);
            pump(shared, *link, cx);
        }
    }
}

impl Complete<Accept> for Part {
    fn done(op: Box<Op<Accept, Part>>, outcome: Outcome<Accept>, cx: &mut Context<'_>) {
        let shared = op.state.shared.clone();
        match outcome.result {
            Ok(accepted) => {
                let (link, room) = {
                    let mut shared = shared.borrow_mut();
                    shared.accepted += 1;
                    let others = shared.connections.range(Link::Accepted(0)..).count();
                    (Link::Accepted(shared.accepted), others < ACCEPTED_MAX)
                };
                if room {
                    let connection = Connection::new(accepted.socket.clone(), true);
                    shared.borrow_mut().connections.insert(link, connection);
                    receive(&shared, link, accepted.socket, cx);
                }
            }
            Err(status) => {
                if !status.is_cancelled() {
                    let mut shared = shared.borrow_mut();
                    shared.accept_at = Some(cx.now() + ACCEPT_AGAIN);
                    shared.accept_failure = Some(status);
                }
                return;
            }
        }
        if let Err(refused) = cx.submit(op) {
            shared.borrow_mut().accept_failure = Some(refused.status);
        }
    }
}

impl Complete<ReceiveMany<Vec<u8>>> for Part {
    fn more(&mut self, kind: &ReceiveMany<Vec<u8>>, outcome: Outcome<ReceiveMany<Vec<u8>>>, cx: &mut Context<'_>) {
        if let Ok(count) = outcome.result {
            self.received(&kind.buffer[..count], cx);
        }
    }

    fn done(op: Box<Op<ReceiveMany<Vec<u8>>, Part>>, outcome: Outcome<ReceiveMany<Vec<u8>>>, cx: &mut Context<'_>) {
        let why = match outcome.result {
            Ok(_) => "the peer has closed it".into(),
            Err(status) => status.to_string(),
        };
        let Part { shared, link } = &op.state;
        if shared.borrow().connections.contains_key(link) {
            end(shared, *link, &why, cx);
        }
    }
}

impl Complete<Send<Vec<u8>>> for Part {
    fn done(op: Box<Op<Send<Vec<u8>>, Part>>, outcome: Outcome<Send<Vec<u8>>>, cx: &mut Context<'_>) {
        let Part { shared, link } = &op.state;
        if !shared.borrow().connections.contains_key(link) {
            return;
        }
        if let Err(status) = outcome.result {
            return end(shared, *link, &status.to_string(), cx);
        }
        {
            let mut shared = shared.borrow_mut();
            let Some(connection) = shared.connections.get_mut(link) else { return };
            connection.sending = false;
            connection.bytes -= op.kind.buffer.len();
            // Not at once again: half of it must be gone.
            if connection.bytes <= CONGESTED_BYTES / 2 && std::mem::replace(&mut connection.congested, false) {
                shared.inputs.push_back(Input::Congested { link: *link, congested: false });
            }
        }
        pump(shared, *link, cx);
    }
}

impl Complete<Close<Socket>> for Part {
    fn done(_: Box<Op<Close<Socket>, Part>>, _: Outcome<Close<Socket>>, _: &mut Context<'_>) {}
}
