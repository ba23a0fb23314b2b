//! Honest sessions pass, others stop at the first frame that does not fit.

use super::*;
use crate::path::RelativeName;
use crate::wire::{SessionId, Standing, digest};

const CHUNK: u32 = 4096;

fn hello(entries: u32, bytes: u64) -> Hello {
    Hello {
        session: SessionId([3; 16]),
        chunk_size: CHUNK,
        totals: Totals { entries, bytes },
        overwrite: false,
        resume: false,
    }
}

fn entry(kind: EntryKind, size: u64) -> Entry {
    let name = RelativeName::new(b"name").unwrap();
    Entry { kind, mode: 0o644, modified_seconds: 0, modified_nanoseconds: 0, size, name }
}

fn chunk(file: u32, offset: u64, length: u32) -> Header {
    Header { kind: Kind::Chunk, length, file, offset, digest: [0; 32] }
}

fn in_file(size: u64) -> Incoming {
    let mut incoming = Incoming::new(Limits::default());
    incoming.hello(&hello(1, size)).unwrap();
    incoming.file(0, &entry(EntryKind::File, size)).unwrap();
    incoming
}

#[test]
fn an_honest_session_passes() {
    let mut incoming = Incoming::new(Limits::default());
    let size = 2 * u64::from(CHUNK) + 1;
    incoming.hello(&hello(3, size)).unwrap();
    incoming.file(0, &entry(EntryKind::Directory, 0)).unwrap();
    incoming.file(1, &entry(EntryKind::File, size)).unwrap();
    let mut whole = FileDigest::new();
    for (offset, length) in chunks(size, CHUNK) {
        incoming.chunk(&chunk(1, offset, length)).unwrap();
        whole.push(&[0; 32]);
    }
    incoming.file_end(1, &FileEnd { chunks: 3, digest: whole.finish() }, &whole.finish()).unwrap();
    incoming.file(2, &entry(EntryKind::File, 0)).unwrap();
    incoming.file_end(2, &FileEnd { chunks: 0, digest: empty_file_digest() }, &empty_file_digest()).unwrap();
    assert!(!incoming.is_done());
    incoming.done(&Totals { entries: 3, bytes: size }).unwrap();
    assert!(incoming.is_done());
}

#[test]
fn frames_out_of_turn_are_refused_and_the_message_says_when() {
    let mut incoming = Incoming::new(Limits::default());
    let error = incoming.file(0, &entry(EntryKind::File, 0)).unwrap_err();
    assert_eq!(error.to_string(), "unexpected FILE frame before HELLO");
    assert!(incoming.chunk(&chunk(0, 0, 1)).is_err());
    assert!(incoming.done(&Totals::default()).is_err());
    incoming.hello(&hello(1, 1)).unwrap();
    assert!(incoming.hello(&hello(1, 1)).is_err());
    assert!(incoming.chunk(&chunk(0, 0, 1)).is_err());
    assert!(incoming.abandon(0).is_err());
    incoming.file(0, &entry(EntryKind::File, 1)).unwrap();
    assert!(incoming.file(1, &entry(EntryKind::File, 0)).is_err());
    let error = incoming.done(&Totals { entries: 1, bytes: 1 }).unwrap_err();
    assert_eq!(error.to_string(), "unexpected DONE frame in a file");
}

#[test]
fn more_than_was_announced_or_allowed_is_refused() {
    let mut incoming = Incoming::new(Limits { files_max: 2, ..Limits::default() });
    let error = incoming.hello(&hello(3, 0)).unwrap_err();
    assert_eq!(error, WireError::Limit { what: "number of files", value: 3, limit: 2 });
    incoming.hello(&hello(1, 10)).unwrap();
    let error = incoming.file(0, &entry(EntryKind::File, 11)).unwrap_err();
    assert_eq!(error, WireError::Limit { what: "size of a file", value: 11, limit: 10 });
    incoming.file(0, &entry(EntryKind::Directory, 0)).unwrap();
    assert!(matches!(incoming.file(1, &entry(EntryKind::Directory, 0)), Err(WireError::Limit { .. })));
    let mut incoming = Incoming::new(Limits { name_max: 3, ..Limits::default() });
    incoming.hello(&hello(1, 0)).unwrap();
    assert!(matches!(incoming.file(0, &entry(EntryKind::File, 0)), Err(WireError::Limit { value: 4, limit: 3, .. })));
}

