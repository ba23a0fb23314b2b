//! Stateful invocations, by their handles: what they tell, waiting for them, cancelling.

#[path = "support/stage.rs"]
mod stage;
mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::executor::Executor;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{Context, Instance, InvocationStatus as Is, Policy, Ref, Result, Value};
use stage::{LONG, create, stage};
use support::{Count, Counted};

#[test]
fn a_handle_tells_every_status_from_creation_to_end() {
    let (context, go, count) = stage(true);
    let executor = Executor::polled();
    let invocation = create(&executor, &context, "waits", &[count.reference().into()]);
    assert_eq!((invocation.status(), invocation.code(), count.get()), (Is::Pending, None, 1));
    assert_eq!(executor.run_until_idle(), 1);
    assert_eq!((invocation.status(), invocation.outputs(), count.get()), (Is::Waiting, None, 2));
    go.signal(1, None).unwrap();
    assert_eq!(invocation.status(), Is::Running, "it may run, and has not had its turn");
    assert_eq!(executor.run_until_idle(), 0);
    assert_eq!((invocation.status(), invocation.code()), (Is::Done, Some(Code::Ok)));
    assert_eq!(count.get(), 1, "the output holds it");
    assert!(invocation.outputs().unwrap()[0].reference().unwrap().is::<Counted>());
    drop(executor);
    assert_eq!(invocation.outputs().unwrap().len(), 1, "outputs live as long as the handle");
    drop(invocation);
    assert_eq!(count.get(), 0);
}

#[test]
fn ids_are_told_by_handles_errors_and_debug() {
    let (context, ..) = stage(true);
    let executor = Executor::polled();
    let [one, other] = [0, 1].map(|_| create(&executor, &context, "fails", &[]));
    executor.run_until_idle();
    assert_ne!(one.id(), other.id());
    assert_eq!(one.error().unwrap().call(), Some(one.id()));
    assert_eq!(format!("{one:?}"), format!("Invocation(m.fails in call {}, failed)", one.id()));
}

#[test]
fn a_failure_keeps_its_code_words_and_frames() {
    let (context, ..) = stage(true);
    let executor = Executor::polled();
    let invocation = create(&executor, &context, "fails", &[]);
    executor.run_until_idle();
    let error = invocation.error().unwrap();
    assert_eq!((invocation.status(), invocation.code()), (Is::Failed, Some(Code::DataLoss)));
    assert_eq!((error.message(), error.backtrace()[0].function.as_str()), ("torn", "m.fails"));
    assert_eq!(invocation.outputs(), None);
}

#[test]
fn what_panics_has_failed_and_its_thread_goes_on() {
    let (context, ..) = stage(false);
    let executor = Executor::new(1).unwrap();
    let panics = create(&executor, &context, "panics", &[]);
    let after = create(&executor, &context, "twice", &[Value::I32(4)]);
    assert_eq!(after.wait(LONG).unwrap(), [Value::I32(8)]);
    let error = panics.error().unwrap();
    assert_eq!((error.code(), error.message()), (Code::Internal, "m.panics has panicked: oh no"));
}

#[test]
fn waiting_for_a_handle_ends_with_it_or_with_the_deadline() {
    let (context, go, _) = stage(true);
    let executor = Executor::new(1).unwrap();
    let waits = create(&executor, &context, "waits", &[Ref::NULL.into()]);
    let late = waits.wait(Timeout::Immediate).unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    assert!(!waits.is_finished(), "a wait that was late changes nothing");
    let other = std::thread::spawn({
        let waits = waits.clone();
        move || waits.wait(LONG).map(<[Value]>::to_vec)
    });
    go.signal(1, None).unwrap();
    assert_eq!(other.join().unwrap().unwrap(), [Ref::NULL.into()]);
    let fails = create(&executor, &context, "fails", &[]);
    assert_eq!(fails.wait(LONG).unwrap_err().message(), "torn");
}

