//! Who waits for a buffer of a pool that has none.
//!
//! The queue is behind a lock, which no one takes while buffers suffice: only the free list's mark leads here. What
//! holds whenever the lock is free: **if anyone is queued, the list is marked, or who took the mark is on the way**;
//! and for each buffer that was there when the mark was set, one was told.
//!
//! Being told is no promise: another thread may take the buffer first. Whoever is told tries, and waits again. Told
//! too often is harmless; too seldom is an operation that never ends.

use std::collections::VecDeque;

use super::free_list::FreeList;
use crate::atomic::{Mutex, MutexGuard};
use crate::backend::Token;

#[cfg(all(test, loom))]
mod loom_tests;

/// Told when a buffer came back that it waited for.
pub(crate) trait Starved: Send + Sync {
    /// The wait under `token` is over: there was a buffer. Any thread, under no lock; must not block.
    fn buffer_returned(&self, token: Token);
}

/// Names a wait in its pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct WaitKey(u64);

struct Waiter {
    key: WaitKey,
    token: Token,
    sink: std::sync::Arc<dyn Starved>,
}

struct Queue {
    waiters: VecDeque<Waiter>,
    next: u64,
}

/// The queue of one pool.
pub(super) struct Waiters {
    queue: Mutex<Queue>,
}

/// Waits that a pool has room for without asking the allocator again.
const ROOM: usize = 64;

impl Waiters {
    pub(super) fn new() -> Waiters {
        Waiters { queue: Mutex::new(Queue { waiters: VecDeque::with_capacity(ROOM), next: 0 }) }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Queues a wait. `None`: there is a buffer now, and nothing is queued.
    pub(super) fn wait(&self, list: &FreeList, token: Token, sink: std::sync::Arc<dyn Starved>) -> Option<WaitKey> {
        self.queue(list, token, sink, false)
    }

    /// As [`Waiters::wait`], before all others: for one that was told, and found the buffer taken.
    pub(super) fn wait_again(
        &self,
        list: &FreeList,
        token: Token,
        sink: std::sync::Arc<dyn Starved>,
    ) -> Option<WaitKey> {
        self.queue(list, token, sink, true)
    }

    fn queue(&self, list: &FreeList, token: Token, sink: std::sync::Arc<dyn Starved>, first: bool) -> Option<WaitKey> {
        let mut queue = self.lock();
        // Marked under the lock: whoever sees the mark comes here after the wait has been queued.
        if !list.starve() {
            return None;
        }
        let key = WaitKey(queue.next);
        queue.next += 1;
        let waiter = Waiter { key, token, sink };
        if first {
            queue.waiters.push_front(waiter);
        } else {
            queue.waiters.push_back(waiter);
        }
        Some(key)
    }

    /// Tells those that wait, one for each buffer there is.
    pub(super) fn tell(&self, list: &FreeList) {
        let mut told = 0;
        loop {
            let mut queue = self.lock();
            // Marked anew first, so that a give which comes while this counts calls for itself.
            if queue.waiters.is_empty() || list.starve_beyond() <= told {
                return;
            }
            let Some(waiter) = queue.waiters.pop_front() else { return };
            told += 1;
            drop(queue);
            waiter.sink.buffer_returned(waiter.token);
        }
    }

    /// Ends a wait that was queued. If it has been told already the buffer it was told of is someone else's.
    pub(super) fn forget(&self, list: &FreeList, key: WaitKey) {
        let mut queue = self.lock();
        match queue.waiters.iter().position(|waiter| waiter.key == key) {
            Some(index) => drop(queue.waiters.remove(index)),
            None => {
                drop(queue);
                self.tell(list);
            }
        }
    }
}
