//! Descriptors that were there already: taken in as sockets and files, and given out again.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, OFlags};

use super::{Domain, File, Home, Resource, Socket, SocketType};
use crate::backend::{Descriptor, DescriptorMode};
use crate::fault::tried;
use crate::status::{Code, Operation, Result, Status};

/// What could not be handed over, back with the reason.
pub struct Returned<T> {
    /// As it was.
    pub resource: T,
    /// Why.
    pub status: Status,
}

impl<T> fmt::Debug for Returned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.status)
    }
}

impl<T> fmt::Display for Returned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.status.fmt(f)
    }
}

impl<T> std::error::Error for Returned<T> {}

impl<T> From<Returned<T>> for Status {
    fn from(returned: Returned<T>) -> Status {
        returned.status
    }
}

fn refused(operation: Operation, why: impl Into<std::borrow::Cow<'static, str>>) -> Status {
    Status::new(Code::InvalidArgument, operation).with_message(why)
}

fn failed(operation: Operation) -> impl Fn(rustix::io::Errno) -> Status {
    move |errno| Status::from_os_error(operation, errno.raw_os_error())
}

impl Socket {
    /// Takes a descriptor in, unless it is refused.
    pub(crate) fn import(home: Home, fd: OwnedFd) -> Result<Socket, Returned<OwnedFd>> {
        match takes_descriptors(home, Operation::SocketCreate)
            .and_then(|()| examine_socket(fd.as_fd()))
            .and_then(|what| prepare(home, fd.as_fd()).map(|()| what))
        {
            Ok(what) => {
                let socket = Socket::own(home, Descriptor(fd.into_raw_fd().into()), what.domain, what.kind);
                if what.connected {
                    socket.note_connected();
                }
                Ok(socket)
            }
            Err(status) => Err(Returned { resource: fd, status }),
        }
    }

    /// Gives the descriptor out: this was the last handle, and nothing is in flight. The descriptor is in the mode that
    /// the backend worked in: non-blocking for epoll and poll, blocking for io_uring; and closed on exec.
    ///
    /// # Errors
    /// Gives the socket back, with `FailedPrecondition`, when other handles are there (operations in flight have one
    /// each), or when it is closed.
    pub fn into_fd(self) -> Result<OwnedFd, Returned<Socket>> {
        let Socket { resource, domain, kind } = self;
        release(resource).map_err(|(resource, status)| Returned { resource: Socket { resource, domain, kind }, status })
    }

    /// Another descriptor of the same socket, for [`import_socket`](crate::proactor::Handle::import_socket) at this or
    /// another proactor, or for anything else. Closed on exec.
    ///
    /// Both name one socket: its mode, options and peer are the same. The order of transfers is kept among operations
    /// of one of them, not between the two.
    ///
    /// # Errors
    /// `FailedPrecondition` once it is closed, `ResourceExhausted` when no descriptor is left.
    pub fn duplicate(&self) -> Result<OwnedFd> {
        duplicate(self.resource(), Operation::SocketCreate)
    }
}

impl File {
    /// Takes a descriptor in, unless it is refused.
    pub(crate) fn import(home: Home, fd: OwnedFd) -> Result<File, Returned<OwnedFd>> {
        match takes_descriptors(home, Operation::FileOpen).and_then(|()| examine_file(fd.as_fd())) {
            Ok(direct) => {
                let descriptor = Descriptor(fd.into_raw_fd().into());
                Ok(if direct { File::adopt_direct(home, descriptor) } else { File::adopt(home, descriptor) })
            }
            Err(status) => Err(Returned { resource: fd, status }),
        }
    }

    /// Gives the descriptor out: this was the last handle, and nothing is in flight.
    ///
    /// # Errors
    /// Gives the file back, with `FailedPrecondition`, when other handles are there (operations in flight have one
    /// each), or when it is closed.
    pub fn into_fd(self) -> Result<OwnedFd, Returned<File>> {
        let File { resource, direct } = self;
        release(resource).map_err(|(resource, status)| Returned { resource: File { resource, direct }, status })
    }

    /// Another descriptor of the same open file. Closed on exec.
    ///
    /// # Errors
    /// `FailedPrecondition` once it is closed, `ResourceExhausted` when no descriptor is left.
    pub fn duplicate(&self) -> Result<OwnedFd> {
        duplicate(self.resource(), Operation::FileOpen)
    }
}

/// Refuses descriptors of the operating system at a proactor whose descriptors are its own.
pub(super) fn takes_descriptors(home: Home, operation: Operation) -> Result<()> {
    if home.mode == DescriptorMode::Own { Err(super::no_descriptor(operation)) } else { Ok(()) }
}

