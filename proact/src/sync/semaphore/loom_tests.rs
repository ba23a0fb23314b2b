//! The protocols between signallers and waiters under every interleaving and every reordering that the memory model
//! allows: `RUSTFLAGS="--cfg loom" cargo test -p proact --lib --release loom_`.

use std::sync::Arc;

use loom::sync::atomic::AtomicU32;
use loom::thread;

use super::*;
use crate::causal::Axis;
use crate::sync::loom_work::Work;

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

/// Does the work, and signals `value` by an exchange alone.
fn working_signaller(work: &Arc<Work>, semaphore: &Semaphore, value: u64) -> thread::JoinHandle<bool> {
    let (work, semaphore) = (work.clone(), semaphore.clone());
    thread::spawn(move || {
        work.perform();
        semaphore.signal_if_later(value, None).is_ok_and(|rose| rose)
    })
}

/// One that looks at the work when it is told.
fn watcher(work: &Arc<Work>) -> Waiter {
    Waiter { sink: work.clone(), token: Token::new(0, 0), index: 0 }
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

#[test]
fn loom_who_sees_a_value_sees_what_was_done_before_it() {
    loom::model(|| {
        let (semaphore, work) = (Semaphore::new(0), Arc::new(Work::default()));
        let signal = working_signaller(&work, &semaphore, 1);
        if semaphore.value() == 1 {
            work.see();
        }
        assert!(signal.join().unwrap());
    });
}

#[test]
fn loom_who_arms_too_late_sees_what_was_done_before_the_value() {
    loom::model(|| {
        let (semaphore, work) = (Semaphore::new(0), Arc::new(Work::default()));
        let signal = working_signaller(&work, &semaphore, 1);
        if let Armed::Reached = semaphore.arm(1, Counter::new().waiter()) {
            work.see();
        }
        assert!(signal.join().unwrap());
    });
}

/// Who signals the lower value may come to tell both waiters, and hands on what was done before the higher one.
#[test]
fn loom_who_is_told_of_anothers_value_sees_what_was_done_before_it() {
    loom::model(|| {
        let (semaphore, work, low) = (Semaphore::new(0), Arc::new(Work::default()), Counter::new());
        assert!(matches!(semaphore.arm(1, low.waiter()), Armed::Pending(_)));
        assert!(matches!(semaphore.arm(2, watcher(&work)), Armed::Pending(_)));
        let high = working_signaller(&work, &semaphore, 2);
        let _ = semaphore.signal_if_later(1, None).unwrap();
        assert!(high.join().unwrap());
        assert_eq!(low.told(), (1, 0));
    });
}

/// A failure tells those whose value came first, and hands on what was done before that.
#[test]
fn loom_who_is_told_by_a_failure_sees_what_was_done_before_the_value() {
    loom::model(|| {
        let (semaphore, work) = (Semaphore::new(0), Arc::new(Work::default()));
        assert!(matches!(semaphore.arm(1, watcher(&work)), Armed::Pending(_)));
        let signal = working_signaller(&work, &semaphore, 1);
        assert!(semaphore.fail(broken()));
        signal.join().unwrap();
    });
}

#[test]
fn loom_who_finds_a_semaphore_failed_finds_its_last_value() {
    loom::model(|| {
        let semaphore = Semaphore::new(0);
        semaphore.signal(1, None).unwrap();
        let failing = {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.fail(broken()))
        };
        assert_eq!(semaphore.value(), 1);
        assert!(failing.join().unwrap());
    });
}

#[test]
fn loom_signal_failure_and_disarm_agree_on_who_won() {
    loom::model(|| {
        let (semaphore, counter) = (Semaphore::new(0), Counter::new());
        let Armed::Pending(key) = semaphore.arm(1, counter.waiter()) else { panic!("nothing was signalled") };
        let signal = signaller(&semaphore, 1);
        let failing = {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.fail(broken()))
        };
        let removed = semaphore.disarm(key);
        let told = counter.told();
        assert_eq!(told.0 + told.1, u32::from(!removed));
        let rose = signal.join().unwrap();
        assert!(failing.join().unwrap());
        if !removed {
            assert_eq!(counter.told(), (u32::from(rose), u32::from(!rose)));
        }
    });
}

#[test]
fn loom_who_sees_a_value_from_outside_sees_its_taint() {
    loom::model(|| {
        let semaphore = Semaphore::new(0);
        let outside = {
            let semaphore = semaphore.clone();
            thread::spawn(move || semaphore.signal_tainted_if_later(2).unwrap())
        };
        let plain = signaller(&semaphore, 3);
        let value = semaphore.value();
        let tainted = semaphore.is_tainted(2);
        match value {
            // Not reached yet, or reached from outside since.
            0 => assert!(tainted || semaphore.value() == 3),
            2 => assert!(tainted),
            _ => {}
        }
        let from_outside = outside.join().unwrap();
        assert!(plain.join().unwrap());
        assert_eq!(semaphore.is_tainted(2), from_outside);
        assert_eq!((semaphore.untainted_value(), semaphore.is_tainted(3)), (3, false));
    });
}

