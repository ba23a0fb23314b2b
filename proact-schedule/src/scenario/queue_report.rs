//! What the scheduler proper made of a run, as data for others.

use serde::{Serialize, Serializer};

use super::{QueueRun, Run};

/// A run on queues: what was elided, and what each operation knows by queues.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct QueueReport<'a> {
    /// The queues: the id of the lanes' class, with the lane's number where there are several, `gpu.1`.
    pub queues: Vec<String>,
    /// When the last operation ended, in ticks.
    pub makespan: u64,
    /// Waits for which nothing was issued.
    pub elided: u64,
    /// Waits for which something was.
    pub issued: u64,
    /// Barriers that the queues were handed.
    pub barriers: u64,
    /// The operations, in the order of their priority.
    pub operations: Vec<QueueOperationReport<'a>>,
}

/// What became of an operation on its queue.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct QueueOperationReport<'a> {
    /// Its id, with the copy it belongs to.
    pub id: &'a str,
    /// How its waits were resolved.
    pub waits: Vec<WaitReport<'a>>,
    /// What it knows when it has ended: queues and epochs. In JSON an object.
    #[serde(serialize_with = "as_object")]
    pub frontier: Vec<(String, u64)>,
}

/// How a wait was resolved.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct WaitReport<'a> {
    /// The timeline.
    pub semaphore: &'a str,
    /// What was waited for.
    pub value: u64,
    /// [`Tier::name`](crate::model::Tier::name).
    pub tier: &'static str,
}

fn as_object<S: Serializer>(entries: &[(String, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(entries.iter().map(|(queue, epoch)| (queue, epoch)))
}

impl<'a> QueueReport<'a> {
    /// The report of what became of `run` on queues.
    pub fn of(run: &Run<'a>, on_queues: &QueueRun) -> QueueReport<'a> {
        let graph = run.graph();
        let name = |&(class, lane): &(usize, usize)| match &graph.classes()[class] {
            class if class.count == 1 => class.id.clone(),
            class => format!("{}.{lane}", class.id),
        };
        let queues: Vec<String> = on_queues.queues.iter().map(name).collect();
        let operations = graph.nodes().iter().enumerate().map(|(index, node)| {
            let waits = node.waits.iter().zip(&on_queues.resolutions[index]);
            QueueOperationReport {
                id: &node.name,
                waits: waits
                    .map(|(&(timeline, value), resolution)| {
                        let semaphore = graph.timelines()[timeline].name.as_str();
                        WaitReport { semaphore, value, tier: resolution.tier.name() }
                    })
                    .collect(),
                frontier: on_queues.entries(index).map(|(queue, epoch)| (queues[queue].clone(), epoch)).collect(),
            }
        });
        QueueReport {
            makespan: on_queues.makespan,
            elided: on_queues.statistics.waits.elided(),
            issued: on_queues.statistics.waits.issued(),
            barriers: on_queues.statistics.barriers,
            operations: operations.collect(),
            queues,
        }
    }
}
