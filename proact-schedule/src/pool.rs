//! Memory that is used again as soon as that is known to be safe.
//!
//! A pool gives out blocks, by sizes that are powers of two. Each block remembers who used it: one place for each
//! in-order queue, its **death frontier** when it is released. Releasing needs no wait: it happens when the last use
//! has been submitted, long before that has run.
//!
//! Whoever acquires a block says on which queue it will be used next. The block is used again
//!
//! 1. without waiting, if all uses have ended or are implied by what that queue knows: [`Reuse::Dominated`];
//! 2. else, if the pool allows it, with the fewest barriers: [`Reuse::Waits`];
//! 3. else a larger block, if one can be used without waiting: [`Reuse::Larger`];
//! 4. else a new block is made, within the budget: [`Reuse::Grown`];
//! 5. else, where the budget allows no new one, any larger block, with barriers if it has to be.
//!
//! The answer is about cost, and not what makes reuse safe: the block's last uses stay with the new buffer, and every
//! submission that names the buffer, on whatever queue, waits for those that it does not know of.
//!
//! A block with more uses than it can remember is **tainted**: it is not used again before everything that was
//! submitted up to then has ended. After that it is as good as new.

use serde::{Deserialize, Serialize};

/// How a pool is made.
#[derive(Clone, Debug)]
#[must_use]
pub struct PoolOptions {
    pub(crate) budget_bytes: u64,
    pub(crate) waits: bool,
}

impl PoolOptions {
    /// A pool that never makes more blocks than fit into `budget_bytes`, and rather waits than makes one.
    pub const fn new(budget_bytes: u64) -> PoolOptions {
        PoolOptions { budget_bytes, waits: true }
    }

    /// Whether blocks may be used again whose next user then has to wait.
    pub const fn waits(mut self, allowed: bool) -> PoolOptions {
        self.waits = allowed;
        self
    }
}

/// Where an acquired buffer came from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Reuse {
    /// A block that can be used without waiting.
    Dominated,
    /// A block whose next user waits.
    Waits {
        /// For how many ends.
        barriers: u32,
    },
    /// A larger block than was needed, that can be used without waiting.
    Larger,
    /// A new block.
    Grown,
}

/// A buffer that was acquired.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Acquired {
    /// What submissions name it by.
    pub buffer: crate::model::BufferId,
    /// Its bytes: at least what was asked for.
    pub bytes: u64,
    /// Where it came from.
    pub reuse: Reuse,
}
