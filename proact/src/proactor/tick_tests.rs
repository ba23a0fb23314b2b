//! Timers on a machine that is kept from ticking.

use std::rc::Rc;
use std::time::Duration;

use crate::operation::engine::PASSES_A_READING;
use crate::operation::{Complete, Context, Nop, Op, Outcome, Timer};
use crate::proactor::{Builder, Proactor, survey};
use crate::time::{HELD_UP, Time, Timeout};

/// Holds a count until the timer has ended.
struct Fires(#[allow(dead_code)] Rc<()>);

impl Complete<Timer> for Fires {
    fn done(_: Box<Op<Timer, Fires>>, outcome: Outcome<Timer>, _: &mut Context<'_>) {
        outcome.result.unwrap();
    }
}

/// Has `run` set a timer on each backend there is, on a thread whose machine ticks no more.
fn without_ticks(run: impl Fn(&mut Proactor, &str)) {
    HELD_UP.set(Some(Time::ORIGIN));
    for choice in survey().into_iter().filter(|report| report.usable.is_ok()).map(|report| report.choice) {
        for spin in [Duration::ZERO, Duration::from_micros(50)] {
            let mut proactor = Builder::new().backend(choice).spin(spin).build().unwrap();
            run(&mut proactor, &format!("{choice:?}, which spins for {spin:?}"));
        }
    }
    HELD_UP.set(None);
}

#[test]
fn a_sleep_until_a_timer_needs_no_tick() {
    without_ticks(|proactor, name| {
        let (pending, at) = (Rc::new(()), proactor.now() + Duration::from_millis(1));
        proactor.submit(Op::new(Timer::new(at), Fires(pending.clone()))).unwrap();
        while proactor.now() < at {
            proactor.poll(Timeout::Infinite).unwrap();
        }
        if Rc::strong_count(&pending) > 1 {
            // The sleep began when the time had come.
            proactor.poll(Timeout::Infinite).unwrap();
        }
        assert_eq!(Rc::strong_count(&pending), 1, "{name}");
    });
}

#[test]
fn passes_that_always_find_something_need_no_tick() {
    without_ticks(|proactor, name| {
        let (pending, at) = (Rc::new(()), proactor.now() + Duration::from_millis(1));
        proactor.submit(Op::new(Timer::new(at), Fires(pending.clone()))).unwrap();
        let mut pass = || {
            proactor.submit(Op::new(Nop, ())).unwrap();
            proactor.poll(Timeout::Infinite).unwrap();
            proactor.now()
        };
        while pass() < at {}
        for _ in 0..=PASSES_A_READING {
            pass();
        }
        assert_eq!(Rc::strong_count(&pending), 1, "{name}");
    });
}
