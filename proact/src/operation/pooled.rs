//! Receiving into buffers of a pool.

use std::fmt;
use std::sync::Arc;

use super::kind::{Class, Flow, Kind, Transfer, sealed::Sealed};
use crate::backend::{BufferSource, DATAGRAM_ADDRESS_ROOM, DATAGRAM_HEADER, RawAddress, RawMessage, Request};
use crate::memory::{Access, BufferPool, Lease};
use crate::resource::{Address, Domain, Home, Lane, Resource, Socket, SocketType};
use crate::status::{Code, Operation, Result, Status};

/// In the result that the engine hands on: a buffer was filled, whose number stands above the count.
pub(super) const BUFFERED: i64 = 1 << 62;
pub(super) const BUFFER_SHIFT: u32 = 32;
const BUFFER_MASK: i64 = (1 << 24) - 1;

/// Receives what is there into a buffer of a pool, taken when there is something to put into it: a thousand idle
/// connections hold no buffer. Yields the filled buffer, as long as what came; `None` when that is nothing: the end of
/// a stream, or an empty datagram.
///
/// With an empty pool it waits until a lease is dropped, on whatever thread, and never fails for that: this is how a
/// receiver that is too slow holds up its peers. It takes its place in the stream's queue as a
/// [`Receive`](super::Receive) does.
///
/// On io_uring the kernel takes the buffer itself (buffer rings, Linux 5.19), from a store of at most half of the pool
/// that it is lent while such operations are in flight; elsewhere the proactor takes it when the socket is readable.
///
/// ```
/// # use proact::memory::{BufferPool, Slab};
/// # use proact::operation::{Complete, Context, Op, Outcome, ReceivePooled};
/// struct Print;
/// impl Complete<ReceivePooled> for Print {
///     fn done(_: Box<Op<ReceivePooled, Self>>, outcome: Outcome<ReceivePooled>, _: &mut Context<'_>) {
///         if let Ok(Some(lease)) = outcome.result {
///             println!("{} bytes", lease.len());
///         } // and the buffer goes back
///     }
/// }
/// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// let pool = BufferPool::new(Slab::allocate(4096, 64, &Default::default()).unwrap()).unwrap();
/// # let socket = proactor.handle().socket(proact::resource::Domain::Ipv4, &Default::default()).unwrap();
/// proactor.submit(Op::new(ReceivePooled::new(socket, &pool), Print)).unwrap();
/// # proactor.run().unwrap();
/// ```
pub struct ReceivePooled {
    common: Common,
}

/// Receives again and again into buffers of a pool, one outcome each, until the end of the stream: a multishot
/// operation. Yields the filled buffers; the last outcome of a stream that ended is `None`. On a datagram socket, where
/// `None` is an empty datagram, it does not end by itself.
///
/// All that is said of [`ReceivePooled`] holds. On io_uring one entry serves the whole stream (Linux 6.0); elsewhere
/// the proactor asks again after each outcome.
///
/// ```
/// use proact::memory::{Allocation, BufferPool, Slab};
/// use proact::operation::{Chain, Close, Complete, Context, Op, Outcome, ReceivePooledMany, Send};
/// use proact::resource::SocketType;
///
/// struct Count(usize);
///
/// impl Complete<ReceivePooledMany> for Count {
///     fn more(&mut self, _: &ReceivePooledMany, outcome: Outcome<ReceivePooledMany>, _: &mut Context<'_>) {
///         if let Ok(Some(lease)) = outcome.result {
///             self.0 += lease.len();
///         } // and the buffer goes back
///     }
///     fn done(op: Box<Op<ReceivePooledMany, Self>>, outcome: Outcome<ReceivePooledMany>, _: &mut Context<'_>) {
///         assert!(outcome.result.unwrap().is_none(), "the end of the stream");
///         assert_eq!(op.state.0, 5);
///     }
/// }
///
/// let mut proactor = proact::proactor::Builder::new().build()?;
/// let (left, right) = proactor.handle().socket_pair(SocketType::Stream)?;
/// let pool = BufferPool::new(Slab::allocate(4096, 64, &Allocation::new())?)?;
/// proactor.submit(Op::new(ReceivePooledMany::new(right, &pool), Count(0))).unwrap();
/// let send = Op::new(Send::exact(left.clone(), b"hello".as_slice()), ());
/// proactor.submit(Chain::new((send, Op::new(Close::new(left), ())))).unwrap();
/// proactor.run()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
pub struct ReceivePooledMany {
    common: Common,
}

