//! Receiving into a buffer of a pool by a system call of one's own: what every backend does where no kernel takes
//! buffers by itself.

use std::sync::Arc;

use rustix::io::Errno;

use super::contract::{BufferSource, DATAGRAM_ADDRESS_ROOM, DATAGRAM_HEADER, RawBuffer, Request};
use super::workers::retried;
use crate::fault;

/// Tries a pooled receive once, without blocking: the count and the buffer, which is taken only for as long as there is
/// something to put into it. `EAGAIN`: it would block. `ENOBUFS`: the pool is empty.
///
/// # Safety
///
/// The request's pointers are valid.
pub(super) unsafe fn receive(request: &Request) -> Result<(i32, RawBuffer), Errno> {
    let (Request::ReceivePooled { source, .. } | Request::ReceiveMessagePooled { source, .. }) = *request else {
        unreachable!("{request:?} takes no buffer from a pool")
    };
    // SAFETY: the caller's promise.
    let source: &Arc<dyn BufferSource> = unsafe { &*source };
    let buffer = source.take().ok_or(Errno::NOBUFS)?;
    let result = match *request {
        Request::ReceivePooled { socket, .. } => {
            let (pointer, length) = (buffer.pointer.cast(), fault::shorten(buffer.length as usize));
            // SAFETY: the buffer is this call's, and so long.
            retried(|| unsafe { libc::recv(socket.fd(), pointer, length, libc::MSG_DONTWAIT) })
        }
        // SAFETY: the caller's promise; the buffer is this call's.
        Request::ReceiveMessagePooled { socket, control_room, .. } => unsafe {
            receive_datagram(socket.fd(), control_room as usize, buffer)
        },
        _ => unreachable!(),
    };
    match result {
        Ok(count) => Ok((count, buffer)),
        Err(errno) => {
            // SAFETY: taken above, and named by no completion.
            unsafe { source.put(buffer.index) };
            Err(errno)
        }
    }
}

/// Receives one datagram as the kernel's own multishot receive lays it out: a header, room for the sender's address and
/// for control messages, and the bytes.
///
/// # Safety
///
/// The buffer is the caller's.
unsafe fn receive_datagram(socket: i32, control_room: usize, buffer: RawBuffer) -> Result<i32, Errno> {
    let before = DATAGRAM_HEADER + DATAGRAM_ADDRESS_ROOM + control_room;
    let Some(room) = (buffer.length as usize).checked_sub(before) else { return Err(Errno::FAULT) };
    // SAFETY: all parts lie within the buffer, one behind the other. A header is integers and pointers, which may all
    // be zero.
    unsafe {
        let mut slice = libc::iovec { iov_base: buffer.pointer.add(before).cast(), iov_len: room };
        let mut header: libc::msghdr = std::mem::zeroed();
        header.msg_name = buffer.pointer.add(DATAGRAM_HEADER).cast();
        header.msg_namelen = DATAGRAM_ADDRESS_ROOM as libc::socklen_t;
        header.msg_iov = &raw mut slice;
        header.msg_iovlen = 1;
        header.msg_control = buffer.pointer.add(DATAGRAM_HEADER + DATAGRAM_ADDRESS_ROOM).cast();
        header.msg_controllen = control_room as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC | libc::MSG_TRUNC;
        let length = retried(|| libc::recvmsg(socket, &raw mut header, flags))? as usize;
        let words = [header.msg_namelen as u32, header.msg_controllen as u32, length as u32, header.msg_flags as u32];
        let bytes = words.map(u32::to_ne_bytes);
        buffer.pointer.copy_from(bytes.as_flattened().as_ptr(), DATAGRAM_HEADER);
        Ok((before + length.min(room)) as i32)
    }
}
