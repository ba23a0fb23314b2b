//! Semaphores: waits and signals as operations.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use proact::causal::{Axis, Frontier};
use proact::operation::{Op, SemaphoreSignal, SemaphoreWait};
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Timeout;

use crate::bench::Cts;
use crate::cases;

cases![
    a_wait_submitted_before_the_signal_ends_with_it,
    a_wait_for_a_reached_value_ends_on_the_next_poll,
    a_signal_that_overshoots_reaches_every_value_below,
    a_signal_from_another_thread_ends_the_sleep.real("other threads"),
    waits_of_one_signal_end_by_value_then_first_in_first_out,
    a_wait_for_all_ends_with_the_last_and_one_for_any_with_the_first,
    a_wait_for_any_tells_which_and_takes_the_first_reached,
    a_wait_for_all_of_nothing_succeeds_and_for_any_is_refused,
    a_wait_on_one_semaphore_twice_counts_both_values,
    a_failure_ends_waits_with_its_own_words_and_place,
    a_failed_semaphore_has_still_reached_what_it_reached,
    a_failure_of_one_semaphore_fails_a_wait_for_any_only_when_none_was_reached,
    a_wait_on_a_failed_semaphore_fails_and_signals_are_refused,
    a_cancelled_wait_ends_cancelled_and_leaves_the_semaphore_alone,
    cancel_races_with_signal_and_the_wait_ends_once.real("other threads"),
    the_causes_of_a_value_come_with_the_wait_for_it,
    a_late_wait_on_an_old_value_learns_that_values_causes,
    a_wait_for_all_merges_the_causes_and_forgotten_ones_are_a_lower_bound,
    a_signal_operation_raises_every_value_and_carries_its_frontier,
    a_signal_operation_that_does_not_rise_fails_and_keeps_what_it_did_before,
    a_signal_operation_on_a_failed_semaphore_fails_with_its_failure,
    a_thousand_waiters_are_released_by_one_signal,
    signals_from_four_threads_release_every_wait.real("other threads"),
    one_semaphore_joins_two_proactors.real("other threads"),
    a_wait_is_reused_for_the_next_value,
];

fn a_wait_submitted_before_the_signal_ends_with_it(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 3));
    for value in [1, 2] {
        semaphore.signal(value, None).unwrap();
        cts.look();
        assert_eq!(wait.calls(), 0, "at value {value}");
    }
    semaphore.signal(3, None).unwrap();
    assert_eq!(wait.calls(), 0, "a callback inside signal");
    cts.until("the wait", || wait.is_done());
    let reached = wait.only().result.unwrap();
    assert_eq!(reached.index, 0);
    assert!(reached.causes.is_exact() && reached.causes.frontier.is_empty());
}

fn a_wait_for_a_reached_value_ends_on_the_next_poll(cts: &mut Cts) {
    let semaphore = Semaphore::new(5);
    for value in [0, 4, 5] {
        let wait = cts.start(SemaphoreWait::new(semaphore.clone(), value));
        assert_eq!(wait.calls(), 0, "a callback inside submit");
        cts.poll(Timeout::Immediate).unwrap();
        wait.only().result.unwrap();
    }
}

fn a_signal_that_overshoots_reaches_every_value_below(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let waits: Vec<_> = (1..=10).map(|value| cts.start(SemaphoreWait::new(semaphore.clone(), value))).collect();
    semaphore.signal(7, None).unwrap();
    cts.until("the wait for 7", || waits[6].is_done());
    assert_eq!(waits.iter().filter(|wait| wait.is_done()).count(), 7);
    semaphore.signal(1_000_000, None).unwrap();
    cts.drain();
}

fn a_signal_from_another_thread_ends_the_sleep(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 1));
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(5));
        semaphore.signal(1, None).unwrap();
    });
    cts.until("a signal from another thread", || wait.is_done());
    thread.join().unwrap();
    wait.only().result.unwrap();
}

/// W-08: the reference tells waiters of equal values in reverse.
fn waits_of_one_signal_end_by_value_then_first_in_first_out(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let values = [3, 1, 2, 3, 1, 2, 3];
    let waits = values.map(|value| cts.start(SemaphoreWait::new(semaphore.clone(), value)));
    semaphore.signal(3, None).unwrap();
    cts.drain();
    let orders = waits.each_ref().map(|wait| wait.order());
    let mut indices: Vec<usize> = (0..values.len()).collect();
    indices.sort_by_key(|index| orders[*index]);
    assert_eq!(indices, [1, 4, 2, 5, 0, 3, 6]);
}

