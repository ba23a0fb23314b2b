//! What a runtime's thread works on: its tasks and its proactor.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::Context;
use std::time::Duration;

use proact::operation::future::Submission;
use proact::operation::{OperationId, Scope};
use proact::proactor::{Handle, Proactor};
use proact::status::Status;
use proact::time::Timeout;

use super::current::{register, set_current, unregister};
use super::spawner::Spawner;
use crate::task::{Alarm, Home, HomeRef, JoinError, JoinHandle, set_here};
use crate::time::Timers;

pub(crate) struct Core {
    pub(super) home: *const Home,
    /// `None` once it is shut down.
    proactor: RefCell<Option<Proactor>>,
    pub(super) handle: Handle,
    pub(super) spawner: Spawner,
    pub(super) timers: Rc<Timers>,
    /// What operations that are submitted now belong to.
    pub(super) scope: RefCell<Option<Scope>>,
    /// What was to be cancelled while the proactor was at work.
    cancels: RefCell<Vec<OperationId>>,
    options: Options,
}

/// How the loop goes.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// Tasks that run between two polls of the proactor.
    pub(super) budget: usize,
    /// How long the end of a runtime waits for its operations.
    pub(super) shutdown: Duration,
}

/// Linux ends some twenty operations of a ring in one entry that does not wait, however many there are. If so many have
/// ended there may be more, and a program whose tasks are always ready would fall behind what it cancels.
const MANY: usize = 16;

/// Polls in a row before the tasks have their turn again.
const POLLS_MAX: usize = 16;

struct Wake(Handle);

impl Alarm for Wake {
    fn ring(&self) {
        self.0.wake();
    }
}

impl Core {
    pub(super) fn new(proactor: Proactor, options: Options) -> Rc<Core> {
        let handle = proactor.handle().clone();
        let home = Home::new(Box::new(Wake(handle.clone())));
        // SAFETY: just made, and left when the core goes.
        let spawner = Spawner::new(unsafe { HomeRef::new(home) }, handle.clone());
        // Not a box, which would claim to be the only way to what the thread's list points to as well.
        let core = Rc::new(Core {
            home,
            proactor: RefCell::new(Some(proactor)),
            handle,
            spawner,
            timers: Timers::new(),
            scope: RefCell::new(None),
            cancels: RefCell::new(Vec::new()),
            options,
        });
        register(Rc::as_ptr(&core));
        core
    }

    pub(super) fn home(&self) -> &Home {
        // SAFETY: the core leaves it when it goes.
        unsafe { &*self.home }
    }

    /// Makes this the current one of the thread until the guard is dropped.
    pub(super) fn enter(&self) -> Entered {
        Entered { core: set_current(self), home: set_here(self.home) }
    }

    #[inline]
    pub(super) fn submit(&self, mut submission: Submission<'_>, cx: &mut Context<'_>) {
        if let Some(scope) = &*self.scope.borrow() {
            submission.join(scope);
        }
        let Ok(mut proactor) = self.proactor.try_borrow_mut() else {
            // Polled from inside the proactor's poll, by a waker that polls: again when that has returned.
            return cx.waker().wake_by_ref();
        };
        let Some(proactor) = proactor.as_mut() else {
            return submission.refuse(Status::new(proact::status::Code::Aborted, proact::status::Operation::Submit));
        };
        if let Err(refused) = proactor.submit(submission) {
            refused.batch.refuse(refused.status);
        }
    }

    pub(super) fn cancel(&self, id: OperationId) {
        match self.proactor.try_borrow_mut() {
            Ok(mut proactor) => {
                if let Some(proactor) = proactor.as_mut() {
                    // Not found: it has ended, and frees itself.
                    let _ = proactor.cancel(id);
                }
            }
            // A callback has dropped a future: when the proactor's poll has returned.
            Err(_) => self.cancels.borrow_mut().push(id),
        }
    }

    /// Runs tasks and polls the proactor until `root` has ended.
    pub(super) fn drive<T>(&self, root: &mut JoinHandle<T>) -> Result<Result<T, JoinError>, Status> {
        loop {
            self.home().take_remote();
            self.home().run(self.options.budget);
            if let Some(output) = root.try_join() {
                return Ok(output);
            }
            self.poll()?;
        }
    }

    fn poll(&self) -> Result<(), Status> {
        if !self.home().is_ready() {
            // It drops wakers, whose code may make a task ready, which is to be known before the sleep, or call an
            // operation off, for which the proactor must not be borrowed.
            self.timers.settle();
        }
        let mut guard = self.proactor.borrow_mut();
        let Some(proactor) = guard.as_mut() else { return Ok(()) };
        if self.home().is_ready() {
            for _ in 0..POLLS_MAX {
                if proactor.poll(Timeout::Immediate)?.completed < MANY {
                    break;
                }
            }
        } else {
            let first = self.timers.next(self.handle.clock());
            proactor.poll(first.map_or(Timeout::Infinite, Timeout::At))?;
        }
        self.cancel_deferred(proactor);
        // Wakers of timers may submit.
        drop(guard);
        self.timers.fire(self.handle.clock());
        Ok(())
    }

    fn cancel_deferred(&self, proactor: &mut Proactor) {
        if self.cancels.borrow().is_empty() {
            return;
        }
        for id in self.cancels.borrow_mut().drain(..) {
            let _ = proactor.cancel(id);
        }
    }

    pub(super) fn statistics(&self) -> Option<proact::proactor::Statistics> {
        self.proactor.borrow().as_ref().map(Proactor::statistics)
    }

    /// Ends all tasks, and then the proactor. Answers how many operations did not end in time.
    pub(super) fn shut_down(&self, deadline: Duration) -> usize {
        if self.proactor.borrow().is_none() {
            return 0;
        }
        let entered = self.enter();
        self.home().end_all();
        let proactor = self.proactor.borrow_mut().take();
        let leaked = proactor.map_or(0, |proactor| proactor.shutdown(deadline));
        drop(entered);
        leaked
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        /// Also when a waker panics that the end of a task wakes.
        struct Leave<'a>(&'a Core);
        impl Drop for Leave<'_> {
            fn drop(&mut self) {
                unregister(self.0);
                // SAFETY: this thread's, not entered any more (that borrows), its tasks have ended and its stack is
                // closed.
                unsafe { Home::leave(self.0.home) };
            }
        }
        let leave = Leave(self);
        leave.0.shut_down(self.options.shutdown);
    }
}

/// Restores what was current before.
pub(super) struct Entered {
    core: *const Core,
    home: *const Home,
}

impl Drop for Entered {
    fn drop(&mut self) {
        set_current(self.core);
        set_here(self.home);
    }
}
