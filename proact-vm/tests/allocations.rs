//! Calls after the first ones allocate nothing. A program with one test: another one's allocations would be counted.

use std::alloc::System;

use proact::sync::Semaphore;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{Arena, Context, Error, Function, Instance, InvocationOptions, InvocationState, Step, Value};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: usize = 1000;

fn context(concurrent: bool) -> Context {
    let reached = Semaphore::new(1);
    let base = NativeModule::builder("m")
        .function("nothing", |_: &()| ())
        .function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b))
        .build()
        .unwrap();
    let caller = NativeModule::builder("n")
        .import("m.add", "0ii_i")
        .import("m.nothing", "0")
        .async_function("f", move |caller: Caller<()>, a: i32, b: i64| {
            let reached = reached.clone();
            async move {
                caller.yield_now().await?;
                caller.wait_for(WaitSource::semaphore(&reached, 1)).await?;
                let sum: i32 = caller.call(caller.import(0)?, (a, b as i32)).await?;
                caller.call::<_, ()>(caller.import(1)?, ()).await?;
                caller.yield_now().await?;
                Ok::<_, Error>((sum, b))
            }
        })
        .build()
        .unwrap();
    let outer = NativeModule::builder("o")
        .import("n.f", "0iI_iI")
        .async_function("f", |caller: Caller<()>, a: i32, b: i64| async move {
            let (sum, _): (i32, i64) = caller.call(caller.import(0)?, (a, b)).await?;
            Ok::<_, Error>((sum, b))
        })
        .build()
        .unwrap();
    let builder = Context::builder(&Instance::new()).module(base).module(caller).module(outer);
    let builder = if concurrent { builder.concurrent() } else { builder };
    builder.build().unwrap()
}

/// So many calls allocate nothing, after some that may make what is kept. The harness has a thread of its own, which
/// allocates when it likes: of some rounds one must be clean, which none is when the calls are what allocates.
#[track_caller]
fn none(what: &str, mut call: impl FnMut()) {
    (0..10).for_each(|_| call());
    let counts: Vec<_> = (0..5)
        .map(|_| {
            let region = Region::new(ALLOCATOR);
            (0..CALLS).for_each(|_| call());
            let change = region.change();
            change.allocations + change.reallocations + change.deallocations
        })
        .collect();
    assert!(counts.contains(&0), "{what}: {counts:?} in rounds of {CALLS} calls");
}

fn steps(
    context: &Context,
    state: &mut InvocationState,
    function: &Function,
    inputs: &[Value],
    outputs: &mut Vec<Value>,
) {
    let mut step = context.begin(state, function, &InvocationOptions::new(), inputs).unwrap();
    let done = loop {
        step = match step {
            Step::Done(done) => break done,
            Step::Yielded(yielded) => yielded.resume(),
            Step::Waiting(waiting) => waiting.provide(Ok(0)).resume(),
        };
    };
    done.end(outputs).unwrap().unwrap();
}

#[test]
fn calls_in_steady_state_allocate_nothing() {
    let region = Region::new(ALLOCATOR);
    drop(std::hint::black_box(vec![0u8; 100]));
    assert!(region.change().allocations >= 1, "allocations are counted at all");

    for concurrent in [false, true] {
        let context = context(concurrent);
        let inputs = [Value::I32(2), Value::I32(3)];
        let mut outputs = Vec::with_capacity(8);

        let nothing = context.lookup("m.nothing").unwrap();
        none("a plain function", || context.invoke(&nothing, &(), &mut ()).unwrap());
        let add = context.lookup("m.add").unwrap();
        none("a plain function with inputs and outputs", || {
            outputs.clear();
            context.invoke(&add, &inputs, &mut outputs).unwrap();
            assert_eq!(outputs, [Value::I32(5)]);
        });
        none("a lookup", || drop(context.lookup("m.add").unwrap()));

        let inputs = [Value::I32(2), Value::I64(3)];
        for name in ["n.f", "o.f"] {
            let function = context.lookup(name).unwrap();
            none("an async function that yields, waits and calls", || {
                outputs.clear();
                context.invoke(&function, &inputs, &mut outputs).unwrap();
                assert_eq!(outputs, [Value::I32(5), Value::I64(3)]);
            });
            let mut state = InvocationState::new();
            none("the same step by step", || {
                outputs.clear();
                steps(&context, &mut state, &function, &inputs, &mut outputs);
                assert_eq!(outputs, [Value::I32(5), Value::I64(3)]);
            });
            let arena = Arena::new(64 << 10);
            let options = InvocationOptions::new().arena(&arena);
            none("the same in an arena", || {
                outputs.clear();
                context.invoke_with(&options, &function, &inputs, &mut outputs).unwrap();
                assert_eq!(arena.in_use(), 0);
            });
            none("begun and given up", || {
                drop(context.begin(&mut state, &function, &InvocationOptions::new(), &inputs).unwrap());
            });
        }
    }
}
