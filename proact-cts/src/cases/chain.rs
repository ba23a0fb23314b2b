//! Chains: order, failure, and the same results whoever takes the steps.

use std::time::Duration;

use proact::backend::OpenFlags;
use proact::operation::{
    AnyOp, Chain, Connect, EventWait, Lowering, MakeDirectory, Nop, Op, Open, Read, Receive, Rename, SemaphoreSignal,
    SemaphoreWait, Send, Sync, Timer, Write,
};
use proact::resource::{Domain, SocketOptions};
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::{Time, Timeout};

use crate::bench::{Cts, Watch};
use crate::cases;
use crate::harness::Only;

cases![
    callbacks_come_in_the_chains_order,
    a_step_starts_only_after_the_one_before_has_succeeded,
    a_failed_step_cancels_the_rest_without_effect,
    a_signal_in_a_chain_does_not_run_ahead,
    independent_chains_of_one_batch_do_not_wait_for_each_other,
    the_end_of_one_chain_is_not_linked_to_the_next_operation,
    chains_of_64_and_100_steps_run_whole,
    a_wait_then_send_sends_after_the_signal,
    a_receive_then_write_writes_what_was_received_elsewhere,
    write_sync_rename_is_one_chain,
    a_refused_connect_cancels_the_send_behind_it,
    an_event_wait_heads_a_chain,
    a_short_step_ends_its_chain_when_exact_and_not_when_some,
    mixed_steps_run_in_order,
    a_failing_wait_leaves_the_signal_and_send_behind_it_undone,
    cancelling_a_middle_step_lets_the_steps_before_it_end,
    cancelling_the_head_cancels_all,
    cancelling_the_tail_lets_the_rest_go_on,
    a_later_chain_on_a_busy_stream_waits_for_its_turn,
    lowered_or_not_the_transcripts_are_the_same,
    a_chain_of_file_steps_is_lowered_and_counted.only(Only::Chains),
    never_lowers_nothing.only(Only::Chains),
    a_short_read_that_severs_a_lowered_chain_is_resumed.only(Only::Chains),
    the_portable_path_takes_one_pass_a_step.only(Only::Readiness),
];

fn callbacks_come_in_the_chains_order(cts: &mut Cts) {
    let (ops, watches): (Vec<_>, Vec<_>) = (0..5).map(|_| cts.watch(Nop)).unzip();
    cts.submit(Chain::new(ops)).unwrap();
    cts.drain();
    let orders: Vec<usize> = watches.iter().map(Watch::order).collect();
    assert_eq!(orders, [0, 1, 2, 3, 4]);
    assert!(watches.into_iter().all(|watch| watch.only().result.is_ok()));
}

fn a_step_starts_only_after_the_one_before_has_succeeded(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let (first, first_watch) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    // Due long ago, and yet its turn comes only then.
    let (second, second_watch) = cts.watch(Timer::new(Time::ORIGIN));
    cts.submit(Chain::new((first, second))).unwrap();
    cts.look();
    assert_eq!(second_watch.calls(), 0);
    semaphore.signal(1, None).unwrap();
    cts.drain();
    assert!(first_watch.order() < second_watch.order());
}

fn a_failed_step_cancels_the_rest_without_effect(cts: &mut Cts) {
    let (missing, unmade) = (cts.path("missing"), cts.path("unmade"));
    let semaphore = Semaphore::new(0);
    let (open, opened) = cts.watch(Open::new(missing, OpenFlags::READ));
    let (make, made) = cts.watch(MakeDirectory::new(&unmade));
    let (signal, signalled) = cts.watch(SemaphoreSignal::new(semaphore.clone(), 1));
    let (timer, fired) = cts.watch(Timer::new(Time::ORIGIN));
    cts.submit(Chain::new((open, make, signal, timer))).unwrap();
    cts.drain();
    assert!(opened.order() < made.order() && made.order() < signalled.order() && signalled.order() < fired.order());
    assert_eq!(opened.only().status().code(), Code::NotFound);
    assert_eq!(made.only().status().code(), Code::Cancelled);
    assert_eq!(signalled.only().status().code(), Code::Cancelled);
    assert_eq!(fired.only().status().code(), Code::Cancelled);
    assert!(!unmade.exists());
    assert_eq!(semaphore.value(), 0);
}

