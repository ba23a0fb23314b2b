//! Messages on streams: several buffers at once, and descriptors that go with bytes.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use proact::memory::{BufferPool, Slab};
use proact::operation::{Chain, Close, Nop, Op, Receive, ReceiveDescriptors, ReceiveVectored, Send};
use proact::operation::{ReceiveFrom, ReceiveFromMany, ReceiveFromPooledMany};
use proact::operation::{SendDescriptors, SendVectored};
use proact::resource::{Address, Domain, Socket, SocketOptions, SocketType};
use proact::status::{Code, Operation};

use super::datagram::refused;
use crate::bench::Cts;
use crate::cases;
use crate::harness::Only;
use crate::system::descriptors;

cases![
    buffers_are_gathered_in_their_order,
    buffers_are_scattered_each_filled_before_the_next,
    what_is_gathered_here_is_scattered_there,
    buffers_of_no_bytes_are_passed_over,
    more_buffers_of_no_bytes_than_one_call_takes_are_passed_over,
    lists_of_one_and_of_none_are_lists,
    many_more_buffers_than_one_call_takes_arrive_whole,
    vectors_through_small_buffers_keep_every_byte_in_place,
    vectors_and_plain_transfers_share_the_order_of_their_stream,
    a_vector_of_some_may_be_short_and_says_how_much_went,
    a_vectored_receive_cut_short_keeps_what_came,
    a_cancelled_vectored_receive_leaves_the_socket_usable,
    a_vectored_send_after_a_failure_gets_that_failure,
    operations_with_other_buffers_can_be_submitted_again,
    vectors_run_as_steps_of_a_chain,
    a_chain_of_vectors_goes_to_the_kernel.only(Only::Chains),
    a_step_of_more_buffers_than_one_call_takes_ends_before_the_next_begins,
    descriptors_arrive_usable_and_closed_on_exec.real("descriptors that go with messages").alone(),
    descriptors_go_with_datagrams_too.real("descriptors that go with messages").alone(),
    descriptors_beyond_the_room_are_closed_and_said_to_be_lost.real("descriptors that go with messages").alone(),
    descriptors_that_nobody_takes_are_closed.real("descriptors that go with messages").alone(),
    descriptors_with_datagrams_are_closed_where_nobody_asks_for_them.real("descriptors that go with messages").alone(),
    a_cancelled_receive_of_descriptors_leaks_none.real("descriptors that go with messages").alone(),
    a_shutdown_with_descriptors_on_the_way_leaks_none.real("descriptors that go with messages").alone(),
    many_descriptors_go_at_once.real("descriptors that go with messages").alone(),
    one_receive_stops_before_the_descriptors_of_the_next_send.real("descriptors that go with messages").alone(),
    descriptors_with_many_bytes_go_once.real("a descriptor of the operating system").alone(),
    descriptors_go_over_unix_sockets_alone_and_with_a_byte.real("descriptors that go with messages"),
];

fn parts(lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut at = 0u32;
    let mut next = || {
        at = at.wrapping_add(1);
        (at ^ (at >> 8)) as u8
    };
    lengths.iter().map(|length| (0..*length).map(|_| next()).collect()).collect()
}

fn room(lengths: &[usize]) -> Vec<Vec<u8>> {
    lengths.iter().map(|length| vec![0; *length]).collect()
}

fn small() -> SocketOptions {
    SocketOptions { send_buffer: Some(4096), receive_buffer: Some(4096), ..SocketOptions::default() }
}

fn buffers_are_gathered_in_their_order(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let buffers: Vec<&'static [u8]> = vec![b"one, ", b"two", b" and three"];
    let told = cts.one(SendVectored::exact(client, buffers.clone()));
    assert_eq!((told.result.unwrap(), told.moved), (18, 18));
    assert_eq!(told.kind.buffers, buffers, "they come back as they were");
    assert_eq!(cts.one(Receive::exact(server, vec![0; 18])).kind.buffer, b"one, two and three");
    assert_eq!(cts.statistics().bytes_sent, 18);
}

fn buffers_are_scattered_each_filled_before_the_next(cts: &mut Cts) {
    let (client, server) = cts.pair();
    cts.get(Send::exact(client, b"0123456789".as_slice()));
    let told = cts.one(ReceiveVectored::some(server, vec![vec![b'.'; 3], vec![b'.'; 4], vec![b'.'; 6]]));
    assert_eq!(told.result.unwrap(), 10);
    assert_eq!(told.kind.buffers, [b"012".to_vec(), b"3456".to_vec(), b"789...".to_vec()]);
}

