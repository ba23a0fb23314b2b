//! Scopes: what is in them ends with them, and is waited for.

mod support;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use proact::operation::{EventWait, Nop, Receive, SemaphoreWait, Terminal};
use proact::resource::SocketType;
use proact::simulated::World;
use proact::sync::Semaphore;
use proact_async::scope::{Ended, scope, scope_for};
use proact_async::{Runtime, handle, operation, spawn, time, yield_now};
use support::on_every_backend;

#[test]
fn a_scope_yields_its_bodys_output_and_waits_for_its_tasks() {
    on_every_backend(|runtime| {
        let done = Rc::new(Cell::new(0));
        let seen = done.clone();
        let output = runtime.block_on(scope(async |scope| {
            for _ in 0..10 {
                let done = done.clone();
                scope.spawn(async move {
                    time::sleep(Duration::from_micros(200)).await;
                    done.set(done.get() + 1);
                });
            }
            "output"
        }));
        assert_eq!((output, seen.get()), (Ok("output"), 10));
    });
}

#[test]
fn a_deadline_reaches_operations_waits_and_tasks_and_they_may_answer() {
    on_every_backend(|runtime| {
        let terminals = runtime.block_on(scope_for(Duration::from_millis(1), async |scope| {
            let (_here, there) = handle().socket_pair(SocketType::Stream).unwrap();
            let receive = scope.spawn(operation(Receive::exact(there, vec![0; 64])));
            let wait = operation(SemaphoreWait::new(Semaphore::new(0), 1)).await.1;
            let (receive, outcome) = receive.await.unwrap();
            assert_eq!(receive.buffer.len(), 64);
            assert!(operation(Nop).await.1.result.unwrap_err().is_cancelled(), "a new one ends at once");
            (wait.terminal(), outcome.terminal())
        }));
        assert_eq!(terminals, Ok((Terminal::Cancelled, Terminal::Cancelled)));
    });
}

#[test]
fn what_waits_for_something_else_is_dropped() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let own = scope_for(Duration::from_millis(1), async |_| pending::<()>().await).await;
            assert_eq!(own, Err(Ended::DeadlineExceeded));
            let asleep = scope(async |scope| {
                scope.spawn(time::sleep(Duration::from_secs(3600)));
                scope.cancel();
                pending::<()>().await;
            });
            assert_eq!(asleep.await, Err(Ended::Cancelled));
            let done = scope(async |scope| {
                scope.spawn(pending::<()>());
                scope.cancel();
                7
            });
            assert_eq!(done.await, Ok(7));
        });
    });
}

#[test]
fn what_submits_for_ever_is_dropped() {
    on_every_backend(|runtime| {
        let outcome = runtime.block_on(scope_for(Duration::from_millis(1), async |scope| {
            scope.spawn(async { while operation(Nop).await.1.result.is_err() || !is_cancelled().await {} });
            loop {
                operation(Nop).await;
            }
        }));
        assert_eq!(outcome, Err::<(), _>(Ended::DeadlineExceeded));
    });
}

/// Never, but only after a while.
async fn is_cancelled() -> bool {
    yield_now().await;
    false
}

#[test]
fn operations_dropped_in_flight_have_ended_when_the_scope_returns() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let semaphore = Semaphore::new(0);
            let before = handle();
            let outcome = scope(async |_| {
                for _ in 0..20 {
                    let mut wait = operation(EventWait::new(before.event().unwrap()));
                    start(&mut wait).await;
                }
                drop(semaphore);
            });
            outcome.await.unwrap();
        });
        assert_eq!(runtime.statistics().queue_depth, 0);
    });
}

#[test]
fn a_scope_within_a_scope_ends_with_it_and_tells_its_outcome() {
    on_every_backend(|runtime| {
        let outcome = runtime.block_on(scope_for(Duration::from_millis(1), async |_| {
            let inner = scope(async |inner| {
                let event = handle().event().unwrap();
                let task = inner.spawn(operation(EventWait::new(event)));
                assert!(task.await.unwrap().1.result.unwrap_err().is_cancelled());
                "told"
            });
            inner.await
        }));
        assert_eq!(outcome, Ok(Ok("told")));
    });
}

