//! Sockets, with owned buffers; and what connections need around them.
//!
//! - [`TcpStream`], [`TcpListener`]; [`UnixStream`], [`UnixListener`]; [`ReadHalf`] and [`WriteHalf`] of either.
//! - [`UdpSocket`], [`UnixDatagram`].
//! - Buffers of a pool, which an idle connection does not hold: `read_pooled`, and [`Leases`] and [`Datagrams`] as
//!   streams.
//! - [`Connector`]: to names, by several addresses (happy eyeballs); [`Resolve`] and [`SystemResolver`].
//! - [`Server`]: an accept loop with a bound, that survives what accepting meets, and ends gracefully.
//! - [`splice`](fn@splice), [`splice_both`]: bytes from one connection to another inside the kernel.
//!
//! All of them are of the runtime that made them, and stand over a [`Socket`](proact::resource::Socket), which has
//! their options. What is not a method here is an operation on that: `operation(kind)`. Operations that are to go one
//! after another are a chain, which is submitted whole and awaited: a [`Sequence`](proact::operation::Sequence) without
//! a function between its steps.
//!
//! ```
//! use proact::operation::{SemaphoreWait, Send, Sequence};
//! use proact::sync::Semaphore;
//! use proact_async::net::UnixStream;
//! use proact_async::{operation, spawn};
//!
//! # fn main() -> proact::status::Result {
//! proact_async::Runtime::new()?.block_on(async {
//!     let (one, other) = UnixStream::pair()?;
//!     let ready = Semaphore::new(0);
//!     let wait = SemaphoreWait::new(ready.clone(), 1);
//!     let send = Send::exact(one.socket().clone(), b"now".to_vec());
//!     // Nobody is between the two: where the kernel can, it starts the send by itself.
//!     let sent = spawn(operation(Sequence::new().step(wait).step(send)));
//!     ready.signal(1, None)?;
//!     assert_eq!(other.read_exact(vec![0; 3]).await.1, b"now");
//!     let (sequence, outcome) = sent.await.unwrap();
//!     outcome.result?;
//!     assert_eq!(sequence.result::<Send<Vec<u8>>>(1).unwrap().as_ref().unwrap(), &3);
//!     Ok(())
//! })
//! # }
//! ```

mod connect;
mod datagram;
mod halves;
mod methods;
mod resolve;
mod server;
mod splice;
mod tcp;
mod together;
mod transfer;
#[cfg(unix)]
mod unix;

pub use self::connect::Connector;
pub use self::datagram::{Datagrams, ReceiveDatagram, SendDatagram, UdpSocket};
use self::halves::halves;
pub use self::halves::{Leases, ReadHalf, ReadPooled, WriteHalf, Written};
pub use self::resolve::{Resolve, SystemResolver};
pub use self::server::{Listener, Report, Server};
pub use self::splice::{splice, splice_both};
pub use self::tcp::{Incoming, TcpListener, TcpStream};
pub use self::transfer::{Read, Write};
#[cfg(unix)]
pub use self::unix::{UnixDatagram, UnixIncoming, UnixListener, UnixStream};
