//! Calls in simulated worlds, where the model knows all times: a deadline or a cancellation at any time ends them where
//! and when it says.

use std::cell::Cell;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use oorandom::Rand32;
use proact::simulated;
use proact::time::{Time, Timeout};
use proact_vm::event_loop::{DeterministicLoop, Loop};
use proact_vm::executor::Executor;
use proact_vm::{AsyncInvocation, InvocationOptions, Policy, Value};

use crate::drive::{Flag, PATIENCE};
use crate::model::{Disturbed, Model, Outcome};
use crate::seeds::each_seed;
use crate::stage::Compiled;
use crate::world::{Means, WORDS, World};

/// Runs a test at random times of each graph whose times are known: at none at which anything else happens.
fn at_any_time(test: impl Fn(u64, &Compiled, Duration)) {
    const SEEDS: u64 = 100;
    let timed = Cell::new(0);
    let run = |seed: u64, random: &mut Rand32, compiled: &Compiled| {
        if compiled.graph.is_sliced() || !compiled.graph.is_timed() {
            return;
        }
        timed.set(timed.get() + 1);
        let mut whole = Model::new(&compiled.graph, &WORDS, Disturbed::No);
        whole.root(0);
        let total = whole.now.as_nanos() as u32;
        for _ in 0..6 {
            let time = random.rand_range(0..total + 1000) / 100 * 100 + 50;
            test(seed, compiled, Duration::from_nanos(u64::from(time)));
        }
    };
    each_seed(SEEDS, run);
    let is_usual = !std::env::vars().any(|(name, _)| name.starts_with("PROACT_GRAPH_"));
    assert!(!is_usual || timed.get() > 8, "times are known of {} of {SEEDS}", timed.get());
}

/// What the model says, and when the call ends.
fn model(compiled: &Compiled, disturbed: Disturbed) -> (Outcome, Time) {
    let mut model = Model::new(&compiled.graph, &WORDS, disturbed);
    let outcome = model.root(0);
    (outcome, Time::ORIGIN + model.now)
}

#[test]
fn a_deadline_on_a_loop_ends_a_call_where_and_when_the_model_says() {
    at_any_time(|seed, compiled, deadline| {
        let world = simulated::World::new(seed);
        let event_loop = DeterministicLoop::new(&world.host("a")).unwrap();
        let stage = compiled.stage(World::new(&compiled.graph, Means::Simulated(world.clone()), None));
        let given = stage.inputs(0);
        let told = Arc::new(OnceLock::new());
        let (own, clock) = (told.clone(), world.clock());
        let call = AsyncInvocation::once(move |result, _| {
            assert!(own.set((result, clock.now())).is_ok(), "told twice");
            Ok(())
        });
        let options = InvocationOptions::new().deadline(deadline);
        stage.context.invoke_on(&event_loop, call, &stage.root, &options, &given.values).unwrap();
        event_loop.drain(Timeout::Infinite).unwrap();
        let (result, now) = told.get().expect("it is told").clone();
        let what = format!("seed {seed}, a deadline at {deadline:?}");
        let came_to = (stage.outcome(0, &given, result), now);
        assert_eq!(came_to, model(compiled, Disturbed::Deadline(deadline)), "{what}");
        drop((given, told));
        stage.end(&what);
    });
}

#[test]
fn a_deadline_or_a_cancellation_ends_an_invocation_where_and_when_the_model_says() {
    at_any_time(|seed, compiled, time| {
        for disturbed in [Disturbed::Deadline(time), Disturbed::CancelledAt(time)] {
            let world = simulated::World::new(seed);
            let clock = world.clock();
            let stage = compiled.stage(World::new(&compiled.graph, Means::Simulated(world.clone()), None));
            let executor = Executor::builder().clock(clock.clone()).queue("main", 0).build().unwrap();
            let (flag, waker) = Flag::new();
            executor.on_ready(waker);
            let given = stage.inputs(0);
            let mut policy = Policy::new();
            if let Disturbed::Deadline(time) = disturbed {
                policy = policy.deadline(time);
            }
            let invocation = executor.create(&stage.context, &stage.root, &policy, &given.values).unwrap();
            // What is planned and does not happen would hold it as long as the world.
            let cancelled = Arc::new(Mutex::new(Some(invocation.clone())));
            if disturbed == Disturbed::CancelledAt(time) {
                let cancelled = cancelled.clone();
                world.after(time, move |_| {
                    if let Some(invocation) = &*cancelled.lock().unwrap() {
                        invocation.cancel();
                    }
                });
            }
            let what = format!("seed {seed}, {disturbed:?}");
            loop {
                flag.take();
                executor.run_until_idle();
                if invocation.is_finished() {
                    break;
                }
                let next = executor.next_time();
                if let Some(next) = next {
                    world.after(next.since(clock.now()), |_| {});
                }
                let is_due = || flag.is_woken() || next.is_some_and(|next| clock.now() >= next);
                world.run_until(&mut [], 1000 * PATIENCE, |_| is_due()).unwrap();
                assert!(is_due(), "{what}: nothing in the world wakes it");
            }
            let result = invocation.wait(Timeout::Immediate).map(<[Value]>::to_vec);
            let came_to = (stage.outcome(0, &given, result), clock.now());
            assert_eq!(came_to, model(compiled, disturbed), "{what}");
            *cancelled.lock().unwrap() = None;
            drop((given, invocation, executor));
            stage.end(&what);
        }
    });
}
