//! Pools of operations: storage comes back by itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proact::operation::{CancelAll, Context, Finish, Interval, Nop, OpPool, Outcome, Timer};
use proact::time::{Time, Timeout};

use crate::bench::Cts;
use crate::cases;

cases![
    storage_comes_back_after_the_final_callback,
    storage_comes_back_from_a_callback_that_panics,
    many_outcomes_keep_their_storage_until_the_last,
    operations_are_taken_on_any_thread_and_come_back.real("other threads"),
    a_pool_may_go_while_its_operations_are_in_flight,
    a_callback_takes_from_the_pool_of_its_own_operation,
];

#[derive(Clone, Default)]
struct Tally {
    finished: Arc<AtomicUsize>,
    more: Arc<AtomicUsize>,
    panics: bool,
}

impl<K: proact::operation::Kind> Finish<K> for Tally {
    fn finish(&mut self, _: &mut K, _: Outcome<K>, _: &mut Context<'_>) {
        self.finished.fetch_add(1, Ordering::Relaxed);
        assert!(!self.panics, "as planned");
    }
    fn more(&mut self, _: &K, _: Outcome<K>, _: &mut Context<'_>) {
        self.more.fetch_add(1, Ordering::Relaxed);
    }
}

fn storage_comes_back_after_the_final_callback(cts: &mut Cts) {
    let pool = OpPool::new();
    let tally = Tally::default();
    for round in 1..=10 {
        let batch: Vec<_> = (0..7).map(|_| pool.take(Nop, tally.clone())).collect();
        assert_eq!(pool.idle(), 0);
        cts.submit(batch).unwrap();
        cts.drain();
        assert_eq!((pool.idle(), tally.finished.load(Ordering::Relaxed)), (7, 7 * round));
        assert_eq!(Arc::strong_count(&tally.finished), 1, "the states are dropped");
    }
    assert_eq!((pool.trim(2), pool.idle()), (5, 2));
}

fn storage_comes_back_from_a_callback_that_panics(cts: &mut Cts) {
    let pool = OpPool::new();
    let tally = Tally { panics: true, ..Tally::default() };
    cts.submit(pool.take(Nop, tally.clone())).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| cts.drain())).is_err());
    assert_eq!((pool.idle(), Arc::strong_count(&tally.finished)), (1, 1));
}

fn many_outcomes_keep_their_storage_until_the_last(cts: &mut Cts) {
    let pool = OpPool::new();
    let tally = Tally::default();
    let interval = Interval::new(cts.now(), std::time::Duration::from_micros(50)).times(5);
    cts.submit(pool.take(interval, tally.clone())).unwrap();
    assert_eq!(pool.idle(), 0);
    cts.drain();
    assert_eq!((pool.idle(), tally.finished.load(Ordering::Relaxed)), (1, 1));
    assert!(tally.more.load(Ordering::Relaxed) <= 4);
}

fn operations_are_taken_on_any_thread_and_come_back(cts: &mut Cts) {
    let pool = OpPool::with_capacity(4);
    let tally = Tally::default();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (pool, tally, handle) = (pool.clone(), tally.clone(), cts.handle().clone());
            std::thread::spawn(move || {
                for _ in 0..100 {
                    handle.submit(pool.take(Nop, tally.clone())).map(drop).unwrap();
                }
            })
        })
        .collect();
    cts.until("400 operations", || tally.finished.load(Ordering::Relaxed) == 400);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(pool.idle() <= 400 && pool.idle() >= 4, "{}", pool.idle());
}

fn a_pool_may_go_while_its_operations_are_in_flight(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let tally = Tally::default();
    let pool = OpPool::new();
    cts.submit(pool.take(Timer::new(Time::FAR_FUTURE), tally.clone()).within(&scope)).unwrap();
    drop(pool);
    cts.poll(Timeout::Immediate).unwrap();
    cts.get(CancelAll::new(&scope));
    assert_eq!((tally.finished.load(Ordering::Relaxed), Arc::strong_count(&tally.finished)), (1, 1));
}

/// Goes on by taking from the pool inside its own callback.
struct Relay(OpPool<Nop, Relay>, usize);

impl Finish<Nop> for Relay {
    fn finish(&mut self, _: &mut Nop, outcome: Outcome<Nop>, cx: &mut Context<'_>) {
        outcome.result.unwrap();
        if self.1 > 0 {
            cx.submit(self.0.take(Nop, Relay(self.0.clone(), self.1 - 1))).unwrap();
        }
    }
}

fn a_callback_takes_from_the_pool_of_its_own_operation(cts: &mut Cts) {
    let pool = OpPool::new();
    cts.submit(pool.take(Nop, Relay(pool.clone(), 100))).unwrap();
    cts.drain();
    assert_eq!(pool.idle(), 2, "one in flight, and the one whose callback takes the next");
    assert_eq!(pool.trim(0), 2);
}
