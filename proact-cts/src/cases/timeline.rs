//! Semaphores that something else drives: devices, other semaphores; and all that waits for them at once: operations,
//! futures and threads.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::JoinHandle;

use proact::causal::{Axis, Frontier, Knowledge};
use proact::operation::{Chain, Nop, Op, Receive, SemaphoreSignal, SemaphoreWait, Send};
use proact::status::{Code, Operation, Result, Status};
use proact::sync::{Driver, Primitive, Semaphore, SemaphoreOptions, Timeline, WaitFlags};
use proact::time::Timeout;

use crate::bench::Cts;
use crate::cases;

cases![
    a_wait_before_the_device_is_there_ends_when_it_is.real("other threads"),
    a_chain_behind_a_devices_value_runs_when_the_device_has_reached_it.real("other threads"),
    a_device_that_fails_ends_every_wait_with_its_words.real("other threads"),
    a_device_that_is_gone_ends_every_wait_cancelled.real("other threads"),
    a_device_without_exports_says_so_and_the_portable_path_does_as_well,
    a_device_counts_while_operations_futures_and_threads_wait.real("other threads"),
    the_device_hears_of_signal_operations,
    a_device_that_panics_does_so_on_the_thread_that_told_it.real("other threads"),
    what_is_linked_is_released_with_the_source_and_learns_its_causes,
    links_join_proactors_and_pass_failures_on.real("other threads"),
    a_signal_operation_wakes_futures_and_blocked_threads.real("other threads"),
    waits_on_300_and_1000_semaphores_end_with_the_last_or_the_first,
    waits_on_1000_semaphores_fail_and_are_cancelled_whole.real("other threads"),
    a_wait_for_any_finds_who_was_reached_behind_one_that_failed,
    eight_threads_signal_a_thousand_values_each.real("other threads"),
    a_hundred_waits_from_each_of_four_threads_end_while_another_signals.real("other threads"),
    values_from_outside_are_no_requirement_for_who_waits,
    the_name_of_a_semaphore_stands_in_the_failures_of_operations,
    a_signal_then_a_nop_and_a_refused_signal_then_none,
    of_two_waiting_chains_only_the_one_that_is_signalled_runs,
    a_receive_a_signal_and_a_send_keep_their_order,
    a_signal_before_a_receive_and_two_signals_before_a_nop,
    a_wait_a_receive_and_a_signal_are_one_chain,
];

/// A device whose queue runs on a thread of its own: it counts up as far as anyone has asked for.
#[derive(Default)]
struct Device {
    asked: Mutex<Asked>,
    changed: Condvar,
    signalled: AtomicU64,
}

#[derive(Default)]
struct Asked {
    value: u64,
    stop: bool,
}

impl Timeline for Device {
    fn awaited(&self, value: u64) {
        let mut asked = self.asked.lock().unwrap();
        asked.value = asked.value.max(value);
        self.changed.notify_one();
    }

    fn signalled(&self, value: u64) {
        self.signalled.store(value, Ordering::SeqCst);
    }
}

impl Device {
    /// Runs until it is told to stop, and gives the driver back.
    fn run(self: &Arc<Device>, driver: Driver) -> JoinHandle<Driver> {
        let device = self.clone();
        std::thread::spawn(move || {
            let mut reached = 0;
            loop {
                let mut asked = device.asked.lock().unwrap();
                while asked.value <= reached && !asked.stop {
                    asked = device.changed.wait(asked).unwrap();
                }
                if asked.value <= reached {
                    return driver;
                }
                reached = asked.value;
                drop(asked);
                driver.advance(reached, &Knowledge::exact(cause(reached))).unwrap();
            }
        })
    }

    fn stop(&self) {
        self.asked.lock().unwrap().stop = true;
        self.changed.notify_one();
    }
}

fn driven() -> (Semaphore, Driver, Arc<Device>) {
    let device = Arc::new(Device::default());
    let (semaphore, driver) = SemaphoreOptions::new().drive(device.clone());
    (semaphore, driver, device)
}

fn cause(epoch: u64) -> Frontier {
    Frontier::single(Axis::queue(0, 0, 1, 0), epoch).unwrap()
}

