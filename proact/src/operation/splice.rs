//! Bytes that move between descriptors without passing through this process.

use super::file::check_range;
use super::kind::{Class, Flow, Kind, Transfer, sealed::Sealed};
use crate::backend::{DescriptorMode, FileRequest, Request, WaitRequest};
use crate::resource::{File, Home, Lane, PrivatePipe, Resource, Second, Socket, SocketType, Stream};
use crate::status::{Code, Operation, Result, Status};

/// No one reads the pipe, and: it is full. Linux's numbers; no other system has splices.
const EPIPE: i32 = 32;
const EAGAIN: i32 = 11;

/// The most bytes that one request moves: more than any pipe holds.
const REQUEST_MAX: usize = 1 << 20;

/// Sends a range of a file over a socket. Yields how many bytes: all of them.
///
/// The kernel moves the bytes through a pipe of the operation's own, without a copy in this process: from the file into
/// the pipe (`splice`), on a worker of the kernel (io_uring) or a worker thread (epoll, poll), since that may wait for
/// a disk; from the pipe to the socket, by a worker of the kernel, or on the poll thread whenever the socket has room.
/// So neither a slow disk nor a slow peer holds the poll thread.
///
/// It takes its turn among the socket's sends. The file may be closed meanwhile, and is read to the end all the same. A
/// file that changes while it is sent may be sent half old and half new, as the pipe holds its pages and not their
/// bytes. Linux 2.6.17, on io_uring 5.7.
///
/// # Errors
/// `OutOfRange` when the file ends before the range does, and what the system says of a file that cannot be read: once
/// bytes of it have been sent the socket's stream is torn by that, and later sends are refused. And those of
/// [`Send`](super::Send). No `SIGPIPE` is raised.
///
/// ```
/// # use proact::operation::{Op, SendFile};
/// # use proact::resource::{File, Socket};
/// fn answer(socket: Socket, file: File, length: usize) -> Box<Op<SendFile, ()>> {
///     Op::new(SendFile::new(socket, file, 0, length), ())
/// }
/// ```
#[derive(Debug)]
pub struct SendFile {
    /// The socket.
    pub socket: Socket,
    /// Held by `source` from submit on, so that it must not change after that.
    file: File,
    /// Where in the file.
    pub offset: u64,
    /// How many bytes.
    pub length: usize,
    source: Second,
    pipe: Option<PrivatePipe>,
    /// Bytes that are in the pipe.
    inside: usize,
}

impl SendFile {
    /// Sends `length` bytes of `file` from `offset` on.
    pub fn new(socket: Socket, file: File, offset: u64, length: usize) -> SendFile {
        SendFile { socket, file, offset, length, source: Second::default(), pipe: None, inside: 0 }
    }
}

impl Sealed for SendFile {}

impl Kind for SendFile {
    type Output = usize;
    const OPERATION: Operation = Operation::SendFile;
    const CLASS: Class = Class::Kernel(Lane::Send);
    const STAGED: bool = true;

    fn validate(&mut self, home: Home) -> Result<()> {
        check_range(Self::OPERATION, self.offset, self.length)?;
        self.socket.check_type(SocketType::Stream, Self::OPERATION)?;
        self.socket.resource().check(home, Self::OPERATION)?;
        if self.inside > 0 || self.pipe.is_none() {
            // What an earlier flight that was cut short left in its pipe goes with it.
            self.pipe = Some(PrivatePipe::new(home)?);
            self.inside = 0;
        }
        self.source.hold(self.file.resource(), home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.socket.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.length, exact: true, flow: Flow::Sent }
    }

    fn request(&mut self, progress: usize) -> Request {
        let Some(pipe) = &self.pipe else { return Request::Nop };
        if self.inside > 0 {
            let (stream, pipe) = (self.socket.resource().raw(), pipe.reader());
            return Request::Wait(WaitRequest::Splice { stream, pipe, length: self.inside as u32, into_pipe: false });
        }
        Request::File(FileRequest::SpliceFile {
            file: self.source.raw(),
            offset: self.offset + progress as u64,
            pipe: pipe.writer(),
            length: (self.length - progress).min(pipe.capacity as usize) as u32,
            into_pipe: true,
        })
    }

