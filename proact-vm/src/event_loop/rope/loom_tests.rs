//! The loop's bell under every interleaving: `ci/loom.sh loom_tests::loom_rings`.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use loom::thread;

use super::*;
use crate::atomic::model::Rung;
use crate::event_loop::woken::{PlaceWaker, Woken};

/// Sets a flag, and then calls a waker. Relaxed: what a wake does not make seen is a finding.
fn wakes(waker: &Waker, done: &AtomicBool) {
    done.store(true, Ordering::Relaxed);
    waker.wake_by_ref();
}

/// Two waits, one of which is woken twice, by two threads. The loop sees all three, and sleeps for ever if a ring is
/// lost: also one that told nothing because another one had been on its way.
#[test]
fn loom_rings_are_heard_whoever_else_rings() {
    loom::model(|| {
        let semaphore = Semaphore::new(0);
        let woken = Woken::new(Rope::new(semaphore.clone()));
        let places = [0, 1].map(|place| PlaceWaker::new(place, woken.clone()));
        let done = Arc::new([(); 3].map(|()| AtomicBool::new(false)));
        let [one, other] = [0, 1].map(|place: usize| (places[place].1.clone(), done.clone()));
        let one = thread::spawn(move || wakes(&one.0, &one.1[0]));
        let other = thread::spawn(move || {
            wakes(&other.0, &other.1[1]);
            wakes(&other.0, &other.1[2]);
        });
        let rung = Rung::new();
        let waker = rung.waker();
        let mut to_poll = Vec::new();
        let mut seen = [false; 3];
        loop {
            // As a callback of the loop's operation,
            woken.bell.rearm();
            // as a look of its queue,
            woken.take(&mut to_poll, 2);
            for place in to_poll.drain(..) {
                places[place as usize].0.unlist();
                let flags = if place == 0 { 0..1 } else { 1..3 };
                flags.for_each(|flag| seen[flag] |= done[flag].load(Ordering::Relaxed));
            }
            if seen.iter().all(|seen| *seen) {
                break;
            }
            // and as the operation, which goes on.
            let mut wait = pin!(semaphore.future(woken.bell.awaited()));
            while wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
                rung.wait();
            }
        }
        one.join().unwrap();
        other.join().unwrap();
    });
}
