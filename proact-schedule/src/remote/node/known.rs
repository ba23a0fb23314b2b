//! What a machine knows of the session's progress, from whomever it heard.

use std::collections::BTreeMap;

use proact::causal::{Axis, Entry, Frontier};

use crate::remote::StageId;

/// Runs of epochs that are remembered of an axis as having ended well. There is a gap between two of them only where a
/// stage failed, or where it is not known.
const RUNS_MAX: usize = 8;

/// How far each axis has come, and how it fared.
///
/// **An entry of a frontier says that epochs have ended, not that they ended well.** One failed stage fails what waits
/// for it and nothing else on its queue, so later epochs of the axis can be known to have ended well while an earlier
/// one failed. That is why frontiers travel with a second one: for each axis an epoch such that all above it, up to the
/// entry, have ended well. Of what is at or below it only the semaphores tell.
#[derive(Debug, Default)]
pub(super) struct Known {
    axes: BTreeMap<Axis, Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    ended: u64,
    /// Each says that all epochs above the first number, up to the second, have ended well. Ascending, with something
    /// between any two of them.
    well: Vec<(u64, u64)>,
}

impl Progress {
    fn learn(&mut self, suspect: u64, ended: u64) -> bool {
        let raised = ended > self.ended;
        self.ended = ended.max(self.ended);
        if suspect >= ended {
            return raised;
        }
        // One run with all that it touches.
        let (mut low, mut high) = (suspect, ended);
        self.well.retain(|&(from, to)| {
            let touches = from <= high && low <= to;
            if touches {
                (low, high) = (low.min(from), high.max(to));
            }
            !touches
        });
        let at = self.well.partition_point(|&(from, _)| from < low);
        self.well.insert(at, (low, high));
        if self.well.len() > RUNS_MAX {
            self.well.remove(0);
        }
        raised
    }

    fn run(&self, epoch: u64) -> Option<(u64, u64)> {
        self.well.iter().copied().find(|&(from, to)| from < epoch && epoch <= to)
    }
}

impl Known {
    /// Whether this stage is known to have ended well.
    pub(super) fn covers(&self, stage: StageId) -> bool {
        self.axes.get(&stage.axis).is_some_and(|progress| progress.run(stage.epoch).is_some())
    }

    /// How far an axis has come.
    pub(super) fn ended(&self, axis: Axis) -> u64 {
        self.axes.get(&axis).map_or(0, |progress| progress.ended)
    }

    /// Learns what another machine has told. Answers the axes of which it is news.
    pub(super) fn learn(&mut self, ended: &Frontier, suspect: &Frontier) -> Vec<Axis> {
        for entry in ended.entries() {
            self.axes.entry(entry.axis).or_default().learn(suspect.epoch(entry.axis), entry.epoch);
        }
        ended.entries().iter().map(|entry| entry.axis).collect()
    }

    /// Learns that a stage has ended.
    pub(super) fn end(&mut self, stage: StageId, well: bool) {
        let suspect = if well { stage.epoch - 1 } else { stage.epoch };
        self.axes.entry(stage.axis).or_default().learn(suspect, stage.epoch);
    }

    /// What to send along with a frontier: up to which epoch of each of its axes it does not say how they ended.
    pub(super) fn suspects(&self, ended: &Frontier) -> Frontier {
        let suspect = |entry: &Entry| {
            let run = self.axes.get(&entry.axis).and_then(|progress| progress.run(entry.epoch));
            let epoch = run.map_or(entry.epoch, |(from, _)| from);
            (epoch > 0).then_some(Entry::new(entry.axis, epoch))
        };
        let entries: Vec<Entry> = ended.entries().iter().filter_map(suspect).collect();
        // Some of a frontier's axes, in its order, with epochs of stages.
        Frontier::from_entries(&entries).expect("part of a frontier is one")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    const AXIS: Axis = Axis::queue(1, 2, 0, 0);

    fn frontier(epoch: u64) -> Frontier {
        if epoch == 0 { Frontier::new() } else { Frontier::single(AXIS, epoch).unwrap() }
    }

    fn covered(known: &Known) -> Vec<u64> {
        (1..40).filter(|&epoch| known.covers(StageId::new(AXIS, epoch))).collect()
    }

    #[test]
    fn what_is_at_or_below_a_failure_is_not_known_to_have_ended_well() {
        let mut known = Known::default();
        known.learn(&frontier(5), &frontier(3));
        assert_eq!(covered(&known), [4, 5]);
        // What was known before stays known, and is told.
        known.learn(&frontier(2), &frontier(0));
        assert_eq!(covered(&known), [1, 2, 4, 5]);
        assert_eq!(known.ended(AXIS), 5);
        let suspects = [1, 2, 3, 4, 5].map(|epoch| known.suspects(&frontier(epoch)).epoch(AXIS));
        assert_eq!(suspects, [0, 0, 3, 3, 3]);
    }

    /// However what is known is passed on and put together, nothing that failed is ever known as well, and as long as
    /// there are few failures nothing that a machine was told is lost.
    #[test]
    fn knowledge_passed_around_is_sound() {
        for seed in 0..200 {
            let mut random = Random::new(seed);
            let failed: Vec<u64> = (1..40).filter(|_| random.once_in(8)).collect();
            let mut machines: Vec<Known> = (0..4).map(|_| Known::default()).collect();
            let mut ended = 0;
            for _ in 0..200 {
                if random.once_in(4) && ended < 39 {
                    ended += 1;
                    machines[0].end(StageId::new(AXIS, ended), !failed.contains(&ended));
                }
                let (from, to) = (random.below(4) as usize, random.below(4) as usize);
                // Of any epoch that it knows of, not only the last.
                let epoch = random.below(machines[from].ended(AXIS) + 1);
                let suspects = machines[from].suspects(&frontier(epoch));
                machines[to].learn(&frontier(epoch), &suspects);
                let well = covered(&machines[to]);
                assert!(well.iter().all(|epoch| *epoch <= ended && !failed.contains(epoch)), "seed {seed}");
            }
            if failed.len() < RUNS_MAX {
                let expected: Vec<u64> = (1..=ended).filter(|epoch| !failed.contains(epoch)).collect();
                assert_eq!(covered(&machines[0]), expected, "seed {seed}");
            }
        }
    }
}
