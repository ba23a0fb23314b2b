//! A machine of a session: a state machine over messages and time.
//!
//! - [`known`]: what is known of the session's progress, and why it is sound to conclude from it.
//! - [`timeline`]: semaphores; [`queue`]: stages that wait for their turn.
//! - [`settle`]: what follows from what: reached and failed values, ended stages.
//! - [`accept`]: stages that clients submit here; [`submit`]: pipelines that this machine submits.
//! - [`session`]: connections, messages, members and losses.
//! - [`log`]: the recording of all that, where one is wanted.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proact::causal::Session;
use proact::status::{Code, Operation, Result, Status};
use proact::time::Time;

mod accept;
mod known;
mod log;
mod queue;
mod session;
mod settle;
mod submit;
mod timeline;

use known::Known;
use log::Log;
use queue::Queues;
use settle::Task;
use submit::Client;
use timeline::{Timeline, Waiter};

use super::bridge::Fact;
use super::coordinator::Coordinator;
use super::wire::Kind;
use super::{Failure, Join, Link, MachineId, Member, Output, RemotePoint, SemaphoreName, StageId};

/// Work that a device of this machine may begin.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoteWork {
    /// Which stage; to be told to [`Node::complete`] or [`Node::fail`].
    pub stage: StageId,
    /// Which of the machine's devices.
    pub device: u8,
    /// Who submitted it.
    pub client: MachineId,
    /// What the client tells the device.
    pub payload: Vec<u8>,
}

/// What a program is told by its node.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum NodeEvent {
    /// The machine is a member.
    Joined(MachineId),
    /// There is another member.
    Member(Member),
    /// A member is lost for good.
    Lost {
        /// Which.
        machine: MachineId,
        /// Why.
        why: String,
    },
    /// The machine is out of the session for good. Whatever depends on others has failed.
    Out {
        /// Why.
        why: String,
    },
    /// A value that [`Node::watch`] asked for was reached.
    Reached(RemotePoint),
    /// A value that [`Node::watch`] asked for will not be reached.
    Failed(RemotePoint, Failure),
    /// A machine has refused a stage that this one submitted. Its signals have failed.
    Refused(StageId, Failure),
}

/// What a node has counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct NodeStatistics {
    /// Messages sent.
    pub sent: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Messages received.
    pub received: u64,
    /// Stages taken from clients.
    pub stages: u64,
    /// Stages that ended well.
    pub completed: u64,
    /// Stages that failed, by themselves or because of what they waited for.
    pub failed: u64,
    /// Values of other machines' semaphores that their owners told.
    pub told: u64,
    /// Values of other machines' semaphores that were concluded from what somebody else knew.
    pub concluded: u64,
    /// Values that an owner had to be asked for.
    pub asked: u64,
}

/// What a node is made with.
#[derive(Clone, Debug)]
#[must_use]
pub struct NodeOptions {
    pub(super) stages_max: usize,
    pub(super) semaphores_max: usize,
    pub(super) scheduled: bool,
    pub(super) recorded: bool,
}

impl NodeOptions {
    /// Up to 65,536 stages and as many semaphores.
    pub const fn new() -> NodeOptions {
        NodeOptions { stages_max: 1 << 16, semaphores_max: 1 << 16, scheduled: false, recorded: false }
    }

    /// How many stages that have not ended the machine takes; more are refused.
    pub const fn stages_max(mut self, stages: usize) -> NodeOptions {
        self.stages_max = stages;
        self
    }

    /// How many semaphores the machine keeps in mind; stages that name more are refused.
    pub const fn semaphores_max(mut self, semaphores: usize) -> NodeOptions {
        self.semaphores_max = semaphores;
        self
    }
}

impl NodeOptions {
    /// Stages are run by a [`Scheduler`](crate::Scheduler), through a [`Bridge`](super::Bridge), and not by
    /// [`Node::next_work`].
    pub const fn scheduled(mut self) -> NodeOptions {
        self.scheduled = true;
        self
    }

    /// The node [records](Node::recording) what happens: messages, losses, and its stages.
    pub const fn recorded(mut self) -> NodeOptions {
        self.recorded = true;
        self
    }
}

impl Default for NodeOptions {
    fn default() -> NodeOptions {
        NodeOptions::new()
    }
}

/// Where the machine stands.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Standing {
    Outside,
    Asked,
    In,
    Out(Failure),
}

