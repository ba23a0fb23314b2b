//! Loops that end with something pending.

use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::Error;
use proact_vm::event_loop::Commands;
use proact_vm::wait::WaitSource;

use super::stage::{Log, Stage};

on_every_loop! {
    a_failure_aborts_every_kind_of_command
    an_abort_within_a_callback_lets_it_end
    an_abort_aborts_what_waits
    the_first_failure_stays
    what_is_aborted_lets_go_of_what_it_waited_for
}

fn a_failure_aborts_every_kind_of_command(stage: &Stage) {
    let (log, never) = (Log::default(), Semaphore::new(0));
    let own = log.clone();
    stage.run(move |event_loop| {
        let source = || WaitSource::semaphore(&never, 1);
        event_loop.call(own.call("call"))?;
        event_loop.wait_until(Timeout::Infinite, own.wait("until"))?;
        event_loop.wait_one(source(), Timeout::Infinite, own.wait("one"))?;
        event_loop.wait_any([source(), source()], Timeout::Infinite, own.wait("any"))?;
        event_loop.wait_all([source(), source()], Timeout::Infinite, own.wait("all"))?;
        Err(Error::new(Code::DataLoss, "torn"))
    });
    let aborted =
        ["all aborted ABORTED", "any aborted ABORTED", "call ABORTED", "one aborted ABORTED", "until aborted ABORTED"];
    assert_eq!(log.take_sorted(), aborted);
}

fn an_abort_within_a_callback_lets_it_end(stage: &Stage) {
    let log = Log::default();
    let own = log.clone();
    stage.run(move |event_loop| {
        event_loop.call(own.call("pending"))?;
        event_loop.abort(Error::new(Code::Unavailable, "enough"));
        own.add("still here");
        let refused = event_loop.call(own.call("refused")).unwrap_err();
        assert_eq!(refused.error.code(), Code::Aborted);
        Ok(())
    });
    assert_eq!(log.take(), ["still here", "pending ABORTED"]);
    assert_eq!(stage.failure(), Some(Code::Unavailable));
}

fn an_abort_aborts_what_waits(stage: &Stage) {
    if let Stage::Inline(_) = stage {
        return; // its commands do not return while something waits
    }
    let (log, never) = (Log::default(), Semaphore::new(0));
    let source = WaitSource::semaphore(&never, 1);
    stage.event_loop().wait_one(source, Timeout::Infinite, log.wait("one")).unwrap();
    stage.event_loop().abort(Error::new(Code::Cancelled, "enough"));
    stage.drain();
    assert_eq!(log.take(), ["one aborted ABORTED"]);
    stage.event_loop().abort(Error::new(Code::Internal, "another"));
    assert_eq!(stage.failure(), Some(Code::Cancelled));
}

fn the_first_failure_stays(stage: &Stage) {
    stage.run(|event_loop| {
        event_loop.abort(Error::new(Code::Unavailable, "the first"));
        event_loop.abort(Error::new(Code::Internal, "the second"));
        Err(Error::new(Code::DataLoss, "the third"))
    });
    assert_eq!(stage.failure(), Some(Code::Unavailable));
}

fn what_is_aborted_lets_go_of_what_it_waited_for(stage: &Stage) {
    let held = std::sync::Arc::new(());
    let own = held.clone();
    stage.run(move |event_loop| {
        let future = async move {
            std::future::pending::<()>().await;
            drop(own);
            Ok::<_, Error>(())
        };
        event_loop.wait_one(WaitSource::future(future), Timeout::Infinite, |aborted| {
            assert_eq!(aborted.unwrap_err().code(), Code::Aborted);
            Ok(())
        })?;
        Err(Error::new(Code::DataLoss, "torn"))
    });
    assert_eq!(std::sync::Arc::strong_count(&held), 1);
}