fn a_signal_in_a_chain_does_not_run_ahead(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let (receive, received) = cts.watch(Receive::exact(server, vec![0; 2]));
    let (signal, signalled) = cts.watch(SemaphoreSignal::new(semaphore.clone(), 1));
    cts.submit(Chain::new((receive, signal))).unwrap();
    cts.look();
    assert_eq!(semaphore.value(), 0, "the predecessor has not ended");
    cts.get(Send::exact(client, b"go".as_slice()));
    cts.drain();
    assert_eq!(semaphore.value(), 1);
    assert!(received.order() < signalled.order());
}

fn independent_chains_of_one_batch_do_not_wait_for_each_other(cts: &mut Cts) {
    let (stuck, done) = (Semaphore::new(0), Semaphore::new(0));
    let (one, one_watch) = cts.watch(SemaphoreWait::new(stuck.clone(), 1));
    let (two, two_watch) = cts.watch(Nop);
    let (three, three_watch) = cts.watch(Nop);
    let (four, four_watch) = cts.watch(SemaphoreSignal::new(done.clone(), 1));
    cts.submit((Chain::new((one, two)), Chain::new((three, four)))).unwrap();
    cts.until("the second chain", || four_watch.is_done());
    cts.look();
    assert_eq!((one_watch.calls(), two_watch.calls(), three_watch.calls()), (0, 0, 1));
    stuck.signal(1, None).unwrap();
    cts.drain();
    assert!(one_watch.order() < two_watch.order());
}

fn the_end_of_one_chain_is_not_linked_to_the_next_operation(cts: &mut Cts) {
    let missing = cts.path("missing");
    let (open, _) = cts.watch(Open::new(&missing, OpenFlags::READ));
    let (nop, _) = cts.watch(Nop);
    let (after, after_watch) = cts.watch(Nop);
    let (chained, chained_watch) = cts.watch(Nop);
    cts.submit((Chain::new((open, nop)), after, Chain::new([chained]))).unwrap();
    cts.drain();
    after_watch.only().result.unwrap();
    chained_watch.only().result.unwrap();
    // Nested, the inner chain's end is a step like the others.
    let (open, _) = cts.watch(Open::new(&missing, OpenFlags::READ));
    let (inner, inner_watch) = cts.watch(Nop);
    let (outer, outer_watch) = cts.watch(Nop);
    cts.submit(Chain::new((Chain::new((open, inner)), outer))).unwrap();
    cts.drain();
    assert_eq!((inner_watch.code(), outer_watch.code()), (Some(Code::Cancelled), Some(Code::Cancelled)));
}

fn chains_of_64_and_100_steps_run_whole(cts: &mut Cts) {
    for (steps, lowered) in [(64, cts.lowers_chains()), (100, false)] {
        let (ops, watches): (Vec<_>, Vec<_>) = (0..steps).map(|_| cts.watch(Nop)).unzip();
        cts.submit(Chain::new(ops)).unwrap();
        cts.drain();
        assert!(watches.iter().map(Watch::order).is_sorted());
        for watch in watches {
            let told = watch.only();
            told.result.unwrap();
            assert_eq!(told.lowered, lowered, "{steps} steps");
        }
    }
}

fn a_wait_then_send_sends_after_the_signal(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    let (send, sent) = cts.watch(Send::exact(client, vec![7; 200_000]));
    cts.submit(Chain::new((wait, send))).unwrap();
    let receive = cts.start(Receive::exact(server, vec![0; 200_000]));
    cts.look();
    assert_eq!((waited.calls(), sent.calls(), receive.calls()), (0, 0, 0));
    semaphore.signal(1, None).unwrap();
    cts.drain();
    assert!(waited.order() < sent.order());
    let (waited, sent) = (waited.only(), sent.only());
    waited.result.unwrap();
    assert_eq!(sent.result.unwrap(), 200_000);
    assert_eq!((waited.lowered, sent.lowered), (cts.lowers_waits(), cts.lowers_waits()));
    assert!(receive.only().kind.buffer.iter().all(|byte| *byte == 7));
}

