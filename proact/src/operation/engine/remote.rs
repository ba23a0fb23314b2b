//! What other threads share with a proactor, and how they reach it.
//!
//! A lock-free stack takes what they push: batches of operations, by the header of their first, and slots whose state
//! the poll thread should look at (a cancel was asked for, a semaphore was reached), and notifications that were
//! signalled. The poll thread takes all at once
//! and reverses, so that one thread's submits stay in order. Whoever pushes wakes the poll thread if it sleeps: one
//! wake a sleep, however many push.

use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::super::op::Header;
use super::mailbox::Mailbox;
use super::slots::{NONE, RemoteSlots, Slot, SlotTable};
use crate::atomic::{
    AtomicBool, AtomicPtr, AtomicU64, Ordering, StoreAmidExchanges, fence, fence_between_sequential_exchange_and_load,
};
use crate::backend::{Registration, Token, Wake};
use crate::resource::{Home, elsewhere};
use crate::status::{Operation, Result, preserving_errno};
use crate::sync::{Sink, Subscription};

#[cfg(all(test, loom))]
mod loom_tests;

/// One node taken from the stack.
pub(super) enum Node {
    /// A batch, admitted by its submitter.
    Batch(NonNull<Header>),
    /// A slot to look at.
    Slot(u32),
    /// A notification whose waits to look at, or one that is gone.
    Subscription { subscription: NonNull<Subscription>, gone: bool },
}

/// Nodes are pointers, and the lowest bits tell which: to a header (aligned, so a multiple of 4); to a subscription,
/// plus 2; or no address at all but a slot's index, marked odd.
#[derive(Default)]
pub(crate) struct RemoteStack {
    head: AtomicPtr<()>,
}

/// The head of a closed stack: no slot's, and no address.
const CLOSED: usize = 2;

/// What is added to a subscription's address.
const SUBSCRIPTION: usize = 2;

fn slot_node(slot: u32) -> *mut () {
    ptr::without_provenance_mut((slot as usize) << 1 | 1)
}

/// The subscription that `node` is, if it is one.
fn subscription_of(node: *mut ()) -> Option<NonNull<Subscription>> {
    // A slot's index is any number, so its mark is looked at first.
    let marked = node.addr() & 1 == 0 && node.addr() & SUBSCRIPTION != 0;
    NonNull::new(node.map_addr(|address| address & !SUBSCRIPTION).cast()).filter(|_| marked)
}

impl RemoteStack {
    pub(super) fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::Acquire);
        head.is_null() || head.addr() == CLOSED
    }

    /// Whether the proactor has shut down.
    pub(super) fn is_closed(&self) -> bool {
        self.head.load(Ordering::Acquire).addr() == CLOSED
    }

    /// Pushes a batch. `false`: the stack is closed, and the batch is still the caller's.
    pub(super) fn push_batch(&self, mut first: NonNull<Header>) -> bool {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head.addr() == CLOSED {
                return false;
            }
            // SAFETY: the batch is the caller's until it is on the stack.
            unsafe { first.as_mut() }.below = head;
            let node = first.as_ptr().cast();
            // Release: the poll thread sees the operations as they were written.
            match self.head.compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
    }

    /// Pushes a slot, unless its node is there already or the stack is closed.
    pub(super) fn push_slot(&self, slots: &SlotTable, index: u32) {
        self.push(slots.get(index), index);
    }

    #[inline]
    fn push(&self, slot: &Slot, index: u32) {
        // Whoever sets the flag owns the node until the poll thread takes it off. One that finds it set relies on the
        // poll thread clearing it before it looks at the slot: AcqRel on both sides.
        if slot.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head.addr() == CLOSED {
                slot.queued.store_amid_exchanges(false, Ordering::Release);
                return;
            }
            slot.below.store(head, Ordering::Relaxed);
            // Sequentially consistent for `push_slot_and_notify`.
            match self.head.compare_exchange_weak(head, slot_node(index), Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Pushes a subscription's node, which the caller has marked as queued. Nothing happens where the stack is closed:
    /// the node stays marked, and nobody tries again.
    ///
    /// The proactor's poll thread keeps the subscription until it has taken the node for the last time.
    pub(super) fn push_subscription(&self, subscription: &Subscription) {
        let node = ptr::from_ref(subscription).cast_mut().cast::<()>().map_addr(|address| address | SUBSCRIPTION);
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head.addr() == CLOSED {
                return;
            }
            subscription.below.store(head, Ordering::Relaxed);
            match self.head.compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    /// Takes everything, oldest first.
    pub(super) fn take<'a>(&self, slots: &'a SlotTable) -> Taken<'a> {
        if self.is_empty() {
            return Taken { slots, next: ptr::null_mut() };
        }
        Taken::reversed(slots, self.head.swap(ptr::null_mut(), Ordering::Acquire))
    }

    /// Takes everything and refuses what comes.
    pub(super) fn close<'a>(&self, slots: &'a SlotTable) -> Taken<'a> {
        Taken::reversed(slots, self.head.swap(ptr::without_provenance_mut(CLOSED), Ordering::Acquire))
    }
}

