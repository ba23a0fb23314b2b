//! What functions have around them: things to wait for and who brings them, references that are counted, and where side
//! effects are noted.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use proact::causal::{Axis, Frontier};
use proact::operation::{EventWait, Timer};
use proact::proactor::{Builder, Handle, ProactorThread};
use proact::simulated;
use proact::status::{Code, Operation, Status};
use proact::sync::{AxisHandle, Event, Semaphore, SemaphoreFuture, Tracker};
use proact::time::{Clock, Time};
use proact_vm::executor::Executor;
use proact_vm::module::native::{Caller, NativeModule};
use proact_vm::wait::{WaitFrame, WaitKind, WaitSource};
use proact_vm::{Context, Error, Function, Instance, Invocation, Object, Policy, Result};

use crate::drive::PATIENCE;
use crate::graph::{Graph, LATER_AFTER, POLLS_LATER, SOON_AFTER, Source, When, Why};
use crate::model::Noted;
use crate::support::{Count, Counted, Polls};

/// What references are of.
pub struct Token {
    pub value: i64,
    _counted: Counted,
}

impl Object for Token {
    const TYPE_NAME: &'static str = "graphs.token";
}

/// Something that is brought when it is waited for.
pub enum Later {
    Gate(Semaphore),
    Axis(AxisHandle),
    Event(Event),
}

impl Later {
    fn come(self) {
        match self {
            Later::Gate(gate) => gate.signal(1, None).unwrap(),
            Later::Axis(axis) => drop(axis.advance(1).unwrap()),
            Later::Event(event) => event.set().unwrap(),
        }
    }
}

/// Who brings what comes later.
pub enum Means {
    /// Another thread, at once.
    Threads,
    /// The driver, when nothing else can be done.
    Queue,
    /// A simulated world, at a later time.
    Simulated(simulated::World),
}

/// The failures of what is waited for, as the functions hear them.
pub struct Words {
    pub semaphore: &'static str,
    pub frontier: &'static str,
    pub invocation: &'static str,
}

pub const WORDS: Words = Words {
    semaphore: "semaphore wait: gone away (UNAVAILABLE)",
    frontier: "axis 1.0.queue.1.0: out of reach (PERMISSION_DENIED)",
    invocation: "side.fails in call #: torn apart (NOT_FOUND)",
};

impl Words {
    pub fn of(&self, why: Why) -> (Code, String) {
        let (code, words) = match why {
            Why::Deadline => (Code::DeadlineExceeded, "the deadline has passed (DEADLINE_EXCEEDED)"),
            Why::Semaphore => (Code::Unavailable, self.semaphore),
            Why::Frontier => (Code::PermissionDenied, self.frontier),
            Why::Invocation => (Code::NotFound, self.invocation),
        };
        (code, words.into())
    }
}

/// What is told how many notes there are.
pub type OnNote = Box<dyn FnMut(usize) + Send>;

pub struct World {
    pub graph: Arc<Graph>,
    pub count: Count,
    notes: Mutex<Vec<Noted>>,
    /// Told of each note.
    pub on_note: Mutex<Option<OnNote>>,
    pub reached: Semaphore,
    pub never: Semaphore,
    failed: Semaphore,
    tracker: Tracker,
    /// Reached, failed, never.
    axes: [AxisHandle; 3],
    means: Means,
    queue: Mutex<VecDeque<Later>>,
    /// Whose operations are waited for. Without it other things are, in their places.
    handle: Option<Handle>,
    side: Option<Side>,
    /// All functions, once they are there: for calls that go back.
    pub table: Mutex<Vec<Function>>,
}

/// Invocations that functions wait for.
struct Side {
    executor: Arc<Executor>,
    context: Context,
}

/// A proactor whose thread polls it, for all tests.
pub fn shared_handle() -> Handle {
    static THREAD: OnceLock<ProactorThread> = OnceLock::new();
    THREAD.get_or_init(|| ProactorThread::spawn(Builder::new()).unwrap()).handle().clone()
}

fn shared_executor() -> Arc<Executor> {
    static EXECUTOR: OnceLock<Arc<Executor>> = OnceLock::new();
    EXECUTOR.get_or_init(|| Arc::new(Executor::new(1).unwrap())).clone()
}

