//! Waiting for timeline semaphores and signalling them, as operations.

use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;

use super::engine::Gate;
use super::kind::{Class, Kind, Portable, sealed::Sealed};
use crate::causal::{Frontier, Knowledge};
use crate::heap::HeapKey;
use crate::resource::Home;
use crate::status::{Code, Operation, Result, Status};
use crate::sync::Semaphore;

/// When a wait on several semaphores is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WaitMode {
    /// When every one has reached its value.
    All,
    /// When the first one has.
    Any,
}

/// Waits until semaphores reach values. A wait for a value that is signalled only later may be submitted now.
///
/// A semaphore that fails before it reaches its value fails the wait, with its own failure; so does one that failed
/// before. One that reached its value counts as reached, also when it failed later. Semaphores belong to no proactor:
/// any may wait for them, and any thread signal them.
///
/// | backend | path |
/// |---|---|
/// | io_uring | the proactor's own |
/// | in a kernel chain | at its head: a read of a private eventfd (Linux 5.6; `KERNEL_WAIT_CHAINS`) |
/// | epoll, poll | the proactor's own: the signaller puts the wait on the poll thread's list and wakes it |
///
/// # Errors
/// The semaphore's failure. At submit `InvalidArgument` for a wait for any of no semaphores.
///
/// ```
/// use proact::operation::{Op, SemaphoreWait};
/// use proact::sync::Semaphore;
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let (left, right) = (Semaphore::new(0), Semaphore::new(0));
/// let both = SemaphoreWait::all(vec![(left.clone(), 1), (right.clone(), 7)]);
/// proactor.submit(Op::new(both, ())).unwrap();
/// left.signal(1, None)?;
/// right.signal(7, None)?;
/// proactor.run()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Debug)]
pub struct SemaphoreWait {
    state: WaitState,
}

/// What the engine works on. Hidden.
#[derive(Debug)]
pub struct WaitState {
    pub(super) mode: WaitMode,
    pub(super) semaphores: Vec<(Semaphore, u64)>,
    /// The place in each semaphore's queue, while in flight. As many as semaphores: arming allocates nothing.
    pub(super) keys: Vec<Option<HeapKey>>,
    /// What the kernel reads, while the wait is lowered.
    pub(super) gate: Option<Arc<Gate>>,
    /// Whether this wait is counted by its first semaphore as lowered.
    pub(super) reached: Option<Reached>,
}

/// What a wait yields.
#[derive(Clone, Debug)]
pub struct Reached {
    /// Which semaphore ended an [`Any`](WaitMode::Any) wait; 0 for [`All`](WaitMode::All).
    pub index: usize,
    /// The causes of the values waited for, merged: what is known to have happened before.
    pub causes: Knowledge,
}

impl SemaphoreWait {
    /// Waits until `semaphore` reaches `value`.
    pub fn new(semaphore: Semaphore, value: u64) -> SemaphoreWait {
        SemaphoreWait::many(WaitMode::All, vec![(semaphore, value)])
    }

    /// Waits until every semaphore has reached its value. An empty list is reached at once.
    pub fn all(semaphores: Vec<(Semaphore, u64)>) -> SemaphoreWait {
        SemaphoreWait::many(WaitMode::All, semaphores)
    }

    /// Waits until the first semaphore reaches its value. An empty list is refused at submit: it never would.
    pub fn any(semaphores: Vec<(Semaphore, u64)>) -> SemaphoreWait {
        SemaphoreWait::many(WaitMode::Any, semaphores)
    }

    fn many(mode: WaitMode, semaphores: Vec<(Semaphore, u64)>) -> SemaphoreWait {
        let keys = semaphores.iter().map(|_| None).collect();
        SemaphoreWait { state: WaitState { mode, semaphores, keys, gate: None, reached: None } }
    }

    /// Changes the value that semaphore `index` is waited for: the same storage for the next value of a timeline.
    ///
    /// # Panics
    ///
    /// If there is no such semaphore.
    pub fn set_value(&mut self, index: usize, value: u64) {
        self.state.semaphores[index].1 = value;
    }
}

impl Sealed for SemaphoreWait {}

impl Kind for SemaphoreWait {
    type Output = Reached;
    const OPERATION: Operation = Operation::SemaphoreWait;
    const CLASS: Class = Class::SemaphoreWait;

    fn validate(&mut self, _: Home) -> Result<()> {
        if self.state.mode == WaitMode::Any && self.state.semaphores.is_empty() {
            return Err(Status::new(Code::InvalidArgument, Self::OPERATION)
                .with_message("a wait for any of no semaphores would never end"));
        }
        Ok(())
    }

    fn portable(&mut self) -> Portable {
        Portable::Wait(NonNull::from(&mut self.state))
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<Reached> {
        match self.state.reached.take() {
            Some(reached) => Ok(reached),
            None => Err(Status::new(Code::Internal, Self::OPERATION).with_message("a wait ended without its answer")),
        }
    }
}

/// Signals semaphores, in order, when its turn in the chain comes. Stops at the first that refuses.
///
/// | backend | path |
/// |---|---|
/// | all | by the poll thread, without a system call; a chain with this step is run step by step |
///
/// # Errors
/// `InvalidArgument` for a value that is not above the semaphore's present one, or above [`Semaphore::VALUE_MAX`]; the
/// semaphore's failure, if it has failed. Signals before the one that is refused have happened.
///
/// ```
/// use proact::operation::{Chain, Nop, Op, SemaphoreSignal};
/// use proact::sync::Semaphore;
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let done = Semaphore::new(0);
/// let signal = Op::new(SemaphoreSignal::new(done.clone(), 1), ());
/// proactor.submit(Chain::new((Op::new(Nop, ()), signal))).unwrap();
/// proactor.run()?;
/// assert_eq!(done.value(), 1);
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Debug)]
pub struct SemaphoreSignal {
    signals: Vec<(Semaphore, u64)>,
    frontier: Option<Frontier>,
}

impl SemaphoreSignal {
    /// Raises `semaphore` to `value`.
    pub fn new(semaphore: Semaphore, value: u64) -> SemaphoreSignal {
        SemaphoreSignal::many(vec![(semaphore, value)])
    }

    /// Raises each semaphore to its value.
    pub fn many(signals: Vec<(Semaphore, u64)>) -> SemaphoreSignal {
        SemaphoreSignal { signals, frontier: None }
    }

    /// Attaches what happened before: whoever waits for these values learns it.
    #[must_use]
    pub fn with_frontier(mut self, frontier: Frontier) -> SemaphoreSignal {
        self.frontier = Some(frontier);
        self
    }

    /// Changes the value that semaphore `index` is raised to.
    ///
    /// # Panics
    ///
    /// If there is no such semaphore.
    pub fn set_value(&mut self, index: usize, value: u64) {
        self.signals[index].1 = value;
    }
}

impl Sealed for SemaphoreSignal {}

impl Kind for SemaphoreSignal {
    type Output = ();
    const OPERATION: Operation = Operation::SemaphoreSignal;
    const CLASS: Class = Class::Immediate;

    fn perform(&mut self, location: &'static Location<'static>) -> Result<i32> {
        let causes = self.frontier.as_ref();
        self.signals.iter().try_for_each(|(semaphore, value)| semaphore.signal_at(*value, causes, location))?;
        Ok(0)
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}
