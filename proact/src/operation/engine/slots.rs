//! Slots: where operations in flight have their identity.
//!
//! The table is shared between threads, grows by chunks and never moves. A slot has one word: its generation, whether
//! it is live, and whether its cancel was asked for from another thread. The poll thread keeps its own free list; other
//! threads reserve from an atomic one, so that a submit from any thread knows at once which identity it has, and that
//! the limit is not passed.

use std::ptr;
use std::sync::OnceLock;

use crate::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, StoreAmidExchanges};
use crate::backend::Token;

#[cfg(all(test, loom))]
mod loom_tests;

#[cfg(not(loom))]
const CHUNK: usize = 1024;
/// A model keeps the history of every atomic there is, used or not.
#[cfg(loom)]
const CHUNK: usize = 4;

/// The part of a slot that other threads may touch.
pub(crate) struct Slot {
    /// Generation in the upper bits, then [`CANCEL`] and [`LIVE`].
    word: AtomicU64,
    /// The node below on the remote stack. Only while `queued`.
    pub(super) below: AtomicPtr<()>,
    /// The slot's node is on the remote stack, or about to be: no one else may push it.
    pub(super) queued: AtomicBool,
    /// A wait in this slot: how many semaphores have not reached their values. [`ANY`] for a wait for any.
    pub(super) left: AtomicU32,
    /// A wait for any: which semaphore was first.
    pub(super) winner: AtomicU32,
    /// A wait: which semaphore failed first.
    pub(super) failed: AtomicU32,
}

const LIVE: u64 = 1;
const CANCEL: u64 = 2;

/// In [`Slot::left`]: the wait is for any.
pub(super) const ANY: u32 = u32::MAX;
/// In [`Slot::winner`] and [`Slot::failed`]: none yet.
pub(super) const NONE: u32 = u32::MAX;

impl Slot {
    fn new() -> Slot {
        Slot {
            word: AtomicU64::new(0),
            below: AtomicPtr::new(ptr::null_mut()),
            queued: AtomicBool::new(false),
            left: AtomicU32::new(0),
            winner: AtomicU32::new(NONE),
            failed: AtomicU32::new(NONE),
        }
    }

    /// Makes the slot live; only whoever reserved it. Answers the generation.
    #[inline]
    pub(super) fn occupy(&self) -> u64 {
        // Relaxed: the slot was handed over by the free list it came from, which orders what came before.
        let generation = self.word.load(Ordering::Relaxed) >> 2;
        self.word.store(generation << 2 | LIVE, Ordering::Relaxed);
        generation
    }

    /// Ends the slot's use. `false`: its generations are used up, it must be retired and never reserved again.
    #[inline]
    pub(super) fn vacate(&self, generation: u64) -> bool {
        // A plain store, though another thread may be setting CANCEL: whichever comes first, the bit is of the old
        // generation and gone. Release: who cancels next sees all that came before.
        self.word.store_amid_exchanges((generation + 1) << 2, Ordering::Release);
        generation + 1 < Token::GENERATIONS_MAX
    }

    /// Counts one semaphore of the wait in this slot as reached. `true`: the wait is over by that.
    #[inline]
    pub(super) fn count_reached(&self, index: u32) -> bool {
        match self.left.load(Ordering::Acquire) {
            ANY => self.winner.compare_exchange(NONE, index, Ordering::AcqRel, Ordering::Acquire).is_ok(),
            // Everyone else has been counted: nobody but this call changes it any more. An exchange would cost as much
            // as all the rest.
            1 => {
                self.left.store(0, Ordering::Release);
                true
            }
            _ => self.left.fetch_sub(1, Ordering::AcqRel) == 1,
        }
    }

    /// From another thread: asks for the cancel of `generation`. `false`: it is not live.
    pub(super) fn request_cancel(&self, generation: u64) -> bool {
        let live = generation << 2 | LIVE;
        match self.word.compare_exchange(live, live | CANCEL, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(word) => word == live | CANCEL,
        }
    }

    pub(super) fn is_live(&self, generation: u64) -> bool {
        self.word.load(Ordering::Acquire) & !CANCEL == generation << 2 | LIVE
    }

