//! A pipeline before it is submitted: stages on several machines, and what they wait for.

use super::{MachineId, RemotePoint};

/// Stages that are submitted together, to as many machines as they name.
///
/// The order of stages that go to the same device is the order in which they run there. Apart from that only waits
/// order them: a stage may wait for what a later one signals.
///
/// ```
/// use proact_schedule::remote::{MachineId, Pipeline, RemotePoint, SemaphoreName};
/// let (gpu, disk) = (MachineId(1), MachineId(2));
/// let loaded = RemotePoint::new(SemaphoreName::new(disk, MachineId(0), 0).unwrap(), 1);
/// let mut pipeline = Pipeline::new();
/// pipeline.stage(disk, 0, b"load weights").signal(loaded);
/// pipeline.stage(gpu, 0, b"multiply").wait(loaded);
/// assert_eq!(pipeline.len(), 2);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pipeline {
    pub(super) stages: Vec<Planned>,
}

/// A stage of a [`Pipeline`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    pub(super) machine: MachineId,
    pub(super) device: u8,
    pub(super) waits: Vec<RemotePoint>,
    pub(super) signals: Vec<RemotePoint>,
    pub(super) payload: Vec<u8>,
}

impl Pipeline {
    /// A pipeline without stages.
    pub const fn new() -> Pipeline {
        Pipeline { stages: Vec::new() }
    }

    /// Adds a stage for a device of a machine, which is told `payload`.
    pub fn stage(&mut self, machine: MachineId, device: u8, payload: &[u8]) -> &mut Planned {
        let (waits, signals) = (Vec::new(), Vec::new());
        self.stages.push(Planned { machine, device, waits, signals, payload: payload.into() });
        self.stages.last_mut().expect("just pushed")
    }

    /// How many stages there are.
    pub fn len(&self) -> usize {
        self.stages.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }
}

impl Planned {
    /// It begins after this was reached.
    pub fn wait(&mut self, point: RemotePoint) -> &mut Planned {
        self.waits.push(point);
        self
    }

    /// It reaches this when it ends well. The semaphore must be its machine's own.
    pub fn signal(&mut self, point: RemotePoint) -> &mut Planned {
        self.signals.push(point);
        self
    }
}
