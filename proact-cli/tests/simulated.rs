//! The transfer engine in simulated worlds: over links that lose and part, to disks that fail and hosts that crash.
//!
//! Each seed is another world. In every one of them nothing that was said to be delivered is lost, no file is visible
//! that is not whole, and every transfer ends. `PROACT_SIMULATION_SEEDS` says how many are tried, and
//! `PROACT_SIMULATION_SEED` which one alone.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proact::backend::FileKind;
use proact::proactor::Proactor;
use proact::resource::{Address, SocketOptions};
use proact::simulated::{Host, Link, Stalled, Storage, World, explore};
use proact::time::Time;
use proact_cli::plan::{Options, Plan};
use proact_cli::source::{Identity, Node, NodeKind, Tree};
use proact_cli::transfer::compute::{ComputeQueue, Job, carry_out};
use proact_cli::transfer::machine::kick;
use proact_cli::transfer::random::Random;
use proact_cli::transfer::receiver::server::Server;
use proact_cli::transfer::receiver::{EARLY_SYNC, ReceiveOptions};
use proact_cli::transfer::sender::{SendOptions, Sender};
use proact_cli::transfer::trace::{Role, Trace};
use proact_cli::wire::Limits;
use proact_schedule::audit::audit;
use proact_schedule::record::{Event, Recording};

#[path = "simulated/resume.rs"]
mod resume;
#[path = "simulated/tls.rs"]
mod tls;

use tls::Trust;

/// A device that digests in virtual time, one chunk after another.
struct Device {
    world: World,
    busy_until: Cell<Time>,
}

impl Device {
    fn new(world: &World) -> Rc<Device> {
        Rc::new(Device { world: world.clone(), busy_until: Cell::new(Time::ORIGIN) })
    }
}

impl ComputeQueue for Device {
    fn submit(&self, job: Job) {
        let now = self.world.now();
        let ends = self.busy_until.get().max(now) + Duration::from_micros(20);
        self.busy_until.set(ends);
        self.world.after(ends - now, move |_| carry_out(job));
    }
}

/// The sources of a simulated host.
struct HostTree<'a>(&'a Host);

impl Tree for HostTree<'_> {
    fn stat(&self, path: &Path, follow: bool) -> io::Result<Node> {
        let known =
            self.0.stat(path.to_str().unwrap(), follow).map_err(|status| io::Error::other(status.to_string()))?;
        Ok(Node {
            kind: match known.kind {
                FileKind::File => NodeKind::File,
                FileKind::Directory => NodeKind::Directory,
                FileKind::Link => NodeKind::Link,
                FileKind::Other => NodeKind::Other,
            },
            size: if known.kind == FileKind::File { known.size } else { 0 },
            mode: known.mode & 0o777,
            modified_seconds: known.modified_seconds,
            modified_nanoseconds: known.modified_nanoseconds,
            identity: Identity::Number(known.device, known.inode),
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        let names = self.0.list(path.to_str().unwrap()).map_err(|status| io::Error::other(status.to_string()))?;
        Ok(names.into_iter().map(OsString::from).collect())
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_owned())
    }
}

type Files = BTreeMap<String, Vec<u8>>;

/// What is sent: some files below a directory, of lengths around those at which something changes.
fn sources(world: &World, host: &Host) -> Files {
    let mut files = Files::new();
    for number in 0..1 + world.random(6) {
        let length = [0, 1, 4095, 4096, 70_000, world.random(150_000)][world.random(6) as usize] as usize;
        let bytes: Vec<u8> = (0..length).map(|at| (at as u64 * (number + 3) + world.seed()) as u8).collect();
        let folder = if number % 3 == 2 { "data/deep" } else { "data" };
        host.put_file(&format!("/{folder}/file-{number}"), &bytes).unwrap();
        files.insert(format!("{folder}/file-{number}"), bytes);
    }
    files
}

/// Every file below the destination that is not hidden, by its name there.
fn visible(host: &Host, below: &str, files: &mut Files) {
    let folder = format!("/into{below}");
    for name in host.list(&folder).unwrap_or_default() {
        let path = format!("{below}/{name}");
        if name.starts_with('.') {
            continue;
        }
        match host.stat(&format!("/into{path}"), false).unwrap().kind {
            FileKind::Directory => visible(host, &path, files),
            _ => drop(files.insert(path[1..].to_owned(), host.read_file(&format!("/into{path}")).unwrap())),
        }
    }
}

#[track_caller]
fn whole_or_not_there(host: &Host, sent: &Files) -> usize {
    let mut found = Files::new();
    visible(host, "", &mut found);
    for (name, bytes) in &found {
        let expected = sent.get(name).unwrap_or_else(|| panic!("{name} was never sent"));
        assert!(bytes == expected, "{name} is visible and not whole: {} bytes of {}", bytes.len(), expected.len());
    }
    found.len()
}

