//! Every measure once, on every backend, with next to no repetition: so that none is broken when it is wanted.
//!
//! A program of its own, because it counts allocations for its whole process, and because two measures at a time would
//! count each other's. What it prints of time is worth nothing.

use libtest_mimic::{Arguments, Failed, Trial};
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
    let trials = selected(None).map(|measure| {
        let usable = usable.clone();
        Trial::test(measure.name, move || run(measure, &usable))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn run(measure: &Measure, backends: &[Configuration]) -> Result<(), Failed> {
    let mut rows = Vec::new();
    Effort::Quick.scope(|| measure.each_row(backends, |_| {}, |backend, row| rows.push((backend, row))));
    let told: Vec<_> = rows.iter().map(|(backend, _)| *backend).collect();
    assert_eq!(told, measure.backends(backends), "a row for each backend, in order");
    for (backend, row) in rows {
        check(measure, row.map_err(|failure| format!("{backend}: {failure}"))?);
    }
    Ok(())
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
