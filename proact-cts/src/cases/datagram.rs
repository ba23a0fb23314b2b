//! Datagrams: UDP over IPv4 and IPv6, and Unix.

use proact::operation::{Close, Connect, Kind, Receive, ReceiveFrom, ReceiveFromMany, ReceiveMany, Send, SendTo};
use proact::operation::{ReceiveVectored, SendVectored};
use proact::resource::{Address, Domain, Socket, SocketOptions, SocketState, SocketType, interface_index};
use proact::status::{Code, Operation, Status};

use crate::bench::Cts;
use crate::cases;
use crate::harness::skip;
use crate::system::unique;

cases![
    datagrams_between_bound_sockets_tell_their_sender,
    a_reply_to_the_sender_reaches_it,
    datagrams_over_ipv6_carry_the_senders_address,
    connected_datagrams_go_both_ways,
    datagrams_keep_their_boundaries,
    a_burst_of_datagrams_arrives_in_order,
    an_empty_datagram_is_one_and_no_end,
    a_datagram_longer_than_the_buffer_is_said_to_be_cut,
    datagrams_are_gathered_and_scattered,
    unix_datagrams_go_by_path_and_by_abstract_name,
    unix_datagram_pairs_keep_boundaries_and_have_no_names,
    a_unix_datagram_waits_for_room_at_its_receiver,
    a_refused_datagram_fails_once_and_does_not_stick,
    receives_outstanding_together_are_filled_in_order,
    a_cancelled_datagram_receive_leaves_the_socket_usable,
    a_repeated_receive_tells_every_datagram_and_its_sender,
    a_repeated_receive_ends_once_with_its_close,
    operations_of_the_other_kind_of_socket_are_refused,
    too_many_buffers_for_one_datagram_are_refused,
    a_datagram_that_is_too_long_fails_and_leaves_the_socket_usable,
    segments_leave_as_one_and_arrive_as_many,
    segments_arrive_as_one_where_the_receiver_wants_it,
    segments_are_udps_alone,
    a_group_is_heard_by_its_members_until_they_leave,
    a_group_over_ipv6_is_heard_by_its_members,
    groups_of_another_family_are_refused,
    shared_ports_need_to_be_asked_for,
];

/// What the submit of an operation that must be refused says.
#[track_caller]
pub(super) fn refused<K: Kind>(cts: &mut Cts, kind: K) -> Status {
    let (op, _watch) = cts.watch(kind);
    cts.submit(op).expect_err("a refusal").status
}

fn bound(cts: &mut Cts, address: &str) -> (Socket, Address) {
    let address: Address = address.parse().unwrap();
    let socket = cts.handle().datagram(Domain::of(&address), &SocketOptions::default()).unwrap();
    socket.bind(&address).unwrap();
    let address = socket.local_address().unwrap();
    (socket, address)
}

/// Two UDP sockets that are each other's peer.
fn connected(cts: &mut Cts) -> (Socket, Socket) {
    let (one, one_address) = bound(cts, "127.0.0.1:0");
    let (two, two_address) = bound(cts, "127.0.0.1:0");
    cts.get(Connect::new(one.clone(), two_address));
    cts.get(Connect::new(two.clone(), one_address));
    (one, two)
}

fn datagrams_between_bound_sockets_tell_their_sender(cts: &mut Cts) {
    let (one, from) = bound(cts, "127.0.0.1:0");
    let (two, to) = bound(cts, "127.0.0.1:0");
    assert_eq!((one.socket_type(), one.domain()), (SocketType::Datagram, Domain::Ipv4));
    let receive = cts.start(ReceiveFrom::new(two, vec![0; 64]));
    cts.look();
    assert_eq!(receive.calls(), 0);
    assert_eq!(cts.get(SendTo::new(one, b"hello".as_slice(), to)), 5);
    cts.until("the datagram", || receive.is_done());
    let told = receive.only();
    let datagram = told.result.unwrap();
    assert_eq!((datagram.length, datagram.truncated, datagram.segment), (5, false, None));
    assert_eq!(datagram.sender, from);
    assert_eq!(&told.kind.buffer[..5], b"hello");
    let statistics = cts.statistics();
    assert_eq!((statistics.bytes_sent, statistics.bytes_received), (5, 5));
}

