//! Which buffers of a pool are idle: a lock-free stack of numbers, in one word and one array.
//!
//! The word is everything there is to agree on, so that taking and giving back are one exchange each:
//!
//! - the number on top, or [`NIL`];
//! - a tag that each take raises, so that a take which was held up cannot mistake a top for the one it saw;
//! - [`STARVED`]: someone waits for a buffer. Since it is in the very word that a give exchanges, a wait and a give can
//!   not miss each other, and no fence is needed between them;
//! - [`CLOSED`]: no handle is left. The exchange that makes the list whole again under this mark, and no other, is the
//!   end of the pool.
//!
//! Each number's place keeps what lies below it and how many, itself included; so the count is always that of the
//! word, and costs no counter.

use crate::atomic::{AtomicU64, Ordering};

#[cfg(all(test, loom))]
mod loom_tests;

/// The most numbers a list can have.
pub(super) const COUNT_MAX: u32 = 1 << 24;

const INDEX_BITS: u32 = 25;
const INDEX: u64 = (1 << INDEX_BITS) - 1;
/// No number.
const NIL: u64 = INDEX;
const STARVED: u64 = 1 << INDEX_BITS;
const CLOSED: u64 = 1 << (INDEX_BITS + 1);
/// Lowest bit of the tag, of 37 bits: a take would have to sleep through a hundred thousand million others.
const TAG: u64 = 1 << (INDEX_BITS + 2);

/// What a give brought about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Given {
    /// Nothing more.
    Back,
    /// Someone waited: the caller is to tell. The mark is gone.
    ToWaiter,
    /// The list was closed and is whole again: whoever gave is the last one to know of it.
    Whole,
}

/// The list.
pub(super) struct FreeList {
    head: AtomicU64,
    /// Below each number: what lies below it in the lower half, how many there are with it in the upper.
    below: Box<[AtomicU64]>,
}

impl FreeList {
    /// The numbers below `count`, all there, 0 on top. `count` is 1 to [`COUNT_MAX`].
    pub(super) fn new(count: u32) -> FreeList {
        assert!((1..=COUNT_MAX).contains(&count), "{count} numbers");
        let place = |index: u32| {
            let next = if index + 1 == count { NIL } else { u64::from(index + 1) };
            AtomicU64::new(u64::from(count - index) << 32 | next)
        };
        FreeList { head: AtomicU64::new(0), below: (0..count).map(place).collect() }
    }

    /// How many there are in all, taken or not.
    pub(super) fn capacity(&self) -> u32 {
        self.below.len() as u32
    }

    /// What lies below `index`, and how many with it.
    fn place(&self, index: u64) -> u64 {
        self.below[index as usize].load(Ordering::Relaxed)
    }

