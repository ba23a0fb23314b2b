//! A thread that parks under every interleaving: `ci/loom.sh loom_tests::loom_parks`.

use loom::thread::{JoinHandle, spawn};

use super::*;

/// What two others do, each on its thread, and then wake. Relaxed: what a wake does not make seen is a finding.
struct Done([AtomicBool; 2]);

impl Done {
    fn begin(waker: &Waker) -> (Arc<Done>, [JoinHandle<()>; 2]) {
        let done = Arc::new(Done([(); 2].map(|()| AtomicBool::new(false))));
        let threads = [0, 1].map(|index| {
            let (done, waker) = (done.clone(), waker.clone());
            spawn(move || {
                done.0[index].store(true, Ordering::Relaxed);
                waker.wake();
            })
        });
        (done, threads)
    }

    fn has(&self, index: usize) -> bool {
        self.0[index].load(Ordering::Relaxed)
    }
}

fn model(wait: fn(&Parker, &Done)) {
    loom::model(move || {
        let parker = Parker::new();
        let (done, threads) = Done::begin(&Waker::from(parker.clone()));
        wait(&parker, &done);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

fn over(is_over: bool) -> ControlFlow<(), Option<Duration>> {
    if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(None) }
}

#[test]
fn loom_parks_end_with_every_wake() {
    model(|parker, done| parker.wait(|| over(done.has(0) && done.has(1))));
}

/// One wait within a look of another, on the same thread: the inner one parks, and may take the outer one's wake.
#[test]
fn loom_parks_within_a_look_take_no_wake_away() {
    model(|parker, done| {
        let mut is_first = true;
        parker.wait(|| {
            let is_over = done.has(0);
            if std::mem::take(&mut is_first) {
                parker.wait(|| over(done.has(1)));
            }
            over(is_over)
        });
    });
}
