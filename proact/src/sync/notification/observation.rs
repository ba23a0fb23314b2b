//! Observing: between looking at a condition and waiting for it to change.

use super::{Notification, Result, Timeout};

/// Where a notification's counter stood. Two are the same or not; which is the later cannot be told, since it wraps.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Epoch(u32);

impl Epoch {
    /// The counter's value `number`: for one that another process has told, or that was kept in a word.
    pub const fn new(number: u32) -> Epoch {
        Epoch(number)
    }

    /// The counter's value.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// Somebody observes a notification, since [`Notification::observe`] and until this is dropped.
///
/// ```
/// use proact::sync::Notification;
/// use proact::time::Timeout;
///
/// let notification = Notification::new();
/// assert!(!notification.signal_if_observed(1));
/// let observation = notification.observe();
/// assert!(notification.signal_if_observed(1), "somebody observes");
/// assert!(observation.wait(Timeout::Immediate)?, "the signal came after the observation began");
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Debug)]
pub struct Observation<'a> {
    notification: &'a Notification,
    since: Epoch,
}

impl<'a> Observation<'a> {
    pub(super) fn begin(notification: &'a Notification) -> Observation<'a> {
        notification.count_observer();
        Observation { notification, since: notification.epoch() }
    }

    /// The epoch when the observation began: the token to wait with, here or by a
    /// [`NotificationWait`](crate::operation::NotificationWait).
    pub fn epoch(&self) -> Epoch {
        self.since
    }

    /// Whether a signal came since.
    pub fn is_signalled(&self) -> bool {
        self.notification.epoch() != self.since
    }

    /// Blocks until a signal comes after the observation began, for at most `timeout`. Says whether one did. As
    /// [`Notification::wait`] otherwise.
    ///
    /// # Errors
    /// As for [`Notification::wait`].
    pub fn wait(&self, timeout: impl Into<Timeout>) -> Result<bool> {
        self.notification.inner.words.wait(self.since.0, timeout.into())
    }
}

impl Drop for Observation<'_> {
    fn drop(&mut self) {
        self.notification.uncount_observer();
    }
}
