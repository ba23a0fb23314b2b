//! The system's resolver, on few threads of its own.
//!
//! `getaddrinfo` blocks, for as long as it likes, and cannot be interrupted. So it is called on threads that do nothing
//! else, as many as are said at most, and started when there is something to do; who waits for one of them stands in a
//! line that is bounded too, and leaves it when its future is dropped.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use proact::status::{Code, Operation, Result, Status};

use super::{Resolve, literal};
use crate::atomic::{Condvar, Mutex, MutexGuard, ThreadBuilder};

/// Looks names up as the system does (`getaddrinfo`): `/etc/hosts`, the name service, IPv6 zones, the order of
/// RFC 6724. It blocks no runtime: lookups wait on threads of its own.
///
/// At most so many lookups go on at once, four if it is not said, and at most so many wait for their turn, 1024 if it
/// is not said; then they are refused. A lookup whose future is dropped leaves the line; one that goes on already
/// cannot be interrupted, and its thread is free when the system answers. A thread that had nothing to do for ten
/// seconds ends.
///
/// A clone is the same resolver. [`SystemResolver::shared`] is one for the whole process.
///
/// ```
/// use proact_async::net::{Resolve, SystemResolver};
///
/// # fn main() -> proact::status::Result {
/// proact_async::Runtime::new()?.block_on(async {
///     let addresses = SystemResolver::shared().resolve("localhost", 80).await?;
///     assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct SystemResolver {
    owner: Arc<Owner>,
}

/// Of all clones of a resolver, and of none of its threads: when it goes, they do.
struct Owner(Arc<Pool>);

type Found = Result<Vec<SocketAddr>>;

type Lookup = dyn Fn(&str, u16) -> Found + Send + Sync;

struct Pool {
    state: Mutex<State>,
    more: Condvar,
    threads_max: usize,
    waiting_max: usize,
    lookup: Box<Lookup>,
}

#[derive(Default)]
struct State {
    /// Lookups that no thread has taken yet, first come first served.
    line: BTreeMap<u64, Arc<Job>>,
    next: u64,
    threads: usize,
    /// Threads that wait for work, or have just been started.
    idle: usize,
    /// The resolver has gone.
    closed: bool,
}

/// One lookup, shared by its future and the thread that does it.
struct Job {
    host: String,
    port: u16,
    /// The answer until it is taken, and whom it wakes.
    answer: Mutex<(Option<Found>, Option<Waker>)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long a thread without work stays.
const IDLE: Duration = Duration::from_secs(10);

impl SystemResolver {
    /// One of its own, with at most `threads` lookups at once and `waiting` behind them; both at least 1.
    pub fn new(threads: usize, waiting: usize) -> SystemResolver {
        SystemResolver::with(threads, waiting, Box::new(system))
    }

    /// The process's: four lookups at once, 1024 behind them.
    pub fn shared() -> SystemResolver {
        static SHARED: OnceLock<SystemResolver> = OnceLock::new();
        SHARED.get_or_init(|| SystemResolver::new(4, 1024)).clone()
    }

    fn with(threads: usize, waiting: usize, lookup: Box<Lookup>) -> SystemResolver {
        let (threads_max, waiting_max) = (threads.max(1), waiting.max(1));
        let (state, more) = (Mutex::default(), Condvar::new());
        let pool = Arc::new(Pool { state, more, threads_max, waiting_max, lookup });
        SystemResolver { owner: Arc::new(Owner(pool)) }
    }

    /// Lookups that wait for their turn.
    pub fn waiting(&self) -> usize {
        lock(&self.owner.0.state).line.len()
    }
}

impl Default for SystemResolver {
    fn default() -> SystemResolver {
        SystemResolver::shared()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        lock(&self.0.state).closed = true;
        self.0.more.notify_all();
    }
}

impl Resolve for SystemResolver {
    /// # Errors
    /// `Unavailable` when the system knows no address, or does not now, with its text; `ResourceExhausted` when too
    /// many wait already, or no thread can be had; `InvalidArgument` for what is no name.
    async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>> {
        if let Some(address) = literal(host, port) {
            return address.map(|address| vec![address]);
        }
        let job = Arc::new(Job { host: host.to_owned(), port, answer: Mutex::default() });
        let pool = &self.owner.0;
        let _place = Place { pool, number: pool.enter(&job)? };
        poll_fn(|cx| {
            let mut answer = lock(&job.answer);
            if let Some(answer) = answer.0.take() {
                return Poll::Ready(answer);
            }
            let known = answer.1.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
            let old = if known { None } else { answer.1.replace(cx.waker().clone()) };
            drop(answer);
            drop(old);
            Poll::Pending
        })
        .await
    }
}

/// A place in the line, left when the future goes.
struct Place<'a> {
    pool: &'a Pool,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let left = lock(&self.pool.state).line.remove(&self.number);
        drop(left);
    }
}

impl Pool {
    /// Puts a lookup into the line, and sees to it that a thread takes it.
    fn enter(self: &Arc<Pool>, job: &Arc<Job>) -> Result<u64> {
        let mut state = lock(&self.state);
        // Those that a thread is about to take do not wait.
        if state.line.len() >= self.waiting_max + state.idle {
            let why = format!("{} lookups wait already", state.line.len());
            return Err(refused(&job.host, Code::ResourceExhausted, why));
        }
        let number = state.next;
        if state.line.len() >= state.idle && state.threads < self.threads_max {
            let pool = self.clone();
            let thread = ThreadBuilder::new().name(format!("resolver-{}", state.threads));
            match thread.spawn(move || pool.work()) {
                Ok(_) => {
                    state.threads += 1;
                    state.idle += 1;
                }
                // Those that are there will come to it.
                Err(_) if state.threads > 0 => {}
                Err(error) => return Err(refused(&job.host, Code::ResourceExhausted, error.to_string())),
            }
        }
        state.next += 1;
        state.line.insert(number, job.clone());
        drop(state);
        self.more.notify_one();
        Ok(number)
    }

    /// What a thread does.
    fn work(&self) {
        let mut state = lock(&self.state);
        state.idle -= 1;
        loop {
            let Some((_, job)) = state.line.pop_first() else {
                if state.closed {
                    break;
                }
                state.idle += 1;
                let (woken, slept) = self.more.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
                state = woken;
                state.idle -= 1;
                if slept.timed_out() && state.line.is_empty() {
                    break;
                }
                continue;
            };
            drop(state);
            let found = (self.lookup)(&job.host, job.port);
            let mut answer = lock(&job.answer);
            answer.0 = Some(found);
            let waker = answer.1.take();
            drop(answer);
            if let Some(waker) = waker {
                waker.wake();
            }
            drop(job);
            state = lock(&self.state);
        }
        state.threads -= 1;
    }
}

fn refused(host: &str, code: Code, why: String) -> Status {
    Status::new(code, Operation::None).with_message(why).with_context(format!("address of {host:?}"))
}

fn system(host: &str, port: u16) -> Result<Vec<SocketAddr>> {
    match (host, port).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
            Err(refused(host, Code::InvalidArgument, error.to_string()))
        }
        // The standard library tells neither which of the resolver's failures it was nor whether it may pass.
        Err(error) => Err(refused(host, Code::Unavailable, error.to_string())),
    }
}

impl fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.owner.0.state);
        f.debug_struct("SystemResolver").field("threads", &state.threads).field("waiting", &state.line.len()).finish()
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
