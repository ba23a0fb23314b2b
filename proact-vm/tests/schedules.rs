//! Random programs that yield, wait and call each other: every way of driving them comes to the same, and giving them
//! up anywhere leaves nothing.

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Waker};

use oorandom::Rand32;
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::module::{Activation, CallFrame, Flow, Resumption};
use proact_vm::wait::{WaitFrame, WaitSource};
use proact_vm::{Context, Error, Function, Instance, InvocationOptions, InvocationState, Ref, Result, Step, Value};
use support::{Count, Counted};

const SEEDS: u64 = if cfg!(miri) { 6 } else { 300 };
/// Functions of a program; each calls those before it.
const FUNCTIONS: usize = 5;

/// What a function does, one after another.
#[derive(Clone, Copy, Debug)]
enum Act {
    Yield,
    /// For semaphores that are there at once, or never fail.
    Wait {
        all: bool,
        pending: bool,
    },
    /// For a semaphore that has failed; the failure is handled.
    WaitFailed,
    /// A function before this one; with its failure handled or not.
    Call {
        callee: usize,
        handled: bool,
    },
    Fail,
}

type Program = Arc<Vec<Vec<Act>>>;

fn program(random: &mut Rand32) -> Program {
    let mut functions = Vec::new();
    for index in 0..FUNCTIONS {
        let acts = (0..random.rand_range(0..6)).map(|_| match random.rand_range(0..10) {
            0..3 => Act::Yield,
            3..5 => Act::Wait { all: random.rand_range(0..2) == 0, pending: random.rand_range(0..2) == 0 },
            5 => Act::WaitFailed,
            6 if random.rand_range(0..3) == 0 => Act::Fail,
            _ if index > 0 => {
                Act::Call { callee: random.rand_range(0..index as u32) as usize, handled: random.rand_range(0..2) == 0 }
            }
            _ => Act::Yield,
        });
        functions.push(acts.collect());
    }
    Arc::new(functions)
}

struct World {
    program: Program,
    reached: Semaphore,
    failed: Semaphore,
    count: Count,
}

impl World {
    fn frame(&self, all: bool, pending: bool) -> WaitFrame {
        let never = Semaphore::new(0);
        let sources = [WaitSource::semaphore(&self.reached, 1), WaitSource::immediate()];
        match (all, pending) {
            (true, true) => WaitFrame::all(sources.into_iter().chain([WaitSource::future(Twice(2))])),
            (true, false) => WaitFrame::all(sources),
            (false, true) => WaitFrame::any([WaitSource::semaphore(&never, 1), WaitSource::future(Twice(2))]),
            (false, false) => WaitFrame::any([WaitSource::semaphore(&never, 1)].into_iter().chain(sources)),
        }
    }
}

/// Pending until it was polled so often.
struct Twice(u32);

