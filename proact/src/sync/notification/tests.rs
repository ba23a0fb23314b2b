//! What needs to look inside. The rest is in `proact-cts/src/cases/notification.rs`.

use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use super::*;

/// Counts what it is told.
#[derive(Default)]
struct Counter {
    told: AtomicUsize,
    retired: AtomicUsize,
}

impl Listener for Counter {
    fn tell(&self, _: &Subscription) {
        self.told.fetch_add(1, Ordering::SeqCst);
    }

    fn retire(&self, _: &Subscription) {
        self.retired.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counter {
    fn counts(&self) -> (usize, usize) {
        (self.told.load(Ordering::SeqCst), self.retired.load(Ordering::SeqCst))
    }
}

fn at(epoch: u32) -> Notification {
    Notification::over(Words::Own {
        epoch: Word::new(epoch),
        observers: AtomicU32::new(0),
        sleepers: AtomicU32::new(0),
    })
}

#[test]
fn the_epoch_wraps_and_a_wait_across_that_ends() {
    let notification = at(u32::MAX);
    let observation = notification.observe();
    assert_eq!(observation.epoch(), Epoch::new(u32::MAX));
    notification.signal(1);
    assert_eq!(notification.epoch(), Epoch::new(0));
    assert!(observation.wait(Timeout::Infinite).unwrap());
}

#[test]
fn a_proactor_is_told_once_until_it_has_taken_the_node_and_only_while_it_waits() {
    let (notification, counter) = (Notification::new(), std::sync::Arc::new(Counter::default()));
    let subscription = notification.subscribe(7, counter.clone());
    assert!(notification.subscription(8).is_none());
    notification.signal(1);
    assert_eq!(counter.counts(), (0, 0), "nothing waits");
    subscription.begin_wait();
    subscription.begin_wait();
    notification.signal(1);
    notification.broadcast();
    assert!(notification.signal_if_observed(1));
    assert_eq!(counter.counts(), (1, 0), "the node is on its way");
    assert!(!subscription.taken());
    notification.signal(1);
    assert_eq!(counter.counts(), (2, 0), "taken, and told anew");
    subscription.end_wait();
    subscription.end_wait();
    assert!(!notification.signal_if_observed(1));
    assert!(!subscription.taken());
    drop(notification);
    assert_eq!(counter.counts(), (2, 1));
    assert!(subscription.taken(), "it was the last time");
    assert_eq!(Arc::strong_count(&subscription), 1);
}

#[test]
fn a_node_on_its_way_tells_of_the_end_too() {
    let (notification, counter) = (Notification::new(), std::sync::Arc::new(Counter::default()));
    let subscription = notification.subscribe(7, counter.clone());
    subscription.begin_wait();
    notification.signal(1);
    subscription.end_wait();
    drop(notification);
    assert_eq!(counter.counts(), (1, 0), "it is not pushed twice");
    assert!(subscription.taken());
}

#[test]
fn each_of_several_proactors_has_its_own_subscription() {
    let notification = Notification::new();
    let counters: Vec<_> = (0..5).map(|_| std::sync::Arc::new(Counter::default())).collect();
    let subscriptions: Vec<_> =
        counters.iter().zip(0..).map(|(counter, number)| notification.subscribe(number, counter.clone())).collect();
    for (number, subscription) in subscriptions.iter().enumerate() {
        let found = notification.subscription(number as u32).unwrap();
        assert!(std::ptr::eq(found, &**subscription));
        if number % 2 == 0 {
            subscription.begin_wait();
        }
    }
    notification.signal(1);
    let told: Vec<_> = counters.iter().map(|counter| counter.counts().0).collect();
    assert_eq!(told, [1, 0, 1, 0, 1]);
}

/// Blocking waits against signals and conditional signals: what is signalled last is always seen.
#[test]
fn no_signal_is_lost_between_threads_that_block() {
    const SIGNALS: usize = 20_000;
    let (notification, done) = (Notification::new(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for conditional in [false, true] {
            let (notification, done) = (&notification, &done);
            scope.spawn(move || {
                for _ in 0..SIGNALS {
                    done.fetch_add(1, Ordering::Relaxed);
                    if conditional {
                        notification.signal_if_observed(Notification::ALL);
                    } else {
                        notification.broadcast();
                    }
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let observation = notification.observe();
                    if done.load(Ordering::Relaxed) == 2 * SIGNALS {
                        break;
                    }
                    assert!(observation.wait(Duration::from_secs(20)).unwrap(), "a signal was lost");
                }
            });
        }
    });
    assert_eq!(notification.epoch(), Epoch::new(2 * SIGNALS as u32));
}

#[test]
fn time_runs_out_by_the_nanosecond_and_never_early() {
    let notification = Notification::new();
    for nanoseconds in [0, 1, 999, 1_000_001] {
        let (start, length) = (Clock::monotonic().now(), Duration::from_nanos(nanoseconds));
        assert!(!notification.wait(length).unwrap());
        assert!(Clock::monotonic().now() >= start + length);
    }
    assert!(!notification.wait(Timeout::At(Time::ORIGIN)).unwrap());
    let since = notification.epoch();
    notification.signal(0);
    assert!(notification.wait_since(since, Timeout::At(Time::FAR_FUTURE)).unwrap());
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_nobody_observes_makes_no_system_call() {
    use crate::sync::without_calls::comes_through;

    let notification = Notification::new();
    // Whoever has waited once, and waits no more, is no reason to call.
    let thread = std::thread::spawn({
        let notification = notification.clone();
        move || notification.wait(Duration::from_secs(60))
    });
    // Again and again: one who has begun to observe, and not looked at the epoch yet, is not told by what came before.
    while !thread.is_finished() {
        notification.signal_if_observed(1);
        std::thread::yield_now();
    }
    assert!(thread.join().unwrap().unwrap());
    let before = notification.epoch();
    let ours = notification.clone();
    let through = comes_through(move || {
        for _ in 0..100 {
            ours.signal(1);
            ours.broadcast();
            assert!(!ours.signal_if_observed(1));
        }
    });
    if let Some(through) = through {
        assert!(through);
        assert_eq!(notification.epoch().number().wrapping_sub(before.number()), 300);
        let shared = crate::memory::Region::create_shared(4096).unwrap().0;
        let shared = Notification::create_shared(shared, 0).unwrap();
        let ours = shared.clone();
        assert_eq!(comes_through(move || assert!(!ours.signal_if_observed(1))), Some(true));
        // Its sleepers are of any process, and not known here.
        assert_eq!(comes_through(move || shared.signal(1)), Some(false));
    }
}
