//! Sockets: connect, accept, options, failures.

use std::time::Duration;

use proact::operation::{Accept, AcceptMany, Close, Connect, Op, Receive, Send};
use proact::resource::{Address, Domain, Shutdown, Socket, SocketOptions};
use proact::status::{Code, Operation};

use crate::bench::Cts;
use crate::cases;
use crate::harness::skip;
use crate::system::unique;

cases![
    tcp_over_ipv4_connects_and_carries_bytes_both_ways,
    tcp_over_ipv6_connects_and_carries_bytes_both_ways,
    tcp_over_ipv6_reaches_a_link_local_address_by_its_zone.real("interfaces of the operating system"),
    unix_sockets_connect_by_path,
    unix_sockets_connect_by_abstract_name,
    accept_tells_who_connected,
    several_accepts_and_connects_are_outstanding_together,
    a_refused_connect_names_the_address_and_leaves_others_alone,
    a_bind_to_a_taken_port_already_exists,
    an_accept_on_a_socket_that_does_not_listen_fails,
    a_socket_that_is_not_connected_fails_its_transfers,
    options_reach_the_system.real("a descriptor of the operating system"),
    descriptors_are_closed_on_exec.real("a descriptor of the operating system"),
    a_peer_that_closed_is_the_end_of_the_stream,
    an_exact_receive_cut_short_is_out_of_range_and_keeps_what_came,
    half_a_shutdown_ends_one_direction_only,
    a_reset_fails_transfers_and_sticks,
    sends_after_a_failure_get_that_failure_and_receives_still_try,
    one_failed_connection_leaves_another_alone,
    a_cancelled_receive_leaves_the_socket_usable,
    a_cancelled_connect_ends_once,
    a_cancelled_accept_leaves_the_listener_usable,
    an_accept_that_nobody_takes_leaks_no_descriptor.alone(),
    cancel_races_with_a_connection_and_no_descriptor_is_lost.alone(),
    dropped_sockets_close_when_their_operations_have_ended.alone(),
    a_hundred_connections_leave_no_descriptor.alone(),
];

fn exchange(cts: &mut Cts, client: &Socket, server: &Socket) {
    let (one, two) = (client.clone(), server.clone());
    for (from, to) in [(&one, &two), (&two, &one)] {
        let receive = cts.start(Receive::exact(to.clone(), vec![0; 5]));
        assert_eq!(cts.get(Send::exact(from.clone(), b"hello".as_slice())), 5);
        cts.until("five bytes", || receive.is_done());
        let told = receive.only();
        assert_eq!(told.result.unwrap(), 5);
        assert_eq!(told.kind.buffer, b"hello");
    }
}

fn tcp_over_ipv4_connects_and_carries_bytes_both_ways(cts: &mut Cts) {
    let (client, server) = cts.pair();
    exchange(cts, &client, &server);
    assert_eq!(client.peer_address().unwrap(), server.local_address().unwrap());
    assert_eq!(client.local_address().unwrap(), server.peer_address().unwrap());
    let statistics = cts.statistics();
    assert_eq!((statistics.bytes_sent, statistics.bytes_received), (10, 10));
}

fn tcp_over_ipv6_connects_and_carries_bytes_both_ways(cts: &mut Cts) {
    if let Err(error) = std::net::TcpListener::bind("[::1]:0") {
        skip(format!("no IPv6 loopback: {error}"));
    }
    let (client, server) = cts.pair_on("[::1]:0", &SocketOptions::default());
    exchange(cts, &client, &server);
}

/// An address of this machine that is good on one link alone, with the link's number.
fn link_local() -> Option<(std::net::Ipv6Addr, u32)> {
    let table = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let address = u128::from_str_radix(words.next()?, 16).ok()?;
        let link = u32::from_str_radix(words.next()?, 16).ok()?;
        let address = std::net::Ipv6Addr::from(address);
        address.is_unicast_link_local().then_some((address, link))
    })
}

