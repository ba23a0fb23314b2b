//! Runs a graph on a scheduler: submits, takes work, and ends it, all in random turns.

use std::collections::HashMap;

use proact::causal::Axis;
use proact::status::{Code, Operation, Status};
use proact_schedule::model::{BufferId, Place, Point, QueueId, SemaphoreId, Submission};
use proact_schedule::pool::PoolOptions;
use proact_schedule::record::Recording;
use proact_schedule::{Handover, Order, QueueOptions, Scheduler, SchedulerOptions};

use crate::dag::{Dag, Random};

pub struct Run {
    pub scheduler: Scheduler<usize, Recording>,
    pub queues: Vec<QueueId>,
    pub semaphores: Vec<SemaphoreId>,
    pub places: HashMap<Place, usize>,
}

pub fn axis(queue: usize) -> Axis {
    Axis::queue(1, 0, 0, queue as u8)
}

const BLOCK: u64 = 1024;

/// Runs all of it. `memory`: submissions use buffers too.
pub fn run(dag: &Dag, options: SchedulerOptions, random: &mut Random, memory: bool) -> Run {
    let mut scheduler: Scheduler<usize, Recording> = Scheduler::with_recorder(options, Recording::default());
    let queues: Vec<QueueId> = dag
        .queues
        .iter()
        .enumerate()
        .map(|(index, queue)| {
            let order = if queue.in_order { Order::InOrder } else { Order::Overlapping };
            let handover = if queue.keeps_barriers { Handover::Issued } else { Handover::Ready };
            scheduler.add_queue(QueueOptions::new(axis(index), order).handover(handover)).unwrap()
        })
        .collect();
    let semaphores: Vec<SemaphoreId> = (0..dag.semaphores).map(|_| scheduler.add_semaphore(0)).collect();
    let pool = scheduler.add_pool(PoolOptions::new(6 * BLOCK));
    let (mut places, mut running, mut live) = (HashMap::new(), Vec::new(), Vec::<(BufferId, usize)>::new());
    let mut rest = dag.order.iter().copied();
    let mut next = rest.next();
    let hasty = random.below(100);
    loop {
        while let Some(work) = scheduler.next_work() {
            running.push(work);
        }
        let submits = next.is_some() && (running.is_empty() || random.chance(hasty));
        if let (Some(index), true) = (next, submits) {
            let node = &dag.nodes[index];
            let point = |&(semaphore, value): &(usize, u64)| Point::new(semaphores[semaphore], value);
            let waits: Vec<Point> = node.waits.iter().map(point).collect();
            let signals: Vec<Point> = node.signals.iter().map(point).collect();
            let queue = queues[node.queue];
            let mut buffers = Vec::new();
            if memory && random.chance(60) {
                match scheduler.acquire(pool, BLOCK, queue) {
                    Ok(acquired) => {
                        buffers.push(acquired.buffer);
                        live.push((acquired.buffer, node.queue));
                    }
                    Err(status) => assert_eq!(status.code(), Code::ResourceExhausted),
                }
            }
            if memory && !live.is_empty() && random.chance(30) {
                // On the queue that it was acquired for: on others a use may wait for what waits for it.
                let (shared, owner) = live[random.below(live.len())];
                if !buffers.contains(&shared) && owner == node.queue {
                    buffers.push(shared);
                }
            }
            let submission = Submission::new(queue).waits(&waits).signals(&signals).buffers(&buffers);
            places.insert(scheduler.submit(&submission, index).unwrap(), index);
            if !live.is_empty() && random.chance(60) {
                scheduler.release(live.swap_remove(random.below(live.len())).0).unwrap();
            }
            next = rest.next();
        } else if !running.is_empty() {
            let work = running.swap_remove(random.below(running.len()));
            if dag.nodes[work.payload].fails {
                scheduler.fail(work.place, Status::new(Code::DataLoss, Operation::None)).unwrap();
            } else {
                scheduler.complete(work.place).unwrap();
            }
        } else {
            break;
        }
    }
    assert_eq!(scheduler.in_flight(), 0, "something waits for ever");
    Run { scheduler, queues, semaphores, places }
}
