//! Timers.

use std::time::Duration;

use proact::operation::{Op, OperationId, Timer};
use proact::status::Code;
use proact::time::{Time, Timeout};

use crate::bench::{Cts, Watch};
use crate::cases;

cases![
    timers_fire_in_the_order_of_their_deadlines,
    timers_of_one_deadline_fire_first_in_first_out,
    a_past_deadline_fires_on_the_next_poll,
    a_timer_never_fires_early,
    a_timer_does_not_fire_much_later_than_the_poll_it_ends,
    a_cancelled_timer_ends_cancelled_and_the_others_fire,
    a_timer_of_the_far_future_waits_for_its_cancel,
    ten_thousand_timers_with_random_cancels_all_end_once,
    the_poll_timeout_is_kept_whatever_timers_wait,
    a_timer_that_is_reset_fires_at_its_new_time,
    what_is_no_timer_that_waits_is_not_reset,
    random_resets_and_cancels_agree_with_a_sorted_map,
    a_timer_submitted_from_another_thread_shortens_the_sleep.real("other threads"),
];

fn timers_fire_in_the_order_of_their_deadlines(cts: &mut Cts) {
    let now = cts.now();
    let delays = [5u64, 1, 4, 2, 3, 0];
    let watches: Vec<_> = delays.map(|ms| cts.start(Timer::new(now + Duration::from_millis(ms)))).into();
    cts.drain();
    let mut fired: Vec<(usize, u64)> = watches.iter().map(Watch::order).zip(delays).collect();
    fired.sort();
    assert_eq!(fired.iter().map(|(_, delay)| *delay).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

fn timers_of_one_deadline_fire_first_in_first_out(cts: &mut Cts) {
    let deadline = cts.now() + Duration::from_millis(2);
    let (ops, watches): (Vec<_>, Vec<_>) = (0..100).map(|_| cts.watch(Timer::new(deadline))).unzip();
    let ids = cts.submit(ops).unwrap();
    // Taking some out must not disturb the order of the rest.
    for index in [0, 17, 50, 99] {
        cts.cancel(ids[index]).unwrap();
    }
    cts.drain();
    let fired: Vec<usize> = watches.iter().filter(|watch| watch.code() == Some(Code::Ok)).map(Watch::order).collect();
    assert_eq!(fired.len(), 96);
    assert!(fired.is_sorted(), "{fired:?}");
}

fn a_past_deadline_fires_on_the_next_poll(cts: &mut Cts) {
    for deadline in [Time::ORIGIN, cts.now()] {
        let timer = cts.start(Timer::new(deadline));
        assert_eq!(timer.calls(), 0, "a callback inside submit");
        cts.poll(Timeout::Immediate).unwrap();
        assert_eq!(timer.only().result.map_err(|status| status.code()), Ok(()));
    }
}

fn a_timer_never_fires_early(cts: &mut Cts) {
    for microseconds in [1, 50, 900, 1000, 1001, 2500] {
        let deadline = cts.now() + Duration::from_micros(microseconds);
        let timer = cts.start(Timer::new(deadline));
        while !timer.is_done() {
            cts.poll(Timeout::Infinite).unwrap();
            assert!(!timer.is_done() || cts.now() >= deadline, "early by {:?}", deadline.since(cts.now()));
        }
    }
}

fn a_timer_does_not_fire_much_later_than_the_poll_it_ends(cts: &mut Cts) {
    // One infinite poll is ended by the timer, and not by anything else that might come first.
    let timer = cts.start(Timer::new(cts.now() + Duration::from_millis(3)));
    cts.until("the timer", || timer.is_done());
    assert!(cts.statistics().polls <= 10, "{} polls for one timer", cts.statistics().polls);
}

fn a_cancelled_timer_ends_cancelled_and_the_others_fire(cts: &mut Cts) {
    let now = cts.now();
    let (ops, watches): (Vec<_>, Vec<_>) =
        [1, 2, 3].map(|ms| cts.watch(Timer::new(now + Duration::from_millis(ms)))).into_iter().unzip();
    let ids = cts.submit(ops).unwrap();
    cts.cancel(ids[1]).unwrap();
    assert_eq!(watches[1].calls(), 0, "a callback inside cancel");
    cts.drain();
    let codes: Vec<_> = watches.iter().map(|watch| watch.code().unwrap()).collect();
    assert_eq!(codes, [Code::Ok, Code::Cancelled, Code::Ok]);
    assert!(watches.into_iter().all(|watch| watch.calls() == 1));
}

fn a_timer_of_the_far_future_waits_for_its_cancel(cts: &mut Cts) {
    let (op, timer) = cts.watch(Timer::new(Time::FAR_FUTURE));
    let (soon_op, almost) = cts.watch(Timer::new(Time::from_nanoseconds(u64::MAX - 1)));
    let ids = cts.submit((op, soon_op)).unwrap();
    cts.poll(Duration::from_millis(2)).unwrap();
    assert_eq!((timer.calls(), almost.calls()), (0, 0));
    cts.cancel(ids.0).unwrap();
    cts.cancel(ids.1).unwrap();
    cts.drain();
    assert_eq!(timer.only().status().code(), Code::Cancelled);
    assert_eq!(almost.only().status().code(), Code::Cancelled);
}

fn ten_thousand_timers_with_random_cancels_all_end_once(cts: &mut Cts) {
    let now = cts.now();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let mut timers: Vec<(OperationId, Watch<Timer>, Time, bool)> = Vec::new();
    for _ in 0..10_000 {
        let deadline = now + Duration::from_micros(random() % 20_000);
        let (op, watch) = cts.watch(Timer::new(deadline));
        timers.push((cts.submit(op).unwrap(), watch, deadline, false));
    }
    for _ in 0..3_000 {
        let victim = (random() % 10_000) as usize;
        cts.cancel(timers[victim].0).unwrap();
        timers[victim].3 = true;
    }
    cts.drain();
    let mut fired = Vec::new();
    for (_, watch, deadline, cancelled) in timers {
        let told = watch.only();
        assert_eq!(told.result.is_err(), cancelled);
        if !cancelled {
            fired.push((told.order, deadline));
        }
    }
    fired.sort();
    assert!(fired.is_sorted_by_key(|(_, deadline)| *deadline));
}

fn the_poll_timeout_is_kept_whatever_timers_wait(cts: &mut Cts) {
    cts.submit(Op::new(Timer::new(Time::FAR_FUTURE), ())).unwrap();
    for pause in [Duration::from_micros(300), Duration::from_millis(3)] {
        let begin = cts.now();
        // A poll may return early with nothing done, but not for ever: it gets there by asking again.
        while cts.now() < begin + pause {
            assert_eq!(cts.poll(begin + pause).unwrap().completed, 0);
        }
    }
    assert_eq!(cts.pending(), 1);
}

fn a_timer_submitted_from_another_thread_shortens_the_sleep(cts: &mut Cts) {
    let (op, timer) = cts.watch(Timer::new(Time::ORIGIN));
    let handle = cts.handle().clone();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(5));
        handle.submit(op).unwrap();
    });
    cts.until("a timer from another thread", || timer.is_done());
    thread.join().unwrap();
    timer.only().result.unwrap();
}

