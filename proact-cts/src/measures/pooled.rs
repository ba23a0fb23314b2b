//! What it costs to receive a stream into a pool's buffers, and what bundles save.

use std::cell::Cell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use proact::backend::Capabilities;
use proact::memory::{Allocation, BufferPool, Slab};
use proact::operation::{Complete, Context, Op, Outcome, ReceivePooledMany, Register, Registered};
use proact::proactor::Proactor;
use proact::status::Status;
use proact::time::Timeout;

use super::compare::compare;
use super::failure::Failure;
use super::figures::{Figures, Floor};
use super::measure::Measure;
use super::tally;
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[Measure::each("pooled/4k", run)];

const BUFFER: usize = 4096;
const BUFFERS: u32 = 256;
/// Bytes of a round: what a local socket's own buffer takes at once.
const LENGTH: usize = 128 << 10;
const COUNTED_ROUNDS: u32 = 1000;

/// Measures receives of 128 KiB into buffers of 4 KiB; figures are of one buffer. On io_uring the floor is the same
/// without bundles, so that a ratio below 1 is what they save.
fn run(config: Configuration) -> Result<Figures, Failure> {
    let told = |status| Failure::status(config.name, &status);
    let mut whole = Stream::new(config, Capabilities::all()).map_err(told)?;
    let each = (LENGTH / BUFFER) as f64;
    let figures = if whole.proactor.handle().capabilities().contains(Capabilities::RECEIVE_BUNDLES) {
        let mut single = Stream::new(config, Capabilities::all() - Capabilities::RECEIVE_BUNDLES).map_err(told)?;
        let timing = compare(|| whole.round(), Some(|| single.round()));
        let (median, ratio) = timing.floor.expect("there is a floor");
        (timing.subject / each, Ok(Floor { median: median / each, ratio }))
    } else {
        (compare(|| whole.round(), None::<fn()>).subject / each, Err("no bundles here to be without"))
    };
    let enters = |stream: &Stream| stream.proactor.statistics().enters;
    let counted = tally::rounds(COUNTED_ROUNDS, &mut whole, Stream::round, enters);
    Ok(Figures::new(figures.0, figures.1, counted.over(f64::from(COUNTED_ROUNDS) * each)))
}

/// Counts what comes, and gives every buffer back at once.
struct Count(&'static Cell<usize>);

impl Complete<ReceivePooledMany> for Count {
    fn more(&mut self, _: &ReceivePooledMany, outcome: Outcome<ReceivePooledMany>, _: &mut Context<'_>) {
        self.0.set(self.0.get() + outcome.result.expect("the stream works").map_or(0, |lease| lease.len()));
    }
    fn done(_: Box<Op<ReceivePooledMany, Self>>, _: Outcome<ReceivePooledMany>, _: &mut Context<'_>) {}
}

/// A local connection that is received from for ever.
struct Stream {
    proactor: Proactor,
    sender: UnixStream,
    received: &'static Cell<usize>,
    bytes: Vec<u8>,
}

impl Stream {
    fn new(config: Configuration, allowed: Capabilities) -> Result<Stream, Status> {
        let mut proactor = config.builder().allow(allowed).build()?;
        let failed = |error: std::io::Error| Status::from_io_error(proact::status::Operation::SocketCreate, &error);
        let (sender, receiver) = UnixStream::pair().map_err(failed)?;
        let socket = proactor.handle().import_socket(receiver.into()).map_err(|returned| returned.status)?;
        let pool = BufferPool::new(Slab::allocate(BUFFER, BUFFERS, &Allocation::new())?)?;
        // Small, and to the program's end: see the row of nops.
        let received: &'static Cell<usize> = Box::leak(Box::new(Cell::new(0)));
        let receive = Op::new(ReceivePooledMany::new(socket, &pool), Count(received));
        proactor.submit(receive).expect("an open socket");
        Ok(Stream { proactor, sender, received, bytes: vec![7; LENGTH] })
    }

    fn round(&mut self) {
        self.received.set(0);
        self.sender.write_all(&self.bytes).expect("the socket's own buffer has room");
        while self.received.get() < LENGTH {
            self.proactor.poll(Timeout::Infinite).expect("the backend works");
        }
    }
}

/// Where a [`Register`] tells what has come of it.
struct Told(Rc<Cell<Option<Registered>>>);

impl Complete<Register> for Told {
    fn done(op: Box<Op<Register, Told>>, outcome: Outcome<Register>, _: &mut Context<'_>) {
        op.state.0.set(outcome.result.ok());
    }
}

/// Why memory is not pinned where it might be.
pub(super) const LOCK_LIMIT: &str = "this process may not lock so much memory (RLIMIT_MEMLOCK, ulimit -l)";

/// Registers a pool's memory. Fails where the kernel does not pin it: what follows would be measured against itself.
pub(super) fn pin(proactor: &mut Proactor, pool: &BufferPool) -> Result<(), Failure> {
    let told = Rc::default();
    let register = Op::new(Register::new(pool.slab().region().clone()), Told(Rc::clone(&told)));
    proactor.submit(register).map_err(|refused| refused.status)?;
    proactor.run()?;
    match told.take() {
        Some(Registered::Fixed(_)) => Ok(()),
        Some(Registered::LockLimit) => Err(Failure::lacking(LOCK_LIMIT)),
        other => Err(Failure::new(format!("the memory is not pinned: {other:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::settings;

    #[test]
    fn every_round_is_received_whole_on_every_backend() {
        for config in settings() {
            match Stream::new(config, Capabilities::all()) {
                Ok(mut stream) => (0..20).for_each(|_| stream.round()),
                Err(status) => eprintln!("skipped: {}: {status}", config.name),
            }
        }
    }
}
