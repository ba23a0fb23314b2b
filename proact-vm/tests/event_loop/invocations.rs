//! Calls on loops.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proact::operation::{Nop, Timer};
use proact::proactor::{Builder, ProactorThread};
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::event_loop::{Commands, InlineLoop, Loop, ProactorLoop};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::{WaitFrame, WaitSource};
use proact_vm::{
    Arena, AsyncInvocation, Context, ElementType, Error, Function, Instance, InvocationCallback, InvocationOptions,
    List, Overlap, Ref, Result, Value,
};

use super::stage::Stage;
use super::support::{Count, Counted, context};

on_every_loop! {
    a_call_answers_its_results
    a_call_that_stops_often_and_deep_answers_the_same
    a_failure_has_a_backtrace_and_no_results
    inputs_are_captured
    a_deadline_ends_a_wait_and_then_the_call
    the_deadline_of_a_wait_is_the_functions_to_handle
    a_wait_for_any_is_told_which
    a_function_may_await_an_operation
    what_a_callback_answers_is_the_loops
    one_storage_serves_many_calls
    a_loop_that_ends_before_the_call_begins_aborts_it
    a_loop_that_ends_while_the_call_yields_aborts_it
    a_loop_that_ends_while_the_call_waits_aborts_it
    a_refused_call_comes_back_untold
    calls_of_one_context_have_their_turns
    an_arena_gets_back_what_a_call_had
}

type Told = Arc<Mutex<Vec<Result<Vec<Value>>>>>;

/// Starts a call whose end is noted.
fn start(event_loop: &dyn Loop, context: &Context, name: &str, inputs: &[Value], told: &Told) -> Result {
    start_with(event_loop, context, name, &InvocationOptions::new(), inputs, told)
}

fn start_with(
    event_loop: &dyn Loop,
    context: &Context,
    name: &str,
    options: &InvocationOptions,
    inputs: &[Value],
    told: &Told,
) -> Result {
    let told = told.clone();
    let call = AsyncInvocation::once(move |outputs, event_loop| {
        assert_eq!(event_loop.is_none(), matches!(&outputs, Err(error) if error.code() == Code::Aborted));
        told.lock().unwrap().push(outputs);
        Ok(())
    });
    context.invoke_on(event_loop, call, &context.lookup(name)?, options, inputs)?;
    Ok(())
}

#[track_caller]
fn only(told: &Told) -> Result<Vec<Value>> {
    let mut told = told.lock().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

/// `low`: plain functions, waits, failures. `high` calls them and stops between.
fn modules(count: &Count, never: &Semaphore) -> Context {
    let (never, count) = (never.clone(), count.clone());
    let later = never.clone();
    let low = NativeModule::builder("low")
        .function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b))
        .function("fail", |_: &()| Err::<(), _>(Error::new(Code::DataLoss, "torn")))
        .async_function("sleep", |caller: Caller<()>, ms: i64| async move {
            caller.sleep(Duration::from_millis(ms as u64)).await
        })
        .async_function("yield_for_ever", {
            let count = count.clone();
            move |caller: Caller<()>| {
                let held = count.one();
                async move {
                    let _held = held;
                    for _ in 0..u64::MAX {
                        caller.yield_now().await?;
                    }
                    Ok::<_, Error>(())
                }
            }
        })
        .async_function("wait_for_ever", {
            move |caller: Caller<()>| {
                let (held, never) = (count.one(), never.clone());
                async move {
                    let _held = held;
                    caller.wait_for(WaitSource::semaphore(&never, 1)).await
                }
            }
        })
        .async_function("late", move |caller: Caller<()>| {
            let never = later.clone();
            async move {
                let soon = caller.clock().now() + Duration::from_millis(2);
                let frame = WaitFrame::all([WaitSource::semaphore(&never, 1)]).deadline(soon);
                Ok::<_, Error>(caller.wait(frame).await.unwrap_err().code() as i32)
            }
        })
        .async_function("handles_once", |caller: Caller<()>| async move {
            let first = caller.sleep(Duration::from_secs(3600)).await.unwrap_err();
            assert_eq!(first.code(), Code::DeadlineExceeded);
            caller.sleep(Duration::from_secs(3600)).await
        })
        .async_function("any", |caller: Caller<()>, which: i32| async move {
            let semaphores = [(); 3].map(|()| Semaphore::new(0));
            let sources = semaphores.iter().map(|semaphore| WaitSource::semaphore(semaphore, 1));
            let frame = WaitFrame::any(sources);
            semaphores[which as usize].signal(1, None)?;
            Ok::<_, Error>(caller.wait(frame).await? as i32)
        })
        .async_function("length", |caller: Caller<()>, list: Arc<List>, held: Ref| async move {
            caller.yield_now().await?;
            drop(held);
            Ok::<_, Error>(list.len() as i32)
        })
        .build()
        .unwrap();
    let high = NativeModule::builder("high")
        .import("low.add", "0ii_i")
        .import("low.sleep", "0I")
        .async_function("sum", |caller: Caller<()>, n: i32| async move {
            let mut sum = 0;
            for i in 0..n {
                caller.yield_now().await?;
                caller.call::<_, ()>(caller.import(1)?, (i64::from(i % 2),)).await?;
                sum = caller.call(caller.import(0)?, (sum, i)).await?;
            }
            Ok::<_, Error>(sum)
        })
        .build()
        .unwrap();
    let top = NativeModule::builder("top")
        .import("high.sum", "0i_i")
        .async_function("twice", |caller: Caller<()>, n: i32| async move {
            let once: i32 = caller.call(caller.import(0)?, (n,)).await?;
            let again: i32 = caller.call(caller.import(0)?, (n,)).await?;
            Ok::<_, Error>(once + again)
        })
        .build()
        .unwrap();
    context([low, high, top])
}

