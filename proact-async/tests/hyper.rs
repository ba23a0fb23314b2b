//! HTTP by hyper, client and server, over the adapters.

mod support;

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, client, header, server, upgrade};
use proact_async::adapt::{Adapted, HyperTimer, LocalExecutor};
use proact_async::net::TcpStream;
use proact_async::{JoinHandle, spawn, yield_now};
use support::{connected, run};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type Answer = Response<BoxBody<Bytes, hyper::Error>>;

fn answer(text: impl Into<Bytes>) -> Answer {
    Response::new(Full::new(text.into()).map_err(|never| match never {}).boxed())
}

/// What the tests ask for: an echo, a count of the bytes that came, a body of so many bytes.
async fn serve(request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    let path = request.uri().path().to_string();
    Ok(match path.split_at(path[1..].find('/').map_or(path.len(), |slash| slash + 1)) {
        ("/hello", _) => answer("hello"),
        ("/echo", _) => Response::new(request.into_body().boxed()),
        ("/count", _) => {
            let mut body = request.into_body();
            let mut count = 0;
            while let Some(frame) = body.frame().await {
                count += frame?.data_ref().map_or(0, Bytes::len);
            }
            answer(count.to_string())
        }
        ("/give", length) => {
            let left = length[1..].parse().unwrap();
            Response::new(Pieces { left }.map_err(|never| match never {}).boxed())
        }
        _ => {
            let mut answer = answer("");
            *answer.status_mut() = StatusCode::NOT_FOUND;
            answer
        }
    })
}

/// A body of so many bytes, in pieces.
struct Pieces {
    left: usize,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.left.min(10_000);
        if length == 0 {
            return Poll::Ready(None);
        }
        self.left -= length;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'p'; length])))))
    }
}

fn serve_http1(stream: TcpStream) -> JoinHandle<hyper::Result<()>> {
    let mut builder = server::conn::http1::Builder::new();
    builder.timer(HyperTimer::here()).pipeline_flush(true);
    spawn(builder.serve_connection(Adapted::new(stream), service_fn(serve)))
}

async fn client_http1<B>(stream: TcpStream) -> (client::conn::http1::SendRequest<B>, JoinHandle<hyper::Result<()>>)
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (sender, connection) = client::conn::http1::handshake(Adapted::new(stream)).await.unwrap();
    (sender, spawn(connection))
}

async fn text(response: Response<Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(path).header(header::HOST, "here").body(Empty::new()).unwrap()
}

#[test]
fn a_connection_carries_many_requests() {
    run(|| async {
        let (near, far) = connected().await;
        let server = serve_http1(far);
        let (mut sender, connection) = client_http1(near).await;
        for _ in 0..100 {
            sender.ready().await.unwrap();
            let response = sender.send_request(get("/hello")).await.unwrap();
            assert_eq!(text(response).await, "hello");
        }
        drop(sender);
        connection.await.unwrap().unwrap();
        server.await.unwrap().unwrap();
    });
}

#[test]
fn requests_that_come_at_once_are_answered_in_their_order() {
    run(|| async {
        let (near, far) = connected().await;
        let server = serve_http1(far);
        let mut near = Adapted::new(near);
        let mut requests = String::new();
        for length in 1..=50 {
            requests += &format!("GET /give/{length} HTTP/1.1\r\nhost: here\r\n\r\n");
        }
        requests += "GET /hello HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n";
        near.write_all(requests.as_bytes()).await.unwrap();
        let mut answers = String::new();
        near.read_to_string(&mut answers).await.unwrap();
        let bodies = answers.split("HTTP/1.1 200 OK").skip(1).map(|answer| {
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            body.matches('p').count() + body.matches("hello").count() * 100
        });
        assert_eq!(bodies.collect::<Vec<_>>(), (1..=50).chain([100]).collect::<Vec<_>>());
        server.await.unwrap().unwrap();
    });
}

const LONG: usize = 8 << 20;

