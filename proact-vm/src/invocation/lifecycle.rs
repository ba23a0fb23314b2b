//! Functions that are the context's own to call: initializers, and what hears signals. One after the other within one
//! turn, by whichever driver.

use std::sync::Arc;

use proact::time::Time;

use super::{InvocationOptions, InvocationState};
use crate::context::{Context, Entry, Loaded, Ticket, Turn};
use crate::error::{Error, Result};
use crate::machine::{Holder, Machine, Stop};
use crate::module::{Function, Module, Resumption, Signal};
use crate::panics::FirstPanic;
use crate::value::Value;
use crate::wait::{WaitFrame, WaitSource};

/// What a context does with its modules, and may stop on its way.
pub(super) struct Lifecycle {
    context: Context,
    plan: Plan,
    options: InvocationOptions,
    state: Box<InvocationState>,
    turn: Held,
    next: Next,
    /// A wait holds this thread: for a turn that the thread has, it would be one for itself.
    holds_thread: bool,
    /// Of a function: it goes on when all is over that comes after.
    panics: FirstPanic,
}

enum Plan {
    Register(Register),
    Notify(Notify),
}

/// Takes a module in. One that cannot be taken in once its initializer has begun is deinitialized: it may have begun
/// something.
struct Register {
    module: Arc<dyn Module>,
    loaded: Option<Loaded>,
    /// Why it is deinitialized.
    failure: Option<Error>,
}

/// Tells modules of a signal, in their order.
struct Notify {
    signal: Signal,
    left: std::vec::IntoIter<Loaded>,
    /// The module that is told just now.
    told: Option<Loaded>,
}

/// Whether the context's turn is there.
enum Held {
    Nothing,
    Line(Arc<Ticket>),
    Turn,
}

/// What the next step is for.
enum Next {
    Begin,
    /// The turn was waited for.
    Turn(Result),
    Resume(Resumption),
    Over,
}

/// What a step has come to.
enum Ran {
    /// The function that ran.
    Stopped(Stop),
    /// All of it.
    Over(Result),
}

/// What a plan wants.
enum Wanted {
    Call(Function, Option<Signal>),
    Over(Result),
}

impl Lifecycle {
    pub(super) fn register(context: &Context, module: Arc<dyn Module>, options: &InvocationOptions) -> Lifecycle {
        Lifecycle::new(context, Plan::Register(Register { module, loaded: None, failure: None }), options)
    }

    pub(super) fn notify(context: &Context, signal: Signal, options: &InvocationOptions) -> Lifecycle {
        let mut modules = context.modules();
        if !signal.is_in_order() {
            modules.reverse();
        }
        Lifecycle::new(context, Plan::Notify(Notify { signal, left: modules.into_iter(), told: None }), options)
    }

    fn new(context: &Context, plan: Plan, options: &InvocationOptions) -> Lifecycle {
        let (mut options, mut state) = (options.clone(), Box::new(InvocationState::new()));
        options.apply(&mut state.machine);
        // One for all that is called.
        options.deadline = state.machine.deadline.map(Into::into);
        Lifecycle {
            context: context.clone(),
            plan,
            options,
            state,
            turn: Held::Nothing,
            next: Next::Begin,
            holds_thread: false,
            panics: FirstPanic::default(),
        }
    }

    pub(super) fn machine(&mut self) -> &mut Machine {
        &mut self.state.machine
    }

    /// The next time at which its wait may be over by the clock alone.
    pub(super) fn next_time(&self) -> Option<Time> {
        self.state.machine.next_time()
    }

    /// Takes note of what the wait has come to: the next step goes on with it.
    pub(super) fn waited(&mut self, why: Resumption) {
        self.next = match (&self.turn, why) {
            (Held::Line(_), Resumption::Waited(Err(error))) => Next::Turn(Err(error)),
            (Held::Line(_), _) => Next::Turn(Ok(())),
            (_, why) => Next::Resume(why),
        };
    }

    /// Runs up to the next stop. After a yield it may go on at once, and after a wait when that was
    /// [over](Lifecycle::waited).
    pub(super) fn step(&mut self) -> Stop {
        let mut ran = match std::mem::replace(&mut self.next, Next::Over) {
            Next::Begin => match self.begin() {
                Ok(ran) => ran,
                Err(error) => Ran::Over(Err(error)),
            },
            Next::Turn(Ok(())) => {
                self.turn = Held::Turn;
                self.call_next(None)
            }
            Next::Turn(Err(error)) => Ran::Over(Err(error)),
            Next::Resume(why) => self.run(|state| state.go_on(why)),
            Next::Over => Ran::Over(Err(Error::internal("a step of what is over"))),
        };
        loop {
            match ran {
                // A function has come to its end: there may be another.
                Ran::Stopped(Stop::Done(result)) => {
                    self.panics.catch(|| self.state.rest());
                    ran = self.call_next(Some(result));
                }
                Ran::Stopped(Stop::Yield) => {
                    self.next = Next::Resume(Resumption::Yielded);
                    return Stop::Yield;
                }
                Ran::Stopped(Stop::Wait) => return Stop::Wait,
                Ran::Over(result) => {
                    self.leave();
                    let result = result.map_err(|error| self.about(error));
                    self.let_go();
                    std::mem::take(&mut self.panics).resume();
                    return Stop::Done(result);
                }
            }
        }
    }

    /// A function that panics has failed: what comes after a failure comes then, too.
    fn run(&mut self, run: impl FnOnce(&mut InvocationState) -> Stop) -> Ran {
        let stop = self.panics.catch(|| run(&mut self.state));
        Ran::Stopped(stop.unwrap_or_else(|| Stop::Done(Err(Error::internal("the function panicked")))))
    }

