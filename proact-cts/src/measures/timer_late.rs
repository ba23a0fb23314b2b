//! How late a sleep of 100 µs is, and what it costs the processor, beside a bare ring that waits as long.

use std::time::Duration;

use io_uring::types::{SubmitArgs, Timespec};
use proact::operation::{Op, Timer};
use proact::proactor::Proactor;
use proact::status::Status;
use proact::time::{Clock, Timeout};

use super::compare::{median, part};
use super::effort;
use super::failure::Failure;
use super::figures::{Figures, Floor};
use super::tally;
use crate::config::Configuration;

/// How long is slept.
const SLEEP: Duration = Duration::from_micros(100);
/// How long the rows that spin do so.
pub(crate) const SPIN: Duration = Duration::from_micros(100);
/// Pairs of sleeps: odd, so that a median is one of them.
const PAIRS: usize = 501;
/// Sleeps over which allocations are counted.
const COUNTED: u32 = 100;

fn failed(config: Configuration) -> impl Fn(Status) -> Failure {
    move |status| Failure::status(config.name, &status)
}

/// Sleeps once. Answers how late it was.
fn sleep(proactor: &mut Proactor) -> f64 {
    let deadline = proactor.now() + SLEEP;
    proactor.submit(Op::new(Timer::new(deadline), ())).expect("a timer is valid");
    while proactor.poll(Timeout::Infinite).expect("the backend works").completed == 0 {}
    nanoseconds(proactor.now().since(deadline))
}

/// The same by nothing but a ring's wait.
fn sleep_bare(ring: &io_uring::IoUring, clock: &Clock) -> f64 {
    let deadline = clock.now() + SLEEP;
    let time = Timespec::from(SLEEP);
    let waited = ring.submitter().submit_with_args(1, &SubmitArgs::new().timespec(&time));
    assert_eq!(waited.map_err(|error| error.raw_os_error()), Err(Some(62)), "nothing but the time ends it");
    nanoseconds(clock.now().since(deadline))
}

fn nanoseconds(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

/// By how much a timer misses its time.
pub(crate) fn late(config: Configuration, spin: Duration) -> Result<Figures, Failure> {
    measure(config, spin, |work| work())
}

/// Processor time, the kernel's included, that a sleep takes.
pub(crate) fn cpu(config: Configuration, spin: Duration) -> Result<Figures, Failure> {
    measure(config, spin, |work| {
        let before = processor_time();
        work();
        nanoseconds(processor_time() - before)
    })
}

/// What this thread has had of a processor.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn measure(
    config: Configuration,
    spin: Duration,
    of: impl Fn(&mut dyn FnMut() -> f64) -> f64,
) -> Result<Figures, Failure> {
    let mut proactor = config.builder().spin(spin).build().map_err(failed(config))?;
    let ring = super::floor::ring();
    let clock = Clock::monotonic();
    let (mut ours, mut bare, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort::rounds(PAIRS) {
        ours.push(of(&mut || sleep(&mut proactor)));
        if let Ok(ring) = &ring {
            bare.push(of(&mut || sleep_bare(ring, &clock)));
            ratios.push(ours[ours.len() - 1] / bare[bare.len() - 1]);
        }
    }
    let enters = |proactor: &Proactor| proactor.statistics().enters;
    let counted = tally::rounds(COUNTED, &mut proactor, |proactor| _ = sleep(proactor), enters);
    let floor = match ring {
        Ok(_) => Ok(Floor { median: median(bare), ratio: median(ratios) }),
        Err(_) => Err("no ring could be made"),
    };
    let p99 = Some(part(&mut ours, 99));
    Ok(Figures { p99, ..Figures::new(median(ours), floor, counted.over(f64::from(COUNTED))) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::whole;
    use proact::proactor::Choice;

    #[test]
    fn a_sleep_lasts_until_its_time_however_it_is_waited_for() {
        for spin in [Duration::ZERO, SPIN] {
            let mut proactor = whole(Choice::Poll).builder().spin(spin).build().unwrap();
            let clock = Clock::monotonic();
            let start = clock.now();
            sleep(&mut proactor);
            assert!(clock.now().since(start) >= SLEEP);
        }
    }
}
