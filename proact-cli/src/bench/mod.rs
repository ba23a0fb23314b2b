//! `proact bench`: what the library costs, beside the least that the kernel's own interface costs.
//!
//! A [`Measure`] is a row for each backend; [`MEASURES`] is where one is added. Both sides of a row run in this
//! process, in turn, in slices far shorter than a scheduler's (see [`compare`]), so that what disturbs one disturbs the
//! other.

mod allocations;
mod compare;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod descriptor;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod floor;
mod memory;
mod nop;
#[cfg(unix)]
mod pooled;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod relay;
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
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "event-pool", unit: "ns", run: |choice| relay::pool(choice, 1) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "event-pool/batch/4", unit: "ns", run: |choice| relay::pool(choice, 4) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "event-pool/batch/16", unit: "ns", run: |choice| relay::pool(choice, 16) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "event-pool/batch/64", unit: "ns", run: |choice| relay::pool(choice, 64) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "relay/1", unit: "ns", run: |choice| relay::dispatch(choice, 1) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "relay/512", unit: "ns", run: |choice| relay::dispatch(choice, 512) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "relay/4096", unit: "ns", run: |choice| relay::dispatch(choice, 4096) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "notification-relays/8", unit: "ns", run: |choice| relay::fan_out(choice, 8) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "notification-relays/64", unit: "ns", run: |choice| relay::fan_out(choice, 64) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "notification-relays/256", unit: "ns", run: |choice| relay::fan_out(choice, 256) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "source/1", unit: "ns", run: |choice| relay::source(choice, 1, false) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "source/512", unit: "ns", run: |choice| relay::source(choice, 512, false) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "source/4096", unit: "ns", run: |choice| relay::source(choice, 4096, false) },
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Measure { name: "source/edge/4096", unit: "ns", run: |choice| relay::source(choice, 4096, true) },
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
            [
                "nop/1",
                "nop/16",
                "nop/128",
                "buffer",
                "read/4k",
                "fixed/4k",
                "pooled/4k",
                "descriptor",
                "event-pool",
                "event-pool/batch/4",
                "event-pool/batch/16",
                "event-pool/batch/64",
                "relay/1",
                "relay/512",
                "relay/4096",
                "notification-relays/8",
                "notification-relays/64",
                "notification-relays/256",
                "source/1",
                "source/512",
                "source/4096",
                "source/edge/4096"
            ]
        );
        assert_eq!(names(Some("p/12")), ["nop/128"]);
        assert!(names(Some("absent")).is_empty());
    }

    #[test]
    fn the_backend_that_was_asked_for_is_the_only_one_measured() {
        assert_eq!(backends(BackendChoice::Poll).unwrap(), [Choice::Poll]);
    }
}
