//! Whatever system call fails or comes back short, every operation ends exactly once, nothing leaks, nothing is lost.
//!
//! A program of operations runs once to count the calls that each site of the library makes, and then once for each
//! call and each way that it can go wrong. A program of its own, because the faults are the whole process's.
//!
//! `PROACT_CTS_FAULTS` is how many calls of one site are tried, spread over all of them (100).

mod basics;
mod company;
mod driver;
mod fences;
mod files;
mod moving;
mod sockets;
mod telling;
mod threads;

use std::alloc::System;
use std::process::ExitCode;

use driver::{Ended, Part};
use libtest_mimic::Arguments;
use proact::fault::{self, Fault, Site, What};
use proact_cts::bench::Cts;
use proact_cts::harness::Only;
use proact_cts::{cases, harness, select, system};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use threads::whatever_call_fails_a_thread_ends_once_and_tells_why;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let mut arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let trials = select::select(&mut arguments, harness::trials(&[("faults", CASES)]));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// What fails here.
const CALLS: &str = "system calls";

cases![
    programs_without_a_fault_succeed_and_leave_nothing.real(CALLS),
    whatever_call_fails_every_operation_ends_once_and_nothing_leaks.only(Only::Extremes).real(CALLS),
    whatever_call_on_files_fails_every_operation_ends_once_and_nothing_leaks.only(Only::Extremes).real(CALLS),
    whatever_call_that_moves_bytes_fails_every_operation_ends_once_and_nothing_leaks.only(Only::Extremes).real(CALLS),
    whatever_call_that_waits_for_others_fails_every_operation_ends_once_and_nothing_leaks
        .only(Only::Extremes)
        .real(CALLS),
    whatever_call_on_sockets_fails_every_operation_ends_once_and_nothing_leaks.only(Only::Extremes).real(CALLS),
    whatever_call_on_pools_fails_every_operation_ends_once_and_nothing_leaks.only(Only::Extremes).real(CALLS),
    whatever_call_that_tells_others_fails_every_operation_ends_once_and_nothing_leaks.only(Only::Extremes).real(CALLS),
    whatever_call_on_fences_fails_every_semaphore_is_answered_and_nothing_leaks.only(Only::Extremes).real(CALLS),
    whatever_call_fails_operations_in_company_end_once_and_nothing_leaks.only(Only::Extremes).real(CALLS),
    whatever_call_fails_a_thread_ends_once_and_tells_why.only(Only::Extremes).real(CALLS),
    short_transfers_lose_no_byte.only(Only::Extremes).real(CALLS),
    a_wait_that_signals_cut_short_loses_nothing.only(Only::Extremes).real(CALLS),
];

/// How often a fault may leave something behind before that counts as a leak: what a process makes once and keeps is
/// left once.
const LEAKS_MAX: usize = 3;

/// Faults after which a kernel that was entered goes on all the same.
const SHORT_OF_TIME: [Fault; 2] = [Fault::Error(libc::EINTR), Fault::Error(libc::EAGAIN)];

/// Every program.
const PROGRAMS: [&[Part]; 10] = [
    basics::PARTS,
    files::PARTS,
    moving::PARTS,
    sockets::PARTS,
    sockets::POOLED,
    company::PARTS,
    moving::WAITS,
    files::WATCHED,
    fences::PARTS,
    telling::PARTS,
];

/// Those of them whose transfers may come short.
const TRANSFERS: usize = 7;

/// What one run came to.
struct Report {
    ended: Ended,
    fired: bool,
    calls: fault::Calls,
    /// Descriptors and allocations more than before.
    left: (i64, i64),
}

fn holdings() -> (i64, i64) {
    let stats = ALLOCATOR.stats();
    let allocations = stats.allocations as i64 - stats.deallocations as i64;
    (system::descriptors() as i64, allocations)
}

