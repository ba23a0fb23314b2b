//! Many runtimes on threads of their own.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proact::operation::EventWait;
use proact_async::{Builder, Runtime, Threads, handle, operation, spawn, time, yield_now};

#[test]
fn tasks_are_placed_in_turn_and_stay_where_they_are() {
    let threads = Threads::new(3, |_| Builder::new()).unwrap();
    let tasks: Vec<_> = (0..9)
        .map(|_| {
            threads.spawn_with(|| async {
                let before = std::thread::current().id();
                time::sleep(Duration::from_micros(50)).await;
                assert_eq!(before, std::thread::current().id());
                before
            })
        })
        .collect();
    let ids = Runtime::new().unwrap().block_on(async {
        let mut ids = Vec::new();
        for task in tasks {
            ids.push(task.await.unwrap());
        }
        ids
    });
    assert_eq!((ids[0], ids[1], ids[2]), (ids[3], ids[4], ids[5]));
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    for ended in threads.shutdown(Duration::from_secs(5)) {
        let ended = ended.unwrap();
        assert_eq!((ended.leaked, ended.dropped), (0, 0));
    }
}

#[test]
fn a_future_that_is_not_send_is_made_where_it_runs() {
    let threads = Threads::new(1, |_| Builder::new()).unwrap();
    let task = threads.spawn_on(0, || {
        let shared = Rc::new(5);
        async move {
            let other = shared.clone();
            *shared + spawn(async move { *other }).await.unwrap()
        }
    });
    assert_eq!(Runtime::new().unwrap().block_on(task).unwrap(), 10);
}

#[test]
fn tasks_that_heed_the_stop_end_by_themselves_and_others_are_dropped() {
    let threads = Threads::new(2, |_| Builder::new()).unwrap();
    let ended = Arc::new(AtomicUsize::new(0));
    for _ in 0..4 {
        let (stop, ended) = (threads.stop().clone(), ended.clone());
        drop(threads.spawn(async move {
            stop.requested().await;
            yield_now().await;
            ended.fetch_add(1, Ordering::Relaxed);
        }));
    }
    let stubborn = threads.spawn_with(|| async { operation(EventWait::new(handle().event().unwrap())).await.1.result });
    let outcomes = threads.shutdown(Duration::from_millis(50));
    let outcomes: Vec<_> = outcomes.into_iter().map(|outcome| outcome.unwrap()).collect();
    assert_eq!(ended.load(Ordering::Relaxed), 4);
    assert_eq!(outcomes.iter().map(|ended| ended.dropped).collect::<Vec<_>>(), [1, 0]);
    assert!(outcomes.iter().all(|ended| ended.leaked == 0));
    assert!(Runtime::new().unwrap().block_on(stubborn).unwrap_err().is_cancelled());
}

#[test]
fn an_end_that_is_asked_for_at_any_moment_comes() {
    for round in 0..100u32 {
        let threads = Threads::new(2, |_| Builder::new()).unwrap();
        if round % 2 == 0 {
            drop(threads.spawn(yield_now()));
        }
        for _ in 0..round * 10 {
            std::hint::spin_loop();
        }
        for ended in threads.shutdown(Duration::ZERO) {
            ended.unwrap();
        }
    }
}

#[test]
fn what_cannot_be_built_says_why() {
    use proact::proactor::Choice;
    use proact::topology::{Affinity, CpuSet};
    let nowhere = || Affinity::on([4095].into_iter().collect::<CpuSet>());
    let failure = Threads::new(2, |index| {
        let builder = proact::proactor::Builder::new().backend(Choice::Poll);
        Builder::new().proactor(if index == 1 { builder.affinity(nowhere()) } else { builder })
    });
    assert!(failure.is_err());
    assert!(Threads::new(0, |_| Builder::new()).is_err());
}

#[test]
fn a_shutdown_may_have_all_the_patience_there_is() {
    let threads = Threads::new(2, |_| Builder::new()).unwrap();
    let task = threads.spawn_with(|| async {
        time::sleep(Duration::from_millis(1)).await;
        7
    });
    let outcomes = threads.shutdown(Duration::MAX);
    assert!(outcomes.into_iter().all(|ended| ended.unwrap().dropped == 0));
    assert_eq!(Runtime::new().unwrap().block_on(task).unwrap(), 7);
}
