//! Timeline semaphores: a 64-bit value that rises, who waits for it, and why it rose.
//!
//! # Who takes the lock
//!
//! A signal without causes that satisfies nobody takes none. So a waiter and a signaller can pass each other: one
//! stores that it waits and then looks at the value, the other stores the value and then looks who waits. Without
//! more, both may see the old state, on x86 too, and the wake-up is lost. A sequentially consistent fence between
//! store and load on both sides makes sure that at least one sees the other.
//!
//! All else happens under one short lock: waiters come and go, are told, and the history is written. Telling a waiter
//! means to put its token into a queue ([`Sink`]); no code of a user runs there.

use std::fmt;
use std::panic::Location;
use std::sync::PoisonError;

use crate::atomic::{Arc, AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, fence};
use crate::backend::Token;
use crate::causal::{Frontier, Knowledge};
use crate::heap::{HeapKey, IndexedHeap};
use crate::status::{Code, Operation, Result, Status};

mod history;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;

use super::fence::Exports;
use history::History;

/// A timeline semaphore: a 64-bit value that only rises, and a failure that stays.
///
/// Work waits for a value, and is released when the semaphore has reached it. A signal may say what it was caused by,
/// as a [`Frontier`]; whoever waited for that value, then or later, can ask for these causes. A semaphore belongs to
/// no proactor: operations of any may wait on it, any thread may signal it. Clones are the same semaphore.
///
/// ```
/// use proact::causal::{Axis, Frontier};
/// use proact::status::{Code, Operation, Status};
/// use proact::sync::Semaphore;
///
/// let semaphore = Semaphore::new(0);
/// let causes = Frontier::single(Axis::queue(0, 0, 0, 0), 7)?;
/// semaphore.signal(2, Some(&causes))?;
/// semaphore.signal(5, None)?;
/// assert_eq!(semaphore.value(), 5);
/// assert_eq!(semaphore.causes(2).unwrap().requirement(), Some(&causes));
///
/// semaphore.fail(Status::new(Code::DataLoss, Operation::None));
/// assert_eq!(semaphore.signal(6, None).unwrap_err().code(), Code::DataLoss);
/// assert_eq!(semaphore.value(), 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Semaphore {
    inner: Arc<Inner>,
}

struct Inner {
    /// The value, or [`FAILED`], which is above every value: so one exchange both raises it and finds that it may.
    word: AtomicU64,
    /// The least value that a waiter waits for; `u64::MAX` if there is none. Written under the lock.
    awaited: AtomicU64,
    /// The value at the time of the failure. Written before `word` becomes [`FAILED`].
    final_value: AtomicU64,
    /// Waits for this semaphore that the kernel itself waits for now: lowering them pays only up to a number.
    lowered_waits: AtomicU32,
    /// Values that others poll for.
    exports: Exports,
    state: Mutex<State>,
}

struct State {
    waiters: IndexedHeap<u64, Waiter>,
    history: History,
    failure: Option<Status>,
}

/// What `word` holds from the failure on.
const FAILED: u64 = u64::MAX;

/// Waiters that find room without an allocation.
const WAITERS_RESERVED: usize = 4;

/// Who is told that a waiter's value was reached, or never will be.
///
/// Both are called under the semaphore's lock, on the signalling thread: they put the token into a queue and return.
/// They must not touch a semaphore, block, or run code that could; nor may dropping a sink, whose last pointer may go
/// there too.
pub(crate) trait Sink: Send + Sync {
    /// The value was reached.
    fn reached(&self, token: Token, index: u32);
    /// The semaphore failed first; [`Semaphore::status`] says how.
    fn failed(&self, token: Token, index: u32);
}

/// Who waits: the operation, and which of its waits this is.
///
/// The standard library's counted pointer, also where a model checker replaces the others: that one cannot hold a trait
/// object.
pub(crate) struct Waiter {
    pub(crate) sink: std::sync::Arc<dyn Sink>,
    pub(crate) token: Token,
    pub(crate) index: u32,
}

/// What became of [`Semaphore::arm`].
#[derive(Debug)]
#[must_use]
pub(crate) enum Armed {
    /// The value was reached already. The sink is not called.
    Reached,
    /// The semaphore has failed below the value. The sink is not called.
    Failed(Status),
    /// The sink will be called, once, unless [`Semaphore::disarm`] answers `true` first.
    Pending(HeapKey),
}

/// Why the value did not rise.
enum Refused {
    Failed,
    NotAbove(u64),
}

impl Semaphore {
    /// The largest value that can be signalled. `u64::MAX` may be waited for, and is never reached.
    pub const VALUE_MAX: u64 = u64::MAX - 1;

    /// How many signals' causes [`Semaphore::new`] makes room for.
    pub const HISTORY_DEFAULT: usize = 16;

    /// A semaphore at `initial` that remembers the causes of the last [`Semaphore::HISTORY_DEFAULT`] signals that had
    /// some.
    ///
    /// # Panics
    /// If `initial` is above [`Semaphore::VALUE_MAX`].
    pub fn new(initial: u64) -> Semaphore {
        Semaphore::with_history(initial, Semaphore::HISTORY_DEFAULT)
    }

