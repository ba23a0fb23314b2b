//! What others say: values that somebody else signals or promises, and axes that progress elsewhere.

use std::cmp::Reverse;

use proact::causal::{Axis, Knowledge};
use proact::status::{Result, Status};

use super::flight::Failure;
use super::line::{Kind, Line};
use super::semaphore::Settled;
use super::{Recorder, Scheduler, invalid};
use crate::model::{Point, QueueId, SemaphoreId};
use crate::options::Order;
use crate::record::Event;

impl<P, R: Recorder> Scheduler<P, R> {
    /// Notes that somebody outside has signalled a semaphore, and what that was caused by, as far as is known. If lower
    /// values were promised, it is reached here when they are.
    ///
    /// # Errors
    /// `InvalidArgument` unless the value is above every one that was promised, or was itself promised from outside
    /// with [`Scheduler::promise`].
    pub fn signal(&mut self, point: Point, causes: &Knowledge) -> Result {
        let open = self.semaphores.get(point.semaphore.index()).and_then(|timeline| {
            let record = &timeline.records[timeline.find(point.value)?];
            let open = record.producer.is_none() && matches!(record.settled, Settled::Pending);
            (open && record.value == point.value).then_some(())
        });
        if open.is_none() {
            self.validate_signals(&[point])?;
            self.promise_outside(point, causes, false);
        }
        let timeline = &mut self.semaphores[point.semaphore.index()];
        let at = timeline.find(point.value).expect("just promised");
        timeline.records[at].settled = Settled::Kept;
        self.drain(point.semaphore.0);
        self.run();
        Ok(())
    }

    /// Notes that somebody outside will signal a semaphore, and that this follows when all of `causes` has ended. If
    /// these are [exact](Knowledge::requirement), whoever waits for the value can wait for them instead, and need not
    /// wait for what it knows of already. Causes that leave out what an open promise before it follows from, or that
    /// are none at all, are no such list: it is the value itself that is waited for.
    ///
    /// # Errors
    /// `InvalidArgument` unless the value is above every one that was promised. The status of an axis of elsewhere that
    /// was [failed](Scheduler::fail_queue) before it came as far as `causes` say.
    pub fn promise(&mut self, point: Point, causes: &Knowledge) -> Result {
        self.validate_signals(&[point])?;
        for entry in causes.requirement().map_or(&[][..], |required| required.entries()) {
            let line = self.axes.find(entry.axis).map(|line| &self.lines[line as usize]);
            let lost = line.filter(|line| matches!(line.kind, Kind::External { .. }) && line.ended < entry.epoch);
            if let Some(status) = lost.and_then(|line| line.failure.as_ref()) {
                return Err(status.clone());
            }
        }
        self.promise_outside(point, causes, true);
        Ok(())
    }

    fn promise_outside(&mut self, point: Point, causes: &Knowledge, ahead: bool) {
        let history = self.options.history;
        let sequence_ended = self.sequence_ended;
        let timeline = &mut self.semaphores[point.semaphore.index()];
        let previous = timeline.promised;
        timeline.promised = point.value;
        // It is reached after those before it: what they follow from has to be on its list as well.
        let before = timeline.records.back().filter(|_| timeline.open_outside > 0);
        let covers = before.is_none_or(|before| before.required && causes.frontier.dominates(&before.known));
        timeline.open_outside += 1;
        // In order after those before it? Nobody outside can tell: it settles after them, and the host looks.
        let alone = timeline.tail.is_empty() && timeline.tail_tainted_until <= sequence_ended;
        let record = timeline.push(history);
        record.previous = previous;
        record.value = point.value;
        record.producer = None;
        record.prefix = true;
        record.known.clone_from(&causes.frontier);
        record.own_exact = causes.is_exact();
        record.exact = record.own_exact;
        record.joined = false;
        record.others.clear();
        record.tainted = !alone;
        record.required = ahead && covers && causes.is_exact() && !causes.frontier.is_empty();
        record.settled = Settled::Pending;
        if R::ENABLED {
            let known = crate::record::entries(&causes.frontier);
            let (semaphore, value) = (point.semaphore.0, point.value);
            self.recorder.record(Event::Promised { semaphore, value, known, exact: causes.is_exact() });
        }
    }

