//! What a semaphore promises its signallers and waiters, one thread at a time and all at once.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use super::*;
use crate::causal::{Axis, Completeness};

mod blocking;
mod device;
mod future;
mod links;
mod taint;

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Told {
    Reached(u32),
    Failed(u32),
}

/// Writes down who was told what, in order. Waiters are known by their index.
#[derive(Default)]
struct Recorder(Mutex<Vec<Told>>);

impl Recorder {
    fn take(&self) -> Vec<Told> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    fn waiter(self: &Arc<Recorder>, index: u32) -> Waiter {
        Waiter { sink: self.clone(), token: Token::new(1, 2), index }
    }
}

impl Sink for Recorder {
    fn reached(&self, token: Token, index: u32) {
        assert_eq!(token, Token::new(1, 2));
        self.0.lock().unwrap().push(Told::Reached(index));
    }

    fn failed(&self, token: Token, index: u32) {
        assert_eq!(token, Token::new(1, 2));
        self.0.lock().unwrap().push(Told::Failed(index));
    }
}

fn pending(armed: Armed) -> HeapKey {
    match armed {
        Armed::Pending(key) => key,
        other => panic!("expected a pending wait, got {other:?}"),
    }
}

fn causes(epoch: u64) -> Frontier {
    Frontier::single(Axis::queue(0, 0, 0, 0), epoch).unwrap()
}

fn broken() -> Status {
    Status::new(Code::DataLoss, Operation::None).with_message("broken")
}

fn code(result: Result) -> Code {
    result.map_or_else(|status| status.code(), |()| Code::Ok)
}

#[test]
fn a_value_that_does_not_rise_is_refused_and_changes_nothing() {
    let semaphore = Semaphore::new(3);
    for value in [0, 3] {
        assert_eq!(code(semaphore.signal(value, None)), Code::InvalidArgument);
        assert_eq!(code(semaphore.signal(value, Some(&causes(1)))), Code::InvalidArgument);
    }
    let refusal = semaphore.signal(2, None).unwrap_err();
    assert_eq!(refusal.to_string(), "semaphore signal: value 2 is not above the present value 3 (INVALID_ARGUMENT)");
    assert!(refusal.location().file().ends_with("tests.rs"));
    assert_eq!(semaphore.value(), 3);
    assert_eq!(semaphore.causes(3), Some(Knowledge::exact(Frontier::new())));
}

#[test]
fn the_largest_value_can_be_signalled_and_the_one_above_never() {
    let semaphore = Semaphore::new(0);
    let recorder = Arc::new(Recorder::default());
    let key = pending(semaphore.arm(u64::MAX, recorder.waiter(0)));
    assert_eq!(code(semaphore.signal(u64::MAX, None)), Code::InvalidArgument);
    assert_eq!(semaphore.signal_if_later(u64::MAX, None).unwrap_err().code(), Code::InvalidArgument);
    semaphore.signal(Semaphore::VALUE_MAX, None).unwrap();
    assert_eq!(semaphore.value(), Semaphore::VALUE_MAX);
    assert!(semaphore.status().is_none());
    assert_eq!(recorder.take(), []);
    assert!(semaphore.disarm(key));
}

#[test]
fn old_news_is_no_error_to_signal_if_later() {
    let semaphore = Semaphore::new(0);
    assert!(semaphore.signal_if_later(2, Some(&causes(20))).unwrap());
    assert!(!semaphore.signal_if_later(2, Some(&causes(99))).unwrap());
    assert!(!semaphore.signal_if_later(1, None).unwrap());
    assert_eq!(semaphore.causes(2), Some(Knowledge::exact(causes(20))), "the first to bring it said why");
    assert!(semaphore.fail(broken()));
    assert_eq!(semaphore.signal_if_later(2, None).unwrap_err().code(), Code::DataLoss);
}

