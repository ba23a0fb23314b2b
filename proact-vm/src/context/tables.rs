//! Functions by name.

use std::collections::HashMap;
use std::sync::Arc;

use proact::status::Code;

use crate::error::{Error, Result};
use crate::module::{Function, Module, ModuleInstance};

/// Names that the context calls by itself.
pub(super) const INIT: &str = "__init";
pub(super) const DEINIT: &str = "__deinit";
pub(super) const NOTIFY: &str = "__notify";

/// What is registered, in the order of registration.
#[derive(Default)]
pub(super) struct Tables {
    pub(super) modules: Vec<Loaded>,
    /// By `module.function`: of modules of one name those of the last. Module names have no dots, so no two ways of
    /// splitting a name meet here.
    functions: HashMap<Box<str>, Function, foldhash::fast::RandomState>,
}

/// A module with its state.
#[derive(Clone)]
pub(crate) struct Loaded {
    pub(crate) module: Arc<dyn Module>,
    pub(crate) instance: Arc<dyn ModuleInstance>,
    /// By ordinal.
    pub(super) functions: Vec<Function>,
}

impl Loaded {
    /// What runs once all imports are there.
    pub(crate) fn initializer(&self) -> Option<&Function> {
        self.own(INIT)
    }

    /// What runs before it ends.
    pub(crate) fn deinitializer(&self) -> Option<&Function> {
        self.own(DEINIT)
    }

    /// What hears signals.
    pub(crate) fn listener(&self) -> Option<&Function> {
        self.own(NOTIFY)
    }

    /// One of the functions that the context calls by itself.
    fn own(&self, name: &str) -> Option<&Function> {
        let exports = self.module.exports().iter().zip(&self.functions);
        exports.into_iter().find(|(export, _)| export.name == name).map(|(_, function)| function)
    }
}

impl Tables {
    pub(super) fn add(&mut self, loaded: Loaded) {
        let before = self.module(loaded.module.name()).map(|before| before.functions.clone());
        for function in before.into_iter().flatten() {
            self.functions.remove(function.name());
        }
        for (export, function) in loaded.module.exports().iter().zip(&loaded.functions) {
            if !export.name.starts_with("__") {
                self.functions.insert(function.name().into(), function.clone());
            }
        }
        self.modules.push(loaded);
    }

    /// What was registered, without the names: those hold the functions, and these their states.
    pub(super) fn into_modules(self) -> Vec<Loaded> {
        self.modules
    }

    /// The module of that name that was registered last.
    pub(super) fn module(&self, name: &str) -> Option<&Loaded> {
        self.modules.iter().rev().find(|loaded| loaded.module.name() == name)
    }

    #[inline]
    pub(super) fn lookup(&self, name: &str) -> Result<Function> {
        match self.functions.get(name) {
            Some(function) => Ok(function.clone()),
            None => Err(self.missing(name)),
        }
    }

    #[cold]
    fn missing(&self, name: &str) -> Error {
        let error = match name.split_once('.') {
            None => Error::invalid("a function is named by its module, a dot and its name"),
            Some((module, _)) if self.module(module).is_none() => Error::new(Code::NotFound, "no such module"),
            Some(_) => Error::new(Code::NotFound, "the module has no such function"),
        };
        error.about(format!("{name:?}"))
    }
}
