//! Requests as ring entries, and which of their failures only mean "again".

use std::ptr::NonNull;

use rustix::fs::Statx;

use super::files::{NO_SIGNAL, again_file, again_wait, awaited_stream, lower_more_files, lower_wait};
use crate::atomic::AtomicU64;
use crate::backend::workers::files::STATX_MASK;
use crate::backend::workers::perform::open_flags;
use crate::backend::{FileRequest, RawMessage, Request, TRANSFER_MAX, WaitRequest};
use crate::uring::{
    Entry, IORING_ACCEPT_MULTISHOT, IORING_RECV_MULTISHOT, IORING_RECVSEND_BUNDLE, IORING_SEND_ZC_REPORT_USAGE, Op,
};

/// Where the kernel writes what the request itself has no place for.
#[derive(Clone, Copy)]
pub(super) struct Targets {
    /// The count of an event, which no one reads.
    pub(super) sink: NonNull<AtomicU64>,
    /// The answer of a stat; there for exactly those requests.
    pub(super) stat: Option<NonNull<Statx>>,
    /// Whether a receive that goes on may fill several buffers at a time.
    pub(super) bundle: bool,
    /// The group of buffers that a pooled receive takes from.
    pub(super) group: u16,
    /// Whether requests that ask for it may go on in the kernel after their first completion.
    pub(super) multishot: bool,
    /// Whether sends that ask for it leave without a copy.
    pub(super) zero_copy: bool,
    /// Whether a write can say that it raises no signal.
    pub(super) quiet: bool,
    /// Where in the table of registered buffers the memory of a read or write is.
    pub(super) fixed: Option<u16>,
}

impl Targets {
    /// What a write says of itself: any of them may be to a pipe, also one of a file, for that may be a pipe's name.
    #[inline]
    pub(super) fn write_flags(&self) -> u32 {
        if self.quiet { NO_SIGNAL } else { 0 }
    }
}

/// Whether the kernel may raise SIGPIPE by `request`, if that does not say that it must not.
#[inline]
pub(super) fn may_raise(request: &Request) -> bool {
    matches!(
        request,
        Request::Write { .. }
            | Request::Wait(WaitRequest::WriteStream { .. })
            | Request::File(FileRequest::WriteVectored { .. })
    )
}

/// What setting an event adds to its counter. The kernel reads it whenever it comes to that.
static ONE: u64 = 1;

/// A length as the kernel takes it.
#[inline]
pub(super) fn clamp(length: usize) -> u32 {
    length.min(TRANSFER_MAX) as u32
}

/// An offset as the kernel takes it: all ones would mean the file's own position. One less is as invalid as it looks.
#[inline]
pub(super) fn position(offset: u64) -> u64 {
    offset.min(u64::MAX - 1)
}

