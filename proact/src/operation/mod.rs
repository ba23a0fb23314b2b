//! Operations: what can be submitted, and the machinery that runs it on any backend.
//!
//! An operation is an [`Op`]: a kind (what to do, one type a kind, one file a family), and the user's state, which is
//! told of the outcome by [`Complete`]. Submit moves it in, the final callback moves it back.

mod attributes;
mod batch;
mod chain;
mod close;
mod context;
mod directory;
pub(crate) mod engine;
mod event;
mod file;
mod futex;
mod identity;
mod kind;
mod link;
mod listing;
mod nop;
mod op;
mod path;
mod poll;
mod process;
mod range;
mod semaphore;
mod sequence;
mod socket;
mod splice;
mod stream;
mod timer;
mod vector;
mod watch;

pub use attributes::{ChangeFile, GetAttribute, ListAttributes, RemoveAttribute, SetAttribute, attribute_names};
pub use batch::{Batch, Refused};
pub use chain::{Chain, Lowering};
pub use close::Close;
pub use context::Context;
pub use directory::{ListDirectory, MakeDirectory, Remove, Rename};
pub use event::EventWait;
pub use file::{Allocate, Open, Read, SetAttributes, Stat, StatPath, Sync, Truncate, Write};
pub use futex::{FutexWait, FutexWaited, FutexWake};
pub use identity::OperationId;
pub use kind::Kind;
pub use link::{Link, ReadLink};
pub use listing::{BatchEntry, ListBatch, Walk};
pub use nop::Nop;
pub use op::{AnyOp, Complete, Op, Outcome};
pub use poll::{PollHandle, Readiness};
pub use process::ProcessWait;
pub use range::{Advise, ChangeRange, CopyRange, SyncRange};
pub use semaphore::{Reached, SemaphoreSignal, SemaphoreWait, WaitMode};
pub use sequence::{Sequence, Step};
pub use socket::{Accept, Accepted, Connect, Receive, Send};
pub use splice::{SendFile, Splice};
pub use stream::{ReadStream, WriteStream};
pub use timer::Timer;
pub use vector::{ReadVector, WriteVector};
pub use watch::WatchChanges;