    pub(super) fn cancel_requested(&self) -> bool {
        self.word.load(Ordering::Acquire) & (LIVE | CANCEL) == LIVE | CANCEL
    }
}

/// All slots.
///
/// Indices of the poll thread are even, those of other threads odd: each side has its own limit, exact at submit,
/// without a shared counter on the poll thread's way.
pub(crate) struct SlotTable {
    chunks: Box<[OnceLock<Box<[Slot; CHUNK]>>]>,
}

impl SlotTable {
    /// A table that can grow to `slots`.
    pub(super) fn new(slots: u32) -> SlotTable {
        // A pair of chunks for every two chunks' worth of indices.
        let chunks = (slots as usize).div_ceil(2 * CHUNK) * 2;
        SlotTable { chunks: (0..chunks).map(|_| OnceLock::new()).collect() }
    }

    /// The slot, made with its chunk when first asked for.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> &Slot {
        let (chunk, place) = place(index);
        let chunk = self.chunks[chunk].get_or_init(new_chunk);
        &chunk[place]
    }

    /// The slot, if there is such an index at all: identities come from users.
    pub(super) fn find(&self, index: u32) -> Option<&Slot> {
        let (chunk, place) = place(index);
        self.chunks.get(chunk)?.get().map(|chunk| &chunk[place])
    }
}

#[cold]
fn new_chunk() -> Box<[Slot; CHUNK]> {
    let slots: Box<[Slot]> = (0..CHUNK).map(|_| Slot::new()).collect();
    slots.try_into().unwrap_or_else(|_| unreachable!("as many as there are"))
}

/// The chunk that an index lies in, and where. Even and odd ones lie in chunks of their own, in turn: a side that is
/// not used takes no memory.
#[inline(always)]
fn place(index: u32) -> (usize, usize) {
    let (half, place) = (index as usize & 1, index as usize >> 1);
    (place / CHUNK * 2 + half, place % CHUNK)
}

/// The free slots of threads other than the poll thread: a lock-free stack beside a count of permits.
///
/// `permits` is what makes taking `n` of them all or nothing. Whoever has permits then pops that many, which are there
/// for certain: the poll thread pushes a slot before it gives the permit for it. The head carries a tag that every pop
/// raises, so that a pop that was held up cannot mistake a head for the one it saw (40 bits: it would have to sleep
/// through a million million others).
///
/// Last in, first out, unlike the poll thread's own: a queue of places would let a release overwrite one that a thread
/// has been given and not read yet.
pub(crate) struct RemoteSlots {
    permits: AtomicU32,
    /// Tag in the upper 40 bits, index of the top in the lower 24.
    head: AtomicU64,
    /// What lies below each index.
    below: Box<[AtomicU32]>,
}

const INDEX_BITS: u32 = 24;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

impl RemoteSlots {
    /// `count` free slots: the odd indices.
    pub(super) fn new(count: u32) -> RemoteSlots {
        // The bottom's link is never followed: no more are popped than there are permits.
        let below = (0..count).map(|index| AtomicU32::new((index + 1) & INDEX_MASK as u32)).collect();
        RemoteSlots { permits: AtomicU32::new(count), head: AtomicU64::new(0), below }
    }

    /// Reserves `count` slots, or none.
    pub(super) fn reserve(&self, count: u32) -> Option<Reserved<'_>> {
        let mut permits = self.permits.load(Ordering::Relaxed);
        loop {
            let left = permits.checked_sub(count)?;
            // Acquire: whoever gave these permits had pushed the slots before.
            match self.permits.compare_exchange_weak(permits, left, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Reserved { slots: self, left: count }),
                Err(now) => permits = now,
            }
        }
    }

    /// Takes the top. Only with a permit.
    fn pop(&self) -> u32 {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let index = (head & INDEX_MASK) as u32;
            // Acquire on the head: the push that made this the top had written its link. If another pop is faster this
            // may be a newer link, and then the tag has risen and the exchange fails.
            let below = self.below[index as usize].load(Ordering::Relaxed);
            let next = ((head >> INDEX_BITS) + 1) << INDEX_BITS | u64::from(below);
            match self.head.compare_exchange_weak(head, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return index * 2 + 1,
                Err(now) => head = now,
            }
        }
    }

    /// Gives a slot back. Only the poll thread.
    pub(super) fn release(&self, slot: u32) {
        let index = slot / 2;
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            self.below[index as usize].store((head & INDEX_MASK) as u32, Ordering::Relaxed);
            let next = head & !INDEX_MASK | u64::from(index);
            match self.head.compare_exchange_weak(head, next, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        self.permits.fetch_add(1, Ordering::Release);
    }
}

