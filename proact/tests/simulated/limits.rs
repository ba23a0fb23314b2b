//! What the simulated network and disks hold and take, to the nanosecond and to the byte.

use std::collections::BTreeSet;
use std::time::Duration;

use proact::backend::OpenFlags;
use proact::operation::{
    Accept, Connect, MakeDirectory, Op, Open, Read, Receive, ReceiveFrom, Send, SendTo, Sync, Truncate, Write,
};
use proact::proactor::Proactor;
use proact::resource::{Address, Domain, File, Shutdown, Socket, SocketOptions};
use proact::simulated::{Host, Link, Stalled, Storage, World, explore};
use proact::status::Code;
use proact::time::Timeout;

use crate::{connected, one, proactor, start};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

fn datagrams(proactor: &Proactor, options: &SocketOptions) -> Socket {
    proactor.handle().datagram(Domain::Ipv4, options).unwrap()
}

/// How many datagrams have come to a socket.
fn count(proactor: &mut Proactor, socket: &Socket) -> usize {
    for came in 0.. {
        let received = start(proactor, ReceiveFrom::new(socket.clone(), vec![0; 1000]));
        while proactor.poll(Timeout::Immediate).unwrap().completed > 0 {}
        if !received.is_there() {
            return came;
        }
        assert_eq!(received.take().unwrap().length, 1000);
    }
    unreachable!()
}

#[test]
fn connections_of_one_link_share_its_bandwidth() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let pairs = [80, 81].map(|port| connected(&world, &mut client, &mut server, &far, port));
    world.link(&near, &far, Link { bandwidth: Some(1_000_000), latency: MS, ..Link::default() });
    let before = world.now();
    let received = pairs.map(|(socket, theirs)| {
        drop(start(&mut client, Send::exact(socket, vec![1; 99_940])));
        start(&mut server, Receive::exact(theirs, vec![0; 99_940]))
    });
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
    assert!(received.into_iter().all(|received| received.take().unwrap() == 99_940));
    assert_eq!(
        world.now() - before,
        201 * MS,
        "twice 100,000 bytes with their headers, one after the other, and the way"
    );
}

#[test]
fn requests_of_one_disk_share_its_bandwidth() {
    let world = World::new(1);
    let host = world.host("a");
    host.storage(Storage { bandwidth: Some(1_000_000), latency: MS, ..Storage::default() });
    host.put_file("/f", &[]).unwrap();
    let mut writer = proactor(&host);
    let file = open(&mut writer, "/f");
    let before = world.now();
    for at in 0..3 {
        drop(start(&mut writer, Write::exact(file.clone(), at * 10_000, vec![1; 10_000])));
    }
    writer.run().unwrap();
    assert_eq!(world.now() - before, 31 * MS);
}

fn open(proactor: &mut Proactor, path: &str) -> File {
    one(proactor, Open::new(path, OpenFlags::READ | OpenFlags::WRITE)).unwrap()
}

#[test]
fn what_is_lost_is_sent_again_after_twice_the_time() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (socket, theirs) = connected(&world, &mut client, &mut server, &far, 80);
    let before = world.now();
    world.partition(&near, &far);
    let (one_host, other) = (near.clone(), far.clone());
    world.after(Duration::from_secs(5), move |world| world.heal(&one_host, &other));
    drop(start(&mut client, Send::exact(socket, vec![1])));
    let received = start(&mut server, Receive::exact(theirs, vec![0; 1]));
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
    received.take().unwrap();
    // 0.2 + 0.4 + 0.8 + 1.6 + 3.2 s after it should have come.
    assert_eq!(world.now() - before, Duration::from_micros(6_200_100));
}

#[test]
fn datagrams_beyond_what_a_socket_keeps_are_lost() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let theirs = datagrams(&server, &SocketOptions { receive_buffer: Some(10_000), ..SocketOptions::default() });
    theirs.bind(&Address::from(far.address(53))).unwrap();
    let own = datagrams(&client, &SocketOptions::default());
    for _ in 0..20 {
        one(&mut client, SendTo::new(own.clone(), vec![1; 1000], Address::from(far.address(53)))).unwrap();
    }
    world.pass_until(world.now() + MS);
    let came = count(&mut server, &theirs);
    assert!((5..=10).contains(&came), "{came} of 20 found room in 10,000 bytes");
    server.shutdown(Duration::from_secs(1));
}

