//! How sockets are made, what they are, and their options, read back from the kernel.

use std::time::Duration;

use proact::operation::{Accept, Close, Connect, Receive, Send};
use proact::resource::{Address, Domain, KeepAlive, Shutdown, Socket, SocketOptions, SocketState, SocketType};
use proact::status::Code;

use crate::bench::Cts;
use crate::cases;
use crate::harness::skip;

cases![
    sockets_of_every_kind_are_made_without_a_state_or_a_failure.real("a descriptor of the operating system"),
    states_follow_bind_listen_connect_and_close,
    sockets_of_both_families_bind_and_tell_their_port,
    a_second_bind_of_one_socket_is_refused,
    a_listen_without_a_bind_takes_a_port,
    a_second_listen_takes_the_new_backlog,
    an_ipv6_socket_is_alone_unless_it_is_asked_to_speak_both,
    every_option_of_a_stream_reaches_the_kernel.real("a descriptor of the operating system"),
    options_that_a_kind_has_no_use_for_are_ignored.real("a descriptor of the operating system"),
    accepted_connections_inherit_the_listeners_options.real("a descriptor of the operating system"),
    options_can_be_changed_later.real("a descriptor of the operating system"),
    options_by_number_reach_the_kernel.real("a descriptor of the operating system"),
    zero_linger_resets_the_peer,
    send_space_shrinks_to_nothing_and_comes_back.real("a descriptor of the operating system"),
    send_space_of_a_failed_socket_is_its_failure,
    shutdowns_say_when_there_is_nothing_to_shut_down,
    a_shutdown_works_after_a_failure,
    calls_on_a_closed_socket_say_so,
];

#[cfg(not(target_vendor = "apple"))]
const KEEP_IDLE: i32 = libc::TCP_KEEPIDLE;
#[cfg(target_vendor = "apple")]
const KEEP_IDLE: i32 = libc::TCP_KEEPALIVE;

fn raw(socket: &Socket, level: i32, name: i32) -> i32 {
    socket.integer_option(level, name).unwrap()
}

fn sockets_of_every_kind_are_made_without_a_state_or_a_failure(cts: &mut Cts) {
    let handle = cts.handle().clone();
    for domain in [Domain::Ipv4, Domain::Ipv6, Domain::Unix] {
        if domain == Domain::Ipv6 && std::net::TcpListener::bind("[::1]:0").is_err() {
            continue;
        }
        let stream = handle.socket(domain, &SocketOptions::default()).unwrap();
        let datagram = handle.datagram(domain, &SocketOptions::default()).unwrap();
        for (socket, kind) in [(stream, SocketType::Stream), (datagram, SocketType::Datagram)] {
            assert_eq!((socket.domain(), socket.socket_type()), (domain, kind));
            assert_eq!(socket.state(), SocketState::Created);
            assert!(socket.failure().is_none() && socket.take_error().unwrap().is_none());
        }
    }
    for kind in [SocketType::Stream, SocketType::Datagram] {
        let (one, two) = handle.socket_pair(kind).unwrap();
        for socket in [one, two] {
            assert_eq!((socket.domain(), socket.socket_type()), (Domain::Unix, kind));
            assert_eq!(socket.state(), SocketState::Connected);
            assert_eq!(socket.local_address().unwrap(), Address::Unnamed);
        }
    }
}

fn states_follow_bind_listen_connect_and_close(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    assert_eq!(listener.state(), SocketState::Listening);
    let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    assert_eq!(client.state(), SocketState::Created);
    cts.get(Connect::new(client.clone(), address));
    assert_eq!(client.state(), SocketState::Connected);
    let server = cts.get(Accept::new(listener)).socket;
    assert_eq!(
        (server.state(), server.socket_type(), server.domain()),
        (SocketState::Connected, SocketType::Stream, Domain::Ipv4)
    );
    // A peer that is gone stays one.
    client.set_linger(Some(Duration::ZERO)).unwrap();
    cts.get(Close::new(client.clone()));
    assert_eq!(client.state(), SocketState::Closed);
    cts.fails(Receive::some(server.clone(), vec![0; 1]));
    assert_eq!(server.state(), SocketState::Connected);
    let bound = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    bound.bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    assert_eq!(bound.state(), SocketState::Created);
}

