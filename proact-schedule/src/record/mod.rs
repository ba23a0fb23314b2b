//! What happened in a scheduler, as plain data.

use proact::causal::Frontier;
use serde::{Deserialize, Serialize};

mod chrome;
mod json;
mod message;

pub use chrome::write_session;
pub use json::{OLDEST, ReadError, VERSION};
pub use message::{MessageKind, Signal};

use crate::model::{Deferral, Resolution, Tier};
use crate::pool::Reuse;

/// Who is told what happens in a [`Scheduler`](crate::Scheduler).
pub trait Recorder {
    /// Whether it wants to be told. If not, events are not even made: it costs nothing.
    const ENABLED: bool;

    /// Something has happened.
    fn record(&mut self, event: Event);
}

/// Is told nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Recorder for Silent {
    const ENABLED: bool = false;

    fn record(&mut self, _: Event) {}
}

/// Keeps all events, with the time that it was told last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recording {
    /// The events, in the order in which they happened.
    pub events: Vec<Timed>,
    /// What the next events are stamped with, in nanoseconds; set by whoever knows the time.
    pub now_ns: u64,
}

/// An event and when it happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Timed {
    /// Nanoseconds, on the clock of whoever set [`Recording::now_ns`].
    pub at_ns: u64,
    /// What happened.
    pub event: Event,
}

impl Recorder for Recording {
    const ENABLED: bool = true;

    fn record(&mut self, event: Event) {
        self.events.push(Timed { at_ns: self.now_ns, event });
    }
}

/// The entries of a frontier: an axis in its 64 bits, and its epoch.
pub type Entries = Vec<(u64, u64)>;

pub(crate) fn entries(frontier: &Frontier) -> Entries {
    frontier.entries().iter().map(|entry| (entry.axis.to_bits(), entry.epoch)).collect()
}

/// A wait of a submission.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Wait {
    /// The semaphore's number.
    pub semaphore: u32,
    /// The value.
    pub value: u64,
    /// How it was resolved.
    pub how: How,
}

/// How a wait was resolved: a [`Tier`], without its particulars.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// The value had been reached.
    Reached,
    /// The producer stood before it on the same in-order queue.
    SameQueue,
    /// Elided.
    Implied,
    /// One barrier.
    Producer,
    /// Barriers on several axes.
    Undominated,
    /// The host waits for the value.
    Deferred,
    /// The host waits for the ends that devices cannot wait for.
    Held,
    /// The kernel waited for the value: it was handed the wait, linked to what follows.
    Lowered,
    /// Another machine, which owns the semaphore, told that the value was reached.
    Told,
    /// Nobody told of the value: what some machine knew implied it. Elided.
    Concluded,
}

impl Wait {
    pub(crate) fn of(resolution: &Resolution) -> Wait {
        let how = match resolution.tier {
            Tier::Reached => How::Reached,
            Tier::SameQueue => How::SameQueue,
            Tier::Implied => How::Implied,
            Tier::Producer => How::Producer,
            Tier::Undominated { .. } => How::Undominated,
            Tier::Deferred(Deferral::Unexportable) => How::Held,
            Tier::Deferred(_) => How::Deferred,
        };
        Wait { semaphore: resolution.wait.semaphore.0, value: resolution.wait.value, how }
    }
}

