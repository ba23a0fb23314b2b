//! Tasks: futures that an executor runs, each in one allocation.
//!
//! The room of this crate with `unsafe` code. `raw.rs` is a task's storage and life, `home.rs` the queue of one
//! thread and the stack by which others reach it, `waker.rs` what wakes a task, `join.rs` who waits for it.

mod home;
mod join;
#[cfg(all(test, loom))]
mod loom_tests;
mod raw;
mod waker;

pub(crate) use self::home::{Alarm, Home, HomeRef, set_here};
pub use self::join::{AbortHandle, JoinError, JoinHandle};
pub(crate) use self::join::{spawn_here, spawn_made, spawn_send, spawn_within};

use std::pin::Pin;
use std::task::{Context, Poll};

/// Lets the other tasks that are ready run, and then goes on.
///
/// ```
/// let runtime = proact_async::Runtime::new()?;
/// runtime.block_on(async { proact_async::yield_now().await });
/// # Ok::<(), proact::status::Status>(())
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// Of [`yield_now`].
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
