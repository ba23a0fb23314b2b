//! What carries the words of a test's machines: memory, or the sockets of simulated hosts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use proact::causal::Session;
use proact::simulated::{self, Host, Process};
use proact::time::Time;

use crate::remote::transport::{MemoryEndpoint, MemoryNetwork, Sent, SocketTransport};
use crate::remote::wire::{HEAD, Head, Kind, Message};
use crate::remote::{Input, Link, Output, Transport};

/// What the machines of a test speak over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum On {
    /// Memory, which delivers whole messages.
    Memory,
    /// Sockets of hosts of a simulated world, over good links.
    Sockets,
    /// The same, over narrow links that lose, delay, and cut transfers short.
    BadSockets,
}

impl On {
    /// Messages take up to this long: of two machines that have not spoken before, with the connection that it takes.
    pub const fn delay_max(self) -> Duration {
        match self {
            On::Memory | On::Sockets => Duration::from_millis(20),
            // Three losses one after another, of the connection or of what is sent.
            On::BadSockets => Duration::from_millis(1500),
        }
    }

    fn link(self) -> simulated::Link {
        let good = simulated::Link {
            latency: Duration::from_micros(500),
            jitter: Duration::from_millis(4),
            ..simulated::Link::default()
        };
        match self {
            On::BadSockets => simulated::Link { bandwidth: Some(1 << 20), loss: 10_000, short: 300_000, ..good },
            _ => good,
        }
    }
}

/// A network, of either sort.
pub enum Network {
    Memory(MemoryNetwork),
    Sockets { world: simulated::World, on: On, hosts: Vec<Process>, shared: Rc<RefCell<Shared>> },
}

/// What all endpoints on sockets know.
#[derive(Default)]
pub struct Shared {
    addresses: Vec<String>,
    log: Vec<Sent>,
}

/// A machine's end of a [`Network`].
pub enum Endpoint {
    Memory(MemoryEndpoint),
    Sockets(Box<SocketEnd>),
}

/// A socket transport, of which everything that is sent is noted, as the memory does it.
pub struct SocketEnd {
    index: usize,
    session: Session,
    world: simulated::World,
    transport: SocketTransport,
    /// To whom connections lead.
    leads: BTreeMap<Link, usize>,
    shared: Rc<RefCell<Shared>>,
}

/// The only port that any machine listens at.
const PORT: u16 = 7000;

/// The session of all tests of a seed.
pub fn session(seed: u64) -> Session {
    Session::new(u128::from(seed) << 64 | 1, 3)
}

impl Network {
    pub fn new(on: On, seed: u64) -> Network {
        match on {
            On::Memory => Network::Memory(MemoryNetwork::new(seed, on.delay_max())),
            _ => {
                let world = simulated::World::new(seed);
                Network::Sockets { world, on, hosts: Vec::new(), shared: Rc::default() }
            }
        }
    }

    /// Another machine's end. They are counted from 0.
    pub fn endpoint(&mut self) -> Endpoint {
        match self {
            Network::Memory(memory) => Endpoint::Memory(memory.endpoint()),
            Network::Sockets { world, on, hosts, shared } => {
                let index = hosts.len();
                let host = world.host(&format!("machine {index}"));
                for other in hosts.iter() {
                    world.link(&host, other.host(), on.link());
                }
                let process = host.process();
                let proactor = process.builder().build().unwrap();
                let transport = SocketTransport::listen(proactor, &host.address(PORT).into()).unwrap();
                shared.borrow_mut().addresses.push(transport.address().into());
                hosts.push(process);
                let (world, shared, session) = (world.clone(), shared.clone(), session(world.seed()));
                let leads = BTreeMap::new();
                Endpoint::Sockets(Box::new(SocketEnd { index, session, world, transport, leads, shared }))
            }
        }
    }

    pub fn now(&self) -> Time {
        match self {
            Network::Memory(memory) => memory.now(),
            Network::Sockets { world, .. } => world.now(),
        }
    }

    /// When something happens next that no machine has to do with.
    pub fn next_event(&self) -> Option<Time> {
        match self {
            Network::Memory(memory) => memory.next_arrival(),
            Network::Sockets { world, .. } => world.next_event(),
        }
    }

    pub fn pass_until(&self, time: Time) {
        match self {
            Network::Memory(memory) => memory.pass_until(time),
            Network::Sockets { world, .. } => world.pass_until(time),
        }
    }

    /// In which order machines come to their turn.
    pub fn order(&self, machines: usize) -> Vec<usize> {
        let mut left: Vec<usize> = (0..machines).collect();
        match self {
            Network::Memory(_) => left,
            Network::Sockets { world, .. } => {
                (0..machines).map(|_| left.swap_remove(world.choose(left.len()))).collect()
            }
        }
    }

