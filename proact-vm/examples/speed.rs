//! What calls cost: nanoseconds of the process's own processor time for each, the least of interleaved rounds.
//!
//! `cargo run --release -p proact-vm --example speed`

use std::future::Future;
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};

use proact::sync::Semaphore;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{Context, Error, Instance, InvocationOptions, InvocationState, Step, Value};

mod timing;

use timing::{Row, print_least};

fn context(concurrent: bool) -> Context {
    let reached = Semaphore::new(1);
    let module = NativeModule::builder("bench")
        .function("nothing", |_: &()| ())
        .function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b))
        .async_function("async_nothing", |_: Caller<()>| async {})
        .async_function("yield_once", |caller: Caller<()>| async move { caller.yield_now().await })
        .async_function("wait_reached", move |caller: Caller<()>| {
            let source = WaitSource::semaphore(&reached, 1);
            async move { caller.wait_for(source).await }
        })
        .function("one", |_: &()| ())
        .function("two", |_: &()| ())
        .build();
    let importer = NativeModule::builder("importer")
        .import("bench.add", "0ii_i")
        .async_function("call", |caller: Caller<()>| async move {
            let add = caller.import(0)?;
            caller.call::<_, i32>(add, (1, 2)).await
        })
        .build();
    let builder = Context::builder(&Instance::new());
    let builder = if concurrent { builder.concurrent() } else { builder };
    let modules = module.and_then(|module| Ok(builder.module(module).module(importer?)));
    modules.and_then(|builder| builder.build()).expect("a context")
}

fn main() -> Result<(), Error> {
    let mut rows: Vec<Row> = Vec::new();
    for (concurrent, name) in [(false, "native no-op"), (true, "native no-op, concurrent context")] {
        let context = context(concurrent);
        let function = context.lookup("bench.nothing")?;
        rows.push((name, Box::new(move || context.invoke(&function, &(), &mut ()).expect("done"))));
    }
    let shared = context(false);
    let with = |name: &str| Ok::<_, Error>((shared.clone(), shared.lookup(name)?));

    let (context, function) = with("bench.add")?;
    let mut outputs = Vec::new();
    let call = move || {
        outputs.clear();
        let inputs = black_box([Value::I32(2), Value::I32(3)]);
        context.invoke(&function, &inputs, &mut outputs).expect("done");
        black_box(&outputs);
    };
    rows.push(("(i32, i32) -> i32 through values", Box::new(call)));

    let (context, _) = with("bench.add")?;
    rows.push(("lookup", Box::new(move || drop(black_box(context.lookup(black_box("bench.add")))))));

    for (row, name) in [
        ("async fn that is done at once", "bench.async_nothing"),
        ("async fn that yields once", "bench.yield_once"),
        ("wait satisfied at once", "bench.wait_reached"),
    ] {
        let (context, function) = with(name)?;
        rows.push((row, Box::new(move || context.invoke(&function, &(), &mut ()).expect("done"))));
    }

    let (context, function) = with("importer.call")?;
    let mut outputs = Vec::new();
    let call = move || {
        outputs.clear();
        context.invoke(&function, &(), &mut outputs).expect("done");
    };
    rows.push(("async fn that calls (i32, i32) -> i32", Box::new(call)));

    let (context, function) = with("bench.nothing")?;
    let (mut state, options) = (InvocationState::new(), InvocationOptions::new());
    let call = move || match context.begin(&mut state, &function, &options, &()).expect("begun") {
        Step::Done(done) => done.end(&mut ()).expect("ended").expect("done"),
        other => panic!("{other:?}"),
    };
    rows.push(("native no-op, begin and end", Box::new(call)));

    let (context, function) = with("bench.nothing")?;
    let options = InvocationOptions::new();
    let call = move || {
        let future = context.invoke_async(&function, &options, &()).expect("begun");
        let Poll::Ready(Ok(outputs)) = pin!(future).poll(&mut TaskContext::from_waker(Waker::noop())) else { panic!() };
        black_box(outputs);
    };
    rows.push(("native no-op as a future", Box::new(call)));

    print_least(rows);
    Ok(())
}
