//! How a socket is made.

use std::time::Duration;

#[cfg(unix)]
use super::{Domain, SocketType};

/// When to probe an idle peer, and when to give it up. Absent times are the system's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KeepAlive {
    /// How long nothing must have come before the first probe (`TCP_KEEPIDLE`; whole seconds, at least 1).
    pub idle: Option<Duration>,
    /// Between two probes (`TCP_KEEPINTVL`; whole seconds, at least 1).
    pub interval: Option<Duration>,
    /// Unanswered probes before the connection is given up (`TCP_KEEPCNT`).
    pub probes: Option<u32>,
}

/// How a socket is made: set before it binds or connects. What a socket has no use for is ignored: those for TCP by
/// datagrams and Unix sockets, `broadcast` by all but IPv4 datagrams, and so on.
///
/// Connections that a listener accepts inherit on Linux all that is set on the listener: buffers, `no_delay`,
/// keep-alive with its times, linger, zero copy and the hop limit (`reuse_address` and `reuse_port` too, which mean
/// nothing to them).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SocketOptions {
    /// Lets a listener bind a port that closed connections still hold (`SO_REUSEADDR`).
    pub reuse_address: bool,
    /// Lets several sockets share one port (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Sends small segments at once (`TCP_NODELAY`).
    pub no_delay: bool,
    /// Probes an idle peer (`SO_KEEPALIVE`).
    pub keep_alive: bool,
    /// When it is probed, if not at the system's times; turns `keep_alive` on.
    pub keep_alive_times: Option<KeepAlive>,
    /// Allows sends without a copy into the kernel (`SO_ZEROCOPY`, Linux 4.14). A hint: where the system knows nothing
    /// of it, it is no error.
    pub zero_copy: bool,
    /// Resets the connection on close instead of sending what is left (`SO_LINGER`, on, 0 seconds): the peer sees a
    /// failure and not an end.
    pub linger_zero: bool,
    /// Allows datagrams to broadcast addresses (`SO_BROADCAST`, IPv4).
    pub broadcast: bool,
    /// Lets an IPv6 socket speak IPv4 too, by mapped addresses (`IPV6_V6ONLY` off). Without it each family is alone.
    pub dual_stack: bool,
    /// Hops that a packet may take, if not the system's number (`IP_TTL`, `IPV6_UNICAST_HOPS`).
    pub hops: Option<u8>,
    /// The kernel's send buffer in bytes, if not its own choice (`SO_SNDBUF`; Linux doubles it).
    pub send_buffer: Option<usize>,
    /// The kernel's receive buffer in bytes, if not its own choice (`SO_RCVBUF`; Linux doubles it).
    pub receive_buffer: Option<usize>,
}

#[cfg(unix)]
impl SocketOptions {
    pub(super) fn apply(&self, socket: &socket2::Socket, domain: Domain, kind: SocketType) -> std::io::Result<()> {
        if domain == Domain::Ipv6 {
            socket.set_only_v6(!self.dual_stack)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if self.zero_copy {
            allow_zero_copy(socket);
        }
        if domain == Domain::Unix {
            return Ok(());
        }
        if self.reuse_address {
            socket.set_reuse_address(true)?;
        }
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if let Some(hops) = self.hops {
            match domain {
                Domain::Ipv6 => socket.set_unicast_hops_v6(hops.into())?,
                _ => socket.set_ttl_v4(hops.into())?,
            }
        }
        match kind {
            SocketType::Stream => self.apply_to_tcp(socket),
            SocketType::Datagram if self.broadcast && domain == Domain::Ipv4 => socket.set_broadcast(true),
            SocketType::Datagram => Ok(()),
        }
    }

    fn apply_to_tcp(&self, socket: &socket2::Socket) -> std::io::Result<()> {
        if self.no_delay {
            socket.set_tcp_nodelay(true)?;
        }
        if self.keep_alive {
            socket.set_keepalive(true)?;
        }
        if let Some(times) = self.keep_alive_times {
            set_keep_alive_times(&socket2::SockRef::from(socket), &times)?;
        }
        if self.linger_zero {
            socket.set_linger(Some(Duration::ZERO))?;
        }
        Ok(())
    }
}

#[cfg(unix)]
pub(super) fn set_keep_alive_times(socket: &socket2::SockRef<'_>, times: &KeepAlive) -> std::io::Result<()> {
    let mut keep = socket2::TcpKeepalive::new();
    if let Some(idle) = times.idle {
        keep = keep.with_time(idle);
    }
    if let Some(interval) = times.interval {
        keep = keep.with_interval(interval);
    }
    if let Some(probes) = times.probes {
        keep = keep.with_retries(probes);
    }
    socket.set_tcp_keepalive(&keep)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn allow_zero_copy(socket: &socket2::Socket) {
    #[cfg(target_os = "linux")]
    use libc::SO_ZEROCOPY;
    use std::os::fd::AsRawFd;
    /// The number of all of Android's processors; its `libc` has no name for it.
    #[cfg(target_os = "android")]
    const SO_ZEROCOPY: libc::c_int = 60;
    let on: libc::c_int = 1;
    // A hint: kernels and families that do not know it go on without.
    // SAFETY: the value is an integer of the size that is said, and the descriptor the socket's.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_ZEROCOPY,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
fn allow_zero_copy(_: &socket2::Socket) {}
