//! Sockets: streams and datagrams over IPv4, IPv6 and Unix addresses.

#[cfg(unix)]
mod membership;
mod options;
#[cfg(unix)]
mod tune;

use std::sync::Arc;

use super::{Address, Home, Resource};
use crate::backend::Descriptor;
#[cfg(unix)]
use crate::fault;
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

#[cfg(unix)]
impl Socket {
    pub(crate) fn create(home: Home, domain: Domain, kind: SocketType, options: &SocketOptions) -> Result<Socket> {
        use std::os::fd::IntoRawFd;
        let failed = |error: std::io::Error| Status::from_io_error(Operation::SocketCreate, &error);
        let new = || socket2::Socket::new(family(domain), type_of(kind), None);
        let socket = fault::tried_io(new).map_err(failed)?;
        if home.mode == crate::backend::DescriptorMode::NonBlocking {
            fault::tried_io(|| socket.set_nonblocking(true)).map_err(failed)?;
        }
        fault::tried_io(|| options.apply(&socket, domain, kind))
            .map_err(|error| Status::from_io_error(Operation::SocketOption, &error))?;
        Ok(Socket::own(home, Descriptor(socket.into_raw_fd().into()), domain, kind))
    }

    pub(crate) fn pair(home: Home, kind: SocketType) -> Result<(Socket, Socket)> {
        use std::os::fd::IntoRawFd;
        let failed = |error: std::io::Error| Status::from_io_error(Operation::SocketCreate, &error);
        let new = || socket2::Socket::pair(socket2::Domain::UNIX, type_of(kind), None);
        let (one, two) = fault::tried_io(new).map_err(failed)?;
        if home.mode == crate::backend::DescriptorMode::NonBlocking {
            fault::tried_io(|| one.set_nonblocking(true)).map_err(failed)?;
            fault::tried_io(|| two.set_nonblocking(true)).map_err(failed)?;
        }
        let own = |socket: socket2::Socket| {
            let socket = Socket::own(home, Descriptor(socket.into_raw_fd().into()), Domain::Unix, kind);
            socket.note_connected();
            socket
        };
        Ok((own(one), own(two)))
    }

    fn with_socket<R>(
        &self,
        operation: Operation,
        f: impl FnOnce(socket2::SockRef<'_>) -> std::io::Result<R>,
    ) -> Result<R> {
        self.resource.with(operation, |descriptor| {
            // SAFETY: the resource keeps the descriptor open while it is used, which is for the call of `f`.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
            let answer = fault::tried_io(|| f(socket2::SockRef::from(&fd)));
            answer.map_err(|error| Status::from_io_error(operation, &error))
        })
    }

    /// Binds to a local address; port 0 lets the system choose.
    ///
    /// # Errors
    /// `AlreadyExists` when the address is in use, `PermissionDenied` for a port below the system's limit,
    /// `InvalidArgument` when the socket is bound already.
    pub fn bind(&self, address: &Address) -> Result<()> {
        let raw = address.to_socket2()?;
        self.with_socket(Operation::SocketBind, |socket| socket.bind(&raw))
            .map_err(|status| status.with_context(format!("{address}")))
    }

    /// Starts to listen. `backlog` 0 means the system's largest. A socket that is not bound gets a port that the system
    /// chooses; one that listens already takes the new backlog.
    ///
    /// # Errors
    /// `AlreadyExists` when the address is in use, `Unavailable` or `InvalidArgument` for a socket that cannot listen,
    /// `FailedPrecondition` once it is closed.
    pub fn listen(&self, backlog: u32) -> Result<()> {
        let backlog = match backlog {
            0 => libc::SOMAXCONN,
            some => some.min(libc::SOMAXCONN as u32) as i32,
        };
        self.with_socket(Operation::SocketListen, |socket| socket.listen(backlog))
    }

    /// The local address; of a socket that was never bound, the family's wildcard or [`Address::Unnamed`].
    ///
    /// # Errors
    /// `FailedPrecondition` once it is closed.
    pub fn local_address(&self) -> Result<Address> {
        let address = self.with_socket(Operation::SocketOption, |socket| socket.local_addr())?;
        Address::from_socket2(&address)
    }

    /// The peer's address. `FailedPrecondition` when there is none.
    pub fn peer_address(&self) -> Result<Address> {
        let address = self.with_socket(Operation::SocketOption, |socket| socket.peer_addr())?;
        Address::from_socket2(&address)
    }

    /// What it is at the moment.
    pub fn state(&self) -> SocketState {
        // A closed resource has no descriptor to ask.
        let listens = self.integer_option(libc::SOL_SOCKET, libc::SO_ACCEPTCONN);
        match listens {
            Err(status) if status.os_error().is_none() => SocketState::Closed,
            _ if self.resource.is_closing() => SocketState::Closing,
            Ok(1) => SocketState::Listening,
            _ if self.resource.keeps_failures() || self.peer_address().is_ok() => SocketState::Connected,
            _ => SocketState::Created,
        }
    }

    /// Ends one direction, or both, at once; also of a socket that [has failed](Socket::failure). Pending operations of
    /// that direction end.
    ///
    /// # Errors
    /// `FailedPrecondition` when the socket is not connected.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        let how = match how {
            Shutdown::Receive => std::net::Shutdown::Read,
            Shutdown::Send => std::net::Shutdown::Write,
            Shutdown::Both => std::net::Shutdown::Both,
        };
        // Linux lets a Unix stream without a peer be shut down, and refuses it of every other socket.
        let unix = self.domain == Domain::Unix && self.kind == SocketType::Stream;
        let must_have_peer = unix && self.integer_option(libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? == 0;
        self.with_socket(Operation::SocketShutdown, |socket| {
            if must_have_peer {
                socket.peer_addr()?;
            }
            socket.shutdown(how)
        })
    }

