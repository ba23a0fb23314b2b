//! What a thread that has an invocation does with it, up to where it lets go of it again.

use std::task::{Context as TaskContext, Poll};

use proact::causal::{Frontier, Knowledge};
use proact::status::Code;
use proact::sync::Semaphore;
use proact::time::Time;

use super::word::Word;
use crate::error::{Error, Result};
use crate::invocation::{InvocationState, InvocationStatus, Policy};
use crate::machine::Stop;
use crate::module::Resumption;
use crate::wait::{SourceKind, WaitFrame, WaitKind, WaitSource};

/// Waits that are over at once, one after another, before others on the queue have their turn.
const STOPS_MAX: usize = 64;

/// An invocation that is not over. Whoever has its [`Word`]'s turn has it.
pub(super) struct Work {
    /// In a box that is used again: it is large, and is handed around.
    state: Box<InvocationState>,
    next: Next,
    /// It was told of its cancellation: the next stop is its end.
    told: bool,
    /// What is known to have happened before its end.
    pub(super) known: Knowledge,
    /// What the wait that is under way would add to that.
    waited: Vec<Waited>,
    /// The first of these ends that wait.
    any: bool,
    /// When it is woken by the clock: the key of its place among its queue's timers.
    pub(super) timer: Option<Time>,
}

enum Next {
    /// The policy's waits; `None`: there are none.
    Hold(Option<WaitFrame>),
    Resume(Resumption),
    Wait,
}

/// What a source stands for, kept from before it is over: then it does not say any more.
enum Waited {
    Time,
    Semaphore(Semaphore, u64),
    /// In a box: most waits are for semaphores, and many wait at once.
    Frontier(Box<Frontier>),
    /// Something that does not tell its causes.
    Opaque,
}

/// Where a thread lets go of an invocation.
pub(super) enum Step {
    /// It may go on when others have had their turn.
    Yield,
    /// It waits for its waker, or for that time.
    Wait(Option<Time>),
    End(Ended),
}

/// How it ended. A good end's results are still in its state.
pub(super) struct Ended {
    pub(super) status: InvocationStatus,
    pub(super) result: Result,
}

impl Work {
    /// `state` is prepared.
    pub(super) fn new(state: Box<InvocationState>, policy: &Policy) -> Work {
        let semaphores = policy.semaphores.iter();
        let semaphores = semaphores.map(|(semaphore, value)| WaitSource::semaphore(semaphore, *value));
        let frontiers = policy.frontiers.iter();
        let frontiers = frontiers.map(|(tracker, frontier)| WaitSource::frontier(tracker, frontier.clone()));
        let hold = WaitFrame::all(semaphores.chain(frontiers));
        let waited = hold.sources().map(Waited::of).collect::<Vec<_>>();
        Work {
            state,
            next: Next::Hold((!waited.is_empty()).then_some(hold)),
            told: false,
            known: Knowledge::exact(Frontier::new()),
            waited,
            any: false,
            timer: None,
        }
    }

