//! Pipelines that this machine submits to others and to itself.
//!
//! **Who is told of what.** A wait on another machine's semaphore is either told by its owner, or implied by another
//! wait *of the same stage*: if stage Q waited for P, through however many waits, then whoever is told of Q's end is
//! told by it of P's. Then P's machine need not tell. Only waits of the same stage may stand for each other: if it were
//! an earlier stage of the same queue that waits for Q, and Q failed, the later one would not fail with it, and nobody
//! would ever tell it of P.
//!
//! The frontier that a stage will have is known to its client too. It is not sent along: it says what will have ended
//! before a value is reached, and after a loss no longer does.

use std::collections::{BTreeMap, VecDeque};

use proact::causal::Axis;
use proact::status::{Code, Result, Status};
use proact::time::Time;

use super::{Coordinator, Node, status};
use crate::remote::pipeline::{Pipeline, Planned};
use crate::remote::wire::{Arrival, Message, PAYLOAD_MAX, SIGNALS_MAX, Stage, StageSignal, StageWait, WAITS_MAX};
use crate::remote::{MachineId, MachineSet, RemotePoint, SemaphoreName, StageId};

/// Of how many promises of a semaphore the client remembers who keeps them. Waits for older ones ask the owner.
const PROMISES: usize = 64;
/// Stages of one pipeline.
const PIPELINE_MAX: usize = 4096;

/// What this machine has submitted.
#[derive(Debug, Default)]
pub(super) struct Client {
    semaphores: u64,
    epochs: BTreeMap<Axis, u64>,
    promised: BTreeMap<SemaphoreName, Promised>,
}

#[derive(Clone, Debug)]
struct Promised {
    axis: Axis,
    /// The latest, ascending, each with the stage that reaches it.
    values: VecDeque<(u64, StageId)>,
    /// Up to this value it was forgotten who reaches what.
    forgotten: u64,
}

impl Promised {
    /// The least promise at or above this value, if it is not forgotten.
    fn find(&self, value: u64) -> Option<(u64, StageId)> {
        let index = self.values.partition_point(|&(promised, _)| promised < value);
        if value > self.forgotten { self.values.get(index).copied() } else { None }
    }

    fn forget(&mut self) {
        while self.values.len() > PROMISES {
            self.forgotten = self.values.pop_front().map_or(self.forgotten, |(value, _)| value);
        }
    }
}

impl Client {
    /// The promise that a wait is for: value and stage.
    pub(super) fn producer(&self, point: RemotePoint) -> Option<(u64, StageId)> {
        self.promised.get(&point.semaphore)?.find(point.value)
    }
}

fn invalid(index: usize, why: impl std::fmt::Display) -> Status {
    status(Code::InvalidArgument, format!("stage {index} of the pipeline: {why}"))
}

impl<C: Coordinator> Node<C> {
    /// A new semaphore for what `owner` will signal.
    ///
    /// # Errors
    /// `FailedPrecondition` outside of a session.
    pub fn name_semaphore(&mut self, owner: MachineId) -> Result<SemaphoreName> {
        self.check_inside()?;
        let name = SemaphoreName::new(owner, self.me, self.client.semaphores);
        self.client.semaphores += 1;
        name.ok_or_else(|| status(Code::ResourceExhausted, "all 2^48 names were given out"))
    }

    /// Submits a pipeline: all machines are sent their stages before any of them has begun. Answers where each stage
    /// stands, in the order in which they were added.
    ///
    /// # Errors
    /// Nothing was submitted then. `InvalidArgument`, with the stage, for a device that is not there; for a semaphore
    /// of another machine or client, one that another device signals, or a value that is not above those promised
    /// before; for stages that wait for each other; for more waits, signals, bytes or stages than there may be.
    /// `Unavailable` for a machine that is lost, `ResourceExhausted` for one that does not take what was sent before,
    /// `FailedPrecondition` outside of a session.
    pub fn submit(&mut self, now: Time, pipeline: &Pipeline) -> Result<Vec<StageId>> {
        self.log(|log| log.at(now));
        self.check_inside()?;
        let stages = &pipeline.stages;
        if stages.len() > PIPELINE_MAX {
            let why = format!("{} stages, and a pipeline has at most {PIPELINE_MAX}", stages.len());
            return Err(status(Code::InvalidArgument, why));
        }
        let mut plan = Plan { epochs: self.client.epochs.clone(), ..Plan::default() };
        for (index, stage) in stages.iter().enumerate() {
            self.check_stage(index, stage)?;
            self.place(&mut plan, index, stage)?;
        }
        let links = links(stages, &plan);
        let order = order(&links).ok_or_else(|| {
            status(Code::InvalidArgument, "stages of the pipeline wait for each other: none of them could begin")
        })?;
        let messages = self.messages(stages, &plan, &ancestors(&links, &order));

        self.client.epochs = plan.epochs;
        plan.promised.values_mut().for_each(Promised::forget);
        self.client.promised.append(&mut plan.promised);
        for stage in messages {
            match stage.stage.machine() {
                machine if machine == self.me => self.accept(machine, stage),
                machine => self.send(machine, &Message::Stage(stage)),
            }
        }
        self.settle();
        self.coordinate(now);
        Ok(plan.places)
    }

