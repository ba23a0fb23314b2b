//! From an axis to its place, without a lock, while places come and go.
//!
//! A bucket is a list of places, linked through the places themselves, which never move and are never freed while the
//! tracker lives. Who walks a list may find that the place it stands on is taken out and put into another list: it then
//! reads the wrong list to its end. So removals are counted, before the place can go anywhere else, and whoever has
//! found nothing while the count moved looks again under the lock. What was found needs no such care: the place says
//! itself whose it is.

use super::NONE;
use super::record::Record;
use crate::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::causal::Axis;

pub(super) struct Index {
    buckets: Box<[AtomicU32]>,
    /// How many places were ever taken out of their lists.
    removals: AtomicU64,
}

/// What came of a look without the lock.
pub(super) enum Found {
    Place(u32),
    Nothing,
    /// Look under the lock.
    Unsure,
}

impl Index {
    /// An index of up to `capacity` places.
    pub(super) fn new(capacity: u32) -> Index {
        let buckets = (capacity as usize * 2).next_power_of_two();
        Index { buckets: (0..buckets).map(|_| AtomicU32::new(NONE)).collect(), removals: AtomicU64::new(0) }
    }

    #[inline]
    pub(super) fn bucket(&self, axis: Axis) -> &AtomicU32 {
        // Axes differ in some of their bits, often high ones: the product's high half depends on all of them.
        let mixed = (axis.to_bits() ^ axis.to_bits() >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        &self.buckets[(mixed >> 32) as usize & (self.buckets.len() - 1)]
    }

    /// Looks for the place of `axis`.
    #[inline]
    pub(super) fn find<'a>(&self, axis: Axis, places: u32, record: impl Fn(u32) -> &'a Record) -> Found {
        let before = self.removals.load(Ordering::Acquire);
        let mut at = self.bucket(axis).load(Ordering::Acquire);
        // Lists that change under the walk might lead in a circle.
        let mut steps = places;
        while at != NONE && steps > 0 {
            let place = record(at);
            if place.is_of(axis) {
                return Found::Place(at);
            }
            at = place.next.load(Ordering::Acquire);
            steps -= 1;
        }
        // Every step was read before this, for every step acquires.
        if self.removals.load(Ordering::Relaxed) == before { Found::Nothing } else { Found::Unsure }
    }

    /// Adds a place, which is the axis's already. Under the lock.
    pub(super) fn insert(&self, axis: Axis, at: u32, record: &Record) {
        let bucket = self.bucket(axis);
        record.next.store(bucket.load(Ordering::Relaxed), Ordering::Release);
        bucket.store(at, Ordering::Release);
    }

    /// Takes a place out. Under the lock.
    pub(super) fn remove<'a>(&self, axis: Axis, at: u32, record: impl Fn(u32) -> &'a Record) {
        let mut link = self.bucket(axis);
        loop {
            let here = link.load(Ordering::Relaxed);
            if here == NONE {
                return;
            }
            let next = &record(here).next;
            if here == at {
                // Counted before the place can be put into another list. Who stands on it goes on in its list as long
                // as it is not; who sees where it goes then sees that it was taken out.
                // Release: who comes by this link finds the next place as it was put there, which it may not have come
                // by otherwise; no model fails without.
                link.store(next.load(Ordering::Relaxed), Ordering::Release);
                self.removals.fetch_add(1, Ordering::Release);
                return;
            }
            link = next;
        }
    }
}
