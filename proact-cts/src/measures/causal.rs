//! What frontiers and their tracker cost: plain data and atomics, and no backend in it.

use std::cell::RefCell;
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use proact::causal::{Axis, Causality, Entry, Frontier};
use proact::operation::{self, Complete, FrontierWait, Op, Outcome};
use proact::proactor::Builder;
use proact::status::Status;
use proact::sync::{AxisHandle, FrontierReached, Tracker, TrackerOptions};
use proact::time::Timeout;

use super::compare::{compare, median};
use super::effort;
use super::failure::Failure;
use super::figures::{Figures, Floor};
use super::measure::Measure;
use super::tally::{self, Counted};

pub(crate) const ROWS: &[Measure] = &[
    Measure::once("frontier/compare/1", || compared(1)),
    Measure::once("frontier/compare/4", || compared(4)),
    Measure::once("frontier/compare/16", || compared(16)),
    Measure::once("frontier/compare/64", || compared(64)),
    Measure::once("frontier/merge/1", || merged(1)),
    Measure::once("frontier/merge/4", || merged(4)),
    Measure::once("frontier/merge/16", || merged(16)),
    Measure::once("frontier/merge/64", || merged(64)),
    Measure::once("frontier/merge-interleaved/4", || interleaved(4)),
    Measure::once("frontier/merge-interleaved/16", || interleaved(16)),
    Measure::once("frontier/merge-interleaved/64", || interleaved(64)),
    Measure::once("frontier/satisfied/4", || satisfied(4)),
    Measure::once("frontier/satisfied/16", || satisfied(16)),
    Measure::once("frontier/satisfied/64", || satisfied(64)),
    Measure::once("frontier/undominated", undominated),
    Measure::once("tracker/advance", || advanced(0)),
    Measure::once("tracker/advance-unrelated/16", || advanced(16)),
    Measure::once("tracker/advance-unrelated/256", || advanced(256)),
    Measure::once("tracker/advance-handle", advanced_by_handle),
    Measure::once("tracker/dispatch", || dispatched(true)),
    Measure::once("tracker/dispatch-each", || dispatched(false)),
];

/// What is done in a round: a clock read costs more than one.
const EACH: u32 = 64;
/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u32 = 100;
/// Waiters among which one is told at a time.
const WAITERS: u64 = 1000;
/// How often all of them are put in line, at most and at least, and for how long.
const DISPATCHES: usize = 501;
const DISPATCHES_MIN: usize = 11;
const DISPATCH_BUDGET: Duration = Duration::from_millis(500);

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
fn figures(mut subject: impl FnMut(), mut floor: impl FnMut()) -> Result<Figures, Failure> {
    let mut round = || (0..EACH).for_each(|_| subject());
    let timing = compare(&mut round, Some(|| (0..EACH).for_each(|_| floor())));
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| round()));
    Ok(Figures::of(timing, f64::from(EACH), "", counted.over(f64::from(COUNTED_ROUNDS * EACH))))
}

