//! Registering modules and telling them signals, in each form: holding a thread, as a future, on a loop.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use proact::time::Time;

use super::InvocationOptions;
use super::future::Timing;
use super::lifecycle::Lifecycle;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::event_loop::{Command, Loop, Refused, Task};
use crate::machine::{Parks, Stop};
use crate::module::{Module, Signal};

impl Context {
    /// Registers a module behind those that are there, and runs its initializer: one that waits holds this thread
    /// meanwhile. Its functions can be looked up when that has ended.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` in a frozen context, and for a module that may not run concurrently in a concurrent one;
    /// `NOT_FOUND` for a dependency or import that is not there, or a dependency that is too old; `INTERNAL` for an
    /// import of another convention; and the initializer's failure. Nothing is left of a module that was not
    /// registered: one whose initializer has begun is deinitialized.
    pub fn register(&self, module: Arc<dyn Module>) -> Result {
        self.register_with(module, self.lifecycle())
    }

    /// As [`Context::register`], within `options`: their deadline is that of the turn, the initializer and, if it has
    /// failed, the deinitializer together.
    pub fn register_with(&self, module: Arc<dyn Module>, options: &InvocationOptions) -> Result {
        Lifecycle::register(self, module, options).block(&mut Parks::default())
    }

    /// As [`Context::register_with`], as a future: an initializer that waits holds no thread. It begins with the first
    /// poll. Waits until a time, and deadlines, need [`InvocationOptions::timers`].
    ///
    /// Dropping it on its way gives the module up: what the initializer holds is dropped, and no deinitializer runs.
    ///
    /// ```
    /// # use std::future::Future;
    /// # use std::pin::pin;
    /// # use std::task::{Context as TaskContext, Poll, Waker};
    /// use proact_vm::module::native::{Caller, NativeModule};
    /// use proact_vm::{Context, Instance, InvocationOptions};
    ///
    /// let context = Context::builder(&Instance::new()).growable().build()?;
    /// let module = NativeModule::builder("m")
    ///     .initializer(|caller: Caller<()>| async move { caller.yield_now().await })
    ///     .function("one", |_: &()| 1)
    ///     .build()?;
    /// let registered = context.register_async(module, &InvocationOptions::new());
    /// // in an async function: registered.await?;
    /// # let mut registered = pin!(registered);
    /// # let mut cx = TaskContext::from_waker(Waker::noop());
    /// # while let Poll::Pending = registered.as_mut().poll(&mut cx) {}
    /// assert!(context.lookup("m.one").is_ok());
    /// # Ok::<(), proact_vm::Error>(())
    /// ```
    pub fn register_async(&self, module: Arc<dyn Module>, options: &InvocationOptions) -> ContextFuture {
        ContextFuture::new(Lifecycle::register(self, module, options), options)
    }

    /// As [`Context::register_with`], on a loop: `done` is told once how it has ended, whatever happens, and the loop
    /// unless that has ended; its own failure is the loop's. The loop's clock is that of the deadline and waits.
    ///
    /// A loop that ends meanwhile gives the module up: no deinitializer runs.
    ///
    /// # Errors
    /// What the loop refuses it with; `done` is dropped untold.
    pub fn register_on<L, F>(
        &self,
        event_loop: &L,
        module: Arc<dyn Module>,
        options: &InvocationOptions,
        done: F,
    ) -> Result
    where
        L: Loop + ?Sized,
        F: FnOnce(Result, Option<&dyn Loop>) -> Result + Send + 'static,
    {
        let options = options.clone().clock(event_loop.clock().clone());
        submit(event_loop, Lifecycle::register(self, module, &options), done)
    }

    /// Tells all modules: [`Signal`] says in which order. Stops at the first that fails, with its failure.
    ///
    /// In a context that is not concurrent it waits for its turn, and has it until all are told; functions that wait
    /// hold this thread meanwhile.
    pub fn notify(&self, signal: Signal) -> Result {
        self.notify_with(signal, self.lifecycle())
    }

    /// As [`Context::notify`], within `options`: their deadline is that of the turn and all functions together.
    pub fn notify_with(&self, signal: Signal, options: &InvocationOptions) -> Result {
        Lifecycle::notify(self, signal, options).block(&mut Parks::default())
    }

