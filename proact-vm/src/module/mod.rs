//! Modules: what a program or the host offers under a name, and how its functions run.
//!
//! A [`Module`] says what it exports and imports. A context makes one [`ModuleInstance`] of it, which holds its state
//! there and begins its functions. How a function waits, yields and calls others is told in [`call`](CallFrame).

mod call;
mod function;
pub mod native;

use std::sync::Arc;

use proact::status::Code;

pub use call::{Activation, CallFrame, Flow, Resumption};
pub use function::Function;
pub(crate) use function::FunctionInner;

use crate::convention::Convention;
use crate::error::{Error, FrameKind, Result};

/// A function that a module exports.
#[derive(Clone, Debug)]
pub struct FunctionDeclaration {
    /// Its name within the module. Names that begin with `__` are for the context: see [`Module::exports`].
    pub name: String,
    /// What it takes and answers.
    pub convention: Convention,
}

/// A function that a module asks for.
#[derive(Clone, Debug)]
pub struct ImportDeclaration {
    /// `module.function`, split at the first dot.
    pub name: String,
    /// What it must take and answer, letter for letter.
    pub convention: Convention,
    /// Whether the module gets along without it.
    pub optional: bool,
}

/// A module that another one needs before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dependency {
    /// The module's name.
    pub module: String,
    /// The least version that will do.
    pub version: u32,
    /// Whether it may be absent. One that is there must still be of that version.
    pub optional: bool,
}

/// Whether calls of a module may overlap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concurrency {
    /// Several invocations may be within it at once.
    Concurrent,
    /// One at a time: a concurrent context refuses it.
    Exclusive,
}

/// What a context tells its modules.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Signal {
    /// Work goes on after a suspend. Modules are told in the order of their registration.
    Resume,
    /// The context is a fork of another one, whose modules' states were forked: told to the fork's alone. In the order
    /// of their registration.
    Fork,
    /// No calls for a while: what can be given up cheaply may be. In reverse order.
    Suspend,
    /// Memory is short: caches are to be given up. In reverse order.
    LowMemory,
}

impl Signal {
    /// The number that an exported `__notify` gets.
    pub const fn as_i32(self) -> i32 {
        match self {
            Signal::Resume => 0,
            Signal::Suspend => 1,
            Signal::LowMemory => 2,
            Signal::Fork => 3,
        }
    }

    /// Whether modules are told in the order of their registration, and each before its function.
    pub(crate) const fn is_in_order(self) -> bool {
        matches!(self, Signal::Resume | Signal::Fork)
    }
}

/// The functions that a module imports, in the order of its declarations; an optional one that is missing is `None`.
pub type Imports = Arc<[Option<Function>]>;

/// Something with functions. It has no state of its own that calls change: that is its instance's, one for each
/// context.
pub trait Module: Send + Sync + 'static {
    /// Its name: no dots.
    fn name(&self) -> &str;

    /// Its version.
    fn version(&self) -> u32 {
        0
    }

    /// Whether calls of it may overlap.
    fn concurrency(&self) -> Concurrency {
        Concurrency::Concurrent
    }

    /// What kind of frames its functions have.
    fn frame_kind(&self) -> FrameKind {
        FrameKind::Program
    }

    /// What must be there before it.
    fn dependencies(&self) -> &[Dependency] {
        &[]
    }

    /// What it asks for.
    fn imports(&self) -> &[ImportDeclaration] {
        &[]
    }

    /// What it offers. A function's place here is its ordinal.
    ///
    /// Three names are the context's to call, and cannot be looked up: `__init` (`0`) once all imports are there, and
    /// `__deinit` (`0`) before the instance ends; `__notify` (`0i`) with a [`Signal`]. They may yield and wait as any
    /// function may.
    fn exports(&self) -> &[FunctionDeclaration];

    /// A word about the module under a key: for tools.
    fn attribute(&self, _key: &str) -> Option<&str> {
        None
    }

    /// Makes the module's state in one context.
    fn instantiate(&self, imports: Imports) -> Result<Arc<dyn ModuleInstance>>;
}

/// A module in one context.
pub trait ModuleInstance: Send + Sync + 'static {
    /// Begins the function of that ordinal: reads its arguments, and answers what is to be done now.
    ///
    /// A function that is done when `begin` returns puts its results and answers [`Flow::Return`], and costs no frame.
    /// One that stops before its end keeps an [`Activation`] first: see [`CallFrame::keep`].
    fn begin(&self, ordinal: u32, call: &mut CallFrame<'_>) -> Result<Flow>;

    /// Whether the function of that ordinal always runs to its end: its [`begin`](ModuleInstance::begin) answers
    /// [`Flow::Return`] or a failure. Such functions may be called from within others, without the driver.
    fn is_plain(&self, _ordinal: u32) -> bool {
        false
    }

    /// Hears what the context tells all modules. Before its `__notify` for a resume and a fork, after it for the
    /// others.
    fn notify(&self, _signal: Signal) -> Result {
        Ok(())
    }

    /// Makes the state of a fork of the context, from this one's. `imports` are the fork's.
    fn fork(&self, _imports: Imports) -> Result<Arc<dyn ModuleInstance>> {
        Err(Error::new(Code::Unimplemented, "the module's state cannot be forked"))
    }

    /// The place in the source of `pc` in the function of that ordinal, if it is known.
    fn source(&self, _ordinal: u32, _pc: u64) -> Option<String> {
        None
    }
}
