//! What few operations have beside their kind: a deadline, a scope.

use super::Engine;
use super::entry::{Flags, Phase};
use super::record::NIL;
use crate::operation::kind::Portable;
use crate::operation::op::{Extras, Header};
use crate::operation::scope::Scope;
use crate::resource::{Lane, Resource};

/// In the timers' values: the slot's deadline, not a timer's time.
pub(super) const DEADLINE: u32 = 1 << 31;

impl Engine {
    /// What the operation in `slot` has beside its kind.
    ///
    /// The reference must be gone before anything else reaches for the operation.
    fn extras<'a>(&self, slot: u32) -> Option<&'a mut Extras> {
        // SAFETY: the operation in flight is the engine's, and no request points into its header.
        unsafe { (*self.raw(slot).as_ptr()).extras.as_deref_mut() }
    }

    fn scope(&self, slot: u32) -> Option<Scope> {
        self.extras(slot)?.scope.clone()
    }

    /// Sets the deadline of an operation that is taken in, and puts it into its scope.
    #[cold]
    pub(super) fn attach_extras(&mut self, slot: u32) {
        let Some(extras) = self.extras(slot) else { return };
        let (deadline, scope) = (extras.deadline, extras.scope.clone());
        if deadline.is_none() && scope.is_none() {
            return;
        }
        self.entries[slot as usize].flags.insert(Flags::EXTRAS);
        self.rare(slot);
        if let Some(deadline) = deadline {
            self.rare[slot as usize].deadline = Some(self.timers.insert(deadline, slot | DEADLINE));
        }
        if let Some(scope) = scope {
            let head = scope.head();
            self.rare[slot as usize].scope_previous = NIL;
            self.rare[slot as usize].scope_next = head;
            if head != NIL {
                self.rare[head as usize].scope_previous = slot;
            }
            scope.set_head(slot);
            if scope.is_cancelled() {
                self.cancel_slot(slot);
            }
        }
    }

    /// The operation in `slot` ends: nothing may look for it any more.
    #[cold]
    pub(super) fn detach_extras(&mut self, slot: u32) {
        if self.entries[slot as usize].flags.contains(Flags::OBSERVES) {
            self.end_observation(slot);
        }
        if let Some(key) = self.rare.get_mut(slot).and_then(|rare| rare.deadline.take()) {
            self.timers.remove(key);
            self.drop_vacant();
        }
        self.leave_scope(slot);
        if let Some(extras) = self.extras(slot) {
            extras.deadline = None;
        }
    }

    /// Takes `slot` out of its scope. Cancels that waited for the scope to be empty go on, if it was the last.
    fn leave_scope(&mut self, slot: u32) {
        let Some(scope) = self.extras(slot).and_then(|extras| extras.scope.take()) else { return };
        let rare = &self.rare[slot as usize];
        let (previous, next) = (rare.scope_previous, rare.scope_next);
        match previous {
            NIL => scope.set_head(next),
            previous => self.rare[previous as usize].scope_next = next,
        }
        if next != NIL {
            self.rare[next as usize].scope_previous = previous;
        }
        if scope.head() == NIL {
            let mut waiting = scope.waiting();
            scope.set_waiting(NIL);
            while waiting != NIL {
                let entry = &self.entries[waiting as usize];
                let (at, count) = (waiting, entry.progress);
                waiting = entry.lane_next;
                self.end(at, Ok(count as i32));
            }
        }
    }

    /// The deadline of `slot` has come.
    pub(super) fn expire(&mut self, slot: u32) {
        self.rare[slot as usize].deadline = None;
        let entry = &mut self.entries[slot as usize];
        if !entry.flags.contains(Flags::CANCEL) {
            entry.flags.insert(Flags::EXPIRED);
            self.cancel_slot(slot);
        }
    }

    /// A cancel of many has its turn.
    pub(super) fn start_cancel(&mut self, slot: u32) {
        if let Some(resource) = self.resource(slot) {
            // SAFETY: the operation holds the resource while it is in flight.
            let count = self.cancel_resource(unsafe { resource.as_ref() });
            return self.end(slot, Ok(count as i32));
        }
        let Portable::Cancel(state) = self.portable(slot) else { return };
        // SAFETY: the operation is in flight and nothing else refers to its state.
        let Some(scope) = unsafe { state.as_ref() }.scope.clone() else { return };
        // Neither it nor what cannot end before it has may be waited for.
        self.leave_scope_if(slot, &scope);
        let count = self.cancel_scope(&scope);
        self.excuse_followers(slot, &scope);
        if scope.head() == NIL {
            return self.end(slot, Ok(count as i32));
        }
        let entry = &mut self.entries[slot as usize];
        entry.phase = Phase::Closing;
        entry.progress = count;
        entry.lane_next = scope.waiting();
        scope.set_waiting(slot);
    }

    fn leave_scope_if(&mut self, slot: u32, scope: &Scope) {
        if self.scope(slot).is_some_and(|own| own.is(scope)) {
            self.leave_scope(slot);
        }
    }

    /// Takes out of `scope` the operations that end only after `slot` has: those behind it in its chain, the sequences
    /// it is a step of, and those behind these. They have been cancelled.
    fn excuse_followers(&mut self, slot: u32, scope: &Scope) {
        let mut at = slot;
        loop {
            let mut next = self.entries[at as usize].next;
            while next != NIL {
                self.leave_scope_if(next, scope);
                next = self.entries[next as usize].next;
            }
            at = self.entries[at as usize].parent;
            if at == NIL {
                return;
            }
            self.leave_scope_if(at, scope);
        }
    }

    /// Cancels everything in flight on `resource`. Answers how many operations that were.
    pub(crate) fn cancel_resource(&mut self, resource: &Resource) -> usize {
        let mut count = 0;
        for lane in [Lane::Send, Lane::Receive, Lane::Other] {
            let mut at = self.lane_head(resource, lane);
            while at != NIL {
                // One that is only waiting leaves the lane by being cancelled.
                let next = self.entries[at as usize].lane_next;
                count += usize::from(!self.entries[at as usize].flags.contains(Flags::CANCEL));
                self.cancel_slot(at);
                at = next;
            }
        }
        count
    }

    /// Cancels everything in `scope`, for good. Answers how many operations that were.
    pub(crate) fn cancel_scope(&mut self, scope: &Scope) -> usize {
        scope.cancel();
        let mut count = 0;
        let mut at = scope.head();
        while at != NIL {
            // A cancel takes no one out of a scope: only an end does, and ends come from the queue.
            let next = self.rare[at as usize].scope_next;
            count += usize::from(!self.entries[at as usize].flags.contains(Flags::CANCEL));
            self.cancel_slot(at);
            at = next;
        }
        count
    }
}

/// Whether the extras of a batch's operation are of this proactor.
pub(super) fn check(header: &Header, home: crate::resource::Home) -> crate::status::Result<()> {
    use crate::status::{Code, Status};
    match header.extras.as_ref().and_then(|extras| extras.scope.as_ref()) {
        Some(scope) if !scope.is_at(home) => Err(Status::new(Code::InvalidArgument, header.table.operation)
            .with_message("the scope belongs to another proactor")),
        _ => Ok(()),
    }
}
