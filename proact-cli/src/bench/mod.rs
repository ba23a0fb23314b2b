//! `proact bench`: what the library costs, beside the least that the kernel's own interface costs.
//!
//! Each file here brings its rows, [`ROWS`] is where a file is added. Both sides of a row run in this process, in turn,
//! in slices far shorter than a scheduler's (see [`compare`]), so that what disturbs one disturbs the other.

mod allocations;
mod causal;
mod compare;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod descriptor;
#[cfg(target_os = "linux")]
mod fence;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod floor;
mod measure;
mod memory;
mod message;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod message_floor;
mod nop;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod notification;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod peer;
#[cfg(unix)]
mod pooled;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod raw;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod relay;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod relay_latency;
mod row;
mod schedule;
mod semaphore;
mod timer;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod timer_late;

use std::io::{IsTerminal, Write};

use proact::proactor::{BACKEND_VARIABLE, Builder, Choice};
use proact_cli::cli::{BackendChoice, Bench};
use proact_cli::exit::{Exit, Failure, Place};

use measure::Measure;
use row::{Row, Table};

/// The rows, in the order in which they are printed.
const ROWS: &[&[Measure]] = &[
    nop::ROWS,
    memory::ROWS,
    #[cfg(unix)]
    pooled::ROWS,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    descriptor::ROWS,
    causal::ROWS,
    semaphore::ROWS,
    schedule::ROWS,
    timer::ROWS,
    #[cfg(target_os = "linux")]
    fence::ROWS,
    message::ROWS,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    notification::ROWS,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    relay::ROWS,
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    relay_latency::ROWS,
];

/// Those whose name contains `filter`.
fn selected(filter: Option<&str>) -> impl Iterator<Item = &'static Measure> {
    ROWS.iter().copied().flatten().filter(move |measure| filter.is_none_or(|text| measure.name.contains(text)))
}

/// Measures what was asked for and prints each row as soon as it is known.
pub fn run(options: &Bench) -> Result<(), Failure> {
    let backends = backends(options.backend)?;
    let filter = options.filter.as_deref();
    let mut out = std::io::stdout().lock();
    let mut print = |line: String| {
        // Whoever closed our output has seen enough; the exit code stays 0.
        let _ = writeln!(out, "{line}");
    };
    let mut table = (!options.json && std::io::stdout().is_terminal())
        .then(|| Table::new(selected(filter).map(|measure| measure.name)));
    if let Some(table) = &table {
        print(table.heading());
    }
    for measure in selected(filter) {
        measure.each_row(&backends, |row: Row| {
            print(match &mut table {
                Some(table) => table.line(&row),
                None => row.json(),
            });
        })?;
    }
    table.iter().flat_map(Table::notes).for_each(print);
    Ok(())
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
    use std::collections::HashSet;

    use super::*;

    fn names(filter: Option<&str>) -> Vec<&'static str> {
        selected(filter).map(|measure| measure.name).collect()
    }

    #[test]
    fn every_row_has_a_name_of_its_own() {
        let names = names(None);
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }

    #[test]
    fn a_filter_selects_by_a_part_of_the_name_and_its_absence_selects_all() {
        assert_eq!(names(Some("p/12")), ["nop/128"]);
        assert!(names(Some("absent")).is_empty());
        assert_eq!(names(None).len(), ROWS.iter().map(|rows| rows.len()).sum::<usize>());
        assert_eq!(names(Some("tracker/")).len(), 6);
    }

    /// Figures that this project has promised: each is a row, and stays one.
    #[test]
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    fn what_was_promised_is_measured() {
        let promised = [
            "nop/1",
            "nop/128",
            "timer/replace/100000",
            "timer/reset/100000",
            "timer/late/100us",
            "timer/late-spin/100us",
            "buffer",
            "fixed/4k",
            "pooled/4k",
            "descriptor",
            "frontier/compare/1",
            "frontier/compare/4",
            "frontier/compare/16",
            "frontier/compare/64",
            "frontier/merge/4",
            "frontier/merge/16",
            "frontier/merge/64",
            "frontier/merge-interleaved/4",
            "frontier/merge-interleaved/16",
            "frontier/merge-interleaved/64",
            "frontier/satisfied/64",
            "tracker/advance",
            "tracker/advance-unrelated/256",
            "tracker/dispatch",
            "schedule/submit",
            "schedule/elide/4",
            "buffer/reuse",
            "semaphore/signal",
            "semaphore/signal-frontier",
            "semaphore/signal-timepoint",
            "semaphore/blocking-active",
            "semaphore/blocking-yield",
            "semaphore/blocking-block",
            "semaphore/cpu-active",
            "semaphore/cpu-yield",
            "semaphore/cpu-block",
            "lowered/receive-signal",
            "portable/receive-signal",
            "message/throughput",
            "message/chain",
            "wake",
            "notification/blocking",
            "event/set-wait",
            "event-pool",
            "relay/4096",
            "relay/latency",
            "notification-relays/256",
        ];
        let names = names(None);
        let missing: Vec<_> = promised.iter().filter(|name| !names.contains(name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn the_backend_that_was_asked_for_is_the_only_one_measured() {
        assert_eq!(backends(BackendChoice::Poll).unwrap(), [Choice::Poll]);
    }
}