#[test]
fn chunks_must_come_in_order_without_gap_within_the_file_and_at_full_size() {
    let size = u64::from(CHUNK) + 10;
    for wrong in [
        chunk(1, 0, CHUNK),
        chunk(0, 1, CHUNK),
        chunk(0, u64::from(CHUNK), 10),
        chunk(0, 0, CHUNK - 1),
        chunk(0, 0, CHUNK + 1),
    ] {
        assert!(matches!(in_file(size).chunk(&wrong), Err(WireError::Contradiction { .. })), "{wrong:?}");
    }
    let mut incoming = in_file(size);
    incoming.chunk(&chunk(0, 0, CHUNK)).unwrap();
    let beyond = incoming.chunk(&chunk(0, u64::from(CHUNK), 11)).unwrap_err();
    assert_eq!(beyond, WireError::Contradiction { kind: Kind::Chunk, what: "length", value: 11, expected: 10 });
    assert!(incoming.chunk(&chunk(0, 0, CHUNK)).is_err(), "the same chunk twice");
    incoming.chunk(&chunk(0, u64::from(CHUNK), 10)).unwrap();
    assert!(incoming.chunk(&chunk(0, size, 1)).is_err(), "a chunk past the end");
}

#[test]
fn a_file_that_ends_early_or_with_another_digest_is_not_whole() {
    let end = FileEnd { chunks: 1, digest: digest(&[0; 32]) };
    assert!(matches!(in_file(5).file_end(0, &end, &end.digest), Err(WireError::Contradiction { what: "end", .. })));
    let mut incoming = in_file(5);
    incoming.chunk(&chunk(0, 0, 5)).unwrap();
    let count = FileEnd { chunks: 2, ..end };
    assert!(matches!(incoming.file_end(0, &count, &end.digest), Err(WireError::Contradiction { .. })));
    let error = incoming.file_end(0, &end, &[1; 32]).unwrap_err();
    assert!(error.is_corruption());
    incoming.file_end(0, &end, &end.digest).unwrap();
}

#[test]
fn an_abandoned_file_lets_the_session_go_on() {
    let mut incoming = in_file(5);
    assert!(incoming.abandon(1).is_err());
    incoming.abandon(0).unwrap();
    incoming.done(&Totals { entries: 1, bytes: 5 }).unwrap();
}

#[test]
fn totals_must_agree_with_what_was_announced_and_seen() {
    let mut incoming = Incoming::new(Limits::default());
    incoming.hello(&hello(2, 0)).unwrap();
    incoming.file(0, &entry(EntryKind::Directory, 0)).unwrap();
    assert!(incoming.done(&Totals { entries: 2, bytes: 0 }).is_err(), "one entry never came");
    assert!(incoming.done(&Totals { entries: 1, bytes: 0 }).is_err(), "two were announced");
    incoming.file(1, &entry(EntryKind::Directory, 0)).unwrap();
    assert!(incoming.done(&Totals { entries: 2, bytes: 1 }).is_err());
    incoming.done(&Totals { entries: 2, bytes: 0 }).unwrap();
}

#[test]
fn the_chunk_size_in_force_is_within_the_receivers_limit() {
    let mut incoming = Incoming::new(Limits { chunk_max: CHUNK, ..Limits::default() });
    incoming.hello(&Hello { chunk_size: 1 << 20, ..hello(0, 0) }).unwrap();
    assert_eq!(incoming.chunk_size(), CHUNK);
}

#[test]
fn files_are_split_into_full_chunks_and_a_rest() {
    assert_eq!(chunks(0, 10).count(), 0);
    assert_eq!(chunks(10, 10).collect::<Vec<_>>(), [(0, 10)]);
    assert_eq!(chunks(21, 10).collect::<Vec<_>>(), [(0, 10), (10, 10), (20, 1)]);
    assert_eq!(chunks(crate::wire::SIZE_MAX, 1 << 20).next(), Some((0, 1 << 20)));
}

#[test]
fn every_file_is_answered_exactly_once_before_the_result() {
    let mut replies = Replies::new(70);
    assert!(replies.file_done(0).is_err(), "before ACCEPT");
    assert!(replies.result().is_err());
    replies.accept().unwrap();
    assert!(replies.accept().is_err());
    assert!(replies.file_done(0).is_err(), "not sent yet");
    for _ in 0..70 {
        replies.announce();
    }
    for file in (0..70).rev() {
        replies.file_done(file).unwrap();
        assert!(replies.file_done(file).is_err(), "the second answer for {file}");
    }
    assert!(replies.file_done(70).is_err());
    assert!(replies.file_done(u32::MAX).is_err());
    assert_eq!(replies.open(), 0);
    replies.result().unwrap();
    assert!(replies.is_finished() && replies.result().is_err());
}

