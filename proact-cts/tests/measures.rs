//! Every measure once, on every backend, with next to no repetition: so that none is broken when it is wanted.
//!
//! A program of its own, because it counts allocations for its whole process, and because two measures at a time would
//! count each other's. What it prints of time is worth nothing. What this machine is too small for is ignored, with
//! the reason.

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use proact_cts::config::{self, Configuration};
use proact_cts::measures::{Counter, Effort, Measure, Row, selected};

#[global_allocator]
static COUNTER: Counter = Counter;

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let usable: Vec<Configuration> = config::all()
        .iter()
        .copied()
        .filter(|config| config.is_whole() && !config.is_simulated() && config.detect().is_ok())
        .collect();
    // One for each row: that one backend lacks what it takes hides nothing of another.
    let trials = selected(None).flat_map(|measure| {
        let config = |backend| usable.iter().copied().find(|config| config.name == backend);
        let rows = measure.backends(&usable).into_iter().map(move |backend| (backend, config(backend)));
        rows.map(move |(backend, config)| {
            let name = format!("{} {backend}", measure.name);
            Trial::ignorable_test(name, move || run(measure, backend, config.as_slice()))
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn run(measure: &Measure, expected: &str, config: &[Configuration]) -> Result<Completion, Failed> {
    let mut rows = Vec::new();
    Effort::Quick.scope(|| measure.each_row(config, |_| {}, |backend, row| rows.push((backend, row))));
    let [(backend, row)] = <[_; 1]>::try_from(rows).map_err(|rows| format!("{} rows, and not one", rows.len()))?;
    assert_eq!(backend, expected);
    match row {
        Ok(row) => check(measure, row),
        Err(failure) if failure.is_lacking() => return Ok(Completion::ignored_with(failure)),
        Err(failure) => return Err(format!("{failure}").into()),
    }
    Ok(Completion::Completed)
}

/// What holds of every row, however little was repeated.
fn check(measure: &Measure, row: Row) {
    let figures = &row.figures;
    assert_eq!(row.name, measure.name);
    assert!(figures.median.is_finite() && figures.median > 0.0, "{row:?}");
    if let Ok(floor) = figures.floor {
        assert!(floor.median.is_finite() && floor.ratio.is_finite() && floor.ratio >= 0.0, "{row:?}");
    }
    assert!(figures.p99.is_none_or(|p99| p99 >= figures.median), "{row:?}");
    let costs = [figures.costs.allocations, figures.costs.enters, figures.costs.cpu];
    assert!(costs.into_iter().flatten().all(|cost| cost.is_finite() && cost >= 0.0), "{row:?}");
}
