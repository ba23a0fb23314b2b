//! From submit to callback nothing allocates: counted, for every kind of operation on every configuration.
//!
//! A program of its own, because the counting allocator serves the whole process, and cases run one after the other:
//! whatever any thread of the process allocates meanwhile is counted, worker threads included.

use std::alloc::System;
use std::future::Future;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use libtest_mimic::Arguments;
use proact::causal::{Axis, Entry, Frontier, Knowledge};
use proact::memory::{self, Allocation, BufferPool, Slab};
use proact::operation::{
    Advise, Allocate, CancelAll, Chain, ChangeFile, ChangeRange, Complete, Context, CopyRange, EventSet, EventWait,
    EventWaitMany, Finish, FrontierWait, FutexWait, FutexWake, GetAttribute, Group, ImportFence, Interval, Kind, Link,
    ListAttributes, ListBatch, Lowering, Message, Nop, NotificationSignal, NotificationWait, Op, OpPool, Open, Outcome,
    PollHandle, PollHandleMany, Read, ReadStream, ReadVectored, Receive, ReceiveFrom, ReceiveFromMany,
    ReceiveFromPooledMany, ReceiveMany, ReceivePooled, ReceivePooledMany, ReceiveVectored, Register, Relay, RelayMany,
    Remove, RemoveAttribute, Rename, SemaphoreSignal, SemaphoreWait, Send, SendFile, SendTo, SendVectored, Sequence,
    SetAttribute, SetAttributes, SignalWait, Splice, Stat, StatPath, Sync, SyncRange, Timer, Truncate, WatchChanges,
    Write, WriteStream, WriteVectored,
};
use proact::resource::{
    Address, Advice, AttributeMode, ChangeMask, Domain, FileTime, FutexWord, OpenFlags, Signal, SignalSet, Socket,
    SocketOptions,
};
use proact::sync::{Notification, Semaphore, SemaphoreOptions, Timeline, Tracker, WaitFlags};
use proact::time::Time;
use proact_cts::bench::{Cts, patience};
use proact_cts::harness::Only;
use proact_cts::{cases, harness, select};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    let mut arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let trials = select::select(&mut arguments, harness::trials(&[("allocations", CASES)]));
    libtest_mimic::run(&arguments, trials).exit_code()
}

cases![
    the_counter_counts,
    nops,
    batches_of_nops,
    timers,
    cancelled_timers,
    events.real("requests that allocate nothing"),
    sends_and_receives.real("requests that allocate nothing"),
    vectored_sends_and_receives.real("requests that allocate nothing"),
    datagrams.real("requests that allocate nothing"),
    segments_of_datagrams.real("requests that allocate nothing"),
    queued_transfers_of_one_stream.real("requests that allocate nothing"),
    file_reads_writes_and_syncs.real("requests that allocate nothing"),
    vectored_reads_and_writes.real("requests that allocate nothing"),
    copies_and_ranges.real("requests that allocate nothing"),
    attributes_of_files.real("requests that allocate nothing"),
    batches_of_names.real("requests that allocate nothing"),
    changes_watched,
    pipes_and_splices.real("requests that allocate nothing"),
    files_sent.real("requests that allocate nothing"),
    readiness_of_descriptors.real("requests that allocate nothing"),
    event_pools,
    relays_and_sources.real("requests that allocate nothing"),
    relays_of_notifications.real("requests that allocate nothing"),
    progress_callbacks,
    signals_of_the_process.alone(),
    futex_waits_and_wakes.real("requests that allocate nothing"),
    reads_into_registered_leases_and_writes_of_spans.real("requests that allocate nothing"),
    semaphore_waits_and_signals,
    waits_on_several_semaphores,
    waits_for_frontiers,
    values_of_a_device,
    futures_of_values_and_frontiers.only(Only::Once),
    threads_that_block.only(Only::Once),
    links_that_are_followed,
    chains_of_a_wait_and_a_send.real("requests that allocate nothing"),
    fences_taken_in.real("requests that allocate nothing"),
    signals_of_exported_values.real("requests that allocate nothing"),
    portable_chains,
    sequences.real("requests that allocate nothing"),
    sequences_with_a_step_function,
    submits_through_a_handle,
    remote_cancels,
    sends_without_a_copy.real("requests that allocate nothing"),
    repeated_receives.real("requests that allocate nothing"),
    repeated_receives_of_datagrams.real("requests that allocate nothing"),
    receives_into_a_pool.real("requests that allocate nothing"),
    repeated_receives_into_a_pool.real("requests that allocate nothing"),
    repeated_receives_of_datagrams_into_a_pool.real("requests that allocate nothing"),
    intervals,
    deadlines_that_pass_and_that_do_not.real("requests that allocate nothing"),
    scopes_and_their_cancels,
    cancels_of_all_on_a_socket.real("requests that allocate nothing"),
    groups.real("requests that allocate nothing"),
    storage_from_a_pool,
    names_in_a_folder.real("requests that allocate nothing"),
    extended_attributes.real("requests that allocate nothing"),
    lengths_and_ranges.real("requests that allocate nothing"),
    messages_as_operations_in_chains_and_sent_directly,
    messages_that_are_refused,
    notifications,
    notifications_of_many_waits_and_cancels,
    notifications_in_shared_memory,
    chains_with_notifications_and_events.real("requests that allocate nothing"),
    calls_from_a_signal_handler.real("requests that allocate nothing").alone(),
];

/// Where an operation's storage is between its flights.
struct Berth<K: Kind>(Arc<Mutex<Stored<K>>>);

type Stored<K> = Option<Box<Op<K, Berth<K>>>>;

impl<K: Kind> Complete<K> for Berth<K> {
    fn done(op: Box<Op<K, Berth<K>>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        if let Err(status) = &outcome.result {
            assert!(status.is_cancelled(), "{status}");
        }
        let berth = op.state.0.clone();
        let before = berth.lock().unwrap().replace(op);
        assert!(before.is_none());
    }
}

impl<K: Kind> Berth<K> {
    fn of(kind: K) -> Berth<K> {
        let home = Arc::new(Mutex::new(None));
        let op = Op::new(kind, Berth(home.clone()));
        *home.lock().unwrap() = Some(op);
        Berth(home)
    }

    fn take(&self) -> Box<Op<K, Berth<K>>> {
        self.0.lock().unwrap().take().expect("in flight")
    }

    fn is_back(&self) -> bool {
        self.0.lock().unwrap().is_some()
    }

    /// Takes it out, changes its parameters, and gives it back.
    fn with(&self, change: impl FnOnce(&mut K)) {
        change(&mut self.0.lock().unwrap().as_mut().expect("in flight").kind);
    }
}