fn a_reply_to_the_sender_reaches_it(cts: &mut Cts) {
    let (client, _) = bound(cts, "127.0.0.1:0");
    let (server, address) = bound(cts, "127.0.0.1:0");
    for round in 0..3u8 {
        cts.get(SendTo::new(client.clone(), vec![round; 3], address.clone()));
        let asked = cts.get(ReceiveFrom::new(server.clone(), vec![0; 16]));
        cts.get(SendTo::new(server.clone(), vec![round + 100; 2], asked.sender));
        let told = cts.one(ReceiveFrom::new(client.clone(), vec![0; 16]));
        let answer = told.result.unwrap();
        assert_eq!((answer.length, answer.sender), (2, address.clone()));
        assert_eq!(told.kind.buffer[..2], [round + 100; 2]);
    }
}

fn datagrams_over_ipv6_carry_the_senders_address(cts: &mut Cts) {
    if let Err(error) = std::net::UdpSocket::bind("[::1]:0") {
        skip(format!("no IPv6 loopback: {error}"));
    }
    let (one, from) = bound(cts, "[::1]:0");
    let (two, to) = bound(cts, "[::1]:0");
    cts.get(SendTo::new(one, b"six".as_slice(), to));
    assert_eq!(cts.get(ReceiveFrom::new(two, vec![0; 16])).sender, from);
}

fn connected_datagrams_go_both_ways(cts: &mut Cts) {
    let (one, two) = connected(cts);
    assert_eq!(one.state(), SocketState::Connected);
    assert_eq!(one.peer_address().unwrap(), two.local_address().unwrap());
    for (from, to) in [(&one, &two), (&two, &one)] {
        // A plain send will do, of what is sent to the one peer.
        cts.get(Send::some(from.clone(), b"plain".as_slice()));
        cts.get(SendTo::peer(from.clone(), b"to the peer".as_slice()));
        for expected in [b"plain".as_slice(), b"to the peer"] {
            let told = cts.one(ReceiveFrom::new(to.clone(), vec![0; 64]));
            let datagram = told.result.unwrap();
            assert_eq!(&told.kind.buffer[..datagram.length], expected);
            assert_eq!(datagram.sender, from.local_address().unwrap());
        }
    }
}

fn datagrams_keep_their_boundaries(cts: &mut Cts) {
    let (one, two) = connected(cts);
    let lengths = [1, 700, 3, 1400, 20];
    for length in lengths {
        cts.get(SendTo::peer(one.clone(), vec![length as u8; length]));
    }
    for length in lengths {
        let told = cts.one(ReceiveFrom::new(two.clone(), vec![0; 2000]));
        assert_eq!(told.result.unwrap().length, length);
        assert!(told.kind.buffer[..length].iter().all(|byte| *byte == length as u8));
        assert!(told.kind.buffer[length..].iter().all(|byte| *byte == 0), "nothing beyond it is touched");
    }
}

fn a_burst_of_datagrams_arrives_in_order(cts: &mut Cts) {
    let (one, two) = connected(cts);
    // Loopback loses nothing that the receiver's buffer has room for.
    let sends: Vec<_> = (0..10u8).map(|round| cts.start(SendTo::peer(one.clone(), vec![round; 512]))).collect();
    cts.drain();
    assert!(sends.into_iter().all(|send| send.only().result.unwrap() == 512));
    for round in 0..10u8 {
        let told = cts.one(ReceiveFrom::new(two.clone(), vec![0; 512]));
        assert_eq!((told.result.unwrap().length, told.kind.buffer[0]), (512, round));
    }
}

fn an_empty_datagram_is_one_and_no_end(cts: &mut Cts) {
    let (one, two) = connected(cts);
    assert_eq!(cts.get(SendTo::peer(one.clone(), b"".as_slice())), 0);
    cts.get(SendTo::peer(one, b"after".as_slice()));
    let empty = cts.get(ReceiveFrom::new(two.clone(), vec![0; 8]));
    assert_eq!((empty.length, empty.truncated), (0, false));
    assert_eq!(cts.get(ReceiveFrom::new(two, vec![0; 8])).length, 5);
}

fn a_datagram_longer_than_the_buffer_is_said_to_be_cut(cts: &mut Cts) {
    let (one, two) = connected(cts);
    for (room, length, truncated) in [(4, 4, false), (3, 3, true), (0, 0, true)] {
        cts.get(SendTo::peer(one.clone(), b"four".as_slice()));
        let told = cts.one(ReceiveFrom::new(two.clone(), vec![0; room]));
        let datagram = told.result.unwrap();
        assert_eq!((datagram.length, datagram.truncated), (length, truncated), "room for {room}");
        assert_eq!(told.kind.buffer, b"four"[..room]);
    }
}

