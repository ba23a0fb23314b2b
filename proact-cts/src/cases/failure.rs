//! What a failure of a socket does to the operations after it.

use std::time::Duration;

use proact::operation::{Accept, AcceptMany, Chain, Close, Connect, Nop, Receive, ReceiveMany, Send, SendVectored};
use proact::resource::{Address, Domain, Socket, SocketOptions, SocketState};
use proact::status::{Code, Operation, Status};

use crate::bench::Cts;
use crate::cases;

cases![
    sends_to_a_peer_that_closed_fail_in_the_end_and_stay_failed,
    every_later_operation_tells_the_first_failure,
    what_had_arrived_before_a_failure_is_received_before_it_is_told,
    a_receive_that_waits_gets_the_failure_of_a_send_at_its_end,
    a_repeated_receive_ends_with_the_failure_that_came_before,
    an_exact_receive_that_is_cut_short_tells_the_failure,
    a_receive_on_a_failed_socket_is_not_lost,
    a_failed_connect_is_no_failure_of_the_socket,
    a_connect_that_is_refused_cancels_the_send_behind_it,
    a_failed_accept_is_no_failure_of_the_listener,
    a_transfer_before_the_connection_leaves_the_socket_usable,
    cancelled_operations_are_no_failures,
    the_end_of_a_stream_is_no_failure,
    unread_bytes_at_a_reset_fail_the_peers_sends,
    each_of_two_connections_has_its_own_failure,
    operations_queued_behind_a_failure_end_with_it,
];

fn reset(cts: &mut Cts, socket: Socket) {
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    cts.get(Close::new(socket));
}

/// An address where nobody listens: a listener's, which has been closed.
fn nobody() -> Address {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().into()
}

#[track_caller]
fn same(one: &Status, other: &Status) {
    assert_eq!((one.code(), one.os_error(), one.to_string()), (other.code(), other.os_error(), other.to_string()));
}

fn sends_to_a_peer_that_closed_fail_in_the_end_and_stay_failed(cts: &mut Cts) {
    let (client, server) = cts.pair();
    cts.get(Close::new(server));
    // The first bytes are answered by a reset, which what follows finds.
    let first = loop {
        match cts.one(Send::exact(client.clone(), vec![0; 1000])).result {
            Ok(count) => assert_eq!(count, 1000),
            Err(status) => break status,
        }
    };
    assert_eq!((first.code(), first.operation()), (Code::Unavailable, Operation::SocketSend));
    same(&client.failure().unwrap(), &first);
    for _ in 0..3 {
        same(&cts.fails(Send::exact(client.clone(), b"x".as_slice())), &first);
    }
    same(&client.failure().unwrap(), &first);
}

fn every_later_operation_tells_the_first_failure(cts: &mut Cts) {
    let (client, server) = cts.pair();
    reset(cts, client);
    let first = cts.fails(Receive::some(server.clone(), vec![0; 4]));
    assert_eq!(first.os_error(), Some(libc::ECONNRESET));
    // Other operations, another system error as such (EPIPE), or an end: all tell what came first.
    for _ in 0..2 {
        same(&cts.fails(Send::some(server.clone(), b"x".as_slice())), &first);
        same(&cts.fails(SendVectored::exact(server.clone(), vec![vec![0; 2]; 2])), &first);
        same(&cts.fails(Receive::some(server.clone(), vec![0; 4])), &first);
        same(&cts.fails(Receive::exact(server.clone(), vec![0; 4])), &first);
    }
    // They end in the next pass: the kernel is not waited for.
    let send = cts.start(Send::exact(server.clone(), b"x".as_slice()));
    cts.poll(proact::time::Timeout::Immediate).unwrap();
    assert!(send.is_done());
}

fn what_had_arrived_before_a_failure_is_received_before_it_is_told(cts: &mut Cts) {
    let (client, server) = cts.pair();
    cts.get(Send::exact(client.clone(), b"arrived".as_slice()));
    server.shutdown(proact::resource::Shutdown::Send).unwrap();
    let first = cts.fails(Send::exact(server.clone(), b"x".as_slice()));
    cts.get(Close::new(client));
    assert_eq!(cts.one(Receive::exact(server.clone(), vec![0; 3])).kind.buffer, b"arr");
    let told = cts.one(Receive::some(server.clone(), vec![0; 10]));
    assert_eq!((told.result.unwrap(), &told.kind.buffer[..4]), (4, b"ived".as_slice()));
    same(&cts.fails(Receive::some(server, vec![0; 10])), &first);
}

