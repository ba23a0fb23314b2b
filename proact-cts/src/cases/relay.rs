//! Relays: from events and descriptors to events.

use std::os::fd::{AsFd, OwnedFd};

use proact::operation::{Chain, Close, EventWait, Nop, Op, PollHandle, Relay, RelayMany, RelaySink};
use proact::resource::Pollable;
use proact::status::Code;
use proact::sync::Event;
use rustix::event::{EventfdFlags, eventfd};

use crate::bench::{Cts, Watch};
use crate::cases;
use crate::system::descriptors;

cases![
    a_relay_from_an_event_sets_another_once,
    a_relay_fires_for_a_set_that_came_before,
    a_persistent_relay_passes_every_set_on,
    sets_between_two_passes_are_passed_on_once,
    a_cancelled_relay_does_not_fire_and_takes_nothing,
    a_cancelled_persistent_relay_fires_no_more,
    three_relays_each_pass_on_their_own,
    one_sink_of_three_relays.real("a descriptor of the operating system"),
    a_descriptor_that_becomes_readable_is_passed_on_and_not_read.real("a descriptor of the operating system"),
    three_relays_of_one_descriptor_all_fire.real("a descriptor of the operating system"),
    a_relay_to_an_event_of_another_proactor.real("other threads"),
    a_value_is_added_to_an_imported_eventfd.real("a descriptor of the operating system"),
    a_full_eventfd_is_set_and_no_failure.real("a descriptor of the operating system"),
    an_imported_eventfd_is_a_source_that_is_drained.real("a descriptor of the operating system"),
    a_hang_up_fires_a_relay.real("a descriptor of the operating system"),
    an_error_sensitive_relay_does_not_fire_for_a_hang_up_with_or_without_data
        .real("a descriptor of the operating system"),
    an_error_sensitive_relay_fires_for_data.real("a descriptor of the operating system"),
    a_source_that_the_relay_alone_has_closes_when_it_has_fired.real("a descriptor of the operating system"),
    a_source_that_a_persistent_relay_alone_has_closes_when_it_is_cancelled
        .real("a descriptor of the operating system")
        .alone(),
    a_closed_sink_ends_its_relay_once_with_its_failure,
    a_relay_that_failed_is_cancelled_in_vain_and_can_be_submitted_again,
    a_close_of_the_source_ends_the_relay_once,
    a_chain_goes_on_after_the_sink_was_told,
    a_relay_that_fails_keeps_its_chain_from_going_on,
    relays_form_a_line_and_a_ring,
    what_a_relay_cannot_do_is_refused.real("a descriptor of the operating system"),
    only_eventfds_are_imported_as_events.real("a descriptor of the operating system"),
    a_shutdown_ends_every_relay.real("a descriptor of the operating system"),
];

pub(super) fn events<const N: usize>(cts: &Cts) -> [Event; N] {
    std::array::from_fn(|_| cts.handle().event().unwrap())
}

fn counter() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()
}

/// What is in an eventfd, which is empty then.
fn taken(counter: impl AsFd) -> u64 {
    let mut bytes = [0; 8];
    match rustix::io::read(counter, &mut bytes) {
        Ok(_) => u64::from_ne_bytes(bytes),
        Err(rustix::io::Errno::AGAIN) => 0,
        Err(error) => panic!("{error}"),
    }
}

