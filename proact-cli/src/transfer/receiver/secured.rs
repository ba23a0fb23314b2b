//! The receiving side over TLS.
//!
//! What the plain side receives exactly into a buffer is here asked of the compute queue, which opens records into it;
//! bytes are received from the socket while something is asked for and not there yet. So no more than one receive's
//! bytes are ever opened ahead.

use proact::operation::{Context, Receive};

use super::chunks::Arrived;
use super::{Phase, Session};
use crate::transfer::machine::Machine;
use crate::transfer::secure::{Secure, Secured};
use crate::transfer::slab::Filler;
use crate::transfer::tls::{Channel, Task, Turn};
use crate::transfer::trace::Tracer;
use crate::wire::{Fault, FaultKind, Header};

/// What is being received.
pub(super) enum Awaiting {
    Header,
    Control(Header),
    Chunk(Arrived),
}

impl Secured for Session {
    fn secure(&mut self) -> Option<&mut Secure> {
        self.secure.as_mut()
    }

    fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    fn turned(&mut self, turn: Turn, cx: &mut Context<'_>) {
        if let (true, Some(secure)) = (turn.wants_flush, &mut self.secure) {
            secure.flush_due = true;
        }
        if let Some(outgoing) = turn.outgoing {
            match self.socket.clone() {
                Some(socket) if !outgoing.is_empty() => self.send_bytes(socket, outgoing, cx),
                _ => self.sending = false,
            }
        }
        if self.phase != Phase::Receiving {
            return;
        }
        if let Some(buffer) = turn.taken {
            self.taken(buffer, cx);
        }
        if let Some(fault) = turn.fault {
            let cut_off = fault.kind == FaultKind::Interrupted;
            self.ending.connection_lost |= cut_off;
            // What the other side is told is TLS's own alert.
            self.ending.no_abort = true;
            return self.fail(fault, cx);
        }
        if turn.closed && self.awaiting.is_some() {
            self.ending.connection_lost = true;
            let message = "the sender closed the connection before the transfer had ended";
            return self.fail(Fault::new(FaultKind::Interrupted, message), cx);
        }
        self.pull(cx);
    }
}

impl Session {
    /// Makes the connection's TLS, where there is to be any. `false`: it cannot be made.
    pub(super) fn begin_tls(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(config) = &self.options.tls else { return true };
        match Channel::server(config) {
            Ok(channel) => {
                self.secure = Some(Secure::new(channel, self.compute.clone()));
                true
            }
            Err(status) => {
                self.fail(Fault::new(FaultKind::Other, status.to_string()), cx);
                false
            }
        }
    }

    /// Whether something is waited for from the sender.
    pub(super) fn is_receiving(&self) -> bool {
        self.receiving.is_some() || self.awaiting.is_some()
    }

    /// Whether the sender can be told in frames why the session ends.
    pub(super) fn can_say_abort(&self) -> bool {
        !self.ending.no_abort && self.secure.as_ref().is_none_or(|secure| secure.established)
    }

    /// Whether TLS itself has something to say.
    pub(super) fn is_flush_due(&self) -> bool {
        self.secure.as_ref().is_some_and(|secure| secure.flush_due)
    }

    /// Asks for the next `length` bytes of plaintext.
    pub(super) fn take(&mut self, buffer: Filler, length: usize, awaiting: Awaiting, cx: &mut Context<'_>) {
        // Until the handshake is over the time it has runs from the connection's first moment.
        if self.secure.as_ref().is_some_and(|secure| secure.established) {
            self.last_progress = cx.now();
        }
        self.awaiting = Some(awaiting);
        self.task(Task::Take(buffer, length), cx);
    }

    fn taken(&mut self, buffer: Filler, cx: &mut Context<'_>) {
        let count = buffer.bytes().len();
        let awaited = self.awaiting.take();
        if let Some(Awaiting::Chunk(arrived)) = awaited {
            return self.chunk_arrived(arrived, buffer, Ok(count), cx);
        }
        if !self.arrived(Ok(count), cx) {
            return;
        }
        match awaited {
            Some(Awaiting::Header) => self.take_header(buffer.bytes(), cx),
            Some(Awaiting::Control(header)) => self.take_control(&header, buffer.bytes(), cx),
            Some(Awaiting::Chunk(_)) | None => {}
        }
    }

    /// Receives what is to be opened, while something is asked for.
    fn pull(&mut self, cx: &mut Context<'_>) {
        if self.awaiting.is_none() || self.phase != Phase::Receiving {
            return;
        }
        let (Some(socket), Some(secure)) = (self.socket.clone(), &mut self.secure) else { return };
        if secure.pulling || secure.over {
            return;
        }
        let buffer = secure.raw();
        let receive = Receive::some(socket, buffer);
        self.receiving = self.call(receive, cx, |session, kind: Receive<Vec<u8>>, outcome, cx| {
            session.receiving = None;
            if session.phase != Phase::Receiving {
                return;
            }
            match outcome.result {
                Ok(0) => session.task(Task::Ended, cx),
                Ok(count) => {
                    if session.secure.as_ref().is_some_and(|secure| secure.established) {
                        session.last_progress = cx.now();
                        session.heard = true;
                    }
                    session.task(Task::Open(kind.buffer, count), cx);
                }
                Err(status) => drop(session.arrived(Err(status), cx)),
            }
        });
    }

    /// Has what waits in the outbox sealed, and what TLS itself has to say. After the last frame nothing follows.
    pub(super) fn seal_replies(&mut self, cx: &mut Context<'_>) {
        let Some(secure) = &mut self.secure else { return };
        let speaks = secure.established && !self.outbox.is_empty();
        if !speaks && !secure.flush_due {
            return;
        }
        secure.flush_due = false;
        self.sending = true;
        let plain: Vec<u8> = if speaks { self.outbox.drain(..).collect() } else { Vec::new() };
        let close = self.ending.said && self.outbox.is_empty();
        self.task(Task::Flush { plain, close }, cx);
    }
}
