//! Stream sockets: accept, connect, receive, send.

use super::kind::{Class, Flow, Kind, Transfer, sealed::Sealed};
use crate::backend::{Descriptor, RawAddress, Request, TRANSFER_MAX};
use crate::memory::{Access, StableBytes, StableBytesMut};
use crate::resource::{Address, Home, Lane, Resource, Socket, SocketType};
use crate::status::{Code, Operation, Result, Status};

/// Accepts one connection from a listener.
///
/// The connection belongs to the listener's proactor and is closed on exec. An accept that was cancelled too late has
/// its connection adopted, and tells it.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_ACCEPT`, Linux 5.5) |
/// | in a kernel chain | as any step |
/// | epoll, poll | `accept4` on the poll thread when the listener is readable |
///
/// # Errors
/// `ResourceExhausted` when no descriptor is left to the process or the system, `Unavailable` when the connection was
/// gone before it was accepted, `InvalidArgument` for a socket that does not listen. The listener stays usable after
/// any.
///
/// ```
/// use proact::operation::{Accept, Complete, Connect, Context, Op, Outcome};
/// use proact::resource::{Domain, SocketOptions};
///
/// struct Greet;
///
/// impl Complete<Accept> for Greet {
///     fn done(_: Box<Op<Accept, Self>>, outcome: Outcome<Accept>, _: &mut Context<'_>) {
///         println!("from {}", outcome.result.unwrap().peer());
///     }
/// }
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let options = SocketOptions::default();
/// let listener = proactor.handle().listen(&"127.0.0.1:0".parse()?, &options)?;
/// let client = proactor.handle().socket(Domain::Ipv4, &options)?;
/// let connect = Connect::new(client, listener.local_address()?);
/// proactor.submit((Op::new(Accept::new(listener), Greet), Op::new(connect, ()))).unwrap();
/// proactor.run()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Debug)]
pub struct Accept {
    listener: Socket,
    peer: RawAddress,
}

/// What an accept yields.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The connection.
    pub socket: Socket,
    /// Who connected, where the accept was told it.
    peer: Option<Address>,
}

impl Accepted {
    /// Who connected. An [`Accept`] is told it with the connection, for good. Of one that [`AcceptMany`] accepted the
    /// system is asked here, by a system call each time, and knows it as long as the connection lasts: it is
    /// [`Address::Unnamed`] when that was reset, or has been ended by both sides, or when the socket has been closed.
    /// [`Socket::peer_address`] says which.
    pub fn peer(&self) -> Address {
        match &self.peer {
            Some(peer) => peer.clone(),
            None => self.socket.peer_address().unwrap_or(Address::Unnamed),
        }
    }
}

impl Accept {
    /// Accepts from `listener`.
    pub fn new(listener: Socket) -> Accept {
        Accept { listener, peer: RawAddress::EMPTY }
    }
}

impl Sealed for Accept {}

impl Kind for Accept {
    type Output = Accepted;
    const OPERATION: Operation = Operation::SocketAccept;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.listener.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.listener.resource())
    }

    fn request(&mut self, _: usize) -> Request {
        self.peer = RawAddress::EMPTY;
        Request::Accept { listener: self.listener.resource().raw(), peer: &raw mut self.peer, multishot: false }
    }

    fn settle(&mut self, value: i64, home: Home) -> Result<Accepted> {
        // The descriptor is adopted first: nothing that fails after this can lose it.
        let socket = self.listener.accepted(home, Descriptor(value));
        let peer = Address::from_raw(&self.peer)?;
        Ok(Accepted { socket, peer: Some(peer) })
    }
}

/// Accepts connections from a listener, one outcome each, until it is cancelled, the listener is closed, or an accept
/// fails: a multishot operation.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native: one entry goes on accepting (Linux 5.19; `KERNEL_MULTISHOT`) |
/// | io_uring without that | one entry a connection |
/// | epoll, poll | `accept4` on the poll thread when the listener is readable, again after each |
///
/// The peer's address is asked of the connection when [`Accepted::peer`] is called, and not before: a server that is to
/// name peers which are gone again soon asks in its callback.
///
/// # Errors
/// As for [`Accept`]; the first ends it, and the listener stays usable.
///
/// ```
/// use proact::operation::{AcceptMany, Complete, Context, Op, Outcome};
/// use proact::resource::Socket;
///
/// #[derive(Default)]
/// struct Server(Vec<Socket>);
///
/// impl Complete<AcceptMany> for Server {
///     fn more(&mut self, _: &AcceptMany, outcome: Outcome<AcceptMany>, _: &mut Context<'_>) {
///         self.0.extend(outcome.result.map(|accepted| accepted.socket));
///     }
///     fn done(_: Box<Op<AcceptMany, Self>>, outcome: Outcome<AcceptMany>, _: &mut Context<'_>) {
///         println!("no more: {:?}", outcome.result.err());
///     }
/// }
///
/// fn serve(listener: Socket) -> Box<Op<AcceptMany, Server>> {
///     Op::new(AcceptMany::new(listener), Server::default())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct AcceptMany {
    listener: Socket,
}

