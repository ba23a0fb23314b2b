//! Connections at their worst: called off, given up, full, and cut in the middle.

use std::time::Duration;

use proact::operation::{Accept, Connect, Op, Receive, ReceiveFrom, Send};
use proact::proactor::Proactor;
use proact::resource::{Address, Domain, Shutdown, Socket, SocketOptions};
use proact::simulated::{Link, Stalled, World};
use proact::status::Code;
use proact::time::Timeout;

use crate::{connected, one, proactor, start};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);
const SECOND: u64 = 1_000_000_000;

fn send_one_byte(proactor: &mut Proactor, socket: &Socket) {
    let sent = start(proactor, Send::exact(socket.clone(), vec![1]));
    while !sent.is_there() {
        proactor.poll(Timeout::Immediate).unwrap();
    }
    assert_eq!(sent.take().unwrap(), 1);
}

/// A connect that is called off while it is on its way, and another of the same socket: how that ends, and with whom.
fn connect_again(first_listens: bool) {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    world.link(&near, &far, Link { latency: 10 * MS, ..Link::default() });
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (first, second) = (Address::from(far.address(80)), Address::from(far.address(81)));
    let options = SocketOptions::default();
    let _first = first_listens.then(|| server.handle().listen(&first, &options).unwrap());
    let listener = server.handle().listen(&second, &options).unwrap();
    let accepted = start(&mut server, Accept::new(listener));
    let socket = client.handle().socket(Domain::Ipv4, &options).unwrap();
    let id = client.submit(Op::new(Connect::new(socket.clone(), first), ())).unwrap();
    world.run(&mut [&mut client], 5 * MS).unwrap();
    client.cancel(id).unwrap();
    client.poll(Timeout::Immediate).unwrap();
    assert_eq!(client.pending(), 0);
    let connected = start(&mut client, Connect::new(socket.clone(), second.clone()));
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
    connected.take().unwrap();
    assert_eq!(socket.peer_address().unwrap(), second);
    assert!(world.now().as_nanoseconds() >= 25_000_000, "an answer to the first was taken for the second's");
    let received = start(&mut client, Receive::exact(socket, vec![0; 1]));
    send_one_byte(&mut server, &accepted.take().unwrap().socket);
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
    received.take().unwrap();
}

#[test]
fn a_refusal_of_a_connect_that_was_called_off_is_not_the_next_ones() {
    connect_again(false);
}

#[test]
fn a_connect_that_was_called_off_leads_nowhere_and_the_next_where_it_should() {
    connect_again(true);
}

#[test]
fn a_connection_that_one_end_gave_up_is_broken_for_the_other_when_it_sends() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (socket, theirs) = connected(&world, &mut client, &mut server, &far, 80);
    world.partition(&near, &far);
    let answer = start(&mut client, Receive::exact(socket.clone(), vec![0; 1]));
    send_one_byte(&mut client, &socket);
    assert_eq!(world.run(&mut [&mut client], HOUR).unwrap(), Stalled::Done);
    assert_eq!(answer.code(), Code::DeadlineExceeded);
    world.heal(&near, &far);
    let request = start(&mut server, Receive::exact(theirs.clone(), vec![0; 1]));
    send_one_byte(&mut server, &theirs);
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done, "nobody tells the server");
    assert_eq!(request.code(), Code::Unavailable);
    let after = one(&mut client, Receive::some(socket, vec![0; 1]));
    assert!(!matches!(after, Ok(1)), "a byte came over a connection that had failed");
}

#[test]
fn a_link_that_loses_everything_breaks_a_stream() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (socket, theirs) = connected(&world, &mut client, &mut server, &far, 80);
    world.link(&near, &far, Link { loss: 1_000_000, ..Link::default() });
    let answer = start(&mut client, Receive::exact(socket.clone(), vec![0; 1]));
    let request = start(&mut server, Receive::exact(theirs, vec![0; 1]));
    let before = world.now();
    send_one_byte(&mut client, &socket);
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::AtRest);
    assert!(!request.is_there(), "what is always lost arrived");
    assert_eq!(answer.code(), Code::DeadlineExceeded);
    assert!((60..61).contains(&(world.now() - before).as_secs()));
    server.shutdown(Duration::from_secs(1));
}

/// How a send ends that waits for a peer which reads nothing, when something happens to that peer.
fn full_and_then(what: impl FnOnce(&World)) -> (Stalled, Code) {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (socket, theirs) = connected(&world, &mut client, &mut server, &far, 80);
    let sent = start(&mut client, Send::exact(socket, vec![1; 4 << 20]));
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::AtRest);
    what(&world);
    let ended = world.run(&mut [&mut client], HOUR).unwrap();
    let code = if sent.is_there() { sent.code() } else { Code::Ok };
    client.shutdown(Duration::from_secs(1));
    drop(theirs);
    (ended, code)
}

