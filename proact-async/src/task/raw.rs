//! A task's storage: header, future and output in one block, which the next task of about that size uses again; and
//! the word that says who may touch what.
//!
//! A task belongs to the thread of its [`Home`]. Only that thread polls it, drops its future and completes it, and what
//! it alone needs (`own`, the links of its lists) it keeps without atomic operations. Others reach it through
//! the `word`: flags, and above them a count of references.
//!
//! **References** are held by wakers, the join handle, the remote stack and, until the task is complete, its home. What
//! the home's thread adds and takes it notes in `own`, what others do goes to the word; only the sum means anything,
//! and it cannot come to zero before the task is complete, for the home holds one. At completion that is added to the
//! word, once, and from then on everyone counts there: whoever takes the last frees the storage.
//!
//! **The output** is the home's until `COMPLETE` is in the word (for its own thread: `ENDED` in `own`). Then it is the
//! join handle's, or nobody's if that has gone before (`UNHEEDED`): then the home has dropped it.
//!
//! **A joiner** is whom completion wakes. One that waits on the home's own thread stands in `joiner`, which no other
//! thread touches. One elsewhere stands in `remote_joiner`: the handle's while `JOINER` is not set, the home's when it
//! was set at completion.
//!
//! **What the exchanges of the word order**, and the model in `loom_tests` that fails when one of them is weakened:
//!
//! - `release`: whoever frees the task comes after all that others did with it:
//!   `loom_the_last_reference_frees_the_task_and_its_home_after_all_others`.
//! - `wake_from_elsewhere`, and `arrived` on the other side: the poll comes after what was done before the wake, and
//!   the link is written again only after it was read: `loom_what_two_did_before_they_woke_is_seen_by_the_owner`. It
//!   fails too where a refused push does not hand the link on.
//! - `complete` releases the output, and `join_from_elsewhere` acquires it; the other way goes the remote joiner:
//!   `loom_a_task_is_joined_from_another_thread`. Or `leave` acquires the output:
//!   `loom_a_handle_dropped_elsewhere_leaves_the_output_to_one_of_both`.
//! - `is_complete`: who learns it sees what the task did:
//!   `loom_what_a_task_did_is_seen_by_who_finds_it_finished`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::task::{Poll, Waker};

use proact::operation::future::storage;

use super::home::{Home, is_here};
use super::waker;
use crate::atomic::{AtomicU64, Cell, Ordering, Presence, UnsafeCell};

/// In the word: the output, if any, is the join handle's.
pub(super) const COMPLETE: u64 = 1;
/// It is on the remote stack, or about to be pushed.
pub(super) const QUEUED: u64 = 2;
/// Its end was asked for by another thread.
pub(super) const ABORT: u64 = 4;
/// The join handle was dropped on another thread.
pub(super) const UNHEEDED: u64 = 8;
/// `remote_joiner` is to be woken.
pub(super) const JOINER: u64 = 16;
/// One reference. 59 bits count them on every machine: of a word of 32 bits 27 would be left, and safe code that
/// forgets wakers has so many in a second.
const REF: u64 = 32;
/// References that home or others may have noted. Each side's number goes below zero as well, for one may drop what the
/// other has cloned, and only the sum means anything; so it is far from what the word holds.
const REFS_MAX: i64 = 1 << 56;

/// In `own`: it is on the ready queue, or will be when it has been polled.
const SCHEDULED: i64 = 1;
/// It is being polled.
const RUNNING: i64 = 2;
/// As `COMPLETE` in the word.
const ENDED: i64 = 4;
/// Its end was asked for.
const ABORTED: i64 = 8;
/// The join handle was dropped on this thread.
const LEFT: i64 = 16;
/// It is on the list of all.
const LISTED: i64 = 32;
/// One reference more than are in the word: there may be fewer, too.
const OWN_REF: i64 = 64;

