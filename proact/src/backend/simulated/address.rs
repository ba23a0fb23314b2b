//! Addresses as the simulated network knows them, from and to the bytes that requests carry.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::errno::{EAFNOSUPPORT, EINVAL};
use crate::backend::{Family, RawAddress};

/// Where a socket is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Name {
    /// An IP address and port.
    Ip(SocketAddr),
    /// A Unix socket's path, or a name behind a NUL byte.
    Path(Vec<u8>),
    /// A Unix socket without a name.
    Unnamed,
}

#[cfg(unix)]
const FAMILIES: [u16; 3] = [libc::AF_UNIX as u16, libc::AF_INET as u16, libc::AF_INET6 as u16];
#[cfg(not(unix))]
const FAMILIES: [u16; 3] = [1, 2, 10];

/// Systems of the BSD family begin an address with its length, a byte, and have one byte for the family.
const HAS_LENGTH: bool = cfg!(any(
    target_vendor = "apple",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
    target_os = "dragonfly"
));

impl Name {
    /// The wildcard of a family: what a socket that was never bound says of itself.
    pub(super) fn any(family: Family) -> Name {
        match family {
            Family::Ipv4 => Name::Ip(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)),
            Family::Ipv6 => Name::Ip(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0)),
            Family::Unix => Name::Unnamed,
        }
    }

    pub(super) fn from_raw(raw: &RawAddress) -> Result<Name, i32> {
        let bytes = raw.bytes.get(..raw.length as usize).ok_or(EINVAL)?;
        let Some((head, rest)) = bytes.split_first_chunk::<2>() else { return Ok(Name::Unnamed) };
        let family = if HAS_LENGTH { u16::from(head[1]) } else { u16::from_ne_bytes(*head) };
        let port = || rest.first_chunk::<2>().map(|port| u16::from_be_bytes(*port)).ok_or(EINVAL);
        match FAMILIES.iter().position(|known| *known == family) {
            Some(0) => Ok(match rest {
                [] => Name::Unnamed,
                [0, ..] => Name::Path(rest.to_vec()),
                path => Name::Path(path.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()),
            }),
            Some(1) => {
                let ip = rest.get(2..).and_then(<[u8]>::first_chunk::<4>).ok_or(EINVAL)?;
                Ok(Name::Ip(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(*ip)), port()?)))
            }
            Some(2) => {
                let ip = rest.get(6..).and_then(<[u8]>::first_chunk::<16>).ok_or(EINVAL)?;
                Ok(Name::Ip(SocketAddr::new(IpAddr::V6(Ipv6Addr::from(*ip)), port()?)))
            }
            _ => Err(EAFNOSUPPORT),
        }
    }

    pub(super) fn to_raw(&self) -> RawAddress {
        let mut raw = RawAddress::EMPTY;
        let (family, rest) = match self {
            // As Linux tells of a sender or peer without a name.
            Name::Unnamed => (FAMILIES[0], Vec::new()),
            Name::Path(path) => (FAMILIES[0], path.clone()),
            Name::Ip(address) => {
                let port = address.port().to_be_bytes();
                match address.ip() {
                    IpAddr::V4(ip) => (FAMILIES[1], [&port[..], &ip.octets(), &[0; 8]].concat()),
                    IpAddr::V6(ip) => (FAMILIES[2], [&port[..], &[0; 4], &ip.octets(), &[0; 4]].concat()),
                }
            }
        };
        let length = (2 + rest.len()).min(raw.bytes.len());
        raw.bytes[2..length].copy_from_slice(&rest[..length - 2]);
        let head = if HAS_LENGTH { [length as u8, family as u8] } else { family.to_ne_bytes() };
        raw.bytes[..2].copy_from_slice(&head);
        raw.length = length as u32;
        raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_comes_back_from_its_bytes() {
        let forms = ["127.0.0.1:80", "[::1]:7000", "[fd00::2]:1"].map(|text| Name::Ip(text.parse().unwrap()));
        let paths = [Name::Path(b"/a/b".to_vec()), Name::Path(b"\0abstract".to_vec()), Name::Unnamed];
        for name in forms.into_iter().chain(paths) {
            assert_eq!(Name::from_raw(&name.to_raw()), Ok(name));
        }
    }

    #[test]
    fn bytes_that_are_no_address_are_refused() {
        let mut raw = RawAddress::EMPTY;
        raw.length = 129;
        assert_eq!(Name::from_raw(&raw), Err(EINVAL));
        raw.length = 4;
        raw.bytes[..2].copy_from_slice(&Name::Ip("1.2.3.4:5".parse().unwrap()).to_raw().bytes[..2]);
        assert_eq!(Name::from_raw(&raw), Err(EINVAL), "cut in the middle");
        raw.bytes[..2].copy_from_slice(&[77, 77]);
        assert_eq!(Name::from_raw(&raw), Err(EAFNOSUPPORT));
    }
}
