//! Receives into a pool: the buffer is taken when bytes come, an empty pool holds up its peers and fails nobody.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proact::backend::Capabilities;
use proact::memory::{Access, BufferPool, Lease, Region, Slab};
use proact::operation::{
    Close, Complete, Context, Nop, Op, Outcome, Receive, ReceiveFromPooledMany, ReceivePooled, ReceivePooledMany, Send,
    SendTo,
};
use proact::resource::{Address, Domain, Socket, SocketOptions};
use proact::status::Code;

use crate::bench::{Cts, eventually};
use crate::cases;

cases![
    a_pooled_receive_yields_what_came_in_a_buffer_of_the_pool,
    the_end_of_a_stream_yields_no_buffer,
    idle_connections_hold_no_buffer,
    an_empty_pool_holds_up_a_receive_until_a_lease_is_dropped,
    a_lease_dropped_on_another_thread_wakes_the_receive.real("other threads"),
    an_empty_pool_is_no_failure_of_the_socket,
    a_receive_that_waits_for_a_buffer_can_be_cancelled,
    a_receive_that_waits_for_a_buffer_ends_with_its_socket,
    many_receives_wait_for_few_buffers_and_all_bytes_arrive,
    one_receive_fills_buffer_after_buffer_to_the_end_of_the_stream,
    a_receive_with_many_outcomes_survives_an_empty_pool,
    a_receive_with_many_outcomes_is_cancelled_and_gives_every_buffer_back,
    leases_outlive_pool_handles_and_the_proactor,
    pooled_receives_take_their_turn_among_others,
    two_pools_are_kept_apart,
    two_proactors_share_a_pool,
    what_is_acquired_is_never_received_into,
    dropped_outcomes_give_their_buffers_back,
    a_large_pool_is_filled_right_to_its_last_buffer,
    datagrams_come_with_their_senders_one_to_a_buffer,
    a_datagram_that_is_too_long_is_cut_and_says_so,
    an_empty_datagram_is_no_end,
    datagrams_wait_for_a_buffer_and_are_not_torn,
    buffers_too_small_for_a_datagrams_head_are_refused,
    a_stream_has_no_datagrams,
    one_large_buffer_serves_many_small_receives_where_the_kernel_can,
    parts_of_a_buffer_are_disjoint_and_come_back_as_one,
    a_part_that_is_told_late_keeps_its_buffer_though_no_receive_is_left,
    datagrams_into_memory_that_is_not_to_be_written_are_refused,
    one_proactor_serves_hundreds_of_pools_one_after_another_and_many_at_once,
];

fn pool(size: usize, count: u32) -> BufferPool {
    BufferPool::new(Slab::allocate(size, count, &Default::default()).unwrap()).unwrap()
}

/// Every buffer is back, at the latest after the pass that follows the last use.
#[track_caller]
fn all_back(cts: &mut Cts, pool: &BufferPool) {
    cts.look();
    assert_eq!(pool.available(), pool.capacity());
}

fn a_pooled_receive_yields_what_came_in_a_buffer_of_the_pool(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(64, 4);
    for round in 0..20u8 {
        cts.get(Send::exact(near.clone(), vec![round; 10 + usize::from(round)]));
        let told = cts.one(ReceivePooled::new(far.clone(), &pool));
        assert_eq!(told.moved, 10 + usize::from(round));
        let lease = told.result.unwrap().expect("bytes");
        assert_eq!(lease[..], vec![round; 10 + usize::from(round)][..]);
        assert!(lease.index() < 4);
    }
    cts.get(Send::exact(near, vec![7; 100]));
    let first = cts.get(ReceivePooled::new(far.clone(), &pool)).unwrap();
    let rest = cts.get(ReceivePooled::new(far, &pool)).unwrap();
    assert_eq!((first.len(), rest.len()), (64, 36), "a buffer's length at most");
    assert_ne!(first.index(), rest.index());
    drop((first, rest));
    all_back(cts, &pool);
}

fn the_end_of_a_stream_yields_no_buffer(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(64, 2);
    cts.get(Close::new(near));
    assert!(cts.get(ReceivePooled::new(far.clone(), &pool)).is_none());
    assert!(cts.get(ReceivePooledMany::new(far, &pool)).is_none());
    all_back(cts, &pool);
}

