//! Receives that wait for a buffer of an empty pool.

use std::sync::Arc;

use super::entry::{Flags, Phase};
use super::{Engine, Shared};
use crate::backend::Token;
use crate::memory::{BufferPool, Starved};

/// Linux's ENOBUFS: how every backend says that a request's pool is empty.
pub(super) const ENOBUFS: i32 = 105;

impl Engine {
    /// The pool of the receive in `slot`.
    fn pool(&self, slot: u32) -> Option<BufferPool> {
        let raw = self.raw(slot);
        // SAFETY: the operation is in flight, and its table is its own.
        let pool = unsafe { (self.table(slot).pool)(raw) };
        // SAFETY: the operation holds its pool, and is only looked at.
        pool.map(|pool| unsafe { pool.as_ref() }.clone())
    }

    /// The backend found no buffer for `slot`: waits for one. `false`: that is not what its failure means.
    pub(super) fn starve(&mut self, slot: u32) -> bool {
        let Some(pool) = self.pool(slot) else { return false };
        if self.entries[slot as usize].flags.contains(Flags::CANCEL) {
            self.end_cancelled(slot);
            return true;
        }
        self.counts.starved += 1;
        let sink: Arc<dyn Starved> = self.shared.clone();
        match pool.await_buffer(self.entries[slot as usize].token, sink) {
            Some(key) => {
                self.rare(slot).starved = Some(key);
                self.entries[slot as usize].phase = Phase::Starved;
            }
            // One came back in the meantime.
            None => self.issue(slot),
        }
        true
    }

    /// A buffer has come back to the pool that `slot` waits for.
    pub(super) fn feed(&mut self, slot: u32) {
        self.leave_pool(slot);
        self.issue(slot);
    }

    /// Ends the wait for a buffer. Whoever is next in line is told, if this one had been.
    pub(super) fn leave_pool(&mut self, slot: u32) {
        if let (Some(key), Some(pool)) = (self.rare(slot).starved.take(), self.pool(slot)) {
            pool.forget(key);
        }
    }
}

impl Starved for Shared {
    fn buffer_returned(&self, token: Token) {
        // Whatever occupies the slot by now is looked at, which is harmless.
        self.stack.push_slot(&self.slots, token.slot());
        self.notify();
    }
}
