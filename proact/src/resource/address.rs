//! Socket addresses.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use crate::backend::RawAddress;
use crate::status::{Code, Operation, Result, Status};

/// Where a socket is, or connects to.
///
/// Text forms: `127.0.0.1:7000`, `[::1]:7000`, `unix:/path`, and on Linux `unix:@name` for an abstract name.
///
/// ```
/// use proact::resource::Address;
/// let address: Address = "[::1]:7000".parse().unwrap();
/// assert_eq!(address.to_string(), "[::1]:7000");
/// assert!("127.0.0.1".parse::<Address>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Address {
    /// An IPv4 or IPv6 address and port.
    Ip(SocketAddr),
    /// A Unix socket's path; one that begins with `@` is a name in Linux's abstract space.
    Unix(PathBuf),
    /// A Unix socket without a name: an accepted peer that never bound.
    Unnamed,
}

impl Address {
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

impl FromStr for Address {
    type Err = Status;

    fn from_str(text: &str) -> Result<Address> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(invalid(text, "a Unix address needs a path"));
            }
            return Ok(Address::Unix(PathBuf::from(path)));
        }
        text.parse::<SocketAddr>()
            .map(Address::Ip)
            .map_err(|_| invalid(text, "not an address: expected IP:PORT, [IPv6]:PORT or unix:PATH"))
    }
}

fn invalid(text: &str, why: &'static str) -> Status {
    Status::new(Code::InvalidArgument, Operation::None).with_message(why).with_context(format!("address {text:?}"))
}

#[cfg(unix)]
impl Address {
    pub(crate) fn to_raw(&self) -> Result<RawAddress> {
        let address = self.to_socket2()?;
        let length = address.len() as usize;
        let mut raw = RawAddress { length: length as u32, ..RawAddress::EMPTY };
        debug_assert!(length <= raw.bytes.len());
        // SAFETY: a `SockAddr` holds `len()` initialised bytes at `as_ptr()`, at most 128 (`sockaddr_storage`).
        unsafe { std::ptr::copy_nonoverlapping(address.as_ptr().cast(), raw.bytes.as_mut_ptr(), length.min(128)) };
        Ok(raw)
    }

    pub(crate) fn to_socket2(&self) -> Result<socket2::SockAddr> {
        match self {
            Address::Ip(address) => Ok((*address).into()),
            Address::Unix(path) => {
                use std::os::unix::ffi::OsStrExt;
                let bytes = path.as_os_str().as_bytes();
                #[cfg(any(target_os = "linux", target_os = "android"))]
                if bytes.first() == Some(&b'@') {
                    let mut name = vec![0];
                    name.extend_from_slice(&bytes[1..]);
                    let name = std::ffi::OsStr::from_bytes(&name);
                    return socket2::SockAddr::unix(name).map_err(|error| self.refused(&error));
                }
                let _ = bytes;
                socket2::SockAddr::unix(path).map_err(|error| self.refused(&error))
            }
            Address::Unnamed => Err(invalid("unix:", "an unnamed address names no one")),
        }
    }

    fn refused(&self, error: &std::io::Error) -> Status {
        Status::new(Code::InvalidArgument, Operation::None)
            .with_message(error.to_string())
            .with_context(format!("address {self}"))
    }

    pub(crate) fn from_raw(raw: &RawAddress) -> Result<Address> {
        // SAFETY: `RawAddress` has the bytes of a `sockaddr_storage` as the kernel wrote them, zeroed where it did not;
        // the storage is plain bytes, and its length is bounded by the type's size.
        let address = unsafe {
            let mut storage = socket2::SockAddrStorage::zeroed();
            let room = size_of::<socket2::SockAddrStorage>().min(raw.bytes.len());
            std::ptr::copy_nonoverlapping(raw.bytes.as_ptr(), (&raw mut storage).cast::<u8>(), room);
            socket2::SockAddr::new(storage, (raw.length as usize).min(room) as socket2::socklen_t)
        };
        Ok(Address::from_socket2(&address))
    }

    pub(crate) fn from_socket2(address: &socket2::SockAddr) -> Address {
        if let Some(ip) = address.as_socket() {
            return Address::Ip(ip);
        }
        if let Some(path) = address.as_pathname() {
            return Address::Unix(path.to_owned());
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(name) = address.as_abstract_namespace() {
            use std::os::unix::ffi::OsStringExt;
            let mut text = vec![b'@'];
            text.extend_from_slice(name);
            return Address::Unix(PathBuf::from(std::ffi::OsString::from_vec(text)));
        }
        Address::Unnamed
    }
}

#[cfg(not(unix))]
impl Address {
    pub(crate) fn to_raw(&self) -> Result<RawAddress> {
        Err(Status::new(Code::Unavailable, Operation::None).with_message("no sockets on this system yet"))
    }

    pub(crate) fn from_raw(_: &RawAddress) -> Result<Address> {
        Err(Status::new(Code::Unavailable, Operation::None).with_message("no sockets on this system yet"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip_through_text_and_the_kernels_form() {
        for text in ["127.0.0.1:80", "0.0.0.0:0", "[::1]:7000", "[fe80::1%3]:9", "unix:/tmp/x.sock", "unix:@abstract"] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(Address::from_raw(&address.to_raw().unwrap()).unwrap(), address, "{text}");
        }
    }

    #[test]
    fn bad_addresses_are_refused_with_their_text() {
        for text in ["", "127.0.0.1", "256.0.0.1:1", "127.0.0.1:65536", "01.2.3.4:5", "unix:", "localhost:80", "::1:80"]
        {
            let status = text.parse::<Address>().unwrap_err();
            assert_eq!(status.code(), Code::InvalidArgument);
            assert!(status.to_string().contains(&format!("{text:?}")), "{status}");
        }
        let long = Address::Unix(PathBuf::from("x".repeat(200)));
        assert_eq!(long.to_raw().unwrap_err().code(), Code::InvalidArgument);
    }
}
