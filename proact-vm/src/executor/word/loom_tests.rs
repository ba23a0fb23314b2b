//! Every interleaving: no wake is lost, and an invocation is one thread's at a time.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use loom::thread;

use super::{Claim, Doing, Park, Word};

/// An invocation that waits for a flag, and the length of a queue that holds nothing else.
#[derive(Debug)]
struct Waits {
    word: Word,
    ready: AtomicBool,
    queued: AtomicU32,
    held: AtomicBool,
    ends: AtomicU32,
}

impl Waits {
    fn new() -> Arc<Waits> {
        Arc::new(Waits {
            word: Word::queued(),
            ready: AtomicBool::new(false),
            queued: AtomicU32::new(1),
            held: AtomicBool::new(false),
            ends: AtomicU32::new(0),
        })
    }

    fn put(&self) {
        assert_eq!(self.queued.fetch_add(1, Ordering::AcqRel), 0, "it is in its queue once");
    }

    /// Runs what is in the queue, once. `true`: it may be there again.
    fn serve(&self) -> bool {
        if self.queued.compare_exchange(1, 0, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return false;
        }
        if !self.word.start() {
            return false;
        }
        self.hold();
        if self.ready.load(Ordering::Acquire) || self.word.is_cancelled() || self.word.is_aborted() {
            self.end();
            return false;
        }
        self.held.store(false, Ordering::Release);
        if self.word.park() == Park::Woken {
            self.put();
        }
        true
    }

    fn hold(&self) {
        assert!(!self.held.swap(true, Ordering::AcqRel), "one thread has it at a time");
    }

    fn end(&self) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        self.word.end();
    }

    fn wake(&self) {
        self.ready.store(true, Ordering::Release);
        if self.word.wake() {
            self.put();
        }
    }

    fn cancel(&self) {
        if self.word.cancel() {
            self.put();
        }
    }

    fn abort(&self) {
        if self.word.claim() == Claim::Taken {
            self.hold();
            self.end();
        }
    }

    fn expect_ended_once(&self) {
        while self.serve() {}
        assert_eq!((self.ends.load(Ordering::Acquire), self.word.doing()), (1, Doing::Ended));
    }
}

fn explore(one: fn(&Waits), other: Option<fn(&Waits)>) {
    loom::model(move || {
        let waits = Waits::new();
        let threads = std::iter::once(one).chain(other).map(|act| {
            let waits = waits.clone();
            thread::spawn(move || act(&waits))
        });
        let threads: Vec<_> = threads.collect();
        waits.serve();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        waits.expect_ended_once();
    });
}

#[test]
fn loom_a_wake_while_it_parks_is_not_lost() {
    explore(Waits::wake, None);
}

#[test]
fn loom_a_cancel_while_it_parks_is_not_lost() {
    explore(Waits::cancel, Some(Waits::wake));
}

#[test]
fn loom_an_abort_meets_a_wake() {
    explore(Waits::abort, Some(Waits::wake));
}

#[test]
fn loom_an_abort_meets_a_cancel() {
    explore(Waits::abort, Some(Waits::cancel));
}

#[test]
fn loom_two_workers_and_a_wake() {
    explore(
        Waits::wake,
        Some(|waits| {
            waits.serve();
        }),
    );
}
