//! Sockets: streams and datagrams over IPv4, IPv6 and Unix addresses.

#[cfg(unix)]
mod calls;
#[cfg(unix)]
mod membership;
#[cfg(not(unix))]
mod no_calls;
mod options;
#[cfg(unix)]
mod tune;

use std::sync::Arc;

use super::{Address, Home, Resource};
use crate::backend::{Descriptor, DescriptorMode, Family, SocketSpec};
use crate::status::{Code, Operation, Result, Status};

pub use self::options::{KeepAlive, SocketOptions};

/// Which family of socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Domain {
    /// TCP or UDP over IPv4.
    Ipv4,
    /// TCP or UDP over IPv6; over IPv4 too only with [`SocketOptions::dual_stack`].
    Ipv6,
    /// Unix.
    Unix,
}

impl Domain {
    /// The family that `address` needs.
    pub fn of(address: &Address) -> Domain {
        match address {
            Address::Ip(address) if address.is_ipv4() => Domain::Ipv4,
            Address::Ip(_) => Domain::Ipv6,
            Address::Unix(_) | Address::Unnamed => Domain::Unix,
        }
    }
}

/// What a socket carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SocketType {
    /// Bytes in order, without marks between them: TCP, or Unix stream.
    Stream,
    /// Messages, each whole or not at all: UDP, or Unix datagram.
    Datagram,
}

/// Which direction to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shutdown {
    /// No more will be received.
    Receive,
    /// No more will be sent: the peer reads to the end and sees it.
    Send,
    /// Both.
    Both,
}

/// What a socket is at the moment. For people and tests: another thread may have changed it already.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SocketState {
    /// Neither listens nor has a peer.
    Created,
    /// Takes connections.
    Listening,
    /// Has a peer, or had one: one that is gone stays it until the socket is closed.
    Connected,
    /// A [`Close`](crate::operation::Close) waits for its operations to end.
    Closing,
    /// Closed.
    Closed,
}

/// A socket: a listener, one end of a connection, or a place for datagrams.
///
/// Made by a [`Handle`](crate::proactor::Handle) ([`socket`](crate::proactor::Handle::socket),
/// [`datagram`](crate::proactor::Handle::datagram), [`socket_pair`](crate::proactor::Handle::socket_pair),
/// [`listen`](crate::proactor::Handle::listen), or [`import_socket`](crate::proactor::Handle::import_socket) of a
/// descriptor that is there already), or by an [`Accept`](crate::operation::Accept). A clone is another handle to the
/// same socket.
///
/// Sends go out in the order in which they were submitted, and receives are filled in that order: the socket is a FIFO
/// each way.
///
/// # Failures
///
/// The first failure of a transfer on a connected stream is final and [stays](Socket::failure): later sends are refused
/// with it, and receives yield what had arrived before, and then fail with it too. A cancelled receive, a failed
/// connect or accept, and any failure of a datagram socket leave the socket usable; a send that was cancelled after a
/// part of it had gone does not, since its peer would read a stream with a hole.
#[derive(Clone, Debug)]
pub struct Socket {
    pub(super) resource: Arc<Resource>,
    pub(super) domain: Domain,
    pub(super) kind: SocketType,
}

impl Socket {
    pub(super) fn own(home: Home, descriptor: Descriptor, domain: Domain, kind: SocketType) -> Socket {
        Socket { resource: Arc::new(Resource::adopt(home, descriptor)), domain, kind }
    }

    /// Takes ownership of a connection that `self` has accepted.
    pub(crate) fn accepted(&self, home: Home, descriptor: Descriptor) -> Socket {
        let socket = Socket::own(home, descriptor, self.domain, SocketType::Stream);
        socket.note_connected();
        socket
    }

    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// What an operation asks that is for sockets of one kind alone.
    pub(crate) fn check_type(&self, kind: SocketType, operation: Operation) -> Result<()> {
        let why = match (self.kind == kind, kind) {
            (true, _) => return Ok(()),
            (_, SocketType::Stream) => "the socket carries datagrams, not a stream",
            (_, SocketType::Datagram) => "the socket carries a stream, not datagrams",
        };
        Err(Status::new(Code::InvalidArgument, operation).with_message(why))
    }

    /// The socket has a peer: from now on a stream's failures are final.
    pub(crate) fn note_connected(&self) {
        if self.kind == SocketType::Stream {
            self.resource.keep_failures();
        }
    }

    /// Why transfers on the socket fail for good, if one has failed: the first failure, which stays. Sends are refused
    /// with it; receives still try, since data that the peer sent before may be there, and fail with it where they
    /// would end.
    pub fn failure(&self) -> Option<Status> {
        self.resource.failure().map(|status| self.resource.explain(status.clone()))
    }

    /// Its family.
    pub fn domain(&self) -> Domain {
        self.domain
    }

    /// What it carries.
    pub fn socket_type(&self) -> SocketType {
        self.kind
    }
}

