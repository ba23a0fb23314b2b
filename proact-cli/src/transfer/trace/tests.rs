//! What the tracer makes of ends that come in no order.

use proact_schedule::audit::{Violation, audit};

use super::*;

/// A sender's side whose frames up to `count` were read, digested, and are with the socket.
fn sending(count: u64) -> (Trace, Tracer) {
    let trace = Trace::new(Clock::monotonic());
    let tracer = trace.side(Role::Sender, "sender");
    for value in 1..=count {
        tracer.submitted(Step::Empty, value, || format!("frame {value}"));
    }
    for value in 1..=count {
        let ticket = tracer.compute(value, || format!("frame {value}"));
        ticket.began();
        ticket.ended(None);
        tracer.waited(value, false);
    }
    (trace, tracer)
}

/// The frames whose send began, in order of that.
fn begun(recording: &Recording) -> Vec<u64> {
    let send = |timed: &Timed| match timed.event {
        Event::Started { queue: 2, epoch } => Some(epoch),
        _ => None,
    };
    recording.events.iter().filter_map(send).collect()
}

#[track_caller]
fn all_have_ended(recording: &Recording) {
    let count = |is: fn(&Event) -> bool| recording.events.iter().filter(|timed| is(&timed.event)).count();
    let submitted = count(|event| matches!(event, Event::Submitted { .. }));
    assert_eq!(count(|event| matches!(event, Event::Ended { .. })), submitted);
}

#[test]
fn of_sends_that_fail_in_any_order_only_the_one_whose_turn_it_was_had_begun() {
    for order in [[2, 3, 4], [2, 4, 3], [3, 2, 4], [3, 4, 2], [4, 2, 3], [4, 3, 2]] {
        let (trace, tracer) = sending(4);
        tracer.ended(Step::Empty, 1, None);
        tracer.failed(&"connection reset");
        for value in order {
            tracer.ended(Step::Empty, value, Some(&"connection reset"));
        }
        let recording = trace.recording();
        audit(&recording.events).unwrap_or_else(|violation| panic!("{order:?}: {violation}"));
        assert_eq!(begun(&recording), [1, 2], "{order:?}");
        all_have_ended(&recording);
    }
}

#[test]
fn a_send_behind_one_that_never_ends_had_not_begun() {
    let (trace, tracer) = sending(3);
    tracer.ended(Step::Empty, 1, None);
    tracer.ended(Step::Empty, 3, Some(&"connection reset"));
    let recording = trace.recording();
    audit(&recording.events).unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(begun(&recording), [1]);
    all_have_ended(&recording);
}

#[test]
fn sends_that_end_well_in_another_order_than_their_streams_are_told_as_they_came() {
    let (trace, tracer) = sending(2);
    tracer.ended(Step::Empty, 2, None);
    tracer.ended(Step::Empty, 1, None);
    let violation = audit(&trace.recording().events).expect_err("the stream's order was broken");
    assert_eq!(violation, Violation::TooEarly { submission: (2, 2), before: (2, 1) });
}

#[test]
fn a_send_behind_one_that_was_taken_back_begins_when_that_has_ended() {
    let trace = Trace::new(Clock::monotonic());
    let tracer = trace.side(Role::Sender, "sender");
    tracer.submitted(Step::Empty, 1, || String::from("taken back"));
    tracer.submitted(Step::Empty, 2, || String::from("sent"));
    let ticket = tracer.compute(2, || String::from("sent"));
    ticket.began();
    ticket.ended(None);
    tracer.waited(2, true);
    tracer.ended(Step::Empty, 1, Some(&"cancelled"));
    tracer.ended(Step::Empty, 2, None);
    let recording = trace.recording();
    audit(&recording.events).unwrap_or_else(|violation| panic!("{violation}"));
    assert_eq!(begun(&recording), [2]);
}

#[test]
fn a_job_that_no_value_stands_for_is_on_the_devices_queue_and_signals_nothing() {
    let (trace, tracer) = sending(1);
    let ticket = tracer.aside(|| String::from("TLS: open 5 bytes"));
    ticket.began();
    ticket.ended(None);
    let recording = trace.recording();
    audit(&recording.events).unwrap_or_else(|violation| panic!("{violation}"));
    let signals = recording.events.iter().find_map(|timed| match &timed.event {
        Event::Submitted { queue: 1, epoch: 2, signals, .. } => Some(signals.len()),
        _ => None,
    });
    assert_eq!(signals, Some(0));
    all_have_ended(&recording);
}
