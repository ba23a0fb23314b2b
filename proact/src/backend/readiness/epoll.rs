//! Descriptors watched by `epoll`.
//!
//! Registrations are `EPOLLONESHOT`, re-armed for what is parked, at most once a descriptor and poll. Edge triggering
//! registered once would save that call, but only if this set knew of every close: a socket may be closed where the
//! backend does not see it, its number go to a new one, and a request parked there would wait for a registration that
//! died with the old. Arming what was idle is what finds that out (the kernel answers ENOENT), and a one-shot
//! registration that lives on in a duplicate of a closed descriptor reports once and never again.
//!
//! What a request that goes on is parked on stays registered: the request holds the descriptor open, and its end takes
//! the registration back before the descriptor may be closed.

use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::epoll;
use rustix::io::Errno;

use super::deadline::Deadline;
use super::wake::EventWake;
use super::{Interest, Ready, WatchSet};
use crate::backend::workers::outcome_of;
use crate::backend::{BackendConfig, Capabilities, CapabilityReport, Wait, Wake};
use crate::fault::{entering, tried};
use crate::status::{Code, Operation, Status};

/// The wake descriptor's event data: no descriptor number.
const WAKE: u64 = u64::MAX;
/// The deadline timer's.
const DEADLINE: u64 = u64::MAX - 1;

/// A set of descriptors in an `epoll` instance.
pub(crate) struct EpollSet {
    epoll: OwnedFd,
    /// By descriptor number: whether it was registered when last heard of. A guess, which saves a call when it is
    /// right.
    registered: Vec<bool>,
    events: Vec<libc::epoll_event>,
    deadline: Deadline,
}

impl WatchSet for EpollSet {
    const NAME: &'static str = "epoll";
    const LASTS: bool = true;

    fn new(config: &BackendConfig, wake: BorrowedFd<'_>) -> Result<EpollSet, Status> {
        let broken = |errno: Errno| Status::from_os_error(Operation::Build, errno.raw_os_error()).with_context("epoll");
        let epoll = tried(|| epoll::create(epoll::CreateFlags::CLOEXEC)).map_err(broken)?;
        let (data, flags) = (epoll::EventData::new_u64(WAKE), epoll::EventFlags::IN);
        tried(|| epoll::add(&epoll, wake, data, flags)).map_err(broken)?;
        let deadline = Deadline::new(config).map_err(broken)?;
        if let Some(timer) = deadline.descriptor() {
            // By edges: each time that it is set to is told once, and nothing has to be read.
            let (data, flags) = (epoll::EventData::new_u64(DEADLINE), epoll::EventFlags::IN | epoll::EventFlags::ET);
            tried(|| epoll::add(&epoll, timer, data, flags)).map_err(broken)?;
        }
        let capacity = config.entries.clamp(1, 1 << 16) as usize;
        let events = vec![libc::epoll_event { events: 0, u64: 0 }; capacity];
        Ok(EpollSet { epoll, registered: Vec::new(), events, deadline })
    }

    fn capabilities(&self) -> Capabilities {
        self.deadline.capabilities()
    }

