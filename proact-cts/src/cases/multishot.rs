//! Operations with many outcomes: the same ones in the same order, whether the kernel goes on or the proactor asks
//! again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use proact::operation::{
    AcceptMany, Close, Complete, Connect, Context, Interval, Nop, Op, OperationId, Outcome, Receive, ReceiveMany, Send,
    Sequence,
};
use proact::resource::{Domain, SocketOptions};
use proact::status::Code;
use proact::time::Timeout;

use crate::bench::Cts;
use crate::cases;
use crate::peer::Peer;

cases![
    one_accept_takes_many_connections_and_ends_once_when_cancelled,
    a_close_of_the_listener_ends_its_accept_once_and_really_closes_it,
    a_shutdown_ends_an_accept_once,
    an_accept_that_fails_ends_with_that_failure,
    connections_accepted_behind_a_cancel_are_not_lost,
    one_receive_is_told_of_every_message_and_of_the_end_of_the_stream,
    a_receive_lends_its_buffer_and_the_next_waits_behind_it,
    a_close_of_its_socket_ends_a_receive_once,
    an_outcome_may_cancel_its_own_operation,
    an_outcome_that_panics_loses_no_later_one,
    dropped_outcomes_close_their_connections.alone(),
    dropping_the_handle_to_the_listener_ends_nothing,
    an_operation_with_many_outcomes_is_no_step,
    an_interval_keeps_to_its_grid_and_ends_after_its_count,
    an_interval_is_cancelled_between_two_outcomes,
    an_interval_without_a_period_is_refused,
    an_interval_that_is_far_behind_tells_so_little_by_little,
    a_reset_connection_ends_a_receive_with_its_failure,
];

fn one_accept_takes_many_connections_and_ends_once_when_cancelled(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let (op, accepts) = cts.watch(AcceptMany::new(listener));
    let id = cts.submit(op).unwrap();
    let mut peers = Vec::new();
    for round in 1..=3 {
        let clients: Vec<_> = (0..5).map(|_| cts.peer(&address)).collect();
        cts.until("every connection to be accepted", || accepts.outcomes() == 5);
        let mut expected: Vec<_> = clients.iter().map(|client| client.address().to_string()).collect();
        let mut seen: Vec<_> =
            accepts.take_outcomes().into_iter().map(|accepted| accepted.unwrap().peer().to_string()).collect();
        expected.sort();
        seen.sort();
        assert_eq!(seen, expected, "round {round}");
        peers.extend(clients);
    }
    assert!(!accepts.is_done());
    cts.cancel(id).unwrap();
    cts.until("the cancelled accept to end", || accepts.is_done());
    assert_eq!(accepts.only().status().code(), Code::Cancelled);
}

fn a_close_of_the_listener_ends_its_accept_once_and_really_closes_it(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let accepts = cts.start(AcceptMany::new(listener.clone()));
    let client = cts.peer(&address);
    cts.until("one connection", || accepts.outcomes() == 1);
    let close = cts.start(Close::new(listener));
    cts.until("the close and the accept to end", || close.is_done() && accepts.is_done());
    assert_eq!(accepts.only().status().code(), Code::Cancelled);
    close.only().result.unwrap();
    assert!(Peer::connect(cts.config, &address).is_err(), "the listener is closed");
    drop(client);
}

fn a_shutdown_ends_an_accept_once(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let accepts = cts.start(AcceptMany::new(listener));
    let _client = cts.peer(&address);
    cts.until("one connection", || accepts.outcomes() == 1);
    assert_eq!(cts.take().shutdown(crate::bench::patience()), 0);
    assert_eq!(accepts.only().status().code(), Code::Cancelled);
}

fn an_accept_that_fails_ends_with_that_failure(cts: &mut Cts) {
    let socket = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let told = cts.one(AcceptMany::new(socket.clone()));
    assert_eq!(told.status().code(), Code::InvalidArgument, "it does not listen");
    assert!(socket.failure().is_none(), "an accept's failure is not the socket's");
}

