//! What a machine knows of the session's progress, from whomever it heard.

use std::collections::BTreeMap;

use proact::causal::{Axis, Entry, Frontier};

use crate::remote::StageId;

/// How far each axis has come, and how it fared.
///
/// **An entry of a frontier says that epochs have ended, not that they ended well.** One failed stage fails what waits
/// for it and nothing else on its queue, so later epochs of the axis can be known to have ended well while an earlier
/// one failed. That is why frontiers travel with a second one: for each axis, the latest epoch that ended in failure.
/// What stands above it and within the first has ended well; of what is at or below it only the semaphores tell.
///
/// The rule that keeps this sound: **nobody tells of an epoch without what it knows of failures at or below it.** A
/// queue's own machine knows all of its failures, and whoever passes an entry on has learnt both at once.
#[derive(Debug, Default)]
pub(super) struct Known {
    ended: BTreeMap<Axis, u64>,
    suspect: BTreeMap<Axis, u64>,
}

impl Known {
    /// Whether this stage is known to have ended well.
    pub(super) fn covers(&self, stage: StageId) -> bool {
        let reached = self.ended.get(&stage.axis).is_some_and(|&epoch| epoch >= stage.epoch);
        reached && self.suspect.get(&stage.axis).is_none_or(|&epoch| epoch < stage.epoch)
    }

    /// How far an axis has come.
    pub(super) fn ended(&self, axis: Axis) -> u64 {
        self.ended.get(&axis).copied().unwrap_or(0)
    }

    /// Learns what another machine has told. Answers the axes that are known to have come further than before.
    pub(super) fn learn(&mut self, ended: &Frontier, suspect: &Frontier) -> Vec<Axis> {
        for &entry in suspect.entries() {
            raise(&mut self.suspect, entry);
        }
        let raised = ended.entries().iter().filter(|&&entry| raise(&mut self.ended, entry));
        raised.map(|entry| entry.axis).collect()
    }

    /// Learns that a stage has ended.
    pub(super) fn end(&mut self, stage: StageId, well: bool) {
        let entry = Entry::new(stage.axis, stage.epoch);
        if !well {
            raise(&mut self.suspect, entry);
        }
        raise(&mut self.ended, entry);
    }

    /// What is known of failures on the axes of a frontier.
    pub(super) fn suspects(&self, ended: &Frontier) -> Frontier {
        let failed = |entry: &Entry| Some(Entry::new(entry.axis, *self.suspect.get(&entry.axis)?));
        let entries: Vec<Entry> = ended.entries().iter().filter_map(failed).collect();
        // Some of a frontier's axes, in its order, with epochs of stages.
        Frontier::from_entries(&entries).expect("part of a frontier is one")
    }
}

fn raise(epochs: &mut BTreeMap<Axis, u64>, entry: Entry) -> bool {
    let epoch = epochs.entry(entry.axis).or_default();
    let raised = entry.epoch > *epoch;
    *epoch = entry.epoch.max(*epoch);
    raised
}

#[cfg(test)]
mod tests {
    use super::*;

    const AXIS: Axis = Axis::queue(1, 2, 0, 0);

    fn frontier(epoch: u64) -> Frontier {
        if epoch == 0 { Frontier::new() } else { Frontier::single(AXIS, epoch).unwrap() }
    }

    fn covered(known: &Known) -> Vec<u64> {
        (1..10).filter(|&epoch| known.covers(StageId::new(AXIS, epoch))).collect()
    }

    #[test]
    fn what_is_at_or_below_a_failure_is_not_known_to_have_ended_well() {
        let mut known = Known::default();
        assert_eq!(known.learn(&frontier(2), &frontier(0)), [AXIS]);
        assert_eq!(covered(&known), [1, 2]);
        assert_eq!(known.learn(&frontier(5), &frontier(3)), [AXIS]);
        assert_eq!(covered(&known), [4, 5]);
        assert_eq!(known.learn(&frontier(1), &frontier(0)), []);
        assert_eq!(known.suspects(&frontier(9)), frontier(3));
    }

    #[test]
    fn a_failure_is_known_before_the_end_that_it_belongs_to() {
        let mut known = Known::default();
        known.end(StageId::new(AXIS, 1), false);
        assert_eq!(covered(&known), []);
        known.end(StageId::new(AXIS, 2), true);
        assert_eq!(covered(&known), [2]);
    }
}
