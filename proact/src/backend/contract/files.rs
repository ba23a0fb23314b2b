//! What a backend may be asked to do with files and names, beyond the requests that nearly every program makes.

use std::any::Any;
use std::ffi::c_char;
use std::path::PathBuf;

use super::{Descriptor, FileKind, IoSlice, OpenFlags};
use crate::status::Status;

/// What memory and offsets direct I/O on a file must be multiples of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DirectAlignment {
    /// Where the memory begins, in bytes.
    pub memory: u32,
    /// Where in the file, and how much, in bytes.
    pub offset: u32,
}

/// A moment as files keep it: seconds since 1970, which may lie before it, and nanoseconds within that second.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
pub struct FileTime {
    /// Seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds within that second, below 10⁹.
    pub nanoseconds: u32,
}

/// What a program is about to do with a range of a file, so that the kernel can read ahead or forget (`posix_fadvise`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// Nothing special: what was advised before is taken back.
    Normal,
    /// Read it from front to back: read further ahead.
    Sequential,
    /// Read it here and there: do not read ahead.
    Random,
    /// Read it soon: start reading now.
    WillNeed,
    /// Not use it soon: written and clean pages may leave the cache.
    DontNeed,
    /// Use it once.
    NoReuse,
}

/// What is done with a range of a file's disk space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeMode {
    /// Reserved; the file's length stays.
    Reserve,
    /// Given back: the range reads as zeros, and the file's length stays.
    PunchHole,
    /// Zeros, without writing them; space stays reserved, and the file grows to the range's end.
    Zero,
}

/// How a range was copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CopyMethod {
    /// By the kernel (`copy_file_range`): no byte passed through this process, and a file system that can share extents
    /// may have moved none at all.
    Kernel,
    /// Read and written again through a buffer, as the kernel could not do it between these two files.
    Buffer,
}

/// A copy of a range from one file to another.
#[derive(Clone, Copy, Debug)]
pub struct CopyArguments {
    /// Read from here.
    pub from: Descriptor,
    /// At this offset.
    pub from_offset: u64,
    /// Written here.
    pub to: Descriptor,
    /// At this offset.
    pub to_offset: u64,
    /// At most so many bytes.
    pub length: usize,
    /// How it was done: told by the backend.
    pub method: CopyMethod,
}

/// What to change of an open file beyond its mode and modification time. What is absent stays.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// The user who owns it.
    pub owner: Option<u32>,
    /// Its group.
    pub group: Option<u32>,
    /// Permission bits (`0o7777`).
    pub mode: Option<u32>,
    /// When it was last read.
    pub accessed: Option<FileTime>,
    /// When it was last written.
    pub modified: Option<FileTime>,
}

/// Whether an extended attribute may, or must, be there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AttributeMode {
    /// Either.
    Set,
    /// It must not: AlreadyExists otherwise.
    Create,
    /// It must: NotFound otherwise.
    Replace,
}

/// One name that a walk came to.
#[derive(Clone, Debug)]
pub struct WalkEntry {
    /// Its path, beginning with the walk's root.
    pub path: PathBuf,
    /// What it is. Links are told as links and never followed.
    pub kind: FileKind,
    /// How far below the root: 1 for what stands in the root itself.
    pub depth: u32,
    /// Why what is below this directory is missing from the walk, if it is.
    pub failure: Option<Status>,
}

/// Where a walk through a tree of directories stands.
pub struct Walk {
    /// Where it begins.
    pub root: PathBuf,
    /// Directories this deep are told and not entered.
    pub depth_max: u32,
    /// At most so many entries a request.
    pub batch: usize,
    /// What this request found; none: the end.
    pub entries: Vec<WalkEntry>,
    /// The backend's own: the directories that are open, between two requests.
    pub place: Option<Box<dyn Any + Send>>,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("root", &self.root).field("entries", &self.entries.len()).finish_non_exhaustive()
    }
}

/// Requests that work on files and names, and that may wait for a disk. Pointers as in [`Request`](super::Request).
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // each field is named for what it is; units and rules stand at its variant
pub enum FileRequest {
    /// As `Open`, relative to an open directory.
    OpenAt { directory: Descriptor, path: *const c_char, flags: OpenFlags, mode: u32 },
    /// Read at an offset into `count` pieces, at most [`SLICES_MAX`](super::SLICES_MAX). Completes with the count of
    /// bytes.
    ReadVectored { file: Descriptor, offset: u64, slices: *const IoSlice, count: u32 },
    /// Write at an offset from `count` pieces, at most [`SLICES_MAX`](super::SLICES_MAX). Completes with the count of
    /// bytes.
    WriteVectored { file: Descriptor, offset: u64, slices: *const IoSlice, count: u32 },
    /// Write what is dirty in a range to the disk and wait; `length` 0: to the file's end. Not the file's metadata.
    SyncRange { file: Descriptor, offset: u64, length: u64 },
    /// Say what will be done with a range; `length` 0: to the file's end.
    Advise { file: Descriptor, offset: u64, length: u64, advice: Advice },
    /// Change the disk space behind a range.
    Range { file: Descriptor, offset: u64, length: u64, mode: RangeMode },
    /// Change what is known of a file.
    Change { file: Descriptor, changes: *const Changes },
    /// Copy a range. Completes with the count, 0 at the source's end.
    Copy { arguments: *mut CopyArguments },
    /// Move bytes between a file and a pipe that is ready for them (`into_pipe`: has room; otherwise: has bytes).
    /// Completes with the count; 0: the end.
    SpliceFile { file: Descriptor, offset: u64, pipe: Descriptor, length: u32, into_pipe: bool },
    /// Give a file a second name.
    Link { from: *const c_char, to: *const c_char },
    /// Make a symbolic link that says `target`.
    SymbolicLink { target: *const c_char, link: *const c_char },
    /// What a symbolic link says. Completes with the count of bytes; `length` bytes may be too few.
    ReadLink { path: *const c_char, buffer: *mut u8, length: usize },
    /// The value of an extended attribute. Completes with its length, which alone is told when `length` is 0.
    GetAttribute { file: Descriptor, name: *const c_char, buffer: *mut u8, length: u32 },
    /// Set an extended attribute.
    SetAttribute { file: Descriptor, name: *const c_char, value: *const u8, length: u32, mode: AttributeMode },
    /// The names of all extended attributes, each with a NUL behind it. Completes as `GetAttribute`.
    ListAttributes { file: Descriptor, buffer: *mut u8, length: usize },
    /// Remove an extended attribute.
    RemoveAttribute { file: Descriptor, name: *const c_char },
    /// Go on listing an open directory, from its beginning if `rewind`. Completes with the bytes of whole records, of
    /// which at least one is not `.` or `..`, or 0 at the end. A record: number (8 bytes), position (8), the record's
    /// length (2), kind as `DT_*` says it (1, never unknown), the name, a NUL, padding (Linux's `linux_dirent64`).
    ReadDirectory { directory: Descriptor, buffer: *mut u8, length: u32, rewind: bool },
    /// Go on with a walk. Completes with 0.
    Walk { walk: *mut Walk },
}
