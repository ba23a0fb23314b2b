//! More requests as ring entries: on files and names, and those that wait for others.

use super::lower::Targets;
use super::lower::{Again, clamp, position};
use crate::backend::workers::files::{SYNC_WHOLE, advice_of, attribute_flags, range_flags};
use crate::backend::workers::perform::open_flags;
use crate::backend::{FileRequest, SLICES_MAX, WaitRequest};
use crate::uring::{Entry, Op};

/// Whether rings have no entry for `request`, or none that can say it.
pub(super) fn only_workers(request: &FileRequest) -> bool {
    match request {
        // The entry's length has 32 bits (advice may say more since 6.10, which older kernels would take for 0).
        FileRequest::SyncRange { length, .. } | FileRequest::Advise { length, .. } => *length > u32::MAX.into(),
        FileRequest::Change { .. }
        | FileRequest::Copy { .. }
        | FileRequest::ReadLink { .. }
        | FileRequest::ListAttributes { .. }
        | FileRequest::RemoveAttribute { .. }
        | FileRequest::ReadDirectory { .. }
        | FileRequest::Walk { .. } => true,
        _ => false,
    }
}

/// The offset of a stream, which has none.
const NO_OFFSET: u64 = u64::MAX;

/// `RWF_NOSIGNAL`, of `linux/fs.h` since 6.18: a write to a pipe that nobody reads raises no SIGPIPE.
pub(super) const NO_SIGNAL: u32 = 0x100;

/// Whether the kernel knows [`NO_SIGNAL`]. Android's library has no `pwritev2` to ask by.
#[cfg(target_os = "android")]
pub(super) fn has_quiet_writes() -> bool {
    false
}

/// Whether the kernel knows [`NO_SIGNAL`]: asked once, by a write to a pipe.
#[cfg(target_os = "linux")]
pub(super) fn has_quiet_writes() -> bool {
    use std::io::IoSlice;
    use std::sync::OnceLock;

    use rustix::io::{ReadWriteFlags, pwritev2};
    use rustix::pipe::{PipeFlags, pipe_with};
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let Ok((_reader, writer)) = crate::fault::tried(|| pipe_with(PipeFlags::CLOEXEC)) else { return false };
        let flags = ReadWriteFlags::from_bits_retain(NO_SIGNAL);
        crate::fault::tried(|| pwritev2(&writer, &[IoSlice::new(&[0])], NO_OFFSET, flags)) == Ok(1)
    })
}

/// Fills `entry` with a request that is not [only for workers](only_workers). Pointers are only carried.
pub(super) fn lower_more_files(entry: &mut Entry, request: &FileRequest, targets: &Targets) {
    let here = libc::AT_FDCWD;
    match *request {
        FileRequest::OpenAt { directory, path, flags, mode } => {
            entry.set(Op::IORING_OP_OPENAT, directory.fd(), 0, path as u64, mode, open_flags(flags).bits());
        }
        FileRequest::ReadVectored { file, offset, slices, count } => {
            let count = count.min(SLICES_MAX as u32);
            entry.set(Op::IORING_OP_READV, file.fd(), position(offset), slices as u64, count, 0);
        }
        FileRequest::WriteVectored { file, offset, slices, count } => {
            let count = count.min(SLICES_MAX as u32);
            let flags = targets.write_flags();
            entry.set(Op::IORING_OP_WRITEV, file.fd(), position(offset), slices as u64, count, flags);
        }
        FileRequest::SyncRange { file, offset, length } => {
            entry.set(Op::IORING_OP_SYNC_FILE_RANGE, file.fd(), offset, 0, length as u32, SYNC_WHOLE);
        }
        FileRequest::Advise { file, offset, length, advice } => {
            entry.set(Op::IORING_OP_FADVISE, file.fd(), offset, 0, length as u32, advice_of(advice) as u32);
        }
        FileRequest::Range { file, offset, length, mode } => {
            // The mode travels in the length's place, and the length in the address's.
            entry.set(Op::IORING_OP_FALLOCATE, file.fd(), offset, length, range_flags(mode).bits(), 0);
        }
        FileRequest::SpliceFile { file, offset, pipe, length, into_pipe: true } => {
            entry.set_splice((file.fd(), position(offset)), (pipe.fd(), NO_OFFSET), length);
        }
        FileRequest::SpliceFile { file, offset, pipe, length, into_pipe: false } => {
            entry.set_splice((pipe.fd(), NO_OFFSET), (file.fd(), position(offset)), length);
        }
        FileRequest::Link { from, to } => {
            entry.set(Op::IORING_OP_LINKAT, here, to as u64, from as u64, here as u32, 0);
        }
        FileRequest::SymbolicLink { target, link } => {
            entry.set(Op::IORING_OP_SYMLINKAT, here, link as u64, target as u64, 0, 0);
        }
        FileRequest::GetAttribute { file, name, buffer, length } => {
            entry.set(Op::IORING_OP_FGETXATTR, file.fd(), buffer as u64, name as u64, length, 0);
        }
        FileRequest::SetAttribute { file, name, value, length, mode } => {
            let flags = attribute_flags(mode) as u32;
            entry.set(Op::IORING_OP_FSETXATTR, file.fd(), value as u64, name as u64, length, flags);
        }
        _ => unreachable!("{request:?} has no ring entry"),
    }
}

