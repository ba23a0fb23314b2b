//! What a file must keep to, beyond what the schema can say. One rule a function; the first that is broken is told.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Rule;
use super::format::{File, Operation, Values};
use super::{DURATION_MAX, Graph, LANES_MAX, OPERATIONS_MAX, Run, VALUE_MAX};

/// Of which operation, and what is wrong.
pub(super) type Broken = (Option<String>, Rule);

/// The rules that can be judged before anything is connected.
pub(super) fn file(file: &File) -> Result<(), Broken> {
    ids(file).map_err(|rule| (None, rule))?;
    texts(file).map_err(|rule| (None, rule))?;
    lanes(file).map_err(|rule| (None, rule))?;
    memories(file).map_err(|rule| (None, rule))?;
    for operation in &file.operations {
        one(file, operation).map_err(|rule| (Some(operation.id.clone()), rule))?;
    }
    chain(file)
}

fn ids(file: &File) -> Result<(), Rule> {
    fn unique<'a>(kind: &'static str, ids: impl Iterator<Item = &'a String>) -> Result<(), Rule> {
        let mut seen = BTreeSet::new();
        for id in ids {
            let of_ids = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if id.is_empty() || !id.chars().all(of_ids) {
                return Err(Rule::Id(id.clone()));
            }
            if !seen.insert(id) {
                return Err(Rule::Twice { kind, id: id.clone() });
            }
        }
        Ok(())
    }
    unique("scenario", std::iter::once(&file.id).chain(&file.alias))?;
    unique("lane", file.lanes.iter().map(|lane| &lane.id))?;
    unique("semaphore", file.semaphores.iter().map(|semaphore| &semaphore.id))?;
    unique("memory", file.memories.iter().map(|memory| &memory.id))?;
    unique("buffer", file.buffers.iter().map(|buffer| &buffer.id))?;
    unique("operation", file.operations.iter().map(|operation| &operation.id))?;
    if file.lanes.is_empty() {
        return Err(Rule::Missing("lane"));
    }
    if file.operations.is_empty() {
        return Err(Rule::Missing("operation"));
    }
    if file.operations.len() > OPERATIONS_MAX {
        return Err(Rule::TooLarge { operations: file.operations.len() as u128, most: OPERATIONS_MAX });
    }
    Ok(())
}

fn texts(file: &File) -> Result<(), Rule> {
    let titles = std::iter::once(&file.title)
        .chain(file.lanes.iter().map(|lane| &lane.title))
        .chain(file.semaphores.iter().map(|semaphore| &semaphore.title))
        .chain(file.memories.iter().map(|memory| &memory.title))
        .chain(file.operations.iter().map(|operation| &operation.title));
    let texts = std::iter::once(&file.text)
        .chain(&file.assumptions)
        .chain(file.annotations.iter().map(|annotation| &annotation.text));
    let all = titles.map(|title| ("title", title)).chain(texts.map(|text| ("text", text)));
    match all.into_iter().find(|(_, text)| text.chars().any(char::is_control)) {
        Some((kind, _)) => Err(Rule::Text(kind)),
        None => Ok(()),
    }
}

fn lanes(file: &File) -> Result<(), Rule> {
    for lane in &file.lanes {
        if !(1..=LANES_MAX).contains(&lane.count) {
            return Err(bounds(format!("lane {}: count {}", lane.id, lane.count), "1 to 65536"));
        }
        if lane.bytes_per_tick == Some(0) {
            return Err(bounds(format!("lane {}: bytes_per_tick 0", lane.id), "at least 1"));
        }
    }
    if file.tick_ns == Some(0) {
        return Err(bounds("tick_ns 0".into(), "at least 1"));
    }
    Ok(())
}

fn memories(file: &File) -> Result<(), Rule> {
    for buffer in &file.buffers {
        if !file.memories.iter().any(|memory| memory.id == buffer.memory) {
            return Err(Rule::Unknown { kind: "memory", id: buffer.memory.clone() });
        }
    }
    Ok(())
}

