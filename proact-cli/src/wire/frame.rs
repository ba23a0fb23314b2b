//! The frames other than chunks: what they say, and their bytes.

use std::fmt;

use super::codec::{Reader, put_bytes};
use super::{CHUNK_MAX, CHUNK_MIN, Digest, Fault, HEADER_SIZE, Header, Kind, Limits, SIZE_MAX, WireError, digest};
use crate::path::RelativeName;

/// Bytes of an entry besides its name.
pub(super) const ENTRY_FIXED: usize = 1 + 4 + 8 + 4 + 8 + 2;

/// 128 random bits that name a session in messages and traces.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A sender's first frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hello {
    /// Names the session.
    pub session: SessionId,
    /// The chunk size that the sender would like, [`CHUNK_MIN`] to [`CHUNK_MAX`].
    pub chunk_size: u32,
    /// Files and directories that will be announced, and the bytes of all of them.
    pub totals: Totals,
    /// Whether the sender asks that files which exist already be replaced. The receiver decides.
    pub overwrite: bool,
    /// Whether the receiver is to keep what it has verified of a file that is not finished, and to say what it kept.
    pub resume: bool,
}

/// How many entries, and how many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Files and directories.
    pub entries: u32,
    /// Bytes of all files, at most [`SIZE_MAX`].
    pub bytes: u64,
}

/// A receiver's first frame: what it allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Accept {
    /// The limits that the sender must keep.
    pub limits: Limits,
}

impl Accept {
    /// The chunk size in force: the smaller of what the sender asked for and what the receiver allows.
    pub fn chunk_size(&self, hello: &Hello) -> u32 {
        self.limits.chunk_max.min(hello.chunk_size)
    }
}

/// What an entry is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory. It comes before everything in it.
    Directory,
}

/// One file or directory, as the sender announces it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, at most `0o777`: a peer must not make programs that run as someone else.
    pub mode: u32,
    /// Seconds of the time of last change since 1970, which may lie before it.
    pub modified_seconds: i64,
    /// Nanoseconds within that second, below a thousand million.
    pub modified_nanoseconds: u32,
    /// Bytes; 0 for a directory.
    pub size: u64,
    /// Its name below the destination.
    pub name: RelativeName,
}

/// The end of a file's chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileEnd {
    /// How many there were.
    pub chunks: u64,
    /// The digest over their digests: [`super::FileDigest`].
    pub digest: Digest,
}

/// What a receiver has of a file, or why nothing. The numbers are the wire's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Standing {
    /// Nothing was kept of it.
    Nothing = 0,
    /// Chunks from its front, read back and found as they were verified.
    Partial = 1,
    /// A file of its size and time of last change stands under its name.
    Whole = 2,
    /// Something was kept, of a file of another size or time of last change.
    Changed = 3,
    /// Something was kept, in chunks of another size.
    ChunkSize = 4,
    /// Something was kept, and its first chunk is no longer what it was.
    Damaged = 5,
    /// Another transfer is receiving it now.
    Busy = 6,
    /// Nothing can be kept there: the directory lies on another file system, or another receiver writes there.
    Unable = 7,
}

impl Standing {
    /// Every standing, by its number.
    pub const ALL: [Standing; 8] = [
        Standing::Nothing,
        Standing::Partial,
        Standing::Whole,
        Standing::Changed,
        Standing::ChunkSize,
        Standing::Damaged,
        Standing::Busy,
        Standing::Unable,
    ];

    /// Why a file begins anew, in words; `None` where that needs none.
    pub fn reason(self) -> Option<&'static str> {
        match self {
            Standing::Nothing | Standing::Partial | Standing::Whole => None,
            Standing::Changed => Some("it has another size or time of last change since"),
            Standing::ChunkSize => Some("it was sent in chunks of another size before"),
            Standing::Damaged => Some("what the receiver kept of it is damaged"),
            Standing::Busy => Some("another transfer to the receiver is sending it now"),
            Standing::Unable => Some("the receiver can keep no unfinished file there"),
        }
    }
}

/// What a receiver has of a file, as the answer to FILE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Have {
    /// How it stands.
    pub standing: Standing,
    /// Chunks from the front that need not be sent; 0 unless `standing` is partial or whole.
    pub chunks: u64,
    /// The digest over their digests: [`super::FileDigest`].
    pub digest: Digest,
}

impl Have {
    /// The answer that nothing is there, and why.
    pub fn nothing(standing: Standing) -> Have {
        Have { standing, chunks: 0, digest: super::session::empty_file_digest() }
    }
}

