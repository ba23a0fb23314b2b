//! Notifications in chains and sequences.

use proact::operation::{Chain, Lowering, Nop, NotificationSignal, NotificationWait, Op, SemaphoreWait, Sequence};
use proact::status::Code;
use proact::sync::{Epoch, Notification, Semaphore};

use crate::bench::Cts;
use crate::cases;

cases![
    a_signal_operation_in_a_chain_keeps_its_place,
    a_signal_operation_that_is_never_reached_signals_nobody,
    a_refused_batch_has_signalled_nobody,
    a_step_behind_a_wait_runs_after_the_signal,
    a_wait_in_a_chain_counts_from_the_submit,
    a_step_of_a_sequence_waits_and_one_signals,
];

/// The reference advances the epoch when the entry is filled, before what stands before it has run (W-34).
fn a_signal_operation_in_a_chain_keeps_its_place(cts: &mut Cts) {
    for lowering in [Lowering::Never, Lowering::Auto, Lowering::Always] {
        let (notification, gate) = (Notification::new(), Semaphore::new(0));
        let (first, waited) = cts.watch(SemaphoreWait::new(gate.clone(), 1));
        let (second, signalled) = cts.watch(NotificationSignal::new(notification.clone(), 1));
        let (last, ended) = cts.watch(Nop);
        cts.submit(Chain::new((first, second, last)).lowering(lowering)).unwrap();
        cts.look();
        assert_eq!(notification.epoch(), Epoch::new(0), "signalled before its turn");
        let wait = cts.start(NotificationWait::new(notification.clone()));
        gate.signal(1, None).unwrap();
        cts.until("the chain and the wait", || ended.is_done() && wait.is_done());
        assert!(waited.order() < signalled.order() && signalled.order() < ended.order());
        assert_eq!(notification.epoch(), Epoch::new(1));
        signalled.only().result.unwrap();
    }
}

fn a_signal_operation_that_is_never_reached_signals_nobody(cts: &mut Cts) {
    let (notification, gate) = (Notification::new(), Semaphore::new(0));
    let (first, _waited) = cts.watch(SemaphoreWait::new(gate, 1));
    let (second, signalled) = cts.watch(NotificationSignal::broadcast(notification.clone()));
    let ids = cts.submit(Chain::new((first, second))).unwrap();
    cts.cancel(ids.0).unwrap();
    cts.until("the chain", || signalled.is_done());
    assert_eq!(signalled.only().status().code(), Code::Cancelled);
    assert_eq!(notification.epoch(), Epoch::new(0));
}

/// A signal of the reference stays when its batch is rolled back (W-34).
fn a_refused_batch_has_signalled_nobody(cts: &mut Cts) {
    let notification = Notification::new();
    let signal = Op::new(NotificationSignal::broadcast(notification.clone()), ());
    let wrong = Op::new(SemaphoreWait::any(Vec::new()), ());
    let refused = cts.submit((signal, wrong)).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
    cts.look();
    assert_eq!(notification.epoch(), Epoch::new(0));
}

fn a_step_behind_a_wait_runs_after_the_signal(cts: &mut Cts) {
    for lowering in [Lowering::Never, Lowering::Auto, Lowering::Always] {
        let notification = Notification::new();
        let (first, waited) = cts.watch(NotificationWait::new(notification.clone()));
        let (second, ended) = cts.watch(Nop);
        cts.submit(Chain::new((first, second)).lowering(lowering)).unwrap();
        cts.look();
        assert_eq!(waited.calls() + ended.calls(), 0);
        notification.signal(1);
        cts.until("the chain", || ended.is_done());
        assert!(waited.order() < ended.order());
        waited.only().result.unwrap();
    }
}

fn a_wait_in_a_chain_counts_from_the_submit(cts: &mut Cts) {
    let (notification, gate) = (Notification::new(), Semaphore::new(0));
    let chain = |cts: &mut Cts, since| {
        let (first, _) = cts.watch(SemaphoreWait::new(gate.clone(), gate.value() + 1));
        let kind = match since {
            None => NotificationWait::new(notification.clone()),
            Some(epoch) => NotificationWait::since(notification.clone(), epoch),
        };
        let (second, wait) = cts.watch(kind);
        cts.submit(Chain::new((first, second))).unwrap();
        wait
    };
    // Signalled after the submit and before its turn: nothing is waited for.
    let wait = chain(cts, None);
    notification.signal(1);
    gate.signal(1, None).unwrap();
    cts.until("the wait", || wait.is_done());
    // Not signalled since: it waits.
    let wait = chain(cts, None);
    gate.signal(2, None).unwrap();
    cts.look();
    assert_eq!(wait.calls(), 0);
    notification.signal(1);
    cts.until("the second wait", || wait.is_done());
    // A token of the caller's counts from there.
    let next = Epoch::new(notification.epoch().number() + 1);
    let wait = chain(cts, Some(next));
    notification.signal(1);
    gate.signal(3, None).unwrap();
    cts.look();
    assert_eq!(wait.calls(), 0, "the epoch is the token");
    notification.signal(1);
    cts.until("the third wait", || wait.is_done());
}

fn a_step_of_a_sequence_waits_and_one_signals(cts: &mut Cts) {
    let (here, there) = (Notification::new(), Notification::new());
    let ours =
        Sequence::new().step(NotificationWait::new(here.clone())).step(NotificationSignal::broadcast(there.clone()));
    let theirs = Sequence::new().step(NotificationSignal::broadcast(here)).step(NotificationWait::new(there));
    let ours = cts.start(ours);
    cts.look();
    assert_eq!(ours.calls(), 0);
    let theirs = cts.start(theirs);
    cts.until("both sequences", || ours.is_done() && theirs.is_done());
    ours.only().result.unwrap();
    theirs.only().result.unwrap();
}