fn a_wait_for_all_ends_with_the_last_and_one_for_any_with_the_first(cts: &mut Cts) {
    let semaphores: Vec<_> = (0..3).map(|_| Semaphore::new(0)).collect();
    let targets = || semaphores.iter().map(|semaphore| (semaphore.clone(), 1)).collect::<Vec<_>>();
    let all = cts.start(SemaphoreWait::all(targets()));
    let any = cts.start(SemaphoreWait::any(targets()));
    semaphores[2].signal(1, None).unwrap();
    cts.until("any", || any.is_done());
    semaphores[0].signal(1, None).unwrap();
    cts.look();
    assert_eq!(all.calls(), 0, "two of three");
    semaphores[1].signal(1, None).unwrap();
    cts.until("all", || all.is_done());
    assert_eq!(any.only().result.unwrap().index, 2);
    assert_eq!(all.only().result.unwrap().index, 0);
}

fn a_wait_for_any_tells_which_and_takes_the_first_reached(cts: &mut Cts) {
    let semaphores = [Semaphore::new(0), Semaphore::new(9), Semaphore::new(9)];
    let targets = semaphores.iter().map(|semaphore| (semaphore.clone(), 9)).collect();
    assert_eq!(cts.get(SemaphoreWait::any(targets)).index, 1);
    // The others are not waited for any more: nothing keeps their waiters.
    semaphores[0].signal(9, None).unwrap();
    cts.look();
    assert_eq!(cts.pending(), 0);
}

fn a_wait_for_all_of_nothing_succeeds_and_for_any_is_refused(cts: &mut Cts) {
    cts.get(SemaphoreWait::all(Vec::new()));
    let refused = cts.submit(Op::new(SemaphoreWait::any(Vec::new()), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
}

fn a_wait_on_one_semaphore_twice_counts_both_values(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let wait = cts.start(SemaphoreWait::all(vec![(semaphore.clone(), 2), (semaphore.clone(), 4)]));
    semaphore.signal(2, None).unwrap();
    cts.look();
    assert_eq!(wait.calls(), 0);
    semaphore.signal(4, None).unwrap();
    cts.until("both values", || wait.is_done());
}

fn lost() -> Status {
    Status::new(Code::DataLoss, Operation::FileRead).with_message("sector 7 is gone").with_context("disk 3")
}

fn a_failure_ends_waits_with_its_own_words_and_place(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let waits: Vec<_> = (1..4).map(|value| cts.start(SemaphoreWait::new(semaphore.clone(), value))).collect();
    let both = cts.start(SemaphoreWait::all(vec![(Semaphore::new(0), 1), (semaphore.clone(), 1)]));
    let failure = lost();
    assert!(semaphore.fail(failure.clone()));
    assert!(!semaphore.fail(Status::new(Code::Internal, Operation::None)), "only the first failure counts");
    cts.drain();
    for wait in waits.into_iter().chain([both]) {
        let status = wait.only().status();
        assert_eq!((status.code(), status.to_string()), (failure.code(), failure.to_string()));
        assert_eq!(status.location(), failure.location());
    }
}

fn a_failed_semaphore_has_still_reached_what_it_reached(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let (below, above) =
        (cts.start(SemaphoreWait::new(semaphore.clone(), 2)), cts.start(SemaphoreWait::new(semaphore.clone(), 3)));
    semaphore.signal(2, None).unwrap();
    semaphore.fail(lost());
    cts.drain();
    assert_eq!((below.code(), above.code()), (Some(Code::Ok), Some(Code::DataLoss)));
    cts.get(SemaphoreWait::new(semaphore.clone(), 2));
    assert_eq!(cts.fails(SemaphoreWait::new(semaphore, 3)).code(), Code::DataLoss);
}

fn a_failure_of_one_semaphore_fails_a_wait_for_any_only_when_none_was_reached(cts: &mut Cts) {
    let (failed, reached) = (Semaphore::new(0), Semaphore::new(1));
    failed.fail(lost());
    let status = cts.fails(SemaphoreWait::any(vec![(failed.clone(), 1), (Semaphore::new(0), 1)]));
    assert_eq!(status.code(), Code::DataLoss);
    assert_eq!(cts.get(SemaphoreWait::any(vec![(reached.clone(), 1), (failed.clone(), 1)])).index, 0);
    assert_eq!(cts.fails(SemaphoreWait::all(vec![(reached, 1), (failed, 1)])).code(), Code::DataLoss);
}

/// W-09: a signal of the reference moves the value of a failed semaphore.
fn a_wait_on_a_failed_semaphore_fails_and_signals_are_refused(cts: &mut Cts) {
    let semaphore = Semaphore::new(4);
    semaphore.fail(lost());
    assert_eq!(cts.fails(SemaphoreWait::new(semaphore.clone(), 5)).to_string(), lost().to_string());
    assert_eq!(semaphore.signal(5, None).unwrap_err().code(), Code::DataLoss);
    assert_eq!(semaphore.value(), 4);
}

fn a_cancelled_wait_ends_cancelled_and_leaves_the_semaphore_alone(cts: &mut Cts) {
    let semaphores = [Semaphore::new(0), Semaphore::new(0)];
    let targets = || semaphores.iter().map(|semaphore| (semaphore.clone(), 1)).collect::<Vec<_>>();
    for kind in [SemaphoreWait::all(targets()), SemaphoreWait::any(targets())] {
        let (op, wait) = cts.watch(kind);
        let id = cts.submit(op).unwrap();
        cts.cancel(id).unwrap();
        cts.cancel(id).unwrap();
        cts.until("the cancelled wait", || wait.is_done());
        assert_eq!(wait.only().status().code(), Code::Cancelled);
    }
    let other = cts.start(SemaphoreWait::all(targets()));
    semaphores.iter().for_each(|semaphore| semaphore.signal(1, None).unwrap());
    cts.until("another wait", || other.is_done());
    other.only().result.unwrap();
    assert_eq!(cts.pending(), 0);
}

/// W-32, W-33: whoever loses the race finds nobody, and touches nothing.
fn cancel_races_with_signal_and_the_wait_ends_once(cts: &mut Cts) {
    let (mut ended, mut cancelled) = (0, 0);
    for round in 0..500 {
        let semaphore = Semaphore::new(0);
        let (op, wait) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
        let id = cts.submit(op).unwrap();
        let barrier = Arc::new(Barrier::new(2));
        let theirs = barrier.clone();
        let thread = std::thread::spawn(move || {
            theirs.wait();
            semaphore.signal(1, None).unwrap();
        });
        barrier.wait();
        if round % 3 == 0 {
            std::thread::yield_now();
        }
        cts.cancel(id).unwrap();
        cts.until("one end", || wait.is_done());
        thread.join().unwrap();
        cts.look();
        match wait.only().result {
            Ok(_) => ended += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::Cancelled);
                cancelled += 1;
            }
        }
        assert_eq!(cts.pending(), 0);
    }
    assert_eq!(ended + cancelled, 500);
}