fn plain() -> Context {
    modules(&Count::default(), &Semaphore::new(0))
}

fn a_call_answers_its_results(stage: &Stage) {
    let (told, context) = (Told::default(), plain());
    start(stage.event_loop(), &context, "low.add", &[Value::I32(2), Value::I32(3)], &told).unwrap();
    stage.drain();
    assert_eq!(only(&told).unwrap(), [Value::I32(5)]);
}

fn a_call_that_stops_often_and_deep_answers_the_same(stage: &Stage) {
    let (told, context) = (Told::default(), plain());
    start(stage.event_loop(), &context, "top.twice", &[Value::I32(6)], &told).unwrap();
    stage.drain();
    let mut outputs = Vec::new();
    context.invoke(&context.lookup("top.twice").unwrap(), &[Value::I32(6)], &mut outputs).unwrap();
    assert_eq!(only(&told).unwrap(), outputs);
    assert_eq!(outputs, [Value::I32(30)]);
}

fn a_failure_has_a_backtrace_and_no_results(stage: &Stage) {
    let (told, context) = (Told::default(), plain());
    start(stage.event_loop(), &context, "low.fail", &[], &told).unwrap();
    stage.drain();
    let error = only(&told).unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::DataLoss, "torn"));
    assert_eq!(error.backtrace()[0].function, "low.fail");
    assert!(error.call().is_some());
    assert!(stage.failure().is_none(), "a call's failure is not the loop's");
}

fn inputs_are_captured(stage: &Stage) {
    let (told, count, context) = (Told::default(), Count::default(), plain());
    let list = Arc::new(List::new(ElementType::I32));
    list.push(Value::I32(1)).unwrap();
    let inputs = List::new(ElementType::Any);
    inputs.push(Value::Ref(Ref::from(list))).unwrap();
    inputs.push(Value::Ref(count.reference())).unwrap();
    let call = AsyncInvocation::once({
        let told = told.clone();
        move |outputs, _| {
            told.lock().unwrap().push(outputs);
            Ok(())
        }
    });
    let options = InvocationOptions::new();
    context.invoke_on(stage.event_loop(), call, &context.lookup("low.length").unwrap(), &options, &inputs).unwrap();
    inputs.clear();
    drop(inputs);
    stage.drain();
    assert_eq!(only(&told).unwrap(), [Value::I32(1)]);
    assert_eq!(count.get(), 0);
}

fn a_deadline_ends_a_wait_and_then_the_call(stage: &Stage) {
    let (told, context) = (Told::default(), plain());
    let began = stage.event_loop().clock().now();
    let options = InvocationOptions::new().deadline(Duration::from_millis(10));
    start_with(stage.event_loop(), &context, "low.handles_once", &options, &[], &told).unwrap();
    stage.drain();
    assert_eq!(only(&told).unwrap_err().code(), Code::DeadlineExceeded);
    let took = stage.event_loop().clock().now() - began;
    assert!(took >= Duration::from_millis(10));
    if let Stage::Deterministic(..) = stage {
        assert_eq!(took, Duration::from_millis(10), "the loop's clock is the call's");
    }
}

