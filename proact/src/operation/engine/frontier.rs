//! Waits for frontiers. They are told as waits for semaphores are: by the slot's counters and the stack.

use std::sync::Arc;

use super::Engine;
use super::entry::Phase;
use super::slots::NONE;
use crate::atomic::Ordering;
use crate::operation::kind::Portable;
use crate::sync::{Party, Sink, Waiter, Watch};

impl Engine {
    /// The wait in `slot`.
    ///
    /// The reference must be gone before anything else reaches for the operation: callers use it within one function
    /// that calls nothing which does.
    fn frontier_watch<'a>(&self, slot: u32) -> Option<&'a mut Watch> {
        match self.portable(slot) {
            // SAFETY: the wait is in flight, so it stays where it is and only the engine, on this thread, reaches it.
            Portable::Frontier(state) => Some(unsafe { &mut (*state.as_ptr()).watch }),
            _ => None,
        }
    }

    pub(super) fn start_frontier_wait(&mut self, slot: u32) {
        let sink: Arc<dyn Sink> = self.shared.clone();
        let Some(watch) = self.frontier_watch(slot) else { return };
        let token = self.entries[slot as usize].token;
        let shared = self.shared.slots.get(slot);
        shared.failed.store(NONE, Ordering::Relaxed);
        shared.winner.store(NONE, Ordering::Relaxed);
        // One more than there are, so that nobody ends the wait before it stands in every line. The locks of the lines
        // publish these stores with the waiter.
        shared.left.store(watch.len() as u32 + 1, Ordering::Relaxed);
        let armed = watch.arm(|index| Party::Operation(Waiter { sink: sink.clone(), token, index }));
        match armed {
            Err(status) => self.end(slot, Err(status)),
            Ok(reached) if shared.left.fetch_sub(reached + 1, Ordering::AcqRel) == reached + 1 => {
                watch.disarm();
                self.end(slot, Ok(0));
            }
            Ok(_) => self.entries[slot as usize].phase = Phase::Frontier,
        }
    }

    /// Another thread says that something happened to the wait in `slot`.
    pub(super) fn look_at_frontier_wait(&mut self, slot: u32) {
        if self.entries[slot as usize].phase != Phase::Frontier {
            return;
        }
        let Some(watch) = self.frontier_watch(slot) else { return };
        let shared = self.shared.slots.get(slot);
        if shared.left.load(Ordering::Acquire) == 0 {
            watch.disarm();
            return self.end(slot, Ok(0));
        }
        let failed = shared.failed.load(Ordering::Acquire);
        if failed != NONE {
            let status = watch.failure(failed);
            watch.disarm();
            self.end(slot, Err(status));
        }
    }

    pub(super) fn cancel_frontier_wait(&mut self, slot: u32) {
        let Some(watch) = self.frontier_watch(slot) else { return };
        watch.disarm();
        // What was told before it was detached stands.
        if self.shared.slots.get(slot).left.load(Ordering::Acquire) == 0 {
            self.end(slot, Ok(0));
        } else {
            self.end_cancelled(slot);
        }
    }
}
