//! Operations: what can be submitted, and the machinery that runs it on any backend.
//!
//! An operation is an [`Op`]: a kind (what to do, one type a kind, one file a family), and the user's state, which is
//! told of the outcome by [`Complete`]. Submit moves it in, the final callback moves it back.
//!
//! # Ways to submit
//!
//! Alone, several at once (a [`Batch`], taken whole or refused whole), one after another (a [`Chain`], or a
//! [`Sequence`] with code between the steps), side by side (a [`Group`]); with a deadline ([`Op::deadline`]), or with
//! others that are ended together ([`Op::within`] a [`Scope`]). A *multishot* operation tells of many outcomes
//! ([`Complete::more`]) before its last; it may be neither a step of a sequence nor a member of a group.
//!
//! # Threads
//!
//! The poll thread submits through its [`Proactor`](crate::proactor::Proactor) or a [`Context`], every other thread
//! through a [`Handle`](crate::proactor::Handle), which takes what is `Send`: a kind is when what it holds is.
//! Callbacks come on the poll thread alone.
//!
//! # Paths
//!
//! Every page says which path an operation takes on each backend. The results are the same on all of them.
//!
//! - *kernel-native*: the kernel carries it out by itself, from one entry of its ring. The version named is the one
//!   that first had the entry; the io_uring backend itself needs Linux 6.1.
//! - *on the poll thread*: by a system call that does not block, at once and again whenever the descriptor is ready.
//! - *a worker thread*: by a system call that may block, on one of few threads of the proactor's own
//!   ([`Builder::workers_max`](crate::proactor::Builder::workers_max)); such a thread never runs a callback.
//! - *the proactor's own*: without a system call.
//! - *in a kernel chain*: where in a [`Chain`] that is handed to the kernel whole it may stand. The project's
//!   `docs/operations.md` has one table of all operations, which says that of each.
//!
//! A capability that is named can be masked ([`Builder::allow`](crate::proactor::Builder::allow)); what is missing here
//! is refused at submit as `Unavailable`, with the reason.

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
mod fence;
mod file;
mod frontier;
mod futex;
pub mod future;
mod gather;
mod group;
mod identity;
mod interval;
mod kind;
mod link;
mod listing;
mod message;
mod nop;
mod notification;
mod op;
mod path;
mod poll;
mod pool;
mod pooled;
mod process;
mod range;
mod register;
mod register_descriptor;
mod relay;
mod scope;
mod semaphore;
mod sequence;
mod signal;
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
pub use event::{EventSet, EventWait, EventWaitMany};
pub use fence::ImportFence;
pub use file::{Allocate, Open, Read, SetAttributes, Stat, StatPath, Sync, Truncate, Write};
pub use frontier::FrontierWait;
pub use futex::{FutexWait, FutexWaited, FutexWake};
pub use gather::{Buffers, BuffersMut};
pub use group::Group;
pub use identity::{OperationId, ProgressId};
pub use interval::Interval;
pub use kind::Kind;
pub use link::{Link, ReadLink};
pub use listing::{BatchEntry, ListBatch, Walk};
pub use message::Message;
pub use nop::Nop;
pub use notification::{NotificationSignal, NotificationWait};
pub use op::{AnyOp, Complete, Op, Outcome, Terminal};
pub use poll::{PollHandle, PollHandleMany, Readiness};
pub use pool::{Finish, OpPool, Pooled};
pub use pooled::{PooledDatagram, ReceiveFromPooledMany, ReceivePooled, ReceivePooledMany};
pub use process::ProcessWait;
pub use range::{Advise, ChangeRange, CopyRange, SyncRange};
pub use register::{Register, Registered, Unregister};
pub use register_descriptor::{RegisterDescriptor, UnregisterDescriptor};
pub use relay::{Relay, RelayMany, RelaySink, RelaySource};
pub use scope::Scope;
pub use semaphore::{Reached, SemaphoreSignal, SemaphoreWait, WaitMode};
pub use sequence::{Sequence, Step};
pub use signal::SignalWait;
pub use socket::{Accept, AcceptMany, Accepted, Connect, Receive, ReceiveMany, Send};
pub use splice::{SendFile, Splice};
pub use stream::{ReadStream, WriteStream};
pub use timer::Timer;
pub use vectored::{ReceiveVectored, SendVectored};
pub use vectored_file::{ReadVectored, WriteVectored};
pub use watch::WatchChanges;
