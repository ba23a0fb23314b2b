//! Streams that are never paused: of signals and relays. Signals are the whole process's: a program of its own, one
//! test.

mod support;

use std::future::poll_fn;
use std::pin::Pin;
use std::process::Command;
use std::task::Poll;

use futures_core::Stream;
use proact::operation::{EventWait, RelayMany, SignalWait};
use proact::resource::{Signal, SignalSet};
use proact_async::runtime::Operations;
use proact_async::{handle, operation, stream, yield_now};
use support::on_every_backend;

async fn send(signal: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {}", std::process::id())]).status().unwrap();
    assert!(sent.success());
}

async fn signal(stream: &mut Operations<SignalWait>) -> Signal {
    poll_fn(|cx| Pin::new(&mut *stream).poll_next(cx)).await.unwrap().result.unwrap()
}

#[test]
fn signals_and_relays_are_told_for_ever_and_kept_only_so_many() {
    on_every_backend(|runtime| {
        runtime.block_on(signals());
        runtime.block_on(relays());
    });
}

async fn signals() {
    let mut told = stream(SignalWait::new(SignalSet::HANG_UP | SignalSet::TERMINATE)).capacity(1);
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut told).poll_next(cx))).await;
    assert!(first.is_pending());
    // Were the stream ever paused, one of these would end this program.
    for _ in 0..5 {
        send("HUP").await;
        while told.waiting() == 0 {
            yield_now().await;
        }
    }
    send("TERM").await;
    while told.waiting() < 2 {
        yield_now().await;
    }
    assert_eq!(told.waiting(), 2, "the same is kept once, and another beside it");
    assert_eq!((signal(&mut told).await, signal(&mut told).await), (Signal::HangUp, Signal::Terminate));
    send("HUP").await;
    assert_eq!(signal(&mut told).await, Signal::HangUp);
}

async fn relays() {
    let (source, sink) = (handle().event().unwrap(), handle().event().unwrap());
    let mut relays = stream(RelayMany::new(source.clone(), sink.clone())).capacity(3);
    let first = poll_fn(|cx| Poll::Ready(Pin::new(&mut relays).poll_next(cx))).await;
    assert!(first.is_pending());
    for round in 1..=10usize {
        source.set().unwrap();
        operation(EventWait::new(sink.clone())).await.1.result.unwrap();
        while relays.waiting() < round.min(3) {
            yield_now().await;
        }
    }
    assert_eq!(relays.waiting(), 3);
    for _ in 0..3 {
        poll_fn(|cx| Pin::new(&mut relays).poll_next(cx)).await.unwrap().result.unwrap();
    }
    source.set().unwrap();
    poll_fn(|cx| Pin::new(&mut relays).poll_next(cx)).await.unwrap().result.unwrap();
}
