//! Semaphore waits and signals.

use std::sync::Arc;

use super::Engine;
use super::entry::Phase;
use super::lower::WAITS_PER_SEMAPHORE_MAX;
use super::settle::ECANCELED;
use super::slots::{ANY, NONE};
use crate::atomic::Ordering;
use crate::backend::Request;
use crate::causal::{Completeness, Frontier, Knowledge};
use crate::operation::chain::Lowering;
use crate::operation::kind::Portable;
use crate::operation::op::failure;
use crate::operation::semaphore::{Reached, WaitMode, WaitState};
use crate::status::Code;
use crate::sync::{Armed, Sink, Waiter};

/// What arming a wait on all its semaphores led to.
enum Outcome {
    /// It waits.
    Pending,
    /// It is over: everything, or this one, had been reached.
    Reached(usize),
    /// This one has failed.
    Failed(crate::status::Status),
    /// A semaphore's signaller, on another thread, ended it meanwhile, and told the sink.
    Told,
}

impl Engine {
    /// The state of the wait in `slot`.
    ///
    /// The reference must be gone before anything else reaches for the operation: callers use it within one expression
    /// or function that calls nothing which does.
    fn wait_state<'a>(&self, slot: u32) -> Option<&'a mut WaitState> {
        match self.portable(slot) {
            // SAFETY: the wait is in flight, so it stays where it is and only the engine, on this thread, reaches it.
            Portable::Wait(state) => Some(unsafe { &mut *state.as_ptr() }),
            _ => None,
        }
    }

    pub(super) fn start_wait(&mut self, slot: u32) {
        let sink: Arc<dyn Sink> = self.shared.clone();
        let Some(state) = self.wait_state(slot) else { return };
        match self.arm(slot, state, &sink) {
            Outcome::Pending | Outcome::Told => self.entries[slot as usize].phase = Phase::Semaphore,
            Outcome::Reached(index) => self.reached(slot, state, index),
            Outcome::Failed(status) => self.end(slot, Err(status)),
        }
    }

    /// Puts the wait into its semaphores' queues.
    fn arm(&self, slot: u32, state: &mut WaitState, sink: &Arc<dyn Sink>) -> Outcome {
        let token = self.entries[slot as usize].token;
        let shared = self.shared.slots.get(slot);
        shared.failed.store(NONE, Ordering::Relaxed);
        shared.winner.store(NONE, Ordering::Relaxed);
        let any = state.mode == WaitMode::Any;
        // One more than there are, so that no signaller ends the wait before all are armed. The semaphores' locks, or
        // their fences, publish these stores with the waiter.
        let count = if any { ANY } else { state.semaphores.len() as u32 + 1 };
        shared.left.store(count, Ordering::Relaxed);
        let mut reached = 1;
        let mut first = None;
        let mut failed = None;
        for (index, (semaphore, value)) in state.semaphores.iter().enumerate() {
            let waiter = Waiter { sink: sink.clone(), token, index: index as u32 };
            let armed = self.guarded(self.raw(slot), || Ok(semaphore.arm(*value, waiter)));
            match armed.unwrap_or_else(Armed::Failed) {
                Armed::Pending(key) => state.keys[index] = Some(key),
                Armed::Reached => {
                    reached += 1;
                    if first.is_none() {
                        first = Some(index);
                    }
                    if any {
                        break;
                    }
                }
                Armed::Failed(status) => {
                    failed.get_or_insert(status);
                    // Of a wait for any, another may have been reached.
                    if !any {
                        break;
                    }
                }
            }
        }
        if let (Some(status), None) = (failed, first.filter(|_| any)) {
            self.disarm(state);
            // Nobody is told any more. Who was told meanwhile stands.
            let told = any && shared.winner.load(Ordering::Acquire) != NONE;
            return if told { Outcome::Told } else { Outcome::Failed(status) };
        }
        if any {
            let Some(index) = first else { return Outcome::Pending };
            let won = shared.winner.compare_exchange(NONE, index as u32, Ordering::AcqRel, Ordering::Acquire).is_ok();
            return if won { Outcome::Reached(index) } else { Outcome::Told };
        }
        if shared.left.fetch_sub(reached, Ordering::AcqRel) == reached {
            return Outcome::Reached(0);
        }
        Outcome::Pending
    }

