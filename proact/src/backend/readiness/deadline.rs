//! The timer that ends a wait in time.
//!
//! The time-outs of `epoll_pwait2` and `ppoll` are widened by the thread's timer slack (50 µs unless someone changed
//! it) or by a thousandth of their length, whichever is more (Linux, `select_estimate_accuracy`). A timer descriptor
//! in the set is not: a wait of 100 µs was late by 80 µs with the one and by 28 µs with the other, which is what a
//! ring's wait is late by on the same machine.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use super::milliseconds_until;
use crate::backend::{BackendConfig, Capabilities, CapabilityReport, Wait};
use crate::fault::tried;
use crate::time::{Clock, Time};

/// How the waits of a set end in time: to the nanosecond where there is a timer, otherwise at the next millisecond.
pub(super) struct Deadline {
    timer: Option<DeadlineTimer>,
    clock: Clock,
}

impl Deadline {
    pub(super) fn new(config: &BackendConfig) -> Result<Deadline, Errno> {
        let allowed = config.allowed.contains(Capabilities::NANOSECOND_WAITS);
        let timer = if allowed { DeadlineTimer::new()? } else { None };
        Ok(Deadline { timer, clock: config.clock.clone() })
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        if self.timer.is_some() { Capabilities::NANOSECOND_WAITS } else { Capabilities::empty() }
    }

    /// What the set is to watch beside its own.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.timer.as_ref().map(|timer| timer.timer.as_fd())
    }

    /// The time-out for the system call that is about to wait, in milliseconds; -1 for none.
    pub(super) fn timeout(&mut self, wait: Wait) -> Result<i32, Errno> {
        match (wait, &mut self.timer) {
            (Wait::No, _) => Ok(0),
            (Wait::Until(Time::FAR_FUTURE), _) => Ok(-1),
            (Wait::Until(deadline), Some(timer)) => timer.arm(deadline).map(|()| -1),
            (Wait::Until(deadline), None) => Ok(milliseconds_until(deadline, &self.clock)),
        }
    }

    /// The descriptor was reported as readable, by a set that tells of each time once. `true`: it was set to an earlier
    /// deadline than this wait's, which is none any more.
    pub(super) fn told(&mut self, wait: Wait) -> bool {
        if let Some(timer) = &mut self.timer {
            timer.armed = Time::FAR_FUTURE;
        }
        matches!(wait, Wait::Until(deadline) if deadline > self.clock.now())
    }

    /// As [`Deadline::told`], by a set that tells of it until it is read.
    pub(super) fn read(&mut self, wait: Wait) -> bool {
        if let Some(timer) = &self.timer {
            // EAGAIN: it was set again since, and is not due.
            let _ = rustix::io::read(&timer.timer, &mut [0u8; 8]);
        }
        self.told(wait)
    }

    /// What `doctor` says of waits that end to the nanosecond.
    pub(super) fn report() -> CapabilityReport {
        let detected = matches!(DeadlineTimer::new(), Ok(Some(_)));
        let note = match detected {
            true => "a timer descriptor ends waits: deadlines are kept to the nanosecond",
            false => "timerfd_create is refused (seccomp): deadlines are kept up to 1 ms late",
        };
        CapabilityReport {
            capability: Capabilities::NANOSECOND_WAITS,
            name: "nanosecond waits",
            since: "2.6.25",
            detected,
            note: String::from(note),
        }
    }
}

/// A timer descriptor on the monotonic clock.
#[derive(Debug)]
struct DeadlineTimer {
    timer: OwnedFd,
    /// When it will be readable; `FAR_FUTURE`: not before it is set again.
    armed: Time,
}

impl DeadlineTimer {
    /// A timer that is not set. `None`: there are none here (seccomp).
    fn new() -> Result<Option<DeadlineTimer>, Errno> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        match tried(|| timerfd_create(TimerfdClockId::Monotonic, flags)) {
            Ok(timer) => Ok(Some(DeadlineTimer { timer, armed: Time::FAR_FUTURE })),
            Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// Sees to it that the descriptor is readable at `deadline`, or before.
    ///
    /// Before, since it stays as it is when it is set to an earlier time: most deadlines are replaced by later ones,
    /// and a wait that ends for nothing once is cheaper than a call for each.
    fn arm(&mut self, deadline: Time) -> Result<(), Errno> {
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
}