fn a_timer_that_is_reset_fires_at_its_new_time(cts: &mut Cts) {
    let now = cts.now();
    let at = |ms| now + Duration::from_millis(ms);
    let (ops, watches): (Vec<_>, Vec<_>) =
        [2, 3, 900_000, 1].map(|ms| cts.watch(Timer::new(at(ms)))).into_iter().unzip();
    let ids = cts.submit(ops).unwrap();
    cts.reset_timer(ids[0], at(6)).unwrap(); // later
    cts.reset_timer(ids[2], at(4)).unwrap(); // earlier
    cts.reset_timer(ids[3], at(900_000)).unwrap(); // there
    cts.reset_timer(ids[3], at(5)).unwrap(); // and most of the way back
    cts.until("the timer that was set to the latest time", || watches[0].is_done());
    assert!(cts.now() >= at(6));
    let order: Vec<usize> = watches.iter().map(Watch::order).collect();
    assert_eq!(order, [3, 0, 1, 2]);
    let statistics = cts.statistics();
    assert!(statistics.polls <= 12, "{} polls for four timers", statistics.polls);
}

fn what_is_no_timer_that_waits_is_not_reset(cts: &mut Cts) {
    let now = cts.now();
    let (op, timer) = cts.watch(Timer::new(now));
    let id = cts.submit(op).unwrap();
    cts.until("the timer", || timer.is_done());
    let refused = cts.reset_timer(id, now + Duration::from_secs(1)).unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let (op, interval) =
        cts.watch(proact::operation::Interval::new(now + Duration::from_secs(60), Duration::from_secs(1)));
    let id = cts.submit(op).unwrap();
    assert_eq!(cts.reset_timer(id, now).unwrap_err().code(), Code::NotFound, "an interval has times of its own");
    cts.cancel(id).unwrap();
    assert_eq!(cts.reset_timer(id, now).unwrap_err().code(), Code::NotFound, "cancelled");
    cts.until("the interval", || interval.is_done());
}

