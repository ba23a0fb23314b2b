//! How a proactor thread behaves, and who supplies it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::ThreadBody;
use crate::status::{Result, Status};
use crate::time::Timeout;

/// What a proactor's thread does beside what its [`Builder`](crate::proactor::Builder) says.
///
/// ```
/// use std::time::Duration;
/// use proact::proactor::{Builder, ProactorThread, ThreadOptions};
/// let options = ThreadOptions::new()
///     .shutdown_deadline(Duration::from_secs(1))
///     .on_error(|status| eprintln!("the disks are gone: {status}"));
/// ProactorThread::spawn_with(Builder::new(), &options)?.join()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone)]
pub struct ThreadOptions {
    pub(super) poll_timeout: Option<Duration>,
    pub(super) shutdown_deadline: Duration,
    pub(super) on_error: Option<Arc<OnError>>,
    runner: Option<Arc<dyn Runner>>,
}

type OnError = dyn Fn(&Status) + Send + Sync;

impl Default for ThreadOptions {
    fn default() -> ThreadOptions {
        ThreadOptions::new()
    }
}

impl ThreadOptions {
    /// The defaults: it sleeps until something comes, five seconds for the shutdown, a thread of the library's own.
    pub fn new() -> ThreadOptions {
        ThreadOptions { poll_timeout: None, shutdown_deadline: Duration::from_secs(5), on_error: None, runner: None }
    }

    /// The longest that one poll sleeps while nothing comes. Zero: it never sleeps, and keeps a processor busy, which
    /// then should be one of its own ([`Builder::affinity`](crate::proactor::Builder::affinity)). Without it a poll
    /// sleeps until something completes, or someone submits or wakes.
    #[must_use]
    pub fn poll_timeout(mut self, timeout: Duration) -> ThreadOptions {
        self.poll_timeout = Some(timeout);
        self
    }

    /// How long the shutdown at the thread's end may take. What the kernel has not given back by then is leaked, and
    /// [counted](super::Ended::leaked).
    #[must_use]
    pub fn shutdown_deadline(mut self, deadline: Duration) -> ThreadOptions {
        self.shutdown_deadline = deadline;
        self
    }

    /// Is told once, on the thread and before its shutdown, of what ends the thread early: a backend that is broken
    /// for good, a callback's panic. [`ProactorThread::join`](super::ProactorThread::join) answers the same.
    #[must_use]
    pub fn on_error(mut self, told: impl Fn(&Status) + Send + Sync + 'static) -> ThreadOptions {
        self.on_error = Some(Arc::new(told));
        self
    }

    /// Who supplies the thread, instead of the library.
    #[must_use]
    pub fn runner(mut self, runner: impl Runner + 'static) -> ThreadOptions {
        self.runner = Some(Arc::new(runner));
        self
    }

    pub(super) fn given_runner(&self) -> Option<&dyn Runner> {
        self.runner.as_deref()
    }

    pub(super) fn timeout(&self) -> Timeout {
        match self.poll_timeout {
            None => Timeout::Infinite,
            Some(Duration::ZERO) => Timeout::Immediate,
            Some(timeout) => timeout.into(),
        }
    }
}

impl fmt::Debug for ThreadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadOptions")
            .field("poll_timeout", &self.poll_timeout)
            .field("shutdown_deadline", &self.shutdown_deadline)
            .field("on_error", &self.on_error.is_some())
            .field("runner", &self.runner.is_some())
            .finish()
    }
}

/// Supplies threads for proactors, for programs that make their threads in their own way: with real-time priority, a
/// larger stack, from a pool of theirs.
///
/// Functions that take a [`ThreadBody`] are runners:
///
/// ```
/// use proact::proactor::{Builder, ProactorThread, ThreadBody, ThreadOptions};
/// let options = ThreadOptions::new().runner(|body: ThreadBody| {
///     std::thread::Builder::new().stack_size(1 << 20).spawn(move || body.run()).unwrap();
///     Ok(())
/// });
/// let thread = ProactorThread::spawn_with(Builder::new(), &options)?;
/// thread.join()?;
/// # Ok::<(), proact::status::Status>(())
/// ```
pub trait Runner: Send + Sync {
    /// Has [`ThreadBody::run`] called on a thread that does nothing else until that returns, and does not wait for it.
    /// Whoever spawns waits until the proactor is built, or the body dropped.
    ///
    /// # Errors
    /// There is no thread: whoever spawns gets the status.
    fn run(&self, body: ThreadBody) -> Result;
}

impl<F: Fn(ThreadBody) -> Result + Send + Sync> Runner for F {
    fn run(&self, body: ThreadBody) -> Result {
        self(body)
    }
}
