//! Wakers of tasks.

use std::mem::ManuallyDrop;
use std::task::{RawWaker, RawWakerVTable, Waker};

use super::raw::{Header, TaskPtr};

static TABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

/// A waker of a task without a reference of its own, for while somebody else has one.
#[inline]
pub(super) fn borrowed(task: TaskPtr) -> ManuallyDrop<Waker> {
    // SAFETY: the table's functions keep a waker's contract: each may be called on any thread. It is not dropped, so
    // the reference that it lacks is not given back.
    ManuallyDrop::new(unsafe { Waker::from_raw(RawWaker::new(task.as_ptr().cast(), &TABLE)) })
}

/// # Safety
///
/// `data` is of a waker, which lends its reference to the task.
unsafe fn task(data: *const ()) -> TaskPtr {
    // SAFETY: wakers are made of tasks.
    unsafe { TaskPtr::new(data.cast::<Header>()) }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: as said there.
    unsafe { task(data) }.hold();
    RawWaker::new(data, &TABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the waker's own reference, which goes with it.
    unsafe {
        task(data).wake();
        task(data).release();
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: as said there.
    unsafe { task(data) }.wake();
}

unsafe fn drop(data: *const ()) {
    // SAFETY: the waker's own reference, which goes with it.
    unsafe { task(data).release() };
}