    /// What happened up to now, as a number: another one afterwards says that something did.
    pub fn events(&self) -> u64 {
        match self {
            // What memory delivers comes later than it was sent.
            Network::Memory(_) => 0,
            Network::Sockets { world, .. } => world.events(),
        }
    }

    /// The process of a machine dies.
    pub fn crash(&self, machine: usize) {
        match self {
            Network::Memory(memory) => memory.crash(machine),
            Network::Sockets { hosts, .. } => hosts[machine].kill(),
        }
    }

    /// A machine is cut off: nothing comes from it or to it any more, and nobody is told.
    pub fn cut_off(&self, machine: usize) {
        match self {
            Network::Memory(memory) => memory.cut_off(machine),
            Network::Sockets { world, .. } => {
                self.others(machine).for_each(|other| world.partition(self.host(machine), other));
            }
        }
    }

    /// The simulated world below, where there is one.
    pub fn world(&self) -> &simulated::World {
        match self {
            Network::Memory(_) => panic!("a network in memory has no hosts"),
            Network::Sockets { world, .. } => world,
        }
    }

    /// The host of a machine, where there are hosts.
    pub fn host(&self, machine: usize) -> &Host {
        match self {
            Network::Memory(_) => panic!("a network in memory has no hosts"),
            Network::Sockets { hosts, .. } => hosts[machine].host(),
        }
    }

    /// The hosts of all machines but one.
    pub fn others(&self, machine: usize) -> impl Iterator<Item = &Host> {
        let hosts: &[Process] = match self {
            Network::Memory(_) => &[],
            Network::Sockets { hosts, .. } => hosts,
        };
        hosts.iter().enumerate().filter(move |&(index, _)| index != machine).map(|(_, process)| process.host())
    }

    /// All messages that were sent, in order.
    pub fn log(&self) -> Vec<Sent> {
        match self {
            Network::Memory(memory) => memory.log(),
            Network::Sockets { shared, .. } => shared.borrow().log.clone(),
        }
    }

    /// Where others reach a machine.
    pub fn address(&self, machine: usize) -> String {
        match self {
            Network::Memory(_) => format!("memory:{machine}"),
            Network::Sockets { shared, .. } => shared.borrow().addresses[machine].clone(),
        }
    }
}

impl Endpoint {
    pub fn index(&self) -> usize {
        match self {
            Endpoint::Memory(end) => end.index(),
            Endpoint::Sockets(end) => end.index,
        }
    }

    /// Has what was asked for go on, as far as it can now. Answers whether any of it did.
    pub fn poll(&mut self) -> bool {
        match self {
            Endpoint::Memory(_) => false,
            Endpoint::Sockets(end) => {
                let polled = end.transport.wait(end.world.now()).expect("a process that is alive");
                polled.completed + polled.messages + polled.progressed > 0 || polled.woken
            }
        }
    }
}

impl SocketEnd {
    /// Who it is that has opened a connection, as the first message on it says.
    fn note_peer(&mut self, link: Link, bytes: &[u8]) {
        if self.leads.contains_key(&link) {
            return;
        }
        let peer = match Message::decode(self.session, bytes) {
            Ok(Message::Hello(hello)) => hello.from.0.into(),
            Ok(Message::Join(join)) => {
                let known = &self.shared.borrow().addresses;
                known.iter().position(|address| *address == join.address).expect("a machine of this test")
            }
            other => panic!("the first message on {link:?} is {other:?}"),
        };
        self.leads.insert(link, peer);
    }
}

impl Transport for Endpoint {
    fn carry_out(&mut self, output: Output) {
        let end = match self {
            Endpoint::Memory(end) => return end.carry_out(output),
            Endpoint::Sockets(end) => end,
        };
        let mut shared = end.shared.borrow_mut();
        match &output {
            Output::Open { link, address } => {
                let peer = shared.addresses.iter().position(|known| known == address).expect("a machine of this test");
                end.leads.insert(*link, peer);
            }
            Output::Send { link, bytes } => {
                let kind: Kind = Head::decode(bytes.first_chunk::<HEAD>().expect("a head")).expect("a message").kind;
                let (at, from, to) = (end.world.now(), end.index, end.leads[link]);
                shared.log.push(Sent { at, from, to, kind });
            }
            Output::Close { .. } => {}
        }
        end.transport.carry_out(output);
    }

    fn next_input(&mut self) -> Option<Input> {
        match self {
            Endpoint::Memory(end) => end.next_input(),
            Endpoint::Sockets(end) => {
                let input = end.transport.next_input()?;
                if let Input::Received { link, bytes } = &input {
                    end.note_peer(*link, bytes);
                }
                Some(input)
            }
        }
    }
}