    /// Takes the wait out of every queue. Afterwards no semaphore calls for it any more.
    pub(super) fn disarm(&self, state: &mut WaitState) {
        for (key, (semaphore, _)) in state.keys.iter_mut().zip(&state.semaphores) {
            if let Some(key) = key.take() {
                semaphore.disarm(key);
            }
        }
    }

    /// Ends a wait that has been reached.
    fn reached(&mut self, slot: u32, state: &mut WaitState, index: usize) {
        self.answer(state, index);
        self.end(slot, Ok(0));
    }

    /// Takes the wait out of what queues it is still in and writes down what it yields.
    fn answer(&self, state: &mut WaitState, index: usize) {
        self.disarm(state);
        let mut causes = Knowledge::exact(Frontier::new());
        let waited = match state.mode {
            WaitMode::Any => &state.semaphores[index..=index],
            WaitMode::All => &state.semaphores[..],
        };
        for (semaphore, value) in waited {
            match semaphore.causes(*value) {
                Some(more) => causes.merge(&more),
                None => causes.completeness = Completeness::LowerBound,
            }
        }
        state.reached = Some(Reached { index, causes });
    }

    /// Another thread says that something happened to the wait in `slot`.
    pub(super) fn look_at_wait(&mut self, slot: u32) {
        let phase = self.entries[slot as usize].phase;
        if phase != Phase::Semaphore && phase != Phase::Kernel {
            return;
        }
        let Some(state) = self.wait_state(slot) else { return };
        let shared = self.shared.slots.get(slot);
        let failed = shared.failed.load(Ordering::Acquire);
        let winner = shared.winner.load(Ordering::Acquire);
        let over = match state.mode {
            WaitMode::Any => winner != NONE,
            WaitMode::All => shared.left.load(Ordering::Acquire) == 0,
        };
        if phase == Phase::Kernel {
            // Lowered: the read's result decides; a failure ends the read.
            if failed != NONE && !over {
                let status = self.semaphore_failure(slot, state, failed);
                self.note(slot, status);
                self.call_back(slot);
            }
        } else if over {
            let index = if winner == NONE { 0 } else { winner as usize };
            self.reached(slot, state, index);
        } else if failed != NONE {
            let status = self.semaphore_failure(slot, state, failed);
            self.disarm(state);
            self.end(slot, Err(status));
        }
    }

    fn semaphore_failure(&self, slot: u32, state: &WaitState, index: u32) -> crate::status::Status {
        state.semaphores[index as usize]
            .0
            .status()
            .unwrap_or_else(|| failure(self.entries[slot as usize].op.expect("in flight"), Code::Internal, 0))
    }

    /// Takes a wait out of its semaphores' queues, to be armed anew. `false`: it is over, or has failed, and is left as
    /// it is or ended.
    pub(super) fn suspend_wait(&mut self, slot: u32) -> bool {
        let Some(state) = self.wait_state(slot) else { return false };
        // Looked at first: one whose time has come is told soon, and better left alone.
        let near = state.semaphores.iter().any(|(semaphore, value)| semaphore.value() >= *value);
        if near || state.semaphores.iter().any(|(semaphore, _)| semaphore.status().is_some()) {
            return false;
        }
        self.disarm(state);
        let shared = self.shared.slots.get(slot);
        let winner = shared.winner.load(Ordering::Acquire);
        let over = match state.mode {
            WaitMode::Any => winner != NONE,
            WaitMode::All => shared.left.load(Ordering::Acquire) == 0,
        };
        if over {
            self.reached(slot, state, if winner == NONE { 0 } else { winner as usize });
            return false;
        }
        self.entries[slot as usize].phase = Phase::Waiting;
        true
    }

