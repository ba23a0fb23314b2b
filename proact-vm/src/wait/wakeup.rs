//! The waker that futures within a call get, whoever drives the call just then.

use std::sync::{Arc, PoisonError};
use std::task::{Wake, Waker};

use crate::atomic::{AtomicBool, Mutex, Ordering};

/// Remembers that it was woken, and passes it on to whoever waits now.
#[derive(Default, Debug)]
pub(crate) struct Wakeup {
    woken: AtomicBool,
    driver: Mutex<Option<Waker>>,
}

impl Wakeup {
    /// Has `waker` woken with the next call; the last one given counts. Then look at [`Wakeup::take`].
    pub(crate) fn register(&self, waker: &Waker) {
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        if driver.as_ref().is_some_and(|driver| driver.will_wake(waker)) {
            return;
        }
        // A waker's code, that of its clone and its end too, runs under no lock.
        drop(driver);
        let waker = waker.clone();
        driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        let before = driver.replace(waker);
        drop(driver);
        drop(before);
    }

    /// No one waits any more: a late call wakes no one.
    pub(crate) fn unregister(&self) {
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(driver);
    }

    /// Whether it was woken since that was last taken.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    /// Whether it was woken since this was last asked. What those who woke it did before is seen then.
    pub(crate) fn take(&self) -> bool {
        // Most often it was not: a load costs less than what all must see in order. Exchanged and not stored: a wake
        // that comes between the two is taken with what was done before it, and not only wiped out.
        self.woken.load(Ordering::SeqCst) && self.woken.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the lock: who registers after it was taken sees it, who registered before is woken.
        // Exchanged: who sees this wake sees what was done before an earlier one, too, which it hides.
        self.woken.swap(true, Ordering::SeqCst);
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(driver) = driver {
            driver.wake();
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
