//! What goes wrong in code that calls run: it panics, is late, is polled out of order, or tells what is not so.

mod support;

use std::future::{Future, poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::{Time, Timeout};
use proact_vm::convention::{Convention, Packed};
use proact_vm::event_loop::InlineLoop;
use proact_vm::module::native::{AsyncFunction, Caller, NativeModule};
use proact_vm::module::{Activation, CallFrame, Flow, Resumption, Signal};
use proact_vm::wait::{WaitFrame, WaitSource};
use proact_vm::{
    Arena, AsyncInvocation, Context, ElementType, Error, Function, Instance, InvocationOptions, InvocationState, List,
    Object, Overlap, Ref, Result, StackLimits, Step, TimerFuture, Timers, Value,
};
use support::{Count, Counted, context, done, waiting};

/// A context with one `async` function, which refuses what overlaps.
fn one<A, F: AsyncFunction<(), A>>(function: F) -> (Context, Function) {
    let module = NativeModule::builder("m").async_function("f", function).build().unwrap();
    let builder = Context::builder(&Instance::new()).overlap(Overlap::Refuse);
    let context = builder.module(module).build().unwrap();
    let function = context.lookup("m.f").unwrap();
    (context, function)
}

/// So late that only what hangs comes to it.
fn soon_enough() -> InvocationOptions {
    InvocationOptions::new().deadline(Duration::from_secs(20))
}

struct PanicsAtItsEnd;

impl Drop for PanicsAtItsEnd {
    fn drop(&mut self) {
        panic!("as it was told");
    }
}

#[test]
fn a_destructor_that_panics_keeps_neither_frames_nor_the_turn() {
    let count = Count::default();
    let held = count.clone();
    let base = NativeModule::builder("base")
        .async_function("stop", |caller: Caller<()>| async move {
            let _panics = PanicsAtItsEnd;
            caller.yield_now().await
        })
        .function("end", |_: &()| ())
        .build()
        .unwrap();
    let module = NativeModule::builder("m")
        .import("base.stop", "0")
        .async_function("f", move |caller: Caller<()>| {
            let held = held.one();
            async move {
                let stop = caller.import(0)?.clone();
                let called = caller.call::<_, ()>(&stop, ()).await;
                drop(held);
                called
            }
        })
        .build()
        .unwrap();
    let builder = Context::builder(&Instance::new()).overlap(Overlap::Refuse);
    let context = builder.module(base).module(module).build().unwrap();
    let mut state = InvocationState::new();
    let f = context.lookup("m.f").unwrap();
    let step = context.begin(&mut state, &f, &InvocationOptions::new(), &()).unwrap();
    assert!(matches!(step, Step::Yielded(_)) && count.get() == 1);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(step))).is_err());
    assert_eq!(count.get(), 0, "the frame below ended as well");
    context.invoke(&context.lookup("base.end").unwrap(), &(), &mut ()).expect("the turn is free");
    let end = context.lookup("base.end").unwrap();
    done(context.begin(&mut state, &end, &InvocationOptions::new(), &()).unwrap()).end(&mut ()).unwrap().unwrap();
}

/// Tries to call `function` from another thread when it is dropped, and tells what came of it.
struct Tries(Context, Function, Arc<Mutex<Option<Result>>>);

impl Drop for Tries {
    fn drop(&mut self) {
        let (context, function) = (self.0.clone(), self.1.clone());
        let tried = std::thread::spawn(move || context.invoke(&function, &(), &mut ())).join().unwrap();
        *self.2.lock().unwrap() = Some(tried);
    }
}