impl World {
    pub fn new(graph: &Arc<Graph>, means: Means, handle: Option<Handle>) -> Arc<World> {
        let failed = Semaphore::new(0);
        failed.fail(Status::new(Code::Unavailable, Operation::SemaphoreWait).with_message("gone away"));
        let tracker = Tracker::new();
        let axes = [0, 1, 2].map(|axis| tracker.register(Axis::queue(1, 0, axis, 0)).unwrap());
        axes[0].advance(1).unwrap();
        axes[1].fail(Status::new(Code::PermissionDenied, Operation::None).with_message("out of reach"));
        // Its threads would be another one's allocations.
        let side = handle.is_some().then(|| Side {
            executor: if matches!(means, Means::Threads) { shared_executor() } else { Arc::new(Executor::polled()) },
            context: side(),
        });
        Arc::new(World {
            graph: graph.clone(),
            count: Count::default(),
            notes: Mutex::default(),
            on_note: Mutex::default(),
            reached: Semaphore::new(1),
            never: Semaphore::new(0),
            failed,
            tracker,
            axes,
            means,
            queue: Mutex::default(),
            handle,
            side,
            table: Mutex::default(),
        })
    }

    /// With other threads for what comes later, and a proactor's thread.
    pub fn threaded(graph: &Arc<Graph>) -> Arc<World> {
        World::new(graph, Means::Threads, Some(shared_handle()))
    }

    pub fn token(&self, value: i64) -> Arc<Token> {
        Arc::new(Token { value, _counted: self.count.one() })
    }

    pub fn note(&self, noted: Noted) {
        let mut notes = self.notes.lock().unwrap();
        notes.push(noted);
        let count = notes.len();
        drop(notes);
        if let Some(told) = &mut *self.on_note.lock().unwrap() {
            told(count);
        }
    }

    /// The notes of one run.
    pub fn take_notes(&self, run: i32) -> Vec<Noted> {
        let mut notes = self.notes.lock().unwrap();
        let (own, others) = notes.drain(..).partition(|(at, ..)| at / crate::shape::DEPTHS == run);
        *notes = others;
        own
    }

    /// Brings something that is waited for; `false` when there is nothing to bring.
    pub fn bring(&self) -> bool {
        if self.side.as_ref().is_some_and(|side| side.executor.poll()) {
            return true;
        }
        let later = self.queue.lock().unwrap().pop_front();
        later.map(Later::come).is_some()
    }

    /// Whether what is waited for comes while a thread waits.
    pub fn brings_by_itself(&self) -> bool {
        matches!(self.means, Means::Threads)
    }

    /// Whether other threads have to do with it, which may hold a waker for a moment longer than its wait lasts.
    pub fn has_others(&self) -> bool {
        self.handle.is_some()
    }

    /// Forgets what was to be brought to calls that were given up: no reference is left then.
    pub fn settle(&self, what: &str) {
        self.queue.lock().unwrap().clear();
        if let Some(side) = self.side.as_ref().filter(|_| !matches!(self.means, Means::Threads)) {
            assert!(side.executor.drain(PATIENCE), "{what}: invocations that are waited for do not end");
        }
        let since = Instant::now();
        // A waker is an invocation, and its results: a thread that cancels an operation has one for a moment longer.
        while self.has_others() && self.count.get() > 0 && since.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        assert_eq!(self.count.get(), 0, "{what}: references are left");
    }

    fn later(&self, later: Later) {
        match &self.means {
            Means::Threads => {
                // Now and then before it is waited for.
                static CARRIER: OnceLock<Mutex<std::sync::mpsc::Sender<Later>>> = OnceLock::new();
                let carrier = CARRIER.get_or_init(|| {
                    let (sender, receiver) = std::sync::mpsc::channel::<Later>();
                    std::thread::spawn(move || receiver.into_iter().for_each(Later::come));
                    Mutex::new(sender)
                });
                carrier.lock().unwrap().send(later).unwrap();
            }
            Means::Queue => self.queue.lock().unwrap().push_back(later),
            Means::Simulated(world) => world.after(LATER_AFTER, move |_| later.come()),
        }
    }

    pub fn gate(&self) -> Semaphore {
        let gate = Semaphore::new(0);
        self.later(Later::Gate(gate.clone()));
        gate
    }

    fn event(&self) -> Option<(Event, WaitSource)> {
        let handle = self.handle.as_ref()?;
        let event = handle.event().unwrap();
        let wait = handle.future(EventWait::new(event.clone()));
        Some((event, WaitSource::future(async move { wait.await.1.result.map(drop) })))
    }

    fn axis(&self, own: usize) -> WaitSource {
        WaitSource::frontier(&self.tracker, Frontier::single(self.axes[own].axis(), 1).unwrap())
    }

