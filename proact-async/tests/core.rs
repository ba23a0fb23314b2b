//! The foundation where it is easily got wrong: streams whose bound is reached early, wakers that panic, runtimes that
//! end in unusual ways, limits that are reached in scopes.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_core::Stream;
use proact::operation::future::{Here, OperationStream, Submission};
use proact::operation::{EventWait, Interval, OperationId};
use proact::proactor::{Builder, Proactor};
use proact::time::Timeout;
use proact_async::scope::scope;
use proact_async::{Runtime, Threads, handle, operation, spawn, yield_now};

/// A way to a proactor that polls it with each submission: outcomes come before the submission has returned.
#[derive(Clone)]
struct Eager(Rc<RefCell<Proactor>>);

impl Here for Eager {
    fn submit(&self, submission: Submission<'_>, _: &mut Context<'_>) {
        let mut proactor = self.0.borrow_mut();
        assert!(proactor.submit(submission).is_ok());
        proactor.poll(Timeout::Infinite).unwrap();
    }

    fn cancel(&self, id: OperationId) {
        let _ = self.0.borrow_mut().cancel(id);
    }
}

#[test]
fn a_stream_that_is_full_before_its_submission_returns_is_paused_all_the_same() {
    let proactor = Rc::new(RefCell::new(Builder::new().build().unwrap()));
    let start = proactor.borrow().now();
    let ticks = Interval::new(start, Duration::from_nanos(1));
    let mut ticks = OperationStream::here(ticks, Eager(proactor.clone())).capacity(1);
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(Pin::new(&mut ticks).poll_next(&mut cx).is_ready());
        let polls = (0..100).find(|_| {
            proactor.borrow_mut().poll(Timeout::Immediate).unwrap();
            proactor.borrow().pending() == 0
        });
        assert!(polls.is_some(), "its end was asked for when there was no room");
        while ticks.waiting() > 0 {
            assert!(Pin::new(&mut ticks).poll_next(&mut cx).is_ready());
        }
    }
}

#[test]
fn threads_go_on_after_a_stop_that_somebody_else_has_requested() {
    let threads = Threads::new(1, |_| proact_async::Builder::new()).unwrap();
    let (send, receive) = mpsc::channel();
    threads.stop().request();
    for round in 0..3 {
        let send = send.clone();
        drop(threads.spawn(async move {
            yield_now().await;
            send.send(round).unwrap();
        }));
        let heard = receive.recv_timeout(Duration::from_secs(10));
        assert_eq!(heard, Ok(round), "the thread waits for its shutdown, not with its tasks");
    }
    for ended in threads.shutdown(Duration::from_secs(5)) {
        assert_eq!(ended.unwrap().dropped, 0);
    }
}

/// Panics when it is to wake somebody.
struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker");
    }
}

