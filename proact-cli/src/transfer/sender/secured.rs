//! The sending side over TLS.

use std::sync::Arc;

use proact::operation::{Chain, Close, Context, Op, Receive, Send};
use proact::status::Result;

use proact::resource::Socket;

use super::{Phase, Sender};
use crate::exit::{Failure, Place};
use crate::transfer::machine::Machine;
use crate::transfer::secure::{Secure, Secured};
use crate::transfer::tls::{Channel, Layouts, Task, Turn};
use crate::transfer::trace::Tracer;

impl Secured for Sender {
    fn secure(&mut self) -> Option<&mut Secure> {
        self.secure.as_mut()
    }

    fn tracer(&self) -> &Tracer {
        &self.frames.tracer
    }

    fn turned(&mut self, turn: Turn, cx: &mut Context<'_>) {
        if let Some(outgoing) = turn.outgoing {
            return self.flushed(outgoing, cx);
        }
        if matches!(self.phase, Phase::Closing | Phase::Ended) || self.doom.is_some() {
            return;
        }
        let in_handshake = self.phase == Phase::Securing;
        self.inbox.extend_from_slice(&turn.plain);
        if !turn.plain.is_empty() {
            self.last_progress = cx.now();
            self.read_replies(cx);
        }
        if matches!(self.phase, Phase::Closing | Phase::Ended) {
            return;
        }
        if let Some(fault) = turn.fault {
            // The first cause that was seen is told by the side that saw it.
            self.doom = Some(fault.into_failure(&self.options.peer));
            return if in_handshake { self.flush(cx) } else { self.meet_doom(cx) };
        }
        if turn.closed {
            return self.ended_early(cx);
        }
        if in_handshake && (turn.wants_flush || turn.established) {
            self.flush(cx);
        }
        self.pull(cx);
    }
}

impl Sender {
    pub(super) fn begin_handshake(&mut self, cx: &mut Context<'_>) {
        let Some(tls) = &self.options.tls else { return };
        match Channel::client(tls) {
            Ok(channel) => {
                self.phase = Phase::Securing;
                self.last_progress = cx.now();
                self.frames.seal_by(Arc::clone(&channel), Layouts::default());
                self.secure = Some(Secure::new(channel, self.compute.clone()));
                self.flush(cx);
                self.pull(cx);
            }
            Err(status) => self.fail(Failure::from_status(Place::Network, self.options.peer.clone(), &status), cx),
        }
    }

    /// Has what the connection wants to say sealed. Before the handshake's end alone: after it frames are all that is
    /// said, until the good-bye.
    fn flush(&mut self, cx: &mut Context<'_>) {
        self.task(Task::Flush { plain: Vec::new(), close: false }, cx);
    }

    fn flushed(&mut self, outgoing: Vec<u8>, cx: &mut Context<'_>) {
        let Some(socket) = self.socket.clone() else { return };
        if self.phase == Phase::Closing {
            // Everything that was sent has been read, for RESULT has come: this little is sent at once.
            self.socket = None;
            let said = self.then(|_: &mut Sender, _: Send<Vec<u8>>, _, _| {});
            let closed = self.then(|_: &mut Sender, _: Close<Socket>, _, _| {});
            let good_bye = Send::exact(socket.clone(), outgoing);
            self.submit(Chain::new((Op::new(good_bye, said), Op::new(Close::new(socket), closed))), 2, cx);
            return;
        }
        let doomed = self.doom.is_some();
        if outgoing.is_empty() {
            if doomed {
                self.meet_doom(cx);
            }
        } else {
            self.call(Send::exact(socket, outgoing), cx, move |sender, _, outcome, cx| {
                let result: Result<usize> = outcome.result;
                match result {
                    _ if doomed => sender.meet_doom(cx),
                    Err(status) if !status.is_cancelled() && sender.send_failure.is_none() => {
                        sender.send_failure = Some(status);
                    }
                    _ => {}
                }
            });
        }
        let established = self.secure.as_ref().is_some_and(|secure| secure.established);
        if established && self.phase == Phase::Securing && !doomed {
            // Its frames are submitted behind the handshake's last bytes, on the same stream.
            self.greet(cx);
        }
    }

    fn meet_doom(&mut self, cx: &mut Context<'_>) {
        if let Some(failure) = self.doom.take() {
            self.fail(failure, cx);
        }
    }

    /// Receives what is to be opened.
    fn pull(&mut self, cx: &mut Context<'_>) {
        let (Some(socket), Some(secure)) = (self.socket.clone(), &mut self.secure) else { return };
        if secure.pulling || secure.over {
            return;
        }
        let buffer = secure.raw();
        self.call(Receive::some(socket, buffer), cx, |sender, kind: Receive<Vec<u8>>, outcome, cx| {
            if matches!(sender.phase, Phase::Closing | Phase::Ended) {
                return;
            }
            match outcome.result {
                Ok(0) => sender.task(Task::Ended, cx),
                Ok(count) => sender.task(Task::Open(kind.buffer, count), cx),
                Err(status) => sender.lost(status, cx),
            }
        });
    }

    /// RESULT has come: all is said.
    pub(super) fn say_good_bye(&mut self, cx: &mut Context<'_>) {
        if self.secure.is_none() {
            return self.close(cx);
        }
        self.phase = Phase::Closing;
        if let Some(timer) = self.timer.take() {
            // It has just fired: its callback comes, and sees the phase.
            let _ = cx.cancel(timer);
        }
        self.task(Task::Flush { plain: Vec::new(), close: true }, cx);
    }
}
