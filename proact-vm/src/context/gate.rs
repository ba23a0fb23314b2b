//! One at a time: whose turn it is in a context that is not concurrent.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::atomic::{AtomicBool, AtomicUsize, Mutex, MutexGuard, Ordering, in_one_order};
use crate::error::Result;

/// Who is in, and who waits for it: first come, first served.
#[derive(Default)]
pub(crate) struct Gate {
    taken: AtomicBool,
    /// How many stand in the queue: read without its lock.
    waiting: AtomicUsize,
    queue: Mutex<VecDeque<Arc<Ticket>>>,
}

/// A place in the queue.
#[derive(Default, Debug)]
pub(crate) struct Ticket {
    granted: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Gate {
    #[inline]
    pub(crate) fn try_enter(&self) -> bool {
        // That it is taken is seen in one order with what was done before, too: see `join`.
        self.taken.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// For who is in.
    #[inline]
    pub(crate) fn leave(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            return self.hand_over();
        }
        self.taken.store(false, Ordering::SeqCst);
        // Either who joined the queue meanwhile finds the gate free, or is counted here.
        in_one_order();
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.grant();
        }
    }

    /// Lets the first of the queue in instead of who leaves: no one who comes meanwhile gets in before it.
    #[cold]
    fn hand_over(&self) {
        let queue = self.queue();
        if queue.is_empty() {
            // Who joins has the lock later, and finds the gate free then.
            self.taken.store(false, Ordering::SeqCst);
            return;
        }
        self.admit_first(queue);
    }

    /// Stands in line.
    pub(crate) fn join(&self) -> Arc<Ticket> {
        let ticket = Arc::new(Ticket::default());
        let mut queue = self.queue();
        queue.push_back(ticket.clone());
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(queue);
        // Whoever is in and leaves sees this one counted, or it is seen here that the gate is free.
        in_one_order();
        self.grant();
        ticket
    }

    /// Gives a place up: one that has its turn leaves.
    pub(crate) fn give_up(&self, ticket: &Arc<Ticket>) {
        let mut queue = self.queue();
        let place = queue.iter().position(|waiting| Arc::ptr_eq(waiting, ticket));
        if let Some(place) = place {
            queue.remove(place);
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        drop(queue);
        if ticket.is_granted() {
            self.leave();
        }
    }

    /// Lets the first of the queue in, if no one is.
    fn grant(&self) {
        let queue = self.queue();
        if queue.is_empty() || !self.try_enter() {
            return; // who is in grants when it leaves
        }
        self.admit_first(queue);
    }

    /// The gate is taken, for the first of the queue.
    fn admit_first(&self, mut queue: MutexGuard<'_, VecDeque<Arc<Ticket>>>) {
        let first = queue.pop_front();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        // Under the lock: who gives up meanwhile finds the place in the queue, or granted.
        let waker = first.and_then(|first| {
            first.granted.store(true, Ordering::SeqCst);
            first.waker.lock().unwrap_or_else(PoisonError::into_inner).take()
        });
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Arc<Ticket>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    pub(crate) fn is_granted(&self) -> bool {
        self.granted.load(Ordering::SeqCst)
    }
}

/// Over when the ticket's turn has come.
pub(crate) struct Turn(pub(crate) Arc<Ticket>);

impl Future for Turn {
    type Output = Result;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result> {
        let waker = cx.waker().clone();
        let before = self.0.waker.lock().unwrap_or_else(PoisonError::into_inner).replace(waker);
        drop(before);
        if self.0.is_granted() { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
