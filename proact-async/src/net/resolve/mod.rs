//! Names to addresses.

mod pool;

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use proact::resource::Address;
use proact::status::Result;

pub use self::pool::SystemResolver;

/// What tells the addresses of a name. Implement it to use a resolver of your own.
///
/// ```
/// use std::net::SocketAddr;
///
/// use proact::status::Result;
/// use proact_async::net::{Connector, Resolve};
///
/// /// Everything is here.
/// struct Here;
///
/// impl Resolve for Here {
///     async fn resolve(&self, _: &str, port: u16) -> Result<Vec<SocketAddr>> {
///         Ok(vec![([127, 0, 0, 1], port).into()])
///     }
/// }
///
/// let connector = Connector::with_resolver(Here);
/// # drop(connector);
/// ```
pub trait Resolve {
    /// The addresses of `host`, the best first, each with `port`. Dropping the future gives the lookup up.
    ///
    /// # Errors
    /// Whatever says why there are none.
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = Result<Vec<SocketAddr>>>;
}

impl<R: Resolve + ?Sized> Resolve for &R {
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = Result<Vec<SocketAddr>>> {
        (**self).resolve(host, port)
    }
}

impl<R: Resolve + ?Sized> Resolve for Rc<R> {
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = Result<Vec<SocketAddr>>> {
        (**self).resolve(host, port)
    }
}

impl<R: Resolve + ?Sized> Resolve for Arc<R> {
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = Result<Vec<SocketAddr>>> {
        (**self).resolve(host, port)
    }
}

/// The address that `host` itself is, if it is one and no name. IPv6 may stand in brackets and have a zone.
pub(super) fn literal(host: &str, port: u16) -> Option<Result<SocketAddr>> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(Ok(SocketAddr::new(ip, port)));
    }
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if inside.is_none() && !host.contains(':') {
        return None;
    }
    // A colon is in no name: what is wrong with it is said by who knows addresses.
    let parsed = Address::ipv6(inside.unwrap_or(host), port);
    parsed.map(|address| if let Address::Ip(address) = address { Some(address) } else { None }).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(host: &str) -> Option<String> {
        literal(host, 7).map(|found| found.map_or_else(|status| status.code().to_string(), |found| found.to_string()))
    }

    #[test]
    fn addresses_are_no_names() {
        assert_eq!(text("127.0.0.1").unwrap(), "127.0.0.1:7");
        assert_eq!(text("::1").unwrap(), "[::1]:7");
        assert_eq!(text("[::1]").unwrap(), "[::1]:7");
        assert_eq!(text("fe80::1%1").unwrap(), "[fe80::1%1]:7");
        assert_eq!(text("[fe80::1%1]").unwrap(), "[fe80::1%1]:7");
        assert_eq!(text("fe80::1%nowhere0").unwrap(), "NOT_FOUND");
        assert_eq!(text("::zz").unwrap(), "INVALID_ARGUMENT");
        assert_eq!(text("localhost"), None);
        assert_eq!(text("256.0.0.1"), None);
    }
}
