//! What the algebra promises, checked on examples and on thousands of generated frontiers.

use super::*;
use crate::causal::Domain;
use alloc::{format, vec, vec::Vec};

mod cases;
mod large;

fn axis(ordinal: u64) -> Axis {
    Axis::new(1, 0, Domain::Host, ordinal).unwrap()
}

fn frontier(entries: &[(u64, u64)]) -> Frontier {
    let entries: Vec<Entry> = entries.iter().map(|&(ordinal, epoch)| Entry::new(axis(ordinal), epoch)).collect();
    Frontier::from_entries(&entries).unwrap()
}

/// `count` axes starting at `first`, `step` apart, all at `epoch`.
fn ladder(first: u64, step: u64, count: u64, epoch: u64) -> Frontier {
    let entries: Vec<(u64, u64)> = (0..count).map(|index| (first + index * step, epoch)).collect();
    frontier(&entries)
}

fn merged(a: &Frontier, b: &Frontier) -> Frontier {
    let mut result = a.clone();
    result.merge(b).unwrap();
    result
}

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

    /// Small epochs and few axes, so that all relations come up often; sizes on both sides of the inline limit.
    fn frontier(&mut self) -> Frontier {
        let (axes, one_in) = (1 + self.below(12), 1 + self.below(4));
        let mut entries = vec![];
        for ordinal in 0..axes {
            if self.below(one_in) == 0 {
                entries.push((ordinal, 1 + self.below(3)));
            }
        }
        frontier(&entries)
    }
}

/// The definition itself, axis by axis.
fn dominates_by_definition(a: &Frontier, b: &Frontier) -> bool {
    (0..12).all(|ordinal| a.epoch(axis(ordinal)) >= b.epoch(axis(ordinal)))
}

fn for_random_triples(check: impl Fn(&Frontier, &Frontier, &Frontier)) {
    for seed in 0..20_000 {
        let mut random = Random(seed);
        let (a, b, c) = (random.frontier(), random.frontier(), random.frontier());
        check(&a, &b, &c);
    }
}

#[test]
fn entries_out_of_order_or_at_epoch_zero_make_no_frontier() {
    let refused = |entries: &[Entry]| Frontier::from_entries(entries).unwrap_err();
    let (low, high) = (Entry::new(axis(1), 1), Entry::new(axis(2), 1));
    assert_eq!(refused(&[high, low]), FrontierError::NotAscending { index: 1 });
    assert_eq!(refused(&[low, high, high]), FrontierError::NotAscending { index: 2 });
    assert_eq!(refused(&[low, Entry::new(axis(2), 0)]), FrontierError::ZeroEpoch { index: 1 });
    assert_eq!(Frontier::single(axis(1), 0).unwrap_err(), FrontierError::ZeroEpoch { index: 0 });
    assert_eq!(Frontier::single(axis(1), 4).unwrap(), frontier(&[(1, 4)]));
    assert!(Frontier::from_entries(&[]).unwrap().is_empty());
}

#[test]
fn two_hundred_fifty_five_entries_fit_and_one_more_does_not() {
    let full = ladder(0, 1, 255, 1);
    assert_eq!(full.len(), 255);
    let entries: Vec<Entry> = (0..256).map(|ordinal| Entry::new(axis(ordinal), 1)).collect();
    let error = Frontier::from_entries(&entries).unwrap_err();
    assert_eq!(error, FrontierError::TooManyEntries { needed: 256, capacity: 255 });
    assert_eq!(format!("{error}"), "256 entries are more than the 255 that fit");
}

#[test]
fn a_merge_that_overflows_leaves_the_target_untouched() {
    let mut full = ladder(0, 1, 255, 1);
    let before = full.clone();
    // The first 254 axes are shared and later: none of their epochs may have moved when the last one does not fit.
    let mut source = ladder(0, 1, 254, 9);
    source.merge(&frontier(&[(1000, 1)])).unwrap();
    let expected = Err(FrontierError::TooManyEntries { needed: 256, capacity: 255 });
    assert_eq!(full.merge(&source), expected);
    assert_eq!(full, before);
    assert!(full.merge_and_test_dominance(&source).is_err());
    assert_eq!(full, before);
    full.merge(&ladder(0, 1, 255, 9)).unwrap();
    assert_eq!(full, ladder(0, 1, 255, 9));
}

