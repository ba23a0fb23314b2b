//! The ways of driving one call on one thread: to its end, step by step, as a future.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use oorandom::Rand32;
use proact::proactor::Proactor;
use proact::status::Code;
use proact::time::{Clock, Time, Timeout};
use proact_vm::wait::{SourceKind, WaitFrame, WaitKind, WaitOutcome};
use proact_vm::{
    Error, InvocationOptions, InvocationState, Result, Step, TimerFuture, Timers, Value, Waiting, Yielded,
};

use crate::model::{Outcome, Stop};
use crate::stage::Stage;
use crate::world::shared_handle;

/// How long anything may take that a test waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A waker that is counted, and says whether it was called.
pub struct Flag {
    woken: AtomicBool,
    thread: Thread,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

impl Flag {
    pub fn new() -> (Arc<Flag>, Waker) {
        let flag = Arc::new(Flag { woken: AtomicBool::new(false), thread: std::thread::current() });
        let waker = Waker::from(flag.clone());
        (flag, waker)
    }

    /// Whether it was called since it was last asked.
    pub fn take(&self) -> bool {
        self.woken.swap(false, Ordering::SeqCst)
    }

    /// Whether it was called, without forgetting it.
    pub fn is_woken(&self) -> bool {
        self.woken.load(Ordering::SeqCst)
    }

    /// Waits until it is called, and brings what is waited for while it is not.
    #[track_caller]
    pub fn wait(&self, stage: &Stage) {
        let since = Instant::now();
        while !self.take() {
            if !stage.world.bring() {
                std::thread::park_timeout(PATIENCE);
                assert!(since.elapsed() < PATIENCE, "no one wakes what waits");
            }
        }
    }
}

pub fn blocking(stage: &Stage, run: i32, options: &InvocationOptions) -> Outcome {
    let given = stage.inputs(run);
    let mut outputs = Vec::new();
    let result = stage.context.invoke_with(options, &stage.root, &given.values, &mut outputs);
    stage.outcome(run, &given, result.map(|()| outputs))
}

/// Who waits for a step that does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiter {
    /// The step itself.
    Step,
    /// The host, by its own means where it can, which then tells the outcome.
    Host,
    /// A task, by the step's poll.
    Task,
    /// A task, by the step's future.
    Ready,
}

/// What may happen at a step; each is also taken on another thread, now and then.
pub struct Steps<'a> {
    random: &'a mut Rand32,
    /// Every wait is the step's own.
    only_waits: bool,
    /// Who is to be polled meanwhile.
    proactor: Option<&'a mut Proactor>,
    pub stops: Vec<Stop>,
    /// At this stop the host fails the call or its wait.
    pub fails_at: usize,
    /// At this stop the host drops it.
    pub drops_at: usize,
}

