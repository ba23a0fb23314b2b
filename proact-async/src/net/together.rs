//! Two futures at once.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

/// Which of two futures has ended first, with its output.
pub(super) enum First<A, B> {
    One(A),
    Other(B),
}

/// Waits for whichever ends first, and drops the other. Both ready: the one.
pub(super) async fn first<A: Future, B: Future>(one: A, other: B) -> First<A::Output, B::Output> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(|cx| {
        if let Poll::Ready(output) = one.as_mut().poll(cx) {
            return Poll::Ready(First::One(output));
        }
        other.as_mut().poll(cx).map(First::Other)
    })
    .await
}

/// Waits for both, or until one fails: then the other is dropped.
pub(super) async fn both<A, B, E>(
    one: impl Future<Output = Result<A, E>>,
    other: impl Future<Output = Result<B, E>>,
) -> Result<(A, B), E> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    let (mut of_one, mut of_other) = (None, None);
    poll_fn(|cx| {
        if of_one.is_none() {
            if let Poll::Ready(output) = one.as_mut().poll(cx) {
                of_one = Some(output?);
            }
        }
        if of_other.is_none() {
            if let Poll::Ready(output) = other.as_mut().poll(cx) {
                of_other = Some(output?);
            }
        }
        if of_one.is_none() || of_other.is_none() {
            return Poll::Pending;
        }
        Poll::Ready(Ok(of_one.take().zip(of_other.take()).expect("both are there")))
    })
    .await
}
