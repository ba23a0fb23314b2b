//! What a policy says is what happens: waits, signals with their causes, failures.

mod support;

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use proact::causal::{Axis, Frontier, Knowledge};
use proact::status::{Code, Operation, Status};
use proact::sync::{Semaphore, Tracker};
use proact_vm::executor::Executor;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::{WaitFrame, WaitSource};
use proact_vm::{Context, Error, Instance, Invocation, InvocationStatus as Is, OnFailure, Policy, Result, Value};
use support::Count;

fn axis(ordinal: u64) -> Axis {
    Axis::queue(1, 0, 0, ordinal as u8)
}

fn at(ordinal: u64, epoch: u64) -> Frontier {
    Frontier::single(axis(ordinal), epoch).unwrap()
}

/// All of these, joined.
fn joined(parts: &[Frontier]) -> Frontier {
    let mut all = Frontier::new();
    parts.iter().for_each(|part| all.merge(part).unwrap());
    all
}

struct Stage {
    context: Context,
    executor: Executor,
    /// What the functions wait for: one after the other, or any.
    gates: [Semaphore; 2],
    tracker: Tracker,
    count: Count,
}

impl Stage {
    fn new() -> Stage {
        let gates = [Semaphore::new(0), Semaphore::new(0)];
        let tracker = Tracker::new();
        tracker.register(axis(9)).unwrap();
        let (all, any, seen) = (gates.clone(), gates.clone(), tracker.clone());
        let module = NativeModule::builder("m")
            .function("nothing", |_: &()| ())
            .function("fails", |_: &()| Err::<(), _>(Error::new(Code::DataLoss, "torn")))
            .async_function("all", move |caller: Caller<()>| {
                let sources = all.clone().map(|gate| WaitSource::semaphore(&gate, 1));
                async move {
                    for source in sources {
                        caller.wait_for(source).await?;
                    }
                    Ok::<_, Error>(())
                }
            })
            .async_function("any", move |caller: Caller<()>| {
                let sources = any.clone().map(|gate| WaitSource::semaphore(&gate, 1));
                async move { caller.wait(WaitFrame::any(sources)).await.map(|index| index as i32) }
            })
            .async_function("frontier", move |caller: Caller<()>| {
                let source = WaitSource::frontier(&seen, at(9, 2));
                async move { caller.wait_for(source).await }
            })
            .async_function("future", |caller: Caller<()>| async move {
                caller.wait_for(WaitSource::future(std::future::ready(Ok::<_, Error>(())))).await
            })
            .async_function("awaits", |_: Caller<()>, gate: Arc<Semaphore>| async move {
                gate.future(1).await.map(drop).map_err(Error::from)
            })
            .async_function("handles", |caller: Caller<()>, gate: Arc<Semaphore>| async move {
                drop(caller.wait_for(WaitSource::semaphore(&gate, 1)).await);
                Ok::<_, Error>(())
            })
            .async_function("waits_for", |caller: Caller<()>, other: Arc<Invocation>| async move {
                caller.wait_for(other.wait_source()).await
            })
            .build()
            .unwrap();
        let context = Context::builder(&Instance::new()).concurrent().module(module).build().unwrap();
        Stage { context, executor: Executor::polled(), gates, tracker, count: Count::default() }
    }

    fn create(&self, name: &str, policy: &Policy, inputs: &[Value]) -> Invocation {
        let function = self.context.lookup(&format!("m.{name}")).unwrap();
        self.executor.create(&self.context, &function, policy, inputs).unwrap()
    }

    /// Runs the function, and answers what the value that it signals was caused by.
    fn causes(&self, name: &str, policy: Policy, inputs: &[Value]) -> Knowledge {
        let done = Semaphore::new(0);
        let invocation = self.create(name, &policy.signal(&done, 1), inputs);
        self.executor.run_until_idle();
        assert_eq!((invocation.status(), done.value()), (Is::Done, 1), "{:?}", invocation.error());
        done.causes(1).unwrap()
    }
}

