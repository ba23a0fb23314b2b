//! Stateful invocations: their handles, and the executors that run them.

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::{Time, Timeout};
use proact_vm::executor::{Executor, Shutdown};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::{WaitFrame, WaitSource};
use proact_vm::{Context, Error, Instance, Invocation, InvocationStatus as Is, Policy, Ref, Result, Value};
use support::{Count, Counted};

const LONG: Duration = Duration::from_secs(120);

/// Functions that keep what they get, and a counted object each, for as long as they stand.
fn stage(concurrent: bool) -> (Context, Semaphore, Count) {
    let (go, count) = (Semaphore::new(0), Count::default());
    let ((waits, held), in_order) = ((go.clone(), count.clone()), count.clone());
    let module = NativeModule::builder("m")
        .function("twice", |_: &(), a: i32| a.wrapping_mul(2))
        .function("fails", |_: &()| Err::<i32, _>(Error::new(Code::DataLoss, "torn")))
        .function("panics", |_: &()| -> i32 { panic!("oh no") })
        .async_function("yields", |caller: Caller<()>, count: i32| async move {
            for _ in 0..count {
                caller.yield_now().await?;
            }
            Ok::<_, Error>(count)
        })
        .async_function("waits", move |caller: Caller<()>, kept: Ref| {
            let (go, held) = (waits.clone(), held.one());
            async move {
                caller.wait_for(WaitSource::semaphore(&go, 1)).await?;
                drop(held);
                Ok::<_, Error>(kept)
            }
        })
        .async_function("waits_for", |caller: Caller<()>, other: Arc<Invocation>| async move {
            caller.wait_for(other.wait_source()).await
        })
        .async_function("tidies", move |caller: Caller<()>, yields: i32| {
            let held = in_order.one();
            async move {
                let never = Semaphore::new(0);
                let error = caller.wait_for(WaitSource::semaphore(&never, 1)).await.unwrap_err();
                drop(held);
                for _ in 0..yields {
                    caller.yield_now().await?;
                }
                Ok::<_, Error>(error.code() as i32)
            }
        })
        .build()
        .unwrap();
    let builder = Context::builder(&Instance::new()).module(module);
    let context = if concurrent { builder.concurrent() } else { builder }.build().unwrap();
    (context, go, count)
}

fn create(executor: &Executor, context: &Context, name: &str, inputs: &[Value]) -> Invocation {
    let function = context.lookup(&format!("m.{name}")).unwrap();
    executor.create(context, &function, &Policy::new(), inputs).unwrap()
}

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
fn priorities_come_first_then_deadlines_then_order() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let names = log.clone();
    let module = NativeModule::builder("m")
        .function("log", move |_: &(), name: i32| names.lock().unwrap().push(name))
        .build()
        .unwrap();
    let context = Context::builder(&Instance::new()).concurrent().module(module).build().unwrap();
    let function = context.lookup("m.log").unwrap();
    let executor = Executor::polled();
    let far = |seconds| Time::FAR_FUTURE - Time::from_nanoseconds(0) - Duration::from_secs(seconds);
    let policies = [
        Policy::new(),
        Policy::new(),
        Policy::new().deadline(Timeout::At(Time::ORIGIN + far(1))),
        Policy::new().deadline(Timeout::At(Time::ORIGIN + far(2))),
        Policy::new().priority(-1).deadline(Timeout::At(Time::ORIGIN + far(9))),
        Policy::new().priority(1),
    ];
    for (name, policy) in policies.iter().enumerate() {
        executor.create(&context, &function, policy, &[Value::I32(name as i32)]).unwrap();
    }
    executor.run_until_idle();
    assert_eq!(*log.lock().unwrap(), [5, 3, 2, 0, 1, 4]);
}

