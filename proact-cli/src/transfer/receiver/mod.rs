//! The receiving side of a connection: one session.
//!
//! For each chunk one batch is submitted: the receive of its payload (and of the next frame's header behind it), and
//! `[wait for the chunk's value → write at its offset]`. When the receive has ended, the chunk goes to the compute
//! queue, which compares its digest and signals the value; a digest that differs fails the connection's semaphore
//! instead, and every write that waits fails with it: nothing corrupted is written.
//!
//! [`target`] is the life of one file, [`ending`] the end of a session, good or bad; this file is the stream of frames.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proact::memory::Part;
use proact::operation::{Chain, Context, Op, OperationId, Outcome, Receive, SemaphoreWait, Timer, Write};
use proact::resource::Socket;
use proact::status::{Code, Operation, Result, Status};
use proact::sync::Semaphore;
use proact::time::Time;
use rustls::ServerConfig;

use super::compute::{ComputeQueue, Job, Returned, Work};
use super::machine::{Base, Machine, Then, assemble};
use super::pool::Pool;
use super::random::Random;
use super::secure::Secure;
use super::slab::{Chunk, Filler, Outlet, Sealed};
use crate::wire::session::Incoming;
use crate::wire::{
    Accept, CONTROL_PAYLOAD_MAX, EntryKind, Fault, FaultKind, Frame, HEADER_SIZE, Header, Kind, Limits, Totals,
    WireError, decode_header,
};

mod directories;
mod ending;
mod journal;
pub mod kept;
mod resume;
mod secured;
pub mod server;
mod target;

use directories::MadeDirectory;
use ending::Ending;
use kept::{Claims, Keep};
use secured::Awaiting;
use target::Target;

pub use target::EARLY_SYNC;

/// What a receiver is told.
#[derive(Clone, Debug)]
pub struct ReceiveOptions {
    /// Where to write. It must exist.
    pub into: PathBuf,
    /// Replace existing files, even if the sender does not ask for it.
    pub overwrite: bool,
    /// How long the connection may be silent.
    pub timeout: Duration,
    /// What is accepted of a sender.
    pub limits: Limits,
    /// Most chunks in flight.
    pub in_flight: u16,
    /// Keep what was verified of unfinished files, where the sender asks for it. One receiver a directory may.
    pub keep: bool,
    /// Speak TLS, as this says.
    pub tls: Option<Arc<ServerConfig>>,
    /// Bytes that are written to a file before it is synced for the first time, and again for as many.
    pub sync_every: u64,
}

/// What became of a session, as the receiver knows it.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// Who sent.
    pub peer: String,
    /// What HELLO announced.
    pub announced: Totals,
    /// Files delivered.
    pub files: u64,
    /// Directories delivered.
    pub directories: u64,
    /// Bytes of the files delivered.
    pub bytes: u64,
    /// Entries that were not.
    pub failed: u64,
    /// Bytes of chunks that were there already, of an earlier transfer.
    pub resumed: u64,
    /// Chunks received.
    pub chunks: u64,
    /// The first fault.
    pub fault: Option<Fault>,
    /// Whether the user of this side interrupted it.
    pub interrupted: bool,
    /// From the first frame to the last.
    pub duration: Duration,
}

/// Files of a session that are open at once: while one is made durable, the next is received.
const TARGETS_MAX: usize = 32;
/// Bytes of replies that may wait for the peer to read them. Above it no further frame is taken in.
const OUTBOX_MAX: usize = 64 << 10;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Frames are being received.
    Receiving,
    /// DONE has come: what is left is to make everything durable and to say so.
    Finishing,
    /// Something ended the session; everything in flight is being ended and partial files removed.
    Failing,
    /// The connection is being closed.
    Closing,
    Ended,
}

