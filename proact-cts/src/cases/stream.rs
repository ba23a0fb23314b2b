//! Streams are FIFOs: order and wholeness of many large transfers, and closes under them.

use proact::memory::StableBytes;
use proact::operation::{Accept, Chain, Close, Connect, Op, Receive, SemaphoreWait, Send};
use proact::resource::{Domain, Socket, SocketOptions};
use proact::status::Code;
use proact::sync::Semaphore;

use crate::bench::{Cts, Watch};
use crate::cases;

cases![
    large_exact_transfers_both_ways_through_small_buffers,
    concurrent_large_receives_are_filled_in_their_order,
    concurrent_large_sends_go_out_in_their_order,
    sends_and_receives_of_mixed_sizes_keep_every_byte_in_place,
    a_send_of_some_may_be_short_and_says_how_much_went,
    a_receive_of_some_takes_what_is_there,
    transfers_of_no_bytes_succeed_in_their_turn,
    a_cancelled_transfer_in_the_queue_leaves_the_rest_in_order,
    a_send_cancelled_midway_fails_those_behind_it,
    sends_queued_behind_a_failing_one_end_with_its_failure_and_in_order,
    an_exact_receive_cancelled_midway_keeps_the_rest_of_the_stream,
    close_cancels_everything_pending_and_then_completes,
    close_cancels_a_queue_of_large_sends,
    close_cancels_what_is_queued_behind_a_step_that_waits,
    a_close_waits_for_no_chain_that_comes_after_it,
    a_descriptor_number_is_not_reused_under_a_pending_operation.real("a descriptor of the operating system"),
    a_closing_socket_refuses_new_operations_also_before_it_is_closed,
    sends_queued_before_the_connect_follow_it,
];

/// Bytes that say where they belong.
fn stamped(length: usize, seed: u32) -> Vec<u8> {
    let word = |at: u32| (at ^ seed).wrapping_mul(0x9e37_79b1).to_le_bytes();
    (0..length.div_ceil(4) as u32).flat_map(word).take(length).collect()
}

fn small() -> SocketOptions {
    SocketOptions { send_buffer: Some(4096), receive_buffer: Some(4096), ..SocketOptions::default() }
}

fn large_exact_transfers_both_ways_through_small_buffers(cts: &mut Cts) {
    let (client, server) = cts.pair_on("127.0.0.1:0", &small());
    let length = 1 << 20;
    let up = cts.start(Send::exact(client.clone(), stamped(length, 1)));
    let down = cts.start(Send::exact(server.clone(), stamped(length, 2)));
    let at_server = cts.start(Receive::exact(server, vec![0; length]));
    let at_client = cts.start(Receive::exact(client, vec![0; length]));
    cts.drain();
    assert_eq!((up.only().result.unwrap(), down.only().result.unwrap()), (length, length));
    assert!(at_server.only().kind.buffer == stamped(length, 1));
    assert!(at_client.only().kind.buffer == stamped(length, 2));
}

fn concurrent_large_receives_are_filled_in_their_order(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (part, parts) = (1 << 20, 8);
    let whole = stamped(part * parts, 7);
    let (ops, receives): (Vec<_>, Vec<_>) =
        (0..parts).map(|_| cts.watch(Receive::exact(server.clone(), vec![0; part]))).unzip();
    cts.submit(ops).unwrap();
    let send = cts.start(Send::exact(client, whole.clone()));
    cts.drain();
    assert_eq!(send.only().result.unwrap(), whole.len());
    in_order(&receives);
    for (index, receive) in receives.into_iter().enumerate() {
        assert!(receive.only().kind.buffer == whole[index * part..][..part], "receive {index}");
    }
}

fn concurrent_large_sends_go_out_in_their_order(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (part, parts) = (1 << 20, 8);
    let whole = stamped(part * parts, 9);
    let (ops, sends): (Vec<_>, Vec<_>) =
        (0..parts).map(|index| cts.watch(Send::exact(client.clone(), whole[index * part..][..part].to_vec()))).unzip();
    cts.submit(ops).unwrap();
    let receive = cts.start(Receive::exact(server, vec![0; whole.len()]));
    cts.drain();
    in_order(&sends);
    assert!(sends.into_iter().all(|send| send.only().result.unwrap() == part));
    assert!(receive.only().kind.buffer == whole);
}

