//! Carrying out requests on files and names by blocking system calls.

use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, CWD, FallocateFlags, FileType, Gid, Mode, Statx, StatxFlags, Timespec, Timestamps, Uid};
use rustix::io::{Errno, Result};

use super::perform::{borrow, kind_of, metadata_of, open, path_of, retried};
use super::walk::walk;
use crate::backend::{
    Advice, AttributeMode, Changes, CopyArguments, CopyMethod, DirectAlignment, FileRequest, FileTime, Metadata,
    RangeMode, SLICES_MAX, TRANSFER_MAX,
};
use crate::fault::retry_on_intr;

#[cfg(not(target_os = "android"))]
use libc::sync_file_range;

#[cfg(target_os = "android")]
// SAFETY: as the system declares it (`fcntl.h`, since API level 26); the `libc` crate lacks it there.
unsafe extern "C" {
    fn sync_file_range(file: libc::c_int, offset: libc::off64_t, length: libc::off64_t, flags: u32) -> libc::c_int;
}

/// # Safety
///
/// As for [`super::perform`].
pub(super) unsafe fn perform_file(request: &FileRequest) -> Result<i32> {
    // SAFETY (of every unsafe block below): paths are NUL-terminated and pointers valid and exclusive, by this
    // function's own contract.
    match *request {
        FileRequest::OpenAt { directory, path, flags, mode } => {
            // SAFETY: as said above.
            open(borrow(&directory)?, unsafe { path_of(path) }, flags, mode)
        }
        FileRequest::ReadVectored { file, offset, slices, count } => retried(|| {
            // SAFETY: as said above; an `IoSlice` is an `iovec`.
            unsafe { libc::preadv64(file.fd(), slices.cast(), pieces(count), offset as libc::off64_t) }
        }),
        FileRequest::WriteVectored { file, offset, slices, count } => retried(|| {
            // SAFETY: as said above; an `IoSlice` is an `iovec`.
            unsafe { libc::pwritev64(file.fd(), slices.cast(), pieces(count), offset as libc::off64_t) }
        }),
        FileRequest::SyncRange { file, offset, length } => {
            let (offset, length) = (offset as libc::off64_t, length as libc::off64_t);
            // SAFETY: no memory is involved.
            retried(|| unsafe { sync_file_range(file.fd(), offset, length, SYNC_WHOLE) } as isize)
        }
        FileRequest::Advise { file, offset, length, advice } => {
            let length = std::num::NonZeroU64::new(length);
            rustix::fs::fadvise(borrow(&file)?, offset, length, advice_of(advice))?;
            Ok(0)
        }
        FileRequest::Range { file, offset, length, mode } => {
            let file = borrow(&file)?;
            retry_on_intr(|| rustix::fs::fallocate(file, range_flags(mode), offset, length))?;
            Ok(0)
        }
        // SAFETY: as said above.
        FileRequest::Change { file, changes } => change(borrow(&file)?, unsafe { &*changes }),
        // SAFETY: as said above.
        FileRequest::Copy { arguments } => copy(unsafe { &mut *arguments }),
        FileRequest::SpliceFile { file, offset, pipe, length, into_pipe } => {
            let (file, pipe) = (borrow(&file)?, borrow(&pipe)?);
            let (mut offset, length) = (offset, length as usize);
            let flags = rustix::pipe::SpliceFlags::MOVE;
            let moved = retry_on_intr(|| match into_pipe {
                true => rustix::pipe::splice(file, Some(&mut offset), pipe, None, length, flags),
                false => rustix::pipe::splice(pipe, None, file, Some(&mut offset), length, flags),
            })?;
            Ok(moved as i32)
        }
        FileRequest::Link { from, to } => {
            // SAFETY: as said above.
            let (from, to) = unsafe { (path_of(from), path_of(to)) };
            rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty())?;
            Ok(0)
        }
        FileRequest::SymbolicLink { target, link } => {
            // SAFETY: as said above.
            let (target, link) = unsafe { (path_of(target), path_of(link)) };
            rustix::fs::symlinkat(target, CWD, link)?;
            Ok(0)
        }
        FileRequest::ReadLink { path, buffer, length } => {
            // SAFETY: as said above.
            retried(|| unsafe { libc::readlinkat(libc::AT_FDCWD, path, buffer.cast(), length) })
        }
        FileRequest::GetAttribute { file, name, buffer, length } => {
            // SAFETY: as said above.
            retried(|| unsafe { libc::fgetxattr(file.fd(), name, buffer.cast(), length as usize) })
        }
        FileRequest::SetAttribute { file, name, value, length, mode } => {
            let (length, flags) = (length as usize, attribute_flags(mode));
            // SAFETY: as said above.
            retried(|| unsafe { libc::fsetxattr(file.fd(), name, value.cast(), length, flags) } as isize)
        }
        FileRequest::ListAttributes { file, buffer, length } => {
            // SAFETY: as said above.
            retried(|| unsafe { libc::flistxattr(file.fd(), buffer.cast(), length) })
        }
        FileRequest::RemoveAttribute { file, name } => {
            // SAFETY: as said above.
            retried(|| unsafe { libc::fremovexattr(file.fd(), name) } as isize)
        }
        FileRequest::ReadDirectory { directory, buffer, length, rewind } => {
            // SAFETY: as said above.
            unsafe { read_directory(borrow(&directory)?, buffer, length as usize, rewind) }
        }
        // SAFETY: as said above.
        FileRequest::Walk { walk: place } => walk(unsafe { &mut *place }),
    }
}