/// A model beside them: which timers are left, and when each is due.
fn random_resets_and_cancels_agree_with_a_sorted_map(cts: &mut Cts) {
    let start = cts.now();
    let mut seed = 0x2545_f491_4f6c_dd1du64;
    let mut random = move |limit: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % limit
    };
    // Far enough away that none fires while they are set, whatever the machine does meanwhile.
    let far = start + Duration::from_secs(3600);
    let mut timers: Vec<(OperationId, Watch<Timer>, Option<Time>)> = Vec::new();
    for _ in 0..500 {
        let due = far + Duration::from_nanos(random(1 << 40));
        let (op, watch) = cts.watch(Timer::new(due));
        timers.push((cts.submit(op).unwrap(), watch, Some(due)));
    }
    for _ in 0..5_000 {
        let victim = random(500) as usize;
        let due = far + Duration::from_nanos(random(1 << 40));
        let (id, _, left) = &mut timers[victim];
        match left {
            Some(left) if random(20) > 0 => {
                cts.reset_timer(*id, due).unwrap();
                *left = due;
            }
            Some(_) => {
                cts.cancel(*id).unwrap();
                *left = None;
            }
            None => assert_eq!(cts.reset_timer(*id, due).unwrap_err().code(), Code::NotFound),
        }
        let first = timers.iter().filter_map(|(.., left)| *left).min();
        // No later than the truth: one that was postponed may still stand before the others.
        assert!(cts.next_timer() <= first, "{:?} and not {first:?}", cts.next_timer());
    }
    // Into the present, in the order of their times.
    let base = cts.now();
    let mut left: Vec<_> = timers.iter().filter_map(|(id, watch, left)| Some((left.as_ref()?, *id, watch))).collect();
    left.sort_by_key(|(due, ..)| **due);
    for (rank, (_, id, _)) in left.iter().enumerate() {
        cts.reset_timer(*id, base + Duration::from_nanos(rank as u64)).unwrap();
    }
    assert_eq!(cts.next_timer(), Some(base));
    cts.drain();
    let order: Vec<usize> = left.iter().map(|(_, _, watch)| watch.order()).collect();
    assert!(order.is_sorted(), "{order:?}");
    assert!(left.iter().all(|(_, _, watch)| watch.code() == Some(Code::Ok) && watch.calls() == 1));
    let cancelled = timers.iter().filter(|(.., left)| left.is_none());
    assert!(cancelled.clone().count() > 0);
    assert!(cancelled.into_iter().all(|(_, watch, _)| watch.code() == Some(Code::Cancelled)));
}
