//! Trackers: waits for frontiers as operations.

use std::sync::{Arc, Barrier};

use proact::causal::{Axis, Domain, Entry, Frontier};
use proact::operation::{Chain, FrontierWait, Nop, SemaphoreWait};
use proact::status::{Code, Operation, Status};
use proact::sync::{AxisOptions, Semaphore, Tracker, TrackerOptions};

use crate::bench::Cts;
use crate::cases;

cases![
    a_frontier_wait_submitted_before_the_advance_ends_with_it,
    a_frontier_that_was_reached_ends_on_the_next_poll,
    a_frontier_wait_ends_with_the_last_of_its_axes,
    an_advance_releases_who_waits_for_it_and_nobody_else,
    an_unknown_axis_and_an_impossible_epoch_fail_the_wait,
    a_failed_axis_fails_waits_that_name_it_with_its_words,
    a_failed_axis_is_seen_behind_a_pending_one,
    a_retired_axis_cancels_waits_and_its_place_is_used_again,
    a_cancelled_frontier_wait_ends_cancelled_and_leaves_the_axes_alone,
    the_last_handle_of_a_tracker_ends_waits_cancelled,
    a_frontier_wait_in_a_chain_holds_up_what_follows,
    an_axis_releases_waits_for_its_semaphore,
    a_frontier_of_all_entries_is_waited_for,
    a_frontier_wait_is_reused_for_the_next_frontier,
    an_advance_from_another_thread_ends_the_sleep.real("other threads"),
    advance_and_cancel_race_and_the_frontier_wait_ends_once.real("other threads"),
    one_tracker_joins_two_proactors.real("other threads"),
    a_device_that_is_lost_ends_a_pipeline,
];

fn axis(ordinal: u64) -> Axis {
    Axis::new(1, 0, Domain::Host, ordinal).unwrap()
}

fn frontier(entries: &[(u64, u64)]) -> Frontier {
    let entries: Vec<Entry> = entries.iter().map(|&(ordinal, epoch)| Entry::new(axis(ordinal), epoch)).collect();
    Frontier::from_entries(&entries).unwrap()
}

fn with(axes: u64) -> Tracker {
    let tracker = Tracker::new();
    (0..axes).for_each(|ordinal| drop(tracker.register(axis(ordinal)).unwrap()));
    tracker
}

fn lost() -> Status {
    Status::new(Code::DataLoss, Operation::FileRead).with_message("the device is gone")
}

fn a_frontier_wait_submitted_before_the_advance_ends_with_it(cts: &mut Cts) {
    let tracker = with(1);
    let wait = cts.start(FrontierWait::new(&tracker, frontier(&[(0, 3)])));
    for epoch in [1, 2] {
        tracker.advance(axis(0), epoch).unwrap();
        cts.look();
        assert_eq!(wait.calls(), 0, "at epoch {epoch}");
    }
    tracker.advance(axis(0), 3).unwrap();
    assert_eq!(wait.calls(), 0, "a callback inside advance");
    cts.until("the wait", || wait.is_done());
    wait.only().result.unwrap();
}

fn a_frontier_that_was_reached_ends_on_the_next_poll(cts: &mut Cts) {
    let tracker = with(2);
    tracker.advance(axis(0), 5).unwrap();
    tracker.advance(axis(1), 1).unwrap();
    for entries in [&[][..], &[(0, 5)], &[(0, 2), (1, 1)]] {
        let wait = cts.start(FrontierWait::new(&tracker, frontier(entries)));
        assert_eq!(wait.calls(), 0, "a callback inside submit");
        cts.look();
        wait.only().result.unwrap();
    }
}

fn a_frontier_wait_ends_with_the_last_of_its_axes(cts: &mut Cts) {
    let tracker = with(3);
    let wait = cts.start(FrontierWait::new(&tracker, frontier(&[(0, 1), (1, 2), (2, 3)])));
    tracker.advance(axis(2), 9).unwrap();
    tracker.advance(axis(0), 1).unwrap();
    tracker.advance(axis(1), 1).unwrap();
    cts.look();
    assert_eq!(wait.calls(), 0);
    tracker.advance(axis(1), 2).unwrap();
    cts.until("the wait", || wait.is_done());
}

