//! Carrying out one request by blocking system calls.
//!
//! Memory that a request points to is handed to the kernel as the raw pointer it is: it may be shared with another
//! process or a device, and then no Rust reference to it may exist. That is why transfers go through `libc`.

use std::ffi::{CStr, OsStr, c_char};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rustix::fs::{
    AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RawDir, RenameFlags, Stat, Timespec, Timestamps,
};
use rustix::io::{Errno, Result};

use super::files::{perform_file, stat};
use crate::backend::{Descriptor, DirectoryEntry, FileKind, FileTime, Metadata, OpenFlags, Request, TRANSFER_MAX};
use crate::fault::{self, retry_on_intr};

/// `utimensat`'s "leave this time as it is" (the same number on all of Linux).
const OMIT: Timespec = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };

/// Carries out a file or path request, blocking until it has ended: a count, a descriptor or 0, or a negated errno.
///
/// A panic inside (a file name that exhausts memory, say) becomes `-EIO`, so that no completion is lost.
///
/// # Safety
///
/// The pointers in `request` are valid, and the memory exclusively this call's, until it returns.
pub(crate) unsafe fn perform(request: &Request) -> i32 {
    // SAFETY: the caller's promise, passed on.
    let result = catch_unwind(AssertUnwindSafe(|| unsafe { dispatch(request) }));
    match result {
        Ok(Ok(value)) => value,
        Ok(Err(errno)) => -errno.raw_os_error(),
        Err(_panic) => -libc::EIO,
    }
}

/// # Safety
///
/// As for [`perform`].
unsafe fn dispatch(request: &Request) -> Result<i32> {
    if !matches!(request, Request::Close { .. }) {
        fault::tried(|| Ok(()))?;
    }
    // SAFETY (of every unsafe block below): paths are NUL-terminated and pointers valid and exclusive, by this
    // function's own contract.
    match *request {
        Request::Nop => Ok(0),
        Request::Open { path, flags, mode } => {
            // SAFETY: as said above.
            open(CWD, unsafe { path_of(path) }, flags, mode)
        }
        Request::Read { file, offset, buffer, length, .. } => {
            let length = length.min(TRANSFER_MAX);
            // SAFETY: as said above; `length` does not exceed what the pointer is valid for.
            retried(|| unsafe {
                libc::pread64(file.fd(), buffer.cast(), fault::shorten(length), offset as libc::off64_t)
            })
        }
        Request::Write { file, offset, buffer, length, .. } => {
            let length = length.min(TRANSFER_MAX);
            // SAFETY: as for `Read`.
            retried(|| unsafe {
                libc::pwrite64(file.fd(), buffer.cast(), fault::shorten(length), offset as libc::off64_t)
            })
        }
        Request::Sync { file, data_only } => {
            let file = borrow(&file)?;
            retry_on_intr(|| if data_only { rustix::fs::fdatasync(file) } else { rustix::fs::fsync(file) })?;
            Ok(0)
        }
        Request::StatFile { file, metadata } => {
            let known = stat(borrow(&file)?, c"", AtFlags::EMPTY_PATH)?;
            // SAFETY: as said above.
            unsafe { metadata.write(known) };
            Ok(0)
        }
        Request::StatPath { path, follow, metadata } => {
            let flags = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
            // SAFETY: as said above.
            let known = stat(CWD, unsafe { path_of(path) }, flags)?;
            // SAFETY: as said above.
            unsafe { metadata.write(known) };
            Ok(0)
        }
        Request::Truncate { file, size } => {
            let file = borrow(&file)?;
            retry_on_intr(|| rustix::fs::ftruncate(file, size))?;
            Ok(0)
        }
        Request::Allocate { file, offset, length } => {
            let file = borrow(&file)?;
            retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), offset, length))?;
            Ok(0)
        }
        Request::SetAttributes { file, mode, modified } => {
            set_attributes(borrow(&file)?, mode.map(u32::from), modified)
        }
        Request::Rename { from, to, replace } => {
            let flags = if replace { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
            // SAFETY: as said above.
            let (from, to) = unsafe { (path_of(from), path_of(to)) };
            if flags.is_empty() {
                rustix::fs::renameat(CWD, from, CWD, to)?;
            } else {
                rustix::fs::renameat_with(CWD, from, CWD, to, flags)?;
            }
            Ok(0)
        }
        Request::Remove { path, directory } => {
            let flags = if directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            // SAFETY: as said above.
            rustix::fs::unlinkat(CWD, unsafe { path_of(path) }, flags)?;
            Ok(0)
        }
        Request::MakeDirectory { path, mode } => {
            // SAFETY: as said above.
            rustix::fs::mkdirat(CWD, unsafe { path_of(path) }, Mode::from_raw_mode(mode))?;
            Ok(0)
        }
        Request::ListDirectory { path, entries } => {
            // SAFETY: as said above.
            let (path, entries) = unsafe { (path_of(path), &mut *entries) };
            list_directory(path, entries).inspect_err(|_| entries.clear())?;
            Ok(0)
        }
        // SAFETY: the caller's promise, passed on.
        Request::File(ref request) => unsafe { perform_file(request) },
        Request::Close { descriptor } => {
            // Never retried: Linux has released the number even when it answers EINTR, and another thread may own it.
            // SAFETY: no memory is involved; the request gives the descriptor up, and whoever made it holds it alone.
            let closed = outcome_of(unsafe { libc::close(descriptor.fd()) } as isize);
            fault::tried(|| closed)
        }
        Request::RegisterBuffer { .. }
        | Request::UnregisterBuffer { .. }
        | Request::RegisterDescriptor { .. }
        | Request::UnregisterDescriptor { .. } => {
            debug_assert!(false, "{request:?} is for the poll thread");
            Err(Errno::OPNOTSUPP)
        }
        Request::EventWait { .. }
        | Request::EventSet { .. }
        | Request::Accept { .. }
        | Request::Connect { .. }
        | Request::Receive { .. }
        | Request::ReceivePooled { .. }
        | Request::ReceiveMessagePooled { .. }
        | Request::Send { .. }
        | Request::SendMessage { .. }
        | Request::ReceiveMessage { .. }
        | Request::Wait(_) => {
            debug_assert!(false, "{request:?} would hold a worker for as long as a peer pleases");
            Err(Errno::OPNOTSUPP)
        }
    }
}

