//! Where messages to a proactor wait: a bounded queue that any thread fills, and its poll thread empties.
//!
//! A ring of cells, each with a turn: even, it is free for that lap; odd, it is full. A sender claims the next place by
//! one exchange of the tail, writes, and turns the cell; the poll thread reads, and turns it for the next lap. Nobody
//! waits for anybody, nothing is allocated and no lock taken, so that a signal handler may send, even one that has
//! interrupted a sender or the poll thread. Two things follow from the claim coming first. A thread's messages stay in
//! order, also with those of handlers that interrupt it. And a sender that is stopped between claim and turn holds up
//! those behind it, until it goes on and, like every sender, wakes the poll thread.
//!
//! An unbounded mailbox has a second place behind the ring, a stack of allocated nodes, for what comes while the ring
//! is full. From its first node until the poll thread has emptied both, all goes there: nothing overtakes.

use std::collections::VecDeque;
use std::ptr;

use crate::atomic::{AtomicPtr, AtomicU64, Ordering};

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

/// Why a message was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsent {
    /// As many wait as may.
    Full,
    /// The proactor has shut down.
    Closed,
}

/// One message, or room for one. All zero is the state before the first lap.
#[repr(C)]
struct Cell {
    /// Twice the lap, when it is free for it; one more when it is full.
    turn: AtomicU64,
    message: AtomicU64,
}

/// Apart from what others write: two lines, as processors fetch them in pairs.
#[repr(align(128))]
struct Apart<T>(T);

/// What became of the tail's lowest bit: no more messages are taken.
const CLOSED: u64 = 1;

/// The queue. Its other end is an [`Inbox`].
pub(crate) struct Mailbox {
    /// Twice the place that comes next, and [`CLOSED`].
    tail: Apart<AtomicU64>,
    cells: Box<[Cell]>,
    /// One less than there are cells, and how many bits that has: cells are a power of two.
    mask: u64,
    bits: u32,
    /// How many may wait in the ring; at most as many as there are cells.
    limit: u64,
    overflow: Option<Overflow>,
    refused: AtomicU64,
}

impl Mailbox {
    /// A mailbox of `limit` messages, which waits for more in memory of their own if it is `unbounded`.
    ///
    /// The ring's memory is asked for at once, zeroed: a system that gives such memory page by page does so when the
    /// messages first come to a page.
    pub(crate) fn new(limit: u32, unbounded: bool) -> Mailbox {
        let limit = limit.max(1);
        let cells = limit.next_power_of_two();
        Mailbox {
            tail: Apart(AtomicU64::new(0)),
            cells: zeroed(cells as usize),
            mask: u64::from(cells) - 1,
            bits: cells.trailing_zeros(),
            limit: limit.into(),
            overflow: unbounded.then(Overflow::default),
            refused: AtomicU64::new(0),
        }
    }

    #[inline(always)]
    fn cell(&self, place: u64) -> &Cell {
        &self.cells[(place & self.mask) as usize]
    }

    #[inline(always)]
    fn lap(&self, place: u64) -> u64 {
        place >> self.bits
    }

