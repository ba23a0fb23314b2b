//! The life of a chunk: received, checked, written, and its buffer back in the pool.

use proact::memory::Part;
use proact::operation::{Chain, Context, Op, Outcome, Receive, SemaphoreWait, Write};
use proact::resource::Socket;
use proact::status::{Code, Result};

use super::Session;
use super::secured::Awaiting;
use crate::transfer::compute::{Job, Work};
use crate::transfer::machine::{Machine, Then};
use crate::transfer::slab::{Chunk, Filler, Outlet, Sealed};
use crate::transfer::trace::Step;
use crate::wire::{Fault, FaultKind, HEADER_SIZE, Header, Kind};

/// A chunk that waits for its check, or is being written.
pub(super) struct Writing {
    header: Header,
    /// Whether it is being checked; a refused file's chunks are dropped unseen.
    checked: bool,
    sealed: Option<Sealed>,
    outlet: Option<Outlet>,
    /// Its write, or its wait, has ended.
    ended: bool,
}

type ReceivePart = Box<Op<Receive<Part<Filler>>, Then<Receive<Part<Filler>>>>>;

/// A chunk whose payload is being received.
#[derive(Clone, Copy)]
pub(super) struct Arrived {
    pub(super) value: u64,
    header: Header,
    check: bool,
}

impl Session {
    /// Submits one chunk whole: its receive, and the wait and write behind it.
    pub(super) fn receive_chunk(&mut self, header: Header, cx: &mut Context<'_>) {
        let Some(chunk) = self.pool.take() else {
            if self.pool.length() == 0 {
                let error = self.incoming.unexpected(Kind::Chunk);
                self.fail(Fault::from(&error), cx);
            }
            return;
        };
        self.header = None;
        if let Err(error) = self.incoming.chunk(&header) {
            return self.fail(Fault::from(&error), cx);
        }
        let (Some(socket), Some(target)) = (self.socket.clone(), self.targets.get_mut(&header.file)) else { return };
        self.last_progress = cx.now();
        target.digest.push(&header.digest);
        self.received.chunks += 1;
        let length = header.length as usize;
        let (filler, outlet) = chunk.split();
        self.value += 1;
        let value = self.value;
        let file = target.file.clone().filter(|_| target.failed.is_none());
        if file.is_some() {
            target.writes += 1;
            if let Some(journal) = &mut target.journal {
                journal.claim(header.digest);
            }
        }
        let checked = file.is_some();
        self.writing.insert(value, Writing { header, checked, sealed: None, outlet: None, ended: !checked });
        let arrived = Arrived { value, header, check: checked };
        let name = || format!("file {} at {}", header.file, header.offset);
        self.tracer.submitted(Step::Fill, value, name);
        let Some(file) = file else {
            // The file was refused: its chunks are on their way all the same, and are dropped.
            self.writing.get_mut(&value).expect("just inserted").outlet = Some(outlet);
            if self.secure.is_some() {
                return self.take(filler, length + HEADER_SIZE, Awaiting::Chunk(arrived), cx);
            }
            let receive = self.receive_part(socket, filler, arrived);
            self.receiving = self.submit(receive, 1, cx);
            return;
        };
        let wait = SemaphoreWait::new(self.timeline.clone(), value);
        let waited =
            self.then(move |session, _, outcome: Outcome<SemaphoreWait>, cx| session.waited(value, &outcome, cx));
        let write = Write::exact(file, header.offset, Part::new(outlet, 0..length));
        let written =
            self.then(move |session, kind: Write<Part<Outlet>>, outcome: Outcome<Write<Part<Outlet>>>, cx| {
                session.written(value, kind.buffer.into_inner(), outcome.result, cx);
            });
        let pair = Chain::new((Op::new(wait, waited), Op::new(write, written)));
        self.tracer.submitted(Step::Empty, value, name);
        if self.secure.is_some() {
            self.submit(pair, 2, cx);
            return self.take(filler, length + HEADER_SIZE, Awaiting::Chunk(arrived), cx);
        }
        let receive = self.receive_part(socket, filler, arrived);
        self.receiving = self.submit((receive, pair), 3, cx).map(|(receive, _)| receive);
    }

    fn receive_part(&mut self, socket: Socket, filler: Filler, arrived: Arrived) -> ReceivePart {
        let length = arrived.header.length as usize + HEADER_SIZE;
        let then =
            self.then(move |session, kind: Receive<Part<Filler>>, outcome: Outcome<Receive<Part<Filler>>>, cx| {
                session.chunk_arrived(arrived, kind.buffer.into_inner(), outcome.result, cx);
            });
        Op::new(Receive::exact(socket, Part::new(filler, 0..length)), then)
    }

