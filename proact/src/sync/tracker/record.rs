//! The place of one axis: how far it has come, and who waits for it.
//!
//! # A count that never goes back
//!
//! A place is used again when its axis has been retired, while other threads may still be about to advance the old one.
//! So the word that is advanced is not the epoch but a count, which goes on where the last axis stopped: `count` less
//! `start` is the epoch. An exchange that was held up expects a count that has been left behind for good, and fails.
//! Whoever advances therefore reads the count first, then whose it is, and then exchanges: if that succeeds, the place
//! did not change hands in between.
//!
//! # Who takes the lock
//!
//! An advance that releases nobody takes none. So a waiter and who advances can pass each other: the waiter stores that
//! it waits and then looks at the count, the other raises the count and then looks who waits. Both do so by an exchange
//! on the count, the waiter by one that changes nothing. Exchanges on one word have an order: if the waiter's comes
//! first, the other acquires all that the waiter wrote before; if it comes second, it reads the raised count. Fences on
//! both sides would do as well, and each costs what an exchange does (5 ns, measured): here who advances needs none.

use std::sync::PoisonError;
use std::task::Waker;

use super::task::Task;
use crate::atomic::{AtomicU32, AtomicU64, Mutex, MutexGuard, Ordering};
use crate::causal::{Axis, Frontier};
use crate::heap::{HeapKey, IndexedHeap};
use crate::status::Status;
use crate::sync::{Semaphore, Waiter};

/// Waiters of an axis that find room without an allocation.
const WAITERS_RESERVED: usize = 4;

/// From this count on a place is not used again: a new axis must have all of its epochs before it.
const WORN: u64 = 1 << 63;

/// The bits of no axis: its domain does not exist.
const NOBODY: u64 = u64::MAX;

/// In a cache line, and the next that is fetched with it, of its own: axes are advanced by different threads.
#[repr(align(128))]
pub(super) struct Record {
    /// The bits of the axis; [`NOBODY`] while the place changes hands.
    axis: AtomicU64,
    count: AtomicU64,
    /// The count at the axis's epoch 0. No two axes of this place have the same.
    start: AtomicU64,
    /// The least count that a waiter waits for; `u64::MAX` if there is none. 0 when everyone is to take the lock.
    awaited: AtomicU64,
    /// Not 0: failed or retired.
    failed: AtomicU32,
    /// The next place whose axis has the same bucket.
    pub(super) next: AtomicU32,
    state: Mutex<State>,
}

struct State {
    /// Whose place it is: `axis`, as long as it is registered or remembered.
    axis: Option<Axis>,
    retired: bool,
    name: Option<Box<str>>,
    semaphore: Option<Semaphore>,
    failure: Option<Status>,
    /// By count.
    pending: IndexedHeap<u64, Party>,
    /// Waits for several axes, this one among them, whether it was reached or not: its failure ends them.
    mentioned: IndexedHeap<u64, Party>,
    /// Waits that were armed here and not disarmed: they may yet ask for the failure.
    watchers: u32,
}

/// Who waits.
pub(crate) enum Party {
    /// An operation, which is put into a queue.
    Operation(Waiter),
    /// A future, which is woken when the lock has been given back: that is a user's code.
    Task(std::sync::Arc<Task>, u32),
}

/// Futures to wake, in this order. Dropping wakes them: under no lock.
#[derive(Default)]
struct Wakes {
    few: [Option<Waker>; 8],
    more: Vec<Option<Waker>>,
    count: usize,
    woken: usize,
}

/// What is left to do for an axis that has ended: dropping it does that, under no lock.
#[must_use]
pub(super) struct Ended {
    _wakes: Wakes,
    /// It may be the last handle, and dropping that is for outside of every lock too.
    _semaphore: Option<Semaphore>,
}

/// Where a wait stands in the line of an axis.
#[derive(Default, Debug)]
pub(super) struct Place {
    pub(super) record: u32,
    pending: Option<HeapKey>,
    mention: Option<HeapKey>,
    pub(super) watched: bool,
}

/// What became of an attempt to advance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Raised {
    Later,
    /// As far already, failed, or another axis's place by now.
    Not,
}

/// Why a wait does not stand in line.
pub(super) enum Refusal {
    /// The axis was retired, and its place is another's by now.
    Gone,
    Failed(Status),
}

impl Record {
    /// The last epoch of an axis: half of what the count can hold, so that every axis of a place has all of them.
    pub(super) const EPOCH_MAX: u64 = WORN - 1;

