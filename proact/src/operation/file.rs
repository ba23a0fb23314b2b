//! Files: open, read, write, sync, stat, truncate, allocate, attributes.

use std::path::Path;

use super::kind::{Class, Flow, Kind, Transfer, sealed::Sealed};
use super::path::PathArgument;
use crate::backend::{Descriptor, FileRequest, Metadata, OpenFlags, Request, TRANSFER_MAX};
use crate::memory::{Access, StableBytes, StableBytesMut};
use crate::resource::{File, Home, Lane, Resource};
use crate::status::{Code, Operation, Result, Status};

/// Opens a file or directory.
///
/// The file belongs to the proactor and is closed on exec. An open that was cancelled too late has its file adopted,
/// and tells it. It is for what has offsets, and for directories: a FIFO is opened without waiting for its other end,
/// and a pipe or terminal that was opened in another way is taken in as a [`Stream`](crate::resource::Stream).
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_OPENAT`, Linux 5.6; `KERNEL_FILES`) |
/// | in a kernel chain | as any step; [`Open::at`] as the last |
/// | epoll, poll | a worker thread |
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `AlreadyExists` (with [`OpenFlags::CREATE_NEW`]), `FailedPrecondition` for a link
/// with [`OpenFlags::NO_FOLLOW`] and for what is no directory, `ResourceExhausted` when no descriptor is left; and at
/// submit `InvalidArgument` for flags that do not go together, and a path that is empty or has a NUL.
///
/// ```
/// use proact::operation::{Complete, Context, Op, Open, Outcome, Read};
/// use proact::resource::OpenFlags;
///
/// struct Begin;
///
/// impl Complete<Open> for Begin {
///     fn done(_: Box<Op<Open, Self>>, outcome: Outcome<Open>, cx: &mut Context<'_>) {
///         if let Ok(file) = outcome.result {
///             cx.submit(Op::new(Read::some(file, 0, vec![0; 4096]), ())).unwrap();
///         }
///     }
/// }
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// proactor.submit(Op::new(Open::new("Cargo.toml", OpenFlags::READ), Begin)).unwrap();
/// proactor.run()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Debug)]
pub struct Open {
    directory: Option<File>,
    path: PathArgument,
    flags: OpenFlags,
    mode: u32,
}

impl Open {
    /// Opens `path`, relative to the working directory, closed on exec; a new file gets mode `0o666` less the process's
    /// mask.
    pub fn new(path: impl AsRef<Path>, flags: OpenFlags) -> Open {
        Open { directory: None, path: PathArgument::new(path.as_ref()), flags, mode: 0o666 }
    }

    /// Opens `path` relative to an open directory, wherever that has been moved to meanwhile. An absolute path is what
    /// it is.
    pub fn at(directory: File, path: impl AsRef<Path>, flags: OpenFlags) -> Open {
        Open { directory: Some(directory), ..Open::new(path, flags) }
    }

    /// With other permission bits for a new file.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Open {
        self.mode = mode;
        self
    }
}

impl Sealed for Open {}

impl Kind for Open {
    type Output = File;
    const OPERATION: Operation = Operation::FileOpen;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.path.check(Self::OPERATION)?;
        if let Some(directory) = &self.directory {
            directory.resource().check(home, Self::OPERATION)?;
        }
        match fault_of(self.flags) {
            None => Ok(()),
            Some(why) => Err(self.explain(Status::new(Code::InvalidArgument, Self::OPERATION).with_message(why))),
        }
    }

    fn resource(&self) -> Option<&Resource> {
        self.directory.as_ref().map(File::resource)
    }

    fn request(&mut self, _: usize) -> Request {
        let (path, flags, mode) = (self.path.as_ptr(), self.flags, self.mode);
        match &self.directory {
            None => Request::Open { path, flags, mode },
            Some(directory) => {
                Request::File(FileRequest::OpenAt { directory: directory.resource().raw(), path, flags, mode })
            }
        }
    }

    fn settle(&mut self, value: i64, home: Home) -> Result<File> {
        let descriptor = Descriptor(value);
        Ok(match self.flags.contains(OpenFlags::DIRECT) {
            true => File::adopt_direct(home, descriptor),
            false => File::adopt(home, descriptor),
        })
    }

    fn explain(&self, status: Status) -> Status {
        self.path.explain(status)
    }
}

