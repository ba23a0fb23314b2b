//! Datagrams: messages that arrive whole or not at all.

use super::gather::{Buffers, BuffersMut, Message};
use super::kind::{Class, Flow, Kind, Transfer, sealed::Sealed};
use crate::backend::Request;
use crate::memory::Access;
use crate::resource::{Address, Domain, Home, Lane, Resource, Socket, SocketType};
use crate::status::{Code, Operation, Result, Status};

/// Sends one datagram, of one buffer or gathered from several (at most 1024). Yields how many bytes.
///
/// Datagrams of one socket go out in the order in which they were submitted. Nothing says that they arrive, but over a
/// Unix socket they do: there a full receiver makes the send wait. (On epoll and poll, waiting for a receiver that the
/// socket is not connected to keeps the poll thread busy, since no readiness tells of another socket's queue.) Path: a
/// system call at once; where that would block, kernel-native on io_uring, and the call again upon readiness elsewhere.
///
/// # Errors
/// `InvalidArgument` for a stream socket and too many buffers; the system's answer to what is too long for one datagram
/// (`EMSGSIZE`); `Unavailable` when the peer told that nobody is there (`ECONNREFUSED`, of an earlier datagram to a
/// connected peer). The socket stays usable after any of them.
///
/// ```
/// use proact::operation::{Op, SendTo};
/// use proact::resource::{Address, Socket};
///
/// fn tell(socket: Socket, whom: Address) -> Box<Op<SendTo<Vec<u8>>, ()>> {
///     Op::new(SendTo::new(socket, b"hello".to_vec(), whom), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SendTo<B> {
    /// The socket: of datagrams.
    pub socket: Socket,
    /// The bytes: one buffer, or a vector of them.
    pub buffer: B,
    /// To whom; without it, to the peer that the socket is connected to.
    pub address: Option<Address>,
    segment: Option<u16>,
    message: Message,
}

impl<B: Buffers> SendTo<B> {
    /// Sends to `address`.
    pub fn new(socket: Socket, buffer: B, address: Address) -> SendTo<B> {
        SendTo { address: Some(address), ..SendTo::peer(socket, buffer) }
    }

    /// Sends to the peer that the socket is connected to.
    pub fn peer(socket: Socket, buffer: B) -> SendTo<B> {
        let mut buffers = 0;
        buffer.each(&mut |_, _| buffers += 1);
        let message = Message::new(buffers, CONTROL_BYTES);
        SendTo { socket, buffer, address: None, segment: None, message }
    }

    /// Sends the bytes as datagrams of `bytes` each, the last of what is left (`UDP_SEGMENT`, Linux 4.18): one way
    /// through the system for up to 64 of them, 64 KiB in all.
    ///
    /// Refused as `InvalidArgument` for 0 and for Unix sockets, as `Unavailable` on other systems.
    #[must_use]
    pub fn segments(mut self, bytes: u16) -> SendTo<B> {
        self.segment = Some(bytes);
        self
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn set_segment(&mut self) -> Result<()> {
        if let Some(bytes) = self.segment {
            self.message.set_control(libc::SOL_UDP, libc::UDP_SEGMENT, &bytes.to_ne_bytes());
        }
        Ok(())
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn set_segment(&mut self) -> Result<()> {
        let unavailable = || Status::new(Code::Unavailable, Self::OPERATION).with_message("only Linux cuts segments");
        if self.segment.is_some() { Err(unavailable()) } else { Ok(()) }
    }
}

/// Room for the one control message of a datagram: how long its segments are.
#[cfg(any(target_os = "linux", target_os = "android"))]
// SAFETY: it only computes.
const CONTROL_BYTES: usize = unsafe { libc::CMSG_SPACE(4) } as usize;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CONTROL_BYTES: usize = 0;

impl<B: Buffers> Sealed for SendTo<B> {}

impl<B: Buffers> Kind for SendTo<B> {
    type Output = usize;
    const OPERATION: Operation = Operation::SocketSendTo;
    const CLASS: Class = Class::Kernel(Lane::Send);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.socket.check_type(SocketType::Datagram, Self::OPERATION)?;
        self.message.gather(&self.buffer);
        if let Some(address) = &self.address {
            self.message.address(address)?;
        }
        self.message.check_access(Access::READ, Self::OPERATION)?;
        self.message.check_whole(Self::OPERATION)?;
        if self.segment.is_some_and(|bytes| bytes == 0 || self.socket.domain() == Domain::Unix) {
            let status = Status::new(Code::InvalidArgument, Self::OPERATION);
            return Err(status.with_message("only UDP datagrams are cut into segments, of one byte or more"));
        }
        self.set_segment()?;
        self.socket.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.socket.resource())
    }