/// Nodes taken from the stack, as an iterator from the oldest.
pub(super) struct Taken<'a> {
    slots: &'a SlotTable,
    next: *mut (),
}

impl<'a> Taken<'a> {
    fn reversed(slots: &'a SlotTable, mut node: *mut ()) -> Taken<'a> {
        let mut taken = Taken { slots, next: ptr::null_mut() };
        while !node.is_null() && node.addr() != CLOSED {
            let below = taken.replace_below(node, taken.next);
            taken.next = node;
            node = below;
        }
        taken
    }

    fn replace_below(&self, node: *mut (), below: *mut ()) -> *mut () {
        if node.addr() & 1 == 1 {
            let slot = self.slots.get((node.addr() >> 1) as u32);
            let old = slot.below.load(Ordering::Relaxed);
            slot.below.store(below, Ordering::Relaxed);
            old
        } else if let Some(subscription) = subscription_of(node) {
            // SAFETY: the poll thread keeps it while its node is on the stack, or taken from it.
            let subscription = unsafe { subscription.as_ref() };
            let old = subscription.below.load(Ordering::Relaxed);
            subscription.below.store(below, Ordering::Relaxed);
            old
        } else {
            // SAFETY: the link of a batch on the stack, or taken from it, is the taker's alone. No reference is made to
            // the whole header, whose token a future may read meanwhile.
            unsafe { (&raw mut (*node.cast::<Header>()).below).replace(below) }
        }
    }
}

impl Iterator for Taken<'_> {
    type Item = Node;

    fn next(&mut self) -> Option<Node> {
        let node = self.next;
        if node.is_null() {
            return None;
        }
        self.next = self.replace_below(node, ptr::null_mut());
        if node.addr() & 1 == 1 {
            let index = (node.addr() >> 1) as u32;
            // From here another thread may push the node again: its link has been read. What it set before it found
            // the flag still set is seen by the look that follows.
            self.slots.get(index).queued.swap(false, Ordering::AcqRel);
            return Some(Node::Slot(index));
        }
        if let Some(subscription) = subscription_of(node) {
            // As above.
            // SAFETY: as in `replace_below`.
            let gone = unsafe { subscription.as_ref() }.taken();
            return Some(Node::Subscription { subscription, gone });
        }
        NonNull::new(node.cast()).map(Node::Batch)
    }
}

/// The part of a proactor that every thread may reach.
pub(crate) struct Shared {
    pub(crate) home: Home,
    pub(crate) slots: SlotTable,
    pub(crate) remote_slots: RemoteSlots,
    pub(crate) stack: RemoteStack,
    pub(crate) mailbox: Mailbox,
    /// The poll thread sleeps, or is about to, and wants to be woken.
    sleeping: AtomicBool,
    /// A user's wake, to be told by the current or the next poll.
    wake_requested: AtomicBool,
    waker: Arc<dyn Wake>,
    wakes: AtomicU64,
    /// What the backend cannot do here, and why.
    pub(super) missing: Vec<(Operation, String)>,
    pub(crate) clock: crate::time::Clock,
    pub(crate) backend_name: &'static str,
    pub(crate) capabilities: crate::backend::Capabilities,
    /// Whether latencies are measured.
    pub(super) measures: bool,
    /// What the proactor is called.
    pub(crate) name: Arc<str>,
    /// What makes its descriptors, where that is not the operating system.
    pub(crate) system: Option<Registration>,
}

impl Shared {
    pub(crate) fn new(
        home: Home,
        slots: u32,
        remote: u32,
        measures: bool,
        backend: &dyn crate::backend::Backend,
        clock: crate::time::Clock,
        mailbox: Mailbox,
    ) -> Shared {
        Shared {
            home,
            slots: SlotTable::new(slots),
            remote_slots: RemoteSlots::new(remote),
            stack: RemoteStack::default(),
            mailbox,
            sleeping: AtomicBool::new(false),
            wake_requested: AtomicBool::new(false),
            waker: backend.waker(),
            wakes: AtomicU64::new(0),
            missing: backend.missing(),
            clock,
            backend_name: backend.name(),
            capabilities: backend.capabilities(),
            measures,
            name: Arc::from(""),
            system: None,
        }
    }

