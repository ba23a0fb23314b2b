//! Draining.

use std::time::Duration;

use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::event_loop::Commands;
use proact_vm::wait::WaitSource;

use super::stage::{Log, Stage};

on_every_loop! {
    a_drain_of_nothing_returns
    a_drain_waits_for_what_callbacks_add
    a_drain_within_a_callback_is_refused
    a_drain_is_late_while_something_waits
}

fn a_drain_of_nothing_returns(stage: &Stage) {
    stage.event_loop().drain(Timeout::Immediate).unwrap();
}

fn a_drain_waits_for_what_callbacks_add(stage: &Stage) {
    let log = Log::default();
    let own = log.clone();
    stage
        .event_loop()
        .wait_until(Duration::from_millis(5), move |waited| {
            waited?.event_loop.wait_until(Duration::from_millis(5), own.wait("last"))?;
            Ok(())
        })
        .unwrap();
    stage.drain();
    assert_eq!(log.take(), ["last 0"]);
}

fn a_drain_within_a_callback_is_refused(stage: &Stage) {
    let log = Log::default();
    let own = log.clone();
    stage.run(move |event_loop| {
        event_loop.call(own.call("other"))?;
        let refused = event_loop.drain(Timeout::Infinite).unwrap_err();
        own.add(refused.code().to_string());
        Ok(())
    });
    assert_eq!(log.take(), ["FAILED_PRECONDITION", "other OK"]);
}

fn a_drain_is_late_while_something_waits(stage: &Stage) {
    if let Stage::Inline(_) = stage {
        return; // its commands do not return while something waits
    }
    let (log, semaphore) = (Log::default(), Semaphore::new(0));
    let source = WaitSource::semaphore(&semaphore, 1);
    stage.event_loop().wait_one(source, Timeout::Infinite, log.wait("one")).unwrap();
    let refused = stage.event_loop().drain(Timeout::After(Duration::from_millis(10))).unwrap_err();
    match stage {
        // Nothing in the world would bring it: no time has to pass to know.
        Stage::Deterministic(..) => assert_eq!(refused.code(), Code::FailedPrecondition),
        _ => assert_eq!(refused.code(), Code::DeadlineExceeded),
    }
    assert!(log.take().is_empty());
    semaphore.signal(1, None).unwrap();
    stage.drain();
    assert_eq!(log.take(), ["one 0"]);
}