#[test]
fn what_a_panic_leaves_ends_within_the_turn() {
    let itself: Arc<OnceLock<(Context, Function)>> = Arc::default();
    let tried = Arc::default();
    let (known, told) = (itself.clone(), Arc::clone(&tried));
    let base = NativeModule::builder("base").function("end", |_: &()| ()).build().unwrap();
    let module = NativeModule::builder("m")
        .async_function("f", move |caller: Caller<()>| {
            let (context, end) = known.get().unwrap().clone();
            let tries = Tries(context, end, Arc::clone(&told));
            async move {
                caller.yield_now().await?;
                let _tries = tries;
                caller.call::<_, ()>(&caller.import(0)?.clone(), ()).await
            }
        })
        .import("panics.now", "0")
        .build()
        .unwrap();
    let panics =
        NativeModule::builder("panics").raw_function("now", "0", |_, _| panic!("as it was told")).build().unwrap();
    let builder = Context::builder(&Instance::new()).overlap(Overlap::Refuse);
    let context = builder.module(base).module(panics).module(module).build().unwrap();
    assert!(itself.set((context.clone(), context.lookup("base.end").unwrap())).is_ok());
    let f = context.lookup("m.f").unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| context.invoke(&f, &(), &mut ()))).is_err());
    let tried = tried.lock().unwrap().take().unwrap();
    assert_eq!(tried.unwrap_err().code(), Code::FailedPrecondition, "the call that panicked was still there");
    context.invoke(&context.lookup("base.end").unwrap(), &(), &mut ()).unwrap();
}

#[test]
fn an_answer_waits_for_the_part_that_asked() {
    let (context, f) = one(|caller: Caller<()>| async move {
        let (mut one, mut other) = (pin!(caller.yield_now()), pin!(caller.yield_now()));
        let (mut polls, mut is_one, mut is_other) = (0, false, false);
        poll_fn(|cx| {
            polls += 1;
            if polls == 2 {
                // As futures that join many do, so that others have their turn.
                cx.waker().wake_by_ref();
                is_one = one.as_mut().poll(cx).is_ready();
                return Poll::Pending;
            }
            is_other = is_other || other.as_mut().poll(cx).is_ready();
            is_one = is_one || one.as_mut().poll(cx).is_ready();
            if is_one && is_other { Poll::Ready(polls) } else { Poll::Pending }
        })
        .await
    });
    let mut outputs = Vec::new();
    context.invoke_with(&soon_enough(), &f, &(), &mut outputs).unwrap();
    assert_eq!(outputs, [Value::I32(3)]);
}

#[test]
fn what_no_one_asks_for_any_more_is_given_up_with_the_question() {
    let count = Count::default();
    let made = count.clone();
    let base = NativeModule::builder("base")
        .function("make", move |_: &()| made.reference())
        .function("take", |_: &(), _: Ref| ())
        .build()
        .unwrap();
    let passed = count.clone();
    let module = NativeModule::builder("m")
        .import("base.make", "0_r")
        .import("base.take", "0r")
        .async_function("answer", |caller: Caller<()>| async move {
            let make = caller.import(0)?.clone();
            let mut question = Box::pin(caller.call::<_, Ref>(&make, ()));
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                if polls == 1 { question.as_mut().poll(cx).map(drop) } else { Poll::Ready(()) }
            })
            .await;
            Ok::<_, Error>(())
        })
        .async_function("question", move |caller: Caller<()>| {
            let passed = passed.reference();
            async move {
                let take = caller.import(1)?.clone();
                let mut question = Box::pin(caller.call::<_, ()>(&take, (passed,)));
                poll_fn(|cx| {
                    question.as_mut().poll(cx).map(drop).is_pending().then_some(()).map_or(Poll::Pending, Poll::Ready)
                })
                .await;
                Ok::<_, Error>(())
            }
        })
        .build()
        .unwrap();
    let context = context([base, module]);
    for name in ["m.answer", "m.question"] {
        context.invoke(&context.lookup(name).unwrap(), &(), &mut ()).unwrap();
        assert_eq!(count.get(), 0, "{name}");
    }
}

/// Waits to be woken, again and again.
struct Woken(Arc<Mutex<Option<Waker>>>);

impl Activation for Woken {
    fn resume(self: Pin<&mut Self>, _: Resumption, call: &mut CallFrame<'_>) -> Result<Flow> {
        *self.0.lock().unwrap() = Some(call.waker().clone());
        Ok(Flow::Wait)
    }
}

