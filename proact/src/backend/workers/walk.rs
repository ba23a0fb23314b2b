//! A walk through a tree of directories, some names at a time.
//!
//! Between two requests it keeps one open directory a level, each with what was listed of it and not told yet: memory
//! and descriptors grow with the depth, which is bounded, and not with the number of files.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir};
use rustix::io::{Errno, Result};

use super::perform::kind_of;
use crate::backend::{DirectoryEntry, FileKind, Walk, WalkEntry};
use crate::fault::retry_on_intr;
use crate::status::{Operation, Status};

/// Bytes of names that one call lists. A level keeps at most this many waiting.
const LISTED: usize = 8 * 1024;

/// One open directory.
struct Level {
    directory: OwnedFd,
    path: PathBuf,
    /// Listed and not told yet.
    waiting: VecDeque<DirectoryEntry>,
    /// Nothing more is to be listed.
    ended: bool,
}

/// What a walk keeps between requests.
struct Place {
    levels: Vec<Level>,
}

/// Goes on with a walk until it has `batch` entries or is at its end.
pub(super) fn walk(walk: &mut Walk) -> Result<i32> {
    if walk.place.is_none() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = retry_on_intr(|| rustix::fs::open(&walk.root, flags, Mode::empty()))?;
        let root = Level { directory, path: walk.root.clone(), waiting: VecDeque::new(), ended: false };
        walk.place = Some(Box::new(Place { levels: vec![root] }));
    }
    let Walk { place, entries, batch, depth_max, .. } = walk;
    let Some(place) = place.as_mut().and_then(|place| place.downcast_mut::<Place>()) else { return Err(Errno::INVAL) };
    while entries.len() < *batch {
        let depth = place.levels.len() as u32;
        let Some(level) = place.levels.last_mut() else { break };
        let Some(entry) = level.waiting.pop_front() else {
            if level.ended {
                place.levels.pop();
            } else if let Err(errno) = level.list() {
                // What is missing is said, and the rest goes on.
                entries.push(WalkEntry {
                    path: level.path.clone(),
                    kind: FileKind::Directory,
                    depth: depth - 1,
                    failure: Some(failure(errno, &level.path)),
                });
                place.levels.pop();
            }
            continue;
        };
        let path = level.path.join(&entry.name);
        let mut failed = None;
        if entry.kind == FileKind::Directory && depth < *depth_max {
            match level.enter(&entry.name, &path) {
                Ok(below) => place.levels.push(below),
                Err(errno) => failed = Some(failure(errno, &path)),
            }
        }
        entries.push(WalkEntry { path, kind: entry.kind, depth, failure: failed });
    }
    Ok(0)
}

#[cold]
fn failure(errno: Errno, path: &std::path::Path) -> Status {
    Status::from_os_error(Operation::DirectoryWalk, errno.raw_os_error()).with_context(format!("{path:?}"))
}

impl Level {
    /// Opens a directory below. Relative to this one and never through a link: a tree that changes meanwhile cannot
    /// lead the walk out of it.
    fn enter(&self, name: &OsStr, path: &std::path::Path) -> Result<Level> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = retry_on_intr(|| rustix::fs::openat(&self.directory, name, flags, Mode::empty()))?;
        Ok(Level { directory, path: path.to_owned(), waiting: VecDeque::new(), ended: false })
    }

    /// Lists some more names.
    fn list(&mut self) -> Result<()> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); LISTED];
        let mut listing = RawDir::new(self.directory.as_fd(), &mut buffer);
        loop {
            let Some(entry) = listing.next() else {
                self.ended = true;
                return Ok(());
            };
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                let kind = match entry.file_type() {
                    FileType::Unknown => match rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
                        Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                        Err(Errno::NOENT) => continue, // removed since it was listed
                        Err(errno) => return Err(errno),
                    },
                    known => known,
                };
                let name = OsStr::from_bytes(name.to_bytes()).to_owned();
                self.waiting.push_back(DirectoryEntry { name, kind: kind_of(kind) });
            }
            if listing.is_buffer_empty() && !self.waiting.is_empty() {
                // What the kernel listed is taken; the next call goes on where it stopped.
                return Ok(());
            }
        }
    }
}
