//! The methods that types over a stream socket have in common: each stands once here, for connections and their halves.

/// What reads from `self.socket`.
macro_rules! reads {
    ($($type:ty),*) => {$(
        /// Reading.
        impl $type {
            /// Reads what is there, at most the buffer's length; 0 at the end. The buffer comes back.
            ///
            /// # Errors
            /// As for [`Receive`](proact::operation::Receive).
            #[track_caller]
            pub fn read<B: proact::memory::StableBytesMut>(&self, buffer: B) -> crate::net::Read<B> {
                crate::net::Read::new(proact::operation::Receive::some(self.socket.clone(), buffer))
            }

            /// Fills the whole buffer, which comes back.
            ///
            /// # Errors
            /// As for [`Receive`](proact::operation::Receive); `OutOfRange` when the end comes before that.
            #[track_caller]
            pub fn read_exact<B: proact::memory::StableBytesMut>(&self, buffer: B) -> crate::net::Read<B> {
                crate::net::Read::new(proact::operation::Receive::exact(self.socket.clone(), buffer))
            }

            /// Reads what is there into several buffers, each filled before the next; 0 at the end.
            ///
            /// # Errors
            /// As for [`ReceiveVectored`](proact::operation::ReceiveVectored).
            pub async fn read_vectored<B: proact::memory::StableBytesMut>(
                &self,
                buffers: Vec<B>,
            ) -> crate::BufResult<usize, Vec<B>> {
                let receive = proact::operation::ReceiveVectored::some(self.socket.clone(), buffers);
                let (receive, outcome) = crate::operation(receive).await;
                (outcome.result, receive.buffers)
            }

            /// Fills several buffers.
            ///
            /// # Errors
            /// As for [`ReceiveVectored`](proact::operation::ReceiveVectored); `OutOfRange` when the end comes before
            /// that.
            pub async fn read_exact_vectored<B: proact::memory::StableBytesMut>(
                &self,
                buffers: Vec<B>,
            ) -> crate::BufResult<usize, Vec<B>> {
                let receive = proact::operation::ReceiveVectored::exact(self.socket.clone(), buffers);
                let (receive, outcome) = crate::operation(receive).await;
                (outcome.result, receive.buffers)
            }

            /// Reads what is there into a buffer of `pool`, which is taken when there is something to put into it: a
            /// connection that is idle holds none. `None` at the end. While the pool is empty it waits, and the peer is
            /// held up.
            ///
            /// Dropping the future loses neither a buffer nor, unless bytes had been received already, any of them.
            ///
            /// # Errors
            /// As for [`ReceivePooled`](proact::operation::ReceivePooled).
            pub fn read_pooled(&self, pool: &proact::memory::BufferPool) -> crate::net::ReadPooled {
                crate::net::ReadPooled::new(&self.socket, pool)
            }

            /// What comes, in buffers of `pool`, by one multishot operation: see [`Leases`](crate::net::Leases).
            pub fn leases(&self, pool: &proact::memory::BufferPool) -> crate::net::Leases {
                crate::net::Leases::new(&self.socket, pool)
            }
        }
    )*};
}

/// What writes to `self.socket`.
macro_rules! writes {
    ($($type:ty),*) => {$(
        /// Writing.
        impl $type {
            /// Writes what the socket takes at once, at most the buffer's length. The buffer comes back.
            ///
            /// # Errors
            /// As for [`Send`](proact::operation::Send).
            #[track_caller]
            pub fn write<B: proact::memory::StableBytes>(&self, buffer: B) -> crate::net::Write<B> {
                crate::net::Write::new(proact::operation::Send::some(self.socket.clone(), buffer))
            }

            /// Writes the whole buffer, which comes back.
            ///
            /// Dropped after a part of it has gone, it leaves the stream torn: later writes fail.
            ///
            /// # Errors
            /// As for [`Send`](proact::operation::Send).
            #[track_caller]
            pub fn write_all<B: proact::memory::StableBytes>(&self, buffer: B) -> crate::net::Write<B> {
                crate::net::Write::new(proact::operation::Send::exact(self.socket.clone(), buffer))
            }

            /// Writes of several buffers, from the first on, what the socket takes at once.
            ///
            /// # Errors
            /// As for [`SendVectored`](proact::operation::SendVectored).
            pub async fn write_vectored<B: proact::memory::StableBytes>(
                &self,
                buffers: Vec<B>,
            ) -> crate::BufResult<usize, Vec<B>> {
                let send = proact::operation::SendVectored::some(self.socket.clone(), buffers);
                let (send, outcome) = crate::operation(send).await;
                (outcome.result, send.buffers)
            }

            /// Writes all of several buffers, as one run of bytes, without copying them together first.
            ///
            /// # Errors
            /// As for [`SendVectored`](proact::operation::SendVectored).
            pub async fn write_all_vectored<B: proact::memory::StableBytes>(
                &self,
                buffers: Vec<B>,
            ) -> crate::BufResult<usize, Vec<B>> {
                let send = proact::operation::SendVectored::exact(self.socket.clone(), buffers);
                let (send, outcome) = crate::operation(send).await;
                (outcome.result, send.buffers)
            }

            /// Writes the whole buffer from where it lies, where the backend can, and says whether it did: see
            /// [`Send::zero_copy`](proact::operation::Send::zero_copy). Worth it from some 10 KiB up. It ends when the
            /// kernel has let go of the buffer.
            ///
            /// # Errors
            /// As for [`Send`](proact::operation::Send).
            pub async fn write_zero_copy<B: proact::memory::StableBytes>(
                &self,
                buffer: B,
            ) -> crate::BufResult<crate::net::Written, B> {
                let send = proact::operation::Send::exact(self.socket.clone(), buffer).zero_copy();
                let (send, outcome) = crate::operation(send).await;
                let zero_copy = outcome.zero_copy();
                (outcome.result.map(|count| crate::net::Written { count, zero_copy }), send.buffer)
            }
        }
    )*};
}