fn what_is_gathered_here_is_scattered_there(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let sent = parts(&[32; 8]);
    cts.get(SendVectored::exact(client, sent.clone()));
    let told = cts.one(ReceiveVectored::exact(server, room(&[100, 1, 155])));
    assert_eq!(told.result.unwrap(), 256);
    assert_eq!(told.kind.buffers.concat(), sent.concat());
}

fn buffers_of_no_bytes_are_passed_over(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let sent = parts(&[0, 5, 0, 0, 7, 0]);
    assert_eq!(cts.get(SendVectored::exact(client, sent.clone())), 12);
    let told = cts.one(ReceiveVectored::exact(server, room(&[0, 2, 0, 10, 0])));
    assert_eq!(told.result.unwrap(), 12);
    assert_eq!(told.kind.buffers.concat(), sent.concat());
}

fn more_buffers_of_no_bytes_than_one_call_takes_are_passed_over(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let mut lengths = vec![0; 2500];
    lengths.extend([3, 0, 4]);
    let sent = parts(&lengths);
    assert_eq!(cts.get(SendVectored::exact(client.clone(), sent.clone())), 7);
    let told = cts.one(ReceiveVectored::exact(server.clone(), room(&lengths)));
    assert_eq!((told.result.unwrap(), told.kind.buffers.concat()), (7, sent.concat()));
    // What is there at once is not mistaken for the end either.
    assert_eq!(cts.get(SendVectored::some(client, sent)), 7);
    assert_eq!(cts.get(ReceiveVectored::some(server, room(&lengths))), 7);
}

fn lists_of_one_and_of_none_are_lists(cts: &mut Cts) {
    let (client, server) = cts.pair();
    assert_eq!(cts.get(SendVectored::exact(client.clone(), parts(&[6]))), 6);
    assert_eq!(cts.get(SendVectored::exact(client, Vec::<Vec<u8>>::new())), 0);
    assert_eq!(cts.one(ReceiveVectored::exact(server, room(&[6]))).kind.buffers, parts(&[6]));
}

fn many_more_buffers_than_one_call_takes_arrive_whole(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let lengths: Vec<usize> = (0..5000).map(|index| index % 7).collect();
    let sent = parts(&lengths);
    let total = sent.concat().len();
    let receive = cts.start(ReceiveVectored::exact(server, room(&vec![3; total / 3 + 1])[..total / 3].to_vec()));
    let told = cts.one(SendVectored::exact(client, sent.clone()));
    assert_eq!(told.result.unwrap(), total);
    cts.until("all of them", || receive.is_done());
    let told = receive.only();
    assert_eq!(told.result.unwrap(), total / 3 * 3);
    assert!(told.kind.buffers.concat() == sent.concat()[..total / 3 * 3]);
}

fn vectors_through_small_buffers_keep_every_byte_in_place(cts: &mut Cts) {
    for address in ["127.0.0.1:0".to_owned(), format!("unix:{}", cts.path("socket").display())] {
        let (client, server) = cts.pair_on(&address, &small());
        let sent = parts(&[1, 200_000, 3, 0, 100_001, 65_536, 7]);
        let total = sent.concat().len();
        let receive = cts.start(ReceiveVectored::exact(server, room(&[70_000, 1, total - 70_002, 1])));
        let send = cts.start(SendVectored::exact(client, sent.clone()));
        cts.drain();
        assert_eq!(send.only().result.unwrap(), total);
        let told = receive.only();
        assert_eq!((told.result.unwrap(), told.moved), (total, total));
        assert!(told.kind.buffers.concat() == sent.concat());
    }
}

fn vectors_and_plain_transfers_share_the_order_of_their_stream(cts: &mut Cts) {
    let (client, server) = cts.pair_on("127.0.0.1:0", &small());
    let first = parts(&[50_000, 30_000]);
    let second = vec![0xaa; 90_000];
    let third = parts(&[1, 2, 60_000]);
    cts.start(SendVectored::exact(client.clone(), first.clone()));
    cts.start(Send::exact(client.clone(), second.clone()));
    cts.start(SendVectored::exact(client, third.clone()));
    let whole = [first.concat(), second, third.concat()].concat();
    let one = cts.start(Receive::exact(server.clone(), vec![0; 77_777]));
    let two = cts.start(ReceiveVectored::exact(server.clone(), room(&[60_000, 10_000])));
    let three = cts.start(Receive::exact(server, vec![0; whole.len() - 147_777]));
    cts.drain();
    let got = [one.only().kind.buffer, two.only().kind.buffers.concat(), three.only().kind.buffer].concat();
    assert!(got == whole);
}

