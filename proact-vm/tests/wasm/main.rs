//! Programs in WebAssembly, as a host meets them.
#![cfg(feature = "wasm")]

mod calls;
#[path = "../support/compiled.rs"]
mod compiled;
mod conventions;
mod costs;
mod hostile;
mod limits;
mod program;
mod steps;
mod tail_calls;
mod threads;
mod traps;
mod waits;

use std::sync::Arc;

use proact::status::Code;
use proact_vm::module::Module;
use proact_vm::wasm::{Instances, Options, WasmModule};
use proact_vm::{Context, Error, Instance, Value};

/// The text of a module, assembled and loaded as module `guest`.
fn guest(text: &str) -> Arc<WasmModule> {
    guest_with(text, Options::default())
}

fn guest_with(text: &str, options: Options) -> Arc<WasmModule> {
    Arc::new(try_guest(text, options).unwrap_or_else(|error| panic!("{error}")))
}

fn try_guest(text: &str, options: Options) -> Result<WasmModule, Error> {
    WasmModule::builder("guest").options(options).load(&assemble(text))
}

fn assemble(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

fn per_call() -> Options {
    Options { instances: Instances::PerCall, ..Options::default() }
}

/// A context with these modules, in order.
fn context(modules: impl IntoIterator<Item = Arc<dyn Module>>) -> Context {
    try_context(modules).unwrap_or_else(|error| panic!("{error:?}"))
}

fn try_context(modules: impl IntoIterator<Item = Arc<dyn Module>>) -> Result<Context, Error> {
    modules.into_iter().fold(Context::builder(&Instance::new()), |builder, module| builder.module(module)).build()
}

fn call(context: &Context, function: &str, inputs: &[Value]) -> Result<Vec<Value>, Error> {
    let function = context.lookup(&format!("guest.{function}"))?;
    let mut outputs = Vec::new();
    context.invoke(&function, inputs, &mut outputs)?;
    Ok(outputs)
}

fn i32_of(outputs: Result<Vec<Value>, Error>) -> i32 {
    match outputs.unwrap_or_else(|error| panic!("{error:?}"))[..] {
        [Value::I32(number)] => number,
        ref other => panic!("{other:?}"),
    }
}

fn code(outputs: Result<Vec<Value>, Error>) -> Code {
    outputs.expect_err("it fails").code()
}
