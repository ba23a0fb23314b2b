//! Random graphs of invocations that yield, wait for each other, call, fail and are cancelled: the same results in
//! every form, one end each, and nothing left.

mod support;

use std::sync::Arc;
use std::task::{Context as TaskContext, Waker};
use std::time::Duration;

use oorandom::Rand32;
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact_vm::executor::Executor;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::{WaitFrame, WaitSource};
use proact_vm::{
    Context, Error, Function, Instance, Invocation, InvocationOptions, InvocationState, InvocationStatus as Is,
    OnFailure, Policy, Ref, Result, Step, Value,
};
use support::{Count, Counted};

const SEEDS: u64 = 150;
const LONG: Duration = Duration::from_secs(300);

/// What a call does, one after another. Calls wait for those before them alone.
#[derive(Clone, Copy, Debug)]
enum Act {
    Yield,
    /// For the end of another call; `handled`: its failure is no failure here.
    Wait {
        call: usize,
        handled: bool,
    },
    /// As a future of its own that holds something.
    WaitFuture {
        call: usize,
    },
    /// For the ends of all before it, or a few of them.
    WaitAll {
        calls: usize,
    },
    /// Another function, which yields and waits below this one.
    Call {
        call: usize,
    },
    Fail,
}

#[derive(Debug)]
struct Plan {
    /// What its policy waits for.
    held: Option<usize>,
    acts: Vec<Act>,
}

struct World {
    plans: Vec<Plan>,
    /// Of each call: reaches 1 when it has ended well, fails otherwise.
    ends: Vec<Semaphore>,
    count: Count,
}

fn world(random: &mut Rand32, count: &Count) -> Arc<World> {
    let calls = random.rand_range(2..10) as usize;
    let plan = |index: usize, random: &mut Rand32| {
        let before = |random: &mut Rand32| random.rand_range(0..index.max(1) as u32) as usize;
        let acts = (0..random.rand_range(0..6)).map(|_| match random.rand_range(0..12) {
            0..3 => Act::Yield,
            _ if index == 0 => Act::Yield,
            3..5 => Act::Wait { call: before(random), handled: true },
            5 => Act::Wait { call: before(random), handled: false },
            6..8 => Act::WaitFuture { call: before(random) },
            8 => Act::WaitAll { calls: before(random) + 1 },
            9..11 => Act::Call { call: before(random) },
            _ => Act::Fail,
        });
        let acts = acts.collect();
        Plan { held: (index > 0 && random.rand_range(0..4) == 0).then(|| before(random)), acts }
    };
    let plans = (0..calls).map(|index| plan(index, random)).collect();
    Arc::new(World { plans, ends: (0..calls).map(|_| Semaphore::new(0)).collect(), count: count.clone() })
}

/// A function of the module, whose state is the world.
async fn interpret(caller: Caller<Arc<World>>, index: i32, kept: Arc<Counted>) -> Result<(i64, Ref)> {
    let held = caller.count.one();
    let mut sum = i64::from(index) + 1;
    for act in &caller.plans[index as usize].acts {
        match *act {
            Act::Yield => caller.yield_now().await?,
            Act::Wait { call, handled } => {
                match caller.wait_for(WaitSource::semaphore(&caller.ends[call], 1)).await {
                    Ok(()) => sum += 2,
                    // What was cancelled stays so.
                    Err(error) if handled && !error.is_cancelled() => sum = sum * 5 + error.code() as i64,
                    Err(error) => return Err(error),
                }
            }
            Act::WaitFuture { call } => {
                let (end, counted) = (caller.ends[call].future(1), caller.count.one());
                let future = async move {
                    let ended = end.await;
                    drop(counted);
                    ended.map(drop)
                };
                caller.wait_for(WaitSource::future(future)).await?;
            }
            Act::WaitAll { calls } => {
                let sources = caller.ends[..calls].iter().map(|end| WaitSource::semaphore(end, 1));
                caller.wait(WaitFrame::all(sources)).await?;
                sum *= 3;
            }
            Act::Call { call } => {
                let below: i64 = caller.call(caller.import(0)?, (call as i32, kept.clone())).await?;
                sum = sum.wrapping_mul(7).wrapping_add(below);
            }
            Act::Fail => return Err(Error::new(Code::DataLoss, format!("call {index}"))),
        }
    }
    Ok((sum, Ref::from(Arc::new(held))))
}