impl<'a> Steps<'a> {
    pub fn new(random: &'a mut Rand32) -> Steps<'a> {
        let (stops, never) = (Vec::new(), usize::MAX);
        Steps { random, only_waits: false, proactor: None, stops, fails_at: never, drops_at: never }
    }

    /// Steps whose waits are their own: of a call that is late they fail, which no one else could know.
    pub fn by_waiting(random: &'a mut Rand32) -> Steps<'a> {
        Steps { only_waits: true, ..Steps::new(random) }
    }

    /// Steps of calls that wait for operations of a proactor of this thread.
    pub fn polling(random: &'a mut Rand32, proactor: &'a mut Proactor) -> Steps<'a> {
        Steps { proactor: Some(proactor), ..Steps::new(random) }
    }

    /// Drives a call to its end; `None` if it was given up.
    pub fn drive(
        &mut self,
        stage: &Stage,
        state: &mut InvocationState,
        run: i32,
        options: &InvocationOptions,
    ) -> Option<Outcome> {
        let given = stage.inputs(run);
        let step = stage.context.begin(state, &stage.root, options, &given.values).unwrap();
        let result = self.steps(stage, step)?;
        Some(stage.outcome(run, &given, result))
    }

    fn steps(&mut self, stage: &Stage, step: Step<'_>) -> Option<Result<Vec<Value>>> {
        let mut step = step;
        loop {
            let stop = self.stops.len();
            if stop == self.drops_at {
                return None; // and the step is dropped, with what it has: at the end the results
            }
            step = match step {
                Step::Done(done) => {
                    if done.result().is_err() {
                        stage.only_inputs();
                    }
                    let mut outputs = Vec::new();
                    return Some(done.end(&mut outputs).unwrap().map(|()| outputs));
                }
                Step::Yielded(yielded) => {
                    self.stops.push(Stop::Yield);
                    if stop == self.fails_at {
                        Step::Done(yielded.fail(enough()))
                    } else {
                        self.anywhere(stage, yielded)
                    }
                }
                Step::Waiting(waiting) => {
                    let frame = waiting.frame();
                    let function = waiting.function().map(|function| function.name().to_string());
                    let stopped = Stop::Wait(frame.kind(), frame.sources().count(), function.unwrap_or_default());
                    self.stops.push(stopped);
                    if stop == self.fails_at {
                        waiting.provide(Err(enough())).resume()
                    } else {
                        let yielded = self.wait(stage, waiting);
                        self.anywhere(stage, yielded)
                    }
                }
            };
        }
    }

    /// Resumes it here or on another thread.
    fn anywhere<'s>(&mut self, stage: &Stage, yielded: Yielded<'s>) -> Step<'s> {
        match self.random.rand_range(0..12) {
            0 if stage.world.has_others() => {
                std::thread::scope(|scope| scope.spawn(|| yielded.resume()).join().unwrap())
            }
            _ => yielded.resume(),
        }
    }

    fn wait<'s>(&mut self, stage: &Stage, waiting: Waiting<'s>) -> Yielded<'s> {
        if let Some(proactor) = &mut self.proactor {
            return by_polling(proactor, waiting);
        }
        if self.only_waits {
            return waiting.wait(Timeout::Infinite);
        }
        let all = [Waiter::Step, Waiter::Host, Waiter::Task, Waiter::Ready];
        match all[self.random.rand_range(0..4) as usize] {
            // Nothing is brought while this thread waits.
            Waiter::Step if stage.world.brings_by_itself() => waiting.wait(Timeout::Infinite),
            Waiter::Host => match by_own_means(stage, &waiting) {
                Some(outcome) => waiting.provide(outcome),
                None => by_a_task(stage, waiting),
            },
            Waiter::Ready if waiting.next_time().is_none() => {
                let (flag, waker) = Flag::new();
                let mut ready = pin!(waiting.ready());
                loop {
                    match ready.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
                        Poll::Ready(yielded) => break yielded,
                        Poll::Pending => flag.wait(stage),
                    }
                }
            }
            _ => by_a_task(stage, waiting),
        }
    }
}

fn enough() -> Error {
    Error::new(Code::Cancelled, crate::model::ENOUGH)
}

/// Polls the step until its wait is over, and only when it was woken or its time has come.
fn by_a_task<'s>(stage: &Stage, mut waiting: Waiting<'s>) -> Yielded<'s> {
    let (flag, waker) = Flag::new();
    // A function that was woken has its wait still, and a thread that wakes has the waker a moment longer.
    let may_stay = waiting.frame().is_or_woken() || stage.world.has_others();
    loop {
        waiting = match waiting.poll(&mut TaskContext::from_waker(&waker)) {
            Ok(yielded) => {
                drop(waker);
                assert!(may_stay || Arc::strong_count(&flag) == 1, "wakers are left of a wait that is over");
                return yielded;
            }
            Err(waiting) => waiting,
        };
        match waiting.next_time() {
            // What is near is waited for by the clock.
            Some(time) if time.since(Clock::monotonic().now()) < PATIENCE => {
                let since = Instant::now();
                while !flag.take() && Clock::monotonic().now() < time {
                    stage.world.bring();
                    std::thread::yield_now();
                    assert!(since.elapsed() < PATIENCE, "no one wakes what waits");
                }
            }
            _ => flag.wait(stage),
        }
    }
}

