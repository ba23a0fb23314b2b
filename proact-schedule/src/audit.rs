//! Proves of a recorded run that nothing was left out that was needed.
//!
//! The auditor knows nothing of frontiers. It takes what was really issued (the order of in-order queues, barriers,
//! what the host held back) and what had really ended before something was submitted, builds from that what has ended
//! before each submission began, and looks whether every producer that the submission waits for, and every earlier
//! user of its memory, is among it. It is slow and plain on purpose: it shares no code with what it checks.

use std::collections::HashMap;
use std::fmt;

use crate::record::{Event, How, Timed};

mod session;

pub use session::{SessionAudit, audit_session};

/// What an audit has proved.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Audit {
    /// Submissions that began.
    pub submissions: usize,
    /// Waits of these.
    pub waits: usize,
    /// Waits for which nothing was issued, although the value had not been reached.
    pub elided: usize,
    /// Pairs of an earlier user of a block and a later one, of another life.
    pub reuses: usize,
}

/// What is wrong with a run.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Violation {
    /// A submission began, and nothing that was issued says that this producer of what it waits for had ended.
    UnprovedWait {
        /// The submission: queue and epoch.
        submission: (u32, u64),
        /// The wait: semaphore and value.
        wait: (u32, u64),
        /// The producer: queue and epoch; `None`: somebody outside.
        producer: Option<(u32, u64)>,
    },
    /// A submission began, and nothing that was issued says that an earlier user of its memory had ended.
    UnprovedReuse {
        /// The submission: queue and epoch.
        submission: (u32, u64),
        /// The block.
        block: u32,
        /// The earlier user: queue and epoch.
        user: (u32, u64),
    },
    /// A submission began before something had ended that it had to come after.
    TooEarly {
        /// The submission: queue and epoch.
        submission: (u32, u64),
        /// What had not ended.
        before: (u32, u64),
    },
    /// Submissions that wait for each other.
    Circle,
    /// A machine took a value of another machine's semaphore for reached, and nothing that it was told says so.
    Unlearned {
        /// The machine.
        machine: u8,
        /// The semaphore, by its number in that machine's recording.
        semaphore: u32,
        /// The value.
        value: u64,
    },
    /// A message came that was not sent so, or it tells what its sender did not know.
    ForgedMessage {
        /// Whom it is from.
        from: u8,
        /// Whom it is for.
        to: u8,
        /// Its number among all from the one to the other.
        number: u64,
    },
    /// An event speaks of what no event before it has told of.
    Unknown {
        /// Which event.
        index: usize,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::UnprovedWait { submission, wait, producer } => {
                write!(f, "{submission:?} waits for {wait:?}, and nothing makes it wait for {producer:?}")
            }
            Violation::UnprovedReuse { submission, block, user } => {
                write!(f, "{submission:?} uses block {block}, and nothing makes it wait for {user:?}, which used it")
            }
            Violation::TooEarly { submission, before } => write!(f, "{submission:?} began before {before:?} had ended"),
            Violation::Circle => f.write_str("submissions wait for each other"),
            Violation::Unlearned { machine, semaphore, value } => {
                write!(f, "machine {machine} takes {value} of semaphore {semaphore} for reached, and was not told")
            }
            Violation::ForgedMessage { from, to, number } => {
                write!(f, "message {number} from machine {from} to {to} was not sent so, or tells what was not known")
            }
            Violation::Unknown { index } => write!(f, "event {index} speaks of what is not known"),
        }
    }
}

impl std::error::Error for Violation {}

/// A set of submissions.
#[derive(Clone, Default)]
struct Set(Vec<u64>);

