//! HTTP in earnest: hyper reads the request and writes the answer. The bare interfaces answer with canned bytes, and
//! are what is left when the protocol costs nothing.

use std::convert::Infallible;
use std::net::TcpListener;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};

use super::{Answer, Serve};
use crate::Failure;

/// How every answer ends.
pub const HELLO: &[u8] = b"Hello, world\n";

/// Who serves it, in the order of the tables.
pub const PEERS: &[(&str, Serve)] = &[
    ("epoll-canned", |listener, _| super::epoll::serve(listener, Answer::Hello)),
    ("ring-canned", |listener, _| {
        super::ring::serve(listener, Answer::Hello, super::ring::How { defer: true, poll_first: false })
    }),
    ("proact-async", |listener, _| proact_async(listener, "io_uring")),
    ("proact-async-epoll", |listener, _| proact_async(listener, "epoll")),
    ("tokio", |listener, _| tokio(listener)),
];

async fn hello(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(HELLO)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

fn proact_async(listener: TcpListener, backend: &str) -> Result<(), Failure> {
    let builder = proact::proactor::Builder::new().backend(backend.parse()?).operations(200_000);
    let runtime = proact_async::Runtime::builder().proactor(builder).build()?;
    let socket = runtime.handle().import_socket(listener.into()).map_err(|returned| returned.status)?;
    let listener = proact_async::net::TcpListener::from_socket(socket);
    runtime.block_on(async {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.socket().set_no_delay(true)?;
            proact_async::spawn(async move {
                let stream = proact_async::adapt::Adapted::new(stream);
                // A connection that ends in the midst of things is the client's affair.
                let _ = http1::Builder::new().serve_connection(stream, service_fn(hello)).await;
            });
        }
    })
}

fn tokio(listener: TcpListener) -> Result<(), Failure> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let stream = hyper_util::rt::TokioIo::new(stream);
                let _ = http1::Builder::new().serve_connection(stream, service_fn(hello)).await;
            });
        }
    })
}