#[test]
fn an_invocation_is_something_that_another_one_waits_for() {
    let (context, go, _) = stage(true);
    let executor = Executor::polled();
    let waits = create(&executor, &context, "waits", &[Ref::NULL.into()]);
    let waiter = create(&executor, &context, "waits_for", &[waits.clone().into()]);
    executor.run_until_idle();
    assert_eq!(waiter.status(), Is::Waiting);
    go.signal(1, None).unwrap();
    executor.run_until_idle();
    assert_eq!(waiter.status(), Is::Done);
    let fails = create(&executor, &context, "fails", &[]);
    let waiter = create(&executor, &context, "waits_for", &[fails.clone().into()]);
    executor.run_until_idle();
    let error = waiter.error().unwrap();
    assert_eq!(error.code(), Code::DataLoss);
    let words = format!("m.fails in call {}: torn", fails.id());
    assert!(error.to_string().contains("torn") && error.to_string().contains("m.fails"), "{error}: {words}");
}

#[test]
fn an_invocation_is_a_future() {
    let (context, go, count) = stage(true);
    let executor = Executor::polled();
    let invocation = create(&executor, &context, "waits", &[count.reference().into()]);
    let mut cx = TaskContext::from_waker(Waker::noop());
    {
        let mut finished = pin!(invocation.finished());
        assert!(finished.as_mut().poll(&mut cx).is_pending());
        executor.run_until_idle();
        go.signal(1, None).unwrap();
        executor.run_until_idle();
        let Poll::Ready(Ok(outputs)) = finished.as_mut().poll(&mut cx) else { panic!() };
        assert!(outputs[0].reference().unwrap().is::<Counted>());
    }
    let Poll::Ready(Ok(_)) = pin!(invocation.finished()).poll(&mut cx) else { panic!("one made late is over at once") };
}

#[test]
fn one_that_was_cancelled_before_it_began_never_does() {
    let (context, _, count) = stage(true);
    let executor = Executor::polled();
    let invocation = create(&executor, &context, "waits", &[count.reference().into()]);
    invocation.cancel();
    invocation.cancel();
    executor.run_until_idle();
    assert_eq!((invocation.status(), invocation.code(), count.get()), (Is::Cancelled, Some(Code::Cancelled), 0));
    assert_eq!(invocation.error().unwrap().call(), Some(invocation.id()));
}

#[test]
fn one_that_yields_is_cancelled_there() {
    let (context, ..) = stage(true);
    let executor = Executor::polled();
    let invocation = create(&executor, &context, "yields", &[Value::I32(3)]);
    assert!(executor.poll() && executor.poll());
    invocation.cancel();
    executor.run_until_idle();
    assert_eq!(invocation.status(), Is::Cancelled);
    assert_eq!(invocation.error().unwrap().backtrace()[0].function, "m.yields");
}

#[test]
fn a_cancelled_wait_is_taken_back_and_its_function_puts_things_in_order() {
    let (context, _, count) = stage(true);
    let executor = Executor::polled();
    let [returns, stops] = [0, 1].map(|yields| create(&executor, &context, "tidies", &[Value::I32(yields)]));
    executor.run_until_idle();
    assert_eq!(count.get(), 2);
    returns.cancel();
    stops.cancel();
    assert_eq!(count.get(), 2, "by the executor, and not by the call");
    executor.run_until_idle();
    assert_eq!(count.get(), 0);
    assert_eq!(returns.outputs(), Some(&[Value::I32(Code::Cancelled as i32)][..]), "it ended as it said");
    assert_eq!(stops.status(), Is::Cancelled, "its next stop was its end");
}