fn context(world: &Arc<World>) -> Context {
    let below = world.clone();
    let inner = NativeModule::builder("inner")
        .async_function("wait", move |caller: Caller<()>, call: i32, kept: Arc<Counted>| {
            let (end, held) = (below.ends[call as usize].clone(), kept.count().one());
            async move {
                caller.yield_now().await?;
                caller.wait_for(WaitSource::semaphore(&end, 1)).await?;
                drop(held);
                Ok::<_, Error>(i64::from(call))
            }
        })
        .build()
        .unwrap();
    let state = world.clone();
    let outer = NativeModule::with_state("outer", move || Ok(state.clone()))
        .import("inner.wait", "0ir_I")
        .async_function("run", interpret)
        .build()
        .unwrap();
    Context::builder(&Instance::new()).concurrent().module(inner).module(outer).build().unwrap()
}

type Outcome = Result<i64, Code>;

fn outcome(result: &Result<Vec<Value>>) -> Outcome {
    match result {
        Ok(outputs) => Ok(outputs[0].i64().unwrap()),
        Err(error) => Err(error.code()),
    }
}

fn inputs(world: &World, index: usize) -> [Value; 2] {
    [Value::I32(index as i32), world.count.reference().into()]
}

/// What an executor does by a policy, for those forms that have none.
fn tell(end: &Semaphore, outcome: Outcome) {
    match outcome {
        Ok(_) => end.signal(1, None).unwrap(),
        Err(code) => drop(end.fail(Status::new(code, Operation::None))),
    }
}

/// What its policy would wait for: `None` not over yet.
fn hold(world: &World, index: usize) -> Option<Result<(), Code>> {
    let Some(held) = world.plans[index].held else { return Some(Ok(())) };
    match world.ends[held].status() {
        Some(status) => Some(Err(status.code())),
        None => (world.ends[held].value() == 1).then_some(Ok(())),
    }
}

/// One after another: each waits for those before it alone.
fn synchronous(world: &Arc<World>, context: &Context, run: &Function) -> Vec<Outcome> {
    let outcomes = (0..world.plans.len()).map(|index| {
        let ended = match hold(world, index).expect("those before it are over") {
            Ok(()) => {
                let mut outputs = Vec::new();
                outcome(&context.invoke(run, &inputs(world, index), &mut outputs).map(|()| outputs))
            }
            Err(code) => Err(code),
        };
        tell(&world.ends[index], ended);
        ended
    });
    outcomes.collect()
}

/// All at once, in steps whose order is random.
fn stepwise(world: &Arc<World>, context: &Context, run: &Function, random: &mut Rand32) -> Vec<Outcome> {
    let calls = world.plans.len();
    let mut states: Vec<_> = (0..calls).map(|_| Some(InvocationState::new())).collect();
    let mut states: Vec<_> = states.iter_mut().map(Option::as_mut).collect();
    let mut steps: Vec<Option<Step<'_>>> = (0..calls).map(|_| None).collect();
    let mut outcomes: Vec<Option<Outcome>> = vec![None; calls];
    let mut cx = TaskContext::from_waker(Waker::noop());
    while outcomes.iter().any(Option::is_none) {
        let index = random.rand_range(0..calls as u32) as usize;
        let ended = match steps[index].take() {
            None if outcomes[index].is_some() => continue,
            None => match hold(world, index) {
                None => continue,
                Some(Err(code)) => Err(code),
                Some(Ok(())) => {
                    let state = states[index].take().expect("it begins once");
                    let step = context.begin(state, run, &InvocationOptions::new(), &inputs(world, index));
                    steps[index] = Some(step.unwrap());
                    continue;
                }
            },
            Some(Step::Yielded(yielded)) => {
                steps[index] = Some(yielded.resume());
                continue;
            }
            Some(Step::Waiting(waiting)) => {
                steps[index] = Some(match waiting.poll(&mut cx) {
                    Ok(yielded) => yielded.resume(),
                    Err(waiting) => Step::Waiting(waiting),
                });
                continue;
            }
            Some(Step::Done(done)) => {
                let mut outputs = Vec::new();
                outcome(&done.end(&mut outputs).unwrap().map(|()| outputs))
            }
        };
        tell(&world.ends[index], ended);
        outcomes[index] = Some(ended);
    }
    outcomes.into_iter().flatten().collect()
}

