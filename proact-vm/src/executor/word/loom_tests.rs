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
    /// How often what it holds was given up.
    ends: AtomicU32,
    is_answered: AtomicBool,
}

impl Waits {
    fn new() -> Arc<Waits> {
        Arc::new(Waits {
            word: Word::queued(),
            ready: AtomicBool::new(false),
            queued: AtomicU32::new(1),
            held: AtomicBool::new(false),
            ends: AtomicU32::new(0),
            is_answered: AtomicBool::new(false),
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
        match self.word.park() {
            Park::Parked => {}
            Park::Woken => self.put(),
            Park::Over => self.give_up(),
        }
        true
    }

    fn hold(&self) {
        assert!(!self.held.swap(true, Ordering::AcqRel), "one thread has it at a time");
    }

    fn end(&self) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        if !self.is_answered.swap(true, Ordering::AcqRel) {
            assert!(self.word.end(), "who ends it has it");
        }
    }

    /// What it holds is given up: it has been answered for.
    fn give_up(&self) {
        self.hold();
        self.ends.fetch_add(1, Ordering::AcqRel);
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

    /// A shutdown that answers for it, without waiting for the thread that may have it.
    fn abandon(&self) {
        if !self.is_answered.swap(true, Ordering::AcqRel) && !self.word.end() {
            self.give_up();
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
fn loom_what_is_answered_for_while_it_parks_is_given_up_once() {
    explore(Waits::abandon, None);
    explore(Waits::abandon, Some(Waits::wake));
}

#[test]
fn loom_one_that_is_given_up_while_it_is_held_ends_once() {
    fn give_up(waits: &Waits) {
        if waits.word.take() {
            waits.hold();
            waits.end();
        }
    }
    explore(give_up, Some(Waits::cancel));
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
