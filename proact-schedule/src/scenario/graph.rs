//! A scenario in one size, ready to run: operations by number, who waits for whom, and what each knows.

use std::collections::VecDeque;

use proact::causal::{Axis, Domain, Frontier, FrontierError};

use super::error::Rule;

/// A class of lanes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Class {
    /// The id in the file.
    pub id: String,
    /// The name for people.
    pub title: String,
    /// How many lanes there are.
    pub count: usize,
}

/// A semaphore of one copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Timeline {
    /// The id in the file, with the copy it belongs to: `A`, `A@2` in the second copy, `A.3` in the third iteration,
    /// `A@2.3` in both.
    pub name: String,
    /// Which of the file's semaphores it is.
    pub base: usize,
}

/// An operation of one copy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// Which of the file's operations it is.
    pub base: usize,
    /// Which copy, from 0.
    pub copy: usize,
    /// Which iteration, from 0.
    pub iteration: usize,
    /// Its name: the id in the file, with the copy it belongs to, as [`Timeline::name`].
    pub name: String,
    /// The name for people.
    pub title: String,
    /// Which class of lanes runs it.
    pub class: usize,
    /// How many ticks it takes.
    pub duration: u64,
    /// Which timelines it waits for to reach what, ascending by timeline.
    pub waits: Vec<(usize, u64)>,
    /// Which timelines it raises to what, ascending by timeline.
    pub signals: Vec<(usize, u64)>,
}

/// One wait, and the operation that satisfies it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Edge {
    /// The operation that signals.
    pub from: usize,
    /// The operation that waits.
    pub to: usize,
    /// The timeline.
    pub timeline: usize,
    /// What is waited for.
    pub value: u64,
}

/// Of which operation, by its number, and what is wrong.
type Broken = (Option<usize>, Rule);

/// Who signals a timeline: what, and which operation; ascending.
type Producers = Vec<(u64, usize)>;

/// Operations, what they wait for, and where they run. Made by [`Scenario::graph`](super::Scenario::graph), and checked
/// there: every wait has its signal, nothing waits in a circle, and every timeline rises.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Graph {
    pub(super) classes: Vec<Class>,
    pub(super) timelines: Vec<Timeline>,
    pub(super) nodes: Vec<Node>,
    edges: Vec<Edge>,
    /// An order in which everything comes behind what it waits for.
    order: Vec<usize>,
    inherited: Vec<Frontier>,
}

impl Graph {
    /// Checks what the operations wait for. An error names the operation by its number.
    pub(super) fn new(classes: Vec<Class>, timelines: Vec<Timeline>, nodes: Vec<Node>) -> Result<Graph, Broken> {
        let mut graph = Graph { classes, timelines, nodes, edges: vec![], order: vec![], inherited: vec![] };
        let producers = graph.producers()?;
        graph.edges = graph.connect(&producers)?;
        graph.order = graph.sort()?;
        graph.inherited = graph.inherit()?;
        graph.check_rising(&producers)?;
        Ok(graph)
    }

    /// The classes of lanes.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The timelines.
    pub fn timelines(&self) -> &[Timeline] {
        &self.timelines
    }

    /// The operations, in the order of their priority.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The waits, in the order of the operations that wait.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The axis that stands for a timeline in frontiers.
    pub fn axis(timeline: usize) -> Axis {
        Axis::new(0, 0, Domain::Host, timeline as u64).expect("a graph has fewer timelines than a domain has ordinals")
    }

    /// What an operation knows when it starts: the frontiers of everything that it waits for, merged. It follows from
    /// the waits alone, and not from when anything runs.
    pub fn inherited(&self, node: usize) -> &Frontier {
        &self.inherited[node]
    }

    /// Whether `node` starts, in every run, after the end of `other`, and knows it. Nobody knows of an operation that
    /// signals nothing.
    pub fn knows(&self, node: usize, other: usize) -> bool {
        // Timelines rise in causal order, so that whoever has one of the values has all that led to it.
        self.nodes[other].signals.iter().any(|&(t, value)| self.inherited[node].epoch(Graph::axis(t)) >= value)
    }

    /// The ticks of all operations together.
    pub fn work(&self) -> u64 {
        self.nodes.iter().map(|node| node.duration).sum()
    }

    /// The longest way through the waits, in ticks: no number of lanes makes a run shorter than this.
    pub fn critical_path(&self) -> u64 {
        let mut ends = vec![0; self.nodes.len()];
        let before = self.predecessors();
        for &node in &self.order {
            let start = before[node].iter().map(|&from: &usize| ends[from]).max().unwrap_or(0);
            ends[node] = start + self.nodes[node].duration;
        }
        ends.into_iter().max().unwrap_or(0)
    }

