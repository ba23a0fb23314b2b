//! The storage of one operation that a future waits for, and who may touch what of it when.
//!
//! The future and the engine both have a pointer to it while it is in flight. The header and the kind are the engine's
//! then; what follows here is shared by the word's leave. Whoever learns last that the other is done with it frees it:
//! the future when it has taken the outcome, the engine when the future has gone before.
//!
//! On one thread the word is read and written plainly. Across threads:
//!
//! - The future locks to place or take its waker (`LOCKED`), and unlocks.
//! - The engine writes the outcome and sets `ENDED`. Found locked: everything is the future's from then on, which sees
//!   `ENDED` as it unlocks. Found abandoned: everything is the engine's, which frees it. Otherwise the waker is the
//!   engine's to take, and then it sets `READY`: everything is the future's, or the engine's if it was abandoned in
//!   between.
//!
//! Each exchange that acquires or releases is needed: weakened it fails the model
//! `loom_a_future_that_goes_leaves_the_storage_to_one_of_both`, and mostly
//! `loom_an_outcome_reaches_the_future_and_wakes_the_last_waker` as well.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr::NonNull;
use std::task::Waker;

use super::storage;
use crate::atomic::{AtomicU32, Ordering, Presence, UnsafeCell};
use crate::operation::context::Context;
use crate::operation::identity::OperationId;
use crate::operation::kind::Kind;
use crate::operation::op::{Ended, Extras, Header, Op, Outcome, Table, Vtable};
use crate::sync::Event;

/// The engine has written the outcome.
pub(super) const ENDED: u32 = 1;
/// The engine is done with the storage.
pub(super) const READY: u32 = 2;
/// The future has gone.
pub(super) const ABANDONED: u32 = 4;
/// The future has the waker in its hands.
pub(super) const LOCKED: u32 = 8;

/// What is shared of an operation's storage.
pub(super) struct Flight<K: Kind> {
    word: AtomicU32,
    /// One more than the number of the proactor that it was submitted to; 0: none yet. The future's alone.
    submitted_to: Cell<u32>,
    presence: Presence,
    waker: UnsafeCell<Option<Waker>>,
    outcome: UnsafeCell<MaybeUninit<Outcome<K>>>,
}

/// A pointer to the storage of an operation that a future waits for.
pub(super) struct FlightPtr<K: Kind>(NonNull<Op<K, Flight<K>>>);

impl<K: Kind> Clone for FlightPtr<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K: Kind> Copy for FlightPtr<K> {}

/// What a poll of an operation in flight has come to.
pub(super) enum Look<K: Kind> {
    /// It goes on, and the waker is in its place.
    Pending,
    /// It ends this very moment, and the waker may not be told: ask again.
    Ending,
    /// This.
    Ready(K, Outcome<K>),
}

struct Tables<K, const SHARED: bool>(std::marker::PhantomData<K>);

impl<K: Kind, const SHARED: bool> Tables<K, SHARED> {
    const TABLE: Vtable = Table::<K, Flight<K>>::with(
        if SHARED { deliver_shared::<K> } else { deliver_here::<K> },
        |_, _, _| unreachable!("one outcome"),
        |_| (),
    );
}

impl<K: Kind> FlightPtr<K> {
    /// Storage with `kind`, not in flight. `SHARED`: its outcome may come on another thread than the future's.
    #[track_caller]
    pub(super) fn new<const SHARED: bool>(kind: K) -> FlightPtr<K> {
        let place = storage::take::<Op<K, Flight<K>>>();
        let flight = Flight {
            word: AtomicU32::new(0),
            submitted_to: Cell::new(0),
            presence: Presence::new(),
            waker: UnsafeCell::new(None),
            outcome: UnsafeCell::new(MaybeUninit::uninit()),
        };
        // SAFETY: memory of this very type, just taken.
        unsafe { place.write(Op::with_table(&Tables::<K, SHARED>::TABLE, kind, flight)) };
        FlightPtr(place)
    }

    pub(super) fn header(self) -> NonNull<Header> {
        // The header stands at the operation's own address.
        self.0.cast()
    }

    /// # Safety
    ///
    /// The storage is there.
    unsafe fn flight<'a>(self) -> &'a Flight<K> {
        // SAFETY: the caller's promise. No exclusive reference to this part is ever made while two have the pointer.
        let flight = unsafe { &(*self.0.as_ptr()).state };
        flight.presence.used();
        flight
    }

