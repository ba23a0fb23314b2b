//! What is done after a semaphore's lock was let go: futures and threads are woken, linked semaphores signalled.

use std::mem;
use std::sync::{Arc, PoisonError};
use std::task::Waker;

use super::{By, Causes, Inner, Semaphore, Waiter};
use crate::atomic::{Condvar, Mutex, MutexGuard};
use crate::causal::Knowledge;
use crate::status::Status;

/// Who stands in a semaphore's line.
pub(super) enum Entry {
    /// An operation: told under the lock.
    Sink(Waiter),
    /// Something that is done after the lock, and which of its waits this is.
    Node(Arc<Node>, u32),
}

impl Entry {
    /// Its value was reached. The entry is in the line still, and about to be taken out: under the lock that makes no
    /// difference.
    #[inline]
    pub(super) fn reached(&self, causes: impl FnOnce() -> Knowledge, work: &mut Work) {
        match self {
            Entry::Sink(waiter) => waiter.sink.reached(waiter.token, waiter.index),
            Entry::Node(node, index) => {
                let causes = matches!(node.action, Action::Signal { .. }).then(causes);
                Node::end(node, Ended::Reached { index: *index, causes }, work);
            }
        }
    }

    /// The semaphore has failed. The entry has been taken out of the line.
    pub(super) fn failed(&self, status: &Status, work: &mut Work) {
        match self {
            Entry::Sink(waiter) => waiter.sink.failed(waiter.token, waiter.index),
            Entry::Node(node, _) => Node::end(node, Ended::Failed(status.clone()), work),
        }
    }
}

/// Something that happens once, when what it waits for has ended: then it is in one thread's [`Work`], for the first
/// and only time, which is why the link to the next may lie in it and nothing is allocated.
pub(super) struct Node {
    state: Mutex<NodeState>,
    action: Action,
}

pub(super) struct NodeState {
    next: Option<Arc<Node>>,
    /// Values that are still to be reached before it is over.
    left: usize,
    /// How it ended.
    pub(super) ended: Option<Ended>,
    /// Of a future: who is woken.
    pub(super) waker: Option<Waker>,
}

pub(super) enum Action {
    /// Wakes the waker.
    Wake,
    /// Wakes the thread that is blocked.
    Unpark(Condvar),
    /// Signals a linked semaphore.
    Signal { target: Semaphore, value: u64 },
}

pub(super) enum Ended {
    /// The wait of this number was the last that was needed. Of a link: with the value's causes.
    Reached { index: u32, causes: Option<Knowledge> },
    /// A semaphore failed first.
    Failed(Status),
}

impl Node {
    /// A node that ends with the first failure, or when `left` values were reached.
    pub(super) fn new(action: Action, left: usize) -> Arc<Node> {
        Arc::new(Node { state: Mutex::new(NodeState { next: None, left, ended: None, waker: None }), action })
    }

    /// Held for a few loads and stores; nobody takes a semaphore's lock, or runs a waker, while they hold it.
    pub(super) fn lock(&self) -> MutexGuard<'_, NodeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn action(&self) -> &Action {
        &self.action
    }

    /// So many of its waits need not be waited for: they were over before they began. It may end by that, and is in
    /// nobody's work then.
    pub(super) fn less(&self, count: usize) {
        let mut state = self.lock();
        state.left -= count;
        if state.left == 0 {
            state.ended = Some(Ended::Reached { index: 0, causes: None });
        }
    }

    /// Has `waker` woken when it ends. `false`: it has ended.
    pub(super) fn wake_later(&self, waker: &Waker) -> bool {
        let state = self.lock();
        if state.ended.is_some() {
            return false;
        }
        if state.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return true;
        }
        drop(state);
        // A waker's code, also that of its clone and of its end, runs under no lock.
        let mut waker = Some(waker.clone());
        let mut state = self.lock();
        let waits = state.ended.is_none();
        if waits {
            mem::swap(&mut state.waker, &mut waker);
        }
        drop(state);
        drop(waker);
        waits
    }

    fn end(node: &Arc<Node>, ended: Ended, work: &mut Work) {
        let mut state = node.lock();
        if state.ended.is_some() {
            return;
        }
        if let Ended::Reached { .. } = ended {
            state.left -= 1;
            if state.left > 0 {
                return;
            }
        }
        state.ended = Some(ended);
        drop(state);
        work.push(node.clone());
    }

    /// Does it. Under no lock.
    fn act(&self, work: &mut Work) {
        match &self.action {
            Action::Wake => {
                let waker = self.lock().waker.take();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Action::Unpark(condition) => condition.notify_one(),
            Action::Signal { target, value } => {
                let ended = self.lock().ended.take();
                if let Some(ended) = ended {
                    signal(&target.inner, *value, ended, work);
                }
            }
        }
    }
}

/// What a link does. A target that is at or past the value, or has failed, needs nothing.
pub(super) fn signal(target: &Inner, value: u64, ended: Ended, work: &mut Work) {
    match ended {
        Ended::Reached { causes, .. } => {
            let causes = causes.as_ref().and_then(Causes::of);
            let _ = target.raise(value, causes, By::Host, work);
        }
        Ended::Failed(status) => _ = target.fail(status, By::Host, work),
    }
}

/// Nodes whose time has come, in that order. Dropping does what is in it: under no lock.
///
/// A link that is done here may bring more, on this list too and not by recursion: a chain of any length needs the
/// same stack. A link is done once, so a circle of links ends.
pub(super) struct Work {
    first: Option<Arc<Node>>,
    last: Option<Arc<Node>>,
}

impl Work {
    #[inline]
    pub(super) const fn new() -> Work {
        Work { first: None, last: None }
    }

    fn push(&mut self, node: Arc<Node>) {
        match self.last.replace(node.clone()) {
            Some(last) => last.lock().next = Some(node),
            None => self.first = Some(node),
        }
    }

    fn pop(&mut self) -> Option<Arc<Node>> {
        let node = self.first.take()?;
        self.first = node.lock().next.take();
        if self.first.is_none() {
            self.last = None;
        }
        Some(node)
    }

    #[cold]
    fn run(&mut self) {
        /// Whatever comes: a waker that panics takes nothing from those behind it. (Two that panic end the program.)
        struct Rest<'a>(&'a mut Work);

        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                while let Some(node) = self.0.pop() {
                    node.act(self.0);
                }
            }
        }

        let rest = Rest(self);
        while let Some(node) = rest.0.pop() {
            node.act(rest.0);
        }
        mem::forget(rest);
    }
}

impl Drop for Work {
    #[inline]
    fn drop(&mut self) {
        if self.first.is_some() {
            self.run();
        }
    }
}