#[test]
fn long_bodies_go_both_ways_while_the_reader_is_slow() {
    run(|| async {
        let (near, far) = connected().await;
        let server = serve_http1(far);
        let (mut sender, connection) = client_http1(near).await;
        let request = Request::post("/echo").header(header::HOST, "here").body(Pieces { left: LONG }).unwrap();
        let mut body = sender.send_request(request).await.unwrap().into_body();
        let (mut count, mut frames) = (0, 0);
        while let Some(frame) = body.frame().await {
            count += frame.unwrap().data_ref().map_or(0, |bytes| {
                assert!(bytes.iter().all(|byte| *byte == b'p'));
                bytes.len()
            });
            frames += 1;
            if frames % 16 == 0 {
                proact_async::time::sleep(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(count, LONG);
        drop((sender, body));
        connection.await.unwrap().unwrap();
        server.await.unwrap().unwrap();
    });
}

#[test]
fn a_body_that_nobody_reads_holds_up_its_sender() {
    struct Counted(Pieces, Rc<Cell<usize>>);
    impl Body for Counted {
        type Data = Bytes;
        type Error = Infallible;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let frame = Pin::new(&mut self.0).poll_frame(cx);
            self.1.set(LONG * 4 - self.0.left);
            frame
        }
    }
    run(|| async {
        let (near, far) = connected().await;
        let made = Rc::new(Cell::new(0));
        let count = made.clone();
        let service = service_fn(move |_: Request<Incoming>| {
            let body = Counted(Pieces { left: LONG * 4 }, count.clone());
            async { Ok::<_, Infallible>(Response::new(body)) }
        });
        let server = spawn(server::conn::http1::Builder::new().serve_connection(Adapted::new(far), service));
        let (mut sender, connection) = client_http1(near).await;
        let response = sender.send_request(get("/")).await.unwrap();
        // Until no more is made.
        let mut before = usize::MAX;
        while before != made.get() {
            before = made.get();
            proact_async::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(before < LONG * 4, "everything was made though nobody reads");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), LONG * 4);
        drop(sender);
        connection.await.unwrap().unwrap();
        server.await.unwrap().unwrap();
    });
}

#[test]
fn a_connection_is_upgraded_and_then_carries_anything() {
    run(|| async {
        let (near, far) = connected().await;
        // Upgrades want `Send`.
        let service = service_fn(|mut request: Request<Incoming>| async move {
            spawn(async move {
                let mut stream = Plain(upgrade::on(&mut request).await.unwrap());
                let mut bytes = [0; 4];
                stream.read_exact(&mut bytes).await.unwrap();
                stream.write_all(b"pong").await.unwrap();
                stream.shutdown().await.unwrap();
                assert_eq!(&bytes, b"ping");
            });
            let answer = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
            let answer = answer.header(header::CONNECTION, "upgrade").header(header::UPGRADE, "pings");
            Ok::<_, Infallible>(answer.body(Empty::<Bytes>::new()).unwrap())
        });
        let connection = server::conn::http1::Builder::new().serve_connection(Adapted::sendable(far), service);
        let server = spawn(connection.with_upgrades());
        let (mut sender, connection) = client::conn::http1::handshake(Adapted::sendable(near)).await.unwrap();
        let connection = spawn(connection.with_upgrades());
        let mut request = get("/");
        request.headers_mut().insert(header::CONNECTION, "upgrade".parse().unwrap());
        request.headers_mut().insert(header::UPGRADE, "pings".parse().unwrap());
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut stream = Plain(upgrade::on(response).await.unwrap());
        stream.write_all(b"ping").await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "pong");
        connection.await.unwrap().unwrap();
        server.await.unwrap().unwrap();
    });
}

/// What hyper has upgraded, under tokio's traits.
struct Plain(upgrade::Upgraded);

