//! Connecting as a `tower::Service`.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::Uri;
use tower_service::Service;

use crate::runtime::spawn;
use crate::task::JoinHandle;

/// Connects to where a URI points: a `tower::Service<Uri>`, for clients that pool connections, such as `hyper-util`'s.
///
/// How it connects is a function from a [`Destination`] to a future. That runs as a task of the runtime of the thread
/// that calls the service, so it need not be `Send`; the stream that it yields goes to the caller, who mostly asks for
/// `Send`: [`Adapted::sendable`](super::Adapted::sendable), or a TLS stream over one. With the feature `hyper-util`
/// both are what its client takes, and a TLS stream says whether HTTP/2 was agreed on.
///
/// ```
/// use proact_async::adapt::{Adapted, Connector, Destination, io_error};
/// use proact_async::net::TcpStream;
///
/// let connector = Connector::new(|to: Destination| async move {
///     let address: std::net::IpAddr = to.host.parse().map_err(std::io::Error::other)?;
///     let stream = TcpStream::connect((address, to.port).into()).await.map_err(io_error)?;
///     std::io::Result::Ok(Adapted::sendable(stream))
/// });
/// # let _ = connector;
/// ```
#[derive(Clone)]
pub struct Connector<F> {
    connect: F,
}

/// Where a URI points.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Destination {
    /// A name or an address, without the brackets that an IPv6 address has in a URI.
    pub host: String,
    /// The URI's port, or the usual one of its scheme.
    pub port: u16,
    /// Whether its scheme is `https` or `wss`.
    pub is_secure: bool,
}

impl Destination {
    /// Where `uri` points.
    ///
    /// # Errors
    /// `InvalidInput` when it names no host, or neither a port nor a scheme with a usual one.
    pub fn of(uri: &Uri) -> io::Result<Destination> {
        let fault = |why| io::Error::new(io::ErrorKind::InvalidInput, format!("{why}: {uri}"));
        let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| fault("the URI names no host"))?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).to_string();
        let is_secure = matches!(uri.scheme_str(), Some("https" | "wss"));
        let usual = match uri.scheme_str() {
            Some("http" | "ws") => Some(80),
            Some("https" | "wss") => Some(443),
            _ => None,
        };
        let port = uri.port_u16().or(usual).ok_or_else(|| fault("the URI names no port"))?;
        Ok(Destination { host, port, is_secure })
    }
}

impl<F> Connector<F> {
    /// Connects by `connect`.
    pub fn new<C, S>(connect: F) -> Connector<F>
    where
        F: FnMut(Destination) -> C,
        C: Future<Output = io::Result<S>> + 'static,
    {
        Connector { connect }
    }
}

impl<F, C, S> Service<Uri> for Connector<F>
where
    F: FnMut(Destination) -> C,
    C: Future<Output = io::Result<S>> + 'static,
    S: 'static,
{
    type Response = S;
    type Error = io::Error;
    type Future = Connecting<S>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// # Panics
    /// Outside of a runtime.
    fn call(&mut self, uri: Uri) -> Connecting<S> {
        Connecting(Destination::of(&uri).map(|destination| spawn((self.connect)(destination))).map_err(Some))
    }
}

impl<F> fmt::Debug for Connector<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Of a [`Connector`]. Dropping it gives the connection up.
#[derive(Debug)]
pub struct Connecting<S>(Result<JoinHandle<io::Result<S>>, Option<io::Error>>);

impl<S> Unpin for Connecting<S> {}

impl<S> Future for Connecting<S> {
    type Output = io::Result<S>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<S>> {
        match &mut self.0 {
            Err(error) => Poll::Ready(Err(error.take().expect("a future is not polled after its end"))),
            Ok(task) => Pin::new(task).poll(cx).map(|joined| match joined {
                Ok(result) => result,
                Err(error) => match error.into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(error) => Err(io::Error::other(error)),
                },
            }),
        }
    }
}

impl<S> Drop for Connecting<S> {
    fn drop(&mut self) {
        if let Ok(task) = &self.0 {
            task.abort();
        }
    }
}
