//! What fences cost: one that is taken in, one that is given out, and a signal behind a receive, told by the kernel or
//! by the poll thread.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use proact::operation::{Chain, Complete, Context, ImportFence, Kind, Lowering, Op, Outcome, Receive, SemaphoreSignal};
use proact::proactor::{Choice, Proactor};
use proact::resource::Socket;
use proact::status::Status;
use proact::sync::Semaphore;
use proact::time::Timeout;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};

use super::compare::{compare, median, part};
use super::effort;
use super::failure::Failure;
use super::figures::{Costs, Figures, Floor};
use super::measure::Measure;
use super::tally;
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    Measure::each("fence/import", imports),
    Measure::once("fence/export", exports),
    // Where no kernel takes the step, it is the same as the next.
    Measure::ring("lowered/receive-signal", |config| behind_a_receive(config, Lowering::Always)),
    Measure::each("portable/receive-signal", |config| behind_a_receive(config, Lowering::Never)),
];

/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u32 = 1000;

fn refused(config: Configuration) -> impl Fn(Status) -> Failure {
    move |status| Failure::status(config.name, &status)
}

fn event() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

fn set(event: &OwnedFd) {
    rustix::io::write(event, &1u64.to_ne_bytes()).expect("an eventfd takes a count");
}

fn empty(event: &OwnedFd) {
    rustix::io::read(event, &mut [0; 8]).expect("it was set");
}

/// Where an operation goes when it has ended.
struct Home<K: Kind>(SyncSender<Box<Op<K, Home<K>>>>);

impl<K: Kind> Complete<K> for Home<K> {
    fn done(op: Box<Op<K, Home<K>>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        outcome.result.expect("nothing fails here");
        let home = op.state.0.clone();
        home.send(op).expect("someone takes it");
    }
}

/// A fence that is imported, then signalled, then told, over and over.
struct Imports {
    proactor: Proactor,
    event: OwnedFd,
    op: Option<Box<Op<ImportFence, Home<ImportFence>>>>,
    back: Receiver<Box<Op<ImportFence, Home<ImportFence>>>>,
    value: u64,
}

impl Imports {
    fn new(config: Configuration) -> Result<Imports, Failure> {
        let proactor = config.builder().build().map_err(refused(config))?;
        let failed = |error: io::Error| Failure::new(format!("an eventfd: {error}"));
        let event = event().map_err(failed)?;
        let fence = proactor.handle().import_pollable(event.try_clone().map_err(failed)?);
        let (home, back) = sync_channel(1);
        let op = Op::new(ImportFence::new(fence, Semaphore::new(0), 1), Home(home));
        Ok(Imports { proactor, event, op: Some(op), back, value: 0 })
    }

    fn round(&mut self) {
        self.value += 1;
        let mut op = self.op.take().expect("it came back");
        op.kind.set_value(self.value);
        self.proactor.submit(op).expect("an eventfd is a fence");
        // The kernel waits for it before it is signalled.
        self.proactor.poll(Timeout::Immediate).expect("the backend works");
        set(&self.event);
        while self.op.is_none() {
            self.proactor.poll(Timeout::Infinite).expect("the backend works");
            self.op = self.back.try_recv().ok();
        }
        empty(&self.event);
    }
}

/// Measures an import, its signal, and its end. The floor waits for the same eventfd by the backend's own interface.
fn imports(config: Configuration) -> Result<Figures, Failure> {
    let mut imports = Imports::new(config)?;
    let event = event().map_err(|error| Failure::new(format!("an eventfd: {error}")))?;
    let timing = match config.choice {
        #[cfg(target_pointer_width = "64")]
        Choice::IoUring => raw::polled(&event, |floor| compare(|| imports.round(), Some(floor)))
            .map_err(|error| Failure::new(format!("a bare ring: {error}")))?,
        Choice::Epoll => compare(|| imports.round(), Some(by_epoll(&event)?)),
        _ => compare(|| imports.round(), Some(|| by_poll(&event))),
    };
    let enters = |imports: &Imports| imports.proactor.statistics().enters;
    let counted = tally::rounds(COUNTED_ROUNDS, &mut imports, Imports::round, enters);
    Ok(Figures::of(timing, 1.0, "", counted.over(f64::from(COUNTED_ROUNDS))))
}

fn by_poll(event: &OwnedFd) {
    let mut watched = [PollFd::new(event, PollFlags::IN)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut watched, Some(&at_once)), Ok(0));
    set(event);
    assert_eq!(rustix::io::retry_on_intr(|| rustix::event::poll(&mut watched, None)), Ok(1));
    empty(event);
}