/// What is known of a task without its type.
#[repr(C)]
pub(crate) struct Header {
    word: AtomicU64,
    presence: Presence,
    table: &'static Vtable,
    home: *const Home,
    // From here on the home's thread alone.
    own: Cell<i64>,
    pub(super) next_ready: Cell<*const Header>,
    next: Cell<*const Header>,
    previous: Cell<*const Header>,
    joiner: Cell<Option<Waker>>,
    // Not these: see above, and `QUEUED`.
    pub(super) next_remote: Cell<*mut Header>,
    // In a box, for few are joined from elsewhere.
    remote_joiner: UnsafeCell<Option<Box<Waker>>>,
}

// Every idle connection has a task.
#[cfg(not(loom))]
const _: () = assert!(size_of::<Header>() <= 88);

/// How an untyped task is reached. Every function wants the task whose header names the table.
pub(super) struct Vtable {
    /// Polls the future. `true`: it has ended, and the output is in its place.
    poll: unsafe fn(TaskPtr, &mut std::task::Context<'_>) -> bool,
    /// Drops the future, and puts this error in the output's place.
    cancel: unsafe fn(TaskPtr),
    /// Drops the output.
    drop_output: unsafe fn(TaskPtr),
    /// Frees the storage, in which neither future nor output is left.
    free: unsafe fn(TaskPtr),
}

/// Why a task has no output.
pub(crate) enum Failure {
    /// It was aborted, or its runtime went away.
    Cancelled,
    /// It panicked, with this.
    Panicked(Box<dyn Any + Send>),
}

enum Stage<F: Future> {
    Running(F),
    Ended(Result<F::Output, Failure>),
    Empty,
}

#[repr(C)]
struct Task<F: Future> {
    header: Header,
    stage: UnsafeCell<Stage<F>>,
}

/// A pointer to a task.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TaskPtr(NonNull<Header>);

/// Makes a task of `future` at `home`, with a reference for its join handle. On the home's own thread it is made ready
/// at once; on another it goes there first.
///
/// # Safety
///
/// The home is there. The future may go to the home's thread, and outlives the task's completion.
pub(crate) unsafe fn spawn<F: Future>(home: *const Home, future: F) -> TaskPtr {
    // SAFETY: the caller's promise.
    let this = unsafe { &*home };
    let here = is_here(home);
    this.hold();
    // The home's reference and the handle's.
    let (own, word) = if here { (2 * OWN_REF, 0) } else { (0, 2 * REF) };
    let header = Header {
        word: AtomicU64::new(word),
        presence: Presence::new(),
        table: const { &Tables::<F>::TABLE },
        home,
        own: Cell::new(own),
        next_ready: Cell::new(ptr::null()),
        next: Cell::new(ptr::null()),
        previous: Cell::new(ptr::null()),
        joiner: Cell::new(None),
        next_remote: Cell::new(ptr::null_mut()),
        remote_joiner: UnsafeCell::new(None),
    };
    let place = storage::take::<Task<F>>();
    // SAFETY: memory of this very type, just taken.
    unsafe { place.write(Task { header, stage: UnsafeCell::new(Stage::Running(future)) }) };
    // The header stands first in a `repr(C)` struct.
    let task = TaskPtr(place.cast());
    if here {
        // SAFETY: a new task, on its own thread.
        unsafe {
            task.enlist();
            if this.closing.get() { task.cancel_now() } else { task.schedule() }
        }
        return task;
    }
    let header = task.header();
    header.word.fetch_add(QUEUED + REF, Ordering::Relaxed);
    if !this.push_remote(task) {
        // SAFETY: nobody else knows of the task, so this thread may end it. The stack's reference goes.
        unsafe {
            (header.table.cancel)(task);
            header.own.set(ENDED);
            // Relaxed: whoever else comes to know of the task does so by the handle, which this thread hands out.
            header.word.fetch_add(COMPLETE.wrapping_sub(QUEUED).wrapping_sub(2 * REF), Ordering::Relaxed);
        }
    }
    task
}

impl TaskPtr {
    /// # Safety
    ///
    /// Not null.
    pub(super) unsafe fn new(header: *const Header) -> TaskPtr {
        // SAFETY: the caller's promise.
        TaskPtr(unsafe { NonNull::new_unchecked(header.cast_mut()) })
    }

    pub(super) fn as_ptr(self) -> *const Header {
        self.0.as_ptr()
    }

