//! A run as a trace that Chrome's `about:tracing` and Perfetto show.

use std::io;

use serde_json::{Value, json};

use super::{Run, Scenario};

/// How long a tick is drawn where a scenario does not say how long it is: a millisecond.
const TICK_NS: u64 = 1_000_000;

/// Writes a run as one JSON object of the Trace Event Format: a thread for each lane, a slice for each operation with
/// its waits, signals and frontier, and an arrow for each wait. Times are in microseconds.
///
/// # Errors
/// The writer's.
pub fn write(scenario: &Scenario, run: &Run<'_>, out: &mut impl io::Write) -> io::Result<()> {
    let tick_ns = scenario.file().tick_ns.unwrap_or(TICK_NS);
    let microseconds = |ticks: f64| ticks * tick_ns as f64 / 1e3;
    out.write_all(b"{\"displayTimeUnit\":\"ms\",\"otherData\":")?;
    serde_json::to_writer(&mut *out, &json!({ "scenario": scenario.file().id, "tick_ns": tick_ns }))?;
    out.write_all(b",\"traceEvents\":[\n")?;
    let name = json!({ "name": scenario.file().title });
    serde_json::to_writer(&mut *out, &json!({ "ph": "M", "pid": 1, "name": "process_name", "args": name }))?;
    let mut event = |event: Value| -> io::Result<()> {
        out.write_all(b",\n")?;
        serde_json::to_writer(&mut *out, &event).map_err(io::Error::from)
    };
    let graph = run.graph();
    let mut threads = vec![];
    let mut thread = 0;
    for class in graph.classes() {
        threads.push(thread);
        for lane in 0..class.count {
            let tid = thread + lane;
            let name = if class.count == 1 { class.title.clone() } else { format!("{} {lane}", class.title) };
            event(json!({ "ph": "M", "pid": 1, "tid": tid, "name": "thread_name", "args": { "name": name } }))?;
            let args = json!({ "sort_index": tid });
            event(json!({ "ph": "M", "pid": 1, "tid": tid, "name": "thread_sort_index", "args": args }))?;
        }
        thread += class.count;
    }
    let tid = |node: usize| threads[graph.nodes()[node].class] + run.intervals()[node].lane;
    let values = |values: &[(usize, u64)]| -> Value {
        values.iter().map(|&(timeline, value)| (graph.timelines()[timeline].name.clone(), Value::from(value))).collect()
    };
    for (index, (node, interval)) in graph.nodes().iter().zip(run.intervals()).enumerate() {
        let frontier: Value =
            run.frontier_by_name(index).map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        event(json!({
            "ph": "X", "pid": 1, "tid": tid(index), "cat": "operation", "name": node.title,
            "ts": microseconds(interval.start as f64), "dur": microseconds(node.duration as f64),
            "args": {
                "id": node.name, "ready": interval.ready, "start": interval.start, "end": interval.end,
                "waits": values(&node.waits), "signals": values(&node.signals), "frontier": frontier,
            },
        }))?;
    }
    for (id, edge) in graph.edges().iter().enumerate() {
        let name = format!("{} {}", graph.timelines()[edge.timeline].name, edge.value);
        let [from, to] = [edge.from, edge.to].map(|node| run.intervals()[node]);
        // An arrow belongs to the slice around its time, and the end of a slice is not within it.
        let ends = [("s", edge.from, from.end as f64 - 0.5), ("f", edge.to, to.start as f64)];
        for (phase, node, at) in ends {
            event(json!({
                "ph": phase, "bp": "e", "id": id, "pid": 1, "tid": tid(node), "cat": "wait", "name": name,
                "ts": microseconds(at),
            }))?;
        }
    }
    out.write_all(b"\n]}\n")
}