/// Fills `entry` with `request`, all but the user data.
///
/// # Safety
///
/// The request's pointers are valid and the backend's. Requests that only workers can do must not come here.
#[inline]
pub(super) unsafe fn lower(entry: &mut Entry, request: &Request, targets: Targets) {
    if let Request::Nop = request {
        return entry.set(Op::IORING_OP_NOP, -1, 0, 0, 0, 0);
    }
    match *request {
        Request::EventWait { event } => {
            entry.set(Op::IORING_OP_READ, event.fd(), 0, targets.sink.as_ptr() as u64, 8, 0);
        }
        Request::EventSet { event } => {
            entry.set(Op::IORING_OP_WRITE, event.fd(), 0, &raw const ONE as u64, 8, 0);
        }
        Request::Accept { listener, peer, multishot } => {
            let flags = libc::SOCK_CLOEXEC as u32;
            if peer.is_null() {
                entry.set(Op::IORING_OP_ACCEPT, listener.fd(), 0, 0, 0, flags);
            } else {
                // SAFETY: valid and ours until the completion. The kernel reads the length as room and writes the
                // truth.
                let (bytes, length) = unsafe {
                    (*peer).length = (*peer).bytes.len() as u32;
                    (&raw mut (*peer).bytes, &raw mut (*peer).length)
                };
                entry.set(Op::IORING_OP_ACCEPT, listener.fd(), length as u64, bytes as u64, 0, flags);
            }
            if multishot && targets.multishot {
                entry.set_priority(IORING_ACCEPT_MULTISHOT);
            }
        }
        Request::Connect { socket, address } => {
            // SAFETY: valid until the completion.
            let (bytes, length) = unsafe { (&raw const (*address).bytes, (*address).length) };
            entry.set(Op::IORING_OP_CONNECT, socket.fd(), length.into(), bytes as u64, 0, 0);
        }
        Request::Receive { socket, buffer, length, exact } => {
            let flags = if exact { libc::MSG_WAITALL } else { 0 };
            entry.set(Op::IORING_OP_RECV, socket.fd(), 0, buffer as u64, clamp(length), flags as u32);
        }
        Request::ReceivePooled { socket, multishot, .. } => {
            entry.set(Op::IORING_OP_RECV, socket.fd(), 0, 0, 0, 0);
            entry.select_buffer(targets.group);
            if multishot && targets.multishot {
                let bundle = if targets.bundle { IORING_RECVSEND_BUNDLE } else { 0 };
                entry.set_priority(IORING_RECV_MULTISHOT | bundle);
            }
        }
        Request::ReceiveMessagePooled { socket, message, .. } => {
            entry.set(Op::IORING_OP_RECVMSG, socket.fd(), 0, message as u64, 1, 0);
            entry.select_buffer(targets.group);
            entry.set_priority(IORING_RECV_MULTISHOT);
        }
        Request::Send { socket, buffer, length, exact, more, zero_copy } => {
            let mut flags = libc::MSG_NOSIGNAL;
            flags |= if exact { libc::MSG_WAITALL } else { 0 };
            flags |= if more { libc::MSG_MORE } else { 0 };
            if zero_copy && targets.zero_copy {
                entry.set(Op::IORING_OP_SEND_ZC, socket.fd(), 0, buffer as u64, clamp(length), flags as u32);
                entry.set_priority(IORING_SEND_ZC_REPORT_USAGE);
            } else {
                entry.set(Op::IORING_OP_SEND, socket.fd(), 0, buffer as u64, clamp(length), flags as u32);
            }
        }
        Request::Read { file, offset, buffer, length, .. } => {
            let op = if targets.fixed.is_some() { Op::IORING_OP_READ_FIXED } else { Op::IORING_OP_READ };
            entry.set(op, file.fd(), position(offset), buffer as u64, clamp(length), 0);
            entry.set_buffer(targets.fixed.unwrap_or(0));
        }
        Request::Write { file, offset, buffer, length, .. } => {
            let op = if targets.fixed.is_some() { Op::IORING_OP_WRITE_FIXED } else { Op::IORING_OP_WRITE };
            entry.set(op, file.fd(), position(offset), buffer as u64, clamp(length), targets.write_flags());
            entry.set_buffer(targets.fixed.unwrap_or(0));
        }
        Request::SendMessage { socket, message, exact, more, .. } => {
            let mut flags = libc::MSG_NOSIGNAL;
            flags |= if exact { libc::MSG_WAITALL } else { 0 };
            flags |= if more { libc::MSG_MORE } else { 0 };
            // SAFETY: valid and ours until the completion.
            let header = unsafe { RawMessage::header(message, false) };
            entry.set(Op::IORING_OP_SENDMSG, socket.fd(), 0, header as u64, 1, flags as u32);
        }
        Request::ReceiveMessage { socket, message, exact, .. } => {
            let flags = libc::MSG_CMSG_CLOEXEC | if exact { libc::MSG_WAITALL } else { 0 };
            // SAFETY: valid and ours until the completion.
            let header = unsafe { RawMessage::header(message, true) };
            entry.set(Op::IORING_OP_RECVMSG, socket.fd(), 0, header as u64, 1, flags as u32);
        }
        Request::Close { descriptor } => entry.set(Op::IORING_OP_CLOSE, descriptor.fd(), 0, 0, 0, 0),
        Request::File(ref request) => lower_more_files(entry, request, &targets),
        Request::Wait(ref request) => lower_wait(entry, request, &targets),
        // Kept apart so that what above is hot stays small.
        // SAFETY: the caller's promise, passed on.
        _ => unsafe { lower_file(entry, request, targets) },
    }
}

/// The rest of [`lower`]: files and paths.
///
/// # Safety
///
/// As for [`lower`].
unsafe fn lower_file(entry: &mut Entry, request: &Request, targets: Targets) {
    let stat = targets.stat.map_or(0, |stat| stat.as_ptr() as u64);
    match *request {
        Request::Open { path, flags, mode } => {
            entry.set(Op::IORING_OP_OPENAT, libc::AT_FDCWD, 0, path as u64, mode, open_flags(flags).bits());
        }
        Request::Sync { file, data_only } => {
            let flags = if data_only { linux_raw_sys::io_uring::IORING_FSYNC_DATASYNC } else { 0 };
            entry.set(Op::IORING_OP_FSYNC, file.fd(), 0, 0, 0, flags);
        }
        Request::StatFile { file, .. } => {
            let flags = libc::AT_EMPTY_PATH as u32;
            entry.set(Op::IORING_OP_STATX, file.fd(), stat, c"".as_ptr() as u64, STATX_MASK.bits(), flags);
        }
        Request::StatPath { path, follow, .. } => {
            let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW as u32 };
            entry.set(Op::IORING_OP_STATX, libc::AT_FDCWD, stat, path as u64, STATX_MASK.bits(), flags);
        }
        Request::Truncate { file, size } => entry.set(Op::IORING_OP_FTRUNCATE, file.fd(), size, 0, 0, 0),
        Request::Allocate { file, offset, length } => {
            // The mode travels in the length's place, and the length in the address's.
            entry.set(Op::IORING_OP_FALLOCATE, file.fd(), offset, length, 0, 0);
        }
        Request::Rename { from, to, replace } => {
            // From rustix, whose flags are unsigned on every system; libc's constant is signed on Android.
            let flags = if replace { 0 } else { rustix::fs::RenameFlags::NOREPLACE.bits() };
            let directory = libc::AT_FDCWD;
            entry.set(Op::IORING_OP_RENAMEAT, directory, to as u64, from as u64, directory as u32, flags);
        }
        Request::Remove { path, directory } => {
            let flags = if directory { libc::AT_REMOVEDIR as u32 } else { 0 };
            entry.set(Op::IORING_OP_UNLINKAT, libc::AT_FDCWD, 0, path as u64, 0, flags);
        }
        Request::MakeDirectory { path, mode } => {
            entry.set(Op::IORING_OP_MKDIRAT, libc::AT_FDCWD, 0, path as u64, mode, 0);
        }
        _ => unreachable!("{request:?} has no ring entry"),
    }
}

