//! Calls that poll a proactor which they were lent, while they wait.

mod support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::time::Duration;

use proact::operation::{Complete, Context as OperationContext, Nop, Op, Outcome, Timer};
use proact::proactor::{Builder, Handle, Proactor};
use proact::simulated::World;
use proact::status::Code;
use proact::sync::Semaphore;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{Context, Error, InvocationOptions, InvocationState, Ref, Value};
use support::{Count, context};

fn timer(handle: &Handle, duration: Duration) -> impl Future<Output = Result<(), Error>> + Send + 'static {
    let timer = handle.future(Timer::new(handle.clock().now() + duration));
    async move { timer.await.1.result.map(drop).map_err(Error::from) }
}

/// A way to wait for so long.
type Waits = fn(Handle, Caller<()>, Duration) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Functions that wait for operations of the proactor, in each way that there is; each holds a counted object.
fn functions(handle: &Handle, count: &Count) -> Context {
    let made = |run: Waits| {
        let (handle, count) = (handle.clone(), count.clone());
        move |caller: Caller<()>, microseconds: i32| {
            let (handle, held) = (handle.clone(), count.one());
            async move {
                let waited = run(handle, caller, Duration::from_micros(microseconds as u64)).await;
                drop(held);
                waited.map(|()| microseconds)
            }
        }
    };
    let module = NativeModule::builder("m")
        .async_function(
            "source",
            made(|handle, caller, duration| {
                Box::pin(async move { caller.wait_for(WaitSource::future(timer(&handle, duration))).await })
            }),
        )
        .async_function("awaits", made(|handle, _, duration| Box::pin(async move { timer(&handle, duration).await })))
        .async_function("sleeps", made(|_, caller, duration| Box::pin(async move { caller.sleep(duration).await })))
        .async_function("yields", |caller: Caller<()>, count: i32| async move {
            for _ in 0..count {
                caller.yield_now().await?;
            }
            Ok::<_, Error>(count)
        })
        .async_function("waits", |caller: Caller<()>, gate: Arc<Semaphore>, value: i64| async move {
            caller.wait_for(WaitSource::semaphore(&gate, value as u64)).await
        })
        .build()
        .unwrap();
    context([module])
}

const MINUTE: Duration = Duration::from_secs(60);

fn bounded() -> InvocationOptions {
    InvocationOptions::new().deadline(MINUTE)
}

#[test]
fn operations_of_the_lent_proactor_are_waited_for_in_every_way() {
    let mut proactor = Builder::new().build().unwrap();
    let count = Count::default();
    let context = functions(proactor.handle(), &count);
    for name in ["source", "awaits", "sleeps"] {
        let function = context.lookup(&format!("m.{name}")).unwrap();
        let mut outputs = Vec::new();
        for wait in [0, 200] {
            context.invoke_polling(&mut proactor, &bounded(), &function, &[Value::I32(wait)], &mut outputs).unwrap();
        }
        assert_eq!(outputs, [Value::I32(0), Value::I32(200)], "{name}");
        assert_eq!((count.get(), proactor.pending()), (0, 0), "{name}");
    }
}

/// Counts its own rounds, and submits itself again.
struct Goes(Rc<Cell<u32>>);

impl Complete<Nop> for Goes {
    fn done(op: Box<Op<Nop, Goes>>, _: Outcome<Nop>, cx: &mut OperationContext<'_>) {
        op.state.0.set(op.state.0.get() + 1);
        if op.state.0.get() < 10 {
            cx.submit(op).unwrap();
        }
    }
}

#[test]
fn other_operations_of_the_proactor_go_on_while_a_call_yields_and_a_call_that_stops_nowhere_does_not_poll() {
    let mut proactor = Builder::new().build().unwrap();
    let context = functions(proactor.handle(), &Count::default());
    let rounds = Rc::new(Cell::new(0));
    assert!(proactor.submit(Op::new(Nop, Goes(rounds.clone()))).is_ok());
    let yields = context.lookup("m.yields").unwrap();
    context.invoke_polling(&mut proactor, &bounded(), &yields, &[Value::I32(0)], &mut Vec::new()).unwrap();
    assert_eq!(rounds.get(), 0);
    // More than enough passes for ten rounds.
    context.invoke_polling(&mut proactor, &bounded(), &yields, &[Value::I32(1000)], &mut Vec::new()).unwrap();
    assert_eq!(rounds.get(), 10);
}

/// Signals from a callback of the very proactor that is polled.
struct Signals(Semaphore);

impl Complete<Timer> for Signals {
    fn done(op: Box<Op<Timer, Signals>>, _: Outcome<Timer>, _: &mut OperationContext<'_>) {
        op.state.0.signal(1, None).unwrap();
    }
}