    /// It was submitted under this identity.
    ///
    /// # Safety
    ///
    /// The storage is there.
    #[inline]
    pub(super) unsafe fn submitted(self, id: OperationId) {
        // SAFETY: the caller's promise.
        unsafe { self.flight() }.submitted_to.set(id.proactor + 1);
    }

    /// Whether it was submitted.
    ///
    /// # Safety
    ///
    /// The storage is there.
    #[inline]
    pub(super) unsafe fn is_submitted(self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.flight() }.submitted_to.get() != 0
    }

    /// What it is called, once it was submitted.
    ///
    /// # Safety
    ///
    /// The storage is there.
    pub(super) unsafe fn id(self) -> Option<OperationId> {
        // SAFETY: the caller's promise. The token is written by the submit alone, which comes before what is asked for
        // first, so that it may be read while the engine has the header.
        unsafe {
            let proactor = self.flight().submitted_to.get().checked_sub(1)?;
            Some(OperationId { proactor, token: (&raw const (*self.0.as_ptr()).header.token).read() })
        }
    }

    /// What the operation has beside its kind.
    ///
    /// # Safety
    ///
    /// It is not in flight, and the future's alone.
    pub(super) unsafe fn extras<'a>(self) -> &'a mut Extras {
        // SAFETY: the caller's promise.
        unsafe { &mut (*self.0.as_ptr()).header }.extras.get_or_insert_with(storage::take_extras)
    }

    /// # Safety
    ///
    /// It is not in flight, and the future's alone.
    pub(super) unsafe fn kind<'a>(self) -> &'a mut K {
        // SAFETY: the caller's promise.
        unsafe { &mut (*self.0.as_ptr()).kind }
    }

    /// Where it was made: what its failure names.
    ///
    /// # Safety
    ///
    /// It is not in flight, and the future's alone.
    pub(super) unsafe fn location(self) -> &'static Location<'static> {
        // SAFETY: the caller's promise.
        unsafe { (*self.0.as_ptr()).header.location }
    }

    /// # Safety
    ///
    /// It is not in flight, and the future's alone.
    pub(super) unsafe fn set_waker(self, waker: &Waker) {
        // SAFETY: the caller's promise.
        drop(unsafe { replace(&self.flight().waker, waker) });
    }

    /// Frees the storage and hands its kind out.
    ///
    /// # Safety
    ///
    /// It is the caller's alone, holds no outcome, and is not used again.
    #[inline]
    pub(super) unsafe fn take_kind(self) -> K {
        // SAFETY: the caller's promise; the memory goes back after all that it holds was taken out or dropped.
        unsafe {
            let kind = (&raw const (*self.0.as_ptr()).kind).read();
            self.give_back();
            kind
        }
    }

    /// Whether the outcome is there, of an operation that shares nothing with another thread.
    ///
    /// # Safety
    ///
    /// The storage is there, and was made as one that is not `SHARED`.
    #[inline]
    pub(super) unsafe fn is_ready_here(self) -> bool {
        // SAFETY: the caller's promise.
        unsafe { self.flight() }.word.load(Ordering::Relaxed) & READY != 0
    }

    /// What `take` makes of the operation and its outcome, where they lie: of a large operation few words are wanted.
    ///
    /// # Safety
    ///
    /// It is the caller's alone, holds the outcome, and is not used again. Where `take` panics the memory is lost.
    #[inline]
    pub(super) unsafe fn take_with<R>(self, take: impl FnOnce(K, Outcome<K>) -> R) -> R {
        // SAFETY: the caller's promise; what is read here is not read again.
        unsafe {
            let op = self.0.as_ptr();
            let outcome = self.flight().outcome.with(|outcome| (*outcome).assume_init_read());
            let result = take((&raw const (*op).kind).read(), outcome);
            self.give_back();
            result
        }
    }

    /// # Safety
    ///
    /// It is the caller's alone, its kind and outcome have been taken out, and it is not used again.
    #[inline]
    unsafe fn give_back(self) {
        // SAFETY: the caller's promise; the memory goes back after all that it holds was taken out or dropped.
        unsafe {
            let op = self.0.as_ptr();
            (*op).state.presence.gone();
            let waker = take(&(*op).state.waker);
            let extras = (*op).header.extras.take();
            storage::give(self.0);
            if let Some(extras) = extras {
                storage::give_extras(extras);
            }
            drop(waker);
        }
    }

    /// # Safety
    ///
    /// It is the caller's alone, holds the outcome, and is not used again.
    #[inline]
    unsafe fn take(self) -> (K, Outcome<K>) {
        // No foreign code runs in here, whose panic would leave the future with storage that is gone: with the outcome
        // there, the waker has been taken out.
        // SAFETY: the caller's promise.
        unsafe {
            let outcome = self.flight().outcome.with(|outcome| (*outcome).assume_init_read());
            (self.take_kind(), outcome)
        }
    }

    /// Frees everything, with an outcome that nobody takes: what that owns is closed, released or dropped, and what it
    /// took from others is given back.
    ///
    /// # Safety
    ///
    /// As for [`FlightPtr::take`].
    unsafe fn discard(self) {
        // SAFETY: the caller's promise.
        let outcome = unsafe { self.flight().outcome.with(|outcome| (*outcome).assume_init_read()) };
        Leave(self).end(outcome);
    }

    /// Looks whether it has ended, and places the waker if not. `SHARED` as it was made with.
    ///
    /// # Safety
    ///
    /// It is in flight, or has ended and nobody took its outcome. After `Ready` it is not used again.
    #[inline]
    pub(super) unsafe fn look<const SHARED: bool>(self, waker: &Waker) -> Look<K> {
        // SAFETY: the caller's promise keeps the storage; what is touched of it, the word has given leave to.
        unsafe {
            let flight = self.flight();
            if SHARED {
                return self.look_shared(waker);
            }
            if flight.word.load(Ordering::Relaxed) & READY != 0 {
                let (kind, outcome) = self.take();
                return Look::Ready(kind, outcome);
            }
            drop(replace(&flight.waker, waker));
            Look::Pending
        }
    }

    /// # Safety
    ///
    /// As for [`FlightPtr::look`].
    unsafe fn look_shared(self, waker: &Waker) -> Look<K> {
        // SAFETY: as there. The waker is touched under the lock alone, and not once the engine has ended.
        unsafe {
            let flight = self.flight();
            if flight.word.load(Ordering::Acquire) & READY == 0 {
                // Nothing is released: the waker's place is the future's own until the engine finds it unlocked.
                let before = flight.word.fetch_or(LOCKED, Ordering::Acquire);
                if before & READY == 0 {
                    if before & ENDED != 0 {
                        return Look::Ending;
                    }
                    let locked = Locked(&flight.word);
                    let old = replace(&flight.waker, waker);
                    // What the waker's own code does, panics too, must find it unlocked.
                    let ended = locked.leave();
                    drop(old);
                    if !ended {
                        return Look::Pending;
                    }
                }
            }
            let waker = take(&flight.waker);
            drop(waker);
            let (kind, outcome) = self.take();
            Look::Ready(kind, outcome)
        }
    }

    /// The future goes away. `false`: the operation has ended before, and everything is freed; otherwise the engine
    /// does that at its end.
    ///
    /// # Safety
    ///
    /// As for [`FlightPtr::look`], and it is not used again.
    pub(super) unsafe fn abandon<const SHARED: bool>(self) -> bool {
        // SAFETY: as there.
        unsafe {
            let flight = self.flight();
            if !SHARED {
                let before = flight.word.load(Ordering::Relaxed);
                if before & READY != 0 {
                    self.discard();
                    return false;
                }
                flight.word.store(before | ABANDONED, Ordering::Relaxed);
                // Now, not at the operation's end: it keeps a task. Nothing of the storage is touched after this.
                let waker = take(&flight.waker);
                drop(waker);
                return true;
            }
            // Relaxed: the waker that is taken was placed by the future, and all else waits for the next exchange.
            let locked = flight.word.fetch_or(LOCKED, Ordering::Relaxed) & ENDED == 0;
            let waker = if locked { take(&flight.waker) } else { None };
            let before = flight.word.fetch_or(ABANDONED, Ordering::AcqRel);
            // Found locked, the engine has left everything here; otherwise it has once it is ready.
            let left_here = before & if locked { ENDED } else { READY } != 0;
            if left_here {
                self.discard();
            }
            drop(waker);
            !left_here
        }
    }
}

