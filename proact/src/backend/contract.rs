//! The contract between the portable machinery and a backend.

mod files;
mod message;
mod system;
mod waits;

use std::ffi::{OsString, c_char};
use std::sync::Arc;

use crate::status::{Operation, Status};
use crate::time::Time;

pub use self::files::{
    Advice, AttributeMode, Changes, CopyArguments, CopyMethod, DirectAlignment, FileRequest, FileTime, RangeMode, Walk,
    WalkEntry,
};
pub use self::message::{IoSlice, RawMessage, SLICES_MAX};
pub use self::system::{Family, SocketOption, SocketSpec, System};
pub(crate) use self::system::{Registration, system_of};
pub use self::waits::{WaitRequest, poll_bits};

bitflags::bitflags! {
    /// What a backend does better than the portable path. A capability is in force when it was detected **and** the
    /// builder allows it; masking one is how a single machine tests every degraded path.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct Capabilities: u32 {
        /// Chains whose steps all qualify are handed to the kernel whole (`IOSQE_IO_LINK`).
        const KERNEL_CHAINS = 1 << 0;
        /// A semaphore wait at the head of a chain is handed to the kernel with it (a read of a private eventfd).
        const KERNEL_WAIT_CHAINS = 1 << 1;
        /// Files are read, written and synced by the kernel asynchronously, without worker threads.
        const KERNEL_FILES = 1 << 2;
        /// `ftruncate` without a worker thread (Linux 6.9).
        const KERNEL_TRUNCATE = 1 << 3;
        /// The ring's own descriptor is registered, which saves a reference count per enter (Linux 5.18).
        const REGISTERED_RING = 1 << 4;
        /// No array of submission indices between the ring and its entries (Linux 6.6).
        const NO_SUBMISSION_ARRAY = 1 << 5;
        /// Waits end to the nanosecond instead of the millisecond.
        const NANOSECOND_WAITS = 1 << 6;
        /// The kernel itself goes on accepting, and receiving into buffers of a pool, after each outcome (Linux 6.0).
        const KERNEL_MULTISHOT = 1 << 7;
        /// Sends without copying, with the kernel's report of whether it did (Linux 6.2).
        const ZERO_COPY_SEND = 1 << 8;
        /// The kernel takes buffers from a pool as bytes come (buffer rings, Linux 5.19).
        const BUFFER_RINGS = 1 << 9;
        /// The kernel fills one buffer of a pool with one receive after another (Linux 6.12).
        const INCREMENTAL_BUFFERS = 1 << 11;
        /// Files are read into, and written from, memory that is registered with the ring: the kernel need not look its
        /// pages up (Linux 5.19).
        const REGISTERED_BUFFERS = 1 << 10;
        /// Waits for a futex, and wakes of one, by the ring, without a helper thread (Linux 6.7).
        const KERNEL_FUTEX = 1 << 12;
        /// Descriptors that are registered have a place in the ring's own table, which saves each request a reference
        /// count (Linux 6.13; before, the table keeps open what was closed).
        const REGISTERED_DESCRIPTORS = 1 << 13;
        /// One completion of a stream's multishot receive tells of several buffers of a pool (Linux 6.10).
        const RECEIVE_BUNDLES = 1 << 14;
        /// A write to a pipe says itself that it must not raise SIGPIPE, so that the poll thread need not block that
        /// signal whenever it enters the kernel (`RWF_NOSIGNAL`, Linux 6.18).
        const QUIET_WRITES = 1 << 18;
    }
}

/// One line of the capability table that `doctor` shows.
#[derive(Clone, Debug)]
pub struct CapabilityReport {
    /// Which one.
    pub capability: Capabilities,
    /// Its name, as in `doctor`'s table.
    pub name: &'static str,
    /// The kernel version that first had it.
    pub since: &'static str,
    /// Whether this machine has it, whatever the builder allows.
    pub detected: bool,
    /// What it buys, or why it is missing here.
    pub note: String,
}

/// An operating system handle as a backend knows it: a descriptor on Unix, a `HANDLE` on Windows, an index elsewhere.
///
/// It is a plain value and owns nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Descriptor(pub i64);

impl Descriptor {
    /// No descriptor.
    pub const NONE: Descriptor = Descriptor(-1);

