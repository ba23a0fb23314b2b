//! `--trace FILE`: what a transfer did, in a file, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use proact::status::Operation;
use proact::time::Clock;

use super::tell;
use crate::cli::{TraceForm, TraceTo};
use crate::exit::{Exit, Failure, Place};
use crate::plan::Plan;
use crate::source::{Identity, SystemTree, Tree};
use crate::transfer::trace::{Trace, VALUES_MAX};

/// A file that is open, and what will be written into it.
pub(super) struct TraceFile {
    path: PathBuf,
    form: TraceForm,
    /// Until it is written.
    file: Option<File>,
    trace: Trace,
}

impl TraceFile {
    /// Opens the file, if one is asked for: before anything moves, so that one which cannot be written is told then.
    ///
    /// # Errors
    /// It cannot be opened; it is one of the sources of `plan`.
    pub(super) fn open(to: &TraceTo, plan: Option<&Plan>) -> Result<Option<TraceFile>, Failure> {
        let Some(path) = &to.trace else { return Ok(None) };
        let failed = |error| Failure::from_io(Place::Destination, path.display(), Operation::FileOpen, &error);
        // What is there is kept until it is known to be no source.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        let own = SystemTree.stat(path, true).map_err(failed)?.identity;
        let is_source = |plan: &Plan| match own {
            Identity::Number(..) => plan.entries.iter().any(|planned| planned.identity == own),
            Identity::Path(_) => plan.entries.iter().any(|planned| planned.path == *path),
        };
        if plan.is_some_and(is_source) {
            return Err(Failure::new(Exit::Usage, format!("--trace {}: it is one of the sources", path.display())));
        }
        // A device or a pipe has no length.
        if file.metadata().map_err(failed)?.is_file() {
            file.set_len(0).map_err(failed)?;
        }
        let (path, trace) = (path.clone(), Trace::new(Clock::monotonic()));
        Ok(Some(TraceFile { path, form: to.trace_form, file: Some(file), trace }))
    }

    /// What is recorded.
    pub(super) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Writes what was recorded.
    ///
    /// # Errors
    /// It cannot be written, or not all of it.
    pub(super) fn write(mut self) -> Result<(), Failure> {
        self.put()
    }

    fn put(&mut self) -> Result<(), Failure> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let recording = self.trace.recording();
        let mut out = BufWriter::new(file);
        let written = match self.form {
            TraceForm::Chrome => recording.write_chrome(&mut out),
            TraceForm::Recording => recording.write_json(&mut out),
        };
        written.and_then(|()| out.flush()).map_err(|error: io::Error| self.failed(&error))?;
        match self.trace.left_out() {
            0 => {}
            left => tell(format_args!(
                "warning: {}: the first {VALUES_MAX} frames of a connection; {left} more frames or asides left out",
                self.path.display()
            )),
        }
        Ok(())
    }

    fn failed(&self, error: &io::Error) -> Failure {
        Failure::from_io(Place::Destination, format!("--trace {}", self.path.display()), Operation::FileWrite, error)
    }
}

impl Drop for TraceFile {
    /// Where something ended the command before it came to that.
    fn drop(&mut self) {
        if let Err(failure) = self.put() {
            tell(failure);
        }
    }
}