    /// Puts a message in, from any thread or signal handler; only what overflows allocates. The poll thread is not
    /// woken by this.
    #[inline]
    pub(crate) fn push(&self, message: u64) -> Result<(), Unsent> {
        let result = match &self.overflow {
            None => self.push_ring(message),
            Some(overflow) => self.push_either(overflow, message),
        };
        if result == Err(Unsent::Full) {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    fn push_either(&self, overflow: &Overflow, message: u64) -> Result<(), Unsent> {
        // Acquire: once this thread's own overflow is seen to be over, what it sends next comes after it.
        if overflow.head.load(Ordering::Acquire).is_null() {
            match self.push_ring(message) {
                Err(Unsent::Full) => {}
                result => return result,
            }
        }
        overflow.push(message)
    }

    #[inline]
    fn push_ring(&self, message: u64) -> Result<(), Unsent> {
        let mut tail = self.tail.0.load(Ordering::Relaxed);
        loop {
            if tail & CLOSED != 0 {
                return Err(Unsent::Closed);
            }
            let place = tail >> 1;
            // The place that many before must be empty. The poll thread empties them in order, so all before it are,
            // and that of this cell's last lap with them.
            if let Some(gate) = place.checked_sub(self.limit) {
                // Acquire: the poll thread has read what is about to be overwritten.
                if self.cell(gate).turn.load(Ordering::Acquire) < self.lap(gate) * 2 + 2 {
                    let now = self.tail.0.load(Ordering::Relaxed);
                    if now == tail {
                        return Err(Unsent::Full);
                    }
                    tail = now;
                    continue;
                }
            }
            // AcqRel, for the overflow: who sees a node there sees the claims before it.
            match self.tail.0.compare_exchange_weak(tail, tail + 2, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => {
                    let cell = self.cell(place);
                    cell.message.store(message, Ordering::Relaxed);
                    // Release: who sees the turn sees the message.
                    cell.turn.store(self.lap(place) * 2 + 1, Ordering::Release);
                    return Ok(());
                }
                Err(now) => tail = now,
            }
        }
    }

    /// How many messages were taken so far.
    pub(crate) fn accepted(&self) -> u64 {
        let overflowed = self.overflow.as_ref().map_or(0, |overflow| overflow.count.load(Ordering::Relaxed));
        (self.tail.0.load(Ordering::Relaxed) >> 1) + overflowed
    }

    /// How many were refused because the mailbox was full.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(not(loom))]
fn zeroed(count: usize) -> Box<[Cell]> {
    use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
    let layout = Layout::array::<Cell>(count).expect("at most 2^24 cells");
    // SAFETY: the layout is not empty: there is at least one cell.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    // SAFETY: allocated just now as an array of `count` cells, by the allocator that boxes use; a cell of zeros is one.
    unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(memory.cast::<Cell>(), count)) }
}

#[cfg(loom)]
fn zeroed(count: usize) -> Box<[Cell]> {
    (0..count).map(|_| Cell { turn: AtomicU64::new(0), message: AtomicU64::new(0) }).collect()
}

/// What came while the ring was full: a stack, whose head is null when all goes to the ring.
#[derive(Default)]
struct Overflow {
    head: AtomicPtr<Node>,
    /// How many it has taken, ever.
    count: AtomicU64,
}

struct Node {
    message: u64,
    below: *mut Node,
}

/// In place of a head: all that was there has been taken, and is not delivered yet.
const DRAINING: usize = 1;
/// In place of a head: nothing is taken any more.
const SHUT: usize = 2;

fn mark(address: usize) -> *mut Node {
    ptr::without_provenance_mut(address)
}

/// Whether a head or link is a node and no mark.
fn is_node(pointer: *mut Node) -> bool {
    pointer.addr() > SHUT
}

impl Overflow {
    #[cold]
    fn push(&self, message: u64) -> Result<(), Unsent> {
        let node = Box::into_raw(Box::new(Node { message, below: ptr::null_mut() }));
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head.addr() == SHUT {
                // SAFETY: made above, and seen by no one else.
                drop(unsafe { Box::from_raw(node) });
                return Err(Unsent::Closed);
            }
            // SAFETY: the node is this thread's until the exchange.
            unsafe { (*node).below = head };
            // Release: the poll thread sees the node as it was written, and every claim in the ring before it.
            match self.head.compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => {
                    self.count.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                Err(now) => head = now,
            }
        }
    }

    /// Takes all nodes, in order, and leaves a mark.
    #[cold]
    fn take(&self, leave: usize) -> VecDeque<u64> {
        let mut taken = VecDeque::new();
        // Acquire: see `push`. Release: who finds the mark gone again sees what was delivered by then.
        let mut node = self.head.swap(mark(leave), Ordering::AcqRel);
        while is_node(node) {
            // SAFETY: made by `push` of a box, and taken off by this exchange alone.
            let Node { message, below } = *unsafe { Box::from_raw(node) };
            taken.push_front(message);
            node = below;
        }
        taken
    }
}

