//! Streams for those who lend their buffers.

use std::fmt;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use std::time::Duration;

use proact::memory::BufferPool;
use proact::proactor::Handle;
use proact::resource::Socket;

use super::finish::Finishing;
use super::read::{ReadSide, Source};
use super::route::{self, Local, Route};
use super::write::{PIECE_MAX, WriteSide};
use crate::net::TcpStream;

/// A stream socket under the traits of `futures-io`, tokio and hyper, each with its feature: see [the
/// module](super) for what is copied and when things are sent.
///
/// It reads and writes at once, also in two tasks (`split` of either crate). It has no clones: bytes that were received
/// ahead belong to one reader. Other uses of the same socket go between what is sent here.
///
/// ```
/// use std::future::poll_fn;
/// use std::io::IoSlice;
///
/// use proact_async::adapt::{Adapted, Buffered};
/// use proact_async::net::{TcpListener, TcpStream};
///
/// # fn main() -> proact::status::Result {
/// let runtime = proact_async::Runtime::new()?;
/// runtime.block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
///     let mut near = Adapted::new(TcpStream::connect(listener.local_address()?).await?);
///     let mut far = Adapted::new(listener.accept().await?.0);
///     let sent = poll_fn(|cx| near.poll_put(cx, &[IoSlice::new(b"hello")])).await.unwrap();
///     assert_eq!(sent, 5);
///     poll_fn(|cx| near.poll_flush(cx)).await.unwrap();
///     poll_fn(|cx| far.poll_fill(cx).map_ok(|bytes| assert_eq!(bytes, b"hello"))).await.unwrap();
///     Ok(())
/// })
/// # }
/// ```
pub struct Adapted<R: Route = Local> {
    socket: Socket,
    route: R,
    linger: Duration,
    reading: ReadSide<R>,
    writing: WriteSide<R>,
}

/// How an [`Adapted`] stream behaves.
#[derive(Clone, Debug)]
pub struct Options {
    source: Source,
    linger: Duration,
}

impl Options {
    /// Receives into buffers of `pool`, taken when something came: an idle connection holds none.
    ///
    /// Until its content was read, a buffer is not there for other connections, which wait when the pool is empty. A
    /// stream that is written to or flushed gives the buffer back when the pool runs low, and sets the content aside;
    /// one that nobody touches keeps it. So the pool should have more buffers than there may be connections that have
    /// received something and are not looked at.
    pub fn pooled(pool: &BufferPool) -> Options {
        Options { source: Source::Pool(pool.clone()), linger: LINGER }
    }

    /// Receives into a buffer of its own, of `size` bytes, at least 1. The stream holds it from its first read on.
    pub fn owned(size: usize) -> Options {
        Options { source: Source::Own(size.max(1)), linger: LINGER }
    }

    /// How long what was accepted may take to be sent after the stream was dropped; 30 seconds if it is not said.
    #[must_use]
    pub fn linger(mut self, limit: Duration) -> Options {
        self.linger = limit;
        self
    }
}

const LINGER: Duration = Duration::from_secs(30);

/// A stream that owns what it receives into and sends from: what the traits of others are made of here.
pub trait Buffered: Unpin {
    /// How many bytes one [`poll_put`](Buffered::poll_put) takes at most, and takes for certain after
    /// [`poll_room`](Buffered::poll_room).
    const ROOM: usize;

    /// What was received and not [consumed](Buffered::consume) yet. Waits until there is something; empty at the end.
    ///
    /// # Errors
    /// The receive's failure.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>>;

    /// Takes `count` bytes from the front of what was received.
    ///
    /// # Panics
    /// If so many are not here.
    fn consume(&mut self, count: usize);

    /// Waits until it has room for [`ROOM`](Buffered::ROOM) bytes.
    ///
    /// # Errors
    /// The failure of what was accepted before.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Copies from the front of `slices` what it has room for, answers how many bytes, and starts to send them. Waits
    /// while it has no room.
    ///
    /// # Errors
    /// The failure of what was accepted before, or of this.
    fn poll_put(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Waits until all that was accepted is with the kernel.
    ///
    /// # Errors
    /// The failure of what was accepted.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Flushes, and ends this half of the stream; the other can still be read. Where the peer has gone already there
    /// is nothing to end.
    ///
    /// # Errors
    /// The failure of what was accepted.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Adapted {
    /// A connection of this thread's runtime. It receives into buffers of a pool that the thread's streams share: 256
    /// of 16 KiB, made by the first of them.
    ///
    /// # Panics
    /// When there is no memory for that pool.
    pub fn new(stream: TcpStream) -> Adapted {
        Adapted::with(stream, &Options::pooled(&route::this_threads_pool()))
    }

    /// As [`Adapted::new`], otherwise.
    pub fn with(stream: TcpStream, options: &Options) -> Adapted {
        Adapted::of(stream.socket().clone(), Local::default(), options)
    }
}

impl Adapted<Handle> {
    /// As [`Adapted::new`], for what insists on `Send` (hyper's upgrades, its pooling client): through the handle of
    /// this thread's runtime.
    ///
    /// # Panics
    /// Outside of a runtime, and as there.
    #[track_caller]
    pub fn sendable(stream: TcpStream) -> Adapted<Handle> {
        let options = Options::pooled(&route::this_threads_pool());
        Adapted::of(stream.socket().clone(), crate::runtime::handle(), &options)
    }

    /// A connection of the proactor that `handle` reaches, from any thread: `Send`, for other runtimes.
    pub fn on(handle: &Handle, socket: Socket, options: &Options) -> Adapted<Handle> {
        Adapted::of(socket, handle.clone(), options)
    }
}

impl<R: Route> Adapted<R> {
    /// A stream of any connected stream socket.
    pub fn of(socket: Socket, route: R, options: &Options) -> Adapted<R> {
        let reading = ReadSide::new(options.source.clone());
        Adapted { socket, route, linger: options.linger, reading, writing: WriteSide::new() }
    }

    /// The socket, for its addresses and options.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }
}

impl<R: Route> Buffered for Adapted<R> {
    const ROOM: usize = PIECE_MAX;

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        self.writing.reap();
        self.reading.poll_fill(&self.route, &self.socket, cx)
    }

    fn consume(&mut self, count: usize) {
        self.reading.consume(count);
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reading.give_back();
        self.writing.poll_room(cx)
    }

    fn poll_put(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.reading.give_back();
        self.writing.poll_put(&self.route, &self.socket, cx, slices)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reading.give_back();
        self.writing.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.reading.give_back();
        self.writing.poll_shutdown(&self.socket, cx)
    }
}

impl<R: Route> Drop for Adapted<R> {
    fn drop(&mut self) {
        let sends = self.writing.take();
        if sends.iter().any(Option::is_some) {
            self.route.finish(Finishing(sends), self.linger);
        }
    }
}

impl<R: Route> fmt::Debug for Adapted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adapted").field("socket", &self.socket).finish_non_exhaustive()
    }
}
