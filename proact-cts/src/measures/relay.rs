//! What events cost: taken from a pool, as sources among many that are idle, and passed on by relays.
//!
//! The floors are the same system calls without the library, with as many descriptors registered and idle: `epoll_wait`
//! or `ppoll`, or a ring's enter with a poll that goes on; then the read of what was set, and the write to the sink.

use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use proact::operation::{Complete, Context, Op, Outcome, PollHandleMany, RelayMany};
use proact::proactor::{Builder, Choice, Proactor};
use proact::status::Status;
use proact::sync::{Event, Notification};
use proact::time::Timeout;
use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll, eventfd};

use super::compare::{Timing, compare};
use super::descriptors::descriptors;
use super::failure::Failure;
use super::figures::Figures;
use super::measure::Measure;
use super::tally;
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    Measure::once("event-pool", || pool(1)),
    Measure::once("event-pool/batch/4", || pool(4)),
    Measure::once("event-pool/batch/16", || pool(16)),
    Measure::once("event-pool/batch/64", || pool(64)),
    Measure::each("relay/1", |config| dispatch(config, 1)),
    Measure::each("relay/8", |config| dispatch(config, 8)),
    Measure::each("relay/64", |config| dispatch(config, 64)),
    Measure::each("relay/512", |config| dispatch(config, 512)),
    Measure::each("relay/4096", |config| dispatch(config, 4096)),
    Measure::each("notification-relays/8", |config| fan_out(config, 8)),
    Measure::each("notification-relays/64", |config| fan_out(config, 64)),
    Measure::each("notification-relays/256", |config| fan_out(config, 256)),
    Measure::each("source/1", |config| source(config, 1, false)),
    Measure::each("source/512", |config| source(config, 512, false)),
    Measure::each("source/4096", |config| source(config, 4096, false)),
    Measure::each("source/edge/4096", |config| source(config, 4096, true)),
];

/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u32 = 1000;
/// Events taken and given back in a round, at least: a clock read costs more than one.
const PAIRS: u32 = 64;

/// What rounds of one dispatch each came to.
fn figures(timing: Timing, why: &'static str, proactor: &mut Proactor, round: impl FnMut(&mut Proactor)) -> Figures {
    let counted = tally::rounds(COUNTED_ROUNDS, proactor, round, |proactor| proactor.statistics().enters);
    Figures::of(timing, 1.0, why, counted.over(f64::from(COUNTED_ROUNDS)))
}

fn told(config: Configuration) -> impl Fn(Status) -> Failure {
    move |status| Failure::status(config.name, &status)
}

/// Measures an event taken from a pool and given back, `batch` at a time. Figures are of the two together; the floor is
/// two bare exchanges, of words on lines of their own.
fn pool(batch: u32) -> Result<Figures, Failure> {
    // Any proactor: where the events come from makes no difference.
    let failed = |status| Failure::status("any", &status);
    let proactor = Builder::new().build().map_err(failed)?;
    let pool = proactor.handle().event_pool(PAIRS).map_err(failed)?;
    let mut events = Vec::with_capacity(batch as usize);
    let rounds = PAIRS / batch;
    let mut round = || {
        for _ in 0..rounds {
            if batch == 1 {
                // Without a list between, which takes as long as a tenth of it.
                drop(std::hint::black_box(pool.acquire().expect("no other has one")));
                continue;
            }
            events.extend((0..batch).map(|_| pool.acquire().expect("no other has one")));
            events.clear();
        }
    };
    #[repr(align(128))]
    struct Apart(AtomicU64);
    let words = [Apart(AtomicU64::new(0)), Apart(AtomicU64::new(0))];
    let floor = || {
        for _ in 0..PAIRS {
            for word in &words {
                let value = word.0.load(Ordering::Acquire);
                let _ = word.0.compare_exchange(value, value + 1, Ordering::AcqRel, Ordering::Acquire);
            }
        }
    };
    let timing = compare(&mut round, Some(floor));
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| round()));
    Ok(Figures::of(timing, PAIRS.into(), "", counted.over(f64::from(COUNTED_ROUNDS * PAIRS))))
}