fn cause(ordinal: u8, epoch: u64) -> Frontier {
    Frontier::single(Axis::queue(0, 0, 0, ordinal), epoch).unwrap()
}

fn the_causes_of_a_value_come_with_the_wait_for_it(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 1));
    semaphore.signal(1, Some(&cause(0, 7))).unwrap();
    semaphore.signal(2, Some(&cause(1, 3))).unwrap();
    cts.until("the wait", || wait.is_done());
    let reached = wait.only().result.unwrap();
    assert_eq!(reached.causes.requirement(), Some(&cause(0, 7)), "what came later is no cause");
}

fn a_late_wait_on_an_old_value_learns_that_values_causes(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    semaphore.signal(2, Some(&cause(0, 2))).unwrap();
    semaphore.signal(5, Some(&cause(0, 5))).unwrap();
    for (value, expected) in [(1, 2), (2, 2), (3, 5), (5, 5)] {
        let reached = cts.get(SemaphoreWait::new(semaphore.clone(), value));
        assert_eq!(reached.causes.requirement(), Some(&cause(0, expected)), "value {value}");
    }
}

fn a_wait_for_all_merges_the_causes_and_forgotten_ones_are_a_lower_bound(cts: &mut Cts) {
    let (one, two) = (Semaphore::new(0), Semaphore::with_history(0, 1));
    one.signal(1, Some(&cause(0, 4))).unwrap();
    two.signal(1, Some(&cause(1, 6))).unwrap();
    let both = SemaphoreWait::all(vec![(one.clone(), 1), (two.clone(), 1)]);
    let reached = cts.get(both);
    let mut merged = cause(0, 4);
    merged.merge(&cause(1, 6)).unwrap();
    assert_eq!(reached.causes.requirement(), Some(&merged));
    let any = cts.get(SemaphoreWait::any(vec![(two.clone(), 1), (one, 1)]));
    assert_eq!(any.causes.requirement(), Some(&cause(1, 6)), "the causes of the one that ended it");
    two.signal(2, Some(&cause(1, 9))).unwrap();
    let forgotten = cts.get(SemaphoreWait::new(two, 1)).causes;
    assert!(!forgotten.is_exact() && forgotten.requirement().is_none());
}

