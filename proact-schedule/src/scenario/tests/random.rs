//! Random graphs against an oracle that knows nothing of lists, heaps or cursors.

use super::*;
use crate::Policy;
use crate::audit::audit;
use crate::random::Random;
use crate::scenario::QueueRun;
use crate::scenario::graph::{Class, Graph, Node, Timeline};
use std::collections::BTreeMap;

/// Operations, each of which raises one timeline by 1 to 3 and waits for the value before and for what others have
/// signalled, or for a little less. In the graph they stand in a random order, since that is their priority.
fn nodes(random: &mut Random) -> (usize, usize, Vec<Node>) {
    let (timelines, classes) = (1 + random.below(6) as usize, 1 + random.below(3) as usize);
    let mut last = vec![0u64; timelines];
    let mut nodes: Vec<Node> = vec![];
    for number in 0..1 + random.below(24) as usize {
        let own = random.below(timelines as u64) as usize;
        let mut waits: BTreeMap<usize, u64> = BTreeMap::new();
        if last[own] > 0 {
            waits.insert(own, last[own]);
        }
        for _ in 0..random.below(3) {
            let other = random.below(timelines as u64) as usize;
            if other != own && last[other] > 0 {
                waits.insert(other, 1 + random.below(last[other]));
            }
        }
        last[own] += 1 + random.below(3);
        let node = Node {
            base: number,
            copy: 0,
            iteration: 0,
            name: format!("n{number}"),
            title: String::new(),
            class: random.below(classes as u64) as usize,
            duration: 1 + random.below(5),
            waits: waits.into_iter().collect(),
            signals: vec![(own, last[own])],
        };
        nodes.insert(random.below(nodes.len() as u64 + 1) as usize, node);
    }
    (timelines, classes, nodes)
}

fn graph(classes: usize, timelines: usize, nodes: Vec<Node>, lanes: usize) -> Graph {
    let class = |index: usize| Class { id: format!("c{index}"), title: String::new(), count: lanes };
    let timeline = |base: usize| Timeline { name: format!("t{base}"), base };
    let (classes, timelines) = ((0..classes).map(class).collect(), (0..timelines).map(timeline).collect());
    Graph::new(classes, timelines, nodes).expect("a sound graph")
}

/// The least fixpoint, by the definition: from nothing, let every operation know what the least sufficient signal of
/// each of its waits knows, and its own values, until nothing changes.
fn fixpoint(nodes: &[Node]) -> Vec<BTreeMap<usize, u64>> {
    let mut known: Vec<BTreeMap<usize, u64>> = vec![BTreeMap::new(); nodes.len()];
    loop {
        let mut next = known.clone();
        for (index, node) in nodes.iter().enumerate() {
            for &(timeline, value) in &node.waits {
                let signals =
                    nodes.iter().enumerate().flat_map(|(n, node)| node.signals.iter().map(move |s| (s.1, s.0, n)));
                let source =
                    signals.filter(|&(v, t, _)| t == timeline && v >= value).min().expect("somebody signals").2;
                for (&t, &v) in &known[source] {
                    let entry = next[index].entry(t).or_default();
                    *entry = v.max(*entry);
                }
            }
            for &(timeline, value) in &node.signals {
                let entry = next[index].entry(timeline).or_default();
                *entry = value.max(*entry);
            }
        }
        if next == known {
            return known;
        }
        known = next;
    }
}

/// Tick by tick: complete, then start whatever can.
fn ticks(nodes: &[Node], classes: usize, lanes: usize) -> Vec<(u64, u64)> {
    let mut spans: Vec<Option<(u64, u64)>> = vec![None; nodes.len()];
    for now in 0.. {
        // What ends now or earlier stays so, whatever starts now.
        let ended = spans.clone();
        let value = |timeline: usize| {
            let done = nodes.iter().zip(&ended).filter(|(_, span)| span.is_some_and(|(_, end)| end <= now));
            done.flat_map(|(node, _)| &node.signals).filter(|s| s.0 == timeline).map(|s| s.1).max().unwrap_or(0)
        };
        for class in 0..classes {
            for (index, node) in nodes.iter().enumerate().filter(|(_, node)| node.class == class) {
                let running = |n: usize| nodes[n].class == class && spans[n].is_some_and(|(s, e)| s <= now && now < e);
                let busy = (0..nodes.len()).filter(|&n| running(n)).count();
                let free = busy < lanes && spans[index].is_none();
                if free && node.waits.iter().all(|&(timeline, wanted)| value(timeline) >= wanted) {
                    spans[index] = Some((now, now + node.duration));
                }
            }
        }
        if spans.iter().all(|span| span.is_some_and(|(_, end)| end <= now)) {
            break;
        }
        assert!(now < 1000, "the oracle does not end");
    }
    spans.into_iter().map(|span| span.expect("it ran")).collect()
}

