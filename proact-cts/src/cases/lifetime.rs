//! Shutdown, handles that outlive it, panics, and the proactor thread.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::task::{Wake, Waker};
use std::time::Duration;

use proact::operation::{
    Accept, Chain, Complete, Context, EventWait, ImportFence, Kind, Nop, Op, Outcome, Read, Receive, SemaphoreSignal,
    SemaphoreWait, Send, Sequence, Timer, Write,
};
use proact::proactor::ProactorThread;
use proact::status::Code;
use proact::sync::{Semaphore, SemaphoreFuture, SemaphoreOptions, Timeline};
use proact::time::{Time, Timeout};

use super::cancel::everything;
use crate::bench::{Cts, patience};
use crate::cases;
use crate::harness::text_of;
use crate::system::descriptors;

cases![
    shutdown_ends_pending_operations_of_every_kind_once_and_cancelled,
    shutdown_delivers_what_has_completed_as_it_did,
    a_submit_inside_shutdown_gets_its_operations_back,
    a_handle_after_shutdown_gets_its_operations_back,
    a_handle_after_shutdown_says_so_however_often_it_is_asked,
    operations_on_their_way_when_it_shuts_down_end_cancelled,
    dropping_is_a_shutdown,
    nothing_is_left_of_a_proactor_that_was_dropped_at_work.real("other threads").alone(),
    a_semaphore_outlives_the_proactor_that_waited_for_it,
    a_panic_in_a_callback_leaves_the_rest_for_the_next_poll,
    a_panic_in_a_shutdown_keeps_no_other_from_its_callback,
    a_chain_goes_on_though_a_callback_of_it_panicked,
    a_waker_that_panics_within_an_operation_takes_nothing_from_others,
    a_waker_that_panics_when_a_fence_is_given_up_keeps_nobody_from_the_callback
        .real("a descriptor of the operating system"),
    a_device_that_panics_when_it_is_told_of_a_wait_leaves_nothing_of_it,
    a_panic_in_a_proactor_thread_is_reported_by_join.real("other threads"),
    a_proactor_thread_runs_until_it_is_joined_and_reports_what_it_counted.real("other threads"),
    a_proactor_thread_stops_also_while_it_is_busy.real("other threads"),
    a_proactor_thread_may_be_dropped_by_a_callback_of_its_own.real("other threads"),
    a_proactor_thread_joined_by_a_callback_of_its_own_is_told_so.real("other threads"),
    a_name_with_a_nul_is_no_reason_to_panic.real("other threads"),
    a_wake_ends_a_poll_or_the_next_one.real("other threads"),
    a_callback_may_submit_without_end_and_poll_still_returns,
];

fn shutdown_ends_pending_operations_of_every_kind_once_and_cancelled(cts: &mut Cts) {
    let (client, server) = cts.pair();
    let (listener, _) = cts.listener();
    let event = cts.handle().event().unwrap();
    let semaphore = Semaphore::new(0);
    let timer = cts.start(Timer::new(Time::FAR_FUTURE));
    let event_wait = cts.start(EventWait::new(event));
    let accept = cts.start(Accept::new(listener));
    let receive = cts.start(Receive::exact(client.clone(), vec![0; 4]));
    let queued = cts.start(Receive::exact(client, vec![0; 4]));
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 1));
    let sequence = cts.start(Sequence::new().step(SemaphoreWait::new(semaphore.clone(), 1)).step(Nop));
    let (head, headed) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    let (tail, tailed) = cts.watch(Send::exact(server, vec![0; 4]));
    cts.submit(Chain::new((head, tail))).unwrap();
    cts.look();
    assert_eq!(cts.take().shutdown(patience()), 0);
    let codes = [
        timer.only().status().code(),
        event_wait.only().status().code(),
        accept.only().status().code(),
        receive.only().status().code(),
        queued.only().status().code(),
        wait.only().status().code(),
        sequence.only().status().code(),
        headed.only().status().code(),
        tailed.only().status().code(),
    ];
    assert_eq!(codes, [Code::Cancelled; 9]);
    semaphore.signal(1, None).unwrap();
}

