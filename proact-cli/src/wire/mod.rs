//! The transfer protocol as pure data: no I/O, no clock, no proactor.
//!
//! One TCP connection carries one session. Every frame is a header of [`HEADER_SIZE`] bytes, little-endian, then a
//! payload whose length the header tells:
//!
//! | bytes | field | meaning |
//! |---|---|---|
//! | 0..4 | magic | `prct` |
//! | 4 | version | [`VERSION`] |
//! | 5 | kind | [`Kind`] |
//! | 6..8 | flags | 0; a set bit is refused |
//! | 8..12 | length | bytes of payload behind this header |
//! | 12..16 | file | index of the file it is about, counted from 0 in the order announced; else 0 |
//! | 16..24 | offset | of a chunk, in its file; else 0 |
//! | 24..32 | check | first 8 bytes of the BLAKE3 digest of this header with these 8 bytes zero |
//! | 32..64 | digest | BLAKE3 of the payload |
//!
//! All frames share one header size, so a receiver always does the same: receive the header exactly, decode it, then
//! receive the payload exactly. A chunk's header stands directly before its payload, in one buffer and one send:
//! [`HEADER_SIZE`] bytes at the buffer's front are left free when the file is read, and are filled in once the digest
//! is known. Since a chunk is never the last frame of a session, a receiver may also take a chunk's payload and the
//! next frame's header in one receive.
//!
//! # A session
//!
//! | sender | receiver |
//! |---|---|
//! | HELLO: session, chunk size, totals, whether to overwrite, whether to resume | |
//! | | ACCEPT: limits. The chunk size in force is the smaller of the two |
//! | for each entry: FILE, its CHUNKs by ascending offset, FILE_END (a directory has FILE alone) | |
//! | | FILE_DONE for each entry, in any order, when it is durable under its name or has failed |
//! | DONE: totals | |
//! | | RESULT: totals, and the first failure if there was one |
//! | | ALIVE, at any time between ACCEPT and RESULT: its disk is at work, and nothing else can be said yet |
//! | ALIVE, between HELLO and DONE, where a frame may begin: the same of this side's disk | |
//!
//! All chunks have the size in force except a file's last. A sender that cannot go on with a file sends ABANDON in
//! place of FILE_END; the receiver drops that file, answers FILE_DONE with the fault, and the session goes on. Either
//! side may send ABORT at any time and closes. A file that the receiver refuses is still sent whole: its chunks are
//! already on their way; they are received and dropped.
//!
//! # Resuming
//!
//! In a session whose HELLO asks for it, each file of more than one chunk is asked about before any of it is sent:
//!
//! | sender | receiver |
//! |---|---|
//! | FILE | |
//! | | HAVE: so many chunks from the front are there and were read back, with the digest over their digests |
//! | none were there: CHUNKs from offset 0. Else, after digesting as much of its own file: | |
//! | CONTINUE behind so many chunks if the digests agree, behind 0 if not | |
//! | the CHUNKs behind them, FILE_END with the count and digest of all | |
//!
//! # Versions
//!
//! Version 2 added HAVE, CONTINUE, the sender's ALIVE, and the second bit of HELLO's last byte. The version stands in
//! every header: a peer of version 1 refuses the first frame and names both versions, and so does this side.
//!
//! # Bounds
//!
//! A hostile peer may send anything. Decoding never panics, never allocates more than the payload it was given, and
//! checks every count and length against [`Limits`] and against what was announced ([`session`] does the latter). No
//! frame but a chunk has a payload above [`CONTROL_PAYLOAD_MAX`].

mod codec;
mod digest;
mod fault;
mod frame;
mod header;
pub mod session;

pub use digest::{Digest, FileDigest, digest};
pub use fault::{Fault, FaultKind, MESSAGE_MAX};
pub use frame::{Accept, Entry, EntryKind, FileEnd, Frame, Have, Hello, SessionId, Standing, Totals};
pub use header::{ChunkHeader, Header, Kind, decode_header, encode_chunk_header, is_tls};

use std::fmt;