/// What a socket turned out to be.
struct Examined {
    domain: Domain,
    kind: SocketType,
    connected: bool,
}

fn examine_socket(fd: BorrowedFd<'_>) -> Result<Examined> {
    let failed = failed(Operation::SocketCreate);
    let stat = tried(|| rustix::fs::fstat(fd)).map_err(&failed)?;
    let found = FileType::from_raw_mode(stat.st_mode as rustix::fs::RawMode);
    if found != FileType::Socket {
        return Err(refused(Operation::SocketCreate, format!("not a socket but {}", name_of(found))));
    }
    let socket = socket2::SockRef::from(&fd);
    let io = |error: std::io::Error| Status::from_io_error(Operation::SocketCreate, &error);
    let kind = match socket.r#type().map_err(io)? {
        socket2::Type::STREAM => SocketType::Stream,
        socket2::Type::DGRAM => SocketType::Datagram,
        _ => return Err(refused(Operation::SocketCreate, "neither a stream nor a datagram socket")),
    };
    let domain = match i32::from(socket.local_addr().map_err(io)?.family()) {
        libc::AF_INET => Domain::Ipv4,
        libc::AF_INET6 => Domain::Ipv6,
        libc::AF_UNIX => Domain::Unix,
        family => return Err(refused(Operation::SocketCreate, format!("a socket of family {family}"))),
    };
    Ok(Examined { domain, kind, connected: socket.peer_addr().is_ok() })
}

/// Sets the mode that the backend needs. The last thing that can fail, so that what is refused is left as it was.
fn prepare(home: Home, fd: BorrowedFd<'_>) -> Result<()> {
    let failed = failed(Operation::SocketCreate);
    let flags = tried(|| rustix::fs::fcntl_getfl(fd)).map_err(&failed)?;
    let mut wanted = flags;
    wanted.set(OFlags::NONBLOCK, home.mode == DescriptorMode::NonBlocking);
    set_close_on_exec(fd).map_err(&failed)?;
    if wanted != flags {
        tried(|| rustix::fs::fcntl_setfl(fd, wanted)).map_err(&failed)?;
    }
    Ok(())
}

pub(super) fn set_close_on_exec(fd: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let flags = tried(|| rustix::io::fcntl_getfd(fd))?;
    rustix::io::fcntl_setfd(fd, flags | rustix::io::FdFlags::CLOEXEC)
}

/// Whether the file was opened for direct I/O.
fn examine_file(fd: BorrowedFd<'_>) -> Result<bool> {
    let failed = failed(Operation::FileOpen);
    let stat = tried(|| rustix::fs::fstat(fd)).map_err(&failed)?;
    match FileType::from_raw_mode(stat.st_mode as rustix::fs::RawMode) {
        FileType::RegularFile | FileType::Directory | FileType::BlockDevice | FileType::CharacterDevice => {}
        found => return Err(refused(Operation::FileOpen, format!("{} has no offsets", name_of(found)))),
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let direct = {
        let flags = tried(|| rustix::fs::fcntl_getfl(fd)).map_err(&failed)?;
        if flags.contains(OFlags::PATH) {
            return Err(refused(Operation::FileOpen, "opened for its path alone (O_PATH)"));
        }
        flags.contains(OFlags::DIRECT)
    };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let direct = false;
    // The last thing, so that what is refused is left as it was.
    set_close_on_exec(fd).map_err(&failed)?;
    Ok(direct)
}

fn name_of(found: FileType) -> &'static str {
    match found {
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        _ => "something else",
    }
}

/// The descriptor of a resource that no one else holds.
pub(super) fn release(resource: Arc<Resource>) -> Result<OwnedFd, (Arc<Resource>, Status)> {
    let refused = |why| Status::new(Code::FailedPrecondition, Operation::None).with_message(why);
    if let Err(status) = resource.has_descriptor(Operation::None) {
        return Err((resource, status));
    }
    match Arc::try_unwrap(resource) {
        Err(resource) => Err((resource, refused("other handles or operations hold it"))),
        Ok(resource) => match resource.take() {
            // SAFETY: the resource owned it, and has given it up.
            Some(descriptor) => Ok(unsafe { OwnedFd::from_raw_fd(descriptor.fd()) }),
            None => Err((Arc::new(resource), refused("the resource is closed"))),
        },
    }
}

fn duplicate(resource: &Resource, operation: Operation) -> Result<OwnedFd> {
    resource.with(operation, |descriptor| {
        // SAFETY: the resource keeps the descriptor open while it is used.
        let fd = unsafe { BorrowedFd::borrow_raw(descriptor.fd()) };
        tried(|| rustix::io::fcntl_dupfd_cloexec(fd, 0)).map_err(failed(operation))
    })
}
