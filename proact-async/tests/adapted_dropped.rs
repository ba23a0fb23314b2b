//! What is dropped, at whatever moment, takes nothing with it: streams, sessions and HTTP, at each of their polls.

mod support;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use proact::memory::{Allocation, BufferPool, Slab};
use proact::proactor::{Builder, Choice};
use proact::simulated::World;
use proact_async::adapt::{Adapted, HyperTimer, LocalExecutor, Options};
use proact_async::tls::{Acceptor, Connector};
use proact_async::{Runtime, handle};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use support::connected;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Runs what `make` makes again and again, dropped after one poll, after two, and so on, until one has come to its end.
/// Answers how many polls that took.
fn at_every_poll<F: Future<Output = ()>>(runtime: impl Fn() -> Option<Runtime>, make: impl Fn(BufferPool) -> F) -> u32 {
    for polls in 1.. {
        let Some(runtime) = runtime() else { return 0 };
        let pool = BufferPool::new(Slab::allocate(4096, 8, &Allocation::new()).unwrap()).unwrap();
        let is_over = runtime.block_on(async {
            let mut future = pin!(make(pool.clone()));
            let mut left = polls;
            poll_fn(|cx| {
                left -= 1;
                match future.as_mut().poll(cx) {
                    Poll::Ready(()) => Poll::Ready(true),
                    Poll::Pending if left == 0 => Poll::Ready(false),
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        });
        assert_eq!(runtime.shutdown(Duration::from_secs(60)), 0, "dropped after {polls} polls: operations are left");
        assert_eq!(pool.available(), pool.capacity(), "dropped after {polls} polls: buffers are left");
        if is_over {
            return polls;
        }
    }
    unreachable!("it ends")
}

fn on_every_backend<F: Future<Output = ()>>(make: impl Fn(BufferPool) -> F) {
    let world = || Some(Runtime::builder().proactor(Builder::new().simulated(&World::new(1).host("a").process())));
    let polls = at_every_poll(|| world()?.build().ok(), &make);
    assert!(polls > 3, "{polls}");
    for choice in [Choice::IoUring, Choice::Epoll] {
        at_every_poll(|| Runtime::builder().proactor(Builder::new().backend(choice)).build().ok(), &make);
    }
}

#[test]
fn streams_are_dropped_at_every_poll() {
    on_every_backend(|pool| async move {
        let (near, far) = connected().await;
        let mut near = Adapted::with(near, &Options::pooled(&pool));
        let mut far = Adapted::on(&handle(), far.socket().clone(), &Options::pooled(&pool));
        let bytes = [3; 20_000];
        let ask = async {
            near.write_all(&bytes).await.unwrap();
            near.shutdown().await.unwrap();
            let mut back = Vec::new();
            near.read_to_end(&mut back).await.unwrap();
            assert_eq!(back, bytes);
        };
        let answer = async {
            let mut all = Vec::new();
            far.read_to_end(&mut all).await.unwrap();
            far.write_all(&all).await.unwrap();
            far.shutdown().await.unwrap();
        };
        join(ask, answer).await;
    });
}

#[test]
fn sessions_are_dropped_at_every_poll() {
    let made = rcgen::generate_simple_self_signed(["here".to_string()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let server = ServerConfig::builder().with_no_client_auth();
    let acceptor = Acceptor::new(Arc::new(server.with_single_cert(vec![made.cert.der().clone()], key).unwrap()));
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = Connector::new(Arc::new(client));
    on_every_backend(|pool| {
        let (acceptor, connector) = (acceptor.clone(), connector.clone());
        async move {
            let options = Options::pooled(&pool);
            let (near, far) = connected().await;
            let ask = async {
                let name = "here".try_into().unwrap();
                let mut near = connector.connect(name, Adapted::with(near, &options)).await.unwrap();
                near.write_all(b"question").await.unwrap();
                near.shutdown().await.unwrap();
                let mut back = String::new();
                near.read_to_string(&mut back).await.unwrap();
                assert_eq!(back, "question");
            };
            let answer = async {
                let mut far = acceptor.accept(Adapted::with(far, &options)).await.unwrap();
                let mut all = Vec::new();
                far.read_to_end(&mut all).await.unwrap();
                far.write_all(&all).await.unwrap();
                far.shutdown().await.unwrap();
            };
            join(ask, answer).await;
        }
    });
}

async fn length(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let count = request.into_body().collect().await?.to_bytes().len();
    Ok(Response::new(Full::new(count.to_string().into())))
}

#[test]
fn http_is_dropped_at_every_poll() {
    on_every_backend(|pool| async move {
        let options = Options::pooled(&pool);
        let (near, far) = connected().await;
        let mut builder = server::conn::http2::Builder::new(LocalExecutor);
        builder.timer(HyperTimer::here());
        let serving = builder.serve_connection(Adapted::with(far, &options), service_fn(length));
        let client = async {
            let stream = Adapted::with(near, &options);
            let (mut sender, connection) = client::conn::http2::handshake(LocalExecutor, stream).await.unwrap();
            let asking = async move {
                let request = Request::post("http://here/").body(Full::new(Bytes::from(vec![1; 5000]))).unwrap();
                let answer = sender.send_request(request).await.unwrap();
                assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "5000");
            };
            join(asking, connection).await.1.unwrap();
        };
        join(serving, client).await.0.unwrap();
    });
}

#[test]
fn hypers_timeouts_are_on_the_proactors_clock() {
    let world = World::new(3);
    let process = world.host("a").process();
    let runtime = Runtime::builder().proactor(Builder::new().simulated(&process)).build().unwrap();
    runtime.block_on(async {
        const HOUR: Duration = Duration::from_secs(3600);
        let (near, far) = connected().await;
        let mut builder = server::conn::http1::Builder::new();
        builder.timer(HyperTimer::here()).header_read_timeout(HOUR);
        let before = proact_async::time::now();
        near.write_all(b"GET / HT".as_slice()).await.0.unwrap();
        let ended = builder.serve_connection(Adapted::new(far), service_fn(length)).await;
        assert!(ended.unwrap_err().is_timeout());
        let passed = proact_async::time::now() - before;
        assert!(passed >= HOUR && passed < HOUR + Duration::from_secs(1), "{passed:?}");
    });
}
