//! Transfers over TLS: what arrives, who is refused and with which words, and what a meddler can do.
#![cfg(target_os = "linux")]

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

#[path = "support/certificates.rs"]
mod certificates;
mod support;
use certificates::*;
use support::*;

const SIZE: usize = 5 * (1 << 20) + 4321;

/// An authority that both sides trust, and a certificate for each.
struct Trust {
    scratch: Scratch,
    authority: Authority,
    server: Issued,
    client: Issued,
}

impl Trust {
    fn new(name: &str) -> Trust {
        let scratch = Scratch::new(name);
        let authority = Authority::new(&scratch.0, "authority");
        let server = authority.issue("server", &["localhost", "127.0.0.1", "files.example"]);
        let client = authority.issue("client", &["sender.example"]);
        Trust { scratch, authority, server, client }
    }

    fn serving(&self) -> [&str; 6] {
        let [certificate, key] = [text(&self.server.certificate), text(&self.server.key)];
        ["--tls-cert", certificate, "--tls-key", key, "--tls-client-ca", text(&self.authority.path)]
    }

    fn trusting(&self) -> [&str; 2] {
        ["--tls-ca", text(&self.authority.path)]
    }

    fn showing(&self) -> [&str; 4] {
        ["--client-cert", text(&self.client.certificate), "--client-key", text(&self.client.key)]
    }
}

fn transfer(source: &Path, to: &str, more: &[&[&str]]) -> Output {
    run([&["transfer", text(source), "--to", to], &more.concat()[..]].concat())
}

/// Both sides with these options: what the sender says, and what the receiver says.
fn both(trust: &Trust, serving: &[&str], sending: &[&[&str]]) -> (Output, Output) {
    let source = trust.scratch.file("source.bin", 100_000);
    let into = trust.scratch.path("into");
    let (receiver, address) = Program::receive(&into, &[&["--once"], serving].concat());
    let sent = transfer(&source, &address.to_string(), sending);
    let received = receiver.finish();
    if !sent.status.success() {
        assert_eq!(names(&into), [""; 0], "nothing is left: {}", stderr(&sent));
    }
    (sent, received)
}

#[test]
fn a_tree_arrives_whole_over_mutual_tls_on_every_backend_and_chunk_size() {
    let trust = Trust::new("tls");
    for (name, size) in [("tree/large", SIZE), ("tree/empty", 0), ("tree/deep/small", 77), ("tree/record", 16384)] {
        trust.scratch.file(name, size);
    }
    let tree = trust.scratch.path("tree");
    for backend in backends() {
        for chunk_size in ["4KiB", "100000", "1MiB", "8MiB"] {
            let into = trust.scratch.path(&format!("{backend}-{chunk_size}"));
            let serving = [&["--once", "--backend", backend], &trust.serving()[..]].concat();
            let (receiver, address) = Program::receive(&into, &serving);
            let options = ["--chunk-size", chunk_size, "--backend", backend, "--json"];
            let sent = transfer(&tree, &address.to_string(), &[&trust.trusting(), &trust.showing(), &options]);
            assert_eq!(sent.status.code(), Some(0), "{backend} {chunk_size}: {}", stderr(&sent));
            let received = receiver.finish();
            assert_eq!(received.status.code(), Some(0), "{backend} {chunk_size}: {}", stderr(&received));
            assert_eq!(json(&sent)["files"], 4);
            assert_eq!(names(&tree), names(&into.join("tree")));
            for name in ["large", "empty", "deep/small", "record"] {
                let (from, to) = (fs::read(tree.join(name)), fs::read(into.join("tree").join(name)));
                assert!(from.expect("there") == to.expect("there"), "{backend} {chunk_size} {name}");
            }
        }
    }
}

#[test]
fn a_receiver_that_asks_for_no_certificate_takes_any_sender() {
    let trust = Trust::new("tls-one-sided");
    let (sent, received) = both(&trust, &trust.serving()[..4], &[&trust.trusting()]);
    assert_eq!((sent.status.code(), received.status.code()), (Some(0), Some(0)), "{}", stderr(&sent));
}

#[test]
fn the_name_of_the_certificate_may_be_given() {
    let trust = Trust::new("tls-name");
    let named = ["--tls-name", "files.example"];
    let (sent, _) = both(&trust, &trust.serving(), &[&trust.trusting(), &trust.showing(), &named]);
    assert_eq!(sent.status.code(), Some(0), "{}", stderr(&sent));
}