#[track_caller]
fn in_order<K: proact::operation::Kind>(watches: &[Watch<K>]) {
    let orders: Vec<usize> = watches.iter().map(Watch::order).collect();
    assert!(orders.is_sorted(), "callbacks of one stream out of order: {orders:?}");
}

fn sends_and_receives_of_mixed_sizes_keep_every_byte_in_place(cts: &mut Cts) {
    let (client, server) = cts.pair_on("127.0.0.1:0", &small());
    let sizes = [1, 100_000, 3, 70_001, 4096, 65_537, 2, 300_000];
    let total: usize = sizes.iter().sum();
    let whole = stamped(total, 3);
    let mut at = 0;
    for size in sizes {
        cts.start(Send::exact(client.clone(), whole[at..at + size].to_vec()));
        at += size;
    }
    let mut receives = Vec::new();
    for size in sizes.iter().rev() {
        receives.push(cts.start(Receive::exact(server.clone(), vec![0; *size])));
    }
    cts.drain();
    let got: Vec<u8> = receives.into_iter().flat_map(|receive| receive.only().kind.buffer).collect();
    assert!(got == whole);
}

fn a_send_of_some_may_be_short_and_says_how_much_went(cts: &mut Cts) {
    let (client, server) = cts.pair_on("127.0.0.1:0", &small());
    let whole = stamped(4 << 20, 5);
    // Nobody receives, so it cannot all go: what went is told, and arrives.
    let went = cts.get(Send::some(client.clone(), whole.clone()));
    assert!(went > 0 && went < whole.len(), "{went} bytes into small buffers");
    cts.get(Close::new(client));
    let told = cts.one(Receive::exact(server.clone(), vec![0; went]));
    assert!(told.kind.buffer == whole[..went]);
    assert_eq!(cts.get(Receive::some(server, vec![0; 1])), 0);
}

fn a_receive_of_some_takes_what_is_there(cts: &mut Cts) {
    let (client, server) = cts.pair();
    cts.get(Send::exact(client, b"abc".as_slice()));
    let told = cts.one(Receive::some(server, vec![b'.'; 10]));
    assert_eq!(told.result.unwrap(), 3);
    assert_eq!(told.kind.buffer, b"abc.......");
}

fn transfers_of_no_bytes_succeed_in_their_turn(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let first = cts.start(Send::exact(client.clone(), b"ab".as_slice()));
    let empty = cts.start(Send::exact(client.clone(), Vec::new()));
    let last = cts.start(Send::exact(client, b"cd".as_slice()));
    let told = cts.one(Receive::exact(server, vec![0; 4]));
    assert_eq!(told.kind.buffer, b"abcd");
    cts.drain();
    assert!(first.order() < empty.order() && empty.order() < last.order());
    assert_eq!(empty.only().result.unwrap(), 0);
}

fn a_cancelled_transfer_in_the_queue_leaves_the_rest_in_order(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (ops, receives): (Vec<_>, Vec<_>) =
        (0..5).map(|_| cts.watch(Receive::exact(server.clone(), vec![0; 2]))).unzip();
    let ids = cts.submit(ops).unwrap();
    cts.look();
    cts.cancel(ids[0]).unwrap();
    cts.cancel(ids[2]).unwrap();
    cts.until("the cancelled receives", || receives[0].is_done() && receives[2].is_done());
    cts.get(Send::exact(client, b"112233".as_slice()));
    cts.drain();
    let buffers: Vec<_> = receives
        .into_iter()
        .map(|receive| receive.only())
        .map(|told| told.result.map(|_| told.kind.buffer).map_err(|status| status.code()))
        .collect();
    let got = |text: &str| Ok(text.as_bytes().to_vec());
    assert_eq!(buffers, [Err(Code::Cancelled), got("11"), Err(Code::Cancelled), got("22"), got("33")]);
}

fn a_send_cancelled_midway_fails_those_behind_it(cts: &mut Cts) {
    let (client, server) = cts.pair_on("127.0.0.1:0", &small());
    let (op, torn) = cts.watch(Send::exact(client.clone(), vec![1; 8 << 20]));
    let id = cts.submit(op).unwrap();
    // Something of it has gone when something of it arrives.
    assert_eq!(cts.get(Receive::exact(server.clone(), vec![0; 1000])), 1000);
    let behind = cts.start(Send::exact(client.clone(), b"x".as_slice()));
    cts.cancel(id).unwrap();
    cts.until("the torn send and the one behind", || torn.is_done() && behind.is_done());
    assert_eq!(torn.only().status().code(), Code::Cancelled);
    // The peer would read a stream with a hole in it.
    let status = behind.only().status();
    assert_eq!(status.code(), Code::Aborted, "{status}");
    assert_eq!(client.failure().unwrap().code(), Code::Aborted);
    assert_eq!(cts.fails(Send::exact(client, b"y".as_slice())).code(), Code::Aborted);
}

