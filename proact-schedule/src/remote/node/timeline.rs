//! A semaphore of the session as one machine sees it.

use std::collections::{BTreeMap, VecDeque};

use proact::causal::{Axis, Knowledge};

use crate::remote::{Failure, MachineId, MachineSet, StageId};

/// Of how many values that were reached the causes are remembered.
const HISTORY: usize = 16;

/// Who waits for a value here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Waiter {
    /// A stage, and which of its waits this is.
    Stage(StageId, usize),
    /// The program.
    Program,
}

/// What was reached, by whom, and what is known of the causes.
#[derive(Clone, Debug)]
pub(super) struct Reached {
    pub(super) value: u64,
    /// `None` when it was concluded here, and not told by its owner.
    pub(super) producer: Option<StageId>,
    pub(super) ended: Knowledge,
}

/// Values that were reached, failed and are waited for. A semaphore has one queue that signals it, so its values are
/// reached in order, and the first that fails fails all above it.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    pub(super) reached: u64,
    /// The last values that were reached, ascending.
    history: VecDeque<Reached>,
    /// The least value that will not be reached, and why.
    failed: Option<(u64, Failure)>,
    /// Nobody said that it failed: its owner is lost, and may have come further than is known.
    presumed: bool,
    waiters: BTreeMap<u64, Vec<Waiter>>,
    /// On the owner: who is told of a value.
    pub(super) forwards: BTreeMap<u64, MachineSet>,
    /// On the owner: the queue that signals it, and the highest value that was promised.
    pub(super) axis: Option<Axis>,
    pub(super) promised: u64,
}

impl Timeline {
    /// Why `value` will never be reached, if that is so.
    pub(super) fn failure(&self, value: u64) -> Option<&Failure> {
        self.failed.as_ref().filter(|(from, _)| *from <= value).map(|(_, failure)| failure)
    }

    /// From which value on it has failed, and why.
    pub(super) fn failed_from(&self) -> Option<&(u64, Failure)> {
        self.failed.as_ref()
    }

    /// Whether what is not reached is only presumed to have failed.
    pub(super) fn is_presumed(&self) -> bool {
        self.failed.is_some() && self.presumed
    }

    /// Whether it rose. That its owner is lost is a presumption: where it turns out that it had come to `value`, that
    /// counts. Any other failure stays.
    pub(super) fn reach(&mut self, reached: Reached) -> bool {
        let value = reached.value;
        if value <= self.reached {
            return false;
        }
        if let Some((from, _)) = &mut self.failed {
            if *from <= value && !self.presumed {
                return false;
            }
            *from = (*from).max(value + 1);
        }
        self.reached = value;
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(reached);
        true
    }

    /// Fails it from `from` on, what was reached excepted. Answers where it fails from now, if that is news.
    pub(super) fn fail(&mut self, from: u64, failure: &Failure, presumed: bool) -> Option<u64> {
        let from = from.max(self.reached + 1);
        if self.failed.as_ref().is_some_and(|(before, _)| *before <= from) {
            return None;
        }
        self.failed = Some((from, failure.clone()));
        self.presumed = presumed;
        Some(from)
    }

    /// The record that stands for a value that was reached; `None` if it was forgotten.
    pub(super) fn record(&self, value: u64) -> Option<&Reached> {
        let first = self.history.front()?;
        // Below the first there may have been others, which are forgotten: their causes are not those of the first.
        if value < first.value && self.history.len() == HISTORY {
            return None;
        }
        self.history.iter().find(|reached| reached.value >= value)
    }

    /// The latest value that was reached.
    pub(super) fn latest(&self) -> Option<&Reached> {
        self.history.back()
    }

    pub(super) fn wait(&mut self, value: u64, waiter: Waiter) {
        self.waiters.entry(value).or_default().push(waiter);
    }

    /// Values that are waited for here.
    pub(super) fn awaited(&self) -> impl Iterator<Item = u64> + '_ {
        self.waiters.keys().copied()
    }

    /// Takes those who wait for a value that is reached now.
    pub(super) fn released(&mut self) -> Vec<(u64, Waiter)> {
        let above = self.waiters.split_off(&(self.reached + 1));
        let released = std::mem::replace(&mut self.waiters, above);
        flatten(released)
    }

    /// Takes those who wait for `from` or more.
    pub(super) fn forsaken(&mut self, from: u64) -> Vec<(u64, Waiter)> {
        flatten(self.waiters.split_off(&from))
    }

    /// Takes the machines that are to be told of values within these bounds.
    pub(super) fn take_forwards(&mut self, values: impl std::ops::RangeBounds<u64>) -> Vec<MachineId> {
        let mut machines = MachineSet::EMPTY;
        self.forwards.retain(|value, set| {
            let taken = values.contains(value);
            if taken {
                set.iter().for_each(|machine| machines.insert(machine));
            }
            !taken
        });
        machines.iter().collect()
    }
}

fn flatten(waiters: BTreeMap<u64, Vec<Waiter>>) -> Vec<(u64, Waiter)> {
    waiters.into_iter().flat_map(|(value, waiters)| waiters.into_iter().map(move |waiter| (value, waiter))).collect()
}
