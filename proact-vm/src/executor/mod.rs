//! Who runs stateful invocations: queues, each served by threads or by its owner, and what is shared by them.
//!
//! - `word`: whose an invocation is just now.
//! - `task`: an invocation, and how its end is told.
//! - `step`: what a thread does with one that it has.
//! - `queue`: what may run, and in which order; timers; threads.
//! - `scheduled`: invocations as work of a causal scheduler.

mod queue;
mod scheduled;
mod step;
pub(crate) mod task;
mod word;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Waker};
use std::thread::JoinHandle;
use std::time::Duration;

use proact::status::{Code, Operation, Status};
use proact::time::{Clock, Time, Timeout};

pub use scheduled::ScheduledInvocation;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::invocation::{Invocation, InvocationOptions, InvocationStatus, Policy, at};
use crate::module::Function;
use crate::panics::FirstPanic;
use crate::value::Inputs;
use queue::{Pulse, Queue};
use step::Work;
use task::{Call, Task};

/// What an [`Executor`] is made with.
#[derive(Clone, Debug)]
#[must_use = "a builder makes nothing until `build`"]
pub struct ExecutorBuilder {
    queues: Vec<(String, usize)>,
    clock: Clock,
    limit: usize,
}

/// Runs [`Invocation`]s. One that waits holds no thread: ten thousand may wait on an executor of one thread, or of
/// none.
///
/// An executor has queues, and a queue is served by so many threads, or, if it has none, by whoever calls
/// [`Executor::run_until_idle`], [`Executor::poll`] or [`Executor::run_until`]: a loop of one's own, a proactor's
/// thread, a test. A queue that one thread serves is deterministic: what may run does so by priority, then deadline,
/// then in the order in which it became ready, up to its next yield or wait.
///
/// An executor that is dropped is [shut down](Executor::shutdown), in at most [`Executor::DROP_TIMEOUT`].
///
/// ```
/// use proact::sync::Semaphore;
/// use proact_vm::executor::Executor;
/// use proact_vm::module::native::{Caller, NativeModule};
/// use proact_vm::wait::WaitSource;
/// use proact_vm::{Context, Instance, InvocationStatus, Policy, Value};
///
/// let go = Semaphore::new(0);
/// let gate = go.clone();
/// let module = NativeModule::builder("m")
///     .async_function("later", move |caller: Caller<()>, a: i32| {
///         let gate = gate.clone();
///         async move { caller.wait_for(WaitSource::semaphore(&gate, 1)).await.map(|()| a + 1) }
///     })
///     .build()?;
/// let context = Context::builder(&Instance::new()).module(module).build()?;
///
/// let executor = Executor::polled();
/// let invocation = executor.create(&context, &context.lookup("m.later")?, &Policy::new(), &[Value::I32(1)])?;
/// executor.run_until_idle();
/// assert_eq!(invocation.status(), InvocationStatus::Waiting);
/// go.signal(1, None)?;
/// executor.run_until_idle();
/// assert_eq!(invocation.outputs(), Some(&[Value::I32(2)][..]));
/// # Ok::<(), proact_vm::Error>(())
/// ```
pub struct Executor {
    handle: ExecutorHandle,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What creates invocations on an executor, from any thread. It does not keep the executor's threads.
#[derive(Clone)]
pub struct ExecutorHandle(Arc<Shared>);

struct Shared {
    queues: Vec<Arc<Queue>>,
    clock: Clock,
    pulse: Arc<Pulse>,
}

/// What a shutdown came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shutdown {
    /// Invocations that had not ended, and were aborted.
    pub aborted: usize,
    /// How many of these did not stop in time. Their handles have been answered all the same; their threads go on by
    /// themselves, and end with them.
    pub stuck: usize,
}

/// Numbers of invocations.
static LAST: AtomicU64 = AtomicU64::new(0);

impl ExecutorBuilder {
    /// Adds a queue that so many threads serve; with none its owner polls it. The first one is for invocations whose
    /// policy names none.
    pub fn queue(mut self, name: impl Into<String>, threads: usize) -> ExecutorBuilder {
        self.queues.push((name.into(), threads));
        self
    }

    /// Whose time deadlines and timed waits are; the system's, unless told. Threads cannot wait by a simulated one.
    pub fn clock(mut self, clock: Clock) -> ExecutorBuilder {
        self.clock = clock;
        self
    }

    /// How many invocations a queue may have that have not ended; 1,048,576 unless told. More are refused with
    /// `RESOURCE_EXHAUSTED`.
    pub fn limit(mut self, invocations: usize) -> ExecutorBuilder {
        self.limit = invocations;
        self
    }