#[test]
fn a_scope_that_is_dropped_ends_what_is_in_it_and_the_one_around_it_waits() {
    on_every_backend(|runtime| {
        let dropped = Rc::new(Cell::new(false));
        struct Tell(Rc<Cell<bool>>);
        impl Drop for Tell {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let tell = Tell(dropped.clone());
        let outcome = runtime.block_on(scope(async |_| {
            let inner = scope(async |inner| {
                let event = handle().event().unwrap();
                inner.spawn(async move {
                    let _tell = tell;
                    operation(EventWait::new(event)).await
                });
                pending::<()>().await;
            });
            time::timeout(Duration::from_millis(1), inner).await.unwrap_err();
        }));
        assert_eq!((outcome, dropped.get()), (Ok(()), true));
        assert_eq!(runtime.statistics().queue_depth, 0);
    });
}

#[test]
fn what_is_not_in_a_scope_goes_on() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let event = handle().event().unwrap();
        let other = spawn(operation(EventWait::new(event.clone())));
        yield_now().await;
        let own = scope(async |scope| {
            scope.cancel();
            pending::<()>().await;
        });
        assert_eq!(own.await, Err(Ended::Cancelled));
        assert!(!other.is_finished());
        event.set().unwrap();
        other.await.unwrap().1.result.unwrap();
    });
}

#[test]
fn a_deadline_in_virtual_time_is_exact() {
    let world = World::new(5);
    let runtime = Runtime::builder().proactor(world.host("here").builder()).build().unwrap();
    runtime.block_on(async {
        let start = time::now();
        let outcome = scope_for(Duration::from_secs(60), async |_| {
            operation(SemaphoreWait::new(Semaphore::new(0), 1)).await.1.result.unwrap_err()
        });
        assert!(outcome.await.unwrap().is_cancelled());
        let passed = time::now() - start;
        assert!(passed >= Duration::from_secs(60) && passed < Duration::from_millis(60_001), "{passed:?}");
    });
}

/// Polls an operation once, which submits it.
async fn start(wait: &mut proact_async::runtime::Operation<EventWait>) {
    let pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut *wait).poll(cx).is_pending())).await;
    assert!(pending);
}

/// Polls it once, and leaves it.
async fn once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// A place for a scope's own handle, to be used from outside of it.
type Kept = Rc<std::cell::RefCell<Option<proact_async::Scope>>>;

#[test]
fn a_cancel_reaches_the_scopes_within_at_once_and_those_that_begin_after_it() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let (outer, inner, innermost): (Kept, Kept, Kept) = Default::default();
            let mut all = pin!(scope(async |own| {
                outer.replace(Some(own.clone()));
                let within = scope(async |own| {
                    inner.replace(Some(own.clone()));
                    let within = scope(async |own| {
                        innermost.replace(Some(own.clone()));
                        operation(EventWait::new(handle().event().unwrap())).await.1.result.unwrap_err();
                        own.is_cancelled()
                    });
                    within.await.unwrap()
                });
                assert!(within.await.unwrap());
                scope(async |later| later.is_cancelled()).await.unwrap()
            }));
            assert!(once(all.as_mut()).await.is_pending());
            let is_cancelled = |kept: &Kept| kept.borrow().as_ref().unwrap().is_cancelled();
            assert!(!is_cancelled(&outer) && !is_cancelled(&inner) && !is_cancelled(&innermost));
            // Without a poll between: whoever looks now must not go on as if nothing had happened.
            outer.borrow().as_ref().unwrap().cancel();
            assert!(is_cancelled(&outer) && is_cancelled(&inner) && is_cancelled(&innermost));
            assert_eq!(all.await, Ok(true), "one that begins after the cancel is cancelled");
        });
    });
}

#[test]
fn why_a_scope_has_ended_is_told_once_and_stays() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let late = scope_for(Duration::from_micros(1), async |scope| {
            while !scope.is_cancelled() {
                time::sleep(Duration::from_micros(1)).await;
            }
            scope.cancel();
            pending::<()>().await;
        });
        assert_eq!(late.await, Err(Ended::DeadlineExceeded), "a cancel after the deadline changes nothing");
        let inner = Rc::new(Cell::new(None));
        let told = inner.clone();
        let outer = scope_for(Duration::from_micros(1), async |_| {
            told.set(Some(scope(async |_| pending::<()>().await).await));
            pending::<()>().await;
        });
        assert_eq!(outer.await, Err(Ended::DeadlineExceeded));
        // Of the one within, the body may go before it tells.
        assert!(matches!(inner.get(), None | Some(Err(Ended::Cancelled))));
    });
}

