//! Random graphs on random queues, run in random order: what the scheduler knows is what follows, what it leaves out
//! changes nothing, and the auditor agrees.

mod dag;
mod oracle;
mod runner;
#[path = "../support/mod.rs"]
mod support;

use std::collections::HashSet;

use dag::{Dag, Shape};
use oracle::Oracle;
use proact_schedule::audit::{Violation, audit};
use proact_schedule::model::Place;
use proact_schedule::record::{Event, How, Timed};
use proact_schedule::{Policy, SchedulerOptions};
use runner::{Run, axis, run};
use support::Random;

const CASES: u64 = 1000;

/// Runs `check` for each seed, and says which one failed.
fn each_case(check: impl Fn(&mut Random) + std::panic::RefUnwindSafe) {
    for seed in 0..CASES {
        let outcome = std::panic::catch_unwind(|| check(&mut Random(seed)));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

fn events(run: &Run) -> &[Timed] {
    &run.scheduler.recorder().events
}

/// The nodes that failed, by the recording.
fn failed(run: &Run) -> HashSet<usize> {
    let ended = events(run).iter().filter_map(|timed| match &timed.event {
        Event::Ended { queue, epoch, failure: Some(_) } => Some((*queue, *epoch)),
        _ => None,
    });
    ended.map(|(queue, epoch)| run.places[&Place::new(run.queues[queue as usize], epoch)]).collect()
}

/// Everything in `known`, as queues and epochs.
fn reached(dag: &Dag, known: &[(u64, u64)]) -> Vec<(usize, u64)> {
    let queue = |bits| (0..dag.queues.len()).find(|&queue| axis(queue).to_bits() == bits).unwrap();
    known.iter().map(|&(bits, epoch)| (queue(bits), epoch)).collect()
}

#[test]
fn on_in_order_queues_the_causes_of_each_value_are_the_least_fixpoint() {
    each_case(|random| {
        let early_waits = random.chance(60);
        let dag = Dag::random(random, Shape { overlapping: false, failures: false, early_waits });
        let oracle = Oracle::new(&dag);
        let options = SchedulerOptions::new().pruning(false).capacity(254).history(1000);
        let run = run(&dag, options, random, false);
        let mut values = 0;
        for timed in events(&run) {
            let Event::Reached { semaphore, value, known, exact } = &timed.event else { continue };
            values += 1;
            assert_eq!(reached(&dag, known), oracle.causes(&dag, *semaphore as usize, *value), "{semaphore} {value}");
            assert!(exact);
        }
        assert_eq!(values, dag.nodes.iter().map(|node| node.signals.len()).sum::<usize>());
    });
}

#[test]
fn on_overlapping_queues_nothing_is_known_that_does_not_follow() {
    each_case(|random| {
        let dag = Dag::random(random, Shape { overlapping: true, failures: false, early_waits: true });
        let oracle = Oracle::new(&dag);
        let (options, memory) = (SchedulerOptions::new().pruning(random.chance(50)), random.chance(50));
        let run = run(&dag, options, random, memory);
        for timed in events(&run) {
            let Event::Reached { semaphore, value, known, .. } = &timed.event else { continue };
            let causes = oracle.causes(&dag, *semaphore as usize, *value);
            for (queue, epoch) in reached(&dag, known) {
                let follows = causes.iter().any(|cause| cause.0 == queue && cause.1 >= epoch);
                // What had ended when something was submitted is known without any wait, and so is memory's wait.
                let was_seen = dag.queues[queue].in_order || run.scheduler.ended(run.queues[queue]) >= epoch;
                assert!(follows || was_seen, "{queue} {epoch}");
            }
        }
    });
}

#[test]
fn order_and_outcomes_are_the_same_however_waits_are_resolved() {
    each_case(|random| {
        let shape =
            Shape { overlapping: random.chance(60), failures: random.chance(60), early_waits: random.chance(70) };
        let dag = Dag::random(random, shape);
        let oracle = Oracle::new(&dag);
        for policy in Policy::ALL {
            let capacity = [1, 2, 3, 64][random.below(4)];
            let options = SchedulerOptions::new().policy(policy).capacity(capacity).pruning(random.chance(70));
            let (options, memory) = (options.history(random.below(20)), random.chance(60));
            let run = run(&dag, options, random, memory);
            let failed = failed(&run);
            for (index, &fails) in oracle.fails.iter().enumerate() {
                assert_eq!(failed.contains(&index), fails, "{policy:?} node {index}");
            }
            check_order(&dag, &oracle, &run);
            let proved = audit(events(&run)).unwrap_or_else(|violation| panic!("{policy:?}: {violation}"));
            let statistics = run.scheduler.statistics();
            assert_eq!(statistics.submissions, dag.nodes.len() as u64);
            assert!(proved.elided as u64 <= statistics.waits.elided());
            let values = |semaphore| run.scheduler.value(run.semaphores[semaphore]);
            for (index, node) in dag.nodes.iter().enumerate() {
                for &(semaphore, value) in &node.signals {
                    let broken = oracle::stands_for(&dag, semaphore, value).iter().any(|&before| oracle.fails[before]);
                    assert_eq!(values(semaphore) >= value, !broken, "{policy:?} node {index}");
                }
            }
        }
    });
}

/// Everything begins, and ends well, only after what it comes after. (What comes before something that failed may come
/// later: it gave its waits up.)
fn check_order(dag: &Dag, oracle: &Oracle, run: &Run) {
    let mut ended = HashSet::new();
    for timed in events(run) {
        let (queue, epoch, ends) = match timed.event {
            Event::Started { queue, epoch } => (queue, epoch, false),
            Event::Ended { queue, epoch, .. } => (queue, epoch, true),
            _ => continue,
        };
        let node = run.places[&Place::new(run.queues[queue as usize], epoch)];
        let may = oracle.direct[node].iter().all(|before| ended.contains(before)) || oracle.fails[node];
        assert!(may || (!ends && dag.queues[queue as usize].keeps_barriers), "node {node}");
        if ends {
            ended.insert(node);
        }
    }
}

#[test]
fn the_auditor_finds_what_was_left_out_by_hand() {
    let (mut mutated, mut found) = (0, 0);
    for seed in 0..CASES {
        let random = &mut Random(seed);
        let dag = Dag::random(random, Shape { overlapping: false, failures: false, early_waits: false });
        let run = run(&dag, SchedulerOptions::new().capacity(254), random, false);
        audit(events(&run)).unwrap();
        for at in 0..events(&run).len() {
            let mut events = events(&run).to_vec();
            let Event::Submitted { waits, barriers, held, .. } = &mut events[at].event else { continue };
            // The barriers removed, and the wait said to be implied.
            let Some(wait) = waits.iter_mut().find(|wait| wait.how == How::Producer) else { continue };
            wait.how = How::Implied;
            barriers.clear();
            held.clear();
            mutated += 1;
            match audit(&events) {
                Err(Violation::UnprovedWait { .. }) => found += 1,
                other => panic!("seed {seed} event {at}: {other:?}"),
            }
        }
    }
    assert!(found == mutated && mutated > 1500, "{found} of {mutated}");
}

#[test]
fn the_auditor_finds_memory_that_was_used_again_too_early() {
    let mut found = 0;
    for seed in 0..CASES / 3 {
        let random = &mut Random(seed);
        let dag = Dag::random(random, Shape { overlapping: true, failures: false, early_waits: true });
        let run = run(&dag, SchedulerOptions::new(), random, true);
        audit(events(&run)).unwrap();
        // Every submission says that it used the next life of the blocks as well.
        let mut events = events(&run).to_vec();
        for timed in &mut events {
            if let Event::Submitted { buffers, .. } = &mut timed.event {
                let next: Vec<_> = buffers.iter().map(|&(block, life)| (block, life + 1)).collect();
                buffers.extend(next);
            }
        }
        found += usize::from(matches!(audit(&events), Err(Violation::UnprovedReuse { .. })));
    }
    assert!(found > 100, "{found}");
}
