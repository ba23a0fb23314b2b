//! What the program's commands do, around the engine: proactors, threads, signals, reports.

mod answer;
#[cfg(unix)]
mod bench;
mod completions;
mod credentials;
mod doctor;
mod embedded;
mod inspect;
mod interrupt;
mod receive;
mod run;
mod schedule_compare;
mod simulate;
mod trace;
mod transfer;

#[cfg(unix)]
pub use bench::bench;
pub use completions::completions;
pub use doctor::doctor;
pub use inspect::inspect;
pub use interrupt::Interrupt;
pub use receive::receive;
pub use run::run;
pub use schedule_compare::schedule_compare;
pub use simulate::simulate;
pub use transfer::transfer;

use std::io::{self, Write};

use proact::proactor::{Builder, Choice, Proactor};

use crate::cli::BackendChoice;
use crate::exit::{Failure, Place};
use crate::report::{Figures, Report};

fn builder(choice: BackendChoice, name: &str) -> Builder {
    let choice = match choice {
        BackendChoice::Auto => Choice::Auto,
        BackendChoice::IoUring => Choice::IoUring,
        BackendChoice::Epoll => Choice::Epoll,
        BackendChoice::Poll => Choice::Poll,
    };
    Builder::new().backend(choice).name(name).operations(4096).remote_operations(64)
}

fn build(choice: BackendChoice, name: &str) -> Result<Proactor, Failure> {
    builder(choice, name)
        .build()
        .map_err(|status| Failure::from_status(Place::Backend, format!("--backend {choice}"), &status))
}

/// A failure of the proactor itself, which ends everything.
fn broken(status: &proact::status::Status) -> Failure {
    Failure::from_status(Place::Backend, "proactor", status)
}

/// Prints a report to standard output. A closed standard output is no reason to fail: the exit code tells the outcome.
fn print(report: &Report, json: bool) {
    let mut out = io::stdout().lock();
    let _ = if json { report.write_json(&mut out) } else { write!(out, "{report}") };
    let _ = out.flush();
}

/// Prints the report of what ended before anything moved, for those who read JSON: they get their object however it
/// ends. People see the failure alone, on standard error.
fn print_unbegun(figures: Figures, failure: &Failure, json: bool) {
    if json {
        print(&Report { figures, failure: Some(failure.clone()) }, json);
    }
}

/// Tells the user something that is no result.
fn tell(message: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "proact: {message}");
}
