//! Names: failures, lists of threads and counters say what the program calls a thing, and what has none says nothing.

use std::time::Duration;

use proact::operation::{Chain, Close, EventWait, Nop, Op, Read, ReadStream, Receive, Send, Timer, Write, WriteStream};
use proact::resource::{Domain, SocketOptions, SocketType};
use proact::status::{Code, Status};
use proact::time::Time;

use crate::bench::Cts;
use crate::cases;
use crate::harness::Only;

cases![
    a_failure_tells_the_name_of_what_it_was_about,
    a_failure_without_a_name_tells_none,
    what_a_stream_keeps_is_told_with_the_name,
    a_refusal_at_submit_tells_the_name,
    a_passed_deadline_tells_the_name_and_a_cancel_does_not,
    a_call_that_fails_tells_the_name.only(Only::Whole),
    a_name_is_shared_by_all_handles_and_the_last_one_counts.only(Only::Once),
    a_proactor_tells_its_name_and_counters_as_a_table,
];

/// `text` says `name` in quotes, once.
#[track_caller]
fn tells(status: &Status, name: &str) {
    let text = status.to_string();
    assert_eq!(text.matches(&format!("{name:?}")).count(), 1, "{text}");
}

fn a_failure_tells_the_name_of_what_it_was_about(cts: &mut Cts) {
    let file = cts.file("short", b"abc").named("the log");
    let early = cts.fails(Read::exact(file, 0, vec![0u8; 8]));
    assert_eq!(early.code(), Code::OutOfRange);
    tells(&early, "the log");
    assert!(early.to_string().starts_with("read \"the log\": ended after 3 of 8 bytes"), "{early}");

    let (one, two) = cts.pair();
    let two = two.named("control");
    drop(one);
    tells(&cts.fails(Receive::exact(two, vec![0u8; 1])), "control");

    let (reader, writer) = cts.handle().pipe().unwrap();
    drop(reader);
    tells(&cts.fails(WriteStream::exact(writer.named("a pipe"), vec![0u8; 1])), "a pipe");
    let (reader, writer) = cts.handle().pipe().unwrap();
    drop(writer);
    tells(&cts.fails(ReadStream::exact(reader.named("\"odd\"\n"), vec![0u8; 1])), "\"odd\"\n");
}

fn a_failure_without_a_name_tells_none(cts: &mut Cts) {
    let file = cts.file("short", b"abc");
    assert_eq!(file.name(), None);
    let early = cts.fails(Read::exact(file, 0, vec![0u8; 8]));
    assert!(early.to_string().starts_with("read: ended after"), "{early}");
}

fn what_a_stream_keeps_is_told_with_the_name(cts: &mut Cts) {
    let (one, two) = cts.pair();
    let one = one.named("peer 7");
    two.set_linger(Some(Duration::ZERO)).unwrap();
    cts.get(Close::new(two));
    let first = cts.fails(Receive::exact(one.clone(), vec![0u8; 1]));
    tells(&first, "peer 7");
    tells(&one.failure().unwrap(), "peer 7");
    // The same failure, told of another operation: named once all the same.
    tells(&cts.fails(Send::exact(one.clone(), vec![0u8; 1])), "peer 7");
    assert_eq!(one.failure().unwrap().code(), first.code());
}

fn a_refusal_at_submit_tells_the_name(cts: &mut Cts) {
    let file = cts.file("closed", b"abc").named("gone");
    cts.get(Close::new(file.clone()));
    let refused = cts.submit(Op::new(Write::exact(file, 0, vec![0u8; 1]), ())).unwrap_err().status;
    assert_eq!(refused.code(), Code::FailedPrecondition);
    tells(&refused, "gone");

    let beside = Cts::beside(cts.config);
    let event = beside.handle().event().unwrap().named("theirs");
    let refused = cts.submit(Op::new(EventWait::new(event), ())).unwrap_err().status;
    assert_eq!(refused.code(), Code::InvalidArgument);
    tells(&refused, "theirs");
}

fn a_passed_deadline_tells_the_name_and_a_cancel_does_not(cts: &mut Cts) {
    let event = cts.handle().event().unwrap().named("never set");
    let (wait, late) = cts.watch(EventWait::new(event.clone()));
    let wait = wait.deadline(cts.now());
    cts.submit(wait).unwrap();
    cts.until("the deadline", || late.is_done());
    let late = late.only().status();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    tells(&late, "never set");

    let (wait, ended) = cts.watch(EventWait::new(event.clone()));
    let id = cts.submit(wait).unwrap();
    cts.cancel(id).unwrap();
    cts.until("the cancel", || ended.is_done());
    let cancelled = ended.only().status();
    assert!(!cancelled.to_string().contains("never set"), "asked for, and nothing is made for it: {cancelled}");

    // Behind a failure: a cancel too.
    let file = cts.file("f", b"").named("empty");
    let (read, failed) = cts.watch(Read::exact(file, 0, vec![0u8; 1]));
    let (wait, doomed) = cts.watch(EventWait::new(event));
    cts.submit(Chain::new((read, wait))).unwrap();
    cts.until("the chain", || doomed.is_done());
    tells(&failed.only().status(), "empty");
    assert!(!doomed.only().status().to_string().contains("never set"));
}

fn a_call_that_fails_tells_the_name(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let second = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap().named("second");
    let taken = second.bind(&address).unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    tells(&taken, "second");
    cts.get(Close::new(second.clone()));
    tells(&second.local_address().unwrap_err(), "second");
    drop(listener);
}

fn a_name_is_shared_by_all_handles_and_the_last_one_counts(cts: &mut Cts) {
    let (one, two) = cts.handle().socket_pair(SocketType::Stream).unwrap();
    let clone = one.clone();
    let one = one.named("first");
    assert_eq!(clone.name().as_deref(), Some("first"));
    let clone = clone.named(String::from("second"));
    assert_eq!(one.name().as_deref(), Some("second"));
    assert!(format!("{clone:?}").contains("\"second\""), "{clone:?}");
    assert_eq!(two.name(), None, "the peer is another");
    // What else has a descriptor.
    let (reader, _) = cts.handle().pipe().unwrap();
    assert_eq!(reader.named("r").name().as_deref(), Some("r"));
    assert_eq!(cts.handle().watcher().unwrap().named("w").name().as_deref(), Some("w"));
}

fn a_proactor_tells_its_name_and_counters_as_a_table(cts: &mut Cts) {
    cts.rebuild(|builder| builder.name("tables and more of them"));
    assert_eq!(cts.handle().name(), "tables and more of them");
    assert!(format!("{:?}", cts.handle()).contains("\"tables and more of them\""), "{:?}", cts.handle());
    cts.get(Nop);
    let (timer, _watch) = cts.watch(Timer::new(Time::FAR_FUTURE));
    cts.submit(timer).unwrap();
    let statistics = cts.statistics();
    assert_eq!(&*statistics.name, "tables and more of them");
    let table = statistics.to_string();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("tables and more of them"));
    let lines: Vec<(&str, &str)> = lines.map(|line| line.trim().rsplit_once(' ').unwrap()).collect();
    let value = |name: &str| lines.iter().find(|(found, _)| found.trim() == name).unwrap().1;
    assert_eq!((value("submitted"), value("completed"), value("queue depth")), ("2", "1", "1"));
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");
    // As many lines as there are counters: the fields without the name.
    let fields = format!("{statistics:?}").matches(": ").count();
    assert_eq!(lines.len(), fields - 1, "{table}");
}
