//! Whether what is small and urgent is held up by what is large: a 64-byte exchange and a 1 ms timer on a proactor that
//! a transfer keeps busy. What matters is the tail; the floor is the same without the transfer.

use std::time::Duration;

use proact::operation::{Complete, Context, Kind, Op, Outcome, Receive, Send, Timer};
use proact::proactor::Proactor;
use proact::time::Timeout;

use super::compare::{compare_each, median, part};
use super::effort;
use super::failure::Failure;
use super::figures::{Costs, Figures, Floor};
use super::measure::Measure;
use super::socket::{Exchange, sockets};
use super::together::{Stage, Together};
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] =
    &[Measure::each("heartbeat/exchange/64", exchange), Measure::each("heartbeat/timer/1ms", timer)];

/// Bytes of each send and receive of the transfer.
const LENGTH: usize = 1 << 20;
/// Transfers that are under way at a time.
const TRANSFERS: usize = 2;
/// How often a timer is waited for.
const TIMERS: usize = 201;
const PERIOD: Duration = Duration::from_millis(1);

/// What begins again as soon as it has ended.
struct Endless;

impl<K: Kind> Complete<K> for Endless {
    fn done(op: Box<Op<K, Endless>>, outcome: Outcome<K>, cx: &mut Context<'_>) {
        if outcome.result.is_ok() {
            // Refused while the proactor ends, and then it is over.
            let _ = cx.submit(op);
        }
    }
}

/// Starts transfers that never end.
fn saturate(proactor: &mut Proactor) -> Result<(), Failure> {
    for _ in 0..TRANSFERS {
        let [from, to] = sockets(proactor)?;
        let send = Op::new(Send::exact(from, vec![7; LENGTH]), Endless);
        let receive = Op::new(Receive::exact(to, vec![0; LENGTH]), Endless);
        proactor.submit((send, receive)).map_err(|refused| refused.status)?;
    }
    Ok(())
}

fn exchange(config: Configuration) -> Result<Figures, Failure> {
    let made = |busy: bool| {
        let mut proactor = config.builder().build()?;
        let of = Exchange::new(&proactor, 64)?;
        if busy {
            saturate(&mut proactor)?;
        }
        Ok::<_, Failure>(Stage { proactor, of })
    };
    let (mut stage, mut idle) = (made(true)?, made(false)?);
    let round = |stage: &mut Stage<Exchange>| stage.of.round(&mut stage.proactor);
    let timing = compare_each(|| round(&mut stage), Some(|| round(&mut idle)));
    Ok(stage.figures(timing, 1.0, "", round))
}

/// By how much a timer misses its time.
fn late(stage: &mut Stage<Together<Timer>>) -> f64 {
    let deadline = stage.proactor.now() + PERIOD;
    stage.of.ready.iter_mut().for_each(|op| op.kind.deadline = deadline);
    stage.of.round(&mut stage.proactor);
    stage.proactor.now().since(deadline).as_nanos() as f64
}

fn timer(config: Configuration) -> Result<Figures, Failure> {
    let made = |busy: bool| {
        let mut proactor = config.builder().build()?;
        if busy {
            saturate(&mut proactor)?;
        }
        let of = Together::new([Timer::new(proactor.now())]);
        Ok::<_, Failure>(Stage { proactor, of })
    };
    let (mut stage, mut idle) = (made(true)?, made(false)?);
    // Until the transfers are on their way.
    for _ in 0..16 {
        stage.proactor.poll(Timeout::Immediate)?;
    }
    let (mut ours, mut below) = (Vec::new(), Vec::new());
    for _ in 0..effort::rounds(TIMERS) {
        ours.push(late(&mut stage));
        below.push(late(&mut idle));
    }
    let p99 = Some(part(&mut ours, 99));
    let (subject, floor) = (median(ours), median(below));
    let floor = Floor { median: floor, ratio: subject / floor.max(1.0) };
    Ok(Figures { p99, ..Figures::new(subject, Ok(floor), Costs::UNKNOWN) })
}
