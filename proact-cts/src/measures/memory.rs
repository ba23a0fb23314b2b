//! What buffers cost: taking one and giving it back, and reading a file into one, by address or pinned.

use std::cell::RefCell;
use std::path::PathBuf;

use proact::backend::OpenFlags;
use proact::memory::{Allocation, BufferPool, Lease, Slab};
use proact::operation::{Complete, Context, Op, Open, Outcome, Read, Register};
use proact::proactor::Proactor;
use proact::resource::File;
use proact::status::Status;
use proact::time::Timeout;

use super::compare::compare;
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::tally;
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
    Ok(figures(round, PAIRS, "a pool is of no backend, and nothing lies below it"))
}

/// Measures reads of what the system has in memory, into buffers of a pool. `registered`: which the proactor knows.
/// Figures are of one read.
fn reads(config: Configuration, registered: bool) -> Result<Figures, Failure> {
    let told = |status| Failure::status(config.name, &status);
    let mut rounds = Rounds::new(config, registered).map_err(told)?;
    Ok(figures(|| rounds.round(), READS as u32, "measured beside its sibling, by address or registered"))
}

fn figures(mut round: impl FnMut(), each: u32, note: &'static str) -> Figures {
    let timing = compare(&mut round, None::<fn()>);
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| round()));
    Figures::new(timing.subject / f64::from(each), Err(note), counted.over(f64::from(COUNTED_ROUNDS * each)))
}

fn pool(count: u32) -> Result<BufferPool, Status> {
    BufferPool::new(Slab::allocate(LENGTH, count, &Allocation::new())?)
}

type ReadOp = Op<Read<Lease>, Return>;
/// Where operations go when they have ended.
#[allow(clippy::vec_box)] // an operation only ever lives in its box
type Pile = RefCell<Vec<Box<ReadOp>>>;

/// Puts its operation on the pile.
#[derive(Clone, Copy)]
struct Return(&'static Pile);

impl Complete<Read<Lease>> for Return {
    fn done(op: Box<ReadOp>, outcome: Outcome<Read<Lease>>, _: &mut Context<'_>) {
        assert_eq!(outcome.result.expect("a read of an open file"), LENGTH);
        let pile = op.state.0;
        pile.borrow_mut().push(op);
    }
}

/// Notes the opened file.
struct Opened(&'static RefCell<Option<Result<File, Status>>>);

impl Complete<Open> for Opened {
    fn done(op: Box<Op<Open, Opened>>, outcome: Outcome<Open>, _: &mut Context<'_>) {
        *op.state.0.borrow_mut() = Some(outcome.result);
    }
}

/// Reads that are submitted together, over and over.
struct Rounds {
    proactor: Proactor,
    #[allow(clippy::vec_box)] // as above
    ready: Vec<Box<ReadOp>>,
    pile: &'static Pile,
}

impl Rounds {
    fn new(config: Configuration, registered: bool) -> Result<Rounds, Status> {
        let mut proactor = config.builder().build()?;
        let file = open(&mut proactor)?;
        let pool = pool(READS as u32)?;
        if registered {
            proactor.submit(Op::new(Register::new(pool.slab().region().clone()), ())).expect("new memory");
            proactor.run()?;
        }
        // Small, and to the program's end: see the row of nops.
        let pile: &'static Pile = Box::leak(Box::new(RefCell::new(Vec::with_capacity(READS))));
        let read = |index| {
            let offset = (index * LENGTH) as u64;
            Ok(Op::new(Read::exact(file.clone(), offset, pool.acquire()?), Return(pile)))
        };
        let ready = (0..READS).map(read).collect::<Result<_, Status>>()?;
        Ok(Rounds { proactor, ready, pile })
    }

    fn round(&mut self) {
        self.proactor.submit(&mut self.ready).expect("the reads are valid");
        let mut ended = 0;
        while ended < READS {
            ended += self.proactor.poll(Timeout::Infinite).expect("the backend works").completed;
        }
        std::mem::swap(&mut self.ready, &mut self.pile.borrow_mut());
    }
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
            let mut rounds = match Rounds::new(config, registered) {
                Ok(rounds) => rounds,
                Err(status) => {
                    eprintln!("skipped: {}: {status}", config.name);
                    continue;
                }
            };
            for _ in 0..3 {
                rounds.round();
            }
            assert_eq!(rounds.ready.len(), READS);
            assert!(rounds.ready.iter().all(|op| op.kind.buffer.iter().all(|byte| *byte == 7)));
        }
    }
}
