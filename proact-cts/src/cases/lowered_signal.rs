//! Semaphore signals that the kernel itself carries out behind a receive: the descriptor that a value was exported as
//! is written there, and the value is taken over when the completion is there.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use proact::causal::{Axis, Frontier};
use proact::operation::{
    Chain, Complete, Context, ImportFence, Lowering, Nop, Op, Outcome, Receive, SemaphoreSignal, SemaphoreWait, Send,
    Sequence,
};
use proact::resource::Socket;
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use rustix::event::{PollFd, PollFlags, Timespec};

use crate::bench::{Cts, Watch, patience};
use crate::cases;
use crate::harness::Only;

cases![
    the_kernel_tells_an_exported_value_while_the_poll_thread_sleeps.only(Only::Chains),
    a_whole_pipeline_runs_in_the_kernel.only(Only::Chains),
    lowered_and_portable_chains_come_to_the_same,
    nothing_is_signalled_before_the_bytes_are_whole,
    a_peer_that_closes_early_signals_nothing,
    the_value_is_there_before_the_receives_callback_and_later_signals_rise_above_it,
    a_signal_that_came_before_refuses_the_step_and_the_descriptor_stays_readable,
    a_semaphore_that_fails_meanwhile_fails_the_step,
    cancelling_head_tail_or_both_signals_nothing,
    several_exports_are_all_told_each_once,
    what_was_not_exported_at_this_value_runs_step_by_step,
    a_signal_at_the_head_happens_at_once,
    signals_one_after_another_are_each_told,
    a_failed_wait_at_the_head_signals_nothing,
    another_proactor_goes_ahead_by_the_descriptor.real("other threads"),
    the_causes_of_a_lowered_signal_are_kept,
    a_chain_is_reused_for_the_next_value,
    a_sequence_with_a_signal_behaves_as_a_chain,
    a_shutdown_signals_nothing,
    data_signal_and_failure_race_for_600_rounds.real("other threads"),
];

/// Whether the descriptor is readable, at the latest after `time`.
fn wait_readable(fd: impl AsFd, time: Duration) -> bool {
    let mut watched = [PollFd::new(&fd, PollFlags::IN)];
    let time = Timespec::try_from(time).unwrap();
    rustix::event::poll(&mut watched, Some(&time)).unwrap() == 1
}

fn is_readable(fd: impl AsFd) -> bool {
    wait_readable(fd, Duration::ZERO)
}

/// How often it was written.
fn count_of(export: &OwnedFd) -> u64 {
    let mut count = [0; 8];
    match rustix::io::read(export, &mut count) {
        Ok(_) => u64::from_ne_bytes(count),
        Err(_) => 0,
    }
}

/// A receive of `length` bytes, and a signal of `semaphore`'s `value` behind it.
struct Pair {
    receive: Watch<Receive<Vec<u8>>>,
    signal: Watch<SemaphoreSignal>,
    ids: (proact::operation::OperationId, proact::operation::OperationId),
}

fn pair(cts: &mut Cts, socket: &Socket, length: usize, semaphore: &Semaphore, value: u64, how: Lowering) -> Pair {
    let (receive_op, receive) = cts.watch(Receive::exact(socket.clone(), vec![0; length]));
    let (signal_op, signal) = cts.watch(SemaphoreSignal::new(semaphore.clone(), value));
    let ids = cts.submit(Chain::new((receive_op, signal_op)).lowering(how)).unwrap();
    Pair { receive, signal, ids }
}

impl Pair {
    fn is_done(&self) -> bool {
        self.receive.is_done() && self.signal.is_done()
    }

    /// How both ended, having checked that each did once, in order, and was released.
    #[track_caller]
    fn codes(self) -> (Code, Code) {
        assert!(self.receive.order() < self.signal.order());
        let code = |result: Option<Status>| result.map_or(Code::Ok, |status| status.code());
        (code(self.receive.only().result.err()), code(self.signal.only().result.err()))
    }
}