fn an_advance_releases_who_waits_for_it_and_nobody_else(cts: &mut Cts) {
    let tracker = with(2);
    let same: Vec<_> = (0..20).map(|_| cts.start(FrontierWait::new(&tracker, frontier(&[(0, 2)])))).collect();
    let later = cts.start(FrontierWait::new(&tracker, frontier(&[(0, 3)])));
    let other = cts.start(FrontierWait::new(&tracker, frontier(&[(1, 1)])));
    cts.look();
    tracker.advance(axis(0), 2).unwrap();
    cts.until("all that wait for it", || same.iter().all(|wait| wait.is_done()));
    cts.look();
    assert_eq!((later.calls(), other.calls()), (0, 0));
    // First come, first served.
    assert!(same.is_sorted_by_key(|wait| wait.order()));
    tracker.advance(axis(0), 3).unwrap();
    tracker.advance(axis(1), 1).unwrap();
    cts.drain();
}

fn an_unknown_axis_and_an_impossible_epoch_fail_the_wait(cts: &mut Cts) {
    let tracker = with(1);
    let status = cts.fails(FrontierWait::new(&tracker, frontier(&[(0, 1), (7, 1)])));
    assert_eq!((status.code(), status.operation()), (Code::NotFound, Operation::FrontierWait));
    assert_eq!(status.to_string(), "frontier wait axis 1.0.host.7: it is not registered (NOT_FOUND)");
    let status = cts.fails(FrontierWait::new(&tracker, frontier(&[(0, Tracker::EPOCH_MAX + 1)])));
    assert_eq!(status.code(), Code::InvalidArgument);
}

fn a_failed_axis_fails_waits_that_name_it_with_its_words(cts: &mut Cts) {
    let tracker = with(1);
    let named = tracker.register_with(axis(1), AxisOptions::new().name("NIC 0")).unwrap();
    let (alone, both) = (
        cts.start(FrontierWait::new(&tracker, frontier(&[(1, 1)]))),
        cts.start(FrontierWait::new(&tracker, frontier(&[(0, 1), (1, 2)]))),
    );
    cts.look();
    tracker.advance(axis(1), 2).unwrap();
    cts.until("the wait that was reached", || alone.is_done());
    alone.only().result.unwrap();
    // It was reached there too, and waits for the other.
    assert!(named.fail(lost()));
    cts.until("the wait for both", || both.is_done());
    let status = both.only().status();
    assert_eq!(status.to_string(), "read axis 1.0.host.1 \"NIC 0\": the device is gone (DATA_LOSS)");
    assert!(!named.fail(Status::new(Code::Aborted, Operation::None)));
    assert_eq!(cts.fails(FrontierWait::new(&tracker, frontier(&[(1, 1)]))).code(), Code::DataLoss);
}

/// W-03: a wait for a pending and a failed axis was not refused at once.
fn a_failed_axis_is_seen_behind_a_pending_one(cts: &mut Cts) {
    let tracker = with(2);
    tracker.fail(axis(1), lost());
    let wait = cts.start(FrontierWait::new(&tracker, frontier(&[(0, 1), (1, 1)])));
    cts.look();
    assert_eq!(wait.only().status().code(), Code::DataLoss);
}

/// W-07: a retired axis kept its place for ever.
fn a_retired_axis_cancels_waits_and_its_place_is_used_again(cts: &mut Cts) {
    let tracker = Tracker::with_options(&TrackerOptions::new().capacity(1)).unwrap();
    for ordinal in 0..50 {
        let handle = tracker.register(axis(ordinal)).unwrap();
        let wait = cts.start(FrontierWait::new(&tracker, frontier(&[(ordinal, 2)])));
        cts.look();
        handle.advance(1).unwrap();
        assert!(handle.retire());
        // Until it has been told, the wait may ask why.
        assert_eq!(tracker.register(axis(ordinal + 1)).unwrap_err().code(), Code::ResourceExhausted);
        cts.until("the wait", || wait.is_done());
        assert_eq!(wait.only().status().code(), Code::Cancelled);
        assert_eq!(cts.fails(FrontierWait::new(&tracker, frontier(&[(ordinal, 1)]))).code(), Code::Cancelled);
    }
}