fn idle_connections_hold_no_buffer(cts: &mut Cts) {
    let pool = pool(64, 8);
    let pairs: Vec<_> = (0..12).map(|_| cts.pair()).collect();
    let receives: Vec<_> = pairs.iter().map(|(_, far)| cts.start(ReceivePooled::new(far.clone(), &pool))).collect();
    cts.look();
    assert!(pool.available() >= 4, "half of the pool at most lies ready: {}", pool.available());
    // Whichever comes gets one: more connections than buffers are served.
    for (index, receive) in receives.into_iter().enumerate() {
        cts.get(Send::exact(pairs[index].0.clone(), vec![index as u8; 3]));
        cts.until("its receive", || receive.is_done());
        assert_eq!(receive.only().result.unwrap().unwrap()[..], [index as u8; 3]);
    }
    all_back(cts, &pool);
}

/// Takes every buffer that can be had, also those that lie ready with the kernel: their receives wait.
fn take_all(pool: &BufferPool) -> Vec<Lease> {
    std::iter::from_fn(|| pool.acquire().ok()).collect()
}

fn an_empty_pool_holds_up_a_receive_until_a_lease_is_dropped(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(64, 2);
    let mut leases = take_all(&pool);
    assert_eq!(leases.len(), 2);
    cts.get(Send::exact(near, b"waits".to_vec()));
    let before = cts.statistics().starved;
    let receive = cts.start(ReceivePooled::new(far, &pool));
    // The bytes may be on their way yet, and to starve ends no sleep.
    eventually("that it starves", || {
        cts.look();
        cts.statistics().starved > before
    });
    assert!(!receive.is_done());
    leases.pop();
    cts.until("a buffer", || receive.is_done());
    assert_eq!(receive.only().result.unwrap().unwrap()[..], *b"waits");
    drop(leases);
    all_back(cts, &pool);
}

fn a_lease_dropped_on_another_thread_wakes_the_receive(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(64, 1);
    for round in 0..50u8 {
        let lease = pool.acquire().unwrap();
        cts.get(Send::exact(near.clone(), vec![round]));
        let receive = cts.start(ReceivePooled::new(far.clone(), &pool));
        let thread = std::thread::spawn(move || {
            if round % 2 == 0 {
                std::thread::yield_now();
            }
            drop(lease);
        });
        cts.until("a buffer from another thread", || receive.is_done());
        thread.join().unwrap();
        assert_eq!(receive.only().result.unwrap().unwrap()[..], [round]);
        all_back(cts, &pool);
    }
}

fn an_empty_pool_is_no_failure_of_the_socket(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(64, 1);
    let lease = pool.acquire().unwrap();
    let (op, receive) = cts.watch(ReceivePooled::new(far.clone(), &pool));
    let id = cts.submit(op).unwrap();
    cts.get(Send::exact(near, vec![1, 2]));
    cts.look();
    assert!(far.failure().is_none() && !receive.is_done());
    cts.cancel(id).unwrap();
    cts.drain();
    assert!(far.failure().is_none());
    assert_eq!(cts.one(Receive::exact(far, vec![0; 2])).kind.buffer, [1, 2], "nothing was lost");
    drop(lease);
}

fn a_receive_that_waits_for_a_buffer_can_be_cancelled(cts: &mut Cts) {
    let (_near, far) = cts.pair();
    let pool = pool(64, 1);
    let lease = pool.acquire().unwrap();
    for many in [false, true] {
        let code = if many {
            let (op, receive) = cts.watch(ReceivePooledMany::new(far.clone(), &pool));
            let id = cts.submit(op).unwrap();
            cts.look();
            cts.cancel(id).unwrap();
            cts.until("its end", || receive.is_done());
            receive.code()
        } else {
            let (op, receive) = cts.watch(ReceivePooled::new(far.clone(), &pool));
            let id = cts.submit(op).unwrap();
            cts.look();
            cts.cancel(id).unwrap();
            cts.until("its end", || receive.is_done());
            receive.code()
        };
        assert_eq!(code, Some(Code::Cancelled));
    }
    drop(lease);
    all_back(cts, &pool);
}

