//! Submits a workload to a scheduler, and has simulated devices run it.

use proact::status::{Code, Operation, Result, Status};

use super::workload::{Step, Workload};
use super::{BARRIER_NS, Outcome};
use crate::model::{BufferId, Place, Point, PoolId, QueueId, SemaphoreId, Submission};
use crate::scenario::device::{Costs, Devices, Job, Timed};
use crate::{Handover, Policy, QueueOptions, Scheduler, SchedulerOptions};

/// A scheduler, and everything ready to be submitted to it.
pub(super) struct Stage<'a, R: Timed> {
    workload: &'a Workload,
    pub(super) scheduler: Scheduler<Job, R>,
    queues: Vec<QueueId>,
    pool: Option<PoolId>,
    /// The buffers that were acquired.
    pub(super) buffers: Vec<Option<BufferId>>,
    /// Waits and signals of each step, so that nothing is made while time is taken.
    points: Vec<(Vec<Point>, Vec<Point>)>,
    semaphores: Vec<SemaphoreId>,
    /// Where the jobs went.
    pub(super) places: Vec<Place>,
}

impl<'a, R: Timed> Stage<'a, R> {
    pub(super) fn new(workload: &'a Workload, policy: Policy, recorder: R) -> Result<Stage<'a, R>> {
        let mut scheduler = Scheduler::with_recorder(SchedulerOptions::new().policy(policy), recorder);
        let add = |&axis| scheduler.add_queue(QueueOptions::in_order(axis).handover(Handover::Issued));
        let queues: Vec<QueueId> = workload.queues.iter().map(add).collect::<Result<_>>()?;
        let semaphores: Vec<SemaphoreId> = (0..workload.semaphores).map(|_| scheduler.add_semaphore(0)).collect();
        let pool = workload.pool.clone().map(|options| scheduler.add_pool(options));
        let points = |values: &[(usize, u64)]| -> Vec<Point> {
            values.iter().map(|&(semaphore, value)| Point::new(semaphores[semaphore], value)).collect()
        };
        let points = workload.steps.iter().map(|step| match step {
            Step::Submit(submit) => (points(&submit.waits), points(&submit.signals)),
            Step::Acquire { .. } | Step::Release { .. } => (vec![], vec![]),
        });
        let points = points.collect();
        Ok(Stage {
            workload,
            scheduler,
            queues,
            pool,
            buffers: vec![None; workload.buffers],
            points,
            semaphores,
            places: Vec::with_capacity(workload.steps.len()),
        })
    }

    /// How many submissions there are.
    pub(super) fn submissions(&self) -> u64 {
        self.workload.steps.iter().filter(|step| matches!(step, Step::Submit(_))).count() as u64
    }

    /// Devices for all its queues.
    pub(super) fn devices(&self) -> Devices {
        Devices::new(self.queues.len(), self.workload.steps.len(), Costs { barrier: BARRIER_NS })
    }

    /// Takes every step: submits, acquires and releases, before anything runs. Once more when all of it has run, values
    /// go on where they were.
    ///
    /// # Errors
    /// None that is not a fault of the scheduler.
    pub(super) fn submit(&mut self) -> Result {
        if !self.places.is_empty() {
            for point in self.points.iter_mut().flat_map(|(waits, signals)| waits.iter_mut().chain(signals)) {
                point.value += self.workload.last_value(point.semaphore.index());
            }
            self.places.clear();
        }
        let mut buffers: Vec<BufferId> = Vec::with_capacity(4);
        for (step, (waits, signals)) in self.workload.steps.iter().zip(&self.points) {
            match step {
                Step::Submit(submit) => {
                    buffers.clear();
                    for &buffer in &submit.buffers {
                        buffers.push(self.buffers[buffer].expect("a case acquires before it uses"));
                    }
                    let queue = self.queues[submit.queue];
                    let submission = Submission::new(queue).waits(waits).signals(signals).buffers(&buffers);
                    let job = Job { number: self.places.len(), duration: submit.duration_ns };
                    let place = self.scheduler.submit(&submission, job).map_err(|refused| refused.status)?;
                    self.places.push(place);
                }
                &Step::Acquire { buffer, bytes, queue } => {
                    let pool = self.pool.expect("a case with buffers has a pool");
                    let acquired = self.scheduler.acquire(pool, bytes, self.queues[queue])?;
                    self.buffers[buffer] = Some(acquired.buffer);
                }
                &Step::Release { buffer } => {
                    self.scheduler.release(self.buffers[buffer].expect("a case acquires before it releases"))?;
                }
            }
        }
        Ok(())
    }

    /// How many of the questions can be answered from what was published. Before anything has run, since frontiers
    /// leave out what is over.
    fn answered(&self) -> u64 {
        let answers = self.workload.questions.iter().map(|question| {
            let (semaphore, value) = question.value;
            let causes = self.scheduler.causes(self.semaphores[semaphore], value);
            causes.is_some_and(|causes| causes.frontier.epoch(self.workload.queues[question.queue]) >= question.epoch)
        });
        answers.filter(|answered| *answered).count() as u64
    }
}

/// The outcome, what was recorded, and when each submission ran.
pub(super) type Ran<R> = (Outcome, R, Vec<(u64, u64)>);

/// Runs a workload.
pub(super) fn run<R: Timed>(workload: &Workload, policy: Policy, recorder: R) -> Result<Ran<R>> {
    let mut stage = Stage::new(workload, policy, recorder)?;
    stage.submit()?;
    let answered = stage.answered();
    let mut devices = stage.devices();
    devices.run(&mut stage.scheduler)?;
    let stuck = || Status::new(Code::Internal, Operation::Submit).with_message("a submission never ran");
    let spans = devices.spans[..stage.places.len()].iter().copied().collect::<Option<Vec<_>>>().ok_or_else(stuck)?;
    let counted = *stage.scheduler.statistics();
    // Semaphores are how a case is written; with events alone there are none.
    let semaphores = if policy == Policy::Events { 0 } else { counted.semaphores };
    let outcome = Outcome {
        policy,
        submissions: counted.submissions,
        waits: counted.waits,
        barriers: devices.barriers,
        memory_barriers: counted.memory_barriers,
        host_queries: counted.host_queries,
        objects: counted.events + semaphores,
        bytes: counted.event_bytes + counted.frontier_bytes + 8 * semaphores,
        reuse_hits: counted.reuse_hits,
        reuse_waits: counted.reuse_waits,
        blocks: counted.blocks_grown,
        entries_max: counted.frontier_entries_max,
        makespan_ns: devices.now(),
        questions: workload.questions.len() as u64,
        answered,
    };
    Ok((outcome, stage.scheduler.into_recorder(), spans))
}
