//! The sleep of the inline loop under every interleaving: `ci/loom.sh loom_tests::loom_sleeps`.

use std::task::Waker;

use loom::thread;

use super::*;
use crate::atomic::{AtomicBool, Ordering};
use crate::event_loop::woken::PlaceWaker;

/// Sets a flag, and then calls a waker. Relaxed: what a wake does not make seen is a finding.
fn wakes(waker: &Waker, done: &AtomicBool) {
    done.store(true, Ordering::Relaxed);
    waker.wake_by_ref();
}

#[test]
fn loom_sleeps_end_with_every_wake() {
    loom::model(|| {
        let woken = Woken::new(Parked::default());
        let places = [0, 1].map(|place| PlaceWaker::new(place, woken.clone()));
        let done = Arc::new([(); 3].map(|()| AtomicBool::new(false)));
        let [one, other] = [0, 1].map(|place: usize| (places[place].1.clone(), done.clone()));
        let one = thread::spawn(move || wakes(&one.0, &one.1[0]));
        let other = thread::spawn(move || {
            wakes(&other.0, &other.1[1]);
            wakes(&other.0, &other.1[2]);
        });
        let clock = Clock::monotonic();
        let mut to_poll = Vec::new();
        let mut seen = [false; 3];
        while !seen.iter().all(|seen| *seen) {
            sleep(&woken, &clock, None);
            woken.take(&mut to_poll, 2);
            for place in to_poll.drain(..) {
                places[place as usize].0.unlist();
                let flags = if place == 0 { 0..1 } else { 1..3 };
                flags.for_each(|flag| seen[flag] |= done[flag].load(Ordering::Relaxed));
            }
        }
        one.join().unwrap();
        other.join().unwrap();
    });
}