#[test]
fn who_is_not_trusted_is_refused_and_both_sides_say_why() {
    let trust = Trust::new("tls-refused");
    let folder = &trust.scratch.0;
    let stranger = Authority::new(folder, "stranger");
    let foreign = stranger.issue("foreign", &["localhost", "127.0.0.1"]);
    let old_server = trust.authority.issue_expired("old-server", &["127.0.0.1"]);
    let old_client = trust.authority.issue_expired("old-client", &["sender.example"]);
    let elsewhere = trust.authority.issue("elsewhere", &["elsewhere.example"]);
    let serve = |issued: &Issued| {
        let (certificate, key) = (text(&issued.certificate).to_owned(), text(&issued.key).to_owned());
        let ca = text(&trust.authority.path).to_owned();
        ["--tls-cert".into(), certificate, "--tls-key".into(), key, "--tls-client-ca".into(), ca]
    };
    let show = |issued: &Issued| {
        let (certificate, key) = (text(&issued.certificate).to_owned(), text(&issued.key).to_owned());
        vec!["--client-cert".to_owned(), certificate, "--client-key".into(), key]
    };
    let (fine, own) = (serve(&trust.server), show(&trust.client));
    let cases = [
        (
            "a receiver of another authority",
            serve(&foreign),
            own.clone(),
            "the receiver's certificate is not issued by an authority of --tls-ca (unknown CA)",
            "the sender does not know the authority that issued --tls-cert (unknown CA)",
        ),
        (
            "a receiver whose certificate has expired",
            serve(&old_server),
            own.clone(),
            "the receiver's certificate has expired",
            "the sender refuses --tls-cert: it has expired",
        ),
        (
            "a receiver of another name",
            serve(&elsewhere),
            own,
            "the receiver's certificate is not for 127.0.0.1; give a name that it is for with --tls-name",
            "the sender refuses --tls-cert",
        ),
        (
            "a sender without a certificate",
            fine.clone(),
            Vec::new(),
            "the receiver asks for a client certificate; add --client-cert and --client-key",
            "the sender showed no client certificate",
        ),
        (
            "a sender of another authority",
            fine.clone(),
            show(&foreign),
            "the receiver does not know the authority that issued --client-cert (unknown CA)",
            "the sender's certificate is not issued by an authority of --tls-client-ca (unknown CA)",
        ),
        (
            "a sender whose certificate has expired",
            fine,
            show(&old_client),
            "the receiver refuses --client-cert: it has expired",
            "the sender's certificate has expired",
        ),
    ];
    for (what, serving, showing, at_sender, at_receiver) in &cases {
        let serving: Vec<&str> = serving.iter().map(String::as_str).collect();
        let showing: Vec<&str> = showing.iter().map(String::as_str).collect();
        let (sent, received) = both(&trust, &serving, &[&trust.trusting(), &showing]);
        println!("{what}: {}", stderr(&sent));
        assert_failed(&sent, 5, at_sender);
        assert_failed(&received, 5, at_receiver);
    }
}

#[test]
fn one_side_with_tls_and_one_without_say_so() {
    let trust = Trust::new("tls-plain");
    let (sent, received) = both(&trust, &trust.serving(), &[]);
    assert_failed(&sent, 5, "the peer speaks TLS, and this side was not told to: see --tls-ca of transfer");
    assert_failed(&received, 5, "the sender does not speak TLS; it was started without --tls-ca");
    let (sent, received) = both(&trust, &[], &[&trust.trusting(), &trust.showing()]);
    assert_failed(&sent, 5, "the receiver does not speak TLS; it was started without --tls-cert");
    assert_failed(&received, 5, "the peer speaks TLS, and this side was not told to");
}