impl AcceptMany {
    /// Accepts from `listener`.
    pub fn new(listener: Socket) -> AcceptMany {
        AcceptMany { listener }
    }
}

impl Sealed for AcceptMany {}

impl Kind for AcceptMany {
    type Output = Accepted;
    const OPERATION: Operation = Operation::SocketAccept;
    const CLASS: Class = Class::Kernel(Lane::Other);
    const MULTISHOT: bool = true;

    fn validate(&mut self, home: Home) -> Result<()> {
        self.listener.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.listener.resource())
    }

    fn request(&mut self, _: usize) -> Request {
        let listener = self.listener.resource().raw();
        Request::Accept { listener, peer: std::ptr::null_mut(), multishot: true }
    }

    fn settle_more(&self, value: i64, home: Home) -> Result<Accepted> {
        let socket = self.listener.accepted(home, Descriptor(value));
        // Of an operation that goes on the kernel tells no address, and many a server never asks for it.
        Ok(Accepted { socket, peer: None })
    }

    fn settle(&mut self, value: i64, home: Home) -> Result<Accepted> {
        self.settle_more(value, home)
    }
}

/// Receives again and again into the operation's own buffer, one outcome each, until the end of the stream: a multishot
/// operation. Yields how many bytes; the last outcome of a stream that ended is 0.
///
/// The buffer is the same every time: look at it in [`Complete::more`](super::Complete::more), where it is lent
/// ([`ReceiveMany::buffer`]), and take what is needed. The kernel has no such operation for a buffer of one's own. No
/// backend receives while the callback runs. For many connections, or buffers to keep, receive from a pool.
///
/// | backend | path |
/// |---|---|
/// | io_uring | one entry an outcome (`IORING_OP_RECV`, Linux 5.6) |
/// | epoll, poll | `recv` on the poll thread when the socket is readable |
///
/// # Errors
/// As for [`Receive`]; at submit also `InvalidArgument` for an empty buffer.
///
/// ```
/// use proact::operation::{Complete, Context, Op, Outcome, ReceiveMany};
/// use proact::resource::Socket;
///
/// type Lines = ReceiveMany<Vec<u8>>;
/// struct Echo;
///
/// impl Complete<Lines> for Echo {
///     fn more(&mut self, kind: &Lines, outcome: Outcome<Lines>, _: &mut Context<'_>) {
///         if let Ok(count) = outcome.result {
///             println!("{:?}", &kind.buffer[..count]);
///         }
///     }
///     fn done(_: Box<Op<Lines, Self>>, _: Outcome<Lines>, _: &mut Context<'_>) {}
/// }
///
/// fn listen(socket: Socket) -> Box<Op<Lines, Echo>> {
///     Op::new(ReceiveMany::new(socket, vec![0; 4096]), Echo)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ReceiveMany<B> {
    /// The socket.
    pub socket: Socket,
    /// Where the bytes go.
    pub buffer: B,
}

impl<B: StableBytesMut> ReceiveMany<B> {
    /// Receives what comes, at most the buffer's length at a time.
    pub fn new(socket: Socket, buffer: B) -> ReceiveMany<B> {
        ReceiveMany { socket, buffer }
    }
}

impl<B: StableBytesMut> Sealed for ReceiveMany<B> {}

impl<B: StableBytesMut> Kind for ReceiveMany<B> {
    type Output = usize;
    const OPERATION: Operation = Operation::SocketReceive;
    const CLASS: Class = Class::Kernel(Lane::Receive);
    const MULTISHOT: bool = true;

    fn validate(&mut self, home: Home) -> Result<()> {
        if self.buffer.is_empty() {
            return Err(Status::new(Code::InvalidArgument, Self::OPERATION).with_message("an empty buffer"));
        }
        self.buffer.access().check(Access::WRITE, Self::OPERATION)?;
        self.socket.check_type(SocketType::Stream, Self::OPERATION)?;
        self.socket.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.socket.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.buffer.len(), exact: false, flow: Flow::Received }
    }

    fn request(&mut self, _: usize) -> Request {
        Request::Receive {
            socket: self.socket.resource().raw(),
            buffer: self.buffer.as_mut_ptr(),
            length: self.buffer.len().min(TRANSFER_MAX),
            exact: false,
        }
    }

    fn is_last(&self, value: i64) -> bool {
        value == 0
    }

    fn settle_more(&self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }
}