/// Fills `entry` with a request that waits for others. Pointers are only carried.
pub(super) fn lower_wait(entry: &mut Entry, request: &WaitRequest, targets: &Targets) {
    match *request {
        WaitRequest::Poll { descriptor, writable } => {
            entry.set_poll(descriptor.fd(), if writable { libc::POLLOUT } else { libc::POLLIN });
        }
        WaitRequest::PollMany { descriptor, writable, edge } => {
            entry.set_poll(descriptor.fd(), if writable { libc::POLLOUT } else { libc::POLLIN });
            if edge && targets.multishot {
                entry.poll_on();
            }
        }
        // No multishot: a poll that goes on, and then a read by a call of its own, took no less time (Linux 6.18).
        WaitRequest::EventWaitMany { event } => {
            entry.set(Op::IORING_OP_READ, event.fd(), 0, targets.sink.as_ptr() as u64, 8, 0);
        }
        WaitRequest::ReadStream { stream, buffer, length } => {
            entry.set(Op::IORING_OP_READ, stream.fd(), NO_OFFSET, buffer as u64, clamp(length), 0);
        }
        WaitRequest::WriteStream { stream, buffer, length } => {
            let flags = targets.write_flags();
            entry.set(Op::IORING_OP_WRITE, stream.fd(), NO_OFFSET, buffer as u64, clamp(length), flags);
        }
        WaitRequest::Splice { stream, pipe, length, into_pipe: true } => {
            entry.set_splice((stream.fd(), NO_OFFSET), (pipe.fd(), NO_OFFSET), length);
        }
        WaitRequest::Splice { stream, pipe, length, into_pipe: false } => {
            entry.set_splice((pipe.fd(), NO_OFFSET), (stream.fd(), NO_OFFSET), length);
        }
        WaitRequest::FutexWait { word, expected, shared } => {
            entry.set_futex(Op::IORING_OP_FUTEX_WAIT, word, expected.into(), shared);
        }
        WaitRequest::FutexWake { word, count, shared } => {
            entry.set_futex(Op::IORING_OP_FUTEX_WAKE, word, count.into(), shared);
        }
    }
}

/// What a splice that was interrupted says: the kernel shows its own numbers there, meant for a system call that it
/// begins anew (`ERESTARTSYS` and its like, `include/linux/errno.h`).
const RESTARTS: std::ops::RangeInclusive<i32> = 512..=516;

/// Whether `errno` ended `request`. A signal to the kernel's thread is nothing to the user; what is repeated has the
/// same effect twice as once, or had none.
pub(super) fn again_file(request: &FileRequest, errno: i32) -> Again {
    use FileRequest as R;
    let errno = if RESTARTS.contains(&errno) { libc::EINTR } else { errno };
    match (errno, request) {
        (libc::EINTR, R::OpenAt { .. } | R::ReadVectored { .. } | R::WriteVectored { .. } | R::SyncRange { .. }) => {
            Again::Now
        }
        (libc::EINTR, R::Advise { .. } | R::Range { .. } | R::GetAttribute { .. } | R::SpliceFile { .. }) => Again::Now,
        _ => Again::Never,
    }
}

/// As [`again_file`], for what waits for others.
pub(super) fn again_wait(request: &WaitRequest, errno: i32) -> Again {
    let errno = if RESTARTS.contains(&errno) { libc::EINTR } else { errno };
    match (errno, request) {
        (
            libc::EINTR,
            WaitRequest::ReadStream { .. } | WaitRequest::WriteStream { .. } | WaitRequest::Splice { .. },
        ) => Again::Now,
        (libc::EINTR, WaitRequest::EventWaitMany { .. }) => Again::Now,
        (libc::EAGAIN, WaitRequest::EventWaitMany { .. }) => Again::WhenReady(libc::POLLIN),
        (libc::EAGAIN, WaitRequest::ReadStream { .. } | WaitRequest::Splice { into_pipe: true, .. }) => {
            Again::WhenReady(libc::POLLIN)
        }
        (libc::EAGAIN, WaitRequest::WriteStream { .. } | WaitRequest::Splice { into_pipe: false, .. }) => {
            Again::WhenReady(libc::POLLOUT)
        }
        _ => Again::Never,
    }
}

/// The descriptor that readiness of `request` is asked of.
pub(super) fn awaited_stream(request: &WaitRequest) -> i32 {
    match *request {
        WaitRequest::Poll { descriptor, .. } | WaitRequest::PollMany { descriptor, .. } => descriptor.fd(),
        WaitRequest::EventWaitMany { event } => event.fd(),
        WaitRequest::ReadStream { stream, .. }
        | WaitRequest::WriteStream { stream, .. }
        | WaitRequest::Splice { stream, .. } => stream.fd(),
        WaitRequest::FutexWait { .. } | WaitRequest::FutexWake { .. } => -1,
    }
}
