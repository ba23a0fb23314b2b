//! Executors run what they are handed, and only when it may begin.

use std::cell::RefCell;
use std::rc::Rc;

use proact::causal::Axis;

use super::*;
use crate::audit::audit;
use crate::model::{Point, Submission};
use crate::options::{Handover, Order, QueueOptions, SchedulerOptions};
use crate::record::Recording;

type Log = Rc<RefCell<Vec<(u64, u64)>>>;

/// Devices that run work for as many nanoseconds as its payload says.
fn devices(count: u8, order: Order, lanes: usize) -> (Runtime<u64, Recording>, Vec<QueueId>, Vec<Device<u64>>) {
    let scheduler = Scheduler::with_recorder(SchedulerOptions::new(), Recording::default());
    let mut runtime = Runtime::new(scheduler);
    let (mut queues, mut all) = (Vec::new(), Vec::new());
    for index in 0..count {
        let options = QueueOptions::new(Axis::queue(1, 0, index, 0), order).handover(Handover::Issued);
        let queue = runtime.scheduler().add_queue(options).unwrap();
        let device = Device::new(order, lanes, |&nanoseconds: &u64| match nanoseconds {
            13 => (13, Err(Status::new(Code::DataLoss, Operation::None))),
            nanoseconds => (nanoseconds, Ok(())),
        });
        runtime.attach(queue, device.clone());
        queues.push(queue);
        all.push(device);
    }
    (runtime, queues, all)
}

/// Lets time pass on all devices until nothing runs.
fn pass(runtime: &mut Runtime<u64, Recording>, devices: &[Device<u64>], log: &Log) {
    loop {
        runtime.poll();
        let Some(next) = devices.iter().filter_map(Device::next_ns).min() else { return };
        devices.iter().for_each(|device| device.advance_to(next));
        log.borrow_mut().push((next, runtime.scheduler().in_flight()));
    }
}

#[test]
fn a_pipeline_over_three_devices_takes_its_virtual_time() {
    let (mut runtime, queues, devices) = devices(3, Order::InOrder, 1);
    let scheduler = runtime.scheduler();
    let semaphores: Vec<_> = (0..3).map(|_| scheduler.add_semaphore(0)).collect();
    // Three stages of ten pieces: all of it is submitted before any of it runs, the last stage first.
    for stage in [2, 1, 0] {
        for piece in 1..=10 {
            let signals = [Point::new(semaphores[stage], piece)];
            let waits: Vec<_> =
                stage.checked_sub(1).map(|stage| Point::new(semaphores[stage], piece)).into_iter().collect();
            scheduler.submit(&Submission::new(queues[stage]).waits(&waits).signals(&signals), 100).unwrap();
        }
    }
    let log = Log::default();
    pass(&mut runtime, &devices, &log);
    assert_eq!(devices[2].now_ns(), 1200, "ten pieces, and two stages to fill the pipe");
    assert_eq!(runtime.scheduler().value(semaphores[2]), 10);
    assert_eq!(audit(&runtime.scheduler().recorder().events).unwrap().submissions, 30);
}

#[test]
fn an_overlapping_device_runs_as_much_at_once_as_it_has_lanes() {
    let (mut runtime, queues, devices) = devices(1, Order::Overlapping, 2);
    for nanoseconds in [10, 30, 10, 5] {
        runtime.scheduler().submit(&Submission::new(queues[0]), nanoseconds).unwrap();
    }
    let log = Log::default();
    pass(&mut runtime, &devices, &log);
    assert_eq!(*log.borrow(), [(10, 4), (20, 3), (25, 2), (30, 1)]);
}

#[test]
fn a_device_that_fails_fails_what_depends_on_it_although_that_has_run() {
    let (mut runtime, queues, devices) = devices(2, Order::InOrder, 1);
    let scheduler = runtime.scheduler();
    let (first, second) = (scheduler.add_semaphore(0), scheduler.add_semaphore(0));
    scheduler.submit(&Submission::new(queues[0]).signals(&[Point::new(first, 1)]), 13).unwrap();
    let (waits, signals) = ([Point::new(first, 1)], [Point::new(second, 1)]);
    scheduler.submit(&Submission::new(queues[1]).waits(&waits).signals(&signals), 5).unwrap();
    pass(&mut runtime, &devices, &Log::default());
    let scheduler = runtime.scheduler();
    assert_eq!((scheduler.in_flight(), scheduler.statistics().failed), (0, 2));
    assert_eq!(scheduler.origin(second), Some(Place::new(queues[0], 1)));
}

