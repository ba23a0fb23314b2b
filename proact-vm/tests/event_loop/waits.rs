//! Waits.

use std::time::Duration;

use proact::status::{Code, Operation, Status};
use proact::sync::Semaphore;
use proact::time::{Time, Timeout};
use proact_vm::event_loop::Commands;
use proact_vm::wait::{WaitKind, WaitSource};

use super::stage::{Log, Stage};

on_every_loop! {
    a_time_that_has_come_is_told_at_once
    a_time_is_never_told_early
    two_times_are_told_in_their_order
    a_timeout_is_a_time_from_the_command_on
    one_that_is_there_is_told_at_once
    one_that_does_not_come_is_late
    a_late_wait_is_no_failure_of_the_loop
    one_that_was_signalled_is_told
    one_that_is_signalled_meanwhile_is_told
    one_that_fails_is_told_with_its_words
    any_with_one_there_is_told_at_once
    any_of_which_none_comes_is_late
    any_is_told_which
    any_is_told_of_each_source_that_comes_meanwhile
    any_of_none_is_a_call
    any_of_one_is_a_wait_for_it
    all_that_are_there_are_told_at_once
    all_of_which_one_does_not_come_are_late
    all_that_were_signalled_are_told
    all_are_told_when_the_last_comes_meanwhile
    all_of_none_is_a_call
    what_was_lent_comes_back
    a_future_is_waited_for
    many_wait_at_once
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn source(semaphore: &Semaphore) -> WaitSource {
    WaitSource::semaphore(semaphore, 1)
}

fn a_time_that_has_come_is_told_at_once(stage: &Stage) {
    let log = Log::default();
    stage.event_loop().wait_until(Timeout::Immediate, log.wait("now")).unwrap();
    stage.event_loop().wait_until(Time::ORIGIN, log.wait("long ago")).unwrap();
    stage.drain();
    assert_eq!(log.take_sorted(), ["long ago 0", "now 0"]);
}

fn a_time_is_never_told_early(stage: &Stage) {
    let began = stage.event_loop().clock().now();
    let log = Log::default();
    stage.event_loop().wait_until(ms(50), log.wait("then")).unwrap();
    stage.drain();
    assert_eq!(log.take(), ["then 0"]);
    let took = stage.event_loop().clock().now() - began;
    assert!(took >= ms(50), "{took:?}");
    if let Stage::Deterministic(..) = stage {
        assert_eq!(took, ms(50), "and not late in a world");
    }
}

fn two_times_are_told_in_their_order(stage: &Stage) {
    let log = Log::default();
    let own = log.clone();
    stage.run(move |event_loop| {
        event_loop.wait_until(ms(50), own.wait("second"))?;
        event_loop.wait_until(ms(25), own.wait("first"))?;
        Ok(())
    });
    let told = log.take();
    match stage {
        Stage::Deterministic(..) => assert_eq!(told, ["first 0", "second 0"]),
        // A thread that was held up may find both due, and tells them in the order in which it finds them.
        _ => assert_eq!(told.len(), 2),
    }
}

fn a_timeout_is_a_time_from_the_command_on(stage: &Stage) {
    let log = Log::default();
    let own = log.clone();
    stage.run(move |event_loop| {
        let before = event_loop.clock().now();
        let (again, never) = (own.clone(), Semaphore::new(0));
        let checked = std::sync::Arc::new(std::sync::Mutex::new(before));
        let after = checked.clone();
        event_loop.wait_one(source(&never), ms(20), move |waited| {
            let deadline = waited?.frame.fails_at().unwrap();
            let after = *after.lock().unwrap();
            assert!(before + ms(20) <= deadline && deadline <= after + ms(20));
            again.add("late");
            Ok(())
        })?;
        *checked.lock().unwrap() = event_loop.clock().now();
        // What runs first takes its time: the wait's is not longer for it.
        event_loop.wait_until(ms(10), own.wait("first"))?;
        Ok(())
    });
    assert_eq!(log.take_sorted(), ["first 0", "late"]);
}

fn one_that_is_there_is_told_at_once(stage: &Stage) {
    let log = Log::default();
    stage.event_loop().wait_one(WaitSource::immediate(), Timeout::Immediate, log.wait("one")).unwrap();
    stage.drain();
    assert_eq!(log.take(), ["one 0"]);
}

fn one_that_does_not_come_is_late(stage: &Stage) {
    let (log, never) = (Log::default(), Semaphore::new(0));
    let began = stage.event_loop().clock().now();
    stage.event_loop().wait_one(source(&never), ms(10), log.wait("one")).unwrap();
    stage.drain();
    assert_eq!(log.take(), ["one DEADLINE_EXCEEDED"]);
    assert!(stage.event_loop().clock().now() - began >= ms(10));
}

fn a_late_wait_is_no_failure_of_the_loop(stage: &Stage) {
    let (log, never) = (Log::default(), Semaphore::new(0));
    let own = log.clone();
    stage.run(move |event_loop| {
        event_loop.wait_one(source(&never), ms(10), own.wait("one"))?;
        event_loop.wait_until(ms(20), own.wait("other"))?;
        Ok(())
    });
    assert_eq!(log.take_sorted(), ["one DEADLINE_EXCEEDED", "other 0"]);
    assert!(stage.failure().is_none());
}

fn one_that_was_signalled_is_told(stage: &Stage) {
    let (log, semaphore) = (Log::default(), Semaphore::new(0));
    let own = log.clone();
    stage.run(move |event_loop| {
        event_loop.wait_one(source(&semaphore), Timeout::Infinite, own.wait("one"))?;
        event_loop.call(move |_| Ok(semaphore.signal(1, None)?))?;
        Ok(())
    });
    assert_eq!(log.take(), ["one 0"]);
}

fn one_that_is_signalled_meanwhile_is_told(stage: &Stage) {
    let (log, semaphore) = (Log::default(), Semaphore::new(0));
    let signals = semaphore.clone();
    stage.meanwhile(move || signals.signal(1, None).unwrap());
    stage.event_loop().wait_one(source(&semaphore), Duration::from_secs(60), log.wait("one")).unwrap();
    stage.drain();
    assert_eq!(log.take(), ["one 0"]);
}

fn one_that_fails_is_told_with_its_words(stage: &Stage) {
    let (log, semaphore) = (Log::default(), Semaphore::new(0));
    let (own, fails) = (log.clone(), semaphore.clone());
    stage.run(move |event_loop| {
        event_loop.wait_one(source(&semaphore), Timeout::Infinite, move |waited| {
            own.add(waited?.outcome.unwrap_err().to_string());
            Ok(())
        })?;
        fails.fail(Status::new(Code::DataLoss, Operation::SemaphoreSignal).with_message("the disk is gone"));
        Ok(())
    });
    let told = log.take();
    assert!(told[0].contains("the disk is gone") && told[0].contains("DATA_LOSS"), "{told:?}");
    assert!(stage.failure().is_none());
}

fn any_with_one_there_is_told_at_once(stage: &Stage) {
    let (log, never) = (Log::default(), Semaphore::new(0));
    let sources = [source(&never), WaitSource::immediate()];
    stage.event_loop().wait_any(sources, Timeout::Immediate, log.wait("any")).unwrap();
    stage.drain();
    assert_eq!(log.take(), ["any 1"]);
}

fn any_of_which_none_comes_is_late(stage: &Stage) {
    let (log, left, right) = (Log::default(), Semaphore::new(0), Semaphore::new(0));
    stage.event_loop().wait_any([source(&left), source(&right)], ms(10), log.wait("any")).unwrap();
    stage.drain();
    assert_eq!(log.take(), ["any DEADLINE_EXCEEDED"]);
}

fn any_is_told_which(stage: &Stage) {
    for which in 0..3 {
        let log = Log::default();
        let semaphores = [(); 3].map(|()| Semaphore::new(0));
        let own = log.clone();
        stage.run(move |event_loop| {
            event_loop.wait_any(semaphores.iter().map(source), Timeout::Infinite, own.wait("any"))?;
            let semaphore = semaphores[which].clone();
            event_loop.call(move |_| Ok(semaphore.signal(1, None)?))?;
            Ok(())
        });
        assert_eq!(log.take(), [format!("any {which}")]);
    }
}

/// The reference waits for the first source alone, once none was there.
fn any_is_told_of_each_source_that_comes_meanwhile(stage: &Stage) {
    for which in 0..3 {
        let log = Log::default();
        let semaphores = [(); 3].map(|()| Semaphore::new(0));
        let semaphore = semaphores[which].clone();
        stage.meanwhile(move || semaphore.signal(1, None).unwrap());
        let sources = semaphores.iter().map(source);
        stage.event_loop().wait_any(sources, Duration::from_secs(60), log.wait("any")).unwrap();
        stage.drain();
        assert_eq!(log.take(), [format!("any {which}")]);
    }
}

fn any_of_none_is_a_call(stage: &Stage) {
    let log = Log::default();
    stage.event_loop().wait_any([], Timeout::Infinite, log.wait("any")).unwrap();
    stage.drain();
    assert_eq!(log.take(), ["any 0"]);
}

fn any_of_one_is_a_wait_for_it(stage: &Stage) {
    let (log, semaphore) = (Log::default(), Semaphore::new(0));
    let own = log.clone();
    stage.run(move |event_loop| {
        event_loop.wait_any([source(&semaphore)], Timeout::Infinite, own.wait("any"))?;
        event_loop.wait_all([source(&semaphore)], Timeout::Infinite, own.wait("all"))?;
        event_loop.call(move |_| Ok(semaphore.signal(1, None)?))?;
        Ok(())
    });
    assert_eq!(log.take_sorted(), ["all 0", "any 0"]);
}

fn all_that_are_there_are_told_at_once(stage: &Stage) {
    let log = Log::default();
    let sources = [WaitSource::immediate(), source(&Semaphore::new(1))];
    stage.event_loop().wait_all(sources, Timeout::Immediate, log.wait("all")).unwrap();
    stage.drain();
    assert_eq!(log.take(), ["all 0"]);
}

fn all_of_which_one_does_not_come_are_late(stage: &Stage) {
    let (log, never) = (Log::default(), Semaphore::new(0));
    stage.event_loop().wait_all([WaitSource::immediate(), source(&never)], ms(10), log.wait("all")).unwrap();
    stage.drain();
    assert_eq!(log.take(), ["all DEADLINE_EXCEEDED"]);
}

fn all_that_were_signalled_are_told(stage: &Stage) {
    let (log, left, right) = (Log::default(), Semaphore::new(0), Semaphore::new(0));
    let own = log.clone();
    stage.run(move |event_loop| {
        event_loop.wait_all([source(&left), source(&right)], Timeout::Infinite, own.wait("all"))?;
        let before = own.clone();
        event_loop.call(move |event_loop| {
            left.signal(1, None)?;
            event_loop?.call(move |_| {
                before.add("before");
                Ok(right.signal(1, None)?)
            })?;
            Ok(())
        })?;
        Ok(())
    });
    assert_eq!(log.take(), ["before", "all 0"]);
}

fn all_are_told_when_the_last_comes_meanwhile(stage: &Stage) {
    for last in 0..2 {
        let log = Log::default();
        let semaphores = [Semaphore::new(0), Semaphore::new(0)];
        semaphores[1 - last].signal(1, None).unwrap();
        let semaphore = semaphores[last].clone();
        stage.meanwhile(move || semaphore.signal(1, None).unwrap());
        let sources = semaphores.iter().map(source);
        stage.event_loop().wait_all(sources, Duration::from_secs(60), log.wait("all")).unwrap();
        stage.drain();
        assert_eq!(log.take(), ["all 0"]);
    }
}

fn all_of_none_is_a_call(stage: &Stage) {
    let log = Log::default();
    stage.event_loop().wait_all([], Timeout::Infinite, log.wait("all")).unwrap();
    stage.drain();
    assert_eq!(log.take(), ["all 0"]);
}

fn what_was_lent_comes_back(stage: &Stage) {
    let (log, never) = (Log::default(), Semaphore::new(0));
    let own = log.clone();
    stage.run(move |event_loop| {
        let sources = [WaitSource::immediate(), source(&never)];
        event_loop.wait_any(sources, Timeout::Infinite, move |waited| {
            let frame = waited?.frame;
            assert_eq!(frame.kind(), WaitKind::Any);
            assert_eq!(frame.sources().count(), 2);
            own.add(format!("{:?}", frame.sources().next().unwrap()));
            Ok(())
        })?;
        Ok(())
    });
    assert_eq!(log.take(), ["over"]);
}

fn a_future_is_waited_for(stage: &Stage) {
    let (log, semaphore) = (Log::default(), Semaphore::new(0));
    let own = log.clone();
    stage.run(move |event_loop| {
        let future = semaphore.future(3);
        let source = WaitSource::future(async move { future.await.map(drop) });
        event_loop.wait_one(source, Timeout::Infinite, own.wait("future"))?;
        event_loop.call(move |_| Ok(semaphore.signal(5, None)?))?;
        Ok(())
    });
    assert_eq!(log.take(), ["future 0"]);
}

fn many_wait_at_once(stage: &Stage) {
    let (log, semaphore) = (Log::default(), Semaphore::new(0));
    let own = log.clone();
    stage.run(move |event_loop| {
        for value in 1..=60 {
            let own = own.clone();
            let source = WaitSource::semaphore(&semaphore, value);
            event_loop.wait_one(source, Timeout::Infinite, move |waited| {
                own.add(format!("{value:02} {}", waited?.outcome?));
                Ok(())
            })?;
        }
        event_loop.call(move |event_loop| {
            semaphore.signal(30, None)?;
            event_loop?.call(move |_| Ok(semaphore.signal(60, None)?))?;
            Ok(())
        })?;
        Ok(())
    });
    let told = log.take_sorted();
    assert_eq!(told.len(), 60);
    assert_eq!((told[0].as_str(), told[59].as_str()), ("01 0", "60 0"));
}
