//! What functions wait for, and how a wait ends.

mod support;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::time::Duration;

use proact::causal::{Axis, Frontier};
use proact::operation::{Nop, Timer};
use proact::proactor::{Builder, ProactorThread};
use proact::status::{Code, Operation, Status};
use proact::sync::{Semaphore, Tracker};
use proact::time::{Clock, Time};
use proact_vm::module::Flow;
use proact_vm::module::native::{Answer, AsyncFunction, Caller, NativeModule};
use proact_vm::wait::{SourceKind, WaitFrame, WaitKind, WaitSource};
use proact_vm::{Context, Error, Function, InvocationOptions, InvocationState, Result, Step, Value};
use support::{Count, context, done, waiting};

/// A context with one `async` function without arguments.
fn one<A, F: AsyncFunction<(), A>>(function: F) -> (Context, Function) {
    let context = context([NativeModule::builder("m").async_function("f", function).build().unwrap()]);
    let function = context.lookup("m.f").unwrap();
    (context, function)
}

fn answer(context: &Context, function: &Function, options: &InvocationOptions) -> Result<Vec<Value>> {
    let mut outputs = Vec::new();
    context.invoke_with(options, function, &(), &mut outputs)?;
    Ok(outputs)
}

fn plain(context: &Context, function: &Function) -> Result<Vec<Value>> {
    answer(context, function, &InvocationOptions::new())
}

#[test]
fn a_future_of_anyone_s_is_awaited_like_any_other() {
    let semaphore = Semaphore::new(0);
    let awaited = semaphore.clone();
    let (context, f) = one(move |_: Caller<()>| {
        let awaited = awaited.clone();
        async move {
            awaited.future(1).await?;
            awaited.future(2).await?;
            Ok::<_, Status>(1)
        }
    });
    let signaller = std::thread::spawn({
        let semaphore = semaphore.clone();
        move || (1..3).for_each(|value| semaphore.signal(value, None).unwrap())
    });
    assert_eq!(plain(&context, &f).unwrap(), [Value::I32(1)]);
    signaller.join().unwrap();
    semaphore.fail(Status::new(Code::Aborted, Operation::None));
    assert_eq!(plain(&context, &f).unwrap(), [Value::I32(1)], "what was reached stays so");
}

#[test]
fn a_foreign_future_shows_as_a_wait_to_be_woken() {
    let semaphore = Semaphore::new(0);
    let awaited = semaphore.clone();
    let (context, f) = one(move |_: Caller<()>| {
        let awaited = awaited.clone();
        async move { awaited.future(1).await.map(drop) }
    });
    let mut state = InvocationState::new();
    let step = waiting(context.begin(&mut state, &f, &InvocationOptions::new(), &()).unwrap());
    assert_eq!((step.frame().kind(), step.frame().sources().count(), step.next_time()), (WaitKind::Woken, 0, None));
    let step = match step.poll(&mut TaskContext::from_waker(Waker::noop())) {
        Ok(yielded) => panic!("{yielded:?}"),
        Err(step) => step,
    };
    let step = waiting(step.provide(Ok(0)).resume()); // it looks, and finds nothing
    semaphore.signal(1, None).unwrap();
    let yielded = step.poll(&mut TaskContext::from_waker(Waker::noop())).unwrap();
    done(yielded.resume()).end(&mut ()).unwrap().unwrap();
}

#[test]
fn a_failure_given_to_a_foreign_wait_is_the_call_s() {
    let (context, f) = one(|_: Caller<()>| async { std::future::pending::<()>().await });
    let mut state = InvocationState::new();
    let step = waiting(context.begin(&mut state, &f, &InvocationOptions::new(), &()).unwrap());
    let over = done(step.provide(Err(Error::new(Code::Cancelled, "enough"))).resume());
    let error = over.result().unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(error.backtrace()[0].function, "m.f");
}

