//! The forms of a call in which someone else has the turns: loops, executors, the causal scheduler. Several runs at
//! once: each comes to what it would by itself.

use std::sync::{Arc, Mutex, OnceLock};

use proact::causal::Axis;
use proact::proactor::{Builder, Choice, Proactor};
use proact::simulated;
use proact::status::Code;
use proact::time::Timeout;
use proact_schedule::executor::{Asynchronous, Runtime};
use proact_schedule::model::{Point, Submission};
use proact_schedule::{QueueOptions, Scheduler, SchedulerOptions};
use proact_vm::event_loop::{Commands, DeterministicLoop, InlineLoop, Loop, ProactorLoop};
use proact_vm::executor::{Executor, ScheduledInvocation};
use proact_vm::{AsyncInvocation, Invocation, InvocationOptions, Policy, Result, Value};

use crate::drive::PATIENCE;
use crate::model::{Disturbed, Outcome};
use crate::seeds::each_seed;
use crate::stage::{Compiled, Given, Stage, late, model};
use crate::world::{Means, World};

/// Runs at once.
pub const RUNS: i32 = 3;

/// Calls on a loop, and what each was told.
pub struct Calls {
    given: Vec<Given>,
    told: Arc<Vec<OnceLock<Result<Vec<Value>>>>>,
}

pub type First = Box<dyn FnOnce(&dyn Loop) -> Result + Send>;

impl Calls {
    /// The calls, and what begins them in the first turn of a loop.
    pub fn new(stage: &Stage, options: &InvocationOptions) -> (Calls, First) {
        let given: Vec<Given> = (0..RUNS).map(|run| stage.inputs(run)).collect();
        let told: Arc<Vec<OnceLock<_>>> = Arc::new((0..RUNS).map(|_| OnceLock::new()).collect());
        let (context, root, options) = (stage.context.clone(), stage.root.clone(), options.clone());
        let inputs: Vec<Vec<Value>> = given.iter().map(|given| given.values.clone()).collect();
        let telling = told.clone();
        let first: First = Box::new(move |event_loop| {
            for (run, inputs) in inputs.into_iter().enumerate() {
                let telling = telling.clone();
                let call = AsyncInvocation::once(move |result, _| {
                    assert!(telling[run].set(result).is_ok(), "run {run} is told twice");
                    Ok(())
                });
                context.invoke_on(event_loop, call, &root, &options, &inputs)?;
            }
            Ok(())
        });
        (Calls { given, told }, first)
    }

    /// What each came to.
    pub fn outcomes(self, stage: &Stage) -> Vec<Outcome> {
        let outcomes = self.given.iter().zip(self.told.iter()).enumerate().map(|(run, (given, told))| {
            let result = told.get().unwrap_or_else(|| panic!("run {run} was never told")).clone();
            stage.outcome(run as i32, given, result)
        });
        outcomes.collect()
    }
}

/// The options of both forms, and what the model says of them. Late calls of programs with small slices end where
/// these do.
fn disturbances(compiled: &Compiled) -> Vec<(InvocationOptions, Disturbed)> {
    let mut all = vec![(InvocationOptions::new(), Disturbed::No)];
    if !compiled.graph.is_sliced() {
        all.push((late(), Disturbed::Late));
    }
    all
}

/// All are the model's. In a context that is not concurrent those behind the one that is first wait for their turns: of
/// late ones that wait fails before they begin.
#[track_caller]
fn compare(compiled: &Compiled, disturbed: Disturbed, came_to: &[Outcome], what: &str) {
    let mut begun = 0;
    for (run, (came_to, expected)) in came_to.iter().zip(expected(compiled, disturbed)).enumerate() {
        let can_queue = disturbed == Disturbed::Late && !compiled.graph.concurrent;
        let has_begun = came_to.result.as_ref().map_or_else(|failure| !failure.functions.is_empty(), |_| true);
        if can_queue && !has_begun {
            let code = came_to.result.as_ref().map_err(|failure| failure.code).map(drop);
            assert_eq!((code, came_to.notes.len()), (Err(Code::DeadlineExceeded), 0), "{what}, {disturbed:?}");
            continue;
        }
        assert_eq!(*came_to, expected, "{what}, {disturbed:?}, run {run}");
        begun += 1;
    }
    assert!(begun > 0, "{what}, {disturbed:?}: none has begun");
}

fn expected(compiled: &Compiled, disturbed: Disturbed) -> Vec<Outcome> {
    (0..RUNS).map(|run| model(&compiled.graph, disturbed, run)).collect()
}

