//! Accept, connect, send and receive.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};

use rustix::net::sockopt::set_socket_linger;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::super::WatchSet;
use super::super::epoll::EpollSet;
use super::super::poll::PollSet;
use super::{Rig, descriptor, drain, fill, on_every_set, pair, receive, receive_exact, send, write};
use crate::backend::{Backend, RawAddress, Request};

on_every_set! {
    accept_connect_send_and_receive_make_a_connection
    connect_to_a_closed_port_is_refused
    connect_after_a_cancelled_connect_joins_it
    parked_accepts_are_served_in_order
    cancelled_accept_leaves_the_connection_to_the_next
    parked_receives_complete_in_order_across_polls
    eager_receive_does_not_overtake_one_that_waits
    large_exact_send_completes_whole_against_a_slow_reader
    large_exact_receive_completes_whole_against_a_slow_writer
    some_receive_is_content_with_less
    exact_receive_cut_short_tells_the_count_and_then_the_end
    hang_up_ends_a_parked_send
    reset_ends_a_parked_receive
    one_side_completes_while_the_other_goes_on_waiting
    blocking_socket_does_not_block_the_poll_thread
}

fn listener() -> (TcpListener, SocketAddrV4) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!() };
    (listener, address)
}

fn socket() -> OwnedFd {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap()
}