struct Receiving {
    proactor: Proactor,
    server: Rc<RefCell<Server>>,
}

const PORT: u16 = 7000;
const SILENCE: Duration = Duration::from_secs(30);

fn options() -> ReceiveOptions {
    ReceiveOptions {
        into: PathBuf::from("/into"),
        overwrite: true,
        timeout: SILENCE,
        limits: Limits::default(),
        in_flight: 8,
        keep: true,
        tls: None,
        sync_every: EARLY_SYNC,
    }
}

fn receive(world: &World, host: &Host, tls: Option<&Trust>, trace: &Trace) -> Receiving {
    let mut proactor = host.builder().name("receive").build().unwrap();
    let options = ReceiveOptions { tls: tls.map(|trust| trust.server.clone()), ..options() };
    let listener = proactor.handle().listen(&Address::from(host.address(PORT)), &SocketOptions::default()).unwrap();
    let random = Random::seeded(&[world.random(256) as u8; 32]);
    let server = Server::new(listener, Device::new(world), options, random, false);
    server.borrow_mut().record(trace.clone());
    kick(&mut proactor, &server, |_, _| {}).unwrap();
    Receiving { proactor, server }
}

/// What goes wrong in this world, and when.
fn trouble(world: &World, near: &Host, far: &Host) {
    let millis = |world: &World, most: u64| Duration::from_micros(world.random(most * 1000));
    let link = Link {
        latency: Duration::from_micros(50 + world.random(20_000)),
        jitter: millis(world, 3),
        bandwidth: [None, Some(2_000_000)][world.random(2) as usize],
        loss: [0, 1_000, 50_000][world.random(3) as usize],
        short: [0, 300_000][world.random(2) as usize],
        ..Link::default()
    };
    world.link(near, far, link);
    for host in [near, far] {
        host.storage(Storage {
            jitter: millis(world, 2),
            short: [0, 200_000][world.random(2) as usize],
            failing: [0, 0, 5_000][world.random(3) as usize],
            failing_syncs: [0, 0, 50_000][world.random(3) as usize],
            capacity: None,
            ..Storage::default()
        });
    }
    if world.random(4) == 0 {
        far.storage(Storage { capacity: Some(world.random(200_000)), ..Storage::default() });
    }
    for _ in 0..world.random(3) {
        let (one, other, lasts) = (near.clone(), far.clone(), Duration::from_secs(1 + world.random(120)));
        world.after(millis(world, 500), move |world| {
            world.partition(&one, &other);
            world.after(lasts, move |world| world.heal(&one, &other));
        });
    }
    if world.random(3) == 0 {
        let (one, other) = (near.clone(), far.clone());
        world.after(millis(world, 300), move |world| world.reset(&one, &other));
    }
    for _ in 0..world.random(3) {
        let host = far.clone();
        world.after(millis(world, 800), move |_| host.crash());
    }
}

fn calm(world: &World, near: &Host, far: &Host) {
    world.link(near, far, Link::default());
    world.heal(near, far);
    near.storage(Storage::default());
    far.storage(Storage::default());
}

/// Transfers tried before the world calms down, and after.
const TRIES: usize = 6;

/// What became of one world: how often it was tried, and whether the host crashed.
#[derive(Default, Debug)]
struct Came {
    tries: usize,
    crashes: usize,
    kills: usize,
}

/// Transfers until one succeeds, with everything recorded. What is left out of the waits must be implied also here.
fn transfer(world: &World, tls: Option<&Trust>) -> (Came, Recording) {
    let trace = Trace::new(world.host("clock").builder().build().unwrap().clock().clone());
    let came = transfer_recorded(world, tls, &trace);
    (came, audited(&trace))
}

/// What was recorded, which the auditor accepts.
fn audited(trace: &Trace) -> Recording {
    let recording = trace.recording();
    assert!(recording.events.is_sorted_by_key(|timed| timed.at_ns));
    let proved = audit(&recording.events).unwrap_or_else(|violation| panic!("{violation}"));
    assert!(proved.submissions > 0 && proved.waits > 0, "{proved:?}");
    recording
}

