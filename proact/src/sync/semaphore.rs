//! Timeline semaphores: a 64-bit value that rises, who waits for it, and why it rose.
//!
//! # Who takes the lock
//!
//! A signal without causes that satisfies nobody takes none. So a waiter and a signaller can pass each other: one
//! stores that it waits and then looks at the value, the other stores the value and then looks who waits. Without
//! more, both may see the old state, on x86 too, and the wake-up is lost. A sequentially consistent fence between
//! store and load on both sides makes sure that at least one sees the other.
//!
//! All else happens under one short lock: waiters come and go, are told, and the history is written. Telling an
//! operation means to put its token into a queue ([`Sink`]). What more there is to do, to wake a future or a thread and
//! to signal a linked semaphore, is written down under the lock and done after it ([`Work`]); so no code of a user runs
//! under a lock, and no two semaphores are ever locked at once.

use std::fmt;
use std::panic::Location;
use std::sync::PoisonError;

// The standard library's counted pointer, also where a model checker replaces the others: that one has no weak form.
use std::sync::Arc;

use super::timeline::Timeline;
use crate::atomic::{
    AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering, fence, fence_between_sequential_exchange_and_load,
};
use crate::backend::Token;
use crate::causal::{Completeness, Frontier, Knowledge};
use crate::heap::{HeapKey, IndexedHeap};
use crate::status::{Code, Operation, Result, Status};

mod blocking;
mod device;
mod future;
mod history;
mod link;
#[cfg(all(test, loom))]
mod loom_tests;
mod node;
mod options;
#[cfg(all(test, not(loom)))]
mod tests;

use super::fence::Exports;
use device::Device;
pub(super) use device::WeakSemaphore;
pub use future::SemaphoreFuture;
use history::History;
pub use link::SemaphoreLink;
use node::{Entry, Work};
pub use options::SemaphoreOptions;

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
    /// The least value that a waiter waits for; `u64::MAX` if there is none, and 0 if a device drives the semaphore: it
    /// is told of every signal. Written under the lock.
    awaited: AtomicU64,
    /// The value at the time of the failure. Written before `word` becomes [`FAILED`].
    final_value: AtomicU64,
    /// Waits for this semaphore that the kernel itself waits for now: lowering them pays only up to a number.
    lowered_waits: AtomicU32,
    /// Values that others poll for.
    exports: Exports,
    state: Mutex<State>,
    /// The device that drives it.
    timeline: Option<Arc<dyn Timeline>>,
    name: Option<Box<str>>,
}

struct State {
    waiters: IndexedHeap<u64, Entry>,
    history: History,
    failure: Option<Status>,
    device: Device,
}

/// What `word` holds from the failure on.
const FAILED: u64 = u64::MAX;

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
pub(crate) struct Waiter {
    pub(crate) sink: Arc<dyn Sink>,
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

/// What a signaller says of its causes, when it does not say that there are none.
#[derive(Clone, Copy)]
struct Causes<'a> {
    frontier: &'a Frontier,
    completeness: Completeness,
}

impl<'a> Causes<'a> {
    /// `None`: nothing that anyone counts caused it, and that is all there is to know.
    fn exact(frontier: Option<&'a Frontier>) -> Option<Causes<'a>> {
        let frontier = frontier.filter(|frontier| !frontier.is_empty())?;
        Some(Causes { frontier, completeness: Completeness::Exact })
    }

    fn of(knowledge: &'a Knowledge) -> Option<Causes<'a>> {
        let Knowledge { frontier, completeness } = knowledge;
        let says_something = !knowledge.is_exact() || !frontier.is_empty();
        says_something.then_some(Causes { frontier, completeness: *completeness })
    }
}

/// What a signal from outside says: that there may be causes.
static UNKNOWN: Knowledge = Knowledge::lower_bound(Frontier::new());

/// Who brings the news.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// A program: a device that drives the semaphore is told.
    Host,
    /// The device itself.
    Device,
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
        SemaphoreOptions::new().initial(initial).history(entries).build()
    }

    /// The name that it was given with [`SemaphoreOptions::name`].
    pub fn name(&self) -> Option<&str> {
        self.inner.name.as_deref()
    }

    /// The value now; on a failed semaphore, the value it had when it failed.
    ///
    /// Who sees a value also sees all that its signaller, and earlier ones, did before they signalled.
    #[inline]
    pub fn value(&self) -> u64 {
        self.inner.value()
    }