fn raw(address: SocketAddrV4) -> RawAddress {
    let mut raw = RawAddress { length: 16, ..RawAddress::EMPTY };
    raw.bytes[0..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
    raw.bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    raw.bytes[4..8].copy_from_slice(&address.ip().octets());
    raw
}

fn adopt(result: i32) -> TcpStream {
    assert!(result >= 0, "a descriptor, not error {}", -result);
    // SAFETY: an accept's result is a new descriptor that is the caller's alone.
    unsafe { TcpStream::from_raw_fd(result) }
}

fn accept(listener: &TcpListener, peer: &mut RawAddress) -> Request {
    Request::Accept { listener: descriptor(listener), peer, multishot: false }
}

fn accept_connect_send_and_receive_make_a_connection(rig: &mut Rig<impl WatchSet>) {
    let (listener, address) = listener();
    let (client, address, mut peer) = (socket(), raw(address), RawAddress::EMPTY);
    let accept = rig.start(accept(&listener, &mut peer));
    rig.assert_waits(accept);
    assert_eq!(rig.perform(Request::Connect { socket: descriptor(&client), address: &address }), 0);
    let server = adopt(rig.finish(accept));
    let flags = rustix::io::fcntl_getfd(&server).unwrap();
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    assert!(rustix::fs::fcntl_getfl(&server).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
    let client = TcpStream::from(client);
    let std::net::SocketAddr::V4(local) = client.local_addr().unwrap() else { unreachable!() };
    let expected = raw(local);
    assert_eq!((peer.length, peer.bytes), (expected.length, expected.bytes));

    let mut buffer = [0u8; 5];
    let receive = rig.start(receive_exact(&server, &mut buffer));
    assert_eq!(rig.perform(send(&client, b"hello", true)), 5);
    assert_eq!(rig.finish(receive), 5);
    assert_eq!(&buffer, b"hello");
    drop(client);
    assert_eq!(rig.perform(super::receive(&server, &mut buffer)), 0, "the end of the stream");
}

fn connect_to_a_closed_port_is_refused(rig: &mut Rig<impl WatchSet>) {
    let (listener, address) = listener();
    drop(listener);
    let (client, address) = (socket(), raw(address));
    let refused = rig.perform(Request::Connect { socket: descriptor(&client), address: &address });
    assert_eq!(refused, -libc::ECONNREFUSED);
}

fn connect_after_a_cancelled_connect_joins_it(rig: &mut Rig<impl WatchSet>) {
    // A full backlog keeps the first connect under way: the kernel drops its SYN and sends it again after a second.
    let listener =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    rustix::net::bind(&listener, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let listener = TcpListener::from(listener);
    let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!() };
    let address = raw(address);
    let mut clients = Vec::new();
    let waiting = loop {
        clients.push(socket());
        assert!(clients.len() < 16, "a backlog of 0 fills up");
        let token = rig.start(Request::Connect { socket: descriptor(clients.last().unwrap()), address: &address });
        for _ in 0..3 {
            rig.poll(crate::backend::Wait::No);
        }
        if !rig.results.contains_key(&token) {
            break token;
        }
    };
    rig.backend.cancel(waiting);
    assert_eq!(rig.finish(waiting), -libc::ECANCELED);
    let joined = rig.start(Request::Connect { socket: descriptor(clients.last().unwrap()), address: &address });
    rig.assert_waits(joined);
    let server = std::thread::spawn(move || {
        let accepted = std::iter::repeat_with(|| listener.accept().unwrap()).take(clients.len()).collect::<Vec<_>>();
        (accepted, clients)
    });
    assert_eq!(rig.finish(joined), 0);
    server.join().unwrap();
}

fn parked_accepts_are_served_in_order(rig: &mut Rig<impl WatchSet>) {
    let (listener, address) = listener();
    let mut peers = [RawAddress::EMPTY; 2];
    let tokens = peers.each_mut().map(|peer| rig.start(accept(&listener, peer)));
    let clients = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
    let servers = tokens.map(|token| adopt(rig.finish(token)));
    assert_eq!(rig.order, tokens);
    for (server, client) in servers.iter().zip(&clients) {
        assert_eq!(server.peer_addr().unwrap(), client.local_addr().unwrap());
    }
}

fn cancelled_accept_leaves_the_connection_to_the_next(rig: &mut Rig<impl WatchSet>) {
    let (listener, address) = listener();
    let mut peers = [RawAddress::EMPTY; 2];
    let [first, second] = peers.each_mut().map(|peer| rig.start(accept(&listener, peer)));
    rig.assert_waits(first);
    let _client = TcpStream::connect(address).unwrap();
    rig.backend.cancel(first);
    adopt(rig.finish(second));
    assert_eq!(rig.results[&first], -libc::ECANCELED);
    assert_eq!(peers[0].length, 0);
}

fn parked_receives_complete_in_order_across_polls(rig: &mut Rig<impl WatchSet>) {
    let (ours, theirs) = pair();
    let mut buffers = [[0u8; 2]; 4];
    let mut tokens = Vec::new();
    for buffer in &mut buffers[..2] {
        tokens.push(rig.start(receive(&ours, buffer)));
    }
    write(&theirs, b"ab");
    assert_eq!(rig.finish(tokens[0]), 2);
    for buffer in &mut buffers[2..] {
        tokens.push(rig.start(receive(&ours, buffer)));
    }
    rig.assert_waits(tokens[1]);
    write(&theirs, b"cdefgh");
    assert_eq!(rig.finish(tokens[3]), 2);
    assert_eq!(rig.order, tokens);
    assert_eq!(buffers.concat(), b"abcdefgh");
}

fn eager_receive_does_not_overtake_one_that_waits(rig: &mut Rig<impl WatchSet>) {
    let (ours, theirs) = pair();
    let mut buffers = [[0u8; 2]; 2];
    let first = rig.start(receive(&ours, &mut buffers[0]));
    rig.assert_waits(first);
    write(&theirs, b"ab");
    let second = rig.start(receive(&ours, &mut buffers[1]));
    assert_eq!(rig.finish(first), 2);
    rig.assert_waits(second);
    write(&theirs, b"cd");
    assert_eq!(rig.finish(second), 2);
    assert_eq!(buffers, [*b"ab", *b"cd"]);
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index ^ index >> 8 ^ index >> 16) as u8).collect()
}

fn large_exact_send_completes_whole_against_a_slow_reader(rig: &mut Rig<impl WatchSet>) {
    let (listener, address) = listener();
    let client = TcpStream::connect(address).unwrap();
    client.set_nonblocking(true).unwrap();
    listener.set_nonblocking(false).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let bytes = pattern(6 << 20);
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        let mut chunk = vec![0; 10_000];
        while let count @ 1.. = server.read(&mut chunk).unwrap() {
            received.extend_from_slice(&chunk[..count]);
            std::thread::yield_now();
        }
        received
    });
    assert_eq!(rig.perform(send(&client, &bytes, true)), bytes.len() as i32);
    drop(client);
    assert!(reader.join().unwrap() == bytes, "every byte, in order");
}

