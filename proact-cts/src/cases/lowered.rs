//! Semaphore waits that the kernel itself waits for: the protocol, and the races against it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use proact::operation::{
    Chain, Lowering, Nop, Op, OperationId, Receive, SemaphoreSignal, SemaphoreWait, Send, Sequence,
};
use proact::resource::Socket;
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Timeout;

use crate::bench::{Cts, Watch};
use crate::cases;
use crate::harness::Only;

cases![
    the_kernel_takes_the_step_while_the_poll_thread_sleeps.only(Only::WaitChains),
    a_reached_value_needs_no_read_and_a_failed_one_starts_nothing,
    auto_lowers_a_bounded_number_of_waits_on_one_semaphore.only(Only::WaitChains),
    always_lowers_until_the_gates_are_used_up_and_then_still_works,
    cancelling_head_tail_or_both_before_the_signal_gives_one_callback_and_one_release_each,
    cancelling_head_tail_or_both_after_the_signal_gives_one_callback_and_one_release_each,
    cancelling_the_tail_lets_the_head_go_on_waiting,
    a_failing_semaphore_fails_the_wait_and_cancels_the_send,
    waits_on_several_semaphores_count_down_and_write_once,
    a_wait_for_any_is_ended_by_one_of_two_signals.real("other threads"),
    the_causes_come_with_a_lowered_wait,
    gates_are_reused_and_never_wake_a_later_wait,
    closing_the_socket_of_a_waiting_chain_ends_wait_free_of_the_signal,
    a_close_of_a_waiting_chains_socket_does_not_wait_for_the_signal,
    a_cancelled_send_of_a_waiting_chain_holds_up_no_later_send,
    cancelling_one_follower_after_the_other_leaves_the_wait_armed,
    signal_cancel_and_fail_race_for_2000_rounds.real("other threads"),
    lowered_sequences_with_a_wait_behave_as_portable_ones,
    many_lowered_chains_of_many_semaphores_all_run.real("other threads"),
];

/// A wait for `semaphore`'s value 1, and a send behind it.
struct Pair {
    wait: Watch<SemaphoreWait>,
    send: Watch<Send<Vec<u8>>>,
    ids: (OperationId, OperationId),
}

fn pair(cts: &mut Cts, kind: SemaphoreWait, socket: &Socket, byte: u8) -> Pair {
    let (wait_op, wait) = cts.watch(kind);
    let (send_op, send) = cts.watch(Send::exact(socket.clone(), vec![byte; 3]));
    let ids = cts.submit(Chain::new((wait_op, send_op)).lowering(Lowering::Always)).unwrap();
    Pair { wait, send, ids }
}

impl Pair {
    fn is_done(&self) -> bool {
        self.wait.is_done() && self.send.is_done()
    }

    /// How both ended, having checked that each did once, in order, and was released.
    #[track_caller]
    fn codes(self) -> (Code, Code) {
        assert!(self.wait.order() < self.send.order());
        let code = |result: Option<Status>| result.map_or(Code::Ok, |status| status.code());
        (code(self.wait.only().result.err()), code(self.send.only().result.err()))
    }
}

