//! Sends whose stream was dropped: what was accepted is sent all the same.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, TryLockError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use proact::operation::Timer;
use proact::operation::future::OperationFuture;
use proact::proactor::Handle;

use super::route::{Local, Route};
use super::write::{Sending, recycle};
use crate::runtime::{is_running, spawn};
use crate::time::timeout;

/// The sends that a stream leaves behind.
pub struct Finishing<R: Route>(pub(super) Sending<R>);

impl<R: Route> Future for Finishing<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for place in &mut self.0 {
            let Some(send) = place else { continue };
            let Poll::Ready((send, _)) = Pin::new(send).poll(cx) else { return Poll::Pending };
            // A failure has nobody left to be told.
            recycle(send.buffer);
            *place = None;
        }
        Poll::Ready(())
    }
}

/// By a task of the runtime. Outside of it nothing of theirs would run any more: they are cancelled.
pub(super) fn finish_here(sends: Finishing<Local>, limit: Duration) {
    if is_running() {
        drop(spawn(timeout(limit, sends)));
    }
}

/// By the wakes of the operations themselves: no executor is known here.
pub(super) fn finish_there(handle: &Handle, sends: Finishing<Handle>, limit: Duration) {
    let timer = handle.future(Timer::new(handle.clock().now() + limit));
    let left = Left { parts: Mutex::new(Some((sends, timer))), again: AtomicBool::new(false) };
    Arc::new(left).poll();
}

/// Polls itself whenever it is woken.
struct Left {
    parts: Mutex<Option<(Finishing<Handle>, OperationFuture<Timer>)>>,
    /// It was woken while someone polled it.
    again: AtomicBool,
}

impl Left {
    /// Never blocks: whoever comes while another polls leaves it to that one to poll again.
    fn poll(self: &Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        self.again.store(true, Ordering::SeqCst);
        while self.again.load(Ordering::SeqCst) {
            let mut parts = match self.parts.try_lock() {
                Ok(parts) => parts,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            self.again.store(false, Ordering::SeqCst);
            if let Some((sends, timer)) = &mut *parts {
                if Pin::new(sends).poll(&mut cx).is_ready() || Pin::new(timer).poll(&mut cx).is_ready() {
                    *parts = None;
                }
            }
        }
    }
}

impl Wake for Left {
    fn wake(self: Arc<Self>) {
        self.poll();
    }
}
