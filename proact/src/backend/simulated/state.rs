//! What a world is made of, under its one lock: time, what is to happen, hosts, descriptors.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::World;
use super::chance::Chance;
use super::connection::Connection;
use super::datagram::DatagramSocket;
use super::disk::Disk;
use super::errno::{EBADF, ECANCELED};
use super::files::{Answer, Job, OpenFile};
use super::link::{Link, Network};
use super::log::Log;
use super::pipe::Pipe;
use super::stream::StreamSocket;
use crate::backend::Token;

/// Something that happens at its time.
pub(super) enum Happening {
    /// A request for a connection arrives.
    Knock(super::connect::Knock),
    /// A connection is there for who asked for it, or refused.
    Reply(super::connect::Reply),
    /// The first bytes on their way to this end of a connection may arrive.
    Arrive { connection: u32, side: usize },
    /// An end of a connection learns that it is broken.
    Break { connection: u32, side: usize, error: i32 },
    /// A datagram arrives.
    Datagram(super::datagram::Travelling),
    /// The sender of a datagram hears that nobody takes it.
    Unwanted { sender: u32, from: u32 },
    /// A disk has carried a request out.
    Disk { port: u32, token: Token, job: Box<Job> },
    /// What a test has planned.
    Call(Box<dyn FnOnce(&World) + Send>),
}

/// What a descriptor names.
pub(super) struct Object {
    pub(super) descriptors: u32,
    pub(super) port: u32,
    pub(super) body: Body,
}

pub(super) enum Body {
    Event(u64),
    Pipe { pipe: u32, written: bool },
    Stream(StreamSocket),
    Datagram(DatagramSocket),
    File(OpenFile),
}

/// A proactor's place in the world.
pub(super) struct Port {
    pub(super) process: u32,
    /// Objects that may be worth another try.
    pub(super) ready: BTreeSet<u32>,
    /// What disks have carried out.
    pub(super) done: VecDeque<(Token, Answer)>,
}

pub(super) struct Process {
    pub(super) host: u32,
    pub(super) alive: bool,
}

pub(super) struct Host {
    pub(super) name: String,
    pub(super) up: bool,
    /// What else goes with it.
    pub(super) at_crash: Vec<Box<dyn FnOnce() + Send>>,
    pub(super) disk: Disk,
    pub(super) next_port: u16,
    /// Sockets bound to Unix names.
    pub(super) unix: BTreeMap<Vec<u8>, u32>,
    /// Sockets bound to ports: datagrams or not, the port, and who.
    pub(super) ports: BTreeSet<(bool, u16, u32)>,
}

pub(super) struct State {
    pub(super) now: u64,
    pub(super) chance: Chance,
    pub(super) log: Log,
    agenda: BTreeMap<(u64, u64), Happening>,
    planned: u64,
    pub(super) network: Network,
    pub(super) hosts: Vec<Host>,
    pub(super) processes: Vec<Process>,
    pub(super) ports: Vec<Port>,
    descriptors: BTreeMap<i32, u32>,
    next_descriptor: i32,
    pub(super) objects: BTreeMap<u32, Object>,
    next_object: u32,
    pub(super) connections: BTreeMap<u32, Connection>,
    pub(super) pipes: BTreeMap<u32, Pipe>,
    pub(super) next_connection: u32,
    /// Polls in a row that waited without an end and found nothing to wait for.
    pub(super) idle_polls: u32,
    /// Polls are the world's own, and take no time.
    pub(super) runs: bool,
}

impl State {
    pub(super) fn new(chance: Chance) -> State {
        State {
            now: 0,
            chance,
            log: Log::new(),
            agenda: BTreeMap::new(),
            planned: 0,
            network: Network::default(),
            hosts: Vec::new(),
            processes: Vec::new(),
            ports: Vec::new(),
            descriptors: BTreeMap::new(),
            // The first three are taken in every process.
            next_descriptor: 3,
            objects: BTreeMap::new(),
            next_object: 0,
            connections: BTreeMap::new(),
            pipes: BTreeMap::new(),
            next_connection: 0,
            idle_polls: 0,
            runs: false,
        }
    }

