//! What a stream sends.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proact::operation::Send;
use proact::operation::future::OperationFuture;
use proact::resource::{Shutdown, Socket};
use proact::status::Status;

use super::io_error;
use super::route::Route;

/// Sends in flight, in their order. The engine keeps that order, so the second need not wait to be submitted.
pub type Sending<R> = [Option<OperationFuture<Send<Vec<u8>>, <R as Route>::Port>>; 2];

/// The most bytes of one send.
pub(super) const PIECE_MAX: usize = 64 * 1024;

/// The half of a stream that sends.
pub(super) struct WriteSide<R: Route> {
    sending: Sending<R>,
    /// The first failure of what was accepted, if nobody was told yet.
    failure: Option<Status>,
    is_shut: bool,
    /// Who wrote or flushed last.
    waker: Option<Waker>,
}

impl<R: Route> WriteSide<R> {
    pub(super) fn new() -> WriteSide<R> {
        WriteSide { sending: [None, None], failure: None, is_shut: false, waker: None }
    }

    /// Takes over the results of what has ended, and lets go of its memory.
    pub(super) fn reap(&mut self) {
        if self.sending[0].is_none() {
            return;
        }
        let Some(waker) = self.waker.take() else { return };
        let mut cx = Context::from_waker(&waker);
        while let Some(send) = &mut self.sending[0] {
            // The second is polled, and so learns of a new waker, when it has become the first.
            let Poll::Ready((send, outcome)) = Pin::new(send).poll(&mut cx) else { break };
            recycle(send.buffer);
            self.sending[0] = self.sending[1].take();
            if let Err(status) = outcome.result {
                self.failure.get_or_insert(status);
            }
        }
        self.waker = Some(waker);
    }

    fn reap_for(&mut self, cx: &Context<'_>) -> io::Result<()> {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            self.waker = Some(cx.waker().clone());
        }
        self.reap();
        match self.failure.take() {
            Some(status) => Err(io_error(status)),
            None => Ok(()),
        }
    }

    /// Waits until one more send may be started.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reap_for(cx)?;
        if self.sending[1].is_some() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Copies as much as fits into one send, which is on its way then.
    pub(super) fn poll_put(
        &mut self,
        route: &R,
        socket: &Socket,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_room(cx))?;
        if self.is_shut {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::BrokenPipe, "written after the shutdown")));
        }
        let length = slices.iter().fold(0, |sum: usize, slice| sum.saturating_add(slice.len())).min(PIECE_MAX);
        if length == 0 {
            return Poll::Ready(Ok(0));
        }
        let mut bytes = buffer(length);
        for slice in slices {
            let room = length - bytes.len();
            bytes.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        let mut send = route.future(Send::exact(socket.clone(), bytes));
        match Pin::new(&mut send).poll(cx) {
            Poll::Ready((send, outcome)) => {
                recycle(send.buffer);
                Poll::Ready(outcome.result.map_err(io_error))
            }
            Poll::Pending => {
                let place = usize::from(self.sending[0].is_some());
                self.sending[place] = Some(send);
                Poll::Ready(Ok(length))
            }
        }
    }

    /// Waits until everything is with the kernel.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reap_for(cx)?;
        if self.sending[0].is_some() { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Flushes, and then tells the peer that this was all.
    pub(super) fn poll_shutdown(&mut self, socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(self.poll_flush(cx))?;
        if !std::mem::replace(&mut self.is_shut, true) {
            match socket.shutdown(Shutdown::Send).map_err(io_error) {
                // The peer has reset the connection: there is nobody left to be told, and a read says so.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {}
                result => result?,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// What is still on its way, to be finished by someone else.
    pub(super) fn take(&mut self) -> Sending<R> {
        self.reap();
        std::mem::take(&mut self.sending)
    }
}

/// Buffers that a thread keeps for its next sends, and their capacity: small messages come again and again, and a long
/// one costs more than its allocation.
const KEPT_MAX: usize = 32;
const KEPT_CAPACITY: usize = 16 * 1024;

thread_local! {
    static KEPT: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn buffer(length: usize) -> Vec<u8> {
    if length > KEPT_CAPACITY {
        return Vec::with_capacity(length);
    }
    let kept = KEPT.try_with(|kept| kept.borrow_mut().pop()).ok().flatten();
    kept.unwrap_or_else(|| Vec::with_capacity(KEPT_CAPACITY))
}

pub(super) fn recycle(mut buffer: Vec<u8>) {
    if buffer.capacity() != KEPT_CAPACITY {
        return;
    }
    buffer.clear();
    // A thread that ends keeps none.
    let _ = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        if kept.len() < KEPT_MAX {
            kept.push(buffer);
        }
    });
}
