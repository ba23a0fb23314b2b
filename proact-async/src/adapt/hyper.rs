//! What hyper asks of a runtime.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use hyper::rt::{Executor, Sleep, Timer};
use proact::operation::future::OperationFuture;
use proact::proactor::Handle;
use proact::status::Code;
use proact::time::Time;

use crate::runtime::{handle, spawn};

/// Implements `Read` and `Write` for a type that is [`Buffered`](crate::adapt::Buffered).
macro_rules! hyper_io {
    ($type:ty, $($generic:tt)*) => {
        impl<$($generic)*> hyper::rt::Read for $type {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
                mut buffer: hyper::rt::ReadBufCursor<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                let room = buffer.remaining();
                crate::adapt::poll_take(self.get_mut(), cx, room, |bytes| buffer.put_slice(bytes)).map_ok(drop)
            }
        }

        impl<$($generic)*> hyper::rt::Write for $type {
            crate::adapt::written!(poll_started, poll_shutdown);

            fn is_write_vectored(&self) -> bool {
                true
            }
        }
    };
}

hyper_io!(super::Adapted<R>, R: super::Route);
#[cfg(feature = "rustls")]
hyper_io!(crate::tls::TlsStream<S>, S: super::Buffered);

/// Runs hyper's tasks on the runtime of the thread that hands them over: they need not be `Send`, and neither need the
/// services behind them.
///
/// Elsewhere, and for tasks that are `Send`, a [`Spawner`](crate::Spawner) is an executor as well.
///
/// # Panics
/// When hyper hands it a task outside of a runtime.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalExecutor;

impl<F: Future + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        drop(spawn(future));
    }
}

impl<F> Executor<F> for crate::Spawner
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        drop(self.spawn(future));
    }
}

/// Hyper's timeouts on the clock of a proactor: virtual time in a simulated world.
///
/// Hyper wants its sleeps `Send`, so they reach the proactor the way other threads do.
#[derive(Clone, Debug)]
pub struct HyperTimer {
    handle: Handle,
    /// The same moment on hyper's clock and on the proactor's.
    origin: (Instant, Time),
}

impl HyperTimer {
    /// On the clock of the proactor that `handle` reaches.
    pub fn new(handle: &Handle) -> HyperTimer {
        HyperTimer { handle: handle.clone(), origin: (Instant::now(), handle.clock().now()) }
    }

    /// On the clock of this thread's runtime.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn here() -> HyperTimer {
        HyperTimer::new(&handle())
    }

    fn at(&self, deadline: Time) -> Pin<Box<dyn Sleep>> {
        let timer = self.handle.future(proact::operation::Timer::new(deadline));
        Box::pin(HyperSleep { timer: Some(timer), is_over: false })
    }
}

impl Timer for HyperTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.at(self.handle.clock().now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.at(self.origin.1 + deadline.saturating_duration_since(self.origin.0))
    }

    fn now(&self) -> Instant {
        self.origin.0 + (self.handle.clock().now() - self.origin.1)
    }
}

/// A sleep of a [`HyperTimer`].
#[derive(Debug)]
pub struct HyperSleep {
    timer: Option<OperationFuture<proact::operation::Timer>>,
    is_over: bool,
}

impl Future for HyperSleep {
    type Output = ();

    /// # Panics
    /// When the proactor refuses one operation more: see its
    /// [limit](proact::proactor::Builder::remote_operations).
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(timer) = &mut self.timer {
            let (_, outcome) = ready!(Pin::new(timer).poll(cx));
            self.timer = None;
            match outcome.result {
                Ok(()) => self.is_over = true,
                // The proactor is gone, and with it its clock: that time never comes.
                Err(status) if matches!(status.code(), Code::Cancelled | Code::Aborted) => {}
                Err(status) => panic!("a timer failed: {status}"),
            }
        }
        if self.is_over { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Sleep for HyperSleep {}
