//! A queue of an executor: what may run, what waits for a time, and the threads that serve it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

use proact::status::Code;
use proact::time::{Clock, Time};

use super::task::Task;
use crate::error::{Error, Result};
use crate::invocation::InvocationState;

/// How many states are kept for invocations to come.
const SPARE_MAX: usize = 64;

/// Invocations of one queue.
pub(crate) struct Queue {
    name: String,
    threads: usize,
    limit: usize,
    clock: Clock,
    state: Mutex<State>,
    /// Something may run, a nearer timer was set, or the queue was closed.
    bell: Condvar,
    pulse: Arc<Pulse>,
    /// No timer is set: who looks need not lock, nor read the clock.
    timeless: AtomicBool,
}

#[derive(Default)]
struct State {
    ready: BinaryHeap<Ready>,
    /// By when, and whose.
    timers: BTreeMap<(Time, u64), Arc<Task>>,
    /// All that have not ended, by number: what waits is held by this alone.
    live: BTreeMap<u64, Arc<Task>>,
    #[allow(clippy::vec_box)] // they are handed out in their boxes
    spare: Vec<Box<InvocationState>>,
    /// How often something became ready.
    sequence: u64,
    sleeping: usize,
    closed: bool,
}

/// What may run, in the order of running: the greatest first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    priority: i32,
    deadline: Reverse<Time>,
    sequence: Reverse<u64>,
}

struct Ready {
    order: Order,
    task: Arc<Task>,
}

impl PartialEq for Ready {
    fn eq(&self, other: &Ready) -> bool {
        self.order == other.order
    }
}

impl Eq for Ready {}

impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Ready) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ready {
    fn cmp(&self, other: &Ready) -> std::cmp::Ordering {
        self.order.cmp(&other.order)
    }
}

/// Counts what those outside of the queues' threads may wait for: ends, and what only they can run.
#[derive(Default)]
pub(super) struct Pulse {
    state: Mutex<Beats>,
    changed: Condvar,
}

#[derive(Default)]
struct Beats {
    count: u64,
    /// How many threads wait: telling nobody costs no system call.
    waiting: usize,
    /// Counted by us: a clone of theirs is code of theirs, which runs under no lock.
    waker: Option<Arc<Waker>>,
}

/// Of who waits for what is not of these queues.
impl Wake for Pulse {
    fn wake(self: Arc<Self>) {
        self.beat(false);
    }
}

