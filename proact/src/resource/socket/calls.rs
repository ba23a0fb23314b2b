//! The calls of a socket that are the operating system's.

use super::{Domain, Shutdown, Socket, SocketOptions, SocketType};
use crate::backend::Descriptor;
use crate::fault;
use crate::resource::{Address, Home};
use crate::status::{Operation, Result, Status};

impl Socket {
    pub(super) fn call_create(home: Home, domain: Domain, kind: SocketType, options: &SocketOptions) -> Result<Socket> {
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

    pub(super) fn call_pair(home: Home, kind: SocketType) -> Result<(Socket, Socket)> {
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

    pub(super) fn with_socket<R>(
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

    pub(super) fn call_bind(&self, address: &Address) -> Result<()> {
        let raw = address.to_socket2()?;
        self.with_socket(Operation::SocketBind, |socket| socket.bind(&raw))
    }

    pub(super) fn call_listen(&self, backlog: u32) -> Result<()> {
        let backlog = match backlog {
            0 => libc::SOMAXCONN,
            some => some.min(libc::SOMAXCONN as u32) as i32,
        };
        self.with_socket(Operation::SocketListen, |socket| socket.listen(backlog))
    }

    pub(super) fn call_local_address(&self) -> Result<Address> {
        let address = self.with_socket(Operation::SocketOption, |socket| socket.local_addr())?;
        Address::from_socket2(&address)
    }

    pub(super) fn call_peer_address(&self) -> Result<Address> {
        let address = self.with_socket(Operation::SocketOption, |socket| socket.peer_addr())?;
        Address::from_socket2(&address)
    }

    pub(super) fn call_listens(&self) -> Result<bool> {
        Ok(self.integer_option(libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? == 1)
    }

    pub(super) fn call_shutdown(&self, how: Shutdown) -> Result<()> {
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

fn family(domain: Domain) -> socket2::Domain {
    match domain {
        Domain::Ipv4 => socket2::Domain::IPV4,
        Domain::Ipv6 => socket2::Domain::IPV6,
        Domain::Unix => socket2::Domain::UNIX,
    }
}

fn type_of(kind: SocketType) -> socket2::Type {
    match kind {
        SocketType::Stream => socket2::Type::STREAM,
        SocketType::Datagram => socket2::Type::DGRAM,
    }
}
