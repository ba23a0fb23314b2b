//! Calls that are given up, failed or cancelled at any step: the rest of them is what the model says, and nothing is
//! left of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proact::status::Code;
use proact::time::Timeout;
use proact_vm::event_loop::{Commands, InlineLoop, Loop, ProactorLoop};
use proact_vm::executor::Executor;
use proact_vm::{Arena, Error, InvocationOptions, InvocationState, InvocationStatus, Policy, Result, Value};

use crate::drive::{PATIENCE, Steps, blocking, future};
use crate::forms::{Calls, First, is_aborted, proactors, settle};
use crate::model::{Disturbed, Model, Outcome};
use crate::seeds::each_seed;
use crate::stage::{Stage, late, model};
use crate::world::{Means, WORDS, World};

/// Steps at which each graph is given up: of more, every so many.
const PLACES_MAX: usize = 24;

fn places(steps: usize) -> impl Iterator<Item = usize> {
    (0..steps).step_by(steps.div_ceil(PLACES_MAX).max(1))
}

/// A context whose calls were given up takes others.
#[track_caller]
fn is_usable(stage: &Stage, seed: u64) {
    let outcome = blocking(stage, 0, &InvocationOptions::new().deadline(PATIENCE));
    assert_eq!(outcome, model(&stage.world.graph, Disturbed::No, 0), "seed {seed}: afterwards");
}

#[test]
fn a_call_that_is_dropped_at_any_step_leaves_nothing() {
    each_seed(15, |seed, random, compiled| {
        for world in [World::new(&compiled.graph, Means::Queue, None), World::threaded(&compiled.graph)] {
            let stage = compiled.stage(world);
            let arena = Arena::new(1 << 20);
            let options = InvocationOptions::new().arena(&arena);
            let mut state = InvocationState::new();
            let mut whole = Steps::new(random);
            let outcome = whole.drive(&stage, &mut state, 0, &options).unwrap();
            assert_eq!(outcome, model(&compiled.graph, Disturbed::No, 0), "seed {seed}");
            let stops = whole.stops.len();
            for place in places(stops + 1) {
                let mut steps = Steps::new(random);
                steps.drops_at = place;
                let is_given_up = steps.drive(&stage, &mut state, 0, &options).is_none();
                // Futures that a function polls by itself may be there sooner.
                assert!(is_given_up || steps.stops.len() <= place, "seed {seed}, stop {place} of {stops}");
                stage.check(&format!("dropped at stop {place}"));
                assert_eq!(arena.in_use(), 0, "seed {seed}, stop {place}: memory of the arena is not given back");

                let _ = future(&stage, 0, &options, place);
                stage.check(&format!("a future dropped after {place} polls"));
                assert_eq!(arena.in_use(), 0, "seed {seed}, {place} polls: memory of the arena is not given back");
            }
            drop(state);
            stage.end("dropped steps");
        }
    });
}

#[test]
fn a_call_that_is_failed_at_any_stop_goes_on_as_the_model_says() {
    each_seed(30, |seed, random, compiled| {
        if compiled.graph.is_sliced() {
            return; // its stops are not the model's
        }
        let stage = compiled.stage(World::threaded(&compiled.graph));
        let options = InvocationOptions::new();
        let mut whole = Model::new(&compiled.graph, &WORDS, Disturbed::No);
        whole.root(0);
        let mut state = InvocationState::new();
        for place in places(whole.stops.len()) {
            let mut steps = Steps::new(random);
            steps.fails_at = place;
            let outcome = steps.drive(&stage, &mut state, 0, &options).unwrap();
            assert_eq!(outcome, model(&compiled.graph, Disturbed::FailedAt(place), 0), "seed {seed}, stop {place}");
            stage.check(&format!("failed at stop {place}"));
        }
        is_usable(&stage, seed);
        stage.end("failed stops");
    });
}

#[test]
fn a_call_that_is_late_goes_on_as_the_model_says() {
    each_seed(40, |seed, random, compiled| {
        if compiled.graph.is_sliced() {
            return;
        }
        let stage = compiled.stage(World::threaded(&compiled.graph));
        let expected = model(&compiled.graph, Disturbed::Late, 0);
        assert_eq!(blocking(&stage, 0, &late()), expected, "blocking, seed {seed}");
        let stepwise = Steps::by_waiting(random).drive(&stage, &mut InvocationState::new(), 0, &late());
        assert_eq!(stepwise.as_ref(), Some(&expected), "stepwise, seed {seed}");
        assert_eq!(future(&stage, 0, &late(), usize::MAX), Some(expected), "a future, seed {seed}");
        stage.end("late");
    });
}

