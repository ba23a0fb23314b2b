//! What a transfer does, step by step, as a recording of the scheduler's: for `--trace`.
//!
//! Each side of a connection has four queues. A chunk's pipeline goes through the first three, under the chunk's value
//! on the connection's timeline semaphore:
//!
//! | [`Step`] | sender | receiver | in order |
//! |---|---|---|---|
//! | `Fill` | read file | receive | on the receiver |
//! | `Compute` | digest | check | yes; signals the value |
//! | `Empty` | send | write | on the sender; waits for the value |
//! | `Sync` | - | sync | no |
//!
//! Over TLS a frame's records are sealed in its `Compute` step, behind its digest; what the sender is sent is opened by
//! jobs of the same device, as is all that either side says besides frames of files. These, and the digests of what is
//! read back before a file goes on, are [`Step::Aside`]: on the queue of `Compute`, with no value of the connection's.
//! A chunk's `Fill` on the receiver ends when it is opened. A file that goes on has no step of what was there.
//!
//! A step is submitted and ends when its operation is and does. One that waits begins when its wait is over; where
//! that was lowered to the kernel, when the value was reached, for nobody else is told; and on a stream after the one
//! before.
//! The clock is read under the lock, so that what is recorded later is not earlier; and a device records a value before
//! it signals it, so that whoever acts on it comes after.
//!
//! A [`Tracer`] that records nothing is one word, and each call a branch.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proact::causal::Axis;
use proact::time::Clock;
use proact_schedule::record::{Event, How, Recording, Timed, Wait};

/// Values of a connection that are recorded, and as many asides; those above are not, so that memory is bounded: some
/// 2 KiB each.
pub const VALUES_MAX: u64 = 32 << 10;

/// The queues of a side.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Step {
    /// A buffer is filled, from a file or the connection.
    Fill,
    /// A device digests it, and seals it where there is TLS.
    #[default]
    Compute,
    /// It is emptied, to the connection or a file.
    Empty,
    /// A file or directory is made durable.
    Sync,
    /// The device does something that no value stands for.
    Aside,
}

const STEPS: usize = 4;

impl Step {
    /// Which queue of its side it is on.
    const fn queue(self) -> usize {
        match self {
            Step::Fill => 0,
            Step::Compute | Step::Aside => 1,
            Step::Empty => 2,
            Step::Sync => 3,
        }
    }
}

/// Which end of the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The sender: machine 0.
    Sender,
    /// The receiver: machine 1.
    Receiver,
}

/// A recording that both sides of a transfer may share.
#[derive(Clone)]
pub struct Trace(Arc<Shared>);

struct Shared {
    clock: Clock,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    events: Vec<Timed>,
    queues: u32,
    sides: Vec<Side>,
}

/// A submission that has not ended.
struct Open {
    epoch: u64,
    /// Which event told of it.
    event: usize,
    /// When its wait was over.
    ready_ns: Option<u64>,
    /// When its value was reached.
    reached_ns: Option<u64>,
}

struct Side {
    role: Role,
    /// The number of the first of its queues; its semaphore has the side's own number.
    first: u32,
    epochs: [u64; STEPS],
    open: HashMap<(Step, u64), Open>,
    filled: Ended,
    emptied: Ended,
    /// When the last of `Empty` ended, and whether none before has failed.
    emptied_ns: u64,
    stream_is_whole: bool,
    failed: bool,
    syncs: u64,
    asides: u64,
    /// Values and asides that were too many.
    left_out: u64,
}

/// Which epochs of a queue have ended, in whatever order.
#[derive(Default)]
struct Ended {
    /// All up to this,
    through: u64,
    /// and of those above it these.
    beyond: BTreeSet<u64>,
}

impl Ended {
    fn add(&mut self, epoch: u64) {
        self.beyond.insert(epoch);
        while self.beyond.remove(&(self.through + 1)) {
            self.through += 1;
        }
    }
}

