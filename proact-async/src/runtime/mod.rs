//! Runtimes: what runs tasks and polls a proactor, on one thread.

mod core;
mod current;
mod spawner;

use std::fmt;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use proact::proactor::{Handle, Statistics};
use proact::status::Result;

use self::core::{Core, Options};
pub use self::current::{
    Current, Operation, Operations, handle, is_running, now, operation, spawn, spawner, statistics, stream, with_handle,
};
pub(crate) use self::current::{exchange_scope, tasks, tasks_ended, with_timers};
pub use self::spawner::Spawner;
use crate::task::{JoinHandle, spawn_here, spawn_within};
use crate::trace;

/// Runs tasks on this thread, with a proactor of its own.
///
/// Nothing runs outside of [`Runtime::block_on`]. Dropping a runtime drops the futures of its tasks, cancels the
/// operations in flight, and waits until these have ended, at most five seconds or [as long as is
/// said](Builder::shutdown_deadline).
///
/// ```
/// let runtime = proact_async::Runtime::new()?;
/// runtime.block_on(async {
///     let other = proact_async::spawn(async { 40 });
///     assert_eq!(other.await.unwrap() + 2, 42);
/// });
/// # Ok::<(), proact::status::Status>(())
/// ```
pub struct Runtime {
    core: Rc<Core>,
}

/// Makes a [`Runtime`].
#[derive(Debug)]
pub struct Builder {
    proactor: proact::proactor::Builder,
    spin: Option<Duration>,
    options: Options,
}

impl Default for Builder {
    fn default() -> Builder {
        Builder::new()
    }
}

impl Builder {
    /// A proactor with its defaults; 128 tasks between two polls; five seconds for the end.
    pub fn new() -> Builder {
        let options = Options { budget: 128, shutdown: Duration::from_secs(5) };
        Builder { proactor: proact::proactor::Builder::new(), spin: None, options }
    }

    /// How to build the proactor: its backend, its limits, its name, or the simulated process that it is of.
    #[must_use]
    pub fn proactor(mut self, builder: proact::proactor::Builder) -> Builder {
        self.proactor = builder;
        self
    }

    /// How many tasks run between two polls of the proactor, at least 1. Few: completions are seen sooner. Many: a
    /// poll, some hundred nanoseconds, is spread over more.
    #[must_use]
    pub fn tasks_between_polls(mut self, tasks: usize) -> Builder {
        self.options.budget = tasks.max(1);
        self
    }

    /// How long the thread looks for completions before it sleeps, and waits awake for the end of a sleep: the
    /// [option of the proactor](proact::proactor::Builder::spin), also if [`Builder::proactor`] is called later.
    #[must_use]
    pub fn spin(mut self, duration: Duration) -> Builder {
        self.spin = Some(duration);
        self
    }

    /// How long the drop of the runtime waits for its operations to end. What has not ended then is leaked on purpose:
    /// see [`Proactor::shutdown`](proact::proactor::Proactor::shutdown).
    #[must_use]
    pub fn shutdown_deadline(mut self, deadline: Duration) -> Builder {
        self.options.shutdown = deadline;
        self
    }

    pub(crate) fn given_shutdown_deadline(&self) -> Duration {
        self.options.shutdown
    }

    /// Builds it, on the thread that will run it.
    ///
    /// # Errors
    /// As for [`proact::proactor::Builder::build`].
    pub fn build(self) -> Result<Runtime> {
        let proactor = match self.spin {
            Some(spin) => self.proactor.spin(spin),
            None => self.proactor,
        };
        let proactor = proactor.build()?;
        Ok(Runtime { core: Core::new(proactor, self.options) })
    }
}

impl Runtime {
    /// A runtime with the defaults.
    ///
    /// # Errors
    /// As for [`Builder::build`].
    pub fn new() -> Result<Runtime> {
        Builder::new().build()
    }

    /// How to make one that is not as by default.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Runs a future to its end, and the other tasks meanwhile.
    ///
    /// # Panics
    /// With the future's own panic; when this thread is running a runtime already; when the backend is broken for good,
    /// or the simulated world is at rest, with the cause ([`Runtime::try_block_on`] answers that instead).
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        match self.try_block_on(future) {
            Ok(output) => output,
            Err(status) => panic!("the runtime cannot go on: {status}"),
        }
    }

    /// As [`Runtime::block_on`], for those who want to go on when the runtime cannot.
    ///
    /// # Errors
    /// The backend is broken for good, or nothing can ever happen any more in a simulated world. The future was
    /// dropped.
    ///
    /// # Panics
    /// As said there.
    #[track_caller]
    pub fn try_block_on<F: Future>(&self, future: F) -> Result<F::Output> {
        assert!(
            !is_running(),
            "block_on inside of a runtime: it would block the tasks of the one that runs; await instead"
        );
        let _entered = self.core.enter();
        // SAFETY: entered. The task is complete when `drive` returns its output, and otherwise `End` completes it.
        let root = unsafe { spawn_within(self.core.home, future) };
        let mut end = End(None);
        let root = end.0.insert(root);
        match self.core.drive(root) {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(error)) => match error.into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(error) => unreachable!("nobody else has the handle: {error}"),
            },
            Err(status) => Err(status),
        }
    }

    /// Runs a future as a task, whenever the runtime runs.
    #[track_caller]
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        let _entered = self.core.enter();
        // SAFETY: entered, so the home is there and this thread's.
        unsafe { spawn_here(self.core.home, trace::task(future, Location::caller())) }
    }

    /// What gives it tasks from other threads.
    pub fn spawner(&self) -> Spawner {
        self.core.spawner.clone()
    }

    /// The handle of its proactor.
    pub fn handle(&self) -> &Handle {
        &self.core.handle
    }

    /// What its proactor has counted.
    pub fn statistics(&self) -> Statistics {
        self.core.statistics().expect("it is shut down when it is dropped")
    }

    /// Drops the futures of all tasks, cancels all operations, and waits for their end, at most for `deadline`.
    ///
    /// Answers how many did not end; what they hold is leaked on purpose.
    pub fn shutdown(self, deadline: Duration) -> usize {
        self.core.shut_down(deadline)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").field("handle", self.handle()).finish()
    }
}

/// Completes a task that borrows, whatever happens.
struct End<T>(Option<JoinHandle<T>>);

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        if let Some(root) = &self.0 {
            // SAFETY: on the task's own thread. A panic of a task never leaves its poll, so none is being polled.
            unsafe { root.cancel_now() };
        }
    }
}
