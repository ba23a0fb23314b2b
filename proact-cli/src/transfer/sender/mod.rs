//! The sending side of a connection.
//!
//! For each chunk one batch is submitted: the file read, and `[wait for the chunk's value → send]`. When the read has
//! ended, the chunk goes to the compute queue, which digests it, writes the header in front of it, and signals the
//! value; the send then starts, in the kernel itself where the backend can. Control frames take the same way, so that
//! the stream's order is the order of values.
//!
//! Frames of a file are submitted only when the fate of the file before is known: if that one cannot be finished, its
//! remaining frames are taken back and ABANDON takes their place.

use std::cell::RefCell;
use std::collections::{HashSet, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proact::memory::Part;
use proact::operation::{
    Chain, Close, Connect, Context, Op, OperationId, Outcome, Reached, Receive, SemaphoreWait, Send, Timer,
};
use proact::proactor::Handle;
use proact::resource::{Address, Domain, Socket, SocketOptions};
use proact::status::{Code, Operation, Result, Status};
use proact::time::Time;

use super::compute::{ComputeQueue, Work};
use super::machine::{Base, Machine, Then, assemble};
use super::pool::Pool;
use super::secure::Secure;
use super::slab::{Filler, Outlet};
use super::tls::{Client, Layout};
use super::trace::{Step, Tracer};
use crate::exit::{Exit, Failure, Place};
use crate::plan::Plan;
use crate::wire::session::Replies;
use crate::wire::{CONTROL_PAYLOAD_MAX, Frame, HEADER_SIZE, Hello, SessionId, WireError, is_tls};

mod files;
mod frames;
mod replies;
mod resume;
mod secured;

use files::{Current, Sources};
use frames::{Content, Frames};

/// What the sender is told.
#[derive(Clone, Debug)]
pub struct SendOptions {
    /// The chunk size to ask for.
    pub chunk_size: u32,
    /// Most chunks in flight.
    pub in_flight: u16,
    /// Ask that existing files be replaced.
    pub overwrite: bool,
    /// Ask that what was verified of unfinished files be kept, and go on behind it.
    pub resume: bool,
    /// Open what symbolic links lead to.
    pub follow: bool,
    /// How long the connection may be silent.
    pub timeout: Duration,
    /// What the receiver is called in messages.
    pub peer: String,
    /// The receiver's addresses, tried in turn.
    pub addresses: Vec<Address>,
    /// Speak TLS, to a receiver that is who this says.
    pub tls: Option<Client>,
}

/// Failures that are told one by one; the others are counted.
pub const FAILURES_MAX: usize = 20;
/// Control frames in flight. They are small; chunks are what memory is bounded for.
const CONTROLS_MAX: usize = 32;
/// Bytes that replies are received in at a time.
const REPLY_ROOM: usize = 64 << 10;

/// What became of a transfer, as the sender knows it.
#[derive(Default, Debug)]
pub struct Sent {
    /// Entries that were not delivered, and what ended the session, first one first.
    pub failures: Vec<Failure>,
    /// How many entries were not delivered.
    pub failed: u64,
    /// Files delivered.
    pub files: u64,
    /// Directories delivered.
    pub directories: u64,
    /// Bytes of the files delivered.
    pub bytes: u64,
    /// Bytes of chunks that the receiver had already, and that were not sent.
    pub resumed: u64,
    /// What a person may want to know of it besides: files that had to begin anew, and why.
    pub notices: Vec<String>,
    /// Chunks sent.
    pub chunks: u64,
    /// Chunks whose wait was lowered.
    pub lowered: u64,
    /// Chunks whose wait was not.
    pub portable: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Connecting,
    /// The TLS handshake.
    Securing,
    /// HELLO is on its way, or ACCEPT.
    Greeting,
    Sending,
    /// Everything in flight is being ended.
    Closing,
    Ended,
}

type Pair = Chain<(Box<Op<SemaphoreWait, Then<SemaphoreWait>>>, Box<Op<Send<Part<Outlet>>, Then<Send<Part<Outlet>>>>>)>;

/// The sending state machine.
pub struct Sender {
    base: Base<Sender>,
    handle: Handle,
    compute: Rc<dyn ComputeQueue>,
    plan: Arc<Plan>,
    options: SendOptions,
    addresses: VecDeque<Address>,
    phase: Phase,
    socket: Option<Socket>,
    secure: Option<Secure>,
    /// What is told once the peer has been told, in TLS.
    doom: Option<Failure>,
    hello: Hello,
    chunk_size: u32,
    replies: Replies,
    inbox: Vec<u8>,
    frames: Frames,
    sources: Sources,
    next_entry: u32,
    current: Option<Current>,
    done_sent: bool,
    abandoned: HashSet<u32>,
    last_progress: Time,
    /// When the receiver was last told that this side's disk is at work.
    last_beat: Time,
    timer: Option<OperationId>,
    /// A send failed: the peer may have said why, so its last words are waited for.
    send_failure: Option<Status>,
    /// Bytes of chunks sent.
    pub moved: u64,
    /// The result.
    pub sent: Sent,
}

impl Machine for Sender {
    fn base(&mut self) -> &mut Base<Sender> {
        &mut self.base
    }

    fn step(&mut self, cx: &mut Context<'_>) {
        while self.phase == Phase::Sending && self.advance(cx) {}
        if self.phase == Phase::Closing && self.base.outstanding == 0 {
            self.phase = Phase::Ended;
        }
    }

    fn refused(&mut self, status: Status, cx: &mut Context<'_>) {
        self.fail(Failure::from_status(Place::Backend, "transfer", &status), cx);
    }
}

impl Sender {
    /// A sender of `plan`.
    pub fn new(
        handle: Handle,
        compute: Rc<dyn ComputeQueue>,
        plan: Arc<Plan>,
        options: SendOptions,
        session: SessionId,
    ) -> Rc<RefCell<Sender>> {
        let totals = plan.totals();
        let (chunk_size, overwrite, resume) = (options.chunk_size, options.overwrite, options.resume);
        let hello = Hello { session, chunk_size, totals, overwrite, resume };
        let controls = Pool::new(CONTROLS_MAX, Layout::room(HEADER_SIZE + CONTROL_PAYLOAD_MAX as usize));
        assemble(|base| Sender {
            base,
            addresses: options.addresses.clone().into(),
            sources: Sources::new(options.follow),
            handle,
            compute,
            plan,
            options,
            phase: Phase::Connecting,
            socket: None,
            secure: None,
            doom: None,
            hello,
            chunk_size: 0,
            replies: Replies::new(totals.entries),
            inbox: Vec::new(),
            frames: Frames::new(Pool::new(0, 0), controls),
            next_entry: 0,
            current: None,
            done_sent: false,
            abandoned: HashSet::new(),
            last_progress: Time::ORIGIN,
            last_beat: Time::ORIGIN,
            timer: None,
            send_failure: None,
            moved: 0,
            sent: Sent::default(),
        })
    }

    /// Has every step told to `tracer`, from now on.
    pub fn record(&mut self, tracer: Tracer) {
        self.frames.tracer = tracer;
    }

    /// Begins: connects.
    pub fn start(&mut self, cx: &mut Context<'_>) {
        self.last_progress = cx.now();
        self.watch(cx);
        self.connect(None, cx);
    }

    /// Whether nothing is in flight any more.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Ends the transfer with `failure`: everything in flight is called back.
    pub fn fail(&mut self, failure: Failure, cx: &mut Context<'_>) {
        if matches!(self.phase, Phase::Closing | Phase::Ended) {
            return;
        }
        self.frames.tracer.failed(&failure);
        self.sent.failures.insert(0, failure);
        let delivered = self.sent.files + self.sent.directories;
        self.sent.failed = u64::from(self.hello.totals.entries) - delivered;
        let cancelled = Status::new(Code::Cancelled, Operation::None).with_message("the transfer has ended");
        self.frames.timeline().fail(cancelled);
        self.close(cx);
    }

    /// One entry is not delivered; the session goes on.
    fn note(&mut self, failure: Failure) {
        self.sent.failed += 1;
        if self.sent.failures.len() < FAILURES_MAX {
            self.sent.failures.push(failure);
        }
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::Closing;
        if let Some(timer) = self.timer.take() {
            // It has just fired: its callback comes, and sees the phase.
            let _ = cx.cancel(timer);
        }
        if let Some(socket) = self.socket.take() {
            self.call(Close::new(socket), cx, |_, _, _, _| {});
        }
    }

    fn connect(&mut self, before: Option<Status>, cx: &mut Context<'_>) {
        let Some(address) = self.addresses.pop_front() else {
            let status = before.unwrap_or_else(|| {
                Status::new(Code::NotFound, Operation::SocketConnect).with_message("the name has no address")
            });
            return self.fail(Failure::from_status(Place::Network, self.options.peer.clone(), &status), cx);
        };
        let options = SocketOptions { no_delay: true, ..SocketOptions::default() };
        match self.handle.socket(Domain::of(&address), &options) {
            Ok(socket) => {
                self.socket = Some(socket.clone());
                self.call(Connect::new(socket, address), cx, |sender, _, outcome, cx| match outcome.result {
                    _ if sender.phase != Phase::Connecting => {}
                    Ok(()) if sender.options.tls.is_some() => sender.begin_handshake(cx),
                    Ok(()) => sender.greet(cx),
                    Err(status) => sender.connect(Some(status), cx),
                });
            }
            Err(status) => self.connect(Some(status), cx),
        }
    }

    fn greet(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::Greeting;
        self.last_progress = cx.now();
        let hello = Frame::Hello(self.hello);
        self.control(&hello, cx);
        if self.secure.is_none() {
            self.receive(vec![0; REPLY_ROOM], cx);
        }
    }

    /// One timer a connection, set again when progress was made since: none a chunk.
    fn watch(&mut self, cx: &mut Context<'_>) {
        let deadline = self.last_progress + self.options.timeout;
        self.timer = self.call(Timer::new(deadline), cx, |sender, _, outcome, cx| {
            sender.timer = None;
            if outcome.result.is_err() || matches!(sender.phase, Phase::Closing | Phase::Ended) {
                return;
            }
            if cx.now() < sender.last_progress + sender.options.timeout {
                return sender.watch(cx);
            }
            let what = match sender.phase {
                Phase::Connecting => "did not answer",
                Phase::Securing => "did not finish the TLS handshake",
                _ => "was silent",
            };
            let status = Status::new(Code::DeadlineExceeded, Operation::None)
                .with_message(format!("the receiver {what} for {:?}", sender.options.timeout));
            sender.fail(Failure::from_status(Place::Network, sender.options.peer.clone(), &status), cx);
        });
    }

    /// The operations that send the frame with `value` once that is signalled.
    fn pair(&mut self, value: u64, outlet: Outlet, length: usize) -> Option<Pair> {
        let socket = self.socket.clone()?;
        let wait = SemaphoreWait::new(self.frames.timeline().clone(), value);
        let waited = self.then(move |sender, _, outcome: Outcome<SemaphoreWait>, _| sender.waited(value, &outcome));
        let sent = self.then(move |sender, kind: Send<Part<Outlet>>, outcome: Outcome<Send<Part<Outlet>>>, cx| {
            sender.emptied(value, kind.buffer.into_inner(), outcome.result, cx);
        });
        let send = Send::exact(socket, Part::new(outlet, 0..length));
        self.frames.tracer.submitted(Step::Empty, value, || format!("frame {value}, {length} bytes"));
        Some(Chain::new((Op::new(wait, waited), Op::new(send, sent))))
    }

    /// Puts a control frame into the stream. `false`: no buffer is free for it now.
    fn control(&mut self, frame: &Frame, cx: &mut Context<'_>) -> bool {
        let mut bytes = Vec::with_capacity(HEADER_SIZE + 128);
        frame.encode(&mut bytes);
        let Some((value, filler)) = self.place_control(&bytes, cx) else { return false };
        self.frames.set(value, Content::Ready(Work::Pass, filler));
        self.frames.hand(&*self.compute);
        true
    }

    fn place_control(&mut self, bytes: &[u8], cx: &mut Context<'_>) -> Option<(u64, Filler)> {
        let chunk = self.frames.controls.take()?;
        let (value, layout, mut filler, outlet) = self.frames.place(chunk, bytes.len(), None);
        filler.bytes_mut()[layout.lead..layout.wire()].copy_from_slice(bytes);
        let pair = self.pair(value, outlet, layout.wire())?;
        let (wait, _) = self.submit(pair, 2, cx)?;
        self.frames.set_wait(value, wait);
        Some((value, filler))
    }

    fn waited(&mut self, value: u64, outcome: &Outcome<SemaphoreWait>) {
        let reached: &Result<Reached> = &outcome.result;
        if reached.is_ok() {
            self.frames.tracer.waited(value, outcome.lowered());
        }
        if reached.is_ok() && self.frames.payload(value).is_some() {
            let count = if outcome.lowered() { &mut self.sent.lowered } else { &mut self.sent.portable };
            *count += 1;
        }
    }

    /// The send of a frame has ended.
    fn emptied(&mut self, value: u64, outlet: Outlet, result: Result<usize>, cx: &mut Context<'_>) {
        let (payload, cancelled) = self.frames.emptied(value, outlet);
        self.frames.tracer.ended(Step::Empty, value, result.as_ref().err().map(|status| status as _));
        match result {
            Ok(_) => {
                self.last_progress = cx.now();
                if let Some(payload) = payload {
                    self.moved += u64::from(payload);
                    self.sent.chunks += 1;
                }
            }
            Err(status) if !cancelled && !status.is_cancelled() && self.send_failure.is_none() => {
                self.send_failure = Some(status);
            }
            Err(_) => {}
        }
    }

    /// The connection broke: the first cause that was seen counts.
    fn lost(&mut self, status: Status, cx: &mut Context<'_>) {
        let status = self.send_failure.take().unwrap_or(status);
        self.fail(Failure::from_status(Place::Network, self.options.peer.clone(), &status), cx);
    }

    fn receive(&mut self, buffer: Vec<u8>, cx: &mut Context<'_>) {
        let Some(socket) = self.socket.clone() else { return };
        self.call(Receive::some(socket, buffer), cx, |sender, kind: Receive<Vec<u8>>, outcome, cx| {
            if matches!(sender.phase, Phase::Closing | Phase::Ended) {
                return;
            }
            match outcome.result {
                Ok(0) => sender.ended_early(cx),
                Ok(count) => {
                    sender.last_progress = cx.now();
                    sender.inbox.extend_from_slice(&kind.buffer[..count]);
                    sender.read_replies(cx);
                    if !matches!(sender.phase, Phase::Closing) {
                        sender.receive(kind.buffer, cx);
                    }
                }
                Err(status) => sender.lost(status, cx),
            }
        });
    }

    /// The receiver has closed the connection.
    fn ended_early(&mut self, cx: &mut Context<'_>) {
        if is_tls(&self.inbox) {
            // An alert, which is shorter than a header.
            return self.protocol_failure(WireError::Tls, cx);
        }
        let status = Status::new(Code::Unavailable, Operation::SocketReceive)
            .with_message("the receiver closed the connection before the transfer had ended");
        self.lost(status, cx);
    }

    fn protocol_failure(&mut self, why: impl std::fmt::Display, cx: &mut Context<'_>) {
        let peer = self.options.peer.clone();
        self.fail(Failure::new(Exit::Network, format!("{peer}: {why}")), cx);
    }
}