/// An import is watched for once, so the floor adds and deletes, too.
fn by_epoll(event: &OwnedFd) -> Result<impl FnMut() + '_, Failure> {
    use rustix::event::epoll;
    let failed = |error: rustix::io::Errno| Failure::new(format!("a bare epoll: {error}"));
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(failed)?;
    Ok(move || {
        let data = epoll::EventData::new_u64(0);
        epoll::add(&epoll, event, data, epoll::EventFlags::IN).expect("an eventfd can be waited for");
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data }; 4];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        assert_eq!(epoll::wait(&epoll, &mut events[..], Some(&at_once)), Ok(0));
        set(event);
        assert_eq!(rustix::io::retry_on_intr(|| epoll::wait(&epoll, &mut events[..], None)), Ok(1));
        epoll::delete(&epoll, event).expect("it was added");
        empty(event);
    })
}

/// Measures an export, the signal that it is told by, and its end. The floor is an eventfd that is duplicated, written
/// and closed. No backend has a part in it.
fn exports() -> Result<Figures, Failure> {
    let semaphore = Semaphore::new(0);
    let mut value = 0;
    let mut round = || {
        value += 1;
        let export = semaphore.export_pollable(value).expect("a descriptor is left");
        semaphore.signal(value, None).expect("it rises");
        drop(export);
    };
    let floor = || {
        let event = event().expect("a descriptor is left");
        let theirs = rustix::io::fcntl_dupfd_cloexec(&event, 3).expect("another is left");
        set(&event);
        drop((event, theirs));
    };
    let timing = compare(&mut round, Some(floor));
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| round()));
    Ok(Figures::of(timing, 1.0, "", counted.over(f64::from(COUNTED_ROUNDS))))
}

/// How many bytes a signal stands behind.
const LENGTH: usize = 64;
/// Rounds of each side, in turn: at most, for so long, and the first of them, which are not counted.
const ROUNDS: u64 = 1901;
const BUDGET: Duration = Duration::from_millis(500);
const SETTLING: u64 = 100;
/// Long enough for the other thread to have gone to sleep in the kernel.
const SETTLED: Duration = Duration::from_micros(40);

/// What receives on a thread of its own, and lets the descriptor that it sends with each round become readable.
struct Receiving {
    peer: OwnedFd,
    /// The descriptors of the rounds, as they are armed.
    exports: Receiver<OwnedFd>,
    /// How many rounds have been armed.
    armed: Arc<AtomicU64>,
    rounds: u64,
    thread: Option<JoinHandle<()>>,
}

impl Receiving {
    fn new(body: impl FnOnce(OwnedFd, SyncSender<OwnedFd>, Arc<AtomicU64>) + Send + 'static) -> io::Result<Receiving> {
        let (peer, theirs) = std::os::unix::net::UnixStream::pair()?;
        let (sender, exports) = sync_channel(1);
        let armed = Arc::new(AtomicU64::new(0));
        let there = armed.clone();
        let thread = std::thread::Builder::new().spawn(move || body(theirs.into(), sender, there))?;
        Ok(Receiving { peer: peer.into(), exports, armed, rounds: 0, thread: Some(thread) })
    }