    /// The payload of a chunk has been received, or will not be.
    pub(super) fn chunk_arrived(
        &mut self,
        arrived: Arrived,
        filler: Filler,
        result: Result<usize>,
        cx: &mut Context<'_>,
    ) {
        let Arrived { value, header, check } = arrived;
        self.tracer.ended(Step::Fill, value, result.as_ref().err().map(|status| status as _));
        if !self.arrived(result, cx) {
            self.sealed(value, filler.seal());
            return;
        }
        self.moved += u64::from(header.length);
        let next: [u8; HEADER_SIZE] =
            filler.bytes()[header.length as usize..][..HEADER_SIZE].try_into().expect("a header's length");
        if check {
            let work = Work::Check { length: header.length, digest: header.digest };
            let ticket = self.tracer.compute(value, || format!("file {} at {}", header.file, header.offset));
            self.compute.submit(Job::plain(work, Some(filler), &self.timeline, value, &self.returned, ticket));
        } else {
            self.sealed(value, filler.seal());
        }
        self.take_header(&next, cx);
    }

    /// The wait for a chunk's check has ended.
    fn waited(&mut self, value: u64, outcome: &Outcome<SemaphoreWait>, cx: &mut Context<'_>) {
        let failed = outcome.result.as_ref().err();
        if failed.is_none() {
            self.tracer.waited(value, outcome.lowered());
        }
        let Some(status) = failed.filter(|status| status.code() == Code::DataLoss) else { return };
        // The semaphore's failure ends every wait, in any order; the chunk at fault is the first that was not
        // signalled.
        let unsignalled = self.timeline.value() + 1;
        let mut waiting = self.writing.range(unsignalled..).map(|(_, writing)| writing);
        let Some(header) = waiting.find(|writing| writing.checked).map(|writing| writing.header) else { return };
        let name = self.targets.get(&header.file).map(|target| target.entry.name.to_string()).unwrap_or_default();
        let message = format!("{name}: the chunk at offset {} arrived corrupted ({status})", header.offset);
        self.fail(Fault::new(FaultKind::Corrupted, message), cx);
    }

    fn written(&mut self, value: u64, outlet: Outlet, result: Result<usize>, cx: &mut Context<'_>) {
        self.tracer.ended(Step::Empty, value, result.as_ref().err().map(|status| status as _));
        let Some(writing) = self.writing.get_mut(&value) else { return };
        writing.outlet = Some(outlet);
        writing.ended = true;
        let Header { file, length, offset, .. } = writing.header;
        let chunk_size = u64::from(self.incoming.chunk_size());
        if let Some(target) = self.targets.get_mut(&file) {
            target.writes -= 1;
            match result {
                Ok(_) => {
                    target.unsynced += u64::from(length);
                    if let Some(journal) = &mut target.journal {
                        journal.written(offset / chunk_size);
                    }
                }
                Err(status) if status.is_cancelled() => {}
                Err(status) => {
                    target.fail(Fault::new(FaultKind::Destination, format!("{}: {status}", target.entry.name)));
                }
            }
        }
        self.write_journal(file, cx);
        self.sync_early(file, cx);
        self.reclaim();
        self.finish_target(file, cx);
    }

    fn sealed(&mut self, value: u64, sealed: Sealed) {
        if let Some(writing) = self.writing.get_mut(&value) {
            writing.sealed = Some(sealed);
        }
        self.reclaim();
    }

    /// Puts buffers that came back from everyone into the pool.
    fn reclaim(&mut self) {
        let mut spare = std::mem::take(&mut self.spare);
        self.returned.take(&mut spare);
        for (value, sealed) in spare.drain(..) {
            if let Some(writing) = self.writing.get_mut(&value) {
                writing.sealed = Some(sealed);
            }
        }
        self.spare = spare;
        let pool = &mut self.pool;
        self.writing.retain(|_, writing| {
            if !writing.ended || writing.sealed.is_none() || writing.outlet.is_none() {
                return true;
            }
            if let Some(chunk) = writing.sealed.take().zip(writing.outlet.take()).and_then(|(a, b)| Chunk::join(a, b)) {
                pool.put(chunk);
            }
            false
        });
    }
}
