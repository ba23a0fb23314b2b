//! The scheduler: a state machine that is told what is submitted and what has ended.
//!
//! - [`line`]: an axis and its queue.
//! - [`flight`]: a submission that has not ended.
//! - [`semaphore`]: what was promised and what was reached.
//! - [`submit`]: taking a submission; [`resolve`]: how its waits are resolved, and why that is sound.
//! - [`settle`]: what follows when a submission has ended.
//! - [`collective`]: channels that stand for a group.
//! - [`knowledge`]: what a queue knows: merging, pruning, channels.
//! - [`memory`]: blocks and their uses.
//! - [`outside`]: what others say: values, promises and axes from elsewhere.

use std::collections::VecDeque;

use proact::causal::{Axis, Completeness, Frontier, Knowledge};
use proact::status::{Code, Operation, Result, Status};
use proact::sync::Semaphore;

mod collective;
mod flight;
mod knowledge;
mod line;
mod memory;
mod outside;
mod resolve;
mod semaphore;
mod settle;
mod submit;
#[cfg(test)]
mod tests;

use flight::{Dependent, Flight, State};
use line::{Kind, Line};
use semaphore::Timeline;

use crate::model::{Barrier, BufferId, Place, QueueId, Resolution, SemaphoreId};
use crate::options::{Handover, Order, Policy, QueueOptions, SchedulerOptions};
use crate::record::{Event, Recorder, Silent};
use crate::statistics::Statistics;
use knowledge::Axes;
pub use submit::Refused;

/// Schedules work on queues by what is known to have happened.
///
/// `P` is what a submission carries to who runs it; the scheduler does not look at it. `R` is told what happens; the
/// usual one, [`Silent`], costs nothing.
///
/// See the crate's own page for an example, and [`model`](crate::model) for what can be said.
#[derive(Debug)]
pub struct Scheduler<P, R: Recorder = Silent> {
    options: SchedulerOptions,
    statistics: Statistics,
    recorder: R,
    axes: Axes,
    lines: Vec<Line>,
    semaphores: Vec<Timeline>,
    memory: memory::Memory,
    flights: Vec<Flight<P>>,
    free: Vec<u32>,
    /// Lines whose outbox may hold something.
    active: VecDeque<u32>,
    /// Flights that may be able to go on.
    ripe: VecDeque<(u32, u64)>,
    /// The last sequence number that was given out.
    sequence: u64,
    /// All submissions up to this sequence number have ended.
    sequence_ended: u64,
    /// Of each after that, whether it has ended.
    sequences: VecDeque<bool>,
    scratch: resolve::Scratch,
}

/// Work that a queue may begin; with [`Handover::Issued`](crate::Handover::Issued) when its
/// [barriers](Scheduler::barriers) allow it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Work<P> {
    /// Which submission.
    pub place: Place,
    /// What was submitted.
    pub payload: P,
}

impl<P> Scheduler<P> {
    /// A scheduler without queues and semaphores, whose doings nobody records.
    pub fn new(options: SchedulerOptions) -> Scheduler<P> {
        Scheduler::with_recorder(options, Silent)
    }
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Status {
    Status::new(Code::InvalidArgument, Operation::Submit).with_message(message)
}

impl<P, R: Recorder> Scheduler<P, R> {
    /// A scheduler that tells `recorder` what happens.
    pub fn with_recorder(options: SchedulerOptions, recorder: R) -> Scheduler<P, R> {
        Scheduler {
            options,
            statistics: Statistics::default(),
            recorder,
            axes: Axes::default(),
            lines: Vec::new(),
            semaphores: Vec::new(),
            memory: memory::Memory::default(),
            flights: Vec::new(),
            free: Vec::new(),
            active: VecDeque::new(),
            ripe: VecDeque::new(),
            sequence: 0,
            sequence_ended: 0,
            sequences: VecDeque::new(),
            scratch: resolve::Scratch::default(),
        }
    }

    /// What was counted so far.
    pub const fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// How waits are resolved.
    pub const fn policy(&self) -> Policy {
        self.options.policy
    }

    /// What is told of everything that happens.
    pub const fn recorder(&self) -> &R {
        &self.recorder
    }

    /// As [`Scheduler::recorder`], to change it: for instance to tell it the time.
    pub const fn recorder_mut(&mut self) -> &mut R {
        &mut self.recorder
    }

    /// Ends the scheduler, and answers what was recorded.
    pub fn into_recorder(self) -> R {
        self.recorder
    }