/// One side's pen. Without a trace it records nothing.
#[derive(Clone, Default)]
pub struct Tracer(Option<(Trace, usize)>);

/// What the device that is given a job tells of it.
#[derive(Clone, Default)]
pub struct Ticket {
    tracer: Tracer,
    step: Step,
    number: u64,
}

impl Trace {
    /// An empty one, on this clock.
    pub fn new(clock: Clock) -> Trace {
        Trace(Arc::new(Shared { clock, book: Mutex::default() }))
    }

    /// A side of a connection. Each has its own queues, and a semaphore.
    pub fn side(&self, role: Role, name: &str) -> Tracer {
        let mut book = self.book();
        let (number, first, machine) = (book.sides.len(), book.queues, role as u8);
        book.queues += STEPS as u32;
        let now_ns = self.now_ns();
        let mut tell = |event| book.events.push(Timed { at_ns: now_ns, event });
        tell(Event::Machine { machine, name: name.into(), own: true });
        for (index, &(name, in_order)) in role.queues().iter().enumerate() {
            let queue = first + index as u32;
            // A receiver that serves several connections has the queues of each: as if each were a device.
            let axis = Axis::queue(0, machine, number as u8, index as u8).to_bits();
            tell(Event::Queue { queue, axis, in_order, keeps_barriers: false });
            tell(Event::Name { queue, epoch: None, name: name.into() });
        }
        tell(Event::Semaphore { semaphore: number as u32, initial: 0 });
        book.sides.push(Side {
            role,
            first,
            epochs: [0; STEPS],
            open: HashMap::new(),
            filled: Ended::default(),
            emptied: Ended::default(),
            emptied_ns: 0,
            stream_is_whole: true,
            failed: false,
            syncs: 0,
            asides: 0,
            left_out: 0,
        });
        Tracer(Some((self.clone(), number)))
    }

    /// What was recorded so far, in the order of time. What is not over, such as a job that is with its device when a
    /// connection fails, has failed for that reason.
    pub fn recording(&self) -> Recording {
        let book = self.book();
        let (mut events, now_ns) = (book.events.clone(), self.now_ns());
        let open =
            book.sides.iter().flat_map(|side| side.open.iter().map(|(&(step, _), open)| (open, side.queue(step))));
        let mut open: Vec<_> = open.collect();
        open.sort_by_key(|(open, _)| open.event);
        for (open, queue) in open {
            let failure = Some(String::from("it was not over when this was written"));
            events.push(Timed { at_ns: now_ns, event: Event::Ended { queue, epoch: open.epoch, failure } });
        }
        // A start may be found out about late; what is as early as it was recorded before.
        events.sort_by_key(|timed| timed.at_ns);
        Recording { events, now_ns: 0 }
    }

    /// How many values and asides found no room.
    pub fn left_out(&self) -> u64 {
        self.book().sides.iter().map(|side| side.left_out).sum()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ns(&self) -> u64 {
        self.0.clock.now().as_nanoseconds()
    }
}

impl Role {
    /// Names, and whether each runs one after another.
    const fn queues(self) -> &'static [(&'static str, bool)] {
        match self {
            Role::Sender => &[("read file", false), ("digest", true), ("send", true)],
            Role::Receiver => &[("receive", true), ("check", true), ("write", false), ("sync", false)],
        }
    }
}

impl Tracer {
    /// Whether anything is recorded.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    #[inline]
    fn with(&self, f: impl FnOnce(&mut Side, &mut Vec<Timed>, u32, u64)) {
        if let Some((trace, number)) = &self.0 {
            let mut book = trace.book();
            let now_ns = trace.now_ns();
            let Book { events, sides, .. } = &mut *book;
            f(&mut sides[*number], events, *number as u32, now_ns);
        }
    }

    /// A step of `value` was submitted. `name`: what people call it.
    pub fn submitted(&self, step: Step, value: u64, name: impl FnOnce() -> String) {
        self.with(|side, events, semaphore, now_ns| {
            if value > VALUES_MAX {
                side.left_out += u64::from(step == Step::Empty);
                return;
            }
            side.submit(step, value, name(), events, semaphore, now_ns);
        });
    }