/// A chunk that waits for its check, or is being written.
struct Writing {
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
struct Arrived {
    value: u64,
    header: Header,
    check: bool,
}

/// The receiving state machine of one connection.
pub struct Session {
    base: Base<Session>,
    compute: Rc<dyn ComputeQueue>,
    options: Rc<ReceiveOptions>,
    random: Random,
    phase: Phase,
    socket: Option<Socket>,
    incoming: Incoming,
    overwrite: bool,
    keep: Keep,
    timeline: Semaphore,
    value: u64,
    returned: Arc<Returned>,
    spare: Vec<(u64, Sealed)>,
    pool: Pool,
    writing: BTreeMap<u64, Writing>,
    /// A header that has arrived, and cannot be acted on yet.
    header: Option<Header>,
    secure: Option<Secure>,
    /// What the next plaintext of a TLS connection is.
    awaiting: Option<Awaiting>,
    receiving: Option<OperationId>,
    targets: HashMap<u32, Target>,
    /// The entry that was announced last is being made ready for.
    preparing: bool,
    /// The file whose chunks are coming.
    current: Option<u32>,
    made: Vec<MadeDirectory>,
    made_bytes: usize,
    /// Directories below the destination that were seen to be real ones.
    real: HashSet<PathBuf>,
    to_sync: BTreeSet<PathBuf>,
    outbox: VecDeque<u8>,
    sending: bool,
    ending: Ending,
    started: Time,
    last_progress: Time,
    timer: Option<OperationId>,
    watches: u64,
    beat: Option<OperationId>,
    /// Something has come since the last beat.
    heard: bool,
    /// Bytes of chunks received.
    pub moved: u64,
    /// The result.
    pub received: Received,
}

impl Machine for Session {
    fn base(&mut self) -> &mut Base<Session> {
        &mut self.base
    }

    fn step(&mut self, cx: &mut Context<'_>) {
        if self.phase == Phase::Receiving {
            self.act(cx);
        }
        self.go_on_ending(cx);
        self.send_replies(cx);
    }

    fn refused(&mut self, status: Status, cx: &mut Context<'_>) {
        self.fail(Fault::new(FaultKind::Other, status.to_string()), cx);
    }
}

impl Session {
    /// A session with the peer behind `socket`.
    pub fn new(
        compute: Rc<dyn ComputeQueue>,
        options: Rc<ReceiveOptions>,
        random: Random,
        socket: Socket,
        peer: String,
        claims: Claims,
    ) -> Rc<RefCell<Session>> {
        assemble(|base| Session {
            base,
            compute,
            random,
            phase: Phase::Receiving,
            socket: Some(socket),
            incoming: Incoming::new(options.limits),
            overwrite: options.overwrite,
            keep: Keep::new(claims),
            timeline: Semaphore::new(0),
            value: 0,
            returned: Arc::default(),
            spare: Vec::new(),
            pool: Pool::new(0, 0),
            writing: BTreeMap::new(),
            header: None,
            secure: None,
            awaiting: None,
            receiving: None,
            targets: HashMap::new(),
            preparing: false,
            current: None,
            made: Vec::new(),
            made_bytes: 0,
            real: HashSet::new(),
            to_sync: BTreeSet::new(),
            outbox: VecDeque::new(),
            sending: false,
            ending: Ending::default(),
            started: Time::ORIGIN,
            last_progress: Time::ORIGIN,
            timer: None,
            watches: 0,
            beat: None,
            heard: false,
            moved: 0,
            received: Received { peer, ..Received::default() },
            options,
        })
    }

    /// Begins: waits for HELLO.
    pub fn start(&mut self, cx: &mut Context<'_>) {
        self.started = cx.now();
        self.last_progress = self.started;
        self.watch(self.options.timeout, cx);
        if !self.begin_tls(cx) {
            return;
        }
        self.receive_header(cx);
    }

    /// Whether nothing is in flight any more.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// One timer a connection, set again when progress was made since: none a chunk.
    fn watch(&mut self, after: Duration, cx: &mut Context<'_>) {
        let deadline = self.last_progress + after;
        self.watches += 1;
        let watch = self.watches;
        self.timer = self.call(Timer::new(deadline), cx, move |session, _, outcome, cx| {
            // One that was replaced may have fired before its cancel.
            if watch == session.watches && outcome.result.is_ok() {
                session.timer = None;
                session.look_at_time(cx);
            }
        });
    }

