//! What is kept of every slot, in two tables: the poll thread's slots are even, those of other threads odd.
//!
//! Most proactors are given work by their own thread alone, or by others alone. One table by number would then lie half
//! empty: 264 bytes for each connection that waits (measured with what the engine and the ring's backend keep of it).

use std::ops::{Index, IndexMut};

/// A table by slot that grows where it is used.
#[derive(Debug)]
pub(crate) struct BySlot<T> {
    halves: [Vec<T>; 2],
}

/// Places that are made at once.
const CHUNK: usize = 512;

/// Up to this length a table doubles: many small steps would be felt, and little is wasted.
const DOUBLED_MAX: usize = 4 * CHUNK;

impl<T> BySlot<T> {
    pub(crate) const fn new() -> BySlot<T> {
        BySlot { halves: [Vec::new(), Vec::new()] }
    }

    /// Makes room for `slot` and some of its kind after it. `true`: there was none.
    #[inline]
    pub(crate) fn reach(&mut self, slot: u32, empty: impl FnMut() -> T) -> bool {
        let (half, place) = place(slot);
        if place < self.halves[half].len() {
            return false;
        }
        self.grow(half, place, empty);
        true
    }

    /// What is kept of `slot`, from now on.
    #[inline]
    pub(crate) fn make(&mut self, slot: u32, empty: impl FnMut() -> T) -> &mut T {
        self.reach(slot, empty);
        &mut self[slot as usize]
    }

    #[cold]
    fn grow(&mut self, half: usize, place: usize, empty: impl FnMut() -> T) {
        // By whole chunks, so that growth is rare; and a large one by an eighth: a vector that doubles, as it does by
        // itself, lies half empty after it has (120 bytes a connection of ten thousand, measured).
        let table = &mut self.halves[half];
        let length = (place + 1).next_multiple_of(CHUNK);
        if length > table.capacity() {
            let spare = if length <= DOUBLED_MAX { length } else { length / 8 };
            table.reserve_exact((length + spare).next_multiple_of(CHUNK) - table.len());
        }
        table.resize_with(length, empty);
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let (half, place) = place(slot);
        self.halves[half].get(place)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (half, place) = place(slot);
        self.halves[half].get_mut(place)
    }

    /// Has what is kept of `slot` fetched, if anything is: it is asked for soon.
    #[inline]
    pub(crate) fn expect(&self, slot: u32) {
        if let Some(kept) = self.get(slot) {
            fetch(kept);
        }
    }

    /// Every slot that has a place, in no particular order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> + use<T> {
        let lengths = [self.halves[0].len() as u32, self.halves[1].len() as u32];
        (0..2u32).flat_map(move |half| (0..lengths[half as usize]).map(move |place| place * 2 + half))
    }

    /// Every place.
    #[cfg(any(test, target_os = "linux", target_os = "android"))]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.halves.iter_mut().flatten()
    }
}

/// Has the processor fetch a value into its caches, without waiting for it: where several are about to be asked for of
/// which each lies in memory, the waits for them then are one. Of what is longer than a line, the first two.
#[inline(always)]
pub(crate) fn fetch<T>(value: *const T) {
    #[cfg(all(target_arch = "x86_64", not(miri), not(loom)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        // SAFETY: a hint, which is to the processor as if it were not there: any address is allowed.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(value.cast());
            if size_of::<T>() > 8 {
                _mm_prefetch::<_MM_HINT_T0>(value.cast::<i8>().wrapping_add(size_of::<T>().min(LINE) - 1));
            }
        }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri), not(loom))))]
    let _ = value;
}

#[inline(always)]
fn place(slot: u32) -> (usize, usize) {
    ((slot & 1) as usize, (slot >> 1) as usize)
}

impl<T> Default for BySlot<T> {
    fn default() -> BySlot<T> {
        BySlot::new()
    }
}

impl<T> Index<usize> for BySlot<T> {
    type Output = T;

    #[inline(always)]
    fn index(&self, slot: usize) -> &T {
        &self.halves[slot & 1][slot >> 1]
    }
}

impl<T> IndexMut<usize> for BySlot<T> {
    #[inline(always)]
    fn index_mut(&mut self, slot: usize) -> &mut T {
        &mut self.halves[slot & 1][slot >> 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_half_grows_by_itself_and_every_slot_has_its_own_place() {
        let mut table = BySlot::new();
        assert!(table.get(0).is_none() && table.get_mut(1).is_none());
        assert!(table.reach(6, || 0u32));
        assert!(!table.reach(0, || 0), "of the same chunk");
        assert!(table.get(7).is_none(), "of the other half");
        assert!(table.reach(CHUNK as u32 * 2 + 1, || 0));
        let slots: Vec<u32> = table.slots().collect();
        assert_eq!(slots.len(), 3 * CHUNK);
        for &slot in &slots {
            table[slot as usize] = slot;
        }
        assert!(slots.iter().all(|&slot| table[slot as usize] == slot && table.get(slot) == Some(&slot)));
        assert_eq!(table.iter_mut().count(), slots.len());
    }
}
