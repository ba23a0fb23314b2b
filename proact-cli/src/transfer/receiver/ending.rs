//! The end of a session: everything durable and told, or everything called back and removed.

use std::time::Duration;

use proact::operation::{Close, Context, Receive, Send, Timer};
use proact::resource::{Shutdown, Socket};
use proact::status::Result;

use super::secured::Awaiting;
use super::{OUTBOX_MAX, Phase, Session};
use crate::transfer::machine::Machine;
use crate::transfer::trace::Step;
use crate::wire::{Fault, FaultKind, Frame, Totals};

/// How long a peer is listened to after ABORT, so that it reads it: closing with unread data in the queue would reset
/// the connection, and ABORT with it.
const LINGER: Duration = Duration::from_secs(2);
/// How often a peer is told that the disk is at work: well within any time-out that a person would choose.
const BEAT: Duration = Duration::from_millis(100);
/// Bytes that are taken in and dropped at a time meanwhile.
const LINGER_ROOM: usize = 64 << 10;

/// What the end of a session needs to remember.
#[derive(Default)]
pub(super) struct Ending {
    /// Files and directories that stand under their names, and are to be answered when the directories are durable.
    pub(super) durable: Vec<u32>,
    /// How many of them were answered.
    answered: usize,
    /// A directory is being synced.
    pub(super) syncing: bool,
    /// The peer is gone, or ends the session itself: nobody reads ABORT.
    pub(super) connection_lost: bool,
    /// RESULT, or ABORT, has been put into the outbox.
    pub(super) said: bool,
    /// The peer is being listened to for the last time.
    lingering: bool,
    /// TLS has failed: the peer can be told nothing in frames.
    pub(super) no_abort: bool,
    linger_over: bool,
}

impl Session {
    /// Appends a reply.
    pub(super) fn reply(&mut self, frame: &Frame) {
        let mut bytes = Vec::with_capacity(128);
        frame.encode(&mut bytes);
        self.outbox.extend(bytes);
    }

    /// Tells the peer from time to time that its silence is due to this side's disk. Thousands of small files that lie
    /// in the socket's buffer take longer to be made durable than a peer waits for an answer.
    pub(super) fn beat(&mut self, cx: &mut Context<'_>) {
        let next = cx.now() + BEAT;
        self.beat = self.call(Timer::new(next), cx, |session, _, outcome, cx| {
            session.beat = None;
            if outcome.result.is_err() || !matches!(session.phase, Phase::Receiving | Phase::Finishing) {
                return;
            }
            // A peer that is waited for all the time is to speak itself. After RESULT nothing may follow.
            let busy = std::mem::take(&mut session.heard) || !session.is_receiving() || session.preparing;
            if busy && !session.ending.said && !session.sending && session.outbox.is_empty() {
                session.reply(&Frame::Alive);
            }
            session.beat(cx);
        });
    }

    /// One entry was not delivered; the session goes on.
    pub(super) fn not_delivered(&mut self, file: u32, fault: Fault) {
        self.received.failed += 1;
        self.reply(&Frame::FileDone { file, fault: Some(fault.clone()) });
        self.received.fault.get_or_insert(fault);
    }

    /// Sends what waits in the outbox, one send at a time.
    pub(super) fn send_replies(&mut self, cx: &mut Context<'_>) {
        if self.sending || matches!(self.phase, Phase::Closing | Phase::Ended) {
            return;
        }
        if self.secure.is_some() {
            return self.seal_replies(cx);
        }
        if self.outbox.is_empty() {
            return;
        }
        let Some(socket) = self.socket.clone() else { return };
        let bytes: Vec<u8> = self.outbox.drain(..).collect();
        self.send_bytes(socket, bytes, cx);
    }

    /// Sends bytes as they are.
    pub(super) fn send_bytes(&mut self, socket: Socket, bytes: Vec<u8>, cx: &mut Context<'_>) {
        self.sending = true;
        self.last_progress = cx.now();
        self.call(Send::exact(socket, bytes), cx, |session, _, outcome, cx| {
            session.sending = false;
            session.last_progress = cx.now();
            let result: Result<usize> = outcome.result;
            let Err(status) = result else { return };
            session.outbox.clear();
            match session.phase {
                Phase::Receiving | Phase::Finishing => {
                    session.ending.connection_lost = true;
                    session.fail(Fault::new(FaultKind::Interrupted, status.to_string()), cx);
                }
                _ => session.ending.connection_lost = true,
            }
        });
    }

