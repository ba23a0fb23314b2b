//! Every frame there and back, and what no frame may say.

use super::*;
use crate::path::{NAME_MAX, NameError};
use crate::wire::fuzz::every_frame;
use crate::wire::{CONTROL_PAYLOAD_MAX, FaultKind, WireError, decode_header};

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
            resume: false,
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
    let hello = Hello {
        session: SessionId([0; 16]),
        chunk_size: 1 << 20,
        totals: Totals::default(),
        overwrite: false,
        resume: true,
    };
    let accept = |chunk_max| Accept { limits: Limits { chunk_max, ..Limits::default() } };
    assert_eq!(accept(64 << 10).chunk_size(&hello), 64 << 10);
    assert_eq!(accept(CHUNK_MAX).chunk_size(&hello), 1 << 20);
}