/// Connects a socket: a stream to its peer, or a datagram socket to the one that it speaks with from then on.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_CONNECT`, Linux 5.5) |
/// | in a kernel chain | as the first step |
/// | epoll, poll | `connect` on the poll thread, and its result when the socket is writable |
///
/// Path: the kernel itself on io_uring (Linux 5.5), the system call upon readiness on epoll and poll.
///
/// # Errors
/// `Unavailable` when nobody listens or there is no way, `DeadlineExceeded` when the system gave up. Make a new socket
/// to try again: a system need not let one that failed try twice. None of these is the socket's [own
/// failure](Socket::failure).
///
/// ```
/// use proact::operation::{Chain, Connect, Op, Send};
/// use proact::resource::{Address, Domain, SocketOptions};
///
/// fn greet(proactor: &mut proact::proactor::Proactor, peer: Address) -> proact::status::Result {
///     let socket = proactor.handle().socket(Domain::of(&peer), &SocketOptions::default())?;
///     let connect = Op::new(Connect::new(socket.clone(), peer), ());
///     let send = Op::new(Send::exact(socket, b"hello".as_slice()), ());
///     proactor.submit(Chain::new((connect, send))).map_err(|refused| refused.status)?;
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Connect {
    socket: Socket,
    address: Address,
    raw: RawAddress,
}

impl Connect {
    /// Connects `socket` to `address`.
    pub fn new(socket: Socket, address: Address) -> Connect {
        Connect { socket, address, raw: RawAddress::EMPTY }
    }
}

impl Sealed for Connect {}

impl Kind for Connect {
    type Output = ();
    const OPERATION: Operation = Operation::SocketConnect;
    const CLASS: Class = Class::Kernel(Lane::Send);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.raw = self.address.to_raw()?;
        self.socket.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.socket.resource())
    }

    fn request(&mut self, _: usize) -> Request {
        Request::Connect { socket: self.socket.resource().raw(), address: &raw const self.raw }
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        self.socket.note_connected();
        Ok(())
    }

    fn explain(&self, status: Status) -> Status {
        status.with_context(format!("to {}", self.address))
    }
}

/// Receives into the operation's own buffer. Yields how many bytes.
///
/// Receives of one socket are filled in the order in which they were submitted, each whole before the next begins.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_RECV`, Linux 5.6; an exact one with `MSG_WAITALL`) |
/// | in a kernel chain | an exact one as any step, the other as the last |
/// | epoll, poll | `recv` on the poll thread when the socket is readable |
///
/// # Errors
/// `OutOfRange` when an exact receive meets the end, `Unavailable` when the peer has reset the connection,
/// `FailedPrecondition` for a socket without a peer, the socket's [own failure](Socket::failure). At submit
/// `InvalidArgument` for a datagram socket, or memory that may not be written.
///
/// ```
/// use proact::operation::{Complete, Context, Op, Outcome, Receive, Send};
/// use proact::resource::SocketType;
///
/// type Header = Receive<Vec<u8>>;
/// struct Shown;
///
/// impl Complete<Header> for Shown {
///     fn done(op: Box<Op<Header, Self>>, outcome: Outcome<Header>, _: &mut Context<'_>) {
///         assert_eq!((outcome.result.unwrap(), op.kind.buffer.as_slice()), (4, b"head".as_slice()));
///     }
/// }
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let (left, right) = proactor.handle().socket_pair(SocketType::Stream)?;
/// let receive = Op::new(Receive::exact(right, vec![0; 4]), Shown);
/// proactor.submit((receive, Op::new(Send::exact(left, b"head".as_slice()), ()))).unwrap();
/// proactor.run()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Debug)]
pub struct Receive<B> {
    /// The socket.
    pub socket: Socket,
    /// Where the bytes go.
    pub buffer: B,
    exact: bool,
}

impl<B: StableBytesMut> Receive<B> {
    /// Fills the whole buffer; an end of the stream before that is `OutOfRange`.
    pub fn exact(socket: Socket, buffer: B) -> Receive<B> {
        Receive { socket, buffer, exact: true }
    }

    /// Receives what is there, at most the buffer's length; 0 at the end of the stream.
    pub fn some(socket: Socket, buffer: B) -> Receive<B> {
        Receive { socket, buffer, exact: false }
    }
}

impl<B: StableBytesMut> Sealed for Receive<B> {}