/// Nobody has set it: a wait does not end, and is taken back.
#[track_caller]
pub(super) fn assert_not_set(cts: &mut Cts, event: &Event) {
    let (op, wait) = cts.watch(EventWait::new(event.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    assert!(!wait.is_done(), "it is set");
    cts.cancel(id).unwrap();
    cts.until("the cancelled wait", || wait.is_done());
}

pub(super) fn assert_ended(relay: Watch<Relay>) {
    relay.only().result.unwrap();
}

fn a_relay_from_an_event_sets_another_once(cts: &mut Cts) {
    let [source, sink] = events(cts);
    let relay = cts.start(Relay::new(source.clone(), sink.clone()));
    cts.look();
    assert!(!relay.is_done());
    source.set().unwrap();
    cts.get(EventWait::new(sink.clone()));
    cts.until("the relay to end", || relay.is_done());
    assert_ended(relay);
    source.set().unwrap();
    assert_not_set(cts, &sink);
    cts.get(EventWait::new(source));
}

fn a_relay_fires_for_a_set_that_came_before(cts: &mut Cts) {
    let [source, sink] = events(cts);
    source.set().unwrap();
    cts.get(Relay::new(source.clone(), sink.clone()));
    cts.get(EventWait::new(sink));
    assert_not_set(cts, &source);
}

fn a_persistent_relay_passes_every_set_on(cts: &mut Cts) {
    let [source, sink] = events(cts);
    let (op, relay) = cts.watch(RelayMany::new(source.clone(), sink.clone()));
    let id = cts.submit(op).unwrap();
    for round in 1..=10 {
        source.set().unwrap();
        cts.get(EventWait::new(sink.clone()));
        assert_eq!(relay.outcomes(), round);
        assert_not_set(cts, &sink);
    }
    cts.cancel(id).unwrap();
    cts.drain();
    assert_eq!(relay.code(), Some(Code::Cancelled));
}

fn sets_between_two_passes_are_passed_on_once(cts: &mut Cts) {
    let [source, sink] = events(cts);
    let (op, relay) = cts.watch(RelayMany::new(source.clone(), sink.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    (0..5).for_each(|_| source.set().unwrap());
    cts.get(EventWait::new(sink.clone()));
    assert_not_set(cts, &sink);
    assert_eq!(relay.outcomes(), 1);
    cts.cancel(id).unwrap();
    cts.drain();
}

fn a_cancelled_relay_does_not_fire_and_takes_nothing(cts: &mut Cts) {
    let [source, sink] = events(cts);
    let (op, relay) = cts.watch(Relay::new(source.clone(), sink.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.until("the relay to end", || relay.is_done());
    assert_eq!(relay.only().status().code(), Code::Cancelled);
    source.set().unwrap();
    assert_not_set(cts, &sink);
    cts.get(EventWait::new(source));
    assert_eq!(cts.cancel(id).unwrap_err().code(), Code::NotFound);
}

fn a_cancelled_persistent_relay_fires_no_more(cts: &mut Cts) {
    let [source, sink] = events(cts);
    let (op, relay) = cts.watch(RelayMany::new(source.clone(), sink.clone()));
    let id = cts.submit(op).unwrap();
    source.set().unwrap();
    cts.get(EventWait::new(sink.clone()));
    cts.cancel(id).unwrap();
    cts.until("the relay to end", || relay.is_done());
    source.set().unwrap();
    assert_not_set(cts, &sink);
    assert_eq!(relay.outcomes(), 1);
}

fn three_relays_each_pass_on_their_own(cts: &mut Cts) {
    let (sources, sinks): ([Event; 3], [Event; 3]) = (events(cts), events(cts));
    let relays: Vec<_> =
        sources.iter().zip(&sinks).map(|(source, sink)| cts.start(Relay::new(source.clone(), sink.clone()))).collect();
    cts.look();
    sources[1].set().unwrap();
    cts.until("the second", || relays[1].is_done());
    assert!(!relays[0].is_done() && !relays[2].is_done());
    assert_not_set(cts, &sinks[0]);
    cts.get(EventWait::new(sinks[1].clone()));
    sources[0].set().unwrap();
    sources[2].set().unwrap();
    cts.until("the others", || relays.iter().all(Watch::is_done));
    for sink in [&sinks[0], &sinks[2]] {
        cts.get(EventWait::new(sink.clone()));
    }
    relays.into_iter().for_each(assert_ended);
}

fn one_sink_of_three_relays(cts: &mut Cts) {
    let sources: [Event; 3] = events(cts);
    let ours = counter();
    let sink = cts.handle().import_event(ours.try_clone().unwrap()).unwrap();
    let relays: Vec<_> = sources.iter().map(|source| cts.start(Relay::new(source.clone(), sink.clone()))).collect();
    sources.iter().for_each(|source| source.set().unwrap());
    cts.until("all three", || relays.iter().all(Watch::is_done));
    assert_eq!(taken(&ours), 3);
}

fn a_descriptor_that_becomes_readable_is_passed_on_and_not_read(cts: &mut Cts) {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let [sink] = events(cts);
    let relay = cts.start(Relay::new(cts.handle().import_pollable(reader.try_clone().unwrap()), sink.clone()));
    assert_not_set(cts, &sink);
    rustix::io::write(&writer, b"twelve bytes").unwrap();
    cts.get(EventWait::new(sink));
    cts.until("the relay to end", || relay.is_done());
    let mut bytes = [0; 64];
    assert_eq!(rustix::io::read(&reader, &mut bytes).unwrap(), 12, "nothing was taken of what is the reader's (W-39)");
}

fn three_relays_of_one_descriptor_all_fire(cts: &mut Cts) {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let sinks: [Event; 3] = events(cts);
    let source = cts.handle().import_pollable(reader);
    let relays: Vec<_> = sinks.iter().map(|sink| cts.start(Relay::new(source.clone(), sink.clone()))).collect();
    // Beside other uses of the descriptor (W-68).
    let wait = cts.start(PollHandle::readable(source));
    cts.look();
    rustix::io::write(&writer, b"x").unwrap();
    cts.until("all of them", || relays.iter().all(Watch::is_done) && wait.is_done());
    for sink in &sinks {
        cts.get(EventWait::new(sink.clone()));
    }
}

fn a_relay_to_an_event_of_another_proactor(cts: &mut Cts) {
    let [source] = events(cts);
    let (theirs, ours) = std::sync::mpsc::channel();
    let config = cts.config;
    let thread = std::thread::spawn(move || {
        let mut other = Cts::beside(config);
        let event = other.handle().event().unwrap();
        theirs.send(event.clone()).unwrap();
        other.get(EventWait::new(event));
    });
    let sink = ours.recv().unwrap();
    let relay = cts.start(Relay::new(source.clone(), sink));
    source.set().unwrap();
    cts.until("the relay to end", || relay.is_done());
    assert_ended(relay);
    thread.join().unwrap();
}

fn a_value_is_added_to_an_imported_eventfd(cts: &mut Cts) {
    let [source] = events(cts);
    let ours = counter();
    let sink = cts.handle().import_event(ours.try_clone().unwrap()).unwrap();
    let (op, relay) = cts.watch(RelayMany::new(source.clone(), RelaySink::add(sink, 1000)));
    let id = cts.submit(op).unwrap();
    for round in 1..=3 {
        source.set().unwrap();
        cts.until("a firing", || relay.outcomes() == round);
    }
    assert_eq!(taken(&ours), 3000);
    cts.cancel(id).unwrap();
    cts.drain();
}

/// Neither waits the poll thread for room, nor is it a fault (W-39).
fn a_full_eventfd_is_set_and_no_failure(cts: &mut Cts) {
    let [source] = events(cts);
    // One that would wait: importing changes that.
    let ours = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let sink = cts.handle().import_event(ours.try_clone().unwrap()).unwrap();
    rustix::io::write(&ours, &(u64::MAX - 1).to_ne_bytes()).unwrap();
    let (op, relay) = cts.watch(RelayMany::new(source.clone(), RelaySink::add(sink, 5)));
    let id = cts.submit(op).unwrap();
    for round in 1..=2 {
        source.set().unwrap();
        cts.until("a firing", || relay.outcomes() == round);
    }
    assert_eq!(taken(&ours), u64::MAX - 1);
    cts.cancel(id).unwrap();
    cts.drain();
}

fn an_imported_eventfd_is_a_source_that_is_drained(cts: &mut Cts) {
    let [sink] = events(cts);
    let ours = counter();
    let source = cts.handle().import_event(ours.try_clone().unwrap()).unwrap();
    let (op, relay) = cts.watch(RelayMany::new(source, sink.clone()));
    let id = cts.submit(op).unwrap();
    for round in 1..=3 {
        rustix::io::write(&ours, &7u64.to_ne_bytes()).unwrap();
        cts.get(EventWait::new(sink.clone()));
        assert_eq!((relay.outcomes(), taken(&ours)), (round, 0));
    }
    cts.cancel(id).unwrap();
    cts.drain();
}

pub(super) fn pipe(cts: &Cts) -> (Pollable, OwnedFd) {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    (cts.handle().import_pollable(reader), writer)
}

fn a_hang_up_fires_a_relay(cts: &mut Cts) {
    let (source, writer) = pipe(cts);
    let [sink] = events(cts);
    let relay = cts.start(Relay::new(source, sink.clone()));
    cts.look();
    drop(writer);
    cts.get(EventWait::new(sink));
    cts.until("the relay to end", || relay.is_done());
    assert_ended(relay);
}

/// One rule on every backend.
fn an_error_sensitive_relay_does_not_fire_for_a_hang_up_with_or_without_data(cts: &mut Cts) {
    for data in [false, true] {
        let (source, writer) = pipe(cts);
        let [sink] = events(cts);
        if data {
            rustix::io::write(&writer, b"x").unwrap();
        }
        drop(writer);
        let relay = cts.start(Relay::new(source, sink.clone()).error_sensitive());
        cts.until("the relay to end", || relay.is_done());
        assert_eq!(relay.only().status().code(), Code::Aborted);
        assert_not_set(cts, &sink);
    }
}

fn an_error_sensitive_relay_fires_for_data(cts: &mut Cts) {
    let (source, writer) = pipe(cts);
    let [sink] = events(cts);
    let relay = cts.start(Relay::new(source, sink.clone()).error_sensitive());
    rustix::io::write(&writer, b"x").unwrap();
    cts.get(EventWait::new(sink));
    cts.until("the relay to end", || relay.is_done());
    assert_ended(relay);
}

/// Whether the pipe has a reader yet.
fn has_reader(writer: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec};
    let mut asked = [PollFd::new(writer, PollFlags::OUT)];
    rustix::event::poll(&mut asked, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap();
    !asked[0].revents().contains(PollFlags::ERR)
}

fn a_source_that_the_relay_alone_has_closes_when_it_has_fired(cts: &mut Cts) {
    let (source, writer) = pipe(cts);
    let [sink] = events(cts);
    cts.submit(Op::new(Relay::new(source, sink.clone()), ())).unwrap();
    cts.look();
    assert!(has_reader(&writer));
    rustix::io::write(&writer, b"x").unwrap();
    cts.get(EventWait::new(sink.clone()));
    cts.drain();
    assert!(!has_reader(&writer), "the source is open yet");
    // And when it is cancelled.
    let (source, writer) = pipe(cts);
    let id = cts.submit(Op::new(Relay::new(source, sink), ())).unwrap();
    cts.look();
    cts.cancel(id).unwrap();
    cts.drain();
    assert!(!has_reader(&writer), "the source is open yet");
}

fn a_source_that_a_persistent_relay_alone_has_closes_when_it_is_cancelled(cts: &mut Cts) {
    let [sink] = events(cts);
    let before = descriptors();
    for _ in 0..3 {
        let source = cts.handle().event().unwrap();
        let id = cts.submit(Op::new(RelayMany::new(source, sink.clone()), ())).unwrap();
        cts.look();
        assert!(descriptors() > before);
        cts.cancel(id).unwrap();
        cts.drain();
        assert_eq!(descriptors(), before, "the source is open yet");
    }
}

fn a_closed_sink_ends_its_relay_once_with_its_failure(cts: &mut Cts) {
    let [source, sink, persistent] = events(cts);
    let relay = cts.start(Relay::new(source.clone(), sink.clone()));
    let many = cts.start(RelayMany::new(persistent.clone(), sink.clone()));
    cts.look();
    cts.get(Close::new(sink.clone()));
    assert!(!relay.is_done() && !many.is_done(), "a relay is no operation on its sink");
    source.set().unwrap();
    persistent.set().unwrap();
    cts.until("both to end", || relay.is_done() && many.is_done());
    assert_eq!(relay.only().status().code(), Code::FailedPrecondition);
    assert_eq!(many.outcomes(), 0);
    assert_eq!(many.only().status().code(), Code::FailedPrecondition);
    assert_eq!(cts.pending(), 0);
    let refused = cts.submit(Op::new(Relay::new(source, sink), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
}

/// Nothing is left armed behind a relay that failed, and nothing is freed twice (W-39).
fn a_relay_that_failed_is_cancelled_in_vain_and_can_be_submitted_again(cts: &mut Cts) {
    let [source, closed, open] = events(cts);
    let (op, relay) = cts.watch(RelayMany::new(source.clone(), closed.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    cts.get(Close::new(closed));
    source.set().unwrap();
    source.set().unwrap();
    // Asked to end while it ends.
    cts.poll(proact::time::Timeout::Infinite).unwrap();
    let _ = cts.cancel(id);
    cts.until("the relay to end", || relay.is_done());
    assert_eq!(cts.cancel(id).unwrap_err().code(), Code::NotFound);
    assert_eq!(relay.calls(), 1);
    assert_eq!(relay.code(), Some(Code::FailedPrecondition), "its own failure, not the cancel");
    source.set().unwrap();
    cts.look();
    assert_eq!(relay.calls(), 1);
    let again = cts.start(Relay::new(source, open.clone()));
    cts.get(EventWait::new(open));
    cts.until("the next relay", || again.is_done());
}

fn a_close_of_the_source_ends_the_relay_once(cts: &mut Cts) {
    let [source, other, sink] = events(cts);
    let relay = cts.start(Relay::new(source.clone(), sink.clone()));
    let many = cts.start(RelayMany::new(other.clone(), sink.clone()));
    cts.look();
    cts.get(Close::new(source));
    cts.get(Close::new(other));
    assert_eq!(relay.only().status().code(), Code::Cancelled);
    assert_eq!(many.only().status().code(), Code::Cancelled);
    assert_not_set(cts, &sink);
}

fn a_chain_goes_on_after_the_sink_was_told(cts: &mut Cts) {
    let [source, sink] = events(cts);
    let (first, relay) = cts.watch(Relay::new(source.clone(), sink.clone()));
    let (second, wait) = cts.watch(EventWait::new(sink));
    let (third, nop) = cts.watch(Nop);
    cts.submit(Chain::new((first, second, third))).unwrap();
    cts.look();
    assert!(!relay.is_done());
    source.set().unwrap();
    cts.until("the chain", || nop.is_done());
    assert!(relay.order() < wait.order() && wait.order() < nop.order());
    let relay = relay.only();
    assert!(!relay.lowered, "the poll thread's to do");
    relay.result.unwrap();
}

fn a_relay_that_fails_keeps_its_chain_from_going_on(cts: &mut Cts) {
    let [source, closed, untouched] = events(cts);
    let (first, relay) = cts.watch(Relay::new(source.clone(), closed.clone()));
    let (second, behind) = cts.watch(Relay::new(source.clone(), untouched.clone()));
    cts.submit(Chain::new((first, second))).unwrap();
    cts.get(Close::new(closed));
    source.set().unwrap();
    source.set().unwrap();
    cts.until("the chain", || behind.is_done());
    assert_eq!(relay.only().status().code(), Code::FailedPrecondition);
    assert_eq!(behind.only().status().code(), Code::Cancelled);
    assert_not_set(cts, &untouched);
}

fn relays_form_a_line_and_a_ring(cts: &mut Cts) {
    let all: [Event; 16] = events(cts);
    let relays: Vec<_> = all.windows(2).map(|pair| cts.start(Relay::new(pair[0].clone(), pair[1].clone()))).collect();
    all[0].set().unwrap();
    cts.get(EventWait::new(all[15].clone()));
    cts.until("the line", || relays.iter().all(Watch::is_done));
    // A set that goes round until a cancel, and stops nothing else.
    let mut ring = Vec::new();
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let (op, relay) = cts.watch(RelayMany::new(all[from].clone(), all[to].clone()));
        ring.push((cts.submit(op).unwrap(), relay));
    }
    all[0].set().unwrap();
    cts.until("ten rounds", || ring.iter().all(|(_, relay)| relay.outcomes() >= 10));
    cts.get(Nop);
    ring.iter().for_each(|(id, _)| cts.cancel(*id).unwrap());
    cts.drain();
}

fn what_a_relay_cannot_do_is_refused(cts: &mut Cts) {
    let [source, sink] = events(cts);
    let imported = cts.handle().import_event(counter()).unwrap();
    let mut refuse = |relay: Relay, code| {
        let refused = cts.submit(Op::new(relay, ())).unwrap_err();
        assert_eq!(refused.status.code(), code, "{}", refused.status);
    };
    for value in [0, u64::MAX] {
        refuse(Relay::new(source.clone(), RelaySink::add(imported.clone(), value)), Code::InvalidArgument);
    }
    refuse(Relay::new(source.clone(), RelaySink::add(sink.clone(), 2)), Code::InvalidArgument);
    let config = cts.config;
    let theirs = std::thread::spawn(move || Cts::beside(config).handle().event().unwrap()).join().unwrap();
    let refused = cts.submit(Op::new(Relay::new(theirs, sink.clone()), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument, "a source is watched by its own proactor");
    let (readable, _writer) = pipe(cts);
    let refused = cts.submit(Op::new(RelayMany::new(readable, sink.clone()), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument, "it would fire without end");
    cts.get(Close::new(source.clone()));
    let refused = cts.submit(Op::new(Relay::new(source, sink), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
}

fn only_eventfds_are_imported_as_events(cts: &mut Cts) {
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    let returned = cts.handle().import_event(reader).unwrap_err();
    assert_eq!(returned.status.code(), Code::InvalidArgument);
    let flags = rustix::fs::fcntl_getfl(&returned.resource).unwrap();
    assert!(!flags.contains(rustix::fs::OFlags::NONBLOCK), "it comes back as it was");
    let event = cts.handle().import_event(counter()).unwrap();
    event.set().unwrap();
    cts.get(EventWait::new(event.clone()));
    let wait = cts.start(EventWait::new(event.clone()));
    cts.look();
    assert!(!wait.is_done());
    event.set().unwrap();
    cts.until("a set of an imported event", || wait.is_done());
}

fn a_shutdown_ends_every_relay(cts: &mut Cts) {
    let [source, sink] = events(cts);
    let (readable, _writer) = pipe(cts);
    let one = cts.start(Relay::new(source.clone(), sink.clone()));
    let many = cts.start(RelayMany::new(source, sink.clone()));
    let other = cts.start(Relay::new(readable, sink));
    cts.look();
    assert_eq!(cts.take().shutdown(crate::bench::patience()), 0);
    assert_eq!(one.only().status().code(), Code::Cancelled);
    assert_eq!(many.only().status().code(), Code::Cancelled);
    assert_eq!(other.only().status().code(), Code::Cancelled);
}