    fn check_stage(&self, index: usize, stage: &Planned) -> Result {
        let devices = if stage.machine == self.me {
            self.join.devices.len()
        } else {
            let Some(peer) = self.peers.get(&stage.machine) else {
                return Err(invalid(index, format!("{} is no member of the session", stage.machine)));
            };
            if let Some(failure) = &peer.lost {
                return Err(status(Code::Unavailable, failure.message.clone()));
            }
            if peer.congested {
                let why = format!("{} does not take what was sent to it before", stage.machine);
                return Err(status(Code::ResourceExhausted, why));
            }
            peer.member.join.devices.len()
        };
        if usize::from(stage.device) >= devices {
            let why = format!("{} has {devices} devices, and no device {}", stage.machine, stage.device);
            return Err(invalid(index, why));
        }
        let (waits, signals, bytes) = (stage.waits.len(), stage.signals.len(), stage.payload.len());
        for (count, max, what) in
            [(waits, WAITS_MAX, "waits"), (signals, SIGNALS_MAX, "signals"), (bytes, PAYLOAD_MAX, "bytes of payload")]
        {
            if count > max {
                return Err(invalid(index, format!("{count} {what}, and there are at most {max}")));
            }
        }
        for point in &stage.waits {
            let owner = point.semaphore.owner();
            if !point.is_valid() || (owner != self.me && !self.peers.contains_key(&owner)) {
                return Err(invalid(index, format!("nobody in the session will reach {point}")));
            }
        }
        Ok(())
    }

    /// Gives a stage its place, and notes what it promises.
    fn place(&self, plan: &mut Plan, index: usize, stage: &Planned) -> Result {
        let axis = Axis::queue(self.session.epoch(), stage.machine.0, stage.device, self.me.0);
        let epoch = plan.epochs.entry(axis).or_default();
        *epoch += 1;
        let id = StageId::new(axis, *epoch);
        for (at, point) in stage.signals.iter().enumerate() {
            let name = point.semaphore;
            if name.owner() != stage.machine || name.client() != self.me {
                return Err(invalid(index, format!("semaphore {name} is not for it to signal")));
            }
            if stage.signals[..at].iter().any(|other| other.semaphore == name) {
                return Err(invalid(index, format!("semaphore {name} is to be signalled twice")));
            }
            let before = self.client.promised.get(&name);
            let none = || before.cloned().unwrap_or(Promised { axis, values: VecDeque::new(), forgotten: 0 });
            let promised = plan.promised.entry(name).or_insert_with(none);
            if promised.axis != axis {
                return Err(invalid(index, format!("semaphore {name} is signalled by another queue")));
            }
            let last = promised.values.back().map_or(0, |&(value, _)| value);
            if point.value <= last || !point.is_valid() {
                let why = format!("{point} is not above {last}, which was promised before, or is the largest number");
                return Err(invalid(index, why));
            }
            promised.values.push_back((point.value, id));
        }
        plan.places.push(id);
        plan.indices.insert(id, index);
        Ok(())
    }

