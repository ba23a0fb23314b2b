//! Addresses in the operating system's own layout.

use std::mem::offset_of;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::{Address, parse, unnamed};
use crate::backend::RawAddress;
use crate::status::{Code, Operation, Result, Status};

impl Address {
    pub(crate) fn to_raw(&self) -> Result<RawAddress> {
        Ok(bytes_of(&self.to_socket2()?))
    }

    /// Writes it there. On failure nothing is written.
    pub(crate) fn put(&self, raw: &mut RawAddress) -> Result<()> {
        put(&self.to_socket2()?, raw);
        Ok(())
    }

    pub(crate) fn to_socket2(&self) -> Result<socket2::SockAddr> {
        match self {
            Address::Ip(address) => Ok((*address).into()),
            Address::Unix(path) => self.unix_to_socket2(path),
            Address::Unnamed => Err(unnamed()),
        }
    }

    fn unix_to_socket2(&self, path: &Path) -> Result<socket2::SockAddr> {
        let told = |status: Status| status.with_context(format!("address {self}"));
        parse::check_path(path).map_err(told)?;
        let bytes = path.as_os_str().as_bytes();
        let address = match bytes.strip_prefix(b"@") {
            // The system's spelling of an abstract name; `check_path` has refused it where there are none.
            Some(name) => {
                let spelled = [b"\0", name].concat();
                socket2::SockAddr::unix(std::ffi::OsStr::from_bytes(&spelled))
            }
            None => socket2::SockAddr::unix(path),
        };
        address.map_err(|error| told(Status::from_io_error(Operation::None, &error)))
    }

    pub(crate) fn from_socket2(address: &socket2::SockAddr) -> Result<Address> {
        Address::from_raw(&bytes_of(address))
    }

    /// What the kernel wrote, or anyone else: whatever the bytes are, this answers.
    pub(crate) fn from_raw(raw: &RawAddress) -> Result<Address> {
        let bytes = raw.bytes.get(..raw.length as usize).ok_or_else(malformed)?;
        if bytes.is_empty() {
            return Ok(Address::Unnamed); // how the kernel tells of a Unix sender without a name
        }
        let family = field::<libc::sa_family_t>(bytes, offset_of!(libc::sockaddr, sa_family))?;
        match i32::from(family) {
            libc::AF_INET => ipv4(bytes),
            libc::AF_INET6 => ipv6(bytes),
            libc::AF_UNIX => Ok(unix(bytes)),
            family => Err(malformed().with_message(format!("an address of unknown family {family}"))),
        }
    }
}

fn malformed() -> Status {
    Status::new(Code::InvalidArgument, Operation::None).with_message("a malformed address")
}

fn bytes_of(address: &socket2::SockAddr) -> RawAddress {
    let mut raw = RawAddress::EMPTY;
    put(address, &mut raw);
    raw
}

fn put(address: &socket2::SockAddr, raw: &mut RawAddress) {
    let length = (address.len() as usize).min(raw.bytes.len());
    // SAFETY: a `SockAddr` holds `len()` initialised bytes at `as_ptr()`, and `raw.bytes` has that many.
    unsafe { std::ptr::copy_nonoverlapping(address.as_ptr().cast(), raw.bytes.as_mut_ptr(), length) };
    raw.length = length as u32;
}

/// A field of an address, which is plain integers, wherever it lies.
fn field<T: Copy>(bytes: &[u8], offset: usize) -> Result<T> {
    let bytes = bytes.get(offset..offset + size_of::<T>()).ok_or_else(malformed)?;
    // SAFETY: as many bytes as a `T` has; the callers below ask for integers and arrays of them alone, which any bytes
    // are.
    Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

fn ipv4(bytes: &[u8]) -> Result<Address> {
    let ip: [u8; 4] = field(bytes, offset_of!(libc::sockaddr_in, sin_addr))?;
    let port: [u8; 2] = field(bytes, offset_of!(libc::sockaddr_in, sin_port))?;
    Ok(Address::Ip(SocketAddrV4::new(Ipv4Addr::from(ip), u16::from_be_bytes(port)).into()))
}

fn ipv6(bytes: &[u8]) -> Result<Address> {
    let ip: [u8; 16] = field(bytes, offset_of!(libc::sockaddr_in6, sin6_addr))?;
    let port: [u8; 2] = field(bytes, offset_of!(libc::sockaddr_in6, sin6_port))?;
    let scope: u32 = field(bytes, offset_of!(libc::sockaddr_in6, sin6_scope_id))?;
    // The flow label is no part of where a socket is: two packets of one sender may differ in it.
    Ok(Address::Ip(SocketAddrV6::new(Ipv6Addr::from(ip), u16::from_be_bytes(port), 0, scope).into()))
}

fn unix(bytes: &[u8]) -> Address {
    let path = bytes.get(offset_of!(libc::sockaddr_un, sun_path)..).unwrap_or_default();
    let path = &path[..path.len().min(size_of::<libc::sockaddr_un>() - offset_of!(libc::sockaddr_un, sun_path))];
    let spelled = |bytes: &[u8]| Address::Unix(PathBuf::from(std::ffi::OsStr::from_bytes(bytes)));
    match path {
        [] => Address::Unnamed,
        [0, name @ ..] if cfg!(any(target_os = "linux", target_os = "android")) => spelled(&[b"@", name].concat()),
        [0, ..] => Address::Unnamed,
        // A NUL byte ends it, and need not be there when it fills its place. A file whose name begins with `@` is
        // spelled so that it is not taken for an abstract name.
        _ => match path.split(|byte| *byte == 0).next().unwrap_or_default() {
            name @ [b'@', ..] => spelled(&[b"./", name].concat()),
            path => spelled(path),
        },
    }
}
