//! Datagrams, operations with many outcomes, sends without a copy, descriptors that travel; and receives into pools.

use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::Path;

use proact::memory::{BufferPool, Slab};
use proact::operation::{
    Accept, AcceptMany, Close, Connect, Kind, Receive, ReceiveDescriptors, ReceiveFrom, ReceiveFromMany,
    ReceiveFromPooledMany, ReceiveMany, ReceivePooled, ReceivePooledMany, RegisterDescriptor, Send, SendDescriptors,
    SendTo,
};
use proact::resource::{Address, Domain, Socket, SocketOptions, SocketType};

use crate::driver::{Driver, Flight, Part, bytes};

pub const PARTS: &[Part] = &[datagrams, many_datagrams, many_connections, many_receives, zero_copy, descriptors];

/// Receives into buffers that are taken when bytes come.
pub const POOLED: &[Part] = &[pooled_stream, pooled_datagrams, starved, registered, several_pools];

fn pair(driver: &mut Driver<'_>) -> Option<(Socket, Socket)> {
    let pair = driver.proactor.handle().socket_pair(SocketType::Stream);
    driver.call("pair", pair)
}

fn pool(driver: &mut Driver<'_>, size: usize, count: u32) -> Option<BufferPool> {
    let slab = Slab::allocate(size, count, &Default::default());
    driver.call("pool", slab.and_then(BufferPool::new))
}

/// A socket for datagrams, and its address.
fn bound(driver: &mut Driver<'_>) -> Option<(Socket, Address)> {
    let socket = driver.proactor.handle().datagram(Domain::Ipv4, &SocketOptions::default());
    let socket = driver.call("datagram socket", socket)?;
    driver.call("bind", socket.bind(&"127.0.0.1:0".parse().expect("an address")))?;
    let address = driver.call("address", socket.local_address())?;
    Some((socket, address))
}

/// Polls until as many outcomes have come, or the last. `false`: something is missing.
fn outcomes<K: Kind>(driver: &mut Driver<'_>, what: &'static str, flight: &Flight<K>, count: usize) -> bool {
    driver.until(what, || flight.outcomes() >= count || flight.is_done()) && flight.outcomes() >= count
}

fn datagrams(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let ((one, from), (two, to)) = (bound(driver)?, bound(driver)?);
    let content = bytes(900, 11);
    let receive = driver.start("receive of a datagram", ReceiveFrom::new(two, vec![vec![0; 400], vec![0; 600]]));
    driver.pass()?;
    let send = SendTo::new(one, vec![content[..100].to_vec(), content[100..].to_vec()], to);
    if driver.one("send of a datagram", send, |count| *count == 900).is_none() {
        driver.end_cancelled(&receive);
        return None;
    }
    let right = |told: &proact::operation::Datagram, kind: &ReceiveFrom<Vec<Vec<u8>>>| {
        told.length == 900 && !told.truncated && told.sender == from && kind.buffer.concat().starts_with(&content)
    };
    driver.end(&receive, right).map(|_| ())
}

fn many_datagrams(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let ((one, from), (two, to)) = (bound(driver)?, bound(driver)?);
    let receive = driver.start("receives of datagrams", ReceiveFromMany::new(two, vec![0; 100]));
    for length in 1..=3 {
        let send = SendTo::new(one.clone(), vec![3; length], to.clone());
        if driver.one("send of a datagram", send, |count| *count == length).is_none()
            || !outcomes(driver, "the datagram", &receive, 1)
        {
            break;
        }
        for told in receive.take_outcomes() {
            driver.right("datagram", told.length == length && told.sender == from, "another than was sent");
        }
    }
    driver.end_cancelled(&receive);
    Some(())
}

