//! The floor of the rows in which threads tell each other something: eventfds, and a bare loop that sleeps for one, on
//! each interface of the kernel.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;

use io_uring::{opcode, types};
use proact::proactor::Choice;
use rustix::event::{EventfdFlags, PollFd, PollFlags, epoll};

use super::floor::Ring;
use crate::config::Configuration;

/// An eventfd.
#[derive(Clone)]
pub(crate) struct RawEvent {
    fd: Arc<OwnedFd>,
}

impl RawEvent {
    pub(crate) fn new() -> io::Result<RawEvent> {
        Ok(RawEvent { fd: Arc::new(rustix::event::eventfd(0, EventfdFlags::CLOEXEC)?) })
    }

    pub(crate) fn ring(&self) {
        rustix::io::write(&*self.fd, &1u64.to_ne_bytes()).expect("an eventfd takes a write");
    }

    /// Waits until it is readable, by a call of its own: it may not block, and reads it.
    pub(crate) fn wait(&self) {
        let mut fds = [PollFd::from_borrowed_fd(self.fd.as_fd(), PollFlags::IN)];
        assert_eq!(rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, None)), Ok(1));
        self.read();
    }

    fn read(&self) {
        rustix::io::read(&*self.fd, &mut [0u8; 8]).expect("an eventfd that was written is read");
    }

    /// Another descriptor of it.
    pub(crate) fn try_clone(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }

    /// Written and read by the same thread.
    pub(crate) fn round(&self) {
        self.ring();
        self.read();
    }
}

/// A loop that sleeps for an eventfd, with as few calls as its interface takes.
pub(crate) struct RawBell {
    event: RawEvent,
    how: How,
}

enum How {
    Ring { ring: Box<Ring>, counter: Box<u64> },
    Epoll(OwnedFd),
    Poll,
}

impl RawBell {
    pub(crate) fn new(config: Configuration, event: &RawEvent) -> io::Result<RawBell> {
        let how = match config.choice {
            Choice::IoUring => How::Ring { ring: Box::new(Ring::new()?), counter: Box::new(0) },
            Choice::Epoll => {
                let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
                epoll::add(&set, &*event.fd, epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
                How::Epoll(set)
            }
            _ => How::Poll,
        };
        Ok(RawBell { event: event.clone(), how })
    }

    /// Sleeps until it is rung.
    pub(crate) fn wait(&mut self) {
        match &mut self.how {
            How::Ring { ring, counter } => {
                let (fd, to) = (types::Fd(self.event.fd.as_raw_fd()), (&raw mut **counter).cast::<u8>());
                let entry = opcode::Read::new(fd, to, 8).build();
                // SAFETY: the counter lives as long as the ring, and the read is over before this returns.
                unsafe { ring.round([entry], 1, |completed| assert_eq!(completed.result(), 8)) };
            }
            How::Epoll(set) => {
                let mut room = [MaybeUninit::<epoll::Event>::uninit(); 8];
                let ready =
                    rustix::io::retry_on_intr(|| epoll::wait(&*set, &mut room, None).map(|(ready, _)| ready.len()))
                        .expect("the set works");
                assert_eq!(ready, 1);
                self.event.read();
            }
            How::Poll => {
                self.event.wait();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measures::tests::settings;

    #[test]
    fn a_bell_that_was_rung_is_heard_on_every_interface() {
        for config in settings() {
            let event = RawEvent::new().unwrap();
            match RawBell::new(config, &event) {
                Ok(mut bell) => (0..3).for_each(|_| {
                    event.ring();
                    bell.wait();
                }),
                Err(error) => eprintln!("skipped: {}: {error}", config.name),
            }
        }
    }
}
