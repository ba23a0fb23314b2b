//! What semaphores cost: signals, and what they set off.
//!
//! Semaphores are of no backend; only what operations do with them is measured on each.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::Instant;

use proact::causal::{Axis, Entry, Frontier};
use proact::operation::{Complete, Context, Op, Outcome, SemaphoreWait};
use proact::proactor::Proactor;
use proact::status::Status;
use proact::sync::Semaphore;
use proact::time::Timeout;

use super::compare::{compare, median};
use super::effort;
use super::failure::Failure;
use super::figures::{Figures, Floor};
use super::measure::Measure;
use super::tally::{self, Counted};
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    Measure::once("semaphore/signal", || signals(0)),
    Measure::once("semaphore/signal-frontier", || signals(4)),
    Measure::each("semaphore/signal-timepoint", timepoints),
    Measure::each("semaphore/wait", waits),
    Measure::each("semaphore/wait-satisfied", satisfied),
    Measure::each("semaphore/fan-out/256", |config| fan_out(config, 256)),
    Measure::each("semaphore/fan-out/10000", |config| fan_out(config, effort::size(10_000, 500))),
    Measure::once("semaphore/link", links),
    Measure::once("semaphore/future", futures),
];

/// Signals of a round, of those that need no preparation: a clock read costs more than one.
const SIGNALS: u64 = 64;
/// Semaphores that are prepared, signalled one after another, and timed together: few enough to stay in the nearest
/// cache.
const PREPARED: usize = 16;
/// Pairs of slices of what has to be prepared, or needs a second thread.
const PAIRS: usize = 301;
/// Slices that are thrown away first.
const WARM_UP: usize = 20;
/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u64 = 1000;

/// Measures a signal that nobody waits for. `entries`: of the frontier that it carries into the history.
fn signals(entries: u8) -> Result<Figures, Failure> {
    let axes: Vec<_> = (0..entries).map(|queue| Entry::new(Axis::queue(0, 0, 0, queue), 7)).collect();
    let causes = Frontier::from_entries(&axes).expect("ascending axes");
    let causes = (entries > 0).then_some(&causes);
    let (semaphore, mut value) = (Semaphore::new(0), 0);
    let mut round = || {
        for _ in 0..SIGNALS {
            value += 1;
            semaphore.signal(value, black_box(causes)).expect("a rising value");
        }
    };
    let timing = compare(&mut round, Some(bare_signals(SIGNALS)));
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| round()));
    Ok(Figures::of(timing, SIGNALS as f64, "", counted.over((COUNTED_ROUNDS * SIGNALS) as f64)))
}

/// The floor of a signal: the word alone.
fn bare_signals(count: u64) -> impl FnMut() {
    let (word, mut value) = (AtomicU64::new(0), 0);
    move || {
        for _ in 0..count {
            value += 1;
            black_box(word.fetch_max(value, Ordering::SeqCst));
        }
    }
}

/// Measures a signal that an operation waits for: the call of it, with the poll thread awake. Its enters are those of
/// the whole way, from the submit to the callback.
fn timepoints(config: Configuration) -> Result<Figures, Failure> {
    let mut waits = Waits::new(config, PREPARED, PREPARED)?;
    let figures = prepared(&mut waits, Waits::submit, Waits::signal, Waits::collect, PREPARED, Some(PREPARED as u64));
    Ok(waits.with_enters(figures, Waits::round))
}

/// Why a wait has no floor.
const NO_FLOOR: &str = "the system has no timeline semaphores; nop/1 beside it is an operation without one";

/// Measures a wait from submit to callback, with its signal.
fn waits(config: Configuration) -> Result<Figures, Failure> {
    let mut waits = Waits::new(config, 1, 1)?;
    let figures = alone(&mut || waits.round(), NO_FLOOR);
    Ok(waits.with_enters(figures, Waits::round))
}

/// Measures a wait for a value that has been signalled long before, from submit to callback.
fn satisfied(config: Configuration) -> Result<Figures, Failure> {
    let mut waits = Waits::new(config, 1, 1)?;
    waits.round();
    // The same value again and again.
    let figures = alone(&mut || waits.again(), NO_FLOOR);
    Ok(waits.with_enters(figures, Waits::again))
}

