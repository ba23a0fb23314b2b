//! What it costs to send and receive: there and back, in bulk, as datagrams, without a copy, and from registered
//! memory.
//!
//! Both ends of a connection are on one proactor and one thread, so that no figure tells of the scheduler. The end that
//! receives asks before the other sends, as a server does. The floor does the same on the bare interface below.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use proact::memory::{Allocation, BufferPool, Lease, Slab, StableBytesMut};
use proact::operation::{Receive, ReceiveFrom, Send, SendTo};
use proact::proactor::Proactor;
use proact::resource::{Domain, Socket, SocketOptions};

use super::compare::{compare, compare_each};
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::raw_socket::RawPair;
use super::together::{Stage, Together};
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    Measure::each("socket/roundtrip/64", |config| round_trip(config, 64)),
    Measure::each("socket/roundtrip/4k", |config| round_trip(config, 4 << 10)),
    Measure::each("socket/roundtrip/64k", |config| round_trip(config, 64 << 10)),
    Measure::each("socket/stream/64k", |config| stream(config, 64 << 10)),
    Measure::each("socket/stream/1m", |config| stream(config, 1 << 20)),
    Measure::each("socket/datagram/64", |config| datagrams(config, 64)),
    Measure::each("socket/datagram/1400", |config| datagrams(config, 1400)),
    // In the kernel of a ring alone is there another way than the copy.
    Measure::ring("zero-copy/4k", |config| zero_copy(config, 4 << 10)),
    Measure::ring("zero-copy/64k", |config| zero_copy(config, 64 << 10)),
    Measure::ring("zero-copy/1m", |config| zero_copy(config, 1 << 20)),
    Measure::ring("registered/socket/4k", |config| registered(config, 4 << 10)),
    Measure::ring("registered/socket/64k", |config| registered(config, 64 << 10)),
    Measure::ring("registered/socket/1m", |config| registered(config, 1 << 20)),
];

/// Two ends of a connection over the loopback network, which wait for nothing before they send.
pub(crate) fn connection() -> std::io::Result<[OwnedFd; 2]> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let here = TcpStream::connect(listener.local_addr()?)?;
    let (there, _) = listener.accept()?;
    here.set_nodelay(true)?;
    there.set_nodelay(true)?;
    Ok([here.into(), there.into()])
}

/// The same as sockets of this proactor.
pub(crate) fn sockets(proactor: &Proactor) -> Result<[Socket; 2], Failure> {
    let [here, there] = connection()?;
    let import = |fd| proactor.handle().import_socket(fd).map_err(|returned| Failure::from(returned.status));
    Ok([import(here)?, import(there)?])
}

/// Bytes that go from one end to the other.
pub(crate) struct OneWay<B: StableBytesMut> {
    send: Together<Send<B>>,
    receive: Together<Receive<B>>,
}

impl<B: StableBytesMut> OneWay<B> {
    pub(crate) fn new(from: &Socket, to: &Socket, buffers: [B; 2]) -> OneWay<B> {
        let [out, into] = buffers;
        let receive = Together::new([Receive::exact(to.clone(), into)]);
        OneWay { send: Together::new([Send::exact(from.clone(), out)]), receive }
    }

    #[inline]
    pub(crate) fn round(&mut self, proactor: &mut Proactor) {
        self.receive.submit(proactor);
        self.send.submit(proactor);
        self.receive.collect(proactor);
        self.send.collect(proactor);
    }
}

/// There and back.
pub(crate) struct Exchange([OneWay<Vec<u8>>; 2]);

impl Exchange {
    pub(crate) fn new(proactor: &Proactor, length: usize) -> Result<Exchange, Failure> {
        let [here, there] = sockets(proactor)?;
        let bytes = || [vec![7; length], vec![0; length]];
        Ok(Exchange([OneWay::new(&here, &there, bytes()), OneWay::new(&there, &here, bytes())]))
    }

    #[inline]
    pub(crate) fn round(&mut self, proactor: &mut Proactor) {
        self.0.iter_mut().for_each(|way| way.round(proactor));
    }
}

fn round_trip(config: Configuration, length: usize) -> Result<Figures, Failure> {
    let proactor = config.builder().build()?;
    let of = Exchange::new(&proactor, length)?;
    let mut stage = Stage { proactor, of };
    let mut raw = RawPair::new(config.choice, connection()?, length)?;
    let round = |stage: &mut Stage<Exchange>| stage.of.round(&mut stage.proactor);
    let timing = compare_each(|| round(&mut stage), Some(|| raw.round()));
    Ok(stage.figures(timing, 1.0, "", round))
}

