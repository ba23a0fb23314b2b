//! `--trace FILE`: when the call ran and when it waited, and below that which functions stood.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use proact::status::Operation;
use proact::time::Time;
use proact_vm::CallId;
use proact_vm::trace::{TraceEvent, Traced, Tracer};
use serde_json::{Value, json};

use crate::command::tell;
use crate::exit::{Failure, Place};

/// Steps and waits that are kept, and as many functions; a program that loops makes thousands a second.
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
    functions: Arc<Mutex<Functions>>,
    left_out: u64,
}

/// What was told of functions, those of the program and those that it imports.
#[derive(Default)]
struct Functions {
    /// Those that have begun and not ended, the last one on top: when each has begun.
    standing: Vec<Time>,
    ended: Vec<(Time, Time, String, &'static str)>,
    left_out: u64,
}

impl Functions {
    fn hear(&mut self, event: &TraceEvent<'_>) {
        let (function, how) = match event.what {
            Traced::Begun(_) => return self.standing.push(event.time),
            Traced::Returned(function) => (function, "returned"),
            Traced::Failed(function, _) => (function, "failed"),
            Traced::GivenUp(function) => (function, "was given up"),
            _ => return,
        };
        let Some(begun) = self.standing.pop() else { return };
        if self.ended.len() < EVENTS_MAX {
            self.ended.push((begun, event.time, function.name().to_owned(), how));
        } else {
            self.left_out += 1;
        }
    }
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
            functions: Arc::default(),
            left_out: 0,
        })
    }

    /// Hears which functions run.
    pub(super) fn tracer(&self) -> impl Tracer {
        let functions = self.functions.clone();
        move |event: &TraceEvent<'_>| functions.lock().unwrap_or_else(PoisonError::into_inner).hear(event)
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
        let functions = std::mem::take(&mut *self.functions.lock().unwrap_or_else(PoisonError::into_inner));
        let written = self.write_to(&functions, &mut out).and_then(|()| out.flush());
        written.map_err(|error| failed(&self.path, Operation::FileWrite, &error))?;
        if self.left_out > 0 {
            let path = self.path.display();
            tell(format_args!("warning: {path}: the first {EVENTS_MAX} steps and waits; {} left out", self.left_out));
        }
        if functions.left_out > 0 {
            let (path, left_out) = (self.path.display(), functions.left_out);
            tell(format_args!("warning: {path}: the first {EVENTS_MAX} ends of functions; {left_out} left out"));
        }
        Ok(())
    }

    fn write_to(&self, functions: &Functions, out: &mut impl Write) -> io::Result<()> {
        out.write_all(b"{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n")?;
        let call = self.call.map_or_else(|| String::from("call"), |id| format!("call {id}"));
        let about = |track: u32, name: &str, text: &str| {
            let arguments = json!({ "name": text });
            json!({ "ph": "M", "pid": 1, "tid": track, "name": name, "args": arguments })
        };
        serde_json::to_writer(&mut *out, &about(1, "process_name", &self.function))?;
        let mut event = |event: &Value| -> io::Result<()> {
            out.write_all(b",\n")?;
            serde_json::to_writer(&mut *out, event).map_err(io::Error::from)
        };
        event(&about(1, "thread_name", &call))?;
        event(&about(2, "thread_name", &format!("{call}: functions")))?;
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
        for (begun, ended, name, how) in &functions.ended {
            event(&json!({
                "ph": "X", "pid": 1, "tid": 2, "cat": "function", "name": name, "ts": microseconds(*begun),
                "dur": microseconds(*ended) - microseconds(*begun), "args": { "call": call, "then": how },
            }))?;
        }
        out.write_all(b"\n]}\n")
    }
}

fn failed(path: &Path, operation: Operation, error: &io::Error) -> Failure {
    Failure::from_io(Place::Destination, format!("--trace {}", path.display()), operation, error)
}