fn one(file: &File, operation: &Operation) -> Result<(), Rule> {
    let Some(lane) = file.lanes.iter().find(|lane| lane.id == operation.lane) else {
        return Err(Rule::Unknown { kind: "lane", id: operation.lane.clone() });
    };
    let duration = duration(operation, lane.bytes_per_tick)?;
    if !(1..=DURATION_MAX).contains(&duration) {
        return Err(bounds(format!("a duration of {duration} ticks"), "1 to 4294967296"));
    }
    values(file, &operation.waits)?;
    values(file, &operation.signals)?;
    for buffer in operation.takes.iter().chain(&operation.frees) {
        if !file.buffers.iter().any(|known| known.id == *buffer) {
            return Err(Rule::Unknown { kind: "buffer", id: buffer.clone() });
        }
    }
    Ok(())
}

/// How many ticks an operation takes, on a lane of this rate.
pub(super) fn duration(operation: &Operation, bytes_per_tick: Option<u64>) -> Result<u64, Rule> {
    match (operation.duration, operation.bytes, bytes_per_tick) {
        (Some(duration), None, _) => Ok(duration),
        (None, Some(bytes), Some(rate)) => Ok(bytes.div_ceil(rate.max(1))),
        (None, Some(_), None) => Err(Rule::Duration("has bytes, and its lane has no bytes_per_tick")),
        (Some(_), Some(_), _) => Err(Rule::Duration("has a duration and bytes: one of the two says how long it takes")),
        (None, None, _) => Err(Rule::Duration("has neither a duration nor bytes")),
    }
}

fn values(file: &File, values: &Values) -> Result<(), Rule> {
    for (semaphore, &value) in values {
        semaphore_of(file, semaphore)?;
        if !(1..=VALUE_MAX).contains(&value) {
            return Err(bounds(format!("value {value} of {semaphore}"), "1 to 4294967296"));
        }
    }
    Ok(())
}

fn semaphore_of(file: &File, id: &str) -> Result<usize, Rule> {
    let found = file.semaphores.iter().position(|semaphore| semaphore.id == id);
    found.ok_or_else(|| Rule::Unknown { kind: "semaphore", id: id.to_owned() })
}

fn bounds(what: String, bounds: &'static str) -> Rule {
    Rule::Bounds { what, bounds }
}

fn chain(file: &File) -> Result<(), Broken> {
    let Some(depth) = &file.depth else {
        return Ok(());
    };
    semaphore_of(file, &depth.chain_through).map_err(|rule| (None, rule))?;
    if !file.operations.iter().any(|operation| operation.signals.contains_key(&depth.chain_through)) {
        let why = format!("iterations are chained through {}, which nobody signals", depth.chain_through);
        return Err((None, Rule::Chain(why)));
    }
    for dep in &depth.iteration_deps {
        let Some(operation) = file.operations.iter().find(|operation| operation.id == dep.operation) else {
            return Err((None, Rule::Unknown { kind: "operation", id: dep.operation.clone() }));
        };
        let at = |rule| (Some(dep.operation.clone()), rule);
        semaphore_of(file, &dep.semaphore).map_err(at)?;
        if !operation.signals.contains_key(&dep.semaphore) {
            let why = format!("waits for its iteration before through {}, and does not signal it", dep.semaphore);
            return Err(at(Rule::Chain(why)));
        }
    }
    Ok(())
}

/// Buffers are taken once and freed once, in that order, and what is kept always fits: in any run, and not only in this
/// one. That is so if an operation that takes bytes *knows* enough that was freed: its past, and not the clock, says
/// that the room is there. It is the test that a pool makes of a death frontier.
pub(super) fn buffers(file: &File, graph: &Graph) -> Result<(), Broken> {
    let lives = Lives::of(file, graph)?;
    for (index, memory) in file.memories.iter().enumerate() {
        let there = (0..file.buffers.len()).filter(|&buffer| lives.taken[buffer].is_none());
        let bytes: u128 = there.filter(|&b| lives.memory[b] == index).map(|b| u128::from(file.buffers[b].bytes)).sum();
        if bytes > u128::from(memory.bytes) {
            let (id, fit) = (&memory.id, memory.bytes);
            return Err((None, Rule::Buffer(format!("{bytes} bytes are in {id} from the start, and {fit} fit"))));
        }
    }
    for (node, operation) in file.operations.iter().enumerate() {
        for taken in &operation.takes {
            let own = file.buffers.iter().position(|buffer| buffer.id == *taken).expect("checked before");
            let memory = &file.memories[lives.memory[own]];
            let bytes = (0..file.buffers.len())
                .filter(|&other| lives.memory[other] == lives.memory[own])
                .filter(|&other| lives.may_overlap(graph, other, node))
                .map(|other| u128::from(file.buffers[other].bytes))
                .sum();
            if bytes > u128::from(memory.bytes) {
                return Err((Some(operation.id.clone()), full(memory, bytes)));
            }
        }
    }
    Ok(())
}

