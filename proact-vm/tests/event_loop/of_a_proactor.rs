//! What only loops of a proactor have.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proact::operation::{Nop, Op, Timer};
use proact::proactor::{Builder, Choice, Proactor, ProactorThread};
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Timeout;
use proact_vm::event_loop::{Commands, Loop, ProactorLoop};
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::WaitSource;
use proact_vm::{AsyncInvocation, Error, InvocationOptions};

use super::stage::Log;

fn proactors() -> impl Iterator<Item = Proactor> {
    Choice::ALL.into_iter().filter_map(|choice| match Builder::new().backend(choice).build() {
        Ok(proactor) => Some(proactor),
        Err(status) if choice == Choice::IoUring => {
            eprintln!("skipped: no io_uring here: {status}");
            None
        }
        Err(status) => panic!("{choice:?}: {status}"),
    })
}

#[test]
fn it_runs_on_the_thread_that_polls_and_a_drain_there_is_refused() {
    for mut proactor in proactors() {
        let event_loop = ProactorLoop::here(&proactor);
        let log = Log::default();
        let (own, here) = (log.clone(), std::thread::current().id());
        event_loop
            .call(move |_| {
                assert_eq!(std::thread::current().id(), here);
                own.add("told");
                Ok(())
            })
            .unwrap();
        assert_eq!(event_loop.drain(Timeout::Infinite).unwrap_err().code(), Code::FailedPrecondition);
        assert!(log.take().is_empty(), "a command runs nothing");
        event_loop.run(&mut proactor, Timeout::Infinite).unwrap();
        assert_eq!(log.take(), ["told"]);
        assert_eq!(proactor.pending(), 0, "at rest it has no operation in flight");
    }
}

#[test]
fn a_proactors_run_goes_on_until_its_loop_has_nothing_left() {
    for mut proactor in proactors() {
        let event_loop = ProactorLoop::new(proactor.handle());
        let log = Log::default();
        let own = log.clone();
        event_loop
            .wait_until(Duration::from_millis(2), move |waited| {
                waited?.event_loop.wait_until(Duration::from_millis(2), own.wait("last"))?;
                Ok(())
            })
            .unwrap();
        proactor.poll(Timeout::Immediate).unwrap(); // takes the command in, as one of any thread
        proactor.run().unwrap();
        assert_eq!(log.take(), ["last 0"]);
    }
}

#[test]
fn a_run_is_late_when_its_time_is_over_and_knows_its_proactor() {
    for mut proactor in proactors() {
        let event_loop = ProactorLoop::new(proactor.handle());
        let (log, semaphore) = (Log::default(), Semaphore::new(0));
        event_loop.wait_one(WaitSource::semaphore(&semaphore, 1), Timeout::Infinite, log.wait("one")).unwrap();
        let late = event_loop.run(&mut proactor, Duration::from_millis(2)).unwrap_err();
        assert_eq!(late.code(), Code::DeadlineExceeded);
        let mut other = Builder::new().build().unwrap();
        assert_eq!(event_loop.run(&mut other, Timeout::Immediate).unwrap_err().code(), Code::InvalidArgument);
        semaphore.signal(1, None).unwrap();
        event_loop.run(&mut proactor, Timeout::Infinite).unwrap();
        assert_eq!(log.take(), ["one 0"]);
    }
}

#[test]
fn a_shutdown_aborts_what_is_pending_once() {
    for mut proactor in proactors() {
        let event_loop = ProactorLoop::new(proactor.handle());
        let (log, never) = (Log::default(), Semaphore::new(0));
        let source = WaitSource::semaphore(&never, 1);
        event_loop.wait_one(source, Timeout::Infinite, log.wait("one")).unwrap();
        event_loop.wait_until(Duration::from_secs(3600), log.wait("until")).unwrap();
        proactor.poll(Timeout::Immediate).unwrap();
        event_loop.call(log.call("call")).unwrap();
        assert_eq!(proactor.shutdown(Duration::from_secs(5)), 0);
        // The call's turn had come before the loop was told that it cannot go on.
        assert_eq!(log.take_sorted(), ["call OK", "one aborted ABORTED", "until aborted ABORTED"]);
        assert_eq!(event_loop.pending(), 0);
        assert_eq!(event_loop.call(log.call("late")).unwrap_err().error.code(), Code::Aborted);
        assert!(log.take().is_empty());
    }
}

