//! Streams to and from granted addresses.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use proact::status::Code;
use proact_vm::standard::{Grants, Host, Limits};
use proact_vm::{Ref, Value};

use crate::{bytes, call, contents, context, granted, reference, refused, room, thread};

fn grants(connect: &[String], listen: &[&str]) -> Grants {
    let grants = connect.iter().fold(Grants::new(), |grants, rule| grants.connect(rule.parse().unwrap()));
    listen.iter().fold(grants, |grants, rule| grants.listen(rule.parse().unwrap()))
}

#[test]
fn a_program_connects_sends_receives_and_sees_the_end() {
    let thread = thread();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap().to_string();
    let context = granted(thread.handle(), grants(std::slice::from_ref(&address), &[]));
    let socket = call(&context, "socket.connect", [bytes(&address)]).unwrap();
    assert_eq!(reference(&socket).type_name(), Some("vm.socket"));
    let (mut peer, peer_address) = server.accept().unwrap();
    let local = call(&context, "socket.local_address", [socket.clone()]).unwrap();
    assert_eq!(contents(&local), peer_address.to_string().into_bytes());
    let far = call(&context, "socket.peer_address", [socket.clone()]).unwrap();
    assert_eq!(contents(&far), address.clone().into_bytes());

    call(&context, "socket.send", [socket.clone(), bytes("hello")]).unwrap();
    call(&context, "socket.shutdown", [socket.clone(), Value::I32(1)]).unwrap();
    let mut heard = Vec::new();
    peer.read_to_end(&mut heard).unwrap();
    assert_eq!(heard, b"hello");

    peer.write_all(b"answer").unwrap();
    let head = room(3);
    call(&context, "socket.receive_exact", [socket.clone(), head.clone().into()]).unwrap();
    assert_eq!(head.to_vec(), b"ans");
    drop(peer);
    // The end comes before the buffer is full: what was there is for the next receive.
    let (code, words) = refused(&context, "socket.receive_exact", [socket.clone(), room(4).into()]);
    assert!(code == Code::OutOfRange && words.contains("1 bytes before"), "{words}");
    let rest = room(8);
    assert_eq!(call(&context, "socket.receive", [socket.clone(), rest.clone().into()]).unwrap(), Value::I64(3));
    assert_eq!(&rest.to_vec()[..3], b"wer");
    assert_eq!(call(&context, "socket.receive", [socket.clone(), rest.into()]).unwrap(), Value::I64(0));

    assert_eq!(refused(&context, "socket.receive", [socket.clone(), room(0).into()]).0, Code::InvalidArgument);
    assert_eq!(refused(&context, "socket.receive", [socket.clone(), bytes("x")]).0, Code::PermissionDenied);
    assert_eq!(refused(&context, "socket.shutdown", [socket.clone(), Value::I32(3)]).0, Code::InvalidArgument);
    assert_eq!(refused(&context, "socket.accept", [socket.clone()]).0, Code::InvalidArgument);
    call(&context, "socket.close", [socket.clone()]).unwrap();
    for (function, buffer) in [("socket.send", bytes("x")), ("socket.receive", room(1).into())] {
        assert_eq!(refused(&context, function, [socket.clone(), buffer]).0, Code::FailedPrecondition, "{function}");
    }
    for function in ["socket.close", "socket.local_address"] {
        assert_eq!(refused(&context, function, [socket.clone()]).0, Code::FailedPrecondition, "{function}");
    }
    thread.join().unwrap();
}

