//! The loop that runs on its caller's stack.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::{Arc, PoisonError};

use proact::time::{Clock, Time, Timeout};

use super::queue::Queue;
use super::woken::{Bell, Woken};
use super::{Command, Loop, Refused, Task, aborted, full, within};
use crate::atomic::Condvar;
use crate::error::{Error, Result};
use crate::invocation::at;
use crate::panics::FirstPanic;

/// Runs tasks on the stack of whoever gives it a command: the command returns when nothing is pending any more, waits
/// included. Commands from within a task only take their place behind it, of which there are few: what is given beyond
/// them is refused.
///
/// It lives on one thread at a time. Whatever waits holds that thread; what wakes it may come from any other.
///
/// ```
/// use proact_vm::event_loop::{Commands, InlineLoop, Loop};
///
/// let event_loop = InlineLoop::new();
/// event_loop.call(|event_loop| Ok(event_loop?.call(|_| Err(proact_vm::Error::invalid("wrong")))?))?;
/// assert_eq!(event_loop.error().unwrap().message(), "wrong");
/// # Ok::<(), proact_vm::Error>(())
/// ```
pub struct InlineLoop {
    clock: Clock,
    queue: RefCell<Queue<Parked>>,
    limit: usize,
    running: Cell<bool>,
    /// Why it has ended.
    error: RefCell<Option<Error>>,
    has_ended: Cell<bool>,
}

/// Where the thread sleeps that has nothing to run.
#[derive(Default)]
struct Parked(Condvar);

impl Bell for Parked {
    fn ring(&self) {
        self.0.notify_one();
    }
}

/// Why a run came back.
#[derive(PartialEq, Eq)]
enum Ran {
    Out,
    Late,
}

impl Default for InlineLoop {
    fn default() -> InlineLoop {
        InlineLoop::new()
    }
}

impl InlineLoop {
    /// How many tasks may be pending beside the one that runs, in [`InlineLoop::new`].
    pub const TASKS_DEFAULT: usize = 8;

    /// A loop for [`InlineLoop::TASKS_DEFAULT`] tasks.
    pub fn new() -> InlineLoop {
        InlineLoop::with_capacity(InlineLoop::TASKS_DEFAULT)
    }

    /// A loop in which `tasks` may be pending beside the one that runs.
    ///
    /// # Panics
    /// If `tasks` is 0.
    pub fn with_capacity(tasks: usize) -> InlineLoop {
        assert!(tasks > 0, "a loop for no tasks");
        InlineLoop {
            clock: Clock::monotonic(),
            queue: RefCell::new(Queue::new(Parked::default())),
            limit: tasks,
            running: Cell::new(false),
            error: RefCell::new(None),
            has_ended: Cell::new(false),
        }
    }

    /// Takes the failure out of the error scope: the loop goes on as a new one.
    pub fn take_error(&mut self) -> Option<Error> {
        self.has_ended.set(false);
        self.error.get_mut().take()
    }

    fn end(&self, error: Error) {
        if !self.has_ended.replace(true) {
            *self.error.borrow_mut() = Some(error);
        }
    }

    #[cold]
    fn refusal(&self) -> Error {
        match &*self.error.borrow() {
            Some(cause) => aborted(cause),
            None => full(self.limit),
        }
    }

    /// Runs what is pending, until nothing is or `until` has come.
    #[inline]
    fn run(&self, until: Option<Time>) -> Ran {
        self.run_from(None, until)
    }

    /// As [`InlineLoop::run`], beginning with `first`.
    #[inline]
    fn run_from(&self, first: Option<Box<dyn Task>>, until: Option<Time>) -> Ran {
        let _running = Running::begin(&self.running);
        if let Some(first) = first {
            self.turn(first);
        }
        if self.queue.borrow().len() == 0 { Ran::Out } else { self.run_on(until) }
    }

    #[inline]
    fn turn(&self, task: Box<dyn Task>) {
        if let Err(error) = task.run(self) {
            self.end(error);
        }
    }