fn datagrams_are_gathered_and_scattered(cts: &mut Cts) {
    let (one, two) = connected(cts);
    let parts: Vec<&'static [u8]> = vec![b"gathered ", b"", b"from ", b"several"];
    assert_eq!(cts.get(SendTo::peer(one.clone(), parts)), 21);
    let told = cts.one(ReceiveFrom::new(two.clone(), vec![vec![0; 9], vec![], vec![0; 4], vec![0; 100]]));
    assert_eq!(told.result.unwrap().length, 21);
    let [first, second, third, fourth] = told.kind.buffer.try_into().unwrap();
    assert_eq!((first.as_slice(), second.len(), third.as_slice()), (b"gathered ".as_slice(), 0, b"from".as_slice()));
    assert_eq!(&fourth[..8], b" several");
    // As many buffers as one message can have.
    let whole: Vec<u8> = (0..1024u32).map(|at| at as u8).collect();
    cts.get(SendTo::peer(one, whole.iter().map(|byte| vec![*byte]).collect::<Vec<_>>()));
    let told = cts.one(ReceiveFrom::new(two, vec![vec![0u8; 1]; 1024]));
    assert_eq!(told.result.unwrap().length, 1024);
    assert_eq!(told.kind.buffer.concat(), whole);
}

fn unix_datagrams_go_by_path_and_by_abstract_name(cts: &mut Cts) {
    let paths = [cts.path("one").display().to_string(), cts.path("two").display().to_string()];
    let name = format!("@proact-cts-dgram-{}-{}", std::process::id(), unique());
    for (from, to) in [(&paths[0], &paths[1]), (&name, &format!("{name}-other"))] {
        let (one, from) = bound(cts, &format!("unix:{from}"));
        let (two, to) = bound(cts, &format!("unix:{to}"));
        cts.get(SendTo::new(one, b"by name".as_slice(), to));
        let datagram = cts.get(ReceiveFrom::new(two, vec![0; 16]));
        assert_eq!((datagram.length, datagram.sender), (7, from));
    }
    let nobody = Address::unix(cts.path("nobody")).unwrap();
    let socket = cts.handle().datagram(Domain::Unix, &SocketOptions::default()).unwrap();
    let status = cts.fails(SendTo::new(socket, b"x".as_slice(), nobody.clone()));
    assert_eq!((status.code(), status.operation()), (Code::NotFound, Operation::SocketSendTo));
    assert!(status.to_string().contains(&nobody.to_string()), "{status}");
}

fn unix_datagram_pairs_keep_boundaries_and_have_no_names(cts: &mut Cts) {
    let (one, two) = cts.handle().socket_pair(SocketType::Datagram).unwrap();
    for length in [3usize, 1, 2] {
        cts.get(SendTo::peer(one.clone(), vec![length as u8; length]));
    }
    for length in [3usize, 1, 2] {
        let told = cts.one(ReceiveFrom::new(two.clone(), vec![0; 16]));
        let datagram = told.result.unwrap();
        assert_eq!((datagram.length, datagram.sender), (length, Address::Unnamed));
        assert_eq!(told.kind.buffer[..length], vec![length as u8; length]);
    }
}

fn a_unix_datagram_waits_for_room_at_its_receiver(cts: &mut Cts) {
    let (one, two) = cts.handle().socket_pair(SocketType::Datagram).unwrap();
    // More than any receiver's queue takes (`net.unix.max_dgram_qlen`, or the send buffer).
    let count = 2000u32;
    let length = 512;
    let sends: Vec<_> = (0..count)
        .map(|round| {
            let mut bytes = vec![0; length];
            bytes[..4].copy_from_slice(&round.to_le_bytes());
            cts.start(SendTo::peer(one.clone(), bytes))
        })
        .collect();
    cts.look();
    assert!(!sends[count as usize - 1].is_done(), "the queue has no end");
    for round in 0..count {
        let told = cts.one(ReceiveFrom::new(two.clone(), vec![0; length]));
        assert_eq!(told.result.unwrap().length, length);
        assert_eq!(told.kind.buffer[..4], round.to_le_bytes());
    }
    cts.drain();
    assert!(sends.into_iter().all(|send| send.only().result.unwrap() == length));
}

