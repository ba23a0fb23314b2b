//! Taking a submission.

use std::fmt;

use proact::causal::Frontier;
use proact::status::{Result, Status};

use super::flight::{Flight, State};
use super::resolve::{Candidate, has_ended};
use super::semaphore::{OTHERS_MAX, Settled};
use super::{Kind, Recorder, Scheduler, invalid};
use crate::model::{Place, Point, Resolution, Submission, Tier};
use crate::options::{Handover, Policy};
use crate::record::Event;

/// A submission that was not taken, and nothing of it: the work comes back, with the reason.
pub struct Refused<P> {
    /// What was to be submitted.
    pub payload: P,
    /// Why it was not.
    pub status: Status,
}

impl<P> fmt::Debug for Refused<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refused").field("status", &self.status).finish_non_exhaustive()
    }
}

impl<P> fmt::Display for Refused<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)
    }
}

impl<P> std::error::Error for Refused<P> {}

impl<P, R: Recorder> Scheduler<P, R> {
    /// Takes work for a queue, before any of what it waits for is ready, or even promised. Answers the
    /// place that it took.
    ///
    /// What it signals is promised from now on: who submits later can rely on it, and waits that it implies are left
    /// out. A value must be above every one that was promised of its semaphore before.
    ///
    /// # Errors
    /// With the payload, and without any effect: `InvalidArgument` for a queue, semaphore or buffer that the scheduler
    /// has not given out, a buffer that was released, a value that is not above those promised before, a semaphore that
    /// is to be signalled twice, or one that only others signal. The status of a queue that was failed or retired.
    pub fn submit(&mut self, submission: &Submission<'_>, payload: P) -> Result<Place, Refused<P>> {
        if let Err(status) = self.validate(submission) {
            return Err(Refused { payload, status });
        }
        let place = self.take(submission, Some(payload), &[]);
        self.run();
        Ok(place)
    }

    #[inline]
    pub(super) fn validate(&self, submission: &Submission<'_>) -> Result {
        let line = self.lines.get(submission.queue.index());
        let Some(line) = line.filter(|line| matches!(line.kind, Kind::Queue)) else {
            return Err(invalid(format!("{:?} is no queue of this scheduler", submission.queue)));
        };
        if let Some(status) = &line.failure {
            return Err(status.clone());
        }
        if let Some(wait) = submission.waits.iter().find(|wait| wait.semaphore.index() >= self.semaphores.len()) {
            return Err(invalid(format!("{:?} is no semaphore of this scheduler", wait.semaphore)));
        }
        if let Some(buffer) = submission.buffers.iter().find(|&&buffer| !self.is_live(buffer)) {
            return Err(invalid(format!("{buffer:?} was released, or never acquired")));
        }
        self.validate_own_signals(submission.signals)
    }

    /// Signals of submissions.
    pub(super) fn validate_own_signals(&self, signals: &[Point]) -> Result {
        self.validate_signals(signals)?;
        match signals.iter().find(|signal| self.semaphores[signal.semaphore.index()].foreign) {
            Some(signal) => Err(invalid(format!("{:?} is signalled by others only", signal.semaphore))),
            None => Ok(()),
        }
    }

    pub(super) fn validate_signals(&self, signals: &[Point]) -> Result {
        for (index, signal) in signals.iter().enumerate() {
            let Some(timeline) = self.semaphores.get(signal.semaphore.index()) else {
                return Err(invalid(format!("{:?} is no semaphore of this scheduler", signal.semaphore)));
            };
            if signal.value <= timeline.promised || signal.value == u64::MAX {
                return Err(invalid(format!(
                    "value {} of {:?} is not above {}, which was promised before, or is the largest number",
                    signal.value, signal.semaphore, timeline.promised
                )));
            }
            if signals[..index].iter().any(|other| other.semaphore == signal.semaphore) {
                return Err(invalid(format!("{:?} is to be signalled twice by one submission", signal.semaphore)));
            }
        }
        Ok(())
    }