fn a_vector_of_some_may_be_short_and_says_how_much_went(cts: &mut Cts) {
    let (client, server) = cts.pair_on("127.0.0.1:0", &small());
    let sent = parts(&[1 << 20, 2 << 20, 1 << 20]);
    let went = cts.get(SendVectored::some(client.clone(), sent.clone()));
    assert!(went > 0 && went < 4 << 20, "{went} bytes into small buffers");
    cts.get(Close::new(client));
    let told = cts.one(Receive::exact(server, vec![0; went]));
    assert!(told.kind.buffer == sent.concat()[..went]);
}

fn a_vectored_receive_cut_short_keeps_what_came(cts: &mut Cts) {
    let (client, server) = cts.pair();
    cts.get(Send::exact(client.clone(), b"four".as_slice()));
    let receive = cts.start(ReceiveVectored::exact(server.clone(), room(&[3, 3])));
    cts.look();
    assert_eq!(receive.calls(), 0);
    cts.get(Close::new(client));
    cts.until("the end", || receive.is_done());
    let told = receive.only();
    assert_eq!((told.kind.buffers.concat(), told.moved), (b"four\0\0".to_vec(), 4));
    let status = told.status();
    assert_eq!((status.code(), status.operation()), (Code::OutOfRange, Operation::SocketReceiveVectored));
    assert_eq!(cts.get(ReceiveVectored::some(server, room(&[3]))), 0, "the end of the stream");
}

fn a_cancelled_vectored_receive_leaves_the_socket_usable(cts: &mut Cts) {
    let (client, server) = cts.pair();
    for exact in [false, true] {
        let (socket, buffers) = (server.clone(), room(&[2, 2]));
        let kind = if exact { ReceiveVectored::exact(socket, buffers) } else { ReceiveVectored::some(socket, buffers) };
        let (op, receive) = cts.watch(kind);
        let id = cts.submit(op).unwrap();
        cts.look();
        cts.cancel(id).unwrap();
        cts.until("the cancelled receive", || receive.is_done());
        assert_eq!(receive.only().status().code(), Code::Cancelled);
    }
    cts.get(Send::exact(client, b"next".as_slice()));
    assert_eq!(cts.get(ReceiveVectored::exact(server, room(&[2, 2]))), 4);
}

fn a_vectored_send_after_a_failure_gets_that_failure(cts: &mut Cts) {
    let (client, server) = cts.pair();
    client.set_linger(Some(std::time::Duration::ZERO)).unwrap();
    cts.get(Close::new(client));
    let first = cts.fails(ReceiveVectored::some(server.clone(), room(&[4])));
    assert_eq!(first.code(), Code::Unavailable);
    let status = cts.fails(SendVectored::exact(server.clone(), parts(&[4])));
    assert_eq!(status.to_string(), first.to_string());
    assert_eq!(server.failure().unwrap().to_string(), first.to_string());
}

fn operations_with_other_buffers_can_be_submitted_again(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let mut send = cts.one(SendVectored::exact(client, parts(&[3, 4]))).kind;
    assert_eq!(cts.get(Receive::exact(server.clone(), vec![0; 7])), 7);
    // Fewer, more, and none at all: nothing of an earlier flight shows.
    for lengths in [vec![2], vec![1; 20], vec![], vec![0, 5]] {
        let total = lengths.iter().sum();
        send.buffers = parts(&lengths);
        let told = cts.one(send);
        assert_eq!((told.result.unwrap(), told.moved), (total, total));
        if total > 0 {
            let told = cts.one(Receive::exact(server.clone(), vec![0; total]));
            assert_eq!(told.kind.buffer, parts(&lengths).concat());
        }
        send = told.kind;
    }
}

fn vectors_run_as_steps_of_a_chain(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let sent = parts(&[10, 20]);
    let (first, sending) = cts.watch(SendVectored::exact(client, sent.clone()));
    let (second, receiving) = cts.watch(ReceiveVectored::exact(server, room(&[15, 15])));
    let (third, last) = cts.watch(Nop);
    cts.submit(Chain::new((first, second, third))).unwrap();
    cts.drain();
    assert!(sending.order() < receiving.order() && receiving.order() < last.order());
    assert_eq!(receiving.only().kind.buffers.concat(), sent.concat());
}