#[test]
fn an_invocation_that_is_cancelled_anywhere_goes_on_as_the_model_says() {
    each_seed(30, |seed, _, compiled| {
        let stage = compiled.stage(World::threaded(&compiled.graph));
        let executor = Executor::polled();
        let notes = model(&compiled.graph, Disturbed::No, 0).notes.len();
        for after in 1..=notes.min(PLACES_MAX) {
            let given = stage.inputs(0);
            let invocation = executor.create(&stage.context, &stage.root, &Policy::new(), &given.values).unwrap();
            let cancelled = invocation.clone();
            let on_note = move |count| {
                if count == after {
                    cancelled.cancel()
                }
            };
            *stage.world.on_note.lock().unwrap() = Some(Box::new(on_note));
            assert!(executor.run_until(&invocation, PATIENCE), "seed {seed}: cancelled after {after} notes, it hangs");
            *stage.world.on_note.lock().unwrap() = None;
            let outcome = stage.outcome(0, &given, invocation.wait(Timeout::Immediate).map(<[Value]>::to_vec));
            let expected = model(&compiled.graph, Disturbed::CancelledAfter(after), 0);
            if !compiled.graph.is_sliced() {
                assert_eq!(outcome, expected, "seed {seed}: cancelled after {after} notes");
            }
            let is_cancelled = outcome.result.as_ref().is_err_and(|failure| failure.code == Code::Cancelled);
            assert_eq!(invocation.status() == InvocationStatus::Cancelled, is_cancelled, "seed {seed}: {invocation}");
            drop((given, invocation));
            stage.check(&format!("cancelled after {after} notes"));
        }
        drop(executor);
        is_usable(&stage, seed);
        stage.end("cancelled invocations");
    });
}

/// How an invocation is ended from outside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ends {
    Cancel,
    Shutdown,
}

#[test]
fn invocations_that_are_ended_after_any_turn_leave_nothing() {
    each_seed(12, |seed, _, compiled| {
        let stage = compiled.stage(World::new(&compiled.graph, Means::Queue, None));
        let expected = model(&compiled.graph, Disturbed::No, 0);
        for ends in [Ends::Cancel, Ends::Shutdown] {
            for turns in 0..PLACES_MAX {
                let executor = Executor::polled();
                let given = stage.inputs(0);
                let create = || executor.create(&stage.context, &stage.root, &Policy::new(), &given.values).unwrap();
                let invocation = create();
                for _ in 0..turns {
                    // Times that are near pass by themselves.
                    if !executor.poll() && !stage.world.bring() {
                        std::thread::yield_now();
                    }
                }
                let is_over = invocation.is_finished();
                match ends {
                    Ends::Cancel => {
                        invocation.cancel();
                        while !invocation.is_finished() {
                            assert!(
                                executor.poll() || stage.world.bring() || executor.next_time().is_some(),
                                "it hangs"
                            );
                        }
                    }
                    Ends::Shutdown => {
                        let shutdown = executor.shutdown(PATIENCE);
                        assert_eq!((shutdown.aborted, shutdown.stuck), (usize::from(!is_over), 0), "seed {seed}");
                    }
                }
                let outcome = stage.outcome(0, &given, invocation.wait(Timeout::Immediate).map(<[Value]>::to_vec));
                match (is_over, ends) {
                    (true, _) => assert_eq!(outcome, expected, "seed {seed}"),
                    (false, Ends::Shutdown) => assert!(is_aborted(&outcome), "seed {seed}: {outcome:?}"),
                    // Heard by its wait, it may still return or fail by itself, but it stops no more.
                    (false, Ends::Cancel) => {
                        let is_cancelled =
                            outcome.result.as_ref().is_err_and(|failure| failure.code == Code::Cancelled);
                        let says_so = invocation.status() == InvocationStatus::Cancelled;
                        assert_eq!(says_so, is_cancelled, "seed {seed}: {invocation} {outcome:?}");
                        assert!(turns > 0 || is_cancelled && outcome.notes.is_empty(), "seed {seed}: it has begun");
                    }
                }
                drop((given, invocation, executor));
                stage.check(&format!("{ends:?} after {turns} turns"));
            }
        }
        stage.end("ended invocations");
    });
}

