//! The stream of frames: each is taken in when what came before it lets it be.

use proact::operation::{Context, Receive};
use proact::status::{Code, Result};

use super::secured::Awaiting;
use super::{OUTBOX_MAX, Phase, Session, TARGETS_MAX};
use crate::transfer::machine::Machine;
use crate::transfer::pool::Pool;
use crate::transfer::slab::Chunk;
use crate::wire::{
    Accept, CONTROL_PAYLOAD_MAX, EntryKind, Fault, FaultKind, Frame, HEADER_SIZE, Header, Kind, WireError,
    decode_header,
};

impl Session {
    /// Receives the next frame's header.
    pub(super) fn receive_header(&mut self, cx: &mut Context<'_>) {
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
    pub(super) fn arrived(&mut self, result: Result<usize>, cx: &mut Context<'_>) -> bool {
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

    /// The next header has arrived.
    pub(super) fn take_header(&mut self, bytes: &[u8], cx: &mut Context<'_>) {
        let head = bytes.first_chunk().expect("a header was received whole");
        match decode_header(head) {
            Ok(header) => self.header = Some(header),
            Err(error) => self.fail(Fault::from(&error), cx),
        }
    }

    /// Acts on the header that has arrived, if that can be done now.
    pub(super) fn act(&mut self, cx: &mut Context<'_>) {
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

    /// A control frame has arrived.
    pub(super) fn take_control(&mut self, header: &Header, payload: &[u8], cx: &mut Context<'_>) {
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
}