/// Bytes of every frame's header.
pub const HEADER_SIZE: usize = 64;
/// The protocol's version. A peer of another version is refused.
pub const VERSION: u8 = 2;
/// Most bytes of a chunk's payload.
pub const CHUNK_MAX: u32 = 64 << 20;
/// Fewest bytes that a session's chunk size may be set to.
pub const CHUNK_MIN: u32 = 4 << 10;
/// Most entries of a session, unless the receiver is told otherwise.
pub const FILES_MAX: u32 = 1 << 20;
/// Most bytes of a file, and of a session: file offsets are signed in every system call.
pub const SIZE_MAX: u64 = i64::MAX as u64;
/// Most bytes of any payload but a chunk's.
pub const CONTROL_PAYLOAD_MAX: u32 = (frame::ENTRY_FIXED + crate::path::NAME_MAX) as u32;

/// What one side accepts of the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Most bytes of a chunk, [`CHUNK_MIN`] to [`CHUNK_MAX`].
    pub chunk_max: u32,
    /// Most entries of a session.
    pub files_max: u32,
    /// Most bytes of a name, at most [`crate::path::NAME_MAX`].
    pub name_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { chunk_max: CHUNK_MAX, files_max: FILES_MAX, name_max: crate::path::NAME_MAX as u32 }
    }
}

/// Why bytes are refused. Each names the rule that was broken, for the message to the user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum WireError {
    /// The first bytes are not this protocol's.
    Magic,
    /// The first bytes are those of a TLS record.
    Tls,
    /// The peer speaks another version.
    Version(u8),
    /// No frame has this kind.
    Kind(u8),
    /// A flag is set that this version does not know.
    Flags(u16),
    /// The header's check differs: it was corrupted on the way.
    HeaderCheck,
    /// The payload is longer or shorter than its kind allows.
    Length {
        /// What kind of frame.
        kind: Kind,
        /// The length that its header tells.
        length: u32,
    },
    /// The payload's digest differs from its header's: it was corrupted on the way.
    PayloadDigest(Kind),
    /// A payload ended before, or went on after, its last field.
    Truncated(Kind),
    /// A field holds a value that it cannot have.
    Field {
        /// In which kind of frame.
        kind: Kind,
        /// Which field.
        field: &'static str,
    },
    /// The name of an entry is refused.
    Name(crate::path::NameError),
    /// A count or size is above the limit in force.
    Limit {
        /// Which limit.
        what: &'static str,
        /// What the peer asked for.
        value: u64,
        /// What is allowed.
        limit: u64,
    },
    /// The frame is not one that may come now.
    Unexpected {
        /// What came.
        kind: Kind,
        /// In which state of the session.
        state: &'static str,
    },
    /// The frame contradicts an earlier one.
    Contradiction {
        /// What kind of frame.
        kind: Kind,
        /// What does not agree.
        what: &'static str,
        /// The value that came.
        value: u64,
        /// The value that had to come.
        expected: u64,
    },
}

impl WireError {
    /// Whether this is damage on the way rather than a peer that breaks the rules.
    pub fn is_corruption(&self) -> bool {
        matches!(self, WireError::HeaderCheck | WireError::PayloadDigest(_))
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Magic => f.write_str("the peer does not speak the transfer protocol"),
            WireError::Tls => f.write_str(
                "the peer speaks TLS, and this side was not told to: see --tls-ca of transfer, --tls-cert of receive",
            ),
            WireError::Version(version) => write!(f, "the peer speaks protocol version {version}, not {VERSION}"),
            WireError::Kind(kind) => write!(f, "unknown frame kind {kind}"),
            WireError::Flags(flags) => write!(f, "unknown frame flags {flags:#x}"),
            WireError::HeaderCheck => f.write_str("a frame header arrived corrupted"),
            WireError::Length { kind, length } => write!(f, "a {kind} frame cannot have {length} bytes"),
            WireError::PayloadDigest(kind) => write!(f, "a {kind} frame arrived corrupted (digest mismatch)"),
            WireError::Truncated(kind) => write!(f, "a {kind} frame does not end where its fields end"),
            WireError::Field { kind, field } => write!(f, "a {kind} frame has an impossible {field}"),
            WireError::Name(error) => error.fmt(f),
            WireError::Limit { what, value, limit } => write!(f, "{what}: {value} is above the limit of {limit}"),
            WireError::Unexpected { kind, state } => write!(f, "unexpected {kind} frame {state}"),
            WireError::Contradiction { kind, what, value, expected } => {
                write!(f, "a {kind} frame has {what} {value} where {expected} is due")
            }
        }
    }
}

impl std::error::Error for WireError {}

#[cfg(test)]
mod fuzz;
