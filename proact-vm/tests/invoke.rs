//! Calls from the host that hold its thread.

use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::{Context, Error, Instance, Value};

fn math() -> Context {
    let math = NativeModule::builder("math")
        .function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b))
        .async_function("later", |caller: Caller<()>, a: i32| async move {
            caller.yield_now().await?;
            Ok::<_, Error>(a)
        })
        .build()
        .unwrap();
    Context::builder(&Instance::new()).module(math).build().unwrap()
}

#[test]
fn a_plain_function_answers_its_results() {
    let context = math();
    let add = context.lookup("math.add").unwrap();
    let mut outputs = Vec::new();
    context.invoke(&add, &[Value::I32(2), Value::I32(3)], &mut outputs).unwrap();
    assert_eq!(outputs, [Value::I32(5)]);
}

#[test]
fn a_function_that_yields_goes_on() {
    let context = math();
    let later = context.lookup("math.later").unwrap();
    let mut outputs = Vec::new();
    context.invoke(&later, &[Value::I32(7)], &mut outputs).unwrap();
    assert_eq!(outputs, [Value::I32(7)]);
}