#[test]
fn loom_a_link_is_followed_or_taken_back_and_not_both() {
    loom::model(|| {
        let (source, target) = (Semaphore::new(0), Semaphore::new(0));
        let link = source.link(1, &target, 1).unwrap();
        let signal = signaller(&source, 1);
        let unlinked = link.unlink();
        assert!(signal.join().unwrap());
        assert_eq!(target.value(), u64::from(!unlinked));
    });
}

#[test]
fn loom_a_link_made_while_its_source_is_signalled_is_followed_with_its_causes() {
    loom::model(|| {
        let (source, target) = (Semaphore::new(0), Semaphore::new(0));
        let signal = {
            let source = source.clone();
            thread::spawn(move || source.signal(1, Some(&causes())))
        };
        let link = source.link(1, &target, 1).unwrap();
        if target.value() == 1 {
            assert_eq!(target.causes(1), Some(Knowledge::exact(causes())));
        }
        signal.join().unwrap().unwrap();
        assert_eq!(target.causes(1), Some(Knowledge::exact(causes())));
        assert!(!link.unlink());
    });
}

#[test]
fn loom_a_link_meets_a_signal_and_the_failure_of_its_target() {
    loom::model(|| {
        let (source, target) = (Semaphore::new(0), Semaphore::new(0));
        let counter = Counter::new();
        assert!(matches!(target.arm(1, counter.waiter()), Armed::Pending(_)));
        source.link(1, &target, 1).unwrap().detach();
        let signal = signaller(&source, 1);
        assert!(target.fail(broken()));
        assert!(signal.join().unwrap());
        let reached = target.value();
        assert_eq!(counter.told(), (reached as u32, 1 - reached as u32));
    });
}

#[test]
fn loom_dropping_the_source_fails_the_target_unless_it_was_signalled() {
    loom::model(|| {
        let (source, target) = (Semaphore::new(0), Semaphore::new(0));
        source.link(1, &target, 1).unwrap().detach();
        let other = source.clone();
        let signal = thread::spawn(move || drop(other.signal(1, None)));
        drop(source);
        signal.join().unwrap();
        assert_eq!((target.value(), target.status().is_none()), (1, true));
        let source = Semaphore::new(0);
        source.link(1, &target, 2).unwrap().detach();
        drop(source);
        assert_eq!(target.status().unwrap().code(), Code::Cancelled);
    });
}

#[test]
fn loom_a_blocked_thread_is_woken_by_the_last_signal() {
    use crate::sync::WaitFlags;
    use crate::time::Timeout;
    loom::model(|| {
        let both = [(Semaphore::new(0), 1), (Semaphore::new(0), 1)];
        let signals: Vec<_> = both.iter().map(|(semaphore, value)| signaller(semaphore, *value)).collect();
        // A wake that is lost leaves this blocked, which loom reports.
        Semaphore::wait_all(&both, Timeout::Infinite, WaitFlags::empty()).unwrap();
        signals.into_iter().for_each(|signal| assert!(signal.join().unwrap()));
        assert!(both.iter().all(|(semaphore, _)| semaphore.inner.lock().waiters.is_empty()));
    });
}

#[test]
fn loom_a_thread_that_waits_for_any_is_woken_by_the_first_or_by_a_failure() {
    use crate::sync::WaitFlags;
    use crate::time::Timeout;
    loom::model(|| {
        let either = [(Semaphore::new(0), 1), (Semaphore::new(0), 1)];
        let signal = signaller(&either[1].0, 1);
        let failing = {
            let semaphore = either[0].0.clone();
            thread::spawn(move || semaphore.fail(broken()))
        };
        match Semaphore::wait_any(&either, Timeout::Infinite, WaitFlags::empty()) {
            Ok(index) => assert_eq!(index, 1),
            Err(status) => assert_eq!(status.code(), Code::Cancelled),
        }
        assert!(signal.join().unwrap() && failing.join().unwrap());
        assert!(either.iter().all(|(semaphore, _)| semaphore.inner.lock().waiters.is_empty()));
    });
}

/// A wait that has seen its end stands in the other lines for a moment longer: who comes there must pass it by, or it
/// is in the work of two threads at once, and takes what stands behind it in the one out of the other.
#[test]
fn loom_a_blocked_wait_that_has_ended_takes_nothing_from_those_behind_it() {
    use crate::sync::WaitFlags;
    use crate::time::Timeout;
    loom::model(|| {
        let (semaphore, other) = (Semaphore::new(0), Semaphore::new(0));
        let (target, next) = (Semaphore::new(0), Semaphore::new(0));
        semaphore.link(2, &target, 1).unwrap().detach();
        other.link(2, &next, 1).unwrap().detach();
        let either = [(semaphore.clone(), 1), (other.clone(), 1)];
        let signal = thread::spawn(move || semaphore.signal(2, None).unwrap());
        let fail = thread::spawn(move || other.fail(broken()));
        let _ = Semaphore::wait_any(&either, Timeout::Infinite, WaitFlags::empty());
        signal.join().unwrap();
        assert!(fail.join().unwrap());
        assert_eq!((target.value(), next.status().is_some()), (1, true));
    });
}