/// How a socket is made, named and ended: at once, from any thread.
// Each call asks the socket's own system where it has one (`backend::System`), and the operating system everywhere else
// (`calls.rs`).
impl Socket {
    pub(crate) fn create(home: Home, domain: Domain, kind: SocketType, options: &SocketOptions) -> Result<Socket> {
        if home.mode != DescriptorMode::Own {
            return Socket::call_create(home, domain, kind, options);
        }
        let spec = SocketSpec {
            family: match domain {
                Domain::Ipv4 => Family::Ipv4,
                Domain::Ipv6 => Family::Ipv6,
                Domain::Unix => Family::Unix,
            },
            datagram: kind == SocketType::Datagram,
            reuse_port: options.reuse_port,
            reset_on_close: options.linger_zero,
            dual_stack: options.dual_stack,
            receive_buffer: options.receive_buffer,
        };
        let system = super::own_system(home, Operation::SocketCreate)?;
        let made = system.socket(spec).map_err(|errno| Status::from_os_error(Operation::SocketCreate, errno))?;
        Ok(Socket::own(home, made, domain, kind))
    }

    pub(crate) fn pair(home: Home, kind: SocketType) -> Result<(Socket, Socket)> {
        if home.mode != DescriptorMode::Own {
            return Socket::call_pair(home, kind);
        }
        let system = super::own_system(home, Operation::SocketCreate)?;
        let made = system.socket_pair(kind == SocketType::Datagram);
        let (one, two) = made.map_err(|errno| Status::from_os_error(Operation::SocketCreate, errno))?;
        let own = |descriptor| {
            let socket = Socket::own(home, descriptor, Domain::Unix, kind);
            socket.note_connected();
            socket
        };
        Ok((own(one), own(two)))
    }

    /// Binds to a local address; port 0 lets the system choose.
    ///
    /// # Errors
    /// `AlreadyExists` when the address is in use, `PermissionDenied` for a port below the system's limit,
    /// `InvalidArgument` when the socket is bound already.
    pub fn bind(&self, address: &Address) -> Result<()> {
        let bound = if self.resource.is_own() {
            let raw = address.to_raw()?;
            self.resource.own(Operation::SocketBind, |system, socket| system.bind(socket, &raw))
        } else {
            self.call_bind(address)
        };
        bound.map_err(|status| status.with_context(format!("{address}")))
    }

    /// Starts to listen. `backlog` 0 means the system's largest. A socket that is not bound gets a port that the system
    /// chooses; one that listens already takes the new backlog.
    ///
    /// # Errors
    /// `AlreadyExists` when the address is in use, `Unavailable` or `InvalidArgument` for a socket that cannot listen,
    /// `FailedPrecondition` once it is closed.
    pub fn listen(&self, backlog: u32) -> Result<()> {
        if self.resource.is_own() {
            return self.resource.own(Operation::SocketListen, |system, socket| system.listen(socket, backlog));
        }
        self.call_listen(backlog)
    }

    /// The local address; of a socket that was never bound, the family's wildcard or [`Address::Unnamed`].
    ///
    /// # Errors
    /// `FailedPrecondition` once it is closed.
    pub fn local_address(&self) -> Result<Address> {
        if self.resource.is_own() {
            let raw = self.resource.own(Operation::SocketOption, |system, socket| system.local_address(socket))?;
            return Address::from_raw(&raw);
        }
        self.call_local_address()
    }

    /// The peer's address. `FailedPrecondition` when there is none.
    pub fn peer_address(&self) -> Result<Address> {
        if self.resource.is_own() {
            let raw = self.resource.own(Operation::SocketOption, |system, socket| system.peer_address(socket))?;
            return Address::from_raw(&raw);
        }
        self.call_peer_address()
    }

    /// What it is at the moment.
    pub fn state(&self) -> SocketState {
        // A closed resource has no descriptor to ask.
        match self.listens() {
            Err(status) if status.os_error().is_none() => SocketState::Closed,
            _ if self.resource.is_closing() => SocketState::Closing,
            Ok(true) => SocketState::Listening,
            _ if self.resource.keeps_failures() || self.peer_address().is_ok() => SocketState::Connected,
            _ => SocketState::Created,
        }
    }

    fn listens(&self) -> Result<bool> {
        if self.resource.is_own() {
            return self.resource.own(Operation::SocketOption, |system, socket| system.listens(socket));
        }
        self.call_listens()
    }

    /// Ends one direction, or both, at once; also of a socket that [has failed](Socket::failure). Pending operations of
    /// that direction end.
    ///
    /// # Errors
    /// `FailedPrecondition` when the socket is not connected.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        if self.resource.is_own() {
            let (receive, send) = (how != Shutdown::Send, how != Shutdown::Receive);
            return self
                .resource
                .own(Operation::SocketShutdown, |system, socket| system.shutdown(socket, receive, send));
        }
        self.call_shutdown(how)
    }
}