#[test]
fn a_program_listens_and_accepts() {
    let thread = thread();
    let context = granted(thread.handle(), grants(&[], &["127.0.0.1:0"]));
    let listener = call(&context, "socket.listen", [bytes("127.0.0.1:0")]).unwrap();
    let address = call(&context, "socket.local_address", [listener.clone()]).unwrap();
    let mut client = TcpStream::connect(String::from_utf8(contents(&address)).unwrap()).unwrap();
    let socket = call(&context, "socket.accept", [listener.clone()]).unwrap();
    let peer = call(&context, "socket.peer_address", [socket.clone()]).unwrap();
    assert_eq!(contents(&peer), client.local_addr().unwrap().to_string().into_bytes());
    client.write_all(b"x").unwrap();
    let buffer = room(4);
    assert_eq!(call(&context, "socket.receive", [socket, buffer.into()]).unwrap(), Value::I64(1));
    for (function, buffer) in [("socket.send", bytes("x")), ("socket.receive", room(1).into())] {
        let (code, words) = refused(&context, function, [listener.clone(), buffer]);
        assert!(code == Code::InvalidArgument && words.contains("listens"), "{words}");
    }
    call(&context, "socket.close", [listener.clone()]).unwrap();
    assert_eq!(refused(&context, "socket.accept", [listener]).0, Code::FailedPrecondition);
    thread.join().unwrap();
}

#[test]
fn addresses_that_are_not_granted_are_not_reached() {
    let thread = thread();
    // Whoever listens there would be connected to, were it not for the grants.
    let granted_server = TcpListener::bind("127.0.0.1:0").unwrap();
    let other_server = TcpListener::bind("127.0.0.1:0").unwrap();
    other_server.set_nonblocking(true).unwrap();
    let port = granted_server.local_addr().unwrap().port();
    let other = other_server.local_addr().unwrap().port();
    let rules = [format!("127.0.0.1:{port}"), "[::/0]:1-65535".into(), "10.0.0.0/8:443".into(), "0.0.0.0:80".into()];
    let context = granted(thread.handle(), grants(&rules, &["127.0.0.1:0"]));
    for address in [
        format!("127.0.0.1:{other}"),
        format!("[::ffff:127.0.0.1]:{other}"),
        format!("127.0.0.2:{port}"),
        format!("0.0.0.0:{other}"),
        "10.0.0.1:444".into(),
        "11.0.0.1:443".into(),
        "unix:/run/socket".into(),
    ] {
        let (code, words) = refused(&context, "socket.connect", [bytes(&address)]);
        assert!(code == Code::PermissionDenied && words.contains("not granted to connect to"), "{address}: {words}");
    }
    let mistaken = other_server.accept().map(drop).unwrap_err();
    assert_eq!(mistaken.kind(), std::io::ErrorKind::WouldBlock, "no one has connected");
    for address in ["0.0.0.0:80", "[::]:80", "127.0.0.1", "localhost:80", "", "127.0.0.1:080"] {
        assert_eq!(refused(&context, "socket.connect", [bytes(address)]).0, Code::InvalidArgument, "{address}");
    }
    for address in [format!("127.0.0.1:{port}"), "127.0.0.2:0".into(), "0.0.0.0:0".into(), "[::1]:0".into()] {
        let (code, words) = refused(&context, "socket.listen", [bytes(&address)]);
        assert!(code == Code::PermissionDenied && words.contains("not granted to listen on"), "{address}: {words}");
    }
    // The one that is granted is reached by its other name, as what it is.
    let socket = call(&context, "socket.connect", [bytes(format!("[::ffff:127.0.0.1]:{port}"))]).unwrap();
    let peer = call(&context, "socket.peer_address", [socket]).unwrap();
    assert_eq!(contents(&peer), format!("127.0.0.1:{port}").into_bytes());
    thread.join().unwrap();
}

#[test]
fn a_peer_that_refuses_is_a_clear_error_and_takes_no_place() {
    let thread = thread();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let limits = Limits { open_max: 1, ..Limits::default() };
    let grants = grants(std::slice::from_ref(&closed), &["127.0.0.1:0"]);
    let context = context(&Host::new().grant(thread.handle(), grants).limits(limits));
    let (code, words) = refused(&context, "socket.connect", [bytes(&closed)]);
    assert!(code == Code::Unavailable && words.contains(&closed), "{words}");
    let listener = call(&context, "socket.listen", [bytes("127.0.0.1:0")]).unwrap();
    assert_eq!(refused(&context, "socket.accept", [listener.clone()]).0, Code::ResourceExhausted);
    let wrong = refused(&context, "socket.send", [Value::from(Ref::NULL), bytes("x")]).1;
    assert!(wrong.contains("expected a reference to vm.socket, found null"), "{wrong}");
    thread.join().unwrap();
}