/// Measures one signal that `count` operations wait for, until all are called back. Figures are of one of them.
fn fan_out(config: Configuration, count: usize) -> Result<Figures, Failure> {
    let mut waits = Waits::new(config, 1, count)?;
    let work = |waits: &mut Waits| {
        waits.signal();
        waits.collect();
    };
    let figures = prepared(&mut waits, Waits::submit, work, |_| {}, count, None);
    Ok(waits.with_enters(figures, Waits::round))
}

/// Measures a signal that is passed on by a link.
fn links() -> Result<Figures, Failure> {
    let semaphores = || (0..PREPARED).map(|_| Semaphore::new(0)).collect::<Vec<_>>();
    let mut linked = (semaphores(), semaphores(), 0);
    type Linked = (Vec<Semaphore>, Vec<Semaphore>, u64);
    let prepare = |(sources, targets, value): &mut Linked| {
        *value += 1;
        for (source, target) in sources.iter().zip(targets) {
            source.link(*value, target, *value).expect("another semaphore").detach();
        }
    };
    let signal = |(sources, _, value): &mut Linked| {
        sources.iter().for_each(|source| source.signal(*value, None).expect("a rising value"));
    };
    let check = |(_, targets, value): &mut Linked| assert!(targets.iter().all(|target| target.value() == *value));
    Ok(prepared(&mut linked, prepare, signal, check, PREPARED, Some(2 * PREPARED as u64)))
}

/// Measures a future that is polled in vain, woken by a signal, and polled to its end.
fn futures() -> Result<Figures, Failure> {
    let (semaphore, mut value) = (Semaphore::new(0), 0);
    let mut cx = std::task::Context::from_waker(Waker::noop());
    let mut round = || {
        value += 1;
        let mut future = semaphore.future(value);
        assert!(Pin::new(&mut future).poll(&mut cx).is_pending());
        semaphore.signal(value, None).expect("a rising value");
        assert!(Pin::new(&mut future).poll(&mut cx).is_ready());
    };
    Ok(alone(&mut round, "no future of the standard library waits for a value"))
}

fn alone(round: &mut dyn FnMut(), note: &'static str) -> Figures {
    let timing = compare(&mut *round, None::<fn()>);
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| round()));
    Figures::of(timing, 1.0, note, counted.over(COUNTED_ROUNDS as f64))
}

/// Times `work` alone, on what `prepare` made ready; `finish` clears up. In turn with as many bare signals as `floor`
/// says. Figures are of one of `each`.
fn prepared<T>(
    state: &mut T,
    mut prepare: impl FnMut(&mut T),
    mut work: impl FnMut(&mut T),
    mut finish: impl FnMut(&mut T),
    each: usize,
    floor: Option<u64>,
) -> Figures {
    let clock = clock_read();
    let mut below = bare_signals(floor.unwrap_or(0));
    let timed = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        (start.elapsed().as_nanos() as f64 - clock).max(0.0) / each as f64
    };
    let measured = effort::rounds(PAIRS);
    let mut pairs = Vec::with_capacity(measured);
    let mut counted = Counted::default();
    let warm_up = effort::rounds(WARM_UP);
    for pair in 0..warm_up + measured {
        // Most slices are short: of several, the middle one, so that an interrupt takes one and not the pair.
        let mut slices = vec![(0.0, 0.0); if each > 1000 { 1 } else { 9 }];
        for slice in &mut slices {
            prepare(state);
            slice.0 = timed(&mut || work(state));
            finish(state);
            slice.1 = timed(&mut below);
        }
        if pair >= warm_up {
            let middle = |side: fn(&(f64, f64)) -> f64| median(slices.iter().map(side).collect());
            pairs.push((middle(|slice| slice.0), middle(|slice| slice.1)));
        }
    }
    let rounds = effort::size(100, 3);
    for _ in 0..rounds {
        prepare(state);
        counted += tally::count(|| work(state));
        finish(state);
    }
    let side = |side: fn(&(f64, f64)) -> f64| median(pairs.iter().map(side).collect());
    let floor = floor.map(|_| Floor { median: side(|pair| pair.1), ratio: side(|pair| pair.0 / pair.1.max(0.1)) });
    let floor = floor.ok_or("the system has no timeline semaphores");
    Figures::new(side(|pair| pair.0), floor, counted.over((rounds * each) as f64))
}

