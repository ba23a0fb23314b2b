//! Closing with an answer.

use super::kind::{Class, Kind, sealed::Sealed};
use crate::backend::Request;
use crate::resource::{File, Home, Pollable, Process, Resource, Socket, Stream, Watcher};
use crate::status::{Code, Operation, Result, Status};
use crate::sync::Event;

/// What can be closed.
pub trait Closable: Clone + std::fmt::Debug + 'static + private::AsResource {}

mod private {
    /// Keeps `Closable` to this crate.
    pub trait AsResource {
        #[doc(hidden)]
        fn as_resource(&self) -> &crate::resource::Resource;
    }
}

macro_rules! closable {
    ($($type:ty),*) => {$(
        impl private::AsResource for $type {
            fn as_resource(&self) -> &Resource {
                self.resource()
            }
        }
        impl Closable for $type {}
    )*};
}

closable!(Socket, File, Event, Stream, Pollable, Watcher, Process);

/// Closes a socket, file, event or another resource with a descriptor: from its start on, new operations on it are
/// refused and pending ones cancelled; the descriptor is closed after the last of them has ended; then this completes.
///
/// Other handles to the resource stay, and answer `FailedPrecondition`. The descriptor is gone even when this fails:
/// the error is what the system said of the close (for a file, that written data was lost). Once it has begun, a close
/// is not cancelled.
///
/// | backend | path |
/// |---|---|
/// | io_uring | kernel-native (`IORING_OP_CLOSE`, Linux 5.6) |
/// | in a kernel chain | never |
/// | epoll, poll | a worker thread for what may wait for a disk (files, directories, block devices) |
/// | epoll, poll, all else | `close` on the poll thread |
///
/// # Errors
/// `FailedPrecondition` for what is closed or being closed, `DataLoss` when the system says so.
///
/// ```
/// use proact::operation::{Close, Op};
/// use proact::resource::Socket;
///
/// fn hang_up(socket: Socket) -> Box<Op<Close<Socket>, ()>> {
///     Op::new(Close::new(socket), ())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Close<R: Closable> {
    /// What to close.
    pub resource: R,
    taken: Option<crate::backend::Descriptor>,
}

impl<R: Closable> Close<R> {
    /// Closes `resource`.
    pub fn new(resource: R) -> Close<R> {
        Close { resource, taken: None }
    }
}

impl<R: Closable> Sealed for Close<R> {}

impl<R: Closable> Kind for Close<R> {
    type Output = ();
    const OPERATION: Operation = Operation::Close;
    const CLASS: Class = Class::Close;

    fn validate(&mut self, home: Home) -> Result<()> {
        self.taken = None;
        self.resource.as_resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.resource.as_resource())
    }

    fn request(&mut self, _: usize) -> Request {
        // The engine asks only when nothing is in flight on the resource, and may ask again when the backend was full.
        if self.taken.is_none() {
            self.taken = self.resource.as_resource().take();
        }
        match self.taken {
            Some(descriptor) => Request::Close { descriptor },
            None => Request::Nop,
        }
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        match self.taken.take() {
            Some(_) => Ok(()),
            None => Err(Status::new(Code::FailedPrecondition, Self::OPERATION).with_message("already closed")),
        }
    }
}
