//! A poll thread that looks for work before it sleeps.

use std::time::Duration;

use proact::operation::{Accept, Connect, Op, Timer};
use proact::resource::{Domain, SocketOptions};
use proact::time::{Time, Timeout};

use crate::bench::Cts;
use crate::cases;

cases![
    nobody_spins_who_was_not_told_to,
    nothing_spins_in_a_poll_that_does_not_wait,
    a_timer_that_is_near_is_waited_for_awake_and_is_not_early.real("time that passes by itself"),
    the_time_of_a_poll_is_kept.real("time that passes by itself"),
    a_sleep_between_two_spins_ends_by_the_timer.real("time that passes by itself"),
    timers_keep_their_order,
    what_another_thread_submits_needs_no_wake.real("other threads"),
    a_wake_from_another_thread_ends_the_spin.real("other threads"),
    what_the_backend_completes_ends_the_spin,
    who_has_spun_in_vain_sleeps_and_is_woken.real("other threads"),
];

/// So long that a case which slept instead would not end in time.
const LONG: Duration = Duration::from_secs(3600);

fn nobody_spins_who_was_not_told_to(cts: &mut Cts) {
    let timer = cts.start(Timer::new(cts.now() + Duration::from_millis(1)));
    cts.until("the timer", || timer.is_done());
    assert_eq!(cts.statistics().spinning, Duration::ZERO);
    // Zero is the same.
    cts.rebuild(|builder| builder.spin(Duration::ZERO));
    let timer = cts.start(Timer::new(cts.now() + Duration::from_millis(1)));
    cts.until("the timer", || timer.is_done());
    assert_eq!(cts.statistics().spinning, Duration::ZERO);
    if cts.config.is_simulated() {
        // Where time goes on only when everyone waits, nobody does so awake.
        cts.rebuild(|builder| builder.spin(LONG));
        let timer = cts.start(Timer::new(cts.now() + Duration::from_millis(1)));
        cts.until("the timer", || timer.is_done());
        assert_eq!(cts.statistics().spinning, Duration::ZERO);
    }
}

fn nothing_spins_in_a_poll_that_does_not_wait(cts: &mut Cts) {
    cts.rebuild(|builder| builder.spin(LONG));
    cts.poll(Timeout::Immediate).unwrap();
    cts.start(Timer::new(cts.now()));
    cts.poll(Timeout::Infinite).unwrap();
    assert_eq!(cts.statistics().spinning, Duration::ZERO);
}

fn a_timer_that_is_near_is_waited_for_awake_and_is_not_early(cts: &mut Cts) {
    cts.rebuild(|builder| builder.spin(LONG));
    let mut delay = Duration::from_micros(1);
    // A machine that is busy may let a deadline pass before the poll begins: then there was nothing to wait for.
    while cts.statistics().spinning == Duration::ZERO {
        let before = cts.statistics();
        let deadline = cts.now() + delay;
        let timer = cts.start(Timer::new(deadline));
        let start = cts.now();
        cts.poll(Timeout::Infinite).unwrap();
        let end = cts.now();
        assert!(timer.is_done() && end >= deadline, "early by {:?}", deadline.since(end));
        // All of the wait, which began after `start` and went to the deadline, unless that was past by then.
        let spun = cts.statistics().spinning - before.spinning;
        assert!(spun <= end.since(start), "{spun:?} in {:?}", end.since(start));
        delay *= 2;
        assert!(delay < Duration::from_secs(60), "it never spun");
    }
}

fn the_time_of_a_poll_is_kept(cts: &mut Cts) {
    for spin in [LONG, Duration::from_micros(50)] {
        cts.rebuild(|builder| builder.spin(spin));
        for timeout in [10, 200, 2000].map(Duration::from_micros) {
            let end = cts.now() + timeout;
            let polled = cts.poll(end).unwrap();
            assert!(cts.now() >= end, "early by {:?}", end.since(cts.now()));
            assert_eq!((polled.completed, polled.woken), (0, false));
        }
    }
}

fn a_sleep_between_two_spins_ends_by_the_timer(cts: &mut Cts) {
    cts.rebuild(|builder| builder.spin(Duration::from_micros(100)));
    let deadline = cts.now() + Duration::from_millis(5);
    let timer = cts.start(Timer::new(deadline));
    let far = cts.start(Timer::new(Time::FAR_FUTURE));
    cts.until("the timer", || timer.is_done());
    assert!(cts.now() >= deadline);
    assert!(cts.statistics().polls <= 10, "{} polls for one timer", cts.statistics().polls);
    assert!(!far.is_done());
}

fn timers_keep_their_order(cts: &mut Cts) {
    cts.rebuild(|builder| builder.spin(Duration::from_micros(300)));
    let now = cts.now();
    let delays = [500u64, 100, 2000, 100, 0];
    let watches = delays.map(|delay| cts.start(Timer::new(now + Duration::from_micros(delay))));
    cts.drain();
    let mut fired: Vec<_> = watches.iter().map(|watch| watch.order()).zip(delays).collect();
    fired.sort();
    assert_eq!(fired.into_iter().map(|(_, delay)| delay).collect::<Vec<_>>(), [0, 100, 100, 500, 2000]);
}

fn what_another_thread_submits_needs_no_wake(cts: &mut Cts) {
    cts.rebuild(|builder| builder.spin(LONG));
    let handle = cts.handle().clone();
    let thread = std::thread::spawn(move || {
        for _ in 0..20 {
            handle.submit(Op::new(proact::operation::Nop, ())).unwrap();
            std::thread::sleep(Duration::from_micros(100));
        }
    });
    cts.until_with("twenty nops", |proactor| proactor.statistics().completed == 20);
    thread.join().unwrap();
    assert_eq!(cts.statistics().wakes, 0);
}

fn a_wake_from_another_thread_ends_the_spin(cts: &mut Cts) {
    cts.rebuild(|builder| builder.spin(LONG));
    let handle = cts.handle().clone();
    let thread = std::thread::spawn(move || handle.wake());
    assert!(cts.poll(Timeout::Infinite).unwrap().woken);
    thread.join().unwrap();
    assert_eq!(cts.statistics().wakes, 0);
}

fn what_the_backend_completes_ends_the_spin(cts: &mut Cts) {
    cts.rebuild(|builder| builder.spin(LONG));
    let options = SocketOptions::default();
    let (listener, address) = cts.listener();
    let accepted = cts.start(Accept::new(listener));
    let client = cts.handle().socket(Domain::of(&address), &options).unwrap();
    cts.get(Connect::new(client, address));
    cts.until("the accept", || accepted.is_done());
    accepted.only().result.unwrap();
}

fn who_has_spun_in_vain_sleeps_and_is_woken(cts: &mut Cts) {
    cts.rebuild(|builder| builder.spin(Duration::from_micros(1)));
    let handle = cts.handle().clone();
    let (wakes, woken) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        // Until the poll thread was found asleep: then somebody had to wake it.
        crate::bench::eventually("the poll thread to sleep", || {
            handle.wake();
            std::thread::sleep(Duration::from_micros(500));
            woken.try_recv().is_ok()
        });
        handle.wake();
    });
    cts.until_with("a wake from sleep", |proactor| proactor.statistics().wakes > 0);
    wakes.send(()).unwrap();
    assert!(cts.poll(Timeout::Infinite).unwrap().woken);
    thread.join().unwrap();
}
