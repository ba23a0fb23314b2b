//! Descriptors of others: what they are ready for.

use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
pub use proact::operation::Readiness;
use proact::operation::{PollHandle, PollHandleMany};
use proact::resource::Pollable;
use proact::status::Result;

use crate::runtime::{Operations, operation, stream, with_handle};

/// A descriptor that another library reads and writes, and of which only readiness is asked: an inotify, a device, a
/// database client's socket. Nothing of it is changed.
///
/// ```
/// use proact_async::descriptor::Descriptor;
///
/// let runtime = proact_async::Runtime::new()?;
/// let done: proact::status::Result = runtime.block_on(async {
///     let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
///     let descriptor = Descriptor::new(here.into());
///     drop(there);
///     assert!(descriptor.readable().await?.contains(proact_async::descriptor::Readiness::HANG_UP));
///     Ok(())
/// });
/// # done?; Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Debug)]
pub struct Descriptor {
    handle: Pollable,
}

impl Descriptor {
    /// Takes it in. The last clone closes it; to keep one's own, give a duplicate.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn new(fd: OwnedFd) -> Descriptor {
        Descriptor { handle: with_handle(|handle| handle.import_pollable(fd)) }
    }

    /// The descriptor, for operations of one's own, and to be given out again.
    pub fn resource(&self) -> &Pollable {
        &self.handle
    }

    /// Waits until reading would not block, and says what it is ready for. An error or a hang-up is told as well.
    ///
    /// # Errors
    /// As for [`PollHandle`].
    pub async fn readable(&self) -> Result<Readiness> {
        operation(PollHandle::readable(self.handle.clone())).await.1.result
    }

    /// Waits until writing would not block, as [`Descriptor::readable`].
    ///
    /// # Errors
    /// As for [`PollHandle`].
    pub async fn writable(&self) -> Result<Readiness> {
        operation(PollHandle::writable(self.handle.clone())).await.1.result
    }

    /// Tells whenever there is something new to be read, now and then more than once: who is told reads until that
    /// would block. It ends with an error or a hang-up.
    pub fn reads(&self) -> Changes {
        Changes { changes: stream(PollHandleMany::readable(self.handle.clone()).edge_triggered()) }
    }

    /// Tells whenever there is new room to write.
    pub fn writes(&self) -> Changes {
        Changes { changes: stream(PollHandleMany::writable(self.handle.clone()).edge_triggered()) }
    }
}

/// Of [`Descriptor::reads`] and [`Descriptor::writes`].
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Changes {
    changes: Operations<PollHandleMany>,
}

impl Stream for Changes {
    type Item = Result<Readiness>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.changes).poll_next(cx).map(|outcome| outcome.map(|outcome| outcome.result))
    }
}
