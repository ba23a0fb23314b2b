//! Waiting for a task.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::home::Home;
use super::raw::{self, Failure, TaskPtr};

/// Waits for a task and yields its output. Dropping it lets the task go on by itself.
///
/// It may go to another thread when the output may.
///
/// ```
/// let runtime = proact_async::Runtime::new()?;
/// let sum = runtime.block_on(async { proact_async::spawn(async { 1 + 2 }).await.unwrap() });
/// assert_eq!(sum, 3);
/// # Ok::<(), proact::status::Status>(())
/// ```
pub struct JoinHandle<T> {
    /// `None` once the output was taken.
    task: Option<TaskPtr>,
    take: unsafe fn(TaskPtr) -> Result<T, Failure>,
    _output: PhantomData<T>,
}

// SAFETY: a task is reached from any thread by its word; the output goes with the handle.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: by a shared reference it can only be aborted and asked whether it has ended.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

/// Ends a task, from any thread, without waiting for it: of [`JoinHandle::abort_handle`].
pub struct AbortHandle {
    task: TaskPtr,
}

// SAFETY: a task is reached from any thread by its word; what it is of cannot be reached by this.
unsafe impl Send for AbortHandle {}
// SAFETY: as above.
unsafe impl Sync for AbortHandle {}

impl AbortHandle {
    /// As [`JoinHandle::abort`].
    pub fn abort(&self) {
        self.task.abort();
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task.is_complete()
    }
}

impl Clone for AbortHandle {
    fn clone(&self) -> AbortHandle {
        self.task.hold();
        AbortHandle { task: self.task }
    }
}

impl Drop for AbortHandle {
    fn drop(&mut self) {
        // SAFETY: this one's reference, which goes.
        unsafe { self.task.release() };
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").field("finished", &self.is_finished()).finish()
    }
}

/// Why a task has no output.
pub struct JoinError {
    failure: Failure,
}

impl JoinError {
    /// Whether the task was aborted, or its runtime dropped, before its end.
    pub fn is_cancelled(&self) -> bool {
        matches!(self.failure, Failure::Cancelled)
    }

    /// Whether the task panicked.
    pub fn is_panic(&self) -> bool {
        !self.is_cancelled()
    }

    /// What the task panicked with, for [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// # Errors
    /// Gives itself back when the task did not panic.
    pub fn into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self.failure {
            Failure::Panicked(panic) => Ok(panic),
            Failure::Cancelled => Err(self),
        }
    }

    fn text(&self) -> Option<&str> {
        let Failure::Panicked(panic) = &self.failure else { return None };
        let text = panic.downcast_ref::<&str>().copied();
        Some(text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message"))
    }
}

// SAFETY: of a panic only the text can be seen by a shared reference, which is plain data.
unsafe impl Sync for JoinError {}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinError({self})")
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            None => f.write_str("the task was cancelled"),
            Some(text) => write!(f, "the task panicked: {text}"),
        }
    }
}

impl std::error::Error for JoinError {}

impl<T> JoinHandle<T> {
    /// Asks that the task end: its future is dropped, on its own thread, the next time that it would be polled. The
    /// handle then yields [`JoinError::is_cancelled`], unless the task has ended by itself before.
    pub fn abort(&self) {
        if let Some(task) = self.task {
            task.abort();
        }
    }

    /// What aborts the task for somebody else than who waits for it. `None` once the output was taken.
    pub fn abort_handle(&self) -> Option<AbortHandle> {
        let task = self.task?;
        task.hold();
        Some(AbortHandle { task })
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.task.is_none_or(TaskPtr::is_complete)
    }

    /// The output, if the task has ended. Once; nobody is woken.
    pub(crate) fn try_join(&mut self) -> Option<Result<T, JoinError>> {
        if !self.task?.is_complete() {
            return None;
        }
        match Pin::new(self).poll(&mut Context::from_waker(std::task::Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// Drops the task's future now, if it has not ended.
    ///
    /// # Safety
    ///
    /// On the task's own thread, while it is not being polled.
    pub(crate) unsafe fn cancel_now(&self) {
        if let Some(task) = self.task {
            if !task.is_complete() {
                // SAFETY: the caller's promise.
                unsafe { task.cancel_now() };
            }
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        let task = self.task.expect("a handle is not polled after it has yielded");
        // SAFETY: this is the join handle.
        if !unsafe { task.join(cx.waker()) } {
            return Poll::Pending;
        }
        // SAFETY: the output is there, and this takes it once: the handle forgets the task.
        let output = unsafe { (self.take)(task) };
        self.task = None;
        // SAFETY: the handle's reference, which goes. What is left of the output is nothing.
        unsafe { task.leave() };
        Poll::Ready(output.map_err(|failure| JoinError { failure }))
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            // SAFETY: the handle's reference, which goes.
            unsafe { task.leave() };
        }
    }
}

impl<T> Unpin for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish()
    }
}

fn handle<F: Future>(task: TaskPtr) -> JoinHandle<F::Output> {
    JoinHandle { task: Some(task), take: TaskPtr::take_output::<F>, _output: PhantomData }
}

/// # Safety
///
/// The home is there, and its tasks are run by this thread.
#[inline]
pub(crate) unsafe fn spawn_here<F: Future + 'static>(home: *const Home, future: F) -> JoinHandle<F::Output> {
    // SAFETY: the caller's promise.
    handle::<F>(unsafe { raw::spawn(home, future) })
}

/// A task that borrows from the caller, on the home's own thread.
///
/// # Safety
///
/// As for [`spawn_here`], and the caller sees to it that the task is complete before what it borrows ends.
pub(crate) unsafe fn spawn_within<F: Future>(home: *const Home, future: F) -> JoinHandle<F::Output> {
    // SAFETY: the caller's promise.
    handle::<F>(unsafe { raw::spawn(home, future) })
}

/// # Safety
///
/// The home is there.
pub(crate) unsafe fn spawn_send<F>(home: *const Home, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    // SAFETY: the caller's promise; the future may go to the home's thread.
    handle::<F>(unsafe { raw::spawn(home, future) })
}

/// A future that is made by its first poll.
enum Made<M, F> {
    Not(Option<M>),
    Future(F),
}

// SAFETY: until its first poll it is what makes the future, which is `Send`. Only the thread that polls it ever has the
// future; a task is polled, and its future dropped, on its home's thread alone.
unsafe impl<M: Send, F> Send for Made<M, F> {}

impl<M: FnOnce() -> F, F: Future> Future for Made<M, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: the future is never moved once it is in its place; what makes it is not pinned.
        let this = unsafe { self.get_unchecked_mut() };
        if let Made::Not(make) = this {
            let make = make.take().expect("a panic of it was the task's end");
            *this = Made::Future(make());
        }
        let Made::Future(future) = this else { unreachable!("just made") };
        // SAFETY: as above.
        unsafe { Pin::new_unchecked(future) }.poll(cx)
    }
}

/// # Safety
///
/// The home is there.
pub(crate) unsafe fn spawn_made<M, F>(home: *const Home, make: M) -> JoinHandle<F::Output>
where
    M: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send,
{
    // SAFETY: the caller's promise; what goes to the home's thread is `make`.
    handle::<Made<M, F>>(unsafe { raw::spawn(home, Made::Not(Some(make))) })
}
