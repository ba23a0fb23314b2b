//! Names: hard and symbolic links.

use std::path::{Path, PathBuf};

use super::kind::{Class, Kind, sealed::Sealed};
use super::path::PathArgument;
use crate::backend::{FileRequest, Request};
use crate::resource::{Home, Lane};
use crate::status::{Code, Operation, Result, Status};

/// Gives a file a second name on the same file system, or makes a symbolic link.
///
/// Kernel-native on io_uring (Linux 5.15), by a worker thread elsewhere.
///
/// # Errors
/// `AlreadyExists` when the new name is taken, `FailedPrecondition` for a hard link to another file system,
/// `PermissionDenied` for one to a directory.
///
/// ```
/// # use proact::operation::{Link, Op};
/// let current = Op::new(Link::symbolic("release-7", "current"), ());
/// # drop(current);
/// ```
#[derive(Clone, Debug)]
pub struct Link {
    from: PathArgument,
    to: PathArgument,
    symbolic: bool,
}

impl Link {
    /// A second name, `link`, for the file `existing`. A symbolic link is linked itself, and not followed.
    pub fn hard(existing: impl AsRef<Path>, link: impl AsRef<Path>) -> Link {
        Link { from: PathArgument::new(existing.as_ref()), to: PathArgument::new(link.as_ref()), symbolic: false }
    }

    /// A symbolic link at `link` that says `target`, which need not exist.
    pub fn symbolic(target: impl AsRef<Path>, link: impl AsRef<Path>) -> Link {
        Link { symbolic: true, ..Link::hard(target, link) }
    }
}

impl Sealed for Link {}

impl Kind for Link {
    type Output = ();
    const OPERATION: Operation = Operation::FileLink;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, _: Home) -> Result<()> {
        self.from.check(Self::OPERATION)?;
        self.to.check(Self::OPERATION)
    }

    fn request(&mut self, _: usize) -> Request {
        let (from, to) = (self.from.as_ptr(), self.to.as_ptr());
        Request::File(match self.symbolic {
            false => FileRequest::Link { from, to },
            true => FileRequest::SymbolicLink { target: from, link: to },
        })
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        Ok(())
    }

    fn explain(&self, status: Status) -> Status {
        status.with_context(format!("{:?} at {:?}", self.from.path(), self.to.path()))
    }
}

/// Tells what a symbolic link says. By a worker thread on every backend.
///
/// # Errors
/// `InvalidArgument` when the path is no symbolic link, `NotFound`.
///
/// ```
/// # use proact::operation::{Op, ReadLink};
/// let current = Op::new(ReadLink::new("current"), ());
/// # drop(current);
/// ```
#[derive(Clone, Debug)]
pub struct ReadLink {
    path: PathArgument,
    buffer: Box<[u8]>,
}

/// The longest path that a link can say, and one byte that tells a whole one from one that was cut (Linux: 4,095).
const LINK_MAX: usize = 4096;

impl ReadLink {
    /// Reads the link `path`.
    pub fn new(path: impl AsRef<Path>) -> ReadLink {
        ReadLink { path: PathArgument::new(path.as_ref()), buffer: vec![0; LINK_MAX].into() }
    }
}

impl Sealed for ReadLink {}

impl Kind for ReadLink {
    type Output = PathBuf;
    const OPERATION: Operation = Operation::FileReadLink;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, _: Home) -> Result<()> {
        self.path.check(Self::OPERATION)
    }

    fn request(&mut self, _: usize) -> Request {
        let (buffer, length) = (self.buffer.as_mut_ptr(), self.buffer.len());
        Request::File(FileRequest::ReadLink { path: self.path.as_ptr(), buffer, length })
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<PathBuf> {
        let length = value as usize;
        if length >= self.buffer.len() {
            let status = Status::new(Code::OutOfRange, Self::OPERATION).with_message("the link says too long a path");
            return Err(self.explain(status));
        }
        Ok(PathBuf::from(crate::resource::os_str(&self.buffer[..length])))
    }

    fn explain(&self, status: Status) -> Status {
        self.path.explain(status)
    }
}
