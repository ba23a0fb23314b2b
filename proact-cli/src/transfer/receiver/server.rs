//! Accepting connections: a session each, as many at once as the bound allows.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use proact::operation::{Accept, Close, Context, OperationId, Timer};
use proact::resource::Socket;
use proact::status::Status;

use super::kept::Claims;
use super::{ReceiveOptions, Received, Session};
use crate::transfer::compute::ComputeQueue;
use crate::transfer::machine::{Base, Machine, assemble};
use crate::transfer::random::Random;
use crate::transfer::trace::{Role, Trace};

/// Sessions at once. With the receiver's chunk limits this bounds its memory.
pub const SESSIONS_MAX: usize = 16;
/// How long accepting rests after it failed: the system has no descriptor left, say.
const REST: Duration = Duration::from_millis(100);

/// The accepting state machine.
pub struct Server {
    base: Base<Server>,
    compute: Rc<dyn ComputeQueue>,
    options: Rc<ReceiveOptions>,
    random: Random,
    listener: Option<Socket>,
    /// How many more connections are accepted; `None` without a limit.
    left: Option<u64>,
    waiting: Option<OperationId>,
    sessions: Vec<Rc<RefCell<Session>>>,
    claims: Claims,
    stopped: bool,
    trace: Option<Trace>,
}

impl Machine for Server {
    fn base(&mut self) -> &mut Base<Server> {
        &mut self.base
    }

    fn step(&mut self, cx: &mut Context<'_>) {
        if self.left == Some(0) || self.stopped {
            // The port is free again as soon as nobody is to come any more.
            if let Some(listener) = self.listener.take() {
                self.call(Close::new(listener), cx, |_, _, _, _| {});
            }
        } else if self.waiting.is_none() && self.sessions.len() < SESSIONS_MAX {
            self.accept(cx);
        }
    }

    fn refused(&mut self, _: Status, _: &mut Context<'_>) {
        self.stopped = true;
    }
}

impl Server {
    /// A server on `listener`; with `once` for one connection.
    pub fn new(
        listener: Socket,
        compute: Rc<dyn ComputeQueue>,
        options: ReceiveOptions,
        random: Random,
        once: bool,
    ) -> Rc<RefCell<Server>> {
        assemble(|base| Server {
            base,
            compute,
            options: Rc::new(options),
            random,
            listener: Some(listener),
            left: once.then_some(1),
            waiting: None,
            sessions: Vec::new(),
            claims: Claims::default(),
            stopped: false,
            trace: None,
        })
    }

    /// Has every step of the sessions to come told to `trace`.
    pub fn record(&mut self, trace: Trace) {
        self.trace = Some(trace);
    }

    fn accept(&mut self, cx: &mut Context<'_>) {
        let Some(listener) = self.listener.clone() else { return };
        self.waiting = self.call(Accept::new(listener), cx, |server, _, outcome, cx| {
            server.waiting = None;
            match outcome.result {
                Ok(_) if server.stopped => {}
                Ok(accepted) => {
                    let peer = accepted.peer().to_string();
                    server.begin(accepted.socket, peer, cx)
                }
                Err(status) if status.is_cancelled() => server.stopped = true,
                Err(_) => {
                    let again = cx.now() + REST;
                    server.waiting = server.call(Timer::new(again), cx, |server, _, _, _| server.waiting = None);
                }
            }
        });
    }

    fn begin(&mut self, socket: Socket, peer: String, cx: &mut Context<'_>) {
        self.left = self.left.map(|left| left - 1);
        // A socket without it is slower at the end of a transfer, and no worse.
        let _ = socket.set_no_delay(true);
        let random = Random::seeded(&self.random.bytes());
        let session =
            Session::new(self.compute.clone(), self.options.clone(), random, socket, peer, self.claims.clone());
        if let Some(trace) = &self.trace {
            session.borrow_mut().tracer = trace.side(Role::Receiver, "receiver");
        }
        session.borrow_mut().start(cx);
        self.sessions.push(session);
    }

    /// Ends everything: no connection is accepted any more, and each session is interrupted.
    pub fn stop(&mut self, cx: &mut Context<'_>) {
        self.stopped = true;
        if let Some(waiting) = self.waiting.take() {
            // One that has just ended needs no cancel.
            let _ = cx.cancel(waiting);
        }
        for session in &self.sessions {
            session.borrow_mut().interrupt(cx);
        }
    }

    /// The results of the sessions that have ended since the last call.
    pub fn reap(&mut self) -> Vec<Received> {
        let mut ended = Vec::new();
        self.sessions.retain(|session| {
            let mut session = session.borrow_mut();
            if session.is_ended() {
                ended.push(std::mem::take(&mut session.received));
            }
            !session.is_ended()
        });
        ended
    }

    /// Whether there is nothing left to do, and nothing in flight.
    pub fn is_over(&self) -> bool {
        (self.stopped || self.left == Some(0)) && self.sessions.is_empty() && self.base.outstanding == 0
    }

    /// Bytes of chunks that the sessions in progress have received.
    pub fn moved(&self) -> u64 {
        self.sessions.iter().map(|session| session.borrow().moved).sum()
    }

    /// Bytes that the sessions in progress will have received.
    pub fn announced(&self) -> u64 {
        self.sessions.iter().map(|session| session.borrow().received.announced.bytes).sum()
    }
}