#[test]
fn the_first_failure_stays_and_the_value_stays_with_it() {
    let semaphore = Semaphore::new(0);
    semaphore.signal(4, None).unwrap();
    assert!(semaphore.status().is_none());
    assert!(semaphore.fail(broken()));
    assert!(!semaphore.fail(Status::new(Code::Aborted, Operation::None)));
    assert_eq!(semaphore.status().unwrap().message(), Some("broken"));
    assert_eq!(code(semaphore.signal(9, None)), Code::DataLoss);
    assert_eq!(code(semaphore.signal(9, Some(&causes(1)))), Code::DataLoss);
    assert_eq!(code(semaphore.signal(1, None)), Code::DataLoss, "the failure before the wrong value");
    assert_eq!(semaphore.value(), 4);
    assert_eq!(semaphore.causes(4), Some(Knowledge::exact(Frontier::new())));
    assert_eq!(semaphore.causes(9), None);
    assert_eq!(format!("{semaphore:?}"), "Semaphore { value: 4, failure: DataLoss }");
}

#[test]
fn waiters_are_told_by_ascending_value_and_first_come_first_served() {
    let semaphore = Semaphore::new(0);
    let recorder = Arc::new(Recorder::default());
    for (index, value) in [(0, 5), (1, 2), (2, 5), (3, 2), (4, 6), (5, 1)] {
        pending(semaphore.arm(value, recorder.waiter(index)));
    }
    semaphore.signal(1, None).unwrap();
    assert_eq!(recorder.take(), [Told::Reached(5)]);
    semaphore.signal(5, Some(&causes(1))).unwrap();
    assert_eq!(recorder.take(), [1, 3, 0, 2].map(Told::Reached));
    semaphore.signal(6, None).unwrap();
    assert_eq!(recorder.take(), [Told::Reached(4)]);
}

#[test]
fn a_reached_value_is_answered_at_once_without_the_sink() {
    let semaphore = Semaphore::new(3);
    let recorder = Arc::new(Recorder::default());
    assert!(matches!(semaphore.arm(3, recorder.waiter(0)), Armed::Reached));
    assert!(matches!(semaphore.arm(0, recorder.waiter(1)), Armed::Reached));
    semaphore.signal(4, None).unwrap();
    assert_eq!(recorder.take(), []);
}

#[test]
fn a_failed_semaphore_satisfies_values_it_had_reached_and_fails_the_others() {
    let semaphore = Semaphore::new(3);
    let recorder = Arc::new(Recorder::default());
    pending(semaphore.arm(5, recorder.waiter(0)));
    pending(semaphore.arm(4, recorder.waiter(1)));
    assert!(semaphore.fail(broken()));
    assert_eq!(recorder.take(), [Told::Failed(1), Told::Failed(0)]);
    assert!(matches!(semaphore.arm(3, recorder.waiter(2)), Armed::Reached));
    match semaphore.arm(4, recorder.waiter(3)) {
        Armed::Failed(status) => assert_eq!(status.code(), Code::DataLoss),
        other => panic!("{other:?}"),
    }
    assert_eq!(recorder.take(), []);
}

#[test]
fn a_disarmed_waiter_is_never_told_and_a_told_one_cannot_be_disarmed() {
    let semaphore = Semaphore::new(0);
    let recorder = Arc::new(Recorder::default());
    let kept = pending(semaphore.arm(1, recorder.waiter(0)));
    let dropped = pending(semaphore.arm(1, recorder.waiter(1)));
    assert!(semaphore.disarm(dropped));
    assert!(!semaphore.disarm(dropped));
    semaphore.signal(1, None).unwrap();
    assert_eq!(recorder.take(), [Told::Reached(0)]);
    assert!(!semaphore.disarm(kept));
    let failed = pending(semaphore.arm(2, recorder.waiter(2)));
    semaphore.fail(broken());
    assert!(!semaphore.disarm(failed));
}