#[test]
fn after_a_shutdown_at_rest_commands_come_back() {
    for proactor in proactors() {
        let event_loop = ProactorLoop::new(proactor.handle());
        assert_eq!(proactor.shutdown(Duration::from_secs(5)), 0);
        let log = Log::default();
        let refused = event_loop.call(log.call("late")).unwrap_err();
        assert_eq!((refused.error.code(), event_loop.pending()), (Code::Aborted, 0));
        refused.task.abort(refused.error);
        assert_eq!(log.take(), ["late ABORTED"]);
    }
}

#[test]
fn many_threads_command_it_and_each_callback_is_called_once() {
    for choice in [Choice::Epoll, Choice::Auto] {
        let thread = ProactorThread::spawn(Builder::new().backend(choice)).unwrap();
        let event_loop = ProactorLoop::new(thread.handle());
        let (told, semaphore) = (Arc::new(AtomicUsize::new(0)), Semaphore::new(0));
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (event_loop, told, semaphore) = (event_loop.clone(), told.clone(), semaphore.clone());
                scope.spawn(move || {
                    for value in 1..=200 {
                        let own = told.clone();
                        let source = WaitSource::semaphore(&semaphore, value);
                        event_loop
                            .wait_one(source, Timeout::Infinite, move |waited| {
                                own.fetch_add(1, Ordering::SeqCst);
                                waited?.outcome.map(drop)
                            })
                            .unwrap();
                        if number == 0 {
                            semaphore.signal(value, None).unwrap();
                        }
                        let own = told.clone();
                        event_loop
                            .call(move |_| {
                                own.fetch_add(1, Ordering::SeqCst);
                                Ok(())
                            })
                            .unwrap();
                    }
                });
            }
        });
        event_loop.drain(Timeout::After(Duration::from_secs(60))).unwrap();
        assert_eq!(told.load(Ordering::SeqCst), 4 * 2 * 200);
        assert!(event_loop.error().is_none());
        thread.join().unwrap();
    }
}

#[test]
fn a_full_loop_gives_back_what_it_does_not_take() {
    let mut proactor = Builder::new().build().unwrap();
    let event_loop = ProactorLoop::with_capacity(proactor.handle(), 2);
    let log = Log::default();
    event_loop.call(log.call("a")).unwrap();
    event_loop.call(log.call("b")).unwrap();
    assert_eq!(event_loop.call(log.call("c")).unwrap_err().error.code(), Code::ResourceExhausted);
    event_loop.run(&mut proactor, Timeout::Infinite).unwrap();
    assert_eq!(log.take(), ["a OK", "b OK"]);
}

#[test]
fn a_flood_of_calls_lets_the_proactors_operations_have_their_turn() {
    let mut proactor = Builder::new().build().unwrap();
    let event_loop = ProactorLoop::here(&proactor);
    fn again(event_loop: &dyn Loop) -> proact_vm::Result {
        Ok(event_loop.call(|event_loop| again(event_loop?))?)
    }
    event_loop.call(|event_loop| again(event_loop?)).unwrap();
    let now = proactor.now();
    proactor.submit((Op::new(Timer::new(now), ()), Op::new(Nop, ()))).unwrap();
    let mut passes = 0;
    while proactor.pending() > 1 {
        proactor.poll(Timeout::Immediate).unwrap();
        passes += 1;
        assert!(passes < 100, "the timer never fires");
    }
    event_loop.abort(Error::new(Code::Cancelled, "enough"));
    event_loop.run(&mut proactor, Timeout::Infinite).unwrap();
}

#[test]
fn a_waits_timer_is_an_operation_of_the_proactor() {
    for mut proactor in proactors() {
        let event_loop = ProactorLoop::new(proactor.handle());
        let log = Log::default();
        let timer = proactor.handle().future(Timer::new(proactor.now() + Duration::from_millis(2)));
        let source = WaitSource::future(async move { timer.await.1.result });
        event_loop.wait_one(source, Timeout::Infinite, log.wait("timer")).unwrap();
        event_loop.run(&mut proactor, Timeout::Infinite).unwrap();
        assert_eq!(log.take(), ["timer 0"]);
    }
}

