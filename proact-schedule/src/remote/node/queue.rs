//! A client's queue on a device of this machine: stages in order, each of which begins after the one before has ended.

use std::collections::{BTreeMap, VecDeque};

use proact::causal::{Axis, Frontier, Knowledge};

use crate::remote::wire::{Arrival, Stage, StageWait};
use crate::remote::{Failure, RemotePoint, StageId};

/// What became of a wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum WaitState {
    Open,
    /// Open, and its owner was asked.
    Asked,
    /// Implied by others, and its owner is lost: the others decide.
    Presumed(Failure),
    Reached,
}

/// A stage that has not ended.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) waits: Vec<(StageWait, WaitState)>,
    /// What it reaches, and the least value that stands or falls with that: the first above what was promised before.
    pub(super) signals: Vec<(RemotePoint, u64)>,
    pub(super) payload: Vec<u8>,
    pub(super) doomed: Option<Failure>,
    pub(super) running: bool,
    /// Which of its waits are the scheduler's. Without a scheduler, none.
    pub(super) scheduled: Vec<bool>,
    /// The scheduler was told that the others are over, or there are none.
    pub(super) cleared: bool,
    /// What its waits have brought.
    pub(super) knowledge: Knowledge,
}

impl Flight {
    pub(super) fn new(stage: Stage, signals: Vec<(RemotePoint, u64)>) -> Flight {
        Flight {
            waits: stage.waits.into_iter().map(|wait| (wait, WaitState::Open)).collect(),
            signals,
            payload: stage.payload,
            doomed: None,
            running: false,
            scheduled: Vec::new(),
            cleared: true,
            knowledge: Knowledge::exact(Frontier::new()),
        }
    }

    /// What fails if it does.
    pub(super) fn at_stake(&self) -> impl Iterator<Item = RemotePoint> + '_ {
        self.signals.iter().map(|&(point, from)| RemotePoint::new(point.semaphore, from))
    }

    /// Whether all waits are over.
    pub(super) fn is_ready(&self) -> bool {
        self.waits.iter().all(|(_, state)| *state == WaitState::Reached)
    }

    /// Whether all waits are over that are not the scheduler's.
    pub(super) fn is_clear(&self) -> bool {
        self.waits.iter().zip(&self.scheduled).all(|((_, state), theirs)| *theirs || *state == WaitState::Reached)
    }

    /// Whether only such waits are left that the others were to imply.
    pub(super) fn is_left_to_implied(&self) -> bool {
        self.waits.iter().all(|(wait, state)| wait.arrival == Arrival::Implied || *state == WaitState::Reached)
    }
}

/// A client's queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) submitted: u64,
    pub(super) ended: u64,
    /// Those after `ended`, in order.
    pub(super) flights: VecDeque<Flight>,
    /// What has ended before the next stage begins.
    pub(super) knowledge: Knowledge,
}

impl Queue {
    pub(super) fn new() -> Queue {
        let knowledge = Knowledge::exact(Frontier::new());
        Queue { submitted: 0, ended: 0, flights: VecDeque::new(), knowledge }
    }

    /// Adds what the waits of a stage have brought. When it does not fit any more, this is all that is kept: the oldest
    /// knowledge is of the least use, and a queue that held on to it would never learn anything again. What is missing
    /// from a frontier is asked for.
    pub(super) fn learn(&mut self, more: &Knowledge) {
        let mut frontier = self.knowledge.frontier.clone();
        match frontier.merge(&more.frontier) {
            Ok(()) => self.knowledge.merge(more),
            Err(_) => self.knowledge = Knowledge::lower_bound(more.frontier.clone()),
        }
    }

    pub(super) fn flight(&mut self, epoch: u64) -> Option<&mut Flight> {
        let index = epoch.checked_sub(self.ended + 1)?;
        self.flights.get_mut(usize::try_from(index).ok()?)
    }
}

/// The queues of a machine by axis.
#[derive(Debug, Default)]
pub(super) struct Queues(pub(super) BTreeMap<Axis, Queue>);

impl Queues {
    pub(super) fn flight(&mut self, stage: StageId) -> Option<&mut Flight> {
        self.0.get_mut(&stage.axis)?.flight(stage.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(machines: std::ops::Range<u8>, device: u8) -> Knowledge {
        let mut knowledge = Knowledge::exact(Frontier::new());
        for machine in machines {
            let own = Frontier::single(Axis::queue(1, machine, device, 0), 1).unwrap();
            knowledge.merge(&Knowledge::exact(own));
        }
        knowledge
    }

    #[test]
    fn a_queue_that_has_heard_of_too_many_axes_still_learns() {
        let mut queue = Queue::new();
        queue.learn(&known(0..250, 0));
        assert!(queue.knowledge.is_exact() && queue.knowledge.frontier.len() == 250);
        let news = known(0..10, 1);
        queue.learn(&news);
        assert_eq!((queue.knowledge.frontier == news.frontier, queue.knowledge.is_exact()), (true, false));
    }
}
