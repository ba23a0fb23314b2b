//! Wakers whose clones and drops run a test's code, as a user's may.

use std::sync::Arc;
use std::task::{RawWaker, RawWakerVTable, Waker};

type Hook = Box<dyn Fn() + Send + Sync>;

/// What is run.
pub(super) struct Hooks {
    pub(super) cloned: Hook,
    pub(super) dropped: Hook,
}

const TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, release);

/// A waker that wakes nobody.
pub(super) fn waker(cloned: impl Fn() + Send + Sync + 'static, dropped: impl Fn() + Send + Sync + 'static) -> Waker {
    let hooks = Arc::new(Hooks { cloned: Box::new(cloned), dropped: Box::new(dropped) });
    // SAFETY: the table's functions are of any thread, and count the pointer as it says.
    unsafe { Waker::from_raw(RawWaker::new(Arc::into_raw(hooks).cast(), &TABLE)) }
}

fn clone(hooks: *const ()) -> RawWaker {
    // SAFETY: the waker that is cloned holds one count.
    let hooks_ref = unsafe { &*hooks.cast::<Hooks>() };
    (hooks_ref.cloned)();
    // SAFETY: as above; the clone has this one.
    unsafe { Arc::increment_strong_count(hooks.cast::<Hooks>()) };
    RawWaker::new(hooks, &TABLE)
}

fn wake(hooks: *const ()) {
    release(hooks);
}

fn wake_by_ref(_: *const ()) {}

fn release(hooks: *const ()) {
    // SAFETY: the count of the waker that goes.
    let hooks = unsafe { Arc::from_raw(hooks.cast::<Hooks>()) };
    (hooks.dropped)();
}
