//! `proact bench`: draws what `proact_cts::measures` measures.

mod baseline;
mod row;

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use proact::backend::Capabilities;
use proact::proactor::{BACKEND_VARIABLE, Choice};
use proact_cts::config::Configuration;
use proact_cts::measures::{Measure, selected};

use crate::cli::{BackendChoice, Bench};
use crate::exit::{Exit, Failure, Place};

use baseline::Baseline;
use row::Table;

/// Measures what was asked for and prints each row as soon as it is known. A measure that cannot be made here is told
/// on standard error, and the others go on.
///
/// # Errors
/// No such backend here, or a baseline that cannot be read.
pub fn bench(options: &Bench) -> Result<(), Failure> {
    let backends = backends(options.backend, options.mask.iter().copied().collect())?;
    let baseline = options.baseline.as_deref().map(Baseline::read).transpose()?;
    let measures: Vec<&Measure> = match (&options.filter, options.exact) {
        (Some(name), true) => selected(None).filter(|measure| measure.name == name).collect(),
        (filter, _) => selected(filter.as_deref()).collect(),
    };
    let mut out = io::stdout().lock();
    let mut print = |line: String| {
        // Whoever closed our output has seen enough; the exit code stays 0.
        let _ = writeln!(out, "{line}");
    };
    let mut table = (!options.json && io::stdout().is_terminal()).then(|| Table::new(baseline.is_some()));
    if let Some(table) = &table {
        print(table.heading());
    }
    let progress = progress(measures.iter().map(|measure| measure.backends(&backends).len()).sum());
    for measure in measures {
        let begin = |backend: &str| progress.set_message(format!("{} {backend}", measure.name));
        measure.each_row(&backends, begin, |backend, row| {
            progress.inc(1);
            // The bar is taken away while a line is printed, so that neither ends up in the other.
            progress.suspend(|| match row {
                Ok(row) => {
                    let change = baseline.as_ref().and_then(|baseline| baseline.change(&row));
                    match &mut table {
                        Some(table) => table.lines(&row, change).for_each(&mut print),
                        None => print(row::json(&row, baseline.is_some().then_some(change))),
                    }
                }
                // Told, and no failure: a row that is missing must not look like one that was never there.
                Err(failure) => eprintln!("proact: {} on {backend} is left out: {failure}", measure.name),
            });
        });
    }
    progress.finish_and_clear();
    table.iter().flat_map(Table::notes).for_each(print);
    Ok(())
}

/// How many rows are done, and which is measured: on a terminal alone, and on standard error, beside the rows.
fn progress(rows: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:20} {pos} of {len} {wide_msg}");
    let style = style.expect("the template is constant and valid");
    ProgressBar::with_draw_target(Some(rows as u64), ProgressDrawTarget::stderr()).with_style(style)
}

/// What is measured: the backend asked for, by option or environment, or every one that works here; with what is masked
/// in its name.
fn backends(choice: BackendChoice, masked: Capabilities) -> Result<Vec<Configuration>, Failure> {
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
        let asked = configuration(asked, masked);
        return match asked.detect() {
            Ok(_) => Ok(vec![asked]),
            Err(why) => Err(Failure::new(Exit::Backend, format!("{}: {why}", asked.name))),
        };
    }
    let mut usable = Vec::new();
    for choice in Choice::ALL {
        let backend = configuration(choice, masked);
        match backend.detect() {
            Ok(_) => usable.push(backend),
            Err(why) => eprintln!("proact: {} is left out: {why}", choice.name()),
        }
    }
    match usable.is_empty() {
        true => Err(Failure::new(Exit::Backend, "no backend works here")),
        false => Ok(usable),
    }
}

/// As the conformance suite names them: `io_uring`, `io_uring_no_kernel_chains`.
fn configuration(choice: Choice, masked: Capabilities) -> Configuration {
    let masks = masked.iter_names().map(|(name, _)| format!("_no_{}", name.to_lowercase()));
    let name: String = std::iter::once(choice.name().to_owned()).chain(masks).collect();
    // A name or two to the program's end.
    Configuration { name: name.leak(), choice, masked }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backend_that_was_asked_for_is_the_only_one_measured() {
        let found = backends(BackendChoice::Poll, Capabilities::empty()).unwrap();
        assert_eq!(
            found.iter().map(|config| (config.name, config.choice)).collect::<Vec<_>>(),
            [("poll", Choice::Poll)]
        );
    }

    #[test]
    fn what_is_masked_is_in_the_name_as_the_suite_says_it() {
        let found = backends(BackendChoice::Epoll, Capabilities::KERNEL_CHAINS | Capabilities::KERNEL_FILES).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].name, "epoll_no_kernel_chains_no_kernel_files");
        assert_eq!(found[0].masked, Capabilities::KERNEL_CHAINS | Capabilities::KERNEL_FILES);
    }
}
