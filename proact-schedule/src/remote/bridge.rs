//! A machine's stages on the machine's own scheduler.

use std::collections::BTreeMap;

use proact::causal::{Axis, Frontier, Knowledge};
use proact::status::{Code, Operation, Result, Status};

use super::coordinator::Coordinator;
use super::{Failure, Node, RemotePoint, RemoteWork, SemaphoreName, StageId};
use crate::model::{Point, QueueId, SemaphoreId, Submission};
use crate::record::Recorder;
use crate::{QueueOptions, Scheduler};

/// What a node that is [scheduled](super::NodeOptions::scheduled) has decided, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Fact {
    /// A stage was taken.
    Taken {
        /// What is to be run.
        work: RemoteWork,
        /// Waits for values of this machine's own that are promised here: the scheduler's to resolve.
        waits: Vec<RemotePoint>,
        /// There are others, of which the node will tell.
        gated: bool,
        /// What it promises.
        signals: Vec<RemotePoint>,
    },
    /// A stage was refused, and has taken its place.
    Refused(StageId, Failure),
    /// Of a gated stage the others are over.
    Cleared(StageId),
    /// A gated stage will not run.
    Doomed(StageId, Failure),
}

/// Has a [`Scheduler`] run the stages of a [`Node`]: with its tiers, its recorder and auditor, and beside work that has
/// nothing to do with other machines.
///
/// A stage is submitted to the scheduler when it is taken, before anything that it waits for is ready. Waits for values
/// that this machine has promised are the scheduler's. All others, of other machines' values and of such as nobody has
/// submitted yet, are the node's, for only that knows of losses: they are one wait on a *gate*, a value from outside
/// that the host waits for. Each client's queue on a device is a queue of the scheduler, in order, and handed what is
/// ready.
///
/// ```
/// use proact_schedule::remote::{Bridge, Node, RemoteWork};
/// use proact_schedule::remote::coordinator::Coordinator;
/// use proact_schedule::Scheduler;
/// use proact::time::Time;
///
/// /// Runs what can run now, after the node has been told what has happened.
/// fn run(now: Time, node: &mut Node<impl Coordinator>, bridge: &mut Bridge, scheduler: &mut Scheduler<RemoteWork>) {
///     bridge.follow(node, scheduler).unwrap();
///     while let Some(work) = scheduler.next_work() {
///         println!("{:?}", work.payload.payload);
///         scheduler.complete(work.place).unwrap();
///         node.complete(now, work.payload.stage).unwrap();
///         bridge.follow(node, scheduler).unwrap();
///     }
/// }
/// ```
#[derive(Debug, Default)]
pub struct Bridge {
    queues: BTreeMap<Axis, QueueId>,
    semaphores: BTreeMap<SemaphoreName, SemaphoreId>,
    /// Gates of stages that still wait: the value that lets them through.
    gates: BTreeMap<StageId, Point>,
    /// Gates that let their stage through, and the value that they have reached: used again. One that failed is not.
    spare: Vec<Point>,
}

impl Bridge {
    /// A bridge between a new node and a scheduler that knows none of the session's axes.
    pub fn new() -> Bridge {
        Bridge::default()
    }

    /// Tells the scheduler what the node has decided since the last time.
    ///
    /// # Errors
    /// What the scheduler refuses: for instance a queue whose axis it had from elsewhere.
    pub fn follow<C: Coordinator, R: Recorder>(
        &mut self,
        node: &mut Node<C>,
        scheduler: &mut Scheduler<RemoteWork, R>,
    ) -> Result {
        while let Some(fact) = node.next_fact() {
            match fact {
                Fact::Taken { work, waits, gated, signals } => {
                    self.submit(scheduler, work, &waits, gated, &signals)?;
                }
                Fact::Refused(stage, failure) => {
                    let work = RemoteWork { stage, device: 0, client: stage.client(), payload: Vec::new() };
                    self.submit(scheduler, work, &[], true, &[])?;
                    self.fail(scheduler, stage, &failure);
                }
                Fact::Cleared(stage) => {
                    if let Some(gate) = self.gates.remove(&stage) {
                        // Whatever caused it has ended: there is nothing left to wait for.
                        scheduler.signal(gate, &Knowledge::exact(Frontier::new()))?;
                        self.spare.push(gate);
                    }
                }
                Fact::Doomed(stage, failure) => self.fail(scheduler, stage, &failure),
            }
        }
        Ok(())
    }

    fn submit<R: Recorder>(
        &mut self,
        scheduler: &mut Scheduler<RemoteWork, R>,
        work: RemoteWork,
        waits: &[RemotePoint],
        gated: bool,
        signals: &[RemotePoint],
    ) -> Result {
        let stage = work.stage;
        let queue = match self.queues.get(&stage.axis) {
            Some(&queue) => queue,
            None => {
                let queue = scheduler.add_queue(QueueOptions::in_order(stage.axis))?;
                self.queues.insert(stage.axis, queue);
                queue
            }
        };
        let mut semaphore = |name| *self.semaphores.entry(name).or_insert_with(|| scheduler.add_semaphore(0));
        let mut point = |point: &RemotePoint| Point::new(semaphore(point.semaphore), point.value);
        let mut waits: Vec<Point> = waits.iter().map(&mut point).collect();
        let signals: Vec<Point> = signals.iter().map(&mut point).collect();
        if gated {
            let used = self.spare.pop().unwrap_or_else(|| Point::new(scheduler.add_semaphore(0), 0));
            let gate = Point::new(used.semaphore, used.value + 1);
            self.gates.insert(stage, gate);
            waits.push(gate);
        }
        let submission = Submission::new(queue).waits(&waits).signals(&signals);
        let place = scheduler.submit(&submission, work).map_err(|refused| refused.status)?;
        debug_assert_eq!(place.epoch, stage.epoch, "the scheduler counts as the client does");
        Ok(())
    }

    fn fail<R: Recorder>(&mut self, scheduler: &mut Scheduler<RemoteWork, R>, stage: StageId, failure: &Failure) {
        if let Some(gate) = self.gates.remove(&stage) {
            let status = Status::new(Code::Unavailable, Operation::SemaphoreWait).with_message(failure.to_string());
            scheduler.fail_semaphore(gate.semaphore, status);
        }
    }
}
