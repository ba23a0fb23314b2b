//! Links, partitions, and peers that go.

use std::time::Duration;

use proact::operation::{Accept, Connect, Receive, ReceiveFrom, Send, SendTo};
use proact::resource::{Address, Domain, SocketOptions};
use proact::simulated::{Link, Stalled, World, explore};
use proact::status::Code;

use crate::{connected, one, proactor, start};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_link_takes_its_latency_and_its_bandwidth() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let link = Link { latency: Duration::from_millis(10), bandwidth: Some(1_000_000), ..Link::default() };
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    world.link(&near, &far, link);
    let (sender, receiver) = connected(&world, &mut client, &mut server, &far, 80);
    let before = world.now();
    let sent = start(&mut client, Send::exact(sender, vec![7; 100_000]));
    let received = start(&mut server, Receive::exact(receiver, vec![0; 100_000]));
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
    assert_eq!((sent.take().unwrap(), received.take().unwrap()), (100_000, 100_000));
    let took = world.now() - before;
    // 100,060 bytes at a megabyte a second, and the way.
    assert_eq!(took, Duration::from_micros(110_060));
}

#[test]
fn streams_arrive_whole_over_a_link_that_loses_and_cuts() {
    explore(0..50, |world| {
        let (near, far) = (world.host("near"), world.host("far"));
        let bad = Link { loss: 200_000, short: 500_000, jitter: Duration::from_millis(3), ..Link::default() };
        let (mut client, mut server) = (proactor(&near), proactor(&far));
        world.link(&near, &far, bad);
        let (sender, receiver) = connected(world, &mut client, &mut server, &far, 80);
        let bytes: Vec<u8> = (0..300_000usize).map(|at| (at * 7 % 251) as u8).collect();
        let sent = start(&mut client, Send::exact(sender, bytes.clone()));
        let received = Got::start(&mut server, receiver, bytes.len());
        assert_eq!(world.run(&mut [&mut client, &mut server], 10 * HOUR).unwrap(), Stalled::Done);
        assert_eq!(sent.take().unwrap(), bytes.len());
        assert!(received.bytes() == bytes, "other bytes arrived than were sent");
    });
}

/// A receive whose bytes are kept.
struct Got(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Got {
    fn start(proactor: &mut proact::proactor::Proactor, socket: proact::resource::Socket, length: usize) -> Got {
        use proact::operation::{Complete, Context, Op, Outcome};
        struct Keep(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
        impl Complete<Receive<Vec<u8>>> for Keep {
            fn done(op: Box<Op<Receive<Vec<u8>>, Keep>>, outcome: Outcome<Receive<Vec<u8>>>, _: &mut Context<'_>) {
                outcome.result.unwrap();
                *op.state.0.lock().unwrap() = op.kind.buffer;
            }
        }
        let kept = std::sync::Arc::default();
        proactor.submit(Op::new(Receive::exact(socket, vec![0; length]), Keep(std::sync::Arc::clone(&kept)))).unwrap();
        Got(kept)
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

#[test]
fn a_sender_waits_for_a_peer_that_does_not_read() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (sender, receiver) = connected(&world, &mut client, &mut server, &far, 80);
    let sent = start(&mut client, Send::exact(sender, vec![1; 4 << 20]));
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::AtRest);
    assert!(!sent.is_there(), "4 MiB went to someone who reads nothing");
    let received = start(&mut server, Receive::exact(receiver, vec![0; 4 << 20]));
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
    assert_eq!((sent.take().unwrap(), received.take().unwrap()), (4 << 20, 4 << 20));
}

#[test]
fn a_short_partition_delays_and_a_long_one_breaks() {
    for (heals_after, expected) in [(5, Code::Ok), (3600, Code::DeadlineExceeded)] {
        let world = World::new(1);
        let (near, far) = (world.host("near"), world.host("far"));
        let (mut client, mut server) = (proactor(&near), proactor(&far));
        let (sender, receiver) = connected(&world, &mut client, &mut server, &far, 80);
        world.partition(&near, &far);
        let (one, other) = (near.clone(), far.clone());
        world.after(Duration::from_secs(heals_after), move |world| world.heal(&one, &other));
        one_byte(&mut client, &sender);
        let answer = start(&mut client, Receive::exact(sender, vec![0; 1]));
        let received = start(&mut server, Receive::exact(receiver, vec![0; 1]));
        if expected == Code::Ok {
            let there = |_: &mut [&mut proact::proactor::Proactor]| received.is_there();
            assert_eq!(world.run_until(&mut [&mut client, &mut server], HOUR, there).unwrap(), Stalled::Done);
            assert!(world.now().as_nanoseconds() >= 5_000_000_000);
            assert_eq!(received.take().unwrap(), 1);
        } else {
            let there = |_: &mut [&mut proact::proactor::Proactor]| answer.is_there();
            assert_eq!(world.run_until(&mut [&mut client, &mut server], HOUR, there).unwrap(), Stalled::Done);
            assert_eq!(answer.code(), expected);
            assert!(!received.is_there(), "nothing reaches the other side, and it is told nothing");
        }
    }
}

fn one_byte(proactor: &mut proact::proactor::Proactor, socket: &proact::resource::Socket) {
    let sent = start(proactor, Send::exact(socket.clone(), vec![1]));
    while !sent.is_there() {
        proactor.poll(proact::time::Timeout::Immediate).unwrap();
    }
    assert_eq!(sent.take().unwrap(), 1, "what is sent is on its way");
}

#[test]
fn a_connect_is_refused_where_nobody_listens_and_times_out_where_nobody_is() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let mut client = proactor(&near);
    let mut connect = |address: Address| {
        let socket = client.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
        one(&mut client, Connect::new(socket, address)).unwrap_err().code()
    };
    assert_eq!(connect(Address::from(far.address(80))), Code::Unavailable);
    assert_eq!(world.now().as_nanoseconds(), 200_000, "there and back");
    far.crash();
    assert_eq!(connect(Address::from(far.address(80))), Code::DeadlineExceeded);
    assert_eq!(connect("10.9.9.9:80".parse().unwrap()), Code::DeadlineExceeded);
}

#[test]
fn a_reset_breaks_both_ends() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (one, other) = connected(&world, &mut client, &mut server, &far, 80);
    let here = start(&mut client, Receive::exact(one.clone(), vec![0; 1]));
    let there = start(&mut server, Receive::exact(other, vec![0; 1]));
    world.reset(&near, &far);
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
    assert_eq!((here.code(), there.code()), (Code::Unavailable, Code::Unavailable));
    assert!(one.failure().is_some(), "and it stays so");
}

