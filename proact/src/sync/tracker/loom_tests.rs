//! The tracker's protocols under every interleaving and every reordering that the memory model allows:
//! `ci/loom.sh tracker::loom_tests`.

use std::sync::Arc;

use loom::sync::atomic::AtomicU32;
use loom::thread;

use super::*;
use crate::backend::Token;
use crate::causal::Entry;
use crate::sync::loom_work::Work;
use crate::sync::{Sink, Waiter};

/// Counts calls; relaxed, because a count that is not ordered by the protocol itself is a finding.
struct Told {
    reached: AtomicU32,
    failed: AtomicU32,
}

impl Told {
    fn new() -> Arc<Told> {
        Arc::new(Told { reached: AtomicU32::new(0), failed: AtomicU32::new(0) })
    }

    fn counts(&self) -> (u32, u32) {
        (self.reached.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

impl Sink for Told {
    fn reached(&self, _: Token, _: u32) {
        self.reached.fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, _: Token, _: u32) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Does the work, and advances the first axis to `epoch`.
fn working_advance(work: &Arc<Work>, tracker: &Tracker, epoch: u64) -> thread::JoinHandle<bool> {
    let work = work.clone();
    spawn(tracker, move |tracker| {
        work.perform();
        tracker.advance(axis(0), epoch).unwrap()
    })
}

/// Waits, and looks at the work when the wait is told.
fn arm_watcher(work: &Arc<Work>, watch: &mut Watch) -> u32 {
    watch.arm(|index| Party::Operation(Waiter { sink: work.clone(), token: Token::new(0, 0), index })).unwrap()
}

fn axis(queue: u8) -> Axis {
    Axis::queue(1, 0, 0, queue)
}

fn frontier(entries: &[(u8, u64)]) -> Frontier {
    let entries: Vec<Entry> = entries.iter().map(|&(queue, epoch)| Entry::new(axis(queue), epoch)).collect();
    Frontier::from_entries(&entries).unwrap()
}

fn with(capacity: u32, queues: u8) -> Tracker {
    let tracker = Tracker::with_options(&TrackerOptions::new().capacity(capacity)).unwrap();
    (0..queues).for_each(|queue| drop(tracker.register(axis(queue)).unwrap()));
    tracker
}

fn lost() -> Status {
    Status::new(Code::Cancelled, Operation::None)
}

fn arm(watch: &mut Watch, told: &Arc<Told>) -> Result<u32> {
    let told = told.clone();
    watch.arm(|index| Party::Operation(Waiter { sink: told.clone(), token: Token::new(0, 0), index }))
}

fn spawn<T: Send + 'static>(
    tracker: &Tracker,
    work: impl FnOnce(Tracker) -> T + Send + 'static,
) -> thread::JoinHandle<T> {
    let tracker = tracker.clone();
    thread::spawn(move || work(tracker))
}

/// W-01.
#[test]
fn loom_an_advance_and_an_arming_wait_never_miss_each_other() {
    loom::model(|| {
        let (tracker, told) = (with(1, 1), Told::new());
        let advance = spawn(&tracker, |tracker| tracker.advance(axis(0), 1).unwrap());
        let mut watch = tracker.watch(frontier(&[(0, 1)]));
        let at_once = arm(&mut watch, &told).unwrap();
        assert!(advance.join().unwrap());
        assert_eq!(told.counts(), (1 - at_once, 0));
    });
}

#[test]
fn loom_who_sees_an_epoch_sees_what_came_before_it() {
    loom::model(|| {
        let (tracker, work) = (with(1, 1), Arc::new(Work::default()));
        let advance = working_advance(&work, &tracker, 1);
        if tracker.has_reached(axis(0), 1) {
            work.see();
        }
        assert!(advance.join().unwrap());
    });
}

#[test]
fn loom_who_waits_too_late_sees_what_came_before_the_epoch() {
    loom::model(|| {
        let (tracker, work) = (with(1, 1), Arc::new(Work::default()));
        let advance = working_advance(&work, &tracker, 1);
        let mut watch = tracker.watch(frontier(&[(0, 1)]));
        if arm_watcher(&work, &mut watch) == 1 {
            work.see();
        }
        assert!(advance.join().unwrap());
    });
}

/// Who advances to the lower epoch may come to tell both, and hands on what came before the higher one.
#[test]
fn loom_who_is_told_of_anothers_epoch_sees_what_came_before_it() {
    loom::model(|| {
        let (tracker, work, told) = (with(1, 1), Arc::new(Work::default()), Told::new());
        let (mut low, mut high) = (tracker.watch(frontier(&[(0, 1)])), tracker.watch(frontier(&[(0, 2)])));
        assert_eq!((arm(&mut low, &told).unwrap(), arm_watcher(&work, &mut high)), (0, 0));
        let advance = working_advance(&work, &tracker, 2);
        tracker.advance(axis(0), 1).unwrap();
        assert!(advance.join().unwrap());
        assert_eq!(told.counts(), (1, 0));
    });
}

/// A failure tells those whose epoch came first, and hands on what came before that.
#[test]
fn loom_who_is_told_by_a_failure_sees_what_came_before_the_epoch() {
    loom::model(|| {
        let (tracker, work) = (with(1, 1), Arc::new(Work::default()));
        let mut watch = tracker.watch(frontier(&[(0, 1)]));
        assert_eq!(arm_watcher(&work, &mut watch), 0);
        let advance = working_advance(&work, &tracker, 1);
        assert!(tracker.fail(axis(0), lost()));
        advance.join().unwrap();
    });
}

#[test]
fn loom_the_next_wait_is_not_missed_while_the_first_is_told() {
    loom::model(|| {
        let tracker = with(1, 1);
        let (first, second) = (Told::new(), Told::new());
        let mut low = tracker.watch(frontier(&[(0, 1)]));
        assert_eq!(arm(&mut low, &first).unwrap(), 0);
        let slow = spawn(&tracker, |tracker| tracker.advance(axis(0), 1).unwrap());
        let fast = spawn(&tracker, |tracker| tracker.advance(axis(0), 2).unwrap());
        let mut high = tracker.watch(frontier(&[(0, 2)]));
        let at_once = arm(&mut high, &second).unwrap();
        slow.join().unwrap();
        assert!(fast.join().unwrap());
        assert_eq!((first.counts(), second.counts()), ((1, 0), (1 - at_once, 0)));
    });
}

#[test]
fn loom_a_wait_for_two_axes_counts_each_once() {
    loom::model(|| {
        let (tracker, told) = (with(2, 2), Told::new());
        let advances = [0, 1].map(|queue| spawn(&tracker, move |tracker| tracker.advance(axis(queue), 1).unwrap()));
        let mut watch = tracker.watch(frontier(&[(0, 1), (1, 1)]));
        let at_once = arm(&mut watch, &told).unwrap();
        assert!(advances.into_iter().all(|advance| advance.join().unwrap()));
        assert_eq!(told.counts(), (2 - at_once, 0));
    });
}

#[test]
fn loom_disarm_and_advance_agree_on_who_won() {
    loom::model(|| {
        let (tracker, told) = (with(1, 1), Told::new());
        let mut watch = tracker.watch(frontier(&[(0, 1)]));
        assert_eq!(arm(&mut watch, &told).unwrap(), 0);
        let advance = spawn(&tracker, |tracker| tracker.advance(axis(0), 1).unwrap());
        watch.disarm();
        // Whoever was told was told by now.
        let counts = told.counts();
        assert!(advance.join().unwrap());
        assert_eq!(told.counts(), counts);
    });
}

#[test]
fn loom_a_wait_hears_of_the_advance_or_of_the_failure() {
    loom::model(|| {
        let (tracker, told) = (with(1, 1), Told::new());
        let mut watch = tracker.watch(frontier(&[(0, 1)]));
        assert_eq!(arm(&mut watch, &told).unwrap(), 0);
        let advance = spawn(&tracker, |tracker| tracker.advance(axis(0), 1).unwrap());
        assert!(tracker.fail(axis(0), lost()));
        let rose = advance.join().unwrap();
        let (reached, failed) = told.counts();
        assert_eq!(reached + failed, 1);
        assert!(rose || failed == 1);
    });
}

#[test]
fn loom_arming_against_advance_and_failure_is_answered_once() {
    loom::model(|| {
        let (tracker, told) = (with(1, 1), Told::new());
        let advance = spawn(&tracker, |tracker| tracker.advance(axis(0), 1).unwrap());
        let fail = spawn(&tracker, |tracker| tracker.fail(axis(0), lost()));
        let mut watch = tracker.watch(frontier(&[(0, 1)]));
        let armed = arm(&mut watch, &told).map_err(|status| status.code());
        advance.join().unwrap();
        assert!(fail.join().unwrap());
        let (reached, failed) = told.counts();
        match armed {
            Ok(1) | Err(Code::Cancelled) => assert_eq!((reached, failed), (0, 0)),
            Ok(_) => assert_eq!(reached + failed, 1),
            Err(code) => panic!("{code}"),
        }
    });
}

/// A failure is told to a wait for several axes exactly once an entry, and stays to be asked for.
#[test]
fn loom_a_failure_reaches_a_wait_for_two_axes_whichever_was_reached() {
    loom::model(|| {
        let (tracker, told) = (with(2, 2), Told::new());
        let mut watch = tracker.watch(frontier(&[(0, 1), (1, 1)]));
        assert_eq!(arm(&mut watch, &told).unwrap(), 0);
        let advance = spawn(&tracker, |tracker| tracker.advance(axis(0), 1).unwrap());
        assert!(tracker.fail(axis(0), lost()));
        advance.join().unwrap();
        assert!(told.counts().1 >= 1, "it waits for the other axis and was not told");
        assert_eq!(watch.failure(0).code(), Code::Cancelled);
    });
}

/// W-06: an advance by name, held up while the place changes hands, must not move the next axis.
#[test]
fn loom_an_advance_that_was_held_up_moves_no_other_axis() {
    loom::model(|| {
        let tracker = with(1, 1);
        let late = spawn(&tracker, |tracker| tracker.advance(axis(0), 5).unwrap());
        assert!(tracker.retire(axis(0)));
        let next = tracker.register(axis(1)).unwrap();
        assert_eq!(tracker.epoch(axis(1)), Some(0));
        assert!(next.advance(1).unwrap());
        late.join().unwrap();
        assert_eq!(tracker.epoch(axis(1)), Some(1));
    });
}

/// The same by a handle, which looks nothing up.
#[test]
fn loom_a_handle_that_was_held_up_moves_no_other_axis() {
    loom::model(|| {
        let tracker = Tracker::with_options(&TrackerOptions::new().capacity(1)).unwrap();
        let handle = tracker.register(axis(0)).unwrap();
        let late = thread::spawn(move || handle.advance(5).unwrap());
        assert!(tracker.retire(axis(0)));
        let next = tracker.register(axis(1)).unwrap();
        assert_eq!(tracker.epoch(axis(1)), Some(0));
        late.join().unwrap();
        assert!(next.advance(1).unwrap());
        assert_eq!(tracker.epoch(axis(1)), Some(1));
    });
}

/// Two axes take turns in one place, under the same name: what is read of one is never the other's.
#[test]
fn loom_a_query_reads_no_other_axis() {
    loom::model(|| {
        let tracker = with(1, 1);
        tracker.advance(axis(0), 3).unwrap();
        let reader = spawn(&tracker, |tracker| (tracker.epoch(axis(0)), tracker.epoch(axis(1))));
        tracker.retire(axis(0));
        tracker.register(axis(1)).unwrap().advance(7).unwrap();
        let (zero, one) = reader.join().unwrap();
        assert!(matches!(zero, None | Some(3)), "{zero:?}");
        assert!(matches!(one, None | Some(0 | 7)), "{one:?}");
    });
}

/// An axis that stays is found at any time, whoever joins and leaves beside it: also by who stands on the place that
/// leaves, and is led into another list.
#[test]
fn loom_an_axis_is_found_while_others_join_and_leave() {
    loom::model(|| {
        let tracker = Tracker::with_options(&TrackerOptions::new().capacity(2)).unwrap();
        let stays = axis(0);
        let beside = |other: &Axis| std::ptr::eq(tracker.inner.index.bucket(*other), tracker.inner.index.bucket(stays));
        let leaves = (1..=u8::MAX).map(axis).find(beside).unwrap();
        let joins = (1..=u8::MAX).map(axis).find(|other| !beside(other)).unwrap();
        tracker.register(stays).unwrap();
        // Stands before the other in the list.
        tracker.register(leaves).unwrap();
        let reader = spawn(&tracker, move |tracker| (tracker.epoch(stays), tracker.epoch(axis(255))));
        assert!(tracker.retire(leaves));
        tracker.register(joins).unwrap();
        assert_eq!(reader.join().unwrap(), (Some(0), None));
    });
}

/// The place changes hands while its old axis is still advanced: a start that is only tried out is nobody's.
#[test]
fn loom_a_query_takes_no_start_that_is_tried_out() {
    loom::model(|| {
        let tracker = Tracker::with_options(&TrackerOptions::new().capacity(1)).unwrap();
        let old = tracker.register(axis(0)).unwrap();
        let late = thread::spawn(move || old.advance(5).unwrap());
        let reader = spawn(&tracker, |tracker| tracker.inner.record(0).epoch(axis(0)));
        assert!(tracker.retire(axis(0)));
        tracker.register(axis(1)).unwrap();
        late.join().unwrap();
        let epoch = reader.join().unwrap();
        assert!(matches!(epoch, None | Some(0 | 5)), "{epoch:?}");
    });
}

/// An axis that stays is found while others come to stand before it in its list, and the first of them leaves.
#[test]
fn loom_an_axis_is_found_while_others_come_before_it() {
    loom::model(|| {
        let tracker = Tracker::with_options(&TrackerOptions::new().capacity(3)).unwrap();
        let stays = axis(0);
        let beside = |other: &Axis| std::ptr::eq(tracker.inner.index.bucket(*other), tracker.inner.index.bucket(stays));
        let mut others = (1..=u8::MAX).map(axis).filter(beside);
        let (second, third) = (others.next().unwrap(), others.next().unwrap());
        tracker.register(stays).unwrap();
        let reader = spawn(&tracker, move |tracker| tracker.epoch(stays));
        tracker.register(second).unwrap();
        tracker.register(third).unwrap();
        assert!(tracker.retire(third));
        assert_eq!(reader.join().unwrap(), Some(0));
    });
}

#[test]
fn loom_registering_is_seen_whole() {
    loom::model(|| {
        let (tracker, told) = (with(2, 1), Told::new());
        let registering = spawn(&tracker, |tracker| {
            let handle = tracker.register(axis(1)).unwrap();
            handle.advance(1).unwrap()
        });
        let mut watch = tracker.watch(frontier(&[(1, 1)]));
        let armed = arm(&mut watch, &told).map_err(|status| status.code());
        assert!(registering.join().unwrap());
        match armed {
            Err(Code::NotFound) => assert_eq!(told.counts(), (0, 0)),
            Ok(at_once) => assert_eq!(told.counts(), (1 - at_once, 0)),
            Err(code) => panic!("{code}"),
        }
    });
}

#[test]
fn loom_retiring_against_arming_is_answered_once() {
    loom::model(|| {
        let (tracker, told) = (with(1, 1), Told::new());
        let retire = spawn(&tracker, |tracker| {
            assert!(tracker.retire(axis(0)));
            // The place is given away only if the wait does not stand in its line.
            tracker.register(axis(1)).is_ok()
        });
        let mut watch = tracker.watch(frontier(&[(0, 1)]));
        let armed = arm(&mut watch, &told).map_err(|status| status.code());
        let given_away = retire.join().unwrap();
        match armed {
            Ok(0) => {
                assert_eq!((told.counts(), given_away), ((0, 1), false));
                assert_eq!(watch.failure(0).code(), Code::Cancelled);
            }
            Err(Code::Cancelled | Code::NotFound) => assert_eq!(told.counts(), (0, 0)),
            other => panic!("{other:?}"),
        }
    });
}

/// W-02.
#[test]
fn loom_advances_that_race_show_the_later_epoch_to_the_semaphore() {
    loom::model(|| {
        let tracker = Tracker::with_options(&TrackerOptions::new().capacity(1)).unwrap();
        let semaphore = Semaphore::new(0);
        tracker.register_with(axis(0), AxisOptions::new().drives(semaphore.clone())).unwrap();
        let low = spawn(&tracker, |tracker| tracker.advance(axis(0), 1).unwrap());
        assert!(tracker.advance(axis(0), 2).unwrap());
        low.join().unwrap();
        assert_eq!((semaphore.value(), semaphore.status().is_none()), (2, true));
    });
}

#[test]
fn loom_the_last_handle_and_an_advance_tell_a_wait_once() {
    loom::model(|| {
        let (tracker, told) = (with(1, 1), Told::new());
        let mut watch = tracker.watch(frontier(&[(0, 1)]));
        assert_eq!(arm(&mut watch, &told).unwrap(), 0);
        let advance = spawn(&tracker, |tracker| _ = tracker.advance(axis(0), 1).unwrap());
        drop(tracker);
        advance.join().unwrap();
        let (reached, failed) = told.counts();
        assert_eq!((reached, failed), (1, 0), "the thread's handle was the last, and had advanced before");
        watch.disarm();
    });
}