    /// The Unix descriptor number.
    pub fn fd(self) -> i32 {
        self.0 as i32
    }

    /// The same with the place in the backend's table that it was given when it was registered: on Unix, where a
    /// descriptor needs only the lower half.
    #[cfg(unix)]
    pub(crate) fn with_place(self, place: Option<u32>) -> Descriptor {
        match place {
            Some(place) if self.0 >= 0 => Descriptor((i64::from(place) + 1) << 32 | self.0 & 0xffff_ffff),
            _ => self,
        }
    }

    /// Its place in the backend's table, if it was registered.
    #[inline]
    pub fn place(self) -> Option<u32> {
        if cfg!(unix) && self.0 > i64::from(u32::MAX) { Some((self.0 >> 32) as u32 - 1) } else { None }
    }
}

/// Names one start of one operation: generation, slot, and the role of the entry that carries it.
///
/// Generations never repeat, so a late or extra completion finds no one: the engine drops what does not match.
/// Layout: 36 bits of generation, 24 of slot, 4 of role.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token(u64);

/// Why a kernel entry carries a token. The engine uses the first two; a backend may use 8 to 15 for entries of its own.
pub mod role {
    /// The operation itself.
    pub const OPERATION: u8 = 0;
    /// A completion that says: the cancel asked for this token found nothing to cancel. With
    /// [`flags::MORE`](super::flags::MORE): ask once more if it has not ended.
    pub const CANCEL_MISSED: u8 = 1;
    /// First of the roles that belong to the backend alone. Completions with these never leave it.
    #[cfg(any(target_os = "linux", target_os = "android", feature = "unstable-backend"))]
    pub const BACKEND: u8 = 8;
}

impl Token {
    /// Slots a proactor can have: 24 bits.
    pub const SLOTS_MAX: u32 = 1 << 24;
    /// Generations before a slot is retired: 36 bits.
    pub const GENERATIONS_MAX: u64 = 1 << 36;

    /// A token of `generation` and `slot`, in role [`role::OPERATION`].
    #[inline]
    pub const fn new(generation: u64, slot: u32) -> Token {
        debug_assert!(generation < Token::GENERATIONS_MAX && slot < Token::SLOTS_MAX);
        Token(generation << 28 | (slot as u64) << 4)
    }

    /// The same operation's token in another role.
    #[inline]
    pub const fn with_role(self, role: u8) -> Token {
        Token(self.0 & !0xf | role as u64)
    }

    /// The slot's index.
    #[inline]
    pub const fn slot(self) -> u32 {
        (self.0 >> 4) as u32 & (Token::SLOTS_MAX - 1)
    }

    /// The generation of the slot's use.
    #[inline]
    pub const fn generation(self) -> u64 {
        self.0 >> 28
    }

    /// The entry's role.
    #[inline]
    pub const fn role(self) -> u8 {
        (self.0 & 0xf) as u8
    }

    /// As the 64 bits that the kernel carries.
    #[inline]
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// From the 64 bits that the kernel carried.
    #[inline]
    pub const fn from_bits(bits: u64) -> Token {
        Token(bits)
    }
}

/// The most bytes one read, write, send or receive hands to the kernel: what Linux itself transfers at most, on every
/// backend (`MAX_RW_COUNT`, `INT_MAX & ~4095`). A longer exact transfer goes on from there.
pub const TRANSFER_MAX: usize = 0x7fff_f000;

/// A socket address in the operating system's own layout, for the kernel to read or write.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub struct RawAddress {
    /// `sockaddr_storage`'s bytes.
    pub bytes: [u8; 128],
    /// How many of them count.
    pub length: u32,
}

impl RawAddress {
    /// No address.
    pub const EMPTY: RawAddress = RawAddress { bytes: [0; 128], length: 0 };
}

impl std::fmt::Debug for RawAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawAddress({} bytes)", self.length)
    }
}

