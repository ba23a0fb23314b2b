//! Socket addresses.

mod parse;
#[cfg(not(unix))]
mod portable;
#[cfg(unix)]
mod raw;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[cfg(test)]
use crate::backend::RawAddress;
use crate::status::{Code, Operation, Result, Status};

pub use self::parse::interface_index;

/// Where a socket is, or connects to.
///
/// Text forms, read by `parse` and written by `Display`:
///
/// | form | meaning |
/// |---|---|
/// | `127.0.0.1:7000` | IPv4: four decimal numbers without leading zeros; no host at all (`:7000`) means any |
/// | `[::1]:7000` | IPv6, in RFC 5952's form when written; `[]:7000` means any |
/// | `[fe80::1%eth0]:7000` | with a zone: an interface's index or name; written as the index |
/// | `unix:/path` | a Unix socket, at most 107 bytes of path (103 on macOS and the BSDs) |
/// | `unix:@name` | a name in Linux's abstract space, which no file stands for |
///
/// Ports are decimal, 0 to 65535, without leading zeros.
///
/// ```
/// use proact::resource::Address;
/// let address: Address = "[0:0::1]:7000".parse().unwrap();
/// assert_eq!(address.to_string(), "[::1]:7000");
/// assert!("127.0.0.1".parse::<Address>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// An IPv4 or IPv6 address and port.
    Ip(SocketAddr),
    /// A Unix socket's path; one that begins with `@` is a name in Linux's abstract space.
    Unix(PathBuf),
    /// A Unix socket without a name: an accepted peer, or a datagram's sender, that never bound.
    Unnamed,
}

impl Address {
    /// An IPv4 address: `host` is four decimal numbers, or empty for any address.
    ///
    /// # Errors
    /// `InvalidArgument` for anything else: leading zeros, blanks, other bases, names.
    pub fn ipv4(host: &str, port: u16) -> Result<Address> {
        parse::ipv4(host, port)
    }

    /// An IPv6 address: `host` without brackets, empty for any address, with `%zone` for a link-local one.
    ///
    /// # Errors
    /// `InvalidArgument`, and `NotFound` for a zone that is no interface of this machine.
    pub fn ipv6(host: &str, port: u16) -> Result<Address> {
        parse::ipv6(host, port)
    }

    /// A Unix socket's path, or with a leading `@` a name in Linux's abstract space.
    ///
    /// # Errors
    /// `InvalidArgument` when it is empty, too long for the system, or a path with a NUL byte; `Unavailable` for an
    /// abstract name on a system that has none.
    pub fn unix(path: impl AsRef<Path>) -> Result<Address> {
        let path = path.as_ref();
        parse::check_path(path).map_err(|status| status.with_context(format!("address unix:{}", path.display())))?;
        Ok(Address::Unix(path.to_owned()))
    }

    /// Whether it lies on this machine: a loopback address, or a Unix socket.
    pub fn is_loopback(&self) -> bool {
        match self {
            Address::Ip(address) => address.ip().to_canonical().is_loopback(),
            Address::Unix(_) | Address::Unnamed => true,
        }
    }

    /// The port of an IP address.
    pub fn port(&self) -> Option<u16> {
        match self {
            Address::Ip(address) => Some(address.port()),
            Address::Unix(_) | Address::Unnamed => None,
        }
    }

    /// Writes the text form into `room`, without allocating, and gives it back.
    ///
    /// # Errors
    /// `OutOfRange` when `room` is too short; `InvalidArgument` for [`Address::Unnamed`], which no text leads back to.
    pub fn format<'a>(&self, room: &'a mut [u8]) -> Result<&'a str> {
        if *self == Address::Unnamed {
            return Err(unnamed());
        }
        let capacity = room.len();
        let mut cursor = Cursor { room, length: 0 };
        if write!(cursor, "{self}").is_err() {
            return Err(Status::new(Code::OutOfRange, Operation::None)
                .with_message(format!("the address is longer than {capacity} bytes")));
        }
        let Cursor { room, length } = cursor;
        std::str::from_utf8(&room[..length]).map_err(|_| Status::new(Code::Internal, Operation::None))
    }
}

/// Text going into a slice. What does not fit whole is an error.
struct Cursor<'a> {
    room: &'a mut [u8],
    length: usize,
}

impl Write for Cursor<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.room.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address::Ip(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
            Address::Unnamed => f.write_str("unix:"),
        }
    }
}

fn invalid(text: &str, why: &'static str) -> Status {
    Status::new(Code::InvalidArgument, Operation::None).with_message(why).with_context(format!("address {text:?}"))
}

fn unnamed() -> Status {
    invalid("unix:", "an unnamed address names no one")
}
