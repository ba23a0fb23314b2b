//! What an invocation waits for, where and in which order it runs, and whom its end is told.

use proact::causal::Frontier;
use proact::sync::{Semaphore, Tracker};
use proact::time::Timeout;

use super::Invocation;
use crate::stack::StackLimits;

/// What becomes of the semaphores that an invocation was to signal when it fails, is cancelled or aborted.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum OnFailure {
    /// They fail, with the code and words of the failure: who waits for them fails as well.
    #[default]
    Fail,
    /// They are signalled all the same, *tainted*: the value is reached, and nobody vouches for what it was caused by.
    /// For cleaning up behind a call, whatever became of it.
    SignalTainted,
    /// They are left as they are: someone else signals them, or fails them.
    Leave,
}

/// How an invocation is to be run: see [`Executor`](crate::executor::Executor).
///
/// With waits and signals an invocation is a point of a timeline: it begins when what it waits for has come to pass,
/// and its end is signalled with its causes. Those are the causes of all that it waited for, by its policy and in its
/// functions, joined. They are exact where each wait was for semaphores, frontiers, times or other invocations. A wait
/// for a future of any other kind, or one that failed, leaves a lower bound: what it signals is then tainted.
///
/// ```
/// use std::time::Duration;
/// use proact::sync::Semaphore;
/// use proact_vm::{OnFailure, Policy};
///
/// let (loaded, done) = (Semaphore::new(0), Semaphore::new(0));
/// let policy = Policy::new()
///     .priority(10)
///     .deadline(Duration::from_secs(5))
///     .wait_for(&loaded, 1)
///     .signal(&done, 1)
///     .on_failure(OnFailure::SignalTainted);
/// # let _ = policy;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Policy {
    pub(crate) priority: i32,
    pub(crate) deadline: Timeout,
    pub(crate) queue: Option<String>,
    pub(crate) semaphores: Vec<(Semaphore, u64)>,
    pub(crate) frontiers: Vec<(Tracker, Frontier)>,
    pub(crate) signals: Vec<(Semaphore, u64)>,
    pub(crate) on_failure: OnFailure,
    pub(crate) traced: bool,
    pub(crate) inline: bool,
    pub(crate) limits: StackLimits,
}

impl Policy {
    /// Priority 0 on the executor's first queue, no deadline, nothing to wait for, nothing to signal.
    ///
    /// The stack begins at 1 KiB, unlike that of other calls: of stateful invocations many may wait at once.
    pub fn new() -> Policy {
        Policy {
            priority: 0,
            deadline: Timeout::Infinite,
            queue: None,
            semaphores: Vec::new(),
            frontiers: Vec::new(),
            signals: Vec::new(),
            on_failure: OnFailure::Fail,
            traced: false,
            inline: false,
            limits: StackLimits::new(StackLimits::INITIAL_MIN, 1 << 20).unwrap_or_default(),
        }
    }

    /// Of those that may run on its queue, the one with the highest priority does; of equal ones that with the earliest
    /// deadline, then the one that has been waiting for longest. Nothing is interrupted, and nothing grows older: a low
    /// priority runs when no higher one may.
    pub fn priority(mut self, priority: i32) -> Policy {
        self.priority = priority;
        self
    }

    /// When it must have ended, counted from its creation, on the executor's clock. One that has not begun by then
    /// fails with `DEADLINE_EXCEEDED`; one that waits is told so by its wait, and the stop after that is its end.
    pub fn deadline(mut self, deadline: impl Into<Timeout>) -> Policy {
        self.deadline = deadline.into();
        self
    }

    /// The queue that it runs on, and on no other. `NOT_FOUND` when it is created, if the executor has none such.
    pub fn queue(mut self, name: impl Into<String>) -> Policy {
        self.queue = Some(name.into());
        self
    }

    /// Begins when the semaphore has reached `value`, and all else that the policy waits for. It fails, without having
    /// begun, if the semaphore fails.
    pub fn wait_for(mut self, semaphore: &Semaphore, value: u64) -> Policy {
        self.semaphores.push((semaphore.clone(), value));
        self
    }

    /// Begins when the tracker has seen all of `frontier`. It fails, without having begun, if an axis fails.
    pub fn wait_for_frontier(mut self, tracker: &Tracker, frontier: Frontier) -> Policy {
        self.frontiers.push((tracker.clone(), frontier));
        self
    }

    /// Begins when another invocation is done, and knows its causes. It fails, without having begun, with that one.
    pub fn after(self, invocation: &Invocation) -> Policy {
        self.wait_for(&invocation.completion(), 1)
    }

    /// Signals `value` when it has ended, with its causes; several semaphores in the order of these calls. A value that
    /// the semaphore refuses, because it has come as far, is told by
    /// [`Invocation::refused_signal`](crate::Invocation::refused_signal).
    pub fn signal(mut self, semaphore: &Semaphore, value: u64) -> Policy {
        self.signals.push((semaphore.clone(), value));
        self
    }

    /// What becomes of these semaphores if it does not end well. One that could not be created signals and fails none.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Policy {
        self.on_failure = on_failure;
        self
    }

    /// Has the invocation tell what it does: as [`InvocationOptions::traced`](crate::InvocationOptions::traced).
    pub fn traced(mut self) -> Policy {
        self.traced = true;
        self
    }

    /// If it is traced, its time goes to the account of whoever runs it: as
    /// [`InvocationOptions::inline`](crate::InvocationOptions::inline).
    pub fn inline(mut self) -> Policy {
        self.inline = true;
        self
    }

    /// How large the stack may become.
    pub fn stack(mut self, limits: StackLimits) -> Policy {
        self.limits = limits;
        self
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::new()
    }
}
