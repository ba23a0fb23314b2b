//! Code that knows other traits, over streams of this crate; and a proactor beside it.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use proact::proactor::{Builder, Choice};
use proact::resource::OpenFlags;
use proact::status::Result;
use proact::sync::Semaphore;
use proact_async::adapt::{Adapted, Destination, HyperTimer, LocalExecutor, Options, io_error};
use proact_async::net::TcpStream;
use proact_async::{Companion, adapt, handle, tls};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::Service;

use super::net::{connected, listen};
use super::{Helper, Place, failed, right};

/// Long enough to stand in several sends.
const QUESTION: [u8; 6000] = [7; 6000];

/// With buffers of its own: the pool that a thread's streams share is made by the first of them, or that one panics.
fn plain(stream: TcpStream) -> Adapted {
    Adapted::with(stream, &Options::owned(2000))
}

/// Asks, and reads the answer to its end.
async fn ask(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) -> Result {
    stream.write_all(&QUESTION).await.map_err(failed)?;
    stream.shutdown().await.map_err(failed)?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await.map_err(failed)?;
    right(back == QUESTION, "another answer")
}

async fn answer(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) -> Result {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.map_err(failed)?;
    stream.write_all(&all).await.map_err(failed)?;
    stream.shutdown().await.map_err(failed)
}

/// Under tokio's traits: one end straight to its proactor, the other by the way from any thread.
pub async fn adapted(place: Place) -> Result {
    let (near, far) = connected().await?;
    let near = Adapted::with(near, &Options::owned(1000));
    let far = Adapted::on(&handle(), far.socket().clone(), &Options::pooled(&place.pool));
    let (asked, answered) = join(ask(near), answer(far)).await;
    asked.and(answered)
}

/// Under the traits of futures-io. What was accepted of a dropped stream is sent all the same.
pub async fn futures_io(_: Place) -> Result {
    use futures_util::{AsyncReadExt, AsyncWriteExt};
    let (near, far) = connected().await?;
    let (mut near, mut far) = (Adapted::with(near, &Options::owned(1000)), plain(far));
    AsyncWriteExt::write_all(&mut near, &QUESTION[..1500]).await.map_err(failed)?;
    drop(near);
    let mut all = Vec::new();
    AsyncReadExt::read_to_end(&mut far, &mut all).await.map_err(failed)?;
    right(all == QUESTION[..1500], "a part was lost")?;
    AsyncWriteExt::close(&mut far).await.map_err(failed)
}

/// Made once for all runs: keys are dear.
static TLS: LazyLock<(tls::Acceptor, tls::Connector)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["here".to_string()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let server = ServerConfig::builder().with_no_client_auth();
    let mut server = server.with_single_cert(vec![made.cert.der().clone()], key).expect("its own certificate");
    let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    // Sessions are not kept: what one run leaves there would be counted.
    client.resumption = rustls::client::Resumption::disabled();
    server.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    (tls::Acceptor::new(Arc::new(server)), tls::Connector::new(Arc::new(client)))
});

pub async fn session(_: Place) -> Result {
    let (acceptor, connector) = &*TLS;
    let (near, far) = connected().await?;
    let asks = async {
        let name = "here".try_into().expect("a name");
        ask(connector.connect(name, plain(near)).await.map_err(failed)?).await
    };
    let answers = async { answer(acceptor.accept(plain(far)).await.map_err(failed)?).await };
    let (asked, answered) = join(asks, answers).await;
    asked.and(answered)
}

async fn length(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let count = request.into_body().collect().await?.to_bytes().len();
    Ok(Response::new(Full::new(count.to_string().into())))
}

fn broken(error: hyper::Error) -> proact::status::Status {
    failed(std::io::Error::other(error))
}

pub async fn http(_: Place) -> Result {
    let (near, far) = connected().await?;
    let serves = async {
        let mut builder = server::conn::http1::Builder::new();
        builder.timer(HyperTimer::here()).header_read_timeout(Duration::from_secs(60));
        builder.serve_connection(plain(far), service_fn(length)).await.map_err(broken)
    };
    let asks = async {
        let (mut sender, connection) = client::conn::http1::handshake(plain(near)).await.map_err(broken)?;
        let connection = Helper::new(connection);
        let request = Request::post("/").body(Full::new(Bytes::from_static(&QUESTION))).expect("a request");
        let answer = sender.send_request(request).await.map_err(broken)?;
        let text = answer.into_body().collect().await.map_err(broken)?.to_bytes();
        right(text == "6000", "another length")?;
        drop(sender);
        connection.end().await.map_err(broken)
    };
    let (served, asked) = join(serves, asks).await;
    served.and(asked)
}

/// HTTP/2, whose tasks the executor of the crate runs.
pub async fn streams(_: Place) -> Result {
    let (near, far) = connected().await?;
    let serves = async {
        let mut builder = server::conn::http2::Builder::new(LocalExecutor);
        builder.timer(HyperTimer::here());
        builder.serve_connection(plain(far), service_fn(length)).await.map_err(broken)
    };
    let asks = async {
        let handshake = client::conn::http2::handshake(LocalExecutor, plain(near));
        let (mut sender, connection) = handshake.await.map_err(broken)?;
        let asking = async move {
            let request = Request::post("http://here/").body(Full::new(Bytes::from_static(&QUESTION)));
            let answer = sender.send_request(request.expect("a request")).await.map_err(broken)?;
            let text = answer.into_body().collect().await.map_err(broken)?.to_bytes();
            right(text == "6000", "another length")
        };
        let (asked, connected) = join(asking, connection).await;
        asked.and(connected.map_err(broken))
    };
    let (served, asked) = join(serves, asks).await;
    served.and(asked)
}

pub async fn tower(_: Place) -> Result {
    let (listener, address) = listen()?;
    let mut connector = adapt::Connector::new(|to: Destination| async move {
        let address: std::net::IpAddr = to.host.parse().map_err(std::io::Error::other)?;
        TcpStream::connect(SocketAddr::from((address, to.port)).into()).await.map_err(io_error)
    });
    let uri = format!("http://127.0.0.1:{}/", address.port().expect("it has one"));
    let (connected, accepted) = join(connector.call(uri.parse().expect("a URI")), listener.accept()).await;
    connected.map_err(failed)?;
    accepted.map(drop)
}

/// The futures of a proactor on a thread of its own, which no runtime need know of.
pub async fn beside(place: Place) -> Result {
    let choice = match handle().backend() {
        "io_uring" => Choice::IoUring,
        "epoll" => Choice::Epoll,
        _ => Choice::Poll,
    };
    let companion = Companion::with(Builder::new().backend(choice))?;
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let file = companion.open(place.folder.join("beside"), flags).await?;
    companion.write_at(&file, 0, vec![1; 100]).await.0?;
    right(companion.read_at(&file, 50, vec![0; 100]).await.0? == 50, "another length")?;
    let semaphore = Semaphore::new(0);
    let signals = semaphore.clone();
    let signals = Helper::new(async move { signals.signal(1, None) });
    companion.wait(&semaphore, 1).await?;
    signals.end().await?;
    companion.sleep(Duration::from_micros(50)).await?;
    right(companion.statistics().await?.completed > 0, "it has done something")?;
    let listener = companion.listen(&"127.0.0.1:0".parse()?)?;
    let address = listener.local_address()?;
    let (connected, accepted) = join(companion.connect(address), companion.accept(&listener)).await;
    let (asked, answered) = join(ask(connected?), answer(accepted?.0)).await;
    asked.and(answered)
}
