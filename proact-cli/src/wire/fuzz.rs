//! Any bytes at all: random, truncated and mutated input must give a value within bounds or an error, never a panic.

use super::session::{Incoming, Replies};
use super::*;
use crate::path::RelativeName;

/// A small generator with a seed, so that a failure can be run again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014): each output is a mix of a counter.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }
}

/// One of each frame, with values at and away from their bounds.
pub(super) fn every_frame() -> Vec<Frame> {
    let totals = Totals { entries: 3, bytes: SIZE_MAX };
    let fault = || Fault::new(FaultKind::Exists, "dir/é: exists already");
    let entry = |kind, size, name: &[u8]| Entry {
        kind,
        mode: 0o777,
        modified_seconds: i64::MIN,
        modified_nanoseconds: 999_999_999,
        size,
        name: RelativeName::new(name).unwrap(),
    };
    vec![
        Frame::Hello(Hello {
            session: SessionId([0xa5; 16]),
            chunk_size: CHUNK_MAX,
            totals,
            overwrite: true,
            resume: true,
        }),
        Frame::Accept(Accept { limits: Limits::default() }),
        Frame::File { file: 0, entry: entry(EntryKind::Directory, 0, b"dir") },
        Frame::File { file: u32::MAX, entry: entry(EntryKind::File, SIZE_MAX, "dir/é".as_bytes()) },
        Frame::FileEnd { file: 1, end: FileEnd { chunks: u64::MAX, digest: [7; 32] } },
        Frame::Abandon { file: 1, fault: fault() },
        Frame::Done(totals),
        Frame::FileDone { file: 2, fault: None },
        Frame::FileDone { file: 2, fault: Some(fault()) },
        Frame::Result { delivered: totals, fault: None },
        Frame::Result { delivered: Totals::default(), fault: Some(fault()) },
        Frame::Abort(fault()),
        Frame::Alive,
        Frame::Have { file: 5, have: Have { standing: Standing::Partial, chunks: u64::MAX, digest: [9; 32] } },
        Frame::Have { file: 5, have: Have::nothing(Standing::Unable) },
        Frame::Continue { file: 5, chunks: 7 },
    ]
}

/// Feeds a whole stream to both checkers, as the engines would, up to the first refusal. Returns the frames taken.
fn consume(mut stream: &[u8]) -> usize {
    let mut incoming = Incoming::new(Limits::default());
    let mut replies = Replies::new(4);
    let mut taken = 0;
    while let Some((head, rest)) = stream.split_first_chunk() {
        let Ok(header) = decode_header(head) else { break };
        assert!(header.length <= CHUNK_MAX);
        assert!(header.offset + u64::from(header.length) <= SIZE_MAX);
        assert!(header.kind == Kind::Chunk || header.length <= CONTROL_PAYLOAD_MAX);
        let Some((payload, rest)) = rest.split_at_checked(header.length as usize) else { break };
        stream = rest;
        let accepted = if header.kind == Kind::Chunk {
            incoming.chunk(&header)
        } else {
            Frame::decode(&header, payload).and_then(|frame| judge(&mut incoming, &mut replies, &frame))
        };
        if accepted.is_err() {
            break;
        }
        taken += 1;
    }
    taken
}

fn judge(incoming: &mut Incoming, replies: &mut Replies, frame: &Frame) -> Result<(), WireError> {
    match frame {
        Frame::Hello(hello) => incoming.hello(hello),
        Frame::File { file, entry } => incoming.file(*file, entry).map(|()| replies.announce()),
        Frame::FileEnd { file, end } => incoming.file_end(*file, end, &end.digest),
        Frame::Abandon { file, .. } => incoming.abandon(*file),
        Frame::Done(totals) => incoming.done(totals),
        Frame::Accept(_) => replies.accept(),
        Frame::FileDone { file, .. } => replies.file_done(*file),
        Frame::Result { .. } => replies.result(),
        Frame::Abort(_) => Ok(()),
        Frame::Alive => replies.alive(),
        Frame::Have { file, have } => replies.have(*file, have),
        Frame::Continue { file, chunks } => incoming.go_on(*file, *chunks),
    }
}