const EVERY_WAY: [Lowering; 3] = [Lowering::Never, Lowering::Auto, Lowering::Always];

fn the_kernel_tells_an_exported_value_while_the_poll_thread_sleeps(cts: &mut Cts) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let socket = cts.handle().import_socket(ours.into()).unwrap();
    let semaphore = Semaphore::new(0);
    let export = semaphore.export_pollable(1).unwrap();
    let before = cts.statistics();
    let chain = pair(cts, &socket, 6, &semaphore, 1, Lowering::Auto);
    let thread = std::thread::spawn(move || {
        // Long enough for the poll thread to be asleep, in the usual case; the result does not depend on it.
        std::thread::sleep(Duration::from_millis(20));
        assert!(!is_readable(&export), "before the bytes");
        std::io::Write::write_all(&mut &theirs, b"abcdef").unwrap();
        assert!(wait_readable(&export, patience()), "the descriptor is not written");
        (theirs, export)
    });
    cts.until("the chain", || chain.is_done());
    let (_theirs, export) = thread.join().unwrap();
    assert_eq!(count_of(&export), 1, "the kernel has written it, and nobody else");
    let after = cts.statistics();
    assert_eq!(after.signals_lowered, before.signals_lowered + 1);
    assert_eq!(after.chains_lowered, before.chains_lowered + 1);
    assert_eq!(after.steps_by_kernel, before.steps_by_kernel + 1);
    assert_eq!(after.steps_by_poll, before.steps_by_poll);
    assert_eq!(after.wakes, before.wakes);
    assert_eq!(semaphore.value(), 1);
    let (received, signalled) = (chain.receive.only(), chain.signal.only());
    assert_eq!((received.kind.buffer, received.result.unwrap()), (b"abcdef".to_vec(), 6));
    signalled.result.unwrap();
    assert!(received.lowered && signalled.lowered);
}

fn a_whole_pipeline_runs_in_the_kernel(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (go, done) = (Semaphore::new(0), Semaphore::new(0));
    let export = done.export_pollable(7).unwrap();
    let waits = cts.lowers_waits();
    let before = cts.statistics();
    let (wait, waited) = cts.watch(SemaphoreWait::new(go.clone(), 1));
    let (receive, received) = cts.watch(Receive::exact(server.clone(), vec![0; 3]));
    let (signal, signalled) = cts.watch(SemaphoreSignal::new(done.clone(), 7));
    let (send, sent) = cts.watch(Send::exact(server.clone(), b"answer".as_slice()));
    cts.submit(Chain::new((wait, receive, signal, send)).lowering(Lowering::Always)).unwrap();
    cts.get(Send::exact(client.clone(), b"ask".as_slice()));
    cts.look();
    assert_eq!((done.value(), is_readable(&export), waited.is_done()), (0, false, false));
    go.signal(1, None).unwrap();
    cts.until("the pipeline", || sent.is_done());
    assert!(waited.order() < received.order() && received.order() < signalled.order());
    assert!(signalled.order() < sent.order());
    assert_eq!((done.value(), count_of(&export)), (7, 1));
    assert_eq!(cts.one(Receive::exact(client, vec![0; 6])).kind.buffer, b"answer");
    let after = cts.statistics();
    assert_eq!(after.signals_lowered - before.signals_lowered, u64::from(waits));
    assert_eq!((waited.only().lowered, sent.only().lowered), (waits, waits));
}

/// What became of one run: codes, in the chain's order; the value; how often the export was written.
type Came = (Vec<Code>, u64, u64);

