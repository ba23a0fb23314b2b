//! Connections, messages, members and losses.

use proact::causal::Axis;
use proact::status::{Code, Result};
use proact::time::Time;

use super::settle::{Task, never_submitted};
use super::{Coordinator, Node, NodeEvent, Peer, Standing, status};
use crate::remote::coordinator::{CoordinatorAction, MembershipEvent};
use crate::remote::wire::{Failed, Hello, Message, SessionSignal};
use crate::remote::{Failure, FailureKind, Input, Link, MachineId, Output, RemotePoint, StageId};

/// Bytes that are kept of a machine that the coordinator has not told of yet. Its word is on its way: more than this
/// within that time is nothing that a member does.
const EARLY_MAX: usize = 1 << 20;

/// Messages of a machine that is not known yet.
#[derive(Debug)]
pub(super) struct Early {
    from: MachineId,
    messages: Vec<Message>,
    bytes: usize,
}

impl<C: Coordinator> Node<C> {
    /// Joins a session: the coordinator's, or the one that is hosted at `host`.
    ///
    /// # Errors
    /// `FailedPrecondition` for a node that has joined, or has been out of a session: a machine that comes back is a
    /// new member, and a new node.
    pub fn join(&mut self, now: Time, host: Option<&str>) -> Result {
        if self.standing != Standing::Outside {
            return Err(status(Code::FailedPrecondition, "a node joins once"));
        }
        self.standing = Standing::Asked;
        self.log(|log| log.at(now));
        let link = host.map(|address| {
            let link = self.open(address);
            self.coordination.insert(link);
            link
        });
        let join = self.join.clone();
        self.coordinator.join(now, &join, link);
        self.coordinate(now);
        Ok(())
    }

    /// Leaves the session. The machine is lost to the others, and they to it once the coordinator knows:
    /// [`NodeEvent::Out`] tells. Without an answer that is when the lease is over.
    pub fn leave(&mut self, now: Time) {
        self.log(|log| log.at(now));
        self.coordinator.leave(now);
        self.coordinate(now);
    }

    /// Notes that time has passed.
    pub fn advance(&mut self, now: Time) {
        self.log(|log| log.at(now));
        self.coordinator.advance(now);
        self.coordinate(now);
    }

    /// Notes what the transport tells.
    pub fn handle(&mut self, now: Time, input: Input) {
        self.log(|log| log.at(now));
        match input {
            Input::Received { link, bytes } => self.received(now, link, &bytes),
            Input::Congested { link, congested } => {
                for peer in self.peers.values_mut().filter(|peer| peer.link == Some(link)) {
                    peer.congested = congested;
                }
            }
            Input::Closed { link, why } => self.closed(now, link, &why),
        }
        self.settle();
        self.coordinate(now);
    }

    fn open(&mut self, address: &str) -> Link {
        let link = Link::Opened(self.next_link);
        self.next_link += 1;
        self.outputs.push_back(Output::Open { link, address: address.into() });
        link
    }

    /// Sends to a member; to one that is lost, nothing. What this machine has to tell itself it knows.
    pub(super) fn send(&mut self, to: MachineId, message: &Message) {
        let (session, from) = (self.session, self.me);
        if to == self.me || self.standing != Standing::In {
            return;
        }
        let Some(peer) = self.peers.get(&to).filter(|peer| peer.lost.is_none()) else {
            return self.log(|log| log.unsent(to, message));
        };
        let link = match peer.link {
            Some(link) => link,
            None => {
                let address = peer.member.join.address.clone();
                let link = self.open(&address);
                self.peers.get_mut(&to).expect("looked at above").link = Some(link);
                let hello = Message::Hello(Hello { session, from, to });
                let bytes = self.put(link, &hello);
                self.log(|log| log.sent(to, &hello, bytes));
                link
            }
        };
        let bytes = self.put(link, message);
        self.log(|log| log.sent(to, message, bytes));
    }