bitflags::bitflags! {
    /// How a file is opened. Invalid combinations are refused at submit.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
    pub struct OpenFlags: u32 {
        /// May be read.
        const READ = 1;
        /// May be written.
        const WRITE = 2;
        /// Made if it does not exist. Needs WRITE.
        const CREATE = 4;
        /// Fails with AlreadyExists if it exists. Needs CREATE.
        const CREATE_NEW = 8;
        /// Cut to nothing. Needs WRITE.
        const TRUNCATE = 16;
        /// Every write goes to the end. Needs WRITE; excludes TRUNCATE.
        const APPEND = 32;
        /// A symbolic link as last component is refused instead of followed.
        const NO_FOLLOW = 64;
        /// Must be a directory. Excludes everything but READ and NO_FOLLOW.
        const DIRECTORY = 128;
        /// Bypasses the page cache (`O_DIRECT`): memory, offsets and lengths must be multiples of what
        /// [`Metadata::direct`] says. A file system that cannot refuses the open with InvalidArgument.
        const DIRECT = 256;
    }
}

/// What a directory entry or an open file is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, pipe or socket.
    Other,
}

/// What is known of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metadata {
    /// What it is.
    pub kind: FileKind,
    /// Its length in bytes.
    pub size: u64,
    /// Permission bits (`0o7777`).
    pub mode: u32,
    /// Last change of content: seconds since 1970, which may lie before it.
    pub modified_seconds: i64,
    /// Nanoseconds within that second.
    pub modified_nanoseconds: u32,
    /// The device it lives on; with `inode`, its identity.
    pub device: u64,
    /// Its number on that device.
    pub inode: u64,
    /// How many names it has.
    pub links: u64,
    /// Bytes that are allocated on disk.
    pub allocated: u64,
    /// The user who owns it.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// When it was last read, as far as the file system keeps count.
    pub accessed: FileTime,
    /// When the file or anything known of it last changed.
    pub changed: FileTime,
    /// What direct I/O on it must be aligned to. `None`: it has no direct I/O, or the system does not say (Linux tells
    /// since 6.1, on the file systems that were taught to).
    pub direct: Option<DirectAlignment>,
}

impl Metadata {
    /// Nothing known yet: what an operation holds before its completion.
    pub const EMPTY: Metadata = Metadata {
        kind: FileKind::Other,
        size: 0,
        mode: 0,
        modified_seconds: 0,
        modified_nanoseconds: 0,
        device: 0,
        inode: 0,
        links: 0,
        allocated: 0,
        owner: 0,
        group: 0,
        accessed: FileTime { seconds: 0, nanoseconds: 0 },
        changed: FileTime { seconds: 0, nanoseconds: 0 },
        direct: None,
    };
}

/// One name in a directory. `.` and `..` are never listed.
#[derive(Clone, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub struct DirectoryEntry {
    /// The name, without its directory.
    pub name: OsString,
    /// What it is. File systems that do not say it in the listing are asked for each entry.
    pub kind: FileKind,
}

