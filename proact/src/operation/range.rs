//! Files: ranges that are synced, advised, freed, zeroed or copied.

use super::file::{check_range, file_kind};
use super::kind::{Class, Flow, Kind, Transfer, sealed::Sealed};
use crate::backend::{Advice, CopyArguments, CopyMethod, Descriptor, FileRequest, RangeMode, Request, TRANSFER_MAX};
use crate::resource::{File, Home, Lane, Resource, Second};
use crate::status::{Operation, Result};

/// Writes what is dirty in a range of a file to the disk, and waits for it (`sync_file_range`).
///
/// It is no [`Sync`](super::Sync): the disk's own cache is not flushed, and neither are sizes and extents, so the bytes
/// need not survive a crash. It keeps dirty memory low and makes a later sync short. Kernel-native on io_uring (Linux
/// 5.2; ranges of 4 GiB and more by a worker thread), by a worker thread elsewhere.
///
/// ```
/// # use proact::operation::{Op, SyncRange};
/// # use proact::resource::File;
/// fn first_mebibyte(file: File) -> Box<Op<SyncRange, ()>> {
///     Op::new(SyncRange::new(file, 0, 1 << 20), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SyncRange {
    file: File,
    offset: u64,
    length: u64,
}

impl SyncRange {
    /// `length` bytes at `offset`; 0: all to the file's end.
    pub fn new(file: File, offset: u64, length: u64) -> SyncRange {
        SyncRange { file, offset, length }
    }
}

file_kind!(
    SyncRange,
    Operation::FileSync,
    (),
    |self, raw| Request::File(FileRequest::SyncRange { file: raw, offset: self.offset, length: self.length }),
    |self| ()
);

/// Says what will be done with a range of a file, so that the kernel reads ahead or forgets (`posix_fadvise`).
///
/// A hint: it changes no result, and success says only that the kernel heard it. Kernel-native on io_uring (Linux 5.6;
/// ranges of 4 GiB and more by a worker thread), by a worker thread elsewhere.
///
/// ```
/// # use proact::operation::{Advise, Op};
/// # use proact::resource::{Advice, File};
/// fn soon(file: File) -> Box<Op<Advise, ()>> {
///     Op::new(Advise::new(file, 0, 0, Advice::WillNeed), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Advise {
    file: File,
    offset: u64,
    length: u64,
    advice: Advice,
}

impl Advise {
    /// Of `length` bytes at `offset`; 0: all to the file's end.
    pub fn new(file: File, offset: u64, length: u64, advice: Advice) -> Advise {
        Advise { file, offset, length, advice }
    }
}

file_kind!(
    Advise,
    Operation::FileAdvise,
    (),
    |self, raw| {
        let Advise { offset, length, advice, .. } = *self;
        Request::File(FileRequest::Advise { file: raw, offset, length, advice })
    },
    |self| ()
);

/// Changes the disk space behind a range of a file: gives it back, makes it zeros, or reserves it without growing the
/// file (`fallocate`; [`Allocate`](super::Allocate) reserves and grows).
///
/// Kernel-native on io_uring (Linux 5.6), by a worker thread elsewhere.
///
/// # Errors
/// `Unavailable` on a file system that cannot do this one, `InvalidArgument` for a length of 0, `ResourceExhausted`
/// when the disk is full.
///
/// ```
/// # use proact::operation::{ChangeRange, Op};
/// # use proact::resource::File;
/// fn forget(file: File) -> Box<Op<ChangeRange, ()>> {
///     Op::new(ChangeRange::punch_hole(file, 1 << 20, 1 << 20), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ChangeRange {
    file: File,
    offset: u64,
    length: u64,
    mode: RangeMode,
}

impl ChangeRange {
    /// Gives the space of `length` bytes at `offset` back. They read as zeros; the file keeps its length.
    pub fn punch_hole(file: File, offset: u64, length: u64) -> ChangeRange {
        ChangeRange { file, offset, length, mode: RangeMode::PunchHole }
    }

