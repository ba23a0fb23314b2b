//! How schedulers and queues are made.

use proact::causal::{Axis, Frontier};

/// How waits are resolved: what synchronization there is to make use of.
///
/// All three keep the same order and have the same outcomes. They differ in what has to be issued for it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Policy {
    /// Binary events, as of streams: each signal makes an event, each wait for another queue's work is a wait for an
    /// event, and whether work has ended is asked event by event.
    Events,
    /// Timeline semaphores: each wait for another queue's work is a wait for a value; a value can be read without
    /// asking a driver. Nothing is known beyond it.
    Timelines,
    /// Timeline semaphores with frontiers: a wait that is implied by an earlier one is left out.
    #[default]
    Frontiers,
}

impl Policy {
    /// All of them.
    pub const ALL: [Policy; 3] = [Policy::Events, Policy::Timelines, Policy::Frontiers];

    /// The policy's name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Policy::Events => "events",
            Policy::Timelines => "timelines",
            Policy::Frontiers => "frontiers",
        }
    }
}

/// In which order a queue runs what was submitted to it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Order {
    /// One after another: each begins after the one before has ended.
    InOrder,
    /// As soon as its own waits are over, in any order and at the same time.
    Overlapping,
}

/// When a queue is handed its work.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Handover {
    /// When nothing is left to wait for: for who cannot wait itself, such as threads and proactors.
    Ready,
    /// As soon as the host has nothing more to wait for, with a list of barriers that the queue itself keeps: for
    /// devices. An in-order queue is handed its work in order, and begins it in that order.
    Issued,
}

/// What a queue is made with.
#[derive(Clone, Debug)]
#[must_use]
pub struct QueueOptions {
    pub(crate) axis: Axis,
    pub(crate) order: Order,
    pub(crate) handover: Handover,
    pub(crate) exportable: bool,
}

impl QueueOptions {
    /// A queue whose progress is `axis`.
    pub const fn new(axis: Axis, order: Order) -> QueueOptions {
        QueueOptions { axis, order, handover: Handover::Ready, exportable: true }
    }

    /// A queue that runs its work one after another.
    pub const fn in_order(axis: Axis) -> QueueOptions {
        QueueOptions::new(axis, Order::InOrder)
    }

    /// A queue that runs its work as it becomes ready.
    pub const fn overlapping(axis: Axis) -> QueueOptions {
        QueueOptions::new(axis, Order::Overlapping)
    }

    /// When it is handed its work; [`Handover::Ready`] unless told.
    pub const fn handover(mut self, handover: Handover) -> QueueOptions {
        self.handover = handover;
        self
    }

    /// Says that no device can wait for this queue's progress: barriers on it are kept by the host.
    pub const fn unexportable(mut self) -> QueueOptions {
        self.exportable = false;
        self
    }
}

/// What a scheduler is made with.
#[derive(Clone, Debug)]
#[must_use]
pub struct SchedulerOptions {
    pub(crate) policy: Policy,
    pub(crate) capacity: usize,
    pub(crate) pruning: bool,
    pub(crate) history: usize,
}

impl SchedulerOptions {
    /// How many entries a queue's knowledge has at most, unless told.
    pub const CAPACITY_DEFAULT: usize = 64;

    /// Frontiers of at most [`SchedulerOptions::CAPACITY_DEFAULT`] entries, pruned, and 16 values of history.
    pub const fn new() -> SchedulerOptions {
        let capacity = SchedulerOptions::CAPACITY_DEFAULT;
        SchedulerOptions { policy: Policy::Frontiers, capacity, pruning: true, history: 16 }
    }

    /// How waits are resolved.
    pub const fn policy(mut self, policy: Policy) -> SchedulerOptions {
        self.policy = policy;
        self
    }

    /// How many entries a queue's knowledge has at most, itself not counted; [`Frontier::ENTRIES_MAX`] less one at the
    /// very most. What does not fit is not known: the waits that it would have spared are issued.
    pub const fn capacity(mut self, entries: usize) -> SchedulerOptions {
        let most = Frontier::ENTRIES_MAX - 1;
        self.capacity = if entries < most { entries } else { most };
        self
    }

    /// Whether entries of work that has ended are left out of frontiers. Without it frontiers grow with every axis that
    /// a queue has ever heard of; for who wants to see whole histories.
    pub const fn pruning(mut self, pruning: bool) -> SchedulerOptions {
        self.pruning = pruning;
        self
    }

    /// Of how many values that were reached a semaphore remembers the causes.
    pub const fn history(mut self, values: usize) -> SchedulerOptions {
        self.history = values;
        self
    }
}

impl Default for SchedulerOptions {
    fn default() -> SchedulerOptions {
        SchedulerOptions::new()
    }
}