#[test]
fn a_bit_that_flips_on_the_way_ends_the_transfer_wherever_it_is() {
    let trust = Trust::new("tls-flip");
    let source = trust.scratch.file("source.bin", 1 << 20);
    for at in [3, 100, 700, 5000, 100_000, 1_000_000] {
        let into = trust.scratch.path(&format!("into-{at}"));
        let (receiver, address) = Program::receive(&into, &[&["--once"], &trust.serving()[..]].concat());
        let proxy = Proxy::new(address, u64::MAX, move |from, bytes| {
            if (from..from + bytes.len() as u64).contains(&at) {
                bytes[(at - from) as usize] ^= 0x10;
            }
        });
        let to = proxy.address.to_string();
        let sent = transfer(&source, &to, &[&trust.trusting(), &trust.showing()]);
        let received = receiver.finish();
        let codes = (sent.status.code(), received.status.code());
        // In the handshake it may be any rule that is broken; behind it no record can be forged.
        if at >= 5000 {
            assert_eq!(codes, (Some(6), Some(6)), "{at}: {} {}", stderr(&sent), stderr(&received));
            assert!(stderr(&received).contains("a TLS record arrived damaged, or forged"), "{}", stderr(&received));
        } else {
            assert!(codes.0 != Some(0) && codes.1 != Some(0), "{at}: {} {}", stderr(&sent), stderr(&received));
        }
        assert_eq!(names(&into), [""; 0], "{at}");
    }
}

#[test]
fn a_stream_that_is_cut_off_is_told_apart_from_one_that_ends() {
    let trust = Trust::new("tls-cut");
    let source = trust.scratch.file("source.bin", SIZE);
    for (stall, said) in [
        (200, "the sender closed the connection during the TLS handshake"),
        (1 << 20, "the connection was cut off: it ended without the close_notify"),
    ] {
        let into = trust.scratch.path(&format!("into-{stall}"));
        let (receiver, address) = Program::receive(&into, &[&["--once"], &trust.serving()[..]].concat());
        let proxy = Proxy::new(address, stall, |_, _| {});
        let to = proxy.address.to_string();
        let sending = [&["transfer", text(&source), "--to", &to], &trust.trusting()[..], &trust.showing()].concat();
        let sender = Program::start(sending);
        proxy.wait_for_stall();
        proxy.cut();
        assert_failed(&receiver.finish(), 5, said);
        assert_eq!(sender.finish().status.code(), Some(5));
        assert_eq!(names(&into), [""; 0]);
    }
}

