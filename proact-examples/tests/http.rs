//! `http` and `https`, from hyper's own client on another runtime.

mod client;
mod support;

use std::io::Write;
use std::sync::Arc;

use client::{Client, on_tokio, request};
use rustls::{ClientConfig, RootCertStore};
use support::{Folder, Program, expect_end, noise};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

fn start(arguments: &[&str]) -> Program {
    Program::start(env!("CARGO_BIN_EXE_http"), arguments)
}

/// What every client must see, whatever is below it.
async fn check(mut client: Client) {
    let hello = client.get("/", &[]).await;
    assert_eq!((hello.status().as_u16(), &hello.body()[..]), (200, b"Hello, world!\n".as_slice()));
    assert_eq!(client.get("/nothing", &[]).await.status(), 404);
    assert_eq!(client.send(request("DELETE", "/", &[], b"")).await.status(), 405);
    assert_eq!(client.get("/bytes/0", &[]).await.body().len(), 0);

    let long = client.get("/bytes/5000000", &[]).await;
    assert!(long.body().iter().copied().eq((b'a'..=b'z').cycle().take(5_000_000)), "{} bytes", long.body().len());
    let sent = noise(3 << 20);
    assert!(client.send(request("POST", "/echo", &[], &sent)).await.body()[..] == sent, "the same bytes");
    assert_eq!(client.get("/", &[]).await.status(), 200, "the same connection goes on");
}

#[test]
fn both_versions_are_served() {
    let program = start(&[]);
    on_tokio(async {
        for two in [false, true] {
            check(Client::new(TcpStream::connect(&program.address).await.unwrap(), two).await).await;
        }
    });
    program.stop();
}

#[test]
fn what_is_no_http_is_refused_and_others_are_served() {
    let program = start(&[]);
    let mut stranger = program.connect();
    stranger.write_all(b"\x16\x03\x01 what?\r\n\r\n").unwrap();
    let mut reply = String::new();
    std::io::Read::read_to_string(&mut stranger, &mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 400 "), "{reply}");
    on_tokio(async { check(Client::new(TcpStream::connect(&program.address).await.unwrap(), false).await).await });
    program.stop();
}

#[test]
fn an_interrupt_ends_connections_that_are_kept_alive() {
    let program = start(&[]);
    on_tokio(async {
        // Accepted before those that are answered.
        let mut silent = program.connect();
        let mut clients = Vec::new();
        for two in [false, true] {
            let mut client = Client::new(TcpStream::connect(&program.address).await.unwrap(), two).await;
            assert_eq!(client.get("/", &[]).await.status(), 200);
            clients.push(client);
        }
        program.interrupt();
        // Not on this thread, where the clients' own tasks say goodbye.
        let ended = tokio::task::spawn_blocking(move || program.wait()).await.unwrap();
        assert!(ended.success());
        expect_end(&mut silent);
    });
}

/// A server with a certificate of its own making, and a client's configuration that knows it.
fn start_tls(alpn: &[&[u8]]) -> (Program, TlsConnector, Folder) {
    let folder = Folder::new();
    let made = rcgen::generate_simple_self_signed(["localhost".to_string()]).unwrap();
    let (certificate, key) = (folder.path.join("certificate.pem"), folder.path.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let [certificate, key] = [certificate, key].map(|path| path.to_str().unwrap().to_string());
    let program = Program::start(env!("CARGO_BIN_EXE_https"), &["--certificate", &certificate, "--key", &key]);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (program, TlsConnector::from(Arc::new(config)), folder)
}

#[test]
fn the_client_chooses_the_version_as_the_session_opens() {
    for (offered, two) in [([b"http/1.1".as_slice()].as_slice(), false), (&[b"h2", b"http/1.1"], true)] {
        let (program, connector, _folder) = start_tls(offered);
        on_tokio(async {
            let stream = TcpStream::connect(&program.address).await.unwrap();
            let session = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
            assert_eq!(session.get_ref().1.alpn_protocol() == Some(b"h2"), two);
            check(Client::new(session, two).await).await;
        });
        program.stop();
    }
}

#[test]
fn a_client_without_tls_is_given_up_and_others_are_served() {
    let (program, connector, _folder) = start_tls(&[b"http/1.1"]);
    let mut stranger = program.connect();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut alert = Vec::new();
    std::io::Read::read_to_end(&mut stranger, &mut alert).unwrap();
    assert_eq!(alert.first(), Some(&21), "an alert of TLS, not an answer: {alert:?}");
    on_tokio(async {
        let stream = TcpStream::connect(&program.address).await.unwrap();
        let session = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
        check(Client::new(session, false).await).await;
    });
    program.stop();
}