/// Counts what it is told of.
struct Count(&'static Cell<u64>);

impl Complete<RelayMany> for Count {
    fn more(&mut self, _: &RelayMany, _: Outcome<RelayMany>, _: &mut Context<'_>) {
        self.0.set(self.0.get() + 1);
    }
    fn done(_: Box<Op<RelayMany, Self>>, outcome: Outcome<RelayMany>, _: &mut Context<'_>) {
        assert!(outcome.result.unwrap_err().is_cancelled());
    }
}

/// Small, and to the program's end: see the row of nops.
fn counter() -> &'static Cell<u64> {
    Box::leak(Box::new(Cell::new(0)))
}

/// Polls until `count` has been told.
fn poll_until(proactor: &mut Proactor, fired: &Cell<u64>, count: u64) {
    while fired.get() < count {
        proactor.poll(Timeout::Infinite).expect("the backend works");
    }
}

fn event() -> std::io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC)?)
}

fn raise(event: impl AsFd) {
    rustix::io::write(event, &1u64.to_ne_bytes()).expect("an eventfd has room");
}

fn lower(event: impl AsFd) {
    rustix::io::read(event, &mut [0; 8]).expect("it was set");
}

/// Times `round` against the least that the kernel's interface needs for one of `count` descriptors, and a write to
/// another if `passes_on`.
fn measure(config: Configuration, count: usize, passes_on: bool, round: impl FnMut()) -> (Timing, &'static str) {
    let sink = event();
    let all: std::io::Result<Vec<OwnedFd>> = (0..count).map(|_| event()).collect();
    let (Ok(sink), Ok(all)) = (sink, all) else {
        return (compare(round, None::<fn()>), "no descriptors are left for the floor");
    };
    let active = all[count / 2].as_fd();
    let finish = || {
        lower(active);
        if passes_on {
            raise(&sink);
        }
    };
    match config.choice {
        Choice::Epoll => {
            let set = epoll::create(epoll::CreateFlags::CLOEXEC).expect("an epoll");
            for (index, event) in all.iter().enumerate() {
                epoll::add(&set, event, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN).expect("room");
            }
            let mut events = Vec::with_capacity(64);
            let floor = || {
                raise(active);
                events.clear();
                rustix::io::retry_on_intr(|| epoll::wait(&set, rustix::buffer::spare_capacity(&mut events), None))
                    .expect("an event");
                finish();
            };
            (compare(round, Some(floor)), "")
        }
        Choice::Poll => {
            let mut watched: Vec<PollFd<'_>> = all.iter().map(|event| PollFd::new(event, PollFlags::IN)).collect();
            let floor = || {
                raise(active);
                rustix::io::retry_on_intr(|| rustix::event::poll(&mut watched, None)).expect("an event");
                finish();
            };
            (compare(round, Some(floor)), "")
        }
        #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
        _ => match super::floor::with_polls(all.iter().map(AsRawFd::as_raw_fd), |wait| {
            compare(
                round,
                Some(|| {
                    raise(active);
                    wait();
                    finish();
                }),
            )
        }) {
            Ok(timing) => (timing, ""),
            Err(error) => panic!("a bare ring: {error}"),
        },
        #[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
        _ => (compare(round, None::<fn()>), "no bare ring on this system"),
    }
}

/// Measures one relay from event to event among `count`: from before its source is set until its sink has been.
fn dispatch(config: Configuration, count: usize) -> Result<Figures, Failure> {
    // A source and a sink each, and as many sources of the floor.
    descriptors(3 * count as u64)?;
    let mut proactor = builder(config, count).map_err(told(config))?;
    let events = |_| proactor.handle().event();
    let sources = (0..count).map(events).collect::<Result<Vec<Event>, Status>>().map_err(told(config))?;
    let sinks = (0..count).map(events).collect::<Result<Vec<Event>, Status>>().map_err(told(config))?;
    let fired = counter();
    for (source, sink) in sources.iter().zip(sinks) {
        proactor.submit(Op::new(RelayMany::new(source.clone(), sink), Count(fired))).expect("a relay");
    }
    settle(&mut proactor);
    let round = |proactor: &mut Proactor| {
        sources[count / 2].set().expect("an open event");
        let next = fired.get() + 1;
        poll_until(proactor, fired, next);
    };
    let (timing, why) = measure(config, count, true, || round(&mut proactor));
    Ok(figures(timing, why, &mut proactor, round))
}

