//! The algebra on sorted entries. Every slice here is strictly ascending by axis.
//!
//! Frontiers that meet usually list the same axes (one queue's frontier, some epochs apart), so each function first
//! walks the leading entries whose axes agree and falls back to a merge of two sorted lists where they part.

use core::ops::Range;

use super::{Causality, Entry};

/// How `a` stands to `b`; a missing axis counts as epoch 0.
pub(super) fn compare(a: &[Entry], b: &[Entry]) -> Causality {
    let (mut behind, mut ahead) = (false, false);
    let mut shared = 0;
    for (x, y) in a.iter().zip(b) {
        if x.axis != y.axis {
            break;
        }
        behind |= x.epoch < y.epoch;
        ahead |= x.epoch > y.epoch;
        shared += 1;
    }
    let (mut a, mut b) = (&a[shared..], &b[shared..]);
    while !(behind && ahead) {
        match (a, b) {
            ([x, a_rest @ ..], [y, b_rest @ ..]) => {
                behind |= y.axis < x.axis || (y.axis == x.axis && x.epoch < y.epoch);
                ahead |= x.axis < y.axis || (y.axis == x.axis && x.epoch > y.epoch);
                (a, b) = (if x.axis <= y.axis { a_rest } else { a }, if y.axis <= x.axis { b_rest } else { b });
            }
            _ => {
                behind |= !b.is_empty();
                ahead |= !a.is_empty();
                break;
            }
        }
    }
    match (behind, ahead) {
        (false, false) => Causality::Equal,
        (true, false) => Causality::Before,
        (false, true) => Causality::After,
        (true, true) => Causality::Concurrent,
    }
}

/// Whether `known` has at least the epoch of every entry of `needed`.
pub(super) fn covers(known: &[Entry], needed: &[Entry]) -> bool {
    let enough = |(have, need): &(&Entry, &Entry)| have.axis == need.axis && have.epoch >= need.epoch;
    let shared = known.iter().zip(needed).take_while(enough).count();
    let (known, needed) = (&known[shared..], &needed[shared..]);
    let mut known = known.iter();
    needed.iter().all(|need| {
        loop {
            match known.next() {
                Some(have) if have.axis < need.axis => {}
                Some(have) => break have.axis == need.axis && have.epoch >= need.epoch,
                None => break false,
            }
        }
    })
}

/// The entries of `target` that `reference` lacks or is behind on.
pub(super) fn undominated<'a>(target: &'a [Entry], reference: &'a [Entry]) -> impl Iterator<Item = Entry> + 'a {
    let mut known = reference;
    target.iter().copied().filter(move |entry| {
        // The same axes on both sides, as mostly: each step then looks at one entry of either.
        while let [have, rest @ ..] = known {
            if have.axis >= entry.axis {
                break;
            }
            known = rest;
        }
        !matches!(known, [have, ..] if have.axis == entry.axis && have.epoch >= entry.epoch)
    })
}

/// How many axes `a` and `b` have together.
pub(super) fn union_length(a: &[Entry], b: &[Entry]) -> usize {
    let (mut i, mut j, mut common) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        let (x, y) = (a[i].axis, b[j].axis);
        common += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    a.len() + b.len() - common
}

/// Raises the epochs of `target`'s leading entries whose axes are also `source`'s leading axes. Returns how many.
pub(super) fn merge_shared(target: &mut [Entry], source: &[Entry]) -> usize {
    let mut shared = 0;
    for (old, new) in target.iter_mut().zip(source) {
        if old.axis != new.axis {
            break;
        }
        old.epoch = old.epoch.max(new.epoch);
        shared += 1;
    }
    shared
}

/// Merges `source` into the first `length` entries of `target`, which is at least as long as the union, from the right.
///
/// The place written is never left of the place read, because as many free places remain as `source` may still add.
/// A choice without branches takes twice as long (measured where every other axis is new): each step then waits for the
/// one before.
///
/// Returns the range of places that stay free, one for each axis that was expected twice; beyond it the order goes on.
pub(super) fn merge_from_right(target: &mut [Entry], length: usize, source: &[Entry]) -> Range<usize> {
    let (mut read, mut write) = (length, target.len());
    for new in source.iter().rev() {
        while read > 0 && target[read - 1].axis > new.axis {
            read -= 1;
            write -= 1;
            target[write] = target[read];
        }
        write -= 1;
        let mut epoch = new.epoch;
        if read > 0 && target[read - 1].axis == new.axis {
            read -= 1;
            epoch = epoch.max(target[read].epoch);
        }
        target[write] = Entry { axis: new.axis, epoch };
    }
    read..write
}
