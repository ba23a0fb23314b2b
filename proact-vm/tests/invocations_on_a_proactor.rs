//! Invocations on a proactor's thread: operations are what they wait for, and its poll what drives them.

mod support;

use std::sync::Arc;
use std::task::{Wake, Waker};
use std::time::Duration;

use proact::operation::Timer;
use proact::proactor::{Builder, Handle, Proactor};
use proact::time::Timeout;
use proact_vm::executor::Executor;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{Context, Error, Instance, InvocationStatus as Is, Policy, Value};
use support::Count;

/// Functions that wait for operations of the proactor: as a source, and as a future of their own.
fn context(handle: &Handle, count: &Count) -> Context {
    let (one, other, held) = (handle.clone(), handle.clone(), count.clone());
    let timer = |handle: &Handle, nanoseconds: i64| {
        let duration = Duration::from_nanos(nanoseconds as u64);
        let timer = handle.future(Timer::new(proact::time::Clock::monotonic().now() + duration));
        async move { timer.await.1.result.map(drop).map_err(Error::from) }
    };
    let module = NativeModule::builder("m")
        .async_function("source", move |caller: Caller<()>, nanoseconds: i64| {
            let (timer, held) = (timer(&one, nanoseconds), held.one());
            async move {
                let waited = caller.wait_for(WaitSource::future(timer)).await;
                drop(held);
                waited.map(|()| 1)
            }
        })
        .async_function("awaits", move |_: Caller<()>, nanoseconds: i64| {
            let timer = timer(&other, nanoseconds);
            async move { timer.await.map(|()| 2) }
        })
        .build()
        .unwrap();
    Context::builder(&Instance::new()).concurrent().module(module).build().unwrap()
}

fn proactor() -> Proactor {
    Builder::new().build().unwrap()
}

#[test]
fn operations_end_waits_on_the_thread_that_polls() {
    struct Polls(Handle);
    impl Wake for Polls {
        fn wake(self: Arc<Polls>) {
            self.0.wake();
        }
    }
    let mut proactor = proactor();
    let count = Count::default();
    let context = context(proactor.handle(), &count);
    let executor = Executor::polled();
    executor.on_ready(Waker::from(Arc::new(Polls(proactor.handle().clone()))));
    let invocations = ["source", "awaits"].map(|name| {
        let function = context.lookup(&format!("m.{name}")).unwrap();
        executor.create(&context, &function, &Policy::new(), &[Value::I64(1000)]).unwrap()
    });
    while executor.run_until_idle() > 0 {
        proactor.poll(Timeout::Infinite).unwrap();
    }
    let outputs: Vec<_> = invocations.iter().map(|invocation| invocation.outputs().unwrap()[0].clone()).collect();
    assert_eq!(outputs, [Value::I32(1), Value::I32(2)]);
}

#[test]
fn cancelling_an_invocation_cancels_its_operations_in_flight() {
    let mut proactor = proactor();
    let count = Count::default();
    let context = context(proactor.handle(), &count);
    let executor = Executor::polled();
    let hour = Value::I64(3_600_000_000_000);
    let invocations = ["source", "awaits"].map(|name| {
        let function = context.lookup(&format!("m.{name}")).unwrap();
        executor.create(&context, &function, &Policy::new(), std::slice::from_ref(&hour)).unwrap()
    });
    assert_eq!(executor.run_until_idle(), 2);
    proactor.poll(Timeout::Immediate).unwrap();
    assert_eq!((proactor.pending(), count.get()), (2, 1));
    invocations.iter().for_each(|invocation| invocation.cancel());
    assert_eq!(executor.run_until_idle(), 0);
    assert!(invocations.iter().all(|invocation| invocation.status() == Is::Cancelled));
    while proactor.pending() > 0 {
        proactor.poll(Timeout::Infinite).unwrap();
    }
    assert_eq!(count.get(), 0);
}

#[test]
fn threads_of_an_executor_wait_for_what_a_proactor_polls() {
    let mut proactor = proactor();
    let count = Count::default();
    let context = context(proactor.handle(), &count);
    let executor = Executor::new(2).unwrap();
    let function = context.lookup("m.source").unwrap();
    let invocations: Vec<_> = (0..50)
        .map(|index| executor.create(&context, &function, &Policy::new(), &[Value::I64(index * 1000)]).unwrap())
        .collect();
    while !invocations.iter().all(proact_vm::Invocation::is_finished) {
        proactor.poll(Duration::from_millis(1)).unwrap();
    }
    assert!(invocations.iter().all(|invocation| invocation.status() == Is::Done));
    assert_eq!(count.get(), 0);
}
