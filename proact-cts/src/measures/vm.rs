//! What calls of a virtual machine's functions cost: no backend and no kernel in it.
//!
//! The floors are what a program would do instead: call the function through a pointer, poll the future by hand.

use std::cell::Cell;
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use proact::sync::Semaphore;
use proact_vm::event_loop::{InlineLoop, Loop};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{AsyncInvocation, Context, Function, Instance, InvocationCallback, InvocationOptions, Value};

use super::compare::compare;
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::tally;

pub(crate) const ROWS: &[Measure] = &[
    Measure::once("vm/noop", nothing),
    Measure::once("vm/add", added),
    Measure::once("vm/inline-loop", on_inline_loop),
    Measure::once("vm/lookup", looked_up),
    Measure::once("vm/async-return", || future("bench.returns", || std::future::ready(()))),
    Measure::once("vm/async-yield", || future("bench.yields", give_way)),
    Measure::once("vm/wait-satisfied", waited),
];

/// What is done in a round: a clock read costs more than one.
pub(super) const EACH: u32 = 64;
/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u32 = 100;

type Result<T> = std::result::Result<T, Failure>;

/// Times [`EACH`] of both sides a round. Figures are of one.
pub(super) fn figures(mut subject: impl FnMut(), mut floor: impl FnMut()) -> Figures {
    let mut round = || (0..EACH).for_each(|_| subject());
    let timing = compare(&mut round, Some(|| (0..EACH).for_each(|_| floor())));
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| round()));
    Figures::of(timing, f64::from(EACH), "", counted.over(f64::from(COUNTED_ROUNDS * EACH)))
}

/// A context of one module of seven functions, the ones that are called.
fn context() -> Result<Context> {
    let reached = Semaphore::new(1);
    let module = NativeModule::builder("bench")
        .function("nothing", |_: &()| ())
        .function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b))
        .async_function("returns", |_: Caller<()>| async {})
        .async_function("yields", |caller: Caller<()>| async move { caller.yield_now().await })
        .async_function("waits", move |caller: Caller<()>| {
            let source = WaitSource::semaphore(&reached, 1);
            async move { caller.wait_for(source).await }
        })
        .function("one", |_: &()| 1)
        .function("two", |_: &()| 2)
        .build()?;
    Ok(Context::builder(&Instance::new()).module(module).build()?)
}

fn found(name: &str) -> Result<(Context, Function)> {
    let context = context()?;
    let function = context.lookup(name)?;
    Ok((context, function))
}

/// Measures a call of a function that takes and answers nothing, against one through a pointer.
fn nothing() -> Result<Figures> {
    let (context, function) = found("bench.nothing")?;
    let plain: &dyn Fn() = &|| ();
    Ok(figures(|| context.invoke(&function, &(), &mut ()).expect("it returns"), || black_box(plain)()))
}

fn add() -> Box<dyn Fn(i32, i32) -> i32> {
    Box::new(|a, b| a.wrapping_add(b))
}

/// Two numbers, of which the compiler knows nothing.
fn numbers() -> [Value; 2] {
    black_box([Value::I32(2), Value::I32(3)])
}

/// Measures a call with two numbers and a result, given and taken as values, against one through a pointer.
fn added() -> Result<Figures> {
    let (context, function) = found("bench.add")?;
    let (mut outputs, plain) = (Vec::new(), add());
    let call = || {
        outputs.clear();
        context.invoke(&function, &numbers(), &mut outputs).expect("it returns");
        assert!(black_box(&outputs) == &[Value::I32(5)]);
    };
    Ok(figures(call, || assert!(black_box(&plain)(black_box(2), black_box(3)) == 5)))
}

thread_local! {
    /// Where the next call on a loop lies.
    static CALL: Cell<Option<Box<AsyncInvocation<Back>>>> = const { Cell::new(None) };
}

/// Leaves its storage for the next call.
struct Back;

impl InvocationCallback for Back {
    fn done(call: Box<AsyncInvocation<Back>>, result: proact_vm::Result, _: Option<&dyn Loop>) -> proact_vm::Result {
        assert!(black_box(call.outputs()) == [Value::I32(5)]);
        CALL.set(Some(call));
        result
    }
}

