//! A scheduler that runs for long takes no more memory than one that has run for a while, and allocates nothing.
//!
//! A program of its own, and one test in it, because the counting allocator serves the whole process: what reports and
//! starts tests allocates too.

use std::alloc::System;

use proact::causal::Axis;
use proact_schedule::model::{Place, Point, QueueId, SemaphoreId, Submission};
use proact_schedule::pool::{PoolOptions, Reuse};
use proact_schedule::{Order, QueueOptions, Scheduler, SchedulerOptions};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use support::Random;

mod support;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Calls to the allocator so far, and bytes that are held.
fn allocator() -> (usize, usize) {
    let stats = ALLOCATOR.stats();
    let calls = stats.allocations + stats.reallocations;
    (calls, stats.bytes_allocated - stats.bytes_deallocated)
}

fn axis(queue: usize) -> Axis {
    Axis::queue(1, 0, 0, queue as u8)
}

/// Queues that signal a semaphore each, and wait for each other's latest values.
struct World {
    scheduler: Scheduler<()>,
    queues: Vec<(QueueId, SemaphoreId, u64)>,
    running: Vec<Place>,
    random: Random,
}

impl World {
    /// Every eighth queue is an overlapping one.
    fn new(queues: usize) -> World {
        let mut scheduler = Scheduler::new(SchedulerOptions::new());
        let queues = (0..queues)
            .map(|index| {
                let order = if index % 8 == 7 { Order::Overlapping } else { Order::InOrder };
                let queue = scheduler.add_queue(QueueOptions::new(axis(index), order)).unwrap();
                (queue, scheduler.add_semaphore(0), 0)
            })
            .collect();
        World { scheduler, queues, running: Vec::new(), random: Random(1) }
    }

    fn submit(&mut self) {
        let own = self.random.below(self.queues.len());
        let mut waits = [Point::new(self.queues[0].1, 0); 4];
        for wait in &mut waits {
            let (_, semaphore, value) = self.queues[self.random.below(self.queues.len())];
            *wait = Point::new(semaphore, value);
        }
        let (queue, semaphore, value) = &mut self.queues[own];
        *value += 1;
        let signals = [Point::new(*semaphore, *value)];
        self.scheduler.submit(&Submission::new(*queue).waits(&waits).signals(&signals), ()).unwrap();
    }

    /// Ends something, so that no more than `in_flight` are left.
    fn keep(&mut self, in_flight: u64) {
        while self.scheduler.in_flight() > in_flight {
            while let Some(work) = self.scheduler.next_work() {
                self.running.push(work.place);
            }
            let place = self.running.swap_remove(self.random.below(self.running.len()));
            self.scheduler.complete(place).unwrap();
        }
    }

    fn go_on(&mut self, submissions: usize) {
        for _ in 0..submissions {
            self.submit();
            self.keep(64);
        }
    }
}

fn a_million_submissions_over_64_queues_take_no_more_memory_than_a_tenth_of_them() {
    let mut world = World::new(64);
    world.go_on(100_000);
    let (_, early) = allocator();
    world.go_on(900_000);
    let (_, late) = allocator();
    assert_eq!(world.scheduler.statistics().submissions, 1_000_000);
    // A ring or two may still have met a longer line than ever before.
    assert!(late < early + early / 10, "{early} bytes, then {late}");
    world.keep(0);
    let statistics = world.scheduler.statistics();
    assert_eq!((statistics.completed, statistics.failed), (1_000_000, 0));
    assert!(statistics.waits.implied > 100_000 && statistics.pruned > 100_000, "{statistics:?}");
    assert!(statistics.frontier_entries_max <= 65, "{statistics:?}");
}

fn elided_waits_and_their_submissions_allocate_nothing() {
    let mut scheduler: Scheduler<()> = Scheduler::new(SchedulerOptions::new());
    let queues: Vec<_> =
        (0..5).map(|index| scheduler.add_queue(QueueOptions::in_order(axis(index))).unwrap()).collect();
    let semaphores: Vec<_> = (0..5).map(|_| scheduler.add_semaphore(0)).collect();
    let mut counted = 0;
    for round in 1..=200 {
        let waits: Vec<Point> = semaphores[..4].iter().map(|&semaphore| Point::new(semaphore, round)).collect();
        for (queue, wait) in queues.iter().zip(&waits) {
            scheduler.submit(&Submission::new(*queue).signals(&[*wait]), ()).unwrap();
        }
        scheduler.submit(&Submission::new(queues[4]).waits(&waits), ()).unwrap();
        let (before, elided) = (allocator().0, scheduler.statistics().waits.implied);
        for step in 1..=64 {
            let signals = [Point::new(semaphores[4], 64 * round + step)];
            scheduler.submit(&Submission::new(queues[4]).waits(&waits).signals(&signals), ()).unwrap();
        }
        assert_eq!(scheduler.statistics().waits.implied - elided, 256);
        while let Some(work) = scheduler.next_work() {
            scheduler.complete(work.place).unwrap();
        }
        if round > 100 {
            counted += allocator().0 - before;
        }
    }
    assert_eq!(counted, 0);
}

fn a_block_that_is_used_again_allocates_nothing() {
    let mut scheduler: Scheduler<()> = Scheduler::new(SchedulerOptions::new());
    let queue = scheduler.add_queue(QueueOptions::in_order(axis(0))).unwrap();
    let pool = scheduler.add_pool(PoolOptions::new(1 << 20));
    let mut counted = 0;
    for round in 0..200 {
        let before = allocator().0;
        let acquired = scheduler.acquire(pool, 4096, queue).unwrap();
        assert_eq!(acquired.reuse, if round == 0 { Reuse::Grown } else { Reuse::Dominated });
        scheduler.submit(&Submission::new(queue).buffers(&[acquired.buffer]), ()).unwrap();
        scheduler.release(acquired.buffer).unwrap();
        if round % 3 == 0 {
            while let Some(work) = scheduler.next_work() {
                scheduler.complete(work.place).unwrap();
            }
        }
        if round > 100 {
            counted += allocator().0 - before;
        }
    }
    assert_eq!(counted, 0);
}

#[test]
fn what_runs_for_long_holds_no_more_and_allocates_nothing() {
    elided_waits_and_their_submissions_allocate_nothing();
    a_block_that_is_used_again_allocates_nothing();
    a_million_submissions_over_64_queues_take_no_more_memory_than_a_tenth_of_them();
}