/// What the two reads of the clock around a slice cost by themselves.
fn clock_read() -> f64 {
    let reads = (0..1001).map(|_| {
        let start = Instant::now();
        start.elapsed().as_nanos() as f64
    });
    median(reads.collect())
}

/// Where operations go when they have ended.
#[allow(clippy::vec_box)] // an operation only ever lives in its box
type Pile = RefCell<Vec<Box<Op<SemaphoreWait, Return>>>>;

/// Puts its operation on the pile.
#[derive(Clone, Copy)]
struct Return(&'static Pile);

impl Complete<SemaphoreWait> for Return {
    fn done(op: Box<Op<SemaphoreWait, Return>>, outcome: Outcome<SemaphoreWait>, _: &mut Context<'_>) {
        outcome.result.expect("nothing fails");
        let pile = op.state.0;
        pile.borrow_mut().push(op);
    }
}

/// Waits on semaphores, the same again and again for rising values.
struct Waits {
    proactor: Proactor,
    semaphores: Vec<Semaphore>,
    #[allow(clippy::vec_box)] // as above
    ready: Vec<Box<Op<SemaphoreWait, Return>>>,
    pile: &'static Pile,
    value: Cell<u64>,
    count: usize,
}

impl Waits {
    /// `count` waits, shared out among so many semaphores.
    fn new(config: Configuration, semaphores: usize, count: usize) -> Result<Waits, Failure> {
        let told = |status: Status| Failure::status(config.name, &status);
        let limit = u32::try_from(count).unwrap_or(u32::MAX).max(1024);
        let proactor = config.builder().operations(limit).build().map_err(told)?;
        let semaphores: Vec<_> = (0..semaphores).map(|_| Semaphore::new(0)).collect();
        // Small, and to the program's end: see the row of nops.
        let pile: &'static Pile = Box::leak(Box::new(RefCell::new(Vec::with_capacity(count))));
        let wait = |index: usize| SemaphoreWait::new(semaphores[index % semaphores.len()].clone(), 0);
        let ready = (0..count).map(|index| Op::new(wait(index), Return(pile))).collect();
        Ok(Waits { proactor, semaphores, ready, pile, value: Cell::new(0), count })
    }

    fn submit(&mut self) {
        let value = self.value.get() + 1;
        self.value.set(value);
        self.ready.iter_mut().for_each(|op| op.kind.set_value(0, value));
        self.proactor.submit(&mut self.ready).expect("waits are valid");
    }

    #[inline]
    fn signal(&mut self) {
        let value = self.value.get();
        self.semaphores.iter().for_each(|semaphore| semaphore.signal(value, None).expect("a rising value"));
    }

    /// A wait from submit to callback, with its signal.
    fn round(&mut self) {
        self.submit();
        self.signal();
        self.collect();
    }

    /// Waits for what was signalled last.
    fn again(&mut self) {
        self.proactor.submit(&mut self.ready).expect("waits are valid");
        self.collect();
    }

    /// With how often an operation of such rounds enters the kernel.
    fn with_enters(&mut self, mut figures: Figures, mut round: impl FnMut(&mut Waits)) -> Figures {
        let rounds = effort::size(100, 3);
        let before = self.proactor.statistics().enters;
        (0..rounds).for_each(|_| round(self));
        let enters = self.proactor.statistics().enters - before;
        figures.costs.enters = Some(enters as f64 / (rounds * self.count) as f64);
        figures
    }

    fn collect(&mut self) {
        let mut ended = 0;
        while ended < self.count {
            ended += self.proactor.poll(Timeout::Infinite).expect("the backend works").completed;
        }
        std::mem::swap(&mut self.ready, &mut self.pile.borrow_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::settings;

    #[test]
    fn waits_come_back_on_every_backend_and_may_be_submitted_again() {
        for config in settings() {
            let Ok(mut waits) = Waits::new(config, 3, 7) else {
                eprintln!("skipped: {}", config.name);
                continue;
            };
            for round in 1..=3 {
                waits.round();
                waits.again();
                assert_eq!((waits.ready.len(), waits.pile.borrow().len()), (7, 0), "{}", config.name);
                assert!(waits.semaphores.iter().all(|semaphore| semaphore.value() == round));
            }
        }
    }
}