    pub(super) fn new() -> Record {
        Record {
            axis: AtomicU64::new(NOBODY),
            count: AtomicU64::new(0),
            start: AtomicU64::new(0),
            awaited: AtomicU64::new(u64::MAX),
            failed: AtomicU32::new(0),
            next: AtomicU32::new(super::NONE),
            state: Mutex::new(State {
                axis: None,
                retired: false,
                name: None,
                semaphore: None,
                failure: None,
                pending: IndexedHeap::new(),
                mentioned: IndexedHeap::new(),
                watchers: 0,
            }),
        }
    }

    /// Whether this is, or lately was, the place of `axis`.
    #[inline]
    pub(super) fn is_of(&self, axis: Axis) -> bool {
        self.axis.load(Ordering::Acquire) == axis.to_bits()
    }

    /// How far `axis` has come; `None`: it is another's place by now.
    pub(super) fn epoch(&self, axis: Axis) -> Option<u64> {
        let count = self.count.load(Ordering::Acquire);
        count.checked_sub(self.start_of(axis)?)
    }

    /// Where `axis` began to count. Asked after the count was read: who has seen a count sees its owner, or a later
    /// one, whose start lies above that count.
    #[inline]
    fn start_of(&self, axis: Axis) -> Option<u64> {
        if !self.is_of(axis) {
            return None;
        }
        let start = self.start.load(Ordering::Acquire);
        // Asked again, both: while the place changes hands, also from an axis to a later one of the same name, the
        // start is tried out before it is true. Starts only rise, and who sees the owner sees the true one.
        (self.is_of(axis) && self.start.load(Ordering::Relaxed) == start).then_some(start)
    }

    #[inline]
    pub(super) fn advance(&self, axis: Axis, epoch: u64) -> Raised {
        self.raise(epoch, || self.start_of(axis))
    }

    /// As [`Record::advance`] for the axis that began to count at `start`.
    #[inline]
    pub(super) fn advance_from(&self, start: u64, epoch: u64) -> Raised {
        // Relaxed: a start that is out of date is one of a count that is left behind, and then the exchange fails.
        self.raise(epoch, || (self.start.load(Ordering::Relaxed) == start).then_some(start))
    }

    #[inline]
    fn raise(&self, epoch: u64, start: impl Fn() -> Option<u64>) -> Raised {
        debug_assert!(epoch <= Record::EPOCH_MAX);
        let target = loop {
            let count = self.count.load(Ordering::Acquire);
            let Some(start) = start().filter(|&start| start <= count) else { return Raised::Not };
            let target = start + epoch;
            if target <= count || self.failed.load(Ordering::Relaxed) != 0 {
                return Raised::Not;
            }
            // Release: who sees the count sees what came before it. Acquire: see the head of this file, which also says
            // why the place is still the axis's when this succeeds.
            let raised = self.count.compare_exchange_weak(count, target, Ordering::AcqRel, Ordering::Relaxed);
            if raised.is_ok() {
                break target;
            }
        };
        // The other half is in `arm`.
        if self.awaited.load(Ordering::Relaxed) <= target {
            self.tell();
        }
        Raised::Later
    }

