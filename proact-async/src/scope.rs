//! Scopes: operations and tasks that end together, and are waited for.
//!
//! Every operation that is submitted within a scope's body, or within a task that the scope spawned, belongs to it:
//! transfers, semaphore waits, chains, timers. A scope that is cancelled, or whose deadline has come, ends them all, in
//! the proactor; those submitted after that end at once. It returns when every one of them has come to its terminal
//! outcome, also those whose future was dropped: what they held is free by then.
//!
//! **Cancellation is told, not imposed.** The body and the tasks learn of it by the outcomes of their operations, and
//! may still look at how far each had come ([`Outcome::terminal`](proact::operation::Outcome::terminal)), release what
//! they have, and answer. What then still waits, for something that is no operation of the scope, or goes on submitting
//! for ever, is dropped.
//!
//! A scope within a scope ends with it. Dropping the future of a scope ends all that is in it, and waits for nothing.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use proact::operation::CancelAll;
use proact::operation::future::OperationFuture;
use proact::status::Code;
use proact::time::Time;

use crate::runtime::{Operation, exchange_scope, is_running, now, operation, spawn, with_handle};
use crate::task::{AbortHandle, JoinHandle};
use crate::time::{Sleep, sleep_until};

/// Runs `body` in a scope of its own. Returns when it has ended, and all operations and tasks of the scope with it.
///
/// ```
/// use proact_async::{Runtime, operation, scope};
/// use proact::operation::EventWait;
///
/// let runtime = Runtime::new()?;
/// let event = runtime.handle().event()?;
/// let outcome = runtime.block_on(scope(async |scope| {
///     scope.spawn({
///         let scope = scope.clone();
///         async move { scope.cancel() }
///     });
///     operation(EventWait::new(event)).await.1 // for ever, but for the task
/// }));
/// assert!(outcome.unwrap().result.unwrap_err().is_cancelled());
/// # Ok::<(), proact::status::Status>(())
/// ```
///
/// # Errors
/// The scope was cancelled and the body was waiting for something else, or for nothing any more: it was dropped.
///
/// # Panics
/// Outside of a runtime.
pub async fn scope<T>(body: impl AsyncFnOnce(&Scope) -> T) -> Result<T, Ended> {
    run(None, body).await
}

/// As [`scope`], cancelled at `deadline` on the runtime's clock.
///
/// # Errors
/// As there.
pub async fn scope_until<T>(deadline: Time, body: impl AsyncFnOnce(&Scope) -> T) -> Result<T, Ended> {
    run(Some(deadline), body).await
}

/// As [`scope`], cancelled after so long.
///
/// # Errors
/// As there.
pub async fn scope_for<T>(duration: Duration, body: impl AsyncFnOnce(&Scope) -> T) -> Result<T, Ended> {
    run(Some(now() + duration), body).await
}

/// Why a scope has no output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It was cancelled, or the scope that it is in.
    Cancelled,
    /// Its deadline has come.
    DeadlineExceeded,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ended::Cancelled => "the scope was cancelled",
            Ended::DeadlineExceeded => "the scope's deadline has come",
        })
    }
}

impl std::error::Error for Ended {}

/// A scope, from within: of [`scope`]. A clone is the same scope.
#[derive(Clone)]
pub struct Scope {
    state: Rc<State>,
}

struct State {
    operations: proact::operation::Scope,
    ended: Cell<Option<Ended>>,
    /// Whom a cancellation and the end of the last task wake: the task that runs the scope.
    waker: RefCell<Option<Waker>>,
    /// Tasks of it that have not ended.
    running: Cell<usize>,
    tasks: RefCell<Vec<AbortHandle>>,
    /// Scopes within it that have not ended, and those that were dropped before their end: their operations are waited
    /// for here.
    inner: RefCell<Vec<Rc<State>>>,
    outer: Option<Weak<State>>,
    /// It has returned, or was dropped: whoever still has a handle to it can spawn nothing.
    over: Cell<bool>,
}

impl Scope {
    /// Ends all that is in it: see [the module](self). Once is enough.
    pub fn cancel(&self) {
        self.state.cancel(Ended::Cancelled);
    }

    /// Whether it was cancelled, or its deadline has come.
    pub fn is_cancelled(&self) -> bool {
        self.state.ended.get().is_some()
    }

    /// Runs a future as a task that belongs to the scope, which waits for it. After the scope's end it is dropped
    /// instead, and the handle yields that it was cancelled.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        let member = Member::new(&self.state);
        let task = spawn(async move {
            let mut future = pin!(future);
            poll_fn(|cx| member.0.within(|| future.as_mut().poll(cx))).await
        });
        if self.state.over.get() {
            task.abort();
            return task;
        }
        let mut tasks = self.state.tasks.borrow_mut();
        if tasks.len() == tasks.capacity() {
            // Those that have ended make room, so that a scope of many short tasks does not grow.
            tasks.retain(|task| !task.is_finished());
        }
        tasks.extend(task.abort_handle());
        task
    }

    /// The group that its operations are in, for those that are submitted by other ways: from another thread, or by
    /// callbacks.
    pub fn operations(&self) -> &proact::operation::Scope {
        &self.state.operations
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (running, inner) = (self.state.running.get(), self.state.inner.borrow().len());
        let mut debug = f.debug_struct("Scope");
        debug.field("ended", &self.state.ended.get()).field("running", &running).field("inner", &inner).finish()
    }
}

