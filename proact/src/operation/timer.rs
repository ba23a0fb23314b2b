//! One-shot timers.

use super::kind::{Class, Kind, Portable, sealed::Sealed};
use crate::resource::Home;
use crate::status::{Operation, Result};
use crate::time::Time;

/// Completes at a time, or on the next poll when that is past. Never early.
///
/// Timers of one proactor fire in the order of their deadlines, equal ones in the order of their submits. They are kept
/// by the proactor itself: inserting or cancelling one among `n` costs `O(log n)` and no system call. The deadline is
/// absolute, in nanoseconds on the proactor's monotonic clock, which stands still while the machine sleeps.
///
/// | backend | path |
/// |---|---|
/// | all | the proactor's own timers; the backend's wait ends when the first is due |
///
/// To the nanosecond with `NANOSECOND_WAITS` (everywhere but where a sandbox refuses it), otherwise to the millisecond
/// above. A sleeping thread is woken some tens of microseconds late on most machines, whatever wakes it:
/// [`Builder::spin`](crate::proactor::Builder::spin) buys these for processor time.
///
/// ```
/// use std::time::Duration;
///
/// use proact::operation::{Op, Timer};
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let soon = proactor.now() + Duration::from_millis(1);
/// proactor.submit(Op::new(Timer::new(soon), ())).unwrap();
/// proactor.run()?;
/// assert!(proactor.now() >= soon);
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    /// When, on the proactor's clock.
    pub deadline: Time,
}

impl Timer {
    /// A timer for `deadline`, such as `proactor.now() + duration`.
    pub fn new(deadline: Time) -> Timer {
        Timer { deadline }
    }
}

impl Sealed for Timer {}

impl Kind for Timer {
    type Output = ();
    const OPERATION: Operation = Operation::Timer;
    const CLASS: Class = Class::Timer;

    fn portable(&mut self) -> Portable {
        Portable::Timer(self.deadline)
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }
}
