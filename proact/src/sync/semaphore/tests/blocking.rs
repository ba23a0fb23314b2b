//! Threads that wait by themselves.

use std::time::Duration;

use super::*;
use crate::sync::WaitFlags;
#[cfg(target_os = "linux")]
use crate::sync::without_calls::comes_through;
use crate::time::{Clock, Timeout};

const FLAGS: [WaitFlags; 3] = [WaitFlags::empty(), WaitFlags::YIELD, WaitFlags::ACTIVE];

fn several(count: usize) -> Vec<(Semaphore, u64)> {
    (0..count).map(|_| (Semaphore::new(0), 1)).collect()
}

fn moment() -> Timeout {
    Timeout::After(Duration::from_millis(1))
}

#[test]
fn nothing_to_wait_for_ends_at_once_and_any_of_nothing_is_refused() {
    for flags in FLAGS {
        Semaphore::wait_all(&[], Timeout::Immediate, flags).unwrap();
        let refused = Semaphore::wait_any(&[], Timeout::Infinite, flags).unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
}

#[test]
fn what_was_reached_is_not_waited_for() {
    for (flags, timeout) in FLAGS.into_iter().zip([Timeout::Immediate, Timeout::Infinite, moment()]) {
        for value in [0, 4, 5] {
            Semaphore::new(5).wait(value, timeout, flags).unwrap();
        }
        let four: Vec<_> = (1..=4).map(|value| (Semaphore::new(value), value)).collect();
        Semaphore::wait_all(&four, timeout, flags).unwrap();
        let any = several(3);
        any[1].0.signal(7, None).unwrap();
        assert_eq!(Semaphore::wait_any(&any, timeout, flags).unwrap(), 1);
        any[0].0.signal(1, None).unwrap();
        assert_eq!(Semaphore::wait_any(&any, timeout, flags).unwrap(), 0, "the first of those reached");
    }
}

#[test]
fn a_wait_that_comes_to_nothing_says_what_it_waited_for() {
    let clock = Clock::monotonic();
    let named = SemaphoreOptions::new().name("frames").initial(2).build();
    for flags in FLAGS {
        for timeout in [
            Timeout::Immediate,
            moment(),
            Timeout::At(clock.now()),
            Timeout::At(clock.now() + Duration::from_millis(1)),
        ] {
            let start = clock.now();
            let status = named.wait(3, timeout, flags).unwrap_err();
            assert_eq!(status.code(), Code::DeadlineExceeded);
            assert_eq!(
                status.to_string(),
                "semaphore wait \"frames\": value 3 was not reached in time, the present value is 2 (DEADLINE_EXCEEDED)"
            );
            assert!(status.location().file().ends_with("blocking.rs"));
            if timeout == moment() {
                assert!(clock.now().since(start) >= Duration::from_millis(1), "no earlier than asked for");
            }
            let status = Semaphore::wait_all(&several(3), timeout, flags).unwrap_err();
            assert!(status.to_string().contains("nor were 2 others"), "{status}");
            assert_eq!(Semaphore::wait_any(&several(3), timeout, flags).unwrap_err().code(), Code::DeadlineExceeded);
        }
    }
    assert!(named.inner.lock().waiters.is_empty());
}

#[test]
fn flags_that_are_not_known_are_refused_whatever_else() {
    let refused = Semaphore::new(1).wait(1, Timeout::Infinite, WaitFlags::from_bits_retain(8)).unwrap_err();
    assert_eq!((refused.code(), refused.operation()), (Code::InvalidArgument, Operation::SemaphoreWait));
}

/// More than 8, and more than a byte counts (W-42a).
#[test]
fn a_wait_for_all_ends_with_the_last_however_many() {
    for count in [1, 3, 4, 8, 9, 16, 255, 256, 300, 1000] {
        for flags in FLAGS {
            let semaphores = several(count);
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| Semaphore::wait_all(&semaphores, Timeout::Infinite, flags));
                for (semaphore, value) in semaphores.iter().rev() {
                    assert!(!waiter.is_finished(), "one of {count} is left");
                    semaphore.signal(*value, None).unwrap();
                }
                waiter.join().unwrap().unwrap();
            });
            assert!(semaphores.iter().all(|(semaphore, _)| semaphore.inner.lock().waiters.is_empty()));
        }
    }
}

#[test]
fn a_wait_for_any_tells_which_however_many() {
    for (count, which) in [(1, 0), (3, 0), (3, 1), (9, 8), (300, 299), (1000, 256)] {
        for flags in FLAGS {
            let semaphores = several(count);
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| Semaphore::wait_any(&semaphores, Timeout::Infinite, flags));
                semaphores[which].0.signal(1, None).unwrap();
                assert_eq!(waiter.join().unwrap().unwrap(), which);
            });
            assert!(semaphores.iter().all(|(semaphore, _)| semaphore.inner.lock().waiters.is_empty()));
        }
    }
}

#[test]
fn one_semaphore_may_be_waited_for_twice() {
    let semaphore = Semaphore::new(0);
    let twice = [(semaphore.clone(), 2), (semaphore.clone(), 4), (semaphore.clone(), 0)];
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| Semaphore::wait_all(&twice, Timeout::Infinite, WaitFlags::empty()));
        semaphore.signal(2, None).unwrap();
        semaphore.signal(4, None).unwrap();
        waiter.join().unwrap().unwrap();
    });
}

