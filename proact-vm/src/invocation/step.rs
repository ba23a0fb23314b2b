//! Calls that a host drives step by step, on a state of its own. A step out of order does not compile.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context as TaskContext, Poll};

use proact::time::{Time, Timeout};

use super::state::at;
use super::{InvocationOptions, InvocationState};
use crate::context::Context;
use crate::error::{CallId, Error, Result};
use crate::machine::Stop;
use crate::module::{Function, Resumption};
use crate::value::{Inputs, Outputs};
use crate::wait::{WaitFrame, WaitOutcome};

/// Where a call stands that was begun with [`Context::begin`].
///
/// Each step uses up the last one, and may be taken on any thread. Dropping any of them gives the call up: its frames
/// are dropped from the top, and functions see nothing of it. It is no cancellation: who is to be told is failed with
/// [`Waiting::provide`] or [`Yielded::fail`].
#[must_use = "a step that is dropped gives the call up"]
#[derive(Debug)]
pub enum Step<'s> {
    /// The call is over.
    Done(Done<'s>),
    /// A function lets others run.
    Yielded(Yielded<'s>),
    /// A function waits.
    Waiting(Waiting<'s>),
}

/// Gives the call up when it is dropped.
struct Call<'s>(&'s mut InvocationState);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<'s> Call<'s> {
    fn stopped(self, stop: Stop) -> Step<'s> {
        match stop {
            Stop::Done(result) => Step::Done(Done { call: self, result }),
            Stop::Yield => Step::Yielded(Yielded { call: self, why: Resumption::Yielded }),
            Stop::Wait => Step::Waiting(Waiting { call: self }),
        }
    }
}

/// A call that is over: its results, or its failure, wait to be taken.
#[must_use = "its results are lost when it is dropped"]
pub struct Done<'s> {
    call: Call<'s>,
    result: Result,
}

/// A call that goes on when it is resumed.
#[must_use = "a step that is dropped gives the call up"]
pub struct Yielded<'s> {
    call: Call<'s>,
    why: Resumption,
}

/// A call that goes on when its wait is over.
#[must_use = "a step that is dropped gives the call up"]
pub struct Waiting<'s> {
    call: Call<'s>,
}

impl Context {
    /// Begins a call in `state`, and runs it up to its first stop.
    ///
    /// The inputs are captured: values are copied, references counted. An error is one of beginning: inputs that do not
    /// fit, a function of another context; nothing is left of it. What the function itself answers is told in
    /// [`Step::Done`].
    ///
    /// ```
    /// use proact_vm::module::native::{Caller, NativeModule};
    /// use proact_vm::{Context, Instance, InvocationOptions, InvocationState, Step, Value};
    ///
    /// let module = NativeModule::builder("m")
    ///     .async_function("twice", |caller: Caller<()>, a: i32| async move {
    ///         caller.yield_now().await.map(|()| 2 * a)
    ///     })
    ///     .build()?;
    /// let context = Context::builder(&Instance::new()).module(module).build()?;
    ///
    /// let mut state = InvocationState::new();
    /// let twice = context.lookup("m.twice")?;
    /// let step = context.begin(&mut state, &twice, &InvocationOptions::new(), &[Value::I32(4)])?;
    /// let Step::Yielded(yielded) = step else { panic!() };
    /// let Step::Done(done) = yielded.resume() else { panic!() };
    /// let mut outputs = Vec::new();
    /// done.end(&mut outputs)??; // the step's failure, and the function's
    /// assert_eq!(outputs, [Value::I32(8)]);
    /// # Ok::<(), proact_vm::Error>(())
    /// ```
    ///
    /// What has ended is not resumed:
    ///
    /// ```compile_fail,E0599
    /// # fn f(done: proact_vm::Done<'_>) {
    /// done.resume();
    /// # }
    /// ```
    ///
    /// A step is taken once:
    ///
    /// ```compile_fail,E0382
    /// # fn f(yielded: proact_vm::Yielded<'_>) {
    /// let first = yielded.resume();
    /// let second = yielded.resume();
    /// # }
    /// ```
    ///
    /// What waits is not resumed before its wait is over:
    ///
    /// ```compile_fail,E0599
    /// # fn f(waiting: proact_vm::Waiting<'_>) {
    /// waiting.resume();
    /// # }
    /// ```
    ///
    /// A state holds one call at a time:
    ///
    /// ```compile_fail,E0499
    /// # use proact_vm::*;
    /// # fn f(context: Context, function: Function, options: InvocationOptions) {
    /// let mut state = InvocationState::new();
    /// let first = context.begin(&mut state, &function, &options, &());
    /// let second = context.begin(&mut state, &function, &options, &());
    /// drop(first);
    /// # }
    /// ```
    pub fn begin<'s, I: Inputs + ?Sized>(
        &self,
        state: &'s mut InvocationState,
        function: &Function,
        options: &InvocationOptions,
        inputs: &I,
    ) -> Result<Step<'s>> {
        let call = Call(state);
        let stop = call.0.start(self, function, options, inputs)?;
        Ok(call.stopped(stop))
    }
}

