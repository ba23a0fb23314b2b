//! Threads that are really pinned, and pages that are really local: on every node that this machine has, asked of the
//! system and not of the library.

use std::sync::mpsc::{Sender, channel};

use proact::backend::OpenFlags;
use proact::memory::{Allocation, BufferPool, NodePools, Region, Slab};
use proact::operation::{Complete, Context, ListDirectory, Nop, Op, Open, Outcome, Receive, Send, Sync};
use proact::proactor::{Handle, ProactorPool, ProactorThread, ThreadOptions};
use proact::resource::SocketType;
use proact::status::{Code, Operation, Result};
use proact::topology::{Affinity, CpuSet, Node, Topology};

use crate::bench::{Cts, eventually, patience};
use crate::cases;
use crate::harness::{Only, skip};
use crate::system::{threads_and_cpus, unique};

cases![
    a_proactor_runs_on_the_processors_of_each_node.real("processors and threads"),
    a_proactor_is_pinned_to_each_single_processor.real("processors and threads").only(Only::Extremes),
    workers_run_where_the_proactor_does.real("processors and threads"),
    the_kernels_own_threads_run_where_the_proactor_does.real("processors and threads").only(Only::Ring),
    building_pins_the_thread_that_builds.real("processors and threads"),
    processors_that_are_not_there_are_refused_with_the_reason.real("processors and threads"),
    the_pool_of_this_machine_runs_each_place_on_its_node.real("processors and threads").only(Only::Whole),
    memory_of_each_node_lies_there_whoever_touches_it.real("processors and threads").only(Only::Once),
    bytes_are_received_into_memory_of_each_node.real("processors and threads").only(Only::Extremes),
    a_pool_a_node_gives_a_thread_the_buffers_of_its_node.real("processors and threads").only(Only::Once),
];

/// The nodes that have processors for this process.
fn nodes() -> Vec<Node> {
    let topology = Topology::read();
    let nodes: Vec<Node> = topology.nodes().iter().filter(|node| !node.cpus().is_empty()).cloned().collect();
    assert!(!nodes.is_empty());
    nodes
}

/// A name that no other thread's begins with, short enough to be shown whole with an end to it.
fn name() -> String {
    format!("af{}.", unique())
}

/// Tells which processor its callback runs on.
struct Where(Sender<usize>);

impl Complete<Nop> for Where {
    fn done(op: Box<Op<Nop, Where>>, _: Outcome<Nop>, _: &mut Context<'_>) {
        op.state.0.send(rustix::thread::sched_getcpu()).unwrap();
    }
}

fn runs_on(handle: &Handle) -> usize {
    let (tell, told) = channel();
    handle.submit(Op::new(Nop, Where(tell))).unwrap();
    told.recv_timeout(patience()).unwrap()
}

/// What the kernel says of the one thread that is called so.
#[track_caller]
fn cpus_of(name: &str) -> CpuSet {
    let mut threads = Vec::new();
    // A thread is missing from the kernel's list while another that stood before it ends.
    eventually("the one thread of this name", || {
        threads = threads_and_cpus(name);
        threads.len() == 1
    });
    threads.remove(0).1
}

/// Ends the case where memory cannot be placed, or asked for: a sandbox.
fn or_skip<T>(result: Result<T>) -> T {
    match result {
        Err(status) if status.code() == Code::Unavailable => skip(status.to_string()),
        result => result.unwrap(),
    }
}

/// W-24: the reference declares where a thread is to run, and nothing reads it.
fn a_proactor_runs_on_the_processors_of_each_node(cts: &mut Cts) {
    for node in nodes() {
        let name = name();
        let builder = cts.config.builder().name(&*name).affinity(node.affinity());
        let thread = ProactorThread::spawn(builder).unwrap();
        assert_eq!(&cpus_of(&name), node.cpus());
        for _ in 0..20 {
            let cpu = runs_on(thread.handle());
            assert!(node.cpus().contains(cpu), "on {cpu}, and not one of {}", node.cpus());
        }
        assert_eq!(thread.affinity().node(), Some(node.number()));
        thread.join().unwrap();
    }
}

fn a_proactor_is_pinned_to_each_single_processor(cts: &mut Cts) {
    for cpu in nodes().iter().flat_map(|node| node.cpus().iter()) {
        let name = name();
        let one: CpuSet = [cpu].into_iter().collect();
        let builder = cts.config.builder().name(&*name).affinity(Affinity::on(one.clone()));
        let thread = ProactorThread::spawn(builder).unwrap();
        assert_eq!((cpus_of(&name), runs_on(thread.handle())), (one, cpu));
    }
}

