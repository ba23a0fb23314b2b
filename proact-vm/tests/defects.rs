//! Faults that the design this one follows is known to have: each is named for what must not happen here.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::{Clock, Time};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::{WaitFrame, WaitKind, WaitSource};
use proact_vm::{
    Context, ElementType, Error, FrameKind, Function, Instance, InvocationOptions, InvocationState, List, Ref, Step,
    Value,
};
use support::{Count, Counted, context, done, waiting};

fn yielding() -> Context {
    let module = NativeModule::builder("m")
        .async_function("sum", |caller: Caller<()>, count: i32| async move {
            let mut sum = 0;
            for number in 0..count {
                caller.yield_now().await?;
                sum += number;
            }
            Ok::<_, Error>(sum)
        })
        .build()
        .unwrap();
    context([module])
}

// 1
#[test]
fn a_cooperative_yield_goes_on_in_a_synchronous_call() {
    let context = yielding();
    let mut outputs = Vec::new();
    context.invoke(&context.lookup("m.sum").unwrap(), &[Value::I32(5)], &mut outputs).unwrap();
    assert_eq!(outputs, [Value::I32(10)]);
}

#[test]
fn a_cooperative_yield_is_shown_to_who_goes_step_by_step() {
    let context = yielding();
    let mut state = InvocationState::new();
    let sum = context.lookup("m.sum").unwrap();
    let mut step = context.begin(&mut state, &sum, &InvocationOptions::new(), &[Value::I32(5)]).unwrap();
    let mut yields = 0;
    let done = loop {
        step = match step {
            Step::Yielded(yielded) => {
                yields += 1;
                yielded.resume()
            }
            Step::Done(done) => break done,
            Step::Waiting(waiting) => panic!("{waiting:?}"),
        };
    };
    let mut outputs = Vec::new();
    done.end(&mut outputs).unwrap().unwrap();
    assert_eq!((yields, outputs), (5, vec![Value::I32(10)]));
}

/// Three modules: each function of one calls that of the one before, yields around it, and does something with what
/// it answers.
fn three_deep(semaphore: &Semaphore) -> Context {
    let waited = semaphore.clone();
    let inner = NativeModule::builder("inner")
        .async_function("f", move |caller: Caller<()>, a: i32, counted: Arc<Counted>| {
            let waited = waited.clone();
            async move {
                caller.yield_now().await?;
                caller.wait_for(WaitSource::semaphore(&waited, 1)).await?;
                caller.yield_now().await?;
                drop(counted);
                Ok::<_, Error>((a + 1, 10 * i64::from(a)))
            }
        })
        .build()
        .unwrap();
    let layer = |name: &str, import: &str| {
        NativeModule::builder(name)
            .import(import, "0ir_iI")
            .async_function("f", |caller: Caller<()>, a: i32, counted: Arc<Counted>| async move {
                let function = caller.import(0)?.clone();
                caller.yield_now().await?;
                let (one, other): (i32, i64) = caller.call(&function, (a + 1, counted.clone())).await?;
                caller.yield_now().await?;
                drop(counted);
                Ok::<_, Error>((one + 1, other + 1))
            })
            .build()
            .unwrap()
    };
    context([inner, layer("middle", "inner.f"), layer("outer", "middle.f")])
}

// 2
#[test]
fn an_import_that_answers_results_may_yield_and_wait_three_levels_deep() {
    let (semaphore, count) = (Semaphore::new(0), Count::default());
    let context = three_deep(&semaphore);
    let function = context.lookup("outer.f").unwrap();
    let mut state = InvocationState::new();
    let mut outputs = Vec::new();
    for round in 0..2 {
        let inputs = [Value::I32(round), count.reference().into()];
        let mut step = context.begin(&mut state, &function, &InvocationOptions::new(), &inputs).unwrap();
        drop(inputs);
        let (mut yields, mut waits) = (0, 0);
        let done = loop {
            step = match step {
                Step::Yielded(yielded) => {
                    yields += 1;
                    yielded.resume()
                }
                Step::Waiting(waiting) => {
                    waits += 1;
                    assert_eq!(waiting.frame().kind(), WaitKind::All);
                    semaphore.signal_if_later(1, None).unwrap();
                    waiting.wait(Duration::from_secs(60)).resume()
                }
                Step::Done(done) => break done,
            };
        };
        done.end(&mut outputs).unwrap().unwrap();
        assert_eq!((yields, waits), (6, 1), "in the second round the wait is over at once, and a step all the same");
        assert_eq!(count.get(), 0);
    }
    assert_eq!(outputs, [Value::I32(5), Value::I64(22), Value::I32(6), Value::I64(32)]);
}