#[test]
fn a_killed_process_is_noticed_at_once_and_a_crashed_host_when_it_is_back() {
    for crash in [false, true] {
        let world = World::new(1);
        let (near, far) = (world.host("near"), world.host("far"));
        let process = far.process();
        let (mut client, mut server) = (proactor(&near), process.builder().build().unwrap());
        let (socket, theirs) = connected(&world, &mut client, &mut server, &far, 80);
        let received = start(&mut client, Receive::some(socket.clone(), vec![0; 1]));
        if !crash {
            process.kill();
            assert!(!process.is_alive() && far.is_up());
            assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
            assert_eq!(received.take().unwrap(), 0, "the end of the stream");
        } else {
            far.crash();
            assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::AtRest);
            assert!(!received.is_there(), "nobody tells");
            far.restart();
            one_byte(&mut client, &socket);
            assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
            assert_eq!(received.code(), Code::Unavailable, "nobody there knows the connection any more");
        }
        let status = server.poll(proact::time::Timeout::Immediate).unwrap_err();
        assert_eq!(status.code(), Code::Aborted, "{status}");
        drop(theirs);
        assert_eq!(server.shutdown(Duration::from_secs(1)), 0, "and leaves nothing behind");
        if crash {
            let mut again = proactor(&far);
            connected(&world, &mut client, &mut again, &far, 80);
        } else {
            assert_eq!(process.builder().build().map(|_| ()).unwrap_err().code(), Code::FailedPrecondition);
        }
    }
}

#[test]
fn what_left_before_a_crash_arrives_and_what_was_lost_is_not_sent_again() {
    for cut in [false, true] {
        let world = World::new(1);
        let (near, far) = (world.host("near"), world.host("far"));
        world.link(&near, &far, Link { latency: Duration::from_millis(5), ..Link::default() });
        let (mut client, mut server) = (proactor(&near), proactor(&far));
        let (socket, theirs) = connected(&world, &mut client, &mut server, &far, 80);
        let received = start(&mut client, Receive::some(socket, vec![0; 10]));
        one_byte(&mut server, &theirs);
        if cut {
            world.partition(&near, &far);
            world.pass_until(world.now() + Duration::from_millis(50));
        }
        far.crash();
        far.restart();
        world.heal(&near, &far);
        let ended = world.run(&mut [&mut client], HOUR).unwrap();
        if cut {
            assert_eq!((ended, received.is_there()), (Stalled::AtRest, false), "who could send it again is gone");
        } else {
            assert_eq!((ended, received.take().unwrap()), (Stalled::Done, 1));
        }
    }
}