/// Has one worker do what may block. A second one is started whenever a job comes before the first is idle again, which
/// is a matter of time, and a thread's start allocates.
fn one_worker(cts: &mut Cts) {
    cts.rebuild(|builder| builder.workers_max(1));
}

/// Runs rounds until everything has grown to its size, and then counts.
#[track_caller]
fn steady(cts: &mut Cts, mut round: impl FnMut(&mut Cts, u64)) {
    for number in 1..=200 {
        round(cts, number);
    }
    let region = Region::new(ALLOCATOR);
    for number in 201..=400 {
        round(cts, number);
    }
    let change = region.change();
    let counts = (change.allocations, change.reallocations, change.deallocations);
    assert_eq!(counts, (0, 0, 0), "allocations, reallocations and deallocations in 200 rounds");
}

fn the_counter_counts(cts: &mut Cts) {
    let region = Region::new(ALLOCATOR);
    let watch = cts.start(Nop);
    cts.until("a nop", || watch.is_done());
    assert!(region.change().allocations >= 2, "the operation's box and its watch");
}

fn nops(cts: &mut Cts) {
    let nop = Berth::of(Nop);
    steady(cts, |cts, _| {
        cts.submit(nop.take()).unwrap();
        cts.until("the nop", || nop.is_back());
    });
}

fn batches_of_nops(cts: &mut Cts) {
    let nops: [Berth<Nop>; 128] = std::array::from_fn(|_| Berth::of(Nop));
    let mut batch = Vec::with_capacity(128);
    steady(cts, |cts, _| {
        batch.extend(nops.iter().map(Berth::take));
        cts.submit(&mut batch).unwrap();
        cts.until("the batch", || nops.iter().all(Berth::is_back));
    });
}

fn timers(cts: &mut Cts) {
    let (past, soon) = (Berth::of(Timer::new(Time::ORIGIN)), Berth::of(Timer::new(Time::ORIGIN)));
    steady(cts, |cts, _| {
        let deadline = cts.now() + Duration::from_micros(50);
        soon.with(|timer| timer.deadline = deadline);
        cts.submit((past.take(), soon.take())).unwrap();
        cts.until("both timers", || past.is_back() && soon.is_back());
    });
}

fn cancelled_timers(cts: &mut Cts) {
    let timer = Berth::of(Timer::new(Time::FAR_FUTURE));
    steady(cts, |cts, _| {
        let id = cts.submit(timer.take()).unwrap();
        cts.cancel(id).unwrap();
        cts.until("the timer", || timer.is_back());
    });
}

fn events(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let wait = Berth::of(EventWait::new(event.clone()));
    steady(cts, |cts, number| {
        if number % 2 == 0 {
            event.set().unwrap();
        }
        cts.submit(wait.take()).unwrap();
        if number % 2 == 1 {
            cts.look();
            event.set().unwrap();
        }
        cts.until("the wait", || wait.is_back());
    });
}

fn event_pools(cts: &mut Cts) {
    let pool = cts.handle().event_pool(4).unwrap();
    steady(cts, |_, number| {
        let events = [(); 3].map(|()| pool.acquire().unwrap());
        if number % 2 == 0 {
            events[1].set().unwrap();
        }
    });
    assert_eq!(pool.len(), 4);
}

fn relays_and_sources(cts: &mut Cts) {
    let [source, middle, last] = [(); 3].map(|()| cts.handle().event().unwrap());
    let notification = Notification::new();
    cts.submit(Op::new(RelayMany::new(source.clone(), notification.clone()), ())).unwrap();
    cts.submit(Op::new(RelayMany::new(notification, middle.clone()), ())).unwrap();
    let once = Berth::of(Relay::new(middle, last.clone()));
    let flags = rustix::event::EventfdFlags::CLOEXEC;
    let ready = cts.handle().import_pollable(rustix::event::eventfd(1, flags).unwrap());
    let (level, edge) = (PollHandleMany::readable(ready.clone()), PollHandleMany::readable(ready).edge_triggered());
    cts.submit((Op::new(level, ()), Op::new(edge, ()))).unwrap();
    let bell = cts.handle().event().unwrap();
    cts.submit(Op::new(EventWaitMany::new(bell.clone()), ())).unwrap();
    let wait = Berth::of(EventWait::new(last));
    steady(cts, |cts, _| {
        cts.submit((once.take(), wait.take())).unwrap();
        bell.set().unwrap();
        source.set().unwrap();
        cts.until("the end of the line", || once.is_back() && wait.is_back());
    });
}

fn relays_of_notifications(cts: &mut Cts) {
    let (first, second) = (Notification::new(), Notification::new());
    let sink = cts.handle().event().unwrap();
    let lasting = Op::new(RelayMany::new(first.clone(), second.clone()), ());
    let lasting = cts.submit(lasting).unwrap();
    let once = Berth::of(Relay::new(second.clone(), sink.clone()));
    let never = Berth::of(RelayMany::new(Notification::new(), sink.clone()));
    let wait = Berth::of(EventWait::new(sink));
    steady(cts, |cts, _| {
        cts.submit((once.take(), wait.take())).unwrap();
        let id = cts.submit(never.take()).unwrap();
        first.signal(1);
        cts.cancel(id).unwrap();
        cts.until("the end of the line", || once.is_back() && wait.is_back() && never.is_back());
    });
    cts.cancel(lasting).unwrap();
}

/// Counts what it is told.
struct Told(Arc<AtomicUsize>);