fn connections_accepted_behind_a_cancel_are_not_lost(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let (op, accepts) = cts.watch(AcceptMany::new(listener.clone()));
    let id = cts.submit(op).unwrap();
    let clients: Vec<_> = (0..8).map(|_| cts.peer(&address)).collect();
    cts.until("the first connection", || accepts.outcomes() > 0);
    cts.cancel(id).unwrap();
    cts.until("the accept to end", || accepts.is_done());
    let mut accepted = accepts.outcomes();
    let rest = cts.start(AcceptMany::new(listener));
    cts.until("the other connections", || accepted + rest.outcomes() == clients.len());
    accepted += rest.outcomes();
    assert_eq!(accepted, clients.len());
}

fn one_receive_is_told_of_every_message_and_of_the_end_of_the_stream(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let accept = cts.start(proact::operation::Accept::new(listener));
    let mut client = cts.peer(&address);
    cts.until("the connection", || accept.is_done());
    let socket = accept.only().result.unwrap().socket;
    let before = cts.statistics().bytes_received;
    let receives = cts.start(ReceiveMany::new(socket, vec![0; 100]));
    for length in [1, 40, 100] {
        client.write(&vec![7; length]);
        let mut received = 0;
        cts.until("the message", || {
            received += receives.take_outcomes().into_iter().map(Result::unwrap).sum::<usize>();
            received == length
        });
    }
    client.end_sending();
    cts.until("the end of the stream", || receives.is_done());
    assert_eq!(receives.outcomes(), 0);
    assert_eq!(receives.only().result.unwrap(), 0);
    assert_eq!(cts.statistics().bytes_received - before, 141);
}

/// Collects what a receive lends.
struct Collect(Vec<u8>, std::sync::mpsc::Sender<Vec<u8>>);

impl Complete<ReceiveMany<Vec<u8>>> for Collect {
    fn more(&mut self, kind: &ReceiveMany<Vec<u8>>, outcome: Outcome<ReceiveMany<Vec<u8>>>, _: &mut Context<'_>) {
        assert_eq!(outcome.moved, *outcome.result.as_ref().unwrap());
        self.0.extend_from_slice(&kind.buffer[..outcome.result.unwrap()]);
        if self.0.len() >= 20_000 {
            self.1.send(std::mem::take(&mut self.0)).unwrap();
        }
    }
    fn done(op: Box<Op<ReceiveMany<Vec<u8>>, Self>>, outcome: Outcome<ReceiveMany<Vec<u8>>>, _: &mut Context<'_>) {
        assert_eq!(outcome.result.unwrap_err().code(), Code::Cancelled);
        assert_eq!(op.kind.buffer.len(), 64, "the buffer comes back");
    }
}

fn a_receive_lends_its_buffer_and_the_next_waits_behind_it(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let (sender, collected) = std::sync::mpsc::channel();
    let id = cts.submit(Op::new(ReceiveMany::new(far.clone(), vec![0; 64]), Collect(Vec::new(), sender))).unwrap();
    let behind = cts.start(Receive::exact(far, vec![0; 3]));
    let bytes: Vec<u8> = (0..20_000u32).map(|index| (index % 251) as u8).collect();
    cts.get(Send::exact(near.clone(), bytes.clone()));
    let mut all = None;
    cts.until("all bytes", || {
        all = collected.try_recv().ok();
        all.is_some()
    });
    assert!(all.unwrap() == bytes);
    assert!(!behind.is_done());
    cts.cancel(id).unwrap();
    cts.get(Send::exact(near, vec![1, 2, 3]));
    cts.until("the receive behind", || behind.is_done());
    assert_eq!(behind.only().kind.buffer, [1, 2, 3]);
}

fn a_close_of_its_socket_ends_a_receive_once(cts: &mut Cts) {
    let (near, _far) = cts.pair();
    let receives = cts.start(ReceiveMany::new(near.clone(), vec![0; 8]));
    cts.look();
    let close = cts.start(Close::new(near));
    cts.until("both to end", || close.is_done() && receives.is_done());
    assert_eq!(receives.only().status().code(), Code::Cancelled);
}