/// Any frame but a chunk. `file` is the index that the header carries.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // the module above tells the meaning of each
pub enum Frame {
    Hello(Hello),
    Accept(Accept),
    File { file: u32, entry: Entry },
    FileEnd { file: u32, end: FileEnd },
    Abandon { file: u32, fault: Fault },
    Done(Totals),
    FileDone { file: u32, fault: Option<Fault> },
    Result { delivered: Totals, fault: Option<Fault> },
    Abort(Fault),
    Alive,
    Have { file: u32, have: Have },
    Continue { file: u32, chunks: u64 },
}

impl Frame {
    /// What kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Frame::Hello(_) => Kind::Hello,
            Frame::Accept(_) => Kind::Accept,
            Frame::File { .. } => Kind::File,
            Frame::FileEnd { .. } => Kind::FileEnd,
            Frame::Abandon { .. } => Kind::Abandon,
            Frame::Done(_) => Kind::Done,
            Frame::FileDone { .. } => Kind::FileDone,
            Frame::Result { .. } => Kind::Result,
            Frame::Abort(_) => Kind::Abort,
            Frame::Alive => Kind::Alive,
            Frame::Have { .. } => Kind::Have,
            Frame::Continue { .. } => Kind::Continue,
        }
    }

    /// Appends header and payload to `out`: at most [`HEADER_SIZE`] + [`super::CONTROL_PAYLOAD_MAX`] bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER_SIZE]);
        let file = self.encode_payload(out);
        let (head, payload) = out[start..].split_first_chunk_mut().expect("the header's room was just made");
        let length = u32::try_from(payload.len()).expect("every field of a frame is bounded");
        Header { kind: self.kind(), length, file, offset: 0, digest: digest(payload) }.encode(head);
    }

    /// Appends the payload, and tells the index for the header.
    fn encode_payload(&self, out: &mut Vec<u8>) -> u32 {
        match self {
            Frame::Hello(hello) => {
                out.extend_from_slice(&hello.session.0);
                out.extend_from_slice(&hello.chunk_size.to_le_bytes());
                hello.totals.encode(out);
                out.push(u8::from(hello.overwrite) | u8::from(hello.resume) << 1);
                0
            }
            Frame::Accept(Accept { limits }) => {
                for limit in [limits.chunk_max, limits.files_max, limits.name_max] {
                    out.extend_from_slice(&limit.to_le_bytes());
                }
                0
            }
            Frame::File { file, entry } => {
                entry.encode(out);
                *file
            }
            Frame::FileEnd { file, end } => {
                out.extend_from_slice(&end.chunks.to_le_bytes());
                out.extend_from_slice(&end.digest);
                *file
            }
            Frame::Abandon { file, fault } => {
                Fault::encode(Some(fault), out);
                *file
            }
            Frame::Done(totals) => {
                totals.encode(out);
                0
            }
            Frame::FileDone { file, fault } => {
                Fault::encode(fault.as_ref(), out);
                *file
            }
            Frame::Result { delivered, fault } => {
                delivered.encode(out);
                Fault::encode(fault.as_ref(), out);
                0
            }
            Frame::Abort(fault) => {
                Fault::encode(Some(fault), out);
                0
            }
            Frame::Alive => 0,
            Frame::Have { file, have } => {
                out.push(have.standing as u8);
                out.extend_from_slice(&have.chunks.to_le_bytes());
                out.extend_from_slice(&have.digest);
                *file
            }
            Frame::Continue { file, chunks } => {
                out.extend_from_slice(&chunks.to_le_bytes());
                *file
            }
        }
    }

    /// Reads the frame whose `header` came first and whose `payload` followed. Not for chunks: their payload is data.
    ///
    /// # Errors
    /// A digest that differs, then the first rule that the payload breaks; a chunk is [`WireError::Unexpected`].
    pub fn decode(header: &Header, payload: &[u8]) -> Result<Frame, WireError> {
        let (kind, file) = (header.kind, header.file);
        if payload.len() as u64 != u64::from(header.length) {
            return Err(WireError::Truncated(kind));
        }
        if digest(payload) != header.digest {
            return Err(WireError::PayloadDigest(kind));
        }
        let mut reader = Reader::new(kind, payload);
        let frame = match kind {
            Kind::Hello => Frame::Hello(Hello::decode(&mut reader)?),
            Kind::Accept => Frame::Accept(Accept::decode(&mut reader)?),
            Kind::File => Frame::File { file, entry: Entry::decode(&mut reader)? },
            Kind::FileEnd => Frame::FileEnd { file, end: FileEnd { chunks: reader.u64()?, digest: reader.array()? } },
            Kind::Abandon => Frame::Abandon { file, fault: required(kind, &mut reader)? },
            Kind::Done => Frame::Done(Totals::decode(&mut reader)?),
            Kind::FileDone => Frame::FileDone { file, fault: Fault::decode(kind, &mut reader)? },
            Kind::Result => {
                let delivered = Totals::decode(&mut reader)?;
                Frame::Result { delivered, fault: Fault::decode(kind, &mut reader)? }
            }
            Kind::Abort => Frame::Abort(required(kind, &mut reader)?),
            Kind::Alive => Frame::Alive,
            Kind::Have => Frame::Have { file, have: Have::decode(&mut reader)? },
            Kind::Continue => Frame::Continue { file, chunks: reader.u64()? },
            Kind::Chunk => return Err(WireError::Unexpected { kind, state: "where a control frame is due" }),
        };
        reader.finish()?;
        Ok(frame)
    }
}

