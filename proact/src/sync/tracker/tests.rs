//! What a tracker promises: the reference's cases, the faults that it had, and threads that race.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64 as Counter, AtomicUsize};
use std::sync::{Arc, Barrier, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use super::*;
use crate::causal::{Completeness, Domain, Entry};

mod wakers;

fn axis(ordinal: u64) -> Axis {
    Axis::new(1, 0, Domain::Host, ordinal).unwrap()
}

fn frontier(entries: &[(u64, u64)]) -> Frontier {
    let entries: Vec<Entry> = entries.iter().map(|&(ordinal, epoch)| Entry::new(axis(ordinal), epoch)).collect();
    Frontier::from_entries(&entries).unwrap()
}

fn tracker(capacity: u32) -> Tracker {
    Tracker::with_options(&TrackerOptions::new().capacity(capacity)).unwrap()
}

/// A tracker of these axes.
fn with(ordinals: std::ops::Range<u64>) -> Tracker {
    let tracker = Tracker::new();
    ordinals.for_each(|ordinal| drop(tracker.register(axis(ordinal)).unwrap()));
    tracker
}

fn lost() -> Status {
    Status::new(Code::DataLoss, Operation::None).with_message("the device is gone")
}

/// Counts how often it is woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Bell>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A wait that has been polled once.
struct Waiting {
    future: Pin<Box<FrontierReached>>,
    bell: Arc<Bell>,
}

impl Waiting {
    fn poll(&mut self) -> Option<Result> {
        let waker = Waker::from(self.bell.clone());
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => Some(result),
            Poll::Pending => None,
        }
    }

    fn wakes(&self) -> usize {
        self.bell.0.load(Ordering::Relaxed)
    }

    /// The code of its end, which it was woken for once.
    #[track_caller]
    fn end(mut self) -> Code {
        assert_eq!(self.wakes(), 1, "wakes");
        self.poll().expect("it was woken for its end").map_or_else(|status| status.code(), |()| Code::Ok)
    }

    #[track_caller]
    fn waits(&mut self) {
        assert_eq!(self.wakes(), 0);
        assert!(self.poll().is_none());
    }
}

#[track_caller]
fn wait(tracker: &Tracker, entries: &[(u64, u64)]) -> Waiting {
    let mut waiting = Waiting { future: Box::pin(tracker.reached(frontier(entries))), bell: Arc::default() };
    assert!(waiting.poll().is_none(), "it ended at once");
    waiting
}

/// The end of a wait that does not wait.
#[track_caller]
fn at_once(tracker: &Tracker, entries: &[(u64, u64)]) -> Code {
    let mut waiting = Waiting { future: Box::pin(tracker.reached(frontier(entries))), bell: Arc::default() };
    let result = waiting.poll().expect("it waits");
    assert_eq!(waiting.wakes(), 0);
    result.map_or_else(|status| status.code(), |()| Code::Ok)
}

/// Runs a future on this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Unpark>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

// Making, registering.