/// What a backend is asked to do. Every pointer stays valid, and what it points to stays untouched by anyone else, from
/// [`Backend::start`] until the terminal completion of its token.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // each field is named for what it is; units and rules stand at its variant
pub enum Request {
    /// Nothing; completes with 0.
    Nop,
    /// Wait until the event (eventfd) is set, and reset it. Completes with 0 or more.
    EventWait { event: Descriptor },
    /// Set the event (eventfd, non-blocking): add 1 to its counter. Completes with 0 or more.
    EventSet { event: Descriptor },
    /// Accept one connection. Completes with the new descriptor, close-on-exec and in [`Backend::descriptor_mode`].
    /// `peer` may be null. `multishot`: the backend may go on and complete with each connection, see [`flags::MORE`];
    /// `peer` is null then.
    Accept { listener: Descriptor, peer: *mut RawAddress, multishot: bool },
    /// Connect. Completes with 0.
    Connect { socket: Descriptor, address: *const RawAddress },
    /// Receive. Completes with the count, 0 at the end of the stream. `exact` lets the kernel go on until `length` is
    /// whole (`MSG_WAITALL`); a backend that cannot may complete short: the engine goes on.
    Receive { socket: Descriptor, buffer: *mut u8, length: usize, exact: bool },
    /// Receive into a buffer of the source's, taken when there is something to put into it. Completes with the count, 0
    /// at the end of the stream, and the buffer ([`flags::BUFFER`]); with `-ENOBUFS` when the source has none.
    /// `multishot`: the backend may go on, see [`flags::MORE`]. A backend that needs the
    /// source for longer than the request keeps a count of its own.
    ReceivePooled { socket: Descriptor, source: *const Arc<dyn BufferSource>, multishot: bool },
    /// Receive datagrams into buffers of the source's, each as Linux's multishot `recvmsg` lays it out: a header of
    /// [`DATAGRAM_HEADER`] bytes (four words in the machine's order: the address's length, that of the control
    /// messages, the datagram's, `MSG_` flags), [`DATAGRAM_ADDRESS_ROOM`] bytes for the sender's address,
    /// `control_room` bytes for control messages, and the datagram. Completes as `ReceivePooled`, with the count of
    /// all that, and never says "end". `message` is a `msghdr` of these rooms and no buffer, for a kernel that goes on
    /// by itself.
    ReceiveMessagePooled {
        socket: Descriptor,
        source: *const Arc<dyn BufferSource>,
        message: *const std::ffi::c_void,
        control_room: u32,
    },
    /// Send; never raises SIGPIPE. Completes with the count; `exact` as for `Receive`. `more`: more follows at once
    /// (`MSG_MORE`). `zero_copy`: without copying, where that can be done; see [`flags::MORE`].
    Send { socket: Descriptor, buffer: *const u8, length: usize, exact: bool, more: bool, zero_copy: bool },
    /// Send a message; never raises SIGPIPE. Completes with the count. `exact` and `more` as for `Send`. `datagram`:
    /// the socket is one of datagrams, and nothing but addresses and segments goes with it.
    SendMessage { socket: Descriptor, message: *mut RawMessage, exact: bool, more: bool, datagram: bool },
    /// Receive a message: bytes of a stream, or one datagram, and what came with it; descriptors among that are
    /// close-on-exec. Completes with the count of bytes. `exact` as for `Receive`. After a failure no one looks at what
    /// came with it. `datagram` as for `SendMessage`.
    ReceiveMessage { socket: Descriptor, message: *mut RawMessage, exact: bool, datagram: bool },
    /// Open a path, NUL-terminated, relative to the working directory. Completes with the new descriptor,
    /// close-on-exec.
    Open { path: *const c_char, flags: OpenFlags, mode: u32 },
    /// Read at an offset. Completes with the count, 0 at or past the end. `fixed`: the number that a
    /// [`RegisterBuffer`](Request::RegisterBuffer) of the memory completed with; it may have been given up since.
    Read { file: Descriptor, offset: u64, buffer: *mut u8, length: usize, fixed: Option<u16> },
    /// Write at an offset. Completes with the count. `fixed` as for `Read`.
    Write { file: Descriptor, offset: u64, buffer: *const u8, length: usize, fixed: Option<u16> },
    /// Make what was written durable; with `data_only`, not the times. Completes with 0.
    Sync { file: Descriptor, data_only: bool },
    /// What is known of an open file.
    StatFile { file: Descriptor, metadata: *mut Metadata },
    /// What is known of a path; `follow` symbolic links or describe the link itself.
    StatPath { path: *const c_char, follow: bool, metadata: *mut Metadata },
    /// Cut or extend to `size`.
    Truncate { file: Descriptor, size: u64 },
    /// Reserve space for `[offset, offset + length)` and extend the file to its end.
    Allocate { file: Descriptor, offset: u64, length: u64 },
    /// Set permission bits (`0o7777`) and the time of last change; absent ones stay. `modified` is seconds and
    /// nanoseconds.
    SetAttributes { file: Descriptor, mode: Option<u16>, modified: Option<(i64, u32)> },
    /// Rename; without `replace` an existing target is AlreadyExists, atomically.
    Rename { from: *const c_char, to: *const c_char, replace: bool },
    /// Remove a file, or an empty directory.
    Remove { path: *const c_char, directory: bool },
    /// Make a directory.
    MakeDirectory { path: *const c_char, mode: u32 },
    /// List a directory, in no order, into an empty vector.
    ListDirectory { path: *const c_char, entries: *mut Vec<DirectoryEntry> },
    /// Get to know a descriptor that many requests will use, and keep `owner`, which keeps it open, until it is given
    /// up or closed. Completes with its [place](Descriptor::place), or [`registration::NOTED`]; with `-EEXIST` for one
    /// that is known, `-ENOBUFS` when no more can be.
    RegisterDescriptor { descriptor: Descriptor, owner: *const Arc<dyn BufferOwner>, proactor: u32 },
    /// Give a descriptor up that was registered. Completes with 0, or `-ENOENT` if it was not.
    UnregisterDescriptor { descriptor: Descriptor },
    /// Close the descriptor, and give it up if it was registered. It is gone whatever the result says.
    Close { descriptor: Descriptor },
    /// Get to know memory that many requests will use, and keep `owner`, which keeps it, until it is given up.
    /// Completes with a number for `fixed`, or one of [`registration`]; with `-EEXIST` for memory that is known,
    /// `-ENOBUFS` when no more can be.
    RegisterBuffer { owner: *const Arc<dyn BufferOwner>, proactor: u32, start: *mut u8, length: usize },
    /// Give memory up that was registered, by where it begins. Completes with 0, or `-ENOENT` if it was not.
    UnregisterBuffer { start: *mut u8 },
    /// What may wait for a disk, beyond the requests above.
    File(FileRequest),
    /// What waits for someone else, beyond the requests above.
    Wait(WaitRequest),
}