fn the_kernel_takes_the_step_while_the_poll_thread_sleeps(cts: &mut Cts) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let client = cts.handle().socket(proact::resource::Domain::Ipv4, &Default::default()).unwrap();
    cts.get(proact::operation::Connect::new(client.clone(), listener.local_addr().unwrap().into()));
    let (mut peer, _) = listener.accept().unwrap();
    peer.set_read_timeout(Some(crate::bench::patience())).unwrap();
    let semaphore = Semaphore::new(0);
    let before = cts.statistics();
    let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    let (send, sent) = cts.watch(Send::exact(client.clone(), b"kernel".as_slice()));
    cts.submit(Chain::new((wait, send))).unwrap();
    let arrived = Arc::new(AtomicBool::new(false));
    let told = arrived.clone();
    let thread = std::thread::spawn(move || {
        // Long enough for the poll thread to be asleep, in the usual case; the result does not depend on it.
        std::thread::sleep(std::time::Duration::from_millis(20));
        semaphore.signal(1, None).unwrap();
        let mut bytes = [0; 6];
        std::io::Read::read_exact(&mut peer, &mut bytes).unwrap();
        assert_eq!(&bytes, b"kernel");
        told.store(true, Ordering::Release);
        peer
    });
    cts.until("the wait and the send", || waited.is_done() && sent.is_done());
    let mut peer = thread.join().unwrap();
    assert!(arrived.load(Ordering::Acquire));
    let after = cts.statistics();
    assert_eq!(after.chains_lowered, before.chains_lowered + 1);
    assert_eq!(after.waits_lowered, before.waits_lowered + 1);
    assert_eq!(after.steps_by_kernel, before.steps_by_kernel + 1);
    assert_eq!(after.steps_by_poll, before.steps_by_poll);
    assert_eq!(after.wakes, before.wakes, "the signal woke the kernel's read, not the poll thread");
    assert!(waited.only().lowered && sent.only().lowered);

    // And no pass is needed for it: the poll that tells of the wait is the last, and the bytes are there.
    let semaphore = Semaphore::new(0);
    let chain = pair(cts, SemaphoreWait::new(semaphore.clone(), 1), &client, 9);
    cts.look();
    let signaller = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(20));
        semaphore.signal(1, None).unwrap();
    });
    cts.until("the wait", || chain.wait.is_done());
    let mut bytes = [0; 3];
    std::io::Read::read_exact(&mut peer, &mut bytes).unwrap();
    assert_eq!(bytes, [9; 3]);
    signaller.join().unwrap();
    cts.until("the pair", || chain.is_done());
    assert_eq!(chain.codes(), (Code::Ok, Code::Ok));
}

fn a_reached_value_needs_no_read_and_a_failed_one_starts_nothing(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let reached = pair(cts, SemaphoreWait::new(Semaphore::new(1), 1), &client, 1);
    cts.until("the reached pair", || reached.is_done());
    assert_eq!(reached.codes(), (Code::Ok, Code::Ok));
    assert_eq!(cts.one(Receive::exact(server.clone(), vec![0; 3])).kind.buffer, [1; 3]);
    let failed = Semaphore::new(0);
    failed.fail(Status::new(Code::DataLoss, Operation::None));
    let failed = pair(cts, SemaphoreWait::new(failed, 1), &client, 2);
    cts.until("the failed pair", || failed.is_done());
    assert_eq!(failed.codes(), (Code::DataLoss, Code::Cancelled));
    cts.get(Send::exact(client, vec![3; 3]));
    assert_eq!(cts.one(Receive::exact(server, vec![0; 3])).kind.buffer, [3; 3]);
    assert_eq!(cts.statistics().waits_lowered, 0);
}

fn auto_lowers_a_bounded_number_of_waits_on_one_semaphore(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let mut watches = Vec::new();
    for _ in 0..40 {
        let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
        let (nop, done) = cts.watch(Nop);
        cts.submit(Chain::new((wait, nop))).unwrap();
        watches.push((waited, done));
    }
    let lowered = cts.statistics().waits_lowered;
    assert!((1..40).contains(&lowered), "{lowered} of 40 lowered");
    semaphore.signal(1, None).unwrap();
    cts.drain();
    let by_kernel = watches.into_iter().map(|(waited, done)| {
        let (waited, done) = (waited.only(), done.only());
        waited.result.unwrap();
        done.result.unwrap();
        assert_eq!(waited.lowered, done.lowered);
        waited.lowered
    });
    assert_eq!(by_kernel.filter(|lowered| *lowered).count() as u64, lowered);
    // The count goes down again with the waits: later ones are lowered as the first were.
    let semaphore2 = semaphore;
    let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore2.clone(), 2));
    cts.submit(Chain::new((wait, Op::new(Nop, ())))).unwrap();
    semaphore2.signal(2, None).unwrap();
    cts.drain();
    assert!(waited.only().lowered);
}

