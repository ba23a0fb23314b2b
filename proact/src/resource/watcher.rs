//! Watching files and directories for changes.

use std::ffi::OsStr;
use std::sync::Arc;

use super::{Home, Resource};
use crate::status::{Code, Operation, Result, Status};

bitflags::bitflags! {
    /// What happened to a file or to a name in a directory, or what to tell of. The numbers are inotify's.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct ChangeMask: u32 {
        /// It was read.
        const ACCESSED = 0x1;
        /// It was written or cut.
        const MODIFIED = 0x2;
        /// Its mode, owner, times, links or extended attributes changed.
        const ATTRIBUTES = 0x4;
        /// Someone who could write it closed it.
        const WRITTEN = 0x8;
        /// A name went away by a rename. The same [`Change::cookie`] marks where it went.
        const MOVED_FROM = 0x40;
        /// A name came by a rename.
        const MOVED_TO = 0x80;
        /// A name was made.
        const CREATED = 0x100;
        /// A name was removed.
        const REMOVED = 0x200;
        /// The watched file or directory itself was removed.
        const SELF_REMOVED = 0x400;
        /// The watched file or directory itself was renamed.
        const SELF_MOVED = 0x800;
        /// Told only: its file system was unmounted.
        const UNMOUNTED = 0x2000;
        /// Told only: changes came faster than they were taken, and some are lost. What is watched must be looked at
        /// anew.
        const OVERFLOWED = 0x4000;
        /// Told only: the watch is gone, removed or with what it watched.
        const ENDED = 0x8000;
        /// Told only: the name is a directory's.
        const DIRECTORY = 0x4000_0000;
        /// What most watchers of a directory want to know.
        const USUAL = Self::MODIFIED.bits() | Self::ATTRIBUTES.bits() | Self::MOVED_FROM.bits() | Self::MOVED_TO.bits()
            | Self::CREATED.bits() | Self::REMOVED.bits() | Self::SELF_REMOVED.bits() | Self::SELF_MOVED.bits();
    }
}

impl ChangeMask {
    /// What may be asked for: the rest is told unasked.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const ASKABLE: ChangeMask = ChangeMask::from_bits_truncate(0xfff);
}

/// One path that a [`Watcher`] watches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Watch(i32);

/// One change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change<'a> {
    /// Which watch tells it. `None` for an [overflow](ChangeMask::OVERFLOWED), which is about all of them.
    pub watch: Option<Watch>,
    /// What happened.
    pub mask: ChangeMask,
    /// The same for the two halves of a rename, 0 otherwise.
    pub cookie: u32,
    /// The name within the watched directory; empty for the watched thing itself.
    pub name: &'a OsStr,
}

/// Notices changes of files and directories (inotify). A directory is watched alone, not what is below its directories.
///
/// Made by [`Handle::watcher`](crate::proactor::Handle::watcher); a
/// [`WatchChanges`](crate::operation::WatchChanges) takes what happened. What happens between two of them waits in the
/// system, up to its limit (`/proc/sys/fs/inotify/max_queued_events`); beyond it
/// [`OVERFLOWED`](ChangeMask::OVERFLOWED) is told.
#[derive(Clone, Debug)]
pub struct Watcher {
    resource: Arc<Resource>,
}

impl Watcher {
    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }
}

/// What stands before a change's name: watch, mask, cookie and the name's length, 4 bytes each.
const HEAD: usize = 16;

/// Takes the first change off `bytes`.
pub(crate) fn next_change<'a>(bytes: &mut &'a [u8]) -> Option<Change<'a>> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let word = |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (name, rest) = rest.split_at_checked(word(12) as usize)?;
    *bytes = rest;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let watch = word(0) as i32;
    Some(Change {
        watch: (watch >= 0).then_some(Watch(watch)),
        mask: ChangeMask::from_bits_retain(word(4)),
        cookie: word(8),
        name: os_str(name),
    })
}

#[cfg(unix)]
pub(crate) fn os_str(name: &[u8]) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name)
}

#[cfg(not(unix))]
pub(crate) fn os_str(name: &[u8]) -> &OsStr {
    // Nothing here makes such records; one that is no text is shown as nothing.
    OsStr::new(std::str::from_utf8(name).unwrap_or_default())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Watcher {
    pub(crate) fn create(home: Home) -> Result<Watcher> {
        use rustix::fs::inotify::{CreateFlags, init};
        use std::os::fd::IntoRawFd;
        super::import::takes_descriptors(home, Operation::DirectoryWatch)?;
        let mut flags = CreateFlags::CLOEXEC;
        if home.mode == crate::backend::DescriptorMode::NonBlocking {
            flags |= CreateFlags::NONBLOCK;
        }
        let fd = crate::fault::tried(|| init(flags))
            .map_err(|errno| Status::from_os_error(Operation::DirectoryWatch, errno.raw_os_error()))?;
        let descriptor = crate::backend::Descriptor(fd.into_raw_fd().into());
        Ok(Watcher { resource: Arc::new(Resource::adopt(home, descriptor)) })
    }

    /// Watches `path` for what `mask` says. A path watched before is watched for this instead. Looks the path up here
    /// and now, on the calling thread, which may be any.
    ///
    /// # Errors
    /// `NotFound`, `PermissionDenied`, `ResourceExhausted` at the user's limit of watches, `InvalidArgument` for a mask
    /// with nothing in it that can be asked for.
    pub fn watch(&self, path: impl AsRef<std::path::Path>, mask: ChangeMask) -> Result<Watch> {
        let path = path.as_ref();
        let operation = Operation::DirectoryWatch;
        let explain = |status: Status| status.with_context(format!("{path:?}"));
        if mask.is_empty() || !ChangeMask::ASKABLE.contains(mask) {
            let status = Status::new(Code::InvalidArgument, operation);
            return Err(explain(status.with_message("a mask that cannot be asked for")));
        }
        let flags = rustix::fs::inotify::WatchFlags::from_bits_retain(mask.bits());
        self.resource
            .with(operation, |descriptor| {
                // SAFETY: the resource keeps the descriptor open while it is used.
                let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
                crate::fault::tried(|| rustix::fs::inotify::add_watch(fd, path, flags))
                    .map_err(|errno| Status::from_os_error(operation, errno.raw_os_error()))
            })
            .map(Watch)
            .map_err(explain)
    }

    /// Ends a watch. What it has noticed before is still told, and then [`ENDED`](ChangeMask::ENDED).
    ///
    /// # Errors
    /// `InvalidArgument` for a watch that is gone.
    pub fn unwatch(&self, watch: Watch) -> Result<()> {
        let operation = Operation::DirectoryWatch;
        self.resource.with(operation, |descriptor| {
            // SAFETY: as in `watch`.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
            rustix::fs::inotify::remove_watch(fd, watch.0)
                .map_err(|errno| Status::from_os_error(operation, errno.raw_os_error()))
        })
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Watcher {
    pub(crate) fn create(_: Home) -> Result<Watcher> {
        Err(Status::new(Code::Unavailable, Operation::DirectoryWatch).with_message("no watchers on this system yet"))
    }
}
