//! `proact bench`: what the library costs, beside the least that the kernel's own interface costs.
//!
//! A [`Measure`] is a row for each backend; [`MEASURES`] is where one is added. Both sides of a row run in this
//! process, in turn, in slices far shorter than a scheduler's (see [`compare`]), so that what disturbs one disturbs the
//! other.

mod allocations;
mod causal;
mod compare;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod descriptor;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod floor;
mod memory;
mod nop;
#[cfg(unix)]
mod pooled;
mod row;

use std::io::{IsTerminal, Write};

use proact::proactor::{BACKEND_VARIABLE, Builder, Choice};
use proact_cli::cli::{BackendChoice, Bench};
use proact_cli::exit::{Exit, Failure, Place};

use row::{Figures, Row};

/// Something that can be measured on every backend.
struct Measure {
    /// What the row is called, and what `--filter` looks into.
    name: &'static str,
    /// Of the figures.
    unit: &'static str,
    run: fn(Choice) -> Result<Figures, Failure>,
}

const MEASURES: &[Measure] = &[
    Measure { name: "nop/1", unit: "ns", run: |choice| nop::run(choice, 1) },
    Measure { name: "nop/16", unit: "ns", run: |choice| nop::run(choice, 16) },
    Measure { name: "nop/128", unit: "ns", run: |choice| nop::run(choice, 128) },
    Measure { name: "buffer", unit: "ns", run: memory::pairs },
    Measure { name: "read/4k", unit: "ns", run: |choice| memory::reads(choice, false) },
    Measure { name: "fixed/4k", unit: "ns", run: |choice| memory::reads(choice, true) },
    #[cfg(unix)]
    Measure { name: "pooled/4k", unit: "ns", run: pooled::run },
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure { name: "descriptor", unit: "ns", run: descriptor::run },
];

/// Something that touches no backend, and makes one row.
struct Once {
    /// As a [`Measure`]'s.
    name: &'static str,
    unit: &'static str,
    run: fn() -> Figures,
}

/// What stands in such a row for the backend.
const NO_BACKEND: &str = "-";

const ONCE: &[Once] = &[
    Once { name: "frontier/compare/1", unit: "ns", run: || causal::compared(1) },
    Once { name: "frontier/compare/4", unit: "ns", run: || causal::compared(4) },
    Once { name: "frontier/compare/16", unit: "ns", run: || causal::compared(16) },
    Once { name: "frontier/compare/64", unit: "ns", run: || causal::compared(64) },
    Once { name: "frontier/merge/1", unit: "ns", run: || causal::merged(1) },
    Once { name: "frontier/merge/4", unit: "ns", run: || causal::merged(4) },
    Once { name: "frontier/merge/16", unit: "ns", run: || causal::merged(16) },
    Once { name: "frontier/merge/64", unit: "ns", run: || causal::merged(64) },
    Once { name: "frontier/merge-interleaved/4", unit: "ns", run: || causal::interleaved(4) },
    Once { name: "frontier/merge-interleaved/16", unit: "ns", run: || causal::interleaved(16) },
    Once { name: "frontier/merge-interleaved/64", unit: "ns", run: || causal::interleaved(64) },
    Once { name: "frontier/satisfied/4", unit: "ns", run: || causal::satisfied(4) },
    Once { name: "frontier/satisfied/16", unit: "ns", run: || causal::satisfied(16) },
    Once { name: "frontier/satisfied/64", unit: "ns", run: || causal::satisfied(64) },
    Once { name: "frontier/undominated", unit: "ns", run: causal::undominated },
    Once { name: "tracker/advance", unit: "ns", run: || causal::advanced(0) },
    Once { name: "tracker/advance-unrelated/16", unit: "ns", run: || causal::advanced(16) },
    Once { name: "tracker/advance-unrelated/256", unit: "ns", run: || causal::advanced(256) },
    Once { name: "tracker/advance-handle", unit: "ns", run: causal::advanced_by_handle },
    Once { name: "tracker/dispatch", unit: "ns", run: causal::dispatched },
];

/// Measures what was asked for and prints each row as soon as it is known.
pub fn run(options: &Bench) -> Result<(), Failure> {
    let backends = backends(options.backend)?;
    let mut out = std::io::stdout().lock();
    let table = !options.json && out.is_terminal();
    let mut print = |line: String| {
        // Whoever closed our output has seen enough; the exit code stays 0.
        let _ = writeln!(out, "{line}");
    };
    if table {
        print(Row::heading());
    }
    for measure in MEASURES.iter().filter(|measure| selected(measure.name, options.filter.as_deref())) {
        for &choice in &backends {
            let row = Row::new(measure.name, choice.name(), measure.unit, (measure.run)(choice)?);
            print(if table { row.line() } else { row.json() });
        }
    }
    for once in ONCE.iter().filter(|once| selected(once.name, options.filter.as_deref())) {
        let row = Row::new(once.name, NO_BACKEND, once.unit, (once.run)());
        print(if table { row.line() } else { row.json() });
    }
    Ok(())
}

fn selected(name: &str, filter: Option<&str>) -> bool {
    filter.is_none_or(|text| name.contains(text))
}

/// The backends to measure: the one asked for, by option or environment, or every one that works here.
fn backends(choice: BackendChoice) -> Result<Vec<Choice>, Failure> {
    let asked = match choice {
        BackendChoice::Auto => match std::env::var(BACKEND_VARIABLE) {
            Ok(text) if !text.is_empty() => {
                text.parse().map_err(|status| Failure::from_status(Place::Backend, BACKEND_VARIABLE, &status))?
            }
            _ => Choice::Auto,
        },
        BackendChoice::IoUring => Choice::IoUring,
        BackendChoice::Epoll => Choice::Epoll,
        BackendChoice::Poll => Choice::Poll,
    };
    if asked != Choice::Auto {
        return Ok(vec![asked]);
    }
    let mut usable = Vec::new();
    for choice in Choice::ALL {
        match Builder::new().backend(choice).build() {
            Ok(_) => usable.push(choice),
            // Told, and no failure: a row that is missing must not look like one that was never there.
            Err(status) => eprintln!("proact: {} is left out: {status}", choice.name()),
        }
    }
    match usable.is_empty() {
        true => Err(Failure::new(Exit::Backend, "no backend works here")),
        false => Ok(usable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_selects_by_a_part_of_the_name_and_its_absence_selects_all() {
        let names = |filter| MEASURES.iter().map(|m| m.name).filter(|name| selected(name, filter)).collect::<Vec<_>>();
        assert_eq!(
            names(None),
            ["nop/1", "nop/16", "nop/128", "buffer", "read/4k", "fixed/4k", "pooled/4k", "descriptor"]
        );
        assert_eq!(names(Some("p/12")), ["nop/128"]);
        assert!(names(Some("absent")).is_empty());
    }

    #[test]
    fn what_touches_no_backend_makes_one_row_of_a_name_of_its_own() {
        let names: Vec<_> = ONCE.iter().map(|once| once.name).chain(MEASURES.iter().map(|m| m.name)).collect();
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert_eq!(ONCE.iter().filter(|once| selected(once.name, Some("tracker/"))).count(), 5);
    }

    #[test]
    fn the_backend_that_was_asked_for_is_the_only_one_measured() {
        assert_eq!(backends(BackendChoice::Poll).unwrap(), [Choice::Poll]);
    }
}
