//! What is done to a path.

use std::path::{Path, PathBuf};

use proact::operation::{Link, ReadLink, Remove, Rename, StatPath};
use proact::resource::Metadata;
use proact::status::{Code, Result};

use super::File;
use crate::runtime::operation;

/// What is known of what `path` leads to.
///
/// # Errors
/// As for [`StatPath`].
///
/// # Panics
/// Outside of a runtime, as all here.
pub async fn metadata(path: impl AsRef<Path>) -> Result<Metadata> {
    operation(StatPath::new(path)).await.1.result
}

/// As [`metadata`]; if the path is a symbolic link, of the link itself.
///
/// # Errors
/// As for [`StatPath`].
pub async fn link_metadata(path: impl AsRef<Path>) -> Result<Metadata> {
    operation(StatPath::new(path).no_follow()).await.1.result
}

/// Whether there is something that `path` leads to.
///
/// # Errors
/// As for [`StatPath`], but for `NotFound`.
pub async fn exists(path: impl AsRef<Path>) -> Result<bool> {
    match metadata(path).await {
        Ok(_) => Ok(true),
        Err(status) if status.code() == Code::NotFound => Ok(false),
        Err(status) => Err(status),
    }
}

/// Renames `from` to `to`, which must not exist.
///
/// # Errors
/// As for [`Rename`]: `AlreadyExists`, decided by the file system at once.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result {
    operation(Rename::new(from, to)).await.1.result
}

/// Renames `from` to `to`, in place of what stands there: whoever opens `to` meanwhile finds the one or the other.
///
/// # Errors
/// As for [`Rename`].
pub async fn replace(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result {
    operation(Rename::new(from, to).replacing()).await.1.result
}

/// Gives `existing` a second name.
///
/// # Errors
/// As for [`Link`].
pub async fn hard_link(existing: impl AsRef<Path>, link: impl AsRef<Path>) -> Result {
    operation(Link::hard(existing, link)).await.1.result
}

/// Makes `link` a symbolic link that says `target`.
///
/// # Errors
/// As for [`Link`].
pub async fn symbolic_link(target: impl AsRef<Path>, link: impl AsRef<Path>) -> Result {
    operation(Link::symbolic(target, link)).await.1.result
}

/// What a symbolic link says.
///
/// # Errors
/// As for [`ReadLink`].
pub async fn read_link(path: impl AsRef<Path>) -> Result<PathBuf> {
    operation(ReadLink::new(path)).await.1.result
}

/// Removes a file or a symbolic link.
///
/// # Errors
/// As for [`Remove`].
pub async fn remove_file(path: impl AsRef<Path>) -> Result {
    operation(Remove::file(path)).await.1.result
}

/// Sets the permission bits (`0o7777`) of a file or directory, which is opened to be read for that.
///
/// # Errors
/// As for opening it, and for [`SetAttributes`](proact::operation::SetAttributes).
pub async fn set_permissions(path: impl AsRef<Path>, mode: u32) -> Result {
    File::open(path).await?.set_permissions(mode).await
}
