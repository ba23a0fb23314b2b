//! What follows from what. Every consequence is a task, done in turn: nothing recurses, however long a chain is.

use proact::causal::{Frontier, Knowledge};

use super::queue::WaitState;
use super::timeline::{Reached, Waiter};
use super::{Coordinator, Node, NodeEvent, Standing, Timeline};
use crate::remote::bridge::Fact;
use crate::remote::wire::{Arrival, Failed, Message, SessionSignal};
use crate::remote::{Failure, FailureKind, MachineId, RemotePoint, SemaphoreName, StageId};

/// A consequence that has still to be drawn.
#[derive(Debug)]
pub(super) enum Task {
    /// A value was reached.
    Reach(RemotePoint, Option<StageId>, Knowledge),
    /// A value, and all above it, will not be.
    Fail(RemotePoint, Failure),
    /// A wait of a stage is over.
    WaitReached(StageId, usize, Knowledge),
    /// A wait of a stage will not be.
    WaitFailed(StageId, usize, Failure),
    /// It may be the turn of the first stage of this one's queue.
    Turn(StageId),
}

impl<C: Coordinator> Node<C> {
    /// Draws every consequence.
    pub(super) fn settle(&mut self) {
        while let Some(task) = self.tasks.pop_front() {
            match task {
                Task::Reach(point, producer, ended) => self.reach(point, producer, ended),
                Task::Fail(point, failure) => self.fail_from(point, failure),
                Task::WaitReached(stage, wait, knowledge) => self.wait_reached(stage, wait, &knowledge),
                Task::WaitFailed(stage, wait, failure) => self.wait_failed(stage, wait, failure),
                Task::Turn(stage) => self.turn(stage),
            }
        }
    }

    /// A semaphore, made when it is first named. One of a lost machine begins as failed.
    pub(super) fn timeline(&mut self, name: SemaphoreName) -> &mut Timeline {
        let (me, standing, peers, log) = (self.me, &self.standing, &self.peers, &mut self.log);
        self.timelines.entry(name).or_insert_with(|| {
            let mut timeline = Timeline::default();
            let lost = |machine: MachineId| match standing {
                Standing::Out(failure) if machine != me => Some(failure.clone()),
                _ => peers.get(&machine).and_then(|peer| peer.lost.clone()),
            };
            let failure = lost(name.owner()).map(|failure| (failure, true)).or_else(|| {
                let client = lost(name.client()).filter(|_| name.owner() == me)?;
                Some((never_submitted(&client), false))
            });
            if let Some((failure, presumed)) = failure {
                timeline.fail(1, &failure, presumed);
                if let Some(log) = log {
                    log.failed(RemotePoint::new(name, 1), &failure);
                }
            }
            timeline
        })
    }

    fn reach(&mut self, point: RemotePoint, producer: Option<StageId>, ended: Knowledge) {
        let causes = self.log.is_some().then(|| ended.clone());
        let timeline = self.timeline(point.semaphore);
        if !timeline.reach(Reached { value: point.value, producer, ended }) {
            return;
        }
        let released = timeline.released();
        let told = timeline.take_forwards(..=point.value);
        if let (Some(log), Some(causes)) = (&mut self.log, causes) {
            log.reached(point, &causes);
        }
        for (value, waiter) in released {
            match waiter {
                Waiter::Stage(stage, wait) => {
                    let knowledge = self.causes(RemotePoint::new(point.semaphore, value));
                    self.tasks.push_back(Task::WaitReached(stage, wait, knowledge));
                }
                Waiter::Program => {
                    self.events.push_back(NodeEvent::Reached(RemotePoint::new(point.semaphore, value)));
                }
            }
        }
        told.into_iter().for_each(|machine| self.tell_reached(machine, point.semaphore));
    }

    /// What is known of a reached value's causes.
    pub(super) fn causes(&mut self, point: RemotePoint) -> Knowledge {
        let record = self.timeline(point.semaphore).record(point.value);
        record.map_or(Knowledge::lower_bound(Frontier::new()), |reached| reached.ended.clone())
    }

