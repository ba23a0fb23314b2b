//! Calls from the host that hold its thread.

mod support;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use proact::sync::Semaphore;
use proact::time::{Time, Timeout};
use proact_vm::executor::Executor;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::{WaitFrame, WaitSource};
use proact_vm::{Context, Error, Instance, InvocationOptions, InvocationState, InvocationStatus, Policy, Step, Value};
use support::{Count, Counted};

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

/// A time that never comes asks for no timers, and is no failure of those that are not there.
#[test]
fn a_deadline_without_end_is_none() {
    let semaphore = Semaphore::new(0);
    let source = semaphore.clone();
    let module = NativeModule::builder("m")
        .async_function("f", move |caller: Caller<()>| {
            let wait = WaitFrame::any([WaitSource::semaphore(&source, 1), WaitSource::deadline(Time::FAR_FUTURE)]);
            async move { caller.wait(wait).await.map(|index| index as i32) }
        })
        .build()
        .unwrap();
    let context = Context::builder(&Instance::new()).module(module).build().unwrap();
    let f = context.lookup("m.f").unwrap();
    let options = InvocationOptions::new().deadline(Duration::MAX);
    let mut call = pin!(context.invoke_async(&f, &options, &()).unwrap());
    let mut cx = TaskContext::from_waker(Waker::noop());
    assert!(call.as_mut().poll(&mut cx).is_pending());
    semaphore.signal(1, None).unwrap();
    let Poll::Ready(outputs) = call.as_mut().poll(&mut cx) else { panic!() };
    assert_eq!(outputs.unwrap(), [Value::I32(0)]);

    let (executor, later) = (Executor::polled(), Semaphore::new(0));
    let policy = Policy::new().deadline(Timeout::At(Time::FAR_FUTURE)).wait_for(&later, 1);
    let held = executor.create(&context, &f, &policy, &()).unwrap();
    executor.run_until_idle();
    assert_eq!((held.status(), executor.next_time()), (InvocationStatus::Pending, None));
    later.signal(1, None).unwrap();
    executor.run_until_idle();
    assert_eq!(held.outputs(), Some(&[Value::I32(0)][..]));
}

/// A waker of a part of a future.
struct Part(#[allow(dead_code)] Counted);

impl Wake for Part {
    fn wake(self: Arc<Part>) {}
}

#[test]
fn wakers_of_parts_that_have_yet_to_ask_end_with_the_call() {
    let count = Count::default();
    let counted = count.clone();
    let module = NativeModule::builder("m")
        .async_function("f", move |caller: Caller<()>, ends: bool| {
            let counted = counted.clone();
            async move {
                let (mut one, mut other) = (pin!(caller.yield_now()), pin!(caller.yield_now()));
                poll_fn(|cx| {
                    assert!(one.as_mut().poll(cx).is_pending());
                    let waker = Waker::from(Arc::new(Part(counted.one())));
                    assert!(other.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_pending());
                    if ends { Poll::Ready(Ok::<(), Error>(())) } else { Poll::Pending }
                })
                .await
            }
        })
        .build()
        .unwrap();
    let context = Context::builder(&Instance::new()).module(module).build().unwrap();
    let (mut state, f) = (InvocationState::new(), context.lookup("m.f").unwrap());
    for ends in [true, false] {
        let inputs = [Value::I32(ends.into())];
        let step = context.begin(&mut state, &f, &InvocationOptions::new(), &inputs).unwrap();
        assert_eq!(matches!(step, Step::Done(_)), ends);
        assert_eq!(count.get(), usize::from(!ends), "{ends}");
        drop(step);
        assert_eq!(count.get(), 0, "{ends}");
    }
}