#[test]
fn a_callback_of_the_proactor_ends_the_wait_of_the_call_that_polls_it() {
    let mut proactor = Builder::new().build().unwrap();
    let context = functions(proactor.handle(), &Count::default());
    let gate = Semaphore::new(0);
    let at = proactor.now() + Duration::from_micros(100);
    assert!(proactor.submit(Op::new(Timer::new(at), Signals(gate.clone()))).is_ok());
    let inputs = [Ref::new(gate).into(), Value::I64(1)];
    let waits = context.lookup("m.waits").unwrap();
    context.invoke_polling(&mut proactor, &bounded(), &waits, &inputs, &mut ()).unwrap();
}

/// Two threads that each wait for what the other signals next: one lost wake, and both stand until the deadline.
#[test]
fn no_wake_from_another_thread_is_lost() {
    const ROUNDS: u64 = 5000;
    let (ping, pong) = (Semaphore::new(0), Semaphore::new(0));
    std::thread::scope(|scope| {
        for (own, other, first) in [(&ping, &pong, true), (&pong, &ping, false)] {
            scope.spawn(move || {
                let mut proactor = Builder::new().build().unwrap();
                let context = functions(proactor.handle(), &Count::default());
                let waits = context.lookup("m.waits").unwrap();
                for round in 1..=ROUNDS {
                    if first {
                        other.signal(round, None).unwrap();
                    }
                    let inputs = [Ref::new(own.clone()).into(), Value::I64(round as i64)];
                    context.invoke_polling(&mut proactor, &bounded(), &waits, &inputs, &mut ()).unwrap();
                    if !first {
                        other.signal(round, None).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!((ping.value(), pong.value()), (ROUNDS, ROUNDS));
}

#[test]
fn a_deadline_on_the_proactor_s_clock_ends_the_wait_and_gives_the_operation_up() {
    let world = World::new(1);
    let mut proactor = world.host("a").builder().build().unwrap();
    let count = Count::default();
    let context = functions(proactor.handle(), &count);
    for name in ["source", "awaits", "sleeps"] {
        let began = proactor.now();
        let function = context.lookup(&format!("m.{name}")).unwrap();
        let options = InvocationOptions::new().deadline(Duration::from_secs(5));
        let hour = [Value::I32(i32::MAX)];
        let error = context.invoke_polling(&mut proactor, &options, &function, &hour, &mut Vec::new()).unwrap_err();
        assert_eq!(error.code(), Code::DeadlineExceeded, "{name}: {error:?}");
        assert_eq!(proactor.now().since(began), Duration::from_secs(5), "{name}");
        assert_eq!(count.get(), 0, "{name}: it holds nothing any more");
        let mut outputs = Vec::new();
        context.invoke_polling(&mut proactor, &bounded(), &function, &[Value::I32(7)], &mut outputs).unwrap();
        assert_eq!(outputs, [Value::I32(7)], "{name}: and the context goes on");
    }
    proactor.run().unwrap();
    assert_eq!(proactor.pending(), 0, "what was given up was cancelled");
}

#[test]
fn a_simulated_world_passes_hours_and_tells_of_a_wait_that_nothing_will_end() {
    let world = World::new(1);
    let mut proactor = world.host("a").builder().build().unwrap();
    let count = Count::default();
    let context = functions(proactor.handle(), &count);
    let sleeps = context.lookup("m.sleeps").unwrap();
    context
        .invoke_polling(&mut proactor, &InvocationOptions::new(), &sleeps, &[Value::I32(i32::MAX)], &mut Vec::new())
        .unwrap();
    assert_eq!(world.now().as_nanoseconds(), u64::from(i32::MAX as u32) * 1000);
    let waits = context.lookup("m.waits").unwrap();
    let inputs = [Ref::new(Semaphore::new(0)).into(), Value::I64(1)];
    let error = context.invoke_polling(&mut proactor, &InvocationOptions::new(), &waits, &inputs, &mut ()).unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition, "{error:?}");
    assert_eq!(error.backtrace().last().unwrap().function, "m.waits", "the call has ended where it stood");
    context.invoke(&context.lookup("m.yields").unwrap(), &[Value::I32(1)], &mut Vec::new()).unwrap();
}

/// Panics when it has ended.
struct Panics;

impl Complete<Nop> for Panics {
    fn done(_: Box<Op<Nop, Panics>>, _: Outcome<Nop>, _: &mut OperationContext<'_>) {
        panic!("on purpose");
    }
}

#[test]
fn a_callback_that_panics_unwinds_through_the_call_and_leaves_nothing_behind() {
    let mut proactor = Builder::new().build().unwrap();
    let count = Count::default();
    let context = functions(proactor.handle(), &count);
    let source = context.lookup("m.source").unwrap();
    assert!(proactor.submit(Op::new(Nop, Panics)).is_ok());
    let minute = [Value::I32(60_000_000)];
    let mut call = || context.invoke_polling(&mut proactor, &bounded(), &source, &minute, &mut Vec::new());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(&mut call)).is_err());
    assert_eq!(count.get(), 0);
    // The turn was given back, and the proactor works.
    let mut outputs = Vec::new();
    context.invoke_polling(&mut proactor, &bounded(), &source, &[Value::I32(0)], &mut outputs).unwrap();
    assert_eq!(outputs, [Value::I32(0)]);
}

#[test]
fn the_turn_in_a_context_that_is_not_concurrent_is_waited_for_by_polling() {
    /// Lets a call go on that stands in the context, from a callback.
    struct Ends(mpsc::Sender<()>);
    impl Complete<Nop> for Ends {
        fn done(op: Box<Op<Nop, Ends>>, _: Outcome<Nop>, _: &mut OperationContext<'_>) {
            op.state.0.send(()).unwrap();
        }
    }
    let mut proactor = Builder::new().build().unwrap();
    let context = functions(proactor.handle(), &Count::default());
    let yields = context.lookup("m.yields").unwrap();
    let (own, stands) = (context.clone(), yields.clone());
    let (sender, begun) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        let mut state = InvocationState::new();
        let step = own.begin(&mut state, &stands, &InvocationOptions::new(), &[Value::I32(1)]).unwrap();
        sender.send(()).unwrap();
        gone.recv().unwrap();
        step.finish().end(&mut Vec::new()).unwrap().unwrap();
    });
    begun.recv().unwrap();
    // Only a callback lets the other call go on: so who waits for its turn must have polled.
    assert!(proactor.submit(Op::new(Nop, Ends(go))).is_ok());
    let mut outputs = Vec::new();
    context.invoke_polling(&mut proactor, &bounded(), &yields, &[Value::I32(3)], &mut outputs).unwrap();
    assert_eq!(outputs, [Value::I32(3)]);
    thread.join().unwrap();
}

#[test]
fn a_turn_that_does_not_come_in_time_is_given_up() {
    let world = World::new(1);
    let mut proactor = world.host("a").builder().build().unwrap();
    let context = functions(proactor.handle(), &Count::default());
    let yields = context.lookup("m.yields").unwrap();
    let mut state = InvocationState::new();
    let step = context.begin(&mut state, &yields, &InvocationOptions::new(), &[Value::I32(1)]).unwrap();
    let options = InvocationOptions::new().deadline(Duration::from_secs(1));
    let error = context.invoke_polling(&mut proactor, &options, &yields, &[Value::I32(1)], &mut Vec::new());
    assert_eq!(error.unwrap_err().code(), Code::DeadlineExceeded);
    drop(step);
    context.invoke_polling(&mut proactor, &options, &yields, &[Value::I32(1)], &mut Vec::new()).unwrap();
}

/// A call on a lent proactor within one on another, whose wake comes meanwhile: both are woken.
#[test]
fn calls_within_one_another_on_two_proactors_are_both_woken() {
    let (mut outer, inner) = (Builder::new().build().unwrap(), Builder::new().build().unwrap());
    let within = functions(inner.handle(), &Count::default());
    let gate = Semaphore::new(0);
    let opens = gate.clone();
    thread_local! {
        static INNER: RefCell<Option<Proactor>> = const { RefCell::new(None) };
    }
    INNER.set(Some(inner));
    let module = NativeModule::builder("outer")
        .async_function("f", move |_: Caller<()>, value: i64| {
            let (within, opens, waits) = (within.clone(), opens.clone(), gate.future(value as u64));
            async move {
                let mut waits = pin!(waits);
                // In line with the waker that the outer call waits with, and woken before it waits.
                let is_pending = poll_fn(|cx| Poll::Ready(waits.as_mut().poll(cx).is_pending())).await;
                assert!(is_pending);
                INNER.with_borrow_mut(|inner| {
                    let source = within.lookup("m.source")?;
                    opens.signal(value as u64, None)?;
                    let inner = inner.as_mut().expect("it lies there");
                    within.invoke_polling(inner, &bounded(), &source, &[Value::I32(100)], &mut Vec::new())
                })?;
                waits.await.map(drop).map_err(Error::from)
            }
        })
        .build()
        .unwrap();
    let context = context([module]);
    let f = context.lookup("outer.f").unwrap();
    for value in 1..=100 {
        context.invoke_polling(&mut outer, &bounded(), &f, &[Value::I64(value)], &mut ()).unwrap();
    }
}