#[derive(Clone)]
struct Common {
    socket: Socket,
    pool: BufferPool,
    source: Arc<dyn BufferSource>,
}

impl Common {
    fn new(socket: Socket, pool: &BufferPool) -> Common {
        Common { socket, pool: pool.clone(), source: pool.source() }
    }

    fn request(&self, multishot: bool) -> Request {
        Request::ReceivePooled { socket: self.socket.resource().raw(), source: &raw const self.source, multishot }
    }

    /// The buffer that `value` names, as far as it was filled.
    fn buffer(&self, value: i64) -> Option<Lease> {
        let (length, index) = (value as u32, ((value >> BUFFER_SHIFT) & BUFFER_MASK) as u32);
        if value & BUFFERED == 0 {
            return None;
        }
        // SAFETY: the backend took this buffer from the pool, filled so much of it, and names it in this one
        // completion; or it fills it in parts, holds it for each, and names each of them once and in their order.
        Some(unsafe {
            if self.pool.fills_in_parts() {
                self.pool.adopt_next(index, length)
            } else {
                self.pool.adopt(index, length)
            }
        })
    }

    fn is_stream(&self) -> bool {
        self.socket.socket_type() == SocketType::Stream
    }

    /// What fills nothing takes no buffer: the kernel may have taken one all the same, and it goes straight back.
    fn lease(&self, value: i64) -> Option<Lease> {
        self.buffer(value).filter(|lease| !lease.is_empty())
    }
}

const WHOLE: Transfer = Transfer { length: usize::MAX - 1, exact: false, flow: Flow::Received };

macro_rules! pooled {
    ($name:ident, $multishot:literal) => {
        impl $name {
            /// Receives from `socket` into buffers of `pool`.
            pub fn new(socket: Socket, pool: &BufferPool) -> $name {
                $name { common: Common::new(socket, pool) }
            }

            /// The socket.
            pub fn socket(&self) -> &Socket {
                &self.common.socket
            }

            /// The pool.
            pub fn pool(&self) -> &BufferPool {
                &self.common.pool
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("socket", &self.common.socket).finish_non_exhaustive()
            }
        }

        impl Sealed for $name {}

        impl Kind for $name {
            type Output = Option<Lease>;
            const OPERATION: Operation = Operation::SocketReceive;
            const CLASS: Class = Class::Kernel(Lane::Receive);
            const MULTISHOT: bool = $multishot;

            fn validate(&mut self, home: Home) -> Result<()> {
                self.common.pool.slab().access().check(Access::WRITE, Self::OPERATION)?;
                self.common.socket.resource().check(home, Self::OPERATION)
            }

            fn resource(&self) -> Option<&Resource> {
                Some(self.common.socket.resource())
            }

            fn transfer(&self) -> Transfer {
                WHOLE
            }

            fn request(&mut self, _: usize) -> Request {
                self.common.request($multishot)
            }

            fn pool(&self) -> Option<&BufferPool> {
                Some(&self.common.pool)
            }

            fn is_last(&self, value: i64) -> bool {
                value as u32 == 0 && self.common.is_stream()
            }

            fn settle_more(&self, value: i64, _: Home) -> Result<Option<Lease>> {
                Ok(self.common.lease(value))
            }

            fn settle(&mut self, value: i64, _: Home) -> Result<Option<Lease>> {
                Ok(self.common.lease(value))
            }
        }
    };
}

