//! hyper's own client, under tokio: nothing of it is ours.

#![allow(dead_code)] // each test program uses a part of it

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream of tokio's under hyper's traits.
pub struct Io<S>(pub S);

impl<S: AsyncRead + Unpin> hyper::rt::Read for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut cursor: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let mut bytes = [0; 16 << 10];
        let room = bytes.len().min(cursor.remaining());
        let mut buffer = ReadBuf::new(&mut bytes[..room]);
        let read = Pin::new(&mut self.0).poll_read(cx, &mut buffer);
        if let Poll::Ready(Ok(())) = read {
            cursor.put_slice(buffer.filled());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for Io<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Runs hyper's tasks on tokio's.
#[derive(Clone)]
struct Tasks;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Tasks {
    fn execute(&self, future: F) {
        drop(tokio::spawn(future));
    }
}

/// A client of one version of HTTP.
pub enum Client {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    /// On a connected stream, in HTTP/2 or HTTP/1.1.
    pub async fn new<S>(stream: S, two: bool) -> Client
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if two {
            let (client, connection) = http2::handshake(Tasks, Io(stream)).await.unwrap();
            tokio::spawn(connection);
            Client::Two(client)
        } else {
            let (client, connection) = http1::handshake(Io(stream)).await.unwrap();
            tokio::spawn(connection);
            Client::One(client)
        }
    }

    /// A request with its body; the response with its whole body.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Response<Bytes> {
        let response = match self {
            Client::One(client) => client.send_request(request).await,
            Client::Two(client) => client.send_request(request).await,
        };
        let (head, body) = response.unwrap().into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    /// As [`Client::send`], of a path and header lines.
    pub async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
        self.send(request("GET", path, headers, b"")).await
    }
}

/// A request to the test's server.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(format!("http://localhost{path}"));
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(Bytes::copy_from_slice(body))).unwrap()
}

/// Runs a test on a runtime of tokio's, with an end.
pub fn on_tokio(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(crate::support::PATIENCE, test).await.expect("it hangs") });
}
