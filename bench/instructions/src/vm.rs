//! Calls of a virtual machine's functions: no kernel, and no WebAssembly, whose interpreter is another project's.

use std::cell::Cell;
use std::hint::black_box;

use proact_vm::event_loop::{InlineLoop, Loop};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::{AsyncInvocation, Context, Function, Instance, InvocationCallback, InvocationOptions, Result, Value};

use crate::{Case, Prepare};

pub(super) const CASES: &[(&str, Prepare)] = &[
    ("vm/noop", nothing),
    ("vm/add", add),
    ("vm/inline-loop", on_inline_loop),
    ("vm/lookup", lookup),
    ("vm/async-yield", gives_way),
];

type Failure = Box<dyn std::error::Error>;

/// A context of one module of seven functions.
fn context() -> Result<Context> {
    let module = NativeModule::builder("bench")
        .function("nothing", |_: &()| ())
        .function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b))
        .async_function("yields", |caller: Caller<()>| async move { caller.yield_now().await });
    let module =
        ["one", "two", "three", "four"].into_iter().fold(module, |module, name| module.function(name, |_: &()| 1));
    Context::builder(&Instance::new()).module(module.build()?).build()
}

fn found(name: &str) -> Result<(Context, Function)> {
    let context = context()?;
    let function = context.lookup(name)?;
    Ok((context, function))
}

fn numbers() -> [Value; 2] {
    black_box([Value::I32(2), Value::I32(3)])
}

fn nothing() -> Result<Case, Failure> {
    let (context, function) = found("bench.nothing")?;
    Ok(Box::new(move || context.invoke(&function, &(), &mut ()).expect("it returns")))
}

fn add() -> Result<Case, Failure> {
    let (context, function) = found("bench.add")?;
    let mut outputs = Vec::new();
    Ok(Box::new(move || {
        outputs.clear();
        context.invoke(&function, &numbers(), &mut outputs).expect("it returns");
        black_box(&outputs);
    }))
}

fn lookup() -> Result<Case, Failure> {
    let context = context()?;
    Ok(Box::new(move || drop(black_box(context.lookup(black_box("bench.add")).expect("it is there")))))
}

fn gives_way() -> Result<Case, Failure> {
    let (context, function) = found("bench.yields")?;
    Ok(Box::new(move || context.invoke(&function, &(), &mut ()).expect("it returns")))
}

thread_local! {
    /// Where the next call on a loop lies.
    static CALL: Cell<Option<Box<AsyncInvocation<Back>>>> = const { Cell::new(None) };
}

/// Leaves its storage for the next call.
struct Back;

impl InvocationCallback for Back {
    fn done(call: Box<AsyncInvocation<Back>>, result: Result, _: Option<&dyn Loop>) -> Result {
        black_box(call.outputs());
        CALL.set(Some(call));
        result
    }
}

fn on_inline_loop() -> Result<Case, Failure> {
    let (context, function) = found("bench.add")?;
    let (event_loop, options) = (InlineLoop::new(), InvocationOptions::new());
    Ok(Box::new(move || {
        let call = CALL.take().unwrap_or_else(|| AsyncInvocation::new(Back));
        context.invoke_on(&event_loop, call, &function, &options, &numbers()).expect("it begins");
    }))
}