/// Measures a call with two numbers and a result on a loop that runs it at once, from begin to the end of its callback:
/// against a function through a pointer that gives its result to another one.
fn on_inline_loop() -> Result<Figures> {
    let (context, function) = found("bench.add")?;
    let (event_loop, options, plain) = (InlineLoop::new(), InvocationOptions::new(), add());
    let told: Box<dyn Fn(i32)> = Box::new(|sum| assert!(black_box(sum) == 5));
    let call = || {
        let call = CALL.take().unwrap_or_else(|| AsyncInvocation::new(Back));
        context.invoke_on(&event_loop, call, &function, &options, &numbers()).expect("it begins");
    };
    let figures = figures(call, || black_box(&told)(black_box(&plain)(black_box(2), black_box(3))));
    CALL.take();
    Ok(figures)
}

/// Measures finding a function by its name in a module of seven, against a table of as many counted things and the same
/// hash function.
fn looked_up() -> Result<Figures> {
    let context = context()?;
    let names = ["nothing", "add", "returns", "yields", "waits", "one", "two"].map(|name| format!("bench.{name}"));
    let table: HashMap<String, Arc<()>, foldhash::fast::RandomState> =
        names.into_iter().map(|name| (name, Arc::new(()))).collect();
    Ok(figures(
        || drop(black_box(context.lookup(black_box("bench.add")).expect("it is there"))),
        || drop(black_box(table.get(black_box("bench.add")).cloned().expect("it is there"))),
    ))
}

/// Pending once, and woken meanwhile.
async fn give_way() {
    let mut gave = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut gave, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Polls a future until it is over, through a pointer: as one of which the compiler knows nothing.
fn by_hand(future: impl Future<Output = ()>) {
    let future = pin!(future);
    let mut future: Pin<&mut dyn Future<Output = ()>> = black_box(future);
    let mut cx = TaskContext::from_waker(Waker::noop());
    while future.as_mut().poll(&mut cx).is_pending() {}
}

/// Measures a call of an `async` function, against the same future without a machine, polled by hand.
fn future<F: Future<Output = ()>>(name: &str, plain: impl Fn() -> F) -> Result<Figures> {
    let (context, function) = found(name)?;
    Ok(figures(|| context.invoke(&function, &(), &mut ()).expect("it returns"), || by_hand(plain())))
}

/// Measures a call that waits for a semaphore whose value has been reached, against the semaphore's own future.
fn waited() -> Result<Figures> {
    let (context, function) = found("bench.waits")?;
    let reached = Semaphore::new(1);
    let plain = || by_hand(async { assert!(black_box(&reached).future(1).await.is_ok()) });
    Ok(figures(|| context.invoke(&function, &(), &mut ()).expect("it returns"), plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_function_does_what_its_row_says() {
        let context = context().unwrap();
        let function = context.lookup("bench.yields").unwrap();
        let mut state = proact_vm::InvocationState::new();
        let step = context.begin(&mut state, &function, &InvocationOptions::new(), &()).unwrap();
        assert!(matches!(step, proact_vm::Step::Yielded(_)), "{step:?}");
        drop(step);
        for name in ["bench.returns", "bench.nothing"] {
            let function = context.lookup(name).unwrap();
            let step = context.begin(&mut state, &function, &InvocationOptions::new(), &()).unwrap();
            assert!(matches!(step, proact_vm::Step::Done(_)), "{name}: {step:?}");
        }
        let function = context.lookup("bench.waits").unwrap();
        let step = context.begin(&mut state, &function, &InvocationOptions::new(), &()).unwrap();
        assert!(matches!(step, proact_vm::Step::Waiting(_)), "{step:?}");
    }

    /// Rows allocate nothing a call, as is promised.
    #[test]
    fn calls_allocate_nothing() {
        for measure in ROWS {
            super::super::Effort::Quick.scope(|| {
                measure.each_row(
                    &[],
                    |_| {},
                    |_, row| {
                        let figures = row.unwrap().figures;
                        assert_eq!(figures.costs.allocations, Some(0.0), "{}", measure.name);
                    },
                );
            });
        }
    }
}