fn a_chain_of_vectors_goes_to_the_kernel(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (first, sending) = cts.watch(SendVectored::exact(client, parts(&[10, 20])));
    let (second, receiving) = cts.watch(ReceiveVectored::exact(server, room(&[15, 15])));
    cts.submit(Chain::new((first, second))).unwrap();
    cts.drain();
    assert!(sending.only().lowered);
    let told = receiving.only();
    assert!(told.lowered && told.result.unwrap() == 30);
}

fn a_step_of_more_buffers_than_one_call_takes_ends_before_the_next_begins(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let buffers = parts(&vec![2; 3000]);
    let (first, sending) = cts.watch(SendVectored::exact(client.clone(), buffers.clone()));
    let (second, _) = cts.watch(Send::exact(client, b"after".as_slice()));
    cts.submit(Chain::new((first, second))).unwrap();
    let told = cts.one(Receive::exact(server, vec![0; 6005]));
    assert!(told.kind.buffer == [buffers.concat(), b"after".to_vec()].concat());
    cts.drain();
    assert_eq!(sending.only().result.unwrap(), 6000);
}

/// Two ends of something that carries bytes, to be sent away: what is written to the second is read from the first.
fn pipe() -> (OwnedFd, OwnedFd) {
    let (one, two) = std::os::unix::net::UnixStream::pair().unwrap();
    (one.into(), two.into())
}

fn unix_pair(cts: &mut Cts) -> (Socket, Socket) {
    cts.handle().socket_pair(SocketType::Stream).unwrap()
}

fn descriptors_arrive_usable_and_closed_on_exec(cts: &mut Cts) {
    let (client, server) = unix_pair(cts);
    cts.look();
    let before = descriptors();
    let (reader, writer) = pipe();
    let receive = cts.start(ReceiveDescriptors::new(server, vec![0; 16], 4));
    let told = cts.one(SendDescriptors::new(client, b"two".as_slice(), vec![reader, writer]));
    assert_eq!(told.result.unwrap(), 3);
    // They are still the sender's, who closes them by letting the operation go.
    assert_eq!(told.kind.descriptors.len(), 2);
    drop(told.kind);
    cts.until("the descriptors", || receive.is_done());
    let told = receive.only();
    let received = told.result.unwrap();
    assert_eq!((received.length, received.truncated, received.descriptors_lost), (3, false, false));
    assert_eq!((&told.kind.buffer[..3], received.sender), (b"two".as_slice(), Address::Unnamed));
    drop(told.kind);
    let [reader, writer] = received.descriptors.try_into().unwrap();
    for fd in [&reader, &writer] {
        assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }
    let (mut reader, mut writer) = (std::fs::File::from(reader), std::fs::File::from(writer));
    writer.write_all(b"through").unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through", "the same one, and its other end is gone");
    drop(reader);
    assert_eq!(descriptors(), before - 2, "what is left: the sockets went with their operations");
}

fn descriptors_go_with_datagrams_too(cts: &mut Cts) {
    let path = cts.path("receiver");
    let address = Address::unix(&path).unwrap();
    let receiver = cts.handle().datagram(Domain::Unix, &SocketOptions::default()).unwrap();
    receiver.bind(&address).unwrap();
    let sender = cts.handle().datagram(Domain::Unix, &SocketOptions::default()).unwrap();
    let own = Address::unix(cts.path("sender")).unwrap();
    sender.bind(&own).unwrap();
    let (reader, writer) = pipe();
    cts.get(SendDescriptors::new(sender, vec![1u8; 8], vec![reader]).to(address));
    drop(writer);
    let told = cts.one(ReceiveDescriptors::new(receiver, vec![0; 4], 1));
    let received = told.result.unwrap();
    assert_eq!((received.length, received.truncated, received.descriptors_lost), (4, true, false));
    assert_eq!((received.sender, received.descriptors.len()), (own, 1));
}

fn descriptors_beyond_the_room_are_closed_and_said_to_be_lost(cts: &mut Cts) {
    let (client, server) = unix_pair(cts);
    // An odd number, where padding would have room for one more.
    for (sent, room) in [(2, 1), (4, 3), (5, 2), (3, 3)] {
        cts.look();
        let before = descriptors();
        let (reader, writer) = pipe();
        let fds = (0..sent).map(|_| reader.try_clone().unwrap()).collect();
        cts.get(SendDescriptors::new(client.clone(), b"x".as_slice(), fds));
        let received = cts.get(ReceiveDescriptors::new(server.clone(), vec![0; 16], room));
        assert_eq!((received.descriptors.len(), received.descriptors_lost), (sent.min(room), sent > room));
        drop((received, reader, writer));
        assert_eq!(descriptors(), before, "{sent} sent, room for {room}");
    }
}