    /// Everybody who signals a timeline, ascending by value.
    fn producers(&self) -> Result<Vec<Producers>, Broken> {
        let mut producers = vec![vec![]; self.timelines.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            for &(timeline, value) in &node.signals {
                producers[timeline].push((value, index));
            }
        }
        for (timeline, values) in producers.iter_mut().enumerate() {
            values.sort_unstable();
            if let Some(twice) = values.windows(2).find(|pair| pair[0].0 == pair[1].0) {
                let rule = Rule::SignalledTwice {
                    semaphore: self.timelines[timeline].name.clone(),
                    value: twice[1].0,
                    other: self.nodes[twice[0].1].name.clone(),
                };
                return Err((Some(twice[1].1), rule));
            }
        }
        Ok(producers)
    }

    /// A wait is satisfied by the least value that is signalled and not below what is waited for.
    fn connect(&self, producers: &[Producers]) -> Result<Vec<Edge>, Broken> {
        let mut edges = vec![];
        for (to, node) in self.nodes.iter().enumerate() {
            for &(timeline, value) in &node.waits {
                let values = &producers[timeline];
                let Some(&(_, from)) = values.get(values.partition_point(|&(signalled, _)| signalled < value)) else {
                    let semaphore = self.timelines[timeline].name.clone();
                    let largest = values.last().map_or(0, |&(largest, _)| largest);
                    return Err((Some(to), Rule::NobodySignals { semaphore, value, largest }));
                };
                edges.push(Edge { from, to, timeline, value });
            }
        }
        Ok(edges)
    }

    fn predecessors(&self) -> Vec<Vec<usize>> {
        let mut before = vec![vec![]; self.nodes.len()];
        for edge in &self.edges {
            before[edge.to].push(edge.from);
        }
        before
    }

    fn sort(&self) -> Result<Vec<usize>, Broken> {
        let mut after = vec![vec![]; self.nodes.len()];
        let mut missing = vec![0usize; self.nodes.len()];
        for edge in &self.edges {
            after[edge.from].push(edge.to);
            missing[edge.to] += 1;
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut next: VecDeque<usize> = (0..self.nodes.len()).filter(|&node| missing[node] == 0).collect();
        while let Some(node) = next.pop_front() {
            order.push(node);
            for &follower in &after[node] {
                missing[follower] -= 1;
                if missing[follower] == 0 {
                    next.push_back(follower);
                }
            }
        }
        if order.len() == self.nodes.len() { Ok(order) } else { Err(self.circle(&missing)) }
    }

    /// One circle among the operations that still miss something. Each of them waits for another of them, so that
    /// walking back must come to one a second time.
    fn circle(&self, missing: &[usize]) -> Broken {
        let before = self.predecessors();
        let mut way: Vec<usize> = vec![];
        let mut node = missing.iter().position(|&missing| missing > 0).expect("something is in a circle");
        let start = loop {
            if let Some(start) = way.iter().position(|&seen| seen == node) {
                break start;
            }
            way.push(node);
            node = *before[node].iter().find(|&&from| missing[from] > 0).expect("it waits for one that is stuck");
        };
        let mut names: Vec<String> = way[start..].iter().rev().map(|&node| self.nodes[node].name.clone()).collect();
        names.push(names[0].clone());
        (Some(way[start]), Rule::Cycle(names))
    }

    fn inherit(&self) -> Result<Vec<Frontier>, Broken> {
        let before = self.predecessors();
        let mut inherited = vec![Frontier::new(); self.nodes.len()];
        let mut own = vec![Frontier::new(); self.nodes.len()];
        for &node in &self.order {
            let mut frontier = Frontier::new();
            for &from in &before[node] {
                frontier.merge(&own[from]).map_err(|error| (Some(node), too_many(error)))?;
            }
            own[node] = self.raised(node, &frontier).map_err(|error| (Some(node), too_many(error)))?;
            inherited[node] = frontier;
        }
        Ok(inherited)
    }

    /// What an operation signals that knew `inherited`: that, and its own values.
    pub(super) fn raised(&self, node: usize, inherited: &Frontier) -> Result<Frontier, FrontierError> {
        let mut frontier = inherited.clone();
        for &(timeline, value) in &self.nodes[node].signals {
            frontier.merge(&Frontier::single(Graph::axis(timeline), value)?)?;
        }
        Ok(frontier)
    }

    /// Who signals a value must know the value below: otherwise a run exists in which the timeline falls, and what a
    /// waiter inherits would depend on when things run.
    fn check_rising(&self, producers: &[Producers]) -> Result<(), Broken> {
        for (timeline, values) in producers.iter().enumerate() {
            for pair in values.windows(2) {
                let [(below, other), (value, node)] = [pair[0], pair[1]];
                if self.inherited[node].epoch(Graph::axis(timeline)) < below {
                    let (semaphore, other) = (self.timelines[timeline].name.clone(), self.nodes[other].name.clone());
                    return Err((Some(node), Rule::Unordered { semaphore, value, below, other }));
                }
            }
        }
        Ok(())
    }
}

fn too_many(error: FrontierError) -> Rule {
    match error {
        FrontierError::TooManyEntries { needed, capacity } => Rule::Frontier { entries: needed, capacity },
        // Values are at least 1, which is checked before there is a graph, and merging keeps the order.
        other => unreachable!("merging frontiers: {other}"),
    }
}
