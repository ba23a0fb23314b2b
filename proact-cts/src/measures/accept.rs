//! What is told again and again, against what is asked for each time: accepted connections and received bytes.
//!
//! Connections are local ones (`unix:`): those of the network leave addresses behind that are used up within seconds.

use std::cell::Cell;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use io_uring::{opcode, types};
use proact::memory::{Allocation, BufferPool, Slab};
use proact::operation::{
    Accept, AcceptMany, Complete, Context, Kind, Op, Outcome, PollHandle, PollHandleMany, ReceivePooled,
    ReceivePooledMany,
};
use proact::proactor::Proactor;
use proact::resource::{Address, Socket, SocketOptions};
use proact::time::Timeout;

use super::compare::compare;
use super::failure::Failure;
use super::figures::Figures;
use super::floor::Ring;
use super::measure::Measure;
use super::together::{Stage, Together};
use crate::config::Configuration;
use crate::system::unique;

pub(crate) const ROWS: &[Measure] = &[
    Measure::each("accept/single", accept_single),
    Measure::each("accept/multishot", accept_many),
    Measure::each("receive/multishot/64", |config| receive_many(config, 64)),
    Measure::each("receive/multishot/4k", |config| receive_many(config, 4096)),
    Measure::each("poll/multishot", poll_many),
];

