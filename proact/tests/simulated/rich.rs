//! Worlds in which about everything happens at once, twice: nothing but the seed may decide what comes of it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use proact::backend::OpenFlags;
use proact::operation::{
    Accept, CancelAll, Chain, Close, Complete, Connect, Context, Kind, MakeDirectory, Op, Open, OperationId, Outcome,
    Read, Receive, ReceiveFrom, Remove, Rename, SemaphoreWait, Send, SendTo, Sync, Timer, Write,
};
use proact::proactor::Proactor;
use proact::resource::{Address, Domain, File, Shutdown, Socket, SocketOptions};
use proact::simulated::{Command, Device, DeviceQueue, Host, Link, Process, Storage, World};
use proact::status::Code;

use crate::proactor;

const HOSTS: usize = 3;
const ROUNDS: u32 = 120;

/// What was told, in the order in which it was: by whom, in which round, of what, and how it ended.
type Told = Rc<RefCell<Vec<(usize, u32, &'static str, Code)>>>;

/// What a node's operations have yielded so far.
#[derive(Default)]
struct Things {
    streams: Vec<Socket>,
    files: Vec<File>,
}

/// Notes how an operation ended, and keeps what it yields.
struct Note<K: Kind> {
    told: Told,
    node: usize,
    round: u32,
    what: &'static str,
    things: Rc<RefCell<Things>>,
    keep: fn(K::Output, &mut Things),
}

impl<K: Kind> Complete<K> for Note<K> {
    fn done(op: Box<Op<K, Self>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        let state = op.state;
        let code = outcome.result.as_ref().map_or_else(|status| status.code(), |_| Code::Ok);
        state.told.borrow_mut().push((state.node, state.round, state.what, code));
        if let Ok(output) = outcome.result {
            (state.keep)(output, &mut state.things.borrow_mut());
        }
    }
}

struct Node {
    host: Host,
    process: Process,
    proactor: Proactor,
    datagrams: Socket,
    queue: DeviceQueue,
    things: Rc<RefCell<Things>>,
    ids: Vec<OperationId>,
}

fn build(host: &Host) -> Node {
    let process = host.process();
    let proactor = process.builder().build().unwrap();
    let datagrams = proactor.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
    datagrams.bind(&Address::from(host.address(53))).unwrap();
    let queue = Device::new(host).queue();
    Node { host: host.clone(), process, proactor, datagrams, queue, things: Rc::default(), ids: Vec::new() }
}

struct Rich<'a> {
    world: &'a World,
    told: Told,
    nodes: Vec<Node>,
    round: u32,
}

