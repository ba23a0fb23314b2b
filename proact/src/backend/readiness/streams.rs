//! One try of a request on a pipe or another descriptor, without blocking.

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use super::Interest;
use super::attempt::{never_blocks, wait_event};
use crate::backend::workers::quiet::quietly;
use crate::backend::workers::{borrow, retried};
use crate::backend::{Descriptor, TRANSFER_MAX, WaitRequest};
use crate::fault::{retry_on_intr, shorten};

/// The descriptor that a request waits for, and the side of it.
pub(super) fn side_of_wait(request: &WaitRequest) -> Option<(Descriptor, Interest)> {
    let side = |writable| if writable { Interest::WRITABLE } else { Interest::READABLE };
    match *request {
        WaitRequest::Poll { descriptor, writable } | WaitRequest::PollMany { descriptor, writable, .. } => {
            Some((descriptor, side(writable)))
        }
        WaitRequest::EventWaitMany { event } => Some((event, Interest::READABLE)),
        WaitRequest::ReadStream { stream, .. } => Some((stream, Interest::READABLE)),
        WaitRequest::WriteStream { stream, .. } => Some((stream, Interest::WRITABLE)),
        WaitRequest::Splice { stream, into_pipe, .. } => Some((stream, side(!into_pipe))),
        WaitRequest::FutexWait { .. } | WaitRequest::FutexWake { .. } => None,
    }
}

/// Tries `request` once. `AGAIN`: it would block.
///
/// # Safety
///
/// The pointers in `request` are valid, and the memory exclusively the backend's.
pub(super) unsafe fn attempt_wait(request: &WaitRequest) -> Result<i32, Errno> {
    match *request {
        WaitRequest::Poll { descriptor, writable } | WaitRequest::PollMany { descriptor, writable, .. } => {
            ready(descriptor, writable)
        }
        WaitRequest::EventWaitMany { event } => wait_event(event),
        WaitRequest::ReadStream { stream, buffer, length } => {
            debug_assert!(never_blocks(stream), "a stream without O_NONBLOCK would hold the poll thread");
            // SAFETY: the caller's promise.
            retried(|| unsafe { libc::read(stream.fd(), buffer.cast(), shorten(length.min(TRANSFER_MAX))) })
        }
        WaitRequest::WriteStream { stream, buffer, length } => {
            debug_assert!(never_blocks(stream), "a stream without O_NONBLOCK would hold the poll thread");
            let length = length.min(TRANSFER_MAX);
            quietly(|| {
                // SAFETY: the caller's promise.
                retried(|| unsafe { libc::write(stream.fd(), buffer.cast(), shorten(length)) })
            })
        }
        WaitRequest::Splice { stream, pipe, length, into_pipe } => {
            debug_assert!(never_blocks(stream), "a stream without O_NONBLOCK would hold the poll thread");
            let (stream, pipe) = (borrow(&stream)?, borrow(&pipe)?);
            let (from, to) = if into_pipe { (stream, pipe) } else { (pipe, stream) };
            let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
            let splice = || rustix::pipe::splice(from, None, to, None, length as usize, flags);
            let moved = quietly(|| retry_on_intr(splice))?;
            Ok(moved as i32)
        }
        WaitRequest::FutexWait { .. } | WaitRequest::FutexWake { .. } => {
            unreachable!("{request:?} does not wait for a descriptor")
        }
    }
}

/// What the descriptor is ready for, as `poll` says it.
fn ready(descriptor: Descriptor, writable: bool) -> Result<i32, Errno> {
    let descriptor = borrow(&descriptor)?;
    let events = if writable { PollFlags::OUT } else { PollFlags::IN };
    let mut watched = [PollFd::new(&descriptor, events)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    match retry_on_intr(|| rustix::event::poll(&mut watched, Some(&at_once)))? {
        0 => Err(Errno::AGAIN),
        _ if watched[0].revents().contains(PollFlags::NVAL) => Err(Errno::BADF),
        _ => Ok(watched[0].revents().bits().into()),
    }
}
