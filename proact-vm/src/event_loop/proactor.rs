//! The loop of a proactor's thread.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::ThreadId;

use proact::operation::{Complete, Context, Op, OperationId, Outcome, SemaphoreWait};
use proact::proactor::{Handle, Proactor};
use proact::simulated::World;
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::{Clock, Timeout};

use super::queue::Queue;
use super::rope::Rope;
use super::woken::{Bell, Woken};
use super::{Command, Loop, Refused, Task, aborted, full};
use crate::error::{Error, Result};
use crate::invocation::at;
use crate::panics::FirstPanic;

/// Runs tasks on the thread that polls a proactor, in its callbacks. Any thread may give it commands; a clone is the
/// same loop, and what is pending goes on when all are gone. A proactor may have several, which share nothing but its
/// thread.
///
/// While anything is pending, one operation of the proactor stands for the loop: a wait for a semaphore that commands
/// and wakers signal, whose deadline is the first time that a task waits for. So once a poll has taken that in,
/// [`Proactor::run`] goes on until the loop has nothing left, and [`Proactor::shutdown`] aborts what has no turn any
/// more. Waits are polled, and hold no thread: whatever the proactor can wait for, its operations' futures too, a task
/// can.
///
/// ```
/// use std::time::Duration;
///
/// use proact::proactor::{Builder, ProactorThread};
/// use proact::time::Timeout;
/// use proact_vm::event_loop::{Commands, Loop, ProactorLoop};
///
/// let thread = ProactorThread::spawn(Builder::new())?;
/// let event_loop = ProactorLoop::new(thread.handle());
/// let (told, telling) = std::sync::mpsc::channel();
/// event_loop.wait_until(Duration::from_millis(1), move |waited| Ok(told.send(waited?.outcome).unwrap()))?;
/// event_loop.drain(Timeout::Infinite)?;
/// assert_eq!(telling.recv().unwrap()?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct ProactorLoop(Arc<Shared>);

struct Shared {
    handle: Handle,
    clock: Clock,
    limit: usize,
    /// Tasks that were taken and have not been told.
    pending: AtomicUsize,
    inbox: Mutex<Inbox>,
    /// `error` of the inbox is there: read without its lock.
    has_ended: AtomicBool,
    /// The loop has nothing left to do.
    rests: Condvar,
    /// Who polls, once that is known.
    poller: OnceLock<ThreadId>,
}

struct Inbox {
    /// What was taken while the operation was in flight.
    commands: VecDeque<(Command, Box<dyn Task>)>,
    /// The loop's operation, while nothing is pending.
    resting: Option<Box<Op<SemaphoreWait, Pump>>>,
    bell: Arc<Woken<Rope>>,
    /// Why the loop has ended.
    error: Option<Error>,
    last: Option<OperationId>,
}

/// The state of the loop's operation: what only the poll thread touches.
struct Pump {
    queue: Queue<Rope>,
    /// None while the operation rests, so that the loop does not hold itself.
    shared: Option<Arc<Shared>>,
    /// By whose chance the order is, if by any's.
    order: Option<World>,
}

/// Tasks in one callback: then the proactor's other operations have their turn.
const TURNS_MAX: usize = 256;

impl ProactorLoop {
    /// How many tasks may be pending, in [`ProactorLoop::new`].
    pub const TASKS_DEFAULT: usize = 1 << 20;

    /// A loop on the proactor that `handle` reaches, for [`ProactorLoop::TASKS_DEFAULT`] tasks.
    pub fn new(handle: &Handle) -> ProactorLoop {
        ProactorLoop::with_capacity(handle, ProactorLoop::TASKS_DEFAULT)
    }

    /// A loop in which `tasks` may be pending.
    ///
    /// # Panics
    /// If `tasks` is 0.
    pub fn with_capacity(handle: &Handle, tasks: usize) -> ProactorLoop {
        ProactorLoop::with(handle, tasks, None)
    }

    /// A loop on a proactor of this thread: as [`ProactorLoop::new`], and [`Loop::drain`] knows from the beginning
    /// that this thread cannot wait for it.
    pub fn here(proactor: &Proactor) -> ProactorLoop {
        let event_loop = ProactorLoop::new(proactor.handle());
        event_loop.0.poller.get_or_init(|| std::thread::current().id());
        event_loop
    }

    pub(super) fn with(handle: &Handle, limit: usize, order: Option<World>) -> ProactorLoop {
        assert!(limit > 0, "a loop for no tasks");
        let semaphore = Semaphore::new(0);
        let queue = Queue::new(Rope::new(semaphore.clone()));
        let bell = queue.woken.clone();
        let resting = Op::new(SemaphoreWait::new(semaphore, 0), Pump { queue, shared: None, order });
        let inbox = Inbox { commands: VecDeque::new(), resting: Some(resting), bell, error: None, last: None };
        ProactorLoop(Arc::new(Shared {
            handle: handle.clone(),
            clock: handle.clock().clone(),
            limit,
            pending: AtomicUsize::new(0),
            inbox: Mutex::new(inbox),
            has_ended: AtomicBool::new(false),
            rests: Condvar::new(),
            poller: OnceLock::new(),
        }))
    }