fn lowered_and_portable_chains_come_to_the_same(cts: &mut Cts) {
    fn receive_signal(cts: &mut Cts, how: Lowering) -> Came {
        let (client, server) = cts.pair();
        let done = Semaphore::new(0);
        let export = done.export_pollable(4).unwrap();
        let chain = pair(cts, &server, 3, &done, 4, how);
        cts.get(Send::exact(client, b"abc".as_slice()));
        cts.until("the chain", || chain.is_done());
        let codes = chain.codes();
        (vec![codes.0, codes.1], done.value(), count_of(&export))
    }
    fn receive_signal_send(cts: &mut Cts, how: Lowering) -> Came {
        let (client, server) = cts.pair();
        let done = Semaphore::new(0);
        let export = done.export_pollable(1).unwrap();
        let (receive, received) = cts.watch(Receive::exact(server.clone(), vec![0; 3]));
        let (signal, signalled) = cts.watch(SemaphoreSignal::new(done.clone(), 1));
        let (send, sent) = cts.watch(Send::exact(server, b"xyz".as_slice()));
        cts.submit(Chain::new((receive, signal, send)).lowering(how)).unwrap();
        cts.get(Send::exact(client.clone(), b"abc".as_slice()));
        assert_eq!(cts.one(Receive::exact(client, vec![0; 3])).kind.buffer, b"xyz");
        cts.drain();
        assert!(received.order() < signalled.order() && signalled.order() < sent.order());
        let codes = vec![received.code().unwrap(), signalled.code().unwrap(), sent.code().unwrap()];
        (codes, done.value(), count_of(&export))
    }
    fn wait_receive_signal(cts: &mut Cts, how: Lowering) -> Came {
        let (client, server) = cts.pair();
        let (go, done) = (Semaphore::new(0), Semaphore::new(0));
        let export = done.export_pollable(1).unwrap();
        let (wait, waited) = cts.watch(SemaphoreWait::new(go.clone(), 1));
        let (receive, received) = cts.watch(Receive::exact(server, vec![0; 3]));
        let (signal, signalled) = cts.watch(SemaphoreSignal::new(done.clone(), 1));
        cts.submit(Chain::new((wait, receive, signal)).lowering(how)).unwrap();
        cts.get(Send::exact(client, b"abc".as_slice()));
        cts.look();
        assert_eq!((done.value(), is_readable(&export)), (0, false), "ahead of its wait");
        go.signal(1, None).unwrap();
        cts.drain();
        let codes = vec![waited.code().unwrap(), received.code().unwrap(), signalled.code().unwrap()];
        (codes, done.value(), count_of(&export))
    }
    fn not_above(cts: &mut Cts, how: Lowering) -> Came {
        let (client, server) = cts.pair();
        let done = Semaphore::new(9);
        let export = done.export_pollable(4).unwrap();
        let chain = pair(cts, &server, 3, &done, 4, how);
        cts.get(Send::exact(client, b"abc".as_slice()));
        cts.until("the chain", || chain.is_done());
        let codes = chain.codes();
        (vec![codes.0, codes.1], done.value(), count_of(&export))
    }
    fn ended(cts: &mut Cts, how: Lowering) -> Came {
        let (client, server) = cts.pair();
        let done = Semaphore::new(0);
        let export = done.export_pollable(1).unwrap();
        let chain = pair(cts, &server, 3, &done, 1, how);
        drop(client);
        cts.until("the chain", || chain.is_done());
        let codes = chain.codes();
        (vec![codes.0, codes.1], done.value(), count_of(&export))
    }
    let variants: [fn(&mut Cts, Lowering) -> Came; 5] =
        [receive_signal, receive_signal_send, wait_receive_signal, not_above, ended];
    for (index, variant) in variants.into_iter().enumerate() {
        let portable = variant(cts, Lowering::Never);
        for how in [Lowering::Auto, Lowering::Always] {
            assert_eq!(variant(cts, how), portable, "variant {index}, {how:?}");
        }
    }
}

