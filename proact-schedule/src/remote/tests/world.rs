//! Several nodes on a network, and devices whose work takes the time that its payload says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proact::status::{Code, Operation, Status};
use proact::time::Time;

use super::network::{Endpoint, Network, On, session};
use crate::audit::{SessionAudit, audit, audit_session};
use crate::model::Place;
use crate::record::{Recording, Timed};
use crate::remote::coordinator::{Coordinator, EmbeddedCoordinator, FarCoordinator};
use crate::remote::transport::{Sent, exchange};
use crate::remote::wire::Kind;
use crate::remote::*;
use crate::{Scheduler, SchedulerOptions};

pub const LEASE: Duration = Duration::from_secs(2);

pub struct Machine {
    pub node: Node<Box<dyn Coordinator>>,
    /// Where a scheduler runs its stages.
    pub scheduled: Option<(Bridge, Scheduler<RemoteWork, Recording>)>,
    pub endpoint: Endpoint,
    /// Whether its process runs.
    pub alive: bool,
    pub events: Vec<(Time, NodeEvent)>,
    pub ended: BTreeSet<StageId>,
}

pub struct World {
    pub network: Network,
    /// Messages take up to this long.
    pub delay_max: Duration,
    pub machines: Vec<Machine>,
    running: BTreeMap<(Time, usize, StageId), bool>,
    /// The scheduler's places of what runs.
    places: BTreeMap<StageId, Place>,
    seed: u64,
}

/// Work that takes so many milliseconds, and then ends well or not.
pub fn work(milliseconds: u32, well: bool) -> Vec<u8> {
    let mut payload = milliseconds.to_le_bytes().to_vec();
    payload.push(u8::from(well));
    payload
}

impl Machine {
    fn next_work(&mut self, places: &mut BTreeMap<StageId, Place>) -> Option<RemoteWork> {
        let Some((bridge, scheduler)) = &mut self.scheduled else { return self.node.next_work() };
        bridge.follow(&mut self.node, scheduler).unwrap();
        let work = scheduler.next_work()?;
        places.insert(work.payload.stage, work.place);
        Some(work.payload)
    }

    /// A scheduler is done with all that its node is done with, and what it left out was implied.
    fn check_scheduler(&self, seed: u64) {
        if let Some((_, scheduler)) = &self.scheduled {
            assert_eq!(scheduler.in_flight(), self.node.stages() as u64, "seed {seed}");
            audit(&scheduler.recorder().events).unwrap_or_else(|violation| panic!("seed {seed}: {violation:?}"));
            let (own, theirs) = (self.node.statistics(), scheduler.statistics());
            assert_eq!((own.completed, own.failed), (theirs.completed, theirs.failed), "seed {seed}");
        }
    }
}

impl World {
    /// So many machines, each with two devices, in one session. Endpoint and index are the same number.
    pub fn new(on: On, seed: u64, machines: usize) -> World {
        let (network, delay_max) = (Network::new(on, seed), on.delay_max());
        let (running, places) = (BTreeMap::new(), BTreeMap::new());
        let mut world = World { network, delay_max, machines: Vec::new(), running, places, seed };
        for index in 0..machines {
            // Every other one leaves its stages to a scheduler.
            let options = NodeOptions::new();
            world.join(if (seed as usize + index) % 2 == 0 { options.scheduled() } else { options });
            world.run_until("it is a member", |world| world.machines[index].node.machine().is_some());
            assert_eq!(world.machines[index].node.machine(), Some(MachineId(index as u8)));
        }
        world.run_until("all know each other", |world| {
            world.machines.iter().all(|machine| machine.node.members().count() == machines - 1)
        });
        world
    }

    pub fn join(&mut self, options: NodeOptions) {
        let options = options.recorded();
        let endpoint = self.network.endpoint();
        let host = endpoint.index() == 0;
        let coordinator: Box<dyn Coordinator> = match host {
            true => Box::new(EmbeddedCoordinator::new(session(self.seed), LEASE)),
            false => Box::new(FarCoordinator::new()),
        };
        let name = ["a", "b", "c", "d", "e"][endpoint.index() % 5].into();
        let join =
            Join { name, address: self.network.address(endpoint.index()), devices: vec!["gpu".into(), "disk".into()] };
        let scheduler = || Scheduler::with_recorder(SchedulerOptions::new(), Recording::default());
        let scheduled = options.scheduled.then(|| (Bridge::new(), scheduler()));
        let mut node = Node::new(options, join, coordinator);
        let coordinator = self.network.address(0);
        node.join(self.network.now(), (!host).then_some(&coordinator)).unwrap();
        let (events, ended) = (Vec::new(), BTreeSet::new());
        self.machines.push(Machine { node, scheduled, endpoint, alive: true, events, ended });
    }

    pub fn now(&self) -> Time {
        self.network.now()
    }

    pub fn node(&mut self, machine: usize) -> &mut Node<Box<dyn Coordinator>> {
        &mut self.machines[machine].node
    }

    pub fn name(&mut self, client: usize, owner: usize) -> SemaphoreName {
        self.node(client).name_semaphore(MachineId(owner as u8)).unwrap()
    }

    pub fn submit(&mut self, client: usize, pipeline: &Pipeline) -> Vec<StageId> {
        let now = self.now();
        self.node(client).submit(now, pipeline).unwrap_or_else(|status| panic!("{status}"))
    }