fn the_deadline_of_a_wait_is_the_functions_to_handle(stage: &Stage) {
    let (told, context) = (Told::default(), plain());
    let options = InvocationOptions::new().deadline(Duration::from_secs(3600));
    start_with(stage.event_loop(), &context, "low.late", &options, &[], &told).unwrap();
    stage.drain();
    assert_eq!(only(&told).unwrap(), [Value::I32(Code::DeadlineExceeded as i32)]);
}

fn a_wait_for_any_is_told_which(stage: &Stage) {
    for which in 0..3 {
        let (told, context) = (Told::default(), plain());
        start(stage.event_loop(), &context, "low.any", &[Value::I32(which)], &told).unwrap();
        stage.drain();
        assert_eq!(only(&told).unwrap(), [Value::I32(which)]);
    }
}

/// A future that no wait frame knows of: the function is woken by it.
fn a_function_may_await_an_operation(stage: &Stage) {
    let thread = matches!(stage, Stage::Inline(_)).then(|| ProactorThread::spawn(Builder::new()).unwrap());
    let handle = match stage {
        Stage::Inline(_) => thread.as_ref().unwrap().handle().clone(),
        Stage::Proactor(event_loop, _) => event_loop.handle().clone(),
        Stage::Deterministic(event_loop, _) => event_loop.handle().clone(),
    };
    let module = NativeModule::builder("m")
        .async_function("f", move |caller: Caller<()>| {
            let handle = handle.clone();
            async move {
                let soon = handle.clock().now() + Duration::from_millis(2);
                handle.future(Timer::new(soon)).await.1.result?;
                caller.yield_now().await?;
                handle.future(Nop).await.1.result?;
                Ok::<_, Error>(i32::from(handle.clock().now() >= soon))
            }
        })
        .build()
        .unwrap();
    let (told, context) = (Told::default(), context([module]));
    start(stage.event_loop(), &context, "m.f", &[], &told).unwrap();
    stage.drain();
    assert_eq!(only(&told).unwrap(), [Value::I32(1)]);
    if let Some(thread) = thread {
        thread.join().unwrap();
    }
}

fn what_a_callback_answers_is_the_loops(stage: &Stage) {
    let context = plain();
    let call = AsyncInvocation::once(|outputs, _| Err(Error::new(Code::DataLoss, format!("{:?}", outputs?))));
    let inputs = [Value::I32(2), Value::I32(3)];
    let add = context.lookup("low.add").unwrap();
    context.invoke_on(stage.event_loop(), call, &add, &InvocationOptions::new(), &inputs).unwrap();
    stage.drain();
    assert_eq!(stage.failure(), Some(Code::DataLoss));
}

/// Calls again in its own storage, until it has counted down.
struct Again {
    context: Context,
    function: Function,
    left: u32,
    address: Option<usize>,
    ended: Arc<AtomicUsize>,
}

impl InvocationCallback for Again {
    fn done(mut call: Box<AsyncInvocation<Again>>, result: Result, event_loop: Option<&dyn Loop>) -> Result {
        result?;
        assert_eq!(call.outputs(), [Value::I32(call.callback.left as i32 + 1)]);
        let address = std::ptr::from_ref(&*call).addr();
        assert_eq!(*call.callback.address.get_or_insert(address), address);
        if call.callback.left == 0 {
            call.callback.ended.fetch_add(1, Ordering::SeqCst);
            return Ok(());
        }
        call.callback.left -= 1;
        let (context, function) = (call.callback.context.clone(), call.callback.function.clone());
        let inputs = [Value::I32(call.callback.left as i32), Value::I32(1)];
        let event_loop = event_loop.expect("it has not ended");
        Ok(context.invoke_on(event_loop, call, &function, &InvocationOptions::new(), &inputs)?)
    }
}

fn one_storage_serves_many_calls(stage: &Stage) {
    let context = plain();
    let function = context.lookup("low.add").unwrap();
    let ended = Arc::new(AtomicUsize::new(0));
    let again =
        Again { context: context.clone(), function: function.clone(), left: 500, address: None, ended: ended.clone() };
    let (call, inputs) = (AsyncInvocation::new(again), [Value::I32(500), Value::I32(1)]);
    context.invoke_on(stage.event_loop(), call, &function, &InvocationOptions::new(), &inputs).unwrap();
    stage.drain();
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(stage.failure().is_none());
}