pooled!(ReceivePooled, false);
pooled!(ReceivePooledMany, true);

/// Receives datagrams again and again into buffers of a pool, with their senders, until it is cancelled, the socket is
/// closed, or a receive fails: a multishot operation.
///
/// A part of each buffer ([`ReceiveFromPooledMany::OVERHEAD`] bytes) holds what is said about the datagram. With an
/// empty pool it waits, and the system drops what its own buffer has no room for, as it is with datagrams. On io_uring
/// one entry serves the socket for ever (Linux 6.0); elsewhere the proactor asks again after each outcome.
///
/// ```
/// # use proact::operation::{Complete, Context, Op, Outcome, ReceiveFromPooledMany};
/// struct Print;
/// impl Complete<ReceiveFromPooledMany> for Print {
///     fn more(
///         &mut self,
///         _: &ReceiveFromPooledMany,
///         outcome: Outcome<ReceiveFromPooledMany>,
///         _: &mut Context<'_>,
///     ) {
///         let datagram = outcome.result.unwrap();
///         println!("{} bytes from {}", datagram.bytes.len(), datagram.sender);
///     }
///     fn done(_: Box<Op<ReceiveFromPooledMany, Self>>, _: Outcome<ReceiveFromPooledMany>, _: &mut Context<'_>) {}
/// }
/// ```
pub struct ReceiveFromPooledMany {
    common: Common,
    /// The `msghdr` that says how the kernel lays a datagram out. It only reads it.
    message: RawMessage,
}

// SAFETY: the message names no buffer: its pointers are null, and what the header in its room holds are lengths.
unsafe impl Send for ReceiveFromPooledMany {}
// SAFETY: as above; a shared one only gives its socket and pool to be looked at.
unsafe impl Sync for ReceiveFromPooledMany {}

/// A datagram in a buffer of a pool.
#[derive(Debug)]
pub struct PooledDatagram {
    /// Its bytes.
    pub bytes: Lease,
    /// Who sent it; [`Address::Unnamed`] for a Unix socket that never bound.
    pub sender: Address,
    /// It was longer than the buffer, and its rest is lost.
    pub truncated: bool,
    /// Several datagrams of one sender were handed over as one, each of so many bytes, the last of what is left. Only
    /// after [`Socket::set_receive_offload`].
    pub segment: Option<usize>,
}

/// Room for the one control message of a datagram: how long its segments are.
#[cfg(any(target_os = "linux", target_os = "android"))]
// SAFETY: it only computes.
const CONTROL_ROOM: usize = unsafe { libc::CMSG_SPACE(4) } as usize;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CONTROL_ROOM: usize = 24;

/// `MSG_TRUNC`, in what the system says of a datagram.
#[cfg(unix)]
const TRUNCATED: usize = libc::MSG_TRUNC as usize;
#[cfg(not(unix))]
const TRUNCATED: usize = 0x20;

impl ReceiveFromPooledMany {
    /// Bytes of each buffer that hold no part of the datagram, at most.
    pub const OVERHEAD: usize = DATAGRAM_HEADER + DATAGRAM_ADDRESS_ROOM + CONTROL_ROOM;

    /// Receives from `socket` into buffers of `pool`.
    pub fn new(socket: Socket, pool: &BufferPool) -> ReceiveFromPooledMany {
        ReceiveFromPooledMany { common: Common::new(socket, pool), message: RawMessage::EMPTY }
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.common.socket
    }

    /// The pool.
    pub fn pool(&self) -> &BufferPool {
        &self.common.pool
    }

    /// Room for control messages. None for a Unix socket, which has no segments to tell of: what its peer can put there
    /// are descriptors, which the kernel would install in this process for no one. Without room it closes them.
    fn control_room(&self) -> usize {
        if self.common.socket.domain() == Domain::Unix { 0 } else { CONTROL_ROOM }
    }

