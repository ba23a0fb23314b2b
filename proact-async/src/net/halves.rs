//! One connection for two tasks, and what comes of it as a stream.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use proact::memory::{BufferPool, Lease};
use proact::operation::{ReceivePooled, ReceivePooledMany};
use proact::resource::{Address, Shutdown, Socket};
use proact::status::Result;

use super::methods::{ends, reads, writes};
use crate::runtime::{Operation, Operations, operation, stream};

/// What a write without a copy has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Written {
    /// How many bytes.
    pub count: usize,
    /// The kernel reports that it sent them from where they lay. Over loopback it never does.
    pub zero_copy: bool,
}

/// The half of a connection that reads: of `TcpStream::split` and its like.
///
/// ```
/// use proact_async::net::UnixStream;
/// use proact_async::spawn;
///
/// # fn main() -> proact::status::Result {
/// proact_async::Runtime::new()?.block_on(async {
///     let (one, other) = UnixStream::pair()?;
///     let ((read, write), (peer_read, peer_write)) = (one.split(), other.split());
///     let echo = spawn(async move {
///         let (count, buffer) = peer_read.read(vec![0; 64]).await;
///         peer_write.write_all(buffer[..count.unwrap()].to_vec()).await.0.unwrap();
///     });
///     let reader = spawn(async move { read.read_exact(vec![0; 5]).await.1 });
///     write.write_all(b"hello".to_vec()).await.0?;
///     assert_eq!(reader.await.unwrap(), b"hello");
///     echo.await.unwrap();
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct ReadHalf {
    socket: Socket,
}

/// The half of a connection that writes: of `TcpStream::split` and its like.
///
/// Dropping it ends the direction: the peer reads to the end of what was written. The connection is closed when both
/// halves are gone. For a whole one again, make it of the [socket](WriteHalf::socket) before.
#[derive(Debug)]
pub struct WriteHalf {
    socket: Socket,
}

pub(super) fn halves(socket: Socket) -> (ReadHalf, WriteHalf) {
    (ReadHalf { socket: socket.clone() }, WriteHalf { socket })
}

ends!(ReadHalf, WriteHalf);
reads!(ReadHalf);
writes!(WriteHalf);

impl ReadHalf {
    /// The peer's address.
    ///
    /// # Errors
    /// As for [`Socket::peer_address`].
    pub fn peer_address(&self) -> Result<Address> {
        self.socket.peer_address()
    }
}

impl WriteHalf {
    /// Ends the direction now, and says whether that went well.
    ///
    /// # Errors
    /// As for [`Socket::shutdown`].
    pub fn shutdown(&self) -> Result {
        self.socket.shutdown(Shutdown::Send)
    }
}

impl Drop for WriteHalf {
    fn drop(&mut self) {
        // Not connected any more: then the peer has had its end.
        let _ = self.socket.shutdown(Shutdown::Send);
    }
}

/// Reads into a buffer of a pool: of `read_pooled`. Yields `None` at the connection's end.
///
/// No more than the operation in flight: what thousands of idle connections wait in.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct ReadPooled {
    receive: Operation<ReceivePooled>,
}

impl ReadPooled {
    pub(super) fn new(socket: &Socket, pool: &BufferPool) -> ReadPooled {
        ReadPooled { receive: operation(ReceivePooled::new(socket.clone(), pool)) }
    }
}

impl Future for ReadPooled {
    type Output = Result<Option<Lease>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Option<Lease>>> {
        Pin::new(&mut self.receive).poll(cx).map(|(_, outcome)| outcome.result)
    }
}

/// What comes over a connection, in buffers of a pool: of `leases`. It ends at the connection's end, or with a failure.
///
/// One multishot operation receives for it. At most 64 leases wait in the stream, and while the pool is empty nothing
/// is received: either way the peer is held up, and nothing fails. Dropping the stream drops what waits in it.
///
/// ```
/// use std::future::poll_fn;
/// use std::pin::Pin;
///
/// use futures_core::Stream;
/// use proact::memory::{BufferPool, Slab};
/// use proact_async::net::UnixStream;
///
/// # fn main() -> proact::status::Result {
/// let pool = BufferPool::new(Slab::allocate(4096, 8, &Default::default())?)?;
/// proact_async::Runtime::new()?.block_on(async {
///     let (one, other) = UnixStream::pair()?;
///     one.write_all(b"hello".to_vec()).await.0?;
///     drop(one);
///     let (mut leases, mut bytes) = (other.leases(&pool), Vec::new());
///     while let Some(lease) = poll_fn(|cx| Pin::new(&mut leases).poll_next(cx)).await {
///         bytes.extend_from_slice(&lease?);
///     }
///     assert_eq!(bytes, b"hello");
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Leases {
    received: Operations<ReceivePooledMany>,
}

impl Leases {
    pub(super) fn new(socket: &Socket, pool: &BufferPool) -> Leases {
        Leases { received: stream(ReceivePooledMany::new(socket.clone(), pool)) }
    }

    /// How many leases may wait in the stream.
    pub fn capacity(self, leases: usize) -> Leases {
        Leases { received: self.received.capacity(leases) }
    }
}

impl Stream for Leases {
    type Item = Result<Lease>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The end of the stream is the last outcome, without a lease.
        Pin::new(&mut self.received).poll_next(cx).map(|outcome| outcome?.result.transpose())
    }
}