#[test]
fn cancelling_gives_up_operations_that_are_in_flight() {
    /// Never over; counted.
    struct InFlight(#[allow(dead_code)] Counted);
    impl Future for InFlight {
        type Output = Result;
        fn poll(self: std::pin::Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<Result> {
            Poll::Pending
        }
    }
    let count = Count::default();
    let (source, plain) = (count.clone(), count.clone());
    let seen = Arc::new(AtomicUsize::new(usize::MAX));
    let (at_wait, counter) = (seen.clone(), count.clone());
    let module = NativeModule::builder("m")
        .async_function("waits", move |caller: Caller<()>| {
            let (wait, counter, seen) = (InFlight(source.one()), counter.clone(), at_wait.clone());
            async move {
                let waited = caller.wait_for(WaitSource::future(wait)).await;
                seen.store(counter.get(), Ordering::SeqCst);
                waited
            }
        })
        .async_function("awaits", move |_: Caller<()>| InFlight(plain.one()))
        .build()
        .unwrap();
    let context = Context::builder(&Instance::new()).concurrent().module(module).build().unwrap();
    let executor = Executor::polled();
    let both = ["waits", "awaits"].map(|name| create(&executor, &context, name, &[]));
    executor.run_until_idle();
    assert_eq!(count.get(), 2);
    both[1].cancel();
    executor.run_until_idle();
    assert_eq!((both[1].status(), count.get()), (Is::Cancelled, 1));
    both[0].cancel();
    executor.run_until_idle();
    assert_eq!(both[0].status(), Is::Cancelled);
    assert_eq!(seen.load(Ordering::SeqCst), 0, "it was given up before the function heard of it");
}

#[test]
fn cancelling_what_is_over_does_nothing() {
    let (context, ..) = stage(true);
    let executor = Executor::polled();
    let invocation = create(&executor, &context, "twice", &[Value::I32(1)]);
    executor.run_until_idle();
    invocation.cancel();
    executor.run_until_idle();
    assert_eq!((invocation.status(), invocation.outputs().unwrap()), (Is::Done, &[Value::I32(2)][..]));
}

#[test]
fn work_goes_on_without_its_handles_and_ends_with_one_that_cancels() {
    let (context, go, count) = stage(true);
    let executor = Executor::polled();
    drop(create(&executor, &context, "waits", &[count.reference().into()]));
    assert_eq!(executor.run_until_idle(), 1);
    assert_eq!(count.get(), 2);
    go.signal(1, None).unwrap();
    assert_eq!((executor.run_until_idle(), count.get()), (0, 0));
    let guard = create(&executor, &context, "tidies", &[Value::I32(1)]).cancel_on_drop();
    executor.run_until_idle();
    assert_eq!(count.get(), 1);
    drop(guard);
    assert_eq!((executor.run_until_idle(), count.get()), (0, 0));
    let detached = create(&executor, &context, "twice", &[Value::I32(1)]).cancel_on_drop().detach();
    executor.run_until_idle();
    assert_eq!(detached.status(), Is::Done);
}

#[test]
fn a_deadline_ends_what_has_not_begun_and_is_told_to_what_waits() {
    let (context, _, count) = stage(true);
    let executor = Executor::polled();
    let tidies = context.lookup("m.tidies").unwrap();
    let policy = Policy::new().deadline(Timeout::Immediate);
    let late = executor.create(&context, &tidies, &policy, &[Value::I32(0)]).unwrap();
    assert_eq!(executor.run_until_idle(), 0);
    assert_eq!((late.status(), late.code()), (Is::Failed, Some(Code::DeadlineExceeded)));
    let gate = Semaphore::new(0);
    let policy = Policy::new().deadline(Duration::from_millis(1)).wait_for(&gate, 1);
    let held = executor.create(&context, &tidies, &policy, &[Value::I32(0)]).unwrap();
    assert!(executor.run_until(&held, Timeout::Infinite));
    assert_eq!((held.status(), held.code()), (Is::Failed, Some(Code::DeadlineExceeded)));
    // One that begins long before its deadline, or long after: both ends are the same.
    let policy = Policy::new().deadline(Duration::from_millis(50));
    let told = executor.create(&context, &tidies, &policy, &[Value::I32(1)]).unwrap();
    assert!(executor.drain(Timeout::Infinite));
    assert_eq!((told.status(), told.code(), count.get()), (Is::Failed, Some(Code::DeadlineExceeded), 0));
    assert_eq!(executor.next_time(), None);
}

#[test]
fn inputs_that_do_not_fit_are_refused_at_once_and_leave_nothing() {
    let (context, _, count) = stage(true);
    let executor = Executor::polled();
    let waits = context.lookup("m.waits").unwrap();
    let inputs = [count.reference().into(), Value::I32(1)];
    assert_eq!(executor.create(&context, &waits, &Policy::new(), &inputs).unwrap_err().code(), Code::InvalidArgument);
    drop(inputs);
    assert_eq!((count.get(), executor.run_until_idle()), (0, 0));
}

#[test]
fn a_failed_semaphore_keeps_its_words_through_waits() {
    let (context, go, _) = stage(true);
    let executor = Executor::polled();
    let waits = create(&executor, &context, "waits", &[Ref::NULL.into()]);
    executor.run_until_idle();
    go.fail(Status::new(Code::Unavailable, Operation::None).with_message("the link is down"));
    executor.run_until_idle();
    assert_eq!(waits.code(), Some(Code::Unavailable));
    assert!(waits.error().unwrap().to_string().contains("the link is down"));
}