    /// Makes `length` bytes at `offset` zeros without writing them. The file grows to the range's end.
    pub fn zero(file: File, offset: u64, length: u64) -> ChangeRange {
        ChangeRange { file, offset, length, mode: RangeMode::Zero }
    }

    /// Reserves space for `length` bytes at `offset`; the file keeps its length.
    pub fn reserve(file: File, offset: u64, length: u64) -> ChangeRange {
        ChangeRange { file, offset, length, mode: RangeMode::Reserve }
    }
}

file_kind!(
    ChangeRange,
    Operation::FileAllocate,
    (),
    |self, raw| {
        let ChangeRange { offset, length, mode, .. } = *self;
        Request::File(FileRequest::Range { file: raw, offset, length, mode })
    },
    |self| ()
);

/// Copies a range from one file to another, or within one where the ranges are apart. Yields how many bytes, and how.
///
/// The kernel copies by itself where it can (`copy_file_range`, Linux 4.5, between file systems since 5.19), and file
/// systems that share extents then move nothing at all. Where it cannot, the bytes pass through memory of the worker
/// thread, and [`CopyMethod::Buffer`] says so. By a worker thread on every backend.
///
/// The operation stands in the queues of the file it writes. The one it reads may be closed meanwhile, and is read to
/// the end all the same.
///
/// # Errors
/// `OutOfRange` for an exact copy that meets the source's end, `InvalidArgument` for ranges of one file that overlap.
///
/// ```
/// # use proact::operation::{CopyRange, Op};
/// # use proact::resource::File;
/// fn head(from: File, to: File) -> Box<Op<CopyRange, ()>> {
///     Op::new(CopyRange::exact(from, 0, to, 0, 4096), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct CopyRange {
    from: File,
    to: File,
    from_offset: u64,
    to_offset: u64,
    length: usize,
    exact: bool,
    source: Second,
    arguments: CopyArguments,
}

impl CopyRange {
    /// Copies `length` bytes; an end of the source before that is `OutOfRange`.
    pub fn exact(from: File, from_offset: u64, to: File, to_offset: u64, length: usize) -> CopyRange {
        let arguments = CopyArguments {
            from: Descriptor::NONE,
            from_offset,
            to: Descriptor::NONE,
            to_offset,
            length,
            method: CopyMethod::Kernel,
        };
        CopyRange { from, to, from_offset, to_offset, length, exact: true, source: Second::default(), arguments }
    }

    /// Copies at most `length` bytes: what one system call copies, 0 at or past the source's end.
    pub fn some(from: File, from_offset: u64, to: File, to_offset: u64, length: usize) -> CopyRange {
        CopyRange { exact: false, ..CopyRange::exact(from, from_offset, to, to_offset, length) }
    }
}

impl Sealed for CopyRange {}

impl Kind for CopyRange {
    type Output = (usize, CopyMethod);
    const OPERATION: Operation = Operation::FileCopy;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        check_range(Self::OPERATION, self.from_offset, self.length)?;
        check_range(Self::OPERATION, self.to_offset, self.length)?;
        self.to.resource().check(home, Self::OPERATION)?;
        self.source.hold(self.from.resource(), home, Self::OPERATION)?;
        self.arguments.method = CopyMethod::Kernel;
        Ok(())
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.to.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.length, exact: self.exact, flow: Flow::Written }
    }

    fn request(&mut self, progress: usize) -> Request {
        self.arguments = CopyArguments {
            from: self.source.raw(),
            from_offset: self.from_offset + progress as u64,
            to: self.to.resource().raw(),
            to_offset: self.to_offset + progress as u64,
            length: (self.length - progress).min(TRANSFER_MAX),
            method: self.arguments.method,
        };
        Request::File(FileRequest::Copy { arguments: &raw mut self.arguments })
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<(usize, CopyMethod)> {
        self.source.release();
        Ok((value as usize, self.arguments.method))
    }
}
