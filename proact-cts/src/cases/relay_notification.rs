//! Relays: from and to notifications.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::rc::Rc;

use proact::memory::{Access, Region};
use proact::operation::{
    Chain, Close, Complete, Context, EventWait, Nop, NotificationWait, Op, OperationId, Outcome, Relay, RelayMany,
    RelaySink,
};
use proact::status::Code;
use proact::sync::Notification;

use super::relay::{assert_ended, assert_not_set, events, pipe};
use crate::bench::{Cts, Watch};
use crate::cases;
use crate::harness::skip;

cases![
    a_notification_is_passed_on_once,
    a_persistent_relay_of_a_notification_passes_every_signal_on,
    a_relay_of_a_notification_that_is_cancelled_fires_no_more,
    one_notification_fires_three_relays_to_three_sinks,
    a_notification_sets_an_event_and_an_event_signals_a_notification,
    a_descriptor_signals_a_notification.real("a descriptor of the operating system"),
    a_relay_wakes_a_thread_that_blocks.real("other threads"),
    a_signal_between_submit_and_start_is_passed_on,
    a_relay_of_a_notification_whose_sink_is_closed_ends_once,
    a_relay_of_a_notification_holds_its_place_in_a_chain,
    notifications_form_a_ring,
    a_notification_in_shared_memory_is_a_source_and_a_sink,
    a_signal_that_comes_while_a_relay_fires_is_passed_on_as_well,
    a_cancel_after_a_signal_ends_a_persistent_relay_that_has_fired,
    a_cancel_before_a_firing_was_told_takes_nothing_back,
];

fn notifications<const N: usize>() -> [Notification; N] {
    std::array::from_fn(|_| Notification::new())
}

fn a_notification_is_passed_on_once(cts: &mut Cts) {
    let [source, sink] = notifications();
    let before = sink.epoch();
    let relay = cts.start(Relay::new(source.clone(), sink.clone()));
    cts.look();
    assert!(!relay.is_done());
    source.broadcast();
    cts.until("the relay to end", || relay.is_done());
    assert_ended(relay);
    let after = sink.epoch();
    assert_ne!(after, before);
    source.broadcast();
    cts.look();
    assert_eq!(sink.epoch(), after);
}

fn a_persistent_relay_of_a_notification_passes_every_signal_on(cts: &mut Cts) {
    let [source, sink] = notifications();
    let (op, relay) = cts.watch(RelayMany::new(source.clone(), sink.clone()));
    let id = cts.submit(op).unwrap();
    for round in 1..=10 {
        let before = sink.epoch();
        // Several between two polls are one.
        (0..round % 3 + 1).for_each(|_| source.signal(1));
        cts.until("a firing", || relay.outcomes() == round);
        assert_ne!(sink.epoch(), before, "told after the sink was");
        cts.look();
        assert_eq!(relay.outcomes(), round);
    }
    cts.cancel(id).unwrap();
    cts.drain();
    assert_eq!(relay.code(), Some(Code::Cancelled));
}

fn a_relay_of_a_notification_that_is_cancelled_fires_no_more(cts: &mut Cts) {
    let [source, sink] = notifications();
    let before = sink.epoch();
    let (one, first) = cts.watch(Relay::new(source.clone(), sink.clone()));
    let (many, second) = cts.watch(RelayMany::new(source.clone(), sink.clone()));
    let ids = (cts.submit(one).unwrap(), cts.submit(many).unwrap());
    cts.look();
    cts.cancel(ids.0).unwrap();
    cts.cancel(ids.1).unwrap();
    cts.until("both to end", || first.is_done() && second.is_done());
    source.broadcast();
    cts.look();
    assert_eq!((sink.epoch(), second.outcomes()), (before, 0));
    assert!(!source.signal_if_observed(1), "nobody watches it any more");
}

fn one_notification_fires_three_relays_to_three_sinks(cts: &mut Cts) {
    let [source] = notifications();
    let sinks: [Notification; 3] = notifications();
    let before = sinks.each_ref().map(Notification::epoch);
    let relays: Vec<_> = sinks.iter().map(|sink| cts.start(Relay::new(source.clone(), sink.clone()))).collect();
    let many: Vec<_> = sinks.iter().map(|sink| cts.watch(RelayMany::new(source.clone(), sink.clone()))).collect();
    let many: Vec<_> = many.into_iter().map(|(op, relay)| (cts.submit(op).unwrap(), relay)).collect();
    source.signal(1);
    cts.until("all six", || relays.iter().all(Watch::is_done) && many.iter().all(|(_, relay)| relay.outcomes() == 1));
    assert!(sinks.iter().zip(&before).all(|(sink, before)| sink.epoch() != *before));
    many.iter().for_each(|(id, _)| cts.cancel(*id).unwrap());
    cts.drain();
}