#[test]
fn a_late_waiter_on_an_old_value_inherits_that_values_causes() {
    let semaphore = Semaphore::new(0);
    semaphore.signal(2, Some(&causes(20))).unwrap();
    semaphore.signal(3, None).unwrap();
    semaphore.signal(5, Some(&causes(50))).unwrap();
    semaphore.signal(7, Some(&Frontier::new())).unwrap();
    let exactly = |epoch| Some(Knowledge::exact(causes(epoch)));
    let nothing = Some(Knowledge::exact(Frontier::new()));
    assert_eq!(semaphore.causes(0), nothing);
    assert_eq!(semaphore.causes(1), exactly(20));
    assert_eq!(semaphore.causes(2), exactly(20));
    assert_eq!(semaphore.causes(3), nothing);
    assert_eq!(semaphore.causes(4), exactly(50));
    assert_eq!(semaphore.causes(5), exactly(50));
    assert_eq!(semaphore.causes(7), nothing);
    assert_eq!(semaphore.causes(8), None);
}

#[test]
fn forgotten_causes_are_no_requirement() {
    let semaphore = Semaphore::with_history(0, 1);
    semaphore.signal(1, Some(&causes(10))).unwrap();
    semaphore.signal(2, Some(&causes(20))).unwrap();
    let forgotten = semaphore.causes(1).unwrap();
    assert_eq!(forgotten.completeness, Completeness::LowerBound);
    assert_eq!(forgotten.requirement(), None);
    assert_eq!(semaphore.causes(2).unwrap().requirement(), Some(&causes(20)));
    let standard = Semaphore::new(0);
    (1..=17).for_each(|value| standard.signal(value, Some(&causes(value))).unwrap());
    assert!(!standard.causes(1).unwrap().is_exact());
    assert!((2..=17).all(|value| standard.causes(value) == Some(Knowledge::exact(causes(value)))));
}

/// Counts how often each waiter was told.
struct Counters {
    reached: Vec<AtomicU32>,
    failed: Vec<AtomicU32>,
}

impl Counters {
    fn new(waiters: u32) -> Arc<Counters> {
        let zeroes = || (0..waiters).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Counters { reached: zeroes(), failed: zeroes() })
    }
}

impl Sink for Counters {
    fn reached(&self, _: Token, index: u32) {
        self.reached[index as usize].fetch_add(1, SeqCst);
    }

    fn failed(&self, _: Token, index: u32) {
        self.failed[index as usize].fetch_add(1, SeqCst);
    }
}

/// Signallers raise the semaphore to `value_last` in all, or fail it on the way, while waiters arm and disarm. Everyone
/// is answered exactly once: by `arm`, by the sink, or by `disarm`.
fn every_waiter_is_answered_once(value_last: u64, fail_at: Option<u64>) {
    const THREADS: u32 = 3;
    const WAITS: u32 = 4000;
    let semaphore = Semaphore::new(0);
    let counters = Counters::new(THREADS * WAITS);
    let next = AtomicU64::new(1);
    let answered_by_call: Vec<AtomicU32> = (0..THREADS * WAITS).map(|_| AtomicU32::new(0)).collect();
    let mut keys = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let value = next.fetch_add(1, SeqCst);
                    if value > value_last {
                        break;
                    }
                    if fail_at == Some(value) {
                        assert!(semaphore.fail(broken()));
                    }
                    // The threads overtake each other, so a value may come late: that is what this call is for.
                    let why = causes(value);
                    let rose = semaphore.signal_if_later(value, (value % 5 == 0).then_some(&why));
                    if let Ok(true) = rose {
                        if value % 5 == 0 {
                            let known = semaphore.causes(value).expect("who signalled a value sees it reached");
                            assert!(!known.is_exact() || known.frontier == why);
                        }
                    } else if rose.is_err() {
                        assert!(semaphore.status().is_some());
                        break;
                    }
                }
            });
        }
        let waiters: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (semaphore, counters, answered) = (&semaphore, &counters, &answered_by_call);
                scope.spawn(move || {
                    let mut keys = Vec::new();
                    for index in thread * WAITS..(thread + 1) * WAITS {
                        let ahead = 1 + u64::from(index % 7);
                        let value = (semaphore.value() + ahead).min(value_last);
                        let waiter = Waiter { sink: counters.clone(), token: Token::new(0, 0), index };
                        match semaphore.arm(value, waiter) {
                            Armed::Pending(key) if index % 3 == 0 => {
                                if semaphore.disarm(key) {
                                    answered[index as usize].fetch_add(1, SeqCst);
                                } else {
                                    let i = index as usize;
                                    let told = counters.reached[i].load(SeqCst) + counters.failed[i].load(SeqCst);
                                    assert_eq!(told, 1, "the call is complete when disarm says it was made");
                                }
                            }
                            Armed::Pending(key) => keys.push(key),
                            Armed::Reached | Armed::Failed(_) => {
                                answered[index as usize].fetch_add(1, SeqCst);
                            }
                        }
                    }
                    keys
                })
            })
            .collect();
        for waiter in waiters {
            keys.extend(waiter.join().unwrap());
        }
    });
    for (index, by_call) in answered_by_call.iter().enumerate() {
        let (reached, failed) = (counters.reached[index].load(SeqCst), counters.failed[index].load(SeqCst));
        assert_eq!(reached + failed + by_call.load(SeqCst), 1, "waiter {index}");
        assert!(failed == 0 || fail_at.is_some());
    }
    assert!(keys.into_iter().all(|key| !semaphore.disarm(key)));
    assert_eq!(semaphore.inner.awaited.load(Ordering::Relaxed), u64::MAX);
    assert!(semaphore.inner.lock().waiters.is_empty());
}

