//! Timers on the proactor's clock: to the nanosecond where the backend can, in virtual time in a simulated world.

mod interval;
mod sleep;
mod timeout;
mod timers;
mod wheel;
#[cfg(test)]
mod wheel_tests;

pub use proact::time::Time;

pub use self::interval::{Interval, interval, interval_at};
pub use self::sleep::{Sleep, sleep, sleep_until};
pub use self::timeout::{Elapsed, Timed, timeout, timeout_at};
pub(crate) use self::timers::Timers;
pub use crate::runtime::now;