/// All at once, in a random order of creation and with random priorities.
fn create(
    world: &Arc<World>,
    context: &Context,
    run: &Function,
    executor: &Executor,
    random: &mut Rand32,
) -> Vec<Invocation> {
    let mut order: Vec<_> = (0..world.plans.len()).collect();
    for last in (1..order.len()).rev() {
        order.swap(last, random.rand_range(0..last as u32 + 1) as usize);
    }
    let mut invocations: Vec<_> = order
        .into_iter()
        .map(|index| {
            let policy = Policy::new().priority(random.rand_range(0..3) as i32).signal(&world.ends[index], 1);
            let policy = match world.plans[index].held {
                Some(held) => policy.wait_for(&world.ends[held], 1),
                None => policy,
            };
            (index, executor.create(context, run, &policy, &inputs(world, index)).unwrap())
        })
        .collect();
    invocations.sort_by_key(|(index, _)| *index);
    invocations.into_iter().map(|(_, invocation)| invocation).collect()
}

fn executor(random: &mut Rand32) -> (Executor, bool) {
    let threads = random.rand_range(0..4) as usize;
    (Executor::new(threads).unwrap(), threads == 0)
}

/// Runs `test` in a world of `seed`, and looks that nothing is left of it.
fn with_world<T>(seed: u64, test: impl FnOnce(&mut Rand32, &Arc<World>, &Context, &Function) -> T) -> T {
    let (mut random, count) = (Rand32::new(seed), Count::default());
    let world = world(&mut random, &count);
    let context = context(&world);
    let run = context.lookup("outer.run").unwrap();
    let result = test(&mut random, &world, &context, &run);
    assert_eq!(count.get(), 0, "seed {seed}: {:?}", world.plans);
    drop((context, run));
    assert_eq!(Arc::strong_count(&world), 1, "seed {seed}: {:?}", world.plans);
    result
}

#[test]
fn a_graph_comes_to_the_same_in_every_form() {
    let mut failures = 0;
    for seed in 0..SEEDS {
        let expected = with_world(seed, |_, world, context, run| synchronous(world, context, run));
        let steps = with_world(seed, |random, world, context, run| stepwise(world, context, run, random));
        assert_eq!(steps, expected, "seed {seed}: step by step");
        for round in 0..3 {
            let stateful = with_world(seed, |random, world, context, run| {
                for _ in 0..round {
                    random.rand_u32();
                }
                let (executor, is_polled) = executor(random);
                let invocations = create(world, context, run, &executor, random);
                if is_polled {
                    assert_eq!(executor.run_until_idle(), 0);
                }
                invocations
                    .iter()
                    .map(|invocation| outcome(&invocation.wait(LONG).map(<[Value]>::to_vec)))
                    .collect::<Vec<_>>()
            });
            assert_eq!(stateful, expected, "seed {seed}: stateful");
        }
        failures += expected.iter().filter(|outcome| outcome.is_err()).count();
    }
    assert!(failures > SEEDS as usize / 2, "{failures}: too few to tell");
}

/// That an invocation has one end, whatever was asked of it, and tells it everywhere.
fn expect_one_end(seed: u64, index: usize, invocation: &Invocation, end: &Semaphore) {
    let about = format!("seed {seed}, call {index}: {invocation:?}");
    let waited = invocation.wait(LONG).map(<[Value]>::to_vec);
    let status = invocation.status();
    assert!(status.is_finished(), "{about}");
    assert_eq!(waited.is_ok(), status == Is::Done, "{about}");
    assert_eq!((invocation.outputs().is_some(), invocation.error().is_some()), (waited.is_ok(), waited.is_err()));
    assert!(invocation.refused_signal().is_none(), "{about}: it was told once");
    match &waited {
        Ok(_) => assert_eq!((end.value(), end.status().is_none()), (1, true), "{about}"),
        Err(error) => assert_eq!(end.status().map(|status| status.code()), Some(error.code()), "{about}"),
    }
    invocation.cancel();
    assert_eq!(invocation.status(), status, "{about}: for good");
}

