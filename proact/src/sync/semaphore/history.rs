//! The causes of each signalled value, as far back as there is room, and which values came from outside.

use std::collections::VecDeque;

use crate::causal::{Completeness, Frontier, Knowledge};

/// Records of signals that had causes or came from outside, oldest first, at most `capacity` of them.
///
/// A record covers the values above the one that the semaphore had before, up to the one signalled. A value that no
/// record covers was passed by a signal without causes, or lies at or below the initial value. Only of the values among
/// which a record was evicted this is not known any more.
///
/// A record that is a lower bound is *tainted*: who signalled it vouched for nothing. So are values that were marked.
#[derive(Debug)]
pub(super) struct History {
    records: VecDeque<Record>,
    capacity: usize,
    /// Values that may have been covered by an evicted record.
    evicted: Values,
    /// Values that may have been covered by an evicted record that was tainted.
    evicted_tainted: Values,
    /// Values that were marked as tainted after they had been reached.
    marked: Values,
}

#[derive(Debug)]
struct Record {
    previous: u64,
    value: u64,
    frontier: Frontier,
    completeness: Completeness,
}

/// The values above `after`, up to `through`.
#[derive(Clone, Copy, Debug)]
struct Values {
    after: u64,
    through: u64,
}

impl Values {
    const NONE: Values = Values { after: 0, through: 0 };

    const fn contains(self, value: u64) -> bool {
        self.after < value && value <= self.through
    }

    /// Takes in the values above `after`, up to `through`, and whatever lies between: a range that is too wide says of
    /// more values that they are not known, which harms no one.
    fn extend(&mut self, after: u64, through: u64) {
        if self.after == self.through {
            *self = Values { after, through };
        } else {
            self.after = self.after.min(after);
            self.through = self.through.max(through);
        }
    }
}

impl History {
    pub(super) const fn new(capacity: usize) -> History {
        let (evicted, evicted_tainted, marked) = (Values::NONE, Values::NONE, Values::NONE);
        History { records: VecDeque::new(), capacity, evicted, evicted_tainted, marked }
    }

    /// Adds the record of a signal that took the semaphore from `previous` to `value`. Values only rise.
    ///
    /// A full history evicts its oldest record, whose storage the new one takes over: no allocation.
    pub(super) fn push(&mut self, previous: u64, value: u64, frontier: &Frontier, completeness: Completeness) {
        debug_assert!(previous < value);
        debug_assert!(self.records.back().is_none_or(|last| last.value <= previous));
        if completeness == Completeness::LowerBound && frontier.is_empty() {
            // A device that knows no causes signals again and again: one record serves for all, and evicts no other.
            match self.records.back_mut() {
                Some(last) if last.value == previous && last.says_nothing() => {
                    last.value = value;
                    return;
                }
                _ => {}
            }
        }
        if self.records.len() < self.capacity {
            self.records.push_back(Record { previous, value, frontier: frontier.clone(), completeness });
            return;
        }
        let Some(mut record) = self.records.pop_front() else {
            return self.evict(previous, value, completeness);
        };
        self.evict(record.previous, record.value, record.completeness);
        record.previous = previous;
        record.value = value;
        record.frontier.clone_from(frontier);
        record.completeness = completeness;
        self.records.push_back(record);
    }

    fn evict(&mut self, previous: u64, value: u64, completeness: Completeness) {
        self.evicted.extend(previous, value);
        if completeness == Completeness::LowerBound {
            self.evicted_tainted.extend(previous, value);
        }
    }

    /// The record that covers `value`.
    fn covering(&self, value: u64) -> Option<&Record> {
        // Nearly always the latest value is asked for.
        let at = match self.records.back() {
            Some(last) if last.previous < value => self.records.len() - 1,
            _ => self.records.partition_point(|record| record.value < value),
        };
        self.records.get(at).filter(|record| record.previous < value && value <= record.value)
    }

    /// The causes of `value`, which the semaphore has reached.
    pub(super) fn causes(&self, value: u64) -> Knowledge {
        let mut knowledge = match self.covering(value) {
            Some(record) => Knowledge { frontier: record.frontier.clone(), completeness: record.completeness },
            None if self.evicted.contains(value) => Knowledge::lower_bound(Frontier::new()),
            None => Knowledge::exact(Frontier::new()),
        };
        if self.marked.contains(value) {
            knowledge.completeness = Completeness::LowerBound;
        }
        knowledge
    }

    /// Says of the values above `after`, up to `present`, that they may have come from outside.
    pub(super) fn mark_tainted(&mut self, after: u64, present: u64) {
        if after < present {
            self.marked.extend(after, present);
        }
    }

    /// The largest tainted range that `value`, which the semaphore has reached, is known to lie in: what it is above.
    fn taint(&self, value: u64) -> Option<u64> {
        if self.marked.contains(value) {
            return Some(self.marked.after);
        }
        match self.covering(value) {
            Some(record) => (record.completeness == Completeness::LowerBound).then_some(record.previous),
            None => self.evicted_tainted.contains(value).then_some(self.evicted_tainted.after),
        }
    }

    /// Whether `value`, which the semaphore has reached, came from outside or may have.
    pub(super) fn is_tainted(&self, value: u64) -> bool {
        self.taint(value).is_some()
    }

    /// The largest value up to `present`, the semaphore's, that is not tainted.
    pub(super) fn untainted(&self, present: u64) -> u64 {
        let mut value = present;
        // Each step leaves a range for good: as many as there are records, at most.
        while let Some(below) = self.taint(value) {
            value = below;
        }
        value
    }
}