    fn look_at_time(&mut self, cx: &mut Context<'_>) {
        let timeout = self.options.timeout;
        match self.phase {
            Phase::Failing => self.give_up_linger(cx),
            Phase::Receiving | Phase::Finishing => {
                // Only a peer that is waited for can be silent: this side's own disk has all the time it needs.
                if (!self.is_receiving() || self.preparing) && !self.sending {
                    self.last_progress = cx.now();
                }
                if cx.now() < self.last_progress + timeout {
                    return self.watch(timeout, cx);
                }
                let shaking_hands = self.secure.as_ref().is_some_and(|secure| !secure.established);
                let what = if shaking_hands { "did not finish the TLS handshake" } else { "was silent" };
                let message = format!("the sender {what} for {timeout:?}");
                self.fail(Fault::new(FaultKind::TimedOut, message), cx);
            }
            Phase::Closing | Phase::Ended => {}
        }
    }

    // The stream of frames.

    fn receive_header(&mut self, cx: &mut Context<'_>) {
        let Some(socket) = self.socket.clone() else { return };
        if self.secure.is_some() {
            let room = Chunk::new(HEADER_SIZE).split().0;
            return self.take(room, HEADER_SIZE, Awaiting::Header, cx);
        }
        self.last_progress = cx.now();
        let receive = Receive::exact(socket, vec![0; HEADER_SIZE]);
        self.receiving = self.call(receive, cx, |session, kind: Receive<Vec<u8>>, outcome, cx| {
            if session.arrived(outcome.result, cx) {
                session.take_header(&kind.buffer, cx);
            }
        });
    }

    /// A receive has ended. `true`: well, and its bytes count.
    fn arrived(&mut self, result: Result<usize>, cx: &mut Context<'_>) -> bool {
        self.receiving = None;
        if self.phase != Phase::Receiving {
            return false;
        }
        self.last_progress = cx.now();
        match result {
            Ok(_) => {
                self.heard = true;
                true
            }
            Err(status) => {
                let message = match status.code() {
                    Code::OutOfRange => String::from("the sender closed the connection before the transfer had ended"),
                    _ => status.to_string(),
                };
                self.ending.connection_lost = true;
                self.fail(Fault::new(FaultKind::Interrupted, message), cx);
                false
            }
        }
    }

    fn take_header(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        let head = bytes.first_chunk().expect("a header was received whole");
        match decode_header(head) {
            Ok(header) => self.header = Some(header),
            Err(error) => self.fail(Fault::from(&error), cx),
        }
    }

    /// Acts on the header that has arrived, if that can be done now.
    fn act(&mut self, cx: &mut Context<'_>) {
        let Some(header) = self.header else { return };
        // What follows an entry may lie in it, or be its chunks: the ground is made ready first.
        if self.is_receiving() || self.preparing || self.outbox.len() > OUTBOX_MAX {
            return;
        }
        if header.kind == Kind::Chunk {
            return self.receive_chunk(header, cx);
        }
        if header.kind == Kind::File && (self.targets.len() >= TARGETS_MAX || self.current.is_some()) {
            // In a file it is a broken rule, which the check below tells; between files it waits for its turn.
            if self.current.is_none() {
                return;
            }
        }
        self.header = None;
        if header.length > CONTROL_PAYLOAD_MAX {
            let error = WireError::Length { kind: header.kind, length: header.length };
            return self.fail(Fault::from(&error), cx);
        }
        let Some(socket) = self.socket.clone() else { return };
        let length = header.length as usize;
        if self.secure.is_some() {
            return self.take(Chunk::new(length).split().0, length, Awaiting::Control(header), cx);
        }
        self.last_progress = cx.now();
        let receive = Receive::exact(socket, vec![0; length]);
        self.receiving = self.call(receive, cx, move |session, kind: Receive<Vec<u8>>, outcome, cx| {
            if session.arrived(outcome.result, cx) {
                session.take_control(&header, &kind.buffer, cx);
            }
        });
    }