#[test]
fn a_wake_resumes_once() {
    let waker: Arc<Mutex<Option<Waker>>> = Arc::default();
    let kept = waker.clone();
    let module = NativeModule::builder("m")
        .raw_function("f", "0", move |_, call| call.keep_and_start(Woken(kept.clone())))
        .build()
        .unwrap();
    let context = context([module]);
    let mut state = InvocationState::new();
    let f = context.lookup("m.f").unwrap();
    let mut step = waiting(context.begin(&mut state, &f, &InvocationOptions::new(), &()).unwrap());
    let mut cx = TaskContext::from_waker(Waker::noop());
    for _ in 0..3 {
        step = step.poll(&mut cx).expect_err("no one has woken it");
        waker.lock().unwrap().take().unwrap().wake();
        step = waiting(step.poll(&mut cx).expect("it was woken").resume());
    }
}

#[test]
fn a_call_that_would_wait_for_itself_is_refused_in_every_form() {
    let itself: Arc<OnceLock<Context>> = Arc::default();
    let known = itself.clone();
    let module = NativeModule::builder("m")
        .function("f", move |_: &(), what: i32| {
            let context = known.get().unwrap();
            match what {
                0 => context.invoke_with(&soon_enough(), &context.lookup("m.g")?, &(), &mut ()),
                1 => context.notify(Signal::Resume),
                2 => context.fork().map(drop),
                3 => {
                    let (tell, told) = std::sync::mpsc::channel();
                    let call = AsyncInvocation::once(move |ended, _| {
                        tell.send(ended.map(drop)).unwrap();
                        Ok(())
                    });
                    context.invoke_on(&InlineLoop::new(), call, &context.lookup("m.g")?, &soon_enough(), &())?;
                    told.recv().unwrap()
                }
                _ => {
                    let mut state = InvocationState::new();
                    let step = context.begin(&mut state, &context.lookup("m.g")?, &soon_enough(), &())?;
                    step.finish().end(&mut ())?
                }
            }
        })
        .function("g", |_: &()| ())
        .build()
        .unwrap();
    let context = context([module]);
    assert!(itself.set(context.clone()).is_ok());
    let f = context.lookup("m.f").unwrap();
    for what in 0..5 {
        let inputs = [Value::I32(what)];
        let mut state = InvocationState::new();
        let begun = context.begin(&mut state, &f, &InvocationOptions::new(), &inputs).unwrap();
        let error = done(begun).end(&mut ()).unwrap().unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
        let error = context.invoke(&f, &inputs, &mut ()).unwrap_err();
        assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
    }
    context.invoke(&context.lookup("m.g").unwrap(), &(), &mut ()).expect("the turn is free");
}

#[test]
fn a_call_within_a_poll_takes_no_wake_away() {
    let (bed, sleep) = one(|caller: Caller<()>| async move { caller.sleep(Duration::from_millis(2)).await });
    let (context, f) = one(move |caller: Caller<()>| {
        let (bed, sleep) = (bed.clone(), sleep.clone());
        async move {
            let semaphore = Semaphore::new(0);
            let signalled = semaphore.clone();
            let mut is_first = true;
            let blocks = poll_fn(move |_| {
                if std::mem::take(&mut is_first) {
                    signalled.signal(1, None).unwrap();
                    bed.invoke(&sleep, &(), &mut ()).unwrap();
                }
                Poll::<Result>::Pending
            });
            let sources = [WaitSource::semaphore(&semaphore, 1), WaitSource::future(blocks)];
            caller.wait(WaitFrame::any(sources)).await.map(drop)
        }
    });
    context.invoke(&f, &(), &mut ()).unwrap();
}