/// One processor of each node: the last, since anything may run on the first by chance.
fn some_cpus() -> Vec<CpuSet> {
    nodes().iter().map(|node| node.cpus().iter().last().into_iter().collect()).collect()
}

fn workers_run_where_the_proactor_does(cts: &mut Cts) {
    for cpus in some_cpus() {
        let name = name();
        let builder = cts.config.builder().name(&*name).affinity(Affinity::on(cpus.clone()));
        let thread = ProactorThread::spawn(builder).unwrap();
        cts.clear_folder();
        // On every backend a worker does this.
        let folder = cts.path("listed");
        std::fs::create_dir(&folder).unwrap();
        let (op, watch) = cts.watch(ListDirectory::new(&folder));
        thread.handle().submit(op).unwrap();
        eventually("the list", || watch.is_done());
        assert_eq!(cpus_of(&format!("{name}-w0")), cpus);
        let ended = thread.join().unwrap();
        assert_eq!((ended.statistics.workers, ended.statistics.worker_jobs), (1, 1));
    }
}

/// io_uring's own inherit it since Linux 6.2; before, they must be told.
fn the_kernels_own_threads_run_where_the_proactor_does(cts: &mut Cts) {
    for cpus in some_cpus() {
        let builder = cts.config.builder().affinity(Affinity::on(cpus.clone()));
        let thread = ProactorThread::spawn(builder).unwrap();
        let (tell, told) = channel();
        thread.handle().submit(Op::new(Nop, Number(tell))).unwrap();
        let poller = told.recv_timeout(patience()).unwrap();
        cts.clear_folder();
        let path = cts.path("synced");
        let (open, opened) =
            cts.watch(Open::new(path, OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE).mode(0o600));
        thread.handle().submit(open).unwrap();
        eventually("the file", || opened.is_released());
        let file = opened.only().result.unwrap();
        // The kernel knows no way to sync without blocking a thread.
        let (sync, synced) = cts.watch(Sync::all(file));
        thread.handle().submit(sync).unwrap();
        eventually("the sync", || synced.is_released());
        synced.only().result.unwrap();
        let own = threads_and_cpus(&format!("iou-wrk-{poller}"));
        let workers = thread.join().unwrap().statistics.worker_jobs;
        assert!(own.iter().all(|(_, found)| *found == cpus), "{own:?} and not {cpus}");
        // Where files are masked, the library's own threads did it, which the case before this one is about.
        assert!(!own.is_empty() || workers > 0, "no thread of the kernel's was there");
    }
}

/// Tells the number of the thread that it runs on.
struct Number(Sender<i32>);

impl Complete<Nop> for Number {
    fn done(op: Box<Op<Nop, Number>>, _: Outcome<Nop>, _: &mut Context<'_>) {
        op.state.0.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
    }
}

fn building_pins_the_thread_that_builds(cts: &mut Cts) {
    let before = Affinity::of_thread().unwrap();
    for cpus in some_cpus() {
        cts.rebuild(|builder| builder.affinity(Affinity::on(cpus.clone())));
        assert_eq!(Affinity::of_thread().unwrap().cpus(), Some(&cpus));
        cts.get(Nop);
        // What the process may use is not what this thread may.
        let all: usize = nodes().iter().map(|node| node.cpus().len()).sum();
        assert!(all >= before.cpus().unwrap().len());
    }
    before.pin_thread().unwrap();
    cts.rebuild(|builder| builder);
    assert_eq!(Affinity::of_thread().unwrap(), before, "any processor changes nothing");
}

fn processors_that_are_not_there_are_refused_with_the_reason(cts: &mut Cts) {
    let before = Affinity::of_thread().unwrap();
    let nowhere = Affinity::on([60_001].into_iter().collect());
    let refused = ProactorThread::spawn(cts.config.builder().affinity(nowhere.clone())).unwrap_err();
    assert_eq!((refused.code(), refused.operation()), (Code::Unavailable, Operation::PinThread));
    assert!(refused.to_string().contains("processors 60001 are not there for this process"), "{refused}");
    let partly = Affinity::on(before.cpus().unwrap().iter().chain([60_001]).collect());
    let refused = cts.config.builder().affinity(partly).build().unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "the kernel takes it without a word, and pins to a part");
    let none = cts.config.builder().affinity(Affinity::on(CpuSet::new())).build().unwrap_err();
    assert_eq!(none.code(), Code::InvalidArgument);
    assert_eq!(Affinity::of_thread().unwrap(), before);
    let pool = ProactorPool::new([nowhere, Affinity::any()], cts.config.builder(), ThreadOptions::new()).unwrap();
    assert_eq!(pool.get(0).unwrap_err().code(), Code::Unavailable);
    pool.get(1).unwrap();
}

