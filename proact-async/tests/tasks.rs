//! Tasks: joins, panics, aborts, wakes from other threads, and the end of a runtime.

mod support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Poll, Waker};
use std::time::Duration;

use proact_async::{Runtime, spawn, spawner, time, yield_now};
use support::on_every_backend;

/// Counts how often it was dropped.
struct Dropped(Rc<Cell<usize>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn tasks_run_first_come_first_served_and_are_joined() {
    let runtime = Runtime::new().unwrap();
    let order = Rc::new(RefCell::new(Vec::new()));
    let seen = order.clone();
    let sum = runtime.block_on(async move {
        let tasks: Vec<_> = (0..4)
            .map(|index| {
                let seen = seen.clone();
                spawn(async move {
                    seen.borrow_mut().push(index);
                    yield_now().await;
                    seen.borrow_mut().push(index + 10);
                    index
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    });
    assert_eq!(sum, 6);
    assert_eq!(*order.borrow(), [0, 1, 2, 3, 10, 11, 12, 13]);
}

#[test]
fn block_on_takes_what_borrows_and_answers_its_output() {
    let runtime = Runtime::new().unwrap();
    let text = String::from("borrowed");
    assert_eq!(runtime.block_on(async { &text[..3] }), "bor");
}

#[test]
fn a_panic_is_the_join_handles_and_harms_no_one_else() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let other = spawn(async {
            yield_now().await;
            7
        });
        let error = spawn(async { panic!("on purpose") }).await.unwrap_err();
        assert!(error.is_panic() && error.to_string().contains("on purpose"), "{error}");
        assert_eq!(other.await.unwrap(), 7);
    });
}

#[test]
fn a_panic_of_the_blocking_future_goes_on_and_the_runtime_with_it() {
    let runtime = Runtime::new().unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| runtime.block_on(async { panic!("on purpose") }))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"on purpose"));
    assert_eq!(runtime.block_on(async { spawn(async { 1 }).await.unwrap() }), 1);
}

#[test]
fn a_future_that_panics_when_it_is_dropped_is_a_panic_of_its_task() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let runtime = Runtime::new().unwrap();
    let task = runtime.spawn(async {
        let _bomb = Bomb;
        std::future::pending::<()>().await;
    });
    runtime.block_on(yield_now());
    task.abort();
    let error = runtime.block_on(task).unwrap_err();
    assert!(error.is_panic() && error.to_string().contains("dropped"), "{error}");
}

#[test]
fn an_aborted_task_drops_its_future_and_says_so() {
    let runtime = Runtime::new().unwrap();
    let drops = Rc::new(Cell::new(0));
    let dropped = Dropped(drops.clone());
    let task = runtime.spawn(async move {
        let _dropped = dropped;
        std::future::pending::<()>().await;
    });
    runtime.block_on(async {
        yield_now().await;
        assert!(!task.is_finished());
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    assert_eq!(drops.get(), 1);
}

#[test]
fn abort_after_the_end_changes_nothing() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let task = spawn(async { 3 });
        yield_now().await;
        assert!(task.is_finished());
        task.abort();
        assert_eq!(task.await.unwrap(), 3);
    });
}

#[test]
fn a_task_may_abort_itself() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let own = Rc::new(RefCell::new(None::<proact_async::JoinHandle<()>>));
        let seen = own.clone();
        let task = spawn(async move {
            seen.borrow().as_ref().unwrap().abort();
            yield_now().await;
            panic!("it goes on");
        });
        own.replace(Some(task));
        yield_now().await;
        let task = own.take().unwrap();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_dropped_handle_lets_the_task_go_on_and_drops_its_output() {
    let runtime = Runtime::new().unwrap();
    let drops = Rc::new(Cell::new(0));
    let (early, late) = (Dropped(drops.clone()), Dropped(drops.clone()));
    runtime.block_on(async move {
        drop(spawn(async move { early }));
        let ended = spawn(async move { late });
        yield_now().await;
        yield_now().await;
        drop(ended);
    });
    assert_eq!(drops.get(), 2);
}

