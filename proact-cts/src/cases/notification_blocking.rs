//! Threads that block for a notification.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proact::operation::NotificationWait;
use proact::sync::Notification;
use proact::time::{Time, Timeout};

use crate::bench::{Cts, eventually, patience};
use crate::cases;
use crate::harness::Only;

cases![
    a_blocking_wait_is_woken_from_another_thread.real("other threads").only(Only::Once),
    a_blocking_wait_gives_up_in_time_and_not_before.only(Only::Once),
    a_blocking_wait_of_microseconds_is_not_one_of_milliseconds.only(Only::Once),
    a_blocking_wait_ends_at_once_where_a_signal_came_before.only(Only::Once),
    three_threads_are_woken_by_as_many_signals.real("other threads").only(Only::Once),
    a_broadcast_wakes_three_threads.real("other threads").only(Only::Once),
    a_signal_of_one_wakes_one_thread_and_satisfies_the_others.real("other threads").only(Only::Once),
    a_blocking_thread_takes_nothing_from_an_operation.real("other threads"),
    an_operation_takes_nothing_from_a_blocking_thread,
];

/// A thread that waits for `notification` once, and counts itself.
fn blocked(notification: &Notification, gone: &Arc<AtomicUsize>) -> std::thread::JoinHandle<()> {
    let (notification, gone, since) = (notification.clone(), gone.clone(), notification.epoch());
    std::thread::spawn(move || {
        assert!(notification.wait_since(since, patience()).unwrap(), "nobody woke it");
        gone.fetch_add(1, Ordering::SeqCst);
    })
}

fn a_blocking_wait_is_woken_from_another_thread(_: &mut Cts) {
    let notification = Notification::new();
    let done = Arc::new(AtomicBool::new(false));
    let (signaller, seen) = (notification.clone(), done.clone());
    let thread = std::thread::spawn(move || {
        // Again and again: one alone may come before the wait has begun.
        eventually("the waiter to be woken", || {
            signaller.signal(1);
            seen.load(Ordering::Acquire)
        });
    });
    assert!(notification.wait(patience()).unwrap());
    done.store(true, Ordering::Release);
    thread.join().unwrap();
}

fn a_blocking_wait_gives_up_in_time_and_not_before(cts: &mut Cts) {
    let notification = Notification::new();
    let start = Instant::now();
    assert!(!notification.wait(Duration::from_millis(20)).unwrap());
    assert!(start.elapsed() >= Duration::from_millis(20), "{:?}", start.elapsed());
    let deadline = cts.now() + Duration::from_millis(10);
    assert!(!notification.wait(deadline).unwrap());
    assert!(cts.clock().now() >= deadline);
    assert!(!notification.wait(Timeout::Immediate).unwrap());
    assert!(!notification.wait(Timeout::At(Time::ORIGIN)).unwrap(), "a time that is past");
}

/// The reference clamps to milliseconds (W-35).
fn a_blocking_wait_of_microseconds_is_not_one_of_milliseconds(_: &mut Cts) {
    let notification = Notification::new();
    let shortest = (0..50).map(|_| {
        let start = Instant::now();
        assert!(!notification.wait(Duration::from_micros(50)).unwrap());
        start.elapsed()
    });
    let shortest = shortest.min().unwrap();
    assert!(shortest >= Duration::from_micros(50) && shortest < Duration::from_millis(1), "{shortest:?}");
}

fn a_blocking_wait_ends_at_once_where_a_signal_came_before(_: &mut Cts) {
    let notification = Notification::new();
    let observation = notification.observe();
    notification.signal(0);
    assert!(observation.wait(Timeout::Infinite).unwrap());
    // And again: the token is not used up, every wait that holds it is satisfied.
    assert!(observation.wait(Timeout::Infinite).unwrap());
    assert!(notification.wait_since(observation.epoch(), Timeout::Infinite).unwrap());
}

fn three_threads_are_woken_by_as_many_signals(_: &mut Cts) {
    let (notification, gone) = (Notification::new(), Arc::default());
    let threads: Vec<_> = (0..3).map(|_| blocked(&notification, &gone)).collect();
    eventually("all three to be woken", || {
        notification.signal(1);
        gone.load(Ordering::SeqCst) == 3
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn a_broadcast_wakes_three_threads(_: &mut Cts) {
    let (notification, gone) = (Notification::new(), Arc::default());
    let threads: Vec<_> = (0..3).map(|_| blocked(&notification, &gone)).collect();
    // Asleep or on its way there: their token is from before.
    notification.broadcast();
    eventually("all three to be woken", || gone.load(Ordering::SeqCst) == 3);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn a_signal_of_one_wakes_one_thread_and_satisfies_the_others(_: &mut Cts) {
    let notification = Notification::new();
    let since = notification.epoch();
    notification.signal(1);
    // Level, not edge: whoever holds the token is satisfied, however many there are.
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let notification = notification.clone();
            std::thread::spawn(move || notification.wait_since(since, Timeout::Infinite).unwrap())
        })
        .collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
}

/// Synchronous waiters of the reference take credits that were meant for asynchronous ones (W-35).
fn a_blocking_thread_takes_nothing_from_an_operation(cts: &mut Cts) {
    let (notification, gone) = (Notification::new(), Arc::default());
    for _ in 0..50 {
        let wait = cts.start(NotificationWait::new(notification.clone()));
        let thread = blocked(&notification, &gone);
        notification.signal(1);
        cts.until("the operation", || wait.is_done());
        // Whether it had begun to sleep or not: the signal came after its token, or another wakes it.
        eventually("the thread", || {
            notification.signal(1);
            thread.is_finished()
        });
        thread.join().unwrap();
        wait.only().result.unwrap();
    }
}

fn an_operation_takes_nothing_from_a_blocking_thread(cts: &mut Cts) {
    let notification = Notification::new();
    for _ in 0..50 {
        let wait = cts.start(NotificationWait::new(notification.clone()));
        let since = notification.epoch();
        notification.signal(1);
        cts.until("the operation", || wait.is_done());
        assert!(notification.wait_since(since, Timeout::Immediate).unwrap(), "the token is satisfied");
    }
}