fn a_loop_that_ends_before_the_call_begins_aborts_it(stage: &Stage) {
    let (told, count) = (Told::default(), Count::default());
    let context = modules(&count, &Semaphore::new(0));
    let own = told.clone();
    stage.run(move |event_loop| {
        start(event_loop, &context, "low.yield_for_ever", &[], &own)?;
        Err(Error::new(Code::DataLoss, "enough"))
    });
    assert_eq!((only(&told).unwrap_err().code(), count.get()), (Code::Aborted, 0));
}

fn a_loop_that_ends_while_the_call_yields_aborts_it(stage: &Stage) {
    let (told, count) = (Told::default(), Count::default());
    let context = modules(&count, &Semaphore::new(0));
    let (own, inside) = (told.clone(), count.clone());
    stage.run(move |event_loop| {
        start(event_loop, &context, "low.yield_for_ever", &[], &own)?;
        fn look(event_loop: &dyn Loop, inside: Count) -> Result {
            if inside.get() == 0 {
                return Ok(event_loop.call(move |event_loop| look(event_loop?, inside))?);
            }
            Err(Error::new(Code::DataLoss, "enough"))
        }
        look(event_loop, inside)
    });
    let error = only(&told).unwrap_err();
    assert_eq!((error.code(), count.get()), (Code::Aborted, 0));
    assert_eq!(error.backtrace()[0].function, "low.yield_for_ever");
}

fn a_loop_that_ends_while_the_call_waits_aborts_it(stage: &Stage) {
    let (told, count, never) = (Told::default(), Count::default(), Semaphore::new(0));
    let context = modules(&count, &never);
    let own = told.clone();
    stage.run(move |event_loop| {
        start(event_loop, &context, "low.wait_for_ever", &[], &own)?;
        event_loop.wait_until(Duration::from_millis(5), |_| Err(Error::new(Code::DataLoss, "enough")))?;
        Ok(())
    });
    assert_eq!((only(&told).unwrap_err().code(), count.get()), (Code::Aborted, 0));
}

fn a_refused_call_comes_back_untold(stage: &Stage) {
    struct Counts(Counted);
    impl InvocationCallback for Counts {
        fn done(_: Box<AsyncInvocation<Counts>>, _: Result, _: Option<&dyn Loop>) -> Result {
            panic!("it was refused");
        }
    }
    let (context, count) = (plain(), Count::default());
    let (add, options) = (context.lookup("low.add").unwrap(), InvocationOptions::new());
    let call = AsyncInvocation::new(Counts(count.one()));
    // Inputs that do not fit, before anything else.
    let refused = context.invoke_on(stage.event_loop(), call, &add, &options, &[Value::F32(1.0), Value::I32(1)]);
    let refused = refused.unwrap_err();
    assert_eq!(refused.error.code(), Code::InvalidArgument, "{}", refused.error);
    assert_eq!(refused.call.callback.0.count().get(), 1, "the callback is what it was");
    // A function of another context.
    let other = plain().lookup("low.add").unwrap();
    let inputs = [Value::I32(1), Value::I32(1)];
    let refused = context.invoke_on(stage.event_loop(), refused.call, &other, &options, &inputs).unwrap_err();
    assert_eq!(refused.error.code(), Code::InvalidArgument);
    // A loop that has ended.
    stage.run(|_| Err(Error::new(Code::DataLoss, "enough")));
    let refused = context.invoke_on(stage.event_loop(), refused.call, &add, &options, &inputs).unwrap_err();
    assert_eq!((refused.error.code(), count.get()), (Code::Aborted, 1));
    drop(refused);
    assert_eq!(count.get(), 0);
}

