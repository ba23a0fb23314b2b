//! Messages: several pieces of memory at once, with an address and control messages.

use super::RawAddress;

/// A piece of memory that a message is gathered from, or scattered to. Laid out as `iovec` is on Unix.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct IoSlice {
    /// Where it begins.
    pub base: *mut u8,
    /// How many bytes it has; none is allowed.
    pub length: usize,
}

/// The most slices one message has: what Linux takes at most (`UIO_MAXIOV`).
pub const SLICES_MAX: usize = 1024;

/// A message to send, or the room to receive one, and what came with it.
#[derive(Clone, Copy, Debug)]
pub struct RawMessage {
    /// To whom, when sending: empty for the peer. Receiving: from whom; empty when the system does not tell.
    pub address: RawAddress,
    /// The pieces, in order. Of memory that is sent the backend only reads.
    pub slices: *const IoSlice,
    /// How many; at most [`SLICES_MAX`].
    pub count: usize,
    /// Control messages in the system's own layout, aligned to 8 bytes; null for none.
    pub control: *mut u8,
    /// Their length. Receiving: the room for them, and at the end what came.
    pub control_length: usize,
    /// What the kernel said of a received message (`MSG_TRUNC`, `MSG_CTRUNC`).
    pub flags: i32,
    /// The backend's own, for the header that the kernel reads.
    pub room: [u64; 8],
}

impl RawMessage {
    /// Nothing to send, and no room.
    pub const EMPTY: RawMessage = RawMessage {
        address: RawAddress::EMPTY,
        slices: std::ptr::null(),
        count: 0,
        control: std::ptr::null_mut(),
        control_length: 0,
        flags: 0,
        room: [0; 8],
    };
}

#[cfg(unix)]
impl RawMessage {
    /// Writes the system's header for the message into its room, and says where it is.
    ///
    /// # Safety
    ///
    /// `message` is valid and exclusively the caller's, as what it points to is for the kernel.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) unsafe fn header(message: *mut RawMessage, receives: bool) -> *mut libc::msghdr {
        const {
            assert!(size_of::<libc::msghdr>() <= size_of::<[u64; 8]>() && align_of::<libc::msghdr>() <= 8);
            assert!(size_of::<IoSlice>() == size_of::<libc::iovec>());
        };
        // SAFETY: the caller's promise. A header is integers and pointers, which may all be zero; whatever else the
        // system has in it stays so.
        unsafe {
            let mut header: libc::msghdr = std::mem::zeroed();
            let room = (*message).address.bytes.len();
            let length = if receives { room } else { ((*message).address.length as usize).min(room) };
            if length > 0 {
                header.msg_name = (&raw mut (*message).address.bytes).cast();
                header.msg_namelen = length as libc::socklen_t;
            }
            header.msg_iov = (*message).slices.cast_mut().cast();
            header.msg_iovlen = (*message).count.min(SLICES_MAX) as _;
            if !(*message).control.is_null() {
                header.msg_control = (*message).control.cast();
                header.msg_controllen = (*message).control_length as _;
            }
            let place = (&raw mut (*message).room).cast::<libc::msghdr>();
            place.write(header);
            place
        }
    }

    /// Writes a header that names rooms for an address and control messages, and no buffer, and says where it is: for
    /// a receive that lays all of these out in a buffer which the kernel chooses.
    pub(crate) fn rooms(&mut self, address: usize, control: usize) -> *const std::ffi::c_void {
        // SAFETY: a header is integers and pointers, which may all be zero; it fits in the room (see `header`).
        unsafe {
            let mut header: libc::msghdr = std::mem::zeroed();
            header.msg_namelen = address as libc::socklen_t;
            header.msg_controllen = control as _;
            let place = (&raw mut self.room).cast::<libc::msghdr>();
            place.write(header);
            place.cast_const().cast()
        }
    }

    /// Takes over what the kernel has written into the header of a message that was received.
    ///
    /// # Safety
    ///
    /// As for [`RawMessage::header`], which has made the header; the kernel uses it no more.
    #[allow(clippy::unnecessary_cast)] // the length's type differs from one system to the next
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) unsafe fn received(message: *mut RawMessage) {
        // SAFETY: the caller's promise.
        unsafe {
            let header = (&raw const (*message).room).cast::<libc::msghdr>().read();
            let room = (*message).address.bytes.len();
            // The kernel says how long an address is, even where it had no room for all of it.
            (*message).address.length = (header.msg_namelen as usize).min(room) as u32;
            (*message).flags = header.msg_flags;
            let came = if header.msg_control.is_null() { 0 } else { header.msg_controllen as usize };
            (*message).control_length = came.min((*message).control_length);
        }
    }

    /// Walks the control messages of a received message: level, type, and payload.
    ///
    /// # Safety
    ///
    /// `control` is valid for `length` bytes and aligned to 8; the kernel has written it.
    pub(crate) unsafe fn control_messages(control: *mut u8, length: usize, mut f: impl FnMut(i32, i32, &[u8])) {
        if control.is_null() || length == 0 {
            return;
        }
        // SAFETY: the macros stay within `msg_controllen`, and the kernel cuts the last message's length to what it
        // wrote; it is bounded once more here. A payload is plain bytes.
        unsafe {
            let mut header: libc::msghdr = std::mem::zeroed();
            header.msg_control = control.cast();
            header.msg_controllen = length as _;
            let end = control as usize + length;
            let mut at = libc::CMSG_FIRSTHDR(&raw const header);
            while !at.is_null() {
                let data = libc::CMSG_DATA(at);
                let payload = ((*at).cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
                let payload = payload.min(end.saturating_sub(data as usize));
                f((*at).cmsg_level, (*at).cmsg_type, std::slice::from_raw_parts(data, payload));
                at = libc::CMSG_NXTHDR(&raw const header, at);
            }
        }
    }

    /// The descriptors that came with a received message. Whoever asks owns them from then on, and asks once.
    ///
    /// # Safety
    ///
    /// As for [`RawMessage::control_messages`].
    pub(crate) unsafe fn descriptors(control: *mut u8, length: usize, mut f: impl FnMut(std::os::fd::OwnedFd)) {
        use std::os::fd::FromRawFd;
        // SAFETY: the caller's promise, passed on.
        unsafe {
            RawMessage::control_messages(control, length, |level, kind, payload| {
                if (level, kind) == (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
                    for number in payload.chunks_exact(4) {
                        let number = i32::from_ne_bytes([number[0], number[1], number[2], number[3]]);
                        // SAFETY: installed by the kernel for this process with this message, and told once.
                        f(std::os::fd::OwnedFd::from_raw_fd(number));
                    }
                }
            });
        }
    }
}

#[cfg(not(unix))]
impl RawMessage {
    /// Where the header would be. No backend on these systems receives messages, so that nothing reads it.
    pub(crate) fn rooms(&mut self, _: usize, _: usize) -> *const std::ffi::c_void {
        self.room.as_ptr().cast()
    }
}