/// Polls both until both are over: each has its own waker, and is polled only when that was called.
async fn both<A: Future, B: Future>(one: A, other: B) -> (A::Output, B::Output) {
    struct Part(AtomicBool, Mutex<Option<Waker>>);
    impl Wake for Part {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
            let waker = self.1.lock().unwrap().clone();
            waker.unwrap().wake();
        }
    }
    let parts = [(); 2].map(|()| Arc::new(Part(AtomicBool::new(true), Mutex::default())));
    let wakers = parts.clone().map(Waker::from);
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut first, mut second) = (None, None);
    poll_fn(|cx| {
        for part in &parts {
            *part.1.lock().unwrap() = Some(cx.waker().clone());
        }
        if first.is_none() && parts[0].0.swap(false, Ordering::SeqCst) {
            if let Poll::Ready(output) = one.as_mut().poll(&mut TaskContext::from_waker(&wakers[0])) {
                first = Some(output);
            }
        }
        if second.is_none() && parts[1].0.swap(false, Ordering::SeqCst) {
            if let Poll::Ready(output) = other.as_mut().poll(&mut TaskContext::from_waker(&wakers[1])) {
                second = Some(output);
            }
        }
        if first.is_some() && second.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (first.take().unwrap(), second.take().unwrap())
}

#[test]
fn what_a_function_joins_has_its_turn_one_after_another() {
    let (early, late) = (Semaphore::new(0), Semaphore::new(0));
    let (early_waited, late_waited, signalled) = (early.clone(), late.clone(), early);
    let module = NativeModule::builder("base")
        .async_function("twice", |caller: Caller<()>, a: i32| async move {
            caller.yield_now().await?;
            Ok::<_, Error>(2 * a)
        })
        .build()
        .unwrap();
    let joining = NativeModule::builder("m")
        .import("base.twice", "0i_i")
        .async_function("f", move |caller: Caller<()>| {
            let (early, late) = (early_waited.clone(), late_waited.clone());
            async move {
                let twice = caller.import(0)?;
                let waits = both(
                    async {
                        caller.wait_for(WaitSource::semaphore(&early, 1)).await?;
                        late.signal(1, None)?;
                        caller.yield_now().await?;
                        caller.call::<_, i32>(twice, (4,)).await
                    },
                    async {
                        late.future(1).await?; // not by asking the driver
                        caller.yield_now().await?;
                        caller.call::<_, i32>(twice, (16,)).await
                    },
                );
                let (one, other) = both(waits, caller.call::<_, i32>(twice, (1,))).await;
                Ok::<_, Error>(one.0? + one.1? + other?)
            }
        })
        .build()
        .unwrap();
    let context = context([module, joining]);
    let signaller = std::thread::spawn(move || signalled.signal(1, None).unwrap());
    assert_eq!(plain(&context, &context.lookup("m.f").unwrap()).unwrap(), [Value::I32(42)]);
    signaller.join().unwrap();
}

/// The first of two that is over; the other one is dropped.
async fn first<A: Future, B: Future<Output = A::Output>>(one: A, other: B) -> A::Output {
    let (mut one, mut other) = (Box::pin(one), Box::pin(other));
    poll_fn(|cx| match one.as_mut().poll(cx) {
        Poll::Pending => other.as_mut().poll(cx),
        ready => ready,
    })
    .await
}

#[test]
fn a_wait_that_is_dropped_is_waited_for_no_more() {
    let (never, now) = (Semaphore::new(0), Semaphore::new(0));
    let (waited, awaited) = (never.clone(), now.clone());
    let (context, f) = one(move |caller: Caller<()>| {
        let (never, now) = (waited.clone(), awaited.clone());
        async move {
            let wait = caller.wait_for(WaitSource::semaphore(&never, 1));
            first(wait, async { now.future(1).await.map(drop).map_err(Error::from) }).await?;
            caller.yield_now().await?;
            Ok::<_, Error>(5)
        }
    });
    let signaller = std::thread::spawn(move || now.signal(1, None).unwrap());
    assert_eq!(plain(&context, &f).unwrap(), [Value::I32(5)]);
    signaller.join().unwrap();
}

#[test]
fn a_caller_is_of_no_use_outside_of_its_function() {
    let kept = Arc::new(Mutex::new(None::<Arc<Caller<()>>>));
    let known = kept.clone();
    let (context, f) = one(move |caller: Caller<()>| {
        *known.lock().unwrap() = Some(Arc::new(caller));
        async {}
    });
    plain(&context, &f).unwrap();
    let caller = kept.lock().unwrap().take().unwrap();
    let mut late = pin!(caller.yield_now());
    let Poll::Ready(result) = late.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) else { panic!() };
    assert_eq!(result.unwrap_err().code(), Code::FailedPrecondition);
}

#[test]
fn the_deadline_of_a_call_is_told_once_and_then_ends_it() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = told.clone();
    let (context, f) = one(move |caller: Caller<()>| {
        let heard = heard.clone();
        async move {
            for _ in 0..3 {
                let slept = caller.sleep(Duration::from_secs(3600)).await;
                heard.lock().unwrap().push(slept.unwrap_err().code());
            }
        }
    });
    let options = InvocationOptions::new().deadline(Duration::from_millis(1));
    let error = answer(&context, &f, &options).unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert_eq!(*told.lock().unwrap(), [Code::DeadlineExceeded], "once, to put things in order");
    assert_eq!(error.backtrace()[0].kind, proact_vm::FrameKind::Wait);
    assert_eq!(error.backtrace()[1].function, "m.f");
}

