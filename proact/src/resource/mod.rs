//! What operations work on: sockets, files, addresses.
//!
//! A resource is a counted handle to one descriptor of one proactor, its home. Clones share it; an operation in flight
//! holds one, so the descriptor outlives the operation whatever the program drops. A resource closes when the last
//! handle goes, or, with an answer, by a [`Close`](crate::operation::Close) operation.

mod address;
mod descriptor;
mod file;
mod futex_word;
#[cfg(unix)]
mod import;
mod named;
mod pollable;
mod process;
mod signal;
mod socket;
mod stream;
mod users;
mod watcher;
mod word;

pub use crate::backend::{
    Advice, AttributeMode, CopyMethod, DirectAlignment, DirectoryEntry, FileKind, FileTime, Metadata, OpenFlags,
    WalkEntry,
};
pub use address::{Address, interface_index};
#[cfg(unix)]
pub(crate) use descriptor::no_descriptor;
pub(crate) use descriptor::{Home, Lane, Resource, Second, about, elsewhere, own_system};
pub use file::File;
pub use futex_word::FutexWord;
#[cfg(unix)]
pub use import::Returned;
pub(crate) use named::named;
pub use pollable::Pollable;
pub use process::{Exit, Process};
pub(crate) use signal::SignalOwner;
pub use signal::{Signal, SignalSet, block_signals};
pub use socket::{Domain, KeepAlive, Shutdown, Socket, SocketOptions, SocketState, SocketType};
pub(crate) use stream::PrivatePipe;
pub use stream::Stream;
pub use watcher::{Change, ChangeMask, Watch, Watcher};
pub(crate) use watcher::{next_change, os_str};
#[cfg(any(loom, target_os = "linux", target_os = "android"))]
pub(crate) use word::Slept;
pub(crate) use word::Word;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use word::futex;