#[test]
fn a_handshake_that_does_not_end_has_a_deadline_however_many_bytes_trickle_in() {
    let trust = Trust::new("tls-slow");
    let into = trust.scratch.path("into");
    let serving = [&["--once", "--timeout", "300ms"], &trust.serving()[..]].concat();
    let (receiver, address) = Program::receive(&into, &serving);
    let mut stream = TcpStream::connect(address).expect("it listens");
    // The front of a handshake record of 16 KiB, a byte at a time.
    let mut record = vec![22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc];
    record.resize(5 + 0x4000, 0);
    let writer = std::thread::spawn(move || {
        for byte in record {
            if stream.write_all(&[byte]).is_err() {
                return true;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        false
    });
    assert_failed(&receiver.finish(), 5, "the sender did not finish the TLS handshake for 300ms");
    assert!(writer.join().expect("no panic"), "the receiver took all of it");
    let source = trust.scratch.file("source.bin", 10);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = silent.local_addr().expect("bound").to_string();
    let sent = transfer(&source, &to, &[&trust.trusting(), &["--timeout", "300ms"]]);
    assert_failed(&sent, 5, "the receiver did not finish the TLS handshake for 300ms");
}

#[test]
fn an_interrupted_transfer_goes_on_over_tls() {
    let trust = Trust::new("tls-resume");
    let source = trust.scratch.file("source.bin", SIZE);
    let into = trust.scratch.path("into");
    let options = ["--resume", "--chunk-size", "64KiB", "--json"];
    let (receiver, address) = Program::receive(&into, &[&["--once"], &trust.serving()[..]].concat());
    let proxy = Proxy::new(address, 2 << 20, |_, _| {});
    let to = proxy.address.to_string();
    let sending = [&["transfer", text(&source), "--to", &to], &trust.trusting()[..], &trust.showing(), &options];
    let sender = Program::start(sending.concat());
    proxy.wait_for_stall();
    // What came through is written down as soon as it is verified. A connection that breaks may lose what lies in it.
    let until = std::time::Instant::now() + DEADLINE;
    while claimed(&into) < 30 {
        assert!(std::time::Instant::now() < until, "{} of 30 chunks are written down", claimed(&into));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    proxy.cut();
    assert_eq!((sender.finish().status.code(), receiver.finish().status.code()), (Some(5), Some(5)));
    let (receiver, address) = Program::receive(&into, &[&["--once"], &trust.serving()[..]].concat());
    let sent = transfer(&source, &address.to_string(), &[&trust.trusting(), &trust.showing(), &options]);
    assert_eq!((sent.status.code(), receiver.finish().status.code()), (Some(0), Some(0)), "{}", stderr(&sent));
    let resumed = json(&sent)["resumed_bytes"].as_u64().expect("a number");
    assert!((30 * 65536..=31 * 65536).contains(&resumed), "{resumed}");
    assert!(fs::read(into.join("source.bin")).expect("delivered") == content(SIZE));
}

#[test]
fn files_that_hold_no_certificate_or_key_are_named() {
    let trust = Trust::new("tls-files");
    let (certificate, key) = (text(&trust.server.certificate), text(&trust.server.key));
    let source = trust.scratch.file("source.bin", 10);
    let into = text(&trust.scratch.0);
    let receive = |certificate: &str, key: &str| {
        run(["receive", "--into", into, "--listen", "0", "--tls-cert", certificate, "--tls-key", key])
    };
    assert_failed(&receive("/nonexistent.pem", key), 2, "--tls-cert /nonexistent.pem: No such file");
    assert_failed(&receive(key, key), 2, &format!("--tls-cert {key}: no certificate is in it"));
    assert_failed(&receive(certificate, certificate), 2, &format!("--tls-key {certificate}: no private key is in it"));
    let other = text(&trust.client.key);
    assert_failed(&receive(certificate, other), 2, &format!("--tls-key {other}: "));
    let sent = transfer(&source, "127.0.0.1:1", &[&["--tls-ca", text(&source)]]);
    assert_failed(&sent, 2, &format!("--tls-ca {}: no certificate is in it", text(&source)));
}

#[test]
fn openssl_speaks_with_the_receiver() {
    let trust = Trust::new("tls-openssl");
    let into = trust.scratch.path("into");
    let (receiver, address) = Program::receive(&into, &trust.serving());
    let to = address.to_string();
    let ask = |more: &[&str], input: &[u8]| {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &to, "-CAfile", text(&trust.authority.path), "-verify_return_error"]);
        command.args(["-quiet", "-no_ign_eof", "-tls1_3"]).args(more);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(_) => return None,
        };
        // It waits for the answer as long as its own input is open.
        let mut stdin = child.stdin.take().expect("piped");
        let _ = stdin.write_all(input);
        let mut answer = Vec::new();
        child.stdout.take().expect("piped").read_to_end(&mut answer).expect("readable");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        Some((answer, String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let shown = ["-cert", text(&trust.client.certificate), "-key", text(&trust.client.key)];
    let stranger = [b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".as_slice(), &[b'\n'; 64]].concat();
    let Some((answer, _)) = ask(&shown, &stranger) else {
        println!("SKIPPED: openssl is not installed");
        receiver.signal(rustix::process::Signal::INT);
        receiver.finish();
        return;
    };
    let said = String::from_utf8_lossy(&answer).into_owned();
    assert!(said.contains("does not speak the transfer protocol"), "an ABORT comes through TLS: {said:?}");
    let (_, complaint) = ask(&[], &stranger).expect("it ran before");
    assert!(complaint.contains("certificate required"), "{complaint}");
    receiver.signal(rustix::process::Signal::INT);
    assert_failed(&receiver.finish(), 130, "the sender showed no client certificate");
}

#[test]
fn beyond_loopback_mutual_tls_or_insecure_is_asked_for() {
    let trust = Trust::new("tls-beyond");
    let into = text(&trust.scratch.0);
    let listen = ["receive", "--into", into, "--listen", "0.0.0.0:0"];
    assert_failed(&run(listen), 2, "neither encrypted nor authenticated without --tls-cert and --tls-client-ca");
    let one_sided = [&listen[..], &trust.serving()[..4]].concat();
    assert_failed(&run(one_sided), 2, "senders are not authenticated without --tls-client-ca");
    let source = trust.scratch.file("source.bin", 1000);
    let serving = [&["--listen", "0.0.0.0:0", "--once"], &trust.serving()[..]].concat();
    let (receiver, address) = Program::receive(&trust.scratch.path("into"), &serving);
    let to = format!("127.0.0.1:{}", address.port());
    let sent = transfer(&source, &to, &[&trust.trusting(), &trust.showing()]);
    assert_eq!(sent.status.code(), Some(0), "{}", stderr(&sent));
    let said = stderr(&receiver.finish());
    assert!(!said.contains("warning"), "{said}");
}
