//! Which addresses a host grants: one, or a network and a range of ports.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use proact::resource::Address;

use crate::error::{Error, Result};

/// Addresses that a program may use.
///
/// | text | grants |
/// |---|---|
/// | `10.0.0.1:443`, `[fd00::1]:443`, `unix:/run/s` | this address |
/// | `10.0.0.1:8000-8099` | these ports of it |
/// | `10.0.0.0/8:443`, `[fd00::/8]:1024-65535` | a network, one port or a range |
///
/// An IPv6 address that stands for an IPv4 one (`::ffff:10.0.0.1`) is that IPv4 address: rules for IPv6 never grant it,
/// and rules for IPv4 do. Port 0, by which a listener lets the system choose, is granted where the range holds it.
///
/// ```
/// use proact_vm::standard::AddressRule;
///
/// let rule: AddressRule = "10.0.0.0/8:8000-8099".parse()?;
/// assert!(rule.grants(&"10.200.0.7:8042".parse()?));
/// assert!(!rule.grants(&"10.200.0.7:80".parse()?));
/// assert!("10.0.0.1/8:80".parse::<AddressRule>().is_err(), "bits that do not count");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AddressRule(Rule);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Rule {
    Exact(Address),
    Network { network: IpAddr, prefix: u32, ports: RangeInclusive<u16> },
}

impl AddressRule {
    /// This address alone.
    pub fn exact(address: Address) -> AddressRule {
        AddressRule(Rule::Exact(canonical(&address)))
    }

    /// Whether it grants `address`.
    pub fn grants(&self, address: &Address) -> bool {
        let address = canonical(address);
        match (&self.0, &address) {
            (Rule::Exact(granted), _) => *granted == address,
            (Rule::Network { network, prefix, ports }, Address::Ip(address)) => {
                ports.contains(&address.port()) && is_within(*network, *prefix, address.ip())
            }
            _ => false,
        }
    }
}

/// The address that a connection to `address` reaches, in its one form.
pub(super) fn canonical(address: &Address) -> Address {
    match address {
        Address::Ip(SocketAddr::V6(v6)) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => Address::Ip(SocketAddr::new(v4.into(), v6.port())),
            None => address.clone(),
        },
        _ => address.clone(),
    }
}

fn is_within(network: IpAddr, prefix: u32, ip: IpAddr) -> bool {
    match (network, ip) {
        (IpAddr::V4(network), IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            u32::from(ip) & mask == u32::from(network)
        }
        (IpAddr::V6(network), IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            u128::from(ip) & mask == u128::from(network)
        }
        _ => false,
    }
}

impl FromStr for AddressRule {
    type Err = Error;

    /// `INVALID_ARGUMENT` with what is wrong.
    fn from_str(text: &str) -> Result<AddressRule> {
        let wrong = |why: &str| Error::invalid(why.to_owned()).about(format!("address rule {text:?}"));
        if text.starts_with("unix:") {
            return Ok(AddressRule::exact(text.parse().map_err(Error::from)?));
        }
        let (host, ports) = text.rsplit_once(':').ok_or_else(|| wrong("a host and a port are expected"))?;
        if !host.contains('/') && !ports.contains('-') {
            return Ok(AddressRule::exact(text.parse().map_err(Error::from)?));
        }
        let port = |text: &str| {
            let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|_| is_plain).ok_or_else(|| wrong("ports are 0 to 65535"))
        };
        let ports = match ports.split_once('-') {
            Some((first, last)) => port(first)?..=port(last)?,
            None => port(ports)?..=port(ports)?,
        };
        if ports.is_empty() {
            return Err(wrong("the range of ports ends before it begins"));
        }
        let (host, is_v6) = match host.strip_prefix('[') {
            Some(inner) => (inner.strip_suffix(']').ok_or_else(|| wrong("a bracket is not closed"))?, true),
            None => (host, false),
        };
        let (ip, prefix) = match host.split_once('/') {
            Some((ip, prefix)) => (ip, Some(port(prefix).map_err(|_| wrong("a prefix is a count of bits"))?)),
            None => (host, None),
        };
        let ip = match is_v6 {
            true => ip.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| wrong("no IPv6 address, or one with a zone"))?,
            false => ip.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| wrong("no IPv4 address"))?,
        };
        let bits = if is_v6 { 128 } else { 32 };
        let prefix = prefix.map_or(bits, u32::from);
        if prefix > bits {
            return Err(wrong("a prefix of more bits than the address has"));
        }
        if !is_within(ip, prefix, ip) {
            return Err(wrong("the address has bits beyond its prefix"));
        }
        if matches!(ip, IpAddr::V6(ip) if prefix >= 96 && ip.to_ipv4_mapped().is_some()) {
            return Err(wrong("it stands for IPv4 addresses: write those"));
        }
        Ok(AddressRule(Rule::Network { network: ip, prefix, ports }))
    }
}

