//! Datagrams: UDP, and what Unix datagrams have in common with it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use proact::memory::BufferPool;
use proact::operation::{Buffers, BuffersMut, Datagram, PooledDatagram, ReceiveFrom, ReceiveFromPooledMany, SendTo};
use proact::resource::{Address, Domain, Socket, SocketOptions};
use proact::status::Result;

use super::methods::{ends, whole};
use crate::BufResult;
use crate::runtime::{Operation, Operations, operation, stream, with_handle};

/// What sends and receives datagrams over `self.socket`.
macro_rules! datagrams {
    ($type:ident, $std:ty) => {
        whole!($type, $std);

        /// Datagrams.
        impl $type {
            /// The peer's address, if it is connected.
            ///
            /// # Errors
            /// As for [`Socket::peer_address`](proact::resource::Socket::peer_address).
            pub fn peer_address(&self) -> proact::status::Result<proact::resource::Address> {
                self.socket.peer_address()
            }

            /// Connects it: from then on it sends to `address` and hears that one alone.
            ///
            /// # Errors
            /// As for [`Connect`](proact::operation::Connect).
            pub async fn connect(&self, address: proact::resource::Address) -> proact::status::Result {
                let connect = proact::operation::Connect::new(self.socket.clone(), address);
                crate::operation(connect).await.1.result
            }

            /// Sends one datagram to the peer that it is connected to: of one buffer, or gathered from several.
            ///
            /// # Errors
            /// As for [`SendTo`](proact::operation::SendTo). The socket stays usable.
            #[track_caller]
            pub fn send<B: proact::operation::Buffers>(&self, buffer: B) -> crate::net::SendDatagram<B> {
                crate::net::SendDatagram::new(proact::operation::SendTo::peer(self.socket.clone(), buffer))
            }

            /// Sends one datagram to `address`.
            ///
            /// # Errors
            /// As for [`SendTo`](proact::operation::SendTo). The socket stays usable.
            #[track_caller]
            pub fn send_to<B: proact::operation::Buffers>(
                &self,
                buffer: B,
                address: proact::resource::Address,
            ) -> crate::net::SendDatagram<B> {
                crate::net::SendDatagram::new(proact::operation::SendTo::new(self.socket.clone(), buffer, address))
            }

            /// Receives one datagram, into one buffer or several: its length, its sender, whether it was cut.
            ///
            /// # Errors
            /// As for [`ReceiveFrom`](proact::operation::ReceiveFrom). The socket stays usable.
            #[doc(alias = "recv_from")]
            #[track_caller]
            pub fn receive<B: proact::operation::BuffersMut>(&self, buffer: B) -> crate::net::ReceiveDatagram<B> {
                crate::net::ReceiveDatagram::new(proact::operation::ReceiveFrom::new(self.socket.clone(), buffer))
            }

            /// Datagrams as they come, in buffers of `pool`, by one multishot operation: the way to take many, since
            /// the kernel hands over by one call all that have come.
            pub fn datagrams(&self, pool: &proact::memory::BufferPool) -> crate::net::Datagrams {
                crate::net::Datagrams::new(&self.socket, pool)
            }
        }
    };
}

pub(super) use datagrams;

/// A UDP socket.
///
/// ```
/// use proact_async::net::UdpSocket;
///
/// # fn main() -> proact::status::Result {
/// proact_async::Runtime::new()?.block_on(async {
///     let server = UdpSocket::bind("127.0.0.1:0".parse()?)?;
///     let client = UdpSocket::bind("127.0.0.1:0".parse()?)?;
///     client.send_to(b"hello".to_vec(), server.local_address()?).await.0?;
///     let (datagram, buffer) = server.receive(vec![0; 1500]).await;
///     let datagram = datagram?;
///     assert_eq!((&buffer[..datagram.length], datagram.sender), (b"hello".as_slice(), client.local_address()?));
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct UdpSocket {
    socket: Socket,
}

datagrams!(UdpSocket, std::net::UdpSocket);

impl UdpSocket {
    /// One that is reached by `address`; port 0 lets the system choose.
    ///
    /// # Errors
    /// As for [`Handle::datagram`](proact::proactor::Handle::datagram) and [`Socket::bind`].
    ///
    /// # Panics
    /// Outside of a runtime.
    #[track_caller]
    pub fn bind(address: Address) -> Result<UdpSocket> {
        UdpSocket::bind_with(&address, &SocketOptions::default())
    }

