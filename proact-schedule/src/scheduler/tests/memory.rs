//! Memory is used again when that is safe, and by the cheapest means.

use super::*;
use crate::model::BufferId;
use crate::pool::{PoolOptions, Reuse};

const BYTES: u64 = 4096;

impl World {
    fn acquire(&mut self, pool: PoolId, queue: usize) -> (BufferId, Reuse) {
        let acquired = self.scheduler.acquire(pool, BYTES, self.queues[queue]).unwrap();
        (acquired.buffer, acquired.reuse)
    }

    fn touch(&mut self, queue: usize, buffer: BufferId) -> Place {
        let submission = Submission::new(self.queues[queue]);
        self.scheduler.submit(&submission.buffers(&[buffer]), 0).unwrap()
    }
}

#[test]
fn a_block_is_used_again_by_who_knows_of_its_end() {
    let mut world = world(3, 1);
    let pool = world.scheduler.add_pool(PoolOptions::new(2 * BYTES).waits(false));
    let (buffer, reuse) = world.acquire(pool, 0);
    assert_eq!(reuse, Reuse::Grown);
    world.touch(0, buffer);
    world.submit(0, &[], &[(0, 1)]);
    world.scheduler.release(buffer).unwrap();
    // The same queue.
    let (buffer, reuse) = world.acquire(pool, 0);
    assert_eq!((reuse, buffer.block()), (Reuse::Dominated, 0));
    world.scheduler.release(buffer).unwrap();
    // One that has heard of it.
    world.submit(1, &[(0, 1)], &[]);
    let (buffer, reuse) = world.acquire(pool, 1);
    assert_eq!((reuse, buffer.block()), (Reuse::Dominated, 0));
    let again = world.touch(1, buffer);
    assert!(world.scheduler.barriers(again).is_empty());
    world.scheduler.release(buffer).unwrap();
    // One that has not.
    let (other, reuse) = world.acquire(pool, 2);
    assert_eq!((reuse, other.block()), (Reuse::Grown, 1));
    let full = world.scheduler.acquire(pool, BYTES, world.queues[2]).unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
    let statistics = world.scheduler.statistics();
    assert_eq!((statistics.reuse_hits, statistics.blocks_grown, statistics.exhausted), (2, 2, 1));
}

#[test]
fn a_wait_that_reuse_needs_is_kept_by_every_use() {
    let mut world = world(3, 0);
    let pool = world.scheduler.add_pool(PoolOptions::new(BYTES));
    let (buffer, _) = world.acquire(pool, 0);
    let before = world.touch(0, buffer);
    world.scheduler.release(buffer).unwrap();
    let (buffer, reuse) = world.acquire(pool, 1);
    assert_eq!(reuse, Reuse::Waits { barriers: 1 });
    // On another queue than it was acquired for as well.
    for queue in [1, 2] {
        let user = world.touch(queue, buffer);
        assert_eq!(world.scheduler.barriers(user), [Barrier { axis: axis(0), place: before }]);
    }
    assert_eq!(world.begin(), [before]);
    world.complete(before);
    assert_eq!(world.begin().len(), 2);
}

#[test]
fn a_released_buffer_cannot_be_named() {
    let mut world = world(1, 0);
    let pool = world.scheduler.add_pool(PoolOptions::new(BYTES));
    let (buffer, _) = world.acquire(pool, 0);
    world.scheduler.release(buffer).unwrap();
    world.acquire(pool, 0);
    assert_eq!(world.scheduler.release(buffer).unwrap_err().code(), Code::InvalidArgument);
    let stale = [buffer];
    let refused = world.scheduler.submit(&Submission::new(world.queues[0]).buffers(&stale), 0).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
}

#[test]
fn a_block_that_is_not_sure_to_become_free_is_not_waited_for() {
    let mut world = world(2, 1);
    let pool = world.scheduler.add_pool(PoolOptions::new(2 * BYTES));
    let (buffer, _) = world.acquire(pool, 0);
    // What it waits for is promised only by who asks for memory next.
    let (queue, waits) = (world.queues[0], world.points(&[(0, 1)]));
    world.scheduler.submit(&Submission::new(queue).waits(&waits).buffers(&[buffer]), 0).unwrap();
    world.scheduler.release(buffer).unwrap();
    assert_eq!(world.acquire(pool, 1).1, Reuse::Grown);
}