    /// Refuses a thread that may not use the proactor: a simulated world has one thread, or it would not be replayed.
    #[track_caller]
    pub(crate) fn refuse_elsewhere(&self, operation: Operation) -> Result<()> {
        match &self.system {
            Some(registration) if !registration.system().is_here() => Err(elsewhere(operation)),
            _ => Ok(()),
        }
    }

    /// After a push: wakes the poll thread if it sleeps.
    ///
    /// Store, then load, on both sides: the pusher stores its node and then loads `sleeping`; the sleeper stores
    /// `sleeping` and then loads the stack. The two fences see to it that at least one of them sees the other.
    pub(crate) fn notify(&self) {
        fence(Ordering::SeqCst);
        if self.sleeping.load(Ordering::Relaxed) {
            self.wake_sleeper();
        }
    }

    /// Pushes a slot's node and wakes the poll thread if it sleeps: as [`RemoteStack::push_slot`] and
    /// [`Shared::notify`], for the exchange of the first and the load of the second without the fence between.
    ///
    /// A push that finds the node there already leaves the waking to whoever pushed it.
    #[inline]
    fn push_slot_and_notify(&self, slot: &Slot, index: u32) {
        self.stack.push(slot, index);
        fence_between_sequential_exchange_and_load();
        if self.sleeping.load(Ordering::SeqCst) {
            self.wake_sleeper();
        }
    }

    #[cold]
    fn wake_sleeper(&self) {
        if self.sleeping.swap(false, Ordering::AcqRel) {
            self.wakes.fetch_add(1, Ordering::Relaxed);
            preserving_errno(|| self.waker.wake());
        }
    }

    /// The poll thread is about to sleep. `false`: something has come, it must not. `has_message` says whether a
    /// message has.
    pub(super) fn prepare_sleep(&self, has_message: impl FnOnce() -> bool) -> bool {
        self.sleeping.store_amid_exchanges(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !self.stack.is_empty() || self.wake_requested.load(Ordering::Relaxed) || has_message() {
            self.sleeping.store_amid_exchanges(false, Ordering::Relaxed);
            return false;
        }
        true
    }

    /// Whether other threads have pushed something, or asked for a wake.
    pub(super) fn has_come(&self) -> bool {
        !self.stack.is_empty() || self.wake_requested.load(Ordering::Relaxed)
    }

    /// The poll thread is up.
    pub(super) fn awake(&self) {
        self.sleeping.store_amid_exchanges(false, Ordering::Relaxed);
    }

    /// What ends the poll thread's sleep, whatever it sleeps for: for signal handlers, which note elsewhere what has
    /// come.
    pub(super) fn waker(&self) -> &Arc<dyn Wake> {
        &self.waker
    }

    /// How often another thread has woken the poll thread.
    pub(crate) fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::Relaxed)
    }

    pub(crate) fn request_wake(&self) {
        if self.refuse_elsewhere(Operation::None).is_err() {
            return;
        }
        self.wake_requested.store(true, Ordering::Release);
        self.notify();
    }

    pub(super) fn take_wake_request(&self) -> bool {
        self.wake_requested.load(Ordering::Relaxed) && self.wake_requested.swap(false, Ordering::Acquire)
    }

    /// Counts one semaphore of the wait in `token`'s slot as reached. `true`: the wait is over by that.
    ///
    /// The generation need not be checked: a semaphore never calls for a waiter that was taken off it, so whoever calls
    /// is of the wait that occupies the slot.
    pub(super) fn count_reached(&self, token: Token, index: u32) -> bool {
        self.slots.get(token.slot()).count_reached(index)
    }

    pub(super) fn count_failed(&self, token: Token, index: u32) {
        let slot = self.slots.get(token.slot());
        if slot.failed.compare_exchange(NONE, index, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.push_slot_and_notify(slot, token.slot());
        }
    }
}

/// A portable wait: the poll thread is told to look at its slot.
impl Sink for Shared {
    fn reached(&self, token: Token, index: u32) {
        let slot = self.slots.get(token.slot());
        if slot.count_reached(index) {
            self.push_slot_and_notify(slot, token.slot());
        }
    }

    fn failed(&self, token: Token, index: u32) {
        self.count_failed(token, index);
    }
}
