//! TCP.

use proact::operation::Connect;
use proact::resource::{Address, Domain, Socket, SocketOptions};
use proact::status::Result;

use super::methods::{connection, ends, listener, reads, whole, writes};
use crate::runtime::{operation, with_handle};

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
    pub(super) socket: Socket,
}

connection!(TcpStream, std::net::TcpStream);

impl TcpStream {
    /// Connects to `address`. Dropping the future gives the attempt up and closes its socket.
    ///
    /// Names are for a [`Connector`](super::Connector).
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

    /// As [`TcpStream::connect_with`], from a local address; port 0 lets the system choose.
    ///
    /// # Errors
    /// As there, and for [`Socket::bind`].
    pub async fn connect_from(local: &Address, address: Address, options: &SocketOptions) -> Result<TcpStream> {
        let socket = with_handle(|handle| handle.socket(Domain::of(&address), options))?;
        socket.bind(local)?;
        let (_, outcome) = operation(Connect::new(socket.clone(), address)).await;
        outcome.result.map(|()| TcpStream { socket })
    }

    /// Sends small segments at once, or gathers them: see [`Socket::set_no_delay`].
    ///
    /// # Errors
    /// As there.
    pub fn set_no_delay(&self, on: bool) -> Result {
        self.socket.set_no_delay(on)
    }
}

/// A TCP socket that listens. Port 0 lets the system choose one, which its local address tells.
///
/// ```
/// use proact::resource::SocketOptions;
/// use proact_async::net::TcpListener;
///
/// # fn main() -> proact::status::Result {
/// proact_async::Runtime::new()?.block_on(async {
///     let options = SocketOptions { reuse_address: !cfg!(windows), no_delay: true, ..SocketOptions::default() };
///     let listener = TcpListener::bind_with(&"127.0.0.1:0".parse()?, &options)?;
///     assert_ne!(listener.local_address()?.port(), Some(0));
///     listener.close().await
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TcpListener {
    socket: Socket,
}

listener!(
    TcpListener,
    TcpStream,
    Incoming,
    std::net::TcpListener,
    SocketOptions { reuse_address: !cfg!(windows), ..SocketOptions::default() },
    " As the standard library's, it may have an address on which connections of one before it have not timed out yet, so
that a server can begin again at once (`SO_REUSEADDR`); not on Windows, where that would let it take the address from
one that listens."
);