    fn run_on(&self, until: Option<Time>) -> Ran {
        loop {
            // As many as there are now: what they add has its turn after the waits were looked at.
            let mut turns = self.queue.borrow().ready();
            while turns > 0 && !self.has_ended.get() {
                turns -= 1;
                let task = self.queue.borrow_mut().pop();
                if let Some(task) = task {
                    self.turn(task);
                }
            }
            if self.has_ended.get() {
                self.abort_all();
                return Ran::Out;
            }
            let mut queue = self.queue.borrow_mut();
            if let Err(panicked) = queue.poll(&self.clock) {
                drop(queue);
                panicked.tell();
                continue;
            }
            if queue.len() == 0 {
                return Ran::Out;
            }
            if until.is_some_and(|until| self.clock.now() >= until) {
                return Ran::Late;
            }
            // A task that is asked cannot be lent the loop, but may know it from elsewhere, and end it.
            if queue.ready() == 0 && !self.has_ended.get() {
                let next = queue.next_time().into_iter().chain(until).min();
                sleep(&queue.woken, &self.clock, next);
            }
        }
    }

    #[cold]
    fn abort_all(&self) {
        self.queue.borrow_mut().end_waits();
        let (error, mut panics) = (self.refusal(), FirstPanic::default());
        loop {
            let task = self.queue.borrow_mut().pop();
            let Some(task) = task else { break };
            panics.catch(|| task.abort(error.clone()));
        }
        panics.resume();
    }
}

/// Sleeps until a wait was woken, or `next` has come.
fn sleep(woken: &Arc<Woken<Parked>>, clock: &Clock, next: Option<Time>) {
    let mut list = woken.lock();
    while list.is_empty() {
        let Some(next) = next else {
            list = woken.bell.0.wait(list).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        let now = clock.now();
        if now >= next {
            return;
        }
        list = woken.bell.0.wait_timeout(list, next.since(now)).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Also ended by a panic: what is pending then has its turn with the next command.
struct Running<'a>(&'a Cell<bool>);

impl Running<'_> {
    fn begin(running: &Cell<bool>) -> Running<'_> {
        running.set(true);
        Running(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

impl Loop for InlineLoop {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn holds_its_thread(&self) -> bool {
        true
    }

    /// Returns when nothing is pending any more, but from within a task.
    #[inline]
    fn submit(&self, command: Command, task: Box<dyn Task>) -> Result<(), Refused> {
        let Ok(mut queue) = self.queue.try_borrow_mut() else {
            let message = "a command while the loop asks a task whether its wait is over";
            return Err(Refused::new(Error::precondition(message), task));
        };
        let pending = queue.len();
        if self.has_ended.get() || pending >= self.limit {
            drop(queue);
            return Err(Refused::new(self.refusal(), task));
        }
        if self.running.get() {
            queue.push(command, task);
            return Ok(());
        }
        if command == Command::Call && pending == 0 {
            // Nothing is before it.
            drop(queue);
            self.run_from(Some(task), None);
        } else {
            queue.push(command, task);
            drop(queue);
            self.run(None);
        }
        Ok(())
    }

    fn drain(&self, timeout: Timeout) -> Result {
        if self.running.get() {
            return Err(within());
        }
        match self.run(at(timeout, &self.clock)) {
            Ran::Out => Ok(()),
            Ran::Late => Err(Error::deadline_exceeded()),
        }
    }

    fn abort(&self, error: Error) {
        self.end(error);
        if !self.running.get() {
            self.run(None);
        }
    }

    fn error(&self) -> Option<Error> {
        self.error.borrow().clone()
    }
}

impl fmt::Debug for InlineLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineLoop")
            .field("limit", &self.limit)
            .field("running", &self.running)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

impl Drop for InlineLoop {
    /// What a panic has left is aborted.
    fn drop(&mut self) {
        if self.queue.get_mut().len() > 0 {
            self.abort(Error::new(proact::status::Code::Cancelled, "the loop was dropped"));
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
