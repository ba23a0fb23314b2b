//! What the comparison says, and that all three policies do the same.

use super::stage::{Stage, run};
use super::workload::Step;
use super::*;
use crate::audit::audit;
use std::collections::BTreeMap;

fn outcomes(number: &str) -> [Outcome; 3] {
    let case = cases().into_iter().find(|case| case.number == number).expect("the case");
    Policy::ALL.map(|policy| case.run(policy).unwrap())
}

#[test]
fn under_every_policy_every_wait_and_every_reuse_is_kept() {
    for case in cases() {
        for policy in Policy::ALL {
            let (_, _, spans) = run(&case.workload, policy, Silent).unwrap();
            let mut stage = Stage::new(&case.workload, policy, Silent).unwrap();
            stage.submit().unwrap();
            let submits = case.workload.steps.iter().filter_map(|step| match step {
                Step::Submit(submit) => Some(submit),
                _ => None,
            });
            let mut reached: BTreeMap<(usize, u64), u64> = BTreeMap::new();
            // Of each block: the generation that lives, when it was used last, and when the one before was.
            let mut blocks: BTreeMap<usize, (u32, u64, u64)> = BTreeMap::new();
            for (submit, &(start, end)) in submits.zip(&spans) {
                for wait in &submit.waits {
                    assert!(reached[wait] <= start, "{} {}: {wait:?}", case.number, policy.name());
                }
                reached.extend(submit.signals.iter().map(|&signal| (signal, end)));
                for &buffer in &submit.buffers {
                    let buffer = stage.buffers[buffer].expect("it was acquired");
                    let life = blocks.entry(buffer.block()).or_insert((buffer.generation(), 0, 0));
                    if life.0 != buffer.generation() {
                        *life = (buffer.generation(), 0, life.1);
                    }
                    assert!(life.2 <= start, "{} {}: {buffer:?} is used too early", case.number, policy.name());
                    life.1 = life.1.max(end);
                }
            }
        }
    }
}

#[test]
fn the_auditor_proves_every_case_under_every_policy() {
    for case in cases() {
        for policy in Policy::ALL {
            let (outcome, recording) = case.recorded(policy).unwrap();
            let proved = audit(&recording.events);
            let proved = proved.unwrap_or_else(|violation| panic!("{} {}: {violation}", case.number, policy.name()));
            assert_eq!(proved.submissions as u64, outcome.submissions, "{}", case.number);
            assert_eq!(proved.elided as u64, outcome.waits.elided(), "{}", case.number);
            assert_eq!(proved.reuses > 0, outcome.reuse_hits + outcome.reuse_waits > 0, "{}", case.number);
        }
    }
}

#[test]
fn counts_are_the_same_on_every_run() {
    for case in cases() {
        for policy in Policy::ALL {
            assert_eq!(case.run(policy).unwrap(), case.run(policy).unwrap(), "{}", case.number);
        }
    }
}

#[test]
fn a_prepared_case_runs_again_and_again() {
    for case in cases() {
        let mut prepared = case.prepare(Policy::Frontiers).unwrap();
        for _ in 0..3 {
            prepared.submit().unwrap();
            prepared.run().unwrap();
        }
        let counted = prepared.stage.scheduler.statistics();
        assert_eq!(counted.completed, 3 * prepared.submissions(), "{}", case.number);
        // Nothing of an earlier round is reached by chance: all is ahead of what runs, each time.
        assert_eq!(counted.waits.reached, 0, "{}", case.number);
    }
}

#[test]
fn one_queue_is_equal_for_all() {
    let [events, timelines, frontiers] = outcomes("1");
    for outcome in [events, timelines, frontiers] {
        assert_eq!((outcome.waits.total(), outcome.waits.elided(), outcome.barriers), (999, 999, 0));
    }
    assert_eq!(events.makespan_ns, frontiers.makespan_ns);
    assert_eq!((events.objects, timelines.objects, frontiers.objects), (1000, 1, 1));
}

