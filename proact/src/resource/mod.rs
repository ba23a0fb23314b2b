//! What operations work on: sockets, files, addresses.
//!
//! A resource is a counted handle to one descriptor of one proactor, its home. Clones share it; an operation in flight
//! holds one, so the descriptor outlives the operation whatever the program drops. A resource closes when the last
//! handle goes, or, with an answer, by a [`Close`](crate::operation::Close) operation.

mod address;
mod descriptor;
mod file;
#[cfg(unix)]
mod import;
mod socket;

pub use crate::backend::{DirectoryEntry, FileKind, Metadata, OpenFlags};
pub use address::{Address, interface_index};
pub(crate) use descriptor::{Home, Lane, Resource};
pub use file::File;
#[cfg(unix)]
pub use import::Returned;
pub use socket::{Domain, KeepAlive, Shutdown, Socket, SocketOptions, SocketState, SocketType};