impl Future for Twice {
    type Output = Result;
    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result> {
        if self.0 == 0 {
            return Poll::Ready(Ok(()));
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// One function as an `async fn`.
async fn interpret(
    caller: Caller<()>,
    world: Arc<World>,
    index: usize,
    depth: i32,
    kept: Arc<Counted>,
) -> Result<(i64, Ref)> {
    let held = world.count.one();
    let mut sum = 1 + index as i64;
    for act in &world.program[index] {
        match *act {
            Act::Yield => caller.yield_now().await?,
            Act::Wait { all, pending } => sum += caller.wait(world.frame(all, pending)).await? as i64,
            Act::WaitFailed => {
                let error = caller.wait_for(WaitSource::semaphore(&world.failed, 1)).await.unwrap_err();
                sum += error.code() as i64;
            }
            Act::Call { callee, handled } => {
                let function = caller.import(callee)?.clone();
                let called = caller.call::<_, (i64, Ref)>(&function, (depth + 1, kept.clone())).await;
                match called {
                    Ok((below, _)) => sum = sum.wrapping_mul(3).wrapping_add(below),
                    Err(error) if handled => sum -= error.code() as i64,
                    Err(error) => return Err(error),
                }
            }
            Act::Fail => return Err(Error::new(Code::DataLoss, format!("at {index}"))),
        }
    }
    Ok((sum, Ref::from(Arc::new(held))))
}

/// One function as a state machine written by hand.
struct Machine {
    world: Arc<World>,
    imports: Vec<Function>,
    index: usize,
    at: usize,
    depth: i32,
    sum: i64,
    kept: Arc<Counted>,
    held: Option<Counted>,
    handled: bool,
}

impl Activation for Machine {
    fn resume(mut self: std::pin::Pin<&mut Self>, why: Resumption, call: &mut CallFrame<'_>) -> Result<Flow> {
        let this = &mut *self;
        match why {
            Resumption::Started | Resumption::Yielded => {}
            Resumption::Waited(Ok(index)) => this.sum += index as i64,
            Resumption::Waited(Err(error)) => this.sum += error.code() as i64,
            Resumption::Returned => {
                let mut results = call.callee_results();
                let below = results.next_i64()?;
                drop(results.next_ref()?);
                this.sum = this.sum.wrapping_mul(3).wrapping_add(below);
            }
            Resumption::Failed(error) if this.handled => this.sum -= error.code() as i64,
            Resumption::Failed(error) => return Err(error),
            Resumption::Woken => return Err(Error::internal("no one asked to be woken")),
        }
        let Some(act) = this.world.program[this.index].get(this.at).copied() else {
            let held = this.held.take().ok_or_else(|| Error::internal("ended twice"))?;
            return call.answer((this.sum, Ref::from(Arc::new(held))));
        };
        this.at += 1;
        match act {
            Act::Yield => Ok(Flow::Yield),
            Act::Wait { all, pending } => Ok(call.wait(this.world.frame(all, pending))),
            Act::WaitFailed => Ok(call.wait(WaitFrame::all([WaitSource::semaphore(&this.world.failed, 1)]))),
            Act::Call { callee, handled } => {
                this.handled = handled;
                call.call(&this.imports[callee], |packed| {
                    packed.push_i32(this.depth + 1);
                    packed.push_ref(Ref::from(this.kept.clone()));
                    packed.finish();
                    Ok(())
                })
            }
            Act::Fail => Err(Error::new(Code::DataLoss, format!("at {}", this.index))),
        }
    }
}

/// Each function is a module of its own, that imports those before it; `by_hand` says which are state machines.
fn build(world: &Arc<World>, by_hand: u32, concurrent: bool) -> Context {
    let builder = Context::builder(&Instance::new()).growable();
    let context = if concurrent { builder.concurrent() } else { builder }.build().unwrap();
    for index in 0..FUNCTIONS {
        let mut module = NativeModule::builder(format!("m{index}"));
        let world = world.clone();
        if by_hand >> index & 1 == 0 {
            for before in 0..index {
                module = module.import(&format!("m{before}.f"), "0ir_Ir");
            }
            module = module.async_function("f", move |caller: Caller<()>, depth: i32, kept: Arc<Counted>| {
                interpret(caller, world.clone(), index, depth, kept)
            });
        } else {
            let imports: Vec<_> = (0..index).map(|before| context.lookup(&format!("m{before}.f")).unwrap()).collect();
            module = module.raw_function("f", "0ir_Ir", move |(), call| {
                let mut arguments = call.arguments();
                let (depth, kept) = (arguments.next_i32()?, arguments.next_ref()?.into_cast()?);
                let (world, imports) = (world.clone(), imports.clone());
                let held = Some(world.count.one());
                let sum = 1 + index as i64;
                call.keep_and_start(Machine { world, imports, index, at: 0, depth, sum, kept, held, handled: false })
            });
        }
        context.register(module.build().unwrap()).unwrap();
    }
    context
}

/// What a call came to, in what may be compared.
type Outcome = Result<i64, (Code, String, Vec<String>)>;

fn outcome(result: Result<Vec<Value>>) -> Outcome {
    result.map(|outputs| outputs[0].i64().unwrap()).map_err(|error| {
        let frames = error.backtrace().iter().map(ToString::to_string).collect();
        (error.code(), error.to_string(), frames)
    })
}

fn step_by_step(
    context: &Context,
    state: &mut InvocationState,
    function: &Function,
    inputs: &[Value],
    steps: &mut u32,
    most: u32,
) -> Option<Result<Vec<Value>>> {
    let mut step = context.begin(state, function, &InvocationOptions::new(), inputs).unwrap();
    loop {
        if *steps == most {
            return None; // and the step is dropped
        }
        *steps += 1;
        step = match step {
            Step::Yielded(yielded) => yielded.resume(),
            Step::Waiting(waiting) => waiting.wait(Timeout::Infinite).resume(),
            Step::Done(done) => {
                let mut outputs = Vec::new();
                return Some(done.end(&mut outputs).unwrap().map(|()| outputs));
            }
        };
    }
}

fn with_world(seed: u64, test: impl Fn(&mut Rand32, &Arc<World>)) {
    let mut random = Rand32::new(seed);
    let failed = Semaphore::new(0);
    failed.fail(Status::new(Code::Unavailable, Operation::SemaphoreWait));
    let count = Count::default();
    let world =
        Arc::new(World { program: program(&mut random), reached: Semaphore::new(1), failed, count: count.clone() });
    test(&mut random, &world);
    assert_eq!(Arc::strong_count(&world), 1, "seed {seed}: {:?}", world.program);
    assert_eq!(count.get(), 0, "seed {seed}: {:?}", world.program);
}

fn inputs(world: &World) -> [Value; 2] {
    [Value::I32(0), world.count.reference().into()]
}

#[test]
fn every_way_of_driving_comes_to_the_same() {
    let failed = std::cell::Cell::new(0);
    for seed in 0..SEEDS {
        with_world(seed, |random, world| {
            let mut expected: Option<Outcome> = None;
            for by_hand in [0, 31, random.rand_range(0..32)] {
                let context = build(world, by_hand, seed % 2 == 0);
                let function = context.lookup(&format!("m{}.f", FUNCTIONS - 1)).unwrap();
                let mut outputs = Vec::new();
                let blocking = context.invoke(&function, &inputs(world), &mut outputs).map(|()| outputs);
                let (mut state, mut steps) = (InvocationState::new(), 0);
                let stepwise =
                    step_by_step(&context, &mut state, &function, &inputs(world), &mut steps, u32::MAX).unwrap();
                let future = context.invoke_async(&function, &InvocationOptions::new(), &inputs(world)).unwrap();
                let mut future = pin!(future);
                let mut cx = TaskContext::from_waker(Waker::noop());
                let asynchronous = loop {
                    if let Poll::Ready(result) = future.as_mut().poll(&mut cx) {
                        break result;
                    }
                };
                for came_to in [blocking, stepwise, asynchronous] {
                    let came_to = outcome(came_to);
                    let expected = expected.get_or_insert_with(|| came_to.clone());
                    assert_eq!(came_to, *expected, "seed {seed}, by hand {by_hand:b}: {:?}", world.program);
                }
            }
            if matches!(expected, Some(Err(_))) {
                failed.set(failed.get() + 1);
            }
        });
    }
    let failures = failed.get();
    assert!(
        cfg!(miri) || (SEEDS / 50..SEEDS * 4 / 5).contains(&failures),
        "{failures} of {SEEDS} fail: too few or many to tell"
    );
}

#[test]
fn giving_up_at_any_step_leaves_nothing() {
    for seed in 0..SEEDS {
        with_world(seed, |random, world| {
            let context = build(world, random.rand_range(0..32), false);
            let function = context.lookup(&format!("m{}.f", FUNCTIONS - 1)).unwrap();
            let mut state = InvocationState::new();
            let mut whole = 0;
            drop(step_by_step(&context, &mut state, &function, &inputs(world), &mut whole, u32::MAX));
            for most in 0..whole {
                let gave_up = step_by_step(&context, &mut state, &function, &inputs(world), &mut 0, most);
                assert!(gave_up.is_none());
                assert_eq!(world.count.get(), 0, "seed {seed}: given up after {most} steps");

                let mut future =
                    Box::pin(context.invoke_async(&function, &InvocationOptions::new(), &inputs(world)).unwrap());
                for _ in 0..most {
                    if future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())).is_ready() {
                        break;
                    }
                }
                drop(future);
                assert_eq!(world.count.get(), 0, "seed {seed}: a future dropped after {most} polls");
            }
        });
    }
}

#[test]
fn failing_a_call_from_outside_at_any_stop_ends_it_or_is_handled_by_who_waits() {
    for seed in 0..SEEDS {
        with_world(seed, |random, world| {
            let context = build(world, random.rand_range(0..32), false);
            let function = context.lookup(&format!("m{}.f", FUNCTIONS - 1)).unwrap();
            let mut state = InvocationState::new();
            for at in 0..20 {
                let options = InvocationOptions::new();
                let mut step = context.begin(&mut state, &function, &options, &inputs(world)).unwrap();
                for _ in 0..at {
                    step = match step {
                        Step::Yielded(yielded) => yielded.resume(),
                        Step::Waiting(waiting) => waiting.wait(Timeout::Infinite).resume(),
                        done => done,
                    };
                }
                match step {
                    Step::Yielded(yielded) => {
                        let done = yielded.fail(Error::new(Code::Cancelled, "enough"));
                        assert_eq!(world.count.get(), 0, "seed {seed}: all is gone before the end is taken");
                        let error = done.end(&mut Vec::new()).unwrap().unwrap_err();
                        assert!(error.is_cancelled() && !error.backtrace().is_empty(), "seed {seed}: {error:?}");
                    }
                    Step::Waiting(waiting) => {
                        let cancelled = Err(Error::new(Code::Cancelled, "enough"));
                        drop(waiting.provide(cancelled).resume().finish());
                    }
                    Step::Done(_) => break,
                }
                assert_eq!(world.count.get(), 0, "seed {seed}: failed at {at}");
            }
        });
    }
}