impl State {
    fn cancel(&self, why: Ended) {
        if self.ended.get().is_some() {
            return;
        }
        self.ended.set(Some(why));
        // Taken out: what is woken may come back here.
        let inner: Vec<_> = self.inner.borrow().clone();
        inner.iter().for_each(|inner| inner.cancel(Ended::Cancelled));
        self.wake();
    }

    fn wake(&self) {
        let waker = self.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn wake_later(&self, cx: &Context<'_>) {
        let old = self.waker.replace(Some(cx.waker().clone()));
        drop(old);
    }
}

/// Counts a task of a scope, and of those around it, from when it is spawned until its future is dropped.
struct Member(Rc<State>);

impl Member {
    fn new(state: &Rc<State>) -> Member {
        state.count(1);
        Member(state.clone())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.count(-1);
    }
}

thread_local! {
    /// The scope whose body or task is being polled.
    static AROUND: RefCell<Option<Rc<State>>> = const { RefCell::new(None) };
}

/// Sets back what was around, also when what was polled panics.
struct Back(Option<Rc<State>>, Option<proact::operation::Scope>);

impl Drop for Back {
    fn drop(&mut self) {
        let around = self.0.take();
        let inside = AROUND.with_borrow_mut(|place| std::mem::replace(place, around));
        exchange_scope(self.1.take());
        drop(inside);
    }
}

impl State {
    /// Calls `work`, whose operations and scopes are within this one.
    fn within<R>(self: &Rc<State>, work: impl FnOnce() -> R) -> R {
        let around = AROUND.with_borrow_mut(|around| around.replace(self.clone()));
        let _back = Back(around, exchange_scope(Some(self.operations.clone())));
        work()
    }

    fn count(&self, change: isize) {
        self.running.set(self.running.get().wrapping_add_signed(change));
        if self.running.get() == 0 {
            self.wake();
        }
        if let Some(outer) = self.outer.as_ref().and_then(Weak::upgrade) {
            outer.count(change);
        }
    }

    /// This one's operations and those of all within it.
    fn all(&self, groups: &mut Vec<proact::operation::Scope>) {
        groups.push(self.operations.clone());
        self.inner.borrow().iter().for_each(|inner| inner.all(groups));
    }

    fn abort_tasks(&self) {
        let tasks = self.tasks.take();
        tasks.iter().for_each(AbortHandle::abort);
        let inner = self.inner.borrow().clone();
        inner.iter().for_each(|inner| inner.abort_tasks());
    }

    /// It has ended: the scope around it need not wait for it.
    fn leave(self: &Rc<State>) {
        if let Some(outer) = self.outer.as_ref().and_then(Weak::upgrade) {
            outer.inner.borrow_mut().retain(|inner| !Rc::ptr_eq(inner, self));
            outer.wake();
        }
    }
}

/// Calls `work`, whose operations belong to no scope: what ends a scope.
fn outside<R>(work: impl FnOnce() -> R) -> R {
    struct Inside(Option<proact::operation::Scope>);
    impl Drop for Inside {
        fn drop(&mut self) {
            exchange_scope(self.0.take());
        }
    }
    let _inside = Inside(exchange_scope(None));
    work()
}

/// The end of the scope. Ends the tasks when its future is dropped before.
struct Close(Rc<State>);

impl Drop for Close {
    fn drop(&mut self) {
        if self.0.over.replace(true) {
            return;
        }
        self.0.abort_tasks();
        // The scope around waits for its operations. It may go on for long and have many like this one: they are to be
        // forgotten when they have ended, not when it ends.
        let state = self.0.clone();
        if state.outer.as_ref().is_some_and(|outer| outer.strong_count() > 0) && is_running() {
            drop(spawn(async move {
                let mut last = Purge::new(&state);
                poll_fn(|cx| last.poll(cx)).await;
                state.leave();
            }));
        }
    }
}

type EndGroup = CancelAll<proact::operation::Scope>;

/// What ends the operations of one scope, on its way.
enum Cancel {
    Here(Operation<EndGroup>),
    /// By the slots that other threads' operations have, for this thread's are all taken: by what is to be ended, it
    /// may be.
    Aside(OperationFuture<EndGroup>),
}

impl Cancel {
    /// Yields how many it has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            let (kind, outcome) = ready!(match self {
                Cancel::Here(cancel) => Pin::new(cancel).poll(cx),
                Cancel::Aside(cancel) => Pin::new(cancel).poll(cx),
            });
            let full = outcome.result.as_ref().is_err_and(|status| status.code() == Code::ResourceExhausted);
            if !full {
                // Refused otherwise, it can wait for nothing: the proactor has shut down, its operations with it.
                return Poll::Ready(outcome.result.unwrap_or(0));
            }
            let again = matches!(self, Cancel::Aside(_));
            *self = Cancel::Aside(with_handle(|handle| handle.future(kind)));
            if again {
                // Others have all there are: after the next poll of the proactor.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }
}

