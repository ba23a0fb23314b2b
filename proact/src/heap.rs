//! A priority queue whose entries can be taken out again: what timers and semaphore waiters stand in.
//!
//! Most deadlines and many waits end early, by the thing that they guard. So removal by key costs what insertion does,
//! and leaves nothing behind to be skipped later.

/// The children of one node. Four make the tree half as deep as two and lie side by side in memory.
const ARITY: usize = 4;

/// Ends the list of free slots.
const NONE: u32 = u32::MAX;

/// Names one entry of one [`IndexedHeap`]. It is never given out twice, so a stale key finds no one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct HeapKey {
    slot: u32,
    sequence: u64,
}

/// A min-heap of values by key, over a slab: least key first, equal keys first in first out.
///
/// The sequence number of an insertion breaks ties and tells uses of a slot apart. It does not wrap: at a billion
/// insertions a second it lasts 584 years. After growing to its largest size, or [`IndexedHeap::reserve`], nothing
/// allocates.
#[derive(Debug)]
pub(crate) struct IndexedHeap<K, V> {
    nodes: Vec<Node<K>>,
    slots: Vec<Slot<V>>,
    free: u32,
    sequence: u64,
}

/// Keys live in the tree itself: comparing them touches no slot.
#[derive(Clone, Copy, Debug)]
struct Node<K> {
    key: K,
    sequence: u64,
    slot: u32,
}

impl<K: Ord> Node<K> {
    fn before(&self, other: &Node<K>) -> bool {
        (&self.key, self.sequence) < (&other.key, other.sequence)
    }
}

#[derive(Debug)]
struct Slot<V> {
    /// The place of the entry's node while there is a value; the next free slot otherwise.
    link: u32,
    value: Option<V>,
}

