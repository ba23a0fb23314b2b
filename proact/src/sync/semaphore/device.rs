//! The semaphore's side of a device that drives it.

use std::sync::{Arc, Weak};

use super::{By, Causes, Inner, Refused, Semaphore, Work};
use crate::causal::Knowledge;
use crate::status::{Result, Status};

/// What the device knows. Under the semaphore's lock.
#[derive(Debug)]
pub(super) struct Device {
    /// A thread is telling the device: others leave to it what there is to tell.
    telling: bool,
    /// The least value that the device was told is awaited and has not been reached since; `u64::MAX`: none.
    armed: u64,
    /// The largest value that the device knows of.
    value: u64,
    failed: bool,
}

/// What there is to tell.
enum News {
    Awaited(u64),
    Signalled(u64),
    Failed(Status),
}

impl Device {
    pub(super) const fn new(value: u64) -> Device {
        Device { telling: false, armed: u64::MAX, value, failed: false }
    }

    /// The device said so itself.
    pub(super) fn knows(&mut self, value: u64) {
        self.value = self.value.max(value);
    }

    pub(super) fn knows_of_failure(&mut self) {
        self.failed = true;
    }

    fn news(&mut self, value: u64, least_awaited: u64, failure: Option<&Status>) -> Option<News> {
        if let Some(status) = failure {
            // Nobody waits any more.
            return (!std::mem::replace(&mut self.failed, true)).then(|| News::Failed(status.clone()));
        }
        if value > self.value {
            self.value = value;
            return Some(News::Signalled(value));
        }
        if self.armed <= value {
            self.armed = u64::MAX;
        }
        (least_awaited < self.armed).then(|| {
            self.armed = least_awaited;
            News::Awaited(least_awaited)
        })
    }
}

impl Inner {
    /// Tells the device, if there is one, what it does not know yet. Under no lock.
    ///
    /// One thread at a time tells, and goes on until there is nothing more; who comes meanwhile, also from within the
    /// device's own code, leaves it to that thread. So the device hears everything in order, and a device that advances
    /// at once when it is told does not recurse.
    #[inline]
    pub(super) fn tell_device(&self) {
        if self.timeline.is_some() {
            self.tell_device_news();
        }
    }

    #[cold]
    fn tell_device_news(&self) {
        /// Also after a panic of the device another thread may tell; and of what is awaited, who knows what it heard.
        struct Telling<'a>(&'a Inner);

        impl Drop for Telling<'_> {
            fn drop(&mut self) {
                let mut state = self.0.lock();
                state.device.telling = false;
                state.device.armed = u64::MAX;
            }
        }

        let Some(timeline) = &self.timeline else { return };
        let mut state = self.lock();
        if state.device.telling {
            return;
        }
        state.device.telling = true;
        let telling = Telling(self);
        loop {
            let least = state.least_awaited();
            let super::State { device, failure, .. } = &mut *state;
            let Some(news) = device.news(self.value(), least, failure.as_ref()) else { break };
            drop(state);
            match news {
                News::Awaited(value) => timeline.awaited(value),
                News::Signalled(value) => timeline.signalled(value),
                News::Failed(status) => timeline.failed(&status),
            }
            state = self.lock();
        }
        // Under the same lock as the look that found nothing: nobody has left anything to us since.
        state.device.telling = false;
        drop(state);
        std::mem::forget(telling);
    }
}

/// A semaphore that may be gone.
pub(in crate::sync) struct WeakSemaphore(Weak<Inner>);

impl Semaphore {
    pub(super) fn downgrade(&self) -> WeakSemaphore {
        WeakSemaphore(Arc::downgrade(&self.inner))
    }

    /// As [`Semaphore::signal_if_later`], by the device.
    pub(in crate::sync) fn advance_by_device(
        &self,
        value: u64,
        causes: &Knowledge,
        location: &'static std::panic::Location<'static>,
    ) -> Result<bool> {
        let mut work = Work::new();
        let outcome: Result<(), Refused> = self.inner.raise(value, Causes::of(causes), By::Device, &mut work);
        self.raised(outcome, value, location)
    }

    pub(in crate::sync) fn fail_by_device(&self, status: Status) -> bool {
        let mut work = Work::new();
        self.inner.fail(status, By::Device, &mut work)
    }

    /// The least value that anyone waits for.
    pub(in crate::sync) fn least_awaited(&self) -> Option<u64> {
        self.inner.lock().waiters.peek().map(|(&value, _)| value)
    }

    pub(in crate::sync) fn timeline(&self) -> Option<&Arc<dyn super::Timeline>> {
        self.inner.timeline.as_ref()
    }
}

impl WeakSemaphore {
    pub(in crate::sync) fn upgrade(&self) -> Option<Semaphore> {
        self.0.upgrade().map(|inner| Semaphore { inner })
    }
}