    /// The header. Whoever has a `TaskPtr` has a reference, or stands for the home before completion.
    #[inline]
    pub(super) fn header<'a>(self) -> &'a Header {
        // SAFETY: as said; no exclusive reference to a header is ever made.
        let header = unsafe { self.0.as_ref() };
        header.presence.used();
        header
    }

    #[inline]
    pub(super) fn is_here(self) -> bool {
        is_here(self.header().home)
    }

    fn home<'a>(self) -> &'a Home {
        // SAFETY: a task counts in its home until it is freed.
        unsafe { &*self.header().home }
    }

    #[inline]
    fn set(self, flag: i64) {
        let own = &self.header().own;
        own.set(own.get() | flag);
    }

    #[inline]
    fn clear(self, flag: i64) {
        let own = &self.header().own;
        own.set(own.get() & !flag);
    }

    #[inline]
    fn is(self, flag: i64) -> bool {
        self.header().own.get() & flag != 0
    }

    /// Counts one reference more.
    #[inline]
    pub(super) fn hold(self) {
        let header = self.header();
        let noted = if self.is_here() && !self.is(ENDED) {
            header.own.set(header.own.get() + OWN_REF);
            header.own.get() / OWN_REF
        } else {
            // Relaxed: whoever holds one may hold another, as with any count of references.
            (header.word.fetch_add(REF, Ordering::Relaxed) as i64) / REF as i64
        };
        if noted > REFS_MAX {
            // As `Arc` does. Years of nothing else, or a loop that the compiler has made one addition.
            std::process::abort();
        }
    }

    /// Takes one reference away, and frees the task after the last.
    ///
    /// # Safety
    ///
    /// The reference is the caller's, who does not use it again.
    #[inline]
    pub(super) unsafe fn release(self) {
        let header = self.header();
        if self.is_here() && !self.is(ENDED) {
            header.own.set(header.own.get() - OWN_REF);
            return;
        }
        // The last one needs no exchange: nobody is left who could change the word.
        let word = header.word.load(Ordering::Acquire);
        let alone = word & !(UNHEEDED | JOINER | ABORT) == COMPLETE | REF;
        if alone || header.word.fetch_sub(REF, Ordering::AcqRel) & !(UNHEEDED | JOINER | ABORT) == COMPLETE | REF {
            // SAFETY: complete and nobody's but the caller's.
            unsafe { (header.table.free)(self) };
        }
    }

    /// Puts a task on the list of all. On its own thread.
    fn enlist(self) {
        let (header, home) = (self.header(), self.home());
        self.set(LISTED);
        home.tasks.set(home.tasks.get() + 1);
        let next = home.all.replace(self.as_ptr());
        header.next.set(next);
        if !next.is_null() {
            // SAFETY: a task on the list is not complete.
            unsafe { &*next }.previous.set(self.as_ptr());
        }
    }

    fn delist(self) {
        let (header, home) = (self.header(), self.home());
        home.tasks.set(home.tasks.get() - 1);
        let (previous, next) = (header.previous.get(), header.next.get());
        if previous.is_null() {
            home.all.set(next);
        } else {
            // SAFETY: a task on the list is not complete.
            unsafe { &*previous }.next.set(next);
        }
        if !next.is_null() {
            // SAFETY: as above.
            unsafe { &*next }.previous.set(previous);
        }
    }

    /// Has the task run, if it is not about to. On its own thread.
    #[inline]
    fn schedule(self) {
        let own = self.header().own.get();
        if own & (SCHEDULED | ENDED) != 0 {
            return;
        }
        self.header().own.set(own | SCHEDULED);
        if own & RUNNING == 0 {
            self.home().push_ready(self);
        }
    }

    /// It came off the ready queue, not to be run.
    pub(super) fn unschedule(self) {
        self.clear(SCHEDULED);
    }

    /// Wakes the task, from any thread, with a reference of the caller's.
    #[inline]
    pub(super) fn wake(self) {
        if self.is_here() { self.schedule() } else { self.wake_from_elsewhere() }
    }

