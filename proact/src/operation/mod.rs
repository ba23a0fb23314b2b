//! Operations: what can be submitted, and the machinery that runs it on any backend.
//!
//! An operation is an [`Op`]: a kind (what to do, one type a kind, one file a family), and the user's state, which is
//! told of the outcome by [`Complete`]. Submit moves it in, the final callback moves it back.

mod attributes;
mod batch;
mod cancel;
mod chain;
mod close;
mod context;
mod datagram;
#[cfg(unix)]
mod descriptors;
mod directory;
pub(crate) mod engine;
mod event;
mod file;
mod futex;
mod gather;
mod group;
mod identity;
mod interval;
mod kind;
mod link;
mod listing;
mod nop;
mod op;
mod path;
mod poll;
mod pool;
mod pooled;
mod process;
mod range;
mod register;
mod register_descriptor;
mod scope;
mod semaphore;
mod sequence;
mod socket;
mod splice;
mod stream;
mod timer;
mod vectored;
mod vectored_file;
mod watch;

pub use attributes::{ChangeFile, GetAttribute, ListAttributes, RemoveAttribute, SetAttribute, attribute_names};
pub use batch::{Batch, Refused};
pub use cancel::{CancelAll, CancelTarget};
pub use chain::{Chain, Lowering};
pub use close::Close;
pub use context::Context;
pub use datagram::{Datagram, ReceiveFrom, ReceiveFromMany, SendTo};
#[cfg(unix)]
pub use descriptors::{ReceiveDescriptors, ReceivedDescriptors, SendDescriptors};
pub use directory::{ListDirectory, MakeDirectory, Remove, Rename};
pub use event::EventWait;
pub use file::{Allocate, Open, Read, SetAttributes, Stat, StatPath, Sync, Truncate, Write};
pub use futex::{FutexWait, FutexWaited, FutexWake};
pub use gather::{Buffers, BuffersMut};
pub use group::Group;
pub use identity::OperationId;
pub use interval::Interval;
pub use kind::Kind;
pub use link::{Link, ReadLink};
pub use listing::{BatchEntry, ListBatch, Walk};
pub use nop::Nop;
pub use op::{AnyOp, Complete, Op, Outcome, Terminal};
pub use poll::{PollHandle, Readiness};
pub use pool::{Finish, OpPool, Pooled};
pub use pooled::{PooledDatagram, ReceiveFromPooledMany, ReceivePooled, ReceivePooledMany};
pub use process::ProcessWait;
pub use range::{Advise, ChangeRange, CopyRange, SyncRange};
pub use register::{Register, Registered, Unregister};
pub use register_descriptor::{RegisterDescriptor, UnregisterDescriptor};
pub use scope::Scope;
pub use semaphore::{Reached, SemaphoreSignal, SemaphoreWait, WaitMode};
pub use sequence::{Sequence, Step};
pub use socket::{Accept, AcceptMany, Accepted, Connect, Receive, ReceiveMany, Send};
pub use splice::{SendFile, Splice};
pub use stream::{ReadStream, WriteStream};
pub use timer::Timer;
pub use vectored::{ReceiveVectored, SendVectored};
pub use vectored_file::{ReadVectored, WriteVectored};
pub use watch::WatchChanges;