fn a_cancelled_frontier_wait_ends_cancelled_and_leaves_the_axes_alone(cts: &mut Cts) {
    let tracker = with(2);
    let (op, wait) = cts.watch(FrontierWait::new(&tracker, frontier(&[(0, 1), (1, 1)])));
    let id = cts.submit(op).unwrap();
    cts.look();
    tracker.advance(axis(0), 1).unwrap();
    cts.cancel(id).unwrap();
    cts.until("the cancel", || wait.is_done());
    assert_eq!(wait.only().status().code(), Code::Cancelled);
    assert_eq!(cts.cancel(id).unwrap_err().code(), Code::NotFound);
    assert!(tracker.advance(axis(1), 1).unwrap());
    cts.get(FrontierWait::new(&tracker, frontier(&[(0, 1), (1, 1)])));
}

fn the_last_handle_of_a_tracker_ends_waits_cancelled(cts: &mut Cts) {
    let tracker = Tracker::new();
    let handle = tracker.register(axis(0)).unwrap();
    let wait = cts.start(FrontierWait::new(&tracker, frontier(&[(0, 1)])));
    let late = FrontierWait::new(&tracker, frontier(&[(0, 1)]));
    drop(tracker);
    cts.look();
    assert_eq!(wait.calls(), 0, "a handle of the axis can still advance it");
    drop(handle);
    cts.until("the wait", || wait.is_done());
    assert_eq!(wait.only().status().code(), Code::Cancelled);
    assert_eq!(cts.fails(late).code(), Code::Cancelled);
}

fn a_frontier_wait_in_a_chain_holds_up_what_follows(cts: &mut Cts) {
    for failing in [false, true] {
        let tracker = with(1);
        let (first, before) = cts.watch(Nop);
        let (second, wait) = cts.watch(FrontierWait::new(&tracker, frontier(&[(0, 1)])));
        let (third, after) = cts.watch(Nop);
        cts.submit(Chain::new((first, second, third))).unwrap();
        cts.until("the step before", || before.is_done());
        cts.look();
        assert_eq!((wait.calls(), after.calls()), (0, 0));
        if failing {
            tracker.fail(axis(0), lost());
        } else {
            tracker.advance(axis(0), 1).unwrap();
        }
        cts.drain();
        let expected = if failing { [Code::DataLoss, Code::Cancelled] } else { [Code::Ok; 2] };
        assert_eq!([wait.code().unwrap(), after.code().unwrap()], expected);
    }
}

fn an_axis_releases_waits_for_its_semaphore(cts: &mut Cts) {
    let tracker = Tracker::new();
    let semaphore = Semaphore::new(0);
    let handle = tracker.register_with(axis(4), AxisOptions::new().drives(semaphore.clone())).unwrap();
    let (low, high) =
        (cts.start(SemaphoreWait::new(semaphore.clone(), 2)), cts.start(SemaphoreWait::new(semaphore.clone(), 9)));
    cts.look();
    handle.advance(3).unwrap();
    cts.until("the wait for the value", || low.is_done());
    assert_eq!(low.only().result.unwrap().causes.requirement(), Some(&frontier(&[(4, 3)])));
    // W-04: told under no lock, so the tracker can be used by whoever is told.
    handle.fail(lost());
    cts.until("the failure", || high.is_done());
    assert_eq!(high.only().status().code(), Code::DataLoss);
}

fn a_frontier_of_all_entries_is_waited_for(cts: &mut Cts) {
    let tracker = with(255);
    let all = frontier(&(0..255).map(|ordinal| (ordinal, 1)).collect::<Vec<_>>());
    let wait = cts.start(FrontierWait::new(&tracker, all));
    cts.look();
    for ordinal in 0..255 {
        assert_eq!(wait.calls(), 0);
        tracker.advance(axis(ordinal), 1).unwrap();
    }
    cts.until("255 axes", || wait.is_done());
    wait.only().result.unwrap();
}