fn lost() -> Status {
    Status::new(Code::DataLoss, Operation::None).with_message("the device fell off the bus")
}

fn a_wait_before_the_device_is_there_ends_when_it_is(cts: &mut Cts) {
    let (semaphore, driver, device) = driven();
    let waits: Vec<_> = [4, 2, 9].map(|value| cts.start(SemaphoreWait::new(semaphore.clone(), value))).into();
    assert_eq!(device.asked.lock().unwrap().value, 4, "the first that was asked for; 9 is asked for later");
    cts.look();
    assert!(waits.iter().all(|wait| wait.calls() == 0));
    let running = device.run(driver);
    cts.until("the device", || waits.iter().all(|wait| wait.is_done()));
    for (wait, reached) in waits.into_iter().zip([4, 4, 9]) {
        assert_eq!(wait.only().result.unwrap().causes.requirement(), Some(&cause(reached)));
    }
    device.stop();
    drop(running.join().unwrap());
    assert_eq!(semaphore.status().unwrap().code(), Code::Cancelled);
    cts.get(SemaphoreWait::new(semaphore, 9));
}

fn a_chain_behind_a_devices_value_runs_when_the_device_has_reached_it(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (semaphore, driver, device) = driven();
    let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore, 1));
    let (send, sent) = cts.watch(Send::exact(client, b"done".as_slice()));
    cts.submit(Chain::new((wait, send))).unwrap();
    let receive = cts.start(Receive::exact(server, vec![0; 4]));
    cts.look();
    assert_eq!((waited.calls(), sent.calls(), device.asked.lock().unwrap().value), (0, 0, 1));
    let running = device.run(driver);
    cts.drain();
    assert!(waited.order() < sent.order());
    waited.only().result.unwrap();
    assert_eq!(receive.only().kind.buffer, b"done");
    device.stop();
    running.join().unwrap();
}

fn a_device_that_fails_ends_every_wait_with_its_words(cts: &mut Cts) {
    let (semaphore, driver, _device) = driven();
    driver.advance_tainted(3).unwrap();
    let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), 5));
    let (nop, behind) = cts.watch(Nop);
    cts.submit(Chain::new((wait, nop))).unwrap();
    let both = cts.start(SemaphoreWait::all(vec![(Semaphore::new(0), 1), (semaphore.clone(), 4)]));
    let thread = std::thread::spawn(move || driver.fail(lost()));
    cts.drain();
    assert!(thread.join().unwrap());
    assert_eq!(behind.only().status().code(), Code::Cancelled);
    for status in [waited.only().status(), both.only().status(), cts.fails(SemaphoreWait::new(semaphore.clone(), 4))] {
        assert_eq!((status.code(), status.message()), (Code::DataLoss, Some("the device fell off the bus")));
    }
    cts.get(SemaphoreWait::new(semaphore, 3));
}

fn a_device_that_is_gone_ends_every_wait_cancelled(cts: &mut Cts) {
    let (semaphore, driver, _device) = driven();
    let wait = cts.start(SemaphoreWait::new(semaphore, 1));
    let thread = std::thread::spawn(move || drop(driver));
    cts.until("the wait", || wait.is_done());
    thread.join().unwrap();
    let status = wait.only().status();
    assert_eq!(status.code(), Code::Cancelled);
    assert!(status.to_string().contains("device that drives the semaphore is gone"), "{status}");
}

fn a_device_without_exports_says_so_and_the_portable_path_does_as_well(cts: &mut Cts) {
    struct Exports;

    impl Timeline for Exports {
        fn awaited(&self, _: u64) {}

        fn export_primitive(&self, value: u64) -> Result<Primitive> {
            Ok(Primitive::Native { interface: "timeline", bits: value })
        }
    }

    let (with, _driver) = SemaphoreOptions::new().drive(Arc::new(Exports));
    assert!(matches!(with.export_primitive(3), Ok(Primitive::Native { interface: "timeline", bits: 3 })));
    let (without, driver, _device) = driven();
    let refused = without.export_primitive(1).unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().unwrap().contains("exports nothing"), "{refused}");
    assert_eq!(without.enqueue_signal(1).unwrap_err().code(), Code::Unavailable);
    assert_eq!(Semaphore::new(0).export_primitive(1).unwrap_err().code(), Code::Unavailable);
    let wait = cts.start(SemaphoreWait::new(without, 1));
    driver.advance_tainted(1).unwrap();
    cts.until("the portable wait", || wait.is_done());
    assert!(wait.only().result.unwrap().causes.requirement().is_none(), "the device said nothing of causes");
}