#[test]
fn a_result_before_all_answers_is_refused() {
    let mut replies = Replies::new(2);
    replies.accept().unwrap();
    replies.announce();
    replies.file_done(0).unwrap();
    assert!(matches!(replies.result(), Err(WireError::Contradiction { value: 1, .. })));
}

fn asked(size: u64) -> Incoming {
    let mut incoming = Incoming::new(Limits::default());
    incoming.hello(&Hello { resume: true, ..hello(1, size) }).unwrap();
    incoming.file(0, &entry(EntryKind::File, size)).unwrap();
    incoming
}

fn have(chunks: u64) -> Have {
    let standing = if chunks == 0 { Standing::Nothing } else { Standing::Partial };
    Have { standing, chunks, digest: [0; 32] }
}

#[test]
fn a_file_that_is_asked_about_waits_for_the_answer_and_goes_on_behind_what_was_offered() {
    let size = 4 * u64::from(CHUNK) + 1;
    let mut incoming = asked(size);
    assert!(incoming.is_have_due());
    assert!(incoming.chunk(&chunk(0, 0, CHUNK)).is_err(), "before HAVE");
    incoming.offer(&have(3));
    assert!(incoming.chunk(&chunk(0, 0, CHUNK)).is_err(), "before CONTINUE");
    assert!(matches!(incoming.go_on(0, 2), Err(WireError::Contradiction { value: 2, expected: 3, .. })));
    assert!(incoming.go_on(1, 3).is_err(), "another file");
    incoming.go_on(0, 3).unwrap();
    assert!(incoming.go_on(0, 3).is_err(), "twice");
    assert!(incoming.chunk(&chunk(0, 0, CHUNK)).is_err(), "what was kept is not sent");
    incoming.chunk(&chunk(0, 3 * u64::from(CHUNK), CHUNK)).unwrap();
    incoming.alive().unwrap();
    incoming.chunk(&chunk(0, 4 * u64::from(CHUNK), 1)).unwrap();
    incoming.file_end(0, &FileEnd { chunks: 5, digest: [1; 32] }, &[1; 32]).unwrap();
}

#[test]
fn what_was_offered_may_be_declined_and_nothing_offered_needs_no_answer() {
    let mut incoming = asked(2 * u64::from(CHUNK));
    incoming.offer(&have(1));
    incoming.go_on(0, 0).unwrap();
    incoming.chunk(&chunk(0, 0, CHUNK)).unwrap();
    let mut incoming = asked(2 * u64::from(CHUNK));
    incoming.offer(&have(0));
    incoming.chunk(&chunk(0, 0, CHUNK)).unwrap();
    // Whole: no chunk is left.
    let mut incoming = asked(u64::from(CHUNK) + 1);
    incoming.offer(&have(2));
    incoming.go_on(0, 2).unwrap();
    incoming.file_end(0, &FileEnd { chunks: 2, digest: [1; 32] }, &[1; 32]).unwrap();
}

#[test]
fn only_files_of_more_than_a_chunk_are_asked_about_and_only_where_that_was_agreed() {
    assert!(!in_file(3 * u64::from(CHUNK)).is_have_due());
    assert!(!asked(u64::from(CHUNK)).is_have_due());
    assert!(asked(u64::from(CHUNK) + 1).is_have_due());
    assert!(in_file(3 * u64::from(CHUNK)).go_on(0, 0).is_err());
}

#[test]
fn an_answer_about_a_file_that_was_not_asked_about_or_with_too_many_chunks_is_refused() {
    let mut replies = Replies::new(1);
    replies.accept().unwrap();
    replies.announce();
    assert!(replies.have(0, &have(1)).is_err());
    replies.ask(4);
    assert!(matches!(replies.have(1, &have(1)), Err(WireError::Contradiction { .. })));
    assert!(matches!(replies.have(0, &have(5)), Err(WireError::Limit { value: 5, limit: 4, .. })));
    replies.have(0, &have(4)).unwrap();
    assert!(replies.have(0, &have(4)).is_err(), "twice");
}