/// What names the ends of `self.socket`, and gives it out.
macro_rules! ends {
    ($($type:ty),*) => {$(
        /// Addresses, and the socket itself.
        impl $type {
            /// The socket, for operations and options of one's own.
            pub fn socket(&self) -> &proact::resource::Socket {
                &self.socket
            }

            /// Its own address.
            ///
            /// # Errors
            /// As for [`Socket::local_address`](proact::resource::Socket::local_address).
            pub fn local_address(&self) -> proact::status::Result<proact::resource::Address> {
                self.socket.local_address()
            }
        }
    )*};
}

/// What every type over a whole socket has: how it is made of one that is there, and how it is closed.
macro_rules! whole {
    ($type:ident, $std:ty) => {
        ends!($type);

        /// From a socket, and to its end.
        impl $type {
            /// One of a socket of its kind that is there already: connected, listening or bound as it is to be.
            pub fn from_socket(socket: proact::resource::Socket) -> $type {
                $type { socket }
            }

            /// Closes it, for all its clones: cancels what is in flight, and waits for the end of that and of the
            /// descriptor; who would connect to a listener is refused from then on. Just dropping it closes it as well,
            /// without waiting, after what is in flight.
            ///
            /// # Errors
            /// As for [`Close`](proact::operation::Close).
            pub async fn close(self) -> proact::status::Result {
                crate::operation(proact::operation::Close::new(self.socket)).await.1.result
            }

            /// Takes in one of the standard library.
            ///
            /// # Errors
            /// Gives it back with the reason: of another kind, or no descriptor of the system's can come in, as in a
            /// simulated world.
            ///
            /// # Panics
            /// Outside of a runtime.
            #[cfg(unix)]
            #[track_caller]
            pub fn from_std(std: $std) -> Result<$type, proact::resource::Returned<$std>> {
                let imported = crate::runtime::with_handle(|handle| handle.import_socket(std.into()));
                match imported {
                    Ok(socket) => Ok($type { socket }),
                    Err(proact::resource::Returned { resource, status }) => {
                        Err(proact::resource::Returned { resource: resource.into(), status })
                    }
                }
            }
        }
    };
}

/// What a connection has beside reading and writing.
macro_rules! connection {
    ($type:ident, $std:ty) => {
        whole!($type, $std);
        reads!($type);
        writes!($type);

        /// Both directions.
        impl $type {
            /// The peer's address.
            ///
            /// # Errors
            /// As for [`Socket::peer_address`](proact::resource::Socket::peer_address).
            pub fn peer_address(&self) -> proact::status::Result<proact::resource::Address> {
                self.socket.peer_address()
            }

            /// Ends one direction or both: the peer reads to the end of what was written. Takes effect at once.
            ///
            /// # Errors
            /// `FailedPrecondition` when it is not connected any more.
            pub fn shutdown(&self, how: proact::resource::Shutdown) -> proact::status::Result {
                self.socket.shutdown(how)
            }

            /// Two halves, one that reads and one that writes, for two tasks.
            pub fn split(self) -> (crate::net::ReadHalf, crate::net::WriteHalf) {
                crate::net::halves(self.socket)
            }

            /// Gives it out as one of the standard library, in the mode that the backend works in (blocking for
            /// io_uring, non-blocking otherwise): set the one that is wanted.
            ///
            /// # Errors
            /// Gives it back when it is closed, or clones of it or operations in flight are there. That of a future
            /// that was dropped may be for a moment longer.
            #[cfg(unix)]
            pub fn into_std(self) -> Result<$std, proact::resource::Returned<$type>> {
                match self.socket.into_fd() {
                    Ok(descriptor) => Ok(descriptor.into()),
                    Err(proact::resource::Returned { resource, status }) => {
                        Err(proact::resource::Returned { resource: $type { socket: resource }, status })
                    }
                }
            }
        }
    };
}