    /// The executor, its threads started.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` without queues, with two of one name, and for threads with a simulated clock; what the system
    /// answers when a thread cannot be made.
    pub fn build(self) -> Result<Executor> {
        if self.queues.is_empty() {
            return Err(Error::invalid("an executor without queues"));
        }
        let pulse = Arc::new(Pulse::default());
        let mut queues: Vec<Arc<Queue>> = Vec::new();
        for (name, threads) in self.queues {
            if queues.iter().any(|queue| queue.name() == name) {
                return Err(Error::invalid(format!("two queues {name:?}")));
            }
            if threads > 0 && self.clock.is_simulated() {
                return Err(Error::invalid(format!("the threads of queue {name:?} cannot wait by a simulated clock")));
            }
            queues.push(Arc::new(Queue::new(name, threads, self.limit, &self.clock, &pulse)));
        }
        let executor = Executor {
            handle: ExecutorHandle(Arc::new(Shared { queues, clock: self.clock, pulse })),
            threads: Mutex::default(),
        };
        executor.start()?;
        Ok(executor)
    }
}

impl Executor {
    /// How long the drop of an executor waits for what runs.
    pub const DROP_TIMEOUT: Duration = Duration::from_secs(5);

    /// An executor without queues yet.
    pub fn builder() -> ExecutorBuilder {
        ExecutorBuilder { queues: Vec::new(), clock: Clock::monotonic(), limit: 1 << 20 }
    }

    /// One queue, `main`, that so many threads serve; with none it is polled.
    pub fn new(threads: usize) -> Result<Executor> {
        Executor::builder().queue("main", threads).build()
    }

    /// One queue, `main`, that its owner polls.
    pub fn polled() -> Executor {
        Executor::new(0).expect("no thread is made that could fail to be")
    }

    /// What creates invocations from elsewhere, on any thread.
    pub fn handle(&self) -> &ExecutorHandle {
        &self.handle
    }

    /// As [`ExecutorHandle::create`].
    pub fn create<I: Inputs + ?Sized>(
        &self,
        context: &Context,
        function: &Function,
        policy: &Policy,
        inputs: &I,
    ) -> Result<Invocation> {
        self.handle.create(context, function, policy, inputs)
    }

    fn start(&self) -> Result {
        for queue in &self.handle.0.queues {
            for index in 0..queue.threads() {
                let serving = queue.clone();
                let thread = std::thread::Builder::new()
                    .name(format!("proact-vm-{}-{index}", queue.name()))
                    .spawn(move || serving.serve())
                    .map_err(|error| Status::from_io_error(Operation::Build, &error))?;
                self.lock().push(thread);
            }
        }
        Ok(())
    }

    /// Runs one invocation of each queue without threads, up to its next yield or wait. `false`: none may run.
    pub fn poll(&self) -> bool {
        let mut ran = false;
        for queue in self.handle.polled() {
            if let Some(task) = queue.take() {
                task.run();
                ran = true;
            }
        }
        ran
    }

    /// Runs what may run on queues without threads, until nothing may. Answers how many invocations on them have not
    /// ended: they wait for something from elsewhere, or for [a time](Executor::next_time). One that yields for ever
    /// keeps it from returning.
    pub fn run_until_idle(&self) -> usize {
        while self.poll() {}
        self.handle.polled().map(|queue| queue.live()).sum()
    }

    /// Runs queues without threads until the invocation is over, whichever executor's it is, and sleeps while nothing
    /// may run. `false`: `timeout` came first; on a simulated clock, which does not go on by itself: nothing may run
    /// any more.
    pub fn run_until(&self, invocation: &Invocation, timeout: impl Into<Timeout>) -> bool {
        // The end of one that is not of these queues is told to nobody here, unless it is asked for.
        let waker = Waker::from(self.handle.0.pulse.clone());
        let mut finished = invocation.finished();
        let _is_looked_at_below = Pin::new(&mut finished).poll(&mut TaskContext::from_waker(&waker));
        self.wait_until(|| invocation.is_finished(), at(timeout.into(), &self.handle.0.clock))
    }

    /// Waits until no invocation is left, and runs queues without threads meanwhile. `false`: as
    /// [`Executor::run_until`].
    pub fn drain(&self, timeout: impl Into<Timeout>) -> bool {
        let is_empty = || self.handle.0.queues.iter().all(|queue| queue.live() == 0);
        self.wait_until(is_empty, at(timeout.into(), &self.handle.0.clock))
    }

    /// The next time at which something on a queue without threads may run by the clock alone.
    pub fn next_time(&self) -> Option<Time> {
        self.handle.polled().filter_map(|queue| queue.next_time()).min()
    }

    /// Has `waker` woken, each time, when something on a queue without threads may run: it wakes whoever polls. The
    /// last one given counts. The passing of time wakes nobody: see [`Executor::next_time`].
    pub fn on_ready(&self, waker: Waker) {
        self.handle.0.pulse.set_waker(waker);
    }

