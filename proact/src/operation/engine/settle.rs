//! From a completion to the callback: settle, continue, deliver.

use std::ptr::NonNull;

use super::entry::{Flags, Phase};
use super::record::{Left, NIL};
use super::starved::ENOBUFS;
use super::{BY_ENGINE, Engine};
use crate::backend::{Completion, flags, role};
use crate::operation::context::Context;
use crate::operation::kind::{Class, Flow};
use crate::operation::op::{Ended, Header, Marks, Vtable, failure};
use crate::operation::pooled::{BUFFER_SHIFT, BUFFERED};
use crate::resource::Lane;
use crate::status::{Code, Result, Status};

/// Linux's ECANCELED; every backend reports a cancelled request as its negation.
pub(super) const ECANCELED: i32 = 125;

/// What is still to be done about an operation whose slot is free.
struct Gone {
    raw: NonNull<Header>,
    table: &'static Vtable,
    next: u32,
    parent: u32,
    flags: Flags,
    moved: usize,
}

impl Gone {
    #[inline(always)]
    fn ended(&self, result: Result<i64>) -> Ended {
        Ended { result, moved: self.moved, marks: self.flags.marks() }
    }
}

impl Engine {
    /// Takes one completion off the queue's front and does all that follows from it.
    #[inline(always)]
    pub(super) fn dispatch(&mut self, completion: Completion) {
        let slot = completion.token.slot();
        let token = completion.token.with_role(role::OPERATION);
        // A late or extra completion finds no one.
        let Some(entry) = self.entries.get_mut(slot) else { return };
        if entry.op.is_none() || entry.token != token {
            return;
        }
        if completion.token == token && completion.flags == 0 && completion.result >= 0 && entry.stands_alone() {
            return self.succeed_alone(slot, completion.result.into());
        }
        if completion.token.role() == role::CANCEL_MISSED {
            return self.cancel_missed(slot, completion.flags & flags::MORE != 0);
        }
        if completion.flags != 0 {
            return self.dispatch_flagged(slot, completion);
        }
        if entry.phase != Phase::Kernel {
            debug_assert!(false, "a completion for slot {slot} in phase {:?}", entry.phase);
            return;
        }
        if entry.flags.intersects(Flags::LOWERED | Flags::OBSERVES) {
            self.settle_flagged(slot, completion.result);
        } else {
            self.settle(slot, completion.result);
        }
    }

    /// [`Engine::settle`] of what has a way of its own.
    fn settle_flagged(&mut self, slot: u32, result: i32) {
        if self.entries[slot as usize].flags.contains(Flags::LOWERED) {
            self.settle_lowered(slot, result);
        } else {
            self.settle_observer(slot, result);
        }
    }

    /// [`Engine::dispatch`] of a completion that says more than its result.
    #[inline(never)]
    fn dispatch_flagged(&mut self, slot: u32, completion: Completion) {
        let more = completion.flags & flags::MORE != 0;
        let multishot = self.table(slot).multishot;
        let entry = &mut self.entries[slot as usize];
        if completion.flags & BY_ENGINE != 0 {
            if more {
                return self.deliver_more(slot, completion.result.into());
            }
            debug_assert_eq!(entry.phase, Phase::Ended);
            let result = match self.take_note(slot) {
                Some(status) => Err(status),
                None if completion.result == -ECANCELED => Err(self.cancelled(slot)),
                None => Ok(completion.result.into()),
            };
            return self.finish(slot, result);
        }
        if entry.phase != Phase::Kernel {
            debug_assert!(false, "a completion for slot {slot} in phase {:?}", entry.phase);
            return;
        }
        if entry.flags.contains(Flags::ENDING) {
            // Of one that goes on it is too late; without MORE the backend is done with it.
            if !more {
                self.settle(slot, completion.result);
            }
            return;
        }
        if completion.flags & flags::ZERO_COPY != 0 {
            entry.flags.insert(Flags::ZERO_COPY);
        }
        if let Some(buffer) = completion.buffer() {
            let value = i64::from(completion.result) | i64::from(buffer) << BUFFER_SHIFT | BUFFERED;
            return self.settle_pooled(slot, completion.result, value, more);
        }
        if more && multishot {
            return self.settle_more(slot, completion.result);
        }
        if more {
            return self.sent(slot, completion.result);
        }
        if entry.flags.intersects(Flags::LOWERED | Flags::OBSERVES) {
            return self.settle_flagged(slot, completion.result);
        }
        self.settle(slot, completion.result);
    }

