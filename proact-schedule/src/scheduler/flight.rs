//! A submission from when it is taken until its epoch has passed.

use crate::model::{Barrier, BufferId, Place, Point, Resolution};
use proact::status::Status;

/// A failure, and where it began.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) status: Status,
    /// The submission that failed first; `None`: a semaphore was failed from outside.
    pub(super) origin: Option<Place>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Not handed over.
    Waiting,
    /// In the outbox of its line.
    Offered,
    /// Who runs it has it.
    Running,
    /// Who runs it says that it has ended; others that it waited for have not been reported yet.
    Reported,
    /// It will not be run: it ends when its turn comes.
    Doomed,
    /// Its signals have been given.
    Done,
}

/// Who is told of a flight's end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dependent {
    pub(super) flight: u32,
    /// The host holds it back; otherwise its queue has a barrier.
    pub(super) held: bool,
}

#[derive(Debug)]
pub(super) struct Flight<P> {
    pub(super) line: u32,
    pub(super) epoch: u64,
    /// Its number among all submissions; says whether the storage is still that of the same one.
    pub(super) sequence: u64,
    pub(super) state: State,
    /// It needs nobody to run it.
    pub(super) automatic: bool,
    /// Waits for semaphores that the host has yet to see reached.
    pub(super) left_host: u32,
    /// Ends that the host itself waits for.
    pub(super) left_held: u32,
    /// Barriers whose target has not ended.
    pub(super) left_barriers: u32,
    /// All that it waits for, directly or not, has been submitted.
    pub(super) grounded: bool,
    /// When it was taken, it was not known of all that it waits for what caused it.
    pub(super) loose: bool,
    /// Causes that were known then found no room.
    pub(super) lost: bool,
    pub(super) failure: Option<Failure>,
    pub(super) payload: Option<P>,
    pub(super) waits: Vec<Resolution>,
    pub(super) signals: Vec<Point>,
    pub(super) barriers: Vec<Barrier>,
    /// Whose ends the host itself waits for.
    pub(super) held: Vec<Place>,
    pub(super) buffers: Vec<BufferId>,
    pub(super) dependents: Vec<Dependent>,
}

impl<P> Flight<P> {
    pub(super) fn new() -> Flight<P> {
        Flight {
            line: 0,
            epoch: 0,
            sequence: 0,
            state: State::Done,
            automatic: false,
            left_host: 0,
            left_held: 0,
            left_barriers: 0,
            grounded: true,
            loose: false,
            lost: false,
            failure: None,
            payload: None,
            waits: Vec::new(),
            signals: Vec::new(),
            barriers: Vec::new(),
            held: Vec::new(),
            buffers: Vec::new(),
            dependents: Vec::new(),
        }
    }

    /// Becomes that of another submission; storage is used again.
    pub(super) fn begin(&mut self, line: u32, epoch: u64, sequence: u64, payload: Option<P>) {
        self.line = line;
        self.epoch = epoch;
        self.sequence = sequence;
        self.state = State::Waiting;
        self.automatic = payload.is_none();
        self.left_host = 0;
        self.left_held = 0;
        self.left_barriers = 0;
        self.grounded = true;
        self.loose = false;
        self.lost = false;
        self.failure = None;
        self.payload = payload;
        self.waits.clear();
        self.signals.clear();
        self.barriers.clear();
        self.held.clear();
        self.buffers.clear();
        self.dependents.clear();
    }
}
