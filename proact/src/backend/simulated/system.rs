//! A proactor's system calls that no proactor queues.

use std::sync::Arc;

use super::address::Name;
use super::datagram::DatagramSocket;
use super::errno::{EBADF, EOPNOTSUPP};
use super::state::{Body, State};
use super::stream::{StreamSocket, StreamState};
use super::world::Inner;
use crate::backend::{Descriptor, RawAddress, SocketOption, SocketSpec, System};

/// The world as one proactor's resources know it.
pub(super) struct Calls {
    pub(super) world: Arc<Inner>,
    pub(super) port: u32,
}

fn descriptor(number: i32) -> Descriptor {
    Descriptor(number.into())
}

impl Calls {
    /// Does something, unless the process has died.
    fn call<R>(&self, f: impl FnOnce(&mut State) -> Result<R, i32>) -> Result<R, i32> {
        let mut state = self.world.lock();
        state.idle_polls = 0;
        if state.is_alive(self.port) { f(&mut state) } else { Err(EBADF) }
    }
}

impl System for Calls {
    fn is_here(&self) -> bool {
        self.world.is_here()
    }

    fn is_gone(&self) -> bool {
        !self.world.lock_anywhere().is_alive(self.port)
    }

    fn socket(&self, spec: SocketSpec) -> Result<Descriptor, i32> {
        let body = match spec.datagram {
            true => Body::Datagram(DatagramSocket::new(spec)),
            false => Body::Stream(StreamSocket::new(spec)),
        };
        self.call(|state| Ok(descriptor(state.make(self.port, body))))
    }

    fn socket_pair(&self, datagram: bool) -> Result<(Descriptor, Descriptor), i32> {
        self.call(|state| {
            let (one, two) = if datagram { state.datagram_pair(self.port) } else { state.stream_pair(self.port) };
            Ok((descriptor(one), descriptor(two)))
        })
    }

    fn bind(&self, socket: Descriptor, address: &RawAddress) -> Result<(), i32> {
        self.call(|state| {
            let object = state.object_of(socket.0)?;
            state.bind(object, &Name::from_raw(address)?)
        })
    }

    fn listen(&self, socket: Descriptor, backlog: u32) -> Result<(), i32> {
        self.call(|state| {
            let object = state.object_of(socket.0)?;
            state.listen(object, backlog)
        })
    }

    fn set_option(&self, socket: Descriptor, option: SocketOption) -> Result<(), i32> {
        self.call(|state| {
            let object = state.object_of(socket.0)?;
            state.stream(object)?;
            match option {
                // What is sent goes at once as it is.
                SocketOption::NoDelay(_) => {}
                #[cfg(any(unix, feature = "unstable-backend"))]
                SocketOption::ResetOnClose(on) => state.stream(object)?.spec.reset_on_close = on,
            }
            Ok(())
        })
    }

    fn shutdown(&self, socket: Descriptor, receive: bool, send: bool) -> Result<(), i32> {
        self.call(|state| {
            let object = state.object_of(socket.0)?;
            state.shutdown(object, receive, send)
        })
    }

    fn local_address(&self, socket: Descriptor) -> Result<RawAddress, i32> {
        self.call(|state| {
            let object = state.object_of(socket.0)?;
            match state.body(object)? {
                Body::Stream(socket) => Ok(socket.name.to_raw()),
                Body::Datagram(socket) => Ok(socket.name.to_raw()),
                _ => Err(EOPNOTSUPP),
            }
        })
    }

    fn peer_address(&self, socket: Descriptor) -> Result<RawAddress, i32> {
        self.call(|state| {
            let object = state.object_of(socket.0)?;
            Ok(state.peer_of(object)?.to_raw())
        })
    }

    fn listens(&self, socket: Descriptor) -> Result<bool, i32> {
        self.call(|state| {
            let object = state.object_of(socket.0)?;
            Ok(matches!(state.body(object)?, Body::Stream(StreamSocket { state: StreamState::Listening { .. }, .. })))
        })
    }

    fn event(&self) -> Result<Descriptor, i32> {
        self.call(|state| Ok(descriptor(state.make(self.port, Body::Event(0)))))
    }

    fn set_event(&self, event: Descriptor, value: u64) -> Result<(), i32> {
        self.call(|state| {
            let object = state.object_of(event.0)?;
            state.set_event(object, value)
        })
    }

    fn reset_event(&self, event: Descriptor) -> Result<(), i32> {
        self.call(|state| {
            let object = state.object_of(event.0)?;
            state.take_event(object).map(|_| ()).or(Ok(()))
        })
    }

    fn pipe(&self) -> Result<(Descriptor, Descriptor), i32> {
        self.call(|state| {
            let (reader, writer) = state.make_pipe(self.port);
            Ok((descriptor(reader), descriptor(writer)))
        })
    }

    fn is_written(&self, stream: Descriptor) -> Result<bool, i32> {
        self.call(|state| {
            let object = state.object_of(stream.0)?;
            match state.body(object)? {
                Body::Pipe { written, .. } => Ok(*written),
                _ => Err(EBADF),
            }
        })
    }

    fn duplicate(&self, of: Descriptor) -> Result<Descriptor, i32> {
        self.call(|state| Ok(descriptor(state.duplicate(of.0)?)))
    }

    fn close(&self, closed: Descriptor) {
        // What a process that died had open has been closed already.
        let _ = self.world.lock_anywhere().close(closed.0);
    }
}
