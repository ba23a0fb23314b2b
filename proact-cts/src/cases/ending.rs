//! Operations with many outcomes end with exactly one final callback, whatever ends them.

use std::time::Duration;

use proact::memory::{BufferPool, Slab};
use proact::operation::{
    Accept, AcceptMany, CancelAll, Close, Interval, Kind, ReceiveFromMany, ReceiveFromPooledMany, ReceiveMany,
    ReceivePooledMany,
};
use proact::resource::{Domain, Socket, SocketOptions};
use proact::status::Code;

use crate::bench::{Cts, patience};
use crate::cases;
use crate::peer::{Peer, Sender};

cases![
    a_cancel_ends_each_of_many_outcomes_once,
    a_close_ends_each_of_many_outcomes_once_and_completes,
    a_cancel_of_all_on_its_socket_ends_each_of_many_outcomes_once,
    a_deadline_ends_each_of_many_outcomes_once,
    a_shutdown_ends_each_of_many_outcomes_once,
    the_end_of_the_stream_ends_each_of_many_outcomes_once,
    a_reset_ends_each_of_many_outcomes_once_with_its_failure,
    without_any_handle_each_of_many_outcomes_goes_on,
];

/// What ends an operation.
#[derive(Clone, Copy, PartialEq, Debug)]
enum By {
    Cancel,
    Close,
    CancelAll,
    Deadline,
    EndOfStream,
    Reset,
    /// Nothing: it goes on, and a cancel ends it after that.
    NoHandle,
}

fn pool(size: usize) -> BufferPool {
    BufferPool::new(Slab::allocate(size, 4, &Default::default()).unwrap()).unwrap()
}

/// Ends `kind` on `socket`, after an outcome that `provoke` has brought about. What the peer does is done by `provoke`
/// as well, which is told what ends the operation.
fn ends<K: Kind>(cts: &mut Cts, by: By, kind: K, socket: Socket, mut provoke: impl FnMut(Option<By>)) {
    let (op, watch) = cts.watch(kind);
    let soon = cts.now() + Duration::from_millis(20);
    let id = cts.submit(if by == By::Deadline { op.deadline(soon) } else { op }).unwrap();
    if by != By::Deadline {
        provoke(None);
        cts.until("an outcome", || watch.outcomes() == 1);
    }
    let mut expected = Code::Cancelled;
    match by {
        By::Cancel => cts.cancel(id).unwrap(),
        By::Close => cts.get(Close::new(socket.clone())),
        By::CancelAll => assert_eq!(cts.get(CancelAll::new(&socket)), 1),
        By::Deadline => expected = Code::DeadlineExceeded,
        By::EndOfStream => expected = Code::Ok,
        By::Reset => expected = Code::Unavailable,
        By::NoHandle => {
            drop(socket);
            provoke(None);
            cts.until("an outcome without a handle", || watch.outcomes() == 2);
            assert!(!watch.is_done());
            cts.cancel(id).unwrap();
        }
    }
    provoke(Some(by));
    cts.until("the end", || watch.is_done());
    cts.look();
    assert_eq!((watch.calls(), watch.code()), (1, Some(expected)), "{by:?}");
    assert!(cts.cancel(id).is_err(), "its identity has ended too");
    drop(watch.only());
}

/// A connection to a peer that is no proactor of the case.
fn connected(cts: &mut Cts) -> (Socket, impl FnMut(Option<By>) + use<>) {
    let (listener, address) = cts.listener();
    let mut peer = Some(cts.peer(&address));
    let socket = cts.get(Accept::new(listener)).socket;
    let provoke = move |by| match by {
        None => peer.as_mut().unwrap().write(b"some"),
        Some(By::EndOfStream) => drop(peer.take()),
        Some(By::Reset) => peer.take().unwrap().reset(),
        Some(_) => {}
    };
    (socket, provoke)
}

/// A bound socket, and someone who sends to it.
fn bound(cts: &mut Cts) -> (Socket, impl FnMut(Option<By>) + use<>) {
    let socket = cts.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
    socket.bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
    let (to, mut peer) = (socket.local_address().unwrap(), Sender::new(cts.config));
    let provoke = move |by: Option<By>| {
        if by.is_none() {
            peer.send(b"some", &to);
        }
    };
    (socket, provoke)
}

/// Every buffer comes back, whoever ended the receive.
#[track_caller]
fn all_back(cts: &mut Cts, pool: &BufferPool) {
    cts.look();
    assert_eq!(pool.available(), pool.capacity());
}