#[test]
fn a_block_with_too_many_users_is_tainted_and_heals() {
    let mut world = world(12, 0);
    let pool = world.scheduler.add_pool(PoolOptions::new(2 * BYTES));
    let (buffer, _) = world.acquire(pool, 0);
    for queue in 0..9 {
        world.touch(queue, buffer);
    }
    world.scheduler.release(buffer).unwrap();
    assert_eq!(world.acquire(pool, 11).1, Reuse::Grown);
    let running = world.begin();
    for place in running {
        let refused = world.scheduler.acquire(pool, BYTES, world.queues[11]).unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        world.complete(place);
    }
    let (healed, reuse) = world.acquire(pool, 11);
    assert_eq!((healed.block(), reuse), (0, Reuse::Dominated));
    let statistics = world.scheduler.statistics();
    assert_eq!((statistics.blocks_tainted, statistics.blocks_healed), (1, 1));
}

#[test]
fn a_larger_block_is_used_before_a_new_one_is_made() {
    let mut world = world(1, 0);
    let pool = world.scheduler.add_pool(PoolOptions::new(8 * BYTES));
    let large = world.scheduler.acquire(pool, 2 * BYTES, world.queues[0]).unwrap().buffer;
    world.scheduler.release(large).unwrap();
    let (buffer, reuse) = world.acquire(pool, 0);
    assert_eq!((reuse, world.scheduler.bytes(buffer)), (Reuse::Larger, 2 * BYTES));
    assert_eq!(world.scheduler.pool_bytes(pool), 2 * BYTES);
}

#[test]
fn only_the_last_life_of_a_block_is_waited_for() {
    let mut world = world(4, 0);
    let pool = world.scheduler.add_pool(PoolOptions::new(BYTES));
    for queue in 0..4 {
        let (buffer, reuse) = world.acquire(pool, queue);
        assert_eq!(reuse, if queue == 0 { Reuse::Grown } else { Reuse::Waits { barriers: 1 } });
        let user = world.touch(queue, buffer);
        // Who used it last has waited for all before.
        assert_eq!(world.scheduler.barriers(user).len(), queue.min(1));
        world.scheduler.release(buffer).unwrap();
    }
    // A life without any use leaves what was there before.
    for _ in 0..2 {
        let (unused, reuse) = world.acquire(pool, 0);
        assert_eq!(reuse, Reuse::Waits { barriers: 1 });
        world.scheduler.release(unused).unwrap();
    }
}

#[test]
fn a_full_pool_gives_any_larger_block_rather_than_none() {
    let mut world = world(2, 0);
    let pool = world.scheduler.add_pool(PoolOptions::new(64 * BYTES));
    let large = world.scheduler.acquire(pool, 64 * BYTES, world.queues[0]).unwrap().buffer;
    world.touch(0, large);
    world.scheduler.release(large).unwrap();
    let (buffer, reuse) = world.acquire(pool, 1);
    assert_eq!((reuse, world.scheduler.bytes(buffer)), (Reuse::Waits { barriers: 1 }, 64 * BYTES));
    world.scheduler.release(buffer).unwrap();
    let (buffer, reuse) = world.acquire(pool, 0);
    assert_eq!((reuse, world.scheduler.bytes(buffer)), (Reuse::Larger, 64 * BYTES));
    assert_eq!(world.scheduler.acquire(pool, BYTES, world.queues[0]).unwrap_err().code(), Code::ResourceExhausted);
    // Of a pool that does not wait, not one that would have to be waited for.
    let pool = world.scheduler.add_pool(PoolOptions::new(64 * BYTES).waits(false));
    let large = world.scheduler.acquire(pool, 64 * BYTES, world.queues[0]).unwrap().buffer;
    world.touch(0, large);
    world.scheduler.release(large).unwrap();
    assert_eq!(world.scheduler.acquire(pool, BYTES, world.queues[1]).unwrap_err().code(), Code::ResourceExhausted);
}

#[test]
fn with_events_each_use_has_to_be_asked_about() {
    for (policy, queries) in [(Policy::Events, 100), (Policy::Timelines, 0), (Policy::Frontiers, 0)] {
        let mut scheduler: Scheduler<()> = Scheduler::new(SchedulerOptions::new().policy(policy));
        let queue = scheduler.add_queue(QueueOptions::in_order(axis(0))).unwrap();
        let pool = scheduler.add_pool(PoolOptions::new(BYTES));
        let buffer = scheduler.acquire(pool, BYTES, queue).unwrap().buffer;
        for _ in 0..100 {
            scheduler.submit(&Submission::new(queue).buffers(&[buffer]), ()).unwrap();
        }
        scheduler.release(buffer).unwrap();
        scheduler.acquire(pool, BYTES, queue).unwrap();
        assert_eq!(scheduler.statistics().host_queries, queries, "{policy:?}");
    }
}