#[test]
fn a_panic_goes_on_from_poll_and_leaves_the_others() {
    for mut proactor in proactors() {
        let event_loop = ProactorLoop::here(&proactor);
        let log = Log::default();
        event_loop.call(|_| panic!("on purpose")).unwrap();
        event_loop.call(log.call("other")).unwrap();
        let caught =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| event_loop.run(&mut proactor, Timeout::Infinite)));
        assert!(caught.is_err() && log.take().is_empty());
        event_loop.run(&mut proactor, Timeout::Infinite).unwrap();
        assert_eq!(log.take(), ["other OK"]);
    }
}

#[test]
fn a_proactor_without_room_of_its_own_lends_that_of_other_threads() {
    let mut proactor = Builder::new().operations(1).remote_operations(1).build().unwrap();
    let event_loop = ProactorLoop::here(&proactor);
    let (log, semaphore) = (Log::default(), Semaphore::new(0));
    let hour = proactor.now() + Duration::from_secs(3600);
    let taken = proactor.submit(Op::new(Timer::new(hour), ())).unwrap();
    event_loop.wait_one(WaitSource::semaphore(&semaphore, 1), Timeout::Infinite, log.wait("one")).unwrap();
    for _ in 0..5 {
        proactor.poll(Timeout::Immediate).unwrap();
    }
    assert!(event_loop.error().is_none() && log.take().is_empty());
    semaphore.signal(1, None).unwrap();
    event_loop.run(&mut proactor, Timeout::Infinite).unwrap();
    assert_eq!(log.take(), ["one 0"]);
    proactor.cancel(taken).unwrap();
    proactor.run().unwrap();
}

#[test]
fn a_proactor_without_any_room_ends_the_loop_and_each_task_is_told() {
    let mut proactor = Builder::new().operations(1).remote_operations(2).build().unwrap();
    let event_loop = ProactorLoop::here(&proactor);
    let (log, never) = (Log::default(), Semaphore::new(0));
    let hour = proactor.now() + Duration::from_secs(3600);
    let handle = proactor.handle().clone();
    event_loop.wait_one(WaitSource::semaphore(&never, 1), Timeout::Infinite, log.wait("one")).unwrap();
    event_loop
        .call(move |_| {
            // All room there is, while the loop's own operation has none.
            while handle.submit(Op::new(Timer::new(hour), ())).is_ok() {}
            Ok(())
        })
        .unwrap();
    let own = proactor.submit(Op::new(Timer::new(hour), ())).unwrap();
    event_loop.run(&mut proactor, Timeout::Infinite).unwrap();
    assert_eq!(log.take(), ["one aborted ABORTED"]);
    assert_eq!(event_loop.error().unwrap().code(), Code::ResourceExhausted);
    assert!(proactor.handle().submitted(own));
}

#[test]
fn a_loop_that_a_function_ends_aborts_its_call_at_the_next_stop() {
    let mut proactor = Builder::new().build().unwrap();
    let event_loop = ProactorLoop::here(&proactor);
    let own = event_loop.clone();
    let module = NativeModule::builder("m")
        .async_function("f", move |caller: Caller<()>| {
            own.abort(Error::new(Code::Cancelled, "enough"));
            async move { caller.yield_now().await }
        })
        .build()
        .unwrap();
    let log = Log::default();
    let (context, told) = (super::support::context([module]), log.clone());
    let call = AsyncInvocation::once(move |outputs, event_loop| {
        assert!(event_loop.is_none(), "there is none to go on with");
        told.add(outputs.unwrap_err().to_string());
        Ok(())
    });
    context.invoke_on(&event_loop, call, &context.lookup("m.f").unwrap(), &InvocationOptions::new(), &()).unwrap();
    event_loop.run(&mut proactor, Timeout::Infinite).unwrap();
    assert_eq!(log.take(), ["the loop has ended: enough (CANCELLED) (ABORTED)"]);
}

#[test]
fn what_is_pending_goes_on_without_a_handle() {
    let mut proactor = Builder::new().build().unwrap();
    let event_loop = ProactorLoop::here(&proactor);
    let log = Log::default();
    event_loop.wait_until(Duration::from_millis(1), log.wait("told")).unwrap();
    drop(event_loop);
    proactor.poll(Timeout::Immediate).unwrap(); // takes the command in
    proactor.run().unwrap();
    assert_eq!(log.take(), ["told 0"]);
}