    fn invocation(&self, fails: bool) -> WaitSource {
        let Some(Side { executor, context }) = &self.side else {
            return WaitSource::future(async move {
                Polls(1).await?;
                let error = Error::new(Code::NotFound, "torn apart").about("side.fails in call #");
                if fails { Err(error) } else { Ok(()) }
            });
        };
        let function = context.lookup(if fails { "side.fails" } else { "side.ends" }).unwrap();
        let invocation: Invocation = executor.create(context, &function, &Policy::new(), &()).unwrap();
        if let Means::Simulated(world) = &self.means {
            let executor = executor.clone();
            world.after(LATER_AFTER, move |_| while executor.poll() {});
        }
        invocation.wait_source()
    }

    fn source(&self, source: Source, clock: &Clock) -> WaitSource {
        let time = |when| time(when, clock);
        match source {
            Source::Immediate => WaitSource::immediate(),
            Source::Reached => WaitSource::semaphore(&self.reached, 1),
            Source::FrontierReached => self.axis(0),
            Source::Time(when) => WaitSource::deadline(time(when)),
            Source::Failed => WaitSource::semaphore(&self.failed, 1),
            Source::FrontierFailed => self.axis(1),
            Source::Later => WaitSource::semaphore(&self.gate(), 1),
            Source::FrontierLater => {
                let tracker = Tracker::new();
                let axis = tracker.register(Axis::queue(1, 0, 0, 0)).unwrap();
                let frontier = Frontier::single(axis.axis(), 1).unwrap();
                self.later(Later::Axis(axis));
                WaitSource::frontier(&tracker, frontier)
            }
            Source::EventLater => match self.event() {
                Some((event, wait)) => {
                    self.later(Later::Event(event));
                    wait
                }
                None => WaitSource::semaphore(&self.gate(), 1),
            },
            Source::Timer => match &self.handle {
                Some(handle) => {
                    let timer = handle.future(Timer::new(handle.clock().now() + Duration::from_nanos(700)));
                    WaitSource::future(async move { timer.await.1.result.map(drop) })
                }
                None => WaitSource::future(Polls(2)),
            },
            Source::Polls(times) => WaitSource::future(Polls(times)),
            Source::Invocation { fails } => self.invocation(fails),
            Source::Never => WaitSource::semaphore(&self.never, 1),
            Source::FrontierNever => self.axis(2),
            Source::EventNever => match self.event() {
                Some((_, wait)) => wait,
                None => WaitSource::semaphore(&self.never, 1),
            },
        }
    }

    pub fn frame(&self, wait: usize, clock: &Clock) -> WaitFrame {
        let wait = &self.graph.waits[wait];
        if let (WaitKind::Until, [Source::Time(when)]) = (wait.kind, &wait.sources[..]) {
            return WaitFrame::until(time(*when, clock));
        }
        let sources: Vec<_> = wait.sources.iter().map(|source| self.source(*source, clock)).collect();
        let frame = if wait.kind == WaitKind::Any { WaitFrame::any(sources) } else { WaitFrame::all(sources) };
        match wait.deadline {
            Some(when) => frame.deadline(time(when, clock)),
            None => frame,
        }
    }
}

fn time(when: When, clock: &Clock) -> Time {
    match when {
        When::Past => Time::ORIGIN,
        When::Soon => clock.now() + SOON_AFTER,
        When::Far => clock.now() + Duration::from_secs(3600),
    }
}

/// A context whose invocations are waited for.
fn side() -> Context {
    let module = NativeModule::builder("side")
        .async_function("ends", |caller: Caller<()>| async move { caller.yield_now().await })
        .async_function("fails", |caller: Caller<()>| async move {
            caller.yield_now().await?;
            Err::<(), _>(Error::new(Code::NotFound, "torn apart"))
        })
        .build()
        .unwrap();
    Context::builder(&Instance::new()).concurrent().module(module).build().unwrap()
}

/// What a function polls by itself: pending so often, or until someone wakes it who was told of it meanwhile.
pub enum Own {
    Polls(Polls),
    Unpolled(Arc<World>),
    Gate(SemaphoreFuture),
}

impl Own {
    pub fn new(world: &Arc<World>, times: u32) -> Own {
        if times == POLLS_LATER { Own::Unpolled(world.clone()) } else { Own::Polls(Polls(times)) }
    }
}

impl Future for Own {
    type Output = Result;
    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result> {
        match &mut *self {
            Own::Polls(polls) => Pin::new(polls).poll(cx),
            Own::Gate(future) => Pin::new(future).poll(cx).map(|reached| reached.map(drop).map_err(Error::from)),
            Own::Unpolled(world) => {
                let (world, gate) = (world.clone(), Semaphore::new(0));
                let mut future = gate.future(1);
                assert!(Pin::new(&mut future).poll(cx).is_pending());
                *self = Own::Gate(future);
                world.later(Later::Gate(gate));
                Poll::Pending
            }
        }
    }
}
