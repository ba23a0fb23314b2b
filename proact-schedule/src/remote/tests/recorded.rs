//! What machines record of a session, and that nothing false of it is accepted.

use super::network::On;
use super::world::{World, work};
use crate::audit::{Violation, audit_session};
use crate::record::{Event, Recording, Timed, write_session};
use crate::remote::*;

fn m(index: usize) -> MachineId {
    MachineId(index as u8)
}

/// A feeds B, and both feed C, which hears of A from B alone: the machines' recordings.
fn three_machines() -> Vec<Recording> {
    let mut world = World::new(On::Memory, 1, 4);
    let [a1, b1, c1] = [1, 2, 3].map(|owner| RemotePoint::new(world.name(0, owner), 1));
    let mut pipeline = Pipeline::new();
    pipeline.stage(m(3), 0, &work(5, true)).wait(a1).wait(b1).signal(c1);
    pipeline.stage(m(2), 0, &work(20, true)).wait(a1).signal(b1);
    pipeline.stage(m(1), 0, &work(300, true)).signal(a1);
    world.submit(0, &pipeline);
    world.finish();
    world.recordings().into_iter().cloned().collect()
}

fn prove(recordings: &[Recording]) -> Result<crate::audit::SessionAudit, Violation> {
    let events: Vec<&[Timed]> = recordings.iter().map(|recording| &recording.events[..]).collect();
    audit_session(&events)
}

/// Changes the one signal with two entries, which is that of B to C, as one of the two has recorded it.
fn with_signal(
    recordings: &[Recording],
    machine: usize,
    change: impl Fn(&mut crate::record::Signal),
) -> Vec<Recording> {
    let mut recordings = recordings.to_vec();
    let mut changed = 0;
    for timed in &mut recordings[machine].events {
        let (Event::Sent { signal: Some(signal), .. } | Event::Got { signal: Some(signal), .. }) = &mut timed.event
        else {
            continue;
        };
        if signal.known.len() == 2 {
            change(signal);
            changed += 1;
        }
    }
    assert_eq!(changed, 1, "the signal is there once");
    recordings
}

#[test]
fn what_c_concluded_is_proved_by_what_b_told_and_by_nothing_less() {
    let recordings = three_machines();
    assert_eq!(prove(&recordings).map(|proved| (proved.told, proved.concluded)), Ok((2, 1)));
    // C's recording alone shows it too.
    assert!(prove(&recordings[3..]).is_ok());
    // Without A's entry in what B told, or with an entry that does not say how A's work ended.
    let unlearned = |recordings: &[Recording]| {
        let violation = prove(&recordings[3..]).expect_err("nothing says that A is done");
        assert!(matches!(violation, Violation::Unlearned { machine: 3, value: 1, .. }), "{violation}");
    };
    unlearned(&with_signal(&recordings, 3, |signal| _ = signal.known.remove(0)));
    unlearned(&with_signal(&recordings, 3, |signal| signal.suspect.push(signal.known[0])));
    // Of all together: what C got is not what B sent.
    assert!(prove(&with_signal(&recordings, 3, |signal| signal.exact = !signal.exact)).is_err());
    // B says more than it knows.
    let lie = with_signal(&with_signal(&recordings, 3, |s| s.known[0].1 = 2), 2, |s| s.known[0].1 = 2);
    assert_eq!(prove(&lie), Err(Violation::ForgedMessage { from: 2, to: 3, number: 2 }));
}

#[test]
fn a_message_that_never_came_or_came_twice_is_found() {
    let recordings = three_machines();
    let is_signal = |timed: &Timed| matches!(timed.event, Event::Got { signal: Some(_), .. });
    let at = recordings[3].events.iter().position(is_signal).expect("C is told");
    let mut missing = recordings.clone();
    missing[3].events.remove(at);
    assert!(matches!(prove(&missing), Err(Violation::Unlearned { machine: 3, .. })));
    let mut twice = recordings.clone();
    let again = twice[3].events[at].clone();
    twice[3].events.insert(at, again);
    assert!(matches!(prove(&twice), Err(Violation::ForgedMessage { from: 2, to: 3, .. })));
    let mut early = recordings.clone();
    let is_start = |timed: &Timed| matches!(timed.event, Event::Started { .. });
    let start = early[3].events.iter().position(is_start).expect("C begins");
    let event = early[3].events.remove(start);
    early[3].events.insert(at, event);
    assert!(prove(&early).is_err(), "it begins before it is told");
}

#[test]
fn a_session_is_drawn_with_an_arrow_for_each_message_and_reads_back_the_same() {
    let recordings = three_machines();
    let mut text = Vec::new();
    write_session(&recordings.iter().collect::<Vec<_>>(), &mut text).unwrap();
    let trace: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |phase: &str| events.iter().filter(|it| it["ph"] == phase && it["cat"] == "message").collect::<Vec<_>>();
    let came = prove(&recordings).unwrap().messages;
    assert_eq!((of("s").len(), of("f").len(), of("i").len()), (came, came, 0));
    for (start, end) in of("s").into_iter().zip(of("f")) {
        assert_eq!((&start["id"], &start["name"]), (&end["id"], &end["name"]));
        assert!(start["pid"] != end["pid"] && start["ts"].as_f64() <= end["ts"].as_f64(), "{start} {end}");
    }
    let names: Vec<_> = events.iter().filter(|it| it["name"] == "process_name").map(|it| &it["args"]["name"]).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    for recording in &recordings {
        let mut text = Vec::new();
        recording.write_json(&mut text).unwrap();
        assert_eq!(Recording::read_json(&text).unwrap().events, recording.events);
    }
}

#[test]
fn a_lost_machine_and_the_messages_to_it_are_recorded_with_their_cause() {
    let mut world = World::new(On::Memory, 7, 3);
    let a1 = RemotePoint::new(world.name(0, 1), 1);
    let mut pipeline = Pipeline::new();
    pipeline.stage(m(1), 0, &work(900, true)).signal(a1);
    pipeline.stage(m(2), 0, &work(5, true)).wait(a1);
    world.crash(1);
    world.submit(0, &pipeline);
    world.finish();
    let recordings = world.recordings();
    for machine in [0, 2] {
        let lost = recordings[machine].events.iter().find_map(|timed| match &timed.event {
            Event::Lost { machine: 1, why } => Some(why.clone()),
            _ => None,
        });
        assert!(lost.is_some_and(|why| !why.is_empty()), "machine {machine}");
    }
    // The stage for it went out, and never came.
    assert!(world.check_session().lost > 0);
    let mut text = Vec::new();
    write_session(&recordings, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("stage to 1 was lost") && text.contains("machine 1 is lost"));
    let failed = recordings[2].events.iter().any(|timed| match &timed.event {
        Event::Failed { status, .. } => status.contains("machine 1 (b) was lost: "),
        _ => false,
    });
    assert!(failed, "what waits for it has failed, with the cause");
}
