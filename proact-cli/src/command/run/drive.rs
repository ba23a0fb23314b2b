//! Drives a call step by step on this thread, which an interrupt wakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Wake, Waker};
use std::thread::{self, Thread};

use proact::status::Code;
use proact::time::Clock;
use proact_vm::wait::{SourceKind, WaitFrame, WaitKind};
use proact_vm::{
    CallId, Context, Done, Error, Function, InvocationOptions, InvocationState, Step, Value, Waiting, Yielded,
};

use super::semaphores::{Semaphores, Shown};
use super::trace::TraceFile;
use crate::command::Interrupt;

/// A call that is to be made.
pub(super) struct Call {
    pub context: Context,
    pub function: Function,
    pub options: InvocationOptions,
    pub inputs: Vec<Value>,
    pub interrupt: Arc<Interrupt>,
    pub semaphores: Semaphores,
}

/// How it ended.
pub(super) struct Ended {
    pub outcome: Result<Vec<Value>, Error>,
    /// Of a call that began.
    pub id: Option<CallId>,
    pub yields: u64,
    pub waits: u64,
    pub interrupted: bool,
    /// What the semaphores have come to.
    pub semaphores: Vec<Shown>,
}

struct Parker {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Parker {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

impl Call {
    pub(super) fn run(mut self, trace: Option<&mut TraceFile>) -> Ended {
        let mut semaphores = std::mem::take(&mut self.semaphores);
        let mut ended = self.drive(trace, &mut semaphores);
        semaphores.end(ended.outcome.as_ref().err());
        if !super::load::end(self.context, &self.interrupt) {
            ended.interrupted = true;
            ended.outcome = ended.outcome.and_then(|_| Err(Error::new(Code::Cancelled, "interrupted at its end")));
        }
        ended.semaphores = semaphores.shown();
        ended
    }

    fn drive(&self, mut trace: Option<&mut TraceFile>, semaphores: &mut Semaphores) -> Ended {
        let mut ended = Ended {
            outcome: Ok(Vec::new()),
            id: None,
            yields: 0,
            waits: 0,
            interrupted: false,
            semaphores: Vec::new(),
        };
        let clock = Clock::monotonic();
        self.interrupt.unparks(thread::current());
        semaphores.begin(clock.now());
        let mut state = InvocationState::new();
        let mut began = clock.now();
        let mut step = match self.context.begin(&mut state, &self.function, &self.options, &self.inputs) {
            Ok(step) => step,
            Err(error) => return Ended { outcome: Err(error), ..ended },
        };
        loop {
            let stopped = clock.now();
            if let Some(trace) = &mut trace {
                trace.step(began, stopped, ended.id, what(&step));
            }
            let yielded = match step {
                Step::Done(done) => {
                    ended.id = Some(done.id());
                    ended.outcome = outputs(done);
                    return ended;
                }
                Step::Yielded(yielded) => {
                    ended.yields += 1;
                    yielded
                }
                Step::Waiting(waiting) => {
                    ended.waits += 1;
                    let waited_for = trace.as_ref().map(|_| waited_for(&waiting));
                    let yielded = self.wait(waiting, &clock, semaphores);
                    if let (Some(trace), Some(waited_for)) = (&mut trace, waited_for) {
                        trace.wait(stopped, clock.now(), &waited_for);
                    }
                    yielded
                }
            };
            ended.id = Some(yielded.id());
            if self.interrupt.is_raised() {
                ended.interrupted = true;
                ended.outcome = outputs(yielded.fail(Error::new(Code::Cancelled, "interrupted")));
                return ended;
            }
            began = clock.now();
            semaphores.due(began);
            step = yielded.resume();
        }
    }

    /// Waits until the wait is over, or an interrupt ends it.
    fn wait<'s>(&self, mut waiting: Waiting<'s>, clock: &Clock, semaphores: &mut Semaphores) -> Yielded<'s> {
        let parker = Arc::new(Parker { thread: thread::current(), woken: AtomicBool::new(false) });
        let waker = Waker::from(parker.clone());
        loop {
            parker.woken.store(false, Ordering::SeqCst);
            // Before the poll, which sees them.
            let signal = semaphores.due(clock.now());
            waiting = match waiting.poll(&mut TaskContext::from_waker(&waker)) {
                Ok(yielded) => return yielded,
                Err(waiting) => waiting,
            };
            if self.interrupt.is_raised() {
                return waiting.provide(Err(Error::new(Code::Cancelled, "interrupted")));
            }
            // A wake between the poll and here makes the park return at once.
            match waiting.next_time().into_iter().chain(signal).min() {
                _ if parker.woken.load(Ordering::SeqCst) => {}
                Some(time) => thread::park_timeout(time.since(clock.now())),
                None => thread::park(),
            }
        }
    }
}

fn outputs(done: Done<'_>) -> Result<Vec<Value>, Error> {
    let mut outputs = Vec::new();
    done.end(&mut outputs)??;
    Ok(outputs)
}

/// How a step ended, for the trace.
fn what(step: &Step<'_>) -> &'static str {
    match step {
        Step::Done(done) if done.result().is_ok() => "returned",
        Step::Done(_) => "failed",
        Step::Yielded(_) => "let others run",
        Step::Waiting(_) => "waits",
    }
}

/// What is waited for, and by which function, in words.
fn waited_for(waiting: &Waiting<'_>) -> String {
    let sources = sources(waiting.frame());
    match waiting.function() {
        Some(function) => format!("{sources} in {}", function.name()),
        None => sources,
    }
}

fn sources(frame: &WaitFrame) -> String {
    let kind = match frame.kind() {
        WaitKind::Until => "until",
        WaitKind::Any => "any of",
        WaitKind::All => "all of",
        WaitKind::Woken => "an operation",
    };
    let sources: Vec<String> = frame
        .sources()
        .map(|source| match source.kind() {
            SourceKind::Over => String::from("what is over"),
            SourceKind::Deadline(time) => format!("time {time:?}"),
            SourceKind::Semaphore(_, value) => format!("semaphore value {value}"),
            SourceKind::Frontier(_, frontier) => format!("frontier {frontier:?}"),
            _ => String::from("an operation"),
        })
        .collect();
    if sources.is_empty() { kind.into() } else { format!("{kind} {}", sources.join(", ")) }
}
