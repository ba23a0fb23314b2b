//! Adapters: this crate's streams under the traits that others wrote for borrowed buffers, and its parts under theirs.
//!
//! | what | feature | traits |
//! |---|---|---|
//! | [`Adapted`] | `futures-io` | `futures_io::{AsyncRead, AsyncBufRead, AsyncWrite}` |
//! | [`Adapted`] | `tokio` | `tokio::io::{AsyncRead, AsyncBufRead, AsyncWrite}` |
//! | [`Adapted`], `LocalExecutor`, `HyperTimer` | `hyper` | `hyper::rt::{Read, Write, Executor, Timer}` |
//! | `Connector` | `tower` | `tower_service::Service<Uri>` |
//! | [`Adapted`] | `hyper-util` | `hyper_util::client::legacy::connect::Connection` |
//! | `tls::TlsStream` | `rustls` | the same as `Adapted`, encrypted |
//!
//! # Borrowed buffers over completions
//!
//! Those traits lend a buffer for the time of one call, and the kernel would need it for longer. So a stream here owns
//! what the kernel reads and writes, and each byte is copied once: from what was received into the caller's buffer, and
//! from the caller's buffer into what is sent. [`Buffered`] shows what was received in place; whoever reads by it, or
//! by one of the `AsyncBufRead`s, copies nothing.
//!
//! **Reading.** A receive is in flight only while somebody has asked for bytes, and it stays in flight when that future
//! is dropped: nothing is lost, and the next who asks takes what came. What is received into is a buffer of a pool,
//! taken when there is something to put into it, so that an idle connection holds none; [`Options`] can say otherwise.
//!
//! **Writing.** What is written is on its way at once, whether anyone flushes or not, in at most two pieces of at most
//! 64 KiB; then a write waits. A flush waits until everything is with the kernel; hyper's alone does not, for it would
//! poll a whole connection once more for each answer. A failure of what was accepted before comes with the next write,
//! flush or shutdown, and a shutdown waits for everything.
//!
//! **Dropping.** Dropping a stream cancels its receive, and bytes that came for it meanwhile are lost. What was
//! accepted and is not with the kernel yet goes on to be sent, for at most [`Options::linger`], and then is lost; so it
//! is when the runtime ends before. A flush or shutdown before the drop tells.

/// What the writing traits of others have in common.
#[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio"))]
macro_rules! written {
    ($flush:ident, $shutdown:ident) => {
        fn poll_write(
            self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            crate::adapt::Buffered::poll_put(self.get_mut(), cx, &[std::io::IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            slices: &[std::io::IoSlice<'_>],
        ) -> std::task::Poll<std::io::Result<usize>> {
            crate::adapt::Buffered::poll_put(self.get_mut(), cx, slices)
        }

        fn poll_flush(
            self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            crate::adapt::Buffered::$flush(self.get_mut(), cx)
        }

        fn $shutdown(
            self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            crate::adapt::Buffered::poll_shutdown(self.get_mut(), cx)
        }
    };
}

#[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio"))]
use written;

/// What both `AsyncBufRead`s ask for.
#[cfg(any(feature = "futures-io", feature = "tokio"))]
macro_rules! buffered {
    () => {
        fn poll_fill_buf(
            self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<&[u8]>> {
            crate::adapt::Buffered::poll_fill(self.get_mut(), cx)
        }

        fn consume(self: std::pin::Pin<&mut Self>, count: usize) {
            crate::adapt::Buffered::consume(self.get_mut(), count);
        }
    };
}

#[cfg(any(feature = "futures-io", feature = "tokio"))]
use buffered;

mod finish;
mod read;
mod route;
mod stream;
mod write;

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "hyper")]
mod hyper;
#[cfg(feature = "hyper-util")]
mod hyper_util;
#[cfg(feature = "tokio")]
mod tokio;
#[cfg(feature = "tower")]
mod tower;

use std::io;
#[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio"))]
use std::task::{Context, Poll, ready};

use proact::status::{Code, Status};

#[cfg(feature = "hyper")]
pub use self::hyper::{HyperSleep, HyperTimer, LocalExecutor};
pub(crate) use self::route::receive_pool;
pub use self::route::{Local, Route};
pub use self::stream::{Adapted, Buffered, Options};
#[cfg(feature = "tower")]
pub use self::tower::{Connecting, Connector, Destination};

/// Reads as all the traits do: what is here, at most `room` bytes, is given to `put`, or comes. Yields how many bytes.
#[cfg(any(feature = "futures-io", feature = "hyper", feature = "tokio"))]
fn poll_take<S: Buffered>(
    stream: &mut S,
    cx: &mut Context<'_>,
    room: usize,
    put: impl FnOnce(&[u8]),
) -> Poll<io::Result<usize>> {
    if room == 0 {
        return Poll::Ready(Ok(0));
    }
    let here = ready!(stream.poll_fill(cx))?;
    let count = here.len().min(room);
    put(&here[..count]);
    stream.consume(count);
    Poll::Ready(Ok(count))
}

/// The failure under the traits that know `io::Error` alone: of the kind that the system's error number means, with
/// the [`Status`] inside.
pub fn io_error(status: Status) -> io::Error {
    let kind = match status.os_error() {
        Some(number) => io::Error::from_raw_os_error(number).kind(),
        None => match status.code() {
            Code::InvalidArgument => io::ErrorKind::InvalidInput,
            Code::DeadlineExceeded => io::ErrorKind::TimedOut,
            Code::NotFound => io::ErrorKind::NotFound,
            Code::AlreadyExists => io::ErrorKind::AlreadyExists,
            Code::PermissionDenied => io::ErrorKind::PermissionDenied,
            Code::OutOfRange => io::ErrorKind::UnexpectedEof,
            Code::Unavailable => io::ErrorKind::NotConnected,
            _ => io::ErrorKind::Other,
        },
    };
    io::Error::new(kind, status)
}