/// Waits for what is being written, writes what is dirty, and waits for that.
pub(crate) const SYNC_WHOLE: u32 = {
    use linux_raw_sys::general as raw; // libc lacks these for Android
    raw::SYNC_FILE_RANGE_WAIT_BEFORE | raw::SYNC_FILE_RANGE_WRITE | raw::SYNC_FILE_RANGE_WAIT_AFTER
};

fn pieces(count: u32) -> i32 {
    count.min(SLICES_MAX as u32) as i32
}

/// How `fallocate` spells `mode`.
pub(crate) fn range_flags(mode: RangeMode) -> FallocateFlags {
    match mode {
        RangeMode::Reserve => FallocateFlags::KEEP_SIZE,
        RangeMode::PunchHole => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
        RangeMode::Zero => FallocateFlags::ZERO_RANGE,
    }
}

/// How `posix_fadvise` spells `advice`.
pub(crate) fn advice_of(advice: Advice) -> rustix::fs::Advice {
    match advice {
        Advice::Normal => rustix::fs::Advice::Normal,
        Advice::Sequential => rustix::fs::Advice::Sequential,
        Advice::Random => rustix::fs::Advice::Random,
        Advice::WillNeed => rustix::fs::Advice::WillNeed,
        Advice::DontNeed => rustix::fs::Advice::DontNeed,
        Advice::NoReuse => rustix::fs::Advice::NoReuse,
    }
}

/// How `setxattr` spells `mode`.
pub(crate) fn attribute_flags(mode: AttributeMode) -> i32 {
    match mode {
        AttributeMode::Set => 0,
        AttributeMode::Create => libc::XATTR_CREATE,
        AttributeMode::Replace => libc::XATTR_REPLACE,
    }
}

/// Sets what is named. The owner first: the kernel takes the set-user-ID bits away with it, and the mode may give them
/// back.
fn change(file: BorrowedFd<'_>, changes: &Changes) -> Result<i32> {
    if [changes.accessed, changes.modified].into_iter().flatten().any(|time| time.nanoseconds >= 1_000_000_000) {
        return Err(Errno::INVAL);
    }
    if changes.owner.is_some() || changes.group.is_some() {
        rustix::fs::fchown(file, changes.owner.map(Uid::from_raw), changes.group.map(Gid::from_raw))?;
    }
    if let Some(mode) = changes.mode {
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?;
    }
    if changes.accessed.is_some() || changes.modified.is_some() {
        let time = |time: Option<FileTime>| match time {
            Some(time) => Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() },
            None => Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        };
        let times = Timestamps { last_access: time(changes.accessed), last_modification: time(changes.modified) };
        rustix::fs::futimens(file, &times)?;
    }
    Ok(0)
}

/// Bytes that pass through memory at a time where the kernel does not copy by itself.
const COPY_BUFFER: usize = 256 * 1024;

fn copy(arguments: &mut CopyArguments) -> Result<i32> {
    let descriptors = (arguments.from, arguments.to);
    let (from, to) = (borrow(&descriptors.0)?, borrow(&descriptors.1)?);
    let length = arguments.length.min(TRANSFER_MAX);
    let (mut from_offset, mut to_offset) = (arguments.from_offset, arguments.to_offset);
    let copied =
        retry_on_intr(|| rustix::fs::copy_file_range(from, Some(&mut from_offset), to, Some(&mut to_offset), length));
    match copied {
        // Some pseudo file systems (those of /proc) say 0 where bytes can be read, so a 0 is asked about once more.
        Ok(count @ 1..) => {
            arguments.method = CopyMethod::Kernel;
            Ok(count as i32)
        }
        // Two file systems that cannot do it between them, one that cannot at all, a filter that forbids the call, a
        // file that is no regular one.
        Ok(0) | Err(Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL) => {
            if !overlap(from, to, arguments, length)? {
                return copy_through_memory(from, to, arguments, length);
            }
            // What has been written would be read again. The kernel refuses it too, unless nothing is there to copy.
            copied.map_or(Err(Errno::INVAL), |_| Ok(0))
        }
        Err(errno) => Err(errno),
    }
}

/// Whether both ranges have bytes of one file in common.
fn overlap(from: BorrowedFd<'_>, to: BorrowedFd<'_>, arguments: &CopyArguments, length: usize) -> Result<bool> {
    let identity = |file: BorrowedFd<'_>| rustix::fs::fstat(file).map(|stat| (stat.st_dev, stat.st_ino));
    let apart = arguments.from_offset.abs_diff(arguments.to_offset) >= length as u64;
    Ok(!apart && identity(from)? == identity(to)?)
}