fn nothing_is_signalled_before_the_bytes_are_whole(cts: &mut Cts) {
    for how in EVERY_WAY {
        let (client, server) = cts.pair();
        let semaphore = Semaphore::new(0);
        let export = semaphore.export_pollable(1).unwrap();
        let chain = pair(cts, &server, 6, &semaphore, 1, how);
        cts.look();
        for part in [b"ab".as_slice(), b"cd"] {
            cts.get(Send::exact(client.clone(), part));
            cts.look();
            assert_eq!((semaphore.value(), is_readable(&export), chain.receive.is_done()), (0, false, false));
        }
        cts.get(Send::exact(client, b"ef".as_slice()));
        cts.until("the chain", || chain.is_done());
        assert_eq!((semaphore.value(), count_of(&export)), (1, 1));
        assert_eq!(chain.receive.only().kind.buffer, b"abcdef");
        chain.signal.only().result.unwrap();
    }
}

fn a_peer_that_closes_early_signals_nothing(cts: &mut Cts) {
    for how in EVERY_WAY {
        let (client, server) = cts.pair();
        let semaphore = Semaphore::new(0);
        let export = semaphore.export_pollable(1).unwrap();
        let chain = pair(cts, &server, 6, &semaphore, 1, how);
        cts.get(Send::exact(client.clone(), b"abc".as_slice()));
        cts.look();
        drop(client);
        cts.until("the chain", || chain.is_done());
        assert_eq!(chain.codes(), (Code::OutOfRange, Code::Cancelled), "{how:?}");
        assert_eq!((semaphore.value(), is_readable(&export), semaphore.status().is_none()), (0, false, true));
        // The export still waits for the value.
        semaphore.signal(1, None).unwrap();
        assert_eq!(count_of(&export), 1);
    }
}

fn the_value_is_there_before_the_receives_callback_and_later_signals_rise_above_it(cts: &mut Cts) {
    /// Signals the next value when the bytes have come.
    struct Next(Semaphore);
    impl Complete<Receive<Vec<u8>>> for Next {
        fn done(op: Box<Op<Receive<Vec<u8>>, Self>>, outcome: Outcome<Receive<Vec<u8>>>, _: &mut Context<'_>) {
            outcome.result.unwrap();
            assert_eq!(op.state.0.value(), 1);
            op.state.0.signal(2, None).unwrap();
        }
    }
    for how in EVERY_WAY {
        let (client, server) = cts.pair();
        let semaphore = Semaphore::new(0);
        let exports = [1, 2].map(|value| semaphore.export_pollable(value).unwrap());
        let receive = Op::new(Receive::exact(server, vec![0; 3]), Next(semaphore.clone()));
        let (signal, signalled) = cts.watch(SemaphoreSignal::new(semaphore.clone(), 1));
        cts.submit(Chain::new((receive, signal)).lowering(how)).unwrap();
        cts.get(Send::exact(client, b"abc".as_slice()));
        cts.until("the signal", || signalled.is_done());
        signalled.only().result.unwrap();
        assert_eq!(semaphore.value(), 2);
        assert_eq!(exports.each_ref().map(count_of), [1, 1]);
    }
}

fn a_signal_that_came_before_refuses_the_step_and_the_descriptor_stays_readable(cts: &mut Cts) {
    for how in EVERY_WAY {
        let lowered = how != Lowering::Never && cts.lowers_chains();
        let (client, server) = cts.pair();
        let semaphore = Semaphore::new(0);
        let export = semaphore.export_pollable(3).unwrap();
        let (receive, received) = cts.watch(Receive::exact(server, vec![0; 3]));
        let (signal, signalled) = cts.watch(SemaphoreSignal::new(semaphore.clone(), 3));
        let (nop, done) = cts.watch(Nop);
        cts.submit(Chain::new((receive, signal, nop)).lowering(how)).unwrap();
        cts.look();
        semaphore.signal(5, None).unwrap();
        assert!(is_readable(&export), "5 has reached it");
        cts.get(Send::exact(client, b"abc".as_slice()));
        cts.drain();
        received.only().result.unwrap();
        assert_eq!(signalled.only().status().code(), Code::InvalidArgument);
        assert_eq!(semaphore.value(), 5);
        // What the kernel did meanwhile, it did.
        assert_eq!(done.code(), Some(if lowered { Code::Ok } else { Code::Cancelled }), "{how:?}");
        assert_eq!(count_of(&export), if lowered { 2 } else { 1 });
    }
}

