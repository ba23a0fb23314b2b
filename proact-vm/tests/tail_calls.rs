//! Calls of functions by functions without end: they let others run, see their deadline, and can be given up.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use proact::status::Code;
use proact_vm::executor::Executor;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::{
    Context, Error, Function, Instance, InvocationOptions, InvocationState, InvocationStatus, Policy, Step,
};

struct Endless {
    context: Context,
    /// How often a function was begun.
    calls: Arc<AtomicU64>,
}

/// `loops.ping` and `loops.pong` each answer with the other, in its place; `loops.callers` calls `loops.plain` without
/// end.
fn endless() -> Endless {
    let calls = Arc::<AtomicU64>::default();
    let slots: Arc<[OnceLock<Function>; 3]> = Arc::default();
    let tail = |slot: usize| {
        let (slots, calls) = (slots.clone(), calls.clone());
        move |_: &(), call: &mut proact_vm::module::CallFrame<'_>| {
            calls.fetch_add(1, Ordering::Relaxed);
            call.call(slots[slot].get().expect("it is set"), |_| Ok(()))
        }
    };
    let (held, counted) = (slots.clone(), calls.clone());
    let module = NativeModule::builder("loops")
        .raw_function("ping", "0", tail(1))
        .raw_function("pong", "0", tail(0))
        .function("plain", move |_: &()| {
            counted.fetch_add(1, Ordering::Relaxed);
        })
        .async_function("callers", move |caller: Caller<()>| {
            let plain = held[2].get().expect("it is set").clone();
            async move {
                loop {
                    caller.call::<_, ()>(&plain, ()).await?;
                }
                #[allow(unreachable_code)]
                Ok::<(), Error>(())
            }
        })
        .build()
        .expect("a module");
    let context = Context::builder(&Instance::new()).module(module).build().expect("a context");
    for (slot, name) in slots.iter().zip(["loops.ping", "loops.pong", "loops.plain"]) {
        slot.set(context.lookup(name).expect("it is there")).expect("once");
    }
    Endless { context, calls }
}

const FUNCTIONS: [&str; 2] = ["loops.ping", "loops.callers"];

#[test]
fn calls_without_end_see_their_deadline() {
    for name in FUNCTIONS {
        let Endless { context, .. } = endless();
        let options = InvocationOptions::new().deadline(Duration::ZERO);
        let late = context.invoke_with(&options, &context.lookup(name).unwrap(), &(), &mut ()).unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded, "{name}: {late}");
    }
}

#[test]
fn calls_without_end_let_others_run_and_are_given_up() {
    for name in FUNCTIONS {
        let Endless { context, calls } = endless();
        let function = context.lookup(name).unwrap();
        let mut state = InvocationState::new();
        let mut step = context.begin(&mut state, &function, &InvocationOptions::new(), &()).unwrap();
        let mut before = 0;
        for _ in 0..3 {
            let Step::Yielded(yielded) = step else { panic!("{name}: {step:?}") };
            let now = calls.load(Ordering::Relaxed);
            assert!(now > before, "{name}: it goes on where it was: {now}");
            before = now;
            step = yielded.resume();
        }
        drop(step);
        assert_eq!(Arc::strong_count(&calls), 4, "what the call held is gone, and the module is there");
        // The next call in the state begins anew.
        let step = context.begin(&mut state, &context.lookup("loops.plain").unwrap(), &InvocationOptions::new(), &());
        assert!(matches!(step.unwrap(), Step::Done(_)));
    }
}

#[test]
fn a_call_without_end_as_a_future_leaves_its_task_to_others() {
    for name in FUNCTIONS {
        let Endless { context, .. } = endless();
        let function = context.lookup(name).unwrap();
        let mut future = pin!(context.invoke_async(&function, &InvocationOptions::new(), &()).unwrap());
        for _ in 0..3 {
            let polled = future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Pending), "{name}");
        }
    }
}

#[test]
fn a_call_without_end_is_cancelled() {
    for name in FUNCTIONS {
        let Endless { context, .. } = endless();
        let executor = Executor::new(1).unwrap();
        let function = context.lookup(name).unwrap();
        let invocation = executor.handle().create(&context, &function, &Policy::new(), &()).unwrap();
        invocation.cancel();
        let ended = invocation.wait(Duration::from_secs(60));
        assert_eq!(invocation.status(), InvocationStatus::Cancelled, "{name}: {ended:?}");
    }
}