/// What is wrong with flags that do not go together.
fn fault_of(flags: OpenFlags) -> Option<&'static str> {
    let has = |flag| flags.contains(flag);
    let writes = OpenFlags::CREATE | OpenFlags::CREATE_NEW | OpenFlags::TRUNCATE | OpenFlags::APPEND;
    if OpenFlags::from_bits(flags.bits()).is_none() {
        Some("unknown flags")
    } else if !flags.intersects(OpenFlags::READ | OpenFlags::WRITE) {
        Some("neither READ nor WRITE")
    } else if flags.intersects(writes) && !has(OpenFlags::WRITE) {
        Some("CREATE, TRUNCATE and APPEND need WRITE")
    } else if has(OpenFlags::CREATE_NEW) && !has(OpenFlags::CREATE) {
        Some("CREATE_NEW needs CREATE")
    } else if has(OpenFlags::APPEND | OpenFlags::TRUNCATE) {
        Some("APPEND excludes TRUNCATE")
    } else if has(OpenFlags::DIRECTORY) && flags.intersects(OpenFlags::WRITE | OpenFlags::DIRECT) {
        Some("DIRECTORY excludes WRITE and DIRECT")
    } else {
        None
    }
}

/// Reads from a file at an offset into the operation's own buffer. Yields how many bytes.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_READ`, Linux 5.6; `KERNEL_FILES`) |
/// | io_uring, [registered](super::Register) memory | `IORING_OP_READ_FIXED` (`REGISTERED_BUFFERS`, Linux 5.19) |
/// | in a kernel chain | an exact one as any step, the other as the last |
/// | epoll, poll | a worker thread |
///
/// On a file system that cannot read asynchronously, the kernel itself hands the read to a thread of its own.
///
/// # Errors
/// `OutOfRange` when an exact read meets the end, `InvalidArgument` for a file that is not open for reading,
/// `FailedPrecondition` for a directory, `DataLoss` when the device failed. At submit `InvalidArgument` for a range
/// beyond 2^63 - 1, memory that may not be written, and direct I/O that is not [aligned](File::direct_alignment).
///
/// ```
/// use proact::operation::{Op, Read};
/// use proact::resource::File;
///
/// fn header(file: File) -> Box<Op<Read<Vec<u8>>, ()>> {
///     Op::new(Read::exact(file, 0, vec![0; 16]), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Read<B> {
    /// The file.
    pub file: File,
    /// Where in the file.
    pub offset: u64,
    /// Where the bytes go: its whole length is asked for.
    pub buffer: B,
    exact: bool,
    fixed: Option<u16>,
}

impl<B: StableBytesMut> Read<B> {
    /// Fills the whole buffer; an end of file before that is `OutOfRange`.
    pub fn exact(file: File, offset: u64, buffer: B) -> Read<B> {
        Read { file, offset, buffer, exact: true, fixed: None }
    }

    /// Reads at most the buffer's length: what one system call gives, 0 at or past the end.
    pub fn some(file: File, offset: u64, buffer: B) -> Read<B> {
        Read { file, offset, buffer, exact: false, fixed: None }
    }
}

impl<B: StableBytesMut> Sealed for Read<B> {}

impl<B: StableBytesMut> Kind for Read<B> {
    type Output = usize;
    const OPERATION: Operation = Operation::FileRead;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.buffer.access().check(Access::WRITE, Self::OPERATION)?;
        self.fixed = self.buffer.registration(home.proactor).map(|fixed| fixed.index);
        check_range(Self::OPERATION, self.offset, self.buffer.len())?;
        let piece = (self.buffer.as_ptr() as usize, self.buffer.len());
        self.file.check_direct(Self::OPERATION, self.offset, std::iter::once(piece))?;
        self.file.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.file.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.buffer.len(), exact: self.exact, flow: Flow::Read }
    }

    fn request(&mut self, progress: usize) -> Request {
        if self.file.is_between_units(progress) {
            return Request::Nop; // the end of the file, as a count of 0 says
        }
        Request::Read {
            file: self.file.resource().raw(),
            offset: self.offset + progress as u64,
            buffer: self.buffer.as_mut_ptr().wrapping_add(progress),
            length: (self.buffer.len() - progress).min(TRANSFER_MAX),
            fixed: self.fixed,
        }
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }

    fn explain(&self, status: Status) -> Status {
        self.file.explain_direct(status)
    }
}