#[test]
fn a_tracker_knows_its_session_and_machine() {
    assert_eq!((Tracker::new().session(), Tracker::default().machine()), (1, 0));
    let tracker = Tracker::with_options(&TrackerOptions::default().session(7).machine(9)).unwrap();
    assert_eq!((tracker.session(), tracker.machine()), (7, 9));
    let refused = Tracker::with_options(&TrackerOptions::new().capacity(TrackerOptions::CAPACITY_MAX + 1));
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn a_full_tracker_refuses_and_one_for_nothing_refuses_at_once() {
    assert_eq!(tracker(0).register(axis(0)).unwrap_err().code(), Code::ResourceExhausted);
    assert!(tracker(0).epoch(axis(0)).is_none());
    let tracker = tracker(65);
    (0..65).for_each(|ordinal| drop(tracker.register(axis(ordinal)).unwrap()));
    assert_eq!(tracker.register(axis(65)).unwrap_err().code(), Code::ResourceExhausted);
    assert!((0..65).all(|ordinal| tracker.epoch(axis(ordinal)) == Some(0)));
}

#[test]
fn an_axis_is_registered_once_and_that_is_asked_before_room() {
    let tracker = tracker(1);
    let handle = tracker.register(axis(3)).unwrap();
    assert_eq!(tracker.register(axis(3)).unwrap_err().code(), Code::AlreadyExists);
    assert!(handle.fail(lost()));
    assert_eq!(tracker.register(axis(3)).unwrap_err().code(), Code::AlreadyExists, "failed is not retired");
    assert_eq!(handle.axis(), axis(3));
}

#[test]
fn the_last_handle_ends_who_waits() {
    let tracker = Tracker::new();
    let (clone, handle) = (tracker.clone(), tracker.register(axis(0)).unwrap());
    tracker.register(axis(1)).unwrap();
    let (mut one, both) = (wait(&tracker, &[(0, 1)]), wait(&tracker, &[(0, 1), (1, 1)]));
    let late = tracker.reached(frontier(&[(0, 1)]));
    drop(tracker);
    drop(clone);
    one.waits();
    drop(handle);
    assert_eq!((one.end(), both.end()), (Code::Cancelled, Code::Cancelled));
    assert_eq!(block_on(late).unwrap_err().code(), Code::Cancelled);
}

#[test]
fn a_tracker_without_waiters_goes_quietly() {
    let tracker = with(0..3);
    drop(wait(&tracker, &[(0, 1), (2, 1)]));
    drop(tracker);
}

// Advancing.

#[test]
fn an_axis_rises_and_never_falls() {
    let tracker = with(0..1);
    assert_eq!(tracker.epoch(axis(0)), Some(0));
    for (epoch, rose, now) in [(5, true, 5), (3, false, 5), (5, false, 5), (0, false, 5), (6, true, 6)] {
        assert_eq!(tracker.advance(axis(0), epoch).unwrap(), rose);
        assert_eq!(tracker.epoch(axis(0)), Some(now));
    }
    assert!(tracker.has_reached(axis(0), 6) && !tracker.has_reached(axis(0), 7));
}

#[test]
fn the_largest_epoch_is_reached_and_one_above_it_is_refused() {
    let tracker = with(0..1);
    let waiting = wait(&tracker, &[(0, Tracker::EPOCH_MAX)]);
    assert_eq!(tracker.advance(axis(0), Tracker::EPOCH_MAX + 1).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(at_once(&tracker, &[(0, Tracker::EPOCH_MAX + 1)]), Code::InvalidArgument);
    assert!(tracker.advance(axis(0), Tracker::EPOCH_MAX).unwrap());
    assert_eq!(tracker.epoch(axis(0)), Some(Tracker::EPOCH_MAX));
    assert_eq!(waiting.end(), Code::Ok);
}

#[test]
fn an_unknown_axis_is_ignored() {
    let tracker = with(0..1);
    assert!(!tracker.advance(axis(9), 1).unwrap());
    assert_eq!((tracker.epoch(axis(9)), tracker.has_reached(axis(9), 0)), (None, false));
    assert!(!tracker.fail(axis(9), lost()) && !tracker.retire(axis(9)));
}

// Waiting.

#[test]
fn what_has_been_reached_does_not_wait() {
    let tracker = with(0..2);
    assert_eq!(at_once(&tracker, &[]), Code::Ok);
    tracker.advance(axis(0), 5).unwrap();
    tracker.advance(axis(1), 1).unwrap();
    assert_eq!(at_once(&tracker, &[(0, 5)]), Code::Ok);
    assert_eq!(at_once(&tracker, &[(0, 2), (1, 1)]), Code::Ok);
    assert!(tracker.is_reached(&frontier(&[(0, 5), (1, 1)])).unwrap());
}

#[test]
fn an_unknown_axis_is_told_at_once_and_nothing_waits() {
    let tracker = with(0..1);
    assert_eq!(at_once(&tracker, &[(0, 1), (1, 1)]), Code::NotFound);
    assert_eq!(tracker.is_reached(&frontier(&[(0, 1), (1, 1)])).unwrap_err().code(), Code::NotFound);
    let status = block_on(tracker.reached(frontier(&[(1, 1)]))).unwrap_err();
    assert_eq!(status.to_string(), "frontier wait axis 1.0.host.1: it is not registered (NOT_FOUND)");
}

#[test]
fn a_wait_ends_with_the_last_of_its_axes() {
    let tracker = with(0..2);
    let mut waiting = wait(&tracker, &[(0, 3), (1, 2)]);
    tracker.advance(axis(0), 3).unwrap();
    waiting.waits();
    tracker.advance(axis(1), 1).unwrap();
    waiting.waits();
    tracker.advance(axis(1), 7).unwrap();
    assert_eq!(waiting.end(), Code::Ok);
}

#[test]
fn everyone_who_waits_for_it_is_told_and_nobody_else() {
    let tracker = with(0..2);
    let same: Vec<_> = (0..20).map(|_| wait(&tracker, &[(0, 2)])).collect();
    let (mut later, mut other) = (wait(&tracker, &[(0, 3)]), wait(&tracker, &[(1, 1)]));
    tracker.advance(axis(0), 2).unwrap();
    assert!(same.into_iter().all(|waiting| waiting.end() == Code::Ok));
    later.waits();
    other.waits();
}

#[test]
fn a_wait_that_is_dropped_is_not_woken_and_holds_nothing() {
    let tracker = with(0..2);
    let waiting = wait(&tracker, &[(0, 1), (1, 1)]);
    let bell: Weak<Bell> = Arc::downgrade(&waiting.bell);
    drop(waiting);
    assert!(bell.upgrade().is_none(), "its waker is still held");
    tracker.advance(axis(0), 1).unwrap();
    // Told first, dropped then.
    let told = wait(&tracker, &[(1, 1)]);
    tracker.advance(axis(1), 1).unwrap();
    drop(told);
}

#[test]
fn the_last_waker_is_woken() {
    let tracker = with(0..1);
    let mut waiting = wait(&tracker, &[(0, 1)]);
    let first = std::mem::take(&mut waiting.bell);
    assert!(waiting.poll().is_none());
    tracker.advance(axis(0), 1).unwrap();
    assert_eq!(first.0.load(Ordering::Relaxed), 0);
    assert_eq!(waiting.end(), Code::Ok);
}

// Failing and retiring.

#[test]
fn a_failed_axis_fails_who_waits_and_who_comes() {
    let tracker = Tracker::new();
    tracker.register_with(axis(0), AxisOptions::new().name("copy queue")).unwrap();
    tracker.advance(axis(0), 5).unwrap();
    let waiting = wait(&tracker, &[(0, 6)]);
    assert!(tracker.fail(axis(0), lost()));
    assert!(!tracker.fail(axis(0), Status::new(Code::Aborted, Operation::None)), "the first failure stays");
    assert_eq!(waiting.end(), Code::DataLoss);
    assert_eq!(at_once(&tracker, &[(0, 9)]), Code::DataLoss);
    assert_eq!(at_once(&tracker, &[(0, 5)]), Code::DataLoss, "reached before, and failed all the same");
    assert!(!tracker.advance(axis(0), 6).unwrap());
    assert_eq!(tracker.epoch(axis(0)), Some(5), "how far it came can still be asked");
    let status = block_on(tracker.reached(frontier(&[(0, 1)]))).unwrap_err();
    assert_eq!(status.to_string(), "axis 1.0.host.0 \"copy queue\": the device is gone (DATA_LOSS)");
}

/// W-03: a pending axis hid a failed one behind it.
#[test]
fn a_failed_axis_is_seen_behind_a_pending_one() {
    let tracker = with(0..3);
    tracker.fail(axis(2), lost());
    assert_eq!(at_once(&tracker, &[(0, 1), (2, 1)]), Code::DataLoss);
    assert_eq!(tracker.is_reached(&frontier(&[(0, 1), (2, 1)])).unwrap_err().code(), Code::DataLoss);
    tracker.fail(axis(1), Status::new(Code::Aborted, Operation::None));
    assert_eq!(at_once(&tracker, &[(0, 1), (1, 1), (2, 1)]), Code::Aborted, "the first entry's");
}

#[test]
fn one_failed_axis_of_several_fails_the_wait_also_when_that_one_was_reached() {
    let tracker = with(0..3);
    let (pending, reached) = (wait(&tracker, &[(0, 1), (1, 1)]), wait(&tracker, &[(0, 1), (2, 1)]));
    tracker.advance(axis(0), 1).unwrap();
    tracker.fail(axis(1), lost());
    assert_eq!(pending.end(), Code::DataLoss);
    tracker.fail(axis(0), Status::new(Code::Aborted, Operation::None));
    assert_eq!(reached.end(), Code::Aborted);
}

#[test]
fn what_was_reached_before_the_failure_stays_reached_for_who_waited() {
    let tracker = with(0..1);
    let waiting = wait(&tracker, &[(0, 1)]);
    tracker.advance(axis(0), 1).unwrap();
    tracker.fail(axis(0), lost());
    assert_eq!(waiting.end(), Code::Ok);
}

#[test]
fn a_retired_axis_is_cancelled_for_who_waits_and_who_comes() {
    let tracker = Tracker::new();
    let handle = tracker.register_with(axis(0), AxisOptions::new().name("peer 4")).unwrap();
    let waiting = wait(&tracker, &[(0, 1)]);
    assert!(handle.retire());
    assert!(!handle.retire() && !tracker.retire(axis(0)));
    assert_eq!(waiting.end(), Code::Cancelled);
    assert_eq!(at_once(&tracker, &[(0, 1)]), Code::Cancelled);
    assert!(!handle.advance(3).unwrap() && !handle.fail(lost()));
    let status = block_on(tracker.reached(frontier(&[(0, 1)]))).unwrap_err();
    assert_eq!(status.to_string(), "frontier wait axis 1.0.host.0 \"peer 4\": it was retired (CANCELLED)");
}

#[test]
fn an_axis_that_failed_before_it_was_retired_keeps_its_failure() {
    let tracker = with(0..1);
    tracker.fail(axis(0), lost());
    assert!(tracker.retire(axis(0)));
    assert_eq!(at_once(&tracker, &[(0, 1)]), Code::DataLoss);
}

/// W-07: a retired axis kept its place for ever.
#[test]
fn retired_axes_give_their_places_back_the_longest_retired_first() {
    let tracker = tracker(2);
    let handle = tracker.register(axis(0)).unwrap();
    tracker.register(axis(1)).unwrap();
    handle.advance(40).unwrap();
    tracker.retire(axis(0));
    tracker.retire(axis(1));
    let other = tracker.register(axis(2)).unwrap();
    // 0 is forgotten, 1 remembered.
    assert_eq!(tracker.epoch(axis(2)), Some(0));
    assert_eq!(at_once(&tracker, &[(0, 1)]), Code::NotFound);
    assert_eq!(at_once(&tracker, &[(1, 1)]), Code::Cancelled);
    // The old handle finds no one: neither by its place nor by its name.
    assert!(!handle.advance(50).unwrap() && !handle.fail(lost()) && !handle.retire());
    assert_eq!(tracker.epoch(axis(2)), Some(0));
    assert!(other.advance(1).unwrap());
    for ordinal in 3..10_000 {
        let handle = tracker.register(axis(ordinal)).unwrap();
        let waiting = wait(&tracker, &[(ordinal, 2)]);
        handle.advance(2).unwrap();
        assert_eq!(waiting.end(), Code::Ok);
        handle.retire();
    }
    assert_eq!(tracker.epoch(axis(2)), Some(1));
}

#[test]
fn a_name_that_is_registered_again_is_another_axis() {
    let tracker = tracker(4);
    let old = tracker.register(axis(0)).unwrap();
    old.advance(10).unwrap();
    let waiting = wait(&tracker, &[(0, 11)]);
    old.retire();
    let new = tracker.register(axis(0)).unwrap();
    assert_eq!(tracker.epoch(axis(0)), Some(0));
    let mut again = wait(&tracker, &[(0, 1)]);
    assert!(!old.advance(12).unwrap() && !old.fail(lost()) && !old.retire());
    again.waits();
    assert!(new.advance(1).unwrap());
    assert_eq!((again.end(), waiting.end()), (Code::Ok, Code::Cancelled));
}

#[test]
fn a_place_is_not_given_away_while_a_wait_may_ask_why_it_ended() {
    let tracker = tracker(1);
    tracker.register(axis(0)).unwrap();
    let waiting = wait(&tracker, &[(0, 1)]);
    tracker.retire(axis(0));
    let refused = tracker.register(axis(1)).unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert_eq!(
        refused.to_string(),
        "register axis 1.0.host.1: all 1 places are taken, 1 by axes that were retired and are still asked for \
         (RESOURCE_EXHAUSTED)"
    );
    assert_eq!(waiting.end(), Code::Cancelled);
    tracker.register(axis(1)).unwrap();
}

#[test]
fn a_place_whose_count_is_used_up_is_not_used_again() {
    let tracker = tracker(1);
    let handle = tracker.register(axis(0)).unwrap();
    handle.advance(Tracker::EPOCH_MAX).unwrap();
    handle.retire();
    assert_eq!(tracker.register(axis(1)).unwrap_err().code(), Code::ResourceExhausted);
}

// Semaphores.

#[test]
fn an_axis_drives_its_semaphore_and_says_what_it_was_caused_by() {
    let tracker = Tracker::new();
    let semaphore = Semaphore::new(0);
    let handle = tracker.register_with(axis(0), AxisOptions::new().drives(semaphore.clone())).unwrap();
    handle.advance(3).unwrap();
    tracker.advance(axis(0), 7).unwrap();
    tracker.advance(axis(0), 5).unwrap();
    assert_eq!(semaphore.value(), 7);
    let causes = semaphore.causes(3).unwrap();
    assert_eq!((causes.frontier, causes.completeness), (frontier(&[(0, 3)]), Completeness::Exact));
    handle.fail(lost());
    assert_eq!(semaphore.status().unwrap().code(), Code::DataLoss);
    assert_eq!(semaphore.value(), 7);
}

#[test]
fn retiring_an_axis_lets_its_semaphore_go() {
    let tracker = Tracker::new();
    let semaphore = Semaphore::new(0);
    let handle = tracker.register_with(axis(0), AxisOptions::new().drives(semaphore.clone())).unwrap();
    handle.advance(1).unwrap();
    handle.retire();
    handle.advance(2).unwrap();
    assert_eq!((semaphore.value(), semaphore.status().is_none()), (1, true));
}

/// W-02: the slower of two advances found the semaphore ahead of it, and failed it.
#[test]
fn advances_that_race_never_fail_the_semaphore() {
    let tracker = Tracker::new();
    let semaphore = Semaphore::new(0);
    tracker.register_with(axis(0), AxisOptions::new().drives(semaphore.clone())).unwrap();
    thread::scope(|scope| {
        for first in 1..=4u64 {
            let tracker = &tracker;
            scope.spawn(move || (0..5000).for_each(|step| _ = tracker.advance(axis(0), first + 4 * step).unwrap()));
        }
    });
    assert_eq!((tracker.epoch(axis(0)), semaphore.value()), (Some(20_000), 20_000));
    assert!(semaphore.status().is_none());
}

/// Comes back into the tracker when it is told.
struct Reenters(Tracker, Counter);

impl crate::sync::Sink for Reenters {
    fn reached(&self, _: crate::backend::Token, _: u32) {}

    fn failed(&self, _: crate::backend::Token, _: u32) {
        let entered = !self.0.advance(axis(0), 9).unwrap() && self.0.register(axis(1)).is_ok();
        self.1.store(1 + u64::from(entered), Ordering::Relaxed);
    }
}

/// W-04: the semaphore failed under the tracker's lock, and whoever was told and came back stood before it for ever.
#[test]
fn who_is_told_of_the_semaphores_failure_may_use_the_tracker() {
    let tracker = Tracker::new();
    let semaphore = Semaphore::new(0);
    tracker.register_with(axis(0), AxisOptions::new().drives(semaphore.clone())).unwrap();
    let told = Arc::new(Reenters(tracker.clone(), Counter::new(0)));
    let waiter = crate::sync::Waiter { sink: told.clone(), token: crate::backend::Token::new(0, 0), index: 0 };
    assert!(matches!(semaphore.arm(1, waiter), crate::sync::Armed::Pending(_)));
    assert!(tracker.fail(axis(0), lost()));
    assert_eq!(told.1.load(Ordering::Relaxed), 2);
}

// Threads.

#[test]
fn eight_threads_advance_different_axes() {
    let tracker = with(0..8);
    let waits: Vec<_> = (0..8).map(|ordinal| wait(&tracker, &[(ordinal, 1000)])).collect();
    let all = wait(&tracker, &(0..8).map(|ordinal| (ordinal, 500)).collect::<Vec<_>>());
    thread::scope(|scope| {
        for ordinal in 0..8 {
            let tracker = &tracker;
            scope.spawn(move || (1..=1000).for_each(|epoch| _ = tracker.advance(axis(ordinal), epoch).unwrap()));
        }
    });
    assert!(waits.into_iter().all(|waiting| waiting.end() == Code::Ok));
    assert_eq!(all.end(), Code::Ok);
}

#[test]
fn sixteen_threads_advance_one_axis_and_the_wait_ends_once() {
    let tracker = with(0..1);
    let waiting = wait(&tracker, &[(0, 50)]);
    let rose = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..16 {
            let tracker = &tracker;
            let advance = move || (1..=100).filter(|&epoch| tracker.advance(axis(0), epoch).unwrap()).count();
            let rose = &rose;
            scope.spawn(move || rose.fetch_add(advance(), Ordering::Relaxed));
        }
    });
    assert_eq!((tracker.epoch(axis(0)), waiting.end()), (Some(100), Code::Ok));
    let rose = rose.load(Ordering::Relaxed);
    assert!((1..=100).contains(&rose), "each epoch is risen to by one thread at most: {rose}");
}

