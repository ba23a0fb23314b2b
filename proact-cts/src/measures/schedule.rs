//! What scheduling costs: plain data and one owner, no backend and no thread in it.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Instant;

use proact::causal::Axis;
use proact_schedule::model::{Place, Point, PoolId, QueueId, SemaphoreId, Submission};
use proact_schedule::pool::{PoolOptions, Reuse};
use proact_schedule::{QueueOptions, Scheduler, SchedulerOptions};

use super::compare::{compare, median};
use super::effort;
use super::failure::Failure;
use super::figures::{Figures, Floor};
use super::measure::Measure;
use super::tally::{self, Counted};

pub(crate) const ROWS: &[Measure] = &[
    Measure::once("schedule/submit", submitted),
    Measure::once("schedule/elide/4", || elided(4)),
    Measure::once("schedule/elide/16", || elided(16)),
    Measure::once("buffer/reuse", reused),
];

/// What is done in a round: a clock read costs more than one.
const EACH: u64 = 64;
/// Rounds over which allocations are counted.
const COUNTED_ROUNDS: u64 = 100;
/// Pairs of rounds of what has to be prepared; odd, so that a median is one of them.
const PAIRS: usize = 2001;
/// Rounds that are thrown away first.
const WARM_UP: usize = 50;

fn axis(queue: u8) -> Axis {
    Axis::queue(1, 0, 0, queue)
}

/// A scheduler with so many producers, each of which signals a semaphore of its own, and one consumer.
struct World {
    scheduler: Scheduler<u64>,
    producers: Vec<(QueueId, SemaphoreId)>,
    consumer: QueueId,
    /// What the producers have promised last.
    awaited: Vec<Point>,
}

impl World {
    fn new(producers: u8) -> World {
        let mut scheduler = Scheduler::new(SchedulerOptions::new());
        let mut queue = |number| scheduler.add_queue(QueueOptions::in_order(axis(number))).expect("a new axis");
        let queues: Vec<QueueId> = (0..producers).map(&mut queue).collect();
        let consumer = queue(producers);
        let producers: Vec<_> = queues.into_iter().map(|queue| (queue, scheduler.add_semaphore(0))).collect();
        let awaited = producers.iter().map(|&(_, semaphore)| Point::new(semaphore, 0)).collect();
        World { scheduler, producers, consumer, awaited }
    }

    fn submit(&mut self, submission: &Submission<'_>) -> Place {
        self.scheduler.submit(submission, 0).expect("it is valid")
    }

    /// Each producer promises its next value, and the consumer waits for all of them once.
    fn promise(&mut self) {
        for index in 0..self.producers.len() {
            self.awaited[index].value += 1;
            let signals = [self.awaited[index]];
            self.submit(&Submission::new(self.producers[index].0).signals(&signals));
        }
        self.consume();
    }

    /// The consumer waits for what the producers have promised last.
    fn consume(&mut self) {
        let submission = Submission::new(self.consumer).waits(&self.awaited);
        self.scheduler.submit(&submission, 0).expect("it is valid");
    }

    /// Ends all that was submitted.
    fn finish(&mut self) {
        while let Some(work) = self.scheduler.next_work() {
            self.scheduler.complete(work.place).expect("it runs");
        }
    }
}

