//! Lowering: handing a chain to the kernel whole.
//!
//! A chain is lowered in one enter or not at all. Each step keeps its own slot and completion; the engine settles them
//! in the chain's order, whatever the order of their arrival. A step that comes back short, or cancelled though nobody
//! asked, is finished or run again by the engine itself, and so are those behind it: the results are the same as if
//! nothing had been lowered.
//!
//! Success completions are never skipped: with skipping, cancelling the head of a pair posts nothing at all for its
//! follower, whose slot would never end (measured on Linux 6.18).

use super::Engine;
use super::entry::{Flags, Phase};
use super::record::NIL;
use super::settle::ECANCELED;
use crate::backend::{Capabilities, Request, SLICES_MAX, Token};
use crate::operation::chain::Lowering;
use crate::operation::kind::{Class, Flow};
use crate::resource::Lane;

/// Longer chains run step by step.
pub(super) const STEPS_MAX: usize = 64;

/// Waits on one semaphore that `Auto` lowers at most.
///
/// Measured on Linux 6.18: eight waits released together by one signal took 35 µs lowered and 42 µs portable, but
/// sixty-four took 63 against 37. In between the two are close.
pub(super) const WAITS_PER_SEMAPHORE_MAX: u32 = 16;

impl Engine {
    /// Starts a chain of two steps or more, in the kernel if it may, or by its first step.
    pub(super) fn start_chain(&mut self, head: u32) {
        let raw = self.raw(head);
        // SAFETY: the operation belongs to the engine and has not been started.
        let lowering = unsafe { raw.as_ref() }.lowering;
        self.start_chain_with(head, lowering);
    }

    pub(super) fn start_chain_with(&mut self, head: u32, lowering: Lowering) {
        if lowering != Lowering::Never && !self.closing && self.lower(head, lowering) {
            return;
        }
        self.counts.chains_portable += 1;
        self.start(head);
    }

    /// Tries to hand the chain to the kernel. `false`: nothing has happened.
    fn lower(&mut self, head: u32, lowering: Lowering) -> bool {
        let capabilities = self.backend().capabilities();
        if !capabilities.contains(Capabilities::KERNEL_CHAINS) || !self.backlog.is_empty() {
            return false;
        }
        let waits = self.table(head).class == Class::SemaphoreWait;
        if waits && !capabilities.contains(Capabilities::KERNEL_WAIT_CHAINS) {
            return false;
        }
        let first = if waits { self.entries[head as usize].next } else { head };
        if !self.collect(first) || (waits && !self.arm_gate(head, lowering)) {
            self.steps.clear();
            return false;
        }
        if waits && self.entries[head as usize].phase == Phase::Ended {
            // Reached, or failed, while it was being armed: no read. The queue tells of the wait, and then the chain
            // goes on, or is cancelled, from its second step.
            self.steps.clear();
            self.counts.chains_portable += 1;
            return true;
        }
        let steps = std::mem::take(&mut self.steps);
        // SAFETY: as in `try_issue`, for every step.
        let accepted = unsafe { self.backend_mut().start_linked(&steps) };
        self.steps = steps;
        if !accepted {
            self.steps.clear();
            if waits {
                self.give_up_gate(head);
            }
            return false;
        }
        self.enter_chain(head);
        self.counts.chains_lowered += 1;
        self.counts.waits_lowered += u64::from(waits);
        true
    }