fn shutdown_delivers_what_has_completed_as_it_did(cts: &mut Cts) {
    let file = cts.file("f", b"");
    let event = cts.handle().event().unwrap();
    event.set().unwrap();
    let set = cts.start(EventWait::new(event));
    let write = cts.start(Write::exact(file, 0, b"whole".to_vec()));
    cts.poll(Timeout::Immediate).unwrap();
    assert_eq!(cts.take().shutdown(patience()), 0);
    // Cancelled, or as they ended: never both, never neither. And what was told is what is so.
    assert!(matches!(set.only().result.map_err(|status| status.code()), Ok(()) | Err(Code::Cancelled)));
    let written = cts.content("f");
    match write.only().result {
        Ok(length) => assert_eq!((length, written), (5, b"whole".to_vec())),
        Err(status) => assert_eq!((status.code(), written), (Code::Cancelled, Vec::new())),
    }
}

/// Tries to go on, and says how that was received.
struct Stubborn(Sender<(Code, Code)>);

impl<K: Kind> Complete<K> for Stubborn {
    fn done(op: Box<Op<K, Stubborn>>, outcome: Outcome<K>, cx: &mut Context<'_>) {
        let code = outcome.result.map_or_else(|status| status.code(), |_| Code::Ok);
        match cx.submit(op) {
            Ok(_) => panic!("accepted during a shutdown"),
            Err(refused) => refused.batch.state.0.send((code, refused.status.code())).unwrap(),
        }
    }
}

fn a_submit_inside_shutdown_gets_its_operations_back(cts: &mut Cts) {
    let (sender, answers) = channel();
    cts.submit(Op::new(Timer::new(Time::FAR_FUTURE), Stubborn(sender))).unwrap();
    cts.look();
    assert_eq!(cts.take().shutdown(patience()), 0);
    assert_eq!(answers.recv().unwrap(), (Code::Cancelled, Code::Aborted));
}

fn a_handle_after_shutdown_gets_its_operations_back(cts: &mut Cts) {
    let handle = cts.handle().clone();
    let id = cts.submit(Op::new(Timer::new(Time::FAR_FUTURE), ())).unwrap();
    assert_eq!(cts.take().shutdown(patience()), 0);
    let (one, first) = cts.watch(Nop);
    let (two, second) = cts.watch(Timer::new(Time::ORIGIN));
    let refused = handle.submit((one, two)).unwrap_err();
    assert_eq!(refused.status.code(), Code::Aborted);
    assert_eq!(refused.batch.1.kind.deadline, Time::ORIGIN);
    drop(refused);
    assert!(first.is_released() && second.is_released());
    assert_eq!(handle.cancel(id).unwrap_err().code(), Code::NotFound);
    handle.wake();
}

fn a_handle_after_shutdown_says_so_however_often_it_is_asked(cts: &mut Cts) {
    cts.rebuild(|builder| builder.remote_operations(4));
    let handle = cts.handle().clone();
    assert_eq!(cts.take().shutdown(patience()), 0);
    for attempt in 0..20 {
        let refused = handle.submit(Op::new(Nop, ())).unwrap_err();
        assert_eq!(refused.status.code(), Code::Aborted, "attempt {attempt}");
    }
}

fn operations_on_their_way_when_it_shuts_down_end_cancelled(cts: &mut Cts) {
    let handle = cts.handle().clone();
    let (ops, watches): (Vec<_>, Vec<_>) = (0..20).map(|_| cts.watch(Nop)).unzip();
    for op in ops {
        handle.submit(op).unwrap();
    }
    // None of them was taken in.
    assert_eq!(cts.take().shutdown(patience()), 0);
    for watch in watches {
        assert_eq!(watch.only().status().code(), Code::Cancelled);
    }
}

fn dropping_is_a_shutdown(cts: &mut Cts) {
    let timer = cts.start(Timer::new(Time::FAR_FUTURE));
    let event = cts.handle().event().unwrap();
    let wait = cts.start(EventWait::new(event));
    cts.look();
    drop(cts.take());
    assert_eq!(timer.only().status().code(), Code::Cancelled);
    assert_eq!(wait.only().status().code(), Code::Cancelled);
}

fn nothing_is_left_of_a_proactor_that_was_dropped_at_work(cts: &mut Cts) {
    drop(cts.take());
    let before = descriptors();
    for _ in 0..5 {
        cts.rebuild(|builder| builder);
        let ops = everything(cts);
        cts.submit(ops).unwrap();
        let file = cts.file("f", b"content");
        let watches: Vec<_> = (0..4).map(|_| cts.start(Read::exact(file.clone(), 0, vec![0; 7]))).collect();
        cts.look();
        assert_eq!(cts.take().shutdown(patience()), 0);
        drop(file);
        assert!(watches.into_iter().all(|watch| watch.calls() == 1));
    }
    assert_eq!(descriptors(), before);
    // Joined, and yet the system may list a thread for a moment longer.
    crate::bench::eventually("the end of the workers", || crate::system::threads_named("proact-worker").is_empty());
}