fn tcp_over_ipv6_reaches_a_link_local_address_by_its_zone(cts: &mut Cts) {
    let Some((host, link)) = link_local() else { skip("no interface here has a link-local address") };
    if let Err(error) = std::net::TcpListener::bind(std::net::SocketAddrV6::new(host, 0, 0, link)) {
        skip(format!("no socket on the link-local address: {error}"));
    }
    let (listener, address) = cts.listener_on(&format!("[{host}%{link}]:0"), &SocketOptions::default());
    assert_eq!(address.to_string(), format!("[{host}%{link}]:{}", address.port().unwrap()), "the zone is told");
    let client = cts.handle().socket(Domain::Ipv6, &SocketOptions::default()).unwrap();
    let accept = cts.start(Accept::new(listener));
    cts.get(Connect::new(client.clone(), address.clone()));
    cts.until("the connection", || accept.is_done());
    let accepted = accept.only().result.unwrap();
    assert_eq!(client.peer_address().unwrap(), address);
    assert_eq!(accepted.peer(), client.local_address().unwrap(), "zone and all");
    exchange(cts, &client, &accepted.socket);
    let elsewhere: Address = format!("[{host}%{}]:{}", link + 1000, address.port().unwrap()).parse().unwrap();
    let client = cts.handle().socket(Domain::Ipv6, &SocketOptions::default()).unwrap();
    cts.fails(Connect::new(client, elsewhere));
}

fn unix_sockets_connect_by_path(cts: &mut Cts) {
    let path = cts.path("socket");
    let address = format!("unix:{}", path.display());
    let (client, server) = cts.pair_on(&address, &SocketOptions::default());
    exchange(cts, &client, &server);
    assert_eq!(client.peer_address().unwrap(), Address::Unix(path.clone()));
    let taken = cts.handle().listen(&Address::Unix(path), &SocketOptions::default()).unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
}

fn unix_sockets_connect_by_abstract_name(cts: &mut Cts) {
    let address = format!("unix:@proact-cts-{}-{}", std::process::id(), unique());
    let (client, server) = cts.pair_on(&address, &SocketOptions::default());
    exchange(cts, &client, &server);
    assert_eq!(client.peer_address().unwrap().to_string(), address);
}

fn accept_tells_who_connected(cts: &mut Cts) {
    for (listen, unix) in [("127.0.0.1:0".to_owned(), false), (format!("unix:{}", cts.path("s").display()), true)] {
        let (listener, address) = cts.listener_on(&listen, &SocketOptions::default());
        let client = cts.handle().socket(Domain::of(&address), &SocketOptions::default()).unwrap();
        cts.get(Connect::new(client.clone(), address));
        let accepted = cts.get(Accept::new(listener));
        let expected = if unix { Address::Unnamed } else { client.local_address().unwrap() };
        assert_eq!(accepted.peer(), expected);
    }
    // Of a connection that has gone, and been closed, only an accept that was told it with the connection.
    for (many, resets) in [(false, true), (true, true), (false, false), (true, false)] {
        let (listener, address) = cts.listener();
        let client = cts.peer(&address);
        let accepted = if many {
            let accepts = cts.start(AcceptMany::new(listener));
            cts.until("the connection", || accepts.outcomes() == 1);
            accepts.take_outcomes().remove(0).unwrap()
        } else {
            cts.get(Accept::new(listener))
        };
        let from = client.address();
        assert_eq!(accepted.peer(), from);
        let ended = match resets {
            true => {
                client.reset();
                None
            }
            false => {
                client.end_sending();
                accepted.socket.shutdown(Shutdown::Send).unwrap();
                Some(client)
            }
        };
        cts.until("the end of the connection", || accepted.socket.peer_address().is_err());
        let why = accepted.socket.peer_address().unwrap_err();
        assert_eq!(why.code(), Code::FailedPrecondition, "{why}");
        let expected = if many { Address::Unnamed } else { from };
        assert_eq!((accepted.peer(), accepted.clone().peer()), (expected.clone(), expected.clone()), "many: {many}");
        cts.get(Close::new(accepted.socket.clone()));
        assert_eq!(accepted.peer(), expected, "closed; many: {many}");
        drop(ended);
    }
}

