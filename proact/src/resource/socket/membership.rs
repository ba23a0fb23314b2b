//! Multicast: which groups a socket hears, and how far what it sends goes.

use std::net::IpAddr;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::AsRawFd;

use super::{Domain, Socket};
use crate::status::{Code, Operation, Result, Status};

/// Interfaces are named by their index, which [`interface_index`](crate::resource::interface_index) tells; 0 leaves the
/// choice to the system. The group's family must be the socket's: `InvalidArgument` otherwise.
impl Socket {
    /// Receives what is sent to `group`, on this interface (`IP_ADD_MEMBERSHIP`, `IPV6_JOIN_GROUP`).
    ///
    /// # Errors
    /// `AlreadyExists` when it has joined already, `NotFound` when there is no such interface.
    pub fn join_group(&self, group: IpAddr, interface: u32) -> Result<()> {
        self.membership(group, |socket| match group {
            IpAddr::V4(group) => socket.join_multicast_v4_n(&group, &by_index(interface)),
            IpAddr::V6(group) => socket.join_multicast_v6(&group, interface),
        })
        // Linux tells of both by names that stand for something else as a rule: the address is in use, or is none.
        .map_err(|status| status.with_context(format!("{group}")))
    }

    /// Receives what is sent to `group` no more.
    ///
    /// # Errors
    /// `Unavailable` when it was not a member (`EADDRNOTAVAIL`).
    pub fn leave_group(&self, group: IpAddr, interface: u32) -> Result<()> {
        self.membership(group, |socket| match group {
            IpAddr::V4(group) => socket.leave_multicast_v4_n(&group, &by_index(interface)),
            IpAddr::V6(group) => socket.leave_multicast_v6(&group, interface),
        })
        .map_err(|status| status.with_context(format!("{group}")))
    }

    fn membership(&self, group: IpAddr, f: impl FnOnce(socket2::SockRef<'_>) -> std::io::Result<()>) -> Result<()> {
        let fits = match group {
            IpAddr::V4(_) => self.domain == Domain::Ipv4,
            IpAddr::V6(_) => self.domain == Domain::Ipv6,
        };
        let why = match (fits, group.is_multicast()) {
            (true, true) => return self.with_socket(Operation::SocketOption, f),
            (false, _) => "the group is of another family than the socket",
            (_, false) => "not a multicast address",
        };
        Err(Status::new(Code::InvalidArgument, Operation::SocketOption).with_message(why))
    }

    /// Whether members on this machine hear what the socket sends (`IP_MULTICAST_LOOP`, `IPV6_MULTICAST_LOOP`; on
    /// at first).
    pub fn set_multicast_loop(&self, on: bool) -> Result<()> {
        self.by_domain(|socket| socket.set_multicast_loop_v4(on), |socket| socket.set_multicast_loop_v6(on))
    }

    /// Whether members on this machine hear what the socket sends.
    pub fn multicast_loop(&self) -> Result<bool> {
        self.by_domain(|socket| socket.multicast_loop_v4(), |socket| socket.multicast_loop_v6())
    }

    /// How many hops what is sent to groups may take (`IP_MULTICAST_TTL`, `IPV6_MULTICAST_HOPS`; 1 at first, which
    /// stays on the network).
    pub fn set_multicast_hops(&self, hops: u8) -> Result<()> {
        self.by_domain(
            |socket| socket.set_multicast_ttl_v4(hops.into()),
            |socket| socket.set_multicast_hops_v6(hops.into()),
        )
    }

    /// How many hops what is sent to groups may take.
    pub fn multicast_hops(&self) -> Result<u32> {
        self.by_domain(|socket| socket.multicast_ttl_v4(), |socket| socket.multicast_hops_v6())
    }

    /// Which interface what is sent to groups leaves by (`IP_MULTICAST_IF`, `IPV6_MULTICAST_IF`).
    ///
    /// # Errors
    /// `Unavailable` for IPv4 on systems other than Linux, which know it by address alone.
    pub fn set_multicast_interface(&self, interface: u32) -> Result<()> {
        self.by_domain(|socket| leave_by_index(socket, interface), |socket| socket.set_multicast_if_v6(interface))
    }

    fn by_domain<R>(
        &self,
        v4: impl FnOnce(&socket2::SockRef<'_>) -> std::io::Result<R>,
        v6: impl FnOnce(&socket2::SockRef<'_>) -> std::io::Result<R>,
    ) -> Result<R> {
        self.with_socket(Operation::SocketOption, |socket| match self.domain {
            Domain::Ipv4 => v4(&socket),
            Domain::Ipv6 => v6(&socket),
            Domain::Unix => Err(std::io::Error::from_raw_os_error(libc::EOPNOTSUPP)),
        })
    }
}

fn by_index(interface: u32) -> socket2::InterfaceIndexOrAddress {
    socket2::InterfaceIndexOrAddress::Index(interface)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn leave_by_index(socket: &socket2::SockRef<'_>, interface: u32) -> std::io::Result<()> {
    let any = libc::in_addr { s_addr: 0 };
    let request = libc::ip_mreqn { imr_multiaddr: any, imr_address: any, imr_ifindex: interface as libc::c_int };
    // SAFETY: `request` is what this option takes, and has the length that is said.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_MULTICAST_IF,
            (&raw const request).cast(),
            size_of_val(&request) as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn leave_by_index(_: &socket2::SockRef<'_>, _: u32) -> std::io::Result<()> {
    Err(std::io::Error::from_raw_os_error(libc::EOPNOTSUPP))
}
