//! What semaphores cost: signals, what they set off, and the three ways of waiting for one in a thread.
//!
//! Semaphores are of no backend; only what operations do with them is measured on each.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::hint::black_box;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use proact::causal::{Axis, Entry, Frontier};
use proact::operation::{Complete, Context, Op, Outcome, SemaphoreWait};
use proact::proactor::Proactor;
use proact::status::Status;
use proact::sync::{Semaphore, WaitFlags};
use proact::time::Timeout;

use super::compare::{compare, median};
use super::effort;
use super::failure::Failure;
use super::figures::{Costs, Figures, Floor};
use super::measure::Measure;
use super::tally::{self, Counted};
use crate::config::Configuration;

pub(crate) const ROWS: &[Measure] = &[
    Measure::once("semaphore/signal", || signals(0)),
    Measure::once("semaphore/signal-frontier", || signals(4)),
    Measure::each("semaphore/signal-timepoint", timepoints),
    Measure::each("semaphore/wait", waits),
    Measure::each("semaphore/fan-out/256", |config| fan_out(config, 256)),
    Measure::each("semaphore/fan-out/10000", |config| fan_out(config, effort::size(10_000, 500))),
    Measure::once("semaphore/link", links),
    Measure::once("semaphore/future", futures),
    Measure::once("semaphore/blocking-active", || blocking(WaitFlags::ACTIVE)),
    Measure::once("semaphore/blocking-yield", || blocking(WaitFlags::YIELD)),
    Measure::once("semaphore/blocking-block", || blocking(WaitFlags::empty())),
    #[cfg(unix)]
    Measure::once("semaphore/cpu-active", || occupied(WaitFlags::ACTIVE)),
    #[cfg(unix)]
    Measure::once("semaphore/cpu-yield", || occupied(WaitFlags::YIELD)),
    #[cfg(unix)]
    Measure::once("semaphore/cpu-block", || occupied(WaitFlags::empty())),
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

/// Measures a signal that an operation waits for: the call of it, with the poll thread awake.
fn timepoints(config: Configuration) -> Result<Figures, Failure> {
    let mut waits = Waits::new(config, PREPARED, PREPARED)?;
    Ok(prepared(&mut waits, Waits::submit, Waits::signal, Waits::collect, PREPARED, Some(PREPARED as u64)))
}

/// Measures a wait from submit to callback, with its signal.
fn waits(config: Configuration) -> Result<Figures, Failure> {
    let mut waits = Waits::new(config, 1, 1)?;
    let mut round = || {
        waits.submit();
        waits.signal();
        waits.collect();
    };
    Ok(alone(&mut round, "the system has no timeline semaphores; nop/1 beside it is an operation without one"))
}

/// Measures one signal that `count` operations wait for, until all are called back. Figures are of one of them.
fn fan_out(config: Configuration, count: usize) -> Result<Figures, Failure> {
    let mut waits = Waits::new(config, 1, count)?;
    let work = |waits: &mut Waits| {
        waits.signal();
        waits.collect();
    };
    Ok(prepared(&mut waits, Waits::submit, work, |_| {}, count, None))
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

    fn collect(&mut self) {
        let mut ended = 0;
        while ended < self.count {
            ended += self.proactor.poll(Timeout::Infinite).expect("the backend works").completed;
        }
        std::mem::swap(&mut self.ready, &mut self.pile.borrow_mut());
    }
}

/// Round trips of a slice between two threads, at most: fewer where they take longer than [`SLICE`] together.
const TRIPS: u64 = 64;
const TRIPS_MIN: u64 = 2;
const SLICE: Duration = Duration::from_millis(1);
/// Pairs of such slices.
const TRIP_PAIRS: usize = 151;
/// So many are made in any case, and no more once the budget is spent: threads that spin for each other on one CPU, or
/// on CPUs that others need, take milliseconds for a trip.
const TRIP_PAIRS_MIN: usize = 5;
const BUDGET: Duration = Duration::from_millis(500);

/// Measures the way from one thread's signal to another's return from its wait: half a round trip between two threads.
/// The floor of a wait that spins is a bare word that is spun on; of the others, two threads that park.
fn blocking(flags: WaitFlags) -> Result<Figures, Failure> {
    let spins = flags.effective() == WaitFlags::ACTIVE;
    let mut counted = Counted::default();
    let (start, mut trips) = (Instant::now(), TRIPS_MIN);
    // Doubled until they fill a slice: these are the warm-up, too.
    while trips < TRIPS {
        let once = Instant::now();
        between_semaphores(flags, trips, &mut counted);
        if once.elapsed() >= SLICE {
            break;
        }
        trips *= 2;
    }
    counted = Counted::default();
    let mut pairs = Vec::with_capacity(TRIP_PAIRS);
    while pairs.len() < TRIP_PAIRS && (pairs.len() < TRIP_PAIRS_MIN || start.elapsed() < effort::budget(BUDGET)) {
        let subject = between_semaphores(flags, trips, &mut counted);
        pairs.push((subject, if spins { between_words(trips) } else { between_parked(trips) }));
    }
    let side = |side: fn(&(f64, f64)) -> f64| median(pairs.iter().map(side).collect());
    let floor = Floor { median: side(|pair| pair.1), ratio: side(|pair| pair.0 / pair.1) };
    Ok(Figures::new(side(|pair| pair.0), Ok(floor), counted.over((pairs.len() as u64 * trips * 2) as f64)))
}

/// How long [`occupied`] lets a thread wait.
const WAIT: Duration = Duration::from_micros(100);

/// Measures how much of a CPU a thread takes that waits for 100 µs.
#[cfg(unix)]
fn occupied(flags: WaitFlags) -> Result<Figures, Failure> {
    let (semaphore, ready) = (Semaphore::new(0), Semaphore::new(0));
    const WAITS: u64 = 301;
    let mut taken = Vec::new();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut taken = Vec::with_capacity(WAITS as usize);
            for value in 1..=WAITS {
                let before = thread_time();
                ready.signal(value, None).expect("a rising value");
                semaphore.wait(value, Timeout::Infinite, flags).expect("nothing fails");
                taken.push(thread_time() - before);
            }
            taken
        });
        for value in 1..=WAITS {
            ready.wait(value, Timeout::Infinite, WaitFlags::empty()).expect("nothing fails");
            std::thread::sleep(WAIT);
            semaphore.signal(value, None).expect("a rising value");
        }
        taken = waiter.join().expect("the waiter does not panic");
    });
    let floor = Err("of the CPU's time, while another thread sleeps for 100 µs and then signals");
    Ok(Figures::new(median(taken), floor, Costs::UNKNOWN))
}

