//! A wait for a frontier: its place in the line of each axis that the frontier names.

use std::fmt;

use super::record::{Party, Place, Record, Refusal};
use super::{Inner, retired, unknown};
use crate::atomic::Arc;
use crate::causal::{Axis, Frontier};
use crate::status::{Code, Operation, Result, Status};

/// A frontier to be reached, and where it is waited for. Holds the tracker's storage, and is no handle on it.
pub(crate) struct Watch {
    inner: Arc<Inner>,
    frontier: Frontier,
    /// As many as entries, made before: arming allocates nothing here.
    places: Vec<Place>,
}

impl Watch {
    pub(super) fn new(inner: Arc<Inner>, frontier: Frontier) -> Watch {
        let mut watch = Watch { inner, frontier: Frontier::new(), places: Vec::new() };
        watch.set(&frontier);
        watch
    }

    /// How many axes it waits for.
    pub(crate) fn len(&self) -> usize {
        self.frontier.len()
    }

    /// Waits for another frontier the next time.
    pub(crate) fn set(&mut self, frontier: &Frontier) {
        self.disarm();
        self.frontier.clone_from(frontier);
        self.places.resize_with(self.frontier.len(), Place::default);
    }

    /// Puts the wait in line everywhere. Answers how many axes had been reached already: these do not tell. On an error
    /// it stands nowhere.
    ///
    /// # Errors
    /// `NotFound` for an axis that is not registered, the failure of the first entry whose axis has failed, though
    /// others before it are pending. `InvalidArgument` for an epoch that no axis can have.
    pub(crate) fn arm(&mut self, party: impl Fn(u32) -> Party) -> Result<u32> {
        self.find()?;
        let entries = self.frontier.entries();
        // All of them first: one that is pending must not hide one that has failed.
        for (entry, place) in entries.iter().zip(&self.places) {
            if let Some(failure) = self.inner.record(place.record).failure(entry.axis) {
                return Err(failure);
            }
        }
        let alone = entries.len() == 1;
        let mut reached = 0;
        let mut refused = None;
        for (index, (entry, place)) in entries.iter().zip(&mut self.places).enumerate() {
            let record = self.inner.record(place.record);
            match record.arm(place, entry.axis, entry.epoch, alone, || party(index as u32)) {
                Ok(true) => reached += 1,
                Ok(false) => {}
                Err(Refusal::Gone) => refused = Some(retired(format!("axis {}", entry.axis))),
                Err(Refusal::Failed(status)) => refused = Some(status),
            }
            if refused.is_some() {
                break;
            }
        }
        match refused {
            None => Ok(reached),
            Some(status) => {
                self.disarm();
                Err(status)
            }
        }
    }

    fn find(&mut self) -> Result<()> {
        for (entry, place) in self.frontier.entries().iter().zip(&mut self.places) {
            if entry.epoch > Record::EPOCH_MAX {
                return Err(too_late(Operation::FrontierWait, entry.axis, entry.epoch));
            }
            place.record = self.inner.find(entry.axis).ok_or_else(|| unknown(Operation::FrontierWait, entry.axis))?;
        }
        Ok(())
    }

    /// Takes the wait out of every line. Afterwards it is not told any more.
    pub(crate) fn disarm(&mut self) {
        for place in self.places.iter_mut().filter(|place| place.watched) {
            self.inner.record(place.record).disarm(place);
        }
    }

    /// Why the axis of entry `index` failed, which the wait was told of. Asked before [`Watch::disarm`]: until then the
    /// place is not another's.
    pub(crate) fn failure(&self, index: u32) -> Status {
        let axis = self.frontier.entries()[index as usize].axis;
        let record = self.inner.record(self.places[index as usize].record);
        record.reason().unwrap_or_else(|| {
            Status::new(Code::Internal, Operation::FrontierWait)
                .with_context(format!("axis {axis}"))
                .with_message("failed without a reason")
        })
    }
}

/// The refusal of an epoch that no axis can have.
pub(super) fn too_late(operation: Operation, axis: Axis, epoch: u64) -> Status {
    Status::new(Code::InvalidArgument, operation)
        .with_context(format!("axis {axis}"))
        .with_message(format!("epoch {epoch} is above the last, {}", Record::EPOCH_MAX))
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.disarm();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("frontier", &self.frontier).finish_non_exhaustive()
    }
}
