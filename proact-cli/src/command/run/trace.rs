//! `--trace FILE`: when the call ran and when it waited.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use proact::status::Operation;
use proact::time::Time;
use proact_vm::CallId;
use serde_json::{Value, json};

use crate::command::tell;
use crate::exit::{Failure, Place};

/// Steps and waits that are kept; a program that loops makes thousands a second.
const EVENTS_MAX: usize = 1 << 16;

/// A file that is open, and what will be written into it.
pub(super) struct TraceFile {
    path: PathBuf,
    file: File,
    function: String,
    /// When the first step began: the beginning of the trace.
    origin: Option<Time>,
    call: Option<CallId>,
    events: Vec<Slice>,
    left_out: u64,
}

struct Slice {
    begin: Time,
    end: Time,
    /// What was waited for; `None` for a step.
    wait: Option<String>,
    /// How a step ended.
    ended: &'static str,
}

impl TraceFile {
    /// Opens the file, before anything runs.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn open(path: &Path, function: &str) -> Result<TraceFile, Failure> {
        let file = File::create(path).map_err(|error| failed(path, Operation::FileOpen, &error))?;
        Ok(TraceFile {
            path: path.to_owned(),
            file,
            function: function.to_owned(),
            origin: None,
            call: None,
            events: Vec::new(),
            left_out: 0,
        })
    }

    /// The call ran.
    pub(super) fn step(&mut self, begin: Time, end: Time, call: Option<CallId>, ended: &'static str) {
        self.call = call.or(self.call);
        self.push(Slice { begin, end, wait: None, ended });
    }

    /// The call waited.
    pub(super) fn wait(&mut self, begin: Time, end: Time, sources: &str) {
        self.push(Slice { begin, end, wait: Some(sources.to_owned()), ended: "" });
    }

    fn push(&mut self, slice: Slice) {
        self.origin.get_or_insert(slice.begin);
        if self.events.len() < EVENTS_MAX {
            self.events.push(slice);
        } else {
            self.left_out += 1;
        }
    }

    /// Writes what was recorded.
    ///
    /// # Errors
    /// It cannot be written, or not all of it.
    pub(super) fn write(self) -> Result<(), Failure> {
        let mut out = BufWriter::new(&self.file);
        let written = self.write_to(&mut out).and_then(|()| out.flush());
        written.map_err(|error| failed(&self.path, Operation::FileWrite, &error))?;
        if self.left_out > 0 {
            let path = self.path.display();
            tell(format_args!("warning: {path}: the first {EVENTS_MAX} steps and waits; {} left out", self.left_out));
        }
        Ok(())
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
        let call = self.call.map_or_else(|| String::from("call"), |id| format!("call {id}"));
        let about =
            |name: &str, text: &str| json!({ "ph": "M", "pid": 1, "tid": 1, "name": name, "args": { "name": text } });
        serde_json::to_writer(&mut *out, &about("process_name", &self.function))?;
        let mut event = |event: &Value| -> io::Result<()> {
            out.write_all(b",\n")?;
            serde_json::to_writer(&mut *out, event).map_err(io::Error::from)
        };
        event(&about("thread_name", &call))?;
        let origin = self.origin.unwrap_or(Time::ORIGIN);
        let microseconds = |time: Time| time.since(origin).as_nanos() as f64 / 1e3;
        for Slice { begin, end, wait, ended } in &self.events {
            let (category, name, arguments) = match wait {
                Some(sources) => ("wait", format!("wait: {sources}"), json!({ "call": call })),
                None => ("step", self.function.clone(), json!({ "call": call, "then": ended })),
            };
            event(&json!({
                "ph": "X", "pid": 1, "tid": 1, "cat": category, "name": name,
                "ts": microseconds(*begin), "dur": microseconds(*end) - microseconds(*begin), "args": arguments,
            }))?;
        }
        out.write_all(b"\n]}\n")
    }
}

fn failed(path: &Path, operation: Operation, error: &io::Error) -> Failure {
    Failure::from_io(Place::Destination, format!("--trace {}", path.display()), operation, error)
}