impl<K: Ord + Copy, V> IndexedHeap<K, V> {
    /// An empty heap, without storage.
    pub(crate) const fn new() -> IndexedHeap<K, V> {
        IndexedHeap { nodes: Vec::new(), slots: Vec::new(), free: NONE, sequence: 0 }
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Makes room for `additional` more entries.
    pub(crate) fn reserve(&mut self, additional: usize) {
        self.nodes.reserve(additional);
        // Not every slot is taken: those that are free count as room.
        self.slots.reserve((self.nodes.len() + additional).saturating_sub(self.slots.len()));
    }

    /// Adds an entry, behind those with an equal key.
    pub(crate) fn insert(&mut self, key: K, value: V) -> HeapKey {
        let sequence = self.number();
        self.insert_as(key, sequence, value)
    }

    /// The number of an insertion that may come later, by [`IndexedHeap::insert_as`], and stands then where one of now
    /// would.
    #[inline]
    pub(crate) fn number(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// [`IndexedHeap::insert`] under a number that was given out for it.
    pub(crate) fn insert_as(&mut self, key: K, sequence: u64, value: V) -> HeapKey {
        let place = self.nodes.len();
        let slot = self.take_slot(value);
        let node = Node { key, sequence, slot };
        self.nodes.push(node);
        self.rise(place, node);
        HeapKey { slot, sequence: node.sequence }
    }

    /// Takes an entry out; `None` if it is gone already.
    pub(crate) fn remove(&mut self, key: HeapKey) -> Option<V> {
        let slot = self.slots.get(key.slot as usize)?;
        let place = slot.link as usize;
        if slot.value.is_none() || self.nodes[place].sequence != key.sequence {
            return None;
        }
        self.remove_at(place)
    }

    /// The first entry.
    pub(crate) fn peek(&self) -> Option<(&K, &V)> {
        let node = self.nodes.first()?;
        let value = self.slots[node.slot as usize].value.as_ref()?;
        Some((&node.key, value))
    }

    /// Takes the first entry out.
    pub(crate) fn pop(&mut self) -> Option<(K, V)> {
        let key = self.nodes.first()?.key;
        Some((key, self.remove_at(0)?))
    }

    /// Drops the first entry where it is, if there is one: as [`IndexedHeap::pop`], without moving it.
    #[inline]
    pub(crate) fn drop_first(&mut self) {
        if !self.nodes.is_empty() {
            let slot = self.detach(0);
            self.slots[slot as usize].value = None;
        }
    }

    /// Stores `value` in a free slot. The slot's link is set when its node finds a place.
    fn take_slot(&mut self, value: V) -> u32 {
        let index = self.free;
        if let Some(slot) = self.slots.get_mut(index as usize) {
            self.free = slot.link;
            slot.value = Some(value);
            return index;
        }
        let index = self.slots.len();
        assert!(index < NONE as usize, "more entries than a heap can number");
        self.slots.push(Slot { link: NONE, value: Some(value) });
        index as u32
    }

    fn remove_at(&mut self, place: usize) -> Option<V> {
        let slot = self.detach(place);
        self.slots[slot as usize].value.take()
    }

    /// Takes a node out of the tree. Its slot is free from here, but for its value.
    #[inline]
    fn detach(&mut self, place: usize) -> u32 {
        let removed = self.nodes.swap_remove(place);
        if let Some(&moved) = self.nodes.get(place) {
            // The last node took its place. It came from another branch, so it may belong above as well as below.
            if moved.before(&removed) {
                self.rise(place, moved);
            } else {
                self.sink(place, moved);
            }
        }
        self.slots[removed.slot as usize].link = self.free;
        self.free = removed.slot;
        removed.slot
    }

    /// Puts `node`, which belongs at `place` or above, where it belongs.
    fn rise(&mut self, mut place: usize, node: Node<K>) {
        while place > 0 {
            let parent = (place - 1) / ARITY;
            if !node.before(&self.nodes[parent]) {
                break;
            }
            self.put(place, self.nodes[parent]);
            place = parent;
        }
        self.put(place, node);
    }

    /// Puts `node`, which belongs at `place` or below, where it belongs.
    fn sink(&mut self, mut place: usize, node: Node<K>) {
        loop {
            let first = place * ARITY + 1;
            let last = (first + ARITY).min(self.nodes.len());
            if first >= last {
                break;
            }
            let mut least = first;
            for child in first + 1..last {
                if self.nodes[child].before(&self.nodes[least]) {
                    least = child;
                }
            }
            if !self.nodes[least].before(&node) {
                break;
            }
            self.put(place, self.nodes[least]);
            place = least;
        }
        self.put(place, node);
    }

    fn put(&mut self, place: usize, node: Node<K>) {
        self.nodes[place] = node;
        self.slots[node.slot as usize].link = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// SplitMix64: every failure is found again from its seed.
    struct Random(u64);

    impl Random {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) % limit
        }
    }

    #[test]
    fn least_key_comes_first_and_equal_keys_first_in_first_out() {
        let mut heap = IndexedHeap::new();
        assert!(heap.is_empty());
        for (key, value) in [(3, 'd'), (1, 'a'), (2, 'b'), (2, 'c'), (3, 'e')] {
            heap.insert(key, value);
        }
        assert_eq!(heap.peek(), Some((&1, &'a')));
        assert_eq!(heap.len(), 5);
        let order: String = std::iter::from_fn(|| heap.pop()).map(|(_, value)| value).collect();
        assert_eq!(order, "abcde");
        assert_eq!(heap.peek(), None);
    }

    #[test]
    fn a_stale_key_finds_no_one() {
        let mut heap = IndexedHeap::new();
        let first = heap.insert(1, "first");
        assert_eq!(heap.remove(first), Some("first"));
        assert_eq!(heap.remove(first), None);
        let second = heap.insert(1, "second");
        assert_eq!(second.slot, first.slot, "the slot is used again");
        assert_eq!(heap.remove(first), None);
        assert_eq!(heap.pop(), Some((1, "second")));
        assert_eq!(heap.remove(second), None);
    }

    #[test]
    fn any_mix_of_calls_agrees_with_a_sorted_map() {
        for seed in 0..300 {
            let mut random = Random(seed);
            let mut heap = IndexedHeap::new();
            // By key, then by order of insertion: what the heap promises.
            let mut model: BTreeMap<(u64, u64), HeapKey> = BTreeMap::new();
            let mut gone: Vec<HeapKey> = Vec::new();
            let keys = 1 + random.below(40);
            for step in 0..400 {
                // Grows in the first half of the steps and shrinks in the second.
                match random.below(if step < 200 { 8 } else { 20 }) {
                    0..5 => {
                        let key = random.below(keys);
                        model.insert((key, step), heap.insert(key, step));
                    }
                    5 | 8..13 => {
                        let expected = model.pop_first();
                        if step % 3 == 0 {
                            heap.drop_first();
                        } else {
                            assert_eq!(heap.pop(), expected.map(|(entry, _)| entry), "seed {seed}");
                        }
                        gone.extend(expected.map(|(_, heap_key)| heap_key));
                    }
                    6 | 13.. if !model.is_empty() => {
                        let nth = random.below(model.len() as u64) as usize;
                        let (&entry, &heap_key) = model.iter().nth(nth).unwrap();
                        model.remove(&entry);
                        assert_eq!(heap.remove(heap_key), Some(entry.1), "seed {seed}");
                        gone.push(heap_key);
                    }
                    _ if !gone.is_empty() => {
                        let nth = random.below(gone.len() as u64) as usize;
                        assert_eq!(heap.remove(gone[nth]), None, "seed {seed}");
                    }
                    _ => {}
                }
                assert_eq!(heap.len(), model.len());
                let first = model.first_key_value().map(|(entry, _)| *entry);
                assert_eq!(heap.peek().map(|(&key, &value)| (key, value)), first, "seed {seed}");
            }
        }
    }

    #[test]
    fn nothing_grows_once_room_is_reserved() {
        let mut heap = IndexedHeap::new();
        heap.reserve(100);
        let room = (heap.nodes.capacity(), heap.slots.capacity());
        for round in 0..10 {
            let keys: Vec<HeapKey> = (0..100).map(|key| heap.insert(key * 7 % 100, round)).collect();
            keys.into_iter().for_each(|key| assert_eq!(heap.remove(key), Some(round)));
            heap.reserve(100);
        }
        assert_eq!((heap.nodes.capacity(), heap.slots.capacity()), room);
    }

    /// Figures, not a check: `cargo test --release -p proact --lib heap_costs -- --ignored --nocapture`.
    #[test]
    #[ignore = "prints figures"]
    fn heap_costs() {
        for count in [100, 10_000, 100_000] {
            let mut random = Random(1);
            let mut heap = IndexedHeap::new();
            let mut now = 0;
            let mut keys: Vec<HeapKey> = (0..count).map(|_| heap.insert(random.below(1 << 30), [0_u64; 2])).collect();
            let start = std::time::Instant::now();
            let rounds = 1_000_000;
            for _ in 0..rounds {
                // A deadline is replaced by a later one, as each byte that arrives on a connection does.
                now += 1000;
                let nth = random.below(count) as usize;
                heap.remove(keys[nth]).unwrap();
                keys[nth] = heap.insert(now + (1 << 30), [0; 2]);
            }
            println!("replace one of {count}: {:.0} ns", start.elapsed().as_nanos() as f64 / f64::from(rounds));
        }
    }
}
