//! What follows when a submission has ended.
//!
//! **A submission ends at its turn**, whether it ran, failed, or never ran because of what it waited for: after all
//! that it had a barrier on and, on an in-order queue, after all before it. That is what makes its end say what its
//! causes say. So a failure travels along the waits as success does; only waits for semaphores that have not been
//! reached are given up, because nobody relies on these.
//!
//! Which submissions fail depends on the submissions alone, and not on the order in which they happen to end: a
//! semaphore settles its promises in the order in which they were made, and fails at the first that is broken.

use std::cmp::Reverse;

use proact::causal::Frontier;
use proact::status::{Code, Operation, Result, Status};

use super::flight::{Failure, State};
use super::line::Kind;
use super::semaphore::Settled;
use super::{Recorder, Scheduler, invalid};
use crate::model::{Place, QueueId};
use crate::options::{Handover, Policy};
use crate::record::Event;

impl<P, R: Recorder> Scheduler<P, R> {
    /// Notes that work which was [handed out](Scheduler::next_work) has ended well.
    ///
    /// A queue that keeps barriers itself may report in any order: what overtook something that it waited for is held
    /// until that is reported too.
    ///
    /// # Errors
    /// `InvalidArgument` for work that does not run.
    pub fn complete(&mut self, place: Place) -> Result {
        self.report(place, None)
    }

    /// Notes that work which was handed out has failed. Its semaphores fail with `status`, and so does what waits for
    /// them.
    ///
    /// # Errors
    /// As [`Scheduler::complete`].
    pub fn fail(&mut self, place: Place, status: Status) -> Result {
        self.report(place, Some(Failure { status, origin: Some(place) }))
    }

    fn report(&mut self, place: Place, failure: Option<Failure>) -> Result {
        let line = self.lines.get(place.queue.index());
        let index = line.and_then(|line| line.flight(place.epoch));
        let Some(index) = index.filter(|&index| self.flights[index as usize].state == State::Running) else {
            return Err(invalid(format!("{place:?} does not run")));
        };
        match self.lines[place.queue.index()].handover {
            Handover::Ready => self.end(index, failure),
            Handover::Issued => {
                let flight = &mut self.flights[index as usize];
                flight.state = State::Reported;
                flight.failure = failure;
                let sequence = flight.sequence;
                self.ripe.push_back((index, sequence));
            }
        }
        self.run();
        Ok(())
    }

    /// Why a flight whose turn has come fails without being run, if it does.
    pub(super) fn failure_of(&self, index: u32) -> Option<Failure> {
        let flight = &self.flights[index as usize];
        if let Some(status) = &self.lines[flight.line as usize].failure {
            return Some(Failure { status: status.clone(), origin: None });
        }
        flight.waits.iter().find_map(|resolution| {
            let timeline = &self.semaphores[resolution.wait.semaphore.index()];
            if timeline.value >= resolution.wait.value {
                return None;
            }
            if timeline.failure.is_some() {
                return timeline.failure.clone();
            }
            // Broken already, and only told when those before it have settled.
            let record = &timeline.records[timeline.find(resolution.wait.value)?];
            match &record.settled {
                Settled::Broken(failure) => Some(failure.clone()),
                Settled::Pending | Settled::Kept => None,
            }
        })
    }

    pub(super) fn end_in_turn(&mut self, index: u32) {
        let failure = self.flights[index as usize].failure.take().or_else(|| self.failure_of(index));
        self.end(index, failure);
    }

    fn end(&mut self, index: u32, failure: Option<Failure>) {
        let flight = &mut self.flights[index as usize];
        flight.state = State::Done;
        flight.payload = None;
        let (line, epoch, sequence) = (flight.line, flight.epoch, flight.sequence);
        match failure {
            None => self.statistics.completed += 1,
            Some(_) => self.statistics.failed += 1,
        }
        if R::ENABLED {
            let failure = failure.as_ref().map(|failure| failure.status.to_string());
            self.recorder.record(Event::Ended { queue: line, epoch, failure });
        }
        if self.flights[index as usize].loose {
            self.tighten(index, failure.is_some());
        }
        self.end_sequence(sequence);
        self.advance(line);

        let mut dependents = std::mem::take(&mut self.flights[index as usize].dependents);
        for dependent in dependents.drain(..) {
            let waiting = &mut self.flights[dependent.flight as usize];
            *(if dependent.held { &mut waiting.left_held } else { &mut waiting.left_barriers }) -= 1;
            if waiting.automatic && waiting.failure.is_none() {
                // An epoch of a channel fails with its first contribution that does.
                waiting.failure.clone_from(&failure);
            }
            self.ripe.push_back((dependent.flight, waiting.sequence));
        }
        let mut signals = std::mem::take(&mut self.flights[index as usize].signals);
        for signal in signals.drain(..) {
            let timeline = &mut self.semaphores[signal.semaphore.index()];
            let at = timeline.find(signal.value).expect("a promise that is not settled is kept");
            timeline.records[at].settled = match &failure {
                None => Settled::Kept,
                Some(failure) => Settled::Broken(failure.clone()),
            };
            self.drain(signal.semaphore.0);
        }
        let flight = &mut self.flights[index as usize];
        (flight.dependents, flight.signals) = (dependents, signals);
    }