fn a_device_counts_while_operations_futures_and_threads_wait(cts: &mut Cts) {
    const LAST: u64 = 200;
    let device = Arc::new(Device::default());
    // Whoever looks late still finds the causes of its value.
    let (semaphore, driver) = SemaphoreOptions::new().history(LAST as usize).drive(device.clone());
    let running = device.run(driver);
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let semaphore = semaphore.clone();
            std::thread::spawn(move || {
                for value in 1..=LAST {
                    match (value + thread) % 2 {
                        0 => semaphore.wait(value, Timeout::Infinite, WaitFlags::YIELD).unwrap(),
                        _ => assert!(block_on(semaphore.future(value)).unwrap().is_exact()),
                    }
                }
            })
        })
        .collect();
    for value in 1..=LAST {
        let wait = cts.start(SemaphoreWait::new(semaphore.clone(), value));
        cts.until("the device", || wait.is_done());
        assert!(wait.only().result.unwrap().causes.is_exact());
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    device.stop();
    running.join().unwrap();
}

fn the_device_hears_of_signal_operations(cts: &mut Cts) {
    let (semaphore, driver, device) = driven();
    cts.get(SemaphoreSignal::new(semaphore.clone(), 3).with_frontier(cause(3)));
    assert_eq!(device.signalled.load(Ordering::SeqCst), 3);
    driver.advance_tainted(5).unwrap();
    assert_eq!(device.signalled.load(Ordering::SeqCst), 3, "not of what it said itself");
    let status = cts.fails(SemaphoreSignal::new(semaphore, 4));
    assert_eq!(status.code(), Code::InvalidArgument);
}

fn a_device_that_panics_does_so_on_the_thread_that_told_it(cts: &mut Cts) {
    struct Panics(AtomicBool);

    impl Timeline for Panics {
        fn awaited(&self, _: u64) {}

        fn signalled(&self, _: u64) {
            assert!(self.0.swap(true, Ordering::SeqCst), "a device's own mistake");
        }
    }

    let (semaphore, _driver) = SemaphoreOptions::new().drive(Arc::new(Panics(AtomicBool::new(false))));
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 1));
    let signaller = {
        let semaphore = semaphore.clone();
        std::thread::spawn(move || semaphore.signal(1, None))
    };
    assert!(signaller.join().is_err());
    cts.until("the wait, whose signal happened", || wait.is_done());
    semaphore.signal(2, None).unwrap();
    cts.get(SemaphoreWait::new(semaphore, 2));
}

/// W-11: nothing of it is a failure.
fn what_is_linked_is_released_with_the_source_and_learns_its_causes(cts: &mut Cts) {
    let source = Semaphore::new(0);
    let targets: Vec<_> = (0..50).map(|initial| Semaphore::new(initial % 2 * 7)).collect();
    let links: Vec<_> = targets.iter().map(|target| source.link(2, target, 5).unwrap()).collect();
    let waits: Vec<_> = targets.iter().map(|target| cts.start(SemaphoreWait::new(target.clone(), 5))).collect();
    cts.look();
    assert_eq!(waits.iter().filter(|wait| wait.is_done()).count(), 25, "those that were at 7 before");
    cts.get(SemaphoreSignal::new(source, 3).with_frontier(cause(3)));
    cts.drain();
    assert!(links.into_iter().all(|link| !link.unlink()));
    for (index, wait) in waits.into_iter().enumerate() {
        let causes = wait.only().result.unwrap().causes;
        let expected = if index % 2 == 0 { cause(3) } else { Frontier::new() };
        assert_eq!(causes.requirement(), Some(&expected));
    }
    assert!(targets.iter().all(|target| target.status().is_none() && target.value() >= 5));
}