fn many_connections(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let listener = driver.proactor.handle().listen(&"127.0.0.1:0".parse().expect("an address"), &Default::default());
    let listener = driver.call("listen", listener)?;
    let address = driver.call("address", listener.local_address())?;
    let accept = driver.start("accepts", AcceptMany::new(listener.clone()));
    driver.pass()?;
    let clients: Vec<_> =
        (0..3).map(|_| TcpStream::connect(address.to_string()).expect("a listener that takes more")).collect();
    let all = outcomes(driver, "the connections", &accept, clients.len());
    driver.right("accepts", all || accept.is_done(), "a connection is missing");
    drop(accept.take_outcomes());
    driver.end_cancelled(&accept);
    let close = driver.one("close of the listener", Close::new(listener), |_| true);
    let refused = TcpStream::connect(address.to_string()).is_err();
    driver.right("closed listener", close.is_none() || refused, "it takes connections");
    Some(())
}

fn many_receives(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let (near, far) = pair(driver)?;
    let receive = driver.start("receives", ReceiveMany::new(far, vec![0; 64]));
    let sent = driver.one("send to receives", Send::exact(near.clone(), bytes(500, 12)), |count| *count == 500);
    driver.one("close of the sender", Close::new(near), |_| true);
    let ended = driver.end(&receive, |count, _| *count == 0).is_some();
    let received: usize = receive.take_outcomes().into_iter().sum();
    driver.right("receives", !ended || sent.is_none() || received == 500, "bytes are missing or too many");
    Some(())
}

fn zero_copy(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let options = SocketOptions::default();
    let listener = driver.proactor.handle().listen(&"127.0.0.1:0".parse().expect("an address"), &options);
    let listener = driver.call("listen", listener)?;
    let address = driver.call("address", listener.local_address())?;
    let client = driver.proactor.handle().socket(Domain::Ipv4, &options);
    let client = driver.call("socket", client)?;
    let accept = driver.start("accept", Accept::new(listener));
    if driver.one("connect", Connect::new(client.clone(), address), |_| true).is_none() {
        driver.give_up(&accept);
        return None;
    }
    let server = driver.end(&accept, |_, _| true)?.0.socket;
    let content = bytes(100_000, 13);
    let (first, second) = content.split_at(60_000);
    let receive = driver.start("receive of both", Receive::exact(server, vec![0; 100_000]));
    let one = driver.start("send without a copy", Send::exact(client.clone(), first.to_vec()).zero_copy());
    let two = driver.start("second without a copy", Send::exact(client.clone(), second.to_vec()).zero_copy());
    let sent = driver.end(&one, |count, kind| *count == first.len() && kind.buffer == first).is_some();
    let sent = driver.end(&two, |count, kind| *count == second.len() && kind.buffer == second).is_some() && sent;
    driver.one("close of the client", Close::new(client), |_| true);
    let received = driver.end(&receive, |count, kind| *count == 100_000 && kind.buffer == content);
    driver.right("sends without a copy", sent || received.is_none(), "more was received than sent");
    Some(())
}

fn descriptors(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let (near, far) = pair(driver)?;
    let (reader, writer) = proact_cts::system::pipe();
    let receive = driver.start("receive of descriptors", ReceiveDescriptors::new(far, vec![0; 8], 2));
    let send = SendDescriptors::new(near.clone(), vec![7; 3], vec![reader, writer]);
    let sent = driver.one("send of descriptors", send, |count| *count == 3);
    if sent.is_none() {
        driver.end_cancelled(&receive);
        return None;
    }
    let (received, _) = driver.end(&receive, |told, _| told.length == 3 && told.descriptors.len() == 2)?;
    let open = |fd: &OwnedFd| rustix::io::fcntl_getfd(fd).is_ok();
    driver.right("descriptors", received.descriptors.iter().all(open), "one does not work");
    Some(())
}

fn pooled_stream(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let (near, far) = pair(driver)?;
    let pool = pool(driver, 128, 4)?;
    let content = bytes(700, 14);
    let receive = driver.start("receives into a pool", ReceivePooledMany::new(far, &pool));
    let send = driver.start("send to a pool", Send::exact(near.clone(), content.clone()));
    let mut received = Vec::new();
    driver.until("the bytes", || {
        for lease in receive.take_outcomes() {
            received.extend_from_slice(&lease.expect("only the end has none"));
        }
        received.len() >= content.len() || receive.is_done() || send.is_done() && send.failed()
    });
    driver.end(&send, |count, _| *count == content.len());
    driver.right("received", content.starts_with(&received), "other bytes than were sent");
    driver.one("close of the sender", Close::new(near), |_| true);
    let end = driver.end(&receive, |lease, _| lease.is_none());
    drop((end, receive));
    driver.all_back("pool of a stream", &pool);
    Some(())
}

