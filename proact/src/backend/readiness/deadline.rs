//! The timer that ends a wait in time.
//!
//! The time-outs of `epoll_pwait2` and `ppoll` are widened by the thread's timer slack (50 µs unless someone changed
//! it) or by a thousandth of their length, whichever is more (Linux, `select_estimate_accuracy`). A timer descriptor
//! in the set is not: a wait of 100 µs was late by 80 µs with the one and by 28 µs with the other, which is what a
//! ring's wait is late by on the same machine.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::fault::tried;
use crate::time::Time;

/// A timer descriptor on the monotonic clock.
#[derive(Debug)]
pub(super) struct DeadlineTimer {
    timer: OwnedFd,
    /// When it will be readable; `FAR_FUTURE`: not before it is set again.
    armed: Time,
}

impl DeadlineTimer {
    /// A timer that is not set. `None`: there are none here (seccomp).
    pub(super) fn new() -> Result<Option<DeadlineTimer>, Errno> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        match tried(|| timerfd_create(TimerfdClockId::Monotonic, flags)) {
            Ok(timer) => Ok(Some(DeadlineTimer { timer, armed: Time::FAR_FUTURE })),
            Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn fd(&self) -> i32 {
        self.timer.as_raw_fd()
    }

    /// Sees to it that the descriptor is readable at `deadline`, or before.
    ///
    /// Before, since it stays as it is when it is set to an earlier time: most deadlines are replaced by later ones,
    /// and a wait that ends for nothing once is cheaper than a call for each.
    pub(super) fn arm(&mut self, deadline: Time) -> Result<(), Errno> {
        if self.armed <= deadline {
            return Ok(());
        }
        // Zero would stop it.
        let nanoseconds = deadline.as_nanoseconds().max(1);
        let value =
            Timespec { tv_sec: (nanoseconds / 1_000_000_000) as _, tv_nsec: (nanoseconds % 1_000_000_000) as _ };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let setting = Itimerspec { it_interval: never, it_value: value };
        // Fails for a time or a descriptor that is none (Linux, fs/timerfd.c), and these are some: a failure that was
        // injected would be one that no kernel answers with.
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &setting)?;
        self.armed = deadline;
        Ok(())
    }

    /// It was reported as readable, by a set that tells of each time once.
    pub(super) fn told(&mut self) {
        self.armed = Time::FAR_FUTURE;
    }

    /// It was reported as readable, by a set that tells of it until it is read.
    pub(super) fn read(&mut self) {
        // EAGAIN: it was set again since, and is not due.
        let _ = rustix::io::read(&self.timer, &mut [0u8; 8]);
        self.armed = Time::FAR_FUTURE;
    }
}

impl AsFd for DeadlineTimer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

/// What `doctor` says of waits that end to the nanosecond, where they are or are not to be had.
pub(super) fn note(detected: bool) -> &'static str {
    match detected {
        true => "a timer descriptor ends waits: deadlines are kept to the nanosecond",
        false => "timerfd_create is refused (seccomp): deadlines are kept up to 1 ms late",
    }
}