impl Set {
    fn add(&mut self, index: usize) {
        if self.0.len() <= index / 64 {
            self.0.resize(index / 64 + 1, 0);
        }
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn has(&self, index: usize) -> bool {
        self.0.get(index / 64).is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    fn add_all(&mut self, other: &Set) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        self.0.iter_mut().zip(&other.0).for_each(|(word, more)| *word |= more);
    }
}

struct Submission {
    name: (u32, u64),
    waits: Vec<(u32, u64, How)>,
    buffers: Vec<(u32, u32)>,
    /// Those whose end was waited for directly.
    behind: Vec<usize>,
    /// What has been seen to have ended before it began.
    before: Set,
    started: Option<usize>,
    ended: Option<usize>,
}

struct Promise {
    value: u64,
    /// `None`: somebody outside.
    producer: Option<usize>,
    /// What has to end for it, if it comes from outside and says so: axes and epochs.
    needed: Vec<(u64, u64)>,
}

#[derive(Default)]
struct Semaphore {
    /// In the order in which they were made.
    promises: Vec<Promise>,
    /// When which value was reached.
    reached: Vec<(usize, u64)>,
}

#[derive(Default)]
struct Run {
    submissions: Vec<Submission>,
    index: HashMap<(u32, u64), usize>,
    /// Whether a queue is in order, and whether it keeps barriers itself.
    queues: HashMap<u32, (bool, bool)>,
    axes: HashMap<u64, u32>,
    /// How far axes of elsewhere have come, and when.
    advanced: HashMap<u32, Vec<(usize, u64)>>,
    semaphores: HashMap<u32, Semaphore>,
    ended: Set,
}

/// Proves that everything which was left out in this run was implied by what was issued.
///
/// # Errors
/// The first thing that it could not prove.
pub fn audit(events: &[Timed]) -> Result<Audit, Violation> {
    let mut run = Run::default();
    for (index, event) in events.iter().enumerate() {
        run.read(index, &event.event).ok_or(Violation::Unknown { index })?;
    }
    run.connect_host_waits();
    run.close()?;
    let mut audit = Audit::default();
    for submission in run.submissions.iter().filter(|submission| submission.started.is_some()) {
        audit.submissions += 1;
        run.prove_waits(submission, &mut audit)?;
        run.prove_order(submission)?;
    }
    run.prove_reuse(&mut audit)?;
    Ok(audit)
}

impl Run {
    fn read(&mut self, at: usize, event: &Event) -> Option<()> {
        match event {
            Event::Queue { queue, axis, in_order, keeps_barriers } => {
                self.queues.insert(*queue, (*in_order, *keeps_barriers));
                self.axes.insert(*axis, *queue);
            }
            Event::Channel { queue, axis, .. } => {
                self.queues.insert(*queue, (true, false));
                self.axes.insert(*axis, *queue);
            }
            Event::Axis { queue, axis } => _ = self.axes.insert(*axis, *queue),
            Event::Advanced { queue, epoch } => self.advanced.entry(*queue).or_default().push((at, *epoch)),
            Event::Semaphore { semaphore, initial } => {
                let mut new = Semaphore::default();
                new.reached.push((at, *initial));
                self.semaphores.insert(*semaphore, new);
            }
            Event::Submitted { queue, epoch, waits, signals, barriers, held, buffers, .. } => {
                let own = self.submissions.len();
                let &(in_order, _) = self.queues.get(queue)?;
                let mut behind = Vec::new();
                if in_order && *epoch > 1 {
                    behind.push(*self.index.get(&(*queue, epoch - 1))?);
                }
                for barrier in barriers {
                    behind.push(*self.index.get(barrier)?);
                }
                // Axes of elsewhere have no submissions here; `advanced` tells of them.
                behind.extend(held.iter().filter_map(|place| self.index.get(place)));
                for &(semaphore, value) in signals {
                    let promise = Promise { value, producer: Some(own), needed: Vec::new() };
                    self.semaphores.get_mut(&semaphore)?.promises.push(promise);
                }
                self.index.insert((*queue, *epoch), own);
                self.submissions.push(Submission {
                    name: (*queue, *epoch),
                    waits: waits.iter().map(|wait| (wait.semaphore, wait.value, wait.how)).collect(),
                    buffers: buffers.clone(),
                    behind,
                    before: self.ended.clone(),
                    started: None,
                    ended: None,
                });
            }
            Event::Promised { semaphore, value, known, exact } => {
                // What may be incomplete is no list of what has to end: then only the value itself will do.
                let needed = if *exact { known.clone() } else { Vec::new() };
                let promise = Promise { value: *value, producer: None, needed };
                self.semaphores.get_mut(semaphore)?.promises.push(promise);
            }
            Event::Started { queue, epoch } => {
                self.submissions[*self.index.get(&(*queue, *epoch))?].started = Some(at);
            }
            Event::Ended { queue, epoch, .. } => {
                let index = *self.index.get(&(*queue, *epoch))?;
                self.submissions[index].ended = Some(at);
                self.ended.add(index);
            }
            Event::Reached { semaphore, value, .. } => {
                self.semaphores.get_mut(semaphore)?.reached.push((at, *value));
            }
            _ => {}
        }
        Some(())
    }

    /// The promises that stand for a value: that of the smallest value not below it, and all before that.
    fn promises(&self, semaphore: u32, value: u64) -> &[Promise] {
        let promises = &self.semaphores[&semaphore].promises;
        let count = promises.iter().position(|promise| promise.value >= value).map_or(promises.len(), |at| at + 1);
        &promises[..count]
    }

    fn was_reached(&self, semaphore: u32, value: u64, before: usize) -> bool {
        self.semaphores[&semaphore].reached.iter().any(|&(at, reached)| at < before && reached >= value)
    }

