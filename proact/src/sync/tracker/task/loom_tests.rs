//! What a future and those who advance its axes share, under every interleaving: `ci/loom.sh task::loom_tests`.

use std::sync::Arc;
use std::task::Wake;

use loom::thread;

use super::*;
use crate::sync::loom_work::Work;

/// Counts its wakes.
#[derive(Default)]
struct Woken(loom::sync::atomic::AtomicU32);

impl Woken {
    fn times(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Woken>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Does the work, and what follows it; wakes whom that says.
fn begin(work: &Arc<Work>, then: impl FnOnce() -> Option<Waker> + 'static) -> thread::JoinHandle<()> {
    let work = work.clone();
    thread::spawn(move || {
        work.perform();
        if let Some(waker) = then() {
            waker.wake();
        }
    })
}

/// In line for so many axes.
fn armed(entries: u32) -> Arc<Task> {
    let task = Arc::new(Task::new(entries));
    assert!(!task.count(1));
    task
}

#[test]
fn loom_a_future_is_woken_or_sees_that_it_is_over() {
    loom::model(|| {
        let (task, work, woken) = (armed(1), Arc::new(Work::default()), Arc::new(Woken::default()));
        let advance = begin(&work, {
            let task = task.clone();
            move || task.reached()
        });
        if task.wake_later(&Waker::from(woken.clone())) {
            advance.join().unwrap();
            assert_eq!(woken.times(), 1, "asleep for ever");
            assert!(!task.wake_later(&Waker::from(woken)));
        } else {
            work.see();
            advance.join().unwrap();
        }
    });
}

#[test]
fn loom_the_last_waker_is_the_one_that_is_woken() {
    loom::model(|| {
        let task = armed(1);
        let (first, second) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let advance = thread::spawn({
            let task = task.clone();
            move || _ = task.reached().map(Waker::wake)
        });
        let _ = task.wake_later(&Waker::from(first.clone()));
        let waits = task.wake_later(&Waker::from(second.clone()));
        advance.join().unwrap();
        assert!(first.times() + second.times() <= 1);
        assert_eq!(second.times(), u32::from(waits), "only the last one counts, and it does");
    });
}

#[test]
fn loom_an_advance_and_a_failure_end_a_future_once() {
    loom::model(|| {
        let (task, work, woken) = (armed(2), Arc::new(Work::default()), Arc::new(Woken::default()));
        let advance = thread::spawn({
            let task = task.clone();
            move || _ = task.reached().map(Waker::wake)
        });
        let failure = begin(&work, {
            let task = task.clone();
            move || task.failed(1)
        });
        let waits = task.wake_later(&Waker::from(woken.clone()));
        if !waits {
            work.see();
        }
        advance.join().unwrap();
        failure.join().unwrap();
        assert_eq!(woken.times(), u32::from(waits));
        assert!(task.is_over());
        assert_eq!(task.failed.load(Ordering::Relaxed), 1);
    });
}
