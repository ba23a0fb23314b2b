//! Accepting connections, and serving each by a task, until it is time to stop.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use proact::resource::Address;
use proact::status::{Code, Result, Status};

use super::tcp::{TcpListener, TcpStream};
use super::together::{First, first};
use crate::scope::{Scope, scope};
use crate::stop::Stop;
use crate::time::sleep;

/// What connections come from.
pub trait Listener {
    /// A connection.
    type Connection: 'static;

    /// Accepts one, and says who connected. It is dropped when the server stops, and must leak none then.
    ///
    /// # Errors
    /// Why none was accepted. The listener stays usable if its code is one that [`Server`] goes on after.
    fn accept(&self) -> impl Future<Output = Result<(Self::Connection, Address)>>;
}

impl Listener for TcpListener {
    type Connection = TcpStream;

    fn accept(&self) -> impl Future<Output = Result<(TcpStream, Address)>> {
        TcpListener::accept(self)
    }
}

#[cfg(unix)]
impl Listener for super::UnixListener {
    type Connection = super::UnixStream;

    fn accept(&self) -> impl Future<Output = Result<(super::UnixStream, Address)>> {
        super::UnixListener::accept(self)
    }
}

/// Serves the connections of a listener, each by a task, until it is asked to stop.
///
/// - **Failures to accept do not end it.** When descriptors or memory are short (`EMFILE`, `ENFILE`, `ENOBUFS`,
///   `ENOMEM`) it pauses, so that connections may end, and goes on; a connection that was gone before it was accepted
///   (`ECONNABORTED` and its like) is passed over.
/// - **A bound on connections**: when so many are open, the next wait in the kernel's queue.
/// - **A graceful end**: when its [`Stop`] is requested it closes the listener and lets the connections finish, as long
///   as it is said; those that are open then are cancelled: their operations end with `Cancelled`, their tasks may look
///   at that and end, and what still waits is dropped. It returns when all of them have ended, with their operations.
///
/// All of it is one [scope](mod@crate::scope), which the future of [`Server::run`] is.
///
/// ```
/// use std::time::Duration;
///
/// use proact_async::net::{Server, TcpListener, TcpStream};
/// use proact_async::{Stop, spawn};
///
/// async fn echo(stream: TcpStream) {
///     let mut buffer = vec![0; 4096];
///     while let (Ok(count @ 1..), read) = stream.read(buffer).await {
///         buffer = stream.write_all(read[..count].to_vec()).await.1;
///         buffer.resize(4096, 0);
///     }
/// }
///
/// # fn main() -> proact::status::Result {
/// proact_async::Runtime::new()?.block_on(async {
///     let listener = TcpListener::bind("127.0.0.1:0".parse()?)?;
///     let (address, stop) = (listener.local_address()?, Stop::new());
///     let server = Server::new(listener).connections_max(1000).grace(Duration::from_secs(5));
///     let serving = spawn(server.run(stop.clone(), |stream, _| echo(stream)));
///
///     let client = TcpStream::connect(address).await?;
///     client.write_all(b"hello".to_vec()).await.0?;
///     assert_eq!(client.read_exact(vec![0; 5]).await.1, b"hello");
///     stop.request();
///     drop(client);
///     let report = serving.await.unwrap();
///     assert_eq!((report.finished, report.cancelled), (1, 0));
///     Ok(())
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct Server<L = TcpListener> {
    listener: L,
    connections_max: usize,
    grace: Duration,
    pause: Duration,
}

/// What a server did until its end. Every connection that was accepted is in one of `finished`, `cancelled` and
/// `panicked`.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Connections that were accepted.
    pub accepted: u64,
    /// Those whose tasks ended by themselves, before the grace was over.
    pub finished: u64,
    /// Those that were cancelled when it was over, or by the end of a scope around the server.
    pub cancelled: u64,
    /// Those whose tasks panicked.
    pub panicked: u64,
    /// Connections that were gone before they were accepted.
    pub lost: u64,
    /// How often it paused because descriptors or memory were short.
    pub pauses: u64,
    /// Why it stopped accepting, if it was not asked to.
    pub failure: Option<Status>,
}

/// Failures in a row after which it pauses as well, whatever they are: it must not spin.
const FAILURES_MAX: u32 = 16;

impl<L: Listener> Server<L> {
    /// A server without a bound on connections; 30 s of grace; pauses of 100 ms.
    pub fn new(listener: L) -> Server<L> {
        let (grace, pause) = (Duration::from_secs(30), Duration::from_millis(100));
        Server { listener, connections_max: usize::MAX, grace, pause }
    }

    /// How many connections may be open at once, at least 1. Keep it below the number of descriptors that the process
    /// may have, and of operations that its proactor may have in flight.
    #[must_use]
    pub fn connections_max(mut self, connections: usize) -> Server<L> {
        self.connections_max = connections.max(1);
        self
    }

