//! What things cost: kernel enters, threads, and what the statistics say.

use std::time::Duration;

use proact::backend::{Capabilities, OpenFlags};
use proact::operation::{
    Chain, EventWait, ListDirectory, MakeDirectory, Nop, Op, Open, Read, Receive, SemaphoreWait, Send, SetAttributes,
    Stat, Sync, Timer, Write,
};
use proact::sync::Semaphore;
use proact::time::{Time, Timeout};

use crate::bench::{Cts, eventually};
use crate::cases;
use crate::harness::Only;
use crate::system::{threads, threads_named};

cases![
    a_batch_as_long_as_the_ring_costs_one_enter.only(Only::Ring),
    timers_and_semaphores_cost_no_entry,
    an_immediate_poll_with_nothing_to_do_enters_no_kernel.only(Only::Readiness),
    no_thread_starts_before_the_first_file_operation.alone(),
    workers_are_bounded_named_and_counted.real("worker threads").alone(),
    a_ring_reads_and_writes_without_threads.only(Only::Ring).alone(),
    statistics_count_operations_batches_and_depth,
    statistics_count_bytes_of_each_flow,
    statistics_find_a_callback_that_blocks.real("time that callbacks take"),
    capabilities_in_force_are_detected_and_allowed.real("a backend that the survey lists"),
];

fn a_batch_as_long_as_the_ring_costs_one_enter(cts: &mut Cts) {
    cts.rebuild(|builder| builder.entries(64));
    for length in [1, 16, 63, 64] {
        cts.look();
        let before = cts.statistics();
        cts.submit((0..length).map(|_| Op::new(Nop, ())).collect::<Vec<_>>()).unwrap();
        assert_eq!(cts.statistics().enters, before.enters, "a submit enters no kernel");
        cts.poll(Timeout::Immediate).unwrap();
        let after = cts.statistics();
        assert_eq!(after.completed, before.completed + length);
        assert_eq!(after.enters, before.enters + 1, "{length} operations");
        assert_eq!(after.kernel_entries, before.kernel_entries + length);
    }
    // Operations that end later cost one enter to hand over as well.
    let events: Vec<_> = (0..32).map(|_| cts.handle().event().unwrap()).collect();
    let before = cts.statistics();
    cts.submit(events.iter().map(|event| Op::new(EventWait::new(event.clone()), ())).collect::<Vec<_>>()).unwrap();
    cts.poll(Timeout::Immediate).unwrap();
    let after = cts.statistics();
    assert_eq!((after.enters, after.kernel_entries), (before.enters + 1, before.kernel_entries + 32));
    events.iter().for_each(|event| event.set().unwrap());
    cts.drain();
}

fn timers_and_semaphores_cost_no_entry(cts: &mut Cts) {
    let semaphore = Semaphore::new(1);
    let before = cts.statistics().kernel_entries;
    let timers = (0..100).map(|_| Op::new(Timer::new(Time::ORIGIN), ())).collect::<Vec<_>>();
    let waits = (0..100).map(|_| Op::new(SemaphoreWait::new(semaphore.clone(), 1), ())).collect::<Vec<_>>();
    cts.submit((timers, waits)).unwrap();
    while cts.pending() > 0 {
        cts.poll(Timeout::Immediate).unwrap();
    }
    assert_eq!(cts.statistics().kernel_entries, before);
}

fn an_immediate_poll_with_nothing_to_do_enters_no_kernel(cts: &mut Cts) {
    let before = cts.statistics().enters;
    for _ in 0..10 {
        cts.poll(Timeout::Immediate).unwrap();
    }
    assert_eq!(cts.statistics().enters, before);
}

fn no_thread_starts_before_the_first_file_operation(cts: &mut Cts) {
    drop(cts.take());
    let before = threads();
    cts.rebuild(|builder| builder);
    let (client, server) = cts.pair();
    cts.get(Send::exact(client, vec![1; 100_000]));
    cts.get(Receive::exact(server, vec![0; 100_000]));
    let event = cts.handle().event().unwrap();
    event.set().unwrap();
    cts.get(EventWait::new(event));
    cts.get(Timer::new(Time::ORIGIN));
    cts.submit(Chain::new((Op::new(Nop, ()), Op::new(Nop, ())))).unwrap();
    cts.drain();
    assert!(threads() <= before, "no more than there were: one that has ended may still be listed at first");
    let statistics = cts.statistics();
    assert_eq!((statistics.workers, statistics.worker_jobs), (0, 0));
}

