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
    assert_eq!(runtime.scheduler().status(semaphores[66]).unwrap().code(), Code::Internal);
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