fn a_notification_sets_an_event_and_an_event_signals_a_notification(cts: &mut Cts) {
    let [notification, other] = notifications();
    let [event] = events(cts);
    let there = cts.start(RelayMany::new(notification.clone(), event.clone()));
    let back = cts.start(RelayMany::new(event, RelaySink::signal(other.clone(), 1)));
    for round in 1..=3 {
        let before = other.epoch();
        notification.broadcast();
        cts.until("both relays", || there.outcomes() == round && back.outcomes() == round);
        assert_ne!(other.epoch(), before);
    }
}

fn a_descriptor_signals_a_notification(cts: &mut Cts) {
    let (source, writer) = pipe(cts);
    let [sink] = notifications();
    let wait = cts.start(NotificationWait::new(sink.clone()));
    let relay = cts.start(Relay::new(source, sink));
    cts.look();
    assert!(!wait.is_done());
    rustix::io::write(&writer, b"x").unwrap();
    cts.until("both", || relay.is_done() && wait.is_done());
    assert_ended(relay);
}

fn a_relay_wakes_a_thread_that_blocks(cts: &mut Cts) {
    let [source] = events(cts);
    let [sink] = notifications();
    let before = sink.epoch();
    let blocked = sink.clone();
    let thread = std::thread::spawn(move || blocked.wait_since(before, crate::bench::patience()).unwrap());
    let relay = cts.start(Relay::new(source.clone(), sink));
    source.set().unwrap();
    cts.until("the relay", || relay.is_done());
    assert!(thread.join().unwrap(), "the thread was not woken");
}

/// The relay's turn comes after that of the step before it, and its epoch is that of the submit.
fn a_signal_between_submit_and_start_is_passed_on(cts: &mut Cts) {
    let [source, sink] = notifications();
    let [event] = events(cts);
    let (first, _wait) = cts.watch(EventWait::new(event.clone()));
    let (second, relay) = cts.watch(Relay::new(source.clone(), sink.clone()));
    cts.submit(Chain::new((first, second))).unwrap();
    cts.look();
    let before = sink.epoch();
    source.broadcast();
    cts.look();
    assert_eq!(sink.epoch(), before, "its turn has not come");
    event.set().unwrap();
    cts.until("the relay", || relay.is_done());
    assert_ne!(sink.epoch(), before);
}

fn a_relay_of_a_notification_whose_sink_is_closed_ends_once(cts: &mut Cts) {
    let [source] = notifications();
    let [sink] = events(cts);
    let one = cts.start(Relay::new(source.clone(), sink.clone()));
    let many = cts.start(RelayMany::new(source.clone(), sink.clone()));
    cts.look();
    cts.get(Close::new(sink));
    source.broadcast();
    source.broadcast();
    cts.until("both to end", || one.is_done() && many.is_done());
    assert_eq!(one.only().status().code(), Code::FailedPrecondition);
    assert_eq!(many.outcomes(), 0);
    assert_eq!(many.only().status().code(), Code::FailedPrecondition);
    assert!(!source.signal_if_observed(1), "something is armed yet");
    cts.look();
    assert_eq!(cts.pending(), 0);
}

fn a_relay_of_a_notification_holds_its_place_in_a_chain(cts: &mut Cts) {
    let [source] = notifications();
    let [sink, untouched] = events(cts);
    let (first, relay) = cts.watch(Relay::new(source.clone(), sink.clone()));
    let (second, behind) = cts.watch(Relay::new(sink.clone(), untouched.clone()));
    cts.submit(Chain::new((first, second))).unwrap();
    source.broadcast();
    cts.until("the chain", || behind.is_done());
    assert_ended(relay);
    cts.get(EventWait::new(untouched.clone()));
    // And when it fails.
    let (first, relay) = cts.watch(Relay::new(source.clone(), sink.clone()));
    let (second, behind) = cts.watch(Relay::new(source.clone(), untouched.clone()));
    cts.submit(Chain::new((first, second))).unwrap();
    cts.get(Close::new(sink));
    source.broadcast();
    cts.until("the chain", || behind.is_done());
    assert_eq!(relay.only().status().code(), Code::FailedPrecondition);
    assert_eq!(behind.only().status().code(), Code::Cancelled);
    assert_not_set(cts, &untouched);
}

fn notifications_form_a_ring(cts: &mut Cts) {
    let all: [Notification; 3] = notifications();
    let mut ring = Vec::new();
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        let (op, relay) = cts.watch(RelayMany::new(all[from].clone(), all[to].clone()));
        ring.push((cts.submit(op).unwrap(), relay));
    }
    all[0].broadcast();
    cts.until("ten rounds", || ring.iter().all(|(_, relay)| relay.outcomes() >= 10));
    cts.get(Nop);
    ring.iter().for_each(|(id, _)| cts.cancel(*id).unwrap());
    cts.drain();
}

