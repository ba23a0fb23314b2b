//! Whether the cost of causal progress grows with the axes that a tracker knows: each row is the same work beside so
//! many others, each of which somebody waits for; the floor is the same work beside none.

use std::hint::black_box;

use proact::causal::{Axis, Entry, Frontier};
use proact::operation::{FrontierWait, Op};
use proact::sync::{Tracker, TrackerOptions};
use proact::time::Timeout;

use super::compare::compare;
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::tally;
use super::together::{Stage, Together};
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    Measure::each("growth/axes/1", |config| waits(config, 1)),
    Measure::each("growth/axes/256", |config| waits(config, 256)),
    Measure::each("growth/axes/1024", |config| waits(config, 1024)),
    Measure::each("growth/axes/4096", |config| waits(config, 4096)),
    Measure::once("growth/frontier/256", || frontiers(256)),
    Measure::once("growth/frontier/1024", || frontiers(1024)),
    Measure::once("growth/frontier/4096", || frontiers(4096)),
];

/// Frontiers that are asked for in a round: a clock read costs more than one.
const EACH: u32 = 64;
/// Entries of a frontier.
const ENTRIES: u32 = 16;
/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u32 = 100;

fn axis(number: u32) -> Axis {
    Axis::queue(1, (number >> 16) as u8, (number >> 8) as u8, number as u8)
}

/// A tracker that knows so many axes.
fn tracker(axes: u32) -> Result<Tracker, Failure> {
    let tracker = Tracker::with_options(&TrackerOptions::new().capacity(axes))?;
    for number in 0..axes {
        tracker.register(axis(number))?;
    }
    Ok(tracker)
}

/// A wait for one axis, over and over.
struct Advanced {
    tracker: Tracker,
    wait: Together<FrontierWait>,
    epoch: u64,
}

impl Advanced {
    /// With so many other axes, each awaited by an operation that goes on waiting.
    fn stage(config: Configuration, others: u32) -> Result<Stage<Advanced>, Failure> {
        let mut proactor = config.builder().operations(others + 64).build()?;
        let tracker = tracker(others + 1)?;
        for number in 1..=others {
            let wait = FrontierWait::new(&tracker, single(axis(number), 1));
            proactor.submit(Op::new(wait, ())).map_err(|refused| refused.status)?;
        }
        proactor.poll(Timeout::Immediate)?;
        let wait = Together::new([FrontierWait::new(&tracker, single(axis(0), 1))]);
        Ok(Stage { proactor, of: Advanced { tracker, wait, epoch: 0 } })
    }

    /// Submits the wait, advances its axis, and collects it.
    #[inline]
    fn round(stage: &mut Stage<Advanced>) {
        let Stage { proactor, of } = stage;
        of.epoch += 1;
        let awaited = single(axis(0), of.epoch);
        of.wait.ready.iter_mut().for_each(|op| op.kind.set_frontier(&awaited));
        of.wait.submit(proactor);
        // By its name, which is looked up among all.
        assert!(of.tracker.advance(axis(0), of.epoch).expect("a small epoch"));
        of.wait.collect(proactor);
    }
}

fn single(axis: Axis, epoch: u64) -> Frontier {
    Frontier::single(axis, epoch).expect("an epoch")
}

fn waits(config: Configuration, others: u32) -> Result<Figures, Failure> {
    let (mut stage, mut alone) = (Advanced::stage(config, others)?, Advanced::stage(config, 0)?);
    let timing = compare(|| Advanced::round(&mut stage), Some(|| Advanced::round(&mut alone)));
    Ok(stage.figures(timing, 1.0, "", Advanced::round))
}

/// A frontier of axes that lie as far from each other as `axes` allow, and its tracker.
fn spread(axes: u32) -> Result<(Tracker, Frontier), Failure> {
    let tracker = tracker(axes)?;
    let entry = |index: u32| Entry::new(axis(index * (axes / ENTRIES)), 5);
    let entries: Vec<Entry> = (0..ENTRIES).map(entry).collect();
    for entry in &entries {
        tracker.advance(entry.axis, entry.epoch)?;
    }
    Ok((tracker, Frontier::from_entries(&entries).expect("ascending")))
}

/// Asks whether 16 axes among so many have come far enough; the floor asks the same where there are no others.
fn frontiers(axes: u32) -> Result<Figures, Failure> {
    let ((tracker, frontier), (small, near)) = (spread(axes)?, spread(ENTRIES)?);
    let ask = |tracker: &Tracker, frontier: &Frontier| {
        for _ in 0..EACH {
            assert!(black_box(tracker).is_reached(black_box(frontier)).expect("its axes are known"));
        }
    };
    let timing = compare(|| ask(&tracker, &frontier), Some(|| ask(&small, &near)));
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| ask(&tracker, &frontier)));
    Ok(Figures::of(timing, EACH.into(), "", counted.over(f64::from(COUNTED_ROUNDS * EACH))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::settings;

    #[test]
    fn an_axis_is_told_beside_others_that_stay_awaited() {
        for config in settings() {
            let Ok(mut stage) = Advanced::stage(config, 5) else {
                eprintln!("skipped: {}", config.name);
                continue;
            };
            (0..3).for_each(|_| Advanced::round(&mut stage));
            assert_eq!((stage.of.epoch, stage.proactor.pending()), (3, 5), "{}", config.name);
        }
    }

    #[test]
    fn a_frontier_lies_across_all_axes_and_is_reached() {
        let (tracker, frontier) = spread(4096).unwrap();
        assert_eq!((frontier.len(), frontier.entries()[15].axis), (16, axis(15 * 256)));
        assert!(tracker.is_reached(&frontier).unwrap());
        assert!(!tracker.is_reached(&single(axis(1), 1)).unwrap());
    }
}