/// Slots reserved from another thread, to be taken one by one. All of them must be.
pub(super) struct Reserved<'a> {
    slots: &'a RemoteSlots,
    left: u32,
}

impl Reserved<'_> {
    pub(super) fn take(&mut self) -> u32 {
        debug_assert!(self.left > 0);
        self.left -= 1;
        self.slots.pop()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_cancelled_only_in_its_own_generation() {
        let table = SlotTable::new(10);
        let slot = table.get(4);
        assert!(!slot.request_cancel(0), "not live yet");
        let generation = slot.occupy();
        assert!(slot.is_live(generation) && !slot.cancel_requested());
        assert!(slot.request_cancel(generation) && slot.request_cancel(generation));
        assert!(slot.cancel_requested() && slot.is_live(generation));
        assert!(slot.vacate(generation));
        assert!(!slot.request_cancel(generation) && !slot.cancel_requested());
        let next = slot.occupy();
        assert_eq!(next, generation + 1);
        assert!(!slot.request_cancel(generation));
    }

    #[test]
    fn a_slot_about_to_wrap_is_retired() {
        let slot = Slot::new();
        slot.word.store((Token::GENERATIONS_MAX - 1) << 2, Ordering::Relaxed);
        let generation = slot.occupy();
        assert_eq!(generation, Token::GENERATIONS_MAX - 1);
        assert!(!slot.vacate(generation));
    }

    #[test]
    fn an_identity_from_nowhere_finds_no_slot() {
        let table = SlotTable::new(10);
        assert!(table.find(3).is_none(), "no chunk yet");
        table.get(3);
        assert!(table.find(3).is_some());
        assert!(table.find(5_000_000).is_none());
    }

    #[test]
    fn remote_slots_are_all_or_nothing() {
        let slots = RemoteSlots::new(3);
        assert!(slots.reserve(4).is_none());
        let mut two = slots.reserve(2).unwrap();
        assert_eq!((two.take(), two.take()), (1, 3));
        assert!(slots.reserve(2).is_none());
        slots.release(3);
        let mut two = slots.reserve(2).unwrap();
        assert_eq!((two.take(), two.take()), (3, 5));
        assert!(slots.reserve(1).is_none());
    }

    #[test]
    fn remote_slots_are_never_given_twice() {
        use std::sync::atomic::{AtomicUsize, Ordering as StdOrdering};
        use std::sync::mpsc;
        let slots = RemoteSlots::new(64);
        let owners: Vec<AtomicUsize> = (0..128).map(|_| AtomicUsize::new(0)).collect();
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let sender = sender.clone();
                let (slots, owners) = (&slots, &owners);
                scope.spawn(move || {
                    let mut done = 0;
                    while done < 2_000 {
                        let Some(mut reserved) = slots.reserve(3) else {
                            std::thread::yield_now();
                            continue;
                        };
                        for _ in 0..3 {
                            let slot = reserved.take();
                            assert_eq!(owners[slot as usize].fetch_add(1, StdOrdering::SeqCst), 0, "given twice");
                            sender.send(slot).unwrap();
                        }
                        done += 1;
                    }
                });
            }
            drop(sender);
            for slot in receiver {
                owners[slot as usize].fetch_sub(1, StdOrdering::SeqCst);
                slots.release(slot);
            }
        });
        assert!(slots.reserve(64).is_some() && slots.reserve(1).is_none());
    }
}
