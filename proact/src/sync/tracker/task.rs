//! Waiting for a frontier as a future, under any executor.

use std::future::Future;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};

use super::Watch;
use super::record::Party;
use crate::atomic::{AtomicU32, Mutex, MutexGuard, Ordering};
use crate::status::Result;

#[cfg(all(test, loom))]
mod loom_tests;

/// No index: nothing has failed.
const NONE: u32 = u32::MAX;

/// What a future and those who advance its axes share.
pub(crate) struct Task {
    /// Axes that are to be reached, and one more while the wait is being armed.
    left: AtomicU32,
    /// The first entry whose axis failed.
    failed: AtomicU32,
    waker: Mutex<Option<Waker>>,
}

impl Task {
    fn new(entries: u32) -> Task {
        Task { left: AtomicU32::new(entries + 1), failed: AtomicU32::new(NONE), waker: Mutex::new(None) }
    }

    /// One axis has come as far. Answers whom to wake.
    pub(super) fn reached(&self) -> Option<Waker> {
        self.count(1).then(|| self.take_waker()).flatten()
    }

    pub(super) fn failed(&self, index: u32) -> Option<Waker> {
        let first = self.failed.compare_exchange(NONE, index, Ordering::AcqRel, Ordering::Acquire).is_ok();
        first.then(|| self.take_waker()).flatten()
    }

    fn count(&self, reached: u32) -> bool {
        self.left.fetch_sub(reached, Ordering::AcqRel) == reached
    }

    fn take_waker(&self) -> Option<Waker> {
        self.lock().take()
    }

    /// Has `waker` woken when the wait is over. `false`: it is over already.
    fn wake_later(&self, waker: &Waker) -> bool {
        let known = self.lock();
        // Asked under the lock: whoever changes the answer takes the waker afterwards.
        if self.is_over() {
            return false;
        }
        if known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return true;
        }
        drop(known);
        // A waker's code, also that of its clone and of its end, runs under no lock.
        let mut waker = Some(waker.clone());
        let mut known = self.lock();
        let waits = !self.is_over();
        if waits {
            std::mem::swap(&mut *known, &mut waker);
        }
        drop(known);
        drop(waker);
        waits
    }

    fn is_over(&self) -> bool {
        self.left.load(Ordering::Acquire) == 0 || self.failed.load(Ordering::Acquire) != NONE
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends when a frontier has been reached: [`Tracker::reached`](super::Tracker::reached).
///
/// It waits from its first poll on. Dropping it takes it out of every line. It keeps no tracker alive.
#[derive(Debug)]
#[must_use = "a future does nothing until it is polled"]
pub struct FrontierReached {
    watch: Watch,
    task: Option<std::sync::Arc<Task>>,
    over: bool,
}

impl FrontierReached {
    pub(super) fn new(watch: Watch) -> FrontierReached {
        FrontierReached { watch, task: None, over: false }
    }

    /// Puts the wait in line.
    fn begin(&mut self) -> Result<std::sync::Arc<Task>> {
        let task = std::sync::Arc::new(Task::new(self.watch.len() as u32));
        let party = task.clone();
        let reached = self.watch.arm(|index| Party::Task(party.clone(), index))?;
        task.count(reached + 1);
        Ok(self.task.insert(task).clone())
    }

    fn end(&mut self, result: Result<()>) -> Poll<Result<()>> {
        self.watch.disarm();
        self.over = true;
        Poll::Ready(result)
    }
}

impl Future for FrontierReached {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        assert!(!self.over, "polled after its end");
        let task = match self.task.clone() {
            Some(task) => task,
            None => match self.begin() {
                Ok(task) => task,
                Err(status) => return self.end(Err(status)),
            },
        };
        if task.wake_later(cx.waker()) {
            return Poll::Pending;
        }
        let result = match task.left.load(Ordering::Acquire) {
            0 => Ok(()),
            _ => Err(self.watch.failure(task.failed.load(Ordering::Acquire))),
        };
        self.end(result)
    }
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("left", &self.left.load(Ordering::Relaxed)).finish_non_exhaustive()
    }
}