fn one_way(config: Configuration, length: usize) -> Result<Stage<OneWay<Vec<u8>>>, Failure> {
    let proactor = config.builder().build()?;
    let [from, to] = sockets(&proactor)?;
    Ok(Stage { proactor, of: OneWay::new(&from, &to, [vec![7; length], vec![0; length]]) })
}

fn pass<B: StableBytesMut>(stage: &mut Stage<OneWay<B>>) {
    stage.of.round(&mut stage.proactor);
}

fn stream(config: Configuration, length: usize) -> Result<Figures, Failure> {
    let mut stage = one_way(config, length)?;
    let mut raw = RawPair::new(config.choice, connection()?, length)?;
    let timing = compare(|| pass(&mut stage), Some(|| raw.send(0)));
    Ok(stage.figures(timing, 1.0, "", pass).throughput(length as f64))
}

/// Without a copy against with one. Over loopback the kernel copies all the same, and says so: what is seen is the
/// cost of asking, which a network card has to make good.
fn zero_copy(config: Configuration, length: usize) -> Result<Figures, Failure> {
    let proactor = config.builder().build()?;
    let [from, to] = sockets(&proactor)?;
    let receive = Together::new([Receive::exact(to, vec![0; length])]);
    let send = Together::new([Send::exact(from, vec![7; length]).zero_copy()]);
    let mut stage = Stage { proactor, of: OneWay { send, receive } };
    let mut plain = one_way(config, length)?;
    let timing = compare(|| pass(&mut stage), Some(|| pass(&mut plain)));
    Ok(stage.figures(timing, 1.0, "", pass))
}

/// Two leases, of memory that the proactor knows or does not.
fn leased(config: Configuration, length: usize, known: bool) -> Result<Stage<OneWay<Lease>>, Failure> {
    let mut proactor = config.builder().build()?;
    let pool = BufferPool::new(Slab::allocate(length, 2, &Allocation::new())?)?;
    if known {
        super::pooled::pin(&mut proactor, &pool)?;
    }
    let [from, to] = sockets(&proactor)?;
    Ok(Stage { proactor, of: OneWay::new(&from, &to, [pool.acquire()?, pool.acquire()?]) })
}

/// Sends and receives with registered memory; the floor is the same with memory that is not.
fn registered(config: Configuration, length: usize) -> Result<Figures, Failure> {
    let mut stage = leased(config, length, true)?;
    let mut plain = leased(config, length, false)?;
    let timing = compare(|| pass(&mut stage), Some(|| pass(&mut plain)));
    Ok(stage.figures(timing, 1.0, "", pass))
}

/// A datagram and its receive.
struct Datagrams {
    send: Together<SendTo<Vec<u8>>>,
    receive: Together<ReceiveFrom<Vec<u8>>>,
}

impl Datagrams {
    fn round(stage: &mut Stage<Datagrams>) {
        let Stage { proactor, of: Datagrams { send, receive } } = stage;
        receive.submit(proactor);
        send.submit(proactor);
        receive.collect(proactor);
        send.collect(proactor);
    }
}

/// Measures a datagram to an address, and its receive with the sender's. The floor sends and receives over connected
/// sockets, which is less.
fn datagrams(config: Configuration, length: usize) -> Result<Figures, Failure> {
    let proactor = config.builder().build()?;
    let bound = || {
        let socket = proactor.handle().datagram(Domain::Ipv4, &SocketOptions::default())?;
        socket.bind(&"127.0.0.1:0".parse()?)?;
        Ok::<Socket, proact::status::Status>(socket)
    };
    let (from, to) = (bound()?, bound()?);
    let address = to.local_address()?;
    let send = Together::new([SendTo::new(from, vec![7; length], address)]);
    let receive = Together::new([ReceiveFrom::new(to, vec![0; length])]);
    let mut stage = Stage { proactor, of: Datagrams { send, receive } };
    let ends = [std::net::UdpSocket::bind("127.0.0.1:0")?, std::net::UdpSocket::bind("127.0.0.1:0")?];
    ends[0].connect(ends[1].local_addr()?)?;
    ends[1].connect(ends[0].local_addr()?)?;
    let mut raw = RawPair::new(config.choice, ends.map(OwnedFd::from), length)?;
    let timing = compare_each(|| Datagrams::round(&mut stage), Some(|| raw.send(0)));
    Ok(stage.figures(timing, 1.0, "", Datagrams::round))
}