#[test]
fn wakers_of_a_task_that_has_ended_do_nothing() {
    let runtime = Runtime::new().unwrap();
    let mut kept = None;
    runtime.block_on(async {
        poll_fn(|cx| {
            kept = Some(cx.waker().clone());
            Poll::Ready(())
        })
        .await;
    });
    let waker = kept.unwrap();
    waker.wake_by_ref();
    let other = waker.clone();
    std::thread::spawn(move || other.wake()).join().unwrap();
    drop(runtime);
    waker.wake();
}

#[test]
fn tasks_come_from_other_threads_and_their_outputs_go_back() {
    on_every_backend(|runtime| {
        let spawner = runtime.spawner();
        let thread = std::thread::spawn(move || {
            let tasks: Vec<_> = (0..100u64).map(|index| spawner.spawn(async move { index })).collect();
            tasks
        });
        let tasks = thread.join().unwrap();
        let sum = runtime.block_on(async {
            let mut sum = 0;
            for task in tasks {
                sum += task.await.unwrap();
            }
            sum
        });
        assert_eq!(sum, 4950);
    });
}

#[test]
fn a_task_is_joined_from_another_thread() {
    on_every_backend(|runtime| {
        let (stop, stopped) = mpsc::channel::<()>();
        let (done, finished) = mpsc::channel();
        let spawner = runtime.spawner();
        let thread = std::thread::spawn(move || {
            let other = Runtime::new().unwrap();
            let task = spawner.spawn(async { String::from("over there") });
            assert_eq!(other.block_on(task).unwrap(), "over there");
            done.send(()).unwrap();
            stopped.recv().unwrap();
        });
        runtime.block_on(async {
            while finished.try_recv().is_err() {
                time::sleep(Duration::from_micros(100)).await;
            }
        });
        stop.send(()).unwrap();
        thread.join().unwrap();
    });
}

/// A channel of one value between threads, made of a waker alone.
#[test]
fn wakes_from_another_thread_end_a_sleep_and_are_never_lost() {
    const ROUNDS: usize = 2000;
    on_every_backend(|runtime| {
        let count = Arc::new(AtomicUsize::new(0));
        let (send, receive) = mpsc::channel::<Waker>();
        let counted = count.clone();
        let thread = std::thread::spawn(move || {
            for waker in receive {
                counted.fetch_add(1, Ordering::Release);
                waker.wake();
            }
        });
        runtime.block_on(async {
            for round in 1..=ROUNDS {
                let mut sent = false;
                poll_fn(|cx| {
                    if count.load(Ordering::Acquire) == round {
                        return Poll::Ready(());
                    }
                    if !std::mem::replace(&mut sent, true) {
                        send.send(cx.waker().clone()).unwrap();
                    }
                    Poll::Pending
                })
                .await;
            }
        });
        drop(send);
        thread.join().unwrap();
        assert_eq!(count.load(Ordering::Relaxed), ROUNDS);
    });
}