#[test]
fn it_begins_when_semaphores_and_frontiers_have_come_to_pass() {
    let stage = Stage::new();
    let loaded = Semaphore::new(0);
    let policy = Policy::new().wait_for(&loaded, 3).wait_for_frontier(&stage.tracker, at(9, 2));
    let invocation = stage.create("nothing", &policy, &[]);
    let idle = || {
        stage.executor.run_until_idle();
        invocation.status()
    };
    assert_eq!(idle(), Is::Pending);
    loaded.signal(2, None).unwrap();
    stage.tracker.advance(axis(9), 2).unwrap();
    assert_eq!(idle(), Is::Pending);
    loaded.signal(3, None).unwrap();
    assert_eq!(idle(), Is::Done);
}

#[test]
fn what_it_waits_for_failing_fails_it_before_it_begins() {
    let stage = Stage::new();
    let (loaded, done) = (Semaphore::new(0), Semaphore::new(0));
    let policy = Policy::new().wait_for(&loaded, 1).signal(&done, 1);
    let held = stage.create("nothing", &policy, &[]);
    stage.executor.run_until_idle();
    loaded.fail(Status::new(Code::Unavailable, Operation::None).with_message("the disk is gone"));
    stage.executor.run_until_idle();
    assert_eq!((held.status(), held.code()), (Is::Failed, Some(Code::Unavailable)));
    for words in [held.error().unwrap().to_string(), done.status().unwrap().to_string()] {
        assert!(words.contains("the disk is gone"), "{words}");
    }
    let policy = Policy::new().wait_for_frontier(&stage.tracker, at(9, 1));
    let held = stage.create("nothing", &policy, &[]);
    stage.tracker.fail(axis(9), Status::new(Code::DataLoss, Operation::None));
    stage.executor.run_until_idle();
    assert_eq!((held.status(), held.code()), (Is::Failed, Some(Code::DataLoss)));
}

#[test]
fn a_good_end_signals_the_join_of_all_that_was_waited_for() {
    let stage = Stage::new();
    assert_eq!(stage.causes("nothing", Policy::new(), &[]), Knowledge::exact(Frontier::new()));
    let loaded = Semaphore::new(0);
    loaded.signal(1, Some(&at(1, 5))).unwrap();
    loaded.signal(2, Some(&at(1, 6))).unwrap();
    stage.gates[0].signal(1, Some(&at(2, 7))).unwrap();
    stage.gates[1].signal(1, Some(&at(3, 8))).unwrap();
    stage.tracker.advance(axis(9), 4).unwrap();
    let policy = Policy::new().wait_for(&loaded, 1).wait_for_frontier(&stage.tracker, at(9, 3));
    let expected = joined(&[at(1, 5), at(9, 3), at(2, 7), at(3, 8)]);
    assert_eq!(stage.causes("all", policy, &[]), Knowledge::exact(expected));
    assert_eq!(stage.causes("frontier", Policy::new(), &[]), Knowledge::exact(at(9, 2)));
}

#[test]
fn of_a_wait_for_any_only_what_ended_it_is_a_cause() {
    let stage = Stage::new();
    stage.gates[0].signal(1, Some(&at(2, 7))).unwrap();
    stage.gates[1].signal(1, Some(&at(3, 8))).unwrap();
    assert_eq!(stage.causes("any", Policy::new(), &[]), Knowledge::exact(at(2, 7)));
    let stage = Stage::new();
    stage.gates[1].signal(1, Some(&at(3, 8))).unwrap();
    assert_eq!(stage.causes("any", Policy::new(), &[]), Knowledge::exact(at(3, 8)));
}

