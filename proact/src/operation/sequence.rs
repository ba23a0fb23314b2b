//! Sequences: one operation made of steps.

use std::any::TypeId;
use std::fmt;
use std::ptr::NonNull;

use super::chain::Lowering;
use super::context::Context;
use super::kind::{Class, Kind, Portable, sealed::Sealed};
use super::op::{AnyOp, Ended, Header, Op, Outcome, Table, Vtable};
use crate::resource::Home;
use crate::status::{Operation, Result};

/// Runs steps one after another and completes once: when the last has succeeded, or with the first failure.
///
/// Without a step function it runs as a [`Chain`](super::Chain) does, and is lowered like one. With
/// [`Sequence::on_step`], the function runs between any two steps on the poll thread, may change the parameters of
/// those to come, and may end the sequence; such a sequence is never lowered.
///
/// Steps are kinds; they have no callback of their own. Their results stay in the sequence, to be read at its end. A
/// step may be a sequence or a [`Group`](super::Group) itself.
///
/// | backend | path |
/// |---|---|
/// | all | the proactor's own, each step by its own path |
/// | in the kernel | where a [`Chain`](super::Chain) of the steps would be |
///
/// # Errors
/// The first failure of a step, or of the step function. At submit what any of its steps is refused for, and
/// `InvalidArgument` for a multishot operation as a step.
///
/// ```
/// # use proact::operation::{Complete, Context, Nop, Op, Outcome, Sequence, Timer};
/// # use proact::time::Timeout;
/// struct Told(std::sync::mpsc::Sender<usize>);
/// impl Complete<Sequence> for Told {
///     fn done(op: Box<Op<Sequence, Self>>, outcome: Outcome<Sequence>, _: &mut Context<'_>) {
///         outcome.result.unwrap();
///         assert!(op.kind.result::<Timer>(1).unwrap().is_ok());
///         op.state.0.send(op.kind.len()).unwrap();
///     }
/// }
/// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// # let now = proactor.now();
/// let sequence = Sequence::new().step(Nop).step(Timer::new(now)).on_step(|step| {
///     if step.completed() == 0 {
///         step.kind_mut::<Timer>(1).unwrap().deadline = proact::time::Time::ORIGIN;
///     }
///     Ok(())
/// });
/// let (sender, receiver) = std::sync::mpsc::channel();
/// proactor.submit(Op::new(sequence, Told(sender))).unwrap();
/// # while proactor.pending() > 0 { proactor.poll(Timeout::Infinite).unwrap(); }
/// assert_eq!(receiver.recv().unwrap(), 2);
/// ```
pub struct Sequence {
    state: SequenceState,
}

type StepFn = Box<dyn FnMut(&mut Step<'_>) -> Result<()> + Send>;

/// What the engine works on. Hidden.
pub struct SequenceState {
    pub(super) steps: Vec<AnyOp>,
    /// The steps' slots, while in flight. As many as steps.
    pub(super) slots: Vec<u32>,
    pub(super) on_step: Option<StepFn>,
    pub(super) lowering: Lowering,
    /// The first failure that is no cancellation.
    pub(super) failure: Option<crate::status::Status>,
    /// Steps that have not ended.
    pub(super) left: usize,
    /// All steps run side by side: a [`Group`](super::Group).
    pub(super) parallel: bool,
}

impl SequenceState {
    pub(super) fn new(parallel: bool) -> SequenceState {
        SequenceState {
            steps: Vec::new(),
            slots: Vec::new(),
            on_step: None,
            lowering: Lowering::Auto,
            failure: None,
            left: 0,
            parallel,
        }
    }

    /// Adds a step.
    #[track_caller]
    pub(super) fn push<K: Kind + Send>(&mut self, kind: K) {
        self.steps.push(StepStorage::make(kind));
        self.slots.push(u32::MAX);
    }
}

// SAFETY: steps are made from `Send` kinds and plain step storage, the step function is `Send`, and the engine alone
// touches any of it while the sequence is in flight.
unsafe impl Send for Sequence {}

impl Sequence {
    /// A sequence without steps, which succeeds at once.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Sequence {
        Sequence { state: SequenceState::new(false) }
    }

    /// Adds a step.
    #[must_use]
    #[track_caller]
    pub fn step<K: Kind + Send>(mut self, kind: K) -> Sequence {
        self.state.push(kind);
        self
    }

    /// Runs `f` after each step that has succeeded, also after the last. A failure that it returns ends the sequence
    /// with that failure, and no later step runs.
    #[must_use]
    pub fn on_step(mut self, f: impl FnMut(&mut Step<'_>) -> Result<()> + Send + 'static) -> Sequence {
        self.state.on_step = Some(Box::new(f));
        self
    }

    /// Says whether the kernel takes the steps, where there is a choice.
    #[must_use]
    pub fn lowering(mut self, lowering: Lowering) -> Sequence {
        self.state.lowering = lowering;
        self
    }

    /// How many steps it has.
    pub fn len(&self) -> usize {
        self.state.steps.len()
    }

    /// Whether it has no steps.
    pub fn is_empty(&self) -> bool {
        self.state.steps.is_empty()
    }

    /// The result of step `index` in the last flight. `None` if there is no such step, its kind is another, or it was
    /// not reached.
    pub fn result<K: Kind>(&self, index: usize) -> Option<&Result<K::Output>> {
        result_of::<K>(&self.state.steps, index)
    }

    /// Takes the result of step `index` out.
    pub fn take_result<K: Kind>(&mut self, index: usize) -> Option<Result<K::Output>> {
        take_result_of::<K>(&mut self.state.steps, index)
    }

    /// The parameters of step `index`, if it is of that kind.
    pub fn kind<K: Kind>(&self, index: usize) -> Option<&K> {
        storage::<K>(&self.state.steps, index).map(|op| &op.kind)
    }

    /// The parameters of step `index`, to be changed before the next flight.
    pub fn kind_mut<K: Kind>(&mut self, index: usize) -> Option<&mut K> {
        storage_mut::<K>(&mut self.state.steps, index).map(|op| &mut op.kind)
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.state.steps).finish()
    }
}

