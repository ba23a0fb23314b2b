//! Byte streams without positions: pipes, terminals, character devices.

use std::sync::Arc;

#[cfg(unix)]
use super::Returned;
use super::{Home, Resource};
use crate::backend::{Descriptor, DescriptorMode};
#[cfg(any(target_os = "linux", target_os = "android"))]
use crate::fault;
use crate::status::{Code, Operation, Result, Status};

/// One end of a pipe, or another stream of bytes that is no socket and has no positions: a FIFO, a terminal.
///
/// Made by [`Handle::pipe`](crate::proactor::Handle::pipe) or
/// [`Handle::import_stream`](crate::proactor::Handle::import_stream). A clone is another handle to the same end. Reads
/// are filled, and writes go out, in the order in which they were submitted.
///
/// A write to a pipe that no one reads any more fails with `Unavailable`. It raises no `SIGPIPE`, whatever is set for
/// that signal.
#[derive(Clone, Debug)]
pub struct Stream {
    resource: Arc<Resource>,
}

impl Stream {
    pub(crate) fn resource(&self) -> &Resource {
        &self.resource
    }

    /// Why transfers on the stream fail for good, if one has failed: the first failure, which stays. Writes are refused
    /// with it.
    pub fn failure(&self) -> Option<Status> {
        self.resource.failure().map(|status| self.resource.explain(status.clone()))
    }
}

impl Stream {
    /// A pipe: the end that is read, and the end that is written.
    pub(crate) fn pipe(home: Home) -> Result<(Stream, Stream)> {
        if home.mode != DescriptorMode::Own {
            return Stream::call_pipe(home);
        }
        let system = super::own_system(home, Operation::StreamCreate)?;
        let made = system.pipe().map_err(|errno| Status::from_os_error(Operation::StreamCreate, errno));
        let (reader, writer) = made?;
        Ok((Stream::adopt(home, reader), Stream::adopt(home, writer)))
    }

    /// Refuses the end that is not for this: one that is only read never becomes ready to be written, nor the other way
    /// round, so that waiting for that would be for ever.
    pub(crate) fn check_end(&self, written: bool, operation: Operation) -> Result<()> {
        if !self.resource.is_own() {
            return self.call_check_end(written, operation);
        }
        match self.resource.own(operation, |system, stream| system.is_written(stream))? {
            is_written if is_written == written => Ok(()),
            is_written => Err(Stream::wrong_end(is_written, operation)),
        }
    }

    /// The refusal of the end that is only written, or only read.
    fn wrong_end(written: bool, operation: Operation) -> Status {
        let why = if written { "the stream is only written" } else { "the stream is only read" };
        Status::new(Code::InvalidArgument, operation).with_message(why)
    }

    fn adopt(home: Home, descriptor: Descriptor) -> Stream {
        let resource = Resource::adopt(home, descriptor);
        // What fails once fails for good: a write with a hole behind it is no stream.
        resource.keep_failures();
        Stream { resource: Arc::new(resource) }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Stream {
    fn call_pipe(home: Home) -> Result<(Stream, Stream)> {
        use rustix::pipe::PipeFlags;
        use std::os::fd::IntoRawFd;
        let mut flags = PipeFlags::CLOEXEC;
        if home.mode == crate::backend::DescriptorMode::NonBlocking {
            flags |= PipeFlags::NONBLOCK;
        }
        let (reader, writer) = fault::tried(|| rustix::pipe::pipe_with(flags))
            .map_err(|errno| Status::from_os_error(Operation::StreamCreate, errno.raw_os_error()))?;
        let adopt = |fd: std::os::fd::OwnedFd| Stream::adopt(home, Descriptor(fd.into_raw_fd().into()));
        Ok((adopt(reader), adopt(writer)))
    }

    fn call_check_end(&self, written: bool, operation: Operation) -> Result<()> {
        use rustix::fs::OFlags;
        let mode = self.resource.with(operation, |descriptor| {
            // SAFETY: the resource keeps the descriptor open while it is used.
            let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) };
            rustix::fs::fcntl_getfl(fd).map_err(|errno| Status::from_os_error(operation, errno.raw_os_error()))
        })? & OFlags::RWMODE;
        match (written, mode) {
            (true, OFlags::RDONLY) => Err(Stream::wrong_end(false, operation)),
            (false, OFlags::WRONLY) => Err(Stream::wrong_end(true, operation)),
            _ => Ok(()),
        }
    }

