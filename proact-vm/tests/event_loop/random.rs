//! Random calls on every loop, with deadlines, failures, and loops that end anywhere: exactly one callback each, the
//! same results as calls that hold their thread where nothing ended them, and nothing left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oorandom::Rand32;
use proact::proactor::{Builder, Choice};
use proact::simulated::World;
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::event_loop::{Commands, DeterministicLoop, InlineLoop, Loop, ProactorLoop};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::{WaitFrame, WaitSource};
use proact_vm::{AsyncInvocation, Context, Error, InvocationCallback, InvocationOptions, Ref, Result, Value};

use super::support::{Count, Counted, Polls, context};

const SEEDS: u64 = 150;
const CALLS: usize = 6;

/// Does what the seed says, a level deep or on the ground.
async fn act(caller: Caller<Count>, seed: i64, kept: Ref, deep: bool) -> Result<i64> {
    let held = caller.state().one();
    let mut random = Rand32::new(seed as u64);
    let mut sum = seed;
    for _ in 0..random.rand_range(0..6) {
        match random.rand_range(0..8) {
            0 | 1 => caller.yield_now().await?,
            2 => caller.sleep(Duration::from_nanos(u64::from(random.rand_range(0..3000)))).await?,
            3 => caller.wait_for(WaitSource::future(Polls(random.rand_range(0..4)))).await?,
            4 => {
                let never = Semaphore::new(0);
                let there = WaitSource::future(Polls(random.rand_range(0..3)));
                sum += caller.wait(WaitFrame::any([WaitSource::semaphore(&never, 1), there])).await? as i64;
            }
            5 => {
                let soon = caller.clock().now() + Duration::from_nanos(500);
                let frame = WaitFrame::all([WaitSource::semaphore(&Semaphore::new(0), 1)]).deadline(soon);
                assert_eq!(caller.wait(frame).await.unwrap_err().code(), Code::DeadlineExceeded);
                sum = sum.wrapping_mul(3);
            }
            6 if random.rand_range(0..4) == 0 => return Err(Error::new(Code::DataLoss, "as the seed says")),
            _ if deep => {
                let below = i64::from(random.rand_range(0..1000));
                match caller.call::<_, i64>(caller.import(0)?, (below, kept.clone())).await {
                    Ok(below) => sum = sum.wrapping_add(below),
                    Err(error) if error.code() == Code::DataLoss && random.rand_range(0..2) == 0 => sum -= 1,
                    Err(error) => return Err(error),
                }
            }
            _ => sum += 1,
        }
    }
    drop(held);
    Ok(sum)
}

fn program(count: &Count) -> Context {
    let (own, other) = (count.clone(), count.clone());
    let module = |name: &str, count: Count| NativeModule::with_state(name, move || Ok(count.clone()));
    let ground = module("ground", own)
        .async_function("act", |caller: Caller<Count>, seed: i64, kept: Ref| act(caller, seed, kept, false))
        .build()
        .unwrap();
    let deep = module("deep", other)
        .import("ground.act", "0Ir_I")
        .async_function("act", |caller: Caller<Count>, seed: i64, kept: Ref| act(caller, seed, kept, true))
        .build()
        .unwrap();
    context([ground, deep])
}

/// What a run is disturbed by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Disturbed {
    No,
    /// A task ends the loop after so many turns of its own.
    Ends(u32),
    /// The callback of this call fails.
    Fails(usize),
    /// Each call has this deadline.
    Late(u64),
}

struct Ended {
    index: usize,
    results: Arc<[std::sync::OnceLock<Result<i64, Code>>]>,
    fails: bool,
    _held: Counted,
}

impl InvocationCallback for Ended {
    fn done(call: Box<AsyncInvocation<Ended>>, result: Result, event_loop: Option<&dyn Loop>) -> Result {
        assert_eq!(event_loop.is_none(), matches!(&result, Err(error) if error.code() == Code::Aborted));
        let result = match result {
            Ok(()) => call.outputs()[0].i64().map_err(|error| error.code()),
            Err(error) => {
                assert!(call.outputs().is_empty());
                Err(error.code())
            }
        };
        let told = call.callback.results[call.callback.index].set(result);
        assert!(told.is_ok(), "call {} was told twice", call.callback.index);
        if call.callback.fails { Err(Error::new(Code::Unavailable, "the callback fails")) } else { Ok(()) }
    }
}

fn count_down(event_loop: &dyn Loop, turns: u32) -> Result {
    match turns {
        0 => Err(Error::new(Code::Unavailable, "the task ends the loop")),
        _ => Ok(event_loop.call(move |event_loop| count_down(event_loop?, turns - 1))?),
    }
}

type First = Box<dyn FnOnce(&dyn Loop) -> Result + Send>;