fn sockets_of_both_families_bind_and_tell_their_port(cts: &mut Cts) {
    let mut addresses = vec!["127.0.0.1:0"];
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        addresses.push("[::1]:0");
    }
    for text in addresses {
        let address: Address = text.parse().unwrap();
        let handle = cts.handle();
        let stream = handle.socket(Domain::of(&address), &SocketOptions::default()).unwrap();
        let datagram = handle.datagram(Domain::of(&address), &SocketOptions::default()).unwrap();
        for socket in [stream, datagram] {
            assert_eq!(socket.local_address().unwrap().port(), Some(0), "not bound yet");
            socket.bind(&address).unwrap();
            let bound = socket.local_address().unwrap();
            assert_ne!(bound.port().unwrap(), 0);
            assert!(bound.is_loopback() && Domain::of(&bound) == Domain::of(&address));
        }
    }
}

fn a_second_bind_of_one_socket_is_refused(cts: &mut Cts) {
    let socket = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let any: Address = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any).unwrap();
    assert_eq!(socket.bind(&any).unwrap_err().code(), Code::InvalidArgument);
    assert!(socket.failure().is_none());
}

fn a_listen_without_a_bind_takes_a_port(cts: &mut Cts) {
    let socket = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    socket.listen(4).unwrap();
    let port = socket.local_address().unwrap().port().unwrap();
    assert_ne!(port, 0);
    let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    cts.get(Connect::new(client, Address::ipv4("127.0.0.1", port).unwrap()));
    assert_eq!(cts.get(Accept::new(socket)).socket.state(), SocketState::Connected);
}

fn a_second_listen_takes_the_new_backlog(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    listener.listen(16).unwrap();
    listener.listen(u32::MAX).unwrap();
    assert_eq!(listener.state(), SocketState::Listening);
    let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    cts.get(Connect::new(client, address));
    cts.get(Accept::new(listener));
}

fn an_ipv6_socket_is_alone_unless_it_is_asked_to_speak_both(cts: &mut Cts) {
    if let Err(error) = std::net::TcpListener::bind("[::1]:0") {
        skip(format!("no IPv6 loopback: {error}"));
    }
    for dual_stack in [false, true] {
        let options = SocketOptions { dual_stack, ..SocketOptions::default() };
        let (listener, address) = cts.listener_on("[::]:0", &options);
        let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
        let ipv4 = Address::ipv4("127.0.0.1", address.port().unwrap()).unwrap();
        let connected = cts.one(Connect::new(client, ipv4)).result;
        assert_eq!(connected.is_ok(), dual_stack, "{connected:?}");
        if dual_stack {
            let peer = cts.get(Accept::new(listener)).peer().to_string();
            assert!(peer.starts_with("[::ffff:127.0.0.1]:"), "{peer}");
        }
    }
}

fn all() -> SocketOptions {
    SocketOptions {
        reuse_address: true,
        reuse_port: true,
        no_delay: true,
        keep_alive: true,
        keep_alive_times: Some(KeepAlive {
            idle: Some(Duration::from_secs(71)),
            interval: Some(Duration::from_secs(13)),
            probes: Some(5),
        }),
        zero_copy: true,
        linger_zero: true,
        broadcast: true,
        dual_stack: false,
        hops: Some(42),
        send_buffer: Some(20_000),
        receive_buffer: Some(30_000),
    }
}

