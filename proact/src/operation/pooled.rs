//! Receiving into buffers of a pool.

use std::fmt;
use std::sync::Arc;

use super::kind::{Class, Flow, Kind, Transfer, sealed::Sealed};
use crate::backend::{BufferSource, Request};
use crate::memory::{BufferPool, Lease};
use crate::resource::{Home, Lane, Resource, Socket};
use crate::status::{Operation, Result};

/// In the result that the engine hands on: a buffer was filled, whose number stands above the count.
pub(super) const BUFFERED: i64 = 1 << 62;
pub(super) const BUFFER_SHIFT: u32 = 32;
const BUFFER_MASK: i64 = (1 << 24) - 1;

/// Receives what is there into a buffer of a pool, taken when there is something to put into it: a thousand idle
/// connections hold no buffer. Yields the filled buffer, as long as what came; `None` at the end of the stream.
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
/// operation. Yields the filled buffers; the last outcome of a stream that ended is `None`.
///
/// All that is said of [`ReceivePooled`] holds. On io_uring one entry serves the whole stream (Linux 6.0); elsewhere the
/// proactor asks again after each outcome.
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
        Common { socket, pool: pool.clone(), source: Arc::new(pool.clone()) }
    }

    fn request(&self, multishot: bool) -> Request {
        Request::ReceivePooled { socket: self.socket.resource().raw(), source: &raw const self.source, multishot }
    }

    fn lease(&self, value: i64) -> Option<Lease> {
        let length = value as u32;
        let index = (value >> BUFFER_SHIFT) & BUFFER_MASK;
        // SAFETY: the backend took this buffer from the pool, filled as much of it, and named it in this one completion.
        let lease = (value & BUFFERED != 0).then(|| unsafe { self.pool.adopt(index as u32, length) });
        // A stream's end fills nothing, and the buffer goes straight back.
        lease.filter(|_| length > 0)
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
                value as u32 == 0
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