    /// The backend has told an outcome of a multishot operation, and goes on.
    fn settle_more(&mut self, slot: u32, result: i32) {
        if result < 0 {
            debug_assert!(false, "a failure that goes on");
            return;
        }
        if let Err(status) = self.adopt(slot, result) {
            self.note(slot, status);
            return self.call_off(slot);
        }
        let raw = self.raw(slot);
        // SAFETY: the operation is in flight, and its table is its own.
        if unsafe { (self.table(slot).is_last)(raw, result.into()) } {
            self.entries[slot as usize].held = result;
            return self.call_off(slot);
        }
        self.count_bytes(slot, result);
        self.deliver_more(slot, result.into());
    }

    /// The last outcome of a multishot operation is known: it is told when the backend, which goes on, has ended it.
    #[cold]
    fn call_off(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        entry.flags.insert(Flags::ENDING);
        let token = entry.token;
        self.cancel_in_backend(token);
    }

    /// The backend has ended what was called off.
    #[cold]
    fn settle_called_off(&mut self, slot: u32) {
        let value = i64::from(self.entries[slot as usize].held);
        match self.take_note(slot) {
            Some(status) => self.fail(slot, status),
            None => self.succeed(slot, value),
        }
    }

    /// One outcome of a multishot operation, which has not ended by that.
    fn deliver_more(&mut self, slot: u32, value: i64) {
        let raw = self.raw(slot);
        let table = self.table(slot);
        let marks = self.entries[slot as usize].flags.marks();
        let moved = if self.transfer(slot).flow == Flow::None { 0 } else { value as u32 as usize };
        let ended = Ended { result: Ok(value), moved, marks };
        // SAFETY: the operation is in flight, and its table is its own; it looks at the operation, and nothing here
        // changes it meanwhile.
        unsafe { (table.more)(raw, ended, &mut Context { engine: self }) };
    }

    /// Settles a receive into a buffer that the backend took: `value` names it.
    fn settle_pooled(&mut self, slot: u32, result: i32, value: i64, more: bool) {
        self.count_bytes(slot, result);
        if more {
            self.deliver_more(slot, value);
        } else if self.table(slot).multishot {
            self.settle_multishot(slot, value);
        } else {
            self.entries[slot as usize].progress = result as usize;
            self.succeed(slot, value);
        }
    }

    fn count_bytes(&mut self, slot: u32, result: i32) {
        let flow = self.transfer(slot).flow;
        if flow != Flow::None {
            self.counts.bytes[flow as usize - 1] += result as u64;
        }
    }

    /// The backend has told an outcome of a multishot operation and nothing of a next one.
    pub(super) fn settle_multishot(&mut self, slot: u32, value: i64) {
        let raw = self.raw(slot);
        // SAFETY: the operation is in flight, and its table is its own.
        if unsafe { (self.table(slot).is_last)(raw, value) } {
            return self.succeed(slot, value);
        }
        self.entries[slot as usize].phase = Phase::Rearm;
        self.rearms.push(slot);
        self.deliver_more(slot, value);
        // Not reached when the callback panics: the next pass asks again then.
        if self.rearms.pop().is_some() {
            self.rearm(slot);
        }
    }

    /// Asks for the next outcome of a multishot operation, unless it is to end.
    pub(super) fn rearm(&mut self, slot: u32) {
        debug_assert_eq!(self.entries[slot as usize].phase, Phase::Rearm);
        if self.entries[slot as usize].flags.contains(Flags::CANCEL) {
            return self.end_cancelled(slot);
        }
        self.issue(slot);
    }

