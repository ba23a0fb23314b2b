//! Random graphs, given up at every step in every form: all that was allocated is freed. A program with one test:
//! another one's allocations would be counted.
#![cfg(all(feature = "wasm", not(miri)))]
#![allow(dead_code)]

#[path = "graphs/by_hand.rs"]
mod by_hand;
#[path = "graphs/drive.rs"]
mod drive;
#[path = "graphs/graph.rs"]
mod graph;
#[path = "graphs/model.rs"]
mod model;
#[path = "graphs/native.rs"]
mod native;
#[path = "graphs/program.rs"]
mod program;
#[path = "graphs/seeds.rs"]
mod seeds;
#[path = "graphs/shape.rs"]
mod shape;
#[path = "graphs/stage.rs"]
mod stage;
mod support;
#[path = "graphs/world.rs"]
mod world;

use std::alloc::System;

use oorandom::Rand32;
use proact::status::Code;
use proact::time::Timeout;
use proact_vm::event_loop::{Commands, InlineLoop, Loop};
use proact_vm::executor::Executor;
use proact_vm::{AsyncInvocation, Error, InvocationOptions, InvocationState, Policy};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use crate::drive::{Steps, future};
use crate::seeds::each_seed;
use crate::stage::{Compiled, Stage};
use crate::world::{Means, World};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How a call is driven, and given up after so many steps.
#[derive(Clone, Copy, Debug)]
enum Form {
    Stepwise,
    Future,
    /// Cancelled.
    Invocation,
    /// With its executor.
    Shutdown,
    /// With its loop.
    Inline,
}

const FORMS: [Form; 5] = [Form::Stepwise, Form::Future, Form::Invocation, Form::Shutdown, Form::Inline];

/// Steps after which each is given up, at most.
const STEPS_MAX: usize = 12;
/// Runs of which one must free all that it allocates.
const ROUNDS_MAX: usize = 5;

fn run(compiled: &Compiled, form: Form, steps: usize) {
    let stage = compiled.stage(World::new(&compiled.graph, Means::Queue, None));
    let options = InvocationOptions::new();
    match form {
        Form::Stepwise => {
            let mut random = Rand32::new(1);
            let mut all = Steps::new(&mut random);
            all.drops_at = steps;
            drop(all.drive(&stage, &mut InvocationState::new(), 0, &options));
        }
        Form::Future => drop(future(&stage, 0, &options, steps)),
        Form::Invocation | Form::Shutdown => {
            let executor = Executor::polled();
            let given = stage.inputs(0);
            let invocation = executor.create(&stage.context, &stage.root, &Policy::new(), &given.values).unwrap();
            for _ in 0..steps {
                turn(&executor, &stage);
            }
            if matches!(form, Form::Invocation) {
                invocation.cancel();
                while !invocation.is_finished() {
                    turn(&executor, &stage);
                }
            } else {
                executor.shutdown(Timeout::Infinite);
            }
        }
        Form::Inline => {
            let event_loop = InlineLoop::new();
            let given = stage.inputs(0);
            // Nothing is brought while it waits: so it ends when it is to.
            let (context, root, values) = (stage.context.clone(), stage.root.clone(), given.values);
            let begun = event_loop.call(move |event_loop| {
                let call = AsyncInvocation::once(|_, _| Ok(()));
                let event_loop = event_loop?;
                context.invoke_on(event_loop, call, &root, &InvocationOptions::new(), &values)?;
                count_down(event_loop, steps)
            });
            begun.unwrap();
            assert!(event_loop.error().is_some());
        }
    }
    stage.world.take_notes(0);
    stage.end("allocations");
}

fn turn(executor: &Executor, stage: &Stage) {
    // Times that are near pass by themselves.
    if !executor.poll() && !stage.world.bring() {
        std::thread::yield_now();
    }
}

fn count_down(event_loop: &dyn Loop, turns: usize) -> proact_vm::Result {
    match turns {
        0 => Err(Error::new(Code::Unavailable, "the task ends the loop")),
        _ => Ok(event_loop.call(move |event_loop| count_down(event_loop?, turns - 1))?),
    }
}

#[test]
fn whatever_is_given_up_anywhere_is_freed() {
    let region = Region::new(ALLOCATOR);
    let kept = std::hint::black_box(vec![0u8; 100]);
    assert!(region.change().bytes_allocated >= 100, "allocations are counted at all");
    drop(kept);

    each_seed(10, |seed, _, compiled| {
        for form in FORMS {
            for steps in 0..STEPS_MAX {
                // The first ones make what is kept. The harness has a thread of its own, which allocates when it likes.
                let mut changes = Vec::new();
                while changes.len() < ROUNDS_MAX && changes.last() != Some(&(0, 0)) {
                    let region = Region::new(ALLOCATOR);
                    run(compiled, form, steps);
                    let change = region.change();
                    let bytes = change.bytes_allocated as isize - change.bytes_deallocated as isize;
                    changes.push((change.allocations as isize - change.deallocations as isize, bytes));
                }
                assert!(
                    changes.last() == Some(&(0, 0)),
                    "seed {seed}, {form:?} given up after {steps} steps: {changes:?}"
                );
            }
        }
    });
}