fn a_receive_that_waits_for_a_buffer_ends_with_its_socket(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(64, 1);
    let lease = pool.acquire().unwrap();
    cts.get(Send::exact(near, vec![1]));
    let receive = cts.start(ReceivePooled::new(far.clone(), &pool));
    cts.look();
    cts.get(Close::new(far));
    assert_eq!(receive.code(), Some(Code::Cancelled));
    drop(lease);
    all_back(cts, &pool);
}

fn many_receives_wait_for_few_buffers_and_all_bytes_arrive(cts: &mut Cts) {
    let pool = pool(32, 3);
    let pairs: Vec<_> = (0..20).map(|_| cts.pair()).collect();
    let receives: Vec<_> = pairs.iter().map(|(_, far)| cts.start(ReceivePooled::new(far.clone(), &pool))).collect();
    for (index, (near, _)) in pairs.iter().enumerate() {
        cts.start(Send::exact(near.clone(), vec![index as u8; 5]));
    }
    // Outcomes are kept until all buffers are out; then only a drop lets others go on.
    let mut seen = [false; 20];
    let mut kept: Vec<_> = receives.into_iter().enumerate().map(|(index, receive)| (index, Some(receive))).collect();
    cts.until_with("every receive", |proactor| {
        proactor.poll(proact::time::Timeout::Immediate).unwrap();
        for (index, receive) in &mut kept {
            if receive.as_ref().is_some_and(|receive| receive.is_done()) {
                let lease = receive.take().unwrap().only().result.unwrap().unwrap();
                assert_eq!(lease[..], [*index as u8; 5]);
                seen[*index] = true;
            }
        }
        seen.iter().all(|&seen| seen)
    });
    all_back(cts, &pool);
}

/// Collects a stream from the buffers, and keeps some of them a while.
struct Collect {
    bytes: Vec<u8>,
    kept: Vec<Lease>,
    keep: usize,
    ended: Arc<AtomicUsize>,
    told: std::sync::mpsc::Sender<Vec<u8>>,
}

impl Complete<ReceivePooledMany> for Collect {
    fn more(&mut self, _: &ReceivePooledMany, outcome: Outcome<ReceivePooledMany>, _: &mut Context<'_>) {
        let lease = outcome.result.unwrap().expect("the end comes last");
        self.bytes.extend_from_slice(&lease);
        self.kept.push(lease);
        if self.kept.len() > self.keep {
            self.kept.clear();
        }
    }
    fn done(op: Box<Op<ReceivePooledMany, Self>>, outcome: Outcome<ReceivePooledMany>, _: &mut Context<'_>) {
        let last = outcome.result.unwrap();
        assert!(last.is_none());
        op.state.ended.fetch_add(1, Ordering::Relaxed);
        op.state.told.send(op.state.bytes).unwrap();
    }
}

