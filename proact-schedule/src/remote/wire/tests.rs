//! The bytes of messages: as they are written down, and any others.

use proact::causal::{Axis, Entry, Frontier, Knowledge, Session};

use super::*;
use crate::remote::{MachineId, MachineSet, RemotePoint, SemaphoreName, StageId};

mod any_bytes;
mod golden;

pub(super) const SESSION: Session = Session::new(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff, 9);

fn point(owner: u8, number: u64, value: u64) -> RemotePoint {
    RemotePoint::new(SemaphoreName::new(MachineId(owner), MachineId(1), number).unwrap(), value)
}

fn stage(machine: u8, epoch: u64) -> StageId {
    StageId::new(Axis::queue(SESSION.epoch(), machine, 3, 1), epoch)
}

fn join() -> Join {
    Join { name: "b-é".into(), address: "[::1]:7".into(), devices: vec!["gpu".into(), String::new()] }
}

fn frontier() -> Frontier {
    Frontier::from_entries(&[Entry::new(stage(0, 1).axis, 5), Entry::new(stage(2, 1).axis, 1 << 40)]).unwrap()
}

/// One of each kind, and of what may be there or not.
pub(super) fn every_message() -> Vec<Message> {
    let failure = Failure::new(FailureKind::Loss, MachineId(2), Some(stage(2, 9)), "gone\u{7} for good");
    let signal = |ended| SessionSignal { point: point(2, 3, 4), producer: stage(2, 6), ended, suspect: frontier() };
    let waits = vec![
        StageWait { point: point(0, 1, 1), arrival: Arrival::Own, producer: None },
        StageWait { point: point(2, 1, 2), arrival: Arrival::Told, producer: Some(stage(2, 8)) },
        StageWait { point: point(2, 1, 3), arrival: Arrival::Implied, producer: Some(stage(2, 9)) },
        StageWait { point: point(2, 1, 4), arrival: Arrival::Ask, producer: None },
    ];
    let signals = vec![StageSignal { point: point(0, 2, 7), forward: [1, 200].map(MachineId).into_iter().collect() }];
    vec![
        Message::Join(join()),
        Message::Welcome(Welcome { session: SESSION, machine: MachineId(2), host: MachineId(0), lease: 3_000_000_000 }),
        Message::Unwelcome { why: "full".into() },
        Message::Member(Member { machine: MachineId(2), join: join() }),
        Message::Renew { number: 0x0102_0304_0506_0708 },
        Message::Renewed { number: 1 },
        Message::Lost { machine: MachineId(2), why: "silent".into() },
        Message::Unreachable { machine: MachineId(2), why: "refused".into() },
        Message::Leave,
        Message::Hello(Hello { session: SESSION, from: MachineId(1), to: MachineId(2) }),
        Message::Stage(Stage { stage: stage(0, 4), waits, signals, payload: vec![0xca, 0xfe] }),
        Message::Refused { stage: stage(0, 4), failure: failure.clone() },
        Message::Signal(signal(Knowledge::exact(frontier()))),
        Message::Signal(signal(Knowledge::lower_bound(Frontier::new()))),
        Message::Failed(Failed { point: point(2, 3, 4), failure }),
        Message::Watch { point: point(2, 3, 4), producer: Some(stage(2, 9)) },
        Message::Watch { point: point(2, 3, 4), producer: None },
    ]
}

pub(super) fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(SESSION, &mut bytes).unwrap();
    bytes
}

#[test]
fn every_message_comes_back_as_it_went() {
    let messages = every_message();
    for kind in Kind::ALL {
        assert!(messages.iter().any(|message| message.kind() == *kind), "{kind:?} is not tried");
    }
    for message in messages {
        assert_eq!(Message::decode(SESSION, &encoded(&message)), Ok(message));
    }
}

#[test]
fn the_largest_message_of_each_bounded_kind_is_as_long_as_its_bound() {
    let text = "x".repeat(FAILURE_TEXT_MAX);
    let name = || "n".repeat(NAME_MAX);
    let join = || Join { name: name(), address: name(), devices: vec![name(); DEVICES_MAX] };
    let failure = || Failure::new(FailureKind::Stage, MachineId(1), Some(stage(1, 1)), &text);
    let entries: Vec<Entry> = (0..255).map(|queue| Entry::new(Axis::queue(9, 0, 0, queue), 1)).collect();
    let full = || Frontier::from_entries(&entries).unwrap();
    let wait = StageWait { point: point(2, 1, 2), arrival: Arrival::Told, producer: Some(stage(2, 8)) };
    let signal = StageSignal { point: point(0, 2, 7), forward: MachineSet::EMPTY };
    let largest = [
        Message::Join(join()),
        Message::Member(Member { machine: MachineId(1), join: join() }),
        Message::Unwelcome { why: text.clone() },
        Message::Lost { machine: MachineId(1), why: text.clone() },
        Message::Unreachable { machine: MachineId(1), why: text.clone() },
        Message::Refused { stage: stage(1, 1), failure: failure() },
        Message::Failed(Failed { point: point(1, 1, 1), failure: failure() }),
        Message::Stage(Stage {
            stage: stage(1, 1),
            waits: vec![wait; WAITS_MAX],
            signals: vec![signal; SIGNALS_MAX],
            payload: vec![0; PAYLOAD_MAX],
        }),
        Message::Signal(SessionSignal {
            point: point(1, 1, 1),
            producer: stage(1, 1),
            ended: Knowledge::exact(full()),
            suspect: full(),
        }),
    ];
    for message in largest {
        let bytes = encoded(&message);
        assert_eq!(bytes.len() - HEAD, message.kind().payload_max(), "{:?}", message.kind());
        assert!(bytes.len() <= Kind::MESSAGE_MAX);
        assert_eq!(Message::decode(SESSION, &bytes), Ok(message));
    }
}

#[test]
fn what_is_over_a_bound_is_not_encoded_and_leaves_nothing_behind() {
    let mut out = vec![1, 2, 3];
    let mut refused = |message: Message| {
        let error = message.encode(SESSION, &mut out).unwrap_err();
        assert_eq!(out, [1, 2, 3]);
        error
    };
    let (field, kind) = ("devices", Kind::Join);
    let many = Join { name: String::new(), address: String::new(), devices: vec![String::new(); DEVICES_MAX + 1] };
    let (count, max) = (DEVICES_MAX + 1, DEVICES_MAX);
    assert_eq!(refused(Message::Join(many)), MessageError::TooMany { kind, field, count, max });

    let bell = Message::Unwelcome { why: "\u{7}".into() };
    assert_eq!(refused(bell), MessageError::Field { kind: Kind::Unwelcome, field: "reason" });

    let foreign = Frontier::single(Axis::queue(8, 0, 0, 0), 1).unwrap();
    let signal = SessionSignal {
        point: point(1, 1, 1),
        producer: stage(1, 1),
        ended: Knowledge::exact(foreign),
        suspect: Frontier::new(),
    };
    let error = refused(Message::Signal(signal));
    assert!(matches!(error, MessageError::Frontier { kind: Kind::Signal, .. }), "{error}");
}

#[test]
fn a_failures_text_is_cut_between_characters_and_made_harmless() {
    let failure = |text: &str| Failure::new(FailureKind::Stage, MachineId(1), None, text).message;
    assert_eq!(failure("\u{1b}[2Jgone"), " [2Jgone");
    let long = format!("x{}", "é".repeat(FAILURE_TEXT_MAX));
    assert_eq!(failure(&long).len(), FAILURE_TEXT_MAX - 1);
}