fn links_join_proactors_and_pass_failures_on(cts: &mut Cts) {
    let thread = proact::proactor::ProactorThread::spawn(cts.config.builder()).unwrap();
    let (here, between, there) = (Semaphore::new(0), Semaphore::new(0), Semaphore::new(0));
    for value in 1..=50 {
        here.link(value, &between, value).unwrap().detach();
        let chain = Chain::new((
            Op::new(SemaphoreWait::new(between.clone(), value), ()),
            Op::new(SemaphoreSignal::new(there.clone(), value), ()),
        ));
        thread.handle().submit(chain).unwrap();
        let wait = cts.start(SemaphoreWait::new(there.clone(), value));
        here.signal(value, None).unwrap();
        cts.until("the other proactor's answer", || wait.is_done());
        wait.only().result.unwrap();
    }
    here.link(51, &there, 51).unwrap().detach();
    let wait = cts.start(SemaphoreWait::new(there, 51));
    here.fail(lost());
    cts.until("the failure", || wait.is_done());
    assert_eq!(wait.only().status().message(), Some("the device fell off the bus"));
    thread.join().unwrap();
}

/// Unparks the thread that runs a future.
struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Unpark>) {
        self.0.unpark();
    }
}

fn block_on<F: Future + Unpin>(mut future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        match Pin::new(&mut future).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn a_signal_operation_wakes_futures_and_blocked_threads(cts: &mut Cts) {
    let (semaphore, done) = (Semaphore::new(0), Semaphore::new(0));
    let flags = [WaitFlags::empty(), WaitFlags::YIELD, WaitFlags::ACTIVE];
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (semaphore, done) = (semaphore.clone(), done.clone());
            std::thread::spawn(move || {
                match flags.get(thread) {
                    Some(flags) => semaphore.wait(1, Timeout::Infinite, *flags).unwrap(),
                    None => assert_eq!(block_on(semaphore.future(1)).unwrap().requirement(), Some(&cause(1))),
                }
                let _ = done.signal_if_later(thread as u64 + 1, None);
            })
        })
        .collect();
    let wait = cts.start(SemaphoreWait::new(done, 4));
    cts.get(SemaphoreSignal::new(semaphore, 1).with_frontier(cause(1)));
    cts.until("the last thread", || wait.is_done());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn many(count: usize) -> (Vec<Semaphore>, Vec<(Semaphore, u64)>) {
    let semaphores: Vec<_> = (0..count).map(|_| Semaphore::new(0)).collect();
    let targets = semaphores.iter().map(|semaphore| (semaphore.clone(), 1)).collect();
    (semaphores, targets)
}

/// W-42a: a wait counts its semaphores in a word, not in the spare byte of a pointer.
fn waits_on_300_and_1000_semaphores_end_with_the_last_or_the_first(cts: &mut Cts) {
    for count in [300, 1000] {
        let (semaphores, targets) = many(count);
        let any = cts.start(SemaphoreWait::any(targets.clone()));
        let all = cts.start(SemaphoreWait::all(targets.clone()));
        let late = 256 + count / 100;
        semaphores[late].signal(1, None).unwrap();
        cts.until("any", || any.is_done());
        assert_eq!(any.only().result.unwrap().index, late);
        for (index, semaphore) in semaphores.iter().enumerate().filter(|(index, _)| *index != late) {
            if index % 97 == 0 {
                cts.look();
                assert_eq!(all.calls(), 0, "{index} of {count}");
            }
            semaphore.signal(1, Some(&cause(index as u64 + 1))).unwrap();
        }
        cts.until("all", || all.is_done());
        assert_eq!(all.only().result.unwrap().causes.requirement(), Some(&cause(count as u64)), "all causes merged");
        assert_eq!(cts.get(SemaphoreWait::any(targets)).index, 0);
    }
}