/// Places `waker`, unless one that does the same is there. Answers the one that was there instead: its drop runs
/// foreign code.
///
/// # Safety
///
/// The place is the caller's alone.
unsafe fn replace(place: &UnsafeCell<Option<Waker>>, waker: &Waker) -> Option<Waker> {
    // SAFETY: the caller's promise; no reference is kept while foreign code runs.
    if place.with(|place| unsafe { (*place).as_ref() }.is_some_and(|old| old.will_wake(waker))) {
        return None;
    }
    let new = waker.clone();
    // SAFETY: as above.
    place.with_mut(|place| unsafe { (*place).replace(new) })
}

/// # Safety
///
/// The place is the caller's alone.
#[inline]
unsafe fn take(place: &UnsafeCell<Option<Waker>>) -> Option<Waker> {
    // SAFETY: the caller's promise.
    place.with_mut(|place| unsafe { (*place).take() })
}

/// The future has the waker in its hands, until this goes: also when the clone of a waker panics.
struct Locked<'a>(&'a AtomicU32);

impl Locked<'_> {
    /// Answers whether the engine has ended meanwhile and left everything to the future.
    fn leave(self) -> bool {
        let ended = self.unlock();
        std::mem::forget(self);
        ended
    }

    fn unlock(&self) -> bool {
        let ended = self.0.fetch_and(!LOCKED, Ordering::AcqRel) & ENDED != 0;
        if ended {
            // Nobody else has it any more. For a future that comes back because a waker has panicked.
            self.0.fetch_or(READY, Ordering::Relaxed);
        }
        ended
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        self.unlock();
    }
}