#[test]
fn the_inline_loop_comes_to_what_the_model_says() {
    each_seed(40, |seed, _, compiled| {
        for (options, disturbed) in disturbances(compiled) {
            let stage = compiled.stage(World::threaded(&compiled.graph));
            let (calls, first) = Calls::new(&stage, &options);
            let event_loop = InlineLoop::with_capacity(RUNS as usize + 1);
            event_loop.call(|event_loop| first(event_loop?)).unwrap();
            event_loop.drain(Timeout::Immediate).unwrap();
            compare(compiled, disturbed, &calls.outcomes(&stage), &format!("seed {seed}"));
            stage.end("the inline loop");
        }
    });
}

#[test]
fn a_simulated_world_comes_to_what_the_model_says() {
    each_seed(40, |seed, _, compiled| {
        for (options, disturbed) in disturbances(compiled) {
            let world = simulated::World::new(seed);
            let event_loop = DeterministicLoop::new(&world.host("a")).unwrap();
            let around = World::new(&compiled.graph, Means::Simulated(world), Some(event_loop.handle().clone()));
            let stage = compiled.stage(around);
            let (calls, first) = Calls::new(&stage, &options);
            event_loop.call(|event_loop| first(event_loop?)).unwrap();
            event_loop.drain(Timeout::Infinite).unwrap();
            compare(compiled, disturbed, &calls.outcomes(&stage), &format!("seed {seed}"));
            stage.end("a simulated world");

            // A proactor there, whose loop takes its tasks in their order.
            let world = simulated::World::new(seed);
            let mut proactor = world.host("a").builder().build().unwrap();
            let event_loop = ProactorLoop::here(&proactor);
            let means = Means::Simulated(world.clone());
            let stage = compiled.stage(World::new(&compiled.graph, means, Some(proactor.handle().clone())));
            let (calls, first) = Calls::new(&stage, &options);
            event_loop.call(|event_loop| first(event_loop?)).unwrap();
            world.run_until(&mut [&mut proactor], 100 * PATIENCE, |_| event_loop.pending() == 0).unwrap();
            compare(compiled, disturbed, &calls.outcomes(&stage), &format!("a simulated proactor, seed {seed}"));
            stage.end("a simulated proactor");
        }
    });
}

/// The proactors that there are here.
pub fn proactors() -> impl Iterator<Item = (Choice, Proactor)> {
    Choice::ALL.into_iter().filter_map(|choice| match Builder::new().backend(choice).build() {
        Ok(proactor) => Some((choice, proactor)),
        Err(status) if choice == Choice::IoUring => {
            eprintln!("skipped: no io_uring here: {status}");
            None
        }
        Err(status) => panic!("{choice:?}: {status}"),
    })
}

/// What calls have cancelled ends.
pub fn settle(proactor: &mut Proactor, what: &str) {
    let latest = proactor.now() + PATIENCE;
    while proactor.pending() > 0 {
        proactor.poll(Timeout::At(latest)).unwrap();
        assert!(proactor.now() < latest, "{what}: operations are left: {}", proactor.pending());
    }
}

#[test]
fn proactors_come_to_what_the_model_says() {
    for (choice, mut proactor) in proactors() {
        let event_loop = ProactorLoop::here(&proactor);
        let proactor = Mutex::new(&mut proactor);
        each_seed(20, |seed, _, compiled| {
            let proactor = &mut *proactor.lock().unwrap();
            for (options, disturbed) in disturbances(compiled) {
                let world = World::new(&compiled.graph, Means::Threads, Some(proactor.handle().clone()));
                let stage = compiled.stage(world);
                let (calls, first) = Calls::new(&stage, &options);
                event_loop.call(|event_loop| first(event_loop?)).unwrap();
                event_loop.run(proactor, PATIENCE).unwrap();
                compare(compiled, disturbed, &calls.outcomes(&stage), &format!("{choice:?}, seed {seed}"));
                stage.end("a proactor");
                settle(proactor, choice.name());
            }
        });
    }
}

/// What invocations came to.
pub fn outcomes(stage: &Stage, given: &[Given], invocations: &[Invocation]) -> Vec<Outcome> {
    let each = given.iter().zip(invocations).enumerate();
    each.map(|(run, (given, invocation))| {
        let result = invocation.wait(PATIENCE).map(<[Value]>::to_vec);
        assert!(invocation.is_finished(), "run {run} does not end: {invocation}");
        stage.outcome(run as i32, given, result)
    })
    .collect()
}