    fn take_control(&mut self, header: &Header, payload: &[u8], cx: &mut Context<'_>) {
        let frame = Frame::decode(header, payload);
        match frame.and_then(|frame| self.frame(frame, cx)) {
            Ok(()) if self.phase == Phase::Receiving => self.receive_header(cx),
            Ok(()) => {}
            Err(error) => self.fail(Fault::from(&error), cx),
        }
    }

    fn frame(&mut self, frame: Frame, cx: &mut Context<'_>) -> Result<(), WireError> {
        match frame {
            Frame::Hello(hello) => {
                self.incoming.hello(&hello)?;
                self.overwrite |= hello.overwrite;
                self.received.announced = hello.totals;
                let length = self.incoming.chunk_size() as usize + HEADER_SIZE;
                self.pool = Pool::new(self.options.in_flight.into(), length);
                let limits = self.options.limits;
                self.reply(&Frame::Accept(Accept { limits }));
                self.beat(cx);
                self.look_for_kept_files(hello.resume, cx);
            }
            Frame::File { file, entry } => {
                self.incoming.file(file, &entry)?;
                if entry.kind == EntryKind::File {
                    self.current = Some(file);
                }
                self.prepare(file, entry, cx);
            }
            Frame::FileEnd { file, end } => {
                let digest = self.targets.get(&file).map(|target| target.digest.finish()).unwrap_or_default();
                self.incoming.file_end(file, &end, &digest)?;
                self.end_file(file, None, cx);
            }
            Frame::Continue { file, chunks } => {
                self.incoming.go_on(file, chunks)?;
                self.go_on_behind(file, chunks, cx);
            }
            Frame::Alive => self.incoming.alive()?,
            Frame::Abandon { file, fault } => {
                self.incoming.abandon(file)?;
                self.end_file(file, Some(fault), cx);
            }
            Frame::Done(totals) => {
                self.incoming.done(&totals)?;
                self.phase = Phase::Finishing;
            }
            Frame::Abort(fault) => {
                self.ending.connection_lost = true;
                self.fail(fault, cx);
            }
            other => return Err(self.incoming.unexpected(other.kind())),
        }
        Ok(())
    }

    /// Submits one chunk whole: its receive, and the wait and write behind it.
    fn receive_chunk(&mut self, header: Header, cx: &mut Context<'_>) {
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
        let waited = self
            .then(|session, _, outcome: Outcome<SemaphoreWait>, cx| session.waited(outcome.result.err().as_ref(), cx));
        let write = Write::exact(file, header.offset, Part::new(outlet, 0..length));
        let written =
            self.then(move |session, kind: Write<Part<Outlet>>, outcome: Outcome<Write<Part<Outlet>>>, cx| {
                session.written(value, kind.buffer.into_inner(), outcome.result, cx);
            });
        let pair = Chain::new((Op::new(wait, waited), Op::new(write, written)));
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

    fn chunk_arrived(&mut self, arrived: Arrived, filler: Filler, result: Result<usize>, cx: &mut Context<'_>) {
        let Arrived { value, header, check } = arrived;
        if !self.arrived(result, cx) {
            self.sealed(value, filler.seal());
            return;
        }
        self.moved += u64::from(header.length);
        let next: [u8; HEADER_SIZE] =
            filler.bytes()[header.length as usize..][..HEADER_SIZE].try_into().expect("a header's length");
        if check {
            let work = Work::Check { length: header.length, digest: header.digest };
            self.compute.submit(Job::plain(work, Some(filler), &self.timeline, value, &self.returned));
        } else {
            self.sealed(value, filler.seal());
        }
        self.take_header(&next, cx);
    }

    /// The wait for a chunk's check has ended.
    fn waited(&mut self, failed: Option<&Status>, cx: &mut Context<'_>) {
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

    fn stopped() -> Status {
        Status::new(Code::Cancelled, Operation::None).with_message("the session has ended")
    }
}
