//! Directories: listing in batches, and walking what is below.

use std::ffi::OsStr;
use std::path::Path;

use super::kind::{Class, Kind, sealed::Sealed};
use super::path::PathArgument;
use crate::backend::{self, FileKind, FileRequest, Request, WalkEntry};
use crate::resource::{File, Home, Lane, Resource};
use crate::status::{Operation, Result, Status};

/// Lists an open directory a batch at a time, in memory that is made once. Yields how many names are in this batch; 0
/// is the end.
///
/// Submit it again for the next batch. The place is kept by the open directory itself: two listings of one open
/// directory share it, so open it twice for two. Names that come or go meanwhile may or may not be told. By a worker
/// thread on every backend; nothing is allocated from the first batch to the last.
///
/// ```
/// # use proact::operation::{Complete, Context, ListBatch, Op, Outcome};
/// struct Shown;
/// impl Complete<ListBatch> for Shown {
///     fn done(op: Box<Op<ListBatch, Self>>, outcome: Outcome<ListBatch>, cx: &mut Context<'_>) {
///         if outcome.result.unwrap() > 0 {
///             op.kind.entries().for_each(|entry| println!("{:?}", entry.name));
///             cx.submit(op).unwrap();
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ListBatch {
    directory: File,
    buffer: Box<[u8]>,
    filled: usize,
    rewind: bool,
}

/// One name of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchEntry<'a> {
    /// The name, without its directory.
    pub name: &'a OsStr,
    /// What it is.
    pub kind: FileKind,
    /// Its number on its device; that of what it covers where something is mounted on it.
    pub inode: u64,
}

impl ListBatch {
    /// Bytes of a batch, unless said otherwise: some hundred names.
    const BYTES: usize = 32 * 1024;
    /// A batch must hold the longest name.
    const BYTES_MIN: usize = 512;

    /// Goes on listing `directory`.
    pub fn new(directory: File) -> ListBatch {
        ListBatch::with_bytes(directory, ListBatch::BYTES)
    }

    /// With a batch of `bytes` (at least 512): a name takes 24 bytes and its length.
    pub fn with_bytes(directory: File, bytes: usize) -> ListBatch {
        let bytes = bytes.clamp(ListBatch::BYTES_MIN, i32::MAX as usize);
        ListBatch { directory, buffer: vec![0; bytes].into(), filled: 0, rewind: false }
    }

    /// Lets the next batch be the first again.
    pub fn rewind(&mut self) {
        self.rewind = true;
    }

    /// The names of the last batch, without `.` and `..`.
    pub fn entries(&self) -> impl Iterator<Item = BatchEntry<'_>> {
        let mut bytes = &self.buffer[..self.filled];
        std::iter::from_fn(move || next_entry(&mut bytes)).filter(|entry| entry.name != "." && entry.name != "..")
    }
}

/// What stands before a record's name: number, position, length, kind.
const HEAD: usize = 19;

fn next_entry<'a>(bytes: &mut &'a [u8]) -> Option<BatchEntry<'a>> {
    let head = bytes.get(..HEAD)?;
    let inode = u64::from_ne_bytes(head[..8].try_into().ok()?);
    let length = usize::from(u16::from_ne_bytes([head[16], head[17]]));
    let kind = match head[18] {
        8 => FileKind::File,
        4 => FileKind::Directory,
        10 => FileKind::Link,
        _ => FileKind::Other,
    };
    let (record, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    let name = record.get(HEAD..)?.split(|byte| *byte == 0).next()?;
    Some(BatchEntry { name: crate::resource::os_str(name), kind, inode })
}

impl Sealed for ListBatch {}

impl Kind for ListBatch {
    type Output = usize;
    const OPERATION: Operation = Operation::DirectoryList;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.directory.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.directory.resource())
    }

    fn request(&mut self, _: usize) -> Request {
        self.filled = 0;
        Request::File(FileRequest::ReadDirectory {
            directory: self.directory.resource().raw(),
            buffer: self.buffer.as_mut_ptr(),
            length: self.buffer.len() as u32,
            rewind: self.rewind,
        })
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        self.rewind = false;
        self.filled = value as usize;
        Ok(self.entries().count())
    }
}

/// Walks through all that is below a directory, some names at a time. Yields the next; none is the end.
///
/// Submit it again for the next names. Directories come before what is below them; beyond that there is no order.
/// Symbolic links are told and never followed, also not by a directory that becomes one while the walk runs. Memory and
/// descriptors grow with the depth of the tree and not with the number of names: one open directory a level, between
/// batches too, and closed with the operation.
///
/// A directory that cannot be listed is told with its failure and its path ([`WalkEntry::failure`]), and the walk goes
/// on; [`Walk::strict`] makes that the walk's own failure. By a worker thread on every backend.
///
/// # Errors
/// What the system says of the root: `NotFound`, `PermissionDenied`, `FailedPrecondition` when it is no directory.
///
/// ```
/// # use proact::operation::{Complete, Context, Op, Outcome, Walk};
/// struct Shown;
/// impl Complete<Walk> for Shown {
///     fn done(op: Box<Op<Walk, Self>>, outcome: Outcome<Walk>, cx: &mut Context<'_>) {
///         let entries = outcome.result.unwrap();
///         entries.iter().for_each(|entry| println!("{}", entry.path.display()));
///         if !entries.is_empty() {
///             cx.submit(op).unwrap();
///         }
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Walk {
    root: PathArgument,
    walk: backend::Walk,
    strict: bool,
}

impl Walk {
    /// Names of a batch, unless said otherwise.
    const BATCH: usize = 256;
    /// Levels that are entered, unless said otherwise: as many directories are open at a time.
    const DEPTH: u32 = 128;

    /// Walks below `root`, which is not told itself.
    pub fn new(root: impl AsRef<Path>) -> Walk {
        let walk = backend::Walk {
            root: root.as_ref().to_owned(),
            depth_max: Walk::DEPTH,
            batch: Walk::BATCH,
            entries: Vec::new(),
            place: None,
        };
        Walk { root: PathArgument::new(root.as_ref()), walk, strict: false }
    }

    /// At most so many names (at least 1) at a time.
    #[must_use]
    pub fn batch(mut self, names: usize) -> Walk {
        self.walk.batch = names.max(1);
        self
    }

    /// Tells what is at most `depth` (at least 1) levels below the root: 1 is the root's own names. Directories at that
    /// depth are told and not entered.
    #[must_use]
    pub fn depth(mut self, depth: u32) -> Walk {
        self.walk.depth_max = depth.max(1);
        self
    }

    /// Fails with the first directory that cannot be listed.
    #[must_use]
    pub fn strict(mut self) -> Walk {
        self.strict = true;
        self
    }

    /// Lets the walk begin anew with the next submit.
    pub fn restart(&mut self) {
        self.walk.place = None;
    }
}

impl Sealed for Walk {}

impl Kind for Walk {
    type Output = Vec<WalkEntry>;
    const OPERATION: Operation = Operation::DirectoryWalk;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, _: Home) -> Result<()> {
        self.walk.entries.clear();
        self.root.check(Self::OPERATION)
    }

    fn request(&mut self, _: usize) -> Request {
        Request::File(FileRequest::Walk { walk: &raw mut self.walk })
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<Vec<WalkEntry>> {
        let entries = std::mem::take(&mut self.walk.entries);
        match entries.iter().find_map(|entry| entry.failure.as_ref()) {
            Some(failure) if self.strict => Err(failure.clone()),
            _ => Ok(entries),
        }
    }

    fn explain(&self, status: Status) -> Status {
        self.root.explain(status)
    }
}