/// Measures taking a submission all of whose waits are left out, because an earlier one of the queue implies them.
/// Against a table that says of each axis how far it is known to have come, and a ring.
fn elided(waits: u8) -> Result<Figures, Failure> {
    let mut world = World::new(waits);
    let needed: Vec<(u64, u64)> = (0..u64::from(waits)).map(|axis| (axis, 5)).collect();
    let known: Vec<u64> = vec![5; waits.into()];
    let mut ring = VecDeque::with_capacity(EACH as usize);
    let measured = effort::rounds(PAIRS);
    let mut pairs = Vec::with_capacity(measured);
    let mut counted = Counted::default();
    for pair in 0..WARM_UP + measured {
        world.promise();
        let before = world.scheduler.statistics().waits;
        let mut taken = 0.0;
        let mut subject = || {
            let start = Instant::now();
            (0..EACH).for_each(|_| world.consume());
            taken = start.elapsed().as_nanos() as f64 / EACH as f64;
        };
        match pair < WARM_UP {
            true => subject(),
            false => counted += tally::count(subject),
        }
        let after = world.scheduler.statistics().waits;
        assert_eq!(after.implied - before.implied, EACH * u64::from(waits), "every wait is left out");
        world.finish();
        let start = Instant::now();
        for epoch in 0..EACH {
            let enough = |&(axis, epoch): &(u64, u64)| known[axis as usize] >= epoch;
            ring.push_back((epoch, black_box(&needed).iter().all(enough)));
        }
        let least = start.elapsed().as_nanos() as f64 / EACH as f64;
        black_box(&mut ring).clear();
        if pair >= WARM_UP {
            pairs.push((taken, least));
        }
    }
    let middle = |value: fn(&(f64, f64)) -> f64| median(pairs.iter().map(value).collect());
    let floor = Floor { median: middle(|pair| pair.1), ratio: middle(|pair| pair.0 / pair.1) };
    Ok(Figures::new(middle(|pair| pair.0), Ok(floor), counted.over((measured as u64 * EACH) as f64)))
}

/// Times rounds of both sides in turn. Figures are of one of [`EACH`].
fn figures(mut round: impl FnMut(), floor: impl FnMut()) -> Figures {
    let timing = compare(&mut round, Some(floor));
    let counted = tally::count(|| (0..COUNTED_ROUNDS).for_each(|_| round()));
    Figures::of(timing, EACH as f64, "", counted.over((COUNTED_ROUNDS * EACH) as f64))
}

/// Measures a submission that signals the queue's semaphore, from submit to its end: taken, handed out, and ended.
/// Against a push and a pop of a ring.
fn submitted() -> Result<Figures, Failure> {
    let mut world = World::new(0);
    let semaphore = world.scheduler.add_semaphore(0);
    let mut value = 0;
    let mut ring = VecDeque::with_capacity(EACH as usize);
    let round = || {
        for _ in 0..EACH {
            let waits = [Point::new(semaphore, value)];
            value += 1;
            let signals = [Point::new(semaphore, value)];
            world.submit(&Submission::new(world.consumer).waits(&waits).signals(&signals));
            world.finish();
        }
    };
    let floor = || {
        for number in 0..EACH {
            ring.push_back(number);
            black_box(ring.pop_front());
        }
    };
    Ok(figures(round, floor))
}

/// Measures acquiring a block whose last users, on four queues, have not ended, but are known of; and releasing it.
/// Against a pop and a push of a list with a look at four numbers.
fn reused() -> Result<Figures, Failure> {
    let mut world = World::new(4);
    let pool: PoolId = world.scheduler.add_pool(PoolOptions::new(1 << 20));
    let consumer = world.consumer;
    let buffer = world.scheduler.acquire(pool, 4096, consumer).expect("within the budget").buffer;
    for index in 0..world.producers.len() {
        let buffers = [buffer];
        world.submit(&Submission::new(world.producers[index].0).buffers(&buffers));
    }
    world.promise();
    world.scheduler.release(buffer).expect("it is live");
    let (known, needed, mut free) = ([5_u64; 4], [5_u64; 4], vec![0_u32]);
    let round = || {
        for _ in 0..EACH {
            let acquired = world.scheduler.acquire(pool, 4096, black_box(consumer)).expect("it is free");
            assert_eq!(acquired.reuse, Reuse::Dominated);
            world.scheduler.release(acquired.buffer).expect("it is live");
        }
    };
    let floor = || {
        for _ in 0..EACH {
            let block = black_box(&mut free).pop().expect("it is free");
            assert!(black_box(&known).iter().zip(black_box(&needed)).all(|(known, needed)| known >= needed));
            free.push(block);
        }
    };
    Ok(figures(round, floor))
}
