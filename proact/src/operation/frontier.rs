//! Waiting for a frontier, as an operation.

use std::ptr::NonNull;

use super::kind::{Class, Kind, Portable, sealed::Sealed};
use crate::causal::Frontier;
use crate::resource::Home;
use crate::status::{Operation, Result};
use crate::sync::{Tracker, Watch};

/// Waits until every axis of a frontier has come as far, as its [`Tracker`] knows. An empty frontier is reached at
/// once.
///
/// An axis that fails, or is retired, fails the wait with its own failure, though other axes are pending and this one
/// had come as far. A tracker belongs to no proactor: any may wait, any thread may advance. The wait keeps no tracker
/// open: when the last handle is dropped, it ends `Cancelled`.
///
/// | backend | path |
/// |---|---|
/// | all | the proactor's own: who advances puts the wait on the poll thread's list and wakes it |
///
/// # Errors
/// `NotFound` for an axis that is not registered. The failure of the first axis that has failed, `Cancelled` for one
/// that was retired. `InvalidArgument` for an epoch above [`Tracker::EPOCH_MAX`].
///
/// ```
/// use proact::causal::{Axis, Frontier};
/// use proact::operation::{FrontierWait, Op};
/// use proact::sync::Tracker;
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let tracker = Tracker::new();
/// let axis = tracker.register(Axis::queue(1, 0, 0, 0))?;
/// let wait = FrontierWait::new(&tracker, Frontier::single(axis.axis(), 3)?);
/// proactor.submit(Op::new(wait, ())).unwrap();
/// axis.advance(3)?;
/// proactor.run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FrontierWait {
    state: FrontierState,
}

/// What the engine works on. Hidden.
#[derive(Debug)]
pub struct FrontierState {
    pub(super) watch: Watch,
}

impl FrontierWait {
    /// Waits until `frontier` has been reached.
    pub fn new(tracker: &Tracker, frontier: Frontier) -> FrontierWait {
        FrontierWait { state: FrontierState { watch: tracker.watch(frontier) } }
    }

    /// Waits for another frontier of the same tracker the next time. Allocates only for more axes than ever before.
    pub fn set_frontier(&mut self, frontier: &Frontier) {
        self.state.watch.set(frontier);
    }
}

impl Sealed for FrontierWait {}

impl Kind for FrontierWait {
    type Output = ();
    const OPERATION: Operation = Operation::FrontierWait;
    const CLASS: Class = Class::FrontierWait;

    fn portable(&mut self) -> Portable {
        Portable::Frontier(NonNull::from(&mut self.state))
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}
