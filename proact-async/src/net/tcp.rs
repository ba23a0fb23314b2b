//! TCP.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use proact::memory::{StableBytes, StableBytesMut};
use proact::operation::{Accept, AcceptMany, Accepted, Connect, Receive, Send};
use proact::resource::{Address, Domain, Shutdown, Socket, SocketOptions};
use proact::status::Result;

use crate::BufResult;
use crate::runtime::{Operations, operation, stream, with_handle};

/// A TCP connection.
///
/// Reads of one connection are filled in the order in which they were started, and so are writes; a read and a write
/// go on side by side. A clone is the same connection; it is closed when the last is dropped and nothing is in flight.
///
/// ```
/// use proact_async::net::{TcpListener, TcpStream};
///
/// # fn main() -> proact::status::Result {
/// let runtime = proact_async::Runtime::new()?;
/// runtime.block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
///     let address = listener.local_address()?;
///     proact_async::spawn(async move {
///         let (stream, _) = listener.accept().await.unwrap();
///         let (count, buffer) = stream.read(vec![0; 64]).await;
///         stream.write_all(buffer[..count.unwrap()].to_vec()).await.0.unwrap();
///     });
///     let stream = TcpStream::connect(address).await?;
///     stream.write_all(b"hello".as_slice()).await.0?;
///     let (result, buffer) = stream.read_exact(vec![0; 5]).await;
///     assert_eq!((result?, buffer.as_slice()), (5, b"hello".as_slice()));
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TcpStream {
    socket: Socket,
}

/// A TCP socket that listens.
#[derive(Clone, Debug)]
pub struct TcpListener {
    socket: Socket,
}

impl TcpStream {
    /// Connects to `address`.
    ///
    /// # Errors
    /// As for [`Connect`].
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn connect(address: Address) -> Result<TcpStream> {
        TcpStream::connect_with(address, &SocketOptions::default()).await
    }

    /// As [`TcpStream::connect`], with options that are set before.
    ///
    /// # Errors
    /// As there.
    pub async fn connect_with(address: Address, options: &SocketOptions) -> Result<TcpStream> {
        let socket = with_handle(|handle| handle.socket(Domain::of(&address), options))?;
        let (_, outcome) = operation(Connect::new(socket.clone(), address)).await;
        outcome.result.map(|()| TcpStream { socket })
    }

    /// A connection of a socket that is connected already.
    pub fn from_socket(socket: Socket) -> TcpStream {
        TcpStream { socket }
    }

    /// The socket, for operations of one's own.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Reads what is there, at most the buffer's length; 0 at the end. The buffer comes back.
    ///
    /// # Errors
    /// As for [`Receive`].
    pub async fn read<B: StableBytesMut>(&self, buffer: B) -> BufResult<usize, B> {
        let (receive, outcome) = operation(Receive::some(self.socket.clone(), buffer)).await;
        (outcome.result, receive.buffer)
    }

    /// Fills the whole buffer, which comes back.
    ///
    /// # Errors
    /// As for [`Receive`]; `OutOfRange` when the end comes before that.
    pub async fn read_exact<B: StableBytesMut>(&self, buffer: B) -> BufResult<usize, B> {
        let (receive, outcome) = operation(Receive::exact(self.socket.clone(), buffer)).await;
        (outcome.result, receive.buffer)
    }

    /// Writes what the socket takes at once, at most the buffer's length. The buffer comes back.
    ///
    /// # Errors
    /// As for [`Send`].
    pub async fn write<B: StableBytes>(&self, buffer: B) -> BufResult<usize, B> {
        let (send, outcome) = operation(Send::some(self.socket.clone(), buffer)).await;
        (outcome.result, send.buffer)
    }

    /// Writes the whole buffer, which comes back.
    ///
    /// # Errors
    /// As for [`Send`].
    pub async fn write_all<B: StableBytes>(&self, buffer: B) -> BufResult<usize, B> {
        let (send, outcome) = operation(Send::exact(self.socket.clone(), buffer)).await;
        (outcome.result, send.buffer)
    }

    /// Ends one direction or both: the peer reads to the end of what was written. Takes effect at once.
    ///
    /// # Errors
    /// `Unavailable` when it is not connected any more.
    pub fn shutdown(&self, how: Shutdown) -> Result {
        self.socket.shutdown(how)
    }

    /// Its own address.
    ///
    /// # Errors
    /// As for [`Socket::local_address`].
    pub fn local_address(&self) -> Result<Address> {
        self.socket.local_address()
    }

    /// The peer's address.
    ///
    /// # Errors
    /// As for [`Socket::peer_address`].
    pub fn peer_address(&self) -> Result<Address> {
        self.socket.peer_address()
    }
}

impl TcpListener {
    /// Listens on `address`; port 0 lets the system choose, and [`TcpListener::local_address`] tells.
    ///
    /// # Errors
    /// As for [`Handle::listen`](proact::proactor::Handle::listen).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(address: Address) -> Result<TcpListener> {
        TcpListener::bind_with(&address, &SocketOptions::default())
    }

    /// As [`TcpListener::bind`], with options that are set before.
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn bind_with(address: &Address, options: &SocketOptions) -> Result<TcpListener> {
        with_handle(|handle| handle.listen(address, options)).map(|socket| TcpListener { socket })
    }

    /// A listener of a socket that listens already.
    pub fn from_socket(socket: Socket) -> TcpListener {
        TcpListener { socket }
    }

    /// The socket, for operations of one's own.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Accepts one connection, and says who connected. Dropping the future loses none: one that comes all the same is
    /// closed.
    ///
    /// # Errors
    /// As for [`Accept`]; the listener stays usable.
    pub async fn accept(&self) -> Result<(TcpStream, Address)> {
        let (_, outcome) = operation(Accept::new(self.socket.clone())).await;
        outcome.result.map(|Accepted { socket, peer }| (TcpStream { socket }, peer))
    }

    /// Connections as they come, by one multishot operation. At most 64 wait in the stream; then they wait in the
    /// kernel's own queue, until there is room.
    pub fn incoming(&self) -> Incoming {
        Incoming { accepted: stream(AcceptMany::new(self.socket.clone())) }
    }

    /// Its own address.
    ///
    /// # Errors
    /// As for [`Socket::local_address`].
    pub fn local_address(&self) -> Result<Address> {
        self.socket.local_address()
    }
}

/// Of [`TcpListener::incoming`]. After a failure it ends; the listener stays usable.
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Incoming {
    accepted: Operations<AcceptMany>,
}

impl Stream for Incoming {
    type Item = Result<(TcpStream, Address)>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.accepted).poll_next(cx);
        next.map(|outcome| {
            outcome
                .map(|outcome| outcome.result.map(|accepted| (TcpStream::from_socket(accepted.socket), accepted.peer)))
        })
    }
}