    /// The bytes of a send are on their way, in order: whoever stands behind it in its stream may go. Its memory is
    /// still read, and only the completion to come ends it. A short one keeps its place: the rest of it goes next.
    fn sent(&mut self, slot: u32, result: i32) {
        let whole = result >= 0 && {
            let transfer = self.transfer(slot);
            !transfer.exact || self.entries[slot as usize].progress + result as usize >= transfer.length
        };
        let entry = &mut self.entries[slot as usize];
        // A lowered one goes by its chain's order, and those behind it in the stream with it.
        if !whole || entry.flags.intersects(Flags::LOWERED | Flags::SENT) || entry.record == NIL {
            return;
        }
        entry.flags.insert(Flags::SENT);
        if let Some(next) = self.step_aside(slot) {
            self.start_queued(next);
        }
    }

    /// Settles a result of an operation that stands alone, or whose predecessors have all ended.
    ///
    /// Success stays a number in a register all the way to the callback, and a failure goes its own way: a `Result`
    /// that is passed through several functions is copied byte-wise and read again word-wise, and each such read waits
    /// for the writes before it (measured: a third of the whole way of a nop).
    #[inline(always)]
    pub(super) fn settle(&mut self, slot: u32, result: i32) {
        if result < 0 {
            return self.settle_error(slot, result);
        }
        // Whatever moves bytes moves them to or from a resource, and stands in its record until it has ended.
        if self.entries[slot as usize].record == NIL {
            debug_assert_eq!(self.transfer(slot).flow, Flow::None);
            return self.succeed(slot, result.into());
        }
        self.settle_count(slot, result);
    }

    /// The backend says that an operation failed.
    #[cold]
    fn settle_error(&mut self, slot: u32, result: i32) {
        if self.entries[slot as usize].flags.contains(Flags::ENDING) {
            return self.settle_called_off(slot);
        }
        if result == -ENOBUFS && self.starve(slot) {
            return;
        }
        if result != -ECANCELED {
            let status = failure(self.raw(slot), Code::from_os_error(-result), -result);
            return self.fail(slot, status);
        }
        let entry = &mut self.entries[slot as usize];
        if !entry.flags.contains(Flags::CANCEL) {
            // Nobody asked for this end, and nothing has happened by it. A chain was called back, or severed by a step
            // that the engine finishes itself; the kernel had no room for another of many outcomes, and gave the rest
            // up; or it could not start a thread to carry the request out (signals interrupt that, and after three
            // tries it gives up what waits: io-wq, Linux 6.18).
            entry.flags.remove(Flags::BY_KERNEL);
            return self.issue(slot);
        }
        let status = self.cancelled(slot);
        self.fail(slot, status);
    }

    /// The result may be a count of bytes: an exact transfer that came short goes on.
    fn settle_count(&mut self, slot: u32, result: i32) {
        if self.entries[slot as usize].flags.contains(Flags::ENDING) {
            return self.settle_called_off(slot);
        }
        let result = match self.table(slot).adopts {
            None => result,
            Some(_) => match self.adopt(slot, result) {
                Ok(result) => result,
                Err(status) => return self.fail(slot, status),
            },
        };
        if result == 0 && self.transfer(slot).length > 0 {
            if let Some(status) = self.kept_failure(slot) {
                return self.fail(slot, status);
            }
        }
        if self.table(slot).multishot {
            self.count_bytes(slot, result);
            return self.settle_multishot(slot, result.into());
        }
        let transfer = self.transfer(slot);
        if transfer.flow == Flow::None {
            return self.succeed(slot, result.into());
        }
        let moved = match self.table(slot).absorb {
            None => result as usize,
            // SAFETY: the operation is the engine's, and the backend is done with this request of it.
            Some(absorb) => match unsafe { absorb(self.raw(slot), result) } {
                Some(moved) => moved,
                None => return self.next_stage(slot),
            },
        };
        self.counts.bytes[transfer.flow as usize - 1] += moved as u64;
        let entry = &mut self.entries[slot as usize];
        entry.progress += moved;
        let progress = entry.progress;
        debug_assert!(progress <= transfer.length);
        if !transfer.exact || progress >= transfer.length {
            return self.succeed(slot, progress as i64);
        }
        if moved == 0 {
            let status = self.ended_early(slot, progress, transfer.length);
            return self.fail(slot, status);
        }
        if entry.flags.intersects(Flags::CANCEL | Flags::DOOMED) {
            let status = self.cancelled(slot);
            return self.fail(slot, status);
        }
        entry.flags.remove(Flags::BY_KERNEL);
        self.issue(slot);
    }

