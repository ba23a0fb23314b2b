//! Cancel: asks an operation to end early.
//!
//! Asking never calls back and never decides: the operation ends once, by its own completion, `Cancelled` or naturally
//! if that was faster.

use super::Engine;
use super::entry::{Flags, Phase};
use super::record::NIL;
use super::settle::ECANCELED;
use crate::backend::{Token, fetch};
use crate::operation::identity::OperationId;
use crate::operation::kind::{Class, Portable};
use crate::status::{Code, Operation, Result, Status};

impl Engine {
    /// Cancels by identity. `NotFound`: it is not pending here, and no callback will come.
    #[track_caller]
    pub(crate) fn cancel(&mut self, id: OperationId) -> Result<()> {
        let slot = id.token.slot();
        // Of many that wait, nothing that the cancel, the end and the next submit look at is in a cache.
        self.rare.expect(slot);
        if let Some(slot) = self.shared.slots.find(slot) {
            fetch(slot);
        }
        let entry = self.entries.get(slot);
        let pending = entry.is_some_and(|entry| entry.op.is_some() && entry.token == id.token);
        if id.proactor != self.shared.home.proactor {
            return Err(not_pending());
        }
        if pending {
            if let Some(raw) = self.entries[slot as usize].op {
                fetch(raw.as_ptr());
                // And the kind, which lies behind.
                fetch(raw.as_ptr().wrapping_add(1));
            }
            self.cancel_slot(slot);
            return Ok(());
        }
        // Submitted from another thread and still on the way here.
        if slot & 1 == 1 && self.shared.slots.find(slot).is_some_and(|slot| slot.is_live(id.token.generation())) {
            return self.shared.cancel(id);
        }
        Err(not_pending())
    }

    /// Cancels what is in `slot`.
    pub(super) fn cancel_slot(&mut self, slot: u32) {
        if self.entries[slot as usize].flags.contains(Flags::CANCEL) {
            return;
        }
        let phase = self.entries[slot as usize].phase;
        // A timer, of which there may be many, is not looked at before it is told of its end.
        if !matches!(phase, Phase::Waiting | Phase::Timer) && self.table(slot).class == Class::Close {
            // Others have been cancelled for it, and its descriptor may have been taken out of the resource already:
            // nobody but the close itself would ever give that back.
            return;
        }
        let entry = &mut self.entries[slot as usize];
        entry.flags.insert(Flags::CANCEL);
        match entry.phase {
            // It ends when its turn comes: callbacks of a chain come in order. But it holds up no stream until then.
            Phase::Waiting => {
                self.leave_lane(slot);
                if self.table(slot).class == Class::Sequence {
                    // Its steps stand in their streams since submit.
                    self.cancel_steps(slot);
                }
            }
            Phase::Queued => {
                self.leave_lane(slot);
                self.end_cancelled(slot);
            }
            // Taken out when the backlog is worked off, which is before the next sleep.
            Phase::Backlog => {}
            // Its result is known and waits for its turn. If that says that it never began, it is out of the stream.
            Phase::Kernel if entry.flags.contains(Flags::HELD) => self.leave_if_severed(slot),
            Phase::Kernel if entry.flags.contains(Flags::LOWERED) => self.call_back(slot),
            Phase::Kernel => {
                let token = entry.token;
                self.cancel_in_backend(token);
            }
            Phase::Timer => {
                self.stop_timer(slot);
                self.end_cancelled(slot);
            }
            Phase::Semaphore => self.cancel_wait(slot),
            Phase::Frontier => self.cancel_frontier_wait(slot),
            Phase::Notification => self.cancel_notification_wait(slot),
            Phase::Starved => {
                self.leave_pool(slot);
                self.end_cancelled(slot);
            }
            Phase::Signals => self.end_signals(slot),
            Phase::Sequence => self.cancel_steps(slot),
            // An end is on its way, or comes when the outcome before it has been told.
            Phase::Closing | Phase::Ended | Phase::Rearm => {}
        }
    }

    pub(super) fn cancel_in_backend(&mut self, token: Token) {
        if !self.backend_mut().cancel(token) {
            self.cancels.push_back(token);
        }
    }

    /// Calls a lowered chain back from the kernel: its live step is cancelled there, which severs the rest. Every step
    /// returns by its own completion, and those that were not asked to end go on, one by one, from here.
    pub(super) fn call_back(&mut self, slot: u32) {
        let mut live = slot;
        while self.entries[live as usize].previous != NIL {
            live = self.entries[live as usize].previous;
        }
        if !self.entries[live as usize].flags.contains(Flags::LOWERED) {
            // Called back before, or short: the engine runs that step now, and nobody asked it to end. The kernel has
            // severed what is behind it, or runs it already.
            let token = self.entries[slot as usize].token;
            return self.cancel_in_backend(token);
        }
        // Asked of a wait alone: the kernel may be writing into an operation of another kind.
        if self.table(live).class == Class::SemaphoreWait {
            if let Portable::Wait(state) = self.portable(live) {
                // Detached first, so that no write to the gate comes later.
                // SAFETY: the wait is in flight and no other reference to its state exists.
                self.disarm(unsafe { &mut *state.as_ptr() });
            }
        }
        let entry = &self.entries[live as usize];
        if entry.phase == Phase::Kernel && !entry.flags.contains(Flags::HELD) {
            let token = entry.token;
            self.cancel_in_backend(token);
        }
    }

    /// A lowered step whose result came before its turn, and that is to end: if the kernel has not begun it, it holds
    /// up no stream any more.
    pub(super) fn leave_if_severed(&mut self, slot: u32) {
        if self.entries[slot as usize].held == -ECANCELED {
            self.leave_lane(slot);
        }
    }

    /// The backend had nothing to cancel under the token of `slot`: its completion is on the way, and the next step of
    /// its chain may have started. `again`: or it lost sight of it for a moment, and should be asked once more.
    pub(super) fn cancel_missed(&mut self, slot: u32, again: bool) {
        let entry = &self.entries[slot as usize];
        let token = entry.token;
        if again && !entry.flags.contains(Flags::HELD) && self.is_to_be_cancelled(token) {
            self.cancel_in_backend(token);
        }
        let entry = &self.entries[slot as usize];
        if !entry.flags.contains(Flags::LOWERED) || entry.next == NIL {
            return;
        }
        let next = &self.entries[entry.next as usize];
        if next.flags.contains(Flags::LOWERED) && !next.flags.contains(Flags::HELD) && next.phase == Phase::Kernel {
            let token = next.token;
            self.cancel_in_backend(token);
        }
    }
}

#[track_caller]
fn not_pending() -> Status {
    Status::new(Code::NotFound, Operation::Cancel).with_message("the operation is not pending")
}