#[test]
fn a_call_that_only_yields_ends_at_its_deadline() {
    let count = Count::default();
    let held = count.clone();
    let (context, f) = one(move |caller: Caller<()>| {
        let held = held.one();
        async move {
            loop {
                caller.yield_now().await?;
                if held.count().get() == 0 {
                    return Ok::<_, Error>(());
                }
            }
        }
    });
    let options = InvocationOptions::new().deadline(Duration::from_millis(1));
    assert_eq!(answer(&context, &f, &options).unwrap_err().code(), Code::DeadlineExceeded);
    assert_eq!(count.get(), 0);
}

#[test]
fn a_foreign_wait_ends_with_the_call_s_deadline() {
    let (context, f) = one(|_: Caller<()>| async { std::future::pending::<()>().await });
    let options = InvocationOptions::new().deadline(Duration::from_millis(1));
    assert_eq!(answer(&context, &f, &options).unwrap_err().code(), Code::DeadlineExceeded);
}

#[test]
fn a_wait_s_own_deadline_is_the_function_s_to_handle() {
    let (context, f) = one(|caller: Caller<()>| async move {
        let now = caller.clock().now();
        let never = Semaphore::new(0);
        let frame = || WaitFrame::any([WaitSource::semaphore(&never, 1)]).deadline(Time::FAR_FUTURE).deadline(now);
        let late = caller.wait(frame()).await.unwrap_err();
        let later = caller.wait(frame()).await.unwrap_err();
        assert_eq!(late.code(), later.code());
        let reached = WaitFrame::any([WaitSource::semaphore(&never, 1), WaitSource::immediate()]).deadline(now);
        assert_eq!(caller.wait(reached).await?, 1, "what has come to pass counts before the deadline");
        assert_eq!(caller.wait(WaitFrame::any([])).await?, 0);
        assert_eq!(caller.wait(WaitFrame::all([])).await?, 0);
        Ok::<_, Error>(late.code() as i32)
    });
    assert_eq!(plain(&context, &f).unwrap(), [Value::I32(Code::DeadlineExceeded as i32)]);
}

#[test]
fn sources_say_what_they_are_and_what_they_have_come_to() {
    let noop = &mut TaskContext::from_waker(Waker::noop());
    let time = Time::from_nanoseconds(5);
    let mut source = WaitSource::deadline(time);
    assert!(matches!(source.kind(), SourceKind::Deadline(at) if at == time));
    assert!(source.query(Time::from_nanoseconds(4)).is_pending());
    assert!(source.query(time).is_ready());
    assert!(source.query(Time::ORIGIN).is_ready(), "over once, over for ever");
    assert!(matches!(source.kind(), SourceKind::Over));

    let semaphore = Semaphore::new(0);
    let mut source = WaitSource::semaphore(&semaphore, 2);
    assert!(matches!(source.kind(), SourceKind::Semaphore(_, 2)));
    assert!(source.poll(time, noop).is_pending());
    semaphore.fail(Status::new(Code::DataLoss, Operation::None).with_message("the disk is gone"));
    for _ in 0..2 {
        let Poll::Ready(Err(error)) = source.poll(time, noop) else { panic!() };
        assert!(error.to_string().contains("the disk is gone"));
    }

    let tracker = Tracker::new();
    let axis = Axis::queue(1, 0, 0, 0);
    let handle = tracker.register(axis).unwrap();
    let frontier = Frontier::single(axis, 3).unwrap();
    let mut source = WaitSource::frontier(&tracker, frontier.clone());
    assert!(matches!(source.kind(), SourceKind::Frontier(_, _)));
    assert!(source.poll(time, noop).is_pending());
    handle.advance(3).unwrap();
    assert!(matches!(source.poll(time, noop), Poll::Ready(Ok(()))));
    handle.fail(Status::new(Code::Unavailable, Operation::None).with_message("off the bus"));
    let later = Frontier::single(axis, 4).unwrap();
    let Poll::Ready(Err(error)) = WaitSource::frontier(&tracker, later).query(time) else { panic!() };
    assert_eq!(error.code(), Code::Unavailable);
}

/// A thread that sleeps for each: enough for a test.
struct Threads;

impl proact_vm::Timers for Threads {
    fn timer(&self, time: Time) -> proact_vm::TimerFuture {
        let reached = Semaphore::new(0);
        let signalled = reached.clone();
        std::thread::spawn(move || {
            std::thread::sleep(time.since(Clock::monotonic().now()));
            signalled.signal(1, None)
        });
        Box::pin(async move { reached.future(1).await.map(drop).map_err(Error::from) })
    }
}