    /// Answers how many bytes it is.
    fn put(&mut self, link: Link, message: &Message) -> usize {
        let mut bytes = Vec::new();
        // What a node sends is within bounds: it was checked when it was submitted or decoded.
        message.encode(self.session, &mut bytes).expect("a message within its bounds");
        self.statistics.sent += 1;
        let length = bytes.len();
        self.statistics.sent_bytes += length as u64;
        self.outputs.push_back(Output::Send { link, bytes });
        length
    }

    fn received(&mut self, now: Time, link: Link, bytes: &[u8]) {
        self.statistics.received += 1;
        let message = match Message::decode(self.session, bytes) {
            Ok(message) => message,
            Err(error) => return self.misbehaved(now, link, &error.to_string()),
        };
        if Node::<C>::is_coordination(message.kind()) {
            let new = self.coordination.insert(link);
            if new && (matches!(link, Link::Opened(_)) || self.incoming.contains_key(&link)) {
                return self.misbehaved(now, link, "a word for the coordinator on another connection");
            }
            if let Err(why) = self.coordinator.receive(now, link, message) {
                self.misbehaved(now, link, why);
            }
            return;
        }
        if self.standing != Standing::In || matches!(link, Link::Opened(_)) {
            return self.misbehaved(now, link, "nothing of that kind is expected here");
        }
        match (self.incoming.get(&link).copied(), message) {
            (None, Message::Hello(hello)) => self.greeted(now, link, &hello),
            (None, message) => match self.early.get_mut(&link) {
                Some(early) if early.bytes + bytes.len() <= EARLY_MAX => {
                    early.bytes += bytes.len();
                    early.messages.push(message);
                }
                _ => self.misbehaved(now, link, "it does not say who it is"),
            },
            (Some(from), message) => self.told(now, link, from, message),
        }
    }

    fn greeted(&mut self, now: Time, link: Link, hello: &Hello) {
        if hello.session != self.session || hello.to != self.me || hello.from == self.me {
            return self.misbehaved(now, link, "it means another machine, or another session");
        }
        let is_lost = self.peers.get(&hello.from).is_some_and(|peer| peer.lost.is_some());
        if !is_lost {
            self.log(|log| log.got(hello.from, &Message::Hello(hello.clone())));
        }
        match self.peers.get(&hello.from) {
            Some(peer) if peer.lost.is_some() => self.close(link),
            Some(_) => drop(self.incoming.insert(link, hello.from)),
            None => {
                self.early.insert(link, Early { from: hello.from, messages: Vec::new(), bytes: 0 });
            }
        }
    }

    /// What a member says.
    fn told(&mut self, now: Time, link: Link, from: MachineId, message: Message) {
        self.log(|log| log.got(from, &message));
        match message {
            Message::Stage(stage) => self.accept(from, stage),
            Message::Refused { stage, failure } => self.events.push_back(NodeEvent::Refused(stage, failure)),
            Message::Signal(signal) => {
                let owned = signal.point.semaphore.owner() == from && signal.producer.machine() == from;
                if !owned {
                    return self.misbehaved(now, link, "it signals what is not its own");
                }
                if !self.has_room_for([signal.point.semaphore].into_iter()) {
                    return self.misbehaved(now, link, "it signals what nobody here has named");
                }
                self.signalled(signal);
            }
            Message::Failed(Failed { point, failure }) => {
                if point.semaphore.owner() != from {
                    return self.misbehaved(now, link, "it fails what is not its own");
                }
                if !self.has_room_for([point.semaphore].into_iter()) {
                    return self.misbehaved(now, link, "it fails what nobody here has named");
                }
                self.tasks.push_back(Task::Fail(point, failure));
            }
            Message::Watch { point, .. } => {
                if point.semaphore.owner() != self.me {
                    return self.misbehaved(now, link, "it asks for what is not of this machine");
                }
                if !self.has_room_for([point.semaphore].into_iter()) {
                    let failure = Failure::new(FailureKind::Refused, self.me, None, "no room for another semaphore");
                    return self.tell_failed(from, point, &failure);
                }
                self.watched(from, point);
            }
            _ => self.misbehaved(now, link, "a member does not say that to another"),
        }
    }

