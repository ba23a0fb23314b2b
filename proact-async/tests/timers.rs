//! Timers, on real clocks and in virtual time.

mod support;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use proact::operation::Nop;
use proact::simulated::World;
use proact_async::time::Sleep;
use proact_async::{Runtime, operation, spawn, time, yield_now};
use support::on_every_backend;

fn simulated(seed: u64) -> Runtime {
    let world = World::new(seed);
    Runtime::builder().proactor(world.host("here").builder()).build().unwrap()
}

#[test]
fn a_sleep_never_ends_early() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            for micros in [0, 1, 50, 1000] {
                let wait = Duration::from_micros(micros);
                let before = time::now();
                time::sleep(wait).await;
                assert!(time::now() - before >= wait);
            }
        });
    });
}

#[test]
fn an_hour_of_virtual_time_takes_none_and_sleeps_end_in_their_order() {
    let runtime = simulated(7);
    let order = runtime.block_on(async {
        let order = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let start = time::now();
        let sleepers: Vec<_> = [3600, 5, 1800]
            .into_iter()
            .map(|seconds| {
                let order = order.clone();
                spawn(async move {
                    time::sleep(Duration::from_secs(seconds)).await;
                    order.borrow_mut().push(seconds);
                })
            })
            .collect();
        for sleeper in sleepers {
            sleeper.await.unwrap();
        }
        let passed = time::now() - start;
        assert!(passed >= Duration::from_secs(3600) && passed < Duration::from_secs(3601), "{passed:?}");
        order.take()
    });
    assert_eq!(order, [5, 1800, 3600]);
}

#[test]
fn a_timeout_ends_what_takes_too_long_and_nothing_else() {
    simulated(1).block_on(async {
        let start = time::now();
        let late = time::timeout(Duration::from_secs(1), time::sleep(Duration::from_secs(2))).await;
        assert_eq!(late, Err(time::Elapsed));
        assert!(time::now() - start < Duration::from_millis(1100));
        let soon = time::timeout(Duration::from_secs(2), async {
            time::sleep(Duration::from_secs(1)).await;
            "done"
        });
        assert_eq!(soon.await, Ok("done"));
    });
}

#[test]
fn an_interval_keeps_its_times_and_leaves_out_what_was_missed() {
    simulated(2).block_on(async {
        let start = time::now();
        let mut ticks = time::interval(Duration::from_secs(10));
        assert_eq!(ticks.tick().await - start, Duration::from_secs(10));
        time::sleep(Duration::from_secs(25)).await;
        assert_eq!(ticks.tick().await - start, Duration::from_secs(20));
        assert_eq!(ticks.tick().await - start, Duration::from_secs(40));
    });
}

#[test]
fn waiting_for_what_can_never_come_is_a_failure_in_a_simulated_world() {
    let status = simulated(3).try_block_on(std::future::pending::<()>()).unwrap_err();
    assert_eq!(status.code(), proact::status::Code::FailedPrecondition);
}

/// Polls a sleep once, which sets it going.
async fn start(sleep: &mut Sleep) {
    assert!(poll_fn(|cx| Poll::Ready(Pin::new(&mut *sleep).poll(cx).is_pending())).await);
}

#[test]
fn sleeps_are_no_operations_and_their_number_is_not_limited() {
    let proactor = proact::proactor::Builder::new().operations(16);
    let runtime = Runtime::builder().proactor(proactor).build().unwrap();
    runtime.block_on(async {
        let mut sleeps: Vec<Sleep> = (0..10_000).map(|_| time::sleep(Duration::from_secs(3600))).collect();
        for sleep in &mut sleeps {
            start(sleep).await;
        }
        time::sleep(Duration::from_nanos(1)).await;
        operation(Nop).await.1.result.unwrap();
        assert!(sleeps.iter().all(|sleep| !sleep.is_over()));
    });
    assert_eq!(runtime.statistics().submitted, 1, "the NOP");
}

#[test]
fn sleeps_end_at_their_very_nanosecond_of_virtual_time_and_equal_ones_in_the_order_of_their_polls() {
    let runtime = simulated(11);
    let order = runtime.block_on(async {
        let (order, start) = (Rc::new(RefCell::new(Vec::new())), time::now());
        let waits = [300, 299, 70_000, 300, 1, 0, 5_000_000_000, 299];
        let sleepers = waits.into_iter().enumerate().map(|(name, nanoseconds)| {
            let order = order.clone();
            let deadline = start + Duration::from_nanos(nanoseconds);
            spawn(async move {
                time::sleep_until(deadline).await;
                // All tasks of one time run before the next time comes.
                order.borrow_mut().push((name, (time::now() - start).as_nanos() as u64));
            })
        });
        for sleeper in sleepers.collect::<Vec<_>>() {
            sleeper.await.unwrap();
        }
        order.take()
    });
    let (names, times): (Vec<usize>, Vec<u64>) = order.into_iter().unzip();
    assert_eq!(names, [5, 4, 1, 7, 0, 3, 2, 6]);
    assert_eq!(times, [0, 1, 299, 299, 300, 300, 70_000, 5_000_000_000]);
}

