//! A semaphore as the scheduler sees it: what was reached, and what has been promised above.
//!
//! **Values are promised in rising order, and reached in the order in which they were promised.** So a value that was
//! reached says that the producers of all values up to it have ended, whoever they were; and which promise a wait is
//! for, that of the smallest promised value not below it, never changes once there is one. The second is what lets a
//! wait be resolved when it is submitted; the first is what lets a late wait take over exactly the causes of the
//! promise that it is for.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use proact::causal::Frontier;
use proact::sync::Semaphore;

use super::flight::Failure;
use crate::model::Place;

/// What became of a promise.
#[derive(Clone, Debug)]
pub(super) enum Settled {
    Pending,
    Kept,
    Broken(Failure),
}

/// A promised value and who keeps the promise.
#[derive(Debug)]
pub(super) struct Record {
    /// It stands for the values above this one,
    pub(super) previous: u64,
    /// up to this one, which is the one that was promised.
    pub(super) value: u64,
    /// `None`: somebody outside.
    pub(super) producer: Option<Place>,
    /// When the producer has ended, all of its axis up to it has.
    pub(super) prefix: bool,
    /// What has ended when the producer has, itself left out.
    pub(super) known: Frontier,
    /// Nothing is missing from `known`.
    pub(super) exact: bool,
    /// Nothing is missing from what the producer itself knew.
    pub(super) own_exact: bool,
    /// The producer does not know of all the promises before: what caused those is added.
    pub(super) joined: bool,
    /// Producers of lower values that the producer does not come after: the value is reached when they too have ended.
    pub(super) others: Vec<Place>,
    /// There are more of these than could be kept: only the semaphore itself tells when the value is reached.
    pub(super) tainted: bool,
    /// `known` came from outside as a list of what must have ended.
    pub(super) required: bool,
    pub(super) settled: Settled,
}

/// Producers that are not in order among each other; more than this are not kept apart.
pub(super) const OTHERS_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Timeline {
    pub(super) value: u64,
    /// The largest value that was promised or reached.
    pub(super) promised: u64,
    pub(super) failure: Option<Failure>,
    /// Only somebody outside signals it.
    pub(super) foreign: bool,
    /// By rising value. The first `reached` of them have been settled, and only say what caused them.
    pub(super) records: VecDeque<Record>,
    pub(super) reached: usize,
    /// The producers that whoever promises next must come after.
    pub(super) tail: Vec<Place>,
    /// More producers than `tail` holds may have to be come after, until all up to this sequence number have ended.
    pub(super) tail_tainted_until: u64,
    /// Promises from outside that have not been settled: whoever promises higher values cannot come after them.
    pub(super) open_outside: u32,
    /// Flights that the host holds back: value, flight, its sequence number.
    pub(super) waiters: BinaryHeap<Reverse<(u64, u32, u64)>>,
    /// The semaphore that the rest of the program sees.
    pub(super) shown: Option<Semaphore>,
}

impl Timeline {
    pub(super) fn new(value: u64) -> Timeline {
        Timeline {
            value,
            promised: value,
            failure: None,
            foreign: false,
            records: VecDeque::new(),
            reached: 0,
            tail: Vec::new(),
            tail_tainted_until: 0,
            open_outside: 0,
            waiters: BinaryHeap::new(),
            shown: None,
        }
    }

    /// The index of the promise that a wait for `value` is for, unless nobody has promised that, or it was forgotten.
    #[inline]
    pub(super) fn find(&self, value: u64) -> Option<usize> {
        let last = self.records.len().checked_sub(1)?;
        // Nearly always the latest.
        let index = match self.records[last].previous < value {
            true => last,
            false => self.records.partition_point(|record| record.value < value),
        };
        let record = &self.records[index];
        (record.previous < value && value <= record.value).then_some(index)
    }

    /// Room for another record, at the end; that of the oldest, when more than `history` have been settled.
    pub(super) fn push(&mut self, history: usize) -> &mut Record {
        let record = match self.reached > history {
            true => {
                self.reached -= 1;
                self.records.pop_front()
            }
            false => None,
        };
        self.records.push_back(record.unwrap_or_else(|| Record {
            previous: 0,
            value: 0,
            producer: None,
            prefix: false,
            known: Frontier::new(),
            exact: true,
            own_exact: true,
            joined: false,
            others: Vec::new(),
            tainted: false,
            required: false,
            settled: Settled::Pending,
        }));
        self.records.back_mut().expect("just pushed")
    }
}
