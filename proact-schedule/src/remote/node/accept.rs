//! Stages that clients submit to this machine.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::queue::{Flight, Queue, WaitState};
use super::settle::Task;
use super::timeline::{Timeline, Waiter};
use super::{Coordinator, Node, NodeEvent, Peer};
use crate::remote::bridge::Fact;
use crate::remote::wire::{Arrival, Message, Stage, StageWait};
use crate::remote::{Failure, FailureKind, MachineId, RemotePoint, RemoteWork, SemaphoreName, StageId};

impl<C: Coordinator> Node<C> {
    /// Takes a stage, or refuses it; its signals fail then, so that nobody waits for them in vain.
    pub(super) fn accept(&mut self, client: MachineId, stage: Stage) {
        let id = stage.stage;
        match self.check(client, &stage) {
            Ok(()) => self.take(stage),
            Err(why) => self.refuse(client, stage, why),
        }
        self.tasks.push_back(Task::Turn(id));
    }

    fn check(&self, client: MachineId, stage: &Stage) -> Result<(), String> {
        let id = stage.stage;
        if id.machine() != self.me || id.client() != client {
            return Err(format!("{id} is not for {client} to submit to {}", self.me));
        }
        let device = usize::from(id.axis.device().expect("a queue's axis"));
        if device >= self.join.devices.len() {
            return Err(format!("there are {} devices, and no device {device}", self.join.devices.len()));
        }
        let submitted = self.queues.0.get(&id.axis).map_or(0, |queue| queue.submitted);
        if id.epoch != submitted + 1 {
            return Err(format!("a gap: epoch {} was expected", submitted + 1));
        }
        if self.flights >= self.options.stages_max {
            return Err(format!("{} stages have not ended, and there may be no more", self.flights));
        }
        for signal in &stage.signals {
            let name = signal.point.semaphore;
            if name.owner() != self.me || name.client() != client {
                return Err(format!("semaphore {name} is not for {client} to signal on {}", self.me));
            }
            let Some(timeline) = self.timelines.get(&name) else { continue };
            if timeline.axis.is_some_and(|axis| axis != id.axis) {
                return Err(format!("semaphore {name} is signalled by another queue"));
            }
            if signal.point.value <= timeline.promised {
                return Err(format!("{} is not above {}, which was promised", signal.point, timeline.promised));
            }
        }
        let mut names: Vec<_> = stage.signals.iter().map(|signal| signal.point.semaphore).collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("it signals a semaphore twice".into());
        }
        for wait in &stage.waits {
            let owner = wait.point.semaphore.owner();
            if (owner == self.me) != (wait.arrival == Arrival::Own) {
                return Err(format!("it is wrong about who owns {}", wait.point));
            }
            if wait.producer.is_some_and(|producer| producer.machine() != owner) {
                return Err(format!("{} is promised by a machine that does not own it", wait.point));
            }
            if owner != self.me && !self.peers.contains_key(&owner) {
                return Err(format!("{owner}, which owns {}, is not known here", wait.point));
            }
        }
        names.extend(stage.waits.iter().map(|wait| wait.point.semaphore));
        names.sort_unstable();
        names.dedup();
        if !self.has_room_for(names.into_iter()) {
            return Err(format!("it names more than {} semaphores", self.options.semaphores_max));
        }
        Ok(())
    }

    fn refuse(&mut self, client: MachineId, stage: Stage, why: String) {
        let id = stage.stage;
        let failure = Failure::new(FailureKind::Refused, self.me, Some(id), &why);
        if client == self.me {
            self.events.push_back(NodeEvent::Refused(id, failure.clone()));
        } else {
            self.send(client, &Message::Refused { stage: id, failure: failure.clone() });
        }
        if id.machine() != self.me || id.client() != client {
            return;
        }
        let names: Vec<_> = stage.signals.iter().map(|signal| signal.point.semaphore).collect();
        if !self.has_room_for(names.into_iter()) {
            return;
        }
        for signal in &stage.signals {
            let name = signal.point.semaphore;
            if name.owner() != self.me || name.client() != client {
                continue;
            }
            // What was promised before stays promised; above it nothing will come.
            let from = self.timeline(name).promised + 1;
            self.timeline(name).forwards.entry(from).or_default().extend(signal.forward);
            self.tasks.push_back(Task::Fail(RemotePoint::new(name, from), failure.clone()));
        }
        // The place was taken, if it was the next one: its client has counted it.
        let queue = self.queues.0.entry(id.axis).or_insert_with(Queue::new);
        if id.epoch == queue.submitted + 1 {
            queue.submitted += 1;
            let refused = Stage { stage: id, waits: vec![], signals: vec![], payload: vec![] };
            if let Some(log) = &mut self.log {
                log.stage(&refused);
            }
            let mut flight = Flight::new(refused, Vec::new());
            flight.doomed = Some(failure.clone());
            queue.flights.push_back(flight);
            self.flights += 1;
            if self.options.scheduled {
                self.facts.push_back(Fact::Refused(id, failure));
            }
        }
    }

    fn take(&mut self, stage: Stage) {
        let id = stage.stage;
        self.statistics.stages += 1;
        self.log(|log| log.stage(&stage));
        let mut signals = Vec::with_capacity(stage.signals.len());
        for signal in &stage.signals {
            let timeline = self.timeline(signal.point.semaphore);
            signals.push((signal.point, timeline.promised + 1));
            timeline.axis = Some(id.axis);
            timeline.promised = signal.point.value;
            timeline.forwards.entry(signal.point.value).or_default().extend(signal.forward);
            // It may have failed before this was promised: then nobody else tells those who are to be told.
            if let Some((from, failure)) = timeline.failed_from().cloned() {
                if from <= signal.point.value {
                    let machines = timeline.take_forwards(from..);
                    let point = RemotePoint::new(signal.point.semaphore, from);
                    machines.into_iter().for_each(|machine| self.tell_failed(machine, point, &failure));
                }
            }
        }
        let waits = stage.waits.clone();
        let queue = match self.queues.0.entry(id.axis) {
            Entry::Vacant(vacant) => vacant.insert(Queue::new()),
            Entry::Occupied(occupied) => occupied.into_mut(),
        };
        queue.submitted += 1;
        let mut flight = Flight::new(stage, signals);
        if self.options.scheduled {
            self.facts.push_back(hand_over(id, &mut flight, &self.timelines));
        }
        queue.flights.push_back(flight);
        self.flights += 1;
        for (index, wait) in waits.into_iter().enumerate() {
            self.arm(id, index, &wait);
        }
        self.look_at_implied(id);
    }

    /// Decides a wait at once, or has it told when that can be done.
    fn arm(&mut self, id: StageId, index: usize, wait: &StageWait) {
        let point = wait.point;
        let me = self.me;
        let covered = point.semaphore.owner() != me && wait.producer.is_some_and(|stage| self.known.covers(stage));
        if covered && self.timeline(point.semaphore).reached < point.value {
            self.statistics.concluded += 1;
            let own = wait.producer.and_then(|stage| proact::causal::Frontier::single(stage.axis, stage.epoch).ok());
            let knowledge = proact::causal::Knowledge::lower_bound(own.unwrap_or_default());
            self.tasks.push_back(Task::Reach(point, None, knowledge));
        }
        let timeline = self.timeline(point.semaphore);
        if timeline.reached >= point.value {
            let knowledge = self.causes(point);
            self.tasks.push_back(Task::WaitReached(id, index, knowledge));
            return;
        }
        if let Some(failure) = timeline.failure(point.value).cloned().filter(|_| !covered) {
            self.tasks.push_back(Task::WaitFailed(id, index, failure));
            // What arrives later may still bring the knowledge: see `wait_failed`.
            self.promise(wait);
            return;
        }
        timeline.wait(point.value, Waiter::Stage(id, index));
        self.promise(wait);
        let client_lost = self.peers.get(&point.semaphore.client()).is_some_and(|peer: &Peer| peer.lost.is_some());
        if wait.arrival == Arrival::Ask || (client_lost && wait.arrival == Arrival::Told) {
            self.ask(point, wait.producer);
        }
    }

    /// Remembers which epoch of another machine's axis reaches a point.
    fn promise(&mut self, wait: &StageWait) {
        let Some(producer) = wait.producer.filter(|producer| producer.machine() != self.me) else { return };
        if !self.known.covers(producer) {
            let points = self.promises.entry(producer.axis).or_default().entry(producer.epoch).or_default();
            if !points.contains(&wait.point) {
                points.push(wait.point);
            }
        }
    }

    pub(super) fn tell_failed(&mut self, machine: MachineId, point: RemotePoint, failure: &Failure) {
        let failed = crate::remote::wire::Failed { point, failure: failure.clone() };
        self.send(machine, &Message::Failed(failed));
    }
}

/// Leaves to the scheduler what it can decide: waits for what this machine has promised and may still keep.
fn hand_over(stage: StageId, flight: &mut Flight, timelines: &BTreeMap<SemaphoreName, Timeline>) -> Fact {
    let theirs = |(wait, _): &(StageWait, WaitState)| {
        let promised = |timeline: &Timeline| timeline.promised >= wait.point.value;
        wait.arrival == Arrival::Own && timelines.get(&wait.point.semaphore).is_some_and(promised)
    };
    flight.scheduled = flight.waits.iter().map(theirs).collect();
    flight.cleared = flight.scheduled.iter().all(|&theirs| theirs);
    let waits = flight.waits.iter().zip(&flight.scheduled).filter(|(_, theirs)| **theirs);
    Fact::Taken {
        waits: waits.map(|((wait, _), _)| wait.point).collect(),
        gated: !flight.cleared,
        signals: flight.signals.iter().map(|&(point, _)| point).collect(),
        work: RemoteWork {
            stage,
            device: stage.axis.device().expect("a queue's axis"),
            client: stage.client(),
            payload: std::mem::take(&mut flight.payload),
        },
    }
}
