//! Sequences: operations made of steps.
//!
//! Every step has a slot of its own from admission on. Without a step function the steps are a chain, started as one;
//! with it they are started one by one. A step never calls its owner: its outcome stays in it, and the sequence counts.

use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr::NonNull;

use super::entry::{Flags, Phase};
use super::record::NIL;
use super::{Engine, Shared, assign_one, available};
use crate::operation::kind::{Class, Portable};
use crate::operation::op::{Header, failure};
use crate::operation::sequence::{SequenceState, Step};
use crate::status::{Code, Result, Status};

/// The state of a sequence that nothing else refers to.
///
/// # Safety
///
/// The sequence belongs to the caller (or to the engine, on its thread), and no other reference to its state is used
/// while the result is.
unsafe fn state_of<'a>(raw: NonNull<Header>) -> Option<&'a mut SequenceState> {
    // SAFETY: the caller's promise.
    match unsafe { (raw.as_ref().table.portable)(raw) } {
        // SAFETY: the caller's promise.
        Portable::Sequence(state) => Some(unsafe { &mut *state.as_ptr() }),
        _ => None,
    }
}

/// Checks the steps of a sequence that is being submitted. Answers how many slots they need.
pub(super) fn prepare(shared: &Shared, raw: NonNull<Header>, location: &'static Location<'static>) -> Result<u32> {
    // SAFETY: the sequence belongs to the list being admitted.
    let Some(state) = (unsafe { state_of(raw) }) else { return Ok(0) };
    let mut count = 0;
    for step in &state.steps {
        let mut step = step.raw();
        // SAFETY: the sequence owns its steps.
        let table = unsafe {
            let header = step.as_mut();
            header.location = location;
            (header.table.reset)(step);
            header.table
        };
        count += 1;
        if table.multishot {
            return Err(Status::new(Code::InvalidArgument, table.operation)
                .with_message("an operation with many outcomes cannot be a step"));
        }
        if table.class == Class::Sequence {
            count += prepare(shared, step, location)?;
        } else {
            available(shared, table.operation)?;
            // SAFETY: the sequence owns the step, and the table is the step's own.
            unsafe { (table.validate)(step, shared.home) }?;
            if matches!(table.class, Class::NotificationWait | Class::Relay) {
                // SAFETY: as above.
                unsafe { super::notifications::admit(shared, step) }?;
            }
        }
    }
    Ok(count)
}

/// Gives the steps of a valid sequence their slots.
pub(super) fn assign_steps(shared: &Shared, raw: NonNull<Header>, next: &mut impl FnMut() -> u32) {
    // SAFETY: the sequence belongs to the list being admitted.
    let Some(state) = (unsafe { state_of(raw) }) else { return };
    for (step, slot) in state.steps.iter().zip(&mut state.slots) {
        let step = step.raw();
        assign_one(shared, step, next);
        // SAFETY: the sequence owns its steps.
        *slot = unsafe { step.as_ref() }.token.slot();
    }
}

impl Engine {
    fn sequence<'a>(&self, slot: u32) -> Option<&'a mut SequenceState> {
        // SAFETY: the sequence is in flight, so the engine's; callers let the reference go before anything else reaches
        // for the state.
        unsafe { state_of(self.raw(slot)) }
    }

    /// Takes the steps of a sequence in, with it.
    pub(super) fn launch_steps(&mut self, slot: u32) {
        let Some(state) = self.sequence(slot) else { return };
        state.failure = None;
        state.left = state.steps.len();
        for step in &state.steps {
            let raw = step.raw();
            // SAFETY: the sequence owns its steps.
            let header = unsafe { raw.as_ref() };
            let step_slot = header.token.slot();
            self.occupy(step_slot, raw, header.token);
            self.entries[step_slot as usize].parent = slot;
            match header.table.class {
                Class::Sequence => self.launch_steps(step_slot),
                // With a step function the step may still be changed: it takes its turn when it starts.
                Class::Kernel(lane) if state.on_step.is_none() => self.reserve_turn(step_slot, lane),
                _ => {}
            }
        }
    }

    pub(super) fn start_sequence(&mut self, slot: u32) {
        self.entries[slot as usize].phase = Phase::Sequence;
        let Some(state) = self.sequence(slot) else { return };
        let (lowering, stepwise) = (state.lowering, state.on_step.is_some());
        let Some(&first) = state.slots.first() else { return self.end(slot, Ok(0)) };
        if state.parallel {
            return self.start_members(slot);
        }
        if stepwise || state.slots.len() == 1 {
            return self.start(first);
        }
        let mut previous = NIL;
        for &step in &state.slots {
            self.entries[step as usize].previous = previous;
            if previous != NIL {
                self.entries[previous as usize].next = step;
            }
            previous = step;
        }
        self.start_chain_with(first, lowering);
    }