    /// Ends everything. New invocations are refused, with `ABORTED`; those that wait or have not begun are aborted at
    /// once, in the order of their creation, and those that run at their next stop, for which this waits until
    /// `timeout`. Their functions see nothing of it: what they hold is dropped. Every handle has an answer when this
    /// returns, and so it does not wait for those that this very thread runs: from within a function, its own.
    ///
    /// To let them end first: [`Executor::drain`].
    pub fn shutdown(&self, timeout: impl Into<Timeout>) -> Shutdown {
        let shared = &self.handle.0;
        shared.queues.iter().for_each(|queue| queue.close());
        let mut left: Vec<Arc<Task>> = shared.queues.iter().flat_map(|queue| queue.all()).collect();
        let mut shutdown = Shutdown { aborted: left.len(), stuck: 0 };
        let mut panics = FirstPanic::default();
        left.retain(|task| panics.catch(|| task.abort(step::shut_down())) == Some(false));
        let until = at(timeout.into(), &shared.clock);
        let is_over = || left.iter().all(|task| task.outcome().is_some() || task.is_run_here());
        // One that panics has told an end: those that are left are waited for.
        while panics.catch(|| self.wait_until(is_over, until)).is_none() {}
        for task in &left {
            match task.outcome() {
                Some(outcome) if outcome.status == InvocationStatus::Aborted => {}
                Some(_) => shutdown.aborted -= 1, // it ended by itself meanwhile
                None => {
                    panics.catch(|| task.abandon());
                    shutdown.stuck += 1;
                }
            }
        }
        shared.queues.iter().filter(|queue| queue.threads() == 0 || shutdown.stuck > 0).for_each(|queue| queue.clear());
        for thread in std::mem::take(&mut *self.lock()) {
            // One that is stuck ends with what it runs, and one cannot wait for itself.
            let is_own = thread.thread().id() == std::thread::current().id();
            if !is_own && (shutdown.stuck == 0 || thread.is_finished()) {
                let _ = thread.join(); // a thread of a queue catches the panics of what it runs
            }
        }
        panics.resume();
        shutdown
    }

    fn wait_until(&self, is_done: impl Fn() -> bool, until: Option<Time>) -> bool {
        let shared = &self.handle.0;
        loop {
            // Before it is looked at: what changes after that is seen.
            let count = shared.pulse.count();
            if is_done() {
                return true;
            }
            if self.poll() {
                if until.is_some_and(|until| shared.clock.now() >= until) {
                    return is_done();
                }
                continue;
            }
            let now = shared.clock.now();
            if shared.clock.is_simulated() || until.is_some_and(|until| now >= until) {
                return is_done();
            }
            let wake = self.next_time().into_iter().chain(until).min();
            shared.pulse.wait(count, &shared.clock, wake);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.shutdown(Executor::DROP_TIMEOUT);
    }
}

impl ExecutorHandle {
    /// Creates an invocation, which runs when its policy and its turn allow it. Its inputs are captured: values are
    /// copied, references counted.
    ///
    /// In a context that is not concurrent one invocation runs at a time, first come, first served whatever their
    /// priorities; others wait for their turn, and one that waits within has it. So one that waits there for another of
    /// the same context waits for ever, unless it has a deadline.
    ///
    /// # Errors
    /// Those of the inputs, as [`Context::invoke`]; `NOT_FOUND` for a queue that is not there; `RESOURCE_EXHAUSTED`
    /// where the queue is full; `ABORTED` after a shutdown. None of them touches what the policy was to signal.
    pub fn create<I: Inputs + ?Sized>(
        &self,
        context: &Context,
        function: &Function,
        policy: &Policy,
        inputs: &I,
    ) -> Result<Invocation> {
        self.admit(context, function, policy, inputs, false).map(Invocation::new)
    }

    fn admit<I: Inputs + ?Sized>(
        &self,
        context: &Context,
        function: &Function,
        policy: &Policy,
        inputs: &I,
        held: bool,
    ) -> Result<Arc<Task>> {
        let queue = match &policy.queue {
            Some(name) => self.0.queues.iter().find(|queue| queue.name() == name),
            None => self.0.queues.first(),
        };
        let Some(queue) = queue else {
            let name = policy.queue.as_deref().unwrap_or_default();
            return Err(Error::new(Code::NotFound, format!("the executor has no queue {name:?}")));
        };
        let mut options = InvocationOptions::new().clock(self.0.clock.clone()).stack(policy.limits);
        if policy.deadline != Timeout::Infinite {
            options = options.deadline(policy.deadline);
        }
        if policy.traced {
            options = options.traced();
        }
        if policy.inline {
            options = options.inline();
        }
        let mut state = queue.state();
        if let Err(error) = state.prepare(context, function, &options, inputs) {
            queue.recycle(state);
            return Err(error);
        }
        let call = Call { id: state.machine.id, name: function.name().into() };
        let mut work = Work::new(state, policy);
        work.timer = work.deadline().filter(|_| held);
        let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
        let task = Arc::new(Task::new(queue, number, call, policy, work, held));
        queue.admit(&task, held).map_err(|error| error.about(function.name().to_string()))?;
        Ok(task)
    }

    /// Queues that someone polls.
    fn polled(&self) -> impl Iterator<Item = &Arc<Queue>> {
        self.0.queues.iter().filter(|queue| queue.threads() == 0)
    }
}

impl fmt::Debug for Executor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Executor").field("queues", &self.handle).finish()
    }
}

impl fmt::Debug for ExecutorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let queues = self.0.queues.iter().map(|queue| (queue.name(), queue.live()));
        f.debug_map().entries(queues).finish()
    }
}
