//! What is written down of an unfinished file, so that a later transfer can go on with it.
//!
//! A journal is a header, and then the digest of each chunk that was verified and written, in order, without gaps. It
//! is a list of claims and nothing more: whoever goes on reads the chunks back and compares. So nothing depends on
//! whether the file or its journal reached the disk first, and a torn or lost end of either costs the chunks that it
//! was about. What both hold at each sync is what a power loss leaves.
//!
//! | bytes | field |
//! |---|---|
//! | 0..8 | `prctjrn1` |
//! | 8..12 | chunk size |
//! | 12..16, 16..24 | nanoseconds and seconds of the file's time of last change |
//! | 24..32 | size of the file |
//! | 32..64 | BLAKE3 of the bytes before |
//! | 64.. | 32 bytes a chunk |

use std::collections::VecDeque;
use std::path::PathBuf;

use proact::operation::{Context, Write};
use proact::resource::File;

use super::Session;
use super::target::destination;
use crate::transfer::machine::Machine;
use crate::wire::{Digest, Entry, Fault, digest};

const MAGIC: [u8; 8] = *b"prctjrn1";
/// Bytes of the header.
pub(super) const HEADER: usize = 64;
/// Bytes of a claim.
pub(super) const CLAIM: usize = size_of::<Digest>();

/// Which file a journal is about, besides its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct About {
    pub(super) chunk_size: u32,
    pub(super) modified: (i64, u32),
    pub(super) size: u64,
}

impl About {
    pub(super) fn new(entry: &Entry, chunk_size: u32) -> About {
        About { chunk_size, modified: (entry.modified_seconds, entry.modified_nanoseconds), size: entry.size }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.chunk_size.to_le_bytes());
        bytes.extend_from_slice(&self.modified.1.to_le_bytes());
        bytes.extend_from_slice(&self.modified.0.to_le_bytes());
        bytes.extend_from_slice(&self.size.to_le_bytes());
        let check = digest(&bytes);
        bytes.extend_from_slice(&check);
        bytes
    }

    /// `None`: the bytes are no header, or no whole one.
    pub(super) fn decode(bytes: &[u8]) -> Option<About> {
        let (fields, check) = bytes.split_at_checked(HEADER - CLAIM)?;
        if fields[..8] != MAGIC || digest(fields) != check {
            return None;
        }
        Some(About {
            chunk_size: u32::from_le_bytes(fields[8..12].try_into().ok()?),
            modified: (
                i64::from_le_bytes(fields[16..24].try_into().ok()?),
                u32::from_le_bytes(fields[12..16].try_into().ok()?),
            ),
            size: u64::from_le_bytes(fields[24..32].try_into().ok()?),
        })
    }
}

/// A journal that is being written.
pub(super) struct Journal {
    file: File,
    pub(super) path: PathBuf,
    /// Where the next claim goes.
    at: u64,
    /// The number of the first chunk in `claims`.
    first: u64,
    /// Chunks that are on their way to the file, and whether each has arrived there.
    claims: VecDeque<(Digest, bool)>,
    /// Claims that may be written.
    pending: Vec<u8>,
    writing: bool,
}

impl Journal {
    /// One that holds `chunks` claims.
    pub(super) fn new(file: File, path: PathBuf, chunks: u64) -> Journal {
        let at = HEADER as u64 + chunks * CLAIM as u64;
        Journal { file, path, at, first: chunks, claims: VecDeque::new(), pending: Vec::new(), writing: false }
    }

    pub(super) fn file(&self) -> File {
        self.file.clone()
    }

    /// The next chunk is on its way.
    pub(super) fn claim(&mut self, digest: Digest) {
        self.claims.push_back((digest, false));
    }

    /// A chunk is in the file. It may overtake those before it, and is then written down behind them.
    pub(super) fn written(&mut self, chunk: u64) {
        let claim = chunk.checked_sub(self.first).and_then(|at| self.claims.get_mut(usize::try_from(at).ok()?));
        let Some((_, written)) = claim else { return };
        *written = true;
        while let Some((digest, true)) = self.claims.front() {
            self.pending.extend_from_slice(digest);
            self.claims.pop_front();
            self.first += 1;
        }
    }

    /// Whether it holds any claim.
    pub(super) fn has_claims(&self) -> bool {
        self.at > HEADER as u64
    }
}

impl Session {
    /// Writes the claims that may be written, one write at a time: as many at once as came during the last.
    pub(super) fn write_journal(&mut self, file: u32, cx: &mut Context<'_>) {
        let Some(target) = self.targets.get_mut(&file) else { return };
        let Some(journal) = &mut target.journal else { return };
        if journal.writing || journal.pending.is_empty() || target.failed.is_some() {
            return;
        }
        journal.writing = true;
        // Counted as a write of the file: its end waits for it.
        target.writes += 1;
        let write = Write::exact(journal.file(), journal.at, std::mem::take(&mut journal.pending));
        self.call(write, cx, move |session, kind: Write<Vec<u8>>, outcome, cx| {
            let Some(target) = session.targets.get_mut(&file) else { return };
            target.writes -= 1;
            if let Some(journal) = &mut target.journal {
                journal.writing = false;
                match outcome.result {
                    Ok(_) => journal.at += kind.buffer.len() as u64,
                    Err(status) => {
                        let fault = destination(&status);
                        target.fail(Fault::new(fault.kind, format!("{}: {}", target.entry.name, fault.message)));
                    }
                }
            }
            session.write_journal(file, cx);
            session.sync_early(file, cx);
            session.finish_target(file, cx);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_and_no_flipped_bit_does() {
        let about = About { chunk_size: 1 << 20, modified: (-5, 999_999_999), size: u64::MAX >> 1 };
        let bytes = about.encode();
        assert_eq!((bytes.len(), About::decode(&bytes)), (HEADER, Some(about)));
        assert_eq!(About::decode(&bytes[..HEADER - 1]), None);
        assert_eq!(About::decode(&[]), None);
        for bit in 0..HEADER * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(About::decode(&damaged), None, "bit {bit}");
        }
    }
}