/// Another member.
#[derive(Debug)]
struct Peer {
    member: Member,
    /// What this machine sends on, if it has sent anything.
    link: Option<Link>,
    congested: bool,
    lost: Option<Failure>,
}

/// One machine of a session: runs what clients submit, and submits pipelines of its own.
///
/// A node is a state machine without threads, clock or input and output of its own. Whoever drives it hands over what
/// its transport says ([`Node::handle`]) and the time ([`Node::advance`]), carries out what it wants
/// ([`Node::next_output`]), begins the work that may begin ([`Node::next_work`]) and tells how that ended.
///
/// See the [module](super) for the rules, and for an example.
pub struct Node<C> {
    options: NodeOptions,
    join: Join,
    coordinator: C,
    standing: Standing,
    session: Session,
    me: MachineId,
    peers: BTreeMap<MachineId, Peer>,
    incoming: BTreeMap<Link, MachineId>,
    /// Messages of machines that the coordinator has not told of yet.
    early: BTreeMap<Link, session::Early>,
    /// Connections that speak with the coordinator.
    coordination: BTreeSet<Link>,
    next_link: u32,
    known: Known,
    timelines: BTreeMap<SemaphoreName, Timeline>,
    /// Which points an axis of another machine reaches, by epoch.
    promises: BTreeMap<proact::causal::Axis, BTreeMap<u64, Vec<RemotePoint>>>,
    queues: Queues,
    flights: usize,
    client: Client,
    tasks: VecDeque<Task>,
    ready: VecDeque<StageId>,
    /// For the scheduler, if there is one.
    facts: VecDeque<Fact>,
    outputs: VecDeque<Output>,
    events: VecDeque<NodeEvent>,
    statistics: NodeStatistics,
    log: Option<Box<Log>>,
}

fn status(code: Code, message: impl Into<std::borrow::Cow<'static, str>>) -> Status {
    Status::new(code, Operation::Submit).with_message(message)
}

impl<C: Coordinator> Node<C> {
    /// A node outside of any session, which will join with `join` under `coordinator`.
    pub fn new(options: NodeOptions, join: Join, coordinator: C) -> Node<C> {
        Node {
            log: options.recorded.then(Box::default),
            options,
            join,
            coordinator,
            standing: Standing::Outside,
            session: Session::new(0, 0),
            me: MachineId(0),
            peers: BTreeMap::new(),
            incoming: BTreeMap::new(),
            early: BTreeMap::new(),
            coordination: BTreeSet::new(),
            next_link: 0,
            known: Known::default(),
            timelines: BTreeMap::new(),
            promises: BTreeMap::new(),
            queues: Queues::default(),
            flights: 0,
            client: Client::default(),
            tasks: VecDeque::new(),
            ready: VecDeque::new(),
            facts: VecDeque::new(),
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            statistics: NodeStatistics::default(),
        }
    }

    /// The machine's index, once it is a member.
    pub fn machine(&self) -> Option<MachineId> {
        (self.standing == Standing::In).then_some(self.me)
    }

