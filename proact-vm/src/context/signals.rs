//! What a context tells its modules: signals, that it is a fork, that it ends.

use std::sync::Arc;

use super::tables::{DEINIT, Loaded, NOTIFY};
use super::{Context, ContextInner};
use crate::error::{Error, Result};
use crate::module::Signal;

impl Context {
    /// Tells all modules: [`Signal`] says in which order. Stops at the first that fails, with its failure.
    ///
    /// In a context that is not concurrent it waits for its turn; functions that wait hold this thread meanwhile.
    pub fn notify(&self, signal: Signal) -> Result {
        let modules = self.modules();
        let _turn = self.take_turn()?;
        match signal {
            Signal::Resume | Signal::Fork => modules.iter().try_for_each(|loaded| {
                loaded.instance.notify(signal).map_err(|error| about(error, loaded))?;
                self.run_notify(loaded, signal)
            }),
            Signal::Suspend | Signal::LowMemory => modules.iter().rev().try_for_each(|loaded| {
                self.run_notify(loaded, signal)?;
                loaded.instance.notify(signal).map_err(|error| about(error, loaded))
            }),
        }
    }

    fn run_notify(&self, loaded: &Loaded, signal: Signal) -> Result {
        let Some(function) = loaded.own(NOTIFY) else {
            return Ok(());
        };
        super::register::run(self.call_id(), self.is_traced(), function, |packed| packed.push_i32(signal.as_i32()))
    }

    /// Another context of the same modules, each with a state that is made from its state here. It is frozen if this
    /// one is. Initializers do not run: the modules are told of [`Signal::Fork`] instead.
    ///
    /// `UNIMPLEMENTED` when a module's state cannot be forked. In a context that is not concurrent it waits for its
    /// turn, so that no call is half way.
    pub fn fork(&self) -> Result<Context> {
        let fork = {
            let _turn = self.take_turn()?;
            let modules = self.modules();
            let fork = Context::empty(self.instance().clone(), self.is_concurrent(), self.0.overlap, self.0.traced);
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
    /// The first failure is answered. Dropping the last handle does the same, but no one hears of failures.
    ///
    /// `FAILED_PRECONDITION`, and the context goes on, when there are other handles, invocations among them.
    pub fn close(self) -> Result {
        match Arc::try_unwrap(self.0) {
            Ok(mut inner) => inner.deinitialize(),
            Err(_) => Err(Error::precondition("the context has other handles")),
        }
    }

    /// What is registered, in its order.
    fn modules(&self) -> Vec<Loaded> {
        match self.0.frozen.get() {
            Some(tables) => tables.modules.clone(),
            None => self.growing().modules.clone(),
        }
    }
}

impl ContextInner {
    /// Runs what must run before the states end, and ends them, in reverse order.
    fn deinitialize(&mut self) -> Result {
        let growing = self.growing.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let tables = self.frozen.get_mut().unwrap_or(growing);
        let mut modules = std::mem::take(tables).into_modules();
        let mut first = Ok(());
        while let Some(loaded) = modules.pop() {
            if let Some(function) = loaded.own(DEINIT) {
                let ended = super::register::run(crate::CallId(self.number), self.traced, function, |_| {});
                first = first.and(ended.map_err(|error| about(error, &loaded)));
            }
        }
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