impl Sealed for Sequence {}

impl Kind for Sequence {
    type Output = ();
    const OPERATION: Operation = Operation::Sequence;
    const CLASS: Class = Class::Sequence;

    fn validate(&mut self, home: Home) -> Result<()> {
        self.state.failure = None;
        for step in &self.state.steps {
            let raw = step.raw();
            // SAFETY: the sequence owns its steps, and is not in flight.
            unsafe { (raw.as_ref().table.validate)(raw, home) }?;
        }
        Ok(())
    }

    fn portable(&mut self) -> Portable {
        Portable::Sequence(NonNull::from(&mut self.state))
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}

/// Where a sequence stands, for its step function.
pub struct Step<'a> {
    pub(super) steps: &'a mut [AnyOp],
    pub(super) completed: usize,
}

impl Step<'_> {
    /// The index of the step that has just succeeded.
    pub fn completed(&self) -> usize {
        self.completed
    }

    /// The index of the next step, if there is one.
    pub fn next(&self) -> Option<usize> {
        (self.completed + 1 < self.steps.len()).then_some(self.completed + 1)
    }

    /// The result of a step that has ended.
    pub fn result<K: Kind>(&self, index: usize) -> Option<&Result<K::Output>> {
        result_of::<K>(self.steps, index)
    }

    /// Takes the result of a step out: an opened file, for the step that reads it.
    pub fn take_result<K: Kind>(&mut self, index: usize) -> Option<Result<K::Output>> {
        take_result_of::<K>(self.steps, index)
    }

    /// The parameters of a step. `None` also for a step that is itself a sequence: its steps are in flight with this
    /// one, and are not to be changed or taken away.
    pub fn kind_mut<K: Kind>(&mut self, index: usize) -> Option<&mut K> {
        if K::CLASS == Class::Sequence {
            // The engine holds pointers to the inner steps, and their places in their streams, from submit on.
            return None;
        }
        storage_mut::<K>(self.steps, index).map(|op| &mut op.kind)
    }
}

/// The state of an operation that is a step: it keeps the outcome.
pub(super) struct StepStorage<K: Kind> {
    pub(super) outcome: Option<Outcome<K>>,
}

impl<K: Kind> StepStorage<K> {
    const TABLE: Vtable = Table::<K, StepStorage<K>>::with(keep::<K>, |_, _, _| (), forget::<K>);

    #[track_caller]
    fn make(kind: K) -> AnyOp {
        let op = Box::new(Op::with_table(&Self::TABLE, kind, StepStorage::<K> { outcome: None }));
        // SAFETY: `Box::into_raw` never answers null; the header is at the operation's address.
        unsafe { AnyOp::from_raw(NonNull::new_unchecked(Box::into_raw(op).cast::<Header>())) }
    }
}

/// The step's `deliver`: the storage stays where it is, the sequence owns it.
unsafe fn keep<K: Kind>(raw: NonNull<Header>, ended: Ended, cx: &mut Context<'_>) {
    // SAFETY: the engine calls this for a step that has ended, of a sequence in flight, so nothing else refers to it.
    let op = unsafe { &mut *raw.cast::<Op<K, StepStorage<K>>>().as_ptr() };
    let Ended { result, moved, marks } = ended;
    let result = result.and_then(|value| op.kind.settle(value, cx.home()));
    op.state.outcome = Some(Outcome { result, moved, marks });
}

/// The step's `reset`: what the last flight yielded is forgotten.
unsafe fn forget<K: Kind>(raw: NonNull<Header>) {
    // SAFETY: called at submit, when the sequence, and so the step, belongs to the batch being admitted.
    unsafe { (*raw.cast::<Op<K, StepStorage<K>>>().as_ptr()).state.outcome = None };
}

/// What step `index` has ended with. `None` if there is no such step, its kind is another, or it has not ended.
pub(super) fn result_of<K: Kind>(steps: &[AnyOp], index: usize) -> Option<&Result<K::Output>> {
    storage::<K>(steps, index)?.state.outcome.as_ref().map(|outcome| &outcome.result)
}

/// Takes it out.
pub(super) fn take_result_of<K: Kind>(steps: &mut [AnyOp], index: usize) -> Option<Result<K::Output>> {
    storage_mut::<K>(steps, index)?.state.outcome.take().map(|outcome| outcome.result)
}

pub(super) fn storage<K: Kind>(steps: &[AnyOp], index: usize) -> Option<&Op<K, StepStorage<K>>> {
    let raw = checked::<K>(steps, index)?;
    // SAFETY: the types match, and the borrow of `steps` is one of the step.
    Some(unsafe { &*raw.cast().as_ptr() })
}

pub(super) fn storage_mut<K: Kind>(steps: &mut [AnyOp], index: usize) -> Option<&mut Op<K, StepStorage<K>>> {
    let raw = checked::<K>(steps, index)?;
    // SAFETY: the types match, and the exclusive borrow of `steps` is one of the step.
    Some(unsafe { &mut *raw.cast().as_ptr() })
}

fn checked<K: Kind>(steps: &[AnyOp], index: usize) -> Option<NonNull<Header>> {
    let raw = steps.get(index)?.raw();
    // SAFETY: the step is owned by the slice's owner.
    let types = unsafe { (raw.as_ref().table.type_id)() };
    (types == (TypeId::of::<K>(), TypeId::of::<StepStorage<K>>())).then_some(raw)
}
