//! Vector clocks: how far each axis has come.

use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};

use super::Axis;

mod algebra;
#[cfg(test)]
mod tests;

/// An axis and how far it has come.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What progresses.
    pub axis: Axis,
    /// The latest of its epochs that is meant. In a [`Frontier`] at least 1: epoch 0 is before everything, and said by
    /// leaving the axis out.
    pub epoch: u64,
}

impl Entry {
    /// What fills storage that is about to be written.
    const BLANK: Entry = Entry { axis: Axis::queue(0, 0, 0, 0), epoch: 0 };

    /// The entry with these parts.
    pub const fn new(axis: Axis, epoch: u64) -> Entry {
        Entry { axis, epoch }
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.axis, self.epoch)
    }
}

/// How one frontier stands to another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Causality {
    /// The same.
    Equal,
    /// Everything in the first is in the second, which has more.
    Before,
    /// Everything in the second is in the first, which has more.
    After,
    /// Each has something that the other lacks.
    Concurrent,
}

/// Why entries do not make a frontier.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum FrontierError {
    /// The entry at this index has an axis that is not above the one before it.
    NotAscending {
        /// Which entry.
        index: usize,
    },
    /// The entry at this index has epoch 0.
    ZeroEpoch {
        /// Which entry.
        index: usize,
    },
    /// More axes than there is room for.
    TooManyEntries {
        /// How many there would be.
        needed: usize,
        /// How many there may be.
        capacity: usize,
    },
}

impl fmt::Display for FrontierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrontierError::NotAscending { index } => write!(f, "entry {index} has an axis not above the one before it"),
            FrontierError::ZeroEpoch { index } => write!(f, "entry {index} has epoch 0"),
            FrontierError::TooManyEntries { needed, capacity } => {
                write!(f, "{needed} entries are more than the {capacity} that fit")
            }
        }
    }
}

impl core::error::Error for FrontierError {}

/// A vector clock: strictly ascending axes, each with an epoch of at least 1; at most [`Frontier::ENTRIES_MAX`].
///
/// Up to four entries live inside the value; more are on the heap, and then the storage is kept and used again.
/// As [`PartialOrd`], "less" is [`Causality::Before`] and concurrent frontiers have no order.
///
/// ```
/// use proact::causal::{Axis, Causality, Entry, Frontier};
/// let (compute, copy) = (Axis::queue(0, 0, 0, 0), Axis::queue(0, 0, 0, 1));
/// let mut frontier = Frontier::single(compute, 7)?;
/// let other = Frontier::from_entries(&[Entry::new(compute, 5), Entry::new(copy, 2)])?;
/// assert_eq!(frontier.compare(&other), Causality::Concurrent);
/// frontier.merge(&other)?;
/// assert_eq!(frontier.entries(), [Entry::new(compute, 7), Entry::new(copy, 2)]);
/// # Ok::<(), proact::causal::FrontierError>(())
/// ```
pub struct Frontier {
    repr: Repr,
}

const INLINE: usize = 4;

enum Repr {
    Inline { length: u8, entries: [Entry; INLINE] },
    Heap(Vec<Entry>),
}

impl Frontier {
    /// The most entries a frontier has.
    pub const ENTRIES_MAX: usize = 255;

    /// The empty frontier: nothing has happened yet.
    pub const fn new() -> Frontier {
        Frontier { repr: Repr::Inline { length: 0, entries: [Entry::BLANK; INLINE] } }
    }

    /// One axis at one epoch.
    ///
    /// # Errors
    /// [`FrontierError::ZeroEpoch`].
    pub const fn single(axis: Axis, epoch: u64) -> Result<Frontier, FrontierError> {
        if epoch == 0 {
            return Err(FrontierError::ZeroEpoch { index: 0 });
        }
        let mut entries = [Entry::BLANK; INLINE];
        entries[0] = Entry::new(axis, epoch);
        Ok(Frontier { repr: Repr::Inline { length: 1, entries } })
    }

    /// The frontier with these entries, which must be in order.
    ///
    /// # Errors
    /// Says which entry is out of order, has epoch 0, or that there are more than [`Frontier::ENTRIES_MAX`].
    pub fn from_entries(entries: &[Entry]) -> Result<Frontier, FrontierError> {
        Frontier::validate(entries)?;
        Ok(Frontier::copied_from(entries))
    }