    /// As [`Context::notify_with`], as a future: functions that wait hold no thread. It begins with the first poll.
    /// Waits until a time, and deadlines, need [`InvocationOptions::timers`]. Dropped on its way, it tells no more.
    pub fn notify_async(&self, signal: Signal, options: &InvocationOptions) -> ContextFuture {
        ContextFuture::new(Lifecycle::notify(self, signal, options), options)
    }

    /// As [`Context::notify_with`], on a loop: as [`Context::register_on`].
    pub fn notify_on<L, F>(&self, event_loop: &L, signal: Signal, options: &InvocationOptions, done: F) -> Result
    where
        L: Loop + ?Sized,
        F: FnOnce(Result, Option<&dyn Loop>) -> Result + Send + 'static,
    {
        let options = options.clone().clock(event_loop.clock().clone());
        submit(event_loop, Lifecycle::notify(self, signal, &options), done)
    }
}

/// Of [`Context::register_async`] and [`Context::notify_async`].
#[must_use = "a future does nothing unless it is polled"]
pub struct ContextFuture {
    lifecycle: Lifecycle,
    waits: bool,
    timing: Timing,
}

impl ContextFuture {
    fn new(lifecycle: Lifecycle, options: &InvocationOptions) -> ContextFuture {
        ContextFuture { lifecycle, waits: false, timing: Timing::new(options) }
    }
}

impl Future for ContextFuture {
    type Output = Result;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result> {
        let this = &mut *self;
        loop {
            if this.waits {
                match this.timing.poll_wait(this.lifecycle.machine(), cx) {
                    Poll::Ready(why) => this.lifecycle.waited(why),
                    Poll::Pending => return Poll::Pending,
                }
            }
            this.waits = false;
            match this.lifecycle.step() {
                Stop::Done(result) => return Poll::Ready(result),
                Stop::Wait => this.waits = true,
                Stop::Yield => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }
}

impl fmt::Debug for ContextFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContextFuture").field("waits", &self.waits).finish_non_exhaustive()
    }
}

/// On a loop.
struct OnLoop<F> {
    lifecycle: Lifecycle,
    done: F,
}

fn submit<L, F>(event_loop: &L, lifecycle: Lifecycle, done: F) -> Result
where
    L: Loop + ?Sized,
    F: FnOnce(Result, Option<&dyn Loop>) -> Result + Send + 'static,
{
    Ok(event_loop.submit(Command::Call, Box::new(OnLoop { lifecycle, done }))?)
}

impl<F> OnLoop<F>
where
    F: FnOnce(Result, Option<&dyn Loop>) -> Result + Send + 'static,
{
    /// Gives up what stands, and tells so.
    #[cold]
    fn give_up(mut self, error: Error, event_loop: Option<&dyn Loop>) -> Result {
        let error = self.lifecycle.fail(error);
        (self.done)(Err(error), event_loop)
    }
}

impl<F> Task for OnLoop<F>
where
    F: FnOnce(Result, Option<&dyn Loop>) -> Result + Send + 'static,
{
    fn poll(&mut self, _: Time, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.lifecycle.machine().poll_wait(cx).map(|why| self.lifecycle.waited(why))
    }

    fn next_time(&self) -> Option<Time> {
        self.lifecycle.next_time()
    }

    fn run(mut self: Box<Self>, event_loop: &dyn Loop) -> Result {
        let stop = match catch_unwind(AssertUnwindSafe(|| self.lifecycle.step())) {
            Ok(stop) => stop,
            Err(panic) => {
                if let Err(error) = self.give_up(Error::internal("the function panicked"), Some(event_loop)) {
                    event_loop.abort(error);
                }
                resume_unwind(panic);
            }
        };
        let command = match stop {
            Stop::Done(result) => return (self.done)(result, Some(event_loop)),
            Stop::Yield => Command::Call,
            Stop::Wait => Command::Wait,
        };
        match event_loop.submit(command, self) {
            Ok(()) => Ok(()),
            // Its end is told all the same, as it has begun.
            Err(Refused { error, task }) => {
                let own: Box<Self> = task.into_any().downcast().expect("a loop refuses the task that it was given");
                own.give_up(error, Some(event_loop).filter(|event_loop| event_loop.error().is_none()))
            }
        }
    }

    fn abort(self: Box<Self>, error: Error) {
        // What is answered goes nowhere: the loop has a failure already.
        let _ = self.give_up(error, None);
    }
}