#[test]
fn between_the_polls_of_a_scope_nothing_belongs_to_it() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let kept: Kept = Default::default();
            let [inside, event, event_of_task, event_aside] = [(); 4].map(|()| handle().event().unwrap());
            let mut all = pin!(scope(async |own| {
                kept.replace(Some(own.clone()));
                own.spawn(operation(EventWait::new(inside.clone())));
                operation(EventWait::new(inside.clone())).await.1.result.unwrap_err().is_cancelled()
            }));
            assert!(once(all.as_mut()).await.is_pending());
            yield_now().await; // its task is polled
            // Begun after polls of the scope and of its task, by the same task, by another, and in a scope beside it.
            let mut own = operation(EventWait::new(event.clone()));
            start(&mut own).await;
            let task = spawn(operation(EventWait::new(event_of_task.clone())));
            let mut aside = pin!(scope(async |scope| {
                operation(EventWait::new(event_aside.clone())).await.1.result.unwrap();
                scope.is_cancelled()
            }));
            assert!(once(aside.as_mut()).await.is_pending());
            yield_now().await;
            kept.borrow().as_ref().unwrap().cancel();
            assert_eq!(all.await, Ok(true));
            assert_eq!(proact_async::runtime::statistics().queue_depth, 3, "nobody has ended the others");
            for event in [&event, &event_of_task, &event_aside] {
                event.set().unwrap();
            }
            own.await.1.result.unwrap();
            task.await.unwrap().1.result.unwrap();
            assert_eq!(aside.await, Ok(false));
        });
    });
}

#[test]
fn after_a_scope_within_it_a_scopes_operations_are_its_own_again() {
    on_every_backend(|runtime| {
        let outcome = runtime.block_on(scope_for(Duration::from_millis(1), async |outer| {
            // The end of each takes operations that belong to no scope.
            scope(async |_| yield_now().await).await.unwrap();
            scope(async |inner| inner.cancel()).await.unwrap();
            outer.spawn(async { scope(async |_| ()).await }).await.unwrap().unwrap();
            // Its end, and what comes next, are one poll.
            scope(async |_| ()).await.unwrap();
            operation(EventWait::new(handle().event().unwrap())).await.1.result.unwrap_err().is_cancelled()
        }));
        assert_eq!(outcome, Ok(true), "told by its operation, not dropped");
    });
}

#[test]
fn a_scope_forgets_tasks_that_have_ended_and_no_others() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let held = Rc::new(());
        {
            let mut all = pin!(scope(async |own| {
                for _ in 0..10 {
                    let kept = held.clone();
                    own.spawn(async move {
                        let _kept = kept;
                        pending::<()>().await;
                    });
                    for _ in 0..20 {
                        own.spawn(async {}).await.unwrap();
                    }
                }
                pending::<()>().await;
            }));
            while Rc::strong_count(&held) < 11 {
                assert!(once(all.as_mut()).await.is_pending());
                yield_now().await;
            }
        }
        yield_now().await;
        assert_eq!(Rc::strong_count(&held), 1, "a dropped scope drops every task that runs");
    });
}

#[test]
fn scopes_that_have_ended_leave_nothing_in_the_one_around() {
    let runtime = Runtime::new().unwrap();
    let text = runtime.block_on(scope(async |outer| {
        for _ in 0..100 {
            scope(async |_| yield_now().await).await.unwrap();
        }
        format!("{outer:?}")
    }));
    assert!(text.as_ref().unwrap().contains("inner: 0"), "{text:?}");
}

#[test]
fn a_cancel_from_elsewhere_wakes_a_scope_that_waits_for_nothing_else() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let kept: Kept = Default::default();
            let cancels = spawn({
                let kept = kept.clone();
                async move {
                    while kept.borrow().is_none() {
                        yield_now().await;
                    }
                    kept.borrow().as_ref().unwrap().cancel();
                }
            });
            let ended = scope(async |own| {
                kept.replace(Some(own.clone()));
                pending::<()>().await;
            });
            let limit = Duration::from_secs(10);
            assert_eq!(time::timeout(limit, ended).await.expect("it was told"), Err(Ended::Cancelled));
            cancels.await.unwrap();
        });
    });
}
