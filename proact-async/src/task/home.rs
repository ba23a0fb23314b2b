//! Where tasks live: the queue of one thread, and how other threads reach it.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::task::Waker;

use super::raw::{Header, TaskPtr};
use crate::atomic::{AtomicI64, AtomicPtr, Cell, Ordering, Presence};

/// Wakes the thread that runs the tasks, at once or when it next would sleep. It must neither block nor spin.
pub(crate) trait Alarm: Send + Sync + 'static {
    fn ring(&self);
}

/// What a thread's tasks share: its ready queue, which that thread alone touches, and a stack for the others.
///
/// Counted: by each task, which names its home as long as its storage is there; by each [`HomeRef`]; and by the owner.
/// What the owner's thread counts, it counts in `live` without an atomic operation, until it leaves and adds that to
/// the others' count. Before that the count cannot come to zero.
pub(crate) struct Home {
    /// Tasks to be run, first in, first out, by `next_ready`.
    first: Cell<*const Header>,
    last: Cell<*const Header>,
    /// All tasks that are not complete, by `next` and `previous`.
    pub(super) all: Cell<*const Header>,
    /// How many these are.
    pub(super) tasks: Cell<usize>,
    /// Woken when one of them is left.
    pub(super) last_one: Cell<Option<Waker>>,
    pub(super) live: Cell<i64>,
    /// New tasks are refused.
    pub(super) closing: Cell<bool>,
    /// Tasks that other threads made or woke, last in, first out, by `next_remote`. A push releases the link and a new
    /// task's content: without that the model `loom_a_request_to_stop_is_never_lost` fails. Who takes all acquires it:
    /// `loom_a_wake_from_another_thread_is_never_lost`. So does who closes:
    /// `loom_a_wake_that_meets_the_end_of_the_home_harms_nothing`.
    stack: AtomicPtr<Header>,
    /// Who counts down releases, and the last acquires: `loom_a_home_is_freed_after_what_all_who_hold_it_did`.
    count: AtomicI64,
    presence: Presence,
    alarm: Box<dyn Alarm>,
}

/// Where no address is: the stack takes nothing any more.
const CLOSED: *mut Header = ptr::without_provenance_mut(1);

/// What stands for the owner in the count: more than there can ever be tasks and references.
const OWNER: i64 = i64::MAX / 2;

#[cfg(not(loom))]
thread_local! {
    static HERE: std::cell::Cell<*const Home> = const { std::cell::Cell::new(ptr::null()) };
}

// A model's threads are coroutines of one thread.
#[cfg(loom)]
loom::thread_local! {
    static HERE: std::cell::Cell<*const Home> = std::cell::Cell::new(ptr::null());
}

/// Makes `home` the one of this thread's tasks, and answers which was before.
pub(crate) fn set_here(home: *const Home) -> *const Home {
    HERE.try_with(|here| here.replace(home)).unwrap_or(ptr::null())
}

/// Whether this thread runs the tasks of `home` right now.
#[inline]
pub(super) fn is_here(home: *const Home) -> bool {
    HERE.try_with(std::cell::Cell::get).is_ok_and(|here| ptr::eq(here, home))
}

impl Home {
    /// A home, to be left by [`Home::leave`] on this same thread.
    pub(crate) fn new(alarm: Box<dyn Alarm>) -> *const Home {
        Box::into_raw(Box::new(Home {
            first: Cell::new(ptr::null()),
            last: Cell::new(ptr::null()),
            all: Cell::new(ptr::null()),
            tasks: Cell::new(0),
            last_one: Cell::new(None),
            live: Cell::new(0),
            closing: Cell::new(false),
            stack: AtomicPtr::new(ptr::null_mut()),
            count: AtomicI64::new(OWNER),
            presence: Presence::new(),
            alarm,
        }))
    }