fn a_receive_then_write_writes_what_was_received_elsewhere(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let file = cts.file("f", b"");
    let (receive, received) = cts.watch(Receive::exact(server, vec![0; 100_000]));
    let (write, written) = cts.watch(Write::exact(file, 0, vec![3; 5000]));
    cts.submit(Chain::new((receive, write))).unwrap();
    cts.look();
    assert_eq!(cts.content("f"), b"", "the receive has not ended");
    cts.get(Send::exact(client, vec![1; 100_000]));
    cts.drain();
    assert_eq!(received.only().result.unwrap(), 100_000);
    assert_eq!(written.only().result.unwrap(), 5000);
    assert_eq!(cts.content("f"), vec![3; 5000]);
}

fn write_sync_rename_is_one_chain(cts: &mut Cts) {
    let file = cts.file("part", b"");
    let (part, whole) = (cts.path("part"), cts.path("whole"));
    let (write, written) = cts.watch(Write::exact(file.clone(), 0, b"all of it".to_vec()));
    let (sync, synced) = cts.watch(Sync::data(file));
    let (rename, renamed) = cts.watch(Rename::new(&part, &whole));
    cts.submit(Chain::new((write, sync, rename))).unwrap();
    cts.drain();
    written.only().result.unwrap();
    synced.only().result.unwrap();
    renamed.only().result.unwrap();
    assert_eq!(cts.read(whole), b"all of it");
}

fn a_refused_connect_cancels_the_send_behind_it(cts: &mut Cts) {
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let (connect, connected) = cts.watch(Connect::new(client.clone(), address.into()));
    let (send, sent) = cts.watch(Send::exact(client, b"x".as_slice()));
    cts.submit(Chain::new((connect, send))).unwrap();
    cts.drain();
    assert_eq!(connected.only().status().code(), Code::Unavailable);
    assert_eq!(sent.only().status().code(), Code::Cancelled);
    // And where somebody listens the send follows.
    let (_listener, address) = cts.listener();
    let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let (connect, connected) = cts.watch(Connect::new(client.clone(), address));
    let (send, sent) = cts.watch(Send::exact(client, b"x".as_slice()));
    cts.submit(Chain::new((connect, send))).unwrap();
    cts.drain();
    connected.only().result.unwrap();
    assert_eq!(sent.only().result.unwrap(), 1);
}

fn an_event_wait_heads_a_chain(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let (wait, waited) = cts.watch(EventWait::new(event.clone()));
    let (nop, done) = cts.watch(Nop);
    cts.submit(Chain::new((wait, nop))).unwrap();
    cts.look();
    assert_eq!((waited.calls(), done.calls()), (0, 0));
    event.set().unwrap();
    cts.drain();
    assert!(waited.order() < done.order());
}

fn a_short_step_ends_its_chain_when_exact_and_not_when_some(cts: &mut Cts) {
    let file = cts.file("f", b"0123456789");
    for (exact, code) in [(true, Code::Cancelled), (false, Code::Ok)] {
        let kind = if exact { Read::exact } else { Read::some };
        let (read, was_read) = cts.watch(kind(file.clone(), 6, vec![0; 8]));
        let (nop, then) = cts.watch(Nop);
        cts.submit(Chain::new((read, nop))).unwrap();
        cts.drain();
        match was_read.only().result {
            Ok(length) => assert!(!exact && length == 4),
            Err(status) => assert!(exact && status.code() == Code::OutOfRange),
        }
        assert_eq!(then.code(), Some(code));
    }
}

