//! What threads of one's own take their work from: a device's stand-in, or the threads of a scheduler's queue.
//!
//! The standard library's channel would do, but for its end: whoever drops the receiver drops what waits in it, and it
//! cannot be modelled. Here nothing is lost silently, and `loom_tests` says so of every interleaving: **each job that
//! was put is taken once, or given back once**, and a worker that begins to wait hears of the end.

use std::collections::VecDeque;
use std::sync::PoisonError;

use crate::atomic::{Condvar, Mutex, MutexGuard};

#[cfg(all(test, loom))]
mod loom_tests;

/// A queue of jobs, first in, first out, shared by who puts and who takes.
pub struct WorkQueue<T> {
    state: Mutex<State<T>>,
    /// A job came, or the end.
    changed: Condvar,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
}

impl<T> WorkQueue<T> {
    /// One that is open and empty.
    #[allow(clippy::new_without_default)] // made in two places
    pub fn new() -> WorkQueue<T> {
        let state = State { waiting: VecDeque::new(), closed: false };
        WorkQueue { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics under the lock with the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a job behind all others.
    ///
    /// # Errors
    /// The job, if the queue is closed.
    pub fn put(&self, job: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(job);
        }
        state.waiting.push_back(job);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Takes the first job, and waits until there is one. `None`: it is closed, and no job waits any more.
    pub fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Refuses jobs from now on. Those that wait are still to be taken.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Refuses jobs from now on, and answers those that nobody has taken: nobody will.
    pub fn close_and_empty(&self) -> VecDeque<T> {
        let mut state = self.lock();
        state.closed = true;
        let left = std::mem::take(&mut state.waiting);
        drop(state);
        self.changed.notify_all();
        left
    }

    /// Whether it refuses jobs.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }
}

impl<T> std::fmt::Debug for WorkQueue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.lock();
        f.debug_struct("WorkQueue").field("waiting", &state.waiting.len()).field("closed", &state.closed).finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn jobs_come_in_their_order_and_those_that_wait_outlive_the_close() {
        let queue = WorkQueue::new();
        assert_eq!((queue.put(1), queue.put(2)), (Ok(()), Ok(())));
        queue.close();
        assert_eq!((queue.put(3), queue.is_closed()), (Err(3), true));
        assert_eq!((queue.take(), queue.take(), queue.take()), (Some(1), Some(2), None));
    }

    #[test]
    fn what_nobody_took_is_given_back_at_the_end() {
        let queue = WorkQueue::new();
        assert_eq!((queue.put(1), queue.put(2), queue.take()), (Ok(()), Ok(()), Some(1)));
        assert_eq!((queue.close_and_empty(), queue.take()), (VecDeque::from([2]), None));
    }
}
