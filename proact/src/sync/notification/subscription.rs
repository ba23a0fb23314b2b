//! What a notification and one proactor have with each other.

use std::ptr;

use crate::atomic::{AtomicPtr, AtomicU32, Ordering, fence};

/// Who takes a notification's nodes: a proactor, by the part of it that other threads reach.
pub(crate) trait Listener: Send + Sync {
    /// Pushes the node and wakes the poll thread if it sleeps. Any thread, and signal handlers: it allocates nothing
    /// and takes no lock.
    fn tell(&self, subscription: &Subscription);
    /// Pushes the node without waking anyone: the notification is gone, which the next poll may learn.
    fn retire(&self, subscription: &Subscription);
}

/// One proactor's part of a notification: whether it waits, and the node by which it is told of a signal, once however
/// many of its operations wait.
///
/// Two own it: the notification, in a list that is only added to, and the proactor's poll thread, in a table. So a
/// signaller, who holds the notification, finds it there; and while its node is on the proactor's stack, the table
/// keeps it. The notification's end is told by the same node, which is the last time: then the table lets go.
pub(crate) struct Subscription {
    /// The one that subscribed before. Written before this one is published.
    next: AtomicPtr<Subscription>,
    proactor: u32,
    /// The standard library's counted pointer, also where a model checker replaces the others: that one cannot hold a
    /// trait object.
    listener: std::sync::Arc<dyn Listener>,
    /// How much waits here. Written by the poll thread alone.
    waiting: AtomicU32,
    /// [`QUEUED`] and [`GONE`].
    state: AtomicU32,
    /// The node below on the stack. Only while queued.
    pub(crate) below: AtomicPtr<()>,
    /// Its place in the poll thread's table. Only the poll thread touches it.
    index: AtomicU32,
}

/// The node is on the stack, or about to be: no one else may push it.
const QUEUED: u32 = 1;
/// The notification is gone, and with it all who could push.
const GONE: u32 = 2;

impl Subscription {
    pub(super) fn new(proactor: u32, listener: std::sync::Arc<dyn Listener>) -> Subscription {
        Subscription {
            next: AtomicPtr::new(ptr::null_mut()),
            proactor,
            listener,
            waiting: AtomicU32::new(0),
            state: AtomicU32::new(0),
            below: AtomicPtr::new(ptr::null_mut()),
            index: AtomicU32::new(0),
        }
    }

    pub(super) fn proactor(&self) -> u32 {
        self.proactor
    }

    pub(super) fn next(&self) -> *mut Subscription {
        self.next.load(Ordering::Relaxed)
    }

    pub(super) fn set_next(&self, next: *mut Subscription) {
        self.next.store(next, Ordering::Relaxed);
    }

    /// Tells the proactor of a signal, if something of it waits. Says whether.
    pub(super) fn tell(&self) -> bool {
        if self.waiting.load(Ordering::Relaxed) == 0 {
            return false;
        }
        // One that finds it queued relies on the poll thread clearing that before it looks at the epoch: AcqRel on both
        // sides. No model shows all of it: the fence of `signal` releases too; and that the poll thread does not read
        // of the node what only the next push writes there is loads before stores, which loom takes for granted.
        if self.state.fetch_or(QUEUED, Ordering::AcqRel) & QUEUED == 0 {
            self.listener.tell(self);
        }
        true
    }

    /// The notification ends.
    pub(super) fn retire(&self) {
        // Both at once: a poll thread that sees that it is gone, sees so when the node has come for the last time.
        if self.state.fetch_or(QUEUED | GONE, Ordering::AcqRel) & QUEUED == 0 {
            self.listener.retire(self);
        }
    }

    // For the poll thread.

    /// The node has been taken off the stack, and may be pushed again from here on. Says whether the notification is
    /// gone, and this was the last time.
    pub(crate) fn taken(&self) -> bool {
        self.state.fetch_and(!QUEUED, Ordering::AcqRel) & GONE != 0
    }

    /// One more waits. Look at the epoch after this, not before.
    pub(crate) fn begin_wait(&self) {
        let waiting = self.waiting.load(Ordering::Relaxed);
        self.waiting.store(waiting + 1, Ordering::Relaxed);
        if waiting == 0 {
            // See the head of `sync/notification`. The first of several is enough: while the count is not 0 a signaller
            // who is not seen sees it.
            fence(Ordering::SeqCst);
        }
    }

    /// One less waits.
    pub(crate) fn end_wait(&self) {
        let waiting = self.waiting.load(Ordering::Relaxed);
        debug_assert!(waiting > 0);
        self.waiting.store(waiting - 1, Ordering::Relaxed);
    }

    pub(crate) fn index(&self) -> u32 {
        self.index.load(Ordering::Relaxed)
    }

    pub(crate) fn set_index(&self, index: u32) {
        self.index.store(index, Ordering::Relaxed);
    }
}