/// Cancels its own operation at the third outcome.
struct Stop {
    id: Option<OperationId>,
    seen: usize,
    told: std::sync::mpsc::Sender<(usize, Code)>,
}

impl Complete<Interval> for Stop {
    fn more(&mut self, _: &Interval, _: Outcome<Interval>, cx: &mut Context<'_>) {
        self.seen += 1;
        if self.seen == 3 {
            cx.cancel(self.id.unwrap()).unwrap();
        }
    }
    fn done(op: Box<Op<Interval, Self>>, outcome: Outcome<Interval>, _: &mut Context<'_>) {
        op.state.told.send((op.state.seen, outcome.result.unwrap_err().code())).unwrap();
    }
}

/// Hands its own identity to the operation that follows.
struct Starter(std::sync::mpsc::Sender<(usize, Code)>);

impl Complete<Nop> for Starter {
    fn done(op: Box<Op<Nop, Self>>, _: Outcome<Nop>, cx: &mut Context<'_>) {
        let stop = Stop { id: None, seen: 0, told: op.state.0 };
        let start = cx.now();
        let probe = cx.submit(Op::new(Interval::new(start, Duration::from_micros(50)), Later(Some(stop)))).unwrap();
        OWN.with(|own| own.set(Some(probe)));
    }
}

thread_local! {
    static OWN: std::cell::Cell<Option<OperationId>> = const { std::cell::Cell::new(None) };
}

/// Learns its identity at the first outcome.
struct Later(Option<Stop>);

impl Complete<Interval> for Later {
    fn more(&mut self, kind: &Interval, outcome: Outcome<Interval>, cx: &mut Context<'_>) {
        let stop = self.0.as_mut().unwrap();
        stop.id = OWN.with(std::cell::Cell::get);
        stop.more(kind, outcome, cx);
    }
    fn done(op: Box<Op<Interval, Self>>, outcome: Outcome<Interval>, _: &mut Context<'_>) {
        let stop = op.state.0.unwrap();
        stop.told.send((stop.seen, outcome.result.unwrap_err().code())).unwrap();
    }
}

fn an_outcome_may_cancel_its_own_operation(cts: &mut Cts) {
    let (sender, told) = std::sync::mpsc::channel();
    cts.submit(Op::new(Nop, Starter(sender))).unwrap();
    cts.drain();
    assert_eq!(told.recv().unwrap(), (3, Code::Cancelled));
}

/// Panics at its first outcome.
struct Panics {
    seen: usize,
    accepted: std::sync::mpsc::Sender<usize>,
}

impl Complete<AcceptMany> for Panics {
    fn more(&mut self, _: &AcceptMany, outcome: Outcome<AcceptMany>, _: &mut Context<'_>) {
        outcome.result.unwrap();
        self.seen += 1;
        self.accepted.send(self.seen).unwrap();
        assert!(self.seen != 1, "as planned");
    }
    fn done(_: Box<Op<AcceptMany, Self>>, outcome: Outcome<AcceptMany>, _: &mut Context<'_>) {
        assert_eq!(outcome.result.unwrap_err().code(), Code::Cancelled);
    }
}

fn an_outcome_that_panics_loses_no_later_one(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let (sender, accepted) = std::sync::mpsc::channel();
    let id = cts.submit(Op::new(AcceptMany::new(listener), Panics { seen: 0, accepted: sender })).unwrap();
    let _clients: Vec<_> = (0..4).map(|_| cts.peer(&address)).collect();
    let (mut seen, mut panics) = (0, 0);
    cts.until_with("four connections", |proactor| {
        let polled = catch_unwind(AssertUnwindSafe(|| proactor.poll(proact::time::Timeout::Immediate)));
        panics += usize::from(polled.is_err());
        seen = accepted.try_iter().last().unwrap_or(seen);
        seen == 4
    });
    assert_eq!(panics, 1);
    cts.cancel(id).unwrap();
    cts.drain();
}

/// Lets every connection go at once.
struct Careless;

