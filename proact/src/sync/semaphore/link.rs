//! Links: a semaphore that signals another.

use std::fmt;
use std::sync::Arc;

use super::node::{Action, Ended, Entry, Node, Work, signal};
use super::{Armed, Semaphore, WeakSemaphore};
use crate::heap::HeapKey;
use crate::status::{Code, Operation, Result, Status};

/// A promise of [`Semaphore::link`]. Dropping it takes it back; [`SemaphoreLink::detach`] makes it last.
#[must_use = "a link that is dropped is taken back: detach it if it is to stay"]
pub struct SemaphoreLink {
    /// `None`: there was nothing to wait for.
    armed: Option<(WeakSemaphore, HeapKey)>,
}

impl Semaphore {
    /// When this semaphore reaches `value`, signals `target` with `target_value`: on the thread that signalled this
    /// one, before its signal returns.
    ///
    /// - The causes of `value` are the causes of `target_value`: exact ones stay exact, a lower bound stays one.
    /// - A target that is at or past `target_value` by then is left as it is. That is no error: what the link promised
    ///   is so.
    /// - If this semaphore fails first, the target fails with the same status, text and all.
    /// - If this semaphore is dropped first, the target fails, Cancelled.
    /// - If the target has failed, nothing happens.
    ///
    /// A value that was reached already, and a failure that was there already, is passed on before this returns.
    ///
    /// Links make chains and circles of any length. They are followed one after another, not one inside another, under
    /// no lock; and each is followed once, so that a circle ends. A link keeps its target alive, and not its source:
    /// semaphores that are linked in a circle by detached links, and never signalled or failed, keep each other alive
    /// for ever.
    ///
    /// This makes one allocation, and following a link none, unless causes of more than four entries meet a history
    /// that has not held as many before.
    ///
    /// ```
    /// use proact::causal::{Axis, Frontier};
    /// use proact::sync::Semaphore;
    /// let (read, ready) = (Semaphore::new(0), Semaphore::new(0));
    /// let link = read.link(2, &ready, 1)?;
    /// let causes = Frontier::single(Axis::queue(0, 0, 0, 0), 7)?;
    /// read.signal(2, Some(&causes))?;
    /// assert_eq!(ready.value(), 1);
    /// assert_eq!(ready.causes(1).unwrap().requirement(), Some(&causes));
    /// assert!(!link.unlink()); // too late
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// InvalidArgument if `target` is this semaphore, or `target_value` is above [`Semaphore::VALUE_MAX`].
    #[track_caller]
    pub fn link(&self, value: u64, target: &Semaphore, target_value: u64) -> Result<SemaphoreLink> {
        let refused = |why: &'static str| {
            let status = Status::new(Code::InvalidArgument, Operation::SemaphoreSignal).with_message(why);
            Err(target.inner.about(status))
        };
        if Arc::ptr_eq(&self.inner, &target.inner) {
            return refused("a semaphore cannot be linked to itself");
        }
        if target_value > Semaphore::VALUE_MAX {
            return refused("a link to a value above the largest value would never be kept");
        }
        let node = Node::new(Action::Signal { target: target.clone(), value: target_value }, 1);
        let armed = match self.arm_entry(value, Entry::Node(node, 0)) {
            Armed::Pending(key) => Some((self.downgrade(), key)),
            Armed::Reached => {
                let causes = self.inner.lock().history.causes(value);
                let mut work = Work::new();
                signal(&target.inner, target_value, Ended::Reached { index: 0, causes: Some(causes) }, &mut work);
                None
            }
            Armed::Failed(status) => {
                let mut work = Work::new();
                signal(&target.inner, target_value, Ended::Failed(status), &mut work);
                None
            }
        };
        Ok(SemaphoreLink { armed })
    }
}

impl SemaphoreLink {
    /// Takes the link back. `true`: it was not followed, and never will be. `false`: too late: the target was told, or
    /// is being told by another thread.
    pub fn unlink(mut self) -> bool {
        self.take_back()
    }

    /// Lets the link stay, for as long as its source lives.
    pub fn detach(mut self) {
        self.armed = None;
    }

    fn take_back(&mut self) -> bool {
        let Some((source, key)) = self.armed.take() else { return false };
        // Of a source that is gone the target has heard.
        source.upgrade().is_some_and(|source| source.disarm(key))
    }
}

impl Drop for SemaphoreLink {
    fn drop(&mut self) {
        self.take_back();
    }
}

impl fmt::Debug for SemaphoreLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.armed.as_ref().and_then(|(source, _)| source.upgrade());
        f.debug_struct("SemaphoreLink").field("source", &source).finish()
    }
}