fn descriptors_that_nobody_takes_are_closed(cts: &mut Cts) {
    let (client, server) = unix_pair(cts);
    cts.look();
    let before = descriptors();
    for _ in 0..20 {
        let (reader, writer) = pipe();
        // The operation's owner drops the outcome unseen.
        cts.submit(Op::new(ReceiveDescriptors::new(server.clone(), vec![0; 4], 2), ())).unwrap();
        cts.get(SendDescriptors::new(client.clone(), b"x".as_slice(), vec![reader, writer]));
        cts.drain();
        // A plain receive takes the bytes, and the kernel closes what came with them.
        let (reader, writer) = pipe();
        cts.get(SendDescriptors::new(client.clone(), b"y".as_slice(), vec![reader, writer]));
        assert_eq!(cts.get(Receive::some(server.clone(), vec![0; 4])), 1);
    }
    assert_eq!(descriptors(), before);
}

fn descriptors_with_datagrams_are_closed_where_nobody_asks_for_them(cts: &mut Cts) {
    let (client, server) = cts.handle().socket_pair(SocketType::Datagram).unwrap();
    let pool = BufferPool::new(Slab::allocate(4096, 4, &Default::default()).unwrap()).unwrap();
    let send = |cts: &mut Cts| {
        let (reader, writer) = pipe();
        cts.get(SendDescriptors::new(client.clone(), b"x".as_slice(), vec![reader, writer]));
    };
    cts.look();
    let before = descriptors();
    send(cts);
    let received = cts.get(ReceiveFrom::new(server.clone(), vec![0; 4]));
    assert_eq!((received.length, received.sender), (1, Address::Unnamed));
    assert_eq!(descriptors(), before, "one receive");

    let (op, many) = cts.watch(ReceiveFromMany::new(server.clone(), vec![0; 4]));
    let id = cts.submit(op).unwrap();
    send(cts);
    cts.until("a datagram of many", || many.outcomes() == 1);
    cts.cancel(id).unwrap();
    cts.until("the end of the many", || many.is_done());
    assert_eq!(descriptors(), before, "many receives");

    let (op, many) = cts.watch(ReceiveFromPooledMany::new(server.clone(), &pool));
    let id = cts.submit(op).unwrap();
    send(cts);
    cts.until("a datagram into the pool", || many.outcomes() == 1);
    let datagram = many.take_outcomes().remove(0).unwrap();
    assert_eq!((&datagram.bytes[..], datagram.sender), (b"x".as_slice(), Address::Unnamed));
    cts.cancel(id).unwrap();
    cts.until("the end of the pooled ones", || many.is_done());
    assert_eq!(descriptors(), before, "pooled receives");
}

fn a_cancelled_receive_of_descriptors_leaks_none(cts: &mut Cts) {
    let (client, server) = unix_pair(cts);
    cts.look();
    let before = descriptors();
    for round in 0..100 {
        let (op, receive) = cts.watch(ReceiveDescriptors::new(server.clone(), vec![0; 1], 2));
        let id = cts.submit(op).unwrap();
        cts.look();
        // Sent past the proactor: the receive may have taken it and has not been told of.
        let (reader, writer) = pipe();
        send_past(&client, &[reader.as_fd(), writer.as_fd()]);
        if round % 2 == 0 {
            std::thread::yield_now();
        }
        cts.cancel(id).unwrap();
        cts.until("one end of the receive", || receive.is_done());
        match receive.only().result {
            Ok(received) => assert_eq!(received.descriptors.len(), 2),
            Err(status) => {
                assert_eq!(status.code(), Code::Cancelled);
                // Nothing was taken: it waits for the next.
                assert_eq!(cts.get(ReceiveDescriptors::new(server.clone(), vec![0; 1], 2)).descriptors.len(), 2);
            }
        }
    }
    assert_eq!(descriptors(), before);
}

