//! Invocations as work of the causal scheduler: it holds, orders and traces them.

use proact::causal::Axis;
use proact::status::Code;
use proact::sync::Semaphore;
use proact_schedule::audit::audit;
use proact_schedule::executor::{Asynchronous, Runtime};
use proact_schedule::model::{Place, Point, QueueId, SemaphoreId, Submission};
use proact_schedule::record::{Event, Recording};
use proact_schedule::{QueueOptions, Scheduler, SchedulerOptions};
use proact_vm::executor::{Executor, ScheduledInvocation};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{Context, Error, Instance, Invocation, InvocationStatus as Is, Policy, Value};

type Calls = Runtime<ScheduledInvocation, Recording>;

/// Two queues whose work is invocations.
struct Stage {
    runtime: Calls,
    queues: [QueueId; 2],
    context: Context,
    /// What `waits` waits for.
    gate: Semaphore,
}

impl Stage {
    fn new() -> Stage {
        let gate = Semaphore::new(0);
        let waits = gate.clone();
        let module = NativeModule::builder("m")
            .async_function("adds", |caller: Caller<()>, a: i32, b: i32| async move {
                caller.yield_now().await?;
                Ok::<_, Error>(a + b)
            })
            .async_function("waits", move |caller: Caller<()>, a: i32, b: i32| {
                let source = WaitSource::semaphore(&waits, 1);
                async move { caller.wait_for(source).await.map(|()| a + b) }
            })
            .function("fails", |_: &(), _: i32, _: i32| Err::<i32, _>(Error::new(Code::DataLoss, "torn")))
            .build()
            .unwrap();
        let context = Context::builder(&Instance::new()).concurrent().module(module).build().unwrap();
        let scheduler = Scheduler::with_recorder(SchedulerOptions::new(), Recording::default());
        let mut runtime = Runtime::new(scheduler);
        let queues = [0, 1].map(|queue| {
            let queue = runtime.scheduler().add_queue(QueueOptions::in_order(Axis::queue(1, 0, queue, 0))).unwrap();
            let calls = Asynchronous::new(&runtime, |call: ScheduledInvocation, ticket| call.start(ticket));
            runtime.attach(queue, calls);
            queue
        });
        Stage { runtime, queues, context, gate }
    }

    fn submit(
        &mut self,
        executor: &Executor,
        name: &str,
        queue: usize,
        waits: &[(SemaphoreId, u64)],
        signals: &[(SemaphoreId, u64)],
    ) -> (Invocation, Place) {
        let function = self.context.lookup(&format!("m.{name}")).unwrap();
        let inputs = [Value::I32(2), Value::I32(3)];
        let call = executor.handle().create_scheduled(&self.context, &function, &Policy::new(), &inputs).unwrap();
        let invocation = call.invocation().clone();
        let point = |&(semaphore, value): &(SemaphoreId, u64)| Point::new(semaphore, value);
        let (waits, signals): (Vec<_>, Vec<_>) =
            (waits.iter().map(point).collect(), signals.iter().map(point).collect());
        let submission = Submission::new(self.queues[queue]).waits(&waits).signals(&signals);
        let place = call.submit(self.runtime.scheduler(), &submission).map_err(|refused| refused.status).unwrap();
        (invocation, place)
    }

    /// Loads on one queue, two that use it on both, one that joins them; the last is submitted first.
    fn diamond(&mut self, executor: &Executor, left: &str) -> (Vec<Invocation>, Vec<Place>, SemaphoreId) {
        let [loaded, used, done] = [(); 3].map(|()| self.runtime.scheduler().add_semaphore(0));
        let other = self.runtime.scheduler().add_semaphore(0);
        let all = [
            self.submit(executor, "adds", 1, &[(loaded, 1)], &[(used, 1)]),
            self.submit(executor, "adds", 1, &[(used, 1), (other, 1)], &[(done, 1)]),
            self.submit(executor, "adds", 0, &[], &[(loaded, 1)]),
            self.submit(executor, left, 0, &[(loaded, 1)], &[(other, 1)]),
        ];
        let (invocations, places) = all.into_iter().unzip();
        (invocations, places, done)
    }
}

/// The submissions of a recording, in the order of what `wanted` says happened to them.
fn order(recording: &Recording, wanted: impl Fn(&Event) -> Option<(u32, u64)>) -> Vec<(u32, u64)> {
    recording.events.iter().filter_map(|timed| wanted(&timed.event)).collect()
}

#[test]
fn a_diamond_over_two_queues_is_held_ordered_and_traced() {
    let mut stage = Stage::new();
    let executor = Executor::new(3).unwrap();
    let (invocations, places, done) = stage.diamond(&executor, "adds");
    assert!(invocations.iter().all(|invocation| invocation.status() == Is::Pending), "the scheduler holds them");
    stage.runtime.run();
    assert_eq!(stage.runtime.scheduler().value(done), 1);
    for invocation in &invocations {
        assert_eq!(invocation.outputs(), Some(&[Value::I32(5)][..]), "{invocation:?}");
    }
    let recording = stage.runtime.scheduler().recorder();
    let started = order(recording, |event| match event {
        Event::Started { queue, epoch } => Some((*queue, *epoch)),
        _ => None,
    });
    let ended = order(recording, |event| match event {
        Event::Ended { queue, epoch, failure: None } => Some((*queue, *epoch)),
        _ => None,
    });
    // Load, then both uses in either order, then the join.
    assert_eq!((started.len(), started[0], ended[0], started[3], ended[3]), (4, (0, 1), (0, 1), (1, 2), (1, 2)));
    assert!(places.iter().all(|place| ended.contains(&(place.queue.index() as u32, place.epoch))));
    for (invocation, place) in invocations.iter().zip(&places) {
        let (queue, epoch) = (place.queue.index() as u32, Some(place.epoch));
        let name = Event::Name { queue, epoch, name: format!("m.adds {}", invocation.id()) };
        assert!(recording.events.iter().any(|timed| timed.event == name), "traces show it: {name:?}");
    }
    assert_eq!(audit(&recording.events).unwrap().submissions, 4);
}