impl Pulse {
    /// Something has changed; `work`: there is something to run for who polls.
    fn beat(&self, work: bool) {
        let mut beats = self.lock();
        beats.count += 1;
        let waker = if work { beats.waker.clone() } else { None };
        let waiting = beats.waiting;
        drop(beats);
        if waiting > 0 {
            self.changed.notify_all();
        }
        if let Some(waker) = waker {
            waker.wake_by_ref();
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.lock().count
    }

    pub(super) fn set_waker(&self, waker: Waker) {
        let before = self.lock().waker.replace(Arc::new(waker));
        drop(before);
    }

    /// Waits until the count is another one, or that time.
    pub(super) fn wait(&self, count: u64, clock: &Clock, until: Option<Time>) {
        let mut beats = self.lock();
        beats.waiting += 1;
        while beats.count == count {
            beats = match until {
                None => self.changed.wait(beats).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let now = clock.now();
                    if now >= until {
                        break;
                    }
                    self.changed.wait_timeout(beats, until.since(now)).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        beats.waiting -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, Beats> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    pub(super) fn new(name: String, threads: usize, limit: usize, clock: &Clock, pulse: &Arc<Pulse>) -> Queue {
        Queue {
            name,
            threads,
            limit,
            clock: clock.clone(),
            state: Mutex::default(),
            bell: Condvar::new(),
            pulse: pulse.clone(),
            timeless: AtomicBool::new(true),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How many threads serve it; 0: its owner polls it.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// A state for a new invocation, used before if there is one.
    pub(super) fn state(&self) -> Box<InvocationState> {
        self.lock().spare.pop().unwrap_or_default()
    }

    /// Takes a state back that nothing lies in.
    pub(super) fn recycle(&self, state: Box<InvocationState>) {
        let mut queue = self.lock();
        if queue.spare.len() < SPARE_MAX && !queue.closed {
            queue.spare.push(state);
            return;
        }
        drop(queue);
        drop(state);
    }

    /// Takes a new task, which is put into the queue unless it is held. `ABORTED` after a shutdown,
    /// `RESOURCE_EXHAUSTED` where there are as many as there may be.
    pub(super) fn admit(&self, task: &Arc<Task>, held: bool) -> Result {
        let mut state = self.lock();
        if state.closed {
            return Err(Error::new(Code::Aborted, "the executor was shut down"));
        }
        if state.live.len() >= self.limit {
            return Err(Error::new(Code::ResourceExhausted, format!("{} invocations on a queue", self.limit)));
        }
        state.live.insert(task.number, task.clone());
        match (held, task.deadline) {
            (false, _) => self.push(&mut state, task.clone()),
            (true, Some(deadline)) => _ = self.add_timer(&mut state, deadline, task),
            (true, None) => {}
        }
        drop(state);
        if self.threads == 0 {
            self.pulse.beat(true);
        }
        Ok(())
    }

    /// Puts a task there whose word says that it is there.
    pub(super) fn put(&self, task: Arc<Task>) {
        self.push(&mut self.lock(), task);
        if self.threads == 0 {
            self.pulse.beat(true);
        }
    }

    fn push(&self, state: &mut State, task: Arc<Task>) {
        state.sequence += 1;
        let order = Order {
            priority: task.priority,
            deadline: Reverse(task.deadline.unwrap_or(Time::FAR_FUTURE)),
            sequence: Reverse(state.sequence),
        };
        state.ready.push(Ready { order, task });
        if state.sleeping > 0 {
            self.bell.notify_one();
        }
    }

    pub(super) fn set_timer(&self, time: Time, task: &Arc<Task>) {
        let is_first = self.add_timer(&mut self.lock(), time, task);
        if is_first && self.threads == 0 {
            // Of several who poll one may sleep, until what was the next time before.
            self.pulse.beat(false);
        }
    }

    /// Whether that time is the next one now.
    fn add_timer(&self, state: &mut State, time: Time, task: &Arc<Task>) -> bool {
        let first = state.timers.keys().next().copied();
        state.timers.insert((time, task.number), task.clone());
        self.timeless.store(false, Ordering::Relaxed);
        let is_first = first.is_none_or(|first| (time, task.number) < first);
        if is_first && state.sleeping > 0 {
            self.bell.notify_one();
        }
        is_first
    }

    pub(super) fn forget_timer(&self, time: Time, number: u64) {
        let mut state = self.lock();
        let task = state.timers.remove(&(time, number));
        self.timeless.store(state.timers.is_empty(), Ordering::Relaxed);
        drop(state);
        drop(task);
    }

    /// A task has ended.
    pub(super) fn forget(&self, number: u64) {
        let task = self.lock().live.remove(&number);
        drop(task);
        self.pulse.beat(false);
    }

    pub(super) fn live(&self) -> usize {
        self.lock().live.len()
    }

    /// All that have not ended, in the order of their creation.
    pub(super) fn all(&self) -> Vec<Arc<Task>> {
        self.lock().live.values().cloned().collect()
    }

    /// The next time at which something may run by the clock alone.
    pub(super) fn next_time(&self) -> Option<Time> {
        self.lock().timers.keys().next().map(|&(time, _)| time)
    }

    /// Takes nothing new, and lets threads go when nothing is left to run.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let spare = std::mem::take(&mut state.spare);
        drop(state);
        drop(spare);
        self.bell.notify_all();
    }

    /// Empties the queue of what a shutdown has taken: a task there would keep its queue for ever.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        let ready = std::mem::take(&mut state.ready);
        let timers = std::mem::take(&mut state.timers);
        drop(state);
        drop((ready, timers));
    }

    /// Takes the next task that may run.
    pub(super) fn take(&self) -> Option<Arc<Task>> {
        let mut state = self.lock();
        self.fire(&mut state);
        state.ready.pop().map(|ready| ready.task)
    }

    /// Puts into the queue what has waited for a time that has come.
    fn fire(&self, state: &mut State) {
        if self.timeless.load(Ordering::Relaxed) {
            return;
        }
        let now = self.clock.now();
        while let Some(entry) = state.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            let task = entry.remove();
            // One that a thread has is not put there. It has not ended: that forgets its timer first. So it is in
            // `live` as well, and nothing is freed under the lock.
            if task.wakes() {
                self.push(state, task);
            }
        }
        self.timeless.store(state.timers.is_empty(), Ordering::Relaxed);
    }

    /// What its threads do.
    pub(super) fn serve(&self) {
        let mut state = self.lock();
        loop {
            self.fire(&mut state);
            if let Some(Ready { task, .. }) = state.ready.pop() {
                drop(state);
                // What invocations run is caught within. This is code of someone who was told of an end, a waker most
                // often: all others were told as well, and the panic has been reported.
                let _reported = catch_unwind(AssertUnwindSafe(|| task.run()));
                state = self.lock();
                continue;
            }
            if state.closed {
                return;
            }
            state.sleeping += 1;
            state = match state.timers.keys().next() {
                None => self.bell.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(&(time, _)) => {
                    let wait = time.since(self.clock.now());
                    self.bell.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0
                }
            };
            state.sleeping -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Under the lock tasks are put and taken, and no code of others runs.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