fn workers_are_bounded_named_and_counted(cts: &mut Cts) {
    cts.rebuild(|builder| builder.workers_max(3).name("bounded"));
    let file = cts.file("f", b"0123456789");
    // These are for workers everywhere.
    let path = cts.path(".");
    let lists = (0..20).map(|_| Op::new(ListDirectory::new(&path), ())).collect::<Vec<_>>();
    let modes = (0..20).map(|_| Op::new(SetAttributes::new(file.clone()).mode(0o600), ())).collect::<Vec<_>>();
    let reads = (0..20).map(|_| Op::new(Read::exact(file.clone(), 0, vec![0; 10]), ())).collect::<Vec<_>>();
    cts.submit((lists, modes, reads)).unwrap();
    cts.drain();
    let statistics = cts.statistics();
    assert!((1..=3).contains(&statistics.workers), "{}", statistics.workers);
    assert!(statistics.worker_jobs >= 40);
    // A thread takes its name itself, some time after it was started.
    let named = || threads_named("bounded-w").len() as u64;
    eventually("the workers' names", || named() == statistics.workers);
    drop(cts.take());
    // Joined, and yet the system may list a thread for a moment longer.
    eventually("the end of the workers", || threads_named("bounded").is_empty());
    // One after the other never makes a second thread.
    cts.rebuild(|builder| builder.workers_max(3).name("single"));
    for _ in 0..20 {
        cts.get(ListDirectory::new(&path));
    }
    assert_eq!(cts.statistics().workers, 1);
}

fn a_ring_reads_and_writes_without_threads(cts: &mut Cts) {
    if !cts.handle().capabilities().contains(Capabilities::KERNEL_FILES) {
        // Masked: then workers do it, and say so.
        cts.file("f", b"x");
        return assert_eq!(cts.statistics().worker_jobs, 1);
    }
    let file = cts.file("f", &[1; 1 << 20]);
    let folder = cts.path("folder");
    cts.get(Write::exact(file.clone(), 0, vec![2; 1 << 20]));
    cts.get(Read::exact(file.clone(), 0, vec![0; 1 << 20]));
    cts.get(Sync::data(file.clone()));
    cts.get(Stat::new(file));
    cts.get(MakeDirectory::new(&folder));
    cts.get(Open::new(folder, OpenFlags::READ | OpenFlags::DIRECTORY));
    let statistics = cts.statistics();
    assert_eq!((statistics.workers, statistics.worker_jobs), (0, 0));
    assert!(threads_named(&format!("{}-worker", cts.config.name)).is_empty());
}

fn statistics_count_operations_batches_and_depth(cts: &mut Cts) {
    cts.submit([Op::new(Nop, ()), Op::new(Nop, ()), Op::new(Nop, ())]).unwrap();
    cts.submit(Op::new(Timer::new(Time::FAR_FUTURE), ())).unwrap();
    let statistics = cts.statistics();
    assert_eq!((statistics.batches, statistics.submitted, statistics.completed), (2, 4, 0));
    assert_eq!((statistics.queue_depth, statistics.queue_depth_max), (4, 4));
    cts.until_with("the nops", |proactor| proactor.pending() == 1);
    let statistics = cts.statistics();
    assert_eq!((statistics.completed, statistics.queue_depth, statistics.queue_depth_max), (3, 1, 4));
    assert!(statistics.polls >= 1);
    assert_eq!(statistics.leaked, 0);
}

fn statistics_count_bytes_of_each_flow(cts: &mut Cts) {
    let file = cts.file("f", b"");
    let (client, server) = cts.pair();
    cts.get(Write::exact(file.clone(), 0, vec![0; 1000]));
    cts.get(Read::some(file.clone(), 0, vec![0; 300]));
    let status = cts.fails(Read::exact(file, 900, vec![0; 300]));
    assert_eq!(status.code(), proact::status::Code::OutOfRange);
    cts.get(Send::exact(client, vec![0; 50]));
    cts.get(Receive::some(server, vec![0; 4096]));
    let statistics = cts.statistics();
    assert_eq!((statistics.bytes_written, statistics.bytes_read), (1000, 400), "also what a failed read has read");
    assert_eq!((statistics.bytes_sent, statistics.bytes_received), (50, 50));
}

fn statistics_find_a_callback_that_blocks(cts: &mut Cts) {
    use proact::operation::{Complete, Context, Outcome};
    struct Blocks;
    impl Complete<Nop> for Blocks {
        fn done(_: Box<Op<Nop, Blocks>>, _: Outcome<Nop>, _: &mut Context<'_>) {
            std::thread::sleep(Duration::from_millis(60));
        }
    }
    for precise in [false, true] {
        cts.rebuild(|builder| builder.time_callbacks(precise));
        cts.submit(Op::new(Nop, Blocks)).unwrap();
        cts.drain();
        let statistics = cts.statistics();
        // The coarse clock ticks every 1 to 10 ms.
        let least = Duration::from_millis(if precise { 60 } else { 40 });
        assert!(statistics.longest_callback >= least, "{:?}", statistics.longest_callback);
        assert!(statistics.longest_pass >= statistics.longest_callback);
    }
}

fn capabilities_in_force_are_detected_and_allowed(cts: &mut Cts) {
    let in_force = cts.handle().capabilities();
    assert!(!in_force.intersects(cts.config.masked), "{in_force:?}");
    let report = proact::proactor::survey().into_iter().find(|report| report.choice == cts.config.choice).unwrap();
    assert!(report.usable.is_ok());
    // A line without a capability is about what the backend stands on.
    for line in report.capabilities.into_iter().filter(|line| !line.capability.is_empty()) {
        let expected = line.detected && !cts.config.masked.contains(line.capability);
        assert_eq!(in_force.contains(line.capability), expected, "{}", line.name);
    }
    assert_eq!(cts.handle().backend(), cts.config.choice.name());
}