impl tokio::io::AsyncRead for Plain {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let mut bytes = vec![0; buffer.remaining()];
        let mut inner = hyper::rt::ReadBuf::new(&mut bytes);
        std::task::ready!(hyper::rt::Read::poll_read(Pin::new(&mut self.0), cx, inner.unfilled()))?;
        buffer.put_slice(inner.filled());
        Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for Plain {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        hyper::rt::Write::poll_write(Pin::new(&mut self.0), cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        hyper::rt::Write::poll_flush(Pin::new(&mut self.0), cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        hyper::rt::Write::poll_shutdown(Pin::new(&mut self.0), cx)
    }
}

#[test]
fn a_client_that_goes_away_ends_its_connection_alone() {
    run(|| async {
        let (near, far) = connected().await;
        let server = serve_http1(far);
        let (mut sender, connection) = client_http1(near).await;
        let response = sender.send_request(get(&format!("/give/{LONG}"))).await.unwrap();
        connection.abort();
        assert!(connection.await.unwrap_err().is_cancelled());
        drop((response, sender));
        assert!(server.await.unwrap().is_err(), "the body could not be sent");

        // In the middle of its request.
        let (near, far) = connected().await;
        let server = serve_http1(far);
        near.write_all(b"GET /hello HT".as_slice()).await.0.unwrap();
        yield_now().await;
        drop(near);
        assert!(server.await.unwrap().unwrap_err().is_incomplete_message());
    });
}

#[test]
fn a_graceful_shutdown_answers_what_was_asked() {
    run(|| async {
        let (near, far) = connected().await;
        let connection = server::conn::http1::Builder::new().serve_connection(Adapted::new(far), service_fn(serve));
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let server = spawn(async move {
            let mut connection = std::pin::pin!(connection);
            let mut told = false;
            std::future::poll_fn(|cx| {
                if !told && Pin::new(&mut stopped).poll(cx).is_ready() {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
                connection.as_mut().poll(cx)
            })
            .await
        });
        let (mut sender, connection) = client_http1(near).await;
        let mut body = sender.send_request(get(&format!("/give/{LONG}"))).await.unwrap().into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap().len();
        stop.send(()).unwrap();
        assert_eq!(first + body.collect().await.unwrap().to_bytes().len(), LONG);
        server.await.unwrap().unwrap();
        connection.await.unwrap().unwrap();
        assert!(sender.send_request(get("/hello")).await.is_err(), "the connection has ended");
    });
}

#[test]
fn a_request_whose_header_does_not_come_is_given_up() {
    run(|| async {
        let (near, far) = connected().await;
        let mut builder = server::conn::http1::Builder::new();
        builder.timer(HyperTimer::here()).header_read_timeout(Duration::from_millis(10));
        let server = spawn(builder.serve_connection(Adapted::new(far), service_fn(serve)));
        near.write_all(b"GET /hello HTTP/1.1\r\nhos".as_slice()).await.0.unwrap();
        assert!(server.await.unwrap().unwrap_err().is_timeout());
        drop(near);
    });
}

#[test]
fn many_streams_share_one_http2_connection() {
    run(|| async {
        let (near, far) = connected().await;
        let mut builder = server::conn::http2::Builder::new(LocalExecutor);
        builder.timer(HyperTimer::here());
        let server = spawn(builder.serve_connection(Adapted::new(far), service_fn(serve)));
        let (sender, connection) = client::conn::http2::handshake(LocalExecutor, Adapted::new(near)).await.unwrap();
        let connection = spawn(connection);
        let mut requests = Vec::new();
        for number in 0..50usize {
            let mut sender = sender.clone();
            requests.push(spawn(async move {
                let length = number * 4321;
                let request = Request::post("http://here/count").body(Pieces { left: length }).unwrap();
                assert_eq!(text(sender.send_request(request).await.unwrap()).await, length.to_string());
            }));
        }
        let mut long = sender.clone();
        let request = Request::post("http://here/echo").body(Pieces { left: LONG }).unwrap();
        let mut body = long.send_request(request).await.unwrap().into_body();
        let mut count = 0;
        while let Some(frame) = body.frame().await {
            count += frame.unwrap().data_ref().map_or(0, Bytes::len);
            if count < LONG / 8 {
                proact_async::time::sleep(Duration::from_millis(1)).await;
            }
        }
        assert_eq!(count, LONG);
        for request in requests {
            request.await.unwrap();
        }
        drop((sender, long, body));
        connection.await.unwrap().unwrap();
        server.await.unwrap().unwrap();
    });
}