    /// A semaphore at `initial` that remembers the causes of the last `entries` signals that had some.
    ///
    /// # Panics
    /// If `initial` is above [`Semaphore::VALUE_MAX`].
    pub fn with_history(initial: u64, entries: usize) -> Semaphore {
        assert!(initial <= Semaphore::VALUE_MAX, "initial value {initial} is above Semaphore::VALUE_MAX");
        let mut waiters = IndexedHeap::new();
        waiters.reserve(WAITERS_RESERVED);
        let state = State { waiters, history: History::new(entries), failure: None };
        Semaphore {
            inner: Arc::new(Inner {
                word: AtomicU64::new(initial),
                lowered_waits: AtomicU32::new(0),
                awaited: AtomicU64::new(u64::MAX),
                final_value: AtomicU64::new(initial),
                exports: Exports::new(),
                state: Mutex::new(state),
            }),
        }
    }

    /// The value now; on a failed semaphore, the value it had when it failed.
    ///
    /// Who sees a value also sees all that its signaller, and earlier ones, did before they signalled.
    pub fn value(&self) -> u64 {
        match self.inner.word.load(Ordering::Acquire) {
            FAILED => self.inner.final_value.load(Ordering::Relaxed),
            value => value,
        }
    }

    /// The failure, if there was one.
    pub fn status(&self) -> Option<Status> {
        if self.inner.word.load(Ordering::Acquire) != FAILED {
            return None;
        }
        self.inner.lock().failure.clone()
    }

    /// Raises the value to `value`, which must be above the present one, and releases who waits for it or less.
    ///
    /// `causes` says what this value was caused by. `None`, like an empty frontier, says: by nothing that anyone
    /// counts.
    ///
    /// # Errors
    /// The semaphore's failure, if it has failed. InvalidArgument if `value` is not above the present value, or above
    /// [`Semaphore::VALUE_MAX`].
    #[track_caller]
    pub fn signal(&self, value: u64, causes: Option<&Frontier>) -> Result {
        self.signal_at(value, causes, Location::caller())
    }

    /// As [`Semaphore::signal`], for an operation that was submitted at `location`.
    pub(crate) fn signal_at(
        &self,
        value: u64,
        causes: Option<&Frontier>,
        location: &'static Location<'static>,
    ) -> Result {
        match self.raise(value, causes) {
            Ok(()) => Ok(()),
            Err(Refused::NotAbove(present)) => {
                Err(Status::at(Code::InvalidArgument, Operation::SemaphoreSignal, 0, location)
                    .with_message(format!("value {value} is not above the present value {present}")))
            }
            Err(Refused::Failed) => Err(self.refusal_of_failed(value, location)),
        }
    }

    /// As [`Semaphore::signal`] where several may bring the same news: a value that the semaphore has already is no
    /// error, and `causes` are then ignored. Says whether the value rose.
    ///
    /// # Errors
    /// The semaphore's failure, if it has failed. InvalidArgument if `value` is above [`Semaphore::VALUE_MAX`].
    #[track_caller]
    pub fn signal_if_later(&self, value: u64, causes: Option<&Frontier>) -> Result<bool> {
        match self.raise(value, causes) {
            Ok(()) => Ok(true),
            Err(Refused::NotAbove(_)) => Ok(false),
            Err(Refused::Failed) => Err(self.refusal_of_failed(value, Location::caller())),
        }
    }

    /// Fails the semaphore for good: the value stays, who waits is told, later signals are refused. Only the first
    /// failure counts; says whether this was it.
    ///
    /// Values that were reached before stay reached: waiting for one of them still succeeds.
    pub fn fail(&self, status: Status) -> bool {
        let mut state = self.inner.lock();
        if state.failure.is_some() {
            return false;
        }
        state.failure = Some(status);
        let mut value = self.inner.word.load(Ordering::Relaxed);
        loop {
            self.inner.final_value.store(value, Ordering::Relaxed);
            match self.inner.word.compare_exchange_weak(value, FAILED, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => value = now,
            }
        }
        // Reached by signallers that have not come to tell yet: for these waiters the value came first.
        state.tell_reached(value);
        // Detached first, told then: what a sink does on success must not happen any more.
        while let Some((_, waiter)) = state.waiters.pop() {
            waiter.sink.failed(waiter.token, waiter.index);
        }
        self.inner.publish_awaited(&state);
        true
    }

    /// What `value` was caused by; `None` if it was not reached.
    ///
    /// - A value that was signalled has the causes given with that signal.
    /// - A value that was skipped has those of the smallest signalled value above it.
    /// - Values up to the initial one, and those signalled without causes, have none.
    /// - The causes of old signals are forgotten when newer ones need the room. The answer for a value that such a
    ///   signal may have covered is [`Completeness::LowerBound`](crate::causal::Completeness::LowerBound): an empty
    ///   frontier that is no requirement.
    ///
    /// Who sees a value through [`Semaphore::value`], or was released by it, finds its causes here.
    pub fn causes(&self, value: u64) -> Option<Knowledge> {
        // A signal with causes moves the value and writes the history under this lock, so neither is seen alone.
        let state = self.inner.lock();
        (value <= self.value()).then(|| state.history.causes(value))
    }