/// Nanoseconds of a CPU that this thread has had.
#[cfg(unix)]
fn thread_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Half of the time of a round trip: `there(n)` on this thread, and on another `back(n)`, which waits for it.
/// `within` runs the timed ones.
fn half_trip(
    trips: u64,
    mut there: impl FnMut(u64),
    back: impl Fn(u64) + Sync,
    within: impl FnOnce(&mut dyn FnMut()),
) -> f64 {
    let mut taken = 0.0;
    std::thread::scope(|scope| {
        scope.spawn(|| (1..=trips + 1).for_each(&back));
        // The first waits for the thread to begin.
        there(1);
        within(&mut || {
            let start = Instant::now();
            (2..=trips + 1).for_each(&mut there);
            taken = start.elapsed().as_nanos() as f64;
        });
    });
    taken / (2 * trips) as f64
}

/// Counts what is allocated from the second trip on: starting a thread is not the wait's.
fn between_semaphores(flags: WaitFlags, trips: u64, counted: &mut Counted) -> f64 {
    let (ping, pong) = (Semaphore::new(0), Semaphore::new(0));
    half_trip(
        trips,
        |value| {
            ping.signal(value, None).expect("a rising value");
            pong.wait(value, Timeout::Infinite, flags).expect("nothing fails");
        },
        |value| {
            ping.wait(value, Timeout::Infinite, flags).expect("nothing fails");
            pong.signal(value, None).expect("a rising value");
        },
        |timed| *counted += tally::count(timed),
    )
}

fn between_words(trips: u64) -> f64 {
    let (ping, pong) = (AtomicU64::new(0), AtomicU64::new(0));
    let wait = |word: &AtomicU64, value| {
        while word.load(Ordering::Acquire) < value {
            std::hint::spin_loop();
        }
    };
    half_trip(
        trips,
        |value| {
            ping.store(value, Ordering::SeqCst);
            wait(&pong, value);
        },
        |value| {
            wait(&ping, value);
            pong.store(value, Ordering::SeqCst);
        },
        |timed| timed(),
    )
}

/// Threads that park: on Linux a futex each.
fn between_parked(trips: u64) -> f64 {
    let here = std::thread::current();
    let there = std::sync::OnceLock::new();
    let (ping, pong) = (AtomicU64::new(0), AtomicU64::new(0));
    let wait = |word: &AtomicU64, value| {
        while word.load(Ordering::Acquire) < value {
            std::thread::park();
        }
    };
    half_trip(
        trips,
        |value| {
            ping.store(value, Ordering::SeqCst);
            // Before the other thread has said who it is, it looks by itself.
            if let Some(thread) = there.get() {
                std::thread::Thread::unpark(thread);
            }
            wait(&pong, value);
        },
        |value| {
            there.get_or_init(std::thread::current);
            wait(&ping, value);
            pong.store(value, Ordering::SeqCst);
            here.unpark();
        },
        |timed| timed(),
    )
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
                waits.submit();
                waits.signal();
                waits.collect();
                assert_eq!((waits.ready.len(), waits.pile.borrow().len()), (7, 0), "{}", config.name);
                assert!(waits.semaphores.iter().all(|semaphore| semaphore.value() == round));
            }
        }
    }

    #[test]
    fn half_trips_take_time_in_every_way_of_waiting() {
        for flags in [WaitFlags::empty(), WaitFlags::YIELD, WaitFlags::ACTIVE] {
            assert!(between_semaphores(flags, 3, &mut Counted::default()) > 0.0);
        }
        assert!(between_words(3) > 0.0 && between_parked(3) > 0.0);
    }
}