    fn absorb(&mut self, value: i32) -> Option<usize> {
        let moved = value as usize;
        if self.inside > 0 {
            self.inside -= moved;
            return Some(moved);
        }
        self.inside = moved;
        // Nothing: the file's end.
        if moved == 0 { Some(0) } else { None }
    }

    /// The file's, before a byte of it went.
    fn spares(&self, _: &Status, moved: usize) -> bool {
        moved == 0 && self.inside == 0
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        self.source.release();
        Ok(value as usize)
    }
}

/// Moves bytes between a pipe and a file or a socket, without a copy in this process (`splice`). Yields how many.
///
/// It first waits until the pipe is ready, and then moves: between a pipe and a file on a worker of the kernel
/// (io_uring) or a worker thread (epoll, poll), between a pipe and a socket by a worker of the kernel, or on the poll
/// thread whenever the socket is ready. Linux 2.6.17, on io_uring 5.7.
///
/// With a socket it takes its turn among the socket's sends or receives, and with a file among the pipe's reads or
/// writes. The other of the two may be closed meanwhile, and is used to the end all the same. No one else may use the
/// same end of the pipe while a splice with it is in flight: the two are not ordered. `SENDS` says in whose queue it
/// stands: that of sends and writes, or that of receives and reads. A socket that was spliced with once is non-blocking
/// from then on (`O_NONBLOCK`), on every backend, and stays so when it is handed out.
///
/// # Errors
/// `OutOfRange` when the source ends before an exact transfer is whole (a pipe or socket that was written to is torn
/// then, and later writes are refused), `InvalidArgument` for the wrong end of a pipe or
/// a file opened for appending, `Unavailable` when no one reads a pipe any more, or when another process filled it
/// meanwhile. What goes wrong on one of the two is no [failure](Socket::failure) of the other, as long as nothing is
/// missing from what was written to it.
///
/// ```
/// # use proact::operation::{Op, Splice};
/// # use proact::resource::{File, Stream};
/// fn feed(file: File, child: Stream) -> Box<Op<Splice<true>, ()>> {
///     Op::new(Splice::file_to_pipe(file, 0, child, 1 << 16), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Splice<const SENDS: bool> {
    pipe: Stream,
    other: Other,
    length: usize,
    exact: bool,
    into_pipe: bool,
    second: Second,
    /// The pipe was found ready.
    ready: bool,
}

#[derive(Clone, Debug)]
enum Other {
    File { file: File, offset: u64 },
    Socket(Socket),
}

impl Splice<true> {
    /// Moves `length` bytes of `file`, from `offset` on, into `pipe`.
    pub fn file_to_pipe(file: File, offset: u64, pipe: Stream, length: usize) -> Splice<true> {
        Splice::new(pipe, Other::File { file, offset }, length, true)
    }

    /// Sends `length` bytes from `pipe` over `socket`.
    pub fn pipe_to_socket(pipe: Stream, socket: Socket, length: usize) -> Splice<true> {
        Splice::new(pipe, Other::Socket(socket), length, false)
    }
}

impl Splice<false> {
    /// Moves `length` bytes from `pipe` to `offset` of `file`.
    pub fn pipe_to_file(pipe: Stream, file: File, offset: u64, length: usize) -> Splice<false> {
        Splice::new(pipe, Other::File { file, offset }, length, false)
    }

    /// Receives `length` bytes from `socket` into `pipe`.
    pub fn socket_to_pipe(socket: Socket, pipe: Stream, length: usize) -> Splice<false> {
        Splice::new(pipe, Other::Socket(socket), length, true)
    }
}

impl<const SENDS: bool> Splice<SENDS> {
    fn new(pipe: Stream, other: Other, length: usize, into_pipe: bool) -> Splice<SENDS> {
        Splice { pipe, other, length, exact: true, into_pipe, second: Second::default(), ready: false }
    }

