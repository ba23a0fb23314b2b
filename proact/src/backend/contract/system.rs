//! What makes descriptors where the operating system does not.
//!
//! Resources are made, named and closed by calls that no proactor queues: a socket binds at once, from any thread. On a
//! real backend these are system calls on a real descriptor. A backend whose descriptors are its own
//! ([`DescriptorMode::Own`](super::DescriptorMode::Own)) answers them through a [`System`] instead, and a resource of
//! its proactor keeps that system beside its descriptor. Everything else that takes a descriptor goes through
//! [`Resource::with`](crate::resource), which refuses such a resource: no number of a simulation ever reaches the
//! operating system.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Descriptor, RawAddress};

/// Which family a socket is of.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
    /// Unix.
    Unix,
}

/// How a socket is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SocketSpec {
    /// Its family.
    pub family: Family,
    /// Whether it carries datagrams; a stream otherwise.
    pub datagram: bool,
    /// Whether several may share one port.
    pub reuse_port: bool,
    /// Whether a close resets the connection.
    pub reset_on_close: bool,
    /// Whether an IPv6 socket speaks IPv4 too.
    pub dual_stack: bool,
    /// Bytes that it keeps until they are read, if not the system's choice.
    pub receive_buffer: Option<usize>,
}

/// What can be said of a socket that is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SocketOption {
    /// Small segments go at once.
    NoDelay(bool),
    /// A close resets the connection.
    #[cfg(any(unix, feature = "unstable-backend"))]
    ResetOnClose(bool),
}

/// Makes, names and closes descriptors that are a backend's own. Failures are error numbers of the system that it
/// plays, as completions tell them, but positive.
pub trait System: Send + Sync {
    /// Whether the calling thread may use it. One that may not is refused before anything happens.
    fn is_here(&self) -> bool;

    /// Whether the process that it belongs to has died.
    #[cfg_attr(not(feature = "simulated"), allow(dead_code))] // asked by who runs a world
    fn is_gone(&self) -> bool;

    /// Makes a socket.
    fn socket(&self, spec: SocketSpec) -> Result<Descriptor, i32>;

    /// Makes two Unix sockets that are each other's peer.
    fn socket_pair(&self, datagram: bool) -> Result<(Descriptor, Descriptor), i32>;

    /// Gives a socket a local address.
    fn bind(&self, socket: Descriptor, address: &RawAddress) -> Result<(), i32>;

    /// Has a socket take connections, so many before they are accepted.
    fn listen(&self, socket: Descriptor, backlog: u32) -> Result<(), i32>;

    /// Changes an option.
    fn set_option(&self, socket: Descriptor, option: SocketOption) -> Result<(), i32>;

    /// Ends one direction of a connection, or both.
    fn shutdown(&self, socket: Descriptor, receive: bool, send: bool) -> Result<(), i32>;

    /// The local address.
    fn local_address(&self, socket: Descriptor) -> Result<RawAddress, i32>;

    /// The peer's address.
    fn peer_address(&self, socket: Descriptor) -> Result<RawAddress, i32>;

    /// Whether a socket takes connections.
    fn listens(&self, socket: Descriptor) -> Result<bool, i32>;

    /// Makes an event, not set.
    fn event(&self) -> Result<Descriptor, i32>;

    /// Adds to an event, which sets it.
    fn set_event(&self, event: Descriptor, value: u64) -> Result<(), i32>;

    /// Resets an event on which nobody waits.
    fn reset_event(&self, event: Descriptor) -> Result<(), i32>;

    /// Makes a pipe: the end that is read, and the end that is written.
    fn pipe(&self) -> Result<(Descriptor, Descriptor), i32>;

    /// Whether a pipe's end is the one that is written.
    fn is_written(&self, stream: Descriptor) -> Result<bool, i32>;

    /// Another descriptor of the same thing.
    fn duplicate(&self, descriptor: Descriptor) -> Result<Descriptor, i32>;

    /// Closes a descriptor, from any thread.
    fn close(&self, descriptor: Descriptor);
}

/// The systems of this process, by their proactor. Asked when a resource is made, and at no other time.
static SYSTEMS: Mutex<Vec<(u32, Arc<dyn System>)>> = Mutex::new(Vec::new());

fn systems() -> MutexGuard<'static, Vec<(u32, Arc<dyn System>)>> {
    SYSTEMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The system of a proactor, if that has one of its own.
pub(crate) fn system_of(proactor: u32) -> Option<Arc<dyn System>> {
    systems().iter().find(|(known, _)| *known == proactor).map(|(_, system)| system.clone())
}

/// Makes a system known for as long as it lives.
pub(crate) struct Registration {
    proactor: u32,
    system: Arc<dyn System>,
}

impl Registration {
    pub(crate) fn new(proactor: u32, system: Arc<dyn System>) -> Registration {
        systems().push((proactor, system.clone()));
        Registration { proactor, system }
    }

    pub(crate) fn system(&self) -> &dyn System {
        &*self.system
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        systems().retain(|(proactor, _)| *proactor != self.proactor);
    }
}
