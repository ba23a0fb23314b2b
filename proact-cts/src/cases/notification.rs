//! Notifications of one process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use proact::operation::{Complete, Context, NotificationSignal, NotificationWait, Op, Outcome};
use proact::status::Code;
use proact::sync::{Epoch, Notification};
use proact::time::Timeout;

use crate::bench::{Cts, eventually, patience};
use crate::cases;

cases![
    clones_are_one_notification_and_outlive_each_other,
    a_signal_that_nobody_waits_for_advances_the_epoch,
    a_conditional_signal_without_an_observer_says_so_and_advances,
    a_conditional_signal_with_an_observer_wakes_it,
    many_signals_during_one_wait_are_one_wake,
    waits_and_signals_take_turns_for_many_rounds,
    a_wait_completes_after_a_signal_and_not_before,
    a_conditional_signal_sees_a_submitted_wait,
    a_signal_between_observing_and_submitting_completes_the_wait,
    a_signal_between_submitting_and_starting_completes_the_wait.real("other threads"),
    a_signal_operation_advances_the_epoch_once,
    a_callback_wakes_the_other_side_of_a_round_trip.real("other threads"),
    a_wait_from_another_thread_is_woken.real("other threads"),
    a_pending_wait_is_cancelled_at_once_and_once.real("other threads"),
    a_cancelled_wait_that_was_signalled_before_has_succeeded,
    cancel_races_with_signal_and_the_wait_ends_once.real("other threads"),
    a_wait_ends_with_its_deadline,
    three_waits_end_by_one_signal_in_their_order,
    the_middle_of_many_waits_is_cancelled_and_the_others_go_on,
    waits_for_different_notifications_do_not_disturb_each_other,
    a_token_other_than_the_epoch_is_satisfied_whatever_its_number,
    a_wait_holds_its_notification,
    notifications_come_and_go_by_the_thousand.real("other threads"),
    a_shutdown_ends_waits_and_the_notification_lives_on,
    eight_proactors_wait_for_one_notification.real("other threads"),
    a_storm_of_signals_loses_none_that_counts.real("other threads"),
    one_signal_wakes_a_sleeping_proactor_once_however_many_wait.real("other threads"),
];

fn clones_are_one_notification_and_outlive_each_other(cts: &mut Cts) {
    let notification = Notification::new();
    let clone = notification.clone();
    drop(notification);
    let before = clone.epoch();
    clone.clone().signal(1);
    assert_ne!(clone.epoch(), before);
    let wait = cts.start(NotificationWait::since(clone.clone(), before));
    drop(clone);
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
}

fn a_signal_that_nobody_waits_for_advances_the_epoch(_: &mut Cts) {
    let notification = Notification::new();
    for round in 1..=10 {
        notification.signal(round % 3);
        assert_eq!(notification.epoch(), Epoch::new(round));
    }
    notification.broadcast();
    assert_eq!(notification.epoch(), Epoch::new(11));
}

fn a_conditional_signal_without_an_observer_says_so_and_advances(cts: &mut Cts) {
    let notification = Notification::new();
    let before = notification.epoch();
    assert!(!notification.signal_if_observed(1));
    assert_ne!(notification.epoch(), before);
    drop(notification.observe());
    assert!(!notification.signal_if_observed(1), "nobody observes any more");
    // Nor when a wait of this proactor has come and gone.
    let wait = cts.start(NotificationWait::new(notification.clone()));
    notification.signal(1);
    cts.until("the wait", || wait.is_done());
    assert!(!notification.signal_if_observed(1), "no operation waits any more");
}

fn a_conditional_signal_with_an_observer_wakes_it(_: &mut Cts) {
    let notification = Notification::new();
    let observation = notification.observe();
    assert!(!observation.wait(Timeout::Immediate).unwrap() && !observation.is_signalled());
    assert!(notification.signal_if_observed(1));
    assert!(observation.wait(Timeout::Immediate).unwrap() && observation.is_signalled());
    assert!(notification.wait_since(observation.epoch(), Timeout::Immediate).unwrap());
}

