//! What a node records of itself, in the words of the scheduler's recordings: see [`record`](crate::record).
//!
//! Its queues are those of its stages, its semaphores those of the session that were named here. What another machine's
//! stage was promised to reach is a promise from outside, with the place of that stage; what came in a message stands
//! before what follows from it. So an auditor can tell of each value of another machine's semaphore why it was taken
//! for reached.

use std::collections::BTreeMap;

use proact::causal::{Axis, Knowledge};
use proact::time::Time;

use crate::record::{Event, How, MessageKind, Recorder, Recording, Signal, Wait, entries};
use crate::remote::wire::{Message, SessionSignal, Stage, StageWait};
use crate::remote::{Failure, MachineId, RemotePoint, SemaphoreName, StageId};

/// A recording in progress.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) recording: Recording,
    axes: BTreeMap<Axis, u32>,
    semaphores: BTreeMap<SemaphoreName, u32>,
    promised: BTreeMap<RemotePoint, StageId>,
    /// The events that told of stages which have not ended.
    stages: BTreeMap<StageId, usize>,
    /// Messages to each machine, and from it.
    sent: BTreeMap<MachineId, u64>,
    got: BTreeMap<MachineId, u64>,
}

/// What a message between members is. `None`: it is for, or from, the coordinator.
pub(super) fn kind(message: &Message) -> Option<MessageKind> {
    Some(match message {
        Message::Hello(_) => MessageKind::Hello,
        Message::Stage(_) => MessageKind::Stage,
        Message::Refused { .. } => MessageKind::Refused,
        Message::Signal(_) => MessageKind::Signal,
        Message::Failed(_) => MessageKind::Failed,
        Message::Watch { .. } => MessageKind::Watch,
        _ => return None,
    })
}

impl Log {
    pub(super) fn at(&mut self, now: Time) {
        self.recording.now_ns = now.as_nanoseconds();
    }

    fn tell(&mut self, event: Event) {
        self.recording.record(event);
    }

    /// The number of a queue here.
    fn queue(&mut self, axis: Axis) -> u32 {
        let next = self.axes.len() as u32;
        let queue = *self.axes.entry(axis).or_insert(next);
        if queue == next {
            self.tell(Event::Queue { queue, axis: axis.to_bits(), in_order: true, keeps_barriers: false });
        }
        queue
    }

    /// The number of a semaphore here.
    fn semaphore(&mut self, name: SemaphoreName) -> u32 {
        let next = self.semaphores.len() as u32;
        let semaphore = *self.semaphores.entry(name).or_insert(next);
        if semaphore == next {
            self.tell(Event::Semaphore { semaphore, initial: 0 });
            let (owner, client, number) = (name.owner().0, name.client().0, name.number());
            self.tell(Event::Shared { semaphore, owner, client, number });
        }
        semaphore
    }

    pub(super) fn machine(&mut self, machine: MachineId, name: &str, own: bool) {
        self.tell(Event::Machine { machine: machine.0, name: name.into(), own });
    }

    pub(super) fn lost(&mut self, machine: MachineId, why: &str) {
        self.tell(Event::Lost { machine: machine.0, why: why.into() });
    }

    fn signal(&mut self, message: &Message) -> Option<Signal> {
        let Message::Signal(SessionSignal { point, producer, ended, suspect }) = message else { return None };
        Some(Signal {
            semaphore: self.semaphore(point.semaphore),
            value: point.value,
            axis: producer.axis.to_bits(),
            epoch: producer.epoch,
            known: entries(&ended.frontier),
            exact: ended.is_exact(),
            suspect: entries(suspect),
        })
    }

    pub(super) fn sent(&mut self, to: MachineId, message: &Message, bytes: usize) {
        let Some(kind) = kind(message) else { return };
        let signal = self.signal(message);
        let number = self.sent.entry(to).or_default();
        *number += 1;
        let event = Event::Sent { to: to.0, number: *number, kind, bytes: bytes as u64, signal };
        self.tell(event);
    }

    pub(super) fn unsent(&mut self, to: MachineId, message: &Message) {
        if let Some(kind) = kind(message) {
            self.tell(Event::Unsent { to: to.0, kind });
        }
    }

    pub(super) fn got(&mut self, from: MachineId, message: &Message) {
        let Some(kind) = kind(message) else { return };
        let signal = self.signal(message);
        let number = self.got.entry(from).or_default();
        *number += 1;
        let event = Event::Got { from: from.0, number: *number, kind, signal };
        self.tell(event);
    }

    /// A stage was taken; or refused, and has taken its place.
    pub(super) fn stage(&mut self, stage: &Stage) {
        for StageWait { point, producer, .. } in &stage.waits {
            let Some(producer) = producer.filter(|producer| producer.machine() != stage.stage.machine()) else {
                continue;
            };
            let semaphore = self.semaphore(point.semaphore);
            if self.promised.insert(*point, producer).is_none() {
                let known = vec![(producer.axis.to_bits(), producer.epoch)];
                self.tell(Event::Promised { semaphore, value: point.value, known, exact: true });
            }
        }
        let queue = self.queue(stage.stage.axis);
        let wait = |log: &mut Log, point: RemotePoint| Wait {
            semaphore: log.semaphore(point.semaphore),
            value: point.value,
            how: How::Deferred,
        };
        let waits = stage.waits.iter().map(|it| wait(self, it.point)).collect();
        let signals = stage.signals.iter().map(|it| (self.semaphore(it.point.semaphore), it.point.value)).collect();
        self.stages.insert(stage.stage, self.recording.events.len());
        let epoch = stage.stage.epoch;
        let (barriers, held, buffers, known) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        self.tell(Event::Submitted { queue, epoch, waits, signals, barriers, held, buffers, known });
    }

    /// A wait of a stage is over: its owner told of it, or it was concluded.
    pub(super) fn waited(&mut self, stage: StageId, wait: usize, told: bool) {
        let Some(&event) = self.stages.get(&stage) else { return };
        if let Event::Submitted { waits, .. } = &mut self.recording.events[event].event {
            waits[wait].how = if told { How::Told } else { How::Concluded };
        }
    }

    pub(super) fn started(&mut self, stage: StageId) {
        let queue = self.queue(stage.axis);
        self.tell(Event::Started { queue, epoch: stage.epoch });
    }

    pub(super) fn ended(&mut self, stage: StageId, failure: Option<&Failure>) {
        self.stages.remove(&stage);
        let queue = self.queue(stage.axis);
        let failure = failure.map(ToString::to_string);
        self.tell(Event::Ended { queue, epoch: stage.epoch, failure });
    }

    pub(super) fn reached(&mut self, point: RemotePoint, ended: &Knowledge) {
        let semaphore = self.semaphore(point.semaphore);
        let (known, exact) = (entries(&ended.frontier), ended.is_exact());
        self.tell(Event::Reached { semaphore, value: point.value, known, exact });
    }

    pub(super) fn failed(&mut self, point: RemotePoint, failure: &Failure) {
        let semaphore = self.semaphore(point.semaphore);
        let status = format!("from {} on: {failure}", point.value);
        self.tell(Event::Failed { semaphore, status, origin: None });
    }
}