    /// Takes the effect of a success, of kinds that have one.
    #[inline]
    pub(super) fn adopt(&mut self, slot: u32, result: i32) -> Result<i32> {
        let raw = self.raw(slot);
        match &self.table(slot).adopts {
            None => Ok(result),
            // SAFETY: the operation is the engine's, and its table its own. The backend is done with it, or holds no
            // pointers into it.
            Some(adopts) => self.guarded(raw, || unsafe { (adopts.adopt)(raw, result) }),
        }
    }

    /// A request of several has done its part, and the next may follow.
    fn next_stage(&mut self, slot: u32) {
        if self.entries[slot as usize].flags.intersects(Flags::CANCEL | Flags::DOOMED) {
            let status = self.cancelled(slot);
            return self.fail(slot, status);
        }
        self.issue(slot);
    }

    /// What a receive that comes to an end tells instead, when its stream has failed before.
    #[cold]
    fn kept_failure(&self, slot: u32) -> Option<Status> {
        if self.transfer(slot).flow != Flow::Received {
            return None;
        }
        // SAFETY: the operation still holds its resource.
        unsafe { self.resource(slot)?.as_ref() }.failure().cloned()
    }

    #[cold]
    fn ended_early(&self, slot: u32, progress: usize, length: usize) -> Status {
        failure(self.raw(slot), Code::OutOfRange, 0).with_message(format!("ended after {progress} of {length} bytes"))
    }

    /// The operation in `slot` is done with its resource: whoever waited for that goes ahead.
    pub(super) fn leave_lane(&mut self, slot: u32) {
        match self.leave(slot) {
            Left::Nothing => {}
            Left::Next(next) => self.start_queued(next),
            Left::Close(close) => self.issue(close),
        }
    }

    /// The next in a stream's queue has its turn.
    fn start_queued(&mut self, slot: u32) {
        match self.entries[slot as usize].phase {
            Phase::Queued => {}
            // Its chain has not come to it. Now that it heads its stream, that chain may be one for the kernel.
            Phase::Waiting => return self.promote(slot),
            // The kernel has it already, behind its predecessor.
            _ => return,
        }
        let Some(resource) = self.resource(slot) else { return };
        let lane = self.entries[slot as usize].lane;
        // SAFETY: the operation holds its resource while it is in flight.
        let resource = unsafe { resource.as_ref() };
        if resource.is_closing() {
            // It stood here before the close, which has not come to it yet: pending, so cancelled and not refused.
            return self.end_cancelled(slot);
        }
        match self.usable(slot, resource, lane) {
            Ok(()) => self.issue(slot),
            Err(status) => {
                // Its end leaves the lane, which starts the one behind it: one step a completion, not a recursion.
                self.end(slot, Err(status));
            }
        }
    }

    /// Ends an operation: frees its identity, continues its chain, then tells its owner.
    ///
    /// The chain goes on before the callback runs, so that a callback that panics, or takes its time, stops nothing.
    pub(super) fn finish(&mut self, slot: u32, result: Result<i64>) {
        match result {
            Ok(value) => self.succeed(slot, value),
            Err(status) => self.fail(slot, status),
        }
    }

