//! Calls on the inline loop, after the first ones, allocate nothing. A program with one test: another one's allocations
//! would be counted.

use std::alloc::System;
use std::cell::Cell;
use std::task::{Context as TaskContext, Poll};

use proact::sync::Semaphore;
use proact::time::Time;
use proact_vm::event_loop::{Command, InlineLoop, Loop, Task};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{AsyncInvocation, Context, Error, Instance, InvocationCallback, InvocationOptions, Result, Value};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: usize = 1000;

/// Leaves its storage for the next call.
struct Back;

/// Waits, by a semaphore of its own, until it was asked twice; then goes round.
struct Waits {
    polled: u32,
    rounds: u32,
}

thread_local! {
    static CALL: Cell<Option<Box<AsyncInvocation<Back>>>> = const { Cell::new(None) };
    static TASK: Cell<Option<Box<Waits>>> = const { Cell::new(None) };
}

impl InvocationCallback for Back {
    fn done(call: Box<AsyncInvocation<Back>>, result: Result, _: Option<&dyn Loop>) -> Result {
        assert_eq!(call.outputs(), [Value::I32(5)]);
        CALL.set(Some(call));
        result
    }
}

impl Task for Waits {
    fn poll(&mut self, _: Time, cx: &mut TaskContext<'_>) -> Poll<()> {
        self.polled += 1;
        if self.polled % 2 == 0 {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn next_time(&self) -> Option<Time> {
        Some(Time::from_nanoseconds(u64::MAX - 1 - u64::from(self.polled)))
    }

    fn run(mut self: Box<Self>, event_loop: &dyn Loop) -> Result {
        self.rounds += 1;
        if self.rounds % 3 == 0 {
            TASK.set(Some(self));
            return Ok(());
        }
        let command = if self.rounds % 3 == 1 { Command::Call } else { Command::Wait };
        Ok(event_loop.submit(command, self)?)
    }

    fn abort(self: Box<Self>, error: Error) {
        panic!("{error}");
    }
}

/// So many calls allocate nothing, after some that may make what is kept. The harness has a thread of its own, which
/// allocates when it likes: of some rounds one must be clean, which none is when the calls are what allocates.
#[track_caller]
fn none(what: &str, mut call: impl FnMut()) {
    (0..100).for_each(|_| call());
    let counts: Vec<_> = (0..5)
        .map(|_| {
            let region = Region::new(ALLOCATOR);
            (0..CALLS).for_each(|_| call());
            let change = region.change();
            change.allocations + change.reallocations
        })
        .collect();
    assert!(counts.contains(&0), "{what}: {counts:?} allocations in {CALLS} calls");
}

#[test]
fn calls_on_the_inline_loop_allocate_nothing() {
    let reached = Semaphore::new(1);
    let module = NativeModule::builder("m")
        .function("add", |_: &(), a: i32, b: i32| a.wrapping_add(b))
        .async_function("stops", move |caller: Caller<()>, a: i32, b: i32| {
            let reached = reached.clone();
            async move {
                caller.yield_now().await?;
                caller.wait_for(WaitSource::semaphore(&reached, 1)).await?;
                Ok::<_, Error>(a.wrapping_add(b))
            }
        })
        .build()
        .unwrap();
    let context = Context::builder(&Instance::new()).module(module).build().unwrap();
    let (event_loop, options) = (InlineLoop::new(), InvocationOptions::new());
    for name in ["m.add", "m.stops"] {
        let function = context.lookup(name).unwrap();
        none(name, || {
            let call = CALL.take().unwrap_or_else(|| AsyncInvocation::new(Back));
            let inputs = [Value::I32(2), Value::I32(3)];
            context.invoke_on(&event_loop, call, &function, &options, &inputs).unwrap();
        });
    }
    none("tasks that wait, with alarms", || {
        let task = TASK.take().unwrap_or_else(|| Box::new(Waits { polled: 0, rounds: 0 }));
        event_loop.submit(Command::Wait, task).unwrap();
    });
    assert!(event_loop.error().is_none());
}