#[test]
fn every_waiter_is_answered_once_under_contention() {
    every_waiter_is_answered_once(20_000, None);
}

#[test]
fn every_waiter_is_answered_once_when_the_semaphore_fails_under_contention() {
    for fail_at in [1, 100, 5_000] {
        every_waiter_is_answered_once(20_000, Some(fail_at));
    }
}

#[test]
fn no_value_rises_after_a_failure_was_seen() {
    for _ in 0..200 {
        let semaphore = Semaphore::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| (1..200).all(|value| semaphore.signal(value, None).is_ok()));
            scope.spawn(|| {
                semaphore.fail(broken());
                let last = semaphore.value();
                for _ in 0..50 {
                    assert_eq!(semaphore.value(), last);
                }
            });
        });
    }
}

/// Figures, not a check: `cargo test --release -p proact --lib semaphore_costs -- --ignored --nocapture`.
#[test]
#[ignore = "prints figures"]
fn semaphore_costs() {
    const ROUNDS: u64 = 1_000_000;
    let time = |name: &str, mut work: Box<dyn FnMut(u64)>| {
        let start = std::time::Instant::now();
        (1..=ROUNDS).for_each(&mut work);
        println!("{name}: {:.1} ns", start.elapsed().as_nanos() as f64 / ROUNDS as f64);
    };
    let semaphore = Semaphore::new(0);
    time("signal, nobody waits", Box::new(move |value| semaphore.signal(value, None).unwrap()));

    let semaphore = Semaphore::new(0);
    let recorder = Counters::new(1);
    let waiter = |counters: &Arc<Counters>| Waiter { sink: counters.clone(), token: Token::new(0, 0), index: 0 };
    (0..1000).for_each(|ahead| _ = semaphore.arm(2 * ROUNDS + ahead, waiter(&recorder)));
    time("signal, 1000 wait for later values", Box::new(move |value| semaphore.signal(value, None).unwrap()));

    let (semaphore, why) = (Semaphore::new(0), causes(1));
    time("signal with causes", Box::new(move |value| semaphore.signal(value, Some(&why)).unwrap()));

    let (semaphore, counters) = (Semaphore::new(0), recorder.clone());
    let arm_and_signal = move |value| {
        pending(semaphore.arm(value, waiter(&counters)));
        semaphore.signal(value, None).unwrap();
    };
    time("arm and signal", Box::new(arm_and_signal));

    let semaphore = Semaphore::new(0);
    let arm_and_disarm = move |value| {
        let key = pending(semaphore.arm(value, waiter(&recorder)));
        assert!(semaphore.disarm(key));
    };
    time("arm and disarm", Box::new(arm_and_disarm));
}