    /// The failure, if there was one.
    pub fn status(&self) -> Option<Status> {
        // Relaxed: who finds it failed comes to the lock after the one who failed it, since that one held it.
        if self.inner.word.load(Ordering::Relaxed) != FAILED {
            return None;
        }
        self.inner.lock().failure.clone()
    }

    /// Raises the value to `value`, which must be above the present one, and releases who waits for it or less.
    ///
    /// `causes` says what this value was caused by. `None`, like an empty frontier, says: by nothing that anyone
    /// counts. Who cannot say that signals with [`Semaphore::signal_known`] or [`Semaphore::signal_tainted`].
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
        self.raise(value, Causes::exact(causes)).map_err(|refused| self.inner.refusal(refused, value, location))
    }

    /// As [`Semaphore::signal`] where several may bring the same news: a value that the semaphore has already is no
    /// error, and `causes` are then ignored. Says whether the value rose.
    ///
    /// # Errors
    /// The semaphore's failure, if it has failed. InvalidArgument if `value` is above [`Semaphore::VALUE_MAX`].
    #[track_caller]
    pub fn signal_if_later(&self, value: u64, causes: Option<&Frontier>) -> Result<bool> {
        self.raised(self.raise(value, Causes::exact(causes)), value, Location::caller())
    }

    /// As [`Semaphore::signal`], for who knows only some of the causes: a [lower bound](Completeness::LowerBound) stays
    /// one for whoever waits for the value, and is no requirement for them either.
    ///
    /// # Errors
    /// As [`Semaphore::signal`].
    #[track_caller]
    pub fn signal_known(&self, value: u64, causes: &Knowledge) -> Result {
        let location = Location::caller();
        self.raise(value, Causes::of(causes)).map_err(|refused| self.inner.refusal(refused, value, location))
    }

    /// As [`Semaphore::signal`], for news from outside: an imported fence, another process, a device that says nothing
    /// of its causes. The value is *tainted*: reached, and nobody vouches for what it was caused by.
    ///
    /// [`Semaphore::causes`] of it is a lower bound for good, also after values from within were signalled above it.
    ///
    /// ```
    /// use proact::sync::Semaphore;
    /// let imported = Semaphore::new(0);
    /// imported.signal_tainted(3)?;
    /// assert!(imported.is_tainted(3) && imported.causes(3).unwrap().requirement().is_none());
    /// imported.signal(4, None)?;
    /// assert_eq!((imported.untainted_value(), imported.is_tainted(4), imported.is_tainted(3)), (4, false, true));
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    ///
    /// # Errors
    /// As [`Semaphore::signal`].
    #[track_caller]
    pub fn signal_tainted(&self, value: u64) -> Result {
        self.signal_known(value, &UNKNOWN)
    }

    /// As [`Semaphore::signal_tainted`], and as [`Semaphore::signal_if_later`] for a value that the semaphore has
    /// already: that is no error, and no taint. Says whether the value rose.
    ///
    /// # Errors
    /// As [`Semaphore::signal_if_later`].
    #[track_caller]
    pub fn signal_tainted_if_later(&self, value: u64) -> Result<bool> {
        self.raised(self.raise(value, Causes::of(&UNKNOWN)), value, Location::caller())
    }

    /// As [`Semaphore::signal_known`], and as [`Semaphore::signal_if_later`] for a value that the semaphore has
    /// already; for an operation that was submitted at `location`.
    pub(crate) fn signal_known_if_later_at(
        &self,
        value: u64,
        causes: &Knowledge,
        location: &'static Location<'static>,
    ) -> Result<bool> {
        self.raised(self.raise(value, Causes::of(causes)), value, location)
    }

    /// Says of the values above `value` that the semaphore has reached that they may have come from outside. It lowers
    /// [`Semaphore::untainted_value`] and never raises it; values signalled from within later are not tainted by it.
    pub fn mark_tainted_above(&self, value: u64) {
        let mut state = self.inner.lock();
        // Read under the lock: what rises meanwhile, without it, is a signal from within.
        let present = self.value();
        state.history.mark_tainted(value, present);
    }

    /// Whether `value` came from outside, or may have. A value that was not reached yet is: nobody vouches for it.
    ///
    /// A value whose causes were forgotten is not tainted by that; ask [`Semaphore::causes`] whether they are exact.
    pub fn is_tainted(&self, value: u64) -> bool {
        let state = self.inner.lock();
        value > self.value() || state.history.is_tainted(value)
    }

    /// The watermark: the largest value that was reached and is not [tainted](Semaphore::is_tainted). All above it are.
    pub fn untainted_value(&self) -> u64 {
        let state = self.inner.lock();
        state.history.untainted(self.value())
    }

    /// Fails the semaphore for good: the value stays, who waits is told, later signals are refused. Only the first
    /// failure counts; says whether this was it.
    ///
    /// Values that were reached before stay reached: waiting for one of them still succeeds.
    pub fn fail(&self, status: Status) -> bool {
        let mut work = Work::new();
        self.inner.fail(status, By::Host, &mut work)
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
        self.arm_entry(value, Entry::Sink(waiter))
    }

    fn arm_entry(&self, value: u64, entry: Entry) -> Armed {
        let inner = &*self.inner;
        if value <= self.value() {
            return Armed::Reached;
        }
        let mut state = inner.lock();
        // Under the lock the value may still rise, but the semaphore cannot fail.
        if let Some(status) = &state.failure {
            return if value <= self.value() { Armed::Reached } else { Armed::Failed(status.clone()) };
        }
        let key = state.waiters.insert(value, entry);
        inner.publish_awaited(&state);
        // See the head of this file. The other half is in `raise`.
        fence(Ordering::SeqCst);
        if value <= inner.word.load(Ordering::Acquire) {
            let removed = state.waiters.remove(key);
            inner.publish_awaited(&state);
            drop(state);
            // As in `disarm`.
            drop(removed);
            return Armed::Reached;
        }
        drop(state);
        if inner.timeline.is_some() {
            self.tell_device_of(key);
        }
        Armed::Pending(key)
    }

    /// Tells the device of a waiter. If the device panics the waiter is taken out again: nobody else could.
    #[cold]
    fn tell_device_of(&self, key: HeapKey) {
        struct Line<'a>(&'a Semaphore, HeapKey);

        impl Drop for Line<'_> {
            fn drop(&mut self) {
                self.0.disarm(self.1);
            }
        }

        let line = Line(self, key);
        self.inner.tell_device();
        std::mem::forget(line);
    }

    /// Takes a waiter out of the line. `true`: it was not and never will be told. `false`: it was told; a sink's call
    /// has returned, and what is done outside of the lock may still be under way.
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

    #[inline]
    fn raise(&self, value: u64, causes: Option<Causes<'_>>) -> Result<(), Refused> {
        let mut work = Work::new();
        self.inner.raise(value, causes, By::Host, &mut work)
        // What there is to do after the lock is done when `work` is dropped.
    }

    fn raised(&self, outcome: Result<(), Refused>, value: u64, location: &'static Location<'static>) -> Result<bool> {
        match outcome {
            Ok(()) => Ok(true),
            Err(Refused::NotAbove(_)) => Ok(false),
            Err(refused) => Err(self.inner.refusal(refused, value, location)),
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock panics but for want of memory, and then no invariant is broken half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    fn value(&self) -> u64 {
        match self.word.load(Ordering::Acquire) {
            FAILED => self.final_value.load(Ordering::Relaxed),
            value => value,
        }
    }

    #[inline]
    fn raise(&self, value: u64, causes: Option<Causes<'_>>, by: By, work: &mut Work) -> Result<(), Refused> {
        if causes.is_some() || by == By::Device {
            return self.raise_under_the_lock(value, causes, by, work);
        }
        self.exchange(value)?;
        // See the head of this file. The other half is in `arm_entry`.
        fence_between_sequential_exchange_and_load();
        if self.awaited.load(Ordering::SeqCst) <= value {
            self.tell(self.lock(), work);
        }
        Ok(())
    }

    fn raise_under_the_lock(
        &self,
        value: u64,
        causes: Option<Causes<'_>>,
        by: By,
        work: &mut Work,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        let previous = self.exchange(value)?;
        if let Some(Causes { frontier, completeness }) = causes {
            state.history.push(previous, value, frontier, completeness);
        }
        if by == By::Device {
            state.device.knows(value);
        }
        self.tell(state, work);
        Ok(())
    }

    fn fail(&self, status: Status, by: By, work: &mut Work) -> bool {
        // Outside of the lock: it may allocate, and is in vain only when another was first.
        let status = self.about(status);
        let mut state = self.lock();
        if state.failure.is_some() {
            return false;
        }
        state.failure = Some(status.clone());
        if by == By::Device {
            state.device.knows_of_failure();
        }
        let mut value = self.word.load(Ordering::Relaxed);
        loop {
            self.final_value.store(value, Ordering::Relaxed);
            // Release: who finds it failed finds the last value; no model fails without. Acquire: who is told below
            // that its value came first sees what came before that.
            match self.word.compare_exchange_weak(value, FAILED, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => value = now,
            }
        }
        // Reached by signallers that have not come to tell yet: for these waiters the value came first.
        state.tell_reached(value, work);
        // Detached first, told then: what a sink does on success must not happen any more.
        while let Some((_, entry)) = state.waiters.pop() {
            entry.failed(&status, work);
        }
        self.publish_awaited(&state);
        drop(state);
        self.tell_device();
        true
    }

    /// `status`, with the semaphore's name if it has one.
    fn about(&self, status: Status) -> Status {
        match &self.name {
            Some(name) => status.with_context(format!("{name:?}")),
            None => status,
        }
    }

    #[cold]
    fn refusal(&self, refused: Refused, value: u64, location: &'static Location<'static>) -> Status {
        let message = match refused {
            Refused::NotAbove(present) => format!("value {value} is not above the present value {present}"),
            // `word` says failed only after the failure was written, under the lock.
            Refused::Failed => match self.lock().failure.clone() {
                Some(status) => return status,
                None => format!("value {value} is above the largest value, {}", Semaphore::VALUE_MAX),
            },
        };
        let status = Status::at(Code::InvalidArgument, Operation::SemaphoreSignal, 0, location);
        self.about(status.with_message(message))
    }

    /// Raises the word from whatever is below `value`. Returns what it was.
    #[inline]
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
            // acquires this value acquires what earlier signallers did too. Sequentially consistent for `raise`.
            match self.word.compare_exchange_weak(present, value, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return Ok(present),
                Err(now) => present = now,
            }
        }
    }

    /// Tells all whose value has been reached.
    fn tell(&self, mut state: MutexGuard<'_, State>, work: &mut Work) {
        match self.word.load(Ordering::Acquire) {
            // The failure has told everyone.
            FAILED => {}
            value => state.tell_reached(value, work),
        }
        self.publish_awaited(&state);
        drop(state);
        self.tell_device();
    }

    /// Makes `awaited` true again.
    ///
    /// A signaller that reads too low a value takes the lock for nothing, which harms no one. None that matters reads
    /// too high a one: only `arm` lowers it, and looks at the word again behind a fence.
    fn publish_awaited(&self, state: &State) {
        let least = if self.timeline.is_some() { 0 } else { state.least_awaited() };
        self.awaited.store(least, Ordering::Relaxed);
    }
}