// A backend keeps one for each connection that waits.
const _: () = assert!(size_of::<Request>() <= 40);

/// Results of a [`Request::RegisterBuffer`] that name no number.
pub mod registration {
    /// Nothing becomes cheaper here: the owner is kept, and that is all.
    pub const NOTED: i32 = i32::MAX;
    /// The kernel could have pinned it, but the process may not lock as much memory.
    pub const LOCK_LIMIT: i32 = i32::MAX - 1;
}

/// What registered memory, or a registered descriptor, belongs to. A backend keeps it for as long as it knows that.
pub trait BufferOwner: Send + Sync {
    /// The backend of `proactor` has gone, and what it knew with it.
    fn unregistered(&self, proactor: u32);
}

/// Bytes before the sender's address in a datagram received into a pool: see [`Request::ReceiveMessagePooled`].
pub const DATAGRAM_HEADER: usize = 16;
/// Room for the sender's address there.
pub const DATAGRAM_ADDRESS_ROOM: usize = 128;

/// A buffer that a backend took from a [`BufferSource`]. A plain value; whoever took it answers for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)] // until a request names one
pub struct RawBuffer {
    /// Its number in its source, from 0.
    pub index: u32,
    /// Where its bytes begin.
    pub pointer: *mut u8,
    /// How many there are: the source's buffer size.
    pub length: u32,
}

/// Where a backend gets buffers to receive into, one at a time: a pool, of which it is one user among others.
///
/// A buffer that was taken is the backend's alone. It goes back by [`put`](BufferSource::put), or its number goes into
/// a completion, and with that to whoever is told. A ring of buffers in the kernel is filled by taking them one by
/// one, so that a buffer which the kernel has is in no one else's list.
///
/// # Safety
///
/// No buffer is handed out twice before it was put back, not even by another call of another thread; its memory is
/// valid, initialised, and no one else's, until then and as long as the source lives.
#[allow(dead_code)] // until a request names one
pub unsafe trait BufferSource: Send + Sync {
    /// Names the source in this process: no other one has it, also later.
    fn id(&self) -> u64;

    /// Takes a buffer; `None` when there is none now. Never blocks.
    fn take(&self) -> Option<RawBuffer>;

    /// Gives a buffer back. Never blocks for long; any thread.
    ///
    /// # Safety
    ///
    /// The caller took the buffer, has not put it back, and no completion has named it but for parts that were
    /// [held](BufferSource::hold).
    unsafe fn put(&self, index: u32);

    /// Before a completion names the buffer of which the caller keeps the rest (incremental buffers): whoever is told
    /// has a hold on it too, so that it is back only after that part is, however late that is told. Each part lies
    /// behind the one before, and completions name them in this order. Only of a source that is
    /// [incremental](BufferSource::incremental).
    ///
    /// # Safety
    ///
    /// The caller took the buffer, has not put it back, and no completion has named it as its last use.
    unsafe fn hold(&self, index: u32);

    /// Bytes in each buffer.
    fn buffer_size(&self) -> u32;

