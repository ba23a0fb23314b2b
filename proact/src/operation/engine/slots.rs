//! Slots: where operations in flight have their identity.
//!
//! The table is shared between threads, grows by chunks and never moves. A slot has one word: its generation, whether
//! it is live, and whether its cancel was asked for from another thread. The poll thread keeps its own free list; other
//! threads reserve from an atomic one, so that a submit from any thread knows at once which identity it has, and that
//! the limit is not passed.

use std::ptr;
use std::sync::OnceLock;

use crate::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use crate::backend::Token;

const CHUNK: usize = 1024;

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
        self.word.store((generation + 1) << 2, Ordering::Release);
        generation + 1 < Token::GENERATIONS_MAX
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
    chunks: Box<[OnceLock<Box<[Slot]>>]>,
}

impl SlotTable {
    /// A table that can grow to `slots`.
    pub(super) fn new(slots: u32) -> SlotTable {
        let chunks = (slots as usize).div_ceil(CHUNK);
        SlotTable { chunks: (0..chunks).map(|_| OnceLock::new()).collect() }
    }

    /// The slot, made with its chunk when first asked for.
    #[inline]
    pub(crate) fn get(&self, index: u32) -> &Slot {
        let index = index as usize;
        let chunk = self.chunks[index / CHUNK].get_or_init(|| (0..CHUNK).map(|_| Slot::new()).collect());
        &chunk[index % CHUNK]
    }

    /// The slot, if there is such an index at all: identities come from users.
    pub(super) fn find(&self, index: u32) -> Option<&Slot> {
        self.chunks.get(index as usize / CHUNK)?.get().map(|chunk| &chunk[index as usize % CHUNK])
    }
}

/// The free slots of threads other than the poll thread: first in, first out.
///
/// Two steps make it exact without a lock. `permits` counts what is free; taking `n` of them is all or nothing. Who has
/// permits then takes that many places at `head`, which are filled for certain: the poll thread writes a place before
/// it gives the permit for it.
pub(crate) struct RemoteSlots {
    permits: AtomicU32,
    head: AtomicU32,
    /// Written by the poll thread alone.
    tail: AtomicU32,
    places: Box<[AtomicU32]>,
}

impl RemoteSlots {
    /// `count` free slots: the odd indices.
    pub(super) fn new(count: u32) -> RemoteSlots {
        let room = count.next_power_of_two().max(1);
        let places = (0..room).map(|place| AtomicU32::new(place * 2 + 1)).collect();
        RemoteSlots { permits: AtomicU32::new(count), head: AtomicU32::new(0), tail: AtomicU32::new(count), places }
    }

    /// Reserves `count` slots, or none.
    pub(super) fn reserve(&self, count: u32) -> Option<Reserved<'_>> {
        let mut permits = self.permits.load(Ordering::Relaxed);
        loop {
            let left = permits.checked_sub(count)?;
            // Acquire: whoever gave these permits had filled the places before.
            match self.permits.compare_exchange_weak(permits, left, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => permits = now,
            }
        }
        // AcqRel: another thread with a later permit may have taken an earlier place, and leaves a later one to us;
        // this orders its acquire before ours.
        let first = self.head.fetch_add(count, Ordering::AcqRel);
        Some(Reserved { slots: self, next: first, left: count })
    }

    /// Gives a slot back. Only the poll thread.
    pub(super) fn release(&self, slot: u32) {
        let tail = self.tail.load(Ordering::Relaxed);
        self.places[tail as usize & (self.places.len() - 1)].store(slot, Ordering::Relaxed);
        self.tail.store(tail.wrapping_add(1), Ordering::Relaxed);
        self.permits.fetch_add(1, Ordering::Release);
    }
}

/// Slots reserved from another thread, to be taken one by one. All of them must be.
pub(super) struct Reserved<'a> {
    slots: &'a RemoteSlots,
    next: u32,
    left: u32,
}

impl Reserved<'_> {
    pub(super) fn take(&mut self) -> u32 {
        debug_assert!(self.left > 0);
        self.left -= 1;
        let slot = self.slots.places[self.next as usize & (self.slots.places.len() - 1)].load(Ordering::Relaxed);
        self.next = self.next.wrapping_add(1);
        slot
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
    fn remote_slots_are_all_or_nothing_and_first_in_first_out() {
        let slots = RemoteSlots::new(3);
        assert!(slots.reserve(4).is_none());
        let mut two = slots.reserve(2).unwrap();
        assert_eq!((two.take(), two.take()), (1, 3));
        assert!(slots.reserve(2).is_none());
        slots.release(3);
        let mut two = slots.reserve(2).unwrap();
        assert_eq!((two.take(), two.take()), (5, 3));
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
