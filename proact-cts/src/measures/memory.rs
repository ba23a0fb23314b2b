//! What buffers cost: taking one and giving it back, and reading a file into one, by address or pinned.

use std::cell::RefCell;
use std::path::PathBuf;

use proact::backend::OpenFlags;
use proact::memory::{Allocation, BufferPool, Lease, Slab};
use proact::operation::{Complete, Context, Op, Open, Outcome, Read, Register};
use proact::proactor::Proactor;
use proact::resource::File;
use proact::status::Status;

use super::compare::compare;
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::tally;
use super::together::{Stage, Together};
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    Measure::once("buffer", pairs),
    Measure::each("read/4k", |config| reads(config, false)),
    Measure::each("fixed/4k", |config| reads(config, true)),
];

/// Buffers taken and given back in a round: a clock read costs more than one.
const PAIRS: u32 = 64;
/// Reads that are submitted together.
const READS: usize = 16;
/// Bytes of each.
const LENGTH: usize = 4096;
/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u32 = 1000;

/// Measures a buffer taken from a pool and given back. Figures are of the two together.
fn pairs() -> Result<Figures, Failure> {
    let pool = pool(1024).map_err(|status| Failure::status("memory", &status))?;
    let round = || {
        for _ in 0..PAIRS {
            std::hint::black_box(pool.acquire().expect("no other has one"));
        }
    };
    let timing = compare(round, None::<fn()>);
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| round()));
    let costs = counted.over(f64::from(COUNTED_ROUNDS * PAIRS));
    Ok(Figures::of(timing, PAIRS.into(), "a pool is of no backend, and nothing lies below it", costs))
}

/// Measures reads of what the system has in memory, into buffers of a pool. `registered`: which the proactor knows.
/// Figures are of one read.
fn reads(config: Configuration, registered: bool) -> Result<Figures, Failure> {
    let mut stage = stage(config, registered).map_err(|status| Failure::status(config.name, &status))?;
    let timing = compare(|| round(&mut stage), None::<fn()>);
    let each = READS as f64;
    Ok(stage.figures(timing, each, "measured beside its sibling, by address or registered", round))
}

fn pool(count: u32) -> Result<BufferPool, Status> {
    BufferPool::new(Slab::allocate(LENGTH, count, &Allocation::new())?)
}

/// Notes the opened file.
struct Opened(&'static RefCell<Option<Result<File, Status>>>);

impl Complete<Open> for Opened {
    fn done(op: Box<Op<Open, Opened>>, outcome: Outcome<Open>, _: &mut Context<'_>) {
        *op.state.0.borrow_mut() = Some(outcome.result);
    }
}

/// Reads that are submitted together, over and over.
fn stage(config: Configuration, registered: bool) -> Result<Stage<Together<Read<Lease>>>, Status> {
    let mut proactor = config.builder().build()?;
    let file = open(&mut proactor)?;
    let pool = pool(READS as u32)?;
    if registered {
        proactor.submit(Op::new(Register::new(pool.slab().region().clone()), ())).expect("new memory");
        proactor.run()?;
    }
    let read = |index| Ok(Read::exact(file.clone(), (index * LENGTH) as u64, pool.acquire()?));
    let of = Together::new((0..READS).map(read).collect::<Result<Vec<_>, Status>>()?);
    Ok(Stage { proactor, of })
}

fn round(stage: &mut Stage<Together<Read<Lease>>>) {
    stage.of.round(&mut stage.proactor);
}

/// A file that has been written just now, and has no name any more.
fn open(proactor: &mut Proactor) -> Result<File, Status> {
    let path: PathBuf = std::env::temp_dir().join(format!("proact-bench-{}", std::process::id()));
    let failed = |error: std::io::Error| Status::from_io_error(proact::status::Operation::FileOpen, &error);
    std::fs::write(&path, vec![7; READS * LENGTH]).map_err(failed)?;
    let opened: &'static RefCell<_> = Box::leak(Box::new(RefCell::new(None)));
    proactor.submit(Op::new(Open::new(&path, OpenFlags::READ), Opened(opened))).expect("a path");
    let ran = proactor.run();
    std::fs::remove_file(&path).map_err(failed)?;
    ran?;
    opened.borrow_mut().take().expect("the open has ended")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::settings;

    #[test]
    fn reads_are_whole_on_every_backend_whether_registered_or_not() {
        for (config, registered) in settings().into_iter().flat_map(|config| [(config, false), (config, true)]) {
            let mut stage = match stage(config, registered) {
                Ok(stage) => stage,
                Err(status) => {
                    eprintln!("skipped: {}: {status}", config.name);
                    continue;
                }
            };
            for _ in 0..3 {
                round(&mut stage);
            }
            let ready = &stage.of.ready;
            assert_eq!(ready.len(), READS);
            assert!(ready.iter().all(|op| op.kind.buffer.iter().all(|byte| *byte == 7)));
        }
    }
}
