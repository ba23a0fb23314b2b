//! `statx` answers: where the kernel writes them, and what they say.

use std::ptr::NonNull;

use linux_raw_sys::general as raw;

use crate::backend::workers::files::direct_of;
use crate::backend::{FileKind, FileTime, Metadata};

/// The kernel's answer.
pub(super) type Statx = raw::statx;

// The kernel writes this many bytes.
const _: () = assert!(size_of::<Statx>() == 256);

/// What is asked for: all that [`Metadata`] tells.
pub(super) const MASK: u32 = raw::STATX_BASIC_STATS | raw::STATX_DIOALIGN;

/// Answers that wait to be used again. Only the first few requests allocate.
#[derive(Default)]
pub(super) struct StatPool {
    // Boxed: an answer's address is the kernel's for as long as its request runs, while the list moves and shrinks.
    #[allow(clippy::vec_box)]
    free: Vec<Box<Statx>>,
    made: usize,
}

impl StatPool {
    /// Takes one out. It belongs to the caller, who gives it back with [`StatPool::put`] or leaks it.
    pub(super) fn take(&mut self) -> NonNull<Statx> {
        let answer = self.free.pop().unwrap_or_else(|| {
            self.made += 1;
            self.free.reserve(self.made);
            // SAFETY: plain integers, for which zero is a value.
            Box::new(unsafe { std::mem::zeroed() })
        });
        NonNull::from(Box::leak(answer))
    }

    /// Gives one back.
    ///
    /// # Safety
    ///
    /// It came from [`StatPool::take`] of this pool, and neither the kernel nor anyone else refers to it.
    pub(super) unsafe fn put(&mut self, answer: NonNull<Statx>) {
        // SAFETY: `take` leaked it from a box; the caller gives up the only reference.
        self.free.push(unsafe { Box::from_raw(answer.as_ptr()) });
    }
}

/// What the kernel's answer says.
pub(super) fn metadata_of(answer: &Statx) -> Metadata {
    let kind = match u32::from(answer.stx_mode) & libc::S_IFMT {
        libc::S_IFREG => FileKind::File,
        libc::S_IFDIR => FileKind::Directory,
        libc::S_IFLNK => FileKind::Link,
        _ => FileKind::Other,
    };
    let time = |time: &raw::statx_timestamp| FileTime { seconds: time.tv_sec, nanoseconds: time.tv_nsec };
    Metadata {
        kind,
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