/// W-01: the waiter looked before the advance, the advance before the waiter, and nobody was woken.
#[test]
fn a_wait_that_races_with_the_advance_is_never_missed() {
    let tracker = with(0..2);
    let both = |epoch| frontier(&[(0, epoch), (1, epoch)]);
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            for epoch in 1..=2000 {
                barrier.wait();
                tracker.advance(axis(0), epoch).unwrap();
                tracker.advance(axis(1), epoch).unwrap();
            }
        });
        for epoch in 1..=2000 {
            barrier.wait();
            block_on(tracker.reached(both(epoch))).unwrap();
        }
    });
}

/// W-06: the table was read without a lock, and so could not be changed while work ran.
#[test]
fn axes_join_and_leave_while_others_advance_and_wait() {
    let tracker = tracker(16);
    let steady = tracker.register(axis(0)).unwrap();
    let running = std::sync::atomic::AtomicBool::new(true);
    thread::scope(|scope| {
        let (tracker, running) = (&tracker, &running);
        // Names are used again at once, so that look-ups meet places that change hands.
        let churn = |side: u64| {
            for round in 1..3000u64 {
                let ordinal = 1 + side + 2 * (round % 5);
                let handle = tracker.register(axis(ordinal)).unwrap();
                let waiting = wait(tracker, &[(0, round), (ordinal, 2)]);
                handle.advance(1 + round % 2).unwrap();
                if round % 2 == 0 {
                    handle.retire();
                    assert_eq!(waiting.end(), Code::Cancelled);
                } else {
                    tracker.advance(axis(0), round).unwrap();
                    assert_eq!(block_on(waiting.future).map_err(|status| status.code()), Ok(()));
                    handle.retire();
                }
            }
        };
        let churn = [0, 1].map(|side| scope.spawn(move || churn(side)));
        // Others advance by name what may be gone, or not yet there, or another's; far enough to be seen if it hit one.
        scope.spawn(move || {
            let mut step = 0u64;
            while running.load(Ordering::Relaxed) {
                step += 1;
                tracker.advance(axis(1 + step % 10), 1).unwrap();
                assert!(tracker.epoch(axis(1 + step % 10)).is_none_or(|epoch| epoch <= 2));
                assert!(!tracker.advance(axis(1000 + step % 10), 99).unwrap());
            }
        });
        churn.into_iter().for_each(|thread| thread.join().unwrap());
        running.store(false, Ordering::Relaxed);
    });
    assert!(steady.advance(1_000_000).unwrap());
}

