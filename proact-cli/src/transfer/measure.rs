//! Reading chunks of a file back, to learn their digests: what both sides do before they go on with a file.
//!
//! One chunk after another, in one buffer: the read, then the digest by the compute queue.

use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use proact::memory::Part;
use proact::operation::{Context, Read, SemaphoreWait};
use proact::resource::File;
use proact::status::{Code, Operation, Result, Status};
use proact::sync::Semaphore;

use super::compute::{ComputeQueue, Job, Returned, Work};
use super::machine::Machine;
use super::slab::{Chunk, Filler, Outlet};
use super::trace::Tracer;
use crate::wire::Digest;

/// Which chunks are measured, and who is told.
pub(super) struct Measure<M> {
    file: File,
    /// The next chunk: its number, and where it lies.
    next: u64,
    until: u64,
    chunk_size: u32,
    size: u64,
    compute: Rc<dyn ComputeQueue>,
    semaphore: Semaphore,
    value: u64,
    found: Arc<Mutex<Digest>>,
    returned: Arc<Returned>,
    spent: Vec<(u64, super::slab::Sealed)>,
    told: Told<M>,
    tracer: Tracer,
}

/// Called with each chunk's digest in order, and at the end with `None` or what kept a chunk from being read. Answers
/// whether to go on.
pub(super) type Told<M> = Box<dyn FnMut(&mut M, Result<Option<Digest>>, &mut Context<'_>) -> bool>;

impl<M: Machine> Measure<M> {
    /// Measures the chunks `from` up to, and without, `until` of a file of `size` bytes.
    pub(super) fn new(
        file: File,
        chunks: std::ops::Range<u64>,
        chunk_size: u32,
        size: u64,
        compute: Rc<dyn ComputeQueue>,
        told: impl FnMut(&mut M, Result<Option<Digest>>, &mut Context<'_>) -> bool + 'static,
    ) -> Measure<M> {
        Measure {
            file,
            next: chunks.start,
            until: chunks.end,
            chunk_size,
            size,
            compute,
            semaphore: Semaphore::new(0),
            value: 0,
            found: Arc::default(),
            returned: Arc::default(),
            spent: Vec::new(),
            told: Box::new(told),
            tracer: Tracer::default(),
        }
    }

    /// Has each digest told to `tracer`.
    pub(super) fn recorded(self, tracer: &Tracer) -> Measure<M> {
        Measure { tracer: tracer.clone(), ..self }
    }

    /// Begins.
    pub(super) fn start(self, machine: &mut M, cx: &mut Context<'_>) {
        let chunk = Chunk::new(self.chunk_size as usize);
        self.step(machine, chunk, cx);
    }

    fn step(mut self, machine: &mut M, chunk: Chunk, cx: &mut Context<'_>) {
        if self.next == self.until {
            (self.told)(machine, Ok(None), cx);
            return;
        }
        let offset = self.next * u64::from(self.chunk_size);
        // The minimum with a chunk size fits the type of a chunk size.
        let length = self.size.saturating_sub(offset).min(self.chunk_size.into()) as u32;
        let (filler, outlet) = chunk.split();
        let read = Read::exact(self.file.clone(), offset, Part::new(filler, 0..length as usize));
        machine.call(read, cx, move |machine, kind: Read<Part<Filler>>, outcome, cx| match outcome.result {
            Ok(_) => self.digest(machine, length, kind.buffer.into_inner(), outlet, cx),
            Err(status) => {
                let _ = (self.told)(machine, Err(status), cx);
            }
        });
    }

    fn digest(mut self, machine: &mut M, length: u32, buffer: Filler, outlet: Outlet, cx: &mut Context<'_>) {
        self.value += 1;
        let (semaphore, value) = (self.semaphore.clone(), self.value);
        let work = Work::Measure { length, found: self.found.clone() };
        let ticket = self.tracer.aside(|| format!("{} at {}", work.name(), self.next * u64::from(self.chunk_size)));
        self.compute.submit(Job::plain(work, Some(buffer), &semaphore, value, &self.returned, ticket));
        machine.call(SemaphoreWait::new(semaphore, value), cx, move |machine, _, outcome, cx| {
            self.returned.take(&mut self.spent);
            let back = self.spent.pop().and_then(|(_, sealed)| Chunk::join(sealed, outlet));
            let (Ok(_), Some(chunk)) = (&outcome.result, back) else {
                let lost = Status::new(Code::Aborted, Operation::None).with_message("the compute queue has stopped");
                let status = outcome.result.err().unwrap_or(lost);
                let _ = (self.told)(machine, Err(status), cx);
                return;
            };
            let digest = *self.found.lock().unwrap_or_else(PoisonError::into_inner);
            self.next += 1;
            if (self.told)(machine, Ok(Some(digest)), cx) {
                self.step(machine, chunk, cx);
            }
        });
    }
}