/// Credits of an eventfd would be left over and end later waits (W-35).
fn many_signals_during_one_wait_are_one_wake(cts: &mut Cts) {
    let notification = Notification::new();
    let wait = cts.start(NotificationWait::new(notification.clone()));
    for _ in 0..100 {
        notification.signal(1);
        notification.broadcast();
    }
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
    let next = cts.start(NotificationWait::new(notification.clone()));
    cts.look();
    assert_eq!(next.calls(), 0, "an old signal has ended a new wait");
    assert!(!notification.wait(Timeout::Immediate).unwrap());
    notification.signal(1);
    cts.until("the next wait", || next.is_done());
    next.only().result.unwrap();
}

fn waits_and_signals_take_turns_for_many_rounds(cts: &mut Cts) {
    let notification = Notification::new();
    for round in 0..300 {
        let wait = cts.start(NotificationWait::new(notification.clone()));
        if round % 2 == 0 {
            cts.look();
            assert_eq!(wait.calls(), 0, "round {round}");
        }
        notification.signal(1);
        assert_eq!(wait.calls(), 0, "a callback inside a signal");
        cts.until("the round's wait", || wait.is_done());
        wait.only().result.unwrap();
    }
}

fn a_wait_completes_after_a_signal_and_not_before(cts: &mut Cts) {
    let notification = Notification::new();
    // What came before the submit does not count.
    notification.signal(1);
    let wait = cts.start(NotificationWait::new(notification.clone()));
    cts.look();
    assert_eq!(wait.calls(), 0);
    notification.signal(1);
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
}

fn a_conditional_signal_sees_a_submitted_wait(cts: &mut Cts) {
    let notification = Notification::new();
    let wait = cts.start(NotificationWait::new(notification.clone()));
    assert!(notification.signal_if_observed(1), "an operation observes");
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
}

/// Asynchronous waits of the reference ignore the token: they hang, or end by another's credit (W-35).
fn a_signal_between_observing_and_submitting_completes_the_wait(cts: &mut Cts) {
    let notification = Notification::new();
    for round in 0..50 {
        let observation = notification.observe();
        notification.signal(1);
        let wait = cts.start(NotificationWait::since(notification.clone(), observation.epoch()));
        assert_eq!(wait.calls(), 0, "a callback inside submit");
        cts.until("a wait with an old token", || wait.is_done());
        wait.only().result.unwrap();
        let present = cts.start(NotificationWait::since(notification.clone(), notification.epoch()));
        cts.look();
        assert_eq!(present.calls(), 0, "round {round}: nothing came after the present epoch");
        notification.broadcast();
        cts.until("a wait with the present token", || present.is_done());
    }
}

fn a_signal_between_submitting_and_starting_completes_the_wait(cts: &mut Cts) {
    let notification = Notification::new();
    let (op, wait) = cts.watch(NotificationWait::new(notification.clone()));
    let handle = cts.handle().clone();
    // From another thread it is started by the poll thread, later.
    std::thread::spawn(move || handle.submit(op).unwrap()).join().unwrap();
    notification.signal(1);
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
}

fn a_signal_operation_advances_the_epoch_once(cts: &mut Cts) {
    let notification = Notification::new();
    let wait = cts.start(NotificationWait::new(notification.clone()));
    cts.get(NotificationSignal::new(notification.clone(), 1));
    assert_eq!(notification.epoch(), Epoch::new(1));
    cts.until("the wait", || wait.is_done());
    cts.get(NotificationSignal::broadcast(notification.clone()));
    assert_eq!(notification.epoch(), Epoch::new(2));
}

