//! Calls on a loop: a callback tells their end.

use std::fmt;
use std::task::{Context as TaskContext, Poll};

use proact::time::Time;

use super::state::at;
use super::{InvocationOptions, InvocationState};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::event_loop::{Command, Loop, Refused, Task};
use crate::machine::Stop;
use crate::module::{Function, Resumption};
use crate::panics::FirstPanic;
use crate::value::{Inputs, Value};

/// How a call on a loop ends: [`Context::invoke_on`].
pub trait InvocationCallback: Sized + Send + 'static {
    /// The call is over, and its storage comes back, for the next call if wanted. It must not block.
    ///
    /// On success its results are in [`AsyncInvocation::outputs`]; on failure there are none, and the failure carries
    /// a backtrace. `event_loop` is the loop, unless it has ended: then there is none to go on with, and the failure
    /// is `ABORTED`. Nor is there one where what the call waits for has panicked: the failure is `INTERNAL`, and the
    /// panic goes on. What this answers goes to the loop's error scope: a failure ends the loop.
    fn done(call: Box<AsyncInvocation<Self>>, result: Result, event_loop: Option<&dyn Loop>) -> Result;
}

/// Where a call on a loop lies, and who is told of its end: storage for one call at a time, made once and used again.
///
/// [`Context::invoke_on`] moves it into the loop, and [`InvocationCallback::done`] is given it back. Between the two
/// no one can touch it, and no one has to keep it. It keeps its memory: calls after the first ones allocate nothing.
/// It also holds the context and the function of its last call, for the next one, until it is dropped or used for
/// another.
pub struct AsyncInvocation<C> {
    state: InvocationState,
    next: Next,
    outputs: Vec<Value>,
    /// Who is told, and what it has at hand.
    pub callback: C,
}

/// What its next turn is for.
enum Next {
    Nothing,
    Enter,
    Resume(Resumption),
    Wait,
}

/// A closure that is told of one call: see [`AsyncInvocation::once`].
pub struct Once<F>(F);

/// A call that was not begun, and whose callback will not be told.
pub struct RefusedInvocation<C> {
    /// Why.
    pub error: Error,
    /// Its storage, and the callback.
    pub call: Box<AsyncInvocation<C>>,
}

impl<C: InvocationCallback> AsyncInvocation<C> {
    /// Storage for calls whose ends go to `callback`.
    #[allow(clippy::new_ret_no_self)] // it only ever lives in its box
    pub fn new(callback: C) -> Box<AsyncInvocation<C>> {
        let state = InvocationState::new();
        Box::new(AsyncInvocation { state, next: Next::Nothing, outputs: Vec::new(), callback })
    }

    /// The results of the last call that ended well.
    pub fn outputs(&self) -> &[Value] {
        &self.outputs
    }

    /// Takes the results out, and their memory with them.
    pub fn take_outputs(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.outputs)
    }

    /// Runs it up to its next stop. Of one that is over the results are there, and nothing else.
    #[inline]
    fn step(&mut self) -> Stop {
        let stop = match std::mem::replace(&mut self.next, Next::Nothing) {
            Next::Enter => self.state.enter(),
            Next::Resume(why) => self.state.go_on(why),
            Next::Nothing | Next::Wait => Stop::Done(Err(Error::internal("a loop gave a call its turn too early"))),
        };
        let result = match stop {
            Stop::Done(Ok(())) => self.state.finish_and_rest(&mut self.outputs),
            Stop::Done(Err(error)) => Err(error),
            stop => return stop,
        };
        if result.is_err() {
            self.state.rest();
            self.outputs.clear();
        }
        Stop::Done(result)
    }

    /// Gives up what stands, and tells so. Objects of others end there: if they panic, or `panics` is one, it goes on
    /// when the callback has been told.
    #[cold]
    fn give_up(mut self: Box<Self>, error: Error, event_loop: Option<&dyn Loop>, mut panics: FirstPanic) -> Result {
        let error = self.state.locate(error);
        panics.catch(|| self.state.rest());
        panics.catch(|| self.outputs.clear());
        let told = C::done(self, Err(error), event_loop);
        if panics.is_none() {
            return told;
        }
        if let (Err(error), Some(event_loop)) = (told, event_loop) {
            event_loop.abort(error);
        }
        panics.resume();
        Ok(())
    }

    /// The loop took it not again: its callback is told all the same, as it has been begun.
    #[cold]
    fn refused(refused: Refused, event_loop: &dyn Loop) -> Result {
        let Refused { error, task } = refused;
        let event_loop = Some(event_loop).filter(|event_loop| event_loop.error().is_none());
        own::<C>(task).give_up(error, event_loop, FirstPanic::default())
    }
}

