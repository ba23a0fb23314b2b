//! Names and directories.

use std::path::Path;

use super::kind::{Class, Kind, sealed::Sealed};
use super::path::PathArgument;
use crate::backend::{DirectoryEntry, Request};
use crate::resource::{Home, Lane};
use crate::status::{Operation, Result, Status};

/// Renames a file or directory.
///
/// Both paths are relative to the working directory. Path: the kernel itself on io_uring (Linux 5.11), a worker thread
/// on epoll and poll, and where `KERNEL_FILES` is masked.
///
/// # Errors
/// `NotFound`, `AlreadyExists`, `PermissionDenied`, `FailedPrecondition` between two file systems and for a directory
/// that would be replaced and is not empty.
#[derive(Clone, Debug)]
pub struct Rename {
    from: PathArgument,
    to: PathArgument,
    replace: bool,
}

impl Rename {
    /// Renames `from` to `to`, which must not exist: `AlreadyExists` otherwise, decided atomically by the file system.
    pub fn new(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Rename {
        Rename { from: PathArgument::new(from.as_ref()), to: PathArgument::new(to.as_ref()), replace: false }
    }

    /// Lets the rename replace what stands at the target.
    #[must_use]
    pub fn replacing(mut self) -> Rename {
        self.replace = true;
        self
    }
}

impl Sealed for Rename {}

impl Kind for Rename {
    type Output = ();
    const OPERATION: Operation = Operation::Rename;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, _: Home) -> Result<()> {
        self.from.check(Self::OPERATION)?;
        self.to.check(Self::OPERATION)
    }

    fn request(&mut self, _: usize) -> Request {
        Request::Rename { from: self.from.as_ptr(), to: self.to.as_ptr(), replace: self.replace }
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }

    fn explain(&self, status: Status) -> Status {
        status.with_context(format!("{:?} to {:?}", self.from.path(), self.to.path()))
    }
}

/// Removes a file, or an empty directory.
///
/// An open file lives until its last handle is gone. Path: the kernel itself on io_uring (Linux 5.11), a worker thread
/// on epoll and poll, and where `KERNEL_FILES` is masked.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `FailedPrecondition` for a directory as a file, a file as a directory, and one that
/// is not empty.
#[derive(Clone, Debug)]
pub struct Remove {
    path: PathArgument,
    directory: bool,
}

impl Remove {
    /// Removes a name that is no directory.
    pub fn file(path: impl AsRef<Path>) -> Remove {
        Remove { path: PathArgument::new(path.as_ref()), directory: false }
    }

    /// Removes a directory, which must be empty.
    pub fn directory(path: impl AsRef<Path>) -> Remove {
        Remove { path: PathArgument::new(path.as_ref()), directory: true }
    }
}

impl Sealed for Remove {}

impl Kind for Remove {
    type Output = ();
    const OPERATION: Operation = Operation::Remove;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, _: Home) -> Result<()> {
        self.path.check(Self::OPERATION)
    }

    fn request(&mut self, _: usize) -> Request {
        Request::Remove { path: self.path.as_ptr(), directory: self.directory }
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }

    fn explain(&self, status: Status) -> Status {
        self.path.explain(status)
    }
}

/// Makes one directory; its parent must exist.
///
/// Path: the kernel itself on io_uring (Linux 5.15), a worker thread on epoll and poll, and where `KERNEL_FILES` is
/// masked.
///
/// # Errors
/// `AlreadyExists`, `NotFound` without a parent, `PermissionDenied`.
#[derive(Clone, Debug)]
pub struct MakeDirectory {
    path: PathArgument,
    mode: u32,
}

impl MakeDirectory {
    /// A directory at `path`, with mode `0o777` less the process's mask.
    pub fn new(path: impl AsRef<Path>) -> MakeDirectory {
        MakeDirectory { path: PathArgument::new(path.as_ref()), mode: 0o777 }
    }

    /// With other permission bits, from which the process's mask is still taken.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> MakeDirectory {
        self.mode = mode;
        self
    }
}

impl Sealed for MakeDirectory {}

impl Kind for MakeDirectory {
    type Output = ();
    const OPERATION: Operation = Operation::DirectoryMake;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, _: Home) -> Result<()> {
        self.path.check(Self::OPERATION)
    }

    fn request(&mut self, _: usize) -> Request {
        Request::MakeDirectory { path: self.path.as_ptr(), mode: self.mode }
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }

    fn explain(&self, status: Status) -> Status {
        self.path.explain(status)
    }
}

/// Lists the names in a directory, in no order, without `.` and `..`.
///
/// All at once, in memory that grows with the directory: for large ones see [`ListBatch`](super::ListBatch). Path: a
/// worker thread on every backend.
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `FailedPrecondition` for what is no directory.
#[derive(Clone, Debug)]
pub struct ListDirectory {
    path: PathArgument,
    entries: Vec<DirectoryEntry>,
}

impl ListDirectory {
    /// Lists `path`.
    pub fn new(path: impl AsRef<Path>) -> ListDirectory {
        ListDirectory { path: PathArgument::new(path.as_ref()), entries: Vec::new() }
    }
}

impl Sealed for ListDirectory {}

impl Kind for ListDirectory {
    type Output = Vec<DirectoryEntry>;
    const OPERATION: Operation = Operation::DirectoryList;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, _: Home) -> Result<()> {
        self.path.check(Self::OPERATION)
    }

    fn request(&mut self, _: usize) -> Request {
        self.entries.clear();
        Request::ListDirectory { path: self.path.as_ptr(), entries: &raw mut self.entries }
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<Vec<DirectoryEntry>> {
        Ok(std::mem::take(&mut self.entries))
    }

    fn explain(&self, status: Status) -> Status {
        self.path.explain(status)
    }
}
