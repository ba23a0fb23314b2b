//! The one place where atomics, cells and locks come from.
//!
//! With `--cfg loom` they are loom's, which explores every interleaving of a test, so that any structure built on this
//! module can be model-checked without a change. Nothing else in the crate names `core::sync::atomic` directly.

pub(crate) use crate::watched::{Presence, UnsafeCell};
#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::thread::{Builder as ThreadBuilder, JoinHandle, ThreadId, current as current_thread};

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
