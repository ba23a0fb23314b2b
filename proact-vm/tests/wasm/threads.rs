//! Calls that overlap: each in an instance of its own, or one after another.

use std::sync::Arc;

use proact_vm::module::Module;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::{Context, Error, Instance, Value};

use super::{Options, guest_with, i32_of, per_call};

fn host() -> Arc<dyn Module> {
    let pass = |caller: Caller<()>, number: i32| async move {
        caller.yield_now().await?;
        Ok::<_, Error>(number)
    };
    NativeModule::builder("host").async_function("pass", pass).build().expect("a module")
}

/// Keeps a number in memory and in a variable while others run, and answers whether both are still there.
const KEEPS: &str = r#"(module
    (import "host" "pass" (func $pass (param i32) (result i32)))
    (memory (export "memory") 1)
    (global $kept (mut i32) (i32.const 0))
    (func (export "keeps") (param i32) (param $times i32) (result i32)
        (global.set $kept (local.get 0))
        (i32.store (i32.const 64) (local.get 0))
        (loop $again
            (drop (call $pass (local.get 0)))
            (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
        (i32.and
            (i32.eq (global.get $kept) (local.get 0))
            (i32.eq (i32.load (i32.const 64)) (local.get 0)))))"#;

fn overlap(context: &Context) {
    let keeps = context.lookup("guest.keeps").expect("it is there");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (context, keeps) = (context.clone(), keeps.clone());
            scope.spawn(move || {
                for round in 0..50 {
                    let mut outputs = Vec::new();
                    let inputs = [Value::I32(thread * 1_000 + round), Value::I32(1 + round % 5)];
                    context.invoke(&keeps, &inputs, &mut outputs).unwrap_or_else(|error| panic!("{error:?}"));
                    assert_eq!(i32_of(Ok(outputs)), 1, "thread {thread}, round {round}");
                }
            });
        }
    });
}

#[test]
fn calls_that_overlap_do_not_see_each_other() {
    let options = Options { fuel_slice: 9, ..per_call() };
    let modules = Context::builder(&Instance::new()).module(host()).module(guest_with(KEEPS, options));
    overlap(&modules.concurrent().build().expect("a context"));
}

#[test]
fn calls_of_one_instance_come_one_after_another() {
    let options = Options { fuel_slice: 9, ..Options::default() };
    let modules = Context::builder(&Instance::new()).module(host()).module(guest_with(KEEPS, options));
    overlap(&modules.build().expect("a context"));
}
