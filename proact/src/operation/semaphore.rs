//! Waiting for timeline semaphores and signalling them, as operations.

use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;

use super::engine::Gate;
use super::kind::{Class, Kind, Portable, sealed::Sealed};
use crate::backend::Request;
use crate::causal::{Frontier, Knowledge};
use crate::heap::HeapKey;
use crate::resource::Home;
use crate::status::{Code, Operation, Result, Status};
use crate::sync::{Export, Semaphore};

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
/// | all | by the poll thread, without a system call |
/// | in a kernel chain | behind another step, for one semaphore whose value was [exported] (below); else step by step |
///
/// # In the kernel
///
/// Where exactly the value that is signalled has been [exported], the kernel itself writes the export's descriptor as
/// soon as the step before has succeeded, and goes on with the chain: whoever polls the descriptor, in this process or
/// another, hears of it with no return to this program. The semaphore itself rises when the poll thread takes the
/// completion in, before any callback. [`Statistics::signals_lowered`] counts these.
///
/// What was told cannot be taken back: when the semaphore has failed meanwhile, or another signal was as high, the step
/// fails as it would have anyway, but the descriptor stays readable, and steps behind it may have run. Of several
/// exports of the value the kernel writes the first; the others are written when the semaphore rises.
///
/// [exported]: Semaphore::export_pollable
/// [`Statistics::signals_lowered`]: crate::proactor::Statistics::signals_lowered
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
    /// What the kernel writes, while the signal is lowered: held, so that it stays open.
    exported: Option<Arc<Export>>,
}

impl SemaphoreSignal {
    /// Raises `semaphore` to `value`.
    pub fn new(semaphore: Semaphore, value: u64) -> SemaphoreSignal {
        SemaphoreSignal::many(vec![(semaphore, value)])
    }

    /// Raises each semaphore to its value.
    pub fn many(signals: Vec<(Semaphore, u64)>) -> SemaphoreSignal {
        SemaphoreSignal { signals, frontier: None, exported: None }
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
    const ADOPTS: bool = true;

    fn lowered(&mut self) -> Option<Request> {
        self.exported = None;
        let [(semaphore, value)] = &self.signals[..] else { return None };
        // One that is refused now must not be told by the kernel.
        let export = semaphore.exports().at(*value)?;
        if semaphore.value() >= *value || semaphore.status().is_some() {
            return None;
        }
        let event = export.descriptor();
        self.exported = Some(export);
        Some(Request::EventSet { event })
    }

    fn adopt(&mut self, _: i32, location: &'static Location<'static>) -> Result<i32> {
        if let Some(export) = self.exported.take() {
            export.told_by_kernel();
        }
        self.perform(location)
    }

    fn abandon(&mut self, _: &Status, _: bool) {
        self.exported = None;
    }

    fn perform(&mut self, location: &'static Location<'static>) -> Result<i32> {
        self.exported = None;
        let causes = self.frontier.as_ref();
        self.signals.iter().try_for_each(|(semaphore, value)| semaphore.signal_at(*value, causes, location))?;
        Ok(0)
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}