    /// Asks for the turn, if there is something to run.
    fn begin(&mut self) -> Result<Ran> {
        if let Plan::Register(register) = &mut self.plan {
            let loaded = self.context.load_module(&register.module)?;
            if loaded.initializer().is_none() {
                return self.context.add_module(&loaded).map(|()| Ran::Over(Ok(())));
            }
            register.loaded = Some(loaded);
        }
        match self.context.enter() {
            Entry::Now => {
                self.turn = Held::Turn;
                Ok(self.call_next(None))
            }
            Entry::Refused => Err(self.context.is_busy()),
            Entry::Later(ticket) => {
                self.turn = Held::Line(ticket.clone());
                if self.holds_thread {
                    self.context.check_outside()?;
                }
                self.state.machine.wait = Some(WaitFrame::all([WaitSource::future(Turn(ticket))]));
                Ok(Ran::Stopped(Stop::Wait))
            }
        }
    }

    /// Begins the next function, `last` being how the one before has ended.
    fn call_next(&mut self, last: Option<Result>) -> Ran {
        let wanted = match &mut self.plan {
            Plan::Register(register) => register.next(&self.context, last),
            Plan::Notify(notify) => notify.next(last),
        };
        match wanted {
            Wanted::Over(result) => Ran::Over(result),
            Wanted::Call(function, signal) => {
                let inputs = signal.map(|signal| Value::I32(signal.as_i32()));
                let prepared = self.state.prepare(&self.context, &function, &self.options, inputs.as_slice());
                match prepared {
                    Ok(()) => self.run(InvocationState::enter_within),
                    Err(error) => Ran::Stopped(Stop::Done(Err(error))),
                }
            }
        }
    }

    /// Ends it from outside, and answers its failure. No function is called for that.
    pub(super) fn fail(&mut self, error: Error) -> Error {
        let error = self.state.fail(error);
        self.next = Next::Over;
        self.leave();
        let error = self.about(error);
        self.let_go();
        error
    }

    /// Holds no module any more, however long this lives.
    fn let_go(&mut self) {
        self.state.abort();
        match &mut self.plan {
            Plan::Register(register) => register.loaded = None,
            Plan::Notify(notify) => (notify.left, notify.told) = (Vec::new().into_iter(), None),
        }
    }

    /// Gives the turn back, once nothing of what ran in it is left.
    fn leave(&mut self) {
        /// Leaves, also when a destructor panics.
        struct Left<'a>(&'a Context, Held);
        impl Drop for Left<'_> {
            fn drop(&mut self) {
                match &self.1 {
                    Held::Nothing => {}
                    Held::Line(ticket) => self.0.give_up(ticket),
                    Held::Turn => self.0.leave(),
                }
            }
        }
        let _left = Left(&self.context, std::mem::replace(&mut self.turn, Held::Nothing));
        self.state.rest();
    }

    fn about(&self, error: Error) -> Error {
        match &self.plan {
            Plan::Register(register) => error.about(format!("module {:?}", register.module.name())),
            Plan::Notify(notify) => match &notify.told {
                Some(told) => error.about(format!("module {:?}", told.module.name())),
                None => error,
            },
        }
    }

    /// Runs all of it, and holds this thread meanwhile.
    pub(super) fn block(mut self, holder: &mut impl Holder) -> Result {
        self.holds_thread = true;
        loop {
            let went_on = match self.step() {
                Stop::Done(result) => return result,
                Stop::Yield => holder.give_way(),
                Stop::Wait => holder.wait(&mut self.state.machine).map(|why| self.waited(why)),
            };
            if let Err(error) = went_on {
                let error = self.fail(error);
                std::mem::take(&mut self.panics).resume();
                return Err(error);
            }
        }
    }
}

impl Drop for Lifecycle {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Register {
    fn next(&mut self, context: &Context, last: Option<Result>) -> Wanted {
        let Some(loaded) = &self.loaded else {
            return Wanted::Over(Err(Error::internal("no module was made")));
        };
        let failure = match (self.failure.take(), last) {
            // It was deinitialized. What is answered is why.
            (Some(failure), Some(_)) => return Wanted::Over(Err(failure)),
            (_, None) => match loaded.initializer() {
                Some(function) => return Wanted::Call(function.clone(), None),
                None => return Wanted::Over(context.add_module(loaded)),
            },
            (None, Some(Ok(()))) => match context.add_module(loaded) {
                Ok(()) => return Wanted::Over(Ok(())),
                Err(failure) => failure,
            },
            (None, Some(Err(failure))) => failure,
        };
        match loaded.deinitializer() {
            Some(function) => {
                self.failure = Some(failure);
                Wanted::Call(function.clone(), None)
            }
            None => Wanted::Over(Err(failure)),
        }
    }
}

impl Notify {
    fn next(&mut self, last: Option<Result>) -> Wanted {
        match last {
            None => {}
            Some(Err(error)) => return Wanted::Over(Err(error)),
            Some(Ok(())) => {
                if let Err(error) = self.tell_instance(!self.signal.is_in_order()) {
                    return Wanted::Over(Err(error));
                }
            }
        }
        loop {
            self.told = self.left.next();
            let Some(told) = &self.told else {
                return Wanted::Over(Ok(()));
            };
            let function = told.listener().cloned();
            if let Err(error) = self.tell_instance(self.signal.is_in_order() || function.is_none()) {
                return Wanted::Over(Err(error));
            }
            if let Some(function) = function {
                return Wanted::Call(function, Some(self.signal));
            }
        }
    }

    /// Tells the module's instance, if it is its time.
    fn tell_instance(&self, now: bool) -> Result {
        match &self.told {
            Some(told) if now => told.instance.notify(self.signal),
            _ => Ok(()),
        }
    }
}