fn the_pool_of_this_machine_runs_each_place_on_its_node(cts: &mut Cts) {
    let name = name();
    let builder = cts.config.builder().name(&*name);
    let pool = ProactorPool::of_system(builder, ThreadOptions::new()).unwrap();
    for (index, node) in nodes().iter().enumerate() {
        let handle = pool.on(node.number()).unwrap();
        assert!(node.cpus().contains(runs_on(handle)));
        assert_eq!(&cpus_of(pool.name(index).unwrap()), node.cpus());
        let (affinity, pool) = (node.affinity(), &pool);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                affinity.pin_thread().unwrap();
                assert_eq!(pool.index_here(), Some(index));
            });
        });
    }
    assert_eq!(pool.started(), nodes().len());
}

const LENGTH: usize = 256 << 10;

#[track_caller]
fn check_local(region: &Region, node: &Node) {
    let pages = or_skip(region.pages());
    assert!(pages.present() > 0, "{pages:?}");
    // Preferred, not forced: only a node that is full lets pages go elsewhere, and these are few.
    assert_eq!(pages.on(node.number()), pages.present(), "{pages:?} and not all on {}", node.number());
}

fn memory_of_each_node_lies_there_whoever_touches_it(_: &mut Cts) {
    let topology = Topology::read();
    for node in topology.nodes().iter().filter(|node| node.has_memory()) {
        for toucher in nodes() {
            let mut region = or_skip(Region::allocate(LENGTH, &Allocation::new().near(&node.affinity())));
            assert_eq!(region.node(), Some(node.number()));
            let region = std::thread::spawn(move || {
                toucher.affinity().pin_thread().unwrap();
                region.get_mut().unwrap().fill(1);
                region
            });
            let region = region.join().unwrap();
            check_local(&region, node);
            assert_eq!(region.pages().unwrap().absent(), 0);
        }
        let absent = or_skip(Region::allocate(LENGTH, &Allocation::new().near(&node.affinity()))).pages().unwrap();
        assert_eq!(absent.present(), 0, "never touched, so nowhere: {absent:?}");
    }
}

/// The kernel touches the pages first here, for a proactor of another node where there is one.
fn bytes_are_received_into_memory_of_each_node(cts: &mut Cts) {
    let all = nodes();
    let topology = Topology::read();
    for node in topology.nodes().iter().filter(|node| node.has_memory()) {
        let other = all.iter().find(|other| other.number() != node.number()).unwrap_or(&all[0]);
        let thread = ProactorThread::spawn(cts.config.builder().affinity(other.affinity())).unwrap();
        let slab = or_skip(Slab::allocate(LENGTH, 1, &Allocation::new().near(&node.affinity())));
        let pool = BufferPool::new(slab).unwrap();
        let (one, two) = thread.handle().socket_pair(SocketType::Stream).unwrap();
        let (receive, received) = cts.watch(Receive::exact(two, pool.acquire().unwrap()));
        let (send, sent) = cts.watch(Send::exact(one, vec![7u8; LENGTH]));
        thread.handle().submit((receive, send)).unwrap();
        eventually("the bytes", || received.is_released() && sent.is_released());
        received.only().result.unwrap();
        check_local(pool.slab().region(), node);
    }
}

fn a_pool_a_node_gives_a_thread_the_buffers_of_its_node(_: &mut Cts) {
    let pools = NodePools::new(4096, 4, &Allocation::new()).unwrap();
    for node in nodes() {
        let (affinity, pools) = (node.affinity(), &pools);
        std::thread::scope(|scope| {
            scope.spawn(move || {
                affinity.pin_thread().unwrap();
                let of_node = pools.on(node.number()).unwrap_or(pools.local());
                assert!(pools.local().is_same(of_node));
                let lease = pools.acquire().unwrap();
                assert!(lease.region().is_same(of_node.slab().region()));
            });
        });
    }
    for node in pools.nodes().into_iter().filter(|node| pools.is_placed(*node)) {
        assert_eq!(pools.on(node).unwrap().slab().region().node(), Some(node));
    }
}