/// Runs a program once; `plan` is what goes wrong.
fn run(cts: &mut Cts, parts: &[Part], plan: Option<(Site, u64, Fault)>) -> Report {
    let folder = cts.path("");
    let before = holdings();
    match plan {
        Some((site, call, fault)) => fault::arm(site, call, fault),
        None => fault::count(),
    }
    let errno = match plan {
        Some((_, _, Fault::Error(errno))) => Some(errno),
        _ => None,
    };
    let ended = driver::run(cts.config, parts, &folder, errno, &|what| cts.say(&format!("{plan:?}: {what}")));
    let (calls, fired) = fault::disarm();
    let mut report = Report { ended, fired, calls, left: (0, 0) };
    // What the report itself holds is no leak.
    let held = report.held();
    for _ in 0..50 {
        let after = holdings();
        report.left = (after.0 - before.0, after.1 - before.1 - held);
        if report.left.0 <= 0 && report.left.1 <= 0 {
            break;
        }
        // A joined thread may still be giving its memory back.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    report
}

impl Report {
    fn held(&self) -> i64 {
        i64::from(self.calls.capacity() > 0) + self.ended.held()
    }
}

/// Runs a program with every fault of `faults` at every site that `takes`; each report goes to `check`.
fn try_all(
    cts: &mut Cts,
    parts: &[Part],
    takes: impl Fn(What) -> bool,
    faults: &[Fault],
    mut check: impl FnMut(&Report, Site, Fault),
) {
    drop(cts.take());
    for _ in 0..2 {
        run(cts, parts, None); // what a process makes once
    }
    let calls = run(cts, parts, None).calls;
    let most: u64 = std::env::var("PROACT_CTS_FAULTS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    for (site, count) in calls.into_iter().filter(|(site, _)| takes(site.what)) {
        let mut fired = 0;
        for index in 0..count.min(most) {
            let call = if count <= most { index } else { index * count / most };
            for fault in faults {
                let plan = (site, call, *fault);
                let mut left = Vec::new();
                loop {
                    let report = run(cts, parts, Some(plan));
                    fired += u32::from(report.fired);
                    check(&report, site, *fault);
                    // What a kernel that does not answer any more may still use is leaked on purpose.
                    let broken = site.what == What::Enter && !SHORT_OF_TIME.contains(fault);
                    if (report.left.0 <= 0 && report.left.1 <= 0) || broken {
                        break;
                    }
                    left.push(report.left);
                    assert!(left.len() < LEAKS_MAX, "{plan:?} leaves descriptors and allocations: {left:?}");
                }
            }
        }
        assert!(fired > 0, "no fault at {site:?}, which was passed {count} times, has come");
    }
    cts.rebuild(|builder| builder);
}

fn programs_without_a_fault_succeed_and_leave_nothing(cts: &mut Cts) {
    drop(cts.take());
    for parts in PROGRAMS {
        let mut report = run(cts, parts, None);
        for _ in 0..3 {
            report = run(cts, parts, None);
        }
        assert_eq!(report.ended.failures(), Vec::<String>::new());
        assert_eq!((report.left, report.ended.leaked, report.ended.polls_failed), ((0, 0), 0, 0));
        assert!(report.calls.len() > 3, "sites are counted: {:?}", report.calls);
    }
    cts.rebuild(|builder| builder);
}

fn whatever_call_fails(cts: &mut Cts, parts: &[Part]) {
    let errors = [libc::EINTR, libc::EAGAIN, libc::ENOMEM, libc::EIO, libc::ECONNRESET].map(Fault::Error);
    let takes = |what| matches!(what, What::Call | What::Enter | What::Entry);
    try_all(cts, parts, takes, &errors, |report, site, fault| {
        let Fault::Error(errno) = fault else { unreachable!("only errors were asked for") };
        report.ended.check(report.fired.then_some(errno));
        // Only a kernel that fails to wait breaks a proactor for good; what it has then is left to it.
        let unbroken = report.ended.leaked == 0 && report.ended.polls_failed == 0;
        assert!(unbroken || site.what == What::Enter, "{site:?} with {errno}: {:?}", report.ended);
        assert!(unbroken || fault != Fault::Error(libc::EINTR), "a signal is no end: {:?}", report.ended);
    });
}

fn whatever_call_fails_every_operation_ends_once_and_nothing_leaks(cts: &mut Cts) {
    whatever_call_fails(cts, basics::PARTS);
}

fn whatever_call_on_files_fails_every_operation_ends_once_and_nothing_leaks(cts: &mut Cts) {
    whatever_call_fails(cts, files::PARTS);
    whatever_call_fails(cts, files::WATCHED);
}

fn whatever_call_that_moves_bytes_fails_every_operation_ends_once_and_nothing_leaks(cts: &mut Cts) {
    whatever_call_fails(cts, moving::PARTS);
}

fn whatever_call_that_waits_for_others_fails_every_operation_ends_once_and_nothing_leaks(cts: &mut Cts) {
    whatever_call_fails(cts, moving::WAITS);
}

fn whatever_call_on_sockets_fails_every_operation_ends_once_and_nothing_leaks(cts: &mut Cts) {
    whatever_call_fails(cts, sockets::PARTS);
}

fn whatever_call_on_pools_fails_every_operation_ends_once_and_nothing_leaks(cts: &mut Cts) {
    whatever_call_fails(cts, sockets::POOLED);
}

fn whatever_call_that_tells_others_fails_every_operation_ends_once_and_nothing_leaks(cts: &mut Cts) {
    whatever_call_fails(cts, telling::PARTS);
}

fn whatever_call_on_fences_fails_every_semaphore_is_answered_and_nothing_leaks(cts: &mut Cts) {
    whatever_call_fails(cts, fences::PARTS);
}

fn whatever_call_fails_operations_in_company_end_once_and_nothing_leaks(cts: &mut Cts) {
    whatever_call_fails(cts, company::PARTS);
}

fn short_transfers_lose_no_byte(cts: &mut Cts) {
    for parts in &PROGRAMS[..TRANSFERS] {
        try_all(
            cts,
            parts,
            |what| what == What::Length,
            &[Fault::Short],
            |report, _, fault| {
                assert_eq!(report.ended.failures(), Vec::<String>::new(), "{fault:?}");
            },
        );
    }
}

fn a_wait_that_signals_cut_short_loses_nothing(cts: &mut Cts) {
    for parts in PROGRAMS {
        try_all(
            cts,
            parts,
            |what| what == What::Enter,
            &[Fault::Error(libc::EINTR)],
            |report, _, fault| {
                assert_eq!(report.ended.failures(), Vec::<String>::new(), "{fault:?}");
                assert_eq!(report.ended.polls_failed, 0);
            },
        );
    }
}
