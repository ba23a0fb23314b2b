//! Timers and deadlines: one heap, by time.
//!
//! A timer that is set to a later time stays where it is in the heap: what is kept is the new time, and the timer moves
//! when its old place has come to the front, before anyone sleeps until then. A time-out that is set anew for every
//! byte that arrives costs the look at its slot, and the heap once in a while. A timer that is set to an earlier time
//! moves at once.
//!
//! One that is called off leaves its place in the heap, for the slot's next timer, as if it were set to that one's
//! time; or until it comes to the front. So a time-out that is called off and made anew does not touch the heap
//! either, where among many every step waits for memory. There is no more than one place a slot.

use std::time::Duration;

use super::Engine;
use super::entry::{Phase, Rare};
use super::extras::DEADLINE;
use crate::backend::{Completion, flags};
use crate::operation::identity::OperationId;
use crate::operation::kind::Portable;
use crate::status::{Code, Operation, Result, Status};
use crate::time::Time;

/// Far more than lies between two ticks of a system (1 to 10 ms, and nowhere more than 42).
///
/// A tick may come later still: a virtual processor that keeps the time can be stopped while others run, and an
/// emulated kernel may let that clock stand. So what tells is the time itself in a pass that found nothing else to do,
/// and in one of [`PASSES_A_READING`].
const TICK_MAX: Duration = Duration::from_millis(100);

/// Of so many passes one reads the clock whatever the tick says: a third of a nanosecond each.
pub(crate) const PASSES_A_READING: u64 = 64;

impl Engine {
    /// Puts the timer in `slot` among the others.
    pub(super) fn set_timer(&mut self, slot: u32, deadline: Time) {
        self.rare(slot);
        self.place_timer(slot, deadline);
        self.entries[slot as usize].phase = Phase::Timer;
    }

    /// Sets what `slot` has among the timers to a time: where it stands already, if that is sooner. At an equal time it
    /// would come before those that were set to it since.
    #[inline]
    fn place_timer(&mut self, slot: u32, deadline: Time) {
        let order = self.timers.number();
        let rare = &mut self.rare[slot as usize];
        (rare.due, rare.order, rare.vacant) = (deadline, order, false);
        if let Some(key) = rare.timer {
            if deadline > rare.at {
                return;
            }
            self.timers.remove(key);
        }
        self.insert_timer(slot);
    }

    /// Puts the timer in `slot`, which has no place, where it belongs.
    fn insert_timer(&mut self, slot: u32) {
        let rare = &mut self.rare[slot as usize];
        rare.at = rare.due;
        rare.timer = Some(self.timers.insert_as(rare.due, rare.order, slot));
    }

    /// Starts a timer that may be set to another time.
    pub(super) fn start_timer(&mut self, slot: u32, deadline: Time) {
        self.set_timer(slot, deadline);
        self.rare[slot as usize].waiting = self.entries[slot as usize].token;
    }

    /// Takes the timer in `slot` out of the others, before its time.
    pub(super) fn stop_timer(&mut self, slot: u32) {
        let rare = &mut self.rare[slot as usize];
        (rare.waiting, rare.vacant) = (Rare::NOBODY, true);
        self.drop_vacant();
    }

    /// Drops what stands first in the heap while it is a place that was left: nobody is to be told of a time for which
    /// nothing waits. After whatever has taken the first out of the heap.
    pub(super) fn drop_vacant(&mut self) {
        while let Some((_, &first)) = self.timers.peek() {
            if first & DEADLINE != 0 || !self.rare[first as usize].vacant {
                break;
            }
            self.postpone(first);
        }
    }

    /// What few slots have, of `slot`, which has it from now on.
    pub(super) fn rare(&mut self, slot: u32) -> &mut Rare {
        self.rare.make(slot, Rare::default)
    }