fn mixed_steps_run_in_order(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let file = cts.file("f", b"content");
    let (gate, done) = (Semaphore::new(0), Semaphore::new(0));
    let (wait, one) = cts.watch(SemaphoreWait::new(gate.clone(), 1));
    let (read, two) = cts.watch(Read::exact(file, 0, vec![0; 7]));
    let (timer, three) = cts.watch(Timer::new(cts.now() + Duration::from_millis(1)));
    let (send, four) = cts.watch(Send::exact(client, b"sent".as_slice()));
    let (signal, five) = cts.watch(SemaphoreSignal::new(done.clone(), 1));
    let (receive, six) = cts.watch(Receive::exact(server, vec![0; 4]));
    cts.submit(Chain::new((wait, read, timer, send, signal, receive))).unwrap();
    cts.look();
    assert_eq!(cts.pending(), 6);
    gate.signal(1, None).unwrap();
    cts.drain();
    let orders = [one.order(), two.order(), three.order(), four.order(), five.order(), six.order()];
    assert_eq!(orders, std::array::from_fn(|step| orders[0] + step));
    assert_eq!(two.only().kind.buffer, b"content");
    assert_eq!(six.only().kind.buffer, b"sent");
    assert_eq!(done.value(), 1);
}

fn a_failing_wait_leaves_the_signal_and_send_behind_it_undone(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (gate, done) = (Semaphore::new(0), Semaphore::new(0));
    let (wait, waited) = cts.watch(SemaphoreWait::new(gate.clone(), 1));
    let (signal, signalled) = cts.watch(SemaphoreSignal::new(done.clone(), 1));
    let (send, sent) = cts.watch(Send::exact(client.clone(), b"never".as_slice()));
    cts.submit(Chain::new((wait, signal, send))).unwrap();
    cts.look();
    gate.fail(proact::status::Status::new(Code::Aborted, proact::status::Operation::None));
    cts.drain();
    let codes = [waited.code(), signalled.code(), sent.code()];
    assert_eq!(codes, [Some(Code::Aborted), Some(Code::Cancelled), Some(Code::Cancelled)]);
    assert_eq!(done.value(), 0);
    cts.get(Send::exact(client, b"next".as_slice()));
    assert_eq!(cts.one(Receive::exact(server, vec![0; 4])).kind.buffer, b"next");
}

/// A chain of a wait and two nops, with the wait's semaphore.
type Trio = ([Watch<Nop>; 2], Watch<SemaphoreWait>, [proact::operation::OperationId; 3], Semaphore);

fn trio(cts: &mut Cts, lowering: Lowering) -> Trio {
    let semaphore = Semaphore::new(0);
    let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    let (one, first) = cts.watch(Nop);
    let (two, second) = cts.watch(Nop);
    let (a, b, c) = cts.submit(Chain::new((wait, one, two)).lowering(lowering)).unwrap();
    cts.look();
    ([first, second], waited, [a, b, c], semaphore)
}

fn cancelling_a_middle_step_lets_the_steps_before_it_end(cts: &mut Cts) {
    for lowering in [Lowering::Never, Lowering::Auto, Lowering::Always] {
        let ([first, second], waited, ids, semaphore) = trio(cts, lowering);
        cts.cancel(ids[1]).unwrap();
        cts.look();
        assert_eq!((waited.calls(), first.calls(), second.calls()), (0, 0, 0), "callbacks come in order");
        semaphore.signal(1, None).unwrap();
        cts.drain();
        assert!(waited.order() < first.order() && first.order() < second.order());
        assert_eq!(waited.code(), Some(Code::Ok));
        assert_eq!((first.code(), second.code()), (Some(Code::Cancelled), Some(Code::Cancelled)));
    }
}

fn cancelling_the_head_cancels_all(cts: &mut Cts) {
    for lowering in [Lowering::Never, Lowering::Auto, Lowering::Always] {
        let ([first, second], waited, ids, semaphore) = trio(cts, lowering);
        cts.cancel(ids[0]).unwrap();
        cts.drain();
        let codes = [waited.code(), first.code(), second.code()];
        assert_eq!(codes, [Some(Code::Cancelled); 3]);
        assert!(waited.order() < first.order() && first.order() < second.order());
        semaphore.signal(1, None).unwrap();
        cts.look();
    }
}

