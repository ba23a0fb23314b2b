//! Datagrams by a system call of one's own, without blocking: what every backend here tries first.
//!
//! A datagram goes, or comes, by one call that waits for nothing as long as there is room, or one is there. A ring
//! entry is dearer than that call (one at a time by 0.5 µs, which is a quarter; 32 in one enter are as dear; Linux
//! 6.18), and its completion comes an enter later.

use rustix::io::Errno;

use super::contract::{Descriptor, RawMessage, Request};
use super::workers::retried;

/// Whether `request` is one of a datagram, which [`attempt`] may be asked for.
#[inline]
pub(super) fn is_datagram(request: &Request) -> bool {
    matches!(request, Request::SendMessage { datagram: true, .. } | Request::ReceiveMessage { datagram: true, .. })
}

/// Tries a request of one datagram once: its result, or `None` when it would block.
///
/// # Safety
///
/// The request's pointers are valid, and the memory exclusively the backend's.
pub(super) unsafe fn attempt(request: &Request) -> Option<i32> {
    let outcome = match *request {
        // SAFETY: the caller's promise, passed on.
        Request::SendMessage { socket, message, .. } => unsafe { send(socket, message) },
        // SAFETY: the caller's promise, passed on.
        Request::ReceiveMessage { socket, message, .. } => unsafe { receive(socket, message) },
        _ => unreachable!("{request:?} is no datagram's"),
    };
    match outcome {
        Ok(count) => Some(count),
        Err(Errno::AGAIN) => None,
        Err(errno) => Some(-errno.raw_os_error()),
    }
}

/// Sends a datagram: one of a single piece without control messages needs no header to be made and read.
///
/// # Safety
///
/// `message` and what it points to are valid, and exclusively the backend's.
pub(super) unsafe fn send(socket: Descriptor, message: *mut RawMessage) -> Result<i32, Errno> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the caller's promise; nobody writes to the message meanwhile.
    let RawMessage { address, slices, count, control, .. } = unsafe { &*message };
    if *count == 1 && control.is_null() {
        // SAFETY: there is one slice, which is valid for its length; an address is as long as it says, and one of no
        // bytes is that of the peer.
        return retried(|| unsafe {
            let (base, length) = ((**slices).base.cast(), (**slices).length);
            let name = if address.length == 0 { std::ptr::null() } else { address.bytes.as_ptr().cast() };
            libc::sendto(socket.fd(), base, length, flags, name, address.length)
        });
    }
    // SAFETY: the caller's promise, passed on.
    let header = unsafe { RawMessage::header(message, false) };
    // SAFETY: the header was just made, and what it points to is the caller's promise.
    retried(|| unsafe { libc::sendmsg(socket.fd(), header, flags) })
}

/// Receives a message, of a stream or one datagram.
///
/// # Safety
///
/// As for [`send`].
pub(super) unsafe fn receive(socket: Descriptor, message: *mut RawMessage) -> Result<i32, Errno> {
    // SAFETY: the caller's promise, passed on.
    let header = unsafe { RawMessage::header(message, true) };
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header was just made, and what it points to is the caller's promise.
    let result = retried(|| unsafe { libc::recvmsg(socket.fd(), header, flags) });
    if result.is_ok() {
        // SAFETY: the caller's promise; the kernel is done with it.
        unsafe { RawMessage::received(message) };
    }
    result
}
