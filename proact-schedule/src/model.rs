//! What is said to a scheduler and what it answers, as plain data: all of it can cross a wire.

use proact::causal::Axis;

/// A queue of a [`Scheduler`](crate::Scheduler), or another axis that it knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct QueueId(pub(crate) u32);

/// A semaphore of a [`Scheduler`](crate::Scheduler).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SemaphoreId(pub(crate) u32);

/// A pool of a [`Scheduler`](crate::Scheduler).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PoolId(pub(crate) u32);

/// A buffer: one life of a block of a pool. Naming it after it was released is an error, also when the block lives on
/// as another buffer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BufferId {
    pub(crate) block: u32,
    pub(crate) generation: u32,
}

macro_rules! numbered {
    ($($name:ident)*) => {$(
        impl $name {
            /// The number: they are given out from 0 on.
            pub const fn index(self) -> usize {
                self.0 as usize
            }

            /// That with this number. The scheduler refuses one that it has not given out.
            pub const fn from_index(index: u32) -> $name {
                $name(index)
            }
        }
    )*};
}

numbered!(QueueId SemaphoreId PoolId);

impl BufferId {
    /// The block that the buffer lives in, counted from 0 over all pools.
    pub const fn block(self) -> usize {
        self.block as usize
    }

    /// Which of the block's lives it is.
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

/// A value of a semaphore: what is waited for, or promised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Point {
    /// The semaphore.
    pub semaphore: SemaphoreId,
    /// The value.
    pub value: u64,
}

impl Point {
    /// The point with these parts.
    pub const fn new(semaphore: SemaphoreId, value: u64) -> Point {
        Point { semaphore, value }
    }
}

/// What is submitted to a queue, besides the work itself.
///
/// None of it has to be ready: a wait may be for a value that nobody has promised yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Submission<'a> {
    /// Where the work runs.
    pub queue: QueueId,
    /// What must have been reached before it begins.
    pub waits: &'a [Point],
    /// What it reaches when it ends.
    pub signals: &'a [Point],
    /// The memory that it touches. What must have ended before the memory may be touched is waited for as well.
    pub buffers: &'a [BufferId],
}

impl<'a> Submission<'a> {
    /// Work for `queue` that waits for nothing and signals nothing.
    pub const fn new(queue: QueueId) -> Submission<'a> {
        Submission { queue, waits: &[], signals: &[], buffers: &[] }
    }

    /// With these waits.
    #[must_use]
    pub const fn waits(mut self, waits: &'a [Point]) -> Submission<'a> {
        self.waits = waits;
        self
    }

    /// With these signals.
    #[must_use]
    pub const fn signals(mut self, signals: &'a [Point]) -> Submission<'a> {
        self.signals = signals;
        self
    }

    /// With these buffers.
    #[must_use]
    pub const fn buffers(mut self, buffers: &'a [BufferId]) -> Submission<'a> {
        self.buffers = buffers;
        self
    }
}

/// One submission, by its place on its queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// The queue, or another axis that the scheduler knows.
    pub queue: QueueId,
    /// The epoch that it took, from 1 on.
    pub epoch: u64,
}

impl Place {
    /// The place with these parts.
    pub const fn new(queue: QueueId, epoch: u64) -> Place {
        Place { queue, epoch }
    }
}

/// What a queue must see ended before it begins a submission: that submission itself. On an in-order queue it has ended
/// after all before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Barrier {
    /// The axis of the queue that is waited for.
    pub axis: Axis,
    /// Whose end is waited for.
    pub place: Place,
}

/// How a wait was resolved when it was submitted, the cheapest first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Tier {
    /// The value had been reached.
    Reached,
    /// The producer stands before it on the same in-order queue.
    SameQueue,
    /// It is implied by what the submission knows anyway: elided.
    Implied,
    /// One barrier, on the submission that produces the value.
    Producer,
    /// Barriers on several axes: as many as are not implied.
    Undominated {
        /// How many.
        barriers: u32,
    },
    /// The host holds the submission back until the value has been reached.
    Deferred(Deferral),
}

/// Why the host had to hold a submission back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Deferral {
    /// Nobody has promised the value yet: the wait was submitted before its signal.
    NotPromised,
    /// The value is promised from outside, by nobody whose end could be waited for.
    Foreign,
    /// It is not known, or not any more, whose end all would have to be waited for.
    Tainted,
    /// It would take a barrier on an axis that devices cannot wait for.
    Unexportable,
    /// The semaphore has failed: the failure goes the way of every other one.
    Failed,
}

impl Tier {
    /// The names that recordings use.
    pub const fn name(self) -> &'static str {
        match self {
            Tier::Reached => "reached",
            Tier::SameQueue => "same-queue",
            Tier::Implied => "implied",
            Tier::Producer => "producer",
            Tier::Undominated { .. } => "undominated",
            Tier::Deferred(_) => "deferred",
        }
    }

    /// Whether nothing had to be issued, although the value had not been reached.
    pub const fn is_elided(self) -> bool {
        matches!(self, Tier::SameQueue | Tier::Implied)
    }
}

/// A wait and how it was resolved.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Resolution {
    /// What was waited for.
    pub wait: Point,
    /// How.
    pub tier: Tier,
}