fn pooled_datagrams(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let ((one, from), (two, to)) = (bound(driver)?, bound(driver)?);
    let pool = pool(driver, ReceiveFromPooledMany::OVERHEAD + 200, 4)?;
    let receive = driver.start("datagrams into a pool", ReceiveFromPooledMany::new(two, &pool));
    for length in [1, 200, 30] {
        let content = bytes(length, 15);
        let send = SendTo::new(one.clone(), content.clone(), to.clone());
        if driver.one("send of a datagram", send, |count| *count == length).is_none()
            || !outcomes(driver, "the datagram", &receive, 1)
        {
            break;
        }
        for told in receive.take_outcomes() {
            let right = told.bytes[..] == content && told.sender == from && !told.truncated;
            driver.right("pooled datagram", right, "another than was sent");
        }
    }
    driver.end_cancelled(&receive);
    drop(receive);
    driver.all_back("pool of datagrams", &pool);
    Some(())
}

/// A pool that is empty when the bytes come.
fn starved(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let (near, far) = pair(driver)?;
    let pool = pool(driver, 64, 2)?;
    let held: Vec<_> = std::iter::from_fn(|| pool.acquire().ok()).collect();
    let receive = driver.start("receive from an empty pool", ReceivePooled::new(far.clone(), &pool));
    let sent = driver.one("send to an empty pool", Send::exact(near, vec![9; 10]), |count| *count == 10);
    driver.pass()?;
    drop(held);
    if sent.is_none() {
        driver.end_cancelled(&receive);
    } else {
        let lease =
            driver.end(&receive, |lease, _| lease.as_ref().is_some_and(|lease| lease[..] == [9; 10][..lease.len()]));
        drop(lease);
    }
    drop(receive);
    driver.all_back("starved pool", &pool);
    Some(())
}

/// A socket that is registered receives into a pool.
fn registered(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    let (near, far) = pair(driver)?;
    let pool = pool(driver, 64, 2)?;
    driver.one("register a socket", RegisterDescriptor::new(far.clone()), |_| true);
    let receive = driver.start("receive of a registered socket", ReceivePooled::new(far.clone(), &pool));
    let sent = driver.one("send to a registered socket", Send::exact(near, vec![9; 10]), |count| *count == 10);
    if sent.is_none() {
        driver.end_cancelled(&receive);
    } else {
        let right = |lease: &Option<proact::memory::Lease>| lease.as_ref().is_some_and(|lease| !lease.is_empty());
        let lease = driver.end(&receive, |lease, _| right(lease));
        drop(lease);
    }
    drop(receive);
    driver.one("close of a registered socket", Close::new(far), |_| true);
    driver.all_back("pool of a registered socket", &pool);
    Some(())
}

/// One pool after the other, so that what one leaves with the kernel is in the way of the next.
fn several_pools(driver: &mut Driver<'_>, _: &Path) -> Option<()> {
    for _ in 0..3 {
        let (near, far) = pair(driver)?;
        let pool = pool(driver, 64, 2)?;
        let receive = driver.start("receive into one of several pools", ReceivePooledMany::new(far, &pool));
        let sent = driver.one("send to one of several pools", Send::exact(near.clone(), vec![9; 10]), |_| true);
        driver.one("close of the sender", Close::new(near), |_| true);
        let end = driver.end(&receive, |lease, _| lease.is_none());
        let received: usize = receive.take_outcomes().iter().flatten().map(|lease| lease.len()).sum();
        driver.right("pools", sent.is_none() || end.is_none() || received == 10, "bytes are lost");
        drop(receive);
        driver.all_back("one of several pools", &pool);
    }
    Some(())
}
