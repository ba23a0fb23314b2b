//! No set of an event is lost to a future that is dropped: what it has taken by then, and told nobody, is set again.
//! On every backend and in a simulated world, dropped at any moment before and after the set was taken.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use proact::operation::{EventWait, EventWaitMany};
use proact::proactor::{Builder, Choice};
use proact::simulated::World;
use proact_async::runtime::statistics;
use proact_async::sync::{self, Event};
use proact_async::{Runtime, handle, operation, stream, time, yield_now};

/// Passes of the loop before the set, and between it and the drop: more than an operation takes from one end of the
/// proactor to the other.
const MOMENTS: usize = 5;

/// Each with a poll of the proactor between two passes.
fn everywhere(test: impl Fn(Runtime)) {
    let build = |proactor| Runtime::builder().proactor(proactor).tasks_between_polls(1).build();
    for choice in [Choice::IoUring, Choice::Epoll, Choice::Poll] {
        match build(Builder::new().backend(choice)) {
            Ok(runtime) => test(runtime),
            Err(status) => println!("skipped: {choice:?}: {status}"),
        }
    }
    test(build(World::new(1).host("here").builder()).unwrap());
}

/// Begins what waits for `event`, sets that, and drops the waiting one at each moment: the set is always there after.
fn at_every_moment<W>(begin: impl Fn(&Event) -> W) {
    everywhere(|runtime| {
        runtime.block_on(async {
            let event = Event::new().unwrap();
            for (before, after) in (0..MOMENTS).flat_map(|before| (0..MOMENTS).map(move |after| (before, after))) {
                let waits = begin(&event);
                passes(before).await;
                event.set().unwrap();
                passes(after).await;
                drop(waits);
                let what = format!("{before} passes before the set and {after} after it, on {}", handle().backend());
                taken(&event, &what).await;
                // And it is one set, not two.
                assert!(is_reset(&event).await, "{what}");
            }
        });
        assert_eq!(runtime.shutdown(Duration::from_secs(10)), 0);
    });
}

async fn passes(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

async fn taken(event: &Event, what: &str) {
    let wait = time::timeout(Duration::from_secs(10), event.wait()).await;
    wait.unwrap_or_else(|_| panic!("a set was lost: {what}")).unwrap();
}

/// Whether nothing is left of it, once all that was dropped has ended.
async fn is_reset(event: &Event) -> bool {
    while statistics().queue_depth > 0 {
        time::sleep(Duration::from_micros(10)).await;
    }
    let soon = time::now() + Duration::from_micros(20);
    operation(EventWait::new(event.resource().clone())).deadline(soon).await.1.result.is_err()
}

/// Polls it once, which submits it.
fn started<F: Future + Unpin>(mut future: F) -> F {
    assert!(Pin::new(&mut future).poll(&mut Context::from_waker(Waker::noop())).is_pending());
    future
}

fn started_stream<S: Stream + Unpin>(mut stream: S) -> S {
    assert!(Pin::new(&mut stream).poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
    stream
}

#[test]
fn a_wait_that_is_dropped_loses_no_set() {
    at_every_moment(|event| {
        let event = event.clone();
        started(Box::pin(async move { event.wait().await }))
    });
}

#[test]
fn a_bare_operation_that_is_dropped_loses_no_set() {
    at_every_moment(|event| started(operation(EventWait::new(event.resource().clone()))));
}

#[test]
fn a_future_for_any_executor_that_is_dropped_loses_no_set() {
    at_every_moment(|event| started(handle().future(EventWait::new(event.resource().clone()))));
}

#[test]
fn a_stream_of_sets_that_is_dropped_loses_none() {
    at_every_moment(|event| started_stream(event.sets()));
    at_every_moment(|event| started_stream(handle().stream(EventWaitMany::new(event.resource().clone()))));
    // One that is full, and so ends its operation by itself.
    at_every_moment(|event| started_stream(stream(EventWaitMany::new(event.resource().clone())).capacity(1)));
}

#[test]
fn sets_that_wait_in_a_stream_when_it_is_dropped_are_one_set() {
    everywhere(|runtime| {
        runtime.block_on(async {
            let event = Event::new().unwrap();
            for capacity in [1, 2, 64] {
                let sets = stream(EventWaitMany::new(event.resource().clone())).capacity(capacity);
                let mut sets = started_stream(sets);
                while sets.waiting() < capacity.min(3) {
                    event.set().unwrap();
                    passes(2).await;
                }
                let told = poll_fn(|cx| Poll::Ready(Pin::new(&mut sets).poll_next(cx))).await;
                assert!(matches!(told, Poll::Ready(Some(_))), "one of them is told, and no part of what is put back");
                let owed = sets.waiting() > 0;
                drop(sets);
                if owed {
                    taken(&event, "they waited in the stream").await;
                }
                assert!(owed || capacity == 1);
            }
        });
    });
}

#[test]
fn what_a_stream_has_told_is_not_set_again() {
    everywhere(|runtime| {
        runtime.block_on(async {
            let event = Event::new().unwrap();
            let mut sets = event.sets();
            event.set().unwrap();
            poll_fn(|cx| Pin::new(&mut sets).poll_next(cx)).await.unwrap().unwrap();
            drop(sets);
            assert!(is_reset(&event).await);
        });
    });
}

#[test]
fn a_wait_that_is_told_has_reset_its_event() {
    everywhere(|runtime| {
        runtime.block_on(async {
            let event = Event::new().unwrap();
            event.set().unwrap();
            event.wait().await.unwrap();
            assert!(is_reset(&event).await);
        });
    });
}

/// A relay takes a set and passes it on in one step: it is at its sink or still at its source.
#[test]
fn a_relay_that_is_dropped_loses_no_set() {
    everywhere(|runtime| {
        runtime.block_on(async {
            for (before, after) in (0..MOMENTS).flat_map(|before| (0..MOMENTS).map(move |after| (before, after))) {
                let (from, to) = (Event::new().unwrap(), Event::new().unwrap());
                let relay = sync::relay(from.resource().clone(), to.resource().clone()).await.unwrap();
                passes(before).await;
                from.set().unwrap();
                passes(after).await;
                drop(relay);
                passes(MOMENTS).await;
                let (source, sink) = (!is_reset(&from).await, !is_reset(&to).await);
                assert!(source != sink, "{before} and {after} passes: at its source {source}, at its sink {sink}");
            }
        });
    });
}

#[test]
fn an_event_that_was_closed_meanwhile_is_no_trouble() {
    let runtime = Runtime::builder().proactor(Builder::new()).build().unwrap();
    runtime.block_on(async {
        let event = Event::new().unwrap();
        let wait = started(operation(EventWait::new(event.resource().clone())));
        event.set().unwrap();
        passes(MOMENTS).await;
        operation(proact::operation::Close::new(event.resource().clone())).await.1.result.unwrap();
        drop(wait);
    });
    assert_eq!(runtime.shutdown(Duration::from_secs(10)), 0);
}