impl Record {
    fn says_nothing(&self) -> bool {
        self.completeness == Completeness::LowerBound && self.frontier.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causal::Axis;

    fn epoch(epoch: u64) -> Frontier {
        Frontier::single(Axis::queue(0, 0, 0, 0), epoch).unwrap()
    }

    fn known(epoch_known: u64) -> Knowledge {
        Knowledge::exact(epoch(epoch_known))
    }

    fn nothing() -> Knowledge {
        Knowledge::exact(Frontier::new())
    }

    #[test]
    fn a_value_takes_the_causes_of_the_smallest_signalled_value_at_or_above_it() {
        let mut history = History::new(16);
        history.push(0, 2, &epoch(20), Completeness::Exact);
        history.push(2, 5, &epoch(50), Completeness::Exact);
        assert_eq!(history.causes(1), known(20));
        assert_eq!(history.causes(2), known(20));
        assert_eq!(history.causes(3), known(50));
        assert_eq!(history.causes(5), known(50));
    }

    #[test]
    fn values_passed_by_a_signal_without_causes_have_none() {
        let mut history = History::new(16);
        history.push(10, 12, &epoch(120), Completeness::Exact);
        // A signal without causes went from 12 to 15.
        history.push(15, 16, &epoch(160), Completeness::Exact);
        // And another one to 18.
        assert_eq!(history.causes(10), nothing());
        assert_eq!(history.causes(12), known(120));
        assert_eq!(history.causes(13), nothing());
        assert_eq!(history.causes(15), nothing());
        assert_eq!(history.causes(16), known(160));
        assert_eq!(history.causes(18), nothing());
    }

    #[test]
    fn values_among_evicted_records_are_known_only_from_below() {
        let mut history = History::new(2);
        for value in [4, 6, 8, 10] {
            history.push(value - 1, value, &epoch(value), Completeness::Exact);
        }
        let forgotten = Knowledge::lower_bound(Frontier::new());
        assert_eq!(history.causes(3), nothing(), "before the first record");
        assert_eq!(history.causes(4), forgotten);
        assert_eq!(history.causes(5), forgotten, "passed by a plain signal, but who remembers");
        assert_eq!(history.causes(6), forgotten);
        assert_eq!(history.causes(7), nothing());
        assert_eq!(history.causes(8), known(8));
        assert_eq!(history.causes(10), known(10));
    }

    #[test]
    fn a_history_without_room_forgets_at_once_and_says_so() {
        let mut history = History::new(0);
        history.push(0, 1, &epoch(1), Completeness::Exact);
        assert_eq!(history.causes(1), Knowledge::lower_bound(Frontier::new()));
        assert_eq!(history.causes(0), nothing());
        assert_eq!(history.causes(2), nothing());
    }

    #[test]
    fn a_tainted_record_is_a_lower_bound_for_good_and_later_ones_are_not() {
        let mut history = History::new(4);
        history.push(0, 2, &epoch(20), Completeness::Exact);
        history.push(2, 5, &epoch(50), Completeness::LowerBound);
        assert_eq!((history.untainted(2), history.untainted(5)), (2, 2));
        history.push(5, 6, &epoch(60), Completeness::Exact);
        assert_eq!(history.untainted(6), 6);
        let tainted: Vec<u64> = (0..=6).filter(|value| history.is_tainted(*value)).collect();
        assert_eq!(tainted, [3, 4, 5]);
        assert_eq!(history.causes(4), Knowledge::lower_bound(epoch(50)));
        assert_eq!((history.causes(2), history.causes(6)), (known(20), known(60)));
        // A plain signal leaves no record.
        assert!(!history.is_tainted(7));
    }

    #[test]
    fn signals_from_outside_share_one_record_and_evict_nobody() {
        let mut history = History::new(2);
        history.push(0, 1, &epoch(1), Completeness::Exact);
        for value in 2..1000 {
            history.push(value - 1, value, &Frontier::new(), Completeness::LowerBound);
        }
        assert_eq!(history.causes(1), known(1));
        assert!((2..1000).all(|value| history.is_tainted(value) && !history.causes(value).is_exact()));
        assert_eq!(history.untainted(999), 1);
    }

    #[test]
    fn what_is_marked_stays_tainted_also_when_its_records_are_exact() {
        let mut history = History::new(4);
        history.push(0, 2, &epoch(20), Completeness::Exact);
        history.push(2, 4, &epoch(40), Completeness::Exact);
        history.mark_tainted(3, 3);
        assert!(!history.is_tainted(3), "nothing lies above 3 yet");
        history.mark_tainted(2, 5);
        assert_eq!(history.causes(4), Knowledge::lower_bound(epoch(40)), "still known, and no requirement");
        assert_eq!(history.causes(5), Knowledge::lower_bound(Frontier::new()));
        assert_eq!(history.causes(2), known(20));
        assert_eq!((history.untainted(5), history.untainted(6)), (2, 6));
        history.mark_tainted(1, 6);
        assert_eq!((history.untainted(6), history.causes(2)), (1, Knowledge::lower_bound(epoch(20))));
    }

    #[test]
    fn an_evicted_tainted_record_leaves_its_values_tainted() {
        let mut history = History::new(1);
        history.push(0, 1, &epoch(1), Completeness::LowerBound);
        history.push(1, 2, &epoch(2), Completeness::Exact);
        history.push(2, 3, &epoch(3), Completeness::Exact);
        assert_eq!((history.is_tainted(1), history.is_tainted(2), history.is_tainted(3)), (true, false, false));
        assert!(!history.causes(1).is_exact() && !history.causes(2).is_exact());
        assert_eq!(history.untainted(1), 0);
    }
}