    #[cold]
    fn wake_from_elsewhere(self) {
        let word = &self.header().word;
        let mut now = word.load(Ordering::Relaxed);
        loop {
            if now & COMPLETE != 0 {
                return;
            }
            // On its way already: the exchange alone, so that what this thread did is seen by the poll to come.
            let queued = now & QUEUED != 0;
            let then = if queued { now } else { now.wrapping_add(QUEUED + REF) };
            match word.compare_exchange_weak(now, then, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if queued => return,
                Ok(_) => break,
                Err(other) => now = other,
            }
        }
        if !self.home().push_remote(self) {
            // Release: the link may have been written, and the next who wakes writes it too.
            self.header().word.fetch_and(!QUEUED, Ordering::Release);
            // SAFETY: the stack's reference, which it did not take.
            unsafe { self.release() };
        }
    }

    /// It came off the remote stack, with the stack's reference. On its own thread.
    ///
    /// # Safety
    ///
    /// As said.
    pub(super) unsafe fn arrived(self) {
        // From here on it may be pushed again. Acquire: what its wakers did before is seen.
        let before = self.header().word.fetch_and(!QUEUED, Ordering::AcqRel);
        if before & COMPLETE == 0 {
            if !self.is(LISTED) {
                self.enlist();
            }
            if before & ABORT != 0 {
                self.set(ABORTED);
            }
            self.schedule();
        }
        // SAFETY: the stack's, which has given it up.
        unsafe { self.release() };
    }

    /// Polls the task.
    ///
    /// # Safety
    ///
    /// On its own thread; it has just come off the ready queue.
    pub(super) unsafe fn run(self) {
        let own = self.header().own.get();
        self.header().own.set(own & !SCHEDULED | RUNNING);
        if own & ABORTED == 0 {
            let waker = waker::borrowed(self);
            let mut cx = std::task::Context::from_waker(&waker);
            // SAFETY: not complete, on its own thread, and not being polled already.
            if unsafe { (self.header().table.poll)(self, &mut cx) } {
                // SAFETY: as above, and the output is there.
                return unsafe { self.complete() };
            }
        }
        self.clear(RUNNING);
        if self.is(ABORTED) {
            self.clear(SCHEDULED); // by itself, while it ran: it was not put on the queue then
            // SAFETY: as above, and on no queue.
            return unsafe { self.cancel_now() };
        }
        if self.is(SCHEDULED) {
            self.home().push_ready(self);
        }
    }

    /// Drops the future, now, and completes the task as cancelled.
    ///
    /// # Safety
    ///
    /// On its own thread; it is not complete and is not being polled.
    pub(crate) unsafe fn cancel_now(self) {
        if self.is(SCHEDULED) {
            self.home().remove_ready(self);
        }
        // Wakes that its own drop causes lead nowhere.
        self.set(RUNNING | SCHEDULED);
        // SAFETY: the caller's promise.
        unsafe {
            (self.header().table.cancel)(self);
            self.complete();
        }
    }

    /// The future has gone and the output is there: tells who joins, and lets go.
    ///
    /// # Safety
    ///
    /// On its own thread, once. The pointer is not used again.
    unsafe fn complete(self) {
        let header = self.header();
        self.delist();
        let joiner = header.joiner.take();
        let home = self.home();
        let last_one = if home.tasks.get() == 1 { home.last_one.take() } else { None };
        let mut left = self.is(LEFT);
        if left {
            // SAFETY: nobody else will look at the output.
            unsafe { (header.table.drop_output)(self) };
        }
        self.set(ENDED);
        let refs = header.own.get().div_euclid(OWN_REF); // a shift, also of fewer than none
        let merged = (refs as u64).wrapping_mul(REF).wrapping_add(COMPLETE);
        // Relaxed: the exchange decides, and a handle that has gone has not touched the output.
        let mut now = header.word.load(Ordering::Relaxed);
        loop {
            if now & UNHEEDED != 0 && !left {
                left = true;
                // SAFETY: as above.
                unsafe { (header.table.drop_output)(self) };
            }
            // With a remote joiner the home keeps its reference until it has taken that out.
            let own = if now & JOINER != 0 { 0 } else { REF };
            let then = now.wrapping_add(merged).wrapping_sub(own);
            match header.word.compare_exchange_weak(now, then, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) if own == 0 => {
                    // SAFETY: `JOINER` was set, and the task is complete: the slot is the home's.
                    let remote = header.remote_joiner.with_mut(|joiner| unsafe { (*joiner).take() });
                    // SAFETY: the home's reference.
                    unsafe { self.release() };
                    if let Some(waker) = remote {
                        waker.wake();
                    }
                }
                Ok(_) if then & !(UNHEEDED | ABORT) == COMPLETE => {
                    // SAFETY: complete, and nobody has a reference.
                    unsafe { (header.table.free)(self) };
                }
                Ok(_) => {}
                Err(other) => {
                    now = other;
                    continue;
                }
            }
            break;
        }
        if let Some(waker) = joiner {
            waker.wake();
        }
        if let Some(waker) = last_one {
            waker.wake();
        }
    }