/// Compares two frontiers of the same entries, against a loop over both.
fn compared(entries: u32) -> Result<Figures, Failure> {
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

/// Merges frontiers of the same axes that are each further than the one before, against the maximum of each pair. What
/// is merged into begins anew every [`EACH`] times.
fn merged(entries: u32) -> Result<Figures, Failure> {
    let further: Vec<Frontier> = (1..=u64::from(EACH)).map(|epoch| ladder(0, 1, entries, 1 + epoch)).collect();
    let (first, mut a) = (ladder(0, 1, entries, 1), ladder(0, 1, entries, 1));
    let pairs_of: Vec<Vec<Pair>> = further.iter().map(pairs).collect();
    let (begin, mut x) = (pairs(&first), pairs(&first));
    let least = |x: &mut [Pair], y: &[Pair]| {
        for (x, y) in x.iter_mut().zip(y) {
            if x.0 != y.0 {
                return false;
            }
            x.1 = x.1.max(y.1);
        }
        true
    };
    let (mut ours, mut below) = (0, 0);
    let figures = figures(
        || {
            if ours == 0 {
                a.clone_from(&first);
            }
            black_box(&mut a).merge(black_box(&further[ours])).expect("the same axes");
            ours = (ours + 1) % EACH as usize;
        },
        || {
            if below == 0 {
                x.copy_from_slice(&begin);
            }
            assert!(black_box(least(black_box(&mut x), black_box(&pairs_of[below]))));
            below = (below + 1) % EACH as usize;
        },
    );
    // Each has been merged, and the last was the furthest.
    assert_eq!(a, further[EACH as usize - 1]);
    figures
}

/// Merges a frontier whose axes lie between, into one that is filled anew each time: against a merge of two sorted
/// lists into a third.
fn interleaved(entries: u32) -> Result<Figures, Failure> {
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
fn satisfied(entries: u32) -> Result<Figures, Failure> {
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
fn undominated() -> Result<Figures, Failure> {
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
fn advanced(unrelated: u32) -> Result<Figures, Failure> {
    let tracked = Tracked::new(unrelated);
    let (tracker, axis, mut epoch) = (&tracked.tracker, tracked.handle.axis(), 0);
    with_maximum(|| {
        epoch += 1;
        assert!(black_box(tracker).advance(black_box(axis), epoch).expect("a small epoch"));
    })
}

/// The same by the axis's handle, which looks nothing up.
fn advanced_by_handle() -> Result<Figures, Failure> {
    let tracked = Tracked::new(0);
    let mut epoch = 0;
    with_maximum(|| {
        epoch += 1;
        assert!(black_box(&tracked.handle).advance(epoch).expect("a small epoch"));
    })
}

/// Advances an axis that a thousand operations wait for: once, for all of them (`together`), or for one of them at a
/// time, each of which waits for an epoch of its own. Figures are of one that is told. The waits are used again, and
/// put in line between the slices.
fn dispatched(together: bool) -> Result<Figures, Failure> {
    let failed = |status: Status| Failure::status("any", &status);
    let mut proactor = Builder::new().build().map_err(failed)?;
    let tracked = Tracked::new(0);
    let axis = tracked.handle.axis();
    // Small, and to the program's end: see the row of nops.
    let pile: &'static Pile = Box::leak(Box::new(RefCell::new(Vec::with_capacity(WAITERS as usize))));
    let wait = || FrontierWait::new(&tracked.tracker, Frontier::single(axis, 1).expect("an epoch"));
    let mut ready: Vec<_> = (0..WAITERS).map(|_| Op::new(wait(), Return(pile))).collect();
    let (word, mut value, mut epoch) = (AtomicU64::new(0), 0, 0);
    let (mut pairs, mut counted, mut turns) = (Vec::new(), Counted::default(), 0);
    let (start, entered) = (Instant::now(), proactor.statistics().enters);
    let (most, budget) = (effort::rounds(DISPATCHES), effort::budget(DISPATCH_BUDGET));
    while turns < most && (turns < DISPATCHES_MIN || start.elapsed() < budget) {
        let line = (epoch + 1..)
            .map(|next| if together { epoch + 1 } else { next })
            .map(|epoch| Frontier::single(axis, epoch).expect("an epoch"));
        ready.iter_mut().zip(line).for_each(|(op, frontier)| op.kind.set_frontier(&frontier));
        proactor.submit(&mut ready).map_err(|refused| failed(refused.status))?;
        proactor.poll(Timeout::Immediate).map_err(failed)?;
        let (mut ours, mut theirs) = (0.0, 0.0);
        counted += tally::count(|| {
            ours = timed(|advances| {
                for _ in 0..if together { 1 } else { advances } {
                    epoch += 1;
                    assert!(black_box(&tracked.handle).advance(epoch).expect("a small epoch"));
                }
            });
            theirs = timed(|additions| {
                for _ in 0..additions {
                    value += 1;
                    _ = black_box(black_box(&word).fetch_max(value, Ordering::AcqRel));
                }
            });
        });
        while pile.borrow().len() < WAITERS as usize {
            proactor.poll(Timeout::Infinite).map_err(failed)?;
        }
        std::mem::swap(&mut ready, &mut pile.borrow_mut());
        pairs.push((ours, theirs));
        turns += 1;
    }
    let side = |side: fn(&(f64, f64)) -> f64| median(pairs.iter().map(side).collect());
    let floor = Floor { median: side(|pair| pair.1), ratio: side(|pair| pair.0 / pair.1) };
    // Those of the whole way, from the submit to the last callback.
    counted.set_enters(proactor.statistics().enters - entered);
    Ok(Figures::new(side(|pair| pair.0), Ok(floor), counted.over((turns as u64 * WAITERS) as f64)))
}

/// Nanoseconds of each of [`WAITERS`].
fn timed(work: impl FnOnce(u64)) -> f64 {
    let start = Instant::now();
    work(WAITERS);
    start.elapsed().as_nanos() as f64 / WAITERS as f64
}

/// Where operations go when they have ended.
#[allow(clippy::vec_box)] // an operation only ever lives in its box
type Pile = RefCell<Vec<Box<Op<FrontierWait, Return>>>>;

/// Puts its operation on the pile.
#[derive(Clone, Copy)]
struct Return(&'static Pile);

impl Complete<FrontierWait> for Return {
    fn done(op: Box<Op<FrontierWait, Return>>, outcome: Outcome<FrontierWait>, _: &mut operation::Context<'_>) {
        outcome.result.expect("nothing fails");
        let pile = op.state.0;
        pile.borrow_mut().push(op);
    }
}

fn with_maximum(subject: impl FnMut()) -> Result<Figures, Failure> {
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