fn full(memory: &super::format::Memory, bytes: u128) -> Rule {
    Rule::MemoryFull { memory: memory.id.clone(), bytes, capacity: memory.bytes }
}

/// Who takes each buffer, who frees it, and where it is.
struct Lives {
    memory: Vec<usize>,
    taken: Vec<Option<usize>>,
    freed: Vec<Option<usize>>,
}

impl Lives {
    fn of(file: &File, graph: &Graph) -> Result<Lives, Broken> {
        let number: BTreeMap<&str, usize> =
            file.buffers.iter().enumerate().map(|(index, buffer)| (buffer.id.as_str(), index)).collect();
        let memory = file
            .buffers
            .iter()
            .map(|buffer| file.memories.iter().position(|memory| memory.id == buffer.memory).expect("checked before"));
        let none = vec![None; file.buffers.len()];
        let mut lives = Lives { memory: memory.collect(), taken: none.clone(), freed: none };
        for (node, operation) in file.operations.iter().enumerate() {
            let ends = [(&operation.takes, &mut lives.taken, "take"), (&operation.frees, &mut lives.freed, "free")];
            for (buffers, whose, verb) in ends {
                for buffer in buffers {
                    if let Some(other) = whose[number[buffer.as_str()]].replace(node) {
                        let why = format!("{verb}s {buffer}, and so does {}", file.operations[other].id);
                        return Err((Some(operation.id.clone()), Rule::Buffer(why)));
                    }
                }
            }
        }
        for (buffer, ends) in lives.taken.iter().zip(&lives.freed).enumerate() {
            if let (Some(taken), Some(freed)) = ends {
                if taken != freed && !graph.knows(*freed, *taken) {
                    let (id, taker) = (&file.buffers[buffer].id, &file.operations[*taken].id);
                    let why = format!("frees {id} and may run before {taker}, which takes it");
                    return Err((Some(file.operations[*freed].id.clone()), Rule::Buffer(why)));
                }
            }
        }
        Ok(lives)
    }

    /// Whether `buffer` may be kept in the moment in which `node` takes what it takes. Not if `node` knows it freed,
    /// and not if it is taken by one that comes after `node`.
    fn may_overlap(&self, graph: &Graph, buffer: usize, node: usize) -> bool {
        let freed = self.freed[buffer].is_some_and(|free| graph.knows(node, free));
        let later = self.taken[buffer].is_some_and(|take| take != node && graph.knows(take, node));
        !freed && !later
    }
}

/// What the annotations claim of the run at the file's own size.
pub(super) fn annotations(file: &File, run: &Run<'_>) -> Result<(), Broken> {
    for (index, annotation) in file.annotations.iter().enumerate() {
        let find = |id: &String| {
            let found = file.operations.iter().position(|operation| operation.id == *id);
            found.ok_or_else(|| (None, Rule::Unknown { kind: "operation", id: id.clone() }))
        };
        let node = find(&annotation.operation)?;
        let wrong = |what: String| (Some(annotation.operation.clone()), Rule::Claim { annotation: index, what });
        if annotation.tick > run.makespan() {
            return Err(wrong(format!("the run ends at {}, before tick {}", run.makespan(), annotation.tick)));
        }
        let state = run.state(node, annotation.tick);
        if let Some(claimed) = annotation.state.filter(|&claimed| claimed != state) {
            let (is, tick, claimed) = (state.name(), annotation.tick, claimed.name());
            return Err(wrong(format!("at tick {tick} it is {is}, not {claimed}")));
        }
        let frontier: Values = run.frontier_by_name(node).map(|(name, value)| (name.to_owned(), value)).collect();
        if let Some(claimed) = annotation.frontier.as_ref().filter(|claimed| **claimed != frontier) {
            return Err(wrong(format!("its frontier is {frontier:?}, not {claimed:?}")));
        }
        for (others, known) in [(&annotation.knows, true), (&annotation.knows_not, false)] {
            for other in others {
                if run.graph().knows(node, find(other)?) != known {
                    let verb = if known { "does not know of" } else { "knows of" };
                    return Err(wrong(format!("it {verb} {other}")));
                }
            }
        }
    }
    Ok(())
}