    fn add_line(&mut self, line: Line) -> Result<QueueId> {
        let index = self.lines.len() as u32;
        self.axes.add(line.axis, index)?;
        self.lines.push(line);
        Ok(QueueId(index))
    }

    /// Adds a queue. One that has failed or was [retired](Scheduler::retire), and of which all has ended, is taken up
    /// again if it is added as it was before: it is the same queue, whose epochs go on where they stood. So queues may
    /// come and go for ever, as long as they share axes.
    ///
    /// # Errors
    /// `AlreadyExists` if its axis is known already. `InvalidArgument` if the axis is of another domain than
    /// [`Domain::Queue`](proact::causal::Domain::Queue) or [`Domain::Host`](proact::causal::Domain::Host).
    pub fn add_queue(&mut self, options: QueueOptions) -> Result<QueueId> {
        use proact::causal::Domain;
        if !matches!(options.axis.domain(), Domain::Queue | Domain::Host) {
            return Err(invalid(format!("axis {} is not that of a queue", options.axis)));
        }
        if let Some(before) = self.axes.find(options.axis) {
            let line = &mut self.lines[before as usize];
            let is_over = matches!(line.kind, Kind::Queue) && line.failure.is_some() && line.ring.is_empty();
            let is_same =
                (line.order, line.handover, line.exportable) == (options.order, options.handover, options.exportable);
            if is_over && is_same {
                line.failure = None;
                return Ok(QueueId(before));
            }
        }
        let mut line = Line::new(options.axis, options.order, Kind::Queue);
        line.handover = options.handover;
        line.exportable = options.exportable;
        let queue = self.add_line(line)?;
        if R::ENABLED {
            let in_order = options.order == Order::InOrder;
            let keeps_barriers = options.handover == Handover::Issued;
            let axis = options.axis.to_bits();
            self.recorder.record(Event::Queue { queue: queue.0, axis, in_order, keeps_barriers });
        }
        Ok(queue)
    }

    /// Adds a semaphore that has reached `initial`.
    pub fn add_semaphore(&mut self, initial: u64) -> SemaphoreId {
        let index = self.semaphores.len() as u32;
        self.semaphores.push(Timeline::new(initial));
        self.statistics.semaphores += 1;
        if R::ENABLED {
            self.recorder.record(Event::Semaphore { semaphore: index, initial });
        }
        SemaphoreId(index)
    }

    /// Adds a semaphore that the rest of the program sees as `shown`: it is signalled, with its causes, when a promised
    /// value is reached here, and failed when that fails.
    ///
    /// The rest of the program must not signal values that were promised here; what it signals besides has to be told
    /// with [`Scheduler::signal`].
    pub fn add_shown_semaphore(&mut self, shown: Semaphore) -> SemaphoreId {
        let semaphore = self.add_semaphore(shown.value());
        self.semaphores[semaphore.index()].shown = Some(shown);
        semaphore
    }

    /// Adds a semaphore that only others signal, who have to be told of with [`Scheduler::signal`]: submissions that
    /// signal it are refused.
    pub fn add_foreign_semaphore(&mut self, initial: u64) -> SemaphoreId {
        let semaphore = self.add_semaphore(initial);
        self.semaphores[semaphore.index()].foreign = true;
        semaphore
    }

    /// The value that a semaphore has reached; on a failed one, what it had reached.
    ///
    /// # Panics
    /// If the scheduler has not given it out; so do all calls that only ask.
    pub fn value(&self, semaphore: SemaphoreId) -> u64 {
        self.semaphores[semaphore.index()].value
    }

    /// The largest value of a semaphore that was promised or reached.
    pub fn promised(&self, semaphore: SemaphoreId) -> u64 {
        self.semaphores[semaphore.index()].promised
    }

    /// Why a semaphore has failed, if it has: the status of whoever failed first.
    pub fn status(&self, semaphore: SemaphoreId) -> Option<&Status> {
        self.semaphores[semaphore.index()].failure.as_ref().map(|failure| &failure.status)
    }

    /// Whose failure it was that a semaphore failed of, if it was that of a submission.
    pub fn origin(&self, semaphore: SemaphoreId) -> Option<Place> {
        self.semaphores[semaphore.index()].failure.as_ref().and_then(|failure| failure.origin)
    }

