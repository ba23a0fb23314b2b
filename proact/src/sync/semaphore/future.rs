//! Waiting for a value as a future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::node::{Action, Entry, Node};
use super::{Armed, Semaphore};
use crate::causal::Knowledge;
use crate::heap::HeapKey;
use crate::status::Result;

/// Of [`Semaphore::future`].
///
/// It may be dropped at any time, and moved, and polled with another waker each time: the last one is woken.
#[must_use = "a future does nothing unless it is polled"]
pub struct SemaphoreFuture {
    semaphore: Semaphore,
    value: u64,
    /// What stands in the semaphore's line, from the first poll that found nothing.
    armed: Option<(Arc<Node>, HeapKey)>,
}

impl Semaphore {
    /// A future that ends when the semaphore has reached `value`, and yields what that was caused by, or the failure if
    /// the semaphore fails first.
    ///
    /// It needs no proactor and runs under any executor. The waker is called by the thread that signals, under no lock;
    /// futures of one signal are woken by ascending value, first come first served at equal values. The first poll that
    /// finds the value not reached makes one allocation, later ones none but what the waker's clone makes. Polled again
    /// after its end it answers the same again.
    ///
    /// ```
    /// use std::future::Future;
    /// use std::pin::pin;
    /// use std::task::{Context, Poll, Waker};
    /// use proact::sync::Semaphore;
    ///
    /// let semaphore = Semaphore::new(0);
    /// let mut future = pin!(semaphore.future(2));
    /// let mut cx = Context::from_waker(Waker::noop());
    /// assert!(future.as_mut().poll(&mut cx).is_pending());
    /// semaphore.signal(2, None)?;
    /// let Poll::Ready(Ok(causes)) = future.as_mut().poll(&mut cx) else { panic!() };
    /// assert!(causes.is_exact());
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    pub fn future(&self, value: u64) -> SemaphoreFuture {
        SemaphoreFuture { semaphore: self.clone(), value, armed: None }
    }

    /// What waiting for `value` has come to, if it has ended.
    pub(super) fn settled(&self, value: u64) -> Option<Result<Knowledge>> {
        // The failure first: a value does not rise after it, so what is not reached then never is.
        let failure = self.status();
        match self.causes(value) {
            Some(causes) => Some(Ok(causes)),
            None => failure.map(Err),
        }
    }
}

impl SemaphoreFuture {
    fn end(&mut self) {
        if let Some((_, key)) = self.armed.take() {
            self.semaphore.disarm(key);
        }
    }
}

impl Future for SemaphoreFuture {
    type Output = Result<Knowledge>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Knowledge>> {
        let this = &mut *self;
        if let Some((node, _)) = &this.armed {
            if node.wake_later(cx.waker()) {
                return Poll::Pending;
            }
        } else if this.semaphore.value() < this.value {
            let node = Node::new(Action::Wake, 1);
            node.lock().waker = Some(cx.waker().clone());
            match this.semaphore.arm_entry(this.value, Entry::Node(node.clone(), 0)) {
                Armed::Pending(key) => {
                    this.armed = Some((node, key));
                    return Poll::Pending;
                }
                Armed::Reached => {}
                Armed::Failed(status) => return Poll::Ready(Err(status)),
            }
        }
        this.end();
        let settled = this.semaphore.settled(this.value);
        Poll::Ready(settled.expect("who was told finds the value reached, or the semaphore failed"))
    }
}

impl Drop for SemaphoreFuture {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for SemaphoreFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphoreFuture").field("semaphore", &self.semaphore).field("value", &self.value).finish()
    }
}
