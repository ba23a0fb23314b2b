//! Descriptors that go from one process to another with a message (`SCM_RIGHTS`).

use std::os::fd::{AsRawFd, OwnedFd};

use super::gather::{Buffers, BuffersMut, Message};
use super::kind::{Class, Flow, Kind, Transfer, sealed::Sealed};
use crate::backend::{RawMessage, Request};
use crate::memory::Access;
use crate::resource::{Address, Domain, Home, Lane, Resource, Socket, SocketType};
use crate::status::{Code, Operation, Result, Status};

/// Linux's `SCM_MAX_FD`.
const DESCRIPTORS_MAX: usize = 253;

fn refused(operation: Operation, why: impl Into<std::borrow::Cow<'static, str>>) -> Status {
    Status::new(Code::InvalidArgument, operation).with_message(why)
}

/// Sends descriptors over a Unix socket, with at least one byte. Yields how many bytes, which is all of them.
///
/// The receiver gets descriptors of its own for the same files; those here stay open, and come back with the operation.
/// On a stream they arrive with the first of the bytes. Path: kernel-native on io_uring, the system call upon readiness
/// elsewhere.
///
/// # Errors
/// `InvalidArgument` for a socket of another family, no descriptor or more than 253, or no byte.
///
/// ```
/// use std::os::fd::OwnedFd;
///
/// use proact::operation::{Op, SendDescriptors};
/// use proact::resource::Socket;
///
/// fn hand_over(socket: Socket, file: std::fs::File) -> Box<Op<SendDescriptors<Vec<u8>>, ()>> {
///     Op::new(SendDescriptors::new(socket, vec![1], vec![OwnedFd::from(file)]), ())
/// }
/// ```
#[derive(Debug)]
pub struct SendDescriptors<B> {
    /// The socket: a Unix one, stream or datagram.
    pub socket: Socket,
    /// The bytes that they go with.
    pub buffer: B,
    /// What is sent.
    pub descriptors: Vec<OwnedFd>,
    /// To whom, for datagrams; without it, to the peer that the socket is connected to.
    pub address: Option<Address>,
    numbers: Vec<u8>,
    message: Message,
}

impl<B: Buffers> SendDescriptors<B> {
    /// Sends `descriptors` with `buffer` to the socket's peer.
    pub fn new(socket: Socket, buffer: B, descriptors: Vec<OwnedFd>) -> SendDescriptors<B> {
        let mut buffers = 0;
        buffer.each(&mut |_, _| buffers += 1);
        let message = Message::new(buffers, room_for(descriptors.len()).next_multiple_of(8));
        let numbers = Vec::with_capacity(descriptors.len() * 4);
        SendDescriptors { socket, buffer, descriptors, address: None, numbers, message }
    }

    /// Sends to `address` instead: of datagram sockets.
    #[must_use]
    pub fn to(mut self, address: Address) -> SendDescriptors<B> {
        self.address = Some(address);
        self
    }
}

/// Bytes of a control message with so many descriptors, without what it is padded with: with it the kernel would find
/// room for one more.
fn room_for(descriptors: usize) -> usize {
    // SAFETY: it only computes.
    unsafe { libc::CMSG_LEN((descriptors * 4) as u32) as usize }
}

impl<B: Buffers> Sealed for SendDescriptors<B> {}

impl<B: Buffers> Kind for SendDescriptors<B> {
    type Output = usize;
    const OPERATION: Operation = Operation::SocketSendDescriptors;
    const CLASS: Class = Class::Kernel(Lane::Send);

    fn validate(&mut self, home: Home) -> Result<()> {
        if self.socket.domain() != Domain::Unix {
            return Err(refused(Self::OPERATION, "only Unix sockets carry descriptors"));
        }
        if self.descriptors.is_empty() || self.descriptors.len() > DESCRIPTORS_MAX {
            let count = self.descriptors.len();
            return Err(refused(Self::OPERATION, format!("{count} descriptors: expected 1 to {DESCRIPTORS_MAX}")));
        }
        self.message.gather(&self.buffer);
        if let Some(address) = &self.address {
            self.socket.check_type(SocketType::Datagram, Self::OPERATION)?;
            self.message.address(address)?;
        }
        self.message.check_access(Access::READ, Self::OPERATION)?;
        self.message.check_whole(Self::OPERATION)?;
        if self.message.length() == 0 {
            return Err(refused(Self::OPERATION, "descriptors go with at least one byte"));
        }
        self.numbers.clear();
        self.numbers.extend(self.descriptors.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes()));
        self.message.set_control(libc::SOL_SOCKET, libc::SCM_RIGHTS, &self.numbers);
        self.socket.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.socket.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.message.length(), exact: true, flow: Flow::Sent }
    }

    fn request(&mut self, progress: usize) -> Request {
        self.message.after(progress);
        // They went with the first bytes.
        if progress == 0 {
            self.message.attach_control(self.message.control_length());
        }
        let exact = self.socket.socket_type() == SocketType::Stream;
        let socket = self.socket.resource().raw();
        Request::SendMessage { socket, message: self.message.raw_mut(), exact, more: false, datagram: false }
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<usize> {
        Ok(value as usize)
    }
}

