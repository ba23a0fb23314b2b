//! Timers, on real clocks and in virtual time.

mod support;

use std::time::Duration;

use proact::simulated::World;
use proact_async::{Runtime, spawn, time};
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
