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
                out.push(u8::from(hello.overwrite));
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
        let overwrite = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(reader.field("wish to overwrite")),
        };
        Ok(Hello { session, chunk_size, totals, overwrite })
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
mod tests {
    use super::super::fuzz::every_frame;
    use super::super::{CONTROL_PAYLOAD_MAX, FaultKind, WireError, decode_header};
    use super::*;
    use crate::path::{NAME_MAX, NameError};

    fn decode(bytes: &[u8]) -> Result<Frame, WireError> {
        let (head, payload) = bytes.split_first_chunk().expect("a whole header");
        Frame::decode(&decode_header(head)?, payload)
    }

    /// Decodes `payload` as if a sender had sealed it: only the payload's own rules can refuse it.
    fn decode_payload(kind: Kind, payload: &[u8]) -> Result<Frame, WireError> {
        let header = Header { kind, length: payload.len() as u32, file: 0, offset: 0, digest: digest(payload) };
        Frame::decode(&header, payload)
    }

    fn entry_payload(change: impl FnOnce(&mut Entry), name: &[u8]) -> Vec<u8> {
        let mut entry = Entry {
            kind: EntryKind::File,
            mode: 0o644,
            modified_seconds: -1,
            modified_nanoseconds: 999_999_999,
            size: 5,
            name: RelativeName::new(b"x").unwrap(),
        };
        change(&mut entry);
        let mut payload = Vec::new();
        entry.encode(&mut payload);
        payload.truncate(ENTRY_FIXED - 2);
        put_bytes(&mut payload, name);
        payload
    }

    #[test]
    fn every_frame_survives_the_wire() {
        for frame in every_frame() {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            assert_eq!(decode(&bytes), Ok(frame));
        }
    }

    #[test]
    fn frames_follow_each_other_in_one_buffer() {
        let frames = every_frame();
        let mut bytes = Vec::new();
        frames.iter().for_each(|frame| frame.encode(&mut bytes));
        let (mut rest, mut back) = (bytes.as_slice(), Vec::new());
        while let Some((head, tail)) = rest.split_first_chunk() {
            let header = decode_header(head).unwrap();
            let (payload, tail) = tail.split_at(header.length as usize);
            back.push(Frame::decode(&header, payload).unwrap());
            rest = tail;
        }
        assert_eq!(back, frames);
    }

    #[test]
    fn the_longest_name_fits_and_no_frame_is_larger() {
        let mut name = b"abcdefg/".repeat(NAME_MAX.div_ceil(8));
        name.truncate(NAME_MAX);
        let payload = entry_payload(|_| {}, &name);
        assert_eq!(payload.len(), CONTROL_PAYLOAD_MAX as usize);
        assert!(decode_payload(Kind::File, &payload).is_ok());
        name.push(b'a');
        let refused = decode_payload(Kind::File, &entry_payload(|_| {}, &name));
        assert_eq!(refused, Err(WireError::Name(NameError::TooLong)));
    }

    #[test]
    fn hostile_names_are_refused() {
        for (name, error) in [
            (&b"/etc/passwd"[..], NameError::Absolute),
            (b"../x", NameError::Parent),
            (b"a//b", NameError::EmptyComponent),
            (b"", NameError::Empty),
            (b"a\0", NameError::Nul),
        ] {
            let refused = decode_payload(Kind::File, &entry_payload(|_| {}, name));
            assert_eq!(refused, Err(WireError::Name(error)));
        }
    }

    #[test]
    fn impossible_entries_are_refused() {
        let refused = |change: fn(&mut Entry), field| {
            let result = decode_payload(Kind::File, &entry_payload(change, b"x"));
            assert_eq!(result, Err(WireError::Field { kind: Kind::File, field }));
        };
        refused(|entry| entry.mode = 0o4755, "mode");
        refused(|entry| entry.mode = u32::MAX, "mode");
        refused(|entry| entry.modified_nanoseconds = 1_000_000_000, "time of last change");
        refused(|entry| entry.size = u64::MAX, "size");
        refused(|entry| entry.size = SIZE_MAX + 1, "size");
        refused(|entry| entry.kind = EntryKind::Directory, "size");
        let mut payload = entry_payload(|_| {}, b"x");
        payload[0] = 2;
        let result = decode_payload(Kind::File, &payload);
        assert_eq!(result, Err(WireError::Field { kind: Kind::File, field: "kind of entry" }));
    }

    #[test]
    fn chunk_sizes_beyond_their_bounds_are_refused() {
        for chunk_size in [0, CHUNK_MIN - 1, CHUNK_MAX + 1, u32::MAX] {
            let mut bytes = Vec::new();
            Frame::Hello(Hello {
                session: SessionId([1; 16]),
                chunk_size,
                totals: Totals::default(),
                overwrite: false,
            })
            .encode(&mut bytes);
            assert_eq!(decode(&bytes), Err(WireError::Field { kind: Kind::Hello, field: "chunk size" }));
        }
    }

    #[test]
    fn payloads_with_too_little_or_too_much_are_refused() {
        for frame in every_frame() {
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            let payload = &bytes[HEADER_SIZE..];
            for length in 0..payload.len() {
                assert!(decode_payload(frame.kind(), &payload[..length]).is_err(), "{frame:?} cut to {length}");
            }
            let longer = [payload, &[0]].concat();
            assert_eq!(decode_payload(frame.kind(), &longer), Err(WireError::Truncated(frame.kind())));
        }
    }

    #[test]
    fn a_corrupted_payload_is_noticed() {
        let mut bytes = Vec::new();
        Frame::Abort(Fault::new(FaultKind::Other, "no")).encode(&mut bytes);
        *bytes.last_mut().unwrap() ^= 1;
        assert_eq!(decode(&bytes), Err(WireError::PayloadDigest(Kind::Abort)));
    }

    #[test]
    fn an_abort_without_a_fault_and_a_chunk_are_no_control_frames() {
        let refused = decode_payload(Kind::Abort, &[0]);
        assert_eq!(refused, Err(WireError::Field { kind: Kind::Abort, field: "fault" }));
        assert!(matches!(decode_payload(Kind::Chunk, &[0]), Err(WireError::Unexpected { kind: Kind::Chunk, .. })));
    }

    #[test]
    fn the_chunk_size_in_force_is_the_smaller_wish() {
        let hello =
            Hello { session: SessionId([0; 16]), chunk_size: 1 << 20, totals: Totals::default(), overwrite: false };
        let accept = |chunk_max| Accept { limits: Limits { chunk_max, ..Limits::default() } };
        assert_eq!(accept(64 << 10).chunk_size(&hello), 64 << 10);
        assert_eq!(accept(CHUNK_MAX).chunk_size(&hello), 1 << 20);
    }
}
