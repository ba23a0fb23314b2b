//! Scenarios on the scheduler proper: the same outcome, and what is known is what follows from waits and queues.

use super::*;
use crate::audit::audit;
use crate::model::Tier;
use crate::{Policy, scenario::QueueRun};
use std::collections::BTreeMap;

/// What each operation must know on queues, by the definition: of every queue the last operation that is reached
/// through waits, and through "comes before on the same queue".
fn closure(run: &Run<'_>, queues: &[(usize, usize)]) -> Vec<BTreeMap<usize, u64>> {
    let graph = run.graph();
    let count = graph.nodes().len();
    let lane = |node: usize| (graph.nodes()[node].class, run.intervals()[node].lane);
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&node| run.intervals()[node].start);
    let mut epochs = vec![0u64; queues.len()];
    let mut last: Vec<Option<usize>> = vec![None; queues.len()];
    let mut known: Vec<BTreeMap<usize, u64>> = vec![BTreeMap::new(); count];
    for node in order {
        let queue = queues.iter().position(|&queue| queue == lane(node)).expect("a queue");
        let before = graph.edges().iter().filter(|edge| edge.to == node).map(|edge| edge.from).chain(last[queue]);
        let mut own: BTreeMap<usize, u64> = BTreeMap::new();
        for from in before.collect::<Vec<_>>() {
            for (&axis, &epoch) in &known[from] {
                let entry = own.entry(axis).or_default();
                *entry = epoch.max(*entry);
            }
        }
        epochs[queue] += 1;
        own.insert(queue, epochs[queue]);
        last[queue] = Some(node);
        known[node] = own;
    }
    known
}

#[test]
fn on_queues_every_scenario_runs_as_in_the_simulator_under_every_policy() {
    for scenario in embedded::all() {
        for scale in sizes(&scenario).into_iter().filter(|scale| scale.width * scale.depth <= 8) {
            let graph = scenario.graph(scale).unwrap();
            let run = Run::of(&graph);
            let spans: Vec<(u64, u64)> = (0..graph.nodes().len()).map(|node| span(&run, node)).collect();
            for policy in Policy::ALL {
                let on_queues = QueueRun::of(&run, policy).unwrap();
                let what = format!("{} {scale:?} {}", scenario.name, policy.name());
                assert_eq!(on_queues.spans, spans, "{what}");
                assert_eq!(on_queues.makespan, run.makespan(), "{what}");
                assert_eq!(on_queues.statistics.waits.total(), graph.edges().len() as u64, "{what}");
                assert_eq!(on_queues.statistics.waits.reached, 0, "{what}: all is submitted ahead");
                assert_eq!(on_queues.statistics.waits.deferred, 0, "{what}: the host holds nothing back");
            }
        }
    }
}

#[test]
fn queue_frontiers_are_what_follows_from_waits_and_queues_and_order_as_timelines_do() {
    for scenario in embedded::all() {
        for scale in
            [Scale::default(), Scale { width: 2, depth: if scenario.has_depth() { 3 } else { 1 }, lanes: None }]
        {
            let graph = scenario.graph(scale).unwrap();
            let run = Run::of(&graph);
            let on_queues = QueueRun::of(&run, Policy::Frontiers).unwrap();
            let expected = closure(&run, &on_queues.queues);
            for (node, expected) in expected.iter().enumerate() {
                let known: BTreeMap<usize, u64> = on_queues.entries(node).collect();
                assert_eq!(known, *expected, "{} {scale:?}: {}", scenario.name, graph.nodes()[node].name);
                assert!(on_queues.exact[node]);
                for other in (0..graph.nodes().len()).filter(|&other| graph.knows(node, other)) {
                    assert!(on_queues.frontiers[node].dominates(&on_queues.frontiers[other]), "{node} of {other}");
                }
            }
        }
    }
}

#[test]
fn the_auditor_proves_every_scenario_on_queues() {
    for scenario in embedded::all() {
        for scale in [Scale::default(), Scale { width: 3, ..Scale::default() }] {
            let graph = scenario.graph(scale).unwrap();
            for policy in Policy::ALL {
                let (on_queues, recording) = QueueRun::recorded(&Run::of(&graph), policy).unwrap();
                let what = format!("{} {scale:?} {}", scenario.name, policy.name());
                let audit = audit(&recording.events).unwrap_or_else(|violation| panic!("{what}: {violation}"));
                assert_eq!((audit.submissions, audit.waits), (graph.nodes().len(), graph.edges().len()), "{what}");
                assert_eq!(audit.elided as u64, on_queues.statistics.waits.elided(), "{what}");
            }
        }
    }
}

#[test]
fn frontiers_issue_no_more_waits_than_timelines_and_these_no_more_than_events() {
    let mut issued = [0; 3];
    for scenario in embedded::all() {
        let graph = scenario.graph(Scale { width: 2, ..Scale::default() }).unwrap();
        let run = Run::of(&graph);
        let counts = Policy::ALL.map(|policy| QueueRun::of(&run, policy).unwrap().statistics.waits.issued());
        assert!(counts[2] <= counts[1] && counts[1] <= counts[0], "{}: {counts:?}", scenario.name);
        issued.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    assert!(issued[2] < issued[1], "something is implied somewhere: {issued:?}");
}

#[test]
fn what_is_elided_was_implied() {
    for scenario in embedded::all() {
        let graph = scenario.graph(Scale::default()).unwrap();
        let run = Run::of(&graph);
        let on_queues = QueueRun::of(&run, Policy::Frontiers).unwrap();
        for (node, this) in graph.nodes().iter().enumerate() {
            for ((timeline, value), resolution) in this.waits.iter().zip(&on_queues.resolutions[node]) {
                let edge = graph.edges().iter().find(|e| (e.to, e.timeline, e.value) == (node, *timeline, *value));
                let from = edge.expect("every wait is an edge").from;
                let lane = |node: usize| (graph.nodes()[node].class, run.intervals()[node].lane);
                match resolution.tier {
                    Tier::SameQueue => assert_eq!(lane(from), lane(node), "{}: {}", scenario.name, this.name),
                    // Something else that is known brings it: another wait, or what comes before on the queue.
                    Tier::Implied => {
                        let others = graph.edges().iter().filter(|e| e.to == node && e.from != from).map(|e| e.from);
                        let before = (0..graph.nodes().len())
                            .filter(|&n| n != node && lane(n) == lane(node) && span(&run, n).1 <= span(&run, node).0);
                        let mut bringing = others.chain(before);
                        let wanted = &on_queues.frontiers[from];
                        let implied = bringing.any(|n| on_queues.frontiers[n].dominates(wanted));
                        assert!(implied, "{}: {} of {}", scenario.name, this.name, graph.nodes()[from].name);
                    }
                    Tier::Producer => assert_ne!(lane(from), lane(node)),
                    tier => panic!("{}: {}: {tier:?}", scenario.name, this.name),
                }
            }
        }
    }
}