#[test]
fn a_datagram_socket_that_named_its_peer_hears_no_other() {
    let world = World::new(1);
    let hosts = ["own", "peer", "other"].map(|name| world.host(name));
    let [mut own, mut peer, mut other] = hosts.each_ref().map(proactor);
    let bound = |proactor: &Proactor, host: &Host| {
        let socket = datagrams(proactor, &SocketOptions::default());
        socket.bind(&Address::from(host.address(53))).unwrap();
        socket
    };
    let sockets = [(&own, 0), (&peer, 1), (&other, 2)].map(|(proactor, at)| bound(proactor, &hosts[at]));
    let to = Address::from(hosts[0].address(53));
    one(&mut own, Connect::new(sockets[0].clone(), Address::from(hosts[1].address(53)))).unwrap();
    one(&mut other, SendTo::new(sockets[2].clone(), vec![1; 1000], to.clone())).unwrap();
    world.pass_until(world.now() + MS);
    assert_eq!(count(&mut own, &sockets[0]), 0);
    own.shutdown(Duration::from_secs(1));
    // And one that has named nobody hears both.
    let mut own = proactor(&hosts[0]);
    let [socket, peers, others] = sockets;
    drop(socket);
    let socket = bound(&own, &hosts[0]);
    one(&mut other, SendTo::new(others, vec![1; 1000], to.clone())).unwrap();
    one(&mut peer, SendTo::new(peers, vec![1; 1000], to)).unwrap();
    world.pass_until(world.now() + MS);
    assert_eq!(count(&mut own, &socket), 2);
    own.shutdown(Duration::from_secs(1));
}

#[test]
fn sockets_share_a_port_where_all_of_them_say_so_and_chance_picks_one() {
    let mut went = BTreeSet::new();
    explore(0..20, |world| {
        let host = world.host("a");
        let mut own = proactor(&host);
        let address = Address::from(host.address(53));
        let sharing = SocketOptions { reuse_port: true, ..SocketOptions::default() };
        let sockets = [0, 1].map(|_| datagrams(&own, &sharing));
        sockets.iter().for_each(|socket| socket.bind(&address).unwrap());
        let alone = datagrams(&own, &SocketOptions::default());
        assert_eq!(alone.bind(&address).unwrap_err().code(), Code::AlreadyExists);
        one(&mut own, SendTo::new(alone, vec![1; 1000], address)).unwrap();
        went.insert(sockets.each_ref().map(|socket| count(&mut own, socket)));
        own.shutdown(Duration::from_secs(1));
    });
    assert_eq!(went, BTreeSet::from([[0, 1], [1, 0]]));
}

#[test]
fn a_reset_is_lost_on_a_cut_link_and_told_when_one_sends() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (socket, theirs) = connected(&world, &mut client, &mut server, &far, 80);
    one(&mut client, Send::exact(socket.clone(), vec![1])).unwrap();
    world.pass_until(world.now() + MS);
    world.partition(&near, &far);
    drop(theirs);
    let received = start(&mut client, Receive::some(socket.clone(), vec![0; 1]));
    assert_eq!(world.run(&mut [&mut client], HOUR).unwrap(), Stalled::AtRest);
    world.heal(&near, &far);
    drop(start(&mut client, Send::exact(socket, vec![1])));
    assert_eq!(world.run(&mut [&mut client], HOUR).unwrap(), Stalled::Done);
    assert_eq!(received.code(), Code::Unavailable);
}

#[test]
fn connections_that_nobody_accepted_are_reset_with_their_listener() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let address = Address::from(far.address(80));
    let listener = server.handle().listen(&address, &SocketOptions::default()).unwrap();
    let socket = client.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
    one(&mut client, Connect::new(socket.clone(), address)).unwrap();
    let received = start(&mut client, Receive::some(socket, vec![0; 1]));
    drop(listener);
    assert_eq!(world.run(&mut [&mut client, &mut server], HOUR).unwrap(), Stalled::Done);
    assert_eq!(received.code(), Code::Unavailable);
}