/// Repeats a raw system call while a signal cuts it short, and turns its answer into a count or an errno.
#[cfg_attr(feature = "fault-injection", track_caller)]
pub(crate) fn retried(mut call: impl FnMut() -> isize) -> Result<i32> {
    retry_on_intr(|| outcome_of(call()))
}

/// What a raw system call, this thread's last, has answered: a count, or an errno.
pub(crate) fn outcome_of(answer: isize) -> Result<i32> {
    match answer {
        0.. => Ok(answer as i32),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// The descriptor as rustix wants it; a negative number is no descriptor.
pub(crate) fn borrow(descriptor: &Descriptor) -> Result<BorrowedFd<'_>> {
    if descriptor.fd() < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: not -1, and whoever started the request keeps the descriptor open until the request's completion.
    Ok(unsafe { BorrowedFd::borrow_raw(descriptor.fd()) })
}

/// Opens a path, relative to `directory`.
///
/// Not for as long as a stranger pleases: a FIFO, which anyone may have put there, would wait for its other end, and a
/// worker with it, for ever. What was opened is a file that waits, as the ring opens it.
pub(super) fn open(directory: BorrowedFd<'_>, path: &CStr, flags: OpenFlags, mode: u32) -> Result<i32> {
    let (flags, mode) = (open_flags(flags), Mode::from_raw_mode(mode));
    let file = match retry_on_intr(|| rustix::fs::openat(directory, path, flags | OFlags::NONBLOCK, mode)) {
        Ok(file) => file,
        // Another process has a lease on the file, and has been told to give it up: that takes a bounded time.
        Err(Errno::AGAIN) => {
            return Ok(retry_on_intr(|| rustix::fs::openat(directory, path, flags, mode))?.into_raw_fd());
        }
        Err(errno) => return Err(errno),
    };
    rustix::fs::fcntl_setfl(&file, flags)?;
    Ok(file.into_raw_fd())
}

/// How `open` spells `flags`; always close-on-exec.
pub(crate) fn open_flags(flags: OpenFlags) -> OFlags {
    let mut result = OFlags::CLOEXEC;
    result |= match (flags.contains(OpenFlags::READ), flags.contains(OpenFlags::WRITE)) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        (_, false) => OFlags::RDONLY,
    };
    for (flag, spelled) in [
        (OpenFlags::CREATE, OFlags::CREATE),
        (OpenFlags::CREATE_NEW, OFlags::CREATE.union(OFlags::EXCL)),
        (OpenFlags::TRUNCATE, OFlags::TRUNC),
        (OpenFlags::APPEND, OFlags::APPEND),
        (OpenFlags::NO_FOLLOW, OFlags::NOFOLLOW),
        (OpenFlags::DIRECTORY, OFlags::DIRECTORY),
        (OpenFlags::DIRECT, OFlags::DIRECT),
    ] {
        if flags.contains(flag) {
            result |= spelled;
        }
    }
    result
}