fn cancelling_the_tail_lets_the_rest_go_on(cts: &mut Cts) {
    for lowering in [Lowering::Never, Lowering::Auto, Lowering::Always] {
        let ([first, second], waited, ids, semaphore) = trio(cts, lowering);
        cts.cancel(ids[2]).unwrap();
        cts.look();
        semaphore.signal(1, None).unwrap();
        cts.drain();
        let codes = [waited.code(), first.code(), second.code()];
        assert_eq!(codes, [Some(Code::Ok), Some(Code::Ok), Some(Code::Cancelled)]);
    }
}

fn a_later_chain_on_a_busy_stream_waits_for_its_turn(cts: &mut Cts) {
    let options = SocketOptions { send_buffer: Some(4096), receive_buffer: Some(4096), ..SocketOptions::default() };
    let (client, server) = cts.pair_on("127.0.0.1:0", &options);
    let big = cts.start(Send::exact(client.clone(), vec![1; 1 << 20]));
    let semaphore = Semaphore::new(1);
    // Reached already: only the stream's order holds the send back.
    let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore, 1));
    let (send, sent) = cts.watch(Send::exact(client, vec![2; 1000]));
    cts.submit(Chain::new((wait, send)).lowering(Lowering::Always)).unwrap();
    cts.until("the wait", || waited.is_done());
    cts.look();
    assert_eq!((big.calls(), sent.calls()), (0, 0));
    let told = cts.one(Receive::exact(server, vec![0; (1 << 20) + 1000]));
    let (first, second) = told.kind.buffer.split_at(1 << 20);
    assert!(first.iter().all(|byte| *byte == 1) && second.iter().all(|byte| *byte == 2));
    cts.drain();
    assert!(big.order() < sent.order());
}

/// Runs many kinds of chains and writes down, in order, how each step ended.
fn transcript(cts: &mut Cts, lowering: Lowering) -> Vec<String> {
    let mut lines = Vec::new();
    let file = cts.file("t", b"0123456789");
    let missing = cts.path("nothing");
    let reads = |exact: [bool; 3], offsets: [u64; 3]| {
        let file = file.clone();
        move |cts: &Cts, at: usize| {
            let kind = if exact[at] { Read::exact } else { Read::some };
            cts.watch(kind(file.clone(), offsets[at], vec![0; 6]))
        }
    };
    for exact in [[true; 3], [true, true, false], [false, true, true], [false; 3]] {
        for offsets in [[0, 2, 4], [0, 8, 1], [20, 0, 0], [0, 0, 9]] {
            let make = reads(exact, offsets);
            let (ops, watches): (Vec<_>, Vec<_>) = (0..3).map(|at| make(cts, at)).unzip();
            let (open, opened) = cts.watch(Open::new(&missing, OpenFlags::READ));
            let (nop, done) = cts.watch(Nop);
            let mut chain: Vec<AnyOp> = ops.into_iter().map(AnyOp::from).collect();
            chain.extend([AnyOp::from(open), AnyOp::from(nop)]);
            cts.submit(Chain::new(chain).lowering(lowering)).unwrap();
            cts.drain();
            for watch in watches {
                let told = watch.only();
                let result = told.result.map_err(|status| status.to_string());
                lines.push(format!("{result:?} {:?}", told.kind.buffer));
            }
            lines.push(format!("{:?} {:?}", opened.code(), done.code()));
        }
    }
    lines
}

fn lowered_or_not_the_transcripts_are_the_same(cts: &mut Cts) {
    let never = transcript(cts, Lowering::Never);
    assert_eq!(transcript(cts, Lowering::Auto), never);
    assert_eq!(transcript(cts, Lowering::Always), never);
    assert!(never.iter().any(|line| line.contains("OutOfRange") || line.contains("OUT_OF_RANGE")), "{never:#?}");
}