    /// As [`UdpSocket::bind`], with options that are set before.
    ///
    /// # Errors
    /// As there.
    #[track_caller]
    pub fn bind_with(address: &Address, options: &SocketOptions) -> Result<UdpSocket> {
        let socket = with_handle(|handle| handle.datagram(Domain::of(address), options))?;
        socket.bind(address)?;
        Ok(UdpSocket { socket })
    }

    /// Sends the bytes to `address` as datagrams of `segment` bytes each, the last of what is left, by one call: see
    /// [`SendTo::segments`].
    ///
    /// # Errors
    /// As there.
    pub async fn send_segments<B: Buffers>(&self, buffer: B, segment: u16, address: Address) -> BufResult<usize, B> {
        let send = SendTo::new(self.socket.clone(), buffer, address).segments(segment);
        let (send, outcome) = operation(send).await;
        (outcome.result, send.buffer)
    }

    /// Hears what is sent to `group`, on this interface: see [`Socket::join_group`]. How far what is sent to one goes,
    /// and whether it is heard here, are options of its [socket](UdpSocket::socket).
    ///
    /// # Errors
    /// As there.
    #[cfg(unix)]
    pub fn join_group(&self, group: std::net::IpAddr, interface: u32) -> Result {
        self.socket.join_group(group, interface)
    }

    /// Hears it no more.
    ///
    /// # Errors
    /// As for [`Socket::leave_group`].
    #[cfg(unix)]
    pub fn leave_group(&self, group: std::net::IpAddr, interface: u32) -> Result {
        self.socket.leave_group(group, interface)
    }
}

/// Sends a datagram; its buffer comes back: of `send` and `send_to`.
#[must_use = "a future does nothing unless it is polled"]
pub struct SendDatagram<B: Buffers> {
    send: Operation<SendTo<B>>,
}

/// Receives a datagram into a buffer, which comes back: of `receive`.
#[must_use = "a future does nothing unless it is polled"]
pub struct ReceiveDatagram<B: BuffersMut> {
    receive: Operation<ReceiveFrom<B>>,
}

impl<B: Buffers> SendDatagram<B> {
    #[inline]
    #[track_caller]
    pub(super) fn new(send: SendTo<B>) -> SendDatagram<B> {
        SendDatagram { send: operation(send) }
    }
}

impl<B: BuffersMut> ReceiveDatagram<B> {
    #[inline]
    #[track_caller]
    pub(super) fn new(receive: ReceiveFrom<B>) -> ReceiveDatagram<B> {
        ReceiveDatagram { receive: operation(receive) }
    }
}

impl<B: Buffers> Future for SendDatagram<B> {
    type Output = BufResult<usize, B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BufResult<usize, B>> {
        Pin::new(&mut self.send).poll_with(cx, |send, outcome| (outcome.result, send.buffer))
    }
}

impl<B: BuffersMut> Future for ReceiveDatagram<B> {
    type Output = BufResult<Datagram, B>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BufResult<Datagram, B>> {
        Pin::new(&mut self.receive).poll_with(cx, |receive, outcome| (outcome.result, receive.buffer))
    }
}

impl<B: Buffers> fmt::Debug for SendDatagram<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SendDatagram").field(&self.send).finish()
    }
}

impl<B: BuffersMut> fmt::Debug for ReceiveDatagram<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReceiveDatagram").field(&self.receive).finish()
    }
}

/// Datagrams as they come: of `UdpSocket::datagrams` and its like. It ends with a failure; the socket stays usable.
///
/// At most 64 wait in the stream, and while the pool is empty none are taken: then the kernel drops what its own buffer
/// has no room for, and a Unix socket's senders wait. Each buffer of the pool gives up
/// [`ReceiveFromPooledMany::OVERHEAD`] bytes to what is said of the datagram.
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Datagrams {
    received: Operations<ReceiveFromPooledMany>,
}

impl Datagrams {
    pub(super) fn new(socket: &Socket, pool: &BufferPool) -> Datagrams {
        Datagrams { received: stream(ReceiveFromPooledMany::new(socket.clone(), pool)) }
    }

    /// How many datagrams may wait in the stream.
    pub fn capacity(self, datagrams: usize) -> Datagrams {
        Datagrams { received: self.received.capacity(datagrams) }
    }
}

impl Stream for Datagrams {
    type Item = Result<PooledDatagram>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.received).poll_next(cx).map(|outcome| outcome.map(|outcome| outcome.result))
    }
}
