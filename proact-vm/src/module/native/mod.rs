//! Modules written in Rust: functions, closures and `async` functions, whose conventions are those of their types.

mod caller;
mod functions;
mod future;
mod macros;

use std::fmt;
use std::sync::Arc;

use proact::status::Code;

pub use caller::Caller;
pub use functions::{Answer, AsyncFunction, PlainFunction};
pub(crate) use future::Mailbox;

use super::{
    CallFrame, Concurrency, Dependency, Flow, FunctionDeclaration, ImportDeclaration, Imports, Module, ModuleInstance,
    Signal,
};
use crate::convention::Convention;
use crate::error::{Error, FrameKind, Result};

/// A module of Rust functions, with a state of type `S` in each context.
///
/// ```
/// use proact_vm::module::native::{Caller, NativeModule};
///
/// let module = NativeModule::builder("math")
///     .function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b))
///     .async_function("later", |caller: Caller<()>, a: i32| async move {
///         caller.yield_now().await?;
///         Ok::<_, proact_vm::Error>(a)
///     })
///     .build()?;
/// # let _ = module;
/// # Ok::<(), proact_vm::Error>(())
/// ```
pub struct NativeModule<S> {
    name: String,
    version: u32,
    concurrency: Concurrency,
    dependencies: Vec<Dependency>,
    imports: Vec<ImportDeclaration>,
    exports: Vec<FunctionDeclaration>,
    attributes: Vec<(String, String)>,
    shared: Arc<Functions<S>>,
    state: Box<dyn Fn() -> Result<S> + Send + Sync>,
}

/// What begins a function.
type Begin<S> = Box<dyn Fn(&Arc<NativeInstance<S>>, &mut CallFrame<'_>) -> Result<Flow> + Send + Sync>;
/// What hears a signal.
type Notify<S> = Box<dyn Fn(&S, Signal) -> Result + Send + Sync>;
/// What makes a fork's state.
type Fork<S> = Box<dyn Fn(&S) -> Result<S> + Send + Sync>;

struct Functions<S> {
    functions: Vec<Begin<S>>,
    /// Of each, whether it always runs to its end.
    plain: Vec<bool>,
    notify: Option<Notify<S>>,
    fork: Option<Fork<S>>,
}

/// A native module in one context: what its functions are lent.
pub(crate) struct NativeInstance<S> {
    state: S,
    imports: Imports,
    functions: Arc<Functions<S>>,
}

/// Only so that a function can have the instance counted: `begin` is given no count of its own.
struct Instance<S>(Arc<NativeInstance<S>>);

/// Makes a [`NativeModule`].
#[must_use = "a builder makes nothing until `build`"]
pub struct NativeBuilder<S> {
    module: NativeModule<S>,
    functions: Functions<S>,
    fault: Option<Error>,
}

impl NativeModule<()> {
    /// A module of that name, without state.
    pub fn builder(name: impl Into<String>) -> NativeBuilder<()> {
        NativeModule::with_state(name, || Ok(())).fork(|()| Ok(()))
    }
}

impl<S: Send + Sync + 'static> NativeModule<S> {
    /// A module of that name, whose state in each context `state` makes.
    pub fn with_state(
        name: impl Into<String>,
        state: impl Fn() -> Result<S> + Send + Sync + 'static,
    ) -> NativeBuilder<S> {
        let none = || Functions { functions: Vec::new(), plain: Vec::new(), notify: None, fork: None };
        let module = NativeModule {
            name: name.into(),
            version: 0,
            concurrency: Concurrency::Concurrent,
            dependencies: Vec::new(),
            imports: Vec::new(),
            exports: Vec::new(),
            attributes: Vec::new(),
            shared: Arc::new(none()),
            state: Box::new(state),
        };
        NativeBuilder { module, functions: none(), fault: None }
    }
}

