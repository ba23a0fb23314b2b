//! Streams of outcomes: when they pause, when they go on, and that they end what they have begun.

mod support;

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_core::Stream;
use proact::operation::EventWaitMany;
use proact_async::runtime::{Operations, statistics};
use proact_async::sync::Event;
use proact_async::{handle, stream, time, yield_now};
use support::run;

type Sets = Operations<EventWaitMany>;

/// Takes one that waits.
fn take(sets: &mut Sets) {
    let taken = Pin::new(sets).poll_next(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(taken, Poll::Ready(Some(outcome)) if outcome.result.is_ok()));
}

fn begin(sets: &mut Sets) {
    assert!(Pin::new(sets).poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
}

/// Waits until so many operations are in flight, for as long as it takes.
async fn in_flight(count: u64, what: &str) {
    let limit = time::now() + Duration::from_secs(10);
    while statistics().queue_depth != count {
        assert!(time::now() < limit, "{} in flight: {what}", statistics().queue_depth);
        time::sleep(Duration::from_micros(20)).await;
    }
}

/// Sets `event` until so many outcomes wait, one by one.
async fn fill(sets: &Sets, event: &Event, count: usize) {
    for wanted in sets.waiting() + 1..=count {
        event.set().unwrap();
        while sets.waiting() < wanted {
            yield_now().await;
        }
    }
}

#[test]
fn a_stream_ends_its_operation_when_it_is_dropped() {
    run(|| async {
        let event = Event::new().unwrap();
        for waiting in [0, 1, 2] {
            let mut sets = stream(EventWaitMany::new(event.resource().clone()));
            begin(&mut sets);
            fill(&sets, &event, waiting).await;
            in_flight(1, "it runs").await;
            drop(sets);
            in_flight(0, "it was dropped").await;
            if waiting > 0 {
                event.wait().await.unwrap();
            }
            let mut sets = handle().stream(EventWaitMany::new(event.resource().clone()));
            assert!(Pin::new(&mut sets).poll_next(&mut Context::from_waker(Waker::noop())).is_pending());
            in_flight(1, "it runs, by the way of other threads").await;
            drop(sets);
            in_flight(0, "it was dropped, by the way of other threads").await;
        }
    });
}

#[test]
fn a_stream_pauses_when_it_is_full_and_goes_on_at_half() {
    run(|| async {
        let event = Event::new().unwrap();
        for capacity in [1, 2, 3, 4, 7] {
            let mut sets = stream(EventWaitMany::new(event.resource().clone())).capacity(capacity);
            begin(&mut sets);
            for _ in 0..3 {
                fill(&sets, &event, capacity - 1).await;
                // All that is in the kernel has come by then.
                for _ in 0..5 {
                    yield_now().await;
                }
                let full = sets.waiting() == capacity; // by the set of the last pause
                in_flight(u64::from(!full), "it goes on while there is room").await;
                fill(&sets, &event, capacity).await;
                in_flight(0, "it is full").await;
                event.set().unwrap();
                for _ in 0..5 {
                    yield_now().await;
                }
                assert_eq!(sets.waiting(), capacity, "more came than there is room for");
                while sets.waiting() > capacity / 2 {
                    assert_eq!(statistics().queue_depth, 0, "{} of {capacity} wait", sets.waiting());
                    take(&mut sets);
                }
                assert_eq!(statistics().queue_depth, 0, "whoever takes has it go on");
                if sets.waiting() > 0 {
                    take(&mut sets);
                } else {
                    begin(&mut sets);
                }
                assert_eq!(statistics().queue_depth, 1, "{} of {capacity} wait", sets.waiting());
                // The set that came in the pause was kept.
                let before = sets.waiting();
                while sets.waiting() == before {
                    yield_now().await;
                }
            }
        }
    });
}

#[test]
fn a_refused_stream_says_why_and_then_ends() {
    run(|| async {
        let event = Event::new().unwrap();
        proact_async::operation(proact::operation::Close::new(event.resource().clone())).await.1.result.unwrap();
        let mut sets = event.sets();
        let refused = poll_fn(|cx| Pin::new(&mut sets).poll_next(cx)).await.unwrap().unwrap_err();
        assert_eq!(refused.code(), proact::status::Code::FailedPrecondition);
        assert!(format!("{refused:?}").contains("event.rs"), "{refused:?} names where it was made");
        for _ in 0..2 {
            assert!(poll_fn(|cx| Pin::new(&mut sets).poll_next(cx)).await.is_none());
        }
    });
}
