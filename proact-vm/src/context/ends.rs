//! What becomes of a context's modules: in a fork of it, and with its end.

use std::sync::Arc;

use super::Loaded;
use super::{Context, ContextInner};
use crate::error::{CallId, Error, Result};
use crate::machine::{Machine, Parks};
use crate::module::{Function, Signal};
use crate::panics::FirstPanic;
use crate::stack::StackLimits;
use crate::trace::Tracing;

impl Context {
    /// Another context of the same modules, each with a state that is made from its state here. It is frozen if this
    /// one is. Initializers do not run: the modules are told of [`Signal::Fork`] instead.
    ///
    /// `UNIMPLEMENTED` when a module's state cannot be forked. In a context that is not concurrent it waits for its
    /// turn, so that no call is half way.
    pub fn fork(&self) -> Result<Context> {
        let fork = {
            let _turn = self.take_turn()?;
            let modules = self.modules();
            let fork = Context::empty(
                self.instance().clone(),
                self.is_concurrent(),
                self.0.overlap,
                self.0.traced,
                self.0.tracer.clone(),
                self.0.lifecycle.clone(),
            );
            for loaded in &modules {
                let made = fork.fork_module(loaded).map_err(|error| about(error, loaded))?;
                fork.growing().add(made);
            }
            fork
        };
        if self.is_frozen() {
            fork.freeze();
        }
        fork.notify(Signal::Fork)?;
        Ok(fork)
    }

    fn fork_module(&self, loaded: &Loaded) -> Result<Loaded> {
        let imports = super::register::resolve(&self.growing(), &*loaded.module)?;
        let instance = loaded.instance.fork(imports)?;
        Ok(self.load(loaded.module.clone(), instance))
    }

    /// Ends the context: deinitializers run, the last module's first, and those that wait hold this thread meanwhile.
    /// The first failure is answered; a panic goes on when all have ended. Dropping the last handle does the same, but
    /// no one hears of failures.
    ///
    /// `FAILED_PRECONDITION`, and the context goes on, when there are other handles, invocations among them.
    pub fn close(self) -> Result {
        match Arc::try_unwrap(self.0) {
            Ok(mut inner) => inner.deinitialize(),
            Err(_) => Err(Error::precondition("the context has other handles")),
        }
    }

    /// What is registered, in its order.
    pub(crate) fn modules(&self) -> Vec<Loaded> {
        match self.0.frozen.get() {
            Some(tables) => tables.modules.clone(),
            None => self.growing().modules.clone(),
        }
    }
}

impl ContextInner {
    /// Runs a function when there is no context any more, and holds this thread meanwhile.
    fn run_last(&self, function: &Function) -> Result {
        let mut machine = Machine::new(StackLimits::default());
        self.lifecycle.apply(&mut machine);
        (machine.id, machine.traced) = (CallId(self.number), machine.traced || self.traced);
        if let (true, Some(tracer)) = (machine.traced, &self.tracer) {
            machine.tracing = Some(Tracing::new(tracer.clone(), false));
        }
        let stop = machine.begin(function);
        machine.block(stop, &mut Parks::default())
    }

    /// Runs what must run before the states end, and ends them, in reverse order.
    fn deinitialize(&mut self) -> Result {
        let growing = self.growing.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let tables = self.frozen.get_mut().unwrap_or(growing);
        let mut modules = std::mem::take(tables).into_modules();
        let (mut first, mut panics) = (Ok(()), FirstPanic::default());
        while let Some(loaded) = modules.pop() {
            if let Some(function) = loaded.deinitializer() {
                let ended = panics.catch(|| self.run_last(function)).unwrap_or(Ok(()));
                first = first.and(ended.map_err(|error| about(error, &loaded)));
            }
            panics.catch(|| drop(loaded));
        }
        panics.resume();
        first
    }
}

impl Drop for ContextInner {
    fn drop(&mut self) {
        // There is no one to tell: who wants to know calls `close`.
        let _unheard = self.deinitialize();
    }
}

fn about(error: Error, loaded: &Loaded) -> Error {
    error.about(format!("module {:?}", loaded.module.name()))
}
