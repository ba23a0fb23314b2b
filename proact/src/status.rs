//! Failures: one of sixteen codes, with the operation, the operating system's error, what was tried and where.
//!
//! A [`Status`] is two words, so `Result<u64, Status>` stays small on the good path. Text, causes and backtraces live
//! behind one counted pointer and are made only when something failed.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

mod errno;
#[cfg(all(windows, feature = "simulated"))]
pub(crate) use errno::SIMULATED;

pub(crate) use errno::preserving_errno;

/// What kind of outcome a call had. The set is gRPC's and Abseil's, which the reference design uses too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum Code {
    /// Success. A [`Status`] never holds it.
    Ok = 0,
    /// The caller, or the failure of an earlier step of the same chain, asked for an end.
    Cancelled = 1,
    /// An error that maps to nothing better.
    Unknown = 2,
    /// The request itself is wrong, whatever the state of the system.
    InvalidArgument = 3,
    /// Time ran out before an outcome.
    DeadlineExceeded = 4,
    /// The named thing, or the pending operation, does not exist.
    NotFound = 5,
    /// The named thing exists already.
    AlreadyExists = 6,
    /// Not allowed to this process.
    PermissionDenied = 7,
    /// A limit is reached: operations, memory, descriptors, disk space.
    ResourceExhausted = 8,
    /// The system is not in the state that the request needs.
    FailedPrecondition = 9,
    /// Ended by a conflict or by shutdown; may be retried at a higher level.
    Aborted = 10,
    /// Past a valid range: the end of a file or stream came before an exact transfer was whole.
    OutOfRange = 11,
    /// Not built.
    Unimplemented = 12,
    /// An invariant is broken: a defect of this library or of the system below.
    Internal = 13,
    /// Not to be had here or now: a refused peer, a capability this backend lacks.
    Unavailable = 14,
    /// Data is lost or corrupted for good.
    DataLoss = 15,
}

