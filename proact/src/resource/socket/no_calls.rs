//! Sockets where there is no operating system's: only those of a simulated world.

use super::{Domain, Shutdown, Socket, SocketOptions, SocketType};
use crate::resource::{Address, Home};
use crate::status::{Code, Operation, Result, Status};

impl Socket {
    pub(super) fn call_create(_: Home, _: Domain, _: SocketType, _: &SocketOptions) -> Result<Socket> {
        Err(unavailable(Operation::SocketCreate))
    }

    pub(super) fn call_pair(_: Home, _: SocketType) -> Result<(Socket, Socket)> {
        Err(unavailable(Operation::SocketCreate))
    }

    pub(super) fn call_bind(&self, _: &Address) -> Result<()> {
        Err(unavailable(Operation::SocketBind))
    }

    pub(super) fn call_listen(&self, _: u32) -> Result<()> {
        Err(unavailable(Operation::SocketListen))
    }

    pub(super) fn call_local_address(&self) -> Result<Address> {
        Err(unavailable(Operation::SocketOption))
    }

    pub(super) fn call_peer_address(&self) -> Result<Address> {
        Err(unavailable(Operation::SocketOption))
    }

    pub(super) fn call_listens(&self) -> Result<bool> {
        Err(unavailable(Operation::SocketOption))
    }

    /// Sends small segments at once, or gathers them.
    pub fn set_no_delay(&self, on: bool) -> Result<()> {
        let option = crate::backend::SocketOption::NoDelay(on);
        self.resource.own(Operation::SocketOption, |system, socket| system.set_option(socket, option))
    }

    pub(super) fn call_shutdown(&self, _: Shutdown) -> Result<()> {
        Err(unavailable(Operation::SocketShutdown))
    }
}

#[track_caller]
fn unavailable(operation: Operation) -> Status {
    Status::new(Code::Unavailable, operation).with_message("no sockets on this system yet")
}