    pub(crate) fn import(home: Home, fd: std::os::fd::OwnedFd) -> Result<Stream, Returned<std::os::fd::OwnedFd>> {
        use rustix::fs::{FileType, OFlags};
        use std::os::fd::{AsFd, IntoRawFd};
        if let Err(status) = super::import::takes_descriptors(home, Operation::StreamCreate) {
            return Err(Returned { resource: fd, status });
        }
        let checked = fault::tried(|| rustix::fs::fstat(&fd)).map(|stat| FileType::from_raw_mode(stat.st_mode));
        let failed = |errno: rustix::io::Errno| Status::from_os_error(Operation::StreamCreate, errno.raw_os_error());
        match checked {
            Ok(FileType::Fifo | FileType::CharacterDevice) => {}
            Ok(_) => {
                let status = Status::new(Code::InvalidArgument, Operation::StreamCreate);
                let status = status.with_message("not a pipe, terminal or other character device");
                return Err(Returned { resource: fd, status });
            }
            Err(errno) => return Err(Returned { resource: fd, status: failed(errno) }),
        }
        let mut set = super::import::set_close_on_exec(fd.as_fd());
        if home.mode == crate::backend::DescriptorMode::NonBlocking {
            let flags = set.and_then(|()| fault::tried(|| rustix::fs::fcntl_getfl(&fd)));
            set = flags.and_then(|flags| fault::tried(|| rustix::fs::fcntl_setfl(&fd, flags | OFlags::NONBLOCK)));
        }
        if let Err(errno) = set {
            return Err(Returned { resource: fd, status: failed(errno) });
        }
        Ok(Stream::adopt(home, Descriptor(fd.into_raw_fd().into())))
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
impl Stream {
    fn call_pipe(_: Home) -> Result<(Stream, Stream)> {
        Err(unavailable())
    }

    fn call_check_end(&self, _: bool, _: Operation) -> Result<()> {
        Err(unavailable())
    }

    #[cfg(unix)]
    pub(crate) fn import(_: Home, fd: std::os::fd::OwnedFd) -> Result<Stream, Returned<std::os::fd::OwnedFd>> {
        Err(Returned { resource: fd, status: unavailable() })
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn unavailable() -> Status {
    Status::new(Code::Unavailable, Operation::StreamCreate).with_message("no streams on this system yet")
}

#[cfg(unix)]
impl Stream {
    /// Runs `f` with the stream's descriptor, which cannot be closed meanwhile. Fails with `FailedPrecondition` once
    /// the stream is closed. Do not change its blocking mode: the backend relies on it. `f` must neither poll nor use
    /// the stream in another way.
    pub fn try_with_fd<R>(&self, f: impl FnOnce(std::os::fd::BorrowedFd<'_>) -> R) -> Result<R> {
        self.resource.with(Operation::None, |descriptor| {
            // SAFETY: the resource keeps the descriptor open while it is used, which is for the call of `f`.
            Ok(f(unsafe { std::os::fd::BorrowedFd::borrow_raw(descriptor.fd()) }))
        })
    }
}

/// A pipe of an operation's own, through which it moves bytes from one descriptor to another.
#[derive(Debug)]
pub(crate) struct PrivatePipe {
    reader: Resource,
    writer: Resource,
    /// Bytes it holds at most.
    pub(crate) capacity: u32,
}

impl PrivatePipe {
    /// Bytes that are asked for; the system may give less.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CAPACITY: usize = 256 * 1024;

    /// Makes one, as large as this process may.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) fn new(home: Home) -> Result<PrivatePipe> {
        use std::os::fd::{AsFd, IntoRawFd};
        super::import::takes_descriptors(home, Operation::Splice)?;
        let (reader, writer) = fault::tried(|| rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC))
            .map_err(|errno| Status::from_os_error(Operation::StreamCreate, errno.raw_os_error()))?;
        // A process over its share of pipe memory keeps the size that it was given.
        let _ = rustix::pipe::fcntl_setpipe_size(writer.as_fd(), PrivatePipe::CAPACITY);
        let capacity = rustix::pipe::fcntl_getpipe_size(writer.as_fd()).unwrap_or(4096) as u32;
        let adopt = |fd: std::os::fd::OwnedFd| Resource::adopt(home, Descriptor(fd.into_raw_fd().into()));
        Ok(PrivatePipe { reader: adopt(reader), writer: adopt(writer), capacity })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    pub(crate) fn new(_: Home) -> Result<PrivatePipe> {
        Err(unavailable())
    }

    pub(crate) fn reader(&self) -> Descriptor {
        self.reader.raw()
    }

    pub(crate) fn writer(&self) -> Descriptor {
        self.writer.raw()
    }
}