impl Code {
    /// The code's name in capitals, as logs and wire formats spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Code::Ok => "OK",
            Code::Cancelled => "CANCELLED",
            Code::Unknown => "UNKNOWN",
            Code::InvalidArgument => "INVALID_ARGUMENT",
            Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Code::NotFound => "NOT_FOUND",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::PermissionDenied => "PERMISSION_DENIED",
            Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Code::FailedPrecondition => "FAILED_PRECONDITION",
            Code::Aborted => "ABORTED",
            Code::OutOfRange => "OUT_OF_RANGE",
            Code::Unimplemented => "UNIMPLEMENTED",
            Code::Internal => "INTERNAL",
            Code::Unavailable => "UNAVAILABLE",
            Code::DataLoss => "DATA_LOSS",
        }
    }

    /// The code that an operating system's error number stands for; `Unknown` for one without a better match.
    ///
    /// The table, with the cause of each, is in `status/errno.rs`.
    pub fn from_os_error(os_error: i32) -> Code {
        errno::code_of(os_error)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What was being done when a [`Status`] arose.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
#[non_exhaustive]
pub enum Operation {
    /// Nothing in particular.
    None,
    /// Building a proactor.
    Build,
    /// Submitting a batch.
    Submit,
    /// Polling.
    Poll,
    /// Asking operations to end early.
    Cancel,
    /// Shutting a proactor down.
    Shutdown,
    /// Doing nothing.
    Nop,
    /// Waiting for a time.
    Timer,
    /// Waiting for an event.
    EventWait,
    /// Making an event.
    EventCreate,
    /// Passing on that something is there.
    Relay,
    /// Registering a function for every pass.
    Progress,
    /// Setting an event.
    EventSet,
    /// Waiting for a notification.
    NotificationWait,
    /// Signalling a notification.
    NotificationSignal,
    /// Making or opening a notification in shared memory.
    NotificationCreate,
    /// Waiting for semaphores.
    SemaphoreWait,
    /// Signalling a semaphore.
    SemaphoreSignal,
    /// Running steps one after another.
    Sequence,
    /// Running members side by side.
    Group,
    /// Firing again and again.
    Interval,
    /// Making or importing a socket.
    SocketCreate,
    /// Binding a socket to an address.
    SocketBind,
    /// Making a listener.
    SocketListen,
    /// Reading or setting a socket's option.
    SocketOption,
    /// Accepting connections.
    SocketAccept,
    /// Connecting a socket.
    SocketConnect,
    /// Receiving into a buffer, or buffers of a pool.
    SocketReceive,
    /// Sending a buffer.
    SocketSend,
    /// Ending a direction of a socket.
    SocketShutdown,
    /// Sending several buffers.
    SocketSendVectored,
    /// Receiving into several buffers.
    SocketReceiveVectored,
    /// Sending a datagram.
    SocketSendTo,
    /// Receiving datagrams.
    SocketReceiveFrom,
    /// Sending descriptors.
    SocketSendDescriptors,
    /// Receiving descriptors.
    SocketReceiveDescriptors,
    /// Opening or importing a file.
    FileOpen,
    /// Reading from a file.
    FileRead,
    /// Writing to a file.
    FileWrite,
    /// Making a file, or a range of it, durable.
    FileSync,
    /// Asking what is known of a file or path.
    FileStat,
    /// Cutting or extending a file.
    FileTruncate,
    /// Changing the disk space behind a range.
    FileAllocate,
    /// Closing a resource.
    Close,
    /// Renaming.
    Rename,
    /// Removing a name.
    Remove,
    /// Setting owner, mode or times.
    FileSetAttributes,
    /// Making a directory.
    DirectoryMake,
    /// Listing a directory.
    DirectoryList,
    /// Copying a range from file to file.
    FileCopy,
    /// Saying what a range is for.
    FileAdvise,
    /// Making a link.
    FileLink,
    /// Reading a symbolic link.
    FileReadLink,
    /// Reading, listing, setting or removing extended attributes.
    ExtendedAttribute,
    /// Walking through a tree.
    DirectoryWalk,
    /// Watching for changes.
    DirectoryWatch,
    /// Making or importing a pipe or its like.
    StreamCreate,
    /// Reading a pipe or its like.
    StreamRead,
    /// Writing a pipe or its like.
    StreamWrite,
    /// Moving bytes through a pipe.
    Splice,
    /// Sending a range of a file.
    SendFile,
    /// Waiting until a descriptor is ready.
    HandlePoll,
    /// Waiting for the end of a child process.
    ProcessWait,
    /// Sending a message to a proactor.
    Message,
    /// Waiting for signals of the process.
    SignalWait,
    /// Waiting for a word of memory.
    FutexWait,
    /// Waking who waits for a word.
    FutexWake,
    /// Making a region of memory.
    RegionCreate,
    /// Copying to or from a region.
    RegionCopy,
    /// Cutting a region into buffers.
    SlabCreate,
    /// Making a pool of buffers.
    PoolCreate,
    /// Taking a buffer of a pool.
    BufferAcquire,
    /// Giving a buffer back.
    BufferRelease,
    /// Registering memory.
    BufferRegister,
    /// Forgetting registered memory.
    BufferUnregister,
    /// Registering a socket or file.
    DescriptorRegister,
    /// Forgetting a registered socket or file.
    DescriptorUnregister,
    /// Waiting for a frontier.
    FrontierWait,
    /// Registering an axis, or making a tracker.
    AxisRegister,
    /// Advancing an axis.
    AxisAdvance,
    /// Pinning a thread to processors.
    PinThread,
    /// Asking where pages lie.
    FindPages,
    /// Starting a proactor's thread, or waiting for its end.
    ProactorThread,
    /// Taking a proactor of a pool.
    ProactorPool,
    /// Taking a fence in.
    FenceImport,
    /// Giving a fence out.
    FenceExport,
}

impl Operation {
    /// The operation's name in words.
    pub const fn name(self) -> &'static str {
        match self {
            Operation::None => "",
            Operation::Build => "build proactor",
            Operation::Submit => "submit",
            Operation::Poll => "poll",
            Operation::Cancel => "cancel",
            Operation::Shutdown => "shut down",
            Operation::Nop => "nop",
            Operation::Timer => "timer",
            Operation::EventWait => "event wait",
            Operation::EventCreate => "create event",
            Operation::Relay => "relay",
            Operation::Progress => "progress",
            Operation::EventSet => "set event",
            Operation::NotificationWait => "notification wait",
            Operation::NotificationSignal => "notification signal",
            Operation::NotificationCreate => "create notification",
            Operation::SemaphoreWait => "semaphore wait",
            Operation::SemaphoreSignal => "semaphore signal",
            Operation::Sequence => "sequence",
            Operation::Group => "group",
            Operation::Interval => "interval",
            Operation::SocketCreate => "create socket",
            Operation::SocketBind => "bind",
            Operation::SocketListen => "listen",
            Operation::SocketOption => "set socket option",
            Operation::SocketAccept => "accept",
            Operation::SocketConnect => "connect",
            Operation::SocketReceive => "receive",
            Operation::SocketSend => "send",
            Operation::SocketShutdown => "shut down socket",
            Operation::SocketSendVectored => "send vectored",
            Operation::SocketReceiveVectored => "receive vectored",
            Operation::SocketSendTo => "send to",
            Operation::SocketReceiveFrom => "receive from",
            Operation::SocketSendDescriptors => "send descriptors",
            Operation::SocketReceiveDescriptors => "receive descriptors",
            Operation::FileOpen => "open",
            Operation::FileRead => "read",
            Operation::FileWrite => "write",
            Operation::FileSync => "sync",
            Operation::FileStat => "stat",
            Operation::FileTruncate => "truncate",
            Operation::FileAllocate => "allocate",
            Operation::Close => "close",
            Operation::Rename => "rename",
            Operation::Remove => "remove",
            Operation::FileSetAttributes => "set attributes",
            Operation::DirectoryMake => "make directory",
            Operation::DirectoryList => "list directory",
            Operation::FileCopy => "copy range",
            Operation::FileAdvise => "advise",
            Operation::FileLink => "link",
            Operation::FileReadLink => "read link",
            Operation::ExtendedAttribute => "extended attribute",
            Operation::DirectoryWalk => "walk",
            Operation::DirectoryWatch => "watch",
            Operation::StreamCreate => "create stream",
            Operation::StreamRead => "read stream",
            Operation::StreamWrite => "write stream",
            Operation::Splice => "splice",
            Operation::SendFile => "send file",
            Operation::HandlePoll => "poll handle",
            Operation::ProcessWait => "wait for process",
            Operation::Message => "send message",
            Operation::SignalWait => "wait for signals",
            Operation::FutexWait => "futex wait",
            Operation::FutexWake => "futex wake",
            Operation::RegionCreate => "create region",
            Operation::RegionCopy => "copy to or from region",
            Operation::SlabCreate => "create slab",
            Operation::PoolCreate => "create buffer pool",
            Operation::BufferAcquire => "acquire buffer",
            Operation::BufferRelease => "release buffer",
            Operation::BufferRegister => "register buffers",
            Operation::BufferUnregister => "unregister buffers",
            Operation::DescriptorRegister => "register descriptor",
            Operation::DescriptorUnregister => "unregister descriptor",
            Operation::FrontierWait => "frontier wait",
            Operation::AxisRegister => "register",
            Operation::AxisAdvance => "advance",
            Operation::PinThread => "pin thread",
            Operation::FindPages => "find pages",
            Operation::ProactorThread => "proactor thread",
            Operation::ProactorPool => "proactor pool",
            Operation::FenceImport => "import fence",
            Operation::FenceExport => "export fence",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A result whose failure is a [`Status`].
pub type Result<T = (), E = Status> = core::result::Result<T, E>;

/// A failure. Cheap to clone: one failed semaphore hands the same status, backtrace and all, to everyone who waits.
///
/// It displays as one line: `open "/x": No such file or directory (NOT_FOUND, os error 2)`. `{:?}` adds the source
/// location and, where `RUST_BACKTRACE` asked for one, the backtrace.
///
/// ```
/// use proact::status::{Code, Operation, Status};
/// let status = Status::from_os_error(Operation::FileOpen, 2).with_context("\"/x\"");
/// assert_eq!(status.code(), Code::NotFound);
/// assert_eq!(status.os_error(), Some(2));
/// assert!(status.to_string().starts_with("open \"/x\": "));
/// ```
#[derive(Clone)]
pub struct Status {
    repr: Repr,
}

#[derive(Clone)]
enum Repr {
    Bare { code: Code, operation: Operation, os_error: i32, location: &'static Location<'static> },
    Full(Arc<Detail>),
}

#[derive(Clone)]
struct Detail {
    code: Code,
    operation: Operation,
    os_error: i32,
    location: &'static Location<'static>,
    message: Cow<'static, str>,
    context: Vec<Cow<'static, str>>,
    backtrace: Option<Arc<Backtrace>>,
}

impl Status {
    /// A failure of `operation` with `code`. The caller's source location is kept, and its backtrace where
    /// `RUST_BACKTRACE` asks for one. `Code::Ok` is no failure and becomes `Internal`.
    #[track_caller]
    #[cold]
    pub fn new(code: Code, operation: Operation) -> Status {
        Status::at(code, operation, 0, Location::caller())
    }

    /// A failure told where nothing may be allocated and no lock taken, such as a signal handler: never with a
    /// backtrace.
    #[track_caller]
    #[cold]
    pub(crate) fn bare(code: Code, operation: Operation, os_error: i32) -> Status {
        Status { repr: Repr::Bare { code, operation, os_error, location: Location::caller() } }
    }

    /// The failure that an operating system's error number means.
    #[track_caller]
    #[cold]
    pub fn from_os_error(operation: Operation, os_error: i32) -> Status {
        Status::at(Code::from_os_error(os_error), operation, os_error, Location::caller())
    }

    /// The failure that an [`std::io::Error`] means; one without an error number keeps its text.
    #[track_caller]
    #[cold]
    pub fn from_io_error(operation: Operation, error: &std::io::Error) -> Status {
        let location = Location::caller();
        match error.raw_os_error() {
            Some(os_error) => Status::at(Code::from_os_error(os_error), operation, os_error, location),
            None => {
                let code = match error.kind() {
                    std::io::ErrorKind::NotFound => Code::NotFound,
                    std::io::ErrorKind::PermissionDenied => Code::PermissionDenied,
                    std::io::ErrorKind::AlreadyExists => Code::AlreadyExists,
                    std::io::ErrorKind::InvalidInput => Code::InvalidArgument,
                    std::io::ErrorKind::UnexpectedEof => Code::OutOfRange,
                    std::io::ErrorKind::Unsupported => Code::Unavailable,
                    _ => Code::Unknown,
                };
                Status::at(code, operation, 0, location).with_message(error.to_string())
            }
        }
    }

    /// As [`Status::new`], located at `location`: operations report where they were submitted.
    #[cold]
    pub(crate) fn at(code: Code, operation: Operation, os_error: i32, location: &'static Location<'static>) -> Status {
        let code = if code == Code::Ok { Code::Internal } else { code };
        // A cancellation is asked for, not suffered: no backtrace would help, and there may be thousands.
        if code != Code::Cancelled {
            let backtrace = Backtrace::capture();
            if backtrace.status() == BacktraceStatus::Captured {
                return Status {
                    repr: Repr::Full(Arc::new(Detail {
                        code,
                        operation,
                        os_error,
                        location,
                        message: Cow::Borrowed(""),
                        context: Vec::new(),
                        backtrace: Some(Arc::new(backtrace)),
                    })),
                };
            }
        }
        Status { repr: Repr::Bare { code, operation, os_error, location } }
    }

    /// Says in words what is wrong, instead of the operating system's text.
    #[must_use]
    pub fn with_message(self, message: impl Into<Cow<'static, str>>) -> Status {
        self.edit(|detail| detail.message = message.into())
    }

    /// Adds what it was about: a path, an address. The text stands behind the operation's name, outermost first.
    #[must_use]
    pub fn with_context(self, context: impl Into<Cow<'static, str>>) -> Status {
        self.edit(|detail| detail.context.insert(0, context.into()))
    }

    /// The same failure, told of another operation.
    #[must_use]
    pub fn with_operation(self, operation: Operation) -> Status {
        match self.repr {
            Repr::Bare { code, os_error, location, .. } => {
                Status { repr: Repr::Bare { code, operation, os_error, location } }
            }
            Repr::Full(_) => self.edit(|detail| detail.operation = operation),
        }
    }

    /// The same failure, told at another place.
    #[must_use]
    pub(crate) fn located(self, location: &'static Location<'static>) -> Status {
        match self.repr {
            Repr::Bare { code, operation, os_error, .. } => {
                Status { repr: Repr::Bare { code, operation, os_error, location } }
            }
            Repr::Full(_) => self.edit(|detail| detail.location = location),
        }
    }

    /// Whether the outermost context is this text.
    pub(crate) fn is_about(&self, context: &str) -> bool {
        matches!(&self.repr, Repr::Full(detail) if detail.context.first().is_some_and(|first| first == context))
    }

    fn edit(self, change: impl FnOnce(&mut Detail)) -> Status {
        let mut detail = match self.repr {
            Repr::Full(detail) => detail,
            Repr::Bare { code, operation, os_error, location } => Arc::new(Detail {
                code,
                operation,
                os_error,
                location,
                message: Cow::Borrowed(""),
                context: Vec::new(),
                backtrace: None,
            }),
        };
        change(Arc::make_mut(&mut detail));
        Status { repr: Repr::Full(detail) }
    }

    /// Which of the sixteen codes. Never [`Code::Ok`].
    pub fn code(&self) -> Code {
        match &self.repr {
            Repr::Bare { code, .. } => *code,
            Repr::Full(detail) => detail.code,
        }
    }

    /// What was being done.
    pub fn operation(&self) -> Operation {
        match &self.repr {
            Repr::Bare { operation, .. } => *operation,
            Repr::Full(detail) => detail.operation,
        }
    }

    /// The operating system's error number, if it was the source.
    pub fn os_error(&self) -> Option<i32> {
        let os_error = match &self.repr {
            Repr::Bare { os_error, .. } => *os_error,
            Repr::Full(detail) => detail.os_error,
        };
        (os_error != 0).then_some(os_error)
    }

    /// Where in the source: the call that failed, or the submit of the operation that did.
    pub fn location(&self) -> &'static Location<'static> {
        match &self.repr {
            Repr::Bare { location, .. } => location,
            Repr::Full(detail) => detail.location,
        }
    }

    /// The text given with [`Status::with_message`], if any.
    pub fn message(&self) -> Option<&str> {
        match &self.repr {
            Repr::Full(detail) if !detail.message.is_empty() => Some(&detail.message),
            _ => None,
        }
    }

    /// The backtrace taken where the failure arose, if `RUST_BACKTRACE` asked for one.
    pub fn backtrace(&self) -> Option<&Backtrace> {
        match &self.repr {
            Repr::Full(detail) => detail.backtrace.as_deref(),
            Repr::Bare { .. } => None,
        }
    }

    /// Whether the code is [`Code::Cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.code() == Code::Cancelled
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.operation().name())?;
        let mut started = self.operation() != Operation::None;
        if let Repr::Full(detail) = &self.repr {
            for context in &detail.context {
                if started {
                    f.write_str(" ")?;
                }
                f.write_str(context)?;
                started = true;
            }
        }
        if started {
            f.write_str(": ")?;
        }
        match (self.message(), self.os_error()) {
            (Some(message), Some(os_error)) => write!(f, "{message} ({}, os error {os_error})", self.code()),
            (Some(message), None) => write!(f, "{message} ({})", self.code()),
            (None, Some(os_error)) => {
                write!(f, "{} ({}, os error {os_error})", errno::text_of(os_error), self.code())
            }
            (None, None) => write!(f, "{}", self.code()),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} at {}", self.location())?;
        if let Some(backtrace) = self.backtrace() {
            write!(f, "\n{backtrace}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_stays_small() {
        // A pointer, and what needs no allocation.
        let pointer = size_of::<usize>();
        assert_eq!(size_of::<Status>(), 8 + pointer);
        assert_eq!(size_of::<Result>(), 8 + pointer);
        assert!(size_of::<Result<u64>>() <= 24);
    }

    #[test]
    fn status_tells_operation_context_cause_and_place() {
        let status = Status::from_os_error(Operation::FileOpen, 2).with_context("\"/tmp/x\"");
        let line = line!() - 1;
        assert_eq!(status.to_string(), "open \"/tmp/x\": No such file or directory (NOT_FOUND, os error 2)");
        assert!(status.location().file().ends_with("status.rs"));
        assert_eq!(status.location().line(), line);
        assert_eq!(
            Status::new(Code::DataLoss, Operation::None).with_message("digest of chunk 3 differs").to_string(),
            "digest of chunk 3 differs (DATA_LOSS)"
        );
    }

    #[test]
    fn every_code_has_its_own_name_and_ok_is_no_failure() {
        let status = Status::new(Code::Ok, Operation::Nop);
        assert_eq!(status.code(), Code::Internal);
        assert_eq!(Code::from_os_error(0), Code::Ok);
    }
}