    /// The proactor's handle, for operations.
    pub fn handle(&self) -> &Handle {
        &self.0.handle
    }

    /// How many tasks are pending.
    pub fn pending(&self) -> usize {
        self.0.pending.load(Ordering::SeqCst)
    }

    /// Polls `proactor`, whose loop this is, until nothing is pending: [`Loop::drain`] for the thread that polls.
    ///
    /// # Errors
    /// As [`Loop::drain`], `INVALID_ARGUMENT` for another proactor, and what [`Proactor::poll`] answers.
    pub fn run(&self, proactor: &mut Proactor, timeout: impl Into<Timeout>) -> Result {
        let until = at(timeout.into(), &self.0.clock);
        while !self.0.is_at_rest() {
            let own = self.0.lock().last;
            if own.is_some_and(|own| !proactor.handle().submitted(own)) {
                return Err(Error::invalid("the loop is of another proactor"));
            }
            if until.is_some_and(|until| self.0.clock.now() >= until) {
                // What is ready by now has its turn all the same, as with any other poll.
                proactor.poll(Timeout::Immediate)?;
                return if self.0.is_at_rest() { Ok(()) } else { Err(Error::deadline_exceeded()) };
            }
            proactor.poll(until.map_or(Timeout::Infinite, Timeout::At))?;
        }
        Ok(())
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.0.is_at_rest()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_at_rest(&self) -> bool {
        self.lock().resting.is_some()
    }

    fn is_poller(&self) -> bool {
        self.poller.get().is_some_and(|poller| *poller == std::thread::current().id())
    }

    fn end(&self, error: Error) {
        let mut inbox = self.lock();
        if inbox.error.is_none() {
            inbox.error = Some(error);
            self.has_ended.store(true, Ordering::SeqCst);
        }
    }
}

impl Loop for ProactorLoop {
    fn clock(&self) -> &Clock {
        &self.0.clock
    }

    fn submit(&self, command: Command, task: Box<dyn Task>) -> Result<(), Refused> {
        let shared = &self.0;
        let mut inbox = shared.lock();
        if let Some(cause) = &inbox.error {
            let error = aborted(cause);
            drop(inbox);
            return Err(Refused::new(error, task));
        }
        if shared.pending.load(Ordering::SeqCst) >= shared.limit {
            drop(inbox);
            return Err(Refused::new(full(shared.limit), task));
        }
        shared.pending.fetch_add(1, Ordering::SeqCst);
        inbox.commands.push_back((command, task));
        let Some(mut op) = inbox.resting.take() else {
            inbox.bell.bell.ring();
            return Ok(());
        };
        // There is something to do: the wait is over when it begins.
        op.kind.set_value(0, 0);
        op.state.shared = Some(shared.clone());
        match shared.handle.submit(op) {
            Ok(id) => {
                inbox.last = Some(id);
                Ok(())
            }
            Err(refused) => {
                let mut op = refused.batch;
                let shared = op.state.shared.take();
                inbox.resting = Some(op);
                let task = inbox.commands.pop_back().map(|(_, task)| task);
                drop(inbox);
                if let Some(shared) = shared {
                    shared.pending.fetch_sub(1, Ordering::SeqCst);
                }
                let task = task.expect("the command was put there above, under the same lock");
                Err(Refused::new(Error::from(refused.status), task))
            }
        }
    }