/// Each was told once: that it was aborted, or of the model's outcome, where that does not depend on operations, which
/// a shutdown cancels.
fn check(stage: &Stage, calls: Calls, expected: &[Outcome], what: &str) {
    for (came_to, expected) in calls.outcomes(stage).iter().zip(expected) {
        let is_open = stage.world.graph.has_operations();
        assert!(is_open || came_to == expected || is_aborted(came_to), "{what}: {came_to:#?}, not {expected:#?}");
    }
}

fn count_down(event_loop: &dyn Loop, turns: usize) -> Result {
    match turns {
        0 => Err(Error::new(Code::Unavailable, "the task ends the loop")),
        _ => Ok(event_loop.call(move |event_loop| count_down(event_loop?, turns - 1))?),
    }
}

#[test]
fn loops_that_end_after_any_turn_tell_each_call_once_and_leave_nothing() {
    each_seed(12, |seed, _, compiled| {
        let stage = compiled.stage(World::threaded(&compiled.graph));
        let expected: Vec<Outcome> = (0..3).map(|run| model(&compiled.graph, Disturbed::No, run)).collect();
        let mut whole = Model::new(&compiled.graph, &WORDS, Disturbed::No);
        whole.root(0);
        for turns in 0..(2 * whole.stops.len() + 3).min(60) {
            let (calls, first) = Calls::new(&stage, &InvocationOptions::new());
            let event_loop = InlineLoop::with_capacity(8);
            event_loop
                .call(move |event_loop| {
                    let event_loop = event_loop?;
                    first(event_loop)?;
                    count_down(event_loop, turns)
                })
                .unwrap();
            assert_eq!(event_loop.error().map(|error| error.code()), Some(Code::Unavailable));
            drop(event_loop);
            check(&stage, calls, &expected, &format!("seed {seed}: a loop that ends after {turns} turns"));
            stage.check(&format!("a loop that ends after {turns} turns"));
        }
        is_usable(&stage, seed);
        stage.end("loops that end");
    });
}

#[test]
fn proactors_that_are_shut_down_after_any_poll_tell_each_call_once_and_leave_nothing() {
    each_seed(8, |seed, _, compiled| {
        for polls in 0..6 {
            for (choice, mut proactor) in proactors() {
                let stage =
                    compiled.stage(World::new(&compiled.graph, Means::Threads, Some(proactor.handle().clone())));
                let (calls, first) = Calls::new(&stage, &InvocationOptions::new());
                let event_loop = ProactorLoop::here(&proactor);
                let begun = Arc::new(AtomicBool::new(false));
                let (own, mut more) = (begun.clone(), polls);
                let first: First = Box::new(move |event_loop| {
                    own.store(true, Ordering::SeqCst);
                    first(event_loop)
                });
                event_loop.call(|event_loop| first(event_loop?)).unwrap();
                while !begun.load(Ordering::SeqCst) || more > 0 {
                    more -= i32::from(begun.load(Ordering::SeqCst));
                    proactor.poll(Timeout::Immediate).unwrap();
                }
                assert_eq!(proactor.shutdown(Duration::from_secs(5)), 0, "{choice:?}, seed {seed}");
                assert_eq!(event_loop.pending(), 0);
                let expected: Vec<Outcome> = (0..3).map(|run| model(&compiled.graph, Disturbed::No, run)).collect();
                let what = format!("{choice:?}, seed {seed}: shut down after {polls} polls");
                check(&stage, calls, &expected, &what);
                stage.end(&what);
            }
        }
    });
}

#[test]
fn operations_of_calls_that_are_dropped_are_cancelled() {
    each_seed(12, |seed, random, compiled| {
        for (choice, mut proactor) in proactors() {
            let world = World::new(&compiled.graph, Means::Threads, Some(proactor.handle().clone()));
            let stage = compiled.stage(world);
            let mut state = InvocationState::new();
            for place in 0..8 {
                let mut steps = Steps::polling(random, &mut proactor);
                steps.drops_at = place;
                let _ = steps.drive(&stage, &mut state, 0, &InvocationOptions::new());
                drop(steps);
                let what = format!("{choice:?}, seed {seed}, dropped at stop {place}");
                stage.check(&what);
                settle(&mut proactor, &what);
            }
            stage.end("operations");
        }
    });
}
