//! Tower's services: connecting for a client that pools, and whatever is to be served.

mod support;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, Uri, server};
use hyper_util::client::legacy::Client;
use hyper_util::service::TowerToHyperService;
use proact_async::adapt::{Adapted, Connector, Destination, HyperTimer, LocalExecutor, io_error};
use proact_async::net::{TcpListener, TcpStream};
use proact_async::spawn;
use proact_async::tls::{Acceptor, Connector as TlsConnector};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use support::run;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

async fn hello(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let text = format!("{:?} {}", request.version(), request.uri().path());
    Ok(Response::new(Full::new(text.into())))
}

/// Serves every connection by a tower service that lets only so many requests in at once.
async fn serve(listener: TcpListener, acceptor: Option<Acceptor>, accepted: Rc<Cell<usize>>) {
    let service = ServiceBuilder::new().concurrency_limit(4).service(service_fn(hello));
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        accepted.set(accepted.get() + 1);
        let service = TowerToHyperService::new(service.clone());
        let acceptor = acceptor.clone();
        spawn(async move {
            let stream = Adapted::new(stream);
            match acceptor {
                None => server::conn::http1::Builder::new().serve_connection(stream, service).await,
                Some(acceptor) => {
                    let stream = acceptor.accept(stream).await.unwrap();
                    server::conn::http2::Builder::new(LocalExecutor).serve_connection(stream, service).await
                }
            }
        });
    }
}

async fn tcp(to: &Destination) -> io::Result<TcpStream> {
    let address: std::net::IpAddr = to.host.parse().map_err(io::Error::other)?;
    TcpStream::connect(std::net::SocketAddr::from((address, to.port)).into()).await.map_err(io_error)
}

async fn text(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[test]
fn a_pooling_client_connects_by_it_and_keeps_its_connections() {
    run(|| async {
        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_address().unwrap();
        let accepted = Rc::new(Cell::new(0));
        let server = spawn(serve(listener, None, accepted.clone()));
        let connector = Connector::new(|to| async move { Ok(Adapted::sendable(tcp(&to).await?)) });
        let client: Client<_, Full<Bytes>> =
            Client::builder(LocalExecutor).timer(HyperTimer::here()).pool_timer(HyperTimer::here()).build(connector);
        for number in 0..20 {
            let uri: Uri = format!("http://{address}/{number}").parse().unwrap();
            assert_eq!(text(client.get(uri).await.unwrap()).await, format!("HTTP/1.1 /{number}"));
        }
        assert_eq!(accepted.get(), 1);
        let error = client.get("http://name.invalid/".parse().unwrap()).await.unwrap_err();
        assert!(error.is_connect(), "{error:?}");
        drop(client);
        server.abort();
        assert!(server.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_connector_with_tls_says_that_http2_was_agreed_on() {
    run(|| async {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_string()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let mut config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = Acceptor::new(Arc::new(config));
        let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let tls = TlsConnector::new(Arc::new(config));

        let listener = TcpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_address().unwrap();
        let accepted = Rc::new(Cell::new(0));
        let server = spawn(serve(listener, Some(acceptor), accepted.clone()));
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = calls.clone();
        let connector = Connector::new(move |to: Destination| {
            counted.fetch_add(1, Ordering::Relaxed);
            let tls = tls.clone();
            async move {
                assert!(to.is_secure);
                let name = to.host.clone().try_into().map_err(io::Error::other)?;
                tls.connect(name, Adapted::sendable(tcp(&to).await?)).await
            }
        });
        let client: Client<_, Full<Bytes>> = Client::builder(LocalExecutor).build(connector);
        let first: Uri = format!("https://{address}/first").parse().unwrap();
        assert_eq!(text(client.get(first).await.unwrap()).await, "HTTP/2.0 /first");
        // They share the connection that is there.
        let requests: Vec<_> = (0..10)
            .map(|number| client.get(format!("https://{address}/{number}").parse().unwrap()))
            .map(spawn)
            .collect();
        for (number, request) in requests.into_iter().enumerate() {
            assert_eq!(text(request.await.unwrap().unwrap()).await, format!("HTTP/2.0 /{number}"));
        }
        assert_eq!((accepted.get(), calls.load(Ordering::Relaxed)), (1, 1));
        drop(client);
        server.abort();
        assert!(server.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_uri_without_a_host_is_refused_and_a_connection_given_up_is_dropped() {
    run(|| async {
        let held = Rc::new(());
        let kept = held.clone();
        let mut connector = Connector::new(move |_: Destination| {
            let held = held.clone();
            async move {
                std::future::pending::<()>().await;
                drop(held);
                io::Result::Ok(())
            }
        });
        let service = connector.ready().await.unwrap();
        let error = service.call("/path".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let connecting = service.call("http://[::1]/".parse().unwrap());
        assert_eq!(Rc::strong_count(&kept), 3);
        drop(connecting);
        while Rc::strong_count(&kept) == 3 {
            proact_async::yield_now().await;
        }
        let of = |text: &str| Destination::of(&text.parse().unwrap()).unwrap();
        assert_eq!(of("wss://[::1]/x"), Destination { host: "::1".into(), port: 443, is_secure: true });
        assert_eq!(of("http://here:81"), Destination { host: "here".into(), port: 81, is_secure: false });
    });
}
