//! The header that stands before every payload.

use std::fmt;

use super::{CHUNK_MAX, CONTROL_PAYLOAD_MAX, Digest, HEADER_SIZE, SIZE_MAX, VERSION, WireError};

const MAGIC: [u8; 4] = *b"prct";
/// Where the header's own check stands.
const CHECK: std::ops::Range<usize> = 24..32;

/// What a frame is. The numbers are the wire's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[allow(missing_docs)] // the module above tells the meaning of each
pub enum Kind {
    Hello = 1,
    Accept = 2,
    File = 3,
    Chunk = 4,
    FileEnd = 5,
    FileDone = 6,
    Done = 7,
    Result = 8,
    Abort = 9,
    Abandon = 10,
    Alive = 11,
    Have = 12,
    Continue = 13,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 13] = [
        Kind::Hello,
        Kind::Accept,
        Kind::File,
        Kind::Chunk,
        Kind::FileEnd,
        Kind::FileDone,
        Kind::Done,
        Kind::Result,
        Kind::Abort,
        Kind::Abandon,
        Kind::Alive,
        Kind::Have,
        Kind::Continue,
    ];

    /// The name in capitals, as the protocol's description spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Hello => "HELLO",
            Kind::Accept => "ACCEPT",
            Kind::File => "FILE",
            Kind::Chunk => "CHUNK",
            Kind::FileEnd => "FILE_END",
            Kind::FileDone => "FILE_DONE",
            Kind::Done => "DONE",
            Kind::Result => "RESULT",
            Kind::Abort => "ABORT",
            Kind::Abandon => "ABANDON",
            Kind::Alive => "ALIVE",
            Kind::Have => "HAVE",
            Kind::Continue => "CONTINUE",
        }
    }

    fn from_wire(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|&kind| kind as u8 == number)
    }

    /// Whether frames of this kind are about one entry, whose index their header carries.
    const fn has_file(self) -> bool {
        matches!(
            self,
            Kind::File | Kind::Chunk | Kind::FileEnd | Kind::FileDone | Kind::Abandon | Kind::Have | Kind::Continue
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A decoded header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What the frame is.
    pub kind: Kind,
    /// Bytes of payload that follow: within the bounds of its kind.
    pub length: u32,
    /// The entry it is about; 0 where the kind is about none.
    pub file: u32,
    /// A chunk's offset in its file; 0 for every other kind. `offset + length` does not exceed [`SIZE_MAX`].
    pub offset: u64,
    /// The digest that the payload must have.
    pub digest: Digest,
}

/// What stands in a chunk's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkHeader {
    /// Index of its file.
    pub file: u32,
    /// Where in the file it goes.
    pub offset: u64,
    /// Bytes of payload, 1 to [`CHUNK_MAX`].
    pub length: u32,
    /// The payload's digest.
    pub digest: Digest,
}

impl Header {
    pub(super) fn encode(&self, out: &mut [u8; HEADER_SIZE]) {
        *out = [0; HEADER_SIZE];
        out[0..4].copy_from_slice(&MAGIC);
        out[4] = VERSION;
        out[5] = self.kind as u8;
        out[8..12].copy_from_slice(&self.length.to_le_bytes());
        out[12..16].copy_from_slice(&self.file.to_le_bytes());
        out[16..24].copy_from_slice(&self.offset.to_le_bytes());
        out[32..64].copy_from_slice(&self.digest);
        seal(out);
    }
}

/// Writes a chunk's header into the room before its payload.
pub fn encode_chunk_header(out: &mut [u8; HEADER_SIZE], chunk: &ChunkHeader) {
    debug_assert!((1..=CHUNK_MAX).contains(&chunk.length), "a chunk of {} bytes", chunk.length);
    let ChunkHeader { file, offset, length, digest } = *chunk;
    Header { kind: Kind::Chunk, length, file, offset, digest }.encode(out);
}

/// Reads a header: any bytes give a header whose fields are within their bounds, or an error.
///
/// Magic and version are looked at before the check, so that a stranger is told apart from damage.
///
/// # Errors
/// The first rule that the bytes break.
pub fn decode_header(bytes: &[u8; HEADER_SIZE]) -> Result<Header, WireError> {
    if is_tls(bytes) {
        return Err(WireError::Tls);
    }
    if bytes[0..4] != MAGIC {
        return Err(WireError::Magic);
    }
    if bytes[4] != VERSION {
        return Err(WireError::Version(bytes[4]));
    }
    if bytes[CHECK] != check(bytes) {
        return Err(WireError::HeaderCheck);
    }
    let kind = Kind::from_wire(bytes[5]).ok_or(WireError::Kind(bytes[5]))?;
    let flags = u16::from_le_bytes(array(bytes, 6));
    if flags != 0 {
        return Err(WireError::Flags(flags));
    }
    let header = Header {
        kind,
        length: u32::from_le_bytes(array(bytes, 8)),
        file: u32::from_le_bytes(array(bytes, 12)),
        offset: u64::from_le_bytes(array(bytes, 16)),
        digest: array(bytes, 32),
    };
    let fits = match kind {
        Kind::Chunk => (1..=CHUNK_MAX).contains(&header.length),
        _ => header.length <= CONTROL_PAYLOAD_MAX,
    };
    if !fits {
        return Err(WireError::Length { kind, length: header.length });
    }
    if header.file != 0 && !kind.has_file() {
        return Err(WireError::Field { kind, field: "file index" });
    }
    let within = header.offset.checked_add(u64::from(header.length)).is_some_and(|end| end <= SIZE_MAX);
    if !within || (header.offset != 0 && kind != Kind::Chunk) {
        return Err(WireError::Field { kind, field: "offset" });
    }
    Ok(header)
}

