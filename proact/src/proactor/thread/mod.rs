//! A proactor on a thread of its own.

mod body;
mod options;

pub use body::ThreadBody;
pub use options::{Runner, ThreadOptions};

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Builder, Handle, Statistics};
use crate::atomic::{AtomicBool, Condvar, Mutex, MutexGuard, Ordering, ThreadId, current_thread};
use crate::status::{Code, Operation, Result, Status};
use crate::topology::Affinity;

/// A proactor that is built and polled by a thread of its own, and reached through its [`Handle`].
///
/// [`ProactorThread::join`] stops it, shuts it down, and reports; dropping it does the same and reports nothing. One of
/// its own callbacks may drop it too: the thread then ends by itself, after the callback.
///
/// ```
/// use proact::operation::{Nop, Op};
/// use proact::proactor::{Builder, ProactorThread};
/// let thread = ProactorThread::spawn(Builder::new().name("disks"))?;
/// thread.handle().submit(Op::new(Nop, ())).unwrap();
/// let ended = thread.join()?;
/// assert_eq!((&*ended.statistics.name, ended.leaked), ("disks", 0));
/// # Ok::<(), proact::status::Status>(())
/// ```
pub struct ProactorThread {
    handle: Handle,
    life: Arc<Life>,
    affinity: Affinity,
    /// Until it was joined. `None` from the start for a thread that a [`Runner`] supplies.
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Left to itself: its drop does not wait.
    detached: bool,
}

/// How a proactor thread ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ended {
    /// What was counted, before the shutdown.
    pub statistics: Statistics,
    /// Operations that the shutdown had to leave to the kernel.
    pub leaked: usize,
}

/// What the thread and whoever stops it and waits for it have in common.
struct Life {
    /// The thread is to stop polling. Stored before a wake and read after each poll, so that no poll sleeps on.
    stop: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    stage: Stage,
    /// Who polls.
    runner: Option<ThreadId>,
}

enum Stage {
    /// The proactor is not there yet.
    Starting,
    /// It is polled. The handle is there for whoever spawns.
    Running(Handle),
    Ended(Box<Result<Ended>>),
}

