//! The reference's own cases that the other tests do not name: shapes of merges, what is missing, and scenarios.

use super::*;

fn queue(device: u8) -> Axis {
    Axis::queue(1, 0, device, 0)
}

fn named(entries: &[(Axis, u64)]) -> Frontier {
    Frontier::from_entries(&entries.iter().map(|&(axis, epoch)| Entry::new(axis, epoch)).collect::<Vec<_>>()).unwrap()
}

fn missing(of: &[(u64, u64)], from: &[(u64, u64)]) -> Vec<u64> {
    frontier(of).find_undominated(&frontier(from)).map(|entry| entry.axis.ordinal()).collect()
}

#[test]
fn validation_names_the_entry_that_is_wrong() {
    let entries: Vec<Entry> = (0..10).map(|ordinal| Entry::new(axis(ordinal), 1)).collect();
    assert_eq!(Frontier::validate(&[]), Ok(()));
    assert_eq!(Frontier::validate(&entries[..1]), Ok(()));
    assert_eq!(Frontier::validate(&entries), Ok(()));
    let mut swapped = entries.clone();
    swapped.swap(4, 5);
    assert_eq!(Frontier::validate(&swapped), Err(FrontierError::NotAscending { index: 5 }));
    let mut twice = entries.clone();
    twice[7].axis = twice[6].axis;
    assert_eq!(Frontier::validate(&twice), Err(FrontierError::NotAscending { index: 7 }));
    twice[1].epoch = 0;
    assert_eq!(Frontier::validate(&twice), Err(FrontierError::NotAscending { index: 7 }), "order comes first");
    let mut zero = entries;
    zero[3].epoch = 0;
    assert_eq!(Frontier::validate(&zero), Err(FrontierError::ZeroEpoch { index: 3 }));
}

#[test]
fn every_part_of_an_axis_reaches_its_largest_value() {
    let queue = Axis::queue(255, 255, 255, 255);
    assert_eq!(
        (queue.session(), queue.machine(), queue.device(), queue.queue_number()),
        (255, 255, Some(255), Some(255))
    );
    for domain in [Domain::Collective, Domain::Epilogue, Domain::Host] {
        let axis = Axis::new(255, 255, domain, Axis::ORDINAL_MAX).unwrap();
        assert_eq!((axis.domain(), axis.ordinal(), axis.session()), (domain, Axis::ORDINAL_MAX, 255));
        assert_eq!(Axis::from_bits(axis.to_bits()), Some(axis));
        // Where the reference cuts what does not fit, this says so.
        assert_eq!(Axis::new(0, 0, domain, Axis::ORDINAL_MAX + 1), None);
    }
}

#[test]
fn comparing_is_reflexive_and_transitive() {
    for_random_triples(|a, b, c| {
        assert_eq!(a.compare(a), Causality::Equal);
        if b.dominates(a) && c.dominates(b) {
            assert!(c.dominates(a));
        }
    });
}

#[test]
fn as_many_entries_on_other_axes_are_concurrent() {
    let (a, b) = (ladder(0, 1, 8, 3), ladder(4, 1, 8, 3));
    assert_eq!(a.compare(&b), Causality::Concurrent);
    assert_eq!(ladder(0, 1, 8, 3).compare(&ladder(0, 1, 8, 4)), Causality::Before);
    assert_eq!(ladder(0, 1, 4, 3).compare(&ladder(0, 1, 8, 3)), Causality::Before);
}

#[test]
fn merges_put_new_axes_before_between_and_behind() {
    let target = frontier(&[(10, 1), (20, 1), (30, 1)]);
    let shapes: [&[(u64, u64)]; 7] = [
        &[(5, 2)],
        &[(15, 2)],
        &[(40, 2)],
        &[(1, 2), (2, 2), (3, 2)],
        &[(31, 2), (32, 2), (33, 2)],
        &[(1, 2), (11, 2), (12, 2), (21, 2), (22, 2), (31, 2)],
        &[(10, 2), (15, 2), (30, 1)],
    ];
    for shape in shapes {
        let mut expected: Vec<(u64, u64)> = vec![];
        for ordinal in 0..50 {
            let epoch = target.epoch(axis(ordinal)).max(frontier(shape).epoch(axis(ordinal)));
            if epoch > 0 {
                expected.push((ordinal, epoch));
            }
        }
        assert_eq!(merged(&target, &frontier(shape)), frontier(&expected), "{shape:?}");
    }
    assert_eq!(merged(&Frontier::new(), &target), target);
    assert_eq!(merged(&target, &Frontier::new()), target);
    assert_eq!(merged(&Frontier::new(), &Frontier::new()), Frontier::new());
}

/// Counts of 8 bits wrapped: 300 entries looked like 44.
#[test]
fn two_hundred_and_one_hundred_axes_do_not_fit() {
    let mut target = ladder(0, 1, 200, 1);
    let refused = target.merge(&ladder(1000, 1, 100, 1));
    assert_eq!(refused, Err(FrontierError::TooManyEntries { needed: 300, capacity: 255 }));
    assert_eq!(target, ladder(0, 1, 200, 1));
    target.merge(&ladder(1000, 1, 55, 1)).unwrap();
    assert_eq!(target.len(), 255);
}