    fn transfer(&self) -> Transfer {
        // It goes whole or not at all: exact by itself.
        Transfer { length: self.message.length(), exact: true, flow: Flow::Sent }
    }

    fn request(&mut self, _: usize) -> Request {
        self.message.after(0);
        #[cfg(unix)]
        if self.message.control_length() > 0 {
            self.message.attach_control(self.message.control_length());
        }
        let socket = self.socket.resource().raw();
        Request::SendMessage { socket, message: self.message.raw_mut(), exact: false, more: false, datagram: true }
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }

    fn explain(&self, status: Status) -> Status {
        match &self.address {
            Some(address) => status.with_context(format!("{address}")),
            None => status,
        }
    }
}

/// What arrived.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    /// How many bytes of the buffer were written.
    pub length: usize,
    /// Who sent it; [`Address::Unnamed`] for a Unix socket that never bound.
    pub sender: Address,
    /// The datagram was longer than the buffer, and its rest is lost.
    pub truncated: bool,
    /// Several datagrams of one sender were handed over as one, each of so many bytes, the last of what is left. Only
    /// after [`Socket::set_receive_offload`].
    pub segment: Option<usize>,
}

impl Datagram {
    fn of(message: &Message, value: i64) -> Datagram {
        let raw = message.raw();
        let mut segment = None;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        // SAFETY: the room for control messages is the message's own, and the kernel has written so much of it.
        unsafe {
            crate::backend::RawMessage::control_messages(raw.control, raw.control_length, |level, kind, payload| {
                if let (libc::SOL_UDP, libc::UDP_GRO, [a, b, c, d]) = (level, kind, payload) {
                    segment = usize::try_from(i32::from_ne_bytes([*a, *b, *c, *d])).ok();
                }
            });
        }
        // One that fills a single segment is no run of several.
        let segment = segment.take().filter(|bytes| (*bytes as i64) < value);
        Datagram {
            length: value as usize,
            sender: Address::from_raw(&raw.address).unwrap_or(Address::Unnamed),
            truncated: message.is_truncated(),
            segment,
        }
    }
}

/// Receives one datagram, into one buffer or several (at most 1024). Yields its length, who sent it, and whether it was
/// cut.
///
/// Receives of one socket are filled in the order in which they were submitted. One of length 0 is a datagram like any
/// other, and no end. Path: a system call at once; where nothing has come yet, kernel-native on io_uring, and the call
/// again upon readiness elsewhere. Where datagrams come faster than they are answered,
/// [`ReceiveFromPooledMany`](super::ReceiveFromPooledMany) takes several by one call.
///
/// # Errors
/// `Unavailable` when a connected peer told that nobody is there (of a datagram that was sent before); the socket stays
/// usable. At submit `InvalidArgument` for a stream socket, too many buffers, and memory that may not be written.
///
/// ```
/// use proact::operation::{Complete, Context, Op, Outcome, ReceiveFrom};
/// use proact::resource::Socket;
///
/// type Hear = ReceiveFrom<Vec<u8>>;
/// struct Shown;
///
/// impl Complete<Hear> for Shown {
///     fn done(op: Box<Op<Hear, Self>>, outcome: Outcome<Hear>, _: &mut Context<'_>) {
///         if let Ok(datagram) = outcome.result {
///             println!("{}: {:?}", datagram.sender, &op.kind.buffer[..datagram.length]);
///         }
///     }
/// }
///
/// fn hear(socket: Socket) -> Box<Op<Hear, Shown>> {
///     Op::new(ReceiveFrom::new(socket, vec![0; 1500]), Shown)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ReceiveFrom<B> {
    /// The socket: of datagrams.
    pub socket: Socket,
    /// Where the bytes go: one buffer, or a vector of them, each filled before the next.
    pub buffer: B,
    message: Message,
}

impl<B: BuffersMut> ReceiveFrom<B> {
    /// Receives what comes, at most the buffer's length.
    pub fn new(socket: Socket, buffer: B) -> ReceiveFrom<B> {
        let mut buffers = 0;
        buffer.each(&mut |_, _| buffers += 1);
        ReceiveFrom { message: Message::new(buffers, CONTROL_BYTES), socket, buffer }
    }
}

