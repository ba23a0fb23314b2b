//! The readiness backends: one engine that tries system calls, over whatever tells which descriptors are worth a try.
//!
//! | file | what it holds |
//! |---|---|
//! | `engine` | [`Readiness`], the backend: tries at once, parks what would block, retries on readiness |
//! | `table` | parked requests, first-in first-out on each side of each descriptor |
//! | `attempt` | one try of one request |
//! | `streams` | one try of what waits for pipes and other descriptors |
//! | `deadline` | the timer that ends a wait in time |
//! | `wake` | the event descriptor that ends a wait from another thread |
//! | `epoll`, `poll` | the two sets of descriptors that the kernel watches |
//!
//! Files have no readiness: they go to [`Workers`](super::workers::Workers).

mod attempt;
mod deadline;
mod engine;
mod epoll;
mod poll;
mod streams;
mod table;
mod wake;

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::io::Errno;

use super::contract::{BackendConfig, Capabilities, CapabilityReport, Wait};
use crate::status::Status;
use crate::time::{Clock, Time};

pub(crate) use engine::Readiness;

/// The backend over `epoll`.
pub(crate) type Epoll = Readiness<epoll::EpollSet>;
/// The backend over `poll`.
pub(crate) type Poll = Readiness<poll::PollSet>;

bitflags::bitflags! {
    /// What a descriptor may be ready for.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub(crate) struct Interest: u8 {
        /// Reading would not block.
        const READABLE = 1;
        /// Writing would not block.
        const WRITABLE = 2;
        /// Of what is watched: not until the next report, but until it is armed for something else.
        const LASTING = 4;
    }
}

impl Interest {
    /// Either side.
    pub(crate) const BOTH: Interest = Interest::READABLE.union(Interest::WRITABLE);
}

/// A descriptor that became ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ready {
    /// Which descriptor number. After a close by another party it may be a number used anew: a hint, never a promise.
    pub(crate) fd: i32,
    /// For what. An error or hang-up is readiness for both: the retried system call tells which it is.
    pub(crate) interest: Interest,
}

/// A set of descriptors that the kernel watches.
///
/// Interest is level-triggered and one-shot: a descriptor that was reported is disarmed until it is armed again. So
/// nothing that is idle can make a wait return twice, whatever became of its descriptor. What is armed as
/// [`Interest::LASTING`] may stay armed ([`WatchSet::LASTS`]), which saves a call for each report, and must be
/// [disarmed](WatchSet::disarm) before its descriptor may be closed.
pub(crate) trait WatchSet: Sized {
    /// The backend's name.
    const NAME: &'static str;

    /// Whether what is armed as [`Interest::LASTING`] stays so when it has been reported.
    const LASTS: bool = false;

    /// An empty set that also watches `wake` for reading, always.
    fn new(config: &BackendConfig, wake: BorrowedFd<'_>) -> Result<Self, Status>;

    /// What is in force here: detected and allowed.
    fn capabilities(&self) -> Capabilities;

    /// Watches `fd` for `interest` and no more, until it is reported. With no interest, at most one more report comes.
    fn arm(&mut self, fd: i32, interest: Interest) -> Result<(), Errno>;

    /// Watches `fd`, armed as [`Interest::LASTING`], no more.
    fn disarm(&mut self, fd: i32) {
        let _ = fd;
    }

    /// The backend is about to close `fd`, on which nothing waits.
    fn forget(&mut self, fd: i32) {
        let _ = fd;
    }

    /// Waits as told, never ends before that without a cause, and appends what became ready. `true`: `wake` is
    /// readable.
    fn wait(&mut self, wait: Wait, ready: &mut Vec<Ready>) -> Result<bool, Errno>;

    /// Whether this machine can have such a set, and what each capability is worth here.
    fn report() -> (Result<(), Status>, Vec<CapabilityReport>);
}

/// Whole milliseconds that are no shorter than `timeout`: rounded down, a wait would end before its deadline, and the
/// loop above would spin through the rest of the millisecond. Very long ones end early instead, which is allowed.
fn milliseconds_up(timeout: Duration) -> i32 {
    i32::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}

/// The milliseconds to wait for `deadline`, without a timer that is more exact.
fn milliseconds_until(deadline: Time, clock: &Clock) -> i32 {
    milliseconds_up(deadline.since(clock.now()))
}

#[cfg(test)]
mod tests;
