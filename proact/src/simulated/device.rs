//! Simulated devices: command queues that take virtual time and drive semaphores.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::backend::simulated::{Host, World};
use crate::causal::{Frontier, Knowledge};
use crate::status::{Code, Operation, Result, Status};
use crate::sync::{Driver, Semaphore, SemaphoreLink, SemaphoreOptions, Timeline};

/// A device of a simulated host, with any number of [queues](DeviceQueue) that run side by side.
///
/// ```
/// use proact::simulated::{Command, Device, World};
/// use proact::operation::{Op, SemaphoreWait};
/// use std::time::Duration;
///
/// let world = World::new(1);
/// let host = world.host("a");
/// let device = Device::new(&host);
/// let queue = device.queue();
/// let copied = queue.submit(Command::new(Duration::from_millis(2)))?;
/// let added = queue.submit(Command::new(Duration::from_millis(3)))?;
/// let mut proactor = host.builder().build()?;
/// proactor.submit(Op::new(SemaphoreWait::new(queue.semaphore().clone(), added), ())).unwrap();
/// proactor.run()?;
/// assert_eq!((copied, added, world.now().as_nanoseconds()), (1, 2, 5_000_000));
/// # Ok::<(), proact::status::Status>(())
/// ```
#[derive(Clone, Debug)]
pub struct Device {
    host: Host,
    queues: Arc<Mutex<Vec<Weak<Inner>>>>,
}

impl Device {
    /// A device of `host`.
    pub fn new(host: &Host) -> Device {
        Device { host: host.clone(), queues: Arc::default() }
    }

    /// Makes a queue, which carries its commands out one after another. It goes with its last handle: what has not
    /// ended by then never does, and its semaphore fails, Cancelled, as do those that its commands were to signal. With
    /// its host it is lost.
    pub fn queue(&self) -> DeviceQueue {
        let (semaphore, driver) = SemaphoreOptions::new().drive(Arc::new(QueueTimeline));
        let state = Queue { commands: VecDeque::new(), submitted: 0, running: false, gate: None, failure: None };
        let world = self.host.world().clone();
        let inner = Arc::new(Inner { world, semaphore, driver, state: Mutex::new(state) });
        lock(&self.queues).push(Arc::downgrade(&inner));
        let gone = Status::new(Code::DataLoss, Operation::SemaphoreSignal)
            .with_message("the host of the simulated device has crashed");
        if self.host.is_up() {
            let queue = Arc::downgrade(&inner);
            self.host.at_crash(move || {
                if let Some(queue) = queue.upgrade() {
                    queue.fail(&gone);
                }
            });
        } else {
            inner.fail(&gone);
        }
        DeviceQueue { inner }
    }

    /// The device is lost: what it runs and has still to run fails, on all its queues, and so does what is submitted
    /// later. Semaphores keep the values that they have.
    pub fn lose(&self) {
        let queues: Vec<_> = lock(&self.queues).iter().filter_map(Weak::upgrade).collect();
        for queue in queues {
            let why = "the simulated device was lost";
            queue.fail(&Status::new(Code::DataLoss, Operation::SemaphoreSignal).with_message(why));
        }
    }
}

/// What a device is to do: how long it takes, and what it waits for first.
#[derive(Clone, Debug)]
pub struct Command {
    takes: Duration,
    waits: Vec<(Semaphore, u64)>,
    signals: Vec<(Semaphore, u64)>,
    causes: Option<Frontier>,
    failure: Option<Status>,
}

impl Command {
    /// Something that takes so long.
    pub fn new(takes: Duration) -> Command {
        Command { takes, waits: Vec::new(), signals: Vec::new(), causes: None, failure: None }
    }

    /// Not before `semaphore` has reached `value`. The whole queue waits.
    #[must_use]
    pub fn after(mut self, semaphore: &Semaphore, value: u64) -> Command {
        self.waits.push((semaphore.clone(), value));
        self
    }

    /// Raises `semaphore` to `value` at its end, beside the queue's own.
    #[must_use]
    pub fn signal(mut self, semaphore: &Semaphore, value: u64) -> Command {
        self.signals.push((semaphore.clone(), value));
        self
    }

    /// What it is caused by, all of it: its signals tell it. Without this they are
    /// [tainted](Semaphore::signal_tainted), as of a device that says nothing of causes.
    #[must_use]
    pub fn causes(mut self, causes: Frontier) -> Command {
        self.causes = Some(causes);
        self
    }

    /// Fails at its end, and all that is behind it in the queue. What they were to signal fails with them.
    #[must_use]
    pub fn fail(mut self, why: Status) -> Command {
        self.failure = Some(why);
        self
    }
}

/// A queue of a [`Device`]: commands one after another, in virtual time. Its [semaphore](DeviceQueue::semaphore) counts
/// those that have ended.
#[derive(Clone, Debug)]
pub struct DeviceQueue {
    inner: Arc<Inner>,
}

struct Inner {
    world: World,
    semaphore: Semaphore,
    driver: Driver,
    state: Mutex<Queue>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("semaphore", &self.semaphore).finish_non_exhaustive()
    }
}

