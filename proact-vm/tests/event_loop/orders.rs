//! What chance decides in a simulated world.

use std::collections::BTreeSet;
use std::time::Duration;

use proact::operation::{Op, SemaphoreSignal};
use proact::simulated::{Stalled, World, exhaust};
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::event_loop::{Commands, DeterministicLoop, Loop};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{AsyncInvocation, Context, Error, Instance, InvocationOptions, Result, Value};

use super::stage::{Log, code};
use super::support::Count;

/// The order of three calls.
fn order(world: &World) -> Vec<String> {
    let event_loop = DeterministicLoop::new(&world.host("a")).unwrap();
    let log = Log::default();
    for name in ["a", "b", "c"] {
        event_loop.call(log.call(name)).unwrap();
    }
    event_loop.drain(Timeout::Infinite).unwrap();
    log.take()
}

#[test]
fn a_seed_decides_the_order_and_the_same_seed_the_same() {
    let orders: BTreeSet<_> = (0..64).map(|seed| order(&World::new(seed))).collect();
    assert_eq!(orders.len(), 6, "every order comes to pass");
    for seed in 0..64 {
        assert_eq!(order(&World::new(seed)), order(&World::new(seed)), "seed {seed}");
    }
}

#[test]
fn every_order_can_be_gone_through() {
    let mut orders = BTreeSet::new();
    exhaust(100, |world| {
        orders.insert(order(world));
    });
    assert_eq!(orders.len(), 6);
}

#[test]
fn time_passes_only_when_nothing_else_can_happen() {
    let world = World::new(7);
    let event_loop = DeterministicLoop::new(&world.host("a")).unwrap();
    let log = Log::default();
    let own = log.clone();
    event_loop.wait_until(Duration::from_secs(86_400), log.wait("a day")).unwrap();
    event_loop.call(move |event_loop| Ok(event_loop?.call(own.call("now"))?)).unwrap();
    event_loop.drain(Timeout::Infinite).unwrap();
    assert_eq!(log.take(), ["now OK", "a day 0"]);
    assert_eq!(world.now().as_nanoseconds(), 86_400 * 1_000_000_000);
}

#[test]
fn it_runs_side_by_side_with_others_of_its_world() {
    let world = World::new(3);
    let event_loop = DeterministicLoop::new(&world.host("a")).unwrap();
    let mut other = world.host("b").builder().build().unwrap();
    let (log, semaphore) = (Log::default(), Semaphore::new(0));
    event_loop.wait_one(WaitSource::semaphore(&semaphore, 1), Timeout::Infinite, log.wait("one")).unwrap();
    assert_eq!(event_loop.run(&mut [], Duration::from_secs(1)).unwrap(), Stalled::AtRest);
    other.submit(Op::new(SemaphoreSignal::new(semaphore, 1), ())).unwrap();
    assert_eq!(event_loop.run(&mut [&mut other], Duration::from_secs(1)).unwrap(), Stalled::Done);
    assert_eq!(log.take(), ["one 0"]);
}

/// Two calls that stop, and a task that ends the loop, in every order there is.
#[test]
fn in_every_order_each_call_is_told_once_and_nothing_is_left() {
    let mut ends = BTreeSet::new();
    let ran = exhaust(20_000, |world| {
        let event_loop = DeterministicLoop::new(&world.host("a")).unwrap();
        let (log, count) = (Log::default(), Count::default());
        let held = count.clone();
        let module = NativeModule::builder("m")
            .async_function("f", move |caller: Caller<()>, stops: i32| {
                let held = held.one();
                async move {
                    let _held = held;
                    for _ in 0..stops {
                        caller.yield_now().await?;
                    }
                    caller.wait_for(WaitSource::semaphore(&Semaphore::new(1), 1)).await
                }
            })
            .build()
            .unwrap();
        let context = Context::builder(&Instance::new()).concurrent().module(module).build().unwrap();
        let f = context.lookup("m.f").unwrap();
        for (name, stops) in [("a", 0), ("b", 1)] {
            let own = log.clone();
            let call = AsyncInvocation::once(move |outputs, _| {
                own.add(format!("{name} {}", code(&outputs.map(drop))));
                Ok(())
            });
            context.invoke_on(&event_loop, call, &f, &InvocationOptions::new(), &[Value::I32(stops)]).unwrap();
        }
        let end = |event_loop: Result<&dyn Loop>| {
            Ok(event_loop?.call(|event_loop| event_loop.and(Err(Error::new(Code::Cancelled, "enough"))))?)
        };
        event_loop.call(end).unwrap();
        event_loop.drain(Timeout::Infinite).unwrap();
        let told = log.take_sorted();
        assert!(told.len() == 2 && told[0].starts_with("a ") && told[1].starts_with("b "), "{told:?}");
        assert_eq!(count.get(), 0);
        ends.insert(told);
    });
    assert!(ran.complete && ran.runs > 10, "{ran:?}");
    assert_eq!(ends.len(), 4, "each of the calls ends well, or is aborted: {ends:?}");
}

#[test]
fn what_is_pending_in_a_loop_that_is_dropped_is_aborted() {
    let world = World::new(5);
    let event_loop = DeterministicLoop::new(&world.host("a")).unwrap();
    let log = Log::default();
    event_loop.wait_until(Duration::from_secs(3600), log.wait("until")).unwrap();
    event_loop.run(&mut [], Duration::from_secs(1)).unwrap();
    drop(event_loop);
    assert_eq!(log.take(), ["until aborted ABORTED"]);
    assert!(world.now().as_nanoseconds() < 3600 * 1_000_000_000);
}