    fn end_sequence(&mut self, sequence: u64) {
        self.sequences[(sequence - self.sequence_ended - 1) as usize] = true;
        while self.sequences.front() == Some(&true) {
            self.sequences.pop_front();
            self.sequence_ended += 1;
        }
    }

    /// Lets a queue's epoch pass over all that has ended, and the next of an in-order queue have its turn.
    fn advance(&mut self, index: u32) {
        let line = &mut self.lines[index as usize];
        while let Some(&front) = line.ring.front() {
            let flight = &self.flights[front as usize];
            if flight.state != State::Done {
                if line.is_in_order() {
                    self.ripe.push_back((front, flight.sequence));
                }
                break;
            }
            line.ring.pop_front();
            line.ended += 1;
            self.free.push(front);
            if let Kind::Channel(channel) = &mut line.kind {
                channel.spare.extend(channel.contributions.pop_front());
            }
        }
        // What was never handed over is passed over as well.
        line.handed = line.handed.max(line.ended);
        if line.failure.is_some() && line.ring.is_empty() {
            line.let_go();
        }
        if line.ended >= line.ungrounded_from {
            let flights = &self.flights;
            let ungrounded = line.ring.iter().map(|&flight| &flights[flight as usize]).find(|flight| !flight.grounded);
            line.ungrounded_from = ungrounded.map_or(u64::MAX, |flight| flight.epoch);
        }
    }

    /// Adds to what a flight has published the causes of its waits that were not known when it was taken.
    #[cold]
    fn tighten(&mut self, index: u32, failed: bool) {
        let flight = &mut self.flights[index as usize];
        let (line, lost) = (flight.line, flight.lost);
        let waits = std::mem::take(&mut flight.waits);
        let in_order = self.lines[line as usize].is_in_order();
        let mut late = std::mem::take(&mut self.lines[line as usize].late);
        let mut exact = self.lines[line as usize].late_exact && !lost && !failed;
        if self.options.policy == Policy::Frontiers {
            for wait in waits.iter().map(|resolution| resolution.wait) {
                let timeline = &self.semaphores[wait.semaphore.index()];
                let found = timeline.find(wait.value).filter(|_| timeline.value >= wait.value);
                let causes = found.map(|at| self.causes_of(&timeline.records[at]));
                exact &= causes.is_some_and(|causes| {
                    causes.is_exact() && late.merge_bounded(&causes.frontier, self.options.capacity).is_ok()
                });
            }
            self.publish_late(index, &late, exact);
            if in_order {
                let room = self.learn(line, &late);
                let line = &mut self.lines[line as usize];
                if !room {
                    (line.loose_until, line.lost_until) = (self.sequence, self.sequence);
                } else if exact && line.loose_flights == 1 {
                    // This was the last that the queue did not know all of.
                    line.loose_until = line.lost_until;
                }
            }
        }
        let line = &mut self.lines[line as usize];
        line.loose_flights -= 1;
        line.late_exact = exact || line.loose_flights == 0;
        if line.loose_flights == 0 || !in_order {
            late.clear();
            line.late_exact = true;
        }
        line.late = late;
        self.flights[index as usize].waits = waits;
    }

    fn publish_late(&mut self, index: u32, late: &Frontier, exact: bool) {
        for signal in &self.flights[index as usize].signals {
            let timeline = &mut self.semaphores[signal.semaphore.index()];
            let at = timeline.find(signal.value).expect("a promise that is not settled is kept");
            let record = &mut timeline.records[at];
            let whole = record.known.merge_bounded(late, self.options.capacity).is_ok();
            record.own_exact = exact && whole && record.prefix;
            record.exact = record.own_exact && !record.joined;
        }
    }