    /// The job of `value` is about to be handed to its device.
    pub fn compute(&self, value: u64, name: impl FnOnce() -> String) -> Ticket {
        self.submitted(Step::Compute, value, name);
        Ticket { tracer: self.clone(), step: Step::Compute, number: value }
    }

    /// As [`Tracer::compute`], for a job that no value stands for.
    pub fn aside(&self, name: impl FnOnce() -> String) -> Ticket {
        let mut number = 0;
        self.with(|side, events, semaphore, now_ns| {
            side.asides += 1;
            number = side.asides;
            if number <= VALUES_MAX {
                side.submit(Step::Aside, number, name(), events, semaphore, now_ns);
            } else {
                side.left_out += 1;
            }
        });
        Ticket { tracer: self.clone(), step: Step::Aside, number }
    }

    fn computed(&self, value: u64, failure: Option<&dyn std::fmt::Display>) {
        self.with(|side, events, semaphore, now_ns| {
            let failure = failure.map(ToString::to_string);
            let Some(open) = side.open.get(&(Step::Compute, value)) else { return };
            let (queue, epoch) = (side.queue(Step::Compute), open.epoch);
            side.end(Step::Compute, value, failure.clone(), events, now_ns);
            if side.failed {
                return;
            }
            let event = match failure {
                Some(status) => {
                    side.failed = true;
                    Event::Failed { semaphore, status, origin: Some((queue, epoch)) }
                }
                None => {
                    if let Some(waiting) = side.open.get_mut(&(Step::Empty, value)) {
                        waiting.reached_ns = Some(now_ns);
                    }
                    let (known, exact) = side.causes(epoch);
                    Event::Reached { semaphore, value, known, exact }
                }
            };
            events.push(Timed { at_ns: now_ns, event });
        });
    }

    /// The wait for `value` is over: what empties the buffer may begin.
    pub fn waited(&self, value: u64, lowered: bool) {
        self.with(|side, events, _, now_ns| {
            let Some(open) = side.open.get_mut(&(Step::Empty, value)) else { return };
            open.ready_ns = Some(if lowered { open.reached_ns.unwrap_or(now_ns) } else { now_ns });
            if let (true, Event::Submitted { waits, .. }) = (lowered, &mut events[open.event].event) {
                waits.iter_mut().for_each(|wait| wait.how = How::Lowered);
            }
        });
    }

    /// A step of `value` has ended.
    pub fn ended(&self, step: Step, value: u64, failure: Option<&dyn std::fmt::Display>) {
        self.with(|side, events, _, now_ns| {
            side.end(step, value, failure.map(ToString::to_string), events, now_ns);
        });
    }

    /// A sync was submitted; answers what to tell [`Tracer::ended`].
    pub fn sync(&self, name: impl FnOnce() -> String) -> u64 {
        let mut number = 0;
        self.with(|side, events, semaphore, now_ns| {
            side.syncs += 1;
            number = side.syncs;
            if number <= VALUES_MAX {
                side.submit(Step::Sync, number, name(), events, semaphore, now_ns);
            }
        });
        number
    }

    /// The connection has failed: this is why.
    pub fn failed(&self, why: &dyn std::fmt::Display) {
        self.with(|side, events, semaphore, now_ns| {
            if !std::mem::replace(&mut side.failed, true) {
                let event = Event::Failed { semaphore, status: why.to_string(), origin: None };
                events.push(Timed { at_ns: now_ns, event });
            }
        });
    }
}

impl Ticket {
    /// The device has begun with the job.
    pub fn began(&self) {
        self.tracer.with(|side, events, _, now_ns| {
            if let Some(open) = side.open.get(&(self.step, self.number)) {
                let event = Event::Started { queue: side.queue(self.step), epoch: open.epoch };
                events.push(Timed { at_ns: now_ns, event });
            }
        });
    }