/// Polls on this thread, which it parks in between.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_future_s_timed_waits_need_timers_and_say_so() {
    let (context, f) = one(|caller: Caller<()>, nanoseconds: i64| async move {
        caller.sleep(Duration::from_nanos(nanoseconds as u64)).await.map(|()| 3)
    });
    let call = |options: InvocationOptions, nanoseconds: i64| {
        block_on(context.invoke_async(&f, &options, &[Value::I64(nanoseconds)]).unwrap())
    };
    let error = call(InvocationOptions::new(), 1 << 40).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.to_string().contains("no timers"));
    let timed = InvocationOptions::new().timers(Threads);
    assert_eq!(call(timed.clone(), 1000).unwrap(), [Value::I32(3)]);
    let late = call(timed.deadline(Duration::from_millis(1)), 1 << 60).unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
}

#[test]
fn a_call_as_a_future_waits_for_semaphores_and_for_its_turn() {
    let semaphore = Semaphore::new(0);
    let waited = semaphore.clone();
    let (context, f) = one(move |caller: Caller<()>| {
        let source = WaitSource::semaphore(&waited, 1);
        async move { caller.wait_for(source).await.map(|()| 4) }
    });
    let options = InvocationOptions::new();
    let noop = &mut TaskContext::from_waker(Waker::noop());
    let mut first = Box::pin(context.invoke_async(&f, &options, &()).unwrap());
    let mut second = Box::pin(context.invoke_async(&f, &options, &()).unwrap());
    assert!(first.as_mut().poll(noop).is_pending() && second.as_mut().poll(noop).is_pending());
    let signaller = std::thread::spawn(move || semaphore.signal(1, None).unwrap());
    assert_eq!(block_on(first).unwrap(), [Value::I32(4)]);
    assert_eq!(block_on(second).unwrap(), [Value::I32(4)]);
    signaller.join().unwrap();
}

#[test]
fn operations_of_a_proactor_are_waited_for_in_every_form() {
    let thread = ProactorThread::spawn(Builder::new()).unwrap();
    let handle = thread.handle().clone();
    let (polled, awaited) = (handle.clone(), handle.clone());
    let (context, f) = one(move |caller: Caller<()>| {
        let (polled, awaited) = (polled.clone(), awaited.clone());
        async move {
            let soon = awaited.clock().now() + Duration::from_millis(1);
            awaited.future(Timer::new(soon)).await.1.result?;
            let operation = polled.future(Nop);
            let source = WaitSource::future(async move { operation.await.1.result.map(drop) });
            caller.wait_for(source).await?;
            caller.sleep(Duration::from_millis(1)).await?;
            Ok::<_, Error>(6)
        }
    });
    assert_eq!(plain(&context, &f).unwrap(), [Value::I32(6)]);
    let options = InvocationOptions::new().clock(handle.clock().clone()).timers(handle.clone());
    assert_eq!(block_on(context.invoke_async(&f, &options, &()).unwrap()).unwrap(), [Value::I32(6)]);
}

#[test]
fn a_step_is_awaited_as_a_future() {
    let semaphore = Semaphore::new(0);
    let waited = semaphore.clone();
    let (context, f) = one(move |caller: Caller<()>| {
        let source = WaitSource::semaphore(&waited, 1);
        async move { caller.wait_for(source).await }
    });
    let mut state = InvocationState::new();
    let step = waiting(context.begin(&mut state, &f, &InvocationOptions::new(), &()).unwrap());
    let signaller = std::thread::spawn(move || semaphore.signal(1, None).unwrap());
    done(block_on(step.ready()).resume()).end(&mut ()).unwrap().unwrap();
    signaller.join().unwrap();
}

#[test]
fn a_state_keeps_no_waker_of_a_call_that_is_over() {
    struct Task;
    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }
    let (context, f) = one(|_: Caller<()>| async { std::future::pending::<()>().await });
    let mut state = InvocationState::new();
    let task = Arc::new(Task);
    let waker = Waker::from(task.clone());
    let step = waiting(context.begin(&mut state, &f, &InvocationOptions::new(), &()).unwrap());
    let step = step.poll(&mut TaskContext::from_waker(&waker)).unwrap_err();
    drop(waker);
    assert_eq!(Arc::strong_count(&task), 2, "the wait has it");
    drop(step);
    assert_eq!(Arc::strong_count(&task), 1);
}