/// A fault where "no fault" would make no sense.
fn required(kind: Kind, reader: &mut Reader<'_>) -> Result<Fault, WireError> {
    Fault::decode(kind, reader)?.ok_or(WireError::Field { kind, field: "fault" })
}

impl Hello {
    fn decode(reader: &mut Reader<'_>) -> Result<Hello, WireError> {
        let session = SessionId(reader.array()?);
        let chunk_size = chunk_size(reader)?;
        let totals = Totals::decode(reader)?;
        let wishes = reader.u8()?;
        if wishes > 3 {
            return Err(reader.field("wish to overwrite or resume"));
        }
        Ok(Hello { session, chunk_size, totals, overwrite: wishes & 1 != 0, resume: wishes & 2 != 0 })
    }
}

impl Have {
    fn decode(reader: &mut Reader<'_>) -> Result<Have, WireError> {
        let number = usize::from(reader.u8()?);
        let standing = *Standing::ALL.get(number).ok_or_else(|| reader.field("standing"))?;
        let have = Have { standing, chunks: reader.u64()?, digest: reader.array()? };
        let any = matches!(standing, Standing::Partial | Standing::Whole);
        if any == (have.chunks > 0) { Ok(have) } else { Err(reader.field("number of chunks")) }
    }
}

impl Accept {
    fn decode(reader: &mut Reader<'_>) -> Result<Accept, WireError> {
        let limits = Limits { chunk_max: chunk_size(reader)?, files_max: reader.u32()?, name_max: reader.u32()? };
        Ok(Accept { limits })
    }
}

fn chunk_size(reader: &mut Reader<'_>) -> Result<u32, WireError> {
    let size = reader.u32()?;
    if (CHUNK_MIN..=CHUNK_MAX).contains(&size) { Ok(size) } else { Err(reader.field("chunk size")) }
}

impl Totals {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.entries.to_le_bytes());
        out.extend_from_slice(&self.bytes.to_le_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Totals, WireError> {
        let totals = Totals { entries: reader.u32()?, bytes: reader.u64()? };
        if totals.bytes > SIZE_MAX { Err(reader.field("total of bytes")) } else { Ok(totals) }
    }
}

impl Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(match self.kind {
            EntryKind::File => 0,
            EntryKind::Directory => 1,
        });
        out.extend_from_slice(&self.mode.to_le_bytes());
        out.extend_from_slice(&self.modified_seconds.to_le_bytes());
        out.extend_from_slice(&self.modified_nanoseconds.to_le_bytes());
        out.extend_from_slice(&self.size.to_le_bytes());
        put_bytes(out, self.name.as_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Entry, WireError> {
        let kind = match reader.u8()? {
            0 => EntryKind::File,
            1 => EntryKind::Directory,
            _ => return Err(reader.field("kind of entry")),
        };
        let mode = reader.u32()?;
        let (modified_seconds, modified_nanoseconds) = (reader.i64()?, reader.u32()?);
        let size = reader.u64()?;
        let name = RelativeName::new(reader.bytes()?).map_err(WireError::Name)?;
        if mode > 0o777 {
            return Err(reader.field("mode"));
        }
        if modified_nanoseconds >= 1_000_000_000 {
            return Err(reader.field("time of last change"));
        }
        if size > SIZE_MAX || (kind == EntryKind::Directory && size != 0) {
            return Err(reader.field("size"));
        }
        Ok(Entry { kind, mode, modified_seconds, modified_nanoseconds, size, name })
    }
}

#[cfg(test)]
mod tests;