/// What a receive of datagrams checks, and makes ready.
fn prepare<B: BuffersMut>(
    socket: &Socket,
    buffer: &mut B,
    message: &mut Message,
    home: Home,
    operation: Operation,
) -> Result<()> {
    socket.check_type(SocketType::Datagram, operation)?;
    message.scatter(buffer);
    message.check_access(Access::WRITE, operation)?;
    message.check_whole(operation)?;
    socket.resource().check(home, operation)
}

fn request(socket: &Socket, message: &mut Message) -> Request {
    message.after(0);
    // A Unix socket has no segments to tell of. What its peer can put there are descriptors, which the kernel would
    // install in this process for no one: without room it closes them.
    if socket.domain() != Domain::Unix {
        message.attach_control(CONTROL_BYTES);
    }
    Request::ReceiveMessage {
        socket: socket.resource().raw(),
        message: message.raw_mut(),
        exact: false,
        datagram: true,
    }
}

impl<B: BuffersMut> Sealed for ReceiveFrom<B> {}

impl<B: BuffersMut> Kind for ReceiveFrom<B> {
    type Output = Datagram;
    const OPERATION: Operation = Operation::SocketReceiveFrom;
    const CLASS: Class = Class::Kernel(Lane::Receive);

    fn validate(&mut self, home: Home) -> Result<()> {
        prepare(&self.socket, &mut self.buffer, &mut self.message, home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.socket.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.message.length(), exact: false, flow: Flow::Received }
    }

    fn request(&mut self, _: usize) -> Request {
        request(&self.socket, &mut self.message)
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<Datagram> {
        Ok(Datagram::of(&self.message, value))
    }
}

/// Receives datagrams again and again into the operation's own buffer, one outcome each, until it is cancelled, the
/// socket is closed, or a receive fails: a multishot operation.
///
/// The buffer is the same every time: look at it in [`Complete::more`](super::Complete::more), and take what is needed.
/// No backend receives while the callback runs: the proactor asks again after it, on every backend.
///
/// Path: one request an outcome on every backend, as of [`ReceiveFrom`]; the kernel's own multishot receive takes
/// buffers of a pool alone ([`ReceiveFromPooledMany`](super::ReceiveFromPooledMany)).
///
/// ```
/// use proact::operation::{Complete, Context, Op, Outcome, ReceiveFromMany};
/// use proact::resource::Socket;
///
/// type Hear = ReceiveFromMany<Vec<u8>>;
/// struct Shown;
///
/// impl Complete<Hear> for Shown {
///     fn more(&mut self, kind: &Hear, outcome: Outcome<Hear>, _: &mut Context<'_>) {
///         if let Ok(datagram) = outcome.result {
///             println!("{}: {:?}", datagram.sender, &kind.buffer[..datagram.length]);
///         }
///     }
///     fn done(_: Box<Op<Hear, Self>>, _: Outcome<Hear>, _: &mut Context<'_>) {}
/// }
///
/// fn hear(socket: Socket) -> Box<Op<Hear, Shown>> {
///     Op::new(ReceiveFromMany::new(socket, vec![0; 1500]), Shown)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ReceiveFromMany<B> {
    /// The socket: of datagrams.
    pub socket: Socket,
    /// Where the bytes go.
    pub buffer: B,
    message: Message,
}

impl<B: BuffersMut> ReceiveFromMany<B> {
    /// Receives what comes, at most the buffer's length at a time.
    pub fn new(socket: Socket, buffer: B) -> ReceiveFromMany<B> {
        let ReceiveFrom { socket, buffer, message } = ReceiveFrom::new(socket, buffer);
        ReceiveFromMany { socket, buffer, message }
    }
}

impl<B: BuffersMut> Sealed for ReceiveFromMany<B> {}

impl<B: BuffersMut> Kind for ReceiveFromMany<B> {
    type Output = Datagram;
    const OPERATION: Operation = Operation::SocketReceiveFrom;
    const CLASS: Class = Class::Kernel(Lane::Receive);
    const MULTISHOT: bool = true;

    fn validate(&mut self, home: Home) -> Result<()> {
        prepare(&self.socket, &mut self.buffer, &mut self.message, home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.socket.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.message.length(), exact: false, flow: Flow::Received }
    }

    fn request(&mut self, _: usize) -> Request {
        request(&self.socket, &mut self.message)
    }

    fn settle_more(&self, value: i64, _: Home) -> Result<Datagram> {
        Ok(Datagram::of(&self.message, value))
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<Datagram> {
        Ok(Datagram::of(&self.message, value))
    }
}