#[test]
fn executors_come_to_what_the_model_says() {
    let threads = Executor::new(2).unwrap();
    let mut proactor = Builder::new().build().unwrap();
    let polled = Executor::polled();
    polled.on_ready(proactor_waker(&proactor));
    let proactor = Mutex::new(&mut proactor);
    each_seed(40, |seed, _, compiled| {
        let create = |executor: &Executor, stage: &Stage| {
            let given: Vec<Given> = (0..RUNS).map(|run| stage.inputs(run)).collect();
            let create = |given: &Given| executor.create(&stage.context, &stage.root, &Policy::new(), &given.values);
            let invocations: Vec<Invocation> = given.iter().map(|given| create(given).unwrap()).collect();
            (given, invocations)
        };
        let expected = expected(compiled, Disturbed::No);

        let stage = compiled.stage(World::threaded(&compiled.graph));
        let (given, invocations) = create(&threads, &stage);
        assert_eq!(outcomes(&stage, &given, &invocations), expected, "threads, seed {seed}");
        drop((given, invocations));
        assert!(threads.drain(PATIENCE));
        stage.end("threads of an executor");

        let proactor = &mut *proactor.lock().unwrap();
        let stage = compiled.stage(World::new(&compiled.graph, Means::Threads, Some(proactor.handle().clone())));
        let (given, invocations) = create(&polled, &stage);
        while polled.run_until_idle() > 0 {
            proactor.poll(polled.next_time().map_or(Timeout::After(PATIENCE), Timeout::At)).unwrap();
        }
        assert_eq!(outcomes(&stage, &given, &invocations), expected, "a proactor's thread, seed {seed}");
        drop((given, invocations));
        stage.end("an executor that is polled");
        settle(proactor, "a proactor's thread");
    });
}

fn proactor_waker(proactor: &Proactor) -> std::task::Waker {
    struct Polls(proact::proactor::Handle);
    impl std::task::Wake for Polls {
        fn wake(self: Arc<Polls>) {
            self.0.wake();
        }
    }
    std::task::Waker::from(Arc::new(Polls(proactor.handle().clone())))
}

#[test]
fn a_scheduler_comes_to_what_the_model_says() {
    let executor = Executor::new(1).unwrap();
    each_seed(40, |seed, _, compiled| {
        let stage = compiled.stage(World::threaded(&compiled.graph));
        let mut runtime: Runtime<ScheduledInvocation> = Runtime::new(Scheduler::new(SchedulerOptions::new()));
        let queue = runtime.scheduler().add_queue(QueueOptions::in_order(Axis::queue(1, 0, 0, 0))).unwrap();
        let calls = Asynchronous::new(&runtime, |call: ScheduledInvocation, ticket| call.start(ticket));
        runtime.attach(queue, calls);
        let done = runtime.scheduler().add_semaphore(0);
        let given: Vec<Given> = (0..RUNS).map(|run| stage.inputs(run)).collect();
        let mut invocations = Vec::new();
        for (given, value) in given.iter().zip(1..) {
            let (handle, policy) = (executor.handle(), Policy::new());
            let call = handle.create_scheduled(&stage.context, &stage.root, &policy, &given.values).unwrap();
            invocations.push(call.invocation().clone());
            let signals = [Point::new(done, value)];
            let submission = Submission::new(queue).signals(&signals);
            call.submit(runtime.scheduler(), &submission).map_err(|refused| refused.status).unwrap();
        }
        runtime.run();
        let expected = expected(compiled, Disturbed::No);
        let runs = if expected[0].result.is_ok() { RUNS as usize } else { 1 };
        let came_to = outcomes(&stage, &given, &invocations);
        assert_eq!(came_to[..runs], expected[..runs], "seed {seed}");
        match &expected[0].result {
            Ok(_) => assert_eq!(runtime.scheduler().value(done), RUNS as u64),
            // What came behind it on the queue goes with the first one's failure, or runs: its semaphore has failed.
            Err(failure) => {
                assert_eq!(runtime.scheduler().status(done).map(|status| status.code()), Some(failure.code));
                let rest = came_to[1..].iter().zip(&expected[1..]);
                rest.for_each(|(came_to, expected)| assert!(came_to == expected || is_aborted(came_to)));
            }
        }
        drop((runtime, given, invocations));
        assert!(executor.drain(PATIENCE));
        stage.end("a scheduler");
    });
}

pub fn is_aborted(outcome: &Outcome) -> bool {
    outcome.result.as_ref().is_err_and(|failure| failure.code == Code::Aborted)
}
