//! Where a transfer's trace goes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `--trace` and what belongs to it.
#[derive(Args, Clone, PartialEq, Debug, Default)]
pub struct TraceTo {
    /// Write every step of every chunk into FILE: queues, waits, signals, failures
    ///
    /// The file is opened before anything moves, and written at the end, however that comes. It holds the first 32768
    /// frames of a connection, and as many of the steps in which TLS opens what came or files are read back.
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    /// What FILE is
    #[arg(long, value_name = "FORM", value_enum, default_value_t = TraceForm::Chrome, requires = "trace")]
    pub trace_form: TraceForm,
}

/// The form of a trace.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TraceForm {
    /// For Perfetto (ui.perfetto.dev) or Chrome (about:tracing)
    #[default]
    Chrome,
    /// What the scheduler's auditor replays (proact-schedule/recording.schema.json)
    Recording,
}