    /// Asks that the task end: its future is dropped instead of polled again. From any thread.
    pub(super) fn abort(self) {
        if self.is_here() {
            if !self.is(ENDED) {
                self.set(ABORTED);
                self.schedule();
            }
        } else {
            // Relaxed: the wake's exchange comes after it in the order of the word, and releases what was done before.
            self.header().word.fetch_or(ABORT, Ordering::Relaxed);
            self.wake_from_elsewhere();
        }
    }

    /// Whether it has ended, as far as the caller can know.
    pub(super) fn is_complete(self) -> bool {
        self.header().word.load(Ordering::Acquire) & COMPLETE != 0
    }

    /// Whether the output is there; otherwise `waker` is told once it is.
    ///
    /// # Safety
    ///
    /// Of the join handle.
    #[inline]
    pub(super) unsafe fn join(self, waker: &Waker) -> bool {
        if !self.is_here() {
            // SAFETY: the caller's promise.
            return unsafe { self.join_from_elsewhere(waker) };
        }
        if self.is(ENDED) {
            return true;
        }
        let joiner = &self.header().joiner;
        let old = joiner.take();
        joiner.set(match old {
            Some(old) if old.will_wake(waker) => Some(old),
            _ => Some(waker.clone()),
        });
        false
    }

    /// # Safety
    ///
    /// As for [`TaskPtr::join`].
    #[cold]
    unsafe fn join_from_elsewhere(self, waker: &Waker) -> bool {
        let header = self.header();
        // The slot is this thread's from here on, unless the task is complete. Nothing is released: what the slot holds
        // was put there by the handle.
        if header.word.fetch_and(!JOINER, Ordering::Acquire) & COMPLETE != 0 {
            return true;
        }
        let new = waker.clone();
        // SAFETY: as said.
        drop(header.remote_joiner.with_mut(|joiner| unsafe { (*joiner).replace(Box::new(new)) }));
        let set = header
            .word
            .fetch_update(Ordering::Release, Ordering::Acquire, |word| (word & COMPLETE == 0).then_some(word | JOINER));
        set.is_err()
    }

    /// The join handle goes. Its output, if it is there and was not taken, is dropped.
    ///
    /// # Safety
    ///
    /// Once, of the join handle, whose reference goes with it.
    #[inline]
    pub(super) unsafe fn leave(self) {
        let header = self.header();
        // SAFETY: complete, so the output is the handle's; or the home learns that nobody wants it.
        unsafe {
            if self.is_here() {
                if self.is(ENDED) {
                    (header.table.drop_output)(self);
                } else {
                    self.set(LEFT);
                    drop(header.joiner.take());
                }
            } else {
                // Relaxed: the output that the home is to drop was never touched by the handle.
                let left = header.word.fetch_update(Ordering::Relaxed, Ordering::Acquire, |word| {
                    (word & COMPLETE == 0).then_some(word | UNHEEDED)
                });
                if left.is_err() {
                    (header.table.drop_output)(self);
                }
            }
            self.release();
        }
    }

