//! Going on behind what the receiver has kept of a file.
//!
//! The receiver tells how many chunks it has read back, and the digest over theirs. This side reads as many of its own
//! file, which it has to for the whole file's digest anyway: if the digests agree, these chunks are not sent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use proact::operation::Context;
use proact::resource::File;
use proact::status::{Code, Result};

use super::files::{Current, changed};
use super::{FAILURES_MAX, Phase, Sender};
use crate::exit::{Failure, Place};
use crate::transfer::measure::Measure;
use crate::wire::{Digest, FileDigest, Frame, Have};

/// How often the receiver is told that this side's disk is at work: well within any time-out that a person would
/// choose.
const BEAT: Duration = Duration::from_millis(100);

/// How far it is known where the sending of a file begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Asked {
    /// HAVE has not come.
    Waiting,
    /// The receiver has so many chunks, of this digest.
    Told(u64, Digest),
    /// As many are being read here.
    Measuring,
    /// CONTINUE is to be said, with so many chunks.
    Measured(u64),
    /// Chunks may be sent.
    Settled,
}

impl Sender {
    /// HAVE came.
    pub(super) fn have(&mut self, file: u32, have: Have) {
        if let Some(reason) = have.standing.reason() {
            self.begins_anew(file, reason);
        }
        let Some(current) = self.current.as_mut().filter(|current| current.index == file) else { return };
        current.standing = if have.chunks == 0 { Asked::Settled } else { Asked::Told(have.chunks, have.digest) };
    }

    fn begins_anew(&mut self, file: u32, reason: &str) {
        if self.sent.notices.len() < FAILURES_MAX {
            let path = self.plan.entries[file as usize].path.display();
            self.sent.notices.push(format!("{path}: begins anew: {reason}"));
        }
    }

    /// Takes the next step towards sending chunks. `false`: it has to wait.
    pub(super) fn settle_standing(&mut self, current: &mut Current, file: File, cx: &mut Context<'_>) -> bool {
        match current.standing {
            Asked::Told(chunks, digest) => {
                current.standing = Asked::Measuring;
                self.measure(current, file, chunks, digest, cx);
                true
            }
            Asked::Measured(chunks) => {
                if !self.control(&Frame::Continue { file: current.index, chunks }, cx) {
                    return false;
                }
                current.standing = Asked::Settled;
                current.next = (chunks * u64::from(self.chunk_size)).min(current.size);
                self.moved += current.next;
                self.sent.resumed += current.next;
                true
            }
            Asked::Waiting | Asked::Measuring | Asked::Settled => false,
        }
    }

    fn measure(&mut self, current: &Current, file: File, chunks: u64, expected: Digest, cx: &mut Context<'_>) {
        let mut running = FileDigest::new();
        let told = move |sender: &mut Sender, digest: Result<Option<Digest>>, cx: &mut Context<'_>| {
            if sender.phase != Phase::Sending {
                return false;
            }
            sender.last_progress = cx.now();
            match digest {
                Ok(Some(digest)) => {
                    running.push(&digest);
                    sender.beat(cx);
                    true
                }
                Ok(None) => {
                    sender.measured(chunks, &running, expected);
                    false
                }
                Err(status) => {
                    let Some(current) = &mut sender.current else { return false };
                    let planned = &sender.plan.entries[current.index as usize];
                    current.standing = Asked::Settled;
                    current.failed = Some(match status.code() {
                        Code::OutOfRange => changed(planned, "it became shorter"),
                        _ => Failure::from_status(Place::Source, planned.path.display(), &status),
                    });
                    false
                }
            }
        };
        let compute = self.compute.clone();
        Measure::new(file, 0..chunks, self.chunk_size, current.size, compute, told)
            .recorded(&self.frames.tracer)
            .start(self, cx);
    }

    fn measured(&mut self, chunks: u64, running: &FileDigest, expected: Digest) {
        let Some(current) = &mut self.current else { return };
        let file = current.index;
        if running.finish() == expected {
            current.running = Arc::new(Mutex::new(running.clone()));
            current.standing = Asked::Measured(chunks);
        } else {
            current.standing = Asked::Measured(0);
            self.begins_anew(file, "what the receiver has of it is not what stands here");
        }
    }

    /// Reading a long file back takes longer than a receiver waits for a frame.
    fn beat(&mut self, cx: &mut Context<'_>) {
        if cx.now() >= self.last_beat + BEAT && self.control(&Frame::Alive, cx) {
            self.last_beat = cx.now();
        }
    }
}
