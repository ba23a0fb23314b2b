//! What calls on loops cost beside plain ones: nanoseconds of the process's own processor time for each, the least of
//! interleaved rounds.
//!
//! `cargo run --release -p proact-vm --example loop_speed`

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use proact::proactor::Builder;
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::event_loop::{Command, InlineLoop, Loop, ProactorLoop, Task};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{
    AsyncInvocation, Context, Error, Function, Instance, InvocationCallback, InvocationOptions, Result, Value,
};

mod timing;

use timing::{Row, print_least, processor_nanoseconds};

/// Leaves its storage for the next call.
struct Back;

thread_local! {
    static CALL: Cell<Option<Box<AsyncInvocation<Back>>>> = const { Cell::new(None) };
    static TASK: Cell<Option<Box<Again>>> = const { Cell::new(None) };
}

impl InvocationCallback for Back {
    fn done(call: Box<AsyncInvocation<Back>>, result: Result, _: Option<&dyn Loop>) -> Result {
        black_box(call.outputs());
        CALL.set(Some(call));
        result
    }
}

/// A bare task.
struct Again(u32);

impl Task for Again {
    fn run(mut self: Box<Self>, _: &dyn Loop) -> Result {
        self.0 = self.0.wrapping_add(1);
        TASK.set(Some(self));
        Ok(())
    }

    fn abort(self: Box<Self>, error: Error) {
        panic!("{error}");
    }
}

fn invoke(event_loop: &impl Loop, context: &Context, function: &Function, options: &InvocationOptions) {
    let call = CALL.take().unwrap_or_else(|| AsyncInvocation::new(Back));
    let inputs = black_box([Value::I32(2), Value::I32(3)]);
    context.invoke_on(event_loop, call, function, options, &inputs).expect("begun");
}

fn main() -> Result {
    let module = NativeModule::builder("bench")
        .function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b))
        .async_function("yields", |caller: Caller<()>, a: i32, b: i32| async move {
            caller.yield_now().await.map(|()| a.wrapping_add(b))
        })
        .build()?;
    let context = Context::builder(&Instance::new()).module(module).build()?;
    let (add, yields) = (context.lookup("bench.add")?, context.lookup("bench.yields")?);
    let mut rows: Vec<Row> = Vec::new();

    let (own, function, mut outputs) = (context.clone(), add.clone(), Vec::new());
    let plain = move || {
        outputs.clear();
        let inputs = black_box([Value::I32(2), Value::I32(3)]);
        own.invoke(&function, &inputs, &mut outputs).expect("done");
        black_box(&outputs);
    };
    rows.push(("(i32, i32) -> i32, plain", Box::new(plain)));

    let (own, function, mut outputs) = (context.clone(), yields.clone(), Vec::new());
    let plain = move || {
        outputs.clear();
        own.invoke(&function, &black_box([Value::I32(2), Value::I32(3)]), &mut outputs).expect("done");
    };
    rows.push(("the same, with one yield, plain", Box::new(plain)));

    for (name, function) in
        [("(i32, i32) -> i32 on the inline loop", &add), ("the same, with one yield, on the inline loop", &yields)]
    {
        let (own, function, options) = (context.clone(), function.clone(), InvocationOptions::new());
        let event_loop = InlineLoop::new();
        rows.push((name, Box::new(move || invoke(&event_loop, &own, &function, &options))));
    }

    let event_loop = InlineLoop::new();
    let task = move || {
        let task = TASK.take().unwrap_or_else(|| Box::new(Again(0)));
        event_loop.submit(Command::Call, task).expect("taken");
    };
    rows.push(("a bare task on the inline loop", Box::new(task)));

    let mut proactor = Builder::new().build()?;
    let event_loop = ProactorLoop::here(&proactor);
    let (own, function, options) = (context.clone(), add.clone(), InvocationOptions::new());
    let on_proactor = move || {
        invoke(&event_loop, &own, &function, &options);
        event_loop.run(&mut proactor, Timeout::Infinite).expect("run");
    };
    rows.push(("(i32, i32) -> i32 on a proactor's loop, a poll each", Box::new(on_proactor)));

    print_least(rows);
    for waiting in [1, 10_000] {
        let each = many_wait(waiting)?;
        println!("begun, woken and ended on a proactor's loop, {waiting:6} at once {each:5.1} ns");
    }
    Ok(())
}

/// Of one call, where so many wait for a semaphore at once, all of which it then wakes.
fn many_wait(waiting: u32) -> Result<f64> {
    let semaphore = Semaphore::new(0);
    let (last, own) = (Arc::new(AtomicU64::new(0)), semaphore.clone());
    let value = last.clone();
    let module = NativeModule::builder("bench")
        .async_function("waits", move |caller: Caller<()>| {
            let source = WaitSource::semaphore(&own, value.load(Ordering::Relaxed) + 1);
            async move { caller.wait_for(source).await }
        })
        .build()?;
    let context = Context::builder(&Instance::new()).concurrent().module(module).build()?;
    let function = context.lookup("bench.waits")?;
    let mut proactor = Builder::new().build()?;
    let event_loop = ProactorLoop::here(&proactor);
    let (options, calls) = (InvocationOptions::new(), Arc::new(Mutex::new(Vec::new())));
    for _ in 0..waiting {
        calls.lock().expect("no one panics").push(AsyncInvocation::new(Kept(calls.clone())));
    }
    let mut least = f64::INFINITY;
    for _ in 0..(100_000 / waiting).clamp(20, 2000) {
        let start = processor_nanoseconds();
        let batch = std::mem::take(&mut *calls.lock().expect("no one panics"));
        for call in batch {
            context.invoke_on(&event_loop, call, &function, &options, &())?;
        }
        // A pass begins some hundreds of them.
        for _ in 0..waiting / 100 + 4 {
            proactor.poll(Timeout::Immediate)?;
        }
        assert!(calls.lock().expect("no one panics").is_empty(), "all wait");
        semaphore.signal(last.load(Ordering::Relaxed) + 1, None)?;
        event_loop.run(&mut proactor, Timeout::Infinite)?;
        last.fetch_add(1, Ordering::Relaxed);
        least = least.min((processor_nanoseconds() - start) as f64 / f64::from(waiting));
    }
    Ok(least)
}

/// Puts its storage back.
#[allow(clippy::vec_box)] // the boxes are what a loop is given
struct Kept(Arc<Mutex<Vec<Box<AsyncInvocation<Kept>>>>>);

impl InvocationCallback for Kept {
    fn done(call: Box<AsyncInvocation<Kept>>, result: Result, _: Option<&dyn Loop>) -> Result {
        let calls = call.callback.0.clone();
        calls.lock().expect("no one panics").push(call);
        result
    }
}