    /// Tells a machine how far a semaphore of this one has come. The latest value stands for all below it.
    pub(super) fn tell_reached(&mut self, machine: MachineId, semaphore: SemaphoreName) {
        let Some(latest) = self.timeline(semaphore).latest().cloned() else { return };
        let Some(producer) = latest.producer else { return };
        let suspect = self.known.suspects(&latest.ended.frontier);
        let point = RemotePoint::new(semaphore, latest.value);
        self.send(machine, &Message::Signal(SessionSignal { point, producer, ended: latest.ended, suspect }));
    }

    fn fail_from(&mut self, point: RemotePoint, failure: Failure) {
        let me = self.me;
        let owner = point.semaphore.owner();
        let presumed = owner != me && self.peers.get(&owner).is_some_and(|peer| peer.lost.is_some());
        let timeline = self.timeline(point.semaphore);
        let Some(from) = timeline.fail(point.value, &failure, presumed) else { return };
        let told = timeline.take_forwards(from..);
        let forsaken = timeline.forsaken(from);
        self.log(|log| log.failed(RemotePoint::new(point.semaphore, from), &failure));
        for (value, waiter) in forsaken {
            match waiter {
                Waiter::Stage(stage, wait) => self.tasks.push_back(Task::WaitFailed(stage, wait, failure.clone())),
                Waiter::Program => {
                    let point = RemotePoint::new(point.semaphore, value);
                    self.events.push_back(NodeEvent::Failed(point, failure.clone()));
                }
            }
        }
        if owner == me {
            let point = RemotePoint::new(point.semaphore, from);
            let failed = Message::Failed(Failed { point, failure });
            told.into_iter().for_each(|machine| self.send(machine, &failed));
        }
    }

    fn wait_reached(&mut self, stage: StageId, wait: usize, knowledge: &Knowledge) {
        let Some(flight) = self.queues.flight(stage) else { return };
        if flight.waits[wait].1 == WaitState::Reached || flight.doomed.is_some() {
            return;
        }
        flight.waits[wait].1 = WaitState::Reached;
        flight.knowledge.merge(knowledge);
        if let Some(log) = &mut self.log {
            let point = flight.waits[wait].0.point;
            let record = self.timelines.get(&point.semaphore).and_then(|timeline| timeline.record(point.value));
            if point.semaphore.owner() != self.me {
                log.waited(stage, wait, record.is_none_or(|record| record.producer.is_some()));
            }
        }
        if !flight.cleared && flight.is_clear() {
            flight.cleared = true;
            self.facts.push_back(Fact::Cleared(stage));
        }
        self.look_at_implied(stage);
        self.tasks.push_back(Task::Turn(stage));
    }

    /// When only such waits of a stage are left as others were to imply, and these did not say so, because what they
    /// knew was incomplete: their owners are asked. Where an owner is lost, its loss counts after all.
    pub(super) fn look_at_implied(&mut self, stage: StageId) {
        let Some(flight) = self.queues.flight(stage) else { return };
        if flight.doomed.is_some() || !flight.is_left_to_implied() {
            return;
        }
        let mut asked = Vec::new();
        for (index, (wait, state)) in flight.waits.iter_mut().enumerate() {
            // What was concluded is about to be told.
            let concluded = |timeline: &Timeline| timeline.reached >= wait.point.value;
            if self.timelines.get(&wait.point.semaphore).is_some_and(concluded) {
                continue;
            }
            match state {
                WaitState::Open => {
                    *state = WaitState::Asked;
                    asked.push((wait.point, wait.producer));
                }
                WaitState::Presumed(failure) => {
                    self.tasks.push_back(Task::WaitFailed(stage, index, failure.clone()));
                    return;
                }
                WaitState::Asked | WaitState::Reached => {}
            }
        }
        asked.into_iter().for_each(|(point, producer)| self.ask(point, producer));
    }