    /// How many buffers there are in all; their numbers are below.
    fn count(&self) -> u32;

    /// Whether a kernel that can may fill a buffer in parts, one after another.
    fn incremental(&self) -> bool {
        false
    }
}

/// How one token ended, or, with [`flags::MORE`], what it has come to so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Which one, in role [`role::OPERATION`] or [`role::CANCEL_MISSED`].
    pub token: Token,
    /// A count or descriptor, or a negated operating system error number.
    pub result: i32,
    /// What there is to say beside the result: a set of [`flags`], 0 as a rule.
    pub flags: u32,
}

impl Completion {
    /// A completion with nothing beside its result.
    #[inline]
    pub const fn new(token: Token, result: i32) -> Completion {
        Completion { token, result, flags: 0 }
    }

    /// The number of the buffer that the bytes are in, of a request that took one from a pool.
    #[inline]
    pub const fn buffer(&self) -> Option<u32> {
        if self.flags & flags::BUFFER == 0 { None } else { Some(self.flags >> flags::BUFFER_SHIFT) }
    }
}

/// What a [`Completion`] says beside its result.
pub mod flags {
    /// Reserved to the engine: never set by a backend.
    pub const BY_ENGINE: u32 = 1 << 0;
    /// The token goes on: another completion will come for it. Of a multishot request each success says this. Of a send
    /// it says that the bytes are on their way in order, so that the next send of the stream may go, but that the
    /// kernel still reads the memory: the completion that follows tells the same result and gives the memory back.
    pub const MORE: u32 = 1 << 1;
    /// The kernel itself reports that a send copied nothing.
    pub const ZERO_COPY: u32 = 1 << 2;
    /// The bytes lie in a buffer taken from the request's pool, whose number stands above [`BUFFER_SHIFT`]. It is the
    /// engine's now; or, if the backend has taken a [hold](super::BufferSource::hold), this part of it is.
    pub const BUFFER: u32 = 1 << 3;
    /// Where a buffer's number begins: 24 bits.
    pub const BUFFER_SHIFT: u32 = 8;
}

/// What became of [`Backend::start`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Start {
    /// Taken: exactly one completion will come from a later [`Backend::poll`], even if it is already known.
    Accepted,
    /// Taken and carried out, with this result, which no completion tells any more: of a
    /// [`SendMessage`](Request::SendMessage) or [`ReceiveMessage`](Request::ReceiveMessage) of a datagram.
    #[cfg(any(target_os = "linux", target_os = "android", feature = "unstable-backend"))]
    CarriedOut(i32),
    /// No room now and nothing happened: ask again after the next `poll`.
    #[cfg(any(target_os = "linux", target_os = "android", feature = "unstable-backend"))]
    Full,
}

/// How long [`Backend::poll`] may wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// Not at all.
    No,
    /// Until something completes, a wake comes, or this time is reached ([`Time::FAR_FUTURE`]: no limit).
    Until(Time),
}

/// How descriptors are made for this backend.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DescriptorMode {
    /// Without `O_NONBLOCK`: the kernel itself waits (io_uring).
    Blocking,
    /// With `O_NONBLOCK`: the backend waits for readiness.
    #[cfg(any(unix, feature = "unstable-backend"))]
    NonBlocking,
    /// By the backend's own [`System`]: they are numbers that no operating system knows.
    Own,
}

/// Wakes a poll thread that sleeps in its backend. Callable from any thread, and from a signal handler.
pub trait Wake: Send + Sync {
    /// Makes the current wait, or the next one, return. Never blocks.
    fn wake(&self);
}

/// What a backend counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BackendCounters {
    /// Times the poll thread entered the kernel to wait, to submit, or both.
    pub enters: u64,
    /// Entries handed to the kernel: ring entries, or system calls that carried out requests.
    pub entries: u64,
    /// Chains handed to the kernel whole.
    pub chains: u64,
    /// Worker threads alive now.
    pub workers: u64,
    /// Requests that workers carried out.
    pub worker_jobs: u64,
}

