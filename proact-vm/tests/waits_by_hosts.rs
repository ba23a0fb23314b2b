//! What a host that waits by its own means must know of a wait.

mod support;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};

use proact::sync::Semaphore;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{Context, Error, InvocationOptions, InvocationState};
use support::{context, done, waiting};

/// `alone` waits for one semaphore, `races` for that and, by itself, for the other one.
fn module(one: &Semaphore, other: &Semaphore) -> Context {
    let (alone, racing, other) = (one.clone(), one.clone(), other.clone());
    let module = NativeModule::builder("m")
        .async_function("alone", move |caller: Caller<()>| {
            let source = WaitSource::semaphore(&alone, 1);
            async move { caller.wait_for(source).await.map(|()| 1) }
        })
        .async_function("races", move |caller: Caller<()>| {
            let (source, other) = (WaitSource::semaphore(&racing, 1), other.future(1));
            async move {
                let (mut waited, mut other) = (pin!(caller.wait_for(source)), pin!(other));
                poll_fn(|cx| match waited.as_mut().poll(cx) {
                    Poll::Ready(waited) => Poll::Ready(waited.map(|()| 1)),
                    Poll::Pending => other.as_mut().poll(cx).map(|reached| reached.map(|_| 2).map_err(Error::from)),
                })
                .await
            }
        })
        .build();
    context([module.unwrap()])
}

#[test]
fn a_wait_says_whether_its_function_may_also_be_woken() {
    let (one, other) = (Semaphore::new(0), Semaphore::new(0));
    let context = module(&one, &other);
    let mut state = InvocationState::new();
    for (name, woken) in [("m.alone", false), ("m.races", true), ("m.alone", false)] {
        let function = context.lookup(name).unwrap();
        let step = waiting(context.begin(&mut state, &function, &InvocationOptions::new(), &()).unwrap());
        assert_eq!(step.frame().is_or_woken(), woken, "{name}");
        assert_eq!(step.frame().sources().count(), 1);
    }

    // The sources alone would never tell of it.
    let races = context.lookup("m.races").unwrap();
    let step = waiting(context.begin(&mut state, &races, &InvocationOptions::new(), &()).unwrap());
    let step = step.poll(&mut TaskContext::from_waker(Waker::noop())).unwrap_err();
    other.signal(1, None).unwrap();
    let yielded = step.poll(&mut TaskContext::from_waker(Waker::noop())).unwrap();
    let mut outputs = Vec::new();
    done(yielded.resume()).end(&mut outputs).unwrap().unwrap();
    assert_eq!(outputs, [proact_vm::Value::I32(2)]);
}