fn a_callback_wakes_the_other_side_of_a_round_trip(cts: &mut Cts) {
    struct Answer(Notification, Arc<AtomicUsize>);
    impl Complete<NotificationWait> for Answer {
        fn done(op: Box<Op<NotificationWait, Self>>, outcome: Outcome<NotificationWait>, cx: &mut Context<'_>) {
            outcome.result.unwrap();
            op.state.1.fetch_add(1, Ordering::Relaxed);
            let reply = op.state.0.clone();
            let again = op.state.1.load(Ordering::Relaxed) < 100;
            if again {
                cx.submit(op).unwrap();
            }
            reply.signal(1);
        }
    }
    let (ball, reply, count) = (Notification::new(), Notification::new(), Arc::new(AtomicUsize::new(0)));
    cts.submit(Op::new(NotificationWait::new(ball.clone()), Answer(reply.clone(), count.clone()))).unwrap();
    let thread = std::thread::spawn(move || {
        for _ in 0..100 {
            let observation = reply.observe();
            ball.signal(1);
            assert!(observation.wait(patience()).unwrap(), "no answer");
        }
    });
    cts.until("a hundred round trips", || count.load(Ordering::Relaxed) == 100);
    thread.join().unwrap();
}

fn a_wait_from_another_thread_is_woken(cts: &mut Cts) {
    let notification = Notification::new();
    let (op, wait) = cts.watch(NotificationWait::new(notification.clone()));
    let handle = cts.handle().clone();
    let thread = std::thread::spawn(move || {
        handle.submit(op).unwrap();
        notification.signal(1);
    });
    cts.until("the wait", || wait.is_done());
    thread.join().unwrap();
    wait.only().result.unwrap();
}