fn a_semaphore_that_fails_meanwhile_fails_the_step(cts: &mut Cts) {
    for how in EVERY_WAY {
        let lowered = how != Lowering::Never && cts.lowers_chains();
        let (client, server) = cts.pair();
        let semaphore = Semaphore::new(0);
        let export = semaphore.export_pollable(3).unwrap();
        let chain = pair(cts, &server, 3, &semaphore, 3, how);
        cts.look();
        semaphore.fail(Status::new(Code::DataLoss, Operation::FileRead));
        cts.get(Send::exact(client, b"abc".as_slice()));
        cts.until("the chain", || chain.is_done());
        assert_eq!(chain.codes(), (Code::Ok, Code::DataLoss));
        // The kernel knows nothing of the failure: what it told is that the bytes have come.
        assert_eq!((semaphore.value(), is_readable(&export)), (0, lowered));
        // A failure from before keeps the chain from it.
        let (client, server) = cts.pair();
        let chain = pair(cts, &server, 3, &semaphore, 4, how);
        cts.get(Send::exact(client, b"abc".as_slice()));
        cts.until("the chain", || chain.is_done());
        assert_eq!(chain.codes(), (Code::Ok, Code::DataLoss));
    }
}

fn cancelling_head_tail_or_both_signals_nothing(cts: &mut Cts) {
    for how in EVERY_WAY {
        for (head, tail) in [(true, false), (false, true), (true, true)] {
            let (client, server) = cts.pair();
            let semaphore = Semaphore::new(0);
            let export = semaphore.export_pollable(1).unwrap();
            let chain = pair(cts, &server, 3, &semaphore, 1, how);
            cts.look();
            if tail {
                cts.cancel(chain.ids.1).unwrap();
            }
            if head {
                cts.cancel(chain.ids.0).unwrap();
            } else {
                cts.look();
                assert!(!chain.receive.is_done(), "nobody asked it to end");
                cts.get(Send::exact(client, b"abc".as_slice()));
            }
            cts.until("the chain", || chain.is_done());
            let first = if head { Code::Cancelled } else { Code::Ok };
            assert_eq!(chain.codes(), (first, Code::Cancelled), "{how:?}, {head}, {tail}");
            assert_eq!((semaphore.value(), is_readable(&export)), (0, false));
        }
    }
}

fn several_exports_are_all_told_each_once(cts: &mut Cts) {
    for how in EVERY_WAY {
        let (client, server) = cts.pair();
        let semaphore = Semaphore::new(0);
        let exports: Vec<_> = [2, 1, 2, 2, 3].map(|value| semaphore.export_pollable(value).unwrap()).into();
        let chain = pair(cts, &server, 3, &semaphore, 2, how);
        cts.get(Send::exact(client, b"abc".as_slice()));
        cts.until("the chain", || chain.is_done());
        assert_eq!(chain.codes(), (Code::Ok, Code::Ok));
        let counts: Vec<_> = exports.iter().map(count_of).collect();
        assert_eq!(counts, [1, 1, 1, 1, 0], "{how:?}");
    }
}

