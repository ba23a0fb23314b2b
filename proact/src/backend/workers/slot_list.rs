//! First-in first-out lists of slots, linked through one table: any slot leaves any list in constant time.
//!
//! Slots are the proactor's own small numbers, so the links live in a table by slot, which grows with them: no list
//! allocates.

use crate::backend::BySlot;

/// No slot.
const NONE: u32 = u32::MAX;
/// What both links of a slot say that is in no list, to catch misuse.
const OUTSIDE: Link = Link { previous: NONE - 1, next: NONE - 1 };

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Link {
    previous: u32,
    next: u32,
}

/// The two ends of one list. The links between them stand in a [`SlotLinks`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotList {
    head: u32,
    tail: u32,
}

impl SlotList {
    /// Nothing in it.
    pub(crate) const EMPTY: SlotList = SlotList { head: NONE, tail: NONE };

    /// Whether no slot is in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// The slot that came first.
    pub(crate) fn first(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }
}

/// The links of all lists over one range of slots. A slot is in at most one list at a time.
#[derive(Default)]
pub(crate) struct SlotLinks {
    links: BySlot<Link>,
}

impl SlotLinks {
    /// Appends `slot`, which is in no list.
    pub(crate) fn push(&mut self, list: &mut SlotList, slot: u32) {
        let link = self.links.make(slot, || OUTSIDE);
        debug_assert_eq!(*link, OUTSIDE, "slot {slot} is in a list already");
        *link = Link { previous: list.tail, next: NONE };
        match list.tail {
            NONE => list.head = slot,
            tail => self.links[tail as usize].next = slot,
        }
        list.tail = slot;
    }

    /// Takes `slot` out of `list`, which holds it.
    pub(crate) fn remove(&mut self, list: &mut SlotList, slot: u32) {
        let link = std::mem::replace(&mut self.links[slot as usize], OUTSIDE);
        debug_assert_ne!(link, OUTSIDE, "slot {slot} is in no list");
        match link.previous {
            NONE => list.head = link.next,
            previous => self.links[previous as usize].next = link.next,
        }
        match link.next {
            NONE => list.tail = link.previous,
            next => self.links[next as usize].previous = link.previous,
        }
    }

    /// Who stands behind `slot`, which is in a list.
    pub(crate) fn next(&self, slot: u32) -> Option<u32> {
        let next = self.links[slot as usize].next;
        (next < NONE - 1).then_some(next)
    }

    /// Takes out the slot that came first.
    pub(crate) fn pop(&mut self, list: &mut SlotList) -> Option<u32> {
        let slot = list.first()?;
        self.remove(list, slot);
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drained(links: &mut SlotLinks, list: &mut SlotList) -> Vec<u32> {
        std::iter::from_fn(|| links.pop(list)).collect()
    }

    #[test]
    fn slots_leave_in_the_order_they_came() {
        let (mut links, mut list) = (SlotLinks::default(), SlotList::EMPTY);
        for slot in [5, 0, 7, 3] {
            links.push(&mut list, slot);
        }
        assert_eq!(list.first(), Some(5));
        assert_eq!(drained(&mut links, &mut list), [5, 0, 7, 3]);
        assert!(list.is_empty());
    }

    #[test]
    fn removal_at_head_middle_and_tail_keeps_the_rest_in_order() {
        for (gone, left) in [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])] {
            let (mut links, mut list) = (SlotLinks::default(), SlotList::EMPTY);
            for slot in [1, 2, 3] {
                links.push(&mut list, slot);
            }
            links.remove(&mut list, gone);
            links.push(&mut list, 0);
            assert_eq!(drained(&mut links, &mut list), [left[0], left[1], 0]);
        }
    }

    #[test]
    fn two_lists_share_one_table_of_links() {
        let (mut links, mut odd, mut even) = (SlotLinks::default(), SlotList::EMPTY, SlotList::EMPTY);
        for slot in 0..6 {
            links.push(if slot % 2 == 0 { &mut even } else { &mut odd }, slot);
        }
        assert_eq!(drained(&mut links, &mut odd), [1, 3, 5]);
        assert_eq!(drained(&mut links, &mut even), [0, 2, 4]);
    }
}