/// As it is read.
impl fmt::Display for AddressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Exact(address) => address.fmt(f),
            Rule::Network { network, prefix, ports } => {
                match network {
                    IpAddr::V4(ip) => write!(f, "{ip}/{prefix}:")?,
                    IpAddr::V6(ip) => write!(f, "[{ip}/{prefix}]:")?,
                }
                match ports.start() == ports.end() {
                    true => write!(f, "{}", ports.start()),
                    false => write!(f, "{}-{}", ports.start(), ports.end()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(rule: &str, address: &str) -> bool {
        let rule: AddressRule = rule.parse().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(rule.to_string().parse::<AddressRule>().unwrap(), rule, "it reads back");
        rule.grants(&address.parse().unwrap())
    }

    #[test]
    fn one_address_grants_itself_alone() {
        assert!(grants("127.0.0.1:80", "127.0.0.1:80"));
        for other in ["127.0.0.1:81", "127.0.0.2:80", "[::1]:80", "0.0.0.0:80", "unix:/s"] {
            assert!(!grants("127.0.0.1:80", other), "{other}");
        }
        assert!(grants("unix:/s", "unix:/s") && !grants("unix:/s", "unix:/s/../t"));
    }

    #[test]
    fn networks_end_at_their_bits() {
        assert!(grants("10.0.0.0/8:1-65535", "10.255.255.255:65535"));
        assert!(!grants("10.0.0.0/8:1-65535", "11.0.0.0:80") && !grants("10.0.0.0/8:1-65535", "10.0.0.1:0"));
        assert!(grants("10.1.2.3:8000-8001", "10.1.2.3:8001") && !grants("10.1.2.3:8000-8001", "10.1.2.4:8001"));
        assert!(grants("0.0.0.0/0:80", "1.2.3.4:80") && !grants("0.0.0.0/0:80", "[::2]:80"));
        assert!(grants("[fd00::/8]:443", "[fdff::1]:443") && !grants("[fd00::/8]:443", "[fe00::1]:443"));
        assert!(grants("[::1/128]:1-2", "[::1]:2") && !grants("[::1/128]:1-2", "[::2]:2"));
    }

    #[test]
    fn an_address_that_stands_for_another_is_that_other() {
        let mapped = "[::ffff:10.0.0.1]:80";
        assert!(!grants("[::/0]:80", mapped), "a rule for IPv6 is none for IPv4");
        assert!(!grants("127.0.0.1:80", mapped));
        assert!(grants("10.0.0.1:80", mapped) && grants("10.0.0.0/8:80", mapped));
        assert!(grants(mapped, "10.0.0.1:80"), "a rule that is written so, too");
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for text in [
            "",
            "10.0.0.1",
            "10.0.0.1/8:80",
            "10.0.0.0/33:80",
            "10.0.0.0/8:",
            "10.0.0.0/8:80-",
            "10.0.0.0/8:9-8",
            "10.0.0.0/8:65536",
            "10.0.0.0/8:+80",
            "10.0.0.0/+8:80",
            "[fd00::/8:80",
            "fd00::/8:80",
            "[::/129]:80",
            "[::ffff:0.0.0.0/96]:80",
            "example.org:80",
            "[fe80::1%1/64]:80",
            "*:80",
        ] {
            let error = text.parse::<AddressRule>().expect_err(text);
            assert_eq!(error.code(), proact::status::Code::InvalidArgument, "{text:?}: {error}");
        }
    }
}