fn several_accepts_and_connects_are_outstanding_together(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let accepts: Vec<_> = (0..8).map(|_| cts.start(Accept::new(listener.clone()))).collect();
    cts.look();
    let mut connects = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..8 {
        let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
        connects.push(cts.start(Connect::new(client.clone(), address.clone())));
        clients.push(client);
    }
    cts.drain();
    assert!(connects.into_iter().all(|connect| connect.only().result.is_ok()));
    let mut peers: Vec<_> =
        accepts.into_iter().map(|accept| accept.only().result.unwrap().peer().to_string()).collect();
    let mut locals: Vec<_> = clients.iter().map(|client| client.local_address().unwrap().to_string()).collect();
    peers.sort();
    locals.sort();
    assert_eq!(peers, locals);
}

/// An address where nobody listens.
fn nobody() -> Address {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    taken.local_addr().unwrap().into()
}

fn a_refused_connect_names_the_address_and_leaves_others_alone(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let address = nobody();
    let lost = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let status = cts.fails(Connect::new(lost, address.clone()));
    assert_eq!((status.code(), status.operation()), (Code::Unavailable, Operation::SocketConnect));
    assert!(status.to_string().contains(&address.to_string()), "{status}");
    exchange(cts, &client, &server);
    let unix = cts.handle().socket(Domain::Unix, &SocketOptions::default()).unwrap();
    let path = cts.path("nobody");
    assert_eq!(cts.fails(Connect::new(unix, Address::Unix(path))).code(), Code::NotFound);
}

fn a_bind_to_a_taken_port_already_exists(cts: &mut Cts) {
    let (_listener, address) = cts.listener();
    let status = cts.handle().listen(&address, &SocketOptions::default()).unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert!(status.to_string().contains(&address.to_string()), "{status}");
}

fn an_accept_on_a_socket_that_does_not_listen_fails(cts: &mut Cts) {
    let socket = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let status = cts.fails(Accept::new(socket));
    assert_eq!((status.code(), status.operation()), (Code::InvalidArgument, Operation::SocketAccept));
}

fn a_socket_that_is_not_connected_fails_its_transfers(cts: &mut Cts) {
    let socket = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    assert_eq!(socket.shutdown(Shutdown::Both).unwrap_err().code(), Code::FailedPrecondition);
    assert_eq!(socket.peer_address().unwrap_err().code(), Code::FailedPrecondition);
    let socket = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    assert_eq!(cts.fails(Receive::some(socket, vec![0; 1])).code(), Code::FailedPrecondition);
    let socket = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let code = cts.fails(Send::some(socket, b"x".as_slice())).code();
    // Linux answers EPIPE to a send on a TCP socket that was never connected.
    assert_eq!(code, Code::Unavailable);
}

fn options_reach_the_system(cts: &mut Cts) {
    let options = SocketOptions {
        reuse_address: true,
        reuse_port: true,
        no_delay: true,
        keep_alive: true,
        send_buffer: Some(20_000),
        receive_buffer: Some(30_000),
        ..SocketOptions::default()
    };
    let socket = cts.handle().socket(Domain::Ipv4, &options).unwrap();
    let check = |fd: std::os::fd::BorrowedFd<'_>| {
        let socket = socket2::SockRef::from(&fd);
        assert!(socket.reuse_address().unwrap() && socket.reuse_port().unwrap());
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.send_buffer_size().unwrap(), 40_000, "Linux doubles it");
        assert_eq!(socket.recv_buffer_size().unwrap(), 60_000, "Linux doubles it");
    };
    socket.try_with_fd(check).unwrap();
    socket.set_no_delay(false).unwrap();
    assert!(!socket.try_with_fd(|fd| socket2::SockRef::from(&fd).tcp_nodelay().unwrap()).unwrap());
    // Two listeners of one port, as asked.
    let (_first, address) = cts.listener_on("127.0.0.1:0", &options);
    let _second = cts.handle().listen(&address, &options).unwrap();
}

fn descriptors_are_closed_on_exec(cts: &mut Cts) {
    let (client, server) = cts.pair();
    for socket in [client, server] {
        let flags = socket.try_with_fd(|fd| rustix::io::fcntl_getfd(fd).unwrap()).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }
}