fn a_chain_of_file_steps_is_lowered_and_counted(cts: &mut Cts) {
    if !cts.handle().capabilities().contains(proact::backend::Capabilities::KERNEL_FILES) {
        // Workers have no links: the chain is as portable as on any other backend.
        let file = cts.file("f", b"");
        let before = cts.statistics();
        cts.submit(Chain::new((
            Op::new(Write::exact(file.clone(), 0, vec![1; 10]), ()),
            Op::new(Sync::data(file), ()),
        )))
        .unwrap();
        cts.drain();
        assert_eq!(cts.statistics().chains_portable, before.chains_portable + 1);
        return;
    }
    let file = cts.file("f", b"");
    let (write, written) = cts.watch(Write::exact(file.clone(), 0, vec![1; 4096]));
    let (sync, synced) = cts.watch(Sync::data(file.clone()));
    let (read, was_read) = cts.watch(Read::exact(file, 0, vec![0; 4096]));
    let before = cts.statistics();
    // The sync comes last: the kernel would start what is linked to one that failed.
    cts.submit(Chain::new((write, read, sync))).unwrap();
    cts.drain();
    let after = cts.statistics();
    assert_eq!((after.chains_lowered, after.chains_portable), (before.chains_lowered + 1, before.chains_portable));
    assert_eq!((after.steps_by_kernel, after.steps_by_poll), (before.steps_by_kernel + 2, before.steps_by_poll));
    assert_eq!(after.waits_lowered, before.waits_lowered);
    assert!(written.only().lowered && synced.only().lowered);
    let told = was_read.only();
    assert!(told.lowered && told.kind.buffer == vec![1; 4096]);
}

fn never_lowers_nothing(cts: &mut Cts) {
    let before = cts.statistics();
    let (ops, watches): (Vec<_>, Vec<_>) = (0..3).map(|_| cts.watch(Nop)).unzip();
    cts.submit(Chain::new(ops).lowering(Lowering::Never)).unwrap();
    cts.drain();
    let after = cts.statistics();
    assert_eq!((after.chains_lowered, after.chains_portable), (before.chains_lowered, before.chains_portable + 1));
    assert_eq!(after.steps_by_poll, before.steps_by_poll + 2);
    assert!(watches.into_iter().all(|watch| !watch.only().lowered));
}

fn a_short_read_that_severs_a_lowered_chain_is_resumed(cts: &mut Cts) {
    // A read of this file gives about a page at a time, so an exact one of more is short and severs the kernel's link.
    let maps = cts.get(Open::new("/proc/self/smaps", OpenFlags::READ));
    let length = 3 * 4096;
    assert!(std::fs::read("/proc/self/smaps").unwrap().len() > 2 * length, "a process of few mappings");
    let short = cts.get(Read::some(maps.clone(), 0, vec![0; length]));
    assert!(short < length, "one read gave {short} bytes: nothing would be severed");
    let (read, was_read) = cts.watch(Read::exact(maps, 0, vec![0; length]));
    let (one, first) = cts.watch(Nop);
    let (two, second) = cts.watch(Nop);
    cts.submit(Chain::new((read, one, two)).lowering(Lowering::Always)).unwrap();
    cts.drain();
    assert!(was_read.order() < first.order() && first.order() < second.order());
    let told = was_read.only();
    assert_eq!(told.result.unwrap(), length);
    assert!(told.kind.buffer.iter().all(|byte| byte.is_ascii()));
    first.only().result.unwrap();
    second.only().result.unwrap();
}

fn the_portable_path_takes_one_pass_a_step(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    let (send, sent) = cts.watch(Send::exact(client, b"x".as_slice()));
    cts.submit(Chain::new((wait, send))).unwrap();
    cts.look();
    let before = cts.statistics();
    semaphore.signal(1, None).unwrap();
    cts.poll(Timeout::Immediate).unwrap();
    assert_eq!((waited.calls(), sent.calls()), (1, 0), "the first pass takes the wait, and starts the send");
    cts.until("the send", || sent.is_done());
    let after = cts.statistics();
    assert_eq!(after.steps_by_poll, before.steps_by_poll + 1);
    assert_eq!((after.steps_by_kernel, after.chains_lowered), (0, 0));
    assert_eq!(after.polls, before.polls + 2);
    cts.one(Receive::exact(server, vec![0; 1])).result.unwrap();
}
