//! `socket`: streams to and from granted addresses.

use std::fmt;
use std::sync::{Arc, Mutex};

use proact::operation::{Accept, Close, Connect, Receive, Send};
use proact::proactor::Handle;
use proact::resource::{self, Address, Domain, Shutdown, SocketOptions};
use proact::status::Code;

use super::argument::text;
use super::close::{Held, close};
use super::grants::Addresses;
use super::incoming::Incoming;
use super::quota::{OPEN_BYTES, Place, Places, Quota, Weigh};
use super::told;
use crate::error::{Error, Result};
use crate::module::native::{Caller, NativeModule};
use crate::value::{Access, Buffer, Object};

/// Bytes of one receive at most: so much memory a call takes beside its buffer.
const CHUNK: usize = 256 << 10;

/// A connection or a listener, as programs hold it: a reference of type `vm.socket`.
pub struct Socket {
    handle: Handle,
    socket: resource::Socket,
    /// What it is to messages.
    name: String,
    role: Role,
    place: Held,
}

enum Role {
    Listener(Incoming<Accept>),
    Connection(Incoming<Receive<Vec<u8>>>),
}

impl Object for Socket {
    const TYPE_NAME: &'static str = "vm.socket";
}

/// With what has come and was not taken.
impl Weigh for Socket {
    fn weight(&self) -> usize {
        let kept = match &self.role {
            Role::Listener(_) => 0,
            Role::Connection(incoming) => incoming.kept(),
        };
        OPEN_BYTES + self.name.len() + kept
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("name", &self.name).field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl Socket {
    /// A connection that the host has made, for a program that is given a reference to it. `socket` is of the proactor
    /// that `handle` reaches; `name` is for messages.
    pub fn connection(handle: &Handle, socket: resource::Socket, name: impl Into<String>) -> Socket {
        Socket::new(handle, socket, name.into(), Role::Connection(Incoming::new()), None)
    }

    /// A listener that the host has made, likewise.
    pub fn listener(handle: &Handle, socket: resource::Socket, name: impl Into<String>) -> Socket {
        Socket::new(handle, socket, name.into(), Role::Listener(Incoming::new()), None)
    }

    fn new(handle: &Handle, socket: resource::Socket, name: String, role: Role, place: Option<Place>) -> Socket {
        Socket { handle: handle.clone(), socket, name, role, place: Mutex::new(place) }
    }

    fn incoming(&self) -> Result<&Incoming<Receive<Vec<u8>>>> {
        match &self.role {
            Role::Connection(incoming) => Ok(incoming),
            Role::Listener(_) => Err(Error::invalid("it listens, and has no peer").about(self.name.clone())),
        }
    }

    /// Takes what has come, at least a byte: 0 is the end of the stream. With `exact` as many as the buffer holds.
    async fn receive(&self, buffer: &Buffer, exact: bool) -> Result<usize> {
        let incoming = self.incoming()?;
        let length = buffer.len();
        if buffer.access() == Access::ReadOnly {
            return Err(Error::new(Code::PermissionDenied, "the buffer is read-only"));
        }
        if length == 0 {
            return Err(Error::invalid("a receive into an empty buffer"));
        }
        let least = if exact { length } else { 1 };
        let mut turn =
            incoming.turn(&self.handle, "receives from it").map_err(|error| error.about(self.name.clone()))?;
        while turn.bytes.len() < least {
            let room = (length - turn.bytes.len()).min(CHUNK);
            // Before there is something that would be lost.
            let exhausted = |_| Error::new(Code::ResourceExhausted, format!("{room} bytes more"));
            turn.bytes.try_reserve(room).map_err(exhausted)?;
            let (receive, outcome) = turn.next(|| Receive::some(self.socket.clone(), vec![0; room])).await;
            match told(outcome.result, &self.name)? {
                0 if exact => {
                    let message = format!("the stream has ended, {} bytes before", length - turn.bytes.len());
                    return Err(Error::new(Code::OutOfRange, message).about(self.name.clone()));
                }
                0 => return Ok(0),
                count => turn.bytes.extend_from_slice(&receive.buffer[..count]),
            }
        }
        let count = turn.bytes.len().min(length);
        buffer.write(0, &turn.bytes[..count])?;
        turn.took(count);
        Ok(count)
    }

    async fn accept(&self, state: &State) -> Result<Arc<Socket>> {
        let Role::Listener(incoming) = &self.role else {
            return Err(Error::invalid("it does not listen").about(self.name.clone()));
        };
        let place = state.places.take()?;
        let mut turn =
            incoming.turn(&self.handle, "accepts from it").map_err(|error| error.about(self.name.clone()))?;
        let outcome = turn.next(|| Accept::new(self.socket.clone())).await.1;
        let accepted = told(outcome.result, &self.name)?;
        let name = format!("{} from {}", accepted.peer(), self.name);
        let role = Role::Connection(Incoming::new());
        state.counted(Socket::new(&self.handle, accepted.socket, name, role, Some(place)))
    }
}

pub(super) struct State {
    handle: Handle,
    addresses: Arc<Addresses>,
    places: Places,
    quota: Arc<Quota>,
}

impl State {
    fn address(&self, words: &Buffer, may: fn(&Addresses, &Address) -> Result<Address>) -> Result<Address> {
        let text = text(words, "an address")?;
        let address: Address = text.parse().map_err(Error::from)?;
        may(&self.addresses, &address)
    }

    async fn connect(&self, words: &Buffer) -> Result<Arc<Socket>> {
        let address = self.address(words, Addresses::may_connect)?;
        let (place, name) = (self.places.take()?, address.to_string());
        let socket = told(self.handle.socket(Domain::of(&address), &options()), &name)?;
        told(self.handle.future(Connect::new(socket.clone(), address)).await.1.result, &name)?;
        let role = Role::Connection(Incoming::new());
        self.counted(Socket::new(&self.handle, socket, name, role, Some(place)))
    }

    fn listen(&self, words: &Buffer) -> Result<Arc<Socket>> {
        let address = self.address(words, Addresses::may_listen)?;
        let place = self.places.take()?;
        let options = SocketOptions { reuse_address: true, ..options() };
        let socket = told(self.handle.listen(&address, &options), &address.to_string())?;
        let name = told(socket.local_address(), &address.to_string())?.to_string();
        self.counted(Socket::new(&self.handle, socket, name, Role::Listener(Incoming::new()), Some(place)))
    }

    /// A socket that a program has from now on.
    fn counted(&self, socket: Socket) -> Result<Arc<Socket>> {
        self.quota.make(OPEN_BYTES + socket.name.len(), || Ok(socket))
    }

    fn words(&self, address: proact::status::Result<Address>, socket: &Socket) -> Result<Arc<Buffer>> {
        let words = told(address, &socket.name)?.to_string();
        self.quota.make(words.len(), || Ok(Buffer::new(words.into_bytes(), Access::ReadOnly)))
    }
}

/// A program that sends little and waits for an answer does not wait for the system to gather more.
fn options() -> SocketOptions {
    SocketOptions { no_delay: true, ..SocketOptions::default() }
}

fn direction(number: i32) -> Result<Shutdown> {
    match number {
        0 => Ok(Shutdown::Receive),
        1 => Ok(Shutdown::Send),
        2 => Ok(Shutdown::Both),
        _ => Err(Error::invalid(format!("direction {number}: 0 (receive), 1 (send), 2 (both) are known"))),
    }
}

pub(super) fn module(
    handle: &Handle,
    addresses: Arc<Addresses>,
    quota: &Arc<Quota>,
    places: &Places,
) -> Result<Arc<NativeModule<Arc<State>>>> {
    let state = State { handle: handle.clone(), addresses, places: places.clone(), quota: quota.clone() };
    let state = Arc::new(state);
    NativeModule::with_state("socket", move || Ok(state.clone()))
        .fork(|state| Ok(state.clone()))
        .async_function("connect", |caller: Caller<Arc<State>>, address: Arc<Buffer>| async move {
            caller.connect(&address).await
        })
        .function("listen", |state: &Arc<State>, address: Arc<Buffer>| state.listen(&address))
        .async_function("accept", |caller: Caller<Arc<State>>, listener: Arc<Socket>| async move {
            listener.accept(&caller).await
        })
        .async_function("send", |_: Caller<Arc<State>>, socket: Arc<Socket>, buffer: Arc<Buffer>| async move {
            socket.incoming()?; // a listener is refused in the same words
            let send = Send::exact(socket.socket.clone(), buffer.try_to_vec()?);
            drop(buffer);
            told(socket.handle.future(send).await.1.result, &socket.name).map(drop)
        })
        .async_function("receive", |_: Caller<Arc<State>>, socket: Arc<Socket>, buffer: Arc<Buffer>| async move {
            socket.receive(&buffer, false).await.map(|count| count as i64)
        })
        .async_function("receive_exact", |_: Caller<Arc<State>>, socket: Arc<Socket>, buffer: Arc<Buffer>| async move {
            socket.receive(&buffer, true).await.map(drop)
        })
        .function("shutdown", |_: &Arc<State>, socket: Arc<Socket>, how: i32| {
            told(socket.socket.shutdown(direction(how)?), &socket.name)
        })
        .function("local_address", |state: &Arc<State>, socket: Arc<Socket>| {
            state.words(socket.socket.local_address(), &socket)
        })
        .function("peer_address", |state: &Arc<State>, socket: Arc<Socket>| {
            state.words(socket.socket.peer_address(), &socket)
        })
        .async_function("close", |_: Caller<Arc<State>>, socket: Arc<Socket>| async move {
            told(close(&socket.handle, Close::new(socket.socket.clone()), &socket.place).await, &socket.name)
        })
        .build()
}