impl Complete<SignalWait> for Told {
    fn more(&mut self, _: &SignalWait, outcome: Outcome<SignalWait>, _: &mut Context<'_>) {
        outcome.result.unwrap();
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn done(_: Box<Op<SignalWait, Self>>, outcome: Outcome<SignalWait>, _: &mut Context<'_>) {
        assert!(outcome.result.unwrap_err().is_cancelled());
    }
}

/// What is told, and what comes and goes beside it. The last subscription's end and the next one's begin allocate
/// nothing either: that is the second half.
fn signals_of_the_process(cts: &mut Cts) {
    // SAFETY: no pointers. The handler has run before it returns.
    let send = |signal: Signal| assert_eq!(unsafe { libc::raise(signal.number()) }, 0);
    let told = Arc::new(AtomicUsize::new(0));
    let lasting = cts.submit(Op::new(SignalWait::new(Signal::User1), Told(told.clone()))).unwrap();
    let brief = Berth::of(SignalWait::new(SignalSet::USER1 | SignalSet::USER2));
    cts.look();
    let round = |cts: &mut Cts| {
        let id = cts.submit(brief.take()).unwrap();
        cts.look();
        send(Signal::User2);
        send(Signal::User1);
        cts.look();
        cts.cancel(id).unwrap();
        cts.until("the brief one", || brief.is_back());
    };
    steady(cts, |cts, number| {
        round(cts);
        assert_eq!(told.load(Ordering::Relaxed), number as usize);
    });
    cts.cancel(lasting).unwrap();
    cts.drain();
    steady(cts, |cts, _| round(cts));
}

fn progress_callbacks(cts: &mut Cts) {
    let nop = Berth::of(Nop);
    cts.add_progress(|_, _| 1);
    cts.add_progress(|_, _| 0);
    steady(cts, |cts, _| {
        cts.submit(nop.take()).unwrap();
        cts.until("the nop", || nop.is_back());
    });
}

fn sends_and_receives(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let send = Berth::of(Send::exact(client, vec![1; 4096]));
    let receive = Berth::of(Receive::exact(server, vec![0; 4096]));
    steady(cts, |cts, number| {
        if number % 2 == 0 {
            cts.submit((receive.take(), send.take())).unwrap();
        } else {
            cts.submit(receive.take()).unwrap();
            cts.look(); // parked, before anything comes
            cts.submit(send.take()).unwrap();
        }
        cts.until("both transfers", || send.is_back() && receive.is_back());
    });
}

fn vectored_sends_and_receives(cts: &mut Cts) {
    let (client, server) = cts.pair();
    // More than one call takes, so that they go on from within.
    let send = Berth::of(SendVectored::exact(client, vec![vec![1; 3]; 1500]));
    let receive = Berth::of(ReceiveVectored::exact(server, vec![vec![0; 9]; 500]));
    steady(cts, |cts, _| {
        cts.submit((receive.take(), send.take())).unwrap();
        cts.until("both transfers", || send.is_back() && receive.is_back());
    });
}

/// Two UDP sockets, and the second's address.
fn udp(cts: &mut Cts) -> (Socket, Socket, Address) {
    let bound = || {
        let socket = cts.handle().datagram(Domain::Ipv4, &SocketOptions::default()).unwrap();
        socket.bind(&"127.0.0.1:0".parse().unwrap()).unwrap();
        socket
    };
    let (one, two) = (bound(), bound());
    let address = two.local_address().unwrap();
    (one, two, address)
}

fn datagrams(cts: &mut Cts) {
    let (one, two, address) = udp(cts);
    let send = Berth::of(SendTo::new(one, vec![vec![1; 100], vec![2; 20]], address));
    let receive = Berth::of(ReceiveFrom::new(two, vec![vec![0; 60]; 3]));
    steady(cts, |cts, _| {
        cts.submit(receive.take()).unwrap();
        cts.look(); // parked, before anything comes
        cts.submit(send.take()).unwrap();
        cts.until("a datagram", || send.is_back() && receive.is_back());
    });
}

fn segments_of_datagrams(cts: &mut Cts) {
    let (one, two, address) = udp(cts);
    let send = Berth::of(SendTo::new(one, vec![1; 200], address).segments(100));
    let receives: [_; 2] = std::array::from_fn(|_| Berth::of(ReceiveFrom::new(two.clone(), vec![0; 200])));
    steady(cts, |cts, _| {
        cts.submit((receives[0].take(), receives[1].take(), send.take())).unwrap();
        cts.until("two datagrams", || send.is_back() && receives.iter().all(Berth::is_back));
    });
}

fn queued_transfers_of_one_stream(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let sends: [_; 8] = std::array::from_fn(|_| Berth::of(Send::exact(client.clone(), vec![1; 1000])));
    let receives: [_; 8] = std::array::from_fn(|_| Berth::of(Receive::exact(server.clone(), vec![0; 1000])));
    steady(cts, |cts, _| {
        for (send, receive) in sends.iter().zip(&receives) {
            cts.submit((receive.take(), send.take())).unwrap();
        }
        cts.until("all transfers", || sends.iter().all(Berth::is_back) && receives.iter().all(Berth::is_back));
    });
}

fn file_reads_writes_and_syncs(cts: &mut Cts) {
    one_worker(cts);
    let file = cts.file("f", &[0; 4096]);
    let write = Berth::of(Write::exact(file.clone(), 0, vec![2; 4096]));
    let read = Berth::of(Read::exact(file.clone(), 0, vec![0; 4096]));
    let stat = Berth::of(Stat::new(file.clone()));
    let sync = Berth::of(Sync::data(file));
    steady(cts, |cts, number| {
        cts.submit(write.take()).unwrap();
        cts.until("the write", || write.is_back());
        cts.submit(read.take()).unwrap();
        cts.until("the read", || read.is_back());
        cts.submit(stat.take()).unwrap();
        cts.until("the stat", || stat.is_back());
        if number % 50 == 0 {
            cts.submit(sync.take()).unwrap();
            cts.until("the sync", || sync.is_back());
        }
    });
}

fn reads_into_registered_leases_and_writes_of_spans(cts: &mut Cts) {
    one_worker(cts);
    let pool = BufferPool::new(Slab::allocate(4096, 2, &Allocation::new()).unwrap()).unwrap();
    cts.get(Register::new(pool.slab().region().clone()));
    let region = memory::Region::wrap(vec![3; 8192]);
    let file = cts.file("f", &[0; 4096]);
    let write = Berth::of(Write::exact(file.clone(), 0, region.span(0..4096).unwrap()));
    let read = Berth::of(Read::exact(file, 0, pool.acquire().unwrap()));
    steady(cts, |cts, number| {
        write.with(|write| write.buffer = region.span(number as usize % 4096..4096).unwrap());
        cts.submit(write.take()).unwrap();
        cts.until("the write", || write.is_back());
        // The other buffer of the pool.
        read.with(|read| read.buffer = pool.acquire().unwrap());
        cts.submit(read.take()).unwrap();
        cts.until("the read", || read.is_back());
    });
}

fn back<K: Kind>(cts: &mut Cts, berth: &Berth<K>) {
    cts.submit(berth.take()).unwrap_or_else(|refused| panic!("{}", refused.status));
    cts.until("the operation", || berth.is_back());
}

fn vectored_reads_and_writes(cts: &mut Cts) {
    one_worker(cts);
    let file = cts.file("f", &[0; 4096]);
    let write = Berth::of(WriteVectored::exact(file.clone(), 0, vec![vec![2; 100]; 20]));
    let read = Berth::of(ReadVectored::exact(file, 0, vec![vec![0; 200]; 10]));
    steady(cts, |cts, _| {
        back(cts, &write);
        back(cts, &read);
    });
}

fn copies_and_ranges(cts: &mut Cts) {
    one_worker(cts);
    let (from, to) = (cts.file("from", &[1; 4096]), cts.file("to", b""));
    let copy = Berth::of(CopyRange::exact(from.clone(), 0, to.clone(), 0, 4096));
    let sync = Berth::of(SyncRange::new(to, 0, 0));
    let advise = Berth::of(Advise::new(from, 0, 0, Advice::WillNeed));
    steady(cts, |cts, _| {
        back(cts, &copy);
        back(cts, &sync);
        back(cts, &advise);
    });
}

fn attributes_of_files(cts: &mut Cts) {
    one_worker(cts);
    let file = cts.file("f", b"");
    let change = Berth::of(ChangeFile::new(file).accessed(FileTime::default()).mode(0o600));
    steady(cts, |cts, _| back(cts, &change));
}

fn batches_of_names(cts: &mut Cts) {
    one_worker(cts);
    let root = cts.path("root");
    std::fs::create_dir(&root).unwrap();
    (0..50).for_each(|at| std::fs::write(root.join(format!("name-{at}")), b"").unwrap());
    let list = Berth::of(ListBatch::with_bytes(cts.get(Open::new(&root, OpenFlags::READ)), 512));
    steady(cts, |cts, _| {
        list.with(ListBatch::rewind);
        let mut names = 0;
        loop {
            back(cts, &list);
            let mut more = 0;
            list.with(|list| more = list.entries().count());
            names += more;
            if more == 0 {
                break assert_eq!(names, 50);
            }
        }
    });
}

fn changes_watched(cts: &mut Cts) {
    one_worker(cts);
    let file = cts.file("f", b"");
    let path = cts.path("f");
    let watcher = cts.handle().watcher().unwrap_or_else(|status| harness::skip(status.to_string()));
    watcher.watch(path, ChangeMask::MODIFIED).unwrap();
    let changes = Berth::of(WatchChanges::new(watcher));
    let write = Berth::of(Write::exact(file, 0, vec![1; 8]));
    steady(cts, |cts, _| {
        cts.submit(changes.take()).unwrap();
        cts.look(); // parked, before anything comes
        back(cts, &write);
        cts.until("the change", || changes.is_back());
    });
}

fn pipes_and_splices(cts: &mut Cts) {
    one_worker(cts);
    let file = cts.file("f", &[1; 4096]);
    let (reader, writer) = cts.handle().pipe().unwrap();
    let read = Berth::of(ReadStream::exact(reader.clone(), vec![0; 4096]));
    let write = Berth::of(WriteStream::exact(writer.clone(), vec![1; 4096]));
    let fill = Berth::of(Splice::file_to_pipe(file.clone(), 0, writer, 4096));
    let empty = Berth::of(Splice::pipe_to_file(reader, file, 0, 4096));
    steady(cts, |cts, _| {
        cts.submit(read.take()).unwrap();
        cts.look(); // parked, before anything comes
        back(cts, &write);
        cts.until("the read", || read.is_back());
        back(cts, &fill);
        back(cts, &empty);
    });
}

fn files_sent(cts: &mut Cts) {
    one_worker(cts);
    let file = cts.file("f", &[1; 4096]);
    let (client, server) = cts.pair();
    let send = Berth::of(SendFile::new(client, file, 0, 4096));
    let receive = Berth::of(Receive::exact(server, vec![0; 4096]));
    steady(cts, |cts, _| {
        cts.submit((receive.take(), send.take())).unwrap();
        cts.until("both transfers", || send.is_back() && receive.is_back());
    });
}

fn readiness_of_descriptors(cts: &mut Cts) {
    let event = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let handle = cts.handle().import_pollable(event.try_clone().unwrap());
    let poll = Berth::of(PollHandle::readable(handle));
    steady(cts, |cts, _| {
        cts.submit(poll.take()).unwrap();
        cts.look(); // parked, before anything comes
        rustix::io::write(&event, &1u64.to_ne_bytes()).unwrap();
        cts.until("readiness", || poll.is_back());
        rustix::io::read(&event, &mut [0u8; 8]).unwrap();
    });
}

fn futex_waits_and_wakes(cts: &mut Cts) {
    let word = FutexWord::new(0);
    let wait = Berth::of(FutexWait::new(word.clone(), 0));
    let wake = Berth::of(FutexWake::all(word.clone()));
    steady(cts, |cts, number| {
        wait.with(|wait| wait.expected = number as u32 - 1);
        cts.submit(wait.take()).unwrap();
        cts.look(); // it waits, before anything comes
        word.atomic().store(number as u32, Ordering::SeqCst);
        back(cts, &wake);
        cts.until("the wake", || wait.is_back());
    });
}

fn semaphore_waits_and_signals(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let wait = Berth::of(SemaphoreWait::new(semaphore.clone(), 0));
    let signal = Berth::of(SemaphoreSignal::new(semaphore.clone(), 0));
    steady(cts, |cts, number| {
        wait.with(|wait| wait.set_value(0, 2 * number));
        signal.with(|signal| signal.set_value(0, 2 * number - 1));
        cts.submit((wait.take(), signal.take())).unwrap();
        cts.until("the signal", || signal.is_back());
        semaphore.signal(2 * number, None).unwrap();
        cts.until("the wait", || wait.is_back());
    });
}

fn waits_on_several_semaphores(cts: &mut Cts) {
    let semaphores: Vec<_> = (0..4).map(|_| Semaphore::new(0)).collect();
    let targets = || semaphores.iter().map(|semaphore| (semaphore.clone(), 0)).collect::<Vec<_>>();
    let (all, any) = (Berth::of(SemaphoreWait::all(targets())), Berth::of(SemaphoreWait::any(targets())));
    steady(cts, |cts, number| {
        for wait in [&all, &any] {
            wait.with(|wait| (0..4).for_each(|index| wait.set_value(index, number)));
        }
        cts.submit((all.take(), any.take())).unwrap();
        semaphores.iter().for_each(|semaphore| semaphore.signal(number, None).unwrap());
        cts.until("both waits", || all.is_back() && any.is_back());
    });
}

fn waits_for_frontiers(cts: &mut Cts) {
    let tracker = Tracker::new();
    let axes = [0, 1, 2, 3, 4].map(|queue| tracker.register(Axis::queue(1, 0, 0, queue)).unwrap());
    let wanted = |count: usize, epoch| {
        let entries: Vec<Entry> = axes[..count].iter().map(|axis| Entry::new(axis.axis(), epoch)).collect();
        Frontier::from_entries(&entries).unwrap()
    };
    let counts = [1, 4, 5];
    let waits = counts.map(|count| Berth::of(FrontierWait::new(&tracker, wanted(count, 1))));
    let mut frontiers = counts.map(|count| wanted(count, 1));
    steady(cts, |cts, number| {
        for ((wait, frontier), count) in waits.iter().zip(&mut frontiers).zip(counts) {
            // The next epoch of each axis, in the same storage.
            for axis in &axes[..count] {
                frontier.merge(&Frontier::single(axis.axis(), number).unwrap()).unwrap();
            }
            wait.with(|wait| wait.set_frontier(frontier));
            cts.submit(wait.take()).unwrap();
        }
        axes.iter().for_each(|axis| _ = axis.advance(number).unwrap());
        cts.until("the waits", || waits.iter().all(Berth::is_back));
    });
}

/// To link allocates once; to follow links does not, however many stand behind each other, with causes and without.
/// A device that arms an interrupt for the least value awaited.
#[derive(Default)]
struct Device {
    interrupt_at: AtomicU64,
    told: AtomicU64,
}

impl Timeline for Device {
    fn awaited(&self, value: u64) {
        self.interrupt_at.store(value, Ordering::SeqCst);
    }
    fn signalled(&self, value: u64) {
        self.told.store(value, Ordering::SeqCst);
    }
}

fn values_of_a_device(cts: &mut Cts) {
    let device = Arc::new(Device::default());
    let (semaphore, driver) = SemaphoreOptions::new().history(4).drive(device.clone());
    let causes = Knowledge::exact(Frontier::single(Axis::queue(1, 0, 0, 0), 1).unwrap());
    let wait = Berth::of(SemaphoreWait::new(semaphore.clone(), 0));
    let signal = Berth::of(SemaphoreSignal::new(semaphore.clone(), 0));
    steady(cts, |cts, number| {
        wait.with(|wait| wait.set_value(0, 3 * number));
        cts.submit(wait.take()).unwrap();
        cts.look();
        assert_eq!(device.interrupt_at.load(Ordering::SeqCst), 3 * number);
        signal.with(|signal| signal.set_value(0, 3 * number - 2));
        back(cts, &signal);
        assert_eq!(device.told.load(Ordering::SeqCst), 3 * number - 2);
        assert!(driver.advance_tainted(3 * number - 1).unwrap());
        assert!(driver.advance(3 * number, &causes).unwrap());
        cts.until("the device's value", || wait.is_back());
    });
}

/// A future's first poll in vain makes one allocation, and no other poll, no signal and no end any.
fn futures_of_values_and_frontiers(_: &mut Cts) {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let semaphore = Semaphore::new(0);
    let tracker = Tracker::new();
    let axis = tracker.register(Axis::queue(1, 0, 0, 0)).unwrap();
    let made = |work: &mut dyn FnMut()| {
        let region = Region::new(ALLOCATOR);
        work();
        let change = region.change();
        (change.allocations, change.reallocations)
    };
    for number in 1..=400 {
        let mut value = std::pin::pin!(semaphore.future(number));
        let frontier = Frontier::single(axis.axis(), number).unwrap();
        let mut reached = std::pin::pin!(tracker.reached(frontier));
        let first = [
            made(&mut || assert!(value.as_mut().poll(&mut cx).is_pending())),
            made(&mut || assert!(reached.as_mut().poll(&mut cx).is_pending())),
        ];
        let later = made(&mut || {
            assert!(value.as_mut().poll(&mut cx).is_pending() && reached.as_mut().poll(&mut cx).is_pending());
            semaphore.signal(number, None).unwrap();
            assert!(axis.advance(number).unwrap());
            assert!(value.as_mut().poll(&mut cx).is_ready() && reached.as_mut().poll(&mut cx).is_ready());
        });
        // Lines have grown to their size by then.
        if number > 200 {
            assert_eq!((first, later), ([(1, 0), (1, 0)], (0, 0)), "at {number}");
        }
    }
}

/// A wait of a thread allocates nothing where it need not sleep; else once, and once more for several semaphores.
fn threads_that_block(_: &mut Cts) {
    let drive = || SemaphoreOptions::new().drive(Arc::new(Device::default()));
    let ((one, first), (two, second)) = (drive(), drive());
    let notification = Notification::new();
    let rounds = Arc::new(AtomicU64::new(0));
    let (bell, begun) = (notification.clone(), rounds.clone());
    // It signals what is waited for, and only when it is.
    let thread = std::thread::spawn(move || {
        for number in 1..=300 {
            while begun.load(Ordering::SeqCst) < number {
                std::thread::yield_now();
            }
            for _ in 0..2 {
                while first.least_awaited().is_none() {
                    std::thread::yield_now();
                }
                second.advance_tainted(3 * number).unwrap();
                let least = first.least_awaited().expect("nobody else raises it");
                first.advance_tainted(least).unwrap();
            }
            while begun.load(Ordering::SeqCst) == number {
                bell.signal(1);
                std::thread::yield_now();
            }
        }
    });
    let mut counts = Vec::with_capacity(300);
    for number in 1..=300 {
        let both = [(one.clone(), 3 * number), (two.clone(), 3 * number)];
        let seen = notification.epoch();
        let made = |work: &dyn Fn()| {
            let region = Region::new(ALLOCATOR);
            work();
            region.change().allocations
        };
        rounds.store(number, Ordering::SeqCst);
        counts.push([
            made(&|| one.wait(3 * number - 1, patience(), WaitFlags::empty()).unwrap()),
            made(&|| Semaphore::wait_all(&both, patience(), WaitFlags::empty()).unwrap()),
            made(&|| Semaphore::wait_all(&both, patience(), WaitFlags::YIELD).unwrap()),
            made(&|| assert!(notification.wait_since(seen, patience()).unwrap())),
        ]);
    }
    rounds.store(u64::MAX, Ordering::SeqCst);
    thread.join().unwrap();
    assert!(counts[200..].iter().all(|counts| *counts == [1, 2, 0, 0]), "{:?}", &counts[200..]);
}

fn links_that_are_followed(cts: &mut Cts) {
    const LINKS: usize = 100;
    let causes = proact::causal::Frontier::single(proact::causal::Axis::queue(0, 0, 0, 0), 1).unwrap();
    let semaphores: Vec<_> = (0..=LINKS).map(|_| Semaphore::with_history(0, 4)).collect();
    let wait = Berth::of(SemaphoreWait::new(semaphores[LINKS].clone(), 0));
    let mut counted = 0;
    for value in 1..=50 {
        let linking = Region::new(ALLOCATOR);
        for pair in semaphores.windows(2) {
            pair[0].link(value, &pair[1], value).unwrap().detach();
        }
        let made = linking.change();
        assert_eq!((made.allocations, made.reallocations), (LINKS, 0), "one a link");
        wait.with(|wait| wait.set_value(0, value));
        cts.submit(wait.take()).unwrap();
        let region = Region::new(ALLOCATOR);
        semaphores[0].signal(value, (value % 2 == 0).then_some(&causes)).unwrap();
        let change = region.change();
        cts.until("the wait behind the links", || wait.is_back());
        // Histories have grown to their size by then.
        if value > 20 {
            assert_eq!((change.allocations, change.reallocations), (0, 0), "of a signal that {LINKS} links follow");
            counted += 1;
        }
    }
    assert_eq!(counted, 30);
}

fn chains_of_a_wait_and_a_send(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let wait = Berth::of(SemaphoreWait::new(semaphore.clone(), 0));
    let send = Berth::of(Send::exact(client, vec![1; 512]));
    let receive = Berth::of(Receive::exact(server, vec![0; 512]));
    let lowered = cts.lowers_waits();
    let before = cts.statistics();
    steady(cts, |cts, number| {
        wait.with(|wait| wait.set_value(0, number));
        cts.submit((Chain::new((wait.take(), send.take())), receive.take())).unwrap();
        cts.look();
        semaphore.signal(number, None).unwrap();
        cts.until("the chain", || wait.is_back() && send.is_back() && receive.is_back());
    });
    assert_eq!(cts.statistics().waits_lowered - before.waits_lowered, if lowered { 400 } else { 0 });
}

fn fences_taken_in(cts: &mut Cts) {
    let event = cts.handle().event().unwrap();
    let device = Semaphore::new(0);
    let fence = cts.handle().import_pollable(device.export_pollable(1).unwrap());
    let semaphore = Semaphore::new(0);
    let import = Berth::of(ImportFence::new(fence, semaphore.clone(), 1));
    let nop = Berth::of(Nop);
    steady(cts, |cts, number| {
        cts.submit(Chain::new((import.take(), nop.take()))).unwrap();
        cts.look();
        match number {
            // Signalled while it is waited for, once; then it is.
            1 => device.signal(1, None).unwrap(),
            _ => event.set().unwrap(),
        }
        cts.until("the fence", || import.is_back() && nop.is_back());
    });
    assert_eq!(semaphore.value(), 1);
}

/// W-49: making an export allocates; that it is told does not, by a signaller or by the kernel.
fn signals_of_exported_values(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let receive = Berth::of(Receive::exact(server, vec![0; 64]));
    let signal = Berth::of(SemaphoreSignal::new(semaphore.clone(), 0));
    let send = Berth::of(Send::exact(client, vec![1; 64]));
    let exports: Vec<_> = (1..=400).map(|value| semaphore.export_pollable(value).unwrap()).collect();
    let round = |cts: &mut Cts, value: u64| {
        signal.with(|signal| signal.set_value(0, value));
        cts.submit((Chain::new((receive.take(), signal.take())), send.take())).unwrap();
        cts.until("the chain", || receive.is_back() && signal.is_back() && send.is_back());
        assert_eq!(semaphore.value(), value);
        semaphore.signal(value + 1, None).unwrap();
    };
    (1..=100).for_each(|number| round(cts, 2 * number - 1));
    let region = Region::new(ALLOCATOR);
    (101..=200).for_each(|number| round(cts, 2 * number - 1));
    let change = region.change();
    // An export is given back when it has been told, then or when the semaphore's exports are next looked through.
    assert_eq!((change.allocations, change.reallocations), (0, 0));
    assert_eq!(cts.statistics().signals_lowered, if cts.lowers_chains() { 200 } else { 0 });
    drop(exports);
}

fn portable_chains(cts: &mut Cts) {
    let nops: [Berth<Nop>; 3] = std::array::from_fn(|_| Berth::of(Nop));
    let timer = Berth::of(Timer::new(Time::ORIGIN));
    steady(cts, |cts, number| {
        let lowering = if number % 2 == 0 { Lowering::Never } else { Lowering::Always };
        let chain = Chain::new((nops[0].take(), nops[1].take(), timer.take(), nops[2].take()));
        cts.submit(chain.lowering(lowering)).unwrap();
        cts.until("the chain", || nops.iter().all(Berth::is_back) && timer.is_back());
    });
}

fn sequences(cts: &mut Cts) {
    one_worker(cts);
    let file = cts.file("f", &[0; 64]);
    let inner = Sequence::new().step(Nop).step(Nop);
    let sequence = Sequence::new()
        .step(Write::exact(file.clone(), 0, vec![3; 64]))
        .step(Read::exact(file, 0, vec![0; 64]))
        .step(inner)
        .step(Timer::new(Time::ORIGIN));
    let plain = Berth::of(Sequence::new().step(Nop).step(Nop).step(Nop));
    let sequence = Berth::of(sequence);
    steady(cts, |cts, _| {
        cts.submit((sequence.take(), plain.take())).unwrap();
        cts.until("both sequences", || sequence.is_back() && plain.is_back());
    });
}

fn sequences_with_a_step_function(cts: &mut Cts) {
    let sequence = Sequence::new().step(Nop).step(Timer::new(Time::FAR_FUTURE)).on_step(|step| {
        step.kind_mut::<Timer>(1).expect("a timer").deadline = Time::ORIGIN;
        Ok(())
    });
    let sequence = Berth::of(sequence);
    steady(cts, |cts, _| {
        cts.submit(sequence.take()).unwrap();
        cts.until("the sequence", || sequence.is_back());
    });
}

fn submits_through_a_handle(cts: &mut Cts) {
    // The slots of other threads go round, so tables grow until each was used once: here within the rounds not counted.
    cts.rebuild(|builder| builder.remote_operations(64));
    let nops: [Berth<Nop>; 16] = std::array::from_fn(|_| Berth::of(Nop));
    let mut batch = Vec::with_capacity(16);
    let handle = cts.handle().clone();
    steady(cts, |cts, _| {
        batch.extend(nops[1..].iter().map(Berth::take));
        handle.submit(nops[0].take()).unwrap();
        handle.submit(&mut batch).unwrap();
        cts.until("all nops", || nops.iter().all(Berth::is_back));
    });
}

fn remote_cancels(cts: &mut Cts) {
    cts.rebuild(|builder| builder.remote_operations(64));
    let timer = Berth::of(Timer::new(Time::FAR_FUTURE));
    let handle = cts.handle().clone();
    steady(cts, |cts, number| {
        let id = if number % 2 == 0 { handle.submit(timer.take()) } else { cts.submit(timer.take()) };
        handle.cancel(id.unwrap()).unwrap();
        cts.until("the timer", || timer.is_back());
    });
}

fn sends_without_a_copy(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let send = Berth::of(Send::exact(client, vec![1; 20_000]).zero_copy());
    let receive = Berth::of(Receive::exact(server, vec![0; 20_000]));
    steady(cts, |cts, _| {
        cts.submit((receive.take(), send.take())).unwrap();
        cts.until("both transfers", || send.is_back() && receive.is_back());
    });
}

/// Counts the outcomes of an operation that has many, and drops what they bring.
#[derive(Clone, Default)]
struct Tally(Arc<AtomicUsize>);

impl<K: Kind> Complete<K> for Tally {
    fn more(&mut self, _: &K, outcome: Outcome<K>, _: &mut Context<'_>) {
        assert!(outcome.result.is_ok());
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn done(_: Box<Op<K, Tally>>, outcome: Outcome<K>, _: &mut Context<'_>) {
        assert!(outcome.result.is_err_and(|status| status.is_cancelled()), "only the end of the test ends it");
    }
}

/// Rounds of one `send` each, which `receive` is told of, again and again.
#[track_caller]
fn told_of_each<K: Kind, S: Kind>(cts: &mut Cts, receive: K, send: S) {
    let tally = Tally::default();
    cts.submit(Op::new(receive, tally.clone())).unwrap();
    let send = Berth::of(send);
    steady(cts, |cts, number| {
        back(cts, &send);
        cts.until("the outcome", || tally.0.load(Ordering::Relaxed) as u64 == number);
    });
}

fn repeated_receives(cts: &mut Cts) {
    let (client, server) = cts.pair();
    told_of_each(cts, ReceiveMany::new(server, vec![0; 100]), Send::exact(client, vec![1; 100]));
}

fn repeated_receives_of_datagrams(cts: &mut Cts) {
    let (one, two, address) = udp(cts);
    told_of_each(cts, ReceiveFromMany::new(two, vec![0; 100]), SendTo::new(one, vec![1; 100], address));
}

fn buffers(size: usize) -> BufferPool {
    BufferPool::new(Slab::allocate(size, 8, &Allocation::new()).unwrap()).unwrap()
}

fn receives_into_a_pool(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let pool = buffers(128);
    // One stays, so that the ring does which the kernel takes buffers of this pool from: making one allocates.
    let (_quiet, idle) = cts.pair();
    cts.submit(Op::new(ReceivePooled::new(idle, &pool), Tally::default())).unwrap();
    let (send, receive) = (Berth::of(Send::exact(client, vec![1; 100])), Berth::of(ReceivePooled::new(server, &pool)));
    steady(cts, |cts, _| {
        cts.submit((receive.take(), send.take())).unwrap();
        cts.until("both transfers", || send.is_back() && receive.is_back());
    });
}

fn repeated_receives_into_a_pool(cts: &mut Cts) {
    let (client, server) = cts.pair();
    told_of_each(cts, ReceivePooledMany::new(server, &buffers(128)), Send::exact(client, vec![1; 100]));
}

fn repeated_receives_of_datagrams_into_a_pool(cts: &mut Cts) {
    let (one, two, address) = udp(cts);
    let pool = buffers(ReceiveFromPooledMany::OVERHEAD + 100);
    told_of_each(cts, ReceiveFromPooledMany::new(two, &pool), SendTo::new(one, vec![1; 100], address));
}

fn intervals(cts: &mut Cts) {
    let tally = Tally::default();
    let interval = Interval::new(cts.now(), Duration::from_micros(50));
    cts.submit(Op::new(interval, tally.clone())).unwrap();
    steady(cts, |cts, _| {
        let before = tally.0.load(Ordering::Relaxed);
        cts.until("the next period", || tally.0.load(Ordering::Relaxed) > before);
    });
}

fn deadlines_that_pass_and_that_do_not(cts: &mut Cts) {
    let (nop, timer) = (Berth::of(Nop), Berth::of(Timer::new(Time::ORIGIN)));
    let (client, server) = cts.pair();
    let send = Berth::of(Send::exact(client, vec![1; 100]));
    let receive = Berth::of(Receive::exact(server, vec![0; 100]));
    steady(cts, |cts, _| {
        let later = cts.now() + Duration::from_secs(3600);
        cts.submit((nop.take().deadline(later), timer.take().deadline(later))).unwrap();
        cts.submit((receive.take().deadline(later), send.take().deadline(later))).unwrap();
        let all = || nop.is_back() && timer.is_back() && send.is_back() && receive.is_back();
        cts.until("what ends in time", all);
    });
}

fn scopes_and_their_cancels(cts: &mut Cts) {
    let scope = cts.handle().scope();
    let (nop, timer) = (Berth::of(Nop), Berth::of(Timer::new(Time::ORIGIN)));
    steady(cts, |cts, _| {
        cts.submit((nop.take().within(&scope), timer.take().within(&scope))).unwrap();
        cts.until("what is in the scope", || nop.is_back() && timer.is_back());
    });
    let cancel = Berth::of(CancelAll::new(&scope));
    steady(cts, |cts, _| back(cts, &cancel));
}

fn cancels_of_all_on_a_socket(cts: &mut Cts) {
    let (_client, server) = cts.pair();
    let receive = Berth::of(Receive::exact(server.clone(), vec![0; 9]));
    let cancel = Berth::of(CancelAll::new(&server));
    steady(cts, |cts, number| {
        cts.submit(receive.take()).unwrap();
        if number % 2 == 0 {
            cts.look();
        }
        back(cts, &cancel);
        cts.until("the receive", || receive.is_back());
    });
}

fn groups(cts: &mut Cts) {
    one_worker(cts);
    let file = cts.file("f", &[1; 64]);
    let steps = Sequence::new().step(Nop).step(Read::exact(file.clone(), 0, vec![0; 64]));
    let group = Group::new().with(Nop).with(Timer::new(Time::ORIGIN)).with(steps).with(Stat::new(file));
    let group = Berth::of(group);
    steady(cts, |cts, _| back(cts, &group));
}

/// Its operations come back by themselves.
struct Once(Tally);

impl Finish<Nop> for Once {
    fn finish(&mut self, _: &mut Nop, _: Outcome<Nop>, _: &mut Context<'_>) {
        self.0.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn storage_from_a_pool(cts: &mut Cts) {
    let (pool, tally) = (OpPool::with_capacity(4), Tally::default());
    steady(cts, |cts, number| {
        for _ in 0..4 {
            cts.submit(pool.take(Nop, Once(tally.clone()))).unwrap();
        }
        cts.until("the nops", || tally.0.load(Ordering::Relaxed) as u64 == 4 * number);
    });
}

fn names_in_a_folder(cts: &mut Cts) {
    one_worker(cts);
    cts.file("a", b"");
    let (a, b, c) = (cts.path("a"), cts.path("b"), cts.path("c"));
    let (there, home) = (Berth::of(Rename::new(&a, &b)), Berth::of(Rename::new(&b, &a)));
    let (link, remove) = (Berth::of(Link::hard(&a, &c)), Berth::of(Remove::file(&c)));
    let stat = Berth::of(StatPath::new(&a));
    steady(cts, |cts, _| {
        back(cts, &there);
        back(cts, &home);
        back(cts, &link);
        back(cts, &stat);
        back(cts, &remove);
    });
}

fn extended_attributes(cts: &mut Cts) {
    one_worker(cts);
    let file = cts.file("f", b"");
    let set = || SetAttribute::new(file.clone(), "user.colour", b"blue".as_slice(), AttributeMode::Set);
    if let Err(status) = cts.one(set()).result {
        harness::skip(format!("the file system of temporary files: {status}"));
    }
    let (set, get) = (Berth::of(set()), Berth::of(GetAttribute::new(file.clone(), "user.colour", vec![0; 9])));
    let list = Berth::of(ListAttributes::new(file.clone(), vec![0; 500]));
    let remove = Berth::of(RemoveAttribute::new(file, "user.colour"));
    steady(cts, |cts, _| {
        back(cts, &set);
        back(cts, &get);
        back(cts, &list);
        back(cts, &remove);
    });
}

fn lengths_and_ranges(cts: &mut Cts) {
    one_worker(cts);
    let file = cts.file("f", &[1; 4096]);
    let (allocate, truncate) =
        (Berth::of(Allocate::new(file.clone(), 0, 8192)), Berth::of(Truncate::new(file.clone(), 9)));
    let reserve = Berth::of(ChangeRange::reserve(file.clone(), 0, 16_384));
    let times = Berth::of(SetAttributes::new(file).mode(0o600).modified(1, 0));
    steady(cts, |cts, _| {
        back(cts, &allocate);
        back(cts, &truncate);
        back(cts, &reserve);
        back(cts, &times);
    });
}

fn messages_as_operations_in_chains_and_sent_directly(cts: &mut Cts) {
    let (told, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (noted, mut there) = (seen.clone(), cts.config.builder().build().unwrap());
    there.on_message(move |_, _| {
        noted.fetch_add(1, Ordering::Relaxed);
    });
    let noted = told.clone();
    cts.on_message(move |_, _| {
        noted.fetch_add(1, Ordering::Relaxed);
    });
    let (here, to) = (cts.handle().clone(), there.handle().clone());
    let (nop, there_by_chain, here_by_chain) =
        (Berth::of(Nop), Berth::of(Message::new(&to, 1)), Berth::of(Message::new(&here, 2)));
    steady(cts, |cts, number| {
        let number = number as usize;
        cts.submit(Chain::new((nop.take(), there_by_chain.take(), here_by_chain.take()))).unwrap();
        here.send_message(3).unwrap();
        to.send_message(4).unwrap();
        cts.until("the chain and its messages", || {
            here_by_chain.is_back() && told.load(Ordering::Relaxed) == 2 * number
        });
        while seen.load(Ordering::Relaxed) < 2 * number {
            there.poll(proact::time::Timeout::Immediate).unwrap();
        }
    });
}

fn messages_that_are_refused(cts: &mut Cts) {
    cts.rebuild(|builder| builder.messages(1));
    let handle = cts.handle().clone();
    handle.send_message(1).unwrap();
    steady(cts, |_, _| assert!(handle.send_message(2).is_err()));
}

fn notifications(cts: &mut Cts) {
    let notification = Notification::new();
    let wait = Berth::of(NotificationWait::new(notification.clone()));
    let signal = Berth::of(NotificationSignal::new(notification.clone(), 1));
    steady(cts, |cts, number| {
        let seen = notification.observe();
        if number % 3 == 0 {
            wait.with(|wait| wait.set_since(Some(seen.epoch())));
            assert!(notification.signal_if_observed(1));
        }
        cts.submit(wait.take()).unwrap();
        match number % 3 {
            0 => {}
            1 => notification.signal(1),
            _ => drop(cts.submit(signal.take()).unwrap()),
        }
        cts.until("the wait", || wait.is_back() && signal.is_back());
        assert!(seen.wait(proact::time::Timeout::Infinite).unwrap());
        wait.with(|wait| wait.set_since(None));
    });
}

fn notifications_of_many_waits_and_cancels(cts: &mut Cts) {
    let notification = Notification::new();
    let waits: [Berth<NotificationWait>; 64] =
        std::array::from_fn(|_| Berth::of(NotificationWait::new(notification.clone())));
    steady(cts, |cts, _| {
        for (index, wait) in waits.iter().enumerate() {
            let id = cts.submit(wait.take()).unwrap();
            if index % 4 == 0 {
                cts.cancel(id).unwrap();
            }
        }
        notification.broadcast();
        cts.until("the waits", || waits.iter().all(Berth::is_back));
    });
}

fn notifications_in_shared_memory(cts: &mut Cts) {
    let (region, _fd) = memory::Region::create_shared(4096).unwrap();
    let notification = Notification::create_shared(region, 0).unwrap();
    let wait = Berth::of(NotificationWait::new(notification.clone()));
    if let Err(refused) = cts.submit(wait.take()) {
        harness::skip(refused.status.to_string());
    }
    notification.signal(1);
    cts.until("the first wait", || wait.is_back());
    steady(cts, |cts, _| {
        cts.submit(wait.take()).unwrap();
        notification.signal(1);
        cts.until("the wait", || wait.is_back());
    });
}

fn chains_with_notifications_and_events(cts: &mut Cts) {
    let (notification, event) = (Notification::new(), cts.handle().event().unwrap());
    let first = Berth::of(NotificationWait::new(notification.clone()));
    let second = Berth::of(EventSet::new(event.clone()));
    let last = Berth::of(NotificationSignal::broadcast(notification.clone()));
    let wait = Berth::of(EventWait::new(event));
    steady(cts, |cts, _| {
        cts.submit((Chain::new((first.take(), second.take(), last.take())), wait.take())).unwrap();
        notification.signal(1);
        cts.until("the chain and the wait", || last.is_back() && wait.is_back());
    });
}

/// The handler's own allocations, wherever it interrupts: it looks at the counter before and after each call. The
/// interrupted thread does nothing meanwhile, and no other thread allocates.
fn calls_from_a_signal_handler(cts: &mut Cts) {
    use proact_cts::handler::{Calls, Interruptions};
    let allocated = || {
        let stats = ALLOCATOR.stats();
        stats.allocations + stats.reallocations + stats.deallocations
    };
    let (region, _fd) = memory::Region::create_shared(4096).unwrap();
    let shared = Notification::create_shared(region, 0).unwrap();
    let event = cts.handle().event().unwrap();
    let calls = Calls::new(cts.handle().clone(), Notification::new(), shared, event.clone(), allocated);
    let wait = Berth::of(NotificationWait::new(calls.notification.clone()));
    let set = Berth::of(EventWait::new(event));
    let interruptions = Interruptions::of_this_thread(Arc::new(calls));
    while interruptions.calls().handled() < 3000 {
        cts.submit((wait.take(), set.take())).unwrap();
        // The interrupted thread allocates, so that the handler interrupts the allocator as well.
        cts.until("the handler's calls", || wait.is_back() && set.is_back() && vec![0u8; 4096][17] == 0);
    }
    assert_eq!(interruptions.calls().faults(), 0, "a call allocated, failed, or changed errno");
}