#[test]
fn steps_may_be_taken_on_any_thread() {
    fn may_be_sent<T: Send>(_: &T) {}
    let (context, f) = one(|caller: Caller<()>| async move { caller.yield_now().await });
    let mut state = InvocationState::new();
    let step = context.begin(&mut state, &f, &InvocationOptions::new(), &()).unwrap();
    may_be_sent(&step);
    let over = std::thread::scope(|scope| {
        let Step::Yielded(yielded) = step else { panic!() };
        scope.spawn(move || done(yielded.resume())).join().unwrap()
    });
    over.end(&mut ()).unwrap().unwrap();
}

#[test]
fn a_function_that_stops_must_have_kept_what_resumes_it() {
    let module = NativeModule::builder("m")
        .function("answer", |_: &()| 7)
        .raw_function("yields", "0", |(), _| Ok(Flow::Yield))
        .raw_function("waits", "0", |(), call| Ok(call.wait(WaitFrame::all([]))))
        .raw_function("calls", "0", |(), _| Ok(Flow::Call))
        .build()
        .unwrap();
    let other = context([module.clone()]).lookup("m.answer").unwrap();
    let context = context([module]);
    for name in ["m.yields", "m.waits", "m.calls"] {
        let error = plain(&context, &context.lookup(name).unwrap()).unwrap_err();
        assert_eq!(error.code(), Code::Internal, "{name}");
        assert_eq!(error.backtrace()[0].function, name);
    }

    // Without a frame of its own a function answers what the one that it calls answers.
    let tail = |callee: Function| {
        let module = NativeModule::builder("t")
            .raw_function("same", "0_i", {
                let callee = callee.clone();
                move |(), call| call.call(&callee, |_| Ok(()))
            })
            .raw_function("wrong", "0_I", move |(), call| call.call(&callee, |_| Ok(())));
        module.build().unwrap()
    };
    let growing = Context::builder(&proact_vm::Instance::new()).growable().build().unwrap();
    growing.register(NativeModule::builder("m").function("answer", |_: &()| 7).build().unwrap()).unwrap();
    growing.register(tail(growing.lookup("m.answer").unwrap())).unwrap();
    assert_eq!(plain(&growing, &growing.lookup("t.same").unwrap()).unwrap(), [Value::I32(7)]);
    let error = plain(&growing, &growing.lookup("t.wrong").unwrap()).unwrap_err();
    assert_eq!(error.code(), Code::Internal);
    growing.register(tail(other)).unwrap();
    let error = plain(&growing, &growing.lookup("t.same").unwrap()).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "a function of another context");
}

#[test]
fn a_call_with_other_types_than_the_function_s_is_refused() {
    let base = NativeModule::builder("base").function("f", |_: &(), a: i32| a).build().unwrap();
    let module = NativeModule::builder("m")
        .import("base.f", "0i_i")
        .async_function("f", |caller: Caller<()>| async move {
            let f = caller.import(0)?;
            let error = caller.call::<_, i32>(f, (1i64,)).await.unwrap_err();
            assert_eq!(error.to_string(), "base.f: called as 0I_i, but it is 0i_i (INVALID_ARGUMENT)");
            assert!(caller.call::<_, i32>(f, ()).await.is_err());
            assert!(caller.call::<_, i64>(f, (1,)).await.is_err());
            assert!(caller.call::<_, ()>(f, (1,)).await.is_err());
            caller.call::<_, u32>(f, (1,)).await
        })
        .build()
        .unwrap();
    let context = context([base, module]);
    assert_eq!(plain(&context, &context.lookup("m.f").unwrap()).unwrap(), [Value::I32(1)]);
}

#[test]
fn a_function_that_panics_leaves_the_context_to_others() {
    let count = Count::default();
    let held = count.clone();
    let (context, f) = one(move |caller: Caller<()>, panics: bool| {
        let held = held.one();
        async move {
            caller.yield_now().await?;
            assert!(!panics, "as it was told");
            drop(held);
            Ok::<_, Error>(())
        }
    });
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        context.invoke(&f, &[Value::I32(1)], &mut ()).unwrap();
    }));
    assert!(panicked.is_err());
    assert_eq!(count.get(), 0);
    context.invoke(&f, &[Value::I32(0)], &mut ()).unwrap();
}

#[test]
fn answers_are_results_or_results_of_them() {
    fn is_answer<A: Answer>(answer: A) -> Result<A::Results> {
        answer.into_result()
    }
    assert_eq!(is_answer(3).unwrap(), 3);
    assert_eq!(is_answer(Ok::<_, Status>((1, 2.0f64))).unwrap(), (1, 2.0));
    let failed = is_answer(Err::<i32, _>(Status::new(Code::DataLoss, Operation::None)));
    assert_eq!(failed.unwrap_err().code(), Code::DataLoss);
}
