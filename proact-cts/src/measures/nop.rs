//! What submitting, completing and calling back costs when the operation itself does nothing.

use std::cell::RefCell;

use proact::operation::{Complete, Context, Nop, Op, Outcome};
use proact::proactor::Proactor;
use proact::status::Status;
use proact::time::Timeout;

use super::compare::{Timing, compare};
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::tally;
use crate::config::Configuration;

/// `nop/1` is what an operation costs that is submitted alone.
pub(crate) const ROWS: &[Measure] = &[
    Measure::each("nop/1", |config| run(config, 1)),
    Measure::each("nop/16", |config| run(config, 16)),
    Measure::each("nop/128", |config| run(config, 128)),
];

/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u32 = 1000;

/// Where operations go when they have ended.
#[allow(clippy::vec_box)] // an operation only ever lives in its box
type Pile = RefCell<Vec<Box<Op<Nop, Return>>>>;

/// Puts its operation on the pile.
#[derive(Clone, Copy)]
struct Return(&'static Pile);

impl Complete<Nop> for Return {
    #[inline]
    fn done(op: Box<Op<Nop, Return>>, outcome: Outcome<Nop>, _: &mut Context<'_>) {
        outcome.result.expect("a nop succeeds");
        let pile = op.state.0;
        pile.borrow_mut().push(op);
    }
}

/// Operations that are submitted together, over and over.
#[allow(clippy::vec_box)] // as above
struct Rounds {
    proactor: Proactor,
    // The boxes themselves go into the proactor and come back.
    #[allow(clippy::vec_box)]
    ready: Vec<Box<Op<Nop, Return>>>,
    pile: &'static Pile,
    batch: usize,
}

impl Rounds {
    fn new(config: Configuration, batch: usize) -> Result<Rounds, Status> {
        // One small vector a row lives to the program's end: cheaper to reach than a counted one, and safe.
        let pile: &'static Pile = Box::leak(Box::new(RefCell::new(Vec::with_capacity(batch))));
        let ready = (0..batch).map(|_| Op::new(Nop, Return(pile))).collect();
        Ok(Rounds { proactor: config.builder().build()?, ready, pile, batch })
    }

    /// Submits the batch and polls until it has come back.
    #[inline]
    fn round(&mut self) {
        self.proactor.submit(&mut self.ready).expect("a nop is valid");
        let mut ended = 0;
        while ended < self.batch {
            ended += self.proactor.poll(Timeout::Infinite).expect("the backend works").completed;
        }
        std::mem::swap(&mut self.ready, &mut self.pile.borrow_mut());
    }
}

/// Measures `batch` nops at a time. Figures are of one operation.
fn run(config: Configuration, batch: u32) -> Result<Figures, Failure> {
    let mut rounds = Rounds::new(config, batch as usize).map_err(|status| Failure::status(config.name, &status))?;
    let (timing, absent) = measure(config, batch, || rounds.round());
    let enters = |rounds: &Rounds| rounds.proactor.statistics().enters;
    let counted = tally::rounds(COUNTED_ROUNDS, &mut rounds, Rounds::round, enters);
    Ok(Figures::of(timing, batch.into(), absent, counted.over(f64::from(COUNTED_ROUNDS * batch))))
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
            let mut rounds = match Rounds::new(config, 5) {
                Ok(rounds) => rounds,
                Err(status) => {
                    eprintln!("skipped: {}: {status}", config.name);
                    continue;
                }
            };
            for _ in 0..3 {
                rounds.round();
                assert_eq!((rounds.ready.len(), rounds.pile.borrow().len()), (5, 0), "{}", config.name);
            }
            let statistics = rounds.proactor.statistics();
            // Submitting and waiting are one call on a ring, and none at all where a nop needs no kernel.
            let enters = if config.is_ring() { 3 } else { 0 };
            assert_eq!((statistics.completed, statistics.enters), (15, enters), "{}", config.name);
        }
    }
}
