//! Registered descriptors: operations do the same with them, and what they keep open ends when it should.

use proact::backend::{Capabilities, OpenFlags};
use proact::memory::{BufferPool, Slab};
use proact::operation::{
    AcceptMany, CancelAll, Chain, Close, Complete, Context, Op, Open, Outcome, Read, Receive, ReceivePooledMany,
    ReceiveVectored, RegisterDescriptor, Registered, Send, SendVectored, Sync, UnregisterDescriptor, Write,
};
use proact::resource::Socket;
use proact::status::Code;

use crate::bench::{Cts, Tell};
use crate::cases;
use crate::peer::Peer;

cases![
    a_registered_socket_does_what_it_did_before,
    a_registered_file_does_what_it_did_before,
    what_registering_brought_is_told,
    a_descriptor_is_registered_once,
    what_is_not_registered_is_not_found,
    a_close_unregisters_and_really_closes.alone(),
    dropping_every_handle_does_not_close_what_is_registered.alone(),
    an_unregistered_descriptor_closes_with_its_last_handle.alone(),
    unregistering_disturbs_nothing_in_flight,
    chains_of_registered_sockets_lower_and_arrive,
    a_place_that_is_used_again_leads_to_its_new_descriptor,
    a_proactor_that_ends_lets_registered_descriptors_go.alone(),
    a_place_that_was_given_up_before_it_was_told_is_not_gone_by,
];

fn register(cts: &mut Cts, socket: &Socket) -> Registered {
    cts.get(RegisterDescriptor::new(socket.clone()))
}

fn a_registered_socket_does_what_it_did_before(cts: &mut Cts) {
    let (near, far) = cts.pair();
    register(cts, &near);
    register(cts, &far);
    for round in 0..20u8 {
        cts.get(Send::exact(near.clone(), vec![round; 100]));
        cts.get(SendVectored::exact(near.clone(), vec![vec![round; 3], vec![9; 4]]));
        assert_eq!(cts.one(Receive::exact(far.clone(), vec![0; 100])).kind.buffer, [round; 100]);
        let told = cts.one(ReceiveVectored::exact(far.clone(), vec![vec![0; 5], vec![0; 2]]));
        assert_eq!(told.kind.buffers.concat(), [round, round, round, 9, 9, 9, 9]);
    }
    let pool = BufferPool::new(Slab::allocate(64, 8, &Default::default()).unwrap()).unwrap();
    let receives = cts.start(ReceivePooledMany::new(far.clone(), &pool));
    cts.get(Send::exact(near.clone(), vec![3; 50]));
    cts.until("the bytes", || receives.outcomes() == 1);
    cts.get(Close::new(near));
    cts.until("the end of the stream", || receives.is_done());
    assert!(receives.only().result.unwrap().is_none());
}

fn a_registered_file_does_what_it_did_before(cts: &mut Cts) {
    let file = cts.file("registered", b"before");
    cts.get(RegisterDescriptor::new(file.clone()));
    cts.get(Write::exact(file.clone(), 2, b"xyz".to_vec()));
    cts.get(Sync::data(file.clone()));
    assert_eq!(cts.one(Read::exact(file.clone(), 0, vec![0; 6])).kind.buffer, b"bexyze");
    cts.get(Close::new(file));
}

fn what_registering_brought_is_told(cts: &mut Cts) {
    let (near, _far) = cts.pair();
    let native = cts.handle().capabilities().contains(Capabilities::REGISTERED_DESCRIPTORS);
    match register(cts, &near) {
        Registered::Fixed(_) => assert!(native),
        other => assert_eq!((other, native), (Registered::Noted, false)),
    }
}

fn a_descriptor_is_registered_once(cts: &mut Cts) {
    let (near, _far) = cts.pair();
    register(cts, &near);
    assert_eq!(cts.fails(RegisterDescriptor::new(near.clone())).code(), Code::AlreadyExists);
    cts.get(UnregisterDescriptor::new(near.clone()));
    register(cts, &near);
}

fn what_is_not_registered_is_not_found(cts: &mut Cts) {
    let (near, far) = cts.pair();
    register(cts, &far);
    assert_eq!(cts.fails(UnregisterDescriptor::new(near.clone())).code(), Code::NotFound);
    cts.get(Close::new(near.clone()));
    let refused = cts.submit(Op::new(RegisterDescriptor::new(near), ())).unwrap_err();
    assert_eq!(refused.status.code(), Code::FailedPrecondition);
}

/// A connection whose far end is no proactor's of the case.
fn connection(cts: &mut Cts) -> (Socket, Peer) {
    let (listener, address) = cts.listener();
    let accept = cts.start(proact::operation::Accept::new(listener));
    let peer = cts.peer(&address);
    cts.until("the connection", || accept.is_done());
    (accept.only().result.unwrap().socket, peer)
}

fn a_close_unregisters_and_really_closes(cts: &mut Cts) {
    let (socket, mut peer) = connection(cts);
    register(cts, &socket);
    cts.get(Close::new(socket));
    crate::bench::eventually("the peer to see the end", || peer.has_ended());
}

