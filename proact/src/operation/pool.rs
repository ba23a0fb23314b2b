//! Storage for operations that come and go: made once, used by many.

use std::fmt;
use std::mem::MaybeUninit;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::context::Context;
use super::kind::Kind;
use super::op::{Complete, Op, Outcome};

/// How the state of a pooled operation is told of its outcomes. Called on the poll thread, inside `poll`, under no
/// lock, and subject to all that is said of [`Complete`].
///
/// After [`Finish::finish`] has returned, the kind and the state are dropped and the storage goes back to its pool;
/// also when it panics.
pub trait Finish<K: Kind>: Sized + 'static {
    /// The final outcome. What the kind holds (a buffer) may be taken out.
    fn finish(&mut self, kind: &mut K, outcome: Outcome<K>, cx: &mut Context<'_>);

    /// One of several outcomes of a multishot operation, which goes on: see [`Complete::more`].
    fn more(&mut self, kind: &K, outcome: Outcome<K>, cx: &mut Context<'_>) {
        let _ = (kind, outcome, cx);
    }
}

/// A pool of storage for operations of one type.
///
/// For operations that are made anew each time, with state that differs: [`OpPool::take`] needs no allocation once as
/// many have been in use before, and the final callback gives the storage back by itself. Any thread may take. An
/// operation that is only ever submitted again needs no pool: its storage comes back to its own callback.
///
/// A clone is another handle to the same pool. Operations in flight keep what they need of it.
///
/// ```
/// # use proact::operation::{Context, Finish, Nop, OpPool, Outcome};
/// struct Print(u32);
/// impl Finish<Nop> for Print {
///     fn finish(&mut self, _: &mut Nop, outcome: Outcome<Nop>, _: &mut Context<'_>) {
///         println!("{}: {:?}", self.0, outcome.result);
///     }
/// }
/// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// let pool = OpPool::new();
/// for round in 0..100 {
///     proactor.submit(pool.take(Nop, Print(round))).unwrap();
///     proactor.run().unwrap();
/// }
/// assert_eq!(pool.idle(), 1);
/// assert_eq!(pool.trim(0), 1);
/// ```
pub struct OpPool<K, S> {
    shared: Arc<Shared<K, S>>,
}

type Storage<K, S> = Box<MaybeUninit<Op<K, Pooled<K, S>>>>;

struct Shared<K, S> {
    /// Last in, first out: what was used last is in the processor's cache.
    idle: Mutex<Vec<Storage<K, S>>>,
}

// SAFETY: idle storage holds no value of any type: only memory is passed on.
unsafe impl<K, S> Send for Shared<K, S> {}
// SAFETY: as above, and the list is behind a lock.
unsafe impl<K, S> Sync for Shared<K, S> {}

impl<K, S> Shared<K, S> {
    fn lock(&self) -> MutexGuard<'_, Vec<Storage<K, S>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The state of a pooled operation: the user's, and the way back.
pub struct Pooled<K, S> {
    /// The user's state.
    pub state: S,
    pool: Arc<Shared<K, S>>,
}

impl<K: Kind, S: Finish<K>> OpPool<K, S> {
    /// An empty pool.
    pub fn new() -> OpPool<K, S> {
        OpPool::with_capacity(0)
    }

    /// A pool with storage for so many operations.
    pub fn with_capacity(count: usize) -> OpPool<K, S> {
        let idle = (0..count).map(|_| Box::new_uninit()).collect();
        OpPool { shared: Arc::new(Shared { idle: Mutex::new(idle) }) }
    }

    /// An operation of `kind`, in storage of the pool, or in new storage when none is idle. Dropping it unused frees
    /// its storage.
    #[track_caller]
    pub fn take(&self, kind: K, state: S) -> Box<Op<K, Pooled<K, S>>> {
        let storage = self.shared.lock().pop();
        let pooled = Pooled { state, pool: self.shared.clone() };
        Op::new_in(storage.unwrap_or_else(Box::new_uninit), kind, pooled)
    }

    /// How many storages are idle.
    pub fn idle(&self) -> usize {
        self.shared.lock().len()
    }

    /// Frees idle storages until `keep` are left. Answers how many it freed.
    pub fn trim(&self, keep: usize) -> usize {
        let mut idle = self.shared.lock();
        let kept = idle.len().min(keep);
        let freed = idle.split_off(kept);
        idle.shrink_to(keep);
        // Freed without the lock.
        drop(idle);
        freed.len()
    }
}

impl<K: Kind, S: Finish<K>> Default for OpPool<K, S> {
    fn default() -> OpPool<K, S> {
        OpPool::new()
    }
}

impl<K, S> Clone for OpPool<K, S> {
    fn clone(&self) -> OpPool<K, S> {
        OpPool { shared: self.shared.clone() }
    }
}

impl<K, S> fmt::Debug for OpPool<K, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpPool").field("idle", &self.shared.lock().len()).finish()
    }
}

/// Gives the storage back when the callback is done with it, or panics.
struct Return<K, S>(Option<Box<Op<K, Pooled<K, S>>>>);

impl<K, S> Drop for Return<K, S> {
    fn drop(&mut self) {
        let Some(op) = self.0.take() else { return };
        let pool = op.state.pool.clone();
        let storage = Op::vacate(op);
        pool.lock().push(storage);
    }
}

impl<K: Kind, S: Finish<K>> Complete<K> for Pooled<K, S> {
    fn done(op: Box<Op<K, Pooled<K, S>>>, outcome: Outcome<K>, cx: &mut Context<'_>) {
        let mut back = Return(Some(op));
        if let Some(op) = &mut back.0 {
            op.state.state.finish(&mut op.kind, outcome, cx);
        }
    }

    fn more(&mut self, kind: &K, outcome: Outcome<K>, cx: &mut Context<'_>) {
        self.state.more(kind, outcome, cx);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::operation::Nop;

    struct Count(#[allow(dead_code)] Arc<()>); // counted, not read

    impl Finish<Nop> for Count {
        fn finish(&mut self, _: &mut Nop, _: Outcome<Nop>, _: &mut Context<'_>) {}
    }

    #[test]
    fn an_operation_that_is_dropped_unused_drops_its_state_and_frees_its_storage() {
        let pool = OpPool::with_capacity(2);
        let token = Arc::new(());
        let op = pool.take(Nop, Count(token.clone()));
        assert_eq!((pool.idle(), Arc::strong_count(&token)), (1, 2));
        drop(op);
        assert_eq!((pool.idle(), Arc::strong_count(&token)), (1, 1));
    }

    #[test]
    fn trim_keeps_what_it_is_told_to() {
        let pool = OpPool::<Nop, Count>::with_capacity(5);
        assert_eq!((pool.trim(3), pool.idle()), (2, 3));
        assert_eq!((pool.trim(10), pool.idle()), (0, 3));
        assert_eq!((pool.trim(0), pool.idle()), (3, 0));
    }
}
