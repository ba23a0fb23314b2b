//! The runtime that this thread is running.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::ptr;
use std::rc::Rc;
use std::task::{Context, Poll};

use proact::operation::future::{Here, OperationFuture, OperationStream, Streamed, Submission};
use proact::operation::{Kind, OperationId, Scope};
use proact::proactor::{Handle, Statistics};
use proact::time::Time;

use super::core::Core;
use super::spawner::Spawner;
use crate::task::{JoinHandle, spawn_here};
use crate::time::Timers;
use crate::trace;

thread_local! {
    static CURRENT: Cell<*const Core> = const { Cell::new(ptr::null()) };
    /// All cores of this thread: an operation may be dropped while none of them, or another one, is current.
    static CORES: RefCell<Vec<*const Core>> = const { RefCell::new(Vec::new()) };
}

/// Makes `core` the current one. Answers which was before.
pub(super) fn set_current(core: *const Core) -> *const Core {
    CURRENT.try_with(|current| current.replace(core)).unwrap_or(ptr::null())
}

pub(super) fn register(core: *const Core) {
    CORES.with(|cores| cores.borrow_mut().push(core));
}

pub(super) fn unregister(core: *const Core) {
    // A thread that ends has none any more.
    let _ = CORES.try_with(|cores| cores.borrow_mut().retain(|&other| !ptr::eq(other, core)));
}

/// Calls `work` with the current core, if there is one.
#[inline]
pub(super) fn try_with<R>(work: impl FnOnce(&Core) -> R) -> Option<R> {
    let core = CURRENT.try_with(Cell::get).unwrap_or(ptr::null());
    // SAFETY: a core stays current no longer than it is borrowed by its runtime's `enter`.
    unsafe { core.as_ref() }.map(work)
}

#[inline]
#[track_caller]
fn with<R>(work: impl FnOnce(&Core) -> R) -> R {
    match try_with(work) {
        Some(result) => result,
        None => outside(),
    }
}

#[cold]
#[track_caller]
fn outside() -> ! {
    panic!("there is no proact-async runtime here: this must be called within `Runtime::block_on` or one of its tasks")
}

/// Whether this thread is running a runtime: whether the free functions of this crate work here.
pub fn is_running() -> bool {
    try_with(|_| ()).is_some()
}

/// Runs a future as a task of the current runtime, on this thread.
///
/// # Panics
/// Outside of a runtime.
#[inline]
#[track_caller]
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    let future = trace::task(future, Location::caller());
    // SAFETY: the core is current, so its home is there and this thread's.
    with(|core| unsafe { spawn_here(core.home, future) })
}

/// The current runtime's spawner, by which other threads give it tasks.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn spawner() -> Spawner {
    with(|core| core.spawner.clone())
}

/// The handle of the current runtime's proactor: what makes sockets, files, events and buffers.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn handle() -> Handle {
    with(|core| core.handle.clone())
}

/// Calls `work` with the handle of the current runtime's proactor, without counting one more.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn with_handle<R>(work: impl FnOnce(&Handle) -> R) -> R {
    with(|core| work(&core.handle))
}

/// Has operations that this thread submits belong to `scope` from now on. Answers to which they did before.
pub(crate) fn exchange_scope(scope: Option<Scope>) -> Option<Scope> {
    try_with(|core| core.scope.replace(scope)).flatten()
}

/// What the current runtime's proactor has counted.
///
/// # Panics
/// Outside of a runtime; in a waker that the proactor calls.
#[track_caller]
pub fn statistics() -> Statistics {
    with(|core| core.statistics().expect("a runtime that runs has its proactor"))
}

/// How many other tasks the current runtime has.
pub(crate) fn tasks() -> usize {
    with(|core| core.home().tasks().saturating_sub(1))
}

/// Waits until the task that calls it is the only one of the current runtime.
pub(crate) async fn tasks_ended() {
    std::future::poll_fn(|cx| {
        with(|core| if core.home().is_last(cx.waker()) { Poll::Ready(()) } else { Poll::Pending })
    })
    .await;
}

/// The time on the current runtime's clock, which deadlines are on: virtual in a simulated world.
///
/// # Panics
/// Outside of a runtime.
#[track_caller]
pub fn now() -> Time {
    with(|core| core.handle.clock().now())
}

/// Calls `work` with the current runtime's timers.
#[inline]
#[track_caller]
pub(crate) fn with_timers<R>(work: impl FnOnce(&Rc<Timers>) -> R) -> R {
    with(|core| work(&core.timers))
}

/// An operation on the proactor of this thread: what [`operation`] makes.
pub type Operation<K> = OperationFuture<K, Current>;

/// A multishot operation on the proactor of this thread: what [`stream`] makes.
pub type Operations<K> = OperationStream<K, Current>;

/// An operation as a future, straight to the proactor of the runtime that polls it first: no atomics, no other thread.
///
/// It may be made anywhere. Polled outside of a runtime it panics; dropped, at any time and also after its runtime, it
/// cancels the operation, and what that yields is adopted and dropped.
///
/// ```
/// use proact::operation::Nop;
///
/// let runtime = proact_async::Runtime::new()?;
/// let (Nop, outcome) = runtime.block_on(proact_async::operation(Nop));
/// assert!(outcome.result.is_ok());
/// # Ok::<(), proact::status::Status>(())
/// ```
#[inline]
#[track_caller]
pub fn operation<K: Kind>(kind: K) -> Operation<K> {
    OperationFuture::here(kind, Current::new())
}

/// A multishot operation as a stream, as [`operation`].
#[track_caller]
pub fn stream<K: Streamed>(kind: K) -> Operations<K> {
    OperationStream::here(kind, Current::new())
}

/// The way to the proactor of whichever runtime this thread is running.
#[derive(Debug)]
pub struct Current {
    span: trace::Slot,
    /// Of this thread alone.
    _here: std::marker::PhantomData<*const ()>,
}

impl Current {
    #[inline]
    fn new() -> Current {
        Current { span: trace::Slot::new(), _here: std::marker::PhantomData }
    }
}

impl Here for Current {
    #[inline]
    fn submit(&self, submission: Submission<'_>, cx: &mut Context<'_>) {
        self.span.submitted(&submission);
        with(|core| core.submit(submission, cx));
    }

    fn cancel(&self, id: OperationId) {
        self.span.cancelled();
        let mut done = false;
        try_with(|core| {
            done = core.handle.submitted(id);
            if done {
                core.cancel(id);
            }
        });
        if done {
            return;
        }
        // Dropped outside of its runtime, or in another one, or after it: then there is nothing left to cancel.
        let _ = CORES.try_with(|cores| {
            for &core in cores.borrow().iter() {
                // SAFETY: a core is registered as long as it is there, and this is its thread.
                let core = unsafe { &*core };
                if core.handle.submitted(id) {
                    core.cancel(id);
                }
            }
        });
    }
}