    /// [`Engine::finish`] of a success.
    #[inline(always)]
    fn succeed(&mut self, slot: u32, value: i64) {
        if self.entries[slot as usize].record != NIL {
            self.leave_lane(slot);
        }
        let gone = self.let_go(slot);
        if gone.next != NIL {
            self.proceed(gone.next);
        }
        self.counts.completed += 1;
        let ended = gone.ended(Ok(value));
        // SAFETY: the operation has ended, its slot is free, and nothing refers to it: its storage goes back to the
        // program. A step's storage stays with its sequence, which is in flight.
        unsafe { (gone.table.deliver)(gone.raw, ended, &mut Context { engine: self }) };
        if gone.parent != NIL {
            self.step_ended(gone.parent, None);
        }
    }

    /// [`Engine::succeed`] of what [stands alone](super::entry::Entry::stands_alone): one look at its entry, where the
    /// general way looks again at each step (a tenth of all that a nop costs here).
    #[inline(always)]
    fn succeed_alone(&mut self, slot: u32, value: i64) {
        let Some(entry) = self.entries.get_mut(slot) else { return };
        let Some(raw) = entry.end_alone() else { return };
        let generation = entry.token.generation();
        // SAFETY: the operation is the engine's until it is delivered.
        let table = unsafe { raw.as_ref() }.table;
        debug_assert!(!matches!(table.class, Class::Sequence), "its phase is another");
        if self.latencies.is_some() {
            self.measure(raw, NIL);
        }
        self.vacate(slot, generation);
        self.counts.completed += 1;
        let ended = Ended { result: Ok(value), moved: 0, marks: Marks::empty() };
        // SAFETY: as in `succeed`.
        unsafe { (table.deliver)(raw, ended, &mut Context { engine: self }) };
    }

    /// [`Engine::finish`] of a failure.
    #[cold]
    pub(super) fn fail(&mut self, slot: u32, status: Status) {
        let status = match self.kept_failure(slot) {
            Some(kept) if !status.is_cancelled() => kept,
            _ => status,
        };
        // Noted before the next in the stream's queue has its turn, which asks for it.
        self.note_failure(slot, &status);
        let suffered = !status.is_cancelled() || self.entries[slot as usize].flags.contains(Flags::EXPIRED);
        // SAFETY: the operation still holds its resource.
        let name = self.resource(slot).filter(|_| suffered).and_then(|resource| unsafe { resource.as_ref() }.name());
        self.leave_lane(slot);
        let gone = self.let_go(slot);
        if gone.next != NIL {
            self.doom(gone.next);
        }
        self.counts.completed += 1;
        // SAFETY: the table is the operation's own, and the operation the engine's until it is delivered.
        let explain = |status| unsafe { (gone.table.explain)(gone.raw, status) };
        let status = match status.is_cancelled() {
            true if gone.flags & (Flags::EXPIRED | Flags::DOOMED) == Flags::EXPIRED => crate::resource::about(
                name,
                failure(gone.raw, Code::DeadlineExceeded, 0).with_message("its deadline has passed"),
            ),
            true => status,
            false => crate::resource::about(name, explain(status)),
        };
        if let Some(adopts) = &gone.table.adopts {
            // What it yields is a failure already.
            let _ = self.guarded(gone.raw, || {
                // SAFETY: as above.
                unsafe { (adopts.abandon)(gone.raw, &status, !gone.flags.contains(Flags::DOOMED)) };
                Ok(())
            });
        }
        let failed = if gone.parent == NIL { None } else { Some(status.clone()) };
        let ended = gone.ended(Err(status));
        // SAFETY: as in `succeed`.
        unsafe { (gone.table.deliver)(gone.raw, ended, &mut Context { engine: self }) };
        if gone.parent != NIL {
            self.step_ended(gone.parent, failed);
        }
    }