/// Whether the kernel keeps what is linked to `request` from starting when that fails.
///
/// It does so only where an operation marks its request as failed. Those on names and those that change or sync a file
/// without moving bytes do not (`renameat`, `unlinkat`, `mkdirat`, `fsync`, `fallocate`, `ftruncate`; up to Linux 6.18
/// at least): behind a failed sync the rename that was to wait for it would go ahead. So whatever is not known to sever
/// its link is never linked to a follower.
pub(super) fn severs(request: &Request) -> bool {
    matches!(
        request,
        Request::Nop
            | Request::EventWait { .. }
            | Request::EventSet { .. }
            | Request::Accept { .. }
            | Request::Connect { .. }
            | Request::Receive { .. }
            | Request::Send { .. }
            | Request::SendMessage { .. }
            | Request::ReceiveMessage { .. }
            | Request::Open { .. }
            | Request::Read { .. }
            | Request::Write { .. }
    )
}

/// What to do about a request that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Again {
    /// It has failed.
    Never,
    /// Nothing happened: start it once more.
    Now,
    /// Start it once more, as a send that copies.
    Copying,
    /// Start it once more when its descriptor is ready for these events.
    WhenReady(i16),
}

/// Whether `errno` ended `request`, or only says that it could not be carried out just then.
///
/// The kernel waits by itself, as a rule even on a non-blocking descriptor; where it cannot it answers EAGAIN
/// (EINPROGRESS for a connect, which goes on and is asked about again). EINTR is a signal to the kernel's thread, and
/// nothing to the user; where it may have come after the effect (a rename on a network file system) it must not be
/// repeated.
pub(super) fn again(request: &Request, errno: i32) -> Again {
    use Request as R;
    match (errno, request) {
        (_, R::File(request)) => again_file(request, errno),
        (_, R::Wait(request)) => again_wait(request, errno),
        // A socket that only knows sends that copy (Unix ones); no room to account for memory that stays in use.
        (libc::EOPNOTSUPP | libc::ENOMEM, R::Send { zero_copy: true, .. }) => Again::Copying,
        (libc::EINTR | libc::EINPROGRESS | libc::EALREADY, R::Connect { .. }) => Again::WhenReady(libc::POLLOUT),
        (libc::EAGAIN, R::EventWait { .. } | R::Accept { .. } | R::Receive { .. } | R::Read { .. }) => {
            Again::WhenReady(libc::POLLIN)
        }
        (libc::EAGAIN, R::ReceivePooled { .. } | R::ReceiveMessagePooled { .. } | R::ReceiveMessage { .. }) => {
            Again::WhenReady(libc::POLLIN)
        }
        (libc::EINTR, R::ReceivePooled { .. } | R::ReceiveMessagePooled { .. }) => Again::Now,
        (libc::EINTR, R::ReceiveMessage { .. } | R::SendMessage { .. }) => Again::Now,
        (libc::EAGAIN, R::EventSet { .. } | R::Send { .. } | R::SendMessage { .. } | R::Write { .. }) => {
            Again::WhenReady(libc::POLLOUT)
        }
        (
            libc::EINTR,
            R::EventWait { .. } | R::EventSet { .. } | R::Accept { .. } | R::Receive { .. } | R::Send { .. },
        ) => Again::Now,
        (libc::EINTR, R::Open { .. } | R::Read { .. } | R::Write { .. } | R::Sync { .. }) => Again::Now,
        (libc::EINTR, R::StatFile { .. } | R::StatPath { .. } | R::Truncate { .. } | R::Allocate { .. }) => Again::Now,
        _ => Again::Never,
    }
}

/// The descriptor that readiness of `request` is asked of.
pub(super) fn awaited(request: &Request) -> i32 {
    match *request {
        Request::EventWait { event } | Request::EventSet { event } => event.fd(),
        Request::Accept { listener, .. } => listener.fd(),
        Request::Connect { socket, .. } => socket.fd(),
        Request::Receive { socket, .. } | Request::Send { socket, .. } => socket.fd(),
        Request::ReceivePooled { socket, .. } | Request::ReceiveMessagePooled { socket, .. } => socket.fd(),
        Request::ReceiveMessage { socket, .. } | Request::SendMessage { socket, .. } => socket.fd(),
        Request::Read { file, .. } | Request::Write { file, .. } => file.fd(),
        Request::Wait(ref request) => awaited_stream(request),
        _ => -1,
    }
}