    /// The output.
    ///
    /// # Safety
    ///
    /// Once, of the join handle, after [`TaskPtr::join`] has said that it is there. The task's output is a `T`.
    #[inline]
    pub(super) unsafe fn take_output<F: Future>(self) -> Result<F::Output, Failure> {
        // SAFETY: the caller's promise.
        match self.stage::<F>().with_mut(|stage| unsafe { std::mem::replace(&mut *stage, Stage::Empty) }) {
            Stage::Ended(output) => output,
            _ => unreachable!("taken once, after the end"),
        }
    }

    fn stage<'a, F: Future>(self) -> &'a UnsafeCell<Stage<F>> {
        // SAFETY: the pointer is to a whole task, which is there as for `header`; the cell is shared, not its content.
        unsafe { &(*self.0.cast::<Task<F>>().as_ptr()).stage }
    }
}

struct Tables<F>(std::marker::PhantomData<F>);

impl<F: Future> Tables<F> {
    const TABLE: Vtable =
        Vtable { poll: poll::<F>, cancel: cancel::<F>, drop_output: drop_output::<F>, free: free::<F> };
}

/// # Safety
///
/// As for [`Vtable::poll`]: on the home's thread, not complete, not being polled.
unsafe fn poll<F: Future>(task: TaskPtr, cx: &mut std::task::Context<'_>) -> bool {
    task.stage::<F>().with_mut(|stage| {
        // SAFETY: the stage is the home's thread's until completion, and nothing else reaches for it while it is
        // polled. A task never moves, and its future is dropped in its place.
        let polled = catch_unwind(AssertUnwindSafe(|| unsafe {
            let Stage::Running(future) = &mut *stage else { unreachable!("polled before its end") };
            std::pin::Pin::new_unchecked(future).poll(cx)
        }));
        let output = match polled {
            Ok(Poll::Pending) => return false,
            Ok(Poll::Ready(output)) => Ok(output),
            Err(panic) => Err(Failure::Panicked(panic)),
        };
        // SAFETY: as above.
        unsafe { end(stage, output) };
        true
    })
}

/// Drops the future in its place and puts the output there. A panic of that drop is the task's, unless it had one.
///
/// # Safety
///
/// The stage is the caller's alone.
unsafe fn end<F: Future>(stage: *mut Stage<F>, output: Result<F::Output, Failure>) {
    // SAFETY: the caller's promise. `Empty` is written first, so that what the drop does finds no future any more; the
    // future is dropped where it is.
    unsafe {
        let dropped = catch_unwind(AssertUnwindSafe(|| {
            if let Stage::Running(future) = &mut *stage {
                ptr::drop_in_place(future);
            }
        }));
        // Not assigned: what was there is gone.
        ptr::write(stage, Stage::Empty);
        let output = match (dropped, output) {
            (Err(panic), Ok(_) | Err(Failure::Cancelled)) => Err(Failure::Panicked(panic)),
            (_, output) => output,
        };
        ptr::write(stage, Stage::Ended(output));
    }
}

/// # Safety
///
/// As for [`Vtable::cancel`].
unsafe fn cancel<F: Future>(task: TaskPtr) {
    // SAFETY: the caller's promise: the stage is the home's thread's.
    task.stage::<F>().with_mut(|stage| unsafe { end(stage, Err(Failure::Cancelled)) });
}

/// # Safety
///
/// As for [`Vtable::drop_output`].
unsafe fn drop_output<F: Future>(task: TaskPtr) {
    // SAFETY: the caller's promise: the output is the caller's.
    let output = task.stage::<F>().with_mut(|stage| unsafe { std::mem::replace(&mut *stage, Stage::Empty) });
    // Whoever drops a handle, or completes a task, has nothing to do with a panic of what nobody wanted.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(output)));
}

/// # Safety
///
/// As for [`Vtable::free`].
unsafe fn free<F: Future>(task: TaskPtr) {
    let home = task.header().home;
    let place = task.0.cast::<Task<F>>();
    task.header().presence.gone();
    // SAFETY: the last reference has gone; the memory is what `spawn` took, for this very type.
    unsafe {
        ptr::drop_in_place(place.as_ptr());
        storage::give(place);
    }
    // SAFETY: the task has held its home until now.
    unsafe { Home::release(home) };
}