    /// What host or kernel held back until a value was reached came after all that stand for the value. Only of what
    /// began:
    /// what failed may have been let go before.
    fn connect_host_waits(&mut self) {
        for index in 0..self.submissions.len() {
            let submission = &self.submissions[index];
            let Some(started) = submission.started else { continue };
            let mut more = Vec::new();
            for &(semaphore, value, how) in &submission.waits {
                if matches!(how, How::Deferred | How::Lowered) && self.was_reached(semaphore, value, started) {
                    more.extend(self.promises(semaphore, value).iter().filter_map(|promise| promise.producer));
                }
            }
            self.submissions[index].behind.append(&mut more);
        }
    }

    /// Whoever comes after something comes after all that this came after.
    fn close(&mut self) -> Result<(), Violation> {
        let mut left: Vec<usize> = self.submissions.iter().map(|submission| submission.behind.len()).collect();
        let mut followers = vec![Vec::new(); left.len()];
        for (index, submission) in self.submissions.iter().enumerate() {
            submission.behind.iter().for_each(|&before| followers[before].push(index));
        }
        let mut free: Vec<usize> = (0..left.len()).filter(|&index| left[index] == 0).collect();
        let mut done = 0;
        while let Some(index) = free.pop() {
            done += 1;
            // What had been seen to have ended came with all that it came after.
            let mut before = std::mem::take(&mut self.submissions[index].before);
            for &direct in &self.submissions[index].behind {
                before.add(direct);
                before.add_all(&self.submissions[direct].before);
            }
            self.submissions[index].before = before;
            for &follower in &followers[index] {
                left[follower] -= 1;
                if left[follower] == 0 {
                    free.push(follower);
                }
            }
        }
        if done == left.len() { Ok(()) } else { Err(Violation::Circle) }
    }

    fn prove_waits(&self, submission: &Submission, audit: &mut Audit) -> Result<(), Violation> {
        let started = submission.started.expect("asked of those that began");
        for &(semaphore, value, how) in &submission.waits {
            audit.waits += 1;
            audit.elided += usize::from(matches!(how, How::SameQueue | How::Implied | How::Concluded));
            let reached = self.was_reached(semaphore, value, started);
            let promises = self.promises(semaphore, value);
            let unproved =
                |producer| Violation::UnprovedWait { submission: submission.name, wait: (semaphore, value), producer };
            if promises.last().is_none_or(|last| last.value < value) && !reached {
                return Err(unproved(None));
            }
            for Promise { producer, needed, .. } in promises {
                match producer {
                    Some(producer) if submission.before.has(*producer) => {}
                    Some(producer) => return Err(unproved(Some(self.submissions[*producer].name))),
                    None if reached => {}
                    None if !needed.is_empty() && needed.iter().all(|&need| self.has_come(submission, need)) => {}
                    None => return Err(unproved(None)),
                }
            }
        }
        Ok(())
    }

    /// Whether an axis has come to an epoch before a submission began.
    fn has_come(&self, submission: &Submission, (axis, epoch): (u64, u64)) -> bool {
        let Some(queue) = self.axes.get(&axis) else { return false };
        let started = submission.started.expect("asked of those that began");
        let elsewhere = self.advanced.get(queue);
        elsewhere.is_some_and(|steps| steps.iter().any(|&(at, to)| at < started && to >= epoch))
            || (1..=epoch).all(|epoch| self.index.get(&(*queue, epoch)).is_some_and(|&at| submission.before.has(at)))
    }

    /// What was proved is also what was seen, where the scheduler itself says when something may begin.
    fn prove_order(&self, submission: &Submission) -> Result<(), Violation> {
        if self.queues[&submission.name.0].1 {
            return Ok(());
        }
        for &before in &submission.behind {
            let before = &self.submissions[before];
            if before.ended.is_none_or(|ended| Some(ended) > submission.started) {
                return Err(Violation::TooEarly { submission: submission.name, before: before.name });
            }
        }
        Ok(())
    }

    fn prove_reuse(&self, audit: &mut Audit) -> Result<(), Violation> {
        let mut users: HashMap<u32, Vec<(u32, usize)>> = HashMap::new();
        for (index, submission) in self.submissions.iter().enumerate() {
            for &(block, generation) in &submission.buffers {
                users.entry(block).or_default().push((generation, index));
            }
        }
        for (&block, users) in &users {
            for &(life, user) in users.iter().filter(|user| self.submissions[user.1].started.is_some()) {
                let submission = &self.submissions[user];
                for &(_, earlier) in users.iter().filter(|earlier| earlier.0 < life) {
                    audit.reuses += 1;
                    if !submission.before.has(earlier) {
                        let user = self.submissions[earlier].name;
                        return Err(Violation::UnprovedReuse { submission: submission.name, block, user });
                    }
                }
            }
        }
        Ok(())
    }
}