#[test]
fn what_a_wait_brought_is_not_waited_for_again() {
    // In each round a wait for the product by the copy, and by the next product for the last copy; but the first.
    let [_, timelines, frontiers] = outcomes("2");
    assert_eq!((timelines.waits.issued(), frontiers.waits.issued()), (250 + 250 + 249, 250 + 249));
    // A reader of the join and of its eight parts waits for the join.
    let [events, timelines, frontiers] = outcomes("3");
    assert_eq!((events.waits.issued(), timelines.waits.issued()), (100 * (8 + 8 + 9), 100 * (8 + 8 + 9)));
    assert_eq!(frontiers.waits.issued(), 100 * (8 + 8 + 1));
    let [_, timelines, frontiers] = outcomes("4");
    assert_eq!((timelines.waits.issued(), frontiers.waits.issued()), (900, 600));
    let [_, timelines, frontiers] = outcomes("5");
    assert_eq!((timelines.waits.issued(), frontiers.waits.issued()), (900, 500));
}

#[test]
fn only_events_are_asked_for() {
    for case in cases() {
        let [events, timelines, frontiers] = Policy::ALL.map(|policy| case.run(policy).unwrap());
        assert_eq!((timelines.host_queries, frontiers.host_queries), (0, 0), "{}", case.number);
        assert!(events.host_queries > 0 || events.waits.issued() == 0, "{}", case.number);
        assert!(frontiers.makespan_ns <= timelines.makespan_ns, "{}", case.number);
    }
}

#[test]
fn a_death_frontier_stands_for_a_hundred_uses() {
    let [events, timelines, frontiers] = outcomes("6");
    assert_eq!((events.reuse_hits, timelines.reuse_hits, frontiers.reuse_hits), (0, 0, 19));
    // Each of the two queues waits once for what the other did in the life before.
    assert_eq!((timelines.memory_barriers, frontiers.memory_barriers), (2 * 19, 0));
    assert!(events.host_queries >= 19 * 101, "each use left an event: {}", events.host_queries);
    assert_eq!([events.blocks, timelines.blocks, frontiers.blocks], [1, 1, 1]);
}

#[test]
fn isolation_holds_for_waits_and_not_for_reuse() {
    let [events, timelines, frontiers] = outcomes("7a");
    for outcome in [events, timelines, frontiers] {
        assert_eq!((outcome.barriers, outcome.waits.total(), outcome.blocks), (0, 0, 2), "{outcome:?}");
        assert_eq!((outcome.reuse_hits, outcome.reuse_waits), (398, 0), "each takes its own block again");
    }
    // A frontier that names one model's queue alone does not dominate what the other left.
    let [events, timelines, tight] = outcomes("7b");
    for outcome in [events, timelines, tight] {
        assert_eq!((outcome.blocks, outcome.reuse_hits, outcome.reuse_waits), (1, 0, 399), "{outcome:?}");
        assert_eq!(outcome.memory_barriers, 399);
    }
    assert!(tight.makespan_ns > 2 * frontiers.makespan_ns - 10_000, "one after the other: {}", tight.makespan_ns);
}

#[test]
fn only_a_frontier_tells_what_was_verified() {
    let [events, timelines, frontiers] = outcomes("8");
    assert_eq!([events, timelines, frontiers].map(|outcome| outcome.questions), [100; 3]);
    assert_eq!([events, timelines, frontiers].map(|outcome| outcome.answered), [0, 0, 100]);
}

#[test]
fn a_collective_is_one_entry_with_a_channel_and_one_a_member_without() {
    for members in [8, 64, 512] {
        let with = collective_entries(members, true).unwrap();
        assert_eq!((with.needed, with.held, with.barriers, with.exact), (1, 1, 1, true), "{members}");
        let without = collective_entries(members, false).unwrap();
        assert_eq!((without.needed, without.barriers), (members, members));
        // 512 entries are more than a frontier holds: what does not fit is not known.
        let fits = members < proact::causal::Frontier::ENTRIES_MAX;
        assert_eq!((without.held == members, without.exact), (fits, fits), "{without:?}");
        assert!(without.held < proact::causal::Frontier::ENTRIES_MAX);
    }
}
