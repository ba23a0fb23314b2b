//! Wakes under every interleaving: `ci/loom.sh loom_tests::loom_wakes`.

use loom::thread;

use super::*;
use crate::atomic::model::Rung;

/// Two that wake, each after what it does: who waits sees both, and sleeps for ever if one is lost.
#[test]
fn loom_wakes_are_seen_with_what_was_done_before_them() {
    loom::model(|| {
        let wakeup = Arc::new(Wakeup::default());
        let done = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let wakers = [0, 1].map(|index| {
            let (wakeup, done) = (wakeup.clone(), done.clone());
            thread::spawn(move || {
                done[index].store(true, Ordering::Relaxed);
                wakeup.wake_by_ref();
            })
        });
        let rung = Rung::new();
        let waker = rung.waker();
        loop {
            // As a function that is polled.
            wakeup.take();
            if done.iter().all(|done| done.load(Ordering::Relaxed)) {
                break;
            }
            // As its driver.
            wakeup.register(&waker);
            if !wakeup.take() {
                rung.wait();
            }
        }
        wakeup.unregister();
        wakers.into_iter().for_each(|waker| waker.join().unwrap());
    });
}