fn a_signal_operation_raises_every_value_and_carries_its_frontier(cts: &mut Cts) {
    let (one, two) = (Semaphore::new(0), Semaphore::new(0));
    let wait = cts.start(SemaphoreWait::all(vec![(one.clone(), 4), (two.clone(), 9)]));
    cts.get(SemaphoreSignal::many(vec![(one.clone(), 4), (two.clone(), 9)]).with_frontier(cause(2, 8)));
    assert_eq!((one.value(), two.value()), (4, 9));
    cts.until("the wait", || wait.is_done());
    assert_eq!(wait.only().result.unwrap().causes.requirement(), Some(&cause(2, 8)));
}

fn a_signal_operation_that_does_not_rise_fails_and_keeps_what_it_did_before(cts: &mut Cts) {
    let (one, two, three) = (Semaphore::new(0), Semaphore::new(5), Semaphore::new(0));
    let signals = vec![(one.clone(), 1), (two.clone(), 5), (three.clone(), 1)];
    let status = cts.fails(SemaphoreSignal::many(signals));
    assert_eq!((status.code(), status.operation()), (Code::InvalidArgument, Operation::SemaphoreSignal));
    assert_eq!((one.value(), two.value(), three.value()), (1, 5, 0));
    assert_eq!(cts.fails(SemaphoreSignal::new(one, 0)).code(), Code::InvalidArgument);
    assert_eq!(cts.fails(SemaphoreSignal::new(two, u64::MAX)).code(), Code::InvalidArgument);
}

fn a_signal_operation_on_a_failed_semaphore_fails_with_its_failure(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    semaphore.fail(lost());
    let status = cts.fails(SemaphoreSignal::new(semaphore, 1));
    assert_eq!(status.to_string(), lost().to_string());
}

fn a_thousand_waiters_are_released_by_one_signal(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let (ops, waits): (Vec<_>, Vec<_>) = (0..1000).map(|_| cts.watch(SemaphoreWait::new(semaphore.clone(), 1))).unzip();
    cts.submit(ops).unwrap();
    semaphore.signal(1, None).unwrap();
    cts.drain();
    assert!(waits.iter().map(|wait| wait.order()).is_sorted());
    assert!(waits.into_iter().all(|wait| wait.only().result.is_ok()));
}

fn signals_from_four_threads_release_every_wait(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let waits: Vec<_> = (1..=1000).map(|value| cts.start(SemaphoreWait::new(semaphore.clone(), value))).collect();
    let next = Arc::new(std::sync::atomic::AtomicU64::new(1));
    let signaller = || {
        let (semaphore, next) = (semaphore.clone(), next.clone());
        std::thread::spawn(move || {
            loop {
                let value = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if value > 1000 {
                    return;
                }
                // Another thread may have been faster with a later value.
                semaphore.signal_if_later(value, None).unwrap();
            }
        })
    };
    let threads: Vec<_> = (0..4).map(|_| signaller()).collect();
    cts.drain();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(semaphore.value(), 1000);
    assert!(waits.into_iter().all(|wait| wait.only().result.is_ok()));
}

fn one_semaphore_joins_two_proactors(cts: &mut Cts) {
    let thread = proact::proactor::ProactorThread::spawn(cts.config.builder()).unwrap();
    let (here, there) = (Semaphore::new(0), Semaphore::new(0));
    for value in 1..=100 {
        let wait = cts.start(SemaphoreWait::new(there.clone(), value));
        let chain = proact::operation::Chain::new((
            Op::new(SemaphoreWait::new(here.clone(), value), ()),
            Op::new(SemaphoreSignal::new(there.clone(), value), ()),
        ));
        thread.handle().submit(chain).unwrap();
        cts.get(SemaphoreSignal::new(here.clone(), value));
        cts.until("the other proactor's answer", || wait.is_done());
        wait.only().result.unwrap();
    }
    thread.join().unwrap();
}

fn a_wait_is_reused_for_the_next_value(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let mut kind = SemaphoreWait::new(semaphore.clone(), 1);
    let mut signal = SemaphoreSignal::new(semaphore, 1);
    for value in 1..=50 {
        kind.set_value(0, value);
        signal.set_value(0, value);
        let wait = cts.start(kind);
        let told = cts.one(signal);
        told.result.unwrap();
        signal = told.kind;
        cts.until("the next value", || wait.is_done());
        let told = wait.only();
        told.result.unwrap();
        kind = told.kind;
    }
}
