//! From text to addresses, strictly: what two readers could take for different addresses is refused.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::Path;
use std::str::FromStr;

use super::{Address, invalid};
use crate::status::{Code, Operation, Result, Status};

/// The longest path of a Unix socket: what `sun_path` holds beside the NUL byte behind it.
#[cfg(any(target_os = "linux", target_os = "android", not(unix)))]
pub(super) const PATH_MAX: usize = 107;
#[cfg(not(any(target_os = "linux", target_os = "android", not(unix))))]
pub(super) const PATH_MAX: usize = 103;

/// An interface's name is shorter than this (`IFNAMSIZ`).
const INTERFACE_NAME_ROOM: usize = 16;

pub(super) fn ipv4(host: &str, port: u16) -> Result<Address> {
    let ip = match host {
        "" => Ipv4Addr::UNSPECIFIED,
        // Decimal, four numbers, no leading zeros, nothing before or behind.
        _ => host.parse().map_err(|_| invalid(host, "not an IPv4 address: expected four numbers from 0 to 255"))?,
    };
    Ok(Address::Ip(SocketAddr::new(ip.into(), port)))
}

pub(super) fn ipv6(host: &str, port: u16) -> Result<Address> {
    let (ip, scope) = match host.split_once('%') {
        Some((ip, name)) => (ip, zone(host, name)?),
        None => (host, 0),
    };
    let ip = match ip {
        "" if ip.len() == host.len() => Ipv6Addr::UNSPECIFIED,
        _ => ip.parse().map_err(|_| invalid(host, "not an IPv6 address"))?,
    };
    Ok(Address::Ip(SocketAddrV6::new(ip, port, 0, scope).into()))
}

/// The index that a zone means: itself, or that of the interface of this name.
fn zone(host: &str, name: &str) -> Result<u32> {
    if name.is_empty() {
        return Err(invalid(host, "the zone is empty"));
    }
    if name.bytes().all(|byte| byte.is_ascii_digit()) {
        return name.parse().map_err(|_| invalid(host, "the zone's number is too large"));
    }
    interface_index(name).map_err(|status| status.with_context(format!("address {host:?}")))
}

/// The index of a network interface of this machine, by name: what zones, and memberships of multicast groups, mean.
///
/// # Errors
/// `InvalidArgument` for what cannot be a name, `NotFound` when no interface has it.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// let address = proact::resource::Address::ipv6("fe80::1%lo", 80).unwrap();
/// let index = proact::resource::interface_index("lo").unwrap();
/// assert_eq!(address.to_string(), format!("[fe80::1%{index}]:80"));
/// # }
/// ```
pub fn interface_index(name: &str) -> Result<u32> {
    if name.is_empty() || name.len() >= INTERFACE_NAME_ROOM || name.contains('\0') {
        return Err(about(name, Code::InvalidArgument, "no interface can have this name"));
    }
    match lookup(name) {
        0 => Err(about(name, Code::NotFound, "no interface has this name")),
        index => Ok(index),
    }
}

fn about(name: &str, code: Code, why: &'static str) -> Status {
    Status::new(code, Operation::None).with_message(why).with_context(format!("interface {name:?}"))
}

#[cfg(unix)]
fn lookup(name: &str) -> u32 {
    let Ok(name) = std::ffi::CString::new(name) else { return 0 };
    // SAFETY: the name is NUL-terminated.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

#[cfg(not(unix))]
fn lookup(_: &str) -> u32 {
    0
}

/// Whether a Unix address can have this path or name.
pub(super) fn check_path(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let refused = |code, why| Err(Status::new(code, Operation::None).with_message(why));
    let is_name = bytes.first() == Some(&b'@');
    // An abstract name's `@` stands for the NUL byte that it begins with, and no NUL byte follows it.
    let longest = if is_name { PATH_MAX + 1 } else { PATH_MAX };
    if bytes.is_empty() {
        return refused(Code::InvalidArgument, "a Unix address needs a path");
    }
    if is_name && !cfg!(any(target_os = "linux", target_os = "android")) {
        return refused(Code::Unavailable, "this system has no abstract names");
    }
    if bytes.len() > longest {
        return refused(Code::InvalidArgument, "the path is too long for a Unix address");
    }
    if !is_name && bytes.contains(&0) {
        return refused(Code::InvalidArgument, "the path contains a NUL byte");
    }
    Ok(())
}

fn port(text: &str, digits: &str) -> Result<u16> {
    let canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    let port = if canonical { digits.parse().ok() } else { None };
    port.ok_or_else(|| invalid(text, "not a port: expected a number from 0 to 65535"))
}

impl FromStr for Address {
    type Err = Status;

    fn from_str(text: &str) -> Result<Address> {
        let told = |status: Status| status.with_context(format!("address {text:?}"));
        if let Some(path) = text.strip_prefix("unix:") {
            return check_path(Path::new(path)).map(|()| Address::Unix(path.into())).map_err(told);
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or_else(|| invalid(text, "the bracket is not closed"))?;
            let digits = rest.strip_prefix(':').ok_or_else(|| invalid(text, "a colon and a port must follow"))?;
            return ipv6(host, port(text, digits)?).map_err(told);
        }
        let (host, digits) = text
            .rsplit_once(':')
            .ok_or_else(|| invalid(text, "not an address: expected IP:PORT, [IPv6]:PORT or unix:PATH"))?;
        ipv4(host, port(text, digits)?).map_err(told)
    }
}