#[test]
fn what_yields_lets_others_of_its_priority_run() {
    let (context, ..) = stage(true);
    let executor = Executor::polled();
    let long = create(&executor, &context, "yields", &[Value::I32(1000)]);
    let short = create(&executor, &context, "yields", &[Value::I32(1)]);
    for _ in 0..4 {
        assert!(executor.poll());
    }
    assert_eq!((long.status(), short.status()), (Is::Running, Is::Done));
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
fn a_queue_is_served_by_its_own_threads() {
    let module = NativeModule::builder("m")
        .function("thread", |_: &()| {
            let name = std::thread::current().name().unwrap_or_default().to_string();
            i32::from(name == "proact-vm-files-0")
        })
        .build()
        .unwrap();
    let context = Context::builder(&Instance::new()).concurrent().module(module).build().unwrap();
    let function = context.lookup("m.thread").unwrap();
    let executor = Executor::builder().queue("main", 1).queue("files", 1).queue("mine", 0).build().unwrap();
    let on = |queue: &str| executor.create(&context, &function, &Policy::new().queue(queue), &()).unwrap();
    let [main, files, mine] = ["main", "files", "mine"].map(on);
    assert_eq!(main.wait(LONG).unwrap(), [Value::I32(0)]);
    assert_eq!(files.wait(LONG).unwrap(), [Value::I32(1)]);
    assert_eq!(mine.status(), Is::Pending, "no thread takes it");
    executor.run_until_idle();
    assert_eq!(mine.outputs(), Some(&[Value::I32(0)][..]));
    let error = executor.create(&context, &function, &Policy::new().queue("gone"), &()).unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
}

#[test]
fn executors_that_cannot_be_are_refused() {
    let refused = |builder: proact_vm::executor::ExecutorBuilder| builder.build().unwrap_err().code();
    assert_eq!(refused(Executor::builder()), Code::InvalidArgument);
    assert_eq!(refused(Executor::builder().queue("a", 0).queue("a", 0)), Code::InvalidArgument);
    let world = proact::simulated::World::new(1);
    let clock = world.clock();
    assert_eq!(refused(Executor::builder().clock(clock).queue("a", 1)), Code::InvalidArgument);
}

#[test]
fn a_context_that_is_not_concurrent_lets_one_in_at_a_time() {
    let (context, go, count) = stage(false);
    let executor = Executor::polled();
    let first = create(&executor, &context, "waits", &[Ref::NULL.into()]);
    let second = create(&executor, &context, "twice", &[Value::I32(2)]);
    let third = create(&executor, &context, "twice", &[Value::I32(3)]);
    let given_up = create(&executor, &context, "waits", &[count.reference().into()]);
    executor.run_until_idle();
    assert_eq!((first.status(), second.status(), third.status()), (Is::Waiting, Is::Pending, Is::Pending));
    assert_eq!(first.id(), second.id(), "one id for the whole context");
    given_up.cancel();
    executor.run_until_idle();
    assert_eq!((given_up.status(), count.get()), (Is::Cancelled, 1));
    go.signal(1, None).unwrap();
    assert_eq!(executor.run_until_idle(), 0);
    assert_eq!((second.status(), third.status()), (Is::Done, Is::Done));
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
fn a_queue_takes_no_more_than_its_limit() {
    let (context, ..) = stage(true);
    let executor = Executor::builder().limit(2).queue("main", 0).build().unwrap();
    let twice = context.lookup("m.twice").unwrap();
    let create = || executor.create(&context, &twice, &Policy::new(), &[Value::I32(1)]);
    let (_one, _two) = (create().unwrap(), create().unwrap());
    assert_eq!(create().unwrap_err().code(), Code::ResourceExhausted);
    executor.run_until_idle();
    assert!(create().is_ok());
}

#[test]
fn a_shutdown_answers_every_handle() {
    let (context, _, count) = stage(true);
    let executor = Executor::new(2).unwrap();
    let waiting = create(&executor, &context, "waits", &[count.reference().into()]);
    let never = Semaphore::new(0);
    let policy = Policy::new().wait_for(&never, 1);
    let waits = context.lookup("m.waits").unwrap();
    let held = executor.create(&context, &waits, &policy, &[count.reference().into()]).unwrap();
    let endless = create(&executor, &context, "yields", &[Value::I32(i32::MAX)]);
    while waiting.status() != Is::Waiting || endless.status() != Is::Running {
        std::thread::yield_now();
    }
    let waiter = std::thread::spawn({
        let held = held.clone();
        move || held.wait(LONG).unwrap_err().code()
    });
    assert_eq!(executor.shutdown(LONG), Shutdown { aborted: 3, stuck: 0 });
    for invocation in [&waiting, &held, &endless] {
        assert_eq!((invocation.status(), invocation.code()), (Is::Aborted, Some(Code::Aborted)), "{invocation:?}");
    }
    assert_eq!(waiting.error().unwrap().backtrace().last().unwrap().function, "m.waits");
    assert_eq!((waiter.join().unwrap(), count.get()), (Code::Aborted, 0));
    let error = executor.create(&context, &waits, &Policy::new(), &[Ref::NULL.into()]).unwrap_err();
    assert_eq!(error.code(), Code::Aborted);
    assert_eq!(executor.shutdown(LONG), Shutdown::default());
}

#[test]
fn a_shutdown_answers_for_what_does_not_stop() {
    let (open, gate) = channel::<()>();
    let (begun, has_begun) = channel();
    let (gate, begun) = (Mutex::new(gate), Mutex::new(begun));
    let count = Count::default();
    let counter = count.clone();
    let module = NativeModule::builder("m")
        .function("blocks", move |_: &(), _kept: Ref| {
            let _held = counter.one();
            begun.lock().unwrap().send(()).unwrap();
            let _ = gate.lock().unwrap().recv();
        })
        .build()
        .unwrap();
    let context = Context::builder(&Instance::new()).module(module).build().unwrap();
    let executor = Executor::new(1).unwrap();
    let done = Semaphore::new(0);
    let blocks = context.lookup("m.blocks").unwrap();
    let policy = Policy::new().signal(&done, 1);
    let invocation = executor.create(&context, &blocks, &policy, &[count.reference().into()]).unwrap();
    has_begun.recv().unwrap();
    assert_eq!(executor.shutdown(Timeout::Immediate), Shutdown { aborted: 1, stuck: 1 });
    assert_eq!(invocation.code(), Some(Code::Aborted));
    assert!(invocation.error().unwrap().to_string().contains("does not stop"));
    assert_eq!(done.status().unwrap().code(), Code::Aborted);
    assert_eq!(count.get(), 2);
    drop(open);
    // The thread gives up by itself what the call holds.
    while count.get() > 0 {
        std::thread::yield_now();
    }
    assert_eq!(invocation.status(), Is::Aborted, "one end, for good");
}

#[test]
fn ten_thousand_wait_on_no_thread_at_all() {
    const COUNT: usize = 10_000;
    let (context, go, count) = stage(true);
    let executor = Executor::polled();
    let invocations: Vec<_> =
        (0..COUNT).map(|_| create(&executor, &context, "waits", &[count.reference().into()])).collect();
    assert_eq!(executor.run_until_idle(), COUNT);
    assert_eq!(count.get(), 2 * COUNT);
    assert!(invocations.iter().all(|invocation| invocation.status() == Is::Waiting));
    go.signal(1, None).unwrap();
    assert_eq!(executor.run_until_idle(), 0);
    assert!(invocations.iter().all(|invocation| invocation.outputs().is_some()));
    drop(invocations);
    assert_eq!(count.get(), 0);
}

#[test]
fn a_loop_of_ones_own_is_woken_when_something_may_run() {
    struct Woken(AtomicBool);
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Woken>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    let (context, go, _) = stage(true);
    let executor = Executor::polled();
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    executor.on_ready(Waker::from(woken.clone()));
    let invocation = create(&executor, &context, "waits", &[Ref::NULL.into()]);
    assert!(woken.0.swap(false, Ordering::SeqCst), "it was created");
    executor.run_until_idle();
    assert!(!woken.0.load(Ordering::SeqCst));
    std::thread::spawn(move || go.signal(1, None)).join().unwrap().unwrap();
    assert!(woken.0.load(Ordering::SeqCst), "its semaphore was signalled");
    assert_eq!(executor.run_until_idle(), 0);
    assert_eq!(invocation.status(), Is::Done);
}

#[test]
fn times_are_those_of_a_simulated_clock() {
    let world = proact::simulated::World::new(7);
    let clock = world.clock();
    let module = NativeModule::builder("m")
        .async_function("sleeps", |caller: Caller<()>, seconds: i32| async move {
            let before = caller.clock().now();
            let wait = WaitFrame::until(before + Duration::from_secs(seconds as u64));
            caller.wait(wait).await?;
            Ok::<_, Error>(caller.clock().now().since(before).as_secs() as i32)
        })
        .build()
        .unwrap();
    let context = Context::builder(&Instance::new()).concurrent().module(module).build().unwrap();
    let executor = Executor::builder().clock(clock.clone()).queue("main", 0).build().unwrap();
    let sleeps = context.lookup("m.sleeps").unwrap();
    let invocations: Vec<_> = [3600, 60]
        .map(|seconds| executor.create(&context, &sleeps, &Policy::new(), &[Value::I32(seconds)]).unwrap())
        .into();
    assert!(!executor.run_until(&invocations[0], Timeout::Infinite), "time does not pass by itself");
    assert_eq!(executor.next_time(), Some(clock.now() + Duration::from_secs(60)));
    let mut proactor = world.host("h").builder().build().unwrap();
    let mut pass_until = |time: Time| {
        proactor.submit(proact::operation::Op::new(proact::operation::Timer::new(time), ())).unwrap();
        world.run(&mut [&mut proactor], Duration::from_secs(7200)).unwrap();
    };
    let start = clock.now();
    pass_until(start + Duration::from_secs(60));
    assert_eq!(executor.run_until_idle(), 1);
    assert_eq!(invocations[1].outputs(), Some(&[Value::I32(60)][..]));
    pass_until(start + Duration::from_secs(3600));
    assert_eq!(executor.run_until_idle(), 0);
    assert_eq!(invocations[0].outputs(), Some(&[Value::I32(3600)][..]));
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
