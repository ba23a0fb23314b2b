//! What frontiers and their tracker cost: plain data and atomics, and no backend in it.

use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};

use proact::causal::{Axis, Causality, Entry, Frontier};
use proact::sync::{AxisHandle, FrontierReached, Tracker, TrackerOptions};

use super::allocations;
use super::compare::compare;
use super::row::{Figures, Floor};

/// What is done in a round: a clock read costs more than one.
const EACH: u32 = 64;
/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u32 = 100;
/// Waiters among which one is told.
const WAITERS: u64 = 1000;

/// An entry as two numbers, as whoever does the least work would hold it.
type Pair = (u64, u64);

/// `count` axes from `first` on, `step` apart, at `epoch`.
fn ladder(first: u32, step: u32, count: u32, epoch: u64) -> Frontier {
    let entry = |index| Entry::new(axis(first + index * step), epoch);
    Frontier::from_entries(&(0..count).map(entry).collect::<Vec<_>>()).expect("ascending")
}

fn axis(number: u32) -> Axis {
    Axis::queue(1, (number >> 16) as u8, (number >> 8) as u8, number as u8)
}

fn pairs(frontier: &Frontier) -> Vec<Pair> {
    frontier.entries().iter().map(|entry| (entry.axis.to_bits(), entry.epoch)).collect()
}

/// Times [`EACH`] of both sides a round. Figures are of one.
fn figures(mut subject: impl FnMut(), mut floor: impl FnMut()) -> Figures {
    let mut round = || (0..EACH).for_each(|_| subject());
    let timing = compare(&mut round, Some(|| (0..EACH).for_each(|_| floor())));
    let allocated = allocations::count(|| (0..COUNTED_ROUNDS).for_each(|_| round()));
    let (median, ratio) = timing.floor.expect("there is a floor");
    Figures {
        median: timing.subject / f64::from(EACH),
        floor: Ok(Floor { median: median / f64::from(EACH), ratio }),
        allocations: allocated as f64 / f64::from(COUNTED_ROUNDS * EACH),
    }
}

/// Compares two frontiers of the same entries, against a loop over both.
pub(super) fn compared(entries: u32) -> Figures {
    let (a, b) = (ladder(0, 1, entries, 5), ladder(0, 1, entries, 5));
    let (x, y) = (pairs(&a), pairs(&b));
    let least = |x: &[Pair], y: &[Pair]| {
        let (mut behind, mut ahead) = (x.len() < y.len(), x.len() > y.len());
        for (x, y) in x.iter().zip(y) {
            if x.0 != y.0 {
                return None;
            }
            behind |= x.1 < y.1;
            ahead |= x.1 > y.1;
        }
        Some((behind, ahead))
    };
    assert_eq!((a.compare(&b), least(&x, &y)), (Causality::Equal, Some((false, false))));
    figures(
        || _ = black_box(black_box(&a).compare(black_box(&b))),
        || _ = black_box(least(black_box(&x), black_box(&y))),
    )
}

/// Merges a frontier of the same axes, against the maximum of each pair.
pub(super) fn merged(entries: u32) -> Figures {
    let (mut a, b) = (ladder(0, 1, entries, 5), ladder(0, 1, entries, 6));
    let (mut x, y) = (pairs(&a), pairs(&b));
    let least = |x: &mut [Pair], y: &[Pair]| {
        for (x, y) in x.iter_mut().zip(y) {
            if x.0 != y.0 {
                return false;
            }
            x.1 = x.1.max(y.1);
        }
        true
    };
    figures(
        || black_box(&mut a).merge(black_box(&b)).expect("the same axes"),
        || assert!(black_box(least(black_box(&mut x), black_box(&y)))),
    )
}

/// Merges a frontier whose axes lie between, into one that is filled anew each time: against a merge of two sorted
/// lists into a third.
pub(super) fn interleaved(entries: u32) -> Figures {
    let (even, odd, mut target) = (ladder(0, 2, entries, 5), ladder(1, 2, entries, 5), ladder(0, 1, 2 * entries, 1));
    let (x, y, mut out) = (pairs(&even), pairs(&odd), vec![(0, 0); 2 * entries as usize]);
    let least = |x: &[Pair], y: &[Pair], out: &mut [Pair]| {
        let (mut i, mut j, mut length) = (0, 0, 0);
        for place in out.iter_mut() {
            *place = match (x.get(i), y.get(j)) {
                (Some(x), Some(y)) if x.0 == y.0 => {
                    (i, j) = (i + 1, j + 1);
                    (x.0, x.1.max(y.1))
                }
                (Some(x), y) if y.is_none_or(|y| x.0 < y.0) => {
                    i += 1;
                    *x
                }
                (_, Some(y)) => {
                    j += 1;
                    *y
                }
                _ => break,
            };
            length += 1;
        }
        length
    };
    assert_eq!(least(&x, &y, &mut out), out.len());
    figures(
        || {
            target.clone_from(black_box(&even));
            black_box(&mut target).merge(black_box(&odd)).expect("room for both");
        },
        || _ = black_box(least(black_box(&x), black_box(&y), black_box(&mut out))),
    )
}

