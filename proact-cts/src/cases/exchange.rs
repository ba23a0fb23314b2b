//! Conversations: what programs do with streams, round after round, several at once, from callbacks.

use std::sync::{Arc, Mutex};

use proact::operation::{Accept, Complete, Connect, Context, Op, Outcome, Receive, Send, SendVectored};
use proact::resource::{Domain, Socket, SocketOptions};

use crate::bench::Cts;
use crate::cases;

cases![
    requests_and_responses_alternate_on_one_connection,
    a_response_sent_from_a_callback_owns_its_bytes,
    a_response_behind_a_full_buffer_owns_its_bytes,
    a_large_transfer_goes_on_while_it_is_received,
    a_stream_in_chunks_keeps_them_in_order,
    both_directions_are_used_at_once,
    connections_are_accepted_one_after_another,
    conversations_on_several_connections_do_not_mix,
    what_says_that_more_follows_arrives_with_what_follows.real("a descriptor of the operating system"),
    several_sends_outstanding_are_sent_as_they_were_submitted,
    parts_of_one_buffer_are_sent_by_themselves,
];

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

fn requests_and_responses_alternate_on_one_connection(cts: &mut Cts) {
    let (client, server) = cts.pair();
    for round in 0..20u8 {
        let request = pattern(10 + usize::from(round) * 37, round);
        cts.get(Send::exact(client.clone(), request.clone()));
        assert_eq!(cts.one(Receive::exact(server.clone(), vec![0; request.len()])).kind.buffer, request);
        let response = pattern(500, round ^ 0xff);
        cts.get(Send::exact(server.clone(), response.clone()));
        assert_eq!(cts.one(Receive::exact(client.clone(), vec![0; 500])).kind.buffer, response);
    }
}

/// Answers what it receives, from the callback.
struct Answer {
    socket: Socket,
    length: usize,
}

impl Complete<Receive<Vec<u8>>> for Answer {
    fn done(op: Box<Op<Receive<Vec<u8>>, Self>>, outcome: Outcome<Receive<Vec<u8>>>, cx: &mut Context<'_>) {
        outcome.result.unwrap();
        // Head and body are made here and belong to no frame that outlives this call.
        let seed = op.kind.buffer[0];
        let buffers = vec![pattern(16, seed), pattern(op.state.length - 16, seed.wrapping_add(1))];
        cx.submit(Op::new(SendVectored::exact(op.state.socket, buffers), ())).unwrap();
    }
}

fn answered(cts: &mut Cts, client: &Socket, server: &Socket, seed: u8, length: usize) {
    let state = Answer { socket: server.clone(), length };
    cts.submit(Op::new(Receive::exact(server.clone(), vec![0; 1]), state)).unwrap();
    cts.get(Send::exact(client.clone(), vec![seed]));
    let told = cts.one(Receive::exact(client.clone(), vec![0; length]));
    assert_eq!(told.result.unwrap(), length);
    assert!(told.kind.buffer == [pattern(16, seed), pattern(length - 16, seed.wrapping_add(1))].concat());
}

fn a_response_sent_from_a_callback_owns_its_bytes(cts: &mut Cts) {
    let (client, server) = cts.pair();
    for round in 0..50 {
        answered(cts, &client, &server, round, 144);
    }
}

fn a_response_behind_a_full_buffer_owns_its_bytes(cts: &mut Cts) {
    let options = SocketOptions { send_buffer: Some(4096), receive_buffer: Some(4096), ..SocketOptions::default() };
    let (client, server) = cts.pair_on("127.0.0.1:0", &options);
    for round in 0..10u8 {
        // Fills what there is, so that the answer has to wait behind it.
        let filling = pattern(200_000, round ^ 0x55);
        let filler = cts.start(Send::exact(server.clone(), filling.clone()));
        let state = Answer { socket: server.clone(), length: 8192 };
        cts.submit(Op::new(Receive::exact(server.clone(), vec![0; 1]), state)).unwrap();
        cts.get(Send::exact(client.clone(), vec![round]));
        cts.look();
        assert_eq!(filler.calls(), 0, "nobody has received yet");
        assert!(cts.one(Receive::exact(client.clone(), vec![0; filling.len()])).kind.buffer == filling);
        let told = cts.one(Receive::exact(client.clone(), vec![0; 8192]));
        assert!(told.kind.buffer == [pattern(16, round), pattern(8176, round.wrapping_add(1))].concat());
        cts.drain();
        assert_eq!(filler.only().result.unwrap(), filling.len());
    }
}

fn a_large_transfer_goes_on_while_it_is_received(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let whole = pattern(1 << 20, 3);
    let send = cts.start(Send::exact(client, whole.clone()));
    let mut got = Vec::new();
    while got.len() < whole.len() {
        let told = cts.one(Receive::some(server.clone(), vec![0; 50_000]));
        let count = told.result.unwrap();
        assert!(count > 0);
        got.extend_from_slice(&told.kind.buffer[..count]);
    }
    assert!(got == whole);
    cts.until("the send", || send.is_done());
    assert_eq!(send.only().result.unwrap(), whole.len());
}

fn a_stream_in_chunks_keeps_them_in_order(cts: &mut Cts) {
    let options = SocketOptions { send_buffer: Some(1), ..SocketOptions::default() };
    let (client, server) = cts.pair_on("127.0.0.1:0", &options);
    let whole = pattern(256 << 10, 9);
    for chunk in whole.chunks(16 << 10) {
        cts.start(Send::exact(client.clone(), chunk.to_vec()));
    }
    assert!(cts.one(Receive::exact(server, vec![0; whole.len()])).kind.buffer == whole);
    cts.drain();
}

