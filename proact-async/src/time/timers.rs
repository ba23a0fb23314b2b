//! A runtime's timers, and a place among them.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use proact::time::{Clock, Time};

use super::wheel::Wheel;

/// Timers that fire in one turn, before the tasks they wake and the proactor have theirs.
const FIRED_MAX: usize = 256;

/// The timers of one runtime, also when that has gone: sleeps hold them.
pub(crate) struct Timers {
    wheel: RefCell<Wheel>,
}

impl Timers {
    pub(crate) fn new() -> Rc<Timers> {
        Rc::new(Timers { wheel: RefCell::new(Wheel::new()) })
    }

    /// When to [fire](Timers::fire) next: when the first timer comes, or sooner. `None`: there is none.
    #[inline]
    pub(crate) fn next(&self, clock: &Clock) -> Option<Time> {
        if self.wheel.borrow().is_idle() {
            return None;
        }
        self.settle();
        self.wheel.borrow_mut().next(|| clock.now().as_nanoseconds()).map(Time::from_nanoseconds)
    }

    /// Wakes those whose time has come, so many at once.
    #[inline]
    pub(crate) fn fire(&self, clock: &Clock) {
        if !self.wheel.borrow().is_idle() {
            self.fire_until(clock.now());
        }
    }

    /// Carries out what was only noted. Not borrowed while a waker is dropped, as ever, which may ask for more.
    #[inline]
    pub(crate) fn settle(&self) {
        loop {
            let gone = self.wheel.borrow_mut().settle();
            if gone.is_none() {
                return;
            }
        }
    }

    fn fire_until(&self, now: Time) {
        for _ in 0..FIRED_MAX {
            self.settle();
            // Not borrowed while it is woken: a waker may drop sleeps, and poll others.
            let fired = self.wheel.borrow_mut().fire(now.as_nanoseconds());
            let Some(waker) = fired else { return };
            waker.wake();
        }
    }
}

/// A place among a runtime's timers, until it is dropped.
pub(super) struct Place {
    timers: Rc<Timers>,
    slot: u32,
}

impl Place {
    pub(super) fn new(timers: &Rc<Timers>, deadline: Time, cx: &mut Context<'_>) -> Place {
        let waker = cx.waker().clone();
        let (slot, gone) = timers.wheel.borrow_mut().insert(deadline.as_nanoseconds(), waker);
        drop(gone);
        Place { timers: timers.clone(), slot }
    }

    pub(super) fn reset(&self, deadline: Time) {
        let gone = self.timers.wheel.borrow_mut().reset(self.slot, deadline.as_nanoseconds());
        drop(gone);
    }

    /// Whether its time has come; otherwise the waker is woken then.
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let wheel = self.timers.wheel.borrow();
        if wheel.has_fired(self.slot) {
            return Poll::Ready(());
        }
        if wheel.waker(self.slot).is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        drop(wheel);
        // Neither the clone nor the drop of a waker finds the timers borrowed.
        let waker = cx.waker().clone();
        let before = self.timers.wheel.borrow_mut().set_waker(self.slot, waker);
        drop(before);
        Poll::Pending
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let waker = self.timers.wheel.borrow_mut().remove(self.slot);
        drop(waker);
    }
}