    /// Counts a task or reference that comes.
    #[inline]
    pub(super) fn hold(&self) {
        self.presence.used();
        if is_here(self) {
            self.live.set(self.live.get() + 1);
        } else {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts one that goes, and frees the home after the last.
    ///
    /// # Safety
    ///
    /// The home is there, and held by what goes.
    #[inline]
    pub(super) unsafe fn release(home: *const Home) {
        // SAFETY: the caller's promise.
        let this = unsafe { &*home };
        this.presence.used();
        if is_here(home) {
            this.live.set(this.live.get() - 1);
        } else if this.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            this.presence.gone();
            // SAFETY: the owner has left, and this was the last that held it.
            drop(unsafe { Box::from_raw(home.cast_mut()) });
        }
    }

    /// The owner goes: its tasks are complete and its stack is closed.
    ///
    /// # Safety
    ///
    /// On the thread that made it, once, after it stopped being [here](set_here).
    pub(crate) unsafe fn leave(home: *const Home) {
        // SAFETY: the caller's promise: the owner has held it until now.
        let this = unsafe { &*home };
        this.presence.used();
        let change = this.live.get() - OWNER;
        if this.count.fetch_add(change, Ordering::AcqRel) + change == 0 {
            this.presence.gone();
            // SAFETY: nobody else holds it.
            drop(unsafe { Box::from_raw(home.cast_mut()) });
        }
    }

    /// How many tasks have not ended. On the owner's thread.
    pub(crate) fn tasks(&self) -> usize {
        self.tasks.get()
    }

    /// Whether there is one task at most; otherwise `waker` is told once that is so. For one who waits.
    pub(crate) fn is_last(&self, waker: &Waker) -> bool {
        // Tasks from elsewhere count as soon as they were given, also if nobody has looked at them yet.
        self.take_remote();
        if self.tasks.get() <= 1 {
            return true;
        }
        self.last_one.set(Some(waker.clone()));
        false
    }

    /// Whether a task is to be run.
    pub(crate) fn is_ready(&self) -> bool {
        !self.first.get().is_null()
    }

    /// Appends to the ready queue. On the owner's thread.
    #[inline]
    pub(super) fn push_ready(&self, task: TaskPtr) {
        task.header().next_ready.set(ptr::null());
        let last = self.last.replace(task.as_ptr());
        if last.is_null() {
            self.first.set(task.as_ptr());
        } else {
            // SAFETY: a task on the queue is not complete, so its storage is there.
            unsafe { &*last }.next_ready.set(task.as_ptr());
        }
    }

    /// Takes the first task off the ready queue. On the owner's thread.
    #[inline]
    pub(super) fn pop_ready(&self) -> Option<TaskPtr> {
        let first = self.first.get();
        if first.is_null() {
            return None;
        }
        // SAFETY: as above.
        let next = unsafe { &*first }.next_ready.get();
        self.first.set(next);
        if next.is_null() {
            self.last.set(ptr::null());
        }
        // SAFETY: not null, and as above.
        Some(unsafe { TaskPtr::new(first) })
    }

    /// Takes `task` out of the middle of the ready queue.
    #[cold]
    pub(super) fn remove_ready(&self, task: TaskPtr) {
        let (mut kept, first) = (Vec::new(), self.first.get());
        let mut at = first;
        while !at.is_null() {
            if !ptr::eq(at, task.as_ptr()) {
                kept.push(at);
            }
            // SAFETY: as in `push_ready`.
            at = unsafe { &*at }.next_ready.get();
        }
        self.first.set(ptr::null());
        self.last.set(ptr::null());
        for task in kept {
            // SAFETY: as in `push_ready`.
            self.push_ready(unsafe { TaskPtr::new(task) });
        }
    }

    /// Pushes a task for its own thread to look at. `false`: the stack is closed, nothing happened.
    pub(super) fn push_remote(&self, task: TaskPtr) -> bool {
        let mut head = self.stack.load(Ordering::Relaxed);
        loop {
            if ptr::eq(head, CLOSED) {
                return false;
            }
            task.header().next_remote.set(head);
            let node = task.as_ptr().cast_mut();
            match self.stack.compare_exchange_weak(head, node, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // Whoever finds others there leaves it to the first of them: one alarm for each time that all are taken.
        if head.is_null() {
            self.alarm.ring();
        }
        true
    }

    /// Takes all that others have pushed, in their order, and has it run. On the owner's thread.
    #[inline]
    pub(crate) fn take_remote(&self) {
        if !self.stack.load(Ordering::Relaxed).is_null() {
            self.look_at(self.stack.swap(ptr::null_mut(), Ordering::Acquire));
        }
    }

    #[cold]
    fn look_at(&self, mut node: *mut Header) {
        let mut oldest = ptr::null_mut();
        while !node.is_null() && !ptr::eq(node, CLOSED) {
            // SAFETY: a task on the stack is counted by it, and its link belongs to who has taken it.
            let header = unsafe { &*node };
            let below = header.next_remote.replace(oldest);
            oldest = node;
            node = below;
        }
        while !oldest.is_null() {
            // SAFETY: as above.
            let task = unsafe { TaskPtr::new(oldest) };
            // Read before the task is taken, which allows the next push.
            oldest = task.header().next_remote.get();
            // SAFETY: it came off the stack, on its own thread.
            unsafe { task.arrived() };
        }
    }

    /// Runs at most `budget` tasks, one after another as they became ready. Answers how many.
    #[inline]
    pub(crate) fn run(&self, budget: usize) -> usize {
        for count in 0..budget {
            let Some(task) = self.pop_ready() else { return count };
            // SAFETY: a ready task of this home, on its thread.
            unsafe { task.run() };
        }
        budget
    }

    /// Refuses new tasks, from everywhere, and ends all there are: their futures are dropped, now. On the owner's
    /// thread. Panics, in the end, with the first panic of a waker that the end of a task has woken.
    pub(crate) fn end_all(&self) {
        self.closing.set(true);
        // Nothing is released: who finds it closed looks at nothing else of the home.
        self.look_at(self.stack.swap(CLOSED, Ordering::Acquire));
        let mut first = None;
        loop {
            // Also what the last one's drop has woken: none is to be looked for in the middle of the queue.
            while let Some(task) = self.pop_ready() {
                task.unschedule();
            }
            let task = self.all.get();
            if task.is_null() {
                break;
            }
            // SAFETY: a task on the list is not complete, and this is its thread.
            let ended = catch_unwind(AssertUnwindSafe(|| unsafe { TaskPtr::new(task).cancel_now() }));
            first = first.or(ended.err());
        }
        if let Some(panic) = first {
            resume_unwind(panic);
        }
    }
}

/// Holds a home, from any thread.
pub(crate) struct HomeRef(*const Home);

// SAFETY: what other threads may touch of a home is atomic; the rest is told by `is_here` to be the owner's alone.
unsafe impl Send for HomeRef {}
// SAFETY: as above.
unsafe impl Sync for HomeRef {}

impl HomeRef {
    /// # Safety
    ///
    /// The home is there.
    pub(crate) unsafe fn new(home: *const Home) -> HomeRef {
        // SAFETY: the caller's promise. Counted among the others, because it may be dropped anywhere.
        let before = unsafe { &*home }.count.fetch_add(1, Ordering::Relaxed);
        if before > OWNER + OWNER / 2 {
            // As `Arc` does: so many were forgotten. Tasks come nowhere near: each has memory of its own.
            std::process::abort();
        }
        HomeRef(home)
    }

    pub(crate) fn as_ptr(&self) -> *const Home {
        self.0
    }
}

impl Clone for HomeRef {
    fn clone(&self) -> HomeRef {
        // SAFETY: this holds it.
        unsafe { HomeRef::new(self.0) }
    }
}

impl Drop for HomeRef {
    fn drop(&mut self) {
        // SAFETY: this holds it. Which count it is taken from makes no difference to the sum.
        unsafe { Home::release(self.0) };
    }
}
