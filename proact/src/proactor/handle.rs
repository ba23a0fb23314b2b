//! A proactor, from any thread.

use std::sync::Arc;

use crate::backend::Capabilities;
use crate::operation::engine::Shared;
use crate::operation::future::{OperationFuture, OperationStream, Streamed};
use crate::operation::{Batch, Context, Kind, Message, OperationId, Refused, Scope};
use crate::resource::{Address, Domain, Socket, SocketOptions, SocketType};
#[cfg(unix)]
use crate::resource::{File, Returned};
use crate::status::Result;
use crate::sync::{Event, EventPool};
use crate::time::Clock;

/// Reaches a proactor from any thread: submits, cancels, wakes, and makes resources. Cloning it is one count.
///
/// It does not keep the proactor running: after a shutdown submits get their operations back.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Handle {
        Handle { shared }
    }

    pub(super) fn home(&self) -> crate::resource::Home {
        self.shared.home
    }

    /// Submits a batch from another thread, as [`Proactor::submit`](super::Proactor::submit) does from its own.
    ///
    /// One thread's submits stay in order. The poll thread is woken if it sleeps. The limit is one of its own: see
    /// [`Builder::remote_operations`](super::Builder::remote_operations).
    ///
    /// ```
    /// # use proact::operation::{Nop, Op};
    /// let thread = proact::proactor::ProactorThread::spawn(proact::proactor::Builder::new()).unwrap();
    /// let handle = thread.handle().clone();
    /// std::thread::spawn(move || handle.submit(Op::new(Nop, ())).unwrap()).join().unwrap();
    /// thread.join().unwrap();
    /// ```
    #[track_caller]
    pub fn submit<B: Batch + Send>(&self, batch: B) -> Result<B::Ids, Refused<B>> {
        self.shared.submit(batch)
    }

    /// Asks that an operation end early, as [`Proactor::cancel`](super::Proactor::cancel) does.
    #[track_caller]
    pub fn cancel(&self, id: OperationId) -> Result<()> {
        self.shared.cancel(id)
    }

    /// An operation as a future, from any thread and under any executor: see
    /// [`future`](crate::operation::future).
    ///
    /// ```
    /// # use proact::operation::Nop;
    /// # use proact::proactor::{Builder, ProactorThread};
    /// # fn block_on<F: Future>(future: F) -> F::Output {
    /// #     let mut future = std::pin::pin!(future);
    /// #     loop {
    /// #         let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// #         if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut cx) {
    /// #             return output;
    /// #         }
    /// #         std::thread::yield_now();
    /// #     }
    /// # }
    /// let thread = ProactorThread::spawn(Builder::new())?;
    /// let handle = thread.handle().clone();
    /// let (Nop, outcome) = block_on(async move { handle.future(Nop).await });
    /// assert!(outcome.result.is_ok());
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    #[track_caller]
    pub fn future<K: Kind + Send>(&self, kind: K) -> OperationFuture<K>
    where
        K::Output: Send,
    {
        OperationFuture::any_thread(kind, self.shared.clone())
    }

    /// A multishot operation as a stream of its outcomes, from any thread and under any executor: see
    /// [`future`](crate::operation::future).
    #[track_caller]
    pub fn stream<K: Streamed + Send>(&self, kind: K) -> OperationStream<K>
    where
        K::Output: Send,
    {
        OperationStream::any_thread(kind, self.shared.clone())
    }

    /// Makes the current poll, or the next one, return.
    /// Makes the current poll, or the next one, return. On another thread than its simulated world's it does nothing.
    pub fn wake(&self) {
        self.shared.request_wake();
    }

    /// Whether the operation was submitted to this proactor.
    pub fn submitted(&self, id: OperationId) -> bool {
        id.proactor == self.shared.home.proactor
    }

    /// What the proactor is called: [`Builder::name`](super::Builder::name).
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Sends 64 bits to the proactor, whose receiver ([`Proactor::on_message`](super::Proactor::on_message)) is told in
    /// its next pass. Nobody is told at the sender: what needs an end of its own, or stands in a chain, is a
    /// [`Message`] operation.
    ///
    /// From any thread, a callback of the same proactor or a signal handler: it takes no lock, never blocks, allocates
    /// nothing (but see [`Builder::unbounded_messages`](super::Builder::unbounded_messages)) and leaves `errno` alone
    /// on Linux. One sender's messages arrive in their order. A system call is made only when the poll thread sleeps,
    /// one a sleep.
    ///
    /// Messages wait while the proactor has no receiver. What was taken is told, also when the proactor is shut down
    /// meanwhile, as long as it has a receiver and its shutdown's deadline lasts.
    ///
    /// # Errors
    /// `ResourceExhausted` when [as many wait](super::Builder::messages) as may: they are told first. `Aborted` after a
    /// shutdown. The message was not taken then.
    ///
    /// ```
    /// # use proact::time::Timeout;
    /// let mut proactor = proact::proactor::Builder::new().build()?;
    /// let (told, messages) = std::sync::mpsc::channel();
    /// proactor.on_message(move |message, _| told.send(message).unwrap());
    /// let handle = proactor.handle().clone();
    /// std::thread::spawn(move || handle.send_message(42)).join().unwrap()?;
    /// proactor.poll(Timeout::Infinite)?;
    /// assert_eq!(messages.try_recv(), Ok(42));
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    #[track_caller]
    #[inline]
    pub fn send_message(&self, message: u64) -> Result<()> {
        self.shared.send_message(message)
    }

    /// The clock that deadlines are on.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The backend's name.
    pub fn backend(&self) -> &'static str {
        self.shared.backend_name
    }

    /// What the backend does better than the portable path: detected and allowed.
    pub fn capabilities(&self) -> Capabilities {
        self.shared.capabilities
    }

    /// Makes a scope: operations that can be ended together.
    pub fn scope(&self) -> Scope {
        Scope::new(self.shared.home)
    }

    /// Makes an event: one descriptor.
    ///
    /// # Errors
    /// `ResourceExhausted` when the process or the system has no descriptor left, `Unavailable` on systems
    /// without events.
    pub fn event(&self) -> Result<Event> {
        Event::create(self.shared.home)
    }

    /// Makes a pool of `count` events, which grows when more are needed.
    ///
    /// # Errors
    /// `ResourceExhausted` when the process or the system has no descriptor left, `Unavailable` on systems without
    /// events.
    pub fn event_pool(&self, count: u32) -> Result<EventPool> {
        EventPool::create(self.shared.home, count, None)
    }

    /// [`Handle::event_pool`] on a NUMA node: its memory lies there, and its events are made there, by the calling
    /// thread, which goes to that node's processors for the moment. Where the system does not allow the one or the
    /// other, the pool is as good as any; [`EventPool::is_placed`] says so.
    ///
    /// # Errors
    /// `NotFound` for a node that does not exist, and as for [`Handle::event_pool`].
    pub fn event_pool_on(&self, node: u32, count: u32) -> Result<EventPool> {
        EventPool::create(self.shared.home, count, Some(node))
    }

    /// Makes a stream socket: TCP, or Unix stream.
    ///
    /// # Errors
    /// `ResourceExhausted` when the process or the system has no descriptor left, `Unavailable` for a family or an
    /// option that the system lacks, `InvalidArgument` for an option that this socket does not have.
    pub fn socket(&self, domain: Domain, options: &SocketOptions) -> Result<Socket> {
        Socket::create(self.shared.home, domain, SocketType::Stream, options)
    }

    /// Makes a datagram socket: UDP, or Unix datagram. Bind it to receive from anyone, connect it to speak with one.
    ///
    /// # Errors
    /// As for [`Handle::socket`].
    ///
    /// ```
    /// use proact::operation::{Complete, Context, Op, Outcome, ReceiveFrom, SendTo};
    /// use proact::resource::{Domain, SocketOptions};
    ///
    /// struct Arrived;
    ///
    /// impl Complete<ReceiveFrom<Vec<u8>>> for Arrived {
    ///     fn done(op: Box<Op<ReceiveFrom<Vec<u8>>, Self>>, out: Outcome<ReceiveFrom<Vec<u8>>>, _: &mut Context<'_>) {
    ///         let received = out.result.unwrap();
    ///         assert_eq!((&op.kind.buffer[..received.length], received.truncated), (b"hello".as_slice(), false));
    ///     }
    /// }
    ///
    /// # fn main() -> proact::status::Result {
    /// let mut proactor = proact::proactor::Builder::new().build()?;
    /// let handle = proactor.handle().clone();
    /// let here = handle.datagram(Domain::Ipv4, &SocketOptions::default())?;
    /// let there = handle.datagram(Domain::Ipv4, &SocketOptions::default())?;
    /// there.bind(&"127.0.0.1:0".parse()?)?;
    /// let address = there.local_address()?;
    /// let receive = Op::new(ReceiveFrom::new(there, vec![0; 1500]), Arrived);
    /// let send = Op::new(SendTo::new(here, b"hello".as_slice(), address), ());
    /// proactor.submit((receive, send)).unwrap();
    /// proactor.run()
    /// # }
    /// ```
    pub fn datagram(&self, domain: Domain, options: &SocketOptions) -> Result<Socket> {
        Socket::create(self.shared.home, domain, SocketType::Datagram, options)
    }

    /// Makes two Unix sockets that are each other's peer, without names.
    ///
    /// # Errors
    /// As for [`Handle::socket`].
    pub fn socket_pair(&self, kind: SocketType) -> Result<(Socket, Socket)> {
        Socket::pair(self.shared.home, kind)
    }

    /// Takes in a socket that is there already: a stream or datagram socket over IPv4, IPv6 or Unix, connected,
    /// listening or neither. From then on the proactor owns it; [`Socket::into_fd`] gives it out again.
    ///
    /// Its blocking mode is set as the backend needs it, which all descriptors of the same socket share, and it is
    /// closed on exec from now on. What went on on it before is its own affair: bytes that another reader has buffered
    /// are gone from it.
    ///
    /// # Errors
    /// Gives the descriptor back as it was: `InvalidArgument` for anything that is no such socket.
    #[cfg(unix)]
    pub fn import_socket(&self, fd: std::os::fd::OwnedFd) -> Result<Socket, Returned<std::os::fd::OwnedFd>> {
        Socket::import(self.shared.home, fd)
    }

    /// Takes in an open file, directory or device. [`File::into_fd`] gives it out again.
    ///
    /// It is closed on exec from now on. Its position is not used: all I/O names its offset.
    ///
    /// # Errors
    /// Gives the descriptor back as it was: `InvalidArgument` for what has no offsets (pipes, sockets) and for
    /// descriptors that only name a path.
    #[cfg(unix)]
    pub fn import_file(&self, fd: std::os::fd::OwnedFd) -> Result<File, Returned<std::os::fd::OwnedFd>> {
        File::import(self.shared.home, fd)
    }

    /// Makes a stream socket that listens on `address`; port 0 lets the system choose, and [`Socket::local_address`]
    /// tells.
    ///
    /// # Errors
    /// `AlreadyExists` when the address is in use.
    pub fn listen(&self, address: &Address, options: &SocketOptions) -> Result<Socket> {
        let socket = self.socket(Domain::of(address), options)?;
        socket.bind(address)?;
        socket.listen(0)?;
        Ok(socket)
    }
}

