//! Executors: queues, order, clocks, turns, shutdown.

#[path = "support/stage.rs"]
mod stage;
mod support;

use std::future::Future;
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
use proact_vm::wait::{WaitFrame, WaitSource};
use proact_vm::{Context, Error, Instance, InvocationStatus as Is, Object, Policy, Ref, Value};
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

thread_local! {
    /// What the next clone of a waker on this thread does.
    static CLONED: std::cell::RefCell<Option<Box<dyn FnOnce()>>> = const { std::cell::RefCell::new(None) };
}

/// A waker whose clone runs code, as one of a runtime may.
fn hooked() -> Waker {
    use std::task::{RawWaker, RawWakerVTable};
    const TABLE: RawWakerVTable = RawWakerVTable::new(clone, nothing, nothing, nothing);
    fn clone(_: *const ()) -> RawWaker {
        if let Some(hook) = CLONED.take() {
            hook();
        }
        RawWaker::new(std::ptr::null(), &TABLE)
    }
    fn nothing(_: *const ()) {}
    // SAFETY: the table's functions touch no memory, and any thread may call them.
    unsafe { Waker::from_raw(RawWaker::new(std::ptr::null(), &TABLE)) }
}

#[test]
fn the_waker_of_a_loop_of_ones_own_is_told_under_no_lock() {
    let (context, ..) = stage(true);
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let executor = Arc::new(Executor::polled());
        executor.on_ready(hooked());
        let own = executor.clone();
        CLONED.set(Some(Box::new(move || own.on_ready(Waker::noop().clone()))));
        let invocation = create(&executor, &context, "twice", &[Value::I32(2)]);
        CLONED.set(None);
        executor.run_until_idle();
        tell.send(invocation.status()).unwrap();
    });
    assert_eq!(told.recv_timeout(LONG).expect("it waits for its own lock"), Is::Done);
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

/// A waker that panics.
struct Panics;

impl std::task::Wake for Panics {
    fn wake(self: Arc<Panics>) {
        panic!("on purpose");
    }
}

#[test]
fn a_waker_that_panics_when_an_end_is_told_keeps_neither_the_others_nor_the_thread() {
    let (context, go, _) = stage(true);
    let executor = Executor::new(1).unwrap();
    let (first, last) = (Semaphore::new(0), Semaphore::new(0));
    let policy = Policy::new().signal(&first, 1).signal(&last, 1);
    let waits = context.lookup("m.waits").unwrap();
    let invocation = executor.create(&context, &waits, &policy, &[Ref::NULL.into()]).unwrap();
    let waker = Waker::from(Arc::new(Panics));
    let mut signalled = std::pin::pin!(first.future(1));
    let mut finished = std::pin::pin!(invocation.finished());
    let mut cx = std::task::Context::from_waker(&waker);
    assert!(signalled.as_mut().poll(&mut cx).is_pending() && finished.as_mut().poll(&mut cx).is_pending());
    go.signal(1, None).unwrap();
    last.wait(1, LONG, proact::sync::WaitFlags::empty()).unwrap();
    assert_eq!(invocation.wait(LONG).unwrap(), [Ref::NULL.into()]);
    // The one thread goes on.
    let next = create(&executor, &context, "twice", &[Value::I32(2)]);
    assert_eq!(next.wait(LONG).unwrap(), [Value::I32(4)]);
    assert!(executor.drain(LONG));
    assert_eq!(executor.shutdown(LONG), Shutdown::default());
}

#[test]
fn a_shutdown_aborts_those_behind_one_whose_end_panics() {
    let (context, _, count) = stage(true);
    let executor = Executor::new(1).unwrap();
    let all = [(); 3].map(|()| create(&executor, &context, "waits", &[count.reference().into()]));
    let waker = Waker::from(Arc::new(Panics));
    let mut finished = std::pin::pin!(all[0].finished());
    assert!(finished.as_mut().poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| executor.shutdown(LONG)));
    assert!(caught.is_err(), "the panic goes on");
    assert!(all.iter().all(|invocation| invocation.status() == Is::Aborted), "{all:?}");
    assert_eq!(count.get(), 0);
}

struct PanicsAtItsEnd;

impl Drop for PanicsAtItsEnd {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("on purpose");
        }
    }
}

#[test]
fn what_panics_when_it_is_dropped_is_answered_as_it_ended() {
    let never = Semaphore::new(0);
    let module = NativeModule::builder("m")
        .async_function("waits", move |caller: Caller<()>| {
            let source = WaitSource::semaphore(&never, 1);
            async move {
                let _held = PanicsAtItsEnd;
                caller.wait_for(source).await
            }
        })
        .async_function("yields", |caller: Caller<()>| async move {
            let _held = PanicsAtItsEnd;
            for _ in 0..u64::MAX {
                caller.yield_now().await?;
            }
            Ok::<_, Error>(())
        })
        .function("fine", |_: &()| ())
        .build()
        .unwrap();
    // Not concurrent: the turn is given back as well.
    for threads in 0..2 {
        let context = support::context([module.clone()]);
        let executor = Executor::new(threads).unwrap();
        let begun = |name| {
            let invocation = create(&executor, &context, name, &[]);
            while invocation.status() == Is::Pending || (name == "waits" && invocation.status() != Is::Waiting) {
                executor.poll();
                std::thread::yield_now();
            }
            invocation
        };
        let cancelled = begun("yields");
        cancelled.cancel();
        assert!(executor.run_until(&cancelled, LONG));
        assert_eq!(cancelled.code(), Some(Code::Cancelled), "{cancelled:?}");
        let fine = create(&executor, &context, "fine", &[]);
        assert!(executor.run_until(&fine, LONG) && fine.status() == Is::Done, "{fine:?}");
        let aborted = begun("waits");
        assert_eq!(executor.shutdown(LONG), Shutdown { aborted: 1, stuck: 0 });
        assert_eq!((aborted.status(), aborted.code()), (Is::Aborted, Some(Code::Aborted)), "{aborted:?}");
        context.invoke(&context.lookup("m.fine").unwrap(), &(), &mut ()).unwrap();
    }
}

