//! The proactor thread: how it idles, stops, is waited for and told of failures, and whose thread it is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proact::operation::{Complete, Context, Nop, Op, Outcome, Timer};
use proact::proactor::{ProactorThread, ThreadBody, ThreadOptions};
use proact::status::{Code, Operation, Status};
use proact::time::Time;

use crate::bench::{Cts, eventually, patience};
use crate::cases;
use crate::harness::Only;
use crate::system::{threads_named, unique};

cases![
    a_join_with_a_timeout_gives_up_and_may_be_asked_again.real("other threads"),
    any_thread_stops_it_and_all_who_join_hear_the_same.real("other threads"),
    a_thread_without_a_timeout_sleeps_until_something_comes.real("other threads"),
    a_thread_with_a_timeout_of_zero_never_sleeps.real("other threads").only(Only::Whole),
    a_thread_with_a_timeout_polls_again_without_a_cause.real("other threads").only(Only::Whole),
    a_panic_is_told_once_on_the_thread_and_to_who_joins.real("other threads"),
    a_panic_of_the_one_who_is_told_keeps_it_from_nothing.real("other threads"),
    a_proactor_that_cannot_be_built_is_told_to_who_spawns.real("other threads"),
    a_runner_supplies_the_thread.real("other threads"),
    a_runner_that_drops_the_body_or_fails_is_told_to_who_spawns.real("other threads").only(Only::Once),
    the_thread_of_a_runner_may_ask_how_its_proactor_ended.real("other threads"),
];

/// A callback that says that it runs, and blocks until it is let go.
pub(crate) struct Stuck {
    pub(crate) runs: Sender<()>,
    pub(crate) go: Receiver<()>,
}

impl Stuck {
    pub(crate) fn new() -> (Stuck, Receiver<()>, Sender<()>) {
        let ((runs, running), (let_go, go)) = (channel(), channel());
        (Stuck { runs, go }, running, let_go)
    }
}

impl Complete<Nop> for Stuck {
    fn done(op: Box<Op<Nop, Stuck>>, _: Outcome<Nop>, _: &mut Context<'_>) {
        op.state.runs.send(()).unwrap();
        op.state.go.recv_timeout(patience()).unwrap();
    }
}

fn a_join_with_a_timeout_gives_up_and_may_be_asked_again(cts: &mut Cts) {
    let name = format!("stuck-{}", unique());
    let thread = ProactorThread::spawn(cts.config.builder().name(&*name)).unwrap();
    let (stuck, running, let_go) = Stuck::new();
    thread.handle().submit(Op::new(Nop, stuck)).unwrap();
    running.recv_timeout(patience()).unwrap();
    for timeout in [Duration::ZERO, Duration::from_millis(1)] {
        let late = thread.join_timeout(timeout).unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded, "{late}");
        assert!(late.to_string().contains(&format!("{name:?}")), "{late}");
    }
    assert!(!thread.is_ended());
    let_go.send(()).unwrap();
    let ended = thread.join_timeout(Duration::MAX).unwrap();
    assert_eq!((&*ended.statistics.name, ended.statistics.completed, ended.leaked), (&*name, 1, 0));
    assert!(thread.is_ended());
    eventually("the thread to go", || threads_named(&name).is_empty());
    assert_eq!(
        thread.join_timeout(Duration::ZERO).unwrap().statistics,
        ended.statistics,
        "known, so no time is needed"
    );
}

fn any_thread_stops_it_and_all_who_join_hear_the_same(cts: &mut Cts) {
    let thread = ProactorThread::spawn(cts.config.builder()).unwrap();
    let heard = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                thread.stop();
                let ended = thread.join_timeout(patience()).unwrap();
                heard.lock().unwrap().push(ended.statistics);
            });
        }
    });
    let heard = heard.into_inner().unwrap();
    assert!(heard.len() == 3 && heard.iter().all(|statistics| *statistics == heard[0]));
}

/// Tells how often its proactor has polled.
struct Polls(Sender<u64>);