    /// One at the end of all times is none.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.state.machine.deadline.filter(|deadline| *deadline != Time::FAR_FUTURE)
    }

    /// Its state, which still holds the results of a good end.
    pub(super) fn into_state(self) -> Box<InvocationState> {
        self.state
    }

    /// Its end from outside, untold: what it holds is still there.
    pub(super) fn aborted(&self, why: Error) -> Ended {
        Ended { status: InvocationStatus::Aborted, result: Err(self.state.locate(why)) }
    }

    /// Runs it up to where it waits, lets others run, or is over.
    pub(super) fn step(&mut self, word: &Word, cx: &mut TaskContext<'_>) -> Step {
        for _ in 0..STOPS_MAX {
            if word.is_aborted() {
                return Step::End(self.aborted(shut_down()));
            }
            let stop = match std::mem::replace(&mut self.next, Next::Wait) {
                Next::Hold(hold) => match self.poll_hold(hold, word, cx) {
                    Poll::Ready(Ok(())) => self.state.enter(),
                    Poll::Ready(Err(error)) => return Step::End(self.failed(word, error)),
                    Poll::Pending => return Step::Wait(self.next_time()),
                },
                Next::Resume(_) if word.is_cancelled() => return Step::End(self.failed(word, cancelled())),
                Next::Resume(why) => self.state.go_on(why),
                // What it waits for is given up here, before the function hears of it.
                Next::Wait if word.is_cancelled() => {
                    self.told = true;
                    let why = self.state.machine.waited(Err(cancelled()));
                    self.known = Knowledge::lower_bound(std::mem::take(&mut self.known.frontier));
                    self.state.go_on(why)
                }
                Next::Wait => match self.state.machine.poll_wait(cx) {
                    Poll::Ready(why) => {
                        self.learn(&why);
                        self.state.go_on(why)
                    }
                    Poll::Pending => return Step::Wait(self.next_time()),
                },
            };
            if self.has_begun() || matches!(stop, Stop::Done(_) | Stop::Yield) {
                word.begin();
            }
            match stop {
                Stop::Done(Ok(())) => return Step::End(Ended { status: InvocationStatus::Done, result: Ok(()) }),
                Stop::Done(Err(error)) => return Step::End(self.failed(word, error)),
                _ if self.told => return Step::End(self.failed(word, cancelled())),
                Stop::Yield => {
                    self.next = Next::Resume(Resumption::Yielded);
                    return Step::Yield;
                }
                Stop::Wait => self.look_at_wait(),
            }
        }
        Step::Yield
    }

    /// Whether it may begin: it is neither cancelled nor late, and what its policy waits for has come to pass.
    fn poll_hold(&mut self, mut hold: Option<WaitFrame>, word: &Word, cx: &mut TaskContext<'_>) -> Poll<Result> {
        if word.is_cancelled() {
            return Poll::Ready(Err(cancelled()));
        }
        let machine = &self.state.machine;
        let now = if machine.deadline.is_some() { machine.clock.now() } else { Time::ORIGIN };
        if let Some(frame) = &mut hold {
            match frame.poll(now, cx) {
                Poll::Ready(Ok(_)) => self.learn_all(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.about("what its policy waits for"))),
                Poll::Pending if machine.deadline.is_none_or(|deadline| now < deadline) => {
                    self.next = Next::Hold(hold);
                    return Poll::Pending;
                }
                Poll::Pending => return Poll::Ready(Err(Error::deadline_exceeded())),
            }
        }
        match self.state.machine.deadline {
            Some(deadline) if now >= deadline => Poll::Ready(Err(Error::deadline_exceeded())),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn next_time(&self) -> Option<Time> {
        self.state.machine.next_time()
    }

    /// Whether a function has stopped: before, it waits for its policy, or its turn in the context.
    fn has_begun(&self) -> bool {
        !self.state.machine.stack.is_empty()
    }

    /// Its failure: what it holds is still there.
    fn failed(&self, word: &Word, error: Error) -> Ended {
        let is_cancelled = word.is_cancelled() && error.is_cancelled();
        let status = if is_cancelled { InvocationStatus::Cancelled } else { InvocationStatus::Failed };
        Ended { status, result: Err(self.state.locate(error)) }
    }

    /// Remembers what the wait is for.
    fn look_at_wait(&mut self) {
        self.waited.clear();
        if !self.has_begun() {
            return; // for its turn in the context: that says nothing of causes
        }
        match &self.state.machine.wait {
            Some(wait) if wait.kind() != WaitKind::Woken => {
                self.any = wait.kind() == WaitKind::Any;
                self.waited.reserve_exact(wait.sources().count());
                self.waited.extend(wait.sources().map(Waited::of));
            }
            _ => self.waited.push(Waited::Opaque),
        }
    }

    /// What has happened before, now that a wait is over.
    fn learn(&mut self, why: &Resumption) {
        match why {
            Resumption::Waited(Ok(index)) if self.any && *index < self.waited.len() => {
                let source = self.waited.swap_remove(*index);
                self.learn_from(source);
            }
            Resumption::Waited(Ok(_)) => self.learn_all(),
            // Who was woken by a future of its own, or has heard of a failure, knows more than can be told.
            _ => self.learn_from(Waited::Opaque),
        }
        self.waited.clear();
    }

    fn learn_all(&mut self) {
        for source in std::mem::take(&mut self.waited) {
            self.learn_from(source);
        }
    }

    fn learn_from(&mut self, source: Waited) {
        let unknown = || Knowledge::lower_bound(Frontier::new());
        let more = match source {
            Waited::Time => return,
            Waited::Semaphore(semaphore, value) => semaphore.causes(value).unwrap_or_else(unknown),
            Waited::Frontier(frontier) => Knowledge::exact(*frontier),
            Waited::Opaque => unknown(),
        };
        self.known.merge(&more);
    }
}

impl Waited {
    fn of(source: &WaitSource) -> Waited {
        match source.kind() {
            SourceKind::Deadline(_) => Waited::Time,
            SourceKind::Semaphore(semaphore, value) => Waited::Semaphore(semaphore.clone(), value),
            SourceKind::Frontier(_, frontier) => Waited::Frontier(Box::new(frontier.clone())),
            SourceKind::Over | SourceKind::Other => Waited::Opaque,
        }
    }
}

pub(super) fn cancelled() -> Error {
    Error::new(Code::Cancelled, "the invocation was cancelled")
}

pub(super) fn shut_down() -> Error {
    Error::new(Code::Aborted, "the executor was shut down")
}
