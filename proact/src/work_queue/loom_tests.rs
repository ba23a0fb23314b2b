//! A queue, its workers and its end under every interleaving: `ci/loom.sh loom_tests::loom_jobs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use loom::thread;

use super::*;

/// Counts for each job, by its number: the machine's own, which order nothing.
#[derive(Default)]
struct Counts([AtomicU32; 3]);

impl Counts {
    fn one(&self, job: usize) {
        self.0[job].fetch_add(1, Ordering::Relaxed);
    }

    fn all(&self) -> [u32; 3] {
        self.0.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

struct Rig {
    queue: Arc<WorkQueue<usize>>,
    taken: Arc<Counts>,
    back: Arc<Counts>,
}

impl Rig {
    #[allow(clippy::arc_with_non_send_sync)] // a model's threads are coroutines of one thread
    fn new() -> Rig {
        Rig { queue: Arc::new(WorkQueue::new()), taken: Arc::default(), back: Arc::default() }
    }

    /// A worker: one that is never told of the end waits for ever, which loom finds.
    fn worker(&self) -> thread::JoinHandle<()> {
        let (queue, taken) = (self.queue.clone(), self.taken.clone());
        thread::spawn(move || {
            while let Some(job) = queue.take() {
                taken.one(job);
            }
        })
    }

    fn put(&self, job: usize) {
        if let Err(job) = self.queue.put(job) {
            self.back.one(job);
        }
    }

    fn each_once(&self) -> [u32; 3] {
        let (taken, back) = (self.taken.all(), self.back.all());
        [0, 1, 2].map(|job| taken[job] + back[job])
    }
}

/// The end comes before a worker looks, between its look and its sleep, or in its sleep.
#[test]
fn loom_jobs_end_for_workers_that_wait_and_for_such_as_begin_to() {
    loom::model(|| {
        let rig = Rig::new();
        let workers = [rig.worker(), rig.worker()];
        rig.queue.close();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

#[test]
fn loom_jobs_put_before_the_close_are_all_taken_once() {
    loom::model(|| {
        let rig = Rig::new();
        let workers = [rig.worker(), rig.worker()];
        rig.put(0);
        rig.put(1);
        rig.queue.close();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
        assert_eq!((rig.taken.all(), rig.back.all()), ([1, 1, 0], [0, 0, 0]));
    });
}

#[test]
fn loom_jobs_put_while_it_is_closed_are_taken_or_given_back_once() {
    for empties in [false, true] {
        loom::model(move || {
            let rig = Rig::new();
            let worker = rig.worker();
            rig.put(0);
            let closer = {
                let (queue, back) = (rig.queue.clone(), rig.back.clone());
                thread::spawn(move || match empties {
                    true => queue.close_and_empty().into_iter().for_each(|job| back.one(job)),
                    false => queue.close(),
                })
            };
            rig.put(1);
            rig.put(2);
            closer.join().unwrap();
            worker.join().unwrap();
            assert_eq!(rig.each_once(), [1, 1, 1]);
            assert!(empties || rig.taken.all()[0] == 1, "it was there before the close, which takes nothing back");
        });
    }
}

/// With one job and two who wait, the wake of the one is not lost on the other, which has gone to the end already.
#[test]
fn loom_jobs_are_taken_by_the_last_worker_awake() {
    loom::model(|| {
        let rig = Rig::new();
        let (first, second) = (rig.worker(), rig.worker());
        rig.put(0);
        // Only a job that was taken counts, so that a lost wake is a deadlock here and no end comes to its help.
        let (queue, taken) = (rig.queue.clone(), rig.taken.clone());
        let closer = thread::spawn(move || {
            while taken.all()[0] == 0 {
                thread::yield_now();
            }
            queue.close();
        });
        closer.join().unwrap();
        first.join().unwrap();
        second.join().unwrap();
        assert_eq!(rig.taken.all(), [1, 0, 0]);
    });
}