    /// Takes what was found valid. `behind`: what must have ended besides; for what needs nobody to run it.
    pub(super) fn take(&mut self, submission: &Submission<'_>, payload: Option<P>, behind: &[Place]) -> Place {
        let line = submission.queue.0;
        self.sequence += 1;
        self.sequences.push_back(false);
        self.statistics.submissions += 1;
        let flight = self.free.pop().unwrap_or_else(|| {
            self.flights.push(Flight::new());
            self.flights.len() as u32 - 1
        });
        let queue = &mut self.lines[line as usize];
        queue.submitted += 1;
        let place = Place::new(submission.queue, queue.submitted);
        queue.ring.push_back(flight);
        let in_order = queue.is_in_order();
        if !in_order {
            queue.knowledge.clear();
            (queue.loose_until, queue.lost_until) = (0, 0);
        }
        self.flights[flight as usize].begin(line, place.epoch, self.sequence, payload);

        let mut candidates = std::mem::take(&mut self.scratch.candidates);
        candidates.clear();
        for (index, &wait) in submission.waits.iter().enumerate() {
            let tier = self.resolve(flight, index as u32, wait, &mut candidates);
            self.flights[flight as usize].waits.push(Resolution { wait, tier });
        }
        for &buffer in submission.buffers {
            self.use_buffer(buffer, place, &mut candidates);
            self.flights[flight as usize].buffers.push(buffer);
        }
        for &place in behind {
            if !has_ended(&self.lines, &self.flights, place) {
                candidates.push(Candidate { place, wait: Candidate::MEMORY, source: None, held: false });
            }
        }
        if candidates.len() > 1 && self.options.policy == Policy::Frontiers && behind.is_empty() {
            self.minimize(flight, &mut candidates);
        }
        self.issue(flight, &candidates);
        self.count(flight, &candidates, behind.is_empty());
        self.scratch.candidates = candidates;

        let taken = &mut self.flights[flight as usize];
        let queue = &mut self.lines[line as usize];
        taken.signals.extend_from_slice(submission.signals);
        if taken.loose {
            queue.loose_until = self.sequence;
        }
        taken.loose |= queue.loose_until == self.sequence;
        taken.lost = queue.lost_until > self.sequence_ended;
        if in_order {
            taken.grounded &= queue.ungrounded_from == u64::MAX;
        }
        if !taken.grounded {
            queue.ungrounded_from = queue.ungrounded_from.min(place.epoch);
        }
        taken.loose |= in_order && queue.loose_flights > 0;
        queue.loose_flights += u32::from(taken.loose);
        let exact = queue.loose_until <= self.sequence_ended;
        for &signal in submission.signals {
            self.promise_own(place, signal, exact);
        }
        if R::ENABLED {
            self.record_submission(flight);
        }
        self.ripe.push_back((flight, self.sequence));
        place
    }

    fn count(&mut self, flight: u32, candidates: &[Candidate], theirs: bool) {
        let statistics = &mut self.statistics;
        for resolution in &self.flights[flight as usize].waits {
            statistics.waits.count(resolution.tier);
            // Who has only events has to ask whether one has come; work of the same queue needs none.
            let asked = self.options.policy == Policy::Events && resolution.tier != Tier::SameQueue;
            statistics.host_queries += u64::from(asked);
        }
        if theirs {
            let memory = candidates.iter().filter(|candidate| candidate.wait == Candidate::MEMORY).count() as u64;
            statistics.memory_barriers += memory;
            statistics.barriers += match self.options.policy {
                Policy::Frontiers => candidates.iter().filter(|candidate| !candidate.held).count() as u64,
                // One wait for one event or one value, however many have to end for it.
                Policy::Events | Policy::Timelines => {
                    let waits = &self.flights[flight as usize].waits;
                    let issued = |tier| matches!(tier, Tier::Producer | Tier::Undominated { .. });
                    memory + waits.iter().filter(|resolution| issued(resolution.tier)).count() as u64
                }
            };
        }
    }

    /// Promises a value that the submission at `place` reaches, with all that is known when that has ended.
    fn promise_own(&mut self, place: Place, signal: Point, exact: bool) {
        let frontiers = self.options.policy == Policy::Frontiers;
        let line = &self.lines[place.queue.index()];
        // Whether all of the axis up to this has ended when this has.
        let before = place.epoch - 1;
        let prefix = line.is_in_order() || before <= line.ended || line.knowledge.epoch(line.axis) >= before;
        let own = &self.flights[line.flight(place.epoch).expect("it is being taken") as usize];
        let timeline = &mut self.semaphores[signal.semaphore.index()];
        let previous = timeline.promised;
        timeline.promised = signal.value;

        // Producers of lower values that this one does not come after. What it has a barrier on, it comes after under
        // every policy.
        let mut tail = std::mem::take(&mut timeline.tail);
        let tainted = timeline.tail_tainted_until > self.sequence_ended || timeline.open_outside > 0;
        let mut after_all = true;
        tail.retain(|&other| {
            let behind = (other.queue == place.queue && line.is_in_order())
                || (frontiers && super::knowledge::implies(&self.lines, &line.knowledge, other))
                || own.barriers.iter().any(|barrier| barrier.place == other)
                || own.held.contains(&other);
            after_all &= behind;
            !behind && !has_ended(&self.lines, &self.flights, other)
        });
        after_all &= timeline.records.back().is_none_or(|before| !before.joined);
        let record = timeline.push(self.options.history);
        record.previous = previous;
        record.value = signal.value;
        record.producer = Some(place);
        record.prefix = prefix;
        record.own_exact = exact && prefix;
        record.exact = record.own_exact;
        record.joined = frontiers && !(tail.is_empty() && (after_all || self.options.pruning));
        record.others.clone_from(&tail);
        record.tainted = tainted;
        record.required = false;
        record.settled = Settled::Pending;
        if frontiers {
            record.known.clone_from(&line.knowledge);
            let entries = record.known.len() as u64 + 1;
            self.statistics.frontier_bytes += 16 * entries;
            self.statistics.frontier_entries_max = self.statistics.frontier_entries_max.max(entries);
        } else {
            record.known.clear();
        }
        if self.options.policy == Policy::Events {
            self.statistics.events += 1;
            self.statistics.event_bytes += 16;
        }
        // What has ended need not be known, unless whole histories are wanted.
        if record.joined {
            let at = timeline.records.len() - 1;
            self.join_previous(signal.semaphore.0, at);
        }
        tail.push(place);
        let timeline = &mut self.semaphores[signal.semaphore.index()];
        if tail.len() > OTHERS_MAX {
            tail.clear();
            tail.push(place);
            timeline.tail_tainted_until = self.sequence;
            timeline.records.back_mut().expect("just pushed").tainted = true;
        }
        timeline.tail = tail;
    }