fn a_receive_that_waits_gets_the_failure_of_a_send_at_its_end(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let receive = cts.start(Receive::some(server.clone(), vec![0; 10]));
    server.shutdown(proact::resource::Shutdown::Send).unwrap();
    let first = cts.fails(Send::exact(server, b"x".as_slice()));
    cts.look();
    assert_eq!(receive.calls(), 0, "the other direction goes on");
    cts.get(Close::new(client));
    cts.until("its end", || receive.is_done());
    same(&receive.only().status(), &first);
}

fn a_repeated_receive_ends_with_the_failure_that_came_before(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let receive = cts.start(ReceiveMany::new(server.clone(), vec![0; 10]));
    server.shutdown(proact::resource::Shutdown::Send).unwrap();
    let first = cts.fails(Send::exact(server, b"x".as_slice()));
    cts.get(Send::exact(client.clone(), b"more".as_slice()));
    cts.until("what still arrives", || receive.outcomes() == 1);
    cts.get(Close::new(client));
    cts.until("its end", || receive.is_done());
    same(&receive.only().status(), &first);
}

fn an_exact_receive_that_is_cut_short_tells_the_failure(cts: &mut Cts) {
    let (client, server) = cts.pair();
    cts.get(Send::exact(client.clone(), b"four".as_slice()));
    server.shutdown(proact::resource::Shutdown::Send).unwrap();
    let first = cts.fails(Send::exact(server.clone(), b"x".as_slice()));
    cts.get(Close::new(client));
    let told = cts.one(Receive::exact(server, vec![0; 10]));
    assert_eq!((&told.kind.buffer[..4], told.moved), (b"four".as_slice(), 4), "what came is there");
    same(&told.status(), &first);
}

fn a_receive_on_a_failed_socket_is_not_lost(cts: &mut Cts) {
    let (client, server) = cts.pair();
    reset(cts, client);
    cts.fails(Receive::some(server.clone(), vec![0; 1]));
    let receives: Vec<_> = (0..20).map(|_| cts.start(Receive::some(server.clone(), vec![0; 1]))).collect();
    let sends: Vec<_> = (0..20).map(|_| cts.start(Send::some(server.clone(), b"x".as_slice()))).collect();
    cts.drain();
    let first = server.failure().unwrap();
    receives.into_iter().for_each(|receive| same(&receive.only().status(), &first));
    sends.into_iter().for_each(|send| same(&send.only().status(), &first));
}

fn a_failed_connect_is_no_failure_of_the_socket(cts: &mut Cts) {
    let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let status = cts.fails(Connect::new(client.clone(), nobody()));
    assert_eq!((status.code(), status.os_error()), (Code::Unavailable, Some(libc::ECONNREFUSED)));
    assert!(client.failure().is_none());
    assert_eq!(client.state(), SocketState::Created);
    // Linux lets it try again.
    let (listener, address) = cts.listener();
    cts.get(Connect::new(client.clone(), address));
    let server = cts.get(Accept::new(listener)).socket;
    cts.get(Send::exact(client, b"second".as_slice()));
    assert_eq!(cts.get(Receive::exact(server, vec![0; 6])), 6);
}

fn a_connect_that_is_refused_cancels_the_send_behind_it(cts: &mut Cts) {
    let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let (connect, connecting) = cts.watch(Connect::new(client.clone(), nobody()));
    let (send, sending) = cts.watch(Send::exact(client.clone(), b"never".as_slice()));
    let (last, ending) = cts.watch(Nop);
    cts.submit(Chain::new((connect, send, last))).unwrap();
    cts.drain();
    assert!(connecting.order() < sending.order() && sending.order() < ending.order());
    assert_eq!(connecting.only().status().code(), Code::Unavailable);
    assert_eq!(sending.only().status().code(), Code::Cancelled);
    assert_eq!(ending.only().status().code(), Code::Cancelled);
    assert!(client.failure().is_none());
}

