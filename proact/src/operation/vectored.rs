//! Streams, several buffers at once.

use super::gather::Message;
use super::kind::{Class, Flow, Kind, Transfer, sealed::Sealed};
use crate::backend::Request;
use crate::memory::{Access, StableBytes, StableBytesMut};
use crate::resource::{Home, Lane, Resource, Socket};
use crate::status::{Operation, Result};

/// Sends several buffers as one run of bytes, in their order, without copying them together first. Yields how many
/// bytes.
///
/// Any number of buffers: the kernel takes 1024 at a time, and the operation goes on from there. It stands in the
/// socket's queue of sends as a [`Send`](super::Send) does, and in a chain it may be handed to the kernel. Path:
/// kernel-native on io_uring (`sendmsg` from the ring), the system call upon readiness elsewhere.
///
/// # Errors
/// As for [`Send`](super::Send); at submit also `InvalidArgument` for a datagram socket.
///
/// ```
/// use proact::operation::{Op, SendVectored};
/// use proact::resource::Socket;
///
/// fn answer(socket: Socket, head: Vec<u8>, body: Vec<u8>) -> Box<Op<SendVectored<Vec<u8>>, ()>> {
///     Op::new(SendVectored::exact(socket, vec![head, body]), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SendVectored<B> {
    /// The socket: a stream.
    pub socket: Socket,
    /// The bytes. Empty buffers are allowed.
    pub buffers: Vec<B>,
    exact: bool,
    more: bool,
    message: Message,
}

impl<B: StableBytes> SendVectored<B> {
    /// Sends all of the buffers.
    pub fn exact(socket: Socket, buffers: Vec<B>) -> SendVectored<B> {
        SendVectored { message: Message::new(buffers.len(), 0), socket, buffers, exact: true, more: false }
    }

    /// Sends what the kernel takes at once, from the first buffer on.
    pub fn some(socket: Socket, buffers: Vec<B>) -> SendVectored<B> {
        SendVectored { exact: false, ..SendVectored::exact(socket, buffers) }
    }

    /// Says that more follows at once, so that the kernel may wait and fill its segments (`MSG_MORE`).
    #[must_use]
    pub fn more(mut self) -> SendVectored<B> {
        self.more = true;
        self
    }
}

impl<B: StableBytes> Sealed for SendVectored<B> {}

impl<B: StableBytes> Kind for SendVectored<B> {
    type Output = usize;
    const OPERATION: Operation = Operation::SocketSendVectored;
    const CLASS: Class = Class::Kernel(Lane::Send);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.socket.check_type(crate::resource::SocketType::Stream, Self::OPERATION)?;
        self.message.gather(&self.buffers);
        self.message.check_access(Access::READ, Self::OPERATION)?;
        self.socket.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.socket.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.message.length(), exact: self.exact, flow: Flow::Sent }
    }

    fn request(&mut self, progress: usize) -> Request {
        Request::SendMessage {
            socket: self.socket.resource().raw(),
            message: self.message.after(progress),
            exact: self.exact,
            more: self.more,
            datagram: false,
        }
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }
}

/// Receives into several buffers, each filled before the next. Yields how many bytes.
///
/// Any number of buffers; order and paths as for [`SendVectored`].
///
/// # Errors
/// As for [`Receive`](super::Receive).
///
/// ```
/// use proact::operation::{Op, ReceiveVectored};
/// use proact::resource::Socket;
///
/// fn head_and_body(socket: Socket) -> Box<Op<ReceiveVectored<Vec<u8>>, ()>> {
///     Op::new(ReceiveVectored::exact(socket, vec![vec![0; 16], vec![0; 4096]]), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ReceiveVectored<B> {
    /// The socket: a stream.
    pub socket: Socket,
    /// Where the bytes go. Empty buffers are allowed.
    pub buffers: Vec<B>,
    exact: bool,
    message: Message,
}

impl<B: StableBytesMut> ReceiveVectored<B> {
    /// Fills all of the buffers; an end of the stream before that is `OutOfRange`.
    pub fn exact(socket: Socket, buffers: Vec<B>) -> ReceiveVectored<B> {
        ReceiveVectored { message: Message::new(buffers.len(), 0), socket, buffers, exact: true }
    }

    /// Receives what is there, at most what the buffers hold; 0 at the end of the stream.
    pub fn some(socket: Socket, buffers: Vec<B>) -> ReceiveVectored<B> {
        ReceiveVectored { exact: false, ..ReceiveVectored::exact(socket, buffers) }
    }
}

impl<B: StableBytesMut> Sealed for ReceiveVectored<B> {}

impl<B: StableBytesMut> Kind for ReceiveVectored<B> {
    type Output = usize;
    const OPERATION: Operation = Operation::SocketReceiveVectored;
    const CLASS: Class = Class::Kernel(Lane::Receive);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.socket.check_type(crate::resource::SocketType::Stream, Self::OPERATION)?;
        self.message.scatter(&mut self.buffers);
        self.message.check_access(Access::WRITE, Self::OPERATION)?;
        self.socket.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.socket.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.message.length(), exact: self.exact, flow: Flow::Received }
    }

    fn request(&mut self, progress: usize) -> Request {
        let socket = self.socket.resource().raw();
        Request::ReceiveMessage { socket, message: self.message.after(progress), exact: self.exact, datagram: false }
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }
}
