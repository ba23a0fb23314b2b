//! What came of a run, as data for others: programs, and a visualizer.

use serde::{Serialize, Serializer};

use super::{Run, Scale, Scenario};

/// A run in figures: each operation's lane, interval and frontier, and what is said of all of them.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub struct Report<'a> {
    /// The scenario's id.
    pub scenario: &'a str,
    /// Its name for people.
    pub title: &'a str,
    /// How many copies ran side by side.
    pub width: usize,
    /// How many iterations followed each other.
    pub depth: usize,
    /// How long a tick is, in nanoseconds; `None` where ticks are only compared.
    pub tick_ns: Option<u64>,
    /// When the last operation ended, in ticks.
    pub makespan: u64,
    /// The longest way through the waits, in ticks.
    pub critical_path: u64,
    /// The ticks of all operations together.
    pub work: u64,
    /// How many waits there are.
    pub edges: usize,
    /// The most entries of a frontier.
    pub entries_max: usize,
    /// The hardware, class by class.
    pub lanes: Vec<LaneReport<'a>>,
    /// The memories; empty for more than one copy or iteration, which may share what is in them or not.
    pub memories: Vec<MemoryReport<'a>>,
    /// The operations, in the order of their priority.
    pub operations: Vec<OperationReport<'a>>,
}

/// How a class of lanes was used.
#[derive(Serialize, Clone, PartialEq, Debug)]
pub struct LaneReport<'a> {
    /// The class's id.
    pub id: &'a str,
    /// Its name for people.
    pub title: &'a str,
    /// How many lanes it has.
    pub count: usize,
    /// How many ticks they were occupied, all together.
    pub busy: u64,
    /// How much of the run that is, from 0 to 1.
    pub utilization: f64,
}

/// How a memory was used.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct MemoryReport<'a> {
    /// The memory's id.
    pub id: &'a str,
    /// Its name for people.
    pub title: &'a str,
    /// How much fits.
    pub bytes: u64,
    /// The most that was kept at once.
    pub peak_bytes: u64,
}

/// What became of an operation.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct OperationReport<'a> {
    /// Its id, with the copy it belongs to: see [`Node::name`](super::Node::name).
    pub id: &'a str,
    /// Its name for people.
    pub title: &'a str,
    /// The class of lanes that ran it.
    pub lane: &'a str,
    /// Which lane of the class.
    pub lane_index: usize,
    /// When all that it waited for had come, in ticks.
    pub ready: u64,
    /// When it ran: start and end, in ticks.
    pub interval: [u64; 2],
    /// What it signalled: timelines and values. In JSON an object.
    #[serde(serialize_with = "as_object")]
    pub frontier: Vec<(&'a str, u64)>,
}

fn as_object<S: Serializer>(entries: &[(&str, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().copied())
}

impl<'a> Report<'a> {
    /// The report of a run of `scenario` in this size.
    pub fn of(scenario: &'a Scenario, scale: Scale, run: &Run<'a>) -> Report<'a> {
        let (file, graph) = (scenario.file(), run.graph());
        let lanes = graph.classes().iter().enumerate().map(|(index, class)| LaneReport {
            id: &class.id,
            title: &class.title,
            count: class.count,
            busy: run.busy(index),
            utilization: run.utilization(index),
        });
        let operations = graph.nodes().iter().zip(run.intervals()).enumerate();
        Report {
            scenario: &file.id,
            title: &file.title,
            width: scale.width,
            depth: scale.depth,
            tick_ns: file.tick_ns,
            makespan: run.makespan(),
            critical_path: graph.critical_path(),
            work: graph.work(),
            edges: graph.edges().len(),
            entries_max: run.entries_max(),
            lanes: lanes.collect(),
            memories: if (scale.width, scale.depth) == (1, 1) { memories(scenario, run) } else { vec![] },
            operations: operations
                .map(|(index, (node, interval))| OperationReport {
                    id: &node.name,
                    title: &node.title,
                    lane: &graph.classes()[node.class].id,
                    lane_index: interval.lane,
                    ready: interval.ready,
                    interval: [interval.start, interval.end],
                    frontier: run.frontier_by_name(index).collect(),
                })
                .collect(),
        }
    }
}

/// Buffers are there from the start of who takes them to the end of who frees them.
fn memories<'a>(scenario: &'a Scenario, run: &Run<'_>) -> Vec<MemoryReport<'a>> {
    let file = scenario.file();
    let peak = |memory: &str| {
        let mut kept = 0;
        // What is freed in a moment is gone before anything is taken in it: starts come behind ends.
        let mut changes: Vec<(u64, bool, u64)> = vec![];
        for buffer in file.buffers.iter().filter(|buffer| buffer.memory == memory) {
            let of = |ends: fn(&super::Operation) -> &Vec<String>| {
                file.operations.iter().position(|operation| ends(operation).contains(&buffer.id))
            };
            match of(|operation| &operation.takes) {
                Some(taker) => changes.push((run.intervals()[taker].start, true, buffer.bytes)),
                None => kept += buffer.bytes,
            }
            if let Some(freer) = of(|operation| &operation.frees) {
                changes.push((run.intervals()[freer].end, false, buffer.bytes));
            }
        }
        changes.sort_unstable();
        changes.into_iter().fold((kept, kept), |(kept, peak), (_, taken, bytes)| {
            let kept = if taken { kept + bytes } else { kept - bytes };
            (kept, peak.max(kept))
        })
    };
    let report = |memory: &'a super::Memory| MemoryReport {
        id: &memory.id,
        title: &memory.title,
        bytes: memory.bytes,
        peak_bytes: peak(&memory.id).1,
    };
    file.memories.iter().map(report).collect()
}
