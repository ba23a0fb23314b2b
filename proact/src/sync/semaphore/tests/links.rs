//! Semaphores that signal others.

use super::*;
use crate::causal::Entry as FrontierEntry;

fn linked(source: &Semaphore, value: u64, target: &Semaphore, target_value: u64) -> SemaphoreLink {
    source.link(value, target, target_value).unwrap()
}

#[test]
fn a_link_signals_its_target_before_the_signal_returns() {
    let (source, target) = (Semaphore::new(0), Semaphore::new(0));
    let link = linked(&source, 3, &target, 9);
    source.signal(2, None).unwrap();
    assert_eq!(target.value(), 0);
    source.signal(4, None).unwrap();
    assert_eq!(target.value(), 9);
    assert!(!link.unlink());
}

#[test]
fn a_link_from_a_value_that_was_reached_is_followed_at_once() {
    let (source, target) = (Semaphore::new(0), Semaphore::new(0));
    source.signal(5, Some(&causes(50))).unwrap();
    let link = linked(&source, 4, &target, 1);
    assert_eq!((target.value(), target.causes(1)), (1, Some(Knowledge::exact(causes(50)))));
    assert!(!link.unlink());
}

#[test]
fn a_failure_passes_with_code_and_text_and_from_a_failed_source_at_once() {
    let (source, late, early) = (Semaphore::new(0), Semaphore::new(0), Semaphore::new(0));
    let link = linked(&source, 1, &early, 1);
    source.fail(broken());
    let told = linked(&source, 1, &late, 1);
    for target in [&early, &late] {
        let status = target.status().unwrap();
        assert_eq!((status.code(), status.message()), (Code::DataLoss, Some("broken")));
    }
    assert!(!link.unlink() && !told.unlink());
    // A value that was reached before the failure is passed on as one.
    let (reached, target) = (Semaphore::new(1), Semaphore::new(0));
    reached.fail(broken());
    linked(&reached, 1, &target, 6).detach();
    assert_eq!((target.value(), target.status().is_none()), (6, true));
}

#[test]
fn a_link_that_is_taken_back_or_dropped_is_never_followed() {
    let (source, target) = (Semaphore::new(0), Semaphore::new(0));
    let link = linked(&source, 1, &target, 1);
    drop(linked(&source, 1, &target, 2));
    assert!(link.unlink());
    assert!(source.inner.lock().waiters.is_empty(), "nothing is left behind");
    source.signal(1, None).unwrap();
    source.fail(broken());
    assert_eq!((target.value(), target.status().is_none()), (0, true));
}

/// W-11: a target that is already there is what the link promised, and no failure.
#[test]
fn a_target_at_or_past_the_value_is_left_as_it_is() {
    for present in [7, 8] {
        let (source, target) = (Semaphore::new(0), Semaphore::new(present));
        linked(&source, 1, &target, 7).detach();
        source.signal(1, Some(&causes(3))).unwrap();
        assert_eq!((target.value(), target.status().is_none()), (present, true));
        assert_eq!(target.causes(7), Some(Knowledge::exact(Frontier::new())));
        target.signal(present + 1, None).unwrap();
    }
    let (source, failed) = (Semaphore::new(0), Semaphore::new(0));
    failed.fail(broken());
    linked(&source, 1, &failed, 1).detach();
    source.signal(1, None).unwrap();
    assert!(source.status().is_none());
}

#[test]
fn what_cannot_be_kept_is_refused() {
    let (source, target) = (Semaphore::new(0), SemaphoreOptions::new().name("ready").build());
    assert_eq!(source.link(1, &source.clone(), 2).unwrap_err().code(), Code::InvalidArgument);
    let refused = source.link(1, &target, u64::MAX).unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.to_string().starts_with("semaphore signal \"ready\": "), "{refused}");
    assert!(source.inner.lock().waiters.is_empty());
}

#[test]
fn one_source_signals_several_targets_by_value_and_in_order() {
    let source = Semaphore::new(0);
    let target = Semaphore::new(0);
    let others: Vec<_> = (0..20).map(|_| Semaphore::new(0)).collect();
    // Both meet the same target: the first of equal values is followed first.
    linked(&source, 2, &target, 5).detach();
    linked(&source, 1, &target, 3).detach();
    linked(&source, 2, &target, 6).detach();
    others.iter().for_each(|other| linked(&source, 2, other, 4).detach());
    let recorder = Arc::new(Recorder::default());
    for value in [3, 5, 6] {
        pending(target.arm(value, recorder.waiter(value as u32)));
    }
    source.signal(2, Some(&causes(8))).unwrap();
    assert_eq!(recorder.take(), [3, 5, 6].map(Told::Reached));
    assert_eq!(target.causes(3), Some(Knowledge::exact(causes(8))), "the causes of 2, which 1 was passed by");
    assert!(others.iter().all(|other| other.value() == 4 && other.causes(4) == Some(Knowledge::exact(causes(8)))));
}

#[test]
fn dropping_the_source_fails_the_target() {
    let target = Semaphore::new(0);
    let source = SemaphoreOptions::new().name("reader").build();
    linked(&source, 1, &target, 1).detach();
    let kept = linked(&source, 2, &target, 2);
    drop(source.clone());
    assert!(target.status().is_none(), "there is another clone");
    drop(source);
    let status = target.status().unwrap();
    assert_eq!(status.code(), Code::Cancelled);
    assert!(status.to_string().contains("\"reader\"") && status.to_string().contains("dropped"), "{status}");
    assert!(!kept.unlink());
}

