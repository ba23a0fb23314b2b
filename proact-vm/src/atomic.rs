//! What the parts that threads share without one lock around them are made of: under `--cfg loom` models of it, so
//! that every interleaving is tried. See `ci/loom.sh`.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

/// Between a sequentially consistent store and a load of something else: loom takes the two for releasing and acquiring
/// ones, which may pass each other; so it is told. No code outside of models.
#[inline(always)]
pub(crate) fn in_one_order() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// Where a thread parks that others unpark. As with the system's, an unpark before the park is kept, one of them; and
/// a park may end without one.
pub(crate) struct Parking(parking::Place);

#[cfg(not(loom))]
mod parking {
    use std::time::Duration;

    pub(super) type Place = std::thread::Thread;

    impl super::Parking {
        /// Of this thread, which alone parks there.
        pub(crate) fn of_this_thread() -> super::Parking {
            super::Parking(std::thread::current())
        }

        /// Parks this thread, for so long at most.
        pub(crate) fn park(&self, time: Option<Duration>) {
            match time {
                Some(time) => std::thread::park_timeout(time),
                None => std::thread::park(),
            }
        }

        pub(crate) fn unpark(&self) {
            self.0.unpark();
        }
    }
}

/// Of loom's own parking an unpark is seen by its thread wherever that is, parked or not: it would hide faults.
#[cfg(loom)]
mod parking {
    use std::time::Duration;

    pub(super) type Place = loom::sync::Notify;

    impl super::Parking {
        pub(crate) fn of_this_thread() -> super::Parking {
            super::Parking(loom::sync::Notify::new())
        }

        /// Models let no time pass.
        pub(crate) fn park(&self, _: Option<Duration>) {
            self.0.wait();
        }

        pub(crate) fn unpark(&self) {
            self.0.notify();
        }
    }
}

/// A waker that a model waits for.
#[cfg(all(test, loom))]
pub(crate) mod model {
    use std::sync::Arc;
    use std::task::{Wake, Waker};

    use loom::sync::Notify;

    #[derive(Clone)]
    pub(crate) struct Rung(Arc<Tell>);

    struct Tell(Notify);

    impl Wake for Tell {
        fn wake(self: Arc<Self>) {
            self.0.notify();
        }
    }

    impl Rung {
        pub(crate) fn new() -> Rung {
            Rung(Arc::new(Tell(Notify::new())))
        }

        pub(crate) fn waker(&self) -> Waker {
            Waker::from(self.0.clone())
        }

        pub(crate) fn wait(&self) {
            self.0.0.wait();
        }
    }
}