#[test]
#[cfg(not(target_family = "wasm"))]
fn threads_run_work_and_what_panics_has_failed() {
    let mut runtime: Runtime<u64> = Runtime::new(Scheduler::new(SchedulerOptions::new()));
    let pool = runtime.scheduler().add_queue(QueueOptions::overlapping(Axis::queue(1, 0, 0, 0))).unwrap();
    let last = runtime.scheduler().add_queue(QueueOptions::in_order(Axis::queue(1, 0, 0, 1))).unwrap();
    let sum = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let run = {
        let sum = sum.clone();
        move |number| {
            assert_ne!(number, 66, "asked to");
            sum.fetch_add(number, std::sync::atomic::Ordering::Relaxed);
            Ok(())
        }
    };
    let threads = Threads::new(&runtime, 3, run.clone()).unwrap();
    runtime.attach(pool, threads);
    let threads = Threads::new(&runtime, 1, run).unwrap();
    runtime.attach(last, threads);
    let scheduler = runtime.scheduler();
    let semaphores: Vec<_> = (0..101).map(|_| scheduler.add_semaphore(0)).collect();
    for number in 0..100 {
        let signals = [Point::new(semaphores[number as usize], 1)];
        scheduler.submit(&Submission::new(pool).signals(&signals), number).unwrap();
    }
    let waits: Vec<_> = (0..100).filter(|&number| number != 66).map(|n| Point::new(semaphores[n], 1)).collect();
    let signals = [Point::new(semaphores[100], 1)];
    scheduler.submit(&Submission::new(last).waits(&waits).signals(&signals), 1000).unwrap();
    runtime.run();
    assert_eq!(sum.load(std::sync::atomic::Ordering::Relaxed), 99 * 100 / 2 - 66 + 1000);
    assert_eq!(runtime.scheduler().value(semaphores[100]), 1);
    let panicked = runtime.scheduler().status(semaphores[66]).unwrap();
    assert!(panicked.code() == Code::Internal && panicked.to_string().contains("asked to"), "{panicked}");
    assert_eq!(runtime.scheduler().in_flight(), 0);
}

#[test]
fn a_ticket_that_is_dropped_ends_its_work() {
    let mut runtime: Runtime<()> = Runtime::new(Scheduler::new(SchedulerOptions::new()));
    let queue = runtime.scheduler().add_queue(QueueOptions::in_order(Axis::queue(1, 0, 0, 0))).unwrap();
    let semaphore = runtime.scheduler().add_semaphore(0);
    let executor = Asynchronous::new(&runtime, |(), ticket| drop(ticket));
    runtime.attach(queue, executor);
    runtime.scheduler().submit(&Submission::new(queue).signals(&[Point::new(semaphore, 1)]), ()).unwrap();
    runtime.run();
    assert_eq!(runtime.scheduler().status(semaphore).unwrap().code(), Code::Cancelled);
}

#[test]
fn values_and_failures_of_the_program_are_seen_with_their_causes() {
    use proact::causal::Frontier;
    use proact::sync::Semaphore;

    let mut runtime: Runtime<()> = Runtime::new(Scheduler::new(SchedulerOptions::new()));
    let queue = runtime.scheduler().add_queue(QueueOptions::in_order(Axis::queue(1, 0, 0, 0))).unwrap();
    let executor = Asynchronous::new(&runtime, |(), ticket| ticket.end(Ok(())));
    runtime.attach(queue, executor);
    let program = Semaphore::new(0);
    let imported = runtime.import(program.clone());
    let own = [Point::new(imported, 1)];
    let refused = runtime.scheduler().submit(&Submission::new(queue).signals(&own), ()).unwrap_err();
    assert_eq!(refused.status.code(), Code::InvalidArgument);
    let first = runtime.scheduler().submit(&Submission::new(queue).waits(&[Point::new(imported, 2)]), ()).unwrap();
    let second = runtime.scheduler().submit(&Submission::new(queue).waits(&[Point::new(imported, 9)]), ()).unwrap();
    runtime.run();
    assert_eq!(runtime.scheduler().in_flight(), 2, "nobody has signalled");
    let elsewhere = Axis::queue(1, 5, 0, 0);
    program.signal(1, None).unwrap();
    program.signal(3, Some(&Frontier::single(elsewhere, 7).unwrap())).unwrap();
    runtime.run_until(|scheduler| scheduler.has_ended(first));
    assert_eq!(runtime.scheduler().value(imported), 3);
    assert_eq!(runtime.scheduler().knowledge(queue).frontier.epoch(elsewhere), 7);
    program.fail(Status::new(Code::DataLoss, Operation::None));
    runtime.run_until(|scheduler| scheduler.has_ended(second));
    assert_eq!((runtime.scheduler().statistics().completed, runtime.scheduler().statistics().failed), (1, 1));
}