#[test]
fn a_receive_ends_where_its_direction_was_shut() {
    let world = World::new(1);
    let (near, far) = (world.host("near"), world.host("far"));
    let (mut client, mut server) = (proactor(&near), proactor(&far));
    let (socket, _theirs) = connected(&world, &mut client, &mut server, &far, 80);
    let received = start(&mut client, Receive::some(socket.clone(), vec![0; 1]));
    world.after(MS, move |_| socket.shutdown(Shutdown::Receive).unwrap());
    assert_eq!(world.run(&mut [&mut client], HOUR).unwrap(), Stalled::Done);
    assert_eq!(received.take().unwrap(), 0);
}

#[test]
fn a_sync_of_one_directory_says_nothing_of_what_happened_later_in_another() {
    let mut seen = BTreeSet::new();
    explore(0..50, |world| {
        let host = world.host("a");
        host.put_directory("/d").unwrap();
        host.put_directory("/e").unwrap();
        let mut writer = proactor(&host);
        let directory = one(&mut writer, Open::new("/d", OpenFlags::READ | OpenFlags::DIRECTORY)).unwrap();
        one(&mut writer, MakeDirectory::new("/d/first")).unwrap();
        one(&mut writer, MakeDirectory::new("/e/second")).unwrap();
        one(&mut writer, Sync::all(directory)).unwrap();
        drop(writer);
        host.crash();
        seen.insert((host.exists("/d/first"), host.exists("/e/second")));
    });
    assert_eq!(seen, BTreeSet::from([(true, false), (true, true)]));
}

#[test]
fn a_new_length_that_was_not_synced_may_be_lost() {
    let mut lengths = BTreeSet::new();
    explore(0..50, |world| {
        let host = world.host("a");
        host.put_file("/f", &[1; 1000]).unwrap();
        let mut writer = proactor(&host);
        let file = open(&mut writer, "/f");
        one(&mut writer, Truncate::new(file, 10)).unwrap();
        assert_eq!(host.read_file("/f").unwrap(), [1; 10]);
        drop(writer);
        host.crash();
        lengths.insert(host.read_file("/f").unwrap().len());
    });
    assert_eq!(lengths, BTreeSet::from([10, 1000]));
}

#[test]
fn a_write_that_is_called_off_in_time_is_not_made() {
    let world = World::new(1);
    let host = world.host("a");
    host.put_file("/f", b"old").unwrap();
    let mut writer = proactor(&host);
    let file = open(&mut writer, "/f");
    let id = writer.submit(Op::new(Write::exact(file.clone(), 0, b"new".as_slice()), ())).unwrap();
    writer.poll(Timeout::Immediate).unwrap();
    writer.cancel(id).unwrap();
    writer.run().unwrap();
    world.pass_until(world.now() + MS);
    assert_eq!(host.read_file("/f").unwrap(), b"old");
    assert_eq!(one(&mut writer, Read::exact(file, 0, vec![0; 3])).unwrap(), 3);
}

#[test]
fn what_a_disk_has_still_to_do_for_a_host_that_crashes_is_never_done() {
    let world = World::new(1);
    let host = world.host("a");
    let mut writer = proactor(&host);
    drop(start(&mut writer, MakeDirectory::new("/d")));
    writer.poll(Timeout::Immediate).unwrap();
    host.crash();
    host.restart();
    world.pass_until(world.now() + MS);
    assert!(!host.exists("/d"), "it was made after the crash");
}

#[test]
fn what_waits_for_an_accept_is_reached_by_its_exact_address_before_any() {
    let world = World::new(1);
    let host = world.host("a");
    let mut own = proactor(&host);
    let options = SocketOptions::default();
    let exact = own.handle().listen(&Address::from(host.address(80)), &options).unwrap();
    let taken = own.handle().listen(&"0.0.0.0:80".parse().unwrap(), &options).unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);
    let any = own.handle().listen(&"0.0.0.0:81".parse().unwrap(), &options).unwrap();
    for (listener, port) in [(exact, 80), (any, 81)] {
        let accepted = start(&mut own, Accept::new(listener));
        let socket = own.handle().socket(Domain::Ipv4, &options).unwrap();
        one(&mut own, Connect::new(socket, Address::from(host.address(port)))).unwrap();
        assert_eq!(accepted.take().unwrap().socket.local_address().unwrap(), Address::from(host.address(port)));
    }
}
