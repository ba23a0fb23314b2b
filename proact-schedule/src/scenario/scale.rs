//! Copies of a scenario: side by side, one after another, on more or fewer lanes.

use super::check::duration;
use super::error::Rule;
use super::format::File;
use super::graph::{Class, Graph, Node, Timeline};
use super::{LANES_MAX, OPERATIONS_MAX};

/// How large a scenario is run.
///
/// The copies of a *width* share the lanes and nothing else: each has semaphores of its own. The iterations of a
/// *depth* share the semaphores that chain them, whose values go on counting; their others are their own. Of two
/// operations that could take a lane, that of the earlier copy does, then that of the earlier iteration, then the one
/// that the file names first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Scale {
    /// How many copies run side by side, at least 1.
    pub width: usize,
    /// How many iterations follow each other, at least 1.
    pub depth: usize,
    /// How many lanes each scalable class has; `None` for what the file says.
    pub lanes: Option<usize>,
}

impl Default for Scale {
    fn default() -> Scale {
        Scale { width: 1, depth: 1, lanes: None }
    }
}

pub(super) fn graph(file: &File, scale: Scale) -> Result<Graph, (Option<usize>, Rule)> {
    check(file, scale).map_err(|rule| (None, rule))?;
    let classes = file
        .lanes
        .iter()
        .map(|lane| Class {
            id: lane.id.clone(),
            title: lane.title.clone(),
            count: scale.lanes.filter(|_| lane.scalable).unwrap_or(lane.count),
        })
        .collect();
    let mut copies = Copies::of(file, scale);
    let mut nodes = Vec::with_capacity(scale.width * scale.depth * file.operations.len());
    for copy in 0..scale.width {
        for iteration in 0..scale.depth {
            copies.add(file, copy, iteration, &mut nodes);
        }
    }
    Graph::new(classes, copies.timelines, nodes)
}

fn check(file: &File, scale: Scale) -> Result<(), Rule> {
    for (what, number) in [("width", scale.width), ("depth", scale.depth)] {
        if number == 0 {
            return Err(Rule::Bounds { what: format!("a {what} of 0"), bounds: "at least 1" });
        }
    }
    if let Some(lanes) = scale.lanes {
        if !(1..=LANES_MAX).contains(&lanes) {
            return Err(Rule::Bounds { what: format!("{lanes} lanes"), bounds: "1 to 65536" });
        }
        if !file.lanes.iter().any(|lane| lane.scalable) {
            return Err(Rule::NoLanes);
        }
    }
    if scale.depth > 1 && file.depth.is_none() {
        return Err(Rule::NoDepth);
    }
    let operations = file.operations.len() as u128 * scale.width as u128 * scale.depth as u128;
    if operations > OPERATIONS_MAX as u128 {
        return Err(Rule::TooLarge { operations, most: OPERATIONS_MAX });
    }
    Ok(())
}

/// Which timeline a semaphore is in each copy.
struct Copies {
    scale: Scale,
    timelines: Vec<Timeline>,
    /// Whether the semaphore is shared by all iterations.
    chained: Vec<bool>,
    /// The largest value of the semaphore in one iteration.
    largest: Vec<u64>,
    /// The timelines of the copy and iteration that is being made.
    current: Vec<usize>,
}

impl Copies {
    fn of(file: &File, scale: Scale) -> Copies {
        let chained = |id: &String| {
            let depth = file.depth.as_ref();
            depth.is_some_and(|d| d.chain_through == *id || d.iteration_deps.iter().any(|dep| dep.semaphore == *id))
        };
        let largest = |id: &String| {
            file.operations.iter().filter_map(|operation| operation.signals.get(id)).max().copied().unwrap_or(0)
        };
        Copies {
            scale,
            timelines: vec![],
            chained: file.semaphores.iter().map(|semaphore| chained(&semaphore.id)).collect(),
            largest: file.semaphores.iter().map(|semaphore| largest(&semaphore.id)).collect(),
            current: vec![0; file.semaphores.len()],
        }
    }

    fn add(&mut self, file: &File, copy: usize, iteration: usize, nodes: &mut Vec<Node>) {
        for (base, semaphore) in file.semaphores.iter().enumerate() {
            if iteration == 0 || !self.chained[base] {
                let of = if self.chained[base] { None } else { Some(iteration) };
                self.current[base] = self.timelines.len();
                self.timelines.push(Timeline { name: self.named(&semaphore.id, copy, of), base });
            }
        }
        for (base, operation) in file.operations.iter().enumerate() {
            let mut waits: Vec<(usize, u64)> =
                operation.waits.iter().map(|(id, &value)| self.at(file, id, value, iteration)).collect();
            if let (Some(depth), true) = (&file.depth, iteration > 0) {
                if operation.waits.is_empty() {
                    waits.push(self.before(file, &depth.chain_through, iteration));
                }
                for dep in depth.iteration_deps.iter().filter(|dep| dep.operation == operation.id) {
                    waits.push(self.before(file, &dep.semaphore, iteration));
                }
            }
            let class = file.lanes.iter().position(|lane| lane.id == operation.lane).expect("checked before");
            let rate = file.lanes[class].bytes_per_tick;
            nodes.push(Node {
                base,
                copy,
                iteration,
                name: self.named(&operation.id, copy, Some(iteration)),
                title: operation.title.clone(),
                class,
                duration: duration(operation, rate).expect("checked before"),
                waits: most(waits),
                signals: most(
                    operation.signals.iter().map(|(id, &value)| self.at(file, id, value, iteration)).collect(),
                ),
            });
        }
    }

    /// A value of a semaphore, as it is counted in this iteration.
    fn at(&self, file: &File, id: &str, value: u64, iteration: usize) -> (usize, u64) {
        let base = file.semaphores.iter().position(|semaphore| semaphore.id == *id).expect("checked before");
        let offset = if self.chained[base] { self.largest[base] * iteration as u64 } else { 0 };
        (self.current[base], value + offset)
    }

    /// The last value of a chained semaphore in the iteration before this one.
    fn before(&self, file: &File, id: &str, iteration: usize) -> (usize, u64) {
        self.at(file, id, 0, iteration)
    }

    fn named(&self, id: &str, copy: usize, iteration: Option<usize>) -> String {
        let mut name = id.to_owned();
        if self.scale.width > 1 {
            name += &format!("@{}", copy + 1);
        }
        match iteration {
            Some(iteration) if self.scale.depth > 1 => name + &format!(".{}", iteration + 1),
            _ => name,
        }
    }
}

/// Ascending by timeline; of several values of one, the largest, which implies the others.
fn most(mut values: Vec<(usize, u64)>) -> Vec<(usize, u64)> {
    values.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    values.dedup_by_key(|&mut (timeline, _)| timeline);
    values
}