struct Queue {
    commands: VecDeque<Command>,
    submitted: u64,
    /// The first command runs, or waits for a semaphore.
    running: bool,
    /// By which the first command hears of what it waits for.
    gate: Option<(SemaphoreLink, Driver)>,
    failure: Option<Status>,
}

/// The world tells the semaphore by itself: there is no interrupt to arm.
struct QueueTimeline;

impl Timeline for QueueTimeline {
    fn awaited(&self, _: u64) {}
}

/// Hears that a semaphore has come to what a command waits for: it is linked to one that this drives.
struct Gate {
    queue: Weak<Inner>,
}

impl Timeline for Gate {
    fn awaited(&self, _: u64) {}

    fn signalled(&self, _: u64) {
        self.tell(None);
    }

    fn failed(&self, status: &Status) {
        self.tell(Some(status.clone()));
    }
}

impl Gate {
    /// Has the queue look, when whoever signalled has gone his way.
    fn tell(&self, failure: Option<Status>) {
        let Some(queue) = self.queue.upgrade() else { return };
        let weak = self.queue.clone();
        queue.world.after(Duration::ZERO, move |_| {
            let Some(queue) = weak.upgrade() else { return };
            match failure {
                Some(status) => queue.fail(&status),
                None => queue.go_on(),
            }
        });
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DeviceQueue {
    /// Counts the commands that have ended, and fails with the first that fails.
    pub fn semaphore(&self) -> &Semaphore {
        &self.inner.semaphore
    }

    /// Adds a command: the value that the queue's semaphore has at its end.
    ///
    /// # Errors
    /// The queue's failure, once it has failed.
    pub fn submit(&self, command: Command) -> Result<u64> {
        let mut state = lock(&self.inner.state);
        if let Some(status) = &state.failure {
            return Err(status.clone());
        }
        state.commands.push_back(command);
        state.submitted += 1;
        let value = state.submitted;
        let idle = !state.running;
        drop(state);
        if idle {
            self.inner.begin();
        }
        Ok(value)
    }
}

impl Inner {
    /// Begins the first command, or waits for the first thing that it waits for.
    fn begin(self: &Arc<Inner>) {
        let mut state = lock(&self.state);
        let Some(command) = state.commands.front_mut() else { return };
        let wait = command.waits.pop();
        let takes = command.takes;
        state.running = true;
        drop(state);
        let weak = Arc::downgrade(self);
        match wait {
            None => self.world.after(takes, move |_| {
                if let Some(queue) = weak.upgrade() {
                    queue.end();
                }
            }),
            Some((semaphore, value)) => {
                let (gate, driver) = SemaphoreOptions::new().drive(Arc::new(Gate { queue: weak }));
                match semaphore.link(value, &gate, 1) {
                    Ok(link) => lock(&self.state).gate = Some((link, driver)),
                    Err(status) => self.fail(&status),
                }
            }
        }
    }

    /// Something that the first command waited for has come.
    fn go_on(self: &Arc<Inner>) {
        let mut state = lock(&self.state);
        let gate = state.gate.take();
        let failed = state.failure.is_some();
        drop(state);
        // Not under the lock: it tells the semaphore that it drove.
        drop(gate);
        if !failed {
            self.begin();
        }
    }

    /// The first command has taken its time.
    fn end(self: &Arc<Inner>) {
        let mut state = lock(&self.state);
        if state.failure.is_some() {
            return;
        }
        if let Some(status) = state.commands.front().and_then(|command| command.failure.clone()) {
            drop(state);
            return self.fail(&status);
        }
        let Some(command) = state.commands.pop_front() else { return };
        let value = state.submitted - state.commands.len() as u64;
        state.running = false;
        drop(state);
        let causes = match command.causes {
            Some(frontier) => Knowledge::exact(frontier),
            None => Knowledge::lower_bound(Frontier::new()),
        };
        // A semaphore that has failed, or is there already, has heard of it: that is its affair, and not the queue's.
        let _ = self.driver.advance(value, &causes);
        for (semaphore, value) in command.signals {
            let _ = semaphore.signal_known(value, &causes);
        }
        self.begin();
    }

    /// The queue fails, and all that is in it.
    fn fail(&self, status: &Status) {
        let mut state = lock(&self.state);
        if state.failure.is_some() {
            return;
        }
        state.failure = Some(status.clone());
        let commands = std::mem::take(&mut state.commands);
        let gate = state.gate.take();
        drop(state);
        drop(gate);
        self.driver.fail(status.clone());
        fail_signals(commands, status);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        let commands = std::mem::take(&mut state.commands);
        if !commands.is_empty() {
            let why = "the queue of the simulated device has gone";
            fail_signals(commands, &Status::new(Code::Cancelled, Operation::SemaphoreSignal).with_message(why));
        }
    }
}

/// What commands were to signal, and never will.
fn fail_signals(commands: VecDeque<Command>, status: &Status) {
    for (semaphore, _) in commands.into_iter().flat_map(|command| command.signals) {
        semaphore.fail(status.clone());
    }
}
