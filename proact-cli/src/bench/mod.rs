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
#[cfg(target_os = "linux")]
mod fence;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod floor;
mod memory;
mod message;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod message_floor;
mod nop;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod notification;
#[cfg(unix)]
mod pooled;
#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
mod raw;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod relay;
mod row;
mod semaphore;

use std::io::{IsTerminal, Write};

#[cfg(target_os = "linux")]
use proact::operation::Lowering;
use proact::proactor::{BACKEND_VARIABLE, Builder, Choice};
use proact::sync::WaitFlags;
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
    Measure { name: "semaphore/signal", unit: "ns", run: |choice| semaphore::signals(choice, 0) },
    Measure { name: "semaphore/signal-frontier", unit: "ns", run: |choice| semaphore::signals(choice, 4) },
    Measure { name: "semaphore/signal-timepoint", unit: "ns", run: semaphore::timepoints },
    Measure { name: "semaphore/wait", unit: "ns", run: semaphore::waits },
    Measure { name: "semaphore/fan-out/256", unit: "ns", run: |choice| semaphore::fan_out(choice, 256) },
    Measure { name: "semaphore/fan-out/10000", unit: "ns", run: |choice| semaphore::fan_out(choice, 10_000) },
    Measure { name: "semaphore/link", unit: "ns", run: semaphore::links },
    Measure { name: "semaphore/future", unit: "ns", run: semaphore::futures },
    Measure { name: "semaphore/blocking-active", unit: "ns", run: |choice| semaphore::blocking(choice, ACTIVE) },
    Measure { name: "semaphore/blocking-yield", unit: "ns", run: |choice| semaphore::blocking(choice, YIELD) },
    Measure { name: "semaphore/blocking-block", unit: "ns", run: |choice| semaphore::blocking(choice, BLOCK) },
    #[cfg(unix)]
    Measure { name: "semaphore/cpu-active", unit: "ns", run: |choice| semaphore::occupied(choice, ACTIVE) },
    #[cfg(unix)]
    Measure { name: "semaphore/cpu-yield", unit: "ns", run: |choice| semaphore::occupied(choice, YIELD) },
    #[cfg(unix)]
    Measure { name: "semaphore/cpu-block", unit: "ns", run: |choice| semaphore::occupied(choice, BLOCK) },
    Measure { name: "message/send", unit: "ns", run: message::sends },
    Measure { name: "message/throughput", unit: "ns", run: message::throughput },
    Measure { name: "message/round-trip", unit: "ns", run: message::round_trips },
    Measure { name: "message/chain", unit: "ns", run: message::chains },
    #[cfg(target_os = "linux")]
    Measure { name: "fence/import", unit: "ns", run: fence::imports },
    #[cfg(target_os = "linux")]
    Measure { name: "fence/export", unit: "ns", run: fence::exports },
    #[cfg(target_os = "linux")]
    Measure { name: "lowered/receive-signal", unit: "ns", run: |c| fence::behind_a_receive(c, Lowering::Always) },
    #[cfg(target_os = "linux")]
    Measure { name: "portable/receive-signal", unit: "ns", run: |c| fence::behind_a_receive(c, Lowering::Never) },
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure { name: "notification/signal", unit: "ns", run: |_| notification::signal() },
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure { name: "notification/wait", unit: "ns", run: |choice| notification::waits(choice, 1) },
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure { name: "notification/fan-out/8", unit: "ns", run: |choice| notification::waits(choice, 8) },
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure { name: "notification/fan-out/64", unit: "ns", run: |choice| notification::waits(choice, 64) },
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure { name: "notification/fan-out/256", unit: "ns", run: |choice| notification::waits(choice, 256) },
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure { name: "notification/blocking", unit: "ns", run: |_| notification::blocking() },
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure { name: "notification/round-trip", unit: "ns", run: notification::round_trip },
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure { name: "wake", unit: "ns", run: notification::wake },
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    Measure { name: "event/set-wait", unit: "ns", run: notification::event },
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
const ACTIVE: WaitFlags = WaitFlags::ACTIVE;
const YIELD: WaitFlags = WaitFlags::YIELD;
const BLOCK: WaitFlags = WaitFlags::empty();

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
            [
                "nop/1",
                "nop/16",
                "nop/128",
                "buffer",
                "read/4k",
                "fixed/4k",
                "pooled/4k",
                "descriptor",
                "semaphore/signal",
                "semaphore/signal-frontier",
                "semaphore/signal-timepoint",
                "semaphore/wait",
                "semaphore/fan-out/256",
                "semaphore/fan-out/10000",
                "semaphore/link",
                "semaphore/future",
                "semaphore/blocking-active",
                "semaphore/blocking-yield",
                "semaphore/blocking-block",
                "semaphore/cpu-active",
                "semaphore/cpu-yield",
                "semaphore/cpu-block",
                "message/send",
                "message/throughput",
                "message/round-trip",
                "message/chain",
                "fence/import",
                "fence/export",
                "lowered/receive-signal",
                "portable/receive-signal",
                "notification/signal",
                "notification/wait",
                "notification/fan-out/8",
                "notification/fan-out/64",
                "notification/fan-out/256",
                "notification/blocking",
                "notification/round-trip",
                "wake",
                "event/set-wait",
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