fn copy_through_memory(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    arguments: &mut CopyArguments,
    length: usize,
) -> Result<i32> {
    let (from_start, to_start) = (arguments.from_offset, arguments.to_offset);
    let mut buffer = vec![0u8; length.min(COPY_BUFFER)];
    let mut done = 0;
    while done < length {
        let room = buffer.len().min(length - done);
        let read = match retry_on_intr(|| rustix::io::pread(from, &mut buffer[..room], from_start + done as u64)) {
            Ok(0) => break,
            Ok(read) => read,
            // What was copied is told; the next try meets the error.
            Err(_) if done > 0 => break,
            Err(errno) => return Err(errno),
        };
        let mut written = 0;
        while written < read {
            let at = to_start + (done + written) as u64;
            match retry_on_intr(|| rustix::io::pwrite(to, &buffer[written..read], at)) {
                Ok(0) => return Err(Errno::IO),
                Ok(count) => written += count,
                Err(_) if done + written > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        done += written;
        if written < read {
            break;
        }
    }
    if done > 0 {
        arguments.method = CopyMethod::Buffer;
    }
    Ok(done as i32)
}

/// # Safety
///
/// `buffer` is valid for writes of `length` bytes, and no one else's.
unsafe fn read_directory(directory: BorrowedFd<'_>, buffer: *mut u8, length: usize, rewind: bool) -> Result<i32> {
    use std::os::fd::AsRawFd;
    if rewind {
        rustix::fs::seek(directory, rustix::fs::SeekFrom::Start(0))?;
    }
    loop {
        // SAFETY: the caller's promise.
        let count =
            retried(|| unsafe { libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), buffer, length) } as isize)?;
        // SAFETY: the kernel has filled so many bytes, within the caller's promise.
        let filled = unsafe { std::slice::from_raw_parts_mut(buffer, count as usize) };
        // A batch of nothing but dots would look like the end.
        if count == 0 || tell_kinds(directory, filled)? {
            return Ok(count);
        }
    }
}

/// Replaces kinds that the file system left open, and says whether any record is more than `.` or `..`.
fn tell_kinds(directory: BorrowedFd<'_>, records: &mut [u8]) -> Result<bool> {
    let (mut at, mut any) = (0, false);
    while at + RECORD_HEAD < records.len() {
        let length = usize::from(u16::from_ne_bytes([records[at + 16], records[at + 17]]));
        let record = &mut records[at..][..length];
        let name = std::ffi::CStr::from_bytes_until_nul(&record[RECORD_HEAD..]).map_err(|_| Errno::IO)?;
        any |= name != c"." && name != c"..";
        if record[18] == libc::DT_UNKNOWN {
            let kind = match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                // Removed since it was listed: told as what it may have been, as it was there at the listing.
                Err(Errno::NOENT) => FileType::RegularFile,
                Err(errno) => return Err(errno),
            };
            record[18] = match kind {
                FileType::RegularFile => libc::DT_REG,
                FileType::Directory => libc::DT_DIR,
                FileType::Symlink => libc::DT_LNK,
                _ => libc::DT_CHR,
            };
        }
        at += length;
    }
    Ok(any)
}

/// What stands before a record's name.
const RECORD_HEAD: usize = 19;

/// What is asked of `statx`: all that [`Metadata`] tells.
pub(crate) const STATX_MASK: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::DIOALIGN);

/// What is known of an open file (`path` empty) or a name.
pub(super) fn stat(directory: BorrowedFd<'_>, path: &std::ffi::CStr, flags: AtFlags) -> Result<Metadata> {
    match rustix::fs::statx(directory, path, flags, STATX_MASK) {
        Ok(answer) => Ok(metadata_of_statx(&answer)),
        // A kernel, or a filter, from before the call.
        Err(Errno::NOSYS | Errno::PERM) => Ok(metadata_of(&rustix::fs::statat(directory, path, flags)?)),
        Err(errno) => Err(errno),
    }
}

/// What the kernel's answer says, whoever asked.
pub(crate) fn metadata_of_statx(answer: &Statx) -> Metadata {
    let time = |time: &rustix::fs::StatxTimestamp| FileTime { seconds: time.tv_sec, nanoseconds: time.tv_nsec };
    Metadata {
        kind: kind_of(FileType::from_raw_mode(answer.stx_mode.into())),
        size: answer.stx_size,
        mode: u32::from(answer.stx_mode) & 0o7777,
        modified_seconds: answer.stx_mtime.tv_sec,
        modified_nanoseconds: answer.stx_mtime.tv_nsec,
        device: rustix::fs::makedev(answer.stx_dev_major, answer.stx_dev_minor),
        inode: answer.stx_ino,
        links: answer.stx_nlink.into(),
        allocated: answer.stx_blocks * 512,
        owner: answer.stx_uid,
        group: answer.stx_gid,
        accessed: time(&answer.stx_atime),
        changed: time(&answer.stx_ctime),
        direct: direct_of(answer.stx_dio_mem_align, answer.stx_dio_offset_align),
    }
}

/// What direct I/O must be aligned to, of two numbers that are 0 where the kernel says nothing.
fn direct_of(memory: u32, offset: u32) -> Option<DirectAlignment> {
    (memory > 0 && offset > 0).then_some(DirectAlignment { memory, offset })
}
