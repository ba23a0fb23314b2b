//! The tree that sources are found in: what planning asks of a file system, and the answers of the real one.
//!
//! Planning runs before the pipeline, so the real tree uses blocking calls. It stands behind [`Tree`] so that planning
//! can be tested without files, and can ask through operations one day.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a path leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, described itself.
    Link,
    /// A device, pipe or socket.
    Other,
}

/// What tells whether two paths lead to the same node: device and number where the system has them, else the
/// canonical path.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Identity {
    /// Device and inode number.
    Number(u64, u64),
    /// The canonical path.
    Path(PathBuf),
}

/// What is known of a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Bytes, of a file.
    pub size: u64,
    /// Permission bits, `0o777` at most. Set-user-ID, set-group-ID and sticky bits are not carried.
    pub mode: u32,
    /// Seconds of the time of last change since 1970, which may lie before it.
    pub modified_seconds: i64,
    /// Nanoseconds within that second.
    pub modified_nanoseconds: u32,
    /// Which node it is.
    pub identity: Identity,
}

/// What planning asks of a file system.
pub trait Tree {
    /// Describes what `path` leads to; with `follow` through a symbolic link at its end, without it the link itself.
    ///
    /// # Errors
    /// The system's.
    fn stat(&self, path: &Path, follow: bool) -> io::Result<Node>;

    /// The names in a directory, in any order, without `.` and `..`.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, path: &Path) -> io::Result<Vec<OsString>>;

    /// The absolute path without symbolic links, `.` and `..`.
    ///
    /// # Errors
    /// The system's; a path that does not exist has none.
    fn canonical(&self, path: &Path) -> io::Result<PathBuf>;
}

/// The operating system's own tree.
#[derive(Clone, Copy, Default, Debug)]
pub struct SystemTree;

impl Tree for SystemTree {
    fn stat(&self, path: &Path, follow: bool) -> io::Result<Node> {
        let metadata = if follow { std::fs::metadata(path)? } else { std::fs::symlink_metadata(path)? };
        let file_type = metadata.file_type();
        let kind = if file_type.is_file() {
            NodeKind::File
        } else if file_type.is_dir() {
            NodeKind::Directory
        } else if file_type.is_symlink() {
            NodeKind::Link
        } else {
            NodeKind::Other
        };
        let (modified_seconds, modified_nanoseconds) = split_time(metadata.modified()?);
        Ok(Node {
            kind,
            size: if kind == NodeKind::File { metadata.len() } else { 0 },
            mode: mode_of(&metadata),
            modified_seconds,
            modified_nanoseconds,
            identity: identity_of(path, &metadata, kind)?,
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<OsString>> {
        std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn canonical(&self, path: &Path) -> io::Result<PathBuf> {
        std::fs::canonicalize(path)
    }
}

/// Seconds since 1970, rounded down, and the nanoseconds above them: -0.5 s is (-1, 500 million).
fn split_time(time: SystemTime) -> (i64, u32) {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => (-seconds, 0),
                nanoseconds => (-seconds - 1, 1_000_000_000 - nanoseconds),
            }
        }
    }
}

#[cfg(unix)]
fn mode_of(metadata: &std::fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o777
}

#[cfg(not(unix))]
fn mode_of(metadata: &std::fs::Metadata) -> u32 {
    match (metadata.is_dir(), metadata.permissions().readonly()) {
        (true, _) => 0o755,
        (false, true) => 0o444,
        (false, false) => 0o644,
    }
}

#[cfg(unix)]
fn identity_of(_path: &Path, metadata: &std::fs::Metadata, _kind: NodeKind) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    Ok(Identity::Number(metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn identity_of(path: &Path, _metadata: &std::fs::Metadata, kind: NodeKind) -> io::Result<Identity> {
    // A link's own identity is asked of nobody, and a broken one has no canonical path.
    if kind == NodeKind::Link {
        Ok(Identity::Path(path.into()))
    } else {
        std::fs::canonicalize(path).map(Identity::Path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_before_1970_round_down_so_that_nanoseconds_stay_positive() {
        assert_eq!(split_time(UNIX_EPOCH), (0, 0));
        assert_eq!(split_time(UNIX_EPOCH + Duration::new(5, 7)), (5, 7));
        assert_eq!(split_time(UNIX_EPOCH - Duration::from_secs(3)), (-3, 0));
        assert_eq!(split_time(UNIX_EPOCH - Duration::from_millis(500)), (-1, 500_000_000));
        assert_eq!(split_time(UNIX_EPOCH - Duration::new(1, 1)), (-2, 999_999_999));
    }
}