#[test]
fn what_does_not_tell_its_causes_leaves_a_lower_bound() {
    let stage = Stage::new();
    let loaded = Semaphore::new(0);
    loaded.signal(1, Some(&at(1, 5))).unwrap();
    let known = Knowledge::lower_bound(at(1, 5));
    let policy = || Policy::new().wait_for(&loaded, 1);
    assert_eq!(stage.causes("future", policy(), &[]), known);
    assert_eq!(stage.causes("awaits", policy(), &[Arc::new(Semaphore::new(1)).into()]), Knowledge::exact(at(1, 5)));
    let gate = Semaphore::new(0);
    let done = Semaphore::new(0);
    stage.create("awaits", &policy().signal(&done, 1), &[Arc::new(gate.clone()).into()]);
    stage.executor.run_until_idle();
    gate.signal(1, Some(&at(2, 2))).unwrap();
    stage.executor.run_until_idle();
    assert_eq!(done.causes(1), Some(known.clone()), "what it awaited by itself is not seen");
    let failed = Semaphore::new(0);
    failed.fail(Status::new(Code::DataLoss, Operation::None));
    assert_eq!(stage.causes("handles", policy(), &[Arc::new(failed).into()]), known, "a failure has unknown causes");
    let tainted = Semaphore::new(0);
    tainted.signal_tainted(1).unwrap();
    assert_eq!(stage.causes("nothing", policy().wait_for(&tainted, 1), &[]), known);
}

#[test]
fn a_waker_of_a_call_that_is_over_wakes_no_other() {
    let stage = Stage::new();
    let kept: Arc<Mutex<Option<Waker>>> = Arc::default();
    let keeps = kept.clone();
    let module = NativeModule::builder("n")
        .async_function("keeps", move |_: Caller<()>| {
            let keeps = keeps.clone();
            poll_fn(move |cx| {
                *keeps.lock().unwrap() = Some(cx.waker().clone());
                Poll::Ready(())
            })
        })
        .build()
        .unwrap();
    let context = Context::builder(&Instance::new()).concurrent().module(module).build().unwrap();
    let keeps = context.lookup("n.keeps").unwrap();
    stage.executor.create(&context, &keeps, &Policy::new(), &()).unwrap();
    stage.executor.run_until_idle();
    // The next call lies where that one did.
    let done = Semaphore::new(0);
    stage.create("all", &Policy::new().signal(&done, 1), &[]);
    stage.executor.run_until_idle();
    kept.lock().unwrap().take().unwrap().wake();
    stage.executor.run_until_idle();
    stage.gates.iter().zip([2, 3]).for_each(|(gate, axis)| gate.signal(1, Some(&at(axis, 7))).unwrap());
    stage.executor.run_until_idle();
    // Who was woken by something of its own would know a lower bound alone.
    assert_eq!(done.causes(1), Some(Knowledge::exact(joined(&[at(2, 7), at(3, 7)]))));
}

#[test]
fn causes_pass_from_one_invocation_to_who_waits_for_it() {
    let stage = Stage::new();
    stage.gates.iter().zip([2, 3]).for_each(|(gate, axis)| gate.signal(1, Some(&at(axis, 7))).unwrap());
    let first = stage.create("all", &Policy::new(), &[]);
    let both = Knowledge::exact(joined(&[at(2, 7), at(3, 7)]));
    assert_eq!(stage.causes("waits_for", Policy::new(), &[first.clone().into()]), both);
    assert_eq!(stage.causes("nothing", Policy::new().after(&first), &[]), both);
    let fails = stage.create("fails", &Policy::new(), &[]);
    let after = stage.create("nothing", &Policy::new().after(&fails), &[]);
    stage.executor.run_until_idle();
    assert_eq!((after.status(), after.code()), (Is::Failed, Some(Code::DataLoss)));
    let late = stage.create("all", &Policy::new(), &[]);
    stage.executor.run_until_idle();
    assert_eq!(late.completion().causes(1), Some(both), "also where nobody asked before its end");
}