fn sends_queued_behind_a_failing_one_end_with_its_failure_and_in_order(cts: &mut Cts) {
    let (client, server) = cts.pair_on("127.0.0.1:0", &small());
    let (ops, sends): (Vec<_>, Vec<_>) =
        (0..5).map(|_| cts.watch(Send::exact(client.clone(), vec![1; 1 << 20]))).unzip();
    cts.submit(ops).unwrap();
    cts.get(Receive::exact(server.clone(), vec![0; 1000]));
    // Unread bytes make the close a reset.
    cts.get(Close::new(server));
    cts.until("all five", || sends.iter().all(Watch::is_done));
    in_order(&sends);
    let statuses: Vec<_> = sends.into_iter().map(|send| send.only().status()).collect();
    assert_eq!(statuses[0].code(), Code::Unavailable, "{}", statuses[0]);
    for status in &statuses {
        assert_eq!(status.to_string(), statuses[0].to_string());
    }
    assert_eq!(client.failure().unwrap().to_string(), statuses[0].to_string());
}

fn an_exact_receive_cancelled_midway_keeps_the_rest_of_the_stream(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (op, cut) = cts.watch(Receive::exact(server.clone(), vec![0; 10]));
    let id = cts.submit(op).unwrap();
    cts.get(Send::exact(client.clone(), b"four".as_slice()));
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the cancelled receive", || cut.is_done());
    assert_eq!(cut.only().status().code(), Code::Cancelled);
    // What it had taken is gone with it; what comes next is the next receive's, if the four bytes were taken.
    cts.get(Send::exact(client, b"next".as_slice()));
    let told = cts.one(Receive::some(server, vec![0; 16]));
    let length = told.result.unwrap();
    assert!(&told.kind.buffer[..length] == b"next" || &told.kind.buffer[..length] == b"fournext");
}

fn close_cancels_everything_pending_and_then_completes(cts: &mut Cts) {
    let (client, server) = cts.pair_on("127.0.0.1:0", &small());
    let receives: Vec<_> = (0..3).map(|_| cts.start(Receive::exact(client.clone(), vec![0; 8]))).collect();
    let sends: Vec<_> = (0..3).map(|_| cts.start(Send::exact(client.clone(), vec![0; 4 << 20]))).collect();
    cts.look();
    let close = cts.start(Close::new(client.clone()));
    cts.drain();
    let last = close.order();
    close.only().result.unwrap();
    for receive in receives {
        assert!(receive.order() < last, "a close completes after what was pending");
        assert_eq!(receive.only().status().code(), Code::Cancelled);
    }
    for (index, send) in sends.into_iter().enumerate() {
        assert!(send.order() < last, "a close completes after what was pending");
        assert_eq!(send.only().status().code(), Code::Cancelled, "send {index}");
    }
    assert_eq!(client.local_address().unwrap_err().code(), Code::FailedPrecondition);
    drop(server);
}

fn close_cancels_a_queue_of_large_sends(cts: &mut Cts) {
    let (client, server) = cts.pair_on("127.0.0.1:0", &small());
    let (op, connected) = cts.watch(Receive::some(server.clone(), vec![0; 1]));
    // The close comes in the same batch as what it cancels.
    let (send, sent) = cts.watch(Send::exact(client.clone(), vec![0; 4 << 20]));
    let (close, closed) = cts.watch(Close::new(client));
    cts.submit((op, send, close)).unwrap();
    cts.drain();
    assert_eq!(sent.only().status().code(), Code::Cancelled);
    closed.only().result.unwrap();
    // Whatever had gone before arrives, and then the end.
    connected.only().result.unwrap();
    // (A reset is an end as well: bytes that nobody had read were in the way of the close.)
    while cts.one(Receive::some(server.clone(), vec![0; 1 << 20])).result.unwrap_or(0) > 0 {}
}