fn receives_end(cts: &mut Cts, by: By) {
    let (socket, provoke) = connected(cts);
    ends(cts, by, ReceiveMany::new(socket.clone(), vec![0; 20]), socket, provoke);
    let (buffers, (socket, provoke)) = (pool(20), connected(cts));
    ends(cts, by, ReceivePooledMany::new(socket.clone(), &buffers), socket, provoke);
    all_back(cts, &buffers);
}

fn all_end(cts: &mut Cts, by: By) {
    let (listener, address) = cts.listener();
    let mut peers = Vec::new();
    let config = cts.config;
    let connect = |by: Option<By>| {
        if by.is_none() {
            peers.push(Peer::connect(config, &address).unwrap());
        }
    };
    ends(cts, by, AcceptMany::new(listener.clone()), listener, connect);
    assert!(by != By::Close || Peer::connect(config, &address).is_err(), "the listener is really closed");
    receives_end(cts, by);
    let (socket, provoke) = bound(cts);
    ends(cts, by, ReceiveFromMany::new(socket.clone(), vec![0; 20]), socket, provoke);
    let (buffers, (socket, provoke)) = (pool(ReceiveFromPooledMany::OVERHEAD + 20), bound(cts));
    ends(cts, by, ReceiveFromPooledMany::new(socket.clone(), &buffers), socket, provoke);
    all_back(cts, &buffers);
}

fn a_cancel_ends_each_of_many_outcomes_once(cts: &mut Cts) {
    all_end(cts, By::Cancel);
}

fn a_close_ends_each_of_many_outcomes_once_and_completes(cts: &mut Cts) {
    all_end(cts, By::Close);
}

fn a_cancel_of_all_on_its_socket_ends_each_of_many_outcomes_once(cts: &mut Cts) {
    all_end(cts, By::CancelAll);
}

fn a_deadline_ends_each_of_many_outcomes_once(cts: &mut Cts) {
    all_end(cts, By::Deadline);
    let now = cts.now();
    let (op, watch) = cts.watch(Interval::new(now, Duration::from_micros(100)));
    cts.submit(op.deadline(now + Duration::from_millis(5))).unwrap();
    cts.until("the deadline of an interval", || watch.is_done());
    assert_eq!((watch.calls(), watch.code()), (1, Some(Code::DeadlineExceeded)));
}

fn a_shutdown_ends_each_of_many_outcomes_once(cts: &mut Cts) {
    for at in 0..6 {
        let buffers = (pool(20), pool(ReceiveFromPooledMany::OVERHEAD + 20));
        let ((stream, stream_peer), (socket, peer)) = (connected(cts), bound(cts));
        let (listener, address) = cts.listener();
        let config = cts.config;
        let connect = |by: Option<By>| drop(by.is_none().then(|| Peer::connect(config, &address).unwrap()));
        // A shutdown takes the proactor, and each operation is shut down with one of its own.
        match at {
            0 => ends_with_it(cts, AcceptMany::new(listener.clone()), listener, connect),
            1 => ends_with_it(cts, ReceiveMany::new(stream.clone(), vec![0; 20]), stream, stream_peer),
            2 => ends_with_it(cts, ReceivePooledMany::new(stream.clone(), &buffers.0), stream, stream_peer),
            3 => ends_with_it(cts, ReceiveFromMany::new(socket.clone(), vec![0; 20]), socket, peer),
            4 => ends_with_it(cts, ReceiveFromPooledMany::new(socket.clone(), &buffers.1), socket, peer),
            _ => {
                let start = cts.now();
                let interval = Interval::new(start, Duration::from_secs(3600));
                ends_with_it(cts, interval, socket, |_| {});
            }
        }
        for pool in [&buffers.0, &buffers.1] {
            assert_eq!(pool.available(), pool.capacity());
        }
        cts.rebuild(|builder| builder);
    }
}

/// As [`ends`], with the proactor.
fn ends_with_it<K: Kind>(cts: &mut Cts, kind: K, socket: Socket, mut provoke: impl FnMut(Option<By>)) {
    let watch = cts.start(kind);
    provoke(None);
    cts.until("an outcome", || watch.outcomes() == 1);
    drop((watch.take_outcomes(), socket));
    assert_eq!(cts.take().shutdown(patience()), 0);
    assert_eq!((watch.calls(), watch.code()), (1, Some(Code::Cancelled)));
}

fn the_end_of_the_stream_ends_each_of_many_outcomes_once(cts: &mut Cts) {
    receives_end(cts, By::EndOfStream);
}

fn a_reset_ends_each_of_many_outcomes_once_with_its_failure(cts: &mut Cts) {
    receives_end(cts, By::Reset);
}

fn without_any_handle_each_of_many_outcomes_goes_on(cts: &mut Cts) {
    all_end(cts, By::NoHandle);
}