/// An executor as an input, for a function that it runs.
struct Held(Mutex<Option<Arc<Executor>>>);

impl Object for Held {
    const TYPE_NAME: &'static str = "test.executor";
}

#[test]
fn an_executor_that_ends_within_its_own_function_does_not_wait_for_it() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let module = NativeModule::builder("m")
        .function("ends", move |_: &(), executor: Arc<Held>, drops: bool| {
            let own = executor.0.lock().unwrap().take().unwrap();
            let shutdown = (!drops).then(|| own.shutdown(Timeout::Infinite));
            drop(own);
            tell.lock().unwrap().send(shutdown).unwrap();
        })
        .async_function("waits", |caller: Caller<()>| async move { caller.sleep(Duration::from_secs(3600)).await })
        .build()
        .unwrap();
    let context = Context::builder(&Instance::new()).concurrent().module(module).build().unwrap();
    let (ends, waits) = (context.lookup("m.ends").unwrap(), context.lookup("m.waits").unwrap());
    for (threads, drops) in [(0, false), (2, false), (2, true)] {
        let executor = Arc::new(Executor::new(threads).unwrap());
        let other = executor.create(&context, &waits, &Policy::new(), &()).unwrap();
        let held = Arc::new(Held(Mutex::new(None)));
        let inputs = [Ref::from(held.clone()).into(), Value::I32(drops.into())];
        let has_it = Semaphore::new(0);
        let policy = Policy::new().wait_for(&has_it, 1);
        let invocation = executor.create(&context, &ends, &policy, &inputs).unwrap();
        let polled = (threads == 0).then(|| executor.clone());
        *held.0.lock().unwrap() = Some(executor);
        has_it.signal(1, None).unwrap();
        if let Some(executor) = polled {
            std::thread::spawn(move || executor.run_until_idle());
        }
        let shutdown = told.recv_timeout(LONG).expect("it waits for itself");
        assert_eq!(shutdown, (!drops).then_some(Shutdown { aborted: 2, stuck: 1 }), "{threads} {drops}");
        assert_eq!((invocation.code(), other.code()), (Some(Code::Aborted), Some(Code::Aborted)));
        assert!(invocation.error().unwrap().to_string().contains("does not stop"), "{invocation:?}");
    }
}

#[test]
fn who_waits_hears_of_a_time_that_another_thread_has_come_to() {
    let (begun, has_begun) = channel();
    let (go, goes) = channel::<()>();
    let held = Mutex::new(Some((begun, goes)));
    let module = NativeModule::builder("m")
        .async_function("sleeps", move |caller: Caller<()>| {
            let (begun, goes) = held.lock().unwrap().take().unwrap();
            begun.send(()).unwrap();
            goes.recv().unwrap();
            async move { caller.sleep(Duration::from_millis(1)).await }
        })
        .build()
        .unwrap();
    let executor = Arc::new(Executor::polled());
    let invocation = create(&executor, &support::context([module]), "sleeps", &[]);
    let polls = std::thread::spawn({
        let executor = executor.clone();
        move || executor.poll()
    });
    has_begun.recv().unwrap();
    let (tell, told) = channel();
    std::thread::spawn(move || tell.send(executor.run_until(&invocation, Timeout::Infinite)));
    // So that it most likely sleeps by now; if not, it finds the time by itself.
    std::thread::sleep(Duration::from_millis(50));
    go.send(()).unwrap();
    assert!(polls.join().unwrap(), "once, and no more");
    assert!(told.recv_timeout(LONG).expect("it sleeps beyond the time"), "it goes on with it");
}

#[test]
fn who_waits_hears_of_the_end_of_an_invocation_of_another_executor() {
    let (context, go, _) = stage(true);
    let (other, executor) = (Executor::new(1).unwrap(), Executor::polled());
    let invocation = create(&other, &context, "waits", &[Ref::NULL.into()]);
    let (tell, told) = channel();
    std::thread::spawn(move || tell.send(executor.run_until(&invocation, Timeout::Infinite)));
    // So that it most likely sleeps by now; if not, it finds the end by itself.
    std::thread::sleep(Duration::from_millis(50));
    go.signal(1, None).unwrap();
    assert!(told.recv_timeout(LONG).expect("it sleeps beyond the end"), "it is over");
}
