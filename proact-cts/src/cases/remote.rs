//! Submits from other threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use proact::operation::{Chain, Nop, Op, SemaphoreSignal, Timer};
use proact::sync::Semaphore;
use proact::time::Time;

use crate::bench::{Cts, Watch};
use crate::cases;

cases![
    submits_from_four_threads_all_complete_on_the_poll_thread_and_in_their_threads_order.real("other threads"),
    a_batch_from_another_thread_stays_together_and_in_order.real("other threads"),
    four_threads_share_few_slots_for_many_rounds.real("other threads"),
    many_submits_during_one_sleep_are_one_wake.real("other threads"),
    submits_from_a_callbacks_handle_are_taken_in,
    two_proactors_submit_to_each_other.real("other threads"),
];

fn submits_from_four_threads_all_complete_on_the_poll_thread_and_in_their_threads_order(cts: &mut Cts) {
    let mut threads = Vec::new();
    let mut watches: Vec<Vec<Watch<Nop>>> = Vec::new();
    for _ in 0..4 {
        let (ops, watched): (Vec<_>, Vec<_>) = (0..500).map(|_| cts.watch(Nop)).unzip();
        watches.push(watched);
        let handle = cts.handle().clone();
        threads.push(std::thread::spawn(move || {
            for op in ops {
                handle.submit(op).unwrap();
            }
        }));
    }
    cts.until_with("two thousand nops", |proactor| proactor.statistics().completed == 2000);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let here = std::thread::current().id();
    for watched in watches {
        assert!(watched.iter().map(Watch::order).is_sorted(), "one thread's submits stay in order");
        assert!(watched.into_iter().all(|watch| watch.only().thread == here));
    }
    assert_eq!(cts.statistics().remote_batches, 2000);
}

fn a_batch_from_another_thread_stays_together_and_in_order(cts: &mut Cts) {
    let semaphore = Semaphore::new(0);
    let signal = |value| Op::new(SemaphoreSignal::new(semaphore.clone(), value), ());
    let (last, watch) = cts.watch(SemaphoreSignal::new(semaphore.clone(), 4));
    let batch = (signal(1), Chain::new((signal(2), signal(3))), last);
    let handle = cts.handle().clone();
    let thread = std::thread::spawn(move || handle.submit(batch).unwrap());
    cts.until("the batch", || watch.is_done());
    thread.join().unwrap();
    watch.only().result.unwrap();
    assert_eq!(semaphore.value(), 4);
}

fn four_threads_share_few_slots_for_many_rounds(cts: &mut Cts) {
    cts.rebuild(|builder| builder.remote_operations(8));
    let barrier = Arc::new(Barrier::new(4));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (handle, barrier) = (cts.handle().clone(), barrier.clone());
            std::thread::spawn(move || {
                barrier.wait();
                for _ in 0..500 {
                    let mut op = Op::new(Nop, ());
                    // Full for a moment: the poll thread gives slots back as it goes.
                    while let Err(refused) = handle.submit(op) {
                        op = refused.batch;
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    cts.until_with("two thousand nops", |proactor| proactor.statistics().completed == 2000);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(cts.pending(), 0);
}

fn many_submits_during_one_sleep_are_one_wake(cts: &mut Cts) {
    // While the poll thread does not sleep at all, nobody wakes it.
    let handle = cts.handle().clone();
    for _ in 0..50 {
        handle.submit(Op::new(Nop, ())).unwrap();
    }
    assert_eq!(cts.statistics().wakes, 0);
    cts.until_with("the first fifty", |proactor| proactor.statistics().completed == 50);
    assert_eq!(cts.statistics().wakes, 0, "nobody slept");
    // Fifty more, some of which find it asleep: as many wakes as sleeps at most, however many submits.
    let before = cts.statistics();
    let slept = Arc::new(AtomicBool::new(false));
    let awake = slept.clone();
    let thread = std::thread::spawn(move || {
        // Until the poll thread was found asleep once: then somebody had to wake it.
        crate::bench::eventually("the poll thread to sleep and be woken", || {
            handle.wake();
            awake.load(Ordering::Acquire)
        });
        for _ in 0..50 {
            handle.submit(Op::new(Nop, ())).unwrap();
        }
    });
    cts.until_with("the second fifty", |proactor| {
        slept.store(proactor.statistics().wakes > 0, Ordering::Release);
        proactor.statistics().completed == 100
    });
    thread.join().unwrap();
    let after = cts.statistics();
    assert!(after.wakes >= 1, "it slept, and somebody woke it");
    assert!(
        after.wakes <= after.polls - before.polls,
        "{} wakes for {} polls",
        after.wakes,
        after.polls - before.polls
    );
}

fn submits_from_a_callbacks_handle_are_taken_in(cts: &mut Cts) {
    use proact::operation::{Complete, Context, Outcome};
    struct Forward(Option<Box<Op<Timer, crate::bench::Tell<Timer>>>>);
    impl Complete<Nop> for Forward {
        fn done(mut op: Box<Op<Nop, Forward>>, _: Outcome<Nop>, cx: &mut Context<'_>) {
            cx.handle().submit(op.state.0.take().unwrap()).unwrap();
        }
    }
    let (op, timer) = cts.watch(Timer::new(Time::ORIGIN));
    cts.submit(Op::new(Nop, Forward(Some(op)))).unwrap();
    cts.until("the forwarded timer", || timer.is_done());
    timer.only().result.unwrap();
}

fn two_proactors_submit_to_each_other(cts: &mut Cts) {
    let other = proact::proactor::ProactorThread::spawn(cts.config.builder()).unwrap();
    use proact::operation::{Complete, Context, Outcome};
    struct Ball {
        left: u32,
        there: proact::proactor::Handle,
        back: Option<proact::proactor::Handle>,
        done: Semaphore,
    }
    impl Complete<Nop> for Ball {
        fn done(mut op: Box<Op<Nop, Ball>>, _: Outcome<Nop>, cx: &mut Context<'_>) {
            op.state.left -= 1;
            if op.state.left == 0 {
                return op.state.done.signal(1, None).unwrap();
            }
            let here = cx.handle();
            let there = std::mem::replace(&mut op.state.there, here);
            op.state.back = Some(there.clone());
            there.submit(op).unwrap();
        }
    }
    let done = Semaphore::new(0);
    let ball = Ball { left: 200, there: other.handle().clone(), back: None, done: done.clone() };
    cts.submit(Op::new(Nop, ball)).unwrap();
    let wait = cts.start(proact::operation::SemaphoreWait::new(done, 1));
    cts.until("two hundred throws", || wait.is_done());
    let ended = other.join().unwrap();
    assert_eq!(ended.statistics.completed, 100);
}