/// Writes the operation's own buffer to a file at an offset. Yields how many bytes.
///
/// Completion says that the kernel has the bytes; that they survive a crash is what [`Sync`] says. Writes of one file
/// are not ordered among each other: chain them where ranges overlap.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_WRITE`, Linux 5.6; `KERNEL_FILES`) |
/// | io_uring, [registered](super::Register) memory | `IORING_OP_WRITE_FIXED` (`REGISTERED_BUFFERS`, Linux 5.19) |
/// | in a kernel chain | an exact one as any step, the other as the last |
/// | epoll, poll | a worker thread |
///
/// # Errors
/// `ResourceExhausted` when the disk or a quota is full, `OutOfRange` at the file-size limit, `InvalidArgument` for a
/// file that is not open for writing, `DataLoss` when the device failed. At submit as for [`Read`], with memory that
/// may not be read.
///
/// ```
/// use proact::operation::{Chain, Op, Sync, Write};
/// use proact::resource::File;
///
/// fn durable(file: File, bytes: Vec<u8>) -> Chain<(Box<Op<Write<Vec<u8>>, ()>>, Box<Op<Sync, ()>>)> {
///     let write = Op::new(Write::exact(file.clone(), 0, bytes), ());
///     Chain::new((write, Op::new(Sync::data(file), ())))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Write<B> {
    /// The file.
    pub file: File,
    /// Where in the file; ignored by one opened with [`OpenFlags::APPEND`].
    pub offset: u64,
    /// The bytes.
    pub buffer: B,
    exact: bool,
    fixed: Option<u16>,
}

impl<B: StableBytes> Write<B> {
    /// Writes the whole buffer.
    pub fn exact(file: File, offset: u64, buffer: B) -> Write<B> {
        Write { file, offset, buffer, exact: true, fixed: None }
    }

    /// Writes at most the buffer's length: what one system call takes.
    pub fn some(file: File, offset: u64, buffer: B) -> Write<B> {
        Write { file, offset, buffer, exact: false, fixed: None }
    }
}

impl<B: StableBytes> Sealed for Write<B> {}

impl<B: StableBytes> Kind for Write<B> {
    type Output = usize;
    const OPERATION: Operation = Operation::FileWrite;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.buffer.access().check(Access::READ, Self::OPERATION)?;
        self.fixed = self.buffer.registration(home.proactor).map(|fixed| fixed.index);
        check_range(Self::OPERATION, self.offset, self.buffer.len())?;
        let piece = (self.buffer.as_ptr() as usize, self.buffer.len());
        self.file.check_direct(Self::OPERATION, self.offset, std::iter::once(piece))?;
        self.file.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.file.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.buffer.len(), exact: self.exact, flow: Flow::Written }
    }

    fn request(&mut self, progress: usize) -> Request {
        if self.file.is_between_units(progress) {
            return Request::Nop; // the end of the file, as a count of 0 says
        }
        Request::Write {
            file: self.file.resource().raw(),
            offset: self.offset + progress as u64,
            buffer: self.buffer.as_ptr().wrapping_add(progress),
            length: (self.buffer.len() - progress).min(TRANSFER_MAX),
            fixed: self.fixed,
        }
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }

    fn explain(&self, status: Status) -> Status {
        self.file.explain_direct(status)
    }
}

/// The kernel's offsets are signed: what would pass their end is refused before it wraps.
pub(super) fn check_range(operation: Operation, offset: u64, length: usize) -> Result<()> {
    match offset.checked_add(length as u64) {
        Some(end) if end <= i64::MAX as u64 => Ok(()),
        _ => Err(Status::new(Code::InvalidArgument, operation).with_message("offset and length pass 2^63 - 1")),
    }
}

