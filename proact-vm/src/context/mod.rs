//! Modules that know each other: who is asked for a function by name, and in which order they begin and end.

mod ends;
mod gate;
mod inside;
mod register;
mod tables;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::{CallId, Error, Result};
use crate::instance::Instance;
use crate::invocation::InvocationOptions;
use crate::module::{Function, Module};
use crate::trace::{Tracer, Tracing};
use gate::Gate;
pub(crate) use gate::{Ticket, Turn};
pub(crate) use inside::Inside;
pub(crate) use tables::Loaded;
use tables::Tables;

/// Modules, each with its state here. A clone is the same context; any thread may use it.
///
/// ```
/// use proact_vm::module::native::NativeModule;
/// use proact_vm::{Context, Instance, Value};
///
/// let math = NativeModule::builder("math").function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b)).build()?;
/// let context = Context::builder(&Instance::new()).module(math).build()?;
/// let add = context.lookup("math.add")?;
///
/// let mut outputs = Vec::new();
/// context.invoke(&add, &[Value::I32(2), Value::I32(3)], &mut outputs)?;
/// assert_eq!(outputs, [Value::I32(5)]);
/// # Ok::<(), proact_vm::Error>(())
/// ```
#[derive(Clone)]
pub struct Context(pub(crate) Arc<ContextInner>);

pub(crate) struct ContextInner {
    pub(crate) number: u64,
    instance: Instance,
    pub(crate) concurrent: bool,
    traced: bool,
    tracer: Option<Arc<dyn Tracer>>,
    /// The tables, once they do not change any more: found without a lock.
    frozen: OnceLock<Tables>,
    growing: Mutex<Tables>,
    overlap: Overlap,
    gate: Gate,
    /// For what runs when modules come, are told of signals, and go.
    lifecycle: InvocationOptions,
}

/// What becomes of an invocation in a context that is not concurrent, while another one is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overlap {
    /// It waits for its turn, first come, first served. [`Context::invoke`] from within another one on the same thread
    /// would wait for itself, and fails with `FAILED_PRECONDITION`.
    #[default]
    Serialize,
    /// It fails with `FAILED_PRECONDITION`.
    Refuse,
}

/// How an invocation gets into a context.
pub(crate) enum Entry {
    Now,
    Later(Arc<Ticket>),
    Refused,
}

/// What a context is made with.
#[must_use = "a builder makes nothing until `build`"]
pub struct ContextBuilder {
    instance: Instance,
    modules: Vec<Arc<dyn Module>>,
    concurrent: bool,
    overlap: Overlap,
    growable: bool,
    traced: bool,
    tracer: Option<Arc<dyn Tracer>>,
    lifecycle: InvocationOptions,
}

/// Numbers of contexts and of calls.
static LAST: AtomicU64 = AtomicU64::new(0);