/// Whether a stream that begins so is TLS: a record's kind (20 to 23), and the version's first byte.
pub fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=23, 3, ..])
}

/// Sets the header's check.
pub(super) fn seal(bytes: &mut [u8; HEADER_SIZE]) {
    let check = check(bytes);
    bytes[CHECK].copy_from_slice(&check);
}

/// The digest of the header without its check, cut to 8 bytes: one compression, about 100 ns a chunk. The payload's
/// digest does not cover offset and file, and data written to the wrong place is as lost as data that is wrong.
fn check(bytes: &[u8; HEADER_SIZE]) -> [u8; 8] {
    let mut unsealed = *bytes;
    unsealed[CHECK].fill(0);
    array(blake3::hash(&unsealed).as_bytes(), 0)
}

/// The `N` bytes at `start`; `start` is a constant within the array at every call.
fn array<const N: usize, const M: usize>(bytes: &[u8; M], start: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[start..start + N]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk() -> ChunkHeader {
        ChunkHeader { file: 7, offset: 3 << 20, length: 1 << 20, digest: [0x5a; 32] }
    }

    fn encoded() -> [u8; HEADER_SIZE] {
        let mut bytes = [0xff; HEADER_SIZE];
        encode_chunk_header(&mut bytes, &chunk());
        bytes
    }

    fn altered(change: impl FnOnce(&mut [u8; HEADER_SIZE])) -> Result<Header, WireError> {
        let mut bytes = encoded();
        change(&mut bytes);
        seal(&mut bytes);
        decode_header(&bytes)
    }

    #[test]
    fn a_chunk_header_survives_the_wire() {
        let ChunkHeader { file, offset, length, digest } = chunk();
        assert_eq!(decode_header(&encoded()), Ok(Header { kind: Kind::Chunk, length, file, offset, digest }));
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let bytes = encoded();
        assert_eq!(&bytes[..8], b"prct\x02\x04\0\0");
        assert_eq!(bytes[8..12], [0, 0, 16, 0]);
        assert_eq!(bytes[12..16], [7, 0, 0, 0]);
        assert_eq!(bytes[16..24], [0, 0, 0x30, 0, 0, 0, 0, 0]);
        assert_eq!(bytes[32..], [0x5a; 32]);
    }

    #[test]
    fn any_single_flipped_bit_is_noticed() {
        for bit in 0..HEADER_SIZE * 8 {
            let mut bytes = encoded();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = decode_header(&bytes).expect_err("a flipped bit");
            match bit / 8 {
                0..4 => assert_eq!(error, WireError::Magic),
                4 => assert!(matches!(error, WireError::Version(_))),
                _ => assert_eq!(error, WireError::HeaderCheck, "bit {bit}"),
            }
        }
    }

    #[test]
    fn a_stranger_and_another_version_are_told_apart() {
        assert_eq!(
            decode_header(b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: curl\r\nAccept: */*\r\n"),
            Err(WireError::Magic)
        );
        assert_eq!(altered(|bytes| bytes[4] = 1), Err(WireError::Version(1)));
        assert_eq!(altered(|bytes| bytes[5] = 99), Err(WireError::Kind(99)));
        assert_eq!(altered(|bytes| bytes[6] = 1), Err(WireError::Flags(1)));
    }

    #[test]
    fn lengths_beyond_their_bounds_are_refused() {
        for length in [0, CHUNK_MAX + 1, u32::MAX] {
            let refused = altered(|bytes| bytes[8..12].copy_from_slice(&length.to_le_bytes()));
            assert_eq!(refused, Err(WireError::Length { kind: Kind::Chunk, length }));
        }
        assert!(altered(|bytes| bytes[8..12].copy_from_slice(&CHUNK_MAX.to_le_bytes())).is_ok());
        for kind in Kind::ALL.into_iter().filter(|&kind| kind != Kind::Chunk) {
            let length = CONTROL_PAYLOAD_MAX + 1;
            let refused = altered(|bytes| {
                bytes[5] = kind as u8;
                bytes[8..12].copy_from_slice(&length.to_le_bytes());
            });
            assert_eq!(refused, Err(WireError::Length { kind, length }));
        }
    }

    #[test]
    fn an_end_that_overflows_or_passes_the_largest_file_is_refused() {
        for offset in [u64::MAX, u64::MAX - (1 << 20), SIZE_MAX, SIZE_MAX - (1 << 20) + 1] {
            let refused = altered(|bytes| bytes[16..24].copy_from_slice(&offset.to_le_bytes()));
            assert_eq!(refused, Err(WireError::Field { kind: Kind::Chunk, field: "offset" }), "{offset}");
        }
        let last = SIZE_MAX - (1 << 20);
        assert_eq!(altered(|bytes| bytes[16..24].copy_from_slice(&last.to_le_bytes())).unwrap().offset, last);
    }

    #[test]
    fn fields_that_a_kind_does_not_have_must_be_zero() {
        let control = |bytes: &mut [u8; HEADER_SIZE], kind: Kind| {
            bytes[5] = kind as u8;
            bytes[8..24].fill(0);
        };
        let refused = altered(|bytes| {
            control(bytes, Kind::Hello);
            bytes[12] = 1;
        });
        assert_eq!(refused, Err(WireError::Field { kind: Kind::Hello, field: "file index" }));
        let refused = altered(|bytes| {
            control(bytes, Kind::FileEnd);
            bytes[16] = 1;
        });
        assert_eq!(refused, Err(WireError::Field { kind: Kind::FileEnd, field: "offset" }));
    }
}