fn a_refused_datagram_fails_once_and_does_not_stick(cts: &mut Cts) {
    let (one, _) = bound(cts, "127.0.0.1:0");
    let (two, address) = bound(cts, "127.0.0.1:0");
    cts.get(Connect::new(one.clone(), address.clone()));
    cts.get(Close::new(two));
    // The first goes; that nobody was there comes back and fails what follows, once.
    cts.get(SendTo::peer(one.clone(), b"lost".as_slice()));
    let status = cts.fails(ReceiveFrom::new(one.clone(), vec![0; 8]));
    assert_eq!((status.code(), status.os_error()), (Code::Unavailable, Some(libc::ECONNREFUSED)));
    assert!(one.failure().is_none(), "a datagram's failure is no failure of the socket");
    // Somebody is there again.
    let again = cts.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
    again.bind(&address).unwrap();
    cts.get(SendTo::peer(one.clone(), b"heard".as_slice()));
    assert_eq!(cts.get(ReceiveFrom::new(again, vec![0; 8])).length, 5);
    assert!(one.failure().is_none());
}

fn receives_outstanding_together_are_filled_in_order(cts: &mut Cts) {
    let (one, two) = connected(cts);
    let receives: Vec<_> = (0..8).map(|_| cts.start(ReceiveFrom::new(two.clone(), vec![0; 4]))).collect();
    cts.look();
    for round in 0..8u8 {
        cts.get(SendTo::peer(one.clone(), vec![round; 4]));
    }
    cts.drain();
    for (round, receive) in receives.into_iter().enumerate() {
        let told = receive.only();
        assert_eq!((told.result.unwrap().length, told.kind.buffer), (4, vec![round as u8; 4]));
    }
}

fn a_cancelled_datagram_receive_leaves_the_socket_usable(cts: &mut Cts) {
    let (one, two) = connected(cts);
    let (op, receive) = cts.watch(ReceiveFrom::new(two.clone(), vec![0; 4]));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the cancelled receive", || receive.is_done());
    assert_eq!(receive.only().status().code(), Code::Cancelled);
    assert!(two.failure().is_none());
    cts.get(SendTo::peer(one, b"next".as_slice()));
    assert_eq!(cts.get(ReceiveFrom::new(two, vec![0; 8])).length, 4);
}

fn a_repeated_receive_tells_every_datagram_and_its_sender(cts: &mut Cts) {
    let (server, address) = bound(cts, "127.0.0.1:0");
    let clients = [bound(cts, "127.0.0.1:0"), bound(cts, "127.0.0.1:0")];
    let (op, receive) = cts.watch(ReceiveFromMany::new(server, vec![0; 8]));
    let id = cts.submit(op).unwrap();
    for round in 0..6usize {
        let (client, from) = &clients[round % 2];
        cts.get(SendTo::new(client.clone(), vec![1u8; round + 4], address.clone()));
        cts.until("its outcome", || receive.outcomes() == 1);
        let datagram = receive.take_outcomes().remove(0).unwrap();
        assert_eq!(datagram.sender, *from);
        assert_eq!((datagram.length, datagram.truncated), ((round + 4).min(8), round + 4 > 8));
    }
    // An empty one ends nothing.
    cts.get(SendTo::new(clients[0].0.clone(), b"".as_slice(), address));
    cts.until("the empty one", || receive.outcomes() == 1);
    assert_eq!(receive.take_outcomes().remove(0).unwrap().length, 0);
    cts.cancel(id).unwrap();
    cts.until("its end", || receive.is_done());
    assert_eq!(receive.only().status().code(), Code::Cancelled);
}

fn a_repeated_receive_ends_once_with_its_close(cts: &mut Cts) {
    let (server, _) = bound(cts, "127.0.0.1:0");
    let receive = cts.start(ReceiveFromMany::new(server.clone(), vec![0; 8]));
    cts.look();
    let close = cts.start(Close::new(server));
    cts.drain();
    assert!(close.only().result.is_ok());
    assert_eq!(receive.only().status().code(), Code::Cancelled);
}

