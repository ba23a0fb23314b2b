//! Groups: operations side by side, as one.

use std::fmt;
use std::ptr::NonNull;

use super::kind::{Class, Kind, Portable, sealed::Sealed};
use super::sequence::{SequenceState, result_of, storage, storage_mut, take_result_of};
use crate::resource::Home;
use crate::status::{Operation, Result};

/// Runs members side by side and completes once, when all of them have ended: with success, or with the first failure.
///
/// The first failure cancels the members that still run. A group may be a step of a [`Sequence`](super::Sequence), and
/// a sequence a member of a group, to any depth: "when both files are open, send".
///
/// Members are kinds; they have no callback of their own. Their results stay in the group, to be read at its end.
///
/// ```
/// # use proact::operation::{Complete, Context, Group, Nop, Op, Outcome, Timer};
/// struct Told;
/// impl Complete<Group> for Told {
///     fn done(op: Box<Op<Group, Self>>, outcome: Outcome<Group>, _: &mut Context<'_>) {
///         outcome.result.unwrap();
///         assert!(op.kind.result::<Timer>(1).unwrap().is_ok());
///     }
/// }
/// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// let group = Group::new().with(Nop).with(Timer::new(proactor.now()));
/// proactor.submit(Op::new(group, Told)).unwrap();
/// proactor.run().unwrap();
/// ```
pub struct Group {
    state: SequenceState,
}

// SAFETY: as for a sequence: members are made from `Send` kinds and plain step storage, there is no step function, and
// the engine alone touches any of it while the group is in flight.
unsafe impl Send for Group {}

impl Group {
    /// A group without members, which succeeds at once.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Group {
        Group { state: SequenceState::new(true) }
    }

    /// Adds a member.
    #[must_use]
    #[track_caller]
    pub fn with<K: Kind + Send>(mut self, kind: K) -> Group {
        self.state.push(kind);
        self
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        self.state.steps.len()
    }

    /// Whether it has no members.
    pub fn is_empty(&self) -> bool {
        self.state.steps.is_empty()
    }

    /// The result of member `index` in the last flight. `None` if there is no such member, or its kind is another.
    pub fn result<K: Kind>(&self, index: usize) -> Option<&Result<K::Output>> {
        result_of::<K>(&self.state.steps, index)
    }

    /// Takes the result of member `index` out.
    pub fn take_result<K: Kind>(&mut self, index: usize) -> Option<Result<K::Output>> {
        take_result_of::<K>(&mut self.state.steps, index)
    }

    /// The parameters of member `index`, if it is of that kind.
    pub fn kind<K: Kind>(&self, index: usize) -> Option<&K> {
        storage::<K>(&self.state.steps, index).map(|op| &op.kind)
    }

    /// The parameters of member `index`, to be changed before the next flight.
    pub fn kind_mut<K: Kind>(&mut self, index: usize) -> Option<&mut K> {
        storage_mut::<K>(&mut self.state.steps, index).map(|op| &mut op.kind)
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.state.steps).finish()
    }
}

impl Sealed for Group {}

impl Kind for Group {
    type Output = ();
    const OPERATION: Operation = Operation::Group;
    const CLASS: Class = Class::Sequence;

    fn portable(&mut self) -> Portable {
        Portable::Sequence(NonNull::from(&mut self.state))
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}