fn large_exact_receive_completes_whole_against_a_slow_writer(rig: &mut Rig<impl WatchSet>) {
    let (ours, theirs) = pair();
    let bytes = pattern(3 << 20);
    let mut buffer = vec![0; bytes.len()];
    let token = rig.start(receive_exact(&ours, &mut buffer));
    let expected = bytes.clone();
    let writer = std::thread::spawn(move || {
        let mut theirs = std::os::unix::net::UnixStream::from(theirs);
        theirs.set_nonblocking(false).unwrap();
        bytes.chunks(10_000).for_each(|chunk| theirs.write_all(chunk).unwrap());
        theirs
    });
    assert_eq!(rig.finish(token), expected.len() as i32);
    assert!(buffer == expected, "every byte, in order");
    writer.join().unwrap();
}

fn some_receive_is_content_with_less(rig: &mut Rig<impl WatchSet>) {
    let (ours, theirs) = pair();
    write(&theirs, b"abc");
    let mut buffer = [0u8; 64];
    assert_eq!(rig.perform(receive(&ours, &mut buffer)), 3);
    fill(&ours);
    let bytes = vec![1; 1 << 20];
    let token = rig.start(send(&ours, &bytes, false));
    rig.assert_waits(token);
    drain(&theirs);
    let sent = rig.finish(token);
    assert!(sent > 0 && sent < 1 << 20, "{sent} bytes: what there was room for");
}

fn exact_receive_cut_short_tells_the_count_and_then_the_end(rig: &mut Rig<impl WatchSet>) {
    let (ours, theirs) = pair();
    let mut buffer = [0u8; 8];
    let token = rig.start(receive_exact(&ours, &mut buffer));
    write(&theirs, b"abc");
    rig.assert_waits(token);
    drop(theirs);
    assert_eq!(rig.finish(token), 3);
    assert_eq!(rig.perform(receive_exact(&ours, &mut buffer)), 0);
}

fn hang_up_ends_a_parked_send(rig: &mut Rig<impl WatchSet>) {
    let (ours, theirs) = pair();
    let bytes = vec![1; 1 << 20];
    let token = rig.start(send(&ours, &bytes, true));
    rig.assert_waits(token);
    let behind = rig.start(send(&ours, &bytes, true));
    drop(theirs);
    let count = rig.finish(token);
    assert!(count > 0 && count < 1 << 20, "{count} bytes had moved");
    assert_eq!(rig.finish(behind), -libc::EPIPE);
}

fn reset_ends_a_parked_receive(rig: &mut Rig<impl WatchSet>) {
    let (listener, address) = listener();
    let client = TcpStream::connect(address).unwrap();
    client.set_nonblocking(true).unwrap();
    listener.set_nonblocking(false).unwrap();
    let (server, _) = listener.accept().unwrap();
    let mut buffer = [0u8; 8];
    let token = rig.start(receive(&client, &mut buffer));
    rig.assert_waits(token);
    set_socket_linger(&server, Some(std::time::Duration::ZERO)).unwrap(); // closes with a reset
    drop(server);
    assert_eq!(rig.finish(token), -libc::ECONNRESET);
}

fn one_side_completes_while_the_other_goes_on_waiting(rig: &mut Rig<impl WatchSet>) {
    let (ours, theirs) = pair();
    fill(&ours);
    let mut buffer = [0u8; 2];
    let receive = rig.start(receive(&ours, &mut buffer));
    let send = rig.start(send(&ours, b"late", true));
    rig.assert_waits(send);
    drain(&theirs);
    assert_eq!(rig.finish(send), 4);
    rig.assert_waits(receive);
    write(&theirs, b"ab");
    assert_eq!(rig.finish(receive), 2);
}

fn blocking_socket_does_not_block_the_poll_thread(rig: &mut Rig<impl WatchSet>) {
    let (ours, theirs) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    let mut buffer = [0u8; 2];
    let receive = rig.start(receive(&ours, &mut buffer));
    rig.assert_waits(receive);
    let bytes = vec![1; 1 << 20];
    let send = rig.start(send(&ours, &bytes, true));
    rig.assert_waits(send);
    rig.backend.cancel(send);
    write(&theirs, b"ab");
    assert_eq!(rig.finish(receive), 2);
}