    /// Takes the top.
    #[inline]
    pub(super) fn take(&self) -> Option<u32> {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let index = head & INDEX;
            if index == NIL {
                return None;
            }
            // Acquire on the head: the give that made this the top had written its place. Where another take was
            // faster this may be a newer place, and then the tag has risen and the exchange fails.
            let next = self.place(index) & 0xffff_ffff;
            let new = (head & !INDEX).wrapping_add(TAG) | next;
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(index as u32),
                Err(now) => head = now,
            }
        }
    }

    /// Gives a number back. Whoever does has taken it.
    ///
    /// `starved` is called before the exchange, perhaps more than once, while someone waits: the list may be gone right
    /// after it, unless the caller has got hold of something that keeps it.
    #[inline]
    pub(super) fn give(&self, index: u32, mut starved: impl FnMut()) -> Given {
        let capacity = u64::from(self.capacity());
        // Acquire: whoever makes the list whole may free the pool, and must have seen what all others did before.
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            if head & STARVED != 0 {
                starved();
            }
            let depth = self.depth(head) + 1;
            self.below[index as usize].store(depth << 32 | head & INDEX, Ordering::Relaxed);
            let new = head & !(INDEX | STARVED) | u64::from(index);
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                // Nothing of the list may be touched from here on.
                Ok(_) if head & STARVED != 0 => return Given::ToWaiter,
                Ok(_) if head & CLOSED != 0 && depth == capacity => return Given::Whole,
                Ok(_) => return Given::Back,
                Err(now) => head = now,
            }
        }
    }

    /// How many numbers lie under `head`. Only right for the head as it is: a number that was taken since may have
    /// another place by now.
    #[inline]
    fn depth(&self, head: u64) -> u64 {
        let top = head & INDEX;
        if top == NIL { 0 } else { self.place(top) >> 32 }
    }

    /// How many are there now.
    pub(super) fn available(&self) -> u32 {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let depth = self.depth(head);
            // Unchanged, so that the place was the top's.
            let now = self.head.load(Ordering::Acquire);
            if now == head {
                return depth as u32;
            }
            head = now;
        }
    }

    /// Marks the list as starved, so that the next give calls. `false`, and nothing is marked: there is a number.
    pub(super) fn starve(&self) -> bool {
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            if head & INDEX != NIL {
                return false;
            }
            match self.head.compare_exchange_weak(head, head | STARVED, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(now) => head = now,
            }
        }
    }

    /// Marks the list as starved whatever there is, and tells how many numbers there were. If more are given from now
    /// on, their giver calls.
    pub(super) fn starve_beyond(&self) -> u64 {
        let head = self.head.fetch_or(STARVED, Ordering::AcqRel);
        self.depth(head)
    }

    /// Marks the list as closed. `true`: it is whole, so that no one will give any more.
    pub(super) fn close(&self) -> bool {
        let capacity = u64::from(self.capacity());
        let mut head = self.head.load(Ordering::Acquire);
        loop {
            let whole = self.depth(head) == capacity;
            let new = head & !STARVED | CLOSED;
            // Nothing of the list may be touched after this, unless it is whole.
            match self.head.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return whole,
                Err(now) => head = now,
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn give(list: &FreeList, index: u32) {
        assert_eq!(list.give(index, || panic!("no one waits")), Given::Back);
    }

    #[test]
    fn the_last_one_given_is_the_next_one_taken() {
        let list = FreeList::new(3);
        assert_eq!((list.take(), list.take(), list.take(), list.take()), (Some(0), Some(1), Some(2), None));
        assert_eq!(list.available(), 0);
        give(&list, 1);
        give(&list, 2);
        assert_eq!(list.available(), 2);
        assert_eq!((list.take(), list.take(), list.take()), (Some(2), Some(1), None));
    }

    #[test]
    fn the_most_numbers_that_there_can_be_all_come_and_go() {
        let list = FreeList::new(COUNT_MAX);
        assert_eq!(list.available(), COUNT_MAX);
        for expected in 0..COUNT_MAX {
            assert_eq!(list.take(), Some(expected));
        }
        assert_eq!((list.take(), list.available()), (None, 0));
        give(&list, COUNT_MAX - 1);
        assert_eq!((list.available(), list.take()), (1, Some(COUNT_MAX - 1)));
    }

    #[test]
    fn one_give_after_a_starved_take_says_so_and_the_next_does_not() {
        let list = FreeList::new(2);
        assert!(!list.starve(), "there is one");
        let (first, second) = (list.take().unwrap(), list.take().unwrap());
        assert!(list.starve());
        let mut calls = 0;
        assert_eq!(list.give(first, || calls += 1), Given::ToWaiter);
        assert_eq!(calls, 1);
        give(&list, second);
    }

    #[test]
    fn the_give_that_makes_a_closed_list_whole_is_the_last() {
        let list = FreeList::new(2);
        let (first, second) = (list.take().unwrap(), list.take().unwrap());
        assert!(!list.close());
        assert_eq!(list.give(second, || ()), Given::Back);
        assert_eq!(list.give(first, || ()), Given::Whole);
        assert!(FreeList::new(1).close(), "nothing was taken");
    }

    #[test]
    fn no_number_is_taken_twice_by_many_threads() {
        use std::sync::atomic::{AtomicBool, Ordering as StdOrdering};
        let list = FreeList::new(8);
        let held: Vec<AtomicBool> = (0..8).map(|_| AtomicBool::new(false)).collect();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let Some(index) = list.take() else { continue };
                        assert!(!held[index as usize].swap(true, StdOrdering::SeqCst), "taken twice");
                        held[index as usize].store(false, StdOrdering::SeqCst);
                        give(&list, index);
                    }
                });
            }
        });
        assert_eq!(list.available(), 8);
        let mut all: Vec<u32> = std::iter::from_fn(|| list.take()).collect();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}