    /// The device is done with the job, and is about to signal its value; or to fail the semaphore.
    pub fn ended(&self, failure: Option<&dyn std::fmt::Display>) {
        match self.step {
            Step::Compute => self.tracer.computed(self.number, failure),
            step => self.tracer.ended(step, self.number, failure),
        }
    }
}

impl Side {
    fn queue(&self, step: Step) -> u32 {
        self.first + step.queue() as u32
    }

    fn submit(&mut self, step: Step, value: u64, name: String, events: &mut Vec<Timed>, semaphore: u32, at_ns: u64) {
        let queue = self.queue(step);
        self.epochs[step.queue()] += 1;
        let epoch = self.epochs[step.queue()];
        let wait = Wait { semaphore, value, how: How::Deferred };
        let open = Open { epoch, event: events.len(), ready_ns: None, reached_ns: None };
        let known = if let Step::Compute | Step::Aside = step { self.fills() } else { Vec::new() };
        let event = Event::Submitted {
            queue,
            epoch,
            waits: if step == Step::Empty { vec![wait] } else { Vec::new() },
            signals: if step == Step::Compute { vec![(semaphore, value)] } else { Vec::new() },
            barriers: Vec::new(),
            held: Vec::new(),
            buffers: Vec::new(),
            known,
        };
        events.push(Timed { at_ns, event });
        events.push(Timed { at_ns, event: Event::Name { queue, epoch: Some(epoch), name } });
        if matches!(step, Step::Fill | Step::Sync) {
            events.push(Timed { at_ns, event: Event::Started { queue, epoch } });
        }
        self.open.insert((step, value), open);
    }

    fn end(&mut self, step: Step, value: u64, failure: Option<String>, events: &mut Vec<Timed>, now_ns: u64) {
        let Some(open) = self.open.remove(&(step, value)) else { return };
        let (queue, epoch) = (self.queue(step), open.epoch);
        match step {
            Step::Fill => self.filled.add(epoch),
            Step::Empty => {
                if let Some(at_ns) = self.began_emptying(&open, failure.is_none()) {
                    events.push(Timed { at_ns, event: Event::Started { queue, epoch } });
                    self.stream_is_whole &= failure.is_none();
                }
                self.emptied.add(epoch);
                self.emptied_ns = now_ns;
            }
            Step::Compute | Step::Sync | Step::Aside => {}
        }
        events.push(Timed { at_ns: now_ns, event: Event::Ended { queue, epoch, failure } });
    }

    /// When a step of `Empty` that is ending now began; `None`: it never did.
    ///
    /// On a stream one begins after the one before. When a connection fails, what is on it ends in any order: those
    /// behind one that failed, or has not ended yet, were never begun and are refused with that failure.
    fn began_emptying(&self, open: &Open, well: bool) -> Option<u64> {
        let ready_ns = open.ready_ns?;
        if self.role == Role::Receiver {
            return Some(ready_ns);
        }
        let its_turn = self.stream_is_whole && self.emptied.through + 1 == open.epoch;
        (well || its_turn).then(|| ready_ns.max(self.emptied_ns))
    }

    /// The frontier of `Fill`.
    fn fills(&self) -> Vec<(u64, u64)> {
        let through = self.filled.through;
        if through == 0 { Vec::new() } else { vec![(self.axis(Step::Fill), through)] }
    }

    /// What has ended when the job with this epoch has, and whether that is all.
    fn causes(&self, epoch: u64) -> (Vec<(u64, u64)>, bool) {
        let mut known = self.fills();
        known.push((self.axis(Step::Compute), epoch));
        (known, self.filled.beyond.is_empty())
    }

    fn axis(&self, step: Step) -> u64 {
        Axis::queue(0, self.role as u8, (self.first as usize / STEPS) as u8, step.queue() as u8).to_bits()
    }
}

#[cfg(test)]
mod tests;
