//! Semaphores, frontiers, events, notifications and relays, awaited on every backend.

mod support;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_core::Stream;
use proact::causal::{Axis, Frontier};
use proact::operation::Close;
use proact::proactor::Builder;
use proact::status::{Code, Operation, Status};
use proact::sync::{Notification, Semaphore, Tracker};
use proact_async::sync::{self, Event};
use proact_async::{operation, spawn, time, yield_now};
use support::on_every_backend;

#[test]
fn a_value_is_awaited_with_what_caused_it() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let semaphore = Semaphore::new(0);
            let causes = Frontier::single(Axis::queue(0, 0, 0, 0), 7).unwrap();
            let (signaller, known) = (semaphore.clone(), causes.clone());
            let thread = std::thread::spawn(move || signaller.signal(3, Some(&known)));
            let reached = sync::reach(&semaphore, 3).await.unwrap();
            assert_eq!(reached.causes.requirement(), Some(&causes));
            thread.join().unwrap().unwrap();
            let late = sync::reach(&semaphore, 4).deadline(time::now() + Duration::from_micros(100)).await;
            assert_eq!(late.unwrap_err().code(), Code::DeadlineExceeded);
            semaphore.fail(Status::new(Code::DataLoss, Operation::None));
            assert_eq!(sync::reach(&semaphore, 4).await.unwrap_err().code(), Code::DataLoss);
        });
    });
}

#[test]
fn all_and_any_of_several_are_awaited() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let semaphores: Vec<_> = (0..5).map(|_| Semaphore::new(0)).collect();
            let values = |value| semaphores.iter().map(|one| (one.clone(), value)).collect::<Vec<_>>();
            let all = spawn(sync::reach_all(values(1)));
            let any = spawn(sync::reach_any(values(2)));
            for semaphore in &semaphores {
                yield_now().await;
                assert!(!all.is_finished());
                semaphore.signal(1, None).unwrap();
            }
            all.await.unwrap().unwrap();
            assert!(!any.is_finished());
            semaphores[3].signal(2, None).unwrap();
            assert_eq!(any.await.unwrap().unwrap().index, 3);
            assert!(sync::reach_all(Vec::new()).await.is_ok());
            assert_eq!(sync::reach_any(Vec::new()).await.unwrap_err().code(), Code::InvalidArgument);
        });
    });
}

#[test]
fn a_frontier_is_awaited_until_its_last_axis_has_come_as_far() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let tracker = Tracker::new();
            let axis = tracker.register(Axis::queue(1, 0, 0, 0)).unwrap();
            let frontier = Frontier::single(axis.axis(), 2).unwrap();
            let wait = spawn(sync::reach_frontier(&tracker, frontier.clone()));
            axis.advance(1).unwrap();
            yield_now().await;
            assert!(!wait.is_finished());
            axis.advance(2).unwrap();
            wait.await.unwrap().unwrap();
            axis.fail(Status::new(Code::DataLoss, Operation::None));
            let further = Frontier::single(axis.axis(), 3).unwrap();
            assert_eq!(sync::reach_frontier(&tracker, further).await.unwrap_err().code(), Code::DataLoss);
        });
    });
}

#[test]
fn no_signal_of_a_notification_is_lost_between_the_look_and_the_wait() {
    const ROUNDS: u64 = 2000;
    on_every_backend(|runtime| {
        let (asked, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (ask, answer) = (Notification::new(), Notification::new());
        let thread = std::thread::spawn({
            let (asked, answered, ask, answer) = (asked.clone(), answered.clone(), ask.clone(), answer.clone());
            move || {
                for round in 1..=ROUNDS {
                    loop {
                        let observation = ask.observe();
                        if asked.load(Ordering::Acquire) >= round {
                            break;
                        }
                        observation.wait(proact::time::Timeout::Infinite).unwrap();
                    }
                    answered.store(round, Ordering::Release);
                    answer.signal_if_observed(1);
                }
            }
        });
        runtime.block_on(async {
            for round in 1..=ROUNDS {
                asked.store(round, Ordering::Release);
                ask.broadcast();
                let there = || (answered.load(Ordering::Acquire) >= round).then_some(());
                sync::until(&answer, there).await.unwrap();
            }
        });
        thread.join().unwrap();
    });
}

#[test]
fn an_event_is_awaited_once_and_as_a_stream() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let event = Event::new().unwrap();
            event.set().unwrap();
            event.set().unwrap();
            event.wait().await.unwrap();
            let mut wait = Box::pin(event.wait());
            assert!(poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await.is_pending(), "two sets were one");
            drop(wait);
            let mut sets = event.sets();
            for _ in 0..3 {
                let other = event.clone();
                let thread = std::thread::spawn(move || other.set());
                poll_fn(|cx| Pin::new(&mut sets).poll_next(cx)).await.unwrap().unwrap();
                thread.join().unwrap().unwrap();
            }
        });
    });
}

