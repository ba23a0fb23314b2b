//! Time as proact measures it: nanoseconds on a proactor's own clock.
//!
//! [`std::time::Instant`] is opaque and bound to one clock. Simulated and browser builds have others, so proact keeps
//! its own [`Time`] and reads it only through a [`Clock`].

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point on a [`Clock`], in nanoseconds since that clock's origin.
///
/// Points of different clocks must not be compared. Arithmetic saturates: a deadline beyond [`Time::FAR_FUTURE`]
/// (584 years) is `FAR_FUTURE`, which no timer ever reaches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

impl Time {
    /// The clock's origin.
    pub const ORIGIN: Time = Time(0);
    /// Later than every time a clock will show: a timer set to it never fires.
    pub const FAR_FUTURE: Time = Time(u64::MAX);

    /// The time `nanoseconds` after the clock's origin.
    pub const fn from_nanoseconds(nanoseconds: u64) -> Time {
        Time(nanoseconds)
    }

    /// Nanoseconds since the clock's origin.
    pub const fn as_nanoseconds(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub const fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, duration: Duration) -> Time {
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        Time(self.0.saturating_add(nanoseconds))
    }
}

impl Sub<Time> for Time {
    type Output = Duration;
    fn sub(self, earlier: Time) -> Duration {
        self.since(earlier)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Time::FAR_FUTURE {
            return f.write_str("Time(far future)");
        }
        write!(f, "Time({}.{:09} s)", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

/// How long a call may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Timeout {
    /// Not at all: what is ready is taken.
    Immediate,
    /// For this long.
    After(Duration),
    /// Until this time.
    At(Time),
    /// As long as it takes.
    Infinite,
}

impl From<Duration> for Timeout {
    fn from(duration: Duration) -> Timeout {
        Timeout::After(duration)
    }
}

impl From<Time> for Timeout {
    fn from(time: Time) -> Timeout {
        Timeout::At(time)
    }
}

/// Where a proactor reads its time.
///
/// On operating systems it is the monotonic clock (`CLOCK_MONOTONIC` on Linux: it stands still while the machine is
/// suspended). In a simulated world it is the world's, which goes on when nothing else can. A clock is a value that any
/// thread may copy and read.
#[derive(Clone, Debug)]
pub struct Clock {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// Origin taken when the process first reads it: a system without such a clock can have the value all the same.
    #[cfg(not(all(unix, not(target_vendor = "apple"))))]
    Process,
    /// `clock_gettime(CLOCK_MONOTONIC)`: the kernel's own origin, so that deadlines go to it unchanged.
    #[cfg(all(unix, not(target_vendor = "apple")))]
    Monotonic,
    /// Nanoseconds that a simulated world has let pass.
    #[cfg(feature = "simulated")]
    Virtual(std::sync::Arc<std::sync::atomic::AtomicU64>),
}

impl Clock {
    /// The operating system's monotonic clock.
    #[cfg(all(unix, not(target_vendor = "apple")))]
    pub fn monotonic() -> Clock {
        Clock { source: Source::Monotonic }
    }

    /// The operating system's monotonic clock, counted from the process's first use of it.
    #[cfg(not(all(unix, not(target_vendor = "apple"))))]
    pub fn monotonic() -> Clock {
        Clock { source: Source::Process }
    }

    /// A clock that shows what `nanoseconds` holds.
    #[cfg(feature = "simulated")]
    pub(crate) fn simulated(nanoseconds: std::sync::Arc<std::sync::atomic::AtomicU64>) -> Clock {
        Clock { source: Source::Virtual(nanoseconds) }
    }

    /// Whether it is the same simulated world's.
    #[cfg(feature = "simulated")]
    pub(crate) fn is_same(&self, other: &Clock) -> bool {
        match (&self.source, &other.source) {
            (Source::Virtual(one), Source::Virtual(other)) => std::sync::Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// Whether it is a simulated world's.
    pub fn is_simulated(&self) -> bool {
        #[cfg(feature = "simulated")]
        return matches!(self.source, Source::Virtual(_));
        #[cfg(not(feature = "simulated"))]
        false
    }

    /// Reads the clock (about 18 ns on the machines measured).
    #[inline]
    pub fn now(&self) -> Time {
        match &self.source {
            #[cfg(all(unix, not(target_vendor = "apple")))]
            Source::Monotonic => {
                let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
                Time(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
            }
            #[cfg(not(all(unix, not(target_vendor = "apple"))))]
            Source::Process => {
                static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
                Time::ORIGIN + ORIGIN.get_or_init(std::time::Instant::now).elapsed()
            }
            #[cfg(feature = "simulated")]
            Source::Virtual(nanoseconds) => Time(nanoseconds.load(std::sync::atomic::Ordering::Relaxed)),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Clock {
    /// A time that has come: the system's last tick, which takes a quarter of [`Clock::now`] to read. It is behind that
    /// by up to a tick (1 to 10 ms), or by as long as the system was kept from ticking.
    #[inline]
    pub(crate) fn tick(&self) -> Time {
        match &self.source {
            Source::Monotonic => {
                #[cfg(test)]
                if let Some(tick) = HELD_UP.get() {
                    return tick;
                }
                let tick = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
                Time(tick.tv_sec as u64 * 1_000_000_000 + tick.tv_nsec as u64)
            }
            #[cfg(feature = "simulated")]
            Source::Virtual(_) => self.now(),
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Clock {
    /// A time that has come: where no cheaper clock is known, the time.
    pub(crate) fn tick(&self) -> Time {
        self.now()
    }
}

#[cfg(test)]
thread_local! {
    /// The last tick that this thread is shown, as on a machine that is kept from ticking.
    pub(crate) static HELD_UP: core::cell::Cell<Option<Time>> = const { core::cell::Cell::new(None) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_arithmetic_saturates_at_both_ends() {
        let time = Time::from_nanoseconds(5);
        assert_eq!((time + Duration::from_nanos(7)).as_nanoseconds(), 12);
        assert_eq!(time + Duration::MAX, Time::FAR_FUTURE);
        assert_eq!(Time::ORIGIN - time, Duration::ZERO);
        assert_eq!(Time::from_nanoseconds(9) - time, Duration::from_nanos(4));
    }

    #[test]
    fn a_tick_has_come_and_not_long_ago() {
        let clock = Clock::monotonic();
        let (before, tick) = (clock.now(), clock.tick());
        assert!(tick <= clock.now(), "{tick:?} is to come");
        // A machine that is held up holds up its ticks: what is certain is that they are of the same clock.
        assert!(before - tick < Duration::from_secs(60), "{tick:?} at {before:?}");
    }

    #[cfg(feature = "simulated")]
    #[test]
    fn a_simulated_world_ticks_by_its_own_time() {
        let nanoseconds = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(7));
        let clock = Clock::simulated(nanoseconds.clone());
        for time in [7, 5_000_000_007] {
            nanoseconds.store(time, std::sync::atomic::Ordering::Relaxed);
            assert_eq!((clock.tick(), clock.now()), (Time(time), Time(time)));
        }
    }

    #[test]
    fn monotonic_clock_never_steps_back() {
        let clock = Clock::monotonic();
        let mut last = clock.now();
        for _ in 0..1000 {
            let now = clock.now();
            assert!(now >= last, "{now:?} after {last:?}");
            last = now;
        }
    }
}
