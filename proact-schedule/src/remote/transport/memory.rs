//! Machines in one program, and time that passes when it is told to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use proact::time::Time;

use super::{Input, Link, Output, Transport};
use crate::random::Random;
use crate::remote::wire::{HEAD, Head, Kind};

/// A message that was sent, as the network saw it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sent {
    /// When.
    pub at: Time,
    /// The endpoint that sent it.
    pub from: usize,
    /// The one it was sent to.
    pub to: usize,
    /// What about; the words are their owners'.
    pub kind: Kind,
}

/// A network in memory, under a seed and virtual time: each message takes a random while, in order on its connection
/// and in any order beside it. Machines crash, or are cut off, when they are told to. The same seed has the same run.
///
/// For tests of pipelines over several machines, where processes would be slow and never twice the same.
#[derive(Clone, Debug)]
pub struct MemoryNetwork(Rc<RefCell<Network>>);

/// One machine's end of a [`MemoryNetwork`].
#[derive(Debug)]
pub struct MemoryEndpoint {
    index: usize,
    network: Rc<RefCell<Network>>,
}

#[derive(Debug)]
struct Network {
    now: Time,
    random: Random,
    delay_max: Duration,
    inboxes: Vec<BTreeMap<(Time, u64), Input>>,
    gone: BTreeSet<usize>,
    /// Where each end of a connection leads.
    ends: BTreeMap<(usize, Link), (usize, Link)>,
    /// When the last message to an end comes there: none may overtake it.
    last: BTreeMap<(usize, Link), Time>,
    accepted: u32,
    sequence: u64,
    log: Vec<Sent>,
}

impl MemoryNetwork {
    /// A network whose messages take up to `delay_max`.
    pub fn new(seed: u64, delay_max: Duration) -> MemoryNetwork {
        MemoryNetwork(Rc::new(RefCell::new(Network {
            now: Time::ORIGIN,
            random: Random::new(seed),
            delay_max,
            inboxes: Vec::new(),
            gone: BTreeSet::new(),
            ends: BTreeMap::new(),
            last: BTreeMap::new(),
            accepted: 0,
            sequence: 0,
            log: Vec::new(),
        })))
    }

    /// Another machine's end. They are counted from 0; the address of each is `memory:` and its number.
    pub fn endpoint(&self) -> MemoryEndpoint {
        let mut network = self.0.borrow_mut();
        network.inboxes.push(BTreeMap::new());
        MemoryEndpoint { index: network.inboxes.len() - 1, network: self.0.clone() }
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        self.0.borrow().now
    }

    /// When the next message comes to an endpoint.
    pub fn next_arrival(&self) -> Option<Time> {
        let network = self.0.borrow();
        network.inboxes.iter().filter_map(|inbox| inbox.first_key_value()).map(|(&(at, _), _)| at).min()
    }

    /// Lets time pass until `time`, if that is later.
    pub fn pass_until(&self, time: Time) {
        let mut network = self.0.borrow_mut();
        network.now = network.now.max(time);
    }

    /// The process of an endpoint dies. Of what is under way from it some may still arrive, in order on each
    /// connection; then the others are told that their connections have ended.
    pub fn crash(&self, endpoint: usize) {
        self.0.borrow_mut().crash(endpoint);
    }

    /// An endpoint is cut off: nothing comes from it or to it any more, and nobody is told.
    pub fn cut_off(&self, endpoint: usize) {
        let mut network = self.0.borrow_mut();
        network.gone.insert(endpoint);
        network.inboxes[endpoint].clear();
        let ends: Vec<_> = network.ends.iter().filter(|(_, peer)| peer.0 == endpoint).map(|(&end, _)| end).collect();
        for (machine, link) in ends {
            network.drop_some(machine, link);
        }
    }

    /// All messages that were sent, in order.
    pub fn log(&self) -> Vec<Sent> {
        self.0.borrow().log.clone()
    }
}