fn both_directions_are_used_at_once(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (up, down) = (pattern(128 << 10, 1), pattern(128 << 10, 2));
    cts.start(Send::exact(client.clone(), up.clone()));
    cts.start(Send::exact(server.clone(), down.clone()));
    let at_client = cts.start(Receive::exact(client, vec![0; down.len()]));
    let at_server = cts.start(Receive::exact(server, vec![0; up.len()]));
    cts.drain();
    assert!(at_client.only().kind.buffer == down && at_server.only().kind.buffer == up);
}

fn connections_are_accepted_one_after_another(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let mut kept = Vec::new();
    for round in 0..4u8 {
        let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
        cts.get(Connect::new(client.clone(), address.clone()));
        let accepted = cts.get(Accept::new(listener.clone()));
        assert_eq!(accepted.peer(), client.local_address().unwrap());
        kept.push((round, client, accepted.socket));
    }
    for (round, client, server) in kept {
        cts.get(Send::exact(client, vec![round; 3]));
        assert_eq!(cts.one(Receive::exact(server, vec![9; 3])).kind.buffer, [round; 3]);
    }
}

fn conversations_on_several_connections_do_not_mix(cts: &mut Cts) {
    let pairs: Vec<_> = (0..3).map(|_| cts.pair()).collect();
    for round in 0..3u8 {
        let receives: Vec<_> =
            pairs.iter().map(|(_, server)| cts.start(Receive::exact(server.clone(), vec![0; 100]))).collect();
        for (index, (client, _)) in pairs.iter().enumerate().rev() {
            cts.start(Send::exact(client.clone(), pattern(100, round * 10 + index as u8)));
        }
        cts.drain();
        for (index, receive) in receives.into_iter().enumerate() {
            assert_eq!(receive.only().kind.buffer, pattern(100, round * 10 + index as u8));
        }
    }
}

fn what_says_that_more_follows_arrives_with_what_follows(cts: &mut Cts) {
    let (client, server) = cts.pair();
    // Without waiting for acknowledgements: what is sent by itself goes by itself.
    client.set_no_delay(true).unwrap();
    let mut together = false;
    for _ in 0..10 {
        let before = segments_sent(&client);
        cts.get(Send::exact(client.clone(), b"first, ".as_slice()).more());
        cts.get(SendVectored::exact(client.clone(), vec![b"sec".as_slice(), b"ond, "]).more());
        cts.get(Send::exact(client.clone(), b"last".as_slice()));
        assert_eq!(cts.one(Receive::exact(server.clone(), vec![0; 19])).kind.buffer, b"first, second, last");
        // The kernel need not hold it back for longer than a fifth of a second, which may pass here.
        together |= segments_sent(&client) == before + 1;
    }
    assert!(together, "never one segment of three sends");
}

/// How many segments with data have left.
#[cfg(target_os = "linux")]
fn segments_sent(socket: &Socket) -> u32 {
    /// Where the kernel's `tcp_info` has `tcpi_data_segs_out` (Linux 4.6).
    const DATA_SEGMENTS_OUT: usize = 156;
    let mut info = [0u8; 256];
    let mut length = info.len() as libc::socklen_t;
    let answer = socket.try_with_fd(|fd| {
        use std::os::fd::AsRawFd;
        // SAFETY: `info` has the `length` bytes that it says.
        unsafe {
            let room = info.as_mut_ptr().cast();
            libc::getsockopt(fd.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, room, &raw mut length)
        }
    });
    assert_eq!((answer.unwrap(), length as usize > DATA_SEGMENTS_OUT + 4), (0, true));
    u32::from_ne_bytes(info[DATA_SEGMENTS_OUT..][..4].try_into().unwrap())
}

#[cfg(not(target_os = "linux"))]
fn segments_sent(_: &Socket) -> u32 {
    crate::harness::skip("the system does not tell its segments")
}

fn several_sends_outstanding_are_sent_as_they_were_submitted(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let done = Arc::new(Mutex::new(0));
    struct Count(Arc<Mutex<u32>>);
    impl Complete<Send<Vec<u8>>> for Count {
        fn done(op: Box<Op<Send<Vec<u8>>, Self>>, outcome: Outcome<Send<Vec<u8>>>, _: &mut Context<'_>) {
            // The bytes come back unchanged, and not before they have gone.
            assert_eq!(outcome.result.unwrap(), op.kind.buffer.len());
            assert_eq!(op.kind.buffer, pattern(1000, op.kind.buffer[0]));
            *op.state.0.lock().unwrap() += 1;
        }
    }
    for seed in 0..4u8 {
        cts.submit(Op::new(Send::exact(client.clone(), pattern(1000, seed)), Count(done.clone()))).unwrap();
    }
    let told = cts.one(Receive::exact(server, vec![0; 4000]));
    cts.drain();
    assert_eq!(*done.lock().unwrap(), 4);
    assert!(told.kind.buffer == (0..4).flat_map(|seed| pattern(1000, seed)).collect::<Vec<_>>());
}

fn parts_of_one_buffer_are_sent_by_themselves(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let whole: Arc<[u8]> = pattern(300, 8).into();
    for range in [100..300, 0..100, 50..51] {
        let part = proact::memory::Part::new(whole.clone(), range.clone());
        assert_eq!(cts.get(Send::exact(client.clone(), part)), range.len());
        let told = cts.one(Receive::exact(server.clone(), vec![0; range.len()]));
        assert_eq!(told.kind.buffer, whole[range]);
    }
}
