//! Sends without a copy: the same bytes in the same order, memory given back exactly once, and the kernel's own report.

use proact::memory::Region;
use proact::operation::{CancelAll, Chain, Close, Receive, SemaphoreSignal, Send};
use proact::resource::SocketOptions;
use proact::status::Code;
use proact::sync::Semaphore;

use crate::bench::Cts;
use crate::cases;

cases![
    small_and_large_sends_arrive_whole_and_in_order,
    a_plain_send_never_claims_to_have_copied_nothing,
    where_it_is_missing_a_send_copies_and_says_so,
    sends_behind_it_do_not_wait_for_the_memory,
    a_buffer_comes_back_unchanged_and_once,
    it_is_a_step_of_a_chain_like_any_other,
    a_cancelled_one_ends_once_and_gives_its_memory_back,
    a_close_waits_for_the_memory,
    a_vanished_peer_ends_it_with_the_failure,
    spans_of_a_region_are_sent,
    it_may_say_that_more_follows,
    a_socket_that_knows_no_such_sends_copies,
    a_step_that_never_started_ends_once,
];

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|index| (index as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

fn small_and_large_sends_arrive_whole_and_in_order(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let mut expected = Vec::new();
    let mut sends = Vec::new();
    for (index, length) in [1, 100, 4096, 65_536, 1 << 20, 7].into_iter().enumerate() {
        let bytes = pattern(length, index as u8);
        expected.extend_from_slice(&bytes);
        let send = Send::exact(near.clone(), bytes);
        sends.push((length, cts.start(if index == 5 { send } else { send.zero_copy() })));
    }
    let told = cts.one(Receive::exact(far, vec![0; expected.len()]));
    assert!(told.kind.buffer == expected);
    cts.until("every send", || sends.iter().all(|(_, send)| send.is_done()));
    for (length, send) in sends {
        let told = send.only();
        assert_eq!((told.result.unwrap(), told.moved), (length, length));
    }
}

fn a_plain_send_never_claims_to_have_copied_nothing(cts: &mut Cts) {
    let (near, _far) = cts.pair();
    let told = cts.one(Send::exact(near, vec![1; 65_536]));
    assert!(!told.zero_copy);
}

fn where_it_is_missing_a_send_copies_and_says_so(cts: &mut Cts) {
    use proact::backend::Capabilities;
    let (near, far) = cts.pair();
    let receive = cts.start(Receive::exact(far, vec![0; 65_536]));
    let told = cts.one(Send::exact(near, vec![1; 65_536]).zero_copy());
    // Over loopback the kernel copies as well, and only it knows: what is told is its report.
    if !cts.handle().capabilities().contains(Capabilities::ZERO_COPY_SEND) {
        assert!(!told.zero_copy);
    }
    assert_eq!(told.result.unwrap(), 65_536);
    cts.until("the receive", || receive.is_done());
}

fn sends_behind_it_do_not_wait_for_the_memory(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let first = cts.start(Send::exact(near.clone(), vec![1; 100]).zero_copy());
    let second = cts.start(Send::exact(near, vec![2; 100]));
    let told = cts.one(Receive::exact(far, vec![0; 200]));
    assert_eq!(told.kind.buffer[..100], [1; 100]);
    assert_eq!(told.kind.buffer[100..], [2; 100]);
    cts.until("both sends", || first.is_done() && second.is_done());
}

fn a_buffer_comes_back_unchanged_and_once(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let mut buffer = pattern(100_000, 3);
    for _ in 0..5 {
        let receive = cts.start(Receive::exact(far.clone(), vec![0; 100_000]));
        let told = cts.one(Send::exact(near.clone(), buffer).zero_copy());
        buffer = told.kind.buffer;
        assert!(buffer == pattern(100_000, 3));
        cts.until("the receive", || receive.is_done());
        assert!(receive.only().kind.buffer == buffer);
    }
}

fn it_is_a_step_of_a_chain_like_any_other(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let semaphore = Semaphore::new(0);
    for round in 1..=20 {
        let (send, one) = cts.watch(Send::exact(near.clone(), pattern(5000, 1)).zero_copy());
        let (more, two) = cts.watch(Send::exact(near.clone(), pattern(5000, 2)).zero_copy());
        let (signal, three) = cts.watch(SemaphoreSignal::new(semaphore.clone(), round));
        cts.submit(Chain::new((send, more, signal))).unwrap();
        let told = cts.one(Receive::exact(far.clone(), vec![0; 10_000]));
        assert!(told.kind.buffer == [pattern(5000, 1), pattern(5000, 2)].concat());
        cts.until("the chain", || three.is_done());
        assert!(one.order() < two.order() && two.order() < three.order());
        assert_eq!(semaphore.value(), round);
    }
}

fn a_cancelled_one_ends_once_and_gives_its_memory_back(cts: &mut Cts) {
    let options = SocketOptions { send_buffer: Some(4096), receive_buffer: Some(4096), ..SocketOptions::default() };
    for _ in 0..5 {
        let (near, far) = cts.pair_on("127.0.0.1:0", &options);
        let (op, send) = cts.watch(Send::exact(near.clone(), vec![5; 16 << 20]).zero_copy());
        let (behind, other) = cts.watch(Send::exact(near.clone(), vec![6; 10]).zero_copy());
        let (id, _) = cts.submit((op, behind)).unwrap();
        cts.look();
        cts.cancel(id).unwrap();
        // What is under way is read, so that the kernel can let go of it.
        let drain = cts.start(proact::operation::ReceiveMany::new(far.clone(), vec![0; 65_536]));
        cts.until("the cancelled send", || send.is_done() && other.is_done());
        let told = send.only();
        assert_eq!(told.kind.buffer.len(), 16 << 20);
        assert_eq!(told.status().code(), Code::Cancelled);
        cts.get(CancelAll::new(&far));
        cts.until("the drain", || drain.is_done());
    }
}

fn a_close_waits_for_the_memory(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let send = cts.start(Send::exact(near.clone(), pattern(200_000, 9)).zero_copy());
    let receive = cts.start(Receive::exact(far, vec![0; 200_000]));
    cts.until("the bytes", || receive.is_done());
    let close = cts.start(Close::new(near));
    cts.until("the close", || close.is_done());
    assert!(send.order() < close.order(), "a close completes after what was in flight");
}

fn a_vanished_peer_ends_it_with_the_failure(cts: &mut Cts) {
    let (near, far) = cts.pair();
    cts.get(Close::new(far));
    let mut failed = false;
    for _ in 0..20 {
        let told = cts.one(Send::exact(near.clone(), vec![1; 10_000]).zero_copy());
        if let Err(status) = told.result {
            assert_eq!(status.code(), Code::Unavailable, "{status}");
            failed = true;
            break;
        }
    }
    assert!(failed);
    assert_eq!(near.failure().unwrap().code(), Code::Unavailable);
}

fn spans_of_a_region_are_sent(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let region = Region::wrap(pattern(50_000, 4));
    let sends: Vec<_> = (0..5)
        .map(|part| {
            let span = region.span(part * 10_000..(part + 1) * 10_000).unwrap();
            cts.start(Send::exact(near.clone(), span).zero_copy())
        })
        .collect();
    drop(region);
    let told = cts.one(Receive::exact(far, vec![0; 50_000]));
    assert!(told.kind.buffer == pattern(50_000, 4));
    cts.until("every send", || sends.iter().all(|send| send.is_done()));
}

fn it_may_say_that_more_follows(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let first = cts.start(Send::exact(near.clone(), vec![1; 10]).more().zero_copy());
    let second = cts.start(Send::exact(near, vec![2; 10]).zero_copy());
    let told = cts.one(Receive::exact(far, vec![0; 20]));
    assert_eq!(told.kind.buffer, [[1; 10], [2; 10]].concat());
    cts.until("both", || first.is_done() && second.is_done());
}

fn a_socket_that_knows_no_such_sends_copies(cts: &mut Cts) {
    let address = format!("unix:{}", cts.path("socket").display());
    let (near, far) = cts.pair_on(&address, &SocketOptions::default());
    for chained in [false, true] {
        let (send, one) = cts.watch(Send::exact(near.clone(), pattern(10_000, 1)).zero_copy());
        let (behind, two) = cts.watch(Send::exact(near.clone(), pattern(10_000, 2)).zero_copy());
        if chained {
            cts.submit(Chain::new((send, behind))).unwrap();
        } else {
            cts.submit((send, behind)).unwrap();
        }
        let told = cts.one(Receive::exact(far.clone(), vec![0; 20_000]));
        assert!(told.kind.buffer == [pattern(10_000, 1), pattern(10_000, 2)].concat());
        cts.until("both sends", || one.is_done() && two.is_done());
        let (one, two) = (one.only(), two.only());
        assert!(!one.zero_copy && !two.zero_copy, "nothing is said to be that is not");
        assert_eq!((one.result.unwrap(), two.result.unwrap()), (10_000, 10_000));
    }
}

fn a_step_that_never_started_ends_once(cts: &mut Cts) {
    let (near, far) = cts.pair();
    for round in 0..10u8 {
        let (receive, one) = cts.watch(Receive::exact(near.clone(), vec![0; 4]));
        let (send, two) = cts.watch(Send::exact(near.clone(), vec![round; 10_000]).zero_copy());
        let (head, _) = cts.submit(Chain::new((receive, send))).unwrap();
        cts.look();
        cts.cancel(head).unwrap();
        cts.until("the chain", || two.is_done());
        assert_eq!((one.code(), two.code()), (Some(Code::Cancelled), Some(Code::Cancelled)));
        // What takes its place is not ended by what is late of it.
        let receive = cts.start(Receive::exact(near.clone(), vec![0; 4]));
        cts.look();
        assert!(!receive.is_done());
        cts.get(Send::exact(far.clone(), vec![round; 4]));
        cts.until("the receive", || receive.is_done());
        assert_eq!(receive.only().kind.buffer, [round; 4]);
    }
}