fn operations_of_the_other_kind_of_socket_are_refused(cts: &mut Cts) {
    let (client, _server) = cts.pair();
    let (socket, address) = bound(cts, "127.0.0.1:0");
    let stream = |status: Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.to_string().contains("carries a stream"), "{status}");
    };
    stream(refused(cts, SendTo::new(client.clone(), b"x".as_slice(), address)));
    stream(refused(cts, ReceiveFrom::new(client.clone(), vec![0; 1])));
    stream(refused(cts, ReceiveFromMany::new(client, vec![0; 1])));
    // A plain receive would lose a datagram's rest without a word.
    let datagrams = |status: Status| {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.to_string().contains("carries datagrams"), "{status}");
    };
    datagrams(refused(cts, Receive::some(socket.clone(), vec![0; 1])));
    datagrams(refused(cts, ReceiveMany::new(socket.clone(), vec![0; 1])));
    datagrams(refused(cts, ReceiveVectored::some(socket.clone(), vec![vec![0; 1]])));
    datagrams(refused(cts, SendVectored::some(socket, vec![vec![0; 1]])));
}

fn too_many_buffers_for_one_datagram_are_refused(cts: &mut Cts) {
    let (one, two) = connected(cts);
    for status in [
        refused(cts, SendTo::peer(one, vec![vec![0u8; 1]; 1025])),
        refused(cts, ReceiveFrom::new(two, vec![vec![0u8; 1]; 1025])),
    ] {
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.to_string().contains("1025 buffers"), "{status}");
    }
}

fn a_datagram_that_is_too_long_fails_and_leaves_the_socket_usable(cts: &mut Cts) {
    let (one, two) = connected(cts);
    let status = cts.fails(SendTo::peer(one.clone(), vec![0; 70_000]));
    assert_eq!((status.code(), status.os_error()), (Code::InvalidArgument, Some(libc::EMSGSIZE)), "{status}");
    assert!(one.failure().is_none());
    cts.get(SendTo::peer(one, b"short".as_slice()));
    assert_eq!(cts.get(ReceiveFrom::new(two, vec![0; 8])).length, 5);
}

/// Datagrams of 100, 100 and 50 bytes, sent as one.
fn send_segments(cts: &mut Cts, socket: Socket) {
    let bytes: Vec<u8> = (0..250u32).map(|at| (at / 100) as u8).collect();
    let told = cts.one(SendTo::peer(socket, bytes).segments(100));
    match told.result {
        Ok(count) => assert_eq!(count, 250),
        Err(status) => skip(format!("this kernel or interface cuts no segments: {status}")),
    }
}

fn segments_leave_as_one_and_arrive_as_many(cts: &mut Cts) {
    let (one, two) = connected(cts);
    send_segments(cts, one.clone());
    for (index, length) in [100, 100, 50].into_iter().enumerate() {
        let told = cts.one(ReceiveFrom::new(two.clone(), vec![9; 200]));
        let datagram = told.result.unwrap();
        assert_eq!((datagram.length, datagram.segment, datagram.truncated), (length, None, false));
        assert!(told.kind.buffer[..length].iter().all(|byte| *byte == index as u8));
    }
    // To an address, too.
    let to = two.local_address().unwrap();
    let (other, from) = bound(cts, "127.0.0.1:0");
    cts.get(Connect::new(two.clone(), from));
    cts.get(SendTo::new(other, vec![7u8; 20], to).segments(10));
    for _ in 0..2 {
        assert_eq!(cts.get(ReceiveFrom::new(two.clone(), vec![0; 64])).length, 10);
    }
}

fn segments_arrive_as_one_where_the_receiver_wants_it(cts: &mut Cts) {
    let (one, two) = connected(cts);
    if let Err(status) = two.set_receive_offload(true) {
        skip(format!("no receive offload: {status}"));
    }
    send_segments(cts, one.clone());
    let told = cts.one(ReceiveFrom::new(two.clone(), vec![9; 65536]));
    let datagram = told.result.unwrap();
    assert_eq!((datagram.length, datagram.segment, datagram.truncated), (250, Some(100), false));
    let expected: Vec<u8> = (0..250u32).map(|at| (at / 100) as u8).collect();
    assert_eq!(told.kind.buffer[..250], expected);
    // One that came alone is no run of several.
    cts.get(SendTo::peer(one, b"alone".as_slice()));
    let alone = cts.get(ReceiveFrom::new(two, vec![0; 65536]));
    assert_eq!((alone.length, alone.segment), (5, None));
}