#[test]
fn dropping_a_source_ends_a_long_chain_behind_it() {
    const LENGTH: usize = 100_000;
    let first = Semaphore::new(0);
    let last = chain_behind(&first, LENGTH);
    // Those between are held by their links alone.
    drop(first);
    assert_eq!(last.status().unwrap().code(), Code::Cancelled);
}

/// Links `length` semaphores one behind the other; answers the last.
fn chain_behind(first: &Semaphore, length: usize) -> Semaphore {
    (0..length).fold(first.clone(), |source, _| {
        let target = Semaphore::with_history(0, 1);
        linked(&source, 1, &target, 1).detach();
        target
    })
}

/// On a stack that recursion over the chain would not fit in.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(64 << 10).spawn(work).unwrap().join().unwrap();
}

#[test]
fn a_long_chain_is_followed_without_recursion_and_carries_causes_and_failures() {
    on_a_small_stack(|| {
        let first = Semaphore::new(0);
        let last = chain_behind(&first, 50_000);
        first.signal(1, Some(&causes(4))).unwrap();
        assert_eq!((last.value(), last.causes(1)), (1, Some(Knowledge::exact(causes(4)))));
        let first = Semaphore::new(0);
        let last = chain_behind(&first, 50_000);
        first.fail(broken());
        assert_eq!(last.status().unwrap().message(), Some("broken"));
    });
    on_a_small_stack(dropping_a_source_ends_a_long_chain_behind_it);
}

#[test]
fn a_circle_of_links_ends() {
    let (one, two) = (Semaphore::new(0), Semaphore::new(0));
    for value in 1..=100 {
        linked(&one, value, &two, value).detach();
        linked(&two, value, &one, value + 1).detach();
    }
    one.signal(1, Some(&causes(1))).unwrap();
    assert_eq!((one.value(), two.value()), (101, 100));
    let (one, two) = (Semaphore::new(0), Semaphore::new(0));
    linked(&one, 1, &two, 1).detach();
    linked(&two, 1, &one, 1).detach();
    two.fail(broken());
    assert!(one.status().is_some());
}

#[test]
fn a_lower_bound_stays_one_along_links() {
    let [outside, between, inside] = [0; 3].map(Semaphore::new);
    linked(&outside, 2, &between, 1).detach();
    linked(&between, 1, &inside, 1).detach();
    outside.signal_tainted(2).unwrap();
    assert!(between.is_tainted(1) && inside.is_tainted(1));
    assert_eq!(inside.causes(1).unwrap().requirement(), None);
    // And causes that were forgotten are not made up.
    let (source, target) = (Semaphore::with_history(0, 1), Semaphore::new(0));
    source.signal(1, Some(&causes(1))).unwrap();
    source.signal(2, Some(&causes(2))).unwrap();
    linked(&source, 1, &target, 1).detach();
    assert_eq!(target.causes(1).unwrap().requirement(), None);
    // More entries than fit inline go along as well.
    let many: Vec<_> = (0..40).map(|ordinal| FrontierEntry::new(Axis::queue(0, 0, 0, ordinal), 9)).collect();
    let many = Frontier::from_entries(&many).unwrap();
    let (source, target) = (Semaphore::new(0), Semaphore::new(0));
    linked(&source, 1, &target, 1).detach();
    source.signal(1, Some(&many)).unwrap();
    assert_eq!(target.causes(1), Some(Knowledge::exact(many)));
}

/// Rings of links in which every thread signals: no lock is held while another is taken, so nothing can deadlock.
#[test]
fn signals_around_a_ring_from_all_sides_neither_deadlock_nor_get_lost() {
    for _ in 0..50 {
        let ring: Vec<_> = (0..4).map(|_| Semaphore::new(0)).collect();
        for value in 1..=50 {
            for (place, source) in ring.iter().enumerate() {
                linked(source, value, &ring[(place + 1) % ring.len()], value).detach();
            }
        }
        std::thread::scope(|scope| {
            for source in &ring {
                scope.spawn(|| (1..=50).for_each(|value| _ = source.signal_if_later(value, None).unwrap()));
            }
        });
        assert!(ring.iter().all(|semaphore| semaphore.value() == 50));
        assert!(ring.iter().all(|semaphore| semaphore.inner.lock().waiters.is_empty()));
    }
}

#[test]
fn signal_and_unlink_race_and_agree() {
    let (mut followed, mut taken_back) = (0, 0);
    for _ in 0..2000 {
        let (source, target) = (Semaphore::new(0), Semaphore::new(0));
        let link = linked(&source, 1, &target, 1);
        std::thread::scope(|scope| {
            let signaller = scope.spawn(|| source.signal(1, None));
            let unlinked = link.unlink();
            signaller.join().unwrap().unwrap();
            assert_eq!(target.value(), u64::from(!unlinked));
            if unlinked { taken_back += 1 } else { followed += 1 }
        });
    }
    assert_eq!(followed + taken_back, 2000);
}
