//! How late a sleep of 100 µs is, and what it costs the processor, beside the wait of the same interface alone: a bare
//! ring's, `epoll_pwait2` or `ppoll`.
//!
//! The kernel widens the last two by the thread's timer slack (50 µs unless someone has changed it), so that a ratio
//! below 1 is what a timer descriptor saves.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use io_uring::types::Timespec;
use proact::operation::Timer;
use proact::proactor::Choice;
use proact::status::Status;
use proact::time::Clock;
use rustix::event::epoll;

use super::compare::{median, part};
use super::effort;
use super::failure::Failure;
use super::figures::{Figures, Floor};
use super::floor::Ring;
use super::together::{Stage, Together};
use crate::config::Configuration;

/// How long is slept.
const SLEEP: Duration = Duration::from_micros(100);
/// How long the rows that spin do so.
pub(crate) const SPIN: Duration = Duration::from_micros(100);
/// Pairs of sleeps: odd, so that a median is one of them.
const PAIRS: usize = 501;

/// What sleeps by the library: one timer, set anew each time.
type Sleeper = Stage<Together<Timer>>;

fn sleeper(config: Configuration, spin: Duration) -> Result<Sleeper, Status> {
    let proactor = config.builder().spin(spin).build()?;
    let of = Together::new([Timer::new(proactor.now())]);
    Ok(Stage { proactor, of })
}

/// Sleeps once. Answers how late it was.
fn sleep(stage: &mut Sleeper) -> f64 {
    let deadline = stage.proactor.now() + SLEEP;
    stage.of.ready.iter_mut().for_each(|op| op.kind.deadline = deadline);
    stage.of.round(&mut stage.proactor);
    nanoseconds(stage.proactor.now().since(deadline))
}

/// The same by nothing but the wait of one interface.
enum Bare {
    Ring(Box<Ring>),
    Epoll(OwnedFd),
    Poll,
}

impl Bare {
    fn new(config: Configuration) -> Result<Bare, &'static str> {
        let bare = match config.choice {
            Choice::IoUring => Bare::Ring(Ring::new().map(Box::new).map_err(|_| "no second ring could be made")?),
            Choice::Epoll => {
                Bare::Epoll(epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|_| "no second epoll could be made")?)
            }
            _ => Bare::Poll,
        };
        match bare.wait(Duration::ZERO) {
            Some(libc::ENOSYS) => Err("this kernel has no epoll_pwait2 (Linux 5.11)"),
            _ => Ok(bare),
        }
    }

    /// Waits so long for nothing. Answers the error, if it is one, that the time is over by.
    fn wait(&self, time: Duration) -> Option<i32> {
        let spec = libc::timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos().into() };
        let answer = match self {
            Bare::Ring(ring) => return ring.wait_for(&Timespec::from(time)).err().and_then(|e| e.raw_os_error()),
            Bare::Epoll(set) => {
                let mut event = libc::epoll_event { events: 0, u64: 0 };
                let none = std::ptr::null::<libc::sigset_t>();
                // SAFETY: the kernel writes one event at most, and reads the time; no signal mask is given.
                unsafe {
                    let number = libc::SYS_epoll_pwait2;
                    libc::syscall(number, set.as_raw_fd(), &raw mut event, 1, &raw const spec, none, 8usize)
                }
            }
            // SAFETY: no descriptor is named; the kernel reads the time; no signal mask is given.
            Bare::Poll => unsafe { libc::ppoll(std::ptr::null_mut(), 0, &raw const spec, std::ptr::null()) }.into(),
        };
        if answer < 0 { std::io::Error::last_os_error().raw_os_error() } else { None }
    }

    /// Sleeps once. Answers how late it was.
    fn sleep(&self, clock: &Clock) -> f64 {
        let by_time = if matches!(self, Bare::Ring(_)) { Some(libc::ETIME) } else { None };
        loop {
            let deadline = clock.now() + SLEEP;
            match self.wait(SLEEP) {
                ended if ended == by_time => return nanoseconds(clock.now().since(deadline)),
                // The process was stopped and went on: that ends such waits without a handler (signal(7), "Interruption
                // of system calls and library functions by stop signals"), and is no sleep to be measured.
                Some(libc::EINTR) => {}
                ended => panic!("nothing but the time ends it: {ended:?}"),
            }
        }
    }
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
    let mut stage = sleeper(config, spin)?;
    let (bare, clock) = (Bare::new(config), Clock::monotonic());
    let (mut ours, mut below, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort::rounds(PAIRS) {
        ours.push(of(&mut || sleep(&mut stage)));
        if let Ok(bare) = &bare {
            below.push(of(&mut || bare.sleep(&clock)));
            ratios.push(ours[ours.len() - 1] / below[below.len() - 1]);
        }
    }
    let floor = bare.map(|_| Floor { median: median(below), ratio: median(ratios) });
    let (p99, median) = (Some(part(&mut ours, 99)), median(ours));
    let costs = stage.costs(1.0, |stage| _ = sleep(stage));
    Ok(Figures { p99, ..Figures::new(median, floor, costs) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::{settings, whole};

    #[test]
    fn a_sleep_lasts_until_its_time_however_it_is_waited_for() {
        for spin in [Duration::ZERO, SPIN] {
            let mut stage = sleeper(whole(Choice::Poll), spin).unwrap();
            let clock = Clock::monotonic();
            let start = clock.now();
            sleep(&mut stage);
            assert!(clock.now().since(start) >= SLEEP);
        }
    }

    /// Each backend has the wait of its own interface below it.
    #[test]
    fn a_bare_wait_lasts_until_its_time_on_every_interface() {
        for config in settings() {
            match Bare::new(config) {
                Ok(bare) => {
                    assert_eq!(matches!(bare, Bare::Ring(_)), config.is_ring());
                    assert_eq!(matches!(bare, Bare::Epoll(_)), config.choice == Choice::Epoll);
                    let clock = Clock::monotonic();
                    let start = clock.now();
                    bare.sleep(&clock);
                    assert!(clock.now().since(start) >= SLEEP, "{}", config.name);
                }
                Err(why) => eprintln!("skipped: {}: {why}", config.name),
            }
        }
    }
}
