//! Options of a socket that is there already, and what the kernel says of it.

use std::os::fd::AsRawFd;
use std::time::Duration;

use super::options::{KeepAlive, set_keep_alive_times};
use super::{Domain, Socket};
use crate::backend::SocketOption;
use crate::status::{Code, Operation, Result, Status};

/// Every call works at once, from any thread. `FailedPrecondition` once the socket is closed; otherwise what the system
/// answers, which for an option that the socket's kind does not have is `Unavailable` or `InvalidArgument`.
impl Socket {
    fn option<R>(&self, f: impl FnOnce(socket2::SockRef<'_>) -> std::io::Result<R>) -> Result<R> {
        self.with_socket(Operation::SocketOption, f)
    }

    /// Sends small segments at once, or gathers them (`TCP_NODELAY`).
    pub fn set_no_delay(&self, on: bool) -> Result<()> {
        if self.resource.is_own() {
            let option = SocketOption::NoDelay(on);
            return self.resource.own(Operation::SocketOption, |system, socket| system.set_option(socket, option));
        }
        self.option(|socket| socket.set_tcp_nodelay(on))
    }

    /// Whether small segments go at once.
    pub fn no_delay(&self) -> Result<bool> {
        self.option(|socket| socket.tcp_nodelay())
    }

    /// Probes an idle peer, or does not (`SO_KEEPALIVE`).
    pub fn set_keep_alive(&self, on: bool) -> Result<()> {
        self.option(|socket| socket.set_keepalive(on))
    }

    /// Whether an idle peer is probed.
    pub fn keep_alive(&self) -> Result<bool> {
        self.option(|socket| socket.keepalive())
    }

    /// When an idle peer is probed; turns probing on.
    pub fn set_keep_alive_times(&self, times: &KeepAlive) -> Result<()> {
        self.option(|socket| set_keep_alive_times(&socket, times))
    }

    /// How long a close waits for what was sent to be acknowledged (`SO_LINGER`): `None` not at all, zero resets the
    /// connection instead.
    pub fn set_linger(&self, linger: Option<Duration>) -> Result<()> {
        if self.resource.is_own() && linger.is_none_or(|time| time.is_zero()) {
            let option = SocketOption::ResetOnClose(linger.is_some());
            return self.resource.own(Operation::SocketOption, |system, socket| system.set_option(socket, option));
        }
        self.option(|socket| socket.set_linger(linger))
    }

    /// How long a close waits.
    pub fn linger(&self) -> Result<Option<Duration>> {
        self.option(|socket| socket.linger())
    }

    /// Asks for a send buffer of so many bytes (`SO_SNDBUF`; Linux doubles it, and has limits both ways).
    pub fn set_send_buffer(&self, bytes: usize) -> Result<()> {
        self.option(|socket| socket.set_send_buffer_size(bytes))
    }

    /// The send buffer that the kernel really has, in bytes.
    pub fn send_buffer(&self) -> Result<usize> {
        self.option(|socket| socket.send_buffer_size())
    }

    /// Asks for a receive buffer of so many bytes (`SO_RCVBUF`; Linux doubles it, and has limits both ways).
    pub fn set_receive_buffer(&self, bytes: usize) -> Result<()> {
        self.option(|socket| socket.set_recv_buffer_size(bytes))
    }

    /// The receive buffer that the kernel really has, in bytes.
    pub fn receive_buffer(&self) -> Result<usize> {
        self.option(|socket| socket.recv_buffer_size())
    }

    /// Hops that a packet to one host may take (`IP_TTL`, `IPV6_UNICAST_HOPS`).
    pub fn set_hops(&self, hops: u8) -> Result<()> {
        self.option(|socket| match self.domain {
            Domain::Ipv6 => socket.set_unicast_hops_v6(hops.into()),
            _ => socket.set_ttl_v4(hops.into()),
        })
    }

    /// Hops that a packet to one host may take.
    pub fn hops(&self) -> Result<u32> {
        self.option(|socket| match self.domain {
            Domain::Ipv6 => socket.unicast_hops_v6(),
            _ => socket.ttl_v4(),
        })
    }

    /// Allows datagrams to broadcast addresses, or refuses them (`SO_BROADCAST`).
    pub fn set_broadcast(&self, on: bool) -> Result<()> {
        self.option(|socket| socket.set_broadcast(on))
    }

    /// Whether datagrams may go to broadcast addresses.
    pub fn broadcast(&self) -> Result<bool> {
        self.option(|socket| socket.broadcast())
    }

    /// Takes the error that the kernel has noted for the socket (`SO_ERROR`), which is reset by it. `None`: there is
    /// none. Other than [`Socket::failure`] it is what the *next* transfer would have failed with.
    pub fn take_error(&self) -> Result<Option<Status>> {
        let error = self.option(|socket| socket.take_error())?;
        Ok(error.map(|error| Status::from_io_error(Operation::SocketOption, &error)))
    }

    /// An option by the system's numbers, of those that are one integer. For options of other forms see
    /// [`Socket::try_with_fd`].
    ///
    /// ```
    /// let proactor = proact::proactor::Builder::new().build().unwrap();
    /// let domain = proact::resource::Domain::Ipv4;
    /// let socket = proactor.handle().socket(domain, &proact::resource::SocketOptions::default()).unwrap();
    /// socket.set_integer_option(libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1).unwrap();
    /// assert_eq!(socket.integer_option(libc::SOL_SOCKET, libc::SO_KEEPALIVE).unwrap(), 1);
    /// assert!(socket.keep_alive().unwrap());
    /// ```
    pub fn integer_option(&self, level: i32, name: i32) -> Result<i32> {
        let mut value: libc::c_int = 0;
        let mut length = size_of_val(&value) as libc::socklen_t;
        self.option(|socket| {
            // SAFETY: `value` has the `length` bytes that it says, and any bytes are an integer.
            let answer = unsafe {
                let room = (&raw mut value).cast();
                libc::getsockopt(socket.as_raw_fd(), level, name, room, &raw mut length)
            };
            if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        })?;
        Ok(value)
    }

    /// Sets an option by the system's numbers, of those that are one integer.
    pub fn set_integer_option(&self, level: i32, name: i32, value: i32) -> Result<()> {
        self.option(|socket| set_integer(socket.as_raw_fd(), level, name, value))
    }

    /// Bytes that the send buffer has room for at the moment: 0 when a send would wait. `None` where the system does
    /// not tell (all but Linux). A hint for back-pressure, not a promise: the kernel counts its own overhead as well.
    ///
    /// # Errors
    /// The socket's [failure](Socket::failure), once it has failed.
    pub fn send_space(&self) -> Result<Option<usize>> {
        if let Some(status) = self.failure() {
            return Err(status);
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return self.option(|socket| {
            let mut queued: libc::c_int = 0;
            // SAFETY: this request writes one integer, to where there is one. (Elsewhere SIOCOUTQ is its name.)
            if unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut queued) } != 0 {
                return Err(std::io::Error::last_os_error());
            }
            // What the kernel calls the buffer is twice what was asked for, the other half for its bookkeeping.
            Ok(Some((socket.send_buffer_size()? / 2).saturating_sub(queued.max(0) as usize)))
        });
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        Ok(None)
    }

    /// Lets the kernel hand over several datagrams of one sender as one, cut into segments of equal length
    /// (`UDP_GRO`, Linux 5.0). [`ReceiveFrom`](crate::operation::ReceiveFrom) tells the segments' length; buffers
    /// should have room for 64 KiB.
    ///
    /// # Errors
    /// `Unavailable` on other systems and for sockets other than UDP.
    pub fn set_receive_offload(&self, on: bool) -> Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if self.kind == super::SocketType::Datagram && self.domain != Domain::Unix {
            return self.set_integer_option(libc::SOL_UDP, libc::UDP_GRO, on.into());
        }
        let _ = on;
        Err(Status::new(Code::Unavailable, Operation::SocketOption)
            .with_message("only UDP on Linux gathers received datagrams"))
    }
}

pub(super) fn set_integer(fd: i32, level: i32, name: i32, value: i32) -> std::io::Result<()> {
    let length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: `value` has the `length` bytes that it says.
    let answer = unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), length) };
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}