    fn messages(&self, stages: &[Planned], plan: &Plan, ancestors: &[Vec<u64>]) -> Vec<Stage> {
        // Who is to be told of each promise that is made here.
        let mut forwards: BTreeMap<RemotePoint, MachineSet> = BTreeMap::new();
        let mut waits: Vec<Vec<StageWait>> = Vec::with_capacity(stages.len());
        for stage in stages {
            let here = |point: RemotePoint| plan.producer(point).and_then(|(_, id)| plan.index(id));
            let all = stage.waits.iter().map(|&point| {
                let known = plan.producer(point).or_else(|| self.client.producer(point));
                let producer = known.map(|(_, id)| id);
                let owner = point.semaphore.owner();
                let implied = |index: usize| {
                    stage.waits.iter().filter_map(|&other| here(other)).any(|other| bit(&ancestors[other], index))
                };
                let arrival = match here(point) {
                    _ if owner == stage.machine => Arrival::Own,
                    Some(index) if implied(index) => Arrival::Implied,
                    Some(_) => Arrival::Told,
                    None => Arrival::Ask,
                };
                if let (Arrival::Told, Some((value, _))) = (arrival, known) {
                    let point = RemotePoint::new(point.semaphore, value);
                    forwards.entry(point).or_default().insert(stage.machine);
                }
                StageWait { point, arrival, producer }
            });
            waits.push(all.collect());
        }
        let stages = stages.iter().zip(waits).zip(&plan.places);
        stages
            .map(|((stage, waits), &id)| {
                let forward = |point: &RemotePoint| forwards.get(point).copied().unwrap_or_default();
                let signals =
                    stage.signals.iter().map(|point| StageSignal { point: *point, forward: forward(point) }).collect();
                Stage { stage: id, waits, signals, payload: stage.payload.clone() }
            })
            .collect()
    }
}

/// What a pipeline will be, if all of it is taken.
#[derive(Default)]
struct Plan {
    epochs: BTreeMap<Axis, u64>,
    /// Of the semaphores that it signals.
    promised: BTreeMap<SemaphoreName, Promised>,
    places: Vec<StageId>,
    /// Which stage has which place.
    indices: BTreeMap<StageId, usize>,
}

impl Plan {
    fn producer(&self, point: RemotePoint) -> Option<(u64, StageId)> {
        self.promised.get(&point.semaphore)?.find(point.value)
    }

    /// Which of the pipeline's stages this is.
    fn index(&self, id: StageId) -> Option<usize> {
        self.indices.get(&id).copied()
    }
}

/// For each stage those of the same pipeline that it waits for, and the one before it on its queue.
struct Links {
    waits: Vec<Vec<usize>>,
    before: Vec<Option<usize>>,
}

fn links(stages: &[Planned], plan: &Plan) -> Links {
    let producer = |point: &RemotePoint| plan.producer(*point).and_then(|(_, id)| plan.index(id));
    let waits = stages.iter().map(|stage| stage.waits.iter().filter_map(producer).collect()).collect();
    let before = plan.places.iter().map(|id| plan.index(StageId::new(id.axis, id.epoch - 1))).collect();
    Links { waits, before }
}

/// An order in which the stages could run one after another; `None` if there is none.
fn order(links: &Links) -> Option<Vec<usize>> {
    let count = links.waits.len();
    let mut open = vec![0; count];
    let mut after = vec![Vec::new(); count];
    for (index, (waits, before)) in links.waits.iter().zip(&links.before).enumerate() {
        for &other in waits.iter().chain(before) {
            open[index] += 1;
            after[other].push(index);
        }
    }
    let mut order: Vec<usize> = (0..count).filter(|&index| open[index] == 0).collect();
    let mut next = 0;
    while let Some(&index) = order.get(next) {
        next += 1;
        for &later in &after[index] {
            open[later] -= 1;
            if open[later] == 0 {
                order.push(later);
            }
        }
    }
    (order.len() == count).then_some(order)
}

/// For each stage, as bits, those that it waits for through any number of waits.
fn ancestors(links: &Links, order: &[usize]) -> Vec<Vec<u64>> {
    let words = order.len().div_ceil(64);
    let mut ancestors = vec![vec![0u64; words]; order.len()];
    for &index in order {
        let mut own = std::mem::take(&mut ancestors[index]);
        for &other in &links.waits[index] {
            own[other / 64] |= 1 << (other % 64);
            own.iter_mut().zip(&ancestors[other]).for_each(|(word, more)| *word |= more);
        }
        ancestors[index] = own;
    }
    ancestors
}

fn bit(words: &[u64], index: usize) -> bool {
    words[index / 64] >> (index % 64) & 1 == 1
}
