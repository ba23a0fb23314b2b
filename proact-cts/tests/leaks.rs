//! No descriptor and no allocation is left after any case.
//!
//! A program of its own, because the counting allocator serves the whole process, and cases run one after the other.
//! A case that leaves something runs again: what a process makes once and keeps (a cached environment variable, a
//! thread's slot in a table) is left the first time only, what leaks is left every time.
//!
//! It runs where the paths differ that own something: every backend whole and with everything masked. With
//! `PROACT_CTS_LEAKS=all` it runs on every configuration.

use std::alloc::System;
use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use proact_cts::harness::Case;
use proact_cts::record::Ran;
use proact_cts::{cases, config, harness, select, system};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let mut arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let every = std::env::var("PROACT_CTS_LEAKS").is_ok_and(|which| which == "all");
    harness::watch_leaks(holdings, every);
    let mut trials = select::select(&mut arguments, harness::trials(cases::GROUPS));
    trials.push(Trial::test("a_case_that_leaks_is_found", a_case_that_leaks_is_found));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What the process holds now: descriptors, live allocations and their bytes.
fn holdings() -> harness::Holdings {
    let descriptors = system::descriptors();
    let stats = ALLOCATOR.stats();
    harness::Holdings {
        descriptors,
        allocations: stats.allocations as i64 - stats.deallocations as i64,
        bytes: stats.bytes_allocated as i64 - stats.bytes_deallocated as i64,
    }
}

/// A watch that finds nothing anywhere would be none.
fn a_case_that_leaks_is_found() -> Result<(), Failed> {
    let memory = Case::new("leaks_memory", |_| _ = Box::leak(Box::new(7u64))).alone();
    let descriptor = Case::new("leaks_a_descriptor", |cts| std::mem::forget(cts.file("f", b"x"))).alone();
    let whole = config::all().iter().filter(|configuration| configuration.is_whole());
    for configuration in whole.filter(|configuration| configuration.detect().is_ok()) {
        for (case, what) in [(memory, "0 descriptors, 1 allocations of 8 bytes"), (descriptor, "1 descriptors, ")] {
            if what.starts_with('1') && configuration.is_simulated() {
                continue; // its descriptors are none of this process
            }
            match harness::run(case, *configuration, configuration.detect()) {
                Ran::Failed(why) if why.contains(what) => {}
                other => return Err(format!("{} on {}: {other:?}", case.name, configuration.name).into()),
            }
        }
    }
    Ok(())
}