fn a_failed_accept_is_no_failure_of_the_listener(cts: &mut Cts) {
    let socket = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    assert_eq!(cts.fails(Accept::new(socket.clone())).code(), Code::InvalidArgument);
    assert_eq!(cts.fails(AcceptMany::new(socket.clone())).code(), Code::InvalidArgument);
    assert!(socket.failure().is_none());
    socket.bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    socket.listen(0).unwrap();
    let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    cts.get(Connect::new(client, socket.local_address().unwrap()));
    cts.get(Accept::new(socket));
}

fn a_transfer_before_the_connection_leaves_the_socket_usable(cts: &mut Cts) {
    let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    cts.fails(Receive::some(client.clone(), vec![0; 1]));
    cts.fails(Send::exact(client.clone(), b"x".as_slice()));
    assert!(client.failure().is_none(), "it has no peer yet that it could have lost");
    let (listener, address) = cts.listener();
    cts.get(Connect::new(client.clone(), address));
    cts.get(Send::exact(client, b"x".as_slice()));
    let server = cts.get(Accept::new(listener)).socket;
    assert_eq!(cts.get(Receive::exact(server, vec![0; 1])), 1);
}

fn cancelled_operations_are_no_failures(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (op, receive) = cts.watch(Receive::exact(server.clone(), vec![0; 10]));
    let id = cts.submit(op).unwrap();
    cts.get(Send::exact(client.clone(), b"half".as_slice()));
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the cancelled receive", || receive.is_done());
    assert_eq!(receive.only().status().code(), Code::Cancelled);
    assert!(client.failure().is_none() && server.failure().is_none());
    cts.get(Send::exact(server, b"back".as_slice()));
    assert_eq!(cts.get(Receive::exact(client, vec![0; 4])), 4);
}

fn the_end_of_a_stream_is_no_failure(cts: &mut Cts) {
    let (client, server) = cts.pair();
    cts.get(Close::new(client));
    assert_eq!(cts.get(Receive::some(server.clone(), vec![0; 1])), 0);
    assert_eq!(cts.fails(Receive::exact(server.clone(), vec![0; 1])).code(), Code::OutOfRange);
    assert!(server.failure().is_none());
}

fn unread_bytes_at_a_reset_fail_the_peers_sends(cts: &mut Cts) {
    let (client, server) = cts.pair();
    cts.get(Send::exact(client.clone(), b"never read".as_slice()));
    reset(cts, server);
    let status = loop {
        if let Err(status) = cts.one(Send::exact(client.clone(), vec![0; 100])).result {
            break status;
        }
    };
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    same(&cts.fails(Receive::some(client, vec![0; 1])), &status);
}

fn each_of_two_connections_has_its_own_failure(cts: &mut Cts) {
    let (one, one_peer) = cts.pair();
    let (two, two_peer) = cts.pair();
    reset(cts, one_peer);
    let first = cts.fails(Receive::some(one.clone(), vec![0; 1]));
    cts.get(Send::exact(two.clone(), b"well".as_slice()));
    assert_eq!(cts.get(Receive::exact(two_peer.clone(), vec![0; 4])), 4);
    two.shutdown(proact::resource::Shutdown::Send).unwrap();
    let second = cts.fails(Send::exact(two.clone(), b"x".as_slice()));
    assert_ne!(first.os_error(), second.os_error());
    same(&one.failure().unwrap(), &first);
    same(&two.failure().unwrap(), &second);
    assert!(two_peer.failure().is_none());
}

fn operations_queued_behind_a_failure_end_with_it(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let receives: Vec<_> = (0..5).map(|_| cts.start(Receive::exact(server.clone(), vec![0; 4]))).collect();
    cts.look();
    reset(cts, client);
    cts.drain();
    let first = server.failure().unwrap();
    assert_eq!(first.os_error(), Some(libc::ECONNRESET));
    receives.into_iter().for_each(|receive| same(&receive.only().status(), &first));
}
