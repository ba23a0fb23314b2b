//! A proactor, from any thread.

use std::sync::Arc;

use crate::backend::Capabilities;
use crate::operation::engine::Shared;
use crate::operation::{Batch, Context, OperationId, Refused};
use crate::resource::{Address, Domain, Socket, SocketOptions};
use crate::status::Result;
use crate::sync::Event;
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

    /// Makes the current poll, or the next one, return.
    pub fn wake(&self) {
        self.shared.request_wake();
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

    /// Makes an event.
    pub fn event(&self) -> Result<Event> {
        Event::create(self.shared.home)
    }

    /// Makes a stream socket.
    pub fn socket(&self, domain: Domain, options: &SocketOptions) -> Result<Socket> {
        Socket::create(self.shared.home, domain, options)
    }

    /// Makes a listener on `address`; port 0 lets the system choose, and [`Socket::local_address`] tells.
    ///
    /// # Errors
    /// `AlreadyExists` when the address is in use.
    #[cfg(unix)]
    pub fn listen(&self, address: &Address, options: &SocketOptions) -> Result<Socket> {
        let socket = self.socket(Domain::of(address), options)?;
        socket.bind(address)?;
        socket.listen(0)?;
        Ok(socket)
    }

    /// Makes a listener on `address`.
    #[cfg(not(unix))]
    pub fn listen(&self, address: &Address, options: &SocketOptions) -> Result<Socket> {
        self.socket(Domain::of(address), options)
    }
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({}, {})", self.shared.home.proactor, self.shared.backend_name)
    }
}

impl Context<'_> {
    /// A handle to the proactor that runs this callback.
    pub fn handle(&self) -> Handle {
        Handle::new(self.engine().shared.clone())
    }

    /// What was counted so far.
    pub fn statistics(&self) -> super::Statistics {
        super::Statistics::of(self.engine())
    }
}