/// W-32, W-33: the end of a wait takes it off every semaphore, and what comes later finds nobody.
fn waits_on_1000_semaphores_fail_and_are_cancelled_whole(cts: &mut Cts) {
    let (semaphores, targets) = many(1000);
    for any in [false, true] {
        let wait = |targets: &Vec<_>| match any {
            true => SemaphoreWait::any(targets.clone()),
            false => SemaphoreWait::all(targets.clone()),
        };
        let (op, cancelled) = cts.watch(wait(&targets));
        let id = cts.submit(op).unwrap();
        cts.look();
        cts.cancel(id).unwrap();
        cts.until("the cancelled wait", || cancelled.is_done());
        assert_eq!(cancelled.only().status().code(), Code::Cancelled);
        let failed = Semaphore::new(0);
        let mut more = targets.clone();
        more[700] = (failed.clone(), 1);
        let failing = cts.start(wait(&more));
        failed.fail(lost());
        cts.until("the failed wait", || failing.is_done());
        assert_eq!(failing.only().status().message(), Some("the device fell off the bus"));
    }
    // Two ends at once, from two threads.
    let wait = cts.start(SemaphoreWait::all(targets));
    let threads: Vec<_> = [0, 500]
        .map(|from| {
            let half = semaphores[from..from + 500].to_vec();
            std::thread::spawn(move || half.iter().for_each(|semaphore| semaphore.signal(1, None).unwrap()))
        })
        .into();
    cts.until("all", || wait.is_done());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    wait.only().result.unwrap();
    assert_eq!(cts.pending(), 0);
}

/// W-11, as an operation.
fn a_wait_for_any_finds_who_was_reached_behind_one_that_failed(cts: &mut Cts) {
    let (failed, reached) = (Semaphore::new(0), Semaphore::new(1));
    failed.fail(lost());
    let targets = vec![(failed.clone(), 1), (Semaphore::new(0), 1), (reached, 1)];
    assert_eq!(cts.get(SemaphoreWait::any(targets)).index, 2);
    let (client, server) = cts.pair();
    let behind = vec![(failed, 1), (Semaphore::new(1), 1)];
    let (wait, waited) = cts.watch(SemaphoreWait::any(behind));
    let (send, sent) = cts.watch(Send::exact(client, b"x".as_slice()));
    cts.submit(Chain::new((wait, send))).unwrap();
    cts.get(Receive::exact(server, vec![0; 1]));
    cts.drain();
    assert_eq!(waited.only().result.unwrap().index, 1);
    sent.only().result.unwrap();
}

fn eight_threads_signal_a_thousand_values_each(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let waits: Vec<_> = [1, 4000, 8000].map(|value| cts.start(SemaphoreWait::new(semaphore.clone(), value))).into();
    let rose = Arc::new(AtomicU64::new(0));
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let (semaphore, rose) = (semaphore.clone(), rose.clone());
            std::thread::spawn(move || {
                for round in 0..1000 {
                    let value = round * 8 + thread + 1;
                    let why = cause(value);
                    let causes = (value % 3 == 0).then_some(&why);
                    if semaphore.signal_if_later(value, causes).unwrap() {
                        rose.fetch_add(1, Ordering::Relaxed);
                        if causes.is_some() {
                            let known = semaphore.causes(value).unwrap();
                            assert!(!known.is_exact() || known.frontier == why);
                        }
                    }
                }
            })
        })
        .collect();
    cts.drain();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert!(waits.into_iter().all(|wait| wait.only().result.is_ok()));
    assert_eq!(semaphore.value(), 8000);
    assert!((1000..=8000).contains(&rose.load(Ordering::Relaxed)));
}

fn a_hundred_waits_from_each_of_four_threads_end_while_another_signals(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let done = Semaphore::new(0);
    let count = Arc::new(AtomicU64::new(0));
    let handle = cts.handle();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (semaphore, done, count, handle) = (semaphore.clone(), done.clone(), count.clone(), handle.clone());
            std::thread::spawn(move || {
                for value in 1..=100 {
                    let wait = SemaphoreWait::new(semaphore.clone(), value * (thread + 1));
                    let (done, count) = (done.clone(), count.clone());
                    let counted = CountEnd(done, count);
                    handle.submit(Op::new(wait, counted)).unwrap_or_else(|refused| panic!("refused: {refused}"));
                }
            })
        })
        .collect();
    let signaller = {
        let semaphore = semaphore.clone();
        std::thread::spawn(move || (1..=400).for_each(|value| semaphore.signal(value, None).unwrap()))
    };
    let all = cts.start(SemaphoreWait::new(done, 400));
    cts.until("400 waits", || all.is_done());
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    signaller.join().unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 400);
}