    /// What happens now.
    fn settle(&mut self) {
        loop {
            let before = self.network.events();
            let mut went_on = false;
            for index in self.network.order(self.machines.len()) {
                if self.machines[index].alive {
                    went_on |= self.visit(index);
                }
            }
            if !went_on && self.network.events() == before {
                return;
            }
        }
    }

    /// One machine's turn. Answers whether its sockets had anything to do.
    fn visit(&mut self, index: usize) -> bool {
        let now = self.now();
        let machine = &mut self.machines[index];
        exchange(now, &mut machine.node, &mut machine.endpoint);
        while let Some(work) = machine.next_work(&mut self.places) {
            let milliseconds = u32::from_le_bytes(work.payload[..4].try_into().unwrap());
            let at = now + Duration::from_millis(milliseconds.into());
            self.running.insert((at, index, work.stage), work.payload[4] == 1);
        }
        machine.events.extend(std::iter::from_fn(|| machine.node.next_event()).map(|event| (now, event)));
        machine.endpoint.poll()
    }

    /// Lets the next thing happen.
    #[track_caller]
    pub fn step(&mut self) {
        assert!(self.step_if_any(), "seed {}: nothing happens any more", self.seed);
    }

    /// As [`World::step`]; `false` if nothing will ever happen again.
    fn step_if_any(&mut self) -> bool {
        self.settle();
        let alive = self.machines.iter().filter(|machine| machine.alive);
        let deadline = alive.filter_map(|machine| machine.node.deadline()).min();
        let work = self.running.first_key_value().map(|(&(at, ..), _)| at);
        let next = [self.network.next_event(), deadline, work].into_iter().flatten().min();
        let Some(next) = next else { return false };
        self.network.pass_until(next);
        let now = self.now();
        while let Some(first) = self.running.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, index, stage), well) = first.remove_entry();
            let machine = &mut self.machines[index];
            if !machine.alive {
                continue;
            }
            if let Some((_, scheduler)) = &mut machine.scheduled {
                let place = self.places.remove(&stage).unwrap();
                match well {
                    true => scheduler.complete(place).unwrap(),
                    false => scheduler.fail(place, Status::new(Code::Internal, Operation::None)).unwrap(),
                }
            }
            if well {
                machine.ended.insert(stage);
                machine.node.complete(now, stage).unwrap();
            } else {
                machine.node.fail(now, stage, "the device says no").unwrap();
            }
        }
        self.settle();
        true
    }

    /// Goes on until something is so. Ten minutes of the machines' time are more than anything here takes.
    #[track_caller]
    pub fn run_until(&mut self, what: &str, is_so: impl Fn(&World) -> bool) {
        let until = self.now() + Duration::from_secs(600);
        self.settle();
        while !is_so(self) {
            assert!(self.now() < until, "seed {}: still not so: {what}", self.seed);
            self.step();
        }
    }

    #[track_caller]
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now() + duration;
        self.settle();
        while self.now() < until && self.step_if_any() {}
    }

    /// Goes on until what was submitted has come to its machines and ended, and all have been told.
    #[track_caller]
    pub fn finish(&mut self) {
        self.run_for(2 * self.delay_max);
        self.run_until("all has ended", World::is_idle);
        self.run_for(4 * self.delay_max);
        self.machines.iter().filter(|machine| machine.alive).for_each(|machine| machine.check_scheduler(self.seed));
        self.check_session();
    }

    /// As [`World::finish`], also where no lease keeps time running.
    #[track_caller]
    pub fn finish_patiently(&mut self) {
        let until = self.now() + Duration::from_secs(600);
        let quiet_at = self.now() + 4 * self.delay_max;
        while (!self.is_idle() || self.now() < quiet_at) && self.step_if_any() {
            assert!(self.now() < until, "seed {}: it does not end", self.seed);
        }
        assert!(self.is_idle(), "seed {}: nothing happens any more, and not all has ended", self.seed);
        self.machines.iter().filter(|machine| machine.alive).for_each(|machine| machine.check_scheduler(self.seed));
        self.check_session();
    }

    /// What each machine took for true of the others was told to it; also of those that are gone.
    #[track_caller]
    pub fn check_session(&self) -> SessionAudit {
        let recordings: Vec<&[Timed]> = self.recordings().iter().map(|recording| &recording.events[..]).collect();
        audit_session(&recordings).unwrap_or_else(|violation| panic!("seed {}: {violation}", self.seed))
    }

    /// What each machine has recorded.
    pub fn recordings(&self) -> Vec<&Recording> {
        self.machines.iter().map(|machine| machine.node.recording().expect("it records")).collect()
    }

    /// No living machine has work left.
    fn is_idle(&self) -> bool {
        self.running.is_empty() && self.machines.iter().all(|machine| !machine.alive || machine.node.stages() == 0)
    }

    pub fn crash(&mut self, machine: usize) {
        self.machines[machine].alive = false;
        self.network.crash(machine);
        self.forget_work(machine);
    }

    /// The host of a machine loses its power: nobody is told.
    pub fn power_loss(&mut self, machine: usize) {
        self.machines[machine].alive = false;
        self.network.host(machine).crash();
        self.forget_work(machine);
    }

    fn forget_work(&mut self, machine: usize) {
        self.running.retain(|&(_, index, _), _| index != machine);
    }

    /// Messages from one machine to another, by kind.
    pub fn messages(&self, from: usize, to: usize) -> Vec<Kind> {
        self.log().into_iter().filter(|sent| (sent.from, sent.to) == (from, to)).map(|sent| sent.kind).collect()
    }

    /// All messages, in the order in which they were sent.
    pub fn log(&self) -> Vec<Sent> {
        self.network.log()
    }
}