/// One run: `drive` gives the loop a first call, and runs it until nothing is pending. `may_end`: or ends it before.
fn run(name: &str, seed: u64, may_end: bool, drive: &dyn Fn(First)) {
    let mut random = Rand32::new(seed);
    let disturbed = match random.rand_range(0..5) {
        0 | 1 => Disturbed::No,
        2 => Disturbed::Ends(random.rand_range(0..20)),
        3 => Disturbed::Fails(random.rand_range(0..CALLS as u32) as usize),
        _ => Disturbed::Late(u64::from(random.rand_range(0..4000))),
    };
    let what = format!("seed {seed} on {name}, disturbed: {disturbed:?}");
    let count = Count::default();
    let context = program(&count);
    let function = context.lookup("deep.act").unwrap();
    let seeds: Vec<i64> = (0..CALLS).map(|_| i64::from(random.rand_u32())).collect();
    let results: Arc<[_]> = (0..CALLS).map(|_| std::sync::OnceLock::new()).collect();

    let (own, told, counted, inputs) = (context.clone(), results.clone(), count.clone(), seeds.clone());
    let callee = function.clone();
    drive(Box::new(move |event_loop| {
        for (index, seed) in inputs.into_iter().enumerate() {
            let fails = disturbed == Disturbed::Fails(index);
            let ended = Ended { index, results: told.clone(), fails, _held: counted.one() };
            let options = match disturbed {
                Disturbed::Late(nanoseconds) => InvocationOptions::new().deadline(Duration::from_nanos(nanoseconds)),
                _ => InvocationOptions::new(),
            };
            let inputs = [Value::I64(seed), Value::Ref(counted.reference())];
            own.invoke_on(event_loop, AsyncInvocation::new(ended), &callee, &options, &inputs)?;
        }
        match disturbed {
            Disturbed::Ends(turns) => count_down(event_loop, turns),
            _ => Ok(()),
        }
    }));

    assert_eq!(count.get(), 0, "{what}: something is left");
    let mut aborted = 0;
    for (index, seed) in seeds.into_iter().enumerate() {
        let told = results[index].get().unwrap_or_else(|| panic!("{what}: call {index} was never told"));
        let mut outputs = Vec::new();
        let inputs = [Value::I64(seed), Value::Ref(Ref::NULL)];
        let plain = context.invoke(&function, &inputs, &mut outputs);
        let plain = plain.map_err(|error| error.code()).map(|()| outputs[0].i64().unwrap());
        match told {
            Err(Code::Aborted) => aborted += 1,
            Err(Code::DeadlineExceeded) if matches!(disturbed, Disturbed::Late(_)) => {}
            told => assert_eq!(*told, plain, "{what}: call {index}"),
        }
    }
    if !may_end && matches!(disturbed, Disturbed::No | Disturbed::Late(_)) {
        assert_eq!(aborted, 0, "{what}");
    }
}

#[test]
fn on_the_inline_loop() {
    for seed in 0..SEEDS {
        run("the inline loop", seed, false, &|first| {
            let event_loop = InlineLoop::with_capacity(CALLS + 1);
            event_loop.call(|event_loop| first(event_loop?)).unwrap();
            event_loop.drain(Timeout::Immediate).unwrap();
        });
    }
}

#[test]
fn in_a_simulated_world() {
    for seed in 0..SEEDS {
        run("the deterministic loop", seed, false, &|first| {
            let world = World::new(seed);
            let event_loop = DeterministicLoop::new(&world.host("a")).unwrap();
            event_loop.call(|event_loop| first(event_loop?)).unwrap();
            event_loop.drain(Timeout::Infinite).unwrap();
        });
    }
}

#[test]
fn on_proactors() {
    for choice in Choice::ALL {
        let mut proactor = match Builder::new().backend(choice).build() {
            Ok(proactor) => std::cell::RefCell::new(proactor),
            Err(status) if choice == Choice::IoUring => {
                eprintln!("skipped: no io_uring here: {status}");
                continue;
            }
            Err(status) => panic!("{choice:?}: {status}"),
        };
        for seed in 0..SEEDS {
            run(choice.name(), seed, false, &|first| {
                let event_loop = ProactorLoop::here(&proactor.borrow());
                event_loop.call(|event_loop| first(event_loop?)).unwrap();
                event_loop.run(&mut proactor.borrow_mut(), Duration::from_secs(60)).unwrap();
            });
        }
        assert_eq!(proactor.get_mut().pending(), 0);
    }
}

#[test]
fn a_proactor_that_is_shut_down_anywhere_tells_each_call_once() {
    for seed in 0..SEEDS {
        run("a proactor that is shut down", seed, true, &|first| {
            let mut proactor = Builder::new().backend(Choice::Epoll).build().unwrap();
            let event_loop = ProactorLoop::here(&proactor);
            let begun = Arc::new(AtomicBool::new(false));
            let own = begun.clone();
            event_loop
                .call(move |event_loop| {
                    own.store(true, Ordering::SeqCst);
                    first(event_loop?)
                })
                .unwrap();
            let mut more = seed % 7;
            while !begun.load(Ordering::SeqCst) || more > 0 {
                more = more.saturating_sub(u64::from(begun.load(Ordering::SeqCst)));
                proactor.poll(Timeout::Immediate).unwrap();
            }
            assert_eq!(proactor.shutdown(Duration::from_secs(5)), 0);
            assert_eq!(event_loop.pending(), 0);
        });
    }
}