/// Whoever is linked to a semaphore that nobody can signal any more fails.
impl Drop for Inner {
    fn drop(&mut self) {
        let mut work = Work::new();
        let mut state = self.lock();
        if state.waiters.is_empty() {
            return;
        }
        let gone = Status::new(Code::Cancelled, Operation::SemaphoreSignal)
            .with_message("the semaphore that it is linked to was dropped");
        let gone = self.about(gone);
        while let Some((_, entry)) = state.waiters.pop() {
            // Who waits holds the semaphore; only what is to happen by itself is left.
            if let Entry::Node(..) = &entry {
                entry.failed(&gone, &mut work);
            }
        }
    }
}

impl State {
    fn least_awaited(&self) -> u64 {
        self.waiters.peek().map_or(u64::MAX, |(&value, _)| value)
    }

    fn tell_reached(&mut self, value: u64, work: &mut Work) {
        while let Some((&awaited, entry)) = self.waiters.peek() {
            if awaited > value {
                break;
            }
            // In its place: to move an entry out first, only to read it, costs a tenth of the whole signal.
            entry.reached(|| self.history.causes(awaited), work);
            self.waiters.drop_first();
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Semaphore");
        if let Some(name) = self.name() {
            debug.field("name", &name);
        }
        debug.field("value", &self.value());
        if let Some(status) = self.status() {
            debug.field("failure", &status.code());
        }
        debug.finish()
    }
}