#[test]
fn a_bad_end_fails_the_semaphore_or_taints_it_or_leaves_it() {
    let stage = Stage::new();
    let never = Semaphore::new(0);
    for name in ["fails", "cancelled", "aborted"] {
        let done = [OnFailure::Fail, OnFailure::SignalTainted, OnFailure::Leave].map(|on_failure| {
            let done = Semaphore::new(0);
            let executor = Executor::polled();
            let function = if name == "fails" { name } else { "nothing" };
            let function = stage.context.lookup(&format!("m.{function}")).unwrap();
            let policy = Policy::new().signal(&done, 1).on_failure(on_failure);
            let policy = if name == "fails" { policy } else { policy.wait_for(&never, 1) };
            let invocation = executor.create(&stage.context, &function, &policy, &()).unwrap();
            if name == "cancelled" {
                invocation.cancel();
            }
            executor.run_until_idle();
            drop(executor);
            assert!(invocation.error().is_some(), "{name}");
            (done, invocation)
        });
        let [(failed, invocation), (tainted, _), (left, _)] = done;
        let status = failed.status().unwrap();
        let error = invocation.error().unwrap();
        assert_eq!(Some(status.code()), invocation.code(), "{name}");
        assert!(status.to_string().contains(error.message()), "{name}: {status}");
        assert!(status.to_string().contains(&format!("in call {}", invocation.id())), "{name}: {status}");
        assert!(tainted.value() == 1 && tainted.is_tainted(1) && tainted.status().is_none(), "{name}");
        assert!(left.value() == 0 && left.status().is_none(), "{name}");
    }
}

#[test]
fn a_refused_signal_is_told() {
    let stage = Stage::new();
    let (passed, fine) = (Semaphore::new(4), Semaphore::new(0));
    let invocation = stage.create("nothing", &Policy::new().signal(&passed, 3).signal(&fine, 1), &[]);
    stage.executor.run_until_idle();
    assert_eq!((invocation.status(), fine.value()), (Is::Done, 1), "its outputs are there all the same");
    assert_eq!(invocation.refused_signal().unwrap().code(), Code::InvalidArgument);
}

#[test]
fn the_end_is_there_before_it_is_signalled() {
    let stage = Stage::new();
    let done = Semaphore::new(0);
    let function = stage.context.lookup("m.nothing").unwrap();
    let executor = Executor::new(2).unwrap();
    for value in 1..=200 {
        let policy = Policy::new().signal(&done, value);
        let invocation = executor.create(&stage.context, &function, &policy, &()).unwrap();
        done.wait(value, proact::time::Timeout::Infinite, proact::sync::WaitFlags::empty()).unwrap();
        assert_eq!(invocation.status(), Is::Done, "who sees the value sees the outputs");
    }
}

#[test]
fn what_could_not_be_created_touches_no_semaphore() {
    let stage = Stage::new();
    let done = Semaphore::new(0);
    let function = stage.context.lookup("m.nothing").unwrap();
    let policy = Policy::new().signal(&done, 1);
    let extra = [stage.count.reference().into()];
    assert!(stage.executor.create(&stage.context, &function, &policy, &extra).is_err());
    drop(extra);
    assert_eq!((done.value(), done.status().is_none(), stage.count.get()), (0, true, 0));
}

#[test]
fn options_of_the_call_reach_its_functions() -> Result {
    let module = NativeModule::builder("m")
        .raw_function("traced", "0_i", |_: &(), call| {
            let traced = i32::from(call.is_traced());
            call.answer(traced)
        })
        .build()?;
    let context = Context::builder(&Instance::new()).concurrent().module(module).build()?;
    let executor = Executor::polled();
    let function = context.lookup("m.traced")?;
    // The second lies in the state of the first.
    for (policy, expected) in [(Policy::new().traced(), 1), (Policy::new(), 0)] {
        let invocation = executor.create(&context, &function, &policy, &())?;
        executor.run_until_idle();
        assert_eq!(invocation.outputs(), Some(&[Value::I32(expected)][..]));
    }
    Ok(())
}