impl<B: StableBytesMut> Kind for Receive<B> {
    type Output = usize;
    const OPERATION: Operation = Operation::SocketReceive;
    const CLASS: Class = Class::Kernel(Lane::Receive);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.buffer.access().check(Access::WRITE, Self::OPERATION)?;
        self.socket.check_type(SocketType::Stream, Self::OPERATION)?;
        self.socket.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.socket.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.buffer.len(), exact: self.exact, flow: Flow::Received }
    }

    fn request(&mut self, progress: usize) -> Request {
        Request::Receive {
            socket: self.socket.resource().raw(),
            buffer: self.buffer.as_mut_ptr().wrapping_add(progress),
            length: (self.buffer.len() - progress).min(TRANSFER_MAX),
            exact: self.exact,
        }
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }
}

/// Sends the operation's own buffer. Yields how many bytes.
///
/// Sends of one socket go out in the order in which they were submitted, each whole before the next begins. After one
/// has failed, the rest are refused with the same failure: the peer would read a stream with a hole. On a connected
/// datagram socket each is one datagram. No signal is raised when the peer is gone.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_SEND`, Linux 5.6); copied |
/// | io_uring, [`Send::zero_copy`] | `IORING_OP_SEND_ZC` (Linux 6.2; `ZERO_COPY_SEND`); copied without it |
/// | in a kernel chain | an exact one as any step, the other as the last |
/// | epoll, poll | `send` on the poll thread when the socket is writable; copied |
///
/// # Errors
/// `Unavailable` when the peer has closed or reset the connection; that or `FailedPrecondition`, as the system has it,
/// for a socket without a peer; the socket's [own failure](Socket::failure). At submit `InvalidArgument` for memory
/// that may not be read.
///
/// ```
/// use proact::operation::{Op, Send};
/// use proact::resource::Socket;
///
/// fn answer(socket: Socket, body: Vec<u8>) -> [Box<Op<Send<Vec<u8>>, ()>>; 2] {
///     let head = Send::exact(socket.clone(), b"200\n".to_vec()).more();
///     [Op::new(head, ()), Op::new(Send::exact(socket, body).zero_copy(), ())]
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Send<B> {
    /// The socket.
    pub socket: Socket,
    /// The bytes.
    pub buffer: B,
    exact: bool,
    more: bool,
    zero_copy: bool,
}

impl<B: StableBytes> Send<B> {
    /// Sends the whole buffer.
    pub fn exact(socket: Socket, buffer: B) -> Send<B> {
        Send { socket, buffer, exact: true, more: false, zero_copy: false }
    }

    /// Sends at most the buffer's length: what the kernel takes at once.
    pub fn some(socket: Socket, buffer: B) -> Send<B> {
        Send { socket, buffer, exact: false, more: false, zero_copy: false }
    }

    /// Says that more follows at once, so that the kernel may wait and fill its segments (`MSG_MORE`).
    #[must_use]
    pub fn more(mut self) -> Send<B> {
        self.more = true;
        self
    }
}

impl<B: StableBytes> Send<B> {
    /// Sends from the buffer itself, without a copy, where the backend can (`ZERO_COPY_SEND`; a plain send elsewhere):
    /// worth it from some 10 KiB up. [`Outcome::zero_copy`](super::Outcome::zero_copy) is the kernel's own report of
    /// whether it did: over loopback, and on hardware that cannot, it copies.
    ///
    /// The outcome comes when the kernel has let go of the buffer, which for TCP is when the peer has acknowledged it.
    /// Sends behind this one do not wait for that. A cancel, and a close of the socket, do: as long as a peer neither
    /// reads nor goes away. A socket that knows no such sends (a Unix one) copies.
    #[must_use]
    pub fn zero_copy(mut self) -> Send<B> {
        self.zero_copy = true;
        self
    }
}

impl<B: StableBytes> Sealed for Send<B> {}

impl<B: StableBytes> Kind for Send<B> {
    type Output = usize;
    const OPERATION: Operation = Operation::SocketSend;
    const CLASS: Class = Class::Kernel(Lane::Send);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.buffer.access().check(Access::READ, Self::OPERATION)?;
        self.socket.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.socket.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.buffer.len(), exact: self.exact, flow: Flow::Sent }
    }

    fn request(&mut self, progress: usize) -> Request {
        Request::Send {
            socket: self.socket.resource().raw(),
            buffer: self.buffer.as_ptr().wrapping_add(progress),
            length: (self.buffer.len() - progress).min(TRANSFER_MAX),
            exact: self.exact,
            more: self.more,
            zero_copy: self.zero_copy,
        }
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }
}