fn collect(cts: &mut Cts, far: Socket, pool: &BufferPool, keep: usize) -> std::sync::mpsc::Receiver<Vec<u8>> {
    let (told, collected) = std::sync::mpsc::channel();
    let collect = Collect { bytes: Vec::new(), kept: Vec::new(), keep, ended: Arc::default(), told };
    cts.submit(Op::new(ReceivePooledMany::new(far, pool), collect)).unwrap();
    collected
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

fn one_receive_fills_buffer_after_buffer_to_the_end_of_the_stream(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(1000, 16);
    let collected = collect(cts, far, &pool, 2);
    let bytes = pattern(300_000);
    cts.get(Send::exact(near.clone(), bytes.clone()));
    cts.get(Close::new(near));
    cts.drain();
    assert!(collected.recv().unwrap() == bytes);
    all_back(cts, &pool);
}

fn a_receive_with_many_outcomes_survives_an_empty_pool(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(100, 4);
    // Keeps all four, so that only its own clearing lets it go on.
    let others = pool.acquire().unwrap();
    let collected = collect(cts, far, &pool, 2);
    let bytes = pattern(50_000);
    let send = cts.start(Send::exact(near.clone(), bytes.clone()));
    cts.until("the send", || send.is_done());
    drop(others);
    cts.get(Close::new(near));
    cts.drain();
    assert!(collected.recv().unwrap() == bytes);
    all_back(cts, &pool);
}

fn a_receive_with_many_outcomes_is_cancelled_and_gives_every_buffer_back(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(16, 8);
    for _ in 0..10 {
        let (op, receive) = cts.watch(ReceivePooledMany::new(far.clone(), &pool));
        let id = cts.submit(op).unwrap();
        cts.get(Send::exact(near.clone(), vec![3; 50]));
        let mut received = 0;
        cts.until("the bytes", || {
            received += receive.take_outcomes().into_iter().map(|lease| lease.unwrap().unwrap().len()).sum::<usize>();
            received == 50
        });
        cts.cancel(id).unwrap();
        cts.until("its end", || receive.is_done());
        assert_eq!(receive.only().status().code(), Code::Cancelled);
    }
    all_back(cts, &pool);
}

fn leases_outlive_pool_handles_and_the_proactor(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(64, 4);
    cts.get(Send::exact(near, vec![9; 64]));
    let mut lease = cts.get(ReceivePooled::new(far, &pool)).unwrap();
    drop(pool);
    assert_eq!(cts.take().shutdown(crate::bench::patience()), 0);
    assert_eq!(lease[..], [9; 64]);
    lease[63] = 1;
    assert_eq!(lease[62..], [9, 1]);
}

fn pooled_receives_take_their_turn_among_others(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(4, 4);
    let one = cts.start(Receive::exact(far.clone(), vec![0; 3]));
    let two = cts.start(ReceivePooled::new(far.clone(), &pool));
    let three = cts.start(Receive::exact(far, vec![0; 3]));
    cts.get(Send::exact(near, (1..=10).collect::<Vec<u8>>()));
    cts.until("all three", || three.is_done());
    assert_eq!(one.only().kind.buffer, [1, 2, 3]);
    assert_eq!(two.only().result.unwrap().unwrap()[..], [4, 5, 6, 7]);
    assert_eq!(three.only().kind.buffer, [8, 9, 10]);
}

fn two_pools_are_kept_apart(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let (small, large) = (pool(2, 4), pool(200, 4));
    let one = cts.start(ReceivePooled::new(far.clone(), &small));
    let two = cts.start(ReceivePooled::new(far, &large));
    cts.get(Send::exact(near, vec![1; 50]));
    cts.until("both", || two.is_done());
    assert_eq!(one.only().result.unwrap().unwrap().len(), 2);
    assert_eq!(two.only().result.unwrap().unwrap().len(), 48);
    all_back(cts, &small);
    all_back(cts, &large);
}

fn two_proactors_share_a_pool(cts: &mut Cts) {
    let pool = pool(16, 8);
    let (near, far) = cts.pair();
    // Lies ready here, with nothing coming.
    let waiting = cts.start(ReceivePooled::new(far, &pool));
    cts.look();
    let (shared, config) = (pool.clone(), cts.config);
    cts.elsewhere(move || {
        let mut other = Cts::beside(config);
        let (near, far) = other.pair();
        for round in 0..100u8 {
            other.get(Send::exact(near.clone(), vec![round; 16]));
            let lease = other.get(ReceivePooled::new(far.clone(), &shared)).unwrap();
            assert_eq!(lease[..], [round; 16]);
        }
    });
    cts.get(Send::exact(near, vec![1]));
    cts.until("the first", || waiting.is_done());
    drop(waiting.only());
    all_back(cts, &pool);
}

fn what_is_acquired_is_never_received_into(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(8, 8);
    let mut mine: Vec<_> = (0..4).map(|_| pool.acquire().unwrap()).collect();
    mine.iter_mut().for_each(|lease| lease.fill(0xaa));
    let collected = collect(cts, far, &pool, 0);
    cts.get(Send::exact(near.clone(), vec![0x55; 4000]));
    cts.get(Close::new(near));
    cts.drain();
    assert_eq!(collected.recv().unwrap(), [0x55; 4000]);
    assert!(mine.iter().all(|lease| lease[..] == [0xaa; 8]));
}

fn dropped_outcomes_give_their_buffers_back(cts: &mut Cts) {
    struct Careless;
    impl Complete<ReceivePooledMany> for Careless {
        fn done(_: Box<Op<ReceivePooledMany, Self>>, _: Outcome<ReceivePooledMany>, _: &mut Context<'_>) {}
    }
    let (near, far) = cts.pair();
    let pool = pool(8, 2);
    let id = cts.submit(Op::new(ReceivePooledMany::new(far, &pool), Careless)).unwrap();
    cts.get(Send::exact(near.clone(), vec![1; 1000]));
    cts.get(Close::new(near));
    // By itself at the end of the stream.
    cts.drain();
    assert_eq!(cts.cancel(id).unwrap_err().code(), Code::NotFound);
    all_back(cts, &pool);
}

fn a_large_pool_is_filled_right_to_its_last_buffer(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = pool(16, 1000);
    let mut leases = Vec::new();
    let receive = cts.start(ReceivePooledMany::new(far, &pool));
    let bytes = pattern(16_000);
    cts.start(Send::exact(near.clone(), bytes.clone()));
    cts.until("a thousand buffers", || {
        leases.extend(receive.take_outcomes().into_iter().map(|lease| lease.unwrap().unwrap()));
        leases.iter().map(|lease: &Lease| lease.len()).sum::<usize>() == 16_000
    });
    assert_eq!(leases.iter().flat_map(|lease| lease.iter().copied()).collect::<Vec<_>>(), bytes);
    let mut indices: Vec<_> = leases.iter().map(Lease::index).collect();
    indices.sort_unstable();
    indices.dedup();
    assert_eq!(indices.len(), leases.len(), "no buffer twice");
    drop(leases);
    cts.get(Close::new(near));
    cts.drain();
    all_back(cts, &pool);
}

/// A bound UDP socket and its address.
fn datagrams(cts: &mut Cts) -> (Socket, Address) {
    let socket = cts.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
    socket.bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_address().unwrap();
    (socket, address)
}

fn datagrams_come_with_their_senders_one_to_a_buffer(cts: &mut Cts) {
    let (receiver, address) = datagrams(cts);
    let senders: Vec<_> = (0..3).map(|_| datagrams(cts)).collect();
    let pool = pool(ReceiveFromPooledMany::OVERHEAD + 500, 8);
    let receives = cts.start(ReceiveFromPooledMany::new(receiver, &pool));
    for round in 0..10u8 {
        for (index, (sender, from)) in senders.iter().enumerate() {
            let bytes = vec![round; 1 + usize::from(round) * 50 + index];
            cts.get(SendTo::new(sender.clone(), bytes.clone(), address.clone()));
            cts.until("the datagram", || receives.outcomes() == 1);
            let datagram = receives.take_outcomes().remove(0).unwrap();
            assert_eq!((&datagram.bytes[..], &datagram.sender), (&bytes[..], from));
            assert!(!datagram.truncated && datagram.segment.is_none());
        }
    }
    assert!(!receives.is_done());
    assert_eq!(cts.take().shutdown(crate::bench::patience()), 0);
    assert_eq!(receives.only().status().code(), Code::Cancelled);
    assert_eq!(pool.available(), pool.capacity());
}

fn a_datagram_that_is_too_long_is_cut_and_says_so(cts: &mut Cts) {
    let (receiver, address) = datagrams(cts);
    let (sender, _) = datagrams(cts);
    let pool = pool(ReceiveFromPooledMany::OVERHEAD + 10, 4);
    let receives = cts.start(ReceiveFromPooledMany::new(receiver, &pool));
    for length in [9, 10, 11, 1000] {
        cts.get(SendTo::new(sender.clone(), vec![7; length], address.clone()));
        cts.until("the datagram", || receives.outcomes() == 1);
        let datagram = receives.take_outcomes().remove(0).unwrap();
        assert_eq!((datagram.bytes.len(), datagram.truncated), (length.min(10), length > 10));
    }
}

fn an_empty_datagram_is_no_end(cts: &mut Cts) {
    let (receiver, address) = datagrams(cts);
    let (sender, from) = datagrams(cts);
    let pool = pool(400, 4);
    let receives = cts.start(ReceiveFromPooledMany::new(receiver.clone(), &pool));
    for length in [0, 3, 0] {
        cts.get(SendTo::new(sender.clone(), vec![1; length], address.clone()));
        cts.until("the datagram", || receives.outcomes() == 1);
        let datagram = receives.take_outcomes().remove(0).unwrap();
        assert_eq!((datagram.bytes.len(), datagram.sender), (length, from.clone()));
    }
    // Also where its sender is not asked for.
    cts.get(proact::operation::CancelAll::new(&receiver));
    cts.until("the end", || receives.is_done());
    let receives = cts.start(ReceivePooledMany::new(receiver, &pool));
    for length in [0, 5] {
        cts.get(SendTo::new(sender.clone(), vec![1; length], address.clone()));
        cts.until("the datagram", || receives.outcomes() == 1);
        let lease = receives.take_outcomes().remove(0).unwrap();
        assert_eq!(lease.map(|lease| lease.len()), (length > 0).then_some(length));
    }
    assert!(!receives.is_done());
}

fn datagrams_wait_for_a_buffer_and_are_not_torn(cts: &mut Cts) {
    let (receiver, address) = datagrams(cts);
    let (sender, _) = datagrams(cts);
    let pool = pool(400, 2);
    let lease = pool.acquire().unwrap();
    let receives = cts.start(ReceiveFromPooledMany::new(receiver, &pool));
    for round in 0..20u8 {
        cts.get(SendTo::new(sender.clone(), vec![round; 100], address.clone()));
    }
    for round in 0..20u8 {
        cts.until("a datagram", || receives.outcomes() > 0);
        let datagrams = receives.take_outcomes();
        assert_eq!(datagrams.len(), 1, "one buffer is left");
        assert_eq!(datagrams[0].as_ref().unwrap().bytes[..], [round; 100]);
    }
    drop(lease);
}

fn buffers_too_small_for_a_datagrams_head_are_refused(cts: &mut Cts) {
    let (receiver, _) = datagrams(cts);
    let pool = pool(ReceiveFromPooledMany::OVERHEAD, 4);
    let refused = cts.submit(Op::new(ReceiveFromPooledMany::new(receiver, &pool), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
}

fn a_stream_has_no_datagrams(cts: &mut Cts) {
    let (near, _far) = cts.pair();
    let refused = cts.submit(Op::new(ReceiveFromPooledMany::new(near, &pool(400, 4)), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
}

fn incremental(size: usize, count: u32) -> BufferPool {
    BufferPool::incremental(Slab::allocate(size, count, &Default::default()).unwrap()).unwrap()
}

fn one_large_buffer_serves_many_small_receives_where_the_kernel_can(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = incremental(4096, 4);
    let mut leases = Vec::new();
    let (op, receives) = cts.watch(ReceivePooledMany::new(far, &pool));
    let id = cts.submit(op).unwrap();
    let needed = Capabilities::INCREMENTAL_BUFFERS | Capabilities::BUFFER_RINGS;
    let natively = cts.handle().capabilities().contains(needed);
    let rounds = if natively { 30u8 } else { 4 };
    for round in 0..rounds {
        cts.get(Send::exact(near.clone(), vec![round; 100]));
        cts.until("the message", || receives.outcomes() == 1);
        leases.push(receives.take_outcomes().remove(0).unwrap().unwrap());
    }
    for (round, lease) in leases.iter().enumerate() {
        assert_eq!(lease[..], [round as u8; 100]);
    }
    let mut indices: Vec<_> = leases.iter().map(Lease::index).collect();
    indices.dedup();
    // Thirty messages of a hundred bytes fit into one buffer of 4096; without the kernel's help each takes one.
    assert_eq!(indices.len(), if natively { 1 } else { 4 });
    drop(leases);
    cts.cancel(id).unwrap();
    cts.until("the end", || receives.is_done());
    all_back(cts, &pool);
}

fn parts_of_a_buffer_are_disjoint_and_come_back_as_one(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = incremental(1000, 4);
    let bytes = pattern(100_000);
    let receives = cts.start(ReceivePooledMany::new(far, &pool));
    let (mut sent, mut received, mut kept) = (0, Vec::new(), Vec::new());
    while sent < bytes.len() {
        let length = (1 + sent % 333).min(bytes.len() - sent);
        cts.get(Send::exact(near.clone(), bytes[sent..sent + length].to_vec()));
        sent += length;
        cts.until("the bytes", || {
            for lease in receives.take_outcomes() {
                let lease = lease.unwrap().unwrap();
                received.extend_from_slice(&lease);
                kept.push((received.len() - lease.len(), lease));
                if kept.len() > 2 {
                    // What is held longest has not changed by what came later.
                    let (at, lease) = kept.remove(0);
                    assert!(lease[..] == bytes[at..at + lease.len()]);
                }
            }
            received.len() == sent
        });
    }
    assert!(received == bytes);
    kept.clear();
    cts.get(Close::new(near));
    cts.until("the end of the stream", || receives.is_done());
    assert!(receives.only().result.unwrap().is_none());
    all_back(cts, &pool);
}

/// Panics once, when it is told.
struct Bang;

impl Complete<Nop> for Bang {
    fn done(_: Box<Op<Nop, Bang>>, _: Outcome<Nop>, _: &mut Context<'_>) {
        // A panic, without the noise of one.
        std::panic::resume_unwind(Box::new("a broken callback"));
    }
}

fn a_part_that_is_told_late_keeps_its_buffer_though_no_receive_is_left(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let pool = incremental(4096, 1);
    cts.get(Send::exact(near, vec![7; 100]));
    let (op, receive) = cts.watch(ReceivePooled::new(far, &pool));
    // Both end in one pass, and the callback of the first keeps the other's outcome waiting for the next. Between the
    // two the backend sees that it has no use for the pool any more.
    cts.submit((Op::new(Nop, Bang), op)).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| cts.until("the panic", || false)));
    assert!(panic.is_err());
    cts.until("the receive", || receive.is_done());
    let lease = receive.only().result.unwrap().expect("bytes");
    assert_eq!(lease[..], [7; 100]);
    assert_eq!(pool.available(), 0, "the buffer is lent out");
    assert!(pool.acquire().is_err(), "and nobody else may have it");
    drop(lease);
    all_back(cts, &pool);
}

fn datagrams_into_memory_that_is_not_to_be_written_are_refused(cts: &mut Cts) {
    let (receiver, _) = datagrams(cts);
    let region = Region::allocate(4096, &Default::default()).unwrap().restricted(Access::READ).unwrap();
    let pool = BufferPool::new(Slab::over(region, 1024, 4).unwrap()).unwrap();
    let refused = cts.submit(Op::new(ReceiveFromPooledMany::new(receiver, &pool), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
}

fn one_proactor_serves_hundreds_of_pools_one_after_another_and_many_at_once(cts: &mut Cts) {
    let (near, far) = cts.pair();
    for round in 0..200u8 {
        let pool = pool(64, 2);
        let received = cts.start(ReceivePooled::new(far.clone(), &pool));
        cts.get(Send::exact(near.clone(), vec![round; 10]));
        cts.until("the bytes", || received.is_done());
        assert_eq!(received.only().result.unwrap().unwrap()[..], [round; 10]);
        all_back(cts, &pool);
    }
    let pairs: Vec<_> = (0..40).map(|_| (cts.pair(), pool(64, 2))).collect();
    let receives: Vec<_> = pairs.iter().map(|((_, far), pool)| ReceivePooled::new(far.clone(), pool)).collect();
    let receives: Vec<_> = receives.into_iter().map(|receive| cts.start(receive)).collect();
    for (index, ((near, _), _)) in pairs.iter().enumerate() {
        cts.get(Send::exact(near.clone(), vec![index as u8; 5]));
    }
    cts.until("all bytes", || receives.iter().all(|receive| receive.is_done()));
    for (index, receive) in receives.into_iter().enumerate() {
        assert_eq!(receive.only().result.unwrap().unwrap()[..], [index as u8; 5], "each from its own pool");
    }
    for (_, pool) in &pairs {
        all_back(cts, pool);
    }
}