fn a_peer_that_closed_is_the_end_of_the_stream(cts: &mut Cts) {
    let (client, server) = cts.pair();
    cts.get(Send::exact(client.clone(), b"last".as_slice()));
    cts.get(Close::new(client));
    let told = cts.one(Receive::some(server.clone(), vec![0; 16]));
    assert_eq!((told.result.unwrap(), &told.kind.buffer[..4]), (4, b"last".as_slice()));
    for _ in 0..3 {
        assert_eq!(cts.get(Receive::some(server.clone(), vec![0; 16])), 0);
    }
    assert_eq!(cts.fails(Receive::exact(server.clone(), vec![0; 1])).code(), Code::OutOfRange);
    // The end of what the peer sends is no failure of the socket: its own direction is still open.
    assert!(server.failure().is_none());
    cts.get(Send::exact(server, b"x".as_slice()));
}

fn an_exact_receive_cut_short_is_out_of_range_and_keeps_what_came(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let receive = cts.start(Receive::exact(server, vec![0; 10]));
    cts.get(Send::exact(client.clone(), b"four".as_slice()));
    cts.look();
    assert_eq!(receive.calls(), 0);
    cts.get(Close::new(client));
    cts.until("the end", || receive.is_done());
    let told = receive.only();
    assert_eq!(&told.kind.buffer[..4], b"four");
    let status = told.status();
    assert_eq!((status.code(), status.operation()), (Code::OutOfRange, Operation::SocketReceive));
    assert!(status.to_string().contains("4 of 10"), "{status}");
}

fn half_a_shutdown_ends_one_direction_only(cts: &mut Cts) {
    let (client, server) = cts.pair();
    client.shutdown(Shutdown::Send).unwrap();
    assert_eq!(cts.get(Receive::some(server.clone(), vec![0; 1])), 0);
    assert_eq!(cts.fails(Send::exact(client.clone(), b"x".as_slice())).code(), Code::Unavailable);
    let receive = cts.start(Receive::exact(client.clone(), vec![0; 4]));
    cts.get(Send::exact(server.clone(), b"back".as_slice()));
    cts.until("the other direction", || receive.is_done());
    assert_eq!(receive.only().kind.buffer, b"back");
    // A pending receive is ended by a shutdown of its direction.
    let (client, _server) = cts.pair();
    let pending = cts.start(Receive::some(client.clone(), vec![0; 4]));
    cts.look();
    client.shutdown(Shutdown::Receive).unwrap();
    cts.until("the pending receive", || pending.is_done());
    assert_eq!(pending.only().result.unwrap(), 0);
}

/// Makes the peer of `socket` see a reset.
fn reset(cts: &mut Cts, socket: Socket) {
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    cts.get(Close::new(socket));
}

fn a_reset_fails_transfers_and_sticks(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let receive = cts.start(Receive::some(server.clone(), vec![0; 4]));
    cts.look();
    reset(cts, client);
    cts.until("the reset", || receive.is_done());
    let status = receive.only().status();
    assert_eq!((status.code(), status.operation()), (Code::Unavailable, Operation::SocketReceive));
    let failure = server.failure().expect("a failure that sticks");
    assert_eq!(failure.to_string(), status.to_string());
    let status = cts.fails(Send::exact(server, b"x".as_slice()));
    assert_eq!(status.to_string(), failure.to_string(), "later sends get the first failure");
}

fn sends_after_a_failure_get_that_failure_and_receives_still_try(cts: &mut Cts) {
    let (client, server) = cts.pair();
    cts.get(Send::exact(client.clone(), b"before".as_slice()));
    server.shutdown(Shutdown::Send).unwrap();
    let first = cts.fails(Send::exact(server.clone(), b"x".as_slice()));
    assert_eq!(first.code(), Code::Unavailable);
    for _ in 0..3 {
        let status = cts.fails(Send::exact(server.clone(), b"x".as_slice()));
        assert_eq!((status.to_string(), status.location()), (first.to_string(), first.location()));
    }
    // What the peer sent before is there to be had.
    assert_eq!(cts.one(Receive::exact(server, vec![0; 6])).kind.buffer, b"before");
}

fn one_failed_connection_leaves_another_alone(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (lost, peer) = cts.pair();
    reset(cts, lost);
    cts.fails(Receive::some(peer.clone(), vec![0; 1]));
    exchange(cts, &client, &server);
    assert!(client.failure().is_none() && server.failure().is_none() && peer.failure().is_some());
}