#[test]
fn a_bounded_merge_counts_shared_axes_once() {
    let mut target = frontier(&[(1, 1), (3, 3)]);
    assert_eq!(
        target.merge_bounded(&frontier(&[(1, 5), (2, 1)]), 2),
        Err(FrontierError::TooManyEntries { needed: 3, capacity: 2 })
    );
    assert_eq!(target, frontier(&[(1, 1), (3, 3)]));
    target.merge_bounded(&frontier(&[(1, 5), (2, 1)]), 3).unwrap();
    assert_eq!(target, frontier(&[(1, 5), (2, 1), (3, 3)]));
    // No axis is added: there is room, whatever the capacity.
    target.merge_bounded(&frontier(&[(3, 9)]), 0).unwrap();
    target.merge_bounded(&Frontier::new(), 0).unwrap();
    assert_eq!(target, frontier(&[(1, 5), (2, 1), (3, 9)]));
}

#[test]
fn merging_grows_from_inline_to_the_heap_and_interleaves() {
    let mut target = ladder(0, 2, 3, 1);
    target.merge(&ladder(1, 2, 100, 2)).unwrap();
    assert_eq!(target.len(), 103);
    assert_eq!(target.entries()[..4], [(0, 1), (1, 2), (2, 1), (3, 2)].map(|(o, e)| Entry::new(axis(o), e)));
    assert!(target.entries().is_sorted_by(|a, b| a.axis < b.axis));
    target.clear();
    assert_eq!(target, Frontier::new());
}

#[test]
fn missing_axes_count_as_epoch_zero() {
    let empty = Frontier::new();
    let one = frontier(&[(1, 1)]);
    assert_eq!(empty.compare(&empty), Causality::Equal);
    assert_eq!(empty.compare(&one), Causality::Before);
    assert_eq!(one.compare(&empty), Causality::After);
    assert_eq!(one.compare(&frontier(&[(2, 1)])), Causality::Concurrent);
    assert_eq!(frontier(&[(1, 1), (2, 2)]).compare(&frontier(&[(1, 2), (2, 1)])), Causality::Concurrent);
    assert_eq!(one.partial_cmp(&frontier(&[(2, 1)])), None);
    assert!(empty < one);
}

#[test]
fn compare_follows_the_definition_and_is_antisymmetric() {
    for_random_triples(|a, b, _| {
        let expected = match (dominates_by_definition(b, a), dominates_by_definition(a, b)) {
            (true, true) => Causality::Equal,
            (true, false) => Causality::Before,
            (false, true) => Causality::After,
            (false, false) => Causality::Concurrent,
        };
        assert_eq!(a.compare(b), expected, "{a:?} {b:?}");
        assert_eq!(a.dominates(b), dominates_by_definition(a, b), "{a:?} {b:?}");
        let mirrored = match expected {
            Causality::Before => Causality::After,
            Causality::After => Causality::Before,
            other => other,
        };
        assert_eq!(b.compare(a), mirrored);
        assert_eq!(expected == Causality::Equal, a == b);
    });
}

#[test]
fn merge_is_associative_commutative_and_idempotent() {
    for_random_triples(|a, b, c| {
        assert_eq!(merged(a, b), merged(b, a));
        assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)));
        assert_eq!(merged(a, a), *a);
    });
}

#[test]
fn merge_is_the_least_upper_bound() {
    for_random_triples(|a, b, c| {
        let union = merged(a, b);
        assert!(union.dominates(a) && union.dominates(b));
        if c.dominates(a) && c.dominates(b) {
            assert!(c.dominates(&union));
        }
        Frontier::from_entries(union.entries()).expect("a merge keeps entries in order");
    });
}