    /// Settles the promises of a semaphore as far as they can be, in their order, and lets go who waits for them.
    pub(super) fn drain(&mut self, index: u32) {
        loop {
            let timeline = &self.semaphores[index as usize];
            let Some(record) = timeline.records.get(timeline.reached) else { break };
            let (value, failed) = (record.value, timeline.failure.is_some());
            let broken = match &record.settled {
                Settled::Pending => break,
                Settled::Kept => None,
                Settled::Broken(failure) => Some(failure.clone()),
            };
            if !failed {
                match broken {
                    None => self.reach(index, value),
                    Some(failure) => _ = self.break_semaphore(index, failure),
                }
            }
            let timeline = &mut self.semaphores[index as usize];
            timeline.open_outside -= u32::from(timeline.records[timeline.reached].producer.is_none());
            timeline.reached += 1;
        }
    }

    /// A semaphore has reached the value of the record that is to be settled next.
    fn reach(&mut self, index: u32, value: u64) {
        let timeline = &mut self.semaphores[index as usize];
        timeline.value = value;
        while let Some(&Reverse((awaited, flight, sequence))) = timeline.waiters.peek() {
            if awaited > value {
                break;
            }
            timeline.waiters.pop();
            let waiting = &mut self.flights[flight as usize];
            // Who failed meanwhile has given its waits up.
            if waiting.sequence == sequence && waiting.left_host > 0 {
                waiting.left_host -= 1;
                self.ripe.push_back((flight, sequence));
            }
        }
        let timeline = &self.semaphores[index as usize];
        if timeline.records[timeline.reached].joined {
            // More is known of it by now.
            let at = timeline.reached;
            self.join_previous(index, at);
        }
        let timeline = &self.semaphores[index as usize];
        if R::ENABLED || timeline.shown.is_some() {
            let causes = self.causes_of(&timeline.records[timeline.reached]);
            if let Some(shown) = &timeline.shown {
                // Signalled by somebody else meanwhile, or failed: then it says so itself to whoever looks.
                if let Err(status) = shown.signal_known(value, &causes) {
                    self.break_semaphore(index, Failure { status, origin: None });
                }
            }
            if R::ENABLED {
                let known = crate::record::entries(&causes.frontier);
                self.recorder.record(Event::Reached { semaphore: index, value, known, exact: causes.is_exact() });
            }
        }
    }

    /// Fails a semaphore for good, unless it has failed before. Who waits is let go, to fail in turn.
    pub(super) fn break_semaphore(&mut self, index: u32, failure: Failure) -> bool {
        let timeline = &mut self.semaphores[index as usize];
        if timeline.failure.is_some() {
            return false;
        }
        if R::ENABLED {
            let origin = failure.origin.map(|place| (place.queue.0, place.epoch));
            let status = failure.status.to_string();
            self.recorder.record(Event::Failed { semaphore: index, status, origin });
        }
        if let Some(shown) = &timeline.shown {
            shown.fail(failure.status.clone());
        }
        timeline.failure = Some(failure);
        for Reverse((_, flight, sequence)) in timeline.waiters.drain() {
            let waiting = &mut self.flights[flight as usize];
            if waiting.sequence == sequence {
                waiting.left_host = 0;
                self.ripe.push_back((flight, sequence));
            }
        }
        true
    }

    /// Fails a queue for good: work that was not handed out fails with `status`, each at its turn, and more is refused.
    /// What runs is still waited for. Says whether it had not failed before.
    ///
    /// An [axis of elsewhere](Scheduler::add_axis) fails at once: it will come no further, and semaphores fail of which
    /// values were promised to follow from more. What it had come to stays so.
    pub fn fail_queue(&mut self, queue: QueueId, status: Status) -> bool {
        let Some(line) = self.lines.get_mut(queue.index()).filter(|line| line.failure.is_none()) else { return false };
        line.failure = Some(status.clone());
        if matches!(line.kind, Kind::External { .. }) {
            self.lose_axis(queue.0, &status);
            self.run();
            return true;
        }
        // What was offered and not taken goes back, and is not offered again.
        let offered = std::mem::take(&mut line.outbox);
        for &flight in &line.ring {
            let flight_ = &mut self.flights[flight as usize];
            flight_.left_host = 0;
            self.ripe.push_back((flight, flight_.sequence));
        }
        for flight in offered {
            self.flights[flight as usize].state = State::Doomed;
        }
        self.run();
        true
    }

    /// As [`Scheduler::fail_queue`], `Cancelled`: the queue's time is over. When all of it has ended, its axis may be
    /// [added](Scheduler::add_queue) again.
    pub fn retire(&mut self, queue: QueueId) -> bool {
        let status = Status::new(Code::Cancelled, Operation::Submit).with_message("the queue was retired");
        self.fail_queue(queue, status)
    }
}
