//! Runs a graph on a scheduler: submits, takes work, and ends it, all in random turns.

use std::collections::{HashMap, HashSet};

use proact::causal::Axis;
use proact::status::{Code, Operation, Status};
use proact_schedule::model::{BufferId, Place, Point, QueueId, SemaphoreId, Submission};
use proact_schedule::pool::PoolOptions;
use proact_schedule::record::Recording;
use proact_schedule::{Handover, Order, QueueOptions, Scheduler, SchedulerOptions, Work};

use crate::dag::Dag;
use crate::oracle::Oracle;
use crate::support::Random;

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

/// What was handed out: a queue that keeps barriers itself begins it when these allow it, and reports that later.
struct Handed {
    work: Work<usize>,
    has_run: bool,
}

/// Those of `handed` that can do their next step.
fn able(dag: &Dag, scheduler: &Scheduler<usize, Recording>, handed: &[Handed], run: &HashSet<Place>) -> Vec<usize> {
    let passed = |place: Place| run.contains(&place) || scheduler.has_ended(place);
    let may_begin = |own: &Handed| {
        let in_order = dag.queues[dag.nodes[own.work.payload].queue].in_order;
        let place = own.work.place;
        let is_before = |other: &&Handed| {
            let before = other.work.place;
            before.queue == place.queue && before.epoch < place.epoch
        };
        let first = !in_order || handed.iter().filter(is_before).all(|other| other.has_run);
        first && scheduler.barriers(place).iter().all(|barrier| passed(barrier.place))
    };
    (0..handed.len()).filter(|&index| handed[index].has_run || may_begin(&handed[index])).collect()
}

/// Runs all of it. `memory`: submissions use buffers too.
///
/// Each node that is to do well begins, where it really runs, only after all that it waits for itself has run.
pub fn run(dag: &Dag, options: SchedulerOptions, random: &mut Random, memory: bool) -> Run {
    let mut scheduler: Scheduler<usize, Recording> = Scheduler::with_recorder(options, Recording::default());
    let queues: Vec<QueueId> = dag
        .queues
        .iter()
        .enumerate()
        .map(|(index, queue)| {
            let order = if queue.in_order { Order::InOrder } else { Order::Overlapping };
            let handover = if queue.keeps_barriers { Handover::Issued } else { Handover::Ready };
            let options = QueueOptions::new(axis(index), order).handover(handover);
            let options = if queue.unexportable { options.unexportable() } else { options };
            scheduler.add_queue(options).unwrap()
        })
        .collect();
    let semaphores: Vec<SemaphoreId> = (0..dag.semaphores).map(|_| scheduler.add_semaphore(0)).collect();
    let pool = scheduler.add_pool(PoolOptions::new(6 * BLOCK));
    let (mut places, mut running, mut live) = (HashMap::new(), Vec::new(), Vec::<(BufferId, usize)>::new());
    let Oracle { producers, fails, .. } = Oracle::new(dag);
    let mut run: HashSet<Place> = HashSet::new();
    let mut nodes_run: HashSet<usize> = HashSet::new();
    let mut rest = dag.order.iter().copied();
    let mut next = rest.next();
    let hasty = random.below(100);
    loop {
        while let Some(work) = scheduler.next_work() {
            running.push(Handed { work, has_run: false });
        }
        let able = able(dag, &scheduler, &running, &run);
        let submits = next.is_some() && (able.is_empty() || random.chance(hasty));
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
        } else if !able.is_empty() {
            let at = able[random.below(able.len())];
            let Work { place, payload: index } = running[at].work;
            if !running[at].has_run {
                running[at].has_run = true;
                run.insert(place);
                let waited = producers[index].iter().all(|producer| nodes_run.contains(producer));
                // What waits for what failed may be run by a queue that keeps barriers, in vain.
                assert!(waited || dag.queues[dag.nodes[index].queue].keeps_barriers && fails[index], "node {index}");
                nodes_run.insert(index);
                if dag.queues[dag.nodes[index].queue].keeps_barriers && random.chance(70) {
                    continue;
                }
            }
            running.swap_remove(at);
            if dag.nodes[index].fails {
                scheduler.fail(place, Status::new(Code::DataLoss, Operation::None)).unwrap();
            } else {
                scheduler.complete(place).unwrap();
            }
        } else {
            break;
        }
    }
    assert_eq!(scheduler.in_flight(), 0, "something waits for ever");
    Run { scheduler, queues, semaphores, places }
}
