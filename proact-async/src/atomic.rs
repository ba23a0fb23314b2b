//! The one place where atomics, cells and locks come from: loom's under `--cfg loom`, so that tasks, their queues and
//! those who wait for other threads can be model-checked without a change.

#[cfg(not(loom))]
pub(crate) use self::plain::{Presence, UnsafeCell};
#[cfg(not(loom))]
pub(crate) use core::cell::Cell;
#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::thread::Builder as ThreadBuilder;

#[cfg(loom)]
pub(crate) use self::modelled::Presence;
#[cfg(loom)]
pub(crate) use loom::cell::{Cell, UnsafeCell};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicI64, AtomicPtr, AtomicU64, Ordering};
#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(loom)]
pub(crate) use loom::thread::Builder as ThreadBuilder;

/// What the models watch, without them: nothing beside the value.
#[cfg(not(loom))]
mod plain {
    /// A cell whose accesses the models watch: it fails one in which two accesses meet that nothing orders.
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        #[inline(always)]
        pub(crate) const fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(core::cell::UnsafeCell::new(value))
        }

        /// Lends the value to be written.
        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }

    /// That counted memory is there: the models fail if it goes while a use of it may still come.
    pub(crate) struct Presence;

    impl Presence {
        #[inline(always)]
        pub(crate) const fn new() -> Presence {
            Presence
        }

        /// The memory is used by one of those who count.
        #[inline(always)]
        pub(crate) fn used(&self) {}

        /// It is about to be freed.
        #[inline(always)]
        pub(crate) fn gone(&self) {}
    }
}

/// What stands for it in the models.
#[cfg(loom)]
mod modelled {
    pub(crate) struct Presence(loom::cell::UnsafeCell<()>);

    impl Presence {
        pub(crate) fn new() -> Presence {
            Presence(loom::cell::UnsafeCell::new(()))
        }

        pub(crate) fn used(&self) {
            self.0.with(|_| ());
        }

        pub(crate) fn gone(&self) {
            self.0.with_mut(|_| ());
        }
    }
}
