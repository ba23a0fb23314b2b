//! What calls of WebAssembly functions cost beside the engine's own: the same module, and no machine around it.

use std::hint::black_box;
use std::sync::Arc;

use proact_vm::wasm::WasmModule;
use proact_vm::{Context, Function, Instance, Value};
use wasmi::{Engine, Func, Linker, Module, ResumableCall, Store};

use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::vm::figures;

pub(crate) const ROWS: &[Measure] = &[Measure::once("vm/wasm-call", called), Measure::once("vm/wasm-yield", yielded)];

/// In the text format:
///
/// ```wat
/// (module
///     (import "proact" "yield" (func $yield))
///     (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add)
///     (func (export "yields") call $yield))
/// ```
const PROGRAM: &[u8] = b"\0asm\x01\0\0\0\
    \x01\x0a\x02\x60\0\0\x60\x02\x7f\x7f\x01\x7f\
    \x02\x10\x01\x06proact\x05yield\0\0\
    \x03\x03\x02\x01\0\
    \x07\x10\x02\x03add\0\x01\x06yields\0\x02\
    \x0a\x0e\x02\x07\0\x20\0\x20\x01\x6a\x0b\x04\0\x10\0\x0b";

fn context() -> Result<Context, Failure> {
    let program = WasmModule::builder("program").load(PROGRAM)?;
    Ok(Context::builder(&Instance::new()).module(Arc::new(program)).build()?)
}

fn found(name: &str) -> Result<(Context, Function), Failure> {
    let context = context()?;
    let function = context.lookup(name)?;
    Ok((context, function))
}

/// What the import answers the engine, to stop there.
#[derive(Debug)]
struct Stopped;

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped")
    }
}

impl wasmi::errors::HostError for Stopped {}

/// The module in the engine alone, with nothing asked of it: no fuel, no bounds.
fn bare() -> Result<(Store<()>, wasmi::Instance), wasmi::Error> {
    let engine = Engine::default();
    let module = Module::new(&engine, PROGRAM)?;
    let mut store = Store::new(&engine, ());
    let mut linker = Linker::new(&engine);
    linker.func_wrap("proact", "yield", || -> Result<(), wasmi::Error> { Err(wasmi::Error::host(Stopped)) })?;
    let instance = linker.instantiate_and_start(&mut store, &module)?;
    Ok((store, instance))
}

fn failed(error: wasmi::Error) -> Failure {
    Failure::new(format!("the floor: {error}"))
}

/// Measures a call with two numbers and a result, as values, against the engine's own typed call.
fn called() -> Result<Figures, Failure> {
    let (context, function) = found("program.add")?;
    let (mut store, instance) = bare().map_err(failed)?;
    let plain = instance.get_typed_func::<(i32, i32), i32>(&store, "add").map_err(failed)?;
    let mut outputs = Vec::new();
    let call = || {
        outputs.clear();
        let inputs = black_box([Value::I32(2), Value::I32(3)]);
        context.invoke(&function, &inputs, &mut outputs).expect("it returns");
        assert!(black_box(&outputs) == &[Value::I32(5)]);
    };
    Ok(figures(call, || assert!(plain.call(&mut store, black_box((2, 3))).expect("it returns") == 5)))
}

/// Stops the engine's call at the import, and goes on with it.
fn stop_and_go(function: Func, store: &mut Store<()>) {
    let stopped = function.call_resumable(&mut *store, &[], &mut []).expect("it begins");
    let ResumableCall::HostTrap(stopped) = stopped else { panic!("it has not stopped") };
    let ended = stopped.resume(store, &[], &mut []).expect("it goes on");
    assert!(matches!(ended, ResumableCall::Finished));
}

/// Measures a call that yields once and is resumed, against the engine's own resumable call, which an import stops.
fn yielded() -> Result<Figures, Failure> {
    let (context, function) = found("program.yields")?;
    let (mut store, instance) = bare().map_err(failed)?;
    let plain = instance.get_func(&store, "yields").ok_or_else(|| Failure::new("the floor: no such function"))?;
    let call = || context.invoke(&function, &(), &mut ()).expect("it returns");
    Ok(figures(call, || stop_and_go(plain, &mut store)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proact_vm::{InvocationOptions, InvocationState, Step};

    #[test]
    fn the_program_adds_and_yields_once_on_both_sides() {
        let context = context().unwrap();
        let mut outputs = Vec::new();
        let inputs = [Value::I32(2), Value::I32(3)];
        context.invoke(&context.lookup("program.add").unwrap(), &inputs, &mut outputs).unwrap();
        assert_eq!(outputs, [Value::I32(5)]);
        let mut state = InvocationState::new();
        let yields = context.lookup("program.yields").unwrap();
        let step = context.begin(&mut state, &yields, &InvocationOptions::new(), &()).unwrap();
        let Step::Yielded(yielded) = step else { panic!("{step:?}") };
        assert!(matches!(yielded.resume(), Step::Done(_)));

        let (mut store, instance) = bare().unwrap();
        let add = instance.get_typed_func::<(i32, i32), i32>(&store, "add").unwrap();
        assert_eq!(add.call(&mut store, (2, 3)).unwrap(), 5);
        stop_and_go(instance.get_func(&store, "yields").unwrap(), &mut store);
    }
}
