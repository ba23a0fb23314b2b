//! Relays.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use futures_core::Stream;
use proact::operation::{RelayMany, RelaySink, RelaySource};
use proact::status::{Code, Operation, Result, Status};

use crate::runtime::{spawn, stream};
use crate::task::JoinHandle;

/// Tells `sink` whenever `source` is ready, with no code between, for as long as the [`Relay`] is kept.
///
/// ```
/// use proact_async::sync::{self, Event};
///
/// let runtime = proact_async::Runtime::new()?;
/// let done: proact::status::Result = runtime.block_on(async {
///     let (from, to) = (Event::new()?, Event::new()?);
///     let relay = sync::relay(from.resource().clone(), to.resource().clone()).await?;
///     from.set()?;
///     to.wait().await?;
///     drop(relay);
///     Ok(())
/// });
/// # done?; Ok::<(), proact::status::Status>(())
/// ```
///
/// # Errors
/// As for [`RelayMany`] at submit.
///
/// # Panics
/// Outside of a runtime.
pub async fn relay(source: impl Into<RelaySource>, sink: impl Into<RelaySink>) -> Result<Relay> {
    let mut relay = stream(RelayMany::new(source, sink));
    // Submitted here, so that what comes from now on is passed on.
    match poll_fn(|cx| Poll::Ready(Pin::new(&mut relay).poll_next(cx))).await {
        Poll::Ready(Some(outcome)) => outcome.result?,
        Poll::Ready(None) => return Err(ended()),
        Poll::Pending => {}
    }
    let task = spawn(async move {
        while let Some(outcome) = poll_fn(|cx| Pin::new(&mut relay).poll_next(cx)).await {
            if let Err(status) = outcome.result {
                return status;
            }
        }
        ended()
    });
    Ok(Relay { task })
}

#[track_caller]
fn ended() -> Status {
    Status::new(Code::Aborted, Operation::Relay).with_message("the relay has ended")
}

/// A relay that works: of [`relay`]. Dropping it ends it.
#[derive(Debug)]
#[must_use = "a relay ends when it is dropped"]
pub struct Relay {
    task: JoinHandle<Status>,
}

impl Relay {
    /// Waits until it ends by itself, and tells why: its source or its sink has failed, or was closed.
    pub async fn ended(&mut self) -> Status {
        match Pin::new(&mut self.task).await {
            Ok(status) => status,
            Err(error) => ended().with_context(error.to_string()),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
