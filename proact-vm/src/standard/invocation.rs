//! Invocations for programs: the module `invocation`.
//!
//! A program starts functions that it was given as references ([`FunctionReference`]), on the executor that the host
//! made the module with, and gets handles that it may keep in lists, wait for, read and cancel.
//!
//! | function | convention | what |
//! |---|---|---|
//! | `start` | `0rr_r` | starts a function with a list of inputs, or null for none; answers a handle |
//! | `start_with` | `0rriI_r` | as `start`, with a priority, and a deadline in nanoseconds from now; below 0 none |
//! | `wait` | `0r` | waits until it is done; fails with its failure |
//! | `wait_for` | `0rI_i` | waits so many nanoseconds at most; whether it is over, however it ended |
//! | `status` | `0r_i` | its status as a number, in the order of [`InvocationStatus`] |
//! | `outputs` | `0r_r` | its outputs as a list; null unless it is done |
//! | `cancel` | `0r` | asks it to end |
//!
//! What is started goes on when its handle is dropped. The inputs of a wrong count or type, a function whose context is
//! gone, and an executor that was shut down fail `start`.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use proact::status::Code;

use crate::context::{Context, ContextInner};
use crate::error::{Error, Result};
use crate::executor::ExecutorHandle;
use crate::invocation::{Invocation, InvocationStatus, Policy};
use crate::module::native::{Caller, NativeModule};
use crate::module::{Function, Module};
use crate::value::{ElementType, List, Object, Ref};
use crate::wait::WaitFrame;

/// A function as a reference value, which lets a program call it. It does not keep the function's context: so a context
/// may keep references to its own functions.
#[derive(Clone)]
pub struct FunctionReference {
    context: Weak<ContextInner>,
    /// The function holds its module's state; so it is looked up again when it is used.
    name: Box<str>,
}

impl FunctionReference {
    /// A reference to the function of that name. Errors are those of [`Context::lookup`].
    pub fn new(context: &Context, name: &str) -> Result<FunctionReference> {
        context.lookup(name)?;
        Ok(FunctionReference { context: Arc::downgrade(&context.0), name: name.into() })
    }

    /// The function's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The function, and its context. `UNAVAILABLE` when that is gone.
    pub fn resolve(&self) -> Result<(Context, Function)> {
        let Some(context) = self.context.upgrade().map(Context) else {
            let message = format!("the context of {} is gone", self.name);
            return Err(Error::new(Code::Unavailable, message));
        };
        let function = context.lookup(&self.name)?;
        Ok((context, function))
    }
}

impl fmt::Debug for FunctionReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FunctionReference({})", self.name)
    }
}

impl Object for FunctionReference {
    const TYPE_NAME: &'static str = "proact.function";
}

/// The module, whose invocations `executor` runs.
///
/// ```
/// use proact_vm::executor::Executor;
/// use proact_vm::module::native::NativeModule;
/// use proact_vm::standard::invocation::{self, FunctionReference};
/// use proact_vm::{Context, ElementType, Instance, Invocation, List, Ref, Value};
///
/// let executor = Executor::polled();
/// let math = NativeModule::builder("math").function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b)).build()?;
/// let builder = Context::builder(&Instance::new()).concurrent();
/// let context = builder.module(math).module(invocation::module(executor.handle())?).build()?;
///
/// // What a program does:
/// let add = FunctionReference::new(&context, "math.add")?;
/// let inputs = List::new(ElementType::Any);
/// inputs.push(Value::I32(2))?;
/// inputs.push(Value::I32(3))?;
/// let mut outputs = Vec::new();
/// let start = context.lookup("invocation.start")?;
/// context.invoke(&start, &[Ref::new(add).into(), Ref::new(inputs).into()], &mut outputs)?;
/// executor.run_until_idle();
/// let handle = outputs[0].reference()?.get::<Invocation>()?;
/// assert_eq!(handle.outputs(), Some(&[Value::I32(5)][..]));
/// # Ok::<(), proact_vm::Error>(())
/// ```
pub fn module(executor: &ExecutorHandle) -> Result<Arc<dyn Module>> {
    let executor = executor.clone();
    let module = NativeModule::with_state("invocation", move || Ok(executor.clone()))
        .fork(|executor| Ok(executor.clone()))
        .function("start", |executor: &ExecutorHandle, function: Arc<FunctionReference>, inputs: Option<Arc<List>>| {
            start(executor, &function, inputs, &Policy::new())
        })
        .function(
            "start_with",
            |executor: &ExecutorHandle,
             function: Arc<FunctionReference>,
             inputs: Option<Arc<List>>,
             priority: i32,
             deadline: i64| {
                let policy = Policy::new().priority(priority);
                let policy = match u64::try_from(deadline) {
                    Ok(nanoseconds) => policy.deadline(Duration::from_nanos(nanoseconds)),
                    Err(_) => policy,
                };
                start(executor, &function, inputs, &policy)
            },
        )
        .async_function("wait", |caller: Caller<ExecutorHandle>, invocation: Arc<Invocation>| async move {
            match caller.wait_for(invocation.wait_source()).await {
                Ok(()) => Ok(()),
                // The failure itself, with its own backtrace, unless the wait has failed by itself.
                Err(error) => Err(invocation.error().cloned().unwrap_or(error)),
            }
        })
        .async_function(
            "wait_for",
            |caller: Caller<ExecutorHandle>, invocation: Arc<Invocation>, nanoseconds: i64| async move {
                let nanoseconds = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0));
                let wait = WaitFrame::all([invocation.wait_source()]).deadline(caller.clock().now() + nanoseconds);
                match caller.wait(wait).await {
                    Err(error) if !invocation.is_finished() && error.code() != Code::DeadlineExceeded => Err(error),
                    _ => Ok::<bool, Error>(invocation.is_finished()),
                }
            },
        )
        .function("status", |_: &ExecutorHandle, invocation: Arc<Invocation>| status(&invocation))
        .function("outputs", |_: &ExecutorHandle, invocation: Arc<Invocation>| -> Result<Ref> {
            let Some(outputs) = invocation.outputs() else { return Ok(Ref::NULL) };
            let list = List::new(ElementType::Any);
            for output in outputs {
                list.push(output.clone())?;
            }
            Ok(Ref::new(list))
        })
        .function("cancel", |_: &ExecutorHandle, invocation: Arc<Invocation>| invocation.cancel())
        .build()?;
    Ok(module)
}

fn start(
    executor: &ExecutorHandle,
    function: &FunctionReference,
    inputs: Option<Arc<List>>,
    policy: &Policy,
) -> Result<Ref> {
    let (context, function) = function.resolve()?;
    let invocation = match inputs {
        Some(inputs) => executor.create(&context, &function, policy, &*inputs),
        None => executor.create(&context, &function, policy, &()),
    };
    invocation.map(Ref::new)
}

fn status(invocation: &Invocation) -> i32 {
    match invocation.status() {
        InvocationStatus::Pending => 0,
        InvocationStatus::Running => 1,
        InvocationStatus::Waiting => 2,
        InvocationStatus::Done => 3,
        InvocationStatus::Failed => 4,
        InvocationStatus::Cancelled => 5,
        InvocationStatus::Aborted => 6,
    }
}