fn a_frontier_wait_is_reused_for_the_next_frontier(cts: &mut Cts) {
    let tracker = with(2);
    let mut kind = FrontierWait::new(&tracker, Frontier::new());
    for round in 1..=3 {
        kind.set_frontier(&frontier(&[(0, round), (1, round)][..1 + (round % 2) as usize]));
        let wait = cts.start(kind);
        tracker.advance(axis(0), round).unwrap();
        tracker.advance(axis(1), round).unwrap();
        cts.until("the wait", || wait.is_done());
        kind = wait.only().kind;
    }
}

fn an_advance_from_another_thread_ends_the_sleep(cts: &mut Cts) {
    let tracker = with(2);
    let wait = cts.start(FrontierWait::new(&tracker, frontier(&[(0, 1), (1, 1)])));
    let threads = [0, 1].map(|ordinal| {
        let tracker = tracker.clone();
        std::thread::spawn(move || tracker.advance(axis(ordinal), 1).unwrap())
    });
    cts.until("advances from other threads", || wait.is_done());
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    wait.only().result.unwrap();
}

/// W-01, and the hole in the reference's own tests: nothing let a wait and an advance race.
fn advance_and_cancel_race_and_the_frontier_wait_ends_once(cts: &mut Cts) {
    let rounds = 300;
    let tracker = with(2);
    let barrier = Arc::new(Barrier::new(2));
    let advancing = std::thread::spawn({
        let (tracker, barrier) = (tracker.clone(), barrier.clone());
        move || {
            for round in 1..=rounds {
                barrier.wait();
                tracker.advance(axis(0), round).unwrap();
                tracker.advance(axis(1), round).unwrap();
            }
        }
    });
    for round in 1..=rounds {
        barrier.wait();
        let (op, wait) = cts.watch(FrontierWait::new(&tracker, frontier(&[(0, round), (1, round)])));
        let id = cts.submit(op).unwrap();
        if round % 2 == 0 {
            // It may have been reached already; then it ends by that.
            let _ = cts.cancel(id);
        }
        cts.until("the advance or the cancel", || wait.is_done());
        let code = wait.only().result.map_or_else(|status| status.code(), |()| Code::Ok);
        assert!(code == Code::Ok || (round % 2 == 0 && code == Code::Cancelled), "{code}");
    }
    advancing.join().unwrap();
}

fn one_tracker_joins_two_proactors(cts: &mut Cts) {
    let tracker = with(2);
    let (config, other) = (cts.config, tracker.clone());
    let thread = std::thread::spawn(move || {
        let mut cts = Cts::beside(config);
        cts.get(FrontierWait::new(&other, frontier(&[(0, 1)])));
        other.advance(axis(1), 1).unwrap();
    });
    tracker.advance(axis(0), 1).unwrap();
    cts.get(FrontierWait::new(&tracker, frontier(&[(1, 1)])));
    thread.join().unwrap();
}

fn a_device_that_is_lost_ends_a_pipeline(cts: &mut Cts) {
    let tracker = with(3);
    let stages = [0, 1, 2].map(|stage| cts.start(FrontierWait::new(&tracker, frontier(&[(stage, 1)]))));
    let join = cts.start(FrontierWait::new(&tracker, frontier(&[(0, 1), (1, 1), (2, 1)])));
    tracker.advance(axis(0), 1).unwrap();
    cts.until("the first stage", || stages[0].is_done());
    tracker.fail(axis(1), lost());
    cts.until("two waits for the lost device", || stages[1].is_done() && join.is_done());
    assert_eq!((stages[1].code(), join.code()), (Some(Code::DataLoss), Some(Code::DataLoss)));
    assert_eq!(stages[2].calls(), 0);
    tracker.advance(axis(2), 1).unwrap();
    cts.drain();
}