    /// Fails a semaphore from outside, for good. Says whether it had not failed before.
    pub fn fail_semaphore(&mut self, semaphore: SemaphoreId, status: Status) -> bool {
        let failed = semaphore.index() < self.semaphores.len()
            && self.break_semaphore(semaphore.0, Failure { status, origin: None });
        self.run();
        failed
    }

    /// Adds an axis that progresses elsewhere: on another machine, or in a queue that is none of the scheduler's.
    ///
    /// # Errors
    /// `AlreadyExists` if the axis is known already.
    pub fn add_axis(&mut self, axis: Axis) -> Result<QueueId> {
        let kind = Kind::External { held: Default::default() };
        let mut line = Line::new(axis, Order::InOrder, kind);
        line.exportable = false;
        line.submitted = u64::MAX;
        let index = self.add_line(line)?;
        if R::ENABLED {
            self.recorder.record(Event::Axis { queue: index.0, axis: axis.to_bits() });
        }
        Ok(index)
    }

    /// Notes that an axis of elsewhere has come to `epoch`. Says whether it rose.
    ///
    /// # Errors
    /// `InvalidArgument` for a queue of the scheduler's own, which is told of by [`Scheduler::complete`]. The status of
    /// one that was [failed](Scheduler::fail_queue).
    pub fn advance_axis(&mut self, axis: QueueId, epoch: u64) -> Result<bool> {
        let Some(Line { kind: Kind::External { held }, ended, failure, .. }) = self.lines.get_mut(axis.index()) else {
            return Err(invalid(format!("{axis:?} is no axis of elsewhere")));
        };
        if let Some(status) = failure {
            return Err(status.clone());
        }
        if epoch <= *ended {
            return Ok(false);
        }
        *ended = epoch;
        while held.peek().is_some_and(|&Reverse((awaited, ..))| awaited <= epoch) {
            let Some(Reverse((_, flight, sequence))) = held.pop() else { break };
            let waiting = &mut self.flights[flight as usize];
            if waiting.sequence == sequence {
                waiting.left_held -= 1;
                self.ripe.push_back((flight, sequence));
            }
        }
        if R::ENABLED {
            self.recorder.record(Event::Advanced { queue: axis.0, epoch });
        }
        self.run();
        Ok(true)
    }

    /// An axis of elsewhere will come no further: what was promised to follow from more is broken, and nobody waits for
    /// it, or knows that it came there.
    pub(super) fn lose_axis(&mut self, axis: u32, status: &Status) {
        let line = &mut self.lines[axis as usize];
        let (name, ended) = (line.axis, line.ended);
        // No barrier is put on what will not come.
        line.submitted = ended;
        let Kind::External { held } = &mut line.kind else { return };
        for Reverse((_, flight, sequence)) in held.drain() {
            let waiting = &mut self.flights[flight as usize];
            if waiting.sequence == sequence {
                waiting.left_held -= 1;
                self.ripe.push_back((flight, sequence));
            }
        }
        for line in &mut self.lines {
            line.knowledge.retain(|entry| entry.axis != name || entry.epoch <= ended);
        }
        for index in 0..self.semaphores.len() {
            for record in self.semaphores[index].records.iter_mut().filter(|record| record.known.epoch(name) > ended) {
                if record.required && matches!(record.settled, Settled::Pending) {
                    record.settled = Settled::Broken(Failure { status: status.clone(), origin: None });
                } else if record.producer.is_some() {
                    record.known.retain(|entry| entry.axis != name || entry.epoch <= ended);
                }
            }
            self.drain(index as u32);
        }
    }
}
