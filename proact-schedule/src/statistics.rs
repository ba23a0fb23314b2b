//! What a scheduler counts.

use crate::model::Tier;

/// What a [`Scheduler`](crate::Scheduler) has counted since it was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Statistics {
    /// Submissions taken.
    pub submissions: u64,
    /// Submissions that ended well.
    pub completed: u64,
    /// Submissions that failed, by themselves or because of what they waited for.
    pub failed: u64,
    /// Waits by how they were resolved.
    pub waits: Waits,
    /// Barriers handed to queues, those for memory included.
    pub barriers: u64,
    /// Barriers that only the reuse of memory made necessary.
    pub memory_barriers: u64,
    /// How often a driver had to be asked whether work has ended. Only binary events have to be asked.
    pub host_queries: u64,
    /// Binary events made: one a signal, under [`Policy::Events`](crate::Policy::Events).
    pub events: u64,
    /// Semaphores made.
    pub semaphores: u64,
    /// Bytes of events: 16 each, a handle and its state.
    pub event_bytes: u64,
    /// Bytes of published frontiers: 16 an entry.
    pub frontier_bytes: u64,
    /// The most entries that a published frontier had.
    pub frontier_entries_max: u64,
    /// Frontiers that were merged in only in part, because there was no room.
    pub overflows: u64,
    /// Entries left out of a queue's knowledge because the work has ended.
    pub pruned: u64,
    /// Blocks used again without waiting for anything.
    pub reuse_hits: u64,
    /// Blocks used again whose next user has to wait.
    pub reuse_waits: u64,
    /// Larger blocks than were asked for, used again.
    pub reuse_larger: u64,
    /// Blocks that were looked at and could not be used without waiting.
    pub reuse_misses: u64,
    /// Blocks made.
    pub blocks_grown: u64,
    /// Requests for memory that went beyond the budget.
    pub exhausted: u64,
    /// Blocks that were tainted when they were freed.
    pub blocks_tainted: u64,
    /// Tainted blocks that could be used again.
    pub blocks_healed: u64,
}

/// How many waits were resolved in which way: see [`Tier`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Waits {
    /// [`Tier::Reached`].
    pub reached: u64,
    /// [`Tier::SameQueue`].
    pub same_queue: u64,
    /// [`Tier::Implied`].
    pub implied: u64,
    /// [`Tier::Producer`].
    pub producer: u64,
    /// [`Tier::Undominated`].
    pub undominated: u64,
    /// [`Tier::Deferred`].
    pub deferred: u64,
}

impl Waits {
    pub(crate) fn count(&mut self, tier: Tier) {
        let counter = match tier {
            Tier::Reached => &mut self.reached,
            Tier::SameQueue => &mut self.same_queue,
            Tier::Implied => &mut self.implied,
            Tier::Producer => &mut self.producer,
            Tier::Undominated { .. } => &mut self.undominated,
            Tier::Deferred(_) => &mut self.deferred,
        };
        *counter += 1;
    }

    /// All of them.
    pub const fn total(&self) -> u64 {
        self.reached + self.elided() + self.issued()
    }

    /// Those for which nothing was issued although the value had not been reached.
    pub const fn elided(&self) -> u64 {
        self.same_queue + self.implied
    }

    /// Those for which a queue or the host waits.
    pub const fn issued(&self) -> u64 {
        self.producer + self.undominated + self.deferred
    }
}