fn transfer_recorded(world: &World, tls: Option<&Trust>, trace: &Trace) -> Came {
    let (near, far) = (world.host("near"), world.host("far"));
    let files = sources(world, &near);
    far.put_directory("/into").unwrap();
    let plan = Plan::build(&HostTree(&near), &[PathBuf::from("/data")], &Options::default()).expect("a plan");
    let plan = Arc::new(plan);
    trouble(world, &near, &far);
    let mut receiving = receive(world, &far, tls, trace);
    let mut came = Came::default();
    for attempt in 0..TRIES + 3 {
        if attempt == TRIES {
            // Whatever is planned happens before.
            world.pass_until(world.now() + Duration::from_secs(300));
            calm(world, &near, &far);
        }
        came.tries += 1;
        let process = near.process();
        let mut sending = process.builder().name("send").build().unwrap();
        let options = SendOptions {
            chunk_size: 4096 << world.random(4),
            in_flight: 1 + world.random(8) as u16,
            overwrite: true,
            // Whether it is asked to go on or not, nothing may be lost.
            resume: world.random(2) == 0,
            follow: false,
            timeout: SILENCE,
            peer: String::from("far"),
            addresses: vec![Address::from(far.address(PORT))],
            tls: tls.map(|trust| trust.client.clone()),
        };
        let session = Random::seeded(&[world.random(256) as u8; 32]).session();
        let sender = Sender::new(sending.handle().clone(), Device::new(world), plan.clone(), options, session);
        sender.borrow_mut().record(trace.side(Role::Sender, "near"));
        if attempt < TRIES && world.random(8) == 0 {
            let dies = process.clone();
            world.after(Duration::from_micros(world.random(300_000)), move |_| dies.kill());
        }
        kick(&mut sending, &sender, Sender::start).unwrap();
        loop {
            let over = |_: &mut [&mut Proactor]| sender.borrow().is_ended() || !far.is_up() || !process.is_alive();
            let both = &mut [&mut sending, &mut receiving.proactor];
            let stalled = world.run_until(both, Duration::from_secs(3600), over).unwrap();
            assert_eq!(stalled, Stalled::Done, "the transfer hangs");
            if far.is_up() {
                break;
            }
            came.crashes += 1;
            whole_or_not_there(&far, &files);
            far.restart();
            receiving = receive(world, &far, tls, trace);
        }
        whole_or_not_there(&far, &files);
        if !process.is_alive() {
            came.kills += 1;
            continue;
        }
        let sent = std::mem::take(&mut sender.borrow_mut().sent);
        if sent.failures.is_empty() && sent.failed == 0 {
            assert_eq!(sent.files as usize, files.len(), "not all, and no failure is told");
            // What it says is true, whatever comes: the very next thing is a crash.
            drop(sending);
            far.crash();
            assert_eq!(whole_or_not_there(&far, &files), files.len(), "delivered, and lost in a crash");
            return came;
        }
        assert!(attempt < TRIES + 2, "it fails in a world without faults: {:?}", sent.failures);
        // Time for the receiver to notice that nobody sends any more.
        let rest = Duration::from_secs(1 + world.random(90));
        if world.run_until(&mut [&mut receiving.proactor], rest, |_| !far.is_up()).unwrap() == Stalled::Done {
            came.crashes += 1;
            whole_or_not_there(&far, &files);
            far.restart();
            receiving = receive(world, &far, tls, trace);
        }
        receiving.server.borrow_mut().reap();
    }
    unreachable!("the last attempt returns or fails");
}

fn seeds(unless_told: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("PROACT_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("PROACT_SIMULATION_SEEDS").unwrap_or(unless_told),
    }
}

#[test]
fn nothing_is_lost_nothing_partial_is_visible_and_nothing_hangs() {
    let (mut tries, mut crashes, mut kills, mut worlds, mut failed) = (0, 0, 0, 0, 0);
    explore(seeds(300), |world| {
        let (came, recording) = transfer(world, None);
        failed += recording.events.iter().filter(|timed| matches!(timed.event, Event::Failed { .. })).count();
        (tries, crashes, kills) = (tries + came.tries, crashes + came.crashes, kills + came.kills);
        worlds += 1;
    });
    println!("{worlds} worlds: {tries} transfers, {crashes} crashes, {kills} killed senders");
    if worlds >= 100 {
        assert!(
            tries > worlds && crashes > worlds / 10 && kills > 0 && failed > worlds / 10,
            "worlds in which nothing goes wrong show nothing"
        );
    }
}

#[test]
fn a_transfer_replays_from_its_seed() {
    for seed in 0..10 {
        let run = || {
            let world = World::new(seed);
            let (_, recording) = transfer(&world, None);
            let mut bytes = Vec::new();
            recording.write_chrome(&mut bytes).unwrap();
            recording.write_json(&mut bytes).unwrap();
            (world.digest(), world.events(), world.now(), bytes)
        };
        let (first, second) = (run(), run());
        assert!(first == second, "seed {seed}: {:?}, {:?}", first.0, second.0);
    }
}