#[test]
#[cfg(not(target_family = "wasm"))]
fn threads_that_are_dropped_begin_nothing_more() {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::channel;

    let mut runtime: Runtime<()> = Runtime::new(Scheduler::new(SchedulerOptions::new()));
    let queue = runtime.scheduler().add_queue(QueueOptions::overlapping(Axis::queue(1, 0, 0, 0))).unwrap();
    let ((begun, has_begun), (open, gate), ran) = (channel(), channel(), Arc::new(AtomicU32::new(0)));
    let (gate, counter) = (Mutex::new(gate), ran.clone());
    let run = move |()| {
        counter.fetch_add(1, Ordering::Relaxed);
        begun.send(()).unwrap();
        gate.lock().unwrap().recv().unwrap();
        Ok(())
    };
    let threads = Threads::new(&runtime, 1, run).unwrap();
    let work = threads.work.clone();
    runtime.attach(queue, threads);
    for _ in 0..3 {
        runtime.scheduler().submit(&Submission::new(queue), ()).unwrap();
    }
    runtime.poll();
    has_begun.recv().unwrap();
    let opener = std::thread::spawn(move || {
        while !work.is_closed() {
            std::thread::yield_now();
        }
        // Whoever has gone by then needs no gate.
        for _ in 0..3 {
            let _ = open.send(());
        }
    });
    let other = Asynchronous::new(&runtime, |(), ticket| ticket.end(Ok(())));
    runtime.attach(queue, other);
    opener.join().unwrap();
    runtime.run();
    let statistics = runtime.scheduler().statistics();
    assert_eq!((ran.load(Ordering::Relaxed), statistics.completed, statistics.failed), (1, 1, 2));
}

/// Ends a held ticket when it is handed work, and signals while it is polled.
#[cfg(not(target_family = "wasm"))]
struct Late {
    program: proact::sync::Semaphore,
    held: Rc<RefCell<Option<Ticket>>>,
    polls: u32,
    begun: Option<Place>,
}

#[cfg(not(target_family = "wasm"))]
impl Executor<()> for Late {
    fn begin(&mut self, work: Work<()>, _: &[Barrier]) {
        self.held.take().unwrap().end(Ok(()));
        self.begun = Some(work.place);
    }

    fn poll(&mut self, _: &dyn Fn(Place) -> bool, reports: &mut Vec<Report>) {
        self.polls += u32::from(self.held.borrow().is_some());
        if self.polls == 2 {
            // Nothing else moves any more, and what the program has signalled was looked at before.
            self.program.signal(1, None).unwrap();
            self.polls += 1;
        }
        reports.extend(self.begun.take().map(|place| Report { place, result: Ok(()) }));
    }
}

#[test]
#[cfg(not(target_family = "wasm"))]
fn what_is_signalled_just_before_a_runtime_sleeps_wakes_it() {
    let (done, is_done) = std::sync::mpsc::channel();
    // On a thread of its own: who sleeps for ever fails the test, and does not hang it.
    std::thread::spawn(move || {
        let mut runtime: Runtime<()> = Runtime::new(Scheduler::new(SchedulerOptions::new()));
        let [first, second] = [0, 1]
            .map(|queue| runtime.scheduler().add_queue(QueueOptions::in_order(Axis::queue(1, 0, 0, queue))).unwrap());
        let (program, held) = (proact::sync::Semaphore::new(0), Rc::new(RefCell::new(None)));
        let imported = runtime.import(program.clone());
        let hold = held.clone();
        let executor = Asynchronous::new(&runtime, move |(), ticket| *hold.borrow_mut() = Some(ticket));
        runtime.attach(first, executor);
        runtime.attach(second, Late { program, held, polls: 0, begun: None });
        runtime.scheduler().submit(&Submission::new(first), ()).unwrap();
        runtime.scheduler().submit(&Submission::new(second).waits(&[Point::new(imported, 1)]), ()).unwrap();
        runtime.run();
        done.send(runtime.scheduler().in_flight()).unwrap();
    });
    assert_eq!(is_done.recv_timeout(std::time::Duration::from_secs(60)), Ok(0), "the runtime sleeps");
}