fn close_cancels_what_is_queued_behind_a_step_that_waits(cts: &mut Cts) {
    let (client, _server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let (step, stepped) = cts.watch(Send::exact(client.clone(), b"first".as_slice()));
    let wait = Op::new(SemaphoreWait::new(semaphore.clone(), 1), ());
    cts.submit(Chain::new((wait, step))).unwrap();
    let queued: Vec<_> = (0..2).map(|_| cts.start(Send::exact(client.clone(), b"later".as_slice()))).collect();
    cts.look();
    let close = cts.start(Close::new(client));
    cts.until("the close", || close.is_done());
    assert_eq!(close.code(), Some(Code::Ok));
    // They were pending, and not refused: a close cancels them, whatever they waited for.
    assert_eq!([queued[0].code(), queued[1].code()], [Some(Code::Cancelled); 2]);
    assert!(queued[0].order() < queued[1].order() && queued[1].order() < close.order());
    semaphore.signal(1, None).unwrap();
    cts.drain();
    assert_eq!(stepped.only().status().code(), Code::Cancelled);
}

fn a_close_waits_for_no_chain_that_comes_after_it(cts: &mut Cts) {
    let (client, _server) = cts.pair();
    let semaphore = Semaphore::new(0);
    // What the close has to wait for, so that it is still open when the chain comes: with it, as all of a batch is
    // checked before any of it starts.
    let receive = cts.start(Receive::exact(client.clone(), vec![0; 4]));
    cts.look();
    let (close, closed) = cts.watch(Close::new(client.clone()));
    let (step, stepped) = cts.watch(Send::exact(client, b"late".as_slice()));
    let wait = Op::new(SemaphoreWait::new(semaphore.clone(), 1), ());
    cts.submit((close, Chain::new((wait, step)))).unwrap();
    cts.until("the close", || closed.is_done());
    assert_eq!((receive.code(), closed.code()), (Some(Code::Cancelled), Some(Code::Ok)));
    assert!(!stepped.is_done(), "its turn has not come");
    semaphore.signal(1, None).unwrap();
    cts.drain();
    assert_eq!(stepped.only().status().code(), Code::FailedPrecondition);
}

fn a_descriptor_number_is_not_reused_under_a_pending_operation(cts: &mut Cts) {
    let number = |socket: &Socket| {
        use std::os::fd::AsRawFd;
        socket.try_with_fd(|fd| fd.as_raw_fd()).unwrap()
    };
    for _ in 0..50 {
        let (client, server) = cts.pair();
        let before = number(&server);
        let receive = cts.start(Receive::some(server.clone(), vec![0; 4]));
        cts.look();
        let close = cts.start(Close::new(server));
        // From the close's submit on the number may only come free with the receive's end.
        let taken = cts.handle().socket(Domain::Unix, &SocketOptions::default()).unwrap();
        assert!(receive.is_done() || number(&taken) != before);
        cts.drain();
        assert!(receive.order() < close.order());
        assert_eq!(receive.only().status().code(), Code::Cancelled);
        close.only().result.unwrap();
        // A connection that gets the number next is not disturbed by what was there before.
        let (one, two) = cts.pair();
        cts.get(Send::exact(one, b"mine".as_slice()));
        assert_eq!(cts.one(Receive::exact(two, vec![0; 4])).kind.buffer, b"mine");
        drop(client);
    }
}

fn a_closing_socket_refuses_new_operations_also_before_it_is_closed(cts: &mut Cts) {
    let (client, _server) = cts.pair();
    let receive = cts.start(Receive::some(client.clone(), vec![0; 4]));
    cts.look();
    let close = cts.start(Close::new(client.clone()));
    let refused = cts.submit(Op::new(Send::exact(client.clone(), b"x".as_slice()), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
    let refused = cts.handle().submit(Op::new(Close::new(client), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
    cts.drain();
    assert_eq!((receive.code(), close.code()), (Some(Code::Cancelled), Some(Code::Ok)));
}

fn sends_queued_before_the_connect_follow_it(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let (connect, connected) = cts.watch(Connect::new(client.clone(), address));
    let (send, sent) = cts.watch(Send::exact(client, b"first words".as_slice()));
    cts.submit((connect, send)).unwrap();
    let server = cts.get(Accept::new(listener)).socket;
    assert_eq!(cts.one(Receive::exact(server, vec![0; 11])).kind.buffer, b"first words");
    cts.drain();
    assert!(connected.order() < sent.order());
    let told = sent.only();
    assert_eq!(told.result.unwrap(), StableBytes::len(&told.kind.buffer));
}