fn always_lowers_until_the_gates_are_used_up_and_then_still_works(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let mut pairs = Vec::new();
    for _ in 0..200 {
        let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
        let (nop, done) = cts.watch(Nop);
        cts.submit(Chain::new((wait, nop)).lowering(Lowering::Always)).unwrap();
        pairs.push((waited, done));
    }
    let statistics = cts.statistics();
    assert_eq!(statistics.waits_lowered > 0, cts.lowers_waits());
    assert_eq!(statistics.chains_lowered + statistics.chains_portable, 200);
    semaphore.signal(1, None).unwrap();
    cts.drain();
    for (waited, done) in pairs {
        assert!(waited.order() < done.order());
        waited.only().result.unwrap();
        done.only().result.unwrap();
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Victim {
    Head,
    Tail,
    Both,
}

const VICTIMS: [Victim; 3] = [Victim::Head, Victim::Tail, Victim::Both];

fn cancel(cts: &mut Cts, pair: &Pair, victim: Victim) {
    // After a signal the callback may have run: then there is nothing to cancel, and the answer says so.
    if victim != Victim::Head {
        let _ = cts.cancel(pair.ids.1);
    }
    if victim != Victim::Tail {
        let _ = cts.cancel(pair.ids.0);
    }
}

fn cancelling_head_tail_or_both_before_the_signal_gives_one_callback_and_one_release_each(cts: &mut Cts) {
    let (client, server) = cts.pair();
    for round in 0..10 {
        for victim in VICTIMS {
            let semaphore = Semaphore::new(0);
            let chain = pair(cts, SemaphoreWait::new(semaphore.clone(), 1), &client, 1);
            if round % 2 == 0 {
                cts.look();
            }
            cancel(cts, &chain, victim);
            if round % 3 == 0 {
                cts.look();
            }
            semaphore.signal(1, None).unwrap();
            cts.until("the pair", || chain.is_done());
            let expected = if victim == Victim::Tail { Code::Ok } else { Code::Cancelled };
            // A head that was asked to end may still be reached before that is carried out.
            let (wait, send) = chain.codes();
            assert_eq!(send, Code::Cancelled, "{victim:?}");
            assert!(wait == expected || wait == Code::Ok, "{victim:?}: {wait}");
            assert_eq!(cts.pending(), 0);
        }
    }
    drop(client);
    assert_eq!(cts.get(Receive::some(server, vec![0; 1])), 0, "a cancelled send has sent something");
}

fn cancelling_head_tail_or_both_after_the_signal_gives_one_callback_and_one_release_each(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let mut sent = 0;
    for round in 0..30 {
        for victim in VICTIMS {
            let semaphore = Semaphore::new(0);
            let chain = pair(cts, SemaphoreWait::new(semaphore.clone(), 1), &client, 1);
            if round % 2 == 0 {
                cts.look();
            }
            semaphore.signal(1, None).unwrap();
            cancel(cts, &chain, victim);
            cts.until("the pair", || chain.is_done());
            let (wait, send) = chain.codes();
            // Signalled and cancelled: the race is open, but a send never goes after a wait that did not end well, and
            // a wait that nobody cancelled ends well.
            assert!(victim != Victim::Tail || wait == Code::Ok, "{victim:?}: {wait} {send}");
            assert!(matches!(wait, Code::Ok | Code::Cancelled) && matches!(send, Code::Ok | Code::Cancelled));
            assert!(wait == Code::Ok || send == Code::Cancelled, "{victim:?}: sent after a cancelled wait");
            sent += usize::from(send == Code::Ok) * 3;
            assert_eq!(cts.pending(), 0);
        }
    }
    drop(client);
    // What was told is what went: no bytes of sends that were called cancelled.
    let mut got = 0;
    loop {
        match cts.get(Receive::some(server.clone(), vec![0; 4096])) {
            0 => break,
            more => got += more,
        }
    }
    assert_eq!(got, sent);
}

fn cancelling_the_tail_lets_the_head_go_on_waiting(cts: &mut Cts) {
    let (client, _server) = cts.pair();
    for _ in 0..10 {
        let semaphore = Semaphore::new(0);
        let chain = pair(cts, SemaphoreWait::new(semaphore.clone(), 1), &client, 1);
        cts.look();
        cts.cancel(chain.ids.1).unwrap();
        for _ in 0..20 {
            cts.look();
        }
        assert_eq!((chain.wait.calls(), chain.send.calls()), (0, 0), "the wait goes on");
        assert_eq!(cts.pending(), 2);
        semaphore.signal(1, None).unwrap();
        cts.until("the pair", || chain.is_done());
        assert_eq!(chain.codes(), (Code::Ok, Code::Cancelled));
    }
}

fn a_failing_semaphore_fails_the_wait_and_cancels_the_send(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let failure = Status::new(Code::DataLoss, Operation::FileRead).with_message("the digest differs");
    for from_thread in [false, true] {
        let semaphore = Semaphore::new(0);
        let chain = pair(cts, SemaphoreWait::new(semaphore.clone(), 1), &client, 1);
        cts.look();
        let told = failure.clone();
        if from_thread {
            cts.elsewhere(move || semaphore.fail(told));
        } else {
            semaphore.fail(told);
        }
        cts.until("the pair", || chain.is_done());
        let status = chain.wait.only().status();
        assert_eq!((status.to_string(), status.location()), (failure.to_string(), failure.location()));
        assert_eq!(chain.send.only().status().code(), Code::Cancelled);
    }
    drop(client);
    assert_eq!(cts.get(Receive::some(server, vec![0; 1])), 0);
}

fn waits_on_several_semaphores_count_down_and_write_once(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let semaphores: Vec<_> = (0..5).map(|_| Semaphore::new(0)).collect();
    let targets = semaphores.iter().map(|semaphore| (semaphore.clone(), 1)).collect();
    let chain = pair(cts, SemaphoreWait::all(targets), &client, 5);
    cts.look();
    for semaphore in &semaphores[..4] {
        semaphore.signal(1, None).unwrap();
        cts.look();
        assert_eq!((chain.wait.calls(), chain.send.calls()), (0, 0));
    }
    semaphores[4].signal(1, None).unwrap();
    cts.until("the pair", || chain.is_done());
    assert_eq!(cts.statistics().waits_lowered, u64::from(cts.lowers_waits()));
    assert_eq!(chain.codes(), (Code::Ok, Code::Ok));
    assert_eq!(cts.one(Receive::exact(server, vec![0; 3])).kind.buffer, [5; 3]);
}

fn a_wait_for_any_is_ended_by_one_of_two_signals(cts: &mut Cts) {
    let (client, server) = cts.pair();
    for round in 0..50 {
        let semaphores = [Semaphore::new(0), Semaphore::new(0)];
        let targets = semaphores.iter().map(|semaphore| (semaphore.clone(), 1)).collect();
        let chain = pair(cts, SemaphoreWait::any(targets), &client, 5);
        let barrier = Arc::new(Barrier::new(2));
        let (theirs, other) = (barrier.clone(), semaphores[1].clone());
        let thread = std::thread::spawn(move || {
            theirs.wait();
            other.signal(1, None).unwrap();
        });
        barrier.wait();
        if round % 2 == 0 {
            semaphores[0].signal(1, None).unwrap();
        }
        cts.until("the pair", || chain.is_done());
        thread.join().unwrap();
        let index = chain.wait.only().result.unwrap().index;
        assert!(index == 1 || round % 2 == 0);
        chain.send.only().result.unwrap();
        cts.get(Receive::exact(server.clone(), vec![0; 3]));
    }
}

fn the_causes_come_with_a_lowered_wait(cts: &mut Cts) {
    use proact::causal::{Axis, Frontier};
    let causes = Frontier::single(Axis::queue(0, 0, 1, 2), 42).unwrap();
    let semaphore = Semaphore::new(0);
    let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    cts.submit(Chain::new((wait, Op::new(Nop, ()))).lowering(Lowering::Always)).unwrap();
    cts.look();
    semaphore.signal(1, Some(&causes)).unwrap();
    cts.drain();
    assert_eq!(waited.only().result.unwrap().causes.requirement(), Some(&causes));
}

fn gates_are_reused_and_never_wake_a_later_wait(cts: &mut Cts) {
    let mut signalled_late = 0;
    for round in 0..300u32 {
        let (first, second) = (Semaphore::new(0), Semaphore::new(0));
        let (wait, waited) = cts.watch(SemaphoreWait::new(first.clone(), 1));
        let (nop, done) = cts.watch(Nop);
        let ids = cts.submit(Chain::new((wait, nop)).lowering(Lowering::Always)).unwrap();
        // A signal and then a cancel leaves a gate's counter at 1, if it was cancelled before it was read.
        if round % 3 != 0 {
            first.signal(1, None).unwrap();
            signalled_late += 1;
        }
        if round % 3 != 1 {
            let _ = cts.cancel(ids.0);
        }
        cts.until("the first chain", || waited.is_done() && done.is_done());
        // Whoever gets that gate next must wait for its own signal.
        let (wait, later) = cts.watch(SemaphoreWait::new(second.clone(), 1));
        cts.submit(Chain::new((wait, Op::new(Nop, ()))).lowering(Lowering::Always)).unwrap();
        cts.look();
        assert_eq!(later.calls(), 0, "woken by an old signal in round {round}");
        second.signal(1, None).unwrap();
        cts.until("the second chain", || later.is_done());
        later.only().result.unwrap();
        cts.drain();
    }
    assert_eq!(signalled_late, 200);
    if cts.lowers_waits() {
        let statistics = cts.statistics();
        assert!(statistics.pool_hits > statistics.pool_misses, "{statistics:?}");
    }
}

fn closing_the_socket_of_a_waiting_chain_ends_wait_free_of_the_signal(cts: &mut Cts) {
    let (client, _server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let chain = pair(cts, SemaphoreWait::new(semaphore.clone(), 1), &client, 1);
    cts.look();
    let close = cts.start(proact::operation::Close::new(client));
    cts.look();
    semaphore.signal(1, None).unwrap();
    cts.drain();
    assert_eq!(close.code(), Some(Code::Ok));
    // Portable: the send finds the socket being closed when its turn comes. Lowered: the close has called it back.
    let (wait, send) = chain.codes();
    assert_eq!(wait, Code::Ok);
    assert!(matches!(send, Code::Cancelled | Code::FailedPrecondition), "{send}");
}

fn a_close_of_a_waiting_chains_socket_does_not_wait_for_the_signal(cts: &mut Cts) {
    let (client, _server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let chain = pair(cts, SemaphoreWait::new(semaphore.clone(), 1), &client, 1);
    cts.look();
    let close = cts.start(proact::operation::Close::new(client));
    cts.until("the close", || close.is_done());
    assert_eq!(close.code(), Some(Code::Ok));
    assert!(!chain.wait.is_done() && !chain.send.is_done(), "nobody asked the wait to end");
    semaphore.signal(1, None).unwrap();
    cts.until("the pair", || chain.is_done());
    assert_eq!(chain.codes().0, Code::Ok);
}

fn a_cancelled_send_of_a_waiting_chain_holds_up_no_later_send(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let chain = pair(cts, SemaphoreWait::new(semaphore.clone(), 1), &client, 1);
    let later = cts.start(Send::exact(client, vec![2; 3]));
    cts.look();
    assert!(!later.is_done(), "bytes go in the order of submission");
    cts.cancel(chain.ids.1).unwrap();
    cts.until("the later send", || later.is_done());
    later.only().result.unwrap();
    assert_eq!(cts.one(Receive::exact(server, vec![0; 3])).kind.buffer, [2; 3]);
    assert!(!chain.wait.is_done() && !chain.send.is_done(), "callbacks of a chain come in order");
    semaphore.signal(1, None).unwrap();
    cts.until("the pair", || chain.is_done());
    assert_eq!(chain.codes(), (Code::Ok, Code::Cancelled));
}

fn cancelling_one_follower_after_the_other_leaves_the_wait_armed(cts: &mut Cts) {
    for first in [1, 2] {
        let semaphore = Semaphore::new(0);
        let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
        let (one, middle) = cts.watch(Nop);
        let (two, last) = cts.watch(Nop);
        let ids = cts.submit(Chain::new((wait, one, two)).lowering(Lowering::Always)).unwrap();
        let ids = [ids.0, ids.1, ids.2];
        for victim in [first, 3 - first] {
            // The wait is called back by the first, and waits on from the poll thread when the second comes.
            cts.look();
            cts.cancel(ids[victim]).unwrap();
        }
        cts.look();
        assert!(!waited.is_done(), "nobody asked the wait to end");
        semaphore.signal(1, None).unwrap();
        cts.until("the wait", || waited.is_done());
        waited.only().result.unwrap();
        cts.drain();
        assert_eq!(middle.only().status().code(), Code::Cancelled);
        assert_eq!(last.only().status().code(), Code::Cancelled);
    }
}

fn signal_cancel_and_fail_race_for_2000_rounds(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let mut sent = 0usize;
    let (requests, inbox) = std::sync::mpsc::channel::<(Semaphore, u32)>();
    let handle = cts.handle().clone();
    let (ids, victims) = std::sync::mpsc::channel::<(OperationId, u32)>();
    let signaller = std::thread::spawn(move || {
        for (semaphore, round) in inbox {
            for _ in 0..round % 7 * 20 {
                std::hint::spin_loop();
            }
            if round % 5 == 4 {
                semaphore.fail(Status::new(Code::DataLoss, Operation::None));
            } else {
                semaphore.signal(1, None).unwrap();
            }
        }
    });
    let canceller = std::thread::spawn(move || {
        for (id, round) in victims {
            for _ in 0..round % 11 * 20 {
                std::hint::spin_loop();
            }
            // `NotFound` when the race is over already.
            let _ = handle.cancel(id);
        }
    });
    for round in 0..2000u32 {
        let semaphore = Semaphore::new(0);
        let chain = pair(cts, SemaphoreWait::new(semaphore.clone(), 1), &client, 1);
        requests.send((semaphore, round)).unwrap();
        match round % 4 {
            0 => ids.send((chain.ids.0, round)).unwrap(),
            1 => ids.send((chain.ids.1, round)).unwrap(),
            2 => {
                ids.send((chain.ids.1, round)).unwrap();
                ids.send((chain.ids.0, round)).unwrap();
            }
            _ => {}
        }
        cts.until("the pair", || chain.is_done());
        let (wait, send) = chain.codes();
        let fails = round % 5 == 4;
        let asked = round % 4;
        let wait_may = match wait {
            Code::Ok => !fails,
            Code::DataLoss => fails,
            Code::Cancelled => asked == 0 || asked == 2,
            _ => false,
        };
        let send_may = match send {
            Code::Ok => wait == Code::Ok,
            Code::Cancelled => wait != Code::Ok || asked == 1 || asked == 2,
            _ => false,
        };
        assert!(wait_may && send_may, "round {round}: {wait}, {send}");
        sent += usize::from(send == Code::Ok) * 3;
        assert_eq!(cts.pending(), 0, "round {round}");
    }
    drop((requests, ids));
    signaller.join().unwrap();
    canceller.join().unwrap();
    drop(client);
    let mut got = 0;
    loop {
        match cts.get(Receive::some(server.clone(), vec![0; 8192])) {
            0 => break,
            more => got += more,
        }
    }
    assert_eq!(got, sent, "bytes on the wire and bytes told of");
}

fn lowered_sequences_with_a_wait_behave_as_portable_ones(cts: &mut Cts) {
    let (client, server) = cts.pair();
    for lowering in [Lowering::Never, Lowering::Auto, Lowering::Always] {
        let (gate, done) = (Semaphore::new(0), Semaphore::new(0));
        let sequence = Sequence::new()
            .step(SemaphoreWait::new(gate.clone(), 1))
            .step(Send::exact(client.clone(), b"step".to_vec()))
            .lowering(lowering);
        let (op, watch) = cts.watch(sequence);
        let signal = Op::new(SemaphoreSignal::new(done.clone(), 1), ());
        cts.submit(Chain::new((op, signal))).unwrap();
        cts.look();
        assert_eq!(watch.calls(), 0);
        gate.signal(1, None).unwrap();
        cts.drain();
        let told = watch.only();
        told.result.unwrap();
        assert!(told.kind.result::<SemaphoreWait>(0).unwrap().is_ok());
        assert_eq!(told.kind.result::<Send<Vec<u8>>>(1).unwrap().as_ref().unwrap(), &4);
        assert_eq!(done.value(), 1);
        assert_eq!(cts.one(Receive::exact(server.clone(), vec![0; 4])).kind.buffer, b"step");
    }
}

fn many_lowered_chains_of_many_semaphores_all_run(cts: &mut Cts) {
    let semaphores: Vec<_> = (0..100).map(|_| Semaphore::new(0)).collect();
    let mut watches = Vec::new();
    for semaphore in &semaphores {
        for value in 1..=3 {
            let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), value));
            let (nop, done) = cts.watch(Nop);
            cts.submit(Chain::new((wait, nop))).unwrap();
            watches.push((waited, done));
        }
    }
    cts.poll(Timeout::Immediate).unwrap();
    let thread = std::thread::spawn(move || {
        for value in 1..=3 {
            for semaphore in &semaphores {
                semaphore.signal(value, None).unwrap();
            }
        }
    });
    cts.drain();
    thread.join().unwrap();
    for (waited, done) in watches {
        waited.only().result.unwrap();
        done.only().result.unwrap();
    }
}
