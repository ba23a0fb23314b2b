//! One try of one request, without blocking.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::Interest;
use super::streams::{attempt_wait, side_of_wait};
use crate::backend::workers::{borrow, outcome_of, retried};
use crate::backend::{
    Completion, Descriptor, RawAddress, RawMessage, Request, TRANSFER_MAX, Token, datagram, flags, pooled,
};
use crate::fault;

/// The descriptor that a request waits for, and the side of it, when it is one that waits for readiness.
pub(super) fn side_of(request: &Request) -> Option<(Descriptor, Interest)> {
    match *request {
        Request::EventWait { event } => Some((event, Interest::READABLE)),
        Request::EventSet { event } => Some((event, Interest::WRITABLE)),
        Request::Accept { listener, .. } => Some((listener, Interest::READABLE)),
        Request::Receive { socket, .. } => Some((socket, Interest::READABLE)),
        Request::ReceivePooled { socket, .. } | Request::ReceiveMessagePooled { socket, .. } => {
            Some((socket, Interest::READABLE))
        }
        Request::ReceiveMessage { socket, .. } => Some((socket, Interest::READABLE)),
        Request::Connect { socket, .. } => Some((socket, Interest::WRITABLE)),
        Request::SendMessage { socket, .. } => Some((socket, Interest::WRITABLE)),
        Request::Send { socket, .. } => Some((socket, Interest::WRITABLE)),
        Request::Wait(ref request) => side_of_wait(request),
        _ => None,
    }
}

/// What a request has come to while it waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Progress {
    /// Bytes of an exact transfer that have moved: at most `TRANSFER_MAX`.
    bytes: u32,
    /// The kernel is connecting: the next try asks how that went.
    connecting: bool,
    /// The buffer that was taken from a pool and filled.
    buffer: Option<u32>,
}

impl Progress {
    /// Bytes of an exact transfer that have moved, as a result.
    pub(super) fn moved(self) -> i32 {
        self.bytes as i32
    }

    /// The completion of a request that came to `result`.
    pub(super) fn completion(self, token: Token, result: i32) -> Completion {
        let flags = self.buffer.map_or(0, |index| flags::BUFFER | index << flags::BUFFER_SHIFT);
        Completion { token, result, flags }
    }
}

/// Tries `request` once: its result, or `None` when it would block.
///
/// Accept and EventWait rely on `O_NONBLOCK`, which descriptors of this backend have
/// ([`DescriptorMode::NonBlocking`](crate::backend::DescriptorMode)) and which an import must set: no flag keeps these
/// two calls from blocking, and asking `poll` first would lose against another process that shares the descriptor. So
/// does Connect. Transfers ask for it call by call.
///
/// # Safety
///
/// The pointers in `request` are valid, and the memory exclusively the backend's.
pub(super) unsafe fn attempt(request: &Request, progress: &mut Progress) -> Option<i32> {
    let result = match *request {
        Request::EventWait { event } => wait_event(event),
        Request::EventSet { event } => set_event(event),
        Request::Accept { listener, peer, .. } => {
            debug_assert!(never_blocks(listener), "a listener without O_NONBLOCK would hold the poll thread");
            // SAFETY: the caller's promise, passed on.
            unsafe { accept(listener, peer) }
        }
        // SAFETY: the caller's promise, passed on.
        Request::Connect { socket, address } => unsafe { connect(socket, address, progress) },
        Request::Receive { socket, buffer, length, exact } => transfer(length, exact, progress, |done, left| {
            // SAFETY: the caller's promise; `done + left` does not exceed `length`.
            unsafe { libc::recv(socket.fd(), buffer.add(done).cast(), left, libc::MSG_DONTWAIT) }
        }),
        Request::ReceivePooled { .. } | Request::ReceiveMessagePooled { .. } => {
            // SAFETY: the caller's promise, passed on.
            unsafe { pooled::receive(request) }.map(|(count, buffer)| {
                progress.buffer = Some(buffer.index);
                count
            })
        }
        Request::Send { socket, buffer, length, exact, more, .. } => {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
            transfer(length, exact, progress, |done, left| {
                // SAFETY: the caller's promise; `done + left` does not exceed `length`.
                unsafe { libc::send(socket.fd(), buffer.add(done).cast(), left, flags) }
            })
        }
        // SAFETY: the caller's promise, passed on.
        Request::Wait(ref request) => unsafe { attempt_wait(request) },
        Request::SendMessage { socket, message, datagram: true, .. } => {
            // SAFETY: the caller's promise, passed on.
            unsafe { datagram::send(socket, message) }
        }
        Request::SendMessage { socket, message, more, .. } => {
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
            // SAFETY: the caller's promise, passed on.
            let header = unsafe { RawMessage::header(message, false) };
            // SAFETY: the header was just made, and what it points to is the caller's promise.
            retried(|| unsafe { libc::sendmsg(socket.fd(), header, flags) })
        }
        Request::ReceiveMessage { socket, message, .. } => {
            // SAFETY: the caller's promise, passed on. An exact one may come short here: the engine asks for the rest.
            unsafe { datagram::receive(socket, message) }
        }
        _ => unreachable!("{request:?} does not wait for readiness"),
    };
    match result {
        Ok(value) => Some(value),
        Err(Errno::AGAIN) => None,
        Err(errno) => Some(-errno.raw_os_error()),
    }
}

