//! The one place where atomics, cells and locks come from.
//!
//! With `--cfg loom` they are loom's, which explores every interleaving of a test, so that any structure built on this
//! module can be model-checked without a change. Nothing else in the crate names `core::sync::atomic` directly.

#[cfg(not(loom))]
pub(crate) use self::plain::{Presence, UnsafeCell};
#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::thread::{Builder as ThreadBuilder, JoinHandle, ThreadId, current as current_thread};

#[cfg(loom)]
pub(crate) use self::modelled::Presence;
#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
#[cfg(loom)]
pub(crate) use loom::thread::{Builder as ThreadBuilder, JoinHandle, ThreadId, current as current_thread};

#[cfg(not(loom))]
pub(crate) use core::hint::spin_loop;
#[cfg(loom)]
pub(crate) use loom::hint::spin_loop;

/// Tells the processor that this thread waits for another.
#[inline]
pub(crate) fn spin() {
    #[cfg(not(loom))]
    core::hint::spin_loop();
    // loom would go on with this thread for ever.
    #[cfg(loom)]
    loom::thread::yield_now();
}

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

        /// Lends the value to be read.
        #[inline(always)]
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
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

/// A word that the kernel reads too, or another process: never loom's.
pub(crate) use core::sync::atomic::AtomicU32 as KernelWord;

/// Stands between an exchange and a load that are both sequentially consistent, where the other side of a
/// store-then-load protocol has a store, a sequentially consistent fence, and a load.
///
/// By the memory model such an exchange and load need no fence between them: all such accesses and fences have one
/// order. Let both sides miss each other. The load came before the other's store, which precedes its fence: so load
/// before fence. The other's load came before the exchange, and follows its fence: so fence before exchange. And the
/// exchange comes before the load, so it would come before itself (C++20, \[atomics.order\] 4). A locked exchange and a
/// plain load are what that takes on x86, where the fence would cost as much again as the exchange.
///
/// loom takes sequentially consistent accesses for acquiring and releasing ones only, and knows just fences; so under
/// loom this is one.
#[inline(always)]
pub(crate) fn fence_between_sequential_exchange_and_load() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// A store to a word that other threads may be exchanging at the same time.
///
/// By the memory model nothing comes between what an exchange reads and what it writes, so a store lies before both or
/// after both. loom knows this of exchanges alone: it would let a store be overtaken by an exchange that read what the
/// store replaced, and find faults that cannot be. Under loom it is therefore an exchange itself.
pub(crate) trait StoreAmidExchanges<T> {
    /// A plain store, outside of models.
    fn store_amid_exchanges(&self, value: T, order: Ordering);
}

macro_rules! store_amid_exchanges {
    ($atomic:ty, $value:ty) => {
        impl StoreAmidExchanges<$value> for $atomic {
            #[inline(always)]
            fn store_amid_exchanges(&self, value: $value, order: Ordering) {
                if cfg!(loom) {
                    self.swap(value, order);
                } else {
                    self.store(value, order);
                }
            }
        }
    };
}

store_amid_exchanges!(AtomicBool, bool);
store_amid_exchanges!(AtomicU64, u64);
