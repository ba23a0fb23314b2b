//! One connection of an HTTP server, whichever version its client speaks.

use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use hyper::{Request, Response, StatusCode};
use hyper_util::server::conn::auto::Builder;
use proact_async::Stop;
use proact_async::adapt::{HyperTimer, LocalExecutor};

/// A failure that hyper hands on.
pub type HttpFailure = Box<dyn std::error::Error + Send + Sync>;
/// The body of any response: whole, or made while it is sent. It stays on its thread.
pub type Content = Pin<Box<dyn Body<Data = Bytes, Error = HttpFailure>>>;

/// How long a client may take for the head of a request.
const HEAD: Duration = Duration::from_secs(30);

/// Serves HTTP/1.1 or HTTP/2 on `io`, as its client begins, until the connection's end. When `stop` is requested it
/// finishes what it is at, and no more.
///
/// # Errors
/// As hyper has it: the client spoke no HTTP, or went away.
pub async fn http<I, S>(io: I, stop: &Stop, service: S) -> Result<(), HttpFailure>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
    S: Service<Request<Incoming>, Response = Response<Content>> + 'static,
    S::Future: 'static,
    S::Error: Into<HttpFailure>,
{
    let mut builder = Builder::new(LocalExecutor);
    builder.http1().timer(HyperTimer::here()).header_read_timeout(HEAD);
    builder.http2().timer(HyperTimer::here()).max_concurrent_streams(100);
    let mut connection = pin!(builder.serve_connection(io, service));
    match select(pin!(stop.requested()), connection.as_mut()).await {
        Either::Right((ended, _)) => return ended,
        Either::Left(_) => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

/// A body that is there already.
pub fn whole(bytes: impl Into<Bytes>) -> Content {
    Box::pin(Full::new(bytes.into()).map_err(|never| match never {}))
}

/// A response of one line.
pub fn line(status: StatusCode, text: &str) -> Response<Content> {
    let mut response = Response::new(whole(format!("{text}\n")));
    *response.status_mut() = status;
    response
}
