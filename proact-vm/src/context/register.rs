//! Registering a module: what it needs is found, and its state made.

use std::sync::Arc;

use proact::status::Code;

use super::tables::{DEINIT, INIT, Loaded, NOTIFY};
use super::{Context, Entry, Inside, Tables, Turn};
use crate::convention::Convention;
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::module::{Concurrency, Function, FunctionInner, Imports, Module, ModuleInstance};
use crate::stack::StackLimits;
use crate::wait::{WaitFrame, WaitSource};

impl Context {
    /// Makes a module's state, with what it needs. It is not registered yet.
    pub(crate) fn load_module(&self, module: &Arc<dyn Module>) -> Result<Loaded> {
        check(self, &**module)?;
        let imports = {
            let tables = self.growing();
            if self.is_frozen() {
                return Err(Error::precondition("the context is frozen"));
            }
            resolve(&tables, &**module)?
        };
        Ok(self.load(module.clone(), module.instantiate(imports)?))
    }

    /// Registers it behind those that are there.
    pub(crate) fn add_module(&self, loaded: &Loaded) -> Result {
        let mut tables = self.growing();
        if self.is_frozen() {
            return Err(Error::precondition("the context was frozen meanwhile"));
        }
        tables.add(loaded.clone());
        Ok(())
    }

    /// Waits until no invocation is in the context, if it is not concurrent; `FAILED_PRECONDITION` within one. The turn
    /// ends with what is answered.
    pub(super) fn take_turn(&self) -> Result<TakenTurn<'_>> {
        match self.enter() {
            Entry::Now => {}
            Entry::Refused => return Err(self.is_busy()),
            Entry::Later(ticket) => {
                self.check_outside().inspect_err(|_| self.give_up(&ticket))?;
                let mut machine = Machine::new(StackLimits::default());
                machine.wait = Some(WaitFrame::all([WaitSource::future(Turn(ticket))]));
                machine.block_wait();
            }
        }
        Ok(TakenTurn { context: self, _inside: self.inside() })
    }

    pub(super) fn load(&self, module: Arc<dyn Module>, instance: Arc<dyn ModuleInstance>) -> Loaded {
        let functions = module.exports().iter().enumerate().map(|(ordinal, export)| {
            Function(Arc::new(FunctionInner {
                instance: instance.clone(),
                ordinal: ordinal as u32,
                kind: module.frame_kind(),
                convention: export.convention.clone(),
                name: format!("{}.{}", module.name(), export.name).into(),
                context: self.0.number,
            }))
        });
        Loaded { functions: functions.collect(), module, instance }
    }
}

/// Leaves when it is dropped.
pub(super) struct TakenTurn<'a> {
    context: &'a Context,
    _inside: Option<Inside>,
}

impl Drop for TakenTurn<'_> {
    fn drop(&mut self) {
        self.context.leave();
    }
}

fn check(context: &Context, module: &dyn Module) -> Result {
    if module.name().is_empty() || module.name().contains('.') {
        return Err(Error::invalid("a module's name has no dots and is not empty"));
    }
    if context.is_concurrent() && module.concurrency() == Concurrency::Exclusive {
        return Err(Error::precondition("the module may not run concurrently, and the context is concurrent"));
    }
    for (name, convention) in [(INIT, "0"), (DEINIT, "0"), (NOTIFY, "0i")] {
        let wanted: Convention = convention.parse()?;
        let export = module.exports().iter().find(|export| export.name == name);
        if let Some(export) = export.filter(|export| export.convention != wanted) {
            return Err(Error::invalid(format!("{name} is {wanted}, not {}", export.convention)));
        }
    }
    Ok(())
}

pub(super) fn resolve(tables: &Tables, module: &dyn Module) -> Result<Imports> {
    for dependency in module.dependencies() {
        match tables.module(&dependency.module) {
            Some(found) if found.module.version() >= dependency.version => {}
            Some(found) => {
                let message = format!("it is of version {}, {} is needed", found.module.version(), dependency.version);
                return Err(Error::new(Code::NotFound, message).about(format!("dependency {:?}", dependency.module)));
            }
            None if dependency.optional => {}
            None => {
                let error = Error::new(Code::NotFound, "no such module");
                return Err(error.about(format!("dependency {:?}", dependency.module)));
            }
        }
    }
    let imports = module.imports().iter().map(|import| match tables.lookup(&import.name) {
        Ok(function) if *function.convention() == import.convention => Ok(Some(function)),
        Ok(function) => {
            let message = format!("imported as {}, but it is {}", import.convention, function.convention());
            Err(Error::internal(message).about(format!("import {:?}", import.name)))
        }
        Err(error) if error.code() == Code::NotFound && import.optional => Ok(None),
        Err(error) => Err(error.about("import")),
    });
    imports.collect()
}
