//! Recordings as a trace that Chrome's `about:tracing` and Perfetto show.

use std::collections::{HashMap, HashSet};
use std::io;

use proact::causal::Axis;
use serde_json::{Value, json};

use super::{Entries, Event, How, Recording};

mod read;

use read::{Page, Slice};

/// Where messages are drawn; no recording has so many queues.
const MESSAGES: u64 = (1 << 16) - 1;
/// A message has no length, and an arrow belongs to a slice that has one: a nanosecond, in microseconds.
const INSTANT: f64 = 1e-3;

/// Writes one event after the other, with commas between.
struct Writer<W> {
    out: W,
    any: bool,
    arrows: u64,
}

impl<W: io::Write> Writer<W> {
    fn write(&mut self, event: &Value) -> io::Result<()> {
        self.out.write_all(if self.any { b",\n" } else { b"" })?;
        self.any = true;
        serde_json::to_writer(&mut self.out, event).map_err(io::Error::from)
    }

    /// A name or a place of a process (without `tid`) or of one of its lines.
    fn about(&mut self, what: &str, pid: u64, tid: Option<u64>, arguments: &Value) -> io::Result<()> {
        let mut event = json!({ "ph": "M", "pid": pid, "name": what, "args": arguments });
        if let Some(tid) = tid {
            event["tid"] = json!(tid);
        }
        self.write(&event)
    }

    /// An arrow between two slices, each a process, a line and a time within it.
    fn arrow(&mut self, category: &str, name: &str, ends: [(u64, u64, f64); 2]) -> io::Result<()> {
        for (phase, (pid, tid, at)) in ["s", "f"].into_iter().zip(ends) {
            self.write(&json!({
                "ph": phase, "bp": "e", "id": self.arrows, "pid": pid, "tid": tid, "cat": category, "name": name,
                "ts": at,
            }))?;
        }
        self.arrows += 1;
        Ok(())
    }
}

fn microseconds(ns: u64) -> f64 {
    ns as f64 / 1e3
}

fn axis_name(axis: u64) -> String {
    Axis::from_bits(axis).map_or_else(|| format!("{axis:#x}"), |axis| axis.to_string())
}

fn frontier(known: &Entries) -> Value {
    known.iter().map(|&(axis, epoch)| (axis_name(axis), Value::from(epoch))).collect()
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
        How::Lowered => "lowered to the kernel",
        How::Told => "told",
        How::Concluded => "concluded",
    }
}

impl Recording {
    /// Writes the events in the Trace Event Format: a line for each queue (as many as needed where submissions of one
    /// overlap), a slice for each submission that began, an arrow for each barrier, and an instant for each value that
    /// was reached, failure, and life of a block.
    ///
    /// # Errors
    /// The writer's.
    pub fn write_chrome(&self, out: impl io::Write) -> io::Result<()> {
        write_session(&[self], out)
    }
}

/// As [`Recording::write_chrome`], of several machines, each of which has recorded itself on the same clock: one below
/// the other, with an arrow for each message, and a mark where one was lost.
///
/// # Errors
/// The writer's.
pub fn write_session(recordings: &[&Recording], mut out: impl io::Write) -> io::Result<()> {
    out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
    let mut to = Writer { out, any: false, arrows: 0 };
    let mut named = HashSet::new();
    let pages: Vec<Page<'_>> = recordings.iter().map(|recording| Page::of(recording)).collect();
    for page in &pages {
        for (&machine, name) in page.machines.iter().filter(|&(&machine, _)| named.insert(machine)) {
            to.about("process_name", u64::from(machine) + 1, None, &json!({ "name": name }))?;
        }
        lines(page, &mut to)?;
        for slice in &page.slices {
            to.write(&submission(page, slice))?;
        }
        barriers(page, &mut to)?;
        for timed in page.events {
            if let Some((pid, name, arguments)) = instant(page, &timed.event) {
                to.write(&json!({
                    "ph": "i", "s": "p", "pid": pid, "tid": 0, "cat": "schedule", "name": name,
                    "ts": microseconds(timed.at_ns), "args": arguments,
                }))?;
            }
        }
    }
    messages(&pages, &mut to)?;
    to.out.write_all(b"\n]}\n")
}

/// Names the lines of a recording's queues, and puts them in order where they are more than queues.
fn lines<W: io::Write>(page: &Page<'_>, to: &mut Writer<W>) -> io::Result<()> {
    let wide = page.queues.values().any(|queue| queue.lanes > 1);
    for (&number, queue) in &page.queues {
        for lane in 0..queue.lanes.max(1) {
            let name = if lane == 0 { queue.name.clone() } else { format!("{} {}", queue.name, lane + 1) };
            let tid = Page::line(number, lane);
            to.about("thread_name", queue.pid, Some(tid), &json!({ "name": name }))?;
            if wide {
                let place = json!({ "sort_index": u64::from(number) << 16 | u64::from(lane) });
                to.about("thread_sort_index", queue.pid, Some(tid), &place)?;
            }
        }
    }
    Ok(())
}

