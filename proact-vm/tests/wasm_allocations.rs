//! What calls of programs allocate, once they have run.
#![cfg(feature = "wasm")]

use std::alloc::System;
use std::sync::Arc;

use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wasm::WasmModule;
use proact_vm::{Context, Error, Instance, InvocationOptions, InvocationState, Step, Value};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const PROGRAM: &str = r#"(module
    (import "host" "plain" (func $plain (param i32) (result i32)))
    (import "host" "later" (func $later (param i32) (result i32)))
    (import "proact" "yield" (func $yield))
    (func (export "add") (param i32) (result i32) local.get 0 i32.const 1 i32.add)
    (func (export "plain") (param i32) (result i32) local.get 0 call $plain call $plain)
    (func (export "later") (param i32) (result i32) local.get 0 call $later)
    (func (export "yield") (param i32) (result i32) call $yield local.get 0))"#;

/// Alone in its program: allocations of other tests would be counted.
#[test]
fn a_call_allocates_nothing_but_what_the_engine_does_for_imports() {
    let host = NativeModule::builder("host")
        .function("plain", |_: &(), number: i32| number + 1)
        .async_function("later", |caller: Caller<()>, number: i32| async move {
            caller.yield_now().await?;
            Ok::<_, Error>(number + 1)
        })
        .build();
    let guest = WasmModule::builder("guest").load(&wat::parse_str(PROGRAM).expect("a module")).expect("a module");
    let modules = Context::builder(&Instance::new()).module(host.expect("a module")).module(Arc::new(guest));
    let context = modules.build().expect("a context");
    let (mut state, mut outputs) = (InvocationState::new(), Vec::new());
    let mut counted = |name: &str| {
        let function = context.lookup(&format!("guest.{name}")).expect("it is there");
        let options = InvocationOptions::new();
        let mut once = || {
            outputs.clear();
            let mut step = context.begin(&mut state, &function, &options, &[Value::I32(1)]).expect("it begins");
            loop {
                step = match step {
                    Step::Yielded(yielded) => yielded.resume(),
                    Step::Done(done) => break done.end(&mut outputs).expect("there is room").expect("it returns"),
                    Step::Waiting(waiting) => panic!("{waiting:?}"),
                };
            }
        };
        (0..3).for_each(|_| once());
        // The thread that has begun the test may still allocate, once, beside the first.
        let rounds = (0..3).map(|_| {
            let region = Region::new(COUNTED);
            (0..100).for_each(|_| once());
            let change = region.change();
            (change.allocations + change.reallocations).div_ceil(100)
        });
        rounds.min()
    };
    assert_eq!(counted("add"), Some(0));
    // For each call of an import the engine copies its values into memory of their own.
    assert_eq!(counted("plain"), Some(2));
    // What stops the program is an error to the engine, in a box within a box.
    assert_eq!(counted("yield"), Some(2));
    assert_eq!(counted("later"), Some(3));
}