#[test]
fn a_sleep_set_to_another_time_wakes_whom_it_would_have() {
    simulated(4).block_on(async {
        for (first, then) in [(3600, 10), (10, 3600)] {
            let begin = time::now();
            let sleep = Rc::new(RefCell::new(time::sleep(Duration::from_secs(first))));
            let sleeper = spawn({
                let sleep = sleep.clone();
                async move { poll_fn(|cx| Pin::new(&mut *sleep.borrow_mut()).poll(cx)).await }
            });
            time::sleep(Duration::from_secs(5)).await;
            sleep.borrow_mut().reset(begin + Duration::from_secs(then));
            sleeper.await.unwrap();
            assert_eq!(time::now() - begin, Duration::from_secs(then));
            // And again after its end.
            sleep.borrow_mut().reset(begin + Duration::from_secs(4000));
            poll_fn(|cx| Pin::new(&mut *sleep.borrow_mut()).poll(cx)).await;
            assert_eq!(time::now() - begin, Duration::from_secs(4000));
        }
    });
}

#[test]
fn a_waker_may_drop_sleeps_that_are_due_with_it() {
    struct Drops;
    thread_local! {
        static SLEEPS: RefCell<Vec<Sleep>> = const { RefCell::new(Vec::new()) };
        static WOKEN: Cell<usize> = const { Cell::new(0) };
    }
    impl Wake for Drops {
        fn wake(self: Arc<Self>) {
            WOKEN.set(WOKEN.get() + 1);
            // The last first: one that is due too, and one that is not. And one is made, in the midst of it.
            let dropped = SLEEPS.with_borrow_mut(|sleeps| sleeps.split_off(sleeps.len() - 2));
            let mut made = time::sleep(Duration::from_secs(1));
            assert!(Pin::new(&mut made).poll(&mut Context::from_waker(Waker::noop())).is_pending());
            drop(dropped);
        }
    }
    simulated(5).block_on(async {
        let waker = Waker::from(Arc::new(Drops));
        let start = time::now();
        for seconds in [1, 1, 1, 5, 1, 5] {
            let mut sleep = time::sleep_until(start + Duration::from_secs(seconds));
            assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(&waker)).is_pending());
            SLEEPS.with_borrow_mut(|sleeps| sleeps.push(sleep));
        }
        time::sleep(Duration::from_secs(10)).await;
        // Of the four that are due, the first takes the fourth with it, and the second the third.
        assert_eq!((WOKEN.get(), SLEEPS.with_borrow(Vec::len)), (2, 2));
    });
}

#[test]
fn a_sleep_may_outlive_its_runtime() {
    let runtime = Runtime::new().unwrap();
    let mut sleep = time::sleep_until(runtime.handle().clock().now() + Duration::from_secs(3600));
    runtime.block_on(start(&mut sleep));
    drop(runtime);
    assert!(pin!(&mut sleep).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    let other = Runtime::new().unwrap();
    other.block_on(async { drop(sleep) });
}

#[test]
fn many_timers_that_are_due_at_once_do_not_keep_others_waiting() {
    /// Notes how many were woken before what else happened.
    struct Count(Mutex<usize>);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() += 1;
        }
    }
    const DUE: usize = 10_000;
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let count = Arc::new(Count(Mutex::new(0)));
            let waker = Waker::from(count.clone());
            let deadline = time::now();
            let mut sleeps: Vec<Sleep> = (0..DUE).map(|_| time::sleep_until(deadline)).collect();
            for sleep in &mut sleeps {
                assert!(Pin::new(sleep).poll(&mut Context::from_waker(&waker)).is_pending());
            }
            operation(Nop).await.1.result.unwrap();
            yield_now().await;
            assert!(*count.0.lock().unwrap() <= DUE / 10, "{}", *count.0.lock().unwrap());
            while *count.0.lock().unwrap() < DUE {
                yield_now().await;
            }
            assert!(sleeps.iter_mut().all(|sleep| Pin::new(sleep).poll(&mut Context::from_waker(&waker)).is_ready()));
        });
    });
}

#[test]
fn a_sleep_whose_time_has_come_gives_way() {
    simulated(6).block_on(async {
        let ran = Rc::new(Cell::new(false));
        let other = spawn({
            let ran = ran.clone();
            async move { ran.set(true) }
        });
        time::sleep(Duration::ZERO).await;
        assert!(ran.get());
        other.await.unwrap();
    });
}

#[test]
fn a_sleep_wakes_whoever_has_polled_it_last() {
    let runtime = simulated(1);
    runtime.block_on(async {
        let mut sleep = time::sleep(Duration::from_secs(1));
        assert!(Pin::new(&mut sleep).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        // Moved to a task of its own, which nobody else wakes.
        spawn(sleep).await.unwrap();
    });
}

#[test]
fn a_sleep_that_ends_where_a_far_bucket_begins_is_not_late() {
    for bits in [16, 22, 28, 29, 34, 40, 46] {
        let runtime = simulated(1);
        runtime.block_on(async {
            for at in 1..4u64 {
                let deadline = proact::time::Time::from_nanoseconds(at << bits);
                time::sleep_until(deadline).await;
                let late = time::now() - deadline;
                assert!(late < Duration::from_micros(10), "{late:?} at {at} << {bits}");
            }
        });
    }
}

/// Its place in the wheel keeps it until the runtime is about to sleep.
#[test]
fn the_waker_that_a_dropped_sleep_leaves_may_wake_a_task_by_its_own_drop() {
    struct Last(Waker);
    impl Wake for Last {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.wake_by_ref();
        }
    }
    let mut polls = 0;
    simulated(9).block_on(poll_fn(|cx| {
        polls += 1;
        if polls == 2 {
            return Poll::Ready(());
        }
        let last = Waker::from(Arc::new(Last(cx.waker().clone())));
        let mut sleep = Box::pin(time::sleep(Duration::from_secs(1)));
        assert!(sleep.as_mut().poll(&mut Context::from_waker(&last)).is_pending());
        Poll::Pending
    }));
}