/// Ends all operations of a scope and of those within it, and waits until there are none.
struct Purge {
    cancels: Vec<Cancel>,
    /// Operations that it has found.
    ended: usize,
}

impl Purge {
    fn new(state: &State) -> Purge {
        let mut groups = Vec::new();
        state.all(&mut groups);
        let cancel = |group| Cancel::Here(operation(CancelAll::new(group)));
        Purge { cancels: groups.iter().map(cancel).collect(), ended: 0 }
    }

    /// Yields how many operations it has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let ended = &mut self.ended;
        outside(|| {
            self.cancels.retain_mut(|cancel| match cancel.poll(cx) {
                Poll::Ready(found) => {
                    *ended += found;
                    false
                }
                Poll::Pending => true,
            });
        });
        if self.cancels.is_empty() { Poll::Ready(*ended) } else { Poll::Pending }
    }
}

/// A cancelled scope, until its body and tasks have answered or are dropped.
///
/// They are given time as long as they go on, which shows in the operations that they still submit; then some passes
/// more, for tasks that wait for tasks and scopes that wait for scopes. Those that submit for ever are dropped as well.
struct Farewell {
    purge: Purge,
    /// Purges in a row that have found nothing.
    quiet: u32,
    purges: u32,
}

const QUIET_MAX: u32 = 8;
const PURGES_MAX: u32 = 256;

impl Farewell {
    fn new(state: &State) -> Farewell {
        Farewell { purge: Purge::new(state), quiet: 0, purges: 0 }
    }

    fn poll(&mut self, state: &State, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(ended) = self.purge.poll(cx) {
            self.quiet = if ended == 0 { self.quiet + 1 } else { 0 };
            self.purges += 1;
            if self.quiet >= QUIET_MAX || self.purges >= PURGES_MAX {
                return Poll::Ready(());
            }
            self.purge = Purge::new(state);
        }
        Poll::Pending
    }
}

async fn run<T>(deadline: Option<Time>, body: impl AsyncFnOnce(&Scope) -> T) -> Result<T, Ended> {
    let outer = AROUND.with_borrow(Clone::clone);
    let state = Rc::new(State {
        operations: with_handle(|handle| handle.scope()),
        ended: Cell::new(outer.as_ref().and_then(|outer| outer.ended.get()).map(|_| Ended::Cancelled)),
        waker: RefCell::new(None),
        running: Cell::new(0),
        tasks: RefCell::new(Vec::new()),
        inner: RefCell::new(Vec::new()),
        outer: outer.as_ref().map(Rc::downgrade),
        over: Cell::new(false),
    });
    if let Some(outer) = outer {
        outer.inner.borrow_mut().push(state.clone());
    }
    let close = Close(state.clone());
    let scope = Scope { state: state.clone() };
    let mut timer: Option<Sleep> = deadline.map(sleep_until);
    let mut farewell: Option<Farewell> = None;
    let mut output = None;
    {
        let mut body = pin!(Some(body(&scope)));
        poll_fn(|cx| {
            if let Some(running) = body.as_mut().as_pin_mut() {
                if let Poll::Ready(value) = state.within(|| running.poll(cx)) {
                    output = Some(value);
                    body.set(None);
                }
            }
            state.wake_later(cx);
            if state.ended.get().is_none() && timer.as_mut().is_some_and(|timer| Pin::new(timer).poll(cx).is_ready()) {
                state.cancel(Ended::DeadlineExceeded);
                state.wake_later(cx);
            }
            if body.is_none() && state.running.get() == 0 {
                return Poll::Ready(());
            }
            let told = state.ended.get().is_some()
                && farewell.get_or_insert_with(|| Farewell::new(&state)).poll(&state, cx).is_ready();
            if told {
                farewell = None; // what their drop leaves is ended as well
                body.set(None);
                state.abort_tasks();
            }
            let idle = body.is_none() && state.running.get() == 0;
            if idle { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    // What was dropped in flight, here or in scopes that were dropped themselves.
    let mut last = Purge::new(&state);
    poll_fn(|cx| last.poll(cx)).await;
    state.over.set(true);
    drop(close);
    state.leave();
    output.ok_or_else(|| state.ended.get().unwrap_or(Ended::Cancelled))
}
