//! What the receiver answers.

use proact::operation::Context;

use super::{Phase, Sender};
use crate::transfer::pool::Pool;
use crate::transfer::tls::Layout;
use crate::wire::{Accept, CONTROL_PAYLOAD_MAX, EntryKind, Fault, Frame, HEADER_SIZE, WireError, decode_header};

impl Sender {
    /// Reads the frames that have arrived whole.
    pub(super) fn read_replies(&mut self, cx: &mut Context<'_>) {
        let inbox = std::mem::take(&mut self.inbox);
        let mut rest = &inbox[..];
        while let Some((head, behind)) = rest.split_first_chunk::<HEADER_SIZE>() {
            let frame = match decode_header(head) {
                Ok(header) => {
                    if header.length > CONTROL_PAYLOAD_MAX {
                        // Only a chunk may be longer, and no receiver sends one.
                        return self.protocol_failure(self.replies.unexpected(header.kind), cx);
                    }
                    let Some((payload, next)) = behind.split_at_checked(header.length as usize) else { break };
                    rest = next;
                    Frame::decode(&header, payload)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = frame.and_then(|frame| self.reply(frame, cx)) {
                return self.protocol_failure(error, cx);
            }
            if matches!(self.phase, Phase::Closing | Phase::Ended) {
                return;
            }
        }
        self.inbox = rest.to_vec();
    }

    fn reply(&mut self, frame: Frame, cx: &mut Context<'_>) -> Result<(), WireError> {
        match frame {
            Frame::Accept(accept) => {
                self.replies.accept()?;
                self.accepted(&accept)?;
            }
            Frame::FileDone { file, fault } => {
                self.replies.file_done(file)?;
                self.file_done(file, fault);
            }
            Frame::Have { file, have } => {
                self.replies.have(file, &have)?;
                self.have(file, have);
            }
            // That it came is all it says: the connection is not silent.
            Frame::Alive => self.replies.alive()?,
            Frame::Result { fault, .. } => {
                self.replies.result()?;
                if let Some(fault) = fault {
                    if self.sent.failures.is_empty() {
                        self.sent.failures.push(fault.into_failure(&self.options.peer));
                    }
                }
                self.say_good_bye(cx);
            }
            Frame::Abort(fault) => self.fail(fault.into_failure(self.options.peer.clone()), cx),
            other => return Err(self.replies.unexpected(other.kind())),
        }
        Ok(())
    }

    fn accepted(&mut self, accept: &Accept) -> Result<(), WireError> {
        let entries = u64::from(self.hello.totals.entries);
        let limit = u64::from(accept.limits.files_max);
        if entries > limit {
            return Err(WireError::Limit { what: "number of files", value: entries, limit });
        }
        self.chunk_size = accept.chunk_size(&self.hello);
        let whole = HEADER_SIZE + self.chunk_size as usize;
        let room = if self.secure.is_some() { Layout::room(whole) } else { whole };
        let chunks = Pool::new(self.options.in_flight.into(), room);
        // The frames so far are control frames: HELLO, whose buffer may still be out.
        debug_assert_eq!(self.frames.chunks.length(), 0);
        self.frames.chunks = chunks;
        self.phase = Phase::Sending;
        Ok(())
    }

    fn file_done(&mut self, file: u32, fault: Option<Fault>) {
        let planned = &self.plan.entries[file as usize];
        match fault {
            // What this side gave up is known here, and better.
            Some(_) if self.abandoned.contains(&file) => {}
            Some(fault) => {
                let failure = fault.into_failure(&self.options.peer);
                self.note(failure);
            }
            None => match planned.entry.kind {
                EntryKind::File => {
                    self.sent.files += 1;
                    self.sent.bytes += planned.entry.size;
                }
                EntryKind::Directory => self.sent.directories += 1,
            },
        }
    }
}