    /// Has something happen `delay` nanoseconds from now.
    pub(super) fn plan(&mut self, delay: u64, what: Happening) {
        self.idle_polls = 0;
        self.planned += 1;
        self.agenda.insert((self.now.saturating_add(delay), self.planned), what);
    }

    /// All that is planned, which never happens.
    pub(super) fn take_agenda(&mut self) -> impl Sized + use<> {
        std::mem::take(&mut self.agenda)
    }

    /// What the program has planned, which never happens. The rest goes on.
    pub(super) fn take_plans(&mut self) -> impl Sized + use<> {
        let (plans, rest) = std::mem::take(&mut self.agenda)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, what)| matches!(what, Happening::Call(_)));
        self.agenda = rest;
        plans
    }

    /// When the next thing happens.
    pub(super) fn next_time(&self) -> Option<u64> {
        self.agenda.first_key_value().map(|((time, _), _)| *time)
    }

    /// Takes one of the things that are due. Those due at the same time come in an order that is left open.
    pub(super) fn take_due(&mut self) -> Option<Happening> {
        let (first, _) = *self.agenda.first_key_value().map(|(key, _)| key).filter(|(time, _)| *time <= self.now)?;
        let same = self.agenda.range((first, 0)..=(first, u64::MAX)).take(ORDERS_MAX).count();
        let chosen = self.chance.choose(same);
        let key = *self.agenda.range((first, 0)..).nth(chosen).map(|(key, _)| key)?;
        self.agenda.remove(&key)
    }

    /// Carries out what happens, unless it is a test's own.
    pub(super) fn happen(&mut self, what: Happening) {
        self.idle_polls = 0;
        match what {
            Happening::Knock(knock) => self.knock(knock),
            Happening::Reply(reply) => self.reply(reply),
            Happening::Arrive { connection, side } => self.arrive(connection, side),
            Happening::Break { connection, side, error } => self.break_end(connection, side, error),
            Happening::Datagram(travelling) => self.datagram_arrives(travelling),
            Happening::Unwanted { sender, from } => self.unwanted(sender, from),
            Happening::Disk { port, token, job } => self.disk_done(port, token, *job),
            Happening::Call(_) => unreachable!("called without the lock"),
        }
    }

    /// Notes in the log.
    pub(super) fn note(&mut self, what: &'static str, words: &[u64]) {
        self.log.note(self.now, what, words);
    }

    /// Makes an object with one descriptor, of a proactor.
    pub(super) fn make(&mut self, port: u32, body: Body) -> i32 {
        let object = self.make_object(port, body);
        self.name_object(object)
    }

    /// Makes an object that no descriptor names yet.
    pub(super) fn make_object(&mut self, port: u32, body: Body) -> u32 {
        let object = self.next_object;
        self.next_object += 1;
        self.objects.insert(object, Object { descriptors: 0, port, body });
        object
    }

    /// Makes a descriptor of an object. Numbers are never used again.
    pub(super) fn name_object(&mut self, object: u32) -> i32 {
        let descriptor = self.next_descriptor;
        self.next_descriptor += 1;
        self.descriptors.insert(descriptor, object);
        if let Some(object) = self.objects.get_mut(&object) {
            object.descriptors += 1;
        }
        descriptor
    }

    /// The object of a descriptor.
    pub(super) fn object_of(&self, descriptor: i64) -> Result<u32, i32> {
        let number = i32::try_from(descriptor).map_err(|_| EBADF)?;
        self.descriptors.get(&number).copied().ok_or(EBADF)
    }

    pub(super) fn body(&mut self, object: u32) -> Result<&mut Body, i32> {
        self.objects.get_mut(&object).map(|object| &mut object.body).ok_or(EBADF)
    }

    /// The host that an object lies on.
    pub(super) fn host_of(&self, object: u32) -> Result<u32, i32> {
        self.objects.get(&object).map(|object| self.host_of_port(object.port)).ok_or(EBADF)
    }

    /// How many descriptors the processes of a host have.
    pub(super) fn descriptors_of(&self, host: u32) -> usize {
        let is_there = |object: &&Object| self.host_of_port(object.port) == host;
        self.objects.values().filter(is_there).map(|object| object.descriptors as usize).sum()
    }

    pub(super) fn host_of_port(&self, port: u32) -> u32 {
        self.processes[self.ports[port as usize].process as usize].host
    }

    /// Another descriptor of the same object.
    pub(super) fn duplicate(&mut self, descriptor: i64) -> Result<i32, i32> {
        let object = self.object_of(descriptor)?;
        Ok(self.name_object(object))
    }

    /// Closes a descriptor, and what it names with the last one.
    pub(super) fn close(&mut self, descriptor: i64) -> Result<i32, i32> {
        self.idle_polls = 0;
        let object = self.object_of(descriptor)?;
        self.descriptors.remove(&(descriptor as i32));
        let known = self.objects.get_mut(&object).ok_or(EBADF)?;
        known.descriptors -= 1;
        if known.descriptors == 0 {
            self.end_object(object, false);
        }
        Ok(0)
    }

    /// An object goes: by its last descriptor, with its process, or with its host (`silent`: nobody is told).
    pub(super) fn end_object(&mut self, object: u32, silent: bool) {
        let Some(known) = self.objects.remove(&object) else { return };
        match known.body {
            Body::Event(_) => {}
            Body::Pipe { pipe, written } => self.end_pipe(pipe, written),
            Body::Stream(socket) => self.end_stream(object, known.port, socket, silent),
            Body::Datagram(socket) => self.end_datagram(object, known.port, &socket),
            Body::File(file) => {
                let host = self.host_of_port(known.port) as usize;
                self.hosts[host].disk.closed(file.node);
            }
        }
    }

    /// Tells an object's proactor that it may be worth another try.
    pub(super) fn mark(&mut self, object: u32) {
        if let Some(known) = self.objects.get(&object) {
            self.ports[known.port as usize].ready.insert(object);
            self.idle_polls = 0;
        }
    }

    /// Ends a process: all that it has is closed, by the system or, if its host is gone, by nobody.
    pub(super) fn end_process(&mut self, process: u32, silent: bool) {
        if !std::mem::replace(&mut self.processes[process as usize].alive, false) {
            return;
        }
        self.note("process ends", &[process.into(), silent.into()]);
        let ports: Vec<u32> =
            (0..self.ports.len() as u32).filter(|&port| self.ports[port as usize].process == process).collect();
        let mut objects: Vec<u32> = Vec::new();
        for (number, object) in &self.objects {
            if ports.contains(&object.port) {
                objects.push(*number);
            }
        }
        for &object in &objects {
            self.end_object(object, silent);
        }
        self.descriptors.retain(|_, object| self.objects.contains_key(object));
        for port in ports {
            let port = &mut self.ports[port as usize];
            port.ready.clear();
            // Nobody is there to be told of what disks do from here on; requests end as their proactor cancels them.
            port.done.clear();
        }
    }

    /// Whether the process of a proactor is alive.
    pub(super) fn is_alive(&self, port: u32) -> bool {
        self.processes[self.ports[port as usize].process as usize].alive
    }

    /// The link between two hosts.
    pub(super) fn link(&self, one: u32, other: u32) -> Link {
        self.network.link(one, other)
    }

    /// Whether packets go from one host to another now.
    pub(super) fn reaches(&self, from: u32, to: u32) -> bool {
        self.hosts[from as usize].up && self.hosts[to as usize].up && !self.network.is_cut(from, to)
    }

    /// Withdraws what a disk was asked to do, if it has not done it. What was to be written is not.
    pub(super) fn withdraw(&mut self, port: u32, token: Token) -> bool {
        let planned = self.agenda.iter().find(|(_, what)| match what {
            Happening::Disk { port: of, token: known, .. } => (*of, *known) == (port, token),
            _ => false,
        });
        let Some(key) = planned.map(|(key, _)| *key) else { return false };
        self.agenda.remove(&key);
        self.ports[port as usize].done.push_back((token, Answer::failed(ECANCELED)));
        true
    }
}

/// Of more things that are due at the same time, only so many change places.
const ORDERS_MAX: usize = 8;