    /// Ends the session with `fault`: nothing more is received, what is in flight is called back, partial files go.
    pub fn fail(&mut self, fault: Fault, cx: &mut Context<'_>) {
        if matches!(self.phase, Phase::Failing | Phase::Closing | Phase::Ended) {
            return;
        }
        self.phase = Phase::Failing;
        self.keep.leave();
        if let Some(Awaiting::Chunk(arrived)) = self.awaiting.take() {
            self.tracer.ended(Step::Fill, arrived.value, Some(&fault.message));
        }
        self.tracer.failed(&fault.message);
        // What ended everything is told first: a file's own fault was told when it arose.
        self.received.fault = Some(fault);
        let delivered = self.received.files + self.received.directories;
        self.received.failed = u64::from(self.received.announced.entries).saturating_sub(delivered);
        self.header = None;
        self.timeline.fail(Session::stopped());
        for waiting in [self.receiving, self.keep.awaiting].into_iter().flatten() {
            // One that has just ended needs no cancel.
            let _ = cx.cancel(waiting);
        }
        let files: Vec<u32> = self.targets.keys().copied().collect();
        for file in files {
            self.finish_target(file, cx);
        }
        if let Some(timer) = self.timer.take() {
            let _ = cx.cancel(timer);
        }
        self.last_progress = cx.now();
        self.watch(LINGER, cx);
    }

    /// The user interrupted this side.
    pub fn interrupt(&mut self, cx: &mut Context<'_>) {
        self.received.interrupted = true;
        self.fail(Fault::new(FaultKind::Interrupted, "the receiver was interrupted"), cx);
    }

    /// Takes the next steps of an end that has begun.
    pub(super) fn go_on_ending(&mut self, cx: &mut Context<'_>) {
        match self.phase {
            Phase::Receiving => {}
            Phase::Finishing => self.go_on_finishing(cx),
            Phase::Failing => self.go_on_failing(cx),
            Phase::Closing => {
                if self.base.outstanding == 0 {
                    self.received.duration = cx.now() - self.started;
                    self.phase = Phase::Ended;
                }
            }
            Phase::Ended => {}
        }
    }

    fn go_on_finishing(&mut self, cx: &mut Context<'_>) {
        if !self.targets.is_empty() || !self.sync_directories(cx) || !self.clear_kept_files(cx) {
            return;
        }
        // Lazily: a million answers are as many as their numbers, until they are sent.
        while self.ending.answered < self.ending.durable.len() && self.outbox.len() < OUTBOX_MAX {
            let file = self.ending.durable[self.ending.answered];
            self.ending.answered += 1;
            self.reply(&Frame::FileDone { file, fault: None });
        }
        if self.ending.answered < self.ending.durable.len() {
            return;
        }
        if !self.ending.said {
            self.ending.said = true;
            let entries = self.ending.durable.len() as u32;
            let delivered = Totals { entries, bytes: self.received.bytes };
            let fault = self.received.fault.clone();
            self.reply(&Frame::Result { delivered, fault });
        } else if self.outbox.is_empty() && !self.sending && !self.is_flush_due() {
            self.close(cx);
        }
    }

    fn go_on_failing(&mut self, cx: &mut Context<'_>) {
        // Partial files go first: who has read ABORT finds none.
        if !self.ending.said && !self.sending && self.targets.is_empty() {
            self.ending.said = true;
            self.outbox.clear();
            let deaf = self.ending.connection_lost || !self.can_say_abort();
            if let (Some(fault), false) = (self.received.fault.clone(), deaf) {
                self.reply(&Frame::Abort(fault));
            }
        }
        let gone = self.ending.connection_lost || self.ending.linger_over;
        let quiet = self.outbox.is_empty() && !self.sending && !self.is_flush_due();
        if self.ending.said && quiet && !self.ending.lingering && !gone {
            self.ending.lingering = true;
            if let Some(socket) = &self.socket {
                // A peer that is gone already needs no end of stream.
                let _ = socket.shutdown(Shutdown::Send);
            }
            self.linger(vec![0; LINGER_ROOM], cx);
        }
        if gone && self.targets.is_empty() {
            self.close(cx);
        }
    }

    fn linger(&mut self, buffer: Vec<u8>, cx: &mut Context<'_>) {
        let Some(socket) = self.socket.clone() else { return };
        self.receiving =
            self.call(Receive::some(socket, buffer), cx, |session, kind: Receive<Vec<u8>>, outcome, cx| {
                session.receiving = None;
                match outcome.result {
                    Ok(count) if count > 0 && !session.ending.linger_over => session.linger(kind.buffer, cx),
                    _ => session.ending.linger_over = true,
                }
            });
    }

    /// The peer has had its time to read ABORT.
    pub(super) fn give_up_linger(&mut self, cx: &mut Context<'_>) {
        if !self.ending.said && !self.sending && !self.ending.connection_lost {
            // The disk is slow, not the peer: its time begins when ABORT goes out.
            self.last_progress = cx.now();
        }
        if cx.now() < self.last_progress + LINGER {
            return self.watch(LINGER, cx);
        }
        self.ending.linger_over = true;
        if let Some(receiving) = self.receiving {
            let _ = cx.cancel(receiving);
        }
        if self.sending {
            // It does not read at all: closing calls the send back.
            self.ending.connection_lost = true;
        }
    }

    fn close(&mut self, cx: &mut Context<'_>) {
        self.phase = Phase::Closing;
        for timer in [self.timer.take(), self.beat.take()].into_iter().flatten() {
            let _ = cx.cancel(timer);
        }
        if let Some(socket) = self.socket.take() {
            self.call(Close::new(socket), cx, |_, _, _, _| {});
        }
    }
}
