//! What calls that wait cost, one of them and ten thousand at once: to create, wake and end each, and in memory.
//!
//! The floor is the semaphores' own futures in boxes, polled by hand: what a program has of which somebody else keeps
//! the list, the wakers and the results.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, Waker};

use proact::sync::Semaphore;
use proact_vm::executor::Executor;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{Context, Function, Instance, Invocation, Policy, Ref, Value};

use super::compare::compare;
use super::effort;
use super::failure::Failure;
use super::figures::{Costs, Figures, Floor, Unit};
use super::measure::Measure;
use super::tally;

pub(crate) const ROWS: &[Measure] = &[
    Measure::once("vm/waiting/1", || waiting(1)),
    Measure::once("vm/waiting/100", || waiting(100)),
    Measure::once("vm/waiting/10000", || waiting(effort::size(10_000, 100))),
    Measure::once("vm/memory-waiting/1", || memory(1)),
    Measure::once("vm/memory-waiting/10000", || memory(effort::size(10_000, 100))),
];

/// Calls over which costs are counted, at least.
const COUNTED: usize = 1000;

/// Invocations that each wait for a value of their own semaphore, on an executor that is polled.
struct Waiting {
    executor: Executor,
    context: Context,
    waits: Function,
    policy: Policy,
    gates: Vec<Ref>,
    semaphores: Vec<Semaphore>,
    value: u64,
    invocations: Vec<Invocation>,
}

impl Waiting {
    fn new(count: usize) -> Result<Waiting, Failure> {
        let module = NativeModule::builder("bench")
            .async_function("waits", |caller: Caller<()>, gate: std::sync::Arc<Semaphore>, value: i64| async move {
                caller.wait_for(WaitSource::semaphore(&gate, value as u64)).await
            })
            .build()?;
        let context = Context::builder(&Instance::new()).concurrent().module(module).build()?;
        let waits = context.lookup("bench.waits")?;
        let semaphores = semaphores(count);
        let gates = semaphores.iter().map(|semaphore| Ref::new(semaphore.clone())).collect();
        let (executor, policy) = (Executor::polled(), Policy::new());
        Ok(Waiting { executor, context, waits, policy, gates, semaphores, value: 0, invocations: Vec::new() })
    }

    /// Creates all, and runs them to their waits.
    fn begin(&mut self) {
        self.value += 1;
        for gate in &self.gates {
            let inputs = [Value::from(gate.clone()), Value::I64(self.value as i64)];
            let created = self.executor.create(&self.context, &self.waits, &self.policy, &inputs);
            self.invocations.push(created.expect("there is room"));
        }
        assert_eq!(self.executor.run_until_idle(), self.gates.len(), "all wait");
    }

    /// Wakes all, and runs them to their ends.
    fn end(&mut self) {
        self.semaphores.iter().for_each(|semaphore| semaphore.signal(self.value, None).expect("a rising value"));
        assert_eq!(self.executor.run_until_idle(), 0, "none waits");
        assert!(self.invocations.drain(..).all(|invocation| invocation.is_finished()));
    }

    fn round(&mut self) {
        self.begin();
        self.end();
    }
}

fn semaphores(count: usize) -> Vec<Semaphore> {
    (0..count).map(|_| Semaphore::with_history(0, 1)).collect()
}

/// The semaphores' own futures.
struct Plain {
    semaphores: Vec<Semaphore>,
    value: u64,
    futures: Vec<Pin<Box<dyn Future<Output = bool> + Send>>>,
}

impl Plain {
    fn new(count: usize) -> Plain {
        Plain { semaphores: semaphores(count), value: 0, futures: Vec::new() }
    }

    fn begin(&mut self) {
        self.value += 1;
        let mut cx = TaskContext::from_waker(Waker::noop());
        for semaphore in &self.semaphores {
            let (semaphore, value) = (semaphore.clone(), self.value);
            let mut future: Pin<Box<dyn Future<Output = bool> + Send>> =
                Box::pin(async move { semaphore.future(value).await.is_ok() });
            assert!(future.as_mut().poll(&mut cx).is_pending(), "it waits");
            self.futures.push(future);
        }
    }

    fn end(&mut self) {
        self.semaphores.iter().for_each(|semaphore| semaphore.signal(self.value, None).expect("a rising value"));
        let mut cx = TaskContext::from_waker(Waker::noop());
        for mut future in self.futures.drain(..) {
            assert_eq!(future.as_mut().poll(&mut cx), Poll::Ready(true));
        }
    }
}

/// Measures so many at once, from their creation to their ends. Figures are of one.
fn waiting(count: usize) -> Result<Figures, Failure> {
    let (mut calls, mut plain) = (Waiting::new(count)?, Plain::new(count));
    let floor = || {
        plain.begin();
        plain.end();
    };
    let timing = compare(|| calls.round(), Some(floor));
    let rounds = effort::size(COUNTED, 1).div_ceil(count);
    let counted = tally::count(|| (0..rounds).for_each(|_| calls.round()));
    Ok(Figures::of(timing, count as f64, "", counted.over((rounds * count) as f64)))
}

/// Measures the bytes that each of so many holds while it waits; what the first ones leave behind for later ones is
/// not counted, and what all share once is.
fn memory(count: usize) -> Result<Figures, Failure> {
    let (mut calls, mut plain) = (Waiting::new(count)?, Plain::new(count));
    let ((), bytes) = tally::held(|| calls.begin());
    let ((), least) = tally::held(|| plain.begin());
    let (Some(bytes), Some(least)) = (bytes, least) else {
        return Err(Failure::new("this program does not count its allocations"));
    };
    calls.end();
    plain.end();
    let (each, least) = (bytes as f64 / count as f64, least as f64 / count as f64);
    let floor = Floor { median: least, ratio: each / least };
    Ok(Figures { unit: Unit::Bytes, ..Figures::new(each, Ok(floor), Costs::UNKNOWN) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_wait_at_once_and_end_again_and_again() {
        let mut calls = Waiting::new(3).unwrap();
        for round in 1..4 {
            calls.begin();
            assert!(calls.invocations.iter().all(|invocation| !invocation.is_finished()));
            calls.end();
            assert_eq!((calls.value, calls.invocations.len()), (round, 0));
        }
    }

    #[test]
    fn bytes_are_of_what_waits() {
        let figures = memory(100).unwrap();
        // At least the frame, its function and its wait; a stack of its own at most.
        assert!((100.0..20_000.0).contains(&figures.median), "{figures:?}");
        assert!(figures.floor.unwrap().median < figures.median);
    }
}