    /// Waits for the thread that polls. That one uses [`ProactorLoop::run`].
    fn drain(&self, timeout: Timeout) -> Result {
        let until = at(timeout, &self.0.clock);
        if self.0.is_poller() || self.0.clock.is_simulated() {
            return Err(Error::precondition(
                "a drain on the thread that polls the loop's proactor would wait for itself",
            ));
        }
        let mut inbox = self.0.lock();
        while inbox.resting.is_none() {
            let Some(until) = until else {
                inbox = self.0.rests.wait(inbox).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let now = self.0.clock.now();
            if now >= until {
                return Err(Error::deadline_exceeded());
            }
            inbox = self.0.rests.wait_timeout(inbox, until.since(now)).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    }

    /// What is pending is aborted by the thread that polls.
    fn abort(&self, error: Error) {
        self.0.end(error);
        self.0.lock().bell.bell.ring();
    }

    fn error(&self) -> Option<Error> {
        self.0.lock().error.clone()
    }
}

impl Complete<SemaphoreWait> for Pump {
    fn done(op: Box<Op<SemaphoreWait, Pump>>, _: Outcome<SemaphoreWait>, cx: &mut Context<'_>) {
        let Some(shared) = op.state.shared.clone() else {
            return; // it is in flight with it alone
        };
        shared.poller.get_or_init(|| std::thread::current().id());
        // Rung, at its deadline, or cancelled by a shutdown: there is something to look at. That a loop cannot go on is
        // found when it is to.
        op.state.queue.woken.bell.rearm();
        let mut turn = Turn { op: Some(op), event_loop: ProactorLoop(shared), cx };
        turn.run();
    }
}

/// One callback of the loop's operation. When it ends, also by a panic of a task, the operation goes on or rests.
struct Turn<'a, 'b> {
    op: Option<Box<Op<SemaphoreWait, Pump>>>,
    event_loop: ProactorLoop,
    cx: &'a mut Context<'b>,
}

impl Turn<'_, '_> {
    fn run(&mut self) {
        let Some(op) = &mut self.op else {
            return;
        };
        let (pump, shared) = (&mut op.state, &*self.event_loop.0);
        let mut turns = 0;
        loop {
            take_commands(pump, &mut shared.lock());
            if shared.has_ended.load(Ordering::SeqCst) {
                return abort_all(pump, shared);
            }
            if let Err(panicked) = pump.queue.poll(&shared.clock) {
                shared.pending.fetch_sub(1, Ordering::SeqCst);
                panicked.tell();
                continue;
            }
            // As many as there are now, and then those that came meanwhile; of chance, one at a time of all there are.
            let most = if pump.order.is_some() { 1 } else { TURNS_MAX };
            let mut round = pump.queue.ready().min(most).min(TURNS_MAX - turns);
            if round == 0 {
                return;
            }
            turns += round;
            // A failure, or an abort from anywhere, is seen before the next one has its turn.
            while round > 0 && !shared.has_ended.load(Ordering::SeqCst) {
                round -= 1;
                let task = match &pump.order {
                    Some(world) => pump.queue.pop_chosen(|of| world.choose(of)),
                    None => pump.queue.pop(),
                };
                let Some(task) = task else { break };
                shared.pending.fetch_sub(1, Ordering::SeqCst);
                if let Err(error) = task.run(&self.event_loop) {
                    shared.end(error);
                }
            }
        }
    }

    /// Goes on or rests.
    fn end(&mut self) {
        let Some(mut op) = self.op.take() else {
            return;
        };
        let shared = self.event_loop.0.clone();
        let mut inbox = shared.lock();
        take_commands(&mut op.state, &mut inbox);
        if op.state.queue.len() > 0 {
            // Commands from here on ring.
            drop(inbox);
            op = match self.go_on(op) {
                Some(op) => op,
                None => return,
            };
            inbox = shared.lock();
        }
        // Under the lock: whoever gives a command sees the operation, or was seen above.
        op.state.shared = None;
        inbox.resting = Some(op);
        drop(inbox);
        shared.rests.notify_all();
    }

    /// Waits for the next ring or alarm. The operation comes back, with nothing pending, where that is not possible.
    fn go_on(&mut self, mut op: Box<Op<SemaphoreWait, Pump>>) -> Option<Box<Op<SemaphoreWait, Pump>>> {
        let shared = &*self.event_loop.0;
        let queue = &mut op.state.queue;
        let is_ready = queue.ready() > 0 || queue.has_to_poll();
        let value = if is_ready { 0 } else { queue.woken.bell.awaited() };
        let alarm = queue.next_time();
        op.kind.set_value(0, value);
        if let Some(alarm) = alarm {
            op = op.deadline(alarm);
        }
        // The poll thread's own room first, then that of other threads.
        let submitted = match self.cx.submit(op) {
            Err(refused) if refused.status.code() == Code::ResourceExhausted => shared.handle.submit(refused.batch),
            submitted => submitted,
        };
        match submitted {
            Ok(id) => {
                shared.lock().last = Some(id);
                None
            }
            Err(refused) => {
                // A shutdown, or no room: nobody would run what is pending. From here on nothing is taken.
                let mut op = refused.batch;
                shared.end(Error::from(refused.status));
                take_commands(&mut op.state, &mut shared.lock());
                abort_all(&mut op.state, shared);
                Some(op)
            }
        }
    }
}

impl Drop for Turn<'_, '_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Takes over what was given meanwhile.
fn take_commands(pump: &mut Pump, inbox: &mut Inbox) {
    for (command, task) in inbox.commands.drain(..) {
        pump.queue.push(command, task);
    }
}

#[cold]
fn abort_all(pump: &mut Pump, shared: &Shared) {
    pump.queue.end_waits();
    let error = match &shared.lock().error {
        Some(cause) => aborted(cause),
        None => return,
    };
    let mut panics = FirstPanic::default();
    while let Some(task) = pump.queue.pop() {
        shared.pending.fetch_sub(1, Ordering::SeqCst);
        panics.catch(|| task.abort(error.clone()));
    }
    panics.resume();
}

impl fmt::Debug for ProactorLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProactorLoop")
            .field("handle", &self.0.handle)
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}