// 3
#[test]
fn a_frame_is_found_with_two_and_more_above_it() {
    let itself = Arc::new(std::sync::Mutex::new(None::<Function>));
    let known = itself.clone();
    let module = NativeModule::builder("m")
        .async_function("f", move |caller: Caller<()>, depth: i32| {
            let itself = known.lock().unwrap().clone().unwrap();
            async move {
                caller.yield_now().await?;
                if depth == 0 {
                    return Ok::<_, Error>(0);
                }
                let below: i32 = caller.call(&itself, (depth - 1,)).await?;
                caller.yield_now().await?;
                Ok(below + 1)
            }
        })
        .build()
        .unwrap();
    let context = context([module]);
    let function = context.lookup("m.f").unwrap();
    *itself.lock().unwrap() = Some(function.clone());
    let mut outputs = Vec::new();
    context.invoke(&function, &[Value::I32(100)], &mut outputs).unwrap();
    assert_eq!(outputs, [Value::I32(100)]);
    // The ceiling of the stack is met before that of the thread.
    let error = context.invoke(&function, &[Value::I32(i32::MAX)], &mut outputs).unwrap_err();
    assert_eq!(error.code(), Code::ResourceExhausted);
    assert!(error.backtrace().len() > 1000);
    context.invoke(&function, &[Value::I32(3)], &mut outputs).unwrap();
    assert_eq!(outputs[1..], [Value::I32(3)], "the next call finds everything in order");
    itself.lock().unwrap().take(); // a function that knows itself would live for ever
}

// 4
#[test]
fn references_among_results_are_given_up_on_failure() {
    let count = Count::default();
    let counted = count.clone();
    let module = NativeModule::builder("m")
        .raw_function("half", "0_rrr", move |_, call| {
            call.results().push_ref(counted.reference());
            Err(Error::new(Code::DataLoss, "after the first result"))
        })
        .build()
        .unwrap();
    let context = context([module]);
    let half = context.lookup("m.half").unwrap();
    let mut outputs = Vec::new();
    let error = context.invoke(&half, &(), &mut outputs).unwrap_err();
    assert_eq!(error.code(), Code::DataLoss);
    assert_eq!((count.get(), outputs.len()), (0, 0));

    let mut state = InvocationState::new();
    let step = context.begin(&mut state, &half, &InvocationOptions::new(), &()).unwrap();
    assert_eq!(count.get(), 0);
    let over = done(step);
    assert_eq!(over.end(&mut outputs).unwrap().unwrap_err().code(), Code::DataLoss);
}

