//! Executors: queues, order, clocks, turns, shutdown.

#[path = "support/stage.rs"]
mod stage;
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;

use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::{Time, Timeout};
use proact_vm::executor::{Executor, Shutdown};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitFrame;
use proact_vm::{Context, Error, Instance, InvocationStatus as Is, Policy, Ref, Value};
use stage::{LONG, create, stage};
use support::Count;

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
