//! Recordings as a trace that Chrome's `about:tracing` and Perfetto show.

use std::collections::HashMap;
use std::io;

use proact::causal::Axis;
use serde_json::{Value, json};

use super::{Event, How, Recording};

/// What is known of a submission until it has ended.
struct Open {
    submitted_ns: u64,
    started_ns: Option<u64>,
    arguments: Value,
}

/// Writes one event after the other, with commas between.
struct Writer<W> {
    out: W,
    any: bool,
}

impl<W: io::Write> Writer<W> {
    fn write(&mut self, event: Value) -> io::Result<()> {
        self.out.write_all(if self.any { b",\n" } else { b"" })?;
        self.any = true;
        serde_json::to_writer(&mut self.out, &event).map_err(io::Error::from)
    }
}

fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1e3
}

const fn how(how: How) -> &'static str {
    match how {
        How::Reached => "reached",
        How::SameQueue => "same queue",
        How::Implied => "implied",
        How::Producer => "producer",
        How::Undominated => "undominated",
        How::Deferred => "deferred",
        How::Held => "held",
    }
}

impl Recording {
    /// Writes the events in the Trace Event Format: a line for each queue, a slice for each submission that began, an
    /// arrow for each barrier, and an instant for each value that was reached, failure, and life of a block.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_chrome(&self, mut out: impl io::Write) -> io::Result<()> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
        let mut to = Writer { out, any: false };
        let mut open: HashMap<(u32, u64), Open> = HashMap::new();
        let mut ends: HashMap<(u32, u64), u64> = HashMap::new();
        let mut barriers = Vec::new();
        for timed in &self.events {
            let at_ns = timed.at_ns;
            match &timed.event {
                Event::Queue { queue, axis, .. } | Event::Channel { queue, axis, .. } | Event::Axis { queue, axis } => {
                    let name = Axis::from_bits(*axis).map_or_else(|| format!("{axis:#x}"), |axis| axis.to_string());
                    let name = json!({ "name": name });
                    to.write(json!({ "ph": "M", "pid": 1, "tid": queue, "name": "thread_name", "args": name }))?;
                }
                Event::Submitted { queue, epoch, waits, signals, barriers: behind, .. } => {
                    let points = |points: &[(u32, u64)]| -> Vec<String> {
                        points.iter().map(|(semaphore, value)| format!("{semaphore}: {value}")).collect()
                    };
                    let waits: Vec<String> = waits
                        .iter()
                        .map(|wait| format!("{}: {} ({})", wait.semaphore, wait.value, how(wait.how)))
                        .collect();
                    let arguments = json!({ "waits": waits, "signals": points(signals), "barriers": points(behind) });
                    barriers.extend(behind.iter().map(|&before| (before, (*queue, *epoch))));
                    open.insert((*queue, *epoch), Open { submitted_ns: at_ns, started_ns: None, arguments });
                }
                Event::Started { queue, epoch } => {
                    if let Some(open) = open.get_mut(&(*queue, *epoch)) {
                        open.started_ns = Some(at_ns);
                    }
                }
                Event::Ended { queue, epoch, failure } => {
                    ends.insert((*queue, *epoch), at_ns);
                    let Some(own) = open.get_mut(&(*queue, *epoch)) else { continue };
                    own.arguments["submitted_us"] = json!(microseconds(own.submitted_ns));
                    own.arguments["failure"] = json!(failure);
                    let start = own.started_ns.unwrap_or(at_ns);
                    to.write(json!({
                        "ph": "X", "pid": 1, "tid": queue, "cat": "submission", "name": format!("epoch {epoch}"),
                        "ts": microseconds(start), "dur": microseconds(at_ns - start), "args": own.arguments,
                    }))?;
                }
                event => {
                    let Some((name, arguments)) = instant(event) else { continue };
                    to.write(json!({
                        "ph": "i", "s": "p", "pid": 1, "tid": 0, "cat": "schedule", "name": name,
                        "ts": microseconds(at_ns), "args": arguments,
                    }))?;
                }
            }
        }
        for (id, (before, after)) in barriers.into_iter().enumerate() {
            let (Some(&end), Some(Some(start))) = (ends.get(&before), open.get(&after).map(|open| open.started_ns))
            else {
                continue;
            };
            // An arrow belongs to the slice around its time, and the end of a slice is not within it.
            for (phase, queue, at) in [("s", before.0, microseconds(end) - 1e-3), ("f", after.0, microseconds(start))] {
                to.write(json!({
                    "ph": phase, "bp": "e", "id": id, "pid": 1, "tid": queue, "cat": "barrier", "name": "barrier",
                    "ts": at,
                }))?;
            }
        }
        to.out.write_all(b"\n]}\n")
    }
}

fn instant(event: &Event) -> Option<(String, Value)> {
    Some(match event {
        Event::Reached { semaphore, value, .. } => (format!("semaphore {semaphore} at {value}"), json!({})),
        Event::Failed { semaphore, status, .. } => {
            (format!("semaphore {semaphore} has failed"), json!({ "status": status }))
        }
        Event::Acquired { block, generation, bytes, reuse, .. } => {
            (format!("block {block} acquired"), json!({ "life": generation, "bytes": bytes, "reuse": reuse }))
        }
        Event::Released { block, generation, .. } => (format!("block {block} released"), json!({ "life": generation })),
        Event::Advanced { queue, epoch } => (format!("axis {queue} at {epoch}"), json!({})),
        _ => return None,
    })
}