/// Measures a notification that `count` relays pass on to as many others. Figures are of one signal, which all of them
/// pass on.
fn fan_out(config: Configuration, count: usize) -> Result<Figures, Failure> {
    let mut proactor = builder(config, count).map_err(told(config))?;
    let (source, fired) = (Notification::new(), counter());
    for _ in 0..count {
        let relay = RelayMany::new(source.clone(), Notification::new());
        proactor.submit(Op::new(relay, Count(fired))).expect("a relay");
    }
    settle(&mut proactor);
    let round = |proactor: &mut Proactor| {
        source.broadcast();
        let all = fired.get() + count as u64;
        poll_until(proactor, fired, all);
    };
    let timing = compare(|| round(&mut proactor), None::<fn()>);
    Ok(figures(timing, "no system call is needed for it, so nothing lies below", &mut proactor, round))
}

/// Reads its descriptor and counts.
struct Taken(OwnedFd, &'static Cell<u64>);

impl Complete<PollHandleMany> for Taken {
    fn more(&mut self, _: &PollHandleMany, _: Outcome<PollHandleMany>, _: &mut Context<'_>) {
        lower(&self.0);
        self.1.set(self.1.get() + 1);
    }
    fn done(_: Box<Op<PollHandleMany, Self>>, outcome: Outcome<PollHandleMany>, _: &mut Context<'_>) {
        assert!(outcome.result.unwrap_err().is_cancelled());
    }
}

/// Measures one descriptor that is watched among `count`, from before it becomes readable until it has been read.
fn source(config: Configuration, count: usize, edge: bool) -> Result<Figures, Failure> {
    // Two of each, and one each of the floor.
    descriptors(3 * count as u64)?;
    let failed = |error: std::io::Error| {
        told(config)(Status::from_os_error(proact::status::Operation::EventCreate, error.raw_os_error().unwrap_or(0)))
    };
    let mut proactor = builder(config, count).map_err(told(config))?;
    let fired = counter();
    let mut active = None;
    for index in 0..count {
        let ours = event().map_err(failed)?;
        let theirs = ours.try_clone().map_err(failed)?;
        let kind = PollHandleMany::readable(proactor.handle().import_pollable(theirs));
        if index == count / 2 {
            active = Some(ours.try_clone().map_err(failed)?);
        }
        let kind = if edge { kind.edge_triggered() } else { kind };
        proactor.submit(Op::new(kind, Taken(ours, fired))).expect("a source");
    }
    settle(&mut proactor);
    let active = active.expect("one of them");
    let round = |proactor: &mut Proactor| {
        raise(&active);
        let next = fired.get() + 1;
        poll_until(proactor, fired, next);
    };
    let (timing, why) = measure(config, count, false, || round(&mut proactor));
    Ok(figures(timing, why, &mut proactor, round))
}

fn builder(config: Configuration, count: usize) -> Result<Proactor, Status> {
    config.builder().operations(count as u32 + 64).build()
}

/// Lets everything that was submitted be armed.
fn settle(proactor: &mut Proactor) {
    for _ in 0..64 {
        proactor.poll(Timeout::Immediate).expect("the backend works");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::settings;

    #[test]
    fn every_round_fires_once_on_every_backend() {
        for config in settings() {
            if let Err(status) = config.builder().build() {
                eprintln!("skipped: {}: {status}", config.name);
                continue;
            }
            // Each round waits for exactly what it caused, and nothing is allocated on the way.
            for figures in [dispatch(config, 3), fan_out(config, 3), source(config, 3, false), source(config, 3, true)]
            {
                let figures = figures.unwrap_or_else(|_| panic!("{}", config.name));
                assert!(figures.median > 0.0);
                assert_eq!(figures.costs.allocations, Some(0.0), "{}", config.name);
            }
        }
    }
}