/// A kind with no parameters but a file and plain values.
macro_rules! file_kind {
    ($kind:ident, $operation:expr, $output:ty, |$self:ident, $raw:ident| $request:expr, |$this:ident| $settle:expr) => {
        impl Sealed for $kind {}

        impl Kind for $kind {
            type Output = $output;
            const OPERATION: Operation = $operation;
            const CLASS: Class = Class::Kernel(Lane::Other);

            fn validate(&mut self, home: Home) -> Result<()> {
                self.file.resource().check(home, Self::OPERATION)
            }

            fn resource(&self) -> Option<&Resource> {
                Some(self.file.resource())
            }

            fn request(&mut $self, _: usize) -> Request {
                let $raw = $self.file.resource().raw();
                $request
            }

            fn settle(&mut $this, _: i64, _: Home) -> Result<$output> {
                Ok($settle)
            }
        }
    };
}

pub(super) use file_kind;

/// Makes what was written to a file durable.
///
/// It covers the writes that completed before it was submitted. A new name in a directory is durable only after a sync
/// of the directory too.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_FSYNC`, Linux 5.1; `KERNEL_FILES`) |
/// | in a kernel chain | as the last step |
/// | epoll, poll | a worker thread |
///
/// # Errors
/// `DataLoss` when the device failed: what had been written may be gone, and a second sync need not say so again.
/// `ResourceExhausted` on file systems that reserve space only then.
///
/// ```
/// use proact::operation::{Op, Sync};
/// use proact::resource::File;
///
/// fn save(file: File) -> Box<Op<Sync, ()>> {
///     Op::new(Sync::all(file), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Sync {
    file: File,
    data_only: bool,
}

impl Sync {
    /// Data and all metadata (`fsync`).
    pub fn all(file: File) -> Sync {
        Sync { file, data_only: false }
    }

    /// Data, and the metadata needed to read it back (`fdatasync`).
    pub fn data(file: File) -> Sync {
        Sync { file, data_only: true }
    }
}

file_kind!(
    Sync,
    Operation::FileSync,
    (),
    |self, raw| Request::Sync { file: raw, data_only: self.data_only },
    |self| ()
);

/// Tells what is known of an open file: kind, size in bytes, times, owner, and what direct I/O must be aligned to.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_STATX`, Linux 5.6; `KERNEL_FILES`) |
/// | in a kernel chain | never |
/// | epoll, poll | a worker thread |
///
/// ```
/// use proact::operation::{Complete, Context, Op, Outcome, Stat};
/// use proact::resource::File;
///
/// struct Size;
///
/// impl Complete<Stat> for Size {
///     fn done(_: Box<Op<Stat, Self>>, outcome: Outcome<Stat>, _: &mut Context<'_>) {
///         println!("{} bytes", outcome.result.unwrap().size);
///     }
/// }
///
/// fn size(file: File) -> Box<Op<Stat, Size>> {
///     Op::new(Stat::new(file), Size)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Stat {
    file: File,
    metadata: Metadata,
}

impl Stat {
    /// Asks about `file`.
    pub fn new(file: File) -> Stat {
        Stat { file, metadata: Metadata::EMPTY }
    }
}

file_kind!(
    Stat,
    Operation::FileStat,
    Metadata,
    |self, raw| Request::StatFile { file: raw, metadata: &raw mut self.metadata },
    |self| self.metadata
);

/// Cuts a file, or extends it with zeros.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_FTRUNCATE`, Linux 6.9; `KERNEL_TRUNCATE`); a worker thread before |
/// | in a kernel chain | as the last step |
/// | epoll, poll | a worker thread |
///
/// # Errors
/// `InvalidArgument` for a file that is not open for writing, `OutOfRange` beyond the file-size limit.
///
/// ```
/// use proact::operation::{Op, Truncate};
/// use proact::resource::File;
///
/// fn empty(file: File) -> Box<Op<Truncate, ()>> {
///     Op::new(Truncate::new(file, 0), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Truncate {
    file: File,
    size: u64,
}

impl Truncate {
    /// Makes `file` exactly `size` bytes long.
    pub fn new(file: File, size: u64) -> Truncate {
        Truncate { file, size }
    }
}

file_kind!(
    Truncate,
    Operation::FileTruncate,
    (),
    |self, raw| Request::Truncate { file: raw, size: self.size },
    |self| ()
);