#[test]
fn random_graphs_run_as_the_oracles_say_on_any_number_of_lanes() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let (timelines, classes, nodes) = nodes(&mut random);
        let known = fixpoint(&nodes);
        for lanes in [1, 2, 3, 100] {
            let graph = graph(classes, timelines, nodes.clone(), lanes);
            let run = Run::of(&graph);
            files::greedy(&run);
            let spans: Vec<(u64, u64)> = (0..nodes.len()).map(|node| span(&run, node)).collect();
            assert_eq!(spans, ticks(&nodes, classes, lanes), "seed {seed}, {lanes} lanes");
            for (node, expected) in known.iter().enumerate() {
                let entries = run.frontiers()[node].entries().iter();
                let found: BTreeMap<usize, u64> = entries.map(|e| (e.axis.ordinal() as usize, e.epoch)).collect();
                assert_eq!(found, *expected, "seed {seed}, {lanes} lanes, {}", nodes[node].name);
                let own = graph.raised(node, graph.inherited(node)).unwrap();
                assert_eq!(own, run.frontiers()[node], "seed {seed}: what follows from the waits alone");
            }
            assert!(run.makespan() >= graph.critical_path(), "seed {seed}");
            if lanes == 100 {
                assert_eq!(run.makespan(), graph.critical_path(), "seed {seed}: nobody waits for a lane");
            }
        }
    }
}

#[test]
fn random_graphs_run_on_queues_as_in_the_simulator_and_the_auditor_proves_it() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let (timelines, classes, nodes) = nodes(&mut random);
        for lanes in [1, 2, 4] {
            let graph = graph(classes, timelines, nodes.clone(), lanes);
            let run = Run::of(&graph);
            let spans: Vec<(u64, u64)> = (0..nodes.len()).map(|node| span(&run, node)).collect();
            for policy in Policy::ALL {
                let what = format!("seed {seed}, {lanes} lanes, {}", policy.name());
                let (on_queues, recording) = QueueRun::recorded(&run, policy).unwrap();
                assert_eq!(on_queues.spans, spans, "{what}");
                let proved = audit(&recording.events).unwrap_or_else(|violation| panic!("{what}: {violation}"));
                assert_eq!(proved.waits, graph.edges().len(), "{what}");
                if policy == Policy::Frontiers {
                    for edge in graph.edges() {
                        let [from, to] = [edge.from, edge.to].map(|node| &on_queues.frontiers[node]);
                        assert!(to.dominates(from), "{what}: {edge:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn knowing_is_reaching_through_waits() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let (timelines, classes, nodes) = nodes(&mut random);
        let graph = graph(classes, timelines, nodes, 1);
        let count = graph.nodes().len();
        let mut reached = vec![vec![false; count]; count];
        for _ in 0..count {
            for edge in graph.edges() {
                reached[edge.to][edge.from] = true;
                let before = reached[edge.from].clone();
                reached[edge.to].iter_mut().zip(before).for_each(|(reached, before)| *reached |= before);
            }
        }
        for (node, before) in reached.iter().enumerate() {
            for (other, &expected) in before.iter().enumerate() {
                assert_eq!(graph.knows(node, other), expected, "seed {seed}: {node} of {other}");
            }
        }
    }
}

#[test]
fn a_value_that_was_never_signalled_brings_the_causes_of_the_next_above_it() {
    let node = |name: &str, waits: &[(usize, u64)], signals: &[(usize, u64)]| Node {
        base: 0,
        copy: 0,
        iteration: 0,
        name: name.into(),
        title: String::new(),
        class: 0,
        duration: 1,
        waits: waits.to_vec(),
        signals: signals.to_vec(),
    };
    let nodes = vec![
        node("one", &[], &[(0, 1)]),
        node("other", &[], &[(1, 7)]),
        node("three", &[(0, 1), (1, 7)], &[(0, 3)]),
        node("late", &[(0, 2)], &[(2, 1)]),
    ];
    let graph = graph(1, 3, nodes, 1);
    let run = Run::of(&graph);
    let late: Vec<_> = run.frontier_by_name(3).collect();
    assert_eq!(late, [("t0", 3), ("t1", 7), ("t2", 1)]);
}

#[test]
fn a_million_operations_of_long_durations_run_without_looking_at_every_tick() {
    let long = r#"{ "version": 1, "id": "long", "title": "Long", "text": "t",
        "lanes": [{ "id": "gpu", "title": "GPU", "count": 8, "scalable": true }],
        "semaphores": [{ "id": "q", "title": "Queue" }],
        "operations": [
            { "id": "a", "title": "a", "lane": "gpu", "duration": 4294967296, "signals": { "q": 1 } },
            { "id": "b", "title": "b", "lane": "gpu", "duration": 4294967295, "waits": { "q": 1 },
              "signals": { "q": 2 } }
        ], "depth": { "chain_through": "q" } }"#;
    let scenario = Scenario::parse("long.json", long).unwrap();
    let graph = scenario.graph(Scale { width: 8, depth: 62_500, lanes: None }).unwrap();
    assert_eq!(graph.nodes().len(), OPERATIONS_MAX);
    let run = Run::of(&graph);
    assert_eq!(run.makespan(), 62_500 * (4_294_967_296 + 4_294_967_295));
    assert_eq!(run.entries_max(), 1);
    assert!((run.utilization(0) - 1.0).abs() < 1e-12);
}
