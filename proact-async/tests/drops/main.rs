//! Every future of the crate is dropped after every poll, and when it was woken and not polled; and forgotten: on every
//! backend, with each system call failing in turn, and in simulated worlds. Then nothing is in flight any more, no
//! descriptor, allocation or buffer is missing, and the runtime ends at once.
//!
//! `cases` has the table of futures; `coverage` fails when one of the crate is missing there. A program of its own,
//! because faults and the counting allocator are the whole process's.
//!
//! `PROACT_DROP_CASES` names the cases to run, with commas between (all). `PROACT_DROP_FAULTS` is how many calls of one
//! site fail in turn (3), `PROACT_DROP_POINTS` at how many polls the future is dropped with each of them (2), and
//! `PROACT_DROP_SEEDS` how many worlds there are (8). The first two as large as they may be is every drop with every
//! fault.

mod built;
mod cases;
mod coverage;
mod run;

use std::alloc::System;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cases::{CASES, Case};
use proact::fault::{self, Fault, What};
use proact::proactor::{Builder, Choice};
use run::{Drops, Report, Where, run};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One at a time: what is counted is the process's.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often a run may leave something behind before that counts as a leak: what a process makes once and keeps is left
/// once, and the test's own harness allocates now and then.
const LEAKS_MAX: usize = 4;

const BACKENDS: [Choice; 3] = [Choice::IoUring, Choice::Epoll, Choice::Poll];

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The cases that are asked for: all, if none are.
fn cases() -> impl Iterator<Item = &'static Case> {
    let names = std::env::var("PROACT_DROP_CASES").unwrap_or_default();
    let wanted: Vec<String> = names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    CASES.iter().filter(move |case| wanted.is_empty() || wanted.iter().any(|name| name == case.name))
}

/// The backends that work here.
fn backends() -> Vec<Choice> {
    let works = |choice: &Choice| match Builder::new().backend(*choice).build() {
        Ok(_) => true,
        Err(status) => {
            println!("skipped: {choice:?}: {status}");
            false
        }
    };
    BACKENDS.into_iter().filter(works).collect()
}

/// Runs a case until it leaves nothing, and says how it went the last time.
#[track_caller]
fn leaves_nothing(case: &Case, place: &Where, drops: Drops, faults: Option<run::Plan>) -> Report {
    let mut left = Vec::new();
    loop {
        let report = run(case, place, drops, faults);
        if report.left == (0, 0) || report.broken {
            return report;
        }
        left.push(report.left);
        let name = case.name;
        assert!(
            left.len() < LEAKS_MAX,
            "{name} on {place:?}, {drops:?}, {faults:?}: descriptors and allocations left: {left:?}"
        );
    }
}

/// Runs a case whole, and answers how many polls it took: all that a drop can come after.
fn polls(case: &Case, place: &Where) -> usize {
    let report = leaves_nothing(case, place, Drops::Never, None);
    assert_eq!(report.ended, Some(Ok(())), "{} on {place:?}", case.name);
    report.pending
}

#[test]
fn dropped_at_every_poll_nothing_is_left() {
    let _alone = alone();
    for backend in backends() {
        let place = Where::Backend(backend);
        for case in cases() {
            let polls = polls(case, &place);
            assert!(polls > 0, "{} has nothing to be dropped at", case.name);
            for poll in 0..=polls {
                leaves_nothing(case, &place, Drops::Polled(poll), None);
                leaves_nothing(case, &place, Drops::Woken(poll), None);
            }
        }
    }
}

#[test]
fn forgotten_at_every_poll_the_runtime_ends_all_the_same() {
    let _alone = alone();
    for backend in backends() {
        let place = Where::Backend(backend);
        for case in cases() {
            for poll in 0..=polls(case, &place) {
                run(case, &place, Drops::Forgotten(poll), None);
            }
        }
    }
}

#[test]
fn whatever_call_fails_a_drop_leaves_nothing() {
    let _alone = alone();
    let (most, points) = (number("PROACT_DROP_FAULTS", 3), number("PROACT_DROP_POINTS", 2) as usize);
    let errors = [errno::EIO, errno::EINTR, errno::ENOMEM, errno::EAGAIN];
    for backend in backends() {
        let place = Where::Backend(backend);
        let mut turn = 0usize;
        for case in cases() {
            let polls = polls(case, &place);
            let calls = run(case, &place, Drops::Never, None).calls;
            let sites = calls.into_iter().filter(|(site, _)| site.what != What::Length);
            for (site, count) in sites {
                for index in 0..count.min(most) {
                    let call = if count <= most { index } else { index * count / most };
                    turn += 1;
                    let plan = run::Plan { site, call, fault: Fault::Error(errors[turn % errors.len()]) };
                    // Whole, and dropped at one poll after the other as the faults go on.
                    leaves_nothing(case, &place, Drops::Never, Some(plan));
                    for point in 0..points.min(polls + 1) {
                        let poll = (turn + point * (polls + 1) / points) % (polls + 1);
                        // By turns, so that each poll comes to be both.
                        let woken = (turn / (polls + 1) + point) % 2 == 1;
                        let drops = if woken { Drops::Woken(poll) } else { Drops::Polled(poll) };
                        leaves_nothing(case, &place, drops, Some(plan));
                    }
                }
            }
        }
        assert!(turn > 2 * cases().count(), "faults come: {turn}");
        println!("{backend:?}: {turn} faults");
    }
}

/// Error numbers of Linux.
mod errno {
    pub const EINTR: i32 = 4;
    pub const EIO: i32 = 5;
    pub const EPERM: i32 = 1;
    pub const EMFILE: i32 = 24;
    pub const EAGAIN: i32 = 11;
    pub const ENOMEM: i32 = 12;
}

#[test]
fn dropped_at_every_poll_in_many_worlds_nothing_is_left() {
    let _alone = alone();
    for case in cases().filter(|case| case.simulated) {
        for seed in 0..number("PROACT_DROP_SEEDS", 8) {
            let place = Where::World(seed);
            let polls = polls(case, &place);
            for poll in 0..=polls {
                leaves_nothing(case, &place, Drops::Polled(poll), None);
                leaves_nothing(case, &place, Drops::Woken(poll), None);
            }
        }
    }
}

#[test]
fn a_future_that_leaks_is_found() {
    let _alone = alone();
    let place = Where::Backend(Choice::Poll);
    let memory = Case { name: "leaks_memory", covers: &[], simulated: false, future: |_| Box::pin(cases::leaks()) };
    for _ in 0..LEAKS_MAX {
        let left = run(&memory, &place, Drops::Never, None).left.1;
        assert!(left > cases::LEAKED / 2, "{left} found");
    }
    assert_eq!(run(&memory, &place, Drops::Polled(0), None).left, (0, 0));
    let _ = fault::disarm();
}

#[test]
fn every_future_is_in_the_table() {
    coverage::check();
}
