//! Stream sockets.

use std::sync::Arc;

use super::{Address, Home, Resource};
use crate::backend::Descriptor;
#[cfg(not(unix))]
use crate::status::Code;
use crate::status::{Operation, Result, Status};

/// Which family of stream socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Domain {
    /// TCP over IPv4.
    Ipv4,
    /// TCP over IPv6 alone (no IPv4 through it).
    Ipv6,
    /// Unix stream.
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

/// How a socket is made. Those for TCP are ignored by Unix sockets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SocketOptions {
    /// Lets a listener bind a port that closed connections still hold (`SO_REUSEADDR`).
    pub reuse_address: bool,
    /// Lets several listeners share one port (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Sends small segments at once (`TCP_NODELAY`).
    pub no_delay: bool,
    /// Probes an idle peer (`SO_KEEPALIVE`).
    pub keep_alive: bool,
    /// The kernel's send buffer in bytes, if not its own choice (`SO_SNDBUF`; Linux doubles it).
    pub send_buffer: Option<usize>,
    /// The kernel's receive buffer in bytes, if not its own choice (`SO_RCVBUF`; Linux doubles it).
    pub receive_buffer: Option<usize>,
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

/// A stream socket: a listener, or one end of a connection.
///
/// Made by [`Handle::socket`](crate::proactor::Handle::socket), [`Handle::listen`](crate::proactor::Handle::listen) or
/// an [`Accept`](crate::operation::Accept). A clone is another handle to the same socket. Sends go out in the order in
/// which they were submitted, and receives are filled in that order: the socket is a FIFO each way.
#[derive(Clone, Debug)]
pub struct Socket {
    resource: Arc<Resource>,
}

impl Socket {
    pub(crate) fn adopt(home: Home, descriptor: Descriptor) -> Socket {
        Socket { resource: Arc::new(Resource::adopt(home, descriptor)) }
    }

    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Why transfers on the socket fail for good, if one has failed: the first failure, which stays. Sends are refused
    /// with it; receives still try, since data that the peer sent before may be there.
    pub fn failure(&self) -> Option<Status> {
        self.resource.failure().cloned()
    }
}

#[cfg(unix)]
impl Socket {
    pub(crate) fn create(home: Home, domain: Domain, options: &SocketOptions) -> Result<Socket> {
        use std::os::fd::IntoRawFd;
        let failed = |error: std::io::Error| Status::from_io_error(Operation::SocketCreate, &error);
        let (family, protocol) = match domain {
            Domain::Ipv4 => (socket2::Domain::IPV4, Some(socket2::Protocol::TCP)),
            Domain::Ipv6 => (socket2::Domain::IPV6, Some(socket2::Protocol::TCP)),
            Domain::Unix => (socket2::Domain::UNIX, None),
        };
        let socket = socket2::Socket::new(family, socket2::Type::STREAM, protocol).map_err(failed)?;
        if home.mode == crate::backend::DescriptorMode::NonBlocking {
            socket.set_nonblocking(true).map_err(failed)?;
        }
        let set = || -> std::io::Result<()> {
            if domain == Domain::Ipv6 {
                socket.set_only_v6(true)?;
            }
            if let Some(bytes) = options.send_buffer {
                socket.set_send_buffer_size(bytes)?;
            }
            if let Some(bytes) = options.receive_buffer {
                socket.set_recv_buffer_size(bytes)?;
            }
            if domain != Domain::Unix {
                if options.reuse_address {
                    socket.set_reuse_address(true)?;
                }
                if options.reuse_port {
                    socket.set_reuse_port(true)?;
                }
                if options.no_delay {
                    socket.set_tcp_nodelay(true)?;
                }
                if options.keep_alive {
                    socket.set_keepalive(true)?;
                }
            }
            Ok(())
        };
        set().map_err(|error| Status::from_io_error(Operation::SocketOption, &error))?;
        Ok(Socket::adopt(home, Descriptor(socket.into_raw_fd().into())))
    }

    fn with_socket<R>(
        &self,
        operation: Operation,
        f: impl FnOnce(socket2::SockRef<'_>) -> std::io::Result<R>,
    ) -> Result<R> {
        self.resource.with(operation, |descriptor| {
            // SAFETY: the resource keeps the descriptor open while its lock is held, which is for the call of `f`.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
            f(socket2::SockRef::from(&fd)).map_err(|error| Status::from_io_error(operation, &error))
        })
    }

    /// Binds to a local address; port 0 lets the system choose.
    ///
    /// # Errors
    /// `AlreadyExists` when the address is in use, `PermissionDenied` for a port below the system's limit.
    pub fn bind(&self, address: &Address) -> Result<()> {
        let raw = address.to_socket2()?;
        self.with_socket(Operation::SocketBind, |socket| socket.bind(&raw))
            .map_err(|status| status.with_context(format!("{address}")))
    }

    /// Starts to listen. `backlog` 0 means the system's largest.
    pub fn listen(&self, backlog: u32) -> Result<()> {
        let backlog = match backlog {
            0 => libc::SOMAXCONN,
            some => some.min(libc::SOMAXCONN as u32) as i32,
        };
        self.with_socket(Operation::SocketListen, |socket| socket.listen(backlog))
    }

    /// The local address.
    pub fn local_address(&self) -> Result<Address> {
        let address = self.with_socket(Operation::SocketOption, |socket| socket.local_addr())?;
        Ok(Address::from_socket2(&address))
    }

    /// The peer's address. `FailedPrecondition` when there is none.
    pub fn peer_address(&self) -> Result<Address> {
        let address = self.with_socket(Operation::SocketOption, |socket| socket.peer_addr())?;
        Ok(Address::from_socket2(&address))
    }

    /// Sends small segments at once, or gathers them (`TCP_NODELAY`).
    pub fn set_no_delay(&self, on: bool) -> Result<()> {
        self.with_socket(Operation::SocketOption, |socket| socket.set_tcp_nodelay(on))
    }

    /// Ends one direction, or both, at once. `FailedPrecondition` when the socket is not connected.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        let how = match how {
            Shutdown::Receive => std::net::Shutdown::Read,
            Shutdown::Send => std::net::Shutdown::Write,
            Shutdown::Both => std::net::Shutdown::Both,
        };
        self.with_socket(Operation::SocketShutdown, |socket| socket.shutdown(how))
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

#[cfg(not(unix))]
impl Socket {
    pub(crate) fn create(_: Home, _: Domain, _: &SocketOptions) -> Result<Socket> {
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
