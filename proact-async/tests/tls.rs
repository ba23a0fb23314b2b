//! TLS over the adapters: sessions, their ends, and HTTP in them.

#[path = "support/both_ways.rs"]
mod both_ways;
mod support;

use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use both_ways::there_and_back;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, client, server};
use proact_async::adapt::{Adapted, LocalExecutor};
use proact_async::spawn;
use proact_async::tls::{Acceptor, Connector, TlsStream};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use support::{connected, run};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

struct Ends {
    acceptor: Acceptor,
    connector: Connector,
}

/// A server whose certificate its client trusts.
fn ends(server_protocols: &[&str], client_protocols: &[&str]) -> Ends {
    let protocols = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
    let made = rcgen::generate_simple_self_signed(["here".to_string()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut server =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    server.alpn_protocols = protocols(server_protocols);
    let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = protocols(client_protocols);
    Ends { acceptor: Acceptor::new(Arc::new(server)), connector: Connector::new(Arc::new(client)) }
}

fn name() -> ServerName<'static> {
    "here".try_into().unwrap()
}

/// An open session: the client's end and the server's.
async fn session() -> (TlsStream<Adapted>, TlsStream<Adapted>) {
    let Ends { acceptor, connector } = ends(&[], &[]);
    let (near, far) = connected().await;
    let accepting = spawn(async move { acceptor.accept(Adapted::new(far)).await });
    let near = connector.connect(name(), Adapted::new(near)).await.unwrap();
    (near, accepting.await.unwrap().unwrap())
}

#[test]
fn many_bytes_go_both_ways_at_once() {
    run(|| async {
        let (near, far) = session().await;
        there_and_back(near, far).await;
    });
}

#[test]
fn what_is_written_goes_without_a_flush() {
    run(|| async {
        let (mut near, far) = session().await;
        let (mut text, mut far) = (String::new(), tokio::io::BufReader::new(far));
        near.write_all(b"no flush\n").await.unwrap();
        far.read_line(&mut text).await.unwrap();
        assert_eq!(text, "no flush\n");
        // Also what needs many records, of which some wait for room; nobody looks at the near end when it is through.
        let bytes = vec![7; 300_000];
        let writer = spawn(async move {
            near.write_all(&bytes).await.unwrap();
            near
        });
        let mut back = vec![0; 300_000];
        far.read_exact(&mut back).await.unwrap();
        assert!(back.iter().all(|byte| *byte == 7));
        drop(writer.await.unwrap());
    });
}

#[test]
fn an_end_that_was_said_is_told_from_one_that_was_not() {
    run(|| async {
        let (mut near, mut far) = session().await;
        near.write_all(b"all of it").await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(near.write_all(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut text = String::new();
        far.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "all of it");
        // The other half goes on.
        far.write_all(b"thanks").await.unwrap();
        far.shutdown().await.unwrap();
        let mut text = String::new();
        near.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "thanks");

        let (mut near, mut far) = session().await;
        // With something unread, the session's tickets, the system would reset the connection instead.
        far.write_u8(1).await.unwrap();
        near.read_u8().await.unwrap();
        near.write_all(b"part of it").await.unwrap();
        drop(near);
        let mut text = Vec::new();
        let error = far.read_to_end(&mut text).await.unwrap_err();
        assert_eq!((error.kind(), text.as_slice()), (ErrorKind::UnexpectedEof, b"part of it".as_slice()));
    });
}

#[test]
fn a_server_that_is_not_trusted_is_refused_and_told_so() {
    run(|| async {
        let (Ends { acceptor, .. }, Ends { connector, .. }) = (ends(&[], &[]), ends(&[], &[]));
        let (near, far) = connected().await;
        let accepting = spawn(async move { acceptor.accept(Adapted::new(far)).await });
        let error = connector.connect(name(), Adapted::new(near)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let error = error.into_inner().unwrap().downcast::<rustls::Error>().unwrap();
        assert!(matches!(*error, rustls::Error::InvalidCertificate(_)), "{error}");
        let error = accepting.await.unwrap().unwrap_err();
        let error = error.into_inner().unwrap().downcast::<rustls::Error>().unwrap();
        assert!(matches!(*error, rustls::Error::AlertReceived(_)), "{error}");
    });
}

#[test]
fn an_opening_that_is_dropped_closes_its_connection() {
    run(|| async {
        let Ends { acceptor, connector } = ends(&[], &[]);
        let (near, far) = connected().await;
        {
            let mut opening = std::pin::pin!(connector.connect(name(), Adapted::new(near)));
            poll_fn(|cx| {
                assert!(opening.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        let error = acceptor.accept(Adapted::new(far)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error:?}");

        let (near, far) = connected().await;
        let mut accepting = Box::pin(acceptor.accept(Adapted::new(far)));
        poll_fn(|cx| {
            assert!(accepting.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(accepting);
        let error = connector.connect(name(), Adapted::new(near)).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error:?}");
    });
}

#[test]
fn a_server_that_speaks_no_tls_is_no_trouble() {
    run(|| async {
        let Ends { connector, .. } = ends(&[], &[]);
        let (near, far) = connected().await;
        far.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice()).await.0.unwrap();
        let error = connector.connect(name(), Adapted::new(near)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    });
}

#[test]
fn both_sides_agree_on_a_protocol_and_http_goes_over_it() {
    async fn serve(request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
        let version = format!("{:?}", request.version());
        let count = request.into_body().collect().await?.to_bytes().len();
        Ok(Response::new(Full::new(format!("{version} {count}").into())))
    }
    run(|| async {
        for wanted in ["h2", "http/1.1"] {
            let Ends { acceptor, connector } = ends(&["h2", "http/1.1"], &[wanted]);
            let (near, far) = connected().await;
            let server = spawn(async move {
                let stream = acceptor.accept(Adapted::new(far)).await.unwrap();
                if stream.alpn_protocol() == Some(b"h2") {
                    let builder = server::conn::http2::Builder::new(LocalExecutor);
                    builder.serve_connection(stream, service_fn(serve)).await
                } else {
                    server::conn::http1::Builder::new().serve_connection(stream, service_fn(serve)).await
                }
            });
            let stream = connector.connect(name(), Adapted::new(near)).await.unwrap();
            assert_eq!(stream.alpn_protocol(), Some(wanted.as_bytes()));
            let body = Full::new(Bytes::from(vec![1; 1 << 20]));
            let request = Request::post("https://here/").header("host", "here").body(body).unwrap();
            let response = if wanted == "h2" {
                let (mut sender, connection) = client::conn::http2::handshake(LocalExecutor, stream).await.unwrap();
                let connection = spawn(connection);
                let response = sender.send_request(request).await.unwrap();
                drop(sender);
                (response, connection)
            } else {
                let (mut sender, connection) = client::conn::http1::handshake(stream).await.unwrap();
                let connection = spawn(connection);
                let response = sender.send_request(request).await.unwrap();
                drop(sender);
                (response, connection)
            };
            let text = response.0.into_body().collect().await.unwrap().to_bytes();
            let version = if wanted == "h2" { "HTTP/2.0" } else { "HTTP/1.1" };
            assert_eq!(text, format!("{version} {}", 1 << 20));
            response.1.await.unwrap().unwrap();
            server.await.unwrap().unwrap();
        }
    });
}

#[test]
fn a_session_stays_usable_while_a_read_of_it_is_given_up() {
    run(|| async {
        let (mut near, mut far) = session().await;
        for round in 0..20u8 {
            {
                let mut reading = Box::pin(far.read_u8());
                poll_fn(|cx| Poll::Ready(Pin::new(&mut reading).poll(cx).is_ready())).await;
            }
            near.write_u8(round).await.unwrap();
            assert_eq!(far.read_u8().await.unwrap(), round);
        }
    });
}
