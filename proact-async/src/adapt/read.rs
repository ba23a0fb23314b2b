//! What a stream receives.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use proact::memory::{BufferPool, Lease};
use proact::operation::future::OperationFuture;
use proact::operation::{Receive, ReceivePooled};
use proact::resource::Socket;
use proact::status::{Result, Status};

use super::io_error;
use super::route::Route;

/// What is received into.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// Buffers of a pool, taken when something came.
    Pool(BufferPool),
    /// A buffer of so many bytes of the stream's own.
    Own(usize),
}

/// The half of a stream that receives.
pub(super) struct ReadSide<R: Route> {
    source: Source,
    receiving: Receiving<R>,
    here: Bytes,
    /// What ended the receive, if nobody was told yet.
    failure: Option<Status>,
    /// The peer has ended its half.
    is_over: bool,
    /// Who asked for bytes last.
    waker: Option<Waker>,
}

enum Receiving<R: Route> {
    /// With the kind of the last time, which is used again.
    Idle(Option<ReceivePooled>),
    Pooled(OperationFuture<ReceivePooled, R::Port>),
    Own(OperationFuture<Receive<Vec<u8>>, R::Port>),
}

/// What was received and not taken yet.
enum Bytes {
    None,
    Lease(Lease),
    Own { buffer: Vec<u8>, from: usize, to: usize },
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Bytes::None => &[],
            Bytes::Lease(lease) => lease,
            Bytes::Own { buffer, from, to } => &buffer[*from..*to],
        }
    }
}

impl<R: Route> ReadSide<R> {
    pub(super) fn new(source: Source) -> ReadSide<R> {
        let receiving = Receiving::Idle(None);
        ReadSide { source, receiving, here: Bytes::None, failure: None, is_over: false, waker: None }
    }

    /// What is here, or comes; nothing at the end.
    pub(super) fn poll_fill(&mut self, route: &R, socket: &Socket, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        if self.here.as_slice().is_empty() && !self.is_over {
            if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                self.waker = Some(cx.waker().clone());
            }
            if let Err(status) = ready!(self.poll_receive(route, socket, cx)) {
                return Poll::Ready(Err(io_error(status)));
            }
        }
        Poll::Ready(Ok(self.here.as_slice()))
    }

    /// The first `count` bytes of what is here were taken.
    pub(super) fn consume(&mut self, count: usize) {
        match &mut self.here {
            Bytes::None => assert_eq!(count, 0, "more was taken than is here"),
            Bytes::Lease(lease) => {
                lease.advance(count);
                if lease.is_empty() {
                    self.here = Bytes::None; // and the buffer goes back
                }
            }
            Bytes::Own { from, to, .. } => {
                assert!(count <= *to - *from, "more was taken than is here");
                *from += count;
            }
        }
    }

    fn poll_receive(&mut self, route: &R, socket: &Socket, cx: &mut Context<'_>) -> Poll<Result> {
        if let Some(status) = self.failure.take() {
            return Poll::Ready(Err(status));
        }
        if !matches!(self.receiving, Receiving::Idle(_)) {
            match ready!(self.poll_in_flight(cx)) {
                // Whoever asked before was cancelled with its scope, and not this stream. This one asks anew.
                Err(status) if status.is_cancelled() => {}
                result => return Poll::Ready(result),
            }
        }
        if let Receiving::Idle(kind) = &mut self.receiving {
            self.receiving = match &self.source {
                Source::Pool(pool) => {
                    let kind = kind.take().unwrap_or_else(|| ReceivePooled::new(socket.clone(), pool));
                    Receiving::Pooled(route.future(kind))
                }
                Source::Own(size) => {
                    let buffer = match std::mem::replace(&mut self.here, Bytes::None) {
                        Bytes::Own { buffer, .. } if buffer.len() == *size => buffer,
                        _ => vec![0; *size],
                    };
                    Receiving::Own(route.future(Receive::some(socket.clone(), buffer)))
                }
            };
        }
        self.poll_in_flight(cx)
    }

    fn poll_in_flight(&mut self, cx: &mut Context<'_>) -> Poll<Result> {
        let result = match &mut self.receiving {
            Receiving::Idle(_) => return Poll::Pending,
            Receiving::Pooled(receive) => {
                let (kind, outcome) = ready!(Pin::new(receive).poll(cx));
                self.receiving = Receiving::Idle(Some(kind));
                outcome.result.map(|lease| match lease {
                    Some(lease) => self.here = Bytes::Lease(lease),
                    None => self.is_over = true,
                })
            }
            Receiving::Own(receive) => {
                let (receive, outcome) = ready!(Pin::new(receive).poll(cx));
                self.receiving = Receiving::Idle(None);
                outcome.result.map(|count| {
                    self.is_over = count == 0;
                    self.here = Bytes::Own { buffer: receive.buffer, from: 0, to: count };
                })
            }
        };
        Poll::Ready(result)
    }

    /// Gives a buffer back to a pool that runs low, with its content set aside: whoever polls this stream does not read
    /// now, and others would wait for buffers.
    pub(super) fn give_back(&mut self) {
        let Source::Pool(pool) = &self.source else { return };
        if pool.available() > pool.capacity() / 4 {
            return;
        }
        if let (Bytes::None, Some(waker)) = (&self.here, self.waker.take()) {
            // With the reader's own waker, which is the one that must be told.
            let polled = self.poll_in_flight(&mut Context::from_waker(&waker));
            self.waker = Some(waker);
            if let Poll::Ready(Err(status)) = polled {
                self.failure = Some(status);
            }
        }
        if let Bytes::Lease(lease) = &self.here {
            self.here = Bytes::Own { buffer: lease.to_vec(), from: 0, to: lease.len() };
        }
    }
}