/// Counts ends, and signals the count.
struct CountEnd(Semaphore, Arc<AtomicU64>);

impl proact::operation::Complete<SemaphoreWait> for CountEnd {
    fn done(
        op: Box<Op<SemaphoreWait, CountEnd>>,
        outcome: proact::operation::Outcome<SemaphoreWait>,
        _: &mut proact::operation::Context<'_>,
    ) {
        outcome.result.unwrap();
        let count = op.state.1.fetch_add(1, Ordering::Relaxed) + 1;
        op.state.0.signal(count, None).unwrap();
    }
}

fn values_from_outside_are_no_requirement_for_who_waits(cts: &mut Cts) {
    let (outside, inside) = (Semaphore::new(0), Semaphore::new(0));
    let both = cts.start(SemaphoreWait::all(vec![(outside.clone(), 2), (inside.clone(), 1)]));
    inside.signal(1, Some(&cause(6))).unwrap();
    outside.signal_tainted(2).unwrap();
    outside.signal(3, Some(&cause(3))).unwrap();
    cts.until("both", || both.is_done());
    let causes = both.only().result.unwrap().causes;
    assert_eq!((causes.requirement(), &causes.frontier), (None, &cause(6)), "known, and perhaps not all");
    assert!(cts.get(SemaphoreWait::new(outside.clone(), 3)).causes.is_exact());
    outside.mark_tainted_above(2);
    assert!(cts.get(SemaphoreWait::new(outside.clone(), 3)).causes.requirement().is_none());
    assert_eq!((outside.untainted_value(), inside.untainted_value()), (0, 1));
}

fn the_name_of_a_semaphore_stands_in_the_failures_of_operations(cts: &mut Cts) {
    let one = Semaphore::new(0);
    let frames = SemaphoreOptions::new().name("frames").initial(7).build();
    let refused = cts.fails(SemaphoreSignal::many(vec![(one.clone(), 1), (frames.clone(), 7)]));
    let expected = "semaphore signal \"frames\": value 7 is not above the present value 7 (INVALID_ARGUMENT)";
    assert_eq!(refused.to_string(), expected);
    let wait = cts.start(SemaphoreWait::all(vec![(one, 2), (frames.clone(), 8)]));
    frames.fail(lost());
    cts.until("the wait", || wait.is_done());
    assert_eq!(wait.only().status().to_string(), "\"frames\": the device fell off the bus (DATA_LOSS)");
    assert_eq!(cts.fails(SemaphoreSignal::new(frames, 9)).to_string().find("\"frames\""), Some(0));
}

fn a_signal_then_a_nop_and_a_refused_signal_then_none(cts: &mut Cts) {
    /// Notes the value when the nop is told.
    struct Look(Semaphore, Arc<AtomicU64>);

    impl proact::operation::Complete<Nop> for Look {
        fn done(
            op: Box<Op<Nop, Look>>,
            outcome: proact::operation::Outcome<Nop>,
            _: &mut proact::operation::Context<'_>,
        ) {
            outcome.result.unwrap();
            op.state.1.store(op.state.0.value(), Ordering::Relaxed);
        }
    }

    let (semaphore, seen) = (Semaphore::new(0), Arc::new(AtomicU64::new(0)));
    let signal = Op::new(SemaphoreSignal::new(semaphore.clone(), 4), ());
    cts.submit(Chain::new((signal, Op::new(Nop, Look(semaphore.clone(), seen.clone()))))).unwrap();
    cts.drain();
    assert_eq!(seen.load(Ordering::Relaxed), 4, "raised before the nop's callback");
    let (signal, signalled) = cts.watch(SemaphoreSignal::new(semaphore.clone(), 4));
    let (nop, behind) = cts.watch(Nop);
    cts.submit(Chain::new((signal, nop))).unwrap();
    cts.drain();
    assert_eq!((signalled.code(), behind.code()), (Some(Code::InvalidArgument), Some(Code::Cancelled)));
    assert_eq!(semaphore.value(), 4);
}