/// What arrived. Dropping it closes the descriptors.
#[derive(Debug)]
pub struct ReceivedDescriptors {
    /// How many bytes of the buffer were written; 0 also is the end of a stream.
    pub length: usize,
    /// The descriptors, in the order in which they were sent; closed on exec.
    pub descriptors: Vec<OwnedFd>,
    /// Who sent them, of datagrams; [`Address::Unnamed`] otherwise, and for a sender that never bound.
    pub sender: Address,
    /// The datagram was longer than the buffer, and its rest is lost.
    pub truncated: bool,
    /// More descriptors were sent than there was room for, or than this process may have open: the rest is lost, and
    /// closed by the kernel.
    pub descriptors_lost: bool,
}

/// Receives bytes over a Unix socket, and the descriptors that came with them.
///
/// On a stream one receive stops before bytes that other descriptors came with, so that it is clear what belongs
/// together. A plain [`Receive`](super::Receive) instead loses descriptors: the kernel closes them. Nothing is leaked
/// when the receive is cancelled: either it ends as cancelled and took nothing, or it has arrived and says so.
///
/// Path: kernel-native on io_uring (`recvmsg` from the ring), the system call upon readiness elsewhere.
///
/// # Errors
/// At submit `InvalidArgument` for a socket of another family, and room for none or more than 253. Descriptors that
/// there is no room for are no failure: [`ReceivedDescriptors::descriptors_lost`] says so.
///
/// ```
/// use proact::operation::{Complete, Context, Op, Outcome, ReceiveDescriptors};
/// use proact::resource::Socket;
///
/// type Taking = ReceiveDescriptors<Vec<u8>>;
/// struct Take;
///
/// impl Complete<Taking> for Take {
///     fn done(_: Box<Op<Taking, Self>>, outcome: Outcome<Taking>, cx: &mut Context<'_>) {
///         for descriptor in outcome.result.unwrap().descriptors {
///             println!("{:?}", cx.handle().import_file(descriptor).map_err(|returned| returned.status));
///         }
///     }
/// }
///
/// fn take(socket: Socket) -> Box<Op<Taking, Take>> {
///     Op::new(ReceiveDescriptors::new(socket, vec![0; 64], 8), Take)
/// }
/// ```
#[derive(Debug)]
pub struct ReceiveDescriptors<B> {
    /// The socket: a Unix one, stream or datagram.
    pub socket: Socket,
    /// Where the bytes go.
    pub buffer: B,
    room: usize,
    spare: Vec<OwnedFd>,
    message: Message,
}

impl<B: BuffersMut> ReceiveDescriptors<B> {
    /// Receives what is there, at most the buffer's length and `room` descriptors (1 to 253).
    pub fn new(socket: Socket, buffer: B, room: usize) -> ReceiveDescriptors<B> {
        let mut buffers = 0;
        buffer.each(&mut |_, _| buffers += 1);
        let message = Message::new(buffers, room_for(room.min(DESCRIPTORS_MAX)));
        ReceiveDescriptors { socket, buffer, room, spare: Vec::new(), message }
    }
}

impl<B: BuffersMut> Sealed for ReceiveDescriptors<B> {}

impl<B: BuffersMut> Kind for ReceiveDescriptors<B> {
    type Output = ReceivedDescriptors;
    const OPERATION: Operation = Operation::SocketReceiveDescriptors;
    const CLASS: Class = Class::Kernel(Lane::Receive);

    fn validate(&mut self, home: Home) -> Result<()> {
        if self.socket.domain() != Domain::Unix {
            return Err(refused(Self::OPERATION, "only Unix sockets carry descriptors"));
        }
        if self.room == 0 || self.room > DESCRIPTORS_MAX {
            let room = self.room;
            return Err(refused(
                Self::OPERATION,
                format!("room for {room} descriptors: expected 1 to {DESCRIPTORS_MAX}"),
            ));
        }
        self.message.scatter(&mut self.buffer);
        self.message.check_access(Access::WRITE, Self::OPERATION)?;
        self.message.check_whole(Self::OPERATION)?;
        // Now, so that nothing is allocated when they come.
        self.spare.reserve(self.room);
        self.socket.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.socket.resource())
    }

    fn transfer(&self) -> Transfer {
        Transfer { length: self.message.length(), exact: false, flow: Flow::Received }
    }

    fn request(&mut self, _: usize) -> Request {
        self.message.after(0);
        self.message.attach_control(room_for(self.room));
        let socket = self.socket.resource().raw();
        Request::ReceiveMessage { socket, message: self.message.raw_mut(), exact: false, datagram: false }
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<ReceivedDescriptors> {
        let mut descriptors = std::mem::take(&mut self.spare);
        let mut surplus = false;
        let raw = self.message.raw();
        // SAFETY: the room for control messages is the message's own, the kernel has written so much of it, and this is
        // the one time that it is asked.
        unsafe {
            RawMessage::descriptors(raw.control, raw.control_length, |descriptor| {
                if descriptors.len() < self.room {
                    descriptors.push(descriptor);
                } else {
                    surplus = true; // and closed, by being dropped
                }
            });
        }
        Ok(ReceivedDescriptors {
            length: value as usize,
            descriptors,
            sender: Address::from_raw(&raw.address).unwrap_or(Address::Unnamed),
            truncated: self.message.is_truncated(),
            descriptors_lost: surplus || raw.flags & libc::MSG_CTRUNC != 0,
        })
    }
}