#[test]
fn a_stack_s_bound_holds_whatever_its_memory_was_before() {
    let (context, f) = one(|caller: Caller<()>| async move {
        let large = [1u8; 32 << 10];
        caller.yield_now().await?;
        Ok::<_, Error>(i32::from(std::hint::black_box(large)[7]))
    });
    let small = InvocationOptions::new().stack(StackLimits::new(1 << 10, 4 << 10).unwrap());
    let arena = Arena::new(1 << 20);
    for (large, small) in
        [(InvocationOptions::new(), small.clone()), (InvocationOptions::new().arena(&arena), small.arena(&arena))]
    {
        let mut state = InvocationState::new();
        let fits = context.begin(&mut state, &f, &large, &()).unwrap();
        assert!(matches!(fits, Step::Yielded(_)));
        drop(fits);
        let error = done(context.begin(&mut state, &f, &small, &()).unwrap()).end(&mut Vec::new()).unwrap();
        assert_eq!(error.unwrap_err().code(), Code::ResourceExhausted);
    }
}

#[test]
fn a_late_call_ends_though_its_waits_are_over_at_once() {
    let (context, f) = one(|caller: Caller<()>| async move {
        let mut told = 0;
        for _ in 0..1000 {
            told += i32::from(caller.wait_for(WaitSource::immediate()).await.is_err());
            assert!(told <= 1, "told twice");
        }
        Ok::<_, Error>(())
    });
    let options = InvocationOptions::new().deadline(Timeout::Immediate);
    let late = context.invoke_with(&options, &f, &(), &mut ()).unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
}

/// Timers that are over at once, whatever their time.
struct Hasty;

impl Timers for Hasty {
    fn timer(&self, _: Time) -> TimerFuture {
        Box::pin(ready(Ok(())))
    }
}

#[test]
fn timers_of_another_clock_are_told_and_do_not_hold_the_task() {
    let (context, f) = one(|caller: Caller<()>| async move { caller.sleep(Duration::from_secs(3600)).await });
    let call = context.invoke_async(&f, &InvocationOptions::new().timers(Hasty), &()).unwrap();
    let Poll::Ready(answer) = pin!(call).poll(&mut TaskContext::from_waker(Waker::noop())) else { panic!() };
    assert_eq!(answer.unwrap_err().code(), Code::FailedPrecondition);
}

#[test]
fn an_outcome_for_no_source_is_an_error_of_the_wait() {
    let (context, f) = one(|caller: Caller<()>| async move {
        let semaphore = Semaphore::new(0);
        let sources = [1, 2].map(|value| WaitSource::semaphore(&semaphore, value));
        let index = sources.len() - caller.wait(WaitFrame::any(sources)).await?;
        Ok::<_, Error>(index as u32)
    });
    let mut state = InvocationState::new();
    let waits = waiting(context.begin(&mut state, &f, &InvocationOptions::new(), &()).unwrap());
    let ended = done(waits.provide(Ok(2)).resume()).end(&mut ()).unwrap();
    assert_eq!(ended.unwrap_err().code(), Code::InvalidArgument);
}

