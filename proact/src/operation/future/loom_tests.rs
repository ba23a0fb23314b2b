//! The future of an operation and its end on another thread, under every interleaving.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use loom::sync::Notify;
use loom::thread;

use super::flight::{FlightPtr, Look};
use crate::operation::Nop;
use crate::operation::op::{Marks, Outcome};

/// A waker that is heard by the next look, and counts those that are there.
struct Bell {
    rung: Notify,
    alive: Arc<AtomicUsize>,
}

impl Bell {
    #[allow(clippy::arc_with_non_send_sync)] // a model's threads are coroutines of one thread
    fn new(alive: &Arc<AtomicUsize>) -> Arc<Bell> {
        alive.fetch_add(1, Ordering::Relaxed);
        Arc::new(Bell { rung: Notify::new(), alive: alive.clone() })
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.notify();
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A flight whose first waker is in its place, and the thread that ends it.
fn flight(waker: &Waker) -> (FlightPtr<Nop>, thread::JoinHandle<()>) {
    let flight = FlightPtr::new::<true>(Nop);
    // SAFETY: not in flight yet.
    unsafe { flight.set_waker(waker) };
    let outcome = Outcome { result: Ok(()), moved: 7, marks: Marks::empty() };
    // SAFETY: in flight by definition; once.
    let engine = thread::spawn(move || unsafe { flight.end_shared(outcome) });
    (flight, engine)
}

/// Looks until it has ended, as one who sleeps in between and is polled with a new waker each time.
fn wait(flight: FlightPtr<Nop>, first: Arc<Bell>, alive: &Arc<AtomicUsize>, looks: usize) -> bool {
    let mut bell = first;
    for _ in 0..looks {
        let next = Bell::new(alive);
        // SAFETY: in flight; not used after its end.
        match unsafe { flight.look::<true>(&Waker::from(next.clone())) } {
            Look::Ready(Nop, outcome) => {
                assert_eq!(outcome.moved, 7);
                return true;
            }
            Look::Ending => thread::yield_now(),
            Look::Pending => bell = next,
        }
        if looks == usize::MAX {
            bell.rung.wait();
        }
    }
    false
}

#[test]
fn loom_an_outcome_reaches_the_future_and_wakes_the_last_waker() {
    loom::model(|| {
        let alive = Arc::new(AtomicUsize::new(0));
        let first = Bell::new(&alive);
        let (flight, engine) = flight(&Waker::from(first.clone()));
        assert!(wait(flight, first, &alive, usize::MAX));
        engine.join().unwrap();
        assert_eq!(alive.load(Ordering::Relaxed), 0, "no waker is left");
    });
}

#[test]
fn loom_a_future_that_goes_leaves_the_storage_to_one_of_both() {
    for looks in [0, 1] {
        loom::model(move || {
            let alive = Arc::new(AtomicUsize::new(0));
            let first = Bell::new(&alive);
            let (flight, engine) = flight(&Waker::from(first.clone()));
            if !wait(flight, first, &alive, looks) {
                // SAFETY: in flight, or ended and not taken.
                unsafe { flight.abandon::<true>() };
            }
            engine.join().unwrap();
            assert_eq!(alive.load(Ordering::Relaxed), 0, "no waker is left");
        });
    }
}