impl Network {
    /// Puts something into an inbox, after what came there on the same connection.
    fn deliver(&mut self, to: usize, input: Input) {
        let link = match &input {
            Input::Received { link, .. } | Input::Congested { link, .. } | Input::Closed { link, .. } => *link,
        };
        let nanoseconds = self.delay_max.as_nanos() as u64;
        let at = self.now + Duration::from_nanos(1 + self.random.below(nanoseconds.max(1)));
        let last = self.last.entry((to, link)).or_default();
        *last = at.max(*last);
        let at = *last;
        self.sequence += 1;
        self.inboxes[to].insert((at, self.sequence), input);
    }

    fn carry_out(&mut self, from: usize, output: Output) {
        if self.gone.contains(&from) {
            return;
        }
        match output {
            Output::Open { link, address } => {
                let to = address.strip_prefix("memory:").and_then(|number| number.parse().ok());
                match to.filter(|&to: &usize| to < self.inboxes.len()) {
                    Some(to) => {
                        self.accepted += 1;
                        let other = Link::Accepted(self.accepted);
                        self.ends.insert((from, link), (to, other));
                        self.ends.insert((to, other), (from, link));
                    }
                    None => self.deliver(from, Input::Closed { link, why: format!("there is no {address:?}") }),
                }
            }
            Output::Send { link, bytes } => {
                let Some(&(to, other)) = self.ends.get(&(from, link)) else { return };
                let head = bytes.first_chunk::<HEAD>().and_then(|head| Head::decode(head).ok());
                let kind = head.expect("nodes send messages").kind;
                self.log.push(Sent { at: self.now, from, to, kind });
                if !self.gone.contains(&to) {
                    self.deliver(to, Input::Received { link: other, bytes });
                }
            }
            Output::Close { link } => {
                let Some((to, other)) = self.ends.remove(&(from, link)) else { return };
                self.ends.remove(&(to, other));
                self.inboxes[from].retain(|_, input| !is_on(input, link));
                if !self.gone.contains(&to) {
                    self.deliver(to, Input::Closed { link: other, why: "closed by the other side".into() });
                }
            }
        }
    }

    fn crash(&mut self, endpoint: usize) {
        self.gone.insert(endpoint);
        self.inboxes[endpoint].clear();
        let ends: Vec<_> = self.ends.iter().filter(|(_, peer)| peer.0 == endpoint).map(|(&end, _)| end).collect();
        for (machine, link) in ends {
            self.ends.remove(&(machine, link));
            if !self.gone.contains(&machine) {
                self.drop_some(machine, link);
                self.deliver(machine, Input::Closed { link, why: "reset by the other side".into() });
            }
        }
    }

    /// Loses what is under way on a connection, from some message on.
    fn drop_some(&mut self, machine: usize, link: Link) {
        let inbox = &self.inboxes[machine];
        let under_way: Vec<_> = inbox.iter().filter(|(_, input)| is_on(input, link)).map(|(&key, _)| key).collect();
        let kept = self.random.below(under_way.len() as u64 + 1) as usize;
        for key in &under_way[kept..] {
            self.inboxes[machine].remove(key);
        }
    }
}

fn is_on(input: &Input, which: Link) -> bool {
    match input {
        Input::Received { link, .. } | Input::Congested { link, .. } | Input::Closed { link, .. } => *link == which,
    }
}

impl MemoryEndpoint {
    /// Its number, as [`MemoryNetwork::crash`] wants it.
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Where others reach it.
    pub fn address(&self) -> String {
        format!("memory:{}", self.index)
    }
}

impl Transport for MemoryEndpoint {
    fn carry_out(&mut self, output: Output) {
        self.network.borrow_mut().carry_out(self.index, output);
    }

    fn next_input(&mut self) -> Option<Input> {
        let mut network = self.network.borrow_mut();
        let now = network.now;
        let first = network.inboxes[self.index].first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(first.remove())
    }
}
