//! Async Rust on the proactor: an executor, timers, and I/O with owned buffers.
//!
//! ```
//! use proact_async::net::TcpListener;
//! use proact_async::{Runtime, spawn};
//!
//! async fn serve(listener: TcpListener) -> proact::status::Result {
//!     loop {
//!         let (stream, _) = listener.accept().await?;
//!         spawn(async move {
//!             let mut buffer = vec![0; 4096];
//!             loop {
//!                 let read = stream.read(buffer).await;
//!                 let Ok(count @ 1..) = read.0 else { break };
//!                 buffer = stream.write_all(read.1[..count].to_vec()).await.1;
//!                 buffer.resize(4096, 0);
//!             }
//!         });
//!     }
//! }
//!
//! # fn main() -> proact::status::Result {
//! let runtime = Runtime::new()?;
//! runtime.block_on(async {
//!     let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
//!     let server = spawn(serve(listener));
//!     server.abort(); // or await it, for ever
//!     assert!(server.await.unwrap_err().is_cancelled());
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # Rooms
//!
//! - [`runtime`]: what runs tasks and polls a proactor; [`operation`] and
//!   [`stream`], by which every kind of `proact::operation` is awaited.
//! - [`task`]: join handles and yielding. `unsafe` code stands there, and where a runtime lends itself to its thread.
//! - [`scope`](mod@scope): operations and tasks that end together, and are waited for.
//! - [`time`]: sleeps, intervals, timeouts.
//! - [`net`]: sockets, with owned buffers.
//! - [`adapt`]: streams under the traits of `futures-io`, tokio and hyper, and what else those ask for, by features.
//! - `tls`: TLS by rustls (feature `rustls`).
//! - `metrics`: what was counted, for a recorder (feature `metrics`).
//!
//! With the feature `tracing` tasks and operations have spans: `task` (target `proact::task`, level `DEBUG`) and
//! `operation` (target `proact::operation`, level `TRACE`).
//! - [`fs`]: files and directories. [`pipe`]: pipes. [`process`]: children. [`signal`]: signals.
//! - [`sync`]: semaphores, frontiers, events, notifications, relays. [`descriptor`]: what others' descriptors are ready
//!   for.
//! - Buffers of a pool, of which the kernel chooses: [`BufferPool`](proact::memory::BufferPool), whose
//!   [`lease`](proact::memory::BufferPool::lease) waits for one.
//!
//! # How I/O is written here
//!
//! - **Any kind of operation is a future**: `operation(kind).await` yields `(kind, outcome)`: the kind, with the
//!   buffers that it holds, comes back whatever happened. A multishot kind is a stream of outcomes: `stream(kind)`. Its
//!   [`deadline`](proact::operation::future::OperationFuture::deadline) and
//!   [`within`](proact::operation::future::OperationFuture::within) set what few have. What this crate adds on top are
//!   types with the methods that one expects.
//! - **Operations that follow from each other are submitted at once**: [`chain`]`((operation(a), operation(b)))` starts
//!   each when the one before it has succeeded, by the kernel where it can.
//! - **Buffers are owned.** A method that moves bytes takes the buffer and gives it back beside its result: a
//!   [`BufResult`]. Reads take any [`StableBytesMut`](proact::memory::StableBytesMut) and fill it from its front up to
//!   its length; writes take any [`StableBytes`](proact::memory::StableBytes).
//! - **`&self` everywhere**, and types are cheap clones of a resource: a read and a write may go on side by side.
//! - **Failures** are [`Status`](proact::status::Status), as in `proact`, never an `io::Error`.
//! - **Resources are made by the current runtime's handle**:
//!   [`with_handle`](runtime::with_handle)`(|handle| handle.socket(..))`.
//! - **Everything may be dropped at any time**, and tests drop it at every await.
//! - Outside of a runtime, what needs one panics, and says so.
//!
//! # Threads
//!
//! A program that has another runtime already, such as tokio's, has a [`Companion`] instead of a [`Runtime`].
//!
//! A [`Runtime`] runs on the thread that made it; tasks stay there and need not be `Send`. A [`Spawner`] gives it tasks
//! from other threads, and [`Threads`] is many runtimes on threads of their own. Wakers may be woken from anywhere:
//! they never block, and wake the thread once, however many are woken before it is up.

pub mod adapt;
mod atomic;
mod companion;
#[cfg(unix)]
pub mod descriptor;
pub mod fs;
mod grow;
#[cfg(feature = "metrics")]
pub mod metrics;
pub mod net;
#[cfg(unix)]
pub mod pipe;
#[cfg(unix)]
pub mod process;
pub mod runtime;
pub mod scope;
pub mod signal;
mod stop;
pub mod sync;
pub mod task;
pub mod threads;
pub mod time;
#[cfg(feature = "rustls")]
pub mod tls;
mod trace;

pub use self::companion::{Companion, Remote};
pub use self::runtime::{Builder, Runtime, Spawner, handle, operation, spawn, spawner, stream};
pub use self::scope::{Scope, scope};
pub use self::stop::Stop;
pub use self::task::{AbortHandle, JoinError, JoinHandle, yield_now};
pub use self::threads::Threads;
pub use proact::operation::future::chain;

#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/companion.md")]
mod inside_tokio {}

/// What an operation with an owned buffer yields: its result, and the buffer.
pub type BufResult<T, B> = (proact::status::Result<T>, B);
