//! The causes of each signalled value, as far back as there is room.

use std::collections::VecDeque;

use crate::causal::{Frontier, Knowledge};

/// Records of signals that had causes, oldest first, at most `capacity` of them.
///
/// A record covers the values above the one that the semaphore had before, up to the one signalled. A value that no
/// record covers was passed by a signal without causes, or lies at or below the initial value. Only of the values among
/// which a record was evicted this is not known any more.
#[derive(Debug)]
pub(super) struct History {
    records: VecDeque<Record>,
    capacity: usize,
    /// Values above `.0`, up to `.1`, may have been covered by an evicted record.
    evicted: Option<(u64, u64)>,
}

#[derive(Debug)]
struct Record {
    previous: u64,
    value: u64,
    frontier: Frontier,
}

impl History {
    pub(super) const fn new(capacity: usize) -> History {
        History { records: VecDeque::new(), capacity, evicted: None }
    }

    /// Adds the record of a signal that took the semaphore from `previous` to `value`. Values only rise.
    ///
    /// A full history evicts its oldest record, whose storage the new one takes over: no allocation.
    pub(super) fn push(&mut self, previous: u64, value: u64, frontier: &Frontier) {
        debug_assert!(previous < value);
        debug_assert!(self.records.back().is_none_or(|last| last.value <= previous));
        if self.records.len() < self.capacity {
            self.records.push_back(Record { previous, value, frontier: frontier.clone() });
            return;
        }
        let Some(mut record) = self.records.pop_front() else {
            return self.evict(previous, value);
        };
        self.evict(record.previous, record.value);
        record.previous = previous;
        record.value = value;
        record.frontier.clone_from(frontier);
        self.records.push_back(record);
    }

    fn evict(&mut self, previous: u64, value: u64) {
        let from = self.evicted.map_or(previous, |(from, _)| from);
        self.evicted = Some((from, value));
    }

    /// The causes of `value`, which the semaphore has reached.
    pub(super) fn causes(&self, value: u64) -> Knowledge {
        let at = self.records.partition_point(|record| record.value < value);
        match self.records.get(at) {
            Some(record) if record.previous < value => Knowledge::exact(record.frontier.clone()),
            _ if self.evicted.is_some_and(|(from, through)| from < value && value <= through) => {
                Knowledge::lower_bound(Frontier::new())
            }
            _ => Knowledge::exact(Frontier::new()),
        }
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
        history.push(0, 2, &epoch(20));
        history.push(2, 5, &epoch(50));
        assert_eq!(history.causes(1), known(20));
        assert_eq!(history.causes(2), known(20));
        assert_eq!(history.causes(3), known(50));
        assert_eq!(history.causes(5), known(50));
    }

    #[test]
    fn values_passed_by_a_signal_without_causes_have_none() {
        let mut history = History::new(16);
        history.push(10, 12, &epoch(120));
        // A signal without causes went from 12 to 15.
        history.push(15, 16, &epoch(160));
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
            history.push(value - 1, value, &epoch(value));
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
        history.push(0, 1, &epoch(1));
        assert_eq!(history.causes(1), Knowledge::lower_bound(Frontier::new()));
        assert_eq!(history.causes(0), nothing());
        assert_eq!(history.causes(2), nothing());
    }
}