impl Complete<AcceptMany> for Careless {
    fn done(_: Box<Op<AcceptMany, Self>>, _: Outcome<AcceptMany>, _: &mut Context<'_>) {}
}

fn dropped_outcomes_close_their_connections(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let id = cts.submit(Op::new(AcceptMany::new(listener), Careless)).unwrap();
    let clients: Vec<_> = (0..4).map(|_| cts.peer(&address)).collect();
    for mut client in clients {
        let mut ended = false;
        cts.until_with("a connection to be dropped", |proactor| {
            proactor.poll(proact::time::Timeout::Immediate).unwrap();
            ended = ended || client.has_ended();
            ended
        });
    }
    cts.cancel(id).unwrap();
    cts.drain();
}

fn dropping_the_handle_to_the_listener_ends_nothing(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let accepts = cts.start(AcceptMany::new(listener.clone()));
    drop(listener);
    cts.look();
    assert!(!accepts.is_done());
    let client = cts.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    cts.get(Connect::new(client, address));
    cts.until("a connection", || accepts.outcomes() == 1);
}

fn an_operation_with_many_outcomes_is_no_step(cts: &mut Cts) {
    let interval = Interval::new(cts.now(), Duration::from_secs(1));
    let refused = cts.submit(Op::new(Sequence::new().step(interval), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
}

fn an_interval_keeps_to_its_grid_and_ends_after_its_count(cts: &mut Cts) {
    let (start, period) = (cts.now() + Duration::from_millis(1), Duration::from_micros(200));
    let interval = cts.start(Interval::new(start, period).times(50));
    let mut expirations = 0;
    while !interval.is_done() {
        cts.until("another outcome", || interval.outcomes() > 0 || interval.is_done());
        for outcome in interval.take_outcomes() {
            expirations += outcome.unwrap();
            // Never early: so many periods have really passed.
            assert!(cts.now() >= start + period * (expirations as u32 - 1), "after {expirations}");
        }
    }
    expirations += interval.only().result.unwrap();
    assert_eq!(expirations, 50);
    assert!(cts.now() >= start + period * 49);
}

fn an_interval_is_cancelled_between_two_outcomes(cts: &mut Cts) {
    let start = cts.now();
    let (op, interval) = cts.watch(Interval::new(start, Duration::from_micros(100)));
    let id = cts.submit(op).unwrap();
    cts.until("three outcomes", || interval.outcomes() >= 3);
    cts.cancel(id).unwrap();
    cts.until("its end", || interval.is_done());
    assert_eq!(interval.only().status().code(), Code::Cancelled);
}

fn an_interval_without_a_period_is_refused(cts: &mut Cts) {
    let interval = Interval::new(cts.now(), Duration::ZERO);
    assert_eq!(cts.submit(Op::new(interval, ())).unwrap_err().status.code(), Code::InvalidArgument);
}

fn an_interval_that_is_far_behind_tells_so_little_by_little(cts: &mut Cts) {
    // Behind by the nanoseconds since the clock's origin: more than one outcome can say, and more outcomes than one
    // pass should tell.
    let (op, interval) = cts.watch(Interval::new(proact::time::Time::ORIGIN, Duration::from_nanos(1)));
    let id = cts.submit(op).unwrap();
    cts.poll(Timeout::Immediate).unwrap();
    let told = interval.take_outcomes().len();
    assert!((1..=2).contains(&told), "{told} outcomes in one pass");
    cts.until("more", || interval.outcomes() > 0);
    cts.cancel(id).unwrap();
    cts.until("its end", || interval.is_done());
    assert_eq!(interval.only().status().code(), Code::Cancelled);
}

fn a_reset_connection_ends_a_receive_with_its_failure(cts: &mut Cts) {
    let (listener, address) = cts.listener();
    let accept = cts.start(proact::operation::Accept::new(listener));
    let client = cts.peer(&address);
    cts.until("the connection", || accept.is_done());
    let socket = accept.only().result.unwrap().socket;
    let receives = cts.start(ReceiveMany::new(socket, vec![0; 8]));
    cts.look();
    client.reset();
    cts.until("the end of the receive", || receives.is_done());
    assert_eq!(receives.only().status().code(), Code::Unavailable);
}