/// Those of a sleep are one, which `loom_no_wake_request_leaves_the_poll_thread_asleep` counts.
#[test]
fn wakes_from_another_thread_cost_no_system_call_while_the_thread_is_up() {
    const TASKS: usize = 64;
    on_every_backend(|runtime| {
        let before = runtime.statistics().wakes;
        runtime.block_on(async {
            let (send, receive) = mpsc::channel::<Waker>();
            let tasks: Vec<_> = (0..TASKS)
                .map(|_| {
                    let (send, mut first) = (send.clone(), true);
                    spawn(poll_fn(move |cx| {
                        if !std::mem::replace(&mut first, false) {
                            return Poll::Ready(());
                        }
                        send.send(cx.waker().clone()).unwrap();
                        Poll::Pending
                    }))
                })
                .collect();
            yield_now().await;
            let wakers: Vec<_> = receive.try_iter().collect();
            assert_eq!(wakers.len(), TASKS);
            // This thread does not sleep, as far as its proactor knows: it is in a task.
            std::thread::spawn(move || wakers.into_iter().for_each(Waker::wake)).join().unwrap();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert_eq!(runtime.statistics().wakes, before);
    });
}

#[test]
fn tasks_that_yield_for_ever_starve_neither_timers_nor_messages_from_other_threads() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            for _ in 0..200 {
                spawn(async {
                    loop {
                        yield_now().await;
                    }
                });
            }
            time::sleep(Duration::from_millis(1)).await;
            let spawner = spawner();
            let task = std::thread::spawn(move || spawner.spawn(async { 1 })).join().unwrap();
            assert_eq!(task.await.unwrap(), 1);
        });
    });
}

#[test]
fn the_end_of_a_runtime_drops_its_tasks_and_what_they_spawn() {
    let drops = Rc::new(Cell::new(0));
    let runtime = Runtime::new().unwrap();
    struct Spawns(Dropped);
    impl Drop for Spawns {
        fn drop(&mut self) {
            let inner = Dropped(self.0.0.clone());
            drop(spawn(async move {
                let _inner = inner;
                std::future::pending::<()>().await;
            }));
        }
    }
    let (ready, waiting) = (Spawns(Dropped(drops.clone())), Dropped(drops.clone()));
    let task = runtime.spawn(async move {
        let _waiting = waiting;
        time::sleep(Duration::from_secs(3600)).await;
    });
    runtime.block_on(yield_now());
    runtime.spawn(async move { drop(ready) });
    drop(runtime);
    assert_eq!(drops.get(), 3);
    let other = Runtime::new().unwrap();
    assert!(other.block_on(task).unwrap_err().is_cancelled());
}

#[test]
fn after_the_end_of_a_runtime_its_spawner_gives_cancelled_tasks() {
    let runtime = Runtime::new().unwrap();
    let spawner = runtime.spawner();
    drop(runtime);
    let task = spawner.spawn(async { 1 });
    assert!(Runtime::new().unwrap().block_on(task).unwrap_err().is_cancelled());
}

#[test]
fn what_needs_a_runtime_says_so() {
    let text = |panic: Box<dyn std::any::Any + Send>| panic.downcast_ref::<&str>().unwrap().to_string();
    let outside = catch_unwind(|| drop(spawn(async {}))).unwrap_err();
    assert!(text(outside).contains("no proact-async runtime"));
    let nested =
        catch_unwind(|| Runtime::new().unwrap().block_on(async { Runtime::new().unwrap().block_on(async {}) }));
    assert!(text(nested.unwrap_err()).contains("block_on inside of a runtime"));
    assert!(!proact_async::runtime::is_running());
}

#[test]
fn a_runtime_that_spins_before_it_sleeps_loses_no_wake() {
    let runtime = Runtime::builder().spin(Duration::from_micros(20)).build().unwrap();
    let (send, receive) = mpsc::channel::<Waker>();
    let thread = std::thread::spawn(move || {
        for (round, waker) in receive.iter().enumerate() {
            // Some come while it spins, some when it sleeps.
            for _ in 0..round % 100 * 100 {
                std::hint::spin_loop();
            }
            waker.wake();
        }
    });
    runtime.block_on(async {
        for _ in 0..500 {
            let mut sent = false;
            poll_fn(|cx| {
                if std::mem::replace(&mut sent, true) {
                    return Poll::Ready(());
                }
                send.send(cx.waker().clone()).unwrap();
                Poll::Pending
            })
            .await;
            time::sleep(Duration::from_nanos(1)).await;
        }
    });
    drop(send);
    thread.join().unwrap();
    assert!(runtime.statistics().spinning > Duration::ZERO, "it is the proactor that spins");
}
