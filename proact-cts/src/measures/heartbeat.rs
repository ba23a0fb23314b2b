//! Whether what is small and urgent is held up by what is large: a 64-byte exchange and a 1 ms timer on a proactor that
//! a transfer keeps busy. What matters is the tail; the floor is the same without the transfer. A row is made only if
//! every transfer went on while it was measured.

use std::cell::Cell;
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
/// Passes within which the transfers are under way.
const PASSES: usize = 100_000;
/// How often a timer is waited for.
const TIMERS: usize = 201;
const PERIOD: Duration = Duration::from_millis(1);

/// What begins again as soon as it has ended, and counts how often that was.
struct Endless(&'static Cell<u64>);

impl<K: Kind> Complete<K> for Endless {
    fn done(op: Box<Op<K, Endless>>, outcome: Outcome<K>, cx: &mut Context<'_>) {
        if outcome.result.is_ok() {
            op.state.0.set(op.state.0.get() + 1);
            // Refused while the proactor ends, and then it is over.
            let _ = cx.submit(op);
        }
    }
}

/// How often each send and receive of the transfers has ended.
struct Transfers(Vec<&'static Cell<u64>>);

impl Transfers {
    /// Starts transfers that never end.
    fn start(proactor: &mut Proactor) -> Result<Transfers, Failure> {
        let mut transfers = Transfers(Vec::new());
        // Small, and to the program's end.
        let mut counter = || {
            let counter: &'static Cell<u64> = Box::leak(Box::new(Cell::new(0)));
            transfers.0.push(counter);
            Endless(counter)
        };
        for _ in 0..TRANSFERS {
            let [from, to] = sockets(proactor)?;
            let send = Op::new(Send::exact(from, vec![7; LENGTH]), counter());
            let receive = Op::new(Receive::exact(to, vec![0; LENGTH]), counter());
            proactor.submit((send, receive)).map_err(|refused| refused.status)?;
        }
        Ok(transfers)
    }

    fn ended(&self) -> Vec<u64> {
        self.0.iter().map(|counter| counter.get()).collect()
    }

    /// Polls until each has ended once: they are under way. Fails where one is not within so many passes.
    fn settle(&self, proactor: &mut Proactor) -> Result<(), Failure> {
        for _ in 0..PASSES {
            if self.ended().iter().all(|count| *count > 0) {
                return Ok(());
            }
            proactor.poll(Timeout::Immediate)?;
        }
        Err(Failure::new(format!("the transfers have not begun: {:?} have ended", self.ended())))
    }

    /// Fails if any has stood still since `before`: what was measured then was not beside it.
    fn ran_since(&self, before: &[u64]) -> Result<(), Failure> {
        let now = self.ended();
        if now.iter().zip(before).all(|(now, before)| now > before) {
            return Ok(());
        }
        Err(Failure::new(format!("a transfer has stood still while it was measured: {before:?}, then {now:?}")))
    }
}

/// A proactor that transfers keep busy, and one that does the same without.
fn busy_and_idle<T>(
    config: Configuration,
    of: impl Fn(&Proactor) -> Result<T, Failure>,
) -> Result<(Stage<T>, Transfers, Stage<T>), Failure> {
    let made = || {
        let proactor = config.builder().build()?;
        let of = of(&proactor)?;
        Ok::<_, Failure>(Stage { proactor, of })
    };
    let (mut busy, idle) = (made()?, made()?);
    let transfers = Transfers::start(&mut busy.proactor)?;
    transfers.settle(&mut busy.proactor)?;
    Ok((busy, transfers, idle))
}

fn exchange(config: Configuration) -> Result<Figures, Failure> {
    let (mut stage, transfers, mut idle) = busy_and_idle(config, |proactor| Exchange::new(proactor, 64))?;
    let round = |stage: &mut Stage<Exchange>| stage.of.round(&mut stage.proactor);
    let before = transfers.ended();
    let timing = compare_each(|| round(&mut stage), Some(|| round(&mut idle)));
    transfers.ran_since(&before)?;
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
    let of = |proactor: &Proactor| Ok(Together::new([Timer::new(proactor.now())]));
    let (mut stage, transfers, mut idle) = busy_and_idle(config, of)?;
    let before = transfers.ended();
    let (mut ours, mut below) = (Vec::new(), Vec::new());
    for _ in 0..effort::rounds(TIMERS) {
        ours.push(late(&mut stage));
        below.push(late(&mut idle));
    }
    transfers.ran_since(&before)?;
    let p99 = Some(part(&mut ours, 99));
    let (subject, floor) = (median(ours), median(below));
    let floor = Floor { median: floor, ratio: subject / floor.max(1.0) };
    // What one takes beside time is the transfers' for the most part, so it is not told.
    Ok(Figures { p99, ..Figures::new(subject, Ok(floor), Costs::UNKNOWN) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transfers_of_which_one_stands_still_are_told() {
        let counters: Vec<&'static Cell<u64>> = (0..3).map(|_| &*Box::leak(Box::new(Cell::new(1)))).collect();
        let transfers = Transfers(counters.clone());
        let before = transfers.ended();
        counters[..2].iter().for_each(|counter| counter.set(5));
        let failure = transfers.ran_since(&before).unwrap_err().to_string();
        assert!(failure.contains("stood still") && failure.contains("[5, 5, 1]"), "{failure}");
        counters[2].set(2);
        assert!(transfers.ran_since(&before).is_ok());
    }
}
