//! A proactor beside another runtime.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use proact::memory::{BufferPool, StableBytes, StableBytesMut};
use proact::operation::future::{OperationFuture, OperationStream, Streamed};
use proact::operation::{
    Accept, Complete, Connect, Context, Kind, Nop, Op, Open, Outcome, Reached, Read, SemaphoreWait, Timer, Write,
};
use proact::proactor::{Builder, Ended, Handle, ProactorThread, Statistics};
use proact::resource::{Address, Domain, File, OpenFlags, Socket, SocketOptions};
use proact::status::Result;
use proact::sync::Semaphore;

use crate::BufResult;
use crate::adapt::{Adapted, Options, receive_pool};

/// A proactor on a thread of its own, for a program that has a runtime already: tokio's, or any other.
///
/// Its futures are `Send` and are awaited anywhere; a wake goes to the task that waits, through that task's own
/// runtime. Dropping a future cancels its operation, and blocks nobody. Everything stands at a [`Remote`], of which
/// each task has a clone.
///
/// Dropping the companion, or [`shutdown`](Companion::shutdown), cancels what is in flight and waits for the thread's
/// end, which takes as long as the kernel takes to let go: at most some seconds. Futures that are left yield their
/// failure.
///
/// ```
/// # fn main() -> proact::status::Result {
/// use proact_async::Companion;
/// use std::time::Duration;
///
/// let companion = Companion::spawn()?;
/// let remote = companion.remote().clone();
/// let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
/// runtime.block_on(async {
///     let task = tokio::spawn(async move {
///         remote.sleep(Duration::from_millis(1)).await?;
///         let file = remote.open("Cargo.toml", proact::resource::OpenFlags::READ).await?;
///         let (count, buffer) = remote.read_at(&file, 0, vec![0; 9]).await;
///         assert_eq!(&buffer[..count?], b"[package]");
///         proact::status::Result::Ok(())
///     });
///     task.await.unwrap()
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct Companion {
    thread: ProactorThread,
    remote: Remote,
}

/// Reaches a [`Companion`]'s proactor, from any thread.
#[derive(Clone)]
pub struct Remote {
    handle: Handle,
    pool: BufferPool,
}

impl Companion {
    /// Starts one with the defaults.
    ///
    /// # Errors
    /// As for [`ProactorThread::spawn`], and `ResourceExhausted` when there is no memory for its pool.
    pub fn spawn() -> Result<Companion> {
        Companion::with(Builder::new())
    }

    /// Starts one whose proactor is as `builder` says.
    ///
    /// # Errors
    /// As for [`Companion::spawn`].
    pub fn with(builder: Builder) -> Result<Companion> {
        let pool = receive_pool()?;
        let thread = ProactorThread::spawn(builder)?;
        let remote = Remote { handle: thread.handle().clone(), pool };
        Ok(Companion { thread, remote })
    }

    /// What tasks reach it by.
    pub fn remote(&self) -> &Remote {
        &self.remote
    }

    /// Ends it, and tells how it went. It blocks for at most `deadline`: not in a task that others wait behind.
    ///
    /// # Errors
    /// As for [`ProactorThread::join_timeout`].
    pub fn shutdown(self, deadline: Duration) -> Result<Ended> {
        self.thread.join_timeout(deadline)
    }
}

impl Deref for Companion {
    type Target = Remote;

    fn deref(&self) -> &Remote {
        &self.remote
    }
}

impl Remote {
    /// The handle of its proactor: what makes sockets, events and scopes.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The pool that its connections receive into: 256 buffers of 16 KiB.
    pub fn pool(&self) -> &BufferPool {
        &self.pool
    }

    /// Any operation as a future: [`Handle::future`].
    #[track_caller]
    pub fn operation<K: Kind + Send>(&self, kind: K) -> OperationFuture<K>
    where
        K::Output: Send,
    {
        self.handle.future(kind)
    }

    /// A multishot operation as a stream: [`Handle::stream`].
    #[track_caller]
    pub fn stream<K: Streamed + Send>(&self, kind: K) -> OperationStream<K>
    where
        K::Output: Send,
    {
        self.handle.stream(kind)
    }