    /// Runs `f` with the socket's descriptor, which cannot be closed meanwhile. Fails with `FailedPrecondition` once
    /// the socket is closed. Do not change its blocking mode: the backend relies on it. `f` must neither poll nor
    /// use the socket in another way: a close would wait for it, and it for the close.
    pub fn try_with_fd<R>(&self, f: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> R) -> Result<R> {
        self.resource.with(Operation::None, |descriptor| {
            // SAFETY: as in `with_socket`.
            Ok(f(unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) }))
        })
    }
}

#[cfg(unix)]
fn family(domain: Domain) -> socket2::Domain {
    match domain {
        Domain::Ipv4 => socket2::Domain::IPV4,
        Domain::Ipv6 => socket2::Domain::IPV6,
        Domain::Unix => socket2::Domain::UNIX,
    }
}

#[cfg(unix)]
fn type_of(kind: SocketType) -> socket2::Type {
    match kind {
        SocketType::Stream => socket2::Type::STREAM,
        SocketType::Datagram => socket2::Type::DGRAM,
    }
}

#[cfg(not(unix))]
impl Socket {
    pub(crate) fn create(_: Home, _: Domain, _: SocketType, _: &SocketOptions) -> Result<Socket> {
        Err(unavailable(Operation::SocketCreate))
    }

    pub(crate) fn pair(_: Home, _: SocketType) -> Result<(Socket, Socket)> {
        Err(unavailable(Operation::SocketCreate))
    }

    /// Binds to a local address. Always `Unavailable` here.
    pub fn bind(&self, _: &Address) -> Result<()> {
        Err(unavailable(Operation::SocketBind))
    }

    /// Starts to listen. Always `Unavailable` here.
    pub fn listen(&self, _: u32) -> Result<()> {
        Err(unavailable(Operation::SocketListen))
    }

    /// The local address. Always `Unavailable` here.
    pub fn local_address(&self) -> Result<Address> {
        Err(unavailable(Operation::SocketOption))
    }

    /// The peer's address. Always `Unavailable` here.
    pub fn peer_address(&self) -> Result<Address> {
        Err(unavailable(Operation::SocketOption))
    }

    /// Sends small segments at once, or gathers them. Always `Unavailable` here.
    pub fn set_no_delay(&self, _: bool) -> Result<()> {
        Err(unavailable(Operation::SocketOption))
    }

    /// Ends one direction, or both, at once. Always `Unavailable` here.
    pub fn shutdown(&self, _: Shutdown) -> Result<()> {
        Err(unavailable(Operation::SocketShutdown))
    }
}

#[cfg(not(unix))]
#[track_caller]
fn unavailable(operation: Operation) -> Status {
    Status::new(Code::Unavailable, operation).with_message("no sockets on this system yet")
}