fn submission(page: &Page<'_>, slice: &Slice<'_>) -> Value {
    let points = |points: &[(u32, u64)]| -> Vec<String> {
        points.iter().map(|(semaphore, value)| format!("{semaphore}: {value}")).collect()
    };
    let waits: Vec<String> =
        slice.waits.iter().map(|wait| format!("{}: {} ({})", wait.semaphore, wait.value, how(wait.how))).collect();
    let (queue, epoch) = slice.place;
    let name = page.names.get(&slice.place).map_or_else(|| format!("epoch {epoch}"), |name| (*name).to_owned());
    json!({
        "ph": "X", "pid": page.queues[&queue].pid, "tid": Page::line(queue, slice.lane), "cat": "submission",
        "name": name, "ts": microseconds(slice.start_ns), "dur": microseconds(slice.end_ns - slice.start_ns),
        "args": {
            "epoch": epoch, "waits": waits, "signals": points(slice.signals), "barriers": points(slice.barriers),
            "submitted_us": microseconds(slice.submitted_ns), "failure": slice.failure,
        },
    })
}

fn barriers<W: io::Write>(page: &Page<'_>, to: &mut Writer<W>) -> io::Result<()> {
    let places: HashMap<(u32, u64), &Slice<'_>> = page.slices.iter().map(|slice| (slice.place, slice)).collect();
    for after in page.slices.iter().filter(|slice| slice.began) {
        for before in after.barriers.iter().filter_map(|before| places.get(before)) {
            let line = |slice: &Slice<'_>| (page.queues[&slice.place.0].pid, Page::line(slice.place.0, slice.lane));
            let ((from, from_line), (pid, own_line)) = (line(before), line(after));
            // An arrow belongs to the slice around its time, and the end of a slice is not within it.
            let ends =
                [(from, from_line, microseconds(before.end_ns) - 1e-3), (pid, own_line, microseconds(after.start_ns))];
            to.arrow("barrier", "barrier", ends)?;
        }
    }
    Ok(())
}

/// What has no length: its process, its name and what there is to say.
fn instant(page: &Page<'_>, event: &Event) -> Option<(u64, String, Value)> {
    let at = |semaphore: &u32| page.semaphores.get(semaphore).copied().unwrap_or(page.own);
    Some(match event {
        Event::Reached { semaphore, value, known, exact } => {
            let arguments = json!({ "frontier": frontier(known), "exact": exact });
            (at(semaphore), format!("{} at {value}", page.semaphore(*semaphore)), arguments)
        }
        Event::Failed { semaphore, status, .. } => {
            let name = format!("{} has failed", page.semaphore(*semaphore));
            (at(semaphore), name, json!({ "status": status }))
        }
        Event::Acquired { block, generation, bytes, reuse, .. } => {
            let arguments = json!({ "life": generation, "bytes": bytes, "reuse": reuse });
            (page.own, format!("block {block} acquired"), arguments)
        }
        Event::Released { block, generation, .. } => {
            (page.own, format!("block {block} released"), json!({ "life": generation }))
        }
        Event::Advanced { queue, epoch } => (page.own, format!("axis {queue} at {epoch}"), json!({})),
        Event::Lost { machine, why } => (page.own, format!("machine {machine} is lost"), json!({ "why": why })),
        Event::Unsent { to, kind } => {
            (page.own, format!("{} for machine {to} is not sent: it is lost", kind.name()), json!({}))
        }
        _ => return None,
    })
}

/// Messages: a mark where each was sent and where it came, and an arrow between.
fn messages<W: io::Write>(pages: &[Page<'_>], to: &mut Writer<W>) -> io::Result<()> {
    let mut came = HashMap::new();
    for page in pages {
        let mut any = false;
        for timed in page.events {
            let (name, kind, number, bytes, signal) = match &timed.event {
                Event::Sent { to, kind, number, bytes, signal } => {
                    (format!("{} to {to}", kind.name()), kind, number, Some(bytes), signal)
                }
                Event::Got { from, kind, number, signal } => {
                    came.insert((*from, page.machine(), *number), (page.own, microseconds(timed.at_ns)));
                    (format!("{} from {from}", kind.name()), kind, number, None, signal)
                }
                _ => continue,
            };
            if !std::mem::replace(&mut any, true) {
                to.about("thread_name", page.own, Some(MESSAGES), &json!({ "name": "messages" }))?;
            }
            let mut arguments = json!({ "kind": kind.name(), "number": number, "bytes": bytes });
            if let Some(signal) = signal {
                arguments["reaches"] = json!(format!("{} at {}", page.semaphore(signal.semaphore), signal.value));
                arguments["frontier"] = frontier(&signal.known);
            }
            to.write(&json!({
                "ph": "X", "pid": page.own, "tid": MESSAGES, "cat": "message", "name": name,
                "ts": microseconds(timed.at_ns), "dur": INSTANT, "args": arguments,
            }))?;
        }
    }
    for page in pages {
        for timed in page.events {
            let Event::Sent { to: machine, kind, number, .. } = &timed.event else { continue };
            let (sent, at) = (page.machine(), microseconds(timed.at_ns));
            match came.get(&(sent, *machine, *number)) {
                Some(&(pid, came)) => {
                    to.arrow("message", kind.name(), [(page.own, MESSAGES, at), (pid, MESSAGES, came)])?;
                }
                // Of a machine that has no recording here nothing can be said.
                None if pages.iter().any(|page| page.machine() == *machine) => to.write(&json!({
                    "ph": "i", "s": "t", "pid": page.own, "tid": MESSAGES, "cat": "message",
                    "name": format!("{} to {machine} was lost", kind.name()), "ts": at,
                }))?,
                None => {}
            }
        }
    }
    Ok(())
}