/// Asks whether progress on the same axes is enough, against a loop over both.
pub(super) fn satisfied(entries: u32) -> Figures {
    let (needed, progress) = (ladder(0, 1, entries, 5), ladder(0, 1, entries, 5));
    let (x, y) = (pairs(&needed), pairs(&progress));
    let least = |x: &[Pair], y: &[Pair]| {
        let mut at = 0;
        x.iter().all(|x| {
            while at < y.len() && y[at].0 < x.0 {
                at += 1;
            }
            at < y.len() && y[at].0 == x.0 && y[at].1 >= x.1
        })
    };
    figures(
        || assert!(black_box(black_box(&needed).is_satisfied(black_box(progress.entries())))),
        || assert!(black_box(least(black_box(&x), black_box(&y)))),
    )
}

/// Counts what a reference of the same 16 axes lacks of every other, against a loop over both.
pub(super) fn undominated() -> Figures {
    let entry = |index: u32| Entry::new(axis(index), 5 + u64::from(index % 2));
    let needed = Frontier::from_entries(&(0..16).map(entry).collect::<Vec<_>>()).expect("ascending");
    let reference = ladder(0, 1, 16, 5);
    let (x, y) = (pairs(&needed), pairs(&reference));
    let least = |x: &[Pair], y: &[Pair]| {
        let mut at = 0;
        x.iter()
            .filter(|x| {
                while at < y.len() && y[at].0 < x.0 {
                    at += 1;
                }
                !(at < y.len() && y[at].0 == x.0 && y[at].1 >= x.1)
            })
            .count()
    };
    figures(
        || assert_eq!(black_box(black_box(&needed).find_undominated(black_box(&reference)).count()), 8),
        || assert_eq!(black_box(least(black_box(&x), black_box(&y))), 8),
    )
}

/// A tracker, the axis that is advanced, and futures that wait for others.
struct Tracked {
    tracker: Tracker,
    handle: AxisHandle,
    waits: Vec<Pin<Box<FrontierReached>>>,
}

impl Tracked {
    fn new(unrelated: u32) -> Tracked {
        let options = TrackerOptions::new().capacity(unrelated + 1);
        let tracker = Tracker::with_options(&options).expect("a small capacity");
        let handle = tracker.register(axis(0)).expect("room");
        let mut tracked = Tracked { tracker, handle, waits: Vec::new() };
        for number in 1..=unrelated {
            tracked.tracker.register(axis(number)).expect("room");
            let wait = tracked.wait(axis(number), 1);
            tracked.waits.push(wait);
        }
        tracked
    }

    /// A wait that stands in line.
    fn wait(&self, axis: Axis, epoch: u64) -> Pin<Box<FrontierReached>> {
        let mut wait = Box::pin(self.tracker.reached(Frontier::single(axis, epoch).expect("an epoch")));
        assert!(wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        wait
    }
}

/// Advances an axis that nobody waits for, by its name, against an atomic maximum.
pub(super) fn advanced(unrelated: u32) -> Figures {
    let tracked = Tracked::new(unrelated);
    let (tracker, axis, mut epoch) = (&tracked.tracker, tracked.handle.axis(), 0);
    with_maximum(|| {
        epoch += 1;
        assert!(black_box(tracker).advance(black_box(axis), epoch).expect("a small epoch"));
    })
}

/// The same by the axis's handle, which looks nothing up.
pub(super) fn advanced_by_handle() -> Figures {
    let tracked = Tracked::new(0);
    let mut epoch = 0;
    with_maximum(|| {
        epoch += 1;
        assert!(black_box(&tracked.handle).advance(epoch).expect("a small epoch"));
    })
}

/// Advances an axis that a thousand futures wait for, one epoch each, and puts the one that was told back in line.
pub(super) fn dispatched() -> Figures {
    let mut tracked = Tracked::new(0);
    let axis = tracked.handle.axis();
    tracked.waits = (1..=WAITERS).map(|epoch| tracked.wait(axis, epoch)).collect();
    let mut epoch = 0;
    with_maximum(|| {
        epoch += 1;
        assert!(tracked.handle.advance(epoch).expect("a small epoch"));
        let place = ((epoch - 1) % WAITERS) as usize;
        let next = tracked.wait(axis, epoch + WAITERS);
        let mut told = std::mem::replace(&mut tracked.waits[place], next);
        assert!(told.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    })
}

fn with_maximum(subject: impl FnMut()) -> Figures {
    let (word, mut value) = (AtomicU64::new(0), 0);
    figures(subject, || {
        value += 1;
        _ = black_box(black_box(&word).fetch_max(value, Ordering::AcqRel));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_ascend_with_their_numbers() {
        assert!((0..70_000).step_by(255).map(axis).is_sorted_by(|a, b| a < b));
        assert_eq!(ladder(0, 1, 255, 1).len(), 255);
    }

    #[test]
    fn an_unrelated_wait_is_not_told() {
        let mut tracked = Tracked::new(3);
        assert!(tracked.handle.advance(5).unwrap());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(tracked.waits.iter_mut().all(|wait| wait.as_mut().poll(&mut cx).is_pending()));
    }
}