    /// Whether entries that come from elsewhere would make a frontier: [`Frontier::from_entries`] without making it.
    /// Order is looked at before epochs.
    ///
    /// # Errors
    /// Those of [`Frontier::from_entries`].
    ///
    /// ```
    /// use proact::causal::{Axis, Entry, Frontier, FrontierError};
    /// let (low, high) = (Entry::new(Axis::queue(0, 0, 0, 0), 1), Entry::new(Axis::queue(0, 0, 0, 1), 1));
    /// assert!(Frontier::validate(&[low, high]).is_ok());
    /// assert_eq!(Frontier::validate(&[high, low]), Err(FrontierError::NotAscending { index: 1 }));
    /// ```
    pub fn validate(entries: &[Entry]) -> Result<(), FrontierError> {
        if entries.len() > Frontier::ENTRIES_MAX {
            return Err(FrontierError::TooManyEntries { needed: entries.len(), capacity: Frontier::ENTRIES_MAX });
        }
        if let Some(before) = entries.windows(2).position(|pair| pair[0].axis >= pair[1].axis) {
            return Err(FrontierError::NotAscending { index: before + 1 });
        }
        if let Some(index) = entries.iter().position(|entry| entry.epoch == 0) {
            return Err(FrontierError::ZeroEpoch { index });
        }
        Ok(())
    }

    /// The entries, ascending by axis.
    #[inline]
    pub fn entries(&self) -> &[Entry] {
        match &self.repr {
            Repr::Inline { length, entries } => &entries[..usize::from(*length)],
            Repr::Heap(entries) => entries,
        }
    }

    /// How many entries there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Whether there is no entry.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The epoch of `axis`; 0 if it is not mentioned.
    pub fn epoch(&self, axis: Axis) -> u64 {
        let entries = self.entries();
        entries.binary_search_by_key(&axis, |entry| entry.axis).map_or(0, |index| entries[index].epoch)
    }

    /// How this frontier stands to `other`; a missing axis counts as epoch 0.
    pub fn compare(&self, other: &Frontier) -> Causality {
        algebra::compare(self.entries(), other.entries())
    }

    /// Whether everything in `other` is in this frontier: it is equal to, or after `other`.
    pub fn dominates(&self, other: &Frontier) -> bool {
        algebra::covers(self.entries(), other.entries())
    }

    /// Whether `progress` has come at least as far on every axis of this frontier. `progress` ascends strictly by axis
    /// and may have any length and epochs of 0; an axis missing from it is not satisfied. The empty frontier always is.
    pub fn is_satisfied(&self, progress: &[Entry]) -> bool {
        debug_assert!(progress.is_sorted_by(|a, b| a.axis < b.axis));
        algebra::covers(progress, self.entries())
    }

    /// The entries of this frontier that `reference` lacks or is behind on, ascending by axis. None of them, exactly if
    /// `reference` [dominates](Frontier::dominates) this frontier.
    ///
    /// Takes no storage: count them, or see [`Frontier::find_undominated_into`] for a bounded output.
    pub fn find_undominated<'a>(&'a self, reference: &'a Frontier) -> impl Iterator<Item = Entry> + 'a {
        algebra::undominated(self.entries(), reference.entries())
    }

    /// Writes the first of [`Frontier::find_undominated`]'s entries into `found`, as many as there is room for, and
    /// answers how many there are in all. With an empty `found` it only counts.
    ///
    /// ```
    /// use proact::causal::{Axis, Entry, Frontier};
    /// let entries = [1, 2, 3].map(|queue| Entry::new(Axis::queue(0, 0, 0, queue), 1));
    /// let (needed, known) = (Frontier::from_entries(&entries)?, Frontier::from_entries(&entries[1..2])?);
    /// let mut found = [entries[0]; 1];
    /// assert_eq!(needed.find_undominated_into(&known, &mut found), 2);
    /// assert_eq!(found, [entries[0]]);
    /// # Ok::<(), proact::causal::FrontierError>(())
    /// ```
    pub fn find_undominated_into(&self, reference: &Frontier, found: &mut [Entry]) -> usize {
        let mut count = 0;
        for entry in self.find_undominated(reference) {
            if let Some(place) = found.get_mut(count) {
                *place = entry;
            }
            count += 1;
        }
        count
    }

    /// Becomes the least frontier that dominates both: on each axis the later epoch.
    ///
    /// # Errors
    /// [`FrontierError::TooManyEntries`] if that has more than [`Frontier::ENTRIES_MAX`] entries; then nothing changed.
    pub fn merge(&mut self, source: &Frontier) -> Result<(), FrontierError> {
        self.merge_bounded(source, Frontier::ENTRIES_MAX)
    }

