//! The algebra against a model that is plainly right, on frontiers of every size up to the most: inline and on the
//! heap, of shared, disjoint and interleaved axes, and where the union does not fit.

use alloc::collections::BTreeMap;

use super::*;

/// What a frontier means: an epoch for each axis.
type Model = BTreeMap<u64, u64>;

fn model(frontier: &Frontier) -> Model {
    frontier.entries().iter().map(|entry| (entry.axis.to_bits(), entry.epoch)).collect()
}

fn model_union(a: &Model, b: &Model) -> Model {
    let mut union = a.clone();
    for (&axis, &epoch) in b {
        let place = union.entry(axis).or_insert(0);
        *place = epoch.max(*place);
    }
    union
}

fn model_covers(a: &Model, b: &Model) -> bool {
    b.iter().all(|(axis, epoch)| a.get(axis).is_some_and(|have| have >= epoch))
}

/// A frontier on the heap, though it may be small: storage stays where it was once.
fn on_the_heap(frontier: &Frontier) -> Frontier {
    let mut kept = ladder(0, 1, 255, 1);
    kept.clone_from(frontier);
    kept
}

impl Random {
    /// Of 0 to 255 entries, sizes near the inline limit and the most among them, over axes that many others share.
    fn large(&mut self) -> Frontier {
        let count = match self.below(4) {
            0 => self.below(8),
            1 => 250 + self.below(6),
            _ => self.below(256),
        };
        let (range, epochs) = (count + self.below(200), 1 + self.below(4));
        let mut entries = vec![];
        let mut left = count;
        for ordinal in 0..range {
            // Of those that remain, as many as are missing: every choice is as likely.
            if self.below(range - ordinal) < left {
                entries.push((ordinal, 1 + self.below(epochs)));
                left -= 1;
            }
        }
        assert_eq!(entries.len() as u64, count);
        let made = frontier(&entries);
        if self.below(2) == 0 { on_the_heap(&made) } else { made }
    }

    /// What the other is, with a few epochs moved: nearly the same axes, as frontiers that meet usually have.
    fn near(&mut self, other: &Frontier) -> Frontier {
        let mut entries = other.entries().to_vec();
        for _ in 0..self.below(3) {
            let length = entries.len() as u64;
            if length > 0 {
                let index = self.below(length) as usize;
                entries[index].epoch = 1 + self.below(4);
                if self.below(2) == 0 {
                    entries.remove(index);
                }
            }
        }
        Frontier::from_entries(&entries).unwrap()
    }
}

fn for_large_pairs(check: impl Fn(&Frontier, &Frontier, u64)) {
    for seed in 0..1500 {
        let mut random = Random(seed << 32 | 0xf00d);
        let a = random.large();
        let b = if seed % 3 == 0 { random.near(&a) } else { random.large() };
        check(&a, &b, seed);
    }
}

#[test]
fn a_merge_is_the_models_union_or_leaves_everything_as_it_was() {
    let (merges, overflows) = (core::cell::Cell::new(0), core::cell::Cell::new(0));
    for_large_pairs(|a, b, seed| {
        let union = model_union(&model(a), &model(b));
        let mut target = a.clone();
        match target.merge(b) {
            Ok(()) => {
                merges.set(merges.get() + 1);
                assert_eq!(model(&target), union, "seed {seed}");
                Frontier::validate(target.entries()).unwrap();
                assert_eq!(merged(b, a), target, "seed {seed}");
                assert_eq!(merged(&target, b), target, "seed {seed}");
                assert!(target.dominates(a) && target.dominates(b));
            }
            Err(error) => {
                overflows.set(overflows.get() + 1);
                assert_eq!(error, FrontierError::TooManyEntries { needed: union.len(), capacity: 255 });
                assert!(union.len() > 255);
                assert_eq!(target, *a, "seed {seed}");
                assert_eq!(target.merge_and_test_dominance(b), Err(error));
                assert_eq!(target, *a, "seed {seed}");
            }
        }
    });
    assert!(merges.get() > 300 && overflows.get() > 50, "{merges:?} {overflows:?}");
}

#[test]
fn a_bounded_merge_has_room_for_just_what_fits() {
    for_large_pairs(|a, b, seed| {
        let needed = model_union(&model(a), &model(b)).len();
        if needed == 0 || needed > 255 {
            return;
        }
        let (mut fits, mut does_not) = (a.clone(), a.clone());
        fits.merge_bounded(b, needed).unwrap();
        assert_eq!(fits.len(), needed, "seed {seed}");
        if needed > a.len() {
            assert!(does_not.merge_bounded(b, needed - 1).is_err(), "seed {seed}");
            assert_eq!(does_not, *a, "seed {seed}");
        }
    });
}

#[test]
fn order_dominance_and_what_is_missing_agree_with_the_model() {
    for_large_pairs(|a, b, seed| {
        let (x, y) = (model(a), model(b));
        let expected = match (model_covers(&y, &x), model_covers(&x, &y)) {
            (true, true) => Causality::Equal,
            (true, false) => Causality::Before,
            (false, true) => Causality::After,
            (false, false) => Causality::Concurrent,
        };
        assert_eq!(a.compare(b), expected, "seed {seed}");
        assert_eq!(a.dominates(b), model_covers(&x, &y), "seed {seed}");
        assert_eq!(a.is_satisfied(b.entries()), model_covers(&y, &x), "seed {seed}");
        let missing: Vec<(u64, u64)> = x
            .iter()
            .filter(|&(axis, epoch)| y.get(axis).is_none_or(|have| have < epoch))
            .map(|(a, e)| (*a, *e))
            .collect();
        let found: Vec<(u64, u64)> = a.find_undominated(b).map(|entry| (entry.axis.to_bits(), entry.epoch)).collect();
        assert_eq!(found, missing, "seed {seed}");
        assert_eq!(a.find_undominated_into(b, &mut []), missing.len());
        if let Ok(dominated) = a.clone().merge_and_test_dominance(b) {
            assert_eq!(dominated, model_covers(&y, &x), "seed {seed}");
        }
    });
}

/// More is known after a merge: what was implied before is implied still, and what satisfied still does.
#[test]
fn merging_is_monotone() {
    for seed in 0..1000 {
        let mut random = Random(seed << 32 | 0xbeef);
        let (a, b) = (random.large(), random.large());
        let c = random.near(&a);
        let (mut with_a, mut with_c) = (b.clone(), b.clone());
        if !a.dominates(&c) || with_a.merge(&a).is_err() || with_c.merge(&c).is_err() {
            continue;
        }
        assert!(with_a.dominates(&with_c), "seed {seed}");
        assert!(!with_a.is_satisfied(b.entries()) || a.is_satisfied(b.entries()), "seed {seed}");
    }
}

#[test]
fn a_merge_of_more_is_never_less_and_associates_where_it_fits() {
    for seed in 0..800 {
        let mut random = Random(seed << 32 | 0xcafe);
        let (a, b, c) = (random.large(), random.large(), random.large());
        let join = |x: &Frontier, y: &Frontier| -> Option<Frontier> {
            let mut joined = x.clone();
            joined.merge(y).ok().map(|()| joined)
        };
        let (left, right) = (join(&a, &b).and_then(|ab| join(&ab, &c)), join(&b, &c).and_then(|bc| join(&a, &bc)));
        // If the whole fits, so does each part: both ways come to the same, or both fail.
        assert_eq!(left, right, "seed {seed}");
    }
}
