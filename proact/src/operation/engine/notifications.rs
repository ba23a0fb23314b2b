//! Waits for notifications.
//!
//! The signaller pushes one node of the notification's [`Subscription`] to this proactor, however many operations wait;
//! the poll thread looks through those. A notification in shared memory is waited for by the backend instead, word by
//! word, and each wake is checked against the epoch.

use std::ptr::NonNull;

use super::entry::{Flags, Phase};
use super::record::NIL;
use super::{Engine, Shared};
use crate::atomic::Arc;
use crate::backend::{Completion, flags};
use crate::operation::kind::Portable;
use crate::operation::notification::NotificationState;
use crate::operation::op::Header;
use crate::resource::Lane;
use crate::status::{Operation, Result};
use crate::sync::{Listener, Notification, Subscription};

/// What of this proactor waits for one notification.
pub(super) struct Watched {
    /// Kept until the notification is gone, so that whoever holds the notification may push its node at any time.
    subscription: Arc<Subscription>,
    /// The slots that wait, in the order in which they began, by `lane_next` of their entries.
    first: u32,
    last: u32,
}

/// What is checked and noted of a wait that is being submitted.
///
/// # Safety
///
/// `raw` is of the class `NotificationWait`, is the caller's, and no other reference to it exists.
pub(super) unsafe fn admit(shared: &Shared, raw: NonNull<Header>) -> Result<()> {
    // SAFETY: the caller's promise; the table is the operation's own.
    let Portable::Notification(mut state) = (unsafe { (raw.as_ref().table.portable)(raw) }) else { return Ok(()) };
    // SAFETY: as above.
    let state = unsafe { state.as_mut() };
    if state.notification.is_shared() {
        // It takes the way of a futex wait, and is not to be had where that is not.
        super::available(shared, Operation::FutexWait)
            .map_err(|status| status.with_operation(Operation::NotificationWait))?;
    }
    state.admit();
    Ok(())
}

impl Engine {
    /// The state of the wait in `slot`.
    ///
    /// The reference must be gone before anything else reaches for the operation.
    fn notification_state<'a>(&self, slot: u32) -> Option<&'a NotificationState> {
        match self.portable(slot) {
            // SAFETY: the wait is in flight, so it stays where it is and only the engine, on this thread, reaches it.
            Portable::Notification(state) => Some(unsafe { &*state.as_ptr() }),
            _ => None,
        }
    }

    /// A relay has its turn.
    pub(super) fn start_relay(&mut self, slot: u32) {
        match self.portable(slot) {
            Portable::Notification(_) => self.start_notification_wait(slot),
            _ => self.start_kernel(slot, Lane::Other),
        }
    }

    /// Has the wait in `slot` go on from the epoch that it has seen: from here on it waits for the next signal.
    fn wait_on(&mut self, slot: u32) {
        if let Portable::Notification(mut state) = self.portable(slot) {
            // SAFETY: the wait is in flight, so it stays where it is and only the engine, on this thread, reaches it.
            let state = unsafe { state.as_mut() };
            state.since = state.notification.epoch();
        }
    }

    /// A signal came for what waits in `slot`: takes its effect, and puts that it came on the queue. `false`: that was
    /// its end.
    fn notified(&mut self, slot: u32) -> bool {
        let multishot = self.table(slot).multishot;
        if multishot {
            // First: a signal that comes while the effect of this one is taken is another.
            self.wait_on(slot);
        }
        match self.adopt(slot, 0) {
            Ok(_) if multishot => {
                let token = self.entries[slot as usize].token;
                self.queue.push(Completion { token, result: 0, flags: flags::BY_ENGINE | flags::MORE });
                true
            }
            result => {
                self.end(slot, result);
                false
            }
        }
    }

    /// A wait has its turn.
    pub(super) fn start_notification_wait(&mut self, slot: u32) {
        let Some(state) = self.notification_state(slot) else { return };
        let multishot = self.table(slot).multishot;
        if state.is_over() && !multishot {
            self.notified(slot);
            return;
        }
        if state.notification.is_shared() {
            state.notification.count_observer();
            self.entries[slot as usize].flags.insert(Flags::OBSERVES);
            // Whoever signals from here on sees the observer, or the kernel the epoch.
            return self.issue(slot);
        }
        let index = self.watch(&state.notification);
        let watched = &mut self.notifications[index as usize];
        watched.subscription.begin_wait();
        let over = state.is_over();
        let last = std::mem::replace(&mut watched.last, slot);
        if last == NIL {
            watched.first = slot;
        } else {
            self.entries[last as usize].lane_next = slot;
        }
        let entry = &mut self.entries[slot as usize];
        entry.lane_previous = last;
        entry.lane_next = NIL;
        entry.phase = Phase::Notification;
        // A signal came between its submit and its start, or just now.
        if over && !self.notified(slot) {
            self.leave_notification(slot, index);
        }
    }

