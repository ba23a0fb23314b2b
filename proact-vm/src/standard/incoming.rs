//! What comes in for a program, one outcome after another, of which none is lost when a call is given up.
//!
//! An operation that a call waits for belongs to the socket. A call that is given up asks that it be cancelled and
//! leaves it there; the next call waits for its end first. When it was cancelled in time, nothing had come; when it was
//! not, what it brings is the next call's.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use proact::operation::future::OperationFuture;
use proact::operation::{Kind, Outcome};
use proact::proactor::Handle;
use proact::status::Status;

use crate::error::{Error, Result};

/// Operations of one kind, one at a time.
pub(super) struct Incoming<K: Kind + Send>(Mutex<State<K>>)
where
    K::Output: Send;

struct State<K: Kind + Send>
where
    K::Output: Send,
{
    /// A call waits.
    is_taken: bool,
    /// Of a call that was given up: cancelled, and perhaps not in time.
    left: Option<OperationFuture<K>>,
    /// What has come, and was not taken by the call that it came for.
    kept: Vec<u8>,
}

/// The turn of one call.
pub(super) struct Turn<'a, K: Kind + Send>
where
    K::Output: Send,
{
    incoming: &'a Incoming<K>,
    handle: &'a Handle,
    under_way: Option<OperationFuture<K>>,
    /// Bytes for the call, until it has them.
    pub(super) bytes: Vec<u8>,
}

impl<K: Kind + Send> Incoming<K>
where
    K::Output: Send,
{
    pub(super) fn new() -> Incoming<K> {
        Incoming(Mutex::new(State { is_taken: false, left: None, kept: Vec::new() }))
    }

    /// `FAILED_PRECONDITION` while another call waits: which of both gets what, no one could say.
    pub(super) fn turn<'a>(&'a self, handle: &'a Handle, what: &'static str) -> Result<Turn<'a, K>> {
        let mut state = self.lock();
        if std::mem::replace(&mut state.is_taken, true) {
            return Err(Error::precondition(format!("another call {what} already")));
        }
        Ok(Turn { incoming: self, handle, under_way: None, bytes: std::mem::take(&mut state.kept) })
    }

    /// Bytes that have come, and were not taken.
    pub(super) fn kept(&self) -> usize {
        self.lock().kept.capacity()
    }

    fn lock(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Kind + Send> Turn<'_, K>
where
    K::Output: Send,
{
    /// The next outcome: of what an earlier call has left, or of a new operation.
    pub(super) async fn next(&mut self, new: impl Fn() -> K) -> (K, Outcome<K>) {
        loop {
            let left = self.incoming.lock().left.take();
            let was_left = left.is_some();
            self.under_way = Some(left.unwrap_or_else(|| self.handle.future(new())));
            // It stays in its place while it is polled: this future may be dropped at any time.
            let (kind, outcome) = poll_fn(|cx| match &mut self.under_way {
                Some(future) => Pin::new(future).poll(cx),
                None => unreachable!("it was put there"),
            })
            .await;
            self.under_way = None;
            if was_left && outcome.result.as_ref().err().is_some_and(Status::is_cancelled) {
                continue;
            }
            return (kind, outcome);
        }
    }

    /// The call has got the first `count` bytes of those that were there; the rest is for the next one.
    pub(super) fn took(&mut self, count: usize) {
        self.bytes.drain(..count);
    }
}

impl<K: Kind + Send> Drop for Turn<'_, K>
where
    K::Output: Send,
{
    fn drop(&mut self) {
        let left = self.under_way.take();
        if let Some(id) = left.as_ref().and_then(OperationFuture::id) {
            // Not found: it has just ended, and what it brings is there.
            let _ = self.handle.cancel(id);
        }
        let mut state = self.incoming.lock();
        state.is_taken = false;
        state.kept = std::mem::take(&mut self.bytes);
        state.left = left;
    }
}
