//! Chains of futures: submitted together, each step starts when the one before it has succeeded.

mod support;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use proact::operation::{EventWait, Lowering, Nop, Receive, SemaphoreSignal, SemaphoreWait, Send, Timer};
use proact::proactor::{Builder, ProactorThread};
use proact::resource::SocketType;
use proact::status::Code;
use proact::sync::Semaphore;
use proact_async::{Runtime, chain, handle, operation, scope, spawn, time, yield_now};
use support::{on_every_backend, run};

#[test]
fn a_pipeline_is_submitted_before_any_of_it_has_run() {
    run(async || {
        let (here, there) = handle().socket_pair(SocketType::Stream).unwrap();
        let (device, sent) = (Semaphore::new(0), Semaphore::new(0));
        let pipeline = spawn(chain((
            operation(SemaphoreWait::new(device.clone(), 3)),
            operation(Send::exact(here, b"output".to_vec())),
            operation(SemaphoreSignal::new(sent.clone(), 1)),
        )));
        let received = spawn(operation(Receive::exact(there, vec![0; 6])));
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(sent.value(), 0, "the device has not finished");
        device.signal(3, None).unwrap();
        let ((_, waited), (send, moved), (_, signalled)) = pipeline.await.unwrap();
        assert!(waited.result.is_ok() && signalled.result.is_ok());
        assert_eq!((moved.result.unwrap(), send.buffer.as_slice()), (6, b"output".as_slice()));
        assert_eq!(sent.value(), 1);
        assert_eq!(received.await.unwrap().0.buffer, b"output");
    });
}

#[test]
fn what_is_behind_a_failure_has_no_effect_and_gives_its_buffer_back() {
    run(async || {
        let (here, there) = handle().socket_pair(SocketType::Stream).unwrap();
        let event = handle().event().unwrap();
        let soon = time::now() + Duration::from_millis(1);
        let failing = operation(EventWait::new(event)).deadline(soon);
        let (first, (send, second), (Nop, third)) =
            chain((failing, operation(Send::exact(here.clone(), b"never".to_vec())), operation(Nop))).await;
        assert_eq!(first.1.result.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(second.result.unwrap_err().code(), Code::Cancelled);
        assert_eq!(third.result.unwrap_err().code(), Code::Cancelled);
        assert_eq!(send.buffer, b"never");
        let (_, outcome) = operation(Send::exact(here, b"later".to_vec())).await;
        outcome.result.unwrap();
        assert_eq!(operation(Receive::exact(there, vec![0; 5])).await.0.buffer, b"later");
    });
}

#[test]
fn a_refused_chain_yields_every_kind_and_why() {
    let other = Runtime::new().unwrap();
    let (foreign, _there) = other.handle().socket_pair(SocketType::Stream).unwrap();
    run(async || {
        let semaphore = Semaphore::new(0);
        let (first, second) = chain((
            operation(SemaphoreSignal::new(semaphore.clone(), 1)),
            operation(Send::exact(foreign.clone(), vec![7; 3])),
        ))
        .await;
        assert_eq!(first.1.result.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!(second.1.result.unwrap_err().code(), Code::InvalidArgument);
        assert_eq!((second.0.buffer, semaphore.value()), (vec![7; 3], 0));
    });
}

#[test]
fn it_may_be_dropped_at_any_time_and_nothing_behind_it_happens() {
    on_every_backend(|runtime| {
        let done = Semaphore::new(0);
        runtime.block_on(async {
            for polls in 0..3 {
                let gate = Semaphore::new(0);
                {
                    let mut chained = pin!(chain((
                        operation(Nop),
                        operation(SemaphoreWait::new(gate.clone(), 1)),
                        operation(SemaphoreSignal::new(done.clone(), 1)),
                    )));
                    for _ in 0..polls {
                        assert!(chained.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
                        // The first step ends in between.
                        time::sleep(Duration::from_micros(100)).await;
                    }
                }
                gate.signal(1, None).unwrap();
            }
        });
        assert_eq!(runtime.shutdown(Duration::from_secs(60)), 0, "operations that did not end");
        assert_eq!(done.value(), 0, "the gate was passed before the drop");
    });
}

#[test]
fn a_scope_ends_all_of_its_steps() {
    run(async || {
        let never = Semaphore::new(0);
        let outcomes = scope(async |scope| {
            let steps = (operation(SemaphoreWait::new(never.clone(), 1)), operation(Nop), operation(Nop));
            let waiting = scope.spawn(chain(steps));
            yield_now().await;
            scope.cancel();
            waiting.await.unwrap()
        })
        .await;
        let ((_, first), (Nop, second), (Nop, third)) = outcomes.unwrap();
        for result in [first.result.map(drop), second.result.map(drop), third.result.map(drop)] {
            assert_eq!(result.unwrap_err().code(), Code::Cancelled);
        }
    });
}

#[test]
fn its_task_is_woken_once() {
    run(async || {
        let polls = Cell::new(0);
        let mut chained = pin!(chain((operation(Nop), operation(Nop), operation(Nop), operation(Nop))));
        poll_fn(|cx| {
            polls.set(polls.get() + 1);
            chained.as_mut().poll(cx)
        })
        .await;
        assert_eq!(polls.get(), 2, "one that submits, one that takes the outcomes");
    });
}

#[test]
fn the_kernel_walks_it_where_it_can() {
    on_every_backend(|runtime| {
        let native = runtime.handle().capabilities().contains(proact::backend::Capabilities::KERNEL_CHAINS);
        let ((Nop, first), (Nop, second)) =
            runtime.block_on(chain((operation(Nop), operation(Nop))).lowering(Lowering::Always));
        assert!(first.result.is_ok() && second.result.is_ok());
        assert_eq!((first.lowered(), second.lowered()), (native, native));
        let ((Nop, first), (Nop, second)) =
            runtime.block_on(chain((operation(Nop), operation(Nop))).lowering(Lowering::Never));
        assert!(!first.lowered() && !second.lowered());
    });
}

#[test]
fn it_goes_to_another_thread_s_proactor_too() {
    let thread = ProactorThread::spawn(Builder::new()).unwrap();
    let handle = thread.handle().clone();
    let runtime = Runtime::new().unwrap();
    for _ in 0..100 {
        let soon = handle.clock().now() + Duration::from_micros(20);
        let steps = (handle.future(Timer::new(soon)), handle.future(Nop), handle.future(Nop));
        let ((_, first), (Nop, second), (Nop, third)) = runtime.block_on(chain(steps));
        assert!(first.result.is_ok() && second.result.is_ok() && third.result.is_ok());
    }
    // Dropped while its first step waits.
    let never = Semaphore::new(0);
    let mut waiting = Box::pin(chain((handle.future(SemaphoreWait::new(never.clone(), 1)), handle.future(Nop))));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    drop(waiting);
    thread.stop();
    assert_eq!(thread.join().unwrap().leaked, 0, "operations that did not end");
}

#[test]
fn a_chain_that_is_dropped_calls_every_step_off_by_the_way_that_it_went() {
    let (mut one, other) = (Builder::new().build().unwrap(), Builder::new().build().unwrap());
    let never = SemaphoreWait::new(Semaphore::new(0), 1);
    let mut chained = Box::pin(chain((one.handle().future(Nop), other.handle().future(never))));
    assert!(chained.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    while one.pending() != 1 {
        one.poll(proact::time::Timeout::Immediate).unwrap();
    }
    drop(chained);
    for _ in 0..3 {
        one.poll(proact::time::Timeout::Immediate).unwrap();
    }
    assert_eq!(one.pending(), 0, "the step that was made for another proactor goes on");
}