fn dropping_every_handle_does_not_close_what_is_registered(cts: &mut Cts) {
    let (socket, mut peer) = connection(cts);
    register(cts, &socket);
    drop(socket);
    cts.look();
    assert!(!peer.has_ended());
    assert_eq!(cts.take().shutdown(crate::bench::patience()), 0);
    crate::bench::eventually("the peer to see the end", || peer.has_ended());
}

fn an_unregistered_descriptor_closes_with_its_last_handle(cts: &mut Cts) {
    let (socket, mut peer) = connection(cts);
    register(cts, &socket);
    cts.get(UnregisterDescriptor::new(socket.clone()));
    drop(socket);
    cts.look();
    crate::bench::eventually("the peer to see the end", || peer.has_ended());
}

fn unregistering_disturbs_nothing_in_flight(cts: &mut Cts) {
    let (near, far) = cts.pair();
    let (listener, _) = cts.listener();
    for socket in [&near, &far, &listener] {
        register(cts, socket);
    }
    let receive = cts.start(Receive::exact(far.clone(), vec![0; 8]));
    let accepts = cts.start(AcceptMany::new(listener.clone()));
    cts.look();
    for socket in [&near, &far, &listener] {
        cts.get(UnregisterDescriptor::new(socket.clone()));
    }
    cts.get(Send::exact(near, vec![4; 8]));
    cts.until("the receive", || receive.is_done());
    assert_eq!(receive.only().kind.buffer, [4; 8]);
    let _peer = cts.peer(&listener.local_address().unwrap());
    cts.until("a connection", || accepts.outcomes() == 1);
    cts.get(CancelAll::new(&listener));
    cts.until("the end of the accept", || accepts.is_done());
}

fn chains_of_registered_sockets_lower_and_arrive(cts: &mut Cts) {
    let (near, far) = cts.pair();
    register(cts, &near);
    register(cts, &far);
    for round in 0..20u8 {
        let (first, one) = cts.watch(Send::exact(near.clone(), vec![round; 10]));
        let (second, two) = cts.watch(Send::exact(near.clone(), vec![round; 20]));
        let (third, three) = cts.watch(Receive::exact(far.clone(), vec![0; 30]));
        cts.submit(Chain::new((first, second, third))).unwrap();
        cts.drain();
        assert_eq!((one.code(), two.code()), (Some(Code::Ok), Some(Code::Ok)));
        assert_eq!(three.only().kind.buffer, [round; 30]);
    }
}

fn a_place_that_is_used_again_leads_to_its_new_descriptor(cts: &mut Cts) {
    for round in 0..30u8 {
        let (near, far) = cts.pair();
        register(cts, &near);
        register(cts, &far);
        cts.get(Send::exact(near.clone(), vec![round; 6]));
        assert_eq!(cts.one(Receive::exact(far.clone(), vec![0; 6])).kind.buffer, [round; 6]);
        match round % 3 {
            0 => cts.get(Close::new(near)),
            1 => cts.get(UnregisterDescriptor::new(far)),
            _ => {}
        }
    }
}

fn a_proactor_that_ends_lets_registered_descriptors_go(cts: &mut Cts) {
    let path = cts.path("kept");
    cts.write(&path, b"");
    let file = cts.get(Open::new(&path, OpenFlags::READ));
    cts.get(RegisterDescriptor::new(file.clone()));
    let (socket, mut peer) = connection(cts);
    register(cts, &socket);
    drop(socket);
    assert_eq!(cts.take().shutdown(crate::bench::patience()), 0);
    crate::bench::eventually("the peer to see the end", || peer.has_ended());
    drop(file);
}

/// Receives as soon as it is told of the place.
struct Eager(Option<Box<Op<Hear, Tell<Hear>>>>);

type Hear = Receive<Vec<u8>>;

impl Complete<RegisterDescriptor<Socket>> for Eager {
    fn done(
        mut op: Box<Op<RegisterDescriptor<Socket>, Self>>,
        outcome: Outcome<RegisterDescriptor<Socket>>,
        cx: &mut Context<'_>,
    ) {
        outcome.result.unwrap();
        cx.submit(op.state.0.take().unwrap()).unwrap();
    }
}

fn a_place_that_was_given_up_before_it_was_told_is_not_gone_by(cts: &mut Cts) {
    let (one, to_one) = cts.pair();
    let (two, to_two) = cts.pair();
    cts.get(Send::exact(to_one, b"one".as_slice()));
    cts.get(Send::exact(to_two, b"two".as_slice()));
    let (receive, watch) = cts.watch(Receive::exact(one.clone(), vec![0; 3]));
    cts.submit(Op::new(RegisterDescriptor::new(one.clone()), Eager(Some(receive)))).unwrap();
    cts.submit(Op::new(UnregisterDescriptor::new(one), ())).unwrap();
    // Gets the place that was just given up.
    cts.submit(Op::new(RegisterDescriptor::new(two), ())).unwrap();
    cts.until("the receive", || watch.is_done());
    assert_eq!(watch.only().kind.buffer, b"one", "bytes of its own socket");
}