    /// Puts `waiter` in line for `value`: ascending by value, first come first served at equal values.
    ///
    /// The caller keeps a clone of the semaphore until the sink was called or [`Semaphore::disarm`] answered: the last
    /// clone takes its waiters with it, untold.
    pub(crate) fn arm(&self, value: u64, waiter: Waiter) -> Armed {
        if value <= self.value() {
            return Armed::Reached;
        }
        let mut state = self.inner.lock();
        // Under the lock the value may still rise, but the semaphore cannot fail.
        if let Some(status) = &state.failure {
            return if value <= self.value() { Armed::Reached } else { Armed::Failed(status.clone()) };
        }
        let key = state.waiters.insert(value, waiter);
        self.inner.publish_awaited(&state);
        // See the head of this file. The other half is in `raise`.
        fence(Ordering::SeqCst);
        if value <= self.inner.word.load(Ordering::Acquire) {
            state.waiters.remove(key);
            self.inner.publish_awaited(&state);
            return Armed::Reached;
        }
        Armed::Pending(key)
    }

    /// Takes a waiter out of the line. `true`: its sink was not and never will be called. `false`: its sink was called,
    /// and the call has returned.
    pub(crate) fn disarm(&self, key: HeapKey) -> bool {
        let mut state = self.inner.lock();
        let removed = state.waiters.remove(key);
        self.inner.publish_awaited(&state);
        drop(state);
        // What the waiter held is given back outside the lock: it may be the last pointer to its sink.
        removed.is_some()
    }

    /// What of it has been exported.
    pub(crate) fn exports(&self) -> &Exports {
        &self.inner.exports
    }

    pub(crate) fn lowered_waits(&self) -> u32 {
        self.inner.lowered_waits.load(Ordering::Relaxed)
    }

    pub(crate) fn add_lowered_wait(&self) {
        self.inner.lowered_waits.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn remove_lowered_wait(&self) {
        self.inner.lowered_waits.fetch_sub(1, Ordering::Relaxed);
    }

    fn raise(&self, value: u64, causes: Option<&Frontier>) -> Result<(), Refused> {
        let inner = &*self.inner;
        match causes {
            Some(causes) if !causes.is_empty() => {
                let mut state = inner.lock();
                let previous = inner.exchange(value)?;
                state.history.push(previous, value, causes);
                inner.tell(&mut state);
            }
            _ => {
                inner.exchange(value)?;
                // See the head of this file. The other half is in `arm`.
                fence(Ordering::SeqCst);
                if inner.awaited.load(Ordering::Relaxed) <= value {
                    inner.tell(&mut inner.lock());
                }
            }
        }
        Ok(())
    }

    #[cold]
    fn refusal_of_failed(&self, value: u64, location: &'static Location<'static>) -> Status {
        // `word` says failed only after the failure was written, under the lock.
        self.status().unwrap_or_else(|| {
            Status::at(Code::InvalidArgument, Operation::SemaphoreSignal, 0, location)
                .with_message(format!("value {value} is above the largest value, {}", Semaphore::VALUE_MAX))
        })
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock panics but for want of memory, and then no invariant is broken half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises the word from whatever is below `value`. Returns what it was.
    fn exchange(&self, value: u64) -> Result<u64, Refused> {
        let mut present = self.word.load(Ordering::Relaxed);
        loop {
            if present == FAILED || value == FAILED {
                return Err(Refused::Failed);
            }
            if value <= present {
                return Err(Refused::NotAbove(present));
            }
            // Releases what the signaller did. Each exchange goes on the release sequences of those before it, so who
            // acquires this value acquires what earlier signallers did too.
            match self.word.compare_exchange_weak(present, value, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return Ok(present),
                Err(now) => present = now,
            }
        }
    }

    /// Tells all whose value has been reached.
    fn tell(&self, state: &mut State) {
        match self.word.load(Ordering::Acquire) {
            // The failure has told everyone.
            FAILED => {}
            value => state.tell_reached(value),
        }
        self.publish_awaited(state);
    }

    /// Makes `awaited` true again.
    ///
    /// A signaller that reads too low a value takes the lock for nothing, which harms no one. None that matters reads
    /// too high a one: only `arm` lowers it, and looks at the word again behind a fence.
    fn publish_awaited(&self, state: &State) {
        let least = state.waiters.peek().map_or(u64::MAX, |(&value, _)| value);
        self.awaited.store(least, Ordering::Relaxed);
    }
}

impl State {
    fn tell_reached(&mut self, value: u64) {
        while let Some((&awaited, waiter)) = self.waiters.peek() {
            if awaited > value {
                break;
            }
            // Told before it is detached: who finds no waiter may rely on its sink having been called.
            waiter.sink.reached(waiter.token, waiter.index);
            self.waiters.pop();
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Semaphore");
        debug.field("value", &self.value());
        if let Some(status) = self.status() {
            debug.field("failure", &status.code());
        }
        debug.finish()
    }
}