impl Drop for Overflow {
    fn drop(&mut self) {
        self.take(SHUT);
    }
}

/// The poll thread's end of a [`Mailbox`]: there is one.
#[derive(Default)]
pub(super) struct Inbox {
    /// The place that is read next.
    head: u64,
    /// What was taken from the overflow: behind what is in the ring.
    spilled: VecDeque<u64>,
    /// How many messages were taken out.
    pub(super) delivered: u64,
}

impl Inbox {
    /// Whether there is a message to take. One that is claimed and not written yet does not count: its sender comes.
    #[inline]
    pub(super) fn is_due(&self, mailbox: &Mailbox) -> bool {
        self.is_full(mailbox) || (mailbox.overflow.is_some() && self.is_spilled(mailbox))
    }

    #[inline(always)]
    fn is_full(&self, mailbox: &Mailbox) -> bool {
        mailbox.cell(self.head).turn.load(Ordering::Acquire) == mailbox.lap(self.head) * 2 + 1
    }

    /// Whether the overflow is next, be it only to find that it is over.
    fn is_spilled(&self, mailbox: &Mailbox) -> bool {
        let overflow = mailbox.overflow.as_ref().expect("asked of an unbounded mailbox");
        let head = overflow.head.load(Ordering::Relaxed);
        self.is_ring_empty(mailbox) && (!self.spilled.is_empty() || is_node(head) || head.addr() == DRAINING)
    }

    /// Whether everything claimed in the ring has been taken out.
    fn is_ring_empty(&self, mailbox: &Mailbox) -> bool {
        mailbox.tail.0.load(Ordering::Acquire) >> 1 == self.head
    }

    /// Whether nothing is left, and nothing on its way. Final once the mailbox is closed.
    pub(super) fn is_over(&self, mailbox: &Mailbox) -> bool {
        self.is_ring_empty(mailbox) && (mailbox.overflow.is_none() || !self.is_spilled(mailbox))
    }

    /// Takes a message out.
    #[inline]
    pub(super) fn take(&mut self, mailbox: &Mailbox) -> Option<u64> {
        let place = self.head;
        if self.is_full(mailbox) {
            let cell = mailbox.cell(place);
            let message = cell.message.load(Ordering::Relaxed);
            // Release: the cell is read before a sender writes it again.
            cell.turn.store(mailbox.lap(place) * 2 + 2, Ordering::Release);
            self.head = place + 1;
            self.delivered += 1;
            return Some(message);
        }
        let overflow = mailbox.overflow.as_ref()?;
        self.take_spilled(mailbox, overflow)
    }

    #[cold]
    fn take_spilled(&mut self, mailbox: &Mailbox, overflow: &Overflow) -> Option<u64> {
        // A sender's messages in the ring are older than those it has in the overflow. So what was taken from there is
        // behind all that the ring held at that time, which is over when the ring has been seen empty since.
        if !self.is_ring_empty(mailbox) {
            return if self.is_full(mailbox) { self.take(mailbox) } else { None };
        }
        if let Some(message) = self.spilled.pop_front() {
            self.delivered += 1;
            return Some(message);
        }
        let head = overflow.head.load(Ordering::Relaxed);
        if is_node(head) {
            self.spilled = overflow.take(DRAINING);
            return self.take(mailbox);
        }
        if head.addr() == DRAINING {
            // Release: who finds null, and goes back to the ring, comes after all that was delivered from here.
            let over =
                overflow.head.compare_exchange(mark(DRAINING), ptr::null_mut(), Ordering::Release, Ordering::Relaxed);
            return if over.is_ok() { None } else { self.take_spilled(mailbox, overflow) };
        }
        None
    }

    /// Takes no more messages. Those taken before can still be taken out, or can in a moment: see [`Inbox::is_over`].
    pub(super) fn close(&mut self, mailbox: &Mailbox) {
        mailbox.tail.0.fetch_or(CLOSED, Ordering::AcqRel);
        if let Some(overflow) = &mailbox.overflow {
            self.spilled.append(&mut overflow.take(SHUT));
        }
    }
}