impl Complete<Nop> for Polls {
    fn done(op: Box<Op<Nop, Polls>>, _: Outcome<Nop>, cx: &mut Context<'_>) {
        op.state.0.send(cx.statistics().polls).unwrap();
    }
}

fn polls(thread: &ProactorThread) -> u64 {
    let (tell, told) = channel();
    thread.handle().submit(Op::new(Nop, Polls(tell))).unwrap();
    told.recv_timeout(patience()).unwrap()
}

fn a_thread_without_a_timeout_sleeps_until_something_comes(cts: &mut Cts) {
    let thread = ProactorThread::spawn(cts.config.builder()).unwrap();
    let first = polls(&thread);
    // Passes for each: one that hands over, one that delivers, one more for a wake that came late.
    const TIMES: u64 = 50;
    let last = (0..TIMES).map(|_| polls(&thread)).last().unwrap();
    assert!(last - first <= 4 * TIMES, "{} polls for {TIMES} operations", last - first);
    thread.join().unwrap();
}

fn a_thread_with_a_timeout_of_zero_never_sleeps(cts: &mut Cts) {
    let options = ThreadOptions::new().poll_timeout(Duration::ZERO);
    let thread = ProactorThread::spawn_with(cts.config.builder(), &options).unwrap();
    eventually("a thousand polls without an operation", || {
        let first = polls(&thread);
        std::thread::yield_now();
        polls(&thread) - first > 1000
    });
    assert_eq!(thread.join().unwrap().statistics.wakes, 0, "who never sleeps is never woken");
}

fn a_thread_with_a_timeout_polls_again_without_a_cause(cts: &mut Cts) {
    let options = ThreadOptions::new().poll_timeout(Duration::from_micros(100));
    let thread = ProactorThread::spawn_with(cts.config.builder(), &options).unwrap();
    let mut asked = 0;
    eventually("ten polls for each time that it was asked", || {
        // So that there is something to count between two questions.
        std::thread::sleep(Duration::from_millis(2));
        asked += 1;
        polls(&thread) > 10 * asked
    });
    thread.join().unwrap();
}

struct Bang;

impl Complete<Nop> for Bang {
    fn done(_: Box<Op<Nop, Bang>>, _: Outcome<Nop>, _: &mut Context<'_>) {
        panic!("a broken callback");
    }
}

fn a_panic_is_told_once_on_the_thread_and_to_who_joins(cts: &mut Cts) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = told.clone();
    let options = ThreadOptions::new().on_error(move |status: &Status| {
        let thread = std::thread::current().name().map(String::from);
        tell.lock().unwrap().push((status.to_string(), thread));
    });
    let thread = ProactorThread::spawn_with(cts.config.builder().name("breaks"), &options).unwrap();
    let (op, watch) = cts.watch(Timer::new(Time::FAR_FUTURE));
    thread.handle().submit((op, Op::new(Nop, Bang), Op::new(Nop, Bang))).unwrap();
    eventually("its end, which nobody asked for", || thread.is_ended());
    let status = thread.join_timeout(patience()).unwrap_err();
    assert_eq!((status.code(), status.operation()), (Code::Internal, Operation::Poll));
    assert!(status.to_string().contains("\"breaks\" panicked: a broken callback"), "{status}");
    // The second of the two panicked in the shutdown.
    assert_eq!(*told.lock().unwrap(), [(status.to_string(), Some(String::from("breaks")))]);
    assert_eq!(watch.only().status().code(), Code::Cancelled);
}

fn a_panic_of_the_one_who_is_told_keeps_it_from_nothing(cts: &mut Cts) {
    let options = ThreadOptions::new().on_error(|_| panic!("and another"));
    let thread = ProactorThread::spawn_with(cts.config.builder(), &options).unwrap();
    let (op, watch) = cts.watch(Timer::new(Time::FAR_FUTURE));
    thread.handle().submit((op, Op::new(Nop, Bang))).unwrap();
    eventually("its end", || thread.is_ended());
    assert!(thread.join().unwrap_err().to_string().contains("a broken callback"));
    assert_eq!(watch.only().status().code(), Code::Cancelled);
}