#[test]
fn dominance_is_told_of_the_target_before_the_merge() {
    for_random_triples(|a, b, _| {
        let mut target = a.clone();
        assert_eq!(target.merge_and_test_dominance(b), Ok(b.dominates(a)));
        assert_eq!(target, merged(a, b));
    });
    assert_eq!(frontier(&[(1, 1)]).merge_and_test_dominance(&Frontier::new()), Ok(false));
    assert_eq!(Frontier::new().merge_and_test_dominance(&Frontier::new()), Ok(true));
}

#[test]
fn undominated_entries_are_those_the_reference_lacks_or_is_behind_on() {
    for_random_triples(|a, b, _| {
        let found: Vec<Entry> = a.find_undominated(b).collect();
        let expected: Vec<Entry> =
            a.entries().iter().copied().filter(|entry| b.epoch(entry.axis) < entry.epoch).collect();
        assert_eq!(found, expected, "{a:?} {b:?}");
        assert_eq!(found.is_empty(), b.dominates(a));
    });
}

#[test]
fn satisfaction_needs_every_axis_present_and_far_enough() {
    let needed = frontier(&[(2, 3), (5, 1)]);
    let progress = |entries: &[(u64, u64)]| -> Vec<Entry> {
        entries.iter().map(|&(ordinal, epoch)| Entry::new(axis(ordinal), epoch)).collect()
    };
    assert!(needed.is_satisfied(&progress(&[(1, 0), (2, 3), (3, 0), (5, 7), (9, 1)])));
    assert!(!needed.is_satisfied(&progress(&[(2, 2), (5, 7)])));
    assert!(!needed.is_satisfied(&progress(&[(2, 3), (4, 7)])));
    assert!(!needed.is_satisfied(&progress(&[(2, 3)])));
    assert!(Frontier::new().is_satisfied(&[]));
}

#[test]
fn equal_frontiers_are_equal_wherever_they_are_stored() {
    let mut on_the_heap = ladder(0, 1, 9, 1);
    on_the_heap.clone_from(&frontier(&[(1, 2)]));
    assert_eq!(on_the_heap, frontier(&[(1, 2)]));
    assert_eq!(format!("{on_the_heap:?}"), "{1.0.host.1: 2}");
}

/// Figures, not a check: `cargo test --release -p proact --lib frontier_costs -- --ignored --nocapture`.
#[cfg(feature = "std")]
#[test]
#[ignore = "prints figures"]
fn frontier_costs() {
    use std::hint::black_box;
    use std::time::Instant;
    fn nanoseconds(mut work: impl FnMut()) -> f64 {
        let rounds = 200_000;
        let mut best = f64::MAX;
        for _ in 0..10 {
            let start = Instant::now();
            (0..rounds).for_each(|_| work());
            best = best.min(start.elapsed().as_nanos() as f64 / f64::from(rounds));
        }
        best
    }
    for count in [1, 4, 16, 64] {
        let (a, b) = (ladder(0, 1, count, 5), ladder(0, 1, count, 5));
        let compare = nanoseconds(|| _ = black_box(black_box(&a).compare(black_box(&b))));
        let satisfied = nanoseconds(|| _ = black_box(black_box(&a).is_satisfied(black_box(b.entries()))));
        let mut target = a.clone();
        let same = nanoseconds(|| black_box(&mut target).merge(black_box(&b)).unwrap());
        // The target is refilled each time, as the reference's figure does too: a merge of a merged target is no work.
        let (odd, mut target) = (ladder(1, 2, count, 5), ladder(0, 1, count * 2, 1));
        let even = ladder(0, 2, count, 5);
        let refill = nanoseconds(|| black_box(&mut target).clone_from(black_box(&even)));
        let interleaved = nanoseconds(|| {
            target.clone_from(black_box(&even));
            black_box(&mut target).merge(black_box(&odd)).unwrap();
        });
        std::println!(
            "{count:3} axes: compare {compare:.1}, satisfied {satisfied:.1}, merge same {same:.1}, \
             interleaved {interleaved:.1} (of which refill {refill:.1}) ns"
        );
    }
}