/// Frees what an operation leaves that no one waits for, whatever dropping its outcome does.
struct Leave<K: Kind>(FlightPtr<K>);

impl<K: Kind> Leave<K> {
    fn end(self, outcome: Outcome<K>) {
        // SAFETY: made where the storage is the engine's or the future's alone.
        let kind = unsafe { self.0.kind() };
        give_back(kind.reset(), &outcome);
        drop(outcome);
    }
}

/// Sets again what an outcome has reset that nobody is told of.
pub(super) fn give_back<K: Kind>(reset: Option<&Event>, outcome: &Outcome<K>) {
    if let (Some(event), Ok(_)) = (reset, &outcome.result) {
        // Closed meanwhile: then nobody waits for it.
        let _ = event.set();
    }
}

impl<K: Kind> Drop for Leave<K> {
    fn drop(&mut self) {
        // SAFETY: made where the storage is the engine's alone, has no outcome, and is not used again.
        drop(unsafe { self.0.take_kind() });
    }
}

/// # Safety
///
/// As for every function of [`Vtable`]; the operation has ended.
unsafe fn outcome<K: Kind>(at: FlightPtr<K>, ended: Ended, cx: &Context<'_>) -> Outcome<K> {
    let Ended { result, moved, marks } = ended;
    // SAFETY: the kind is the engine's until the word says otherwise.
    let result = result.and_then(|value| unsafe { at.kind() }.settle(value, cx.home()));
    Outcome { result, moved, marks }
}

/// The operation has ended, on the thread of its future.
///
/// # Safety
///
/// As for every function of [`Vtable`].
unsafe fn deliver_here<K: Kind>(raw: NonNull<Header>, ended: Ended, cx: &mut Context<'_>) {
    let at = FlightPtr::<K>(raw.cast());
    // SAFETY: the table's functions are called with the storage there. Until the word says so, no one else looks at the
    // outcome; after it was told, nothing of the storage is touched.
    unsafe {
        let outcome = outcome(at, ended, cx);
        let flight = at.flight();
        if flight.word.load(Ordering::Relaxed) & ABANDONED != 0 {
            return Leave(at).end(outcome);
        }
        flight.outcome.with_mut(|place| (*place).write(outcome));
        flight.word.store(ENDED | READY, Ordering::Relaxed);
        let waker = take(&flight.waker);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The operation has ended, its future may be on any thread.
///
/// # Safety
///
/// As for every function of [`Vtable`].
unsafe fn deliver_shared<K: Kind>(raw: NonNull<Header>, ended: Ended, cx: &mut Context<'_>) {
    let at = FlightPtr::<K>(raw.cast());
    // SAFETY: the table's functions are called with the storage there.
    unsafe { at.end_shared(outcome(at, ended, cx)) };
}

impl<K: Kind> FlightPtr<K> {
    /// The engine's last act: the future is told, or everything is freed if it has gone.
    ///
    /// # Safety
    ///
    /// In flight, once. The engine does not use it again.
    pub(super) unsafe fn end_shared(self, outcome: Outcome<K>) {
        // SAFETY: the caller's promise. What is touched of the storage, the word has given leave to: see the head of
        // this file.
        unsafe {
            let flight = self.flight();
            flight.outcome.with_mut(|place| (*place).write(outcome));
            let before = flight.word.fetch_or(ENDED, Ordering::AcqRel);
            if before & ABANDONED != 0 {
                return self.discard();
            }
            if before & LOCKED != 0 {
                return;
            }
            let waker = take(&flight.waker);
            if flight.word.fetch_or(READY, Ordering::AcqRel) & ABANDONED != 0 {
                self.discard();
            }
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}