fn set_event(event: Descriptor) -> Result<i32, Errno> {
    debug_assert!(never_blocks(event), "an event without O_NONBLOCK would hold the poll thread");
    let event = borrow(&event)?;
    fault::retry_on_intr(|| rustix::io::write(event, &1u64.to_ne_bytes())).map(|count| count as i32)
}

pub(super) fn wait_event(event: Descriptor) -> Result<i32, Errno> {
    debug_assert!(never_blocks(event), "an event without O_NONBLOCK would hold the poll thread");
    let event = borrow(&event)?;
    fault::retry_on_intr(|| rustix::io::read(event, &mut [0u8; 8])).map(|count| count as i32)
}

/// # Safety
///
/// `peer` is null or valid for a write.
unsafe fn accept(listener: Descriptor, peer: *mut RawAddress) -> Result<i32, Errno> {
    let mut address = RawAddress { length: 128, ..RawAddress::EMPTY };
    let bytes = (&raw mut address.bytes).cast::<libc::sockaddr>();
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: `bytes` has the `length` bytes that it says, aligned as any socket address may be.
    let accepted = retried(|| unsafe { libc::accept4(listener.fd(), bytes, &raw mut address.length, flags) } as isize)?;
    // The kernel says how long the address is, even where it had no room for all of it.
    address.length = address.length.min(128);
    if !peer.is_null() {
        // SAFETY: the caller's promise.
        unsafe { peer.write(address) };
    }
    Ok(accepted)
}

/// # Safety
///
/// `address` is valid for a read.
unsafe fn connect(socket: Descriptor, address: *const RawAddress, progress: &mut Progress) -> Result<i32, Errno> {
    if progress.connecting {
        return connected(socket);
    }
    debug_assert!(never_blocks(socket), "connecting a socket without O_NONBLOCK would hold the poll thread");
    // SAFETY: the caller's promise.
    let RawAddress { bytes, length } = unsafe { &*address };
    // SAFETY: `bytes` are valid for `length`, which the kernel checks against the largest address there is.
    let answer = outcome_of(unsafe { libc::connect(socket.fd(), bytes.as_ptr().cast(), *length) } as isize);
    match fault::tried(|| answer) {
        // Under way; after EINTR too. EALREADY: an earlier, cancelled connect is, and this one joins it, as a blocking
        // connect would.
        Err(Errno::INPROGRESS | Errno::ALREADY | Errno::INTR) => {
            progress.connecting = true;
            Err(Errno::AGAIN)
        }
        // A local listener's backlog is full. No readiness ever tells when it has room, so waiting would be for ever.
        Err(Errno::AGAIN) => Ok(-libc::EAGAIN),
        other => other,
    }
}

/// How a connect that was under way has ended, if it has. The event that brought us here may have been meant for an
/// earlier owner of the descriptor's number, and `SO_ERROR` is 0 while connecting: so readiness is asked for first.
fn connected(socket: Descriptor) -> Result<i32, Errno> {
    let socket = borrow(&socket)?;
    let mut watched = [PollFd::new(&socket, PollFlags::OUT)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    if fault::retry_on_intr(|| rustix::event::poll(&mut watched, Some(&at_once)))? == 0 {
        return Err(Errno::AGAIN);
    }
    let outcome = rustix::net::sockopt::socket_error(socket)?;
    if outcome.is_err() {
        // The socket still takes itself for connecting, and would fail the next connect too, for the last one's sake.
        // What this says of it is of no interest: the connect has failed.
        let _ = rustix::net::connect_unspec(socket);
    }
    outcome.map(|()| 0)
}

/// One system call of a transfer. An exact one adds up what has moved, and is done when it is whole or cannot go on;
/// where some bytes have moved, their count is the result, and the next try of the caller meets the end or the error.
///
/// A call that comes back short has emptied or filled the socket's buffer: another would only say EAGAIN. Readiness is
/// level-triggered, so bytes that came meanwhile are not missed.
fn transfer(
    length: usize,
    exact: bool,
    progress: &mut Progress,
    mut call: impl FnMut(usize, usize) -> isize,
) -> Result<i32, Errno> {
    let length = length.min(TRANSFER_MAX);
    let done = progress.bytes as usize;
    match retried(|| call(done, fault::shorten(length - done))) {
        Err(Errno::AGAIN) => Err(Errno::AGAIN),
        Err(errno) if done == 0 => Err(errno),
        Ok(0) | Err(_) => Ok(done as i32),
        Ok(count) => {
            progress.bytes += count as u32;
            if exact && (progress.bytes as usize) < length { Err(Errno::AGAIN) } else { Ok(progress.bytes as i32) }
        }
    }
}

/// Whether the descriptor has `O_NONBLOCK`, or is none at all.
pub(super) fn never_blocks(descriptor: Descriptor) -> bool {
    let Ok(descriptor) = borrow(&descriptor) else { return true };
    match rustix::fs::fcntl_getfl(descriptor.as_fd()) {
        Ok(flags) => flags.contains(rustix::fs::OFlags::NONBLOCK),
        Err(_) => true,
    }
}
