//! Many runtimes, each on a thread of its own with a proactor of its own.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use proact::proactor::{Handle, Statistics};
use proact::status::{Code, Operation, Result, Status};

use crate::runtime::{Builder, Spawner, tasks_ended};
use crate::stop::Stop;
use crate::task::JoinHandle;
use crate::time::timeout;

/// Runtimes on threads of their own. Tasks are placed on one of them and stay there.
///
/// Nothing is shared among the threads but what tasks share: a task never moves, so what it does with its proactor
/// needs no lock. A thread is pinned when its [proactor's builder](proact::proactor::Builder::affinity) says where.
///
/// ```
/// use proact_async::{Builder, Threads};
/// use std::time::Duration;
///
/// let threads = Threads::new(2, |_| Builder::new())?;
/// let tasks: Vec<_> = (0..4).map(|index| threads.spawn(async move { index })).collect();
/// let sum = proact_async::Runtime::new()?.block_on(async {
///     let mut sum = 0;
///     for task in tasks {
///         sum += task.await.unwrap();
///     }
///     sum
/// });
/// assert_eq!(sum, 6);
/// for ended in threads.shutdown(Duration::from_secs(1)) {
///     assert_eq!(ended?.leaked, 0);
/// }
/// # Ok::<(), proact::status::Status>(())
/// ```
///
/// Dropping it is [`Threads::shutdown`] without patience for tasks.
pub struct Threads {
    places: Vec<Place>,
    next: AtomicUsize,
    stop: Stop,
    end: Arc<End>,
}

/// What the threads wait for. Not the stop, which others may request, long before.
#[derive(Default)]
struct End {
    begun: Stop,
    /// How long tasks may still go on, once it has begun.
    patience: OnceLock<Duration>,
}

struct Place {
    name: String,
    spawner: Spawner,
    ended: mpsc::Receiver<Result<Ended>>,
    thread: Option<thread::JoinHandle<()>>,
    /// How long the thread waits for its operations in the end.
    deadline: Duration,
}

/// How one of the threads has ended.
#[derive(Debug)]
pub struct Ended {
    /// What its proactor had counted.
    pub statistics: Statistics,
    /// Tasks that had not ended by themselves, and were dropped.
    pub dropped: usize,
    /// Operations that did not end in time. What they hold is leaked on purpose.
    pub leaked: usize,
}

/// What a thread may take beyond what it was given, before it counts as stuck.
const MARGIN: Duration = Duration::from_secs(2);

impl Threads {
    /// Starts `count` threads, each with a runtime of what `builder` makes for it: the same for all, or each with an
    /// affinity and a name of its own. All run when this returns.
    ///
    /// # Errors
    /// As for [`Builder::build`], and when the system refuses a thread: those that were started have ended then.
    /// `InvalidArgument` for none.
    pub fn new(count: usize, mut builder: impl FnMut(usize) -> Builder) -> Result<Threads> {
        let (stop, end) = (Stop::new(), Arc::default());
        let mut threads = Threads { places: Vec::new(), next: AtomicUsize::new(0), stop, end };
        if count == 0 {
            return Err(Status::new(Code::InvalidArgument, Operation::ProactorThread).with_message("no threads"));
        }
        for index in 0..count {
            let place = Place::start(index, builder(index), threads.end.clone())?;
            threads.places.push(place);
        }
        Ok(threads)
    }

