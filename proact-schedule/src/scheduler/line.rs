//! One axis that the scheduler knows: a queue, a collective channel, or an axis that lives elsewhere.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use proact::causal::{Axis, Frontier};
use proact::status::Status;

use crate::options::{Handover, Order};

/// What progresses.
#[derive(Debug)]
pub(super) enum Kind {
    /// Work is submitted to it and somebody runs it.
    Queue,
    /// Its epochs end by themselves, each when every member has contributed to it.
    Channel(Box<Channel>),
    /// It progresses elsewhere; somebody tells.
    External {
        /// Who is held until which epoch: epoch, flight, its sequence number.
        held: BinaryHeap<Reverse<(u64, u32, u64)>>,
    },
}

/// A collective channel.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// The lines of its members.
    pub(super) members: Vec<u32>,
    /// For each epoch that has not ended, the epoch of each member's contribution.
    pub(super) contributions: VecDeque<Vec<u64>>,
    /// Storage of epochs that have ended.
    pub(super) spare: Vec<Vec<u64>>,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) axis: Axis,
    pub(super) order: Order,
    pub(super) handover: Handover,
    pub(super) exportable: bool,
    pub(super) kind: Kind,
    /// What has ended before the next submission begins, its own line left out. On an overlapping queue only of use
    /// while a submission is being taken: nothing is carried over from one to the next.
    pub(super) knowledge: Frontier,
    /// Something may be missing from `knowledge` until everything up to this sequence number has ended.
    pub(super) loose_until: u64,
    /// As `loose_until`, of what found no room.
    pub(super) lost_until: u64,
    /// How often something was merged into `knowledge` since it was pruned.
    pub(super) learned: u32,
    /// The last epoch that was taken.
    pub(super) submitted: u64,
    /// All epochs up to it have ended.
    pub(super) ended: u64,
    /// The last epoch that was handed over; in-order queues that are handed what is issued.
    pub(super) handed: u64,
    /// The flights of the epochs after `ended`.
    pub(super) ring: VecDeque<u32>,
    /// What may be taken by who runs it.
    pub(super) outbox: VecDeque<u32>,
    /// It stands in the scheduler's list of lines whose outbox is not empty.
    pub(super) active: bool,
    /// The first epoch in flight that may, directly or not, depend on what nobody has submitted yet.
    pub(super) ungrounded_from: u64,
    /// What finished flights learned from waits that had to be deferred, while there are such flights.
    pub(super) late: Frontier,
    /// Nothing is missing from `late`.
    pub(super) late_exact: bool,
    /// Flights that have such waits, or stand behind one that does.
    pub(super) loose_flights: u32,
    /// It was failed or retired.
    pub(super) failure: Option<Status>,
    /// The channels that it is a member of, and its index among their members.
    pub(super) channels: Vec<(u32, u32)>,
}

impl Line {
    pub(super) fn new(axis: Axis, order: Order, kind: Kind) -> Line {
        Line {
            axis,
            order,
            handover: Handover::Ready,
            exportable: true,
            kind,
            knowledge: Frontier::new(),
            loose_until: 0,
            lost_until: 0,
            learned: 0,
            submitted: 0,
            ended: 0,
            handed: 0,
            ring: VecDeque::new(),
            outbox: VecDeque::new(),
            active: false,
            ungrounded_from: u64::MAX,
            late: Frontier::new(),
            late_exact: true,
            loose_flights: 0,
            failure: None,
            channels: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn is_in_order(&self) -> bool {
        self.order == Order::InOrder
    }

    /// Gives storage back that a queue of the past has no use for. All that it knew of has ended.
    pub(super) fn let_go(&mut self) {
        self.knowledge = Frontier::new();
        (self.ring, self.outbox) = (VecDeque::new(), VecDeque::new());
    }

    /// The flight of `epoch`, if that has been taken and its turn has not passed.
    #[inline]
    pub(super) fn flight(&self, epoch: u64) -> Option<u32> {
        let index = epoch.checked_sub(self.ended)?.checked_sub(1)?;
        self.ring.get(usize::try_from(index).ok()?).copied()
    }

    /// What member `member` had contributed by `epoch` of this channel; 0 if that is not known any more, because the
    /// epoch has ended: then the contributions have as well.
    pub(super) fn contribution(&self, epoch: u64, member: u32) -> u64 {
        let Kind::Channel(channel) = &self.kind else { return 0 };
        let Some(index) = epoch.checked_sub(self.ended + 1) else { return 0 };
        channel.contributions.get(index as usize).map_or(0, |epochs| epochs[member as usize])
    }
}