fn send_past(socket: &Socket, fds: &[std::os::fd::BorrowedFd<'_>]) {
    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(fds)));
    let sent =
        socket.try_with_fd(|fd| sendmsg(fd, &[std::io::IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap());
    assert_eq!(sent.unwrap(), 1);
}

fn a_shutdown_with_descriptors_on_the_way_leaks_none(cts: &mut Cts) {
    for _ in 0..20 {
        cts.rebuild(|builder| builder);
        cts.look();
        let before = descriptors();
        let (client, server) = unix_pair(cts);
        let receive = cts.start(ReceiveDescriptors::new(server, vec![0; 1], 2));
        cts.look();
        let (reader, writer) = pipe();
        send_past(&client, &[reader.as_fd(), writer.as_fd()]);
        drop((reader, writer, client));
        assert_eq!(cts.take().shutdown(crate::bench::patience()), 0);
        let told = receive.only();
        assert!(
            told.result.as_ref().is_ok_and(|received| received.descriptors.len() == 2)
                || told.result.as_ref().is_err_and(|status| status.is_cancelled())
        );
        drop(told);
        cts.rebuild(|builder| builder);
        cts.look();
        assert_eq!(descriptors(), before);
    }
}

fn many_descriptors_go_at_once(cts: &mut Cts) {
    let (client, server) = unix_pair(cts);
    let (reader, writer) = pipe();
    let fds: Vec<OwnedFd> = (0..253).map(|_| reader.try_clone().unwrap()).collect();
    let told = cts.one(SendDescriptors::new(client.clone(), b"all".as_slice(), fds));
    assert_eq!(told.result.unwrap(), 3);
    let received = cts.get(ReceiveDescriptors::new(server, vec![0; 16], 253));
    assert_eq!((received.descriptors.len(), received.descriptors_lost), (253, false));
    // One more than the system sends at once.
    let mut fds = told.kind.descriptors;
    fds.push(writer);
    let status = refused(cts, SendDescriptors::new(client, b"x".as_slice(), fds));
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.to_string().contains("254 descriptors"), "{status}");
}

fn one_receive_stops_before_the_descriptors_of_the_next_send(cts: &mut Cts) {
    let (client, server) = unix_pair(cts);
    let (reader, writer) = pipe();
    cts.get(Send::exact(client.clone(), b"plain".as_slice()));
    cts.get(SendDescriptors::new(client.clone(), b"first".as_slice(), vec![reader]));
    cts.get(SendDescriptors::new(client.clone(), b"second".as_slice(), vec![writer]));
    cts.get(Close::new(client));
    for (length, count) in [(10, 1), (6, 1), (0, 0)] {
        let received = cts.get(ReceiveDescriptors::new(server.clone(), vec![0; 64], 8));
        assert_eq!((received.length, received.descriptors.len()), (length, count));
    }
}

fn descriptors_with_many_bytes_go_once(cts: &mut Cts) {
    let (client, server) = unix_pair(cts);
    client.set_send_buffer(4096).unwrap();
    let (reader, writer) = pipe();
    let bytes = vec![7u8; 1 << 20];
    let send = cts.start(SendDescriptors::new(client, bytes.clone(), vec![reader, writer]));
    let (mut length, mut count) = (0, 0);
    while length < bytes.len() {
        let received = cts.get(ReceiveDescriptors::new(server.clone(), vec![0; 1 << 16], 4));
        length += received.length;
        count += received.descriptors.len();
        assert!(received.length > 0 && !received.descriptors_lost);
    }
    assert_eq!((length, count), (bytes.len(), 2), "they went with the first bytes, and with no others");
    cts.until("the send", || send.is_done());
    assert_eq!(send.only().result.unwrap(), bytes.len());
}

fn descriptors_go_over_unix_sockets_alone_and_with_a_byte(cts: &mut Cts) {
    let (tcp, peer) = cts.pair();
    let (unix, other) = unix_pair(cts);
    let nowhere = Address::unix(cts.path("nowhere")).unwrap();
    let (reader, writer) = pipe();
    for (status, why) in [
        (refused(cts, SendDescriptors::new(tcp, b"x".as_slice(), vec![reader])), "only Unix"),
        (refused(cts, ReceiveDescriptors::new(peer, vec![0; 1], 1)), "only Unix"),
        (refused(cts, SendDescriptors::new(unix.clone(), b"".as_slice(), vec![writer])), "at least one byte"),
        (refused(cts, SendDescriptors::new(unix.clone(), b"x".as_slice(), vec![])), "0 descriptors"),
        (refused(cts, SendDescriptors::new(unix, b"x".as_slice(), vec![pipe().0]).to(nowhere)), "carries a stream"),
        (refused(cts, ReceiveDescriptors::new(other.clone(), vec![0; 1], 0)), "0 descriptors"),
        (refused(cts, ReceiveDescriptors::new(other, vec![0; 1], 254)), "254 descriptors"),
    ] {
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.to_string().contains(why), "{status}");
    }
}