    /// Starts all members of a group. None ends in here: ends come from the queue.
    fn start_members(&mut self, slot: u32) {
        let count = self.sequence(slot).map_or(0, |state| state.slots.len());
        for index in 0..count {
            let Some(member) = self.sequence(slot).map(|state| state.slots[index]) else { return };
            // One that was asked to end before the group had its turn ends now.
            if self.entries[member as usize].phase == Phase::Waiting {
                self.start(member);
            }
        }
    }

    /// A step of the sequence in `slot` has ended, and its outcome is in it.
    pub(super) fn step_ended(&mut self, slot: u32, failed: Option<Status>) {
        let Some(state) = self.sequence(slot) else { return };
        let completed = state.steps.len() - state.left;
        state.left -= 1;
        if state.on_step.is_none() {
            if let Some(status) = failed {
                let first = state.failure.is_none();
                if state.failure.as_ref().is_none_or(Status::is_cancelled) {
                    state.failure = Some(status);
                }
                if first && state.parallel && state.left > 0 {
                    // What the others would yield is of no use to anyone any more.
                    self.cancel_steps(slot);
                }
            }
            let Some(state) = self.sequence(slot) else { return };
            if state.left == 0 {
                let failure = state.failure.take();
                self.end_sequence(slot, failure);
            }
            return;
        }
        let failed = failed.or_else(|| self.run_step_function(slot, completed).err());
        let Some(state) = self.sequence(slot) else { return };
        if failed.is_some() || state.left == 0 {
            self.end_sequence(slot, failed);
        } else if self.entries[slot as usize].flags.contains(Flags::CANCEL) {
            // As in a chain, the next step ends cancelled, which may have an effect of its own, and the sequence by it.
            let next = state.slots[completed + 1];
            self.end_cancelled(next);
        } else {
            let next = state.slots[completed + 1];
            // The step function may have changed it since submit.
            match self.revalidate(next) {
                Ok(()) => {
                    self.counts.steps_by_poll += 1;
                    self.start(next);
                }
                Err(status) => self.end(slot, Err(status)),
            }
        }
    }

    fn revalidate(&self, slot: u32) -> Result<()> {
        let raw = self.entries[slot as usize].op.expect("an occupied slot");
        // SAFETY: the step is the sequence's, which is in flight, and it has not been started.
        unsafe { (raw.as_ref().table.validate)(raw, self.shared.home) }
    }

    fn end_sequence(&mut self, slot: u32, failed: Option<Status>) {
        match failed {
            None => self.end(slot, Ok(0)),
            Some(status) if status.is_cancelled() => self.end_cancelled(slot),
            Some(status) => self.end(slot, Err(status)),
        }
    }

    /// Calls the step function. One that panics ends its sequence, and the panic goes on.
    fn run_step_function(&mut self, slot: u32, completed: usize) -> Result<()> {
        let Some(state) = self.sequence(slot) else { return Ok(()) };
        let Some(mut on_step) = state.on_step.take() else { return Ok(()) };
        let mut step = Step { steps: &mut state.steps, completed };
        let result = catch_unwind(AssertUnwindSafe(|| on_step(&mut step)));
        state.on_step = Some(on_step);
        match result {
            Ok(result) => result,
            Err(panic) => {
                let status = failure(self.raw(slot), Code::Internal, 0).with_message("the step function panicked");
                self.end(slot, Err(status));
                resume_unwind(panic)
            }
        }
    }

    /// Asks every step that has not ended to end.
    pub(super) fn cancel_steps(&mut self, slot: u32) {
        let count = self.sequence(slot).map_or(0, |state| state.slots.len());
        for index in 0..count {
            let Some(state) = self.sequence(slot) else { return };
            let step = state.slots[index];
            let entry = &self.entries[step as usize];
            if entry.op == Some(state.steps[index].raw()) && entry.parent == slot {
                self.cancel_slot(step);
            }
        }
    }

    /// Frees the slots of steps that were never started: the sequence has ended.
    pub(super) fn release_steps(&mut self, slot: u32) {
        let Some(state) = self.sequence(slot) else { return };
        for (step, &step_slot) in state.steps.iter().zip(&state.slots) {
            let entry = &mut self.entries[step_slot as usize];
            if entry.op != Some(step.raw()) || entry.parent != slot {
                continue;
            }
            debug_assert_eq!(entry.phase, Phase::Waiting);
            let generation = entry.token.generation();
            if self.table(step_slot).class == Class::Sequence {
                self.release_steps(step_slot);
            }
            self.leave_lane(step_slot);
            self.entries[step_slot as usize].vacate();
            self.vacate(step_slot, generation);
        }
    }
}