    fn datagram(&self, value: i64) -> Result<PooledDatagram> {
        let malformed = || Status::new(Code::Internal, Self::OPERATION).with_message("a datagram without its header");
        let mut bytes = self.common.buffer(value).ok_or_else(malformed)?;
        let control_at = DATAGRAM_HEADER + DATAGRAM_ADDRESS_ROOM;
        let control_room = self.control_room();
        if bytes.len() < control_at + control_room {
            return Err(malformed());
        }
        let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]) as usize;
        let (name, control, flags) = (word(0), word(4), word(12));
        let mut address = RawAddress::EMPTY;
        address.bytes.copy_from_slice(&bytes[DATAGRAM_HEADER..DATAGRAM_HEADER + DATAGRAM_ADDRESS_ROOM]);
        address.length = name.min(DATAGRAM_ADDRESS_ROOM) as u32;
        let sender = Address::from_raw(&address).unwrap_or(Address::Unnamed);
        let segment = segment_of(&bytes[control_at..control_at + control.min(control_room)]);
        bytes.advance(control_at + control_room);
        let segment = segment.filter(|&segment| segment < bytes.len());
        Ok(PooledDatagram { truncated: flags & TRUNCATED != 0, segment, sender, bytes })
    }
}

/// The segments' length that the system tells in a control message, if it does.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn segment_of(control: &[u8]) -> Option<usize> {
    // Copied to where a control message may lie: buffers of a pool are as aligned as their size.
    let mut aligned = [0u64; CONTROL_ROOM.div_ceil(8)];
    let length = control.len();
    // SAFETY: `aligned` is plain bytes, and long enough; what it holds was written by the kernel.
    unsafe {
        let start = aligned.as_mut_ptr().cast::<u8>();
        start.copy_from_nonoverlapping(control.as_ptr(), length);
        let mut segment = None;
        RawMessage::control_messages(start, length, |level, kind, payload| {
            if let (libc::SOL_UDP, libc::UDP_GRO, [a, b, c, d]) = (level, kind, payload) {
                segment = usize::try_from(i32::from_ne_bytes([*a, *b, *c, *d])).ok();
            }
        });
        segment
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn segment_of(_: &[u8]) -> Option<usize> {
    None
}

impl fmt::Debug for ReceiveFromPooledMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceiveFromPooledMany").field("socket", &self.common.socket).finish_non_exhaustive()
    }
}

impl Sealed for ReceiveFromPooledMany {}

impl Kind for ReceiveFromPooledMany {
    type Output = PooledDatagram;
    const OPERATION: Operation = Operation::SocketReceiveFrom;
    const CLASS: Class = Class::Kernel(Lane::Receive);
    const MULTISHOT: bool = true;

    fn validate(&mut self, home: Home) -> Result<()> {
        self.common.pool.slab().access().check(Access::WRITE, Self::OPERATION)?;
        self.common.socket.check_type(SocketType::Datagram, Self::OPERATION)?;
        if self.common.pool.buffer_size() as usize <= Self::OVERHEAD {
            let why = format!("buffers of {} bytes, which what is said of a datagram fills", Self::OVERHEAD);
            return Err(Status::new(Code::InvalidArgument, Self::OPERATION).with_message(why));
        }
        self.common.socket.resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.common.socket.resource())
    }

    fn transfer(&self) -> Transfer {
        WHOLE
    }

    fn request(&mut self, _: usize) -> Request {
        let control_room = self.control_room();
        Request::ReceiveMessagePooled {
            socket: self.common.socket.resource().raw(),
            source: &raw const self.common.source,
            message: self.message.rooms(DATAGRAM_ADDRESS_ROOM, control_room),
            control_room: control_room as u32,
        }
    }

    fn pool(&self) -> Option<&BufferPool> {
        Some(&self.common.pool)
    }

    fn settle_more(&self, value: i64, _: Home) -> Result<PooledDatagram> {
        self.datagram(value)
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<PooledDatagram> {
        self.datagram(value)
    }
}