fn calls_of_one_context_have_their_turns(stage: &Stage) {
    let inside = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (own, highest) = (inside.clone(), most.clone());
    let module = || {
        NativeModule::builder("m").async_function("f", {
            let (own, highest) = (own.clone(), highest.clone());
            move |caller: Caller<()>| {
                let (own, highest) = (own.clone(), highest.clone());
                async move {
                    highest.fetch_max(own.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    caller.yield_now().await?;
                    caller.sleep(Duration::from_millis(1)).await?;
                    own.fetch_sub(1, Ordering::SeqCst);
                    Ok::<_, Error>(())
                }
            }
        })
    };
    let serial = Context::builder(&Instance::new()).module(module().build().unwrap()).build().unwrap();
    let refusing = Context::builder(&Instance::new()).overlap(Overlap::Refuse);
    let refusing = refusing.module(module().build().unwrap()).build().unwrap();
    let (told, refused) = (Told::default(), Told::default());
    let (own, other) = (told.clone(), refused.clone());
    stage.run(move |event_loop| (0..4).try_for_each(|_| start(event_loop, &serial, "m.f", &[], &own)));
    assert_eq!(most.load(Ordering::SeqCst), 1);
    let told = std::mem::take(&mut *told.lock().unwrap());
    assert!(told.len() == 4 && told.iter().all(Result::is_ok), "{told:?}");
    stage.run(move |event_loop| (0..4).try_for_each(|_| start(event_loop, &refusing, "m.f", &[], &other)));
    let told = std::mem::take(&mut *refused.lock().unwrap());
    let code = |result: &Result<Vec<Value>>| result.as_ref().err().map(Error::code);
    assert_eq!(told.iter().filter(|result| result.is_ok()).count(), 1);
    assert_eq!(told.iter().filter(|result| code(result) == Some(Code::FailedPrecondition)).count(), 3);
    assert_eq!(inside.load(Ordering::SeqCst), 0);
}

fn an_arena_gets_back_what_a_call_had(stage: &Stage) {
    let (told, arena, count) = (Told::default(), Arena::new(64 << 10), Count::default());
    let context = modules(&count, &Semaphore::new(0));
    let options = InvocationOptions::new().arena(&arena);
    start_with(stage.event_loop(), &context, "top.twice", &options, &[Value::I32(3)], &told).unwrap();
    stage.drain();
    assert_eq!(only(&told).unwrap(), [Value::I32(6)]);
    assert!(arena.in_use() == 0 && arena.allocated() > 0);
    // Also of a call that a loop aborts.
    let own = told.clone();
    stage.run(move |event_loop| {
        start_with(event_loop, &context, "low.wait_for_ever", &options, &[], &own)?;
        event_loop.wait_until(Duration::from_millis(2), |_| Err(Error::new(Code::DataLoss, "enough")))?;
        Ok(())
    });
    assert_eq!((only(&told).unwrap_err().code(), arena.in_use(), count.get()), (Code::Aborted, 0, 0));
}

#[test]
fn a_function_that_panics_is_told_as_a_failure_and_the_panic_goes_on() {
    let module = NativeModule::builder("m")
        .function("fine", |_: &()| ())
        .function("panics", |_: &()| {
            if true {
                panic!("on purpose")
            }
        })
        .async_function("later", |caller: Caller<()>| async move {
            caller.yield_now().await?;
            if true {
                panic!("on purpose");
            }
            Ok::<_, Error>(())
        })
        .build()
        .unwrap();
    let context = context([module]);
    for name in ["m.panics", "m.later"] {
        let (told, event_loop) = (Told::default(), InlineLoop::new());
        let caught =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| start(&event_loop, &context, name, &[], &told)));
        assert!(caught.is_err());
        assert_eq!(only(&told).unwrap_err().code(), Code::Internal);
        // The context's turn was given back, and the loop goes on.
        start(&event_loop, &context, "m.fine", &[], &told).unwrap();
        assert_eq!(only(&told).unwrap(), []);
    }
}

#[test]
fn a_loop_that_is_full_when_the_call_stops_ends_it_and_tells_so_once() {
    for stops in ["m.yields", "m.waits"] {
        let mut proactor = Builder::new().build().unwrap();
        let event_loop = ProactorLoop::with_capacity(proactor.handle(), 1);
        let (own, other) = (event_loop.clone(), event_loop.clone());
        let module = NativeModule::builder("m")
            .async_function("yields", move |caller: Caller<()>| {
                own.call(|_| Ok(())).unwrap(); // takes its place
                async move { caller.yield_now().await }
            })
            .async_function("waits", move |caller: Caller<()>| {
                other.call(|_| Ok(())).unwrap();
                async move { caller.sleep(Duration::from_secs(3600)).await }
            })
            .build()
            .unwrap();
        let (context, told) = (context([module]), Told::default());
        start(&event_loop, &context, stops, &[], &told).unwrap();
        event_loop.run(&mut proactor, Timeout::Infinite).unwrap();
        let error = only(&told).unwrap_err();
        assert_eq!(error.code(), Code::ResourceExhausted);
        assert!(error.backtrace().iter().any(|frame| frame.function == stops), "{error:?}");
        assert!(event_loop.error().is_none());
    }
}