#[test]
fn one_that_waits_by_itself_holds_what_depends_on_it_and_no_thread() {
    let mut stage = Stage::new();
    let executor = Executor::polled();
    let (invocations, places, done) = stage.diamond(&executor, "waits");
    let settle = |stage: &mut Stage| while stage.runtime.poll() | executor.poll() {};
    settle(&mut stage);
    let statuses: Vec<_> = invocations.iter().map(Invocation::status).collect();
    assert_eq!(statuses, [Is::Done, Is::Pending, Is::Done, Is::Waiting]);
    assert!(!stage.runtime.scheduler().has_ended(places[3]), "its own wait belongs to it");
    stage.gate.signal(1, None).unwrap();
    settle(&mut stage);
    assert_eq!(stage.runtime.scheduler().value(done), 1);
    assert_eq!(invocations[1].outputs(), Some(&[Value::I32(5)][..]));
    assert_eq!(audit(&stage.runtime.scheduler().recorder().events).unwrap().submissions, 4);
}

#[test]
fn a_failure_goes_the_way_of_the_scheduler_and_answers_every_handle() {
    let mut stage = Stage::new();
    let executor = Executor::new(1).unwrap();
    let (invocations, places, done) = stage.diamond(&executor, "fails");
    stage.runtime.run();
    let statuses: Vec<_> = invocations.iter().map(Invocation::status).collect();
    assert_eq!(statuses, [Is::Done, Is::Aborted, Is::Done, Is::Failed]);
    assert!(invocations[1].error().unwrap().message().contains("given it up"));
    let status = stage.runtime.scheduler().status(done).unwrap().clone();
    assert!(status.code() == Code::DataLoss && status.to_string().contains("torn"), "{status}");
    assert!(status.to_string().contains("m.fails in call"), "{status}");
    assert_eq!(stage.runtime.scheduler().origin(done), Some(places[3]));
    let failures = order(stage.runtime.scheduler().recorder(), |event| match event {
        Event::Ended { queue, epoch, failure: Some(_) } => Some((*queue, *epoch)),
        _ => None,
    });
    assert_eq!(failures.len(), 2, "the one and who waits for it");
}

#[test]
fn one_that_is_cancelled_while_it_is_held_or_waits_ends_its_work() {
    let mut stage = Stage::new();
    let executor = Executor::polled();
    let [first, second] = [(); 2].map(|()| stage.runtime.scheduler().add_semaphore(0));
    let (waits, _) = stage.submit(&executor, "waits", 0, &[], &[(first, 1)]);
    let (held, _) = stage.submit(&executor, "adds", 0, &[], &[(second, 1)]);
    held.cancel();
    while stage.runtime.poll() | executor.poll() {}
    assert_eq!((held.status(), waits.status()), (Is::Cancelled, Is::Waiting));
    assert_eq!(stage.runtime.scheduler().in_flight(), 2, "its queue is in order: its place is not there yet");
    waits.cancel();
    while stage.runtime.poll() | executor.poll() {}
    assert_eq!((waits.status(), stage.runtime.scheduler().in_flight()), (Is::Cancelled, 0));
    for semaphore in [first, second] {
        assert_eq!(stage.runtime.scheduler().status(semaphore).unwrap().code(), Code::Cancelled);
    }
}

#[test]
fn an_executor_that_is_shut_down_ends_the_work_that_it_had() {
    let mut stage = Stage::new();
    let executor = Executor::new(1).unwrap();
    let [first, second] = [(); 2].map(|()| stage.runtime.scheduler().add_semaphore(0));
    let (waits, _) = stage.submit(&executor, "waits", 0, &[], &[(first, 1)]);
    let (held, _) = stage.submit(&executor, "adds", 1, &[(first, 1)], &[(second, 1)]);
    stage.runtime.poll();
    drop(executor);
    assert_eq!((waits.status(), held.status()), (Is::Aborted, Is::Aborted));
    stage.runtime.run();
    assert_eq!(stage.runtime.scheduler().in_flight(), 0);
    assert_eq!(stage.runtime.scheduler().status(second).unwrap().code(), Code::Aborted);
}

#[test]
fn a_scheduler_imports_the_completion_of_an_invocation() {
    let mut stage = Stage::new();
    let executor = Executor::new(1).unwrap();
    let waits = stage.context.lookup("m.waits").unwrap();
    let inputs = [Value::I32(1), Value::I32(1)];
    let outside = executor.create(&stage.context, &waits, &Policy::new(), &inputs).unwrap();
    let imported = stage.runtime.import(outside.completion());
    let (after, place) = stage.submit(&executor, "adds", 0, &[(imported, 1)], &[]);
    stage.runtime.run();
    assert_eq!(after.status(), Is::Pending);
    stage.gate.signal(1, None).unwrap();
    stage.runtime.run_until(|scheduler| scheduler.has_ended(place));
    assert_eq!(after.outputs(), Some(&[Value::I32(5)][..]));
}