fn a_cancelled_receive_leaves_the_socket_usable(cts: &mut Cts) {
    let (client, server) = cts.pair();
    for exact in [false, true] {
        let socket = server.clone();
        let kind = if exact { Receive::exact(socket, vec![0; 4]) } else { Receive::some(socket, vec![0; 4]) };
        let (op, receive) = cts.watch(kind);
        let id = cts.submit(op).unwrap();
        cts.look();
        cts.cancel(id).unwrap();
        cts.until("the cancelled receive", || receive.is_done());
        assert_eq!(receive.only().status().code(), Code::Cancelled);
    }
    exchange(cts, &client, &server);
}

fn a_cancelled_connect_ends_once(cts: &mut Cts) {
    // A full backlog leaves a connect pending; whether this one is, or ends before the cancel, is a race.
    let (_listener, address) = cts.listener();
    for _ in 0..20 {
        let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
        let (op, connect) = cts.watch(Connect::new(client.clone(), address.clone()));
        let id = cts.submit(op).unwrap();
        cts.cancel(id).unwrap();
        cts.until("one end", || connect.is_done());
        match connect.only().result {
            Ok(()) => assert!(client.peer_address().is_ok()),
            Err(status) => assert_eq!(status.code(), Code::Cancelled),
        }
        // A socket whose connect was cancelled may be closed, whatever the system goes on doing with it.
        cts.get(Close::new(client));
    }
}

fn a_cancelled_accept_leaves_the_listener_usable(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let (op, accept) = cts.watch(Accept::new(listener.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the cancelled accept", || accept.is_done());
    assert_eq!(accept.only().status().code(), Code::Cancelled);
    let peer = cts.peer(&address);
    let accepted = cts.get(Accept::new(listener));
    assert_eq!(accepted.peer(), peer.address());
}

fn an_accept_that_nobody_takes_leaks_no_descriptor(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    cts.look();
    let before = cts.descriptors();
    for _ in 0..20 {
        // The operation's owner drops the outcome unseen.
        cts.submit(Op::new(Accept::new(listener.clone()), ())).unwrap();
        let peer = cts.peer(&address);
        cts.drain();
        drop(peer);
    }
    assert_eq!(cts.descriptors(), before);
}

fn cancel_races_with_a_connection_and_no_descriptor_is_lost(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    cts.look();
    let before = cts.descriptors();
    for round in 0..200 {
        let (op, accept) = cts.watch(Accept::new(listener.clone()));
        let id = cts.submit(op).unwrap();
        cts.look();
        let peer = cts.peer(&address);
        // The connection is there; the accept may have taken it, and has not been told of.
        if round % 2 == 0 {
            std::thread::yield_now();
        }
        cts.cancel(id).unwrap();
        cts.until("one end of the accept", || accept.is_done());
        match accept.only().result {
            Ok(accepted) => assert_eq!(accepted.peer(), peer.address()),
            Err(status) => {
                assert_eq!(status.code(), Code::Cancelled);
                // The connection waits for the next accept.
                cts.get(Accept::new(listener.clone()));
            }
        }
        drop(peer);
    }
    assert_eq!(cts.descriptors(), before, "descriptors after 200 cancelled accepts");
}

fn dropped_sockets_close_when_their_operations_have_ended(cts: &mut Cts) {
    let before = cts.descriptors();
    let (client, server) = cts.pair();
    assert!(cts.descriptors() >= before + 2);
    let (op, receive) = cts.watch(Receive::some(server, vec![0; 1]));
    let id = cts.submit(op).unwrap();
    cts.look();
    let held = cts.descriptors();
    drop(client);
    assert_eq!(cts.descriptors(), held - 1);
    // The server's end lives in its operation alone, and goes with it.
    let _ = cts.cancel(id);
    cts.until("the receive", || receive.is_done());
    drop(receive);
    cts.drain();
    assert_eq!(cts.descriptors(), held - 2);
}

fn a_hundred_connections_leave_no_descriptor(cts: &mut Cts) {
    let (client, server) = cts.pair();
    exchange(cts, &client, &server);
    let before = cts.descriptors();
    for round in 0..100 {
        let (client, server) = cts.pair();
        if round % 2 == 0 {
            cts.get(Close::new(client));
            cts.get(Close::new(server));
        }
    }
    assert_eq!(cts.descriptors(), before);
}