/// Something that has happened. Queues, semaphores and blocks are told by their numbers, submissions by queue and
/// epoch.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Event {
    /// A queue was added.
    Queue {
        /// Its number.
        queue: u32,
        /// Its axis, in 64 bits.
        #[serde(with = "json::axis")]
        #[cfg_attr(test, schemars(with = "String", regex(pattern = "^0x[0-9a-f]{16}$")))]
        axis: u64,
        /// Whether it runs one after another.
        in_order: bool,
        /// Whether it is handed work before its barriers have been passed, and keeps them itself.
        keeps_barriers: bool,
    },
    /// An axis of elsewhere was added; it is numbered like a queue.
    Axis {
        /// Its number.
        queue: u32,
        /// The axis, in 64 bits.
        #[serde(with = "json::axis")]
        #[cfg_attr(test, schemars(with = "String", regex(pattern = "^0x[0-9a-f]{16}$")))]
        axis: u64,
    },
    /// A collective channel was added; it is numbered like a queue.
    Channel {
        /// Its number.
        queue: u32,
        /// The axis, in 64 bits.
        #[serde(with = "json::axis")]
        #[cfg_attr(test, schemars(with = "String", regex(pattern = "^0x[0-9a-f]{16}$")))]
        axis: u64,
        /// The queues whose contributions it waits for.
        members: Vec<u32>,
    },
    /// A semaphore was added.
    Semaphore {
        /// Its number.
        semaphore: u32,
        /// The value that it had.
        initial: u64,
    },
    /// A submission was taken.
    Submitted {
        /// Where it runs.
        queue: u32,
        /// Its epoch.
        epoch: u64,
        /// Its waits, and how they were resolved.
        waits: Vec<Wait>,
        /// What it promises: semaphores and values.
        signals: Vec<(u32, u64)>,
        /// What the queue must see ended first: queues and epochs.
        barriers: Vec<(u32, u64)>,
        /// What the host itself waits for, because no device can: queues and epochs.
        held: Vec<(u32, u64)>,
        /// The memory that it touches: blocks and their generations.
        buffers: Vec<(u32, u32)>,
        /// What is known to have ended before it begins, its own queue left out.
        #[serde(with = "json::known")]
        #[cfg_attr(test, schemars(with = "Vec<(String, u64)>"))]
        known: Entries,
    },
    /// Work was handed to who runs it.
    Started {
        /// Where it runs.
        queue: u32,
        /// Its epoch.
        epoch: u64,
    },
    /// A submission has ended.
    Ended {
        /// Where it ran.
        queue: u32,
        /// Its epoch.
        epoch: u64,
        /// Why it failed, if it did.
        failure: Option<String>,
    },
    /// A semaphore has reached a value.
    Reached {
        /// Its number.
        semaphore: u32,
        /// The value.
        value: u64,
        /// What caused it.
        #[serde(with = "json::known")]
        #[cfg_attr(test, schemars(with = "Vec<(String, u64)>"))]
        known: Entries,
        /// Whether that is all.
        exact: bool,
    },
    /// A semaphore has failed.
    Failed {
        /// Its number.
        semaphore: u32,
        /// Why.
        status: String,
        /// The submission whose failure it was.
        origin: Option<(u32, u64)>,
    },
    /// Somebody outside has promised, or signalled, a value.
    Promised {
        /// The semaphore's number.
        semaphore: u32,
        /// The value.
        value: u64,
        /// What causes it.
        #[serde(with = "json::known")]
        #[cfg_attr(test, schemars(with = "Vec<(String, u64)>"))]
        known: Entries,
        /// Whether that is all.
        exact: bool,
    },
    /// A buffer was acquired: a block begins another life.
    Acquired {
        /// The block's number.
        block: u32,
        /// Which of its lives it is.
        generation: u32,
        /// The queue that will use it next.
        queue: u32,
        /// Its bytes.
        bytes: u64,
        /// Where it came from.
        reuse: Reuse,
    },
    /// A buffer was released.
    Released {
        /// The block's number.
        block: u32,
        /// Which of its lives has come to its end.
        generation: u32,
        /// Who used it: queues and epochs.
        uses: Vec<(u32, u64)>,
    },
    /// An axis of elsewhere has come to an epoch.
    Advanced {
        /// Its number.
        queue: u32,
        /// The epoch.
        epoch: u64,
    },
    /// What people call a queue, or a submission to it.
    Name {
        /// The queue's number.
        queue: u32,
        /// The submission's epoch; `None`: the queue itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
        /// The name.
        name: String,
    },
    /// A machine of the session: whose recording this is, or another one.
    Machine {
        /// Its index.
        machine: u8,
        /// What it is called.
        name: String,
        /// Whether the recording is its own.
        own: bool,
    },
    /// A machine is out of the session for good.
    Lost {
        /// Its index.
        machine: u8,
        /// Why.
        why: String,
    },
    /// What a semaphore is called in the whole session; its name has three parts.
    Shared {
        /// Its number in this recording.
        semaphore: u32,
        /// The machine whose work signals it.
        owner: u8,
        /// The machine that named it.
        client: u8,
        /// That machine's number for it.
        number: u64,
    },
    /// A message was handed to the transport.
    Sent {
        /// The machine that it is for.
        to: u8,
        /// Its number among all from this machine to that one, from 1 on.
        number: u64,
        /// What it is.
        kind: MessageKind,
        /// Its bytes, head included.
        bytes: u64,
        /// What it tells, if it is a signal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<Signal>,
    },
    /// A message has come. One that was sent and does not come is lost.
    Got {
        /// The machine that sent it.
        from: u8,
        /// Its number among all from that machine to this one.
        number: u64,
        /// What it is.
        kind: MessageKind,
        /// What it tells, if it is a signal.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<Signal>,
    },
    /// A message was not sent, because the machine that it is for is lost.
    Unsent {
        /// The machine.
        to: u8,
        /// What it would have been.
        kind: MessageKind,
    },
}
