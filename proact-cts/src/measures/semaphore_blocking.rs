//! What it costs a thread to wait for a semaphore: one that has been signalled, and one that another thread signals, in
//! the three ways of waiting. Of no backend.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proact::sync::{Semaphore, WaitFlags};
use proact::time::Timeout;

use super::compare::{compare, median};
use super::effort;
use super::failure::Failure;
use super::figures::{Costs, Figures, Floor};
use super::measure::Measure;
use super::tally::{self, Counted};

pub(crate) const ROWS: &[Measure] = &[
    Measure::once("semaphore/blocking-satisfied", blocking_satisfied),
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

/// Waits of a round that block nobody: a clock read costs more than one.
const WAITS: u32 = 64;
/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u32 = 1000;

/// Measures a wait for a value that has been signalled long before; the floor is the load of a word.
fn blocking_satisfied() -> Result<Figures, Failure> {
    let (semaphore, word) = (Semaphore::new(7), AtomicU64::new(7));
    let mut round = || {
        for _ in 0..WAITS {
            let waited = black_box(&semaphore).wait(black_box(7), Timeout::Infinite, WaitFlags::empty());
            waited.expect("it has been signalled");
        }
    };
    let floor = || (0..WAITS).for_each(|_| assert!(black_box(&word).load(Ordering::Acquire) >= black_box(7)));
    let timing = compare(&mut round, Some(floor));
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| round()));
    Ok(Figures::of(timing, WAITS.into(), "", counted.over(f64::from(COUNTED_ROUNDS * WAITS))))
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

    #[test]
    fn half_trips_take_time_in_every_way_of_waiting() {
        for flags in [WaitFlags::empty(), WaitFlags::YIELD, WaitFlags::ACTIVE] {
            assert!(between_semaphores(flags, 3, &mut Counted::default()) > 0.0);
        }
        assert!(between_words(3) > 0.0 && between_parked(3) > 0.0);
    }
}
