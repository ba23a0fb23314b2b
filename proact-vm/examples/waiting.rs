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
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

mod timing;

use timing::each;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const WAITING: usize = 10_000;
const ROUNDS: usize = 9;

fn context() -> Result<Context, Error> {
    let module = NativeModule::builder("bench")
        .function("nothing", |_: &()| ())
        .async_function("waits", |caller: Caller<()>, gate: std::sync::Arc<Semaphore>| async move {
            caller.wait_for(WaitSource::semaphore(&gate, 1)).await
        })
        .build()?;
    Context::builder(&Instance::new()).concurrent().module(module).build()
}

fn main() -> Result<(), Error> {
    let context = context()?;
    let (nothing, waits) = (context.lookup("bench.nothing")?, context.lookup("bench.waits")?);

    let executor = Executor::polled();
    let (policy, mut bytes) = (Policy::new(), Vec::new());
    let create = |gate: &Semaphore| {
        let inputs = [Value::from(Ref::new(gate.clone()))];
        executor.create(&context, &waits, &policy, &inputs).expect("created")
    };
    for own in [false, true] {
        let gates: Vec<_> = (0..if own { WAITING } else { 1 }).map(|_| Semaphore::with_history(0, 1)).collect();
        let mut invocations = Vec::with_capacity(WAITING);
        let region = Region::new(ALLOCATOR);
        invocations.extend((0..WAITING).map(|index| create(&gates[index % gates.len()])));
        executor.run_until_idle();
        let change = region.change();
        bytes.push((change.bytes_allocated as f64 - change.bytes_deallocated as f64) / WAITING as f64);
        gates.iter().try_for_each(|gate| gate.signal(1, None))?;
        executor.run_until_idle();
        assert!(invocations.iter().all(Invocation::is_finished));
    }

    // Returns at once; waits alone; of ten thousand that wait: create, run to the wait, wake and end.
    let mut least = [f64::INFINITY; 5];
    for _ in 0..ROUNDS {
        let returns = each(WAITING, || {
            for _ in 0..WAITING {
                let invocation = executor.create(&context, &nothing, &policy, &()).expect("created");
                executor.run_until_idle();
                assert!(invocation.is_finished());
            }
        });
        let gates: Vec<_> = (0..WAITING).map(|_| Semaphore::with_history(0, 1)).collect();
        let alone = each(WAITING, || {
            for gate in &gates {
                let invocation = create(gate);
                executor.run_until_idle();
                gate.signal(1, None).expect("signalled");
                executor.run_until_idle();
                assert!(invocation.is_finished());
            }
        });
        let gates: Vec<_> = (0..WAITING).map(|_| Semaphore::with_history(0, 1)).collect();
        let mut invocations = Vec::with_capacity(WAITING);
        let created = each(WAITING, || invocations.extend(gates.iter().map(create)));
        let waited = each(WAITING, || assert_eq!(executor.run_until_idle(), WAITING));
        let woken = each(WAITING, || {
            gates.iter().for_each(|gate| gate.signal(1, None).expect("signalled"));
            assert_eq!(executor.run_until_idle(), 0);
        });
        let round = [returns, alone, created, waited, woken];
        least.iter_mut().zip(round).for_each(|(least, round)| *least = least.min(round));
    }
    println!("bytes of each that waits: {:.0} (one semaphore), {:.0} (a semaphore each)", bytes[0], bytes[1]);
    let rows = [
        "created, returns at once",
        "created, waits alone, woken, ended",
        "one of 10,000: created",
        "one of 10,000: runs to its wait",
        "one of 10,000: woken, ended",
    ];
    for (name, nanoseconds) in rows.iter().zip(least) {
        println!("{name:<36}{nanoseconds:>8.0} ns");
    }
    Ok(())
}