/// Its own sink is what signals in that very moment.
fn a_signal_that_comes_while_a_relay_fires_is_passed_on_as_well(cts: &mut Cts) {
    let [private] = notifications();
    for source in [private, shared().0] {
        let (op, relay) = cts.watch(RelayMany::new(source.clone(), source.clone()));
        let id = match cts.submit(op) {
            Err(refused) if refused.status.code() == Code::Unavailable => skip(refused.status.to_string()),
            submitted => submitted.unwrap(),
        };
        source.broadcast();
        cts.until("ten firings", || relay.outcomes() >= 10);
        cts.cancel(id).unwrap();
        cts.drain();
        assert_eq!(relay.code(), Some(Code::Cancelled));
    }
}

fn a_cancel_after_a_signal_ends_a_persistent_relay_that_has_fired(cts: &mut Cts) {
    let [source, sink] = notifications();
    let before = sink.epoch();
    let (op, relay) = cts.watch(RelayMany::new(source.clone(), sink.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    source.broadcast();
    cts.cancel(id).unwrap();
    cts.until("the relay to end", || relay.is_done());
    assert_ne!(sink.epoch(), before, "the signal came before the cancel");
    assert_eq!((relay.outcomes(), relay.code()), (1, Some(Code::Cancelled)));
}

/// Ends another operation when it ends.
struct Ends(Rc<Cell<Option<OperationId>>>);

impl Complete<NotificationWait> for Ends {
    fn done(op: Box<Op<NotificationWait, Ends>>, _: Outcome<NotificationWait>, cx: &mut Context<'_>) {
        cx.cancel(op.state.0.get().unwrap()).unwrap();
    }
}

/// A wait and a relay hear of the same signal, the wait first, and its callback cancels the relay.
fn a_cancel_before_a_firing_was_told_takes_nothing_back(cts: &mut Cts) {
    let [source, sink] = notifications();
    let before = sink.epoch();
    let other = Rc::new(Cell::new(None));
    cts.submit(Op::new(NotificationWait::new(source.clone()), Ends(other.clone()))).unwrap();
    let (op, relay) = cts.watch(RelayMany::new(source.clone(), sink.clone()));
    other.set(Some(cts.submit(op).unwrap()));
    cts.look();
    source.broadcast();
    cts.until("the relay to end", || relay.is_done());
    assert_ne!(sink.epoch(), before);
    assert_eq!((relay.outcomes(), relay.code()), (1, Some(Code::Cancelled)));
}

/// A notification in shared memory, twice: as two processes have it.
fn shared() -> (Notification, Notification) {
    let (region, fd) = Region::create_shared(4096).unwrap();
    let first = Notification::create_shared(region, 0).unwrap();
    let theirs = Region::map_shared(fd.as_fd(), 0, 4096, Access::all()).unwrap();
    (first, Notification::open_shared(theirs, 0).unwrap())
}

/// W-68: the epoch that counts is the one in shared memory, whichever of its notifications is signalled.
fn a_notification_in_shared_memory_is_a_source_and_a_sink(cts: &mut Cts) {
    let (source, same) = shared();
    let (sink, other) = shared();
    let [event] = events(cts);
    let (op, one) = cts.watch(Relay::new(source.clone(), event.clone()));
    match cts.submit(op) {
        Err(refused) if refused.status.code() == Code::Unavailable => skip(refused.status.to_string()),
        submitted => drop(submitted.unwrap()),
    }
    let (op, many) = cts.watch(RelayMany::new(source.clone(), sink.clone()));
    let id = cts.submit(op).unwrap();
    cts.look();
    assert!(!one.is_done() && many.outcomes() == 0);
    let before = other.epoch();
    same.broadcast();
    cts.until("both", || one.is_done() && many.outcomes() == 1);
    assert_ended(one);
    assert_ne!(other.epoch(), before, "the sink was signalled in shared memory");
    cts.get(EventWait::new(event.clone()));
    for round in 2..=5 {
        same.broadcast();
        cts.until("another firing", || many.outcomes() == round);
    }
    let again = cts.start(Relay::new(source, event.clone()));
    cts.get(Close::new(event));
    same.broadcast();
    cts.until("the relay to end", || again.is_done());
    assert_eq!(again.only().status().code(), Code::FailedPrecondition);
    cts.cancel(id).unwrap();
    cts.until("the persistent one to end", || many.is_done());
    assert!(!same.signal_if_observed(1), "nobody observes it any more");
}