fn what_was_not_exported_at_this_value_runs_step_by_step(cts: &mut Cts) {
    let before = cts.statistics();
    let (client, server) = cts.pair();
    let (semaphore, other) = (Semaphore::new(0), Semaphore::new(0));
    let export = semaphore.export_pollable(2).unwrap();
    let _other = other.export_pollable(1).unwrap();
    // Below the exported value, and two at a time.
    let first = pair(cts, &server, 3, &semaphore, 1, Lowering::Always);
    cts.get(Send::exact(client.clone(), b"abc".as_slice()));
    cts.until("the first chain", || first.is_done());
    assert_eq!(first.codes(), (Code::Ok, Code::Ok));
    let receive = Op::new(Receive::exact(server.clone(), vec![0; 3]), ());
    let both = SemaphoreSignal::many(vec![(semaphore.clone(), 2), (other.clone(), 1)]);
    let (both, told) = cts.watch(both);
    cts.submit(Chain::new((receive, both)).lowering(Lowering::Always)).unwrap();
    cts.get(Send::exact(client.clone(), b"abc".as_slice()));
    cts.until("the second chain", || told.is_done());
    assert_eq!((semaphore.value(), other.value(), count_of(&export)), (2, 1, 1));
    // An export that its semaphore has told before is no export any more.
    let third = pair(cts, &server, 3, &semaphore, 3, Lowering::Always);
    cts.get(Send::exact(client, b"abc".as_slice()));
    cts.until("the third chain", || third.is_done());
    let after = cts.statistics();
    assert_eq!(after.signals_lowered, before.signals_lowered);
    assert_eq!(after.chains_portable - before.chains_portable, 3);
}

fn a_signal_at_the_head_happens_at_once(cts: &mut Cts) {
    for how in EVERY_WAY {
        let (client, server) = cts.pair();
        let semaphore = Semaphore::new(0);
        let export = semaphore.export_pollable(1).unwrap();
        let (signal, signalled) = cts.watch(SemaphoreSignal::new(semaphore.clone(), 1));
        let (receive, received) = cts.watch(Receive::exact(server, vec![0; 3]));
        cts.submit(Chain::new((signal, receive)).lowering(how)).unwrap();
        assert_eq!((semaphore.value(), count_of(&export)), (1, 1));
        cts.get(Send::exact(client, b"abc".as_slice()));
        cts.until("the receive", || received.is_done());
        assert!(signalled.order() < received.order());
    }
    assert_eq!(cts.statistics().signals_lowered, 0);
}

fn signals_one_after_another_are_each_told(cts: &mut Cts) {
    for how in EVERY_WAY {
        let lowered = how != Lowering::Never && cts.lowers_chains();
        let before = cts.statistics().signals_lowered;
        let (client, server) = cts.pair();
        let semaphore = Semaphore::new(0);
        let exports = [1, 2, 3].map(|value| semaphore.export_pollable(value).unwrap());
        let receive = Op::new(Receive::exact(server.clone(), vec![0; 3]), ());
        let signals = [1, 2, 3].map(|value| cts.watch(SemaphoreSignal::new(semaphore.clone(), value)));
        let [(first, one), (second, two), (third, three)] = signals;
        cts.submit(Chain::new((receive, first, second, third, Op::new(Nop, ()))).lowering(how)).unwrap();
        cts.get(Send::exact(client, b"abc".as_slice()));
        cts.drain();
        assert!(one.order() < two.order() && two.order() < three.order());
        for signal in [one, two, three] {
            let told = signal.only();
            assert_eq!(told.lowered, lowered);
            told.result.unwrap();
        }
        assert_eq!((semaphore.value(), exports.each_ref().map(count_of)), (3, [1, 1, 1]));
        assert_eq!(cts.statistics().signals_lowered - before, if lowered { 3 } else { 0 });
    }
}