/// A way to carry out requests.
///
/// One thread owns a backend and makes every call on it. The engine above never starts two sends, or two receives, on
/// one stream socket at a time.
///
/// # Safety
///
/// The engine frees the memory behind a request's pointers, and closes its descriptor, as soon as the token's last
/// completion (one without [`flags::MORE`]) has been returned from [`Backend::poll`]. An implementation promises that
/// from then on neither it, nor a
/// thread of its own, nor the kernel on its behalf touches that memory or descriptor number; and that every accepted
/// token gets exactly one such completion in role [`role::OPERATION`].
pub unsafe trait Backend {
    /// The backend's name as users spell it: `io_uring`, `epoll`, `poll`.
    fn name(&self) -> &'static str;

    /// What is in force: detected and allowed.
    fn capabilities(&self) -> Capabilities;

    /// How descriptors must be made for it.
    fn descriptor_mode(&self) -> DescriptorMode;

    /// What makes its descriptors, if that is not the operating system: with [`DescriptorMode::Own`], and never else.
    fn system(&self) -> Option<Arc<dyn System>> {
        None
    }

    /// What wakes [`Backend::poll`] from other threads.
    fn waker(&self) -> Arc<dyn Wake>;

    /// The operations that this backend cannot do here, each with the reason. Submit refuses them.
    fn missing(&self) -> Vec<(Operation, String)>;

    /// Tokens of slots below `slots` may come from now on: make room for their storage. Never shrinks.
    fn grow(&mut self, slots: u32);

    /// Starts a request. A result that is known at once is still only told by a later [`Backend::poll`], but for what
    /// [was carried out](Start::CarriedOut) here.
    ///
    /// # Safety
    ///
    /// The pointers in `request` stay valid, and the memory exclusively the backend's, until the terminal completion of
    /// `token`; `token`'s slot has no other request in flight.
    unsafe fn start(&mut self, token: Token, request: &Request) -> Start;

    /// Starts all of `steps` such that each starts in the kernel when the one before it has succeeded in full, or none
    /// of them (`false`). Each step completes on its own; a step cut off by its predecessor completes with
    /// `-ECANCELED`. Only with [`Capabilities::KERNEL_CHAINS`].
    ///
    /// # Safety
    ///
    /// As for [`Backend::start`], for every step.
    unsafe fn start_linked(&mut self, steps: &[(Token, Request)]) -> bool {
        let _ = steps;
        false
    }

    /// Whether `request` may be a step of [`Backend::start_linked`].
    fn links(&self, request: &Request) -> bool {
        let _ = request;
        false
    }

    /// Asks that `token`'s request end early: it completes with `-ECANCELED`, or naturally if it won. When nothing
    /// cancellable is found under the token, a completion in role [`role::CANCEL_MISSED`] may say so. `false`: no room,
    /// ask again after the next poll.
    fn cancel(&mut self, token: Token) -> bool;

    /// Hands over what was started, waits as told, and appends every completion that is there to `completions`.
    /// May return early with none. An error here means that the backend is broken for good.
    fn poll(&mut self, wait: Wait, completions: &mut Vec<Completion>) -> Result<(), Status>;

    /// What was counted so far.
    fn counters(&self) -> BackendCounters;
}

/// What every backend's constructor is told.
#[derive(Clone, Debug)]
pub struct BackendConfig {
    /// Ring entries, or events taken per wait: a power of two is best. The kernel's limit is applied, not an error.
    pub entries: u32,
    /// Capabilities that may be used where they are detected.
    pub allowed: Capabilities,
    /// The clock that [`Wait::Until`] speaks of.
    pub clock: crate::time::Clock,
    /// The most worker threads it may start, at least 1. None starts before the first request that needs one.
    pub workers_max: usize,
    /// What worker threads are called, followed by `-wN` (`-fN` where they wait for words). Linux shows 15 bytes of a
    /// name: the end stays, so that threads can be told apart.
    pub name: String,
    /// Where its threads run, the one that polls among them: that one is pinned before the backend is made, and
    /// threads that it starts inherit that. A backend pins what the system starts for it.
    pub affinity: crate::topology::Affinity,
}

impl Default for BackendConfig {
    fn default() -> BackendConfig {
        BackendConfig {
            entries: 256,
            allowed: Capabilities::all(),
            clock: crate::time::Clock::monotonic(),
            workers_max: 4,
            name: String::from("proact"),
            affinity: crate::topology::Affinity::any(),
        }
    }
}