    fn wait_failed(&mut self, stage: StageId, index: usize, failure: Failure) {
        let Some(flight) = self.queues.flight(stage) else { return };
        if flight.doomed.is_some() || flight.waits[index].1 == WaitState::Reached {
            return;
        }
        let (wait, state) = &mut flight.waits[index];
        let presumed = self.timelines.get(&wait.point.semaphore).is_some_and(Timeline::is_presumed);
        if presumed && wait.arrival == Arrival::Implied && *state == WaitState::Open {
            // The lost machine may have done it, and told those whose word this stage waits for. They decide; it goes
            // on waiting for what they know.
            let point = wait.point;
            *state = WaitState::Presumed(failure);
            self.timeline(point.semaphore).wait(point.value, Waiter::Stage(stage, index));
            return self.look_at_implied(stage);
        }
        flight.doomed = Some(failure.clone());
        if !flight.cleared {
            self.facts.push_back(Fact::Doomed(stage, failure.clone()));
        }
        self.tasks.extend(flight.at_stake().map(|point| Task::Fail(point, failure.clone())));
        self.tasks.push_back(Task::Turn(stage));
    }

    /// Begins or ends what stands first in a queue, if it can.
    fn turn(&mut self, stage: StageId) {
        loop {
            let Some(queue) = self.queues.0.get_mut(&stage.axis) else { return };
            let Some(head) = queue.flights.front_mut() else { return };
            let first = StageId::new(stage.axis, queue.ended + 1);
            if head.running {
                return;
            }
            if let Some(failure) = head.doomed.take() {
                self.end_flight(first, Some(failure));
                continue;
            }
            if head.is_ready() {
                head.running = true;
                if let Some(log) = &mut self.log {
                    log.started(first);
                }
                if !self.options.scheduled {
                    self.ready.push_back(first);
                }
            }
            return;
        }
    }

    /// Ends the first stage of a queue: one that ran, or never will.
    pub(super) fn end_flight(&mut self, stage: StageId, failure: Option<Failure>) {
        let queue = self.queues.0.get_mut(&stage.axis).expect("it has a first stage");
        let flight = queue.flights.pop_front().expect("it has a first stage");
        queue.ended += 1;
        debug_assert_eq!(queue.ended, stage.epoch);
        if let Some(log) = &mut self.log {
            log.ended(stage, failure.as_ref());
        }
        if flight.running {
            queue.learn(&flight.knowledge);
        }
        let own = Frontier::single(stage.axis, stage.epoch).expect("epochs begin at 1");
        queue.knowledge.merge(&Knowledge::exact(own));
        let knowledge = queue.knowledge.clone();
        self.flights -= 1;
        // One whose semaphore had failed before reaches nothing: nobody may conclude from its end that it did.
        let fails = |point: &RemotePoint| {
            self.timelines.get(&point.semaphore).is_some_and(|timeline| timeline.failure(point.value).is_some())
        };
        let well = failure.is_none() && !flight.signals.iter().any(|(point, _)| fails(point));
        self.known.end(stage, well);
        let counter = if failure.is_none() { &mut self.statistics.completed } else { &mut self.statistics.failed };
        *counter += 1;
        match failure {
            Some(failure) => self.tasks.extend(flight.at_stake().map(|point| Task::Fail(point, failure.clone()))),
            None => {
                let reached = flight.signals.iter().map(|&(point, _)| point);
                self.tasks.extend(reached.map(|point| Task::Reach(point, Some(stage), knowledge.clone())));
            }
        }
        self.tasks.push_back(Task::Turn(stage));
    }

    /// Asks the owner of a semaphore to tell when a value is reached.
    pub(super) fn ask(&mut self, point: RemotePoint, producer: Option<StageId>) {
        self.statistics.asked += 1;
        self.send(point.semaphore.owner(), &Message::Watch { point, producer });
    }
}

/// What a client's loss means for a value that it never submitted.
pub(super) fn never_submitted(loss: &Failure) -> Failure {
    Failure { kind: FailureKind::NeverSubmitted, ..loss.clone() }
}