#[test]
fn a_failure_ends_a_wait_with_its_text() {
    for flags in FLAGS {
        let semaphores = several(20);
        std::thread::scope(|scope| {
            let all = scope.spawn(|| Semaphore::wait_all(&semaphores, Timeout::Infinite, flags).unwrap_err());
            let any = scope.spawn(|| Semaphore::wait_any(&semaphores, Timeout::Infinite, flags).unwrap_err());
            semaphores[13].0.fail(broken());
            for status in [all.join().unwrap(), any.join().unwrap()] {
                assert_eq!((status.code(), status.message()), (Code::DataLoss, Some("broken")));
            }
        });
        // And one that has failed already, at once.
        let status = Semaphore::wait_all(&semaphores, Timeout::Infinite, flags).unwrap_err();
        assert_eq!(status.message(), Some("broken"));
        let status = Semaphore::wait_all(&semaphores, Timeout::Immediate, flags).unwrap_err();
        assert_eq!(status.message(), Some("broken"), "the failure before the deadline");
    }
}

/// W-11: whoever is reached counts, also when another has failed, in whatever order they stand.
#[test]
fn a_wait_for_any_succeeds_if_one_is_reached_though_another_failed() {
    for flags in FLAGS {
        let semaphores = several(3);
        semaphores[0].0.fail(broken());
        semaphores[2].0.signal(1, None).unwrap();
        assert_eq!(Semaphore::wait_any(&semaphores, Timeout::Infinite, flags).unwrap(), 2);
        // One that failed past its value was reached, too.
        let past = [(Semaphore::new(0), 1), (Semaphore::new(1), 1)];
        past[1].0.fail(broken());
        assert_eq!(Semaphore::wait_any(&past, Timeout::Infinite, flags).unwrap(), 1);
        past[0].0.signal(1, None).unwrap();
        Semaphore::wait_all(&past, Timeout::Infinite, flags).unwrap();
    }
}

#[test]
fn waits_race_with_signals_and_failures_and_all_end() {
    for round in 0..300_usize {
        let semaphores = several(10);
        let flags = FLAGS[round % 3];
        std::thread::scope(|scope| {
            let all = scope.spawn(|| Semaphore::wait_all(&semaphores, Timeout::Infinite, flags));
            let any = scope.spawn(|| Semaphore::wait_any(&semaphores, Timeout::Infinite, flags));
            scope.spawn(|| semaphores.iter().for_each(|(semaphore, _)| _ = semaphore.signal(1, None)));
            if round % 2 == 0 {
                scope.spawn(|| semaphores[round % 10].0.fail(broken()));
            }
            if let Err(status) = all.join().unwrap() {
                assert!(round % 2 == 0 && status.code() == Code::DataLoss);
            }
            match any.join().unwrap() {
                Ok(index) => assert!(semaphores[index].0.value() >= 1),
                Err(status) => assert!(round % 2 == 0 && status.code() == Code::DataLoss),
            }
        });
    }
}

/// Semaphores that are at their value when one of the rest is told: the count must come out whatever comes first.
#[test]
fn values_that_are_reached_while_the_lines_are_joined_are_counted_once() {
    for _ in 0..500 {
        let semaphores = several(6);
        semaphores[2].0.signal(1, None).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for index in [5, 0, 3, 1, 4] {
                    semaphores[index].0.signal(1, None).unwrap();
                }
            });
            Semaphore::wait_all(&semaphores, Duration::from_secs(60), WaitFlags::empty()).unwrap();
        });
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_active_wait_makes_no_system_call() {
    let semaphores = several(3);
    let theirs = semaphores.clone();
    let signaller = std::thread::spawn(move || {
        for (semaphore, _) in &theirs {
            std::thread::sleep(Duration::from_millis(2));
            semaphore.signal(1, None).unwrap();
        }
    });
    let active = WaitFlags::ACTIVE | WaitFlags::YIELD;
    let through = comes_through(move || Semaphore::wait_all(&semaphores, Timeout::Infinite, active).unwrap());
    signaller.join().unwrap();
    assert_ne!(through, Some(false));
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_satisfies_nobody_makes_no_system_call() {
    use crate::causal::{Axis, Entry, Frontier};

    let causes = |epoch| {
        Frontier::from_entries(&[1, 2, 3, 4].map(|queue| Entry::new(Axis::queue(1, 1, 0, queue), epoch))).unwrap()
    };
    let semaphore = SemaphoreOptions::new().history(8).build();
    let frontiers: Vec<_> = (1..=100).map(causes).collect();
    // Who waits for more than comes is no reason to call.
    let _later = semaphore.future(1000);
    let ours = semaphore.clone();
    let through = comes_through(move || {
        for (number, causes) in (1..).zip(&frontiers) {
            ours.signal(2 * number, None).unwrap();
            ours.signal(2 * number + 1, Some(causes)).unwrap();
        }
    });
    if let Some(through) = through {
        assert!(through);
        assert_eq!(semaphore.value(), 201);
    }
}
