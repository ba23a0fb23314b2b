//! What stateful invocations cost: bytes that one holds while it waits, and processor time to create, wake and end it,
//! with one of them and with ten thousand. Nanoseconds of the process's own processor time, the least of some rounds.
//!
//! `cargo run --release -p proact-vm --example waiting`

use std::alloc::System;

use proact::sync::Semaphore;
use proact_vm::executor::Executor;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{Context, Error, Instance, Invocation, Policy, Ref, Value};
use rustix::time::{ClockId, clock_gettime};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const WAITING: usize = 10_000;
const ROUNDS: usize = 9;

fn processor_nanoseconds() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Nanoseconds for each of `count`.
fn each(count: usize, run: impl FnOnce()) -> f64 {
    let before = processor_nanoseconds();
    run();
    (processor_nanoseconds() - before) as f64 / count as f64
}

fn context() -> Result<Context, Error> {
    let module = NativeModule::builder("bench")
        .function("nothing", |_: &()| ())
        .async_function("waits", |caller: Caller<()>, gate: std::sync::Arc<Semaphore>| async move {
            caller.wait_for(WaitSource::semaphore(&gate, 1)).await
        })
        .build()?;
    Context::builder(&Instance::new()).concurrent().module(module).build()
}

/// The least of each column.
#[derive(Clone, Copy)]
struct Row([f64; 3]);

impl Row {
    const NONE: Row = Row([f64::INFINITY; 3]);

    fn least(&mut self, other: Row) {
        self.0.iter_mut().zip(other.0).for_each(|(least, other)| *least = least.min(other));
    }
}

fn main() -> Result<(), Error> {
    let context = context()?;
    let (nothing, waits) = (context.lookup("bench.nothing")?, context.lookup("bench.waits")?);
    let gate = |semaphore: &Semaphore| Value::from(Ref::new(semaphore.clone()));

    let executor = Executor::polled();
    let (policy, mut bytes) = (Policy::new(), Vec::new());
    for own in [false, true] {
        let gates: Vec<_> = (0..if own { WAITING } else { 1 }).map(|_| Semaphore::with_history(0, 1)).collect();
        let region = Region::new(ALLOCATOR);
        let invocations: Result<Vec<Invocation>, Error> = (0..WAITING)
            .map(|index| executor.create(&context, &waits, &policy, &[gate(&gates[index % gates.len()])]))
            .collect();
        let invocations = invocations?;
        executor.run_until_idle();
        let change = region.change();
        bytes.push((change.bytes_allocated as f64 - change.bytes_deallocated as f64) / WAITING as f64);
        gates.iter().try_for_each(|gate| gate.signal(1, None))?;
        executor.run_until_idle();
        assert!(invocations.iter().all(Invocation::is_finished));
    }

    let mut rows = [("one that returns at once", Row::NONE), ("1 waits", Row::NONE), ("10,000 wait", Row::NONE)];
    for _ in 0..ROUNDS {
        let ran = each(WAITING, || {
            for _ in 0..WAITING {
                let invocation = executor.create(&context, &nothing, &policy, &()).expect("created");
                executor.run_until_idle();
                assert!(invocation.is_finished());
            }
        });
        rows[0].1.least(Row([ran, f64::INFINITY, f64::INFINITY]));
        for (at_once, (_, row)) in [1, WAITING].into_iter().zip(&mut rows[1..]) {
            let mut sums = [0.0; 3];
            for _ in 0..WAITING / at_once {
                let gates: Vec<_> = (0..at_once).map(|_| Semaphore::with_history(0, 1)).collect();
                let mut invocations = Vec::with_capacity(at_once);
                sums[0] += each(WAITING, || {
                    for gate_of in &gates {
                        let inputs = [gate(gate_of)];
                        invocations.push(executor.create(&context, &waits, &policy, &inputs).expect("created"));
                    }
                });
                sums[1] += each(WAITING, || assert!(executor.run_until_idle() > 0));
                sums[2] += each(WAITING, || {
                    gates.iter().for_each(|gate| gate.signal(1, None).expect("signalled"));
                    executor.run_until_idle();
                });
                assert!(invocations.iter().all(Invocation::is_finished));
            }
            row.least(Row(sums));
        }
    }
    println!("bytes of each that waits: {:.0} (one semaphore), {:.0} (a semaphore each)", bytes[0], bytes[1]);
    println!("{:<26}{:>12}{:>20}{:>16}", "nanoseconds of each", "create", "run to its wait", "wake and end");
    for (name, Row(columns)) in rows {
        let [create, wait, wake] = columns.map(|column| match column.is_finite() {
            true => format!("{column:.0}"),
            false => "-".to_string(),
        });
        println!("{name:<26}{create:>12}{wait:>20}{wake:>16}");
    }
    Ok(())
}