    /// What the proactor has counted, for `metrics::publish` or a look.
    ///
    /// # Errors
    /// `Cancelled` or `Aborted` when the companion ends before; `ResourceExhausted` at its limit of operations.
    pub async fn statistics(&self) -> Result<Statistics> {
        let told = Arc::new(Mutex::new(Told::default()));
        self.handle.submit(Op::new(Nop, Tell(told.clone()))).map_err(|refused| refused.status)?;
        poll_fn(|cx| {
            let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
            match told.answer.take() {
                Some(answer) => Poll::Ready(answer),
                None => {
                    told.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Waits for so long, from this call on, on the proactor's clock.
    ///
    /// # Errors
    /// `Cancelled` or `Aborted` when the companion ends before; `ResourceExhausted` at its limit of operations.
    pub fn sleep(&self, duration: Duration) -> impl Future<Output = Result> + Send + 'static {
        let timer = self.handle.future(Timer::new(self.handle.clock().now() + duration));
        async { timer.await.1.result }
    }

    /// Waits until `semaphore` has reached `value`, and yields what is known to have happened before.
    ///
    /// # Errors
    /// As for [`SemaphoreWait`].
    pub async fn wait(&self, semaphore: &Semaphore, value: u64) -> Result<Reached> {
        self.handle.future(SemaphoreWait::new(semaphore.clone(), value)).await.1.result
    }

    /// Opens a file.
    ///
    /// # Errors
    /// As for [`Open`].
    pub async fn open(&self, path: impl AsRef<Path>, flags: OpenFlags) -> Result<File> {
        let open = Open::new(path, flags);
        self.handle.future(open).await.1.result
    }

    /// Reads what there is at `offset`, at most the buffer's length; 0 at the end. The buffer comes back.
    ///
    /// # Errors
    /// As for [`Read`].
    pub async fn read_at<B: StableBytesMut + Send>(&self, file: &File, offset: u64, buffer: B) -> BufResult<usize, B> {
        let (read, outcome) = self.handle.future(Read::some(file.clone(), offset, buffer)).await;
        (outcome.result, read.buffer)
    }

    /// Writes the whole buffer at `offset`. The buffer comes back.
    ///
    /// # Errors
    /// As for [`Write`].
    pub async fn write_at<B: StableBytes + Send>(&self, file: &File, offset: u64, buffer: B) -> BufResult<usize, B> {
        let (write, outcome) = self.handle.future(Write::exact(file.clone(), offset, buffer)).await;
        (outcome.result, write.buffer)
    }

    /// Connects to `address`.
    ///
    /// # Errors
    /// As for [`Connect`].
    pub async fn connect(&self, address: Address) -> Result<Adapted<Handle>> {
        let socket = self.handle.socket(Domain::of(&address), &SocketOptions::default())?;
        self.handle.future(Connect::new(socket.clone(), address)).await.1.result?;
        Ok(self.adapt(socket))
    }

    /// Listens on `address`; port 0 lets the system choose, and the socket tells.
    ///
    /// # Errors
    /// As for [`Handle::listen`].
    pub fn listen(&self, address: &Address) -> Result<Socket> {
        self.handle.listen(address, &SocketOptions::default())
    }

    /// Accepts one connection, and says who connected. Dropping the future loses none: one that comes all the same is
    /// closed.
    ///
    /// # Errors
    /// As for [`Accept`].
    pub async fn accept(&self, listener: &Socket) -> Result<(Adapted<Handle>, Address)> {
        let accepted = self.handle.future(Accept::new(listener.clone())).await.1.result?;
        let peer = accepted.peer();
        Ok((self.adapt(accepted.socket), peer))
    }

    /// A connected stream socket of this proactor under the traits of others.
    pub fn adapt(&self, socket: Socket) -> Adapted<Handle> {
        Adapted::on(&self.handle, socket, &Options::pooled(&self.pool))
    }
}

/// What one who asked for the statistics waits for.
#[derive(Default)]
struct Told {
    answer: Option<Result<Statistics>>,
    waker: Option<Waker>,
}

/// Looks at the statistics where they are kept, on the proactor's own thread.
struct Tell(Arc<Mutex<Told>>);

impl Complete<Nop> for Tell {
    fn done(op: Box<Op<Nop, Tell>>, outcome: Outcome<Nop>, cx: &mut Context<'_>) {
        let answer = outcome.result.map(|()| cx.statistics());
        let mut told = op.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.answer = Some(answer);
        let waker = told.waker.take();
        drop(told);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("proactor", &self.handle.name()).finish_non_exhaustive()
    }
}
