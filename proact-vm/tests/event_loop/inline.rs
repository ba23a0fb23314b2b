//! What only the inline loop has.

use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::Error;
use proact_vm::event_loop::{Commands, InlineLoop, Loop};
use proact_vm::wait::WaitSource;

use super::stage::Log;

#[test]
fn a_command_returns_when_all_is_done() {
    let (log, event_loop) = (Log::default(), InlineLoop::new());
    let own = log.clone();
    event_loop.call(move |event_loop| Ok(event_loop?.call(own.call("inner"))?)).unwrap();
    assert_eq!(log.take(), ["inner OK"]);
}

#[test]
fn more_than_it_has_room_for_is_refused_and_comes_back() {
    let (log, event_loop) = (Log::default(), InlineLoop::new());
    let own = log.clone();
    event_loop
        .call(move |event_loop| {
            let event_loop = event_loop?;
            for _ in 0..InlineLoop::TASKS_DEFAULT {
                event_loop.call(own.call("taken"))?;
            }
            let refused = event_loop.call(own.call("refused")).unwrap_err();
            assert_eq!(refused.error.code(), Code::ResourceExhausted);
            let source = WaitSource::immediate();
            let refused = event_loop.wait_one(source, Timeout::Infinite, own.wait("refused")).unwrap_err();
            assert_eq!(refused.error.code(), Code::ResourceExhausted);
            Ok(())
        })
        .unwrap();
    assert_eq!(log.take(), vec!["taken OK"; InlineLoop::TASKS_DEFAULT]);
    assert!(event_loop.error().is_none(), "a refusal is no failure of the loop");
}

#[test]
fn a_larger_bound_takes_128() {
    let (log, event_loop) = (Log::default(), InlineLoop::with_capacity(128));
    let (own, semaphore) = (log.clone(), Semaphore::new(0));
    event_loop
        .call(move |event_loop| {
            let event_loop = event_loop?;
            for _ in 0..127 {
                event_loop.wait_one(WaitSource::semaphore(&semaphore, 1), Timeout::Infinite, own.wait("one"))?;
            }
            event_loop.call(move |_| Ok(semaphore.signal(1, None)?))?;
            assert_eq!(event_loop.call(|_| Ok(())).unwrap_err().error.code(), Code::ResourceExhausted);
            Ok(())
        })
        .unwrap();
    assert_eq!(log.take(), vec!["one 0"; 127]);
}

#[test]
fn a_loop_without_its_failure_goes_on() {
    let (log, mut event_loop) = (Log::default(), InlineLoop::new());
    event_loop.call(|_| Err(Error::invalid("wrong"))).unwrap();
    assert_eq!(event_loop.call(log.call("refused")).unwrap_err().error.code(), Code::Aborted);
    assert_eq!(event_loop.take_error().unwrap().message(), "wrong");
    event_loop.call(log.call("taken")).unwrap();
    assert_eq!(log.take(), ["taken OK"]);
}

#[test]
fn what_a_panic_has_left_is_aborted_with_the_loop() {
    let (log, event_loop) = (Log::default(), InlineLoop::new());
    let own = log.clone();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        event_loop.call(move |event_loop| {
            event_loop?.call(own.call("left"))?;
            panic!("on purpose")
        })
    }));
    assert!(caught.is_err());
    drop(event_loop);
    assert_eq!(log.take(), ["left ABORTED"]);
}

#[test]
fn a_wait_whose_future_panics_is_aborted_and_the_others_stay() {
    let (log, event_loop) = (Log::default(), InlineLoop::new());
    let own = log.clone();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        event_loop.call(move |event_loop| {
            let event_loop = event_loop?;
            let future = async { if true { panic!("on purpose") } else { Ok::<_, Error>(()) } };
            event_loop.wait_one(WaitSource::future(future), Timeout::Infinite, own.wait("panics"))?;
            event_loop.wait_one(WaitSource::immediate(), Timeout::Infinite, own.wait("other"))?;
            Ok(())
        })
    }));
    assert!(caught.is_err());
    assert_eq!(log.take(), ["panics aborted INTERNAL"]);
    event_loop.drain(Timeout::Infinite).unwrap();
    assert_eq!(log.take(), ["other 0"]);
}
