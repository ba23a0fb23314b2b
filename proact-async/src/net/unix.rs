//! Unix sockets: streams, datagrams, and descriptors that go with their bytes.

use std::os::fd::OwnedFd;

use proact::operation::{Buffers, BuffersMut, Connect, ReceiveDescriptors, ReceivedDescriptors, SendDescriptors};
use proact::resource::{Address, Domain, Socket, SocketOptions, SocketType};
use proact::status::Result;

use super::datagram::datagrams;
use super::methods::{connection, ends, listener, reads, whole, writes};
use crate::BufResult;
use crate::runtime::{operation, with_handle};

/// A connection of a Unix socket. All that is said of a [`TcpStream`](super::TcpStream) holds.
///
/// ```
/// use proact_async::net::UnixStream;
///
/// # fn main() -> proact::status::Result {
/// proact_async::Runtime::new()?.block_on(async {
///     let (one, other) = UnixStream::pair()?;
///     one.send_descriptors(b"take".to_vec(), vec![std::fs::File::open("/dev/null").unwrap().into()]).await.0?;
///     let (received, buffer) = other.receive_descriptors(vec![0; 16], 1).await;
///     let received = received?;
///     assert_eq!((&buffer[..received.length], received.descriptors.len()), (b"take".as_slice(), 1));
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct UnixStream {
    pub(super) socket: Socket,
}

connection!(UnixStream, std::os::unix::net::UnixStream);

impl UnixStream {
    /// Connects to `address`: a path, or a name in Linux's abstract space.
    ///
    /// # Errors
    /// As for [`Connect`].
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn connect(address: Address) -> Result<UnixStream> {
        let socket = with_handle(|handle| handle.socket(Domain::Unix, &SocketOptions::default()))?;
        let (_, outcome) = operation(Connect::new(socket.clone(), address)).await;
        outcome.result.map(|()| UnixStream { socket })
    }

    /// Two connections that are each other's peer.
    ///
    /// # Errors
    /// As for [`Handle::socket_pair`](proact::proactor::Handle::socket_pair).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn pair() -> Result<(UnixStream, UnixStream)> {
        let (one, other) = with_handle(|handle| handle.socket_pair(SocketType::Stream))?;
        Ok((UnixStream { socket: one }, UnixStream { socket: other }))
    }
}

/// A Unix socket that listens. Its path stays when it is closed, and is whoever's bound it to remove.
#[derive(Clone, Debug)]
pub struct UnixListener {
    socket: Socket,
}

listener!(
    UnixListener,
    UnixStream,
    UnixIncoming,
    std::os::unix::net::UnixListener,
    SocketOptions::default(),
    " Its path must not be there yet."
);

/// A Unix socket of datagrams, which all arrive, in their order: a full receiver makes its senders wait.
///
/// ```
/// use proact_async::net::UnixDatagram;
///
/// # fn main() -> proact::status::Result {
/// proact_async::Runtime::new()?.block_on(async {
///     let (one, other) = UnixDatagram::pair()?;
///     one.send(b"hello".to_vec()).await.0?;
///     let (datagram, buffer) = other.receive(vec![0; 64]).await;
///     assert_eq!(&buffer[..datagram?.length], b"hello");
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct UnixDatagram {
    socket: Socket,
}

datagrams!(UnixDatagram, std::os::unix::net::UnixDatagram);

impl UnixDatagram {
    /// One without a name, which nobody can send to until it is connected to by the peer of its own.
    ///
    /// # Errors
    /// As for [`Handle::datagram`](proact::proactor::Handle::datagram).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn unbound() -> Result<UnixDatagram> {
        let socket = with_handle(|handle| handle.datagram(Domain::Unix, &SocketOptions::default()))?;
        Ok(UnixDatagram { socket })
    }

    /// One that is reached by `address`.
    ///
    /// # Errors
    /// As for [`UnixDatagram::unbound`], and `AlreadyExists` when the path is there.
    #[track_caller]
    pub fn bind(address: &Address) -> Result<UnixDatagram> {
        let made = UnixDatagram::unbound()?;
        made.socket.bind(address)?;
        Ok(made)
    }

    /// Two that are each other's peer.
    ///
    /// # Errors
    /// As for [`Handle::socket_pair`](proact::proactor::Handle::socket_pair).
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn pair() -> Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = with_handle(|handle| handle.socket_pair(SocketType::Datagram))?;
        Ok((UnixDatagram { socket: one }, UnixDatagram { socket: other }))
    }
}

macro_rules! descriptors {
    ($($type:ty),*) => {$(
        /// Descriptors.
        impl $type {
            /// Sends descriptors to the peer, with at least one byte. Those here stay open until then, and are closed
            /// when it has ended: the receiver has its own.
            ///
            /// # Errors
            /// As for [`SendDescriptors`].
            pub async fn send_descriptors<B: Buffers>(
                &self,
                buffer: B,
                descriptors: Vec<OwnedFd>,
            ) -> BufResult<usize, B> {
                let send = SendDescriptors::new(self.socket.clone(), buffer, descriptors);
                let (send, outcome) = operation(send).await;
                (outcome.result, send.buffer)
            }

            /// Receives bytes, and the descriptors that came with them, at most `room` (1 to 253).
            ///
            /// # Errors
            /// As for [`ReceiveDescriptors`].
            pub async fn receive_descriptors<B: BuffersMut>(
                &self,
                buffer: B,
                room: usize,
            ) -> BufResult<ReceivedDescriptors, B> {
                let receive = ReceiveDescriptors::new(self.socket.clone(), buffer, room);
                let (receive, outcome) = operation(receive).await;
                (outcome.result, receive.buffer)
            }
        }
    )*};
}

descriptors!(UnixStream, UnixDatagram);
