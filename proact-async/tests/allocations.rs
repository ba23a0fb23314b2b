//! In steady state a runtime allocates nothing: counted, on every backend. Tasks and operations use again what others
//! of about their size have left.
//!
//! One test in a program of its own, because the counting allocator serves the whole process.

#[path = "support/counting.rs"]
mod counting;
mod support;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use counting::counted;
use futures_core::Stream;
use proact::operation::{EventWait, Interval, Nop, Receive, Send};
use proact::resource::SocketType;
use proact_async::{Runtime, handle, operation, spawn, stream, time, yield_now};
use support::on_every_backend;

#[test]
fn nothing_is_allocated() {
    on_every_backend(|runtime| runtime.block_on(steady_states()));
    the_last_wake_of_a_sleep();
}

async fn steady_states() {
    assert_eq!(counted(|| async { drop(Box::new(1)) }).await, 1, "the counter counts");
    assert_eq!(counted(yield_now).await, 0, "a yield");
    assert_eq!(counted(|| async { spawn(async {}).await.unwrap() }).await, 0, "a task");
    let tasks = || async {
        let tasks: [_; 16] = std::array::from_fn(|_| spawn(yield_now()));
        for task in tasks {
            task.await.unwrap();
        }
    };
    assert_eq!(counted(tasks).await, 0, "tasks side by side");
    let nop = || async { operation(Nop).await.1.result.unwrap() };
    assert_eq!(counted(nop).await, 0, "an operation");
    let deadline = || async {
        let far = time::now() + Duration::from_secs(3600);
        operation(Nop).deadline(far).await.1.result.unwrap();
    };
    assert_eq!(counted(deadline).await, 0, "an operation with a deadline");
    let scope = handle().scope();
    let within = || async { operation(Nop).within(&scope).await.1.result.unwrap() };
    assert_eq!(counted(within).await, 0, "an operation in a scope");
    let other_thread = || async { handle().future(Nop).await.1.result.unwrap() };
    assert_eq!(counted(other_thread).await, 0, "an operation by the handle");
    let sleep = || time::sleep(Duration::from_nanos(1));
    assert_eq!(counted(sleep).await, 0, "a sleep");
    let called_off = || async {
        let mut sleep = time::sleep(Duration::from_secs(3600));
        poll_fn(|cx| Poll::Ready(Pin::new(&mut sleep).poll(cx).is_pending())).await;
        sleep.reset(time::now());
    };
    assert_eq!(counted(called_off).await, 0, "a sleep that is set anew, and dropped");
    let timed = || async { time::timeout(Duration::from_secs(3600), yield_now()).await.unwrap() };
    assert_eq!(counted(timed).await, 0, "a timeout");

    let (here, there) = handle().socket_pair(SocketType::Stream).unwrap();
    let (bytes, room) = (Cell::new(Some(vec![7; 64])), Cell::new(Some(vec![0; 64])));
    let echo = || async {
        let (send, _) = operation(Send::exact(here.clone(), bytes.take().unwrap())).await;
        let (receive, _) = operation(Receive::exact(there.clone(), room.take().unwrap())).await;
        bytes.set(Some(send.buffer));
        room.set(Some(receive.buffer));
    };
    assert_eq!(counted(echo).await, 0, "a send and a receive");

    let event = handle().event().unwrap();
    let dropped = || async {
        let mut wait = operation(EventWait::new(event.clone()));
        start(&mut wait).await;
        drop(wait);
        yield_now().await;
    };
    assert_eq!(counted(dropped).await, 0, "an operation that is dropped in flight");

    let start = time::now();
    let mut ticks = stream(Interval::new(start, Duration::from_nanos(1)));
    let ticks = Rc::new(std::cell::RefCell::new(Pin::new(&mut ticks)));
    let tick = || {
        let ticks = ticks.clone();
        poll_fn(move |cx| ticks.borrow_mut().as_mut().poll_next(cx).map(|outcome| drop(outcome.unwrap())))
    };
    assert_eq!(counted(tick).await, 0, "a tick of a stream");
}

/// A wake by another thread, of a task that sleeps, allocates neither there nor here.
fn the_last_wake_of_a_sleep() {
    let runtime = Runtime::new().unwrap();
    let (send, receive) = std::sync::mpsc::sync_channel::<std::task::Waker>(1);
    let thread = std::thread::spawn(move || receive.into_iter().for_each(std::task::Waker::wake));
    let allocations = runtime.block_on(counted(|| {
        let mut sent = false;
        let send = &send;
        poll_fn(move |cx| {
            if std::mem::replace(&mut sent, true) {
                return Poll::Ready(());
            }
            send.send(cx.waker().clone()).unwrap();
            Poll::Pending
        })
    }));
    assert_eq!(allocations, 0, "a wake by another thread");
    drop(send);
    thread.join().unwrap();
}

/// Polls an operation once, which submits it.
async fn start(wait: &mut proact_async::runtime::Operation<EventWait>) {
    let pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut *wait).poll(cx).is_pending())).await;
    assert!(pending);
}