#[test]
fn advance_cancel_and_fail_race_for_2000_rounds() {
    for round in 0..2000u64 {
        let tracker = with(0..2);
        let waiting = tracker.reached(frontier(&[(0, 1), (1, 1)]));
        let barrier = Barrier::new(3);
        let end = thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                tracker.advance(axis(0), 1).unwrap();
                tracker.advance(axis(1), 1).unwrap();
            });
            scope.spawn(|| {
                barrier.wait();
                tracker.fail(axis(round % 2), lost())
            });
            barrier.wait();
            if round % 3 == 0 {
                let mut waiting = Box::pin(waiting);
                _ = waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                None
            } else {
                Some(block_on(waiting))
            }
        });
        // Reached before the failure, or failed: which one depends on who came first, and both are whole.
        if let Some(Err(status)) = end {
            assert_eq!(status.code(), Code::DataLoss);
        }
    }
}

// Scenarios.

#[test]
fn a_pipeline_of_devices_goes_step_by_step() {
    let tracker = with(0..3);
    let mut stages: Vec<_> = (0..3).map(|stage| wait(&tracker, &[(stage, 1)])).collect();
    for stage in 0..3 {
        stages.iter_mut().for_each(Waiting::waits);
        tracker.advance(axis(stage), 1).unwrap();
        assert_eq!(stages.remove(0).end(), Code::Ok);
    }
}

#[test]
fn work_fans_out_and_in() {
    let tracker = with(0..5);
    let out: Vec<_> = (1..4).map(|_| wait(&tracker, &[(0, 1)])).collect();
    let mut join = wait(&tracker, &[(1, 1), (2, 1), (3, 1)]);
    tracker.advance(axis(0), 1).unwrap();
    assert!(out.into_iter().all(|waiting| waiting.end() == Code::Ok));
    tracker.advance(axis(3), 1).unwrap();
    tracker.advance(axis(1), 1).unwrap();
    join.waits();
    tracker.advance(axis(2), 1).unwrap();
    assert_eq!(join.end(), Code::Ok);
}

#[test]
fn a_lost_device_fails_all_who_need_it() {
    let tracker = with(0..3);
    let (first, second) = (wait(&tracker, &[(0, 9)]), wait(&tracker, &[(0, 4), (1, 1)]));
    let mut other = wait(&tracker, &[(2, 1)]);
    tracker.fail(axis(0), lost());
    assert_eq!((first.end(), second.end()), (Code::DataLoss, Code::DataLoss));
    other.waits();
}