#[test]
fn a_second_connect_behind_a_first_is_told_of_it() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let address = Address::from(far.address(80));
    let _listener = server.handle().listen(&address, &SocketOptions::default()).unwrap();
    let socket = client.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    let first = start(&mut client, Connect::new(socket.clone(), address.clone()));
    let second = start(&mut client, Connect::new(socket, address));
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
    first.take().unwrap();
    assert_eq!(second.code(), Code::FailedPrecondition);
}

#[test]
fn datagrams_are_lost_repeated_and_overtake_each_other() {
    let world = World::new(5);
    let (near, far) = (world.host("near"), world.host("far"));
    let bad = Link { loss: 200_000, duplication: 200_000, reordering: 300_000, ..Link::default() };
    world.link(&near, &far, bad);
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let address = Address::from(far.address(53));
    let theirs = server.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
    theirs.bind(&address).unwrap();
    let own = client.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
    for number in 0..200u8 {
        let sent = start(&mut client, SendTo::new(own.clone(), vec![number; 10], address.clone()));
        assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
        assert_eq!(sent.take().unwrap(), 10);
        world.pass_until(world.now() + Duration::from_micros(10));
    }
    world.pass_until(world.now() + Duration::from_secs(1));
    let mut came = Vec::new();
    loop {
        let (told, got) = got_datagram(&mut server, &theirs);
        world.run(&mut [&mut server], Duration::from_secs(1)).unwrap();
        if !told.is_there() {
            break;
        }
        let received = told.take().unwrap();
        let bytes = got.lock().unwrap().clone();
        assert_eq!((received.length, received.truncated), (10, false));
        assert!(bytes[..10].iter().all(|byte| *byte == bytes[0]), "a datagram is whole or not there");
        came.push(bytes[0]);
    }
    let mut distinct = came.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(distinct.len() < 200 && distinct.len() > 100, "{} of 200 came", distinct.len());
    assert!(came.len() > distinct.len(), "none came twice");
    assert!(came.windows(2).any(|pair| pair[0] > pair[1]), "none overtook another");
    server.shutdown(Duration::from_secs(1));
}

type Bytes = std::sync::Arc<std::sync::Mutex<Vec<u8>>>;

fn got_datagram(
    proactor: &mut proact::proactor::Proactor,
    socket: &proact::resource::Socket,
) -> (crate::Told<ReceiveFrom<Vec<u8>>>, Bytes) {
    use proact::operation::{Complete, Context, Op, Outcome};
    struct Keep(crate::Tell<ReceiveFrom<Vec<u8>>>, Bytes);
    impl Complete<ReceiveFrom<Vec<u8>>> for Keep {
        fn done(op: Box<Op<ReceiveFrom<Vec<u8>>, Keep>>, out: Outcome<ReceiveFrom<Vec<u8>>>, _: &mut Context<'_>) {
            let Op { kind, state, .. } = *op;
            *state.1.lock().unwrap() = kind.buffer;
            *state.0.0.lock().unwrap() = Some(out.result);
        }
    }
    let (told, bytes) = (std::sync::Arc::default(), Bytes::default());
    let keep = Keep(crate::Tell(std::sync::Arc::clone(&told)), bytes.clone());
    proactor.submit(Op::new(ReceiveFrom::new(socket.clone(), vec![0; 64]), keep)).unwrap();
    (crate::Told(told), bytes)
}

#[test]
fn two_hosts_have_the_same_port_and_each_its_own_loopback() {
    let world = World::new(1);
    let (one_host, other_host) = (world.host("one"), world.host("other"));
    let (mut here, there) = (proactor(&one_host), proactor(&other_host));
    let address: Address = "127.0.0.1:80".parse().unwrap();
    let _theirs = there.handle().listen(&address, &SocketOptions::default()).unwrap();
    let socket = here.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    assert_eq!(one(&mut here, Connect::new(socket, address.clone())).unwrap_err().code(), Code::Unavailable);
    let own = here.handle().listen(&address, &SocketOptions::default()).unwrap();
    let taken = here.handle().listen(&address, &SocketOptions::default()).unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    let accepted = start(&mut here, Accept::new(own));
    let socket = here.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    one(&mut here, Connect::new(socket, address)).unwrap();
    assert!(accepted.take().unwrap().peer().is_loopback());
}