    /// How long connections may go on after a stop was requested.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Server<L> {
        self.grace = grace;
        self
    }

    /// How long it pauses when no connection can be accepted for want of descriptors or memory.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Server<L> {
        self.pause = pause;
        self
    }

    /// Serves each connection by the future that `serve` makes of it, until `stop` is requested or the listener fails
    /// for good. A connection that is to end soon after that, rather than with the grace, looks at the same `stop`.
    ///
    /// Dropping the future closes the listener and drops the connections' tasks, and waits for nothing.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub async fn run<F>(self, stop: Stop, mut serve: impl FnMut(L::Connection, Address) -> F) -> Report
    where
        F: Future<Output = ()> + 'static,
    {
        let tally = Rc::new(Tally::default());
        let grace = self.grace;
        let ended = scope(async |scope| {
            self.accept_all(&stop, &tally, |connection, peer| {
                let (open, future) = (Open::new(&tally, scope), serve(connection, peer));
                scope.spawn(async move {
                    future.await;
                    open.finished();
                });
            })
            .await;
            // Closed: who would connect is refused from now on.
            drop(self);
            if let First::Other(()) = first(tally.at_most(0), sleep(grace)).await {
                scope.cancel();
            }
        })
        .await;
        let mut report = tally.report.borrow().clone();
        if let Err(ended) = ended {
            // The scope around it has ended, and dropped this one's body.
            let cancelled = || Status::new(Code::Cancelled, proact::status::Operation::SocketAccept);
            report.failure.get_or_insert_with(|| cancelled().with_message(ended.to_string()));
        }
        report
    }

    async fn accept_all(&self, stop: &Stop, tally: &Tally, mut accepted: impl FnMut(L::Connection, Address)) {
        let mut failures = 0;
        loop {
            if let First::One(()) = first(stop.requested(), tally.at_most(self.connections_max - 1)).await {
                return;
            }
            let next = match first(stop.requested(), self.listener.accept()).await {
                First::One(()) => return,
                First::Other(next) => next,
            };
            let status = match next {
                Ok((connection, peer)) => {
                    failures = 0;
                    tally.report.borrow_mut().accepted += 1;
                    accepted(connection, peer);
                    continue;
                }
                Err(status) => status,
            };
            failures += 1;
            match tally.failed(status, failures) {
                Next::Again => continue,
                Next::Pause => {}
                Next::End => return,
            }
            if let First::One(()) = first(stop.requested(), sleep(self.pause)).await {
                return;
            }
        }
    }
}

/// What a server counts.
#[derive(Default)]
struct Tally {
    open: Cell<usize>,
    report: RefCell<Report>,
    /// Waits for fewer to be open.
    waker: RefCell<Option<Waker>>,
}

/// What comes after a failure to accept.
enum Next {
    Again,
    Pause,
    End,
}

impl Tally {
    /// Notes a failure to accept, the last of so many in a row.
    fn failed(&self, status: Status, failures: u32) -> Next {
        let mut report = self.report.borrow_mut();
        match status.code() {
            Code::ResourceExhausted => {}
            // What accept(2) tells of a connection rather than of the listener; EPROTO is unknown elsewhere.
            Code::Unavailable | Code::Aborted | Code::DeadlineExceeded | Code::PermissionDenied | Code::Unknown => {
                report.lost += 1;
                if failures < FAILURES_MAX {
                    return Next::Again;
                }
            }
            _ => {
                report.failure = Some(status);
                return Next::End;
            }
        }
        report.pauses += 1;
        Next::Pause
    }

    /// Waits until no more than so many connections are open.
    async fn at_most(&self, connections: usize) {
        poll_fn(|cx| {
            if self.open.get() <= connections {
                return Poll::Ready(());
            }
            let old = self.waker.replace(Some(cx.waker().clone()));
            drop(old);
            Poll::Pending
        })
        .await
    }
}

/// Counts a connection from its accept until its task's future is dropped.
struct Open {
    tally: Rc<Tally>,
    scope: Scope,
    finished: bool,
}

impl Open {
    fn new(tally: &Rc<Tally>, scope: &Scope) -> Open {
        tally.open.set(tally.open.get() + 1);
        Open { tally: tally.clone(), scope: scope.clone(), finished: false }
    }

    /// Its task has come to its end.
    fn finished(mut self) {
        self.finished = !self.scope.is_cancelled();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut report = self.tally.report.borrow_mut();
        let count = if self.finished {
            &mut report.finished
        } else if std::thread::panicking() {
            &mut report.panicked
        } else {
            &mut report.cancelled
        };
        *count += 1;
        drop(report);
        self.tally.open.set(self.tally.open.get() - 1);
        let waker = self.tally.waker.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