fn a_proactor_that_cannot_be_built_is_told_to_who_spawns(cts: &mut Cts) {
    let name = format!("unbuilt-{}", unique());
    let refused = ProactorThread::spawn(cts.config.builder().entries(0).name(&*name)).unwrap_err();
    assert_eq!((refused.code(), refused.operation()), (Code::InvalidArgument, Operation::Build));
    // A joined thread is listed for a moment longer.
    eventually("the thread to go", || threads_named(&name).is_empty());
}

fn a_runner_supplies_the_thread(cts: &mut Cts) {
    let name = format!("mine-{}", unique());
    let (threads, started) = (Arc::new(AtomicUsize::new(0)), name.clone());
    let count = threads.clone();
    let options = ThreadOptions::new().runner(move |body: ThreadBody| {
        count.fetch_add(1, Ordering::Relaxed);
        assert_eq!(body.name(), "not-shown");
        std::thread::Builder::new().name(started.clone()).spawn(move || body.run()).unwrap();
        Ok(())
    });
    let thread = ProactorThread::spawn_with(cts.config.builder().name("not-shown"), &options).unwrap();
    let (op, watch) = cts.watch(Nop);
    thread.handle().submit(op).unwrap();
    eventually("a nop", || watch.is_done());
    eventually("its name among the threads", || threads_named(&name).len() == 1);
    assert!(threads_named("not-shown").is_empty());
    assert_eq!((thread.name(), threads.load(Ordering::Relaxed)), ("not-shown", 1));
    assert_eq!(thread.join().unwrap().statistics.completed, 1);
    eventually("the runner's thread to go", || threads_named(&name).is_empty());
}

fn a_runner_that_drops_the_body_or_fails_is_told_to_who_spawns(cts: &mut Cts) {
    let drops = ThreadOptions::new().runner(|body: ThreadBody| {
        drop(body);
        Ok(())
    });
    let status = ProactorThread::spawn_with(cts.config.builder(), &drops).unwrap_err();
    assert_eq!((status.code(), status.operation()), (Code::Aborted, Operation::ProactorThread), "{status}");

    let refuses = ThreadOptions::new().runner(|_: ThreadBody| {
        Err(Status::new(Code::ResourceExhausted, Operation::None).with_message("no thread left"))
    });
    let status = ProactorThread::spawn_with(cts.config.builder(), &refuses).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(status.to_string().contains("no thread left"), "{status}");

    // It is refused, and the body runs all the same: then it ends by itself.
    let both = ThreadOptions::new().runner(|body: ThreadBody| {
        std::thread::Builder::new().name(String::from("unwanted")).spawn(move || body.run()).unwrap();
        Err(Status::new(Code::ResourceExhausted, Operation::None))
    });
    ProactorThread::spawn_with(cts.config.builder(), &both).unwrap_err();
    eventually("the unwanted thread to go", || threads_named("unwanted").is_empty());
}

/// While it polls it may not wait for itself; afterwards it is a thread like any other.
fn the_thread_of_a_runner_may_ask_how_its_proactor_ended(cts: &mut Cts) {
    let (ours, theirs) = channel::<Arc<ProactorThread>>();
    let (tell, told) = channel();
    let theirs = Mutex::new(Some((theirs, tell)));
    let options = ThreadOptions::new().runner(move |body: ThreadBody| {
        let (theirs, tell) = theirs.lock().unwrap().take().unwrap();
        std::thread::spawn(move || {
            body.run();
            let thread = theirs.recv_timeout(patience()).unwrap();
            tell.send(thread.join_timeout(Duration::ZERO).map(|ended| ended.leaked)).unwrap();
        });
        Ok(())
    });
    let thread = Arc::new(ProactorThread::spawn_with(cts.config.builder(), &options).unwrap());
    ours.send(thread.clone()).unwrap();
    thread.stop();
    assert_eq!(told.recv_timeout(patience()).unwrap().unwrap(), 0);
}