    /// How many threads there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there are none: never.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Runs a future on the next of the threads, in turn.
    ///
    /// What does I/O by this crate's types stays on its thread and is not `Send`: [`Threads::spawn_with`] has it made
    /// where it runs.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        self.spawner(self.turn()).spawn(future)
    }

    /// Has the next of the threads, in turn, make a future and run it: it need not be `Send`.
    ///
    /// ```
    /// # use proact_async::{Builder, Runtime, Threads, time};
    /// let threads = Threads::new(2, |_| Builder::new())?;
    /// let task = threads.spawn_with(|| async {
    ///     time::sleep(std::time::Duration::from_millis(1)).await;
    ///     7
    /// });
    /// assert_eq!(Runtime::new()?.block_on(task).unwrap(), 7);
    /// # Ok::<(), proact::status::Status>(())
    /// ```
    pub fn spawn_with<M, F>(&self, make: M) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send,
    {
        self.spawner(self.turn()).spawn_with(make)
    }

    fn turn(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) % self.places.len()
    }

    /// As [`Threads::spawn_with`], on the thread `index`.
    ///
    /// # Panics
    /// There is no such thread.
    #[track_caller]
    pub fn spawn_on<M, F>(&self, index: usize, make: M) -> JoinHandle<F::Output>
    where
        M: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send,
    {
        self.places[index].spawner.spawn_with(make)
    }

    /// What gives the thread `index` tasks.
    ///
    /// # Panics
    /// There is no such thread.
    #[track_caller]
    pub fn spawner(&self, index: usize) -> &Spawner {
        &self.places[index].spawner
    }

    /// The handle of that thread's proactor.
    ///
    /// # Panics
    /// There is no such thread.
    #[track_caller]
    pub fn handle(&self, index: usize) -> &Handle {
        self.places[index].spawner.handle()
    }

    /// What is requested when the end begins: for tasks that serve until then. Requesting it tells them and ends no
    /// thread.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// Ends them. Tasks are told by [`Threads::stop`] and may go on for at most `patience`; then they are dropped,
    /// their operations cancelled, and the ends of these awaited for as long as the builder said.
    ///
    /// Answers how each thread has ended: `DeadlineExceeded` for one that is stuck in a task, which is left behind;
    /// `Internal` with the text of a panic.
    pub fn shutdown(mut self, patience: Duration) -> Vec<Result<Ended>> {
        self.end(patience)
    }

    fn end(&mut self, patience: Duration) -> Vec<Result<Ended>> {
        // By a drop after a shutdown there is nobody left who would ask.
        let _ = self.end.patience.set(patience);
        self.stop.request();
        self.end.begun.request();
        let start = Instant::now();
        self.places.drain(..).map(|place| place.join(start, patience)).collect()
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

impl fmt::Debug for Threads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.places.iter().map(|place| &place.name)).finish()
    }
}

impl Place {
    fn start(index: usize, builder: Builder, all: Arc<End>) -> Result<Place> {
        let name = format!("proact-async-{index}");
        let deadline = builder.given_shutdown_deadline();
        let (started, start) = mpsc::channel();
        let (end, ended) = mpsc::channel();
        let own = name.clone();
        let thread = thread::Builder::new().name(name.clone()).spawn(move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| serve(builder, &all, &started, deadline)));
            let outcome = outcome.unwrap_or_else(|panic| Err(panicked(&own, &*panic)));
            // Heard by who starts it when it could not be built, and otherwise by who ends it, unless they went away.
            let _ = end.send(outcome);
        });
        let thread = thread.map_err(|error| Status::from_io_error(Operation::ProactorThread, &error))?;
        match start.recv() {
            Ok(spawner) => Ok(Place { name, spawner, ended, thread: Some(thread), deadline }),
            Err(_) => match ended.recv() {
                Ok(Err(status)) => Err(status),
                _ => unreachable!("it ends before its start by a failure alone"),
            },
        }
    }

    fn join(mut self, start: Instant, patience: Duration) -> Result<Ended> {
        let limit = patience.saturating_add(self.deadline).saturating_add(MARGIN);
        let left = limit.saturating_sub(start.elapsed());
        let ended = self.ended.recv_timeout(left).map_err(|_| {
            Status::new(Code::DeadlineExceeded, Operation::ProactorThread)
                .with_message("a task does not give the thread back")
                .with_context(format!("{:?}", self.name))
        })?;
        if let Some(thread) = self.thread.take() {
            // It has said all it had to say.
            let _ = thread.join();
        }
        ended
    }
}

fn serve(builder: Builder, end: &End, started: &mpsc::Sender<Spawner>, deadline: Duration) -> Result<Ended> {
    let runtime = builder.build()?;
    if started.send(runtime.spawner()).is_err() {
        return Err(Status::new(Code::Aborted, Operation::ProactorThread));
    }
    let dropped = runtime.try_block_on(async {
        end.begun.requested().await;
        let patience = end.patience.get().copied().unwrap_or_default();
        // Elapsed: the rest is dropped with the runtime.
        let _ = timeout(patience, tasks_ended()).await;
        crate::runtime::tasks()
    })?;
    let statistics = runtime.statistics();
    Ok(Ended { statistics, dropped, leaked: runtime.shutdown(deadline) })
}

fn panicked(name: &str, panic: &(dyn Any + Send)) -> Status {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    Status::new(Code::Internal, Operation::ProactorThread).with_message(format!("the thread {name:?} panicked: {text}"))
}