impl Message {
    /// Sends `message` to the proactor that `to` reaches.
    pub fn new(to: &Handle, message: u64) -> Message {
        Message::to_shared(to.shared.clone(), message)
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({} {:?}, {})", self.shared.home.proactor, self.name(), self.shared.backend_name)
    }
}

impl Context<'_> {
    /// A handle to the proactor that runs this callback.
    pub fn handle(&self) -> Handle {
        Handle::new(self.engine().shared.clone())
    }

    /// As [`Proactor::on_message`](super::Proactor::on_message), from a callback: so it is for a
    /// [`ProactorThread`](super::ProactorThread), by an operation that is submitted first.
    ///
    /// ```
    /// use proact::operation::{Complete, Context, Nop, Op, Outcome};
    /// use proact::proactor::{Builder, ProactorThread};
    ///
    /// struct Listen(std::sync::mpsc::Sender<u64>);
    ///
    /// impl Complete<Nop> for Listen {
    ///     fn done(op: Box<Op<Nop, Self>>, _: Outcome<Nop>, cx: &mut Context<'_>) {
    ///         cx.on_message(move |message, _| op.state.0.send(message).unwrap());
    ///     }
    /// }
    ///
    /// let thread = ProactorThread::spawn(Builder::new()).unwrap();
    /// let (told, messages) = std::sync::mpsc::channel();
    /// thread.handle().submit(Op::new(Nop, Listen(told))).unwrap();
    /// thread.handle().send_message(42).unwrap(); // waits for the receiver, should it come first
    /// assert_eq!(messages.recv(), Ok(42));
    /// ```
    pub fn on_message(&mut self, receiver: impl FnMut(u64, &mut Context<'_>) + 'static) {
        self.engine_mut().set_receiver(Some(Box::new(receiver)));
    }

    /// As [`Proactor::hold_messages`](super::Proactor::hold_messages), from a callback.
    pub fn hold_messages(&mut self) {
        self.engine_mut().set_receiver(None);
    }

    /// What was counted so far.
    pub fn statistics(&self) -> super::Statistics {
        super::Statistics::of(self.engine())
    }
}