impl<'s> Step<'s> {
    /// Drives the call to its end, on this thread.
    pub fn finish(self) -> Done<'s> {
        let mut step = self;
        loop {
            step = match step {
                Step::Done(done) => return done,
                Step::Yielded(yielded) => yielded.resume(),
                Step::Waiting(waiting) => waiting.wait(Timeout::Infinite).resume(),
            };
        }
    }
}

impl Done<'_> {
    /// How the function ended.
    pub fn result(&self) -> Result<(), &Error> {
        self.result.as_ref().copied()
    }

    /// The call's id.
    pub fn id(&self) -> CallId {
        self.call.0.machine.id
    }

    /// Appends the results to `outputs`, and answers how the function ended. The outer failure is that of this step:
    /// `outputs` took not all of the results.
    pub fn end<O: Outputs + ?Sized>(self, outputs: &mut O) -> Result<Result> {
        let Done { call, result } = self;
        if result.is_ok() {
            call.0.finish(outputs)?;
        }
        Ok(result)
    }
}

impl<'s> Yielded<'s> {
    /// Goes on, up to the next stop.
    pub fn resume(self) -> Step<'s> {
        let Yielded { call, why } = self;
        let stop = call.0.go_on(why);
        call.stopped(stop)
    }

    /// Ends the call with a failure from outside, such as a cancellation. Its frames are dropped, and named in the
    /// backtrace.
    pub fn fail(self, error: Error) -> Done<'s> {
        let error = self.call.0.fail(error);
        Done { call: self.call, result: Err(error) }
    }

    /// The call's id.
    pub fn id(&self) -> CallId {
        self.call.0.machine.id
    }
}

impl<'s> Waiting<'s> {
    /// What is waited for: a host may wait for it by its own means, and give the outcome back; but one that
    /// [may also be woken](WaitFrame::is_or_woken) is polled, or waited for by the step.
    pub fn frame(&self) -> &WaitFrame {
        self.call.0.machine.wait.as_ref().expect("a call that waits has a frame for it")
    }

    /// The function that waits, the innermost of the call. `None` for a call that waits for its turn in a context that
    /// is not concurrent.
    pub fn function(&self) -> Option<&Function> {
        self.call.0.machine.stack.top()
    }

    /// When the wait fails if nothing comes before: its own deadline or the call's, whichever is earlier.
    pub fn deadline(&self) -> Option<Time> {
        self.frame().fails_at().into_iter().chain(self.call.0.machine.deadline).min()
    }

    /// The next time at which the wait may be over by the clock alone.
    pub fn next_time(&self) -> Option<Time> {
        self.call.0.machine.next_time()
    }

    /// The call's id.
    pub fn id(&self) -> CallId {
        self.call.0.machine.id
    }

    /// Waits on this thread, until `timeout` at the latest. Whatever the wait comes to, also its failure and
    /// `DEADLINE_EXCEEDED` when the timeout came first, is the function's to handle. A wait for the context's turn from
    /// within a call that has it, on the same thread, fails with `FAILED_PRECONDITION`: it would wait for itself.
    pub fn wait(self, timeout: impl Into<Timeout>) -> Yielded<'s> {
        let timeout = at(timeout.into(), &self.call.0.machine.clock);
        let why = match self.call.0.check_turn() {
            Ok(()) => self.call.0.machine.block_wait_until(timeout),
            Err(error) => self.call.0.machine.waited(Err(error)),
        };
        Yielded { call: self.call, why }
    }

    /// Tells the function what its wait has come to, instead of waiting.
    pub fn provide(self, outcome: WaitOutcome) -> Yielded<'s> {
        let why = self.call.0.machine.waited(outcome);
        Yielded { call: self.call, why }
    }

    /// Whether the wait is over, in which case the call may go on; if not, the task is woken when that may have
    /// changed, but for the passing of time: see [`Waiting::next_time`].
    pub fn poll(self, cx: &mut TaskContext<'_>) -> Result<Yielded<'s>, Waiting<'s>> {
        match self.call.0.machine.poll_wait(cx) {
            Poll::Ready(why) => Ok(Yielded { call: self.call, why }),
            Poll::Pending => Err(self),
        }
    }

    /// Waits as a future, for waits that need no clock: those until a time, or with a deadline, are over only when
    /// something else wakes the task. See [`Waiting::next_time`].
    pub async fn ready(self) -> Yielded<'s> {
        let mut waiting = Some(self);
        poll_fn(|cx| {
            let Some(held) = waiting.take() else {
                return Poll::Pending;
            };
            match held.poll(cx) {
                Ok(yielded) => Poll::Ready(yielded),
                Err(held) => {
                    waiting = Some(held);
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl fmt::Debug for Done<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Done").field("result", &self.result).finish_non_exhaustive()
    }
}

impl fmt::Debug for Yielded<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Yielded").field("frames", &self.call.0.machine.stack).finish_non_exhaustive()
    }
}

impl fmt::Debug for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("for", self.frame())
            .field("frames", &self.call.0.machine.stack)
            .finish_non_exhaustive()
    }
}