impl Life {
    fn new() -> Arc<Life> {
        Arc::new(Life {
            stop: AtomicBool::new(false),
            state: Mutex::new(State { stage: Stage::Starting, runner: None }),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, so a poisoned one is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn started(&self, handle: Handle) {
        self.lock().stage = Stage::Running(handle);
        self.changed.notify_all();
    }

    /// Nobody waits for the proactor. Should it be polled all the same, it ends: one that is there already is woken,
    /// and one that comes later finds the flag, by the lock that it takes to say that it is there.
    fn give_up(&self) {
        self.stop.store(true, Ordering::Release);
        if let Stage::Running(handle) = &self.lock().stage {
            handle.wake();
        }
    }

    fn ended(&self, ended: Result<Ended>) {
        let mut state = self.lock();
        // From here on the thread does nothing more of this: also it may ask how it ended.
        *state = State { stage: Stage::Ended(Box::new(ended)), runner: None };
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until `done` answers, or `deadline`.
    fn wait<T>(&self, deadline: Option<Instant>, done: impl Fn(&State) -> Option<T>) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(answer) = done(&state) {
                return Some(answer);
            }
            state = match deadline {
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl ProactorThread {
    /// Starts a thread, named and pinned as the builder says, that builds the proactor and polls it until it is
    /// stopped.
    ///
    /// # Errors
    /// What [`Builder::build`] answers, or `ResourceExhausted` when the system has no thread to give.
    pub fn spawn(builder: Builder) -> Result<ProactorThread> {
        ProactorThread::spawn_with(builder, &ThreadOptions::new())
    }

    /// As [`ProactorThread::spawn`], otherwise than by default.
    ///
    /// # Errors
    /// As for [`ProactorThread::spawn`]; with a [`Runner`] what that answers, and `Aborted` when it drops the body.
    pub fn spawn_with(builder: Builder, options: &ThreadOptions) -> Result<ProactorThread> {
        let life = Life::new();
        let affinity = builder.given_affinity().clone();
        let body = ThreadBody::new(builder, options.clone(), life.clone());
        let thread = match options.given_runner() {
            Some(runner) => {
                if let Err(status) = runner.run(body) {
                    life.give_up();
                    return Err(status);
                }
                None
            }
            None => {
                // The standard library panics at a name with a NUL in it.
                let thread = std::thread::Builder::new().name(body.name().replace('\0', ""));
                let spawned = thread.spawn(move || body.run());
                Some(spawned.map_err(|error| Status::from_io_error(Operation::ProactorThread, &error))?)
            }
        };
        let started = life.wait(None, |state| match &state.stage {
            Stage::Starting => None,
            Stage::Running(handle) => Some(Ok(handle.clone())),
            Stage::Ended(ended) => match &**ended {
                Err(status) => Some(Err(status.clone())),
                Ok(_) => unreachable!("no one could stop it yet"),
            },
        });
        match started.expect("no deadline") {
            Ok(handle) => Ok(ProactorThread { handle, life, affinity, thread: Mutex::new(thread), detached: false }),
            Err(status) => {
                // A panic of the body's has been told as the status.
                let _ = thread.map(JoinHandle::join);
                Err(status)
            }
        }
    }

    /// For submits from any thread.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// What it is called: [`Builder::name`].
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Where it runs: [`Builder::affinity`].
    pub fn affinity(&self) -> &Affinity {
        &self.affinity
    }

    /// Asks the thread to stop polling and shut its proactor down, and does not wait for it. Asking again changes
    /// nothing.
    pub fn stop(&self) {
        self.life.stop.store(true, Ordering::Release);
        self.handle.wake();
    }

    /// Whether it has ended, by itself or because it was asked to.
    pub fn is_ended(&self) -> bool {
        matches!(self.life.lock().stage, Stage::Ended(_))
    }

    /// Stops the thread and waits for its end. What is in flight is cancelled.
    ///
    /// # Errors
    /// The failure of the backend that ended it early, or `Internal` with the message of a callback's panic.
    /// `FailedPrecondition` in a callback on that thread itself, which is stopped all the same.
    pub fn join(self) -> Result<Ended> {
        self.join_until(None)
    }

    /// As [`ProactorThread::join`], for at most `timeout`. Any thread may ask, several at once, and again: all get the
    /// same answer.
    ///
    /// # Errors
    /// As for [`ProactorThread::join`], and `DeadlineExceeded` when it has not ended by then. It was asked to: that
    /// stands.
    pub fn join_timeout(&self, timeout: Duration) -> Result<Ended> {
        // So far away that the clock has no such time: never.
        self.join_until(Instant::now().checked_add(timeout))
    }

    pub(super) fn join_until(&self, deadline: Option<Instant>) -> Result<Ended> {
        self.stop();
        if self.is_here() {
            // It would wait for itself.
            return Err(Status::new(Code::FailedPrecondition, Operation::ProactorThread)
                .with_message("a proactor thread cannot join itself")
                .with_context(format!("{:?}", self.name())));
        }
        let ended = self.life.wait(deadline, |state| match &state.stage {
            Stage::Ended(ended) => Some(Result::clone(ended)),
            _ => None,
        });
        let Some(ended) = ended else {
            return Err(Status::new(Code::DeadlineExceeded, Operation::ProactorThread)
                .with_message("the thread has not ended yet")
                .with_context(format!("{:?}", self.name())));
        };
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It has told how it ended, and has nothing left to do but to go.
        let _ = thread.map(JoinHandle::join);
        ended
    }

    /// Whether the calling thread is the one that polls.
    fn is_here(&self) -> bool {
        self.life.lock().runner == Some(current_thread().id())
    }

    /// Leaves it to itself: asked to stop, and waited for by no one.
    pub(super) fn detach(mut self) {
        self.stop();
        self.detached = true;
    }
}

impl Drop for ProactorThread {
    fn drop(&mut self) {
        if !self.detached {
            let _ = self.join_until(None);
        }
    }
}

impl fmt::Debug for ProactorThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ended = self.is_ended();
        f.debug_struct("ProactorThread").field("handle", &self.handle).field("ended", &ended).finish()
    }
}