    fn signalled(&mut self, signal: SessionSignal) {
        self.statistics.told += 1;
        let SessionSignal { point, producer, ended, suspect } = signal;
        let mut raised = self.known.learn(&ended.frontier, &suspect);
        if self.known.ended(producer.axis) < producer.epoch {
            // Its own entry found no room in what it knows.
            self.known.end(producer, true);
            raised.push(producer.axis);
        }
        for axis in raised {
            for promised in self.kept_promises(axis).into_iter().filter(|&promised| promised != point) {
                if self.timeline(promised.semaphore).reached < promised.value {
                    self.statistics.concluded += 1;
                    // Whatever caused it has ended too, and is in an exact list of what has.
                    self.tasks.push_back(Task::Reach(promised, None, ended.clone()));
                }
            }
        }
        self.tasks.push_back(Task::Reach(point, Some(producer), ended));
    }

    /// Takes the points that stages of an axis reach which are known to have ended well.
    fn kept_promises(&mut self, axis: Axis) -> Vec<RemotePoint> {
        let Some(promised) = self.promises.get_mut(&axis) else { return Vec::new() };
        let (known, timelines) = (&self.known, &self.timelines);
        let mut kept = Vec::new();
        promised.retain(|&epoch, points| {
            if epoch > known.ended(axis) {
                return true;
            }
            if known.covers(StageId::new(axis, epoch)) {
                kept.append(points);
                return false;
            }
            // Only its semaphores tell how it ended, or somebody who knows more of it. Those that failed have told.
            let is_open = |point: &RemotePoint| {
                let timeline = timelines.get(&point.semaphore);
                timeline.is_none_or(|timeline| timeline.failure(point.value).is_none() || timeline.is_presumed())
            };
            points.retain(is_open);
            !points.is_empty()
        });
        if promised.is_empty() {
            self.promises.remove(&axis);
        }
        kept
    }

    fn watched(&mut self, from: MachineId, point: RemotePoint) {
        let timeline = self.timeline(point.semaphore);
        if timeline.reached >= point.value {
            self.tell_reached(from, point.semaphore);
        } else if let Some((at, failure)) = timeline.failed_from().filter(|(at, _)| *at <= point.value).cloned() {
            self.tell_failed(from, RemotePoint::new(point.semaphore, at), &failure);
        } else {
            timeline.forwards.entry(point.value).or_default().insert(from);
        }
    }

    fn close(&mut self, link: Link) {
        self.incoming.remove(&link);
        self.early.remove(&link);
        self.coordination.remove(&link);
        self.outputs.push_back(Output::Close { link });
    }

    /// Who says what cannot be is not understood: what it says next would not be either.
    fn misbehaved(&mut self, now: Time, link: Link, why: &str) {
        let why = format!("it was not understood: {why}");
        self.outputs.push_back(Output::Close { link });
        self.closed(now, link, &why);
    }

    fn closed(&mut self, now: Time, link: Link, why: &str) {
        self.coordination.remove(&link);
        self.early.remove(&link);
        self.coordinator.closed(now, link, why);
        let outgoing = self.peers.values().find(|peer| peer.link == Some(link)).map(|peer| peer.member.machine);
        let machine = outgoing.or(self.incoming.remove(&link));
        if let Some(machine) = machine.filter(|machine| self.peers[machine].lost.is_none()) {
            // Words may be missing from now on: one of the two has to go.
            self.coordinator.report(now, machine, why);
        }
    }

    /// Carries out what the coordinator wants.
    pub(super) fn coordinate(&mut self, now: Time) {
        while let Some(action) = self.coordinator.next_action() {
            match action {
                CoordinatorAction::Send { link, message } => _ = self.put(link, &message),
                CoordinatorAction::Close { link } => self.close(link),
                CoordinatorAction::Tell(event) => {
                    self.membership(now, event);
                    self.settle();
                }
            }
        }
    }