#[test]
fn dominance_of_the_source_is_that_over_the_target_as_it_was() {
    let dominated = |target: &[(u64, u64)], source: &[(u64, u64)]| {
        frontier(target).merge_and_test_dominance(&frontier(source)).unwrap()
    };
    assert!(dominated(&[(1, 1)], &[(1, 2)]));
    assert!(dominated(&[(1, 1)], &[(1, 1)]));
    assert!(dominated(&[], &[(1, 1)]));
    assert!(dominated(&[(2, 1)], &[(1, 1), (2, 1), (3, 1)]));
    assert!(!dominated(&[(1, 2)], &[(1, 1)]));
    assert!(!dominated(&[(1, 1), (2, 1)], &[(1, 5)]), "an axis more");
    assert!(!dominated(&[(1, 1), (2, 3)], &[(1, 5), (2, 2), (3, 9)]), "a later shared epoch");
}

#[test]
fn what_is_missing_on_the_same_axes() {
    assert_eq!(missing(&[(1, 1), (2, 2)], &[(1, 2), (2, 3)]), []);
    assert_eq!(missing(&[(1, 3), (2, 4)], &[(1, 2), (2, 3)]), [1, 2]);
    assert_eq!(missing(&[(1, 3), (2, 3), (3, 4)], &[(1, 2), (2, 3), (3, 3)]), [1, 3]);
    assert_eq!(missing(&[(1, 3), (2, 3)], &[(1, 3), (2, 3)]), []);
    assert_eq!((missing(&[(1, 3)], &[(1, 3)]), missing(&[(1, 4)], &[(1, 3)])), (vec![], vec![1]));
}

#[test]
fn what_is_missing_on_other_axes() {
    assert_eq!(missing(&[(1, 1), (2, 1), (3, 1)], &[(2, 1)]), [1, 3]);
    assert_eq!(missing(&[(2, 1)], &[(1, 1), (2, 1), (3, 1)]), []);
    assert_eq!(missing(&[(1, 1), (3, 1)], &[(2, 1), (4, 1)]), [1, 3]);
    assert_eq!(missing(&[(1, 1), (2, 5), (4, 1)], &[(2, 4), (3, 1), (4, 1)]), [1, 2]);
    assert_eq!(missing(&[(1, 1), (2, 1)], &[]), [1, 2]);
    assert_eq!(missing(&[], &[(1, 1)]), []);
    assert_eq!(missing(&[], &[]), []);
}

#[test]
fn what_is_missing_is_counted_beyond_the_room_for_it() {
    let (needed, known) = (ladder(0, 1, 4, 2), ladder(0, 1, 4, 1));
    let blank = Entry::new(axis(99), 99);
    let mut found = [blank; 2];
    assert_eq!(needed.find_undominated_into(&known, &mut found), 4);
    assert_eq!(found, [Entry::new(axis(0), 2), Entry::new(axis(1), 2)]);
    let mut roomy = [blank; 6];
    assert_eq!(needed.find_undominated_into(&known, &mut roomy), 4);
    assert_eq!(roomy[3..], [Entry::new(axis(3), 2), blank, blank]);
    assert_eq!(needed.find_undominated_into(&known, &mut []), 4);
    assert_eq!(needed.find_undominated_into(&needed, &mut found), 0);
}

#[test]
fn nothing_is_missing_exactly_if_the_order_says_so() {
    for_random_triples(|a, b, _| {
        let dominated = matches!(a.compare(b), Causality::Equal | Causality::Before);
        assert_eq!(a.find_undominated_into(b, &mut []) == 0, dominated, "{a:?} {b:?}");
    });
}

// Scenarios.

#[test]
fn a_pipeline_knows_all_that_came_before() {
    let mut known = Frontier::new();
    for device in 0..4 {
        let before = known.clone();
        known.merge(&Frontier::single(queue(device), 1).unwrap()).unwrap();
        assert_eq!(before.compare(&known), Causality::Before);
    }
    assert_eq!(known.len(), 4);
}

#[test]
fn branches_are_concurrent_and_their_join_knows_both() {
    let root = named(&[(queue(0), 1)]);
    let branch = |device| merged(&root, &named(&[(queue(device), 1)]));
    let (left, right) = (branch(1), branch(2));
    assert_eq!(left.compare(&right), Causality::Concurrent);
    let join = merged(&merged(&left, &right), &named(&[(queue(0), 2)]));
    assert!(join.dominates(&left) && join.dominates(&right) && join.dominates(&root));
    assert_eq!(join.len(), 3);
}

#[test]
fn a_collective_is_one_axis_however_many_take_part() {
    let channel = Axis::new(1, 0, Domain::Collective, 42).unwrap();
    let after: Vec<Frontier> = (0..4).map(|device| named(&[(queue(device), 2), (channel, 1)])).collect();
    let waits = named(&[(channel, 1)]);
    assert!(after.iter().all(|device| device.dominates(&waits)));
    // Without it, a device that joins four lacks the three others.
    let members = named(&[(queue(0), 1), (queue(1), 1), (queue(2), 1), (queue(3), 1)]);
    assert_eq!(members.find_undominated_into(&named(&[(queue(0), 1)]), &mut []), 3);
}

#[test]
fn a_frontier_carries_causes_across_machines() {
    let (here, there) = (Axis::queue(1, 0, 0, 0), Axis::queue(1, 1, 0, 0));
    let sent = named(&[(here, 7)]);
    let received = merged(&named(&[(there, 3)]), &sent);
    assert!(received.dominates(&sent));
    let wait = named(&[(here, 8), (there, 3)]);
    let lacks: Vec<Entry> = wait.find_undominated(&received).collect();
    assert_eq!(lacks, [Entry::new(here, 8)]);
}