    /// Adds to a promise what the one before it is caused by: it is reached after that.
    #[cold]
    pub(super) fn join_previous(&mut self, semaphore: u32, at: usize) {
        let records = &self.semaphores[semaphore as usize].records;
        let (mut known, mut exact): (Frontier, bool) = (records[at].known.clone(), records[at].own_exact);
        match at.checked_sub(1).map(|before| self.causes_of(&records[before])) {
            Some(causes) => {
                exact &= causes.is_exact() && known.merge_bounded(&causes.frontier, self.options.capacity).is_ok();
            }
            // Forgotten.
            None => exact = false,
        }
        let record = &mut self.semaphores[semaphore as usize].records[at];
        (record.known, record.exact) = (known, exact);
    }

    fn record_submission(&mut self, flight: u32) {
        let flight = &self.flights[flight as usize];
        let line = &self.lines[flight.line as usize];
        self.recorder.record(Event::Submitted {
            queue: flight.line,
            epoch: flight.epoch,
            waits: flight.waits.iter().map(crate::record::Wait::of).collect(),
            signals: flight.signals.iter().map(|signal| (signal.semaphore.0, signal.value)).collect(),
            barriers: flight.barriers.iter().map(|barrier| (barrier.place.queue.0, barrier.place.epoch)).collect(),
            held: flight.held.iter().map(|place| (place.queue.0, place.epoch)).collect(),
            buffers: flight.buffers.iter().map(|buffer| (buffer.block, buffer.generation)).collect(),
            known: crate::record::entries(&line.knowledge),
        });
    }

    /// Lets every flight go on that can.
    pub(super) fn run(&mut self) {
        while let Some((flight, sequence)) = self.ripe.pop_front() {
            if self.flights[flight as usize].sequence == sequence {
                self.consider(flight);
            }
        }
    }

    fn consider(&mut self, index: u32) {
        let flight = &self.flights[index as usize];
        let line = &self.lines[flight.line as usize];
        let turn = line.ended + 1 == flight.epoch || !line.is_in_order();
        let (host, held, barriers) = (flight.left_host > 0, flight.left_held > 0, flight.left_barriers > 0);
        let is_last_left = turn && !held && !barriers;
        if host && is_last_left && self.failure_of(index).is_some() {
            // It fails whatever becomes of the waits that are left, and nobody relies on them: see `resolve`.
            self.flights[index as usize].left_host = 0;
            return self.consider(index);
        }
        match flight.state {
            State::Done | State::Offered | State::Running => {}
            State::Doomed | State::Reported => {
                if is_last_left && !host {
                    self.end_in_turn(index);
                }
            }
            State::Waiting => match line.handover {
                _ if host || held => {}
                Handover::Issued if !flight.automatic => {
                    if line.is_in_order() && line.handed + 1 != flight.epoch {
                        return;
                    }
                    let (epoch, line, sequence) = (flight.epoch, flight.line, flight.sequence);
                    if self.failure_of(index).is_some() {
                        // The queue will not see it, nor its barriers, on which those behind it may rely: they are
                        // handed over when it has ended in its turn.
                        self.flights[index as usize].state = State::Doomed;
                        self.ripe.push_back((index, sequence));
                        return;
                    }
                    self.lines[line as usize].handed = epoch;
                    self.offer(index);
                    if let Some(next) = self.lines[line as usize].flight(epoch + 1) {
                        self.ripe.push_back((next, self.flights[next as usize].sequence));
                    }
                }
                Handover::Ready | Handover::Issued => {
                    if is_last_left {
                        match flight.automatic || self.failure_of(index).is_some() {
                            true => self.end_in_turn(index),
                            false => self.offer(index),
                        }
                    }
                }
            },
        }
    }

    fn offer(&mut self, index: u32) {
        let flight = &mut self.flights[index as usize];
        flight.state = State::Offered;
        let line = flight.line;
        self.lines[line as usize].outbox.push_back(index);
        self.activate(line);
    }
}