/// Polls the step and the proactor in turns.
fn by_polling<'s>(proactor: &mut Proactor, mut waiting: Waiting<'s>) -> Yielded<'s> {
    let since = Instant::now();
    loop {
        waiting = match waiting.poll(&mut TaskContext::from_waker(Waker::noop())) {
            Ok(yielded) => return yielded,
            Err(waiting) => waiting,
        };
        proactor.poll(Timeout::After(Duration::from_micros(50))).unwrap();
        assert!(since.elapsed() < PATIENCE, "what is waited for does not come");
    }
}

/// Waits as a host might that knows semaphores, frontiers and times; `None` where that is not all.
fn by_own_means(stage: &Stage, waiting: &Waiting<'_>) -> Option<WaitOutcome> {
    let frame: &WaitFrame = waiting.frame();
    let deadline = waiting.deadline();
    if frame.is_or_woken() || frame.sources().any(|source| matches!(source.kind(), SourceKind::Other)) {
        return None;
    }
    let since = Instant::now();
    loop {
        let now = Clock::monotonic().now();
        let mut pending = false;
        for (index, source) in frame.sources().enumerate() {
            let is_over = match source.kind() {
                SourceKind::Over => Ok(true),
                SourceKind::Deadline(time) => Ok(now >= time),
                SourceKind::Semaphore(semaphore, value) => match semaphore.value() >= value {
                    true => Ok(true),
                    false => semaphore.status().map_or(Ok(false), |status| Err(Error::from(status))),
                },
                SourceKind::Frontier(tracker, frontier) => tracker.is_reached(frontier).map_err(Error::from),
                _ => return None,
            };
            match is_over {
                Ok(true) if frame.kind() == WaitKind::Any => return Some(Ok(index)),
                Ok(true) => {}
                Ok(false) => pending = true,
                Err(error) => return Some(Err(error)),
            }
        }
        if !pending {
            return Some(Ok(0));
        }
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Some(Err(Error::new(Code::DeadlineExceeded, "the deadline has passed")));
        }
        stage.world.bring();
        std::thread::yield_now();
        assert!(since.elapsed() < PATIENCE, "what the host waits for does not come");
    }
}

/// Drives a call as a future, which is polled only when it was woken; given up after so many polls.
pub fn future(stage: &Stage, run: i32, options: &InvocationOptions, polls_max: usize) -> Option<Outcome> {
    let options = match stage.world.has_others() {
        true => options.clone().timers(shared_handle()),
        false => options.clone().timers(Near),
    };
    let given = stage.inputs(run);
    let (flag, waker) = Flag::new();
    let result = {
        let mut future = Box::pin(stage.context.invoke_async(&stage.root, &options, &given.values).unwrap());
        let mut polls = 0;
        loop {
            if polls == polls_max {
                break None;
            }
            polls += 1;
            match future.as_mut().poll(&mut TaskContext::from_waker(&waker)) {
                Poll::Ready(result) => break Some(result),
                Poll::Pending => flag.wait(stage),
            }
        }
    };
    drop(waker);
    assert!(stage.world.has_others() || Arc::strong_count(&flag) == 1, "wakers are left of a call that is over");
    result.map(|result| stage.outcome(run, &given, result))
}

/// Timers without another thread: the task looks again and again. What is far never comes.
struct Near;

impl Timers for Near {
    fn timer(&self, time: Time) -> TimerFuture {
        Box::pin(poll_fn(move |cx| {
            let now = Clock::monotonic().now();
            if now >= time {
                return Poll::Ready(Ok(()));
            }
            if time.since(now) < PATIENCE {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        }))
    }
}