impl Rich<'_> {
    fn pick(&self, below: usize) -> usize {
        self.world.random(below as u64) as usize
    }

    fn bytes(&self, most: u64) -> Vec<u8> {
        vec![self.round as u8; self.world.random(most) as usize]
    }

    fn keep<K: Kind>(&mut self, node: usize, what: &'static str, kind: K, keep: fn(K::Output, &mut Things)) {
        let Rich { told, round, .. } = self;
        let (told, round) = (told.clone(), *round);
        let things = self.nodes[node].things.clone();
        let note = Note { told: told.clone(), node, round, what, things, keep };
        match self.nodes[node].proactor.submit(Op::new(kind, note)) {
            Ok(id) => self.nodes[node].ids.push(id),
            Err(refused) => told.borrow_mut().push((node, round, "refused", refused.status.code())),
        }
    }

    fn start<K: Kind>(&mut self, node: usize, what: &'static str, kind: K) {
        self.keep(node, what, kind, |_, _| {});
    }

    fn stream(&self, node: usize) -> Option<Socket> {
        let things = self.nodes[node].things.borrow();
        (!things.streams.is_empty()).then(|| things.streams[self.pick(things.streams.len())].clone())
    }

    fn file(&self, node: usize) -> Option<File> {
        let things = self.nodes[node].things.borrow();
        (!things.files.is_empty()).then(|| things.files[self.pick(things.files.len())].clone())
    }

    fn connect(&mut self, node: usize, other: usize) {
        let address = Address::from(self.nodes[other].host.address(7000 + self.pick(3) as u16));
        let options = SocketOptions::default();
        if let Ok(listener) = self.nodes[other].proactor.handle().listen(&address, &options) {
            self.keep(other, "accept", Accept::new(listener), |accepted, things| things.streams.push(accepted.socket));
        }
        let socket = self.nodes[node].proactor.handle().socket(Domain::Ipv4, &options).unwrap();
        self.nodes[node].things.borrow_mut().streams.push(socket.clone());
        self.start(node, "connect", Connect::new(socket, address));
    }

    fn network(&mut self, node: usize, other: usize) {
        match (self.pick(8), self.stream(node)) {
            (0, _) | (_, None) => self.connect(node, other),
            (1 | 2, Some(stream)) => self.start(node, "send", Send::exact(stream, self.bytes(90_000))),
            (3, Some(stream)) => self.start(node, "receive", Receive::some(stream, self.bytes(20_000))),
            (4, Some(stream)) => self.start(node, "receive all", Receive::exact(stream, self.bytes(50_000))),
            (5, _) => {
                let to = Address::from(self.nodes[other].host.address(53 + self.pick(2) as u16));
                let socket = self.nodes[node].datagrams.clone();
                self.start(node, "send to", SendTo::new(socket, self.bytes(2000), to));
            }
            (6, _) => {
                let socket = self.nodes[node].datagrams.clone();
                self.start(node, "receive from", ReceiveFrom::new(socket, vec![0; 1000]));
            }
            (_, Some(stream)) => match self.pick(3) {
                0 => drop(stream.shutdown(Shutdown::Send)),
                1 => self.start(node, "close", Close::new(stream)),
                _ => self.start(node, "cancel all", CancelAll::new(&stream)),
            },
        }
    }

    fn disk(&mut self, node: usize) {
        let path = ["/d/x", "/d/y", "/d/deep/z"][self.pick(3)];
        match (self.pick(8), self.file(node)) {
            (0 | 1, _) | (_, None) => {
                let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
                self.keep(node, "open", Open::new(path, flags), |file, things| things.files.push(file));
            }
            (2, Some(file)) => self.start(node, "write", Write::exact(file, self.world.random(9000), self.bytes(9000))),
            (3, Some(file)) => self.start(node, "read", Read::some(file, self.world.random(9000), vec![0; 4000])),
            (4, Some(file)) => self.start(node, "sync", Sync::all(file)),
            (5, _) => self.start(node, "rename", Rename::new(path, "/d/x").replacing()),
            (6, _) => self.start(node, "remove", Remove::file(path)),
            _ => self.start(node, "make directory", MakeDirectory::new("/d/deep")),
        }
    }

    fn device(&mut self, node: usize, other: usize) {
        let after = self.nodes[other].queue.semaphore().clone();
        let value = after.value() + self.world.random(2);
        let command = Command::new(Duration::from_micros(self.world.random(500))).after(&after, value);
        if let Ok(value) = self.nodes[node].queue.submit(command) {
            let semaphore = self.nodes[node].queue.semaphore().clone();
            self.start(node, "semaphore", SemaphoreWait::new(semaphore, value));
        }
    }

    fn trouble(&mut self, node: usize, other: usize) {
        let (one, two) = (self.nodes[node].host.clone(), self.nodes[other].host.clone());
        match self.pick(10) {
            0 | 1 => {
                self.world.partition(&one, &two);
                let lasts = Duration::from_millis(self.world.random(90_000));
                self.world.after(lasts, move |world| world.heal(&one, &two));
            }
            2 => self.world.reset(&one, &two),
            3 => self.world.after(Duration::from_micros(self.world.random(900)), move |_| one.crash()),
            4 => self.nodes[node].process.kill(),
            5 => one.storage(Storage { capacity: Some(self.world.random(40_000)), ..Storage::default() }),
            6 => one.storage(Storage {
                jitter: Duration::from_micros(200),
                short: 300_000,
                failing: 50_000,
                failing_syncs: 200_000,
                ..Storage::default()
            }),
            7 => self.world.link(&one, &two, Link::INSTANT),
            _ => self.world.link(
                &one,
                &two,
                Link {
                    jitter: Duration::from_micros(self.world.random(2000)),
                    bandwidth: [None, Some(3_000_000)][self.pick(2)],
                    loss: 50_000,
                    reordering: 200_000,
                    duplication: 100_000,
                    short: 300_000,
                    ..Link::default()
                },
            ),
        }
    }

    fn round(&mut self) {
        let (node, other) = (self.pick(HOSTS), self.pick(HOSTS));
        if !self.nodes[node].process.is_alive() {
            let host = self.nodes[node].host.clone();
            host.restart();
            self.nodes[node] = build(&host);
        }
        match self.pick(12) {
            0..5 => self.network(node, other),
            5..8 => self.disk(node),
            8 => self.device(node, other),
            9 => {
                let at = self.nodes[node].proactor.now() + Duration::from_micros(self.world.random(3000));
                let chain = Chain::new((Op::new(Timer::new(at), ()), Op::new(Timer::new(at), ())));
                drop(self.nodes[node].proactor.submit(chain));
                self.start(node, "timer", Timer::new(at));
            }
            10 => {
                if let Some(id) = self.nodes[node].ids.pop() {
                    drop(self.nodes[node].proactor.cancel(id));
                }
            }
            _ => self.trouble(node, other),
        }
    }

    fn run(&mut self, time: Duration) {
        let mut all: Vec<&mut Proactor> = self.nodes.iter_mut().map(|node| &mut node.proactor).collect();
        self.world.run(&mut all, time).unwrap();
    }
}

