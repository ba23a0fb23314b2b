//! Descriptors watched by `poll`.
//!
//! One dense array of what is armed now, handed to the kernel whole at each wait. A table by descriptor number says
//! where each stands, so arming and disarming take constant time; waiting takes time for every armed descriptor.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::io::Errno;

use super::wake::EventWake;
use super::{Interest, Ready, WatchSet, milliseconds_up};
use crate::backend::workers::outcome_of;
use crate::backend::{BackendConfig, Capabilities, CapabilityReport, Wake};
use crate::fault::entering;
use crate::status::{Code, Operation, Status};

/// Not in the array.
const ABSENT: u32 = u32::MAX;

/// A set of descriptors in an array for `ppoll`.
///
/// Numbers, not `BorrowedFd`: nothing is parked on a descriptor that its owner may close, and what no longer has
/// anything parked leaves the array before the next wait.
pub(crate) struct PollSet {
    /// The wake descriptor first, then what is armed, in no order.
    watched: Vec<libc::pollfd>,
    /// By descriptor number: where in `watched`.
    places: Vec<u32>,
    nanoseconds: bool,
}

impl PollSet {
    fn remove(&mut self, place: usize) {
        let gone = self.watched.swap_remove(place);
        self.places[gone.fd as usize] = ABSENT;
        if let Some(moved) = self.watched.get(place) {
            self.places[moved.fd as usize] = place as u32;
        }
    }
}

impl WatchSet for PollSet {
    const NAME: &'static str = "poll";

    fn new(config: &BackendConfig, wake: BorrowedFd<'_>) -> Result<PollSet, Status> {
        let mut watched = Vec::with_capacity(config.entries as usize + 1);
        watched.push(libc::pollfd { fd: wake.as_raw_fd(), events: libc::POLLIN, revents: 0 });
        let nanoseconds = config.allowed.contains(Capabilities::NANOSECOND_WAITS);
        Ok(PollSet { watched, places: Vec::new(), nanoseconds })
    }

    fn capabilities(&self) -> Capabilities {
        if self.nanoseconds { Capabilities::NANOSECOND_WAITS } else { Capabilities::empty() }
    }

    fn arm(&mut self, fd: i32, interest: Interest) -> Result<(), Errno> {
        let index = usize::try_from(fd).map_err(|_| Errno::BADF)?;
        if index >= self.places.len() {
            self.places.resize(index + 1, ABSENT);
        }
        let mut events = 0;
        if interest.contains(Interest::READABLE) {
            events |= libc::POLLIN;
        }
        if interest.contains(Interest::WRITABLE) {
            events |= libc::POLLOUT;
        }
        match (self.places[index], events) {
            (ABSENT, 0) => {}
            (ABSENT, _) => {
                self.places[index] = self.watched.len() as u32;
                self.watched.push(libc::pollfd { fd, events, revents: 0 });
            }
            // Errors and hang-ups are reported even to who asks for nothing, so what is idle must go.
            (place, 0) => self.remove(place as usize),
            (place, _) => self.watched[place as usize].events = events,
        }
        Ok(())
    }

    fn wait(&mut self, timeout: Option<Duration>, ready: &mut Vec<Ready>) -> Result<bool, Errno> {
        let timeout = timeout.map(|timeout| match self.nanoseconds {
            true => timeout,
            false => Duration::from_millis(milliseconds_up(timeout) as u64),
        });
        entering().map_err(Errno::from_raw_os_error)?;
        let mut left = wait(&mut self.watched, timeout)?;
        // From the back, for a removal moves the last one to the place of the one removed.
        for place in (1..self.watched.len()).rev() {
            if left == 0 {
                break;
            }
            let libc::pollfd { fd, revents, .. } = self.watched[place];
            if revents != 0 {
                left -= 1;
                ready.push(Ready { fd, interest: interest_of(revents) });
                self.remove(place);
            }
        }
        Ok(self.watched[0].revents != 0)
    }

    fn report() -> (Result<(), Status>, Vec<CapabilityReport>) {
        let outcome = round_trip();
        let detected = outcome.is_ok();
        let note = |text: &str| match &outcome {
            Ok(()) => String::from(text),
            Err(status) => status.to_string(),
        };
        let capabilities = vec![
            CapabilityReport {
                capability: Capabilities::empty(),
                name: "ppoll",
                since: "2.6.16",
                detected,
                note: note("an event went through ppoll"),
            },
            CapabilityReport {
                capability: Capabilities::NANOSECOND_WAITS,
                name: "nanosecond waits",
                since: "2.6.16",
                detected,
                note: note("ppoll: deadlines are kept to the nanosecond"),
            },
        ];
        (outcome, capabilities)
    }
}

fn interest_of(revents: i16) -> Interest {
    if revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0 {
        return Interest::BOTH;
    }
    let mut interest = Interest::empty();
    interest.set(Interest::READABLE, revents & libc::POLLIN != 0);
    interest.set(Interest::WRITABLE, revents & libc::POLLOUT != 0);
    interest
}

fn wait(watched: &mut [libc::pollfd], timeout: Option<Duration>) -> Result<i32, Errno> {
    let timeout = timeout.map(|timeout| libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos() as libc::c_long,
    });
    let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the kernel writes `revents` of the array's elements, as many as said; the timespec outlives the call, and
    // a null one and a null mask mean none.
    outcome_of(
        unsafe { libc::ppoll(watched.as_mut_ptr(), watched.len() as libc::nfds_t, timeout, std::ptr::null()) } as isize
    )
}

/// Sends one event through a throw-away set: that a system call exists does not say that policy lets it work.
fn round_trip() -> Result<(), Status> {
    let wake = EventWake::new()?;
    let mut set = PollSet::new(&BackendConfig::default(), wake.as_fd())?;
    wake.wake();
    match set.wait(Some(Duration::ZERO), &mut Vec::new()) {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(Status::new(Code::Unavailable, Operation::Build)
                .with_message("poll did not report an event that was set"))
        }
        Err(errno) => Err(Status::from_os_error(Operation::Poll, errno.raw_os_error()).with_context("poll")),
    }
}
