//! What submitting, completing and calling back costs when the operation itself does nothing.

use proact::operation::Nop;

use super::compare::{Timing, compare};
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::together::{Stage, Together};
use crate::config::Configuration;

/// `nop/1` is what an operation costs that is submitted alone.
pub(crate) const ROWS: &[Measure] = &[
    Measure::each("nop/1", |config| run(config, 1)),
    Measure::each("nop/16", |config| run(config, 16)),
    Measure::each("nop/128", |config| run(config, 128)),
];

/// Operations that are submitted together, over and over.
fn stage(config: Configuration, batch: u32) -> Result<Stage<Together<Nop>>, Failure> {
    let proactor = config.builder().build().map_err(|status| Failure::status(config.name, &status))?;
    Ok(Stage { proactor, of: Together::new((0..batch).map(|_| Nop)) })
}

#[inline]
fn round(stage: &mut Stage<Together<Nop>>) {
    stage.of.round(&mut stage.proactor);
}

/// Measures `batch` nops at a time. Figures are of one operation.
fn run(config: Configuration, batch: u32) -> Result<Figures, Failure> {
    let mut stage = stage(config, batch)?;
    let (timing, absent) = measure(config, batch, || round(&mut stage));
    Ok(stage.figures(timing, batch.into(), absent, round))
}

/// Times `round` against a bare ring on io_uring, and alone elsewhere; then also answers why.
fn measure(config: Configuration, batch: u32, mut round: impl FnMut()) -> (Timing, &'static str) {
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    if config.is_ring() {
        return match super::floor::with_ring(batch, |floor| compare(&mut round, Some(floor))) {
            Ok(timing) => (timing, ""),
            Err(_) => (compare(&mut round, None::<fn()>), "no second ring could be made"),
        };
    }
    let _ = (config, batch);
    // Readiness backends know a nop's result when it is started, and enter the kernel only for what it alone knows.
    (compare(&mut round, None::<fn()>), "a nop takes no system call on this backend, so nothing lies below it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::settings;

    #[test]
    fn a_round_brings_every_operation_back_in_one_enter_at_most() {
        for config in settings() {
            let mut stage = match stage(config, 5) {
                Ok(stage) => stage,
                Err(failure) => {
                    eprintln!("skipped: {failure}");
                    continue;
                }
            };
            for _ in 0..3 {
                round(&mut stage);
                assert_eq!(stage.of.ready.len(), 5, "{}", config.name);
            }
            let statistics = stage.proactor.statistics();
            // Submitting and waiting are one call on a ring, and none at all where a nop needs no kernel.
            let enters = if config.is_ring() { 3 } else { 0 };
            assert_eq!((statistics.completed, statistics.enters), (15, enters), "{}", config.name);
        }
    }
}