    pub(super) fn cancel_wait(&mut self, slot: u32) {
        let Some(state) = self.wait_state(slot) else { return };
        self.disarm(state);
        let shared = self.shared.slots.get(slot);
        // What was told before it was detached stands.
        let over = match state.mode {
            WaitMode::Any => shared.winner.load(Ordering::Acquire) != NONE,
            WaitMode::All => shared.left.load(Ordering::Acquire) == 0,
        };
        if over {
            let winner = shared.winner.load(Ordering::Acquire);
            self.reached(slot, state, if winner == NONE { 0 } else { winner as usize });
        } else {
            self.end_cancelled(slot);
        }
    }

    // Lowered waits.

    /// Arms the wait that heads a chain with a gate, and puts the gate's read before the gathered steps. `false`: not
    /// to be lowered, and nothing has happened. When the wait is over already, its phase says so.
    pub(super) fn arm_gate(&mut self, slot: u32, lowering: Lowering) -> bool {
        let Some(state) = self.wait_state(slot) else { return false };
        let Some((first, _)) = state.semaphores.first() else { return false };
        if lowering == Lowering::Auto && first.lowered_waits() >= WAITS_PER_SEMAPHORE_MAX {
            return false;
        }
        let Some(gate) = self.gates.take(&self.shared.clone()) else { return false };
        let sink: Arc<dyn Sink> = gate.clone();
        let outcome = self.arm(slot, state, &sink);
        match outcome {
            Outcome::Pending | Outcome::Told => {
                // From here a signaller may have written the gate; its read ends at once then.
                first_semaphore(state).add_lowered_wait();
                let entry = &self.entries[slot as usize];
                let request = Request::EventWait { event: gate.descriptor() };
                let token = entry.token;
                state.gate = Some(gate);
                self.prepend(token, request);
            }
            Outcome::Reached(index) => {
                // An `Any` that was won here may still have been written to by nobody: the winner alone writes.
                drop(sink);
                self.gates.put(gate);
                self.reached(slot, state, index);
            }
            Outcome::Failed(status) => {
                drop(sink);
                self.gates.discard(gate);
                self.end(slot, Err(status));
            }
        }
        true
    }

    /// The chain did not fit after all: the wait goes the portable way. If a signaller was faster, it has ended.
    pub(super) fn give_up_gate(&mut self, slot: u32) {
        let Some(state) = self.wait_state(slot) else { return };
        self.disarm(state);
        if let Some(gate) = state.gate.take() {
            first_semaphore(state).remove_lowered_wait();
            self.gates.discard(gate);
        }
    }

    /// The read of a gate has ended.
    pub(super) fn settle_gate(&mut self, slot: u32, result: i32) {
        let Some(state) = self.wait_state(slot) else { return };
        self.disarm(state);
        let shared = self.shared.slots.get(slot);
        let winner = shared.winner.load(Ordering::Acquire);
        let over = match state.mode {
            WaitMode::Any => winner != NONE,
            WaitMode::All => shared.left.load(Ordering::Acquire) == 0,
        };
        if let Some(gate) = state.gate.take() {
            first_semaphore(state).remove_lowered_wait();
            // A signal and then a cancel leaves the counter at 1: such a gate is not used again.
            if result >= 0 || !over { self.gates.put(gate) } else { self.gates.discard(gate) }
        }
        let failed = self.take_note(slot);
        let cancelled = self.entries[slot as usize].flags.contains(super::Flags::CANCEL);
        if result >= 0 {
            let index = if winner == NONE { 0 } else { winner as usize };
            self.answer(state, index);
            return self.finish(slot, Ok(0));
        }
        if result != -ECANCELED {
            let status = failure(self.raw(slot), Code::from_os_error(-result), -result);
            return self.finish(slot, Err(status));
        }
        match failed {
            _ if cancelled => {
                let status = self.cancelled(slot);
                self.finish(slot, Err(status));
            }
            Some(status) => self.finish(slot, Err(status)),
            None => {
                // Called back for the sake of a later step: waits on, from here.
                self.entries[slot as usize].flags.remove(super::Flags::BY_KERNEL);
                self.entries[slot as usize].phase = Phase::Waiting;
                self.start(slot);
            }
        }
    }
}

fn first_semaphore(state: &WaitState) -> &crate::sync::Semaphore {
    &state.semaphores[0].0
}
