//! What operations work on: sockets, files, addresses.
//!
//! A resource is a counted handle to one descriptor of one proactor, its home. Clones share it; an operation in flight
//! holds one, so the descriptor outlives the operation whatever the program drops. A resource closes when the last
//! handle goes, or, with an answer, by a [`Close`](crate::operation::Close) operation.

mod address;
mod descriptor;
mod file;
mod socket;

pub use address::Address;
pub(crate) use descriptor::{Home, Lane, Resource};
pub use crate::backend::{DirectoryEntry, FileKind, Metadata, OpenFlags};
pub use file::File;
pub use socket::{Domain, Shutdown, Socket, SocketOptions};