#[test]
fn a_sender_that_waits_for_room_notices_a_peer_that_is_gone() {
    let crashed = full_and_then(|world| world.host("far").crash());
    assert_eq!(crashed, (Stalled::Done, Code::DeadlineExceeded));
    let restarted = full_and_then(|world| {
        world.host("far").crash();
        world.host("far").restart();
    });
    assert_eq!(restarted, (Stalled::Done, Code::Unavailable));
    let cut = full_and_then(|world| world.partition(&world.host("near"), &world.host("far")));
    assert_eq!(cut, (Stalled::Done, Code::DeadlineExceeded));
    let mended = full_and_then(|world| {
        let (near, far) = (world.host("near"), world.host("far"));
        world.partition(&near, &far);
        world.after(Duration::from_secs(30), move |world| world.heal(&near, &far));
    });
    assert_eq!(mended, (Stalled::AtRest, Code::Ok), "it is there again, and still reads nothing");
}

#[test]
fn an_answer_to_a_connect_does_not_pass_a_cut_link() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    world.link(&near, &far, Link { latency: 10 * MS, ..Link::default() });
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let address = Address::from(far.address(80));
    let listener = server.handle().listen(&address, &SocketOptions::default()).unwrap();
    let accepted = start(&mut server, Accept::new(listener));
    let socket = client.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let connected = start(&mut client, Connect::new(socket, address));
    let (one_host, other) = (near.clone(), far.clone());
    world.after(15 * MS, move |world| world.partition(&one_host, &other));
    let (one_host, other) = (near.clone(), far.clone());
    world.after(Duration::from_secs(5), move |world| world.heal(&one_host, &other));
    world.run(&mut [&mut client, &mut server], Duration::from_secs(4)).unwrap();
    assert!(accepted.is_there() && !connected.is_there(), "the answer went over a link that is cut");
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
    connected.take().unwrap();
    assert!(world.now().as_nanoseconds() >= 5 * SECOND);
}

#[test]
fn one_direction_ends_and_the_other_goes_on() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (socket, theirs) = connected(&world, &mut client, &mut server, &far, 80);
    socket.shutdown(Shutdown::Send).unwrap();
    let ended = start(&mut server, Receive::some(theirs.clone(), vec![0; 1]));
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
    assert_eq!(ended.take().unwrap(), 0);
    send_one_byte(&mut server, &theirs);
    assert_eq!(one(&mut client, Receive::exact(socket.clone(), vec![0; 1])).unwrap(), 1);
    assert_eq!(one(&mut client, Send::exact(socket, vec![1])).unwrap_err().code(), Code::Unavailable);
}

#[test]
fn what_came_before_a_reset_is_read_and_then_the_reset() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (socket, theirs) = connected(&world, &mut client, &mut server, &far, 80);
    send_one_byte(&mut server, &theirs);
    send_one_byte(&mut client, &socket);
    world.pass_until(world.now() + MS);
    // Closed with a byte unread.
    drop(theirs);
    world.pass_until(world.now() + MS);
    assert_eq!(one(&mut client, Receive::exact(socket.clone(), vec![0; 1])).unwrap(), 1);
    assert_eq!(one(&mut client, Receive::exact(socket, vec![0; 1])).unwrap_err().code(), Code::Unavailable);
}

#[test]
fn a_full_backlog_has_the_next_try_again_until_there_is_room() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let address = Address::from(far.address(80));
    let listener = server.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(1).unwrap();
    let connects = [0, 1].map(|_| {
        let socket = client.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
        (socket.clone(), start(&mut client, Connect::new(socket, address.clone())))
    });
    world.run(&mut [&mut client, &mut server], Duration::from_secs(2)).unwrap();
    let there = connects.each_ref().map(|(_, connect)| connect.is_there());
    assert_eq!(
        there.into_iter().filter(|there| *there).count(),
        1,
        "one waits to be accepted, and there is no more room"
    );
    one(&mut server, Accept::new(listener.clone())).unwrap();
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
    assert!(world.now().as_nanoseconds() > 2 * SECOND);
    connects.iter().for_each(|(_, connect)| connect.take().unwrap());
}

#[test]
fn a_port_is_free_again_when_its_listener_has_gone() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (socket, theirs) = connected(&world, &mut client, &mut server, &far, 80);
    // The first listener has gone with its accept; the connection that it made lives on beside the second.
    let (other, _others) = connected(&world, &mut client, &mut server, &far, 80);
    assert_ne!(socket.local_address().unwrap(), other.local_address().unwrap());
    send_one_byte(&mut server, &theirs);
    assert_eq!(one(&mut client, Receive::exact(socket, vec![0; 1])).unwrap(), 1);
}

#[test]
fn a_datagram_that_nobody_takes_is_told_to_who_named_its_peer_and_not_before_it_can_be_known() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    world.link(&near, &far, Link { latency: 10 * MS, ..Link::default() });
    let mut client = proactor(&near);
    let socket = client.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
    one(&mut client, Connect::new(socket.clone(), Address::from(far.address(53)))).unwrap();
    let received = start(&mut client, ReceiveFrom::new(socket.clone(), vec![0; 8]));
    let before = world.now();
    drop(start(&mut client, Send::exact(socket, vec![1; 8])));
    assert_eq!(world.run(&mut [&mut client], HOUR).unwrap(), Stalled::Done);
    assert_eq!(received.code(), Code::Unavailable);
    assert_eq!(world.now() - before, 20 * MS, "there and back");
}