    fn membership(&mut self, now: Time, event: MembershipEvent) {
        match event {
            MembershipEvent::Joined(welcome) => {
                (self.session, self.me) = (welcome.session, welcome.machine);
                self.standing = Standing::In;
                let (me, name) = (self.me, self.join.name.clone());
                self.log(|log| log.machine(me, &name, true));
                self.events.push_back(NodeEvent::Joined(self.me));
            }
            MembershipEvent::Member(member) => {
                let machine = member.machine;
                self.log(|log| log.machine(machine, &member.join.name, false));
                let peer = Peer { member: member.clone(), link: None, congested: false, lost: None };
                self.peers.insert(machine, peer);
                self.events.push_back(NodeEvent::Member(member));
                let waiting = self.early.iter().filter(|(_, early)| early.from == machine);
                let links: Vec<Link> = waiting.map(|(&link, _)| link).collect();
                for link in links {
                    let Some(early) = self.early.remove(&link) else { continue };
                    self.incoming.insert(link, machine);
                    for message in early.messages {
                        if self.incoming.contains_key(&link) {
                            self.told(now, link, machine, message);
                        }
                    }
                }
            }
            MembershipEvent::Lost { machine, why } => self.lost(machine, &why),
            MembershipEvent::Out { why } => self.out(&why),
        }
    }

    /// A member is lost: what depends on it fails, unless it is known to have been done.
    fn lost(&mut self, machine: MachineId, why: &str) {
        let Some(peer) = self.peers.get_mut(&machine).filter(|peer| peer.lost.is_none()) else { return };
        let name = peer.member.join.name.clone();
        let failure = Failure::new(FailureKind::Loss, machine, None, &format!("{machine} ({name}) was lost: {why}"));
        peer.lost = Some(failure.clone());
        let mut links: Vec<Link> = peer.link.take().into_iter().collect();
        links.extend(self.incoming.iter().filter(|&(_, &from)| from == machine).map(|(&link, _)| link));
        links.into_iter().for_each(|link| self.close(link));
        self.log(|log| log.lost(machine, why));
        self.events.push_back(NodeEvent::Lost { machine, why: why.into() });
        self.forsake(machine, &failure);
    }

    /// Draws the consequences of a loss for every semaphore.
    fn forsake(&mut self, machine: MachineId, failure: &Failure) {
        let mut questions = Vec::new();
        for (&name, timeline) in &self.timelines {
            if name.owner() == machine {
                self.tasks.push_back(Task::Fail(RemotePoint::new(name, timeline.reached + 1), failure.clone()));
            } else if name.client() == machine && name.owner() == self.me {
                // What was promised is there, and goes on; what was not never will be.
                let point = RemotePoint::new(name, timeline.promised + 1);
                self.tasks.push_back(Task::Fail(point, never_submitted(failure)));
            } else if name.client() == machine {
                // Whether the owner was ever told to tell this machine, only the owner knows.
                questions.extend(timeline.awaited().map(|value| RemotePoint::new(name, value)));
            }
        }
        questions.into_iter().for_each(|point| self.ask(point, None));
    }

    /// The machine is out of the session: all others are lost to it.
    fn out(&mut self, why: &str) {
        let message = format!("{} is out of the session: {why}", self.me);
        let failure = Failure::new(FailureKind::Loss, self.me, None, &message);
        self.standing = Standing::Out(failure.clone());
        let me = self.me;
        self.log(|log| log.lost(me, why));
        let links: Vec<Link> =
            self.incoming.keys().copied().chain(self.peers.values().filter_map(|it| it.link)).collect();
        links.into_iter().for_each(|link| self.close(link));
        for machine in self.peers.keys().copied().collect::<Vec<_>>() {
            let peer = self.peers.get_mut(&machine).expect("just listed");
            (peer.link, peer.lost) = (None, peer.lost.take().or(Some(failure.clone())));
            self.forsake(machine, &failure);
        }
        self.events.push_back(NodeEvent::Out { why: why.into() });
    }
}

#[cfg(test)]
impl<C: Coordinator> Node<C> {
    /// How many stages of a queue have come here.
    pub(in crate::remote) fn submitted(&self, axis: proact::causal::Axis) -> u64 {
        self.queues.0.get(&axis).map_or(0, |queue| queue.submitted)
    }

    /// Sends what no client would.
    pub(in crate::remote) fn send_by_hand(&mut self, to: MachineId, message: &Message) {
        self.send(to, message);
    }
}