/// Everything by which two runs could differ, and which things were seen to end well.
type Came = (u64, u64, u64, Vec<String>, Vec<(usize, u32, &'static str, Code)>);

fn rich(seed: u64) -> Came {
    let world = World::new(seed);
    world.keep_log();
    let hosts = ["a", "b", "c"].map(|name| world.host(name));
    hosts.iter().for_each(|host| host.put_file("/d/x", &[1; 3000]).unwrap());
    let nodes = hosts.iter().map(build).collect();
    let mut all = Rich { world: &world, told: Told::default(), nodes, round: 0 };
    for round in 0..ROUNDS {
        all.round = round;
        all.round();
        all.run(Duration::from_micros(world.random(400)));
    }
    all.run(Duration::from_secs(200));
    for host in &hosts {
        host.crash();
        for name in host.list("/d").unwrap() {
            let length = host.stat(&format!("/d/{name}"), false).unwrap().size;
            all.told.borrow_mut().push((length as usize, 0, "left", Code::Ok));
        }
    }
    drop(std::mem::take(&mut all.nodes));
    let told = all.told.take();
    (world.digest(), world.events(), world.now().as_nanoseconds(), world.take_log(), told)
}

#[test]
fn whatever_happens_a_seed_decides_all_of_it() {
    let mut digests = BTreeSet::new();
    let mut well = BTreeSet::new();
    let seeds = std::env::var("PROACT_SIMULATION_SEEDS").map_or(60, |text| text.parse().expect("a number"));
    for seed in 0..seeds {
        let here = rich(seed);
        // Elsewhere, at other addresses, behind other proactors' numbers, with other keys of hash maps.
        let there = std::thread::spawn(move || {
            let world = World::new(0);
            let _ballast: Vec<Proactor> = (0..seed % 7).map(|_| proactor(&world.host("a"))).collect();
            let _more: Vec<Box<[u8]>> = (0..100 + seed as usize).map(|size| vec![0; size * 8].into()).collect();
            rich(seed)
        });
        let there = there.join().unwrap();
        if here != there {
            let log = here.3.iter().zip(&there.3).find(|(here, there)| here != there);
            let told = here.4.iter().zip(&there.4).find(|(here, there)| here != there);
            panic!("seed {seed} did two things: {log:?}, {told:?}");
        }
        well.extend(here.4.iter().filter(|told| told.3 == Code::Ok).map(|told| told.2));
        digests.insert(here.0);
    }
    assert_eq!(digests.len() as u64, seeds, "every seed is another run");
    let expected = [
        "accept",
        "cancel all",
        "close",
        "connect",
        "left",
        "make directory",
        "open",
        "read",
        "receive",
        "receive all",
        "receive from",
        "remove",
        "rename",
        "semaphore",
        "send",
        "send to",
        "sync",
        "timer",
        "write",
    ];
    assert_eq!(well, BTreeSet::from(expected), "what never goes well shows nothing");
}
