//! Calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proact::status::Code;
use proact_vm::event_loop::{Command, Commands, Loop, Task};
use proact_vm::{Error, Result};

use super::stage::{Log, Stage};

on_every_loop! {
    a_call_is_called_back
    a_call_gives_others
    a_call_goes_on_2048_times_in_one_box
    a_failure_is_the_loops
    a_failure_aborts_what_is_pending
    a_failure_within_a_call_of_a_call_aborts_the_others
    commands_within_a_callback_do_not_run_there
    a_panic_leaves_the_others
}

fn a_call_is_called_back(stage: &Stage) {
    let log = Log::default();
    stage.event_loop().call(log.call("a")).unwrap();
    stage.drain();
    assert_eq!(log.take(), ["a OK"]);
    assert!(stage.failure().is_none());
}

fn a_call_gives_others(stage: &Stage) {
    let log = Log::default();
    let own = log.clone();
    stage.run(move |event_loop| {
        own.add("first");
        event_loop.call(own.call("left"))?;
        event_loop.call(own.call("right"))?;
        Ok(())
    });
    let told = log.take();
    assert_eq!(told[0], "first");
    assert_eq!(told.len(), 3);
    assert!(told.contains(&"left OK".into()) && told.contains(&"right OK".into()));
}

struct Rounds {
    left: usize,
    run: Arc<AtomicUsize>,
    address: Option<usize>,
}

impl Task for Rounds {
    fn run(mut self: Box<Self>, event_loop: &dyn Loop) -> Result {
        let address = std::ptr::from_ref(&*self).addr();
        assert_eq!(*self.address.get_or_insert(address), address, "the same storage comes back");
        self.run.fetch_add(1, Ordering::SeqCst);
        self.left -= 1;
        match self.left {
            0 => Ok(()),
            _ => Ok(event_loop.submit(Command::Call, self)?),
        }
    }

    fn abort(self: Box<Self>, error: Error) {
        panic!("{error}");
    }
}

fn a_call_goes_on_2048_times_in_one_box(stage: &Stage) {
    let run = Arc::new(AtomicUsize::new(0));
    let rounds = Rounds { left: 2048, run: run.clone(), address: None };
    stage.event_loop().submit(Command::Call, Box::new(rounds)).unwrap();
    stage.drain();
    assert_eq!(run.load(Ordering::SeqCst), 2048);
}

fn a_failure_is_the_loops(stage: &Stage) {
    stage.run(|_| Err(Error::new(Code::DataLoss, "torn")));
    let error = stage.event_loop().error().unwrap();
    assert_eq!((error.code(), error.message()), (Code::DataLoss, "torn"));
}

fn a_failure_aborts_what_is_pending(stage: &Stage) {
    let log = Log::default();
    let own = log.clone();
    stage.run(move |event_loop| {
        event_loop.call(own.call("pending"))?;
        Err(Error::new(Code::DataLoss, "torn"))
    });
    assert_eq!(log.take(), ["pending ABORTED"]);
    assert_eq!(stage.failure(), Some(Code::DataLoss));
    // Nothing is taken any more, and what was refused is not told.
    let refused = stage.event_loop().call(log.call("late")).unwrap_err();
    assert_eq!(refused.error.code(), Code::Aborted);
    assert!(refused.error.message().contains("torn"), "{}", refused.error);
    assert!(log.take().is_empty());
    refused.task.abort(refused.error);
    assert_eq!(log.take(), ["late ABORTED"], "the callback is in what came back");
}

fn a_failure_within_a_call_of_a_call_aborts_the_others(stage: &Stage) {
    let log = Log::default();
    let own = log.clone();
    stage.run(move |event_loop| {
        event_loop.call(move |event_loop| {
            let event_loop = event_loop?;
            event_loop.call(own.call("a"))?;
            event_loop.call(own.call("b"))?;
            let again = own.clone();
            event_loop.call(move |aborted| {
                // No loop to go on with, and what this answers is not the loop's failure.
                again.add(format!("c {}", aborted.err().unwrap().code()));
                Err(Error::new(Code::Internal, "the second failure"))
            })?;
            Err(Error::new(Code::DataLoss, "the first failure"))
        })?;
        Ok(())
    });
    assert_eq!(log.take_sorted(), ["a ABORTED", "b ABORTED", "c ABORTED"]);
    assert_eq!(stage.event_loop().error().unwrap().message(), "the first failure");
}

fn commands_within_a_callback_do_not_run_there(stage: &Stage) {
    let log = Log::default();
    let own = log.clone();
    stage.run(move |event_loop| {
        event_loop.call(own.call("later"))?;
        event_loop.wait_any([], std::time::Duration::ZERO, own.wait("later too"))?;
        own.add("still here");
        Ok(())
    });
    assert_eq!(log.take()[0], "still here");
}

fn a_panic_leaves_the_others(stage: &Stage) {
    if let Stage::Proactor(..) = stage {
        return; // the panic ends the thread: see `of_a_proactor`
    }
    let log = Log::default();
    let own = log.clone();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        stage.run(move |event_loop| {
            event_loop.call(own.call("other"))?;
            panic!("on purpose")
        });
    }));
    assert!(caught.is_err());
    assert!(log.take().is_empty());
    stage.drain();
    assert_eq!(log.take(), ["other OK"]);
}