fn a_failed_wait_at_the_head_signals_nothing(cts: &mut Cts) {
    for how in EVERY_WAY {
        for late in [false, true] {
            let (client, server) = cts.pair();
            let (go, done) = (Semaphore::new(0), Semaphore::new(0));
            let export = done.export_pollable(1).unwrap();
            if !late {
                go.fail(Status::new(Code::Aborted, Operation::None));
            }
            let (wait, waited) = cts.watch(SemaphoreWait::new(go.clone(), 1));
            let (signal, signalled) = cts.watch(SemaphoreSignal::new(done.clone(), 1));
            let (send, sent) = cts.watch(Send::exact(client.clone(), b"abc".as_slice()));
            cts.submit(Chain::new((wait, signal, send)).lowering(how)).unwrap();
            cts.look();
            go.fail(Status::new(Code::Aborted, Operation::None));
            cts.drain();
            assert_eq!(waited.only().status().code(), Code::Aborted);
            assert_eq!(signalled.only().status().code(), Code::Cancelled);
            assert_eq!(sent.only().status().code(), Code::Cancelled);
            assert_eq!((done.value(), is_readable(&export)), (0, false));
            drop(client);
            assert_eq!(cts.get(Receive::some(server, vec![0; 1])), 0, "nothing was sent");
        }
    }
}

fn another_proactor_goes_ahead_by_the_descriptor(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (near, far) = (Semaphore::new(0), Semaphore::new(0));
    let export = near.export_pollable(1).unwrap();
    let config = cts.config;
    let (there, barrier) = (far.clone(), Arc::new(Barrier::new(2)));
    let ready = barrier.clone();
    let thread = std::thread::spawn(move || {
        let mut other = Cts::beside(config);
        let (ours, theirs) = other.pair();
        let fence = other.handle().import_pollable(export);
        let (import, _imported) = other.watch(ImportFence::new(fence, there, 1));
        let (send, sent) = other.watch(Send::exact(ours, b"went ahead".as_slice()));
        other.submit(Chain::new((import, send))).unwrap();
        ready.wait();
        other.until("the fence, and the send behind it", || sent.is_done());
        assert_eq!(other.one(Receive::exact(theirs, vec![0; 10])).kind.buffer, b"went ahead");
    });
    let chain = pair(cts, &server, 3, &near, 1, Lowering::Auto);
    barrier.wait();
    cts.get(Send::exact(client, b"abc".as_slice()));
    cts.until("the chain", || chain.is_done());
    thread.join().unwrap();
    assert_eq!((near.value(), far.value()), (1, 1));
}

fn the_causes_of_a_lowered_signal_are_kept(cts: &mut Cts) {
    let causes = Frontier::single(Axis::queue(0, 0, 1, 2), 42).unwrap();
    let (client, server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let _export = semaphore.export_pollable(1).unwrap();
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 1));
    let receive = Op::new(Receive::exact(server, vec![0; 3]), ());
    let signal = SemaphoreSignal::new(semaphore, 1).with_frontier(causes.clone());
    cts.submit(Chain::new((receive, Op::new(signal, ())))).unwrap();
    cts.get(Send::exact(client, b"abc".as_slice()));
    cts.until("the wait", || wait.is_done());
    assert_eq!(wait.only().result.unwrap().causes.requirement(), Some(&causes));
    assert_eq!(cts.statistics().signals_lowered, u64::from(cts.lowers_chains()));
}