    /// Tells everyone whose count has been reached.
    #[cold]
    fn tell(&self) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        let count = self.count.load(Ordering::Acquire);
        state.tell_reached(count, &mut wakes);
        self.publish_awaited(&state);
        let bridge = state.semaphore.clone().zip(state.axis);
        // Under the lock the place does not change hands.
        let epoch = count - self.start.load(Ordering::Relaxed);
        drop(state);
        // Outside the lock, for both run code of others: links and drivers of the semaphore, executors. The wakes are
        // dropped after this, whatever comes of it.
        if let Some((semaphore, axis)) = bridge {
            drive(&semaphore, axis, epoch);
        }
    }

    /// Makes `awaited` true again. One that reads too low a value takes the lock for nothing; none that matters reads
    /// too high a one: only `arm` lowers it, and exchanges the count then.
    fn publish_awaited(&self, state: &State) {
        let least = match (&state.semaphore, state.pending.peek()) {
            (Some(_), _) => 0,
            (None, Some((&count, _))) => count,
            (None, None) => u64::MAX,
        };
        self.awaited.store(least, Ordering::Relaxed);
    }

    /// Puts a wait in line for `epoch` of `axis`. `Ok(true)`: it has been reached. In any case of `Ok` the place is
    /// to be disarmed once.
    pub(super) fn arm(
        &self,
        place: &mut Place,
        axis: Axis,
        epoch: u64,
        alone: bool,
        party: impl Fn() -> Party,
    ) -> Result<bool, Refusal> {
        let mut state = self.lock();
        if state.axis != Some(axis) {
            return Err(Refusal::Gone);
        }
        if let Some(failure) = &state.failure {
            return Err(Refusal::Failed(failure.clone()));
        }
        state.watchers += 1;
        place.watched = true;
        if !alone {
            place.mention = Some(state.mentioned.insert(0, party()));
        }
        let target = self.start.load(Ordering::Relaxed) + epoch;
        // Acquire: who is told that it has been reached sees what came before; no model fails without.
        if self.count.load(Ordering::Acquire) >= target {
            return Ok(true);
        }
        let key = state.pending.insert(target, party());
        self.publish_awaited(&state);
        // See the head of this file. The other half is in `raise`.
        if self.count.fetch_add(0, Ordering::AcqRel) >= target {
            state.pending.remove(key);
            self.publish_awaited(&state);
            return Ok(true);
        }
        place.pending = Some(key);
        Ok(false)
    }

    /// Takes a wait out of the line. From then on it is not told any more.
    pub(super) fn disarm(&self, place: &mut Place) {
        if !std::mem::take(&mut place.watched) {
            return;
        }
        let mut state = self.lock();
        state.watchers -= 1;
        let pending = place.pending.take().and_then(|key| state.pending.remove(key));
        let mention = place.mention.take().and_then(|key| state.mentioned.remove(key));
        self.publish_awaited(&state);
        drop(state);
        // What they held is given back outside the lock: it may be the last pointer.
        drop((pending, mention));
    }

    /// Why `axis` has failed.
    pub(super) fn failure(&self, axis: Axis) -> Option<Status> {
        // Relaxed: who finds it failed comes to the lock after the one who failed it, since that one held it.
        if self.failed.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let state = self.lock();
        if state.axis == Some(axis) { state.failure.clone() } else { None }
    }

    /// The failure that a wait was told of, which stands here until it is disarmed.
    pub(super) fn reason(&self) -> Option<Status> {
        self.lock().failure.clone()
    }

    /// Ends `axis`, for a failure that only the first time counts. `start`: only if the axis began to count there.
    /// Answers whether it was the first.
    pub(super) fn fail(&self, axis: Axis, start: Option<u64>, status: Status) -> bool {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        let mine = state.axis == Some(axis) && start.is_none_or(|start| start == self.start.load(Ordering::Relaxed));
        if !mine || state.failure.is_some() {
            return false;
        }
        let status = status.with_context(state.title());
        self.end(&mut state, status.clone(), &mut wakes);
        let semaphore = state.semaphore.take();
        self.publish_awaited(&state);
        drop(state);
        // Outside the lock: whoever waits for the semaphore may come back here. The wakes come after it, as in `tell`.
        if let Some(semaphore) = semaphore {
            semaphore.fail(status);
        }
        true
    }

    /// Ends `axis` for good, so that its place may be given back. The semaphore that it drove is let go and does not
    /// fail. `None`: it is not there, or was retired before. Whom to tell is told by the caller, under no lock.
    pub(super) fn retire(&self, axis: Axis, start: Option<u64>) -> Option<Ended> {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        let mine = state.axis == Some(axis) && start.is_none_or(|start| start == self.start.load(Ordering::Relaxed));
        if !mine || state.retired {
            return None;
        }
        state.retired = true;
        if state.failure.is_none() {
            let status = super::retired(state.title());
            self.end(&mut state, status, &mut wakes);
        }
        let semaphore = state.semaphore.take();
        self.publish_awaited(&state);
        Some(Ended { _wakes: wakes, _semaphore: semaphore })
    }

    /// Ends whatever axis is here: nobody can advance it any more.
    pub(super) fn close(&self, why: impl FnOnce() -> Status) {
        let mut wakes = Wakes::default();
        let mut state = self.lock();
        let semaphore = state.semaphore.take();
        if state.axis.is_some() && state.failure.is_none() {
            self.end(&mut state, why(), &mut wakes);
        }
        self.publish_awaited(&state);
        drop(state);
        drop(semaphore);
    }

    fn end(&self, state: &mut State, status: Status, wakes: &mut Wakes) {
        state.failure = Some(status);
        self.failed.store(1, Ordering::Relaxed);
        // Reached by others who have not come to tell yet: for these waiters the epoch came first.
        state.tell_reached(self.count.load(Ordering::Acquire), wakes);
        while let Some((_, party)) = state.pending.pop() {
            wakes.push(party.failed());
        }
        while let Some((_, party)) = state.mentioned.pop() {
            wakes.push(party.failed());
        }
    }

    /// Whether the axis here was retired.
    pub(super) fn is_retired(&self) -> bool {
        self.lock().retired
    }

    /// Whether another axis may have the place: nobody will ask for the failure of the one before.
    pub(super) fn is_free(&self) -> bool {
        let state = self.lock();
        state.retired && state.watchers == 0 && self.count.load(Ordering::Relaxed) < WORN
    }

    /// The place is forgotten, but for who asks for its failure.
    pub(super) fn forget(&self) {
        self.lock().axis = None;
    }

    /// Makes this the place of `axis`. Answers where it begins to count; `None`: the place is worn after all. Called by
    /// one thread at a time, for a place that is free and cannot be found.
    pub(super) fn begin(&self, axis: Axis, name: Option<Box<str>>, semaphore: Option<Semaphore>) -> Option<u64> {
        let mut state = self.lock();
        debug_assert!(state.pending.is_empty() && state.mentioned.is_empty() && state.watchers == 0);
        state.pending.reserve(WAITERS_RESERVED);
        state.mentioned.reserve(WAITERS_RESERVED);
        self.axis.store(NOBODY, Ordering::Relaxed);
        let mut count = self.count.load(Ordering::Relaxed);
        // Those who still advance the axis before may raise the count until the exchange succeeds.
        let start = loop {
            let start = count + 1;
            if start > WORN {
                return None;
            }
            // Release, both: who sees the start or the count sees that the place is no longer the axis's before.
            self.start.store(start, Ordering::Release);
            match self.count.compare_exchange(count, start, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break start,
                Err(now) => count = now,
            }
        };
        self.failed.store(0, Ordering::Relaxed);
        // Release: who finds the axis here sees where it starts.
        self.axis.store(axis.to_bits(), Ordering::Release);
        state.axis = Some(axis);
        state.retired = false;
        state.name = name;
        state.semaphore = semaphore;
        // Under the lock, and the waits of the axis before have gone: nobody asks for it.
        state.failure = None;
        self.publish_awaited(&state);
        Some(start)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock panics but for want of memory, and then no invariant is broken half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows an advance to the semaphore of an axis. It may have been shown a later one by then, which is as well.
fn drive(semaphore: &Semaphore, axis: Axis, epoch: u64) {
    let Ok(causes) = Frontier::single(axis, epoch) else { return };
    // A semaphore that has failed by other hands stays so, and is left alone.
    let _ = semaphore.signal_if_later(epoch, Some(&causes));
}

impl State {
    fn tell_reached(&mut self, count: u64, wakes: &mut Wakes) {
        while let Some((&awaited, party)) = self.pending.peek() {
            if awaited > count {
                break;
            }
            // Told before it is detached: who finds no waiter may rely on its having been told.
            wakes.push(party.reached());
            self.pending.pop();
        }
    }

    /// What errors call the axis.
    fn title(&self) -> String {
        match (self.axis, &self.name) {
            (Some(axis), Some(name)) => format!("axis {axis} \"{name}\""),
            (Some(axis), None) => format!("axis {axis}"),
            (None, _) => String::from("an axis that was retired"),
        }
    }
}

impl Party {
    /// Tells it. Answers what to wake for it.
    fn reached(&self) -> Option<Waker> {
        match self {
            Party::Operation(waiter) => {
                waiter.sink.reached(waiter.token, waiter.index);
                None
            }
            Party::Task(task, _) => task.reached(),
        }
    }

    fn failed(&self) -> Option<Waker> {
        match self {
            Party::Operation(waiter) => {
                waiter.sink.failed(waiter.token, waiter.index);
                None
            }
            Party::Task(task, index) => task.failed(*index),
        }
    }
}

impl Wakes {
    fn push(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        match self.few.get_mut(self.count) {
            Some(place) => *place = Some(waker),
            None => self.more.push(Some(waker)),
        }
        self.count += 1;
    }

    fn pop(&mut self) -> Option<Waker> {
        let at = self.woken;
        self.woken += 1;
        match self.few.get_mut(at) {
            Some(place) => place.take(),
            None => self.more.get_mut(at - self.few.len())?.take(),
        }
    }

    #[cold]
    fn wake(&mut self) {
        /// Whatever comes: a waker that panics takes nothing from those behind it. (Two that panic end the program.)
        struct Rest<'a>(&'a mut Wakes);

        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                while let Some(waker) = self.0.pop() {
                    waker.wake();
                }
            }
        }

        let rest = Rest(self);
        while let Some(waker) = rest.0.pop() {
            waker.wake();
        }
    }
}

impl Drop for Wakes {
    #[inline]
    fn drop(&mut self) {
        if self.count > 0 {
            self.wake();
        }
    }
}