    /// Moves what is there at once, at most the length; 0 at the source's end.
    #[must_use]
    pub fn some(mut self) -> Splice<SENDS> {
        self.exact = false;
        self
    }
}

impl<const SENDS: bool> Sealed for Splice<SENDS> {}

impl<const SENDS: bool> Kind for Splice<SENDS> {
    type Output = usize;
    const OPERATION: Operation = Operation::Splice;
    const CLASS: Class = Class::Kernel(if SENDS { Lane::Send } else { Lane::Receive });
    const STAGED: bool = true;

    fn validate(&mut self, home: Home) -> Result<()> {
        self.ready = false;
        let (first, second) = match &self.other {
            Other::File { file, offset } => {
                check_range(Self::OPERATION, *offset, self.length)?;
                (self.pipe.resource(), file.resource())
            }
            Other::Socket(socket) => {
                socket.check_type(SocketType::Stream, Self::OPERATION)?;
                socket.resource().check(home, Self::OPERATION)?;
                if home.mode == DescriptorMode::Blocking {
                    // A splice that waits for the socket keeps the pipe locked meanwhile, and whoever reads, writes or
                    // closes the pipe waits for that lock, the poll thread too.
                    socket.resource().never_block(Self::OPERATION)?;
                }
                (socket.resource(), self.pipe.resource())
            }
        };
        first.check(home, Self::OPERATION)?;
        self.pipe.check_end(self.into_pipe, Self::OPERATION)?;
        self.second.hold(second, home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(match &self.other {
            Other::File { .. } => self.pipe.resource(),
            Other::Socket(socket) => socket.resource(),
        })
    }

    fn transfer(&self) -> Transfer {
        let flow = match (&self.other, self.into_pipe) {
            (Other::File { .. }, true) => Flow::Read,
            (Other::File { .. }, false) => Flow::Written,
            (Other::Socket(_), true) => Flow::Received,
            (Other::Socket(_), false) => Flow::Sent,
        };
        Transfer { length: self.length, exact: self.exact, flow }
    }

    fn request(&mut self, progress: usize) -> Request {
        let length = (self.length - progress).min(REQUEST_MAX) as u32;
        if length == 0 {
            return Request::Nop;
        }
        let (into_pipe, second) = (self.into_pipe, self.second.raw());
        match &self.other {
            _ if !self.ready => {
                let descriptor = match &self.other {
                    Other::File { .. } => self.pipe.resource().raw(),
                    Other::Socket(_) => second,
                };
                Request::Wait(WaitRequest::Poll { descriptor, writable: into_pipe })
            }
            Other::File { offset, .. } => {
                let (offset, pipe) = (offset + progress as u64, self.pipe.resource().raw());
                Request::File(FileRequest::SpliceFile { file: second, offset, pipe, length, into_pipe })
            }
            Other::Socket(socket) => {
                let stream = socket.resource().raw();
                Request::Wait(WaitRequest::Splice { stream, pipe: second, length, into_pipe })
            }
        }
    }

    fn absorb(&mut self, value: i32) -> Option<usize> {
        if self.length > 0 && !self.ready {
            self.ready = true;
            return None;
        }
        self.ready = false;
        Some(value as usize)
    }

    /// The system does not say which of the two failed. A pipe fails its readers never, and its writers when no one
    /// reads it; a wrong end, and one that others have filled, is no connection's failure.
    fn spares(&self, status: &Status, moved: usize) -> bool {
        let errno = status.os_error();
        let of_pipe = errno == Some(EPIPE) || errno == Some(EAGAIN) || status.code() == Code::InvalidArgument;
        match (&self.other, self.into_pipe) {
            (Other::File { .. }, false) => true,
            (Other::File { .. }, true) => moved == 0 && errno != Some(EPIPE),
            (Other::Socket(_), true) => of_pipe,
            // No number: the pipe's end.
            (Other::Socket(_), false) => moved == 0 && (errno.is_none() || status.code() == Code::InvalidArgument),
        }
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        self.second.release();
        Ok(value as usize)
    }
}