/// What of [`all`] the kernel says of a connection, or a listener.
#[track_caller]
fn has_all(socket: &Socket) {
    assert_eq!(raw(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY), 1);
    assert_eq!(raw(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 1);
    assert_eq!(raw(socket, libc::IPPROTO_TCP, KEEP_IDLE), 71);
    assert_eq!(raw(socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL), 13);
    assert_eq!(raw(socket, libc::IPPROTO_TCP, libc::TCP_KEEPCNT), 5);
    #[cfg(target_os = "linux")]
    assert_eq!(raw(socket, libc::SOL_SOCKET, libc::SO_ZEROCOPY), 1);
    assert_eq!(socket.linger().unwrap(), Some(Duration::ZERO));
    assert_eq!((socket.send_buffer().unwrap(), socket.receive_buffer().unwrap()), (40_000, 60_000), "Linux doubles");
    assert_eq!(raw(socket, libc::IPPROTO_IP, libc::IP_TTL), 42);
    assert_eq!(socket.hops().unwrap(), 42);
}

fn every_option_of_a_stream_reaches_the_kernel(cts: &mut Cts) {
    let socket = cts.handle().socket(Domain::Ipv4, &all()).unwrap();
    has_all(&socket);
    assert_eq!(raw(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR), 1);
    assert_eq!(raw(&socket, libc::SOL_SOCKET, libc::SO_REUSEPORT), 1);
    let plain = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    for (level, name) in [
        (libc::SOL_SOCKET, libc::SO_REUSEADDR),
        (libc::SOL_SOCKET, libc::SO_REUSEPORT),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        #[cfg(target_os = "linux")]
        (libc::SOL_SOCKET, libc::SO_ZEROCOPY),
        (libc::IPPROTO_TCP, libc::TCP_NODELAY),
    ] {
        assert_eq!(raw(&plain, level, name), 0, "nothing is on that was not asked for");
    }
    assert_eq!(plain.linger().unwrap(), None);
}

fn options_that_a_kind_has_no_use_for_are_ignored(cts: &mut Cts) {
    let handle = cts.handle().clone();
    let udp = handle.datagram(Domain::Ipv4, &all()).unwrap();
    assert!(udp.broadcast().unwrap());
    assert_eq!((udp.hops().unwrap(), udp.send_buffer().unwrap()), (42, 40_000));
    assert_eq!(raw(&udp, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 0);
    for kind in [SocketType::Stream, SocketType::Datagram] {
        let unix = match kind {
            SocketType::Stream => handle.socket(Domain::Unix, &all()).unwrap(),
            SocketType::Datagram => handle.datagram(Domain::Unix, &all()).unwrap(),
        };
        assert_eq!(unix.send_buffer().unwrap(), 40_000);
        assert_eq!(raw(&unix, libc::SOL_SOCKET, libc::SO_REUSEADDR), 0);
    }
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        assert_eq!(handle.socket(Domain::Ipv6, &all()).unwrap().hops().unwrap(), 42);
    }
}

fn accepted_connections_inherit_the_listeners_options(cts: &mut Cts) {
    let (listener, address) = cts.listener_on("127.0.0.1:0", &all());
    let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    cts.get(Connect::new(client, address));
    let server = cts.get(Accept::new(listener)).socket;
    has_all(&server);
}

fn options_can_be_changed_later(cts: &mut Cts) {
    let (client, _server) = cts.pair();
    for on in [true, false] {
        client.set_no_delay(on).unwrap();
        client.set_keep_alive(on).unwrap();
        assert_eq!((client.no_delay().unwrap(), client.keep_alive().unwrap()), (on, on));
    }
    client.set_keep_alive_times(&KeepAlive { idle: Some(Duration::from_secs(9)), ..KeepAlive::default() }).unwrap();
    assert!(client.keep_alive().unwrap());
    assert_eq!(raw(&client, libc::IPPROTO_TCP, KEEP_IDLE), 9);
    client.set_linger(Some(Duration::from_secs(3))).unwrap();
    assert_eq!(client.linger().unwrap(), Some(Duration::from_secs(3)));
    client.set_linger(None).unwrap();
    assert_eq!(client.linger().unwrap(), None);
    client.set_hops(7).unwrap();
    client.set_send_buffer(10_000).unwrap();
    client.set_receive_buffer(15_000).unwrap();
    assert_eq!(client.hops().unwrap(), 7);
    assert_eq!((client.send_buffer().unwrap(), client.receive_buffer().unwrap()), (20_000, 30_000));
    let udp = cts.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
    for on in [true, false] {
        udp.set_broadcast(on).unwrap();
        assert_eq!(udp.broadcast().unwrap(), on);
    }
}

fn options_by_number_reach_the_kernel(cts: &mut Cts) {
    let (client, _server) = cts.pair();
    client.set_integer_option(libc::IPPROTO_TCP, libc::TCP_NODELAY, 1).unwrap();
    assert!(client.no_delay().unwrap());
    assert_eq!(raw(&client, libc::SOL_SOCKET, libc::SO_TYPE), libc::SOCK_STREAM);
    let status = client.set_integer_option(libc::SOL_SOCKET, libc::SO_TYPE, 1).unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(client.integer_option(0x7fff, 0x7fff).is_err());
}

fn zero_linger_resets_the_peer(cts: &mut Cts) {
    let options = SocketOptions { linger_zero: true, ..SocketOptions::default() };
    let (client, server) = cts.pair_on("127.0.0.1:0", &options);
    cts.get(Close::new(client));
    let status = cts.fails(Receive::some(server, vec![0; 1]));
    assert_eq!((status.code(), status.os_error()), (Code::Unavailable, Some(libc::ECONNRESET)));
}

fn send_space_shrinks_to_nothing_and_comes_back(cts: &mut Cts) {
    let options = SocketOptions { send_buffer: Some(32_000), receive_buffer: Some(8_000), ..SocketOptions::default() };
    let (client, server) = cts.pair_on("127.0.0.1:0", &options);
    let Some(empty) = client.send_space().unwrap() else { skip("the system does not tell") };
    assert_eq!(empty, 32_000);
    let mut sent = 0;
    let send = loop {
        let send = cts.start(Send::exact(client.clone(), vec![0; 64_000]));
        cts.look();
        sent += 64_000;
        if !send.is_done() {
            break send;
        }
    };
    assert_eq!(client.send_space().unwrap(), Some(0), "a send waits");
    cts.get(Receive::exact(server, vec![0; sent]));
    cts.until("the send", || send.is_done());
    cts.until("all of it to be acknowledged", || client.send_space().unwrap() == Some(32_000));
}

fn send_space_of_a_failed_socket_is_its_failure(cts: &mut Cts) {
    let (client, server) = cts.pair();
    client.set_linger(Some(Duration::ZERO)).unwrap();
    cts.get(Close::new(client));
    let status = cts.fails(Receive::some(server.clone(), vec![0; 1]));
    assert_eq!(server.send_space().unwrap_err().to_string(), status.to_string());
}

fn shutdowns_say_when_there_is_nothing_to_shut_down(cts: &mut Cts) {
    let fresh = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let unix = cts.handle().socket(Domain::Unix, &SocketOptions::default()).unwrap();
    let udp = cts.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
    for socket in [fresh, unix, udp] {
        for how in [Shutdown::Receive, Shutdown::Send, Shutdown::Both] {
            assert_eq!(socket.shutdown(how).unwrap_err().code(), Code::FailedPrecondition);
        }
        assert!(socket.failure().is_none());
    }
    let (client, server) = cts.pair();
    client.shutdown(Shutdown::Both).unwrap();
    assert_eq!(cts.get(Receive::some(server.clone(), vec![0; 1])), 0);
    assert_eq!(cts.get(Receive::some(client.clone(), vec![0; 1])), 0);
    // In its own direction it may be repeated.
    server.shutdown(Shutdown::Send).unwrap();
}

fn a_shutdown_works_after_a_failure(cts: &mut Cts) {
    let (client, server) = cts.pair();
    client.shutdown(Shutdown::Send).unwrap();
    cts.fails(Send::exact(client.clone(), b"x".as_slice()));
    assert!(client.failure().is_some());
    client.shutdown(Shutdown::Both).unwrap();
    assert_eq!(cts.get(Receive::some(server, vec![0; 1])), 0);
}

fn calls_on_a_closed_socket_say_so(cts: &mut Cts) {
    let (client, _server) = cts.pair();
    cts.get(Close::new(client.clone()));
    let any: Address = "127.0.0.1:0".parse().unwrap();
    for result in [
        client.bind(&any),
        client.listen(1),
        client.shutdown(Shutdown::Both),
        client.set_no_delay(true),
        client.local_address().map(drop),
        client.peer_address().map(drop),
        client.send_space().map(drop),
        client.integer_option(libc::SOL_SOCKET, libc::SO_TYPE).map(drop),
        client.duplicate().map(drop),
        client.try_with_fd(|_| ()),
    ] {
        let status = result.unwrap_err();
        assert_eq!((status.code(), status.os_error()), (Code::FailedPrecondition, None), "{status}");
    }
    assert_eq!(client.state(), SocketState::Closed);
}
