//! A call as a future, for any executor.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use proact::operation::Timer;
use proact::proactor::Handle;
use proact::time::Time;

use super::{InvocationOptions, InvocationState};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::machine::{Machine, Stop};
use crate::module::{Function, Resumption};
use crate::value::{Inputs, Value};

/// A future that is over at its time.
pub type TimerFuture = Pin<Box<dyn Future<Output = Result> + Send>>;

/// What wakes a task at a time. A proactor's handle does.
pub trait Timers: Send + Sync + 'static {
    /// A future that is over at `time`, on the clock of the call's options.
    fn timer(&self, time: Time) -> TimerFuture;
}

impl Timers for Handle {
    fn timer(&self, time: Time) -> TimerFuture {
        let timer = self.future(Timer::new(time));
        Box::pin(async move { timer.await.1.result.map(drop).map_err(Error::from) })
    }
}

/// Of [`Context::invoke_async`]. Dropping it gives the call up.
#[must_use = "a future does nothing unless it is polled"]
pub struct InvocationFuture {
    state: Box<InvocationState>,
    next: Next,
    timing: Timing,
}

#[derive(Debug)]
enum Next {
    Enter,
    Resume(Resumption),
    Wait,
    Over,
}

impl Context {
    /// Calls `function` as a future, whose output is the results. It is begun by the first poll; the inputs are
    /// captured now, and an error is one of those.
    ///
    /// Waits until a time, and deadlines, need [`InvocationOptions::timers`]: without them they fail with
    /// `FAILED_PRECONDITION`. A yield lets the executor's other tasks run.
    ///
    /// ```
    /// # use std::future::Future;
    /// # use std::pin::pin;
    /// # use std::task::{Context as TaskContext, Poll, Waker};
    /// use proact_vm::module::native::NativeModule;
    /// use proact_vm::{Context, Instance, InvocationOptions, Value};
    ///
    /// let math = NativeModule::builder("math").function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b)).build()?;
    /// let context = Context::builder(&Instance::new()).module(math).build()?;
    /// let inputs = [Value::I32(2), Value::I32(3)];
    /// let call = context.invoke_async(&context.lookup("math.add")?, &InvocationOptions::new(), &inputs)?;
    /// // in an async function: call.await
    /// # let Poll::Ready(outputs) = pin!(call).poll(&mut TaskContext::from_waker(Waker::noop())) else { panic!() };
    /// assert_eq!(outputs?, [Value::I32(5)]);
    /// # Ok::<(), proact_vm::Error>(())
    /// ```
    pub fn invoke_async<I: Inputs + ?Sized>(
        &self,
        function: &Function,
        options: &InvocationOptions,
        inputs: &I,
    ) -> Result<InvocationFuture> {
        let mut state = Box::new(InvocationState::new());
        state.prepare(self, function, options, inputs)?;
        Ok(InvocationFuture { state, next: Next::Enter, timing: Timing::new(options) })
    }
}

/// What a future waits for a time with.
pub(super) struct Timing {
    timers: Option<Arc<dyn Timers>>,
    /// For the time that the wait needs, and that time.
    timer: Option<(Time, TimerFuture)>,
}

impl Timing {
    pub(super) fn new(options: &InvocationOptions) -> Timing {
        Timing { timers: options.timers.clone(), timer: None }
    }

    /// Whether the machine's wait is over; if not, the task is woken when that may have changed.
    pub(super) fn poll_wait(&mut self, machine: &mut Machine, cx: &mut TaskContext<'_>) -> Poll<Resumption> {
        loop {
            if let Poll::Ready(why) = machine.poll_wait(cx) {
                self.timer = None;
                return Poll::Ready(why);
            }
            let Some(time) = machine.next_time() else {
                return Poll::Pending;
            };
            if self.timer.as_ref().is_none_or(|(set, _)| *set != time) {
                let Some(timers) = &self.timers else {
                    let message = "a wait until a time, or with a deadline, in a future that was given no timers";
                    return Poll::Ready(machine.waited(Err(Error::precondition(message))));
                };
                self.timer = Some((time, timers.timer(time)));
            }
            let Some((_, timer)) = &mut self.timer else {
                return Poll::Pending;
            };
            match timer.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                // The clock has come to that time: the wait says what that means.
                Poll::Ready(Ok(())) if machine.clock.now() >= time => self.timer = None,
                Poll::Ready(Ok(())) => {
                    self.timer = None;
                    let message = "the timers are not of the call's clock: they were over before their time";
                    return Poll::Ready(machine.waited(Err(Error::precondition(message))));
                }
                Poll::Ready(Err(error)) => {
                    self.timer = None;
                    return Poll::Ready(machine.waited(Err(error)));
                }
            }
        }
    }
}

impl Future for InvocationFuture {
    type Output = Result<Vec<Value>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<Vec<Value>>> {
        let this = &mut *self;
        loop {
            let stop = match std::mem::replace(&mut this.next, Next::Over) {
                Next::Enter => this.state.enter(),
                Next::Resume(why) => this.state.go_on(why),
                Next::Wait => match this.timing.poll_wait(&mut this.state.machine, cx) {
                    Poll::Ready(why) => this.state.go_on(why),
                    Poll::Pending => {
                        this.next = Next::Wait;
                        return Poll::Pending;
                    }
                },
                Next::Over => panic!("polled after its end"),
            };
            match stop {
                Stop::Done(Ok(())) => {
                    let mut outputs = Vec::new();
                    return Poll::Ready(this.state.finish(&mut outputs).map(|()| outputs));
                }
                Stop::Done(Err(error)) => {
                    this.state.abort();
                    return Poll::Ready(Err(error));
                }
                Stop::Yield => {
                    this.next = Next::Resume(Resumption::Yielded);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Stop::Wait => this.next = Next::Wait,
            }
        }
    }
}

impl fmt::Debug for InvocationFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InvocationFuture").field("state", &self.state).field("next", &self.next).finish_non_exhaustive()
    }
}
