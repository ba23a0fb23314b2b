//! The floor of what is sent over sockets: both ends of a connection on a bare ring, or on bare system calls with
//! `epoll` or `poll` in between.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use io_uring::{opcode, types};
use proact::proactor::Choice;
use rustix::event::{PollFd, PollFlags, epoll};
use rustix::net::{RecvFlags, SendFlags};

use super::floor::Ring;

/// Two ends of a connection, and bytes that go from one to the other.
pub(crate) struct RawPair {
    ends: [OwnedFd; 2],
    sent: Vec<u8>,
    received: Vec<u8>,
    how: How,
}

enum How {
    Ring(Box<Ring>),
    Epoll(OwnedFd),
    Poll,
}

impl RawPair {
    pub(crate) fn new(choice: Choice, ends: [OwnedFd; 2], length: usize) -> io::Result<RawPair> {
        let how = match choice {
            Choice::IoUring => How::Ring(Box::new(Ring::new()?)),
            Choice::Epoll => {
                let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
                for (index, end) in ends.iter().enumerate() {
                    rustix::io::ioctl_fionbio(end, true)?;
                    epoll::add(&set, end, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
                }
                How::Epoll(set)
            }
            _ => {
                ends.iter().try_for_each(|end| rustix::io::ioctl_fionbio(end, true))?;
                How::Poll
            }
        };
        Ok(RawPair { ends, sent: vec![7; length], received: vec![0; length], how })
    }

    /// Sends all bytes from one end and receives them at the other.
    pub(crate) fn send(&mut self, from: usize) {
        let (out, into) = (&self.ends[from], &self.ends[1 - from]);
        let length = self.sent.len();
        match &mut self.how {
            How::Ring(ring) => {
                let whole = RecvFlags::WAITALL.bits() as i32;
                let receive = opcode::Recv::new(types::Fd(into.as_raw_fd()), self.received.as_mut_ptr(), length as u32);
                let send = opcode::Send::new(types::Fd(out.as_raw_fd()), self.sent.as_ptr(), length as u32);
                let both = [receive.flags(whole).build(), send.flags(whole).build()];
                // SAFETY: the bytes live as long as the ring, and both are over before this returns.
                unsafe { ring.round(both, 2, |completed| assert_eq!(completed.result(), length as i32, "all arrive")) };
            }
            how => {
                let (mut sent, mut received) = (0, 0);
                while received < length {
                    while sent < length {
                        match rustix::net::send(out, &self.sent[sent..], SendFlags::NOSIGNAL) {
                            Ok(count) => sent += count,
                            Err(rustix::io::Errno::AGAIN) => break,
                            Err(errno) => panic!("a send: {errno}"),
                        }
                    }
                    wait(how, into);
                    match rustix::net::recv(into, &mut self.received[received..], RecvFlags::empty()) {
                        Ok((count, _)) => received += count,
                        Err(rustix::io::Errno::AGAIN) => {}
                        Err(errno) => panic!("a receive: {errno}"),
                    }
                }
            }
        }
    }

    /// There and back.
    pub(crate) fn round(&mut self) {
        self.send(0);
        self.send(1);
    }
}

/// Waits until there is something to receive.
fn wait(how: &How, into: &OwnedFd) {
    match how {
        How::Epoll(set) => {
            let mut room = [MaybeUninit::<epoll::Event>::uninit(); 8];
            let ready = rustix::io::retry_on_intr(|| epoll::wait(set, &mut room, None).map(|(ready, _)| ready.len()))
                .expect("the set works");
            assert!(ready > 0);
        }
        _ => {
            let mut fds = [PollFd::from_borrowed_fd(into.as_fd(), PollFlags::IN)];
            assert_eq!(rustix::io::retry_on_intr(|| rustix::event::poll(&mut fds, None)), Ok(1));
        }
    }
}
