//! Waiting for a buffer under every interleaving: `ci/loom.sh loom_tests::loom_waiter`.

use std::sync::Arc;

use loom::sync::atomic::AtomicU32;
use loom::thread;

use super::super::free_list::Given;
use super::*;
use crate::atomic::Ordering;

/// A list and its waiters, as a pool has them.
struct Pool {
    list: FreeList,
    waiters: Waiters,
}

/// A set of those that were told, by slot.
struct Told(AtomicU32);

impl Starved for Told {
    fn buffer_returned(&self, token: Token) {
        self.0.fetch_or(1 << token.slot(), Ordering::AcqRel);
    }
}

impl Told {
    fn new() -> Arc<Told> {
        Arc::new(Told(AtomicU32::new(0)))
    }

    fn has(&self, slot: u32) -> bool {
        self.0.load(Ordering::Acquire) & 1 << slot != 0
    }
}

impl Pool {
    fn new(count: u32) -> Arc<Pool> {
        Arc::new(Pool { list: FreeList::new(count), waiters: Waiters::new() })
    }

    fn give(&self, index: u32) {
        if self.list.give(index, || ()) == Given::ToWaiter {
            self.waiters.tell(&self.list);
        }
    }

    /// Takes a number, or waits for one; `Err` is the wait.
    fn take_or_wait(&self, slot: u32, told: &Arc<Told>) -> Result<u32, WaitKey> {
        loop {
            if let Some(index) = self.list.take() {
                return Ok(index);
            }
            if let Some(key) = self.waiters.wait(&self.list, Token::new(0, slot), told.clone()) {
                return Err(key);
            }
        }
    }
}

fn giving(pool: &Arc<Pool>, index: u32) -> thread::JoinHandle<()> {
    let pool = pool.clone();
    thread::spawn(move || pool.give(index))
}

#[test]
fn loom_waiter_and_give_do_not_miss_each_other() {
    loom::model(|| {
        let (pool, told) = (Pool::new(1), Told::new());
        let thread = giving(&pool, pool.list.take().unwrap());
        let got = pool.take_or_wait(0, &told);
        thread.join().unwrap();
        assert!(got.is_ok() || told.has(0), "it waits for a buffer that is there");
    });
}

#[test]
fn loom_waiter_is_told_for_each_of_two_gives() {
    loom::model(|| {
        let (pool, told) = (Pool::new(2), Told::new());
        let (first, second) = (pool.list.take().unwrap(), pool.list.take().unwrap());
        let waits = [0, 1].map(|slot| pool.take_or_wait(slot, &told).is_err());
        assert_eq!(waits, [true, true]);
        let thread = giving(&pool, first);
        pool.give(second);
        thread.join().unwrap();
        assert!(told.has(0) && told.has(1));
    });
}

#[test]
fn loom_waiter_behind_one_that_is_forgotten_is_told() {
    loom::model(|| {
        let (pool, told) = (Pool::new(1), Told::new());
        let index = pool.list.take().unwrap();
        let first = pool.take_or_wait(0, &told).unwrap_err();
        assert!(pool.take_or_wait(1, &told).is_err());
        let thread = giving(&pool, index);
        pool.waiters.forget(&pool.list, first);
        thread.join().unwrap();
        assert!(told.has(1), "the buffer is there, and the one that was told of it has gone");
    });
}

#[test]
fn loom_waiter_is_told_when_who_was_faster_gives_back() {
    loom::model(|| {
        let (pool, told) = (Pool::new(1), Told::new());
        let index = pool.list.take().unwrap();
        assert!(pool.take_or_wait(0, &told).is_err());
        let thief = {
            let pool = pool.clone();
            thread::spawn(move || {
                if let Some(index) = pool.list.take() {
                    pool.give(index);
                }
            })
        };
        pool.give(index);
        thief.join().unwrap();
        assert!(told.has(0));
    });
}