/// # Safety
///
/// `path` points to a NUL-terminated string that outlives `'a`.
pub(super) unsafe fn path_of<'a>(path: *const c_char) -> &'a CStr {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(path) }
}

fn set_attributes(file: BorrowedFd<'_>, mode: Option<u32>, modified: Option<(i64, u32)>) -> Result<i32> {
    // The kernel gives two numbers above a second's nanoseconds a meaning of their own ("now", "leave it"): a caller's
    // mistake must not turn into one of them, nor be found out only after the mode has changed.
    if modified.is_some_and(|(_, nanoseconds)| nanoseconds >= 1_000_000_000) {
        return Err(Errno::INVAL);
    }
    if let Some(mode) = mode {
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?;
    }
    if let Some((seconds, nanoseconds)) = modified {
        let last_modification = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
        rustix::fs::futimens(file, &Timestamps { last_access: OMIT, last_modification })?;
    }
    Ok(0)
}

fn list_directory(path: &CStr, entries: &mut Vec<DirectoryEntry>) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = retry_on_intr(|| rustix::fs::openat(CWD, path, flags, Mode::empty()))?;
    let mut buffer = [MaybeUninit::<u8>::uninit(); 16 * 1024];
    let mut listing = RawDir::new(directory.as_fd(), &mut buffer);
    while let Some(entry) = listing.next() {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => match rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                Err(Errno::NOENT) => continue, // removed since it was listed
                Err(errno) => return Err(errno),
            },
            known => known,
        };
        entries.push(DirectoryEntry { name: OsStr::from_bytes(name.to_bytes()).to_owned(), kind: kind_of(kind) });
    }
    Ok(())
}

pub(super) fn kind_of(kind: FileType) -> FileKind {
    match kind {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Link,
        _ => FileKind::Other,
    }
}

#[allow(clippy::unnecessary_cast)] // the fields' types differ from one architecture to the next
pub(super) fn metadata_of(stat: &Stat) -> Metadata {
    Metadata {
        kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
        size: stat.st_size as u64,
        mode: stat.st_mode as u32 & 0o7777,
        modified_seconds: stat.st_mtime as i64,
        modified_nanoseconds: stat.st_mtime_nsec as u32,
        device: stat.st_dev as u64,
        inode: stat.st_ino as u64,
        links: stat.st_nlink as u64,
        allocated: stat.st_blocks as u64 * 512,
        owner: stat.st_uid as u32,
        group: stat.st_gid as u32,
        accessed: FileTime { seconds: stat.st_atime as i64, nanoseconds: stat.st_atime_nsec as u32 },
        changed: FileTime { seconds: stat.st_ctime as i64, nanoseconds: stat.st_ctime_nsec as u32 },
        direct: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_flags_are_always_close_on_exec_and_exclusive_only_when_asked() {
        assert_eq!(open_flags(OpenFlags::READ), OFlags::CLOEXEC | OFlags::RDONLY);
        assert_eq!(
            open_flags(OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE),
            OFlags::CLOEXEC | OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC
        );
        assert_eq!(
            open_flags(OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::CREATE_NEW),
            OFlags::CLOEXEC | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL
        );
        assert_eq!(
            open_flags(OpenFlags::DIRECTORY | OpenFlags::READ | OpenFlags::NO_FOLLOW),
            OFlags::CLOEXEC | OFlags::DIRECTORY | OFlags::NOFOLLOW
        );
    }

    #[test]
    fn nanoseconds_that_the_kernel_reads_as_a_word_are_refused_before_any_effect() {
        let file = tempfile();
        let before = rustix::fs::fstat(&file).unwrap();
        for nanoseconds in [rustix::fs::UTIME_NOW as u32, rustix::fs::UTIME_OMIT as u32, 1_000_000_000] {
            assert_eq!(set_attributes(file.as_fd(), Some(0o400), Some((1, nanoseconds))), Err(Errno::INVAL));
        }
        let after = rustix::fs::fstat(&file).unwrap();
        assert_eq!((after.st_mode, after.st_mtime), (before.st_mode, before.st_mtime));
    }

    #[test]
    fn negative_descriptor_is_bad_before_the_kernel_sees_it() {
        let descriptor = Descriptor::NONE;
        // SAFETY: no pointers.
        unsafe {
            assert_eq!(perform(&Request::Close { descriptor }), -libc::EBADF);
            assert_eq!(perform(&Request::Sync { file: descriptor, data_only: true }), -libc::EBADF);
        }
    }

    fn tempfile() -> std::os::fd::OwnedFd {
        rustix::fs::memfd_create("proact-perform", rustix::fs::MemfdFlags::CLOEXEC).unwrap()
    }
}
