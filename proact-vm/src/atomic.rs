//! What the parts that threads share without one lock around them are made of: under `--cfg loom` models of it, so
//! that every interleaving is tried. See `ci/loom.sh`.

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::{Mutex, MutexGuard};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::{Mutex, MutexGuard};

/// Between a sequentially consistent store and a load of something else: loom takes the two for releasing and acquiring
/// ones, which may pass each other; so it is told. No code outside of models.
#[inline(always)]
pub(crate) fn in_one_order() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
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