    fn arm(&mut self, fd: i32, interest: Interest) -> Result<(), Errno> {
        if interest.is_empty() {
            // Left as it is: it reports at most once more, and most idle descriptors are parked on again soon.
            return Ok(());
        }
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::ONESHOT, !interest.contains(Interest::LASTING));
        flags.set(epoll::EventFlags::IN, interest.contains(Interest::READABLE));
        flags.set(epoll::EventFlags::OUT, interest.contains(Interest::WRITABLE));
        let index = usize::try_from(fd).map_err(|_| Errno::BADF)?;
        if index >= self.registered.len() {
            self.registered.resize(index + 1, false);
        }
        // SAFETY: not negative; whatever file it names by now, the borrow ends with this call.
        let source = unsafe { BorrowedFd::borrow_raw(fd) };
        let data = epoll::EventData::new_u64(fd as u64);
        let mut add = !self.registered[index];
        let mut result = Ok(());
        // The guess is wrong at most once, unless another thread closes the descriptor meanwhile.
        for _ in 0..2 {
            result = match add {
                true => tried(|| epoll::add(&self.epoll, source, data, flags)),
                false => tried(|| epoll::modify(&self.epoll, source, data, flags)),
            };
            match result {
                Err(Errno::EXIST) => add = false,
                Err(Errno::NOENT) => add = true,
                _ => break,
            }
        }
        self.registered[index] = result.is_ok();
        result
    }

    fn disarm(&mut self, fd: i32) {
        // SAFETY: not negative, since it was armed; the borrow ends with this call.
        let source = unsafe { BorrowedFd::borrow_raw(fd) };
        let nothing = epoll::EventFlags::ONESHOT;
        // Fails only where the registration is gone with its file: what is there is changed without memory, and that
        // always succeeds (Linux, fs/eventpoll.c, `ep_modify`). A failure that was injected would leave one that tells
        // without end, so this call is not offered any.
        let _ = epoll::modify(&self.epoll, source, epoll::EventData::new_u64(fd as u64), nothing);
    }

    fn forget(&mut self, fd: i32) {
        // The kernel drops the registration with the file. A wrong guess would cost the number's next owner a call.
        if let Some(registered) = self.registered.get_mut(fd as usize) {
            *registered = false;
        }
    }

    fn wait(&mut self, wait: Wait, ready: &mut Vec<Ready>) -> Result<bool, Errno> {
        loop {
            entering().map_err(Errno::from_raw_os_error)?;
            let timeout = self.deadline.timeout(wait)?;
            let count = wait_milliseconds(&self.epoll, &mut self.events, timeout)?;
            let (mut woken, mut timed) = (false, false);
            for &libc::epoll_event { events, u64: data } in &self.events[..count as usize] {
                match data {
                    WAKE => woken = true,
                    DEADLINE => timed = true,
                    fd => ready.push(Ready { fd: fd as i32, interest: interest_of(events) }),
                }
            }
            if timed && self.deadline.told(wait) && count == 1 {
                continue;
            }
            return Ok(woken);
        }
    }

    fn report() -> (Result<(), Status>, Vec<CapabilityReport>) {
        let outcome = round_trip();
        let capabilities = vec![
            CapabilityReport {
                capability: Capabilities::empty(),
                name: "epoll",
                since: "2.6.27",
                detected: outcome.is_ok(),
                note: match &outcome {
                    Ok(()) => String::from("an event went through epoll_create1, epoll_ctl and epoll_wait"),
                    Err(status) => status.to_string(),
                },
            },
            Deadline::report(),
        ];
        (outcome, capabilities)
    }
}

fn interest_of(events: u32) -> Interest {
    let events = events as i32;
    if events & (libc::EPOLLERR | libc::EPOLLHUP) != 0 {
        return Interest::BOTH;
    }
    let mut interest = Interest::empty();
    interest.set(Interest::READABLE, events & libc::EPOLLIN != 0);
    interest.set(Interest::WRITABLE, events & libc::EPOLLOUT != 0);
    interest
}

fn wait_milliseconds(epoll: &OwnedFd, events: &mut [libc::epoll_event], timeout: i32) -> Result<i32, Errno> {
    let length = events.len() as libc::c_int;
    // SAFETY: the kernel writes at most `length` events, and `events` has that many.
    outcome_of(unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), length, timeout) } as isize)
}

/// Sends one event through a throw-away set: that system calls exist does not say that policy lets them work.
fn round_trip() -> Result<(), Status> {
    let wake = EventWake::new()?;
    let mut set = EpollSet::new(&BackendConfig::default(), wake.as_fd())?;
    wake.wake();
    let woken = set.wait(Wait::No, &mut Vec::new());
    match woken {
        Ok(true) => Ok(()),
        Ok(false) => {
            Err(Status::new(Code::Unavailable, Operation::Build)
                .with_message("epoll did not report an event that was set"))
        }
        Err(errno) => Err(Status::from_os_error(Operation::Poll, errno.raw_os_error()).with_context("epoll")),
    }
}