impl<F> AsyncInvocation<Once<F>>
where
    F: FnOnce(Result<Vec<Value>>, Option<&dyn Loop>) -> Result + Send + 'static,
{
    /// Storage for one call, whose end is told to a closure.
    ///
    /// ```
    /// use proact_vm::event_loop::InlineLoop;
    /// use proact_vm::module::native::NativeModule;
    /// use proact_vm::{AsyncInvocation, Context, Instance, InvocationOptions, Value};
    ///
    /// let math = NativeModule::builder("math").function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b)).build()?;
    /// let context = Context::builder(&Instance::new()).module(math).build()?;
    /// let call = AsyncInvocation::once(|outputs, _| {
    ///     assert_eq!(outputs?, [Value::I32(5)]);
    ///     Ok(())
    /// });
    /// let inputs = [Value::I32(2), Value::I32(3)];
    /// context.invoke_on(&InlineLoop::new(), call, &context.lookup("math.add")?, &InvocationOptions::new(), &inputs)?;
    /// # Ok::<(), proact_vm::Error>(())
    /// ```
    pub fn once(callback: F) -> Box<AsyncInvocation<Once<F>>> {
        AsyncInvocation::new(Once(callback))
    }
}

impl<F> InvocationCallback for Once<F>
where
    F: FnOnce(Result<Vec<Value>>, Option<&dyn Loop>) -> Result + Send + 'static,
{
    fn done(mut call: Box<AsyncInvocation<Self>>, result: Result, event_loop: Option<&dyn Loop>) -> Result {
        let outputs = result.map(|()| call.take_outputs());
        (call.callback.0)(outputs, event_loop)
    }
}

impl Context {
    /// Calls `function` on a loop, which gives the call its turns: it begins with the first one, is given another one
    /// after each yield, and waits by the loop. [`InvocationCallback::done`] is called exactly once, whatever happens:
    /// the call returns or fails, its deadline passes, the loop ends before or meanwhile, is too full to take it again
    /// after a stop, or the function panics, or what it holds when that is dropped (`INTERNAL`; the panic then goes
    /// on).
    ///
    /// In a context that is not concurrent it waits for its turn, by the loop. Within a call that has that turn, on the
    /// same thread, an [`InlineLoop`](crate::event_loop::InlineLoop) would wait for itself: `FAILED_PRECONDITION`.
    ///
    /// The inputs are captured now: values are copied, references counted. The loop's clock is that of the call's
    /// deadline and waits, whichever [`InvocationOptions::clock`] says.
    ///
    /// # Errors
    /// The call comes back, and its callback is not told: inputs that do not fit, a function of another context, a
    /// loop that is full or has ended.
    ///
    /// ```
    /// use proact::time::Timeout;
    /// use proact_vm::event_loop::{InlineLoop, Loop};
    /// use proact_vm::module::native::NativeModule;
    /// use proact_vm::{AsyncInvocation, Context, Instance, InvocationCallback, InvocationOptions, Result, Value};
    ///
    /// /// Calls on, in the same storage, until the sum is large enough.
    /// struct Sum(Context);
    ///
    /// impl InvocationCallback for Sum {
    ///     fn done(call: Box<AsyncInvocation<Self>>, result: Result, event_loop: Option<&dyn Loop>) -> Result {
    ///         result?;
    ///         let sum = call.outputs()[0].i32()?;
    ///         let Some(event_loop) = event_loop.filter(|_| sum < 100) else {
    ///             return Ok(());
    ///         };
    ///         let context = call.callback.0.clone();
    ///         let add = context.lookup("math.add")?;
    ///         Ok(context.invoke_on(event_loop, call, &add, &InvocationOptions::new(), &[sum.into(), 7.into()])?)
    ///     }
    /// }
    ///
    /// let math = NativeModule::builder("math").function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b)).build()?;
    /// let context = Context::builder(&Instance::new()).module(math).build()?;
    /// let add = context.lookup("math.add")?;
    /// let event_loop = InlineLoop::new();
    /// let call = AsyncInvocation::new(Sum(context.clone()));
    /// context.invoke_on(&event_loop, call, &add, &InvocationOptions::new(), &[Value::I32(1), Value::I32(2)])?;
    /// event_loop.drain(Timeout::Infinite)?;
    /// # Ok::<(), proact_vm::Error>(())
    /// ```
    ///
    /// Storage that is in flight is out of reach:
    ///
    /// ```compile_fail,E0382
    /// # use proact_vm::*;
    /// # fn f<C: InvocationCallback>(context: Context, function: Function, call: Box<AsyncInvocation<C>>) {
    /// let event_loop = event_loop::InlineLoop::new();
    /// let _ = context.invoke_on(&event_loop, call, &function, &InvocationOptions::new(), &());
    /// call.outputs();
    /// # }
    /// ```
    #[inline]
    pub fn invoke_on<L, C, I>(
        &self,
        event_loop: &L,
        mut call: Box<AsyncInvocation<C>>,
        function: &Function,
        options: &InvocationOptions,
        inputs: &I,
    ) -> Result<(), RefusedInvocation<C>>
    where
        L: Loop + ?Sized,
        C: InvocationCallback,
        I: Inputs + ?Sized,
    {
        call.outputs.clear();
        if let Err(error) = call.state.prepare(self, function, options, inputs) {
            return Err(RefusedInvocation { error, call });
        }
        let machine = &mut call.state.machine;
        machine.clock.clone_from(event_loop.clock());
        machine.deadline = options.deadline.and_then(|deadline| at(deadline, &machine.clock));
        call.next = Next::Enter;
        match event_loop.submit(Command::Call, call) {
            Ok(()) => Ok(()),
            Err(Refused { error, task }) => {
                let mut call = own::<C>(task);
                call.state.abort();
                Err(RefusedInvocation { error, call })
            }
        }
    }
}