    /// The place of `notification` in the table, made when something of this proactor first waits for it.
    fn watch(&mut self, notification: &Notification) -> u32 {
        if let Some(subscription) = notification.subscription(self.shared.home.proactor) {
            return subscription.index();
        }
        let index = self.notifications.len() as u32;
        let subscription = notification.subscribe(self.shared.home.proactor, self.shared.clone());
        subscription.set_index(index);
        self.notifications.push(Watched { subscription, first: NIL, last: NIL });
        index
    }

    /// A signal was told, or that the notification is `gone`.
    ///
    /// The reference is into the table's own count, which ends here when it is gone.
    pub(super) fn look_at_notification(&mut self, subscription: NonNull<Subscription>, gone: bool) {
        // SAFETY: the table holds the subscription until it is told here that the notification is gone, once.
        let index = unsafe { subscription.as_ref() }.index();
        let mut slot = self.notifications[index as usize].first;
        if gone {
            debug_assert_eq!(slot, NIL, "a wait holds its notification");
            self.notifications.swap_remove(index as usize);
            if let Some(moved) = self.notifications.get(index as usize) {
                moved.subscription.set_index(index);
            }
            return;
        }
        while slot != NIL {
            let next = self.entries[slot as usize].lane_next;
            let over = self.notification_state(slot).is_some_and(NotificationState::is_over);
            if over && !self.notified(slot) {
                self.leave_notification(slot, index);
            }
            slot = next;
        }
    }

    fn leave_notification(&mut self, slot: u32, index: u32) {
        let entry = &mut self.entries[slot as usize];
        let previous = std::mem::replace(&mut entry.lane_previous, NIL);
        let next = std::mem::replace(&mut entry.lane_next, NIL);
        let watched = &mut self.notifications[index as usize];
        watched.subscription.end_wait();
        match previous {
            NIL => watched.first = next,
            previous => self.entries[previous as usize].lane_next = next,
        }
        match next {
            NIL => watched.last = previous,
            next => self.entries[next as usize].lane_previous = previous,
        }
    }

    /// The wait in `slot` was asked to end. A signal that came before stands.
    pub(super) fn cancel_notification_wait(&mut self, slot: u32) {
        let Some(state) = self.notification_state(slot) else { return };
        let Some(subscription) = state.notification.subscription(self.shared.home.proactor) else { return };
        let (index, over) = (subscription.index(), state.is_over());
        let ended = over && !self.notified(slot);
        self.leave_notification(slot, index);
        if !ended {
            self.end_cancelled(slot);
        }
    }

    /// The backend's wait for the word of a shared notification has ended: the answer, if the epoch has moved; else
    /// anybody may have woken it, and it is asked again.
    pub(super) fn settle_observer(&mut self, slot: u32, result: i32) {
        if self.notification_state(slot).is_some_and(NotificationState::is_over) {
            let multishot = self.table(slot).multishot;
            if multishot {
                // First, as in `notified`.
                self.wait_on(slot);
            }
            return match self.adopt(slot, 0) {
                Err(status) => self.fail(slot, status),
                Ok(_) if multishot => self.settle_multishot(slot, 0),
                Ok(_) => self.finish(slot, Ok(0)),
            };
        }
        if result < 0 {
            return self.settle(slot, result);
        }
        if self.entries[slot as usize].flags.contains(Flags::CANCEL) {
            return self.end_cancelled(slot);
        }
        self.issue(slot);
    }

    /// An operation that observed a shared notification ends.
    pub(super) fn end_observation(&self, slot: u32) {
        if let Some(state) = self.notification_state(slot) {
            state.notification.uncount_observer();
        }
    }
}

impl Listener for Shared {
    fn tell(&self, subscription: &Subscription) {
        self.stack.push_subscription(subscription);
        self.notify();
    }

    fn retire(&self, subscription: &Subscription) {
        self.stack.push_subscription(subscription);
    }
}