    /// Sets a timer that waits to another time. `NotFound`: there is none under this identity, and none will fire for
    /// it any more.
    #[track_caller]
    pub(crate) fn reset_timer(&mut self, id: OperationId, deadline: Time) -> Result<()> {
        let slot = id.token.slot();
        let here = id.proactor == self.shared.home.proactor;
        let rare = self.rare.get_mut(slot).filter(|rare| here && rare.waiting == id.token);
        let Some(rare) = rare else {
            return Err(Status::new(Code::NotFound, Operation::Timer).with_message("it is no timer that waits here"));
        };
        debug_assert!(!rare.vacant, "a timer that waits has its place");
        self.place_timer(slot, deadline);
        Ok(())
    }

    /// When the first timer or deadline comes, or before: one that was postponed may still stand first.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        self.timers.peek().map(|(&at, _)| at)
    }

    /// When the first timer or deadline comes.
    pub(super) fn first_timer(&mut self) -> Option<Time> {
        loop {
            let (&at, &slot) = self.timers.peek()?;
            if !self.is_postponed(at, slot) {
                return Some(at);
            }
            self.postpone(slot);
        }
    }

    /// Whether what stands at `at` in the heap is a timer that was set to a later time since, or called off.
    #[inline]
    fn is_postponed(&self, at: Time, slot: u32) -> bool {
        let rare = || &self.rare[slot as usize];
        slot & DEADLINE == 0 && (rare().vacant || rare().due > at)
    }

    /// Moves the heap's first, which is postponed, to where it belongs, if it belongs anywhere.
    fn postpone(&mut self, slot: u32) {
        self.timers.drop_first();
        let rare = &mut self.rare[slot as usize];
        rare.timer = None;
        if !std::mem::take(&mut rare.vacant) {
            self.insert_timer(slot);
        }
    }

    /// Ends all whose time has come.
    #[inline]
    pub(super) fn fire_timers(&mut self) {
        if self.may_be_due() {
            self.fire_due();
        }
    }

    /// Whether the time of the heap's first may have come. Most passes find it far ahead, which the last tick tells for
    /// a quarter of what the time costs to read; that tick may be as long ago as [`TICK_MAX`].
    #[inline]
    fn may_be_due(&mut self) -> bool {
        let Some((&at, _)) = self.timers.peek() else { return false };
        if self.counts.polls % PASSES_A_READING == 0 {
            self.pass_time();
        }
        match self.now {
            Some(now) => at <= now,
            None => at <= *self.tick.get_or_insert_with(|| self.shared.clock.tick()) + TICK_MAX,
        }
    }

    fn fire_due(&mut self) {
        let now = self.pass_time();
        let mut taken = false;
        while let Some((&at, &slot)) = self.timers.peek() {
            if at > now {
                break;
            }
            taken = true;
            if self.is_postponed(at, slot) {
                self.postpone(slot);
                continue;
            }
            self.timers.drop_first();
            if slot & DEADLINE != 0 {
                self.expire(slot & !DEADLINE);
            } else {
                self.fire(slot, now);
            }
        }
        if taken {
            self.drop_vacant();
        }
    }

    /// The time of the timer in `slot` has come.
    fn fire(&mut self, slot: u32, now: Time) {
        let rare = &mut self.rare[slot as usize];
        (rare.timer, rare.waiting) = (None, Rare::NOBODY);
        let Portable::Interval(mut state) = self.portable(slot) else { return self.end(slot, Ok(0)) };
        // SAFETY: the operation is in flight and nothing else refers to its state.
        let state = unsafe { state.as_mut() };
        let (expired, last) = state.expire(now);
        let (expired, next) = (expired as i32, state.next);
        if last {
            return self.end(slot, Ok(expired));
        }
        let token = self.entries[slot as usize].token;
        self.queue.push(Completion { token, result: expired, flags: flags::BY_ENGINE | flags::MORE });
        // Never again at this time: one that is behind by more than an outcome can say would fill the queue.
        self.set_timer(slot, next.max(now + Duration::from_nanos(1)));
    }
}
