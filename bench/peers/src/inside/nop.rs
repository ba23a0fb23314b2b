//! What an operation costs that does nothing: alone, 32 and 256 at a time.
//!
//! A runtime has no way to hand over a batch: there, as many tasks have one operation each under way.

use std::cell::RefCell;
use std::time::Instant;

use compio_driver::{OpCode, OpEntry};
use io_uring::opcode;
use proact::operation::{Complete, Context, Nop, Op, Outcome};
use proact::proactor::Builder;
use proact::time::Timeout;

use super::Figures;
use super::together::{together, told};
use crate::{Failure, bare, pin};

const OPERATIONS: u32 = 256 * 1000;

/// Times rounds of `batch` operations.
fn rounds(batch: u32, mut round: impl FnMut()) -> Result<Figures, Failure> {
    (0..100).for_each(|_| round());
    let (start, before) = (Instant::now(), pin::processor_time(std::process::id())?);
    (0..OPERATIONS / batch).for_each(|_| round());
    Ok(told(pin::processor_time(std::process::id())? - before, start, OPERATIONS.into()))
}

pub fn ring(batch: u32) -> Result<Figures, Failure> {
    let mut ring = bare::ring(256)?;
    let entry = opcode::Nop::new().build();
    rounds(batch, || {
        for _ in 0..batch {
            // SAFETY: a nop points at nothing.
            unsafe { ring.push(&entry) }.expect("the queue has room for a batch");
        }
        ring.enter(batch).expect("the ring works");
        assert_eq!(ring.ended().count(), batch as usize);
    })
}

#[allow(clippy::vec_box)] // an operation only ever lives in its box
type Pile = RefCell<Vec<Box<Op<Nop, Return>>>>;

/// Puts its operation on the pile.
struct Return(&'static Pile);

impl Complete<Nop> for Return {
    fn done(op: Box<Op<Nop, Return>>, _: Outcome<Nop>, _: &mut Context<'_>) {
        let pile = op.state.0;
        pile.borrow_mut().push(op);
    }
}

pub fn proact(batch: u32) -> Result<Figures, Failure> {
    let mut proactor = Builder::new().backend("io_uring".parse()?).build()?;
    let pile: &'static Pile = Box::leak(Box::default());
    let mut ready: Vec<_> = (0..batch).map(|_| Op::new(Nop, Return(pile))).collect();
    rounds(batch, || {
        proactor.submit(&mut ready).expect("a nop is valid");
        let mut ended = 0;
        while ended < batch as usize {
            ended += proactor.poll(Timeout::Infinite).expect("the backend works").completed;
        }
        std::mem::swap(&mut ready, &mut pile.borrow_mut());
    })
}

pub fn proact_async(tasks: usize) -> Result<Figures, Failure> {
    let runtime = proact_async::Runtime::builder().proactor(Builder::new().backend("io_uring".parse()?)).build()?;
    runtime.block_on(together(tasks, OPERATIONS, |count| {
        proact_async::spawn(async move {
            for _ in 0..count {
                proact_async::operation(Nop).await.1.result.expect("a nop succeeds");
            }
        })
    }))
}

/// compio has no such operation, and lets one be made.
struct CompioNop;

// SAFETY: the entry points at nothing.
unsafe impl OpCode for CompioNop {
    type Control = ();

    fn create_entry(&mut self, _: &mut ()) -> OpEntry {
        OpEntry::Submission(opcode::Nop::new().build())
    }
}

pub fn compio(tasks: usize) -> Result<Figures, Failure> {
    compio::runtime::Runtime::new()?.block_on(together(tasks, OPERATIONS, |count| {
        compio::runtime::spawn(async move {
            for _ in 0..count {
                compio::runtime::submit(CompioNop).await.0.expect("a nop succeeds");
            }
        })
    }))
}