#[test]
fn a_waker_that_panics_in_the_end_of_a_runtime_leaves_nothing_of_it_behind() {
    let other = Runtime::new().unwrap();
    let runtime = Runtime::new().unwrap();
    let drops = Rc::new(());
    let mut tasks: Vec<_> = (0..3)
        .map(|_| {
            let alive = drops.clone();
            runtime.spawn(async move {
                let _alive = alive;
                pending::<()>().await;
            })
        })
        .collect();
    let waker = Waker::from(Arc::new(Panics));
    for task in &mut tasks {
        assert!(Pin::new(task).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    let mut lost = Box::pin(operation(EventWait::new(other.handle().event().unwrap())));
    other.block_on(poll_fn(|cx| {
        assert!(lost.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    }));
    let panic = catch_unwind(AssertUnwindSafe(|| drop(runtime))).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"a waker"));
    assert_eq!(Rc::strong_count(&drops), 1, "every task has ended");
    // Looks for its runtime among all that this thread has.
    drop(lost);
    assert_eq!(other.shutdown(Duration::from_secs(10)), 0);
    for mut task in tasks {
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(ended) = Pin::new(&mut task).poll(&mut cx) else { panic!("it has ended") };
        assert!(ended.unwrap_err().is_cancelled());
    }
}

#[test]
fn tasks_that_all_wake_each_other_when_they_are_dropped_end_with_their_runtime() {
    const TASKS: usize = 20_000;
    struct WakesAll(Rc<RefCell<Vec<Waker>>>);
    impl Drop for WakesAll {
        fn drop(&mut self) {
            // As a channel's end does; those that went are not there any more.
            self.0.borrow_mut().pop();
            self.0.borrow().iter().for_each(Waker::wake_by_ref);
        }
    }
    let runtime = Runtime::new().unwrap();
    let wakers = Rc::new(RefCell::new(Vec::new()));
    let alive = Rc::new(());
    for index in 1..=TASKS {
        let (wakers, alive) = (wakers.clone(), alive.clone());
        runtime.spawn(async move {
            // Either end: whichever is dropped first wakes the others.
            let _all = (index == 1 || index == TASKS).then(|| WakesAll(wakers.clone()));
            let _alive = alive;
            poll_fn(|cx| {
                wakers.borrow_mut().push(cx.waker().clone());
                Poll::<()>::Pending
            })
            .await;
        });
    }
    runtime.block_on(async {
        while wakers.borrow().len() < TASKS {
            yield_now().await;
        }
    });
    drop(runtime);
    assert_eq!(Rc::strong_count(&alive), 1);
}

fn limited(operations: u32) -> Runtime {
    Runtime::builder().proactor(Builder::new().operations(operations)).build().unwrap()
}

#[test]
fn a_scope_that_has_reached_the_limit_of_operations_still_ends_them_all() {
    const LIMIT: u32 = 16;
    let runtime = limited(LIMIT);
    runtime.block_on(async {
        let inside = proact::sync::Semaphore::new(0);
        let outcome = scope(async |scope| {
            let mut waits = Vec::new();
            loop {
                let mut wait = Box::pin(operation(EventWait::new(handle().event().unwrap())));
                let now = poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await;
                match now {
                    Poll::Pending => waits.push(scope.spawn(wait)),
                    Poll::Ready((_, outcome)) => {
                        let code = outcome.result.unwrap_err().code();
                        assert_eq!(code, proact::status::Code::ResourceExhausted);
                        break;
                    }
                }
            }
            scope.cancel();
            let mut ended = 0;
            for wait in waits {
                assert!(wait.await.unwrap().1.result.unwrap_err().is_cancelled());
                ended += 1;
            }
            drop(inside);
            ended
        })
        .await;
        assert_eq!(outcome, Ok(LIMIT as usize), "every operation has told its end");
    });
    assert_eq!(runtime.shutdown(Duration::from_secs(10)), 0);
}

#[test]
fn a_scope_kept_after_its_end_runs_nothing() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let kept = scope(async |scope| scope.clone()).await.unwrap();
        let ran = Rc::new(Cell::new(false));
        let task = kept.spawn({
            let ran = ran.clone();
            async move { ran.set(true) }
        });
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!ran.get());
        // And one that was dropped half-way.
        let mut half = None;
        {
            let mut dropped = pin!(scope(async |scope| {
                half = Some(scope.clone());
                pending::<()>().await;
            }));
            assert!(poll_fn(|cx| Poll::Ready(dropped.as_mut().poll(cx).is_pending())).await);
        }
        let task = half.unwrap().spawn(async {});
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn scopes_that_are_dropped_half_way_leave_nothing_in_the_one_around() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let outcome = scope(async |outer| {
            for _ in 0..100 {
                let event = handle().event().unwrap();
                let mut inner = Box::pin(scope(async |inner| {
                    inner.spawn(operation(EventWait::new(event)));
                    pending::<()>().await;
                }));
                assert!(poll_fn(|cx| Poll::Ready(inner.as_mut().poll(cx).is_pending())).await);
                yield_now().await;
                drop(inner);
                spawn(yield_now()).await.unwrap();
            }
            format!("{outer:?}")
        })
        .await
        .unwrap();
        // Those whose operations have ended are forgotten as others come.
        let inner: usize = outcome.split("inner: ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!(inner < 20, "{outcome}");
    });
}
