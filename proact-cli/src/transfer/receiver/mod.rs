//! The receiving side of a connection: one session.
//!
//! For each chunk one batch is submitted: the receive of its payload (and of the next frame's header behind it), and
//! `[wait for the chunk's value → write at its offset]`. When the receive has ended, the chunk goes to the compute
//! queue, which compares its digest and signals the value; a digest that differs fails the connection's semaphore
//! instead, and every write that waits fails with it: nothing corrupted is written.
//!
//! [`frames`] is the stream, [`chunks`] the life of a chunk, [`target`] that of a file, and [`ending`] the end of a
//! session, good or bad.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proact::operation::{Context, OperationId, Timer};
use proact::resource::Socket;
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::Time;
use rustls::ServerConfig;

use super::compute::{ComputeQueue, Returned};
use super::machine::{Base, Machine, assemble};
use super::pool::Pool;
use super::random::Random;
use super::secure::Secure;
use super::slab::Sealed;
use super::trace::Tracer;
use crate::wire::session::Incoming;
use crate::wire::{Fault, FaultKind, Header, Limits, Totals};

mod chunks;
mod directories;
mod ending;
mod frames;
mod journal;
pub mod kept;
mod resume;
mod secured;
pub mod server;
mod target;

use chunks::Writing;
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
    /// Is told of each chunk's steps.
    pub tracer: Tracer,
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
            tracer: Tracer::default(),
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

    fn stopped() -> Status {
        Status::new(Code::Cancelled, Operation::None).with_message("the session has ended")
    }
}
