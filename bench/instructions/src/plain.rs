//! What needs no kernel: frontiers, their tracker, semaphores, pools, the scheduler.

use std::hint::black_box;

use proact::causal::{Axis, Entry, Frontier};
use proact::memory::{Allocation, BufferPool, Slab};
use proact::sync::{Semaphore, Tracker};
use proact_schedule::model::{Point, Submission};
use proact_schedule::{QueueOptions, Scheduler, SchedulerOptions};

use crate::{Prepare, TIMES, WARM_UP};

pub(super) const CASES: &[(&str, Prepare)] = &[
    ("frontier/compare/4", || {
        let (a, b) = (ladder(0, 1, 4, 5), ladder(0, 1, 4, 5));
        Ok(Box::new(move || _ = black_box(black_box(&a).compare(black_box(&b)))))
    }),
    ("frontier/compare/16", || {
        let (a, b) = (ladder(0, 1, 16, 5), ladder(0, 1, 16, 5));
        Ok(Box::new(move || _ = black_box(black_box(&a).compare(black_box(&b)))))
    }),
    ("frontier/merge/4", || {
        // Each further than the one before, so that each merge raises every entry.
        let all: Vec<Frontier> = (1..=u64::from(TIMES + WARM_UP)).map(|epoch| ladder(0, 1, 4, 1 + epoch)).collect();
        let (mut a, mut times) = (ladder(0, 1, 4, 1), 0);
        Ok(Box::new(move || {
            black_box(&mut a).merge(black_box(&all[times])).expect("the same axes");
            debug_assert_eq!(a, all[times], "all of it was raised");
            times += 1;
        }))
    }),
    ("frontier/merge-interleaved/16", || {
        let (even, odd, mut target) = (ladder(0, 2, 16, 5), ladder(1, 2, 16, 5), ladder(0, 1, 32, 1));
        Ok(Box::new(move || {
            target.clone_from(black_box(&even));
            black_box(&mut target).merge(black_box(&odd)).expect("room for both");
        }))
    }),
    ("tracker/advance", || {
        let tracker = Tracker::new();
        let handle = tracker.register(axis(1))?;
        let mut epoch = 0;
        Ok(Box::new(move || {
            epoch += 1;
            assert!(handle.tracker().advance(axis(1), epoch).expect("it is registered"));
        }))
    }),
    ("semaphore/signal", || {
        let (semaphore, mut value) = (Semaphore::new(0), 0);
        Ok(Box::new(move || {
            value += 1;
            semaphore.signal(value, None).expect("a rising value");
        }))
    }),
    ("semaphore/signal-frontier", || {
        let (semaphore, causes, mut value) = (Semaphore::new(0), ladder(0, 1, 4, 7), 0);
        Ok(Box::new(move || {
            value += 1;
            semaphore.signal(value, black_box(Some(&causes))).expect("a rising value");
        }))
    }),
    ("buffer/acquire-release", || {
        let pool = BufferPool::new(Slab::allocate(4096, 64, &Allocation::new())?)?;
        Ok(Box::new(move || _ = black_box(pool.acquire().expect("no other has one"))))
    }),
    ("schedule/elide/4", || elide(4)),
    ("schedule/elide/16", || elide(16)),
];

/// `count` axes from `first` on, `step` apart, at `epoch`.
fn ladder(first: u8, step: u8, count: u8, epoch: u64) -> Frontier {
    let entry = |index| Entry::new(axis(first + index * step), epoch);
    Frontier::from_entries(&(0..count).map(entry).collect::<Vec<_>>()).expect("ascending")
}

fn axis(queue: u8) -> Axis {
    Axis::queue(1, 0, 0, queue)
}

/// Producers promise values that a consumer waits for; its next submission waits for the same, which is implied. Then
/// all of them end.
fn elide(producers: u8) -> Result<crate::Case, Box<dyn std::error::Error>> {
    let mut scheduler: Scheduler<u64> = Scheduler::new(SchedulerOptions::new());
    let queues = (0..producers).map(|number| scheduler.add_queue(QueueOptions::in_order(axis(number))));
    let queues = queues.collect::<Result<Vec<_>, _>>()?;
    let consumer = scheduler.add_queue(QueueOptions::in_order(axis(producers)))?;
    let mut awaited: Vec<_> = queues.iter().map(|_| Point::new(scheduler.add_semaphore(0), 0)).collect();
    Ok(Box::new(move || {
        for (queue, point) in queues.iter().zip(&mut awaited) {
            point.value += 1;
            scheduler.submit(&Submission::new(*queue).signals(&[*point]), 0).expect("it is valid");
        }
        for _ in 0..2 {
            scheduler.submit(&Submission::new(consumer).waits(&awaited), 0).expect("it is valid");
        }
        while let Some(work) = scheduler.next_work() {
            scheduler.complete(work.place).expect("it runs");
        }
    }))
}