fn a_semaphore_outlives_the_proactor_that_waited_for_it(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let wait = cts.start(SemaphoreWait::new(semaphore.clone(), 1));
    let many = cts.start(SemaphoreWait::any(vec![(semaphore.clone(), 2), (semaphore.clone(), 3)]));
    cts.submit(Chain::new((Op::new(SemaphoreWait::new(semaphore.clone(), 1), ()), Op::new(Nop, ())))).unwrap();
    cts.look();
    drop(cts.take());
    assert_eq!((wait.code(), many.code()), (Some(Code::Cancelled), Some(Code::Cancelled)));
    for value in 1..=3 {
        semaphore.signal(value, None).unwrap();
    }
    cts.rebuild(|builder| builder);
    cts.get(SemaphoreWait::new(semaphore, 3));
}

struct Bang;

impl<K: Kind> Complete<K> for Bang {
    fn done(_: Box<Op<K, Bang>>, _: Outcome<K>, _: &mut Context<'_>) {
        // A panic, without the noise of one.
        std::panic::resume_unwind(Box::new("a broken callback"));
    }
}

/// Polls until a callback panics; answers with what.
#[track_caller]
fn panic_of(cts: &mut Cts) -> String {
    let result = catch_unwind(AssertUnwindSafe(|| cts.until("a panic", || false)));
    text_of(&*result.unwrap_err())
}

fn a_panic_in_a_callback_leaves_the_rest_for_the_next_poll(cts: &mut Cts) {
    let (one, first) = cts.watch(Nop);
    let (two, second) = cts.watch(Nop);
    cts.submit((one, Op::new(Nop, Bang), two, Op::new(Nop, Bang))).unwrap();
    assert_eq!(panic_of(cts), "a broken callback");
    assert_eq!(first.calls(), 1);
    assert_eq!(second.calls(), 0, "delivered after the panic");
    assert_eq!(panic_of(cts), "a broken callback");
    assert_eq!(second.calls(), 1);
    assert_eq!(cts.pending(), 0);
    cts.get(Nop);
}

fn a_panic_in_a_shutdown_keeps_no_other_from_its_callback(cts: &mut Cts) {
    for explicit in [false, true] {
        cts.rebuild(|builder| builder);
        let event = cts.handle().event().unwrap();
        let (one, first) = cts.watch(EventWait::new(event.clone()));
        let (two, second) = cts.watch(EventWait::new(event.clone()));
        cts.submit((
            Op::new(EventWait::new(event.clone()), Bang),
            one,
            Op::new(Timer::new(Time::FAR_FUTURE), Bang),
            two,
        ))
        .unwrap();
        cts.look();
        let proactor = cts.take();
        let ending = catch_unwind(AssertUnwindSafe(|| {
            if explicit {
                proactor.shutdown(patience());
            } else {
                drop(proactor);
            }
        }));
        assert_eq!(text_of(&*ending.unwrap_err()), "a broken callback");
        assert_eq!((first.code(), second.code()), (Some(Code::Cancelled), Some(Code::Cancelled)));
    }
    cts.rebuild(|builder| builder);
}

fn a_chain_goes_on_though_a_callback_of_it_panicked(cts: &mut Cts) {
    let (tail, watch) = cts.watch(Nop);
    cts.submit(Chain::new((Op::new(Timer::new(Time::ORIGIN), Bang), Op::new(Nop, Bang), tail))).unwrap();
    assert_eq!(panic_of(cts), "a broken callback");
    assert_eq!(panic_of(cts), "a broken callback");
    cts.until("the chain's end", || watch.is_done());
    watch.only().result.unwrap();
}

struct BrokenWaker;

impl Wake for BrokenWaker {
    fn wake(self: Arc<BrokenWaker>) {
        std::panic::resume_unwind(Box::new("a broken waker"));
    }
}

/// A future that waits for the semaphore's 1, and whose waker panics.
fn broken_future(semaphore: &Semaphore) -> SemaphoreFuture {
    let mut future = semaphore.future(1);
    let waker = Waker::from(Arc::new(BrokenWaker));
    assert!(std::pin::Pin::new(&mut future).poll(&mut std::task::Context::from_waker(&waker)).is_pending());
    future
}