    /// As [`Frontier::merge`] with room for only `capacity` entries. A merge that adds no axis always has room.
    ///
    /// # Errors
    /// [`FrontierError::TooManyEntries`]; then nothing changed.
    pub fn merge_bounded(&mut self, source: &Frontier, capacity: usize) -> Result<(), FrontierError> {
        let capacity = capacity.min(Frontier::ENTRIES_MAX);
        let source = source.entries();
        let length = self.len();
        // Most merges fit even if no axis is shared. Only the others are counted before the first epoch is raised.
        if length + source.len() > capacity {
            let needed = algebra::union_length(self.entries(), source);
            if needed > capacity.max(length) {
                return Err(FrontierError::TooManyEntries { needed, capacity });
            }
        }
        let shared = algebra::merge_shared(self.entries_mut(), source);
        let source = &source[shared..];
        if !source.is_empty() {
            // Counting is worth it only where the union may stay inline; on the heap, spare room is given back after.
            let room = match &self.repr {
                Repr::Inline { entries, .. } => algebra::union_length(&entries[shared..length], source),
                Repr::Heap(_) => length - shared + source.len(),
            };
            let entries = &mut self.resize(shared + room)[shared..];
            let free = algebra::merge_from_right(entries, length - shared, source);
            if !free.is_empty() {
                entries.copy_within(free.end.., free.start);
                self.resize(shared + room - free.len());
            }
        }
        Ok(())
    }

    /// Merges, and says whether `source` dominated what was here before, so that this frontier now equals `source`.
    ///
    /// # Errors
    /// [`FrontierError::TooManyEntries`]; then nothing changed.
    pub fn merge_and_test_dominance(&mut self, source: &Frontier) -> Result<bool, FrontierError> {
        let dominated = source.dominates(self);
        if dominated {
            self.clone_from(source);
        } else {
            self.merge(source)?;
        }
        Ok(dominated)
    }

    /// Becomes the frontier of these entries, `length` of them and checked before.
    pub(super) fn refill(&mut self, length: usize, entries: impl Iterator<Item = Entry>) {
        for (place, entry) in self.resize(length).iter_mut().zip(entries) {
            *place = entry;
        }
        debug_assert!(Frontier::validate(self.entries()).is_ok());
    }

    /// Forgets the entries that `keep` does not want; storage on the heap is kept.
    ///
    /// ```
    /// use proact::causal::{Axis, Entry, Frontier};
    /// let entries = [1, 2, 3].map(|queue| Entry::new(Axis::queue(0, 0, 0, queue), queue.into()));
    /// let mut frontier = Frontier::from_entries(&entries)?;
    /// frontier.retain(|entry| entry.epoch != 2);
    /// assert_eq!(frontier.entries(), [entries[0], entries[2]]);
    /// # Ok::<(), proact::causal::FrontierError>(())
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(Entry) -> bool) {
        let entries = self.entries_mut();
        let mut kept = 0;
        for index in 0..entries.len() {
            if keep(entries[index]) {
                entries[kept] = entries[index];
                kept += 1;
            }
        }
        self.resize(kept);
    }

    /// Forgets every entry; storage on the heap is kept.
    pub fn clear(&mut self) {
        self.resize(0);
    }

    fn copied_from(entries: &[Entry]) -> Frontier {
        let mut frontier = Frontier::new();
        frontier.resize(entries.len()).copy_from_slice(entries);
        frontier
    }

    #[inline]
    fn entries_mut(&mut self) -> &mut [Entry] {
        match &mut self.repr {
            Repr::Inline { length, entries } => &mut entries[..usize::from(*length)],
            Repr::Heap(entries) => entries,
        }
    }

    /// Makes room for `length` entries, of which the first keep their content. Storage once on the heap stays there, so
    /// that a frontier in use for long stops allocating.
    fn resize(&mut self, length: usize) -> &mut [Entry] {
        if let Repr::Inline { length: old, entries } = &mut self.repr {
            if length <= INLINE {
                *old = length as u8;
            } else {
                let mut heap = Vec::with_capacity(length.next_power_of_two());
                heap.extend_from_slice(&entries[..usize::from(*old)]);
                self.repr = Repr::Heap(heap);
            }
        }
        if let Repr::Heap(entries) = &mut self.repr {
            entries.resize(length, Entry::BLANK);
        }
        self.entries_mut()
    }
}

impl Default for Frontier {
    fn default() -> Frontier {
        Frontier::new()
    }
}

impl Clone for Frontier {
    fn clone(&self) -> Frontier {
        Frontier::copied_from(self.entries())
    }

    /// Uses storage on the heap again.
    fn clone_from(&mut self, source: &Frontier) {
        self.resize(source.len()).copy_from_slice(source.entries());
    }
}

// Equality is of entries: the same frontier may be inline here and on the heap there.
impl PartialEq for Frontier {
    fn eq(&self, other: &Frontier) -> bool {
        self.entries() == other.entries()
    }
}

impl Eq for Frontier {}

impl Hash for Frontier {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.entries().hash(state);
    }
}

impl PartialOrd for Frontier {
    fn partial_cmp(&self, other: &Frontier) -> Option<Ordering> {
        match self.compare(other) {
            Causality::Equal => Some(Ordering::Equal),
            Causality::Before => Some(Ordering::Less),
            Causality::After => Some(Ordering::Greater),
            Causality::Concurrent => None,
        }
    }
}

impl fmt::Debug for Frontier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.entries()).finish()
    }
}
