//! The simulator: when each operation runs, where, and what it knows when it ends.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use proact::causal::Frontier;

use super::format::State;
use super::graph::Graph;

/// When and where an operation ran.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Interval {
    /// When the last of what it waited for came, in ticks.
    pub ready: u64,
    /// When it took its lane.
    pub start: u64,
    /// When it left its lane and gave its signals.
    pub end: u64,
    /// Which lane of its class it had, from 0.
    pub lane: usize,
}

/// What came of a graph: greedy list scheduling on its lanes, in virtual time.
///
/// Whenever a lane is free, the operation that has all it waits for and comes first in the graph takes it; it is not
/// interrupted. Nothing else decides, so that the same graph always gives the same run.
///
/// Only moments in which something ends are looked at, so that the cost is that of operations and waits, however many
/// ticks they take.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    graph: &'a Graph,
    intervals: Vec<Interval>,
    frontiers: Vec<Frontier>,
    makespan: u64,
}

impl<'a> Run<'a> {
    /// Runs `graph`.
    pub fn of(graph: &'a Graph) -> Run<'a> {
        Simulator::new(graph).run()
    }

    /// What was run.
    pub fn graph(&self) -> &'a Graph {
        self.graph
    }

    /// When the last operation ended, in ticks.
    pub fn makespan(&self) -> u64 {
        self.makespan
    }

    /// When and where each operation ran, in the graph's order.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// What each operation signalled: everything that it waited for, in the place of the value that satisfied the wait,
    /// and its own values. Axes are [those of timelines](Graph::axis).
    pub fn frontiers(&self) -> &[Frontier] {
        &self.frontiers
    }

    /// A frontier by the names of its timelines, in their order.
    pub fn frontier_by_name(&self, node: usize) -> impl Iterator<Item = (&'a str, u64)> + '_ {
        let timelines = self.graph.timelines();
        let name = |ordinal: u64| timelines[ordinal as usize].name.as_str();
        self.frontiers[node].entries().iter().map(move |entry| (name(entry.axis.ordinal()), entry.epoch))
    }

    /// The most entries that a frontier has.
    pub fn entries_max(&self) -> usize {
        self.frontiers.iter().map(Frontier::len).max().unwrap_or(0)
    }

    /// How far an operation has come at a tick, after everything that happens in it.
    pub fn state(&self, node: usize, tick: u64) -> State {
        let Interval { ready, start, end, .. } = self.intervals[node];
        match tick {
            _ if tick >= end => State::Done,
            _ if tick >= start => State::Running,
            _ if tick >= ready => State::Ready,
            _ => State::Pending,
        }
    }

    /// How many ticks the lanes of a class were occupied, all together.
    pub fn busy(&self, class: usize) -> u64 {
        let nodes = self.graph.nodes().iter().filter(|node| node.class == class);
        nodes.map(|node| node.duration).sum()
    }

    /// How much of the run the lanes of a class were occupied, from 0 to 1.
    pub fn utilization(&self, class: usize) -> f64 {
        let lanes = self.graph.classes()[class].count as f64;
        self.busy(class) as f64 / (lanes * self.makespan as f64)
    }
}

struct Simulator<'a> {
    graph: &'a Graph,
    /// What each timeline has been raised to, with the frontier of every value.
    reached: Vec<Vec<(u64, Frontier)>>,
    /// Who waits for a timeline to reach what, descending, so that the next to be served is the last.
    waiting: Vec<Vec<(u64, usize)>>,
    /// How many waits of an operation are still open.
    open: Vec<usize>,
    /// Operations that could run, of each class.
    ready: Vec<BTreeSet<usize>>,
    /// Free lanes of each class.
    free: Vec<BTreeSet<usize>>,
    /// What runs, by its end.
    running: BinaryHeap<Reverse<(u64, usize)>>,
    intervals: Vec<Interval>,
    frontiers: Vec<Frontier>,
}

impl<'a> Simulator<'a> {
    fn new(graph: &'a Graph) -> Simulator<'a> {
        let mut waiting = vec![vec![]; graph.timelines().len()];
        for (index, node) in graph.nodes().iter().enumerate() {
            for &(timeline, value) in &node.waits {
                waiting[timeline].push((value, index));
            }
        }
        waiting.iter_mut().for_each(|waits| waits.sort_unstable_by(|a, b| b.cmp(a)));
        Simulator {
            graph,
            reached: vec![vec![]; graph.timelines().len()],
            waiting,
            open: graph.nodes().iter().map(|node| node.waits.len()).collect(),
            ready: vec![BTreeSet::new(); graph.classes().len()],
            free: graph.classes().iter().map(|class| (0..class.count).collect()).collect(),
            running: BinaryHeap::new(),
            intervals: vec![Interval { ready: 0, start: 0, end: 0, lane: 0 }; graph.nodes().len()],
            frontiers: vec![Frontier::new(); graph.nodes().len()],
        }
    }

    fn run(mut self) -> Run<'a> {
        for (index, node) in self.graph.nodes().iter().enumerate() {
            if node.waits.is_empty() {
                self.ready[node.class].insert(index);
            }
        }
        let mut now = 0;
        self.issue(now);
        while let Some(&Reverse((end, _))) = self.running.peek() {
            now = end;
            // Everything that ends now gives its signals before anything starts.
            while let Some(&Reverse((end, node))) = self.running.peek() {
                if end > now {
                    break;
                }
                self.running.pop();
                self.complete(node, now);
            }
            self.issue(now);
        }
        Run { graph: self.graph, intervals: self.intervals, frontiers: self.frontiers, makespan: now }
    }

    fn issue(&mut self, now: u64) {
        for class in 0..self.ready.len() {
            while let (Some(&node), Some(&lane)) = (self.ready[class].first(), self.free[class].first()) {
                self.ready[class].pop_first();
                self.free[class].pop_first();
                let interval = &mut self.intervals[node];
                *interval =
                    Interval { ready: interval.ready, start: now, end: now + self.graph.nodes()[node].duration, lane };
                self.running.push(Reverse((interval.end, node)));
            }
        }
    }

    fn complete(&mut self, node: usize, now: u64) {
        let this = &self.graph.nodes()[node];
        self.free[this.class].insert(self.intervals[node].lane);
        let mut inherited = Frontier::new();
        for &(timeline, value) in &this.waits {
            let values = &self.reached[timeline];
            let (_, frontier) = &values[values.partition_point(|&(reached, _)| reached < value)];
            inherited.merge(frontier).expect("a graph's frontiers fit, which was checked");
        }
        let frontier = self.graph.raised(node, &inherited).expect("a graph's frontiers fit, which was checked");
        for &(timeline, value) in &this.signals {
            debug_assert!(self.reached[timeline].last().is_none_or(|&(below, _)| below < value), "timelines rise");
            self.reached[timeline].push((value, frontier.clone()));
            while let Some(&(_, waiter)) = self.waiting[timeline].last().filter(|&&(wanted, _)| wanted <= value) {
                self.waiting[timeline].pop();
                self.open[waiter] -= 1;
                if self.open[waiter] == 0 {
                    self.intervals[waiter].ready = now;
                    self.ready[self.graph.nodes()[waiter].class].insert(waiter);
                }
            }
        }
        self.frontiers[node] = frontier;
    }
}