mod futures {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Wake, Waker};

    use loom::sync::{Condvar, Mutex};

    use super::*;

    /// What a thread of an executor sleeps on.
    #[derive(Default)]
    struct Bell {
        rung: Mutex<bool>,
        changed: Condvar,
    }

    impl Wake for Bell {
        fn wake(self: Arc<Bell>) {
            *self.rung.lock().unwrap() = true;
            self.changed.notify_one();
        }
    }

    impl Bell {
        fn wait(&self) {
            let mut rung = self.rung.lock().unwrap();
            while !*rung {
                rung = self.changed.wait(rung).unwrap();
            }
            *rung = false;
        }
    }

    fn poll(future: &mut SemaphoreFuture, waker: &Waker) -> Poll<Result<Knowledge>> {
        Pin::new(future).poll(&mut Context::from_waker(waker))
    }

    #[test]
    fn loom_a_future_is_woken_by_a_signal_with_its_causes() {
        loom::model(|| {
            let semaphore = Semaphore::new(0);
            let signal = {
                let semaphore = semaphore.clone();
                thread::spawn(move || semaphore.signal(1, Some(&causes())))
            };
            let bell = Arc::new(Bell::default());
            let waker = Waker::from(bell.clone());
            let mut future = semaphore.future(1);
            let known = loop {
                match poll(&mut future, &waker) {
                    Poll::Ready(outcome) => break outcome.unwrap(),
                    Poll::Pending => bell.wait(),
                }
            };
            assert_eq!(known, Knowledge::exact(causes()));
            signal.join().unwrap().unwrap();
        });
    }

    #[test]
    fn loom_a_future_that_changes_its_waker_is_woken_by_the_last() {
        loom::model(|| {
            let semaphore = Semaphore::new(0);
            let (first, second) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
            let mut future = semaphore.future(1);
            assert!(poll(&mut future, &Waker::from(first)).is_pending());
            let failing = {
                let semaphore = semaphore.clone();
                thread::spawn(move || semaphore.fail(broken()))
            };
            let waker = Waker::from(second.clone());
            let status = loop {
                match poll(&mut future, &waker) {
                    Poll::Ready(outcome) => break outcome.unwrap_err(),
                    Poll::Pending => second.wait(),
                }
            };
            assert_eq!(status.code(), Code::Cancelled);
            assert!(failing.join().unwrap());
        });
    }

    #[test]
    fn loom_a_future_may_be_dropped_while_it_is_woken() {
        loom::model(|| {
            let semaphore = Semaphore::new(0);
            let bell = Arc::new(Bell::default());
            let mut future = semaphore.future(1);
            assert!(poll(&mut future, &Waker::from(bell.clone())).is_pending());
            let signal = signaller(&semaphore, 1);
            drop(future);
            assert!(signal.join().unwrap());
            assert!(semaphore.inner.lock().waiters.is_empty());
            assert_eq!(Arc::strong_count(&bell), 1, "the waker is given back");
        });
    }
}

mod devices {
    use loom::sync::Mutex;

    use super::*;
    use crate::sync::{Driver, Timeline};

    /// Keeps the least value that it was told and has not reached.
    #[derive(Default)]
    struct Device(Mutex<Vec<u64>>);

    impl Timeline for Device {
        fn awaited(&self, value: u64) {
            self.0.lock().unwrap().push(value);
        }
    }

    fn driven() -> (Semaphore, Arc<Driver>, Arc<Device>) {
        let device = Arc::new(Device::default());
        let (semaphore, driver) = SemaphoreOptions::new().drive(device.clone());
        (semaphore, Arc::new(driver), device)
    }

    #[test]
    fn loom_a_device_hears_of_every_wait_that_it_has_not_ended() {
        loom::model(|| {
            let (semaphore, driver, device) = driven();
            let (low, high) = (Counter::new(), Counter::new());
            assert!(matches!(semaphore.arm(2, high.waiter()), Armed::Pending(_)));
            let advancing = {
                let driver = driver.clone();
                thread::spawn(move || driver.advance_tainted(1).unwrap())
            };
            let at_once = matches!(semaphore.arm(1, low.waiter()), Armed::Reached);
            assert!(advancing.join().unwrap());
            assert_eq!(low.told(), (u32::from(!at_once), 0));
            // Nothing but the wait for 2 is left, and the device knows.
            assert_eq!(device.0.lock().unwrap().last(), Some(&2));
            assert_eq!(driver.least_awaited(), Some(2));
        });
    }

    #[test]
    fn loom_a_device_hears_the_least_of_two_waits_that_come_at_once() {
        loom::model(|| {
            let (semaphore, _driver, device) = driven();
            let (low, high) = (Counter::new(), Counter::new());
            let arming = {
                let (semaphore, waiter) = (semaphore.clone(), high.waiter());
                thread::spawn(move || assert!(matches!(semaphore.arm(2, waiter), Armed::Pending(_))))
            };
            assert!(matches!(semaphore.arm(1, low.waiter()), Armed::Pending(_)));
            arming.join().unwrap();
            let heard = device.0.lock().unwrap();
            assert!(*heard == [1] || *heard == [2, 1], "{heard:?}");
        });
    }
}
