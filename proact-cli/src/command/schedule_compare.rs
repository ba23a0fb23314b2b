//! `proact schedule-compare`: the same submissions under binary events, timelines and frontiers.

mod plot;
mod table;

use std::fs;
use std::path::Path;
use std::time::Instant;

use proact::status::{Operation, Status};
use proact_schedule::Policy;
use proact_schedule::scenario::compare::{self, Case, CollectiveEntries, Outcome, collective_entries};
use serde::Serialize;

use super::answer::{self, json, say, told};
use crate::cli::ScheduleCompare;
use crate::exit::{Exit, Failure, Place};

/// How many take part in the collectives whose entries are counted.
const MEMBERS: [usize; 3] = [8, 64, 512];

/// Runs it.
///
/// # Errors
/// A file that cannot be read, written, or has no place for the tables. Policies that disagree in what they do.
pub fn schedule_compare(options: &ScheduleCompare) -> Result<(), Failure> {
    told(compare(options), options.json)
}

/// The whole answer.
#[derive(Serialize)]
struct Comparison {
    /// Whether the program was built with optimizations: without them its times say little.
    optimized: bool,
    barrier_ns: u64,
    rounds: u32,
    cases: Vec<CaseAnswer>,
    collectives: Vec<CollectiveAnswer>,
}

#[derive(Serialize)]
struct CaseAnswer {
    number: &'static str,
    name: &'static str,
    text: &'static str,
    policies: Vec<PolicyAnswer>,
}

/// What one policy had to do: see [`Outcome`].
#[derive(Serialize)]
struct PolicyAnswer {
    policy: &'static str,
    submissions: u64,
    waits: u64,
    elided: u64,
    issued: u64,
    barriers: u64,
    memory_barriers: u64,
    host_queries: u64,
    objects: u64,
    bytes: u64,
    reuse_hits: u64,
    reuse_waits: u64,
    blocks: u64,
    frontier_entries_max: u64,
    questions: u64,
    answered: u64,
    makespan_ns: u64,
    /// Processor time of scheduling, in nanoseconds a submission.
    scheduling_ns: f64,
}

#[derive(Serialize)]
struct CollectiveAnswer {
    members: usize,
    channel: bool,
    needed: usize,
    entries: usize,
    bytes: usize,
    exact: bool,
    barriers: usize,
}

fn compare(options: &ScheduleCompare) -> Result<(), Failure> {
    // What is to be written into is looked at before minutes are spent.
    let page = options.markdown.as_deref().map(|path| read(path).map(|text| (path, text))).transpose()?;
    let mut comparison = Comparison {
        optimized: !cfg!(debug_assertions),
        barrier_ns: compare::BARRIER_NS,
        rounds: options.rounds,
        cases: vec![],
        collectives: vec![],
    };
    for case in compare::cases() {
        comparison.cases.push(one(&case, options.rounds)?);
    }
    for members in MEMBERS {
        for channel in [true, false] {
            comparison.collectives.push(entries(collective_entries(members, channel).map_err(|s| broken(&s))?));
        }
    }
    if let Some((path, text)) = page {
        let text = table::put_between(&text, &table::markdown(&comparison)).map_err(|missing| {
            Failure::new(Exit::Destination, format!("{}: there is no line {missing}", path.display()))
        })?;
        write(path, &text)?;
    }
    if let Some(path) = &options.plot {
        write(path, &plot::svg(&comparison))?;
    }
    say(&if options.json { json(&answer::Outcome::ok(&comparison))? } else { table::text(&comparison) });
    Ok(())
}

fn one(case: &Case, rounds: u32) -> Result<CaseAnswer, Failure> {
    let times = scheduling_ns(case, rounds).map_err(|status| broken(&status))?;
    let policy = |(policy, scheduling_ns)| -> Result<PolicyAnswer, Failure> {
        let outcome = case.run(policy).map_err(|status| broken(&status))?;
        Ok(answer_of(&outcome, scheduling_ns))
    };
    let policies = Policy::ALL.into_iter().zip(times).map(policy).collect::<Result<_, _>>()?;
    Ok(CaseAnswer { number: case.number, name: case.name, text: case.text, policies })
}

/// The fastest of some rounds, in nanoseconds a submission. One thread does it all, so that wall time is its own, and
/// whatever disturbs it makes it longer. A scheduler is used again, once all has run, and its first round does not
/// count: what is measured is scheduling, and not the system's handing out of memory. Policies take turns.
fn scheduling_ns(case: &Case, rounds: u32) -> Result<[f64; 3], Status> {
    let mut fastest = [f64::INFINITY; 3];
    let mut prepared = Vec::with_capacity(fastest.len());
    for policy in Policy::ALL {
        prepared.push(case.prepare(policy)?);
    }
    for round in 0..=rounds {
        for (prepared, fastest) in prepared.iter_mut().zip(&mut fastest) {
            let start = Instant::now();
            prepared.submit()?;
            let took = start.elapsed();
            prepared.run()?;
            if round > 0 {
                *fastest = fastest.min(took.as_nanos() as f64 / prepared.submissions() as f64);
            }
        }
    }
    Ok(fastest)
}

fn answer_of(outcome: &Outcome, scheduling_ns: f64) -> PolicyAnswer {
    PolicyAnswer {
        policy: outcome.policy.name(),
        submissions: outcome.submissions,
        waits: outcome.waits.total(),
        elided: outcome.waits.elided(),
        issued: outcome.waits.issued(),
        barriers: outcome.barriers,
        memory_barriers: outcome.memory_barriers,
        host_queries: outcome.host_queries,
        objects: outcome.objects,
        bytes: outcome.bytes,
        reuse_hits: outcome.reuse_hits,
        reuse_waits: outcome.reuse_waits,
        blocks: outcome.blocks,
        frontier_entries_max: outcome.entries_max,
        questions: outcome.questions,
        answered: outcome.answered,
        makespan_ns: outcome.makespan_ns,
        scheduling_ns,
    }
}

fn entries(entries: CollectiveEntries) -> CollectiveAnswer {
    let CollectiveEntries { members, channel, needed, held, bytes, exact, barriers } = entries;
    CollectiveAnswer { members, channel, needed, entries: held, bytes, exact, barriers }
}

fn broken(status: &Status) -> Failure {
    Failure::new(Exit::Failed, format!("scheduler: {status}"))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::from_io(Place::Destination, path.display(), Operation::FileRead, &error))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
        .map_err(|error| Failure::from_io(Place::Destination, path.display(), Operation::FileWrite, &error))
}