fn next_number() -> u64 {
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl ContextBuilder {
    /// Registers a module, after those before it.
    pub fn module(mut self, module: Arc<dyn Module>) -> ContextBuilder {
        self.modules.push(module);
        self
    }

    /// Lets invocations overlap. Modules that may not be called so are refused.
    pub fn concurrent(mut self) -> ContextBuilder {
        self.concurrent = true;
        self
    }

    /// What becomes of invocations that would overlap, unless the context is concurrent.
    pub fn overlap(mut self, overlap: Overlap) -> ContextBuilder {
        self.overlap = overlap;
        self
    }

    /// Asks the functions of all invocations to tell what they do, whatever
    /// [their options](crate::InvocationOptions::traced) say; initializers and notifications too.
    pub fn traced(mut self) -> ContextBuilder {
        self.traced = true;
        self
    }

    /// Has `tracer` hear what traced calls do: those whose [options](crate::InvocationOptions::traced) or
    /// [policy](crate::Policy::traced) say so, or all of a [traced](ContextBuilder::traced) context.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use proact_vm::module::native::NativeModule;
    /// use proact_vm::trace::{TraceEvent, Traced};
    /// use proact_vm::{Context, Instance, InvocationOptions};
    ///
    /// let math = NativeModule::builder("math").function("one", |_: &()| 1);
    /// let told = Arc::new(Mutex::new(Vec::new()));
    /// let hears = told.clone();
    /// let context = Context::builder(&Instance::new())
    ///     .tracer(move |event: &TraceEvent<'_>| {
    ///         if let Traced::Begun(function) | Traced::Returned(function) = event.what {
    ///             hears.lock().unwrap().push(function.name().to_owned());
    ///         }
    ///     })
    ///     .module(math.build()?)
    ///     .build()?;
    /// let one = context.lookup("math.one")?;
    /// context.invoke(&one, &(), &mut Vec::new())?;
    /// assert!(told.lock().unwrap().is_empty());
    /// context.invoke_with(&InvocationOptions::new().traced(), &one, &(), &mut Vec::new())?;
    /// assert_eq!(*told.lock().unwrap(), ["math.one", "math.one"]);
    /// # Ok::<(), proact_vm::Error>(())
    /// ```
    pub fn tracer(mut self, tracer: impl Tracer) -> ContextBuilder {
        self.tracer = Some(Arc::new(tracer));
        self
    }

    /// What `__init`, `__deinit` and `__notify` of the modules, and start functions of programs, keep to: a deadline,
    /// a clock, a stack. Without it one that never ends holds whoever registers its module, or drops the context.
    ///
    /// A deadline that is so long after the begin is that of each registering, of each signal to all modules, and of
    /// each function at the context's end; one that is a time is for all, and what begins after it is ended at its
    /// first stop. [`Context::register_with`] and the other forms that take options keep to those instead.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use proact::status::Code;
    /// # use proact_vm::module::native::{Caller, NativeModule};
    /// # use proact_vm::{Context, Instance, InvocationOptions};
    /// let late = NativeModule::builder("late")
    ///     .initializer(|caller: Caller<()>| async move { caller.sleep(Duration::from_secs(3600)).await })
    ///     .build()?;
    /// let lifecycle = InvocationOptions::new().deadline(Duration::from_millis(1));
    /// let refused = Context::builder(&Instance::new()).lifecycle(lifecycle).module(late).build().unwrap_err();
    /// assert_eq!(refused.code(), Code::DeadlineExceeded);
    /// # Ok::<(), proact_vm::Error>(())
    /// ```
    pub fn lifecycle(mut self, options: InvocationOptions) -> ContextBuilder {
        self.lifecycle = options;
        self
    }

    /// Modules may be registered later: see [`Context::register`] and [`Context::freeze`].
    pub fn growable(mut self) -> ContextBuilder {
        self.growable = true;
        self
    }

    /// The context, with its modules initialized: initializers that wait hold this thread meanwhile. Where they must
    /// not, build it [growable](ContextBuilder::growable) and without them, and [register](Context::register_async)
    /// each.
    pub fn build(self) -> Result<Context> {
        let ContextBuilder { instance, concurrent, overlap, traced, tracer, lifecycle, .. } = self;
        let context = Context::empty(instance, concurrent, overlap, traced, tracer, lifecycle);
        for module in self.modules {
            context.register(module)?;
        }
        if !self.growable {
            context.freeze();
        }
        Ok(context)
    }
}

impl Context {
    /// A context without modules yet, whose types are those of `instance`.
    pub fn builder(instance: &Instance) -> ContextBuilder {
        ContextBuilder {
            instance: instance.clone(),
            modules: Vec::new(),
            concurrent: false,
            overlap: Overlap::default(),
            growable: false,
            traced: false,
            tracer: None,
            lifecycle: InvocationOptions::new(),
        }
    }

    fn empty(
        instance: Instance,
        concurrent: bool,
        overlap: Overlap,
        traced: bool,
        tracer: Option<Arc<dyn Tracer>>,
        lifecycle: InvocationOptions,
    ) -> Context {
        Context(Arc::new(ContextInner {
            number: next_number(),
            instance,
            concurrent,
            traced,
            tracer,
            frozen: OnceLock::new(),
            growing: Mutex::default(),
            overlap,
            gate: Gate::default(),
            lifecycle,
        }))
    }

    /// The types.
    pub fn instance(&self) -> &Instance {
        &self.0.instance
    }

    /// Whether invocations may overlap.
    pub fn is_concurrent(&self) -> bool {
        self.0.concurrent
    }

    /// Whether the functions of all invocations are asked to tell what they do.
    pub fn is_traced(&self) -> bool {
        self.0.traced
    }

    /// What functions keep to that are the context's own to call.
    pub(crate) fn lifecycle(&self) -> &InvocationOptions {
        &self.0.lifecycle
    }

    /// Where a traced call tells what it does.
    #[cold]
    pub(crate) fn tracing(&self, inline: bool) -> Option<Tracing> {
        self.0.tracer.as_ref().map(|tracer| Tracing::new(tracer.clone(), inline))
    }

    /// Whether no more modules may be registered.
    pub fn is_frozen(&self) -> bool {
        self.0.frozen.get().is_some()
    }

    /// No more modules from now on.
    pub fn freeze(&self) {
        let mut growing = self.growing();
        let tables = std::mem::take(&mut *growing);
        if let Err(empty) = self.0.frozen.set(tables) {
            drop(empty); // it was frozen before
        }
    }

    /// The function of that name: `module.function`, split at the first dot. The module that was registered last under
    /// that name is asked, and no other.
    ///
    /// `INVALID_ARGUMENT` for a name without a dot, `NOT_FOUND` when there is no such module or it has no such
    /// function.
    #[inline]
    pub fn lookup(&self, name: &str) -> Result<Function> {
        match self.0.frozen.get() {
            Some(tables) => tables.lookup(name),
            None => self.lookup_growing(name),
        }
    }

    fn lookup_growing(&self, name: &str) -> Result<Function> {
        let growing = self.growing();
        match self.0.frozen.get() {
            Some(tables) => tables.lookup(name),
            None => growing.lookup(name),
        }
    }

    /// An id for an invocation.
    pub(crate) fn call_id(&self) -> CallId {
        match self.0.concurrent {
            true => CallId(next_number()),
            false => CallId(self.0.number),
        }
    }

    /// Whether the function is one of this context's.
    pub(crate) fn check(&self, function: &Function) -> Result {
        match function.0.context == self.0.number {
            true => Ok(()),
            false => Err(Error::invalid(format!("{} is of another context", function.name()))),
        }
    }

    /// Asks to be let in: who is, leaves.
    #[inline]
    pub(crate) fn enter(&self) -> Entry {
        if self.0.concurrent || self.0.gate.try_enter() {
            return Entry::Now;
        }
        match self.0.overlap {
            Overlap::Serialize => Entry::Later(self.0.gate.join()),
            Overlap::Refuse => Entry::Refused,
        }
    }

    #[inline]
    pub(crate) fn leave(&self) {
        if !self.0.concurrent {
            self.0.gate.leave();
        }
    }

    pub(crate) fn give_up(&self, ticket: &Arc<Ticket>) {
        self.0.gate.give_up(ticket);
    }

    #[cold]
    pub(crate) fn is_busy(&self) -> Error {
        Error::precondition("the context is not concurrent, and another invocation is there")
    }

    pub(crate) fn is_same(&self, other: &Context) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn growing(&self) -> MutexGuard<'_, Tables> {
        self.0.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("number", &self.0.number)
            .field("concurrent", &self.0.concurrent)
            .field("frozen", &self.is_frozen())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ContextBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.modules.iter().map(|module| module.name()).collect();
        f.debug_struct("ContextBuilder").field("modules", &names).field("concurrent", &self.concurrent).finish()
    }
}