impl<S: Send + Sync + 'static> NativeBuilder<S> {
    /// The module's version; 0 if it is not told.
    pub fn version(mut self, version: u32) -> NativeBuilder<S> {
        self.module.version = version;
        self
    }

    /// Only one call of the module at a time: concurrent contexts refuse it.
    pub fn exclusive(mut self) -> NativeBuilder<S> {
        self.module.concurrency = Concurrency::Exclusive;
        self
    }

    /// Adds a function, a closure or `fn`, that runs to its end: it takes `&S` and up to eight arguments.
    ///
    /// Its convention is that of its types: see [`Argument`](crate::convention::Argument) and
    /// [`Results`](crate::convention::Results). It answers results, or a `Result` of them.
    pub fn function<A, F: PlainFunction<S, A>>(mut self, name: &str, function: F) -> NativeBuilder<S> {
        self.declare(name, F::convention());
        self.functions.functions.push(Box::new(move |instance, call| function.begin(&instance.state, call)));
        self.functions.plain.push(true);
        self
    }

    /// Adds an `async` function: it takes a [`Caller`] and up to eight arguments, and may yield, wait, call, and await
    /// any future that may be sent.
    pub fn async_function<A, F: AsyncFunction<S, A>>(mut self, name: &str, function: F) -> NativeBuilder<S> {
        self.declare(name, F::convention());
        self.functions.functions.push(Box::new(move |instance, call| function.begin(instance, call)));
        self.functions.plain.push(false);
        self
    }

    /// Adds a function that deals with its call itself: for hand-written state machines and variadic conventions.
    pub fn raw_function(
        mut self,
        name: &str,
        convention: &str,
        begin: impl Fn(&S, &mut CallFrame<'_>) -> Result<Flow> + Send + Sync + 'static,
    ) -> NativeBuilder<S> {
        self.declare(name, convention.to_string());
        self.functions.functions.push(Box::new(move |instance, call| begin(&instance.state, call)));
        self.functions.plain.push(false);
        self
    }

    /// What runs once all imports are there, before any other function: `__init`.
    pub fn initializer<A, F: AsyncFunction<S, A>>(self, function: F) -> NativeBuilder<S> {
        self.async_function("__init", function)
    }

    /// What runs before the context ends: `__deinit`.
    pub fn deinitializer<A, F: AsyncFunction<S, A>>(self, function: F) -> NativeBuilder<S> {
        self.async_function("__deinit", function)
    }

    /// What hears the context's signals.
    pub fn notify(mut self, notify: impl Fn(&S, Signal) -> Result + Send + Sync + 'static) -> NativeBuilder<S> {
        self.functions.notify = Some(Box::new(notify));
        self
    }

    /// What makes the state of a fork. Without it a context with this module cannot be forked.
    pub fn fork(mut self, fork: impl Fn(&S) -> Result<S> + Send + Sync + 'static) -> NativeBuilder<S> {
        self.functions.fork = Some(Box::new(fork));
        self
    }

    /// Asks for a function of another module. It is at the index of its asking: [`Caller::import`].
    pub fn import(self, name: &str, convention: &str) -> NativeBuilder<S> {
        self.ask(name, convention, false)
    }

    /// As [`NativeBuilder::import`], and gets along without it.
    pub fn optional_import(self, name: &str, convention: &str) -> NativeBuilder<S> {
        self.ask(name, convention, true)
    }

    /// Needs another module of at least that version.
    pub fn depends_on(mut self, module: &str, version: u32) -> NativeBuilder<S> {
        self.module.dependencies.push(Dependency { module: module.into(), version, optional: false });
        self
    }

    /// Needs that version of another module if it is there.
    pub fn may_depend_on(mut self, module: &str, version: u32) -> NativeBuilder<S> {
        self.module.dependencies.push(Dependency { module: module.into(), version, optional: true });
        self
    }

    /// Says a word about the module under a key.
    pub fn attribute(mut self, key: &str, value: &str) -> NativeBuilder<S> {
        self.module.attributes.push((key.into(), value.into()));
        self
    }

    /// The module; or the first thing that was wrong with what was told.
    pub fn build(mut self) -> Result<Arc<NativeModule<S>>> {
        if let Some(fault) = self.fault {
            return Err(fault.about(self.module.name));
        }
        self.module.shared = Arc::new(self.functions);
        Ok(Arc::new(self.module))
    }

    fn declare(&mut self, name: &str, convention: String) {
        if self.module.exports.iter().any(|export| export.name == name) {
            self.blame(Error::new(Code::AlreadyExists, format!("two functions {name:?}")));
        }
        let convention = self.parse(&convention);
        self.module.exports.push(FunctionDeclaration { name: name.into(), convention });
    }

    fn ask(mut self, name: &str, convention: &str, optional: bool) -> NativeBuilder<S> {
        let convention = self.parse(convention);
        self.module.imports.push(ImportDeclaration { name: name.into(), convention, optional });
        self
    }

    fn parse(&mut self, convention: &str) -> Convention {
        convention.parse().unwrap_or_else(|error| {
            self.blame(error);
            Convention::default()
        })
    }

    fn blame(&mut self, error: Error) {
        self.fault.get_or_insert(error);
    }
}

impl<S: Send + Sync + 'static> Module for NativeModule<S> {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> u32 {
        self.version
    }

    fn concurrency(&self) -> Concurrency {
        self.concurrency
    }

    fn frame_kind(&self) -> FrameKind {
        FrameKind::Native
    }

    fn dependencies(&self) -> &[Dependency] {
        &self.dependencies
    }

    fn imports(&self) -> &[ImportDeclaration] {
        &self.imports
    }

    fn exports(&self) -> &[FunctionDeclaration] {
        &self.exports
    }

    fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    fn instantiate(&self, imports: Imports) -> Result<Arc<dyn ModuleInstance>> {
        let state = (self.state)()?;
        Ok(Arc::new(Instance(Arc::new(NativeInstance { state, imports, functions: self.shared.clone() }))))
    }
}

impl<S: Send + Sync + 'static> ModuleInstance for Instance<S> {
    #[inline]
    fn begin(&self, ordinal: u32, call: &mut CallFrame<'_>) -> Result<Flow> {
        match self.0.functions.functions.get(ordinal as usize) {
            Some(begin) => begin(&self.0, call),
            None => Err(Error::internal("no function has that ordinal")),
        }
    }

    fn is_plain(&self, ordinal: u32) -> bool {
        self.0.functions.plain.get(ordinal as usize).copied().unwrap_or(false)
    }

    fn notify(&self, signal: Signal) -> Result {
        self.0.functions.notify.as_ref().map_or(Ok(()), |notify| notify(&self.0.state, signal))
    }

    fn fork(&self, imports: Imports) -> Result<Arc<dyn ModuleInstance>> {
        let Some(fork) = &self.0.functions.fork else {
            return Err(Error::new(Code::Unimplemented, "the module's state cannot be forked"));
        };
        let state = fork(&self.0.state)?;
        Ok(Arc::new(Instance(Arc::new(NativeInstance { state, imports, functions: self.0.functions.clone() }))))
    }
}

impl<S> fmt::Debug for NativeModule<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeModule").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for NativeBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeBuilder").field("module", &self.module).field("fault", &self.fault).finish()
    }
}
