//! Signals that the process is sent.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use proact::operation::SignalWait;
pub use proact::resource::{Signal, SignalSet};
use proact::status::{Code, Operation, Result, Status};

use crate::runtime::{Operations, stream};

/// Waits until the terminal's user wants an end: Ctrl-C (`SIGINT`). Meanwhile the signal does not end the process; when
/// this has ended, or is dropped, it does again.
///
/// ```no_run
/// # let runtime = proact_async::Runtime::new()?;
/// runtime.block_on(proact_async::signal::ctrl_c())?;
/// println!("ending");
/// # Ok::<(), proact::status::Status>(())
/// ```
///
/// # Errors
/// As for [`SignalWait`].
///
/// # Panics
/// Outside of a runtime.
pub async fn ctrl_c() -> Result {
    let mut signals = signals(Signal::Interrupt);
    signals.next().await.map(drop)
}

/// Tells of signals as they come. From the first poll until this is dropped they do not do what is set for them; one
/// proactor of a process at a time may have such.
///
/// Signals that come faster than they are taken coalesce: each kind is told at least once after the last came.
pub fn signals(signals: impl Into<SignalSet>) -> Signals {
    // Never ended for want of room: a signal that came then would end the process.
    Signals { signals: stream(SignalWait::new(signals)).capacity(usize::MAX) }
}

/// Of [`signals`]. After a failure it ends.
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Signals {
    signals: Operations<SignalWait>,
}

impl Signals {
    /// The next signal. Dropping the future loses none.
    ///
    /// # Errors
    /// As for [`SignalWait`]; `Aborted` after that.
    pub async fn next(&mut self) -> Result<Signal> {
        let next = poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await;
        next.unwrap_or_else(|| Err(Status::new(Code::Aborted, Operation::SignalWait).with_message("it has ended")))
    }
}

impl Stream for Signals {
    type Item = Result<Signal>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.signals).poll_next(cx).map(|outcome| outcome.map(|outcome| outcome.result))
    }
}
