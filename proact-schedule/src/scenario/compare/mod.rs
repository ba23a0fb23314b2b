//! The same submissions under binary events, timelines and frontiers, counted.
//!
//! A [`Case`] is a list of submissions in which each names everything that it uses: it waits for all that it reads, not
//! only for what somebody found out to be enough. All of it is submitted before anything runs, and then run by
//! simulated devices that take [`BARRIER_NS`] for each barrier. What differs between policies is what the scheduler
//! has to issue.
//!
//! ```
//! use proact_schedule::{Policy, scenario::compare};
//! let case = compare::cases().into_iter().find(|case| case.name == "transitive").unwrap();
//! let [events, _, frontiers] = Policy::ALL.map(|policy| case.run(policy).unwrap());
//! assert!(frontiers.waits.issued() < events.waits.issued());
//! ```

mod cases;
mod collective;
mod stage;
mod workload;

pub use cases::cases;
pub use collective::{CollectiveEntries, collective_entries};

use proact::status::Result;

use super::device::Devices;
use crate::record::{Recording, Silent};
use crate::{Policy, Waits};
use stage::Stage;
use workload::Workload;

/// What a simulated device takes to get past a barrier, in nanoseconds.
pub const BARRIER_NS: u64 = 1_000;

/// One of the comparison's cases.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number among the eight; a letter tells variants of one apart.
    pub number: &'static str,
    /// Its name.
    pub name: &'static str,
    /// What is submitted.
    pub text: &'static str,
    workload: Workload,
}

/// What came of a case under a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// How waits were resolved.
    pub policy: Policy,
    /// How many submissions there were.
    pub submissions: u64,
    /// Their waits, by how they were resolved.
    pub waits: Waits,
    /// Barriers that devices were handed, those for memory included.
    pub barriers: u64,
    /// Barriers that only the reuse of memory made necessary.
    pub memory_barriers: u64,
    /// How often a driver had to be asked whether something has ended.
    pub host_queries: u64,
    /// What was made to synchronize with: an event for each signal, or the semaphores.
    pub objects: u64,
    /// What these and their contents take: 16 bytes an event; 8 a semaphore, and 16 an entry of a published frontier.
    pub bytes: u64,
    /// Blocks used again without waiting.
    pub reuse_hits: u64,
    /// Blocks used again whose next user has to wait.
    pub reuse_waits: u64,
    /// Blocks that had to be made.
    pub blocks: u64,
    /// The most entries of a frontier.
    pub entries_max: u64,
    /// When the last submission ended, in nanoseconds of virtual time.
    pub makespan_ns: u64,
    /// How many questions were asked whether something is in the past of something else, where it is.
    pub questions: u64,
    /// How many of these could be answered from what was published.
    pub answered: u64,
}

impl Case {
    /// Runs it.
    ///
    /// # Errors
    /// None that is not a fault of the scheduler.
    pub fn run(&self, policy: Policy) -> Result<Outcome> {
        stage::run(&self.workload, policy, Silent).map(|(outcome, ..)| outcome)
    }

    /// As [`Case::run`], with a recording of all that happened.
    ///
    /// # Errors
    /// As [`Case::run`].
    pub fn recorded(&self, policy: Policy) -> Result<(Outcome, Recording)> {
        stage::run(&self.workload, policy, Recording::default()).map(|(outcome, recording, _)| (outcome, recording))
    }

    /// A scheduler of its own with everything ready to be submitted, for who measures how long that takes.
    ///
    /// # Errors
    /// As [`Case::run`].
    pub fn prepare(&self, policy: Policy) -> Result<Prepared<'_>> {
        let stage = Stage::new(&self.workload, policy, Silent)?;
        let devices = stage.devices();
        Ok(Prepared { stage, devices })
    }
}

/// A case that is ready to be submitted, again and again: each time the values of its semaphores go on.
pub struct Prepared<'a> {
    stage: Stage<'a, Silent>,
    devices: Devices,
}

impl Prepared<'_> {
    /// How many submissions there are.
    pub fn submissions(&self) -> u64 {
        self.stage.submissions()
    }

    /// Takes every step: submits, acquires and releases. Nothing runs.
    ///
    /// # Errors
    /// As [`Case::run`].
    pub fn submit(&mut self) -> Result {
        self.stage.submit()
    }

    /// Runs what was submitted.
    ///
    /// # Errors
    /// As [`Case::run`].
    pub fn run(&mut self) -> Result {
        self.devices.run(&mut self.stage.scheduler)
    }
}

#[cfg(test)]
mod tests;