/// The call that a loop gave back.
#[cold]
fn own<C: InvocationCallback>(task: Box<dyn Task>) -> Box<AsyncInvocation<C>> {
    task.into_any().downcast().expect("a loop refuses the task that it was given")
}

impl<C: InvocationCallback> Task for AsyncInvocation<C> {
    fn poll(&mut self, _: Time, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.state.machine.poll_wait(cx).map(|why| self.next = Next::Resume(why))
    }

    fn next_time(&self) -> Option<Time> {
        self.state.machine.next_time()
    }

    fn run(mut self: Box<Self>, event_loop: &dyn Loop) -> Result {
        let mut panics = FirstPanic::default();
        let Some(stop) = panics.catch(|| self.step()) else {
            return self.give_up(Error::internal("the function panicked"), Some(event_loop), panics);
        };
        let (command, next) = match stop {
            Stop::Done(result) => return C::done(self, result, Some(event_loop)),
            Stop::Yield => (Command::Call, Next::Resume(Resumption::Yielded)),
            Stop::Wait => (Command::Wait, Next::Wait),
        };
        let turn = if event_loop.holds_its_thread() { self.state.check_turn() } else { Ok(()) };
        if let Err(error) = turn {
            return self.give_up(error, Some(event_loop), FirstPanic::default());
        }
        self.next = next;
        match event_loop.submit(command, self) {
            Ok(()) => Ok(()),
            Err(refused) => AsyncInvocation::<C>::refused(refused, event_loop),
        }
    }

    fn abort(self: Box<Self>, error: Error) {
        // What the callback answers goes nowhere: the loop has a failure already.
        let _ = self.give_up(error, None, FirstPanic::default());
    }
}

impl<C> From<RefusedInvocation<C>> for Error {
    /// The storage and the callback are dropped.
    fn from(refused: RefusedInvocation<C>) -> Error {
        refused.error
    }
}

impl<C> fmt::Debug for RefusedInvocation<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefusedInvocation({})", self.error)
    }
}

impl<C> fmt::Display for RefusedInvocation<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<C> std::error::Error for RefusedInvocation<C> {}

impl<C: fmt::Debug> fmt::Debug for AsyncInvocation<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncInvocation")
            .field("state", &self.state)
            .field("callback", &self.callback)
            .finish_non_exhaustive()
    }
}

impl<F> fmt::Debug for Once<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}
