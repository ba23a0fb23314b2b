//! How a stream reaches its proactor.

use std::cell::OnceCell;
use std::time::Duration;

use proact::memory::{Allocation, BufferPool, Slab};
use proact::operation::future::{AnyThread, OperationFuture, Port};
use proact::operation::{Kind, Receive, ReceivePooled, Send};
use proact::proactor::Handle;

use super::finish::{Finishing, finish_here, finish_there};
use crate::runtime::{Current, operation};

/// The way from a stream to its proactor: [`Local`], or a [`Handle`].
///
/// - [`Local`] goes straight to the runtime of this thread. Such a stream stays on its thread.
/// - A [`Handle`] goes from any thread, so a stream is `Send`: for other runtimes, and for what insists on `Send`. On
///   the proactor's own thread it works as well, and costs some hundred nanoseconds more for each operation.
pub trait Route: sealed::Sealed + Clone + Unpin + 'static {
    /// What the futures of its operations go through.
    type Port: Port<ReceivePooled> + Port<Receive<Vec<u8>>> + Port<Send<Vec<u8>>>;
}

/// Straight to the runtime that this thread is running.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local {
    /// Of this thread alone.
    _here: std::marker::PhantomData<*const ()>,
}

impl Route for Local {
    type Port = Current;
}

impl Route for Handle {
    type Port = AnyThread;
}

pub(super) mod sealed {
    use super::{Duration, Finishing, Kind, OperationFuture, Port, Route};

    pub trait Sealed {
        /// A future of `kind`.
        fn future<K>(&self, kind: K) -> OperationFuture<K, Self::Port>
        where
            Self: Route,
            Self::Port: Port<K>,
            K: Kind + std::marker::Send,
            K::Output: std::marker::Send;

        /// Lets sends go on to their end, for at most `limit`, with nobody waiting for them.
        fn finish(&self, sends: Finishing<Self>, limit: Duration)
        where
            Self: Route;
    }
}

impl sealed::Sealed for Local {
    #[inline]
    fn future<K>(&self, kind: K) -> OperationFuture<K, Current>
    where
        K: Kind,
    {
        operation(kind)
    }

    fn finish(&self, sends: Finishing<Local>, limit: Duration) {
        finish_here(sends, limit);
    }
}

impl sealed::Sealed for Handle {
    fn future<K>(&self, kind: K) -> OperationFuture<K, AnyThread>
    where
        AnyThread: Port<K>,
        K: Kind + std::marker::Send,
        K::Output: std::marker::Send,
    {
        Handle::future(self, kind)
    }

    fn finish(&self, sends: Finishing<Handle>, limit: Duration) {
        finish_there(self, sends, limit);
    }
}

/// Bytes of a buffer of the pools that are made here: what a TLS record has, or a busy connection's receive.
const BUFFER_SIZE: usize = 16 * 1024;
/// Buffers of such a pool. Memory that no receive ever reached is not there.
const BUFFERS: u32 = 256;

/// A pool for receives, as [`this_threads_pool`] makes it: 256 buffers of 16 KiB.
pub(crate) fn receive_pool() -> proact::status::Result<BufferPool> {
    BufferPool::new(Slab::allocate(BUFFER_SIZE, BUFFERS, &Allocation::new())?)
}

/// The pool of all local streams of this thread that were given none.
pub(super) fn this_threads_pool() -> BufferPool {
    thread_local! {
        static POOL: OnceCell<BufferPool> = const { OnceCell::new() };
    }
    POOL.with(|pool| {
        pool.get_or_init(|| receive_pool().unwrap_or_else(|status| panic!("no memory to receive into: {status}")))
            .clone()
    })
}
