//! Names and directories.

use std::path::Path;

use super::kind::{Class, Kind, sealed::Sealed};
use super::path::PathArgument;
use crate::backend::{DirectoryEntry, Request};
use crate::resource::{Home, Lane};
use crate::status::{Operation, Result, Status};

/// Renames a file or directory.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_RENAMEAT`, Linux 5.11; `KERNEL_FILES`) |
/// | in a kernel chain | as the last step |
/// | epoll, poll | a worker thread |
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `AlreadyExists` unless told to [replace](Rename::replacing), `FailedPrecondition`
/// for a target on another file system or a directory that is not empty; at submit `InvalidArgument` for a path that is
/// empty or has a NUL. The failure names both paths.
///
/// ```
/// use proact::operation::{Op, Rename};
///
/// let publish = Op::new(Rename::new("state.new", "state").replacing(), ());
/// # drop(publish);
/// ```
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
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_UNLINKAT`, Linux 5.11; `KERNEL_FILES`) |
/// | in a kernel chain | as the last step |
/// | epoll, poll | a worker thread |
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `FailedPrecondition` for a directory that is not empty, or a file where a directory
/// was named and the other way round; at submit `InvalidArgument` for a path that is empty or has a NUL.
///
/// ```
/// use proact::operation::{Op, Remove};
///
/// let file = Op::new(Remove::file("build/output"), ());
/// let directory = Op::new(Remove::directory("build"), ());
/// # drop((file, directory));
/// ```
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
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_MKDIRAT`, Linux 5.15; `KERNEL_FILES`) |
/// | in a kernel chain | as the last step |
/// | epoll, poll | a worker thread |
///
/// # Errors
/// `AlreadyExists`, `NotFound` without its parent, `PermissionDenied`; at submit `InvalidArgument` for a path that is
/// empty or has a NUL.
///
/// ```
/// use proact::operation::{MakeDirectory, Op};
///
/// let private = Op::new(MakeDirectory::new("cache").mode(0o700), ());
/// # drop(private);
/// ```
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

/// Lists the names in a directory, in no order, without `.` and `..`, all at once.
///
/// For directories of any size, in memory that does not grow, take [`ListBatch`](super::ListBatch); for what is below
/// too, [`Walk`](super::Walk). The list is allocated by the worker, while the operation is in flight.
///
/// | backend | path |
/// |---|---|
/// | all | a worker thread: rings have no such operation |
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `FailedPrecondition` for what is no directory; at submit `InvalidArgument` for a
/// path that is empty or has a NUL.
///
/// ```
/// use proact::operation::{Complete, Context, ListDirectory, Op, Outcome};
///
/// struct Shown;
///
/// impl Complete<ListDirectory> for Shown {
///     fn done(_: Box<Op<ListDirectory, Self>>, outcome: Outcome<ListDirectory>, _: &mut Context<'_>) {
///         outcome.result.unwrap().iter().for_each(|entry| println!("{:?} {:?}", entry.kind, entry.name));
///     }
/// }
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// proactor.submit(Op::new(ListDirectory::new("src"), Shown)).unwrap();
/// proactor.run()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
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
