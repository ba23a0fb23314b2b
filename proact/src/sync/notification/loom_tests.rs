//! What signallers, observers and blocked threads have with each other, under every interleaving and every reordering
//! that the memory model allows: `RUSTFLAGS="--cfg loom" cargo test -p proact --lib --release loom_`. A proactor's part
//! is with its stack, in `operation/engine/remote`.

use loom::thread;

use super::*;

/// The condition that waiters look at. Relaxed: what orders it is the notification.
type Condition = Arc<AtomicU32>;

fn notification() -> (Notification, Condition) {
    (Notification::new(), Arc::new(AtomicU32::new(0)))
}

fn spawn<T: 'static>(
    (notification, condition): &(Notification, Condition),
    body: impl FnOnce(&Notification, &Condition) -> T + 'static,
) -> thread::JoinHandle<T> {
    let (notification, condition) = (notification.clone(), condition.clone());
    thread::spawn(move || body(&notification, &condition))
}

/// W-13: whoever begins to observe is seen by the signaller, or sees the signal.
#[test]
fn loom_a_conditional_signal_and_an_observer_never_miss_each_other() {
    loom::model(|| {
        let both = notification();
        let signaller = spawn(&both, |notification, condition| {
            condition.store(1, Ordering::Relaxed);
            notification.signal_if_observed(1)
        });
        let observation = both.0.observe();
        let seen = both.1.load(Ordering::Relaxed) == 1;
        let moved = observation.epoch() != Epoch::new(0);
        assert!(!moved || seen, "who sees the signal sees what it is about");
        let told = signaller.join().unwrap();
        assert!(told || moved, "neither saw the other");
    });
}

/// Observe, look, wait: the wait ends, or is not begun. One that is lost is a deadlock.
#[test]
fn loom_an_observer_that_waits_is_woken_by_a_conditional_signal() {
    loom::model(|| {
        let both = notification();
        let signaller = spawn(&both, |notification, condition| {
            condition.store(1, Ordering::Relaxed);
            notification.signal_if_observed(1);
        });
        loop {
            let observation = both.0.observe();
            if both.1.load(Ordering::Relaxed) == 1 {
                break;
            }
            assert!(observation.wait(Timeout::Infinite).unwrap());
            assert_eq!(both.1.load(Ordering::Relaxed), 1, "woken for what was done before the signal");
        }
        signaller.join().unwrap();
    });
}

#[test]
fn loom_a_blocked_thread_is_woken_by_the_first_signal_after_its_token() {
    loom::model(|| {
        let both = notification();
        let signaller = spawn(&both, |notification, _| notification.signal(1));
        assert!(both.0.wait_since(Epoch::new(0), Timeout::Infinite).unwrap());
        signaller.join().unwrap();
        assert!(!both.0.signal_if_observed(1), "nobody is left that observes");
    });
}

#[test]
fn loom_two_blocked_threads_are_woken_by_a_broadcast() {
    loom::model(|| {
        let both = notification();
        let waiters = [0, 1].map(|_| {
            spawn(&both, |notification, _| notification.wait_since(Epoch::new(0), Timeout::Infinite).unwrap())
        });
        both.0.broadcast();
        for waiter in waiters {
            assert!(waiter.join().unwrap());
        }
    });
}

/// Two signals may be told by one wake, and the second is not lost by that.
#[test]
fn loom_a_thread_that_waits_twice_sees_two_signals() {
    loom::model(|| {
        let both = notification();
        let one = spawn(&both, |notification, _| notification.signal(1));
        let other = spawn(&both, |notification, _| notification.signal(1));
        let mut seen = Epoch::new(0);
        while seen != Epoch::new(2) {
            assert!(both.0.wait_since(seen, Timeout::Infinite).unwrap());
            seen = both.0.epoch();
        }
        one.join().unwrap();
        other.join().unwrap();
    });
}