    /// What `value` of a semaphore is caused by, as far as that is known now: of a promised value also before it is
    /// reached. `None` if nobody has promised it, or it was forgotten.
    pub fn causes(&self, semaphore: SemaphoreId, value: u64) -> Option<Knowledge> {
        let timeline = &self.semaphores[semaphore.index()];
        let record = &timeline.records[timeline.find(value)?];
        Some(self.causes_of(record))
    }

    /// All submissions of a queue up to this epoch have ended.
    pub fn ended(&self, queue: QueueId) -> u64 {
        self.lines[queue.index()].ended
    }

    /// The epoch of the last submission to a queue.
    pub fn submitted(&self, queue: QueueId) -> u64 {
        self.lines[queue.index()].submitted
    }

    /// The axis of a queue.
    pub fn axis(&self, queue: QueueId) -> Axis {
        self.lines[queue.index()].axis
    }

    /// The queue, or other line, of an axis.
    pub fn queue(&self, axis: Axis) -> Option<QueueId> {
        self.axes.find(axis).map(QueueId)
    }

    /// Whether a submission has ended, well or not.
    pub fn has_ended(&self, place: Place) -> bool {
        resolve::has_ended(&self.lines, &self.flights, place)
    }

    /// What has ended before the next submission to an in-order queue begins; of an overlapping one nothing is known.
    pub fn knowledge(&self, queue: QueueId) -> Knowledge {
        let line = &self.lines[queue.index()];
        let mut frontier = Frontier::new();
        let mut completeness = Completeness::Exact;
        if line.is_in_order() {
            frontier.clone_from(&line.knowledge);
            if line.loose_until > self.sequence_ended {
                completeness = Completeness::LowerBound;
            }
            if let Ok(own) = Frontier::single(line.axis, line.submitted) {
                if frontier.merge(&own).is_err() {
                    completeness = Completeness::LowerBound;
                }
            }
        }
        Knowledge { frontier, completeness }
    }

    /// How the waits of a submission were resolved, in the order in which they were given; empty once it has passed.
    pub fn resolutions(&self, place: Place) -> &[Resolution] {
        match self.lines[place.queue.index()].flight(place.epoch) {
            Some(flight) => &self.flights[flight as usize].waits,
            None => &[],
        }
    }

    /// What a queue must see ended before it begins a submission; empty once that has passed. A queue that is handed
    /// what is issued keeps them itself; for others all of it has ended when they get the work.
    pub fn barriers(&self, place: Place) -> &[Barrier] {
        match self.lines[place.queue.index()].flight(place.epoch) {
            Some(flight) => &self.flights[flight as usize].barriers,
            None => &[],
        }
    }

    /// The memory that a submission touches; empty once that has passed.
    pub fn buffers(&self, place: Place) -> &[BufferId] {
        match self.lines[place.queue.index()].flight(place.epoch) {
            Some(flight) => &self.flights[flight as usize].buffers,
            None => &[],
        }
    }

    /// How many submissions have not ended.
    pub fn in_flight(&self) -> u64 {
        self.statistics.submissions - self.statistics.completed - self.statistics.failed
    }

    /// The next work of any queue, the queues in turn. `None`: nothing may begin before something that runs has ended,
    /// or something from outside is told.
    pub fn next_work(&mut self) -> Option<Work<P>> {
        while let Some(line) = self.active.pop_front() {
            self.lines[line as usize].active = false;
            if let Some(flight) = self.lines[line as usize].outbox.pop_front() {
                if !self.lines[line as usize].outbox.is_empty() {
                    self.activate(line);
                }
                return Some(self.hand_over(flight));
            }
        }
        None
    }

    /// The next work of this queue.
    pub fn next_work_of(&mut self, queue: QueueId) -> Option<Work<P>> {
        let flight = self.lines[queue.index()].outbox.pop_front()?;
        Some(self.hand_over(flight))
    }

    /// Whether there is work that this queue may begin.
    pub fn has_work(&self, queue: QueueId) -> bool {
        !self.lines[queue.index()].outbox.is_empty()
    }

    fn activate(&mut self, line: u32) {
        if !std::mem::replace(&mut self.lines[line as usize].active, true) {
            self.active.push_back(line);
        }
    }

    fn hand_over(&mut self, flight: u32) -> Work<P> {
        let flight = &mut self.flights[flight as usize];
        flight.state = State::Running;
        if R::ENABLED {
            self.recorder.record(Event::Started { queue: flight.line, epoch: flight.epoch });
        }
        Work {
            place: Place::new(QueueId(flight.line), flight.epoch),
            payload: flight.payload.take().expect("only what has a payload is offered"),
        }
    }
}