#[test]
fn references_among_results_are_given_up_when_they_are_not_taken() {
    let count = Count::default();
    let counted = count.clone();
    let module = NativeModule::builder("m").function("make", move |_: &()| counted.reference()).build().unwrap();
    let context = context([module]);
    let make = context.lookup("m.make").unwrap();
    assert_eq!(context.invoke(&make, &(), &mut ()).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(count.get(), 0);
    let mut state = InvocationState::new();
    let step = context.begin(&mut state, &make, &InvocationOptions::new(), &()).unwrap();
    assert_eq!(count.get(), 1);
    drop(step);
    assert_eq!(count.get(), 0);
}

fn waiter(all: bool, one: &Semaphore, other: &Semaphore) -> Context {
    let (one, other) = (one.clone(), other.clone());
    let module = NativeModule::builder("m")
        .async_function("wait", move |caller: Caller<()>| {
            let sources = [WaitSource::semaphore(&one, 1), WaitSource::semaphore(&other, 1)];
            async move {
                let frame = if all { WaitFrame::all(sources) } else { WaitFrame::any(sources) };
                caller.wait(frame).await.map(|index| index as i32)
            }
        })
        .build()
        .unwrap();
    context([module])
}

// 5
#[test]
fn a_synchronous_call_waits_for_any_of_several() {
    let (one, other) = (Semaphore::new(0), Semaphore::new(0));
    let context = waiter(false, &one, &other);
    let wait = context.lookup("m.wait").unwrap();
    let signaller = std::thread::spawn(move || other.signal(1, None).unwrap());
    let mut outputs = Vec::new();
    context.invoke(&wait, &(), &mut outputs).unwrap();
    signaller.join().unwrap();
    assert_eq!(outputs, [Value::I32(1)], "the second source, though the first never comes");
}

#[test]
fn a_synchronous_call_waits_for_all_of_several() {
    let (one, other) = (Semaphore::new(0), Semaphore::new(0));
    let context = waiter(true, &one, &other);
    let wait = context.lookup("m.wait").unwrap();
    let signaller = std::thread::spawn(move || {
        other.signal(1, None).unwrap();
        one.signal(1, None).unwrap();
    });
    let mut outputs = Vec::new();
    context.invoke(&wait, &(), &mut outputs).unwrap();
    signaller.join().unwrap();
    assert_eq!(outputs, [Value::I32(0)]);
}

// 7
#[test]
fn a_float_for_an_integer_is_an_error_and_no_zero() {
    let module = NativeModule::builder("m")
        .function("i", |_: &(), a: i32| a)
        .function("f", |_: &(), a: f32| a)
        .function("span", |_: &(), a: Vec<i64>| a.len() as i32)
        .build()
        .unwrap();
    let context = context([module]);
    let refused = |name: &str, input: Value| {
        let function = context.lookup(name).unwrap();
        let error = context.invoke(&function, &[input], &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        error.to_string()
    };
    assert_eq!(refused("m.i", Value::F32(1.5)), "m.i: input 0: expected i32, found f32 (INVALID_ARGUMENT)");
    assert_eq!(refused("m.f", Value::I32(1)), "m.f: input 0: expected f32, found i32 (INVALID_ARGUMENT)");
    assert_eq!(refused("m.i", Value::I64(1)), "m.i: input 0: expected i32, found i64 (INVALID_ARGUMENT)");
    let floats = List::new(ElementType::F64);
    floats.push(Value::F64(1.0)).unwrap();
    assert!(refused("m.span", Ref::new(floats).into()).contains("input 0: element 0: expected i64, found f64"));
}

// 8
#[test]
fn a_begin_that_fails_leaves_nothing() {
    let count = Count::default();
    let module = NativeModule::builder("m").function("f", |_: &(), _: Ref, _: Ref, _: i32| ()).build().unwrap();
    let context = context([module]);
    let function = context.lookup("m.f").unwrap();
    let mut state = InvocationState::new();
    let options = InvocationOptions::new();
    let inputs = [count.reference().into(), count.reference().into(), Value::F32(0.0)];
    let error = context.begin(&mut state, &function, &options, &inputs).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    drop(inputs);
    assert_eq!(count.get(), 0, "what was packed before the wrong one is given up");
    let few = context.begin(&mut state, &function, &options, &()).unwrap_err();
    assert_eq!(few.code(), Code::InvalidArgument);
    let stranger = support::context([]);
    let foreign = stranger.begin(&mut state, &function, &options, &()).unwrap_err();
    assert_eq!(foreign.code(), Code::InvalidArgument);
    let inputs = [Ref::NULL.into(), Ref::NULL.into(), Value::I32(0)];
    let over = done(context.begin(&mut state, &function, &options, &inputs).unwrap());
    over.end(&mut ()).unwrap().unwrap();
}

#[test]
fn a_state_that_was_never_begun_is_dropped_like_any_other() {
    drop(InvocationState::new());
    let state = InvocationState::default();
    assert_eq!(state.stack_capacity(), 0, "nothing is there that could be given up");
}

#[test]
fn inputs_are_captured_when_the_call_begins() {
    let count = Count::default();
    let module = NativeModule::builder("m")
        .async_function("f", |caller: Caller<()>, counted: Arc<Counted>, numbers: Vec<i32>| async move {
            caller.yield_now().await?;
            Ok::<_, Error>((counted.count().get() as i32, numbers.iter().sum::<i32>()))
        })
        .build()
        .unwrap();
    let context = context([module]);
    let function = context.lookup("m.f").unwrap();
    let numbers = Arc::new(List::new(ElementType::I32));
    numbers.push(Value::I32(20)).unwrap();
    numbers.push(Value::I32(22)).unwrap();
    let inputs = List::new(ElementType::Any);
    inputs.push(count.reference().into()).unwrap();
    inputs.push(numbers.clone().into()).unwrap();
    let mut state = InvocationState::new();
    let step = context.begin(&mut state, &function, &InvocationOptions::new(), &inputs).unwrap();
    inputs.clear();
    numbers.clear();
    let outputs = List::new(ElementType::Any);
    let mut outputs = outputs;
    step.finish().end(&mut outputs).unwrap().unwrap();
    assert_eq!(outputs.to_vec(), [Value::I32(1), Value::I32(42)]);
    assert_eq!(count.get(), 0);
}

fn sleeper() -> Context {
    let module = NativeModule::builder("m")
        .async_function("sleep", |caller: Caller<()>, nanoseconds: i64| async move {
            let slept = caller.sleep_until(Time::from_nanoseconds(nanoseconds as u64)).await;
            Ok::<_, Error>(slept.err().map_or(0, |error| error.code() as i32))
        })
        .build()
        .unwrap();
    context([module])
}

// 9
#[test]
fn a_sleep_cut_short_is_told_as_a_deadline_and_a_whole_one_as_none() {
    let context = sleeper();
    let sleep = context.lookup("m.sleep").unwrap();
    let mut state = InvocationState::new();
    let far = (Clock::monotonic().now() + Duration::from_secs(3600)).as_nanoseconds() as i64;
    let options = InvocationOptions::new();
    let mut outputs = Vec::new();

    let wait = waiting(context.begin(&mut state, &sleep, &options, &[Value::I64(far)]).unwrap());
    assert_eq!(wait.frame().kind(), WaitKind::Until);
    assert_eq!(wait.next_time(), Some(Time::from_nanoseconds(far as u64)));
    let over = done(wait.wait(Duration::ZERO).resume());
    over.end(&mut outputs).unwrap().unwrap();

    let step = context.begin(&mut state, &sleep, &options, &[Value::I64(0)]).unwrap();
    step.finish().end(&mut outputs).unwrap().unwrap();

    let late = options.deadline(Duration::ZERO);
    let wait = waiting(context.begin(&mut state, &sleep, &late, &[Value::I64(far)]).unwrap());
    assert!(wait.deadline().is_some());
    let over = done(wait.wait(Duration::from_secs(60)).resume());
    over.end(&mut outputs).unwrap().unwrap();

    let exceeded = Value::I32(Code::DeadlineExceeded as i32);
    assert_eq!(outputs, [exceeded.clone(), Value::I32(0), exceeded]);
}

#[test]
fn a_host_that_waits_by_its_own_means_gives_the_outcome_to_the_function() {
    let context = sleeper();
    let sleep = context.lookup("m.sleep").unwrap();
    let mut state = InvocationState::new();
    let mut outputs = Vec::new();
    for outcome in [Ok(0), Err(Error::new(Code::Cancelled, "the host has enough"))] {
        let wait =
            waiting(context.begin(&mut state, &sleep, &InvocationOptions::new(), &[Value::I64(i64::MAX)]).unwrap());
        let over = done(wait.provide(outcome).resume());
        over.end(&mut outputs).unwrap().unwrap();
    }
    assert_eq!(outputs, [Value::I32(0), Value::I32(Code::Cancelled as i32)]);
}

#[test]
fn the_words_of_what_failed_reach_the_function_that_waits() {
    let semaphore = Semaphore::new(0);
    let waited = semaphore.clone();
    let module = NativeModule::builder("m")
        .async_function("wait", move |caller: Caller<()>| {
            let source = WaitSource::semaphore(&waited, 1);
            async move { caller.wait_for(source).await }
        })
        .build()
        .unwrap();
    let context = context([module]);
    semaphore.fail(Status::new(Code::DataLoss, Operation::FileRead).with_message("sector 7 is gone"));
    let error = context.invoke(&context.lookup("m.wait").unwrap(), &(), &mut ()).unwrap_err();
    assert_eq!(error.code(), Code::DataLoss);
    assert!(error.to_string().contains("sector 7 is gone"), "{error}");
    assert_eq!(error.status().unwrap().operation(), Operation::FileRead);
    assert_eq!(error.backtrace().len(), 1);
    assert_eq!(error.backtrace()[0].function, "m.wait");
    assert_eq!(error.backtrace()[0].kind, FrameKind::Native);
    assert!(error.call().is_some());
}

// 10
#[test]
fn a_fork_has_the_state_of_its_own_module() {
    let counter = |name: &str, first: usize| {
        NativeModule::with_state(name, move || Ok(AtomicUsize::new(first)))
            .function("next", |state: &AtomicUsize| state.fetch_add(1, Ordering::SeqCst) as i32)
            .fork(|state| Ok(AtomicUsize::new(state.load(Ordering::SeqCst))))
            .build()
            .unwrap()
    };
    let context = context([counter("a", 10), counter("b", 20)]);
    let next = |context: &Context, name: &str| {
        let mut outputs = Vec::new();
        context.invoke(&context.lookup(name).unwrap(), &(), &mut outputs).unwrap();
        outputs[0].i32().unwrap()
    };
    assert_eq!((next(&context, "a.next"), next(&context, "b.next"), next(&context, "b.next")), (10, 20, 21));
    let fork = context.fork().unwrap();
    assert_eq!((next(&fork, "a.next"), next(&fork, "b.next")), (11, 22));
    assert_eq!((next(&context, "a.next"), next(&context, "b.next")), (11, 22), "each goes on by itself");
    assert!(fork.is_frozen());
    let stranger = context.lookup("a.next").unwrap();
    assert_eq!(fork.invoke(&stranger, &(), &mut Vec::new()).unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_module_that_cannot_be_forked_says_so() {
    let module = NativeModule::with_state("m", || Ok(7)).build().unwrap();
    let error = context([module]).fork().unwrap_err();
    assert_eq!(error.code(), Code::Unimplemented);
    assert!(error.to_string().contains("module \"m\""));
}

// 11
#[test]
fn initializers_and_deinitializers_and_notifications_may_yield_and_wait() {
    let semaphore = Semaphore::new(0);
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let module = |name: &'static str| {
        let (waited, log) = (semaphore.clone(), log.clone());
        let step = move |what: &'static str| {
            let (waited, log) = (waited.clone(), log.clone());
            move |caller: Caller<()>| {
                let (waited, log) = (waited.clone(), log.clone());
                async move {
                    caller.yield_now().await?;
                    caller.wait_for(WaitSource::semaphore(&waited, 1)).await?;
                    log.lock().unwrap().push((what, name));
                    Ok::<_, Error>(())
                }
            }
        };
        NativeModule::builder(name).initializer(step("init")).deinitializer(step("deinit")).build().unwrap()
    };
    let modules = [module("a"), module("b")];
    let signaller = std::thread::spawn(move || semaphore.signal(1, None).unwrap());
    let builder = Context::builder(&Instance::new());
    let context = modules.into_iter().fold(builder, |builder, module| builder.module(module)).build().unwrap();
    signaller.join().unwrap();
    assert_eq!(*log.lock().unwrap(), [("init", "a"), ("init", "b")]);
    context.close().unwrap();
    assert_eq!(log.lock().unwrap()[2..], [("deinit", "b"), ("deinit", "a")]);
}