/// Reserves disk space for a range of a file, so that writing it cannot run out of space; extends the file to the
/// range's end.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_FALLOCATE`, Linux 5.6; `KERNEL_FILES`) |
/// | in a kernel chain | as the last step |
/// | epoll, poll | a worker thread |
///
/// # Errors
/// `ResourceExhausted` when the disk is full, `Unavailable` on a file system that cannot, `InvalidArgument` for a
/// length of 0 and for a file that is not open for writing.
///
/// ```
/// use proact::operation::{Allocate, Op};
/// use proact::resource::File;
///
/// fn reserve(file: File, bytes: u64) -> Box<Op<Allocate, ()>> {
///     Op::new(Allocate::new(file, 0, bytes), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Allocate {
    file: File,
    offset: u64,
    length: u64,
}

impl Allocate {
    /// Reserves `length` bytes (at least one) at `offset`.
    pub fn new(file: File, offset: u64, length: u64) -> Allocate {
        Allocate { file, offset, length }
    }
}

file_kind!(
    Allocate,
    Operation::FileAllocate,
    (),
    |self, raw| Request::Allocate { file: raw, offset: self.offset, length: self.length },
    |self| ()
);

/// Sets a file's permission bits and the time of its last change. [`ChangeFile`](super::ChangeFile) sets owner, group
/// and the time of the last read too.
///
/// | backend | path |
/// |---|---|
/// | all | a worker thread: rings have no such operation |
///
/// # Errors
/// `PermissionDenied` for a file of someone else, `InvalidArgument` for nanoseconds of 10⁹ and more.
///
/// ```
/// use proact::operation::{Op, SetAttributes};
/// use proact::resource::File;
///
/// fn private(file: File) -> Box<Op<SetAttributes, ()>> {
///     Op::new(SetAttributes::new(file).mode(0o600), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SetAttributes {
    file: File,
    mode: Option<u32>,
    modified: Option<(i64, u32)>,
}

impl SetAttributes {
    /// Changes nothing yet.
    pub fn new(file: File) -> SetAttributes {
        SetAttributes { file, mode: None, modified: None }
    }

    /// Permission bits (`0o7777`).
    #[must_use]
    pub fn mode(mut self, mode: u32) -> SetAttributes {
        self.mode = Some(mode);
        self
    }

    /// Time of last change: seconds since 1970 and nanoseconds within that second.
    #[must_use]
    pub fn modified(mut self, seconds: i64, nanoseconds: u32) -> SetAttributes {
        self.modified = Some((seconds, nanoseconds));
        self
    }
}

file_kind!(
    SetAttributes,
    Operation::FileSetAttributes,
    (),
    |self, raw| Request::SetAttributes {
        file: raw,
        mode: self.mode.map(|mode| (mode & 0o7777) as u16),
        modified: self.modified,
    },
    |self| ()
);

/// Tells what is known of a path, as [`Stat`] does of an open file.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_STATX`, Linux 5.6; `KERNEL_FILES`) |
/// | in a kernel chain | never |
/// | epoll, poll | a worker thread |
///
/// # Errors
/// `NotFound`, `PermissionDenied`, `FailedPrecondition` for too many links; at submit `InvalidArgument` for a path that
/// is empty or has a NUL.
///
/// ```
/// use proact::operation::{Op, StatPath};
///
/// let target = Op::new(StatPath::new("current"), ());
/// let link = Op::new(StatPath::new("current").no_follow(), ());
/// # drop((target, link));
/// ```
#[derive(Clone, Debug)]
pub struct StatPath {
    path: PathArgument,
    follow: bool,
    metadata: Metadata,
}

impl StatPath {
    /// Asks about what `path` leads to.
    pub fn new(path: impl AsRef<Path>) -> StatPath {
        StatPath { path: PathArgument::new(path.as_ref()), follow: true, metadata: Metadata::EMPTY }
    }

    /// If the path is a symbolic link, asks about the link itself.
    #[must_use]
    pub fn no_follow(mut self) -> StatPath {
        self.follow = false;
        self
    }
}

impl Sealed for StatPath {}

impl Kind for StatPath {
    type Output = Metadata;
    const OPERATION: Operation = Operation::FileStat;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, _: Home) -> Result<()> {
        self.path.check(Self::OPERATION)
    }

    fn request(&mut self, _: usize) -> Request {
        Request::StatPath { path: self.path.as_ptr(), follow: self.follow, metadata: &raw mut self.metadata }
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<Metadata> {
        Ok(self.metadata)
    }

    fn explain(&self, status: Status) -> Status {
        self.path.explain(status)
    }
}