struct Looks(Arc<List>, #[allow(dead_code)] Counted);

impl Object for Looks {
    const TYPE_NAME: &'static str = "test.looks";
}

impl Drop for Looks {
    fn drop(&mut self) {
        let _length = self.0.len();
    }
}

#[test]
fn what_a_list_refuses_ends_under_no_lock() {
    let count = Count::default();
    let list = Arc::new(List::new(ElementType::I32));
    list.push(Value::I32(1)).unwrap();
    let (tested, counted) = (list.clone(), count.clone());
    // On a thread of its own: one that waits for itself is seen here.
    let tries = std::thread::spawn(move || {
        let looks = || Value::Ref(Ref::new(Looks(tested.clone(), counted.one())));
        (tested.push(looks()).is_err(), tested.set(0, looks()).is_err())
    });
    for _ in 0..2000 {
        if tries.is_finished() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(tries.is_finished(), "it waits for itself");
    assert_eq!(tries.join().unwrap(), (true, true));
    assert_eq!(count.get(), 0);
}

#[test]
fn lists_that_are_exchanged_lose_nothing_that_is_pushed_meanwhile() {
    let (one, other) = (List::new(ElementType::I32), List::new(ElementType::I32));
    std::thread::scope(|scope| {
        scope.spawn(|| (0..20_000).for_each(|_| one.swap(&other).unwrap()));
        scope.spawn(|| (0..20_000).for_each(|_| other.swap(&one).unwrap()));
        (0..20_000).for_each(|number| one.push(Value::I32(number)).unwrap());
    });
    assert_eq!(one.len() + other.len(), 20_000);
}

#[test]
fn sizes_beyond_what_can_be_addressed_and_odd_alignments_are_refused() {
    let convention: Convention = "0CiDCiDCiDCiDCiDI".parse().unwrap();
    for length in [usize::MAX, usize::MAX / 4, usize::MAX / 8, (isize::MAX as usize / 8) * 2 - 2, 1 << 61, 1 << 60] {
        let error = convention.arguments().size(&[length; 5]).unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
    }
    for align in [0, 3, 16, usize::MAX] {
        let mut packed = Packed::new();
        assert_eq!(packed.push_span(1, align).unwrap_err().code(), Code::InvalidArgument);
        assert!(packed.is_empty());
        packed.push_i32(1);
        assert!(packed.reader().next_span(align).is_err());
    }
}

#[test]
fn an_argument_that_no_one_reads_ends_when_its_function_has_begun_and_does_not_outlive_the_call() {
    let count = Count::default();
    let (seen, given) = (count.clone(), count.clone());
    let ignores = NativeModule::builder("ignores").raw_function("f", "0r", |_: &(), call| call.answer(())).build();
    let module = NativeModule::builder("m")
        .import("ignores.f", "0r")
        .async_function("f", move |caller: Caller<()>| {
            let (seen, given) = (seen.clone(), given.clone());
            async move {
                let ignores = caller.import(0)?.clone();
                caller.call::<_, ()>(&ignores, (given.reference(),)).await?;
                let between = seen.get() as i32;
                caller.call::<_, ()>(&ignores, (given.reference(),)).await?;
                caller.call::<_, ()>(&ignores, (Ref::NULL,)).await?;
                Ok::<_, Error>(between)
            }
        })
        .build();
    let context = context([ignores.unwrap(), module.unwrap()]);
    let (mut state, mut outputs) = (InvocationState::new(), Vec::new());
    let f = context.lookup("m.f").unwrap();
    let step = context.begin(&mut state, &f, &InvocationOptions::new(), &()).unwrap();
    done(step).end(&mut outputs).unwrap().unwrap();
    assert_eq!((outputs, count.get()), (vec![Value::I32(0)], 0));
}

/// Polls what it holds at its end.
struct PollsAtItsEnd(Mutex<Pin<Box<dyn Future<Output = Result> + Send>>>);

impl std::task::Wake for PollsAtItsEnd {
    fn wake(self: Arc<Self>) {}
}

impl Drop for PollsAtItsEnd {
    fn drop(&mut self) {
        let held = self.0.get_mut().unwrap();
        let _ = held.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
    }
}

#[test]
fn the_waker_of_a_part_that_asks_ends_under_no_lock() {
    let (context, f) = one(|caller: Caller<()>| async move {
        let caller = Arc::new(caller);
        let other = caller.clone();
        let held: Pin<Box<dyn Future<Output = Result> + Send>> = Box::pin(async move { other.yield_now().await });
        let mut waker = Some(Waker::from(Arc::new(PollsAtItsEnd(Mutex::new(held)))));
        let mut asks = pin!(caller.yield_now());
        poll_fn(|cx| {
            if let Some(waker) = waker.take() {
                assert!(asks.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_pending());
                drop(waker); // but for the one that was cloned, which ends with the next
            }
            asks.as_mut().poll(cx)
        })
        .await
    });
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(context.invoke_with(&soon_enough(), &f, &(), &mut ())));
    told.recv_timeout(Duration::from_secs(60)).expect("it waits for its own lock").unwrap();
}