#[test]
fn what_is_cancelled_at_random_ends_once_and_leaves_nothing() {
    let mut ends = [0; 7];
    for seed in 0..SEEDS {
        with_world(seed, |random, world, context, run| {
            let (executor, is_polled) = executor(random);
            let invocations = create(world, context, run, &executor, random);
            let victims: Vec<_> = (0..random.rand_range(1..6))
                .map(|_| {
                    let index = random.rand_range(0..invocations.len() as u32) as usize;
                    (random.rand_range(0..6), invocations[index].clone())
                })
                .collect();
            // A third of the runs is ended in the middle.
            let shuts_down = random.rand_range(0..3) == 0;
            for (polls, victim) in victims {
                for _ in 0..polls {
                    match is_polled {
                        true => drop(executor.poll()),
                        false => std::thread::yield_now(),
                    }
                }
                victim.cancel();
            }
            if shuts_down {
                assert_eq!(executor.shutdown(LONG).stuck, 0, "seed {seed}");
            } else if is_polled {
                assert_eq!(executor.run_until_idle(), 0, "seed {seed}");
            }
            for (index, invocation) in invocations.iter().enumerate() {
                // Which policy's semaphores fail or not is told after the outcome: the executor has then forgotten it.
                let end = &world.ends[index];
                while invocation.is_finished() && end.value() == 0 && end.status().is_none() {
                    std::thread::yield_now();
                }
                let _ = invocation.wait(LONG);
            }
            assert!(executor.drain(LONG), "seed {seed}");
            for (index, invocation) in invocations.iter().enumerate() {
                expect_one_end(seed, index, invocation, &world.ends[index]);
                ends[invocation.status() as usize] += 1;
            }
        });
    }
    let [.., done, failed, cancelled, aborted] = ends;
    assert!(done > 50 && failed > 50 && cancelled > 10 && aborted > 10, "{ends:?}: too few to tell");
}

#[test]
fn deadlines_at_random_end_what_is_late_once() {
    for seed in 0..SEEDS / 3 {
        with_world(seed, |random, world, context, run| {
            let executor = Executor::new(2).unwrap();
            let invocations: Vec<_> = (0..world.plans.len())
                .map(|index| {
                    let deadline = Duration::from_micros(random.rand_range(0..300).into());
                    let policy = Policy::new().deadline(deadline).signal(&world.ends[index], 1);
                    executor.create(context, run, &policy, &inputs(world, index)).unwrap()
                })
                .collect();
            assert!(executor.drain(LONG), "seed {seed}");
            for (index, invocation) in invocations.iter().enumerate() {
                expect_one_end(seed, index, invocation, &world.ends[index]);
            }
        });
    }
}

#[test]
fn a_bad_end_taints_what_was_promised_under_every_schedule() {
    for seed in 0..SEEDS / 3 {
        with_world(seed, |random, world, context, run| {
            let (executor, is_polled) = executor(random);
            let policy = |end| Policy::new().signal(end, 1).on_failure(OnFailure::SignalTainted);
            let invocations: Vec<_> = (0..world.plans.len())
                .map(|index| executor.create(context, run, &policy(&world.ends[index]), &inputs(world, index)).unwrap())
                .collect();
            if is_polled {
                executor.run_until_idle();
            }
            assert!(executor.drain(LONG), "seed {seed}");
            for (invocation, end) in invocations.iter().zip(&world.ends) {
                let is_done = invocation.status() == Is::Done;
                // Of a good end nobody may vouch either, where it waited for futures.
                assert!(end.value() == 1 && (is_done || end.is_tainted(1)), "seed {seed}: {invocation:?}");
            }
        });
    }
}
