//! Slots and their free list under every interleaving and every reordering that the memory model allows:
//! `RUSTFLAGS="--cfg loom" cargo test -p proact --lib --release loom_`.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::*;

/// Free slots, and beside each a cell that only its holder touches: loom finds it if two hold one slot at once, or if
/// one does not see what the one before did.
struct Slots {
    free: RemoteSlots,
    uses: Vec<UnsafeCell<u32>>,
}

impl Slots {
    #[allow(clippy::arc_with_non_send_sync)] // a model's threads are coroutines of one thread
    fn new(count: u32) -> Arc<Slots> {
        let uses = (0..count).map(|_| UnsafeCell::new(0)).collect();
        Arc::new(Slots { free: RemoteSlots::new(count), uses })
    }

    /// Reserves `count` and uses them; empty if there are too few.
    fn reserve(&self, count: u32) -> Vec<u32> {
        let Some(mut reserved) = self.free.reserve(count) else { return Vec::new() };
        let slots: Vec<u32> = (0..count).map(|_| reserved.take()).collect();
        slots.iter().for_each(|&slot| self.touch(slot));
        slots
    }

    fn touch(&self, slot: u32) {
        // SAFETY: that the slot's holder is alone with it is what the models check.
        self.uses[slot as usize / 2].with_mut(|uses| unsafe { *uses += 1 });
    }

    /// What the poll thread does at the end of an operation.
    fn release(&self, slot: u32) {
        self.touch(slot);
        self.free.release(slot);
    }

    /// All slots are either among `held` or free, and none is both.
    fn check(&self, mut held: Vec<u32>) {
        let free = self.uses.len() - held.len();
        let rest = self.reserve(free as u32);
        assert_eq!(rest.len(), free, "as many are free as are not held");
        assert!(self.free.reserve(1).is_none(), "and no more");
        held.extend(rest);
        held.sort_unstable();
        let all: Vec<u32> = (0..self.uses.len() as u32).map(|index| index * 2 + 1).collect();
        assert_eq!(held, all);
    }
}

fn reserving(slots: &Arc<Slots>, count: u32) -> thread::JoinHandle<Vec<u32>> {
    let slots = slots.clone();
    thread::spawn(move || slots.reserve(count))
}

#[test]
fn loom_no_slot_is_reserved_twice_while_others_are_released() {
    loom::model(|| {
        let slots = Slots::new(3);
        let mine = slots.reserve(2);
        let one = reserving(&slots, 1);
        let other = reserving(&slots, 1);
        mine.iter().for_each(|&slot| slots.release(slot));
        let (one, other) = (one.join().unwrap(), other.join().unwrap());
        assert!(one.len() + other.len() >= 1, "one was free all the time");
        slots.check([one, other].concat());
    });
}

#[test]
fn loom_a_reserve_is_all_or_nothing() {
    loom::model(|| {
        let slots = Slots::new(3);
        let mine = slots.reserve(1);
        let one = reserving(&slots, 2);
        let other = reserving(&slots, 2);
        slots.release(mine[0]);
        let (one, other) = (one.join().unwrap(), other.join().unwrap());
        // Two were free all the time, and there are never four.
        assert_eq!((one.len().min(other.len()), one.len().max(other.len())), (0, 2));
        slots.check([one, other].concat());
    });
}

/// The top is taken, what lay below it is taken, and the top comes back: it looks as before, and is not.
#[test]
fn loom_a_reserve_that_was_held_up_does_not_take_what_another_holds() {
    loom::model(|| {
        let slots = Slots::new(4);
        let slow = reserving(&slots, 1);
        let mut held = slots.reserve(2);
        slots.release(held.remove(0));
        held.extend(slots.reserve(1));
        held.extend(slow.join().unwrap());
        assert_eq!(held.len(), 3);
        slots.check(held);
    });
}

/// A table of a few slots, made before any thread starts: the lock that a chunk is made under is not loom's.
fn table() -> Arc<SlotTable> {
    let table = SlotTable::new(4);
    table.get(0);
    Arc::new(table)
}

fn cancelling(table: &Arc<SlotTable>, generation: u64) -> thread::JoinHandle<bool> {
    let table = table.clone();
    thread::spawn(move || table.get(1).request_cancel(generation))
}

#[test]
fn loom_a_cancel_is_never_of_the_next_generation() {
    loom::model(|| {
        let table = table();
        let slot = table.get(1);
        let first = slot.occupy();
        let one = cancelling(&table, first);
        let other = cancelling(&table, first);
        let requested = slot.cancel_requested();
        assert!(slot.vacate(first));
        assert!(!slot.cancel_requested() && !slot.is_live(first), "nothing is in the slot");
        let second = slot.occupy();
        assert_eq!(second, first + 1);
        let answers = [one.join().unwrap(), other.join().unwrap()];
        assert!(answers.contains(&true) || !requested, "who asked was answered");
        assert!(slot.is_live(second) && !slot.cancel_requested());
    });
}

#[test]
fn loom_a_cancel_that_was_accepted_is_there_as_long_as_its_generation() {
    loom::model(|| {
        let table = table();
        let slot = table.get(1);
        let first = slot.occupy();
        let of_first = cancelling(&table, first);
        let of_second = cancelling(&table, first + 1);
        assert!(slot.vacate(first));
        let second = slot.occupy();
        of_first.join().unwrap();
        let accepted = of_second.join().unwrap();
        assert_eq!(slot.cancel_requested(), accepted);
        assert!(slot.is_live(second));
    });
}