/// The signal runs while what other threads have sent is taken in: the rest of that must not be lost.
fn a_waker_that_panics_within_an_operation_takes_nothing_from_others(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let _future = broken_future(&semaphore);
    let (signal, signalled) = cts.watch(SemaphoreSignal::new(semaphore.clone(), 1));
    let (wait, waited) = cts.watch(SemaphoreWait::new(semaphore.clone(), 1));
    let (nop, done) = cts.watch(Nop);
    let handle = cts.handle();
    handle.submit(wait).unwrap();
    handle.submit(signal).unwrap();
    handle.submit(nop).unwrap();
    assert_eq!(panic_of(cts), "a broken waker");
    cts.until("all to end", || signalled.is_done() && waited.is_done() && done.is_done());
    let status = signalled.only().status();
    assert_eq!((status.code(), semaphore.value(), cts.pending()), (Code::Internal, 1, 0));
    waited.only().result.unwrap();
    done.only().result.unwrap();
}

fn a_waker_that_panics_when_a_fence_is_given_up_keeps_nobody_from_the_callback(cts: &mut Cts) {
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    let fence = cts.handle().import_pollable(reader);
    let semaphore = Semaphore::new(0);
    let _future = broken_future(&semaphore);
    let (import, imported) = cts.watch(ImportFence::new(fence, semaphore.clone(), 1));
    let id = cts.submit(import).unwrap();
    cts.look();
    cts.handle().cancel(id).unwrap();
    assert_eq!(panic_of(cts), "a broken waker");
    cts.until("the import's end", || imported.is_done());
    assert_eq!((imported.code(), cts.pending()), (Some(Code::Cancelled), 0));
    assert_eq!(semaphore.status().unwrap().code(), Code::Cancelled);
}

fn a_device_that_panics_when_it_is_told_of_a_wait_leaves_nothing_of_it(cts: &mut Cts) {
    struct BrokenDevice(AtomicBool);

    impl Timeline for BrokenDevice {
        fn awaited(&self, _: u64) {
            if !self.0.swap(true, Ordering::Relaxed) {
                std::panic::resume_unwind(Box::new("a broken device"));
            }
        }
    }

    let (driven, driver) = SemaphoreOptions::new().drive(Arc::new(BrokenDevice(AtomicBool::new(false))));
    let (wait, waited) = cts.watch(SemaphoreWait::new(driven.clone(), 1));
    cts.submit(wait).unwrap();
    assert_eq!(panic_of(cts), "a broken device");
    cts.until("the wait's end", || waited.is_done());
    assert_eq!((waited.code(), cts.pending()), (Some(Code::Internal), 0));
    // It stands in the slot of the other, which the device must not end.
    let semaphores = [Semaphore::new(0), Semaphore::new(0)];
    let next = cts.start(SemaphoreWait::all(semaphores.iter().map(|semaphore| (semaphore.clone(), 1)).collect()));
    cts.look();
    semaphores[0].signal(1, None).unwrap();
    driver.advance_tainted(1).unwrap();
    cts.look();
    assert!(!next.is_done(), "by the other's value");
    semaphores[1].signal(1, None).unwrap();
    cts.until("the next wait", || next.is_done());
    assert!(cts.get(SemaphoreWait::new(driven, 1)).causes.requirement().is_none());
}

fn a_panic_in_a_proactor_thread_is_reported_by_join(cts: &mut Cts) {
    let thread = ProactorThread::spawn(cts.config.builder()).unwrap();
    let (op, watch) = cts.watch(Timer::new(Time::FAR_FUTURE));
    thread.handle().submit(op).unwrap();
    thread.handle().submit(Op::new(Nop, Bang)).unwrap();
    crate::bench::eventually("the thread to have ended", || watch.is_done());
    let status = thread.join().unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.to_string().contains("a broken callback"), "{status}");
    assert_eq!(watch.only().status().code(), Code::Cancelled);
}