    /// Nanoseconds from the send to the descriptor's being readable, as who polls it sees it.
    fn round(&mut self) -> f64 {
        self.rounds += 1;
        let export = self.exports.recv().expect("the thread goes on");
        while self.armed.load(Ordering::Acquire) < self.rounds {
            std::thread::yield_now();
        }
        let settled = Instant::now() + SETTLED;
        while Instant::now() < settled {
            std::hint::spin_loop();
        }
        let start = Instant::now();
        rustix::io::write(&self.peer, &[7; LENGTH]).expect("the peer is there");
        readable(export.as_fd());
        start.elapsed().as_nanos() as f64
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        // The end of the stream ends the thread's next round.
        self.peer = event().expect("a descriptor is left");
        while self.exports.recv().is_ok() {}
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn readable(fd: BorrowedFd<'_>) {
    let mut watched = [PollFd::new(&fd, PollFlags::IN)];
    assert_eq!(rustix::io::retry_on_intr(|| rustix::event::poll(&mut watched, None)), Ok(1));
}

/// What all rounds on the thread that receives have taken, once it has settled.
#[derive(Default)]
struct Spent {
    allocations: AtomicU64,
    enters: AtomicU64,
}

/// The library's way: a receive and, linked to it, a signal of an exported value. With what it takes from each submit
/// to the callbacks: the export is made anew in each round, and counted in its own row.
fn by_chain(config: Configuration, how: Lowering) -> Result<(Receiving, Arc<Spent>), Failure> {
    // Built here too, so that a backend that is missing is told.
    config.builder().build().map_err(refused(config))?;
    let counted = Arc::new(Spent::default());
    let theirs = counted.clone();
    let receiving = Receiving::new(move |socket, exports, armed| {
        let mut proactor = config.builder().build().expect("it was built a moment ago");
        let socket = proactor.handle().import_socket(socket).expect("it is a socket");
        let semaphore = Semaphore::new(0);
        let mut next = Some(Pair::new(&socket, &semaphore));
        for value in 1.. {
            let Some(pair) = next.take() else { break };
            let export = semaphore.export_pollable(value).expect("a descriptor is left");
            if exports.send(export).is_err() {
                break;
            }
            let before = proactor.statistics().enters;
            let count = tally::count(|| next = pair.round(&mut proactor, value, how, &armed));
            if value > SETTLING && next.is_some() {
                theirs.allocations.fetch_add(count.allocations(), Ordering::Relaxed);
                theirs.enters.fetch_add(proactor.statistics().enters - before, Ordering::Relaxed);
            }
        }
    });
    let failed = |error| Failure::new(format!("a thread: {error}"));
    Ok((receiving.map_err(failed)?, counted))
}

type KeptOp<K> = Box<Op<K, Kept<K>>>;

/// Where an operation goes when it has ended, however it has.
struct Kept<K: Kind>(&'static Cell<Option<KeptOp<K>>>);

impl<K: Kind> Kept<K> {
    /// Small, and to the program's end: see the row of nops.
    fn op(kind: K) -> KeptOp<K> {
        Op::new(kind, Kept(Box::leak(Box::new(Cell::new(None)))))
    }
}

impl<K: Kind> Complete<K> for Kept<K> {
    fn done(op: KeptOp<K>, _: Outcome<K>, _: &mut Context<'_>) {
        let place = op.state.0;
        place.set(Some(op));
    }
}

/// A receive and a signal linked to it, over and over.
struct Pair {
    receive: KeptOp<Receive<Vec<u8>>>,
    signal: KeptOp<SemaphoreSignal>,
    semaphore: Semaphore,
}

impl Pair {
    fn new(socket: &Socket, semaphore: &Semaphore) -> Pair {
        Pair {
            receive: Kept::op(Receive::exact(socket.clone(), vec![0; LENGTH])),
            signal: Kept::op(SemaphoreSignal::new(semaphore.clone(), 0)),
            semaphore: semaphore.clone(),
        }
    }

    /// One round. `None`: the stream has ended.
    fn round(mut self, proactor: &mut Proactor, value: u64, how: Lowering, armed: &AtomicU64) -> Option<Pair> {
        let (received, signalled) = (self.receive.state.0, self.signal.state.0);
        self.signal.kind.set_value(0, value);
        proactor.submit(Chain::new((self.receive, self.signal)).lowering(how)).expect("a valid chain");
        proactor.poll(Timeout::Immediate).expect("the backend works");
        armed.store(value, Ordering::Release);
        proactor.run().expect("the backend works");
        self.receive = received.take().expect("it has ended");
        self.signal = signalled.take().expect("it has ended");
        (self.semaphore.value() == value).then_some(self)
    }
}

/// Measures from a peer's send until whoever polls the descriptor that the value was exported as is told, while the
/// thread that receives sleeps. `how` says whether the kernel takes the step by itself. The floor is a bare ring's
/// receive, and a write to an eventfd linked to it.
fn behind_a_receive(config: Configuration, how: Lowering) -> Result<Figures, Failure> {
    let (mut subject, counted) = by_chain(config, how)?;
    let mut floor = raw_receiving(config);
    // With their room, so that nothing is allocated here while the other thread counts.
    let room = || Vec::with_capacity(ROUNDS as usize);
    let (mut times, mut below, mut ratios) = (room(), room(), room());
    let start = Instant::now();
    let mut round = 0;
    let most = effort::rounds(ROUNDS as usize) as u64 + SETTLING;
    while round < most && (round <= 2 * SETTLING || start.elapsed() < effort::budget(BUDGET)) {
        round += 1;
        let time = subject.round();
        let least = floor.as_mut().ok().map(Receiving::round);
        if round > SETTLING {
            times.push(time);
            below.extend(least);
            ratios.extend(least.map(|least| time / least));
        }
    }
    let measured = times.len() as f64;
    // Its thread has counted then.
    drop(subject);
    let each = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / measured;
    let allocations = tally::counts_allocations().then(|| each(&counted.allocations));
    let costs = Costs { allocations, enters: Some(each(&counted.enters)), ..Costs::UNKNOWN };
    let floor = floor.map(|_| Floor { median: median(below), ratio: median(ratios) });
    Ok(Figures { p99: Some(part(&mut times, 99)), ..Figures::new(median(times), floor, costs) })
}

fn raw_receiving(config: Configuration) -> Result<Receiving, &'static str> {
    #[cfg(target_pointer_width = "64")]
    if config.is_ring() {
        return Receiving::new(raw::receive_and_write).map_err(|_| "no second ring could be made");
    }
    let _ = config;
    Err("no kernel takes the step by itself on this backend")
}

/// The floors on a bare ring.
#[cfg(target_pointer_width = "64")]
mod raw {
    use std::os::fd::AsRawFd;

    use io_uring::{cqueue, opcode, squeue, types};

    use super::super::floor::{READABLE, Ring};
    use super::*;

    /// Runs `with` on a round that waits for the event by a poll entry.
    pub(crate) fn polled<T>(event: &OwnedFd, with: impl FnOnce(&mut dyn FnMut()) -> T) -> io::Result<T> {
        let mut ring = Ring::new()?;
        let mut round = || {
            let entry = opcode::PollAdd::new(types::Fd(event.as_raw_fd()), READABLE).build();
            let mut told = 0;
            // SAFETY: a poll entry points nowhere, and the event is open until the round has ended.
            unsafe {
                ring.round([entry], 0, |_| panic!("it is not set yet"));
                set(event);
                ring.round([], 1, |_| told += 1);
            }
            assert_eq!(told, 1);
            empty(event);
        };
        Ok(with(&mut round))
    }

    /// Receives and, by the kernel alone, writes an event, until the stream ends.
    pub(crate) fn receive_and_write(socket: OwnedFd, exports: SyncSender<OwnedFd>, armed: Arc<AtomicU64>) {
        let mut ring = Ring::new().expect("a ring, as for the subject");
        let mut bytes = [0u8; LENGTH];
        let one = 1u64;
        for value in 1.. {
            let event = event().expect("a descriptor is left");
            if exports.send(event.try_clone().expect("another is left")).is_err() {
                break;
            }
            let whole = rustix::net::RecvFlags::WAITALL.bits() as i32;
            let receive = opcode::Recv::new(types::Fd(socket.as_raw_fd()), bytes.as_mut_ptr(), LENGTH as u32);
            let receive = receive.flags(whole).build().flags(squeue::Flags::IO_LINK);
            let write = opcode::Write::new(types::Fd(event.as_raw_fd()), (&raw const one).cast(), 8).build();
            // Both may have ended at once, with the stream.
            let (ended, over) = (Cell::new(0), Cell::new(false));
            let told = |completed: cqueue::Entry| {
                ended.set(ended.get() + 1);
                over.set(over.get() || completed.result() <= 0);
            };
            // SAFETY: the bytes live until both have completed, which is waited for.
            unsafe {
                ring.round([receive, write], 0, told);
                armed.store(value, Ordering::Release);
                ring.round([], 2 - ended.get(), told);
            }
            if over.get() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::{settings, whole};
    use proact::proactor::Choice;

    #[test]
    fn every_round_of_an_import_raises_the_next_value() {
        for config in settings() {
            match Imports::new(config) {
                Ok(mut imports) => {
                    (0..10).for_each(|_| imports.round());
                    assert_eq!((imports.value, imports.proactor.pending()), (10, 0), "{}", config.name);
                }
                Err(_) => eprintln!("skipped: no {} here", config.name),
            }
        }
    }

    #[test]
    fn every_round_behind_a_receive_ends_and_so_does_its_thread() {
        for config in settings() {
            for how in [Lowering::Never, Lowering::Always] {
                match by_chain(config, how) {
                    Ok((mut receiving, _)) => assert!((0..5).all(|_| receiving.round() > 0.0)),
                    Err(_) => eprintln!("skipped: no {} here", config.name),
                }
            }
        }
        if let Ok(mut floor) = raw_receiving(whole(Choice::IoUring)) {
            assert!((0..5).all(|_| floor.round() > 0.0));
        }
    }
}
