//! Addresses as bytes where the operating system has no sockets: in Linux's layout, which a simulated world reads.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;

use super::{Address, unnamed};
use crate::backend::RawAddress;
use crate::status::{Code, Operation, Result, Status};

const UNIX: u16 = 1;
const IPV4: u16 = 2;
const IPV6: u16 = 10;

impl Address {
    /// Writes it there. On failure nothing is written.
    pub(crate) fn put(&self, raw: &mut RawAddress) -> Result<()> {
        *raw = self.to_raw()?;
        Ok(())
    }

    pub(crate) fn to_raw(&self) -> Result<RawAddress> {
        let (family, rest) = match self {
            Address::Unnamed => return Err(unnamed()),
            Address::Unix(path) => (UNIX, path.as_os_str().as_encoded_bytes().to_vec()),
            Address::Ip(address) => {
                let mut rest = address.port().to_be_bytes().to_vec();
                match address {
                    SocketAddr::V4(address) => rest.extend(address.ip().octets()),
                    SocketAddr::V6(address) => {
                        rest.extend([0; 4]);
                        rest.extend(address.ip().octets());
                        rest.extend(address.scope_id().to_ne_bytes());
                    }
                }
                (if address.is_ipv4() { IPV4 } else { IPV6 }, rest)
            }
        };
        let mut raw = RawAddress::EMPTY;
        let end = 2 + rest.len();
        let room = raw.bytes.get_mut(2..end).ok_or_else(malformed)?;
        room.copy_from_slice(&rest);
        raw.bytes[..2].copy_from_slice(&family.to_ne_bytes());
        raw.length = end as u32;
        Ok(raw)
    }

    pub(crate) fn from_raw(raw: &RawAddress) -> Result<Address> {
        let bytes = raw.bytes.get(..raw.length as usize).ok_or_else(malformed)?;
        let Some((family, rest)) = bytes.split_first_chunk::<2>() else { return Ok(Address::Unnamed) };
        let port = || rest.first_chunk::<2>().map(|port| u16::from_be_bytes(*port)).ok_or_else(malformed);
        match u16::from_ne_bytes(*family) {
            UNIX if rest.is_empty() => Ok(Address::Unnamed),
            UNIX => {
                let text = std::str::from_utf8(rest).map_err(|_| malformed())?;
                Ok(Address::Unix(PathBuf::from(text)))
            }
            IPV4 => {
                let ip = rest.get(2..).and_then(<[u8]>::first_chunk::<4>).ok_or_else(malformed)?;
                Ok(Address::Ip(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(*ip)), port()?)))
            }
            IPV6 => {
                let ip = rest.get(6..).and_then(<[u8]>::first_chunk::<16>).ok_or_else(malformed)?;
                let scope = rest.get(22..).and_then(<[u8]>::first_chunk::<4>).ok_or_else(malformed)?;
                let address = SocketAddrV6::new(Ipv6Addr::from(*ip), port()?, 0, u32::from_ne_bytes(*scope));
                Ok(Address::Ip(SocketAddr::V6(address)))
            }
            _ => Err(malformed()),
        }
    }
}

fn malformed() -> Status {
    Status::new(Code::InvalidArgument, Operation::None).with_message("a malformed address")
}