fn a_chain_is_reused_for_the_next_value(cts: &mut Cts) {
    /// Gives its storage back.
    struct Back(std::sync::mpsc::Sender<Box<Op<SemaphoreSignal, Back>>>);
    impl Complete<SemaphoreSignal> for Back {
        fn done(op: Box<Op<SemaphoreSignal, Self>>, outcome: Outcome<SemaphoreSignal>, _: &mut Context<'_>) {
            outcome.result.unwrap();
            let sender = op.state.0.clone();
            sender.send(op).unwrap();
        }
    }
    let (client, server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let (sender, storage) = std::sync::mpsc::channel();
    let mut signal = Op::new(SemaphoreSignal::new(semaphore.clone(), 1), Back(sender));
    for value in 1..=20 {
        signal.kind.set_value(0, value);
        let export = semaphore.export_pollable(value).unwrap();
        let receive = Op::new(Receive::exact(server.clone(), vec![0; 3]), ());
        cts.submit(Chain::new((receive, signal))).unwrap();
        cts.get(Send::exact(client.clone(), b"abc".as_slice()));
        cts.drain();
        assert_eq!((semaphore.value(), count_of(&export)), (value, 1));
        signal = storage.recv().unwrap();
    }
    assert_eq!(cts.statistics().signals_lowered, if cts.lowers_chains() { 20 } else { 0 });
}

fn a_sequence_with_a_signal_behaves_as_a_chain(cts: &mut Cts) {
    for how in EVERY_WAY {
        let (client, server) = cts.pair();
        let semaphore = Semaphore::new(0);
        let export = semaphore.export_pollable(1).unwrap();
        let sequence = Sequence::new()
            .step(Receive::exact(server, vec![0; 3]))
            .step(SemaphoreSignal::new(semaphore.clone(), 1))
            .step(Nop)
            .lowering(how);
        let watch = cts.start(sequence);
        cts.look();
        assert_eq!((semaphore.value(), is_readable(&export)), (0, false));
        cts.get(Send::exact(client, b"abc".as_slice()));
        cts.until("the sequence", || watch.is_done());
        let told = watch.only();
        told.result.unwrap();
        assert!(told.kind.result::<SemaphoreSignal>(1).unwrap().is_ok());
        assert_eq!((semaphore.value(), count_of(&export)), (1, 1));
    }
}

fn a_shutdown_signals_nothing(cts: &mut Cts) {
    let (_client, server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let export = semaphore.export_pollable(1).unwrap();
    let chain = pair(cts, &server, 3, &semaphore, 1, Lowering::Always);
    cts.look();
    assert_eq!(cts.take().shutdown(patience()), 0);
    assert_eq!(chain.codes(), (Code::Cancelled, Code::Cancelled));
    assert_eq!((semaphore.value(), is_readable(&export), semaphore.status().is_none()), (0, false, true));
}

/// The bytes, a signal of the same value by another thread, and a failure: whatever comes first, the step and the
/// semaphore agree, and a descriptor is readable wherever its value was reached.
fn data_signal_and_failure_race_for_600_rounds(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (jobs, inbox) = std::sync::mpsc::channel::<(Semaphore, u32)>();
    let (did, done) = std::sync::mpsc::channel();
    let rival = std::thread::spawn(move || {
        for (semaphore, round) in inbox {
            for _ in 0..round % 13 * 30 {
                std::hint::spin_loop();
            }
            match round % 3 {
                0 => drop(semaphore.signal_if_later(1, None)),
                1 => drop(semaphore.fail(Status::new(Code::DataLoss, Operation::None))),
                _ => {}
            }
            did.send(()).unwrap();
        }
    });
    for round in 0..600 {
        let semaphore = Semaphore::new(0);
        let export = semaphore.export_pollable(1).unwrap();
        let chain =
            pair(cts, &server, 3, &semaphore, 1, if round % 2 == 0 { Lowering::Always } else { Lowering::Never });
        let send = cts.start(Send::exact(client.clone(), b"abc".as_slice()));
        jobs.send((semaphore.clone(), round)).unwrap();
        cts.until("the chain", || chain.is_done() && send.is_done());
        // A value is seen a moment before who signals has told of it.
        done.recv_timeout(patience()).unwrap();
        let (received, signalled) = chain.codes();
        assert_eq!(received, Code::Ok, "in round {round}");
        let expected = match signalled {
            Code::Ok => semaphore.value() == 1,
            Code::InvalidArgument => round % 3 == 0 && semaphore.value() == 1,
            Code::DataLoss => round % 3 == 1 && semaphore.value() == 0,
            _ => false,
        };
        assert!(expected, "in round {round}: {signalled}, value {}", semaphore.value());
        if semaphore.value() == 1 {
            assert!((1..=2).contains(&count_of(&export)), "in round {round}");
        }
    }
    drop(jobs);
    rival.join().unwrap();
}