fn of_two_waiting_chains_only_the_one_that_is_signalled_runs(cts: &mut Cts) {
    let pairs = [cts.pair(), cts.pair()];
    let semaphores = [Semaphore::new(0), Semaphore::new(0)];
    let mut sends = Vec::new();
    for ((client, _), semaphore) in pairs.iter().zip(&semaphores) {
        let (wait, _) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
        let (send, sent) = cts.watch(Send::exact(client.clone(), b"x".as_slice()));
        cts.submit(Chain::new((wait, send))).unwrap();
        sends.push(sent);
    }
    semaphores[1].signal(1, None).unwrap();
    cts.until("the second chain", || sends[1].is_done());
    cts.look();
    assert_eq!(sends[0].calls(), 0);
    semaphores[0].signal(1, None).unwrap();
    cts.drain();
    assert!(sends.into_iter().all(|sent| sent.only().result.is_ok()));
}

fn a_receive_a_signal_and_a_send_keep_their_order(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let semaphore = Semaphore::new(0);
    let (receive, received) = cts.watch(Receive::exact(server.clone(), vec![0; 4]));
    let (signal, signalled) = cts.watch(SemaphoreSignal::new(semaphore.clone(), 1));
    let (send, sent) = cts.watch(Send::exact(server, b"pong".as_slice()));
    cts.submit(Chain::new((receive, signal, send))).unwrap();
    cts.look();
    assert_eq!((semaphore.value(), received.calls(), sent.calls()), (0, 0, 0), "nothing has come yet");
    cts.get(Send::exact(client.clone(), b"ping".as_slice()));
    assert_eq!(cts.one(Receive::exact(client, vec![0; 4])).kind.buffer, b"pong");
    cts.drain();
    assert_eq!(semaphore.value(), 1);
    assert!(received.order() < signalled.order() && signalled.order() < sent.order());
}

fn a_signal_before_a_receive_and_two_signals_before_a_nop(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let semaphores = [Semaphore::new(0), Semaphore::new(0)];
    let (signal, signalled) = cts.watch(SemaphoreSignal::new(semaphores[0].clone(), 1));
    let (receive, received) = cts.watch(Receive::exact(server, vec![0; 2]));
    cts.submit(Chain::new((signal, receive))).unwrap();
    cts.until("the signal", || signalled.is_done());
    assert_eq!((semaphores[0].value(), received.calls()), (1, 0));
    cts.get(Send::exact(client, b"go".as_slice()));
    cts.drain();
    received.only().result.unwrap();
    let (one, first) = cts.watch(SemaphoreSignal::new(semaphores[0].clone(), 2));
    let (two, second) = cts.watch(SemaphoreSignal::new(semaphores[1].clone(), 2));
    let (nop, third) = cts.watch(Nop);
    cts.submit(Chain::new((one, two, nop))).unwrap();
    cts.drain();
    assert_eq!(semaphores.map(|semaphore| semaphore.value()), [2, 2]);
    assert!(first.order() < second.order() && second.order() < third.order());
}

fn a_wait_a_receive_and_a_signal_are_one_chain(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (gate, done) = (Semaphore::new(0), Semaphore::new(0));
    let (wait, waited) = cts.watch(SemaphoreWait::new(gate.clone(), 1));
    let (receive, received) = cts.watch(Receive::exact(server, vec![0; 2]));
    let (signal, signalled) = cts.watch(SemaphoreSignal::new(done.clone(), 1));
    cts.submit(Chain::new((wait, receive, signal))).unwrap();
    cts.get(Send::exact(client, b"go".as_slice()));
    cts.look();
    assert_eq!((waited.calls(), received.calls(), done.value()), (0, 0, 0));
    gate.signal(1, None).unwrap();
    cts.drain();
    assert_eq!(done.value(), 1);
    assert!(waited.order() < received.order() && received.order() < signalled.order());
    assert_eq!(received.only().kind.buffer, b"go");
}