    /// The transfer in `slot` heads its stream now, and its chain still waits for a semaphore: hands that chain to the
    /// kernel, which could not be done while others stood before it.
    pub(super) fn promote(&mut self, slot: u32) {
        let head = self.entries[slot as usize].previous;
        if head == NIL || self.closing {
            return;
        }
        let entry = &self.entries[head as usize];
        let waits = entry.phase == Phase::Semaphore && self.table(head).class == Class::SemaphoreWait;
        // Steps of a sequence do not carry its lowering.
        if !waits || entry.previous != NIL || entry.parent != NIL || entry.flags.contains(Flags::CANCEL) {
            return;
        }
        let raw = self.raw(head);
        // SAFETY: the operation belongs to the engine, and no other reference to its header exists.
        let lowering = unsafe { raw.as_ref() }.lowering;
        let capabilities = self.backend().capabilities();
        if lowering == Lowering::Never || !capabilities.contains(Capabilities::KERNEL_WAIT_CHAINS) {
            return;
        }
        if !self.suspend_wait(head) {
            return;
        }
        if self.lower(head, lowering) {
            // It was counted as portable when it was started.
            self.counts.chains_portable -= 1;
        } else {
            self.start_wait(head);
        }
    }

    /// Gathers the requests of the steps from `first` on. `false`: one of them does not qualify.
    fn collect(&mut self, first: u32) -> bool {
        self.steps.clear();
        let mut at = first;
        while at != NIL {
            let entry = &self.entries[at as usize];
            let (token, next) = (entry.token, entry.next);
            if self.steps.len() == STEPS_MAX || entry.flags.contains(Flags::CANCEL) || !self.qualifies(at, next == NIL)
            {
                return false;
            }
            let Some(request) = self.request_of_step(at) else { return false };
            // A connect that was called back after its first packet cannot be asked again: only at the head, where the
            // enter itself starts it.
            let follower = self.follows(at);
            if !self.backend().links(&request) || (follower && matches!(request, Request::Connect { .. })) {
                return false;
            }
            if let Request::SendMessage { message, .. } | Request::ReceiveMessage { message, .. } = request {
                // As many slices as one call takes may not be all: the kernel would take them for the whole.
                // SAFETY: the message lies in the operation, which is the engine's and stays where it is.
                if next != NIL && unsafe { (*message).count } >= SLICES_MAX {
                    return false;
                }
            }
            self.steps.push((token, request));
            at = next;
        }
        true
    }

    /// What the kernel is to do for a step; `None`: nothing, now.
    fn request_of_step(&self, slot: u32) -> Option<Request> {
        let table = self.table(slot);
        match (table.class, &table.adopts) {
            _ if table.bare => Some(Request::Nop),
            (Class::Immediate, Some(adopts)) => {
                // SAFETY: the operation is the engine's, and the table its own.
                unsafe { (adopts.lowered)(self.raw(slot)) }
            }
            _ => Some(self.request(slot, 0)),
        }
    }

    /// Whether a step before it goes to the kernel with it.
    fn follows(&self, slot: u32) -> bool {
        !self.steps.is_empty() || self.entries[slot as usize].previous != NIL
    }

    fn qualifies(&self, slot: u32, last: bool) -> bool {
        let table = self.table(slot);
        let lane = match table.class {
            // Without parameters, so without anything that could speak against it.
            Class::Kernel(_) if table.bare => return true,
            Class::Kernel(lane) => lane,
            // The kernel's part of it; whether there is one, the step itself says.
            Class::Immediate => return table.adopts.is_some() && self.follows(slot),
            _ => return false,
        };
        if table.multishot || table.adopts.is_some() {
            return false; // what it does is not the kernel's to do
        }
        let transfer = self.transfer(slot);
        if transfer.flow != Flow::None && !transfer.exact && !last {
            return false; // short would be a success here, and no one else would notice
        }
        if transfer.flow != Flow::None && transfer.length > crate::backend::TRANSFER_MAX {
            return false;
        }
        let Some(resource) = self.resource(slot) else { return true };
        // SAFETY: the operation holds its resource while it is in flight.
        let resource = unsafe { resource.as_ref() };
        if resource.is_closing() || (lane == Lane::Send && resource.failure().is_some()) {
            return false;
        }
        // On a stream only the chain at the head of the queue: what stood before it would run beside it.
        match self.entries[slot as usize].lane_previous {
            _ if lane == Lane::Other => true,
            NIL => true,
            before => {
                let token = self.entries[before as usize].token;
                self.steps.iter().any(|(step, _)| *step == token)
            }
        }
    }

