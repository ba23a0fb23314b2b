//! Memory that many calls share.

mod support;

use proact::status::Code;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::{Arena, Context, Error, Function, Instance, InvocationOptions, InvocationState, Step, Value};

/// A function whose frame takes more than 4 KiB, and stops once.
fn large() -> (Context, Function) {
    let module = NativeModule::builder("m")
        .async_function("f", |caller: Caller<()>, fails: bool| async move {
            let bytes = [1u8; 4096];
            caller.yield_now().await?;
            let sum: i32 = bytes.iter().map(|&byte| i32::from(byte)).sum();
            if fails { Err(Error::new(Code::DataLoss, "as it was told")) } else { Ok(sum) }
        })
        .build()
        .unwrap();
    let context = Context::builder(&Instance::new()).concurrent().module(module).build().unwrap();
    let function = context.lookup("m.f").unwrap();
    (context, function)
}

#[test]
fn calls_of_an_arena_are_bounded_together_and_give_back_what_they_had() {
    let (context, f) = large();
    let arena = Arena::new(24 << 10);
    let options = InvocationOptions::new().arena(&arena);
    let mut states: Vec<_> = (0..8).map(|_| InvocationState::new()).collect();
    let mut steps = Vec::new();
    let mut refused = 0;
    for state in &mut states {
        match context.begin(state, &f, &options, &[Value::I32(0)]).unwrap() {
            Step::Done(done) => {
                assert_eq!(done.result().unwrap_err().code(), Code::ResourceExhausted);
                refused += 1;
            }
            step => steps.push(step),
        }
        assert!(arena.in_use() <= arena.allocated() && arena.allocated() <= arena.maximum());
    }
    assert_eq!((steps.len(), refused), (3, 5));
    assert!(arena.in_use() > 3 * 4096);
    drop(steps.pop()); // given up
    let mut outputs = Vec::new();
    for step in steps {
        step.finish().end(&mut outputs).unwrap().unwrap();
    }
    assert_eq!(outputs, [Value::I32(4096), Value::I32(4096)]);
    assert_eq!(arena.in_use(), 0);
    assert!(arena.allocated() > 0);
    let error = context.invoke_with(&options, &f, &[Value::I32(1)], &mut outputs).unwrap_err();
    assert_eq!((error.code(), arena.in_use()), (Code::DataLoss, 0));
    arena.trim();
    assert_eq!(arena.allocated(), 0);
    // A call without the arena takes nothing of it.
    context.invoke(&f, &[Value::I32(0)], &mut outputs).unwrap();
    assert_eq!((arena.allocated(), outputs.len()), (0, 3));
}

#[test]
fn an_arena_lives_as_long_as_a_call_of_it() {
    let (context, f) = large();
    let mut state = InvocationState::new();
    let options = InvocationOptions::new().arena(&Arena::new(16 << 10));
    let step = context.begin(&mut state, &f, &options, &[Value::I32(0)]).unwrap();
    drop(options);
    let mut outputs = Vec::new();
    step.finish().end(&mut outputs).unwrap().unwrap();
    assert_eq!(outputs, [Value::I32(4096)]);
}

#[test]
fn what_is_too_small_makes_room_for_what_is_not() {
    let (context, f) = large();
    let arena = Arena::new(10 << 10);
    let small = NativeModule::builder("s")
        .async_function("f", |caller: Caller<()>| async move { caller.yield_now().await })
        .build()
        .unwrap();
    let little = Context::builder(&Instance::new()).concurrent().module(small).build().unwrap();
    let limits = proact_vm::StackLimits::new(1024, 1 << 20).unwrap();
    let options = InvocationOptions::new().arena(&arena).stack(limits);
    let s = little.lookup("s.f").unwrap();
    let mut states: Vec<_> = (0..6).map(|_| InvocationState::new()).collect();
    let steps: Vec<_> = states.iter_mut().map(|state| little.begin(state, &s, &options, &()).unwrap()).collect();
    assert!(arena.in_use() >= 6 << 10, "{}", arena.in_use());
    drop(steps);
    context.invoke_with(&options, &f, &[Value::I32(0)], &mut Vec::new()).unwrap();
    assert!(arena.allocated() <= arena.maximum());
}
