//! Registering descriptors with the proactor.

use std::sync::Arc;

use super::close::Closable;
use super::kind::{Class, Kind, sealed::Sealed};
use super::register::Registered;
use crate::backend::{BufferOwner, Request, registration};
use crate::memory::Fixed;
use crate::resource::{Home, Lane, Resource};
use crate::status::{Code, Operation, Result, Status};

/// Tells the proactor of a socket or file that many operations will use.
///
/// Operations do the same with it as before; on io_uring receives, sends, reads, writes, accepts and syncs do it with
/// less work (two of them took 6% less time over a local socket on Linux 6.18: `proact bench --filter descriptor`),
/// unless they run as steps of a kernel chain. The proactor keeps a handle to the resource until it is
/// [unregistered](UnregisterDescriptor) or [closed](super::Close), or the proactor ends: dropping every other handle
/// does not close it.
///
/// | backend | path |
/// |---|---|
/// | io_uring | a place in the ring's own table (Linux 6.13; capability `REGISTERED_DESCRIPTORS`), of 4096 |
/// | epoll, poll | noted |
///
/// # Errors
/// `AlreadyExists` if it is registered, `ResourceExhausted` when the table is full.
///
/// ```
/// # use proact::operation::{Close, Op, RegisterDescriptor};
/// # use proact::resource::{Domain, SocketOptions};
/// # let mut proactor = proact::proactor::Builder::new().build().unwrap();
/// let socket = proactor.handle().socket(Domain::Ipv4, &SocketOptions::default()).unwrap();
/// proactor.submit(Op::new(RegisterDescriptor::new(socket.clone()), ())).unwrap();
/// proactor.run().unwrap();
/// proactor.submit(Op::new(Close::new(socket), ())).unwrap(); // which also unregisters it
/// proactor.run().unwrap();
/// ```
pub struct RegisterDescriptor<R: Closable> {
    resource: R,
    owner: Arc<dyn BufferOwner>,
    proactor: u32,
}

/// Keeps a resource for a backend.
struct Owner<R>(R);

impl<R: Closable + Send + Sync> BufferOwner for Owner<R> {
    fn unregistered(&self, _: u32) {
        self.0.as_resource().set_place(None);
    }
}

impl<R: Closable + Send + Sync> RegisterDescriptor<R> {
    /// Registers `resource`.
    pub fn new(resource: R) -> RegisterDescriptor<R> {
        RegisterDescriptor { owner: Arc::new(Owner(resource.clone())), resource, proactor: 0 }
    }
}

impl<R: Closable + Send + Sync> Sealed for RegisterDescriptor<R> {}

impl<R: Closable + Send + Sync> Kind for RegisterDescriptor<R> {
    type Output = Registered;
    const OPERATION: Operation = Operation::DescriptorRegister;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.proactor = home.proactor;
        self.resource.as_resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.resource.as_resource())
    }

    fn request(&mut self, _: usize) -> Request {
        let descriptor = self.resource.as_resource().raw();
        Request::RegisterDescriptor { descriptor, owner: &raw const self.owner, proactor: self.proactor }
    }

    fn settle(&mut self, value: i64, _: Home) -> Result<Registered> {
        match i32::try_from(value) {
            Ok(registration::NOTED) => Ok(Registered::Noted),
            _ => {
                self.resource.as_resource().set_place(Some(value as u32));
                Ok(Registered::Fixed(Fixed { index: value as u16 }))
            }
        }
    }

    fn explain(&self, status: Status) -> Status {
        match status.code() {
            Code::AlreadyExists => status.with_message("the descriptor is registered already"),
            _ => status,
        }
    }
}

/// Makes the proactor forget a descriptor that was [registered](RegisterDescriptor) with it, and let its handle go.
///
/// Operations in flight that use it are not disturbed.
///
/// # Errors
/// `NotFound` if it is not registered.
pub struct UnregisterDescriptor<R: Closable> {
    resource: R,
}

impl<R: Closable> UnregisterDescriptor<R> {
    /// Forgets `resource`.
    pub fn new(resource: R) -> UnregisterDescriptor<R> {
        UnregisterDescriptor { resource }
    }
}

impl<R: Closable> Sealed for UnregisterDescriptor<R> {}

impl<R: Closable> Kind for UnregisterDescriptor<R> {
    type Output = ();
    const OPERATION: Operation = Operation::DescriptorUnregister;
    const CLASS: Class = Class::Kernel(Lane::Other);

    fn validate(&mut self, home: Home) -> Result<()> {
        self.resource.as_resource().check(home, Self::OPERATION)
    }

    fn resource(&self) -> Option<&Resource> {
        Some(self.resource.as_resource())
    }

    fn request(&mut self, _: usize) -> Request {
        // Taken back first, so that no request is made any more with a place that is about to be another's.
        self.resource.as_resource().set_place(None);
        Request::UnregisterDescriptor { descriptor: self.resource.as_resource().raw() }
    }

    fn settle(&mut self, _: i64, _: Home) -> Result<()> {
        // Once more: a registration that the backend carried out just before is noted only when it is told.
        self.resource.as_resource().set_place(None);
        Ok(())
    }
}