    /// The other members that are not lost.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.peers.values().filter(|peer| peer.lost.is_none()).map(|peer| &peer.member)
    }

    /// What was counted so far.
    pub const fn statistics(&self) -> &NodeStatistics {
        &self.statistics
    }

    /// What has happened, if the node was told to [record](NodeOptions::recorded) it:
    /// [`audit_session`](crate::audit::audit_session) takes those of all machines, and
    /// [`write_session`](crate::record::write_session) draws them.
    pub fn recording(&self) -> Option<&crate::record::Recording> {
        self.log.as_ref().map(|log| &log.recording)
    }

    /// Something is to be recorded, if anything is.
    #[inline]
    fn log(&mut self, f: impl FnOnce(&mut Log)) {
        if let Some(log) = &mut self.log {
            f(log);
        }
    }

    /// Stages that were submitted here and have not ended.
    pub const fn stages(&self) -> usize {
        self.flights
    }

    /// The value that a semaphore has reached, as far as is known here.
    pub fn value(&self, semaphore: SemaphoreName) -> u64 {
        self.timelines.get(&semaphore).map_or(0, |timeline| timeline.reached)
    }

    /// Why a value will not be reached, if that is known here.
    pub fn failure(&self, point: RemotePoint) -> Option<&Failure> {
        self.timelines.get(&point.semaphore)?.failure(point.value)
    }

    /// What the node wants of its transport next.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What the program should know next.
    pub fn next_event(&mut self) -> Option<NodeEvent> {
        self.events.pop_front()
    }

    /// What the node has decided, for its scheduler.
    pub(super) fn next_fact(&mut self) -> Option<Fact> {
        self.facts.pop_front()
    }

    /// Work that may begin. Each queue has at most one stage that runs; queues and devices run side by side.
    pub fn next_work(&mut self) -> Option<RemoteWork> {
        let stage = self.ready.pop_front()?;
        let flight = self.queues.flight(stage).expect("what is ready has not ended");
        let payload = std::mem::take(&mut flight.payload);
        let device = stage.axis.device().expect("a queue's axis");
        Some(RemoteWork { stage, device, client: stage.client(), payload })
    }

    /// Tells that work has ended well: its signals are reached, and told to whom the client said.
    ///
    /// # Errors
    /// `InvalidArgument` for a stage that does not run.
    pub fn complete(&mut self, now: Time, stage: StageId) -> Result {
        self.end(now, stage, None)
    }

    /// Tells that work has failed: so do its signals, and what waits for them.
    ///
    /// # Errors
    /// As [`Node::complete`].
    pub fn fail(&mut self, now: Time, stage: StageId, why: &str) -> Result {
        let failure = Failure::new(super::FailureKind::Stage, self.me, Some(stage), why);
        self.end(now, stage, Some(failure))
    }

    fn end(&mut self, now: Time, stage: StageId, failure: Option<Failure>) -> Result {
        self.log(|log| log.at(now));
        let queue = self.queues.0.get(&stage.axis);
        let head = queue.filter(|queue| queue.ended + 1 == stage.epoch).and_then(|queue| queue.flights.front());
        if !head.is_some_and(|flight| flight.running) || self.ready.contains(&stage) {
            return Err(status(Code::InvalidArgument, format!("{stage} does not run")));
        }
        self.end_flight(stage, failure);
        self.settle();
        self.coordinate(now);
        Ok(())
    }

    /// Asks to be told, once, when a value is reached or will never be ([`NodeEvent::Reached`], [`NodeEvent::Failed`]).
    ///
    /// # Errors
    /// `FailedPrecondition` outside of a session, `NotFound` for a semaphore of a machine that is no member,
    /// `InvalidArgument` for a value that no semaphore has, `ResourceExhausted` if there are too many semaphores.
    pub fn watch(&mut self, now: Time, point: RemotePoint) -> Result {
        self.log(|log| log.at(now));
        self.check_inside()?;
        let owner = point.semaphore.owner();
        if owner != self.me && !self.peers.contains_key(&owner) {
            return Err(status(Code::NotFound, format!("{owner} is no member of the session")));
        }
        if !point.is_valid() {
            return Err(status(Code::InvalidArgument, format!("nobody will reach {point}")));
        }
        if !self.has_room_for([point.semaphore].into_iter()) {
            return Err(status(Code::ResourceExhausted, format!("no room for {point}")));
        }
        let timeline = self.timeline(point.semaphore);
        if timeline.reached >= point.value {
            self.events.push_back(NodeEvent::Reached(point));
        } else if let Some(failure) = timeline.failure(point.value).cloned() {
            self.events.push_back(NodeEvent::Failed(point, failure));
        } else {
            timeline.wait(point.value, Waiter::Program);
            if owner != self.me {
                let producer = self.client.producer(point).map(|(_, stage)| stage);
                self.ask(point, producer);
            }
        }
        self.settle();
        self.coordinate(now);
        Ok(())
    }

    /// When [`Node::advance`] has something to do, if nothing happens until then.
    pub fn deadline(&self) -> Option<Time> {
        self.coordinator.deadline()
    }

    fn check_inside(&self) -> Result {
        match &self.standing {
            Standing::In => Ok(()),
            Standing::Outside | Standing::Asked => Err(status(Code::FailedPrecondition, "no member of a session yet")),
            Standing::Out(failure) => Err(status(Code::FailedPrecondition, failure.message.clone())),
        }
    }

    /// Whether so many semaphores can be kept in mind.
    fn has_room_for(&self, names: impl Iterator<Item = SemaphoreName>) -> bool {
        let news = names.filter(|name| !self.timelines.contains_key(name)).count();
        self.timelines.len() + news <= self.options.semaphores_max
    }

    fn is_coordination(kind: Kind) -> bool {
        use Kind::*;
        matches!(kind, Join | Welcome | Unwelcome | Member | Renew | Renewed | Lost | Unreachable | Leave)
    }
}
