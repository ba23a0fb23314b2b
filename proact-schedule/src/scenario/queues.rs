//! A scenario on the scheduler proper, where queues are the axes.
//!
//! Each lane that a [`Run`] used is an in-order queue with a simulated device; each operation is one submission to the
//! queue of the lane that it had, in the order in which the operations started there. All are submitted before any has
//! begun. The outcome is then the same to the tick: what changes is who knows what by which name, and that most waits
//! need not be issued.

use proact::causal::{Axis, Domain, Frontier};
use proact::status::{Code, Operation, Result, Status};

use super::device::{Costs, Devices, Job, Timed};
use super::graph::Graph;
use super::run::Run;
use crate::model::{Point, Resolution, SemaphoreId, Submission};
use crate::record::{Recording, Silent};
use crate::{Handover, Policy, QueueOptions, Scheduler, SchedulerOptions, Statistics};

/// What came of a scenario on queues.
#[derive(Clone, Debug)]
pub struct QueueRun {
    /// The queues: the class of lanes and the lane that each is.
    pub queues: Vec<(usize, usize)>,
    /// When each operation ran, in ticks, in the graph's order.
    pub spans: Vec<(u64, u64)>,
    /// What each operation knows when it has ended: entries are queues, [by their axes](QueueRun::axis).
    pub frontiers: Vec<Frontier>,
    /// Whether each of these frontiers is all there is to know. One is not if it had no room.
    pub exact: Vec<bool>,
    /// How the waits of each operation were resolved, in the order of its node.
    pub resolutions: Vec<Vec<Resolution>>,
    /// When the last operation ended.
    pub makespan: u64,
    /// What the scheduler counted.
    pub statistics: Statistics,
}

impl QueueRun {
    /// Runs the operations of `run` on queues.
    ///
    /// # Errors
    /// `OutOfRange` for more than 65536 lanes. Anything else is a fault of the scheduler.
    pub fn of(run: &Run<'_>, policy: Policy) -> Result<QueueRun> {
        Ok(QueueRun::with_recorder(run, policy, Silent)?.0)
    }

    /// As [`QueueRun::of`], with a recording of all that happened. Its times are in ticks.
    ///
    /// # Errors
    /// As [`QueueRun::of`].
    pub fn recorded(run: &Run<'_>, policy: Policy) -> Result<(QueueRun, Recording)> {
        QueueRun::with_recorder(run, policy, Recording::default())
    }

    /// The axis of a queue, by its place in [`QueueRun::queues`].
    pub fn axis(queue: usize) -> Axis {
        let bits = ((queue as u64) >> 8) << 32 | ((queue as u64) & 0xff) << 24;
        Axis::new(1, 0, Domain::Queue, bits).expect("two bytes, in the place of device and queue")
    }

    /// A frontier as queues, by their place in [`QueueRun::queues`], and epochs.
    pub fn entries(&self, node: usize) -> impl Iterator<Item = (usize, u64)> + '_ {
        self.frontiers[node].entries().iter().map(|entry| {
            let device = usize::from(entry.axis.device().unwrap_or_default());
            let queue = usize::from(entry.axis.queue_number().unwrap_or_default());
            (device << 8 | queue, entry.epoch)
        })
    }

    fn with_recorder<R: Timed>(run: &Run<'_>, policy: Policy, recorder: R) -> Result<(QueueRun, R)> {
        let graph = run.graph();
        let queues = lanes(run);
        if queues.len() > 65536 {
            let message = format!("{} lanes are more than axes have room for", queues.len());
            return Err(Status::new(Code::OutOfRange, Operation::Submit).with_message(message));
        }
        // Whole histories are to be seen, and compared with what the waits say.
        let options = SchedulerOptions::new().policy(policy).pruning(false).capacity(Frontier::ENTRIES_MAX);
        let mut scheduler: Scheduler<Job, R> = Scheduler::with_recorder(options, recorder);
        let mut ids = Vec::with_capacity(queues.len());
        for queue in 0..queues.len() {
            let options = QueueOptions::in_order(QueueRun::axis(queue)).handover(Handover::Issued);
            ids.push(scheduler.add_queue(options)?);
        }
        let semaphores: Vec<SemaphoreId> = graph.timelines().iter().map(|_| scheduler.add_semaphore(0)).collect();
        let nodes = graph.nodes().len();
        let mut done = QueueRun {
            spans: vec![],
            frontiers: vec![Frontier::new(); nodes],
            exact: vec![true; nodes],
            resolutions: vec![vec![]; nodes],
            makespan: 0,
            statistics: Statistics::default(),
            queues,
        };
        for node in order(run) {
            let this = &graph.nodes()[node];
            let lane = (this.class, run.intervals()[node].lane);
            let queue = ids[done.queues.binary_search(&lane).expect("every lane that was used has a queue")];
            let points = |values: &[(usize, u64)]| -> Vec<Point> {
                values.iter().map(|&(timeline, value)| Point::new(semaphores[timeline], value)).collect()
            };
            let (waits, signals) = (points(&this.waits), points(&this.signals));
            let job = Job { number: node, duration: this.duration };
            let submission = Submission::new(queue).waits(&waits).signals(&signals);
            let place = scheduler.submit(&submission, job).map_err(|refused| refused.status)?;
            done.resolutions[node] = scheduler.resolutions(place).to_vec();
            let known = scheduler.knowledge(queue);
            done.exact[node] = known.is_exact();
            done.frontiers[node] = known.frontier;
        }
        let mut devices = Devices::new(done.queues.len(), nodes, Costs::default());
        devices.run(&mut scheduler)?;
        let stuck = || Status::new(Code::Internal, Operation::Submit).with_message("an operation never ran");
        done.spans = devices.spans.iter().copied().collect::<Option<_>>().ok_or_else(stuck)?;
        done.makespan = devices.now();
        done.statistics = *scheduler.statistics();
        Ok((done, scheduler.into_recorder()))
    }
}

/// The lanes that were used, ascending.
fn lanes(run: &Run<'_>) -> Vec<(usize, usize)> {
    let nodes = run.graph().nodes().iter().zip(run.intervals());
    let mut lanes: Vec<(usize, usize)> = nodes.map(|(node, interval)| (node.class, interval.lane)).collect();
    lanes.sort_unstable();
    lanes.dedup();
    lanes
}

/// By start. Whoever is waited for has ended before, so that every wait finds its signal promised.
fn order(run: &Run<'_>) -> Vec<usize> {
    let graph: &Graph = run.graph();
    let mut order: Vec<usize> = (0..graph.nodes().len()).collect();
    order.sort_by_key(|&node| run.intervals()[node].start);
    order
}
