//! A pipeline over files and threads: submitted back to front, before anything of it has run, and ended by the last
//! callback of each chain of operations.
#![cfg(unix)]

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use proact::causal::{Axis, Completeness};
use proact::operation::{Chain, Complete, Context, Op, Outcome, Read, Sync, Write};
use proact::proactor::{Builder, ProactorThread};
use proact::resource::File;
use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact_schedule::executor::{Asynchronous, Runtime, Threads, Ticket};
use proact_schedule::model::{Point, Submission};
use proact_schedule::{QueueOptions, Scheduler, SchedulerOptions};

const PIECES: usize = 16;
const PIECE: usize = 4096;

/// What the queues are given; bytes go from one to the next where they lie.
#[derive(Clone)]
enum Work {
    Write(usize),
    Read(usize),
    Check(usize),
}

/// Ends its work with the outcome of the operation that it belongs to.
struct Last(Ticket);

impl Complete<Sync> for Last {
    fn done(op: Box<Op<Sync, Last>>, outcome: Outcome<Sync>, _: &mut Context<'_>) {
        op.state.0.end(outcome.result.map(drop));
    }
}

/// Where the bytes of a piece are laid when they have been read.
struct Lay(Ticket, Arc<Mutex<Vec<Vec<u8>>>>, usize);

impl Complete<Read<Vec<u8>>> for Lay {
    fn done(op: Box<Op<Read<Vec<u8>>, Lay>>, outcome: Outcome<Read<Vec<u8>>>, _: &mut Context<'_>) {
        let (read, Lay(ticket, pieces, piece)) = (op.kind, op.state);
        pieces.lock().unwrap()[piece] = read.buffer;
        ticket.end(outcome.result.map(drop));
    }
}

fn bytes(piece: usize) -> Vec<u8> {
    (0..PIECE).map(|index| (piece * 7 + index) as u8).collect()
}

#[test]
fn a_pipeline_over_files_and_threads_runs_as_it_was_submitted() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("pipeline");
    let file = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    let thread = ProactorThread::spawn(Builder::new()).unwrap();
    let handle = thread.handle().clone();
    let file: File = handle.import_file(OwnedFd::from(file)).map_err(|returned| returned.status).unwrap();

    let mut runtime: Runtime<Work> = Runtime::new(Scheduler::new(SchedulerOptions::new()));
    let shown = Semaphore::new(0);
    let pieces = Arc::new(Mutex::new(vec![Vec::new(); PIECES]));
    let scheduler = runtime.scheduler();
    let disk = scheduler.add_queue(QueueOptions::overlapping(Axis::queue(1, 0, 0, 0))).unwrap();
    let check = scheduler.add_queue(QueueOptions::in_order(Axis::queue(1, 0, 1, 0))).unwrap();
    let (written, read) = (
        (0..PIECES).map(|_| scheduler.add_semaphore(0)).collect::<Vec<_>>(),
        (0..PIECES).map(|_| scheduler.add_semaphore(0)).collect::<Vec<_>>(),
    );
    let checked = scheduler.add_shown_semaphore(shown.clone());
    for (piece, &read) in read.iter().enumerate() {
        let (waits, signals) = ([Point::new(read, 1)], [Point::new(checked, piece as u64 + 1)]);
        let last = Submission::new(check).waits(&waits).signals(&signals);
        scheduler.submit(&last, Work::Check(piece)).unwrap();
    }
    for piece in (0..PIECES).rev() {
        let (waits, signals) = ([Point::new(written[piece], 1)], [Point::new(read[piece], 1)]);
        let middle = Submission::new(disk).waits(&waits).signals(&signals);
        scheduler.submit(&middle, Work::Read(piece)).unwrap();
    }
    for (piece, &written) in written.iter().enumerate() {
        let signals = [Point::new(written, 1)];
        scheduler.submit(&Submission::new(disk).signals(&signals), Work::Write(piece)).unwrap();
    }

    let laid = pieces.clone();
    let io = Asynchronous::new(&runtime, move |work, ticket| match work {
        Work::Write(piece) => {
            let write = Op::new(Write::exact(file.clone(), (piece * PIECE) as u64, bytes(piece)), ());
            let chain = Chain::new((write, Op::new(Sync::data(file.clone()), Last(ticket))));
            assert!(handle.submit(chain).is_ok());
        }
        Work::Read(piece) => {
            let read = Read::exact(file.clone(), (piece * PIECE) as u64, vec![0; PIECE]);
            assert!(handle.submit(Op::new(read, Lay(ticket, laid.clone(), piece))).is_ok());
        }
        Work::Check(_) => unreachable!("for the other queue"),
    });
    runtime.attach(disk, io);
    let laid = pieces.clone();
    let compare = move |work| match work {
        Work::Check(piece) if laid.lock().unwrap()[piece] == bytes(piece) => Ok(()),
        _ => Err(Status::new(Code::DataLoss, Operation::None)),
    };
    let threads = Threads::new(&runtime, 2, compare).unwrap();
    runtime.attach(check, threads);

    runtime.run();
    assert_eq!(runtime.scheduler().statistics().failed, 0);
    assert_eq!(shown.value(), PIECES as u64);
    // The program sees the causes of what it waits for.
    let causes = shown.causes(PIECES as u64).unwrap();
    assert_eq!(causes.frontier.epoch(Axis::queue(1, 0, 1, 0)), PIECES as u64);
    assert_eq!(causes.completeness, Completeness::LowerBound, "single writes of an overlapping queue have no entry");
    drop(runtime);
    thread.join().unwrap();
    std::fs::remove_file(path).unwrap();
}