/// The reference looks for the wrong request (W-31), or notices only when the descriptor fires (W-65); its tests have
/// no such case (W-100).
fn a_pending_wait_is_cancelled_at_once_and_once(cts: &mut Cts) {
    let notification = Notification::new();
    let (op, wait) = cts.watch(NotificationWait::new(notification.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.cancel(id).unwrap();
    cts.until("the cancelled wait", || wait.is_done());
    assert_eq!(wait.only().status().code(), Code::Cancelled);
    assert_eq!(cts.cancel(id).unwrap_err().code(), Code::NotFound);
    assert!(!notification.signal_if_observed(1), "it is still counted");
    // From another thread, while the poll thread sleeps.
    let (op, wait) = cts.watch(NotificationWait::new(notification.clone()));
    let id = cts.submit(op).unwrap();
    let handle = cts.handle().clone();
    let thread = std::thread::spawn(move || handle.cancel(id).unwrap());
    cts.until("the wait cancelled from elsewhere", || wait.is_done());
    thread.join().unwrap();
    assert_eq!(wait.only().status().code(), Code::Cancelled);
    let next = cts.start(NotificationWait::new(notification.clone()));
    notification.signal(1);
    cts.until("another wait", || next.is_done());
    next.only().result.unwrap();
    assert_eq!(cts.pending(), 0);
}

fn a_cancelled_wait_that_was_signalled_before_has_succeeded(cts: &mut Cts) {
    let notification = Notification::new();
    let (op, wait) = cts.watch(NotificationWait::new(notification.clone()));
    let id = cts.submit(op).unwrap();
    notification.signal(1);
    cts.cancel(id).unwrap();
    cts.until("the wait", || wait.is_done());
    wait.only().result.expect("the signal came first");
}

fn cancel_races_with_signal_and_the_wait_ends_once(cts: &mut Cts) {
    let (mut ended, mut cancelled) = (0, 0);
    let notification = Notification::new();
    for round in 0..500 {
        let (op, wait) = cts.watch(NotificationWait::new(notification.clone()));
        let id = cts.submit(op).unwrap();
        let barrier = Arc::new(Barrier::new(2));
        let (theirs, signaller) = (barrier.clone(), notification.clone());
        let thread = std::thread::spawn(move || {
            theirs.wait();
            signaller.signal(1);
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
            Ok(()) => ended += 1,
            Err(status) => {
                assert_eq!(status.code(), Code::Cancelled);
                cancelled += 1;
            }
        }
        assert_eq!(cts.pending(), 0);
    }
    assert_eq!(ended + cancelled, 500);
}

fn a_wait_ends_with_its_deadline(cts: &mut Cts) {
    let notification = Notification::new();
    let (op, wait) = cts.watch(NotificationWait::new(notification.clone()));
    let soon = cts.now() + Duration::from_millis(2);
    cts.submit(op.deadline(soon)).unwrap();
    cts.until("the deadline", || wait.is_done());
    assert_eq!(wait.only().status().code(), Code::DeadlineExceeded);
    assert!(!notification.signal_if_observed(1));
}

fn three_waits_end_by_one_signal_in_their_order(cts: &mut Cts) {
    let notification = Notification::new();
    for signal in [Notification::broadcast, |notification: &Notification| notification.signal(1)] {
        let waits: Vec<_> = (0..3).map(|_| cts.start(NotificationWait::new(notification.clone()))).collect();
        cts.look();
        assert!(waits.iter().all(|wait| wait.calls() == 0));
        signal(&notification);
        cts.until("all three", || waits.iter().all(|wait| wait.is_done()));
        assert!(waits.iter().map(|wait| wait.order()).is_sorted(), "in the order in which they began");
        waits.into_iter().for_each(|wait| wait.only().result.unwrap());
    }
}

fn the_middle_of_many_waits_is_cancelled_and_the_others_go_on(cts: &mut Cts) {
    let notification = Notification::new();
    // First, last, middle, and neighbours.
    let asked = [0, 9, 4, 5];
    let (ids, waits): (Vec<_>, Vec<_>) = (0..10)
        .map(|_| {
            let (op, wait) = cts.watch(NotificationWait::new(notification.clone()));
            (cts.submit(op).unwrap(), wait)
        })
        .unzip();
    for index in asked {
        cts.cancel(ids[index]).unwrap();
    }
    cts.until("the cancelled", || asked.iter().all(|index| waits[*index].is_done()));
    cts.look();
    assert_eq!(waits.iter().filter(|wait| wait.is_done()).count(), asked.len());
    notification.signal(1);
    cts.drain();
    for (index, wait) in waits.into_iter().enumerate() {
        let expected = if asked.contains(&index) { Code::Cancelled } else { Code::Ok };
        assert_eq!(wait.code(), Some(expected), "wait {index}");
    }
}

fn waits_for_different_notifications_do_not_disturb_each_other(cts: &mut Cts) {
    let notifications: Vec<_> = (0..8).map(|_| Notification::new()).collect();
    let waits: Vec<_> = notifications.iter().map(|it| cts.start(NotificationWait::new(it.clone()))).collect();
    for index in [1, 4, 7] {
        notifications[index].signal(1);
    }
    cts.until("the three waits", || [1, 4, 7].iter().all(|index| waits[*index].is_done()));
    cts.look();
    let done: Vec<usize> = (0..8).filter(|index| waits[*index].is_done()).collect();
    assert_eq!(done, [1, 4, 7]);
    notifications.iter().for_each(Notification::broadcast);
    cts.drain();
}

fn a_token_other_than_the_epoch_is_satisfied_whatever_its_number(cts: &mut Cts) {
    let notification = Notification::new();
    for token in [Epoch::new(1), Epoch::new(u32::MAX), Epoch::new(1 << 31)] {
        cts.get(NotificationWait::since(notification.clone(), token));
        assert!(notification.wait_since(token, Timeout::Infinite).unwrap());
    }
    let wait = cts.start(NotificationWait::since(notification.clone(), Epoch::new(0)));
    cts.look();
    assert_eq!(wait.calls(), 0, "this is the present epoch");
    notification.signal(1);
    cts.until("the wait", || wait.is_done());
}

fn a_wait_holds_its_notification(cts: &mut Cts) {
    let notification = Notification::new();
    let signaller = notification.clone();
    let wait = cts.start(NotificationWait::new(notification));
    cts.look();
    signaller.signal(1);
    // The program's last handle goes before the poll thread has looked.
    drop(signaller);
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
}

fn notifications_come_and_go_by_the_thousand(cts: &mut Cts) {
    let (send, receive) = std::sync::mpsc::channel::<Notification>();
    // They end on another thread, in whatever order that takes.
    let thread = std::thread::spawn(move || receive.into_iter().for_each(|notification| notification.signal(1)));
    let mut kept = Vec::new();
    for round in 0..2000 {
        let notification = Notification::new();
        let wait = cts.start(NotificationWait::new(notification.clone()));
        send.send(notification.clone()).unwrap();
        if round % 7 == 0 {
            kept.push(notification);
        }
        cts.until("the wait", || wait.is_done());
    }
    drop(send);
    thread.join().unwrap();
    // Those that are kept still work.
    let waits: Vec<_> = kept.iter().map(|it| cts.start(NotificationWait::new(it.clone()))).collect();
    kept.iter().for_each(Notification::broadcast);
    cts.until("those that were kept", || waits.iter().all(|wait| wait.is_done()));
}

fn a_shutdown_ends_waits_and_the_notification_lives_on(cts: &mut Cts) {
    let notification = Notification::new();
    for _ in 0..20 {
        let wait = cts.start(NotificationWait::new(notification.clone()));
        cts.look();
        let proactor = cts.take();
        assert_eq!(proactor.shutdown(patience()), 0);
        assert_eq!(wait.only().status().code(), Code::Cancelled);
        // To a proactor that is gone, and to one that is new.
        notification.broadcast();
        cts.rebuild(|builder| builder);
        let wait = cts.start(NotificationWait::new(notification.clone()));
        notification.signal(1);
        cts.until("a wait of the next proactor", || wait.is_done());
    }
}

fn eight_proactors_wait_for_one_notification(cts: &mut Cts) {
    let notification = Notification::new();
    let (config, told) = (cts.config, Arc::new(AtomicUsize::new(0)));
    let rounds = 50;
    let begun = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (notification, told, begun) = (notification.clone(), told.clone(), begun.clone());
            std::thread::spawn(move || {
                let mut cts = Cts::beside(config);
                for _ in 0..rounds {
                    let since = notification.epoch();
                    let wait = cts.start(NotificationWait::since(notification.clone(), since));
                    let other = cts.start(NotificationWait::since(notification.clone(), since));
                    begun.fetch_add(1, Ordering::SeqCst);
                    cts.until("this proactor's waits", || wait.is_done() && other.is_done());
                    told.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for round in 1..=rounds {
        // All wait, so that one signal has to reach all.
        eventually("all proactors to wait", || begun.load(Ordering::SeqCst) == 8 * round);
        notification.signal(1);
        eventually("all proactors to be told", || told.load(Ordering::SeqCst) == 8 * round);
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// What is signalled last is seen, however the signals of four threads fall between the waits: the store-buffering
/// that W-13 is about, and the poll thread's sleep.
fn a_storm_of_signals_loses_none_that_counts(cts: &mut Cts) {
    let (notification, done) = (Notification::new(), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (notification, done) = (notification.clone(), done.clone());
            std::thread::spawn(move || {
                for _ in 0..5000 {
                    done.fetch_add(1, Ordering::Relaxed);
                    match thread % 2 {
                        0 => notification.signal(1),
                        // Only whoever observes is woken, and whoever comes later looks first.
                        _ => drop(notification.signal_if_observed(1)),
                    }
                }
            })
        })
        .collect();
    loop {
        let since = notification.epoch();
        if done.load(Ordering::Relaxed) == 20_000 {
            break;
        }
        let wait = cts.start(NotificationWait::since(notification.clone(), since));
        cts.until("a signal after the one seen", || wait.is_done());
        wait.only().result.unwrap();
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(notification.epoch(), Epoch::new(20_000));
}

fn one_signal_wakes_a_sleeping_proactor_once_however_many_wait(cts: &mut Cts) {
    let notification = Notification::new();
    let waits: Vec<_> = (0..256).map(|_| cts.start(NotificationWait::new(notification.clone()))).collect();
    let wakes = cts.statistics().wakes;
    let signaller = notification.clone();
    let thread = std::thread::spawn(move || signaller.signal(1));
    cts.until("all of them", || waits.iter().all(|wait| wait.is_done()));
    thread.join().unwrap();
    assert!(cts.statistics().wakes <= wakes + 1, "one wake for 256 operations");
    waits.into_iter().for_each(|wait| wait.only().result.unwrap());
}