fn a_proactor_thread_runs_until_it_is_joined_and_reports_what_it_counted(cts: &mut Cts) {
    let thread = ProactorThread::spawn(cts.config.builder().name("my-proactor")).unwrap();
    let watches: Vec<_> = (0..100)
        .map(|_| {
            let (op, watch) = cts.watch(Nop);
            thread.handle().submit(op).unwrap();
            watch
        })
        .collect();
    crate::bench::eventually("a hundred nops", || watches.iter().all(|watch| watch.is_done()));
    crate::bench::eventually("its name among the threads", || crate::system::threads_named("my-proactor").len() == 1);
    let handle = thread.handle().clone();
    let ended = thread.join().unwrap();
    assert_eq!((ended.statistics.submitted, ended.statistics.completed, ended.leaked), (100, 100, 0));
    assert!(watches.iter().all(|watch| watch.calls() == 1));
    assert_eq!(handle.submit(Op::new(Nop, ())).unwrap_err().status.code(), Code::Aborted);
}

fn a_proactor_thread_stops_also_while_it_is_busy(cts: &mut Cts) {
    let thread = ProactorThread::spawn(cts.config.builder()).unwrap();
    thread.handle().submit(Op::new(Nop, Endless(Arc::new(())))).unwrap();
    let ended = thread.join().unwrap();
    assert_eq!(ended.leaked, 0);
}

/// Ends its own proactor's thread, one way or the other.
struct Last(ProactorThread, Option<Sender<Code>>);

impl Complete<Nop> for Last {
    fn done(op: Box<Op<Nop, Last>>, _: Outcome<Nop>, _: &mut Context<'_>) {
        let Last(thread, told) = op.state;
        match told {
            Some(told) => told.send(thread.join().unwrap_err().code()).unwrap(),
            None => drop(thread),
        }
    }
}

fn a_proactor_thread_may_be_dropped_by_a_callback_of_its_own(cts: &mut Cts) {
    let thread = ProactorThread::spawn(cts.config.builder()).unwrap();
    let handle = thread.handle().clone();
    let (op, watch) = cts.watch(Timer::new(Time::FAR_FUTURE));
    handle.submit((op, Op::new(Nop, Last(thread, None)))).unwrap();
    // It cannot be waited for there, but it ends: what is in flight is cancelled.
    crate::bench::eventually("the shutdown", || watch.is_done());
    assert_eq!(watch.only().status().code(), Code::Cancelled);
    assert_eq!(handle.submit(Op::new(Nop, ())).unwrap_err().status.code(), Code::Aborted);
}

fn a_proactor_thread_joined_by_a_callback_of_its_own_is_told_so(cts: &mut Cts) {
    let thread = ProactorThread::spawn(cts.config.builder()).unwrap();
    let handle = thread.handle().clone();
    let (told, code) = channel();
    let (op, watch) = cts.watch(Timer::new(Time::FAR_FUTURE));
    handle.submit((op, Op::new(Nop, Last(thread, Some(told))))).unwrap();
    assert_eq!(code.recv_timeout(patience()), Ok(Code::FailedPrecondition));
    crate::bench::eventually("the shutdown", || watch.is_done());
}

fn a_name_with_a_nul_is_no_reason_to_panic(cts: &mut Cts) {
    let thread = ProactorThread::spawn(cts.config.builder().name("na\0me")).unwrap();
    thread.join().unwrap();
}

struct Endless(Arc<()>);

impl Complete<Nop> for Endless {
    fn done(op: Box<Op<Nop, Endless>>, _: Outcome<Nop>, cx: &mut Context<'_>) {
        assert_eq!(Arc::strong_count(&op.state.0), 1);
        // Refused when the proactor shuts down, and dropped then.
        let _ = cx.submit(op);
    }
}

fn a_wake_ends_a_poll_or_the_next_one(cts: &mut Cts) {
    cts.handle().wake();
    assert!(cts.poll(Timeout::Infinite).unwrap().woken, "asked for before the poll");
    assert!(!cts.poll(Timeout::Immediate).unwrap().woken, "told once");
    let handle = cts.handle().clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(5));
        handle.wake();
    });
    cts.say("a wake from another thread");
    let deadline = cts.now() + patience();
    while !cts.poll(deadline).unwrap().woken {
        assert!(cts.now() < deadline, "never woken");
    }
    thread.join().unwrap();
}

fn a_callback_may_submit_without_end_and_poll_still_returns(cts: &mut Cts) {
    let id = cts.submit(Op::new(Nop, Endless(Arc::new(())))).unwrap();
    for _ in 0..100 {
        cts.poll(Timeout::Immediate).unwrap();
    }
    assert_eq!(cts.pending(), 1);
    assert_eq!(cts.cancel(id).unwrap_err().code(), Code::NotFound);
    // A timer is not starved by it.
    cts.get(Timer::new(Time::ORIGIN));
}
