//! Whether cost grows with what is idle: timers, semaphore waits, connections. And what an idle connection takes.
//!
//! Each row is the same work beside so many that nothing happens to; the floor is the same work beside none.

use std::os::unix::net::UnixStream;

use proact::memory::{Allocation, BufferPool, Slab};
use proact::operation::{Nop, Op, ReceivePooled, SemaphoreWait, Timer};
use proact::proactor::Proactor;
use proact::sync::Semaphore;
use proact::time::Timeout;

use super::compare::compare;
use super::descriptors::descriptors;
use super::effort;
use super::failure::Failure;
use super::figures::{Costs, Figures, Unit};
use super::measure::Measure;
use super::socket::Exchange;
use super::tally;
use super::together::{Stage, Together};
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    Measure::each("growth/timers/1", |config| nops(config, Idle::Timers, 1)),
    Measure::each("growth/timers/1000", |config| nops(config, Idle::Timers, 1000)),
    Measure::each("growth/timers/100000", |config| nops(config, Idle::Timers, 100_000)),
    Measure::each("growth/waiters/1", |config| nops(config, Idle::Waiters, 1)),
    Measure::each("growth/waiters/100", |config| nops(config, Idle::Waiters, 100)),
    Measure::each("growth/waiters/10000", |config| nops(config, Idle::Waiters, 10_000)),
    Measure::each("growth/connections/1", |config| exchange(config, 1)),
    Measure::each("growth/connections/64", |config| exchange(config, 64)),
    Measure::each("growth/connections/1024", |config| exchange(config, 1024)),
    Measure::each("memory/connection/10000", memory),
];

#[derive(Clone, Copy)]
enum Idle {
    Timers,
    Waiters,
}

fn builder(config: Configuration, count: u32) -> Result<Proactor, Failure> {
    Ok(config.builder().operations(count + 1024).build()?)
}

/// Nops, 16 at a time, beside what is idle.
fn nops(config: Configuration, idle: Idle, count: u32) -> Result<Figures, Failure> {
    const EACH: u32 = 16;
    let made = |count: u32| {
        let mut proactor = builder(config, count)?;
        for index in 0..u64::from(count) {
            let far = proactor.now() + std::time::Duration::from_secs(3600 + index);
            let submitted = match idle {
                Idle::Timers => proactor.submit(Op::new(Timer::new(far), ())).map_err(|refused| refused.status),
                Idle::Waiters => {
                    let wait = SemaphoreWait::new(Semaphore::new(0), 1);
                    proactor.submit(Op::new(wait, ())).map_err(|refused| refused.status)
                }
            };
            submitted?;
        }
        proactor.poll(Timeout::Immediate)?;
        Ok::<_, Failure>(Stage { proactor, of: Together::new((0..EACH).map(|_| Nop)) })
    };
    let (mut stage, mut alone) = (made(count)?, made(0)?);
    let round = |stage: &mut Stage<Together<Nop>>| stage.of.round(&mut stage.proactor);
    let timing = compare(|| round(&mut stage), Some(|| round(&mut alone)));
    Ok(stage.figures(timing, EACH.into(), "", round))
}

/// Local connections that wait for bytes into a pool, and their other ends.
fn idle_connections(proactor: &mut Proactor, count: u32) -> Result<Vec<UnixStream>, Failure> {
    let mut others = Vec::with_capacity(count as usize);
    add_idle_connections(proactor, count, &mut others)?;
    Ok(others)
}

fn add_idle_connections(proactor: &mut Proactor, count: u32, others: &mut Vec<UnixStream>) -> Result<(), Failure> {
    let pool = BufferPool::new(Slab::allocate(4096, 64, &Allocation::new())?)?;
    for _ in 0..count {
        let (theirs, ours) = UnixStream::pair()?;
        let socket = proactor.handle().import_socket(ours.into()).map_err(|returned| returned.status)?;
        let receive = Op::new(ReceivePooled::new(socket, &pool), ());
        proactor.submit(receive).map_err(|refused| refused.status)?;
        others.push(theirs);
    }
    proactor.poll(Timeout::Immediate)?;
    Ok(())
}

/// 64 bytes there and back beside idle connections.
fn exchange(config: Configuration, count: u32) -> Result<Figures, Failure> {
    // Both ends of each, beside what two proactors and their exchanges have.
    descriptors(2 * u64::from(count))?;
    let made = |count: u32| {
        let mut proactor = builder(config, count)?;
        let idle = idle_connections(&mut proactor, count)?;
        let of = (Exchange::new(&proactor, 64)?, idle);
        Ok::<_, Failure>(Stage { proactor, of })
    };
    let (mut stage, mut alone) = (made(count)?, made(0)?);
    let round = |stage: &mut Stage<(Exchange, Vec<UnixStream>)>| stage.of.0.round(&mut stage.proactor);
    let timing = compare(|| round(&mut stage), Some(|| round(&mut alone)));
    Ok(stage.figures(timing, 1.0, "", round))
}

/// What 10,000 connections take that wait for bytes, each: what is allocated in this process, and not the kernel's.
fn memory(config: Configuration) -> Result<Figures, Failure> {
    let count = effort::size(10_000, 100) as u32;
    descriptors(2 * u64::from(count))?;
    let mut proactor = builder(config, count)?;
    // What the first brings along is not the others'.
    let first = idle_connections(&mut proactor, 16.min(count))?;
    let mut others = Vec::with_capacity(count as usize);
    let (idle, bytes) = tally::held(|| add_idle_connections(&mut proactor, count, &mut others));
    idle?;
    drop((first, others));
    let bytes = bytes.ok_or_else(|| Failure::new("this program does not count its allocations"))?;
    let each = bytes as f64 / f64::from(count);
    let figures = Figures::new(each, Err("memory of this process alone, of which no floor takes any"), Costs::UNKNOWN);
    Ok(Figures { unit: Unit::Bytes, ..figures })
}