/// A session of both sides' frames that every check passes.
fn honest_stream() -> (Vec<u8>, usize) {
    let (size, chunk_size) = (5000u64, CHUNK_MIN);
    let totals = Totals { entries: 2, bytes: size };
    let entry = |kind, size, name: &[u8]| Entry {
        kind,
        mode: 0o640,
        modified_seconds: 1_700_000_000,
        modified_nanoseconds: 1,
        size,
        name: RelativeName::new(name).unwrap(),
    };
    let mut stream = Vec::new();
    let mut frames = 0;
    let mut put = |frame: Frame, stream: &mut Vec<u8>| {
        frame.encode(stream);
        frames += 1;
    };
    put(
        Frame::Hello(Hello { session: SessionId([1; 16]), chunk_size, totals, overwrite: false, resume: false }),
        &mut stream,
    );
    put(Frame::Accept(Accept { limits: Limits::default() }), &mut stream);
    put(Frame::File { file: 0, entry: entry(EntryKind::Directory, 0, b"d") }, &mut stream);
    put(Frame::FileDone { file: 0, fault: None }, &mut stream);
    put(Frame::File { file: 1, entry: entry(EntryKind::File, size, b"d/f") }, &mut stream);
    let mut whole = FileDigest::new();
    for (offset, length) in session::chunks(size, chunk_size) {
        let payload = vec![offset as u8; length as usize];
        let mut header = [0; HEADER_SIZE];
        encode_chunk_header(&mut header, &ChunkHeader { file: 1, offset, length, digest: digest(&payload) });
        whole.push(&digest(&payload));
        stream.extend_from_slice(&header);
        stream.extend_from_slice(&payload);
    }
    let end = FileEnd { chunks: whole.chunks(), digest: whole.finish() };
    put(Frame::FileEnd { file: 1, end }, &mut stream);
    put(Frame::Done(totals), &mut stream);
    (stream, frames + whole.chunks() as usize)
}

#[test]
fn an_honest_stream_is_taken_whole_and_any_prefix_of_it_stops_cleanly() {
    let (stream, frames) = honest_stream();
    assert_eq!(consume(&stream), frames);
    for end in 0..stream.len() {
        assert!(consume(&stream[..end]) < frames, "cut at {end}");
    }
}

#[test]
fn random_bytes_are_refused() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let length = random.below(400);
        assert_eq!(consume(&random.bytes(length)), 0);
    }
}

#[test]
fn random_bytes_behind_a_valid_seal_give_a_bounded_header_or_an_error() {
    let mut random = Random(2);
    let mut headers = 0;
    for _ in 0..50_000 {
        let mut bytes: [u8; HEADER_SIZE] = random.bytes(HEADER_SIZE).try_into().unwrap();
        bytes[..8].copy_from_slice(&[b'p', b'r', b'c', b't', VERSION, 1 + random.below(11) as u8, 0, 0]);
        // Small lengths often, so that the rules behind the length are reached.
        bytes[10 + random.below(2)..12].fill(0);
        if random.below(2) == 0 {
            bytes[12..24].fill(0);
        }
        header::seal(&mut bytes);
        if let Ok(header) = decode_header(&bytes) {
            headers += 1;
            assert!(header.length <= if header.kind == Kind::Chunk { CHUNK_MAX } else { CONTROL_PAYLOAD_MAX });
            assert!(header.offset.checked_add(header.length.into()).is_some_and(|end| end <= SIZE_MAX));
        }
    }
    assert!(headers > 1000, "only {headers} of the headers got past the first rules");
}

#[test]
fn mutated_payloads_behind_a_valid_seal_decode_to_what_encodes_back_or_to_an_error() {
    let mut random = Random(3);
    let frames = every_frame();
    let mut decoded = 0;
    for _ in 0..50_000 {
        let frame = &frames[random.below(frames.len())];
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let mut payload = bytes.split_off(HEADER_SIZE);
        for _ in 0..1 + random.below(3) {
            let at = random.below(payload.len().max(1));
            match random.below(4) {
                0 if !payload.is_empty() => payload[at] = random.next() as u8,
                1 if !payload.is_empty() => payload[at] ^= 1 << random.below(8),
                2 => payload.truncate(at),
                _ => payload.insert(at.min(payload.len()), random.next() as u8),
            }
        }
        // Nine in ten keep their kind; the rest are read as a frame of another.
        let kind = if random.below(10) == 0 { Kind::ALL[random.below(10)] } else { frame.kind() };
        let length = payload.len() as u32;
        let header = Header { kind, length, file: 0, offset: 0, digest: digest(&payload) };
        if let Ok(value) = Frame::decode(&header, &payload) {
            decoded += 1;
            let mut again = Vec::new();
            value.encode(&mut again);
            let (head, payload) = again.split_first_chunk().unwrap();
            assert_eq!(Frame::decode(&decode_header(head).unwrap(), payload), Ok(value));
        }
    }
    assert!(decoded > 1000, "only {decoded} mutants got through");
}

#[test]
fn mutated_streams_never_pass_whole_unless_only_a_chunks_data_changed() {
    let mut random = Random(4);
    let (stream, frames) = honest_stream();
    let (mut refused, mut passed) = (0, 0);
    for _ in 0..5_000 {
        let mut mutant = stream.clone();
        let at = random.below(mutant.len());
        mutant[at] ^= 1 << random.below(8);
        // The digest of a chunk's payload is for the compute worker to check, not for the protocol.
        if consume(&mutant) == frames { passed += 1 } else { refused += 1 }
    }
    assert!(refused > 100 && passed > 100, "{refused} refused, {passed} passed");
}
