//! Waiting for notifications and signalling them, as operations.

use std::panic::Location;
use std::ptr::NonNull;

use super::kind::{Class, Kind, Portable, sealed::Sealed};
use crate::backend::{Request, WaitRequest};
use crate::resource::Home;
use crate::status::{Operation, Result};
use crate::sync::{Epoch, Notification};

/// Waits for a signal that comes after it was submitted, or [after an epoch](NotificationWait::since) that was seen
/// before. One that has come already completes it at the next poll.
///
/// Every operation that waits is completed by a signal, whatever its count: a proactor is told once, however many of
/// its operations wait, and completes them in the order in which they began. As a step of a chain it completes at once
/// if a signal came since the chain was submitted. It never completes without one.
///
/// Where a notification lies in memory that processes share, the kernel waits for its word.
///
/// | backend | path |
/// |---|---|
/// | all | the proactor's own: the signaller puts the notification on the poll thread's list and wakes it |
/// | io_uring, in shared memory | kernel-native (Linux 6.7, `KERNEL_FUTEX`) |
/// | elsewhere, in shared memory | a helper thread sleeps for it (Linux 5.16) |
/// | in a kernel chain | never |
///
/// # Errors
/// At submit `Unavailable`, with the reason, for one in shared memory where neither path is there.
///
/// ```
/// use proact::operation::{NotificationWait, Op};
/// use proact::sync::Notification;
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let notification = Notification::new();
/// proactor.submit(Op::new(NotificationWait::new(notification.clone()), ())).unwrap();
///
/// // Observe, look, wait: a signal in between is not missed.
/// let observation = notification.observe();
/// let wait = NotificationWait::since(notification.clone(), observation.epoch());
/// notification.broadcast();
/// proactor.submit(Op::new(wait, ())).unwrap();
/// proactor.run()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Debug)]
pub struct NotificationWait {
    state: NotificationState,
}

/// What the engine works on. Hidden.
#[derive(Clone, Debug)]
pub struct NotificationState {
    pub(super) notification: Notification,
    /// The epoch that has to pass.
    pub(super) since: Epoch,
    /// It was given, and is not taken anew at each submit.
    pub(super) given: bool,
}

impl NotificationWait {
    /// Waits for a signal after the submit.
    pub fn new(notification: Notification) -> NotificationWait {
        let since = notification.epoch();
        NotificationWait { state: NotificationState { notification, since, given: false } }
    }

    /// Waits until the epoch is another than `since`.
    pub fn since(notification: Notification, since: Epoch) -> NotificationWait {
        NotificationWait { state: NotificationState { notification, since, given: true } }
    }

    /// Changes the epoch that has to pass: the same storage for the next wait. `None`: that at the time of the submit.
    pub fn set_since(&mut self, since: Option<Epoch>) {
        self.state.given = since.is_some();
        self.state.since = since.unwrap_or_else(|| self.state.notification.epoch());
    }

    /// For a relay, which waits the same way.
    pub(super) fn into_state(self) -> NotificationState {
        self.state
    }

    /// What is waited for.
    pub fn notification(&self) -> &Notification {
        &self.state.notification
    }
}

impl NotificationState {
    /// It is being submitted.
    pub(super) fn admit(&mut self) {
        if !self.given {
            self.since = self.notification.epoch();
        }
    }

    /// The engine asks only for one in shared memory.
    pub(super) fn request(&self) -> Request {
        match self.notification.shared_word() {
            Some(word) => {
                let expected = self.since.number();
                Request::Wait(WaitRequest::FutexWait { word, expected, shared: true })
            }
            None => Request::Nop,
        }
    }

    /// A signal came.
    pub(super) fn is_over(&self) -> bool {
        self.notification.epoch() != self.since
    }
}

impl Sealed for NotificationWait {}

impl Kind for NotificationWait {
    type Output = ();
    const OPERATION: Operation = Operation::NotificationWait;
    const CLASS: Class = Class::NotificationWait;

    fn portable(&mut self) -> Portable {
        Portable::Notification(NonNull::from(&mut self.state))
    }

    fn request(&mut self, _: usize) -> Request {
        self.state.request()
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}

/// Signals a notification when its turn in the chain comes, and not before.
///
/// | backend | path |
/// |---|---|
/// | all | by the poll thread, with a system call only for who sleeps; a chain with this step is run step by step |
///
/// ```
/// use proact::operation::{Chain, Nop, NotificationSignal, Op};
/// use proact::sync::Notification;
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let done = Notification::new();
/// let before = done.epoch();
/// let signal = Op::new(NotificationSignal::broadcast(done.clone()), ());
/// proactor.submit(Chain::new((Op::new(Nop, ()), signal))).unwrap();
/// assert_eq!(done.epoch(), before, "its turn has not come");
/// proactor.run()?;
/// assert_ne!(done.epoch(), before);
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Debug)]
pub struct NotificationSignal {
    /// What is signalled.
    pub notification: Notification,
    /// At most so many threads are woken: see [`Notification::signal`].
    pub count: u32,
}

impl NotificationSignal {
    /// Wakes at most `count` threads, and every operation.
    pub fn new(notification: Notification, count: u32) -> NotificationSignal {
        NotificationSignal { notification, count }
    }

    /// Wakes whoever waits.
    pub fn broadcast(notification: Notification) -> NotificationSignal {
        NotificationSignal::new(notification, Notification::ALL)
    }
}

impl Sealed for NotificationSignal {}

impl Kind for NotificationSignal {
    type Output = ();
    const OPERATION: Operation = Operation::NotificationSignal;
    const CLASS: Class = Class::Immediate;

    fn perform(&mut self, _: &'static Location<'static>) -> Result<i32> {
        self.notification.signal(self.count);
        Ok(0)
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}