/// Counts what it is told, and drops it.
struct Count(&'static Cell<u64>);

impl<K: Kind> Complete<K> for Count {
    fn more(&mut self, _: &K, outcome: Outcome<K>, _: &mut Context<'_>) {
        assert!(outcome.result.is_ok(), "what goes on succeeds");
        self.0.set(self.0.get() + 1);
    }
    fn done(_: Box<Op<K, Self>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        assert!(outcome.result.is_err_and(|status| status.is_cancelled()), "it goes on until it is cancelled");
    }
}

/// A multishot operation that goes on, and the number of its outcomes.
struct Lasting {
    told: &'static Cell<u64>,
}

impl Lasting {
    fn start<K: Kind>(proactor: &mut Proactor, kind: K) -> Result<Lasting, Failure> {
        // Small, and to the program's end.
        let told: &'static Cell<u64> = Box::leak(Box::new(Cell::new(0)));
        proactor.submit(Op::new(kind, Count(told))).map_err(|refused| refused.status)?;
        proactor.poll(Timeout::Immediate)?;
        Ok(Lasting { told })
    }

    /// Polls for one more outcome.
    #[inline]
    fn next(&mut self, proactor: &mut Proactor) {
        let next = self.told.get() + 1;
        while self.told.get() < next {
            proactor.poll(Timeout::Infinite).expect("the backend works");
        }
    }
}

/// A name in the abstract space that nobody else has, as both sides write it.
fn name() -> io::Result<(Address, SocketAddr)> {
    let name = format!("proact-bench-{}-{}", std::process::id(), unique());
    let address = SocketAddr::from_abstract_name(&name)?;
    Ok((Address::Unix(format!("@{name}").into()), address))
}

/// A listener of a proactor, and how it is reached.
struct Listening {
    listener: Socket,
    address: SocketAddr,
}

impl Listening {
    fn new(proactor: &Proactor) -> Result<Listening, Failure> {
        let (own, address) = name()?;
        Ok(Listening { listener: proactor.handle().listen(&own, &SocketOptions::default())?, address })
    }
}

fn single(config: Configuration) -> Result<Stage<(Together<Accept>, SocketAddr)>, Failure> {
    let proactor = config.builder().build()?;
    let Listening { listener, address } = Listening::new(&proactor)?;
    Ok(Stage { proactor, of: (Together::new([Accept::new(listener)]), address) })
}

fn accept_one(stage: &mut Stage<(Together<Accept>, SocketAddr)>) {
    let Stage { proactor, of: (accept, address) } = stage;
    let connected = UnixStream::connect_addr(address).expect("the listener is there");
    accept.round(proactor);
    drop(connected);
}

/// A connection that is made, accepted, and closed on both sides. The floor accepts on a bare ring, or by the bare
/// call.
fn accept_single(config: Configuration) -> Result<Figures, Failure> {
    let mut stage = single(config)?;
    let (_, address) = name()?;
    let listener = UnixListener::bind_addr(&address)?;
    let mut ring = if config.is_ring() { Some(Ring::new()?) } else { None };
    let floor = || {
        let connected = UnixStream::connect_addr(&address).expect("the listener is there");
        match &mut ring {
            Some(ring) => drop(accepted(ring, &listener)),
            None => drop(listener.accept().expect("somebody has connected")),
        }
        drop(connected);
    };
    let timing = compare(|| accept_one(&mut stage), Some(floor));
    Ok(stage.figures(timing, 1.0, "", accept_one))
}

fn accepted(ring: &mut Ring, listener: &UnixListener) -> UnixStream {
    let accept = opcode::Accept::new(types::Fd(listener.as_raw_fd()), std::ptr::null_mut(), std::ptr::null_mut());
    let mut result = 0;
    // SAFETY: no address is asked for, so the entry points nowhere.
    unsafe { ring.round([accept.build()], 1, |completed| result = completed.result()) };
    assert!(result > 0, "an accept failed: {result}");
    // SAFETY: the kernel has just made it for this entry, and nobody else has it.
    unsafe { <UnixStream as std::os::fd::FromRawFd>::from_raw_fd(result) }
}

/// One operation that accepts all; the floor is an operation for each.
fn accept_many(config: Configuration) -> Result<Figures, Failure> {
    let mut proactor = config.builder().build()?;
    let Listening { listener, address } = Listening::new(&proactor)?;
    let of = Lasting::start(&mut proactor, AcceptMany::new(listener))?;
    let mut stage = Stage { proactor, of };
    let round = |stage: &mut Stage<Lasting>| {
        let connected = UnixStream::connect_addr(&address).expect("the listener is there");
        stage.of.next(&mut stage.proactor);
        drop(connected);
    };
    let mut single = single(config)?;
    let timing = compare(|| round(&mut stage), Some(|| accept_one(&mut single)));
    Ok(stage.figures(timing, 1.0, "", round))
}

fn pool(length: usize) -> Result<BufferPool, Failure> {
    Ok(BufferPool::new(Slab::allocate(length.max(4096), 64, &Allocation::new())?)?)
}

/// One operation that receives all that comes into a pool; the floor is an operation for each, into a pool too.
fn receive_many(config: Configuration, length: usize) -> Result<Figures, Failure> {
    let ends = |proactor: &Proactor| {
        let (sender, receiver) = UnixStream::pair()?;
        let socket = proactor.handle().import_socket(receiver.into()).map_err(|returned| returned.status)?;
        Ok::<_, Failure>((sender, socket))
    };
    let (pool, bytes) = (pool(length)?, vec![7; length]);
    let mut proactor = config.builder().build()?;
    let (mut sender, socket) = ends(&proactor)?;
    let of = Lasting::start(&mut proactor, ReceivePooledMany::new(socket, &pool))?;
    let mut stage = Stage { proactor, of };
    let mut round = |stage: &mut Stage<Lasting>| {
        sender.write_all(&bytes).expect("the socket's own buffer has room");
        stage.of.next(&mut stage.proactor);
    };
    let mut other = config.builder().build()?;
    let (mut there, socket) = ends(&other)?;
    let mut one = Together::new([ReceivePooled::new(socket, &pool)]);
    let floor = || {
        one.submit(&mut other);
        there.write_all(&bytes).expect("the socket's own buffer has room");
        one.collect(&mut other);
    };
    let timing = compare(|| round(&mut stage), Some(floor));
    Ok(stage.figures(timing, 1.0, "", round))
}

/// One operation that is told whenever a descriptor is readable; the floor is an operation for each time.
fn poll_many(config: Configuration) -> Result<Figures, Failure> {
    let event = || -> Result<OwnedFd, Failure> {
        Ok(rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).map_err(io::Error::from)?)
    };
    let raise = |event: &OwnedFd| assert_eq!(rustix::io::write(event.as_fd(), &1u64.to_ne_bytes()), Ok(8));
    let lower = |event: &OwnedFd| assert_eq!(rustix::io::read(event.as_fd(), &mut [0; 8]), Ok(8));
    let mut proactor = config.builder().build()?;
    let ours = event()?;
    let pollable = proactor.handle().import_pollable(ours.try_clone()?);
    // Told once a rise, not for as long as it is there: it is read behind the callback.
    let of = Lasting::start(&mut proactor, PollHandleMany::readable(pollable).edge_triggered())?;
    let mut stage = Stage { proactor, of };
    let round = |stage: &mut Stage<Lasting>| {
        raise(&ours);
        stage.of.next(&mut stage.proactor);
        lower(&ours);
    };
    let mut other = config.builder().build()?;
    let theirs = event()?;
    let pollable = other.handle().import_pollable(theirs.try_clone()?);
    let mut one = Together::new([PollHandle::readable(pollable)]);
    let floor = || {
        one.submit(&mut other);
        raise(&theirs);
        one.collect(&mut other);
        lower(&theirs);
    };
    let timing = compare(|| round(&mut stage), Some(floor));
    Ok(stage.figures(timing, 1.0, "", round))
}