    /// Frees the identity of an operation that has ended. The operation itself is still the engine's, to be delivered.
    #[inline(always)]
    fn let_go(&mut self, slot: u32) -> Gone {
        let entry = &mut self.entries[slot as usize];
        let raw = entry.op.expect("an occupied slot");
        // SAFETY: the operation is the engine's until it is delivered.
        let table = unsafe { raw.as_ref() }.table;
        let (flags, moved) = (entry.flags, entry.progress);
        let gone = Gone { raw, table, next: entry.next, parent: entry.parent, flags, moved };
        let token = entry.token;
        if flags.intersects(Flags::EXTRAS | Flags::OBSERVES) {
            self.detach_extras(slot);
        }
        if self.latencies.is_some() {
            self.measure(gone.raw, gone.parent);
        }
        if matches!(table.class, Class::Sequence) {
            self.release_steps(slot);
        }
        self.entries[slot as usize].vacate();
        self.vacate(slot, token.generation());
        gone
    }

    /// Takes note of how long an operation took. Steps have no submit of their own.
    #[cold]
    fn measure(&mut self, raw: NonNull<Header>, parent: u32) {
        // SAFETY: the operation has ended and is the engine's until it is delivered.
        let submitted = unsafe { raw.as_ref() }.submitted;
        let now = self.pass_time();
        if let (Some(latencies), NIL) = (&mut self.latencies, parent) {
            latencies.record(now.since(submitted));
        }
    }

    #[inline(always)]
    pub(super) fn vacate(&mut self, slot: u32, generation: u64) {
        self.live -= 1;
        let reusable = self.shared.slots.get(slot).vacate(generation);
        if slot & 1 == 0 {
            self.local_live -= 1;
            if reusable {
                self.free.push(slot);
            }
        } else if reusable {
            self.shared.remote_slots.release(slot);
        }
    }

    /// A transfer that failed leaves its stream with a hole: later sends must not go. Datagrams have no such stream,
    /// and a socket without a peer may still get one.
    fn note_failure(&mut self, slot: u32, status: &Status) {
        let Class::Kernel(lane) = self.table(slot).class else { return };
        let (flow, moved) = (self.transfer(slot).flow, self.entries[slot as usize].progress);
        let torn = status.is_cancelled() && lane == Lane::Send && moved > 0;
        if lane == Lane::Other || flow == Flow::None || (status.is_cancelled() && !torn) {
            return;
        }
        // SAFETY: the table is the operation's own, and the operation the engine's.
        if unsafe { (self.table(slot).spares)(self.raw(slot), status, moved) } {
            return;
        }
        let end_of_stream = status.code() == Code::OutOfRange && lane == Lane::Receive;
        if let (Some(resource), false) = (self.resource(slot), end_of_stream) {
            // SAFETY: the operation still holds its resource.
            let resource = unsafe { resource.as_ref() };
            if resource.keeps_failures() {
                let torn =
                    torn.then(|| failure(self.raw(slot), Code::Aborted, 0).with_message("a send was cancelled midway"));
                resource.set_failure(torn.as_ref().unwrap_or(status));
            }
        }
    }

    /// The step before `slot` has succeeded.
    fn proceed(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        entry.previous = NIL;
        if !entry.flags.contains(Flags::LOWERED) {
            self.counts.steps_by_poll += 1;
            return self.start(slot);
        }
        if entry.flags.contains(Flags::HELD) {
            entry.flags.remove(Flags::HELD);
            let completion = Completion { token: entry.token, result: entry.held, flags: 0 };
            self.queue.push(completion);
        } else if entry.flags.contains(Flags::CANCEL) {
            // A cancel found nothing while this step had not started. It has now.
            let token = entry.token;
            self.cancel_in_backend(token);
        }
    }

    /// The step before `slot` has failed: it ends cancelled, without effect, and those behind it after it.
    pub(super) fn doom(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        entry.previous = NIL;
        entry.flags.insert(Flags::DOOMED);
        if !entry.flags.contains(Flags::LOWERED) {
            self.end_cancelled(slot);
        } else if entry.flags.contains(Flags::HELD) {
            entry.flags.remove(Flags::HELD);
            let completion = Completion { token: entry.token, result: entry.held, flags: 0 };
            self.queue.push(completion);
        }
        // Otherwise its completion is still to come from the kernel.
    }
}