    /// The kernel has the chain: every step stands in its lane and waits for its completion.
    fn enter_chain(&mut self, head: u32) {
        let mut at = head;
        while at != NIL {
            let table = self.table(at);
            if table.class == Class::Kernel(Lane::Other) && !table.bare {
                if let Some(resource) = self.resource(at) {
                    // SAFETY: the operation holds its resource while it is in flight.
                    self.join(at, unsafe { resource.as_ref() }, Lane::Other);
                }
            }
            self.lowered_signals += usize::from(table.class == Class::Immediate);
            let entry = &mut self.entries[at as usize];
            entry.phase = Phase::Kernel;
            entry.flags.insert(Flags::LOWERED | Flags::BY_KERNEL);
            entry.flags.set(Flags::FOLLOWER, at != head);
            at = entry.next;
        }
    }

    /// Prepends the read of a gate to the gathered steps.
    pub(super) fn prepend(&mut self, token: Token, request: Request) {
        self.steps.insert(0, (token, request));
    }

    /// Settles the result of a lowered step, or keeps it until its predecessor has ended.
    pub(super) fn settle_lowered(&mut self, slot: u32, result: i32) {
        let entry = &mut self.entries[slot as usize];
        if entry.previous != NIL {
            entry.flags.insert(Flags::HELD);
            entry.held = result;
            if entry.flags.contains(Flags::CANCEL) {
                self.leave_if_severed(slot);
            }
            return;
        }
        entry.flags.remove(Flags::LOWERED);
        if entry.flags.contains(Flags::DOOMED) && result == -ECANCELED {
            let status = self.cancelled(slot);
            self.leave_lane(slot);
            return self.finish(slot, Err(status));
        }
        let follower = entry.flags.contains(Flags::FOLLOWER);
        let class = self.table(slot).class;
        if class == Class::SemaphoreWait {
            return self.settle_gate(slot, result);
        }
        self.counts.steps_by_kernel += u64::from(result >= 0 && follower);
        if class == Class::Immediate {
            return self.settle_signal(slot, result);
        }
        self.settle(slot, result);
    }

    /// Takes the effects of the signals that the kernel has carried out, from the completions behind `from` on, before
    /// anything else is done about these: a callback, or a step that follows, finds them, as it would have if this
    /// thread had signalled. What the kernel let others see is true from then on here too.
    #[cold]
    pub(super) fn adopt_signals(&mut self, from: usize) {
        for index in from..self.queue.len() {
            let completion = self.queue[index];
            let slot = completion.token.slot();
            let Some(entry) = self.entries.get(slot) else { continue };
            let live = entry.op.is_some() && entry.token == completion.token;
            if !live || !entry.flags.contains(Flags::LOWERED) || self.table(slot).class != Class::Immediate {
                continue;
            }
            self.lowered_signals -= 1;
            if completion.result < 0 {
                continue; // severed, or refused: its turn is still to come
            }
            // The kernel comes to it only when all before it have succeeded whole.
            self.counts.signals_lowered += 1;
            if let Err(status) = self.adopt(slot, completion.result) {
                self.note(slot, status);
            }
            self.entries[slot as usize].flags.insert(Flags::ADOPTED);
        }
    }

    /// A lowered signal has its turn.
    fn settle_signal(&mut self, slot: u32, result: i32) {
        if self.entries[slot as usize].flags.contains(Flags::ADOPTED) {
            let result = match self.take_note(slot) {
                Some(status) => Err(status),
                None => Ok(result.into()),
            };
            return self.finish(slot, result);
        }
        let entry = &mut self.entries[slot as usize];
        entry.flags.remove(Flags::BY_KERNEL);
        if entry.flags.contains(Flags::DOOMED) {
            let status = self.cancelled(slot);
            return self.finish(slot, Err(status));
        }
        entry.phase = Phase::Waiting;
        // The kernel has not done it: this thread does, or ends it if it was asked to end.
        self.start(slot);
    }
}