#[test]
fn a_relay_works_while_it_is_kept_and_says_why_it_ended() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let (from, to) = (Event::new().unwrap(), Event::new().unwrap());
            let relay = sync::relay(from.resource().clone(), to.resource().clone()).await.unwrap();
            for _ in 0..200 {
                from.set().unwrap();
                to.wait().await.unwrap();
            }
            drop(relay);
            while runtime.statistics().queue_depth > 0 {
                time::sleep(Duration::from_micros(50)).await;
            }
            from.set().unwrap();
            from.wait().await.unwrap(); // nobody else has taken it
            let notification = Notification::new();
            let mut relay = sync::relay(from.resource().clone(), notification).await.unwrap();
            let close = spawn(operation(Close::new(from.resource().clone())));
            assert!(relay.ended().await.is_cancelled());
            close.await.unwrap().1.result.unwrap();
        });
    });
}

#[test]
fn a_fence_raises_a_semaphore_and_a_dropped_one_fails_it() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let (device, host) = (Semaphore::new(0), Semaphore::new(0));
            let import = async |value| sync::import_fence(device.export_pollable(value).unwrap(), &host, value).await;
            device.signal(1, None).unwrap();
            import(1).await.unwrap();
            assert_eq!(host.value(), 1);
            let mut dropped = Box::pin(import(2));
            assert!(poll_fn(|cx| Poll::Ready(dropped.as_mut().poll(cx))).await.is_pending());
            drop(dropped);
            assert!(sync::reach(&host, 2).await.unwrap_err().is_cancelled());
        });
    });
}

#[test]
fn a_message_reaches_another_proactor() {
    on_every_backend(|runtime| {
        let (told, messages) = std::sync::mpsc::channel();
        let mut other = Builder::new().build().unwrap();
        other.on_message(move |message, _| told.send(message).unwrap());
        runtime.block_on(sync::send_message(other.handle(), 42)).unwrap();
        other.poll(proact::time::Timeout::Infinite).unwrap();
        assert_eq!(messages.try_recv(), Ok(42));
    });
}

#[test]
fn channels_and_listeners_that_know_no_runtime_work_from_task_to_task_and_from_other_threads() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let (sender, mut receiver) = futures_channel::mpsc::unbounded();
            let (once, answer) = futures_channel::oneshot::channel();
            let done = Arc::new(event_listener::Event::new());
            let listener = done.listen();
            let other = sender.clone();
            let thread = std::thread::spawn(move || {
                for number in 0..1000 {
                    other.unbounded_send(number).unwrap();
                }
            });
            spawn(async move {
                yield_now().await;
                sender.unbounded_send(1000).unwrap();
            });
            let sums = spawn(async move {
                let mut sum = 0;
                while let Some(number) = poll_fn(|cx| Pin::new(&mut receiver).poll_next(cx)).await {
                    sum += number;
                }
                once.send(sum).unwrap();
                done.notify(1);
            });
            listener.await;
            assert_eq!(answer.await, Ok(500_500));
            sums.await.unwrap();
            thread.join().unwrap();
        });
    });
}

#[test]
fn a_set_that_a_dropped_wait_has_taken_is_there_for_the_next() {
    on_every_backend(|runtime| {
        runtime.block_on(async {
            let event = Event::new().unwrap();
            for _ in 0..200 {
                let mut wait = Box::pin(event.wait());
                assert!(poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await.is_pending());
                yield_now().await;
                event.set().unwrap();
                drop(wait);
                event.wait().await.unwrap();
            }
        });
    });
}