/// What a listener has: `$listener`, its connections and the stream of them. `$options`: those of `bind`, and
/// `$note`: what is to be said of that.
macro_rules! listener {
    ($listener:ident, $connection:ident, $incoming:ident, $std:ty, $options:expr, $note:literal) => {
        whole!($listener, $std);

        /// Listening.
        impl $listener {
            /// Listens on `address`, by default with the system's largest queue of connections.
            #[doc = $note]
            ///
            /// # Errors
            /// As for [`Handle::listen`](proact::proactor::Handle::listen).
            ///
            /// # Panics
            /// Outside of a runtime.
            #[track_caller]
            pub fn bind(address: proact::resource::Address) -> proact::status::Result<$listener> {
                $listener::bind_with(&address, &$options)
            }

            /// As [`bind`](Self::bind), with these options and no others, which are set before. Connections inherit
            /// them.
            ///
            /// # Errors
            /// As there.
            #[track_caller]
            pub fn bind_with(
                address: &proact::resource::Address,
                options: &proact::resource::SocketOptions,
            ) -> proact::status::Result<$listener> {
                $listener::bind_backlog(address, options, 0)
            }

            /// As [`bind_with`](Self::bind_with), and at most `backlog` connections wait in the kernel to be accepted,
            /// or as many as the system allows; 0 means that.
            ///
            /// # Errors
            /// As there.
            #[track_caller]
            pub fn bind_backlog(
                address: &proact::resource::Address,
                options: &proact::resource::SocketOptions,
                backlog: u32,
            ) -> proact::status::Result<$listener> {
                let domain = proact::resource::Domain::of(address);
                let socket = crate::runtime::with_handle(|handle| handle.socket(domain, options))?;
                socket.bind(address)?;
                socket.listen(backlog)?;
                Ok($listener { socket })
            }

            /// Accepts one connection, and says who connected. Dropping the future leaks none: one that comes all the
            /// same is closed. Where futures are dropped as a matter of course, in a loop that waits for several
            /// things, take them from [`incoming`](Self::incoming), which keeps what has come.
            ///
            /// # Errors
            /// As for [`Accept`](proact::operation::Accept); the listener stays usable.
            pub async fn accept(&self) -> proact::status::Result<($connection, proact::resource::Address)> {
                let (_, outcome) = crate::operation(proact::operation::Accept::new(self.socket.clone())).await;
                outcome.result.map($connection::with_peer)
            }

            /// Connections as they come, by one multishot operation. At most 64 wait in the stream; then they wait in
            /// the kernel's own queue, until there is room.
            pub fn incoming(&self) -> $incoming {
                $incoming { accepted: crate::stream(proact::operation::AcceptMany::new(self.socket.clone())) }
            }
        }

        impl $connection {
            fn with_peer(accepted: proact::operation::Accepted) -> ($connection, proact::resource::Address) {
                let peer = accepted.peer();
                ($connection { socket: accepted.socket }, peer)
            }
        }

        /// Of `incoming`. After a failure it ends; the listener stays usable. Dropping it closes the connections that
        /// wait in it.
        #[derive(Debug)]
        #[must_use = "a stream does nothing unless it is polled"]
        pub struct $incoming {
            accepted: crate::runtime::Operations<proact::operation::AcceptMany>,
        }

        impl $incoming {
            /// How many connections may wait in the stream, 64 if it is not said: see
            /// [`OperationStream::capacity`](proact::operation::future::OperationStream::capacity).
            pub fn capacity(self, connections: usize) -> $incoming {
                $incoming { accepted: self.accepted.capacity(connections) }
            }
        }

        impl futures_core::Stream for $incoming {
            type Item = proact::status::Result<($connection, proact::resource::Address)>;

            fn poll_next(
                mut self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Self::Item>> {
                let next = std::pin::Pin::new(&mut self.accepted).poll_next(cx);
                next.map(|outcome| Some(outcome?.result.map($connection::with_peer)))
            }
        }
    };
}

pub(super) use {connection, ends, listener, reads, whole, writes};