fn segments_are_udps_alone(cts: &mut Cts) {
    let (one, _two) = cts.handle().socket_pair(SocketType::Datagram).unwrap();
    let status = refused(cts, SendTo::peer(one.clone(), b"x".as_slice()).segments(1));
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    assert_eq!(one.set_receive_offload(true).unwrap_err().code(), Code::Unavailable);
    let (udp, _peer) = connected(cts);
    let status = refused(cts, SendTo::peer(udp, b"x".as_slice()).segments(0));
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let (client, _server) = cts.pair();
    assert_eq!(client.set_receive_offload(true).unwrap_err().code(), Code::Unavailable);
}

fn a_group_is_heard_by_its_members_until_they_leave(cts: &mut Cts) {
    let (member, _) = bound(cts, "0.0.0.0:0");
    let port = member.local_address().unwrap().port().unwrap();
    heard(cts, &member, "239.255.71.13", port);
}

fn a_group_over_ipv6_is_heard_by_its_members(cts: &mut Cts) {
    if let Err(error) = std::net::UdpSocket::bind("[::1]:0") {
        skip(format!("no IPv6 loopback: {error}"));
    }
    let (member, _) = bound(cts, "[::]:0");
    let port = member.local_address().unwrap().port().unwrap();
    heard(cts, &member, "ff01::7113", port);
}

fn heard(cts: &mut Cts, member: &Socket, group: &str, port: u16) {
    let lo = interface_index("lo").unwrap();
    let group: std::net::IpAddr = group.parse().unwrap();
    let address = Address::from(std::net::SocketAddr::new(group, port));
    if let Err(status) = member.join_group(group, lo) {
        skip(format!("no multicast over loopback: {status}"));
    }
    let again = member.join_group(group, lo).unwrap_err();
    assert_eq!(again.code(), Code::AlreadyExists, "{again}");
    member.leave_group(group, lo).unwrap();
    assert_eq!(member.leave_group(group, lo).unwrap_err().code(), Code::Unavailable);
    member.join_group(group, lo).unwrap();
    let sender = cts.handle().datagram(member.domain(), &SocketOptions::default()).unwrap();
    sender.set_multicast_interface(lo).unwrap();
    sender.set_multicast_hops(3).unwrap();
    assert_eq!(sender.multicast_hops().unwrap(), 3);
    assert!(sender.multicast_loop().unwrap());
    let receive = cts.start(ReceiveFrom::new(member.clone(), vec![0; 16]));
    let sent = cts.one(SendTo::new(sender.clone(), b"all".as_slice(), address.clone()));
    if let Err(status) = sent.result {
        skip(format!("no multicast over loopback: {status}"));
    }
    cts.until("the group's datagram", || receive.is_done());
    assert_eq!(receive.only().result.unwrap().length, 3);
    // (What leaves by the loopback interface comes back whatever this says.)
    sender.set_multicast_loop(false).unwrap();
    assert!(!sender.multicast_loop().unwrap());
    member.leave_group(group, lo).unwrap();
    // Without a member the system may refuse it, or lose it.
    let _lost = cts.one(SendTo::new(sender.clone(), b"nobody".as_slice(), address.clone())).result;
    let host: Address = if group.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" }.parse().unwrap();
    let Address::Ip(mut host) = host else { unreachable!("an IP address") };
    host.set_port(port);
    let (direct, _) = bound(cts, if group.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" });
    cts.get(SendTo::new(direct, b"direct".as_slice(), host.into()));
    assert_eq!(cts.get(ReceiveFrom::new(member.clone(), vec![0; 16])).length, 6);
}

fn groups_of_another_family_are_refused(cts: &mut Cts) {
    let (socket, _) = bound(cts, "127.0.0.1:0");
    for group in ["ff01::1", "10.0.0.1"] {
        let status = socket.join_group(group.parse().unwrap(), 0).unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
    let (unix, _peer) = cts.handle().socket_pair(SocketType::Datagram).unwrap();
    assert_eq!(unix.join_group("239.0.0.1".parse().unwrap(), 0).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(unix.set_multicast_hops(1).unwrap_err().code(), Code::Unavailable);
}

fn shared_ports_need_to_be_asked_for(cts: &mut Cts) {
    let (_first, address) = bound(cts, "127.0.0.1:0");
    let second = cts.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let status = second.bind(&address).unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists, "{status}");
    let shared = SocketOptions { reuse_port: true, ..SocketOptions::default() };
    let first = cts.handle().datagram(Domain::Ipv4, &shared).unwrap();
    first.bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let second = cts.handle().datagram(Domain::Ipv4, &shared).unwrap();
    second.bind(&first.local_address().unwrap()).unwrap();
}
