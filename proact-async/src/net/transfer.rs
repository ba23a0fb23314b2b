//! Reading into one buffer, and writing of one: no more than the operation in flight, since thousands of idle
//! connections each wait in such a future.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use proact::memory::{StableBytes, StableBytesMut};
use proact::operation::{Receive, Send};

use crate::BufResult;
use crate::runtime::{Operation, operation};

/// Reads into a buffer, which comes back: of `read` and `read_exact`.
#[must_use = "a future does nothing unless it is polled"]
pub struct Read<B: StableBytesMut> {
    receive: Operation<Receive<B>>,
}

/// Writes a buffer, which comes back: of `write` and `write_all`.
#[must_use = "a future does nothing unless it is polled"]
pub struct Write<B: StableBytes> {
    send: Operation<Send<B>>,
}

// One pointer: what such a future adds to the task that waits in it.
const _: () = assert!(size_of::<Read<Vec<u8>>>() == size_of::<usize>() || cfg!(feature = "tracing"));

impl<B: StableBytesMut> Read<B> {
    #[track_caller]
    pub(super) fn new(receive: Receive<B>) -> Read<B> {
        Read { receive: operation(receive) }
    }
}

impl<B: StableBytes> Write<B> {
    #[track_caller]
    pub(super) fn new(send: Send<B>) -> Write<B> {
        Write { send: operation(send) }
    }
}

impl<B: StableBytesMut> Future for Read<B> {
    type Output = BufResult<usize, B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BufResult<usize, B>> {
        Pin::new(&mut self.receive).poll_with(cx, |receive, outcome| (outcome.result, receive.buffer))
    }
}

impl<B: StableBytes> Future for Write<B> {
    type Output = BufResult<usize, B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BufResult<usize, B>> {
        Pin::new(&mut self.send).poll_with(cx, |send, outcome| (outcome.result, send.buffer))
    }
}

impl<B: StableBytesMut> fmt::Debug for Read<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Read").field(&self.receive).finish()
    }
}

impl<B: StableBytes> fmt::Debug for Write<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Write").field(&self.send).finish()
    }
}
