//! The protocols between signallers and waiters under every interleaving and every reordering that the memory model
//! allows: `RUSTFLAGS="--cfg loom" cargo test -p proact --lib --release loom_`.

use std::sync::Arc;

use loom::sync::atomic::AtomicU32;
use loom::thread;

use super::*;
use crate::causal::Axis;

/// Counts calls; relaxed, because a count that is not ordered by the protocol itself is a finding.
struct Counter {
    reached: AtomicU32,
    failed: AtomicU32,
}

impl Counter {
    fn new() -> Arc<Counter> {
        Arc::new(Counter { reached: AtomicU32::new(0), failed: AtomicU32::new(0) })
    }

    fn told(&self) -> (u32, u32) {
        (self.reached.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }

    fn waiter(self: &Arc<Counter>) -> Waiter {
        Waiter { sink: self.clone(), token: Token::new(0, 0), index: 0 }
    }
}

impl Sink for Counter {
    fn reached(&self, _: Token, _: u32) {
        self.reached.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, _: Token, _: u32) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

fn signaller(semaphore: &Semaphore, value: u64) -> thread::JoinHandle<bool> {
    let semaphore = semaphore.clone();
    thread::spawn(move || semaphore.signal_if_later(value, None).is_ok_and(|rose| rose))
}

fn causes() -> Frontier {
    Frontier::single(Axis::queue(0, 0, 0, 0), 7).unwrap()
}

fn broken() -> Status {
    Status::new(Code::Cancelled, Operation::None)
}

#[test]
fn loom_a_signal_and_an_arming_waiter_never_miss_each_other() {
    loom::model(|| {
        let (semaphore, counter) = (Semaphore::new(0), Counter::new());
        let signal = signaller(&semaphore, 1);
        let at_once = matches!(semaphore.arm(1, counter.waiter()), Armed::Reached);
        assert!(signal.join().unwrap());
        assert_eq!(counter.told(), (u32::from(!at_once), 0));
    });
}

#[test]
fn loom_the_next_waiter_is_not_missed_while_the_first_is_told() {
    loom::model(|| {
        let semaphore = Semaphore::new(0);
        let (first, second) = (Counter::new(), Counter::new());
        assert!(matches!(semaphore.arm(1, first.waiter()), Armed::Pending(_)));
        let low = signaller(&semaphore, 1);
        let high = signaller(&semaphore, 2);
        let at_once = matches!(semaphore.arm(2, second.waiter()), Armed::Reached);
        low.join().unwrap();
        assert!(high.join().unwrap());
        assert_eq!(first.told(), (1, 0));
        assert_eq!(second.told(), (u32::from(!at_once), 0));
    });
}

#[test]
fn loom_two_waiters_that_arm_at_once_are_both_told() {
    loom::model(|| {
        let semaphore = Semaphore::new(0);
        let (low, high) = (Counter::new(), Counter::new());
        let signal = signaller(&semaphore, 2);
        let arming = {
            let (semaphore, low) = (semaphore.clone(), low.clone());
            thread::spawn(move || matches!(semaphore.arm(1, low.waiter()), Armed::Reached))
        };
        let high_at_once = matches!(semaphore.arm(2, high.waiter()), Armed::Reached);
        let low_at_once = arming.join().unwrap();
        assert!(signal.join().unwrap());
        assert_eq!(low.told(), (u32::from(!low_at_once), 0));
        assert_eq!(high.told(), (u32::from(!high_at_once), 0));
    });
}

#[test]
fn loom_disarm_and_signal_agree_on_who_won() {
    loom::model(|| {
        let (semaphore, counter) = (Semaphore::new(0), Counter::new());
        let Armed::Pending(key) = semaphore.arm(1, counter.waiter()) else { panic!("nothing was signalled") };
        let signal = signaller(&semaphore, 1);
        let removed = semaphore.disarm(key);
        // The call is complete as soon as disarm has answered.
        assert_eq!(counter.told(), (u32::from(!removed), 0));
        assert!(signal.join().unwrap());
        assert_eq!(counter.told(), (u32::from(!removed), 0));
    });
}

#[test]
fn loom_a_waiter_hears_of_the_signal_exactly_if_it_came_before_the_failure() {
    loom::model(|| {
        let (semaphore, counter) = (Semaphore::new(0), Counter::new());
        assert!(matches!(semaphore.arm(1, counter.waiter()), Armed::Pending(_)));
        let signal = signaller(&semaphore, 1);
        assert!(semaphore.fail(broken()));
        let value = semaphore.value();
        assert!(semaphore.status().is_some());
        let rose = signal.join().unwrap();
        assert_eq!(semaphore.value(), value, "no value rises after a failure");
        assert_eq!(value, u64::from(rose));
        assert_eq!(counter.told(), (u32::from(rose), u32::from(!rose)));
    });
}

#[test]
fn loom_arming_against_signal_and_failure_is_answered_once() {
    loom::model(|| {
        let (semaphore, counter) = (Semaphore::new(0), Counter::new());
        let signal = signaller(&semaphore, 1);
        let failing = {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.fail(broken()))
        };
        let answer = match semaphore.arm(1, counter.waiter()) {
            Armed::Reached => (1, 0),
            Armed::Failed(_) => (0, 1),
            Armed::Pending(_) => (0, 0),
        };
        let rose = signal.join().unwrap();
        assert!(failing.join().unwrap());
        let told = counter.told();
        assert_eq!((told.0 + answer.0, told.1 + answer.1), (u32::from(rose), u32::from(!rose)));
    });
}

#[test]
fn loom_who_sees_a_value_finds_its_causes() {
    loom::model(|| {
        let semaphore = Semaphore::new(0);
        let caused = {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.signal_if_later(2, Some(&causes())).unwrap())
        };
        let plain = signaller(&semaphore, 1);
        if semaphore.value() == 2 {
            assert_eq!(semaphore.causes(2), Some(Knowledge::exact(causes())));
        }
        let passed_by_plain = plain.join().unwrap();
        assert!(caused.join().unwrap());
        // Value 1 has its own signal's causes, none, if that came first, and else those of 2.
        let expected = if passed_by_plain { Frontier::new() } else { causes() };
        assert_eq!(semaphore.causes(1), Some(Knowledge::exact(expected)));
    });
}
